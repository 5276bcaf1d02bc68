"""A new price for a confirmed place: proposed with a reason, agreed by who it concerns (ENR-8)."""

from typing import Any

import pytest

from kit.testing import problem
from schemas.enrollment import EnrollmentRepriced
from services.enrollment.tests.test_approvals import mails_to, press
from services.enrollment.tests.world import SUPPLIER, World

LEARNER = "lena@acme.example"
ADMIN = "carl@acme.example"


async def place(world: World) -> dict[str, Any]:
    """A confirmed place of 100.00, of which the customer pays 92.50."""
    customer_id = await world.customer(admin=ADMIN)
    person = await world.person(LEARNER, customer_id=customer_id, name="Lena Bos")
    made: dict[str, Any] = await world.enrolled(person, await world.supplier_course(await world.supplier()))
    await world.instructed(made)
    return made


async def propose(world: World, made: dict[str, Any], amount: int, by: str = SUPPLIER) -> Any:
    path = f"/v1/enrollments/{made['enrollment_id']}/price-change"
    return await world.running.post(path, {"amount": amount, "reason": "a smaller group"}, email=by)


async def newest(world: World, address: str) -> dict[str, Any]:
    return [mail for mail in await mails_to(world, address) if mail["event"].startswith("price/")][-1]


async def test_a_lower_price_needs_only_the_participants_consent(world: World) -> None:
    made = await place(world)

    proposed = await propose(world, made, 8_000)
    assert (proposed.status_code, proposed.json()["awaits"]) == (201, ["participant"])
    assert (await world.enrollment(made))["price"]["price"] == 10_000
    pressed = await press(world, await newest(world, LEARNER), "agree")

    assert "the new price holds" in pressed.text
    now = await world.enrollment(made)
    # 15 % of 80.00 is 12.00, half of it 6.00.
    assert (now["price"]["price"], now["price"]["discount"], now["price"]["fee"]) == (8_000, 1_200, 600)
    assert (now["version"], now["history"][-1]["old_price"]["price"]) == (3, 10_000)
    (fact,) = await world.running.published(EnrollmentRepriced)
    assert fact.price is not None
    assert (fact.price.price, fact.old_price.price, fact.reason, fact.version) == (8_000, 10_000, "a smaller group", 3)


async def test_a_higher_price_needs_the_approver_too(world: World) -> None:
    made = await place(world)
    await propose(world, made, 12_000)

    await press(world, await newest(world, LEARNER), "agree")
    assert (await world.enrollment(made))["price"]["price"] == 10_000
    path = f"/v1/enrollments/{made['enrollment_id']}/price-change"
    waiting = (await world.running.get(path, email=LEARNER)).json()
    agreed = await world.running.post(f"{path}/agree", email=ADMIN)

    assert (waiting["state"], waiting["awaits"]) == ("open", ["approver"])
    assert agreed.json()["state"] == "agreed"
    assert (await world.enrollment(made))["price"]["price"] == 12_000


async def test_one_no_keeps_the_price(world: World) -> None:
    made = await place(world)
    await propose(world, made, 12_000)

    await press(world, await newest(world, ADMIN), "decline")
    late = await press(world, await newest(world, LEARNER), "agree")

    assert (late.status_code, "the price stays" in late.text) == (409, True)
    assert (await world.enrollment(made))["price"]["price"] == 10_000
    assert await world.running.published(EnrollmentRepriced) == []


async def test_a_newer_proposal_takes_the_older_ones_place(world: World) -> None:
    made = await place(world)
    await propose(world, made, 9_000)
    old = await newest(world, LEARNER)
    await propose(world, made, 7_000)

    late = await press(world, old, "agree")
    await press(world, await newest(world, LEARNER), "agree")

    assert late.status_code == 409
    assert (await world.enrollment(made))["price"]["price"] == 7_000


@pytest.mark.parametrize("by", [LEARNER, ADMIN])
async def test_only_the_supplier_and_support_propose(world: World, by: str) -> None:
    assert problem(await propose(world, await place(world), 8_000, by))["type"] == "/problems/role-missing"


async def test_a_price_cannot_change_for_credits_or_after_the_end(world: World) -> None:
    credit = await world.enrolled(await world.person(partner_id=await world.partner()), await world.credit_course(5))
    await world.charged(credit)
    made = await place(world)
    await propose(world, made, 8_000)
    await world.act(made, "cancel", reason="ill")

    late = await press(world, await newest(world, LEARNER), "agree")

    assert problem(await propose(world, credit, 8_000, "admin@tandem.example"))["type"] == "/problems/not-invoiced"
    assert problem(await propose(world, made, 8_000))["type"] == "/problems/not-open"
    assert (late.status_code, await world.running.published(EnrollmentRepriced)) == (409, [])
