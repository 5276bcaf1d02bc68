"""Facts about learning and its proof, announced by the academy service."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from schemas.event import Event


class CourseCompleted(Event):
    """A person finished an e-learning or online course in the academy."""

    topic: ClassVar[str] = "course.completed"
    key: ClassVar[str] = "enrollment_id"
    source: ClassVar[str] = "academy"

    enrollment_id: UUID
    person_id: UUID
    course_id: UUID
    completed_at: datetime


class CertificateIssued(Event):
    """A certificate exists and can be verified by anyone who has its number."""

    topic: ClassVar[str] = "certificate.issued"
    key: ClassVar[str] = "certificate_id"
    source: ClassVar[str] = "academy"

    certificate_id: UUID
    number: str
    enrollment_id: UUID
    person_id: UUID
    course_id: UUID
    partner_id: UUID | None = None
    customer_id: UUID | None = None
    issued_at: datetime
    verify_url: str


class CertificateRevoked(Event):
    """A certificate no longer holds."""

    topic: ClassVar[str] = "certificate.revoked"
    key: ClassVar[str] = "certificate_id"
    source: ClassVar[str] = "academy"

    certificate_id: UUID
    number: str
    enrollment_id: UUID
    reason: str
