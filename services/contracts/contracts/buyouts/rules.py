"""What leaving before the regular end costs: the lines of a quote, which add up to its sum (CON-11).

Amounts are whole minor units of one currency, net of VAT; shares of them are exact fractions until the one place
where they are rounded, half up. A product's rule replaces `remaining fees × percentage` and nothing else: open
one-off costs and what is already paid count in every rule.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any
from uuid import UUID

from contracts.terminations.rules import Month, Term, billing_months, months_after

WHOLE = 10_000
"""A hundred percent, in basis points."""
DAYS_A_YEAR = 365


def half_up(amount: Fraction) -> int:
    """The nearest whole minor unit; halves go up."""
    return floor(amount + Fraction(1, 2))


# -- the rules that a product may name --------------------------------------------------------------------


class Kind(StrEnum):
    """How the price of leaving early is found."""

    PERCENTAGE = "percentage"
    """A share of the remaining fees: the default."""
    FLAT = "flat"
    """One amount, however much remains."""
    WHOLE_MONTHS = "whole_months"
    """A share of the fee for every remaining billing month, a begun one as a whole."""
    DAYS = "days"
    """A share of the fee by the day: twelve monthly fees ÷ 365 for each remaining day."""
    REDUCING = "reducing"
    """A share of the remaining fees that falls with the whole billing months served."""
    LOWER_OF_BENEFITS = "lower_of_benefits"
    """What the customer gained until its last day, or the remaining fees: whichever is less."""
    LEGAL_CAP = "legal_cap"
    """A share of the remaining fees, at most a number of monthly fees."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A contract's buy-out rule; what a kind does not use stays at its default."""

    kind: Kind = Kind.PERCENTAGE
    percentage_bp: int = WHOLE
    """The share of the fees, in basis points."""
    amount: int = 0
    """`flat`: the sum."""
    steps: tuple[tuple[int, int], ...] = ()
    """`reducing`: from this whole billing month served on, this share. Before the first step: all."""
    monthly_benefit: int = 0
    """`lower_of_benefits`: what each month was cheaper than without the term."""
    once_benefit: int = 0
    """`lower_of_benefits`: what was given at the start."""
    fees_max: int = 0
    """`legal_cap`: the largest number of monthly fees that may be asked."""

    @classmethod
    def of(cls, agreed: Mapping[str, Any]) -> "Rule":
        """The rule as a contract's terms have it, under `rule` and what belongs to it."""
        told = {name: value for name, value in agreed.items() if name != "rule"}
        if "steps" in told:
            told["steps"] = tuple(sorted((step["from_month"], step["percentage_bp"]) for step in told["steps"]))
        return cls(Kind(agreed.get("rule", Kind.PERCENTAGE)), **told)

    def share_bp(self, months_served: int) -> int:
        """The share of the fees after so many whole billing months."""
        if self.kind is not Kind.REDUCING:
            return self.percentage_bp
        return next((share for month, share in reversed(self.steps) if month <= months_served), WHOLE)


# -- the quote --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Service:
    """What the sum depends on."""

    term: Term
    fee: int
    """A billing month's fee."""
    currency: str
    rule: Rule = Rule()
    one_off_open: int = 0
    """One-off costs that are agreed and not yet invoiced."""


@dataclass(frozen=True, slots=True)
class Paid:
    """An invoice of the contract, as far as it is paid and not credited."""

    invoice_id: UUID
    first: date
    last: date
    net: int

    @property
    def period(self) -> Month:
        return Month(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a quote; the lines of a quote add up to its sum."""

    kind: str
    """`remaining_fees`, `flat`, `benefits`, `cap`, `one_off`, `already_paid`, `adjustment` or `none`."""
    amount: int
    first: date | None = None
    last: date | None = None
    days: int | None = None
    """Days that are counted, of `of_days`."""
    of_days: int | None = None
    share_bp: int | None = None
    invoice_id: UUID | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """What a last day costs. A sum below zero becomes a credit note."""

    last_day: date
    regular_end: date
    currency: str
    lines: tuple[Line, ...]

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines)

    @property
    def early(self) -> bool:
        return self.last_day < self.regular_end


@dataclass(frozen=True, slots=True)
class _Part:
    """A billing month, or the part of it that remains, with its exact share of the fees."""

    month: Month
    days: int
    amount: Fraction


def quote(service: Service, last_day: date, regular: date, paid: Iterable[Paid] = ()) -> Quote:
    """What it costs to end on `last_day` instead of on the regular end. On that day or later: nothing."""
    lines: list[Line] = []
    if last_day < regular:
        first = last_day + timedelta(days=1)
        lines += _price(service, last_day, first, regular)
        if service.one_off_open:
            lines.append(Line("one_off", service.one_off_open))
        lines += _set_off(paid, first, regular)
    return Quote(last_day, regular, service.currency, tuple(lines))


def free_of_charge(last_day: date, regular: date, currency: str, note: str) -> Quote:
    """A quote of zero, such as the draft for force majeure (CON-10)."""
    return Quote(last_day, regular, currency, (Line("none", 0, note=note),))


def adjusted(quoted: Quote, amount: int, reason: str) -> Quote:
    """The quote at another sum, with the difference and its reason as a line of its own."""
    if amount == quoted.total:
        return quoted
    line = Line("adjustment", amount - quoted.total, note=reason)
    return Quote(quoted.last_day, quoted.regular_end, quoted.currency, (*quoted.lines, line))


def _price(service: Service, last_day: date, first: date, regular: date) -> list[Line]:
    """What stands in the place of `remaining × percentage`."""
    rule, start = service.rule, service.term.starts_on
    months = list(billing_months(start, first, regular))
    parts = [
        _Part(m, days, Fraction(service.fee * days, m.days)) for m in months for days in [m.days_within(first, regular)]
    ]
    share = rule.share_bp(months_served(start, last_day))
    match rule.kind:
        case Kind.FLAT:
            return [Line("flat", rule.amount, first, regular)]
        case Kind.DAYS:
            days = (regular - last_day).days
            amount = half_up(Fraction(service.fee * 12 * days * share, DAYS_A_YEAR * WHOLE))
            return [Line("remaining_fees", amount, first, regular, days, DAYS_A_YEAR, share)]
        case Kind.WHOLE_MONTHS:
            parts = [_Part(m, m.days, Fraction(service.fee)) for m in months]
    fees = _fees(parts, share, first, regular)
    total = sum(line.amount for line in fees)
    if rule.kind is Kind.LOWER_OF_BENEFITS:
        benefits = rule.once_benefit + half_up(_by_month(rule.monthly_benefit, start, last_day))
        return [Line("benefits", benefits, start, last_day)] if benefits < total else fees
    over = total - service.fee * rule.fees_max
    if rule.kind is Kind.LEGAL_CAP and over > 0:
        return [*fees, Line("cap", -over, first, regular)]
    return fees


def _fees(parts: Sequence[_Part], share_bp: int, first: date, last: date) -> list[Line]:
    """A line for each month. Their sum is rounded, once; each line is what it adds to the rounded sum so far."""
    so_far = [Fraction(0)]
    for part in parts:
        so_far.append(so_far[-1] + part.amount * share_bp / WHOLE)
    amounts = [half_up(after) - half_up(before) for before, after in pairwise(so_far)]
    return [
        Line(
            "remaining_fees", amount, max(p.month.first, first), min(p.month.last, last), p.days, p.month.days, share_bp
        )
        for p, amount in zip(parts, amounts, strict=True)
    ]


def months_served(starts_on: date, last_day: date) -> int:
    """Whole billing months until a last day, included."""
    months = (last_day.year - starts_on.year) * 12 + last_day.month - starts_on.month + 1
    while months > 0 and months_after(starts_on, months) - timedelta(days=1) > last_day:
        months -= 1
    return max(months, 0)


def _by_month(amount: int, starts_on: date, last_day: date) -> Fraction:
    """So much for each billing month served, parts of one by the day."""
    served = billing_months(starts_on, starts_on, last_day)
    return sum((Fraction(amount * m.days_within(starts_on, last_day), m.days) for m in served), Fraction(0))


def _set_off(paid: Iterable[Paid], first: date, last: date) -> list[Line]:
    """What is already paid for the remaining days, by the day of each invoice's period."""
    lines = []
    for invoice in sorted(paid, key=lambda p: (p.first, str(p.invoice_id))):
        days = invoice.period.days_within(first, last)
        share = half_up(Fraction(invoice.net * days, invoice.period.days))
        if share:
            within = max(invoice.first, first), min(invoice.last, last)
            lines.append(
                Line("already_paid", -share, *within, days, invoice.period.days, invoice_id=invoice.invoice_id)
            )
    return lines


# -- as it is stored and frozen ---------------------------------------------------------------------------


def as_stored(quoted: Quote) -> dict[str, Any]:
    """The quote as plain JSON types; what is not said is left out."""
    lines = [{k: _plain(v) for k, v in asdict(line).items() if v is not None} for line in quoted.lines]
    return {
        "last_day": quoted.last_day.isoformat(),
        "regular_end": quoted.regular_end.isoformat(),
        "currency": quoted.currency,
        "lines": lines,
        "total": quoted.total,
    }


def from_stored(stored: dict[str, Any]) -> Quote:
    """The quote that `as_stored` wrote."""
    lines = tuple(
        Line(
            **{
                **line,
                **{name: date.fromisoformat(line[name]) for name in ("first", "last") if name in line},
                **({"invoice_id": UUID(line["invoice_id"])} if "invoice_id" in line else {}),
            }
        )
        for line in stored["lines"]
    )
    last_day, regular = (date.fromisoformat(stored[name]) for name in ("last_day", "regular_end"))
    return Quote(last_day, regular, stored["currency"], lines)


def fingerprint(termination_id: UUID, quoted: Quote) -> str:
    """The hash of what is proposed: SHA-256 over its canonical JSON, with the termination it belongs to."""
    canonical = json.dumps(
        {"termination_id": str(termination_id), **as_stored(quoted)}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, UUID) else value
