"""Enrollments, as rows: read under lock, written set-based, one statement however many."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    delete,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from enrollment.enrollments.rules import Enrollment, Settlement, State, WaitsFor
from enrollment.prices.rules import Cancellation, Payment, Price
from kit.db import Session, metadata

NO_SESSION = "00000000-0000-0000-0000-000000000000"

enrollments = Table(
    "enrollments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("payment", Text, nullable=False),
    Column("person_id", Uuid, nullable=False),
    Column("course_id", Uuid, nullable=False),
    Column("session_id", Uuid),
    Column("supplier_id", Uuid),
    Column("partner_id", Uuid),
    Column("customer_id", Uuid),
    Column("credits", Integer),
    Column("price", JSONB(none_as_null=True)),
    Column("cancellation", JSONB, nullable=False),
    Column("certificate", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("step_since", DateTime(timezone=True), nullable=False),
    Column("waits_for", Text),
    Column("step_until", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("remind_at", DateTime(timezone=True)),
    Column("expires_at", DateTime(timezone=True)),
    Column("approved_by", Text),
    Column("approved_at", DateTime(timezone=True)),
    Column("confirmed_at", DateTime(timezone=True)),
    Column("completed_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("problem", JSONB(none_as_null=True)),
    Column("settlement", JSONB(none_as_null=True)),
    Column("revision", Integer, nullable=False),
    Column("instruction", JSONB(none_as_null=True)),
    Column("history", JSONB, nullable=False),
    Column("batch_id", Uuid),
    CheckConstraint(
        "state in ('requested', 'approved', 'confirmed', 'completed', 'refused', 'declined', 'withdrawn',"
        " 'expired', 'cancelled')",
        name="state",
    ),
    CheckConstraint("(payment = 'credits') = (credits is not null)", name="credits"),
    CheckConstraint("(payment = 'invoice') = (price is not null)", name="price"),
    Index(
        "uq_enrollments_open",
        "person_id",
        "course_id",
        text(f"coalesce(session_id, '{NO_SESSION}'::uuid)"),
        unique=True,
        postgresql_where=text("state in ('requested', 'approved', 'confirmed')"),
    ),
    Index("ix_enrollments_partner_id", "partner_id", "id", postgresql_where=text("partner_id is not null")),
    Index("ix_enrollments_customer_id", "customer_id", "id", postgresql_where=text("customer_id is not null")),
    Index("ix_enrollments_supplier_id", "supplier_id", "id", postgresql_where=text("supplier_id is not null")),
    Index("ix_enrollments_person_id", "person_id", "id"),
    Index(
        "ix_enrollments_step",
        "step_until",
        postgresql_where=text("step_until is not null"),
    ),
    Index("ix_enrollments_remind_at", "remind_at", postgresql_where=text("remind_at is not null")),
    Index("ix_enrollments_batch_id", "batch_id", "state", postgresql_where=text("batch_id is not null")),
)

COLUMNS = [field.name for field in fields(Enrollment)]
_LIST = ", ".join(COLUMNS)

# Whole rows travel as one JSON document: one parameter, one plan, however many rows and columns.
_NEW = f"select {_LIST} from jsonb_populate_recordset(null::enrollments, cast(:rows as jsonb))"  # noqa: S608 - columns of ours
_INSERT = text(f"insert into enrollments ({_LIST}) {_NEW} order by person_id on conflict do nothing returning id")
_SET = [name for name in COLUMNS if name != "id"]
_UPDATE = text(
    f"update enrollments e set ({', '.join(_SET)}) = row({', '.join('n.' + name for name in _SET)}) from ({_NEW}) n"  # noqa: S608
    " where e.id = n.id"
)
SELECT = select(*(enrollments.c[name] for name in COLUMNS))
_OPEN = text(
    "select o.id, o.person_id, o.state from enrollments o"
    " where o.person_id = any(cast(:people as uuid[])) and o.course_id = :course_id"
    " and o.session_id is not distinct from cast(:session_id as uuid)"
    " and o.state in ('requested', 'approved', 'confirmed')"
)


def as_enrollment(row: Any) -> Enrollment:
    """The value of a row."""
    values = {name: row._mapping[name] for name in COLUMNS}
    price, settlement = values["price"], values["settlement"]
    kept = settlement and settlement["price_kept"]
    return Enrollment(
        **{
            **values,
            "state": State(values["state"]),
            "payment": Payment(values["payment"]),
            "waits_for": values["waits_for"] and WaitsFor(values["waits_for"]),
            "price": price and Price(**price),
            "cancellation": Cancellation(**values["cancellation"]),
            "settlement": settlement and Settlement(**{**settlement, "price_kept": kept and Price(**kept)}),
            "history": tuple(values["history"]),
        }
    )


async def insert(db: Session, new: Sequence[Enrollment]) -> set[UUID]:
    """Add enrollments; those whose person already has an open one there are left out. Returns the added."""
    added = await db.execute(_INSERT, {"rows": orjson.dumps(new, default=str).decode()})
    return set(added.scalars())


async def update(db: Session, changed: Sequence[Enrollment]) -> None:
    """Write enrollments that were read under lock."""
    if changed:
        await db.execute(_UPDATE, {"rows": orjson.dumps(changed, default=str).decode()})


async def remove(db: Session, ids: Sequence[UUID]) -> None:
    """Take back enrollments that this very transaction added."""
    if ids:
        await db.execute(delete(enrollments).where(enrollments.c.id == _any(ids)))


async def lock(db: Session, ids: Iterable[UUID]) -> dict[UUID, Enrollment]:
    """Read enrollments for a change, locked in the order of their ids."""
    wanted = SELECT.where(enrollments.c.id == _any(ids)).order_by(enrollments.c.id).with_for_update()
    return {row.id: as_enrollment(row) for row in await db.execute(wanted)}


async def one(db: Session, *where: ColumnElement[bool], lock: bool = False) -> Enrollment | None:
    """The one enrollment of these conditions, locked where it is to be changed."""
    wanted = SELECT.where(*where)
    row = (await db.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return as_enrollment(row) if row else None


async def due(db: Session, now: datetime, *where: ColumnElement[bool], limit: int) -> dict[UUID, Enrollment]:
    """Enrollments whose step is past its deadline, locked; those that somebody else holds come next time."""
    late = (
        SELECT.where(enrollments.c.step_until <= now, *where)
        .order_by(enrollments.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return {row.id: as_enrollment(row) for row in await db.execute(late)}


async def reminders_due(db: Session, now: datetime, limit: int) -> list[Enrollment]:
    """Enrollments whose reminder is due, locked."""
    late = SELECT.where(enrollments.c.remind_at <= now).order_by(enrollments.c.id).limit(limit)
    return [as_enrollment(row) for row in await db.execute(late.with_for_update(skip_locked=True))]


async def read(db: Session, ids: Iterable[UUID]) -> dict[UUID, Enrollment]:
    """Read enrollments as they are."""
    return {row.id: as_enrollment(row) for row in await db.execute(SELECT.where(enrollments.c.id == _any(ids)))}


def _any(ids: Iterable[UUID]) -> Any:
    return any_(bindparam(None, list(ids), type_=ARRAY(Uuid)))


async def open_ones(
    db: Session, people: Iterable[UUID], course_id: UUID, session_id: UUID | None
) -> Mapping[UUID, tuple[UUID, str]]:
    """The open enrollments of people on a course and session: person → (enrollment, state)."""
    found = await db.execute(_OPEN, {"people": list(people), "course_id": course_id, "session_id": session_id})
    return {row.person_id: (row.id, row.state) for row in found}
