"""What a partner is and how it may change. Values in, values out."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from contracts.zones import HOME_ZONE


class Kind(StrEnum):
    """`default` inherits the platform's style and domain; `whitelabel` has its own (CON-1)."""

    DEFAULT = "default"
    WHITELABEL = "whitelabel"


class Status(StrEnum):
    """A closed partner keeps its records, gets no new ones, and its admins lose their access."""

    ACTIVE = "active"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class TeamMember:
    """The platform's person who is responsible for a partner, as the partner is shown it."""

    grant_id: UUID
    name: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class PartnerTerms:
    """What staff decide about a partner."""

    name: str
    kind: Kind
    wallet: bool
    language: str
    time_zone: str = HOME_ZONE
    status: Status = Status.ACTIVE
    responsible: TeamMember | None = None


def may_change(current: PartnerTerms, wanted: PartnerTerms) -> bool:
    """Whether the change is allowed: of a closed partner nothing changes but its closure."""
    return current.status is Status.ACTIVE or wanted.status is Status.ACTIVE
