"""What contracts tells about customers and catalog about suppliers."""

from collections.abc import Sequence

from billing.parties.usecases import CustomerNow, OrganisationNow, keep_customers, keep_suppliers
from kit.db import Session
from kit.inbox import batches
from schemas.customer import CustomerChanged
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
    """Copy what a supplier's invoices must carry; an erased one keeps nothing."""
    await keep_suppliers(
        db,
        [OrganisationNow(e.supplier_id, e.version, e.name, e.status, e.size, e.invoicing.model_dump()) for e in events],
    )
