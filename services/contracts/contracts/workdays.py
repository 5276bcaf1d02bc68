"""Working days: Monday to Friday, without the public holidays of a country."""

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

HOME_COUNTRY = "NL"
"""Where the platform's people work."""
SATURDAY = 5


@lru_cache(maxsize=64)
def _holidays(country: str, year: int) -> Any:
    import holidays  # large, and needed by few requests

    if country not in holidays.list_supported_countries(include_aliases=False):
        return {}
    return holidays.country_holidays(country, years=year)


def is_working_day(day: date, country: str = HOME_COUNTRY) -> bool:
    """Whether people work on a day; of a country whose holidays are unknown, only the weekends are free."""
    return day.weekday() < SATURDAY and day not in _holidays(country, day.year)


def working_day_from(day: date, country: str = HOME_COUNTRY) -> date:
    """The day itself where it is a working day, else the next one."""
    while not is_working_day(day, country):
        day += timedelta(days=1)
    return day


def one_working_day_after(moment: datetime, zone: str, country: str = HOME_COUNTRY) -> datetime:
    """The same time on the next working day; a moment on a free day counts from where the next working day begins.

    So a thing of Friday 15:00 is due on Monday 15:00, and one of Saturday when Monday is over.
    """
    local = moment.astimezone(ZoneInfo(zone))
    first = working_day_from(local.date(), country)
    at = local.time() if first == local.date() else time()
    following = working_day_from(first + timedelta(days=1), country)
    return datetime.combine(following, at, ZoneInfo(zone))
