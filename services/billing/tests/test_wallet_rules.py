"""What may happen to credits, by example."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from billing.wallets.rules import (
    Account,
    Alert,
    Answer,
    Ask,
    Book,
    Charge,
    Entry,
    Episode,
    Kind,
    Lot,
    News,
    Refusal,
    State,
    Step,
    Turn,
    decide,
    give_back,
    spend,
)

PARTNER = UUID(int=1)
ANNA = UUID(int=11)
BRAM = UUID(int=12)
CARLA = UUID(int=13)
JUNE = datetime(2027, 6, 1, tzinfo=UTC)
MAY = datetime(2027, 5, 1, tzinfo=UTC)


def wallet(credits: int = 10) -> Book:
    book = Book(PARTNER)
    if credits:
        book.top_up(Lot(UUID(int=100), credits), "finance", "bought")
    book.entries.clear()
    book.turns.clear()
    return book


def step(ask: Ask, enrollment_id: UUID = ANNA, credits: int = 4) -> Step:
    return Step(ask, enrollment_id, PARTNER, credits, "somebody", "a fact")


def new(enrollment_id: UUID = ANNA) -> Charge:
    return Charge(enrollment_id, PARTNER)


# Lots


def test_lots_are_spent_by_earliest_expiry_first_and_those_without_end_last() -> None:
    book = Book(PARTNER)
    for number, expires_at in enumerate([None, JUNE, MAY]):
        book.top_up(Lot(UUID(int=number), 5, expires_at), "finance", "bought")

    book.charge(ANNA, 12, "somebody", "a fact")

    assert [(use.lot_id.int, use.credits) for use in book.uses[ANNA]] == [(2, 5), (1, 5), (0, 2)]
    assert [(lot.id.int, lot.remaining) for lot in book.lots] == [(0, 3)]


def test_of_lots_that_expire_together_the_oldest_is_spent_first() -> None:
    book = Book(PARTNER)
    book.top_up(Lot(UUID(int=8), 5, JUNE), "finance", "bought")
    book.top_up(Lot(UUID(int=7), 5, JUNE), "finance", "bought")

    book.charge(ANNA, 6, "somebody", "a fact")

    assert [(use.lot_id.int, use.credits) for use in book.uses[ANNA]] == [(7, 5), (8, 1)]


def test_a_refund_goes_back_to_the_lots_that_paid_last_taken_first() -> None:
    book = Book(PARTNER)
    book.top_up(Lot(UUID(int=1), 5, MAY), "finance", "bought")
    book.top_up(Lot(UUID(int=2), 5, JUNE), "finance", "bought")
    book.charge(ANNA, 8, "somebody", "a fact")
    book.charge(BRAM, 2, "somebody", "a fact")

    book.refund(ANNA, 4, "supplier", "cancelled")

    assert [(lot.id.int, lot.remaining) for lot in book.lots] == [(1, 1), (2, 3)]
    assert [(use.lot_id.int, use.returned) for use in book.uses[ANNA]] == [(1, 1), (2, 3)]


def test_lots_do_not_give_more_than_they_hold() -> None:
    with pytest.raises(ValueError, match="2 credits too few"):
        spend([Lot(UUID(int=1), 3)], ANNA, 5)


def test_nothing_goes_back_that_was_not_taken() -> None:
    uses = [use for use, _ in spend([Lot(UUID(int=1), 3)], ANNA, 3)]
    give_back(uses, 2)

    with pytest.raises(ValueError, match="1 credits more"):
        give_back(uses, 2)


# The ledger


def test_a_direct_charge_is_one_transaction_with_balances_after_it() -> None:
    book = wallet(10)

    book.charge(ANNA, 4, "partner/1", "enrollment.approved")

    assert book.entries == [
        Entry(3, ANNA, Kind.CAPTURE, Account.AVAILABLE, -4, 6, "partner/1", "enrollment.approved"),
        Entry(4, ANNA, Kind.CAPTURE, Account.SPENT, 4, 4, "partner/1", "enrollment.approved"),
    ]


def test_a_hold_moves_available_to_held_and_a_capture_takes_from_held() -> None:
    book = wallet(10)

    book.hold(ANNA, 4, "somebody", "asked")
    assert (book.available, book.held, book.spent) == (6, 4, 0)

    book.capture(ANNA, 4, "manager", "approved")
    assert (book.available, book.held, book.spent, book.issuing) == (6, 0, 4, -10)


def test_a_correction_goes_either_way() -> None:
    book = wallet(10)

    book.correct(ANNA, -3, "finance", "counted twice")
    book.correct(BRAM, 5, "finance", "forgotten")

    assert (book.available, book.issuing) == (12, -12)
    assert [entry.kind for entry in book.entries] == [Kind.CORRECTION] * 4


# Episodes (BIL-3)


def test_a_refusal_begins_an_episode_and_a_second_one_only_changes_the_price() -> None:
    depleted = Episode().refused(5)

    assert depleted == Episode(1, True, 5)
    assert depleted.refused(3) == Episode(1, True, 3)


@pytest.mark.parametrize(
    ("available", "ended"),
    [
        (0, False),
        (4, False),  # above zero, and the last refused price is not covered
        (5, True),
        (6, True),
    ],
)
def test_an_episode_ends_when_the_last_refused_price_is_covered(available: int, ended: bool) -> None:
    assert Episode(1, True, 5).added(available) == (Episode(1) if ended else Episode(1, True, 5))


def test_a_wallet_that_became_empty_is_replenished_by_its_first_credit() -> None:
    assert Episode(2).taken(0) == Episode(3, True)
    assert Episode(3, True).added(1) == Episode(3)


def test_a_new_wallet_starts_neither() -> None:
    assert wallet(0).turns == []
    assert Episode().added(10) == Episode()
    assert Episode().taken(1) == Episode()


def test_depleted_and_replenished_are_told_once_an_episode() -> None:
    book = wallet(10)

    book.refuse(12)
    book.refuse(11)
    book.charge(ANNA, 10, "somebody", "a fact")
    book.top_up(Lot(UUID(int=5), 10), "finance", "bought")
    book.top_up(Lot(UUID(int=6), 1), "finance", "bought")
    book.top_up(Lot(UUID(int=7), 1), "finance", "bought")

    assert book.turns == [
        Turn(News.DEPLETED, 1, 10, 12),
        Turn(News.REPLENISHED, 1, 11),
    ]


def test_a_correction_to_zero_depletes_nothing_and_one_upwards_ends_an_episode() -> None:
    book = wallet(3)
    book.correct(ANNA, -3, "finance", "not paid")
    assert book.turns == []

    book.refuse(2)
    book.correct(BRAM, 2, "finance", "paid after all")
    assert [turn.news for turn in book.turns] == [News.DEPLETED, News.REPLENISHED]


def test_a_release_ends_an_episode() -> None:
    book = wallet(4)
    book.hold(ANNA, 4, "somebody", "asked")
    book.release(ANNA, 4, "manager", "declined")

    assert [turn.news for turn in book.turns] == [News.DEPLETED, News.REPLENISHED]


def test_a_warning_is_given_once_each_time_the_wallet_falls_below_its_threshold() -> None:
    alert = Alert(threshold=5)
    assert alert.seen(5) == alert

    warned = alert.seen(4)
    assert warned == Alert(5, 1, True)
    assert warned.seen(3) == warned
    assert warned.seen(5).seen(2) == Alert(5, 2, True)


def test_an_empty_wallet_is_told_about_as_depleted_only() -> None:
    book = wallet(4)
    book.alert = Alert(threshold=3)

    book.charge(ANNA, 4, "somebody", "a fact")

    book.top_up(Lot(UUID(int=5), 2), "finance", "bought")

    assert [turn.news for turn in book.turns] == [News.DEPLETED, News.REPLENISHED]


# Enrollments


def test_a_dear_one_refused_does_not_stop_a_cheaper_one_behind_it() -> None:
    book = wallet(5)
    dear, cheap = new(ANNA), new(BRAM)

    assert decide(book, dear, step(Ask.CHARGE, ANNA, 6)) is Answer.REFUSED
    assert decide(book, cheap, step(Ask.CHARGE, BRAM, 5)) is Answer.CHARGED

    assert (dear.state, dear.refusal, dear.available) == (State.REFUSED, Refusal.NOT_ENOUGH, 5)
    assert (cheap.state, cheap.captured, cheap.available) == (State.CHARGED, 5, 0)


def test_the_retry_of_a_charge_is_told_the_charge_though_the_wallet_is_empty_by_now() -> None:
    book, charge = wallet(4), new()
    decide(book, charge, step(Ask.CHARGE))
    before = len(book.entries)

    assert decide(book, charge, step(Ask.CHARGE)) is Answer.CHARGED
    assert (charge.version, charge.available, len(book.entries)) == (1, 0, before)


def test_an_approval_after_a_cancellation_charges_nothing() -> None:
    book, charge = wallet(10), new()

    assert decide(book, charge, step(Ask.CANCEL)) is None
    assert decide(book, charge, step(Ask.CHARGE)) is None

    assert (charge.state, book.available, book.entries) == (State.CLOSED, 10, [])


def test_a_request_after_its_approval_holds_nothing() -> None:
    book, charge = wallet(10), new()
    decide(book, charge, step(Ask.CHARGE))

    assert decide(book, charge, step(Ask.HOLD)) is None
    assert (book.available, book.held, book.spent) == (6, 0, 4)


def test_an_approval_captures_what_was_held_at_the_price_of_the_hold() -> None:
    book, charge = wallet(10), new()
    decide(book, charge, step(Ask.HOLD, credits=4))

    assert decide(book, charge, step(Ask.CHARGE, credits=9)) is Answer.CHARGED
    assert (book.available, book.held, book.spent, charge.version) == (6, 0, 4, 2)


@pytest.mark.parametrize("ask", [Ask.END, Ask.CANCEL])
def test_a_hold_is_released_when_the_request_comes_to_nothing(ask: Ask) -> None:
    book, charge = wallet(10), new()
    decide(book, charge, step(Ask.HOLD))

    assert decide(book, charge, step(ask)) is Answer.RELEASED
    assert decide(book, charge, step(ask)) is Answer.RELEASED
    assert decide(book, charge, step(Ask.CHARGE)) is None
    assert (book.available, book.held, book.spent) == (10, 0, 0)


@pytest.mark.parametrize(
    ("returned", "refunded", "answer"),
    [
        (4, 4, Answer.REFUNDED),
        (1, 1, Answer.REFUNDED),
        (0, 0, None),  # everything is kept
        (9, 4, Answer.REFUNDED),  # never more than was charged
    ],
)
def test_a_cancellation_gives_back_what_it_says_and_at_most_the_charge(
    returned: int, refunded: int, answer: Answer | None
) -> None:
    book, charge = wallet(10), new()
    decide(book, charge, step(Ask.CHARGE, credits=4))

    assert decide(book, charge, step(Ask.CANCEL, credits=returned)) is answer
    assert decide(book, charge, step(Ask.CANCEL, credits=returned)) is answer

    assert (charge.state, charge.refunded) == (State.CANCELLED, refunded)
    assert book.available == 6 + refunded


def test_a_charge_for_an_enrollment_that_was_refused_as_stuck_is_given_back() -> None:
    book, charge = wallet(10), new()
    decide(book, charge, step(Ask.CHARGE))

    assert decide(book, charge, step(Ask.END)) is Answer.REFUNDED
    assert (book.available, book.spent) == (10, 0)


def test_a_closed_wallet_takes_nothing_new_and_settles_what_runs() -> None:
    book, held, late = wallet(10), new(ANNA), new(BRAM)
    decide(book, held, step(Ask.HOLD, ANNA))
    book.open = False

    assert decide(book, late, step(Ask.CHARGE, BRAM)) is Answer.REFUSED
    assert late.refusal == Refusal.WALLET_CLOSED
    assert book.turns == []
    assert decide(book, held, step(Ask.CHARGE, ANNA)) is Answer.CHARGED
    assert decide(book, held, step(Ask.CANCEL, ANNA)) is Answer.REFUNDED


def test_without_a_wallet_an_end_is_remembered_and_nothing_else_can_be_decided() -> None:
    ended = new()
    assert decide(None, ended, step(Ask.END)) is None
    assert ended.state == State.CLOSED

    with pytest.raises(ValueError, match="older than its wallet"):
        decide(None, new(CARLA), step(Ask.CHARGE, CARLA))
