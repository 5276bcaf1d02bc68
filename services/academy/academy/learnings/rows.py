"""Learnings as stored, and the courses they are of."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime
from sqlalchemy.orm import Mapped, mapped_column

from academy.learnings.rules import Happened, State
from kit.db import Base


class Course(Base):
    """A copy of a course, as catalog publishes it."""

    __tablename__ = "courses"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    status: Mapped[str]
    title: Mapped[str]
    kind: Mapped[str]
    language: Mapped[str]
    duration_minutes: Mapped[int | None]


class Learning(Base):
    """One enrollment, as far as learning goes: one row each, which only gains moments."""

    __tablename__ = "learnings"

    enrollment_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    person_id: Mapped[UUID]
    course_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    customer_id: Mapped[UUID | None]
    opened_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def state(self) -> State:
        """Where it stands."""
        return Happened(self.opened_at, self.completed_at, self.closed_at).state()
