"""What contracts tells about customers, catalog about suppliers, and enrollment about people."""

from collections.abc import Sequence

from billing.parties.usecases import (
    CustomerNow,
    PersonNow,
    SupplierNow,
    keep_customers,
    keep_people,
    keep_suppliers,
)
from kit.db import Session
from kit.inbox import batches
from schemas.customer import CustomerChanged
from schemas.person import PersonChanged
from schemas.supplier import SupplierChanged


@batches(CustomerChanged)
async def on_customers_changed(db: Session, events: Sequence[CustomerChanged]) -> None:
    """Copy what a customer's invoices must carry."""
    await keep_customers(
        db,
        [
            CustomerNow(e.customer_id, e.version, e.name, e.status, e.size, e.invoicing.model_dump(), e.partner_id)
            for e in events
        ],
    )


@batches(SupplierChanged)
async def on_suppliers_changed(db: Session, events: Sequence[SupplierChanged]) -> None:
    """Copy what a supplier's invoices must carry, and who acts for it; an erased one keeps nothing."""
    await keep_suppliers(
        db,
        [
            SupplierNow(
                e.supplier_id,
                e.version,
                e.name,
                e.status,
                e.size,
                e.invoicing.model_dump(),
                {user.user_id: user.email for user in e.users},
            )
            for e in events
        ],
    )


@batches(PersonChanged)
async def on_people_changed(db: Session, events: Sequence[PersonChanged]) -> None:
    """Keep who may see a customer's invoices."""
    await keep_people(
        db, [PersonNow(e.person_id, e.version, e.status, e.email, e.customer_id, e.roles) for e in events]
    )
