"""Drawing the sum for leaving early from a contract's terms and from what billing says is paid (CON-11)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from contracts.buyouts.rows import ContractInvoice
from contracts.buyouts.rules import Paid, Quote, Rule, Service, quote
from contracts.services.rules import Terms
from contracts.services.usecases import count_one_off, lock_contracts
from contracts.terminations.rules import OpenEnd, Term
from kit.db import Session

FEES, ONE_OFF = "fees", "one_off"


@dataclass(frozen=True, slots=True)
class Document:
    """An invoice or a credit note of a contract: for fees of a period, or for costs that come once."""

    id: UUID
    contract_id: UUID
    matter: str
    net: int
    period_from: date | None = None
    period_to: date | None = None
    paid: bool = False
    credits: UUID | None = None


async def keep_documents(db: Session, documents: Sequence[Document]) -> None:
    """Keep what billing announced; a payment may come before the invoice it pays, or twice."""
    by_id: dict[UUID, Document] = {}
    for document in documents:
        held = by_id.get(document.id)
        by_id[document.id] = document if held is None or document.paid else held
    if not by_id:
        return
    new = insert(ContractInvoice)
    rows = [{name: getattr(by_id[key], name) for name in Document.__slots__} for key in sorted(by_id)]
    kept = new.on_conflict_do_update(index_elements=["id"], set_={"paid": ContractInvoice.paid | new.excluded.paid})
    await db.execute(kept, rows)
    await _count_one_off(db, {d.contract_id for d in by_id.values() if d.matter == ONE_OFF})


async def _count_one_off(db: Session, contract_ids: set[UUID]) -> None:
    """What of the costs that come once is invoiced by now; it stands on a bill of its own, so it is open no more."""
    if not contract_ids:
        return
    await lock_contracts(db, list(contract_ids))  # so that of two who count, the second sees the first one's
    invoiced = (
        select(ContractInvoice.contract_id, func.sum(ContractInvoice.net).label("net"))
        .where(ContractInvoice.contract_id.in_(contract_ids), ContractInvoice.matter == ONE_OFF)
        .where(ContractInvoice.credits.is_(None))
        .group_by(ContractInvoice.contract_id)
    )
    await count_one_off(db, {row.contract_id: int(row.net) for row in await db.execute(invoiced)})


async def paid_for(db: Session, contract_ids: Sequence[UUID]) -> dict[UUID, list[Paid]]:
    """What is paid of each contract's fees by the customer, less what was credited of them."""
    note = aliased(ContractInvoice)
    credited = select(func.coalesce(func.sum(note.net), 0)).where(note.credits == ContractInvoice.id).scalar_subquery()
    found = await db.execute(
        select(ContractInvoice, credited).where(
            ContractInvoice.contract_id.in_(contract_ids),
            ContractInvoice.matter == FEES,
            ContractInvoice.paid,
            ContractInvoice.credits.is_(None),
        )
    )
    paid: dict[UUID, list[Paid]] = {}
    for invoice, taken_back in found:
        left = max(invoice.net - int(taken_back), 0)
        if invoice.period_from and invoice.period_to:
            period = invoice.period_from, invoice.period_to
            paid.setdefault(invoice.contract_id, []).append(Paid(invoice.id, *period, left))
    return paid


def term_of(terms: Terms, starts_on: date) -> Term:
    """A contract's terms as the rules of ending want them."""
    return Term(
        starts_on,
        terms.term_months or 0,
        terms.renewal_months if terms.term_months else None,
        terms.notice_months,
        terms.notice_days,
        OpenEnd(terms.open_end),
    )


def drawn(
    terms: Terms, starts_on: date, one_off_open: int, last_day: date, regular: date, paid: Sequence[Paid]
) -> Quote:
    """The calculated sum for a last day."""
    rule = Rule.of(terms.buyout.model_dump())
    service = Service(term_of(terms, starts_on), terms.monthly_fee, terms.currency, rule, one_off_open)
    return quote(service, last_day, regular, paid)
