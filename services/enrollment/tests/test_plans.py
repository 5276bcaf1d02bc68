"""With a hundred thousand rows in every table that grows, no step of an enrollment reads one of them whole."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from kit.plans import grow, multiply, whole_reads
from kit.testing import Migrated
from schemas.event import Event
from schemas.learning import CourseCompleted
from services.enrollment.tests.world import World, charged

ROWS = 100_000
KIT = ("inbox", "outbox", "mail", "once", "links")
LARGE = ("enrollments", "people", "bulk_rows", "price_changes", *KIT)
OVER = {"state": "'completed'", "step_until": "null", "remind_at": "null", "waits_for": "null"}


@pytest.fixture(scope="module")
async def grown(migrated: Migrated) -> AsyncIterator[World]:
    """An enrollment service that has been at it for years: nearly all is over, a hundredth is under way."""
    async with migrated.running() as running:
        world = World(running)
        person = await world.person(partner_id=await world.partner())
        await world.enrolled(person, await world.credit_course(5))
        await grow(running.service, ROWS, *KIT)
        await multiply(running.service, "people", ROWS, id="uuidv7()", email="'p' || n || '@people.example'")
        new = {"id": "uuidv7()", "person_id": "gen_random_uuid()", "partner_id": "gen_random_uuid()"}
        await multiply(running.service, "enrollments", ROWS, **new, **OVER)
        await multiply(running.service, "enrollments", ROWS // 100, **new)
        yield world


@pytest.fixture
def scans(grown: World) -> Iterator[list[str]]:
    with whole_reads(grown.running.service, *LARGE) as found:
        yield found


async def test_an_association_from_the_request_to_the_completion(grown: World, scans: list[str]) -> None:
    person = await grown.person(partner_id=await grown.partner(admin=None))
    made = await grown.enrolled(person, await grown.credit_course(5))
    await grown.charged(made)
    await grown.running.deliver(completed(made))

    assert (await grown.enrollment(made))["state"] == "completed"
    assert scans == []


async def test_a_request_and_its_approval(grown: World, scans: list[str]) -> None:
    partner = await grown.partner(admin=None)
    manager = await grown.person("manager@people.example", partner_id=partner, roles=["manager"])
    person = await grown.person(partner_id=partner, manager_id=manager["person_id"])
    made = await grown.enrolled(person, await grown.credit_course(5), "requested")
    await grown.held(made)

    approved = await grown.act(made, "approve", by="manager@people.example")

    assert approved.json()["state"] == "approved", approved.text
    assert scans == []


async def test_a_hundred_answers_in_one_batch(grown: World, scans: list[str]) -> None:
    partner, course = await grown.partner(), await grown.credit_course(5)
    made = [await grown.enrolled(await grown.person(partner_id=partner), course) for _ in range(10)]

    await grown.running.deliver(*(charged(e) for e in made))

    assert scans == []


@pytest.mark.parametrize("path", ["/v1/enrollments", "/v1/people", "/v1/enrollment-batches"])
async def test_the_first_page_of_a_list_for_a_partner_or_customer_that_has_few(
    grown: World, scans: list[str], path: str
) -> None:
    partner = await grown.partner(admin=None)
    customer = await grown.customer()
    for kind, tenant_id in (("partner", partner), ("customer", customer)):
        email = f"{tenant_id.hex}@small.example"
        await grown.grant(f"{kind}_admin", kind, tenant_id, email)

        answer = await grown.running.get(path, email=email)

        assert (answer.status_code, answer.json().get("items")) == (200, []), answer.text
    assert scans == []


@pytest.mark.parametrize("path", ["/v1/enrollments", "/v1/people", "/v1/sagas"])
async def test_the_first_page_of_a_list_for_staff(grown: World, scans: list[str], path: str) -> None:
    assert (await grown.running.get(path)).status_code == 200
    assert scans == []


async def test_every_job_finds_its_work(grown: World, scans: list[str]) -> None:
    for job in grown.running.service.jobs:
        await grown.running.run_job(job.name)

    assert scans == []


def completed(made: dict[str, Any]) -> Event:
    return CourseCompleted(
        **{name: made[name] for name in ("enrollment_id", "person_id", "course_id", "partner_id")},
        version=1,
        completed_at=made["created_at"],
    )
