"""Asking for portings, moving them on, and what an open one holds up."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, false, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from contracts.customers.usecases import customer_of, time_of_customer
from contracts.orders.rules import OVER, Reason, State
from contracts.orders.usecases import Move, apply_move, attend, check_move, find_order, step
from contracts.portings.rows import Mandate, Porting, PortingNumbers
from contracts.portings.rules import (
    MANDATE_BYTES_MAX,
    Direction,
    Numbers,
    as_written,
    check_disjoint,
    media_type,
    region,
)
from contracts.services.rules import State as ContractState
from contracts.services.usecases import add_numbers, find_contract, lock_contracts, numbers_ring, remove_numbers
from contracts.terminations.rules import local_day
from contracts.workdays import is_working_day
from kit import audit, outbox
from kit.auth import Caller, act_as
from kit.db import Session
from kit.problems import Refused
from schemas.contract import PortingChanged


class PortingNotFound(Refused):
    """No such porting."""

    status = 404


class WishDateNotPossible(Refused):
    """Numbers are ported on a working day to come."""

    status = 422
    rule = "CON-7"


class NumbersNotUnderstood(Refused):
    """The numbers are not right."""

    status = 422


class NumberTaken(Refused):
    """A number rings on a service here already, or is in another open porting."""

    rule = "CON-7"


class NumberNotHere(Refused):
    """A number that is to go out does not ring on this service."""

    status = 422
    rule = "CON-7"


class ServiceEnds(Refused):
    """The service has ended, or its last day is set: no numbers come in."""

    rule = "CON-7"


class NoServiceNamed(Refused):
    """A porting names its service; one that comes in may name the order of its service."""

    status = 422


class MandateMissing(Refused):
    """The signed mandate is missing."""

    rule = "CON-7"
    remedy = "Store it first: PUT …/mandate."


class MandateNotUnderstood(Refused):
    """A mandate is a PDF, PNG or JPEG file of five megabytes at most."""

    status = 422


class MandateFixed(Refused):
    """The mandate was accepted, and stays as it is."""


class ServiceNotRunning(Refused):
    """The numbers can come in when their service runs."""

    rule = "CON-7"
    remedy = "Complete its order first."


@dataclass(frozen=True, slots=True)
class NewPorting:
    """What is to be ported."""

    direction: Direction
    contract_id: UUID | None
    order_id: UUID | None
    termination_id: UUID | None
    numbers: Sequence[Numbers]
    provider: str
    wish_date: date


@dataclass(frozen=True, slots=True)
class PortingOut:
    """How the portings out of a service stand together."""

    open: bool
    """One at least is neither done nor cancelled."""
    over_on: date | None
    """The day the last one was done or cancelled, once none is open."""


def seen_by(caller: Caller) -> Select[Porting]:
    """The portings a caller may see: staff all, a partner its customers', a customer its own."""
    return select(Porting).where(_visible(caller))


def _visible(caller: Caller) -> ColumnElement[bool]:
    if caller.is_platform:
        return true()
    if caller.tenant_kind == "partner":
        return Porting.partner_id == caller.tenant_id
    return Porting.customer_id == caller.tenant_id if caller.tenant_kind == "customer" else false()


async def find_porting(db: Session, caller: Caller, porting_id: UUID, *, lock: bool = False) -> Porting:
    """The porting, if the caller may see it. Raises `PortingNotFound`."""
    query = seen_by(caller).where(Porting.id == porting_id)
    porting = await db.scalar(query.with_for_update(of=Porting) if lock else query)
    if porting is None:
        raise PortingNotFound(porting_id)
    return porting


# -- what others ask --------------------------------------------------------------------------------------


async def open_porting_in(db: Session, contract_id: UUID) -> UUID | None:
    """A porting in of the service that is neither done nor cancelled: while there is one, it is not terminated."""
    query = select(Porting.id).where(
        Porting.contract_id == contract_id, Porting.direction == Direction.IN, Porting.state.not_in(OVER)
    )
    return await db.scalar(query.order_by(Porting.id).limit(1))


async def portings_out(db: Session, contract_ids: Sequence[UUID]) -> dict[UUID, PortingOut]:
    """How the portings out of services stand; a service without any is left out."""
    query = select(Porting.contract_id, Porting.state, Porting.over_on).where(
        Porting.contract_id.in_(contract_ids), Porting.direction == Direction.OUT
    )
    found: dict[UUID, PortingOut] = {}
    for contract_id, state, over_on in (await db.execute(query)).all():
        if contract_id is None:  # of an order; and such do not go out
            continue
        held = found.get(contract_id, PortingOut(False, None))
        still = held.open or State(state) not in OVER
        days = [day for day in (held.over_on, over_on) if day is not None]
        found[contract_id] = PortingOut(still, None if still else max(days, default=None))
    return found


async def link_portings_out(db: Session, contract_id: UUID, termination_id: UUID, *, now: datetime) -> int:
    """Link the open portings out of a service to the termination that begins; returns how many."""
    query = select(Porting).where(
        Porting.contract_id == contract_id,
        Porting.direction == Direction.OUT,
        Porting.state.not_in(OVER),
        Porting.termination_id.is_distinct_from(termination_id),
    )
    portings = (await db.scalars(query.order_by(Porting.id).with_for_update(of=Porting))).all()
    for porting in portings:
        porting.termination_id = termination_id
        porting.version += 1
        _announce(db, porting, now)
    return len(portings)


async def follow_order(db: Session, order: Any, *, caller: Caller, now: datetime) -> None:
    """A done order's service runs: its portings belong to that from now on. A cancelled one takes them with it."""
    if order.state not in OVER:
        return
    query = select(Porting).where(
        Porting.order_id == order.id, Porting.contract_id.is_(None), Porting.state.not_in(OVER)
    )
    for porting in (await db.scalars(query.order_by(Porting.id).with_for_update(of=Porting))).all():
        if order.state == State.CANCELLED:
            move = Move(State.CANCELLED, reason=Reason(order.reason or Reason.OTHER))
            await _move(db, porting, move, caller=caller, now=now)
            continue
        porting.contract_id = order.contract_id
        porting.version += 1
        _announce(db, porting, await time_of_customer(db, porting.customer_id, now))
        await _record(db, porting, "porting.joined", caller.actor)


# -- asking -----------------------------------------------------------------------------------------------


async def request_porting(db: Session, wish: NewPorting, *, caller: Caller, now: datetime) -> Porting:
    """Ask for numbers to be ported.

    Raises `NoServiceNamed`, `ContractNotFound`, `OrderNotFound`, `ServiceEnds`, `NumbersNotUnderstood`,
    `WishDateNotPossible`, `NumberNotHere`, `NumberTaken`.
    """
    try:
        check_disjoint(wish.numbers)
    except ValueError as wrong:
        raise NumbersNotUnderstood(wrong, field="numbers") from None
    customer_id, partner_id = await _place(db, wish, caller)
    customer = await customer_of(db, customer_id)
    at = await time_of_customer(db, customer_id, now)
    today = local_day(at, customer.time_zone)
    country = region(wish.numbers[0].first)
    if wish.wish_date < today or not is_working_day(wish.wish_date, country):
        raise WishDateNotPossible(f"{wish.wish_date} in {country}", field="wish_date")
    if wish.direction is Direction.OUT and wish.contract_id:
        for numbers in wish.numbers:
            ringing = await numbers_ring(db, numbers.first, numbers.last, contract_id=wish.contract_id)
            if ringing < len(numbers):
                raise NumberNotHere(_written(numbers), field="numbers")
    # Whether the numbers are somebody else's is asked beyond the caller's own rows.
    await act_as(db, "platform", caller.actor)
    porting = Porting(
        version=1,
        customer_id=customer_id,
        partner_id=partner_id,
        direction=wish.direction,
        state=State.REQUESTED,
        contract_id=wish.contract_id,
        order_id=wish.order_id,
        termination_id=wish.termination_id,
        provider=wish.provider,
        wish_date=wish.wish_date,
        steps=[step(State.REQUESTED, caller, at)],
        created_at=at,
        ranges=[
            PortingNumbers(
                customer_id=customer_id,
                partner_id=partner_id,
                incoming=wish.direction is Direction.IN,
                claimed=True,
                first=numbers.first,
                last=numbers.last,
            )
            for numbers in sorted(wish.numbers)
        ],
    )
    try:
        async with db.begin_nested():
            db.add(porting)
    except IntegrityError:
        raise NumberTaken(field="numbers") from None
    if wish.direction is Direction.IN and await _ring_here(db, wish.numbers):
        raise NumberTaken(field="numbers")
    _announce(db, porting, at)
    await attend(db, porting, "porting", customer.name, actor=caller.actor, at=at)
    await _record(db, porting, "porting.requested", caller.actor)
    return porting


async def _place(db: Session, wish: NewPorting, caller: Caller) -> tuple[UUID, UUID | None]:
    """Whose numbers they are or will be, by the service or the order that is named."""
    if wish.contract_id is not None:
        await find_contract(db, caller, wish.contract_id)
        # A termination asks for open portings under the same lock.
        contract = (await lock_contracts(db, [wish.contract_id]))[wish.contract_id]
        ends = contract.last_day is not None and wish.direction is Direction.IN
        if contract.state != ContractState.ACTIVE or ends:
            raise ServiceEnds(field="contract_id", last_day=contract.last_day)
        return contract.customer_id, contract.partner_id
    if wish.direction is Direction.OUT or wish.order_id is None:
        raise NoServiceNamed(field="contract_id")
    order = await find_order(db, caller, wish.order_id, lock=True)
    if State(order.state) in OVER:
        raise NoServiceNamed("The order is done or cancelled: name its service.", field="order_id")
    return order.customer_id, order.partner_id


async def _ring_here(db: Session, ranges: Sequence[Numbers]) -> bool:
    return any([await numbers_ring(db, numbers.first, numbers.last) > 0 for numbers in ranges])


def _written(numbers: Numbers) -> str:
    one = as_written(numbers.first)
    return one if len(numbers) == 1 else f"{one} to {as_written(numbers.last)}"


# -- on the way -------------------------------------------------------------------------------------------


async def move_porting(
    db: Session,
    porting_id: UUID,
    move: Move,
    *,
    check_version: Callable[[int], None],
    caller: Caller,
    now: datetime,
) -> Porting:
    """Take a porting a step on. Done, its numbers ring on the service, or no longer do.

    `check_version` is given the locked row's version and may refuse. Raises `PortingNotFound`, `MandateMissing`,
    `ServiceNotRunning`, `NumberTaken`, `NumberNotHere`, and what a move refuses.
    """
    porting = await find_porting(db, caller, porting_id, lock=True)
    check_version(porting.version)
    await _move(db, porting, move, caller=caller, now=now)
    return porting


async def _move(db: Session, porting: Porting, move: Move, *, caller: Caller, now: datetime) -> None:
    customer = await customer_of(db, porting.customer_id)
    at = await time_of_customer(db, porting.customer_id, now)
    left = porting.state
    check_move(State(left), move, caller=caller)
    if move.to is State.ACCEPTED and porting.direction == Direction.IN and porting.mandate_hash is None:
        raise MandateMissing()
    apply_move(porting, move, zone=customer.time_zone, caller=caller, at=at)
    if State(porting.state) in OVER:
        porting.over_on = porting.done_on or local_day(at, customer.time_zone)
        for numbers in porting.ranges:
            numbers.claimed = False
        await db.flush()
    if porting.state == State.DONE:
        await _carry_over(db, porting)
    _announce(db, porting, at)
    await attend(db, porting, "porting", customer.name, left=left, actor=caller.actor, at=at)
    await _record(db, porting, f"porting.{porting.state}", caller.actor)


async def _carry_over(db: Session, porting: Porting) -> None:
    if porting.contract_id is None or porting.done_on is None:
        raise ServiceNotRunning()
    for part in porting.ranges:
        if porting.direction == Direction.IN:
            try:
                async with db.begin_nested():
                    await add_numbers(db, porting.contract_id, part.first, part.last, porting.done_on)
            except IntegrityError:
                raise NumberTaken(_written(part.numbers)) from None
        elif not await remove_numbers(db, porting.contract_id, part.first, part.last, porting.done_on):
            raise NumberNotHere(_written(part.numbers))


async def store_mandate(
    db: Session,
    porting_id: UUID,
    content: bytes,
    *,
    check_version: Callable[[int], None],
    caller: Caller,
    now: datetime,
) -> Porting:
    """Keep the signed mandate, judged by what it is and not by its name; a new one replaces the old.

    Raises `PortingNotFound`, `MandateNotUnderstood`, `MandateFixed`.
    """
    porting = await find_porting(db, caller, porting_id, lock=True)
    check_version(porting.version)
    if porting.state not in (State.REQUESTED, State.REJECTED):
        raise MandateFixed(state=porting.state)
    kind = media_type(content)
    if kind is None or len(content) > MANDATE_BYTES_MAX:
        raise MandateNotUnderstood()
    row = {
        "porting_id": porting.id,
        "customer_id": porting.customer_id,
        "partner_id": porting.partner_id,
        "media_type": kind,
        "content": content,
        "stored_at": now,
    }
    await db.execute(insert(Mandate).values(row).on_conflict_do_update(index_elements=["porting_id"], set_=row))
    porting.mandate_hash = hashlib.sha256(content).hexdigest()
    porting.version += 1
    _announce(db, porting, await time_of_customer(db, porting.customer_id, now))
    await _record(db, porting, "porting.mandate_stored", caller.actor, hash=porting.mandate_hash)
    return porting


async def mandate_of(db: Session, caller: Caller, porting_id: UUID) -> Mandate:
    """The signed mandate. Raises `PortingNotFound`, `MandateMissing`."""
    await find_porting(db, caller, porting_id)
    mandate = await db.get(Mandate, porting_id)
    if mandate is None:
        raise MandateMissing()
    return mandate


def _announce(db: Session, porting: Porting, at: datetime) -> None:
    outbox.add(
        db,
        PortingChanged(
            porting_id=porting.id,
            version=porting.version,
            at=at,
            customer_id=porting.customer_id,
            partner_id=porting.partner_id,
            direction=porting.direction,
            status=porting.state,
            contract_id=porting.contract_id,
            order_id=porting.order_id,
            termination_id=porting.termination_id,
            numbers=sum(len(part.numbers) for part in porting.ranges),
            wish_date=porting.wish_date,
            planned_on=porting.planned_on,
            originally_planned_on=porting.originally_planned_on,
            delay_announced_on=porting.delay_announced_on,
            done_on=porting.done_on,
            reason=porting.reason,
        ),
    )


async def _record(db: Session, porting: Porting, action: str, actor: str, **more: str) -> None:
    detail: Mapping[str, str | None] = {"state": porting.state, "reason": porting.reason, **more}
    await audit.record(db, actor, action, subject=f"porting/{porting.id}", detail=detail)
