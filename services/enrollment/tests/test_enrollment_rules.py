"""How an enrollment moves, whatever comes in whatever order, and what a cancellation keeps."""

from datetime import UTC, date, datetime
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrollment.enrollments.rules import (
    OPEN,
    Answer,
    By,
    Enrollment,
    ImpossibleMove,
    Standing,
    State,
    WaitsFor,
    may_move,
    moved,
    settle,
    waits_for,
)
from enrollment.moment import Moment
from enrollment.prices.rules import Cancellation, Payment, Price

AT = Moment(datetime(2027, 3, 1, 12, tzinfo=UTC))
ALLOWED = {
    ("requested", "approved"),
    ("requested", "refused"),
    ("requested", "declined"),
    ("requested", "withdrawn"),
    ("requested", "expired"),
    ("approved", "confirmed"),
    ("approved", "refused"),
    ("approved", "cancelled"),
    ("confirmed", "completed"),
    ("confirmed", "cancelled"),
}


def enrollment(state: State, payment: Payment = Payment.CREDITS, **more: Any) -> Enrollment:
    return Enrollment(
        **{
            "id": UUID(int=1),
            "version": 1,
            "state": state,
            "way": "associated",
            "payment": payment,
            "person_id": UUID(int=2),
            "course_id": UUID(int=3),
            "session_id": None,
            "supplier_id": None,
            "partner_id": UUID(int=4),
            "customer_id": None,
            "credits": 5,
            "price": None,
            "cancellation": Cancellation(),
            "certificate": False,
            "created_at": AT.now,
            "step_since": AT.now,
        }
        | more
    )


@pytest.mark.parametrize("to", State)
@pytest.mark.parametrize("state", State)
def test_there_are_these_moves_and_no_others(state: State, to: State) -> None:
    assert may_move(state, to) is ((state.value, to.value) in ALLOWED)
    if may_move(state, to):
        after = moved(enrollment(state), to, AT, by="somebody")
        assert (after.state, after.version, after.history[-1]["by"]) == (to, 2, "somebody")
        assert (after.ended_at is None) is (to in OPEN)
    else:
        with pytest.raises(ImpossibleMove):
            moved(enrollment(state), to, AT, by="somebody")


@given(
    state=st.sampled_from(State),
    held=st.booleans(),
    done=st.booleans(),
    answers=st.lists(st.sampled_from(Answer), max_size=8),
)
def test_answers_only_move_forward_along_allowed_moves(
    state: State, held: bool, done: bool, answers: list[Answer]
) -> None:
    standing = Standing(state, held, done)
    for answer in answers:
        after = standing.after(answer)
        if after.state is not standing.state:
            # A completion known before the confirmation takes both moves at once.
            assert may_move(standing.state, after.state) or (standing.state, after.state, standing.done) == (
                State.APPROVED,
                State.COMPLETED,
                True,
            )
        assert after.after(answer) == after
        assert (after.held >= standing.held, after.done >= standing.done) == (True, True)
        standing = after


# What billing and the academy may say of one enrollment in one life, from the state in which it is said.
LIVES = {
    "associated and charged": (State.APPROVED, [Answer.PAID], State.CONFIRMED),
    "associated and refused": (State.APPROVED, [Answer.UNPAYABLE], State.REFUSED),
    "held, then charged": (State.APPROVED, [Answer.HELD, Answer.PAID], State.CONFIRMED),
    "held and charged, then completed": (
        State.APPROVED,
        [Answer.HELD, Answer.PAID, Answer.COURSE_DONE],
        State.COMPLETED,
    ),
    "refused at the hold": (State.REQUESTED, [Answer.UNPAYABLE], State.REFUSED),
    "withdrawn, then held": (State.WITHDRAWN, [Answer.HELD], State.WITHDRAWN),
    "cancelled, then charged": (State.CANCELLED, [Answer.HELD, Answer.PAID], State.CANCELLED),
    "cancelled and completed anyway": (State.CANCELLED, [Answer.PAID, Answer.COURSE_DONE], State.CANCELLED),
}


@pytest.mark.parametrize("life", LIVES)
def test_every_order_and_every_duplication_of_a_lifes_answers_ends_alike(life: str) -> None:
    start, answers, end = LIVES[life]
    for order in set(permutations(answers * 2)):
        standing = Standing(start)
        for answer in order:
            standing = standing.after(answer)
        assert standing.state is end, order


@pytest.mark.parametrize(
    ("state", "payment", "held", "waits"),
    [
        (State.REQUESTED, Payment.CREDITS, False, WaitsFor.HOLD),
        (State.REQUESTED, Payment.CREDITS, True, WaitsFor.DECISION),
        (State.REQUESTED, Payment.INVOICE, False, WaitsFor.DECISION),
        (State.APPROVED, Payment.CREDITS, True, WaitsFor.CHARGE),
        (State.APPROVED, Payment.INVOICE, False, WaitsFor.INSTRUCTION),
        (State.CONFIRMED, Payment.NONE, False, WaitsFor.COMPLETION),
        (State.CANCELLED, Payment.CREDITS, True, None),
    ],
)
def test_an_enrollment_says_what_it_waits_for(
    state: State, payment: Payment, held: bool, waits: WaitsFor | None
) -> None:
    assert waits_for(state, payment, held) is waits


HALF_LATE = Cancellation(free_until_days=14, then_keep_bp=5000)
PRICE = Price("EUR", 12_345, 1_852, 926)


@pytest.mark.parametrize(
    ("state", "by", "starts_on", "kept", "returned"),
    [
        (State.CONFIRMED, By.PERSON, date(2027, 3, 15), 0, 5),  # fourteen days before: still free
        (State.CONFIRMED, By.PERSON, date(2027, 3, 14), 2, 3),  # thirteen: half of 5, rounded down
        (State.CONFIRMED, By.PARTNER, date(2027, 2, 1), 2, 3),  # it has begun
        (State.CONFIRMED, By.SUPPLIER, date(2027, 3, 2), 0, 5),
        (State.CONFIRMED, By.SYSTEM, date(2027, 3, 2), 0, 5),
        (State.APPROVED, By.PERSON, date(2027, 3, 2), 0, 5),  # before confirmation
        (State.CONFIRMED, By.PERSON, None, 0, 5),  # no start
    ],
)
def test_what_is_kept_follows_the_terms_and_who_cancels(
    state: State, by: By, starts_on: date | None, kept: int, returned: int
) -> None:
    settled = settle(state, by, 5, None, HALF_LATE, starts_on, AT.today)

    assert (settled.credits_kept, settled.credits_returned) == (kept, returned)


def test_a_kept_price_is_split_as_the_price_was() -> None:
    settled = settle(State.CONFIRMED, By.PERSON, None, PRICE, HALF_LATE, date(2027, 3, 2), AT.today)

    assert settled.price_kept == Price("EUR", 6_173, 926, 463)


@given(credits=st.integers(0, 10**6), keep=st.integers(0, 10_000), days=st.integers(-30, 60))
def test_kept_and_returned_credits_are_the_whole(credits: int, keep: int, days: int) -> None:
    starts_on = date.fromordinal(AT.today.toordinal() + days)
    settled = settle(State.CONFIRMED, By.PERSON, credits, None, Cancellation(14, keep), starts_on, AT.today)

    assert settled.credits_kept + settled.credits_returned == credits
    assert 0 <= settled.credits_kept <= credits
