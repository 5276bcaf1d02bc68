"""How instructions are stored: one row an enrollment, locked while a step of it is decided."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, DateTime, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from billing.instructions.rules import State
from kit.db import Base, Session


class InstructionRow(Base):
    """How one enrollment is invoiced, as decided, so that it can be told again."""

    __tablename__ = "instructions"

    enrollment_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    partner_id: Mapped[UUID | None] = mapped_column(Uuid)
    customer_id: Mapped[UUID | None] = mapped_column(Uuid)
    supplier_id: Mapped[UUID | None] = mapped_column(Uuid)
    state: Mapped[str] = mapped_column(Text)
    revision: Mapped[int]
    route: Mapped[str | None] = mapped_column(Text)
    reference: Mapped[str | None] = mapped_column(Text)
    price: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    price_version: Mapped[int] = mapped_column(BigInteger)
    invoices: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    reason: Mapped[str | None] = mapped_column(Text)
    missing: Mapped[list[str]] = mapped_column(JSONB)
    decided_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(slots=True)
class Instruction:
    """One enrollment's instruction while a batch is decided."""

    enrollment_id: UUID
    state: State = State.NEW
    revision: int = 0
    route: str | None = None
    reference: str | None = None
    price: dict[str, Any] | None = None
    """The price last used, or kept for an approval that is still to come."""
    price_version: int = 0
    """The enrollment's version that brought this price."""
    invoices: list[dict[str, Any]] = field(default_factory=list)
    """`InstructedInvoice` as plain JSON types."""
    reason: str | None = None
    missing: list[str] = field(default_factory=list)


_CLAIM = text(
    "insert into instructions (enrollment_id, partner_id, customer_id, supplier_id, state, decided_at)"
    " select *, 'new', cast(:at as timestamptz)"
    " from unnest(cast(:ids as uuid[]), cast(:partners as uuid[]), cast(:customers as uuid[]),"
    " cast(:suppliers as uuid[]))"
    " on conflict (enrollment_id) do nothing"
)
_LOCK = text(
    "select enrollment_id, state, revision, route, reference, price, price_version, invoices, reason, missing"
    " from instructions where enrollment_id = any(cast(:ids as uuid[])) order by enrollment_id for update"
).columns(price=JSONB, invoices=JSONB, missing=JSONB)
_WRITE = text(
    "update instructions i set state = n.state, revision = n.revision, route = n.route,"
    " reference = n.reference, price = n.price, price_version = n.price_version, invoices = n.invoices,"
    " reason = n.reason, missing = n.missing, decided_at = cast(:at as timestamptz)"
    " from unnest(cast(:enrollment_id as uuid[]), cast(:state as text[]), cast(:revision as integer[]),"
    " cast(:route as text[]), cast(:reference as text[]), cast(:price as jsonb[]),"
    " cast(:price_version as bigint[]), cast(:invoices as jsonb[]), cast(:reason as text[]),"
    " cast(:missing as jsonb[]))"
    " as n (enrollment_id, state, revision, route, reference, price, price_version, invoices, reason, missing)"
    " where i.enrollment_id = n.enrollment_id"
)
_NUMBERS = text("select nextval('reference_numbers') from generate_series(1, :count)")

Tenants = tuple[UUID, UUID | None, UUID | None, UUID | None]
"""Enrollment, and the partner, customer and supplier whose row it is."""


async def claim(db: Session, tenants: Iterable[Tenants], at: datetime) -> dict[UUID, Instruction]:
    """The enrollments' instructions, new where there was none, locked in the order of their ids."""
    ordered = sorted({row[0]: row for row in tenants}.items())
    ids, partners, customers, suppliers = (list(column) for column in zip(*(r for _, r in ordered), strict=True))
    new = {"ids": ids, "partners": partners, "customers": customers, "suppliers": suppliers, "at": at}
    await db.execute(_CLAIM, new)
    rows = await db.execute(_LOCK, {"ids": ids})
    return {row.enrollment_id: Instruction(row[0], State(row[1]), *row[2:]) for row in rows}


async def write(db: Session, instructions: Sequence[Instruction], at: datetime) -> None:
    """Store what was decided, with one statement."""
    if not instructions:
        return
    columns: dict[str, list[Any]] = {
        name: [getattr(instruction, name) for instruction in instructions] for name in Instruction.__slots__
    }
    for name in ("price", "invoices", "missing"):
        columns[name] = [None if value is None else orjson.dumps(value).decode() for value in columns[name]]
    await db.execute(_WRITE, columns | {"at": at})


async def take_numbers(db: Session, count: int) -> list[int]:
    """So many numbers for references, never given before. Gaps do not matter."""
    return list((await db.execute(_NUMBERS, {"count": count})).scalars()) if count else []
