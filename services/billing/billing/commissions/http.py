"""Commissions over HTTP: each partner sees its own, and where each cent comes from."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from billing.commissions import usecases
from billing.commissions.usecases import CommissionRow, StatementNotFound
from kit import clock
from kit.auth import Caller, Role, needs
from kit.http import Db, Items, Page, Router, page, problems
from schemas.values import Money

router = Router(prefix="/v1/commissions", tags=["commissions"])

READERS = needs(Role.ADMIN, Role.FINANCE, Role.PARTNER_ADMIN)


class EntryOut(BaseModel):
    """One entry: by what a commission changed."""

    commission_id: UUID
    partner_id: UUID
    customer_id: UUID
    deal_id: UUID
    contract_id: UUID
    invoice_id: UUID
    invoice_number: str
    kind: str = Field(description="`payment`, or `credit`: clawed back by a credit note.")
    cause_id: UUID = Field(description="The payment, or the credit note.")
    amount: Money
    rate_bp: int
    booked_on: date


class StatementOut(BaseModel):
    """A partner's commission of one month. The entries add up to the totals."""

    partner_id: UUID
    month: str
    totals: list[Money] = Field(description="One for each currency.")
    entries: list[EntryOut]


def _out(row: CommissionRow) -> EntryOut:
    fields = {name: getattr(row, name) for name in EntryOut.model_fields if hasattr(row, name)}
    return EntryOut(**fields | {"commission_id": row.id, "amount": Money(amount=row.amount, currency=row.currency)})


@router.get("", dependencies=[READERS])
async def get_entries(
    db: Db, caller: Caller, window: Page, partner_id: Annotated[UUID | None, Query(description="For staff.")] = None
) -> Items[EntryOut]:
    """All entries, the newest first."""
    return await page(db, usecases.entries(caller, partner_id), [CommissionRow.id.desc()], window, _out)


@router.get("/statements/{partner_id}", dependencies=[READERS], responses=problems(StatementNotFound))
async def get_statement(
    partner_id: UUID,
    db: Db,
    month: Annotated[
        str | None,
        Query(pattern=r"^2[0-9]{3}-(0[1-9]|1[0-2])$", description="Left out: this month.", examples=["2027-04"]),
    ] = None,
) -> StatementOut:
    """What a partner earned in a month, by the day it was paid or credited (BIL-9)."""
    month = month or f"{clock.now():%Y-%m}"
    found = await usecases.statement(db, partner_id, int(month[:4]), int(month[5:]))
    totals = [Money(amount=amount, currency=currency) for currency, amount in sorted(found.totals.items())]
    return StatementOut(partner_id=partner_id, month=month, totals=totals, entries=[_out(e) for e in found.entries])
