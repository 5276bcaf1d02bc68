"""Customers over HTTP: a partner makes its own, staff anybody's; each keeps its invoicing details."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Body, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from contracts.customers.rules import Invoicing, Size, Status
from contracts.customers.usecases import (
    CompanyWithoutPartner,
    CustomerNotFound,
    NewCustomer,
    NotYourPartner,
    OwnAncestor,
    ParentElsewhere,
    change_customer,
    find_customer,
    make_customer,
    seen_by,
)
from contracts.partners.usecases import PartnerIsClosed, PartnerNotFound
from kit.auth import Role
from kit.http import Caller, Db, IfMatch, Items, Once, Page, Router, etag, needs, now, page, problems

router = Router(prefix="/v1/customers", tags=["customers"])

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Language = Literal["en", "nl", "it"]
STAFF = (Role.ADMIN, Role.SUPPORT, Role.FINANCE, Role.EDITOR)
EXAMPLE: dict[str, Any] = {
    "legal_name": "Zilverberg Techniek B.V.",
    "address": {"street": "Kade 1", "postal_code": "3011 AA", "city": "Rotterdam", "country": "NL"},
    "vat_id": "NL004495445B01",
    "registration_number": "24112345",
    "invoice_email": "invoices@zilverberg.example",
}


class CustomerIn(BaseModel):
    """A new customer; invoicing details may be incomplete."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "Zilverberg", "size": "large", "invoicing": EXAMPLE}]},
    )

    name: Name
    partner_id: UUID | None = None
    """Whose customer it is; a partner's admin may leave it out."""
    status: Literal["company", "active"] | None = None
    """`company` groups a partner's students without a contract: the default where there is a partner."""
    parent_id: UUID | None = None
    size: Size = Size.LARGE
    language: Language = "en"
    invoicing: Invoicing = Invoicing()


class CustomerEdit(BaseModel):
    """What is to change; what is left out stays. `parent_id: null` takes the parent away."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"size": "small"}]})

    name: Name = ""
    parent_id: UUID | None = None
    size: Size = Size.LARGE
    language: Language = "en"


class CustomerOut(BaseModel):
    """A customer."""

    customer_id: UUID
    version: int
    name: str
    status: str
    partner_id: UUID | None
    parent_id: UUID | None
    size: str
    language: str
    invoicing: Invoicing
    missing: list[str]
    """What invoices to it still lack, as dotted names."""

    @classmethod
    def of(cls, customer: Any) -> "CustomerOut":
        return cls(
            customer_id=customer.id,
            version=customer.version,
            name=customer.name,
            status=customer.status,
            partner_id=customer.partner_id,
            parent_id=customer.parent_id,
            size=customer.size,
            language=customer.language,
            invoicing=customer.invoicing,
            missing=[f"invoicing.{name}" for name in customer.invoicing.missing()],
        )


@router.post(
    "",
    status_code=201,
    dependencies=[needs(Role.ADMIN, Role.SUPPORT, Role.PARTNER_ADMIN)],
    responses=problems(
        NotYourPartner,
        CompanyWithoutPartner,
        PartnerNotFound,
        PartnerIsClosed,
        CustomerNotFound,
        ParentElsewhere,
    ),
)
async def post_customer(body: CustomerIn, caller: Caller, db: Db, once: Once, response: Response) -> CustomerOut:
    """Make a customer."""
    partner_id = body.partner_id or (None if caller.is_platform else caller.tenant_id)
    wish = NewCustomer(
        name=body.name,
        size=body.size,
        language=body.language,
        status=Status(body.status or ("company" if partner_id else "active")),
        partner_id=partner_id,
        parent_id=body.parent_id,
        invoicing=body.invoicing,
    )
    customer = await make_customer(db, wish, caller=caller, now=now())
    response.headers["ETag"] = etag(customer.version)
    response.headers["Location"] = f"/v1/customers/{customer.id}"
    return CustomerOut.of(customer)


@router.get("", dependencies=[needs(*STAFF, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN, Role.HR)])
async def get_customers(
    caller: Caller,
    db: Db,
    at: Page,
    partner_id: UUID | None = None,
    parent_id: UUID | None = None,
    status: Status | None = None,
) -> Items[CustomerOut]:
    """Customers, oldest first: staff see all, a partner its own, a customer itself."""
    wishes = {"partner_id": partner_id, "parent_id": parent_id, "status": status}
    query = seen_by(caller).filter_by(**{name: wish for name, wish in wishes.items() if wish is not None})
    return await page(db, query, [query.selected_columns.id], at, CustomerOut.of)


@router.get(
    "/{customer_id}",
    dependencies=[needs(*STAFF, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN, Role.HR)],
    responses=problems(CustomerNotFound),
)
async def get_customer(customer_id: UUID, caller: Caller, db: Db, response: Response) -> CustomerOut:
    """One customer, with what its invoices carry and still lack."""
    customer = await find_customer(db, caller, customer_id)
    response.headers["ETag"] = etag(customer.version)
    return CustomerOut.of(customer)


@router.patch(
    "/{customer_id}",
    dependencies=[needs(Role.ADMIN, Role.SUPPORT, Role.PARTNER_ADMIN)],
    responses=problems(CustomerNotFound, ParentElsewhere, OwnAncestor),
)
async def patch_customer(
    customer_id: UUID, body: CustomerEdit, match: IfMatch, caller: Caller, db: Db, response: Response
) -> CustomerOut:
    """Change a customer's name, size, language or parent."""
    customer = await change_customer(
        db,
        customer_id,
        body.model_dump(exclude_unset=True),
        check_version=match.check,
        caller=caller,
        now=now(),
    )
    response.headers["ETag"] = etag(customer.version)
    return CustomerOut.of(customer)


@router.put(
    "/{customer_id}/invoicing",
    dependencies=[needs(Role.ADMIN, Role.SUPPORT, Role.FINANCE, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN)],
    responses=problems(CustomerNotFound),
)
async def put_invoicing(
    customer_id: UUID,
    body: Annotated[Invoicing, Body(openapi_examples={"complete": {"value": EXAMPLE}})],
    match: IfMatch,
    caller: Caller,
    db: Db,
    response: Response,
) -> CustomerOut:
    """Replace a customer's invoicing details: what is given must be right, what is missing is listed."""
    customer = await change_customer(
        db, customer_id, {"invoicing": body}, check_version=match.check, caller=caller, now=now()
    )
    response.headers["ETag"] = etag(customer.version)
    return CustomerOut.of(customer)
