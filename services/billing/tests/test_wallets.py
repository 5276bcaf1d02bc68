"""Wallets on a real database: opening, charging, running dry, being filled again."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from billing.wallets.rules import CREDITS_MAX
from kit import clock
from kit.testing import ADMIN, Running, problem
from schemas.access import AccessChanged
from schemas.credits import (
    CreditsCharged,
    CreditsDepleted,
    CreditsHeld,
    CreditsRefunded,
    CreditsRefused,
    CreditsReleased,
    CreditsReplenished,
    CreditsToppedUp,
)
from schemas.enrollment import (
    EnrollmentApproved,
    EnrollmentCancelled,
    EnrollmentDeclined,
    EnrollmentRefused,
    EnrollmentRequested,
)
from schemas.event import as_json, uuid7
from services.billing.tests.facts import fact, partner

PLATFORM = "platform@tandem.example"


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


async def admin_of(billing: Running, partner_id: UUID, email: str) -> None:
    await billing.deliver(
        AccessChanged(
            grant_id=uuid7(),
            version=1,
            role="partner_admin",
            tenant_kind="partner",
            tenant_id=partner_id,
            email=email,
        )
    )


async def balances(billing: Running, partner_id: UUID) -> tuple[int, int]:
    found = (await billing.get(f"/v1/wallets/{partner_id}")).json()
    return found["available"], found["held"]


async def assert_sound(billing: Running) -> None:
    """The ledger adds up, and every wallet agrees with its entries, lots and charges."""
    check = (await billing.get("/v1/ledger/check")).json()
    assert check["ok"], check
    assert check["total"] == 0


async def test_a_partner_that_pays_by_wallet_gets_one_empty(billing: Running) -> None:
    partner_id = await opened(billing)

    found = (await billing.get(f"/v1/wallets/{partner_id}")).json()

    assert (found["available"], found["held"], found["balance"], found["depleted"]) == (0, 0, 0, False)
    assert found["partner_name"] == "Learning Lab"
    assert await billing.everything_published() == []


async def test_a_partner_that_does_not_pay_by_wallet_has_none(billing: Running) -> None:
    partner_id = uuid7()
    await billing.deliver(partner(partner_id, wallet=False))

    answer = await billing.get(f"/v1/wallets/{partner_id}")

    assert problem(answer)["type"] == "/problems/wallet-not-found"


async def test_a_dear_enrollment_is_refused_and_the_cheaper_one_behind_it_is_charged(billing: Running) -> None:
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
    await assert_sound(billing)


async def test_a_request_is_held_then_captured(billing: Running) -> None:
    partner_id, anna = await opened(billing, 10), uuid7()

    await billing.deliver(fact(EnrollmentRequested, anna, partner_id, 4))
    assert await balances(billing, partner_id) == (6, 4)
    await billing.deliver(fact(EnrollmentApproved, anna, partner_id, 4))

    assert await balances(billing, partner_id) == (6, 0)
    [held], [charged] = await billing.published(CreditsHeld), await billing.published(CreditsCharged)
    assert (held.version, held.credits, held.available) == (1, 4, 6)
    assert (charged.version, charged.credits, charged.available) == (2, 4, 6)
    await assert_sound(billing)


async def test_a_declined_request_gives_its_hold_back(billing: Running) -> None:
    partner_id, anna = await opened(billing, 10), uuid7()
    await billing.deliver(fact(EnrollmentRequested, anna, partner_id, 4))

    await billing.deliver(fact(EnrollmentDeclined, anna, partner_id, 4))

    [released] = await billing.published(CreditsReleased)
    assert (released.credits, released.available, released.version) == (4, 10, 2)
    assert await balances(billing, partner_id) == (10, 0)
    await assert_sound(billing)


async def test_a_cancellation_gives_back_its_share_to_the_lots_that_paid(billing: Running) -> None:
    partner_id, anna = await opened(billing, 3), uuid7()
    await billing.post(
        f"/v1/wallets/{partner_id}/top-ups",
        {"credits": 3, "reason": "Order 2", "expires_at": "2099-01-01T00:00:00Z"},
    )
    await billing.deliver(fact(EnrollmentApproved, anna, partner_id, 5))

    await billing.deliver(fact(EnrollmentCancelled, anna, partner_id, 5, credits_returned=3, credits_kept=2))

    [refunded] = await billing.published(CreditsRefunded)
    assert (refunded.credits, refunded.kept, refunded.available) == (3, 2, 4)
    lots = await billing.rows("select remaining from lots order by expires_at nulls last")
    assert [lot["remaining"] for lot in lots] == [1, 3]  # the later one was spent last, so it is filled first
    shown = (await billing.get(f"/v1/wallets/{partner_id}/lots")).json()["items"]
    assert [(lot["credits"], lot["remaining"], lot["expires_at"]) for lot in shown] == [
        (3, 1, "2099-01-01T00:00:00Z"),
        (3, 3, None),
    ]
    await assert_sound(billing)


async def test_expired_credits_pay_nothing_and_their_expiry_is_an_entry(billing: Running) -> None:
    partner_id, anna, bram = await opened(billing, 3), uuid7(), uuid7()
    await expiring(billing, partner_id, 4)
    await billing.deliver(fact(EnrollmentApproved, anna, partner_id, 1))
    await days_pass(billing)

    await billing.deliver(fact(EnrollmentApproved, bram, partner_id, 5))

    [refused] = await billing.published(CreditsRefused)
    assert (refused.enrollment_id, refused.available) == (bram, 3)
    [expiry] = await history(billing, partner_id, "expiry")
    assert (expiry["credits"], expiry["balance_after"], expiry["actor"]) == (-3, 3, "system:expiry")
    await assert_sound(billing)

    # What is refunded goes back to the lot that paid, and expires with the next decision.
    await billing.deliver(fact(EnrollmentCancelled, anna, partner_id, 1, credits_returned=1, credits_kept=0))
    assert await balances(billing, partner_id) == (4, 0)
    late = await billing.post(f"/v1/wallets/{partner_id}/deductions", {"credits": 4, "reason": "Order 1"})
    assert (problem(late)["type"], problem(late)["available"]) == ("/problems/deduction-too-large", 3)
    await top_up(billing, partner_id, 2)

    assert await balances(billing, partner_id) == (5, 0)
    assert [entry["credits"] for entry in await history(billing, partner_id, "expiry")] == [-3, -1]
    await assert_sound(billing)


async def test_a_wallet_that_expiry_empties_is_depleted_once(billing: Running) -> None:
    partner_id = await opened(billing)
    await expiring(billing, partner_id, 4)
    await days_pass(billing)

    await billing.deliver(*(fact(EnrollmentApproved, uuid7(), partner_id, 4) for _ in range(2)))

    assert [(e.episode, e.available) for e in await billing.published(CreditsDepleted)] == [(1, 0)]
    assert len(await billing.published(CreditsRefused)) == 2
    await assert_sound(billing)


async def expiring(billing: Running, partner_id: UUID, credits: int) -> None:
    body = {"credits": credits, "reason": "Order 2", "expires_at": "2099-01-01T00:00:00Z"}
    assert (await billing.post(f"/v1/wallets/{partner_id}/top-ups", body)).status_code == 201


async def days_pass(billing: Running) -> None:
    """The credits that expire have done so."""
    await billing.value(
        "update lots set expires_at = now() - interval '1 day' where expires_at is not null returning 1"
    )


async def history(billing: Running, partner_id: UUID, kind: str) -> list[dict[str, Any]]:
    """The wallet's entries of one kind in what is available, in order."""
    items = (await billing.get(f"/v1/wallets/{partner_id}/entries", account="available")).json()["items"]
    return sorted((i for i in items if i["kind"] == kind), key=lambda i: i["number"])


async def test_steps_before_the_wallet_wait_for_it_and_are_settled_when_it_opens(billing: Running) -> None:
    partner_id, anna, bram = uuid7(), uuid7(), uuid7()
    await billing.deliver(
        fact(EnrollmentRequested, anna, partner_id, 4),
        fact(EnrollmentApproved, bram, partner_id, 4),
        fact(EnrollmentDeclined, anna, partner_id, 4),
    )
    assert await billing.everything_published() == []

    await billing.deliver(partner(partner_id))

    [refused] = await billing.published(CreditsRefused)  # the wallet opens empty
    assert refused.enrollment_id == bram
    states = await billing.rows("select enrollment_id, state from charges order by state")
    assert [(row["enrollment_id"], row["state"]) for row in states] == [(anna, "closed"), (bram, "refused")]
    assert await billing.rows("select 1 from waiting") == []


async def test_a_wallet_switched_off_takes_no_new_charges_and_settles_what_runs(billing: Running) -> None:
    partner_id, anna, bram = await opened(billing, 10), uuid7(), uuid7()
    await billing.deliver(fact(EnrollmentRequested, anna, partner_id, 4))

    await billing.deliver(partner(partner_id, 2, wallet=False))
    await billing.deliver(fact(EnrollmentApproved, anna, partner_id), fact(EnrollmentApproved, bram, partner_id))

    assert [e.enrollment_id for e in await billing.published(CreditsCharged)] == [anna]
    [refused] = await billing.published(CreditsRefused)
    assert (refused.enrollment_id, refused.reason) == (bram, "wallet_closed")
    assert await billing.published(CreditsDepleted) == []
    answer = await billing.post(f"/v1/wallets/{partner_id}/top-ups", {"credits": 1, "reason": "Order 2"})
    assert problem(answer)["type"] == "/problems/wallet-closed"

    await billing.deliver(partner(partner_id, 3))
    await billing.deliver(fact(EnrollmentApproved, uuid7(), partner_id))
    assert await balances(billing, partner_id) == (2, 0)


async def test_an_older_version_of_a_partner_changes_nothing_but_still_opens_its_wallet(billing: Running) -> None:
    partner_id = uuid7()
    await billing.deliver(partner(partner_id, 2, wallet=False))
    await billing.deliver(partner(partner_id, 1))

    found = (await billing.get(f"/v1/wallets/{partner_id}")).json()

    assert found["open"] is False


async def test_a_step_told_again_is_answered_as_the_first_time(billing: Running) -> None:
    partner_id, anna = await opened(billing, 4), uuid7()
    await billing.deliver(fact(EnrollmentApproved, anna, partner_id, 4))

    await billing.deliver(fact(EnrollmentApproved, anna, partner_id, 4))

    first, again = await billing.published(CreditsCharged)
    assert first.event_id != again.event_id
    assert as_json(first) | {"at": None} == as_json(again) | {"at": None}
    assert await billing.published(CreditsRefused) == []
    await assert_sound(billing)


async def test_an_enrollment_refused_as_stuck_gets_a_charge_that_exists_or_comes_later_back(
    billing: Running,
) -> None:
    partner_id, anna, bram = await opened(billing, 10), uuid7(), uuid7()
    await billing.deliver(fact(EnrollmentApproved, anna, partner_id))

    await billing.deliver(fact(EnrollmentRefused, anna, partner_id), fact(EnrollmentRefused, bram, partner_id))
    await billing.deliver(fact(EnrollmentRequested, bram, partner_id), fact(EnrollmentApproved, anna, partner_id))

    assert await balances(billing, partner_id) == (10, 0)
    await assert_sound(billing)


# Episodes


async def test_depletion_is_told_and_mailed_once_and_a_top_up_ends_it_once(billing: Running) -> None:
    partner_id = await opened(billing, 5)
    await admin_of(billing, partner_id, "ada@learninglab.example")
    await admin_of(billing, partner_id, "ben@learninglab.example")

    await billing.deliver(*(fact(EnrollmentApproved, uuid7(), partner_id, 6) for _ in range(3)))
    await billing.deliver(fact(EnrollmentApproved, uuid7(), partner_id, 5))

    [depleted] = await billing.published(CreditsDepleted)
    assert (depleted.episode, depleted.available, depleted.refused_price) == (1, 5, 6)
    assert sorted(mail["recipient"] for mail in await billing.mails()) == [
        "ada@learninglab.example",
        "ben@learninglab.example",
        PLATFORM,
    ]
    [shown] = (await billing.get("/v1/wallets", depleted=True)).json()["items"]
    assert shown["partner_id"] == str(partner_id)

    await top_up(billing, partner_id, 5)  # above zero, and the refused price of 6 is not covered
    assert await billing.published(CreditsReplenished) == []
    await top_up(billing, partner_id, 1)
    await top_up(billing, partner_id, 1)

    [replenished] = await billing.published(CreditsReplenished)
    assert (replenished.episode, replenished.available) == (1, 6)
    assert len(await billing.mails()) == 3
    assert [e.version for e in await billing.published(CreditsToppedUp)] == [1, 3, 4, 6]


async def test_a_dearer_price_refused_meanwhile_must_be_covered_before_the_episode_ends(billing: Running) -> None:
    partner_id = await opened(billing, 5)
    await billing.deliver(fact(EnrollmentApproved, uuid7(), partner_id, 6))
    await billing.deliver(fact(EnrollmentApproved, uuid7(), partner_id, 9))

    await top_up(billing, partner_id, 3)
    assert await billing.published(CreditsReplenished) == []
    await top_up(billing, partner_id, 1)

    assert [e.available for e in await billing.published(CreditsReplenished)] == [9]


async def test_a_second_episode_is_told_and_mailed_again(billing: Running) -> None:
    partner_id = await opened(billing, 4)
    await billing.deliver(fact(EnrollmentApproved, uuid7(), partner_id, 4))
    await top_up(billing, partner_id, 4)

    await billing.deliver(fact(EnrollmentApproved, uuid7(), partner_id, 4))

    told = await billing.published(CreditsDepleted)
    assert [(e.episode, e.available, e.refused_price) for e in told] == [(1, 0, None), (2, 0, None)]
    assert [mail["recipient"] for mail in await billing.mails()] == [PLATFORM, PLATFORM]


async def test_partners_read_of_their_wallet_in_their_language(billing: Running) -> None:
    partner_id = await opened(billing, 4)
    await billing.deliver(partner(partner_id, 2, language="nl", name="De Leerplaats"))
    await admin_of(billing, partner_id, "ada@leerplaats.example")

    await billing.deliver(fact(EnrollmentApproved, uuid7(), partner_id, 4))

    subjects = {mail["recipient"]: mail["subject"] for mail in await billing.mails()}
    assert subjects["ada@leerplaats.example"] == "De credits van De Leerplaats zijn op"
    assert subjects[PLATFORM] == "The wallet of De Leerplaats is empty"


async def test_a_low_wallet_is_mailed_once_until_it_is_filled_again(billing: Running) -> None:
    partner_id = await opened(billing, 10)
    answer = await billing.http.put(
        f"/v1/wallets/{partner_id}/warning", json={"threshold": 5}, headers=billing.headers()
    )
    assert answer.json()["warning_threshold"] == 5

    await billing.deliver(*(fact(EnrollmentApproved, uuid7(), partner_id, 2) for _ in range(4)))
    [mail] = await billing.mails()
    assert mail["subject"] == "The wallet of Learning Lab is running low"
    assert "has 4 credits left" in mail["text"]

    await top_up(billing, partner_id, 4)
    await billing.deliver(fact(EnrollmentApproved, uuid7(), partner_id, 2))
    assert len(await billing.mails()) == 2


async def test_replaying_everything_with_an_empty_inbox_changes_nothing_and_sends_no_mail(
    billing: Running,
) -> None:
    partner_id, anna, bram, carla, dina = uuid7(), uuid7(), uuid7(), uuid7(), uuid7()
    story = [
        partner(partner_id),
        fact(EnrollmentRequested, anna, partner_id, 4),
        fact(EnrollmentApproved, anna, partner_id, 4),
        fact(EnrollmentCancelled, anna, partner_id, 4, credits_returned=1),
        fact(EnrollmentApproved, bram, partner_id, 4),
        fact(EnrollmentRequested, carla, partner_id, 1),
        fact(EnrollmentDeclined, carla, partner_id, 1),
        fact(EnrollmentApproved, dina, partner_id, 9),
    ]
    await billing.deliver(story[0])
    await top_up(billing, partner_id, 8)
    await billing.deliver(*story[1:])
    tables = ("wallets", "entries", "lots", "lot_uses", "charges", "mail")

    async def everything() -> list[object]:
        return [await billing.rows(f"select * from {table} order by 1, 2") for table in tables]

    before = await everything()
    await billing.empty_inbox()
    await billing.deliver(*story)
    await billing.empty_inbox()
    await billing.deliver(*reversed(story))

    assert await everything() == before
    await assert_sound(billing)


# Several at once


async def test_consumers_and_top_ups_at_once_leave_an_exact_ledger(billing: Running) -> None:
    partner_id = await opened(billing, 50)
    other_id = await opened(billing, 50)

    async def charge(number: int) -> None:
        # Every batch touches both wallets, in the order and in the reverse.
        both = (partner_id, other_id) if number % 2 else (other_id, partner_id)
        await billing.deliver(*(fact(EnrollmentApproved, uuid7(), id_, 2) for id_ in both for _ in range(5)))

    async def fill() -> None:
        await top_up(billing, partner_id, 10)

    await asyncio.gather(*(charge(number) for number in range(6)), *(fill() for _ in range(4)))

    charged = [e.partner_id for e in await billing.published(CreditsCharged)]
    refused = await billing.published(CreditsRefused)
    assert len(charged) + len(refused) == 60
    assert await balances(billing, partner_id) == (90 - 2 * charged.count(partner_id), 0)
    assert await balances(billing, other_id) == (0, 0)
    assert charged.count(other_id) == 25
    await assert_sound(billing)


async def test_one_approval_handled_by_two_consumers_at_once_is_charged_once(billing: Running) -> None:
    partner_id, anna = await opened(billing, 10), uuid7()

    await asyncio.gather(*(billing.deliver(fact(EnrollmentApproved, anna, partner_id, 4)) for _ in range(4)))

    assert await balances(billing, partner_id) == (6, 0)
    assert len(await billing.rows("select 1 from entries where kind = 'capture'")) == 2


async def test_a_charge_that_meets_its_wallet_opening_is_not_forgotten(billing: Running) -> None:
    for _ in range(10):
        partner_id = uuid7()
        await asyncio.gather(
            billing.deliver(fact(EnrollmentApproved, uuid7(), partner_id)), billing.deliver(partner(partner_id))
        )

    # The one that missed the other by a moment wakes by itself.
    await billing.service.inbox.look_again(clock.now() + timedelta(minutes=1))

    assert len(await billing.published(CreditsRefused)) == 10
    assert await billing.rows("select 1 from waiting") == []


# What the database refuses by itself


@pytest.mark.parametrize(
    "statement",
    [
        "update entries set credits = credits + 1",
        "delete from entries",
        "truncate entries",
        "update wallets set available = -1, issuing = 1",
        "update wallets set available = available + 1",
        "update lots set remaining = remaining + 1000",
        "insert into entries values (uuidv7(), 1, uuidv7(), 'top_up', 'available', 5, 5, 'me', 'why', now())",
        "insert into entries (partner_id, number, cause_id, kind, account, credits, balance_after, actor, reason, at)"
        " select partner_id, number + 100, cause_id, kind, account, credits, balance_after, actor, reason, at"
        " from entries",
        "update charges set refunded = captured + 1",
    ],
)
@pytest.mark.parametrize("role", ["worker", "owner"])
async def test_the_database_keeps_the_ledger(shared: Running, statement: str, role: str) -> None:
    partner_id = await opened(shared, 10)
    await shared.deliver(fact(EnrollmentApproved, uuid7(), partner_id, 4))
    settings = shared.service.settings
    before = await shared.rows("select * from entries")

    url = settings.owner_database_url if role == "owner" else settings.worker_database_url
    connection = await asyncpg.connect(url)
    with pytest.raises(asyncpg.PostgresError):
        await connection.execute(statement)
    await connection.close()

    assert await shared.rows("select * from entries") == before
    await assert_sound(shared)


# What staff do


async def test_a_top_up_sent_twice_happens_once(billing: Running) -> None:
    partner_id = await opened(billing)
    body = {"credits": 7, "reason": "Order 1", "price_paid": {"amount": 70_00, "currency": "EUR"}}

    first = await billing.post(f"/v1/wallets/{partner_id}/top-ups", body, key="one")
    again = await billing.post(f"/v1/wallets/{partner_id}/top-ups", body, key="one")
    other = await billing.post(f"/v1/wallets/{partner_id}/top-ups", body | {"credits": 8}, key="one")

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert problem(other)["type"] == "/problems/key-used-for-other-body"
    assert await balances(billing, partner_id) == (7, 0)
    [audited] = await billing.rows("select actor, action, subject, detail from audit")
    assert (audited["actor"], audited["action"]) == (f"user:sub-{ADMIN}", "wallet.topped_up")
    assert audited["subject"] == f"wallet/{partner_id}"
    assert audited["detail"]["credits"] == 7


async def test_the_same_top_up_sent_at_once_happens_once(billing: Running) -> None:
    partner_id = await opened(billing)
    body = {"credits": 7, "reason": "Order 1"}

    answers = await asyncio.gather(
        *(billing.post(f"/v1/wallets/{partner_id}/top-ups", body, key="one") for _ in range(5))
    )

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert await balances(billing, partner_id) == (7, 0)


async def test_a_deduction_cannot_exceed_what_is_available(billing: Running) -> None:
    partner_id = await opened(billing, 10)
    await billing.deliver(fact(EnrollmentRequested, uuid7(), partner_id, 4))

    answer = await billing.post(f"/v1/wallets/{partner_id}/deductions", {"credits": 7, "reason": "not paid"})
    refused = problem(answer)
    assert (refused["type"], refused["field"]) == ("/problems/deduction-too-large", "credits")
    assert (refused["available"], refused["held"]) == (6, 4)

    answer = await billing.post(f"/v1/wallets/{partner_id}/deductions", {"credits": 6, "reason": "not paid"})
    assert answer.json()["depleted"]
    assert await balances(billing, partner_id) == (0, 4)
    assert len(await billing.published(CreditsDepleted)) == 1
    await assert_sound(billing)


async def test_corrections_go_both_ways_and_stand_in_the_history(billing: Running) -> None:
    partner_id = await opened(billing, 10)

    await billing.post(f"/v1/wallets/{partner_id}/corrections", {"credits": -4, "reason": "counted twice"})
    await billing.post(f"/v1/wallets/{partner_id}/corrections", {"credits": 1, "reason": "one too many"})

    answer = await billing.get(f"/v1/wallets/{partner_id}/entries")
    history = [(e["kind"], e["credits"], e["balance_after"], e["reason"]) for e in answer.json()["items"]]
    assert history == [
        ("correction", 1, 7, "one too many"),
        ("correction", -4, 6, "counted twice"),
        ("top_up", 10, 10, "Order 1"),
    ]
    await assert_sound(billing)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"credits": 0}, "credits"),
        ({"credits": -5}, "credits"),
        ({"credits": CREDITS_MAX + 1}, "credits"),
        ({"credits": 10**30}, "credits"),
        ({"credits": "5"}, "credits"),
        ({"credits": 5.5}, "credits"),
        ({"credits": True}, "credits"),
        ({"credits": None}, "credits"),
        ({"reason": ""}, "reason"),
        ({"reason": "   "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"price_paid": {"amount": -1, "currency": "EUR"}}, "price_paid.amount"),
        ({"price_paid": {"amount": 1, "currency": "euro"}}, "price_paid.currency"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"bonus": 1}, "bonus"),
    ],
)
async def test_a_wrong_top_up_is_refused_by_its_field(shared: Running, change: dict[str, object], field: str) -> None:
    partner_id = await opened(shared)

    answer = await shared.post(f"/v1/wallets/{partner_id}/top-ups", {"credits": 5, "reason": "Order 1"} | change)

    assert answer.status_code == 422
    assert [error["field"] for error in problem(answer)["errors"]] == [field]
    assert await balances(shared, partner_id) == (0, 0)


async def test_credits_cannot_be_added_expired(shared: Running) -> None:
    partner_id = await opened(shared)

    answer = await shared.post(
        f"/v1/wallets/{partner_id}/top-ups",
        {"credits": 5, "reason": "Order 1", "expires_at": "2020-01-01T00:00:00Z"},
    )

    assert (problem(answer)["type"], problem(answer)["field"]) == ("/problems/already-expired", "expires_at")


async def test_a_top_up_needs_a_key_and_a_wallet(shared: Running) -> None:
    headers = shared.headers()
    del headers["Idempotency-Key"]
    body = {"credits": 5, "reason": "Order 1"}

    unknown = await shared.post(f"/v1/wallets/{uuid7()}/top-ups", body)
    keyless = await shared.http.post(f"/v1/wallets/{uuid7()}/top-ups", json=body, headers=headers)

    assert problem(unknown)["type"] == "/problems/wallet-not-found"
    assert problem(keyless)["type"] == "/problems/idempotency-key-missing"


# Who sees what


async def test_a_partners_admin_sees_its_own_wallet_only_and_changes_nothing(billing: Running) -> None:
    mine, other = await opened(billing, 5), await opened(billing, 6)
    await admin_of(billing, mine, "ada@learninglab.example")
    ada = {"email": "ada@learninglab.example"}

    listed = (await billing.get("/v1/wallets", **ada)).json()["items"]
    assert [wallet["partner_id"] for wallet in listed] == [str(mine)]
    assert (await billing.get(f"/v1/wallets/{mine}/entries", **ada)).json()["items"][0]["credits"] == 5
    assert problem(await billing.get(f"/v1/wallets/{other}", **ada))["status"] == 404
    assert problem(await billing.get(f"/v1/wallets/{other}/entries", **ada))["status"] == 404
    body = {"credits": 5, "reason": "Order 1"}
    assert problem(await billing.post(f"/v1/wallets/{mine}/top-ups", body, **ada))["status"] == 403
    assert problem(await billing.get("/v1/ledger/check", **ada))["status"] == 403


async def test_the_history_comes_in_pages_and_is_complete(billing: Running) -> None:
    partner_id = await opened(billing, 100)
    await billing.deliver(*(fact(EnrollmentApproved, uuid7(), partner_id, 1) for _ in range(25)))

    found, path = [], f"/v1/wallets/{partner_id}/entries?limit=10"
    while path:
        answer = await billing.http.get(path, headers=billing.headers())
        found += [entry["balance_after"] for entry in answer.json()["items"]]
        path = answer.links["next"]["url"] if "next" in answer.links else ""

    assert found == list(range(75, 101))


# Records that make no sense


@pytest.mark.parametrize("credits", [None, 0, -5, CREDITS_MAX + 1, 10**30])
async def test_an_impossible_price_is_parked_and_its_neighbours_land(shared: Running, credits: int | None) -> None:
    partner_id, anna, bram = await opened(shared, 10), uuid7(), uuid7()

    impossible = fact(EnrollmentApproved, uuid7(), partner_id, credits)

    await shared.deliver(
        fact(EnrollmentApproved, anna, partner_id, 4),
        impossible,
        fact(EnrollmentApproved, bram, partner_id, 4),
    )

    charged = [e.enrollment_id for e in await shared.published(CreditsCharged) if e.partner_id == partner_id]
    assert charged == [anna, bram]
    assert impossible.event_id in {record["event_id"] for record in await shared.parked()}
    await assert_sound(shared)
