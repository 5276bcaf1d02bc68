"""A partner's sale, told across the suite: trial → deal → the customer's own order → services on → all invoiced."""

from typing import Any

from kit.testing import eventually
from tests.suite import Suite
from tests.test_contract_invoices import INVOICING, agreed


async def test_a_sale_goes_from_the_trial_to_services_that_are_invoiced(suite: Suite) -> None:
    partner = await suite.partner(wallet=False)
    partner_id, by = partner["partner_id"], partner["admin"]
    await agreed(suite, partner_id, "invoicing", INVOICING)
    await agreed(suite, partner_id, "agreement", {"invoicer": "platform", "commission_bp": 1500})

    async def offered(kind: str, fee: int) -> str:
        product = {"code": f"{kind}-{partner_id[-6:]}", "kind": kind, "label": kind.title()}
        terms = {"terms": {"monthly_fee": fee}, "conditions_version": "2026-01"}
        return str((await suite.post("contracts", "/v1/service-products", product | terms))["product_id"])

    plan, line = await offered("subscription", 49_500), await offered("service", 8_900)
    customer = await suite.customer(partner=partner, status="trial")
    customer_id = customer["customer_id"]
    admin = f"admin@{customer_id[-8:]}.example"
    grant = {"role": "customer_admin", "tenant_kind": "customer", "tenant_id": customer_id, "email": admin}
    await suite.post("contracts", "/v1/grants", grant)
    await suite.settle()
    form = {"company": {"name": customer["name"], "customer_id": customer_id}, "contact": {"name": "The buyer"}}
    deal = await suite.post("contracts", "/v1/deals", form, by=by)

    wish = {"product_id": plan, "conditions_version": "2026-01"}
    order = await suite.post("contracts", "/v1/subscription-orders", wish, by=admin)

    won = await suite.get("contracts", f"/v1/deals/{deal['deal_id']}", by=by)
    active = await suite.get("contracts", f"/v1/customers/{customer_id}", by=admin)
    assert (order["state"], won["state"], active["status"]) == ("done", "won", "active")

    ordered = {"customer_id": customer_id, "product_id": line, "conditions_version": "2026-01"}
    service = await suite.post("contracts", "/v1/orders", ordered, by=by)
    for step in ({"state": "accepted"}, {"state": "planned", "planned_on": "2099-01-05"}, {"state": "done"}):
        path = f"/v1/orders/{service['order_id']}/steps"
        etag = {"If-Match": f'"{service["version"]}"'}
        answer = await suite.call("POST", "contracts", path, step, headers=etag)
        assert answer.status_code == 200, answer.text
        service = answer.json()

    async def invoiced() -> dict[str, Any] | None:
        found = (await suite.get("billing", "/v1/invoices", customer_id=customer_id))["items"]
        return {i["contract_id"]: i for i in found} if len(found) == 2 else None

    invoices = await eventually(invoiced, within_s=60)
    assert set(invoices) == {order["contract_id"], service["contract_id"]}
    assert sorted(invoice["net"]["amount"] for invoice in invoices.values()) == [8_900, 49_500]
