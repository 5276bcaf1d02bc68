"""Terminations over HTTP: what an end would cost, the request, its path, and what finance and partner do about it."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.buyouts.rules import Line, Quote
from contracts.customers.usecases import CustomerNotFound, time_of_customer
from contracts.services.usecases import ContractNotFound, find_contract
from contracts.terminations import answers, finance, usecases
from contracts.terminations.finance import NotTakenOver, Offer, ReasonNeeded, Settlement, WishTooNear
from contracts.terminations.moves import NotWaiting, TerminationNotFound
from contracts.terminations.parties import NobodyToAsk
from contracts.terminations.rules import OPEN, WAITS_FOR, Reason, State
from contracts.terminations.usecases import (
    Asked,
    AskedTooSoon,
    NewRequest,
    NotEnded,
    PortingOpen,
    ServiceEnded,
    ServiceNamedTwice,
    TerminationOpen,
    WishBeforeStart,
    WishNotFound,
    WishPassed,
    WishTooLate,
)
from kit.auth import Role
from kit.db import Session
from kit.http import Caller, Db, IfMatch, Items, Match, Once, Page, Router, etag, needs, now, page, problems
from kit.problems import Refused

router = Router(prefix="/v1", tags=["terminations"])

STAFF = (Role.ADMIN, Role.SUPPORT, Role.FINANCE)
PARTNERS = (*STAFF, Role.PARTNER_ADMIN)
READERS = (*PARTNERS, Role.CUSTOMER_ADMIN)
FINANCE = (Role.ADMIN, Role.FINANCE)
DAYS: tuple[type[Refused], ...] = (WishBeforeStart, WishPassed, WishTooLate)
REQUESTS: tuple[type[Refused], ...] = (
    CustomerNotFound,
    ContractNotFound,
    ServiceEnded,
    ServiceNamedTwice,
    TerminationOpen,
    *DAYS,
)
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Day = Annotated[date, Field(examples=["2027-06-30"])]
Language = Annotated[Literal["en", "nl", "it"] | None, Query()]
PDF: dict[int | str, dict[str, Any]] = {200: {"content": {"application/pdf": {}}}}


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LineOut(BaseModel):
    """A line of a quote, in minor units, net of VAT. The lines add up to the sum."""

    kind: str
    amount: int
    first: date | None = None
    last: date | None = None
    days: int | None = None
    of_days: int | None = None
    share_bp: int | None = None
    invoice_id: UUID | None = None
    note: str | None = None

    @classmethod
    def of(cls, line: Line) -> "LineOut":
        return cls(**{name: getattr(line, name) for name in cls.model_fields})


class QuoteOut(BaseModel):
    """What a last day costs. Below zero, the customer gets money back."""

    last_day: date
    regular_end: date
    currency: str
    lines: list[LineOut]
    total: int

    @classmethod
    def of(cls, quote: Quote) -> "QuoteOut":
        return cls(
            last_day=quote.last_day,
            regular_end=quote.regular_end,
            currency=quote.currency,
            lines=[LineOut.of(line) for line in quote.lines],
            total=quote.total,
        )


class EstimateOut(BaseModel):
    """A service's end, if notice were given now."""

    contract_id: UUID
    label: str
    starts_on: date
    notice_on: date
    """The day of notice, where the contract is at home."""
    early: bool
    """The end goes through finance's proposal."""
    quote: QuoteOut
    termination_id: UUID | None
    """The termination under way; another one is refused."""
    refused: dict[str, Any] | None
    """Why the wished day cannot be; the quote is then for the regular end."""

    @classmethod
    def of(cls, found: usecases.Estimate) -> "EstimateOut":
        return cls(
            contract_id=found.contract.id,
            label=found.contract.label,
            starts_on=found.contract.starts_on,
            notice_on=found.notice_on,
            early=found.early,
            quote=QuoteOut.of(found.quote),
            termination_id=found.open_termination,
            refused=found.refused.as_problem() if found.refused else None,
        )


class ServiceIn(Form):
    """A service to end: on its regular end, or on a wished day."""

    contract_id: UUID
    wish_date: Day | None = None
    """The wished last day of service, included."""


EXAMPLE: Any = {
    "customer_id": "01920c1e-0000-7000-8000-000000000001",
    "services": [
        {"contract_id": "01920c1e-0000-7000-8000-000000000002"},
        {"contract_id": "01920c1e-0000-7000-8000-000000000003", "wish_date": "2027-06-30"},
    ],
    "reason": "moving",
}


class RequestIn(Form):
    """Services to end together; each gets a termination of its own."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    customer_id: UUID
    services: Annotated[list[ServiceIn], Field(min_length=1, max_length=100)]
    reason: Reason = Reason.OTHER
    note: Text | None = None
    wish_id: UUID | None = None
    """The customer's own wish that this submits: the notice counts from it."""


class WishIn(Form):
    """What a customer asks its partner to end."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"contract_ids": [EXAMPLE["customer_id"]], "reason": "cost"}]}
    )

    contract_ids: Annotated[list[UUID], Field(min_length=1, max_length=100)]
    wish_date: Day | None = None
    reason: Reason = Reason.OTHER
    note: Text | None = None


class WishOut(BaseModel):
    """A customer's own wish, until its partner submits it."""

    wish_id: UUID
    customer_id: UUID
    contract_ids: list[UUID]
    wish_date: date | None
    reason: str
    note: str | None
    asked_at: datetime
    request_id: UUID | None

    @classmethod
    def of(cls, wish: Any) -> "WishOut":
        names = cls.model_fields.keys() - {"wish_id"}
        return cls(wish_id=wish.id, **{name: getattr(wish, name) for name in names})


class Waits(BaseModel):
    """The step that is waited for."""

    on: str
    """`customer`, `finance`, `day` or `porting`."""
    for_: Annotated[str, Field(alias="for")]
    """`approval`, `acceptance`, `proposal`, `settlement`, `last_day` or `porting`."""
    since: datetime
    until: datetime | None
    """Its deadline; none for a porting."""
    overdue: bool
    withdrawal_until: datetime | None = None
    """Beside the last day, the customer's answer about a withdrawal."""


WAITED_FOR = {
    State.REQUESTED: "approval",
    State.PROPOSAL_DUE: "proposal",
    State.PROPOSED: "acceptance",
    State.BY_HAND: "settlement",
    State.SCHEDULED: "last_day",
    State.WAITS_FOR_PORTING: "porting",
}


class TerminationOut(BaseModel):
    """A termination: what was asked, what is agreed, and what it waits for."""

    termination_id: UUID
    version: int
    request_id: UUID
    contract_id: UUID
    customer_id: UUID
    partner_id: UUID | None
    label: str
    state: str
    reason: str
    requested_on: date
    wish_date: date | None
    regular_end: date
    last_day: date
    early: bool
    quote: QuoteOut | None
    """The sum as calculated, proposed or agreed; a customer sees it once it is proposed."""
    agreed_at: datetime | None
    agreed_hash: str | None
    closed_reason: str | None
    over_at: datetime | None
    handled_by: str | None
    waits: Waits | None
    """None where it is over."""

    @classmethod
    def of(cls, t: Any, *, customer: bool = False) -> "TerminationOut":
        names = cls.model_fields.keys() - {"termination_id", "quote", "waits"}
        return cls(
            termination_id=t.id,
            quote=None if customer and t.early and not t.proposal_id else QuoteOut.of(t.quote),
            waits=waits(t),
            **{name: getattr(t, name) for name in names},
        )


def waits(t: Any) -> Waits | None:
    """What a termination waits for, since when and until when."""
    if t.at not in OPEN:
        return None
    finance_late = t.finance_due_at is not None and t.finance_alerted > 0
    withdrawal = t.ask_expires_at if t.at is State.SCHEDULED else None
    until = t.ends_at if t.at is State.SCHEDULED else t.finance_due_at or t.ask_expires_at
    return Waits(
        on=WAITS_FOR[t.at],
        **{"for": WAITED_FOR[t.at]},
        since=t.waiting_since,
        until=until,
        overdue=finance_late,
        withdrawal_until=withdrawal,
    )


class StepOut(BaseModel):
    """Something that was done on the way."""

    step: str
    at: datetime
    actor: str
    detail: dict[str, Any]


class ProposalOut(BaseModel):
    """A sum that finance proposed, frozen with its lines and a hash."""

    proposal_id: UUID
    state: str
    quote: QuoteOut
    calculated: int
    hash: str
    reason: str | None
    valid_until: date
    proposed_at: datetime
    decided_at: datetime | None
    decided_by: str | None

    @classmethod
    def of(cls, p: Any) -> "ProposalOut":
        names = cls.model_fields.keys() - {"proposal_id", "quote"}
        return cls(proposal_id=p.id, quote=QuoteOut.of(p.quote), **{name: getattr(p, name) for name in names})


class PathOut(TerminationOut):
    """A termination with its whole path."""

    requested_by: str
    agreed_by: str | None
    note: str | None
    ask_again_on: date | None
    """When the former customer may be asked again; kept with its consent."""
    consent: dict[str, Any] | None
    steps: list[StepOut]
    proposals: list[ProposalOut]


class RequestOut(BaseModel):
    """One request, with a termination for each of its services."""

    request_id: UUID
    terminations: list[TerminationOut]


class OfferIn(Form):
    """What finance proposes; what is left out stays as wished and calculated."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"amount": 30000, "reason": "agreed by phone"}]}
    )

    last_day: Day | None = None
    amount: Annotated[int, Field(ge=-(10**12), le=10**12)] | None = None
    """In the contract's minor unit, net of VAT; below zero the customer gets money back."""
    reason: Text | None = None
    """Needed for another sum than calculated or another day than wished."""

    @property
    def offer(self) -> Offer:
        return Offer(self.last_day, self.amount, self.reason)


class SettlementIn(OfferIn):
    """What finance agreed with the customer outside the suite."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"agreed_with": "the director, letter of 3 May", "amount": 0, "reason": "flood"}]
        },
    )

    agreed_with: Text
    """Who agreed for the customer, and where it is written."""


class NoteIn(Form):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "the customer moves"}]})

    reason: Text


class AskAgainIn(Form):
    """A day to ask a former customer again; kept with its consent only."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"ask_again_on": "2028-01-15", "agreed_by": "the director", "words": "You may call in 2028."}]
        },
    )

    ask_again_on: Day
    agreed_by: Text
    words: Text
    """What the customer agreed to, word by word."""


class NightOut(BaseModel):
    """A run in which services ended, and how far it is."""

    night_id: UUID
    began_at: datetime
    due: int
    ended: int
    waiting: int
    moved_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, night: Any) -> "NightOut":
        names = cls.model_fields.keys() - {"night_id"}
        return cls(night_id=night.id, **{name: getattr(night, name) for name in names})


# -- what it would cost -----------------------------------------------------------------------------------


@router.get("/termination-quotes", dependencies=[needs(*READERS)], responses=problems(CustomerNotFound))
async def get_quotes(
    caller: Caller, db: Db, customer_id: UUID, wish_date: date | None = None, reason: Reason = Reason.OTHER
) -> Items[EstimateOut]:
    """Every active service of a customer: its regular end if notice were given now, and what a wished day costs."""
    at = await time_of_customer(db, customer_id, now())
    found = await usecases.estimates(db, caller, customer_id, wish_date, reason, at)
    return Items(items=[EstimateOut.of(one) for one in found])


@router.get(
    "/termination-quotes/{contract_id}",
    dependencies=[needs(*READERS)],
    responses=problems(ContractNotFound, ServiceEnded, *DAYS),
)
async def get_quote(
    contract_id: UUID, caller: Caller, db: Db, wish_date: date | None = None, reason: Reason = Reason.OTHER
) -> EstimateOut:
    """One service's regular end, and what a wished day costs, line by line."""
    return EstimateOut.of(await _estimate(contract_id, caller, db, wish_date, reason))


@router.get(
    "/termination-quotes/{contract_id}/document",
    dependencies=[needs(*READERS)],
    responses={**PDF, **problems(ContractNotFound, ServiceEnded, *DAYS)},
    response_class=Response,
)
async def get_quote_document(
    contract_id: UUID,
    caller: Caller,
    db: Db,
    wish_date: date | None = None,
    reason: Reason = Reason.OTHER,
    language: Language = None,
) -> Response:
    """The same as a PDF."""
    found = await _estimate(contract_id, caller, db, wish_date, reason)
    return _pdf(await usecases.quote_pdf(db, found, language, now()), f"quote-{contract_id}")


async def _estimate(
    contract_id: UUID, caller: Caller, db: Session, wish_date: date | None, reason: Reason
) -> usecases.Estimate:
    contract = await find_contract(db, caller, contract_id)
    at = await time_of_customer(db, contract.customer_id, now())
    return await usecases.estimate(db, caller, contract_id, wish_date, reason, at)


def _pdf(content: bytes, name: str) -> Response:
    disposition = {"Content-Disposition": f'inline; filename="{name}.pdf"'}
    return Response(content, media_type="application/pdf", headers=disposition)


# -- the request ------------------------------------------------------------------------------------------


@router.post(
    "/terminations",
    status_code=201,
    dependencies=[needs(*PARTNERS)],
    responses=problems(*REQUESTS, NobodyToAsk, PortingOpen, WishNotFound),
)
async def post_terminations(body: RequestIn, caller: Caller, db: Db, once: Once) -> RequestOut:
    """End one or more services: the customer is asked by one mail, finance is alerted to every early end."""
    at = await time_of_customer(db, body.customer_id, now())
    services = [Asked(s.contract_id, s.wish_date) for s in body.services]
    wish = NewRequest(body.customer_id, services, body.reason, body.note, body.wish_id)
    made = await usecases.request(db, wish, caller=caller, now=at)
    return RequestOut(request_id=made[0].request_id, terminations=[TerminationOut.of(t) for t in made])


@router.post(
    "/termination-wishes",
    status_code=201,
    dependencies=[needs(Role.CUSTOMER_ADMIN)],
    responses=problems(*REQUESTS, PortingOpen),
)
async def post_wish(body: WishIn, caller: Caller, db: Db, once: Once) -> WishOut:
    """A customer asks for the end of its services; its partner submits it, and the notice counts from here."""
    customer_id = caller.tenant_id
    if customer_id is None:
        raise CustomerNotFound()
    at = await time_of_customer(db, customer_id, now())
    asked = [Asked(contract_id, body.wish_date) for contract_id in body.contract_ids]
    wish = NewRequest(customer_id, asked, body.reason, body.note)
    return WishOut.of(await usecases.make_wish(db, wish, caller=caller, now=at))


@router.get("/termination-wishes", dependencies=[needs(*READERS)])
async def get_wishes(caller: Caller, db: Db, at: Page, customer_id: UUID | None = None) -> Items[WishOut]:
    """Customers' own wishes, oldest first; those with a `request_id` are submitted."""
    query = usecases.wishes_seen_by(caller)
    if customer_id:
        query = query.filter_by(customer_id=customer_id)
    return await page(db, query, [query.selected_columns.id], at, WishOut.of)


# -- looking ----------------------------------------------------------------------------------------------


@router.get("/terminations", dependencies=[needs(*READERS)])
async def get_terminations(
    caller: Caller,
    db: Db,
    at: Page,
    customer_id: UUID | None = None,
    contract_id: UUID | None = None,
    request_id: UUID | None = None,
    state: State | None = None,
    ask_again_until: date | None = None,
) -> Items[TerminationOut]:
    """Terminations, oldest first: staff see all, a partner its customers', a customer its own once it is asked."""
    wishes = {"customer_id": customer_id, "contract_id": contract_id, "request_id": request_id, "state": state}
    query = usecases.seen_by(caller).filter_by(**{name: wish for name, wish in wishes.items() if wish is not None})
    if ask_again_until is not None:
        query = usecases.to_ask_again(query, ask_again_until)
    customer = caller.tenant_kind == "customer"
    return await page(db, query, [query.selected_columns.id], at, lambda t: TerminationOut.of(t, customer=customer))


@router.get("/terminations/{termination_id}", dependencies=[needs(*READERS)], responses=problems(TerminationNotFound))
async def get_termination(termination_id: UUID, caller: Caller, db: Db, response: Response) -> PathOut:
    """One termination with its whole path: steps done, by whom and when, and what it waits for until when."""
    return await _path(db, caller, await usecases.find(db, caller, termination_id), response)


async def _path(db: Session, caller: Caller, t: Any, response: Response) -> PathOut:
    response.headers["ETag"] = etag(t.version)
    steps = await usecases.steps_of(db, t)
    proposals = await usecases.proposals_of(db, t)
    customer = caller.tenant_kind == "customer"
    hidden = {"finance_alerted", "finance_overdue"} if customer else set()
    return PathOut(
        **TerminationOut.of(t, customer=customer).model_dump(by_alias=True),
        requested_by=t.requested_by,
        agreed_by=t.agreed_by,
        note=t.note,
        ask_again_on=t.ask_again_on,
        consent=t.consent,
        steps=[StepOut(step=s.step, at=s.at, actor=s.actor, detail=s.detail) for s in steps if s.step not in hidden],
        proposals=[ProposalOut.of(p) for p in proposals],
    )


@router.get(
    "/terminations/{termination_id}/document",
    dependencies=[needs(*READERS)],
    responses={**PDF, **problems(TerminationNotFound)},
    response_class=Response,
)
async def get_document(termination_id: UUID, caller: Caller, db: Db, language: Language = None) -> Response:
    """The confirmation as PDF once it is agreed; before that the proposal, or the calculation."""
    t = await usecases.find(db, caller, termination_id)
    if caller.tenant_kind == "customer" and t.early and not t.proposal_id:
        raise TerminationNotFound(termination_id)
    return _pdf(await usecases.pdf_of(db, t, language), f"termination-{t.id}")


@router.get("/termination-nights", dependencies=[needs(*STAFF)])
async def get_nights(caller: Caller, db: Db, at: Page) -> Items[NightOut]:
    """The runs in which services ended, newest first, with their progress."""
    query = usecases.nights()
    return await page(db, query, [query.selected_columns.id.desc()], at, NightOut.of)


# -- what partner and finance do about one ----------------------------------------------------------------


@router.post(
    "/terminations/{termination_id}/withdraw",
    dependencies=[needs(*PARTNERS)],
    responses=problems(TerminationNotFound, NotWaiting),
)
async def post_withdraw(
    termination_id: UUID, body: NoteIn, caller: Caller, db: Db, once: Once, response: Response
) -> PathOut:
    """Take it back: at once before the customer has agreed; after that the customer is asked by mail."""
    t = await usecases.find_locked(db, caller, termination_id)
    at = await time_of_customer(db, t.customer_id, now())
    await answers.withdraw(db, t, caller.actor, at, body.reason)
    return await _path(db, caller, t, response)


@router.post(
    "/terminations/{termination_id}/proposals",
    status_code=201,
    dependencies=[needs(*FINANCE)],
    responses=problems(TerminationNotFound, NotWaiting, WishTooNear, ReasonNeeded, *DAYS),
)
async def post_proposal(
    termination_id: UUID, body: OfferIn, match: IfMatch, caller: Caller, db: Db, once: Once, response: Response
) -> PathOut:
    """Propose the calculated sum, or another with a reason, to customer and partner; a newer one replaces it."""
    t = await usecases.find_locked(db, caller, termination_id)
    match.check(t.version)
    at = await time_of_customer(db, t.customer_id, now())
    await finance.propose(db, t, body.offer, actor=caller.actor, now=at)
    return await _path(db, caller, t, response)


@router.post(
    "/terminations/{termination_id}/take-over",
    dependencies=[needs(*FINANCE)],
    responses=problems(TerminationNotFound, NotWaiting),
)
async def post_take_over(
    termination_id: UUID, body: NoteIn, match: IfMatch, caller: Caller, db: Db, once: Once, response: Response
) -> PathOut:
    """Handle an unusual case by hand: links that were sent no longer decide it."""
    t = await usecases.find_locked(db, caller, termination_id)
    match.check(t.version)
    at = await time_of_customer(db, t.customer_id, now())
    await finance.take_over(db, t, body.reason, actor=caller.actor, now=at)
    return await _path(db, caller, t, response)


@router.post(
    "/terminations/{termination_id}/settle",
    dependencies=[needs(*FINANCE)],
    responses=problems(TerminationNotFound, NotTakenOver, ReasonNeeded, *DAYS),
)
async def post_settle(
    termination_id: UUID, body: SettlementIn, match: IfMatch, caller: Caller, db: Db, once: Once, response: Response
) -> PathOut:
    """Schedule what was agreed by hand, with the same confirmations as any other."""
    t = await usecases.find_locked(db, caller, termination_id)
    match.check(t.version)
    at = await time_of_customer(db, t.customer_id, now())
    await finance.settle(db, t, Settlement(body.agreed_with, body.offer), actor=caller.actor, now=at)
    return await _path(db, caller, t, response)


@router.post(
    "/terminations/{termination_id}/close",
    dependencies=[needs(*FINANCE)],
    responses=problems(TerminationNotFound, NotTakenOver),
)
async def post_close(
    termination_id: UUID, body: NoteIn, match: IfMatch, caller: Caller, db: Db, once: Once, response: Response
) -> PathOut:
    """Close what was taken over: the service goes on."""
    t = await usecases.find_locked(db, caller, termination_id)
    match.check(t.version)
    at = await time_of_customer(db, t.customer_id, now())
    await finance.close_by_hand(db, t, body.reason, actor=caller.actor, now=at)
    return await _path(db, caller, t, response)


@router.put(
    "/terminations/{termination_id}/ask-again",
    dependencies=[needs(*PARTNERS)],
    responses=problems(TerminationNotFound, NotEnded, AskedTooSoon),
)
async def put_ask_again(
    termination_id: UUID, body: AskAgainIn, match: IfMatch, caller: Caller, db: Db, response: Response
) -> PathOut:
    """Keep a day to ask a former customer again, with its consent."""
    wish = usecases.AskAgain(body.ask_again_on, body.agreed_by, body.words)
    return await _ask_again(termination_id, wish, match, caller, db, response)


@router.delete(
    "/terminations/{termination_id}/ask-again",
    dependencies=[needs(*READERS)],
    responses=problems(TerminationNotFound, NotEnded),
)
async def delete_ask_again(termination_id: UUID, match: IfMatch, caller: Caller, db: Db, response: Response) -> PathOut:
    """Forget the day and the consent; the former customer may do so itself."""
    return await _ask_again(termination_id, None, match, caller, db, response)


async def _ask_again(
    termination_id: UUID, wish: usecases.AskAgain | None, match: Match, caller: Caller, db: Session, response: Response
) -> PathOut:
    t = await usecases.find_locked(db, caller, termination_id)
    match.check(t.version)
    at = await time_of_customer(db, t.customer_id, now())
    await usecases.keep_ask_again(db, t, wish, actor=caller.actor, now=at)
    return await _path(db, caller, t, response)
