"""Local copies of customers and suppliers, and the invoicing route of each customer."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Text, Uuid, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base, Session


class Customer(Base):
    """What billing keeps of a customer: the newest `customer.changed`."""

    __tablename__ = "customers"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    size: Mapped[str] = mapped_column(Text)
    invoicing: Mapped[dict[str, Any]] = mapped_column(JSONB)
    partner_id: Mapped[UUID | None] = mapped_column(Uuid)


class Supplier(Base):
    """What billing keeps of a supplier: the newest `supplier.changed`, without its people."""

    __tablename__ = "suppliers"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    size: Mapped[str] = mapped_column(Text)
    invoicing: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Route(Base):
    """How one customer's enrollments are invoiced, where it is not the default."""

    __tablename__ = "routes"

    customer_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    route: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


async def read_customers(db: Session, ids: Iterable[UUID]) -> dict[UUID, Customer]:
    """The customers that are known, by id."""
    query = select(Customer).where(Customer.id.in_(set(ids))).execution_options(populate_existing=True)
    return {row.id: row for row in await db.scalars(query)}


async def read_suppliers(db: Session, ids: Iterable[UUID]) -> dict[UUID, Supplier]:
    """The suppliers that are known, by id."""
    query = select(Supplier).where(Supplier.id.in_(set(ids))).execution_options(populate_existing=True)
    return {row.id: row for row in await db.scalars(query)}


async def read_routes(db: Session, customer_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The routes that were chosen, by customer."""
    query = select(Route.customer_id, Route.route).where(Route.customer_id.in_(set(customer_ids)))
    return dict(iter(await db.execute(query)))


async def lock_route(db: Session, customer_id: UUID, default: str, now: datetime) -> Route:
    """The customer's route, locked; made with version 0 where none was chosen."""
    new = insert(Route).values(customer_id=customer_id, route=default, version=0, changed_at=now)
    await db.execute(new.on_conflict_do_nothing())
    return await db.get_one(Route, customer_id, with_for_update=True)
