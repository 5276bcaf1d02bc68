"""What makes a course acceptable, and what it costs."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.courses.rules import (
    CourseContent,
    Credits,
    Owner,
    Price,
    SessionContent,
    credit_value,
    faults_of,
    price_on,
)

SUPPLIER = Owner("supplier", supplier_id=UUID(int=1))
PLATFORM = Owner("platform")
PARTNER = Owner("partner", partner_id=UUID(int=2))
P1, P2 = UUID(int=11), UUID(int=12)
NOON = datetime(2027, 3, 2, 12, tzinfo=UTC)


def course(**more: Any) -> CourseContent:
    said = {"title": "Heftruck rijden", "kind": "classroom", "language": "nl", "list_price": Price(39_500, "EUR")}
    return CourseContent(**{**said, **more})


def fields(owner: Owner, content: CourseContent) -> list[str]:
    return [fault.field for fault in faults_of(owner, content)]


@pytest.mark.parametrize("owner", [SUPPLIER, PLATFORM, PARTNER])
def test_a_plain_course_has_no_faults(owner: Owner) -> None:
    assert fields(owner, course()) == []


@pytest.mark.parametrize(
    ("owner", "more", "field"),
    [
        (SUPPLIER, {"title": "  "}, "title"),
        (SUPPLIER, {"kind": "webinar"}, "kind"),
        (SUPPLIER, {"language": "nl-NL"}, "language"),
        (SUPPLIER, {"list_price": None}, "list_price"),
        (SUPPLIER, {"list_price": Price(-1, "EUR")}, "list_price.amount"),
        (SUPPLIER, {"vat": "none"}, "vat"),
        (SUPPLIER, {"duration_minutes": 0}, "duration_minutes"),
        (SUPPLIER, {"then_keep_bp": 10_001}, "cancellation.then_keep_bp"),
        (Owner("supplier"), {}, "supplier_id"),
        (Owner("platform", supplier_id=UUID(int=1)), {}, "supplier_id"),
        (Owner("partner"), {}, "owner_partner_id"),
        (SUPPLIER, {"credits": Credits("all", 5)}, "credits.scope"),
        (PARTNER, {"credits": Credits("all", 0)}, "credits.scope"),
        (PLATFORM, {"credits": Credits("all")}, "credits.general_value"),
        (PLATFORM, {"credits": Credits("all", 5, {P1: 4})}, "credits.values"),
        (PLATFORM, {"credits": Credits("chosen", 5)}, "credits.values"),
        (PLATFORM, {"credits": Credits("chosen", None, {P1: 4, P2: None})}, "credits.general_value"),
        (PLATFORM, {"credits": Credits("all", -1)}, "credits"),
        (PLATFORM, {"credits": Credits("all", 10**12)}, "credits"),
        (SUPPLIER, {"sessions": (SessionContent(NOON, NOON, None, 12),)}, "sessions.0.ends_at"),
        (SUPPLIER, {"sessions": (SessionContent(NOON, NOON + timedelta(1), None, -1),)}, "sessions.0.capacity"),
    ],
)
def test_each_fault_is_named_by_its_field(owner: Owner, more: dict[str, Any], field: str) -> None:
    assert fields(owner, course(**more)) == [field]


@pytest.mark.parametrize(
    ("day", "amount"),
    [
        (date(2026, 12, 31), None),  # before the first price there is none
        (date(2027, 1, 1), 39_500),
        (date(2027, 5, 31), 39_500),
        (date(2027, 6, 1), 42_000),  # from its effective date on
        (date(2030, 1, 1), 42_000),
    ],
)
def test_a_price_holds_from_its_effective_date(day: date, amount: int | None) -> None:
    prices = [(date(2027, 6, 1), Price(42_000, "EUR")), (date(2027, 1, 1), Price(39_500, "EUR"))]

    found = price_on(prices, day)

    assert (found and found.amount) == amount


@pytest.mark.parametrize(
    ("credits", "first", "second"),
    [
        (Credits("none"), None, None),
        (Credits("all", 5), 5, 5),
        (Credits("chosen", 5, {P1: 3}), 3, None),
        (Credits("chosen", 5, {P1: None, P2: 0}), 5, 0),
    ],
)
def test_credit_values_by_partner(credits: Credits, first: int | None, second: int | None) -> None:
    assert (credit_value(credits, P1), credit_value(credits, P2)) == (first, second)


dated = st.lists(
    st.tuples(st.dates(date(2026, 1, 1), date(2028, 1, 1)), st.integers(0, 10**6)), unique_by=lambda p: p[0]
)


@given(dated, st.dates(date(2026, 1, 1), date(2028, 1, 1)))
def test_no_later_price_counts_before_its_day(prices: list[tuple[date, int]], day: date) -> None:
    known = [(from_, Price(amount, "EUR")) for from_, amount in prices]

    assert price_on(known, day) == price_on([p for p in known if p[0] <= day], date.max)
    assert (price_on(known, day) is None) == all(from_ > day for from_, _ in prices)
