"""When somebody is reminded and when a request ends: working days and calendar days, by hand."""

from datetime import UTC, datetime

import pytest

from enrollment.approvals.rules import expires_at, remind_at

AMSTERDAM = "Europe/Amsterdam"


@pytest.mark.parametrize(
    ("asked", "reminded"),
    [
        (datetime(2027, 3, 1, 9, tzinfo=UTC), datetime(2027, 3, 4, 9, tzinfo=UTC)),  # Monday → Thursday
        (datetime(2027, 3, 4, 9, tzinfo=UTC), datetime(2027, 3, 9, 9, tzinfo=UTC)),  # Thursday → Tuesday
        (datetime(2027, 3, 6, 9, tzinfo=UTC), datetime(2027, 3, 10, 9, tzinfo=UTC)),  # Saturday → Wednesday
        (datetime(2027, 3, 25, 9, tzinfo=UTC), datetime(2027, 3, 30, 8, tzinfo=UTC)),  # over the start of summer time
    ],
)
def test_a_reminder_comes_after_three_working_days_at_the_same_local_time(asked: datetime, reminded: datetime) -> None:
    assert remind_at(asked, AMSTERDAM) == reminded


def test_a_request_expires_after_fourteen_calendar_days_at_the_same_local_time() -> None:
    assert expires_at(datetime(2027, 3, 1, 9, tzinfo=UTC), AMSTERDAM) == datetime(2027, 3, 15, 9, tzinfo=UTC)
    assert expires_at(datetime(2027, 3, 20, 9, tzinfo=UTC), AMSTERDAM) == datetime(2027, 4, 3, 8, tzinfo=UTC)
