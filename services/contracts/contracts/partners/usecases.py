"""Making, changing and closing partners; every change is announced with the whole partner."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, false, select

from contracts.customers.rules import Invoicing
from contracts.partners.rows import Partner
from contracts.partners.rules import PartnerTerms, Status, may_change
from kit import audit, outbox
from kit.auth import Caller
from kit.db import Session
from kit.problems import Refused
from schemas.partner import PartnerChanged


class PartnerNotFound(Refused):
    """No such partner."""

    status = 404


class PartnerIsClosed(Refused):
    """The partner is closed."""

    rule = "CON-1"
    remedy = "Open it again first: set its status to `active`."


def seen_by(caller: Caller) -> Select[Partner]:
    """The partners that a caller may see: staff all, a partner itself, its customers and others none."""
    everyone = select(Partner)
    if caller.is_platform:
        return everyone
    if caller.tenant_kind == "partner":
        return everyone.where(Partner.id == caller.tenant_id)
    return everyone.where(false())


async def find_partner(db: Session, caller: Caller, partner_id: UUID) -> Partner:
    """The partner, if the caller may see it. Raises `PartnerNotFound`."""
    partner = await db.scalar(seen_by(caller).where(Partner.id == partner_id))
    if partner is None:
        raise PartnerNotFound(partner_id)
    return partner


async def partner_of(db: Session, partner_id: UUID, *, field: str | None = None) -> Partner:
    """A partner within the transaction's reach, for other features. Raises `PartnerNotFound`."""
    partner = await db.get(Partner, partner_id)
    if partner is None:
        raise PartnerNotFound(partner_id, field=field)
    return partner


async def active_partner(db: Session, partner_id: UUID, *, field: str | None = None) -> Partner:
    """A partner that something is made for now; it cannot be closed meanwhile.

    Raises `PartnerNotFound`, `PartnerIsClosed`.
    """
    partner = await db.get(Partner, partner_id, with_for_update={"read": True, "key_share": True})
    if partner is None:
        raise PartnerNotFound(partner_id, field=field)
    if partner.terms.status is Status.CLOSED:
        raise PartnerIsClosed(partner_id, field=field)
    return partner


async def partner_named(db: Session, partner_id: UUID) -> Partner | None:
    """A partner within the transaction's reach, for other features: open or closed, and not locked."""
    return await db.get(Partner, partner_id)


async def make_partner(db: Session, terms: PartnerTerms, *, actor: str, now: datetime) -> Partner:
    """Enter a new partner; billing opens its wallet on the announcement, where it has one."""
    partner = Partner(created_at=now, version=1)
    partner.terms = terms
    db.add(partner)
    await db.flush()
    await _announce(db, partner, "partner.made", actor, now)
    return partner


async def change_partner(
    db: Session,
    partner_id: UUID,
    changes: Mapping[str, Any],
    *,
    check_version: Callable[[int], None],
    actor: str,
    now: datetime,
) -> Partner:
    """Change some of a partner's terms; asking for what already holds changes nothing.

    `check_version` is given the locked row's version and may refuse. Raises `PartnerNotFound`,
    `PartnerIsClosed`.
    """
    partner = await db.get(Partner, partner_id, with_for_update=True)
    if partner is None:
        raise PartnerNotFound(partner_id)
    check_version(partner.version)
    current, wanted = partner.terms, replace(partner.terms, **changes)
    if wanted == current:
        return partner
    if not may_change(current, wanted):
        raise PartnerIsClosed(partner_id)
    partner.terms = wanted
    partner.version += 1
    await _announce(db, partner, "partner.changed", actor, now)
    return partner


async def change_invoicing(
    db: Session,
    partner_id: UUID,
    details: Invoicing,
    *,
    check_version: Callable[[int], None],
    caller: Caller,
    now: datetime,
) -> Partner:
    """Replace what the partner's own invoices carry; what already holds changes nothing.

    `check_version` is given the locked row's version and may refuse. Raises `PartnerNotFound`.
    """
    partner = await db.scalar(seen_by(caller).where(Partner.id == partner_id).with_for_update())
    if partner is None:
        raise PartnerNotFound(partner_id)
    check_version(partner.version)
    if partner.invoicing != details:
        partner.invoicing = details
        partner.version += 1
        await _announce(db, partner, "partner.invoicing_changed", caller.actor, now)
    return partner


async def release_responsible(db: Session, grant_id: UUID, *, actor: str, now: datetime) -> int:
    """Take a team member who leaves off its partners; returns how many. Staff then choose anew."""
    theirs = select(Partner).where(Partner.responsible_grant_id == grant_id).order_by(Partner.id)
    partners = (await db.scalars(theirs.with_for_update())).all()
    for partner in partners:
        partner.terms = replace(partner.terms, responsible=None)
        partner.version += 1
        await _announce(db, partner, "partner.responsible_left", actor, now)
    return len(partners)


async def _announce(db: Session, partner: Partner, action: str, actor: str, now: datetime) -> None:
    outbox.add(
        db,
        PartnerChanged(
            partner_id=partner.id,
            version=partner.version,
            at=now,
            name=partner.name,
            kind=partner.kind,
            status=partner.status,
            wallet=partner.wallet,
            language=partner.language,
            time_zone=partner.time_zone,
            responsible_grant_id=partner.responsible_grant_id,
            invoicing=partner.invoicing.announced(),
        ),
    )
    detail = {"version": partner.version, "kind": partner.kind, "status": partner.status}
    await audit.record(db, actor, action, subject=f"partner/{partner.id}", detail={**detail, "wallet": partner.wallet})
