"""What catalog keeps of a course."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Date, DateTime, ForeignKey, Index, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from kit.db import Base, metadata


class Course(Base):
    """A course as it is offered; `version` counts every announcement of it."""

    __tablename__ = "courses"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    status: Mapped[str]
    offered_by: Mapped[str]
    supplier_id: Mapped[UUID | None] = mapped_column(ForeignKey("suppliers.id"))
    owner_partner_id: Mapped[UUID | None]
    code: Mapped[str | None]
    """The owner's own name for the course; a file that comes again finds it by this."""
    title: Mapped[str]
    summary: Mapped[str]
    description: Mapped[str]
    kind: Mapped[str]
    category: Mapped[str]
    topics: Mapped[list[str]] = mapped_column(ARRAY(Text))
    language: Mapped[str]
    trainers: Mapped[list[str]] = mapped_column(ARRAY(Text))
    duration_minutes: Mapped[int | None]
    certificate: Mapped[bool]
    vat: Mapped[str]
    free_until_days: Mapped[int]
    then_keep_bp: Mapped[int]
    credit_scope: Mapped[str]
    credit_general_value: Mapped[int | None]
    sites: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    sessions: Mapped[list["CourseSession"]] = relationship(
        lazy="raise", cascade="all, delete-orphan", order_by="CourseSession.starts_at, CourseSession.id"
    )
    prices: Mapped[list["CoursePrice"]] = relationship(
        lazy="raise", cascade="all, delete-orphan", order_by="CoursePrice.valid_from"
    )
    credit_values: Mapped[list["CreditValue"]] = relationship(lazy="raise", cascade="all, delete-orphan")

    __table_args__ = (
        CheckConstraint(
            "(offered_by = 'supplier') = (supplier_id is not null)"
            " and (offered_by = 'partner') = (owner_partner_id is not null)",
            name="owner",
        ),
        CheckConstraint("credit_scope = 'none' or offered_by = 'platform'", name="credits_platform_only"),
        Index(
            "uq_courses_code",
            "supplier_id",
            "owner_partner_id",
            "code",
            unique=True,
            postgresql_where=text("code is not null"),
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_courses_title", text("lower(title)"), "id"),
        Index("ix_courses_supplier", "supplier_id", postgresql_where=text("status = 'published'")),
    )


class CourseSession(Base):
    """One run of a course at a place and time. Never deleted: people may be enrolled on it."""

    __tablename__ = "course_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    course_id: Mapped[UUID] = mapped_column(ForeignKey("courses.id"), index=True)
    key: Mapped[str | None]
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    place: Mapped[str | None]
    capacity: Mapped[int]
    status: Mapped[str]

    __table_args__ = (
        CheckConstraint("ends_at > starts_at and capacity >= 0", name="sense"),
        Index(
            "uq_course_sessions_key",
            "course_id",
            "key",
            unique=True,
            postgresql_where=text("key is not null"),
        ),
    )


class CoursePrice(Base):
    """A list price and the day from which it holds."""

    __tablename__ = "course_prices"

    course_id: Mapped[UUID] = mapped_column(ForeignKey("courses.id"), primary_key=True)
    valid_from: Mapped[date] = mapped_column(Date, primary_key=True)
    amount: Mapped[int]
    currency: Mapped[str]

    __table_args__ = (CheckConstraint("amount >= 0", name="amount"),)


class CreditValue(Base):
    """A partner that was chosen for a course, and its own value where it has one."""

    __tablename__ = "course_credit_values"

    course_id: Mapped[UUID] = mapped_column(ForeignKey("courses.id"), primary_key=True)
    partner_id: Mapped[UUID] = mapped_column(primary_key=True)
    value: Mapped[int | None]

    __table_args__ = (CheckConstraint("value >= 0", name="value"),)


supplier_shown = Table(
    "supplier_shown",
    metadata,
    Column("supplier_id", Uuid),
    Column("site", Text),
    info={"view": True},
)
"""All that courses may know of suppliers: where the active ones are shown. A view, made by a migration."""
