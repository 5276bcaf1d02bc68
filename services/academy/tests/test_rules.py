"""Numbers, states and dates: rules by example and by property."""

from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from academy.certificates.page import language_for
from academy.certificates.rules import ALPHABET, NotANumber, check_character, new_number, read_number
from academy.certificates.words import (
    LANGUAGES,
    MAIL_SUBJECT,
    MAIL_TEXT,
    MONTHS,
    PAGE,
    PRINTED,
    written_date,
)
from academy.learners.usecases import grants_of
from academy.learnings.rules import Happened, State
from schemas.event import uuid7
from schemas.person import PersonChanged

EARLY = datetime(2026, 3, 2, tzinfo=UTC)
LATE = EARLY + timedelta(days=3)

bodies = st.text(ALPHABET, min_size=15, max_size=15)
moments = st.none() | st.sampled_from([EARLY, LATE])
happenings = st.builds(Happened, moments, moments, moments)


def test_a_number_is_four_groups_that_end_in_a_check_character() -> None:
    # Worked out by hand: of fourteen zeros and a one, the one counts double, and 30 more make 32.
    assert check_character("000000000000001") == "Y"
    assert read_number("0000 0000 0000 001y") == "0000-0000-0000-001Y"


def test_new_numbers_are_valid_and_differ() -> None:
    numbers = {new_number() for _ in range(200)}

    assert len(numbers) == 200
    assert all(read_number(number) == number for number in numbers)


@given(bodies)
def test_a_number_typed_carelessly_is_still_read(body: str) -> None:
    bare = body + check_character(body)
    careless = " ".join(bare.lower()).replace("0", "o").replace("1", "l")

    assert read_number(careless).replace("-", "") == bare


@given(bodies, st.integers(0, 15), st.sampled_from(ALPHABET))
def test_one_mistyped_character_is_always_noticed(body: str, place: int, wrong: str) -> None:
    bare = body + check_character(body)
    if bare[place] == wrong:
        return

    with pytest.raises(NotANumber):
        read_number(bare[:place] + wrong + bare[place + 1 :])


@pytest.mark.parametrize("typed", ["", "1234", "U" * 16, "0000-0000-0000-0000-0000", "Ω" * 16, "../etc/passwd"])
def test_what_is_no_number_is_refused(typed: str) -> None:
    with pytest.raises(NotANumber):
        read_number(typed)


@pytest.mark.parametrize(
    ("happened", "state"),
    [
        (Happened(opened_at=EARLY), State.OPEN),
        (Happened(opened_at=EARLY, completed_at=LATE), State.COMPLETED),
        (Happened(completed_at=EARLY), State.COMPLETED),  # heard of before the confirmation
        (Happened(opened_at=LATE, closed_at=EARLY), State.CLOSED),  # cancelled before confirmed was seen
        (Happened(opened_at=EARLY, completed_at=LATE, closed_at=LATE), State.CLOSED),
    ],
)
def test_a_state_follows_from_what_happened(happened: Happened, state: State) -> None:
    assert happened.state() is state


@given(st.lists(happenings, min_size=1, max_size=3))
def test_whatever_the_order_what_happened_is_the_same(told: list[Happened]) -> None:
    def all_of(order: tuple[Happened, ...]) -> Happened:
        known = Happened()
        for one in (*order, *order):  # everything twice
            known = known.joined(one)
        return known

    assert len({all_of(order) for order in permutations(told)}) == 1


@pytest.mark.parametrize(
    ("language", "written"),
    [("en", "5 March 2026"), ("nl", "5 maart 2026"), ("it", "5 marzo 2026"), ("tlh", "5 March 2026")],
)
def test_dates_are_written_as_people_write_them(language: str, written: str) -> None:
    assert written_date(date(2026, 3, 5), language) == written


def test_every_language_says_everything() -> None:
    for words in (PRINTED, PAGE):
        assert words.keys() == set(LANGUAGES)
        assert len({frozenset(spoken) for spoken in words.values()}) == 1
    assert MAIL_SUBJECT.keys() == MAIL_TEXT.keys() == MONTHS.keys() == set(LANGUAGES)
    assert {len(months.split()) for months in MONTHS.values()} == {12}


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        (None, None, "en"),
        ("it", "nl", "it"),
        ("tlh", "nl-BE,nl;q=0.9,en;q=0.8", "nl"),
        (None, "de, it;q=0.4, nl;q=0.7", "nl"),
        (None, "fr-FR,fr;q=0.9", "en"),
        (None, "it;q=0", "en"),
        (None, ";;;q=,nl;q=7,\x00", "en"),
    ],
)
def test_the_page_speaks_the_best_language_there_is(asked: str | None, accepted: str | None, language: str) -> None:
    assert language_for(asked, accepted) == language


@pytest.mark.parametrize(
    ("home", "active"),
    [
        ({"customer_id": uuid7(), "partner_id": uuid7()}, {"learner", "manager", "hr", "customer_admin"}),
        # A partner's tenant holds all its customers: its own people get no role that looks that far.
        ({"partner_id": uuid7()}, {"learner", "manager"}),
    ],
)
def test_a_partners_own_people_may_lead_and_no_more(home: dict[str, UUID], active: set[str]) -> None:
    roles = ["manager", "hr", "customer_admin"]
    event = PersonChanged(person_id=uuid7(), version=1, email="a@b.example", name="A", roles=roles, **home)

    assert {grant.role for grant in grants_of(event) if grant.status == "active"} == active
