"""Facts about enrollments: one person on one course. Announced by the enrollment service.

Each carries what the other services need to act, so that nobody has to ask back. They are step
facts: readers move a row forward and never ignore one for its version.
"""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from schemas.event import Event
from schemas.values import PriceBreakdown


class EnrollmentFact(Event):
    """What every enrollment event carries: who, on what, for whom, and how it is paid."""

    key: ClassVar[str] = "enrollment_id"
    source: ClassVar[str] = "enrollment"

    enrollment_id: UUID
    person_id: UUID
    course_id: UUID
    session_id: UUID | None = None
    supplier_id: UUID | None = None
    partner_id: UUID | None = None
    customer_id: UUID | None = None
    way: str
    """`requested`, `associated`, `public` or `group`."""
    payment: str
    """`credits`, `invoice` or `none`; frozen at creation (ENR-4)."""
    credits: int | None = None
    """The credit value as shown, where payment is `credits`."""
    price: PriceBreakdown | None = None
    """The price as shown, where payment is `invoice`."""


class EnrollmentRequested(EnrollmentFact):
    """Somebody asked for a place and somebody must decide. Paid by credits, billing holds them first."""

    topic: ClassVar[str] = "enrollment.requested"

    expires_at: datetime


class EnrollmentApproved(EnrollmentFact):
    """The place is wanted and allowed; billing's answer confirms or refuses it."""

    topic: ClassVar[str] = "enrollment.approved"

    approved_by: str
    """By id, such as `grant:<id>` or `link:<id>`; never by name or address."""
    approved_at: datetime


class EnrollmentDeclined(EnrollmentFact):
    """The manager said no."""

    topic: ClassVar[str] = "enrollment.declined"

    reason: str | None = None


class EnrollmentWithdrawn(EnrollmentFact):
    """The person took the request back before a decision."""

    topic: ClassVar[str] = "enrollment.withdrawn"


class EnrollmentExpired(EnrollmentFact):
    """Nobody decided in time."""

    topic: ClassVar[str] = "enrollment.expired"


class EnrollmentConfirmed(EnrollmentFact):
    """Paid for or instructed: the person has the place."""

    topic: ClassVar[str] = "enrollment.confirmed"

    confirmed_at: datetime


class EnrollmentRefused(EnrollmentFact):
    """The system refused the place; nothing is charged."""

    topic: ClassVar[str] = "enrollment.refused"

    reason: str
    """`not_enough_credits`, `invoicing_incomplete`, `stuck`, …"""
    balance: int | None = None
    """Credits available when it was refused for lack of them."""
    missing: list[str] = Field(default_factory=list)
    """Invoicing details that are missing."""


class EnrollmentMoved(EnrollmentFact):
    """The place is now in another session; `session_id` is the new one."""

    topic: ClassVar[str] = "enrollment.moved"

    from_session_id: UUID | None


class EnrollmentRepriced(EnrollmentFact):
    """The price was changed with everyone's consent; `price` is the new breakdown."""

    topic: ClassVar[str] = "enrollment.repriced"

    old_price: PriceBreakdown
    reason: str


class EnrollmentCancelled(EnrollmentFact):
    """The place was given up after approval. Says what is kept and what goes back (ENR-8)."""

    topic: ClassVar[str] = "enrollment.cancelled"

    reason: str
    cancelled_by: str
    """`person`, `manager`, `partner`, `supplier`, `platform` or `system`."""
    credits_kept: int = 0
    credits_returned: int = 0
    price_kept: PriceBreakdown | None = None
    """The kept part of the price, split as the price is; None: nothing is kept."""


class EnrollmentCompleted(EnrollmentFact):
    """The person completed the course."""

    topic: ClassVar[str] = "enrollment.completed"

    completed_at: datetime
    certificate: bool = False
    """The course gives a certificate."""
