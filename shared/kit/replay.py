"""Reading topics again into one service, while it serves: from a time or offset, or its copies from zero.

A replay is one more reader beside the service's own: it belongs to no group and moves no offsets. It hands
records past the inbox, so what keeps effects single are their own natural keys.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy import select

from kit import audit
from kit.consumer import POLL_MS, as_record
from kit.inbox import Inbox, Record, is_infrastructure
from kit.kafka import Kafka
from kit.tables import parked, waiting

if TYPE_CHECKING:
    from kit.service import Service

SILENCE_MAX_S = 60.0
"""How long a reader waits for records that must be there."""
TRIES_MAX = 5


class RecordGone(LookupError):
    """Kafka no longer has the record: it was compacted away, or its topic is gone."""


Range = tuple[int, int]
"""The first offset, and the one after the last."""
Ranges = Mapping[TopicPartition, Range]
Told = Callable[[int], None]
"""Hears how many records were read since it was last told."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which part of topics: of all partitions or one, between offsets or between moments. `None`: no end."""

    topics: Sequence[str]
    since: int | datetime
    until: int | datetime | None = None
    partition: int | None = None


@dataclass(slots=True)
class Replayed:
    """What a replay did."""

    read: int = 0
    handled: int = 0
    parked: int = 0
    topics: dict[str, int] = field(default_factory=dict)
    """Records handed over, by topic."""


# -- Kafka, read from anywhere ----------------------------------------------------------------------------


@asynccontextmanager
async def _reader(kafka: Kafka, group: str | None = None) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that joins no group; `group` only lets it ask for that group's offsets. Raises ConnectionError."""
    consumer = AIOKafkaConsumer(**kafka.client, group_id=group, enable_auto_commit=False)
    try:
        await consumer.start()
        await asyncio.sleep(0)  # aiokafka cannot stop before its tasks have begun
        yield consumer
    except KafkaError as error:
        raise ConnectionError(await kafka.why(error)) from error
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> list[TopicPartition]:
    known = await consumer._client.fetch_all_metadata()
    return [TopicPartition(topic, number) for topic in topics for number in known.partitions_for_topic(topic) or ()]


async def _read(consumer: AIOKafkaConsumer, ranges: Ranges, batch_max: int) -> AsyncIterator[list[Record]]:
    """The records of these ranges, in the order of each partition."""
    left = {partition: until for partition, (since, until) in ranges.items() if since < until}
    if not left:
        return
    consumer.assign(list(left))
    for partition in left:
        consumer.seek(partition, ranges[partition][0])
    heard_at = time.monotonic()
    while left:
        found = await consumer.getmany(*left, timeout_ms=POLL_MS, max_records=batch_max)
        records = [raw for raw in chain.from_iterable(found.values()) if raw.offset < ranges[_of(raw)][1]]
        if records:
            heard_at = time.monotonic()
            yield [as_record(raw) for raw in records]
        for partition in list(left):
            if await consumer.position(partition) >= left[partition]:
                del left[partition]
        if time.monotonic() - heard_at > SILENCE_MAX_S:
            raise ConnectionError(f"nothing comes from {sorted(left)}")


def _of(raw: object) -> TopicPartition:
    return TopicPartition(raw.topic, raw.partition)  # type: ignore[attr-defined]


async def read_again(kafka: Kafka, record: Record) -> Record:
    """The record at these coordinates, as Kafka has it. Raises `RecordGone`, or ConnectionError."""
    where = TopicPartition(record.topic, record.partition)
    async with _reader(kafka) as consumer:
        if where not in await _partitions(consumer, [record.topic]):
            raise RecordGone(f"there is no {record.topic}/{record.partition}")
        first = (await consumer.beginning_offsets([where]))[where]
        end = (await consumer.end_offsets([where]))[where]
        if first <= record.offset < end:
            async for records in _read(consumer, {where: (record.offset, record.offset + 1)}, 1):
                if records[0].offset == record.offset:
                    return records[0]
    raise RecordGone(f"{record.topic}/{record.partition} has no offset {record.offset} any more")


# -- stretches of topics ---------------------------------------------------------------------------------


async def measure(service: "Service", stretch: Stretch) -> Ranges:
    """Which offsets a stretch has. What comes after this moment is none of it: the service reads that itself."""
    async with _reader(service.settings.kafka) as consumer:
        partitions = [
            p for p in await _partitions(consumer, stretch.topics) if stretch.partition in (None, p.partition)
        ]
        firsts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        since = await _offsets(consumer, partitions, stretch.since, ends)
        until = await _offsets(consumer, partitions, stretch.until, ends)
        wanted = {p: (max(since[p], firsts[p]), min(until[p], ends[p])) for p in partitions}
    return {p: (first, max(first, end)) for p, (first, end) in wanted.items()}


async def _offsets(
    consumer: AIOKafkaConsumer,
    partitions: Sequence[TopicPartition],
    place: int | datetime | None,
    ends: Mapping[TopicPartition, int],
) -> Mapping[TopicPartition, int]:
    if isinstance(place, int):
        return dict.fromkeys(partitions, place)
    if place is None:
        return ends
    at = await consumer.offsets_for_times(dict.fromkeys(partitions, int(place.timestamp() * 1000)))
    return {p: found.offset if (found := at.get(p)) else ends[p] for p in partitions}


async def replay(service: "Service", ranges: Ranges, actor: str, told: Told = lambda _: None) -> Replayed:
    """Hand the records of these ranges to the service's handlers once more, in order, past the inbox.

    Their effects have keys of their own, so what happened before happens no second time; what a handler answers
    it announces again, and a mail is sent once per matter. What fails is parked, as ever; a parked record that
    is handled here is parked no more. Copies on the dead-letter topic are handled as what they are copies of.
    """
    inbox = service.inbox_for(service.database.worker, again=True)
    done = Replayed()
    await _on_record(service, actor, "replay.started", ranges)
    async with _reader(service.settings.kafka) as consumer:
        async for records in _read(consumer, ranges, service.settings.batch_records_max):
            done.read += len(records)
            origins = [await _origin(service, record) for record in records]
            await _take(inbox, [record for record in origins if record], done)
            told(len(records))
    await _on_record(service, actor, "replay.ended", ranges, read=done.read, handled=done.handled, parked=done.parked)
    return done


async def _origin(service: "Service", record: Record) -> Record | None:
    """The record itself; for a dead-letter copy what it is a copy of, if it was this service's to handle."""
    if record.topic != service.dead_letters:
        return record
    headers = record.headers
    try:
        partition, offset = int(headers["x-origin-partition"]), int(headers["x-origin-offset"])
        topic = headers["x-origin-topic"]
    except (KeyError, ValueError):
        return None
    if topic not in service.listens:
        return None
    own = {name: value for name, value in headers.items() if not name.startswith("x-")}
    copy = Record(topic, partition, offset, record.key, record.value, own)
    if copy.value is not None:
        return copy
    try:  # it was too large to copy
        return await read_again(service.settings.kafka, copy)
    except RecordGone:
        return copy  # which cannot be read, and stays parked


async def _take(inbox: Inbox, records: Sequence[Record], done: Replayed) -> None:
    """Hand a batch over; faults of the infrastructure are waited out for a while."""
    before = inbox.handled
    for attempt in range(1, TRIES_MAX + 1):
        try:
            await inbox.take(records)
            break
        except Exception as error:
            if not is_infrastructure(error) or attempt == TRIES_MAX:
                raise
            await asyncio.sleep(2**attempt / 4)
    for record in records:
        done.topics[record.topic] = done.topics.get(record.topic, 0) + 1
    handled = inbox.handled - before
    done.handled += handled
    done.parked += len(records) - handled


async def _on_record(service: "Service", actor: str, action: str, ranges: Ranges, **more: int) -> None:
    topics = {partition.topic for partition in ranges}
    async with service.database.worker.begin() as db:
        for topic in sorted(topics):
            mine = {str(p.partition): list(offsets) for p, offsets in sorted(ranges.items()) if p.topic == topic}
            await audit.record(db, actor, action, subject=f"topic/{topic}", detail={"offsets": mine, **more})


# -- copies from zero -------------------------------------------------------------------------------------


def copied_topics(service: "Service") -> list[str]:
    """The topics of state facts that a service keeps copies of."""
    return sorted({event.topic for handler in service.handlers for event in handler.events if event.state})


async def rebuild(service: "Service", topics: Sequence[str], actor: str, told: Told = lambda _: None) -> Replayed:
    """Write a service's copies anew from the newest state fact of every aggregate, while it serves.

    A consumer generation of its own, with outbox and mail off: it takes only what the service has handled before
    (below its group's offsets, not parked, not waiting), so nothing that happened is left unsaid. A row of the
    same version is written again, a newer one stays; rows of which no fact is left stay too. What fails is parked
    for the service itself to try again.
    """
    inbox = service.inbox_for(service.database.rebuilding, again=True)
    batch_max = service.settings.batch_records_max
    done = Replayed()
    async with _reader(service.settings.kafka, service.group) as consumer:
        ranges = await _handled_before(consumer, topics)
        await _on_record(service, actor, "rebuild.started", ranges)
        # Twice, since only the newest counts: an older one would undo for a moment what follows from the newest.
        newest: dict[tuple[str, bytes | None], tuple[int, int, int]] = {}
        async for records in _read(consumer, ranges, batch_max):
            done.read += len(records)
            for record in records:
                place = (record.topic, record.key)
                newest[place] = max(newest.get(place, _OLDEST), _age(record))
            told(len(records))
        left_out = await _left_out(service)
        async for records in _read(consumer, ranges, batch_max):
            mine = [
                r
                for r in records
                if newest[r.topic, r.key] == _age(r)
                and (r.topic, r.partition, r.offset) not in left_out
                and r.event_id not in left_out
            ]
            await _take(inbox, mine, done)
            told(len(records))
    await _on_record(service, actor, "rebuild.ended", ranges, read=done.read, handled=done.handled, parked=done.parked)
    return done


_OLDEST = (-1, -1, -1)


def _age(record: Record) -> tuple[int, int, int]:
    """Its aggregate's version, then its place: a topic with more partitions than once has a key in two of them."""
    version = record.headers.get("ce_sequence", "")
    return (int(version) if version.isdecimal() else -1, record.offset, record.partition)


async def _handled_before(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> Ranges:
    """From the start of each topic to where the consumer's group has come."""
    partitions = await _partitions(consumer, topics)
    firsts = await consumer.beginning_offsets(partitions)
    return {p: (firsts[p], await consumer.committed(p) or 0) for p in partitions}


async def _left_out(service: "Service") -> set[object]:
    """The coordinates of what is parked, and the event ids of what waits: not handled yet."""
    coordinates = select(parked.c.topic, parked.c.partition, parked.c.offset).where(parked.c.consumer == service.group)
    waits = select(waiting.c.event_id).where(waiting.c.consumer == service.group)
    async with service.database.worker() as db:
        return {*(tuple(row) for row in await db.execute(coordinates)), *(await db.execute(waits)).scalars()}
