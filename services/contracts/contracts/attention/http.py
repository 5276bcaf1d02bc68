"""Attention items over HTTP: everybody sees the list of their own organisation, the most urgent first."""

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict

from contracts.attention.usecases import (
    ItemNotFound,
    ResolvedByDoing,
    SnoozeOutOfReach,
    by_urgency,
    resolve_by_hand,
    seen_by,
    snooze,
)
from kit.auth import Role
from kit.http import Caller, Db, IfMatch, Items, Once, Page, Router, etag, needs, now, page, problems

router = Router(prefix="/v1/attention", tags=["attention"])

READERS = (Role.ADMIN, Role.SUPPORT, Role.FINANCE, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN)


class ItemOut(BaseModel):
    """Something to do. `kind` and `next_action` are open sets."""

    item_id: UUID
    version: int
    kind: str
    subject: str
    next_action: str
    customer_id: UUID | None
    """The customer that it is about."""
    due_at: datetime | None
    overdue: bool
    snoozed_until: datetime | None
    opened_at: datetime
    resolved_at: datetime | None
    detail: dict[str, Any]

    @classmethod
    def of(cls, item: Any, at: datetime) -> "ItemOut":
        same = ("version", "kind", "subject", "next_action", "due_at", "snoozed_until", "opened_at", "resolved_at")
        return cls(
            item_id=item.id,
            customer_id=item.about_customer_id,
            overdue=item.due_at is not None and item.due_at < at,
            detail=item.detail,
            **{name: getattr(item, name) for name in same},
        )


class Snooze(BaseModel):
    """Until when an item is put aside; `null` takes it up again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"until": "2027-02-01T08:00:00Z"}]})

    until: AwareDatetime | None


@router.get("", dependencies=[needs(*READERS)])
async def get_items(
    caller: Caller,
    db: Db,
    at: Page,
    customer_id: UUID | None = None,
    kind: str | None = Query(None, max_length=100),
    snoozed: bool = False,
) -> Items[ItemOut]:
    """The open items of one's own organisation, by due time; `snoozed=true` lists those that were put aside."""
    moment = now()
    query, order = by_urgency(seen_by(caller), customer_id=customer_id, kind=kind, snoozed=snoozed)
    return await page(db, query, order, at, lambda row: ItemOut.of(row[0], moment))


@router.put(
    "/{item_id}/snooze",
    dependencies=[needs(*READERS)],
    responses=problems(ItemNotFound, SnoozeOutOfReach),
)
async def put_snooze(
    item_id: UUID, body: Snooze, match: IfMatch, caller: Caller, db: Db, response: Response
) -> ItemOut:
    """Put an item aside until a moment within a year; it comes back by itself."""
    item = await snooze(db, caller, item_id, body.until, check_version=match.check, now=now())
    response.headers["ETag"] = etag(item.version)
    return ItemOut.of(item, now())


@router.post(
    "/{item_id}/resolve",
    dependencies=[needs(*READERS)],
    responses=problems(ItemNotFound, ResolvedByDoing),
)
async def post_resolve(item_id: UUID, caller: Caller, db: Db, once: Once) -> ItemOut:
    """Take an item off the list that a subscribed application reported; all others are resolved by doing them."""
    return ItemOut.of(await resolve_by_hand(db, caller, item_id, now=now()), now())
