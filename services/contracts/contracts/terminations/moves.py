"""The moves that every way through a termination shares: each changes the row, announces it and is put on record.

A termination is moved under its lock. Locks are taken in one order everywhere: a link, then terminations, then
contracts. Nothing here ends a link: a page asks the termination, which says that it was decided or asked anew.
"""

from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, insert, select

from contracts.attention.usecases import Item, Resolution, open_item, resolve_items
from contracts.buyouts.rules import Quote, as_stored, fingerprint
from contracts.buyouts.usecases import drawn, paid_for, term_of
from contracts.customers.usecases import plan_ends
from contracts.services.usecases import lock_contracts, set_last_day
from contracts.terminations import letters
from contracts.terminations.parties import Parties
from contracts.terminations.rows import Proposal, Step, Termination
from contracts.terminations.rules import (
    AGREED,
    State,
    answer_until,
    end_of_day,
    local_day,
    propose_until,
    regular_end,
    reminder_at,
)
from kit import audit, outbox
from kit.db import Session, uuid7
from kit.problems import Refused
from schemas.contract import TerminationClosed, TerminationScheduled


class TerminationNotFound(Refused):
    """No such termination."""

    status = 404


class NotWaiting(Refused):
    """The termination does not wait for this any more."""

    rule = "CON-13"
    remedy = "Read it again: it shows what it waits for."


async def locked(db: Session, *which: ColumnElement[bool]) -> list[Termination]:
    """Terminations, locked in the order of their ids, as they are now."""
    query = select(Termination).where(*which).order_by(Termination.id).with_for_update()
    return list(await db.scalars(query.execution_options(populate_existing=True)))


def facts_of(t: Termination) -> dict[str, Any]:
    """What every event of a termination says."""
    names = ("contract_id", "customer_id", "partner_id", "version")
    return {"termination_id": t.id, **{name: getattr(t, name) for name in names}}


async def record(db: Session, t: Termination, step: str, actor: str, now: datetime, **detail: Any) -> None:
    """Put a step on record: in the path that partner and platform see, and in the audit (PRI-3)."""
    told = {name: value for name, value in detail.items() if value is not None}
    tenants = {"customer_id": t.customer_id, "partner_id": t.partner_id}
    await db.execute(insert(Step).values(termination_id=t.id, step=step, at=now, actor=actor, detail=told, **tenants))
    told = {name: value for name, value in told.items() if name != "note"}
    await audit.record(db, actor, f"termination.{step}", subject=f"termination/{t.id}", detail=told)


async def put(db: Session, t: Termination, state: State, actor: str, now: datetime) -> None:
    """Into another state; whoever was waited for is not any more."""
    await unasked(db, t, actor, now)
    t.state = state
    t.version += 1
    t.waiting_since = now
    t.ask_expires_at = t.remind_at = t.finance_due_at = t.ends_at = None


async def waits_for_finance(db: Session, t: Termination, now: datetime) -> date:
    """Finance has three working days from now; returns the last of them."""
    until = propose_until(local_day(now, t.time_zone))
    t.finance_due_at = end_of_day(until, t.time_zone)
    t.finance_alerted = 0
    item = _item(t, "termination_with_finance", _with_finance(t), "propose_buyout", "platform")
    await open_item(db, replace(item, due_at=t.finance_due_at), now=now)
    return until


async def asks(
    db: Session, t: Termination, kind: str, now: datetime, until: date, *, group: UUID | None = None
) -> None:
    """The customer is asked by a new mail, and may answer until the end of a day."""
    t.ask_id = uuid7()
    t.ask_kind = kind
    t.ask_group = group or t.ask_id
    t.asked_on = local_day(now, t.time_zone)
    t.reminders = 0
    t.ask_expires_at = end_of_day(until, t.time_zone)
    t.remind_at = reminder_at(t.asked_on, 0, t.time_zone)
    item = _item(t, "termination_asked", _asked(t), "answer_by_the_mails_link", "customer")
    await open_item(db, replace(item, due_at=t.ask_expires_at), now=now)


async def unasked(db: Session, t: Termination, actor: str, now: datetime) -> None:
    """Nobody's list waits for the step that was due."""
    done = [Resolution(_asked(t), "customer")] if t.ask_expires_at else []
    if t.finance_due_at:
        done.append(Resolution(_with_finance(t), "platform"))
    await resolve_items(db, done, by=actor, now=now)


def _asked(t: Termination) -> str:
    return f"termination_asked/{t.ask_id}"


def _with_finance(t: Termination) -> str:
    return f"termination_with_finance/{t.id}/{t.finance_due_at}"


def _item(t: Termination, kind: str, key: str, action: str, audience: str) -> Item:
    detail = {"termination_id": str(t.id), "last_day": str(t.last_day), "for": t.ask_kind}
    return Item(kind, key, t.label, action, None, t.partner_id, t.customer_id, audience, detail)


def check_open(t: Termination, kind: str, state: State, now: datetime) -> None:
    """Raises `NotWaiting` unless this answer is waited for."""
    if t.at is not state or t.ask_kind != kind or t.ask_expires_at is None or t.ask_expires_at <= now:
        raise NotWaiting(state=t.state)


async def calculated(db: Session, t: Termination, last_day: date, regular: date) -> Quote:
    """CON-11's sum, or that of the product's rule, for a last day, from what is paid now."""
    contract = (await lock_contracts(db, [t.contract_id]))[t.contract_id]
    paid = (await paid_for(db, [t.contract_id])).get(t.contract_id, [])
    return drawn(contract.terms, contract.starts_on, contract.one_off_open, last_day, regular, paid)


async def schedule(
    db: Session, t: Termination, actor: str, now: datetime, parties: Parties, accepted: Proposal | None = None
) -> None:
    """Everyone agreed: fix the last day, tell all three (CON-12). `accepted` is the proposal that was, if any."""
    await put(db, t, State.SCHEDULED, actor, now)
    t.agreed_at, t.agreed_by = now, actor
    t.agreed_hash = fingerprint(t.id, t.quote)
    t.ends_at = end_of_day(t.last_day, t.time_zone)
    contract = (await lock_contracts(db, [t.contract_id]))[t.contract_id]
    await set_last_day(db, contract, t.last_day, actor=actor)
    await plan_ends(db, {t.contract_id: t.last_day}, actor=actor, now=now)
    outbox.add(
        db,
        TerminationScheduled(
            **facts_of(t),
            at=now,
            last_day=t.last_day,
            regular_end=t.regular_end,
            early=t.early,
            proposal_id=accepted.id if accepted else None,
        ),
    )
    await record(db, t, "scheduled", actor, now, last_day=str(t.last_day), sum=t.quote.total, hash=t.agreed_hash)
    await letters.confirm(db, t, parties)


async def close(
    db: Session, t: Termination, why: str, actor: str, now: datetime, parties: Parties, note: str | None = None
) -> None:
    """The service goes on: lift a last day that was set, tell all three."""
    was_agreed = t.at in AGREED
    proposal = await db.get(Proposal, t.proposal_id, with_for_update=True) if t.proposal_id else None
    bought_out = was_agreed and proposal is not None and proposal.state == "accepted"
    if proposal is not None and proposal.state == "open":
        decide(proposal, "withdrawn", actor, now)
    await put(db, t, State.CLOSED, actor, now)
    t.closed_reason, t.over_at = why, now
    if was_agreed:
        contract = (await lock_contracts(db, [t.contract_id]))[t.contract_id]
        await set_last_day(db, contract, None, actor=actor)
        await plan_ends(db, {t.contract_id: None}, actor=actor, now=now)
    outbox.add(db, TerminationClosed(**facts_of(t), at=now, reason=why, buyout_was_accepted=bought_out))
    await record(db, t, "closed", actor, now, reason=why, note=note)
    await letters.tell_closed(db, t, parties)


def decide(proposal: Proposal, state: str, actor: str, now: datetime) -> None:
    proposal.state, proposal.decided_at, proposal.decided_by = state, now, actor


async def ask_regular(db: Session, t: Termination, actor: str, now: datetime, parties: Parties) -> None:
    """A proposal came to nothing: the customer is asked once for the regular end, notice still from the request."""
    today = local_day(now, t.time_zone)
    contract = (await lock_contracts(db, [t.contract_id]))[t.contract_id]
    t.regular_end = regular_end(term_of(contract.terms, contract.starts_on), t.requested_on, not_before=today)
    t.last_day, t.early = t.regular_end, False
    t.quote_stored = as_stored(Quote(t.last_day, t.regular_end, t.currency, ()))
    await put(db, t, State.REQUESTED, actor, now)
    await asks(db, t, "approval", now, answer_until(today, t.last_day))
    await record(db, t, "asked", actor, now, last_day=str(t.last_day))
    await letters.ask_approval(db, [t], parties)
