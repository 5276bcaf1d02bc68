"""Suppliers, the agreement and the services over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic import BaseModel, ConfigDict, EmailStr, Field

from catalog import agreements as agreement_texts
from catalog import partners
from catalog import services as service_switches
from catalog.suppliers import usecases
from catalog.suppliers.rules import ROUTES
from kit import clock
from kit.auth import Role
from kit.http import Caller, Db, IfMatch, Items, Once, Page, Router, etag, needs, page, problems
from schemas.values import InvoicingDetails

suppliers = Router(prefix="/v1/suppliers", tags=["suppliers"])
agreements = Router(prefix="/v1/agreements", tags=["agreements"])
services = Router(prefix="/v1/services", tags=["services"])

SUPPORT = needs(Role.ADMIN, Role.SUPPORT)
ITS_OWN = needs(Role.ADMIN, Role.SUPPORT, Role.SUPPLIER_USER)
READERS = needs(Role.ADMIN, Role.SUPPORT, Role.FINANCE, Role.SUPPLIER_USER)

Name = Annotated[str, Field(min_length=1, max_length=200)]
Language = Annotated[str, Field(pattern="^[a-z]{2}$", description="ISO 639-1", examples=["nl"])]
Site = Annotated[str, Field(max_length=60, examples=["public", "customer_portal/*"])]


def the_supplier(supplier_id: UUID, caller: Caller) -> UUID:
    """The supplier in the path; for anybody but the platform only its own exists."""
    if not caller.is_platform and (caller.tenant_kind, caller.tenant_id) != ("supplier", supplier_id):
        raise usecases.SupplierNotFound(supplier_id)
    return supplier_id


SupplierId = Annotated[UUID, Depends(the_supplier)]


class AddressIn(BaseModel):
    street: Name
    postal_code: Annotated[str, Field(min_length=1, max_length=20)]
    city: Name
    country: str = Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")


class InvoicingIn(BaseModel):
    """What the supplier's invoices must carry. It may come later, but must be there for the first invoice."""

    model_config = ConfigDict(extra="forbid")

    legal_name: Name | None = None
    address: AddressIn | None = None
    vat_id: str | None = Field(None, max_length=20, examples=["NL123456782B90"])
    registration_number: str | None = Field(None, max_length=40)
    invoice_email: EmailStr | None = None

    def details(self) -> InvoicingDetails:
        return InvoicingDetails.model_validate(self.model_dump())


class UserIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: EmailStr
    name: Name | None = None


class SupplierIn(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Leerhuis Amstel",
                    "size": "small",
                    "language": "nl",
                    "users": [{"email": "planning@leerhuis-amstel.example", "name": "Sanne Bakker"}],
                }
            ]
        },
    )

    name: Name
    size: Literal["large", "small"] = "small"
    language: Language = "nl"
    invoicing: InvoicingIn = InvoicingIn()
    users: list[UserIn] = Field(default_factory=list, max_length=50)


class SupplierPatch(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    size: Literal["large", "small"] | None = None
    language: Language | None = None
    invoicing: InvoicingIn | None = None


class SupplierOut(BaseModel):
    supplier_id: UUID
    version: int
    name: str
    status: str
    size: str
    language: str
    invoicing: InvoicingDetails
    routes: list[str]
    exclusive: bool
    created_at: datetime

    @classmethod
    def of(cls, supplier: usecases.Supplier) -> Self:
        return cls(
            supplier_id=supplier.id,
            invoicing=InvoicingDetails.model_validate(supplier.invoicing),
            **{name: getattr(supplier, name) for name in cls.model_fields if name not in ("supplier_id", "invoicing")},
        )


class UserOut(BaseModel):
    user_id: UUID
    email: str
    name: str | None

    @classmethod
    def of(cls, user: usecases.SupplierUser) -> Self:
        return cls(user_id=user.id, email=user.email, name=user.name)


class StepOut(BaseModel):
    step: str
    done: bool
    missing: str | None = Field(description="Why it is not done.")


class SiteOut(BaseModel):
    site: str
    open: bool = Field(description="Enrollments are possible there.")
    reason: str | None = Field(description="The gravest thing missing there.")
    missing: list[str] = Field(description="All that is missing there.")


class ChecklistOut(BaseModel):
    """The five steps to the first enrollment (CAT-2), and site by site whether enrollments are possible."""

    supplier_id: UUID
    steps: list[StepOut]
    sites: list[SiteOut]


class SitesIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sites: list[Site] = Field(max_length=1000)
    exclusive: bool = Field(False, description="Shown on the named customers' portals only, and invisible elsewhere.")


class SitesOut(BaseModel):
    sites: list[str]
    exclusive: bool
    routes: list[str]


class RoutesIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    routes: list[Literal["public", "customer_portal", "courseboard"]] = Field(max_length=3)


class SiteRequestIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    site: Site


class SiteRequestOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    supplier_id: UUID
    site: str
    state: str
    asked_by: str
    asked_at: datetime
    reason: str | None


class DeclineIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    site: Site
    reason: str = Field(min_length=1, max_length=1000)


class PortalOut(BaseModel):
    site: str
    customer: str

    @classmethod
    def of(cls, customer: partners.Customer) -> Self:
        return cls(site=f"customer_portal/{customer.id}", customer=customer.name)


class AgreementIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: Name = "Self-service agreement"
    text: str = Field(min_length=1, max_length=200_000)


class AgreementOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    version: int
    title: str
    text: str
    sha256: str = Field(description="Of title, line feed and text in UTF-8; kept with every acceptance.")
    published_at: datetime


class AcceptanceIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = Field(ge=1)
    accepted_by: Name = Field(description="The name of the person who accepts for the supplier.")


class AcceptanceOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    version: int
    accepted_by: str
    actor: str = Field(description="The account through which it was accepted.")
    accepted_at: datetime
    text_sha256: str


class ConditionOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    text: str


class ServiceOut(BaseModel):
    service: str
    conditions: list[ConditionOut]


class SwitchIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    on: bool
    conditions: list[Annotated[str, Field(max_length=60)]] = Field(
        default_factory=list, max_length=50, description="The ids of the conditions that are ticked."
    )


class TickOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    condition: str
    ticked_by: str
    ticked_at: datetime


class SwitchOut(BaseModel):
    service: str
    on: bool
    ticked: list[TickOut]
    missing: list[str] = Field(description="Conditions that are not ticked.")


# -- accounts ------------------------------------------------------------------------------------------------


@suppliers.post("", status_code=201, dependencies=[SUPPORT], responses=problems(usecases.UserExists))
async def post_supplier(body: SupplierIn, caller: Caller, db: Db, once: Once, response: Response) -> SupplierOut:
    """Open a supplier account: free, and shown on the public site from the start (CAT-1, CAT-3)."""
    new = usecases.NewSupplier(
        body.name,
        body.size,
        body.language,
        body.invoicing.details(),
        [usecases.NewUser(user.email, user.name) for user in body.users],
    )
    supplier = await usecases.create_supplier(db, new, caller.actor, clock.now())
    response.headers["ETag"] = etag(supplier.version)
    response.headers["Location"] = f"/v1/suppliers/{supplier.id}"
    return SupplierOut.of(supplier)


@suppliers.get("", dependencies=[READERS])
async def list_suppliers(
    db: Db,
    at: Page,
    q: Annotated[str | None, Query(max_length=200, description="Part of the name.")] = None,
    status: Literal["active", "closed"] | None = None,
) -> Items[SupplierOut]:
    """Suppliers by name; a supplier's user sees its own."""
    return await page(db, *usecases.list_suppliers(q, status), at, SupplierOut.of)


@suppliers.get("/{supplier_id}", dependencies=[READERS], responses=problems(usecases.SupplierNotFound))
async def get_supplier(supplier_id: SupplierId, db: Db, response: Response) -> SupplierOut:
    """A supplier as it is."""
    supplier = await usecases.get_supplier(db, supplier_id)
    response.headers["ETag"] = etag(supplier.version)
    return SupplierOut.of(supplier)


async def _edit(
    supplier_id: UUID, changes: dict[str, Any], match: IfMatch, actor: str, db: Db, response: Response
) -> SupplierOut:
    supplier = await usecases.supplier_to_edit(db, supplier_id)
    match.check(supplier.version)
    supplier = await usecases.edit_supplier(db, supplier, changes, actor)
    response.headers["ETag"] = etag(supplier.version)
    return SupplierOut.of(supplier)


EDITS = problems(usecases.SupplierNotFound, usecases.SupplierClosed)


@suppliers.patch("/{supplier_id}", dependencies=[ITS_OWN], responses=EDITS)
async def patch_supplier(
    supplier_id: SupplierId, body: SupplierPatch, match: IfMatch, caller: Caller, db: Db, response: Response
) -> SupplierOut:
    """Change the account; what is left out stays as it is."""
    changes = {name: value for name, value in body.model_dump(exclude={"invoicing"}).items() if value is not None}
    if body.invoicing is not None:
        changes["invoicing"] = body.invoicing.details().model_dump(mode="json")
    return await _edit(supplier_id, changes, match, caller.actor, db, response)


@suppliers.put("/{supplier_id}/invoicing", dependencies=[ITS_OWN], responses=EDITS)
async def put_invoicing(
    supplier_id: SupplierId, body: InvoicingIn, match: IfMatch, caller: Caller, db: Db, response: Response
) -> SupplierOut:
    """Set what the supplier's invoices carry."""
    changes = {"invoicing": body.details().model_dump(mode="json")}
    return await _edit(supplier_id, changes, match, caller.actor, db, response)


@suppliers.put("/{supplier_id}/routes", dependencies=[ITS_OWN], responses=EDITS)
async def put_routes(
    supplier_id: SupplierId, body: RoutesIn, match: IfMatch, caller: Caller, db: Db, response: Response
) -> SupplierOut:
    """Choose by which kinds of site the supplier receives enrollments (CAT-3)."""
    changes = {"routes": [route for route in ROUTES if route in body.routes]}
    return await _edit(supplier_id, changes, match, caller.actor, db, response)


@suppliers.post("/{supplier_id}/close", dependencies=[SUPPORT], responses=problems(usecases.SupplierNotFound))
async def post_close(supplier_id: SupplierId, caller: Caller, db: Db, once: Once) -> SupplierOut:
    """Close the account: no new enrollments anywhere, no access for its users; running enrollments go on."""
    return SupplierOut.of(await usecases.close_supplier(db, supplier_id, caller.actor, clock.now()))


# -- users ---------------------------------------------------------------------------------------------------


@suppliers.get("/{supplier_id}/users", dependencies=[READERS], responses=problems(usecases.SupplierNotFound))
async def list_users(supplier_id: SupplierId, db: Db) -> Items[UserOut]:
    """Those who act for the supplier."""
    await usecases.get_supplier(db, supplier_id)
    return Items(items=[UserOut.of(user) for user in await usecases.users_of(db, supplier_id)])


@suppliers.post(
    "/{supplier_id}/users",
    status_code=201,
    dependencies=[ITS_OWN],
    responses=problems(usecases.SupplierNotFound, usecases.SupplierClosed, usecases.UserExists),
)
async def post_user(supplier_id: SupplierId, body: UserIn, caller: Caller, db: Db, once: Once) -> UserOut:
    """Let somebody act for the supplier and receive its mail."""
    new = usecases.NewUser(body.email, body.name)
    return UserOut.of(await usecases.add_user(db, supplier_id, new, caller.actor))


@suppliers.delete(
    "/{supplier_id}/users/{user_id}",
    status_code=204,
    dependencies=[ITS_OWN],
    responses=problems(usecases.SupplierNotFound, usecases.SupplierClosed, usecases.UserNotFound, usecases.LastUser),
)
async def delete_user(supplier_id: SupplierId, user_id: UUID, caller: Caller, db: Db) -> None:
    """End somebody's access for the supplier."""
    await usecases.remove_user(db, supplier_id, user_id, caller.actor, clock.now())


# -- sites ---------------------------------------------------------------------------------------------------


@suppliers.get("/{supplier_id}/sites", dependencies=[READERS], responses=problems(usecases.SupplierNotFound))
async def get_sites(supplier_id: SupplierId, db: Db) -> SitesOut:
    """Where the supplier is shown, and by which routes it receives enrollments."""
    supplier = await usecases.get_supplier(db, supplier_id)
    sites = await usecases.sites_of(db, supplier_id)
    return SitesOut(sites=sites, exclusive=supplier.exclusive, routes=supplier.routes)


@suppliers.put(
    "/{supplier_id}/sites",
    dependencies=[SUPPORT],
    responses=problems(
        usecases.SupplierNotFound,
        usecases.SupplierClosed,
        usecases.UnknownSite,
        usecases.ExclusiveToPortals,
        partners.UnknownCustomer,
    ),
)
async def put_sites(supplier_id: SupplierId, body: SitesIn, caller: Caller, db: Db) -> SitesOut:
    """Show the supplier on exactly these sites (CAT-3)."""
    supplier = await usecases.show_on(db, supplier_id, body.sites, body.exclusive, caller.actor)
    sites = await usecases.sites_of(db, supplier_id)
    return SitesOut(sites=sites, exclusive=supplier.exclusive, routes=supplier.routes)


@suppliers.get("/{supplier_id}/portals", dependencies=[READERS], responses=problems(usecases.SupplierNotFound))
async def list_portals(supplier_id: SupplierId, db: Db, at: Page) -> Items[PortalOut]:
    """The customers' portals that the supplier could be shown on."""
    await usecases.get_supplier(db, supplier_id)
    return await page(db, *partners.portals(), at, PortalOut.of)


@suppliers.get("/{supplier_id}/site-requests", dependencies=[READERS], responses=problems(usecases.SupplierNotFound))
async def list_site_requests(supplier_id: SupplierId, db: Db) -> Items[SiteRequestOut]:
    """What the supplier asked for, and the answers."""
    await usecases.get_supplier(db, supplier_id)
    found = await usecases.site_requests(db, supplier_id)
    return Items(items=[SiteRequestOut.model_validate(request) for request in found])


@suppliers.post(
    "/{supplier_id}/site-requests",
    status_code=201,
    dependencies=[ITS_OWN],
    responses=problems(
        usecases.SupplierNotFound,
        usecases.SupplierClosed,
        usecases.UnknownSite,
        usecases.AlreadyShown,
        usecases.ExclusiveToPortals,
        partners.UnknownCustomer,
    ),
)
async def post_site_request(
    supplier_id: SupplierId, body: SiteRequestIn, caller: Caller, db: Db, once: Once
) -> SiteRequestOut:
    """Ask support to be shown on a customer's portal. Support grants it by `PUT …/sites`."""
    request = await usecases.ask_for_site(db, supplier_id, body.site, caller.actor, clock.now())
    return SiteRequestOut.model_validate(request)


@suppliers.post(
    "/{supplier_id}/site-requests/decline",
    dependencies=[SUPPORT],
    responses=problems(usecases.SupplierNotFound, usecases.SupplierClosed, usecases.RequestNotFound),
)
async def post_decline(supplier_id: SupplierId, body: DeclineIn, caller: Caller, db: Db, once: Once) -> SiteRequestOut:
    """Answer a request with no, and say why."""
    request = await usecases.decline_site(db, supplier_id, body.site, body.reason, caller.actor)
    return SiteRequestOut.model_validate(request)


# -- the way to the first enrollment -------------------------------------------------------------------------


async def _checklist(db: Db, supplier_id: UUID) -> ChecklistOut:
    found = await usecases.readiness(db, supplier_id)
    return ChecklistOut(
        supplier_id=supplier_id,
        steps=[StepOut(step=s.step, done=s.done, missing=s.missing) for s in found.steps],
        sites=[SiteOut(site=o.site, open=o.open, reason=o.reason, missing=list(o.missing)) for o in found.openings],
    )


@suppliers.get("/{supplier_id}/checklist", dependencies=[READERS], responses=problems(usecases.SupplierNotFound))
async def get_checklist(supplier_id: SupplierId, db: Db) -> ChecklistOut:
    """The five steps and what is missing, computed now (CAT-2)."""
    return await _checklist(db, supplier_id)


@suppliers.post(
    "/{supplier_id}/agreement",
    dependencies=[ITS_OWN],
    responses=problems(
        usecases.SupplierNotFound,
        usecases.SupplierClosed,
        agreement_texts.NoAgreement,
        agreement_texts.AgreementOutOfDate,
    ),
)
async def post_acceptance(
    supplier_id: SupplierId, body: AcceptanceIn, caller: Caller, db: Db, once: Once
) -> ChecklistOut:
    """A named person accepts the current agreement for the supplier; the checklist as it then is."""
    await usecases.accept_agreement(db, supplier_id, body.version, body.accepted_by, caller.actor, clock.now())
    return await _checklist(db, supplier_id)


@suppliers.get("/{supplier_id}/agreement", dependencies=[READERS], responses=problems(usecases.SupplierNotFound))
async def list_acceptances(supplier_id: SupplierId, db: Db) -> Items[AcceptanceOut]:
    """What was accepted, by whom and when; the newest version first."""
    await usecases.get_supplier(db, supplier_id)
    found = await agreement_texts.proofs(db, supplier_id)
    return Items(items=[AcceptanceOut.model_validate(acceptance) for acceptance in found])


async def _switch(db: Db, supplier_id: UUID) -> SwitchOut:
    ticked = await service_switches.ticks(db, supplier_id)
    return SwitchOut(
        service=service_switches.ENROLLMENTS,
        on=bool(await service_switches.with_enrollments_on(db, [supplier_id])),
        ticked=[TickOut.model_validate(tick) for tick in ticked],
        missing=service_switches.not_ticked([tick.condition for tick in ticked]),
    )


@suppliers.get(
    "/{supplier_id}/services/enrollments",
    dependencies=[READERS],
    responses=problems(usecases.SupplierNotFound),
)
async def get_switch(supplier_id: SupplierId, db: Db) -> SwitchOut:
    """Whether the Enrollments service is on, and which conditions are ticked."""
    await usecases.get_supplier(db, supplier_id)
    return await _switch(db, supplier_id)


@suppliers.put(
    "/{supplier_id}/services/enrollments",
    dependencies=[ITS_OWN],
    responses=problems(
        usecases.SupplierNotFound,
        usecases.SupplierClosed,
        service_switches.ConditionsNotTicked,
        service_switches.UnknownCondition,
    ),
)
async def put_switch(supplier_id: SupplierId, body: SwitchIn, caller: Caller, db: Db) -> SwitchOut:
    """Switch the Enrollments service on, with every condition ticked, or off, which pauses new enrollments."""
    await usecases.switch_enrollments(db, supplier_id, body.on, body.conditions, caller.actor, clock.now())
    return await _switch(db, supplier_id)


@services.get("/enrollments", dependencies=[READERS])
async def get_service() -> ServiceOut:
    """The conditions to tick one by one before the Enrollments service can be switched on."""
    return ServiceOut(
        service=service_switches.ENROLLMENTS,
        conditions=[ConditionOut.model_validate(c) for c in service_switches.CONDITIONS],
    )


# -- the agreement -------------------------------------------------------------------------------------------


@agreements.get("/current", dependencies=[READERS], responses=problems(agreement_texts.NoAgreement))
async def get_agreement(db: Db) -> AgreementOut:
    """The version that suppliers must have accepted."""
    found = await agreement_texts.current(db)
    if found is None:
        raise agreement_texts.NoAgreement()
    return AgreementOut.model_validate(found)


@agreements.post(
    "",
    status_code=201,
    dependencies=[SUPPORT],
    responses=problems(agreement_texts.AgreementUnchanged),
)
async def post_agreement(body: AgreementIn, caller: Caller, db: Db, once: Once) -> AgreementOut:
    """Publish a new version. New enrollments pause with every supplier until it accepts."""
    agreement = await usecases.publish_agreement(db, body.title, body.text, caller.actor, clock.now())
    return AgreementOut.model_validate(agreement)
