"""From the outbox to Kafka: in order, in batches, at least once, deleted when Kafka confirmed.

One relay a service leads (an advisory lock); others stand by. It reads rows in the order of their
ids, and since a row is deleted only after Kafka has it, a crash at any point sends some again and
loses none. Nothing is remembered between runs but the table itself.
"""

import asyncio
import contextlib
import zlib
from collections.abc import Sequence
from typing import Any

import asyncpg
import orjson
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from prometheus_client import Counter, Gauge

from kit.gather import Gather
from kit.kafka import Kafka

log = structlog.get_logger()

BATCH_BYTES_MAX = 256 * 1024
GATHER_S = 0.015
"""Longer than the round trip of a small batch, so that a pause saves whole trips. A lone event never waits; see
`kit.gather`."""
LOCK = 748_210
CHANNEL = "outbox"

SENT = Counter("tandem_relay_sent", "Records that Kafka confirmed")
SET_ASIDE = Counter("tandem_relay_set_aside", "Rows that Kafka will never take")
LEADS = Gauge("tandem_relay_leads", "1 while this process is the service's relay")

_FETCH = (
    "select id, topic, key, payload, headers from outbox "
    "where id > $1 and id <> all($2::bigint[]) and topic <> all($3::text[]) order by id limit $4"
)
_DELETE = "delete from outbox where id = any($1::bigint[])"
_SET_ASIDE = (
    "with gone as (delete from outbox where id = $1 returning *) "
    "insert into outbox_dead (id, topic, key, payload, headers, created_at, reason) "
    "select id, topic, key, payload, headers, created_at, $2 from gone"
)
_HORIZON = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_OLDEST_OPEN = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


def partition_for(key: bytes, partitions: int) -> int:
    """Where a key's records go. CRC-32 runs in C; every producer of a topic must use the same."""
    return zlib.crc32(key) % partitions


class Relay:
    """Moves one service's announcements to Kafka."""

    def __init__(
        self, database_url: str, kafka: Kafka, *, name: str, batch_max: int = 1000, poll_s: float = 0.25
    ) -> None:
        self._url = database_url
        self._kafka = kafka
        self._name = name
        self._batch_max = batch_max
        self._poll_s = poll_s
        self._wake = asyncio.Event()
        self._stopping = False
        self._one_by_one_to = 0
        self.leads = False
        self.trouble: str | None = None
        """Why Kafka does not take our records, and what to look at; shown by `/readyz`."""
        self.withheld: dict[str, float] = {}
        """Topics that do not exist, and when to look again; their rows wait in the outbox."""

    def stop(self) -> None:
        """Send what was read, then end `run`."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Relay until stopped. After any fault everything is made anew from the table."""
        while not self._stopping:
            try:
                await self._lead()
            except (
                OSError,
                TimeoutError,
                KafkaError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,  # the server said good-bye while nothing was asked
            ) as error:
                self.trouble = await self._kafka.why(error) if isinstance(error, KafkaError) else None
                log.warning("relay_restarts", error=self.trouble or f"{type(error).__name__}: {error}"[:300])
                await self._pause(0.5)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _lead(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            reader = await asyncpg.connect(self._url, timeout=10)
            stack.callback(reader.terminate)  # also gives the lock back
            deleter = await asyncpg.connect(self._url, timeout=10)
            stack.callback(deleter.terminate)
            await reader.set_type_codec("jsonb", encoder=lambda x: x, decoder=orjson.loads, schema="pg_catalog")
            # A lost DELETE only sends again, so it need not wait for the disk.
            await deleter.execute("set synchronous_commit = off")
            while not await reader.fetchval("select pg_try_advisory_lock($1)", LOCK):
                self._wake.clear()
                await self._pause(0.5)
                if self._stopping:
                    return
            producer = AIOKafkaProducer(
                **self._kafka.client,
                client_id=f"{self._name}-relay",
                enable_idempotence=True,
                acks="all",
                linger_ms=0,
                max_batch_size=BATCH_BYTES_MAX,
                compression_type="lz4",
            )
            stack.push_async_callback(_stop, producer)
            await producer.start()
            await reader.add_listener(CHANNEL, lambda *_: self._wake.set())
            self.leads = True
            LEADS.set(1)
            stack.callback(self._step_down)
            log.info("relay_leads")
            await self._forward(reader, deleter, producer)

    def _step_down(self) -> None:
        self.leads = False
        LEADS.set(0)

    async def _forward(
        self, reader: asyncpg.Connection, deleter: asyncpg.Connection, producer: AIOKafkaProducer
    ) -> None:
        floor = _Floor()
        gather = Gather(GATHER_S, self._batch_max // 8)
        sending: asyncio.Task[None] | None = None
        skip: list[int] = []
        partitions: dict[str, int] = {}
        try:
            while not self._stopping or sending:
                if not sending:
                    await gather.pause()
                self._wake.clear()  # before the fetch: a commit after it wakes the next round
                withheld = await self._look_again(producer, partitions)
                rows: Sequence[Any] = ()
                if not self._stopping:
                    limit = 1 if self._one_by_one_to else self._batch_max
                    rows = await reader.fetch(_FETCH, floor.id, skip, withheld, limit)
                    if not rows or rows[0]["id"] > self._one_by_one_to:
                        self._one_by_one_to = 0
                # Topics seen for the first time; the missing ones stay in the outbox, the rest goes on.
                if any(row["topic"] not in partitions for row in rows):
                    await self._learn(producer, partitions, {row["topic"] for row in rows})
                    rows = [row for row in rows if row["topic"] in partitions]
                gather.took(len(rows))
                confirmations = await self._enqueue(producer, partitions, rows)
                if sending:
                    await sending
                    sending = None
                if rows:
                    skip = [row["id"] for row in rows]
                    sending = asyncio.create_task(self._confirm(deleter, skip, confirmations))
                else:
                    skip = []
                    await floor.rise(reader)
                    if not self._stopping:
                        await self._pause(self._poll_s)
        finally:
            if sending:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _enqueue(self, producer: AIOKafkaProducer, partitions: dict[str, int], rows: Sequence[Any]) -> list[Any]:
        """One record batch per partition, in the order of the ids. Returns Kafka's promises."""
        built: dict[tuple[str, int], list[Any]] = {}
        for row in rows:
            where = (row["topic"], partition_for(row["key"], partitions[row["topic"]]))
            headers = [(name, value.encode()) for name, value in row["headers"].items()]
            batches = built.setdefault(where, [producer.create_batch()])
            if batches[-1].append(key=row["key"], value=row["payload"], timestamp=None, headers=headers) is None:
                batches.append(producer.create_batch())  # whose first record may be of any size
                batches[-1].append(key=row["key"], value=row["payload"], timestamp=None, headers=headers)
        return [
            await producer.send_batch(batch, topic, partition=partition)
            for (topic, partition), batches in built.items()
            for batch in batches
        ]

    async def _confirm(self, deleter: asyncpg.Connection, ids: list[int], confirmations: list[Any]) -> None:
        try:
            await asyncio.gather(*confirmations)
        except MessageSizeTooLargeError:
            if len(ids) == 1:
                await self._set_aside(deleter, ids[0], "larger than the topic's max.message.bytes")
                return
            self._one_by_one_to = ids[-1]  # the restarted relay finds the row by sending each alone
            raise
        self.trouble = None
        await deleter.execute(_DELETE, ids)
        SENT.inc(len(ids))

    async def _set_aside(self, deleter: asyncpg.Connection, id_: int, reason: str) -> None:
        await deleter.execute(_SET_ASIDE, id_, reason)
        SET_ASIDE.inc()
        log.error("outbox_row_set_aside", id=id_, reason=reason)

    async def _learn(self, producer: AIOKafkaProducer, partitions: dict[str, int], topics: set[str]) -> None:
        known = await producer.client.fetch_all_metadata()
        for topic in topics:
            found = known.partitions_for_topic(topic)
            if found:
                partitions[topic] = len(found)
                self.withheld.pop(topic, None)
            elif topic not in partitions:
                if topic not in self.withheld:
                    log.warning("topic_missing", topic=topic)
                self.withheld[topic] = asyncio.get_running_loop().time() + 2

    async def _look_again(self, producer: AIOKafkaProducer, partitions: dict[str, int]) -> list[str]:
        now = asyncio.get_running_loop().time()
        due = {topic for topic, at in self.withheld.items() if at <= now}
        if due:
            await self._learn(producer, partitions, due)
        return list(self.withheld)


class _Floor:
    """An id below which the outbox is certainly empty, so that a fetch skips dead rows not vacuumed yet.

    Ids are given before commits, so an empty-looking range may still fill. The floor rises to the
    highest id ever given only when every transaction that ran when it was noted has ended.
    """

    def __init__(self) -> None:
        self.id = 0
        self._noted: tuple[int, int] | None = None
        self._look_at = 0.0

    async def rise(self, reader: asyncpg.Connection) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._look_at:
            return
        self._look_at = loop.time() + 5
        if self._noted is None:
            last = await reader.fetchval(
                "select last_value from pg_sequences where schemaname = 'public' and sequencename = 'outbox_id_seq'"
            )
            if last and last > self.id:
                self._noted = (last, await reader.fetchval(_HORIZON))
            return
        candidate, horizon = self._noted
        if await reader.fetchval(_OLDEST_OPEN) >= horizon:
            self._noted = None
            if not await reader.fetchval("select exists (select from outbox where id <= $1)", candidate):
                self.id = candidate


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        await asyncio.wait_for(producer.stop(), 5)
    except (TimeoutError, KafkaError, OSError) as error:
        log.warning("producer_stop", error=str(error)[:200])
