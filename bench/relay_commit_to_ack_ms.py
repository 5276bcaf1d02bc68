"""How long an announcement takes from its commit to a reader of the topic, when nothing else happens.

The relay runs in a process of its own, as in a service. The clock starts when the writer's commit
returns and ends when a consumer that waits at the end of the topic has the record in hand: the
record is by then acknowledged and more, so the figure is an upper bound of commit to acknowledgement.
"""

import asyncio
import multiprocessing
import random
import time
from statistics import median, quantiles

import uvloop
from aiokafka import AIOKafkaConsumer

from bench.results import Result
from bench.sample import Approved, Sample, approved, sample
from kit import outbox
from kit.kafka import Kafka
from kit.relay import Relay
from stack.parts import Parts

ANNOUNCEMENTS = 300
WARM_UP = 20


def run(parts: Parts) -> list[Result]:
    return uvloop.run(_run(parts))


async def _run(parts: Parts) -> list[Result]:
    async with sample(parts) as bench:
        arguments = (bench.settings.worker_database_url, bench.kafka)
        relay = multiprocessing.get_context("spawn").Process(target=relay_process, args=arguments)
        relay.start()
        try:
            times = await _announce_and_read(bench)
        finally:
            relay.terminate()
            relay.join()
    note = f"commit returned → read by a consumer; p99 {quantiles(times, n=100)[98]:.1f}, {len(times)} one by one"
    return [Result("relay_commit_to_ack_ms", median(times), "ms p50", target=5, better="less", note=note)]


def relay_process(database_url: str, kafka: Kafka) -> None:
    uvloop.run(Relay(database_url, kafka, name="bench").run())


async def _announce_and_read(bench: Sample) -> list[float]:
    consumer = AIOKafkaConsumer(Approved.topic, **bench.kafka.client, auto_offset_reset="earliest")
    await consumer.start()
    try:
        times = []
        for event in approved(WARM_UP + ANNOUNCEMENTS):
            await asyncio.sleep(random.uniform(0.02, 0.06))
            async with bench.database.api.begin() as db:
                outbox.add(db, event)
            began = time.perf_counter()
            record = await consumer.getone()
            times.append((time.perf_counter() - began) * 1000)
            if record.key != event.aggregate_id.encode():
                raise RuntimeError("another record than the one just announced")
        return times[WARM_UP:]
    finally:
        await consumer.stop()
