"""Terms over HTTP."""

from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from catalog.moment import moment
from catalog.partners import UnknownCustomer
from catalog.suppliers.usecases import SupplierClosed, SupplierNotFound
from catalog.terms import usecases
from catalog.terms.rules import DEFAULT_PLATFORM_SHARE_BP, Fee, Figures, Scope
from kit.auth import Role
from kit.http import Caller, Db, Items, Once, Page, Router, etag, needs, page, problems
from schemas.values import Money

router = Router(prefix="/v1/terms", tags=["terms"])

STAFF = needs(Role.ADMIN, Role.SUPPORT, Role.FINANCE)
READERS = needs(
    Role.ADMIN,
    Role.SUPPORT,
    Role.FINANCE,
    Role.SUPPLIER_USER,
    Role.CUSTOMER_ADMIN,
    Role.HR,
    Role.PARTNER_ADMIN,
)

BasisPoints = Annotated[int, Field(ge=0, le=10_000, description="1500 is 15 %.")]


class FeeIn(BaseModel):
    amount: int = Field(ge=0, le=100_000_000, description="Minor units.")
    currency: str = Field(pattern=r"^[A-Z]{3}$")


class TermsIn(BaseModel):
    """For everybody, or for one supplier and one customer (CAT-6)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"valid_from": "2027-01-01", "discount_bp": 1500, "platform_share_bp": 5000}]},
    )

    kind: Literal["business", "public"] = "business"
    supplier_id: UUID | None = None
    customer_id: UUID | None = None
    valid_from: date | None = Field(None, description="The first day; today where it is left out.")
    discount_bp: BasisPoints = 0
    platform_share_bp: BasisPoints = DEFAULT_PLATFORM_SHARE_BP
    minimum_fee: FeeIn | None = None


class TermsOut(BaseModel):
    terms_id: UUID
    version: int
    kind: str
    supplier_id: UUID | None
    customer_id: UUID | None
    status: str
    valid_from: date
    discount_bp: int
    platform_share_bp: int
    minimum_fee: Money | None

    @classmethod
    def of(cls, terms: usecases.Terms) -> Self:
        fee = usecases.minimum_fee_of(terms)
        return cls(
            terms_id=terms.id,
            version=terms.version,
            kind=terms.kind,
            supplier_id=terms.supplier_id,
            customer_id=terms.customer_id,
            status=terms.status,
            valid_from=terms.valid_from,
            discount_bp=terms.discount_bp,
            platform_share_bp=terms.platform_share_bp,
            minimum_fee=fee and Money(amount=fee.amount, currency=fee.currency),
        )


@router.put(
    "",
    dependencies=[STAFF],
    responses=problems(
        usecases.TermsScopeUnclear,
        usecases.NoDiscountInPublic,
        UnknownCustomer,
        SupplierNotFound,
        SupplierClosed,
    ),
)
async def put_terms(body: TermsIn, caller: Caller, db: Db, response: Response) -> TermsOut:
    """Let terms hold from a day on, for everybody or for one supplier and customer. The same again changes nothing."""
    fee = Fee(body.minimum_fee.amount, body.minimum_fee.currency) if body.minimum_fee else None
    terms = await usecases.put_terms(
        db,
        Scope(body.kind, body.supplier_id, body.customer_id),
        body.valid_from or moment().today,
        Figures(body.discount_bp, body.platform_share_bp, fee),
        caller.actor,
    )
    response.headers["ETag"] = etag(terms.version)
    return TermsOut.of(terms)


@router.get("", dependencies=[READERS])
async def list_terms(
    db: Db,
    at: Page,
    kind: Annotated[Literal["business", "public"] | None, Query()] = None,
    supplier_id: UUID | None = None,
    customer_id: UUID | None = None,
) -> Items[TermsOut]:
    """The default terms, and those of the caller's own; staff see all."""
    return await page(db, *usecases.list_terms(kind, supplier_id, customer_id), at, TermsOut.of)


@router.get("/{terms_id}", dependencies=[READERS], responses=problems(usecases.TermsNotFound))
async def get_terms(terms_id: UUID, db: Db, response: Response) -> TermsOut:
    """Terms as they are."""
    terms = await usecases.get_terms(db, terms_id)
    response.headers["ETag"] = etag(terms.version)
    return TermsOut.of(terms)


@router.post(
    "/{terms_id}/end",
    dependencies=[STAFF],
    responses=problems(usecases.TermsNotFound, usecases.DefaultTermsStay),
)
async def end_terms(terms_id: UUID, caller: Caller, db: Db, once: Once) -> TermsOut:
    """Take terms back: what held before them holds again."""
    return TermsOut.of(await usecases.end_terms(db, terms_id, caller.actor))
