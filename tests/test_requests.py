"""Somebody asks for a place and the manager decides by the link in a mail (ENR-2, ENR-3, ENR-7)."""

from typing import Any

import httpx

from stack.client import link_in
from tests.suite import Suite


async def asked(suite: Suite, partner: Any, course: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A person of the partner asks for the course; the enrollment, and its manager."""
    manager = await suite.person(partner, name="Mo Manager")
    person = await suite.person(partner, manager_id=manager["person_id"])
    answer = await suite.enroll(person, course, "requested", by=person["email"])
    assert answer.status_code in (201, 202), answer.text
    await suite.settle()
    return answer.json(), manager


async def test_credits_are_held_until_the_manager_says_yes(suite: Suite) -> None:
    partner, course = await suite.partner(credits=10), await suite.course(credits=4)
    enrollment, manager = await asked(suite, partner, course)
    wallet = await suite.wallet(partner["partner_id"])
    assert (wallet["available"], wallet["held"]) == (6, 4)

    link = link_in(await suite.mail(to=manager["email"]))
    page = await suite.http.get(link)
    assert page.status_code == 200
    assert course["title"] in page.text
    assert (await suite.enrollment(enrollment["enrollment_id"]))["state"] == "requested"  # looking changes nothing
    await suite.press(link, "approve")
    await suite.settle()

    assert (await suite.enrollment(enrollment["enrollment_id"]))["state"] == "confirmed"
    wallet = await suite.wallet(partner["partner_id"])
    assert (wallet["available"], wallet["held"]) == (6, 0)
    again: httpx.Response = await suite.press(link, "decline")
    assert again.status_code in (200, 409, 410)
    await suite.settle()
    assert (await suite.enrollment(enrollment["enrollment_id"]))["state"] == "confirmed"


async def test_a_declined_request_gives_its_credits_back(suite: Suite) -> None:
    partner, course = await suite.partner(credits=10), await suite.course(credits=4)
    enrollment, manager = await asked(suite, partner, course)

    await suite.press(link_in(await suite.mail(to=manager["email"])), "decline")
    await suite.settle()

    assert (await suite.enrollment(enrollment["enrollment_id"]))["state"] == "declined"
    wallet = await suite.wallet(partner["partner_id"])
    assert (wallet["available"], wallet["held"]) == (10, 0)


async def test_a_request_the_wallet_does_not_cover_is_refused_and_no_manager_is_asked(suite: Suite) -> None:
    partner, course = await suite.partner(credits=1), await suite.course(credits=4)

    enrollment, manager = await asked(suite, partner, course)

    assert (await suite.enrollment(enrollment["enrollment_id"]))["state"] == "refused"
    assert await suite.mails(to=manager["email"]) == []


async def test_an_enrollment_paid_by_invoice_carries_its_instruction_to_the_supplier(suite: Suite) -> None:
    customer, supplier = await suite.customer(), await suite.supplier()
    course = await suite.supplier_course(supplier, price=100_000)
    manager = await suite.person(customer_id=customer["customer_id"], name="Mo Manager")
    person = await suite.person(customer_id=customer["customer_id"], manager_id=manager["person_id"])
    asked = await suite.enroll(person, course, "requested", by=person["email"])
    assert asked.status_code in (201, 202), asked.text
    await suite.settle()

    await suite.press(link_in(await suite.mail(to=manager["email"])), "approve")
    await suite.settle()

    id_ = asked.json()["enrollment_id"]
    assert (await suite.enrollment(id_))["state"] == "confirmed"
    instruction = await suite.get("billing", f"/v1/instructions/{id_}")
    # P 1000.00, D 15 % = 150.00, F half of it = 75.00: the customer pays 925.00 within 30 days.
    (to_customer,) = [i for i in instruction["invoices"] if i["buyer"]["kind"] == "customer"]
    assert to_customer["net"] == {"amount": 92_500, "currency": "EUR"}
    assert to_customer["term_days"] == 30
    mail = await suite.mail(to=supplier["user"])
    page = await suite.http.get(link_in(mail))
    assert page.status_code == 200
    assert customer["name"] in page.text
    assert "925" in page.text


async def test_a_cancellation_in_good_time_returns_the_credits(suite: Suite) -> None:
    partner, course = await suite.partner(credits=10), await suite.course(credits=4, seats=1)
    person, next_one = await suite.person(partner), await suite.person(partner)
    enrolled = (await suite.associate(person, course, by=partner["admin"])).json()
    full = await suite.associate(next_one, course, by=partner["admin"])
    assert full.status_code == 409, full.text

    cancelled = await suite.call(
        "POST",
        "enrollment",
        f"/v1/enrollments/{enrolled['enrollment_id']}/cancel",
        {"reason": "ill"},
        by=partner["admin"],
    )
    assert cancelled.status_code == 200, cancelled.text
    await suite.settle()

    assert (await suite.wallet(partner["partner_id"]))["available"] == 10
    assert (await suite.associate(next_one, course, by=partner["admin"])).json()["state"] == "confirmed"


async def test_a_completed_elearning_earns_a_certificate_that_anyone_can_verify(suite: Suite) -> None:
    partner, course = await suite.partner(credits=10), await suite.course(credits=4)
    person = await suite.person(partner, name="Pia Participant")
    enrolled = (await suite.associate(person, course, by=partner["admin"])).json()
    await suite.settle()

    await suite.post("academy", f"/v1/learnings/{enrolled['enrollment_id']}/complete", by=person["email"])
    await suite.settle()

    assert (await suite.enrollment(enrolled["enrollment_id"]))["state"] == "completed"
    (certificate,) = (
        await suite.get("academy", "/v1/certificates", by=person["email"], person_id=person["person_id"])
    )["items"]
    number = certificate["number"]
    pdf = await suite.call("GET", "academy", f"/v1/certificates/{number}.pdf", by=partner["admin"])
    assert pdf.content.startswith(b"%PDF-")
    public = await suite.http.get(f"{suite.urls['academy']}/certificates/{number}")
    assert public.status_code == 200
    assert "Pia Participant" in public.text
    assert course["title"] in public.text
