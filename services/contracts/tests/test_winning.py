"""From a trial to a subscription, from outside: orders that win deals, and orders that are kept."""

import asyncio
from typing import Any

import pytest

from kit import clock
from kit.testing import Running, problem
from schemas.contract import OrderPlaced
from schemas.customer import CustomerChanged
from schemas.deal import DealLost, DealRegistered, DealWon, SubscriptionStarted
from schemas.values import Money
from services.contracts.tests.selling import ADA, BEN, CARL, LUMENS, WHOLE, World


@pytest.fixture
async def world(contracts: Running) -> World:
    return await World(contracts).build()


async def test_the_customers_own_order_wins_the_deal_of_its_partner(contracts: Running, world: World) -> None:
    deal = await world.file(customer_id=world.customer_id)

    order = (await world.order(term_months=24)).json()

    won = await world.deal(deal["deal_id"])
    [fact] = await contracts.published(DealWon)
    [started] = await contracts.published(SubscriptionStarted)
    contract = (await contracts.get(f"/v1/service-contracts/{order['contract_id']}", email=CARL)).json()
    customer = await world.shown()
    assert (order["state"], order["missing"], order["ordered_by"]) == ("done", [], "customer")
    assert (won["state"], won["contract_id"]) == ("won", order["contract_id"])
    assert (str(fact.deal_id), str(fact.customer_id), str(fact.partner_id)) == (
        deal["deal_id"],
        world.customer_id,
        world.partner_id,
    )
    assert fact.commission is not None
    assert (fact.commission.rate_bp, fact.commission.months, fact.invoicer) == (1000, 24, "platform")
    assert (fact.contract.term_months, fact.contract.notice_months) == (24, 3)
    assert fact.contract.monthly_fee == Money(amount=49500, currency="EUR")
    assert [cost.cost.amount for cost in fact.contract.one_off] == [150000]
    assert fact.customer.vat_id == "NL004495445B01"
    assert fact.partner is not None
    assert fact.partner.legal_name == "Lumen Learning B.V."
    assert (contract["kind"], contract["state"], contract["deal_id"]) == ("subscription", "active", deal["deal_id"])
    assert contract["starts_on"] == str(fact.contract.starts_on) == str(started.starts_on)
    assert started.from_trial
    assert (customer["status"], customer["customer_id"]) == ("active", world.customer_id)


async def test_the_account_goes_on_without_a_gap(contracts: Running, world: World) -> None:
    before = await contracts.get("/v1/customers", email=CARL)
    await world.order()
    after = await contracts.get("/v1/customers", email=CARL)

    facts = [f for f in await contracts.published(CustomerChanged) if str(f.customer_id) == world.customer_id]
    assert (before.status_code, after.status_code) == (200, 200)
    assert [f.status for f in facts if f.status != "trial"] == ["active"]  # never closed between
    assert len({str(f.customer_id) for f in facts}) == 1


async def test_everybody_who_has_a_part_is_told_once_in_their_language(contracts: Running, world: World) -> None:
    await world.order()

    won = [m for m in await contracts.mails() if m["event"] == "deal.won"]
    by = {m["recipient"]: m for m in won}
    assert sorted(by) == [ADA, "admin@tandem.example", CARL]
    assert len(won) == 3
    assert "The subscription" not in by[ADA]["subject"]
    assert by["admin@tandem.example"]["subject"] == "Zilverberg: the subscription Tandem Academy has started"
    assert by[ADA]["subject"] == "Zilverberg: het abonnement Tandem Academy is begonnen"
    assert by[CARL]["subject"] == "Zilverberg: l'abbonamento Tandem Academy è iniziato"
    assert "EUR 495.00" in by[ADA]["text"]
    assert "EUR 495.00" in by[CARL]["text"]
    assert "Preavviso: 3 mesi" in by[CARL]["text"]


async def test_an_order_without_a_deal_makes_one_with_the_agreements_commission(
    contracts: Running, world: World
) -> None:
    await world.order()

    [registered] = await contracts.published(DealRegistered)
    [won] = await contracts.published(DealWon)
    assert won.deal_id == registered.deal_id
    assert won.commission is not None
    assert won.commission.rate_bp == 1000


async def test_a_customer_without_partner_subscribes_without_commission(contracts: Running, world: World) -> None:
    world.partner_id = ""
    body = {"name": "Kade 9", "status": "trial", "invoicing": WHOLE}
    made = (await contracts.post("/v1/customers", body)).json()

    order = await world.order("admin@tandem.example", customer_id=made["customer_id"])

    [won] = await contracts.published(DealWon)
    assert order.json()["state"] == "done"
    assert (won.partner_id, won.commission, won.partner, won.invoicer) == (None, None, None, "platform")
    assert won.ordered_by == "platform"


async def test_others_deals_on_the_customer_are_lost_and_nobody_is_named(contracts: Running, world: World) -> None:
    await world.partner("Ponte", BEN)
    theirs = await world.file(BEN, registration_number="24112345")
    alike = await world.file(BEN, name="Zilverbergh")  # only looks like it
    mine = await world.file(registration_number="24112345")

    await world.order()

    [lost] = await contracts.published(DealLost)
    assert (str(lost.deal_id), lost.reason) == (theirs["deal_id"], "ordered_elsewhere")
    assert (await world.deal(mine["deal_id"]))["state"] == "won"
    assert (await world.deal(alike["deal_id"], BEN))["state"] == "registered"
    seen = await world.deal(theirs["deal_id"], BEN)
    assert [step["what"] for step in seen["history"]] == ["registered", "lost"]
    assert "Lumen" not in str(seen)
    assert world.customer_id not in str(seen)


async def test_an_incomplete_order_is_kept_and_wins_when_the_last_detail_is_there(
    contracts: Running, world: World
) -> None:
    version = (await world.shown())["version"]
    version = (await world.put(f"/v1/customers/{world.customer_id}/invoicing", {}, version))["version"]
    deal = await world.file(customer_id=world.customer_id)

    order = (await world.order()).json()
    told = {"platform": await world.items(), "partner": await world.items(ADA)}
    [held] = await contracts.rows("select trial_held from customers where id = :id", id=world.customer_id)
    path = f"/v1/customers/{world.customer_id}/invoicing"
    half = await world.put(path, {**WHOLE, "vat_id": None}, (await world.shown())["version"])
    between = (await contracts.get(f"/v1/orders/{order['order_id']}", email=CARL)).json()
    done = await world.put(path, WHOLE, half["version"], CARL)

    after = (await contracts.get(f"/v1/orders/{order['order_id']}", email=CARL)).json()
    assert order["state"] == "waiting"
    assert order["missing"][0] == "customer.invoicing.legal_name"
    assert [len(items) for items in told.values()] == [1, 1]
    assert held["trial_held"]
    assert (between["state"], between["missing"]) == ("waiting", ["customer.invoicing.vat_id"])
    assert (after["state"], after["missing"], done["status"]) == ("done", [], "active")
    assert (await world.deal(deal["deal_id"]))["state"] == "won"
    assert await world.items() == await world.items(ADA) == []
    assert len(await contracts.published(DealWon)) == 1


async def test_the_partners_own_details_are_needed_too_and_the_clock_finds_what_was_completed(
    contracts: Running, world: World
) -> None:
    shown = (await contracts.get(f"/v1/partners/{world.partner_id}")).json()
    await world.put(f"/v1/partners/{world.partner_id}/invoicing", {}, shown["version"])
    order = (await world.order()).json()
    nothing = await contracts.run_job("complete_orders", clock.now())
    async with contracts.db() as db:
        import json

        from sqlalchemy import text

        await db.execute(text("update partners set invoicing = :i"), {"i": json.dumps(LUMENS)})

    done = await contracts.run_job("complete_orders", clock.now())
    again = await contracts.run_job("complete_orders", clock.now())

    assert order["missing"][0] == "partner.invoicing.legal_name"
    assert (nothing, done, again) == (0, 1, 0)
    assert len(await contracts.published(DealWon)) == 1


async def test_a_partner_marks_a_deal_won_only_when_it_is_complete(contracts: Running, world: World) -> None:
    deal = await world.file()
    path = f"/v1/deals/{deal['deal_id']}/win"

    async def win(version: int, **more: Any) -> Any:
        headers = contracts.headers(ADA) | {"If-Match": f'"{version}"'}
        return await contracts.http.post(path, json={"conditions_version": "2026-01", **more}, headers=headers)

    bare = await win(1)
    stale = await win(7, customer_id=world.customer_id, product_id=world.product_id)
    old = await win(1, customer_id=world.customer_id, product_id=world.product_id, conditions_version="2025-01")
    empty = await win(1, customer_id=world.customer_id, product_id=world.product_id, invoicing={})
    won = await win(1, customer_id=world.customer_id, product_id=world.product_id)
    twice = await win(2, customer_id=world.customer_id, product_id=world.product_id)

    assert problem(bare)["missing"] == ["deal.customer_id", "deal.product_id"]
    assert problem(stale)["type"] == "/problems/changed"
    assert problem(old)["type"] == "/problems/conditions-not-agreed"
    assert problem(empty)["type"] == "/problems/deal-incomplete"
    assert "customer.invoicing.vat_id" in problem(empty)["missing"]
    assert (won.json()["state"], won.json()["version"]) == ("won", 2)
    assert problem(twice)["type"] in ("/problems/deal-is-closed", "/problems/already-subscribed")
    [fact] = await contracts.published(DealWon)
    [placed] = await contracts.published(OrderPlaced)
    assert (fact.ordered_by, placed.kind) == ("partner", "subscription")


async def test_many_who_order_at_once_make_one_subscription(contracts: Running, world: World) -> None:
    await world.file(customer_id=world.customer_id)

    answers = await asyncio.gather(
        *(world.order(*who) for who in ((CARL,), (CARL,))),
        *(world.order(ADA, customer_id=world.customer_id) for _ in range(3)),
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert len(await contracts.published(DealWon)) == 1
    assert await contracts.value("select count(*) from service_contracts") == 1
    refused = {problem(answer)["type"] for answer in answers if answer.status_code == 409}
    assert refused == {"/problems/already-subscribed"}


async def test_completing_and_cancelling_a_kept_order_at_once_ends_in_one_of_the_two(
    contracts: Running, world: World
) -> None:
    await world.put(f"/v1/customers/{world.customer_id}/invoicing", {}, (await world.shown())["version"])
    order = (await world.order()).json()
    version = (await world.shown())["version"]

    async def cancel() -> Any:
        headers = contracts.headers(CARL) | {"If-Match": f'"{order["version"]}"'}
        path = f"/v1/orders/{order['order_id']}/steps"
        return await contracts.http.post(path, json={"state": "cancelled", "reason": "mistake"}, headers=headers)

    cancelled, _ = await asyncio.gather(
        cancel(), world.put(f"/v1/customers/{world.customer_id}/invoicing", WHOLE, version)
    )

    after = (await contracts.get(f"/v1/orders/{order['order_id']}")).json()
    status = (await world.shown())["status"]
    outcome = (cancelled.status_code, after["state"], status, len(await contracts.published(DealWon)))
    assert outcome in [(200, "cancelled", "trial", 0), (412, "done", "active", 1)]
    assert await world.items() == []


async def test_a_retried_order_is_the_same_order(contracts: Running, world: World) -> None:
    once = await contracts.post("/v1/subscription-orders", world.wish(), email=CARL, key="k")
    again = await contracts.post("/v1/subscription-orders", world.wish(), email=CARL, key="k")

    assert once.json() == again.json()
    assert len(await contracts.published(DealWon)) == 1


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"conditions_version": "2025-12"}, "conditions-not-agreed"),
        ({"term_months": 36}, "term-not-offered"),
        ({"product_id": "019bc0bd-7380-7852-a0b8-dbf4827d2fda"}, "product-not-found"),
        ({"customer_id": "019bc0bd-7380-7852-a0b8-dbf4827d2fda"}, "customer-not-found"),
        ({"invoicing": {"vat_id": "NL000000000B00"}}, "not-understood"),
        ({"price": 1}, "not-understood"),
    ],
)
async def test_an_order_that_is_wrong_is_refused_by_name(
    contracts: Running, world: World, wrong: dict[str, Any], refusal: str
) -> None:
    answer = await world.order(**wrong)

    assert problem(answer)["type"] == f"/problems/{refusal}"
    assert await contracts.published(OrderPlaced) == []
    assert (await world.shown())["status"] == "trial"


async def test_a_withdrawn_plan_cannot_be_ordered_and_a_changed_one_leaves_contracts_alone(
    contracts: Running, world: World
) -> None:
    order = (await world.order()).json()
    path = f"/v1/service-products/{world.product_id}"
    body = {"status": "withdrawn", "terms": {"monthly_fee": 1}}
    await contracts.http.patch(path, json=body, headers=contracts.headers() | {"If-Match": '"1"'})
    other = (await contracts.post("/v1/customers", {"name": "B", "status": "trial", "invoicing": WHOLE})).json()

    refused = await world.order("admin@tandem.example", customer_id=other["customer_id"])

    contract = (await contracts.get(f"/v1/service-contracts/{order['contract_id']}")).json()
    assert problem(refused)["type"] == "/problems/product-withdrawn"
    assert contract["terms"]["monthly_fee"] == 49500
