"""What the steps of the main job cost in a database of ten million rows a table, against one of ten thousand.

Both are on one server and asked in turn, so that what else the machine does hits both alike. Enrollment and billing are
measured in processes of their own, as they share no import; there is no Kafka: records are handed to the inbox.
The large databases take some minutes and 15 GB to fill; another number of rows may be given: GROWTH_ROWS=1000000.
"""

import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from importlib import import_module
from statistics import median
from typing import Any
from uuid import UUID

import uvloop

from bench.results import Result, console
from kit import clock, mail
from kit.plans import grow, multiply
from kit.testing import Migrated, Running
from schemas.course import CoursePublished
from schemas.credits import CreditsCharged
from schemas.enrollment import EnrollmentApproved
from schemas.event import uuid7
from schemas.partner import PartnerChanged
from schemas.values import CreditOffer
from stack.parts import Foreign, LocalParts, Parts

SMALL = 10_000
LARGE = int(os.environ.get("GROWTH_ROWS", 10_000_000))
RUNS = 60
KIT = ("inbox", "outbox", "mail", "parked")
KIT_GROWS_IN = "enrollment"  # They are the same in every service: filling them once is enough.
ANYONE = "uuidv7()"

Step = Callable[[Running], Awaitable[None]]


def run(parts: Parts) -> list[Result]:
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as processes:
        return [
            result
            for service in ("enrollment", "billing")
            for result in processes.apply(of_service, (service, parts.postgres_admin_url))
        ]


def of_service(name: str, admin_url: str) -> list[Result]:
    """Every step of one service, in both databases."""
    alone = Foreign("a benchmark leaves it alone")
    parts = LocalParts("127.0.0.1:1", admin_url, alone, alone, ())  # Nothing runs in the background: no Kafka.
    return uvloop.run(_of_service(name, Migrated(parts, import_module(f"{name}.app").service)))


async def _of_service(name: str, migrated: Migrated) -> list[Result]:
    async with AsyncExitStack() as stack:
        small, large = [await stack.enter_async_context(migrated.running()) for _ in range(2)]
        world = {running: await WORLDS[name](running) for running in (small, large)}
        for running, rows in ((small, SMALL), (large, LARGE)):
            began = time.monotonic()
            if name == KIT_GROWS_IN:
                await grow(running.service, rows, *KIT)
            for table, changed in TABLES[name].items():
                await multiply(running.service, table, rows, **changed)
            console.print(f"  [dim]{name}: {rows:,} rows a table in {time.monotonic() - began:.0f} s[/dim]")
        steps = (STEPS if name == KIT_GROWS_IN else {}) | OWN_STEPS[name](world)
        return [await compared(f"growth_{name}_{step}", run, small, large) for step, run in steps.items()]


async def compared(name: str, step: Step, small: Running, large: Running) -> Result:
    """The step's time in the large database, and the median of its ratios to that in the small one."""
    for _ in range(5):
        await step(small)
        await step(large)
    times = []
    for number in range(RUNS):
        pair = {}
        for running in (small, large) if number % 2 else (large, small):
            began = time.perf_counter()
            await step(running)
            pair[running] = (time.perf_counter() - began) * 1000
        times.append((pair[small], pair[large]))
    ours, theirs = median(large for _, large in times), median(small for small, _ in times)
    note = f"{LARGE:,} rows; {theirs:.2f} ms with {SMALL:,}; {RUNS} pairs in turn"
    return Result(name, ours, "ms p50", ours / theirs, 1.5, "less", note)


# -- both services ----------------------------------------------------------------------------------------------


async def retry(running: Running) -> None:
    """Look for parked records that are due, for waiting ones, and for mails."""
    now = clock.now() - timedelta(days=4000)  # before the oldest row, so that there is nothing to do
    await running.service.inbox.retry_due(now)
    await running.service.inbox.look_again(now)
    await mail.Sender(running.service.database.worker, running.service.settings).send_due(now)


STEPS: dict[str, Step] = {"look_for_due": retry}


# -- enrollment -------------------------------------------------------------------------------------------------


async def enrollment_world(running: Running) -> dict[str, Any]:
    """A partner, a course, and an enrollment to copy."""
    partner_id, course_id = uuid7(), uuid7()
    await running.deliver(
        PartnerChanged(partner_id=partner_id, version=1, name="Learning Lab", wallet=True),
        CoursePublished(
            course_id=course_id,
            version=1,
            title="Giving Feedback",
            kind="elearning",
            offered_by="platform",
            certificate=True,
            credits=CreditOffer(scope="all", general_value=3),
        ),
    )
    world = {"partner_id": partner_id, "course_id": course_id}
    await enroll(running, world)
    return world


async def enroll(running: Running, world: Mapping[str, UUID]) -> Any:
    address = f"p{uuid7().hex}@people.example"
    body = {"name": "Pia Participant", "email": address, "partner_id": str(world["partner_id"])}
    person = (await running.post("/v1/people", body)).json()
    wish = {"person_id": person["person_id"], "course_id": str(world["course_id"]), "way": "associated"}
    answer = await running.post("/v1/enrollments", wish)
    if answer.status_code != 202:
        raise RuntimeError(answer.text)
    return answer.json()


def enrollment_steps(worlds: Mapping[Running, Mapping[str, UUID]]) -> dict[str, Step]:
    async def associate_and_confirm(running: Running) -> None:
        """A person, a place for it, and billing's answer."""
        made = await enroll(running, worlds[running])
        of = {name: made[name] for name in ("enrollment_id", "partner_id", "credits")}
        await running.deliver(CreditsCharged(**of, version=1, available=7))

    async def page_of_a_list(running: Running) -> None:
        (await running.get("/v1/enrollments", limit="20")).raise_for_status()

    return {"associate_and_confirm": associate_and_confirm, "page_of_a_list": page_of_a_list}


# -- billing ----------------------------------------------------------------------------------------------------


async def billing_world(running: Running) -> dict[str, Any]:
    """A wallet that is full, and a charge to copy."""
    partner_id = uuid7()
    await running.deliver(PartnerChanged(partner_id=partner_id, version=1, name="Learning Lab", wallet=True))
    path = f"/v1/wallets/{partner_id}/top-ups"
    answer = await running.post(path, {"credits": 1_000_000, "reason": "a benchmark"})
    answer.raise_for_status()
    world = {"partner_id": partner_id}
    await running.deliver(approved(world))
    return world


def approved(world: Mapping[str, UUID]) -> EnrollmentApproved:
    return EnrollmentApproved(
        version=1,
        enrollment_id=uuid7(),
        person_id=uuid7(),
        course_id=uuid7(),
        partner_id=world["partner_id"],
        way="associated",
        payment="credits",
        credits=3,
        approved_by="user:admin",
        approved_at=clock.now(),
    )


def billing_steps(worlds: Mapping[Running, Mapping[str, UUID]]) -> dict[str, Step]:
    async def charge(running: Running) -> None:
        await running.deliver(approved(worlds[running]))

    async def charge_a_hundred(running: Running) -> None:
        await running.deliver(*(approved(worlds[running]) for _ in range(100)))

    return {"charge": charge, "charge_a_hundred": charge_a_hundred}


WORLDS: dict[str, Callable[[Running], Awaitable[dict[str, Any]]]] = {
    "enrollment": enrollment_world,
    "billing": billing_world,
}
OWN_STEPS: dict[str, Callable[[Mapping[Running, Any]], dict[str, Step]]] = {
    "enrollment": enrollment_steps,
    "billing": billing_steps,
}
OVER = {"state": "'completed'", "step_until": "null", "remind_at": "null", "waits_for": "null"}
TABLES = {
    "enrollment": {"enrollments": {"id": ANYONE, "person_id": ANYONE, "partner_id": ANYONE, **OVER}},
    "billing": {
        "entries": {"partner_id": ANYONE, "cause_id": ANYONE},
        "charges": {"enrollment_id": ANYONE, "partner_id": ANYONE},
        "lot_uses": {"cause_id": ANYONE, "partner_id": ANYONE},
    },
}
"""What grows beside the kit's tables: copies of the first row, each of somebody else."""
