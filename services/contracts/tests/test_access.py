"""Access, from outside: admins of partners, roles for everybody, and taking them back."""

import asyncio
from typing import Any

import pytest

from kit.testing import ADMIN, Running, eventually, problem
from schemas.access import AccessChanged
from schemas.event import uuid7
from schemas.partner import PartnerChanged
from schemas.person import PersonChanged
from schemas.supplier import SupplierChanged

LUMEN = {"name": "Lumen Learning", "kind": "default", "wallet": True, "language": "nl"}
ADA = {"email": "Ada@Lumen.example", "name": "Ada Visser"}


@pytest.fixture
async def partner_id(contracts: Running) -> str:
    return str((await contracts.post("/v1/partners", LUMEN)).json()["partner_id"])


async def admin_of(contracts: Running, partner_id: str, email: str) -> str:
    answer = await contracts.post(f"/v1/partners/{partner_id}/admins", {"email": email, "name": "Ada"})
    assert answer.status_code == 201, answer.text
    await contracts.deliver(*await contracts.published(AccessChanged))
    return str(answer.json()["grant_id"])


async def is_shut_out(contracts: Running, path: str, email: str) -> bool:
    """Within half a second, for as long as a process may answer by grants it read before."""
    return (await contracts.get(path, email=email)).status_code == 403


async def test_a_partners_new_admin_is_announced_invited_and_let_in(contracts: Running, partner_id: str) -> None:
    answer = await contracts.post(f"/v1/partners/{partner_id}/admins", ADA)
    await contracts.deliver(*await contracts.published(AccessChanged))
    after = await contracts.get(f"/v1/partners/{partner_id}", email="ada@lumen.example")

    announced = (await contracts.published(AccessChanged))[-1]
    [letter] = await contracts.mails()
    assert answer.status_code == 201
    assert str(announced.tenant_id) == partner_id
    assert (announced.role, announced.tenant_kind, announced.status) == ("partner_admin", "partner", "active")
    assert (announced.name, str(announced.grant_id)) == ("Ada Visser", answer.json()["grant_id"])
    assert after.json()["name"] == "Lumen Learning"
    assert letter["recipient"].lower() == "ada@lumen.example"
    assert letter["subject"] == "U heeft toegang tot Lumen Learning"


async def test_access_is_given_once_however_often_it_is_asked(contracts: Running, partner_id: str) -> None:
    path = f"/v1/partners/{partner_id}/admins"
    answers = await asyncio.gather(*(contracts.post(path, ADA) for _ in range(4)))
    shouted = await contracts.post(path, {**ADA, "email": "ADA@LUMEN.EXAMPLE"})

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    refusal = problem(shouted)
    assert refusal["type"] == "/problems/already-granted"
    assert refusal["grant_id"] in [a.json().get("grant_id") for a in answers if a.status_code == 201]
    assert len(await contracts.mails()) == 1


async def test_a_revoked_role_is_announced_and_shuts_its_holder_out(contracts: Running, partner_id: str) -> None:
    grant_id = await admin_of(contracts, partner_id, "ada@lumen.example")

    first = await contracts.http.delete(f"/v1/grants/{grant_id}", headers=contracts.headers())
    again = await contracts.http.delete(f"/v1/grants/{grant_id}", headers=contracts.headers())
    await contracts.deliver(*await contracts.published(AccessChanged))
    await eventually(lambda: is_shut_out(contracts, "/v1/partners", "ada@lumen.example"))
    given_anew = await contracts.post(f"/v1/partners/{partner_id}/admins", ADA)

    assert (first.status_code, again.status_code) == (204, 204)
    told = [(e.status, e.version) for e in await contracts.published(AccessChanged) if str(e.grant_id) == grant_id]
    assert told == [("active", 1), ("revoked", 2)]
    assert given_anew.status_code == 201


async def test_whose_a_grant_by_address_is_gets_announced_after_the_first_sign_in(
    contracts: Running, partner_id: str
) -> None:
    grant_id = await admin_of(contracts, partner_id, "ada@lumen.example")
    assert await contracts.run_job("announce_bound_grants") == 0
    signed_in = await contracts.get(f"/v1/partners/{partner_id}", email="ada@lumen.example")

    assert signed_in.status_code == 200
    assert await contracts.run_job("announce_bound_grants") == 1
    assert await contracts.run_job("announce_bound_grants") == 0
    facts = [e for e in await contracts.published(AccessChanged) if str(e.grant_id) == grant_id]
    assert [(e.version, e.email, e.subject) for e in facts] == [
        (1, "ada@lumen.example", None),
        (2, "ada@lumen.example", "sub-ada@lumen.example"),
    ]
    again = await contracts.post(f"/v1/partners/{partner_id}/admins", ADA)
    assert again.status_code == 409


async def test_a_team_member_who_leaves_is_taken_off_its_partners(contracts: Running) -> None:
    member = await contracts.post(
        "/v1/grants",
        {"role": "support", "tenant_kind": "platform", "email": "sam@tandem.example", "name": "Sam Bos"},
    )
    grant_id = member.json()["grant_id"]
    made = await contracts.post("/v1/partners", {**LUMEN, "responsible_grant_id": grant_id})

    await contracts.http.delete(f"/v1/grants/{grant_id}", headers=contracts.headers())
    shown = await contracts.get(f"/v1/partners/{made.json()['partner_id']}")

    assert made.json()["responsible"] == {
        "grant_id": grant_id,
        "name": "Sam Bos",
        "email": "sam@tandem.example",
    }
    assert shown.json()["responsible"] is None
    assert [e.responsible_grant_id for e in await contracts.published(PartnerChanged)][-1] is None


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"role": "partner_admin", "tenant_kind": "platform"}, 422),
        ({"role": "admin", "tenant_kind": "partner", "tenant_id": "{partner}"}, 422),
        ({"role": "king", "tenant_kind": "platform"}, 422),
        ({"role": "hr", "tenant_kind": "customer"}, 422),
        ({"role": "hr", "tenant_kind": "customer", "tenant_id": "{nobody}"}, 404),
        ({"role": "partner_admin", "tenant_kind": "partner", "tenant_id": "{nobody}"}, 404),
        ({"role": "supplier_user", "tenant_kind": "supplier", "tenant_id": "{nobody}"}, 404),
        ({"role": "support", "tenant_kind": "platform", "email": None}, 422),
        ({"role": "support", "tenant_kind": "platform", "email": "not an address"}, 422),
        ({"role": "support", "tenant_kind": "platform", "email": None, "subject": "7"}, 422),
    ],
)
async def test_a_grant_that_makes_no_sense_is_refused_by_name(
    contracts: Running, partner_id: str, wish: dict[str, Any], status: int
) -> None:
    ids = {"{partner}": partner_id, "{nobody}": str(uuid7())}
    wish = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in wish.items()}

    answer = await contracts.post("/v1/grants", {"email": "x@lumen.example", **wish})

    assert problem(answer)["status"] == status
    assert await contracts.mails() == []


async def test_a_machine_is_granted_by_issuer_and_subject_without_a_mail(contracts: Running, partner_id: str) -> None:
    wish = {"role": "partner_admin", "tenant_kind": "partner", "tenant_id": partner_id}

    answer = await contracts.post("/v1/grants", {**wish, "issuer": "https://issuer.test", "subject": "client-7"})

    assert answer.status_code == 201
    assert answer.json()["email"] is None
    assert await contracts.mails() == []


async def test_access_can_be_given_for_a_supplier_that_catalog_announced(contracts: Running) -> None:
    supplier = SupplierChanged(supplier_id=uuid7(), version=3, name="Kwadraat", language="nl")
    await contracts.deliver(supplier)

    answer = await contracts.post(
        "/v1/grants",
        {
            "role": "supplier_user",
            "tenant_kind": "supplier",
            "tenant_id": str(supplier.supplier_id),
            "email": "jo@kwadraat.example",
            "name": "Jo",
        },
    )

    assert answer.status_code == 201
    assert (await contracts.mails())[0]["subject"] == "U heeft toegang tot Kwadraat"


async def test_a_partners_admin_gives_roles_for_its_own_customers_alone(contracts: Running, partner_id: str) -> None:
    other_id = (await contracts.post("/v1/partners", {**LUMEN, "name": "Other"})).json()["partner_id"]
    own = (await contracts.post("/v1/customers", {"name": "Own", "partner_id": partner_id})).json()
    foreign = (await contracts.post("/v1/customers", {"name": "Foreign", "partner_id": other_id})).json()
    await admin_of(contracts, partner_id, "ada@lumen.example")

    async def give(role: str, kind: str, tenant_id: str) -> Any:
        wish = {"role": role, "tenant_kind": kind, "tenant_id": tenant_id, "email": "c@own.example"}
        return await contracts.post("/v1/grants", wish, email="ada@lumen.example")

    assert (await give("customer_admin", "customer", own["customer_id"])).status_code == 201
    assert problem(await give("hr", "customer", foreign["customer_id"]))["status"] == 404
    assert problem(await give("partner_admin", "partner", partner_id))["type"] == "/problems/not-yours-to-give"
    assert problem(await give("partner_admin", "partner", other_id))["status"] == 404


async def test_a_partner_neither_sees_nor_revokes_others_grants(contracts: Running, partner_id: str) -> None:
    other_id = (await contracts.post("/v1/partners", {**LUMEN, "name": "Other"})).json()["partner_id"]
    foreign_grant = await admin_of(contracts, other_id, "bo@other.example")
    own_grant = await admin_of(contracts, partner_id, "ada@lumen.example")

    seen = await contracts.get("/v1/grants", email="ada@lumen.example")
    foreign = await contracts.http.delete(f"/v1/grants/{foreign_grant}", headers=contracts.headers("ada@lumen.example"))
    own = await contracts.http.delete(f"/v1/grants/{own_grant}", headers=contracts.headers("ada@lumen.example"))

    assert [g["grant_id"] for g in seen.json()["items"]] == [own_grant]
    assert problem(foreign)["type"] == "/problems/grant-not-found"
    assert problem(own)["type"] == "/problems/not-yours-to-give"
    assert {g["email"] for g in (await contracts.get("/v1/grants")).json()["items"]} == {
        ADMIN,
        "bo@other.example",
        "ada@lumen.example",
    }


async def test_a_customers_own_people_come_in_by_the_roles_enrollment_gave_them(contracts: Running) -> None:
    customer = (await contracts.post("/v1/customers", {"name": "Own"})).json()
    person = PersonChanged(
        person_id=uuid7(),
        version=1,
        name="Eva",
        email="Eva@Own.example",
        customer_id=customer["customer_id"],
        roles=["customer_admin"],
    )
    left = PersonChanged(**{**person.model_dump(), "version": 2, "status": "left"})
    path = f"/v1/customers/{customer['customer_id']}"

    await contracts.deliver(person)
    inside = await contracts.get(path, email="eva@own.example")
    await contracts.deliver(left, person)  # the newer one first, then the old one once more

    assert inside.json()["name"] == "Own"
    await eventually(lambda: is_shut_out(contracts, path, "eva@own.example"))


async def test_everything_delivered_again_to_an_emptied_inbox_changes_nothing(
    contracts: Running, partner_id: str
) -> None:
    await admin_of(contracts, partner_id, "ada@lumen.example")
    person = PersonChanged(person_id=uuid7(), version=4, email="eva@own.example", customer_id=uuid7())
    supplier = SupplierChanged(supplier_id=uuid7(), version=2, name="Kwadraat")
    heard = [*await contracts.published(AccessChanged), person, supplier]
    await contracts.deliver(*heard)

    async def state() -> list[Any]:
        tables = ("grants", "known_suppliers", "access_grants", "mail", "outbox")
        return [await contracts.rows(f"select * from {table} order by 1") for table in tables]

    before = await state()
    await contracts.empty_inbox()
    await contracts.deliver(*reversed(heard))

    assert await state() == before
    assert await contracts.parked() == []
