"""Courses: published, changed, priced anew, withdrawn; and who may see them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, and_, cast, exists, false, func, insert, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import selectinload

from catalog import partners
from catalog.courses.rows import Course as Course
from catalog.courses.rows import CoursePrice, CourseSession, CreditValue, supplier_shown
from catalog.courses.rules import (
    PRICES_MAX,
    SESSIONS_MAX,
    CourseContent,
    Fault,
    Owner,
    Price,
    SessionContent,
    faults_of,
    price_on,
)
from catalog.moment import Moment
from catalog.suppliers import usecases as suppliers
from catalog.suppliers.rules import customers_of, is_site
from kit import outbox
from kit.db import Session, uuid7
from kit.problems import Refused
from kit.tables import audit
from schemas.course import CoursePublished
from schemas.values import (
    CancellationTerms,
    CreditOffer,
    DatedPrice,
    Money,
)
from schemas.values import (
    CourseSession as PublishedSession,
)


class CourseNotFound(Refused):
    """No such course."""

    status = 404


class CourseFaulty(Refused):
    """The course cannot be offered as it is described."""

    status = 422
    remedy = "Correct the fields named in `errors`."

    def __init__(self, faults: Sequence[Fault]) -> None:
        errors = [fault._asdict() for fault in faults]
        super().__init__("; ".join(f"{f.field}: {f.remedy}" for f in faults), errors=errors)


class CodeTaken(Refused):
    """Another course of the same owner has this code."""


class SessionNotFound(Refused):
    """The course has no such session."""

    status = 422


class PriceInThePast(Refused):
    """A price holds from today or from a later day; what was shown before stays as it was."""

    status = 422
    rule = "CAT-5"


class NotYours(Refused):
    """You may not offer courses in this name."""

    status = 403
    rule = "CAT-7"


Action = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A course as its owner wants it to be."""

    owner: Owner
    content: CourseContent


@dataclass(frozen=True, slots=True)
class Saved:
    """A course as it now is, and what that took."""

    course: Course
    action: Action


@dataclass(frozen=True, slots=True)
class Viewer:
    """For whom the catalog is shown."""

    tenant_kind: str
    tenant_id: UUID | None

    @property
    def sites(self) -> list[str]:
        """The sites where this viewer looks."""
        if self.tenant_kind == "customer":
            return ["public", "customer_portal/*", f"customer_portal/{self.tenant_id}"]
        return ["public"]


# -- reading -------------------------------------------------------------------------------------------------


def _whole(query: Select[Course]) -> Select[Course]:
    """With everything that belongs to a course."""
    return query.options(
        selectinload(Course.sessions), selectinload(Course.prices), selectinload(Course.credit_values)
    ).execution_options(populate_existing=True)


def visible_to(viewer: Viewer) -> ColumnElement[bool]:
    """What this viewer may see: its own courses in any state; of the others', the published ones meant for it.

    The row-level policies say the same in wider terms; this narrows them by site and by credit offer.
    """
    tenant_id = viewer.tenant_id
    if viewer.tenant_kind == "platform":
        return true()
    if viewer.tenant_kind == "supplier":
        return Course.supplier_id == tenant_id
    if viewer.tenant_kind not in ("partner", "customer"):
        return false()
    here = cast(viewer.sites, ARRAY(Text))
    shown = exists().where(supplier_shown.c.supplier_id == Course.supplier_id, supplier_shown.c.site == func.any(here))
    of_supplier = and_(Course.offered_by == "supplier", shown, or_(Course.sites.is_(None), Course.sites.overlap(here)))
    chosen = exists().where(CreditValue.course_id == Course.id, CreditValue.partner_id == tenant_id)
    of_platform = and_(Course.offered_by == "platform", or_(Course.credit_scope != "chosen", chosen))
    offered = and_(Course.status == "published", or_(of_supplier, of_platform))
    return or_(Course.owner_partner_id == tenant_id, offered) if viewer.tenant_kind == "partner" else offered


@dataclass(frozen=True, slots=True)
class CourseFilter:
    """Which courses of a list are wanted; what is None is not asked for."""

    supplier_id: UUID | None = None
    offered_by: str | None = None
    kind: str | None = None
    language: str | None = None
    status: str | None = None
    code: str | None = None
    text: str | None = None
    """Looked for anywhere in the title."""


def list_courses(viewer: Viewer, wanted: CourseFilter) -> tuple[Select[Course], list[Any]]:
    """The courses that this viewer may see, sorted by title."""
    query = _whole(select(Course)).where(visible_to(viewer))
    for name in ("supplier_id", "offered_by", "kind", "language", "status", "code"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(getattr(Course, name) == value)
    if wanted.text:
        query = query.where(Course.title.icontains(wanted.text, autoescape=True))
    return query, [func.lower(Course.title), Course.id]


async def get_course(db: Session, viewer: Viewer, course_id: UUID) -> Course:
    """Raises `CourseNotFound` also for one that this viewer may not see."""
    course = await db.scalar(_whole(select(Course)).where(Course.id == course_id, visible_to(viewer)))
    if course is None:
        raise CourseNotFound(course_id)
    return course


async def courses_by_code(
    db: Session, owners: Collection[Owner], codes: Collection[str]
) -> dict[tuple[Owner, str], Course]:
    """The courses that have one of these codes, locked. The owners' suppliers must be watched before."""
    found = _whole(select(Course)).where(
        Course.code.in_(codes),
        or_(
            Course.supplier_id.in_({o.supplier_id for o in owners if o.supplier_id}),
            Course.owner_partner_id.in_({o.partner_id for o in owners if o.partner_id}),
            Course.offered_by == "platform" if Owner("platform") in owners else false(),
        ),
    )
    courses = await db.scalars(found.order_by(Course.id).with_for_update(of=Course))
    return {(owner_of(course), course.code): course for course in courses if course.code is not None}


def owner_of(course: Course) -> Owner:
    return Owner(course.offered_by, course.supplier_id, course.owner_partner_id)


# -- changing ------------------------------------------------------------------------------------------------


async def check(db: Session, drafts: Iterable[Draft]) -> None:
    """Raises the refusal for the first draft that cannot be offered; its owner's supplier counts too."""
    drafts = list(drafts)
    for draft in drafts:
        if faults := faults_of(draft.owner, draft.content) + site_faults(draft.content.sites):
            raise CourseFaulty(faults)
    await suppliers.require_active(db, {d.owner.supplier_id for d in drafts if d.owner.supplier_id})
    for partner_id in {d.owner.partner_id for d in drafts if d.owner.partner_id}:
        await partners.require_whitelabel(db, partner_id)
    await partners.require_partners(db, {id_ for d in drafts for id_ in d.content.credits.values})
    portals = {id_ for d in drafts for id_ in customers_of(d.content.sites or ())}
    await partners.require_customers(db, {UUID(id_) for id_ in portals})


def site_faults(sites: Collection[str] | None) -> list[Fault]:
    """What is wrong with a course's own sites (CAT-3)."""
    return [
        Fault("sites", "site", f"{site!r} is not a site: public, customer_portal/<id>, courseboard/<id>.")
        for site in sorted(sites or ())
        if not is_site(site)
    ]


async def create_course(db: Session, draft: Draft, actor: str, at: Moment) -> Course:
    """Publish a new course. Raises `CourseFaulty`, `CodeTaken` and what `check` raises."""
    await check(db, [draft])
    before = await suppliers.watch(db, _supplier_ids([draft.owner]))
    code = draft.content.code
    if code is not None and await courses_by_code(db, [draft.owner], [code]):
        raise CodeTaken(code, field="code")
    course = _save(db, None, draft, at).course
    await _announce(db, [course], actor, "course.published", before)
    return course


async def course_to_edit(db: Session, course_id: UUID, owner: Owner | None) -> tuple[Course, "Watched"]:
    """The course, locked, and its supplier watched. `owner` says whose it must be, None: anybody's.

    Raises `CourseNotFound`.
    """
    supplier_id = await db.scalar(select(Course.supplier_id).where(Course.id == course_id))
    before = await suppliers.watch(db, [supplier_id] if supplier_id else [])
    course = await db.scalar(_whole(select(Course)).where(Course.id == course_id).with_for_update(of=Course))
    if course is None or owner not in (None, owner_of(course)):
        raise CourseNotFound(course_id)
    return course, before


Watched = dict[UUID, tuple[suppliers.Opening, ...]]


async def edit_course(
    db: Session, course: Course, before: Watched, content: CourseContent, actor: str, at: Moment
) -> Course:
    """Make the course what its author says now. Sessions left out stay as they are: absent is not deleted.

    Raises `CourseFaulty`, `SessionNotFound`, `CodeTaken` and what `check` raises.
    """
    draft = Draft(owner_of(course), content)
    await check(db, [draft])
    code = content.code
    if code not in (None, course.code) and await courses_by_code(db, [draft.owner], [str(code)]):
        raise CodeTaken(code, field="code")
    if _save(db, course, draft, at).action == "changed":
        await _announce(db, [course], actor, "course.edited", before)
    return course


async def put_courses(db: Session, drafts: Sequence[Draft], actor: str, at: Moment) -> list[Saved]:
    """Make every course be as its draft says, found again by its owner and code; new ones are published.

    The drafts are checked, have codes, and no two name the same course. The same number of statements
    for one and for many.
    """
    before = await suppliers.watch(db, _supplier_ids(d.owner for d in drafts))
    known = await courses_by_code(db, {d.owner for d in drafts}, {d.content.code or "" for d in drafts})
    saved = [_save(db, known.get((d.owner, d.content.code or "")), d, at) for d in drafts]
    for action, name in (("created", "course.published"), ("changed", "course.edited")):
        await _announce(db, [s.course for s in saved if s.action == action], actor, name, {})
    await db.flush()
    await suppliers.announce_altered(db, before)
    return saved


async def set_price(
    db: Session, course: Course, before: Watched, price: Price, valid_from: date, actor: str, at: Moment
) -> Course:
    """Let a price hold from a day on (CAT-5). Raises `PriceInThePast` or `CourseFaulty`."""
    if valid_from < at.today:
        raise PriceInThePast(field="valid_from", today=at.today)
    if _put_price(course, price, valid_from):
        _limit(course)
        course.version += 1
        await _announce(db, [course], actor, "course.priced", before)
    return course


async def withdraw_course(db: Session, course: Course, before: Watched, actor: str) -> Course:
    """Stop new enrollments; running ones go on (CAT-7). Withdrawing again changes nothing."""
    return await _turn(db, course, before, "withdrawn", actor)


async def republish_course(db: Session, course: Course, before: Watched, actor: str) -> Course:
    """Offer a withdrawn course again. Raises `SupplierClosed`."""
    await suppliers.require_active(db, _supplier_ids([owner_of(course)]))
    return await _turn(db, course, before, "published", actor)


async def _turn(db: Session, course: Course, before: Watched, status: str, actor: str) -> Course:
    if course.status != status:
        course.status = status
        course.version += 1
        await _announce(db, [course], actor, f"course.{status}", before)
    return course


def _supplier_ids(owners: Iterable[Owner]) -> set[UUID]:
    return {owner.supplier_id for owner in owners if owner.supplier_id}


def _save(db: Session, course: Course | None, draft: Draft, at: Moment) -> Saved:
    """Write a draft onto its course, or onto a new one."""
    owner, content = draft.owner, draft.content
    new = course is None
    if course is None:
        course = Course(
            id=uuid7(),
            version=0,
            status="published",
            offered_by=owner.offered_by,
            supplier_id=owner.supplier_id,
            owner_partner_id=owner.partner_id,
            created_at=at.now,
            sessions=[],
            prices=[],
            credit_values=[],
        )
    _describe(course, content)
    if content.list_price and content.list_price != price_on(prices_of(course), at.today):
        _put_price(course, content.list_price, at.today)
    _put_credits(course, content)
    for session in content.sessions:
        _put_session(course, session)
    _limit(course)
    if new:
        db.add(course)
    elif not any(db.is_modified(part) for part in (course, *course.sessions, *course.prices, *course.credit_values)):
        return Saved(course, "unchanged")
    course.version += 1
    return Saved(course, "created" if new else "changed")


def _describe(course: Course, content: CourseContent) -> None:
    for name in (
        "title", "summary", "description", "kind", "category", "language", "duration_minutes",
        "certificate", "vat", "free_until_days", "then_keep_bp",
    ):  # fmt: skip
        setattr(course, name, getattr(content, name))
    course.code = content.code if content.code is not None else course.code
    course.topics = list(content.topics)
    course.trainers = list(content.trainers)
    course.sites = None if content.sites is None else sorted(content.sites)
    course.credit_scope = content.credits.scope
    course.credit_general_value = content.credits.general_value


def _put_price(course: Course, price: Price, valid_from: date) -> bool:
    """Whether that changed anything."""
    held = next((p for p in course.prices if p.valid_from == valid_from), None)
    if held is None:
        course.prices.append(CoursePrice(valid_from=valid_from, amount=price.amount, currency=price.currency))
        return True
    changed = (held.amount, held.currency) != (price.amount, price.currency)
    held.amount, held.currency = price.amount, price.currency
    return changed


def _put_credits(course: Course, content: CourseContent) -> None:
    wanted = content.credits.values
    for held in [v for v in course.credit_values if v.partner_id not in wanted]:
        course.credit_values.remove(held)
    by_partner = {v.partner_id: v for v in course.credit_values}
    for partner_id, value in wanted.items():
        if partner_id in by_partner:
            by_partner[partner_id].value = value
        else:
            course.credit_values.append(CreditValue(partner_id=partner_id, value=value))


def _put_session(course: Course, content: SessionContent) -> None:
    if content.session_id is not None:
        session = next((s for s in course.sessions if s.id == content.session_id), None)
        if session is None:
            raise SessionNotFound(content.session_id, field="sessions")
    else:
        session = next((s for s in course.sessions if content.key is not None and s.key == content.key), None)
    if session is None:
        session = CourseSession(id=uuid7(), key=content.key)
        course.sessions.append(session)
    session.starts_at, session.ends_at = content.starts_at, content.ends_at
    session.place, session.capacity, session.status = content.place, content.capacity, content.status


def _limit(course: Course) -> None:
    if len(course.sessions) > SESSIONS_MAX:
        raise CourseFaulty([Fault("sessions", "too_many", f"At most {SESSIONS_MAX} in a course's life.")])
    if len(course.prices) > PRICES_MAX:
        raise CourseFaulty([Fault("list_price", "too_many", f"At most {PRICES_MAX} in a course's life.")])


def prices_of(course: Course) -> list[tuple[date, Price]]:
    """The dated list prices, the earliest first."""
    return sorted(((p.valid_from, Price(p.amount, p.currency)) for p in course.prices), key=lambda p: p[0])


async def _announce(db: Session, courses: Sequence[Course], actor: str, action: str, before: Watched) -> None:
    """Put on record, announce the courses, and the suppliers that this opens or pauses."""
    if courses:
        await db.flush()
        await db.execute(
            insert(audit),
            [
                {
                    "actor": actor,
                    "action": action,
                    "subject": f"course/{c.id}",
                    "detail": {"version": c.version},
                }
                for c in courses
            ],
        )
        outbox.add(db, *(_published(course) for course in courses))
    await suppliers.announce_altered(db, before)


def _published(course: Course) -> CoursePublished:
    return CoursePublished(
        version=course.version,
        course_id=course.id,
        title=course.title,
        status=course.status,
        kind=course.kind,
        language=course.language,
        offered_by=course.offered_by,
        supplier_id=course.supplier_id,
        owner_partner_id=course.owner_partner_id,
        certificate=course.certificate,
        duration_minutes=course.duration_minutes,
        prices=[
            DatedPrice(valid_from=day, price=Money(amount=price.amount, currency=price.currency))
            for day, price in prices_of(course)
        ],
        vat=course.vat,
        credits=CreditOffer(
            scope=course.credit_scope,
            general_value=course.credit_general_value,
            values={v.partner_id: v.value for v in course.credit_values},
        ),
        sites=course.sites,
        sessions=[
            PublishedSession(
                session_id=s.id,
                starts_at=s.starts_at,
                ends_at=s.ends_at,
                place=s.place,
                capacity=s.capacity,
                status=s.status,
            )
            for s in sorted(course.sessions, key=lambda s: (s.starts_at, s.id))
        ],
        cancellation=CancellationTerms(free_until_days=course.free_until_days, then_keep_bp=course.then_keep_bp),
    )
