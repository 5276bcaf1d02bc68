"""Deals, their notes and partners' agreements as stored."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from contracts.deals.rules import Contact
from kit.db import Base, uuid7


class Agreement(Base):
    """What a partner and the platform agreed on: what new deals of it begin with."""

    __tablename__ = "partner_agreements"

    partner_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    invoicer: Mapped[str]
    commission_bp: Mapped[int]
    commission_months: Mapped[int | None]
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Deal(Base):
    """A sales opportunity. Its partner and the platform see it, and nobody else."""

    __tablename__ = "deals"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    version: Mapped[int] = mapped_column(default=1)
    partner_id: Mapped[UUID | None]
    customer_id: Mapped[UUID | None]
    state: Mapped[str]
    company: Mapped[str]
    company_key: Mapped[str]
    """The name as it is compared."""
    country: Mapped[str]
    registration_number: Mapped[str | None]
    domain: Mapped[str | None]
    contact_stored: Mapped[dict[str, Any]] = mapped_column("contact", JSONB)
    currency: Mapped[str]
    monthly_value: Mapped[int | None] = mapped_column(BigInteger)
    product_id: Mapped[UUID | None]
    term_months: Mapped[int | None]
    expected_on: Mapped[date | None]
    invoicer: Mapped[str]
    commission_bp: Mapped[int]
    commission_months: Mapped[int | None]
    protected_until: Mapped[date | None]
    """The last day; None where another partner's deal was protected when this one asked."""
    notice_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    confirm_by: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    confirmed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    reason: Mapped[str | None]
    contract_id: Mapped[UUID | None]
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @property
    def contact(self) -> Contact:
        # It was checked when it came in; a rule made stricter since must not make it unreadable.
        return Contact.model_construct(**self.contact_stored)

    @contact.setter
    def contact(self, contact: Contact) -> None:
        self.contact_stored = contact.model_dump(mode="json")


class DealNote(Base):
    """What somebody wrote on a deal; never changed."""

    __tablename__ = "deal_notes"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    deal_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    by: Mapped[str]
    text: Mapped[str]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
