"""Customers as stored."""

from datetime import datetime
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
    invoicing_stored: Mapped[dict[str, Any]] = mapped_column("invoicing", JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @property
    def invoicing(self) -> Invoicing:
        """What its invoices carry, as far as it is known."""
        return Invoicing.stored(self.invoicing_stored)

    @invoicing.setter
    def invoicing(self, details: Invoicing) -> None:
        self.invoicing_stored = details.model_dump(mode="json", exclude_none=True)
