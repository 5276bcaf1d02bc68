"""What the customer answers to a mail, and what its silence means (CON-10 to CON-12)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from contracts.buyouts.rules import Line, Quote
from contracts.terminations import letters
from contracts.terminations.moves import (
    NotWaiting,
    ask_regular,
    asks,
    check_open,
    close,
    decide,
    facts_of,
    locked,
    record,
    schedule,
    unasked,
)
from contracts.terminations.parties import parties_of
from contracts.terminations.rows import Proposal, Termination
from contracts.terminations.rules import (
    BEFORE_AGREEMENT,
    State,
    answer_until,
    end_of_day,
    local_day,
    reminder_at,
    reminders_due,
)
from kit import outbox, testclock
from kit.db import Session
from schemas.contract import BuyoutAccepted, BuyoutLine, SetOff, TerminationApproved
from schemas.values import Money

CLOCK = "system:clock"


# -- an end on or after the regular end -------------------------------------------------------------------


async def approve(db: Session, t: Termination, actor: str, now: datetime) -> None:
    """The customer approves; the notice counts from the day of the request. Raises `NotWaiting`."""
    check_open(t, "approval", State.REQUESTED, now)
    t.version += 1
    outbox.add(db, TerminationApproved(**facts_of(t), at=now, last_day=t.last_day))
    await record(db, t, "approved", actor, now)
    await schedule(db, t, actor, now, await parties_of(db, t.customer_id))


async def decline(db: Session, t: Termination, actor: str, now: datetime, note: str | None) -> None:
    """The customer declines: closed. Raises `NotWaiting`."""
    check_open(t, "approval", State.REQUESTED, now)
    await close(db, t, "declined", actor, now, await parties_of(db, t.customer_id), note)


# -- an early end -----------------------------------------------------------------------------------------


async def accept(db: Session, t: Termination, proposal: Proposal, actor: str, now: datetime) -> None:
    """The customer accepts the newest proposal, as it was frozen. Raises `NotWaiting`."""
    check_open(t, "proposal", State.PROPOSED, now)
    decide(proposal, "accepted", actor, now)
    t.version += 1
    outbox.add(db, bought_out(t, proposal, now))
    await record(db, t, "accepted", actor, now, proposal_id=str(proposal.id), sum=proposal.total, hash=proposal.hash)
    await schedule(db, t, actor, now, await parties_of(db, t.customer_id), proposal)


async def refuse(db: Session, t: Termination, proposal: Proposal, actor: str, now: datetime, note: str | None) -> None:
    """The customer declines the proposal, and is asked for the regular end. Raises `NotWaiting`."""
    check_open(t, "proposal", State.PROPOSED, now)
    decide(proposal, "declined", actor, now)
    await record(db, t, "proposal_declined", actor, now, proposal_id=str(proposal.id), note=note)
    await ask_regular(db, t, actor, now, await parties_of(db, t.customer_id))


def bought_out(t: Termination, proposal: Proposal, now: datetime) -> BuyoutAccepted:
    """The accepted sum with its lines, and what of it is paid already (BIL-10)."""
    quote = proposal.quote
    return BuyoutAccepted(
        **facts_of(t),
        at=now,
        proposal_id=proposal.id,
        last_day=proposal.last_day,
        regular_end=proposal.regular_end,
        amount=Money(amount=proposal.total, currency=proposal.currency),
        lines=announced_lines(quote),
        lines_hash=proposal.hash,
        set_off=[
            SetOff(
                invoice_id=line.invoice_id,
                period_from=line.first,
                period_to=line.last,
                amount=Money(amount=-line.amount, currency=quote.currency),
            )
            for line in quote.lines
            if line.kind == "already_paid" and line.invoice_id and line.first and line.last
        ],
    )


def announced_lines(quote: Quote) -> list[BuyoutLine]:
    """A quote's lines as events carry them."""

    def announced(line: Line) -> BuyoutLine:
        amount = Money(amount=line.amount, currency=quote.currency)
        label = line.kind.replace("_", " ")
        return BuyoutLine(kind=line.kind, label=label, since=line.first, until=line.last, amount=amount)

    return [announced(line) for line in quote.lines]


# -- a withdrawal of what was agreed ----------------------------------------------------------------------


async def approve_withdrawal(db: Session, t: Termination, actor: str, now: datetime) -> None:
    """The customer agrees that the service goes on. Raises `NotWaiting`."""
    check_open(t, "withdrawal", State.SCHEDULED, now)
    await close(db, t, "withdrawn", actor, now, await parties_of(db, t.customer_id))


async def decline_withdrawal(db: Session, t: Termination, actor: str, now: datetime, why: str) -> None:
    """The customer says no, or nothing: the agreed end stands."""
    await unasked(db, t, actor, now)
    t.version += 1
    t.ask_expires_at = t.remind_at = None
    await record(db, t, f"withdrawal_{why}", actor, now)
    await letters.tell_stands(db, t, await parties_of(db, t.customer_id), why)


# -- silence ----------------------------------------------------------------------------------------------

FEW = 50
"""Handled in one transaction of a job."""


async def expire(db: Session, now: datetime) -> int:
    """What the customer has not answered in time; a job's body."""
    over = testclock.due(db, Termination.ask_expires_at, now, partner=Termination.partner_id,
                         customer=Termination.customer_id)  # fmt: skip
    query = select(Termination.id).where(Termination.ask_expires_at.is_not(None), over).limit(FEW)
    terminations = await locked(db, Termination.id.in_((await db.scalars(query)).all()))
    for t in terminations:
        at = await testclock.time_of(db, now, partner_id=t.partner_id, customer_id=t.customer_id)
        if t.ask_expires_at is None or t.ask_expires_at > at:
            continue  # answered meanwhile
        match t.ask_kind:
            case "approval":
                await close(db, t, "expired", CLOCK, at, await parties_of(db, t.customer_id))
            case "proposal":
                proposal = await newest_proposal(db, t)
                decide(proposal, "expired", CLOCK, at)
                await record(db, t, "proposal_expired", CLOCK, at, proposal_id=str(proposal.id))
                await ask_regular(db, t, CLOCK, at, await parties_of(db, t.customer_id))
            case _:
                await decline_withdrawal(db, t, CLOCK, at, "expired")
    return len(terminations)


async def newest_proposal(db: Session, t: Termination) -> Proposal:
    """The proposal that a termination stands at, locked."""
    proposal = await db.get(Proposal, t.proposal_id, with_for_update=True, populate_existing=True)
    if proposal is None:
        raise LookupError(f"termination {t.id} has no proposal")
    return proposal


async def remind(db: Session, now: datetime) -> int:
    """Ask once more those who have not answered, 3, 7 and 12 days after the mail; a job's body.

    The new links replace the old ones, which waits for whoever is using one of those: links before terminations.
    """
    due = testclock.due(db, Termination.remind_at, now, partner=Termination.partner_id,
                        customer=Termination.customer_id)  # fmt: skip
    query = select(Termination.ask_group).where(Termination.remind_at.is_not(None), due).limit(FEW)
    groups = sorted({group for group in (await db.scalars(query)).all() if group})
    reminded = 0
    for group in groups:
        reminded += await _remind(db, group, now)
    return reminded


async def _remind(db: Session, group: UUID, now: datetime) -> int:
    await _wait_for_answers(db, group)
    asked = [t for t in await locked(db, Termination.ask_group == group) if t.remind_at and t.ask_expires_at]
    if not asked:
        return 0
    first = asked[0]
    at = await testclock.time_of(db, now, partner_id=first.partner_id, customer_id=first.customer_id)
    open_ = [t for t in asked if t.ask_expires_at and t.ask_expires_at > at]
    for t in asked:
        _next_reminder(t, at)
    if open_:
        await _send_reminder(db, open_)
        for t in open_:
            await record(db, t, "reminded", CLOCK, at, reminder=t.reminders)
    return len(asked)


def _next_reminder(t: Termination, at: datetime) -> None:
    """After a leap of the clock one reminder stands for those that were missed."""
    if t.asked_on is None or t.ask_expires_at is None:
        raise ValueError("nothing is asked")
    t.reminders = max(reminders_due(t.asked_on, local_day(at, t.time_zone)), t.reminders + 1)
    following = reminder_at(t.asked_on, t.reminders, t.time_zone)
    t.remind_at = following if following and following < t.ask_expires_at else None


async def _send_reminder(db: Session, asked: Sequence[Termination]) -> None:
    first = asked[0]
    parties = await parties_of(db, first.customer_id)
    match first.ask_kind:
        case "approval":
            await letters.ask_approval(db, asked, parties, again=first.reminders)
        case "proposal":
            await letters.send_proposal(db, first, await newest_proposal(db, first), parties, again=first.reminders)
        case _:
            await letters.ask_withdrawal(db, first, parties, again=first.reminders)


async def _wait_for_answers(db: Session, group: UUID) -> None:
    """Lock the open links of what was asked together, as an answer does before it locks terminations."""
    matters = select(Termination.ask_id, Termination.ask_group, Termination.proposal_id).where(
        Termination.ask_group == group
    )
    ids = {matter for row in await db.execute(matters) for matter in row if matter}
    await letters.lock_links(db, ids)


# -- a withdrawal is asked --------------------------------------------------------------------------------


async def withdraw(db: Session, t: Termination, actor: str, now: datetime, note: str | None) -> None:
    """The partner withdraws: alone before the customer has agreed, after that with its approval (CON-12).

    Raises `NotWaiting` where it is over, or the last day has gone by.
    """
    parties = await parties_of(db, t.customer_id)
    if t.at in BEFORE_AGREEMENT:
        await close(db, t, "withdrawn", actor, now, parties, note)
        return
    if t.at is not State.SCHEDULED or end_of_day(t.last_day, t.time_zone) <= now:
        raise NotWaiting(state=t.state)
    if t.ask_kind == "withdrawal" and t.ask_expires_at:
        return  # asked already
    t.version += 1
    today = local_day(now, t.time_zone)
    await asks(db, t, "withdrawal", now, answer_until(today, t.last_day))
    await record(db, t, "withdrawal_asked", actor, now, note=note)
    await letters.ask_withdrawal(db, t, parties)
