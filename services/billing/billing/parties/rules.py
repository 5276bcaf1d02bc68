"""Who can stand on an invoice, and what an invoice needs to know of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID


class Route(StrEnum):
    """Who bills whom for an enrollment (BIL-5, BIL-7)."""

    TO_CUSTOMER = "supplier_to_customer"
    TO_PLATFORM = "supplier_to_platform"
    """The platform buys from the supplier and bills the customer."""
    TO_PARTICIPANT = "supplier_to_participant"


CHOICES = (Route.TO_CUSTOMER, Route.TO_PLATFORM)
"""The routes a customer can have."""

DEFAULT = Route.TO_CUSTOMER
"""The route of a customer for which none was chosen: the shorter one, where the platform buys nothing."""

NEEDED = ("legal_name", "address", "vat_id", "invoice_email")
"""What an organisation's invoices must carry."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """One side of an invoice. `details` are its invoicing details as plain JSON types."""

    kind: str
    """`platform`, `supplier`, `customer` or `participant`."""
    id: UUID | None
    small: bool
    details: Mapping[str, Any]

    def missing(self) -> list[str]:
        """The invoicing details that it lacks, as `customer.invoicing.vat_id`. A participant needs none."""
        if self.kind == "participant":
            return []
        return [f"{self.kind}.invoicing.{name}" for name in NEEDED if not self.details.get(name)]
