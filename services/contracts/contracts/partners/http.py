"""Partners over HTTP: staff make and change them, a partner sees itself."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from contracts.access.usecases import NotOfTheTeam, own_team_grant, revoke_partners_admins, team_member
from contracts.customers.rules import Invoicing
from contracts.deals.winning import complete_orders
from contracts.partners.rules import Kind, PartnerTerms, Status
from contracts.partners.usecases import (
    PartnerIsClosed,
    PartnerNotFound,
    change_invoicing,
    change_partner,
    find_partner,
    make_partner,
    seen_by,
)
from contracts.zones import TimeZone
from kit.auth import Role
from kit.http import Caller, Db, IfMatch, Items, Once, Page, Router, etag, needs, now, page, problems

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
