"""Who may see and do what with an enrollment. Row-level security has already kept other tenants out."""

from collections.abc import Callable

from sqlalchemy import ColumnElement, false, or_, true

from enrollment.enrollments.rows import enrollments
from enrollment.enrollments.rules import By
from enrollment.people.usecases import own_people
from enrollment.prices.usecases import Person, sees
from kit.auth import Principal, RoleMissing

EVERYBODY = ("admin", "support", "partner_admin", "customer_admin", "hr", "manager", "learner")
STAFF = ("admin", "support")


def may_enrol(caller: Principal, way: str) -> Callable[[Person], bool]:
    """For whom the caller may ask, or whom it may associate (ENR-2).

    To associate is a partner's right, also where its admin acts for a customer, and platform staff's.
    Raises `RoleMissing`.
    """
    if way == "associated":
        if caller.has(*STAFF, "partner_admin") or caller.through_partner:
            return lambda person: True
        raise RoleMissing("Only a partner's admin associates.", roles=["partner_admin", *STAFF])
    return sees(caller)


def seen_by(caller: Principal) -> ColumnElement[bool]:
    """Which enrollments of its tenant a caller may see. A supplier sees approved ones only (ENR-2)."""
    if caller.has(*STAFF, "partner_admin", "customer_admin", "hr"):
        return true()
    seen = []
    if caller.has("supplier_user"):
        seen.append(enrollments.c.approved_at.is_not(None))
    if caller.has("manager", "learner"):
        seen.append(enrollments.c.person_id.in_(own_people(caller)))
    return or_(*seen) if seen else false()


def acting_as(caller: Principal, is_own: bool) -> By:
    """In whose name the caller acts on an enrollment; `is_own`: it is the caller's own."""
    if is_own:
        return By.PERSON
    if caller.is_platform:
        return By.PLATFORM
    if caller.tenant_kind == "supplier":
        return By.SUPPLIER
    return By.PARTNER if caller.tenant_kind == "partner" or caller.through_partner else By.MANAGER


def signature(caller: Principal) -> str:
    """Who acts, as an event may say it: by the issuer's id of them, since addresses of people stay here."""
    through = f" of partner/{caller.through_partner}" if caller.through_partner else ""
    return f"user:{caller.identity.subject}{through}"
