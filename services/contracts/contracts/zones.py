"""Time zones by their names, and what a day is in one."""

from datetime import date, datetime, time
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, StringConstraints

HOME_ZONE = "Europe/Amsterdam"
"""Where nobody said another one."""


@cache
def _known() -> frozenset[str]:
    return frozenset(name for name in available_timezones() if "/" in name or name == "UTC")


def _check(name: str) -> str:
    if name not in _known():
        raise ValueError(f"{name} is not a time zone of the IANA database, such as Europe/Amsterdam")
    return name


TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_check)]


def day_begins(day: date, zone: str) -> datetime:
    """The moment a day begins in a zone."""
    return datetime.combine(day, time(), ZoneInfo(zone))
