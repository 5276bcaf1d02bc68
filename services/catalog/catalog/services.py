"""The Enrollments service of a supplier: a switch, and conditions that are ticked one by one (CAT-2)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, DateTime, ForeignKey, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from kit import audit
from kit.db import Base, Session
from kit.problems import Refused

ENROLLMENTS = "enrollments"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something a supplier agrees to by ticking it."""

    id: str
    text: str


CONDITIONS = (
    Condition(
        "discount",
        "Employees of business customers get the agreed discount on the list price excluding VAT; "
        "unless agreed otherwise it is 15 %, and half of it is the platform's fee.",
    ),
    Condition(
        "approved_only",
        "Only approved enrollments reach us. We need not confirm them, and we cancel one only with a reason.",
    ),
    Condition(
        "invoicing",
        "We invoice by the instruction that comes with each enrollment: to whom, how much, "
        "under which reference and with which payment term.",
    ),
    Condition(
        "cancellation",
        "We honour the cancellation terms shown with each course, and give back what they say.",
    ),
    Condition("completion", "We report within five working days of the last day who completed the course."),
)


class SupplierService(Base):
    """Whether a supplier has a service on."""

    __tablename__ = "supplier_services"

    supplier_id: Mapped[UUID] = mapped_column(ForeignKey("suppliers.id"), primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    is_on: Mapped[bool] = mapped_column(Boolean)
    changed_by: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Tick(Base):
    """A condition that somebody ticked for a supplier."""

    __tablename__ = "service_ticks"

    supplier_id: Mapped[UUID] = mapped_column(ForeignKey("suppliers.id"), primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    condition: Mapped[str] = mapped_column(primary_key=True)
    ticked_by: Mapped[str]
    ticked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ConditionsNotTicked(Refused):
    """Every condition must be ticked before the service can be switched on."""

    rule = "CAT-2"
    remedy = "Tick the conditions named in `missing`, each one after reading it."


class UnknownCondition(Refused):
    """The service has no such condition."""

    status = 422
    rule = "CAT-2"


def not_ticked(ticked: Collection[str]) -> list[str]:
    """The conditions still to be ticked, in the order they are shown."""
    return [condition.id for condition in CONDITIONS if condition.id not in ticked]


async def switch_enrollments(
    db: Session, supplier_id: UUID, on: bool, ticked: Sequence[str], actor: str, now: datetime
) -> None:
    """Set the switch and the ticks to what is given. Who ticked what first, and when, is kept.

    Raises `UnknownCondition`, or `ConditionsNotTicked` when it is to be on.
    """
    unknown = sorted(set(ticked) - {condition.id for condition in CONDITIONS})
    if unknown:
        raise UnknownCondition(", ".join(unknown), field="conditions")
    missing = not_ticked(ticked)
    if on and missing:
        raise ConditionsNotTicked(field="conditions", missing=missing)
    mine = (Tick.supplier_id == supplier_id, Tick.service == ENROLLMENTS)
    await db.execute(delete(Tick).where(*mine, Tick.condition.not_in(ticked)))
    if ticked:
        row = {"supplier_id": supplier_id, "service": ENROLLMENTS, "ticked_by": actor, "ticked_at": now}
        await db.execute(
            insert(Tick).on_conflict_do_nothing(), [row | {"condition": id_} for id_ in sorted(set(ticked))]
        )
    state = {"is_on": on, "changed_by": actor, "changed_at": now}
    await db.execute(
        insert(SupplierService)
        .values(supplier_id=supplier_id, service=ENROLLMENTS, **state)
        .on_conflict_do_update(index_elements=[SupplierService.supplier_id, SupplierService.service], set_=state)
    )
    await audit.record(
        db,
        actor,
        f"service.{ENROLLMENTS}_{'on' if on else 'off'}",
        subject=f"supplier/{supplier_id}",
        detail={"conditions": sorted(set(ticked))},
    )


async def with_enrollments_on(db: Session, supplier_ids: Collection[UUID]) -> set[UUID]:
    """Which of these suppliers have the Enrollments service on."""
    mine = select(SupplierService.supplier_id).where(
        SupplierService.supplier_id.in_(supplier_ids),
        SupplierService.service == ENROLLMENTS,
        SupplierService.is_on,
    )
    return set(await db.scalars(mine))


async def ticks(db: Session, supplier_id: UUID) -> list[Tick]:
    """What is ticked for a supplier, by whom and when."""
    mine = select(Tick).where(Tick.supplier_id == supplier_id, Tick.service == ENROLLMENTS)
    return list(await db.scalars(mine.order_by(Tick.ticked_at, Tick.condition)))
