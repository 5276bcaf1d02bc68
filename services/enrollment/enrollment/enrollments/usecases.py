"""What can be done to enrollments. Load, decide, announce; the caller owns the transaction."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.exc import IntegrityError

from enrollment.approvals.rules import expires_at, remind_at
from enrollment.approvals.usecases import inform
from enrollment.enrollments import rows
from enrollment.enrollments.access import acting_as, seen_by
from enrollment.enrollments.facts import fact_of, moved_fact, repriced_fact
from enrollment.enrollments.rules import (
    MACHINE_STEPS,
    OPEN,
    Answer,
    By,
    Enrollment,
    State,
    WaitsFor,
    at_price,
    at_step,
    in_session,
    moved,
    noted,
    settle,
)
from enrollment.moment import Moment
from enrollment.people.usecases import is_person
from enrollment.prices.rules import Offer, Payment, Price, price_of_version, shown
from enrollment.prices.usecases import (
    OFFER_REFUSALS,
    CourseNotFound,
    Ground,
    Person,
    PersonNotFound,
    SessionClosed,
    SessionNotFound,
    check_offer,
    check_session,
    ground,
)
from enrollment.seats import usecases as seats
from enrollment.seats.usecases import SessionFull
from enrollment.suppliers.usecases import News, tell
from kit import notify, outbox
from kit.auth import Principal, act_as
from kit.db import Session, uuid7
from kit.problems import Refused
from schemas.credits import CreditsCharged, CreditsHeld, CreditsRefused
from schemas.event import Event
from schemas.invoice import InvoiceInstructed, InvoiceRefused
from schemas.learning import CourseCompleted


class AlreadyEnrolled(Refused):
    """The person already has an open enrollment on this course and session."""

    rule = "ENR-6"
    remedy = "Use the enrollment named in `enrollment_id`."


class OfferChanged(Refused):
    """The price is no longer the one that was shown."""

    rule = "CAT-5"
    remedy = "Show the person the new price and ask again with the new `offer_version`."


class EnrollmentNotFound(Refused):
    """No such enrollment."""

    status = 404


class NotEnoughCredits(Refused):
    """The wallet does not cover the price."""

    rule = "ENR-5"
    remedy = "Top up the wallet, then enrol again."


class InvoicingIncomplete(Refused):
    """The invoicing details that this enrollment needs are incomplete."""

    rule = "ENR-3"
    remedy = "Complete the details named in `missing`, then enrol again."


class UnknownEnrollment(ValueError):
    """An answer speaks of an enrollment that is not ours."""


CREATION_REFUSALS = (*OFFER_REFUSALS, AlreadyEnrolled, OfferChanged, SessionFull)
BILLING = "service:billing"
ACADEMY = "service:academy"


# -- creating -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """A place for one person, or for each of a class."""

    course_id: UUID
    session_id: UUID | None
    way: str
    by: str
    """Who asks or associates, for the record."""
    signature: str
    """The same without an address, for events."""
    may: Callable[[Person], bool]
    """Whether that caller may do so for a person. One it may not see does not exist for it."""
    offer_version: str | None = None
    """The offer that was shown; a stale one is refused."""
    batch_id: UUID | None = None


@dataclass(slots=True)
class Made:
    """What became of a wish: the enrollments, and by person why there is none."""

    enrollments: list[Enrollment] = field(default_factory=list)
    refused: dict[UUID, Refused] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


async def enrol(db: Session, person_id: UUID, wish: Wish, at: Moment) -> Enrollment:
    """One person on one course. Raises one of `CREATION_REFUSALS`; then nothing is changed."""
    made = await _prepare(db, [person_id], wish, at)
    await _insert(db, made, wish)
    for refusal in made.refused.values():
        raise refusal
    if wish.session_id and not await seats.claim(db, wish.session_id):
        raise SessionFull(wish.session_id, field="session_id")
    outbox.add(db, *made.events)
    return made.enrollments[0]


async def enrol_class(db: Session, person_ids: Sequence[UUID], wish: Wish, at: Moment) -> Made:
    """A class on one course: one statement per kind of row, an outcome per person (ENR-11).

    Where seats run short, the first of the class get them.
    """
    made = await _prepare(db, person_ids, wish, at)
    await _insert(db, made, wish)
    if wish.session_id and made.enrollments:
        got = await seats.claim(db, wish.session_id, len(made.enrollments))
        seated, too_many = made.enrollments[:got], made.enrollments[got:]
        await rows.remove(db, [e.id for e in too_many])
        made.refused |= {e.person_id: SessionFull(wish.session_id, field="session_id") for e in too_many}
        made.enrollments = seated
        _keep_events(made)
    outbox.add(db, *made.events)
    return made


async def _prepare(db: Session, person_ids: Sequence[UUID], wish: Wish, at: Moment) -> Made:
    made = Made()
    basis = await ground(db, wish.course_id, wish.session_id, person_ids)
    offers: dict[Any, Offer] = {}
    for person_id in dict.fromkeys(person_ids):
        try:
            if basis is None:
                raise CourseNotFound(wish.course_id, field="course_id")
            person, offered = _wanted(basis, person_id, wish, at, offers)
            _bear(made, basis, person, offered, wish, at)
        except Refused as refusal:
            made.refused[person_id] = refusal
    return made


def _wanted(basis: Ground, person_id: UUID, wish: Wish, at: Moment, offers: dict[Any, Offer]) -> tuple[Person, Offer]:
    person = basis.people.get(person_id)
    if person is None or not wish.may(person):
        raise PersonNotFound(person_id, field="person_id")
    key = (person.payer, person.terms)
    made = offers.get(key) or offers.setdefault(key, basis.offer_to(person, at.today))
    check_offer(person, made)
    check_session(basis, wish.session_id, at)
    if wish.offer_version and wish.offer_version != made.version:
        raise OfferChanged(
            field="offer_version",
            shown=price_of_version(wish.offer_version),
            now=shown(made.payment, made.credits, made.price),
            offer_version=made.version,
        )
    return person, made


def _bear(made: Made, basis: Ground, person: Person, offered: Offer, wish: Wish, at: Moment) -> None:
    """Born requested, or approved where nobody is asked; where nobody is paid either, confirmed at once."""
    payment = check_offer(person, offered)
    asked = wish.way == "requested"
    state = State.REQUESTED if asked else State.APPROVED
    at_once = asked and payment is not Payment.CREDITS
    born = at_step(
        Enrollment(
            id=uuid7(),
            version=1,
            state=state,
            way=wish.way,
            payment=payment,
            person_id=person.id,
            course_id=wish.course_id,
            session_id=wish.session_id,
            supplier_id=basis.course.supplier_id,
            partner_id=person.payer.partner_id,
            customer_id=person.payer.customer_id,
            credits=offered.credits,
            price=offered.price,
            cancellation=offered.cancellation,
            certificate=basis.certificate,
            created_at=at.now,
            step_since=at.now,
            expires_at=expires_at(at.now, at.zone) if asked else None,
            remind_at=remind_at(at.now, at.zone) if at_once else None,
            approved_by=None if asked else wish.signature,
            approved_at=None if asked else at.now,
            history=(noted(state, at.now, by=wish.by),),
            batch_id=wish.batch_id,
        ),
        at,
    )
    made.events.append(fact_of(born))
    if state is State.APPROVED and payment is Payment.NONE:
        born = confirmed(born, at, by="system")
        made.events.append(fact_of(born))
    made.enrollments.append(born)


async def _insert(db: Session, made: Made, wish: Wish) -> None:
    if not made.enrollments:
        return
    added = await rows.insert(db, made.enrollments)
    twice = [e for e in made.enrollments if e.id not in added]
    if twice:
        found = await rows.open_ones(db, [e.person_id for e in twice], wish.course_id, wish.session_id)
        for e in twice:
            enrollment_id, state = found.get(e.person_id, (None, None))
            made.refused[e.person_id] = AlreadyEnrolled(field="course_id", enrollment_id=enrollment_id, state=state)
        made.enrollments = [e for e in made.enrollments if e.id in added]
        _keep_events(made)


def _keep_events(made: Made) -> None:
    ids = {e.id for e in made.enrollments}
    made.events = [event for event in made.events if getattr(event, "enrollment_id", None) in ids]


def confirmed(e: Enrollment, at: Moment, *, by: str) -> Enrollment:
    return moved(e, State.CONFIRMED, at, by=by, confirmed_at=at.now)


# -- answers of the other services ---------------------------------------------------------------------------

AnswerEvent = CreditsHeld | CreditsCharged | CreditsRefused | InvoiceInstructed | InvoiceRefused | CourseCompleted


@dataclass(slots=True)
class Changes:
    """What a batch of facts did: the rows to write, what to announce, and what else follows."""

    enrollments: dict[UUID, Enrollment]
    touched: dict[UUID, None] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    held: list[UUID] = field(default_factory=list)
    """Their credits are held: now somebody is asked."""
    news: dict[UUID, News] = field(default_factory=dict)
    """What their suppliers are to hear."""
    moved: dict[UUID, None] = field(default_factory=dict)

    def put(self, e: Enrollment) -> None:
        before = self.enrollments[e.id]
        if e != before:
            self.enrollments[e.id] = e
            self.touched[e.id] = None
            if e.state is not before.state:
                self.moved[e.id] = None
                self.events.append(fact_of(e))

    def among(self, ids: Iterable[UUID]) -> list[Enrollment]:
        return [self.enrollments[i] for i in dict.fromkeys(ids)]


async def take_answers(db: Session, events: Sequence[AnswerEvent], at: Moment) -> Changes:
    """Move enrollments by what billing and the academy say, in the order of the log.

    Raises `UnknownEnrollment` for an answer about an enrollment that is not here.
    """
    changes = Changes(await rows.lock(db, {e.enrollment_id for e in events}))
    seated_before = {e.id: e.session_id for e in changes.enrollments.values() if e.state in OPEN}
    for event in events:
        e = changes.enrollments.get(event.enrollment_id)
        if e is None:
            raise UnknownEnrollment(str(event.enrollment_id))
        _take(changes, e, event, at)
    await write(db, changes, seated_before)
    return changes


def _take(changes: Changes, e: Enrollment, event: AnswerEvent, at: Moment) -> None:
    """Forward only: what comes late, twice, or after the end changes nothing."""
    match event:
        case CreditsHeld():
            if e.standing.after(Answer.HELD) != e.standing:
                changes.put(at_step(replace(e, held=True, remind_at=remind_at(at.now, at.zone)), at))
                changes.held.append(e.id)
        case InvoiceInstructed():
            newer = event.revision > e.revision
            if newer:
                e = replace(e, revision=event.revision, instruction=event.model_dump(mode="json"))
                changes.put(e)
                if e.confirmed_at:  # a place it never heard of is no news
                    changes.news.setdefault(e.id, News.INSTRUCTION)
            _pay(changes, e, at)
        case CreditsCharged():
            _pay(changes, e, at)
        case CreditsRefused():
            problem = NotEnoughCredits(
                f"{event.available} credits are available, the price is {event.credits}.",
                reason=event.reason,
                balance=event.available,
                price=event.credits,
            )
            _refuse(changes, e, problem, at)
        case InvoiceRefused():
            _refuse(changes, e, InvoicingIncomplete(reason=event.reason, missing=event.missing), at)
        case CourseCompleted():
            if e.state is State.CONFIRMED:
                changes.put(moved(e, State.COMPLETED, at, by=ACADEMY, completed_at=event.completed_at))
            elif e.standing.after(Answer.COURSE_DONE).done and e.completed_at is None:
                changes.put(replace(e, completed_at=event.completed_at))


def _pay(changes: Changes, e: Enrollment, at: Moment) -> None:
    after = e.standing.after(Answer.PAID).state
    if after is not e.state:
        e = confirmed(e, at, by=BILLING)
        changes.put(e)
        changes.news[e.id] = News.CONFIRMED
    if after is State.COMPLETED and e.state is State.CONFIRMED:
        changes.put(moved(e, State.COMPLETED, at, by=ACADEMY))


def _refuse(changes: Changes, e: Enrollment, problem: Refused, at: Moment) -> None:
    if e.standing.after(Answer.UNPAYABLE).state is State.REFUSED and e.state is not State.REFUSED:
        stored = problem.as_problem()
        changes.put(moved(e, State.REFUSED, at, by=BILLING, why=stored["reason"], problem=stored))


async def write(db: Session, changes: Changes, seated_before: dict[UUID, UUID | None]) -> None:
    """Write what changed, give seats back, announce, tell who asked, and wake those who wait for an outcome.

    `seated_before`: the sessions of the enrollments that were open when they were read.
    """
    changed = changes.among(changes.touched)
    await rows.update(db, changed)
    freed = Counter(
        session_id
        for e in changed
        if e.state not in OPEN
        and e.state is not State.COMPLETED
        and (session_id := seated_before.get(e.id)) is not None
    )
    await seats.give_back(db, freed)
    outbox.add(db, *changes.events)
    # Who ends it itself knows.
    await inform(db, (e for e in changes.among(changes.moved) if e.history[-1].get("as") != By.PERSON))
    # Nobody waits for one member of a class: its caller asks for the whole.
    await notify.notify(db, *(f"enrollment/{e.id}" for e in changed if e.batch_id is None))


# -- what people decide ---------------------------------------------------------------------------------------


class NotRequested(Refused):
    """The request was decided before."""

    rule = "ENR-3"


class NotYetAsked(Refused):
    """The credits are not held yet, so nobody is asked yet."""

    rule = "ENR-3"
    remedy = "Try again in a moment."


class NotOpen(Refused):
    """The enrollment is at a state where this is not possible."""

    rule = "ENR-3"


class ReasonMissing(Refused):
    """A supplier gives a reason when it cancels."""

    status = 422
    rule = "ENR-3"


def _check_requested(e: Enrollment) -> None:
    if e.state is not State.REQUESTED:
        raise NotRequested(f"It is {e.state}.", state=e.state.value)


async def decide(
    db: Session, e: Enrollment, at: Moment, *, approve: bool, by: str, signature: str, why: str | None = None
) -> Enrollment:
    """Approve or decline a request read under lock. The first answer counts; a later one is refused.

    Raises `NotRequested` or `NotYetAsked`.
    """
    _check_requested(e)
    if e.waits_for is not WaitsFor.DECISION:
        raise NotYetAsked()
    changes = Changes({e.id: e})
    if not approve:
        changes.put(moved(e, State.DECLINED, at, by=by, why=why))
    else:
        changes.put(moved(e, State.APPROVED, at, by=by, why=why, approved_by=signature, approved_at=at.now))
        if e.payment is Payment.NONE:
            changes.put(confirmed(changes.enrollments[e.id], at, by="system"))
    return await _write_one(db, changes, e)


async def withdraw(db: Session, e: Enrollment, at: Moment, *, by: str) -> Enrollment:
    """Take a request back before it is decided. Raises `NotRequested`."""
    _check_requested(e)
    changes = Changes({e.id: e})
    changes.put(moved(e, State.WITHDRAWN, at, by=by))
    return await _write_one(db, changes, e)


async def cancel(db: Session, e: Enrollment, at: Moment, *, by: str, as_: By, why: str | None = None) -> Enrollment:
    """Give up a place after approval. What is kept follows the course's terms (ENR-8).

    Raises `NotOpen`, or `ReasonMissing` where the supplier gives none.
    """
    if e.state not in (State.APPROVED, State.CONFIRMED):
        raise NotOpen(f"It is {e.state}.", state=e.state.value)
    if as_ is By.SUPPLIER and not (why or "").strip():
        raise ReasonMissing(field="reason")
    session = await seats.session_of(db, e.session_id)
    starts_on = at.day(session.starts_at) if session else None
    settled = settle(e.state, as_, e.credits, e.price, e.cancellation, starts_on, at.today)
    changes = Changes({e.id: e})
    why = (why or "").strip() or f"cancelled by the {as_}"
    changes.put(moved(e, State.CANCELLED, at, by=by, as_=as_, why=why, settlement=settled))
    cancelled = await _write_one(db, changes, e)
    if e.state is State.CONFIRMED and as_ is not By.SUPPLIER:
        await tell(db, {e.id: News.CANCELLED}, [cancelled], at)
    return cancelled


async def complete(db: Session, e: Enrollment, at: Moment, *, by: str) -> Enrollment:
    """The participant has completed the course. Raises `NotOpen`."""
    if e.state is not State.CONFIRMED:
        raise NotOpen(f"It is {e.state}.", state=e.state.value)
    changes = Changes({e.id: e})
    changes.put(moved(e, State.COMPLETED, at, by=by, completed_at=e.completed_at or at.now))
    return await _write_one(db, changes, e)


async def move(
    db: Session, e: Enrollment, session_id: UUID, at: Moment, *, by: str, why: str | None = None
) -> Enrollment:
    """Exchange the seat for one in another session of the course, after confirmation (ENR-8).

    Raises `NotOpen`, `SessionNotFound`, `SessionClosed`, `SessionFull` or `AlreadyEnrolled`.
    """
    if e.state is not State.CONFIRMED:
        raise NotOpen(f"It is {e.state}.", state=e.state.value)
    if e.session_id == session_id:
        return e
    session = await seats.session_of(db, session_id)
    if session is None or session.course_id != e.course_id:
        raise SessionNotFound(session_id, field="session_id")
    if session.status != "open" or session.starts_at <= at.now:
        raise SessionClosed(session_id, field="session_id")
    new = in_session(e, session_id, at, by=by, why=why)
    try:
        await rows.update(db, [new])
    except IntegrityError as error:  # the index of open enrollments: the person is in that session already
        raise AlreadyEnrolled(field="session_id") from error
    await seats.exchange(db, e.session_id, session_id)
    outbox.add(db, moved_fact(new, e))
    await tell(db, {e.id: News.MOVED}, [new], at)
    return new


async def reprice(db: Session, e: Enrollment, price: Price, at: Moment, *, by: str, why: str) -> Enrollment:
    """Freeze the breakdown anew, everybody having agreed (ENR-8). Billing instructs anew and the supplier hears."""
    new = at_price(e, price, at, by=by, why=why)
    await rows.update(db, [new])
    outbox.add(db, repriced_fact(new, e, why))
    return new


async def expire(db: Session, at: Moment, limit: int = 500) -> int:
    """End requests that nobody decided in time; returns how many."""
    late = await rows.due(
        db, at.now, rows.enrollments.c.state == "requested", rows.enrollments.c.expires_at <= at.now, limit=limit
    )
    changes = Changes(late)
    for e in late.values():
        changes.put(moved(e, State.EXPIRED, at, by="system"))
    await write(db, changes, {e.id: e.session_id for e in late.values()})
    return len(late)


# -- steps that wait for a machine ---------------------------------------------------------------------------


class Stuck(Refused):
    """A step took too long and was given up."""

    rule = "ENR-3"
    remedy = "Ask again; nothing was charged."


class NotOverdue(Refused):
    """The step is not overdue: it may still be answered."""

    rule = "ENR-3"


async def announce_again(db: Session, at: Moment, limit: int = 500) -> int:
    """At a step's deadline, once: the same fact under a new event id. A service that has decided says so again.

    After the second deadline it is left to staff. Returns how many were announced.
    """
    late = await rows.due(
        db, at.now, rows.enrollments.c.waits_for.in_(MACHINE_STEPS), rows.enrollments.c.attempts == 0, limit=limit
    )
    again = [_asked_again(e, at) for e in late.values()]
    await rows.update(db, again)
    outbox.add(db, *(fact_of(e) for e in again))
    return len(again)


def _asked_again(e: Enrollment, at: Moment) -> Enrollment:
    return replace(e, attempts=e.attempts + 1, step_until=at.now + timedelta(seconds=at.step_s))


def _check_overdue(e: Enrollment, at: Moment) -> None:
    if e.waits_for not in MACHINE_STEPS:
        raise NotOverdue(f"It waits for {e.waits_for or 'nothing'}.", state=e.state.value)
    if e.attempts == 0 and e.step_until and e.step_until > at.now:
        raise NotOverdue(f"It has time until {e.step_until.isoformat()}.", state=e.state.value)


async def retry(db: Session, e: Enrollment, at: Moment) -> Enrollment:
    """Staff have an overdue step announced once more. Raises `NotOverdue`."""
    _check_overdue(e, at)
    again = _asked_again(e, at)
    await rows.update(db, [again])
    outbox.add(db, fact_of(again))
    return again


async def compensate(db: Session, e: Enrollment, at: Moment, *, by: str) -> Enrollment:
    """Staff give an overdue enrollment up, with the reason `stuck`: a hold or charge goes back, also one that
    exists by now or comes later. Raises `NotOverdue`."""
    _check_overdue(e, at)
    changes = Changes({e.id: e})
    if e.state is State.REQUESTED:
        problem = Stuck(reason="stuck", waited_for=e.waits_for).as_problem()
        changes.put(moved(e, State.REFUSED, at, by=by, why="stuck", problem=problem))
    else:
        settled = settle(e.state, By.SYSTEM, e.credits, e.price, e.cancellation, None, at.today)
        changes.put(moved(e, State.CANCELLED, at, by=by, as_=By.SYSTEM, why="stuck", settlement=settled))
    return await _write_one(db, changes, e)


def waiting_steps(*, overdue: bool, now: datetime) -> tuple[Select[Any], list[Any]]:
    """The query for enrollments that wait for a machine, and its order. `overdue`: those left to staff."""
    c = rows.enrollments.c
    query = rows.SELECT.where(c.waits_for.in_(MACHINE_STEPS), c.step_until.is_not(None))
    return (query.where(c.attempts > 0, c.step_until <= now) if overdue else query), [c.id]


async def to_remind(db: Session, at: Moment, limit: int = 200) -> list[Enrollment]:
    """Requests whose reminder is due; each is due once."""
    found = await rows.reminders_due(db, at.now, limit)
    await rows.update(db, [replace(e, remind_at=None) for e in found])
    return [e for e in found if e.state is State.REQUESTED]


async def _write_one(db: Session, changes: Changes, e: Enrollment) -> Enrollment:
    await write(db, changes, {e.id: e.session_id})
    return changes.enrollments[e.id]


# -- reading ------------------------------------------------------------------------------------------------


async def get(db: Session, enrollment_id: UUID, caller: Principal, *, lock: bool = False) -> Enrollment:
    """An enrollment the caller may see. Raises `EnrollmentNotFound`."""
    found = await rows.one(db, rows.enrollments.c.id == enrollment_id, seen_by(caller), lock=lock)
    if found is None:
        raise EnrollmentNotFound(enrollment_id)
    return found


async def for_change(db: Session, enrollment_id: UUID, caller: Principal) -> tuple[Enrollment, By]:
    """An enrollment under lock, and in whose name the caller acts on it. Raises `EnrollmentNotFound`.

    What follows reaches people that the caller may not see (the supplier's users, the participant's manager), so
    from here on the transaction acts for the platform; who did it stays on record.
    """
    e = await get(db, enrollment_id, caller, lock=True)
    as_ = acting_as(caller, await is_person(db, e.person_id, caller.email))
    await act_as(db, "platform", caller.actor)
    return e, as_


def listed(caller: Principal, asked: Mapping[str, Any]) -> tuple[Select[Any], list[Any]]:
    """The query for a list of enrollments the caller may see, newest first, and its order."""
    columns = rows.enrollments.c
    own = caller.own_rows(partner=columns.partner_id, customer=columns.customer_id, supplier=columns.supplier_id)
    query = rows.SELECT.where(own, seen_by(caller), *(columns[k] == v for k, v in asked.items()))
    return query, [columns.id.desc()]


from_row = rows.as_enrollment


async def by_id(db: Session, enrollment_id: UUID, *, lock: bool = False) -> Enrollment:
    """An enrollment, for who holds a link to it. Raises `EnrollmentNotFound`."""
    found = await rows.one(db, rows.enrollments.c.id == enrollment_id, lock=lock)
    if found is None:
        raise EnrollmentNotFound(enrollment_id)
    return found
