"""Enrollments and seats on real PostgreSQL against a small model, step by step and with requests at once.

People enrol, answer, cancel and move through the API while billing and the academy answer through the inbox. Of what
happens at once, the end (states, seats, and what was announced) must be that of some order of the same things.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kit.testing import Migrated, Running
from schemas.course import CoursePublished
from schemas.credits import CreditsHeld, CreditsRefused
from schemas.event import Event, uuid7
from schemas.learning import CourseCompleted
from schemas.values import CourseSession, CreditOffer
from services.enrollment.tests.world import World, charged, credits_of, in_days

STEPS = 10
EXAMPLES = 8
PEOPLE, SESSIONS = 3, 2

Which = tuple[int, int, int]
"""An enrollment: of whom, on which session when it was made, and the how-manieth such."""


# -- the model ---------------------------------------------------------------------------------------------


@dataclass
class Place:
    """One enrollment, as ENR-3 tells of it."""

    session: int
    state: str
    held: bool = False
    done: bool = False
    told: list[str] = field(default_factory=list)

    def become(self, state: str) -> None:
        self.state = state
        self.told.append(state)


@dataclass
class Model:
    """Who has which place, and how many there are."""

    seats: list[int]
    places: dict[Which, Place] = field(default_factory=dict)

    def taken(self, session: int) -> int:
        having = ("requested", "approved", "confirmed", "completed")
        return sum(p.session == session and p.state in having for p in self.places.values())

    def is_open(self, person: int, session: int) -> bool:
        running = ("requested", "approved", "confirmed")
        return any(w[0] == person and p.session == session and p.state in running for w, p in self.places.items())


# -- what can happen, to the model and to the service --------------------------------------------------------


@dataclass(frozen=True)
class Enrol:
    person: int
    session: int
    way: str

    def tell(self, model: Model) -> None:
        state = "requested" if self.way == "requested" else "approved"
        if model.is_open(self.person, self.session) or model.taken(self.session) >= model.seats[self.session]:
            return
        number = sum(which[:2] == (self.person, self.session) for which in model.places)
        model.places[self.person, self.session, number] = Place(self.session, state, told=[state])

    async def ask(self, machine: "Enrollments") -> None:
        answer = await machine.world.enrol(
            machine.people[self.person],
            machine.course_id,
            self.way,
            session_id=machine.sessions[self.session].session_id,
            by=machine.admin,
        )
        if expected(answer):
            number = sum(which[:2] == (self.person, self.session) for which in machine.made)
            machine.made[self.person, self.session, number] = answer.json()


@dataclass(frozen=True)
class Answer:
    """Billing or the academy says something of an enrollment; perhaps twice."""

    which: Which
    what: str

    def tell(self, model: Model) -> None:
        place = model.places[self.which]
        match self.what, place.state:
            case "held", "requested":
                place.held = True
            case "charged", "approved":
                place.become("confirmed")
                if place.done:
                    place.become("completed")
            case "refused", "requested" | "approved":
                place.become("refused")
            case "done", "approved":
                place.done = True
            case "done", "confirmed":
                place.become("completed")

    async def ask(self, machine: "Enrollments") -> None:
        made = machine.made[self.which]
        facts: dict[str, Event] = {
            "held": CreditsHeld(**credits_of(made), available=1),
            "charged": charged(made),
            "refused": CreditsRefused(**credits_of(made), available=0),
            "done": CourseCompleted(
                enrollment_id=made["enrollment_id"],
                person_id=made["person_id"],
                course_id=made["course_id"],
                version=1,
                completed_at=in_days(0),
            ),
        }
        await machine.running.deliver(facts[self.what])


@dataclass(frozen=True)
class Decide:
    """Somebody approves, declines, withdraws or cancels."""

    which: Which
    what: str

    def tell(self, model: Model) -> None:
        place = model.places[self.which]
        match self.what, place.state:
            case "approve", "requested" if place.held:
                place.become("approved")
            case "decline", "requested" if place.held:
                place.become("declined")
            case "withdraw", "requested":
                place.become("withdrawn")
            case "cancel", "approved" | "confirmed":
                place.become("cancelled")

    async def ask(self, machine: "Enrollments") -> None:
        expected(await machine.world.act(machine.made[self.which], self.what, by=machine.admin))


@dataclass(frozen=True)
class Move:
    """To another session."""

    which: Which
    to: int

    def tell(self, model: Model) -> None:
        place = model.places[self.which]
        if place.state != "confirmed" or place.session == self.to:
            return
        if not model.is_open(self.which[0], self.to) and model.taken(self.to) < model.seats[self.to]:
            place.session = self.to
            place.told.append("moved")

    async def ask(self, machine: "Enrollments") -> None:
        session_id = machine.sessions[self.to].session_id
        expected(await machine.world.act(machine.made[self.which], "move", session_id=session_id, by=machine.admin))


Happening = Enrol | Answer | Decide | Move


def expected(answer: httpx.Response) -> bool:
    """Whether it was done; anything but that or a named refusal is a fault."""
    assert answer.status_code in (200, 201, 202, 409), answer.text
    return answer.status_code != 409


people = st.integers(0, PEOPLE - 1)
sessions = st.integers(0, SESSIONS - 1)
enrolments = st.builds(Enrol, people, sessions, st.sampled_from(["requested", "associated"]))
answers = st.sampled_from(["held", "charged", "charged", "refused", "done"])
decisions = st.sampled_from(["approve", "approve", "decline", "withdraw", "cancel"])


@st.composite
def happenings(draw: st.DrawFn, made: list[Which]) -> Happening:
    """Something that can happen now; most often to an enrollment that exists."""
    if not made or draw(st.integers(0, 2)) == 0:
        return draw(enrolments)
    which = draw(st.sampled_from(made))
    return draw(
        st.one_of(
            st.builds(Answer, st.just(which), answers),
            st.builds(Decide, st.just(which), decisions),
            st.builds(Move, st.just(which), sessions),
        )
    )


def at_once(asked: list[Happening]) -> list[Happening]:
    """Without what makes the number of a person's enrollments depend on the order."""
    enrolled = [(h.person, h.session) for h in asked if isinstance(h, Enrol)]
    twice = {person for person, session in enrolled if enrolled.count((person, session)) > 1}
    return [h for h in asked if isinstance(h, Enrol) or h.which[0] not in twice]


# -- the two side by side ----------------------------------------------------------------------------------


class Enrollments(RuleBasedStateMachine):
    """A new partner, its people and a course with two sessions for each example, in one database."""

    running: Running
    run: Callable[[Coroutine[Any, Any, Any]], Any]

    @initialize(seats=st.lists(st.integers(1, 3), min_size=SESSIONS, max_size=SESSIONS))
    def begin(self, seats: list[int]) -> None:
        self.model = Model(seats)
        self.made: dict[Which, dict[str, Any]] = {}
        self.run(self._begin(seats))

    async def _begin(self, seats: list[int]) -> None:
        self.world = World(self.running)
        self.admin = f"ada-{uuid7().hex}@partner.example"
        partner_id = await self.world.partner(admin=self.admin)
        self.course_id, self.version = uuid7(), 0
        self.sessions: list[CourseSession] = [self.world.session(seats=n) for n in seats]
        await self._publish()
        self.people = [await self.world.person(partner_id=partner_id) for _ in range(PEOPLE)]

    async def _publish(self) -> None:
        self.version += 1
        await self.running.deliver(
            CoursePublished(
                course_id=self.course_id,
                version=self.version,
                title="Giving Feedback",
                kind="classroom",
                offered_by="platform",
                credits=CreditOffer(scope="all", general_value=5),
                sessions=self.sessions,
            )
        )

    @rule(session=sessions, seats=st.integers(0, 3))
    def a_session_changes_its_capacity(self, session: int, seats: int) -> None:
        self.model.seats[session] = seats
        self.sessions[session] = self.sessions[session].model_copy(update={"capacity": seats})
        self.run(self._publish())

    @rule(data=st.data())
    def one_thing_happens(self, data: st.DataObject) -> None:
        happening = data.draw(happenings(sorted(self.made)))
        self.run(happening.ask(self))
        happening.tell(self.model)

    @rule(data=st.data())
    def several_happen_at_once(self, data: st.DataObject) -> None:
        drawn = data.draw(st.lists(happenings(sorted(self.made)), min_size=2, max_size=4))
        asked = at_once(drawn)
        self.run(self._together(asked))
        found = self.run(self.found())
        orders = [self.after(order) for order in permutations(asked)]
        fitting = [model for model in orders if as_found(model) == found]
        assert fitting, f"{found} is the end of no order of {asked}: {[as_found(model) for model in orders]}"
        self.model = fitting[0]
        note(f"as if in some order: {found}")

    def after(self, order: tuple[Happening, ...]) -> Model:
        model = deepcopy(self.model)
        for happening in order:
            happening.tell(model)
        return model

    async def _together(self, asked: list[Happening]) -> None:
        everyone = asyncio.Barrier(len(asked))

        async def one(happening: Happening) -> None:
            await everyone.wait()
            await happening.ask(self)

        await asyncio.gather(*(one(happening) for happening in asked))

    @invariant()
    def states_seats_and_announcements_are_as_the_model_says(self) -> None:
        assert self.run(self.found()) == as_found(self.model)

    async def found(self) -> dict[str, Any]:
        ids = {UUID(made["enrollment_id"]): which for which, made in self.made.items()}
        rows = await self.running.rows(
            "select id, state, session_id from enrollments where course_id = :course", course=self.course_id
        )
        seats = await self.running.rows("select id, taken from sessions where course_id = :c", c=self.course_id)
        told = await self.running.rows(
            "select convert_from(key, 'utf8') as whose, substr(topic, 12) as topic from outbox"
            " where topic like 'enrollment.%' and key = any(:keys) order by id",
            keys=[str(id_).encode() for id_ in ids],
        )
        numbers = {session.session_id: number for number, session in enumerate(self.sessions)}
        taken = {numbers[row["id"]]: row["taken"] for row in seats}
        return {
            "places": {ids[row["id"]]: (row["state"], numbers[row["session_id"]]) for row in rows},
            "taken": [taken[number] for number in range(SESSIONS)],
            "told": {which: [t["topic"] for t in told if t["whose"] == str(id_)] for id_, which in ids.items()},
        }


def as_found(model: Model) -> dict[str, Any]:
    return {
        "places": {which: (place.state, place.session) for which, place in model.places.items()},
        "taken": [model.taken(session) for session in range(SESSIONS)],
        "told": {which: place.told for which, place in model.places.items()},
    }


@pytest.fixture
def machine(migrated: Migrated) -> Iterator[type[Enrollments]]:
    """The machine on a database of its own, with a loop of its own: Hypothesis calls its rules one by one."""
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    try:
        patient = migrated.running(ENROLLMENT_LOCK_WAIT_MAX_S="60")
        running = loop.run_until_complete(stack.enter_async_context(patient))
        yield type("Enrollments", (Enrollments,), {"running": running, "run": staticmethod(loop.run_until_complete)})
    finally:
        loop.run_until_complete(stack.aclose())
        loop.close()


def test_enrollments_and_seats_do_what_their_model_does_also_at_once(machine: type[Enrollments]) -> None:
    bounded = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        phases=[Phase.reuse, Phase.generate],  # shrinking takes minutes; turn it on to look into a failure
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=bounded)
