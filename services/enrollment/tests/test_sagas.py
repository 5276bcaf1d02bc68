"""Steps that no machine answers: one automatic retry, then staff retry or compensate."""

from datetime import UTC, datetime, timedelta
from typing import Any

from kit.testing import problem
from schemas.enrollment import EnrollmentApproved, EnrollmentCancelled, EnrollmentRefused, EnrollmentRequested
from services.enrollment.tests.world import PARTNER_ADMIN, World


def in_s(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def overdue(world: World) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await world.running.get("/v1/sagas", overdue="true")).json()["items"]
    return items


async def late(world: World) -> None:
    """Let the deadlines of now be long past."""
    async with world.running.db() as db:
        connection = await db.connection()
        await connection.exec_driver_sql("update enrollments set step_until = now() - interval '1 minute'")


async def saga(world: World, enrollment: dict[str, Any], action: str, by: str | None = None) -> Any:
    path = f"/v1/sagas/{enrollment['enrollment_id']}/{action}"
    return await (world.running.post(path, email=by) if by else world.running.post(path))


async def test_the_same_fact_is_announced_once_more_and_then_staff_see_it(world: World) -> None:
    person = await world.person(partner_id=await world.partner())
    made = await world.enrolled(person, await world.credit_course(5))

    assert await world.running.run_job("watchdog", in_s(59)) == 0
    assert await world.running.run_job("watchdog", in_s(61)) == 1
    assert await world.running.run_job("watchdog", in_s(3600)) == 0

    first, again = await world.running.published(EnrollmentApproved)
    assert first.event_id != again.event_id
    assert first.model_dump(exclude={"at"}) == again.model_dump(exclude={"at"})
    assert await overdue(world) == []
    await late(world)
    (listed,) = await overdue(world)
    assert (listed["enrollment_id"], listed["waiting_for"], listed["attempts"], listed["overdue"]) == (
        made["enrollment_id"],
        "credits.charged",
        1,
        True,
    )

    await world.charged(made)
    assert await overdue(world) == []


async def test_staff_retry_announces_the_step_once_more(world: World) -> None:
    person = await world.person(partner_id=await world.partner())
    made = await world.enrolled(person, await world.credit_course(5))

    early = await saga(world, made, "retry")
    await late(world)
    by_partner = await saga(world, made, "retry", PARTNER_ADMIN)
    answer = await saga(world, made, "retry")

    assert problem(early)["type"] == "/problems/not-overdue"
    assert by_partner.status_code == 403
    assert (answer.status_code, answer.json()["attempts"]) == (200, 1)
    assert len(await world.running.published(EnrollmentApproved)) == 2


async def test_compensating_an_approved_one_cancels_it_and_a_later_charge_confirms_nothing(world: World) -> None:
    session = world.session()
    person = await world.person(partner_id=await world.partner())
    course = await world.credit_course(5, sessions=[session])
    made = await world.enrolled(person, course, session_id=session.session_id)
    await late(world)

    assert (await saga(world, made, "compensate")).status_code == 200
    await world.charged(made)

    now = await world.enrollment(made)
    assert (now["state"], now["settlement"]["credits_returned"]) == ("cancelled", 5)
    (fact,) = await world.running.published(EnrollmentCancelled)
    assert (fact.reason, fact.cancelled_by, fact.credits_kept, fact.credits_returned) == ("stuck", "system", 0, 5)
    assert await world.running.value("select taken from sessions") == 0
    assert problem(await saga(world, made, "compensate"))["type"] == "/problems/not-overdue"


async def test_compensating_a_request_refuses_it_with_the_reason_stuck(world: World) -> None:
    person = await world.person(partner_id=await world.partner())
    made = await world.enrolled(person, await world.credit_course(5), "requested")
    assert await world.running.run_job("watchdog", in_s(61)) == 1
    assert len(await world.running.published(EnrollmentRequested)) == 2
    await late(world)

    await saga(world, made, "compensate")
    await world.held(made)

    now = await world.enrollment(made)
    assert (now["state"], now["problem"]["type"], now["problem"]["reason"]) == ("refused", "/problems/stuck", "stuck")
    (fact,) = await world.running.published(EnrollmentRefused)
    assert fact.reason == "stuck"
    assert [m["recipient"] for m in await world.running.mails()] == [person["email"]]  # no manager is asked
