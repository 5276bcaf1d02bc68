"""Making and changing customers; every change is announced with the whole customer."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, false, select, text

from contracts.attention.usecases import Item, Resolution, open_items, resolve_item, resolve_items
from contracts.customers.rows import Customer
from contracts.customers.rules import (
    NEXT,
    TRIAL_DAYS,
    TRIAL_DAYS_MAX,
    TRIAL_WARNING_DAYS,
    Closed,
    Invoicing,
    Size,
    Status,
    next_renewal,
    trial_last_day,
)
from contracts.overview.usecases import Standing, keep_standing
from contracts.partners.usecases import active_partner
from contracts.terminations.rules import end_of_day, local_day
from contracts.zones import HOME_ZONE, day_begins
from kit import audit, outbox, testclock
from kit.auth import Caller
from kit.db import Session, uuid7
from kit.problems import Refused
from schemas.customer import CustomerChanged


class CustomerNotFound(Refused):
    """No such customer."""

    status = 404


class NotYourPartner(Refused):
    """A partner makes customers for itself only."""

    status = 403
    rule = "CON-2"


class CompanyWithoutPartner(Refused):
    """A company groups a partner's students, so it belongs to a partner."""

    status = 422
    rule = "CON-2"


class ParentElsewhere(Refused):
    """A customer and its parent belong to the same partner, or both to none."""

    status = 422


class OwnAncestor(Refused):
    """A customer cannot stand above itself."""

    status = 422


class NotFromHere(Refused):
    """A customer of this status cannot become that."""

    rule = "CON-2"


class TrialOutOfReach(Refused):
    """A trial ends today or later, within a year of its start."""

    status = 422
    rule = "CON-2"


class NotInTrial(Refused):
    """The customer is not in a trial."""

    rule = "CON-2"


class StillSubscribed(Refused):
    """The customer has a subscription."""

    rule = "CON-2"
    remedy = "Terminate the subscription's contract; the customer closes when it ends."


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """What is known of a customer when it is made."""

    name: str
    size: Size
    language: str
    status: Status
    partner_id: UUID | None = None
    parent_id: UUID | None = None
    invoicing: Invoicing = field(default_factory=Invoicing)
    time_zone: str | None = None
    """None: its partner's."""
    trial_days: int = TRIAL_DAYS


def seen_by(caller: Caller) -> Select[Customer]:
    """The customers a caller may see: staff all, a partner its own, a customer itself."""
    everyone = select(Customer)
    if caller.is_platform:
        return everyone
    if caller.tenant_kind == "partner":
        return everyone.where(Customer.partner_id == caller.tenant_id)
    if caller.tenant_kind == "customer":
        return everyone.where(Customer.id == caller.tenant_id)
    return everyone.where(false())


def with_time(db: Session, query: Select[Customer], now: datetime) -> Select[Any]:
    """The customers of a query, each with the time that it has."""
    return query.add_columns(testclock.time(db, now, partner=Customer.partner_id, customer=Customer.id))


async def find_customer(db: Session, caller: Caller, customer_id: UUID) -> Customer:
    """The customer, if the caller may see it. Raises `CustomerNotFound`."""
    customer = await db.scalar(seen_by(caller).where(Customer.id == customer_id))
    if customer is None:
        raise CustomerNotFound(customer_id)
    return customer


async def customer_of(db: Session, customer_id: UUID, *, field: str | None = None) -> Customer:
    """A customer within the caller's reach, for other features. Raises `CustomerNotFound`."""
    customer = await db.get(Customer, customer_id)
    if customer is None:
        raise CustomerNotFound(customer_id, field=field)
    return customer


async def lock_customer(db: Session, customer_id: UUID, *, field: str | None = None) -> Customer:
    """`customer_of`, locked, as it now is: for what must be decided once for a customer."""
    customer = await db.get(Customer, customer_id, with_for_update=True, populate_existing=True)
    if customer is None:
        raise CustomerNotFound(customer_id, field=field)
    return customer


async def partner_of_customer(db: Session, customer_id: UUID) -> UUID | None:
    """The partner whose admins may act for a customer."""
    partner_id: UUID | None = await db.scalar(select(Customer.partner_id).where(Customer.id == customer_id))
    return partner_id


async def names_and_partners(db: Session, customer_ids: Collection[UUID]) -> dict[UUID, tuple[str, UUID | None]]:
    """What customers are called and whose they are, of those that are there."""
    query = select(Customer.id, Customer.name, Customer.partner_id).where(Customer.id.in_(customer_ids))
    return {row[0]: (row[1], row[2]) for row in await db.execute(query)}


async def has_customers(db: Session, partner_id: UUID) -> bool:
    """Whether a partner has any customer."""
    return await db.scalar(select(Customer.id).where(Customer.partner_id == partner_id).limit(1)) is not None


async def time_of_customer(db: Session, customer_id: UUID, now: datetime) -> datetime:
    """The time of a customer: `now`, where no test clock is its own or its partner's."""
    if not testclock.on(db):
        return now
    return await testclock.time_of(
        db, now, partner_id=await partner_of_customer(db, customer_id), customer_id=customer_id
    )


async def make_customer(db: Session, wish: NewCustomer, *, caller: Caller, now: datetime) -> Customer:
    """Enter a new customer: a partner for itself, the platform for anybody.

    Raises `NotYourPartner`, `CompanyWithoutPartner`, `ParentElsewhere`, `CustomerNotFound` (the parent), and
    what the partner refuses.
    """
    if not caller.is_platform and wish.partner_id != caller.tenant_id:
        raise NotYourPartner(wish.partner_id, field="partner_id")
    if wish.status is Status.COMPANY and wish.partner_id is None:
        raise CompanyWithoutPartner(field="partner_id")
    zone = wish.time_zone
    if wish.partner_id is not None:
        partner = await active_partner(db, wish.partner_id, field="partner_id")
        zone = zone or partner.time_zone
    await _check_parent(db, wish.parent_id, wish.partner_id, child=None)
    now = await testclock.time_of(db, now, partner_id=wish.partner_id)
    customer = _new(wish, zone or HOME_ZONE, now)
    db.add(customer)
    await _announce(db, [customer], "customer.made", caller.actor, now, changed=sorted(_as_values(customer)))
    return customer


async def add_customers(
    db: Session, partner_id: UUID, wishes: Sequence[NewCustomer], *, actor: str, now: datetime
) -> list[Customer]:
    """Enter new customers of one partner at once, in their order. Raises what the partner refuses."""
    partner = await active_partner(db, partner_id, field="partner_id")
    now = await testclock.time_of(db, now, partner_id=partner_id)
    customers = [_new(wish, wish.time_zone or partner.time_zone, now) for wish in wishes]
    db.add_all(customers)
    await _announce(db, customers, "customer.made", actor, now)
    return customers


def _new(wish: NewCustomer, zone: str, now: datetime) -> Customer:
    customer = Customer(
        id=uuid7(),
        version=1,
        name=wish.name,
        status=wish.status,
        partner_id=wish.partner_id,
        parent_id=wish.parent_id,
        size=wish.size,
        language=wish.language,
        time_zone=zone,
        trial_held=False,
        created_at=now,
    )
    customer.invoicing = wish.invoicing
    if wish.status is Status.TRIAL:
        _begin_trial(customer, wish.trial_days, now)
    return customer


async def change_customer(
    db: Session,
    customer_id: UUID,
    changes: Mapping[str, Any],
    *,
    check_version: Callable[[int], None],
    caller: Caller,
    now: datetime,
) -> Customer:
    """Change `name`, `size`, `language`, `parent_id` or `invoicing`; what already holds changes nothing.

    `check_version` is given the locked row's version and may refuse. Raises `CustomerNotFound`,
    `ParentElsewhere`, `OwnAncestor`.
    """
    if "parent_id" in changes:
        # Two who each put the other above them would not see it in their own rows: one at a time.
        await db.execute(text("select pg_advisory_xact_lock(hashtextextended('customers.parents', 0))"))
    customer = await db.scalar(seen_by(caller).where(Customer.id == customer_id).with_for_update())
    if customer is None:
        raise CustomerNotFound(customer_id)
    check_version(customer.version)
    if "parent_id" in changes:
        await _check_parent(db, changes["parent_id"], customer.partner_id, child=customer.id)
    before = _as_values(customer)
    for name, value in changes.items():
        setattr(customer, name, value)
    after = _as_values(customer)
    changed = sorted(name for name in after if after[name] != before[name])
    if changed:
        if "time_zone" in changes:
            _fix_moments(customer)
        customer.version += 1
        now = await time_of_customer(db, customer_id, now)
        await _announce(db, [customer], "customer.changed", caller.actor, now, changed=changed)
    return customer


# -- trial, subscription, the end ---------------------------------------------------------------------------


async def begin_trial(db: Session, customer_id: UUID, days: int, *, caller: Caller, now: datetime) -> Customer:
    """Give a company, or a closed customer that is taken back with its data, a trial of `days` days from today.

    Raises `CustomerNotFound`, `NotFromHere`.
    """
    customer = await _locked(db, caller, customer_id)
    _check_may_become(customer, Status.TRIAL)
    now = await time_of_customer(db, customer_id, now)
    _begin_trial(customer, days, now)
    customer.version += 1
    await _announce(db, [customer], "customer.trial_began", caller.actor, now)
    return customer


async def move_trial_end(
    db: Session,
    customer_id: UUID,
    last_day: date,
    *,
    check_version: Callable[[int], None],
    caller: Caller,
    now: datetime,
) -> Customer:
    """Let a trial end on another day, today at the earliest.

    Raises `CustomerNotFound`, `NotInTrial`, `TrialOutOfReach`.
    """
    customer = await _locked(db, caller, customer_id)
    check_version(customer.version)
    if customer.status != Status.TRIAL or customer.trial_started_on is None:
        raise NotInTrial(customer.status)
    now = await time_of_customer(db, customer_id, now)
    today = local_day(now, customer.time_zone)
    if not today <= last_day <= customer.trial_started_on + timedelta(days=TRIAL_DAYS_MAX):
        raise TrialOutOfReach(field="ends_on", today=today)
    if last_day == customer.trial_ends_on:
        return customer
    await resolve_item(db, _trial_key(customer), by=caller.actor, now=now)
    customer.trial_ends_on = last_day
    _fix_moments(customer, warn=True)
    customer.version += 1
    await _announce(db, [customer], "customer.trial_moved", caller.actor, now)
    return customer


async def hold_trial(db: Session, customer_id: UUID, held: bool, *, actor: str, now: datetime) -> None:
    """Keep a trial from ending while an order is being completed, or let it end again (CON-6)."""
    customer = await lock_customer(db, customer_id)
    if customer.trial_held != held:
        customer.trial_held = held
        action = "customer.trial_held" if held else "customer.trial_released"
        await audit.record(db, actor, action, subject=f"customer/{customer_id}")


async def start_subscription(
    db: Session,
    customer_id: UUID,
    *,
    contract_id: UUID,
    starts_on: date,
    renews_on: date | None,
    renewal_months: int | None = None,
    actor: str,
    now: datetime,
) -> Customer:
    """The same customer, from trial (or company, or taken back) to active, in the caller's transaction.

    `renews_on` is the first day of the next term, None for a subscription without one; with `renewal_months`
    the clock moves it on. Said again of the same contract, nothing changes. Raises `CustomerNotFound`,
    `StillSubscribed` (to another contract).
    """
    customer = await lock_customer(db, customer_id)
    if customer.contract_id is not None and customer.status == Status.ACTIVE:
        if customer.contract_id != contract_id:
            raise StillSubscribed(contract_id=customer.contract_id)
        return customer
    customer.status = Status.ACTIVE
    customer.contract_id = contract_id
    customer.subscribed_on = starts_on
    customer.renews_on, customer.renewal_months = renews_on, renewal_months
    customer.closed_reason = customer.closed_on = customer.ends_on = None
    customer.trial_held, customer.trial_warn_at = False, None
    _fix_moments(customer)
    customer.version += 1
    await resolve_item(db, _trial_key(customer), by=actor, now=now)
    await _announce(db, [customer], "customer.subscribed", actor, now)
    return customer


async def plan_ends(db: Session, last_days: Mapping[UUID, date | None], *, actor: str, now: datetime) -> None:
    """Show, by contract, the day on which a subscription that was given notice ends; None takes that back."""
    customers = [c for c in await _by_contract(db, last_days) if c.ends_on != last_days[c.contract_id or c.id]]
    for customer in customers:
        customer.ends_on = last_days[customer.contract_id or customer.id]
        customer.version += 1
    await _announce(db, customers, "customer.end_planned", actor, now)


async def end_subscriptions(db: Session, last_days: Mapping[UUID, date], *, actor: str, now: datetime) -> None:
    """Close the customers whose subscription, named by its contract, has ended; others are left as they are."""
    customers = await _by_contract(db, last_days)
    for customer in customers:
        last_day = last_days[customer.contract_id or customer.id]
        customer.ends_on = last_day
        _close(customer, Closed.ENDED, last_day)
    await _announce(db, customers, "customer.closed", actor, now)


async def close_customer(db: Session, customer_id: UUID, *, caller: Caller, now: datetime) -> Customer:
    """Close a company or a trial by hand. Raises `CustomerNotFound`, `StillSubscribed`."""
    customer = await _locked(db, caller, customer_id)
    if customer.status == Status.ACTIVE and customer.contract_id is not None:
        raise StillSubscribed(contract_id=customer.contract_id)
    if customer.status == Status.CLOSED:
        return customer
    now = await time_of_customer(db, customer_id, now)
    await resolve_item(db, _trial_key(customer), by=caller.actor, now=now)
    _close(customer, Closed.WITHDRAWN, local_day(now, customer.time_zone))
    await _announce(db, [customer], "customer.closed", caller.actor, now)
    return customer


CLOCK = "system:clock"


async def end_trials(db: Session, now: datetime) -> int:
    """Close the trials whose last day is over where they are; a job's body."""
    due = testclock.due(db, Customer.trial_over_at, now, partner=Customer.partner_id, customer=Customer.id)
    ended = await _due(db, Customer.status == Status.TRIAL, Customer.trial_held.is_(False), due)
    for customer in ended:
        _close(customer, Closed.TRIAL_OVER, customer.trial_ends_on)
    await resolve_items(db, [Resolution(_trial_key(customer)) for customer in ended], by=CLOCK, now=now)
    await _announce(db, ended, "customer.closed", CLOCK, now)
    return len(ended)


async def warn_of_trials(db: Session, now: datetime) -> int:
    """Put trials that end within seven days on their partners' lists; a job's body."""
    due = testclock.due(db, Customer.trial_warn_at, now, partner=Customer.partner_id, customer=Customer.id)
    warned = await _due(db, Customer.status == Status.TRIAL, due)
    items = [
        Item(
            kind="trial_ends",
            key=_trial_key(customer),
            subject=customer.name,
            next_action="order_subscription",
            due_at=customer.trial_over_at,
            partner_id=customer.partner_id,
            customer_id=customer.id,
            audience="partner" if customer.partner_id else "platform",
            detail={"ends_on": str(customer.trial_ends_on)},
        )
        for customer in warned
    ]
    for customer in warned:
        customer.trial_warn_at = None
    await db.flush()
    await open_items(db, items, now=now)
    return len(warned)


async def renew_subscriptions(db: Session, now: datetime) -> int:
    """Move the next renewal on where its day has come; a job's body."""
    time = testclock.time(db, now, partner=Customer.partner_id, customer=Customer.id)
    due = testclock.due(db, Customer.renews_at, now, partner=Customer.partner_id, customer=Customer.id)
    renewed = await _due(db, Customer.status == Status.ACTIVE, Customer.ends_on.is_(None), due)
    asked = select(Customer.id, time).where(Customer.id.in_([customer.id for customer in renewed]))
    times = {row[0]: row[1] for row in await db.execute(asked)}
    for customer in renewed:
        today = local_day(times[customer.id], customer.time_zone)
        first, renewal, months = customer.subscribed_on, customer.renews_on, customer.renewal_months
        # Without a renewal period it runs on without a term from here.
        customer.renews_on = next_renewal(first, renewal, months, today) if first and renewal and months else None
        _fix_moments(customer)
        customer.version += 1
    await _announce(db, renewed, "customer.renewed", CLOCK, now)
    return len(renewed)


async def _due(db: Session, *conditions: Any) -> Sequence[Customer]:
    """Customers for whom something has fallen due, a thousand at a time, locked."""
    query = select(Customer).where(*conditions).order_by(Customer.id).limit(1000)
    return (await db.scalars(query.with_for_update(skip_locked=True))).all()


async def _by_contract(db: Session, contracts: Iterable[UUID]) -> Sequence[Customer]:
    query = select(Customer).where(Customer.contract_id.in_(list(contracts)), Customer.status == Status.ACTIVE)
    return (await db.scalars(query.order_by(Customer.id).with_for_update())).all()


async def _locked(db: Session, caller: Caller, customer_id: UUID) -> Customer:
    customer = await db.scalar(seen_by(caller).where(Customer.id == customer_id).with_for_update())
    if customer is None:
        raise CustomerNotFound(customer_id)
    return customer


def _check_may_become(customer: Customer, wanted: Status) -> None:
    if wanted not in NEXT[Status(customer.status)]:
        raise NotFromHere(f"{customer.status} cannot become {wanted}")


def _begin_trial(customer: Customer, days: int, now: datetime) -> None:
    customer.status = Status.TRIAL
    customer.closed_reason = customer.closed_on = None
    customer.trial_started_on = local_day(now, customer.time_zone)
    customer.trial_ends_on = trial_last_day(customer.trial_started_on, days)
    _fix_moments(customer, warn=True)


def _fix_moments(customer: Customer, *, warn: bool = False) -> None:
    """The moments that follow from its days and its time zone. A zone that moves does not warn again."""
    if customer.trial_ends_on is not None:
        customer.trial_over_at = end_of_day(customer.trial_ends_on, customer.time_zone)
        if warn:
            customer.trial_warn_at = end_of_day(
                customer.trial_ends_on - timedelta(days=TRIAL_WARNING_DAYS), customer.time_zone
            )
    customer.renews_at = day_begins(customer.renews_on, customer.time_zone) if customer.renews_on else None


def _close(customer: Customer, reason: Closed, day: date | None) -> None:
    customer.status = Status.CLOSED
    customer.closed_reason = reason
    customer.closed_on = day
    customer.trial_held, customer.trial_warn_at = False, None
    customer.renews_on = customer.renews_at = None
    customer.version += 1


def _trial_key(customer: Customer) -> str:
    return f"trial_ends/{customer.id}/{customer.trial_ends_on}"


async def _check_parent(db: Session, parent_id: UUID | None, partner_id: UUID | None, child: UUID | None) -> None:
    if parent_id is None:
        return
    parent = await db.get(Customer, parent_id, with_for_update={"read": True})
    if parent is None:
        raise CustomerNotFound(parent_id, field="parent_id")
    if parent.partner_id != partner_id:
        raise ParentElsewhere(parent_id, field="parent_id")
    while child is not None and parent is not None:
        if parent.id == child:
            raise OwnAncestor(child, field="parent_id")
        above = parent.parent_id
        parent = await db.get(Customer, above, with_for_update={"read": True}) if above else None


def _as_values(customer: Customer) -> dict[str, Any]:
    names = ("name", "status", "partner_id", "parent_id", "size", "language", "time_zone", "invoicing")
    return {name: getattr(customer, name) for name in names}


async def _announce(
    db: Session, customers: Sequence[Customer], action: str, actor: str, now: datetime, *, changed: Sequence[str] = ()
) -> None:
    """Write changed customers with their overview lines, and announce each with all that it is."""
    if not customers:
        return
    await db.flush()
    # Only a new line looks at the day; nothing is counted yet on the days around it.
    await keep_standing(db, [_standing(c) for c in customers], local_day(now, customers[0].time_zone))
    outbox.add(db, *(_fact(customer, now) for customer in customers))
    for customer in customers:
        detail = {"version": customer.version, "status": customer.status}
        named = {"changed": list(changed)} if changed else {"reason": customer.closed_reason}
        await audit.record(db, actor, action, subject=f"customer/{customer.id}", detail=detail | named)


def _fact(customer: Customer, now: datetime) -> CustomerChanged:
    same = (
        "version", "name", "status", "partner_id", "parent_id", "size", "language", "time_zone", "closed_reason",
        "closed_on", "trial_ends_on", "subscribed_on", "renews_on", "ends_on",
    )  # fmt: skip
    return CustomerChanged(
        customer_id=customer.id,
        at=now,
        invoicing=customer.invoicing.announced(),
        **{name: getattr(customer, name) for name in same},
    )


def _standing(customer: Customer) -> Standing:
    return Standing(
        customer_id=customer.id,
        **{name.name: getattr(customer, name.name) for name in fields(Standing) if name.name != "customer_id"},
    )
