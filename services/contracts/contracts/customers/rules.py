"""What a customer is and may become, what its invoices must carry, whether it is right, and what is missing."""

from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any

import stdnum
from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError as StdnumError

from contracts.terminations.rules import months_after
from schemas.values import Address, InvoicingDetails

_ISO_3166_1 = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV
BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES
ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE
IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY
MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU
NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM
SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE
VG VI VN VU WF WS YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_ISO_3166_1.split())
"""Country codes, two letters."""


class Status(StrEnum):
    """`company` groups a partner's students without a contract."""

    COMPANY = "company"
    TRIAL = "trial"
    ACTIVE = "active"
    CLOSED = "closed"


class Closed(StrEnum):
    """Why a customer is closed (CON-2)."""

    TRIAL_OVER = "trial_over"
    ENDED = "ended"
    """Its subscription has ended."""
    WITHDRAWN = "withdrawn"
    """Closed by hand, before it had a subscription."""


NEXT: dict[Status, frozenset[Status]] = {
    Status.COMPANY: frozenset({Status.TRIAL, Status.ACTIVE, Status.CLOSED}),
    Status.TRIAL: frozenset({Status.ACTIVE, Status.CLOSED}),
    Status.ACTIVE: frozenset({Status.CLOSED}),
    Status.CLOSED: frozenset({Status.TRIAL, Status.ACTIVE}),
}
"""What a customer of each status may become; a closed one is taken back with its data (CON-14)."""

TRIAL_DAYS = 30
TRIAL_DAYS_MAX = 366
TRIAL_WARNING_DAYS = 7
"""A trial that ends within so many days needs attention (POR-4)."""


def trial_last_day(starts_on: date, days: int) -> date:
    """The last day of a trial that lasts `days` days, the first one counted."""
    return starts_on + timedelta(days=days - 1)


def days_left(today: date, last_day: date) -> int:
    """Days that are left of a trial, today counted; 0 once it is over."""
    return max((last_day - today).days + 1, 0)


def next_renewal(subscribed_on: date, renews_on: date, renewal_months: int, today: date) -> date:
    """The first renewal after `today`: counted from the first day, so that a clipped month shortens no later one."""
    elapsed = (renews_on.year - subscribed_on.year) * 12 + renews_on.month - subscribed_on.month
    while renews_on <= today:
        elapsed += renewal_months
        renews_on = months_after(subscribed_on, elapsed)
    return renews_on


class Size(StrEnum):
    """Decides the longest payment term that the law allows (BIL-6)."""

    LARGE = "large"
    SMALL = "small"


def _none_if_blank(text: Any) -> Any:
    return None if isinstance(text, str) and not text.strip() else text


def _country(code: str) -> str:
    if code not in COUNTRIES:
        raise ValueError(f"{code} is not a country code of ISO 3166-1")
    return code


def _email(address: str) -> str:
    try:
        return validate_email(address, check_deliverability=False).normalized
    except EmailNotValidError as wrong:
        raise ValueError(str(wrong)) from None


Blank = BeforeValidator(_none_if_blank)
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Country = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z]{2}$"),
    AfterValidator(_country),
]
Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254), AfterValidator(_email)]


def checked_vat_id(number: str, country: str | None) -> str:
    """The VAT id in its compact form, with its country's prefix. Raises `ValueError` naming what is wrong.

    Its form and check digits are tested by the rules of `country`; without one, by those of its prefix.
    Whether it is registered is not asked.
    """
    compact = "".join(c for c in number.upper() if c.isalnum())
    northern_ireland = country == "GB" and compact.startswith("XI")
    if country is None or northern_ireland or country.lower() in eu_vat.MEMBER_STATES:
        prefix = "" if country is None or northern_ireland else {"GR": "EL"}.get(country, country)
        prefixed = compact if compact.startswith(prefix) else prefix + compact
        try:
            return str(eu_vat.validate(prefixed)).upper()
        except StdnumError as wrong:
            hint = "" if country else "; without a country it must start with that of its country"
            raise ValueError(f"{number} is not a VAT id of {country or 'the EU'}: {wrong}{hint}") from None
    rules = stdnum.get_cc_module(country, "vat")
    if rules is None:
        if not 4 <= len(compact) <= 20:
            raise ValueError(f"{number} is not a VAT id: it has 4 to 20 letters and digits")
        return compact
    try:
        valid = str(rules.validate(number))
    except StdnumError as wrong:
        raise ValueError(f"{number} is not a VAT id of {country}: {wrong}") from None
    return valid if not compact.startswith(country) or valid.startswith(country) else country + valid


class PostalAddress(BaseModel):
    """Where an organisation is; any part may still be missing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    street: Annotated[Line | None, Blank] = None
    postal_code: Annotated[Line | None, Blank] = None
    city: Annotated[Line | None, Blank] = None
    country: Annotated[Country | None, Blank] = None


class Invoicing(BaseModel):
    """Invoicing details: what is there is right, what is not there is `missing`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    legal_name: Annotated[Line | None, Blank] = None
    address: PostalAddress = PostalAddress()
    vat_id: Annotated[Line | None, Blank] = None
    registration_number: Annotated[Line | None, Blank] = None
    invoice_email: Annotated[Email | None, Blank] = None
    """An address of the organisation, not of a person."""

    @field_validator("vat_id")
    @classmethod
    def _vat_id_fits_its_country(cls, number: str | None, info: ValidationInfo) -> str | None:
        address = info.data.get("address")
        if number is None or address is None:  # the address is wrong itself, and says so
            return number
        return checked_vat_id(number, address.country)

    @classmethod
    def stored(cls, details: Mapping[str, Any]) -> "Invoicing":
        """Details as they were kept. They were checked when they came in; a rule made stricter since must not
        make them unreadable."""
        address = PostalAddress.model_construct(**details.get("address", {}))
        return cls.model_construct(**{**details, "address": address})

    def announced(self) -> InvoicingDetails:
        """The details as others read them: an address counts when it is whole."""
        where = self.address
        address = None
        if where.street and where.postal_code and where.city and where.country:
            address = Address(
                street=where.street, postal_code=where.postal_code, city=where.city, country=where.country
            )
        return InvoicingDetails(
            legal_name=self.legal_name,
            address=address,
            vat_id=self.vat_id,
            registration_number=self.registration_number,
            invoice_email=self.invoice_email,
        )

    def missing(self) -> list[str]:
        """What an invoice to this organisation still lacks, as dotted names."""
        needed = {
            "legal_name": self.legal_name,
            "address.street": self.address.street,
            "address.postal_code": self.address.postal_code,
            "address.city": self.address.city,
            "address.country": self.address.country,
            "vat_id": self.vat_id,
            "invoice_email": self.invoice_email,
        }
        return [name for name, value in needed.items() if value is None]
