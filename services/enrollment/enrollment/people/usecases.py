"""People: made and edited, their grants derived, announced as `person.changed` (ENR-1)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Select, false, or_, select, text, true

from enrollment.people.rows import people
from kit import outbox
from kit.auth import Grant, Principal, Role, keep_grants
from kit.db import Session, uuid7
from kit.problems import Refused
from schemas.person import PersonChanged

ROLES = (Role.MANAGER, Role.HR, Role.CUSTOMER_ADMIN)
"""What a person may be for its customer (or partner) beyond learner."""


class PersonNotFound(Refused):
    """No such person."""

    status = 404


class CustomerNotFound(Refused):
    """No such customer is known here."""

    status = 404
    remedy = "A new customer takes a moment to arrive; try again, or check the id."


class PartnerNotFound(Refused):
    """No such partner is known here."""

    status = 404
    remedy = "A new partner takes a moment to arrive; try again, or check the id."


class BelongsNowhere(Refused):
    """A person belongs to one customer, or directly to a partner."""

    status = 422
    remedy = "Give either `customer_id` or `partner_id`."


class EmailTaken(Refused):
    """Somebody with this address is there already."""

    rule = "ENR-1"
    remedy = "Use the person named in `person_id`."


class RoleForCustomersOnly(Refused):
    """Only a person of a customer can be its HR or its admin."""

    status = 422
    remedy = "Give a partner's own person the role manager, or make somebody the partner's admin."


class ManagerNotFound(Refused):
    """The manager is not an active person of the same customer or partner."""

    status = 422


class ManagerOfThemselves(Refused):
    """A person cannot be its own manager."""

    status = 422


@dataclass(frozen=True, slots=True)
class Person:
    """A person as it is; `partner_id` is the partner it belongs to, directly or through its customer."""

    id: UUID
    version: int
    status: str
    name: str | None
    email: str | None
    language: str
    customer_id: UUID | None
    partner_id: UUID | None
    manager_id: UUID | None
    roles: list[str]

    @property
    def home(self) -> UUID | None:
        """The tenant whose addresses are unique: its customer, else its partner."""
        return self.customer_id or self.partner_id


_COLUMNS = [people.c[name] for name in Person.__slots__]
_LIST = ", ".join(Person.__slots__)
_NEW = f"select {_LIST} from jsonb_populate_recordset(null::people, cast(:rows as jsonb))"  # noqa: S608 - our own column names
_INSERT = text(f"insert into people ({_LIST}) {_NEW} on conflict do nothing returning id")
_SET = Person.__slots__[1:]
_UPDATE = text(
    f"update people p set ({', '.join(_SET)}) = row({', '.join('n.' + name for name in _SET)}) from ({_NEW}) n"  # noqa: S608
    " where p.id = n.id"
)
_HOMES = text(
    "select c.id, c.partner_id, true as is_customer from customers c where c.id = any(cast(:ids as uuid[]))"
    " union all select p.id, p.id, false from partners p where p.id = any(cast(:ids as uuid[]))"
)


def _rows(found: Sequence[Person]) -> dict[str, str]:
    return {"rows": orjson.dumps(found, default=str).decode()}


async def homes(db: Session, ids: Iterable[UUID]) -> dict[UUID, tuple[bool, UUID | None]]:
    """The customers and partners among these ids that the caller may see: is it a customer, its partner."""
    found = await db.execute(_HOMES, {"ids": list(set(ids))})
    return {row.id: (row.is_customer, row.partner_id) for row in found}


async def announce(db: Session, changed: Sequence[Person]) -> None:
    """Announce people as they are now, and derive what they may do."""
    await keep_grants(db, "person", [grant for p in changed for grant in _grants(p)])
    outbox.add(
        db,
        *(
            PersonChanged(
                version=p.version,
                person_id=p.id,
                status=p.status,
                name=p.name,
                email=p.email,
                language=p.language,
                customer_id=p.customer_id,
                partner_id=p.partner_id,
                manager_id=p.manager_id,
                roles=p.roles,
            )
            for p in changed
        ),
    )


def check_roles(p: Person) -> None:
    """Raises `RoleForCustomersOnly`."""
    unfit = set(p.roles) - _granted(p)
    if unfit:
        raise RoleForCustomersOnly(f"Not {', '.join(sorted(unfit))}.", field="roles")


def _granted(p: Person) -> set[str]:
    """The roles that hold: at a partner, HR or an admin would reach the people of all its customers."""
    return set(p.roles) if p.customer_id else set(p.roles) & {Role.MANAGER}


def _grants(p: Person) -> list[Grant]:
    held = _granted(p)
    kind = "customer" if p.customer_id else "partner"
    kept = {"active": "active", "left": "revoked"}.get(p.status, "erased")
    return [
        Grant(
            key=f"{p.id}/{role}",
            version=p.version,
            role=role,
            tenant_kind=kind,
            tenant_id=p.home,
            email=p.email if kept != "erased" else None,
            name=p.name if kept != "erased" else None,
            status=kept if role in held or role is Role.LEARNER or kept == "erased" else "revoked",
        )
        for role in (Role.LEARNER, *ROLES)
        if p.version > 1 or role is Role.LEARNER or role in held
    ]


async def add(db: Session, new: Sequence[Person]) -> set[UUID]:
    """Add people; those whose address is taken at their customer or partner are left out. Returns the added."""
    if not new:
        return set()
    added = set((await db.execute(_INSERT, _rows(new))).scalars())
    await announce(db, [p for p in new if p.id in added])
    return added


async def change(db: Session, changed: Sequence[Person]) -> None:
    """Write people read under lock, each one version on."""
    if not changed:
        return
    newer = [replace(p, version=p.version + 1) for p in changed]
    await db.execute(_UPDATE, _rows(newer))
    await announce(db, newer)


async def create(
    db: Session,
    *,
    name: str,
    email: str,
    language: str,
    customer_id: UUID | None,
    partner_id: UUID | None,
    manager_id: UUID | None,
    roles: Sequence[str],
) -> Person:
    """Make a person of a customer or a partner that the caller may see."""
    if (customer_id is None) == (partner_id is None):
        raise BelongsNowhere(field="customer_id")
    home = customer_id or partner_id
    assert home  # noqa: S101 - one of the two is there
    found = (await homes(db, [home])).get(home)
    if found is None or found[0] != (customer_id is not None):
        raise (CustomerNotFound if customer_id else PartnerNotFound)(
            home, field="customer_id" if customer_id else "partner_id"
        )
    person = Person(
        uuid7(), 1, "active", name, email.lower(), language, customer_id, found[1], manager_id, sorted(set(roles))
    )
    check_roles(person)
    await _check_manager(db, person)
    if not await add(db, [person]):
        raise EmailTaken(field="email", person_id=await _holder(db, person))
    return person


async def _check_manager(db: Session, person: Person) -> None:
    if person.manager_id is None:
        return
    if person.manager_id == person.id:
        raise ManagerOfThemselves(field="manager_id")
    manager = (await find(db, [person.manager_id])).get(person.manager_id)
    if manager is None or manager.home != person.home or manager.status != "active":
        raise ManagerNotFound(person.manager_id, field="manager_id")


async def _holder(db: Session, person: Person) -> UUID | None:
    found: UUID | None = await db.scalar(
        select(people.c.id).where(
            people.c.email == person.email,
            people.c.status == "active",
            text("coalesce(customer_id, partner_id) = :home").bindparams(home=person.home),
        )
    )
    return found


async def find(db: Session, ids: Iterable[UUID], *, lock: bool = False) -> dict[UUID, Person]:
    """The people among these ids that the caller's tenant may see."""
    query = select(*_COLUMNS).where(people.c.id.in_(set(ids))).order_by(people.c.id)
    found = await db.execute(query.with_for_update() if lock else query)
    return {row.id: Person(*row) for row in found}


def own_people(caller: Principal) -> Select[tuple[UUID]]:
    """The ids of the caller's own people: itself, and for a manager those it manages."""
    if caller.email is None:  # as erased people have none
        return select(people.c.id).where(false())
    me = people.c.email == caller.email
    if caller.has("manager"):
        mine = select(people.c.id).where(me)
        me = or_(me, people.c.manager_id.in_(mine))
    return select(people.c.id).where(me)


def seen_by(caller: Principal) -> ColumnElement[bool]:
    """Which people of its tenant a caller may see: all, its own people, or only itself."""
    if caller.has("admin", "support", "partner_admin", "customer_admin", "hr"):
        return true()
    return people.c.id.in_(own_people(caller))


async def get(db: Session, person_id: UUID, caller: Principal, *, lock: bool = False) -> Person:
    """A person the caller may see. Raises `PersonNotFound`."""
    query = select(*_COLUMNS).where(people.c.id == person_id, seen_by(caller))
    row = (await db.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise PersonNotFound(person_id)
    return Person(*row)


async def edit(db: Session, person: Person, **changes: Any) -> Person:
    """Change a person read under lock. Who has left loses access at once; running enrollments go on."""
    new = replace(person, **changes)
    new = replace(new, email=new.email and new.email.lower(), roles=sorted(set(new.roles)))
    if new == person:
        return person
    if new.roles != person.roles:
        check_roles(new)
    if new.manager_id != person.manager_id:
        await _check_manager(db, new)
    if (new.email, new.status) != (person.email, person.status) and new.status == "active":
        holder = await _holder(db, new)
        if holder not in (None, person.id):
            raise EmailTaken(field="email", person_id=holder)
    await change(db, [new])
    return replace(new, version=new.version + 1)


async def erase(db: Session, person: Person) -> Person:
    """Forget who the person was (PRI-1); what it did stays, under its id alone."""
    return await edit(db, person, status="erased", name=None, email=None, manager_id=None, roles=[])


_STRAY = text(
    f"select {', '.join('p.' + name for name in Person.__slots__)} from people p"  # noqa: S608 - our own column names
    " join unnest(cast(:customers as uuid[]), cast(:partners as uuid[])) as c(id, partner_id) on p.customer_id = c.id"
    " where p.partner_id is distinct from c.partner_id order by p.id for update of p"
)


async def follow_customers(db: Session, partners: Mapping[UUID, UUID | None]) -> None:
    """People belong to their customer's partner, whichever that is now (customer → partner)."""
    parameters = {"customers": list(partners), "partners": list(partners.values())}
    stray = [Person(*row) for row in await db.execute(_STRAY, parameters)]
    await change(db, [replace(p, partner_id=partners[p.customer_id]) for p in stray if p.customer_id])


def listed(caller: Principal, asked: Mapping[str, Any]) -> tuple[Select[Any], list[Any]]:
    """The query for a list of people the caller may see, and its order."""
    own = caller.own_rows(partner=people.c.partner_id, customer=people.c.customer_id)
    query = select(*_COLUMNS).where(own, seen_by(caller), *(people.c[k] == v for k, v in asked.items()))
    return query, [people.c.id]


def from_row(row: Any) -> Person:
    """The value of a row of `listed`."""
    return Person(*row[: len(_COLUMNS)])


async def is_person(db: Session, person_id: UUID, email: str | None) -> bool:
    """Whether the person is who has this address."""
    found = select(people.c.id).where(people.c.id == person_id, people.c.email == email)
    return email is not None and await db.scalar(found) is not None


_BY_EMAIL = text(
    "select p.id from people p join unnest(cast(:homes as uuid[]), cast(:emails as text[])) as k(home, email)"
    " on coalesce(p.customer_id, p.partner_id) = k.home and p.email = k.email where p.status = 'active'"
)


async def by_email(db: Session, keys: Iterable[tuple[UUID, str]]) -> dict[tuple[UUID, str], Person]:
    """The active people of these customers or partners and addresses, under lock."""
    asked = sorted(set(keys))
    parameters = {"homes": [home for home, _ in asked], "emails": [email for _, email in asked]}
    ids = (await db.execute(_BY_EMAIL, parameters)).scalars().all()
    found = await find(db, ids, lock=True) if ids else {}
    return {(p.home, p.email): p for p in found.values() if p.home and p.email}
