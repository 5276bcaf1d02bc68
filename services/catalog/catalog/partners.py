"""Catalog's own copies of partners and customers, kept from what contracts announces."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Select, func, select
from sqlalchemy.orm import Mapped, mapped_column

from kit.consumer import batches
from kit.db import Base, Session, upsert_newer
from kit.problems import Refused
from schemas.customer import CustomerChanged
from schemas.partner import PartnerChanged


class Partner(Base):
    """What catalog needs to know of a partner."""

    __tablename__ = "partners"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]


class Customer(Base):
    """What catalog needs to know of a customer."""

    __tablename__ = "customers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str]
    status: Mapped[str]
    partner_id: Mapped[UUID | None]


class UnknownPartner(Refused):
    """No such partner is known here, or it is closed."""

    status = 422
    remedy = "A partner made a moment ago may need a second to arrive; then ask again."


class UnknownCustomer(Refused):
    """No such customer is known here, or it is closed."""

    status = 422
    remedy = "A customer made a moment ago may need a second to arrive; then ask again."


class NotWhitelabel(Refused):
    """Only a whitelabel partner has courses of its own."""

    status = 422
    rule = "CON-1"


@batches(PartnerChanged)
async def on_partner_changed(db: Session, events: Sequence[PartnerChanged]) -> None:
    """Copy the partners."""
    rows = [
        {"id": e.partner_id, "version": e.version, "name": e.name, "kind": e.kind, "status": e.status} for e in events
    ]
    await upsert_newer(db, Partner, rows)


@batches(CustomerChanged)
async def on_customer_changed(db: Session, events: Sequence[CustomerChanged]) -> None:
    """Copy the customers."""
    rows = [
        {
            "id": e.customer_id,
            "version": e.version,
            "name": e.name,
            "status": e.status,
            "partner_id": e.partner_id,
        }
        for e in events
    ]
    await upsert_newer(db, Customer, rows)


async def active_partners(db: Session, partner_ids: Collection[UUID]) -> set[UUID]:
    """Those of the partners that are there and not closed."""
    if not partner_ids:
        return set()
    return set(await db.scalars(select(Partner.id).where(Partner.id.in_(partner_ids), _partner_active)))


async def open_customers(db: Session, customer_ids: Collection[UUID]) -> set[UUID]:
    """Those of the customers that are there and not closed."""
    if not customer_ids:
        return set()
    found = select(Customer.id).where(Customer.id.in_(customer_ids), Customer.status != "closed")
    return set(await db.scalars(found))


async def require_partners(db: Session, partner_ids: Collection[UUID]) -> None:
    """Raises `UnknownPartner` naming those that are not there or closed."""
    unknown = sorted(str(id_) for id_ in set(partner_ids) - await active_partners(db, partner_ids))
    if unknown:
        raise UnknownPartner(", ".join(unknown), partner_ids=unknown)


async def require_whitelabel(db: Session, partner_id: UUID) -> None:
    """Raises `UnknownPartner` or `NotWhitelabel`."""
    await require_partners(db, [partner_id])
    if await db.scalar(select(Partner.kind).where(Partner.id == partner_id)) != "whitelabel":
        raise NotWhitelabel(partner_id)


async def require_customers(db: Session, customer_ids: Collection[UUID]) -> None:
    """Raises `UnknownCustomer` naming those that are not there or closed."""
    unknown = sorted(str(id_) for id_ in set(customer_ids) - await open_customers(db, customer_ids))
    if unknown:
        raise UnknownCustomer(", ".join(unknown), customer_ids=unknown)


async def partners_named(db: Session, names: Collection[str]) -> dict[str, list[UUID]]:
    """The ids of active partners by name, in lower case; a name may have several."""
    wanted = {name.lower() for name in names}
    found = select(func.lower(Partner.name), Partner.id).where(func.lower(Partner.name).in_(wanted), _partner_active)
    by_name: dict[str, list[UUID]] = {}
    for name, id_ in await db.execute(found):
        by_name.setdefault(name, []).append(id_)
    return by_name


async def partner_of_customer(db: Session, customer_id: UUID) -> UUID | None:
    """The partner that serves a customer, if any."""
    return await db.scalar(select(Customer.partner_id).where(Customer.id == customer_id))


def portals() -> tuple[Select[Customer], list[Any]]:
    """The customers that have a portal of their own, in trial or under contract; sorted by name."""
    theirs = select(Customer).where(Customer.status.in_(("trial", "active")))
    return theirs, [func.lower(Customer.name), Customer.id]


_partner_active = Partner.status == "active"
