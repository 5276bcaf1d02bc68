"""What access listens to: suppliers that exist, and people's roles for their customers."""

from collections.abc import Sequence

from contracts.access.usecases import copy_people_roles, copy_suppliers
from kit.consumer import batches
from kit.db import Session
from schemas.person import PersonChanged
from schemas.supplier import SupplierChanged


@batches(SupplierChanged)
async def on_suppliers_changed(db: Session, events: Sequence[SupplierChanged]) -> None:
    """Know the suppliers that access can be given for."""
    await copy_suppliers(db, events)


@batches(PersonChanged)
async def on_people_changed(db: Session, events: Sequence[PersonChanged]) -> None:
    """Let a customer's own admins and HR in."""
    await copy_people_roles(db, events)
