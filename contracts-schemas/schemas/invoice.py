"""Facts about invoicing, announced by the billing service."""

from datetime import date
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


class InvoiceFact(Event):
    """What every fact about an issued invoice or credit note says. An issued one never changes (BIL-9)."""

    key: ClassVar[str] = "invoice_id"
    source: ClassVar[str] = "billing"

    invoice_id: UUID
    number: str
    """Without gaps for each issuer and year; invoices and credit notes share them."""
    matter: str
    """`fees` (of days of a contract), `one_off` (costs that come once), `buyout`, or `other`."""
    customer_id: UUID
    partner_id: UUID | None = None
    payer: str = "customer"
    """Who is invoiced: `customer` or `partner`."""
    contract_id: UUID | None = None
    deal_id: UUID | None = None
    """The deal behind a subscription."""
    termination_id: UUID | None = None
    """The termination behind a buy-out."""
    period_from: date | None = None
    """First day of the fees in it, in the contract's time zone; None where it is not about days."""
    period_to: date | None = None
    """Last day, included."""
    net: Money
    """Never below zero; on a credit note what is given back."""
    vat: Money
    gross: Money


class InvoiceIssued(InvoiceFact):
    """An invoice has its number and is owed."""

    topic: ClassVar[str] = "invoice.issued"

    issued_on: date
    due_on: date
    replaces_id: UUID | None = None
    """The credit note of a buy-out that fell away, which this invoice takes back."""


class InvoicePaid(InvoiceFact):
    """Nothing of the invoice is open any more. Its sums are those it was issued with."""

    topic: ClassVar[str] = "invoice.paid"

    paid: Money
    """What was paid in all, VAT included; less than `gross` where a part was credited before."""
    paid_on: date


class InvoiceCredited(InvoiceFact):
    """A credit note was issued; `invoice_id`, number, period and sums are the credit note's."""

    topic: ClassVar[str] = "invoice.credited"

    credited_invoice_id: UUID | None = None
    """The invoice it takes back, or a part of; None for a buy-out below zero, which no invoice came before."""
    issued_on: date
    reason: str = "ended"
    """`ended` (days after the last day), `withdrawn` (a buy-out that fell away), `buyout_below_zero` or `corrected`."""
