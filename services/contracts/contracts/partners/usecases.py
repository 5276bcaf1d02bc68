"""Making, changing and closing partners; every change is announced with the whole partner."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import Select, false, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from contracts.customers.rules import Invoicing
from contracts.partners.rows import Logo, Partner
from contracts.partners.rules import (
    PROOF_PREFIX,
    Branding,
    Colours,
    Kind,
    PartnerTerms,
    Sender,
    Status,
    may_change,
    proof_name,
    too_pale,
    within,
)
from kit import audit, outbox
from kit.auth import Caller
from kit.db import SETTINGS, Session
from kit.problems import Refused
from schemas.partner import Branding as BrandingFact
from schemas.partner import PartnerChanged


class PartnerNotFound(Refused):
    """No such partner."""

    status = 404


class PartnerIsClosed(Refused):
    """The partner is closed."""

    rule = "CON-1"


class NotWhitelabel(Refused):
    """A default partner has the platform's looks and domain."""

    rule = "CON-1"


class TooPaleToRead(Refused):
    """Some colours cannot be told apart well enough."""

    status = 422
    rule = "POR-3"
    remedy = "Choose a darker and a brighter one for each of `pairs`."


class SenderElsewhere(Refused):
    """Mails come from an address on the partner's own domain, once that is proved."""

    status = 422
    rule = "CON-1"


class DomainNotNamed(Refused):
    """There is no domain to prove."""

    rule = "CON-1"


class DomainNotProved(Refused):
    """The domain's TXT record does not say what it should."""

    rule = "CON-1"
    remedy = "Add `wanted` as a TXT record at `record`, wait until it is published, and ask again."


class DomainTaken(Refused):
    """Another partner has proved this domain."""

    rule = "CON-1"


class LogoNotFound(Refused):
    """No such logo."""

    status = 404
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


async def change_branding(
    db: Session,
    partner_id: UUID,
    change: Callable[[Branding], Branding],
    *,
    check_version: Callable[[int], None],
    caller: Caller,
    now: datetime,
) -> Partner:
    """Change how a whitelabel partner looks; what already holds changes nothing.

    Raises `PartnerNotFound`, `PartnerIsClosed`, `NotWhitelabel`, and what `change` refuses.
    """
    partner = await db.scalar(seen_by(caller).where(Partner.id == partner_id).with_for_update())
    if partner is None:
        raise PartnerNotFound(partner_id)
    check_version(partner.version)
    if partner.status == Status.CLOSED:
        raise PartnerIsClosed(partner_id)
    if partner.kind != Kind.WHITELABEL:
        raise NotWhitelabel(partner.kind)
    wanted = change(partner.branding)
    if wanted != partner.branding:
        partner.branding = wanted
        partner.version += 1
        try:
            await db.flush()
        except IntegrityError as taken:  # by the unique index on proved domains
            raise DomainTaken(wanted.domain, field="domain") from taken
        await _announce(db, partner, "partner.branded", caller.actor, now)
    return partner


def with_looks(branding: Branding, *, name: str | None, colours: Colours | None, sender: Sender | None) -> Branding:
    """Name, colours and sender replaced. Raises `TooPaleToRead`, `SenderElsewhere`."""
    if colours and (pale := too_pale(colours)):
        raise TooPaleToRead(field="colours", pairs=[asdict(pair) for pair in pale])
    if sender:
        host = sender.email.rpartition("@")[2].lower()
        if not (branding.domain and branding.domain_proved_at and within(host, branding.domain)):
            raise SenderElsewhere(host, field="sender.email", domain=branding.domain)
    return branding.model_copy(update={"name": name, "colours": colours, "sender": sender})


def with_domain(branding: Branding, domain: str | None) -> Branding:
    """Another domain, which is to be proved anew; the sender on the old one goes with it."""
    if domain == branding.domain:
        return branding
    token = secrets.token_urlsafe(24) if domain else None
    new = {"domain": domain, "domain_token": token, "domain_proved_at": None, "sender": None}
    return branding.model_copy(update=new)


def with_proof(branding: Branding, found: Sequence[str], now: datetime) -> Branding:
    """The domain proved by what its TXT records say. Raises `DomainNotNamed`, `DomainNotProved`."""
    if branding.domain is None:
        raise DomainNotNamed(field="domain")
    if branding.domain_proved_at is not None:
        return branding
    wanted = f"{PROOF_PREFIX}{branding.domain_token}"
    if wanted not in found:
        raise DomainNotProved(record=proof_name(branding.domain), wanted=wanted, found=list(found)[:10])
    return branding.model_copy(update={"domain_proved_at": now})


async def keep_logo(db: Session, png: bytes, *, now: datetime) -> str:
    """Keep a logo; returns the hash that it is found by."""
    digest = blake2b(png, digest_size=16).hexdigest()
    new = insert(Logo).values(hash=digest, png=png, created_at=now)
    await db.execute(new.on_conflict_do_nothing(index_elements=["hash"]))
    return digest


async def find_logo(db: Session, digest: str) -> bytes:
    """A logo's picture. Raises `LogoNotFound`."""
    png: bytes | None = await db.scalar(select(Logo.png).where(Logo.hash == digest))
    if png is None:
        raise LogoNotFound(digest)
    return png


def logo_url(db: Session, digest: str | None) -> str | None:
    """Where everybody can see a logo."""
    return f"{db.info[SETTINGS].base_url.rstrip('/')}/v1/logos/{digest}.png" if digest else None


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
            branding=_announced_branding(db, partner),
        ),
    )
    detail = {"version": partner.version, "kind": partner.kind, "status": partner.status}
    await audit.record(db, actor, action, subject=f"partner/{partner.id}", detail={**detail, "wallet": partner.wallet})


def _announced_branding(db: Session, partner: Partner) -> BrandingFact | None:
    if partner.kind != Kind.WHITELABEL:
        return None
    own = partner.branding
    colours = own.colours
    return BrandingFact(
        name=partner.brand_name,
        background=colours and colours.background,
        text=colours and colours.text,
        primary=colours and colours.primary,
        on_primary=colours and colours.on_primary,
        logo_url=logo_url(db, own.logo),
        domain=own.domain if own.domain_proved_at else None,
        sender_label=own.sender.name if own.sender else None,
        sender_mailbox=own.sender.email if own.sender else None,
    )
