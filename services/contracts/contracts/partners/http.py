"""Partners over HTTP: staff make and change them, a partner sees itself."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from contracts.access.usecases import NotOfTheTeam, own_team_grant, revoke_partners_admins, team_member
from contracts.customers.rules import Invoicing
from contracts.deals.winning import complete_orders
from contracts.partners.branding import NotALogo, clean_png, dns_txt
from contracts.partners.rules import (
    PROOF_PREFIX,
    Colours,
    Kind,
    PartnerTerms,
    Sender,
    Status,
    domain_of,
    proof_name,
)
from contracts.partners.usecases import (
    DomainNotNamed,
    DomainNotProved,
    DomainTaken,
    LogoNotFound,
    NotWhitelabel,
    PartnerIsClosed,
    PartnerNotFound,
    SenderElsewhere,
    TooPaleToRead,
    change_branding,
    change_invoicing,
    change_partner,
    find_logo,
    find_partner,
    keep_logo,
    logo_url,
    make_partner,
    seen_by,
    with_domain,
    with_looks,
    with_proof,
)
from contracts.zones import TimeZone
from kit.auth import Role
from kit.db import Session
from kit.http import Caller, Db, IfMatch, Items, Once, Page, PublicDb, Router, etag, needs, now, page, problems

router = Router(prefix="/v1/partners", tags=["partners"])

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Language = Literal["en", "nl", "it"]
STAFF = (Role.ADMIN, Role.SUPPORT, Role.FINANCE, Role.EDITOR)


class PartnerIn(BaseModel):
    """A new partner."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "Lumen Learning", "kind": "default", "wallet": True, "language": "nl"}]
        },
    )

    name: Name
    kind: Kind = Kind.DEFAULT
    wallet: bool
    """Whether it pays with credits; without a wallet its people's enrollments are not limited."""
    language: Language = "en"
    time_zone: TimeZone = "Europe/Amsterdam"
    """Where its days begin and end, by its name in the IANA database."""
    responsible_grant_id: UUID | None = None
    """The platform's team member for it; without one, whoever makes it."""


class PartnerEdit(BaseModel):
    """What is to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"wallet": True}]})

    name: Name | None = None
    kind: Kind | None = None
    wallet: bool | None = None
    language: Language | None = None
    time_zone: TimeZone | None = None
    status: Status | None = None
    responsible_grant_id: UUID | None = None


class Responsible(BaseModel):
    """The platform's person to turn to."""

    grant_id: UUID
    name: str | None
    email: str | None


class PartnerOut(BaseModel):
    """A partner."""

    partner_id: UUID
    version: int
    name: str
    kind: str
    status: str
    wallet: bool
    language: str
    time_zone: str
    responsible: Responsible | None
    invoicing: Invoicing
    missing: list[str]
    """What its own invoices still lack, as dotted names; a deal of it is won when nothing is missing."""

    @classmethod
    def of(cls, partner: Any) -> "PartnerOut":
        member = partner.terms.responsible
        return cls(
            partner_id=partner.id,
            version=partner.version,
            name=partner.name,
            kind=partner.kind,
            status=partner.status,
            wallet=partner.wallet,
            language=partner.language,
            time_zone=partner.time_zone,
            responsible=Responsible(grant_id=member.grant_id, name=member.name, email=member.email) if member else None,
            invoicing=partner.invoicing,
            missing=[f"invoicing.{name}" for name in partner.invoicing.missing()],
        )


@router.post("", status_code=201, dependencies=[needs(Role.ADMIN)], responses=problems(NotOfTheTeam))
async def post_partner(body: PartnerIn, caller: Caller, db: Db, once: Once, response: Response) -> PartnerOut:
    """Make a partner. Billing opens its wallet when it hears of it."""
    at = now()
    if body.responsible_grant_id is None:
        responsible = await own_team_grant(db, caller, at)
    else:
        responsible = await team_member(db, body.responsible_grant_id)
    terms = PartnerTerms(
        name=body.name,
        kind=body.kind,
        wallet=body.wallet,
        language=body.language,
        time_zone=body.time_zone,
        responsible=responsible,
    )
    partner = await make_partner(db, terms, actor=caller.actor, now=at)
    response.headers["ETag"] = etag(partner.version)
    response.headers["Location"] = f"/v1/partners/{partner.id}"
    return PartnerOut.of(partner)


@router.get("", dependencies=[needs(*STAFF, Role.PARTNER_ADMIN)])
async def get_partners(
    caller: Caller, db: Db, at: Page, kind: Kind | None = None, status: Status | None = None
) -> Items[PartnerOut]:
    """Partners, oldest first; a partner's admin finds its own alone."""
    query = seen_by(caller).filter_by(
        **{name: wish for name, wish in (("kind", kind), ("status", status)) if wish is not None}
    )
    return await page(db, query, [query.selected_columns.id], at, PartnerOut.of)


@router.get(
    "/{partner_id}",
    dependencies=[needs(*STAFF, Role.PARTNER_ADMIN)],
    responses=problems(PartnerNotFound),
)
async def get_partner(partner_id: UUID, caller: Caller, db: Db, response: Response) -> PartnerOut:
    """One partner, with the platform's person responsible for it."""
    partner = await find_partner(db, caller, partner_id)
    response.headers["ETag"] = etag(partner.version)
    return PartnerOut.of(partner)


@router.patch(
    "/{partner_id}",
    dependencies=[needs(Role.ADMIN)],
    responses=problems(PartnerNotFound, PartnerIsClosed, NotOfTheTeam),
)
async def patch_partner(
    partner_id: UUID, body: PartnerEdit, match: IfMatch, caller: Caller, db: Db, response: Response
) -> PartnerOut:
    """Change a partner. Closing it takes its admins' access back; opened again, they are invited anew."""
    at = now()
    changes = body.model_dump(exclude_none=True, exclude={"responsible_grant_id"})
    if body.responsible_grant_id is not None:
        changes["responsible"] = await team_member(db, body.responsible_grant_id)
    partner = await change_partner(db, partner_id, changes, check_version=match.check, actor=caller.actor, now=at)
    if partner.status == Status.CLOSED:
        await revoke_partners_admins(db, partner.id, actor=caller.actor, now=at)
    response.headers["ETag"] = etag(partner.version)
    return PartnerOut.of(partner)


@router.put(
    "/{partner_id}/invoicing",
    dependencies=[needs(Role.ADMIN, Role.SUPPORT, Role.FINANCE, Role.PARTNER_ADMIN)],
    responses=problems(PartnerNotFound),
)
async def put_invoicing(
    partner_id: UUID, body: Invoicing, match: IfMatch, caller: Caller, db: Db, response: Response
) -> PartnerOut:
    """Replace what the partner's own invoices carry: what is given must be right, what is missing is listed."""
    partner = await change_invoicing(db, partner_id, body, check_version=match.check, caller=caller, now=now())
    # Subscriptions that were ordered and waited for them begin now.
    await complete_orders(db, caller=caller, now=now(), partner_id=partner.id)
    response.headers["ETag"] = etag(partner.version)
    return PartnerOut.of(partner)


# -- branding -----------------------------------------------------------------------------------------------

BRANDERS = (Role.ADMIN, Role.PARTNER_ADMIN)
BRANDING_PROBLEMS = (PartnerNotFound, PartnerIsClosed, NotWhitelabel)


class LooksIn(BaseModel):
    """How a whitelabel partner looks; what is left out is the platform's."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Lumen Academy",
                    "colours": {"primary": "#0b5c4a", "on_primary": "#ffffff"},
                    "sender": {"name": "Lumen Academy", "email": "academy@lumen.example"},
                }
            ]
        },
    )

    name: Name | None = None
    colours: Colours | None = None
    sender: Sender | None = None
    """On the partner's own domain, once that is proved."""


class DomainIn(BaseModel):
    """The host of a partner's site; null takes it away."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"domain": "academy.lumen.example"}]})

    domain: Annotated[str, StringConstraints(max_length=300), AfterValidator(domain_of)] | None


class Proof(BaseModel):
    """The TXT record that proves the domain."""

    record: str
    text: str


class BrandingOut(BaseModel):
    """How a whitelabel partner looks."""

    partner_id: UUID
    version: int
    name: str
    colours: Colours | None
    sender: Sender | None
    logo_url: str | None
    domain: str | None
    domain_proved_at: datetime | None
    proof: Proof | None
    """What is still to be published for the domain."""

    @classmethod
    def of(cls, partner: Any, logo: str | None) -> "BrandingOut":
        own = partner.branding
        proof = None
        if own.domain and not own.domain_proved_at:
            proof = Proof(record=proof_name(own.domain), text=f"{PROOF_PREFIX}{own.domain_token}")
        return cls(
            partner_id=partner.id,
            version=partner.version,
            name=partner.brand_name,
            colours=own.colours,
            sender=own.sender,
            logo_url=logo,
            domain=own.domain,
            domain_proved_at=own.domain_proved_at,
            proof=proof,
        )


def _shown(db: Session, partner: Any, response: Response) -> BrandingOut:
    response.headers["ETag"] = etag(partner.version)
    return BrandingOut.of(partner, logo_url(db, partner.branding.logo))


@router.get(
    "/{partner_id}/branding", dependencies=[needs(*STAFF, Role.PARTNER_ADMIN)], responses=problems(PartnerNotFound)
)
async def get_branding(partner_id: UUID, caller: Caller, db: Db, response: Response) -> BrandingOut:
    """How a partner looks, and what is still to be published for its domain."""
    return _shown(db, await find_partner(db, caller, partner_id), response)


@router.put(
    "/{partner_id}/branding",
    dependencies=[needs(*BRANDERS)],
    responses=problems(*BRANDING_PROBLEMS, TooPaleToRead, SenderElsewhere),
)
async def put_branding(
    partner_id: UUID, body: LooksIn, match: IfMatch, caller: Caller, db: Db, response: Response
) -> BrandingOut:
    """Replace a whitelabel partner's name, colours and mail sender. Colours need the contrast of WCAG 2.2 AA."""
    partner = await change_branding(
        db,
        partner_id,
        lambda b: with_looks(b, name=body.name, colours=body.colours, sender=body.sender),
        check_version=match.check,
        caller=caller,
        now=now(),
    )
    return _shown(db, partner, response)


@router.put(
    "/{partner_id}/logo",
    dependencies=[needs(*BRANDERS)],
    responses=problems(*BRANDING_PROBLEMS, NotALogo),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in ("png", "jpeg", "webp")
            },
        }
    },
)
async def put_logo(
    partner_id: UUID, request: Request, match: IfMatch, caller: Caller, db: Db, response: Response
) -> BrandingOut:
    """Replace a whitelabel partner's logo: the picture as the body, which is kept without what else the file holds."""
    png = await asyncio.to_thread(clean_png, await request.body())
    digest = await keep_logo(db, png, now=now())
    partner = await change_branding(
        db,
        partner_id,
        lambda branding: branding.model_copy(update={"logo": digest}),
        check_version=match.check,
        caller=caller,
        now=now(),
    )
    return _shown(db, partner, response)


@router.put("/{partner_id}/domain", dependencies=[needs(*BRANDERS)], responses=problems(*BRANDING_PROBLEMS))
async def put_domain(
    partner_id: UUID, body: DomainIn, match: IfMatch, caller: Caller, db: Db, response: Response
) -> BrandingOut:
    """Name the host of a whitelabel partner's site; it counts once a TXT record proves it."""
    partner = await change_branding(
        db, partner_id, lambda b: with_domain(b, body.domain), check_version=match.check, caller=caller, now=now()
    )
    return _shown(db, partner, response)


@router.post(
    "/{partner_id}/domain/verify",
    dependencies=[needs(*BRANDERS)],
    responses=problems(*BRANDING_PROBLEMS, DomainNotNamed, DomainNotProved, DomainTaken),
)
async def post_verify(
    partner_id: UUID, request: Request, caller: Caller, db: Db, once: Once, response: Response
) -> BrandingOut:
    """Look for the TXT record that proves the domain."""
    own = (await find_partner(db, caller, partner_id)).branding
    ask = dns_txt(request.app.state.service.settings.dns_server)
    found = await ask(proof_name(own.domain)) if own.domain else []
    partner = await change_branding(
        db, partner_id, lambda b: with_proof(b, found, now()), check_version=lambda _: None, caller=caller, now=now()
    )
    return _shown(db, partner, response)


logos = Router(prefix="/v1/logos", tags=["partners"])


@logos.get(
    "/{digest}.png",
    responses={200: {"content": {"image/png": {}}}, **problems(LogoNotFound)},
    response_class=Response,
)
async def get_logo(digest: Annotated[str, Path(pattern="^[0-9a-f]{32}$")], db: PublicDb) -> Response:
    """A logo, for everybody; its address changes with the picture."""
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(await find_logo(db, digest), media_type="image/png", headers=headers)
