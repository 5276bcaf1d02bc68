"""What a row of a course file says. People write these files in spreadsheets, in three languages."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from catalog.courses.rules import AMOUNT_MAX, CourseContent, Credits, Price, SessionContent

YES = {"yes", "y", "ja", "j", "sì", "si", "s", "true", "1", "x"}
NO = {"no", "n", "nee", "false", "0"}
TWO_DECIMALS = ("EUR", "GBP", "USD", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK")

_PRICE = re.compile(
    r"(?P<whole>\d{1,3}(?P<group>[., ])\d{3}(?:(?P=group)\d{3})*|\d+)(?:[.,](?P<cents>\d{2}|-))?",
    re.ASCII,
)
_SESSION = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[ T](?P<from>\d\d:\d\d)\s*[-–/]\s*(?:(?P<last>\d{4}-\d\d-\d\d)[ T])?(?P<to>\d\d:\d\d)"
    r"(?:\s+(?P<place>.*?))?\s*\((?P<seats>\d{1,6})\)",
    re.ASCII,
)


class NotUnderstandable(ValueError):
    """A cell does not say what its column is for; the text says how to write it."""


def price_of(cell: str) -> int:
    """A price in minor units, as people write it: `395`, `395.00`, `395,00`, `1.250,00`, `1,250.00`, `395,-`.

    Raises `NotUnderstandable` for `1.250`: one and a quarter, or twelve hundred and fifty?
    """
    bare = re.sub(r"^(?:€|EUR)\s*", "", cell.strip())
    found = _PRICE.fullmatch(bare)
    if not found or (found["group"] in (".", ",") and found["cents"] is None):
        raise NotUnderstandable("Write a price as 1250 or 1250.00.")
    if found["cents"] and found["group"] and bare[found.end("whole")] == found["group"]:
        raise NotUnderstandable("Write a price as 1250 or 1250.00.")
    whole = int(re.sub(r"\D", "", found["whole"]))
    amount = whole * 100 + int((found["cents"] or "0").replace("-", "0"))
    if amount > AMOUNT_MAX:
        raise NotUnderstandable(f"A price is {AMOUNT_MAX // 100} at most.")
    return amount


def sessions_of(cell: str, zone: ZoneInfo) -> tuple[SessionContent, ...]:
    """Sessions as `2027-03-02 09:00-17:00 Utrecht (12)`, several with `|` between; local times, seats in brackets.

    One that comes again with the same start and place is the same session. Raises `NotUnderstandable`.
    """
    return tuple(_session(part.strip(), zone) for part in cell.split("|") if part.strip())


def _session(part: str, zone: ZoneInfo) -> SessionContent:
    found = _SESSION.fullmatch(part)
    if found is None:
        raise NotUnderstandable(f"{part!r}: write a session as 2027-03-02 09:00-17:00 Utrecht (12).")
    day, place = found["day"], found["place"] or None
    return SessionContent(
        starts_at=_instant(f"{day}T{found['from']}", zone),
        ends_at=_instant(f"{found['last'] or day}T{found['to']}", zone),
        place=place,
        capacity=int(found["seats"]),
        key=f"{day} {found['from']} {place or ''}".strip(),
    )


def _instant(local: str, zone: ZoneInfo) -> datetime:
    try:
        naive = datetime.fromisoformat(local)
    except ValueError as error:
        raise NotUnderstandable(f"{local.replace('T', ' ')} is no date and time.") from error
    instant = naive.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != naive:
        raise NotUnderstandable(f"{local.replace('T', ' ')} does not exist: the clocks go forward in that hour.")
    return instant


def names_of(cell: str | None) -> tuple[str, ...]:
    """A cell that lists names, with `|` between."""
    return tuple(name.strip() for name in (cell or "").split("|") if name.strip())


def partners_of(cell: str | None) -> dict[str, int | None]:
    """Partners by name or id, each with its own credit value where it has one: `Noorderlicht=3|Zuiderzon`.

    Raises `NotUnderstandable`.
    """
    found: dict[str, int | None] = {}
    for part in names_of(cell):
        name, equals, value = part.partition("=")
        if not name.strip() or (equals and not re.fullmatch(r"\s*\d{1,7}\s*", value)):
            raise NotUnderstandable(f"{part!r}: write a partner as Noorderlicht or Noorderlicht=3.")
        found[name.strip()] = int(value) if equals else None
    return found


def _checked(read: Any) -> AfterValidator:
    """Check a cell, and keep it as it was written."""

    def check(cell: str) -> str:
        try:
            read(cell)
        except NotUnderstandable as error:
            raise PydanticCustomError("not_understandable", "{why}", {"why": str(error)}) from error
        return cell

    return AfterValidator(check)


def _yes_or_no(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    word = cell.strip().lower()
    if word not in YES | NO:
        raise PydanticCustomError("yes_or_no", "Write yes or no.")
    return word in YES


def _currency(code: str) -> str:
    if code not in TWO_DECIMALS:
        raise PydanticCustomError("currency", "One of {known}.", {"known": ", ".join(TWO_DECIMALS)})
    return code


Name = Annotated[str, Field(max_length=200)]


class CourseRow(BaseModel):
    """A course in a file: one row, found again by its code."""

    code: Annotated[str, Field(min_length=1, max_length=60)]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Annotated[str, BeforeValidator(lambda cell: str(cell).lower())]
    language: Annotated[str, BeforeValidator(lambda cell: str(cell).lower())]
    supplier: Name | None = None
    """Name or id; only staff name one."""
    price: Annotated[str, _checked(price_of)] | None = None
    currency: Annotated[str, AfterValidator(_currency)] = "EUR"
    vat: str = "standard"
    certificate: Annotated[bool, BeforeValidator(_yes_or_no)] = False
    duration_minutes: int | None = None
    summary: Annotated[str, Field(max_length=1000)] = ""
    description: Annotated[str, Field(max_length=20_000)] = ""
    category: str = "learning"
    topics: str | None = None
    trainers: str | None = None
    free_until_days: int = 14
    keep_percent: Annotated[int, Field(ge=0, le=100)] = 100
    """Share of the price kept by a late cancellation."""
    sites: str | None = None
    credits: int | None = None
    credit_partners: Annotated[str, _checked(partners_of)] | None = None
    sessions: Annotated[str, _checked(lambda cell: sessions_of(cell, ZoneInfo("UTC")))] | None = None

    def content(self, zone: ZoneInfo, credits: Credits) -> CourseContent:
        """The course that the row says. Raises `NotUnderstandable` for a time that the zone does not have."""
        return CourseContent(
            code=self.code,
            title=self.title,
            summary=self.summary,
            description=self.description,
            kind=self.kind,
            category=self.category,
            topics=names_of(self.topics),
            language=self.language,
            trainers=names_of(self.trainers),
            duration_minutes=self.duration_minutes,
            certificate=self.certificate,
            list_price=None if self.price is None else Price(price_of(self.price), self.currency),
            vat=self.vat,
            free_until_days=self.free_until_days,
            then_keep_bp=self.keep_percent * 100,
            credits=credits,
            sites=None if self.sites is None else frozenset(names_of(self.sites)),
            sessions=sessions_of(self.sessions or "", zone),
        )
