"""A partner that sells: its agreement, its customer on trial, and a plan."""

from typing import Any

from kit.testing import Running
from schemas.access import AccessChanged

ADA, BEN, CARL = "ada@lumen.example", "ben@ponte.example", "carl@zilverberg.example"
CONTACT = {"name": "A. Buyer"}
WHOLE = {
    "legal_name": "Zilverberg Techniek B.V.",
    "address": {"street": "Kade 1", "postal_code": "3011 AA", "city": "Rotterdam", "country": "NL"},
    "vat_id": "NL004495445B01",
    "registration_number": "24112345",
    "invoice_email": "invoices@zilverberg.example",
}
LUMENS = {**WHOLE, "legal_name": "Lumen Learning B.V.", "invoice_email": "invoices@lumen.example"}
ACADEMY: dict[str, Any] = {
    "code": "academy",
    "kind": "subscription",
    "label": "Tandem Academy",
    "terms": {
        "monthly_fee": 49500,
        "term_months": 12,
        "notice_months": 3,
        "one_off": [{"label": "Set-up", "amount": 150000}],
    },
    "term_options": [24],
    "conditions_version": "2026-01",
}


class World:
    """A partner with its agreement, its customer on trial with an admin, and a plan."""

    def __init__(self, contracts: Running) -> None:
        self.contracts = contracts
        self.partner_id = self.customer_id = self.product_id = ""

    async def build(self) -> "World":
        self.partner_id = await self.partner("Lumen", ADA)
        await self.put(f"/v1/partners/{self.partner_id}/agreement", {"commission_bp": 1000, "commission_months": 24}, 0)
        await self.put(f"/v1/partners/{self.partner_id}/invoicing", LUMENS, 1)
        self.customer_id = await self.customer(invoicing=WHOLE)
        await self.contracts.post(
            "/v1/grants",
            {"role": "customer_admin", "tenant_kind": "customer", "tenant_id": self.customer_id, "email": CARL},
        )
        await self.contracts.deliver(*await self.contracts.published(AccessChanged))
        self.product_id = str((await self.contracts.post("/v1/service-products", ACADEMY)).json()["product_id"])
        return self

    async def partner(self, name: str, email: str) -> str:
        body = {"name": name, "kind": "default", "wallet": False, "language": "nl"}
        partner_id = str((await self.contracts.post("/v1/partners", body)).json()["partner_id"])
        await self.contracts.post(f"/v1/partners/{partner_id}/admins", {"email": email, "name": "Somebody"})
        await self.contracts.deliver(*await self.contracts.published(AccessChanged))
        return partner_id

    async def customer(self, **more: Any) -> str:
        body = {"name": "Zilverberg", "status": "trial", "partner_id": self.partner_id, "language": "it", **more}
        answer = await self.contracts.post("/v1/customers", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["customer_id"])

    async def put(self, path: str, body: Any, version: int, email: str = "admin@tandem.example") -> Any:
        headers = self.contracts.headers(email) | {"If-Match": f'"{version}"'}
        answer = await self.contracts.http.put(path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def file(self, email: str = ADA, **company: Any) -> dict[str, Any]:
        body = {"company": {"name": "Zilverberg", **company}, "contact": CONTACT}
        answer = await self.contracts.post("/v1/deals", body, email=email)
        assert answer.status_code == 201, answer.text
        deal: dict[str, Any] = answer.json()
        return deal

    def wish(self, **more: Any) -> dict[str, Any]:
        return {"product_id": self.product_id, "conditions_version": "2026-01", **more}

    async def order(self, email: str = CARL, **more: Any) -> Any:
        return await self.contracts.post("/v1/subscription-orders", self.wish(**more), email=email)

    async def deal(self, deal_id: str, email: str = "admin@tandem.example") -> dict[str, Any]:
        found: dict[str, Any] = (await self.contracts.get(f"/v1/deals/{deal_id}", email=email)).json()
        return found

    async def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.contracts.get(f"/v1/customers/{self.customer_id}")).json()
        return found

    async def items(self, email: str = "admin@tandem.example") -> list[dict[str, Any]]:
        answer = await self.contracts.get("/v1/attention", email=email, kind="order_incomplete")
        found: list[dict[str, Any]] = answer.json()["items"]
        return found
