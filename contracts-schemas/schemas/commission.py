"""Facts about partners' commissions, announced by the billing service."""

from datetime import date
from typing import ClassVar
from uuid import UUID

from schemas.event import Event
from schemas.values import Money


class CommissionAccrued(Event):
    """A partner's commission grew by a payment, or shrank by a credit note (BIL-9)."""

    topic: ClassVar[str] = "commission.accrued"
    key: ClassVar[str] = "invoice_id"
    source: ClassVar[str] = "billing"

    commission_id: UUID
    """This line of the partner's statement; `version` counts an invoice's lines."""
    partner_id: UUID
    customer_id: UUID
    deal_id: UUID
    contract_id: UUID
    invoice_id: UUID
    invoice_number: str
    cause_id: UUID
    """The payment or the credit note behind it."""
    kind: str
    """`payment` or `credit`."""
    amount: Money
    """Below zero where it is clawed back."""
    rate_bp: int
    booked_on: date
    """The day that decides in which month's statement it stands."""
