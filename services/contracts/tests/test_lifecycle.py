"""A customer from trial to its end: by hand, by an order, and by the clock of its own tenant."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.attention.usecases import Item, open_item, resolve_item
from contracts.customers.rules import days_left, next_renewal, trial_last_day
from contracts.customers.usecases import (
    end_subscriptions,
    hold_trial,
    plan_ends,
    start_subscription,
)
from contracts.terminations.rules import end_of_day, local_day, months_after
from contracts.zones import day_begins
from kit.testing import Running, problem
from schemas.customer import CustomerChanged
from schemas.enrollment import EnrollmentDeclined, EnrollmentRequested

START = datetime(2027, 3, 1, 12, tzinfo=UTC)


async def a_partner(contracts: Running, at: datetime = START) -> str:
    """A partner whose time stands at `at`."""
    partner = str((await contracts.post("/v1/partners", {"name": "Lumen", "wallet": False})).json()["partner_id"])
    clock = {"tenant_kind": "partner", "tenant_id": partner, "time": at.isoformat()}
    assert (await contracts.post("/v1/test-clocks", clock)).status_code == 201
    return partner


async def advance(contracts: Running, partner: str, at: datetime) -> None:
    answer = await contracts.post(f"/v1/test-clocks/{partner}/advance", {"time": at.isoformat()})
    assert answer.status_code == 200, answer.text
    for job in contracts.service.jobs:
        while await contracts.run_job(job.name):
            pass


async def a_customer(contracts: Running, partner: str, **more: Any) -> dict[str, Any]:
    body = {"name": "Zilverberg", "partner_id": partner, "status": "trial", "trial_days": 14} | more
    answer = await contracts.post("/v1/customers", body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def now_shown(contracts: Running, customer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await contracts.get(f"/v1/customers/{customer['customer_id']}")).json()
    return found


async def subscribe(contracts: Running, customer: dict[str, Any], **more: Any) -> UUID:
    contract_id = uuid4()
    wish = {"starts_on": date(2027, 3, 10), "renews_on": date(2028, 3, 10), "renewal_months": 12} | more
    async with contracts.db() as db:
        await start_subscription(
            db, UUID(customer["customer_id"]), contract_id=contract_id, actor="user:x", now=START, **wish
        )
    return contract_id


@pytest.mark.parametrize(
    ("today", "left"),
    [(date(2027, 3, 1), 14), (date(2027, 3, 13), 2), (date(2027, 3, 14), 1), (date(2027, 3, 15), 0)],
)
def test_the_last_day_of_a_trial_still_counts(today: date, left: int) -> None:
    last_day = trial_last_day(date(2027, 3, 1), 14)
    assert last_day == date(2027, 3, 14)
    assert days_left(today, last_day) == left


@pytest.mark.parametrize(
    ("first", "renews_on", "months", "today", "then"),
    [
        (date(2026, 1, 1), date(2027, 1, 1), 12, date(2027, 1, 1), date(2028, 1, 1)),
        (date(2026, 1, 31), date(2026, 2, 28), 1, date(2026, 2, 28), date(2026, 3, 31)),  # not 28 March
        (date(2024, 2, 29), date(2025, 2, 28), 12, date(2027, 12, 31), date(2028, 2, 29)),
        (date(2026, 1, 1), date(2027, 1, 1), 12, date(2026, 12, 31), date(2027, 1, 1)),  # not yet
    ],
)
def test_renewals_are_counted_from_the_first_day(
    first: date, renews_on: date, months: int, today: date, then: date
) -> None:
    assert next_renewal(first, renews_on, months, today) == then


@given(
    first=st.dates(date(2000, 1, 1), date(2090, 1, 1)),
    months=st.integers(1, 36),
    later=st.integers(0, 3000),
)
def test_the_next_renewal_is_after_today_and_on_the_anchor_day(first: date, months: int, later: int) -> None:
    today = first + timedelta(days=later)
    renews_on = next_renewal(first, months_after(first, months), months, today)
    elapsed = (renews_on.year - first.year) * 12 + renews_on.month - first.month
    assert renews_on > today
    assert elapsed % months == 0
    assert renews_on == months_after(first, elapsed)


@given(
    minute=st.integers(0, 99 * 365 * 24 * 60),
    zone=st.sampled_from(["Europe/Amsterdam", "Pacific/Kiritimati", "America/St_Johns", "Pacific/Pago_Pago"]),
)
def test_a_local_day_begins_when_it_begins_and_is_over_when_the_next_begins(minute: int, zone: str) -> None:
    moment = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    day = local_day(moment, zone)
    assert day_begins(day, zone) <= moment < end_of_day(day, zone)
    assert end_of_day(day, zone) == day_begins(day + timedelta(days=1), zone)


async def test_a_trial_shows_its_days_left_warns_and_is_over_at_midnight_where_the_customer_is(
    contracts: Running,
) -> None:
    partner = await a_partner(contracts)
    here = await a_customer(contracts, partner)
    far = await a_customer(contracts, partner, name="Far", time_zone="America/New_York")
    assert (here["status"], here["trial_ends_on"], here["days_left"]) == ("trial", "2027-03-14", 14)

    await advance(contracts, partner, datetime(2027, 3, 7, 22, 59, tzinfo=UTC))  # still the 7th in Amsterdam
    assert (await contracts.get("/v1/attention", tenant=None)).json()["items"] == []
    assert await contracts.value("select count(*) from attention_items") == 0
    await advance(contracts, partner, datetime(2027, 3, 7, 23, 0, tzinfo=UTC))  # seven days are left
    items = await contracts.rows("select * from attention_items")
    assert [(i["kind"], i["next_action"], str(i["about_customer_id"])) for i in items] == [
        ("trial_ends", "order_subscription", here["customer_id"])
    ]
    assert items[0]["due_at"] == datetime(2027, 3, 14, 23, 0, tzinfo=UTC)
    assert (await now_shown(contracts, here))["days_left"] == 7

    await advance(contracts, partner, datetime(2027, 3, 14, 22, 59, 59, tzinfo=UTC))
    assert (await now_shown(contracts, here))["status"] == "trial"
    await advance(contracts, partner, datetime(2027, 3, 14, 23, 0, tzinfo=UTC))
    over = await now_shown(contracts, here)
    assert (over["status"], over["closed_reason"], over["closed_on"]) == ("closed", "trial_over", "2027-03-14")
    assert over["days_left"] is None
    assert (await now_shown(contracts, far))["status"] == "trial"
    await advance(contracts, partner, datetime(2027, 3, 15, 4, 0, tzinfo=UTC))  # midnight in New York, in summer time
    assert (await now_shown(contracts, far))["closed_reason"] == "trial_over"

    told = [e for e in await contracts.published(CustomerChanged) if str(e.customer_id) == here["customer_id"]]
    assert [(e.version, e.status, e.closed_reason) for e in told] == [(1, "trial", None), (2, "closed", "trial_over")]
    assert await contracts.value("select count(*) from attention_items where resolved_at is null") == 0


async def test_a_subscription_takes_over_from_a_trial_without_a_lapse(contracts: Running) -> None:
    partner = await a_partner(contracts)
    customer = await a_customer(contracts, partner)
    await advance(contracts, partner, datetime(2027, 3, 10, tzinfo=UTC))
    assert await contracts.value("select attention from overview") == 1

    contract = await subscribe(contracts, customer)

    shown = await now_shown(contracts, customer)
    assert (shown["status"], shown["subscribed_on"], shown["renews_on"]) == ("active", "2027-03-10", "2028-03-10")
    assert await contracts.value("select attention from overview") == 0  # resolved by doing it
    await advance(contracts, partner, datetime(2028, 3, 9, 23, tzinfo=UTC))  # the 10th, in Amsterdam
    assert (await now_shown(contracts, customer))["renews_on"] == "2029-03-10"
    async with contracts.db() as db:
        await plan_ends(db, {contract: date(2029, 3, 9), uuid4(): None}, actor="user:x", now=START)
    assert (await now_shown(contracts, customer))["ends_on"] == "2029-03-09"
    async with contracts.db() as db:
        await end_subscriptions(db, {contract: date(2029, 3, 9)}, actor="system:clock", now=START)
        await end_subscriptions(db, {contract: date(2029, 3, 9)}, actor="system:clock", now=START)
    ended = await now_shown(contracts, customer)
    assert (ended["status"], ended["closed_reason"], ended["closed_on"], ended["renews_on"]) == (
        "closed",
        "ended",
        "2029-03-09",
        None,
    )
    statuses = [e.status for e in await contracts.published(CustomerChanged)]
    assert statuses == ["trial", "active", "active", "active", "closed"]


async def test_a_held_trial_does_not_end_until_it_is_released(contracts: Running) -> None:
    partner = await a_partner(contracts)
    customer = await a_customer(contracts, partner)
    async with contracts.db() as db:
        await hold_trial(db, UUID(customer["customer_id"]), True, actor="user:x", now=START)
    await advance(contracts, partner, datetime(2027, 5, 1, tzinfo=UTC))
    assert (await now_shown(contracts, customer))["status"] == "trial"

    async with contracts.db() as db:
        await hold_trial(db, UUID(customer["customer_id"]), False, actor="user:x", now=START)
    await contracts.run_job("end_trials_that_are_over")
    assert (await now_shown(contracts, customer))["closed_reason"] == "trial_over"


async def test_a_closed_customer_is_taken_back_with_what_it_had(contracts: Running) -> None:
    partner = await a_partner(contracts)
    customer = await a_customer(contracts, partner)
    path = f"/v1/customers/{customer['customer_id']}"
    closed = await contracts.post(f"{path}/close")
    assert (closed.json()["status"], closed.json()["closed_reason"]) == ("closed", "withdrawn")
    assert (await contracts.post(f"{path}/close")).json()["version"] == closed.json()["version"]

    again = await contracts.post(f"{path}/trial", {"days": 7})
    twice = await contracts.post(f"{path}/trial", {"days": 7})

    assert again.status_code == 201, again.text
    assert (again.json()["status"], again.json()["days_left"]) == ("trial", 7)
    assert again.json()["closed_reason"] is None
    assert problem(twice)["type"] == "/problems/not-from-here"


async def test_who_has_a_subscription_is_not_closed_by_hand_nor_subscribed_twice(contracts: Running) -> None:
    customer = await a_customer(contracts, await a_partner(contracts))
    contract = await subscribe(contracts, customer)
    path = f"/v1/customers/{customer['customer_id']}"

    assert problem(await contracts.post(f"{path}/close"))["type"] == "/problems/still-subscribed"
    assert problem(await contracts.post(f"{path}/trial", {}))["type"] == "/problems/not-from-here"
    with pytest.raises(Exception, match="has a subscription"):
        await subscribe(contracts, customer)
    async with contracts.db() as db:  # the same contract again changes nothing
        same = await start_subscription(
            db, UUID(customer["customer_id"]), contract_id=contract, starts_on=START.date(), renews_on=None,
            actor="user:x", now=START,
        )  # fmt: skip
        assert same.version == 2


@pytest.mark.parametrize(
    ("ends_on", "refusal"),
    [("2027-02-28", "trial-out-of-reach"), ("2028-03-04", "trial-out-of-reach"), ("2027-02-29", "not-understood")],
)
async def test_a_trial_ends_between_today_and_a_year(contracts: Running, ends_on: str, refusal: str) -> None:
    customer = await a_customer(contracts, await a_partner(contracts))
    path = f"/v1/customers/{customer['customer_id']}/trial"
    headers = contracts.headers(**{"If-Match": '"1"'})

    wrong = await contracts.http.put(path, json={"ends_on": ends_on}, headers=headers)
    right = await contracts.http.put(path, json={"ends_on": "2027-04-30"}, headers=headers)
    stale = await contracts.http.put(path, json={"ends_on": "2027-05-30"}, headers=headers)

    assert problem(wrong)["type"] == f"/problems/{refusal}"
    assert right.json()["days_left"] == 61
    assert problem(stale)["type"] == "/problems/changed"


# -- attention ----------------------------------------------------------------------------------------------


async def an_item(contracts: Running, customer: dict[str, Any], key: str = "k/1", **more: Any) -> None:
    item = Item(
        kind="porting_rejected",
        key=key,
        subject="Zilverberg",
        next_action="ask_again",
        partner_id=UUID(customer["partner_id"]),
        customer_id=UUID(customer["customer_id"]),
        **more,
    )
    async with contracts.db() as db:
        await open_item(db, item, now=START)


async def an_admin(contracts: Running, partner: str) -> str:
    email = f"ada@{partner}.example"
    await contracts.post(f"/v1/partners/{partner}/admins", {"email": email, "name": "Ada"})
    await contracts.deliver(*[e for e in await contracts.everything_published() if e.topic == "access.changed"])
    return email


async def test_items_are_opened_once_counted_and_stay_resolved_in_whatever_order(contracts: Running) -> None:
    customer = await a_customer(contracts, await a_partner(contracts))

    async def counted() -> Any:
        return await contracts.value("select attention from overview")

    await an_item(contracts, customer)
    await an_item(contracts, customer)
    assert await counted() == 1
    async with contracts.db() as db:
        await resolve_item(db, "k/1", by="user:x", now=START)
        await resolve_item(db, "k/1", by="user:y", now=START)
        await resolve_item(db, "k/2", by="user:x", now=START)  # before it was opened
    assert await counted() == 0
    await an_item(contracts, customer)
    await an_item(contracts, customer, "k/2")
    assert await counted() == 0
    assert await contracts.value("select resolved_by from attention_items where key = 'k/1'") == "user:x"


async def test_a_partner_sees_its_own_items_by_due_time_and_puts_them_aside(contracts: Running) -> None:
    partner, other = await a_partner(contracts), await a_partner(contracts)
    customer = await a_customer(contracts, partner)
    await an_item(contracts, customer, "k/never")
    await an_item(contracts, customer, "k/soon", due_at=START)
    await an_item(contracts, customer, "k/later", due_at=START + timedelta(days=3))
    await an_item(contracts, customer, "k/staff", audience="platform")
    ada, eve = await an_admin(contracts, partner), await an_admin(contracts, other)

    mine = (await contracts.get("/v1/attention", email=ada)).json()["items"]
    assert [i["due_at"] for i in mine] == ["2027-03-01T12:00:00Z", "2027-03-04T12:00:00Z", None]
    assert (await contracts.get("/v1/attention", email=eve)).json()["items"] == []
    staff = (await contracts.get("/v1/attention")).json()["items"]
    assert [i["kind"] for i in staff] == ["porting_rejected"]

    path = f"/v1/attention/{mine[0]['item_id']}"
    first = contracts.headers(ada, **{"If-Match": '"1"'})
    until = {"until": "2027-03-05T12:00:00Z"}
    aside = await contracts.http.put(f"{path}/snooze", json=until, headers=first)
    assert aside.status_code == 200, aside.text
    stale = await contracts.http.put(f"{path}/snooze", json=until, headers=first)
    past = await contracts.http.put(
        f"{path}/snooze", json={"until": "2027-03-01T12:00:00Z"}, headers=contracts.headers(ada, **{"If-Match": '"2"'})
    )
    not_hers = await contracts.http.put(
        f"{path}/snooze", json=until, headers=contracts.headers(eve, **{"If-Match": "*"})
    )
    by_hand = await contracts.post(f"{path}/resolve", email=ada)
    refused = [problem(answer)["type"] for answer in (stale, past, not_hers, by_hand)]
    assert refused == [
        "/problems/changed",
        "/problems/snooze-out-of-reach",
        "/problems/item-not-found",
        "/problems/resolved-by-doing",
    ]
    assert len((await contracts.get("/v1/attention", email=ada)).json()["items"]) == 2
    assert len((await contracts.get("/v1/attention", email=ada, snoozed=True)).json()["items"]) == 1
    assert await contracts.value("select attention from overview") == 2

    await advance(contracts, partner, datetime(2027, 3, 5, 12, tzinfo=UTC))
    assert await contracts.value("select attention from overview") == 3
    assert len((await contracts.get("/v1/attention", email=ada)).json()["items"]) == 3


async def test_a_request_waits_on_the_partners_list_until_it_is_decided_in_whatever_order(contracts: Running) -> None:
    partner = await a_partner(contracts)
    customer = await a_customer(contracts, partner)
    facts = {"person_id": uuid4(), "course_id": uuid4(), "customer_id": customer["customer_id"], "version": 1}
    first, second = uuid4(), uuid4()

    def asked(enrollment: UUID) -> EnrollmentRequested:
        expiry = START + timedelta(days=14)
        asked_by = {"way": "requested", "payment": "invoice", "at": START}
        return EnrollmentRequested(enrollment_id=enrollment, expires_at=expiry, **asked_by, **facts)

    def declined(enrollment: UUID) -> EnrollmentDeclined:
        return EnrollmentDeclined(enrollment_id=enrollment, way="requested", payment="invoice", **facts)

    await contracts.deliver(asked(first))
    await contracts.deliver(declined(second))  # overtook its request
    await contracts.deliver(asked(second))
    (item,) = await contracts.rows("select * from attention_items where resolved_at is null")
    assert (item["kind"], item["subject"], item["due_at"]) == (
        "approval_waiting",
        "Zilverberg",
        START + timedelta(days=3),
    )
    assert await contracts.value("select attention from overview") == 1

    await contracts.deliver(declined(first))
    await contracts.empty_inbox()
    await contracts.deliver(asked(first), declined(first), asked(second))
    assert await contracts.value("select attention from overview") == 0
