"""Events put on Kafka as aiokafka itself would, tuned as the relay's producer is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from kit.kafka import Kafka
from kit.relay import BATCH_BYTES_MAX, partition_for
from schemas.event import Event


@asynccontextmanager
async def raw_producer(kafka: Kafka) -> AsyncIterator[AIOKafkaProducer]:
    """A producer; stopped at the end of the block."""
    producer = AIOKafkaProducer(
        **kafka.client,
        enable_idempotence=True,
        acks="all",
        linger_ms=0,
        max_batch_size=BATCH_BYTES_MAX,
        compression_type="lz4",
        partitioner=lambda key, everywhere, _available: everywhere[partition_for(key, len(everywhere))],
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def wire_headers(event: Event) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in event.headers().items()]


async def send(kafka: Kafka, events: Sequence[Event]) -> None:
    """Put the events on their topics; all are confirmed on return."""
    async with raw_producer(kafka) as producer:
        promises = [
            await producer.send(e.topic, e.value(), e.aggregate_id.encode(), headers=wire_headers(e)) for e in events
        ]
        await asyncio.gather(*promises)
