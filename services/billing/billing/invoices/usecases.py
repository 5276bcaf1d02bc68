"""Issuing invoices and credit notes, and recording what is paid of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select

from billing.commissions.usecases import Earned, book
from billing.instructions.rules import reference
from billing.invoices import rows
from billing.invoices.rows import InvoiceRow as InvoiceRow
from billing.invoices.rows import PaymentRow as PaymentRow
from billing.invoices.rules import Sums, Treatment, Vat, credited, due_on, number, paid_net, sums, vat_for
from billing.platform import platform
from kit import audit, outbox
from kit.auth import Principal
from kit.db import Session, uuid7
from kit.problems import Refused
from schemas.invoice import InvoiceCredited, InvoiceFact, InvoiceIssued, InvoicePaid
from schemas.values import Money

ISSUER = "platform"


class InvoiceNotFound(Refused):
    """No invoice of yours with this id."""

    status = 404


class NotPayable(Refused):
    """A credit note is not paid."""

    status = 409
    remedy = "Record the payment for the invoice that it takes back."


class OtherCurrency(Refused):
    """The payment is in another currency than the invoice."""

    status = 422


class TooMuch(Refused):
    """More than is open of this invoice."""

    status = 422
    remedy = "Record what is open; what came in beyond it belongs to another invoice."


class TooMuchCredited(Refused):
    """More than is left of this invoice to take back."""

    status = 422


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who is invoiced, and whose matter it is."""

    payer: str
    customer_id: UUID
    partner_id: UUID | None
    details: dict[str, Any]
    """Invoicing details as plain JSON types."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A document to be issued."""

    cause: str
    matter: str
    buyer: Buyer
    label: str
    """What its line says."""
    amount: int
    """Net of VAT, in minor units, before a partner's share is taken off."""
    currency: str
    issued_on: date
    contract_id: UUID | None = None
    deal_id: UUID | None = None
    termination_id: UUID | None = None
    period: tuple[date, date] | None = None
    off_bp: int = 0
    commission_bp: int = 0
    replaces_id: UUID | None = None
    credit_note: bool = False
    """A sum that is owed to the buyer, with no invoice before it."""


@dataclass(frozen=True, slots=True)
class Credit:
    """A part of an invoice to be taken back."""

    cause: str
    invoice_id: UUID
    fee: int
    """Before a partner's share; never more than is left."""
    reason: str
    issued_on: date
    period: tuple[date, date] | None = None
    termination_id: UUID | None = None


async def issue(db: Session, drafts: Sequence[Draft], now: datetime) -> list[InvoiceRow]:
    """Issue documents. The caller knows that none of them was issued before; a cause that was fails loudly."""
    issued = []
    for draft in drafts:
        details = draft.buyer.details
        vat = vat_for(platform().platform_country, details, platform().platform_vat_bp)
        issued.append(
            InvoiceRow(
                **_of(draft.buyer, draft.cause, draft.matter, draft.currency, draft.issued_on, now),
                **_period(draft.period),
                kind="credit_note" if draft.credit_note else "invoice",
                contract_id=draft.contract_id,
                deal_id=draft.deal_id,
                termination_id=draft.termination_id,
                credits_id=draft.replaces_id,
                **_sums(sums(draft.amount, vat, draft.off_bp)),
                off_bp=draft.off_bp,
                commission_bp=draft.commission_bp,
                vat_treatment=vat.treatment,
                vat_rate_bp=vat.rate_bp,
                lines=_lines(draft.label, sums(draft.amount, vat, draft.off_bp)),
                reason="buyout_below_zero" if draft.credit_note else None,
                due_on=None if draft.credit_note else due_on(draft.issued_on),
            )
        )
    await _number(db, issued)
    for row in issued:
        if row.kind == "credit_note":
            outbox.add(db, _credited(row, now))
        else:
            event = _fact(row, now) | {"issued_on": row.issued_on, "due_on": row.due_on, "replaces_id": row.credits_id}
            outbox.add(db, InvoiceIssued(**event))
    return issued


async def credit(db: Session, credits: Sequence[Credit], now: datetime) -> list[InvoiceRow]:
    """Take invoices back, wholly or in part, by credit notes; what was earned by them goes back in proportion."""
    invoices = await rows.lock(db, {c.invoice_id for c in credits})
    issued = []
    for wanted in credits:
        invoice = invoices[wanted.invoice_id]
        before, vat = _taken_back(invoice), Vat(Treatment(invoice.vat_treatment), invoice.vat_rate_bp)
        # Never more than is left: finance may have taken back a part by hand.
        back = credited(min(wanted.fee, invoice.fee - before.fee), before, vat, invoice.off_bp)
        invoice.credited_fee += back.fee
        invoice.credited_net += back.net
        invoice.credited_vat += back.vat
        buyer = Buyer(invoice.payer, invoice.customer_id, invoice.partner_id, invoice.buyer)
        issued.append(
            InvoiceRow(
                **_of(buyer, wanted.cause, invoice.matter, invoice.currency, wanted.issued_on, now),
                **_period(wanted.period),
                kind="credit_note",
                contract_id=invoice.contract_id,
                deal_id=invoice.deal_id,
                termination_id=wanted.termination_id or invoice.termination_id,
                credits_id=invoice.id,
                **_sums(back),
                off_bp=invoice.off_bp,
                commission_bp=0,
                vat_treatment=invoice.vat_treatment,
                vat_rate_bp=invoice.vat_rate_bp,
                lines=_lines(f"Credit of {invoice.number}", back),
                reason=wanted.reason,
                due_on=None,
            )
        )
    await _number(db, issued)
    for row in issued:
        outbox.add(db, _credited(row, now))
    for wanted, note in zip(credits, issued, strict=True):
        await _after(db, invoices[wanted.invoice_id], note.id, "credit", note.issued_on, now)
    return issued


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that came in."""

    id: UUID
    invoice_id: UUID
    amount: int
    currency: str
    paid_on: date
    reference: str | None


async def record_payment(db: Session, payment: Payment, actor: str, now: datetime) -> InvoiceRow:
    """Record a payment; the invoice is paid when nothing is open, and the partner's commission follows."""
    invoice = (await rows.lock(db, [payment.invoice_id])).get(payment.invoice_id)
    if invoice is None:
        raise InvoiceNotFound(payment.invoice_id)
    if invoice.kind != "invoice":
        raise NotPayable(field="invoice_id")
    if payment.currency != invoice.currency:
        raise OtherCurrency(field="amount.currency", currency=invoice.currency)
    if payment.amount > invoice.open:
        raise TooMuch(field="amount.amount", open=invoice.open)
    invoice.paid += payment.amount
    db.add(
        PaymentRow(
            id=payment.id,
            invoice_id=invoice.id,
            customer_id=invoice.customer_id,
            partner_id=invoice.partner_id,
            buyer_customer_id=invoice.buyer_customer_id,
            amount=payment.amount,
            currency=payment.currency,
            paid_on=payment.paid_on,
            reference=payment.reference,
            actor=actor,
            at=now,
        )
    )
    detail = {"amount": payment.amount, "currency": payment.currency}
    await audit.record(db, actor, "payment.recorded", subject=f"invoice/{invoice.id}", detail=detail)
    await _after(db, invoice, payment.id, "payment", payment.paid_on, now)
    return invoice


async def credit_by_hand(
    db: Session, invoice_id: UUID, amount: int | None, cause_id: UUID, issued_on: date, actor: str, now: datetime
) -> InvoiceRow:
    """A credit note that staff issue: over so much net of VAT, or over all that is left."""
    invoice = (await rows.lock(db, [invoice_id])).get(invoice_id)
    if invoice is None or invoice.kind != "invoice":
        raise InvoiceNotFound(invoice_id)
    left = invoice.fee - invoice.credited_fee
    amount = left if amount is None else amount
    if not 0 < amount <= left:
        raise TooMuchCredited(field="amount.amount", left=left)
    wanted = Credit(f"by-hand/{cause_id}", invoice_id, amount, "corrected", issued_on)
    (note,) = await credit(db, [wanted], now)
    await audit.record(db, actor, "invoice.credited", subject=f"invoice/{invoice_id}", detail={"amount": amount})
    return note


async def _after(db: Session, invoice: InvoiceRow, cause_id: UUID, kind: str, on: date, now: datetime) -> None:
    """What a payment or a credit note leads to: the invoice is paid, the commission follows what is paid and kept."""
    invoice.version += 1
    if invoice.open <= 0 and invoice.paid and not invoice.settled_on:
        invoice.settled_on = on
        paid = Money(amount=invoice.paid, currency=invoice.currency)
        outbox.add(db, InvoicePaid(**_fact(invoice, now), paid=paid, paid_on=on))
    if invoice.commission_bp and invoice.partner_id and invoice.contract_id and invoice.deal_id:
        kept = paid_net(Sums(invoice.fee, invoice.net, invoice.vat), _taken_back(invoice), invoice.paid)
        earned = Earned(
            invoice.partner_id,
            invoice.customer_id,
            invoice.deal_id,
            invoice.contract_id,
            invoice.id,
            invoice.number,
            invoice.currency,
            invoice.commission_bp,
            kept,
        )
        await book(db, earned, cause_id, kind, on, now)
    await db.flush()


# -- reading ----------------------------------------------------------------------------------------------


async def documents_of(db: Session, contract_ids: Iterable[UUID]) -> dict[UUID, list[InvoiceRow]]:
    """All documents of contracts, in the order they were issued."""
    found: dict[UUID, list[InvoiceRow]] = defaultdict(list)
    for row in await rows.of_contracts(db, contract_ids):
        if row.contract_id:
            found[row.contract_id].append(row)
    return found


def invoices(caller: Principal, *where: ColumnElement[bool]) -> Select[Any]:
    """The documents that the caller may see, as far as they are asked for."""
    own = caller.own_rows(partner=InvoiceRow.partner_id, customer=InvoiceRow.buyer_customer_id)
    return select(InvoiceRow).where(own, *where)


async def find_invoice(db: Session, invoice_id: UUID) -> InvoiceRow:
    """One document. Raises InvoiceNotFound."""
    row = await db.get(InvoiceRow, invoice_id)
    if row is None:
        raise InvoiceNotFound(invoice_id)
    return row


async def payments_of(db: Session, invoice_id: UUID) -> list[PaymentRow]:
    """What came in for an invoice."""
    return list(await db.scalars(select(PaymentRow).where(PaymentRow.invoice_id == invoice_id).order_by(PaymentRow.id)))


# -- what documents are made of ---------------------------------------------------------------------------


def _of(buyer: Buyer, cause: str, matter: str, currency: str, issued_on: date, now: datetime) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "cause": cause,
        "matter": matter,
        "issuer": ISSUER,
        "year": issued_on.year,
        "payer": buyer.payer,
        "customer_id": buyer.customer_id,
        "partner_id": buyer.partner_id,
        "buyer_customer_id": buyer.customer_id if buyer.payer == "customer" else None,
        "currency": currency,
        "seller": platform().details,
        "buyer": buyer.details,
        "issued_on": issued_on,
        "issued_at": now,
        "version": 1,
        "paid": 0,
        "credited_fee": 0,
        "credited_net": 0,
        "credited_vat": 0,
        "settled_on": None,
    }


def _period(period: tuple[date, date] | None) -> dict[str, Any]:
    first, last = period or (None, None)
    return {"period_from": first, "period_to": last}


def _sums(of: Sums) -> dict[str, int]:
    return {"fee": of.fee, "net": of.net, "vat": of.vat}


def _lines(label: str, of: Sums) -> list[dict[str, Any]]:
    """They add up to the net sum."""
    lines = [{"label": label, "net": of.fee}]
    return lines if of.fee == of.net else [*lines, {"label": "Partner's commission", "net": of.net - of.fee}]


def _taken_back(invoice: InvoiceRow) -> Sums:
    return Sums(invoice.credited_fee, invoice.credited_net, invoice.credited_vat)


async def _number(db: Session, issued: Sequence[InvoiceRow]) -> None:
    """Give numbers and store. Last of all, since the numbers of a year are locked from here to the commit."""
    by_year: dict[int, list[InvoiceRow]] = defaultdict(list)
    for row in issued:
        by_year[row.year].append(row)
    for year, of_year in sorted(by_year.items()):
        for row, sequence in zip(of_year, await rows.take_numbers(db, ISSUER, year, len(of_year)), strict=True):
            row.sequence, row.number = sequence, number(year, sequence)
            row.reference = reference(year * 1_000_000_000 + sequence)
    db.add_all(issued)
    await db.flush()


def _fact(row: InvoiceRow, now: datetime) -> dict[str, Any]:
    """The fields of every fact about an invoice."""
    fields = {name: getattr(row, name) for name in InvoiceFact.model_fields if hasattr(row, name)}
    amounts = {name: Money(amount=getattr(row, name), currency=row.currency) for name in ("net", "vat", "gross")}
    return fields | amounts | {"invoice_id": row.id, "at": now}


def _credited(row: InvoiceRow, now: datetime) -> InvoiceCredited:
    more = {"credited_invoice_id": row.credits_id, "issued_on": row.issued_on, "reason": row.reason or "corrected"}
    return InvoiceCredited(**_fact(row, now), **more)
