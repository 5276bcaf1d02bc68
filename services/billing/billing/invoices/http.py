"""Issued invoices over HTTP: staff record payments and credit; each buyer reads its own, a partner its customers'."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from billing.invoices import usecases
from billing.invoices.usecases import (
    InvoiceNotFound,
    InvoiceRow,
    NotPayable,
    OtherCurrency,
    Payment,
    PaymentRow,
    TooMuch,
    TooMuchCredited,
)
from kit import clock
from kit.auth import Caller, Role, needs
from kit.db import uuid7
from kit.http import Db, Items, Once, Page, Router, etag, page, problems
from schemas.values import Money

router = Router(prefix="/v1/invoices", tags=["invoices"])

STAFF = needs(Role.ADMIN, Role.FINANCE)
READERS = needs(Role.ADMIN, Role.FINANCE, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN, Role.HR)

AMOUNT_MAX = 10**12


class Body(BaseModel):
    """A request's body; a field it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


class AmountIn(Body):
    """A sum in the minor unit of its currency."""

    amount: int = Field(strict=True, gt=0, le=AMOUNT_MAX, examples=[30129])
    currency: str = Field(pattern=r"^[A-Z]{3}$", examples=["EUR"])


class PaymentIn(Body):
    """Money that came in."""

    amount: AmountIn
    paid_on: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 12, 31), examples=["2027-04-02"])]
    reference: Annotated[str, StringConstraints(strip_whitespace=True, max_length=140)] | None = Field(
        None, description="What the payer wrote.", examples=["RF02202700000118"]
    )


class CreditIn(Body):
    """What to take back."""

    net: int | None = Field(
        None,
        strict=True,
        gt=0,
        le=AMOUNT_MAX,
        description="Net of VAT, in minor units, before a partner's share; null: all that is left.",
    )


class LineOut(BaseModel):
    """One line; the lines add up to the net sum."""

    label: str
    net: Money


class PaymentOut(BaseModel):
    """Money that came in."""

    payment_id: UUID
    amount: Money
    paid_on: date
    reference: str | None


class InvoiceOut(BaseModel):
    """An invoice or credit note as issued, and what has come of it."""

    invoice_id: UUID
    kind: Literal["invoice", "credit_note"]
    number: str = Field(description="Without gaps for each issuer and year.")
    matter: str = Field(description="`fees`, `one_off` or `buyout`.")
    payer: Literal["customer", "partner"]
    customer_id: UUID
    partner_id: UUID | None
    contract_id: UUID | None
    deal_id: UUID | None
    termination_id: UUID | None
    credits_id: UUID | None = Field(description="The document that this one takes back, wholly or in part.")
    period_from: date | None
    period_to: date | None
    lines: list[LineOut]
    net: Money
    vat: Money
    vat_treatment: str
    vat_rate_bp: int
    gross: Money
    seller: dict[str, Any]
    buyer: dict[str, Any]
    reference: str = Field(description="ISO 11649; to be given with the payment.")
    reason: str | None
    issued_on: date
    due_on: date | None
    credited: Money = Field(description="Taken back by credit notes, VAT included.")
    paid: Money
    open: Money = Field(description="Below zero where more was paid than is owed.")
    settled_on: date | None = Field(description="The day nothing was open any more, by a payment.")
    issued_at: datetime


def _out(row: InvoiceRow) -> InvoiceOut:
    def money(amount: int) -> Money:
        return Money(amount=amount, currency=row.currency)

    fields = {name: getattr(row, name) for name in InvoiceOut.model_fields if hasattr(row, name)}
    sums = {name: money(getattr(row, name)) for name in ("net", "vat", "gross", "paid", "open")}
    lines = [LineOut(label=line["label"], net=money(line["net"])) for line in row.lines]
    credited = money(row.credited_net + row.credited_vat)
    return InvoiceOut(**fields | sums | {"invoice_id": row.id, "lines": lines, "credited": credited})


def _payment(row: PaymentRow) -> PaymentOut:
    amount = Money(amount=row.amount, currency=row.currency)
    return PaymentOut(payment_id=row.id, amount=amount, paid_on=row.paid_on, reference=row.reference)


@router.get("", dependencies=[READERS])
async def get_invoices(
    db: Db,
    caller: Caller,
    window: Page,
    customer_id: UUID | None = None,
    contract_id: UUID | None = None,
    kind: Literal["invoice", "credit_note"] | None = None,
    settled: Annotated[bool | None, Query(description="True: paid; false: not, or not wholly.")] = None,
) -> Items[InvoiceOut]:
    """The invoices and credit notes that concern you, the newest first."""
    asked = {"customer_id": customer_id, "contract_id": contract_id, "kind": kind}
    where = [getattr(InvoiceRow, name) == value for name, value in asked.items() if value is not None]
    if settled is not None:
        where.append(InvoiceRow.settled_on.is_not(None) == settled)
    query = usecases.invoices(caller, *where)
    return await page(db, query, [InvoiceRow.id.desc()], window, _out)


@router.get("/{invoice_id}", dependencies=[READERS], responses=problems(InvoiceNotFound))
async def get_invoice(invoice_id: UUID, db: Db, response: Response) -> InvoiceOut:
    """One invoice or credit note."""
    row = await usecases.find_invoice(db, invoice_id)
    response.headers["ETag"] = etag(row.version)
    return _out(row)


@router.get("/{invoice_id}/payments", dependencies=[READERS], responses=problems(InvoiceNotFound))
async def get_payments(invoice_id: UUID, db: Db) -> Items[PaymentOut]:
    """What came in for an invoice, in the order it was recorded."""
    await usecases.find_invoice(db, invoice_id)
    return Items(items=[_payment(row) for row in await usecases.payments_of(db, invoice_id)])


@router.post(
    "/{invoice_id}/payments",
    status_code=201,
    dependencies=[STAFF],
    responses=problems(InvoiceNotFound, NotPayable, OtherCurrency, TooMuch),
)
async def post_payment(invoice_id: UUID, body: PaymentIn, caller: Caller, db: Db, once: Once) -> InvoiceOut:
    """Record a payment (BIL-11). The answer is the invoice as it then is."""
    payment = Payment(uuid7(), invoice_id, body.amount.amount, body.amount.currency, body.paid_on, body.reference)
    return _out(await usecases.record_payment(db, payment, caller.actor, clock.now()))


@router.post(
    "/{invoice_id}/credit-notes",
    status_code=201,
    dependencies=[STAFF],
    responses=problems(InvoiceNotFound, TooMuchCredited),
)
async def post_credit_note(invoice_id: UUID, body: CreditIn, caller: Caller, db: Db, once: Once) -> InvoiceOut:
    """Take an invoice back, wholly or in part. The answer is the credit note."""
    now = clock.now()
    return _out(await usecases.credit_by_hand(db, invoice_id, body.net, uuid7(), now.date(), caller.actor, now))
