"""What other services announce, for the tests: one partner, its people, two courses, an enrollment."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from kit.db import uuid7
from schemas.access import AccessChanged
from schemas.course import CoursePublished
from schemas.enrollment import EnrollmentCancelled, EnrollmentCompleted, EnrollmentConfirmed
from schemas.partner import PartnerChanged
from schemas.person import PersonChanged

PARTNER_ID, OTHER_PARTNER_ID, CUSTOMER_ID = uuid7(), uuid7(), uuid7()
MANAGER_ID, PERSON_ID = uuid7(), uuid7()
COURSE_ID, CLASSROOM_ID = uuid7(), uuid7()

PARTNER = PartnerChanged(partner_id=PARTNER_ID, version=1, name="Lumen Learning", wallet=True)
WHITELABEL = PartnerChanged(partner_id=PARTNER_ID, version=1, name="Lumen Learning", kind="whitelabel", wallet=True)
COURSE = CoursePublished(
    course_id=COURSE_ID, version=1, title="Safe at work", kind="elearning", language="it", certificate=True
)
CLASSROOM = CoursePublished(course_id=CLASSROOM_ID, version=1, title="First aid", kind="classroom", certificate=True)

CONFIRMED_AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
COMPLETED_AT = datetime(2026, 3, 5, 23, 30, tzinfo=UTC)
"""Half past midnight of the 6th in Amsterdam."""


def person(person_id: UUID = PERSON_ID, version: int = 1, **fields: Any) -> PersonChanged:
    """Pia, who learns for the customer and has a manager."""
    pia = {
        "name": "Pia Participant",
        "email": "Pia@Customer.example",
        "language": "nl",
        "customer_id": CUSTOMER_ID,
        "partner_id": PARTNER_ID,
        "manager_id": MANAGER_ID,
    }
    return PersonChanged(person_id=person_id, version=version, **{**pia, **fields})


def erased(person_id: UUID = PERSON_ID, version: int = 9) -> PersonChanged:
    """What is left of somebody who was erased."""
    return PersonChanged(person_id=person_id, version=version, status="erased")


def colleague(email: str, *roles: str, person_id: UUID | None = None, **fields: Any) -> PersonChanged:
    """Somebody of the same customer."""
    return person(person_id or uuid7(), name=email.split("@")[0], email=email, roles=list(roles), **fields)


def partner_admin(email: str, partner_id: UUID = PARTNER_ID) -> AccessChanged:
    return AccessChanged(
        grant_id=uuid7(),
        version=1,
        role="partner_admin",
        tenant_kind="partner",
        tenant_id=partner_id,
        email=email,
    )


def enrollment(enrollment_id: UUID, course_id: UUID = COURSE_ID, person_id: UUID = PERSON_ID) -> dict[str, Any]:
    return {
        "enrollment_id": enrollment_id,
        "person_id": person_id,
        "course_id": course_id,
        "partner_id": PARTNER_ID,
        "customer_id": CUSTOMER_ID,
        "way": "associated",
        "payment": "credits",
        "credits": 4,
    }


def confirmed(enrollment_id: UUID, **more: Any) -> EnrollmentConfirmed:
    return EnrollmentConfirmed(version=2, confirmed_at=CONFIRMED_AT, **enrollment(enrollment_id, **more))


def completed(enrollment_id: UUID, certificate: bool = True, **more: Any) -> EnrollmentCompleted:
    return EnrollmentCompleted(
        version=3, completed_at=COMPLETED_AT, certificate=certificate, **enrollment(enrollment_id, **more)
    )


def cancelled(enrollment_id: UUID, **more: Any) -> EnrollmentCancelled:
    return EnrollmentCancelled(version=3, reason="illness", cancelled_by="person", **enrollment(enrollment_id, **more))
