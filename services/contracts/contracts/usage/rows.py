"""Use as stored: what each source said of each day, and of how many users and frameworks it last knew."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base


class UsageDay(Base):
    """The activities of one day, as one source reports them."""

    __tablename__ = "usage_days"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    activities: Mapped[int]


class UsageSource(Base):
    """The users and frameworks that one source reported for its newest day."""

    __tablename__ = "usage_sources"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date]
    revision: Mapped[int]
    users: Mapped[int | None]
    frameworks: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    framework: Mapped[str | None]
    """The main one's name."""
    progress: Mapped[int | None]
