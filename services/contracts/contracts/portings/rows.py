"""Portings, their numbers and their mandates as stored."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, LargeBinary
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from contracts.portings.rules import Numbers
from kit.db import Base, uuid7


class PortingNumbers(Base):
    """A range that a porting moves. While `claimed`, no other porting of its direction may name the same numbers."""

    __tablename__ = "porting_numbers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    porting_id: Mapped[UUID] = mapped_column(ForeignKey("portings.id"))
    customer_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    incoming: Mapped[bool]
    claimed: Mapped[bool]
    first: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[int] = mapped_column(BigInteger)

    @property
    def numbers(self) -> Numbers:
        return Numbers(self.first, self.last)


class Porting(Base):
    """Numbers on their way in or out."""

    __tablename__ = "portings"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    version: Mapped[int] = mapped_column(default=1)
    customer_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    direction: Mapped[str]
    state: Mapped[str]
    contract_id: Mapped[UUID | None]
    order_id: Mapped[UUID | None]
    termination_id: Mapped[UUID | None]
    provider: Mapped[str]
    """Who loses the numbers, or who gains them."""
    wish_date: Mapped[date]
    planned_on: Mapped[date | None]
    originally_planned_on: Mapped[date | None]
    delay_announced_on: Mapped[date | None]
    done_on: Mapped[date | None]
    over_on: Mapped[date | None]
    """The day it was done or cancelled, where the service is at home."""
    reason: Mapped[str | None]
    mandate_hash: Mapped[str | None]
    """SHA-256 of the signed mandate; None until it is there."""
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ranges: Mapped[list[PortingNumbers]] = relationship(lazy="selectin", order_by=PortingNumbers.first)


class Mandate(Base):
    """The signed mandate of a porting, the file itself."""

    __tablename__ = "porting_mandates"

    porting_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    media_type: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    stored_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
