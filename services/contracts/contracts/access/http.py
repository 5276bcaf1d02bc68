"""Access over HTTP: give, look, revoke."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, ConfigDict, EmailStr, StringConstraints, model_validator

from contracts.access.rules import Holder, TenantKind
from contracts.access.usecases import (
    AlreadyGranted,
    GiveAccess,
    GrantNotFound,
    NotYoursToGive,
    RoleDoesNotFit,
    SupplierUnknown,
    give_access,
    revoke_access,
    seen_by,
)
from contracts.customers.usecases import CustomerNotFound
from contracts.partners.usecases import PartnerIsClosed, PartnerNotFound
from kit.auth import Role
from kit.http import Caller, Db, Items, Once, Page, Router, needs, now, page, problems

router = Router(prefix="/v1", tags=["access"])

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Known = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class AdminIn(BaseModel):
    """A new admin of a partner."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"email": "ada@lumen.example", "name": "Ada Visser"}]}
    )

    email: EmailStr
    name: Name


class GrantIn(BaseModel):
    """A role for a tenant; its holder is known by e-mail, or by issuer and subject."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"role": "finance", "tenant_kind": "platform", "email": "fin@platform.example", "name": "Fin"}]
        },
    )

    role: Role
    tenant_kind: TenantKind
    tenant_id: UUID | None = None
    """None for the platform."""
    email: EmailStr | None = None
    issuer: Known | None = None
    subject: Known | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _holder_is_known(self) -> Self:
        self.holder()
        return self

    def holder(self) -> Holder:
        return Holder(email=self.email, name=self.name, issuer=self.issuer, subject=self.subject)


class GrantOut(BaseModel):
    """A grant."""

    grant_id: UUID
    role: str
    tenant_kind: str
    tenant_id: UUID | None
    email: str | None
    issuer: str | None
    subject: str | None
    name: str | None
    status: str
    given_by: str
    given_at: datetime

    @classmethod
    def of(cls, grant: Any) -> "GrantOut":
        fields = {name: getattr(grant, name) for name in cls.model_fields if name != "grant_id"}
        return cls(grant_id=grant.id, **fields)


TENANT_PROBLEMS = (PartnerNotFound, PartnerIsClosed, CustomerNotFound, SupplierUnknown)


@router.post(
    "/partners/{partner_id}/admins",
    status_code=201,
    dependencies=[needs(Role.ADMIN)],
    responses=problems(PartnerNotFound, PartnerIsClosed, AlreadyGranted),
)
async def post_partner_admin(
    partner_id: UUID, body: AdminIn, caller: Caller, db: Db, once: Once, request: Request
) -> GrantOut:
    """Make somebody an admin of a partner, and invite them by mail."""
    wish = GiveAccess(Holder(email=body.email, name=body.name), Role.PARTNER_ADMIN, TenantKind.PARTNER, partner_id)
    url = request.app.state.service.settings.sign_in_url
    return GrantOut.of(await give_access(db, wish, caller=caller, sign_in_url=url, now=now()))


@router.post(
    "/grants",
    status_code=201,
    dependencies=[needs(Role.ADMIN, Role.PARTNER_ADMIN)],
    responses=problems(*TENANT_PROBLEMS, RoleDoesNotFit, NotYoursToGive, AlreadyGranted),
)
async def post_grant(body: GrantIn, caller: Caller, db: Db, once: Once, request: Request) -> GrantOut:
    """Give somebody a role, and invite them by mail. A partner's admin gives roles for its customers."""
    wish = GiveAccess(body.holder(), body.role, body.tenant_kind, body.tenant_id)
    url = request.app.state.service.settings.sign_in_url
    return GrantOut.of(await give_access(db, wish, caller=caller, sign_in_url=url, now=now()))


@router.get("/grants", dependencies=[needs(Role.ADMIN, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN)])
async def get_grants(
    caller: Caller,
    db: Db,
    at: Page,
    tenant_kind: TenantKind | None = None,
    role: Role | None = None,
    status: str | None = None,
) -> Items[GrantOut]:
    """Grants, oldest first: staff see all, others those of their own organisation."""
    wishes = {"tenant_kind": tenant_kind, "role": role, "status": status}
    query = seen_by(caller).filter_by(**{name: wish for name, wish in wishes.items() if wish is not None})
    return await page(db, query, [query.selected_columns.id], at, GrantOut.of)


@router.delete(
    "/grants/{grant_id}",
    status_code=204,
    dependencies=[needs(Role.ADMIN, Role.PARTNER_ADMIN)],
    responses=problems(GrantNotFound, NotYoursToGive),
)
async def delete_grant(grant_id: UUID, caller: Caller, db: Db) -> None:
    """Take a role back; doing it again changes nothing."""
    await revoke_access(db, grant_id, caller=caller, now=now())
