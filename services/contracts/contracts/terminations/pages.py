"""The pages behind the links in mails to the customer: they show a matter; only a button decides it (CON-10)."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from contracts.terminations import answers
from contracts.terminations.letters import ACCEPT, APPROVE, APPROVE_ALL, WITHDRAW, facts, last_answer
from contracts.terminations.moves import check_open, locked
from contracts.terminations.parties import Parties, parties_of
from contracts.terminations.rows import Proposal, Termination
from contracts.terminations.rules import State
from contracts.terminations.words import described, readable, words_in, written
from kit.db import Session
from kit.links import Link, LinkReplaced, Matter, Purpose

Act = Callable[[Session, Link, str, str, datetime], Awaitable[str]]


async def _asked(db: Session, *which: object) -> tuple[list[Termination], Parties]:
    """What a link asks about. A mail that a newer one replaced asks about nothing: raises `LinkReplaced`."""
    query = select(Termination).where(*which).order_by(Termination.id)  # type: ignore[arg-type]
    found = list(await db.scalars(query.execution_options(populate_existing=True)))
    if not found:
        raise LinkReplaced()
    return found, await parties_of(db, found[0].customer_id)


def outcome(t: Termination, language: str) -> str | None:
    """How the mail that asked about it was decided; None while it waits for the answer."""
    words = words_in(language)
    day = written(t.last_day, language)
    waits = {"approval": State.REQUESTED, "proposal": State.PROPOSED, "withdrawal": State.SCHEDULED}
    if t.ask_kind in waits and t.at is waits[t.ask_kind] and t.ask_expires_at:
        return None
    if t.ask_kind == "withdrawal":
        return words["was_kept"] if t.at is State.CLOSED else words["was_stood"]
    match t.at:
        case State.SCHEDULED | State.WAITS_FOR_PORTING:
            return words["was_accepted" if t.ask_kind == "proposal" else "was_scheduled"].format(day=day)
        case State.ENDED:
            return words["was_ended"].format(day=day)
        case State.CLOSED:
            return words["was_closed"].format(why=words[t.closed_reason or "withdrawn"])
    return words["was_replaced"]


# -- approving one, or all of a mail ----------------------------------------------------------------------


async def _show(db: Session, title: str, actions: Sequence[str], link: Link, *which: object) -> Matter:
    terminations, parties = await _asked(db, *which)
    words = words_in(link.language)
    open_ = [t for t in terminations if outcome(t, link.language) is None]
    lines = []
    for t in terminations:
        lines += facts(t, parties.customer_name, link.language)
        decided = outcome(t, link.language)
        if decided is None:
            lines.append((words["until"], written(last_answer(t), link.language)))
        else:
            lines.append((words["outcome"], decided))
    return Matter(
        title=words[title],
        lines=lines,
        actions=[(name, words[label]) for name, label in (action.split("=") for action in actions)],
        outcome=None if open_ else _outcomes(terminations, link),
        version=link.version,
        note_label=words["note"],
        brand=parties.signed_by,
    )


async def show_approval(db: Session, matter_id: UUID, link: Link) -> Matter:
    """One service's end."""
    actions = ["approve=approve", "decline=decline"]
    return await _show(db, "title_approval", actions, link, Termination.ask_id == matter_id)


async def show_approvals(db: Session, matter_id: UUID, link: Link) -> Matter:
    """All ends of one mail, with what is decided of them."""
    actions = ["approve=approve_all", "decline=decline_all"]
    return await _show(db, "title_approval", actions, link, Termination.ask_group == matter_id)


async def approve(db: Session, link: Link, action: str, note: str, now: datetime) -> str:
    """Approve or decline one service's end."""
    asked = await locked(db, Termination.ask_id == link.matter_id)
    await _decide(db, asked, link, action, note, now)
    return _outcomes(asked, link)


async def approve_all(db: Session, link: Link, action: str, note: str, now: datetime) -> str:
    """Approve or decline every end of the mail that is not decided yet."""
    asked = await locked(db, Termination.ask_group == link.matter_id)
    waiting = [t for t in asked if t.at is State.REQUESTED and t.ask_expires_at and t.ask_expires_at > now]
    await _decide(db, waiting or asked, link, action, note, now)
    return _outcomes(asked, link)


async def _decide(
    db: Session, terminations: Sequence[Termination], link: Link, action: str, note: str, now: datetime
) -> None:
    if not terminations:
        raise LinkReplaced()
    for t in terminations:
        if action == "approve":
            await answers.approve(db, t, link.actor, now)
        else:
            await answers.decline(db, t, link.actor, now, note or None)


def _outcomes(asked: Sequence[Termination], link: Link) -> str:
    return " ".join(f"{t.label}: {outcome(t, link.language)}" for t in asked)


# -- accepting a proposal ---------------------------------------------------------------------------------


async def _proposed(db: Session, proposal_id: UUID) -> tuple[Proposal, Termination, Parties]:
    proposal = await db.get(Proposal, proposal_id, populate_existing=True)
    if proposal is None:
        raise LinkReplaced()
    (t, *_), parties = await _asked(db, Termination.id == proposal.termination_id)
    return proposal, t, parties


async def show_proposal(db: Session, matter_id: UUID, link: Link) -> Matter:
    """The proposal as it was frozen, line by line."""
    proposal, t, parties = await _proposed(db, matter_id)
    if proposal.state == "replaced":
        raise LinkReplaced()
    words = words_in(link.language)
    sums = [
        (" · ".join(filter(None, described(line, link.language))), readable(line.amount, proposal.currency))
        for line in proposal.quote.lines
    ]
    told = [
        (words["customer"], parties.customer_name),
        (words["service"], t.label),
        (words["last_day"], written(proposal.last_day, link.language)),
        (words["regular_end"], written(proposal.regular_end, link.language)),
        *sums,
        (words["sum"], readable(proposal.total, proposal.currency)),
        (words["reference"], str(t.id)),
        (words["hash"], proposal.hash),
        (words["until"], written(proposal.valid_until, link.language)),
    ]
    decided = {
        "open": None,
        "accepted": words["was_accepted"].format(day=written(proposal.last_day, link.language)),
    }.get(proposal.state, words["was_closed"].format(why=words.get(proposal.state, proposal.state)))
    return Matter(
        title=words["title_proposal"],
        lines=told,
        actions=[("accept", words["accept"]), ("decline", words["decline"])],
        outcome=decided,
        version=link.version,
        note_label=words["note"],
        brand=parties.signed_by,
    )


async def accept(db: Session, link: Link, action: str, note: str, now: datetime) -> str:
    """Accept or decline the proposal."""
    proposal = await db.get(Proposal, link.matter_id)
    if proposal is None:
        raise LinkReplaced()
    (t,) = await locked(db, Termination.id == proposal.termination_id)
    proposal = await answers.newest_proposal(db, t)
    if proposal.id != link.matter_id:
        raise LinkReplaced()
    if action == "accept":
        await answers.accept(db, t, proposal, link.actor, now)
        return words_in(link.language)["was_accepted"].format(day=written(proposal.last_day, link.language))
    await answers.refuse(db, t, proposal, link.actor, now, note or None)
    return words_in(link.language)["was_closed"].format(why=words_in(link.language)["declined"])


# -- approving a withdrawal -------------------------------------------------------------------------------


async def show_withdrawal(db: Session, matter_id: UUID, link: Link) -> Matter:
    """An agreed end that may be lifted."""
    actions = ["approve=keep", "decline=stand"]
    return await _show(db, "title_withdrawal", actions, link, Termination.ask_id == matter_id)


async def approve_withdrawal(db: Session, link: Link, action: str, note: str, now: datetime) -> str:
    """Let the service go on, or let it end as agreed."""
    found = await locked(db, Termination.ask_id == link.matter_id)
    if not found:
        raise LinkReplaced()
    (t,) = found
    check_open(t, "withdrawal", State.SCHEDULED, now)
    if action == "approve":
        await answers.approve_withdrawal(db, t, link.actor, now)
        return words_in(link.language)["was_kept"]
    await answers.decline_withdrawal(db, t, link.actor, now, "declined")
    return words_in(link.language)["was_stood"]


PURPOSES = {
    APPROVE: Purpose(show_approval, approve),
    APPROVE_ALL: Purpose(show_approvals, approve_all),
    ACCEPT: Purpose(show_proposal, accept),
    WITHDRAW: Purpose(show_withdrawal, approve_withdrawal),
}
