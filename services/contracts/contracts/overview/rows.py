"""The overview as stored: what the list shows, sorts and filters, in one row a customer."""

from datetime import date
from uuid import UUID

from sqlalchemy import Computed
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base


class OverviewLine(Base):
    """A customer's line. Columns that are sorted by are never null."""

    __tablename__ = "overview"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    partner_id: Mapped[UUID | None]
    name: Mapped[str]
    sort_name: Mapped[str]
    """The name as it is sorted and searched: in lower case, without accents."""
    time_zone: Mapped[str]
    status: Mapped[str]
    closed_reason: Mapped[str | None]
    trial_started_on: Mapped[date | None]
    trial_ends_on: Mapped[date | None]
    subscribed_on: Mapped[date | None]
    renews_on: Mapped[date | None]
    closed_on: Mapped[date | None]
    starts_on: Mapped[date] = mapped_column(Computed("x"))
    """What its status began with: the trial's or the subscription's first day; far ahead where there is none."""
    due_on: Mapped[date] = mapped_column(Computed("x"))
    """What comes next: the trial's last day, or the renewal; far ahead where there is none."""
    framework: Mapped[str]
    """The name of the main framework; empty where none was reported."""
    progress: Mapped[int]
    """Of the main framework, in basis points; -1 where none was reported."""
    users: Mapped[int]
    activities: Mapped[int]
    """In the 90 local days up to `counted_on`."""
    counted_on: Mapped[date]
    attention: Mapped[int]
    """Open items on the partner's list that are about this customer, without the snoozed ones."""
