"""Use reported by applications: each day once, corrected, late, in any order; the overview adds up 90 local days."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.usage.rules import Framework, Report, main_framework, newest, window
from kit.testing import Migrated, Running, problem

START = datetime(2027, 6, 30, 12, tzinfo=UTC)
TODAY = date(2027, 6, 30)


@pytest.fixture
async def partner(contracts: Running) -> str:
    """A partner whose time stands still."""
    partner = str((await contracts.post("/v1/partners", {"name": "Lumen", "wallet": False})).json()["partner_id"])
    clock = {"tenant_kind": "partner", "tenant_id": partner, "time": START.isoformat()}
    await contracts.post("/v1/test-clocks", clock)
    return partner


async def a_customer(contracts: Running, partner: str, name: str = "Zilverberg", **more: Any) -> str:
    answer = await contracts.post("/v1/customers", {"name": name, "partner_id": partner, "status": "trial"} | more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["customer_id"])


async def report(
    contracts: Running, customer: str, day: date = TODAY, source: str = "desk", email: str = "", **body: Any
) -> Any:
    headers = contracts.headers(email) if email else contracts.headers()
    path = f"/v1/customers/{customer}/usage/{source}/{day}"
    return await contracts.http.put(path, json={"activities": 1} | body, headers=headers)


async def send(contracts: Running, *lines: Any, **headers: Any) -> Any:
    body = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return await contracts.http.post("/v1/usage", content=body, headers=contracts.headers(**headers))


async def line_of(contracts: Running, partner: str, customer: str) -> dict[str, Any]:
    answer = await contracts.get("/v1/overview", partner_id=partner)
    assert answer.status_code == 200, answer.text
    (found,) = [line for line in answer.json()["items"] if line["customer_id"] == customer]
    return dict(found)


async def stored(contracts: Running, customer: str) -> Any:
    return await contracts.value("select activities from overview where customer_id = :c", c=customer)


async def advance(contracts: Running, partner: str, to: datetime) -> None:
    await contracts.post(f"/v1/test-clocks/{partner}/advance", {"time": to.isoformat()})


@given(revisions=st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_the_highest_revision_counts_and_of_equals_the_last(revisions: list[int]) -> None:
    reports = [Report(activities=n, revision=revision) for n, revision in enumerate(revisions)]
    kept = newest(("key", report) for report in reports)["key"]
    assert kept.revision == max(revisions)
    assert all(other.revision < kept.revision for other in reports[kept.activities + 1 :])


def test_the_window_is_ninety_days_with_today() -> None:
    assert window(date(2027, 6, 30)) == (date(2027, 4, 2), date(2027, 6, 30))


def test_the_main_framework_is_the_marked_one_or_else_the_first() -> None:
    one, two = Framework(name="A", progress_percent=12.5), Framework(name="B", progress_percent="99.99", main=True)
    assert main_framework([one, two]) == ("B", 9999)
    assert main_framework([one]) == ("A", 1250)
    assert main_framework([]) == ("", -1)


async def test_a_report_again_changes_nothing_a_corrected_one_the_difference(contracts: Running, partner: str) -> None:
    customer = await a_customer(contracts, partner)
    wanted = {"activities": 10, "revision": 1}

    taken = [
        (await report(contracts, customer, **body)).json()["taken"]
        for body in (
            wanted,
            wanted,
            wanted | {"activities": 7, "revision": 2},
            wanted,  # the first one again, late
            wanted | {"activities": 8, "revision": 2},
        )
    ]

    assert taken == ["new", "unchanged", "corrected", "outdated", "corrected"]
    assert (await line_of(contracts, partner, customer))["activities"] == 8


async def test_each_source_counts_and_users_and_framework_come_from_what_was_heard_last(
    contracts: Running, partner: str
) -> None:
    customer = await a_customer(contracts, partner)
    frameworks = [{"name": "ISO 9001", "progress_percent": 20}, {"name": "BIO", "progress_percent": 62.5, "main": True}]
    await report(contracts, customer, activities=3, users=40, frameworks=frameworks)
    await report(contracts, customer, TODAY - timedelta(days=5), activities=2, users=99, frameworks=[])  # late
    await report(contracts, customer, TODAY - timedelta(days=1), source="phone", activities=5, users=12)

    line = await line_of(contracts, partner, customer)

    assert (line["activities"], line["users"], line["framework"], line["progress_percent"]) == (10, 40, "BIO", 62.5)
    await report(contracts, customer, activities=3, revision=1)  # says nothing of users and frameworks: as before
    assert (await line_of(contracts, partner, customer))["users"] == 40


async def test_activities_of_ninety_local_days_are_counted_exactly_at_both_edges(
    contracts: Running, partner: str
) -> None:
    """At noon UTC on 30 June it is 1 July on Kiritimati, and 29 June nowhere that counts here."""
    home = await a_customer(contracts, partner)
    east = await a_customer(contracts, partner, "East", time_zone="Pacific/Kiritimati")
    for n, day in enumerate((date(2027, 4, 1), date(2027, 4, 2), date(2027, 4, 3), TODAY)):
        for customer in (home, east):
            assert (await report(contracts, customer, day, activities=10**n)).status_code == 200
    assert (await report(contracts, east, date(2027, 7, 1), activities=10_000)).status_code == 200
    tomorrow = await report(contracts, home, date(2027, 7, 1), activities=10_000)

    assert problem(tomorrow)["type"] == "/problems/day-not-begun"
    assert problem(tomorrow)["today"] == "2027-06-30"
    assert (await line_of(contracts, partner, home))["activities"] == 1110  # from 2 April
    assert (await line_of(contracts, partner, east))["activities"] == 11100  # from 3 April

    await advance(contracts, partner, datetime(2027, 6, 30, 21, 59, 59, tzinfo=UTC))
    assert (await line_of(contracts, partner, home))["activities"] == 1110
    await advance(contracts, partner, datetime(2027, 6, 30, 22, 0, tzinfo=UTC))  # midnight in Amsterdam
    assert (await line_of(contracts, partner, home))["activities"] == 1100  # before any job
    assert await stored(contracts, home) == 1110
    await contracts.run_job("count_activities_of_the_new_day")
    assert await stored(contracts, home) == 1100
    assert await contracts.run_job("count_activities_of_the_new_day") == 0

    await advance(contracts, partner, datetime(2028, 6, 30, 22, 0, tzinfo=UTC))
    while await contracts.run_job("count_activities_of_the_new_day"):
        pass
    assert (await stored(contracts, home), await stored(contracts, east)) == (0, 0)


@settings(max_examples=8, deadline=None)
@given(st.data())
async def test_however_reports_and_days_come_the_sum_is_that_of_the_days(
    migrated: Migrated, data: st.DataObject
) -> None:
    steps = data.draw(
        st.lists(
            st.one_of(
                st.tuples(st.just("report"), st.integers(0, 120), st.integers(0, 50), st.integers(0, 2)),
                st.tuples(st.just("days"), st.integers(1, 100), st.just(0), st.just(0)),
            ),
            max_size=8,
        )
    )
    async with migrated.running() as contracts:
        made = await contracts.post("/v1/partners", {"name": "Lumen", "wallet": False})
        partner = str(made.json()["partner_id"])
        clock = {"tenant_kind": "partner", "tenant_id": partner, "time": START.isoformat()}
        await contracts.post("/v1/test-clocks", clock)
        customer = await a_customer(contracts, partner)
        now, model = START, dict[date, tuple[int, int]]()
        for kind, number, activities, revision in steps:
            if kind == "days":
                now += timedelta(days=number)
                await advance(contracts, partner, now)
                await contracts.run_job("count_activities_of_the_new_day")
            else:
                day = now.date() - timedelta(days=number)
                await report(contracts, customer, day, activities=activities, revision=revision)
                if revision >= model.get(day, (-1, 0))[0]:
                    model[day] = (revision, activities)
        first = now.date() - timedelta(days=89)
        expected = sum(activities for day, (_, activities) in model.items() if day >= first)
        assert (await line_of(contracts, partner, customer))["activities"] == expected
        assert await stored(contracts, customer) == expected


async def test_many_reports_come_in_one_call_each_for_itself(contracts: Running, partner: str) -> None:
    customer, other = await a_customer(contracts, partner), await a_customer(contracts, partner, "Other")
    good = {"customer_id": customer, "day": str(TODAY), "source": "desk", "activities": 5}
    lines: list[Any] = [
        good,
        good | {"customer_id": other, "activities": 6},
        good | {"activities": 9, "revision": 3},
        b"",
        good | {"customer_id": str(uuid4())},
        b"{not json",
        good | {"day": "2027-02-29"},
        good | {"day": "2028-01-01"},
        good | {"day": "1999-12-31"},
        good | {"activities": -1},
        good | {"activities": 1e300},
        good | {"source": "../desk"},
        good | {"frameworks": [{"name": "A\0B", "progress_percent": 10}]},
        good | {"frameworks": [{"name": "A", "progress_percent": 100.01}]},
        good | {"frameworks": [{"name": "A", "progress_percent": 33.333}]},
        good | {"unknown": 1},
        b"[" * 200,
        b'"\xff"',
    ]

    answer = await send(contracts, *lines, key="one")
    again = await send(contracts, *lines, key="one")
    another = await send(contracts, *lines)

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert {k: body[k] for k in ("new", "corrected", "unchanged", "outdated", "refused")} == {
        "new": 2,
        "corrected": 0,
        "unchanged": 0,
        "outdated": 1,  # the first line, by the third one of the same day
        "refused": 14,
    }
    assert [p["line"] for p in body["problems"]] == list(range(5, 19))
    assert body["problems"][0]["problem"]["type"] == "/problems/usage-of-nobody"
    assert body["problems"][3]["problem"]["type"] == "/problems/day-not-begun"
    assert body["problems"][5]["problem"]["errors"][0]["field"] == "activities"
    assert again.json() == body
    assert (another.json()["new"], another.json()["unchanged"]) == (0, 2)
    assert (await line_of(contracts, partner, customer))["activities"] == 9


async def test_a_call_of_more_than_ten_thousand_reports_is_refused(contracts: Running) -> None:
    assert problem(await send(contracts, *[b"{}"] * 10_001))["type"] == "/problems/too-many-reports"
    assert (await send(contracts)).json()["new"] == 0


async def test_what_an_application_reports_needs_attention_until_it_says_otherwise(
    contracts: Running, partner: str
) -> None:
    customer = await a_customer(contracts, partner)
    item = {"key": "a-1", "subject": "Risk without an owner", "next_action": "assign_owner"}
    await report(contracts, customer, attention=[item, item | {"key": "a-2"}])
    await report(contracts, customer, attention=[item], revision=1)
    assert (await line_of(contracts, partner, customer))["attention"] == 2

    await report(contracts, customer, attention=[item | {"resolved": True}], revision=2)

    assert (await line_of(contracts, partner, customer))["attention"] == 1


async def test_a_partner_reports_and_sees_the_use_of_its_own_customers_alone(contracts: Running, partner: str) -> None:
    customer = await a_customer(contracts, partner)
    other = str((await contracts.post("/v1/partners", {"name": "Other", "wallet": False})).json()["partner_id"])
    for tenant, email in ((partner, "ada@lumen.example"), (other, "eve@other.example")):
        await contracts.post(f"/v1/partners/{tenant}/admins", {"email": email, "name": "A"})
    await contracts.deliver(*[e for e in await contracts.everything_published() if e.topic == "access.changed"])

    mine = await report(contracts, customer, email="ada@lumen.example")
    theirs = await report(contracts, customer, email="eve@other.example")
    days = await contracts.get(f"/v1/customers/{customer}/usage", email="ada@lumen.example")
    hidden = await contracts.get(f"/v1/customers/{customer}/usage", email="eve@other.example")

    assert mine.json()["taken"] == "new"
    assert problem(theirs)["type"] == "/problems/usage-of-nobody"
    assert days.json()["days"] == [{"day": str(TODAY), "source": "desk", "activities": 1, "revision": 0}]
    assert problem(hidden)["type"] == "/problems/customer-not-found"
    acting = await contracts.http.put(
        f"/v1/customers/{customer}/usage/desk/{TODAY}",
        json={"activities": 2},
        headers=contracts.headers("ada@lumen.example", tenant=f"customer/{customer}"),
    )
    assert acting.json()["taken"] == "corrected"  # switched to its customer, and on record as that
    acted = await contracts.rows("select subject from audit where action = 'customer.acted_for'")
    assert acted == [{"subject": f"customer/{customer}"}]
