"""Ordering services and moving orders on; a done order starts a contract."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, false, select, true

from contracts.attention.usecases import Item, Resolution, open_item, resolve_item, resolve_items
from contracts.customers.rules import Status
from contracts.customers.usecases import customer_of, hold_trial, lock_customer, time_of_customer
from contracts.orders.rows import Order
from contracts.orders.rules import PARTNERS_MOVES, Reason, State, delay_announced, may_move
from contracts.services.rules import Kind, Terms
from contracts.services.usecases import NewContract, announced_terms, invoicer_of, offered, product_of, start_contract
from contracts.terminations.rules import local_day
from kit import audit, outbox
from kit.auth import Caller
from kit.db import Session
from kit.problems import Refused
from schemas.contract import OrderPlaced, ServiceActivated


class OrderNotFound(Refused):
    """No such order."""

    status = 404


class NoContractWithIt(Refused):
    """Services are ordered for a customer on trial or under contract."""

    rule = "CON-7"


class ConditionsNotAgreed(Refused):
    """The order must agree to the conditions as they are now."""

    status = 422
    rule = "CON-6"
    remedy = "Show the conditions of the version named here, and send that version."


class MoveNotPossible(Refused):
    """This cannot follow on where it stands."""

    rule = "CON-7"


class MoveNotYours(Refused):
    """This step is the platform's."""

    status = 403
    rule = "CON-7"


class DayNotPossible(Refused):
    """The day is not possible."""

    status = 422


class ReasonMissing(Refused):
    """A rejection or cancellation says why."""

    status = 422


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What somebody wants for a customer."""

    customer_id: UUID
    product_id: UUID
    conditions_version: str
    term_months: int | None = None
    wish_date: date | None = None
    remarks: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """The next state that is asked for, with what belongs to it."""

    to: State
    planned_on: date | None = None
    done_on: date | None = None
    reason: Reason | None = None


def side(caller: Caller) -> str:
    """In whose name a caller acts: the platform, the partner (also for its customer), or the customer."""
    if caller.is_platform:
        return "platform"
    return "partner" if caller.tenant_kind == "partner" or caller.through_partner else "customer"


def seen_by(caller: Caller) -> Select[Order]:
    """The orders a caller may see: staff all, a partner its customers', a customer its own."""
    return select(Order).where(_visible(caller))


def _visible(caller: Caller) -> ColumnElement[bool]:
    if caller.is_platform:
        return true()
    if caller.tenant_kind == "partner":
        return Order.partner_id == caller.tenant_id
    return Order.customer_id == caller.tenant_id if caller.tenant_kind == "customer" else false()


async def find_order(db: Session, caller: Caller, order_id: UUID, *, lock: bool = False) -> Order:
    """The order, if the caller may see it. Raises `OrderNotFound`."""
    query = seen_by(caller).where(Order.id == order_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    order = await db.scalar(query)
    if order is None:
        raise OrderNotFound(order_id)
    return order


async def place_order(db: Session, wish: NewOrder, *, caller: Caller, now: datetime) -> Order:
    """Order a service for a customer.

    Raises `CustomerNotFound`, `NoContractWithIt`, what the service refuses, `ConditionsNotAgreed`,
    `DayNotPossible`.
    """
    customer = await customer_of(db, wish.customer_id, field="customer_id")
    if customer.status not in (Status.TRIAL, Status.ACTIVE):
        raise NoContractWithIt(customer.status, field="customer_id")
    product, terms = await offered(db, wish.product_id, kind=Kind.SERVICE, term_months=wish.term_months)
    if wish.conditions_version != product.conditions_version:
        raise ConditionsNotAgreed(field="conditions_version", current=product.conditions_version)
    at = await time_of_customer(db, customer.id, now)
    if wish.wish_date is not None and wish.wish_date < local_day(at, customer.time_zone):
        raise DayNotPossible("It is over.", field="wish_date")
    order = new_order(wish, Kind.SERVICE, terms, customer.partner_id, caller=caller, at=at)
    db.add(order)
    await db.flush()
    await announce_placed(db, order, caller=caller, at=at)
    await attend(db, order, "order", f"{customer.name}: {product.label}", actor=caller.actor, at=at)
    return order


def new_order(
    wish: NewOrder, kind: Kind, terms: Terms, partner_id: UUID | None, *, caller: Caller, at: datetime
) -> Order:
    """An order at its first step, not yet stored: a subscription's waits until it is complete."""
    state = State.WAITING if kind is Kind.SUBSCRIPTION else State.REQUESTED
    return Order(
        version=1,
        customer_id=wish.customer_id,
        partner_id=partner_id,
        kind=kind,
        state=state,
        product_id=wish.product_id,
        terms_stored=terms.model_dump(mode="json"),
        conditions_version=wish.conditions_version,
        ordered_by=side(caller),
        wish_date=wish.wish_date,
        remarks=wish.remarks,
        missing=[],
        steps=[step(state, caller, at)],
        created_at=at,
    )


def step(state: State, caller: Caller, at: datetime, **more: Any) -> dict[str, Any]:
    """A line of a path, as everybody with a part in it may read it."""
    told = {name: str(value) for name, value in more.items() if value is not None}
    return {"state": str(state), "at": at.isoformat(), "by": side(caller), **told}


async def announce_placed(db: Session, order: Order, *, caller: Caller, at: datetime) -> None:
    """Say that an order was placed, and put it on record."""
    outbox.add(
        db,
        OrderPlaced(
            order_id=order.id,
            version=order.version,
            at=at,
            customer_id=order.customer_id,
            partner_id=order.partner_id,
            kind=order.kind,
            product_id=order.product_id,
            wish_date=order.wish_date,
            ordered_by=order.ordered_by,
        ),
    )
    detail = {"product": str(order.product_id), "conditions": order.conditions_version, "kind": order.kind}
    await audit.record(db, caller.actor, "order.placed", subject=f"order/{order.id}", detail=detail)


async def waiting_orders(
    db: Session, *, customer_id: UUID | None = None, partner_id: UUID | None = None
) -> list[tuple[UUID, UUID]]:
    """Subscriptions' orders that wait to be complete, with their customers: of one customer or partner, or all."""
    query = select(Order.id, Order.customer_id).where(Order.state == State.WAITING)
    if customer_id is not None:
        query = query.where(Order.customer_id == customer_id)
    if partner_id is not None:
        query = query.where(Order.partner_id == partner_id)
    return [(order_id, of_customer) for order_id, of_customer in await db.execute(query.order_by(Order.id).limit(500))]


async def lock_waiting(db: Session, order_id: UUID) -> Order | None:
    """A subscription's order under lock; None where it no longer waits."""
    order = await db.get(Order, order_id, with_for_update=True, populate_existing=True)
    return order if order is not None and order.state == State.WAITING else None


def finish(order: Order, contract_id: UUID, done_on: date, *, caller: Caller, at: datetime) -> None:
    """A subscription's order has become its contract."""
    order.state = State.DONE
    order.contract_id = contract_id
    order.done_on = done_on
    order.version += 1
    order.steps = [*order.steps, step(State.DONE, caller, at)]


async def move_order(
    db: Session,
    order_id: UUID,
    move: Move,
    *,
    check_version: Callable[[int], None],
    caller: Caller,
    now: datetime,
) -> Order:
    """Take a service's order a step on. Done, it starts its contract on the day it was done.

    `check_version` is given the locked row's version and may refuse. Raises `OrderNotFound`, `MoveNotYours`,
    `MoveNotPossible`, `DayNotPossible`, `ReasonMissing`.
    """
    seen = await find_order(db, caller, order_id)
    # The customer before its order, as who places or completes one does.
    customer = await lock_customer(db, seen.customer_id)
    order = await find_order(db, caller, order_id, lock=True)
    check_version(order.version)
    at = await time_of_customer(db, order.customer_id, now)
    left = order.state
    check_move(State(left), move, caller=caller)
    if move.to is State.DONE:  # the contract first: a done order has one
        starts_on = day_done(order, move, zone=customer.time_zone, at=at)
        await _activate(db, order, starts_on, customer.time_zone, actor=caller.actor, at=at)
    apply_move(order, move, zone=customer.time_zone, caller=caller, at=at)
    if left == State.WAITING:
        await hold_trial(db, order.customer_id, False, actor=caller.actor, now=at)
        lists = ["partner" if order.partner_id else "customer", "platform"]
        told = [Resolution(f"order/{order.id}/incomplete", audience) for audience in lists]
        await resolve_items(db, told, by=caller.actor, now=at)
    await attend(db, order, "order", customer.name, left=left, actor=caller.actor, at=at)
    detail = {"state": order.state, "planned_on": str(order.planned_on), "reason": order.reason}
    await audit.record(db, caller.actor, f"order.{order.state}", subject=f"order/{order.id}", detail=detail)
    return order


def check_move(state: State, move: Move, *, caller: Caller) -> None:
    """Raises `MoveNotYours`, `MoveNotPossible`, `ReasonMissing`."""
    if not caller.is_platform and move.to not in PARTNERS_MOVES:
        raise MoveNotYours(move.to, field="state")
    if not may_move(state, move.to):
        raise MoveNotPossible(f"{move.to} does not follow {state}.", field="state", state=state)
    if move.to in (State.REJECTED, State.CANCELLED) and move.reason is None:
        raise ReasonMissing(field="reason")


def apply_move(thing: Any, move: Move, *, zone: str, caller: Caller, at: datetime) -> None:
    """Move an order or a porting: its days, its reason, its path. Raises `DayNotPossible`."""
    today = local_day(at, zone)
    if move.to is State.PLANNED:
        if move.planned_on is None or move.planned_on < today:
            raise DayNotPossible("It is planned for today or later.", field="planned_on")
        if delay_announced(thing.originally_planned_on, move.planned_on, today):
            thing.delay_announced_on = today
        thing.planned_on = move.planned_on
        thing.originally_planned_on = thing.originally_planned_on or move.planned_on
    if move.to is State.DONE:
        thing.done_on = day_done(thing, move, zone=zone, at=at)
    thing.state = move.to
    thing.reason = move.reason if move.to in (State.REJECTED, State.CANCELLED) else None
    thing.version += 1
    more = {"planned_on": move.planned_on, "done_on": thing.done_on, "reason": move.reason}
    thing.steps = [*thing.steps, step(move.to, caller, at, **more)]


def day_done(thing: Any, move: Move, *, zone: str, at: datetime) -> date:
    """The day on which an order or a porting was done. Raises `DayNotPossible`."""
    began, today = local_day(thing.created_at, zone), local_day(at, zone)
    done_on = move.done_on or today
    if not began <= done_on <= today:
        raise DayNotPossible(f"It was done from {began} to today, {today}.", field="done_on")
    return done_on


async def _activate(db: Session, order: Order, starts_on: date, time_zone: str, *, actor: str, at: datetime) -> None:
    contract = await start_contract(
        db,
        NewContract(
            product=await product_of(db, order.product_id),
            terms=order.terms,
            customer_id=order.customer_id,
            partner_id=order.partner_id,
            starts_on=starts_on,
            time_zone=time_zone,
            invoicer=await invoicer_of(db, order.customer_id),
            order_id=order.id,
        ),
        actor=actor,
        now=at,
    )
    order.contract_id = contract.id
    outbox.add(
        db,
        ServiceActivated(
            contract_id=contract.id,
            version=contract.version,
            at=at,
            customer_id=order.customer_id,
            partner_id=order.partner_id,
            order_id=order.id,
            contract=announced_terms(contract),
            invoicer=contract.invoicer,
            originally_planned_on=order.originally_planned_on,
            delay_announced_on=order.delay_announced_on,
        ),
    )


async def attend(
    db: Session, thing: Any, what: str, subject: str, *, left: str | None = None, actor: str, at: datetime
) -> None:
    """Keep the lists of who must act on an order or a porting (`what`): the platform on a requested one, its
    partner, or a customer without one, on a rejected one. `left` is the state that it was in before."""
    theirs = "partner" if thing.partner_id else "customer"
    lists = {State.REQUESTED: ("platform", f"accept_{what}"), State.REJECTED: (theirs, f"{what}_again_or_cancel")}
    if left in lists:
        key = f"{what}/{thing.id}/{left}/{thing.version - 1}"
        await resolve_item(db, key, audience=lists[State(left)][0], by=actor, now=at)
    if thing.state in lists:
        audience, next_action = lists[State(thing.state)]
        await open_item(
            db,
            Item(
                kind=f"{what}_{thing.state}",
                key=f"{what}/{thing.id}/{thing.state}/{thing.version}",
                subject=subject,
                next_action=next_action,
                partner_id=thing.partner_id,
                customer_id=thing.customer_id,
                audience=audience,
                detail={"reason": thing.reason} if thing.reason else {},
            ),
            now=at,
        )
