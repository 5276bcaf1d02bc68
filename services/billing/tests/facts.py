"""Facts of other services, as short as a test wants to say them."""

from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from schemas.customer import CustomerChanged
from schemas.enrollment import EnrollmentFact
from schemas.event import uuid7
from schemas.partner import PartnerChanged
from schemas.supplier import SupplierChanged
from schemas.values import PriceBreakdown

F = TypeVar("F", bound=EnrollmentFact)

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def partner(partner_id: UUID, version: int = 1, **more: Any) -> PartnerChanged:
    return PartnerChanged(
        **{"partner_id": partner_id, "version": version, "name": "Learning Lab", "wallet": True} | more
    )


def fact(kind: type[F], enrollment_id: UUID, partner_id: UUID | None, credits: int | None = 4, **more: Any) -> F:
    """A step of an enrollment that is paid by credits, with what its kind needs besides."""
    own: dict[str, dict[str, Any]] = {
        "enrollment.requested": {"expires_at": NOON},
        "enrollment.approved": {"approved_by": "user:lead", "approved_at": NOON},
        "enrollment.refused": {"reason": "stuck"},
        "enrollment.cancelled": {"reason": "ill", "cancelled_by": "person", "credits_returned": credits or 0},
        "enrollment.repriced": {"old_price": PRICE, "reason": "agreed"},
    }
    return kind(
        **{
            "version": 1,
            "enrollment_id": enrollment_id,
            "person_id": uuid7(),
            "course_id": uuid7(),
            "partner_id": partner_id,
            "way": "associated",
            "payment": "credits",
            "credits": credits,
        }
        | own.get(kind.topic, {})
        | more
    )


COMPLETE = {
    "legal_name": "Example B.V.",
    "address": {"street": "Street 1", "postal_code": "1234 AB", "city": "Utrecht", "country": "NL"},
    "vat_id": "NL123456789B01",
    "invoice_email": "invoices@example.com",
}
"""Invoicing details that miss nothing."""


def customer(customer_id: UUID, version: int = 1, *, invoicing: Any = None, **more: Any) -> CustomerChanged:
    own = {"customer_id": customer_id, "version": version, "name": "Example", "invoicing": invoicing or COMPLETE}
    return CustomerChanged(**own | more)


def supplier(supplier_id: UUID, version: int = 1, *, invoicing: Any = None, **more: Any) -> SupplierChanged:
    own = {"supplier_id": supplier_id, "version": version, "name": "Trainer", "invoicing": invoicing or COMPLETE}
    return SupplierChanged(**own | more)


PRICE = PriceBreakdown(currency="EUR", price=100_00, discount=15_00, fee=7_50)


def billed(kind: type[F], enrollment_id: UUID, customer_id: UUID | None, supplier_id: UUID | None, **more: Any) -> F:
    """A step of an enrollment that is paid by invoice."""
    own: dict[str, Any] = {
        "payment": "invoice",
        "credits": None,
        "price": PRICE,
        "customer_id": customer_id,
        "supplier_id": supplier_id,
    }
    return fact(kind, enrollment_id, more.pop("partner_id", None), **own | more)
