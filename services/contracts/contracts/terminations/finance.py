"""What finance does: it proposes a sum, is told when it is late, and takes over by hand (CON-10, CON-11)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update

from contracts.buyouts.rules import Quote, adjusted, as_stored, fingerprint, free_of_charge
from contracts.services.usecases import lock_contracts
from contracts.terminations import letters
from contracts.terminations.answers import CLOCK, FEW, announced_lines, bought_out
from contracts.terminations.moves import (
    NotWaiting,
    asks,
    calculated,
    close,
    facts_of,
    locked,
    put,
    record,
    schedule,
    waits_for_finance,
)
from contracts.terminations.parties import parties_of
from contracts.terminations.rows import Proposal, Termination
from contracts.terminations.rules import (
    BEFORE_AGREEMENT,
    Reason,
    State,
    check_wish,
    local_day,
    proposal_until,
)
from contracts.terminations.usecases import WISH_REFUSALS
from kit import outbox, testclock
from kit.db import Session, uuid7
from kit.problems import Refused
from schemas.contract import BuyoutProposed, TerminationApproved
from schemas.values import Money


class WishTooNear(Refused):
    """The last day is too near for the customer to accept before it."""

    status = 422
    rule = "CON-11"
    remedy = "Propose a later last day; the sum is drawn anew."


class ReasonNeeded(Refused):
    """Another sum than calculated, or another day than wished, needs a reason."""

    status = 422
    rule = "CON-11"


class NotTakenOver(Refused):
    """Only a termination that finance has taken over is settled by hand."""

    rule = "CON-10"
    remedy = "Take it over first."


@dataclass(frozen=True, slots=True)
class Offer:
    """What finance proposes; what is left out stays as wished and as calculated."""

    last_day: date | None = None
    amount: int | None = None
    """In the contract's minor unit, net of VAT; below zero the customer gets money back."""
    reason: str | None = None


async def propose(db: Session, t: Termination, offer: Offer, *, actor: str, now: datetime) -> Proposal:
    """Freeze a sum with its lines and send it to customer and partner; a newer one replaces an open one.

    Raises `NotWaiting`, `WishTooNear`, `ReasonNeeded`, and what refuses the day.
    """
    if t.at not in (State.PROPOSAL_DUE, State.PROPOSED, State.BY_HAND):
        raise NotWaiting(state=t.state)
    today = local_day(now, t.time_zone)
    last_day = await _checked_day(db, t, offer.last_day or t.last_day, today)
    valid_until = proposal_until(today, last_day)
    if valid_until < today:
        raise WishTooNear(str(last_day), field="last_day", earliest=today + timedelta(days=1))
    quote = await _offered(db, t, offer, last_day)
    proposal = await _frozen(db, t, quote, offer, valid_until, actor=actor, now=now)
    await put(db, t, State.PROPOSED, actor, now)
    await asks(db, t, "proposal", now, valid_until)
    outbox.add(
        db,
        BuyoutProposed(
            **facts_of(t),
            at=now,
            proposal_id=proposal.id,
            last_day=last_day,
            regular_end=t.regular_end,
            amount=Money(amount=proposal.total, currency=t.currency),
            lines=announced_lines(quote),
            lines_hash=proposal.hash,
            valid_until=valid_until,
        ),
    )
    detail = {"proposal_id": str(proposal.id), "sum": proposal.total, "last_day": str(last_day), "hash": proposal.hash}
    await record(db, t, "proposed", actor, now, **detail, until=str(valid_until), note=offer.reason)
    await letters.send_proposal(db, t, proposal, await parties_of(db, t.customer_id))
    return proposal


async def _checked_day(db: Session, t: Termination, last_day: date, today: date) -> date:
    contract = (await lock_contracts(db, [t.contract_id]))[t.contract_id]
    if wrong := check_wish(last_day, contract.starts_on, today):
        raise WISH_REFUSALS[wrong](str(last_day), field="last_day")
    return last_day


async def _offered(db: Session, t: Termination, offer: Offer, last_day: date) -> Quote:
    """The sum drawn anew for the day, and the one that is offered instead, with its reason."""
    if t.why is Reason.FORCE_MAJEURE:
        quote = free_of_charge(last_day, t.regular_end, t.currency, t.reason)
    else:
        quote = await calculated(db, t, last_day, t.regular_end)
    moved = last_day != (t.wish_date or t.last_day)
    other = offer.amount is not None and offer.amount != quote.total
    if (moved or other) and not offer.reason:
        raise ReasonNeeded(field="reason", calculated=quote.total)
    if offer.amount is None or not other:
        return quote
    return adjusted(quote, offer.amount, offer.reason or "")


async def _frozen(
    db: Session,
    t: Termination,
    quote: Quote,
    offer: Offer,
    valid_until: date,
    *,
    actor: str,
    now: datetime,
    agreed_by: str | None = None,
) -> Proposal:
    """The newest proposal, in place of an open one; agreed already where `agreed_by` says with whom."""
    replaced = update(Proposal).where(Proposal.termination_id == t.id, Proposal.state == "open")
    await db.execute(replaced.values(state="replaced", decided_at=now, decided_by=actor))
    adjustment = sum(line.amount for line in quote.lines if line.kind == "adjustment")
    proposal = Proposal(
        id=uuid7(),
        termination_id=t.id,
        customer_id=t.customer_id,
        partner_id=t.partner_id,
        state="accepted" if agreed_by else "open",
        last_day=quote.last_day,
        regular_end=quote.regular_end,
        currency=quote.currency,
        total=quote.total,
        calculated=quote.total - adjustment,
        quote_stored=as_stored(quote),
        hash=fingerprint(t.id, quote),
        reason=offer.reason,
        valid_until=valid_until,
        proposed_at=now,
        proposed_by=actor,
        decided_at=now if agreed_by else None,
        decided_by=agreed_by,
    )
    db.add(proposal)
    await db.flush()
    t.proposal_id = proposal.id
    t.last_day = quote.last_day
    t.early = quote.early
    t.quote_stored = proposal.quote_stored
    return proposal


# -- by hand ----------------------------------------------------------------------------------------------


async def take_over(db: Session, t: Termination, reason: str, *, actor: str, now: datetime) -> None:
    """Finance handles an unusual case by hand: links already sent no longer decide. Raises `NotWaiting`."""
    if t.at not in BEFORE_AGREEMENT:
        raise NotWaiting(state=t.state)
    replaced = update(Proposal).where(Proposal.termination_id == t.id, Proposal.state == "open")
    await db.execute(replaced.values(state="replaced", decided_at=now, decided_by=actor))
    await put(db, t, State.BY_HAND, actor, now)
    t.handled_by = actor
    until = await waits_for_finance(db, t, now)
    await record(db, t, "taken_over", actor, now, note=reason, until=str(until))


@dataclass(frozen=True, slots=True)
class Settlement:
    """What finance agreed with the customer outside the suite."""

    agreed_with: str
    """Who agreed for the customer, and where it is written."""
    offer: Offer


async def settle(db: Session, t: Termination, settlement: Settlement, *, actor: str, now: datetime) -> None:
    """Schedule what was agreed by hand, with the same confirmations as any other.

    Raises `NotTakenOver`, `ReasonNeeded`, and what refuses the day.
    """
    if t.at is not State.BY_HAND:
        raise NotTakenOver(state=t.state)
    today = local_day(now, t.time_zone)
    offer = settlement.offer
    last_day = await _checked_day(db, t, offer.last_day or t.last_day, today)
    quote = await _offered(db, t, offer, last_day)
    proposal: Proposal | None = None
    by = f"{actor}, agreed with {settlement.agreed_with}"
    if quote.early or quote.total:
        proposal = await _frozen(db, t, quote, offer, last_day, actor=actor, now=now, agreed_by=by)
        t.version += 1
        outbox.add(db, bought_out(t, proposal, now))
    else:
        t.last_day, t.early, t.quote_stored = last_day, False, as_stored(quote)
        t.version += 1
        outbox.add(db, TerminationApproved(**facts_of(t), at=now, last_day=last_day))
    await record(db, t, "settled", actor, now, note=settlement.agreed_with, sum=quote.total, last_day=str(last_day))
    await schedule(db, t, by, now, await parties_of(db, t.customer_id), proposal)


async def close_by_hand(db: Session, t: Termination, reason: str, *, actor: str, now: datetime) -> None:
    """Finance closes what it has taken over: the service goes on. Raises `NotTakenOver`."""
    if t.at is not State.BY_HAND:
        raise NotTakenOver(state=t.state)
    await close(db, t, "by_hand", actor, now, await parties_of(db, t.customer_id), reason)


# -- late -------------------------------------------------------------------------------------------------


async def alert(db: Session, now: datetime) -> int:
    """Tell finance, once, what it has let go by; a job's body."""
    late = testclock.due(db, Termination.finance_due_at, now, partner=Termination.partner_id,
                         customer=Termination.customer_id)  # fmt: skip
    query = select(Termination.id).where(
        Termination.finance_due_at.is_not(None), Termination.finance_alerted == 0, late
    )
    ids: Sequence[UUID] = (await db.scalars(query.limit(FEW))).all()
    overdue = [t for t in await locked(db, Termination.id.in_(ids)) if t.finance_due_at and not t.finance_alerted]
    for t in overdue:
        at = await testclock.time_of(db, now, partner_id=t.partner_id, customer_id=t.customer_id)
        t.finance_alerted = 1
        t.version += 1
        await record(db, t, "finance_overdue", CLOCK, at)
        until = local_day((t.finance_due_at or at) - timedelta(microseconds=1), t.time_zone)
        await letters.alert_finance(db, t, await parties_of(db, t.customer_id), until, overdue=True)
    return len(overdue)
