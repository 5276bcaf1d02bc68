"""Registering deals, keeping them protected, confirming and losing them. Winning is told in `winning`.

Whether somebody else protects a company is asked beyond the caller's own rows: such a use case acts for the
platform from there on, tells who did it, and answers without naming anybody.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, false, or_, select, text, true

from contracts.attention.usecases import Item, Resolution, open_items, resolve_items
from contracts.customers.rules import Status
from contracts.customers.usecases import customer_of
from contracts.deals import words
from contracts.deals.rows import Agreement, Deal, DealNote
from contracts.deals.rules import (
    ALIKE,
    NOTICE_DAYS,
    OPEN,
    PLATFORMS,
    Contact,
    Matched,
    Reason,
    State,
    company_key,
    next_notice,
    protected_until,
)
from contracts.orders.usecases import side
from contracts.partners.usecases import PartnerNotFound, active_partner, partner_of
from contracts.services.rules import Kind
from contracts.services.usecases import offered
from contracts.terminations.rules import local_day
from contracts.workdays import one_working_day_after
from contracts.zones import HOME_ZONE
from kit import audit, mail, outbox, testclock
from kit.auth import Caller, Role, act_as, emails_of
from kit.db import Session
from kit.problems import Refused
from schemas.deal import DealLost, DealRegistered
from schemas.values import Money


class DealNotFound(Refused):
    """No such deal."""

    status = 404


class DealIsClosed(Refused):
    """The deal is won or lost: its terms stay as they are."""

    rule = "CON-6"


class DealOpenAlready(Refused):
    """You have an open deal with this company."""

    rule = "CON-5"


class AlreadySubscribed(Refused):
    """The customer has a subscription."""

    rule = "CON-6"


class NotYourReason(Refused):
    """This reason is not yours to give."""

    status = 422


class TermsAreThePlatforms(Refused):
    """The commission is agreed with the platform, and changed by it."""

    status = 403
    rule = "BIL-9"


@dataclass(frozen=True, slots=True)
class Company:
    """A company as far as it is known, in the form that is compared."""

    name: str
    country: str
    registration_number: str | None = None
    domain: str | None = None
    customer_id: UUID | None = None

    @classmethod
    def of(cls, deal: Deal) -> "Company":
        return cls(deal.company, deal.country, deal.registration_number, deal.domain, deal.customer_id)


@dataclass(frozen=True, slots=True)
class Match:
    """Another open deal on the same company, or what seems to be the same."""

    deal: Deal
    by: Matched


@dataclass(frozen=True, slots=True)
class Standing:
    """What a partner is told of a company before it files a deal."""

    state: str
    """`free`, `yours` or `protected`."""
    protected_until: date | None = None
    matched: Matched | None = None


@dataclass(frozen=True, slots=True)
class NewDeal:
    """The form."""

    partner_id: UUID | None
    company: Company
    contact: Contact
    currency: str
    monthly_value: int | None = None
    product_id: UUID | None = None
    term_months: int | None = None
    expected_on: date | None = None
    invoicer: str | None = None
    note: str = ""


# -- what partners agreed on ------------------------------------------------------------------------------


async def agreement_of(db: Session, partner_id: UUID) -> Agreement:
    """What new deals of a partner begin with; where nothing was agreed: the platform invoices, no commission."""
    held = await db.get(Agreement, partner_id)
    return held or Agreement(
        partner_id=partner_id, version=0, invoicer="platform", commission_bp=0, commission_months=None
    )


async def change_agreement(
    db: Session,
    partner_id: UUID,
    invoicer: str,
    commission_bp: int,
    commission_months: int | None,
    *,
    check_version: Callable[[int], None],
    actor: str,
    now: datetime,
) -> Agreement:
    """Agree anew; deals that exist keep their terms. Raises `PartnerNotFound`, `PartnerIsClosed`."""
    await active_partner(db, partner_id)
    await db.execute(text("select pg_advisory_xact_lock(hashtextextended(:p, 1))"), {"p": str(partner_id)})
    agreement = await agreement_of(db, partner_id)
    check_version(agreement.version)
    agreement.invoicer = invoicer
    agreement.commission_bp, agreement.commission_months = commission_bp, commission_months
    agreement.version += 1
    agreement.changed_at = now
    db.add(agreement)
    detail = {"invoicer": invoicer, "commission_bp": commission_bp, "commission_months": commission_months}
    await audit.record(db, actor, "partner.agreed", subject=f"partner/{partner_id}", detail=detail)
    return agreement


# -- the same company -------------------------------------------------------------------------------------


async def open_matches(db: Session, company: Company, *, but: UUID | None = None) -> list[Match]:
    """Open deals on a company, surest first, that the transaction can see; `but` leaves one out."""
    key = company_key(company.name)
    await db.execute(text("select set_config('pg_trgm.similarity_threshold', :alike, true)"), {"alike": str(ALIKE)})
    nothing = false()
    by_number = Deal.registration_number == company.registration_number if company.registration_number else nothing
    by: Mapping[Matched, ColumnElement[bool]] = {
        Matched.CUSTOMER: Deal.customer_id == company.customer_id if company.customer_id else nothing,
        Matched.REGISTRATION_NUMBER: and_(by_number, Deal.country == company.country),
        Matched.DOMAIN: Deal.domain == company.domain if company.domain else nothing,
        Matched.NAME: and_(Deal.company_key.op("%")(key), Deal.country == company.country),
    }
    surest = case(*((condition, str(name)) for name, condition in by.items())).label("matched")
    order = case(*((condition, n) for n, condition in enumerate(by.values())))
    query = select(Deal, surest).where(
        Deal.state.in_(OPEN), or_(*by.values()), true() if but is None else Deal.id != but
    )
    found = await db.execute(query.order_by(order, Deal.created_at, Deal.id).limit(100))
    return [Match(deal, Matched(matched)) for deal, matched in found]


async def check_company(
    db: Session, company: Company, partner_id: UUID | None, *, caller: Caller, now: datetime
) -> Standing:
    """How a company stands before a deal is filed: free, the partner's own, or protected until a day."""
    partner_id = partner_id or (caller.tenant_id if caller.tenant_kind == "partner" else None)
    at = await testclock.time_of(db, now, partner_id=partner_id)
    await act_as(db, "platform", caller.actor)
    matches = await open_matches(db, company)
    mine = next((m for m in matches if m.deal.partner_id == partner_id), None)
    held = await _protecting(db, [m for m in matches if m.deal.partner_id != partner_id], at)
    if mine is not None and (mine.by is not Matched.NAME or held is None):
        return Standing("yours", mine.deal.protected_until, mine.by)
    if held is not None:
        return Standing("protected", held.deal.protected_until, held.by)
    return Standing("free")


async def _protecting(db: Session, others: Sequence[Match], at: datetime) -> Match | None:
    """The one of others' deals that protects the company now, by the day where its partner is at home."""
    zones = {m.deal.partner_id: await zone_of(db, m.deal.partner_id) for m in others}
    standing = [
        m
        for m in others
        if m.deal.protected_until and m.deal.protected_until >= local_day(at, zones[m.deal.partner_id])
    ]
    return next(iter(standing), None)


async def zone_of(db: Session, partner_id: UUID | None) -> str:
    """Where a partner is at home; without one, the platform."""
    return HOME_ZONE if partner_id is None else (await partner_of(db, partner_id)).time_zone


async def one_registration_at_a_time(db: Session) -> None:
    """Two who file a deal on one company at once: the second sees the first. Names have no key to lock."""
    await db.execute(text("select pg_advisory_xact_lock(hashtextextended('deals.registration', 0))"))


# -- registering ------------------------------------------------------------------------------------------


def seen_by(caller: Caller) -> Select[Deal]:
    """The deals a caller may see: staff all, a partner its own, nobody else any."""
    everything = select(Deal)
    if caller.is_platform:
        return everything
    return everything.where(Deal.partner_id == caller.tenant_id if caller.tenant_kind == "partner" else false())


async def find_deal(db: Session, caller: Caller, deal_id: UUID, *, lock: bool = False) -> Deal:
    """The deal, if the caller may see it. Raises `DealNotFound`."""
    query = seen_by(caller).where(Deal.id == deal_id)
    deal = await db.scalar(query.with_for_update() if lock else query)
    if deal is None:
        raise DealNotFound(deal_id)
    return deal


def overdue_only(query: Select[Deal], db: Session, now: datetime) -> Select[Deal]:
    """Those of a list that the platform has not confirmed within its working day."""
    due = testclock.due(db, Deal.confirm_by, now, partner=Deal.partner_id)
    return query.where(Deal.state == State.REGISTERED, due)


async def register_deal(db: Session, wish: NewDeal, *, caller: Caller, now: datetime) -> Deal:
    """File a deal. It is protected from today, unless another partner's deal on the company is.

    Raises `PartnerNotFound`, `PartnerIsClosed`, `CustomerNotFound`, `AlreadySubscribed`, `DealOpenAlready`, and
    what the service refuses.
    """
    partner_id = wish.partner_id if caller.is_platform else caller.tenant_id
    if partner_id is None:
        raise PartnerNotFound("Name the partner whose deal it is.", field="partner_id")
    partner = await active_partner(db, partner_id, field="partner_id")
    company = await _company_with_account(db, wish.company, partner_id)
    if wish.product_id is not None:
        await offered(db, wish.product_id, kind=Kind.SUBSCRIPTION, term_months=wish.term_months)
    agreement = await agreement_of(db, partner_id)
    at = await testclock.time_of(db, now, partner_id=partner_id)
    await one_registration_at_a_time(db)
    # From here on it looks at everybody's deals.
    await act_as(db, "platform", caller.actor)
    await _check_not_twice(db, company, partner_id)
    others = [m for m in await open_matches(db, company) if m.deal.partner_id != partner_id]
    deal = Deal(
        version=1,
        partner_id=partner_id,
        state=State.REGISTERED,
        currency=wish.currency,
        monthly_value=wish.monthly_value,
        product_id=wish.product_id,
        term_months=wish.term_months,
        expected_on=wish.expected_on,
        invoicer=wish.invoicer or agreement.invoicer,
        commission_bp=agreement.commission_bp,
        commission_months=agreement.commission_months,
        confirm_by=one_working_day_after(at, HOME_ZONE),
        steps=[],
        created_at=at,
    )
    name_company(deal, company)
    deal.contact = wish.contact
    _protect(deal, await _protecting(db, others, at), partner.time_zone, at)
    told(deal, "registered", caller, at)
    db.add(deal)
    await db.flush()
    if wish.note:
        db.add(DealNote(deal_id=deal.id, partner_id=partner_id, by=side(caller), text=wish.note, at=at))
    announce_registered(db, deal, at)
    items = [
        Item(
            kind="deal_to_confirm",
            key=f"deal/{deal.id}/confirm",
            subject=deal.company,
            next_action="confirm_deal",
            due_at=deal.confirm_by,
            customer_id=deal.customer_id,
            audience="platform",
        )
    ]
    if others:
        items.append(
            Item(
                kind="deal_in_conflict",
                key=f"deal/{deal.id}/conflict",
                subject=deal.company,
                next_action="decide_between_deals",
                customer_id=deal.customer_id,
                audience="platform",
                detail={"with": [str(m.deal.id) for m in others], "matched": [str(m.by) for m in others]},
            )
        )
    await open_items(db, items, now=at)
    await audit.record(db, caller.actor, "deal.registered", subject=f"deal/{deal.id}", detail={"others": len(others)})
    return deal


async def _check_not_twice(db: Session, company: Company, partner_id: UUID | None, but: UUID | None = None) -> None:
    """Raises `DealOpenAlready` where the partner has an open deal that is surely on the same company."""
    for match in await open_matches(db, company, but=but):
        if match.deal.partner_id == partner_id and match.by is not Matched.NAME:
            raise DealOpenAlready(deal_id=match.deal.id, matched=match.by)


async def _company_with_account(db: Session, company: Company, partner_id: UUID) -> Company:
    """What the account knows fills what the form left out. Raises `CustomerNotFound`, `AlreadySubscribed`."""
    if company.customer_id is None:
        return company
    customer = await customer_of(db, company.customer_id, field="company.customer_id")
    if customer.partner_id != partner_id:
        raise DealNotFound(company.customer_id, field="company.customer_id")
    if customer.status == Status.ACTIVE:
        raise AlreadySubscribed(field="company.customer_id")
    invoicing = customer.invoicing
    return Company(
        name=company.name or customer.name,
        country=invoicing.address.country or company.country,
        registration_number=company.registration_number
        or "".join(c for c in (invoicing.registration_number or "").upper() if c.isalnum())
        or None,
        domain=company.domain,
        customer_id=customer.id,
    )


def name_company(deal: Deal, company: Company) -> None:
    """Say which company a deal is about."""
    deal.company, deal.company_key = company.name, company_key(company.name)
    deal.country, deal.domain = company.country, company.domain
    deal.registration_number, deal.customer_id = company.registration_number, company.customer_id


def _protect(deal: Deal, held: Match | None, zone: str, at: datetime) -> None:
    """Protect a deal from now, unless somebody else's protects the company."""
    if held is None:
        today = local_day(at, zone)
        deal.protected_until = protected_until(today)
        deal.notice_at = next_notice(deal.protected_until, today, zone)


def announce_registered(db: Session, deal: Deal, at: datetime) -> None:
    """Say that a deal was registered."""
    value = None if deal.monthly_value is None else Money(amount=deal.monthly_value, currency=deal.currency)
    outbox.add(
        db,
        DealRegistered(
            deal_id=deal.id,
            version=deal.version,
            at=at,
            customer_id=deal.customer_id,
            partner_id=deal.partner_id,
            monthly_value=value,
            protected_until=deal.protected_until,
        ),
    )


def told(deal: Deal, what: str, caller: Caller | None, at: datetime, **more: Any) -> None:
    """Write a line of the deal's history, which its partner reads: without names of people."""
    by = side(caller) if caller else "system"
    deal.steps = [*deal.steps, {"what": what, "at": at.isoformat(), "by": by, **more}]


# -- on the way -------------------------------------------------------------------------------------------


async def _renew(db: Session, deal: Deal, at: datetime) -> None:
    """Activity of its partner renews a protection, or gains it where nobody else's holds any more."""
    await one_registration_at_a_time(db)
    others = [m for m in await open_matches(db, Company.of(deal), but=deal.id) if m.deal.partner_id != deal.partner_id]
    held = await _protecting(db, others, at)
    zone = await zone_of(db, deal.partner_id)
    if deal.protected_until is not None and deal.protected_until >= local_day(at, zone):
        held = None  # what one holds, nobody takes
    _protect(deal, held, zone, at)


FREE_WHEN_CLOSED = frozenset({"contact", "expected_on"})


async def change_deal(
    db: Session,
    deal_id: UUID,
    changes: Mapping[str, Any],
    *,
    check_version: Callable[[int], None],
    caller: Caller,
    now: datetime,
) -> Deal:
    """Change what a deal says; the old and the new stand in its history. A partner's edit renews the protection.

    `changes` may hold `company` (a whole `Company`), and any other field of the form. Raises `DealNotFound`,
    `DealIsClosed`, `TermsAreThePlatforms`, `CustomerNotFound`, `AlreadySubscribed`, and what the service refuses.
    """
    deal = await find_deal(db, caller, deal_id, lock=True)
    check_version(deal.version)
    if deal.state not in OPEN and not changes.keys() <= FREE_WHEN_CLOSED:
        raise DealIsClosed(state=deal.state)
    if not caller.is_platform and changes.keys() & {"commission_bp", "commission_months"}:
        raise TermsAreThePlatforms(field="commission_bp")
    if changes.get("company") is not None and deal.partner_id is not None:
        company = await _company_with_account(db, changes["company"], deal.partner_id)
    else:
        company = Company.of(deal)
    term_months = changes.get("term_months", deal.term_months)
    product_id = changes.get("product_id", deal.product_id)
    if product_id is not None and changes.keys() & {"product_id", "term_months"}:
        await offered(db, product_id, kind=Kind.SUBSCRIPTION, term_months=term_months)
    await act_as(db, "platform", caller.actor)
    if company != Company.of(deal):
        await one_registration_at_a_time(db)
        await _check_not_twice(db, company, deal.partner_id, but=deal.id)
    before = _as_values(deal)
    name_company(deal, company)
    for name, value in changes.items():
        if name != "company":
            setattr(deal, name, value)
    after = _as_values(deal)
    changed = {name: [before[name], after[name]] for name in after if after[name] != before[name]}
    if not changed:
        return deal
    at = await testclock.time_of(db, now, partner_id=deal.partner_id)
    # The contact's details are a person's: that they changed is told, and not what they were.
    public = {name: pair if name != "contact" else None for name, pair in changed.items()}
    told(deal, "changed", caller, at, changed=public)
    deal.version += 1
    if deal.state in OPEN and side(caller) == "partner":
        await _renew(db, deal, at)
    await audit.record(db, caller.actor, "deal.changed", subject=f"deal/{deal.id}", detail={"changed": sorted(changed)})
    return deal


def _as_values(deal: Deal) -> dict[str, Any]:
    names = (
        "company", "country", "registration_number", "domain", "monthly_value", "currency", "term_months",
        "invoicer", "commission_bp", "commission_months",
    )  # fmt: skip
    ids = {name: str(value) if (value := getattr(deal, name)) else None for name in ("customer_id", "product_id")}
    day = str(deal.expected_on) if deal.expected_on else None
    return {**{name: getattr(deal, name) for name in names}, **ids, "expected_on": day, "contact": deal.contact_stored}


async def add_note(db: Session, deal_id: UUID, words_: str, *, caller: Caller, now: datetime) -> DealNote:
    """Write a note, at any time. A partner's renews the protection of an open deal. Raises `DealNotFound`."""
    deal = await find_deal(db, caller, deal_id, lock=True)
    at = await testclock.time_of(db, now, partner_id=deal.partner_id)
    note = DealNote(deal_id=deal.id, partner_id=deal.partner_id, by=side(caller), text=words_, at=at)
    db.add(note)
    await db.flush()
    if deal.state in OPEN and side(caller) == "partner":
        await act_as(db, "platform", caller.actor)
        await _renew(db, deal, at)
    await audit.record(db, caller.actor, "deal.noted", subject=f"deal/{deal.id}", detail={"note": str(note.id)})
    return note


def notes_of(deal: Deal) -> Select[DealNote]:
    """A deal's notes."""
    return select(DealNote).where(DealNote.deal_id == deal.id)


async def confirm_deal(
    db: Session, deal_id: UUID, *, check_version: Callable[[int], None], caller: Caller, now: datetime
) -> Deal:
    """The platform confirms a deal; confirmed already, nothing changes. Raises `DealNotFound`, `DealIsClosed`."""
    deal = await find_deal(db, caller, deal_id, lock=True)
    if deal.state == State.CONFIRMED:
        return deal
    check_version(deal.version)
    if deal.state not in OPEN:
        raise DealIsClosed(state=deal.state)
    at = await testclock.time_of(db, now, partner_id=deal.partner_id)
    deal.state = State.CONFIRMED
    deal.confirmed_at = at
    deal.version += 1
    told(deal, "confirmed", caller, at)
    await settle_items(db, deal, caller.actor, at)
    await audit.record(db, caller.actor, "deal.confirmed", subject=f"deal/{deal.id}")
    return deal


async def lose_deal(
    db: Session,
    deal_id: UUID,
    reason: Reason,
    *,
    check_version: Callable[[int], None],
    caller: Caller,
    now: datetime,
) -> Deal:
    """Give a deal up, or reject it. Raises `DealNotFound`, `DealIsClosed`, `NotYourReason`."""
    deal = await find_deal(db, caller, deal_id, lock=True)
    check_version(deal.version)
    if deal.state not in OPEN:
        raise DealIsClosed(state=deal.state)
    if reason is Reason.ORDERED_ELSEWHERE or (reason in PLATFORMS and not caller.is_platform):
        raise NotYourReason(reason, field="reason")
    at = await testclock.time_of(db, now, partner_id=deal.partner_id)
    await lost(db, deal, reason, caller, at)
    return deal


async def lost(db: Session, deal: Deal, reason: Reason, caller: Caller, at: datetime) -> None:
    """End a locked open deal without a subscription."""
    deal.state = State.LOST
    deal.reason = reason
    deal.closed_at = at
    deal.notice_at = None
    deal.version += 1
    told(deal, "lost", caller, at, reason=str(reason))
    outbox.add(
        db,
        DealLost(
            deal_id=deal.id,
            version=deal.version,
            at=at,
            customer_id=deal.customer_id,
            partner_id=deal.partner_id,
            reason=reason,
        ),
    )
    await settle_items(db, deal, caller.actor, at)
    await audit.record(db, caller.actor, "deal.lost", subject=f"deal/{deal.id}", detail={"reason": str(reason)})


async def settle_items(db: Session, deal: Deal, by: str, at: datetime) -> None:
    """What the platform had to decide about a deal is decided."""
    keys = [f"deal/{deal.id}/confirm", f"deal/{deal.id}/conflict"]
    await resolve_items(db, [Resolution(key, "platform") for key in keys], by=by, now=at)


async def conflicts_of(db: Session, deal: Deal) -> list[Match]:
    """Other partners' open deals on the same company, for the platform's eyes."""
    found = await open_matches(db, Company.of(deal), but=deal.id)
    return [match for match in found if match.deal.partner_id != deal.partner_id]


# -- by the clock -----------------------------------------------------------------------------------------


async def give_notice_of_protection(db: Session, now: datetime) -> int:
    """Tell partners whose protection ends in 14 days, and in 3; at most 200 a time; a job's body."""
    time = testclock.time(db, now, partner=Deal.partner_id)
    due = testclock.due(db, Deal.notice_at, now, partner=Deal.partner_id)
    query = select(Deal, time).where(Deal.state.in_(OPEN), due).order_by(Deal.id).limit(200)
    found = (await db.execute(query.with_for_update(of=Deal, skip_locked=True))).all()
    admins = await emails_of(db, Role.PARTNER_ADMIN, {deal.partner_id for deal, _ in found if deal.partner_id})
    mails = []
    for deal, at in found:
        if deal.partner_id is None or deal.protected_until is None:
            deal.notice_at = None
            continue
        partner = await partner_of(db, deal.partner_id)
        today = local_day(at, partner.time_zone)
        until = deal.protected_until
        deal.notice_at = next_notice(until, today, partner.time_zone)
        letter = words.protection_ends(
            partner.language,
            company=deal.company,
            until=until,
            days=max((until - today).days, 0),
            signed_by=partner.name if partner.kind == "whitelabel" else "Tandem",
        )
        which = next((days for days in reversed(NOTICE_DAYS) if today >= until - timedelta(days=days)), 0)
        mails += [
            mail.Mail(to, letter.subject, letter.text, f"deal/{deal.id}", f"protection/{until}/{which}")
            for to in admins.get(partner.id, [])
        ]
    await mail.send_many(db, mails)
    return len(found)
