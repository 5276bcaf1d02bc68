"""Facts about training providers, announced by the catalog service."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from schemas.event import Event, Value
from schemas.values import InvoicingDetails


class SupplierUser(Value):
    """A person who acts for the supplier and receives its mail."""

    user_id: UUID
    email: str
    name: str | None = None


class SiteOpening(Value):
    """Whether a supplier's courses can be enrolled on at a site, and if not, why (CAT-2).

    A site is `public`, `customer_portal/<customer id>`, `customer_portal/*` (every customer's) or
    `courseboard/<id>`.
    """

    site: str
    open: bool
    reason: str | None = None


class SupplierChanged(Event):
    """A supplier as it now is. One of the few events that carry addresses of people (its users)."""

    topic: ClassVar[str] = "supplier.changed"
    key: ClassVar[str] = "supplier_id"
    source: ClassVar[str] = "catalog"
    state: ClassVar[bool] = True

    supplier_id: UUID
    name: str
    status: str = "active"
    """`active`, `closed` or `erased`."""
    size: str = "small"
    """`large` or `small`."""
    language: str = "nl"
    users: list[SupplierUser] = Field(default_factory=list)
    sites: list[SiteOpening] = Field(default_factory=list)
    invoicing: InvoicingDetails = InvoicingDetails()
