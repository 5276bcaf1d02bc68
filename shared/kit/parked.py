"""Parked records, for the people who mend what they stumbled over: found, shown, replayed, dropped.

For admins of the platform and nobody else: bodies and error texts hold what the events hold, names and
addresses too. Whoever shows, replays or drops one is on record. `kit.inbox` parks and hands over again.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from sqlalchemy import Select, func, select

from kit import audit
from kit.auth import Caller, Role, needs
from kit.db import Session
from kit.http import Db, Items, Once, Page, Router, page, problems
from kit.inbox import Record, Replayed
from kit.problems import Refused
from kit.replay import RecordGone, read_again
from kit.tables import parked

if TYPE_CHECKING:
    from kit.service import Service

AT_ONCE_MAX = 500
"""Records that one call replays or drops at most."""


class ParkedNotFound(Refused):
    """No such record is parked: it was handled, replayed or dropped, or it never was."""

    status = 404


class NoSuchHandler(Refused):
    """This service has no handler of this name."""

    status = 422


class ValueGone(Refused):
    """The record was too large to copy, and Kafka no longer has it."""

    status = 410
    remedy = "Have the fact announced again by the service that owns it, and drop this record."


class KafkaUnreachable(Refused):
    """The record was too large to copy, and Kafka does not answer now."""

    status = 503
    remedy = "Try again in a moment."


@dataclass(frozen=True, slots=True)
class Filter:
    """Which parked records are meant; what is None does not matter."""

    topic: str | None = None
    handler: str | None = None
    reason: str | None = None
    state: str | None = None


def found(service: "Service", wanted: Filter) -> Select[Any]:
    """The parked records of a service that a filter means. Raises `NoSuchHandler`."""
    query = select(parked).where(parked.c.consumer == service.group)
    if wanted.topic is not None:
        query = query.where(parked.c.topic == wanted.topic)
    if wanted.handler is not None:
        query = query.where(parked.c.topic.in_(_topics_of(service, wanted.handler)))
    if wanted.reason is not None:
        query = query.where(parked.c.reason == wanted.reason)
    if wanted.state is not None:
        query = query.where(parked.c.state == wanted.state)
    return query


def _topics_of(service: "Service", name: str) -> list[str]:
    topics = [e.topic for handler in service.handlers if handler.name == name for e in handler.events]
    if not topics:
        raise NoSuchHandler(name, field="handler", handlers=sorted({handler.name for handler in service.handlers}))
    return topics


async def find(db: Session, service: "Service", id_: int) -> Any:
    """One parked record. Raises `ParkedNotFound`."""
    row = (await db.execute(found(service, Filter()).where(parked.c.id == id_))).one_or_none()
    if row is None:
        raise ParkedNotFound(id_)
    return row


# -- what is shown ----------------------------------------------------------------------------------------


class ParkedOut(BaseModel):
    """A record that could not be handled, without its body."""

    id: int
    topic: str
    partition: int
    offset: int
    key: str | None
    handlers: list[str] = Field(description="Who takes records of this topic here.")
    event_id: UUID
    type: str | None = Field(description="The event and its version, as the record says.")
    state: Literal["due", "dead"] = Field(description="`due` for another attempt, or `dead` after the last one.")
    reason: str = Field(description="The kind of error.", examples=["ValidationError"])
    error: str
    attempt: int
    parked_at: datetime
    next_at: datetime | None = Field(description="When it is tried again by itself.")
    copied: bool = Field(description="False: too large; its body is in Kafka, at these coordinates.")

    @classmethod
    def of(cls, row: Any, service: "Service") -> Self:
        return cls(**_said(row, service))


class ParkedShown(ParkedOut):
    """A parked record in full."""

    headers: dict[str, str]
    value: str | None = Field(description="The body: text, or base64 where it is none; null where there is none.")
    encoding: Literal["utf-8", "base64"] | None
    trace: str = Field(description="Where the handler failed.")


def _said(row: Any, service: "Service") -> dict[str, Any]:
    own = {name: getattr(row, name) for name in ("id", "topic", "partition", "offset", "event_id", "state", "reason")}
    return own | {
        "key": None if row.key is None else row.key.decode("utf-8", "replace"),
        "handlers": [h.name for h in service.handlers if any(e.topic == row.topic for e in h.events)],
        "type": row.headers.get("ce_type"),
        "error": row.error,
        "attempt": row.attempt,
        "parked_at": row.parked_at,
        "next_at": row.next_at if row.state == "due" else None,
        "copied": row.value is not None,
    }


async def show(db: Session, service: "Service", id_: int, actor: str, *, from_kafka: bool) -> ParkedShown:
    """A parked record in full, put on record; `from_kafka` reads the body of one that was too large to copy.

    Raises `ParkedNotFound`, `ValueGone`, `KafkaUnreachable`.
    """
    row = await find(db, service, id_)
    value = row.value
    if value is None and from_kafka:
        record = Record(row.topic, row.partition, row.offset, row.key, None, row.headers)
        try:
            value = (await read_again(service.settings.kafka, record)).value
        except RecordGone as gone:
            raise ValueGone(gone) from gone
        except ConnectionError as unreachable:
            raise KafkaUnreachable() from unreachable
    text, encoding = _readable(value)
    where = {"topic": row.topic, "partition": row.partition, "offset": row.offset}
    await audit.record(db, actor, "parked.shown", subject=f"parked/{id_}", detail=where)
    return ParkedShown(**_said(row, service), headers=row.headers, value=text, encoding=encoding, trace=row.trace)


def _readable(value: bytes | None) -> tuple[str | None, Literal["utf-8", "base64"] | None]:
    if value is None:
        return None, None
    try:
        return value.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(value).decode(), "base64"


# -- many at once -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Some:
    """The next of the records that a filter means, and how many come after them."""

    ids: Sequence[int]
    left: int


async def some(db: Session, service: "Service", wanted: Filter, after: int, limit: int) -> Some:
    """At most `limit` of them whose ids are above `after`, oldest first."""
    query = found(service, wanted).where(parked.c.id > after).with_only_columns(parked.c.id)
    ids = (await db.execute(query.order_by(parked.c.id).limit(limit))).scalars().all()
    last = ids[-1] if ids else after
    left = select(func.count()).select_from(query.where(parked.c.id > last).subquery())
    return Some(ids, int(await db.scalar(left) or 0))


# -- for staff, by HTTP -----------------------------------------------------------------------------------


class WhichIn(BaseModel):
    """Which parked records: by what they have in common, or all of them."""

    model_config = ConfigDict(extra="forbid")

    topic: str | None = None
    handler: str | None = None
    reason: str | None = None
    state: Literal["due", "dead"] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.all and self.filter == Filter():
            raise ValueError("name a topic, handler, reason or state, or say `all`")
        return self

    @property
    def filter(self) -> Filter:
        return Filter(self.topic, self.handler, self.reason, self.state)


class ManyIn(BaseModel):
    """A part of the work: call again with `after` as long as some are left."""

    which: WhichIn
    after: int = Field(0, ge=0, description="The `last_id` of the call before.")
    limit: PositiveInt = Field(100, le=AT_ONCE_MAX)


class DropIn(BaseModel):
    """Why a record is given up."""

    reason: str = Field(min_length=3, max_length=500)


class DropManyIn(ManyIn, DropIn):
    """Which records are given up, and why."""


class OutcomeOut(BaseModel):
    """What became of one record."""

    id: int
    outcome: Literal["handled", "waiting", "failed", "behind"] = Field(
        description="`waiting` for something that has not arrived; `behind` an earlier record of its key that failed."
    )
    error: str


class ReplayedOut(BaseModel):
    """What became of the records, those of the same keys that came before them included."""

    handled: int
    waiting: int
    failed: int
    behind: int
    records: list[OutcomeOut]
    last_id: int = Field(description="Give it as `after` to go on.")
    left: int = Field(description="Parked records of this filter that come after.")

    @classmethod
    def of(cls, replayed: Sequence[Replayed], last_id: int, left: int) -> Self:
        counts = dict.fromkeys(("handled", "waiting", "failed", "behind"), 0)
        for one in replayed:
            counts[one.outcome] += 1
        records = [OutcomeOut(id=r.id, outcome=r.outcome, error=r.error) for r in replayed]
        return cls(**counts, records=records, last_id=last_id, left=left)


class DroppedOut(BaseModel):
    """Which records were given up."""

    dropped: list[int]
    last_id: int
    left: int


def _service(request: Request) -> "Service":
    service: Service = request.app.state.service
    return service


Here = Annotated[Any, Depends(_service)]
Word = Annotated[str | None, Query(max_length=200)]

router = Router(prefix="/v1/parked", tags=["parked records"], dependencies=[needs(Role.ADMIN)])


@router.get("", responses=problems(NoSuchHandler))
async def list_parked(
    db: Db,
    service: Here,
    at: Page,
    topic: Word = None,
    handler: Word = None,
    reason: Word = None,
    state: Literal["due", "dead"] | None = None,
) -> Items[ParkedOut]:
    """Records that could not be read or handled, oldest first."""
    query = found(service, Filter(topic, handler, reason, state))
    return await page(db, query, [parked.c.id], at, lambda row: ParkedOut.of(row, service))


@router.get("/{parked_id}", responses=problems(ParkedNotFound, ValueGone, KafkaUnreachable))
async def show_parked(
    parked_id: int,
    db: Db,
    service: Here,
    caller: Caller,
    from_kafka: Annotated[bool, Query(description="Read a body that was too large to copy from Kafka.")] = False,
) -> ParkedShown:
    """One of them with body, headers and trace. That you looked is on record."""
    return await show(db, service, parked_id, caller.actor, from_kafka=from_kafka)


@router.post("/replay", responses=problems(NoSuchHandler))
async def replay_many(body: ManyIn, db: Db, service: Here, caller: Caller, once: Once) -> ReplayedOut:
    """Hand many to their handlers again, now; those of one key in their order. Call again while some are left."""
    chosen = await some(db, service, body.which.filter, body.after, body.limit)
    return await _replayed(service, chosen, caller.actor, body.after)


@router.post("/drop", responses=problems(NoSuchHandler))
async def drop_many(body: DropManyIn, db: Db, service: Here, caller: Caller, once: Once) -> DroppedOut:
    """Give many up for good, with a reason that stays on record."""
    chosen = await some(db, service, body.which.filter, body.after, body.limit)
    gone = await service.inbox.drop(chosen.ids, caller.actor, body.reason)
    return DroppedOut(dropped=gone, last_id=_last(chosen, body.after), left=chosen.left)


@router.post("/{parked_id}/replay", responses=problems(ParkedNotFound))
async def replay_one(parked_id: int, db: Db, service: Here, caller: Caller, once: Once) -> ReplayedOut:
    """Hand one to its handlers again, now, after those of its key that came before it."""
    await find(db, service, parked_id)
    return await _replayed(service, Some([parked_id], 0), caller.actor, 0)


@router.post("/{parked_id}/drop", responses=problems(ParkedNotFound))
async def drop_one(parked_id: int, body: DropIn, db: Db, service: Here, caller: Caller, once: Once) -> DroppedOut:
    """Give one up for good, with a reason that stays on record."""
    await find(db, service, parked_id)
    gone = await service.inbox.drop([parked_id], caller.actor, body.reason)
    return DroppedOut(dropped=gone, last_id=parked_id, left=0)


async def _replayed(service: "Service", chosen: Some, actor: str, after: int) -> ReplayedOut:
    done = await service.inbox.replay(chosen.ids, actor)
    return ReplayedOut.of(done, _last(chosen, after), chosen.left)


def _last(chosen: Some, after: int) -> int:
    return max(chosen.ids, default=after)
