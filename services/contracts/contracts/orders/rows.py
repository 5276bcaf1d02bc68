"""Orders as stored."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from contracts.services.rules import Terms
from kit.db import Base, uuid7


class Order(Base):
    """Something ordered for a customer: a service, or the subscription itself (CON-6)."""

    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    version: Mapped[int] = mapped_column(default=1)
    customer_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    kind: Mapped[str]
    state: Mapped[str]
    product_id: Mapped[UUID]
    terms_stored: Mapped[dict[str, Any]] = mapped_column("terms", JSONB)
    """As they were offered when it was placed."""
    conditions_version: Mapped[str]
    """The text that was agreed to."""
    ordered_by: Mapped[str]
    """`customer`, `partner` or `platform`."""
    wish_date: Mapped[date | None]
    planned_on: Mapped[date | None]
    originally_planned_on: Mapped[date | None]
    delay_announced_on: Mapped[date | None]
    done_on: Mapped[date | None]
    reason: Mapped[str | None]
    remarks: Mapped[str]
    contract_id: Mapped[UUID | None]
    deal_id: Mapped[UUID | None]
    """The deal that a subscription's order wins."""
    missing: Mapped[list[str]] = mapped_column(JSONB, default=list)
    """What a waiting order lacks, as dotted names."""
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    """Every state it was in: since when, and by whose side."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @property
    def terms(self) -> Terms:
        return Terms.model_validate(self.terms_stored)
