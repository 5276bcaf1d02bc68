"""Following a contract from its start to its end, and issuing what lies between.

Whatever arrives, and in whatever order: it is kept in its row, and then the contract is settled, which issues what
is missing and takes back what is too much. Settling again issues nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Select, select

from billing.invoices.usecases import Buyer, Credit, Draft, InvoiceRow, credit, documents_of, issue
from billing.parties.rules import Organisation
from billing.parties.usecases import find_known
from billing.subscriptions import rows
from billing.subscriptions.rows import EndRow
from billing.subscriptions.rows import Schedule as Schedule
from billing.subscriptions.rules import Commission, Document, End, Fee, Plan, Span, plan
from billing.wallets.usecases import invoicing_of_partners
from kit import testclock
from kit.auth import Principal
from kit.db import Session
from kit.problems import Refused
from schemas.deal import ContractTerms

LOOK_AGAIN = timedelta(minutes=1)
FORWARD = {"open": 0, "scheduled": 1, "closed": 2, "terminated": 2}
"""A termination's state only rises."""


class ScheduleNotFound(Refused):
    """No contract of yours with this id is invoiced."""

    status = 404


@dataclass(frozen=True, slots=True)
class Started:
    """A contract that runs, or will."""

    contract_id: UUID
    customer_id: UUID
    partner_id: UUID | None
    terms: dict[str, Any]
    """`ContractTerms` as plain JSON types."""
    invoicer: str
    deal_id: UUID | None = None
    commission: dict[str, Any] | None = None
    customer: dict[str, Any] | None = None
    partner: dict[str, Any] | None = None
    """Invoicing details as the deal carried them, for as long as no newer ones are known."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A step of a termination."""

    termination_id: UUID
    contract_id: UUID
    customer_id: UUID
    partner_id: UUID | None
    version: int
    state: str
    """`open` for an accepted buy-out, which says nothing of the end itself."""
    last_day: date | None = None
    buyout: dict[str, Any] | None = None
    """`amount`, `currency`, and `set_off`: a list of invoice_id, period_from, period_to."""


async def follow(db: Session, heard: Sequence[Started | Ending], now: datetime) -> None:
    """Keep what was heard of contracts, and settle them."""
    schedules = await rows.claim(db, [(h.contract_id, h.customer_id, h.partner_id) for h in heard])
    for started in heard:
        if isinstance(started, Started) and schedules[started.contract_id].state == "new":
            _start(schedules[started.contract_id], started)
    await _keep_ends(db, [h for h in heard if isinstance(h, Ending)])
    await settle(db, list(schedules.values()), now)


def _start(schedule: Schedule, started: Started) -> None:
    schedule.state, schedule.version = "running", schedule.version + 1
    schedule.terms, schedule.deal_id, schedule.invoicer = started.terms, started.deal_id, started.invoicer
    schedule.commission = started.commission
    schedule.parties = {"customer": started.customer, "partner": started.partner}


async def _keep_ends(db: Session, endings: Sequence[Ending]) -> None:
    if not endings:
        return
    kept = await rows.claim_ends(db, [(e.termination_id, e.contract_id, e.customer_id, e.partner_id) for e in endings])
    for ending in endings:
        row = kept[ending.termination_id]
        row.version = max(row.version, ending.version)
        row.buyout = row.buyout or ending.buyout
        if FORWARD[ending.state] > FORWARD[row.state]:
            row.state, row.last_day = ending.state, ending.last_day
    await db.flush()


async def settle_due(db: Session, now: datetime, limit: int) -> int:
    """Invoice the months that begin; returns how many contracts were looked at."""
    is_due = testclock.due(db, Schedule.due_at, now, partner=Schedule.partner_id, customer=Schedule.customer_id)
    due = await rows.lock_due(db, is_due, now, limit)
    await settle(db, due, now)
    return len(due)


async def settle(db: Session, schedules: Sequence[Schedule], now: datetime) -> None:
    """Issue what contracts lack and take back what is too much. The schedules are locked."""
    running = [schedule for schedule in schedules if schedule.terms]
    if not running:
        await db.flush()
        return
    ids = [schedule.contract_id for schedule in running]
    ends = defaultdict[UUID, list[EndRow]](list)
    for end in await rows.ends_of(db, ids):
        ends[end.contract_id].append(end)
    documents = await documents_of(db, ids)
    local = testclock.time(db, now, partner=Schedule.partner_id, customer=Schedule.customer_id)
    at = await rows.times(db, ids, local)
    buyers = await _buyers(db, running)
    drafts: list[Draft] = []
    credits: list[Credit] = []
    for schedule in running:
        moment = at[schedule.contract_id]
        case = Case(schedule, ends[schedule.contract_id], documents[schedule.contract_id], moment)
        buyer = buyers[schedule.contract_id]
        wanted, back = case.drafts(buyer), case.credits()
        # Without them nothing may be issued; what is taken back stands on details that were complete.
        schedule.missing = _missing(buyer) if wanted else []
        schedule.retry_at = now + LOOK_AGAIN if schedule.missing else None
        drafts += [] if schedule.missing else wanted
        credits += back
        if back or not schedule.missing:
            schedule.documents += len(wanted) + len(back)
        schedule.due_at, schedule.last_day = case.due_at, case.end.last_day if case.end else None
        schedule.state = "ended" if case.end and case.end.final else "running"
    # Rows first: the numbers are the last that is locked.
    await db.flush()
    if credits:
        await credit(db, credits, now)
    if drafts:
        await issue(db, drafts, now)


class Case:
    """One contract at a moment: what was agreed, what was heard of its end, what was issued."""

    def __init__(
        self, schedule: Schedule, ends: Sequence[EndRow], documents: Sequence[InvoiceRow], moment: datetime
    ) -> None:
        self.schedule, self.ends, self.issued = schedule, ends, documents
        self.terms = ContractTerms.model_validate(schedule.terms)
        self.fee = Fee(self.terms.starts_on, self.terms.monthly_fee.amount)
        self.zone = ZoneInfo(self.terms.time_zone)
        self.today = moment.astimezone(self.zone).date()
        self.end = _end(ends)
        # What costs nothing a month has no invoices; its one-off costs and its end are followed all the same.
        self.plan = Plan([], [], self._first_day())
        if self.fee.amount:
            self.plan = plan(self.fee, self.end, self._set_off(), self._documents(), self.today)
        commission = schedule.commission
        self.commission = Commission(commission["rate_bp"], commission["months"]) if commission else None
        self._causes = {document.cause for document in documents}

    @property
    def due_at(self) -> datetime | None:
        """The midnight at which the next month begins, where the contract is at home."""
        if self.plan.next_on is None:
            return None
        return datetime.combine(self.plan.next_on, time.min, self.zone).astimezone(UTC)

    def _first_day(self) -> date | None:
        return self.terms.starts_on if self.today < self.terms.starts_on else None

    def _documents(self) -> list[Document]:
        back = defaultdict[UUID, list[Span]](list)
        for note in self.issued:
            if note.kind == "credit_note" and note.credits_id and note.period_from and note.period_to:
                back[note.credits_id].append(Span(note.period_from, note.period_to))
        return [
            Document(row.id, Span(row.period_from, row.period_to), tuple(back[row.id]))
            for row in self.issued
            if row.kind == "invoice" and row.matter == "fees" and row.period_from and row.period_to
        ]

    def _set_off(self) -> list[tuple[UUID, Span]]:
        return [
            (
                UUID(off["invoice_id"]),
                Span(date.fromisoformat(off["period_from"]), date.fromisoformat(off["period_to"])),
            )
            for end in self.ends
            if end.buyout and end.state != "closed"
            for off in end.buyout["set_off"]
        ]

    def drafts(self, buyer: Buyer) -> list[Draft]:
        """What is to be invoiced: one-off costs with the first day, fees by the month, an accepted buy-out."""
        return [*self._one_off(buyer), *self._fees(buyer), *self._buyouts(buyer), *self._taken_again(buyer)]

    def _fees(self, buyer: Buyer) -> list[Draft]:
        found = []
        for number, span in enumerate(self.plan.invoice, self.schedule.documents + 1):
            share = self.commission.rate_bp if self.commission and self.commission.covers(self.fee, span) else 0
            found.append(
                self._draft(
                    buyer,
                    f"fees/{self.schedule.contract_id}/{number}",
                    "fees",
                    f"{self.terms.label} {span.first} – {span.last}",
                    self.fee.of(span),
                    self.terms.monthly_fee.currency,
                    period=(span.first, span.last),
                    off_bp=share if buyer.payer == "partner" else 0,
                    commission_bp=share if buyer.payer == "customer" else 0,
                )
            )
        return found

    def _one_off(self, buyer: Buyer) -> list[Draft]:
        if self.today < self.terms.starts_on or (self.end and self.end.last_day < self.terms.starts_on):
            return []
        return [
            self._draft(buyer, cause, "one_off", cost.label, cost.cost.amount, cost.cost.currency)
            for number, cost in enumerate(self.terms.one_off)
            if cost.cost.amount and (cause := f"one-off/{self.schedule.contract_id}/{number}") not in self._causes
        ]

    def _buyouts(self, buyer: Buyer) -> list[Draft]:
        """Each once, as the accepted sum; one that is closed already is never invoiced (BIL-10)."""
        found = []
        for end in self.ends:
            cause = _buyout_cause(end)
            if not end.buyout or not end.buyout["amount"] or end.state == "closed" or cause in self._causes:
                continue
            amount, label = end.buyout["amount"], f"{self.terms.label}: buy-out"
            sum_ = abs(amount), end.buyout["currency"]
            more: dict[str, Any] = {"termination_id": end.termination_id, "credit_note": amount < 0}
            found.append(self._draft(buyer, cause, "buyout", label, *sum_, **more))
        return found

    def _taken_again(self, buyer: Buyer) -> list[Draft]:
        """A buy-out below zero was a credit note; where it falls away, an invoice takes it back."""
        return [
            self._draft(
                buyer,
                cause,
                "buyout",
                f"Withdrawn: {note.number}",
                note.fee,
                note.currency,
                termination_id=end.termination_id,
                replaces_id=note.id,
            )
            for end, note in self._fallen()
            if note.kind == "credit_note" and (cause := f"{note.cause}/back") not in self._causes
        ]

    def credits(self) -> list[Credit]:
        """What is to be given back: days after the end, and a buy-out that fell away."""
        begin = self.schedule.documents + len(self.plan.invoice) + 1
        days = [
            Credit(
                f"fees/{self.schedule.contract_id}/{number}",
                invoice_id,
                self.fee.of(span),
                "ended",
                self.today,
                (span.first, span.last),
            )
            for number, (invoice_id, span) in enumerate(self.plan.credit, begin)
        ]
        withdrawn = [
            Credit(cause, row.id, row.fee, "withdrawn", self.today, termination_id=end.termination_id)
            for end, row in self._fallen()
            if row.kind == "invoice" and (cause := f"{row.cause}/back") not in self._causes
        ]
        return [*days, *withdrawn]

    def _fallen(self) -> list[tuple[EndRow, InvoiceRow]]:
        """Documents of buy-outs whose termination was closed."""
        by_cause = {row.cause: row for row in self.issued}
        return [
            (end, by_cause[cause])
            for end in self.ends
            if end.state == "closed" and (cause := _buyout_cause(end)) in by_cause
        ]

    def _draft(
        self, buyer: Buyer, cause: str, matter: str, label: str, amount: int, currency: str, **more: Any
    ) -> Draft:
        return Draft(
            cause,
            matter,
            buyer,
            label,
            amount,
            currency,
            self.today,
            contract_id=self.schedule.contract_id,
            deal_id=self.schedule.deal_id,
            **more,
        )


def _buyout_cause(end: EndRow) -> str:
    return f"buyout/{end.termination_id}"


def _end(ends: Iterable[EndRow]) -> End | None:
    """The end that stands: the one that came, else the one that is agreed."""
    standing = [end for end in ends if end.last_day and end.state in ("scheduled", "terminated")]
    found = max(standing, key=lambda end: (end.state == "terminated", end.termination_id), default=None)
    return End(found.last_day, found.state == "terminated") if found and found.last_day else None


async def _buyers(db: Session, schedules: Sequence[Schedule]) -> dict[UUID, Buyer]:
    """Who is invoiced for each contract: the customer, or the partner that invoices it."""
    known = await find_known(db, [schedule.customer_id for schedule in schedules], [])
    partners = await invoicing_of_partners(db, [s.partner_id for s in schedules if s.partner_id])
    found = {}
    for schedule in schedules:
        payer = "partner" if schedule.invoicer == "partner" and schedule.partner_id else "customer"
        if payer == "partner" and schedule.partner_id:
            newest = partners.get(schedule.partner_id, {})
        else:
            customer = known.customers.get(schedule.customer_id)
            newest = dict(customer.details) if customer else {}
        details = newest if newest.get("legal_name") else schedule.parties.get(payer) or newest
        found[schedule.contract_id] = Buyer(payer, schedule.customer_id, schedule.partner_id, details)
    return found


def _missing(buyer: Buyer) -> list[str]:
    """The details an invoice to this buyer must carry and that are not known."""
    return Organisation(buyer.payer, None, False, buyer.details).missing()


# What people look at ---------------------------------------------------------------------------------------


async def find_schedule(db: Session, contract_id: UUID) -> Schedule:
    """One contract's schedule. Raises ScheduleNotFound."""
    row = await db.get(Schedule, contract_id)
    if row is None or row.terms is None:
        raise ScheduleNotFound(contract_id)
    return row


def schedules(caller: Principal, customer_id: UUID | None, partner_id: UUID | None) -> Select[Any]:
    """The schedules that the caller may see."""
    own = caller.own_rows(partner=Schedule.partner_id, customer=Schedule.customer_id)
    query = select(Schedule).where(own, Schedule.state != "new")
    if customer_id:
        query = query.where(Schedule.customer_id == customer_id)
    return query.where(Schedule.partner_id == partner_id) if partner_id else query
