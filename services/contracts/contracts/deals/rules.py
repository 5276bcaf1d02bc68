"""When a deal is about the same company, how long it is protected, and what it lacks. No clock, no database."""

import re
import unicodedata
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

from contracts.customers.rules import Blank, Email, Line
from contracts.zones import day_begins

PROTECTED_DAYS = 90
NOTICE_DAYS = (14, 3)
"""So many days before a protection ends, its partner is told."""
ALIKE = 0.6
"""From this similarity of their trigrams on, two names may be one company's."""


class State(StrEnum):
    """A deal is open until it is won or lost."""

    REGISTERED = "registered"
    CONFIRMED = "confirmed"
    WON = "won"
    LOST = "lost"


OPEN = (State.REGISTERED, State.CONFIRMED)


class Reason(StrEnum):
    """Why a deal was lost."""

    PRICE = "price"
    COMPETITOR = "competitor"
    NO_DECISION = "no_decision"
    NO_BUDGET = "no_budget"
    TIMING = "timing"
    OTHER = "other"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    ORDERED_ELSEWHERE = "ordered_elsewhere"


PLATFORMS = frozenset({Reason.REJECTED, Reason.DUPLICATE})
"""Said by the platform alone. `ordered_elsewhere` is said by nobody: it happens."""

Phone = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^\+?[0-9 ()./-]{5,30}$")]


class Contact(BaseModel):
    """Whom the partner talks to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Line
    email: Annotated[Email | None, Blank] = None
    phone: Annotated[Phone | None, Blank] = None
    role: Annotated[Line | None, Blank] = None


# -- the same company -------------------------------------------------------------------------------------

_FORMS = frozenset(
    """
    bv nv vof cv stichting vereniging cooperatie ua holding groep group srl spa sas snc srls ltd limited plc llp inc
    llc corp gmbh ag kg se sa sarl bvba co the de het
    """.split()  # noqa: SIM905 - words are read as words
)
_SHARED_DOMAINS = frozenset(
    """
    gmail.com googlemail.com outlook.com hotmail.com live.com live.nl yahoo.com icloud.com me.com aol.com gmx.com
    gmx.net gmx.de proton.me protonmail.com libero.it virgilio.it tiscali.it alice.it ziggo.nl kpnmail.nl planet.nl
    xs4all.nl hetnet.nl home.nl
    """.split()  # noqa: SIM905
)


def company_key(name: str) -> str:
    """A company's name as it is compared: without accents, punctuation and legal form."""
    # Folded in both orders: letters of mathematics become letters only by the first, `İ` has a dot only after it.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold()).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    # Before the points go, so that `B.V.` is one word.
    words = re.findall(r"[^\W_]+", re.sub(r"(?<=\b\w)\.(?=\w\b)", "", plain))
    return " ".join([word for word in words if word not in _FORMS] or words)


def domain(written: str) -> str:
    """The domain of an address on the web or of mail, as it is compared. Raises `ValueError`."""
    text = written.strip().casefold()
    host = text.rpartition("@")[2] if "@" in text and "/" not in text else text
    host = urlsplit(host if "//" in host else f"//{host}").hostname or ""
    try:
        host = host.removeprefix("www.").rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        host = ""
    if not re.fullmatch(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", host):
        raise ValueError(f"{written!r} is not a domain, such as zilverberg.example")
    if host in _SHARED_DOMAINS:
        raise ValueError(f"{host} is shared by many: give the organisation's own domain, or none")
    return host


def registration_number(written: str) -> str:
    """A chamber's number as it is compared. Raises `ValueError`."""
    compact = "".join(c for c in written.upper() if c.isalnum())
    if not (4 <= len(compact) <= 20 and compact.isascii() and any(c.isdigit() for c in compact)):
        raise ValueError(f"{written!r} is not a registration number: it has 4 to 20 letters and digits")
    return compact


Domain = Annotated[str | None, Blank, BeforeValidator(lambda text: domain(text) if isinstance(text, str) else text)]
RegistrationNumber = Annotated[
    str | None, Blank, BeforeValidator(lambda text: registration_number(text) if isinstance(text, str) else text)
]


class Matched(StrEnum):
    """By what two deals are about one company; by a name they only seem to be."""

    CUSTOMER = "customer"
    REGISTRATION_NUMBER = "registration_number"
    DOMAIN = "domain"
    NAME = "name"


# -- protection -------------------------------------------------------------------------------------------


def protected_until(today: date) -> date:
    """The last day of a protection that begins, or is renewed, today."""
    return today + timedelta(days=PROTECTED_DAYS)


def next_notice(until: date, after: date, zone: str) -> datetime | None:
    """When the partner is next told that a protection ends, told all that was due on the day `after`."""
    days = [until - timedelta(days=before) for before in NOTICE_DAYS]
    return next((day_begins(day, zone) for day in days if day > after), None)
