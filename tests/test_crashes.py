"""kill -9 in the middle of the main job: whatever dies comes back and finishes, once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from stack.places import free_port
from stack.processes import Service, python_module
from tests.suite import Suite

PEOPLE = 60
PRICE = 2
CREDITS = 100  # covers 50 of the 60


async def insistent(call: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """A caller that sends the same request, under the same key, until somebody answers it."""
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await call()
                if answer.status_code < 500 and answer.status_code != 409:
                    return answer
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)


async def enroll_everybody(
    suite: Suite, partner: Mapping[str, Any], course: Mapping[str, Any], people: list[Any]
) -> None:
    """Associations one after the other, four at a time, without waiting for outcomes."""
    queue = list(people)

    async def worker() -> None:
        while queue:
            person, key = queue.pop(), str(uuid4())
            answer = await insistent(
                lambda person=person, key=key: suite.associate(person, course, wait=0, by=partner["admin"], key=key)
            )
            assert answer.status_code in (201, 202), answer.text

    await asyncio.gather(*(worker() for _ in range(4)))


async def outcome(suite: Suite, partner: Mapping[str, Any], course: Mapping[str, Any]) -> dict[str, Any]:
    """What three services say happened; each figure from the one that owns it."""
    states = await suite.rows(
        "enrollment",
        "select state, count(*) as n from enrollments where course_id = $1 group by state",
        course["course_id"],
    )
    open_ = await suite.rows("academy", "select enrollment_id from learnings where course_id = $1", course["course_id"])
    return {
        "states": {row["state"]: row["n"] for row in states},
        "available": (await suite.wallet(partner["partner_id"]))["available"],
        "learnings": len(open_),
        "ledger": (await suite.get("billing", "/v1/ledger/check"))["total"],
    }


EXPECTED = {"states": {"confirmed": 50, "refused": 10}, "available": 0, "learnings": 50, "ledger": 0}


@pytest.mark.parametrize("victim", ["enrollment", "billing", "academy", "broker", "postgres"])
async def test_a_kill_in_the_middle_loses_nothing_and_charges_nobody_twice(suite: Suite, victim: str) -> None:
    partner = await suite.partner(credits=CREDITS)
    course = await suite.course(credits=PRICE)
    people = await asyncio.gather(*(suite.person(partner) for _ in range(PEOPLE)))
    parts = suite.processes.parts
    doomed = {"broker": parts.broker, "postgres": parts.postgres}.get(victim) or suite.processes.service(victim)
    load = asyncio.create_task(enroll_everybody(suite, partner, course, list(people)))
    await half_way(suite, course)

    await asyncio.to_thread(doomed.kill9)
    await asyncio.to_thread(doomed.start)

    await load
    await suite.settle(90)
    assert await outcome(suite, partner, course) == EXPECTED


@contextmanager
def apart(suite: Suite, name: str) -> Iterator[Service]:
    """A service as two processes, its API and its worker, for the length of a block."""
    running = suite.processes
    whole = running.service(name)
    split = Service(name, running.directory, python_module(name), ["api", "worker"], free_port(), whole.env, {})
    whole.stop()
    try:
        split.start()
        running.services[name], suite.urls[name] = split, split.url
        yield split
    finally:
        split.stop()
        running.services[name], suite.urls[name] = whole, whole.url
        whole.start()


async def test_the_api_and_the_worker_of_a_service_may_each_be_killed_alone(suite: Suite) -> None:
    partner = await suite.partner(credits=CREDITS)
    course = await suite.course(credits=PRICE)
    people = await asyncio.gather(*(suite.person(partner) for _ in range(PEOPLE)))
    await suite.listening()  # asked while the process that answers requests also reads
    with apart(suite, "enrollment") as enrollment:
        load = asyncio.create_task(enroll_everybody(suite, partner, course, list(people)))
        await half_way(suite, course)

        for role in ("worker", "api"):
            await asyncio.to_thread(enrollment.process(role).kill9)
            await asyncio.to_thread(enrollment.process(role).start)

        await load
        await suite.settle(90)
        assert await outcome(suite, partner, course) == EXPECTED


async def half_way(suite: Suite, course: Mapping[str, Any]) -> None:
    """Until some enrollments exist and most are still to come."""
    async with asyncio.timeout(30):
        while True:
            rows = await suite.rows(
                "enrollment", "select count(*) as n from enrollments where course_id = $1", course["course_id"]
            )
            if rows[0]["n"] >= PEOPLE // 4:
                return
            await asyncio.sleep(0.01)


async def test_contracts_killed_in_the_middle_still_tells_everybody_of_every_partner(suite: Suite) -> None:
    async def make(number: int) -> str:
        body = {"name": f"Partner {uuid4().hex[:8]} {number}", "kind": "default", "wallet": True, "language": "en"}
        key = str(uuid4())
        answer = await insistent(lambda: suite.call("POST", "contracts", "/v1/partners", body, key=key))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["partner_id"])

    made = await killedhalf_way(suite, "contracts", make)

    for partner_id in made:
        assert (await suite.wallet(partner_id))["balance"] == 0


async def test_catalog_killed_in_the_middle_still_tells_everybody_of_every_course(suite: Suite) -> None:
    partner = await suite.partner(credits=1)
    person = await suite.person(partner)

    async def make(number: int) -> str:
        body = suite.course_body(credits=number + 1)
        key = str(uuid4())
        answer = await insistent(lambda: suite.call("POST", "catalog", "/v1/courses", body, key=key))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["course_id"])

    made = await killedhalf_way(suite, "catalog", make)

    for number, course_id in enumerate(made):
        offer = await suite.get("enrollment", "/v1/offers", person_id=person["person_id"], course_id=course_id)
        assert offer["credits"] == number + 1


async def killedhalf_way(suite: Suite, victim: str, make: Callable[[int], Awaitable[str]]) -> list[str]:
    """What was made by twenty requests, two at a time, while the service that answers them was killed."""
    made: dict[int, str] = {}
    numbers = iter(range(20))

    async def worker() -> None:
        for number in numbers:
            made[number] = await make(number)

    load = [asyncio.create_task(worker()) for _ in range(2)]
    async with asyncio.timeout(30):
        while len(made) < 5:
            await asyncio.sleep(0.01)
    service = suite.processes.service(victim)
    await asyncio.to_thread(service.kill9)
    await asyncio.to_thread(service.start)
    await asyncio.gather(*load)
    await suite.settle(60)
    return [made[number] for number in sorted(made)]


async def test_reading_everything_again_changes_nothing_and_sends_no_mail(suite: Suite) -> None:
    partner = await suite.partner(credits=5)
    course = await suite.course(credits=PRICE)
    people = [await suite.person(partner) for _ in range(4)]
    await enroll_everybody(suite, partner, course, people)
    await suite.settle()
    before = await outcome(suite, partner, course), await everything(suite)
    assert before[0]["states"] == {"confirmed": 2, "refused": 2}

    await suite.replay()

    assert (await outcome(suite, partner, course), await everything(suite)) == before


async def everything(suite: Suite) -> dict[str, Any]:
    """Every row that says what is so, in every service: a fingerprint per table."""
    found: dict[str, Any] = {"mails": len(await suite.mails(limit="1000"))}
    for service in suite.processes.services:
        tables = await suite.rows(
            service,
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
            " and has_table_privilege(oid, 'select')",
        )
        for (table,) in tables:
            if table not in DELIVERY:
                (row,) = await suite.rows(
                    service,
                    f"select count(*) as n, md5(string_agg(t::text, '' order by t::text)) as print from \"{table}\" t",
                )
                found[f"{service}.{table}"] = (row["n"], row["print"])
    return found


DELIVERY = {"inbox", "outbox", "once", "alembic_version", "parked", "waiting"}
"""Tables about deliveries, not about what is so."""
