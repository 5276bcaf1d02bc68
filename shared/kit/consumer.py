"""Reading Kafka: one group a service, batches over all its topics, offsets after the commit.

The batch's transaction commits first, then its offsets: a crash between the two delivers the batch
again, and the inbox skips it.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import chain
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from kit import clock
from kit.gather import Gather
from kit.inbox import Handler, Inbox, Record, arrived, batches, is_infrastructure, wait_for
from kit.kafka import Kafka

__all__ = ["Consumer", "Handler", "arrived", "batches", "wait_for"]

log = structlog.get_logger()

GATHER_S = 0.03
"""Longer than a small batch takes, a round trip and a commit, so that a pause saves whole batches. Twice the
relay's, whose batches are shorter. A lone record never waits; see `kit.gather`."""

POLL_MS = 1000
"""How long one look for records lasts when none come."""


async def _untouched(message: Any) -> Any:
    return message.body


def as_record(raw: Any) -> Record:
    """The kit's record of aiokafka's."""
    headers = {k: v.decode("utf-8", "replace") for k, v in raw.headers if v is not None}
    return Record(raw.topic, raw.partition, raw.offset, raw.key, raw.value, headers)


class Consumer:
    """Keeps a service's inbox fed, whatever happens to Kafka, its topics or the database."""

    def __init__(
        self,
        inbox: Inbox,
        kafka: Kafka,
        *,
        group: str,
        batch_max: int = 1000,
        topic_check_s: float = 2.0,
        stop_grace_s: float = 15.0,
    ) -> None:
        self.inbox = inbox
        self.kafka = kafka
        self.group = group
        self.batch_max = batch_max
        self.topic_check_s = topic_check_s
        self.stop_grace_s = stop_grace_s
        self.missing: list[str] = list(inbox.topics)
        """Topics that do not exist yet, or that we may not read; shown by `/readyz`."""
        self.trouble: str | None = None
        """Why Kafka does not let us read, and what to look at; shown by `/readyz`."""
        self.progress_at = time.monotonic()
        self._back_off_s = 0.2
        self._gather = Gather(GATHER_S, batch_max // 8)
        self._client: Callable[[], AIOKafkaConsumer | None] = lambda: None

    async def run(self) -> None:
        """Consume until cancelled. A missing topic is taken in when it appears."""
        if not self.inbox.topics:
            return
        while True:
            try:
                present = await self._existing()
                self.missing = [t for t in self.inbox.topics if t not in present]
                if present:
                    await self._consume(present)
                else:
                    await asyncio.sleep(self.topic_check_s)
            except (KafkaError, OSError) as error:
                self.trouble = await self.kafka.why(error)
                log.warning("kafka_unreachable", servers=self.kafka.servers, error=self.trouble)
                await asyncio.sleep(1)

    async def _existing(self) -> list[str]:
        probe = AIOKafkaConsumer(**self.kafka.client, client_id=f"{self.group}-topics")
        try:
            await probe.start()
            known = await probe.topics()
        finally:
            await probe.stop()
        return [t for t in self.inbox.topics if t in known]

    async def _consume(self, topics: list[str]) -> None:
        broker = KafkaBroker(
            self.kafka.servers,
            security=self.kafka.security,
            client_id=self.group,
            consumer_only=True,
            allow_auto_create_topics=False,
            graceful_timeout=self.stop_grace_s,
            ack_policy=AckPolicy.NACK_ON_ERROR,
            logger=None,
        )
        subscriber = broker.subscriber(
            *topics,
            group_id=self.group,
            batch=True,
            max_records=self.batch_max,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=3_000,
            decoder=_untouched,
        )
        subscriber(self._take)
        # FastStream sleeps after every empty poll; a poll that lasts wakes with the first record, and costs nothing.
        subscriber.get_msg = self._poll  # type: ignore[method-assign]
        try:
            await broker.start()
            self._client = lambda: subscriber.consumer
            self.progress_at = time.monotonic()
            log.info("consuming", group=self.group, topics=len(topics), missing=self.missing)
            while True:
                await asyncio.sleep(self.topic_check_s)
                if self.missing and set(await self._existing()) - set(topics):
                    return
        finally:
            self._client = lambda: None
            await broker.stop()

    async def _poll(self, consumer: AIOKafkaConsumer) -> tuple[Any, ...]:
        await self._gather.pause()
        try:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=self.batch_max)
        except KafkaError as error:  # FastStream waits a while and polls again.
            self.trouble = await self.kafka.why(error)
            log.warning("kafka_refuses", error=self.trouble)
            raise
        self.trouble = None
        if not found and not any(self.lag().values()):
            self.progress_at = time.monotonic()  # all is done; what comes next has its full time
        records = tuple(chain.from_iterable(found.values()))
        self._gather.took(len(records))
        return records

    async def _take(self, message: KafkaMessage) -> None:
        raw = message.raw_message
        records = [as_record(r) for r in (raw if isinstance(raw, (tuple, list)) else (raw,))]
        try:
            await self.inbox.take(records)
        except Exception as error:
            if not is_infrastructure(error):
                log.exception("batch_failed")
            else:
                log.warning("batch_postponed", records=len(records), error=str(error)[:300])
            # The refused batch is delivered again at once: the pause is what keeps that from being a hot loop.
            await asyncio.sleep(self._back_off_s)
            self._back_off_s = min(self._back_off_s * 2, 10.0)
            raise
        self._back_off_s = 0.2
        self.progress_at = time.monotonic()

    async def tend(self) -> None:
        """Hand over parked records that are due and waiting ones now and then, park what waited too long."""
        while True:
            try:
                now = clock.now()
                busy = await self.inbox.retry_due(now)
                busy += await self.inbox.park_overdue(now)
                await self.inbox.look_again(now)
            except Exception as error:
                if not is_infrastructure(error):
                    log.exception("tending_failed")
                busy = 0
            if not busy:
                await asyncio.sleep(1)

    # -- what operators ask ----------------------------------------------------------------------

    def assignment(self) -> set[TopicPartition]:
        """The partitions this process reads now."""
        client = self._client()
        return set(client.assignment()) if client else set()

    def lag(self) -> dict[TopicPartition, int]:
        """Records between what was fetched for handling and the end of each partition, as last heard."""
        client = self._client()
        if not client:
            return {}
        lags = {}
        for partition in client.assignment():
            end = client.highwater(partition)
            state = client._subscription.subscription.assignment.state_value(partition)
            if end is not None and state is not None and state.has_valid_position:
                lags[partition] = max(end - state.position, 0)
        return lags

    def stuck(self, progress_max_s: float) -> bool:
        """Whether nothing was finished for too long, though Kafka may look healthy: a handler hangs, records
        wait, or nobody polls any more. Without a connection to Kafka there is nothing to be stuck on."""
        return self._client() is not None and time.monotonic() - self.progress_at > progress_max_s
