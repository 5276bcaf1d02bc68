"""Enrollments as the events that announce them."""

from dataclasses import asdict
from typing import Any

from enrollment.enrollments.rules import Enrollment, Settlement, State
from enrollment.prices.rules import Price
from schemas.enrollment import (
    EnrollmentApproved,
    EnrollmentCancelled,
    EnrollmentCompleted,
    EnrollmentConfirmed,
    EnrollmentDeclined,
    EnrollmentExpired,
    EnrollmentFact,
    EnrollmentMoved,
    EnrollmentRefused,
    EnrollmentRepriced,
    EnrollmentRequested,
    EnrollmentWithdrawn,
)
from schemas.values import PriceBreakdown


def breakdown(price: Price | None) -> PriceBreakdown | None:
    return PriceBreakdown(**asdict(price)) if price else None


def _common(e: Enrollment) -> dict[str, Any]:
    return {
        "version": e.version,
        "enrollment_id": e.id,
        "person_id": e.person_id,
        "course_id": e.course_id,
        "session_id": e.session_id,
        "supplier_id": e.supplier_id,
        "partner_id": e.partner_id,
        "customer_id": e.customer_id,
        "way": e.way,
        "payment": e.payment.value,
        "credits": e.credits,
        "price": breakdown(e.price),
    }


def fact_of(e: Enrollment) -> EnrollmentFact:
    """The fact that announces the state it is in. Made anew it is the same fact under a new event id."""
    common = _common(e)
    last = e.history[-1]
    match e.state:
        case State.REQUESTED:
            return EnrollmentRequested(**common, expires_at=e.expires_at)
        case State.APPROVED:
            return EnrollmentApproved(**common, approved_by=e.approved_by, approved_at=e.approved_at)
        case State.CONFIRMED:
            return EnrollmentConfirmed(**common, confirmed_at=e.confirmed_at)
        case State.COMPLETED:
            return EnrollmentCompleted(**common, completed_at=e.completed_at, certificate=e.certificate)
        case State.DECLINED:
            return EnrollmentDeclined(**common, reason=last.get("why"))
        case State.WITHDRAWN:
            return EnrollmentWithdrawn(**common)
        case State.EXPIRED:
            return EnrollmentExpired(**common)
        case State.REFUSED:
            problem = e.problem or {}
            return EnrollmentRefused(
                **common,
                reason=problem.get("reason", "stuck"),
                balance=problem.get("balance"),
                missing=problem.get("missing", []),
            )
        case State.CANCELLED:
            settled = e.settlement or Settlement()
            return EnrollmentCancelled(
                **common,
                reason=last.get("why", ""),
                cancelled_by=last["as"],
                credits_kept=settled.credits_kept,
                credits_returned=settled.credits_returned,
                price_kept=breakdown(settled.price_kept),
            )


def moved_fact(e: Enrollment, before: Enrollment) -> EnrollmentMoved:
    """The place is in another session now."""
    return EnrollmentMoved(**_common(e), from_session_id=before.session_id)


def repriced_fact(e: Enrollment, before: Enrollment, reason: str) -> EnrollmentRepriced:
    """The price was changed with everyone's consent."""
    return EnrollmentRepriced(**_common(e), old_price=breakdown(before.price), reason=reason)
