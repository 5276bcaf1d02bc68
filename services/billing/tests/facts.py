"""Facts of other services, as short as a test wants to say them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from typing_extensions import TypeVar

from schemas.enrollment import EnrollmentFact
from schemas.event import uuid7
from schemas.partner import PartnerChanged

F = TypeVar("F", bound=EnrollmentFact)

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def partner(partner_id: UUID, version: int = 1, **more: Any) -> PartnerChanged:
    return PartnerChanged(
        **{"partner_id": partner_id, "version": version, "name": "Learning Lab", "wallet": True} | more
    )


def fact(kind: type[F], enrollment_id: UUID, partner_id: UUID | None, credits: int = 4, **more: Any) -> F:
    """A step of an enrollment that is paid by credits, with what its kind needs besides."""
    own: dict[str, dict[str, Any]] = {
        "enrollment.requested": {"expires_at": NOON},
        "enrollment.approved": {"approved_by": "user:lead", "approved_at": NOON},
        "enrollment.refused": {"reason": "stuck"},
        "enrollment.cancelled": {"reason": "ill", "cancelled_by": "person", "credits_returned": credits},
    }
    return kind(
        **{
            "version": 1,
            "enrollment_id": enrollment_id,
            "person_id": uuid7(),
            "course_id": uuid7(),
            "partner_id": partner_id,
            "way": "associated",
            "payment": "credits",
            "credits": credits,
        }
        | own.get(kind.topic, {})
        | more
    )
