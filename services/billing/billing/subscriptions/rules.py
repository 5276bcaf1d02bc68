"""Which days of a contract are invoiced, and which are given back. Dates in, dates out.

Billing months are anchored on the start: month k begins k months after it, clipped to a shorter month's last day
and always counted from the start. A whole month costs the fee, a part of one fee × days ÷ days of that month.
Amounts are differences of one running total, so that the parts of a month always add up to the fee, however
often it is cut, invoiced, credited and invoiced again.
"""

from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

DAY = timedelta(days=1)


def months_after(day: date, months: int) -> date:
    """The same day so many months later, or that month's last day where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Days from the first to the last, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def common(self, other: "Span") -> "Span | None":
        first, last = max(self.first, other.first), min(self.last, other.last)
        return Span(first, last) if first <= last else None

    def without(self, hole: "Span") -> list["Span"]:
        if not self.common(hole):
            return [self]
        before = [Span(self.first, hole.first - DAY)] if self.first < hole.first else []
        after = [Span(hole.last + DAY, self.last)] if hole.last < self.last else []
        return before + after


def minus(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """What is left of the spans."""
    left = list(spans)
    for hole in holes:
        left = [piece for span in left for piece in span.without(hole)]
    return left


@dataclass(frozen=True, slots=True)
class Fee:
    """A monthly fee, in minor units, and the first day of service."""

    starts_on: date
    amount: int

    def month_number(self, day: date) -> int:
        """The number of the billing month a day is in, from 0; the day is not before the start."""
        number = (day.year - self.starts_on.year) * 12 + day.month - self.starts_on.month
        return number if months_after(self.starts_on, number) <= day else number - 1

    def month(self, number: int) -> Span:
        return Span(months_after(self.starts_on, number), months_after(self.starts_on, number + 1) - DAY)

    def month_of(self, day: date) -> Span:
        return self.month(self.month_number(day))

    def through(self, day: date) -> int:
        """All fees from the start through a day; the part of a month rounded half up, once."""
        if day < self.starts_on:
            return 0
        number = self.month_number(day)
        month = self.month(number)
        served = (day - month.first).days + 1
        return number * self.amount + half_up(self.amount * served, month.days)

    def of(self, span: Span) -> int:
        return self.through(span.last) - self.through(span.first - DAY)

    def by_month(self, span: Span) -> list[Span]:
        """The span cut where billing months begin."""
        numbers = range(self.month_number(span.first), self.month_number(span.last) + 1)
        return [common for number in numbers if (common := self.month(number).common(span))]


def half_up(numerator: int, denominator: int) -> int:
    """A quotient that is not negative, rounded half up."""
    return (2 * numerator + denominator) // (2 * denominator)


@dataclass(frozen=True, slots=True)
class End:
    """The last day of service; `final` once it has ended, else it may still be lifted."""

    last_day: date
    final: bool


@dataclass(frozen=True, slots=True)
class Document:
    """An invoice of fees, and what of its days was given back."""

    id: UUID
    span: Span
    credited: tuple[Span, ...] = ()

    @property
    def covered(self) -> list[Span]:
        return minus([self.span], self.credited)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be issued now, and when to look again."""

    invoice: list[Span]
    """One invoice each; none goes over a billing month's end."""
    credit: list[tuple[UUID, Span]]
    """Days to give back, of which invoice."""
    next_on: date | None
    """The day the next month is invoiced; None: nothing more by the clock."""


def plan(
    fee: Fee, end: End | None, set_off: Sequence[tuple[UUID, Span]], documents: Sequence[Document], today: date
) -> Plan:
    """What lies between the documents there are and those there should be (BIL-10, BIL-12).

    A month is invoiced when it begins. Days after the last day are invoiced no more, but given back only when the
    service has ended, except those that an accepted buy-out has set off. Whatever came before, and in whatever
    order, the outcome is the same; where nothing lies between, nothing is issued.
    """
    served = _served(fee, end, today)
    final = end is not None and end.final
    kept = [
        common
        for invoice_id, span in (set_off if final else ())
        for document in documents
        if document.id == invoice_id and (common := document.span.common(span))
    ]
    covered = [span for document in documents for span in document.covered]
    missing = [month for span in minus(_apart([*served, *kept]), covered) for month in fee.by_month(span)]
    surplus = [
        (document.id, span)
        for document in documents
        for span in (minus(document.covered, [*served, *kept]) if final else ())
    ]
    return Plan(missing, surplus, _next_on(fee, end, today))


def _served(fee: Fee, end: End | None, today: date) -> list[Span]:
    """The days that are to be paid by now."""
    if end and end.final:
        last = end.last_day
    elif today < fee.starts_on:
        return []
    else:
        month = fee.month_of(today)
        last = min(month.last, end.last_day) if end else month.last
    return [Span(fee.starts_on, last)] if fee.starts_on <= last else []


def _next_on(fee: Fee, end: End | None, today: date) -> date | None:
    if end and end.final:
        return None
    day = fee.starts_on if today < fee.starts_on else fee.month_of(today).last + DAY
    return None if end and end.last_day < day else day


def _apart(spans: Iterable[Span]) -> list[Span]:
    """The same days, each once."""
    found: list[Span] = []
    for span in spans:
        found += minus([span], found)
    return found


@dataclass(frozen=True, slots=True)
class Commission:
    """What a partner gets of the fees: a share, for so many months from the start or as long as it runs."""

    rate_bp: int
    months: int | None

    def covers(self, fee: Fee, span: Span) -> bool:
        return self.months is None or span.first < months_after(fee.starts_on, self.months)
