"""How schedules are stored: one row a contract, locked while it is decided; and what is known of its ends."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, DateTime, Text, Uuid, or_, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base, Session


class Schedule(Base):
    """A contract's fees: what was agreed, and when the next month is invoiced."""

    __tablename__ = "schedules"

    contract_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(Uuid)
    partner_id: Mapped[UUID | None] = mapped_column(Uuid)
    state: Mapped[str] = mapped_column(Text)
    """`new` (only its end has been heard of), `running` or `ended`."""
    version: Mapped[int]
    deal_id: Mapped[UUID | None] = mapped_column(Uuid)
    invoicer: Mapped[str] = mapped_column(Text)
    terms: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """`schemas.deal.ContractTerms` as plain JSON types."""
    commission: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    parties: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """Invoicing details of customer and partner, as the deal carried them."""
    last_day: Mapped[date | None]
    documents: Mapped[int]
    """How many documents were issued by plan; part of the next one's cause."""
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the next month is invoiced, by the tenant's time."""
    missing: Mapped[list[str]] = mapped_column(JSONB)
    """Invoicing details without which nothing can be issued."""
    retry_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When to look again whether they are there, by the clock."""


class EndRow(Base):
    """What is known of one termination; it only moves forward."""

    __tablename__ = "contract_ends"

    termination_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    contract_id: Mapped[UUID] = mapped_column(Uuid)
    customer_id: Mapped[UUID] = mapped_column(Uuid)
    partner_id: Mapped[UUID | None] = mapped_column(Uuid)
    state: Mapped[str] = mapped_column(Text)
    """`open`, then `scheduled`, then `closed` or `terminated`."""
    version: Mapped[int] = mapped_column(BigInteger)
    last_day: Mapped[date | None]
    buyout: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """The accepted sum and the days it has set off."""


async def claim(db: Session, contracts: Iterable[tuple[UUID, UUID, UUID | None]]) -> dict[UUID, Schedule]:
    """The schedules of contracts (with customer and partner), new where there was none, locked in order of ids.

    Whatever is heard first of a contract makes its row, so that all that is heard of it meets there.
    """
    ordered = sorted({contract[0]: contract for contract in contracts}.values(), key=lambda c: c[0])
    new = [
        {"contract_id": id_, "customer_id": customer, "partner_id": partner, "state": "new"}
        for id_, customer, partner in ordered
    ]
    await db.execute(insert(Schedule).on_conflict_do_nothing(), new)
    return {row.contract_id: row for row in await _locked(db, [contract[0] for contract in ordered])}


async def _locked(db: Session, ids: Iterable[UUID]) -> list[Schedule]:
    query = select(Schedule).where(Schedule.contract_id.in_(ids)).order_by(Schedule.contract_id)
    return list(await db.scalars(query.with_for_update().execution_options(populate_existing=True)))


async def lock_due(db: Session, due: ColumnElement[bool], now: datetime, limit: int) -> list[Schedule]:
    """Schedules that are due, or whose details may be there now; those at work elsewhere are left."""
    waits = Schedule.retry_at.is_(None)
    query = select(Schedule).where(or_(due & waits, Schedule.retry_at <= now)).order_by(Schedule.due_at)
    return list(await db.scalars(query.limit(limit).with_for_update(skip_locked=True, of=Schedule)))


async def times(db: Session, ids: Iterable[UUID], at: ColumnElement[datetime]) -> dict[UUID, datetime]:
    """The time of each schedule's tenant."""
    query = select(Schedule.contract_id, at.label("at")).where(Schedule.contract_id.in_(set(ids)))
    return {row.contract_id: row.at for row in await db.execute(query)}


async def claim_ends(db: Session, new: Iterable[tuple[UUID, UUID, UUID, UUID | None]]) -> dict[UUID, EndRow]:
    """Terminations (with contract, customer and partner), new where they were not heard of; their contracts'
    schedules are locked."""
    names = ("termination_id", "contract_id", "customer_id", "partner_id")
    ordered: dict[UUID, dict[str, Any]] = {row[0]: dict(zip(names, row, strict=True)) for row in new}
    values = [ordered[id_] | {"state": "open", "version": 0} for id_ in sorted(ordered)]
    await db.execute(insert(EndRow).on_conflict_do_nothing(), values)
    query = select(EndRow).where(EndRow.termination_id.in_(ordered)).execution_options(populate_existing=True)
    return {row.termination_id: row for row in await db.scalars(query)}


async def ends_of(db: Session, contract_ids: Iterable[UUID]) -> list[EndRow]:
    query = select(EndRow).where(EndRow.contract_id.in_(set(contract_ids)))
    return list(await db.scalars(query.order_by(EndRow.termination_id).execution_options(populate_existing=True)))
