"""People from a file: added, brought up to date, refused row by row (ENR-1, CAT-4)."""

import asyncio
from typing import Any

from sqlalchemy import text

from kit.testing import Running, eventually
from schemas.event import uuid7
from schemas.person import PersonChanged
from services.enrollment.tests.world import PARTNER_ADMIN, World


async def imported(running: Running, csv: str | bytes, *, by: str = PARTNER_ADMIN, **query: Any) -> dict[str, Any]:
    answer = await running.http.post(
        "/v1/people-imports",
        content=csv if isinstance(csv, bytes) else csv.encode(),
        params={"start": "true", **query},
        headers=running.headers(by) | {"Content-Type": "text/csv"},
    )
    assert answer.status_code in (201, 202), answer.text
    while await running.run_job("bulk_work"):
        pass
    job: dict[str, Any] = (await running.get(f"/v1/people-imports/{answer.json()['id']}", email=by)).json()
    return job


async def people(running: Running) -> dict[str, dict[str, Any]]:
    return {row["email"]: row for row in await running.rows("select * from people")}


async def test_a_file_adds_people_whose_managers_may_stand_anywhere_in_it(world: World) -> None:
    partner_id = await world.partner()
    csv = (
        "name,email,language,manager_email,roles\n"
        "Anna de Wit,Anna@Acme.example,nl,max@acme.example,\n"
        "Max Groen,max@acme.example,nl,,manager\n"
    )

    job = await imported(world.running, csv)

    assert (job["state"], job["total"], job["done"], job["bad"]) == ("done", 2, 2, 0)
    found = await people(world.running)
    anna, max_ = found["anna@acme.example"], found["max@acme.example"]
    assert (anna["manager_id"], anna["partner_id"], anna["language"]) == (max_["id"], partner_id, "nl")
    newest = {str(e.person_id): e for e in await world.running.published(PersonChanged)}
    assert newest[str(max_["id"])].roles == ["manager"]
    grants = await world.running.rows("select role from grants where email = 'max@acme.example' and status = 'active'")
    assert sorted(g["role"] for g in grants) == ["learner", "manager"]


async def test_a_manager_beyond_the_first_chunk_is_found(world: World) -> None:
    await world.partner()
    rows = "".join(f"Person {n},p{n}@acme.example,boss@acme.example\n" for n in range(600))

    job = await imported(world.running, "name,email,manager_email\n" + rows + "The Boss,boss@acme.example,\n")

    assert (job["done"], job["failed"]) == (601, 0)
    boss = (await people(world.running))["boss@acme.example"]["id"]
    assert await world.running.value("select count(*) from people where manager_id = :boss", boss=boss) == 600


async def test_the_same_people_again_change_only_what_the_file_says(world: World) -> None:
    await world.partner()
    await imported(world.running, "name,email,language,roles\nAnna,anna@acme.example,nl,manager\n")
    announced = len(await world.running.published(PersonChanged))

    same = await imported(world.running, "name,email\nAnna,anna@acme.example\n")
    assert len(await world.running.published(PersonChanged)) == announced
    await imported(world.running, "name,email,language\nAnna de Wit,anna@acme.example,it\n")

    assert same["done"] == 1
    anna = (await people(world.running))["anna@acme.example"]
    assert (anna["name"], anna["language"], anna["roles"], anna["version"]) == ("Anna de Wit", "it", ["manager"], 2)


async def test_bad_rows_are_named_and_their_neighbours_land(world: World) -> None:
    partner_id = await world.partner()
    stranger = await world.customer(await world.partner(admin=None))
    mine = await world.customer(partner_id)
    csv = (
        "name,email,customer_id,manager_email,roles\n"
        f"Good,good@acme.example,{mine},,\n"
        "No Address,nowhere,,,\n"
        f"Not Ours,other@acme.example,{stranger},,\n"
        f"Nobody Manages,lost@acme.example,{mine},nobody@acme.example,\n"
        "King,king@acme.example,,,king\n"
        f"Good Again,good@acme.example,{mine},,\n"
    ).encode("utf-8-sig")

    job = await imported(world.running, csv)

    assert (job["total"], job["bad"], job["done"], job["failed"]) == (6, 4, 1, 1)
    assert list(await people(world.running)) == ["good@acme.example"]
    errors = await world.running.get(f"/v1/people-imports/{job['id']}/errors.csv", email=PARTNER_ADMIN)
    for said in ("an e-mail address", "customer_id", "Row 2 says the same", "manager_email", "roles"):
        assert said in errors.text, errors.text


async def test_a_file_makes_nobody_hr_of_a_partner(world: World) -> None:
    mine = await world.customer(await world.partner())

    job = await imported(
        world.running,
        f"name,email,customer_id,roles\nEve,eve@x.example,,hr\nMax,max@x.example,,manager\nHan,han@x.example,{mine},hr\n",
    )

    assert (job["done"], job["failed"]) == (2, 1)
    assert sorted(await people(world.running)) == ["han@x.example", "max@x.example"]


async def test_somebody_added_by_others_meanwhile_is_found_and_kept(world: World) -> None:
    partner_id = await world.partner()
    insert = (
        "insert into people (id, version, status, name, email, language, partner_id, roles)"
        " values (:id, 1, 'active', 'Anna', 'anna@x.example', 'nl', :partner, '{}')"
    )
    first = uuid7()

    async def waits() -> Any:
        return await world.running.value(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )

    async with asyncio.TaskGroup() as both, world.running.db() as elsewhere:
        await elsewhere.execute(text(insert), {"id": first, "partner": partner_id})
        importing = both.create_task(
            imported(world.running, "name,email\nAnna de Wit,anna@x.example\nMax,max@x.example\n")
        )
        await eventually(waits)
    job = importing.result()

    assert (job["done"], job["failed"]) == (2, 0)
    found = await people(world.running)
    assert (found["anna@x.example"]["id"], found["anna@x.example"]["name"]) == (first, "Anna de Wit")
    facts = await world.running.published(PersonChanged)
    assert [(f.person_id, f.version) for f in facts] == [(first, 2), (found["max@x.example"]["id"], 1)]
    rows = await world.running.get(f"/v1/people-imports/{job['id']}/rows", email=PARTNER_ADMIN)
    assert [r["result"]["person_id"] for r in rows.json()["items"]] == [str(first), str(found["max@x.example"]["id"])]


async def test_staff_import_for_a_partner_and_a_partner_only_for_itself(world: World) -> None:
    partner_id = await world.partner()
    other = await world.partner(admin=None)

    by_staff = await imported(
        world.running, "name,email\nA,a@x.example\n", by="admin@tandem.example", partner_id=str(partner_id)
    )
    by_partner = await imported(world.running, "name,email\nB,b@x.example\n", partner_id=str(other))
    nowhere = await imported(world.running, "name,email\nC,c@x.example\n", by="admin@tandem.example")

    assert (by_staff["done"], by_partner["bad"], nowhere["bad"]) == (1, 1, 1)
    assert {row["partner_id"] for row in (await people(world.running)).values()} == {partner_id}
