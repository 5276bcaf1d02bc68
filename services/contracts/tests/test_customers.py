"""Customers, from outside: a partner's own companies, invoicing details, parents, and who may see whom."""

import asyncio
from typing import Any

import pytest

from kit.testing import Running, problem
from schemas.access import AccessChanged
from schemas.customer import CustomerChanged
from schemas.event import uuid7
from schemas.values import Address

LUMEN = {"name": "Lumen Learning", "kind": "default", "wallet": True, "language": "nl"}
WHOLE = {
    "legal_name": "Zilverberg Techniek B.V.",
    "address": {"street": "Kade 1", "postal_code": "3011 AA", "city": "Rotterdam", "country": "NL"},
    "vat_id": "NL0044.95.445.B01",
    "registration_number": "24112345",
    "invoice_email": "invoices@zilverberg.example",
}


@pytest.fixture
async def partner_id(contracts: Running) -> str:
    """A partner with the admin ada@lumen.example."""
    partner_id = str((await contracts.post("/v1/partners", LUMEN)).json()["partner_id"])
    await contracts.post(f"/v1/partners/{partner_id}/admins", {"email": "ada@lumen.example", "name": "Ada"})
    await contracts.deliver(*await contracts.published(AccessChanged))
    return partner_id


async def make(contracts: Running, name: str, **fields: Any) -> dict[str, Any]:
    answer = await contracts.post("/v1/customers", {"name": name, **fields})
    assert answer.status_code == 201, answer.text
    customer: dict[str, Any] = answer.json()
    return customer


async def edit(
    contracts: Running, method: str, path: str, body: Any, version: int, email: str = "admin@tandem.example"
) -> Any:
    headers = contracts.headers(email) | {"If-Match": f'"{version}"'}
    return await contracts.http.request(method, path, json=body, headers=headers)


async def test_a_customer_of_the_marketplace_is_announced_with_its_invoicing_details(
    contracts: Running,
) -> None:
    made = await make(contracts, "Zilverberg", size="large", language="nl", invoicing=WHOLE)

    [announced] = await contracts.published(CustomerChanged)
    assert made["missing"] == []
    assert made["invoicing"]["vat_id"] == "NL004495445B01"
    assert (announced.status, announced.partner_id, announced.size) == ("active", None, "large")
    assert announced.invoicing.address == Address(
        street="Kade 1", postal_code="3011 AA", city="Rotterdam", country="NL"
    )
    assert announced.invoicing.vat_id == "NL004495445B01"


async def test_a_partners_admin_makes_companies_for_its_own_partner(contracts: Running, partner_id: str) -> None:
    answer = await contracts.post("/v1/customers", {"name": "Group A"}, email="ada@lumen.example")
    other_id = (await contracts.post("/v1/partners", {**LUMEN, "name": "Other"})).json()["partner_id"]
    foreign = await contracts.post(
        "/v1/customers", {"name": "Group B", "partner_id": other_id}, email="ada@lumen.example"
    )

    assert (answer.json()["partner_id"], answer.json()["status"]) == (partner_id, "company")
    assert problem(foreign)["type"] == "/problems/not-your-partner"


async def test_incomplete_details_are_kept_and_what_is_missing_is_shown(contracts: Running) -> None:
    made = await make(contracts, "Zilverberg", invoicing={"address": {"city": "Rotterdam", "country": "NL"}})

    [announced] = await contracts.published(CustomerChanged)
    assert made["missing"] == [
        "invoicing.legal_name",
        "invoicing.address.street",
        "invoicing.address.postal_code",
        "invoicing.vat_id",
        "invoicing.invoice_email",
    ]
    assert made["invoicing"]["address"]["city"] == "Rotterdam"
    assert announced.invoicing.address is None  # half an address is none to others


async def test_details_that_are_wrong_are_refused_with_the_field_named(contracts: Running) -> None:
    answer = await contracts.post(
        "/v1/customers",
        {"name": "Zilverberg", "invoicing": {**WHOLE, "vat_id": "NL004495446B01", "invoice_email": "@"}},
    )

    errors = problem(answer)["errors"]
    assert [e["field"] for e in errors] == ["invoicing.vat_id", "invoicing.invoice_email"]
    assert await contracts.published(CustomerChanged) == []


async def test_completing_the_details_is_one_edit_on_the_version_that_was_read(contracts: Running) -> None:
    made = await make(contracts, "Zilverberg")
    path = f"/v1/customers/{made['customer_id']}/invoicing"

    done = await edit(contracts, "PUT", path, WHOLE, version=1)
    again = await edit(contracts, "PUT", path, WHOLE, version=2)
    stale = await edit(contracts, "PUT", path, {}, version=1)

    assert done.json()["missing"] == []
    assert done.headers["ETag"] == again.headers["ETag"] == '"2"'
    assert problem(stale)["type"] == "/problems/changed"
    assert [e.version for e in await contracts.published(CustomerChanged)] == [1, 2]


async def test_nobody_sees_or_changes_another_tenants_customer(contracts: Running, partner_id: str) -> None:
    own = await make(contracts, "Own", partner_id=partner_id)
    foreign = await make(contracts, "Foreign")
    foreign_path = f"/v1/customers/{foreign['customer_id']}"

    listed = await contracts.get("/v1/customers", email="ada@lumen.example")
    shown = await contracts.get(foreign_path, email="ada@lumen.example")
    edited = await edit(contracts, "PUT", f"{foreign_path}/invoicing", {}, 1, email="ada@lumen.example")
    renamed = await edit(contracts, "PATCH", foreign_path, {"name": "Mine"}, 1, email="ada@lumen.example")
    acting = await contracts.get(
        "/v1/customers", email="ada@lumen.example", tenant=f"customer/{foreign['customer_id']}"
    )
    acting_for_own = await contracts.get(
        "/v1/customers", email="ada@lumen.example", tenant=f"customer/{own['customer_id']}"
    )

    assert [c["name"] for c in listed.json()["items"]] == ["Own"]
    assert {problem(answer)["type"] for answer in (shown, edited, renamed)} == {"/problems/customer-not-found"}
    assert problem(acting)["status"] == 403
    assert [c["name"] for c in acting_for_own.json()["items"]] == ["Own"]


async def test_the_database_itself_hides_other_tenants_rows(contracts: Running, partner_id: str) -> None:
    from sqlalchemy import text

    from kit.auth import act_as

    await make(contracts, "Own", partner_id=partner_id)
    await make(contracts, "Foreign")

    async with contracts.service.database.api.begin() as db:
        await act_as(db, f"partner/{partner_id}", "test")
        customers = (await db.scalars(text("select name from customers"))).all()
        partners = (await db.scalars(text("select id::text from partners"))).all()
        grants = (await db.scalars(text("select email from access_grants"))).all()
    async with contracts.service.database.api.begin() as db:
        nobody = (await db.scalars(text("select name from customers"))).all()

    assert (customers, partners, grants, nobody) == (["Own"], [partner_id], ["ada@lumen.example"], [])


async def test_a_parent_is_of_the_same_partner_and_never_its_own_descendant(
    contracts: Running, partner_id: str
) -> None:
    top = await make(contracts, "Top", partner_id=partner_id)
    middle = await make(contracts, "Middle", partner_id=partner_id, parent_id=top["customer_id"])
    bottom = await make(contracts, "Bottom", partner_id=partner_id, parent_id=middle["customer_id"])
    elsewhere = await make(contracts, "Elsewhere")
    path = f"/v1/customers/{top['customer_id']}"

    circle = await edit(contracts, "PATCH", path, {"parent_id": bottom["customer_id"]}, 1)
    itself = await edit(contracts, "PATCH", path, {"parent_id": top["customer_id"]}, 1)
    other = await edit(contracts, "PATCH", path, {"parent_id": elsewhere["customer_id"]}, 1)
    unknown = await edit(contracts, "PATCH", path, {"parent_id": str(uuid7())}, 1)
    freed = await edit(contracts, "PATCH", f"/v1/customers/{middle['customer_id']}", {"parent_id": None}, 1)
    children = await contracts.get("/v1/customers", parent_id=middle["customer_id"])

    assert problem(circle)["type"] == problem(itself)["type"] == "/problems/own-ancestor"
    assert problem(other)["type"] == "/problems/parent-elsewhere"
    assert problem(unknown)["type"] == "/problems/customer-not-found"
    assert freed.json()["parent_id"] is None
    assert [c["name"] for c in children.json()["items"]] == ["Bottom"]


async def test_edits_at_once_never_tie_parents_into_a_circle(contracts: Running) -> None:
    ring = [await make(contracts, name) for name in ("North", "East", "South", "West")]

    async def below(child: dict[str, Any], parent: dict[str, Any]) -> Any:
        path = f"/v1/customers/{child['customer_id']}"
        return await edit(contracts, "PATCH", path, {"parent_id": parent["customer_id"]}, 1)

    answers = await asyncio.gather(*(below(ring[n], ring[(n + 1) % 4]) for n in range(4)))

    parents = await contracts.rows("select parent_id from customers")
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 422]
    assert sum(row["parent_id"] is None for row in parents) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"size": "huge"},
        {"status": "company"},  # a company of no partner
        {"status": "closed"},  # nobody begins so
        {"status": "trial", "trial_days": 0},
        {"status": "trial", "trial_days": 367},
        {"time_zone": "Europe/Nowhere"},
        {"time_zone": "../etc/passwd"},
        {"partner_id": "x"},
        {"invoicing": []},
        {"invoicing": {"address": {"country": "ZZ"}}},
        {"credits": 10},
    ],
)
async def test_a_customer_that_is_wrong_is_refused_by_name(contracts: Running, wrong: dict[str, Any]) -> None:
    answer = await contracts.post("/v1/customers", {"name": "Zilverberg", **wrong})

    assert problem(answer)["status"] == 422
    assert await contracts.published(CustomerChanged) == []
