"""Facts of other services, as short as a test wants to say them."""

from datetime import UTC, date, datetime
from typing import Any, TypeVar
from uuid import UUID

from schemas.contract import ServiceActivated, TerminationFact
from schemas.customer import CustomerChanged
from schemas.deal import Commission, ContractTerms, DealWon
from schemas.enrollment import EnrollmentFact
from schemas.event import uuid7
from schemas.partner import PartnerChanged
from schemas.supplier import SupplierChanged
from schemas.values import Money, PriceBreakdown

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


def terms(contract_id: UUID, starts_on: date, fee: int = 310_00, **more: Any) -> ContractTerms:
    """What was agreed: a monthly fee, from a day on."""
    own = {
        "contract_id": contract_id,
        "product_id": uuid7(),
        "product_code": "learn-100",
        "label": "Learning 100",
        "starts_on": starts_on,
        "monthly_fee": Money(amount=fee, currency="EUR"),
    }
    return ContractTerms(**own | more)


def won(contract: ContractTerms, customer_id: UUID, partner_id: UUID | None = None, **more: Any) -> DealWon:
    own = {
        "version": 3,
        "deal_id": uuid7(),
        "customer_id": customer_id,
        "partner_id": partner_id,
        "contract": contract,
        "commission": Commission(rate_bp=10_00, months=12) if partner_id else None,
        "customer": COMPLETE,
        "partner": COMPLETE if partner_id else None,
    }
    return DealWon(**own | more)


def activated(contract: ContractTerms, customer_id: UUID, **more: Any) -> ServiceActivated:
    own = {"version": 1, "contract_id": contract.contract_id, "customer_id": customer_id, "order_id": uuid7()}
    return ServiceActivated(**own | {"contract": contract} | more)


T = TypeVar("T", bound=TerminationFact)


def ending(kind: type[T], termination_id: UUID, contract_id: UUID, customer_id: UUID, **more: Any) -> T:
    """A step of a termination, with what its kind needs besides."""
    buyout = {"proposal_id": uuid7(), "lines": [], "lines_hash": "0" * 64, "regular_end": date(2027, 12, 31)}
    own: dict[str, dict[str, Any]] = {
        "contract.termination_scheduled": {"regular_end": date(2027, 12, 31)},
        "contract.termination_closed": {"reason": "withdrawn"},
        "contract.buyout_accepted": buyout,
    }
    ids = {"version": 5, "termination_id": termination_id, "contract_id": contract_id, "customer_id": customer_id}
    return kind(**ids | own.get(kind.topic, {}) | more)
