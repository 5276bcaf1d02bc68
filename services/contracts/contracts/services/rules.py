"""Terms of services: what a product may say, and when a contract's terms end. No clock, no database."""

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.terminations.rules import FIRST_DAY, LAST_DAY, OpenEnd, months_after

Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]
Months = Annotated[int, Field(ge=1, le=120)]
Minor = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""An amount in the minor unit, up to ten million."""
BasisPoints = Annotated[int, Field(ge=0, le=10_000)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Kind(StrEnum):
    """A subscription starts by `deal.won`, any other service by `service.activated` (BIL-12)."""

    SUBSCRIPTION = "subscription"
    SERVICE = "service"


class State(StrEnum):
    """A contract runs until its last day is over."""

    ACTIVE = "active"
    ENDED = "ended"


class _Terms(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OneOff(_Terms):
    """A cost that comes once, with the first invoice."""

    label: Label
    amount: Minor


class Share(_Terms):
    """The default: a share of the fees that remain (CON-11)."""

    rule: Literal["percentage"] = "percentage"
    percentage_bp: BasisPoints = 10_000


class Flat(_Terms):
    """One sum, whatever remains."""

    rule: Literal["flat"]
    amount: Minor


class WholeMonths(_Terms):
    """As the share, with every begun billing month counted as a whole one."""

    rule: Literal["whole_months"]
    percentage_bp: BasisPoints = 10_000


class Days(_Terms):
    """As the share, by the day: twelve fees a year of 365 days."""

    rule: Literal["days"]
    percentage_bp: BasisPoints = 10_000


class Step(_Terms):
    """From this whole month of service on, counted from 0, this share."""

    from_month: Annotated[int, Field(ge=0, le=120)]
    percentage_bp: BasisPoints


class Reducing(_Terms):
    """A share that falls with the months served."""

    rule: Literal["reducing"]
    steps: Annotated[list[Step], Field(min_length=1, max_length=24)]


class LowerOfBenefits(_Terms):
    """What the customer gained by committing itself so far, or the fees that remain: whichever is less."""

    rule: Literal["lower_of_benefits"]
    monthly_benefit: Minor
    """What a month cost less than without commitment."""
    once_benefit: Minor = 0
    """What was given at the start, such as equipment."""


class LegalCap(_Terms):
    """The share, and never more than a number of monthly fees."""

    rule: Literal["legal_cap"]
    percentage_bp: BasisPoints = 10_000
    fees_max: Annotated[int, Field(ge=0, le=120)]


Buyout = Annotated[
    Share | Flat | WholeMonths | Days | Reducing | LowerOfBenefits | LegalCap, Field(discriminator="rule")
]
"""What leaving early costs in place of `remaining × percentage` (CON-11)."""


class Terms(_Terms):
    """What a product offers and a contract keeps: term, notice, fee, costs, and what leaving early costs."""

    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "EUR"
    monthly_fee: Minor
    one_off: Annotated[list[OneOff], Field(max_length=20)] = []
    term_months: Months | None = 12
    """None: it runs without term from its first day."""
    renewal_months: Months | None = 12
    """None: after its first term it runs on without one."""
    notice_months: Annotated[int, Field(ge=0, le=36)] = 1
    notice_days: Annotated[int, Field(ge=0, le=366)] = 0
    """Counted after the months."""
    open_end: OpenEnd = OpenEnd.MONTH
    """Where it ends once it runs without term and the notice has run out."""
    buyout: Buyout = Share()


def term_end(starts_on: date, term_months: int | None, renewal_months: int | None, on: date) -> date | None:
    """The last day of the term that runs on day `on`; None where it runs without term by then (CON-9).

    Always counted from the start, so that a term begun on the 31st never drifts to the 28th.
    """
    if term_months is None:
        return None
    months = term_months
    while (end := months_after(starts_on, months) - timedelta(days=1)) < on:
        if renewal_months is None:
            return None
        months += renewal_months
    return end
