"""The ground of an offer: everything that is known of people, a course and a session, in one round trip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from enrollment.moment import Moment
from enrollment.prices.rules import (
    Cancellation,
    Closed,
    Course,
    ListPrice,
    Offer,
    Payer,
    Payment,
    Site,
    Terms,
    offer,
)
from enrollment.seats.usecases import SessionFull
from kit.auth import Principal
from kit.db import Session
from kit.problems import Refused


class PersonNotFound(Refused):
    """No such person."""

    status = 404


class CourseNotFound(Refused):
    """No such course."""

    status = 404


class SessionNotFound(Refused):
    """The course has no such session."""

    status = 404


class PersonInactive(Refused):
    """The person has left."""

    rule = "ENR-2"


class CourseWithdrawn(Refused):
    """The course was withdrawn and takes no new enrollments."""

    rule = "CAT-7"
    remedy = "Choose another course."


class CourseNotOffered(Refused):
    """The course is not for this person's partner."""

    status = 403
    rule = "CAT-7"
    remedy = "Ask the platform to choose your partner for this course."


class SiteClosed(Refused):
    """The supplier takes no enrollments on this site now."""

    rule = "CAT-2"
    remedy = "Choose another course, or ask support why it is closed."


class NoPayer(Refused):
    """Nobody would pay for this enrollment."""

    rule = "ENR-4"
    remedy = "Give the person a customer that can be invoiced, or choose a course that is paid by credits."


class NoPrice(Refused):
    """The course has no price that holds today."""

    rule = "CAT-5"
    remedy = "Ask the supplier for a price."


class PartnerClosed(Refused):
    """The person's partner is closed or not known here yet."""

    rule = "CON-1"


class SessionMissing(Refused):
    """The course is given in sessions: name one."""

    status = 422
    rule = "ENR-6"
    remedy = "Send `session_id`, one of `sessions`."


class SessionClosed(Refused):
    """The session was cancelled or has begun."""

    rule = "ENR-6"
    remedy = "Choose another session."


_CLOSED: dict[Closed, tuple[type[Refused], str]] = {
    Closed.WITHDRAWN: (CourseWithdrawn, "course_id"),
    Closed.NOT_OFFERED: (CourseNotOffered, "course_id"),
    Closed.SITE_CLOSED: (SiteClosed, "course_id"),
    Closed.NO_PAYER: (NoPayer, "person_id"),
    Closed.NO_PRICE: (NoPrice, "course_id"),
    Closed.PARTNER_CLOSED: (PartnerClosed, "person_id"),
}
OFFER_REFUSALS = (
    PersonNotFound, CourseNotFound, SessionNotFound, PersonInactive, CourseWithdrawn, CourseNotOffered,
    SiteClosed, NoPayer, NoPrice, PartnerClosed, SessionMissing, SessionClosed,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """A person, as an offer and a permission need it."""

    id: UUID
    status: str
    email: str | None
    manager_id: UUID | None
    manager_email: str | None
    payer: Payer
    terms: tuple[Terms, ...]


@dataclass(frozen=True, slots=True)
class Session_:
    """One run of the course."""

    id: UUID
    course_id: UUID
    status: str
    starts_at: datetime
    capacity: int
    taken: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What offers are made from: one course, perhaps one session, and some people."""

    course: Course
    certificate: bool
    sites: tuple[Site, ...]
    session: Session_ | None
    has_sessions: bool
    people: dict[UUID, Person]

    def offer_to(self, person: Person, today: date) -> Offer:
        return offer(self.course, person.payer, self.sites, person.terms, today)


# The tables of people, copies and seats are read here together, so that an offer costs one round trip. One person
# has a statement of its own: the number of rows is known then, and the server keeps its plan.
_GROUND = """
    select asked.person_id as asked_id, p.id as person_id, p.status, p.email, p.manager_id,
        m.email as manager_email, p.partner_id, pa.status as partner_status, pa.wallet,
        p.customer_id, cu.status as customer_status,
        t.terms,
        c.id as course_id, c.status as course_status, c.offered_by, c.supplier_id, c.owner_partner_id,
        c.certificate, c.prices, c.credits, c.sites as course_sites, c.cancellation, s.sites,
        ss.id as session_id, ss.course_id as session_course_id, ss.status as session_status, ss.starts_at,
        ss.capacity, ss.taken,
        (cast(:session_id as uuid) is null and exists (
            select from sessions x where x.course_id = c.id and x.status = 'open')) as has_sessions
    from {asked}
    left join people p on p.id = asked.person_id
    left join people m on m.id = p.manager_id
    left join partners pa on pa.id = p.partner_id
    left join customers cu on cu.id = p.customer_id
    left join courses c on c.id = :course_id
    left join suppliers s on s.id = c.supplier_id and s.status = 'active'
    left join sessions ss on ss.id = cast(:session_id as uuid)
    left join lateral (
        select jsonb_agg(jsonb_build_array(t.valid_from, t.discount_bp, t.platform_share_bp, t.minimum_fee,
            t.currency, t.supplier_id, t.customer_id)) as terms
        from terms t
        where c.supplier_id is not null and t.kind = 'business' and t.status = 'active'
            and ((t.supplier_id is null and t.customer_id is null)
                or (t.customer_id = p.customer_id and t.supplier_id = c.supplier_id))
    ) t on true
    order by asked.n
"""
_GROUND_OF_ONE = text(_GROUND.format(asked="(select cast(:person_id as uuid) as person_id, 1 as n) as asked"))
_GROUND_OF_MANY = text(
    _GROUND.format(asked="unnest(cast(:person_ids as uuid[])) with ordinality as asked(person_id, n)")
)


async def ground(db: Session, course_id: UUID, session_id: UUID | None, person_ids: Sequence[UUID]) -> Ground | None:
    """What is known and may be seen; None without the course. People that are not seen are left out."""
    asked = {"course_id": course_id, "session_id": session_id}
    if len(person_ids) == 1:
        found = await db.execute(_GROUND_OF_ONE, {**asked, "person_id": person_ids[0]})
    else:
        found = await db.execute(_GROUND_OF_MANY, {**asked, "person_ids": list(person_ids)})
    rows = found.all()
    if not rows or rows[0].course_id is None:
        return None
    first = rows[0]
    return Ground(
        course=_course(first),
        certificate=first.certificate,
        sites=tuple(Site(s["site"], s["open"], s.get("reason")) for s in _json(first.sites) or ()),
        session=Session_(
            first.session_id,
            first.session_course_id,
            first.session_status,
            first.starts_at,
            first.capacity,
            first.taken,
        )
        if first.session_id
        else None,
        has_sessions=first.has_sessions,
        people={row.person_id: _person(row) for row in rows if row.person_id is not None},
    )


def _course(row: Any) -> Course:
    credits_ = _json(row.credits)
    return Course(
        course_id=row.course_id,
        status=row.course_status,
        offered_by=row.offered_by,
        supplier_id=row.supplier_id,
        owner_partner_id=row.owner_partner_id,
        prices=tuple(
            ListPrice(date.fromisoformat(p["valid_from"]), p["price"]["amount"], p["price"]["currency"])
            for p in _json(row.prices)
        ),
        credit_scope=credits_["scope"],
        credit_value=credits_["general_value"],
        credit_values={UUID(k): v for k, v in credits_["values"].items()},
        sites=None if row.course_sites is None else tuple(row.course_sites),
        cancellation=Cancellation(**_json(row.cancellation)),
    )


def _person(row: Any) -> Person:
    return Person(
        id=row.person_id,
        status=row.status,
        email=row.email,
        manager_id=row.manager_id,
        manager_email=row.manager_email,
        payer=Payer(
            partner_id=row.partner_id,
            partner_active=row.partner_status == "active",
            wallet=bool(row.wallet),
            customer_id=row.customer_id,
            customer_invoiced=row.customer_status is not None and row.customer_status != "closed",
        ),
        terms=tuple(
            Terms(date.fromisoformat(v), d, share, fee or 0, currency, _uuid(supplier), _uuid(customer))
            for v, d, share, fee, currency, supplier, customer in _json(row.terms) or ()
        ),
    )


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, (str, bytes)) else value


def _uuid(value: str | None) -> UUID | None:
    return UUID(value) if value else None


def check_session(ground: Ground, session_id: UUID | None, at: Moment) -> None:
    """Raises where no new place can be had in that session (or in none)."""
    if session_id is None:
        if ground.has_sessions:
            raise SessionMissing(field="session_id")
        return
    session = ground.session
    if session is None or session.course_id != ground.course.course_id:
        raise SessionNotFound(session_id, field="session_id")
    if session.status != "open" or session.starts_at <= at.now:
        raise SessionClosed(session_id, field="session_id")


def check_offer(person: Person, made: Offer) -> Payment:
    """How it is paid. Raises the named reason why the person cannot have the course."""
    if person.status != "active":
        raise PersonInactive(person.id, field="person_id")
    if made.payment is None:
        refusal, field = _CLOSED[made.closed or Closed.NOT_OFFERED]
        raise refusal(made.reason or "", field=field)
    return made.payment


def sees(caller: Principal) -> Callable[[Person], bool]:
    """Which people a caller of their tenant may ask for: everybody, those it manages, or itself."""
    if caller.has("admin", "support", "partner_admin", "customer_admin", "hr"):
        return lambda person: True
    if caller.email is None:
        return lambda person: False
    if caller.has("manager"):
        return lambda person: caller.email in (person.email, person.manager_email)
    return lambda person: caller.email == person.email


async def offer_for(
    db: Session, caller: Principal, person_id: UUID, course_id: UUID, session_id: UUID | None, at: Moment
) -> tuple[Offer, Refused | None]:
    """The offer a person would get, and why it cannot be taken now, if so.

    Raises `CourseNotFound` or `PersonNotFound` for what the caller may not see.
    """
    basis = await ground(db, course_id, session_id, [person_id])
    if basis is None:
        raise CourseNotFound(course_id, field="course_id")
    person = basis.people.get(person_id)
    if person is None or not sees(caller)(person):
        raise PersonNotFound(person_id, field="person_id")
    made = basis.offer_to(person, at.today)
    try:
        check_offer(person, made)
        check_session(basis, session_id, at)
        check_seat(basis)
    except Refused as refusal:
        return made, refusal
    return made, None


def check_seat(ground: Ground) -> None:
    """Raises where the session is full at this moment; only the claim itself decides."""
    if ground.session and ground.session.taken >= ground.session.capacity:
        raise SessionFull(ground.session.id, field="session_id")
