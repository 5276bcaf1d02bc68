"""Facts about customer organisations, announced by the contracts service."""

from typing import ClassVar
from uuid import UUID

from schemas.event import Event
from schemas.values import InvoicingDetails


class CustomerChanged(Event):
    """A customer as it now is, with what its invoices must carry."""

    topic: ClassVar[str] = "customer.changed"
    key: ClassVar[str] = "customer_id"
    source: ClassVar[str] = "contracts"
    state: ClassVar[bool] = True

    customer_id: UUID
    name: str
    status: str = "active"
    """`company` (groups a partner's students, no contract), `trial`, `active` or `closed`."""
    partner_id: UUID | None = None
    parent_id: UUID | None = None
    size: str = "large"
    """`large` or `small`; decides the longest payment term that the law allows."""
    language: str = "en"
    invoicing: InvoicingDetails = InvoicingDetails()
