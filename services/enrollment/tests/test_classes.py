"""A class of people on one course in one call: an outcome per person (ENR-11)."""

from typing import Any
from uuid import UUID

from sqlalchemy import text

from kit.testing import problem
from schemas.enrollment import EnrollmentApproved
from schemas.event import uuid7
from services.enrollment.tests.world import PARTNER_ADMIN, World, charged


async def batch(world: World, course: UUID, people: list[Any], *, by: str = PARTNER_ADMIN, **more: Any) -> Any:
    body = {"course_id": str(course), "person_ids": [str(p) for p in people], **more}
    answer = await world.running.post("/v1/enrollment-batches", body, email=by)
    assert answer.status_code == 202, answer.text
    while await world.running.run_job("bulk_work"):
        pass
    return (await world.running.get(answer.headers["location"], email=by)).json()


async def crowd(world: World, partner_id: UUID, n: int) -> list[UUID]:
    """People made in the database at once: how they came is not what these stories tell."""
    ids = [uuid7() for _ in range(n)]
    async with world.running.db() as db:
        await db.execute(
            text(
                "insert into people (id, version, status, name, email, language, partner_id, roles)"
                " select id, 1, 'active', 'Someone', id || '@people.example', 'en', :partner, '{}'"
                " from unnest(cast(:ids as uuid[])) as id"
            ),
            {"ids": ids, "partner": partner_id},
        )
    return ids


async def members(world: World, batch_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = await world.running.get(
        f"/v1/enrollment-batches/{batch_id}/rows", email=PARTNER_ADMIN, **{"limit": 200, **query}
    )
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_every_person_of_a_class_has_an_outcome(world: World) -> None:
    partner_id = await world.partner()
    course = await world.credit_course(5)
    people = await crowd(world, partner_id, 1_203)
    (stranger,) = await crowd(world, await world.partner(admin=None), 1)
    first = await world.enrolled({"person_id": str(people[0])}, course)

    done = await batch(world, course, [*people, stranger, uuid7(), people[1]])

    assert (done["state"], done["total"], done["done"], done["failed"]) == ("done", 1_205, 1_202, 3)
    assert (done["enrollments"], done["undecided"]) == ({"approved": 1_202}, 1_202)
    failed = await members(world, done["batch_id"], state="failed")
    assert [row["problem"]["type"] for row in failed] == [
        "/problems/already-enrolled",
        "/problems/person-not-found",
        "/problems/person-not-found",
    ]
    assert failed[0]["problem"]["enrollment_id"] == first["enrollment_id"]
    assert len(await world.running.published(EnrollmentApproved)) == 1_203

    made = (await world.running.get("/v1/enrollments", batch_id=done["batch_id"], limit=200)).json()["items"]
    await world.running.deliver(*(charged(e) for e in made))

    now = (await world.running.get(f"/v1/enrollment-batches/{done['batch_id']}", email=PARTNER_ADMIN)).json()
    assert (now["enrollments"], now["undecided"]) == ({"approved": 1_002, "confirmed": 200}, 1_002)
    assert {row["state"] for row in await members(world, done["batch_id"], state="done")} <= {"approved", "confirmed"}


async def test_where_seats_run_short_the_first_named_get_them(world: World) -> None:
    session = world.session(seats=7)
    course = await world.credit_course(5, sessions=[session])
    people = await crowd(world, await world.partner(), 10)

    done = await batch(world, course, people, session_id=str(session.session_id))

    assert (done["done"], done["failed"]) == (7, 3)
    rows = await members(world, done["batch_id"])
    assert [row["person_id"] for row in rows[:7] if row["state"] == "approved"] == [str(p) for p in people[:7]]
    assert {row["problem"]["type"] for row in rows[7:]} == {"/problems/session-full"}
    assert await world.running.value("select taken from sessions") == 7
    assert await world.running.value("select count(*) from enrollments") == 7
    assert len(await world.running.published(EnrollmentApproved)) == 7


async def test_a_class_on_a_course_that_is_not_there_fails_person_by_person(world: World) -> None:
    people = await crowd(world, await world.partner(), 2)

    done = await batch(world, uuid7(), people)

    assert (done["state"], done["failed"]) == ("done", 2)


async def test_another_partners_batch_does_not_exist(world: World) -> None:
    people = await crowd(world, await world.partner(), 1)
    await world.partner(admin="eve@other.example")
    done = await batch(world, await world.credit_course(5), people)

    for path in ("", "/rows"):
        answer = await world.running.get(f"/v1/enrollment-batches/{done['batch_id']}{path}", email="eve@other.example")
        assert problem(answer)["type"] == "/problems/batch-not-found"
