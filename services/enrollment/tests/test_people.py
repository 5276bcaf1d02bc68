"""People, from outside: made, edited, seen by those who may; what they may do follows from what they are."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from kit.testing import ISSUER, problem, token
from schemas.access import AccessChanged
from schemas.customer import CustomerChanged
from schemas.event import uuid7
from schemas.person import PersonChanged
from services.enrollment.tests.world import PARTNER_ADMIN, World


async def patch(
    world: World, person: dict[str, Any], by: str = PARTNER_ADMIN, tag: str | None = None, **body: Any
) -> Any:
    headers = world.running.headers(by) | {"If-Match": tag or f'"{person["version"]}"'}
    return await world.running.http.patch(f"/v1/people/{person['person_id']}", json=body, headers=headers)


async def test_a_partners_admin_adds_its_own_people_and_those_of_its_customers(world: World) -> None:
    partner_id = await world.partner()
    customer_id = await world.customer(partner_id)

    own = await world.person(by=PARTNER_ADMIN)
    employee = await world.person(by=PARTNER_ADMIN, customer_id=customer_id)

    assert (own["partner_id"], own["customer_id"]) == (str(partner_id), None)
    assert (employee["partner_id"], employee["customer_id"]) == (str(partner_id), str(customer_id))
    facts = await world.running.published(PersonChanged)
    assert [(str(f.person_id), f.version, f.partner_id) for f in facts] == [
        (own["person_id"], 1, partner_id),
        (employee["person_id"], 1, partner_id),
    ]


async def test_a_person_of_nobody_or_of_a_stranger_is_refused(world: World) -> None:
    await world.partner()
    stranger = await world.customer(await world.partner(admin=None))
    body = {"name": "Anna", "email": "anna@x.example"}

    cases = {
        "belongs-nowhere": await world.running.post("/v1/people", body),
        "customer-not-found": await world.running.post(
            "/v1/people", body | {"customer_id": str(stranger)}, email=PARTNER_ADMIN
        ),
        "partner-not-found": await world.running.post("/v1/people", body | {"partner_id": str(uuid7())}),
        "not-understood": await world.running.post("/v1/people", body | {"email": "nowhere"}),
    }
    for name, answer in cases.items():
        assert problem(answer)["type"] == f"/problems/{name}", answer.text


async def test_an_address_is_taken_once_at_one_customer_and_its_holder_is_named(world: World) -> None:
    partner_id = await world.partner()
    first = await world.person("anna@x.example", partner_id=partner_id)

    again = await world.running.post(
        "/v1/people", {"name": "Anna", "email": "ANNA@x.example", "partner_id": str(partner_id)}
    )
    elsewhere = await world.person("anna@x.example", customer_id=await world.customer())

    assert (problem(again)["type"], problem(again)["person_id"]) == ("/problems/email-taken", first["person_id"])
    assert elsewhere["person_id"] != first["person_id"]


async def test_an_edit_needs_the_version_it_was_made_on(world: World) -> None:
    await world.partner()
    person = await world.person(by=PARTNER_ADMIN)

    changed = await patch(world, person, name="Anna Bos")
    stale = await patch(world, person, name="Somebody Else")

    assert (changed.json()["name"], changed.json()["version"], changed.headers["etag"]) == ("Anna Bos", 2, '"2"')
    assert problem(stale)["status"] == 412


async def test_roles_are_granted_and_revoked_with_the_person(world: World) -> None:
    await world.partner()
    manager = await world.person("max@x.example", by=PARTNER_ADMIN, roles=["manager"])
    lena = await world.person("lena@x.example", by=PARTNER_ADMIN, manager_id=manager["person_id"])
    await world.person("other@x.example", by=PARTNER_ADMIN)

    async def seen() -> list[str]:
        answer = await world.running.get("/v1/people", email="max@x.example")
        return sorted(p["email"] for p in answer.json().get("items", []))

    assert await seen() == ["lena@x.example", "max@x.example"]
    await patch(world, manager, roles=[])
    world.running.service.auth._grants.clear()
    assert await seen() == ["max@x.example"]
    await patch(world, manager | {"version": 2}, status="left")
    world.running.service.auth._grants.clear()
    gone = await world.running.get("/v1/people", email="max@x.example")
    assert (gone.status_code, lena["manager_id"]) == (403, manager["person_id"])


@pytest.mark.parametrize("role", ["hr", "customer_admin"])
async def test_only_a_customers_people_are_its_hr_or_admins(world: World, role: str) -> None:
    partner_id = await world.partner()
    employee = await world.person(customer_id=await world.customer(partner_id))
    body = {"name": "Eve", "email": "eve@partner.example", "partner_id": str(partner_id)}

    born = await world.running.post("/v1/people", body | {"roles": [role]}, email=PARTNER_ADMIN)
    own = await world.person("eve@partner.example", by=PARTNER_ADMIN)
    edited = await patch(world, own, roles=[role])
    # As a person made before this was refused.
    await world.running.value("update people set roles = :r where id = :id returning 1", r=[role], id=own["person_id"])
    renamed = await patch(world, own, name="Eve Bos")
    seen = await world.running.get("/v1/people", email="eve@partner.example")

    for refused in (born, edited):
        assert problem(refused)["type"] == "/problems/role-for-customers-only"
    assert (renamed.status_code, renamed.json()["roles"]) == (200, [role])
    assert [p["person_id"] for p in seen.json()["items"]] == [own["person_id"]] != [employee["person_id"]]


async def test_hr_gives_nobody_more_than_a_managers_role(world: World) -> None:
    customer_id = await world.customer(admin="carl@acme.example")
    await world.person("hanna@acme.example", by="carl@acme.example", roles=["hr"])

    refused = await world.running.post(
        "/v1/people", {"name": "Eve", "email": "eve@acme.example", "roles": ["hr"]}, email="hanna@acme.example"
    )
    manager = await world.person("mia@acme.example", by="hanna@acme.example", roles=["manager"])

    assert problem(refused)["type"] == "/problems/role-missing"
    assert manager["customer_id"] == str(customer_id)


@pytest.mark.parametrize("role", ["hr", "customer_admin"])
async def test_hr_edits_nobody_who_is_more_than_a_manager(world: World, role: str) -> None:
    await world.customer(admin="carl@acme.example")
    await world.person("hanna@acme.example", by="carl@acme.example", roles=["hr"])
    above = await world.person("ada@acme.example", by="carl@acme.example", roles=["manager", role])
    manager = await world.person("mia@acme.example", by="carl@acme.example", roles=["manager"])

    changes: list[dict[str, Any]] = [{"email": "hanna2@acme.example"}, {"roles": []}, {"status": "left"}]
    for change in changes:
        refused = await patch(world, above, by="hanna@acme.example", **change)
        assert problem(refused)["type"] == "/problems/role-missing"
    moved = await patch(world, manager, by="hanna@acme.example", email="mia2@acme.example")
    by_admin = await patch(world, above, by="carl@acme.example", email="ada2@acme.example")

    assert (moved.status_code, by_admin.status_code) == (200, 200)


async def test_who_has_no_address_is_nobody_of_the_people(world: World) -> None:
    customer_id = await world.customer()
    erased = await world.person(customer_id=customer_id)
    managed = await world.person(customer_id=customer_id, manager_id=erased["person_id"])
    await world.running.post(f"/v1/people/{erased['person_id']}/erase")
    await world.running.deliver(
        AccessChanged(
            grant_id=uuid7(),
            version=1,
            role="manager",
            tenant_kind="customer",
            tenant_id=customer_id,
            issuer=ISSUER,
            subject="badge-7",
        )
    )
    caller = {"Authorization": f"Bearer {token(subject='badge-7', email_verified=False)}"}

    seen = await world.running.http.get("/v1/people", headers=caller)

    assert (seen.status_code, seen.json()["items"]) == (200, [])
    assert managed["customer_id"] == str(customer_id)


async def test_a_manager_is_an_active_colleague(world: World) -> None:
    await world.partner()
    other = await world.person("boss@y.example", customer_id=await world.customer())
    anna = await world.person(by=PARTNER_ADMIN)

    stranger = await patch(world, anna, by="admin@tandem.example", manager_id=other["person_id"])
    itself = await patch(world, anna, manager_id=anna["person_id"])

    assert problem(stranger)["type"] == "/problems/manager-not-found"
    assert problem(itself)["type"] == "/problems/manager-of-themselves"


async def test_an_erased_person_leaves_no_data_behind(world: World) -> None:
    await world.partner()
    person = await world.person("anna@x.example", by=PARTNER_ADMIN)

    answer = await world.running.post(f"/v1/people/{person['person_id']}/erase")

    assert (answer.json()["status"], answer.json()["name"], answer.json()["email"]) == ("erased", None, None)
    newest = (await world.running.published(PersonChanged))[-1]
    assert (newest.status, newest.name, newest.email, newest.version) == ("erased", None, None, 2)
    assert await world.running.rows("select * from grants where email = 'anna@x.example'") == []


async def test_people_follow_their_customer_to_another_partner(world: World) -> None:
    old, new = await world.partner(), await world.partner(admin=None)
    customer_id = await world.customer(old)
    person = await world.person(customer_id=customer_id)

    fact = CustomerChanged(customer_id=customer_id, version=2, name="Acme", partner_id=new)
    await world.running.deliver(fact)
    await world.running.empty_inbox()
    await world.running.deliver(fact)

    newest = await world.running.published(PersonChanged)
    assert [(f.version, f.partner_id) for f in newest] == [(1, old), (2, new)]
    hidden = await world.running.get(f"/v1/people/{person['person_id']}", email=PARTNER_ADMIN)
    assert problem(hidden)["status"] == 404


async def test_a_customer_that_changes_otherwise_leaves_its_people_alone(world: World) -> None:
    partner_id = await world.partner()
    customer_id = await world.customer(partner_id)
    await world.person(customer_id=customer_id)

    async with world.running.db() as elsewhere:
        await elsewhere.execute(text("select from people for update"))
        renamed = CustomerChanged(customer_id=customer_id, version=2, name="Acme NV", partner_id=partner_id)
        await asyncio.wait_for(world.running.deliver(renamed), 5)  # waits for nobody

    assert await world.running.value("select name from customers") == "Acme NV"
    assert [f.version for f in await world.running.published(PersonChanged)] == [1]


async def test_people_join_and_leave_the_partner_with_their_customer(world: World) -> None:
    partner_id = await world.partner()
    customer_id = await world.customer()
    await world.person(customer_id=customer_id)

    for version, partner in ((2, partner_id), (3, None)):
        await world.running.deliver(
            CustomerChanged(customer_id=customer_id, version=version, name="Acme", partner_id=partner)
        )

    newest = await world.running.published(PersonChanged)
    assert [(f.version, f.partner_id) for f in newest] == [(1, None), (2, partner_id), (3, None)]


@pytest.mark.parametrize(
    "path", ["/v1/people", "/v1/enrollments", "/v1/people-imports", "/v1/enrollment-batches", "/v1/sagas"]
)
async def test_a_stranger_is_let_in_nowhere(world: World, path: str) -> None:
    assert (await world.running.get(path, email="stranger@x.example")).status_code == 403
    assert (await world.running.http.get(path)).status_code == 401


async def test_the_database_itself_keeps_tenants_apart(world: World) -> None:
    mine, theirs = await world.partner(), await world.partner(admin=None)
    for partner_id in (mine, theirs):
        person = await world.person(partner_id=partner_id)
        await world.enrolled(person, await world.credit_course(5))
        await world.customer(partner_id)
    tables = ("people", "enrollments", "customers", "partners")
    sql = "select " + ", ".join(f"(select count(*) from {table})" for table in tables)

    async def counts(tenant: str) -> tuple[int, ...]:
        async with world.running.service.database.api.begin() as db:
            connection = await db.connection()
            await connection.exec_driver_sql(f"select set_config('tandem.tenant', '{tenant}', true)")
            return tuple((await connection.exec_driver_sql(sql)).one())

    assert await counts("platform") == (2, 2, 2, 2)
    assert await counts(f"partner/{mine}") == (1, 1, 1, 1)
    assert await counts(f"partner/{uuid7()}") == (0, 0, 0, 0)
    assert await counts("") == (0, 0, 0, 0)
