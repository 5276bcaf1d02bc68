"""Facts about customer organisations, announced by the contracts service."""

from datetime import date
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
    time_zone: str = "Europe/Amsterdam"
    """Its days begin and end there; by its name in the IANA database."""
    closed_reason: str | None = None
    """Of a closed one: `trial_over`, `ended` (its subscription) or `withdrawn` (before it had one)."""
    closed_on: date | None = None
    trial_ends_on: date | None = None
    """The last day of its trial."""
    subscribed_on: date | None = None
    """The first day of its subscription."""
    renews_on: date | None = None
    """The first day of the subscription's next term."""
    ends_on: date | None = None
    """The last day of a subscription that has been given notice."""
