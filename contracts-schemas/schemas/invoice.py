"""Facts about invoicing, announced by the billing service."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from schemas.event import Event, Value
from schemas.values import Money, Party


class InvoicingChanged(Event):
    """How a customer's enrollments are invoiced, as it now is (BIL-5)."""

    topic: ClassVar[str] = "invoicing.changed"
    key: ClassVar[str] = "customer_id"
    source: ClassVar[str] = "billing"
    state: ClassVar[bool] = True

    customer_id: UUID
    route: str
    """`supplier_to_customer` or `supplier_to_platform`."""


class InstructedInvoice(Value):
    """One invoice that will follow: who bills whom, how much, due when."""

    document: str
    """`supplier_invoice` (to customer or participant), `platform_fee`, `purchase` or `sales`."""
    seller: Party
    buyer: Party
    net: Money
    term_days: int = Field(ge=0)
    """Payment term, in days from the invoice date (BIL-6)."""
    collected: str = "single"
    """`single`, or `monthly` where it is collected on one invoice a month."""


class InvoiceInstructed(Event):
    """How an enrollment is invoiced (BIL-7). A higher revision replaces; withdrawn = amounts zero."""

    topic: ClassVar[str] = "invoice.instructed"
    key: ClassVar[str] = "enrollment_id"
    source: ClassVar[str] = "billing"

    enrollment_id: UUID
    revision: int = Field(ge=1)
    route: str
    """`supplier_to_customer`, `supplier_to_platform` or `supplier_to_participant`."""
    reference: str
    """Stands on every document of this enrollment."""
    withdrawn: bool = False
    invoices: list[InstructedInvoice]


class InvoiceRefused(Event):
    """The enrollment cannot be invoiced: details are missing, or the law forbids the term."""

    topic: ClassVar[str] = "invoice.refused"
    key: ClassVar[str] = "enrollment_id"
    source: ClassVar[str] = "billing"

    enrollment_id: UUID
    reason: str = "invoicing_incomplete"
    missing: list[str] = Field(default_factory=list)
    """Dotted names, such as `customer.invoicing.vat_id`."""
