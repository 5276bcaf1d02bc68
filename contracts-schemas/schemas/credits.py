"""Facts about credits, announced by the billing service. A credit is a whole unit, not money."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from schemas.event import Event


class EnrollmentCredits(Event):
    """An answer about one enrollment's credits; `version` counts billing's answers to it."""

    key: ClassVar[str] = "enrollment_id"
    source: ClassVar[str] = "billing"

    enrollment_id: UUID
    partner_id: UUID
    credits: int
    """The credits this fact moves or asks for."""
    available: int
    """Credits the wallet could still spend when this was decided."""


class CreditsHeld(EnrollmentCredits):
    """The price is set aside until the request is decided."""

    topic: ClassVar[str] = "credits.held"


class CreditsReleased(EnrollmentCredits):
    """A hold was given back without a charge."""

    topic: ClassVar[str] = "credits.released"


class CreditsCharged(EnrollmentCredits):
    """The price is paid; exactly once an enrollment (BIL-2)."""

    topic: ClassVar[str] = "credits.charged"


class CreditsRefused(EnrollmentCredits):
    """The wallet does not cover the price; nothing was moved."""

    topic: ClassVar[str] = "credits.refused"

    reason: str = "not_enough_credits"


class CreditsRefunded(EnrollmentCredits):
    """Credits went back to the wallet after a cancellation."""

    topic: ClassVar[str] = "credits.refunded"

    kept: int = 0


class WalletFact(Event):
    """Something about a whole wallet; `version` is the wallet's."""

    key: ClassVar[str] = "partner_id"
    source: ClassVar[str] = "billing"

    partner_id: UUID
    available: int


class CreditsToppedUp(WalletFact):
    """Platform staff added credits."""

    topic: ClassVar[str] = "credits.topped_up"

    credits: int
    transaction_id: UUID
    expires_at: datetime | None = None


class CreditsDepleted(WalletFact):
    """A charge or hold was refused, or nothing is left. Once an episode (BIL-3)."""

    topic: ClassVar[str] = "credits.depleted"

    episode: int
    """Counts the wallet's episodes, from 1."""
    refused_price: int | None = None
    """The price that was refused, in credits; None where the wallet merely became empty."""


class CreditsReplenished(WalletFact):
    """The episode is over: the wallet has credits again and covers the last refused price."""

    topic: ClassVar[str] = "credits.replenished"

    episode: int
