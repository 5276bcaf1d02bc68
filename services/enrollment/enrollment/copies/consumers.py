"""State facts of contracts and the catalog, copied."""

from collections.abc import Sequence

from enrollment.copies.usecases import keep_courses, keep_customers, keep_partners, keep_suppliers, keep_terms
from enrollment.pace import settings_of
from kit.consumer import batches
from kit.db import Session
from schemas.course import CoursePublished, TermsChanged
from schemas.customer import CustomerChanged
from schemas.partner import PartnerChanged
from schemas.supplier import SupplierChanged


@batches(PartnerChanged)
async def on_partners(db: Session, events: Sequence[PartnerChanged]) -> None:
    await keep_partners(db, events)


@batches(CustomerChanged)
async def on_customers(db: Session, events: Sequence[CustomerChanged]) -> None:
    await keep_customers(db, events)


@batches(SupplierChanged)
async def on_suppliers(db: Session, events: Sequence[SupplierChanged]) -> None:
    await keep_suppliers(db, events)


@batches(CoursePublished)
async def on_courses(db: Session, events: Sequence[CoursePublished]) -> None:
    await keep_courses(db, events, settings_of(db).platform_email)


@batches(TermsChanged)
async def on_terms(db: Session, events: Sequence[TermsChanged]) -> None:
    await keep_terms(db, events)
