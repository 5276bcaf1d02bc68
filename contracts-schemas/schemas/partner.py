"""Facts about partner companies, announced by the contracts service."""

from typing import ClassVar
from uuid import UUID

from schemas.event import Event, Value
from schemas.values import InvoicingDetails


class Branding(Value):
    """How a whitelabel partner looks. What is not given is the platform's."""

    name: str
    """In place of the platform's name, on pages and in mails."""
    background: str | None = None
    """Colours are #rrggbb, and have the contrast that WCAG 2.2 AA asks for."""
    text: str | None = None
    primary: str | None = None
    on_primary: str | None = None
    logo_url: str | None = None
    """A PNG that everybody may see; another logo has another address."""
    domain: str | None = None
    """The host of its site, proved to be its own."""
    sender_label: str | None = None
    sender_mailbox: str | None = None
    """Where its mails come from: a mailbox of the organisation."""


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
    branding: Branding | None = None
    """Of a whitelabel partner."""
