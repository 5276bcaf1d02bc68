"""A wallet on real PostgreSQL against a small model, step by step and with transactions at once.

Whatever is asked of it, in whatever order, the wallet holds what the model holds. Of what is asked at once, each in a
transaction of its own, the end must be that of some order of the same things: which, the model finds out.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from billing.wallets import usecases
from billing.wallets.rules import Ask, Step
from billing.wallets.usecases import DeductionTooLarge, TopUp
from kit.db import Session
from kit.testing import Migrated, Running
from schemas.event import uuid7
from services.billing.tests.facts import partner

STARTED = datetime(2027, 1, 1, tzinfo=UTC)
STEPS = 10
EXAMPLES = 8


# -- the model ---------------------------------------------------------------------------------------------


@dataclass
class Lot:
    left: int
    until: float
    """The day it expires on."""


@dataclass
class Model:
    """A wallet as BIL-1 to BIL-4 tell of it."""

    day: int = 0
    lots: list[Lot] = field(default_factory=list)
    """In the order they came."""
    charges: dict[int, tuple[str, int, list[tuple[int, int]], int]] = field(default_factory=dict)
    """By enrollment: where it stands, its price, which lots paid how much, and what went back."""
    episodes: int = 0
    depleted: bool = False
    refused: int = 0
    """The last price refused in the open episode."""

    @property
    def available(self) -> int:
        return sum(lot.left for lot in self.lots)

    @property
    def held(self) -> int:
        return sum(price for state, price, _, _ in self.charges.values() if state == "held")

    @property
    def spent(self) -> int:
        charged = [c for c in self.charges.values() if c[0] in ("charged", "cancelled")]
        return sum(price - back for _, price, _, back in charged)

    def expire(self) -> None:
        for lot in sorted(self.lots, key=lambda lot: lot.until):
            if lot.left and lot.until <= self.day:
                lot.left = 0
                self.taken()

    def taken(self) -> None:
        if not self.available and not self.depleted:
            self.episodes, self.depleted, self.refused = self.episodes + 1, True, 0

    def added(self) -> None:
        if self.depleted and self.available and self.available >= self.refused:
            self.depleted = False

    def spend(self, credits: int) -> list[tuple[int, int]]:
        paid = []
        for place in sorted(range(len(self.lots)), key=lambda place: (self.lots[place].until, place)):
            part = min(credits, self.lots[place].left)
            if part:
                self.lots[place].left -= part
                credits -= part
                paid.append((place, part))
        return paid

    def give_back(self, paid: list[tuple[int, int]], credits: int) -> None:
        for place, part in reversed(paid):
            back = min(credits, part)
            self.lots[place].left += back
            credits -= back
        self.added()


# -- what can be asked, of the model and of the wallet -------------------------------------------------------


@dataclass(frozen=True)
class Add:
    """A top-up, or a correction upwards, which never expires."""

    credits: int
    days: int | None = None
    correction: bool = False

    def tell(self, model: Model) -> None:
        model.expire()
        until = model.day + self.days if self.days and not self.correction else float("inf")
        model.lots.append(Lot(self.credits, until))
        model.added()

    async def ask(self, db: Session, machine: "Wallets", now: datetime) -> None:
        if self.correction:
            await usecases.correct(db, machine.partner_id, self.credits, "mistake", "user:staff", now)
        else:
            until = now + timedelta(days=self.days) if self.days else None
            await usecases.top_up(db, machine.partner_id, TopUp(self.credits, "order", None, until), "user:staff", now)


@dataclass(frozen=True)
class Take:
    """A deduction, or a correction downwards, which depletes nothing; refused where it is not covered."""

    credits: int
    correction: bool = False

    def tell(self, model: Model) -> None:
        # A refusal undoes its transaction, and what had expired is written off by the next one.
        lots = [lot for lot in model.lots if lot.until > model.day]
        if self.credits > sum(lot.left for lot in lots):
            return
        model.expire()
        model.spend(self.credits)
        if not self.correction:
            model.taken()

    async def ask(self, db: Session, machine: "Wallets", now: datetime) -> None:
        if self.correction:
            await usecases.correct(db, machine.partner_id, -self.credits, "mistake", "user:staff", now)
        else:
            await usecases.deduct(db, machine.partner_id, self.credits, "mistake", "user:staff", now)


@dataclass(frozen=True)
class Steps:
    """Steps of enrollments that came in one batch: what is asked, of which enrollment, for how many credits."""

    steps: tuple[tuple[Ask, int, int], ...]

    def tell(self, model: Model) -> None:
        for ask, enrollment, credits in self.steps:
            model.expire()
            state, price, paid, _ = model.charges.get(enrollment, ("new", credits, [], 0))
            if ask in (Ask.HOLD, Ask.CHARGE) and state == "new":
                if credits > model.available:
                    model.charges[enrollment] = ("refused", credits, [], 0)
                    model.episodes += not model.depleted
                    model.depleted, model.refused = True, credits
                else:
                    state = "held" if ask is Ask.HOLD else "charged"
                    model.charges[enrollment] = (state, credits, model.spend(credits), 0)
                    model.taken()
            elif ask is Ask.CHARGE and state == "held":
                model.charges[enrollment] = ("charged", price, paid, 0)
            elif ask in (Ask.END, Ask.CANCEL) and state == "new":
                model.charges[enrollment] = ("closed", 0, [], 0)
            elif ask in (Ask.END, Ask.CANCEL) and state == "held":
                model.charges[enrollment] = ("released", price, paid, 0)
                model.give_back(paid, price)
            elif ask in (Ask.END, Ask.CANCEL) and state == "charged":
                back = price if ask is Ask.END else min(credits, price)
                model.charges[enrollment] = ("cancelled", price, paid, back)
                if back:
                    model.give_back(paid, back)

    async def ask(self, db: Session, machine: "Wallets", now: datetime) -> None:
        asked = [
            Step(ask, machine.enrollment(n), machine.partner_id, credits, "system", f"enrollment.{ask}")
            for ask, n, credits in self.steps
        ]
        assert await usecases.settle(db, asked, now) == set()


Wish = Add | Take | Steps

credits_ = st.integers(1, 12)
added = st.builds(Add, credits_, st.none() | st.integers(1, 9), st.booleans())
taken = st.builds(Take, credits_, st.booleans())
step = st.tuples(st.sampled_from(Ask), st.integers(0, 5), credits_)
asked = st.builds(Steps, st.lists(step, min_size=1, max_size=5).map(tuple))
wishes = added | taken | asked | asked


# -- the two side by side ----------------------------------------------------------------------------------


class Wallets(RuleBasedStateMachine):
    """A new wallet for each example, in one database."""

    billing: Running
    run: Callable[[Coroutine[Any, Any, Any]], Any]

    @initialize()
    def open(self) -> None:
        self.partner_id = uuid7()
        self.model = Model()
        self._enrollments: dict[int, UUID] = {}
        self.run(self.billing.deliver(partner(self.partner_id)))

    def enrollment(self, number: int) -> UUID:
        return self._enrollments.setdefault(number, uuid7())

    @property
    def now(self) -> datetime:
        return STARTED + timedelta(days=self.model.day)

    @rule(days=st.integers(1, 4))
    def time_passes(self, days: int) -> None:
        self.model.day += days

    @rule(wish=wishes)
    def one_thing_is_asked(self, wish: Wish) -> None:
        self.run(self.ask([wish]))
        wish.tell(self.model)

    @rule(wishes=st.lists(wishes, min_size=2, max_size=4))
    def several_are_asked_at_once(self, wishes: list[Wish]) -> None:
        self.run(self.ask(wishes))
        found = self.run(self.found())
        orders = [self.after(order) for order in permutations(wishes)]
        fitting = [model for model in orders if as_found(model) == found]
        assert fitting, f"{found} is the end of no order of {wishes}: {[as_found(model) for model in orders]}"
        self.model = fitting[0]
        note(f"as if in some order: {found}")

    def after(self, order: tuple[Wish, ...]) -> Model:
        model = deepcopy(self.model)
        for wish in order:
            wish.tell(model)
        return model

    @invariant()
    def the_wallet_is_as_the_model_says(self) -> None:
        assert self.run(self.found()) == as_found(self.model)

    @invariant()
    def its_ledger_is_sound_and_it_told_of_every_episode_once(self) -> None:
        faults, total, episodes, letters = self.run(self.soundness())
        assert (faults, total) == ([], 0)
        assert episodes == letters == self.model.episodes

    async def ask(self, wishes: list[Wish]) -> None:
        """Each in a transaction of its own; all of them are open before the first statement of any."""
        everyone = asyncio.Barrier(len(wishes))

        async def one(wish: Wish) -> None:
            async with self.billing.service.database.worker.begin() as db:
                await db.connection()
                await everyone.wait()
                await wish.ask(db, self, self.now)

        ended = await asyncio.gather(*(one(wish) for wish in wishes), return_exceptions=True)
        wrong = [error for error in ended if error is not None and not isinstance(error, DeductionTooLarge)]
        assert not wrong, wrong

    async def found(self) -> dict[str, Any]:
        mine = {"id": self.partner_id}
        [wallet] = await self.billing.rows(
            "select available, held, spent, depleted, coalesce(refused_price, 0) as refused, episode"
            " from wallets where partner_id = :id",
            **mine,
        )
        lots = await self.billing.rows(
            "select id, remaining, expires_at from lots where partner_id = :id order by id", **mine
        )
        uses = await self.billing.rows("select cause_id, lot_id, credits from lot_uses where partner_id = :id", **mine)
        charges = await self.billing.rows(
            "select enrollment_id, state, refunded from charges where partner_id = :id", **mine
        )
        numbers = {id_: number for number, id_ in self._enrollments.items()}
        places = {lot["id"]: place for place, lot in enumerate(lots)}
        return {
            "accounts": (wallet["available"], wallet["held"], wallet["spent"]),
            "episode": (wallet["depleted"], wallet["refused"] if wallet["depleted"] else 0, wallet["episode"]),
            "lots": [
                (lot["remaining"], (lot["expires_at"] - STARTED).days if lot["expires_at"] else float("inf"))
                for lot in lots
            ],
            "paid": {
                (numbers[use["cause_id"]], places[use["lot_id"]], use["credits"])
                for use in uses
                if use["cause_id"] in numbers
            },
            "charges": {numbers[c["enrollment_id"]]: (c["state"], c["refunded"]) for c in charges},
        }

    async def soundness(self) -> tuple[list[Any], int, int, int]:
        async with self.billing.db() as db:
            check = await usecases.check_ledger(db)
        told = await self.billing.value(
            "select count(*) from outbox where topic = 'credits.depleted' and key = :key",
            key=str(self.partner_id).encode(),
        )
        matter = f"wallet/{self.partner_id}"
        letters = await self.billing.value("select count(*) from mail where matter = :matter", matter=matter)
        return check.faults, check.total, told, letters


def as_found(model: Model) -> dict[str, Any]:
    return {
        "accounts": (model.available, model.held, model.spent),
        "episode": (model.depleted, model.refused if model.depleted else 0, model.episodes),
        "lots": [(lot.left, lot.until) for lot in model.lots],
        "paid": {(n, place, part) for n, (_, _, paid, _) in model.charges.items() for place, part in paid},
        "charges": {n: (state, back) for n, (state, _, _, back) in model.charges.items()},
    }


@pytest.fixture
def machine(migrated: Migrated) -> Iterator[type[Wallets]]:
    """The machine on a database of its own, with a loop of its own: Hypothesis calls its rules one by one."""
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    try:
        billing = loop.run_until_complete(stack.enter_async_context(migrated.running()))
        yield type("Wallets", (Wallets,), {"billing": billing, "run": staticmethod(loop.run_until_complete)})
    finally:
        loop.run_until_complete(stack.aclose())
        loop.close()


def test_a_wallet_does_what_its_model_does_also_when_much_is_asked_at_once(machine: type[Wallets]) -> None:
    bounded = settings(
        max_examples=EXAMPLES,
        phases=[Phase.reuse, Phase.generate],  # shrinking takes minutes; turn it on to look into a failure
        stateful_step_count=STEPS,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=bounded)
