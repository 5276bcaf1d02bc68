"""Enrollments on suppliers' courses: split, instructed, told to the supplier, moved, cancelled, completed."""

import asyncio
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from kit.testing import eventually, problem
from schemas.course import CoursePublished
from schemas.enrollment import EnrollmentApproved, EnrollmentCancelled, EnrollmentCompleted, EnrollmentMoved
from schemas.event import uuid7
from schemas.invoice import InstructedInvoice, InvoiceRefused
from schemas.learning import CourseCompleted
from schemas.supplier import SiteOpening, SupplierChanged, SupplierUser
from schemas.values import CourseSession, DatedPrice, Money, Party
from services.enrollment.tests.test_approvals import link_in, mails_to, press
from services.enrollment.tests.world import PARTNER_ADMIN, SUPPLIER, World

CUSTOMER_ADMIN = "carl@acme.example"


async def place(
    world: World, *, session: CourseSession | None = None, price: int = 10_000, confirmed: bool = True
) -> dict[str, Any]:
    """An employee's place on a supplier's course, instructed unless said otherwise."""
    customer_id = await world.customer(admin=CUSTOMER_ADMIN)
    person = await world.person(customer_id=customer_id, name="Eva Smit")
    course = await world.supplier_course(
        await world.supplier(), price=price, sessions=[session] if session else [world.session(seats=0)]
    )
    session = session or world.session()
    made: dict[str, Any] = await world.enrolled(person, course, session_id=session.session_id)
    if confirmed:
        await world.instructed(made)
    return made


async def test_the_price_is_split_frozen_and_announced_and_the_instruction_confirms(world: World) -> None:
    made = await place(world, session=world.session(), price=12_345, confirmed=False)

    # 15 % of 123.45 is 18.5175 → 18.52; half of it is 9.26.
    assert made["price"] == {
        "currency": "EUR",
        "price": 12_345,
        "discount": 1_852,
        "fee": 926,
        "customer_pays": 11_419,
        "supplier_keeps": 10_493,
    }
    assert (made["payment"], made["step"]["waiting_for"]) == ("invoice", "invoice.instructed")
    (fact,) = await world.running.published(EnrollmentApproved)
    assert fact.price is not None
    assert (fact.price.price, fact.price.discount, fact.price.fee) == (12_345, 1_852, 926)

    await world.instructed(made)

    now = await world.enrollment(made)
    assert (now["state"], now["instruction"]["reference"]) == ("confirmed", "E-2027-0001")


async def test_the_supplier_gets_everything_it_needs_by_mail_once(world: World) -> None:
    session = world.session()
    made = await place(world, session=session)
    await world.running.empty_inbox()
    await world.instructed(made)

    (mail,) = await mails_to(world, SUPPLIER)
    assert mail["subject"] == "Nieuwe deelnemer: Eva Smit bij Safe Driving"
    for said in ("Eva Smit", "Acme", "Safe Driving", "Utrecht", "E-2027-0001", "EUR 92.50", "30"):
        assert said in mail["text"], said


async def test_missing_invoicing_details_refuse_it_and_are_named(world: World) -> None:
    session = world.session()
    made = await place(world, session=session, confirmed=False)

    await world.running.deliver(
        InvoiceRefused(enrollment_id=made["enrollment_id"], version=1, missing=["customer.invoicing.vat_id"])
    )

    now = await world.enrollment(made)
    assert now["problem"]["type"] == "/problems/invoicing-incomplete"
    assert now["problem"]["missing"] == ["customer.invoicing.vat_id"]
    assert (now["state"], await world.running.value("select taken from sessions")) == ("refused", 0)


async def test_an_older_revision_of_the_instruction_never_replaces_a_newer_one(world: World) -> None:
    made = await place(world, session=world.session(), confirmed=False)

    await world.instructed(made, 2, reference="second")
    await world.instructed(made, 1, reference="first")

    now = await world.enrollment(made)
    assert (now["state"], now["instruction"]["reference"]) == ("confirmed", "second")


async def test_cancelling_in_time_returns_everything_and_frees_the_seat(world: World) -> None:
    made = await place(world, session=world.session(in_days_=20))

    answer = await world.act(made, "cancel", reason="ill")

    now = answer.json()
    assert (now["state"], now["settlement"]["price_kept"]) == ("cancelled", None)
    (fact,) = await world.running.published(EnrollmentCancelled)
    assert (fact.reason, fact.cancelled_by, fact.price_kept) == ("ill", "platform", None)
    assert await world.running.value("select taken from sessions where capacity > 0") == 0
    assert [m["event"] for m in await mails_to(world, SUPPLIER)] == ["confirmed", "cancelled"]


async def test_cancelling_late_keeps_the_share_of_the_terms_split_as_the_price(world: World) -> None:
    made = await place(world, session=world.session(in_days_=3), price=12_345)

    await world.act(made, "cancel", reason="ill")

    (fact,) = await world.running.published(EnrollmentCancelled)
    # Half of 12345, 1852 and 926, half up.
    assert fact.price_kept is not None
    assert (fact.price_kept.price, fact.price_kept.discount, fact.price_kept.fee) == (6_173, 926, 463)


async def test_cancelled_by_the_supplier_everything_goes_back_however_late(world: World) -> None:
    made = await place(world, session=world.session(in_days_=1))

    no_reason = await world.act(made, "cancel", by=SUPPLIER)
    answer = await world.act(made, "cancel", by=SUPPLIER, reason="the trainer is ill")

    assert problem(no_reason)["type"] == "/problems/reason-missing"
    assert answer.json()["settlement"]["price_kept"] is None
    (fact,) = await world.running.published(EnrollmentCancelled)
    assert (fact.cancelled_by, fact.price_kept) == ("supplier", None)


async def test_an_instruction_that_crosses_the_cancellation_confirms_nothing(world: World) -> None:
    made = await place(world, session=world.session(in_days_=1), confirmed=False)
    cancelled = await world.act(made, "cancel", reason="ill")
    await world.instructed(made)
    await world.instructed(made, 2, withdrawn=True)

    now = await world.enrollment(made)
    assert (cancelled.json()["state"], now["state"], now["instruction"]["withdrawn"]) == (
        "cancelled",
        "cancelled",
        True,
    )
    assert now["settlement"]["price_kept"] is None
    assert await world.topics() == ["enrollment.approved", "enrollment.cancelled"]
    assert await mails_to(world, SUPPLIER) == []  # it never heard of the place


async def test_each_sees_of_the_instruction_the_invoices_it_has_a_part_in(world: World) -> None:
    partner_id = await world.partner()
    customer_id = await world.customer(partner_id, admin=CUSTOMER_ADMIN)
    person = await world.person("eva@acme.example", customer_id=customer_id)
    made = await world.enrolled(person, await world.supplier_course(await world.supplier()))
    platform = Party(kind="platform", name="Tandem")
    supplier = Party(kind="supplier", id=UUID(made["supplier_id"]), name="Bright Training")
    customer = Party(kind="customer", id=customer_id, name="Acme")
    participant = Party(kind="participant", id=UUID(person["person_id"]), name="Eva Smit")

    def invoice(document: str, seller: Party, buyer: Party) -> InstructedInvoice:
        net = Money(amount=100, currency="EUR")
        return InstructedInvoice(document=document, seller=seller, buyer=buyer, net=net, term_days=30)

    invoices = [
        invoice("purchase", supplier, platform),
        invoice("sales", platform, customer),
        invoice("platform_fee", platform, supplier),
        invoice("supplier_invoice", supplier, participant),
    ]
    await world.instructed(made, invoices=invoices)

    async def seen(by: str) -> list[str]:
        one = await world.enrollment(made, by=by)
        (listed,) = (await world.running.get("/v1/enrollments", email=by)).json()["items"]
        assert listed["instruction"] == one["instruction"]
        return [i["document"] for i in one["instruction"]["invoices"]]

    assert await seen("admin@tandem.example") == ["purchase", "sales", "platform_fee", "supplier_invoice"]
    assert await seen(SUPPLIER) == ["purchase", "platform_fee", "supplier_invoice"]
    assert await seen(CUSTOMER_ADMIN) == await seen(PARTNER_ADMIN) == ["sales"]
    assert await seen("eva@acme.example") == ["supplier_invoice"]


async def test_a_move_exchanges_the_seats_and_a_full_session_takes_nobody(world: World) -> None:
    first, second, full = world.session(seats=1), world.session(seats=1), world.session(seats=0)
    customer_id = await world.customer()
    course = await world.supplier_course(await world.supplier(), sessions=[first, second, full])
    person = await world.person(customer_id=customer_id)
    made = await world.enrolled(person, course, session_id=first.session_id)
    early = await world.act(made, "move", session_id=second.session_id)
    await world.instructed(made)

    no_seat = await world.act(made, "move", session_id=full.session_id)
    other = await world.act(made, "move", session_id=uuid7())
    moved = await world.act(made, "move", session_id=second.session_id)

    assert problem(early)["type"] == "/problems/not-open"
    assert problem(no_seat)["type"] == "/problems/session-full"
    assert problem(other)["type"] == "/problems/session-not-found"
    assert moved.json()["session_id"] == str(second.session_id)
    taken = await world.running.rows("select id, taken from sessions where taken > 0")
    assert taken == [{"id": second.session_id, "taken": 1}]
    (fact,) = await world.running.published(EnrollmentMoved)
    assert (fact.from_session_id, fact.session_id, fact.version) == (first.session_id, second.session_id, 3)
    again = await world.enrol(person, course, session_id=second.session_id)
    assert problem(again)["type"] == "/problems/already-enrolled"


async def test_the_suppliers_link_shows_the_enrollment_and_reports_completion_once(world: World) -> None:
    made = await place(world, session=world.session())
    (mail,) = await mails_to(world, SUPPLIER)

    done = await press(world, mail, "complete")
    again = await press(world, mail, "cancel", "no longer")

    assert (done.status_code, again.status_code) == (200, 409)
    now = await world.enrollment(made)
    assert (now["state"], now["step"]) == ("completed", None)
    (fact,) = await world.running.published(EnrollmentCompleted)
    assert (fact.version, fact.certificate) == (3, False)
    assert await world.running.value("select sum(taken) from sessions") == 1


async def test_the_suppliers_link_cancels_only_with_a_reason(world: World) -> None:
    made = await place(world, session=world.session())
    (mail,) = await mails_to(world, SUPPLIER)

    silent = await press(world, mail, "cancel")
    assert (silent.status_code, (await world.enrollment(made))["state"]) == (422, "confirmed")
    told = await press(world, mail, "cancel", "the trainer is ill")

    assert told.status_code == 200
    assert (await world.enrollment(made))["history"][-1]["why"] == "the trainer is ill"


async def test_the_link_of_a_removed_user_or_a_closed_supplier_shows_and_does_nothing(world: World) -> None:
    made = await place(world, session=world.session())
    (mail,) = await mails_to(world, SUPPLIER)
    supplier_id = UUID(made["supplier_id"])
    other = SupplierUser(user_id=uuid7(), email="new@supplier.example")
    gone = SupplierChanged(supplier_id=supplier_id, version=2, name="Bright Training", users=[other])
    closed = SupplierChanged(supplier_id=supplier_id, version=3, name="Bright Training", users=[], status="closed")

    for fact in (gone, closed):
        await world.running.deliver(fact)
        page = await world.running.http.get(link_in(mail))
        done = await press(world, mail, "complete")

        assert (page.status_code, "Eva Smit" in page.text, done.status_code) == (410, False, 410)
    assert (await world.enrollment(made))["state"] == "confirmed"


async def test_a_supplier_sees_its_own_enrollments_once_they_are_approved(world: World) -> None:
    made = await place(world, session=world.session())
    other = await world.supplier(users=["eve@other.example"])
    course = await world.supplier_course(UUID(made["supplier_id"]))
    person = await world.person(customer_id=UUID(made["customer_id"]))
    await world.enrolled(person, course, "requested")

    mine = await world.running.get("/v1/enrollments", email=SUPPLIER)
    theirs = await world.running.get(f"/v1/enrollments/{made['enrollment_id']}", email="eve@other.example")
    complete = await world.act(made, "complete", by="eve@other.example")

    assert other
    (seen,) = mine.json()["items"]
    assert seen["enrollment_id"] == made["enrollment_id"]
    assert not any("by" in entry for entry in seen["history"])
    assert problem(theirs)["status"] == problem(complete)["status"] == 404


async def test_the_academys_completion_completes_it_whenever_it_comes(world: World) -> None:
    person = await world.person(partner_id=await world.partner())
    made = await world.enrolled(person, await world.credit_course(5))
    done = CourseCompleted(
        enrollment_id=made["enrollment_id"],
        person_id=made["person_id"],
        course_id=made["course_id"],
        version=1,
        completed_at=datetime(2027, 3, 1, 12, tzinfo=UTC),
    )

    await world.running.deliver(done)
    assert (await world.enrollment(made))["state"] == "approved"
    await world.charged(made)

    assert (await world.enrollment(made))["state"] == "completed"
    (fact,) = await world.running.published(EnrollmentCompleted)
    assert (fact.certificate, fact.completed_at) == (True, datetime(2027, 3, 1, 12, tzinfo=UTC))


async def test_a_stale_offer_is_refused_with_both_prices(world: World) -> None:
    customer_id = await world.customer()
    person = await world.person(customer_id=customer_id)
    supplier = await world.supplier()
    course = await world.supplier_course(supplier, price=10_000)
    query = {"person_id": person["person_id"], "course_id": str(course)}
    offer = (await world.running.get("/v1/offers", **query)).json()
    assert (offer["open"], offer["payment"], offer["price"]["customer_pays"]) == (True, "invoice", 9_250)

    await world.supplier_course(supplier, price=20_000, course_id=course, version=2)
    stale = problem(await world.enrol(person, course, offer_version=offer["offer_version"]))
    fresh = await world.enrol(person, course, offer_version=stale["offer_version"])

    assert stale["type"] == "/problems/offer-changed"
    assert (stale["shown"], stale["now"]) == ("invoice-EUR-10000-1500-750", "invoice-EUR-20000-3000-1500")
    assert fresh.json()["price"]["customer_pays"] == 18_500


async def test_a_future_price_does_not_touch_todays_offer(world: World) -> None:
    person = await world.person(customer_id=await world.customer())
    prices = [
        DatedPrice(valid_from=date(2026, 1, 1), price=Money(amount=10_000, currency="EUR")),
        DatedPrice(valid_from=date(2999, 1, 1), price=Money(amount=99_000, currency="EUR")),
    ]
    course = await world.supplier_course(await world.supplier(), prices=prices)

    assert (await world.enrolled(person, course))["price"]["price"] == 10_000


async def test_a_customers_own_terms_replace_the_default_ones(world: World) -> None:
    customer_id, supplier = await world.customer(), await world.supplier()
    await world.terms(
        supplier_id=supplier,
        customer_id=customer_id,
        discount_bp=2000,
        platform_share_bp=1000,
        minimum_fee=Money(amount=500, currency="EUR"),
    )
    course = await world.supplier_course(supplier, price=10_000)

    ours = await world.enrolled(await world.person(customer_id=customer_id), course)
    theirs = await world.enrolled(await world.person(customer_id=await world.customer()), course)

    assert (ours["price"]["discount"], ours["price"]["fee"]) == (2_000, 500)
    assert (theirs["price"]["discount"], theirs["price"]["fee"]) == (1_500, 750)


async def test_a_supplier_takes_enrollments_only_where_its_site_is_open(world: World) -> None:
    mine, other = await world.customer(), await world.customer()
    sites = [
        SiteOpening(site="customer_portal/*", open=False, reason="the agreement is out of date"),
        SiteOpening(site=f"customer_portal/{mine}", open=True),
    ]
    supplier = await world.supplier(sites=sites)
    course = await world.supplier_course(supplier)
    narrow = await world.supplier_course(supplier, sites=[f"customer_portal/{other}"])
    at_mine, at_other = await world.person(customer_id=mine), await world.person(customer_id=other)

    refused = problem(await world.enrol(at_other, course))
    assert (refused["type"], refused["detail"]) == ("/problems/site-closed", "the agreement is out of date")
    assert problem(await world.enrol(at_mine, narrow))["type"] == "/problems/site-closed"
    assert (await world.enrol(at_mine, course)).status_code == 202


async def test_a_withdrawn_course_stops_new_enrollments_and_not_running_ones(world: World) -> None:
    supplier = await world.supplier()
    course = await world.supplier_course(supplier)
    customer_id = await world.customer()
    made = await world.enrolled(await world.person(customer_id=customer_id), course)

    await world.supplier_course(supplier, course_id=course, version=2, status="withdrawn")
    late = await world.enrol(await world.person(customer_id=customer_id), course)
    await world.instructed(made)

    assert problem(late)["type"] == "/problems/course-withdrawn"
    assert (await world.enrollment(made))["state"] == "confirmed"


async def test_an_older_version_of_a_course_changes_nothing(world: World) -> None:
    supplier = await world.supplier()
    session = world.session(seats=5)
    course = await world.supplier_course(supplier, sessions=[session], version=7)
    await world.supplier_course(
        supplier, sessions=[session.model_copy(update={"capacity": 1})], course_id=course, version=6
    )

    assert await world.running.rows("select capacity, status from sessions") == [{"capacity": 5, "status": "open"}]


async def test_whoever_ends_or_moves_it_the_others_hear_of_it(world: World) -> None:
    first, second = world.session(), world.session()
    customer_id = await world.customer(admin=CUSTOMER_ADMIN)
    course = await world.supplier_course(await world.supplier(), sessions=[first, second])
    eva = await world.person("eva@acme.example", name="Eva Smit", customer_id=customer_id)
    asked = await world.enrolled(eva, course, "requested", session_id=first.session_id)
    await world.act(asked, "approve", by=CUSTOMER_ADMIN)
    await world.instructed(asked)

    moved = await world.act(asked, "move", by=SUPPLIER, session_id=second.session_id)
    cancelled = await world.act(asked, "cancel", by="eva@acme.example", reason="ill")
    again = await world.enrolled(eva, course, "requested", session_id=first.session_id)
    await world.act(again, "approve", by=CUSTOMER_ADMIN)
    await world.instructed(again)
    await world.act(again, "cancel", by=SUPPLIER, reason="the trainer is ill")

    assert (moved.status_code, cancelled.status_code) == (200, 200)
    to_supplier = await mails_to(world, SUPPLIER)
    assert [m["event"] for m in to_supplier] == ["confirmed", "moved/4", "cancelled", "confirmed"]
    assert all("Eva Smit" in m["text"] for m in to_supplier)
    to_eva = await mails_to(world, "eva@acme.example")
    assert [m["event"] for m in to_eva] == ["confirmed", "confirmed", "cancelled"]
    assert "the trainer is ill" in to_eva[-1]["text"]


async def test_sessions_are_locked_in_the_order_of_their_ids_also_where_they_are_dropped(world: World) -> None:
    supplier = await world.supplier()
    low, high = sorted((world.session(), world.session()), key=lambda s: s.session_id)
    later = await world.supplier_course(supplier, sessions=[high])
    course = await world.supplier_course(supplier, sessions=[low])
    facts = [
        CoursePublished(
            course_id=course_id, version=2, title="Safe Driving", kind="classroom", offered_by="supplier",
            supplier_id=supplier, sessions=sessions,
        )
        for course_id, sessions in ((later, [high]), (course, []))
    ]  # fmt: skip

    async def waits() -> Any:
        return await world.running.value(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )

    async with asyncio.TaskGroup() as both, world.running.db() as elsewhere:
        lock = text("select id from sessions where id = :id for update nowait")
        await elsewhere.execute(lock, {"id": low.session_id})
        both.create_task(world.running.deliver(*facts))
        await eventually(waits)
        await elsewhere.execute(lock, {"id": high.session_id})  # who waits for the first holds no later one

    states = {row["id"]: row["status"] for row in await world.running.rows("select id, status from sessions")}
    assert states == {low.session_id: "cancelled", high.session_id: "open"}
