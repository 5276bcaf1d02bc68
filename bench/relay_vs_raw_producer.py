"""The relay, from rows committed in the outbox to Kafka's confirmation and their deletion, against a
producer of aiokafka that is handed the same records from memory: no table, nothing to delete."""

import asyncio
import time

import asyncpg
import uvloop
from aiokafka import AIOKafkaProducer

from bench.pairs import paired
from bench.results import Result
from bench.sample import Sample, approved, outbox_row, sample
from bench.wire import raw_producer, wire_headers
from kit.relay import SENT, Relay
from stack.parts import Parts

RECORDS = 40_000


def run(parts: Parts) -> list[Result]:
    return uvloop.run(_run(parts))


async def _run(parts: Parts) -> list[Result]:
    events = approved(RECORDS)
    rows = [outbox_row(event) for event in events]
    ready = [(e.topic, e.value(), e.aggregate_id.encode(), wire_headers(e)) for e in events]
    async with sample(parts) as bench, raw_producer(bench.kafka) as producer:
        relay = Relay(bench.settings.worker_database_url, bench.kafka, name="bench")
        running = asyncio.create_task(relay.run())
        try:
            while not relay.leads:
                await asyncio.sleep(0.01)

            async def relayed() -> float:
                await bench.clear()
                return RECORDS / await relay_all(bench, rows)

            async def produced() -> float:
                await bench.clear()
                return RECORDS / await produce_all(producer, ready)

            pairs = await paired(relayed, produced)
        finally:
            relay.stop()
            await running
    return [Result("relay_vs_raw_producer", pairs.ours, "records/s", pairs.ratio, 0.9, note=pairs.note)]


async def relay_all(bench: Sample, rows: list[tuple[str, bytes, bytes, str]]) -> float:
    """Seconds from the rows' commit until the last is confirmed and deleted."""
    db = await asyncpg.connect(bench.settings.worker_database_url)
    try:
        transaction = db.transaction()
        await transaction.start()
        await db.copy_records_to_table("outbox", records=rows, columns=["topic", "key", "payload", "headers"])
        until = _sent() + len(rows)
        await transaction.commit()
        began = time.perf_counter()
        while _sent() < until:
            await asyncio.sleep(0.002)
        return time.perf_counter() - began
    finally:
        await db.close()


async def produce_all(
    producer: AIOKafkaProducer, records: list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]]
) -> float:
    """Seconds from the first record to the last confirmation."""
    began = time.perf_counter()
    promises = [await producer.send(topic, value, key, headers=headers) for topic, value, key, headers in records]
    await asyncio.gather(*promises)
    return time.perf_counter() - began


def _sent() -> float:
    return float(next(iter(SENT.collect())).samples[0].value)
