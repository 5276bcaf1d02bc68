"""A subscription from its order to its last day: contracts tells, billing invoices every day (BIL-9 to BIL-12)."""

from typing import Any

from kit.testing import eventually
from stack.client import link_in
from tests.suite import Suite

INVOICING = {
    "legal_name": "Partner B.V.",
    "address": {"street": "Kade 2", "postal_code": "3011 AB", "city": "Rotterdam", "country": "NL"},
    "vat_id": "NL004495445B01",
    "registration_number": "24112345",
    "invoice_email": "invoices@partner.example",
}


async def agreed(suite: Suite, partner_id: str, path: str, body: dict[str, Any]) -> None:
    at = f"/v1/partners/{partner_id}/{path}"
    shown = await suite.call("GET", "contracts", at if path == "agreement" else f"/v1/partners/{partner_id}")
    answer = await suite.call("PUT", "contracts", at, body, headers={"If-Match": shown.headers["ETag"]})
    assert answer.status_code == 200, answer.text


async def test_a_subscription_is_invoiced_from_its_order_to_its_last_day_and_its_partner_earns(suite: Suite) -> None:
    partner = await suite.partner(wallet=False)
    partner_id, by = partner["partner_id"], partner["admin"]
    clock = {"tenant_kind": "partner", "tenant_id": partner_id, "time": "2027-01-31T09:00:00Z"}
    await suite.post("contracts", "/v1/test-clocks", clock)
    await agreed(suite, partner_id, "invoicing", INVOICING)
    await agreed(suite, partner_id, "agreement", {"commission_bp": 1000, "commission_months": 12})
    terms = {"currency": "EUR", "monthly_fee": 31_000, "term_months": None, "notice_months": 0, "open_end": "day"}
    product = {"code": f"learn-{partner_id[-6:]}", "kind": "subscription", "label": "Learning", "terms": terms}
    made = await suite.post("contracts", "/v1/service-products", product | {"conditions_version": "2026-01"})
    customer = await suite.customer(partner=partner, status="trial")

    wish = {"customer_id": customer["customer_id"], "product_id": made["product_id"], "conditions_version": "2026-01"}
    order = await suite.post("contracts", "/v1/subscription-orders", wish, by=by)
    assert order["state"] == "done", order

    async def invoices() -> list[dict[str, Any]]:
        found = await suite.get("billing", "/v1/invoices", customer_id=customer["customer_id"])
        return list(reversed(found["items"]))

    async def invoices_are(number: int) -> bool:
        return len(await invoices()) == number

    await eventually(lambda: invoices_are(1), within_s=60)
    await suite.post("contracts", f"/v1/test-clocks/{partner_id}/advance", {"time": "2027-03-10T09:00:00Z"})
    await eventually(lambda: invoices_are(2), within_s=60)
    first, second = await invoices()
    assert (first["period_from"], first["period_to"]) == ("2027-01-31", "2027-02-27")
    assert (second["period_from"], second["period_to"]) == ("2027-02-28", "2027-03-30")
    payment = {"amount": first["gross"], "paid_on": "2027-02-20"}
    await suite.post("billing", f"/v1/invoices/{first['invoice_id']}/payments", payment)
    statement = await suite.get("billing", f"/v1/commissions/statements/{partner_id}", month="2027-02", by=by)
    assert statement["totals"] == [{"amount": 31_00, "currency": "EUR"}]
    assert statement["entries"][0]["invoice_number"] == first["number"]

    contract_id = first["contract_id"]
    ends = {"contract_id": contract_id, "wish_date": "2027-03-20"}
    body = {"customer_id": customer["customer_id"], "services": [ends], "reason": "moving"}
    await suite.post("contracts", "/v1/terminations", body, by=by)
    asked = await suite.mail(to=customer["admin"], subject="Please approve", within_s=60)
    assert (await suite.press(link_in(asked), "approve")).status_code == 200
    await suite.post("contracts", f"/v1/test-clocks/{partner_id}/advance", {"time": "2027-03-20T23:30:00Z"})
    await eventually(lambda: invoices_are(3), within_s=60)

    note = (await invoices())[2]
    assert (note["kind"], note["credits_id"]) == ("credit_note", second["invoice_id"])
    assert (note["period_from"], note["period_to"], note["net"]["amount"]) == ("2027-03-21", "2027-03-30", 100_00)
    schedule = await suite.get("billing", f"/v1/schedules/{contract_id}", by=by)
    assert (schedule["state"], schedule["last_day"], schedule["due_at"]) == ("ended", "2027-03-20", None)
