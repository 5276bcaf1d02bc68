"""What makes a course acceptable, what it costs on a day, and for whom it is offered (CAT-4, CAT-5, CAT-7)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

KINDS = ("classroom", "online", "elearning", "group")
CATEGORIES = ("learning", "vitality")
VATS = ("standard", "exempt_education", "reverse_charge", "outside_scope")
SCOPES = ("none", "all", "chosen")
OFFERED_BY = ("supplier", "platform", "partner")

AMOUNT_MAX = 100_000_000
"""Highest list price, in minor units."""
CREDITS_MAX = 1_000_000
SEATS_MAX = 100_000
SESSIONS_MAX = 300
"""Most sessions of one course, past ones included: its announcement must stay under the size of a record."""
PRICES_MAX = 200
PARTNERS_CHOSEN_MAX = 1_000


class Fault(NamedTuple):
    """What is wrong with one field, and what to do about it."""

    field: str
    rule: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose course it is: a supplier's, the platform's, or a whitelabel partner's own."""

    offered_by: str
    supplier_id: UUID | None = None
    partner_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """A list price net of VAT, in minor units."""

    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class SessionContent:
    """One run of a course. Known by `session_id`, or by `key` within the file it came from; else it is new."""

    starts_at: datetime
    ends_at: datetime
    place: str | None
    capacity: int
    status: str = "open"
    session_id: UUID | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Credits:
    """For which partners a course is, and for how many credits."""

    scope: str = "none"
    general_value: int | None = None
    values: Mapping[UUID, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseContent:
    """All that an author says of a course."""

    title: str
    kind: str
    language: str
    summary: str = ""
    description: str = ""
    category: str = "learning"
    topics: tuple[str, ...] = ()
    trainers: tuple[str, ...] = ()
    duration_minutes: int | None = None
    certificate: bool = False
    list_price: Price | None = None
    vat: str = "standard"
    free_until_days: int = 14
    then_keep_bp: int = 10_000
    credits: Credits = Credits()
    sites: frozenset[str] | None = None
    sessions: tuple[SessionContent, ...] = ()
    code: str | None = None


def faults_of(owner: Owner, course: CourseContent) -> list[Fault]:
    """Everything that is wrong with a course, by what it says alone. Partners and sites are looked up elsewhere."""
    return [
        *_owner_faults(owner),
        *_content_faults(owner, course),
        *_credit_faults(owner, course.credits),
        *(fault for n, session in enumerate(course.sessions) for fault in _session_faults(n, session)),
    ]


def _owner_faults(owner: Owner) -> Iterator[Fault]:
    if owner.offered_by not in OFFERED_BY:
        yield Fault("offered_by", "one_of", f"One of {', '.join(OFFERED_BY)}.")
    if (owner.supplier_id is not None) != (owner.offered_by == "supplier"):
        yield Fault("supplier_id", "owner", "A supplier's course names its supplier; other courses name none.")
    if (owner.partner_id is not None) != (owner.offered_by == "partner"):
        yield Fault("owner_partner_id", "owner", "A partner's own course names the partner; other courses name none.")


def _content_faults(owner: Owner, course: CourseContent) -> Iterator[Fault]:
    for name, value, allowed in (
        ("kind", course.kind, KINDS),
        ("category", course.category, CATEGORIES),
        ("vat", course.vat, VATS),
    ):
        if value not in allowed:
            yield Fault(name, "one_of", f"One of {', '.join(allowed)}.")
    if not (len(course.language) == 2 and course.language.isalpha() and course.language.islower()):
        yield Fault("language", "iso_639", "Two small letters, such as nl, en or it.")
    if not course.title.strip():
        yield Fault("title", "missing", "Give the course a title.")
    if course.duration_minutes is not None and not 0 < course.duration_minutes <= 1_000_000:
        yield Fault("duration_minutes", "range", "Minutes, at least one.")
    if not 0 <= course.free_until_days <= 3650:
        yield Fault("cancellation.free_until_days", "range", "Days before the start, from 0 to 3650.")
    if not 0 <= course.then_keep_bp <= 10_000:
        yield Fault("cancellation.then_keep_bp", "range", "Basis points, from 0 to 10000.")
    if course.list_price is None:
        if owner.offered_by == "supplier":
            yield Fault("list_price", "missing", "A supplier's course has a list price.")
    elif not 0 <= course.list_price.amount <= AMOUNT_MAX:
        yield Fault("list_price.amount", "range", f"Minor units, from 0 to {AMOUNT_MAX}.")
    if len(course.sessions) > SESSIONS_MAX:
        yield Fault("sessions", "too_many", f"At most {SESSIONS_MAX} sessions a course.")


def _credit_faults(owner: Owner, credits: Credits) -> Iterator[Fault]:
    if credits.scope not in SCOPES:
        yield Fault("credits.scope", "one_of", f"One of {', '.join(SCOPES)}.")
    if credits.scope != "none" and owner.offered_by != "platform":
        yield Fault("credits.scope", "CAT-7", "Only the platform's own courses are offered for credits.")
    if credits.values and credits.scope != "chosen":
        yield Fault("credits.values", "CAT-7", "Values per partner need the scope `chosen`.")
    if credits.scope == "all" and credits.general_value is None:
        yield Fault("credits.general_value", "CAT-7", "For all partners there is one value for everyone.")
    if credits.scope == "chosen" and not credits.values:
        yield Fault("credits.values", "CAT-7", "Choose at least one partner.")
    if credits.scope == "chosen" and credits.general_value is None and None in credits.values.values():
        yield Fault("credits.general_value", "CAT-7", "A partner without a value of its own pays the general value.")
    if len(credits.values) > PARTNERS_CHOSEN_MAX:
        yield Fault("credits.values", "too_many", f"At most {PARTNERS_CHOSEN_MAX} partners.")
    for value in (credits.general_value, *credits.values.values()):
        if value is not None and not 0 <= value <= CREDITS_MAX:
            yield Fault("credits", "range", f"Whole credits, from 0 to {CREDITS_MAX}.")
            return


def _session_faults(n: int, session: SessionContent) -> Iterator[Fault]:
    if session.starts_at.tzinfo is None or session.ends_at.tzinfo is None:
        yield Fault(f"sessions.{n}.starts_at", "zone", "Say the time zone.")
    elif session.ends_at <= session.starts_at:
        yield Fault(f"sessions.{n}.ends_at", "order", "A session ends after it starts.")
    if not 0 <= session.capacity <= SEATS_MAX:
        yield Fault(f"sessions.{n}.capacity", "range", f"Seats, from 0 to {SEATS_MAX}.")
    if session.status not in ("open", "cancelled"):
        yield Fault(f"sessions.{n}.status", "one_of", "One of open, cancelled.")


def price_on(prices: Iterable[tuple[date, Price]], day: date) -> Price | None:
    """The list price that holds on `day`: the one with the latest effective date not after it (CAT-5)."""
    held = [dated for dated in prices if dated[0] <= day]
    return max(held, key=lambda dated: dated[0])[1] if held else None


def credit_value(credits: Credits, partner_id: UUID) -> int | None:
    """What the course costs a partner's people; None: it is not offered to that partner for credits."""
    if credits.scope == "all":
        return credits.general_value
    if credits.scope != "chosen" or partner_id not in credits.values:
        return None
    own = credits.values[partner_id]
    return credits.general_value if own is None else own
