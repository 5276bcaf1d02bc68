"""From the order to the subscription: what wins a deal, what is missing for it, and who is told (CON-6).

An order reaches its partner's deal, others' deals and the platform's people, none of whom its customer may see:
once it is checked, the transaction acts for the platform. Who ordered stays on record.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from contracts.attention.usecases import Item, Resolution, open_items, resolve_items
from contracts.customers.rules import Invoicing, Status
from contracts.customers.usecases import (
    change_customer,
    customer_of,
    hold_trial,
    lock_customer,
    start_subscription,
    time_of_customer,
)
from contracts.deals import words
from contracts.deals.rows import Deal
from contracts.deals.rules import OPEN, Contact, Matched, Reason, State, domain, registration_number
from contracts.deals.usecases import (
    AlreadySubscribed,
    Company,
    DealIsClosed,
    agreement_of,
    announce_registered,
    find_deal,
    lost,
    name_company,
    one_registration_at_a_time,
    open_matches,
    settle_items,
    told,
)
from contracts.orders.usecases import (
    ConditionsNotAgreed,
    NewOrder,
    announce_placed,
    finish,
    lock_waiting,
    new_order,
    side,
    waiting_orders,
)
from contracts.partners.usecases import partner_of
from contracts.services.rules import Kind
from contracts.services.usecases import (
    NewContract,
    announced_terms,
    offered,
    product_of,
    start_contract,
    subscription_of,
)
from contracts.terminations.rules import local_day
from kit import audit, mail, outbox
from kit.auth import Caller, Identity, Principal, Role, act_as, emails_of
from kit.db import SETTINGS, Session
from kit.problems import Refused
from schemas.deal import Commission, DealWon, SubscriptionStarted

CLOCK = Principal("system:clock", Identity("", "", None, None), frozenset(), "platform", None)
"""Who completes an order when nobody is asking."""


class AlreadyOrdered(Refused):
    """The customer's subscription is ordered, and waits for what is missing."""

    rule = "CON-6"


class DealIncomplete(Refused):
    """The deal cannot be won before it is complete."""

    rule = "CON-6"
    remedy = "Complete what `missing` names, and try again."


@dataclass(frozen=True, slots=True)
class Subscribe:
    """The order: plan, term, invoicing details, conditions."""

    customer_id: UUID
    product_id: UUID
    conditions_version: str
    term_months: int | None = None
    invoicing: Invoicing | None = None
    remarks: str = ""


async def order_subscription(db: Session, wish: Subscribe, *, caller: Caller, now: datetime) -> Any:
    """Order the subscription of a customer. Complete, it wins the deal at once; else it is kept until it is.

    Raises `CustomerNotFound`, `AlreadySubscribed`, `AlreadyOrdered`, `ConditionsNotAgreed`, and what the service
    refuses.
    """
    order, deal = await _order(db, wish, None, caller=caller, now=now)
    await _complete(db, order, deal, caller=caller, now=now)
    return order


async def win_deal(
    db: Session,
    deal_id: UUID,
    wish: Callable[[Deal], Subscribe | None],
    *,
    check_version: Callable[[int], None],
    caller: Caller,
    now: datetime,
) -> Deal:
    """Mark a deal won, with what an order has; refused while something is missing.

    `wish` makes the order of the deal, or None where the deal names no customer or plan. Raises `DealNotFound`,
    `DealIsClosed`, `DealIncomplete`, and what `order_subscription` does.
    """
    deal = await find_deal(db, caller, deal_id)
    check_version(deal.version)
    if deal.state not in OPEN:
        raise DealIsClosed(state=deal.state)
    wanted = wish(deal)
    if wanted is None:
        needed = {"deal.customer_id": deal.customer_id, "deal.product_id": deal.product_id}
        raise DealIncomplete(missing=[name for name, value in needed.items() if value is None])
    order, deal = await _order(db, wanted, deal.id, caller=caller, now=now)
    await _complete(db, order, deal, caller=caller, now=now)
    if order.missing:
        raise DealIncomplete(missing=order.missing)
    return deal


async def complete_orders(
    db: Session, *, caller: Caller, now: datetime, customer_id: UUID | None = None, partner_id: UUID | None = None
) -> int:
    """Win the deals of kept orders that are complete by now; how many were. For whoever completed something.

    The customer's row is locked before its order, as when it was ordered.
    """
    await act_as(db, "platform", caller.actor)
    won = 0
    for order_id, of_customer in await waiting_orders(db, customer_id=customer_id, partner_id=partner_id):
        await lock_customer(db, of_customer)
        order = await lock_waiting(db, order_id)
        if order is None:  # somebody else has completed or cancelled it meanwhile
            continue
        deal = await db.get(Deal, order.deal_id, with_for_update=True, populate_existing=True)
        if deal is not None and deal.state in OPEN:
            won += await _complete(db, order, deal, caller=caller, now=now)
    return won


# -- the order --------------------------------------------------------------------------------------------


async def _order(
    db: Session, wish: Subscribe, deal_id: UUID | None, *, caller: Caller, now: datetime
) -> tuple[Any, Deal]:
    customer = await lock_customer(db, wish.customer_id, field="customer_id")
    if await subscription_of(db, customer.id):
        raise AlreadySubscribed(field="customer_id")
    for order_id, _ in await waiting_orders(db, customer_id=customer.id):
        raise AlreadyOrdered(field="customer_id", order_id=order_id)
    product, terms = await offered(db, wish.product_id, kind=Kind.SUBSCRIPTION, term_months=wish.term_months)
    if wish.conditions_version != product.conditions_version:
        raise ConditionsNotAgreed(field="conditions_version", current=product.conditions_version)
    if wish.invoicing is not None:
        changes = {"invoicing": wish.invoicing}
        await change_customer(db, customer.id, changes, check_version=lambda _: None, caller=caller, now=now)
    at = await time_of_customer(db, customer.id, now)
    placed = NewOrder(wish.customer_id, wish.product_id, wish.conditions_version, wish.term_months, None, wish.remarks)
    order = new_order(placed, Kind.SUBSCRIPTION, terms, customer.partner_id, caller=caller, at=at)
    await db.flush()
    await act_as(db, "platform", caller.actor)
    await one_registration_at_a_time(db)
    deal = await _deal_of(db, customer, deal_id, caller=caller, at=at)
    deal.customer_id, deal.product_id, deal.term_months = customer.id, product.id, terms.term_months
    deal.monthly_value, deal.currency = terms.monthly_fee, terms.currency
    order.deal_id = deal.id
    db.add(order)
    await db.flush()
    await announce_placed(db, order, caller=caller, at=at)
    return order, deal


async def _deal_of(db: Session, customer: Any, deal_id: UUID | None, *, caller: Caller, at: datetime) -> Deal:
    """The deal that the order wins: the one named, the open one of the customer's partner, or a new one."""
    if deal_id is None:
        found = (m.deal for m in await _exact(db, company_of(customer)) if m.deal.partner_id == customer.partner_id)
        deal_id = next((deal.id for deal in found), None)
    if deal_id is not None:
        deal = await db.get(Deal, deal_id, with_for_update=True, populate_existing=True)
        if deal is None or deal.state not in OPEN:
            raise DealIsClosed(state=deal.state if deal else None)
        return deal
    partner_id = customer.partner_id
    agreed = await agreement_of(db, partner_id) if partner_id else None
    deal = Deal(
        version=1,
        partner_id=partner_id,
        # Nobody has to confirm what the customer itself orders.
        state=State.CONFIRMED,
        confirm_by=at,
        confirmed_at=at,
        invoicer=agreed.invoicer if agreed else "platform",
        commission_bp=agreed.commission_bp if agreed else 0,
        commission_months=agreed.commission_months if agreed else None,
        currency="EUR",
        steps=[],
        created_at=at,
    )
    name_company(deal, company_of(customer))
    deal.contact = Contact(name=customer.name)
    told(deal, "made_by_order", caller, at)
    db.add(deal)
    await db.flush()
    announce_registered(db, deal, at)
    return deal


async def _exact(db: Session, company: Company, *, but: UUID | None = None) -> list[Any]:
    return [m for m in await open_matches(db, company, but=but) if m.by is not Matched.NAME]


def company_of(customer: Any) -> Company:
    """A customer as deals compare it; its mail's domain counts where it is its own."""
    invoicing = customer.invoicing
    try:
        own_domain = domain(invoicing.invoice_email or "")
    except ValueError:
        own_domain = None
    try:
        number = registration_number(invoicing.registration_number or "")
    except ValueError:
        number = None
    return Company(customer.name, invoicing.address.country or "NL", number, own_domain, customer.id)


# -- complete or kept -------------------------------------------------------------------------------------


async def _complete(db: Session, order: Any, deal: Deal, *, caller: Caller, now: datetime) -> bool:
    """Win the deal where nothing is missing, else keep the order; everything is locked."""
    customer = await customer_of(db, order.customer_id)
    partner = await partner_of(db, customer.partner_id) if customer.partner_id else None
    at = await time_of_customer(db, customer.id, now)
    missing = [f"customer.invoicing.{name}" for name in customer.invoicing.missing()]
    if partner is not None:
        missing += [f"partner.invoicing.{name}" for name in partner.invoicing.missing()]
    if missing != order.missing:
        order.missing = missing
        order.version += 1
    if missing:
        await hold_trial(db, customer.id, True, actor=caller.actor, now=at)
        await open_items(db, _items(order, customer), now=at)
        return False
    await _win(db, order, deal, customer, partner, caller=caller, at=at)
    return True


def _lists(order: Any) -> list[str]:
    """Whose matter it is that an order is incomplete."""
    return ["partner" if order.partner_id else "customer", "platform"]


def _items(order: Any, customer: Any) -> list[Item]:
    return [
        Item(
            kind="order_incomplete",
            key=f"order/{order.id}/incomplete",
            subject=customer.name,
            next_action="complete_invoicing_details",
            partner_id=order.partner_id,
            customer_id=customer.id,
            audience=audience,
            detail={"missing": order.missing},
        )
        for audience in _lists(order)
    ]


async def _win(
    db: Session, order: Any, deal: Deal, customer: Any, partner: Any, *, caller: Caller, at: datetime
) -> None:
    product = await product_of(db, order.product_id)
    from_trial = customer.status == Status.TRIAL
    contract = await start_contract(
        db,
        NewContract(
            product=product,
            terms=order.terms,
            customer_id=customer.id,
            partner_id=customer.partner_id,
            starts_on=local_day(at, customer.time_zone),
            time_zone=customer.time_zone,
            invoicer=deal.invoicer if partner else "platform",
            deal_id=deal.id,
            order_id=order.id,
        ),
        actor=caller.actor,
        now=at,
    )
    renews_on = contract.term_ends_on + timedelta(days=1) if contract.term_ends_on else None
    await start_subscription(
        db,
        customer.id,
        contract_id=contract.id,
        starts_on=contract.starts_on,
        renews_on=renews_on,
        renewal_months=order.terms.renewal_months,
        actor=caller.actor,
        now=at,
    )
    finish(order, contract.id, contract.starts_on, caller=caller, at=at)
    deal.state = State.WON
    deal.contract_id = contract.id
    deal.closed_at = at
    deal.notice_at = None
    deal.version += 1
    told(deal, "won", caller, at, ordered_by=order.ordered_by, contract_id=str(contract.id))
    commission = None
    if partner is not None and deal.commission_bp:
        commission = Commission(rate_bp=deal.commission_bp, months=deal.commission_months)
    outbox.add(
        db,
        DealWon(
            deal_id=deal.id,
            version=deal.version,
            at=at,
            customer_id=customer.id,
            partner_id=customer.partner_id,
            contract=announced_terms(contract),
            invoicer=contract.invoicer,
            commission=commission,
            customer=customer.invoicing.announced(),
            partner=partner.invoicing.announced() if partner else None,
            ordered_by=order.ordered_by,
        ),
        SubscriptionStarted(
            contract_id=contract.id,
            version=contract.version,
            at=at,
            customer_id=customer.id,
            partner_id=customer.partner_id,
            deal_id=deal.id,
            starts_on=contract.starts_on,
            term_ends_on=contract.term_ends_on,
            from_trial=from_trial,
        ),
    )
    others = [m.deal.id for m in await _exact(db, company_of(customer), but=deal.id)]
    query = select(Deal).where(Deal.id.in_(others), Deal.state.in_(OPEN)).order_by(Deal.id).with_for_update()
    for other in (await db.scalars(query.execution_options(populate_existing=True))).all():
        await lost(db, other, Reason.ORDERED_ELSEWHERE, caller, at)
    await settle_items(db, deal, caller.actor, at)
    done = [Resolution(f"order/{order.id}/incomplete", audience) for audience in _lists(order)]
    await resolve_items(db, done, by=caller.actor, now=at)
    await mail.send_many(db, await _letters(db, order, deal, contract, customer, partner, caller))
    detail = {"contract": str(contract.id), "others_lost": len(others)}
    await audit.record(db, caller.actor, "deal.won", subject=f"deal/{deal.id}", detail=detail)


async def _letters(
    db: Session, order: Any, deal: Deal, contract: Any, customer: Any, partner: Any, caller: Caller
) -> Sequence[mail.Mail]:
    """The confirmation to the platform's person, the partner's admins and the customer's."""
    terms = order.terms
    agreed = words.Agreed(
        customer=customer.name,
        plan=contract.label,
        starts_on=contract.starts_on,
        term_months=terms.term_months,
        notice_months=terms.notice_months,
        notice_days=terms.notice_days,
        monthly_fee=terms.monthly_fee,
        once=sum(cost.amount for cost in terms.one_off),
        currency=terms.currency,
        invoicer=partner.name if partner and contract.invoicer == "partner" else "Tandem",
        conditions=order.conditions_version,
        contract=str(contract.id),
    )
    brand = partner.name if partner and partner.kind == "whitelabel" else "Tandem"
    responsible = (partner.responsible_email if partner else None) or db.info[SETTINGS].platform_admin_email
    theirs = (await emails_of(db, Role.CUSTOMER_ADMIN, [customer.id])).get(customer.id, [])
    if side(caller) == "customer" and caller.email:
        theirs = [*theirs, caller.email]
    to = {address: ("en", "Tandem") for address in [responsible] if address}
    if partner is not None:
        admins = (await emails_of(db, Role.PARTNER_ADMIN, [partner.id])).get(partner.id, [])
        to |= dict.fromkeys(admins, (partner.language, brand))
    to |= dict.fromkeys(theirs or [customer.invoicing.invoice_email], (customer.language, brand))
    letters = {how: words.won(how[0], agreed, signed_by=how[1]) for how in set(to.values())}
    return [
        mail.Mail(address, letters[how].subject, letters[how].text, f"deal/{deal.id}", "deal.won")
        for address, how in to.items()
    ]
