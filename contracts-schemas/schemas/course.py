"""Facts about courses and commercial terms, announced by the catalog service."""

from datetime import date
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from schemas.event import Event
from schemas.values import CancellationTerms, CourseSession, CreditOffer, DatedPrice, Money


class CoursePublished(Event):
    """A course as it is now offered. A withdrawn course says so in `status`; running enrollments go on."""

    topic: ClassVar[str] = "course.published"
    key: ClassVar[str] = "course_id"
    source: ClassVar[str] = "catalog"
    state: ClassVar[bool] = True

    course_id: UUID
    title: str
    status: str = "published"
    """`published` or `withdrawn`."""
    kind: str
    """`classroom`, `online`, `elearning` or `group`."""
    language: str = "en"
    offered_by: str = "supplier"
    """`supplier`, `platform` (may be offered for credits) or `partner` (a whitelabel partner's own)."""
    supplier_id: UUID | None = None
    owner_partner_id: UUID | None = None
    """The partner whose own course it is: only its own people see it, and it costs no credits."""
    certificate: bool = False
    duration_minutes: int | None = None
    prices: list[DatedPrice] = Field(default_factory=list)
    vat: str = "standard"
    """`standard`, `exempt_education`, `reverse_charge` or `outside_scope`."""
    credits: CreditOffer = CreditOffer()
    sites: list[str] | None = None
    """Where this course alone may be seen; None: wherever its supplier is."""
    sessions: list[CourseSession] = Field(default_factory=list)
    cancellation: CancellationTerms = CancellationTerms()


class TermsChanged(Event):
    """Commercial terms as they now are (CAT-6, CAT-13): the default, or one supplier's for one customer."""

    topic: ClassVar[str] = "terms.changed"
    key: ClassVar[str] = "terms_id"
    source: ClassVar[str] = "catalog"
    state: ClassVar[bool] = True

    terms_id: UUID
    kind: str = "business"
    """`business` (discount for employees of customers) or `public` (fee on public enrollments)."""
    supplier_id: UUID | None = None
    """None, with `customer_id` None: the default for everybody."""
    customer_id: UUID | None = None
    status: str = "active"
    """`active` or `ended`."""
    valid_from: date
    discount_bp: int = Field(0, ge=0, le=10_000)
    platform_share_bp: int = Field(0, ge=0, le=10_000)
    """The platform's part of the discount; of the price where `kind` is `public`."""
    minimum_fee: Money | None = None
    """Least fee an enrollment; where `kind` is `public`, a fixed amount added."""
