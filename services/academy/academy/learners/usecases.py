"""Keeping copies of people, letting them in, and deciding who sees whose learning."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute

from academy.learners.rows import Person
from kit.auth import Caller, Grant, Role, keep_grants
from kit.consumer import arrived
from kit.db import Session, upsert_newer
from schemas.person import PersonChanged

ROLES = (Role.LEARNER, Role.MANAGER, Role.HR, Role.CUSTOMER_ADMIN)
"""What somebody may be by being a person of a customer or partner."""


async def copy_people(db: Session, events: Sequence[PersonChanged]) -> None:
    """Keep people and what they may do; the newest version of each wins."""
    rows = [
        {
            "id": e.person_id,
            "email": e.email and e.email.lower(),
            **{name: getattr(e, name) for name in ("version", "status", "name", "language")},
            **{name: getattr(e, name) for name in ("customer_id", "partner_id", "manager_id")},
        }
        for e in events
    ]
    await upsert_newer(db, Person, rows)
    await keep_grants(db, "person", [grant for e in events for grant in grants_of(e)])
    arrived(db, *(f"person/{e.person_id}" for e in events))


def grants_of(person: PersonChanged) -> list[Grant]:
    """What a person may do here: learn, and its roles for its customer. One grant a role, on or off.

    A partner's own people may lead others; no more, since a partner's tenant holds all its customers.
    """
    kind, tenant_id = ("customer", person.customer_id) if person.customer_id else ("partner", person.partner_id)

    def status(role: Role) -> str:
        if person.status == "erased":
            return "erased"
        given = role is Role.LEARNER or (role in person.roles and (person.customer_id or role is Role.MANAGER))
        holds = person.status == "active" and tenant_id and given
        return "active" if holds else "revoked"

    return [
        Grant(
            key=f"{person.person_id}/{role}",
            version=person.version,
            role=role,
            tenant_kind=kind,
            tenant_id=tenant_id,
            email=person.email,
            name=person.name,
            status=status(role),
        )
        for role in ROLES
    ]


async def people_by_id(db: Session, ids: Iterable[UUID]) -> dict[UUID, Person]:
    """The copies there are of these people. Nobody erases them before this transaction ends: what it writes
    about them could not be found and forgotten."""
    theirs = select(Person).where(Person.id.in_(set(ids))).order_by(Person.id).with_for_update(read=True)
    return {person.id: person for person in await db.scalars(theirs)}


def is_own(caller: Caller, person_id: InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """Whether a row is of the caller's own learning."""
    return person_id.in_(_themselves(caller))


def may_see(
    caller: Caller,
    *,
    person_id: InstrumentedAttribute[UUID],
    partner_id: InstrumentedAttribute[UUID | None],
    customer_id: InstrumentedAttribute[UUID | None],
) -> ColumnElement[bool]:
    """Whether the caller may see a row about a person's learning.

    Staff see all; a partner's admins and a customer's admins and HR their organisation's; a manager
    also its own people's; everybody their own.
    """
    if caller.is_platform:
        return true()
    if caller.tenant_kind == "partner" and caller.has(Role.PARTNER_ADMIN):
        return partner_id == caller.tenant_id
    if caller.tenant_kind == "customer" and caller.has(Role.CUSTOMER_ADMIN, Role.HR):
        return customer_id == caller.tenant_id
    own = is_own(caller, person_id)
    if caller.has(Role.MANAGER):
        return or_(own, person_id.in_(select(Person.id).where(Person.manager_id.in_(_themselves(caller)))))
    return own


def _themselves(caller: Caller) -> Select[UUID]:
    """The ids by which a caller is a person of the tenant it acts for."""
    organisation = Person.customer_id if caller.tenant_kind == "customer" else Person.partner_id
    return select(Person.id).where(
        Person.email == caller.email, Person.status == "active", organisation == caller.tenant_id
    )
