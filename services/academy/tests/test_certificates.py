"""Certificates, from outside: issued once, shown to whom they concern, verified by anyone, revoked (ACA-6)."""

import asyncio
from typing import Any

import pytest

from academy.certificates.usecases import issue_certificates
from kit.testing import Running, eventually, problem
from schemas.event import uuid7
from schemas.learning import CertificateIssued, CertificateRevoked
from services.academy.tests.world import (
    COURSE,
    COURSE_ID,
    CUSTOMER_ID,
    MANAGER_ID,
    OTHER_PARTNER_ID,
    PARTNER,
    PARTNER_ID,
    PERSON_ID,
    WHITELABEL,
    colleague,
    completed,
    erased,
    partner_admin,
    person,
)

PIA = "pia@customer.example"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
JSON = {"Accept": "application/json"}


async def certificates(academy: Running, email: str = PIA, **query: Any) -> list[dict[str, Any]]:
    answer = await academy.get("/v1/certificates", email=email, **query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.fixture
async def number(academy: Running) -> str:
    """The number of Pia's certificate."""
    await academy.deliver(PARTNER, COURSE, person(), completed(uuid7()))
    return str((await certificates(academy))[0]["number"])


async def revoke(academy: Running, number: str, reason: str, email: str = "admin@tandem.example") -> Any:
    return await academy.post(f"/v1/certificates/{number}/revoke", {"reason": reason}, email=email)


async def test_a_completed_course_that_gives_one_earns_one_certificate(academy: Running) -> None:
    enrollment_id = uuid7()
    await academy.deliver(PARTNER, COURSE, person(), completed(enrollment_id))
    await academy.deliver(completed(enrollment_id))  # the same fact, announced again

    [certificate] = await certificates(academy)
    [announced] = await academy.published(CertificateIssued)
    assert (certificate["name"], certificate["course_title"]) == ("Pia Participant", "Safe at work")
    assert certificate["completed_on"] == "2026-03-06"  # the day it was in Amsterdam
    assert (certificate["issuer"], certificate["language"], certificate["status"]) == ("Tandem", "it", "valid")
    assert (announced.enrollment_id, announced.person_id, announced.course_id) == (
        enrollment_id,
        PERSON_ID,
        COURSE_ID,
    )
    assert (announced.partner_id, announced.customer_id) == (PARTNER_ID, CUSTOMER_ID)
    assert announced.verify_url == f"http://academy.test/certificates/{certificate['number']}"


async def test_its_holder_is_told_once_in_their_language(academy: Running, number: str) -> None:
    [letter] = await academy.mails()

    assert letter["recipient"] == PIA
    assert letter["subject"] == "Uw certificaat: Safe at work"
    assert f"http://academy.test/certificates/{number}" in letter["text"]


async def test_a_course_without_a_certificate_earns_none(academy: Running) -> None:
    await academy.deliver(PARTNER, COURSE, person(), completed(uuid7(), certificate=False))

    assert await certificates(academy) == []
    assert await academy.mails() == []


async def test_a_completion_waits_for_the_course_the_person_and_the_partner_it_speaks_of(
    academy: Running,
) -> None:
    await academy.deliver(completed(uuid7()))
    await academy.deliver(COURSE)
    await academy.deliver(PARTNER)
    none_yet = await academy.published(CertificateIssued)
    await academy.deliver(person())

    assert none_yet == []
    assert len(await academy.published(CertificateIssued)) == 1
    assert await academy.rows("select * from waiting") == []
    assert await academy.parked() == []


async def test_the_name_on_a_certificate_stays_as_it_was_when_it_was_issued(academy: Running, number: str) -> None:
    await academy.deliver(person(version=2, name="Pia Married"))

    assert [c["name"] for c in await certificates(academy)] == ["Pia Participant"]


@pytest.mark.parametrize("erased_first", [True, False])
async def test_an_erased_name_leaves_a_certificate_that_can_still_be_verified(
    academy: Running, erased_first: bool
) -> None:
    events = [erased(), completed(uuid7())] if erased_first else [person(), completed(uuid7()), erased()]
    await academy.deliver(PARTNER, COURSE)
    for event in events:
        await academy.deliver(event)
    await academy.deliver(person())  # an old copy, heard of once more

    [certificate] = await certificates(academy, "admin@tandem.example")
    page = await academy.http.get(f"/certificates/{certificate['number']}", headers={"Accept-Language": "en"})
    pdf = await academy.get(f"/v1/certificates/{certificate['number']}.pdf")

    assert certificate["name"] is None
    assert "Erased at the holder’s request" in page.text
    assert "This certificate is valid" in page.text
    assert pdf.content.startswith(b"%PDF-")


async def test_who_is_erased_while_a_certificate_is_made_is_not_named_on_it(academy: Running) -> None:
    await academy.deliver(PARTNER, COURSE, person())
    async with academy.db() as db:  # one replica issues while another one forgets
        await issue_certificates(db, [completed(uuid7())])
        forgetting = asyncio.create_task(academy.deliver(erased()))
        await eventually(lambda: academy.value("select count(*) > 0 from pg_locks where not granted"))
    await forgetting

    [certificate] = await certificates(academy, "admin@tandem.example")
    assert certificate["name"] is None


async def test_a_whitelabel_partners_people_get_certificates_in_its_name(academy: Running) -> None:
    await academy.deliver(WHITELABEL, COURSE, person(), completed(uuid7()))

    [certificate] = await certificates(academy)
    page = await academy.http.get(f"/certificates/{certificate['number']}")
    [letter] = await academy.mails()

    assert certificate["issuer"] == "Lumen Learning"
    assert "Tandem" not in page.text + letter["text"]


async def test_everybody_sees_what_their_role_lets_them_see(academy: Running, number: str) -> None:
    await academy.deliver(
        colleague("mia@customer.example", "manager", person_id=MANAGER_ID, manager_id=None),
        colleague("hr@customer.example", "hr", manager_id=None),
        colleague("other@customer.example", manager_id=None),
        colleague("zoe@elsewhere.example", "hr", customer_id=uuid7(), partner_id=OTHER_PARTNER_ID),
        partner_admin("ada@partner.example"),
        partner_admin("bo@other.example", OTHER_PARTNER_ID),
    )

    for email in (PIA, "mia@customer.example", "hr@customer.example", "ada@partner.example"):
        assert [c["number"] for c in await certificates(academy, email)] == [number]
        pdf = await academy.get(f"/v1/certificates/{number}.pdf", email=email)
        assert pdf.headers["content-type"] == "application/pdf"
        assert pdf.content.startswith(b"%PDF-")
    for email in ("other@customer.example", "zoe@elsewhere.example", "bo@other.example"):
        assert await certificates(academy, email) == []
        for path in (f"{number}.pdf", number, f"{number}/badge"):
            refused = await academy.get(f"/v1/certificates/{path}", email=email)
            assert problem(refused)["type"] == "/problems/certificate-not-found"
    assert problem(await academy.http.get(f"/v1/certificates/{number}.pdf"))["status"] == 401


async def test_anyone_verifies_a_certificate_by_its_number(academy: Running, number: str) -> None:
    page = await academy.http.get(f"/certificates/{number}", headers={**HTML, "Accept-Language": "it"})
    data = await academy.http.get(f"/certificates/{number.lower().replace('-', '')}", headers=JSON)

    assert page.headers["content-type"].startswith("text/html")
    assert '<html lang="it">' in page.text
    assert "Questo attestato è valido" in page.text
    assert "6 marzo 2026" in page.text
    assert "<script" not in page.text
    assert data.json() == {
        "number": number,
        "status": "valid",
        "name": "Pia Participant",
        "course": "Safe at work",
        "completed_on": "2026-03-06",
        "issued_on": data.json()["issued_on"],
        "issuer": "Tandem",
        "revoked_on": None,
        "reason": None,
    }


async def test_what_people_wrote_is_shown_as_text(academy: Running) -> None:
    await academy.deliver(PARTNER, COURSE, person(name="<script>alert(1)</script>"), completed(uuid7()))
    [certificate] = await certificates(academy)

    page = await academy.http.get(f"/certificates/{certificate['number']}")
    pdf = await academy.get(f"/v1/certificates/{certificate['number']}.pdf")

    assert "<script" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert pdf.status_code == 200


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("0000-0000-0000-001Y", "There is no certificate with this number"),
        ("0000-0000-0000-0011", "This is not a certificate number"),
        ("%22%3E%3Cscript%3E", "This is not a certificate number"),
    ],
)
async def test_a_number_that_nobody_has_says_so(academy: Running, typed: str, said: str) -> None:
    page = await academy.http.get(f"/certificates/{typed}", headers=HTML)
    data = await academy.http.get(f"/certificates/{typed}", headers=JSON)

    assert page.status_code == 404
    assert said in page.text
    assert "<script" not in page.text
    assert problem(data)["type"] == "/problems/certificate-not-found"


async def test_a_typed_number_leads_to_its_page(academy: Running, number: str) -> None:
    form = await academy.http.get("/certificates?language=nl")
    found = await academy.http.get(f"/certificates?language=nl&number=%20{number.lower()}")
    wrong = await academy.http.get("/certificates?number=1234")

    assert "Een certificaat controleren" in form.text
    assert (found.status_code, found.headers["location"]) == (303, f"/certificates/{number}?language=nl")
    assert (wrong.status_code, "typing mistake" in wrong.text) == (404, True)


async def test_the_public_page_lets_nobody_look_around(academy: Running, number: str) -> None:
    from sqlalchemy import text

    from kit.auth import act_as

    async with academy.service.database.api.begin() as db:
        await act_as(db, "public", "visitor")
        assert await db.scalar(text("select count(*) from certificates")) == 0
        one = await db.scalar(text("select number from certificate_to_verify(:n)"), {"n": number})

    assert one == number
    assert problem(await academy.http.get("/v1/certificates"))["status"] == 401


async def test_a_revoked_certificate_says_so_with_the_reason_everywhere(academy: Running, number: str) -> None:
    before = await academy.get(f"/v1/certificates/{number}.pdf")
    answer = await revoke(academy, number, "Issued for the wrong course.")
    again = await revoke(academy, number, "Issued for the wrong course.")
    other = await revoke(academy, number, "Another reason.")

    page = await academy.http.get(f"/certificates/{number}", headers={**HTML, "Accept-Language": "en"})
    data = await academy.http.get(f"/certificates/{number}", headers=JSON)
    after = await academy.get(f"/v1/certificates/{number}.pdf")
    badge = await academy.get(f"/v1/certificates/{number}/badge")

    [announced] = await academy.published(CertificateRevoked)
    assert (answer.status_code, answer.json()["status"]) == (200, "revoked")
    assert again.json() == answer.json()
    assert problem(other)["type"] == "/problems/already-revoked"
    assert (announced.number, announced.reason, announced.version) == (number, "Issued for the wrong course.", 2)
    assert "This certificate has been revoked" in page.text
    assert "Issued for the wrong course." in page.text
    assert (data.json()["status"], data.json()["reason"]) == ("revoked", "Issued for the wrong course.")
    assert after.content != before.content
    assert problem(badge)["type"] == "/problems/certificate-is-revoked"


@pytest.mark.parametrize("reason", ["", "   ", None, "x" * 501, ["because"]])
async def test_a_revocation_needs_a_reason(academy: Running, number: str, reason: Any) -> None:
    assert problem(await revoke(academy, number, reason))["status"] == 422
    assert await academy.published(CertificateRevoked) == []


async def test_only_staff_revoke(academy: Running, number: str) -> None:
    await academy.deliver(partner_admin("ada@partner.example"))

    assert problem(await revoke(academy, number, "No.", "ada@partner.example"))["type"] == "/problems/role-missing"
    assert problem(await revoke(academy, number, "No.", PIA))["type"] == "/problems/role-missing"
    assert problem(await revoke(academy, "0000-0000-0000-001Y", "No."))["status"] == 404


async def test_the_badge_of_a_certificate_is_an_open_badge(academy: Running, number: str) -> None:
    answer = await academy.get(f"/v1/certificates/{number}/badge", email=PIA)

    badge = answer.json()
    assert answer.headers["content-type"] == "application/vc+json"
    assert badge["id"] == f"http://academy.test/certificates/{number}"
    assert badge["credentialSubject"]["identifier"][0]["identityHash"] == "Pia Participant"
    assert badge["credentialSubject"]["achievement"]["name"] == "Safe at work"
    assert "proof" not in badge  # there is no key
