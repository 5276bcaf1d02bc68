"""The overview: kept by whoever changes what it shows, in the same transaction; listed, counted and exported."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Date as SqlDate
from sqlalchemy import Select, and_, cast, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert

from contracts.overview.rows import OverviewLine
from contracts.overview.rules import sort_name
from contracts.terminations.rules import local_day
from kit import testclock
from kit.auth import Caller
from kit.db import Session
from kit.problems import Refused


class PartnerNotNamed(Refused):
    """Name the partner whose customers you want to see."""

    status = 422
    rule = "CON-3"


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


# -- figures of use -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """What a report of use has to know of a customer whose line is locked."""

    partner_id: UUID | None
    counted_on: date
    today: date
    """The day that it is at the customer's."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A line whose activities are counted up to a day that is over."""

    customer_id: UUID
    counted_on: date
    today: date


@dataclass(frozen=True, slots=True)
class Figures:
    """How a line's figures change; what is None stays."""

    customer_id: UUID
    activities: int = 0
    """How many more, or with a minus fewer."""
    counted_on: date | None = None
    users: int | None = None
    framework: str | None = None
    progress: int | None = None


def _time(db: Session, now: datetime) -> Any:
    return testclock.time(db, now, partner=OverviewLine.partner_id, customer=OverviewLine.customer_id)


async def lock_lines(db: Session, customer_ids: Collection[UUID], now: datetime) -> dict[UUID, Line]:
    """Lock the lines of customers within the caller's reach, in the order of their ids."""
    query = (
        select(
            OverviewLine.customer_id,
            OverviewLine.partner_id,
            OverviewLine.counted_on,
            OverviewLine.time_zone,
            _time(db, now),
        )
        .where(OverviewLine.customer_id == func.any(sorted(customer_ids)))
        .order_by(OverviewLine.customer_id)
        .with_for_update()
    )
    rows = await db.execute(query)
    return {c: Line(partner_id, counted_on, local_day(at, zone)) for c, partner_id, counted_on, zone, at in rows}


async def lock_stale(db: Session, now: datetime, limit: int = 5000) -> list[Stale]:
    """Lock lines for which a new local day has begun, zone by zone."""
    zones = (await db.scalars(select(OverviewLine.time_zone).distinct())).all()
    old = or_(*(and_(OverviewLine.time_zone == zone, OverviewLine.counted_on < local_day(now, zone)) for zone in zones))
    if testclock.on(db):
        old = OverviewLine.counted_on < cast(func.timezone(OverviewLine.time_zone, _time(db, now)), SqlDate)
    elif not zones:
        return []
    columns = (OverviewLine.customer_id, OverviewLine.counted_on, OverviewLine.time_zone, _time(db, now))
    query = select(*columns).where(old).order_by(OverviewLine.customer_id).limit(limit)
    rows = await db.execute(query.with_for_update(skip_locked=True))
    return [Stale(c, counted_on, local_day(at, zone)) for c, counted_on, zone, at in rows]


_ADD_FIGURES = text(
    "update overview o set activities = o.activities + w.step, counted_on = coalesce(w.counted_on, o.counted_on),"
    " users = coalesce(w.users, o.users), framework = coalesce(w.framework, o.framework),"
    " progress = coalesce(w.progress, o.progress)"
    " from unnest(cast(:ids as uuid[]), cast(:steps as bigint[]), cast(:counted as date[]), cast(:users as int[]),"
    " cast(:frameworks as text[]), cast(:progress as int[]))"
    " as w (customer_id, step, counted_on, users, framework, progress)"
    " where o.customer_id = w.customer_id and (w.step <> 0 or w.counted_on is not null or"
    " (w.users, w.framework, w.progress) is distinct from (o.users, o.framework, o.progress))"
)


async def add_figures(db: Session, figures: Iterable[Figures]) -> None:
    """Change the figures of lines that the transaction has locked, in one statement."""
    changed = list(figures)
    if not changed:
        return
    lists = {
        "ids": [f.customer_id for f in changed],
        "steps": [f.activities for f in changed],
        "counted": [f.counted_on for f in changed],
        "users": [f.users for f in changed],
        "frameworks": [f.framework for f in changed],
        "progress": [f.progress for f in changed],
    }
    await db.execute(_ADD_FIGURES, lists)


# -- looking ------------------------------------------------------------------------------------------------

SORTS = {
    "name": OverviewLine.sort_name,
    "framework": OverviewLine.framework,
    "progress": OverviewLine.progress,
    "users": OverviewLine.users,
    "activities": OverviewLine.activities,
    "attention": OverviewLine.attention,
    "status": OverviewLine.status,
    "starts_on": OverviewLine.starts_on,
    "due_on": OverviewLine.due_on,
}
"""What the list may be sorted by; one index each."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which customers, in which order."""

    partner_id: UUID | None
    """None: the customers without a partner."""
    status: str | None = None
    attention: bool = False
    search: str = ""
    sort: str = "name"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """How many customers each filter would show, among those that the search finds."""

    all: int
    trial: int
    active: int
    closed: int
    company: int
    needs_attention: int


def whose(caller: Caller, partner_id: UUID | None, *, without_partner: bool = False) -> UUID | None:
    """The partner whose customers a caller sees: its own, or for staff the one it names.

    Raises `PartnerNotNamed`; staff that want the customers without a partner say so.
    """
    if not caller.is_platform:
        return caller.tenant_id
    if partner_id is None and not without_partner:
        raise PartnerNotNamed(field="partner_id")
    return partner_id


def listed(db: Session, wish: Wish, now: datetime) -> tuple[Select[Any], list[Any]]:
    """The lines wished for, each with its tenant's time, and their order."""
    column = SORTS[wish.sort]
    order = [column.desc(), OverviewLine.customer_id.desc()] if wish.descending else [column, OverviewLine.customer_id]
    return _narrowed(select(OverviewLine, _time(db, now).label("at")), wish), order


async def count(db: Session, wish: Wish) -> Counts:
    """How many customers each filter shows, with the wish's search."""
    everything = Wish(wish.partner_id, search=wish.search)
    # Two questions, each answered by an index alone; together they would read every row.
    by_status: Any = select(OverviewLine.status, func.count()).group_by(OverviewLine.status)
    found = {row[0]: row[1] for row in await db.execute(_narrowed(by_status, everything))}
    needing = await db.scalar(_narrowed(select(func.count()).where(OverviewLine.attention > 0), everything))
    return Counts(
        all=sum(found.values()),
        needs_attention=needing or 0,
        **{status: found.get(status, 0) for status in ("trial", "active", "closed", "company")},
    )


def _narrowed(query: Select[Any], wish: Wish) -> Select[Any]:
    mine = OverviewLine.partner_id
    query = query.where(mine.is_(None) if wish.partner_id is None else mine == wish.partner_id)
    if wish.status is not None:
        query = query.where(OverviewLine.status == wish.status)
    if wish.attention:
        query = query.where(OverviewLine.attention > 0)
    if looked_for := sort_name(wish.search):
        found = func.overview_search(looked_for, wish.partner_id)
        query = query.where(OverviewLine.customer_id.in_(select(found)))
    return query


async def customers_named(db: Session, partner_id: UUID, names: Collection[str]) -> dict[str, UUID]:
    """A partner's customers by their names as `sort_name` makes them, of those that are there."""
    query = select(OverviewLine.sort_name, OverviewLine.customer_id).where(
        OverviewLine.partner_id == partner_id, OverviewLine.sort_name == func.any(sorted(set(names)))
    )
    found = await db.execute(query.order_by(OverviewLine.customer_id.desc()))
    return {row[0]: row[1] for row in found}
