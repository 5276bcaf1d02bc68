"""The enrollment page behind the link in a supplier's mail: it shows, reports completion, cancels."""

from datetime import datetime
from uuid import UUID

from enrollment.enrollments.rules import By, State
from enrollment.enrollments.usecases import by_id, cancel, complete
from enrollment.pace import moment
from enrollment.suppliers.usecases import as_shown, described
from enrollment.suppliers.words import words_in
from kit.db import Session
from kit.links import Link, LinkReplaced, Matter, Purpose


async def show(db: Session, matter_id: UUID, link: Link) -> Matter:
    """The enrollment as it is now, for who is still one of the supplier's users."""
    e = await by_id(db, matter_id)
    (shown,) = await as_shown(db, [e])
    if link.recipient not in shown.recipients:
        raise LinkReplaced()
    words = words_in(link.language)
    return Matter(
        title=words["title"],
        lines=described(shown, moment(db)),
        actions=[("complete", words["complete"]), ("cancel", words["cancel"])],
        outcome=words.get(f"done_{e.state}") if e.state is not State.CONFIRMED else None,
        version=link.version,
        note_label=words["note"],
    )


async def act(db: Session, link: Link, action: str, note: str, now: datetime) -> str:
    """Completed, or cancelled with a reason: then everything goes back (ENR-3). `show` has let the user in."""
    e = await by_id(db, link.matter_id, lock=True)
    at = moment(db, now)
    words = words_in(link.language)
    if action == "complete":
        await complete(db, e, at, by=link.actor)
        return words["done_completed"]
    await cancel(db, e, at, by=link.actor, as_=By.SUPPLIER, why=note)
    return words["done_cancelled"]


SUPPLIER = Purpose(show, act)
