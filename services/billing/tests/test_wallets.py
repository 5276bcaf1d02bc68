"""Wallets on a real database: opening, charging, running dry, being filled again."""

from uuid import UUID

from kit.testing import Running
from schemas.credits import (
    CreditsCharged,
    CreditsRefused,
)
from schemas.enrollment import (
    EnrollmentApproved,
)
from schemas.event import uuid7
from services.billing.tests.facts import fact, partner


async def opened(billing: Running, credits: int = 0) -> UUID:
    """A partner with a wallet of so many credits."""
    partner_id = uuid7()
    await billing.deliver(partner(partner_id))
    if credits:
        await top_up(billing, partner_id, credits)
    return partner_id


async def top_up(billing: Running, partner_id: UUID, credits: int) -> None:
    answer = await billing.post(f"/v1/wallets/{partner_id}/top-ups", {"credits": credits, "reason": "Order 1"})
    assert answer.status_code == 201, answer.text


async def wallet(billing: Running, partner_id: UUID) -> dict[str, object]:
    answer = await billing.get(f"/v1/wallets/{partner_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


async def balances(billing: Running, partner_id: UUID) -> tuple[object, object]:
    found = await wallet(billing, partner_id)
    return found["available"], found["held"]


async def sound(billing: Running) -> bool:
    """The ledger adds up, and every wallet agrees with it."""
    check = (await billing.get("/v1/ledger/check")).json()
    assert check["ok"], check
    return True


async def test_a_partner_that_pays_by_wallet_gets_one_empty(billing: Running) -> None:
    partner_id = await opened(billing)

    found = await wallet(billing, partner_id)

    assert (found["available"], found["held"], found["balance"], found["depleted"]) == (0, 0, 0, False)
    assert await billing.everything_published() == []


async def test_an_enrollment_is_charged_and_the_next_one_refused(billing: Running) -> None:
    partner_id = await opened(billing, 10)
    anna, bram, carla = uuid7(), uuid7(), uuid7()

    await billing.deliver(
        fact(EnrollmentApproved, anna, partner_id, 6),
        fact(EnrollmentApproved, bram, partner_id, 5),
        fact(EnrollmentApproved, carla, partner_id, 3),
    )

    charged = await billing.published(CreditsCharged)
    assert [(e.enrollment_id, e.credits, e.available, e.version) for e in charged] == [
        (anna, 6, 4, 1),
        (carla, 3, 1, 1),
    ]
    [refused] = await billing.published(CreditsRefused)
    assert (refused.enrollment_id, refused.credits, refused.available) == (bram, 5, 4)
    assert refused.reason == "not_enough_credits"
    assert await balances(billing, partner_id) == (1, 0)
    assert await sound(billing)
