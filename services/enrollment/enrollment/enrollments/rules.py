"""How an enrollment moves (ENR-3), and what a cancellation keeps (ENR-8). No clock, no database."""

from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from enrollment.moment import Moment
from enrollment.prices.rules import WHOLE_BP, Cancellation, Payment, Price


class State(StrEnum):
    REQUESTED = "requested"
    APPROVED = "approved"
    CONFIRMED = "confirmed"
    COMPLETED = "completed"
    REFUSED = "refused"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


OPEN = frozenset({State.REQUESTED, State.APPROVED, State.CONFIRMED})

MOVES: dict[State, frozenset[State]] = {
    State.REQUESTED: frozenset({State.APPROVED, State.REFUSED, State.DECLINED, State.WITHDRAWN, State.EXPIRED}),
    State.APPROVED: frozenset({State.CONFIRMED, State.REFUSED, State.CANCELLED}),
    State.CONFIRMED: frozenset({State.COMPLETED, State.CANCELLED}),
}
"""Every move there is; a state without an entry is an end."""


def may_move(state: State, to: State) -> bool:
    return to in MOVES.get(state, frozenset())


class Answer(StrEnum):
    """What other services say about an enrollment."""

    HELD = "held"
    """The credits are set aside; now somebody may be asked."""
    PAID = "paid"
    """Charged, or instructed."""
    UNPAYABLE = "unpayable"
    """Not enough credits, or invoicing details are missing."""
    COURSE_DONE = "course_done"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an enrollment is, as far as answers can move it."""

    state: State
    held: bool = False
    done: bool = False
    """The course was reported done. Known before the confirmation, it completes with it."""

    def after(self, answer: Answer) -> "Standing":
        """Moved by an answer, forward only: what comes late, twice or after the end changes nothing."""
        state = self.state
        if answer is Answer.HELD and state is State.REQUESTED:
            return replace(self, held=True)
        if answer is Answer.PAID and state is State.APPROVED:
            return replace(self, state=State.COMPLETED if self.done else State.CONFIRMED)
        if answer is Answer.UNPAYABLE and state in (State.REQUESTED, State.APPROVED):
            return replace(self, state=State.REFUSED)
        if answer is Answer.COURSE_DONE and state is State.APPROVED:
            return replace(self, done=True)
        if answer is Answer.COURSE_DONE and state is State.CONFIRMED:
            return replace(self, state=State.COMPLETED, done=True)
        return self


class WaitsFor(StrEnum):
    """What an open enrollment waits for."""

    HOLD = "credits.held"
    DECISION = "decision"
    CHARGE = "credits.charged"
    INSTRUCTION = "invoice.instructed"
    COMPLETION = "completion"


MACHINE_STEPS = frozenset({WaitsFor.HOLD, WaitsFor.CHARGE, WaitsFor.INSTRUCTION})


def waits_for(state: State, payment: Payment, held: bool) -> WaitsFor | None:
    """The step an enrollment is at; None at its end."""
    if state is State.REQUESTED:
        return WaitsFor.HOLD if payment is Payment.CREDITS and not held else WaitsFor.DECISION
    if state is State.APPROVED:
        return WaitsFor.CHARGE if payment is Payment.CREDITS else WaitsFor.INSTRUCTION
    return WaitsFor.COMPLETION if state is State.CONFIRMED else None


class By(StrEnum):
    """Who cancels."""

    PERSON = "person"
    MANAGER = "manager"
    """The manager, or the staff of the person's customer."""
    PARTNER = "partner"
    SUPPLIER = "supplier"
    PLATFORM = "platform"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a cancellation keeps and what goes back."""

    credits_kept: int = 0
    credits_returned: int = 0
    price_kept: Price | None = None


def kept_bp(terms: Cancellation, starts_on: date | None, today: date) -> int:
    """The share a cancellation keeps today. A course without a start stays free to cancel."""
    if starts_on is None or today <= starts_on - timedelta(days=terms.free_until_days):
        return 0
    return terms.then_keep_bp


def settle(
    state: State,
    by: By,
    credits_: int | None,
    price: Price | None,
    terms: Cancellation,
    starts_on: date | None,
    today: date,
) -> Settlement:
    """What is kept: nothing before confirmation, by the supplier or as stuck; else as the terms say.

    Credits kept are rounded down to whole ones; a price is kept split as it was (ENR-8).
    """
    all_back = state is not State.CONFIRMED or by in (By.SUPPLIER, By.SYSTEM)
    bp = 0 if all_back else kept_bp(terms, starts_on, today)
    kept = (credits_ or 0) * bp // WHOLE_BP
    return Settlement(kept, (credits_ or 0) - kept, price.kept(bp) if price else None)


@dataclass(frozen=True, slots=True)
class Enrollment:
    """One person on one course (and one session of it, where it has sessions)."""

    id: UUID
    version: int
    """Counts the moves; the first state is 1."""
    state: State
    way: str
    payment: Payment
    person_id: UUID
    course_id: UUID
    session_id: UUID | None
    supplier_id: UUID | None
    partner_id: UUID | None
    customer_id: UUID | None
    credits: int | None
    price: Price | None
    """As shown and frozen when it was created."""
    cancellation: Cancellation
    certificate: bool
    """The course gives one, as it was announced when this was created."""
    created_at: datetime
    step_since: datetime
    waits_for: WaitsFor | None = None
    step_until: datetime | None = None
    """Deadline of the step: of a machine step by the watchdog, of a decision by expiry."""
    attempts: int = 0
    """How often the step was announced again."""
    held: bool = False
    remind_at: datetime | None = None
    expires_at: datetime | None = None
    approved_by: str | None = None
    """As events may carry it, so without an address; the history knows more."""
    approved_at: datetime | None = None
    confirmed_at: datetime | None = None
    completed_at: datetime | None = None
    """When the course was reported done; before the confirmation it is only kept."""
    ended_at: datetime | None = None
    problem: dict[str, Any] | None = None
    """Why it was refused, as a problem document."""
    settlement: Settlement | None = None
    """What a cancellation kept and gave back."""
    revision: int = 0
    """Of the instruction held here; 0 before the first."""
    instruction: dict[str, Any] | None = None
    """How it is invoiced, as billing last instructed."""
    history: tuple[dict[str, Any], ...] = ()
    """Who moved it when, and why; oldest first."""
    batch_id: UUID | None = None

    @property
    def standing(self) -> Standing:
        return Standing(self.state, self.held, self.completed_at is not None)


class ImpossibleMove(ValueError):
    """The state machine has no such move."""


def at_step(e: Enrollment, at: Moment) -> Enrollment:
    """With its step begun now: what it waits for, and until when."""
    waits = waits_for(e.state, e.payment, e.held)
    until = {WaitsFor.DECISION: e.expires_at, WaitsFor.COMPLETION: None}.get(waits) if waits else None
    if waits in MACHINE_STEPS:
        until = at.now + timedelta(seconds=at.step_s)
    return replace(e, waits_for=waits, step_since=at.now, step_until=until, attempts=0)


def moved(
    e: Enrollment, to: State, at: Moment, *, by: str, why: str | None = None, as_: By | None = None, **changes: Any
) -> Enrollment:
    """In its next state, one version on, with who, when and why on its history. Raises `ImpossibleMove`."""
    if not may_move(e.state, to):
        raise ImpossibleMove(f"{e.id} is {e.state} and cannot become {to}")
    entry = noted(to, at.now, by=by, why=why, as_=as_)
    ends = to not in OPEN
    new = replace(
        e,
        state=to,
        version=e.version + 1,
        history=(*e.history, entry),
        ended_at=at.now if ends else None,
        remind_at=None,
        **changes,
    )
    return at_step(new, at)


def noted(what: str, when: datetime, *, by: str, why: str | None = None, as_: By | None = None) -> dict[str, Any]:
    """An entry of the history; `as_` says in whose name `by` acted, where that matters."""
    entry = {"state": str(what), "at": when.isoformat(), "by": by, "why": why, "as": as_ and as_.value}
    return {name: value for name, value in entry.items() if value is not None}


def in_session(e: Enrollment, session_id: UUID, at: Moment, *, by: str, why: str | None = None) -> Enrollment:
    """Moved to another session, one version on."""
    entry = noted("moved", at.now, by=by, why=why)
    return replace(e, session_id=session_id, version=e.version + 1, history=(*e.history, entry))


def at_price(e: Enrollment, price: Price, at: Moment, *, by: str, why: str) -> Enrollment:
    """Frozen at another price, one version on; the old one is kept on the history."""
    entry = noted("repriced", at.now, by=by, why=why)
    if e.price:
        entry["old_price"] = asdict(e.price)
    return replace(e, price=price, version=e.version + 1, history=(*e.history, entry))
