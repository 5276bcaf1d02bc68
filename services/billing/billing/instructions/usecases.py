"""Deciding how enrollments are invoiced, and replacing or withdrawing that when they change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from billing.instructions import rows
from billing.instructions.rows import Instruction
from billing.instructions.rows import InstructionRow as InstructionRow
from billing.instructions.rules import (
    Ask,
    Do,
    Invoice,
    Price,
    State,
    TermTooLong,
    invoices,
    reference,
    replaced,
    what_to_do,
)
from billing.parties.rules import Organisation, Route
from billing.parties.usecases import Known, find_known
from billing.platform import platform
from kit import outbox
from kit.auth import Principal
from kit.db import Session
from kit.problems import Refused
from schemas.invoice import InstructedInvoice, InvoiceInstructed, InvoiceRefused
from schemas.values import Money, Party


class InstructionNotFound(Refused):
    """No instruction of yours for this enrollment."""

    status = 404


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one enrollment that is paid by invoice."""

    ask: Ask
    enrollment_id: UUID
    version: int
    """The enrollment's."""
    person_id: UUID
    partner_id: UUID | None
    customer_id: UUID | None
    supplier_id: UUID | None
    public: bool
    """The participant pays."""
    price: Price | None
    """As frozen; for a cancellation the part that is kept, or None."""

    @property
    def payer_id(self) -> UUID | None:
        """The customer that pays, where one does."""
        return None if self.public else self.customer_id


async def settle(db: Session, steps: Sequence[Step], now: datetime) -> dict[int, str]:
    """Decide steps one after the other and announce what follows.

    Returns, by position in `steps`, what an approval must wait for: `customer/<id>` or `supplier/<id>`.
    """
    if not steps:
        return {}
    tenants = [(s.enrollment_id, s.partner_id, s.customer_id, s.supplier_id) for s in steps]
    instructions = await rows.claim(db, tenants, now)
    approvals = [step for step in steps if step.ask is Ask.INSTRUCT]
    known = await find_known(
        db,
        {step.payer_id for step in approvals if step.payer_id},
        {step.supplier_id for step in approvals if step.supplier_id},
    )
    numbers = iter(await rows.take_numbers(db, len(approvals)))

    waiting: dict[int, str] = {}
    decided: dict[UUID, Instruction] = {}
    for position, step in enumerate(steps):
        instruction = instructions[step.enrollment_id]
        do = what_to_do(
            instruction.state,
            step.ask,
            newer=step.version > instruction.price_version,
            same=step.version == instruction.price_version,
            kept=step.price is not None,
        )
        if do is Do.INSTRUCT:
            if awaited := _awaited(step, known):
                waiting[position] = awaited
                continue
            _instruct(instruction, step, known, next(numbers))
        elif do is Do.REMEMBER:
            _remember(instruction, step)
        elif do is Do.REPLACE:
            _replace(instruction, step)
        elif do is Do.WITHDRAW:
            _change(instruction, None)
            instruction.state = State.WITHDRAWN
        elif do is Do.CLOSE:
            instruction.state = State.CLOSED
        if do not in (Do.NOTHING, Do.REPEAT):
            decided[step.enrollment_id] = instruction
        if do not in (Do.NOTHING, Do.REMEMBER, Do.CLOSE):
            outbox.add(db, _fact(instruction, now))
    await rows.write(db, list(decided.values()), now)
    return waiting


def _awaited(step: Step, known: Known) -> str | None:
    if step.payer_id and step.payer_id not in known.customers:
        return f"customer/{step.payer_id}"
    if step.supplier_id and step.supplier_id not in known.suppliers:
        return f"supplier/{step.supplier_id}"
    return None


def _remember(instruction: Instruction, step: Step) -> None:
    if step.price is None:
        raise ValueError("a changed price says no price")
    instruction.price = asdict(step.price)
    instruction.price_version = step.version


def _instruct(instruction: Instruction, step: Step, known: Known, number: int) -> None:
    if step.price and step.version > instruction.price_version:
        _remember(instruction, step)
    missing = _missing(instruction, step, known)
    if missing:
        return _refuse(instruction, "invoicing_incomplete", missing)
    payer, supplier, route = _sides(step, known)
    price = Price(**instruction.price or {})
    try:
        follow = invoices(route, price, supplier, payer, the_platform())
    except TermTooLong:
        return _refuse(instruction, "term_too_long", [])
    instruction.state = State.INSTRUCTED
    instruction.revision = 1
    instruction.route = route
    instruction.reference = reference(number)
    instruction.invoices = [_instructed(invoice, price.currency).model_dump(mode="json") for invoice in follow]


def _missing(instruction: Instruction, step: Step, known: Known) -> list[str]:
    missing = [] if instruction.price else ["price"]
    if not step.public and step.customer_id is None:
        return [*missing, "customer"]
    payer, supplier, _ = _sides(step, known)
    return [*missing, *payer.missing(), *(supplier.missing() if supplier else [])]


def _sides(step: Step, known: Known) -> tuple[Organisation, Organisation | None, Route]:
    supplier = known.suppliers[step.supplier_id] if step.supplier_id else None
    if step.payer_id:
        payer, route = known.customers[step.payer_id], known.route(step.payer_id)
    else:
        payer, route = Organisation("participant", step.person_id, True, {}), Route.TO_PARTICIPANT
    # Where nobody supplies, the platform sells its own course.
    return payer, supplier, Route.TO_PLATFORM if supplier is None else route


def _refuse(instruction: Instruction, reason: str, missing: list[str]) -> None:
    instruction.state = State.REFUSED
    instruction.reason = reason
    instruction.missing = missing


def _replace(instruction: Instruction, step: Step) -> None:
    if step.ask is Ask.CANCEL:
        _change(instruction, step.price)
        instruction.state = State.REDUCED
    else:
        _remember(instruction, step)
        _change(instruction, step.price)


def _change(instruction: Instruction, price: Price | None) -> None:
    """A higher revision: the same documents and parties, other amounts."""
    documents = [invoice["document"] for invoice in instruction.invoices]
    new = replaced(Route(str(instruction.route)), documents, price)
    instruction.invoices = [
        {**invoice, "net": {**invoice["net"], "amount": new[invoice["document"]]}} for invoice in instruction.invoices
    ]
    instruction.revision += 1


def _fact(instruction: Instruction, now: datetime) -> InvoiceInstructed | InvoiceRefused:
    if instruction.state is State.REFUSED:
        return InvoiceRefused(
            version=1,
            at=now,
            enrollment_id=instruction.enrollment_id,
            reason=str(instruction.reason),
            missing=instruction.missing,
        )
    return InvoiceInstructed(
        version=instruction.revision,
        at=now,
        enrollment_id=instruction.enrollment_id,
        revision=instruction.revision,
        route=str(instruction.route),
        reference=str(instruction.reference),
        withdrawn=instruction.state is State.WITHDRAWN,
        invoices=[InstructedInvoice.model_validate(invoice) for invoice in instruction.invoices],
    )


def _instructed(invoice: Invoice, currency: str) -> InstructedInvoice:
    return InstructedInvoice(
        document=invoice.document,
        seller=_party(invoice.seller),
        buyer=_party(invoice.buyer),
        net=Money(amount=invoice.net, currency=currency),
        term_days=invoice.term_days,
        collected=invoice.collected,
    )


def _party(organisation: Organisation) -> Party:
    details: Mapping[str, Any] = organisation.details
    return Party(
        kind=organisation.kind,
        id=organisation.id,
        name=details.get("legal_name"),
        address=details.get("address"),
        vat_id=details.get("vat_id"),
        invoice_email=details.get("invoice_email"),
    )


def the_platform() -> Organisation:
    """The platform as a side of an invoice."""
    return Organisation("platform", None, platform().platform_size == "small", platform().details)


# What people look at ------------------------------------------------------------------------------


def instructions(caller: Principal, state: str | None, customer_id: UUID | None) -> Select[InstructionRow]:
    """The instructions the caller may see."""
    row = InstructionRow
    query = select(row).where(
        caller.own_rows(partner=row.partner_id, customer=row.customer_id, supplier=row.supplier_id)
    )
    if state:
        query = query.where(InstructionRow.state == state)
    if customer_id:
        query = query.where(InstructionRow.customer_id == customer_id)
    return query


async def find_instruction(db: Session, enrollment_id: UUID) -> InstructionRow:
    """One enrollment's instruction."""
    row = await db.get(InstructionRow, enrollment_id)
    if row is None:
        raise InstructionNotFound(enrollment_id)
    return row
