"""Instructions over HTTP: each side sees those it has a part in, and of them the invoices it is a side of."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from billing.instructions.usecases import (
    InstructionNotFound,
    InstructionRow,
    find_instruction,
    instructions,
)
from kit.auth import Caller, Principal, Role, needs
from kit.http import Db, Items, Page, Router, page, problems
from schemas.invoice import InstructedInvoice

router = Router(prefix="/v1/instructions", tags=["invoicing"])

READERS = needs(Role.ADMIN, Role.FINANCE, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN, Role.HR, Role.SUPPLIER_USER)


class InstructionOut(BaseModel):
    """How an enrollment is invoiced, as it now is."""

    enrollment_id: UUID
    state: str = Field(
        description="`new` (waits for a customer or supplier), `instructed`, `refused`, `withdrawn`,"
        " `reduced` (cancelled, a part is kept) or `closed` (ended before anything was instructed)."
    )
    revision: int = Field(description="Counts up with every change; 0: nothing was instructed.")
    route: str | None
    reference: str | None = Field(description="ISO 11649; stands on every document.")
    customer_id: UUID | None
    supplier_id: UUID | None
    invoices: list[InstructedInvoice]
    reason: str | None
    missing: list[str]
    decided_at: datetime


def _out(row: InstructionRow, caller: Principal) -> InstructionOut:
    return InstructionOut(
        enrollment_id=row.enrollment_id,
        state=row.state,
        revision=row.revision,
        route=row.route,
        reference=row.reference,
        customer_id=row.customer_id,
        supplier_id=row.supplier_id,
        invoices=[InstructedInvoice.model_validate(i) for i in row.invoices if _concerns(i, row, caller)],
        reason=row.reason,
        missing=row.missing,
        decided_at=row.decided_at,
    )


def _concerns(invoice: dict[str, Any], row: InstructionRow, caller: Principal) -> bool:
    """What others bill each other is their business: a partner sees what its customer sees."""
    if caller.is_platform:
        return True
    tenant_id = row.customer_id if caller.tenant_kind == "partner" else caller.tenant_id
    return str(tenant_id) in (invoice["seller"]["id"], invoice["buyer"]["id"])


@router.get("", dependencies=[READERS])
async def get_instructions(
    db: Db,
    caller: Caller,
    window: Page,
    state: Literal["new", "instructed", "refused", "withdrawn", "reduced", "closed"] | None = None,
    customer_id: UUID | None = None,
) -> Items[InstructionOut]:
    """The instructions you have a part in, newest enrollment first."""
    query = instructions(caller, state, customer_id)
    order = [query.selected_columns.enrollment_id.desc()]
    return await page(db, query, order, window, lambda row: _out(row, caller))


@router.get("/{enrollment_id}", dependencies=[READERS], responses=problems(InstructionNotFound))
async def get_instruction(enrollment_id: UUID, db: Db, caller: Caller) -> InstructionOut:
    """One enrollment's instruction."""
    return _out(await find_instruction(db, enrollment_id), caller)
