"""Facts about service contracts, orders, portings and terminations, announced by the contracts service.

A termination has an id of its own: all facts of its path carry it, their `version` is the termination's, and
readers move forward per termination (BIL-12).
"""

from datetime import date
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from schemas.deal import ContractTerms
from schemas.event import Event, Value
from schemas.values import Money


class OrderPlaced(Event):
    """Something was ordered for a customer (CON-6, CON-7); `version` is the order's."""

    topic: ClassVar[str] = "order.placed"
    key: ClassVar[str] = "order_id"
    source: ClassVar[str] = "contracts"

    order_id: UUID
    customer_id: UUID
    partner_id: UUID | None = None
    kind: str = "service"
    """`service` or `subscription`."""
    product_id: UUID
    wish_date: date | None = None
    ordered_by: str = "partner"
    """`customer`, `partner` or `platform`."""


class PortingChanged(Event):
    """A porting of numbers as it now is. Numbers stay in contracts: some ring at one person's desk."""

    topic: ClassVar[str] = "porting.changed"
    key: ClassVar[str] = "porting_id"
    source: ClassVar[str] = "contracts"
    state: ClassVar[bool] = True

    porting_id: UUID
    customer_id: UUID
    partner_id: UUID | None = None
    direction: str
    """`in` or `out`."""
    status: str
    """`requested`, `accepted`, `rejected`, `planned`, `done` or `cancelled`."""
    contract_id: UUID | None = None
    """The service with the numbers; None while a porting in waits for its order."""
    order_id: UUID | None = None
    termination_id: UUID | None = None
    numbers: int = Field(ge=1)
    """How many numbers move."""
    wish_date: date
    planned_on: date | None = None
    """The day now planned."""
    originally_planned_on: date | None = None
    """The day planned first."""
    delay_announced_on: date | None = None
    """The day a later date than the first one was last announced."""
    done_on: date | None = None
    reason: str | None = None
    """Why it was rejected or cancelled, coded."""


class ServiceActivated(Event):
    """An ordered service runs: its contract starts, and with it its fee (BIL-12). Not for subscriptions."""

    topic: ClassVar[str] = "service.activated"
    key: ClassVar[str] = "contract_id"
    source: ClassVar[str] = "contracts"

    contract_id: UUID
    customer_id: UUID
    partner_id: UUID | None = None
    order_id: UUID
    contract: ContractTerms
    invoicer: str = "platform"
    """Who invoices the customer: `platform` or `partner`."""
    originally_planned_on: date | None = None
    """The day planned first; the contract starts on the day it was done."""
    delay_announced_on: date | None = None


class TerminationFact(Event):
    """What every fact about a termination says; `version` is the termination's."""

    key: ClassVar[str] = "contract_id"
    source: ClassVar[str] = "contracts"

    termination_id: UUID
    contract_id: UUID
    customer_id: UUID
    partner_id: UUID | None = None


class TerminationRequested(TerminationFact):
    """An end of the contract was asked for; the notice counts from `requested_on` (CON-8, CON-9)."""

    topic: ClassVar[str] = "contract.termination_requested"

    request_id: UUID
    """One request may end several services, with a termination each."""
    requested_on: date
    regular_end: date
    """The first day on which the contract may end without a buy-out."""
    wish_date: date | None = None
    last_day: date
    """The last day of service that is asked for."""
    early: bool = False
    """Before the regular end: a buy-out is proposed (CON-11)."""
    reason: str = "other"
    """Coded: `moving`, `competitor`, `cost`, `not_needed`, `bankruptcy`, `force_majeure` or `other`."""


class TerminationApproved(TerminationFact):
    """The customer approved the end on or after the regular end (CON-10)."""

    topic: ClassVar[str] = "contract.termination_approved"

    last_day: date


class TerminationClosed(TerminationFact):
    """There is no termination any more: the service goes on, and a last day that was set is lifted."""

    topic: ClassVar[str] = "contract.termination_closed"

    reason: str
    """`declined`, `expired` or `withdrawn`."""
    buyout_was_accepted: bool = False
    """The accepted buy-out falls away with it: what was invoiced for it is credited (BIL-10)."""


class BuyoutLine(Value):
    """One line of a buy-out's sum. The lines add up to the sum."""

    kind: str
    """`remaining_fees`, `one_off`, `already_paid`, `cap` or `adjustment`."""
    label: str
    since: date | None = None
    until: date | None = None
    """First and last day it covers, both included."""
    amount: Money
    """Below zero for what is taken off."""


class SetOff(Value):
    """What was paid already for days that the buy-out covers, and is taken off its sum."""

    invoice_id: UUID
    period_from: date
    period_to: date
    """First and last day set off, both included."""
    amount: Money
    """Net of VAT; never below zero."""


class Buyout(TerminationFact):
    """A frozen buy-out: the same id, sum and lines from the proposal to the confirmations (CON-12)."""

    proposal_id: UUID
    last_day: date
    regular_end: date
    amount: Money
    """The sum, net of VAT; below zero it becomes a credit note."""
    lines: list[BuyoutLine]
    lines_hash: str
    """SHA-256 of what was proposed, in hexadecimal digits."""


class BuyoutProposed(Buyout):
    """Finance proposed what an earlier end costs (CON-11)."""

    topic: ClassVar[str] = "contract.buyout_proposed"

    valid_until: date
    """The last day on which it can be accepted."""


class BuyoutAccepted(Buyout):
    """The customer accepted; the sum is invoiced once, and the days that it has set off are not credited (BIL-10)."""

    topic: ClassVar[str] = "contract.buyout_accepted"

    set_off: list[SetOff] = Field(default_factory=list)


class TerminationScheduled(TerminationFact):
    """Everyone agreed: the contract has a last day it did not have before."""

    topic: ClassVar[str] = "contract.termination_scheduled"

    last_day: date
    regular_end: date
    early: bool = False
    proposal_id: UUID | None = None
    """The accepted buy-out, where it ends early."""


class ContractTerminated(TerminationFact):
    """The service has ended; `last_day` is the actual last day, also after a wait for a porting (CON-7)."""

    topic: ClassVar[str] = "contract.terminated"

    last_day: date
    reason: str = "other"
    early: bool = False
