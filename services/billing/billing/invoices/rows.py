"""How issued invoices and their payments are stored. What was issued is never changed, the database sees to it."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Text, Uuid, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base, Session


class InvoiceRow(Base):
    """An invoice or a credit note, and what has been paid and credited of it since."""

    __tablename__ = "invoices"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    """`invoice` or `credit_note`."""
    cause: Mapped[str] = mapped_column(Text)
    """What it was issued for; unique, so that one cause is invoiced once."""
    issuer: Mapped[str] = mapped_column(Text)
    year: Mapped[int]
    sequence: Mapped[int]
    number: Mapped[str] = mapped_column(Text)
    matter: Mapped[str] = mapped_column(Text)
    payer: Mapped[str] = mapped_column(Text)
    """`customer` or `partner`."""
    customer_id: Mapped[UUID] = mapped_column(Uuid)
    partner_id: Mapped[UUID | None] = mapped_column(Uuid)
    buyer_customer_id: Mapped[UUID | None] = mapped_column(Uuid)
    """The customer where it is the buyer: what the platform invoices a partner is not its customer's business."""
    contract_id: Mapped[UUID | None] = mapped_column(Uuid)
    deal_id: Mapped[UUID | None] = mapped_column(Uuid)
    termination_id: Mapped[UUID | None] = mapped_column(Uuid)
    credits_id: Mapped[UUID | None] = mapped_column(Uuid)
    """The document that it takes back."""
    period_from: Mapped[date | None]
    period_to: Mapped[date | None]
    currency: Mapped[str] = mapped_column(Text)
    fee: Mapped[int] = mapped_column(BigInteger)
    net: Mapped[int] = mapped_column(BigInteger)
    vat: Mapped[int] = mapped_column(BigInteger)
    off_bp: Mapped[int]
    """The share that was taken off for a partner that invoices its customer itself."""
    commission_bp: Mapped[int]
    """The share of what is paid that the partner earns."""
    vat_treatment: Mapped[str] = mapped_column(Text)
    vat_rate_bp: Mapped[int]
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    seller: Mapped[dict[str, Any]] = mapped_column(JSONB)
    buyer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    reference: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    issued_on: Mapped[date]
    due_on: Mapped[date | None]
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    # What may change afterwards.
    version: Mapped[int]
    paid: Mapped[int] = mapped_column(BigInteger)
    credited_fee: Mapped[int] = mapped_column(BigInteger)
    credited_net: Mapped[int] = mapped_column(BigInteger)
    credited_vat: Mapped[int] = mapped_column(BigInteger)
    settled_on: Mapped[date | None]

    @property
    def gross(self) -> int:
        return self.net + self.vat

    @property
    def open(self) -> int:
        """What is still owed; below zero where more was paid than is owed after a credit note."""
        return self.gross - self.credited_net - self.credited_vat - self.paid


class PaymentRow(Base):
    """Money that came in for an invoice."""

    __tablename__ = "payments"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    invoice_id: Mapped[UUID] = mapped_column(Uuid)
    customer_id: Mapped[UUID] = mapped_column(Uuid)
    partner_id: Mapped[UUID | None] = mapped_column(Uuid)
    buyer_customer_id: Mapped[UUID | None] = mapped_column(Uuid)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    paid_on: Mapped[date]
    reference: Mapped[str | None] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


_TAKE_NUMBERS = text(
    "insert into invoice_numbers as n (issuer, year, last) values (:issuer, :year, :count)"
    " on conflict (issuer, year) do update set last = n.last + excluded.last returning last"
)


async def take_numbers(db: Session, issuer: str, year: int, count: int) -> range:
    """The next numbers of an issuer's year. Whoever else wants some waits for our commit, so none is left out."""
    last = (await db.execute(_TAKE_NUMBERS, {"issuer": issuer, "year": year, "count": count})).scalar_one()
    return range(last - count + 1, last + 1)


async def of_contracts(db: Session, contract_ids: Iterable[UUID]) -> list[InvoiceRow]:
    """All documents of contracts, in the order they were issued."""
    query = select(InvoiceRow).where(InvoiceRow.contract_id.in_(set(contract_ids)))
    ordered = query.order_by(InvoiceRow.year, InvoiceRow.sequence).execution_options(populate_existing=True)
    return list(await db.scalars(ordered))


async def lock(db: Session, ids: Iterable[UUID]) -> dict[UUID, InvoiceRow]:
    """Documents as they now are, locked in the order of their ids."""
    query = select(InvoiceRow).where(InvoiceRow.id.in_(set(ids))).order_by(InvoiceRow.id)
    locked = query.with_for_update().execution_options(populate_existing=True)
    return {row.id: row for row in await db.scalars(locked)}
