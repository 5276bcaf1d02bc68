"""Orders over HTTP: partners order services for their customers, staff take them to the day they run."""

from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from contracts.customers.usecases import CustomerNotFound
from contracts.orders.forms import MoveIn, OrderOut
from contracts.orders.rules import State
from contracts.orders.usecases import (
    ConditionsNotAgreed,
    DayNotPossible,
    MoveNotPossible,
    MoveNotYours,
    NewOrder,
    NoContractWithIt,
    OrderNotFound,
    ReasonMissing,
    find_order,
    move_order,
    place_order,
    seen_by,
)
from contracts.portings.usecases import follow_order
from contracts.services.rules import Day, Kind, Months
from contracts.services.usecases import ProductNotFound, ProductWithdrawn, TermNotOffered
from kit.auth import Role
from kit.http import Caller, Db, IfMatch, Items, Once, Page, Router, etag, needs, now, page, problems

router = Router(prefix="/v1/orders", tags=["orders"])

READERS = (
    Role.ADMIN,
    Role.SUPPORT,
    Role.FINANCE,
    Role.EDITOR,
    Role.PARTNER_ADMIN,
    Role.CUSTOMER_ADMIN,
    Role.HR,
)
Remarks = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]


class OrderIn(BaseModel):
    """A service for a customer."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "customer_id": "019bc0bd-7380-7852-a0b8-dbf4827d2fda",
                    "product_id": "019bc0bd-7380-7852-a0b8-dbf4827d2fdb",
                    "term_months": 24,
                    "conditions_version": "2026-01",
                    "wish_date": "2026-03-20",
                }
            ]
        },
    )

    customer_id: UUID
    product_id: UUID
    term_months: Months | None = None
    """Another first term that the service is offered for; left out, its own."""
    conditions_version: Annotated[str, StringConstraints(max_length=40)]
    wish_date: Day | None = None
    remarks: Remarks = ""


@router.post(
    "",
    status_code=201,
    dependencies=[needs(Role.ADMIN, Role.SUPPORT, Role.PARTNER_ADMIN)],
    responses=problems(
        CustomerNotFound,
        NoContractWithIt,
        ProductNotFound,
        ProductWithdrawn,
        TermNotOffered,
        ConditionsNotAgreed,
        DayNotPossible,
    ),
)
async def post_order(body: OrderIn, caller: Caller, db: Db, once: Once, response: Response) -> OrderOut:
    """Order a service for a customer."""
    order = await place_order(db, NewOrder(**body.model_dump()), caller=caller, now=now())
    response.headers["ETag"] = etag(order.version)
    response.headers["Location"] = f"/v1/orders/{order.id}"
    return OrderOut.of(order)


@router.get("", dependencies=[needs(*READERS)])
async def get_orders(
    caller: Caller,
    db: Db,
    at: Page,
    customer_id: UUID | None = None,
    kind: Kind | None = None,
    state: State | None = None,
) -> Items[OrderOut]:
    """Orders, oldest first: staff see all, a partner its customers', a customer its own."""
    wishes = {"customer_id": customer_id, "kind": kind, "state": state}
    query = seen_by(caller).filter_by(**{name: wish for name, wish in wishes.items() if wish is not None})
    return await page(db, query, [query.selected_columns.id], at, OrderOut.of)


@router.get("/{order_id}", dependencies=[needs(*READERS)], responses=problems(OrderNotFound))
async def get_order(order_id: UUID, caller: Caller, db: Db, response: Response) -> OrderOut:
    """One order, with the way it went."""
    order = await find_order(db, caller, order_id)
    response.headers["ETag"] = etag(order.version)
    return OrderOut.of(order)


@router.post(
    "/{order_id}/steps",
    dependencies=[needs(Role.ADMIN, Role.SUPPORT, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN)],
    responses=problems(OrderNotFound, MoveNotYours, MoveNotPossible, DayNotPossible, ReasonMissing),
)
async def post_order_step(
    order_id: UUID, body: MoveIn, match: IfMatch, caller: Caller, db: Db, once: Once, response: Response
) -> OrderOut:
    """Take an order a step on. Done, its contract starts, and its portings join that; cancelled, they are too."""
    at = now()
    order = await move_order(db, order_id, body.move(), check_version=match.check, caller=caller, now=at)
    await follow_order(db, order, caller=caller, now=at)
    response.headers["ETag"] = etag(order.version)
    return OrderOut.of(order)
