"""Keeping copies of those who are invoiced, and choosing a customer's route."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from billing.parties import rows
from billing.parties.rules import DEFAULT, Organisation, Route
from kit import audit, outbox
from kit.auth import Grant, Role, end_older_grants, keep_grants
from kit.db import Session, upsert_newer
from kit.inbox import arrived
from kit.problems import Refused
from schemas.invoice import InvoicingChanged


class CustomerNotFound(Refused):
    """No such customer."""

    status = 404


@dataclass(frozen=True, slots=True)
class OrganisationNow:
    """A customer or supplier as one of its events describes it."""

    id: UUID
    version: int
    name: str
    status: str
    size: str
    invoicing: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CustomerNow(OrganisationNow):
    """A customer, with the partner that serves it."""

    partner_id: UUID | None


@dataclass(frozen=True, slots=True)
class SupplierNow(OrganisationNow):
    """A supplier, with the addresses of those who act for it by their ids."""

    users: Mapping[UUID, str]


async def keep_customers(db: Session, customers: Sequence[CustomerNow]) -> None:
    """Copy customers, and let go on what waited for them."""
    changed = await upsert_newer(db, rows.Customer, [asdict(customer) for customer in customers])
    arrived(db, *(f"customer/{id_}" for id_ in changed))


async def keep_suppliers(db: Session, suppliers: Sequence[SupplierNow]) -> None:
    """Copy suppliers, let their users in and out, and let go on what waited for them."""
    copies = [{name: getattr(supplier, name) for name in OrganisationNow.__slots__} for supplier in suppliers]
    changed = await upsert_newer(db, rows.Supplier, copies)
    newest = {supplier.id: supplier for supplier in sorted(suppliers, key=lambda supplier: supplier.version)}
    grants = [grant for id_ in changed for grant in supplier_grants(newest[id_])]
    await keep_grants(db, "supplier", grants)
    await end_older_grants(db, "supplier", {id_: newest[id_].version for id_ in changed})
    arrived(db, *(f"supplier/{id_}" for id_ in changed))


def supplier_grants(supplier: SupplierNow) -> list[Grant]:
    """A grant for each user that a supplier has; a closed one has none."""
    users = supplier.users if supplier.status == "active" else {}
    return [
        Grant(f"{supplier.id}/{user_id}", supplier.version, Role.SUPPLIER_USER, "supplier", supplier.id, email)
        for user_id, email in users.items()
    ]


@dataclass(frozen=True, slots=True)
class PersonNow:
    """Somebody of a customer, as one `person.changed` describes it."""

    id: UUID
    version: int
    status: str
    email: str | None
    customer_id: UUID | None
    roles: Sequence[str]


async def keep_people(db: Session, people: Sequence[PersonNow]) -> None:
    """Let in those who look after their customer's invoices; of all others, keep no address."""
    await keep_grants(db, "person", [grant for person in people for grant in person_grants(person)])


def person_grants(person: PersonNow) -> list[Grant]:
    """What a person may do here: its roles for its customer. One grant a role, on or off."""

    def grant(role: Role) -> Grant:
        key, tenant_id = f"{person.id}/{role}", person.customer_id
        holds = person.status == "active" and tenant_id and role in person.roles
        email, status = (person.email, "active") if holds else (None, "revoked")
        return Grant(key, person.version, role, "customer", tenant_id, email, status=status)

    return [grant(role) for role in (Role.HR, Role.CUSTOMER_ADMIN)]


@dataclass(slots=True)
class Known:
    """The customers and suppliers that are known, as sides of an invoice, and the customers' routes."""

    customers: dict[UUID, Organisation]
    suppliers: dict[UUID, Organisation]
    routes: dict[UUID, str]

    def route(self, customer_id: UUID) -> Route:
        """The customer's route: the one chosen for it, or the default."""
        return Route(self.routes.get(customer_id, DEFAULT))


async def find_known(db: Session, customer_ids: Iterable[UUID], supplier_ids: Iterable[UUID]) -> Known:
    """What is known of these."""
    customers = await rows.read_customers(db, customer_ids)
    suppliers = await rows.read_suppliers(db, supplier_ids)
    return Known(
        {id_: _organisation("customer", row) for id_, row in customers.items()},
        {id_: _organisation("supplier", row) for id_, row in suppliers.items()},
        await rows.read_routes(db, customer_ids),
    )


def _organisation(kind: str, row: rows.Customer | rows.Supplier) -> Organisation:
    return Organisation(kind, row.id, row.size == "small", row.invoicing)


async def partner_of_customer(db: Session, customer_id: UUID) -> UUID | None:
    """The partner that serves a customer, so that its admins may act for it."""
    return await db.scalar(select(rows.Customer.partner_id).where(rows.Customer.id == customer_id))


@dataclass(frozen=True, slots=True)
class RouteNow:
    """A customer's route; `version` 0 where none was ever chosen."""

    customer_id: UUID
    route: Route
    version: int


async def find_route(db: Session, customer_id: UUID) -> RouteNow:
    """The route a customer's next enrollment takes."""
    if await db.get(rows.Customer, customer_id) is None:
        raise CustomerNotFound(customer_id)
    row = await db.get(rows.Route, customer_id)
    return RouteNow(customer_id, Route(row.route), row.version) if row else RouteNow(customer_id, DEFAULT, 0)


async def choose_route(db: Session, customer_id: UUID, route: Route, actor: str, now: datetime) -> RouteNow:
    """Choose the route of a customer's enrollments from now on; those instructed before keep theirs."""
    if await db.get(rows.Customer, customer_id) is None:
        raise CustomerNotFound(customer_id)
    row = await rows.lock_route(db, customer_id, DEFAULT, now)
    if row.version and row.route == route:
        return RouteNow(customer_id, route, row.version)
    row.route, row.version, row.changed_at = route, row.version + 1, now
    outbox.add(db, InvoicingChanged(customer_id=customer_id, version=row.version, at=now, route=route))
    await audit.record(db, actor, "invoicing_route.chosen", subject=f"customer/{customer_id}", detail={"route": route})
    return RouteNow(customer_id, route, row.version)
