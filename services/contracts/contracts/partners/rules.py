"""What a partner is, how it looks, and how it may change. Values in, values out."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

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


# -- branding -----------------------------------------------------------------------------------------------

TEXT_CONTRAST = Decimal("4.5")
"""WCAG 2.2, 1.4.3: text against what it stands on."""
SHAPE_CONTRAST = Decimal(3)
"""WCAG 2.2, 1.4.11: a control against what is around it."""

Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$", to_lower=True)]
"""As in style sheets: #1a2b3c."""


def _email(address: str) -> str:
    try:
        return validate_email(address, check_deliverability=False).normalized
    except EmailNotValidError as wrong:
        raise ValueError(str(wrong)) from None


class Colours(BaseModel):
    """The colours of a site; they must be told apart by everybody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    background: Colour = "#ffffff"
    text: Colour = "#1a1a1a"
    primary: Colour
    """Of buttons and links."""
    on_primary: Colour = "#ffffff"
    """Of the words on a button."""


class Sender(BaseModel):
    """Who mails come from; the address is on the partner's own proved domain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f<>]+$")
    ]
    email: Annotated[str, StringConstraints(strip_whitespace=True, max_length=254), AfterValidator(_email)]


class Branding(BaseModel):
    """How a whitelabel partner looks; what is not given is the platform's."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str | None = None
    """Shown in place of the platform's name; its own name, where there is none."""
    colours: Colours | None = None
    logo: str | None = None
    """The logo's content hash."""
    domain: str | None = None
    domain_token: str | None = None
    domain_proved_at: datetime | None = None
    sender: Sender | None = None


def luminance(colour: str) -> Decimal:
    """How bright a colour is, 0 to 1, by the definition of WCAG 2.2."""
    channels = []
    for at in (1, 3, 5):
        value = Decimal(int(colour[at : at + 2], 16)) / 255
        channels.append(value / Decimal("12.92") if value <= Decimal("0.04045") else _linear(value))
    red, green, blue = channels
    return Decimal("0.2126") * red + Decimal("0.7152") * green + Decimal("0.0722") * blue


def _linear(value: Decimal) -> Decimal:
    return ((value + Decimal("0.055")) / Decimal("1.055")) ** Decimal("2.4")


def contrast(one: str, other: str) -> Decimal:
    """The contrast ratio of two colours, 1 to 21."""
    darker, brighter = sorted((luminance(one), luminance(other)))
    return (brighter + Decimal("0.05")) / (darker + Decimal("0.05"))


@dataclass(frozen=True, slots=True)
class TooPale:
    """Two colours that cannot be told apart well enough."""

    fields: tuple[str, str]
    contrast: str
    needed: str


def too_pale(colours: Colours) -> list[TooPale]:
    """The pairs whose contrast is below what WCAG asks for."""
    pairs = (("text", "background", TEXT_CONTRAST), ("on_primary", "primary", TEXT_CONTRAST),
             ("primary", "background", SHAPE_CONTRAST))  # fmt: skip
    found = []
    for one, other, needed in pairs:
        ratio = contrast(getattr(colours, one), getattr(colours, other))
        if ratio < needed:
            found.append(TooPale((one, other), str(ratio.quantize(Decimal("0.01"), ROUND_DOWN)), str(needed)))
    return found


PROOF_PREFIX = "tandem-verification="


def proof_name(domain: str) -> str:
    """Where the TXT record stands that proves a domain."""
    return f"_tandem.{domain}"


_LABEL = re.compile(r"^(?!-)[a-z0-9-]{1,63}(?<!-)$")


def domain_of(name: str) -> str:
    """A domain name in its plain form (IDNA, lower case). Raises `ValueError` where it is none."""
    try:
        plain = name.strip().rstrip(".").lower().encode("idna").decode()
    except UnicodeError as wrong:
        raise ValueError(f"{name!r} is not a domain name") from wrong
    labels = plain.split(".")
    if len(plain) > 253 or len(labels) < 2 or not all(map(_LABEL.match, labels)) or labels[-1].isdigit():
        raise ValueError(f"{name!r} is not a domain name such as academy.example.com")
    return plain


def within(host: str, domain: str) -> bool:
    """Whether a host is a domain or below it."""
    return host == domain or host.endswith(f".{domain}")
