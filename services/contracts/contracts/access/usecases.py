"""Giving and revoking access; every change is announced, and each service keeps its copy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, or_, select, text

from contracts.access.invitations import invitation
from contracts.access.rows import AccessGrant, KnownSupplier
from contracts.access.rules import Holder, Status, Tenant, TenantKind, may_give, role_fits
from contracts.customers.usecases import customer_of
from contracts.partners.rules import TeamMember
from contracts.partners.usecases import active_partner, release_responsible
from kit import audit, mail, outbox
from kit.auth import Caller, Grant, Role, grants, keep_grants
from kit.db import Session, upsert_newer
from kit.problems import Refused
from schemas.access import AccessChanged
from schemas.person import PersonChanged
from schemas.supplier import SupplierChanged


class GrantNotFound(Refused):
    """No such grant."""

    status = 404


class RoleDoesNotFit(Refused):
    """The role does not exist for this kind of tenant."""

    status = 422


class NotYoursToGive(Refused):
    """You may not give or revoke this role."""

    status = 403
    rule = "CON-1"


class AlreadyGranted(Refused):
    """The person already holds this role for this tenant."""

    rule = "CON-1"


class SupplierUnknown(Refused):
    """No such supplier."""

    status = 404


class NotOfTheTeam(Refused):
    """The responsible person must hold an active role for the platform."""

    status = 422
    rule = "CON-1"


@dataclass(frozen=True, slots=True)
class GiveAccess:
    """Who shall hold what, for whom."""

    who: Holder
    role: str
    tenant_kind: TenantKind
    tenant_id: UUID | None = None


def seen_by(caller: Caller) -> Select[AccessGrant]:
    """The grants a caller may see: a platform admin all; others those of their own tenant and below it."""
    everyone = select(AccessGrant)
    if caller.is_platform:
        return everyone
    return everyone.where(
        or_(
            AccessGrant.partner_id == caller.tenant_id,
            AccessGrant.customer_id == caller.tenant_id,
            AccessGrant.supplier_id == caller.tenant_id,
        )
    )


async def give_access(db: Session, wish: GiveAccess, *, caller: Caller, sign_in_url: str, now: datetime) -> AccessGrant:
    """Grant a role and invite its new holder by mail.

    Raises `RoleDoesNotFit`, `NotYoursToGive`, `AlreadyGranted`, and what the tenant itself refuses.
    """
    if not role_fits(wish.role, wish.tenant_kind):
        raise RoleDoesNotFit(f"{wish.role} is no role of a {wish.tenant_kind}", field="role")
    tenant = await _tenant(db, wish)
    _check_may_give(caller, wish.role, tenant)
    await _one_at_a_time(db, wish.who)
    existing = await db.scalar(_active_grant(wish.who, wish.role, tenant))
    if existing is not None:
        raise AlreadyGranted(grant_id=existing.id)
    grant = AccessGrant.of(wish.who, wish.role, tenant, given_by=caller.actor, given_at=now)
    db.add(grant)
    await db.flush()
    await _announce(db, grant, "access.given", caller.actor, now)
    if grant.email is not None:
        letter = invitation(
            tenant.language,
            name=grant.name,
            email=grant.email,
            tenant=tenant.name,
            role=grant.role,
            url=sign_in_url,
            signed_by=tenant.signed_by,
        )
        await mail.send(
            db,
            to=grant.email,
            subject=letter.subject,
            text=letter.text,
            matter=f"grant/{grant.id}",
            event="access.given",
        )
    return grant


async def revoke_access(db: Session, grant_id: UUID, *, caller: Caller, now: datetime) -> None:
    """Take a role back; of one already revoked nothing changes. Raises `GrantNotFound`, `NotYoursToGive`."""
    grant = await db.scalar(seen_by(caller).where(AccessGrant.id == grant_id).with_for_update())
    if grant is None:
        raise GrantNotFound(grant_id)
    _check_may_give(caller, grant.role, grant.tenant)
    if grant.status == Status.ACTIVE:
        await _revoke(db, grant, caller.actor, now)
        await release_responsible(db, grant.id, actor=caller.actor, now=now)


async def bind_access(db: Session, now: datetime) -> int:
    """Announce whose a grant is that was given to an address, once somebody has signed in by it; how many.

    Every service binds its own copy at the first sign-in there; from here on the same holds for all of them.
    """
    bound = (
        select(AccessGrant, grants.c.issuer, grants.c.subject)
        .join(grants, grants.c.grant_id == AccessGrant.id)
        .where(AccessGrant.subject.is_(None), AccessGrant.status == Status.ACTIVE, grants.c.subject.is_not(None))
        .order_by(AccessGrant.id)
        .limit(500)
        .with_for_update(of=AccessGrant)
    )
    rows = (await db.execute(bound)).all()
    for grant, issuer, subject in rows:
        grant.issuer, grant.subject = issuer, subject
        grant.version += 1
        await _announce(db, grant, "access.bound", f"user:{subject}", now)
    return len(rows)


async def revoke_partners_admins(db: Session, partner_id: UUID, *, actor: str, now: datetime) -> int:
    """Take every admin's access to a partner back, when it closes; returns how many."""
    theirs = (
        select(AccessGrant)
        .where(
            AccessGrant.partner_id == partner_id,
            AccessGrant.tenant_kind == TenantKind.PARTNER,
            AccessGrant.status == Status.ACTIVE,
        )
        .order_by(AccessGrant.id)
        .with_for_update()
    )
    grants = (await db.scalars(theirs)).all()
    for grant in grants:
        await _revoke(db, grant, actor, now)
    return len(grants)


async def team_member(db: Session, grant_id: UUID) -> TeamMember:
    """The platform's person behind a grant, kept from being revoked meanwhile. Raises `NotOfTheTeam`."""
    grant = await db.get(AccessGrant, grant_id, with_for_update={"read": True})
    if grant is None or grant.tenant_kind != TenantKind.PLATFORM or grant.status != Status.ACTIVE:
        raise NotOfTheTeam(grant_id, field="responsible_grant_id")
    return TeamMember(grant.id, grant.name, grant.email)


async def own_team_grant(db: Session, caller: Caller, now: datetime) -> TeamMember | None:
    """The caller's own place in the platform's team; None for whoever is no admin of it or has no address.

    The first admin's role comes from a setting, so its grant is written down here, when first needed.
    """
    if not (caller.is_platform and caller.has("admin") and caller.email):
        return None
    who = Holder(email=caller.email, name=caller.name)
    await _one_at_a_time(db, who)
    grant = await db.scalar(_active_grant(who, "admin", Tenant(TenantKind.PLATFORM)))
    if grant is None:
        grant = AccessGrant.of(who, "admin", Tenant(TenantKind.PLATFORM), given_by="system:setting", given_at=now)
        db.add(grant)
        await db.flush()
        await _announce(db, grant, "access.given", "system:setting", now)
    return TeamMember(grant.id, grant.name, grant.email)


async def copy_suppliers(db: Session, events: Sequence[SupplierChanged]) -> None:
    """Keep which suppliers there are."""
    rows = [
        {
            "id": e.supplier_id,
            "version": e.version,
            "name": e.name,
            "status": e.status,
            "language": e.language,
        }
        for e in events
    ]
    await upsert_newer(db, KnownSupplier, rows)


def grants_of_person(person: PersonChanged) -> list[Grant]:
    """What a person may do here: its roles for its customer. One grant per role there is, on or off."""
    return [
        Grant(
            key=f"{person.person_id}/{role}",
            version=person.version,
            role=role,
            tenant_kind="customer",
            tenant_id=person.customer_id,
            email=person.email,
            name=person.name,
            status=_grant_status(person, role),
        )
        for role in (Role.CUSTOMER_ADMIN, Role.HR, Role.MANAGER)
    ]


async def copy_people_roles(db: Session, events: Sequence[PersonChanged]) -> None:
    """Keep what people may do for their customer, as enrollment says it."""
    await keep_grants(db, "person", [grant for person in events for grant in grants_of_person(person)])


def _grant_status(person: PersonChanged, role: str) -> str:
    if person.status == "erased":
        return "erased"
    return "active" if person.status == "active" and person.customer_id and role in person.roles else "revoked"


async def _tenant(db: Session, wish: GiveAccess) -> Tenant:
    if wish.tenant_kind is TenantKind.PLATFORM:
        return Tenant(TenantKind.PLATFORM)
    if wish.tenant_id is None:
        raise RoleDoesNotFit(f"a {wish.tenant_kind} is named by its id", field="tenant_id")
    if wish.tenant_kind is TenantKind.PARTNER:
        return await _partner(db, wish.tenant_id)
    if wish.tenant_kind is TenantKind.CUSTOMER:
        customer = await customer_of(db, wish.tenant_id, field="tenant_id")
        tenant = Tenant(TenantKind.CUSTOMER, customer.id, name=customer.name, language=customer.language)
        if customer.partner_id is None:
            return tenant
        above = await _partner(db, customer.partner_id)
        return replace(tenant, partner_id=above.id, signed_by=above.signed_by)
    supplier = await db.get(KnownSupplier, wish.tenant_id)
    if supplier is None or supplier.status != "active":
        raise SupplierUnknown(wish.tenant_id, field="tenant_id")
    return Tenant(TenantKind.SUPPLIER, supplier.id, name=supplier.name, language=supplier.language)


async def _partner(db: Session, partner_id: UUID) -> Tenant:
    partner = await active_partner(db, partner_id, field="tenant_id")
    return Tenant(
        TenantKind.PARTNER,
        partner.id,
        partner_id=partner.id,
        name=partner.name,
        language=partner.language,
        signed_by=partner.brand_name,
    )


def _active_grant(who: Holder, role: str, tenant: Tenant) -> Select[AccessGrant]:
    customer_id = tenant.id if tenant.kind is TenantKind.CUSTOMER else None
    supplier_id = tenant.id if tenant.kind is TenantKind.SUPPLIER else None
    return select(AccessGrant).where(
        AccessGrant.holder == who.identity,
        AccessGrant.role == role,
        AccessGrant.tenant_kind == tenant.kind,
        AccessGrant.status == Status.ACTIVE,
        AccessGrant.partner_id.is_not_distinct_from(tenant.partner_id),
        AccessGrant.customer_id.is_not_distinct_from(customer_id),
        AccessGrant.supplier_id.is_not_distinct_from(supplier_id),
    )


async def _one_at_a_time(db: Session, who: Holder) -> None:
    """Two requests about one holder wait for each other, so the second sees the first's grant."""
    await db.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:holder, 0))"),
        {"holder": f"grant:{who.identity}"},
    )


def _check_may_give(caller: Caller, role: str, tenant: Tenant) -> None:
    partner_id = caller.tenant_id if caller.tenant_kind == "partner" and caller.has("partner_admin") else None
    platform_admin = caller.is_platform and caller.has("admin")
    if not may_give(role, tenant, platform_admin=platform_admin, partner_id=partner_id):
        raise NotYoursToGive(f"{role} of a {tenant.kind}", field="role")


async def _revoke(db: Session, grant: AccessGrant, actor: str, now: datetime) -> None:
    grant.status = Status.REVOKED
    grant.version += 1
    await _announce(db, grant, "access.revoked", actor, now)


async def _announce(db: Session, grant: AccessGrant, action: str, actor: str, now: datetime) -> None:
    outbox.add(
        db,
        AccessChanged(
            grant_id=grant.id,
            version=grant.version,
            at=now,
            role=grant.role,
            tenant_kind=grant.tenant_kind,
            tenant_id=grant.tenant_id,
            issuer=grant.issuer,
            subject=grant.subject,
            email=grant.email,
            name=grant.name,
            status=grant.status,
        ),
    )
    detail = {"role": grant.role, "tenant_kind": grant.tenant_kind, "tenant_id": str(grant.tenant_id or "")}
    await audit.record(db, actor, action, subject=f"grant/{grant.id}", detail=detail)
