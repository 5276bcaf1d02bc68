"""A partner, its customer and the customer's services on a clock of their own, to be ended."""

import re
from datetime import date, datetime
from typing import Any
from uuid import UUID

import httpx

from contracts.services.rules import Kind, Terms
from contracts.services.usecases import NewContract, offered, start_contract
from kit.testing import Running
from schemas.access import AccessChanged
from schemas.event import uuid7

PARTNER = "ada@lumen.example"
CUSTOMER = "cato@zilverberg.example"
SECOND = "carl@zilverberg.example"
FINANCE = "fin@tandem.example"
JOBS = (
    "remind_of_terminations",
    "expire_asked_terminations",
    "alert_finance",
    "end_services",
    "end_ported_services",
)


class Leaving:
    """The world in which services end; `at` says what time it is there."""

    def __init__(self, running: Running) -> None:
        self.running = running

    async def begin(self, at: str = "2026-03-02T09:00:00Z", *, language: str = "en", admins: bool = True) -> "Leaving":
        """A partner with an admin, its customer with one too, finance, and a clock."""
        post = self.running.post
        self.partner_id = (await post("/v1/partners", {"name": "Lumen", "wallet": False})).json()["partner_id"]
        clock = {"tenant_kind": "partner", "tenant_id": self.partner_id, "time": at}
        assert (await post("/v1/test-clocks", clock)).status_code == 201
        await post(f"/v1/partners/{self.partner_id}/admins", {"email": PARTNER, "name": "Ada"})
        self.customer_id = await self.customer("Zilverberg", language=language)
        if admins:
            await self.grant(CUSTOMER, "customer_admin", "customer", self.customer_id)
        await self.grant(FINANCE, "finance", "platform")
        return self

    async def customer(self, name: str, **more: Any) -> str:
        body = {"name": name, "partner_id": self.partner_id, **more}
        answer = await self.running.post("/v1/customers", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["customer_id"])

    async def grant(self, email: str, role: str, kind: str, tenant_id: str | None = None) -> None:
        body = {"role": role, "tenant_kind": kind, "tenant_id": tenant_id, "email": email, "name": "N"}
        assert (await self.running.post("/v1/grants", body)).status_code == 201
        await self.running.deliver(*await self.running.published(AccessChanged))

    async def service(
        self, starts_on: str = "2026-01-01", *, label: str = "Fibre", zone: str = "Europe/Amsterdam", **terms: Any
    ) -> str:
        """A running service: 12 months, renewed by 12, a month's notice, 100.00 a month, unless said otherwise."""
        code = f"p-{uuid7().hex[-12:]}"
        agreed = {"monthly_fee": 10_000, **terms}
        body = {"code": code, "label": label, "terms": agreed, "conditions_version": "1"}
        product = await self.running.post("/v1/service-products", body)
        assert product.status_code == 201, product.text
        async with self.running.db() as db:
            found, _ = await offered(db, UUID(product.json()["product_id"]), kind=Kind.SERVICE)
            new = NewContract(
                found,
                Terms(**agreed),
                UUID(self.customer_id),
                UUID(self.partner_id),
                date.fromisoformat(starts_on),
                zone,
                order_id=uuid7(),
            )
            return str(
                (await start_contract(db, new, actor="test", now=datetime.fromisoformat(starts_on + "T00:00Z"))).id
            )

    # -- time ------------------------------------------------------------------------------------------

    async def at(self, time: str, *, run: bool = True) -> None:
        """It is later now; what is due by then is done."""
        moved = await self.running.post(f"/v1/test-clocks/{self.partner_id}/advance", {"time": time})
        assert moved.status_code == 200, moved.text
        if run:
            await self.work()

    async def work(self) -> None:
        """Every job, until none finds anything."""
        while sum([await self.running.run_job(name) for name in JOBS]):
            pass

    # -- what people do --------------------------------------------------------------------------------

    async def request(self, *services: str | tuple[str, str], by: str = PARTNER, **more: Any) -> httpx.Response:
        """Ask for the end of services, each by itself or with its wish date."""
        asked = [
            {"contract_id": one} if isinstance(one, str) else {"contract_id": one[0], "wish_date": one[1]}
            for one in services
        ]
        return await self.running.post(
            "/v1/terminations", {"customer_id": self.customer_id, "services": asked, **more}, email=by
        )

    async def requested(self, *services: str | tuple[str, str], **more: Any) -> list[str]:
        """The ids of the terminations that a request made."""
        answer = await self.request(*services, **more)
        assert answer.status_code == 201, answer.text
        return [t["termination_id"] for t in answer.json()["terminations"]]

    async def shown(self, termination_id: str, *, by: str = PARTNER) -> dict[str, Any]:
        answer = await self.running.get(f"/v1/terminations/{termination_id}", email=by)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def act(
        self, termination_id: str, what: str, body: Any = None, *, by: str = FINANCE, version: int | None = None
    ) -> httpx.Response:
        """`proposals`, `take-over`, `settle`, `close` or `withdraw`, on the version that was just read."""
        if version is None:
            version = (await self.shown(termination_id, by=by))["version"]
        headers = {"If-Match": f'"{version}"'}
        return await self.running.post(f"/v1/terminations/{termination_id}/{what}", body or {}, email=by, **headers)

    async def press(self, link: str, action: str, note: str = "") -> httpx.Response:
        return await self.running.http.post(link, data={"action": action, "note": note})

    async def open(self, link: str) -> httpx.Response:
        return await self.running.http.get(link)

    async def mails(self, to: str, subject: str = "") -> list[dict[str, Any]]:
        """The mails to somebody, oldest first."""
        return [m for m in await self.running.mails() if m["recipient"] == to and subject in m["subject"]]

    async def links(self, to: str = CUSTOMER, subject: str = "") -> list[str]:
        """The links in the newest mail to somebody."""
        mail = [m for m in await self.mails(to, subject) if "/links/" in m["text"]][-1]
        return links_in(mail)


def links_in(mail: dict[str, Any]) -> list[str]:
    return re.findall(r"https?://[^/\s]+(/links/\S+)", mail["text"])
