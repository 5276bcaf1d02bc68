"""Keeping the overview: whoever changes what it shows says so here, in the same transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from contracts.overview.rows import OverviewLine
from contracts.overview.rules import sort_name
from kit.db import Session


@dataclass(frozen=True, slots=True)
class Standing:
    """What a customer is, as the overview shows it."""

    customer_id: UUID
    partner_id: UUID | None
    name: str
    time_zone: str
    status: str
    closed_reason: str | None
    trial_started_on: date | None
    trial_ends_on: date | None
    subscribed_on: date | None
    renews_on: date | None
    closed_on: date | None


async def keep_standing(db: Session, standings: Sequence[Standing], today: date) -> None:
    """Show customers as they now are; a new one begins without users, activities and items."""
    if not standings:
        return
    own = [asdict(s) | {"sort_name": sort_name(s.name)} for s in sorted(standings, key=lambda s: s.customer_id)]
    empty = {"framework": "", "progress": -1, "users": 0, "activities": 0, "attention": 0, "counted_on": today}
    new = insert(OverviewLine)
    changed = {name: new.excluded[name] for name in own[0] if name != "customer_id"}
    await db.execute(
        new.on_conflict_do_update(index_elements=["customer_id"], set_=changed), [line | empty for line in own]
    )


_ADD_ATTENTION = text(
    "with wanted as (select * from unnest(cast(:ids as uuid[]), cast(:steps as int[])) as w (customer_id, step)),"
    # In the order of ids, so that two transactions over the same customers wait for each other.
    " locked as (select o.customer_id from overview o join wanted w using (customer_id) order by 1 for update of o)"
    " update overview o set attention = o.attention + w.step"
    " from wanted w join locked l using (customer_id) where o.customer_id = w.customer_id"
)


async def add_attention(db: Session, steps: Mapping[UUID, int]) -> None:
    """Count items that a customer's partner has more, or with a negative step fewer."""
    if steps:
        ids = sorted(steps)
        await db.execute(_ADD_ATTENTION, {"ids": ids, "steps": [steps[customer_id] for customer_id in ids]})
