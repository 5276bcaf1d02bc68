"""When somebody who was asked is reminded, and when a request ends unanswered (ENR-9)."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

REMIND_WORKING_DAYS = 3
EXPIRE_DAYS = 14
SATURDAY = 5


def remind_at(asked_at: datetime, zone: str) -> datetime:
    """The same local time three working days (Monday to Friday) later; the day of asking is not counted."""
    local = asked_at.astimezone(ZoneInfo(zone))
    day, left = local.date(), REMIND_WORKING_DAYS
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < SATURDAY
    return datetime.combine(day, local.time(), ZoneInfo(zone)).astimezone(UTC)


def expires_at(requested_at: datetime, zone: str) -> datetime:
    """The same local time fourteen calendar days later, whatever summer time does meanwhile."""
    local = requested_at.astimezone(ZoneInfo(zone))
    day = local.date() + timedelta(days=EXPIRE_DAYS)
    return datetime.combine(day, local.time(), ZoneInfo(zone)).astimezone(UTC)
