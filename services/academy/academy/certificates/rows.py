"""Certificates as stored, and the partners in whose name some are issued."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import DateTime
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base


class Certificate(Base):
    """A certificate; one an enrollment. What it says was frozen when it was issued."""

    __tablename__ = "certificates"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    number: Mapped[str]
    enrollment_id: Mapped[UUID]
    person_id: Mapped[UUID]
    course_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    customer_id: Mapped[UUID | None]
    name: Mapped[str | None]
    """None once it was erased."""
    course_title: Mapped[str]
    completed_on: Mapped[date]
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    issuer: Mapped[str]
    language: Mapped[str]
    """The course's, where we speak it."""
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_by: Mapped[str | None]
    revoked_reason: Mapped[str | None]


class KnownPartner(Base):
    """A copy of a partner: whitelabel ones issue in their own name."""

    __tablename__ = "known_partners"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    name: Mapped[str]
    kind: Mapped[str]
