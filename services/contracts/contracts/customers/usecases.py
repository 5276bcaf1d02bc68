"""Making and changing customers; every change is announced with the whole customer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, false, select, text

from contracts.customers.rows import Customer
from contracts.customers.rules import Invoicing, Size, Status
from contracts.partners.usecases import active_partner
from kit import audit, outbox, testclock
from kit.auth import Caller
from kit.db import Session
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


async def partner_of_customer(db: Session, customer_id: UUID) -> UUID | None:
    """The partner whose admins may act for a customer."""
    partner_id: UUID | None = await db.scalar(select(Customer.partner_id).where(Customer.id == customer_id))
    return partner_id


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
    if wish.partner_id is not None:
        await active_partner(db, wish.partner_id, field="partner_id")
    await _check_parent(db, wish.parent_id, wish.partner_id, child=None)
    customer = Customer(
        version=1,
        name=wish.name,
        status=wish.status,
        partner_id=wish.partner_id,
        parent_id=wish.parent_id,
        size=wish.size,
        language=wish.language,
        created_at=now,
    )
    customer.invoicing = wish.invoicing
    db.add(customer)
    await db.flush()
    await _announce(db, customer, "customer.made", sorted(_as_values(customer)), caller.actor, now)
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
        customer.version += 1
        await _announce(db, customer, "customer.changed", changed, caller.actor, now)
    return customer


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
    names = ("name", "status", "partner_id", "parent_id", "size", "language", "invoicing")
    return {name: getattr(customer, name) for name in names}


async def _announce(
    db: Session, customer: Customer, action: str, changed: list[str], actor: str, now: datetime
) -> None:
    outbox.add(
        db,
        CustomerChanged(
            customer_id=customer.id,
            version=customer.version,
            at=now,
            name=customer.name,
            status=customer.status,
            partner_id=customer.partner_id,
            parent_id=customer.parent_id,
            size=customer.size,
            language=customer.language,
            invoicing=customer.invoicing.announced(),
        ),
    )
    detail = {"version": customer.version, "changed": changed}
    await audit.record(db, actor, action, subject=f"customer/{customer.id}", detail=detail)
