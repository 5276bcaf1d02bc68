"""Offering services, starting contracts and ending them; what a contract's facts carry."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, false, select, text, true

from contracts.services.rows import ContractNumbers, ServiceContract, ServiceProduct
from contracts.services.rules import Kind, State, Terms, term_end
from contracts.terminations.rules import end_of_day, local_day
from kit import audit, outbox, testclock
from kit.auth import Caller
from kit.db import Session
from kit.problems import Refused
from schemas.deal import ContractTerms, OneOffCost, SubscriptionEnded
from schemas.values import Money


class ProductNotFound(Refused):
    """No such service."""

    status = 404


class ProductCodeTaken(Refused):
    """Another service has this code."""


class ProductWithdrawn(Refused):
    """This service can no longer be ordered."""

    remedy = "Choose one that is offered."


class ContractNotFound(Refused):
    """No such service contract."""

    status = 404


class TermNotOffered(Refused):
    """The service is not offered for this term."""

    status = 422


@dataclass(frozen=True, slots=True)
class NewProduct:
    """What is known of a service when it is first offered."""

    code: str
    kind: Kind
    label: str
    terms: Terms
    term_options: Sequence[int]
    conditions_version: str
    conditions_url: str | None


@dataclass(frozen=True, slots=True)
class NewContract:
    """What a contract starts from. Either the deal or the order that made it is named."""

    product: ServiceProduct
    terms: Terms
    customer_id: UUID
    partner_id: UUID | None
    starts_on: date
    time_zone: str
    invoicer: str = "platform"
    deal_id: UUID | None = None
    order_id: UUID | None = None


# -- what is offered --------------------------------------------------------------------------------------


def products() -> Select[ServiceProduct]:
    """Every service that is or was offered; they are no tenant's, and everybody may see them."""
    return select(ServiceProduct)


async def product_of(db: Session, product_id: UUID) -> ServiceProduct:
    """A service. Raises `ProductNotFound`."""
    product = await db.get(ServiceProduct, product_id)
    if product is None:
        raise ProductNotFound(product_id)
    return product


async def offered(
    db: Session, product_id: UUID, *, kind: Kind, term_months: int | None = None, field: str = "product_id"
) -> tuple[ServiceProduct, Terms]:
    """A service that can be ordered now, and its terms with the wished first term.

    Raises `ProductNotFound`, `ProductWithdrawn`, `TermNotOffered`.
    """
    product = await db.get(ServiceProduct, product_id, with_for_update={"read": True, "key_share": True})
    if product is None or product.kind != kind:
        raise ProductNotFound(product_id, field=field)
    if product.status != "offered":
        raise ProductWithdrawn(product_id, field=field)
    terms = product.terms
    if term_months is None or term_months == terms.term_months:
        return product, terms
    if term_months not in product.term_options:
        options = sorted({*product.term_options, *([terms.term_months] if terms.term_months else [])})
        raise TermNotOffered(f"{term_months} months", field="term_months", offered=options)
    return product, terms.model_copy(update={"term_months": term_months})


async def offer_product(db: Session, wish: NewProduct, *, actor: str, now: datetime) -> ServiceProduct:
    """Offer a new service. Raises `ProductCodeTaken`."""
    await db.execute(text("select pg_advisory_xact_lock(hashtextextended('service_products.code', 0))"))
    if await db.scalar(select(ServiceProduct.id).where(ServiceProduct.code == wish.code)):
        raise ProductCodeTaken(wish.code, field="code")
    product = ServiceProduct(
        version=1,
        code=wish.code,
        kind=wish.kind,
        label=wish.label,
        status="offered",
        term_options=list(wish.term_options),
        conditions_version=wish.conditions_version,
        conditions_url=wish.conditions_url,
        created_at=now,
    )
    product.terms = wish.terms
    db.add(product)
    await db.flush()
    await _record(db, product, "service_product.offered", actor)
    return product


async def change_product(
    db: Session,
    product_id: UUID,
    changes: Mapping[str, Any],
    *,
    check_version: Callable[[int], None],
    actor: str,
) -> ServiceProduct:
    """Change what is offered from now on; running contracts keep their terms. Raises `ProductNotFound`."""
    product = await db.get(ServiceProduct, product_id, with_for_update=True)
    if product is None:
        raise ProductNotFound(product_id)
    check_version(product.version)
    if all(getattr(product, name) == value for name, value in changes.items()):
        return product
    for name, value in changes.items():
        setattr(product, name, value)
    product.version += 1
    await _record(db, product, "service_product.changed", actor)
    return product


async def _record(db: Session, product: ServiceProduct, action: str, actor: str) -> None:
    detail = {"version": product.version, "code": product.code, "status": product.status, "terms": product.terms_stored}
    await audit.record(db, actor, action, subject=f"service_product/{product.id}", detail=detail)


# -- what runs --------------------------------------------------------------------------------------------


def seen_by(caller: Caller) -> Select[ServiceContract]:
    """The contracts a caller may see: staff all, a partner its customers', a customer its own."""
    return select(ServiceContract).where(_visible(caller))


def _visible(caller: Caller) -> ColumnElement[bool]:
    if caller.is_platform:
        return true()
    if caller.tenant_kind == "partner":
        return ServiceContract.partner_id == caller.tenant_id
    return ServiceContract.customer_id == caller.tenant_id if caller.tenant_kind == "customer" else false()


async def find_contract(db: Session, caller: Caller, contract_id: UUID) -> ServiceContract:
    """The contract, if the caller may see it. Raises `ContractNotFound`."""
    contract = await db.scalar(seen_by(caller).where(ServiceContract.id == contract_id))
    if contract is None:
        raise ContractNotFound(contract_id)
    return contract


async def invoicer_of(db: Session, customer_id: UUID) -> str:
    """Who invoices the customer's services: whoever invoices its subscription, else the platform."""
    subscribed = select(ServiceContract.invoicer).where(
        ServiceContract.customer_id == customer_id,
        ServiceContract.kind == Kind.SUBSCRIPTION,
        ServiceContract.state == State.ACTIVE,
    )
    return await db.scalar(subscribed) or "platform"


async def subscription_of(db: Session, customer_id: UUID) -> UUID | None:
    """The customer's running subscription."""
    running = select(ServiceContract.id).where(
        ServiceContract.customer_id == customer_id,
        ServiceContract.kind == Kind.SUBSCRIPTION,
        ServiceContract.state == State.ACTIVE,
    )
    return await db.scalar(running)


async def lock_contracts(db: Session, contract_ids: Sequence[UUID]) -> dict[UUID, ServiceContract]:
    """Contracts within the transaction's reach, locked in the order of their ids; those not found are left out."""
    query = select(ServiceContract).where(ServiceContract.id.in_(contract_ids)).order_by(ServiceContract.id)
    found = await db.scalars(query.with_for_update().execution_options(populate_existing=True))
    return {contract.id: contract for contract in found}


async def start_contract(db: Session, new: NewContract, *, actor: str, now: datetime) -> ServiceContract:
    """Start a contract. Announcing it is its maker's: `deal.won` or `service.activated`."""
    terms = new.terms
    term_ends_on = term_end(new.starts_on, terms.term_months, terms.renewal_months, new.starts_on)
    contract = ServiceContract(
        version=1,
        customer_id=new.customer_id,
        partner_id=new.partner_id,
        kind=new.product.kind,
        state=State.ACTIVE,
        product_id=new.product.id,
        product_code=new.product.code,
        label=new.product.label,
        terms_stored=terms.model_dump(mode="json"),
        currency=terms.currency,
        monthly_fee=terms.monthly_fee,
        one_off_open=sum(cost.amount for cost in terms.one_off),
        starts_on=new.starts_on,
        anchor_day=new.starts_on.day,
        term_ends_on=term_ends_on,
        renews_at=end_of_day(term_ends_on, new.time_zone) if term_ends_on else None,
        time_zone=new.time_zone,
        invoicer=new.invoicer,
        deal_id=new.deal_id,
        order_id=new.order_id,
        created_at=now,
    )
    db.add(contract)
    await db.flush()
    detail = {"product": contract.product_code, "starts_on": str(contract.starts_on), "fee": contract.monthly_fee}
    await audit.record(db, actor, "contract.started", subject=f"contract/{contract.id}", detail=detail)
    return contract


def announced_terms(contract: ServiceContract) -> ContractTerms:
    """A contract's terms as its facts carry them."""
    terms = contract.terms
    return ContractTerms(
        contract_id=contract.id,
        product_id=contract.product_id,
        product_code=contract.product_code,
        label=contract.label,
        starts_on=contract.starts_on,
        term_months=terms.term_months,
        renewal_months=terms.renewal_months,
        notice_months=terms.notice_months,
        notice_days=terms.notice_days,
        monthly_fee=Money(amount=terms.monthly_fee, currency=terms.currency),
        one_off=[
            OneOffCost(label=cost.label, cost=Money(amount=cost.amount, currency=terms.currency))
            for cost in terms.one_off
        ],
        time_zone=contract.time_zone,
    )


async def renew_terms(db: Session, now: datetime) -> int:
    """Begin the next term of contracts whose term is over and that nobody ended; at most 1,000; a job's body.

    Returns how many. A term that begins says so on the contract alone: the fee is the same, day by day.
    """
    time = testclock.time(db, now, partner=ServiceContract.partner_id, customer=ServiceContract.customer_id)
    over = (
        select(ServiceContract, time)
        .where(
            ServiceContract.state == State.ACTIVE,
            ServiceContract.last_day.is_(None),
            testclock.due(
                db,
                ServiceContract.renews_at,
                now,
                partner=ServiceContract.partner_id,
                customer=ServiceContract.customer_id,
            ),
        )
        .order_by(ServiceContract.id)
        .limit(1000)
        .with_for_update(of=ServiceContract, skip_locked=True)
    )
    renewed = (await db.execute(over)).all()
    for contract, at in renewed:
        terms, today = contract.terms, local_day(at, contract.time_zone)
        contract.term_ends_on = term_end(contract.starts_on, terms.term_months, terms.renewal_months, today)
        contract.renews_at = end_of_day(contract.term_ends_on, contract.time_zone) if contract.term_ends_on else None
        contract.version += 1
        detail = {"term_ends_on": str(contract.term_ends_on) if contract.term_ends_on else None}
        await audit.record(db, "system:clock", "contract.renewed", subject=f"contract/{contract.id}", detail=detail)
    return len(renewed)


async def set_last_day(db: Session, contract: ServiceContract, last_day: date | None, *, actor: str) -> None:
    """Fix the last day of a locked contract, or lift it; the termination that decides it announces it."""
    if contract.last_day != last_day:
        contract.last_day = last_day
        contract.version += 1
        detail = {"last_day": str(last_day) if last_day else None}
        await audit.record(db, actor, "contract.last_day_set", subject=f"contract/{contract.id}", detail=detail)


_COUNT_ONE_OFF = text(
    """
    update service_contracts c set one_off_open = greatest(0, agreed.amount - i.invoiced)
    from unnest(cast(:ids as uuid[]), cast(:invoiced as bigint[])) as i (id, invoiced),
        lateral (
            select coalesce(sum(cast(cost ->> 'amount' as bigint)), 0) as amount
            from service_contracts s, jsonb_array_elements(s.terms -> 'one_off') as cost where s.id = i.id) as agreed
    where c.id = i.id
    """
)


async def count_one_off(db: Session, invoiced: Mapping[UUID, int]) -> None:
    """Take what is invoiced, in all, of the costs that come once off what is open of them."""
    await db.execute(_COUNT_ONE_OFF, {"ids": list(invoiced), "invoiced": list(invoiced.values())})


_END = text(
    """
    with over as (
        select * from unnest(cast(:ids as uuid[]), cast(:days as date[]), cast(:ats as timestamptz[]))
            as o (id, last_day, at)),
    ended as (
        update service_contracts c set state = 'ended', last_day = over.last_day, version = c.version + 1,
            term_ends_on = null, renews_at = null
        from over where c.id = over.id and c.state = 'active'
        returning c.id, c.version, c.kind, c.customer_id, c.partner_id, over.last_day, over.at),
    numbers as (
        update contract_numbers n set until = greatest(n.since, ended.last_day)
        from ended where n.contract_id = ended.id and n.until is null),
    audited as (
        insert into audit (actor, action, subject, detail)
        select :actor, 'contract.ended', 'contract/' || id, jsonb_build_object('last_day', last_day) from ended)
    select * from ended where kind = 'subscription' order by id
    """
)


async def end_contracts(db: Session, over: Mapping[UUID, tuple[date, datetime]], *, actor: str) -> None:
    """End contracts after their last days, at their tenants' times; their numbers stop with them.

    One statement however many; those that ended already stay as they are. Announces `subscription.ended` for
    subscriptions; `contract.terminated` is the termination's.
    """
    if not over:
        return
    days, ats = [day for day, _ in over.values()], [at for _, at in over.values()]
    for ended in await db.execute(_END, {"ids": list(over), "days": days, "ats": ats, "actor": actor}):
        outbox.add(
            db,
            SubscriptionEnded(
                contract_id=ended.id,
                version=ended.version,
                at=ended.at,
                customer_id=ended.customer_id,
                partner_id=ended.partner_id,
                last_day=ended.last_day,
            ),
        )


# -- numbers that ring on a service -----------------------------------------------------------------------


async def numbers_ring(db: Session, first: int, last: int, *, contract_id: UUID | None = None) -> int:
    """How many numbers of a range ring on a service now: on this one, or on any that the transaction can see."""
    ringing = text(
        "select coalesce(sum(least(last, :last) - greatest(first, :first) + 1), 0) from contract_numbers"
        " where until is null and first <= :last and last >= :first"
        " and (cast(:contract_id as uuid) is null or contract_id = :contract_id)"
    )
    return int(await db.scalar(ringing, {"first": first, "last": last, "contract_id": contract_id}))


async def add_numbers(db: Session, contract_id: UUID, first: int, last: int, since: date) -> None:
    """Let numbers ring on a service; the database refuses one that rings elsewhere."""
    contract = (await lock_contracts(db, [contract_id]))[contract_id]
    db.add(
        ContractNumbers(
            contract_id=contract.id,
            customer_id=contract.customer_id,
            partner_id=contract.partner_id,
            first=first,
            last=last,
            since=since,
        )
    )


async def remove_numbers(db: Session, contract_id: UUID, first: int, last: int, until: date) -> bool:
    """Numbers ring on a service until that day; what else was in their ranges goes on. False where one did not."""
    await lock_contracts(db, [contract_id])
    touched = select(ContractNumbers).where(
        ContractNumbers.contract_id == contract_id,
        ContractNumbers.until.is_(None),
        ContractNumbers.first <= last,
        ContractNumbers.last >= first,
    )
    found, gone = (await db.scalars(touched)).all(), 0
    for held in found:
        held.until = until
        gone += min(held.last, last) - max(held.first, first) + 1
    await db.flush()
    for held in found:
        for start, end in ((held.first, first - 1), (last + 1, held.last)):
            if start <= end:
                db.add(
                    ContractNumbers(
                        contract_id=contract_id,
                        customer_id=held.customer_id,
                        partner_id=held.partner_id,
                        first=max(start, held.first),
                        last=min(end, held.last),
                        since=held.since,
                    )
                )
    return gone == last - first + 1


async def numbers_of(db: Session, contract_id: UUID) -> Sequence[ContractNumbers]:
    """The numbers that ring on a service now."""
    ringing = select(ContractNumbers).where(ContractNumbers.contract_id == contract_id, ContractNumbers.until.is_(None))
    return (await db.scalars(ringing.order_by(ContractNumbers.first))).all()
