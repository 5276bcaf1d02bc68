"""The page behind the link in a manager's mail."""

from datetime import datetime
from uuid import UUID

from enrollment.approvals.usecases import asked_about, cost
from enrollment.approvals.words import words_in
from enrollment.enrollments.rules import State
from enrollment.enrollments.usecases import by_id, decide
from enrollment.pace import moment
from kit.db import Session
from kit.links import Link, LinkReplaced, Matter, Purpose

_OUTCOMES = {State.APPROVED: "approved", State.CONFIRMED: "approved", State.COMPLETED: "approved"}


async def show(db: Session, matter_id: UUID, link: Link) -> Matter:
    """The request, or how it was decided by whatever way, for who is still one of those asked."""
    e = await by_id(db, matter_id)
    asked = (await asked_about(db, [e]))[e.id]
    if link.recipient not in asked.approvers:
        raise LinkReplaced()
    words = words_in(link.language)
    at = moment(db)
    lines = [(words["person"], asked.person), (words["course"], asked.course)]
    if asked.starts_at:
        lines.append((words["starts"], at.day(asked.starts_at).isoformat()))
    lines.append((words["cost"], cost(e, words)))
    if e.state is State.REQUESTED and e.expires_at:
        lines.append((words["until"], at.day(e.expires_at).isoformat()))
    decided = e.state is not State.REQUESTED
    return Matter(
        title=words["title"],
        lines=lines,
        actions=[("approve", words["approve"]), ("decline", words["decline"])],
        outcome=words[_OUTCOMES.get(e.state, e.state.value)] if decided else None,
        # A request does not change while it waits, so only a newer mail or the decision ends its link.
        version=link.version,
        note_label=words["note"],
    )


async def act(db: Session, link: Link, action: str, note: str, now: datetime) -> str:
    """The answer of one whom `show` let in; the first of all answers counts."""
    e = await by_id(db, link.matter_id, lock=True)
    approve = action == "approve"
    await decide(db, e, moment(db, now), approve=approve, by=link.actor, signature=f"link:{link.id}", why=note or None)
    return words_in(link.language)["approved" if approve else "declined"]


APPROVE = Purpose(show, act)
