"""Opening, snoozing and resolving attention items; the overview counts a partner's open ones by customer.

Other features open an item under a key of the business and resolve it under the same key, in any order and as
often as they like: what is resolved stays resolved. What may need attention again has the occurrence in its key.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Select, false, func, literal, null, select, text, update

from contracts.attention.rows import AttentionItem
from contracts.overview.usecases import add_attention
from kit import audit, testclock
from kit.auth import Caller
from kit.db import Session
from kit.problems import Refused

SNOOZE_MAX_DAYS = 366
BY_HAND = "reported"
"""The kind of items that a subscribed application reported: they may be resolved by hand."""


class ItemNotFound(Refused):
    """No such attention item."""

    status = 404


class ResolvedByDoing(Refused):
    """This item is resolved by doing what it asks for."""

    rule = "POR-4"
    remedy = "Do its next action, or snooze it."


class SnoozeOutOfReach(Refused):
    """An item is snoozed until a moment to come, within a year."""

    status = 422


@dataclass(frozen=True, slots=True)
class Item:
    """Something that somebody should do. `key` names it, once for each list."""

    kind: str
    """What it is, such as `trial_ends`."""
    key: str
    """Such as `trial_ends/<customer>/<day>`."""
    subject: str
    """What it is about, in words that its reader knows: a customer's or a service's name."""
    next_action: str
    """What resolves it, such as `order_subscription`."""
    due_at: datetime | None = None
    partner_id: UUID | None = None
    """The partner whose list it is on, or above the customer whose list it is on."""
    customer_id: UUID | None = None
    """The customer that it is about."""
    audience: str = "partner"
    """Whose list: `platform`, `partner` or `customer`."""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What resolves an item, whether it was opened yet or not."""

    key: str
    audience: str = "partner"


async def open_item(db: Session, item: Item, *, now: datetime) -> None:
    """Put one item on its list; there already, or resolved, nothing changes."""
    await open_items(db, [item], now=now)


async def open_items(db: Session, items: Sequence[Item], *, now: datetime) -> None:
    """Put items on their lists, in one statement."""
    if not items:
        return
    rows = [
        {
            "audience": item.audience,
            "partner_id": None if item.audience == "platform" else item.partner_id,
            "customer_id": item.customer_id if item.audience == "customer" else None,
            "about_customer_id": item.customer_id,
            "kind": item.kind,
            "key": item.key,
            "subject": item.subject,
            "next_action": item.next_action,
            "detail": item.detail,
            "due_at": item.due_at,
        }
        for item in items
    ]
    opened = await db.execute(_OPEN, {"items": json.dumps(rows, default=str), "now": now})
    await _count(db, [row.about_customer_id for row in opened if row.audience == "partner"], 1)


# Whoever acts for one tenant opens and resolves items on the lists of others too, by these two functions alone,
# which run as the tables' owner; migration 0005 makes them.
_OPEN = text("select * from open_attention(cast(:items as jsonb), :now)")
_RESOLVE = text("select * from resolve_attention(cast(:audiences as text[]), cast(:keys as text[]), :by, :now)")


async def resolve_item(db: Session, key: str, *, audience: str = "partner", by: str, now: datetime) -> None:
    """Take one item off its list for ever."""
    await resolve_items(db, [Resolution(key, audience)], by=by, now=now)


async def resolve_items(db: Session, resolutions: Sequence[Resolution], *, by: str, now: datetime) -> None:
    """Take items off their lists, in one statement; also such as have not been opened yet."""
    wanted = sorted({(r.audience, r.key) for r in resolutions})
    if not wanted:
        return
    lists = {"audiences": [audience for audience, _ in wanted], "keys": [key for _, key in wanted]}
    resolved = await db.execute(_RESOLVE, {**lists, "by": by, "now": now})
    await _count(db, [r.about_customer_id for r in resolved if r.counted and r.audience == "partner"], -1)


def seen_by(caller: Caller) -> Select[AttentionItem]:
    """The open items of the caller's own list."""
    mine = select(AttentionItem).where(AttentionItem.resolved_at.is_(None))
    if caller.is_platform:
        return mine.where(AttentionItem.audience == "platform")
    if caller.tenant_kind == "partner":
        return mine.where(AttentionItem.audience == "partner", AttentionItem.partner_id == caller.tenant_id)
    if caller.tenant_kind == "customer":
        return mine.where(AttentionItem.audience == "customer", AttentionItem.customer_id == caller.tenant_id)
    return mine.where(false())


def by_urgency(
    query: Select[AttentionItem], *, customer_id: UUID | None, kind: str | None, snoozed: bool
) -> tuple[Select[Any], list[Any]]:
    """A list narrowed and in the order of due times, those without one last: the query and its order."""
    if customer_id is not None:
        query = query.where(AttentionItem.about_customer_id == customer_id)
    if kind is not None:
        query = query.where(AttentionItem.kind == kind)
    query = query.where(AttentionItem.snoozed_until.is_not(None) if snoozed else AttentionItem.snoozed_until.is_(None))
    due = func.coalesce(AttentionItem.due_at, _NEVER)
    return query.add_columns(due.label("urgency")), [due, AttentionItem.id]


_NEVER = literal(datetime(9999, 1, 1, tzinfo=UTC), DateTime(timezone=True))


async def snooze(
    db: Session,
    caller: Caller,
    item_id: UUID,
    until: datetime | None,
    *,
    check_version: Callable[[int], None],
    now: datetime,
) -> AttentionItem:
    """Put an item aside until a moment, or with None take it up again.

    `now` is the wall clock's; the moment is judged by the tenant's own time. Raises `ItemNotFound`,
    `SnoozeOutOfReach`.
    """
    item = await _locked(db, caller, item_id)
    check_version(item.version)
    now = await testclock.time_of(db, now, partner_id=item.partner_id, customer_id=item.customer_id)
    if until is not None and not now < until <= now + timedelta(days=SNOOZE_MAX_DAYS):
        raise SnoozeOutOfReach(field="until", now=now)
    if item.snoozed_until == until:
        return item
    step = int(item.snoozed_until is not None) - int(until is not None)
    item.snoozed_until = until
    item.version += 1
    await db.flush()
    if item.audience == "partner" and step:
        await _count(db, [item.about_customer_id], step)
    detail = {"until": until.isoformat() if until else None}
    await audit.record(db, caller.actor, "attention.snoozed", subject=f"attention/{item.id}", detail=detail)
    return item


async def resolve_by_hand(db: Session, caller: Caller, item_id: UUID, *, now: datetime) -> AttentionItem:
    """Take a reported item off the list. Raises `ItemNotFound`, `ResolvedByDoing`."""
    item = await _locked(db, caller, item_id)
    if item.kind != BY_HAND:
        raise ResolvedByDoing(item.kind, next_action=item.next_action)
    await resolve_item(db, item.key, audience=item.audience, by=caller.actor, now=now)
    await audit.record(db, caller.actor, "attention.resolved", subject=f"attention/{item.id}")
    await db.refresh(item)
    return item


async def _locked(db: Session, caller: Caller, item_id: UUID) -> AttentionItem:
    item = await db.scalar(seen_by(caller).where(AttentionItem.id == item_id).with_for_update())
    if item is None:
        raise ItemNotFound(item_id)
    return item


async def end_snoozes(db: Session, now: datetime) -> int:
    """Take up again what was snoozed until now, by each tenant's own time; a job's body."""
    list_of = {"partner": AttentionItem.partner_id, "customer": AttentionItem.customer_id}
    over = (
        select(AttentionItem.id)
        .where(testclock.due(db, AttentionItem.snoozed_until, now, **list_of))
        .limit(1000)
        .with_for_update(skip_locked=True)
    )
    awake = (
        update(AttentionItem)
        .where(AttentionItem.id.in_(over))
        .values(snoozed_until=null(), version=AttentionItem.version + 1)
        .returning(AttentionItem.audience, AttentionItem.about_customer_id)
        .execution_options(synchronize_session=False)
    )
    rows = (await db.execute(awake)).all()
    await _count(db, [row.about_customer_id for row in rows if row.audience == "partner"], 1)
    return len(rows)


async def _count(db: Session, customers: Sequence[UUID | None], step: int) -> None:
    counted = Counter(customer_id for customer_id in customers if customer_id is not None)
    await add_attention(db, {customer_id: step * n for customer_id, n in counted.items()})
