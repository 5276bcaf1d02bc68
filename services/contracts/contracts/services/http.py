"""Services over HTTP: what is offered, and what each customer runs."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StringConstraints

from contracts.services.rules import Kind, Label, Months, State, Terms
from contracts.services.usecases import (
    ContractNotFound,
    NewProduct,
    ProductCodeTaken,
    ProductNotFound,
    change_product,
    find_contract,
    numbers_of,
    offer_product,
    product_of,
    products,
    seen_by,
)
from kit.auth import Role
from kit.http import Caller, Db, IfMatch, Items, Once, Page, Router, etag, needs, now, page, problems

router = Router(prefix="/v1", tags=["services"])

STAFF = (Role.ADMIN, Role.SUPPORT, Role.FINANCE, Role.EDITOR)
READERS = (*STAFF, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN, Role.HR)
Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Version = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
EXAMPLE: dict[str, Any] = {
    "code": "fibre-500",
    "kind": "service",
    "label": "Fibre 500/500",
    "terms": {
        "currency": "EUR",
        "monthly_fee": 8900,
        "one_off": [{"label": "Installation", "amount": 25000}],
        "term_months": 36,
        "renewal_months": 12,
        "notice_months": 1,
        "open_end": "month",
        "buyout": {"rule": "percentage", "percentage_bp": 7500},
    },
    "term_options": [12, 24],
    "conditions_version": "2026-01",
}


class ProductIn(BaseModel):
    """A service to offer."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    code: Code
    kind: Kind = Kind.SERVICE
    label: Label
    terms: Terms
    term_options: Annotated[list[Months], Field(max_length=12)] = []
    conditions_version: Version
    """The conditions' text that an order must agree to."""
    conditions_url: HttpUrl | None = None


class ProductEdit(BaseModel):
    """What is to change; what is left out stays. Contracts that run keep their terms."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"status": "withdrawn"}]})

    label: Label = ""
    terms: Terms = Terms(monthly_fee=0)
    term_options: Annotated[list[Months], Field(max_length=12)] = []
    conditions_version: Version = ""
    conditions_url: HttpUrl | None = None
    status: Annotated[str, StringConstraints(pattern="^(offered|withdrawn)$")] = "offered"


class ProductOut(BaseModel):
    """A service that is or was offered."""

    product_id: UUID
    version: int
    code: str
    kind: str
    label: str
    status: str
    terms: Terms
    term_options: list[int]
    conditions_version: str
    conditions_url: str | None

    @classmethod
    def of(cls, product: Any) -> "ProductOut":
        return cls(
            product_id=product.id,
            version=product.version,
            code=product.code,
            kind=product.kind,
            label=product.label,
            status=product.status,
            terms=product.terms,
            term_options=product.term_options,
            conditions_version=product.conditions_version,
            conditions_url=product.conditions_url,
        )


class ContractOut(BaseModel):
    """A service contract. Amounts are in the minor unit of `currency`, net of VAT."""

    contract_id: UUID
    version: int
    customer_id: UUID
    partner_id: UUID | None
    kind: str
    state: str
    product_id: UUID
    product_code: str
    label: str
    terms: Terms
    starts_on: date
    term_ends_on: date | None
    """Last day of the term that runs; null where it runs without term."""
    last_day: date | None
    time_zone: str
    invoicer: str
    deal_id: UUID | None
    order_id: UUID | None

    @classmethod
    def of(cls, contract: Any) -> "ContractOut":
        names = cls.model_fields.keys() - {"contract_id"}
        return cls(contract_id=contract.id, **{name: getattr(contract, name) for name in names})


@router.post(
    "/service-products",
    status_code=201,
    dependencies=[needs(Role.ADMIN, Role.FINANCE)],
    responses=problems(ProductCodeTaken),
)
async def post_product(body: ProductIn, caller: Caller, db: Db, once: Once, response: Response) -> ProductOut:
    """Offer a service."""
    url = str(body.conditions_url) if body.conditions_url else None
    wish = NewProduct(
        body.code, body.kind, body.label, body.terms, sorted(set(body.term_options)), body.conditions_version, url
    )
    product = await offer_product(db, wish, actor=caller.actor, now=now())
    response.headers["ETag"] = etag(product.version)
    response.headers["Location"] = f"/v1/service-products/{product.id}"
    return ProductOut.of(product)


@router.get("/service-products", dependencies=[needs(*READERS)])
async def get_products(
    caller: Caller, db: Db, at: Page, kind: Kind | None = None, status: str | None = None
) -> Items[ProductOut]:
    """Services, oldest first; those withdrawn too, unless `status=offered` is asked for."""
    wishes = {"kind": kind, "status": status}
    query = products().filter_by(**{name: wish for name, wish in wishes.items() if wish is not None})
    return await page(db, query, [query.selected_columns.id], at, ProductOut.of)


@router.get("/service-products/{product_id}", dependencies=[needs(*READERS)], responses=problems(ProductNotFound))
async def get_product(product_id: UUID, caller: Caller, db: Db, response: Response) -> ProductOut:
    """One service."""
    product = await product_of(db, product_id)
    response.headers["ETag"] = etag(product.version)
    return ProductOut.of(product)


@router.patch(
    "/service-products/{product_id}",
    dependencies=[needs(Role.ADMIN, Role.FINANCE)],
    responses=problems(ProductNotFound),
)
async def patch_product(
    product_id: UUID, body: ProductEdit, match: IfMatch, caller: Caller, db: Db, response: Response
) -> ProductOut:
    """Change what is offered, or withdraw it. Contracts that run keep their terms."""
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    if changes.get("conditions_url"):
        changes["conditions_url"] = str(changes["conditions_url"])
    if "term_options" in changes:
        changes["term_options"] = sorted(set(changes["term_options"]))
    product = await change_product(db, product_id, changes, check_version=match.check, actor=caller.actor)
    response.headers["ETag"] = etag(product.version)
    return ProductOut.of(product)


@router.get("/service-contracts", dependencies=[needs(*READERS)])
async def get_contracts(
    caller: Caller,
    db: Db,
    at: Page,
    customer_id: UUID | None = None,
    kind: Kind | None = None,
    state: State | None = None,
) -> Items[ContractOut]:
    """Service contracts, oldest first: staff see all, a partner its customers', a customer its own."""
    wishes = {"customer_id": customer_id, "kind": kind, "state": state}
    query = seen_by(caller).filter_by(**{name: wish for name, wish in wishes.items() if wish is not None})
    return await page(db, query, [query.selected_columns.id], at, ContractOut.of)


@router.get("/service-contracts/{contract_id}", dependencies=[needs(*READERS)], responses=problems(ContractNotFound))
async def get_contract(contract_id: UUID, caller: Caller, db: Db, response: Response) -> ContractOut:
    """One service contract."""
    contract = await find_contract(db, caller, contract_id)
    response.headers["ETag"] = etag(contract.version)
    return ContractOut.of(contract)


class NumbersOut(BaseModel):
    """Numbers that ring on a service, in E.164; `last` is `first` where it is one number."""

    first: str
    last: str
    since: date


@router.get(
    "/service-contracts/{contract_id}/numbers", dependencies=[needs(*READERS)], responses=problems(ContractNotFound)
)
async def get_numbers(contract_id: UUID, caller: Caller, db: Db) -> list[NumbersOut]:
    """The numbers that ring on a service now."""
    contract = await find_contract(db, caller, contract_id)
    return [
        NumbersOut(first=f"+{held.first}", last=f"+{held.last}", since=held.since)
        for held in await numbers_of(db, contract.id)
    ]
