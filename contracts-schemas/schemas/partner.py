"""Facts about partner companies, announced by the contracts service."""

from typing import ClassVar
from uuid import UUID

from schemas.event import Event
from schemas.values import InvoicingDetails


class PartnerChanged(Event):
    """A partner as it now is. Whether it pays by wallet decides how its people's enrollments are paid."""

    topic: ClassVar[str] = "partner.changed"
    key: ClassVar[str] = "partner_id"
    source: ClassVar[str] = "contracts"
    state: ClassVar[bool] = True

    partner_id: UUID
    name: str
    kind: str = "default"
    """`default` or `whitelabel`."""
    status: str = "active"
    """`active` or `closed`."""
    wallet: bool
    language: str = "en"
    time_zone: str = "Europe/Amsterdam"
    responsible_grant_id: UUID | None = None
    """The platform's team member for this partner; the name is on that grant's `access.changed`."""
    invoicing: InvoicingDetails = InvoicingDetails()
    """What its own invoices carry; must be complete before a deal of it can be won (CON-6)."""
