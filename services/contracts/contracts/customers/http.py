"""Customers over HTTP: a partner makes its own, staff anybody's; each keeps its invoicing details."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Body, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.customers.rules import TRIAL_DAYS, TRIAL_DAYS_MAX, Invoicing, Size, Status, days_left
from contracts.customers.usecases import (
    CompanyWithoutPartner,
    CustomerNotFound,
    NewCustomer,
    NotFromHere,
    NotInTrial,
    NotYourPartner,
    OwnAncestor,
    ParentElsewhere,
    StillSubscribed,
    TrialOutOfReach,
    begin_trial,
    change_customer,
    close_customer,
    find_customer,
    make_customer,
    move_trial_end,
    seen_by,
    time_of_customer,
    with_time,
)
from contracts.deals.winning import complete_orders
from contracts.partners.usecases import PartnerIsClosed, PartnerNotFound
from contracts.terminations.rules import local_day
from contracts.zones import TimeZone
from kit.auth import Role
from kit.db import Session
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
    status: Literal["company", "trial", "active"] | None = None
    """`company` groups a partner's students without a contract: the default where there is a partner."""
    trial_days: int = Field(TRIAL_DAYS, ge=1, le=TRIAL_DAYS_MAX)
    """How long a trial lasts, today counted."""
    time_zone: TimeZone | None = None
    """Where its days begin and end; its partner's, unless it has another."""
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
    time_zone: TimeZone = "Europe/Amsterdam"


class TrialIn(BaseModel):
    """A trial from today."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"days": 30}]})

    days: int = Field(TRIAL_DAYS, ge=1, le=TRIAL_DAYS_MAX)


class TrialEnd(BaseModel):
    """A trial's last day."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ends_on": "2027-03-31"}]})

    ends_on: date


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
    time_zone: str
    closed_reason: str | None
    """Of a closed one: `trial_over`, `ended` or `withdrawn`."""
    closed_on: date | None
    trial_started_on: date | None
    trial_ends_on: date | None
    """The last day of its trial."""
    days_left: int | None
    """Of its trial, today counted."""
    subscribed_on: date | None
    renews_on: date | None
    """The first day of the subscription's next term."""
    ends_on: date | None
    """The last day of a subscription that was given notice."""
    invoicing: Invoicing
    missing: list[str]
    """What invoices to it still lack, as dotted names."""

    @classmethod
    def of(cls, customer: Any, at: datetime) -> "CustomerOut":
        """`at` is the time that the customer has."""
        left = None
        if customer.status == Status.TRIAL:
            left = days_left(local_day(at, customer.time_zone), customer.trial_ends_on)
        own = {"customer_id", "days_left", "invoicing", "missing"}
        return cls(
            customer_id=customer.id,
            days_left=left,
            invoicing=customer.invoicing,
            missing=[f"invoicing.{name}" for name in customer.invoicing.missing()],
            **{name: getattr(customer, name) for name in cls.model_fields if name not in own},
        )


async def shown(db: Session, customer: Any, response: Response) -> CustomerOut:
    """A customer as it is answered, with its version."""
    response.headers["ETag"] = etag(customer.version)
    return CustomerOut.of(customer, await time_of_customer(db, customer.id, now()))


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
        time_zone=body.time_zone,
        trial_days=body.trial_days,
    )
    customer = await make_customer(db, wish, caller=caller, now=now())
    response.headers["Location"] = f"/v1/customers/{customer.id}"
    return await shown(db, customer, response)


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
    order = [query.selected_columns.id]
    return await page(db, with_time(db, query, now()), order, at, lambda row: CustomerOut.of(row[0], row[1]))


@router.get(
    "/{customer_id}",
    dependencies=[needs(*STAFF, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN, Role.HR)],
    responses=problems(CustomerNotFound),
)
async def get_customer(customer_id: UUID, caller: Caller, db: Db, response: Response) -> CustomerOut:
    """One customer, with what its invoices carry and still lack."""
    customer = await find_customer(db, caller, customer_id)
    return await shown(db, customer, response)


@router.patch(
    "/{customer_id}",
    dependencies=[needs(Role.ADMIN, Role.SUPPORT, Role.PARTNER_ADMIN)],
    responses=problems(CustomerNotFound, ParentElsewhere, OwnAncestor),
)
async def patch_customer(
    customer_id: UUID, body: CustomerEdit, match: IfMatch, caller: Caller, db: Db, response: Response
) -> CustomerOut:
    """Change a customer's name, size, language, time zone or parent."""
    customer = await change_customer(
        db,
        customer_id,
        body.model_dump(exclude_unset=True),
        check_version=match.check,
        caller=caller,
        now=now(),
    )
    return await shown(db, customer, response)


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
    # A subscription that was ordered and waited for them begins now.
    await complete_orders(db, caller=caller, now=now(), customer_id=customer.id)
    return await shown(db, customer, response)


@router.post(
    "/{customer_id}/trial",
    status_code=201,
    dependencies=[needs(Role.ADMIN, Role.SUPPORT, Role.PARTNER_ADMIN)],
    responses=problems(CustomerNotFound, NotFromHere),
)
async def post_trial(
    customer_id: UUID, body: TrialIn, caller: Caller, db: Db, once: Once, response: Response
) -> CustomerOut:
    """Begin a trial today, for a company or for a closed customer that is taken back with its data."""
    return await shown(db, await begin_trial(db, customer_id, body.days, caller=caller, now=now()), response)


@router.put(
    "/{customer_id}/trial",
    dependencies=[needs(Role.ADMIN, Role.SUPPORT)],
    responses=problems(CustomerNotFound, NotInTrial, TrialOutOfReach),
)
async def put_trial(
    customer_id: UUID, body: TrialEnd, match: IfMatch, caller: Caller, db: Db, response: Response
) -> CustomerOut:
    """Let a trial end on another day; the platform's staff decide that."""
    customer = await move_trial_end(db, customer_id, body.ends_on, check_version=match.check, caller=caller, now=now())
    return await shown(db, customer, response)


@router.post(
    "/{customer_id}/close",
    dependencies=[needs(Role.ADMIN, Role.SUPPORT, Role.PARTNER_ADMIN)],
    responses=problems(CustomerNotFound, StillSubscribed),
)
async def post_close(customer_id: UUID, caller: Caller, db: Db, once: Once, response: Response) -> CustomerOut:
    """Close a customer that has no subscription; a subscription is terminated, and closes it when it ends."""
    return await shown(db, await close_customer(db, customer_id, caller=caller, now=now()), response)
