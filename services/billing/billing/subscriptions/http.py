"""Schedules of contracts over HTTP: what is invoiced, until when, and what is missing for it."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from billing.subscriptions import usecases
from billing.subscriptions.usecases import Schedule, ScheduleNotFound
from kit.auth import Caller, Role, needs
from kit.http import Db, Items, Page, Router, page, problems
from schemas.deal import ContractTerms
from schemas.values import Money

router = Router(prefix="/v1/schedules", tags=["invoices"])

READERS = needs(Role.ADMIN, Role.FINANCE, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN, Role.HR)


class ScheduleOut(BaseModel):
    """How a contract is invoiced, as it now is."""

    contract_id: UUID
    customer_id: UUID
    partner_id: UUID | None
    deal_id: UUID | None
    state: str = Field(description="`running` or `ended`.")
    label: str
    starts_on: date = Field(description="Billing months are anchored on it.")
    monthly_fee: Money
    invoicer: str = Field(description="`platform`, or `partner`: then the platform invoices the partner.")
    last_day: date | None = Field(description="The last day of service, as far as it is agreed.")
    due_at: datetime | None = Field(description="When the next month is invoiced; null: nothing more by the clock.")
    missing: list[str] = Field(description="Invoicing details without which nothing is issued.")


def _out(row: Schedule) -> ScheduleOut:
    terms = ContractTerms.model_validate(row.terms)
    fields = {name: getattr(row, name) for name in ScheduleOut.model_fields if hasattr(row, name)}
    more = {"label": terms.label, "starts_on": terms.starts_on, "monthly_fee": terms.monthly_fee}
    return ScheduleOut(**fields | more)


@router.get("", dependencies=[READERS])
async def get_schedules(
    db: Db,
    caller: Caller,
    window: Page,
    customer_id: UUID | None = None,
    partner_id: Annotated[UUID | None, Query(description="For staff.")] = None,
) -> Items[ScheduleOut]:
    """The contracts that are invoiced."""
    query = usecases.schedules(caller, customer_id, partner_id)
    return await page(db, query, [Schedule.contract_id.desc()], window, _out)


@router.get("/{contract_id}", dependencies=[READERS], responses=problems(ScheduleNotFound))
async def get_schedule(contract_id: UUID, db: Db) -> ScheduleOut:
    """One contract's schedule."""
    return _out(await usecases.find_schedule(db, contract_id))
