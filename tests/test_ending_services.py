"""Services end across the suite: by mails and their links, on the clock's day, once, whatever crashes meanwhile."""

import asyncio
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from kit.testing import eventually
from stack.client import link_in
from tests.scheduled import SCHEDULED
from tests.suite import Suite
from tests.test_contract_invoices import INVOICING, agreed

MANY = 3_000


async def a_customer(suite: Suite, time: str) -> dict[str, Any]:
    """A customer with a partner, both with admins; the partner's clock stands at `time`."""
    partner = await suite.partner(wallet=False)
    clock = {"tenant_kind": "partner", "tenant_id": partner["partner_id"], "time": time}
    await suite.post("contracts", "/v1/test-clocks", clock)
    customer = await suite.customer(partner=partner, status="company")
    return {**customer, "partner": partner}


async def running_services(suite: Suite, customer: dict[str, Any], number: int, last_day: date) -> list[str]:
    """Services of a year that ends on a day; with `number` terminations agreed for it, as of long ago."""
    wanted = {"n": number, "customer_id": UUID(customer["customer_id"]), "last_day": last_day}
    for statement in SCHEDULED:
        values = [(name, value) for name, value in wanted.items() if f":{name}" in statement]
        for place, (name, _) in enumerate(values, 1):
            kind = {"n": "int", "customer_id": "uuid", "last_day": "date"}[name]
            statement = statement.replace(f":{name}", f"${place}::{kind}")
        await suite.execute("contracts", statement, *(value for _, value in values))
    rows = await suite.rows(
        "contracts", "select id from service_contracts where customer_id = $1", wanted["customer_id"]
    )
    return [str(row["id"]) for row in rows]


async def advance(suite: Suite, customer: dict[str, Any], time: str) -> None:
    path = f"/v1/test-clocks/{customer['partner']['partner_id']}/advance"
    await suite.post("contracts", path, {"time": time})


async def told(suite: Suite, topic: str, contracts: set[str]) -> list[tuple[str, dict[str, Any]]]:
    """The event ids and values that a topic holds about some contracts."""
    found = []
    consumer = AIOKafkaConsumer(bootstrap_servers=suite.processes.parts.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        metadata = await consumer._client.fetch_all_metadata()
        partitions = [TopicPartition(topic, number) for number in metadata.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [
                    (dict(record.headers)["ce_id"].decode(), orjson.loads(record.value))
                    for record in records
                    if record.key and record.key.decode("utf-8", "replace") in contracts
                ]
    finally:
        await consumer.stop()
    return found


async def test_an_early_end_is_proposed_accepted_by_the_mails_link_executed_and_invoiced_as_accepted(
    suite: Suite,
) -> None:
    partner = await suite.partner(wallet=False)
    partner_id, by = partner["partner_id"], partner["admin"]
    clock = {"tenant_kind": "partner", "tenant_id": partner_id, "time": "2026-03-02T09:00:00Z"}
    await suite.post("contracts", "/v1/test-clocks", clock)
    await agreed(suite, partner_id, "invoicing", INVOICING)
    await agreed(suite, partner_id, "agreement", {"commission_bp": 1000, "commission_months": 12})
    product = {"code": f"year-{partner_id[-6:]}", "kind": "subscription", "label": "Learning"}
    terms = {"terms": {"monthly_fee": 10_000, "term_months": 12}, "conditions_version": "1"}
    made = await suite.post("contracts", "/v1/service-products", {**product, **terms})
    customer = await suite.customer(partner=partner, status="trial")
    wish = {"customer_id": customer["customer_id"], "product_id": made["product_id"], "conditions_version": "1"}
    await suite.post("contracts", "/v1/subscription-orders", wish, by=by)

    async def invoices() -> list[dict[str, Any]]:
        found = await suite.get("billing", "/v1/invoices", customer_id=customer["customer_id"])
        return list(reversed(found["items"]))

    async def invoices_are(number: int) -> bool:
        return len(await invoices()) == number

    await eventually(lambda: invoices_are(1), within_s=60)
    [first] = await invoices()  # 2 March to 1 April, and paid
    payment = {"amount": first["gross"], "paid_on": "2026-03-02"}
    await suite.post("billing", f"/v1/invoices/{first['invoice_id']}/payments", payment)
    await suite.settle()

    contract = first["contract_id"]
    services = [{"contract_id": contract, "wish_date": "2026-03-20"}]
    body = {"customer_id": customer["customer_id"], "services": services, "reason": "moving"}
    request = await suite.post("contracts", "/v1/terminations", body, by=by)
    path = f"/v1/terminations/{request['terminations'][0]['termination_id']}"
    version = (await suite.get("contracts", path))["version"]
    await suite.post("contracts", f"{path}/proposals", {}, headers={"If-Match": f'"{version}"'})
    proposal = await suite.mail(to=customer["admin"], subject="Proposal", within_s=60)
    page = await suite.press(link_in(proposal), "accept")
    scheduled = await suite.get("contracts", path, by=by)
    confirmed = [await suite.mail(to=to, subject="Confirmed", within_s=60) for to in (customer["admin"], by)]
    await eventually(lambda: invoices_are(2), within_s=60)
    await suite.post("contracts", f"/v1/test-clocks/{partner_id}/advance", {"time": "2026-03-20T22:59:59Z"})
    still = await suite.get("contracts", path, by=by)
    await suite.post("contracts", f"/v1/test-clocks/{partner_id}/advance", {"time": "2026-03-20T23:00:00Z"})

    async def over() -> bool:
        ended = await suite.get("contracts", path, by=by)
        schedule = await suite.get("billing", f"/v1/schedules/{contract}", by=by)
        return bool(ended["state"] == "ended" and schedule["state"] == "ended")

    await eventually(over, within_s=60)
    await suite.settle()
    # Twelve of March's thirty-one days and eleven months, less what is paid for those twelve days.
    assert page.status_code == 200
    assert (scheduled["state"], scheduled["quote"]["total"], still["state"]) == ("scheduled", 110_000, "scheduled")
    assert [line["amount"] for line in scheduled["quote"]["lines"]] == [3_871, *[10_000] * 11, -3_871]
    assert all("EUR 1,100.00" in mail["text"] and "20 March 2026" in mail["text"] for mail in confirmed)
    [(_, bought)] = await told(suite, "contract.buyout_accepted", {contract})
    [(_, terminated)] = await told(suite, "contract.terminated", {contract})
    assert bought["amount"] == {"amount": 110_000, "currency": "EUR"}
    assert bought["lines_hash"] == scheduled["agreed_hash"]
    assert (terminated["last_day"], terminated["termination_id"]) == ("2026-03-20", scheduled["termination_id"])
    # Billing invoiced the accepted sum, once, and gives nothing back of the days that it has set off.
    assert [(i["kind"], i["net"]["amount"]) for i in await invoices()] == [("invoice", 10_000), ("invoice", 110_000)]


async def test_contracts_killed_in_the_middle_of_a_long_night_ends_every_service_once(suite: Suite) -> None:
    customer = await a_customer(suite, "2026-06-30T12:00:00Z")
    contracts = await running_services(suite, customer, MANY, date(2026, 6, 30))
    mine = UUID(customer["customer_id"])
    service = suite.processes.service("contracts")
    last = "select contract_id from terminations where customer_id = $1 order by ends_at desc, id desc limit 1"
    [row] = await suite.rows("contracts", last, mine)
    holder = await asyncpg.connect(suite.processes.parts.database("contracts").worker)
    try:
        held = holder.transaction()
        await held.start()  # the last batch comes to stand on this row
        await holder.fetch("select 1 from service_contracts where id = $1 for update", row["contract_id"])
        await advance(suite, customer, "2026-07-01T00:00:00Z")

        async def in_the_middle() -> bool:
            sql = "select count(*) filter (where state = 'ended') as n from terminations where customer_id = $1"
            [ended] = await suite.rows("contracts", sql, mine)
            [blocked] = await suite.rows("contracts", "select count(*) as n from pg_locks where not granted")
            return bool(0 < ended["n"] < MANY and blocked["n"])

        await eventually(in_the_middle, within_s=90)
        await asyncio.to_thread(service.kill9)
        await held.rollback()
    finally:
        await holder.close()
    await asyncio.to_thread(service.launch)
    await asyncio.to_thread(service.await_ready)

    async def over() -> bool:
        sql = "select count(*) as n from terminations where customer_id = $1 and state = 'ended'"
        [ended] = await suite.rows("contracts", sql, mine)
        return bool(ended["n"] == MANY)

    await eventually(over, within_s=90)
    await suite.settle()
    facts = await told(suite, "contract.terminated", set(contracts))
    steps = await suite.rows(
        "contracts",
        "select count(*) as n, count(distinct termination_id) as one from termination_steps"
        " where customer_id = $1 and step = 'ended'",
        mine,
    )
    # Kafka may hold a record twice after a crash, under the same event id; never two events about one end.
    assert len({event_id for event_id, _ in facts}) == len({v["termination_id"] for _, v in facts}) == MANY
    assert (steps[0]["n"], steps[0]["one"]) == (MANY, MANY)
    [night, *_] = (await suite.get("contracts", "/v1/termination-nights"))["items"]
    assert (night["due"], night["ended"]) == (MANY, MANY)
