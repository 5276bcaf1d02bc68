"""Customers as stored."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from contracts.customers.rules import Invoicing
from kit.db import Base, uuid7


class Customer(Base):
    """A customer. Row-level security looks for two tenants: its own id and its partner's."""

    __tablename__ = "customers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    version: Mapped[int] = mapped_column(default=1)
    name: Mapped[str]
    status: Mapped[str]
    partner_id: Mapped[UUID | None]
    parent_id: Mapped[UUID | None]
    size: Mapped[str]
    language: Mapped[str]
    time_zone: Mapped[str] = mapped_column(default="Europe/Amsterdam")
    closed_reason: Mapped[str | None]
    closed_on: Mapped[date | None]
    trial_started_on: Mapped[date | None]
    trial_ends_on: Mapped[date | None]
    """The last day of its trial; a trial that became a subscription keeps it."""
    trial_over_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The moment that day is over at the customer's."""
    trial_warn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """From when its end needs attention; None once that is on the list."""
    trial_held: Mapped[bool] = mapped_column(default=False)
    """Whether an order is being completed: the trial does not end meanwhile (CON-6)."""
    contract_id: Mapped[UUID | None]
    """The subscription's service contract."""
    subscribed_on: Mapped[date | None]
    renews_on: Mapped[date | None]
    renews_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The moment that day begins at the customer's."""
    renewal_months: Mapped[int | None]
    ends_on: Mapped[date | None]
    """The last day of a subscription that was given notice."""
    invoicing_stored: Mapped[dict[str, Any]] = mapped_column("invoicing", JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @property
    def invoicing(self) -> Invoicing:
        """What its invoices carry, as far as it is known."""
        return Invoicing.stored(self.invoicing_stored)

    @invoicing.setter
    def invoicing(self, details: Invoicing) -> None:
        self.invoicing_stored = details.model_dump(mode="json", exclude_none=True)
