"""Announcing facts: an event is written beside the change it speaks of, in the same transaction."""

from typing import Any

import orjson
from opentelemetry import propagate
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session as SyncSession

from kit.db import is_rebuilding
from schemas.event import Event

EVENT_BYTES_MAX = 200_000
"""Largest value that may be announced. The relay sends batches of 256 KiB and a record must fit in one."""

_COLLECTED = "kit.outbox"
_MARKS = "kit.outbox.marks"
_INSERT = text(
    "insert into outbox (topic, key, payload, headers) "
    "select * from unnest(cast(:t as text[]), cast(:k as bytea[]), cast(:p as bytea[]), cast(:h as jsonb[]))"
)


class EventTooLarge(ValueError):
    """The event's value is larger than a record may be; carry less, or a reference."""


Row = tuple[str, bytes, bytes | None, str]


def add(db: AsyncSession, *events: Event) -> None:
    """Announce facts when, and only when, this transaction commits.

    The rows are written by the session as its last statements. Raises `EventTooLarge`.
    """
    if is_rebuilding(db):
        return
    trace: dict[str, str] = {}
    propagate.inject(trace)
    rows: list[Row] = db.sync_session.info.setdefault(_COLLECTED, [])
    for event in events:
        value = event.value()
        if len(value) > EVENT_BYTES_MAX:
            raise EventTooLarge(f"{event.topic} {event.aggregate_id}: {len(value)} bytes, at most {EVENT_BYTES_MAX}")
        headers = orjson.dumps(event.headers() | trace).decode()
        rows.append((event.topic, event.aggregate_id.encode(), value, headers))


def add_raw(db: AsyncSession, topic: str, key: bytes, value: bytes | None, headers: dict[str, str]) -> None:
    """Send a record as it is; only the kit's own dead-letter copies need it."""
    rows: list[Row] = db.sync_session.info.setdefault(_COLLECTED, [])
    rows.append((topic, key, value, orjson.dumps(headers).decode()))


def write_collected(session: SyncSession) -> None:
    """Write what was announced, after everything else of the transaction. Called before the commit."""
    rows: list[Row] = session.info.pop(_COLLECTED, [])
    session.info.pop(_MARKS, None)
    if not rows:
        return
    session.flush()
    topics, keys, values, headers = zip(*rows, strict=True)
    parameters: dict[str, Any] = {"t": list(topics), "k": list(keys), "p": list(values), "h": list(headers)}
    session.execute(_INSERT, parameters)


def mark(session: SyncSession, savepoint: object) -> None:
    """Remember what was announced when a savepoint began."""
    session.info.setdefault(_MARKS, {})[savepoint] = len(session.info.get(_COLLECTED, ()))


def forget_collected(session: SyncSession, transaction: object) -> None:
    """Drop what was announced in a transaction, or since a savepoint, that rolled back."""
    since = session.info.get(_MARKS, {}).pop(transaction, 0)
    del session.info.get(_COLLECTED, [])[since:]
