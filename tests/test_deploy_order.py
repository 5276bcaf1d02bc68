"""Services are deployed in any order: each starts alone, waits for no other, and takes up what it missed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from schemas.event import all_events
from stack import processes
from tests.suite import Suite

IN_THIS_ORDER = ("academy", "enrollment", "catalog", "contracts", "billing")
"""Readers before their senders: academy and enrollment. A reader long after its senders: billing."""

LISTS = {
    "academy": "/v1/certificates",
    "enrollment": "/v1/people",
    "catalog": "/v1/courses",
    "contracts": "/v1/partners",
    "billing": "/v1/wallets",
}


@pytest.fixture
async def alone(request: pytest.FixtureRequest) -> AsyncIterator[processes.Suite]:
    """The first service on a Kafka and a PostgreSQL that saw no other before."""
    with processes.suite(request.config.rootpath / ".stack" / "order", services=IN_THIS_ORDER[:1]) as tandem:
        yield tandem


async def test_services_that_come_one_by_one_end_up_doing_the_main_job(alone: processes.Suite) -> None:
    for number, name in enumerate(IN_THIS_ORDER[:-1], 1):
        if name not in alone.services:
            await asyncio.to_thread(alone.add, name)
        suite = Suite(alone)
        assert await suite.get(name, LISTS[name]) == {"items": []}
        await ready_without(suite, name, set(IN_THIS_ORDER[number:]))
        await suite.aclose()

    suite = Suite(alone)
    customer, supplier = await suite.customer(), await suite.supplier()
    sold = await suite.supplier_course(supplier, kind="elearning", sessions=[])
    person = await suite.person(customer_id=customer["customer_id"])
    waits = await suite.associate(person, sold, wait=0)
    assert (waits.status_code, waits.json()["step"]["waiting_for"]) == (202, "invoice.instructed"), waits.text
    await suite.aclose()

    await asyncio.to_thread(alone.add, "billing")
    suite = Suite(alone)
    await suite.settle()

    enrolled = await suite.enrollment(waits.json()["enrollment_id"])
    assert enrolled["state"] == "confirmed"
    await suite.post("academy", f"/v1/learnings/{enrolled['enrollment_id']}/complete", by=person["email"])
    await suite.settle()
    assert (await suite.enrollment(enrolled["enrollment_id"]))["state"] == "completed"
    assert len((await suite.get("academy", LISTS["academy"], by=person["email"]))["items"]) == 1
    for name in IN_THIS_ORDER:
        await ready_without(suite, name, set())
    await suite.aclose()


async def ready_without(suite: Suite, name: str, others: set[str]) -> None:
    """Until a service is ready, alive, and misses exactly the topics of the others."""
    async with asyncio.timeout(20):
        while True:
            ready = (await suite.http.get(f"{suite.urls[name]}/readyz")).json()
            expected = {e.topic for e in all_events() if e.topic in ready["listens"] and e.source in others}
            if (ready["status"], set(ready["topics_missing"])) == ("ready", expected):
                break
            await asyncio.sleep(0.1)
    assert (await suite.http.get(f"{suite.urls[name]}/healthz")).status_code == 200
