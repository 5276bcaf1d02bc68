"""Deals over HTTP: partners look a company up, file and keep their deals; staff confirm; orders win."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.customers.rules import Country, Invoicing
from contracts.customers.usecases import CustomerNotFound
from contracts.deals.rules import Contact, Domain, Matched, Reason, RegistrationNumber, State
from contracts.deals.usecases import (
    AlreadySubscribed,
    Company,
    DealIsClosed,
    DealNotFound,
    DealOpenAlready,
    NewDeal,
    NotYourReason,
    TermsAreThePlatforms,
    add_note,
    agreement_of,
    change_agreement,
    change_deal,
    check_company,
    confirm_deal,
    conflicts_of,
    find_deal,
    lose_deal,
    notes_of,
    overdue_only,
    register_deal,
    seen_by,
)
from contracts.deals.winning import (
    AlreadyOrdered,
    DealIncomplete,
    Subscribe,
    order_subscription,
    win_deal,
)
from contracts.orders.forms import OrderOut
from contracts.orders.usecases import ConditionsNotAgreed
from contracts.partners.usecases import PartnerIsClosed, PartnerNotFound, find_partner
from contracts.services.rules import Day, Label, Minor, Months
from contracts.services.usecases import ProductNotFound, ProductWithdrawn, TermNotOffered
from kit.auth import Role
from kit.http import Caller, Db, IfMatch, Items, Once, Page, Router, etag, needs, now, page, problems

router = Router(prefix="/v1", tags=["deals"])

STAFF = (Role.ADMIN, Role.SUPPORT, Role.FINANCE, Role.EDITOR)
FILERS = (Role.ADMIN, Role.SUPPORT, Role.PARTNER_ADMIN)
BasisPoints = Annotated[int, Field(ge=0, le=10_000)]
Invoicer = Literal["platform", "partner"]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
ORDER_REFUSALS = (
    CustomerNotFound,
    AlreadySubscribed,
    AlreadyOrdered,
    ProductNotFound,
    ProductWithdrawn,
    TermNotOffered,
    ConditionsNotAgreed,
)


class CompanyIn(BaseModel):
    """A company, as far as it is known."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"name": "Zilverberg Techniek B.V.", "registration_number": "24112345", "domain": "zilverberg.example"}
            ]
        },
    )

    name: Label
    country: Country = "NL"
    registration_number: RegistrationNumber = None
    domain: Domain = None
    """Of its web site or its mail; not one that is shared by many."""
    customer_id: UUID | None = None
    """The partner's own customer, where it has an account."""

    def company(self) -> Company:
        return Company(self.name, self.country, self.registration_number, self.domain, self.customer_id)


class CheckIn(CompanyIn):
    """A company to be looked up before a deal is filed."""

    partner_id: UUID | None = None
    """For whom staff look it up."""


class StandingOut(BaseModel):
    """How a company stands: `free`, `yours`, or `protected` until a day, by somebody who is never named."""

    state: str
    protected_until: date | None
    matched: Matched | None
    """By what it was recognised."""


class DealIn(BaseModel):
    """The form of a deal."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "company": {"name": "Zilverberg Techniek B.V.", "registration_number": "24112345"},
                    "contact": {"name": "the buyer", "email": "buyer@zilverberg.example"},
                    "monthly_value": 49500,
                    "expected_on": "2026-05-01",
                }
            ]
        },
    )

    partner_id: UUID | None = None
    """Whose deal it is; a partner's admin leaves it out."""
    company: CompanyIn
    contact: Contact
    monthly_value: Minor | None = None
    """What it may be worth a month, in the minor unit of `currency`."""
    currency: Currency = "EUR"
    product_id: UUID | None = None
    term_months: Months | None = None
    expected_on: Day | None = None
    invoicer: Invoicer | None = None
    """Who invoices the customer; left out, as agreed with the partner."""
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)] = ""


class DealEdit(BaseModel):
    """What is to change; what is left out stays. Commission is changed by the platform alone."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"expected_on": "2026-06-01"}]})

    company: CompanyIn = CompanyIn(name="-")
    contact: Contact = Contact(name="-")
    monthly_value: Minor | None = None
    currency: Currency = "EUR"
    product_id: UUID | None = None
    term_months: Months | None = None
    expected_on: Day | None = None
    invoicer: Invoicer = "platform"
    commission_bp: BasisPoints = 0
    commission_months: Months | None = None


class DealOut(BaseModel):
    """A deal, with its history."""

    deal_id: UUID
    version: int
    partner_id: UUID | None
    customer_id: UUID | None
    state: str
    company: str
    country: str
    registration_number: str | None
    domain: str | None
    contact: Contact
    monthly_value: int | None
    currency: str
    product_id: UUID | None
    term_months: int | None
    expected_on: date | None
    invoicer: str
    commission_bp: int
    commission_months: int | None
    protected_until: date | None
    """The last day of its protection; null where another's deal was protected first."""
    confirm_by: datetime
    confirmed_at: datetime | None
    reason: str | None
    contract_id: UUID | None
    closed_at: datetime | None
    history: list[dict[str, Any]]

    @classmethod
    def of(cls, deal: Any) -> "DealOut":
        names = cls.model_fields.keys() - {"deal_id", "history"}
        return cls(deal_id=deal.id, history=deal.steps, **{name: getattr(deal, name) for name in names})


class NoteIn(BaseModel):
    """A note."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "Demo on Tuesday."}]})

    text: Text


class NoteOut(BaseModel):
    """A note, by the platform or the partner."""

    note_id: UUID
    by: str
    text: str
    at: datetime

    @classmethod
    def of(cls, note: Any) -> "NoteOut":
        return cls(note_id=note.id, by=note.by, text=note.text, at=note.at)


class LostIn(BaseModel):
    """Why it was lost."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "price"}]})

    reason: Reason


class ConflictOut(BaseModel):
    """Another partner's open deal on the same company, or what seems to be."""

    deal_id: UUID
    partner_id: UUID | None
    company: str
    state: str
    matched: Matched
    protected_until: date | None
    registered_at: datetime


class WonIn(BaseModel):
    """What an order has; what is left out is taken from the deal."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"conditions_version": "2026-01", "term_months": 24}]}
    )

    conditions_version: Annotated[str, StringConstraints(max_length=40)]
    customer_id: UUID | None = None
    product_id: UUID | None = None
    term_months: Months | None = None
    invoicing: Invoicing | None = None


class SubscriptionIn(BaseModel):
    """The order of a subscription: plan, term, invoicing details, conditions."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "product_id": "019bc0bd-7380-7852-a0b8-dbf4827d2fda",
                    "term_months": 24,
                    "conditions_version": "2026-01",
                }
            ]
        },
    )

    customer_id: UUID | None = None
    """For whom; the customer's own admin may leave it out."""
    product_id: UUID
    term_months: Months | None = None
    conditions_version: Annotated[str, StringConstraints(max_length=40)]
    invoicing: Invoicing | None = None
    """Replaces the customer's invoicing details, where given."""
    remarks: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""


class AgreementIn(BaseModel):
    """What new deals of a partner begin with."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"commission_bp": 1000, "commission_months": 24}]}
    )

    invoicer: Invoicer = "platform"
    commission_bp: BasisPoints = 0
    """The share of each paid invoice, in basis points."""
    commission_months: Months | None = None
    """For how long; null = as long as the subscription runs."""


class AgreementOut(AgreementIn):
    """The agreement as it is now; version 0: nothing was agreed yet."""

    model_config = ConfigDict(extra="ignore")

    partner_id: UUID
    version: int

    @classmethod
    def of(cls, agreement: Any) -> "AgreementOut":
        return cls(**{name: getattr(agreement, name) for name in cls.model_fields})


# -- what was agreed with a partner -----------------------------------------------------------------------


@router.get(
    "/partners/{partner_id}/agreement",
    dependencies=[needs(*STAFF, Role.PARTNER_ADMIN)],
    responses=problems(PartnerNotFound),
)
async def get_agreement(partner_id: UUID, caller: Caller, db: Db, response: Response) -> AgreementOut:
    """What new deals of a partner begin with."""
    await find_partner(db, caller, partner_id)
    agreement = await agreement_of(db, partner_id)
    response.headers["ETag"] = etag(agreement.version)
    return AgreementOut.of(agreement)


@router.put(
    "/partners/{partner_id}/agreement",
    dependencies=[needs(Role.ADMIN, Role.FINANCE)],
    responses=problems(PartnerNotFound, PartnerIsClosed),
)
async def put_agreement(
    partner_id: UUID, body: AgreementIn, match: IfMatch, caller: Caller, db: Db, response: Response
) -> AgreementOut:
    """Agree anew with a partner; deals that exist keep their terms."""
    agreement = await change_agreement(
        db, partner_id, **body.model_dump(), check_version=match.check, actor=caller.actor, now=now()
    )
    response.headers["ETag"] = etag(agreement.version)
    return AgreementOut.of(agreement)


# -- deals ------------------------------------------------------------------------------------------------


@router.post("/deal-checks", dependencies=[needs(*FILERS)])
async def post_check(body: CheckIn, caller: Caller, db: Db) -> StandingOut:
    """Look a company up before a deal is filed. Nothing is kept."""
    standing = await check_company(db, body.company(), body.partner_id, caller=caller, now=now())
    return StandingOut(state=standing.state, protected_until=standing.protected_until, matched=standing.matched)


@router.post(
    "/deals",
    status_code=201,
    dependencies=[needs(*FILERS)],
    responses=problems(
        PartnerNotFound,
        PartnerIsClosed,
        CustomerNotFound,
        AlreadySubscribed,
        DealOpenAlready,
        ProductNotFound,
        ProductWithdrawn,
        TermNotOffered,
    ),
)
async def post_deal(body: DealIn, caller: Caller, db: Db, once: Once, response: Response) -> DealOut:
    """File a deal. It is protected for 90 days, unless another partner's deal on the company is."""
    wish = NewDeal(
        company=body.company.company(),
        **{name: getattr(body, name) for name in DealIn.model_fields if name != "company"},
    )
    deal = await register_deal(db, wish, caller=caller, now=now())
    response.headers["ETag"] = etag(deal.version)
    response.headers["Location"] = f"/v1/deals/{deal.id}"
    return DealOut.of(deal)


@router.get("/deals", dependencies=[needs(*STAFF, Role.PARTNER_ADMIN)])
async def get_deals(
    caller: Caller,
    db: Db,
    at: Page,
    partner_id: UUID | None = None,
    customer_id: UUID | None = None,
    state: State | None = None,
    overdue: bool = False,
) -> Items[DealOut]:
    """Deals, oldest first: staff see all, a partner its own. `overdue`: not confirmed within a working day."""
    wishes = {"partner_id": partner_id, "customer_id": customer_id, "state": state}
    query = seen_by(caller).filter_by(**{name: wish for name, wish in wishes.items() if wish is not None})
    if overdue:
        query = overdue_only(query, db, now())
    return await page(db, query, [query.selected_columns.id], at, DealOut.of)


@router.get("/deals/{deal_id}", dependencies=[needs(*STAFF, Role.PARTNER_ADMIN)], responses=problems(DealNotFound))
async def get_deal(deal_id: UUID, caller: Caller, db: Db, response: Response) -> DealOut:
    """One deal, with its history."""
    deal = await find_deal(db, caller, deal_id)
    response.headers["ETag"] = etag(deal.version)
    return DealOut.of(deal)


@router.patch(
    "/deals/{deal_id}",
    dependencies=[needs(*FILERS, Role.FINANCE)],
    responses=problems(
        DealNotFound,
        DealIsClosed,
        TermsAreThePlatforms,
        CustomerNotFound,
        AlreadySubscribed,
        DealOpenAlready,
        ProductNotFound,
        ProductWithdrawn,
        TermNotOffered,
    ),
)
async def patch_deal(
    deal_id: UUID, body: DealEdit, match: IfMatch, caller: Caller, db: Db, response: Response
) -> DealOut:
    """Change what a deal says. A partner's edit renews its protection."""
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    if "company" in changes:
        changes["company"] = body.company.company()
    deal = await change_deal(db, deal_id, changes, check_version=match.check, caller=caller, now=now())
    response.headers["ETag"] = etag(deal.version)
    return DealOut.of(deal)


@router.post("/deals/{deal_id}/notes", status_code=201, dependencies=[needs(*FILERS)], responses=problems(DealNotFound))
async def post_note(deal_id: UUID, body: NoteIn, caller: Caller, db: Db, once: Once) -> NoteOut:
    """Write a note, at any time. A partner's renews the protection of an open deal."""
    return NoteOut.of(await add_note(db, deal_id, body.text, caller=caller, now=now()))


@router.get(
    "/deals/{deal_id}/notes", dependencies=[needs(*STAFF, Role.PARTNER_ADMIN)], responses=problems(DealNotFound)
)
async def get_notes(deal_id: UUID, caller: Caller, db: Db, at: Page) -> Items[NoteOut]:
    """A deal's notes, oldest first."""
    query = notes_of(await find_deal(db, caller, deal_id))
    return await page(db, query, [query.selected_columns.id], at, NoteOut.of)


@router.get("/deals/{deal_id}/conflicts", dependencies=[needs(*STAFF)], responses=problems(DealNotFound))
async def get_conflicts(deal_id: UUID, caller: Caller, db: Db) -> list[ConflictOut]:
    """Other partners' open deals on the same company, for the platform alone."""
    found = await conflicts_of(db, await find_deal(db, caller, deal_id))
    return [
        ConflictOut(
            deal_id=match.deal.id,
            partner_id=match.deal.partner_id,
            company=match.deal.company,
            state=match.deal.state,
            matched=match.by,
            protected_until=match.deal.protected_until,
            registered_at=match.deal.created_at,
        )
        for match in found
    ]


@router.post(
    "/deals/{deal_id}/confirmation",
    dependencies=[needs(Role.ADMIN, Role.SUPPORT)],
    responses=problems(DealNotFound, DealIsClosed),
)
async def post_confirmation(
    deal_id: UUID, match: IfMatch, caller: Caller, db: Db, once: Once, response: Response
) -> DealOut:
    """Confirm a deal, for the platform."""
    deal = await confirm_deal(db, deal_id, check_version=match.check, caller=caller, now=now())
    response.headers["ETag"] = etag(deal.version)
    return DealOut.of(deal)


@router.post(
    "/deals/{deal_id}/loss",
    dependencies=[needs(*FILERS)],
    responses=problems(DealNotFound, DealIsClosed, NotYourReason),
)
async def post_loss(
    deal_id: UUID, body: LostIn, match: IfMatch, caller: Caller, db: Db, once: Once, response: Response
) -> DealOut:
    """Give a deal up, with a reason; staff reject one."""
    deal = await lose_deal(db, deal_id, body.reason, check_version=match.check, caller=caller, now=now())
    response.headers["ETag"] = etag(deal.version)
    return DealOut.of(deal)


@router.post(
    "/deals/{deal_id}/win",
    dependencies=[needs(*FILERS)],
    responses=problems(DealNotFound, DealIsClosed, DealIncomplete, *ORDER_REFUSALS),
)
async def post_win(
    deal_id: UUID, body: WonIn, match: IfMatch, caller: Caller, db: Db, once: Once, response: Response
) -> DealOut:
    """Mark a deal won, with what an order has: its customer's subscription starts."""

    def wish(deal: Any) -> Subscribe | None:
        customer_id, product_id = body.customer_id or deal.customer_id, body.product_id or deal.product_id
        if customer_id is None or product_id is None:
            return None
        term_months = body.term_months or (deal.term_months if body.product_id in (None, deal.product_id) else None)
        return Subscribe(customer_id, product_id, body.conditions_version, term_months, body.invoicing)

    deal = await win_deal(db, deal_id, wish, check_version=match.check, caller=caller, now=now())
    response.headers["ETag"] = etag(deal.version)
    return DealOut.of(deal)


@router.post(
    "/subscription-orders",
    status_code=201,
    dependencies=[needs(*FILERS, Role.CUSTOMER_ADMIN)],
    responses=problems(*ORDER_REFUSALS),
)
async def post_subscription_order(
    body: SubscriptionIn, caller: Caller, db: Db, once: Once, response: Response
) -> OrderOut:
    """Order a subscription, in the trial account itself or for it.

    Complete, it wins the deal at once (`state: done`). Else it is kept (`state: waiting`) with what is
    `missing`, the trial goes on, and it is done when the last of that is there.
    """
    customer_id = body.customer_id or (caller.tenant_id if caller.tenant_kind == "customer" else None)
    if customer_id is None:
        raise CustomerNotFound("Name the customer.", field="customer_id")
    wish = Subscribe(
        **{**body.model_dump(exclude={"invoicing"}), "customer_id": customer_id, "invoicing": body.invoicing}
    )
    order = await order_subscription(db, wish, caller=caller, now=now())
    response.headers["ETag"] = etag(order.version)
    response.headers["Location"] = f"/v1/orders/{order.id}"
    return OrderOut.of(order)
