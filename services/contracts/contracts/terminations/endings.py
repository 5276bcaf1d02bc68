"""The night in which services end: all that is due, in batches, each a transaction, exactly once (CON-12).

A batch is set-based, whatever its size. It counts itself into the night's progress within its transaction, so
that a crash loses the batch and its progress together, and the next round takes both up again.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, select, text

from contracts.attention.usecases import Resolution, resolve_items
from contracts.customers.usecases import end_subscriptions
from contracts.portings.usecases import PortingOut, portings_out
from contracts.services.usecases import end_contracts
from contracts.terminations.answers import CLOCK
from contracts.terminations.rows import Night, Termination
from contracts.terminations.rules import State
from kit import outbox, testclock
from kit.db import Session
from schemas.contract import ContractTerminated

BATCH = 1000
NO_PORTING = PortingOut(False, None)

_COLUMNS = (
    Termination.id,
    Termination.version,
    Termination.contract_id,
    Termination.customer_id,
    Termination.partner_id,
    Termination.last_day,
    Termination.reason,
    Termination.early,
    Termination.ask_id,
    Termination.ask_expires_at,
)
_TENANT: dict[str, Any] = {"partner": Termination.partner_id, "customer": Termination.customer_id}

_MOVE = text(
    """
    with moved as (
        select * from unnest(cast(:ids as uuid[]), cast(:days as date[]), cast(:ats as timestamptz[]))
            as m (id, last_day, at)),
    done as (
        update terminations t set state = :state, version = t.version + 1, last_day = m.last_day,
            waiting_since = m.at, over_at = case when :over then m.at end,
            ask_expires_at = null, remind_at = null, ends_at = null
        from moved m where t.id = m.id returning t.id, t.customer_id, t.partner_id, t.last_day, m.at),
    steps as (
        insert into termination_steps (termination_id, customer_id, partner_id, step, at, actor, detail)
        select id, customer_id, partner_id, :state, at, :actor, jsonb_build_object('last_day', last_day) from done)
    insert into audit (actor, action, subject, detail)
    select :actor, 'termination.' || :state, 'termination/' || id, jsonb_build_object('last_day', last_day) from done
    """
)


async def end_due(db: Session, now: datetime) -> int:
    """End what is due: a batch of services whose last day is over; a job's body. Returns how many were moved.

    A service with an open porting out goes on and waits for it (CON-7).
    """
    due = testclock.due(db, Termination.ends_at, now, **_TENANT)
    rows = await _taken(db, now, Termination.state == State.SCHEDULED, due)
    if not rows:
        await _finish_night(db, now)
        return 0
    night = await _night(db, now, due)
    portings = await portings_out(db, [row.contract_id for row in rows])
    waits = {contract_id for contract_id, porting in portings.items() if porting.open}
    waiting = [row for row in rows if row.contract_id in waits]
    over = [row for row in rows if row.contract_id not in waits]
    days = {row.id: _actual_day(row, portings) for row in over}
    await _move(db, waiting, State.WAITS_FOR_PORTING, {row.id: row.last_day for row in waiting})
    await _end(db, over, days, now)
    night.ended += len(over)
    night.waiting += len(waiting)
    night.moved_at = now
    return len(rows)


async def end_ported(db: Session, now: datetime) -> int:
    """End the services whose last porting out is done or cancelled, on that day; a job's body (CON-7)."""
    waits = select(Termination.id, Termination.contract_id).where(Termination.state == State.WAITS_FOR_PORTING)
    waiting = {row.contract_id: row.id for row in await db.execute(waits)}
    portings = await portings_out(db, list(waiting))
    ready = [id_ for contract_id, id_ in waiting.items() if not portings.get(contract_id, NO_PORTING).open]
    rows = await _taken(db, now, Termination.state == State.WAITS_FOR_PORTING, Termination.id.in_(ready[:BATCH]))
    await _end(db, rows, {row.id: _actual_day(row, portings) for row in rows}, now)
    return len(rows)


async def _taken(db: Session, now: datetime, *which: ColumnElement[bool]) -> Sequence[Any]:
    """Terminations, locked, with their tenants' time; those that somebody is deciding come with the next round."""
    at = testclock.time(db, now, **_TENANT).label("at")
    query = select(*_COLUMNS, at).where(*which).order_by(Termination.ends_at, Termination.id).limit(BATCH)
    rows: Sequence[Any] = (await db.execute(query.with_for_update(skip_locked=True, of=Termination))).all()
    return rows


def _actual_day(row: Row[Any], portings: Mapping[UUID, PortingOut]) -> date:
    """The last day, or the later one on which the last porting out was done or cancelled."""
    over_on = portings.get(row.contract_id, NO_PORTING).over_on
    last_day: date = row.last_day
    return max(last_day, over_on) if over_on else last_day


async def _end(db: Session, rows: Sequence[Row[Any]], days: Mapping[UUID, date], now: datetime) -> None:
    await _move(db, rows, State.ENDED, days)
    await end_contracts(db, {row.contract_id: (days[row.id], row.at) for row in rows}, actor=CLOCK)
    await end_subscriptions(db, {row.contract_id: days[row.id] for row in rows}, actor=CLOCK, now=now)
    outbox.add(
        db,
        *(
            ContractTerminated(
                termination_id=row.id,
                contract_id=row.contract_id,
                customer_id=row.customer_id,
                partner_id=row.partner_id,
                version=row.version + 1,
                at=row.at,
                last_day=days[row.id],
                reason=row.reason,
                early=row.early,
            )
            for row in rows
        ),
    )


async def _move(db: Session, rows: Sequence[Row[Any]], state: State, days: Mapping[UUID, date]) -> None:
    if rows:
        # A withdrawal that nobody answered until the end is no longer asked.
        asked = [Resolution(f"termination_asked/{row.ask_id}", "customer") for row in rows if row.ask_expires_at]
        await resolve_items(db, asked, by=CLOCK, now=rows[0].at)
        moved = {"ids": [r.id for r in rows], "days": [days[r.id] for r in rows], "ats": [r.at for r in rows]}
        await db.execute(_MOVE, {**moved, "state": state.value, "over": state is State.ENDED, "actor": CLOCK})


async def _night(db: Session, now: datetime, due: ColumnElement[bool]) -> Night:
    """The run under way, begun with its first batch."""
    night = await db.scalar(select(Night).where(Night.finished_at.is_(None)))
    if night is None:
        count = select(func.count()).select_from(Termination).where(Termination.state == State.SCHEDULED, due)
        night = Night(began_at=now, due=await db.scalar(count) or 0, ended=0, waiting=0, moved_at=now)
        db.add(night)
    return night


async def _finish_night(db: Session, now: datetime) -> None:
    night = await db.scalar(select(Night).where(Night.finished_at.is_(None)))
    if night is not None:
        night.finished_at = now
