"""What cells of a course file say."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from catalog.course_imports.rules import (
    CourseRow,
    NotUnderstandable,
    names_of,
    partners_of,
    price_of,
    sessions_of,
)
from catalog.courses.rules import Credits

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@pytest.mark.parametrize(
    ("cell", "cents"),
    [
        ("395", 39_500),
        ("395.00", 39_500),
        ("395,00", 39_500),
        ("395,-", 39_500),
        ("€ 395", 39_500),
        ("0", 0),
        ("1250", 125_000),
        ("1.250,00", 125_000),
        ("1,250.00", 125_000),
        ("1 250,50", 125_050),
        ("1 250", 125_000),
        ("0,05", 5),
        ("999.999,99", 99_999_999),
    ],
)
def test_a_price_is_read_as_people_write_it(cell: str, cents: int) -> None:
    assert price_of(cell) == cents


@pytest.mark.parametrize(
    "cell", ["", "gratis", "1.250", "1,250", "1.2", "12.345.67", "1.250.00", "-5", "1e3", "10000000000", "٣٩٥"]
)
def test_a_price_that_could_mean_two_things_or_none_is_not_guessed(cell: str) -> None:
    with pytest.raises(NotUnderstandable):
        price_of(cell)


@given(st.integers(0, 99_999_999), st.sampled_from([(".", ","), (",", "."), (" ", ","), ("", "."), ("", ",")]))
def test_every_written_price_is_read_back(cents: int, separators: tuple[str, str]) -> None:
    thousands, decimal = separators
    written = f"{cents // 100:,}".replace(",", thousands) + f"{decimal}{cents % 100:02}"

    assert price_of(written) == cents


def test_sessions_are_read_in_local_time() -> None:
    first, second = sessions_of(
        "2027-03-02 09:00-17:00 Utrecht, zaal 3 (12) | 2027-07-01 09:00 – 2027-07-02 16:30 (8)", AMSTERDAM
    )

    assert first.starts_at == datetime(2027, 3, 2, 8, tzinfo=UTC)
    assert first.ends_at == datetime(2027, 3, 2, 16, tzinfo=UTC)
    assert (first.place, first.capacity, first.key) == ("Utrecht, zaal 3", 12, "2027-03-02 09:00 Utrecht, zaal 3")
    assert second.starts_at == datetime(2027, 7, 1, 7, tzinfo=UTC)
    assert second.ends_at == datetime(2027, 7, 2, 14, 30, tzinfo=UTC)
    assert (second.place, second.capacity) == (None, 8)


@pytest.mark.parametrize(
    "cell",
    [
        "2 maart 2027",
        "2027-03-02 09:00 Utrecht (12)",
        "2027-13-02 09:00-17:00 (12)",
        "2027-03-02 25:00-26:00 (12)",
        "2027-03-02 09:00-17:00 Utrecht",
        "2027-03-28 02:30-17:00 Utrecht (12)",  # the hour that summer time skips
    ],
)
def test_a_session_that_is_no_session_is_refused(cell: str) -> None:
    with pytest.raises(NotUnderstandable):
        sessions_of(cell, AMSTERDAM)


def test_partners_are_named_with_their_own_value_or_without() -> None:
    assert partners_of("Noorderlicht=3 | Zuiderzon|") == {"Noorderlicht": 3, "Zuiderzon": None}
    for cell in ("Noorderlicht=", "=3", "Noorderlicht=-3", "A=1.5"):
        with pytest.raises(NotUnderstandable):
            partners_of(cell)


@given(st.text())
def test_no_cell_breaks_the_reader(cell: str) -> None:
    for read in (price_of, partners_of, lambda c: sessions_of(c, AMSTERDAM)):
        try:
            read(cell)
        except NotUnderstandable:
            continue
    names_of(cell)


def test_a_row_says_a_whole_course() -> None:
    row = CourseRow.model_validate(
        {
            "code": "VCA-1",
            "title": "VCA basis",
            "kind": "Classroom",
            "language": "NL",
            "price": "395,00",
            "certificate": "ja",
            "topics": "veiligheid|bouw",
            "keep_percent": "50",
            "sessions": "2027-03-02 09:00-17:00 Utrecht (12)",
        }
    )

    course = row.content(AMSTERDAM, Credits())

    assert (course.code, course.kind, course.language, course.certificate) == ("VCA-1", "classroom", "nl", True)
    assert course.list_price is not None
    assert (course.list_price.amount, course.list_price.currency, course.then_keep_bp) == (39_500, "EUR", 5_000)
    assert (course.topics, course.sites, len(course.sessions)) == (("veiligheid", "bouw"), None, 1)
    # What the checked row was kept as says the same.
    assert CourseRow.model_validate_json(row.model_dump_json()) == row


@pytest.mark.parametrize(
    ("cell", "value"),
    [("price", "veel"), ("certificate", "misschien"), ("keep_percent", "101"), ("currency", "JPY"), ("title", "")],
)
def test_a_wrong_cell_is_named(cell: str, value: str) -> None:
    row = {"code": "A", "title": "B", "kind": "online", "language": "en"} | {cell: value}

    with pytest.raises(ValidationError) as caught:
        CourseRow.model_validate(row)

    assert [error["loc"] for error in caught.value.errors()] == [(cell,)]
