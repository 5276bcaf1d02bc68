"""A partner's commission follows what is paid and kept of its customers' invoices, entry by entry."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from billing.commissions.rows import CommissionRow as CommissionRow
from billing.invoices.rules import share
from billing.wallets.usecases import is_partner
from kit import outbox
from kit.auth import Principal
from kit.db import Session, uuid7
from kit.problems import Refused
from schemas.commission import CommissionAccrued
from schemas.values import Money


class StatementNotFound(Refused):
    """No partner of yours with this id."""

    status = 404


@dataclass(frozen=True, slots=True)
class Earned:
    """How an invoice stands, as far as its partner earns by it. The caller holds the invoice's lock."""

    partner_id: UUID
    customer_id: UUID
    deal_id: UUID
    contract_id: UUID
    invoice_id: UUID
    invoice_number: str
    currency: str
    rate_bp: int
    kept: int
    """The net part that is paid and not credited."""


async def book(db: Session, earned: Earned, cause_id: UUID, kind: str, on: date, now: datetime) -> None:
    """Enter the difference to what was accrued by this invoice before; none, no entry.

    The entries of an invoice add up to one rounded share, whatever payments and credit notes it had.
    """
    of_invoice = select(func.coalesce(func.sum(CommissionRow.amount), 0), func.count()).where(
        CommissionRow.invoice_id == earned.invoice_id
    )
    before, entries = (await db.execute(of_invoice)).one()
    amount = share(earned.kept, earned.rate_bp) - before
    if not amount:
        return
    entry = CommissionRow(
        id=uuid7(),
        partner_id=earned.partner_id,
        customer_id=earned.customer_id,
        deal_id=earned.deal_id,
        contract_id=earned.contract_id,
        invoice_id=earned.invoice_id,
        invoice_number=earned.invoice_number,
        cause_id=cause_id,
        kind=kind,
        amount=amount,
        currency=earned.currency,
        rate_bp=earned.rate_bp,
        booked_on=on,
        at=now,
    )
    db.add(entry)
    await db.flush()
    fields = {name: getattr(entry, name) for name in CommissionAccrued.model_fields if hasattr(entry, name)}
    money = Money(amount=amount, currency=earned.currency)
    outbox.add(db, CommissionAccrued(**fields | {"commission_id": entry.id, "version": entries + 1, "amount": money}))


def entries(caller: Principal, partner_id: UUID | None) -> Select[Any]:
    """The entries that the caller may see."""
    query = select(CommissionRow).where(caller.own_rows(partner=CommissionRow.partner_id))
    return query if partner_id is None else query.where(CommissionRow.partner_id == partner_id)


@dataclass(frozen=True, slots=True)
class Statement:
    """A month of a partner's commission: its entries and, for each currency, their sum."""

    entries: Sequence[CommissionRow]
    totals: dict[str, int]


async def statement(db: Session, partner_id: UUID, year: int, month: int) -> Statement:
    """What a partner earned in a month, by the day it was paid or credited. Raises StatementNotFound."""
    if not await is_partner(db, partner_id):
        raise StatementNotFound(partner_id)
    first, last = date(year, month, 1), date(year, month, monthrange(year, month)[1])
    query = select(CommissionRow).where(
        CommissionRow.partner_id == partner_id, CommissionRow.booked_on.between(first, last)
    )
    found = list(await db.scalars(query.order_by(CommissionRow.booked_on, CommissionRow.id)))
    totals: dict[str, int] = {}
    for entry in found:
        totals[entry.currency] = totals.get(entry.currency, 0) + entry.amount
    return Statement(found, totals)
