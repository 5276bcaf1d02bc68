"""When a service contract may end, by when each step is due, and which step may follow which.

Dates in, dates out: no clock, no database. A last day is the last day of service, included. A day is a calendar
day in the contract's time zone; what is possible on a day is possible until its midnight there.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import count
from zoneinfo import ZoneInfo

FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2100, 12, 31)
"""Days outside are taken for slips of the pen."""
ANSWER_DAYS = 14
"""For how long a customer may answer a mail (CON-10), and a proposal is valid (CON-11)."""
REMIND_AFTER_DAYS = (3, 7, 12)
REMIND_AT = time(8)
PROPOSE_WORKING_DAYS = 3
SATURDAY = 5


# -- days -------------------------------------------------------------------------------------------------


def months_after(day: date, months: int) -> date:
    """The same day `months` later, or that month's last day where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def local_day(moment: datetime, zone: str) -> date:
    """The calendar day of a moment, where the contract is at home."""
    return moment.astimezone(ZoneInfo(zone)).date()


def end_of_day(day: date, zone: str) -> datetime:
    """The midnight at which a local day is over, UTC."""
    return datetime.combine(day + timedelta(days=1), time.min, ZoneInfo(zone)).astimezone(UTC)


def working_days_after(day: date, number: int) -> date:
    """So many working days (Monday to Friday) later; `day` itself is not counted."""
    while number:
        day += timedelta(days=1)
        number -= day.weekday() < SATURDAY
    return day


# -- terms and their ends (CON-9) -------------------------------------------------------------------------


class OpenEnd(StrEnum):
    """Where a contract that runs on without a term ends, once the notice has run out."""

    MONTH = "month"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Term:
    """How long a contract runs, how it goes on after that, and how much notice ends it."""

    starts_on: date
    initial_months: int
    """0: without a first term."""
    renewal_months: int | None
    """None: it runs on without a term."""
    notice_months: int = 0
    notice_days: int = 0
    """Counted after the months."""
    open_end: OpenEnd = OpenEnd.MONTH

    def end(self, renewals: int) -> date:
        """The last day of the first term and so many renewals; counted from the start, so it never drifts."""
        months = self.initial_months + renewals * (self.renewal_months or 0)
        return months_after(self.starts_on, months) - timedelta(days=1)

    def notice_runs_out(self, given_on: date) -> date:
        """The day on which notice given on a day, which is not counted, has run out."""
        return months_after(given_on, self.notice_months) + timedelta(days=self.notice_days)


def regular_end(term: Term, given_on: date, not_before: date = date.min) -> date:
    """The last day of service, when notice is given on a day: the first end of a term that leaves the notice.

    A contract that runs on without a term ends with its first term; after that when the notice runs out, at the
    end of that month or on that day. No contract ends before its first day, nor `not_before`: that end went by.
    """
    earliest = max(term.notice_runs_out(given_on), term.starts_on, not_before)
    if term.initial_months and term.end(0) >= earliest:
        return term.end(0)
    if term.renewal_months is None:
        if term.open_end is OpenEnd.DAY:
            return earliest
        return earliest.replace(day=monthrange(earliest.year, earliest.month)[1])
    months = (earliest.year - term.starts_on.year) * 12 + earliest.month - term.starts_on.month
    # No earlier renewal can do: months are counted from the start, so at most two more are to be looked at.
    first = max((months - term.initial_months) // term.renewal_months - 1, 0)
    return next(term.end(k) for k in count(first) if term.end(k) >= earliest)


@dataclass(frozen=True, slots=True)
class Month:
    """A billing month, both days included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def days_within(self, first: date, last: date) -> int:
        """How many of its days lie within a stretch of days."""
        return max((min(self.last, last) - max(self.first, first)).days + 1, 0)


def billing_months(starts_on: date, first: date, last: date) -> Iterator[Month]:
    """The billing months, anchored on the contract's start, that have days within a stretch."""
    if last < first or last < starts_on:
        return
    began = max((first.year - starts_on.year) * 12 + first.month - starts_on.month - 1, 0)
    for n in count(began):
        month = Month(months_after(starts_on, n), months_after(starts_on, n + 1) - timedelta(days=1))
        if month.first > last:
            return
        if month.last >= first:
            yield month


# -- the request ------------------------------------------------------------------------------------------


class Reason(StrEnum):
    """Why a service is ended; `force_majeure` goes to finance with a draft of zero."""

    MOVING = "moving"
    COMPETITOR = "competitor"
    COST = "cost"
    NOT_NEEDED = "not_needed"
    BANKRUPTCY = "bankruptcy"
    FORCE_MAJEURE = "force_majeure"
    OTHER = "other"


def is_early(last_day: date, regular: date, reason: Reason) -> bool:
    """Whether finance proposes a sum first (CON-11), instead of the customer's approval at once (CON-10)."""
    return last_day < regular or reason is Reason.FORCE_MAJEURE


class BadWish(StrEnum):
    """What is wrong with a wished last day."""

    BEFORE_START = "before_start"
    PASSED = "passed"
    TOO_LATE = "too_late"


def check_wish(wish: date, starts_on: date, today: date) -> BadWish | None:
    """A wish lies neither before the contract, nor in the past, nor beyond 2100; today is still a day of service."""
    if wish < starts_on:
        return BadWish.BEFORE_START
    if wish < today:
        return BadWish.PASSED
    return BadWish.TOO_LATE if wish > LAST_DAY else None


# -- deadlines --------------------------------------------------------------------------------------------


def answer_until(asked_on: date, last_day: date) -> date:
    """The last day on which the customer may answer CON-10's mail."""
    return min(asked_on + timedelta(days=ANSWER_DAYS), last_day)


def proposal_until(proposed_on: date, last_day: date) -> date:
    """The last day on which a proposal may be accepted. Before `proposed_on`: the wish date is too near."""
    return min(proposed_on + timedelta(days=ANSWER_DAYS), last_day - timedelta(days=1))


def propose_until(requested_on: date) -> date:
    """The last day for finance to send its proposal; then it is overdue."""
    return working_days_after(requested_on, PROPOSE_WORKING_DAYS)


def reminders_due(asked_on: date, today: date) -> int:
    """How many reminders should have been sent by now."""
    return sum(today >= asked_on + timedelta(days=days) for days in REMIND_AFTER_DAYS)


def reminder_at(asked_on: date, sent: int, zone: str) -> datetime | None:
    """When the next reminder goes out, in the morning of its day; None after the last one."""
    if sent >= len(REMIND_AFTER_DAYS):
        return None
    day = asked_on + timedelta(days=REMIND_AFTER_DAYS[sent])
    return datetime.combine(day, REMIND_AT, ZoneInfo(zone)).astimezone(UTC)


# -- states -----------------------------------------------------------------------------------------------


class State(StrEnum):
    """Where a termination is.

    requested → scheduled | closed; proposal_due → proposed → scheduled | requested (for the regular end);
    by_hand stands for either; scheduled → ended | waits_for_porting | closed (withdrawn).
    """

    REQUESTED = "requested"
    PROPOSAL_DUE = "proposal_due"
    PROPOSED = "proposed"
    BY_HAND = "by_hand"
    SCHEDULED = "scheduled"
    WAITS_FOR_PORTING = "waits_for_porting"
    ENDED = "ended"
    CLOSED = "closed"


OPEN = frozenset(State) - {State.ENDED, State.CLOSED}
BEFORE_AGREEMENT = frozenset({State.REQUESTED, State.PROPOSAL_DUE, State.PROPOSED, State.BY_HAND})
AGREED = frozenset({State.SCHEDULED, State.WAITS_FOR_PORTING})

WAITS_FOR: dict[State, str] = {
    State.REQUESTED: "customer",
    State.PROPOSAL_DUE: "finance",
    State.PROPOSED: "customer",
    State.BY_HAND: "finance",
    State.SCHEDULED: "day",
    State.WAITS_FOR_PORTING: "porting",
}
"""Who or what the next step waits for."""
