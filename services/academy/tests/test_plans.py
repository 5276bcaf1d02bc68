"""With a hundred thousand rows in every table that grows, no step of learning reads one of them whole."""

from collections.abc import AsyncIterator, Iterator

import pytest

from kit.plans import grow, multiply, whole_reads
from kit.testing import Migrated, Running
from schemas.event import uuid7
from services.academy.tests.world import (
    COURSE,
    PARTNER,
    colleague,
    completed,
    confirmed,
    partner_admin,
    person,
)

ROWS = 100_000
KIT = ("inbox", "outbox", "once")
LARGE = ("people", "learnings", "certificates", *KIT)


@pytest.fixture(scope="module")
async def grown(migrated: Migrated) -> AsyncIterator[Running]:
    """An academy that has been at it for years, mostly for other customers and partners than Pia's."""
    async with migrated.running() as academy:
        over = uuid7()
        await academy.deliver(PARTNER, COURSE, person(), confirmed(over), completed(over))
        await grow(academy.service, ROWS, *KIT)
        theirs = dict.fromkeys(("person_id", "partner_id", "customer_id", "manager_id"), "gen_random_uuid()")
        await multiply(
            academy.service,
            "people",
            ROWS,
            id="uuidv7()",
            email="'p' || n || '@people.example'",
            **theirs,
        )
        await multiply(academy.service, "learnings", ROWS, enrollment_id="uuidv7()", **theirs)
        numbered = {"id": "uuidv7()", "number": "'N' || n", "enrollment_id": "uuidv7()"}
        await multiply(academy.service, "certificates", ROWS, **numbered, **theirs)
        yield academy


@pytest.fixture
def scans(grown: Running) -> Iterator[list[str]]:
    with whole_reads(grown.service, *LARGE) as found:
        yield found


async def test_a_course_is_opened_completed_and_certified(grown: Running, scans: list[str]) -> None:
    enrollment_id = uuid7()
    await grown.deliver(confirmed(enrollment_id))
    done = await grown.post(f"/v1/learnings/{enrollment_id}/complete", email="pia@customer.example")
    await grown.deliver(completed(enrollment_id))

    assert done.status_code == 200, done.text
    number = await grown.value("select number from certificates where enrollment_id = :e", e=enrollment_id)
    assert (await grown.http.get(f"/certificates/{number}")).status_code == 200
    assert scans == []


@pytest.mark.parametrize("path", ["/v1/learnings", "/v1/certificates"])
async def test_the_first_page_of_a_list_for_the_few_who_may_see_it(grown: Running, scans: list[str], path: str) -> None:
    await grown.deliver(partner_admin("ada@partner.example"), colleague("hr@customer.example", "hr"))

    for email in ("pia@customer.example", "hr@customer.example", "ada@partner.example"):
        answer = await grown.get(path, email=email)
        assert answer.status_code == 200, answer.text
    assert scans == []


async def test_every_job_finds_its_work(grown: Running, scans: list[str]) -> None:
    for job in grown.service.jobs:
        await grown.run_job(job.name)

    assert scans == []
