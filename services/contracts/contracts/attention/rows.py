"""Attention items as stored."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base, uuid7


class AttentionItem(Base):
    """One item of one list; the list is the platform's, a partner's or a customer's.

    Unique by list and `key`, also when resolved: what is resolved is not opened again under the same key.
    """

    __tablename__ = "attention_items"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    audience: Mapped[str]
    partner_id: Mapped[UUID | None]
    """Whose list it is on; of a customer's item, the partner above it. None for the platform's own."""
    customer_id: Mapped[UUID | None]
    """The customer whose list it is on."""
    about_customer_id: Mapped[UUID | None]
    """The customer that it is about; counted in the overview."""
    kind: Mapped[str]
    key: Mapped[str]
    subject: Mapped[str]
    next_action: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    snoozed_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Set while it is snoozed; a job takes it away when the time has come."""
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    resolved_by: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
