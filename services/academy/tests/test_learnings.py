"""Learnings, from outside: opened, completed and closed by what happens to enrollments (ACA-5)."""

from typing import Any

from kit.testing import Running, problem
from schemas.event import Event, uuid7
from schemas.learning import CourseCompleted
from services.academy.tests.world import (
    CLASSROOM,
    CLASSROOM_ID,
    COURSE,
    COURSE_ID,
    CUSTOMER_ID,
    MANAGER_ID,
    OTHER_PARTNER_ID,
    PERSON_ID,
    cancelled,
    colleague,
    completed,
    confirmed,
    partner_admin,
    person,
)

PIA = "pia@customer.example"


async def learnings(academy: Running, email: str = PIA, **query: Any) -> list[dict[str, Any]]:
    answer = await academy.get("/v1/learnings", email=email, **query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_confirmed_enrollment_opens_the_course_to_the_person(academy: Running) -> None:
    enrollment_id = uuid7()
    await academy.deliver(person(), COURSE, confirmed(enrollment_id))

    [learning] = await learnings(academy)

    assert learning["enrollment_id"] == str(enrollment_id)
    assert (learning["title"], learning["kind"], learning["state"]) == ("Safe at work", "elearning", "open")
    assert learning["opened_at"] == "2026-03-02T09:00:00Z"


async def test_a_course_that_is_heard_of_later_opens_all_the_same(academy: Running) -> None:
    await academy.deliver(person(), confirmed(uuid7()))
    before = await learnings(academy)

    await academy.deliver(COURSE)

    assert before == []
    assert [one["state"] for one in await learnings(academy)] == ["open"]


async def test_a_classroom_course_is_not_followed_here(academy: Running) -> None:
    enrollment_id = uuid7()
    await academy.deliver(person(), CLASSROOM, confirmed(enrollment_id, course_id=CLASSROOM_ID))

    answer = await academy.post(f"/v1/learnings/{enrollment_id}/complete", email=PIA)

    assert await learnings(academy) == []
    assert problem(answer)["type"] == "/problems/learning-not-found"


async def test_a_cancelled_enrollment_closes_the_course_in_whatever_order(academy: Running) -> None:
    first, second = uuid7(), uuid7()
    await academy.deliver(person(), COURSE, confirmed(first), cancelled(first))
    await academy.deliver(cancelled(second))
    await academy.deliver(confirmed(second))

    states = {one["enrollment_id"]: one["state"] for one in await learnings(academy)}
    refused = await academy.post(f"/v1/learnings/{second}/complete", email=PIA)

    assert states == {str(first): "closed", str(second): "closed"}
    assert problem(refused)["type"] == "/problems/learning-closed"
    assert await academy.published(CourseCompleted) == []


async def test_completing_is_announced_once_however_often_it_is_said(academy: Running) -> None:
    enrollment_id = uuid7()
    await academy.deliver(person(), COURSE, confirmed(enrollment_id))
    path = f"/v1/learnings/{enrollment_id}/complete"

    first = await academy.post(path, email=PIA)
    again = await academy.post(path, email=PIA)

    [announced] = await academy.published(CourseCompleted)
    assert (first.status_code, first.json()["state"]) == (200, "completed")
    assert again.json() == first.json()
    assert (announced.enrollment_id, announced.person_id, announced.course_id) == (
        enrollment_id,
        PERSON_ID,
        COURSE_ID,
    )


async def test_a_course_completed_elsewhere_is_completed_here_without_saying_so_again(academy: Running) -> None:
    enrollment_id = uuid7()
    await academy.deliver(person(), COURSE, completed(enrollment_id), confirmed(enrollment_id))

    answer = await academy.post(f"/v1/learnings/{enrollment_id}/complete", email=PIA)

    assert answer.json()["completed_at"] == "2026-03-05T23:30:00Z"
    assert await academy.published(CourseCompleted) == []


async def test_only_the_learner_completes(academy: Running) -> None:
    enrollment_id = uuid7()
    await academy.deliver(
        person(),
        COURSE,
        confirmed(enrollment_id),
        colleague("hr@customer.example", "hr"),
        partner_admin("ada@p.example"),
    )
    path = f"/v1/learnings/{enrollment_id}/complete"

    assert problem(await academy.post(path, email="hr@customer.example"))["type"] == "/problems/not-your-learning"
    assert problem(await academy.post(path, email="ada@p.example"))["type"] == "/problems/role-missing"
    assert problem(await academy.post(f"/v1/learnings/{uuid7()}/complete", email=PIA))["status"] == 404
    assert problem(await academy.post("/v1/learnings/x/complete", email=PIA))["status"] == 422
    assert await academy.published(CourseCompleted) == []


async def test_everybody_sees_what_their_role_lets_them_see(academy: Running) -> None:
    elsewhere = uuid7()
    world: list[Event] = [
        COURSE,
        person(),
        confirmed(uuid7()),
        colleague("mia@customer.example", "manager", person_id=MANAGER_ID, manager_id=None),
        confirmed(uuid7(), person_id=MANAGER_ID),
        colleague("hr@customer.example", "hr", manager_id=None),
        colleague("other@customer.example", manager_id=None),
        colleague("zoe@elsewhere.example", "hr", customer_id=elsewhere, partner_id=OTHER_PARTNER_ID),
        partner_admin("ada@partner.example"),
        partner_admin("bo@other.example", OTHER_PARTNER_ID),
    ]
    await academy.deliver(*world)

    async def seen_by(email: str) -> set[str]:
        return {one["person_id"] for one in await learnings(academy, email)}

    pia, mia = str(PERSON_ID), str(MANAGER_ID)
    assert await seen_by(PIA) == {pia}
    assert await seen_by("mia@customer.example") == {pia, mia}
    assert await seen_by("hr@customer.example") == {pia, mia}
    assert await seen_by("other@customer.example") == set()
    assert await seen_by("zoe@elsewhere.example") == set()
    assert await seen_by("ada@partner.example") == {pia, mia}
    assert await seen_by("bo@other.example") == set()
    assert await seen_by("admin@tandem.example") == {pia, mia}
    assert [one["person_id"] for one in await learnings(academy, "hr@customer.example", person_id=mia)] == [mia]


async def test_the_database_itself_hides_other_tenants_rows(academy: Running) -> None:
    from sqlalchemy import text

    from kit.auth import act_as

    await academy.deliver(COURSE, person(), confirmed(uuid7()), completed(uuid7()))

    async def counted(tenant: str) -> list[int]:
        async with academy.service.database.api.begin() as db:
            await act_as(db, tenant, "test")
            tables = ("people", "learnings")
            return [await db.scalar(text(f"select count(*) from {table}")) for table in tables]

    assert await counted(f"customer/{CUSTOMER_ID}") == [1, 2]
    assert await counted(f"partner/{OTHER_PARTNER_ID}") == [0, 0]
    assert await counted("public") == [0, 0]


async def test_somebody_who_left_is_shut_out(academy: Running) -> None:
    await academy.deliver(COURSE, person(), confirmed(uuid7()))
    await academy.deliver(person(version=2, status="left"))

    assert problem(await academy.get("/v1/learnings", email=PIA))["type"] == "/problems/not-granted"
