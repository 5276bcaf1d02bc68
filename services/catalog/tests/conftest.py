"""A catalog service of each test's own, on a real database, and how its stories begin."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from catalog.app import service
from catalog.services import CONDITIONS
from kit.testing import Migrated, Running
from schemas.access import AccessChanged
from schemas.customer import CustomerChanged
from schemas.partner import PartnerChanged


@pytest.fixture(scope="session")
def migrated(parts: Any) -> Migrated:
    return Migrated(parts, service)


@pytest.fixture
async def catalog(migrated: Migrated) -> AsyncIterator[Running]:
    async with migrated.running() as running:
        yield running


@dataclass
class Story:
    """What happened before a test begins to look."""

    catalog: Running
    sites: dict[str, Any] = field(default_factory=dict)

    async def supplier(self, name: str = "Leerhuis Amstel", email: str = "sanne@leerhuis.example") -> str:
        users = [{"email": email, "name": "Sanne Bakker"}]
        answer = await self.catalog.post("/v1/suppliers", {"name": name, "users": users})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["supplier_id"])

    async def agreement(self, text: str = "You teach, we bring the people.") -> int:
        answer = await self.catalog.post("/v1/agreements", {"text": text})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["version"])

    async def accepts(self, supplier_id: str, version: int, **more: Any) -> None:
        body = {"version": version, "accepted_by": "Sanne Bakker"}
        answer = await self.catalog.post(f"/v1/suppliers/{supplier_id}/agreement", body, **more)
        assert answer.status_code == 200, answer.text

    async def switches(self, supplier_id: str, on: bool = True, **more: Any) -> None:
        answer = await self.catalog.http.put(
            f"/v1/suppliers/{supplier_id}/services/enrollments",
            json={"on": on, "conditions": [c.id for c in CONDITIONS]},
            headers=self.catalog.headers(**more),
        )
        assert answer.status_code == 200, answer.text

    async def course(self, supplier_id: str | None = None, **more: Any) -> dict[str, Any]:
        body = course_body(supplier_id=supplier_id, offered_by="supplier" if supplier_id else "platform") | more
        answer = await self.catalog.post("/v1/courses", body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def open_supplier(self, name: str = "Leerhuis Amstel", email: str = "sanne@leerhuis.example") -> str:
        """A supplier that has done all five steps."""
        answer = await self.catalog.get("/v1/agreements/current")
        version = answer.json()["version"] if answer.status_code == 200 else await self.agreement()
        supplier_id = await self.supplier(name, email)
        await self.accepts(supplier_id, version)
        await self.switches(supplier_id)
        await self.course(supplier_id)
        return supplier_id

    async def partner(self, name: str = "Noorderlicht", kind: str = "default", email: str | None = None) -> str:
        """A partner as contracts announces it, and an admin of it where an address is given."""
        partner_id = uuid4()
        await self.catalog.deliver(PartnerChanged(version=1, partner_id=partner_id, name=name, kind=kind, wallet=True))
        if email:
            await self.grant("partner_admin", "partner", partner_id, email)
        return str(partner_id)

    async def customer(self, name: str = "Brouwerij De Eik", email: str | None = None) -> str:
        customer_id = uuid4()
        await self.catalog.deliver(CustomerChanged(version=1, customer_id=customer_id, name=name))
        if email:
            await self.grant("hr", "customer", customer_id, email)
        return str(customer_id)

    async def grant(self, role: str, kind: str, tenant_id: UUID | None, email: str) -> None:
        await self.catalog.deliver(
            AccessChanged(version=1, grant_id=uuid4(), role=role, tenant_kind=kind, tenant_id=tenant_id, email=email)
        )

    async def opening(self, supplier_id: str, site: str = "public") -> tuple[bool, str | None]:
        """Whether enrollments are possible on a site, and why not."""
        checklist = (await self.catalog.get(f"/v1/suppliers/{supplier_id}/checklist")).json()
        found = next(s for s in checklist["sites"] if s["site"] == site)
        return found["open"], found["reason"]


def course_body(**more: Any) -> dict[str, Any]:
    """A course as an author sends it."""
    return {
        "offered_by": "supplier",
        "title": "Veilig werken op hoogte",
        "kind": "classroom",
        "language": "nl",
        "list_price": {"amount": 39_500, "currency": "EUR"},
        "sessions": [
            {
                "starts_at": "2027-03-02T08:00:00Z",
                "ends_at": "2027-03-02T16:00:00Z",
                "place": "Utrecht",
                "capacity": 12,
            }
        ],
    } | more


@pytest.fixture
def story(catalog: Running) -> Story:
    return Story(catalog)


@pytest.fixture(name="course_body")
def _course_body() -> Any:
    return course_body
