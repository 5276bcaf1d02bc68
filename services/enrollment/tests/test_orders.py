"""Facts of others in every order, twice, and all over again: the rows end alike, and nothing is announced twice."""

import asyncio
from itertools import permutations
from typing import Any

from kit.testing import Running
from schemas.credits import CreditsHeld, CreditsRefused
from schemas.event import Event
from schemas.learning import CourseCompleted
from services.enrollment.tests.world import World, charged, credits_of, in_days, instructed

NOISE = {"created_at", "step_since", "step_until", "history", "id", "person_id", "confirmed_at", "ended_at",
         "approved_at", "expires_at", "remind_at", "completed_at", "customer_id", "supplier_id", "course_id",
         "session_id", "partner_id", "instruction"}  # fmt: skip
"""What differs between two enrollments that live the same life."""


async def end(running: Running, enrollment: dict[str, Any]) -> dict[str, Any]:
    (row,) = await running.rows("select * from enrollments where id = :id", id=enrollment["enrollment_id"])
    return {name: value for name, value in row.items() if name not in NOISE}


async def announced(running: Running, enrollment: dict[str, Any]) -> list[str]:
    events = await running.everything_published()
    return [e.topic for e in events if str(getattr(e, "enrollment_id", "")) == enrollment["enrollment_id"]]


def done(enrollment: dict[str, Any]) -> CourseCompleted:
    return CourseCompleted(
        enrollment_id=enrollment["enrollment_id"],
        person_id=enrollment["person_id"],
        course_id=enrollment["course_id"],
        version=1,
        completed_at=in_days(0),
    )


async def test_a_charge_and_a_completion_end_alike_in_every_order_and_number(world: World) -> None:
    partner_id, course = await world.partner(), await world.credit_course(5)
    ends = []
    for order in permutations(range(4)):
        made = await world.enrolled(await world.person(partner_id=partner_id), course)
        facts: list[Event] = [
            charged(made),
            charged(made),
            done(made),
            CreditsHeld(**credits_of(made), available=1),
        ]
        await world.running.deliver(*(facts[i] for i in order))
        ends.append(await end(world.running, made))
        assert await announced(world.running, made) == [
            "enrollment.approved",
            "enrollment.confirmed",
            "enrollment.completed",
        ]

    assert {row["state"] for row in ends} == {"completed"}
    assert all(row == ends[0] for row in ends)


async def test_answers_told_by_several_consumers_at_once_end_as_in_any_order(world: World) -> None:
    partner_id, course = await world.partner(), await world.credit_course(5)
    for _ in range(8):
        made = await world.enrolled(await world.person(partner_id=partner_id), course)
        facts: list[Event] = [charged(made), charged(made), done(made), done(made)]

        await asyncio.gather(*(world.running.deliver(one, one) for one in facts))

        assert (await world.enrollment(made))["state"] == "completed"
        assert await announced(world.running, made) == [
            "enrollment.approved",
            "enrollment.confirmed",
            "enrollment.completed",
        ]
    assert await world.running.parked() == []


async def test_revisions_of_an_instruction_end_alike_one_by_one_or_in_one_batch(world: World) -> None:
    course = await world.supplier_course(await world.supplier())
    customer_id = await world.customer()
    ends = []
    for order in permutations((1, 2, 3)):
        for together in (True, False):
            made = await world.enrolled(await world.person(customer_id=customer_id), course)
            facts = [instructed(made, revision, reference=f"r{revision}") for revision in order]
            for batch in [facts] if together else [[fact] for fact in facts]:
                await world.running.deliver(*batch)
            ends.append(await end(world.running, made))
            assert (await world.enrollment(made))["instruction"]["reference"] == "r3"
            assert await announced(world.running, made) == ["enrollment.approved", "enrollment.confirmed"]

    assert all(row == ends[0] for row in ends)


async def test_a_refusal_and_late_answers_end_alike(world: World) -> None:
    partner_id, course = await world.partner(), await world.credit_course(5)
    ends = []
    for order in permutations(range(3)):
        made = await world.enrolled(await world.person(partner_id=partner_id), course, "requested")
        await world.act(made, "withdraw")
        held = CreditsHeld(**credits_of(made), available=1)
        facts: list[Event] = [held, held, CreditsRefused(**credits_of(made), available=0)]
        for i in order:
            await world.running.deliver(facts[i])
        ends.append(await end(world.running, made))

    assert {row["state"] for row in ends} == {"withdrawn"}
    assert all(row == ends[0] for row in ends)


async def test_everything_again_from_zero_changes_no_row_and_sends_no_mail(world: World) -> None:
    facts: list[Event] = []
    deliver = world.running.deliver

    async def keeping(*events: Event) -> None:
        facts.extend(events)
        await deliver(*events)

    world.running.deliver = keeping  # type: ignore[method-assign]
    session = world.session()
    course = await world.supplier_course(await world.supplier(), sessions=[session])
    customer_id = await world.customer(await world.partner(), admin="carl@acme.example")
    person = await world.person(customer_id=customer_id)
    made = await world.enrolled(person, course, session_id=session.session_id)
    await world.instructed(made)
    asked = await world.enrolled(person, await world.credit_course(5), "requested")
    await world.held(asked)
    before = await snapshot(world.running)

    await world.running.empty_inbox()
    await deliver(*facts)
    await world.running.empty_inbox()
    for fact in reversed(facts):
        await deliver(fact)

    assert await snapshot(world.running) == before
    assert len(before["mail"]) == 2


async def snapshot(running: Running) -> dict[str, Any]:
    tables = ("enrollments", "people", "sessions", "courses", "suppliers", "customers", "partners", "grants", "mail")
    found: dict[str, Any] = {name: await running.rows(f"select * from {name} order by 1, 2") for name in tables}
    return found | {"outbox": len(await running.everything_published())}
