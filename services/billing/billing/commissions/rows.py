"""How commissions are stored: entries that are only ever inserted."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base


class CommissionRow(Base):
    """One entry: by which payment or credit note of which invoice of which deal a partner's commission changed."""

    __tablename__ = "commissions"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    partner_id: Mapped[UUID] = mapped_column(Uuid)
    customer_id: Mapped[UUID] = mapped_column(Uuid)
    deal_id: Mapped[UUID] = mapped_column(Uuid)
    contract_id: Mapped[UUID] = mapped_column(Uuid)
    invoice_id: Mapped[UUID] = mapped_column(Uuid)
    invoice_number: Mapped[str] = mapped_column(Text)
    cause_id: Mapped[UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    rate_bp: Mapped[int]
    booked_on: Mapped[date]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
