"""Values that several events share."""

from datetime import date, datetime
from uuid import UUID

from pydantic import Field

from schemas.event import Value


class Money(Value):
    """An amount in the minor unit of its currency (12500 EUR is € 125,00)."""

    amount: int
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")


class Address(Value):
    """A postal address of an organisation."""

    street: str
    postal_code: str
    city: str
    country: str = Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")


class InvoicingDetails(Value):
    """What an organisation's invoices must carry. What is missing is `None`."""

    legal_name: str | None = None
    address: Address | None = None
    vat_id: str | None = None
    registration_number: str | None = None
    invoice_email: str | None = Field(None, description="An address of the organisation, not of a person.")


class PriceBreakdown(Value):
    """A price as it was shown and frozen (CAT-6), all in minor units, net of VAT.

    The customer pays `price - discount + fee`, the supplier keeps `price - discount`, the platform
    keeps `fee`.
    """

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    price: int = Field(ge=0)
    discount: int = Field(ge=0)
    fee: int = Field(ge=0)


class CancellationTerms(Value):
    """What a cancellation costs (ENR-8): nothing until `free_until_days` before the start, then a share."""

    free_until_days: int = Field(14, ge=0)
    then_keep_bp: int = Field(10_000, ge=0, le=10_000, description="Share kept after that, in basis points.")


class CourseSession(Value):
    """One run of a course at a place and time."""

    session_id: UUID
    starts_at: datetime
    ends_at: datetime
    place: str | None = None
    capacity: int = Field(ge=0)
    status: str = Field("open", description="open, cancelled")


class DatedPrice(Value):
    """A list price, net of VAT, and the day from which it holds (CAT-5)."""

    valid_from: date
    price: Money


class CreditOffer(Value):
    """For which partners a course is, and for how many credits (CAT-7).

    `scope` is `none`, `all` (everyone for `general_value`) or `chosen` (the partners in `values`;
    one without a value of its own pays `general_value`).
    """

    scope: str = "none"
    general_value: int | None = Field(None, ge=0)
    values: dict[UUID, int | None] = Field(default_factory=dict)


class Party(Value):
    """One side of an invoice. A private participant is named by id only."""

    kind: str = Field(description="platform, supplier, customer or participant")
    id: UUID | None = None
    name: str | None = None
    address: Address | None = None
    vat_id: str | None = None
    invoice_email: str | None = None
