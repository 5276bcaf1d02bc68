"""A partner's admin puts people on courses, paid by credits (ENR-2 to ENR-6)."""

import asyncio
from uuid import UUID

from kit.testing import Running, problem
from schemas.enrollment import EnrollmentApproved, EnrollmentConfirmed, EnrollmentRefused
from schemas.event import uuid7
from schemas.values import CreditOffer
from services.enrollment.tests.world import PARTNER_ADMIN, World, charged


async def test_an_association_is_approved_by_itself_and_confirmed_by_the_charge(world: World) -> None:
    person = await world.person(partner_id=await world.partner())
    course = await world.credit_course(5)

    answer = await world.enrol(person, course, by=PARTNER_ADMIN)

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/enrollments/{answer.json()['enrollment_id']}"
    assert answer.headers["retry-after"] == "1"
    made = answer.json()
    assert (made["state"], made["payment"], made["credits"]) == ("approved", "credits", 5)
    assert made["step"]["waiting_for"] == "credits.charged"
    assert await world.topics() == ["enrollment.approved"]
    (fact,) = await world.running.published(EnrollmentApproved)
    assert (str(fact.enrollment_id), fact.credits, fact.version) == (made["enrollment_id"], 5, 1)
    assert (str(fact.partner_id), fact.approved_by) == (person["partner_id"], f"user:sub-{PARTNER_ADMIN}")

    await world.charged(made)

    now = await world.enrollment(made)
    assert (now["state"], now["step"]["waiting_for"], now["version"]) == ("confirmed", "completion", 2)
    assert [(entry["state"], entry["by"]) for entry in now["history"]] == [
        ("approved", f"user:sub-{PARTNER_ADMIN}"),
        ("confirmed", "service:billing"),
    ]
    (confirmed,) = await world.running.published(EnrollmentConfirmed)
    assert (str(confirmed.enrollment_id), confirmed.version) == (made["enrollment_id"], 2)


async def test_too_few_credits_refuse_it_with_reason_balance_and_price(world: World) -> None:
    person = await world.person(partner_id=await world.partner())
    made = await world.enrolled(person, await world.credit_course(5))

    await world.refused(made, available=3)

    now = await world.enrollment(made)
    assert (now["state"], now["step"]) == ("refused", None)
    refusal = now["problem"]
    assert refusal["type"] == "/problems/not-enough-credits"
    assert (refusal["reason"], refusal["balance"], refusal["price"]) == ("not_enough_credits", 3, 5)
    (fact,) = await world.running.published(EnrollmentRefused)
    assert (fact.reason, fact.balance) == ("not_enough_credits", 3)


async def test_whoever_prefers_to_wait_learns_the_outcome_in_the_same_request(world: World, running: Running) -> None:
    listening = asyncio.create_task(running.service.outcomes.run())
    person = await world.person(partner_id=await world.partner())
    course = await world.credit_course(5)

    asking = asyncio.create_task(world.enrol(person, course, prefer="wait=20"))
    while not (found := (await running.get("/v1/enrollments")).json()["items"]):
        await asyncio.sleep(0.01)
    await world.charged(found[0])
    answer = await asking
    listening.cancel()

    assert (answer.status_code, answer.json()["state"]) == (201, "confirmed")


async def test_a_retry_by_key_shows_the_enrollment_as_it_is_now(world: World) -> None:
    person = await world.person(partner_id=await world.partner())
    course = await world.credit_course(5)
    first = await world.enrol(person, course, key="the-same")
    await world.charged(first.json())

    again = await world.enrol(person, course, key="the-same")
    other = await world.enrol(person, uuid7(), key="the-same")

    assert (again.status_code, again.json()["state"]) == (201, "confirmed")
    assert again.json()["enrollment_id"] == first.json()["enrollment_id"]
    assert problem(other)["type"] == "/problems/key-used-for-other-body"
    assert await world.topics() == ["enrollment.approved", "enrollment.confirmed"]


async def test_a_double_click_makes_one_enrollment_and_names_it(world: World) -> None:
    person = await world.person(partner_id=await world.partner())
    course = await world.credit_course(5)

    answers = await asyncio.gather(*(world.enrol(person, course) for _ in range(6)))

    (made,) = [a.json() for a in answers if a.status_code == 202]
    refused = [problem(a) for a in answers if a.status_code == 409]
    assert len(refused) == 5
    assert {p["enrollment_id"] for p in refused} == {made["enrollment_id"]}
    assert {p["type"] for p in refused} == {"/problems/already-enrolled"}


async def test_after_a_refusal_the_person_can_be_enrolled_again(world: World) -> None:
    person = await world.person(partner_id=await world.partner())
    course = await world.credit_course(5)
    await world.refused(await world.enrolled(person, course))

    assert (await world.enrol(person, course)).status_code == 202


async def test_thirty_people_ask_at_once_and_ten_seats_go_to_ten(world: World) -> None:
    session = world.session(seats=10)
    course = await world.credit_course(5, sessions=[session])
    partner_id = await world.partner()
    people = [await world.person(partner_id=partner_id) for _ in range(30)]

    answers = await asyncio.gather(*(world.enrol(p, course, session_id=session.session_id) for p in people))

    assert sorted({a.status_code for a in answers}) == [202, 409]
    assert sum(a.status_code == 202 for a in answers) == 10
    assert {problem(a)["type"] for a in answers if a.status_code == 409} == {"/problems/session-full"}
    assert await world.running.value("select taken from sessions") == 10


async def test_a_refused_enrollment_gives_its_seat_back_and_a_confirmed_one_keeps_it(world: World) -> None:
    session = world.session(seats=2)
    course = await world.credit_course(5, sessions=[session])
    partner_id = await world.partner()
    one, two = [
        await world.enrolled(await world.person(partner_id=partner_id), course, session_id=session.session_id)
        for _ in range(2)
    ]

    await world.refused(one)
    await world.refused(one)
    await world.charged(two)

    assert await world.running.value("select taken from sessions") == 1


async def test_a_capacity_lowered_below_what_is_taken_removes_nobody_and_tells_support(world: World) -> None:
    session = world.session(seats=2)
    course = await world.credit_course(5, sessions=[session])
    partner_id = await world.partner()
    people = [await world.person(partner_id=partner_id) for _ in range(3)]
    made = [await world.enrolled(p, course, session_id=session.session_id) for p in people[:2]]

    await world.credit_course(5, sessions=[session.model_copy(update={"capacity": 1})], course_id=course, version=2)

    assert await world.running.rows("select capacity, taken from sessions") == [{"capacity": 1, "taken": 2}]
    (mail,) = await world.running.mails()
    assert (mail["recipient"], "2 participants and only 1 seats" in mail["subject"]) == (
        "platform@tandem.example",
        True,
    )
    full = await world.enrol(people[2], course, session_id=session.session_id)
    assert problem(full)["type"] == "/problems/session-full"
    await world.refused(made[0])
    assert problem(await world.enrol(people[2], course, session_id=session.session_id))["status"] == 409
    await world.refused(made[1])
    assert (await world.enrol(people[2], course, session_id=session.session_id)).status_code == 202


async def test_a_partner_without_wallet_is_not_limited(world: World) -> None:
    person = await world.person(partner_id=await world.partner(wallet=False))

    answer = await world.enrol(person, await world.credit_course(5))

    assert (answer.status_code, answer.json()["state"], answer.json()["payment"]) == (201, "confirmed", "none")
    assert await world.topics() == ["enrollment.approved", "enrollment.confirmed"]


async def test_each_reason_why_a_course_cannot_be_had_has_its_name(world: World) -> None:
    partner_id, other = await world.partner(), await world.partner(admin=None)
    person = await world.person(partner_id=partner_id)
    supplier = await world.supplier()
    session = world.session()
    begun = world.session(in_days_=-1)
    with_sessions = await world.credit_course(sessions=[session, begun])
    cases = {
        "course-not-found": (uuid7(), None),
        "course-withdrawn": (await world.credit_course(status="withdrawn"), None),
        "course-not-offered": (
            await world.credit_course(offer=CreditOffer(scope="chosen", general_value=4, values={other: None})),
            None,
        ),
        "no-payer": (await world.supplier_course(supplier), None),
        "session-missing": (with_sessions, None),
        "session-not-found": (with_sessions, uuid7()),
        "session-closed": (with_sessions, begun.session_id),
    }
    for name, (course, session_id) in cases.items():
        answer = await world.enrol(person, course, session_id=session_id)
        assert problem(answer)["type"] == f"/problems/{name}", answer.text
        assert problem(answer)["field"] in ("course_id", "person_id", "session_id")
    assert await world.topics() == []


async def test_an_answer_about_an_unknown_enrollment_is_parked_and_its_neighbours_land(world: World) -> None:
    person = await world.person(partner_id=await world.partner())
    made = await world.enrolled(person, await world.credit_course(5))
    stranger = charged(made | {"enrollment_id": str(uuid7())})

    await world.running.deliver(stranger, charged(made))

    assert (await world.enrollment(made))["state"] == "confirmed"
    (parked,) = await world.running.parked()
    assert parked["reason"] == "UnknownEnrollment"


async def test_replaying_everything_with_an_emptied_inbox_changes_nothing(world: World) -> None:
    session = world.session()
    person = await world.person(partner_id=await world.partner())
    made = await world.enrolled(person, await world.credit_course(5, sessions=[session]), session_id=session.session_id)
    await world.charged(made)
    before = await world.running.rows("select * from enrollments"), await world.running.rows("select * from sessions")
    announced = await world.topics()

    await world.running.empty_inbox()
    await world.charged(made)
    await world.refused(made)
    await world.held(made)

    after = await world.running.rows("select * from enrollments"), await world.running.rows("select * from sessions")
    assert after == before
    assert await world.topics() == announced


async def test_another_partners_people_and_enrollments_do_not_exist_for_a_partner(world: World) -> None:
    mine, theirs = await world.partner(), await world.partner(admin="eve@other.example")
    course = await world.credit_course(5)
    person = await world.person(partner_id=mine)
    made = await world.enrolled(person, course)

    enrol = await world.enrol(person, course, by="eve@other.example")
    read = await world.running.get(f"/v1/enrollments/{made['enrollment_id']}", email="eve@other.example")
    listed = await world.running.get("/v1/enrollments", email="eve@other.example")
    people = await world.running.get("/v1/people", email="eve@other.example")

    assert problem(enrol)["type"] == "/problems/person-not-found"
    assert problem(read)["status"] == 404
    assert (listed.json()["items"], people.json()["items"]) == ([], [])
    assert isinstance(theirs, UUID)
