"""What holds for credits whatever happens, in whatever order."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from billing.wallets.rules import (
    Account,
    Answer,
    Ask,
    Book,
    Charge,
    Kind,
    Lot,
    News,
    State,
    Step,
    decide,
)

PARTNER = UUID(int=1)
START = datetime(2027, 1, 1, tzinfo=UTC)
AMOUNTS = st.integers(1, 30)

step = st.tuples(st.sampled_from(list(Ask)), st.integers(0, 7), AMOUNTS)
top_up = st.tuples(st.just("top up"), st.none() | st.integers(1, 5), AMOUNTS)
deduction = st.tuples(st.just("deduct"), st.none(), AMOUNTS)
day = st.tuples(st.just("day"), st.integers(1, 5), AMOUNTS)
life = st.lists(step | top_up | deduction | day, max_size=60)
"""What happens to a wallet: steps of eight enrollments, top-ups that expire on a day, deductions, days that come."""


class Story:
    """A wallet, its charges, and what was answered."""

    def __init__(self) -> None:
        self.book = Book(PARTNER)
        self.charges: dict[UUID, Charge] = {}
        self.answers: list[tuple[UUID, Answer]] = []

    def go_on(self, what: Ask | str, which: int | None, credits: int, number: int) -> None:
        own_id = UUID(int=1000 + number)
        if what == "top up":
            expires_at = None if which is None else START + timedelta(days=which)
            self.book.top_up(Lot(own_id, credits, expires_at), "finance", "bought")
        elif what == "day":
            now = START + timedelta(days=which or 0)
            self.book.expire(now)
            assert all(lot.place()[0] > now for lot in self.book.lots)
        elif what == "deduct":
            self.book.deduct(own_id, min(credits, self.book.available), "finance", "not paid") if (
                self.book.available
            ) else None
        else:
            enrollment_id = UUID(int=which or 0)
            charge = self.charges.setdefault(enrollment_id, Charge(enrollment_id, PARTNER))
            told = Step(Ask(what), enrollment_id, PARTNER, credits, "somebody", "a fact")
            if answer := decide(self.book, charge, told):
                self.answers.append((enrollment_id, answer))


def told(events: list[tuple[Ask | str, int | None, int]]) -> Story:
    story = Story()
    for number, event in enumerate(events):
        story.go_on(*event, number)
    return story


@given(life)
def test_every_transaction_sums_to_zero_and_happens_once(events: list[tuple[Ask | str, int | None, int]]) -> None:
    entries = told(events).book.entries

    sums: Counter[tuple[UUID, Kind]] = Counter()
    for entry in entries:
        sums[entry.cause_id, entry.kind] += entry.credits
    assert set(sums.values()) <= {0}
    assert len({(entry.cause_id, entry.kind, entry.account) for entry in entries}) == len(entries)


@given(life)
def test_no_account_but_the_issuing_one_is_ever_negative(events: list[tuple[Ask | str, int | None, int]]) -> None:
    balances: Counter[Account] = Counter()
    for number, entry in enumerate(told(events).book.entries):
        balances[entry.account] += entry.credits
        assert entry.number == number + 1
        assert entry.balance_after == balances[entry.account]
        assert entry.account is Account.ISSUING or entry.balance_after >= 0


@given(life)
def test_lots_hold_what_is_available_and_charges_what_is_held_and_spent(
    events: list[tuple[Ask | str, int | None, int]],
) -> None:
    story = told(events)
    book, charges = story.book, story.charges.values()

    assert sum(lot.remaining for lot in book.lots) == book.available
    assert [lot.id for lot in book.lots] == [lot.id for lot in sorted(book.lots, key=Lot.place)]
    assert all(lot.remaining > 0 for lot in book.lots)
    assert sum(charge.credits for charge in charges if charge.state is State.HELD) == book.held
    assert sum(charge.captured - charge.refunded for charge in charges) == book.spent
    assert all(0 <= charge.refunded <= charge.captured for charge in charges)
    assert book.available + book.held + book.spent + book.issuing == 0


@given(life)
def test_each_lot_gets_back_at_most_what_it_gave(events: list[tuple[Ask | str, int | None, int]]) -> None:
    book = told(events).book

    assert all(0 <= use.returned <= use.credits for uses in book.uses.values() for use in uses)


@given(life)
def test_credits_are_always_taken_from_the_lot_that_expires_first(
    events: list[tuple[Ask | str, int | None, int]],
) -> None:
    story = Story()
    for number, event in enumerate(events):
        before = {lot.id: (lot.place(), lot.remaining) for lot in story.book.lots}
        spent = set(story.book.uses)
        story.go_on(*event, number)
        for cause_id in set(story.book.uses) - spent:
            uses = story.book.uses[cause_id]
            places = [before[use.lot_id][0] for use in uses]
            assert places == sorted(place for place, _ in before.values())[: len(places)]
            assert all(use.credits == before[use.lot_id][1] for use in uses[:-1])


@given(life)
def test_an_enrollment_is_charged_at_most_once_and_refunded_at_most_its_charge(
    events: list[tuple[Ask | str, int | None, int]],
) -> None:
    story = told(events)

    moved: dict[UUID, Counter[Kind]] = {}
    for entry in story.book.entries:
        if entry.account in (Account.AVAILABLE, Account.HELD) and entry.credits < 0:
            moved.setdefault(entry.cause_id, Counter())[entry.kind] -= entry.credits
        if entry.account is Account.SPENT and entry.credits < 0:
            moved.setdefault(entry.cause_id, Counter())[Kind.REFUND] -= entry.credits
    for enrollment_id, charge in story.charges.items():
        kinds = moved.get(enrollment_id, Counter())
        assert kinds[Kind.CAPTURE] in (0, charge.credits)
        assert kinds[Kind.REFUND] <= kinds[Kind.CAPTURE]


@given(life)
def test_every_step_told_twice_ends_where_it_ends_told_once(
    events: list[tuple[Ask | str, int | None, int]],
) -> None:
    steps = [event for event in events if isinstance(event[0], Ask)]
    rest = [("top up", None, 100), *steps]
    twice = [("top up", None, 100), *(event for event in steps for _ in range(2))]

    once, again = told(rest), told(twice)

    assert {i: (c.state, c.captured, c.refunded) for i, c in once.charges.items()} == {
        i: (c.state, c.captured, c.refunded) for i, c in again.charges.items()
    }
    assert (once.book.available, once.book.held) == (again.book.available, again.book.held)


@given(life)
def test_depleted_and_replenished_take_turns(events: list[tuple[Ask | str, int | None, int]]) -> None:
    news = [(turn.news, turn.number) for turn in told(events).book.turns]

    assert news == [
        ((News.DEPLETED, News.REPLENISHED)[position % 2], position // 2 + 1) for position in range(len(news))
    ]


@given(life)
def test_a_wallet_that_is_not_depleted_refuses_nothing_it_could_pay(
    events: list[tuple[Ask | str, int | None, int]],
) -> None:
    story = Story()
    for number, event in enumerate(events):
        before, answered = story.book.available, len(story.answers)
        known = isinstance(event[0], Ask) and UUID(int=event[1] or 0) in story.charges
        story.go_on(*event, number)
        if not known and len(story.answers) > answered:
            assert (story.answers[-1][1] is Answer.REFUSED) == (event[2] > before)
