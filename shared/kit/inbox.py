"""Handling a batch of records exactly once in effect.

One batch is one transaction: claim the ids not seen before, hand the events to their handlers, write
what follows from them. A record that cannot be read or handled is found by halving the batch and is
parked with its reason; its neighbours land. Faults of the infrastructure are raised: the caller
tries the whole batch again. `kit.consumer` feeds this from Kafka, tests feed it directly.
"""

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog
from opentelemetry import propagate, trace
from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from kit import audit, clock, outbox
from kit.db import is_rebuilding
from kit.tables import parked, waiting
from schemas.event import Event

log = structlog.get_logger()
tracer = trace.get_tracer("kit.inbox")

COPY_BYTES_MAX = 4 * 1024 * 1024
"""A parked record with a larger value is kept by its coordinates only."""

_CLAIM = text(
    "insert into inbox (consumer, event_id) select :c, * from unnest(cast(:ids as uuid[])) "
    "on conflict do nothing returning event_id"
)
_CLAIM_AGAIN = text(
    "insert into inbox (consumer, event_id) select :c, * from unnest(cast(:ids as uuid[])) "
    "on conflict (consumer, event_id) do update set at = excluded.at returning event_id"
)
_UNPARK = text("delete from parked where consumer = :c and event_id = any(cast(:ids as uuid[]))")
_UNCLAIM = text("delete from inbox where consumer = :c and event_id = :e")
_ARRIVED = "kit.arrived"
LOOK_AGAIN = timedelta(seconds=10)
_INFRASTRUCTURE = ("08", "25", "40", "53", "55", "57", "58", "XX")
"""SQLSTATE classes that say nothing about the record: connection, read-only, dead-lock, resources, lock, shutdown."""


class Record(NamedTuple):
    """A Kafka record, as far as handling it goes."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]

    @property
    def event_id(self) -> UUID:
        """The CloudEvents id; for an alien record one derived from where it stands. Never raises."""
        try:
            return UUID(self.headers["ce_id"])
        except (KeyError, ValueError):
            return uuid5(NAMESPACE_URL, f"{self.topic}/{self.partition}/{self.offset}")


@dataclass(frozen=True)
class wait_for:
    """A handler's word that an event cannot be handled before `key` arrives. Parked after `within_s`."""

    event: Event
    key: str
    within_s: float = 24 * 3600


class WaitedTooLong(Exception):
    """What an event waits for did not arrive in time."""


Handling = Callable[[AsyncSession, Sequence[Any]], Awaitable[Iterable[wait_for] | None]]


@dataclass(frozen=True)
class Handler:
    """A consumer's function and the events it takes."""

    events: tuple[type[Event], ...]
    run: Handling

    @property
    def name(self) -> str:
        return getattr(self.run, "__name__", "handler")


def batches(*events: type[Event]) -> Callable[[Handling], Handler]:
    """Declare a handler: `async def on_paid(db, events)`. It gets many events, in the order of the log.

    It may raise for a record that is wrong (the kit finds which), and must not commit.
    """

    def declare(run: Handling) -> Handler:
        return Handler(events, run)

    return declare


def arrived(db: AsyncSession, *keys: str) -> None:
    """Say in a transaction that these keys are there now; who waited for them is handled in it too."""
    if is_rebuilding(db):
        return  # what they follow with must be announced, so it is left to who looks at the waiting again
    db.sync_session.info.setdefault(_ARRIVED, set()).update(keys)


def is_infrastructure(error: BaseException) -> bool:
    """Whether an error says nothing about the records at hand, so that trying again is the answer."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        return error.connection_invalidated or state is None or str(state).startswith(_INFRASTRUCTURE)
    return isinstance(error, (OSError, asyncio.TimeoutError))


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a parked record that somebody had handed over again."""

    id: int
    outcome: str
    """`handled`; `waiting` for a key; `failed` again; or `behind` an earlier record of its key, which failed."""
    error: str = ""
    """Why it failed, or what it waits for."""


Reader = Callable[[Record], Awaitable[Record]]


class Inbox:
    """The way into a service for everybody else's facts.

    `again` hands over records whose ids were seen before, too: for replays. `read_again` finds the value of a
    record that was parked without a copy.
    """

    def __init__(
        self,
        sessions: async_sessionmaker[AsyncSession],
        consumer: str,
        handlers: Iterable[Handler],
        *,
        dead_letters: str,
        attempts_max: int = 8,
        again: bool = False,
        read_again: Reader | None = None,
    ) -> None:
        self.sessions = sessions
        self.consumer = consumer
        self.dead_letters = dead_letters
        self.attempts_max = attempts_max
        self.again = again
        self.read_again = read_again
        self._routes: dict[str, list[tuple[type[Event], Handler]]] = {}
        for handler in handlers:
            for event in handler.events:
                self._routes.setdefault(event.topic, []).append((event, handler))
        self.handled = 0
        self.parked = 0

    @property
    def topics(self) -> list[str]:
        """Every topic that has a handler."""
        return sorted(self._routes)

    async def take(self, records: Sequence[Record]) -> None:
        """Handle records in their order. Raises only faults of the infrastructure."""
        if not records:
            return
        try:
            async with self.sessions.begin() as db:
                await self._apply(db, records)
            self.handled += len(records)
        except Exception as error:
            if is_infrastructure(error):
                raise
            if len(records) == 1:
                async with self.sessions.begin() as db:
                    await self._park(db, records[0], error)
                return
            # Halving keeps the order and costs about 2·log2(n) transactions for each bad record.
            middle = len(records) // 2
            await self.take(records[:middle])
            await self.take(records[middle:])

    async def _apply(self, db: AsyncSession, records: Sequence[Record]) -> None:
        by_id = {record.event_id: record for record in records}
        # Sorted, so that a consumer that lost its partition and its heir wait for each other without a dead-lock.
        claim = {"c": self.consumer, "ids": sorted(by_id)}
        if self.again:
            await db.execute(_UNPARK, claim)  # before the claim, as whoever tries a parked record again
        fresh = set((await db.execute(_CLAIM_AGAIN if self.again else _CLAIM, claim)).scalars())
        await self._hand_over(db, [record for id_, record in by_id.items() if id_ in fresh])
        while keys := db.sync_session.info.pop(_ARRIVED, None):
            await self._admit(db, waiting.c.awaited.in_(keys))

    async def _admit(self, db: AsyncSession, which: ColumnElement[bool]) -> int:
        """Hand over records that waited. One that fails is parked by itself: who let it in is not to blame."""
        ours = waiting.c.consumer == self.consumer
        # Those that another transaction is at are left to it.
        ids = select(waiting.c.id).where(ours, which).order_by(waiting.c.id).with_for_update(skip_locked=True)
        gone = await db.execute(delete(waiting).where(waiting.c.id.in_(ids.limit(5000))).returning(*waiting.c))
        rows = sorted(gone.all(), key=lambda row: row.id)
        waited = {row.event_id: row for row in rows}
        records = [_as_record(row) for row in rows]
        try:
            async with db.begin_nested():
                await self._hand_over(db, records, waited)
        except Exception as error:
            if is_infrastructure(error):
                raise
            for record in records:
                await self._admit_alone(db, record, waited)
        return len(rows)

    async def _admit_alone(self, db: AsyncSession, record: Record, waited: Mapping[UUID, Any]) -> None:
        try:
            async with db.begin_nested():
                await self._hand_over(db, [record], waited)
        except Exception as error:
            if is_infrastructure(error):
                raise
            await self._park(db, record, error)

    async def look_again(self, now: datetime) -> int:
        """Hand over what has waited for a while since it was looked at; returns how many.

        A key may arrive in another transaction at the very moment a handler misses it, and wake nobody.
        """
        async with self.sessions.begin() as db:
            return await self._admit(db, waiting.c.looked_at < now - LOOK_AGAIN)

    async def _hand_over(
        self, db: AsyncSession, records: Sequence[Record], waited: Mapping[UUID, Any] | None = None
    ) -> None:
        if not records:
            return
        work: dict[Handler, list[Event]] = {}
        origin: dict[UUID, Record] = {}
        for record in records:
            routes = self._routes.get(record.topic)
            if not routes:
                raise ValueError(f"nothing here handles {record.topic}")
            for event_class, handler in routes:
                event = event_class.read(record.value, record.headers)
                origin[event.event_id] = record
                work.setdefault(handler, []).append(event)
        for handler, events in work.items():
            links = _links(origin[event.event_id] for event in events)
            with tracer.start_as_current_span(
                f"handle {handler.name}",
                links=links,
                attributes={"messaging.batch.message_count": len(events)},
            ):
                delayed = await handler.run(db, events)
            if delayed:
                await self._delay(db, delayed, origin, waited or {})

    async def _delay(
        self,
        db: AsyncSession,
        delayed: Iterable[wait_for],
        origin: Mapping[UUID, Record],
        waited: Mapping[UUID, Any],
    ) -> None:
        """Keep records waiting; the deadline of one that waited before stays."""
        now = clock.now()
        rows = [
            _columns(origin[wait.event.event_id])
            | {
                "consumer": self.consumer,
                "event_id": wait.event.event_id,
                "awaited": wait.key,
                "since": waited[id_].since if id_ in waited else now,
                "until": waited[id_].until if id_ in waited else now + timedelta(seconds=wait.within_s),
            }
            for wait in delayed
            for id_ in [wait.event.event_id]
        ]
        if rows:
            await db.execute(upsert(waiting).on_conflict_do_nothing(), rows)

    # -- what could not be handled ---------------------------------------------------------------

    async def _park(self, db: AsyncSession, record: Record, error: BaseException) -> None:
        # One that waited, or is replayed, was claimed when it first came; the next attempt must claim it again.
        await db.execute(_UNCLAIM, {"c": self.consumer, "e": record.event_id})
        row = _columns(record) | {
            "consumer": self.consumer,
            "event_id": record.event_id,
            **_reason(error),
            "next_at": clock.now() + _back_off(1),
        }
        added = await db.execute(upsert(parked).values(row).on_conflict_do_nothing().returning(parked.c.id))
        if added.scalar() is not None:
            self.parked += 1
            log.warning(
                "record_parked",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                event_id=str(record.event_id),
                reason=row["reason"],
            )

    async def retry_due(self, now: datetime, limit: int = 100) -> int:
        """Hand parked records that are due to their handlers again; returns how many were tried.

        Of one key the earliest goes first: the later ones wait until it is handled, or dead.
        """
        earlier = parked.alias()
        behind = exists().where(_earlier_of_its_key(earlier, parked), earlier.c.state == "due")
        due = select(parked.c.id).where(
            parked.c.state == "due", parked.c.next_at <= now, parked.c.consumer == self.consumer, ~behind
        )
        async with self.sessions() as db:
            ids = (await db.execute(due.order_by(parked.c.id).limit(limit))).scalars().all()
        for id_ in ids:
            await self._retry(id_)
        return len(ids)

    async def _retry(self, id_: int) -> None:
        try:
            async with self.sessions.begin() as db:
                mine = select(parked).where(parked.c.id == id_, parked.c.state == "due")
                row = (await db.execute(mine.with_for_update(skip_locked=True))).one_or_none()
                if row is None:
                    return
                await self._hand_over_parked(db, [row])
        except Exception as error:
            if is_infrastructure(error):
                raise
            async with self.sessions.begin() as db:
                await self._failed_again(db, id_, error)

    async def _hand_over_parked(self, db: AsyncSession, rows: Sequence[Any]) -> dict[UUID, str]:
        """Handle locked rows and remove them; returns what those that must wait now wait for."""
        await self._apply(db, [await self._whole(row) for row in rows])
        mine = [row.event_id for row in rows]
        still = select(waiting.c.event_id, waiting.c.awaited).where(
            waiting.c.consumer == self.consumer, waiting.c.event_id.in_(mine)
        )
        waits: dict[UUID, str] = {row.event_id: row.awaited for row in await db.execute(still)}
        for row in rows:
            # It had its time: to wait once more is one more failed attempt, or nobody would ever be told of it.
            if row.event_id in waits and row.reason == WaitedTooLong.__name__:
                raise WaitedTooLong(f"still waits for {waits[row.event_id]}")
        await db.execute(delete(parked).where(parked.c.id.in_([row.id for row in rows])))
        return waits

    async def _whole(self, row: Any) -> Record:
        """The parked record; from Kafka where it was too large to copy."""
        record = _as_record(row)
        return await self.read_again(record) if record.value is None and self.read_again else record

    async def _failed_again(self, db: AsyncSession, id_: int, error: BaseException) -> None:
        row = (await db.execute(select(parked).where(parked.c.id == id_).with_for_update())).one_or_none()
        if row is None or row.state != "due":
            return
        attempt = row.attempt + 1
        last = attempt >= self.attempts_max
        await db.execute(
            update(parked)
            .where(parked.c.id == id_)
            .values(
                attempt=attempt,
                next_at=clock.now() + _back_off(attempt),
                state="dead" if last else "due",
                **_reason(error),
            )
        )
        if last:
            self._to_dead_letters(db, row, attempt, error)

    # -- what people do about it -----------------------------------------------------------------

    async def replay(self, ids: Collection[int], actor: str) -> list[Replayed]:
        """Hand parked records, dead ones too, to their handlers now, in the order of the log.

        The earlier parked records of their keys go with them, and go first. Where one fails, those of its key
        behind it are left. It does not count as an attempt. On record as `actor`'s. Raises faults of the
        infrastructure; what was handled before one is handled.
        """
        asked = parked.alias()
        behind = exists().where(asked.c.id.in_(ids), _earlier_of_its_key(parked, asked))
        mine = select(parked.c.id).where(parked.c.consumer == self.consumer, or_(parked.c.id.in_(ids), behind))
        in_order = (parked.c.topic, parked.c.partition, parked.c.offset)
        async with self.sessions() as db:
            found = (await db.execute(mine.order_by(*in_order))).scalars().all()
        try:
            return await self._replay(found, actor)
        except Exception as error:
            if is_infrastructure(error):
                raise
        done: list[Replayed] = []
        failed: set[tuple[str, int, bytes]] = set()
        for id_ in found:
            done += await self._replay_alone(id_, actor, failed)
        return done

    async def _replay(self, ids: Sequence[int], actor: str) -> list[Replayed]:
        async with self.sessions.begin() as db:
            # Whoever tries them already is waited for. The order of the locks is that of the log.
            in_order = (parked.c.topic, parked.c.partition, parked.c.offset)
            rows = (
                await db.execute(select(parked).where(parked.c.id.in_(ids)).order_by(*in_order).with_for_update())
            ).all()
            waits = await self._hand_over_parked(db, rows)
            for row in rows:
                await _record(db, actor, "parked.replayed", row, outcome="handled")
        return [
            Replayed(row.id, "waiting", waits[row.event_id]) if row.event_id in waits else Replayed(row.id, "handled")
            for row in rows
        ]

    async def _replay_alone(self, id_: int, actor: str, failed: set[tuple[str, int, bytes]]) -> list[Replayed]:
        """One record; `failed` are the topics, partitions and keys of which one has failed."""
        async with self.sessions() as db:
            row = (await db.execute(select(parked).where(parked.c.id == id_))).one_or_none()
        if row is None:
            return []
        lane = (row.topic, row.partition, row.key)
        if lane in failed:
            return [Replayed(id_, "behind")]
        try:
            return await self._replay([id_], actor)
        except Exception as error:
            if is_infrastructure(error):
                raise
            if row.key is not None:
                failed.add(lane)
            async with self.sessions.begin() as db:
                await db.execute(update(parked).where(parked.c.id == id_).values(**_reason(error)))
                await _record(db, actor, "parked.replayed", row, outcome="failed")
            return [Replayed(id_, "failed", f"{type(error).__name__}: {error}"[:1000])]

    async def drop(self, ids: Collection[int], actor: str, why: str) -> list[int]:
        """Give parked records up for good, with the reason on record; returns which were there."""
        async with self.sessions.begin() as db:
            gone = delete(parked).where(parked.c.id.in_(ids), parked.c.consumer == self.consumer)
            rows = (await db.execute(gone.returning(*parked.c))).all()
            # Claimed, so that the same record read again is not parked again.
            await db.execute(_CLAIM, {"c": self.consumer, "ids": sorted({row.event_id for row in rows})})
            for row in rows:
                await _record(db, actor, "parked.dropped", row, reason=why)
        return sorted(row.id for row in rows)

    def _to_dead_letters(self, db: AsyncSession, row: Any, attempt: int, error: BaseException) -> None:
        too_large = row.value is not None and len(row.value) > outbox.EVENT_BYTES_MAX
        outbox.add_raw(
            db,
            self.dead_letters,
            row.key or b"",
            None if too_large else row.value,
            dict(row.headers)
            | {
                "x-origin-topic": row.topic,
                "x-origin-partition": str(row.partition),
                "x-origin-offset": str(row.offset),
                "x-consumer": self.consumer,
                "x-attempt": str(attempt),
                "x-error": _reason(error)["error"][:300],
            },
        )

    async def park_overdue(self, now: datetime) -> int:
        """Park what waited past its deadline; returns how many."""
        async with self.sessions.begin() as db:
            late = await db.execute(
                delete(waiting).where(waiting.c.consumer == self.consumer, waiting.c.until <= now).returning(*waiting.c)
            )
            rows = late.all()
            for row in rows:
                late_for = WaitedTooLong(f"waited for {row.awaited} until {row.until}")
                await self._park(db, _as_record(row), late_for)
        return len(rows)


def _earlier_of_its_key(one: Any, other: Any) -> ColumnElement[bool]:
    """Whether the parked record `one` came before `other`, of the same key. Records without a key have no order."""
    same = and_(*(one.c[name] == other.c[name] for name in ("consumer", "topic", "partition")))
    return and_(same, func.md5(one.c.key) == func.md5(other.c.key), one.c.offset < other.c.offset)


async def _record(db: AsyncSession, actor: str, action: str, row: Any, **more: str) -> None:
    where = {name: getattr(row, name) for name in ("topic", "partition", "offset")}
    detail = {**where, "event_id": str(row.event_id), **more}
    await audit.record(db, actor, action, subject=f"parked/{row.id}", detail=detail)


def _columns(record: Record) -> dict[str, Any]:
    too_large = record.value is not None and len(record.value) > COPY_BYTES_MAX
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key,
        "value": None if too_large else record.value,
        "headers": {k: v.replace("\x00", "\ufffd") for k, v in record.headers.items()},
    }


def _as_record(row: Any) -> Record:
    return Record(row.topic, row.partition, row.offset, row.key, row.value, dict(row.headers))


def _reason(error: BaseException) -> dict[str, str]:
    trace_ = "".join(traceback.format_exception(error))[-4000:]
    return {
        "reason": type(error).__name__,
        "error": str(error)[:1000].replace("\x00", "\ufffd"),
        "trace": trace_.replace("\x00", "\ufffd"),
    }


def _back_off(attempt: int) -> timedelta:
    """5 s, 20 s, 80 s … at most an hour, a little apart so that many do not come at once."""
    return timedelta(seconds=min(5 * 4 ** (attempt - 1), 3600) * random.uniform(0.8, 1.2))  # noqa: S311


def _links(records: Iterable[Record]) -> list[trace.Link]:
    """A span link for every record that carries a trace: a batch has as many causes as records."""
    links = []
    for record in records:
        if "traceparent" in record.headers:
            context = trace.get_current_span(propagate.extract(record.headers)).get_span_context()
            if context.is_valid:
                links.append(trace.Link(context))
    return links
