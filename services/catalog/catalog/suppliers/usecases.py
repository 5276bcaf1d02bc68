"""Suppliers: their account, their users, where they are shown, and the way to their first enrollment."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from catalog import agreements, partners, services
from catalog.suppliers.rows import SiteRequest as SiteRequest
from catalog.suppliers.rows import Supplier as Supplier
from catalog.suppliers.rows import SupplierSite, published_narrowings
from catalog.suppliers.rows import SupplierUser as SupplierUser
from catalog.suppliers.rules import (
    EVERY_PORTAL,
    PUBLIC,
    ROUTES,
    Onboarding,
    StepState,
    checklist,
    customers_of,
    is_site,
    kind_of,
    openings,
)
from catalog.suppliers.rules import Opening as Opening
from kit import audit, outbox
from kit.auth import Grant, Role, keep_grants
from kit.db import Session, uuid7
from kit.problems import Refused
from schemas.supplier import SiteOpening, SupplierChanged
from schemas.supplier import SupplierUser as PublishedUser
from schemas.values import InvoicingDetails


class SupplierNotFound(Refused):
    """No such supplier."""

    status = 404


class SupplierClosed(Refused):
    """The supplier's account is closed."""


class UserExists(Refused):
    """This address is a user of the supplier already."""


class UserNotFound(Refused):
    """The supplier has no such user."""

    status = 404


class LastUser(Refused):
    """A supplier keeps at least one user: somebody must receive its mail."""

    remedy = "Add another user first."


class UnknownSite(Refused):
    """A site is `public`, `customer_portal/*`, `customer_portal/<customer id>` or `courseboard/<id>`."""

    status = 422
    rule = "CAT-3"


class ExclusiveToPortals(Refused):
    """An exclusive supplier is shown on named customers' portals only, and nowhere else."""

    rule = "CAT-3"


class AlreadyShown(Refused):
    """The supplier is shown there already."""

    rule = "CAT-3"


class RequestNotFound(Refused):
    """The supplier has no open request for this site."""

    status = 404


@dataclass(frozen=True, slots=True)
class NewUser:
    """Somebody who is to act for a supplier."""

    email: str
    name: str | None


@dataclass(frozen=True, slots=True)
class NewSupplier:
    """What an account starts with."""

    name: str
    size: str
    language: str
    invoicing: InvoicingDetails = field(default_factory=InvoicingDetails)
    users: Sequence[NewUser] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """A supplier's checklist: the five steps, and site by site whether enrollments are possible."""

    steps: tuple[StepState, ...]
    openings: tuple[Opening, ...]


# -- announcing ----------------------------------------------------------------------------------------------


async def _lock(db: Session, supplier_ids: Collection[UUID] | None) -> list[UUID]:
    """Lock suppliers in the order of their ids, so that two transactions never wait crosswise. None: all."""
    wanted = select(Supplier.id).order_by(Supplier.id).with_for_update(key_share=True)
    if supplier_ids is not None:
        wanted = wanted.where(Supplier.id.in_(supplier_ids))
    return list(await db.scalars(wanted))


async def _onboarding(db: Session, supplier_ids: Collection[UUID]) -> dict[UUID, Onboarding]:
    """Everything that decides where these suppliers can be enrolled on: the same six statements for any number."""
    await db.flush()
    current = await agreements.current(db)
    accepted = await agreements.accepted_versions(db, supplier_ids)
    switched_on = await services.with_enrollments_on(db, supplier_ids)
    narrowings: dict[UUID, set[frozenset[str] | None]] = {}
    theirs = published_narrowings.c.supplier_id.in_(supplier_ids)
    for supplier_id, sites in await db.execute(select(published_narrowings).where(theirs)):
        narrowings.setdefault(supplier_id, set()).add(None if sites is None else frozenset(sites))
    shown: dict[UUID, set[str]] = {}
    sites_of = select(SupplierSite.supplier_id, SupplierSite.site)
    for supplier_id, site in await db.execute(sites_of.where(SupplierSite.supplier_id.in_(supplier_ids))):
        shown.setdefault(supplier_id, set()).add(site)
    accounts = select(Supplier.id, Supplier.status, Supplier.routes).where(Supplier.id.in_(supplier_ids))
    return {
        id_: Onboarding(
            active=status == "active",
            sites=frozenset(shown.get(id_, ())),
            routes=frozenset(routes),
            agreement_current=current.version if current else None,
            agreement_accepted=accepted.get(id_),
            enrollments_on=id_ in switched_on,
            courses=frozenset(narrowings.get(id_, ())),
        )
        for id_, status, routes in await db.execute(accounts)
    }


async def watch(db: Session, supplier_ids: Collection[UUID]) -> dict[UUID, tuple[Opening, ...]]:
    """Lock suppliers and say where they can be enrolled on now, for `announce_altered` after the change."""
    if not supplier_ids:
        return {}
    await _lock(db, supplier_ids)
    return {id_: openings(o) for id_, o in (await _onboarding(db, supplier_ids)).items()}


async def announce_altered(db: Session, before: Mapping[UUID, tuple[Opening, ...]]) -> None:
    """Announce the watched suppliers that a change opened or paused somewhere."""
    if before:
        now = await _onboarding(db, before.keys())
        await _announce(db, [id_ for id_, was in before.items() if openings(now[id_]) != was])


async def _announce(db: Session, supplier_ids: Sequence[UUID]) -> None:
    """Announce suppliers as they are now, and keep the grants of their users. The rows are locked."""
    if not supplier_ids:
        return
    await db.flush()
    bumped = (
        update(Supplier)
        .where(Supplier.id.in_(supplier_ids))
        .values(version=Supplier.version + 1)
        .returning(Supplier)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    suppliers = list(await db.scalars(bumped))
    states = await _onboarding(db, supplier_ids)
    users: dict[UUID, list[SupplierUser]] = {}
    all_users = select(SupplierUser).where(SupplierUser.supplier_id.in_(supplier_ids))
    for user in await db.scalars(all_users.order_by(SupplierUser.id)):
        users.setdefault(user.supplier_id, []).append(user)
    for supplier in suppliers:
        theirs = [u for u in users.get(supplier.id, ()) if u.removed_at is None]
        outbox.add(
            db,
            SupplierChanged(
                version=supplier.version,
                supplier_id=supplier.id,
                name=supplier.name,
                status=supplier.status,
                size=supplier.size,
                language=supplier.language,
                users=[PublishedUser(user_id=u.id, email=u.email, name=u.name) for u in theirs],
                sites=[SiteOpening(site=o.site, open=o.open, reason=o.reason) for o in openings(states[supplier.id])],
                invoicing=InvoicingDetails.model_validate(supplier.invoicing),
            ),
        )


async def _keep_user_grants(db: Session, users: Sequence[SupplierUser]) -> None:
    grants = [
        Grant(
            key=f"supplier-user/{user.id}",
            version=user.version,
            role=Role.SUPPLIER_USER,
            tenant_kind="supplier",
            tenant_id=user.supplier_id,
            email=user.email,
            name=user.name,
            status="revoked" if user.removed_at else "active",
        )
        for user in users
    ]
    await keep_grants(db, "catalog", grants)


# -- accounts ------------------------------------------------------------------------------------------------


async def create_supplier(db: Session, new: NewSupplier, actor: str, now: datetime) -> Supplier:
    """Open an account: free, and shown on the public site from the start (CAT-1, CAT-3)."""
    addresses = [user.email.lower() for user in new.users]
    if len(set(addresses)) < len(addresses):
        raise UserExists(field="users")
    supplier = Supplier(
        id=uuid7(),
        version=0,
        name=new.name,
        status="active",
        size=new.size,
        language=new.language,
        invoicing=new.invoicing.model_dump(mode="json"),
        routes=list(ROUTES),
        exclusive=False,
        created_at=now,
    )
    db.add(supplier)
    await db.flush()
    db.add(SupplierSite(supplier_id=supplier.id, site=PUBLIC))
    users = [
        SupplierUser(id=uuid7(), supplier_id=supplier.id, email=user.email.lower(), name=user.name, version=1)
        for user in new.users
    ]
    db.add_all(users)
    await db.flush()
    await _keep_user_grants(db, users)
    await audit.record(db, actor, "supplier.created", subject=f"supplier/{supplier.id}")
    await _announce(db, [supplier.id])
    return supplier


async def get_supplier(db: Session, supplier_id: UUID) -> Supplier:
    """Raises `SupplierNotFound`."""
    supplier = await db.get(Supplier, supplier_id)
    if supplier is None:
        raise SupplierNotFound(supplier_id)
    return supplier


async def _locked(db: Session, supplier_id: UUID, *, open_only: bool = True) -> Supplier:
    """The supplier, locked to the transaction's end. Raises `SupplierNotFound` or `SupplierClosed`."""
    supplier = await db.scalar(select(Supplier).where(Supplier.id == supplier_id).with_for_update(key_share=True))
    if supplier is None:
        raise SupplierNotFound(supplier_id)
    if open_only and supplier.status != "active":
        raise SupplierClosed(supplier_id)
    return supplier


async def require_active(db: Session, supplier_ids: Collection[UUID]) -> None:
    """Raises `SupplierNotFound` or `SupplierClosed` for the first that cannot offer anything."""
    found = select(Supplier.id, Supplier.status).where(Supplier.id.in_(supplier_ids))
    statuses = {row[0]: row[1] for row in await db.execute(found)}
    for supplier_id in supplier_ids:
        if supplier_id not in statuses:
            raise SupplierNotFound(supplier_id, field="supplier_id")
        if statuses[supplier_id] != "active":
            raise SupplierClosed(supplier_id, field="supplier_id")


async def active_of(db: Session, supplier_ids: Collection[UUID]) -> set[UUID]:
    """Those of the suppliers that are there and not closed."""
    if not supplier_ids:
        return set()
    found = select(Supplier.id).where(Supplier.id.in_(supplier_ids), Supplier.status == "active")
    return set(await db.scalars(found))


async def suppliers_named(db: Session, names: Collection[str]) -> dict[str, list[UUID]]:
    """The ids of active suppliers by name, in lower case; a name may have several."""
    wanted = {name.lower() for name in names}
    found = select(func.lower(Supplier.name), Supplier.id).where(
        func.lower(Supplier.name).in_(wanted), Supplier.status == "active"
    )
    by_name: dict[str, list[UUID]] = {}
    for name, id_ in await db.execute(found):
        by_name.setdefault(name, []).append(id_)
    return by_name


def list_suppliers(text: str | None, status: str | None) -> tuple[Select[Supplier], list[Any]]:
    """Suppliers, sorted by name; `text` is looked for anywhere in it."""
    query = select(Supplier)
    if text:
        query = query.where(Supplier.name.icontains(text, autoescape=True))
    if status:
        query = query.where(Supplier.status == status)
    return query, [func.lower(Supplier.name), Supplier.id]


async def edit_supplier(db: Session, supplier: Supplier, changes: Mapping[str, Any], actor: str) -> Supplier:
    """Change name, size, language, routes or invoicing details of a locked supplier."""
    altered = {name: value for name, value in changes.items() if getattr(supplier, name) != value}
    if altered:
        for name, value in altered.items():
            setattr(supplier, name, value)
        await audit.record(
            db,
            actor,
            "supplier.edited",
            subject=f"supplier/{supplier.id}",
            detail={"fields": sorted(altered)},
        )
        await _announce(db, [supplier.id])
    return supplier


async def supplier_to_edit(db: Session, supplier_id: UUID) -> Supplier:
    """The supplier, locked for an edit. Raises `SupplierNotFound` or `SupplierClosed`."""
    return await _locked(db, supplier_id)


async def close_supplier(db: Session, supplier_id: UUID, actor: str, now: datetime) -> Supplier:
    """Close an account: no new enrollments anywhere, and no access for its users. Again, it changes nothing."""
    supplier = await _locked(db, supplier_id, open_only=False)
    if supplier.status == "active":
        supplier.status = "closed"
        await _remove(db, await users_of(db, supplier_id), now)
        await audit.record(db, actor, "supplier.closed", subject=f"supplier/{supplier_id}")
        await _announce(db, [supplier_id])
    return supplier


# -- users ---------------------------------------------------------------------------------------------------


async def users_of(db: Session, supplier_id: UUID) -> list[SupplierUser]:
    """Those who act for the supplier now."""
    mine = select(SupplierUser).where(SupplierUser.supplier_id == supplier_id, SupplierUser.removed_at.is_(None))
    return list(await db.scalars(mine.order_by(SupplierUser.id)))


async def add_user(db: Session, supplier_id: UUID, new: NewUser, actor: str) -> SupplierUser:
    """Let somebody act for the supplier. Raises `UserExists`."""
    await _locked(db, supplier_id)
    email = new.email.lower()
    if any(user.email == email for user in await users_of(db, supplier_id)):
        raise UserExists(field="email")
    user = SupplierUser(id=uuid7(), supplier_id=supplier_id, email=email, name=new.name, version=1)
    db.add(user)
    await db.flush()
    await _keep_user_grants(db, [user])
    await audit.record(
        db, actor, "supplier.user_added", subject=f"supplier/{supplier_id}", detail={"user_id": str(user.id)}
    )
    await _announce(db, [supplier_id])
    return user


async def remove_user(db: Session, supplier_id: UUID, user_id: UUID, actor: str, now: datetime) -> None:
    """End somebody's access. Raises `UserNotFound` or `LastUser`."""
    await _locked(db, supplier_id)
    users = await users_of(db, supplier_id)
    user = next((u for u in users if u.id == user_id), None)
    if user is None:
        raise UserNotFound(user_id)
    if len(users) == 1:
        raise LastUser(user_id)
    await _remove(db, [user], now)
    await audit.record(
        db,
        actor,
        "supplier.user_removed",
        subject=f"supplier/{supplier_id}",
        detail={"user_id": str(user_id)},
    )
    await _announce(db, [supplier_id])


async def _remove(db: Session, users: Sequence[SupplierUser], now: datetime) -> None:
    for user in users:
        user.removed_at = now
        user.version += 1
    await db.flush()
    await _keep_user_grants(db, users)


# -- sites ---------------------------------------------------------------------------------------------------


async def sites_of(db: Session, supplier_id: UUID) -> list[str]:
    """Where the supplier is shown."""
    mine = select(SupplierSite.site).where(SupplierSite.supplier_id == supplier_id)
    return list(await db.scalars(mine.order_by(SupplierSite.site)))


async def show_on(db: Session, supplier_id: UUID, sites: Collection[str], exclusive: bool, actor: str) -> Supplier:
    """Show the supplier on exactly these sites (CAT-3). Requests for them count as granted.

    Raises `UnknownSite`, `UnknownCustomer`, or `ExclusiveToPortals` where an exclusive one would be seen elsewhere.
    """
    wanted = sorted(set(sites))
    for site in wanted:
        if not is_site(site):
            raise UnknownSite(site, field="sites")
    elsewhere = [s for s in wanted if kind_of(s) != "customer_portal" or s == EVERY_PORTAL]
    if exclusive and (elsewhere or not wanted):
        raise ExclusiveToPortals(", ".join(elsewhere), field="sites")
    await partners.require_customers(db, {UUID(id_) for id_ in customers_of(wanted)})
    supplier = await _locked(db, supplier_id)
    if wanted == await sites_of(db, supplier_id) and exclusive == supplier.exclusive:
        return supplier
    supplier.exclusive = exclusive
    await db.execute(
        delete(SupplierSite).where(SupplierSite.supplier_id == supplier_id, SupplierSite.site.not_in(wanted))
    )
    if wanted:
        await db.execute(
            insert(SupplierSite).on_conflict_do_nothing(),
            [{"supplier_id": supplier_id, "site": site} for site in wanted],
        )
    await db.execute(
        update(SiteRequest)
        .where(
            SiteRequest.supplier_id == supplier_id,
            SiteRequest.site.in_(wanted),
            SiteRequest.state == "asked",
        )
        .values(state="granted")
    )
    await audit.record(
        db,
        actor,
        "supplier.shown",
        subject=f"supplier/{supplier_id}",
        detail={"sites": wanted, "exclusive": exclusive},
    )
    await _announce(db, [supplier_id])
    return supplier


async def ask_for_site(db: Session, supplier_id: UUID, site: str, actor: str, now: datetime) -> SiteRequest:
    """Ask support to be shown on a customer's portal. Asking again while it is open changes nothing.

    Raises `UnknownSite`, `UnknownCustomer`, `AlreadyShown` or `ExclusiveToPortals`.
    """
    if not is_site(site) or kind_of(site) != "customer_portal":
        raise UnknownSite("Only customers' portals can be asked for.", field="site")
    await partners.require_customers(db, {UUID(id_) for id_ in customers_of([site])})
    supplier = await _locked(db, supplier_id)
    if supplier.exclusive:
        raise ExclusiveToPortals(field="site")
    if {site, EVERY_PORTAL} & set(await sites_of(db, supplier_id)):
        raise AlreadyShown(site, field="site")
    request = await db.get(SiteRequest, (supplier_id, site))
    if request is None:
        request = SiteRequest(supplier_id=supplier_id, site=site)
        db.add(request)
    elif request.state == "asked":
        return request
    request.state, request.reason, request.asked_by, request.asked_at = "asked", None, actor, now
    await audit.record(db, actor, "site.asked_for", subject=f"supplier/{supplier_id}", detail={"site": site})
    return request


async def decline_site(db: Session, supplier_id: UUID, site: str, reason: str, actor: str) -> SiteRequest:
    """Answer an open request with no. Raises `RequestNotFound`."""
    await _locked(db, supplier_id)
    request = await db.get(SiteRequest, (supplier_id, site))
    if request is None or request.state != "asked":
        raise RequestNotFound(site)
    request.state, request.reason = "declined", reason
    await audit.record(
        db, actor, "site.declined", subject=f"supplier/{supplier_id}", detail={"site": site, "reason": reason}
    )
    return request


async def site_requests(db: Session, supplier_id: UUID) -> list[SiteRequest]:
    """What the supplier asked for, the newest first."""
    mine = select(SiteRequest).where(SiteRequest.supplier_id == supplier_id)
    return list(await db.scalars(mine.order_by(SiteRequest.asked_at.desc(), SiteRequest.site)))


# -- the way to the first enrollment -------------------------------------------------------------------------


async def readiness(db: Session, supplier_id: UUID) -> Readiness:
    """The supplier's checklist, computed now. Raises `SupplierNotFound`."""
    await get_supplier(db, supplier_id)
    state = (await _onboarding(db, [supplier_id]))[supplier_id]
    return Readiness(checklist(state), openings(state))


async def publish_agreement(db: Session, title: str, body: str, actor: str, now: datetime) -> agreements.Agreement:
    """Publish a new version, which every supplier must accept anew; the open ones are paused and announced."""
    before = await watch(db, await _lock(db, None))
    agreement = await agreements.publish(db, title, body, actor, now)
    await announce_altered(db, before)
    return agreement


async def accept_agreement(
    db: Session, supplier_id: UUID, version: int, accepted_by: str, actor: str, now: datetime
) -> None:
    """A named person accepts the current version for the supplier. Accepting it again changes nothing."""
    await _locked(db, supplier_id)
    if await agreements.accept(db, supplier_id, version, accepted_by, actor, now):
        await _announce(db, [supplier_id])


async def switch_enrollments(
    db: Session, supplier_id: UUID, on: bool, ticked: Sequence[str], actor: str, now: datetime
) -> None:
    """Switch the Enrollments service; off pauses new enrollments everywhere."""
    await _locked(db, supplier_id)
    before = await watch(db, [supplier_id])
    await services.switch_enrollments(db, supplier_id, on, ticked, actor, now)
    await announce_altered(db, before)
