"""What a report of use may say, which of several counts, and which days an overview adds up."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

WINDOW_DAYS = 90
"""An overview counts the activities of so many local days, today included."""
FIRST_DAY = date(2000, 1, 1)

PLAIN = r"^[^\x00-\x1f\x7f]*$"
Source = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""The application that reports, by a name of its own choice."""
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=PLAIN)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]


def _basis_points(percent: Decimal) -> Decimal:
    if percent * 100 != int(percent * 100):
        raise ValueError("a percentage has at most two decimals")
    return percent


Percent = Annotated[Decimal, Field(ge=0, le=100), AfterValidator(_basis_points)]


class Framework(BaseModel):
    """A programme that the customer works through."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Line
    progress_percent: Percent
    main: bool = False
    """Shown in the overview; the first one, where none is marked."""


class Reported(BaseModel):
    """Something in the application that needs attention, or no longer does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=PLAIN)]
    """The application's own name of it. What was resolved does not come back under the same key."""
    subject: Line
    next_action: Line
    due_at: AwareDatetime | None = None
    resolved: bool = False


class Report(BaseModel):
    """What one application says of one day. It replaces what it said of that day before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    activities: Count
    """Of the whole day, so that the same report twice is the same as once."""
    users: Count | None = None
    """How many there are; left out: as before."""
    frameworks: Annotated[list[Framework], Field(max_length=50)] | None = None
    """All of them; left out: as before."""
    attention: Annotated[list[Reported], Field(max_length=50)] = []
    revision: Annotated[int, Field(ge=0, le=2_000_000_000)] = 0
    """A correction's is as high or higher; a lower one comes too late and is ignored."""


def main_framework(frameworks: Iterable[Framework]) -> tuple[str, int]:
    """Name and progress in basis points of what the overview shows; without any: nothing."""
    every = list(frameworks)
    if not every:
        return "", -1
    shown = next((framework for framework in every if framework.main), every[0])
    return shown.name, int(shown.progress_percent * 100)


def window(today: date) -> tuple[date, date]:
    """The first and the last day that count."""
    return today - timedelta(days=WINDOW_DAYS - 1), today


def newest(reports: Iterable[tuple[Any, Report]]) -> dict[Any, Report]:
    """Of several reports under one key the one that counts: the highest revision, of equals the last."""
    kept: dict[Any, Report] = {}
    for key, report in reports:
        held = kept.get(key)
        if held is None or report.revision >= held.revision:
            kept[key] = report
    return kept
