"""Ways of working through a topic that is already filled; each says how many records a second it did.

The clock starts when the first batch is in hand and ends with the commit of the last one, so that
joining the group, which is the same for all, does not count.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy import text

from bench.sample import CONFIRM, Approved, Sample, confirmed, on_approved
from kit.consumer import Consumer
from kit.db import uuid7
from kit.inbox import Inbox, Record

CLAIM = text(
    "insert into inbox (consumer, event_id) select :c, * from unnest(cast(:ids as uuid[]))"
    " on conflict do nothing returning event_id"
)
ANNOUNCE = text(
    "insert into outbox (topic, key, payload, headers)"
    " select * from unnest(cast(:t as text[]), cast(:k as bytea[]), cast(:p as bytea[]), cast(:h as jsonb[]))"
)


class TimedInbox(Inbox):
    """Knows when its first batch came and when it had handled a number of records."""

    began = 0.0

    def expect(self, records: int) -> "asyncio.Future[float]":
        """The rate, once so many were handled."""
        self.until = records
        self.rate: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        return self.rate

    async def take(self, records: Sequence[Record]) -> None:
        self.began = self.began or time.perf_counter()
        await super().take(records)
        if self.handled >= self.until and not self.rate.done():
            self.rate.set_result(self.handled / (time.perf_counter() - self.began))


async def by_kit(bench: Sample, records: int, batch_max: int = 1000) -> float:
    """The kit's consumer and inbox with the sample's handler."""
    group = f"kit-{uuid7().hex[-8:]}"
    inbox = TimedInbox(bench.database.worker, group, [on_approved], dead_letters="bench.dlq")
    rate = inbox.expect(records)
    running = asyncio.create_task(Consumer(inbox, bench.kafka, group=group, batch_max=batch_max).run())
    try:
        async with asyncio.timeout(120):
            return await rate
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def by_hand(bench: Sample, records: int, batch_max: int = 1000) -> float:
    """What somebody would write against aiokafka and SQLAlchemy: the same reading, checking and statements,
    offsets after the commit, nothing else: no parking, no waiting, no traces, no way to be told of progress."""
    group = f"raw-{uuid7().hex[-8:]}"
    consumer = AIOKafkaConsumer(
        Approved.topic,
        **bench.kafka.client,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        done, began = 0, 0.0
        while done < records:
            fetched = await consumer.getmany(timeout_ms=10, max_records=batch_max)
            if not fetched:
                continue
            began = began or time.perf_counter()
            batch = [record for partition in fetched.values() for record in partition]
            events = {}
            for record in batch:
                event = Approved.read(record.value, {name: value.decode() for name, value in record.headers})
                events[event.event_id] = event
            async with bench.database.worker_engine.begin() as db:
                fresh = (await db.execute(CLAIM, {"c": group, "ids": sorted(events)})).scalars()
                by_id = {events[id_].enrollment_id: events[id_] for id_ in fresh}
                moved = await db.execute(CONFIRM, {"ids": sorted(by_id)})
                follow = [confirmed(by_id[id_], version) for id_, version in moved]
                await db.execute(
                    ANNOUNCE,
                    {
                        "t": [event.topic for event in follow],
                        "k": [event.aggregate_id.encode() for event in follow],
                        "p": [event.value() for event in follow],
                        "h": [orjson.dumps(event.headers()).decode() for event in follow],
                    },
                )
            done += len(batch)
            ended = time.perf_counter()
            await consumer.commit(
                {TopicPartition(p.topic, p.partition): found[-1].offset + 1 for p, found in fetched.items()}
            )
        return done / (ended - began)
    finally:
        await consumer.stop()
