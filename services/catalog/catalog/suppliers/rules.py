"""Where a supplier can be enrolled on (CAT-2, CAT-3): five steps, one list of what is missing, nothing stored."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

PUBLIC = "public"
EVERY_PORTAL = "customer_portal/*"
ROUTES = ("public", "customer_portal", "courseboard")
"""The kinds of site, which are also the routes by which a supplier receives enrollments."""

_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SITE = re.compile(rf"public|customer_portal/(\*|{_UUID})|courseboard/{_UUID}")


class Missing(StrEnum):
    """Why enrollments are not possible on a site."""

    SUPPLIER_CLOSED = "supplier_closed"
    NOT_SHOWN = "not_shown"
    ROUTE_OFF = "route_off"
    AGREEMENT_NOT_PUBLISHED = "agreement_not_published"
    AGREEMENT_NOT_ACCEPTED = "agreement_not_accepted"
    AGREEMENT_OUT_OF_DATE = "agreement_out_of_date"
    SERVICE_OFF = "service_off"
    NO_COURSE = "no_course"


class Step(StrEnum):
    """The five steps of onboarding, in their order."""

    ACCOUNT_CREATED = "account_created"
    SITE_ENABLED = "site_enabled"
    AGREEMENT_ACCEPTED = "agreement_accepted"
    ENROLLMENTS_ON = "enrollments_on"
    COURSE_PUBLISHED = "course_published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Onboarding:
    """Everything that decides where a supplier can be enrolled on."""

    active: bool
    sites: frozenset[str]
    """Where it is shown."""
    routes: frozenset[str]
    """By which kinds of site it wants to receive enrollments."""
    agreement_current: int | None
    """The newest version of the agreement; None: none is published yet."""
    agreement_accepted: int | None
    """The newest version that it accepted."""
    enrollments_on: bool
    courses: frozenset[frozenset[str] | None]
    """The narrowings of its published courses: the sites of each, None for wherever the supplier is shown."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether enrollments are possible on a site; all that is missing there, gravest first."""

    site: str
    missing: tuple[Missing, ...]

    @property
    def open(self) -> bool:
        return not self.missing

    @property
    def reason(self) -> Missing | None:
        return self.missing[0] if self.missing else None


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of the checklist; `missing` says why it is not done."""

    step: Step
    missing: Missing | None

    @property
    def done(self) -> bool:
        return self.missing is None


def is_site(name: str) -> bool:
    """Whether `name` names a site: `public`, `customer_portal/*`, `customer_portal/<id>`, `courseboard/<id>`."""
    return _SITE.fullmatch(name) is not None


def kind_of(site: str) -> str:
    """The kind of a site, one of `ROUTES`."""
    return site.partition("/")[0]


def customers_of(sites: Iterable[str]) -> set[str]:
    """The ids of the customers whose portals are named."""
    return {site.partition("/")[2] for site in sites if kind_of(site) == "customer_portal"} - {"*"}


def seen_on(narrowing: frozenset[str] | None, site: str) -> bool:
    """Whether a course with this narrowing is seen on a site where its supplier is shown."""
    if narrowing is None or site in narrowing:
        return True
    if kind_of(site) != "customer_portal":
        return False
    # Shown on every portal, a course of one of them is seen on that one; and the other way round.
    return EVERY_PORTAL in narrowing or (
        site == EVERY_PORTAL and any(kind_of(s) == "customer_portal" for s in narrowing)
    )


def _agreement(o: Onboarding) -> Missing | None:
    if o.agreement_current is None:
        return Missing.AGREEMENT_NOT_PUBLISHED
    if o.agreement_accepted is None:
        return Missing.AGREEMENT_NOT_ACCEPTED
    if o.agreement_accepted < o.agreement_current:
        return Missing.AGREEMENT_OUT_OF_DATE
    return None


def opening(o: Onboarding, site: str) -> Opening:
    """Whether enrollments are possible on `site`, and what is missing there."""
    faults = [
        None if o.active else Missing.SUPPLIER_CLOSED,
        None if site in o.sites else Missing.NOT_SHOWN,
        None if kind_of(site) in o.routes else Missing.ROUTE_OFF,
        _agreement(o),
        None if o.enrollments_on else Missing.SERVICE_OFF,
        None if any(seen_on(narrowing, site) for narrowing in o.courses) else Missing.NO_COURSE,
    ]
    return Opening(site, tuple(fault for fault in faults if fault))


def openings(o: Onboarding) -> tuple[Opening, ...]:
    """Every site where the supplier is shown, the public one first."""
    return tuple(opening(o, site) for site in sorted(o.sites, key=lambda s: (s != PUBLIC, s)))


def checklist(o: Onboarding) -> tuple[StepState, ...]:
    """The five steps. Each is done for the supplier as a whole; `openings` says it site by site."""
    return (
        StepState(Step.ACCOUNT_CREATED, None if o.active else Missing.SUPPLIER_CLOSED),
        StepState(Step.SITE_ENABLED, None if o.sites else Missing.NOT_SHOWN),
        StepState(Step.AGREEMENT_ACCEPTED, _agreement(o)),
        StepState(Step.ENROLLMENTS_ON, None if o.enrollments_on else Missing.SERVICE_OFF),
        StepState(Step.COURSE_PUBLISHED, None if o.courses else Missing.NO_COURSE),
    )
