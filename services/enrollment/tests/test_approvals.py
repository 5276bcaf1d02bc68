"""Somebody asks, somebody decides: the manager, or the admins; by link or in the portal (ENR-2, ENR-3, ENR-9)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from kit.testing import problem
from schemas.enrollment import EnrollmentApproved, EnrollmentDeclined, EnrollmentExpired, EnrollmentRequested
from services.enrollment.tests.world import PARTNER_ADMIN, World

LEARNER = "lena@people.example"
MANAGER = "max@people.example"
OTHER = "olga@people.example"


async def team(world: World, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A learner and its manager, of one partner."""
    partner_id = await world.partner()
    manager = await world.person(MANAGER, name="Max Groen", partner_id=partner_id, roles=["manager"])
    person = await world.person(
        LEARNER, name="Lena Bos", partner_id=partner_id, manager_id=manager["person_id"], **more
    )
    return person, manager


def link_in(mail: dict[str, Any]) -> str:
    found = re.search(r"https?://[^/]+(/links/\S+)", mail["text"])
    assert found, mail["text"]
    return found[1]


async def press(world: World, mail: dict[str, Any], action: str, note: str = "") -> httpx.Response:
    return await world.running.http.post(link_in(mail), data={"action": action, "note": note})


async def mails_to(world: World, address: str) -> list[dict[str, Any]]:
    return [mail for mail in await world.running.mails() if mail["recipient"] == address]


async def test_a_request_paid_by_credits_reaches_the_manager_only_when_the_credits_are_held(world: World) -> None:
    person, _ = await team(world)
    course = await world.credit_course(5)

    answer = await world.enrol(person, course, "requested", by=LEARNER)

    made = answer.json()
    assert (answer.status_code, made["state"], made["step"]["waiting_for"]) == (202, "requested", "credits.held")
    assert await world.running.mails() == []
    early = await world.act(made, "approve", by=MANAGER)
    assert problem(early)["type"] == "/problems/not-yet-asked"

    await world.held(made)
    await world.held(made)

    (mail,) = await mails_to(world, MANAGER)
    assert mail["subject"] == "Lena Bos asks for a place: Giving Feedback"
    assert "5 credits" in mail["text"]
    assert (await world.enrollment(made))["step"]["waiting_for"] == "decision"
    (fact,) = await world.running.published(EnrollmentRequested)
    assert fact.expires_at - fact.at > timedelta(days=13, hours=22)


async def test_opening_the_link_changes_nothing_and_its_button_approves_once(world: World) -> None:
    person, _ = await team(world)
    made = await world.enrolled(person, await world.credit_course(5), "requested", by=LEARNER)
    await world.held(made)
    (mail,) = await mails_to(world, MANAGER)

    page = await world.running.http.get(link_in(mail))
    assert page.status_code == 200
    assert "Lena Bos" in page.text
    assert "5 credits" in page.text
    assert (await world.enrollment(made))["state"] == "requested"

    first = await press(world, mail, "approve")
    second = await press(world, mail, "decline")

    assert (first.status_code, second.status_code) == (200, 409)
    now = await world.enrollment(made)
    assert (now["state"], now["step"]["waiting_for"]) == ("approved", "credits.charged")
    assert re.fullmatch("link:[0-9a-f-]+", now["history"][-1]["by"])
    (fact,) = await world.running.published(EnrollmentApproved)
    assert re.fullmatch("link:[0-9a-f-]+", fact.approved_by)  # addresses of people stay out of events
    await world.charged(made)
    assert await world.topics() == ["enrollment.requested", "enrollment.approved", "enrollment.confirmed"]
    assert [m["subject"] for m in await mails_to(world, LEARNER)] == ["Your place is confirmed: Giving Feedback"]


async def test_without_a_manager_every_admin_is_asked_and_the_first_answer_counts(world: World) -> None:
    partner_id = await world.partner()
    await world.grant("partner_admin", "partner", partner_id, "bob@partner.example")
    person = await world.person(LEARNER, partner_id=partner_id)
    made = await world.enrolled(person, await world.credit_course(5), "requested", by=LEARNER)
    await world.held(made)
    (one,), (two,) = await mails_to(world, PARTNER_ADMIN), await mails_to(world, "bob@partner.example")

    declined = await press(world, one, "decline", "Not this year")
    late = await press(world, two, "approve")

    assert (declined.status_code, late.status_code) == (200, 409)
    assert "Declined." in late.text
    now = await world.enrollment(made)
    assert (now["state"], now["history"][-1]["why"]) == ("declined", "Not this year")
    (fact,) = await world.running.published(EnrollmentDeclined)
    assert fact.reason == "Not this year"
    (told,) = await mails_to(world, LEARNER)
    assert (told["subject"], "Not this year" in told["text"]) == ("Your request was declined: Giving Feedback", True)


async def test_a_customers_admins_are_asked_before_its_partners(world: World) -> None:
    partner_id = await world.partner()
    customer_id = await world.customer(partner_id, admin="carl@acme.example")
    person = await world.person(LEARNER, customer_id=customer_id)

    made = await world.enrolled(person, await world.credit_course(5), "requested", by=LEARNER)
    await world.held(made)

    assert [mail["recipient"] for mail in await world.running.mails()] == ["carl@acme.example"]


async def test_a_request_that_nobody_could_decide_is_refused_by_name(world: World) -> None:
    person = await world.person(LEARNER, partner_id=await world.partner(admin=None))

    answer = await world.enrol(person, await world.credit_course(5), "requested", by=LEARNER)

    assert problem(answer)["type"] == "/problems/nobody-to-ask"
    assert await world.topics() == []


async def test_only_the_manager_decides_and_others_do_not_even_see_it(world: World) -> None:
    person, _ = await team(world)
    await world.person(OTHER, partner_id=person["partner_id"], roles=["manager"])
    made = await world.enrolled(person, await world.credit_course(5), "requested", by=LEARNER)
    await world.held(made)

    by_other = await world.act(made, "approve", by=OTHER)
    by_self = await world.act(made, "approve", by=LEARNER)
    by_admin = await world.act(made, "approve", by=PARTNER_ADMIN)
    by_manager = await world.act(made, "approve", by=MANAGER)

    assert problem(by_other)["type"] == "/problems/enrollment-not-found"
    assert problem(by_self)["type"] == "/problems/not-theirs"
    assert problem(by_admin)["type"] == "/problems/not-theirs"
    assert by_manager.json()["state"] == "approved"


async def test_nobody_asks_for_a_person_that_is_not_theirs(world: World) -> None:
    person, _ = await team(world)
    await world.person(OTHER, partner_id=person["partner_id"])
    course = await world.credit_course(5)

    assert problem(await world.enrol(person, course, "requested", by=OTHER))["status"] == 404
    assert problem(await world.enrol(person, course, "associated", by=LEARNER))["type"] == "/problems/role-missing"
    assert (await world.enrol(person, course, "requested", by=MANAGER)).status_code == 202


async def test_a_withdrawal_ends_the_request_and_a_hold_that_comes_later_asks_nobody(world: World) -> None:
    session = world.session()
    person, _ = await team(world)
    course = await world.credit_course(5, sessions=[session])
    made = await world.enrolled(person, course, "requested", by=LEARNER, session_id=session.session_id)

    withdrawn = await world.act(made, "withdraw", by=LEARNER)
    await world.held(made)

    assert withdrawn.json()["state"] == "withdrawn"
    assert problem(await world.act(made, "withdraw", by=LEARNER))["state"] == "withdrawn"
    assert (await world.enrollment(made))["state"] == "withdrawn"
    assert await world.running.mails() == []
    assert await world.running.value("select taken from sessions") == 0
    assert await world.topics() == ["enrollment.requested", "enrollment.withdrawn"]


async def test_without_a_payment_an_approval_confirms_at_once(world: World) -> None:
    partner_id = await world.partner(wallet=False)
    person = await world.person(LEARNER, partner_id=partner_id)
    made = await world.enrolled(person, await world.credit_course(5), "requested", by=LEARNER)
    (mail,) = await mails_to(world, PARTNER_ADMIN)

    await press(world, mail, "approve")

    assert (await world.enrollment(made))["state"] == "confirmed"


async def test_an_unanswered_request_reminds_once_and_then_expires(world: World) -> None:
    person, _ = await team(world)
    made = await world.enrolled(person, await world.credit_course(5), "requested", by=LEARNER)
    await world.held(made)
    now = datetime.now(UTC)

    assert await world.running.run_job("remind", now + timedelta(days=2, hours=23)) == 0
    assert await world.running.run_job("remind", now + timedelta(days=6)) == 1
    assert await world.running.run_job("remind", now + timedelta(days=7)) == 0
    first, reminder = await mails_to(world, MANAGER)
    assert reminder["subject"] == "Reminder: Lena Bos still waits for your answer: Giving Feedback"
    assert (await press(world, first, "approve")).status_code == 410

    assert await world.running.run_job("expire_requests", now + timedelta(days=13, hours=22)) == 0
    assert await world.running.run_job("expire_requests", now + timedelta(days=14, hours=2)) == 1

    assert (await world.enrollment(made))["state"] == "expired"
    assert len(await world.running.published(EnrollmentExpired)) == 1
    late = await press(world, reminder, "approve")
    assert (late.status_code, "The request has expired." in late.text) == (409, True)


@pytest.mark.parametrize("token", ["nonsense", "WyJhIiwiYXBwcm92ZSJd.forged"])
async def test_a_forged_link_shows_a_page_that_says_so(world: World, token: str) -> None:
    answer = await world.running.http.get(f"/links/{token}")

    assert (answer.status_code, "not one of ours" in answer.text) == (404, True)


async def test_the_link_of_who_decides_no_longer_shows_and_decides_nothing(world: World) -> None:
    person, manager = await team(world)
    made = await world.enrolled(person, await world.credit_course(5), "requested", by=LEARNER)
    await world.held(made)
    (mail,) = await mails_to(world, MANAGER)
    left = await world.running.http.patch(
        f"/v1/people/{manager['person_id']}",
        json={"status": "left"},
        headers=world.running.headers() | {"If-Match": '"1"'},
    )
    assert left.status_code == 200

    page = await world.running.http.get(link_in(mail))
    answer = await press(world, mail, "approve")

    assert (page.status_code, "Lena Bos" in page.text, answer.status_code) == (410, False, 410)
    assert (await world.enrollment(made))["state"] == "requested"
