"""Deals, from outside: the look-up, protection, confirmation, conflicts, and what nobody may see."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.deals.rules import company_key, domain, next_notice, protected_until, registration_number
from contracts.workdays import one_working_day_after
from kit import clock
from kit.testing import Running, problem
from schemas.access import AccessChanged
from schemas.deal import DealLost, DealRegistered

ADA, BEN = "ada@lumen.example", "ben@ponte.example"
CONTACT = {"name": "A. Buyer", "email": "buyer@zilverberg.example"}
ZILVERBERG = {"name": "Zilverberg Techniek B.V.", "registration_number": "24112345", "domain": "www.zilverberg.example"}


async def partner(contracts: Running, name: str, email: str) -> str:
    """A partner with one admin."""
    body = {"name": name, "kind": "default", "wallet": False, "language": "en"}
    partner_id = str((await contracts.post("/v1/partners", body)).json()["partner_id"])
    await contracts.post(f"/v1/partners/{partner_id}/admins", {"email": email, "name": "Somebody"})
    await contracts.deliver(*await contracts.published(AccessChanged))
    return partner_id


@pytest.fixture
async def lumen(contracts: Running) -> str:
    return await partner(contracts, "Lumen", ADA)


@pytest.fixture
async def ponte(contracts: Running) -> str:
    return await partner(contracts, "Ponte", BEN)


async def file(contracts: Running, email: str, company: dict[str, Any] = ZILVERBERG, **more: Any) -> Any:
    return await contracts.post("/v1/deals", {"company": company, "contact": CONTACT, **more}, email=email)


async def check(contracts: Running, email: str, **company: Any) -> dict[str, Any]:
    answer = await contracts.post("/v1/deal-checks", company, email=email)
    assert answer.status_code == 200, answer.text
    standing: dict[str, Any] = answer.json()
    return standing


async def edit(contracts: Running, deal: dict[str, Any], what: str, body: Any = None, email: str = ADA) -> Any:
    """PATCH a deal where `what` is empty, else POST to what is below it; on the version that was read."""
    headers = contracts.headers(email) | {"If-Match": f'"{deal["version"]}"'}
    path = f"/v1/deals/{deal['deal_id']}"
    if not what:
        return await contracts.http.patch(path, json=body, headers=headers)
    return await contracts.http.post(f"{path}/{what}", json=body, headers=headers)


def today() -> date:
    return clock.now().date()


async def test_a_deal_is_filed_protected_for_ninety_days_and_due_for_confirmation(
    contracts: Running, lumen: str
) -> None:
    deal = (await file(contracts, ADA, monthly_value=49500, note="They asked for a demo.")).json()

    [registered] = await contracts.published(DealRegistered)
    notes = (await contracts.get(f"/v1/deals/{deal['deal_id']}/notes", email=ADA)).json()["items"]
    [item] = (await contracts.get("/v1/attention", kind="deal_to_confirm")).json()["items"]
    until = date.fromisoformat(deal["protected_until"])
    assert (deal["state"], deal["partner_id"]) == ("registered", lumen)
    assert timedelta(days=89) <= until - today() <= timedelta(days=91)
    assert (registered.protected_until, registered.customer_id) == (until, None)
    assert registered.monthly_value is not None
    assert registered.monthly_value.amount == 49500
    assert [note["text"] for note in notes] == ["They asked for a demo."]
    assert datetime.fromisoformat(item["due_at"]) == datetime.fromisoformat(deal["confirm_by"])


@pytest.mark.parametrize(
    ("asked", "matched"),
    [
        ({"name": "Something else", "registration_number": "2411.2345"}, "registration_number"),
        ({"name": "Something else", "domain": "https://www.Zilverberg.example/contact"}, "domain"),
        ({"name": "Something else", "domain": "info@zilverberg.example"}, "domain"),
        ({"name": "ZILVERBERG TECHNIEK"}, "name"),
        ({"name": "Zilverberg Techniek Groep"}, "name"),
        ({"name": "Zilverbreg techniek bv"}, "name"),  # a slip of the pen
    ],
)
async def test_a_company_is_recognised_and_its_protector_never_named(
    contracts: Running, lumen: str, ponte: str, asked: dict[str, Any], matched: str
) -> None:
    deal = (await file(contracts, ADA)).json()

    mine = await check(contracts, ADA, **asked)
    theirs = await contracts.post("/v1/deal-checks", asked, email=BEN)

    assert (mine["state"], mine["matched"]) == ("yours", matched)
    assert theirs.json() == {"state": "protected", "protected_until": deal["protected_until"], "matched": matched}
    assert lumen not in theirs.text
    assert "Lumen" not in theirs.text


@pytest.mark.parametrize(
    "asked",
    [
        {"name": "Goudhaven Bouw", "registration_number": "99112345"},
        {"name": "Something else", "registration_number": "24112345", "country": "BE"},
        {"name": "Zilver"},
    ],
)
async def test_another_company_is_free(contracts: Running, lumen: str, ponte: str, asked: dict[str, Any]) -> None:
    await file(contracts, ADA)

    assert await check(contracts, BEN, **asked) == {"state": "free", "protected_until": None, "matched": None}


async def test_a_second_partner_may_file_without_protection_and_only_the_platform_sees_the_conflict(
    contracts: Running, lumen: str, ponte: str
) -> None:
    first = (await file(contracts, ADA)).json()
    second = (await file(contracts, BEN)).json()

    path = f"/v1/deals/{second['deal_id']}/conflicts"
    seen = (await contracts.get(path)).json()
    hidden = await contracts.get(path, email=BEN)
    items = (await contracts.get("/v1/attention", kind="deal_in_conflict")).json()["items"]
    foreign = await contracts.get(f"/v1/deals/{first['deal_id']}", email=BEN)
    listed = (await contracts.get("/v1/deals", email=BEN)).json()["items"]
    assert second["protected_until"] is None
    assert [(c["deal_id"], c["partner_id"], c["matched"]) for c in seen] == [
        (first["deal_id"], lumen, "registration_number")
    ]
    assert hidden.status_code == 403
    assert [item["detail"]["with"] for item in items] == [[first["deal_id"]]]
    assert problem(foreign)["type"] == "/problems/deal-not-found"
    assert [deal["deal_id"] for deal in listed] == [second["deal_id"]]


async def test_two_partners_who_file_at_once_get_one_protection(contracts: Running, lumen: str, ponte: str) -> None:
    names = ["Zilverberg", "Zilverberg B.V.", "Zilverbergs", "ZILVERBERG BV"]

    deals = await asyncio.gather(*(file(contracts, (ADA, BEN)[n % 2], {"name": name}) for n, name in enumerate(names)))

    holders = {deal.json()["partner_id"] for deal in deals if deal.json()["protected_until"]}
    assert [deal.status_code for deal in deals] == [201] * 4
    assert len(holders) == 1


async def test_a_partner_files_a_company_once(contracts: Running, lumen: str) -> None:
    first = (await file(contracts, ADA)).json()

    again = await file(contracts, ADA, {"name": "Another", "domain": "zilverberg.example"})

    assert problem(again)["type"] == "/problems/deal-open-already"
    assert problem(again)["deal_id"] == first["deal_id"]


async def test_the_database_itself_hides_other_partners_deals_and_notes(
    contracts: Running, lumen: str, ponte: str
) -> None:
    from sqlalchemy import text

    from kit.auth import act_as

    await file(contracts, ADA, note="Secret.")

    async with contracts.service.database.api.begin() as db:
        await act_as(db, f"partner/{ponte}", "test")
        tables = ("deals", "deal_notes", "partner_agreements")
        seen = [await db.scalar(text(f"select count(*) from {table}")) for table in tables]

    assert seen == [0, 0, 0]


async def test_activity_renews_the_protection_and_an_outsider_takes_what_has_lapsed(
    contracts: Running, lumen: str, ponte: str
) -> None:
    first = (await file(contracts, ADA)).json()
    second = (await file(contracts, BEN)).json()
    await lapse(contracts, first, days=30)

    await contracts.post(f"/v1/deals/{first['deal_id']}/notes", {"text": "Called."}, email=ADA)
    renewed = (await contracts.get(f"/v1/deals/{first['deal_id']}", email=ADA)).json()
    await contracts.post(f"/v1/deals/{second['deal_id']}/notes", {"text": "Called."}, email=BEN)
    still = (await contracts.get(f"/v1/deals/{second['deal_id']}", email=BEN)).json()
    await lapse(contracts, first, days=-1)
    await edit(contracts, second, "", {"expected_on": "2031-01-01"}, email=BEN)
    gained = (await contracts.get(f"/v1/deals/{second['deal_id']}", email=BEN)).json()
    await contracts.post(f"/v1/deals/{first['deal_id']}/notes", {"text": "Called again."}, email=ADA)
    late = (await contracts.get(f"/v1/deals/{first['deal_id']}", email=ADA)).json()

    assert renewed["protected_until"] == first["protected_until"]
    assert still["protected_until"] is None
    assert gained["protected_until"] == first["protected_until"]
    assert date.fromisoformat(late["protected_until"]) < today()


async def lapse(contracts: Running, deal: dict[str, Any], days: int) -> None:
    """Let a protection end so many days from now."""
    async with contracts.db() as db:
        from sqlalchemy import text

        until = today() + timedelta(days=days)
        await db.execute(
            text("update deals set protected_until = :u, notice_at = :n where id = :id"),
            {"u": until, "n": next_notice(until, today() - timedelta(days=1), "UTC"), "id": deal["deal_id"]},
        )


async def test_a_partner_is_told_fourteen_and_three_days_before_its_protection_ends(
    contracts: Running, lumen: str
) -> None:
    deal = (await file(contracts, ADA)).json()
    until = datetime.fromisoformat(deal["protected_until"]).replace(tzinfo=UTC)

    async def told(days: int) -> list[str]:
        await contracts.run_job("give_notice_of_protection", until - timedelta(days=days) + timedelta(hours=12))
        mails = await contracts.mails()
        return [m["event"].rpartition("/")[2] for m in mails if m["matter"] == f"deal/{deal['deal_id']}"]

    assert await told(15) == []
    assert await told(14) == ["14"]
    assert await told(13) == ["14"]
    assert await told(4) == ["14"]
    assert await told(3) == ["14", "3"]
    assert await told(-1) == ["14", "3"]
    [to] = {m["recipient"] for m in await contracts.mails() if m["matter"] == f"deal/{deal['deal_id']}"}
    assert to == ADA


async def test_the_platform_confirms_and_what_it_has_not_confirmed_in_time_is_overdue(
    contracts: Running, lumen: str
) -> None:
    deal = (await file(contracts, ADA)).json()
    other = (await file(contracts, ADA, {"name": "Goudhaven"})).json()
    async with contracts.db() as db:
        from sqlalchemy import text

        await db.execute(text("update deals set confirm_by = now() - interval '1 minute'"))

    overdue = (await contracts.get("/v1/deals", overdue=True)).json()["items"]
    own = await edit(contracts, deal, "confirmation", email=ADA)
    done = await edit(contracts, deal, "confirmation", email="admin@tandem.example")
    again = await edit(contracts, deal, "confirmation", email="admin@tandem.example")
    left = (await contracts.get("/v1/deals", overdue=True)).json()["items"]
    items = (await contracts.get("/v1/attention", kind="deal_to_confirm")).json()["items"]

    assert {d["deal_id"] for d in overdue} == {deal["deal_id"], other["deal_id"]}
    assert own.status_code == 403
    assert (done.json()["state"], again.json()["version"]) == ("confirmed", 2)
    assert [d["deal_id"] for d in left] == [other["deal_id"]]
    assert [item["subject"] for item in items] == ["Goudhaven"]


async def test_two_admins_who_change_a_deal_at_once_do_not_overwrite_each_other(contracts: Running, lumen: str) -> None:
    deal = (await file(contracts, ADA)).json()

    answers = await asyncio.gather(
        edit(contracts, deal, "", {"monthly_value": 1}), edit(contracts, deal, "", {"monthly_value": 2})
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412]
    shown = (await contracts.get(f"/v1/deals/{deal['deal_id']}", email=ADA)).json()
    [_, changed] = shown["history"]
    assert (changed["what"], changed["by"]) == ("changed", "partner")
    assert changed["changed"] == {"monthly_value": [None, shown["monthly_value"]]}


async def test_a_deal_is_lost_with_a_reason_that_is_the_callers_to_give(contracts: Running, lumen: str) -> None:
    deal = (await file(contracts, ADA)).json()

    rejected = await edit(contracts, deal, "loss", {"reason": "rejected"})
    elsewhere = await edit(contracts, deal, "loss", {"reason": "ordered_elsewhere"}, email="admin@tandem.example")
    lost = (await edit(contracts, deal, "loss", {"reason": "price"})).json()
    twice = await edit(contracts, lost, "loss", {"reason": "price"})
    terms = await edit(contracts, lost, "", {"monthly_value": 5})
    contact = await edit(contracts, lost, "", {"contact": {"name": "B. Buyer"}})
    note = await contracts.post(f"/v1/deals/{deal['deal_id']}/notes", {"text": "Ask next year."}, email=ADA)

    assert problem(rejected)["type"] == problem(elsewhere)["type"] == "/problems/not-your-reason"
    assert [e.reason for e in await contracts.published(DealLost)] == ["price"]
    assert problem(twice)["type"] == problem(terms)["type"] == "/problems/deal-is-closed"
    assert (contact.status_code, note.status_code) == (200, 201)
    assert (await check(contracts, ADA, **ZILVERBERG))["state"] == "free"


async def test_the_commission_comes_from_the_agreement_and_only_the_platform_changes_it(
    contracts: Running, lumen: str
) -> None:
    path = f"/v1/partners/{lumen}/agreement"
    before = await contracts.get(path, email=ADA)
    terms = {"invoicer": "partner", "commission_bp": 1250, "commission_months": 24}
    own = await contracts.http.put(path, json=terms, headers=contracts.headers(ADA) | {"If-Match": '"0"'})
    agreed = await contracts.http.put(path, json=terms, headers=contracts.headers() | {"If-Match": '"0"'})
    stale = await contracts.http.put(path, json=terms, headers=contracts.headers() | {"If-Match": '"0"'})

    deal = (await file(contracts, ADA)).json()
    raised = await edit(contracts, deal, "", {"commission_bp": 9000})

    assert (before.json()["version"], before.json()["commission_bp"]) == (0, 0)
    assert (own.status_code, agreed.json()["version"], stale.status_code) == (403, 1, 412)
    assert (deal["invoicer"], deal["commission_bp"], deal["commission_months"]) == ("partner", 1250, 24)
    assert problem(raised)["type"] == "/problems/terms-are-the-platforms"


@pytest.mark.parametrize(
    "wrong",
    [
        {"company": {"name": ""}},
        {"company": {"name": "X", "domain": "gmail.com"}},
        {"company": {"name": "X", "domain": "not a domain"}},
        {"company": {"name": "X", "domain": "x" * 300 + ".example"}},
        {"company": {"name": "X", "registration_number": "!!"}},
        {"company": {"name": "X", "country": "ZZ"}},
        {"company": {"name": "X\x00"}},
        {"contact": {"name": "X", "email": "nobody"}},
        {"contact": {"name": "X", "phone": "<script>"}},
        {"expected_on": "2101-01-01"},
        {"expected_on": "2027-02-29"},
        {"monthly_value": -1},
        {"monthly_value": 10**12},
        {"term_months": 0},
        {"invoicer": "nobody"},
        {"commission_bp": 10000},
    ],
)
async def test_a_deal_that_is_wrong_is_refused_by_name(contracts: Running, lumen: str, wrong: dict[str, Any]) -> None:
    answer = await contracts.post("/v1/deals", {"company": ZILVERBERG, "contact": CONTACT, **wrong}, email=ADA)

    assert problem(answer)["type"] == "/problems/not-understood"
    assert await contracts.published(DealRegistered) == []


# -- rules ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Zilverberg Techniek B.V.", "zilverberg techniek"),
        ("Officine Bellini S.r.l.", "officine bellini"),
        ("Société Générale", "societe generale"),
        ("Stichting De Linde", "linde"),
        ("B.V.", "bv"),  # nothing else is left
        ("Kade 9", "kade 9"),
        ("---", ""),
    ],
)
def test_a_name_is_compared_without_its_legal_form(name: str, key: str) -> None:
    assert company_key(name) == key


@given(st.text(max_size=60))
def test_a_names_key_is_its_own_key(name: str) -> None:
    assert company_key(company_key(name)) == company_key(name)


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("zilverberg.example", "zilverberg.example"),
        (" HTTPS://www.Zilverberg.example:8443/a?b ", "zilverberg.example"),
        ("info@zilverberg.example", "zilverberg.example"),
        ("müller.example", "xn--mller-kva.example"),
    ],
)
def test_a_domain_is_taken_from_an_address(written: str, host: str) -> None:
    assert domain(written) == host


@given(st.text(max_size=80))
def test_a_domain_is_understood_or_refused_and_stays_itself(written: str) -> None:
    try:
        found = domain(written)
    except ValueError:
        return
    assert domain(found) == found


@given(st.text(max_size=40))
def test_a_registration_number_is_understood_or_refused_and_stays_itself(written: str) -> None:
    try:
        found = registration_number(written)
    except ValueError:
        return
    assert registration_number(found) == found


@pytest.mark.parametrize(
    ("filed", "due"),
    [
        ("2026-03-04T10:00:00+00:00", "2026-03-05T10:00:00+00:00"),  # Wednesday → Thursday
        ("2026-03-06T14:00:00+00:00", "2026-03-09T14:00:00+00:00"),  # Friday → Monday
        ("2026-03-07T14:00:00+00:00", "2026-03-09T23:00:00+00:00"),  # Saturday → when Monday is over
        ("2026-04-02T10:00:00+00:00", "2026-04-07T10:00:00+00:00"),  # Good Friday and Easter Monday are free
        ("2026-04-03T10:00:00+00:00", "2026-04-07T22:00:00+00:00"),  # filed on Good Friday → when Tuesday is over
        ("2026-03-27T10:00:00+00:00", "2026-03-30T09:00:00+00:00"),  # the clocks went forward: 11:00 stays 11:00
        ("2026-12-24T10:00:00+00:00", "2026-12-28T10:00:00+00:00"),  # Christmas, and a weekend
    ],
)
def test_one_working_day_is_the_same_time_on_the_next_one(filed: str, due: str) -> None:
    at = datetime.fromisoformat(filed)

    assert one_working_day_after(at, "Europe/Amsterdam") == datetime.fromisoformat(due)


@given(st.dates(date(2026, 1, 1), date(2090, 1, 1)))
def test_notice_comes_fourteen_then_three_days_before_the_end_and_no_more(day: date) -> None:
    until = protected_until(day)

    first = next_notice(until, day, "UTC")
    assert first is not None
    second = next_notice(until, first.date(), "UTC")
    assert second is not None

    assert (until - day).days == 90
    assert [(until - first.date()).days, (until - second.date()).days] == [14, 3]
    assert next_notice(until, second.date(), "UTC") is None
