"""One enrollment's events in every order, doubled and cut into batches in every way: the end is the same."""

import asyncio
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.testing import Running
from schemas.enrollment import (
    EnrollmentApproved,
    EnrollmentCancelled,
    EnrollmentDeclined,
    EnrollmentExpired,
    EnrollmentFact,
    EnrollmentRefused,
    EnrollmentRequested,
    EnrollmentWithdrawn,
)
from schemas.event import uuid7
from services.billing.tests.facts import billed, customer, fact, partner, supplier

ENDS: dict[str, tuple[type[EnrollmentFact], ...]] = {
    "declined": (EnrollmentRequested, EnrollmentDeclined),
    "withdrawn": (EnrollmentRequested, EnrollmentWithdrawn),
    "expired": (EnrollmentRequested, EnrollmentExpired),
    "stuck as requested": (EnrollmentRequested, EnrollmentRefused),
    "stuck as approved": (EnrollmentApproved, EnrollmentCancelled),
    "cancelled": (EnrollmentRequested, EnrollmentApproved, EnrollmentCancelled),
}
"""Lives after which nothing is left charged: everything goes back, whatever came first."""

many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
few = settings(many, max_examples=20)


@pytest.fixture(scope="module")
def partner_id() -> UUID:
    return uuid7()


@pytest.fixture(scope="module")
async def wallet(shared: Running, partner_id: UUID) -> Running:
    """A wallet of 1,000 credits, and a customer and supplier with that same id."""
    await shared.deliver(partner(partner_id), customer(partner_id), supplier(partner_id))
    answer = await shared.post(f"/v1/wallets/{partner_id}/top-ups", {"credits": 1000, "reason": "Order 1"})
    assert answer.status_code == 201
    return shared


@st.composite
def tellings(draw: st.DrawFn, life: tuple[type[EnrollmentFact], ...]) -> list[list[tuple[type[EnrollmentFact], bool]]]:
    """Batches of events: each at least once, some again (under a new event id), in any order."""
    again = draw(st.lists(st.sampled_from(life), max_size=3))
    order = draw(st.permutations([*((kind, False) for kind in life), *((kind, True) for kind in again)]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=3)))
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@many
@given(st.data())
async def test_whatever_the_order_a_life_that_came_to_nothing_costs_nothing(
    wallet: Running, partner_id: UUID, data: st.DataObject
) -> None:
    life = ENDS[data.draw(st.sampled_from(sorted(ENDS)))]
    enrollment_id = uuid7()

    for batch in data.draw(tellings(life)):
        await wallet.deliver(*(fact(kind, enrollment_id, partner_id, 7) for kind, _ in batch))

    found = (await wallet.get(f"/v1/wallets/{partner_id}")).json()
    assert (found["available"], found["held"]) == (1000, 0)
    [charge] = await wallet.rows("select * from charges where enrollment_id = :id", id=enrollment_id)
    assert charge["state"] in ("released", "cancelled", "closed")
    assert charge["captured"] == charge["refunded"]


@many
@given(st.data())
async def test_whatever_the_order_a_request_and_its_approval_are_charged_once(
    wallet: Running, partner_id: UUID, data: st.DataObject
) -> None:
    enrollment_id = uuid7()
    before = (await wallet.get(f"/v1/wallets/{partner_id}")).json()["available"]

    for batch in data.draw(tellings((EnrollmentRequested, EnrollmentApproved))):
        await wallet.deliver(*(fact(kind, enrollment_id, partner_id, 7) for kind, _ in batch))

    found = (await wallet.get(f"/v1/wallets/{partner_id}")).json()
    assert (found["available"], found["held"]) == (before - 7, 0)
    await wallet.deliver(fact(EnrollmentCancelled, enrollment_id, partner_id, 7))


@many
@given(st.data())
async def test_whatever_the_order_nothing_stays_instructed_that_was_cancelled(
    wallet: Running, partner_id: UUID, data: st.DataObject
) -> None:
    enrollment_id = uuid7()

    for batch in data.draw(tellings((EnrollmentApproved, EnrollmentCancelled))):
        await wallet.deliver(*(billed(kind, enrollment_id, partner_id, partner_id) for kind, _ in batch))

    [row] = await wallet.rows("select * from instructions where enrollment_id = :id", id=enrollment_id)
    assert row["state"] in ("withdrawn", "closed")
    assert all(invoice["net"]["amount"] == 0 for invoice in row["invoices"])


@few
@given(st.data())
async def test_told_by_several_consumers_at_once_a_life_ends_as_in_any_order(
    wallet: Running, partner_id: UUID, data: st.DataObject
) -> None:
    """Each batch in a transaction of its own, all at the same time, as after a rebalance behind running handlers."""
    came_to_nothing, charged = uuid7(), uuid7()
    life = ENDS[data.draw(st.sampled_from(sorted(ENDS)))]
    told = [[fact(kind, came_to_nothing, partner_id, 7) for kind, _ in batch] for batch in data.draw(tellings(life))]
    asked = data.draw(tellings((EnrollmentRequested, EnrollmentApproved)))
    told += [[fact(kind, charged, partner_id, 5) for kind, _ in batch] for batch in asked]
    before = (await wallet.get(f"/v1/wallets/{partner_id}")).json()["available"]

    await asyncio.gather(*(wallet.deliver(*batch, *batch) for batch in told))

    found = (await wallet.get(f"/v1/wallets/{partner_id}")).json()
    assert (found["available"], found["held"]) == (before - 5, 0)
    states = await wallet.rows("select enrollment_id, state, captured - refunded as kept from charges")
    kept = {row["enrollment_id"]: row["kept"] for row in states}
    assert (kept[came_to_nothing], kept[charged]) == (0, 5)
    assert await wallet.parked() == []
    await wallet.deliver(fact(EnrollmentCancelled, charged, partner_id, 5))


async def test_after_all_of_it_the_ledger_is_sound(wallet: Running) -> None:
    assert (await wallet.get("/v1/ledger/check")).json()["ok"]
