"""Requesting the end of services: what it would cost, who may see it, one termination for each (CON-8, CON-13)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, not_, select

from contracts.attention.usecases import Item, open_item, resolve_item
from contracts.buyouts.rules import Quote, as_stored, free_of_charge
from contracts.buyouts.usecases import drawn, paid_for, term_of
from contracts.customers.usecases import customer_of, find_customer
from contracts.portings.usecases import link_portings_out, open_porting_in
from contracts.services.usecases import ContractNotFound, find_contract, lock_contracts
from contracts.services.usecases import seen_by as contracts_seen_by
from contracts.terminations import letters
from contracts.terminations.documents import Document, rendered
from contracts.terminations.letters import cost, document
from contracts.terminations.moves import (
    TerminationNotFound,
    asks,
    facts_of,
    locked,
    record,
    waits_for_finance,
)
from contracts.terminations.parties import NobodyToAsk, Parties, parties_of
from contracts.terminations.rows import Night, Proposal, Step, Termination, TerminationWish
from contracts.terminations.rules import (
    LAST_DAY,
    OPEN,
    BadWish,
    Reason,
    State,
    answer_until,
    check_wish,
    end_of_day,
    is_early,
    local_day,
    regular_end,
    working_days_after,
)
from contracts.terminations.words import words_in, written
from kit import outbox
from kit.auth import Caller
from kit.db import Session, uuid7
from kit.problems import Refused
from schemas.contract import TerminationRequested


class ServiceEnded(Refused):
    """This service has ended already."""

    rule = "CON-8"


class TerminationOpen(Refused):
    """A termination of this service is under way."""

    rule = "CON-13"
    remedy = "Follow that one, or withdraw it first."


class PortingOpen(Refused):
    """Numbers are still being ported to this service."""

    rule = "CON-7"
    remedy = "Wait until the porting is done, or cancel it."


class ServiceNamedTwice(Refused):
    """The same service is named twice in one request."""

    status = 422
    rule = "CON-8"


class WishBeforeStart(Refused):
    """The wished last day lies before the first day of the contract."""

    status = 422
    rule = "CON-9"


class WishPassed(Refused):
    """The wished last day has passed."""

    status = 422
    rule = "CON-9"
    remedy = "Wish today or a later day."


class WishTooLate(Refused):
    """The wished last day lies beyond the year 2100."""

    status = 422
    rule = "CON-9"


class NotEnded(Refused):
    """This service has not ended."""

    rule = "CON-14"


class AskedTooSoon(Refused):
    """The day to ask again lies after today, and not beyond 2100."""

    status = 422
    rule = "CON-14"


class WishNotFound(Refused):
    """No such wish of this customer waits to be submitted."""

    status = 404
    rule = "CON-14"


WISH_REFUSALS: Mapping[BadWish, type[Refused]] = {
    BadWish.BEFORE_START: WishBeforeStart,
    BadWish.PASSED: WishPassed,
    BadWish.TOO_LATE: WishTooLate,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A service that is to end, and when: on its regular end, unless a day is wished."""

    contract_id: UUID
    wish_date: date | None = None


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What is asked for together."""

    customer_id: UUID
    services: Sequence[Asked]
    reason: Reason = Reason.OTHER
    note: str | None = None
    wish_id: UUID | None = None
    """The customer's own wish that this submits (CON-14)."""


# -- what it would cost -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """The end of a service if notice were given now, and what stands in its way."""

    contract: Any
    quote: Quote
    early: bool
    notice_on: date
    open_termination: UUID | None
    refused: Refused | None
    """Why the wished day cannot be; the quote is then for the regular end."""


async def estimates(
    db: Session, caller: Caller, customer_id: UUID, wish: date | None, reason: Reason, now: datetime
) -> list[Estimate]:
    """All active services of a customer, with their regular ends and what a wished day costs (CON-8).

    Raises `CustomerNotFound`.
    """
    await find_customer(db, caller, customer_id)
    query = contracts_seen_by(caller).filter_by(customer_id=customer_id, state="active")
    contracts = (await db.scalars(query.order_by(query.selected_columns.id))).all()
    return await _estimated(db, contracts, wish, reason, now)


async def estimate(
    db: Session, caller: Caller, contract_id: UUID, wish: date | None, reason: Reason, now: datetime
) -> Estimate:
    """One service's regular end, and what a wished day costs. Raises `ContractNotFound`, `ServiceEnded`, and what
    refuses the day."""
    contract = await find_contract(db, caller, contract_id)
    if contract.state != "active":
        raise ServiceEnded(contract_id)
    (found,) = await _estimated(db, [contract], wish, reason, now)
    if found.refused:
        raise found.refused
    return found


async def _estimated(
    db: Session, contracts: Sequence[Any], wish: date | None, reason: Reason, now: datetime
) -> list[Estimate]:
    paid = await paid_for(db, [c.id for c in contracts])
    open_ = await open_terminations(db, [c.id for c in contracts])
    found = []
    for c in contracts:
        today = local_day(now, c.time_zone)
        regular = regular_end(term_of(c.terms, c.starts_on), today)
        wrong = check_wish(wish, c.starts_on, today) if wish else None
        last_day = wish if wish and not wrong else regular
        refused = WISH_REFUSALS[wrong](str(wish), field="wish_date") if wrong else None
        quote = first_quote(c, last_day, regular, paid.get(c.id, ()), reason)
        early = is_early(last_day, regular, reason)
        found.append(Estimate(c, quote, early, today, open_.get(c.id), refused))
    return found


def first_quote(contract: Any, last_day: date, regular: date, paid: Sequence[Any], reason: Reason) -> Quote:
    """The calculated sum; for force majeure a draft of zero (CON-10)."""
    if reason is Reason.FORCE_MAJEURE:
        return free_of_charge(last_day, regular, contract.currency, reason.value)
    return drawn(contract.terms, contract.starts_on, contract.one_off_open, last_day, regular, paid)


async def open_terminations(db: Session, contract_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """The open termination of each of these contracts that has one."""
    query = select(Termination.contract_id, Termination.id).where(
        Termination.contract_id.in_(contract_ids), Termination.state.in_(OPEN)
    )
    return {row.contract_id: row.id for row in await db.execute(query)}


# -- the request ------------------------------------------------------------------------------------------


async def request(db: Session, wish: NewRequest, *, caller: Caller, now: datetime) -> list[Termination]:
    """One termination per service; the customer gets one mail for all regular ones, finance an alert for each early.

    All or none. Raises `CustomerNotFound`, `WishNotFound`, `NobodyToAsk`, `ServiceNamedTwice`, `ContractNotFound`,
    `ServiceEnded`, `TerminationOpen`, `PortingOpen`, `WishBeforeStart`, `WishPassed`, `WishTooLate`.
    """
    customer = await find_customer(db, caller, wish.customer_id)
    requested_at, requested_by = now, caller.actor
    request_id = uuid7()
    if wish.wish_id:
        own = await _submitted(db, wish, request_id, caller.actor, now)
        requested_at, requested_by = own.asked_at, own.asked_by
    parties = await parties_of(db, customer.id)
    if not parties.customer.addresses:
        raise NobodyToAsk(customer.id, field="customer_id")
    contracts = await _terminable(db, wish)
    paid = await paid_for(db, list(contracts))
    made = []
    for n, asked in enumerate(wish.services):
        contract = contracts[asked.contract_id]
        made.append(
            _begun(
                contract,
                asked.wish_date,
                wish,
                paid.get(contract.id, ()),
                f"services.{n}.wish_date",
                request_id=request_id,
                requested_at=requested_at,
                requested_by=requested_by,
                now=now,
            )
        )
    db.add_all(made)
    await db.flush()
    await _announce(db, made, caller.actor, parties, now)
    return made


async def _submitted(db: Session, wish: NewRequest, request_id: UUID, actor: str, now: datetime) -> TerminationWish:
    own = await db.get(TerminationWish, wish.wish_id, with_for_update=True)
    if own is None or own.customer_id != wish.customer_id or own.request_id is not None:
        raise WishNotFound(wish.wish_id or "", field="wish_id")
    own.request_id = request_id
    await resolve_item(db, _wished(own.id), audience=_list_of(own), by=actor, now=now)
    return own


async def _terminable(db: Session, wish: NewRequest) -> dict[UUID, Any]:
    """The contracts, locked, that may be ended now."""
    ids = [asked.contract_id for asked in wish.services]
    contracts = await lock_contracts(db, ids)
    open_ = await open_terminations(db, ids)
    for n, contract_id in enumerate(ids):
        field = f"services.{n}.contract_id"
        contract = contracts.get(contract_id)
        if ids.index(contract_id) != n:
            raise ServiceNamedTwice(contract_id, field=field)
        if contract is None or contract.customer_id != wish.customer_id:
            raise ContractNotFound(contract_id, field=field)
        if contract.state != "active":
            raise ServiceEnded(contract_id, field=field)
        if contract_id in open_:
            raise TerminationOpen(contract_id, field=field, termination_id=open_[contract_id])
        if porting_id := await open_porting_in(db, contract_id):
            raise PortingOpen(contract_id, field=field, porting_id=porting_id)
    return contracts


def _begun(
    contract: Any,
    wish_date: date | None,
    wish: NewRequest,
    paid: Sequence[Any],
    field: str,
    *,
    request_id: UUID,
    requested_at: datetime,
    requested_by: str,
    now: datetime,
) -> Termination:
    today, given_on = local_day(now, contract.time_zone), local_day(requested_at, contract.time_zone)
    if wish_date and (wrong := check_wish(wish_date, contract.starts_on, today)):
        raise WISH_REFUSALS[wrong](str(wish_date), field=field)
    regular = regular_end(term_of(contract.terms, contract.starts_on), given_on, not_before=today)
    last_day = wish_date or regular
    early = is_early(last_day, regular, wish.reason)
    return Termination(
        id=uuid7(),
        version=1,
        request_id=request_id,
        contract_id=contract.id,
        customer_id=contract.customer_id,
        partner_id=contract.partner_id,
        label=contract.label,
        time_zone=contract.time_zone,
        currency=contract.currency,
        state=State.PROPOSAL_DUE if early else State.REQUESTED,
        waiting_since=now,
        reason=wish.reason,
        note=wish.note,
        requested_at=requested_at,
        requested_by=requested_by,
        requested_on=given_on,
        wish_date=wish_date,
        regular_end=regular,
        last_day=last_day,
        early=early,
        quote_stored=as_stored(first_quote(contract, last_day, regular, paid, wish.reason)),
        reminders=0,
        finance_alerted=0,
    )


async def _announce(db: Session, made: Sequence[Termination], actor: str, parties: Parties, now: datetime) -> None:
    """Say what was requested, ask the customer about what ends regularly, alert finance to the rest."""
    group = uuid7()
    for t in made:
        await link_portings_out(db, t.contract_id, t.id, now=now)
        outbox.add(
            db,
            TerminationRequested(
                **facts_of(t),
                at=now,
                request_id=t.request_id,
                requested_on=t.requested_on,
                regular_end=t.regular_end,
                wish_date=t.wish_date,
                last_day=t.last_day,
                early=t.early,
                reason=t.reason,
            ),
        )
        detail = {"last_day": str(t.last_day), "regular_end": str(t.regular_end), "reason": t.reason}
        submitted = actor if actor != t.requested_by else None
        await record(db, t, "requested", t.requested_by, t.requested_at, **detail, submitted_by=submitted)
        if t.early:
            until = await waits_for_finance(db, t, now)
            await letters.alert_finance(db, t, parties, until, overdue=False)
            await record(db, t, "finance_alerted", "system", now, until=str(until))
        else:
            await asks(db, t, "approval", now, answer_until(local_day(now, t.time_zone), t.last_day), group=group)
            await record(db, t, "asked", "system", now, until=str(letters.last_answer(t)))
    regular = [t for t in made if not t.early]
    if regular:
        await letters.ask_approval(db, regular, parties)


# -- a customer's own wish (CON-14) -----------------------------------------------------------------------


async def make_wish(db: Session, wish: NewRequest, *, caller: Caller, now: datetime) -> TerminationWish:
    """A customer asks for the end of services; its partner submits it, and the notice counts from here.

    Raises `ContractNotFound`, `ServiceEnded`, `TerminationOpen`, `ServiceNamedTwice`, `WishPassed` and the like.
    """
    customer = await find_customer(db, caller, wish.customer_id)
    contracts = await _terminable(db, wish)
    wishes = {asked.wish_date for asked in wish.services}
    for contract in contracts.values():
        for day in filter(None, wishes):
            if wrong := check_wish(day, contract.starts_on, local_day(now, contract.time_zone)):
                raise WISH_REFUSALS[wrong](str(day), field="wish_date")
    made = TerminationWish(
        customer_id=customer.id,
        partner_id=customer.partner_id,
        contract_ids=[asked.contract_id for asked in wish.services],
        wish_date=next(iter(wishes), None),
        reason=wish.reason,
        note=wish.note,
        asked_at=now,
        asked_by=caller.actor,
        request_id=None,
    )
    db.add(made)
    await db.flush()
    subject = ", ".join(contract.label for contract in contracts.values())
    until = end_of_day(working_days_after(local_day(now, customer.time_zone), 1), customer.time_zone)
    item = Item(
        "termination_wished",
        _wished(made.id),
        subject,
        "submit_termination",
        until,
        made.partner_id,
        made.customer_id,
        _list_of(made),
        {"wish_id": str(made.id)},
    )
    await open_item(db, item, now=now)
    return made


def _wished(wish_id: UUID) -> str:
    return f"termination_wished/{wish_id}"


def _list_of(wish: TerminationWish) -> str:
    """Whose attention list a wish stands in: the partner's, or the platform's for a customer without one."""
    return "partner" if wish.partner_id else "platform"


def wishes_seen_by(caller: Caller) -> Select[TerminationWish]:
    """The wishes of customers that a caller may see."""
    own = caller.own_rows(partner=TerminationWish.partner_id, customer=TerminationWish.customer_id)
    return select(TerminationWish).where(own)


# -- asking a former customer again (CON-14) --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskAgain:
    """When a former customer may be asked again, and who of it agreed to that, to which words."""

    on: date
    agreed_by: str
    words: str


async def keep_ask_again(db: Session, t: Termination, wish: AskAgain | None, *, actor: str, now: datetime) -> None:
    """Keep the day with the customer's consent, or forget both. Raises `NotEnded`, `AskedTooSoon`."""
    if t.at is not State.ENDED:
        raise NotEnded(state=t.state)
    if wish and not local_day(now, t.time_zone) < wish.on <= LAST_DAY:
        raise AskedTooSoon(str(wish.on), field="ask_again_on")
    consent = {"agreed_by": wish.agreed_by, "words": wish.words, "at": now.isoformat()} if wish else None
    t.ask_again_on, t.consent = (wish.on if wish else None), consent
    t.version += 1
    await record(db, t, "ask_again_kept" if wish else "ask_again_forgotten", actor, now)


# -- looking ----------------------------------------------------------------------------------------------


def seen_by(caller: Caller) -> Select[Termination]:
    """Staff see all, a partner its customers', a customer its own; early ones from their first proposal on."""
    seen = select(Termination).where(caller.own_rows(partner=Termination.partner_id, customer=Termination.customer_id))
    if caller.tenant_kind != "customer" or caller.through_partner:
        return seen
    with_finance = Termination.state.in_([State.PROPOSAL_DUE, State.BY_HAND])
    return seen.where(not_(and_(with_finance, Termination.proposal_id.is_(None))))


def to_ask_again(query: Select[Termination], until: date) -> Select[Termination]:
    """Of these, the former customers that may be asked again by a day."""
    return query.where(Termination.ask_again_on <= until)


async def find(db: Session, caller: Caller, termination_id: UUID) -> Termination:
    """The termination, if the caller may see it. Raises `TerminationNotFound`."""
    found = await db.scalar(seen_by(caller).where(Termination.id == termination_id))
    if found is None:
        raise TerminationNotFound(termination_id)
    return found


async def find_locked(db: Session, caller: Caller, termination_id: UUID) -> Termination:
    """`find`, locked and as it is now."""
    await find(db, caller, termination_id)
    (found,) = await locked(db, Termination.id == termination_id)
    return found


async def steps_of(db: Session, t: Termination) -> Sequence[Step]:
    """What was done, in its order."""
    return (await db.scalars(select(Step).where(Step.termination_id == t.id).order_by(Step.id))).all()


async def proposals_of(db: Session, t: Termination) -> Sequence[Proposal]:
    """What finance proposed, oldest first."""
    query = select(Proposal).where(Proposal.termination_id == t.id)
    return (await db.scalars(query.order_by(Proposal.id))).all()


async def pdf_of(db: Session, t: Termination, language: str | None) -> bytes:
    """The confirmation of what was agreed, or else the quote or proposal as it now is."""
    parties = await parties_of(db, t.customer_id)
    spoken = language or parties.partner.language
    if t.agreed_at and t.agreed_hash:
        return await rendered(document("confirmation", t, parties, spoken, t.agreed_at, t.agreed_hash))
    proposal = await db.get(Proposal, t.proposal_id) if t.at is State.PROPOSED and t.proposal_id else None
    if proposal:
        return await rendered(document("proposal", t, parties, spoken, proposal.proposed_at, proposal.hash))
    return await rendered(document("quote", t, parties, spoken, t.requested_at, ""))


async def quote_pdf(db: Session, found: Estimate, language: str | None, now: datetime) -> bytes:
    """The document of an estimate."""
    customer = await customer_of(db, found.contract.customer_id)
    parties = await parties_of(db, customer.id)
    spoken = language or parties.partner.language
    words = words_in(spoken)
    facts = [
        (words["customer"], customer.name),
        (words["service"], found.contract.label),
        (words["requested_on"], written(found.notice_on, spoken)),
        (words["last_day"], written(found.quote.last_day, spoken)),
        (words["regular_end"], written(found.quote.regular_end, spoken)),
        cost(found.quote.total, found.quote.currency, words),
    ]
    reference = str(found.contract.id)
    return await rendered(Document("quote", parties.signed_by, spoken, reference, facts, found.quote, now))


def nights() -> Select[Night]:
    """The runs in which services ended, with their progress."""
    return select(Night)
