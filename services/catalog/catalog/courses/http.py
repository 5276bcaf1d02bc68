"""Courses over HTTP."""

from datetime import date, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from catalog.courses import usecases
from catalog.courses.rules import (
    AMOUNT_MAX,
    CREDITS_MAX,
    SEATS_MAX,
    CourseContent,
    Credits,
    Owner,
    Price,
    SessionContent,
    credit_value,
    price_on,
)
from catalog.moment import moment
from catalog.partners import NotWhitelabel, UnknownCustomer, UnknownPartner
from catalog.suppliers.usecases import SupplierClosed, SupplierNotFound
from kit.auth import Principal, Role
from kit.http import Caller, Db, IfMatch, Items, Once, Page, Router, etag, needs, page, problems
from schemas.values import CancellationTerms, CourseSession, CreditOffer, DatedPrice, Money

router = Router(prefix="/v1/courses", tags=["courses"])

AUTHORS = needs(Role.ADMIN, Role.SUPPORT, Role.SUPPLIER_USER, Role.PARTNER_ADMIN)

Text = Annotated[str, Field(max_length=200)]
LongText = Annotated[str, Field(max_length=20_000)]


class MoneyIn(BaseModel):
    """An amount in the minor unit of its currency."""

    amount: int = Field(ge=0, le=AMOUNT_MAX)
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")

    def price(self) -> Price:
        return Price(self.amount, self.currency)


class SessionIn(BaseModel):
    """One run of the course. With `session_id` it changes a known one, without it is new."""

    model_config = ConfigDict(extra="forbid")

    session_id: UUID | None = None
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    place: Text | None = None
    capacity: int = Field(ge=0, le=SEATS_MAX)
    status: Literal["open", "cancelled"] = "open"


Value = Annotated[int, Field(ge=0, le=CREDITS_MAX)]


class CreditsIn(BaseModel):
    """For which partners, and for how many credits (CAT-7)."""

    model_config = ConfigDict(extra="forbid")

    scope: Literal["none", "all", "chosen"] = "none"
    general_value: Value | None = None
    values: dict[UUID, Value | None] = Field(default_factory=dict, max_length=1000)


class CancellationIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    free_until_days: int = Field(14, ge=0, le=3650)
    then_keep_bp: int = Field(10_000, ge=0, le=10_000)


class CourseEdit(BaseModel):
    """All that an author says of a course."""

    model_config = ConfigDict(extra="forbid")

    code: Annotated[str, Field(min_length=1, max_length=60)] | None = Field(
        None, description="The owner's own name for it; a file that comes again finds the course by this."
    )
    title: Text
    summary: Annotated[str, Field(max_length=1000)] = ""
    description: LongText = ""
    kind: Literal["classroom", "online", "elearning", "group"]
    category: Literal["learning", "vitality"] = "learning"
    topics: list[Text] = Field(default_factory=list, max_length=30)
    language: str = Field("en", pattern="^[a-z]{2}$")
    trainers: list[Text] = Field(default_factory=list, max_length=30)
    duration_minutes: int | None = Field(None, ge=1, le=1_000_000)
    certificate: bool = False
    list_price: MoneyIn | None = Field(None, description="Net of VAT. Holds from today where it is new.")
    vat: Literal["standard", "exempt_education", "reverse_charge", "outside_scope"] = "standard"
    cancellation: CancellationIn = CancellationIn()
    credits: CreditsIn = CreditsIn()
    sites: list[Annotated[str, Field(max_length=60)]] | None = Field(
        None,
        max_length=200,
        description="Where this course alone may be seen; null: wherever its supplier is.",
    )
    sessions: list[SessionIn] = Field(
        default_factory=list, max_length=300, description="On an edit, sessions left out stay as they are."
    )

    def content(self) -> CourseContent:
        return CourseContent(
            code=self.code,
            title=self.title,
            summary=self.summary,
            description=self.description,
            kind=self.kind,
            category=self.category,
            topics=tuple(self.topics),
            language=self.language,
            trainers=tuple(self.trainers),
            duration_minutes=self.duration_minutes,
            certificate=self.certificate,
            list_price=self.list_price.price() if self.list_price else None,
            vat=self.vat,
            free_until_days=self.cancellation.free_until_days,
            then_keep_bp=self.cancellation.then_keep_bp,
            credits=Credits(self.credits.scope, self.credits.general_value, self.credits.values),
            sites=None if self.sites is None else frozenset(self.sites),
            sessions=tuple(
                SessionContent(
                    starts_at=s.starts_at,
                    ends_at=s.ends_at,
                    place=s.place,
                    capacity=s.capacity,
                    status=s.status,
                    session_id=s.session_id,
                )
                for s in self.sessions
            ),
        )


class CourseIn(CourseEdit):
    """A new course, and whose it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "offered_by": "platform",
                    "title": "Working safely at height",
                    "kind": "classroom",
                    "language": "en",
                    "list_price": {"amount": 39500, "currency": "EUR"},
                    "certificate": True,
                    "credits": {"scope": "all", "general_value": 4},
                    "sessions": [
                        {
                            "starts_at": "2027-03-02T08:00:00Z",
                            "ends_at": "2027-03-02T16:00:00Z",
                            "place": "Utrecht",
                            "capacity": 12,
                        }
                    ],
                }
            ]
        },
    )

    offered_by: Literal["supplier", "platform", "partner"] | None = Field(
        None, description="Follows from the ids, or from who asks, where it is left out."
    )
    supplier_id: UUID | None = None
    owner_partner_id: UUID | None = Field(None, description="The whitelabel partner whose own course it is.")

    def owner(self, caller: Principal) -> Owner:
        """Whose course it is to be. Raises `NotYours` for another tenant's."""
        supplier_id, partner_id = self.supplier_id, self.owner_partner_id
        if caller.tenant_kind == "supplier":
            supplier_id = supplier_id or caller.tenant_id
        elif caller.tenant_kind == "partner":
            partner_id = partner_id or caller.tenant_id
        follows = "supplier" if supplier_id else "partner" if partner_id else "platform"
        owner = Owner(self.offered_by or follows, supplier_id, partner_id)
        if own(caller) not in (None, owner):
            raise usecases.NotYours(field="offered_by")
        return owner


class CourseOut(BaseModel):
    course_id: UUID
    version: int
    status: str
    offered_by: str
    supplier_id: UUID | None
    owner_partner_id: UUID | None
    code: str | None
    title: str
    summary: str
    description: str
    kind: str
    category: str
    topics: list[str]
    language: str
    trainers: list[str]
    duration_minutes: int | None
    certificate: bool
    vat: str
    list_price: Money | None = Field(description="The list price today, net of VAT.")
    prices: list[DatedPrice]
    cancellation: CancellationTerms
    credits: CreditOffer = Field(description="A partner sees its own value only.")
    sites: list[str] | None
    sessions: list[CourseSession]
    created_at: datetime

    @classmethod
    def of(cls, course: usecases.Course, caller: Principal, today: date) -> Self:
        held = price_on(usecases.prices_of(course), today)
        plain = (
            "version", "status", "offered_by", "supplier_id", "owner_partner_id", "code", "title", "summary",
            "description", "kind", "category", "topics", "language", "trainers", "duration_minutes",
            "certificate", "vat", "created_at",
        )  # fmt: skip
        return cls(
            course_id=course.id,
            list_price=held and Money(amount=held.amount, currency=held.currency),
            prices=[
                DatedPrice(valid_from=day, price=Money(amount=price.amount, currency=price.currency))
                for day, price in usecases.prices_of(course)
            ],
            cancellation=CancellationTerms(free_until_days=course.free_until_days, then_keep_bp=course.then_keep_bp),
            credits=_credits(course, caller),
            sites=course.sites if own(caller) in (None, usecases.owner_of(course)) else None,
            sessions=[
                CourseSession(
                    session_id=s.id,
                    starts_at=s.starts_at,
                    ends_at=s.ends_at,
                    place=s.place,
                    capacity=s.capacity,
                    status=s.status,
                )
                for s in sorted(course.sessions, key=lambda s: (s.starts_at, s.id))
            ],
            **{name: getattr(course, name) for name in plain},
        )


def _credits(course: usecases.Course, caller: Principal) -> CreditOffer:
    """The credit offer as this caller may know it."""
    values = {v.partner_id: v.value for v in course.credit_values}
    offer = Credits(course.credit_scope, course.credit_general_value, values)
    if caller.is_platform:
        return CreditOffer(scope=offer.scope, general_value=offer.general_value, values=values)
    if caller.tenant_kind == "partner" and caller.tenant_id and offer.scope != "none":
        value = credit_value(offer, caller.tenant_id)
        return CreditOffer(scope=offer.scope, general_value=value if offer.scope == "all" else None,
                           values={caller.tenant_id: value} if offer.scope == "chosen" else {})  # fmt: skip
    return CreditOffer()


def own(caller: Principal) -> Owner | None:
    """Whose courses the caller may change; None: anybody's."""
    if caller.is_platform:
        return None
    if caller.tenant_kind == "partner":
        return Owner("partner", partner_id=caller.tenant_id)
    return Owner("supplier", supplier_id=caller.tenant_id)


def viewer(caller: Principal) -> usecases.Viewer:
    return usecases.Viewer(caller.tenant_kind, caller.tenant_id)


class PriceIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    valid_from: date
    price: MoneyIn


CHECKS = (
    usecases.CourseFaulty,
    usecases.CodeTaken,
    SupplierNotFound,
    SupplierClosed,
    UnknownPartner,
    UnknownCustomer,
    NotWhitelabel,
)


@router.post("", status_code=201, dependencies=[AUTHORS], responses=problems(usecases.NotYours, *CHECKS))
async def post_course(body: CourseIn, caller: Caller, db: Db, once: Once, response: Response) -> CourseOut:
    """Publish a course (CAT-4, CAT-7)."""
    at = moment()
    draft = usecases.Draft(body.owner(caller), body.content())
    course = await usecases.create_course(db, draft, caller.actor, at)
    response.headers["ETag"] = etag(course.version)
    response.headers["Location"] = f"/v1/courses/{course.id}"
    return CourseOut.of(course, caller, at.today)


@router.get("")
async def list_courses(
    caller: Caller,
    db: Db,
    at: Page,
    supplier_id: UUID | None = None,
    offered_by: Literal["supplier", "platform", "partner"] | None = None,
    kind: Literal["classroom", "online", "elearning", "group"] | None = None,
    language: Annotated[str | None, Query(pattern="^[a-z]{2}$")] = None,
    status: Literal["published", "withdrawn"] | None = None,
    code: Annotated[str | None, Query(max_length=60)] = None,
    q: Annotated[str | None, Query(max_length=200, description="Part of the title.")] = None,
) -> Items[CourseOut]:
    """The courses that the caller may see, by title."""
    wanted = usecases.CourseFilter(
        supplier_id=supplier_id,
        offered_by=offered_by,
        kind=kind,
        language=language,
        status=status,
        code=code,
        text=q,
    )
    today = moment().today
    listed = usecases.list_courses(viewer(caller), wanted)
    return await page(db, *listed, at, lambda course: CourseOut.of(course, caller, today))


@router.get("/{course_id}", responses=problems(usecases.CourseNotFound))
async def get_course(course_id: UUID, caller: Caller, db: Db, response: Response) -> CourseOut:
    """A course as it is now."""
    course = await usecases.get_course(db, viewer(caller), course_id)
    response.headers["ETag"] = etag(course.version)
    return CourseOut.of(course, caller, moment().today)


@router.put(
    "/{course_id}",
    dependencies=[AUTHORS],
    responses=problems(usecases.CourseNotFound, usecases.SessionNotFound, *CHECKS),
)
async def put_course(
    course_id: UUID, body: CourseEdit, match: IfMatch, caller: Caller, db: Db, response: Response
) -> CourseOut:
    """Make the course what is said here. Sessions left out stay; one is cancelled by its status."""
    at = moment()
    course, before = await usecases.course_to_edit(db, course_id, own(caller))
    match.check(course.version)
    course = await usecases.edit_course(db, course, before, body.content(), caller.actor, at)
    response.headers["ETag"] = etag(course.version)
    return CourseOut.of(course, caller, at.today)


@router.post(
    "/{course_id}/prices",
    status_code=201,
    dependencies=[AUTHORS],
    responses=problems(usecases.CourseNotFound, usecases.CourseFaulty, usecases.PriceInThePast),
)
async def post_price(course_id: UUID, body: PriceIn, caller: Caller, db: Db, once: Once) -> CourseOut:
    """Let a list price hold from a day on (CAT-5). What was shown before keeps its price."""
    at = moment()
    course, before = await usecases.course_to_edit(db, course_id, own(caller))
    course = await usecases.set_price(db, course, before, body.price.price(), body.valid_from, caller.actor, at)
    return CourseOut.of(course, caller, at.today)


@router.post("/{course_id}/withdraw", dependencies=[AUTHORS], responses=problems(usecases.CourseNotFound))
async def post_withdraw(course_id: UUID, caller: Caller, db: Db, once: Once) -> CourseOut:
    """Stop new enrollments; running ones go on."""
    course, before = await usecases.course_to_edit(db, course_id, own(caller))
    course = await usecases.withdraw_course(db, course, before, caller.actor)
    return CourseOut.of(course, caller, moment().today)


@router.post(
    "/{course_id}/publish",
    dependencies=[AUTHORS],
    responses=problems(usecases.CourseNotFound, SupplierNotFound, SupplierClosed),
)
async def post_publish(course_id: UUID, caller: Caller, db: Db, once: Once) -> CourseOut:
    """Offer a withdrawn course again."""
    course, before = await usecases.course_to_edit(db, course_id, own(caller))
    course = await usecases.republish_course(db, course, before, caller.actor)
    return CourseOut.of(course, caller, moment().today)
