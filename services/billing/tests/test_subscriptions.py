"""Contracts from their start to their end, on a real database: what is issued, and what every order leads to."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
import time_machine

from kit.testing import Running, problem
from schemas.clock import ClockChanged
from schemas.contract import BuyoutAccepted, ContractTerminated, SetOff, TerminationClosed, TerminationScheduled
from schemas.event import Event, uuid7
from schemas.invoice import InvoiceCredited, InvoiceIssued, InvoicePaid
from schemas.values import Money

from .facts import COMPLETE, activated, customer, ending, partner, terms, won

START = date(2027, 3, 10)


def at(text: str) -> time_machine.travel:
    """The clock stands at noon of a day."""
    return time_machine.travel(datetime.fromisoformat(text).replace(hour=12, tzinfo=UTC), tick=False)


def euro(amount: int) -> Money:
    return Money(amount=amount, currency="EUR")


class Contract:
    """One contract of a customer, and the words about its end."""

    def __init__(self, **more: Any) -> None:
        self.id, self.customer_id, self.termination_id = uuid7(), uuid7(), uuid7()
        self.terms = terms(self.id, START, **more)
        self.activated = activated(self.terms, self.customer_id)
        self.customer = customer(self.customer_id)

    def end(self, kind: Any, **more: Any) -> Any:
        return ending(kind, self.termination_id, self.id, self.customer_id, **more)


async def documents(billing: Running, contract_id: UUID) -> list[tuple[Any, ...]]:
    """Kind, matter, first and last day, net: in the order of their numbers."""
    found = await billing.rows(
        "select kind, matter, period_from, period_to, net from invoices where contract_id = :id order by sequence",
        id=contract_id,
    )
    return [tuple(row.values()) for row in found]


async def balance(billing: Running, contract_id: UUID, matter: str = "fees") -> int:
    """What was invoiced less what was credited."""
    found: int = await billing.value(
        "select coalesce(sum(case kind when 'invoice' then net else -net end), 0)::bigint from invoices"
        " where contract_id = :id and matter = :matter",
        id=contract_id,
        matter=matter,
    )
    return found


async def test_a_service_is_invoiced_on_its_first_day_and_then_every_month_on_its_anchor(billing: Running) -> None:
    contract = Contract(one_off=[{"label": "Installation", "cost": euro(99_00)}])
    with at("2027-03-08"):
        await billing.deliver(contract.customer, contract.activated)
        assert await documents(billing, contract.id) == []
    with at("2027-03-10"):
        assert await billing.run_job("invoice_months") == 1
        assert await billing.run_job("invoice_months") == 0
    with at("2027-05-11"):  # two months went by meanwhile
        await billing.run_job("invoice_months")

    assert await documents(billing, contract.id) == [
        ("invoice", "one_off", None, None, 99_00),
        ("invoice", "fees", date(2027, 3, 10), date(2027, 4, 9), 310_00),
        ("invoice", "fees", date(2027, 4, 10), date(2027, 5, 9), 310_00),
        ("invoice", "fees", date(2027, 5, 10), date(2027, 6, 9), 310_00),
    ]
    issued = await billing.published(InvoiceIssued)
    assert [event.number for event in issued] == ["2027-000001", "2027-000002", "2027-000003", "2027-000004"]
    assert (issued[1].net, issued[1].vat, issued[1].gross) == (euro(310_00), euro(65_10), euro(375_10))
    assert (issued[1].issued_on, issued[1].due_on) == (date(2027, 3, 10), date(2027, 4, 9))
    assert issued[1].payer == "customer"


async def test_the_local_midnight_begins_the_month(billing: Running) -> None:
    contract = Contract(time_zone="Europe/Amsterdam")
    with time_machine.travel(datetime(2027, 3, 9, 22, 59, tzinfo=UTC), tick=False):
        await billing.deliver(contract.customer, contract.activated)
        assert await documents(billing, contract.id) == []
        schedule = (await billing.get(f"/v1/schedules/{contract.id}")).json()
    with time_machine.travel(datetime(2027, 3, 9, 23, 0, tzinfo=UTC), tick=False):
        await billing.run_job("invoice_months")

    assert schedule["due_at"] == "2027-03-09T23:00:00Z"
    assert len(await documents(billing, contract.id)) == 1


async def test_the_deal_won_alone_starts_the_subscription_with_the_details_it_carries(billing: Running) -> None:
    contract, customer_id = terms(uuid7(), START), uuid7()
    with at("2027-03-10"):
        await billing.deliver(won(contract, customer_id))  # the customer itself is not known here yet

    answer = await billing.get("/v1/invoices", customer_id=str(customer_id))
    (invoice,) = answer.json()["items"]
    assert invoice["buyer"]["legal_name"] == COMPLETE["legal_name"]
    assert invoice["period_from"] == "2027-03-10"
    assert invoice["reference"].startswith("RF")


async def test_nothing_is_issued_before_the_details_are_complete_and_all_of_it_after(billing: Running) -> None:
    contract = Contract()
    with at("2027-03-10"):
        await billing.deliver(contract.activated)
        schedule = (await billing.get(f"/v1/schedules/{contract.id}")).json()
        assert schedule["missing"] == [f"customer.invoicing.{n}" for n in COMPLETE]
        assert await documents(billing, contract.id) == []
        await billing.deliver(contract.customer)
    with time_machine.travel(datetime(2027, 3, 10, 12, 2, tzinfo=UTC), tick=False):
        assert await billing.run_job("invoice_months") == 1

    assert len(await documents(billing, contract.id)) == 1
    assert (await billing.get(f"/v1/schedules/{contract.id}")).json()["missing"] == []


async def test_a_partner_that_invoices_its_customer_is_invoiced_less_its_commission(billing: Running) -> None:
    contract, customer_id, partner_id = terms(uuid7(), START, 249_00), uuid7(), uuid7()
    deal = won(contract, customer_id, partner_id, invoicer="partner")
    with at("2027-03-10"):
        await billing.deliver(partner(partner_id, invoicing=COMPLETE | {"legal_name": "Newer B.V."}), deal)
        (invoice,) = (await billing.get("/v1/invoices", contract_id=str(contract.contract_id))).json()["items"]
        await pay(billing, invoice)

    assert (invoice["payer"], invoice["buyer"]["legal_name"]) == ("partner", "Newer B.V.")
    assert [line["net"]["amount"] for line in invoice["lines"]] == [249_00, -24_90]
    assert (invoice["net"]["amount"], invoice["vat"]["amount"]) == (224_10, 47_06)
    assert await billing.value("select count(*) from commissions") == 0


async def test_the_last_month_is_invoiced_by_the_day_and_the_rest_when_the_end_is_lifted(billing: Running) -> None:
    contract = Contract()
    with at("2027-03-20"):
        await billing.deliver(contract.customer, contract.activated)
        await billing.deliver(contract.end(TerminationScheduled, last_day=date(2027, 4, 20)))
    with at("2027-04-10"):
        await billing.run_job("invoice_months")
    last = ("invoice", "fees", date(2027, 4, 10), date(2027, 4, 20), 113_67)
    assert (await documents(billing, contract.id))[1:] == [last]
    assert (await billing.get(f"/v1/schedules/{contract.id}")).json()["due_at"] is None

    with at("2027-04-15"):
        await billing.deliver(contract.end(TerminationClosed))

    assert (await documents(billing, contract.id))[1:] == [
        last,
        ("invoice", "fees", date(2027, 4, 21), date(2027, 5, 9), 196_33),
    ]
    assert (await billing.get(f"/v1/schedules/{contract.id}")).json()["last_day"] is None


async def test_days_invoiced_beyond_the_end_are_credited_when_it_has_come(billing: Running) -> None:
    contract = Contract()
    with at("2027-03-12"):
        await billing.deliver(contract.customer, contract.activated)
        await billing.deliver(contract.end(TerminationScheduled, last_day=date(2027, 3, 31)))
    with at("2027-04-01"):
        await billing.deliver(contract.end(ContractTerminated, last_day=date(2027, 3, 31)))

    assert (await documents(billing, contract.id))[1:] == [
        ("credit_note", "fees", date(2027, 4, 1), date(2027, 4, 9), 90_00)
    ]
    (credited,) = await billing.published(InvoiceCredited)
    (issued,) = await billing.published(InvoiceIssued)
    assert credited.credited_invoice_id == issued.invoice_id
    assert (credited.reason, credited.gross) == ("ended", euro(108_90))
    schedule = (await billing.get(f"/v1/schedules/{contract.id}")).json()
    assert (schedule["state"], schedule["last_day"]) == ("ended", "2027-03-31")


async def test_a_buyout_is_invoiced_once_and_credited_when_it_falls_away(billing: Running) -> None:
    contract = Contract()
    accepted = contract.end(BuyoutAccepted, last_day=date(2027, 6, 9), amount=euro(1_000_00))
    with at("2027-03-12"):
        await billing.deliver(contract.customer, contract.activated)
        await billing.deliver(accepted)
        await billing.deliver(accepted.model_copy(), contract.end(TerminationScheduled, last_day=date(2027, 6, 9)))
        assert await balance(billing, contract.id, "buyout") == 1_000_00

        await billing.deliver(contract.end(TerminationClosed, buyout_was_accepted=True))

    assert (await documents(billing, contract.id))[1:] == [
        ("invoice", "buyout", None, None, 1_000_00),
        ("credit_note", "buyout", None, None, 1_000_00),
    ]
    (credited,) = await billing.published(InvoiceCredited)
    assert (credited.reason, credited.termination_id) == ("withdrawn", contract.termination_id)


async def test_a_buyout_below_zero_is_a_credit_note_and_taken_back_by_an_invoice(billing: Running) -> None:
    contract = Contract()
    with at("2027-03-12"):
        await billing.deliver(contract.customer, contract.activated)
        await billing.deliver(contract.end(BuyoutAccepted, last_day=date(2027, 6, 9), amount=euro(-50_00)))
        assert await balance(billing, contract.id, "buyout") == -50_00
        await billing.deliver(contract.end(TerminationClosed))

    assert await balance(billing, contract.id, "buyout") == 0
    (credited,) = await billing.published(InvoiceCredited)
    assert (credited.credited_invoice_id, credited.reason) == (None, "buyout_below_zero")
    assert (await billing.published(InvoiceIssued))[-1].replaces_id == credited.invoice_id


LAST = date(2027, 3, 31)


async def test_every_order_leaves_the_days_served_paid_once_and_the_days_set_off_kept(shared: Running) -> None:
    """An early end with a buy-out that sets off the rest of the month; as each order of its facts tells it."""
    for order in permutations(["buyout", "scheduled", "terminated"]):
        contract = Contract()
        with at("2027-03-12"):
            await shared.deliver(contract.customer, contract.activated)
        (invoice_id,) = [
            row["id"] for row in await shared.rows("select id from invoices where contract_id = :id", id=contract.id)
        ]
        off = SetOff(
            invoice_id=invoice_id, period_from=date(2027, 4, 1), period_to=date(2027, 4, 9), amount=euro(90_00)
        )
        facts = {
            "buyout": contract.end(BuyoutAccepted, last_day=LAST, amount=euro(500_00), set_off=[off]),
            "scheduled": contract.end(TerminationScheduled, last_day=LAST, early=True),
            "terminated": contract.end(ContractTerminated, last_day=LAST, early=True),
        }
        with at("2027-04-01"):
            for name in order:
                await shared.deliver(facts[name])

        assert await balance(shared, contract.id) == 310_00, order  # 220 served, 90 set off
        assert await balance(shared, contract.id, "buyout") == 500_00, order


async def test_every_order_of_start_and_end_comes_to_the_same(shared: Running) -> None:
    found = set()
    for order in permutations(["customer", "activated", "scheduled", "terminated"]):
        contract = Contract()
        facts: dict[str, Event] = {
            "customer": contract.customer,
            "activated": contract.activated,
            "scheduled": contract.end(TerminationScheduled, last_day=LAST),
            "terminated": contract.end(ContractTerminated, last_day=LAST),
        }
        with at("2027-04-01"):
            for name in order:
                await shared.deliver(facts[name])
        with time_machine.travel(datetime(2027, 4, 1, 12, 5, tzinfo=UTC), tick=False):
            while await shared.run_job("invoice_months"):
                pass
        rows = await shared.rows(
            "select state, last_day, due_at, missing from schedules where contract_id = :id", id=contract.id
        )
        found.add((await balance(shared, contract.id), str(rows)))

    assert len(found) == 1
    assert next(iter(found))[0] == 220_00


async def test_all_of_it_again_changes_nothing(billing: Running) -> None:
    contract = Contract()
    facts: Sequence[Event] = [
        contract.customer,
        contract.activated,
        contract.end(BuyoutAccepted, last_day=LAST, amount=euro(500_00)),
        contract.end(TerminationScheduled, last_day=LAST, early=True),
        contract.end(ContractTerminated, last_day=LAST, early=True),
    ]
    with at("2027-04-01"):
        await billing.deliver(*facts)
        before = await billing.rows("select * from invoices order by sequence"), await billing.everything_published()
        await billing.empty_inbox()
        await billing.deliver(*reversed(facts))
        await billing.run_job("invoice_months")

    after = await billing.rows("select * from invoices order by sequence"), await billing.everything_published()
    assert after == before


async def test_a_tenants_own_time_runs_two_years_at_once(billing: Running) -> None:
    contract = Contract()
    clock = ClockChanged(
        tenant_id=contract.customer_id, tenant_kind="customer", version=1, time=datetime(2029, 3, 9, 12, tzinfo=UTC)
    )
    with at("2027-03-10"):
        await billing.deliver(contract.customer, contract.activated)
        await billing.deliver(clock)
        while await billing.run_job("invoice_months"):
            pass

    assert await balance(billing, contract.id) == 24 * 310_00


# -- numbers, payments, credit notes, commissions ---------------------------------------------------------------


async def pay(billing: Running, invoice: dict[str, Any], amount: int | None = None, **more: Any) -> Any:
    body = {
        "amount": {"amount": invoice["gross"]["amount"] if amount is None else amount, "currency": "EUR"},
        "paid_on": "2027-04-02",
    }
    return await billing.post(f"/v1/invoices/{invoice['invoice_id']}/payments", body | more)


async def subscribed(billing: Running, **more: Any) -> tuple[dict[str, Any], UUID]:
    """The first invoice of a customer whose partner earns ten percent, and the partner."""
    contract, customer_id, partner_id = terms(uuid7(), START, 249_00), uuid7(), uuid7()
    with at("2027-03-10"):
        await billing.deliver(customer(customer_id, partner_id=partner_id), partner(partner_id))
        await billing.deliver(won(contract, customer_id, partner_id, **more))
    (invoice,) = (await billing.get("/v1/invoices", contract_id=str(contract.contract_id))).json()["items"]
    return invoice, partner_id


async def test_a_paid_invoice_earns_the_commission_and_a_credited_one_loses_it_in_proportion(billing: Running) -> None:
    invoice, partner_id = await subscribed(billing)

    assert (await pay(billing, invoice, 100_00)).json()["settled_on"] is None
    paid = (await pay(billing, invoice, 201_29)).json()
    note = await billing.post(f"/v1/invoices/{invoice['invoice_id']}/credit-notes", {"net": 83_00})

    assert (paid["open"]["amount"], paid["settled_on"]) == (0, "2027-04-02")
    assert note.json()["gross"]["amount"] == 100_43
    entries = await billing.rows("select kind, amount from commissions order by id")
    # 100.00 of 301.29 is 82.64 net; then 249.00; then 166.00: ten percent of each, less what was there.
    assert [tuple(row.values()) for row in entries] == [("payment", 8_26), ("payment", 16_64), ("credit", -8_30)]
    (settled,) = await billing.published(InvoicePaid)
    assert (settled.paid, settled.contract_id) == (euro(301_29), UUID(invoice["contract_id"]))
    month = (await billing.get(f"/v1/commissions/statements/{partner_id}", month="2027-04")).json()
    assert month["totals"] == [{"amount": 24_90, "currency": "EUR"}]
    assert {e["invoice_number"] for e in month["entries"]} == {invoice["number"]}
    assert {e["deal_id"] for e in month["entries"]} == {invoice["deal_id"]}


async def test_a_commission_ends_after_the_months_agreed(billing: Running) -> None:
    invoice, _ = await subscribed(billing, commission={"rate_bp": 1000, "months": 1})
    with at("2027-04-10"):
        await billing.run_job("invoice_months")
    answer = await billing.get("/v1/invoices", contract_id=invoice["contract_id"])

    for each in answer.json()["items"]:
        assert (await pay(billing, each)).status_code == 201

    assert await billing.value("select sum(amount)::bigint from commissions") == 24_90


async def test_the_same_payment_sent_twice_is_recorded_once(billing: Running) -> None:
    invoice, _ = await subscribed(billing)
    path, body = f"/v1/invoices/{invoice['invoice_id']}/payments", {"amount": {"amount": 1, "currency": "EUR"}}

    answers = [await billing.post(path, body | {"paid_on": "2027-04-02"}, key="the-same") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert await billing.value("select count(*) from payments") == 1


@pytest.mark.parametrize(
    ("amount", "currency", "problem_type"),
    [(301_30, "EUR", "too-much"), (1, "USD", "other-currency")],
)
async def test_a_payment_that_does_not_fit_is_refused_by_name(
    billing: Running, amount: int, currency: str, problem_type: str
) -> None:
    invoice, _ = await subscribed(billing)
    body = {"amount": {"amount": amount, "currency": currency}, "paid_on": "2027-04-02"}

    answer = await billing.post(f"/v1/invoices/{invoice['invoice_id']}/payments", body)

    assert answer.status_code == 422
    assert problem(answer)["type"].endswith(problem_type)


async def test_an_invoice_is_credited_no_further_than_it_goes_and_a_credit_note_is_not_paid(billing: Running) -> None:
    invoice, _ = await subscribed(billing)
    path = f"/v1/invoices/{invoice['invoice_id']}/credit-notes"

    whole = await billing.post(path, {})
    again = await billing.post(path, {})
    payment = await pay(billing, whole.json())

    assert whole.json()["gross"] == invoice["gross"]
    assert problem(again)["type"].endswith("too-much-credited")
    assert problem(payment)["type"].endswith("not-payable")


async def test_an_issued_invoice_cannot_be_changed_even_by_us(billing: Running) -> None:
    await subscribed(billing)

    for statement in ("update invoices set net = 0", "delete from invoices", "update commissions set amount = 1"):
        with pytest.raises(Exception, match="permission denied"):
            await billing.rows(statement)


async def test_each_sees_its_own_invoices_only(billing: Running) -> None:
    invoice, partner_id = await subscribed(billing)
    own, other_id = await subscribed(billing, invoicer="partner")
    for kind, tenant in (
        ("customer", invoice["customer_id"]),
        ("customer", own["customer_id"]),
        ("partner", partner_id),
    ):
        role = "customer_admin" if kind == "customer" else "partner_admin"
        await grant(billing, f"{tenant}@example.com", role, kind, tenant)

    async def seen(tenant: Any) -> list[str]:
        answer = await billing.get("/v1/invoices", email=f"{tenant}@example.com")
        assert answer.status_code == 200, answer.text
        return [item["number"] for item in answer.json()["items"]]

    assert await seen(invoice["customer_id"]) == [invoice["number"]]
    assert await seen(partner_id) == [invoice["number"]]
    # What the platform invoices its partner is not the customer's business.
    assert await seen(own["customer_id"]) == []
    answer = await billing.get(f"/v1/commissions/statements/{other_id}", email=f"{partner_id}@example.com")
    assert answer.status_code == 404


async def grant(billing: Running, email: str, role: str, kind: str, tenant_id: Any) -> None:
    from schemas.access import AccessChanged

    await billing.deliver(
        AccessChanged(
            version=1, grant_id=uuid7(), role=role, tenant_kind=kind, tenant_id=tenant_id, email=email, status="active"
        )
    )
