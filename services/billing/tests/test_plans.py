"""With a hundred thousand rows in every table that grows, no step of a charge or an instruction reads one whole."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest

from kit.plans import grow, multiply, whole_reads
from kit.testing import Migrated, Running
from schemas.access import AccessChanged
from schemas.enrollment import EnrollmentApproved, EnrollmentCancelled, EnrollmentRequested
from schemas.event import uuid7
from services.billing.tests.facts import billed, customer, fact, partner, supplier
from services.billing.tests.test_wallets import balances, opened, top_up

ROWS = 100_000
KIT = ("inbox", "outbox", "once")
LARGE = ("entries", "charges", "lots", "lot_uses", "instructions", *KIT)


@pytest.fixture(scope="module")
async def grown(migrated: Migrated) -> AsyncIterator[Running]:
    """A billing service that has been at it for years."""
    async with migrated.running() as billing:
        await billing.deliver(fact(EnrollmentApproved, uuid7(), await opened(billing, 100)))
        ids = (uuid7(), uuid7())
        await billing.deliver(customer(ids[0]), supplier(ids[1]), billed(EnrollmentApproved, uuid7(), *ids))
        await grow(billing.service, ROWS, *KIT)
        anew = "gen_random_uuid()"
        await multiply(billing.service, "entries", ROWS, partner_id=anew, cause_id=anew)
        await multiply(billing.service, "charges", ROWS, enrollment_id="uuidv7()", partner_id=anew)
        await multiply(billing.service, "lots", ROWS, id="uuidv7()", partner_id=anew, remaining="0")
        await multiply(billing.service, "lot_uses", ROWS, cause_id="uuidv7()", lot_id=anew, partner_id=anew)
        parties = {"customer_id": anew, "supplier_id": anew, "reference": "'E-' || n"}
        await multiply(
            billing.service, "instructions", ROWS, "reference is not null", enrollment_id="uuidv7()", **parties
        )
        yield billing


@pytest.fixture
def scans(grown: Running) -> Iterator[list[str]]:
    with whole_reads(grown.service, *LARGE) as found:
        yield found


async def test_credits_are_topped_up_held_captured_and_refunded(grown: Running, scans: list[str]) -> None:
    partner_id, enrollment_id = await opened(grown, 10), uuid7()
    await top_up(grown, partner_id, 5)
    await grown.deliver(fact(EnrollmentRequested, enrollment_id, partner_id))
    await grown.deliver(fact(EnrollmentApproved, enrollment_id, partner_id, version=2))
    await grown.deliver(fact(EnrollmentCancelled, enrollment_id, partner_id, version=3))

    assert await balances(grown, partner_id) == (15, 0)
    assert scans == []


async def test_two_hundred_charges_in_one_batch(grown: Running, scans: list[str]) -> None:
    partner_id = await opened(grown, 1000)

    await grown.deliver(*(fact(EnrollmentApproved, uuid7(), partner_id) for _ in range(200)))

    assert await balances(grown, partner_id) == (200, 0)
    assert scans == []


async def test_an_instruction_is_made(grown: Running, scans: list[str]) -> None:
    customer_id, supplier_id = uuid7(), uuid7()
    await grown.deliver(customer(customer_id), supplier(supplier_id))

    await grown.deliver(billed(EnrollmentApproved, uuid7(), customer_id, supplier_id))

    assert scans == []


@pytest.mark.parametrize("path", ["/v1/instructions", "/v1/wallets", "/v1/wallets/{tenant_id}/entries"])
async def test_the_first_page_of_a_list_for_a_partner_that_has_few(grown: Running, scans: list[str], path: str) -> None:
    partner_id = await small(grown)

    answer = await grown.get(path.format(tenant_id=partner_id), email=f"{partner_id.hex}@small.example")

    assert (answer.status_code, len(answer.json()["items"])) == (200, 1 if path == "/v1/wallets" else 0), answer.text
    assert scans == []


async def test_every_job_finds_its_work(grown: Running, scans: list[str]) -> None:
    for job in grown.service.jobs:
        await grown.run_job(job.name)

    assert scans == []


async def small(grown: Running) -> UUID:
    """A partner with an empty wallet, and an admin."""
    partner_id = uuid7()
    await grown.deliver(
        partner(partner_id),
        AccessChanged(
            grant_id=uuid7(),
            version=1,
            role="partner_admin",
            tenant_kind="partner",
            tenant_id=partner_id,
            email=f"{partner_id.hex}@small.example",
        ),
    )
    return partner_id
