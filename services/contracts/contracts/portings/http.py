"""Portings over HTTP: partners ask for them and store the mandate, staff take them to the day they are done."""

from datetime import date
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.orders.forms import MoveIn
from contracts.orders.rules import State
from contracts.orders.usecases import (
    DayNotPossible,
    MoveNotPossible,
    MoveNotYours,
    OrderNotFound,
    ReasonMissing,
)
from contracts.portings.rules import MANDATE_BYTES_MAX, Direction, Numbers, as_written, numbers
from contracts.portings.usecases import (
    MandateFixed,
    MandateMissing,
    MandateNotUnderstood,
    NewPorting,
    NoServiceNamed,
    NumberNotHere,
    NumbersNotUnderstood,
    NumberTaken,
    PortingNotFound,
    ServiceEnds,
    ServiceNotRunning,
    WishDateNotPossible,
    find_porting,
    mandate_of,
    move_porting,
    request_porting,
    seen_by,
    store_mandate,
)
from contracts.services.rules import Day
from contracts.services.usecases import ContractNotFound
from kit.auth import Role
from kit.http import Caller, Db, IfMatch, Items, Once, Page, Router, etag, needs, now, page, problems

router = Router(prefix="/v1/portings", tags=["portings"])

WORKERS = (Role.ADMIN, Role.SUPPORT, Role.PARTNER_ADMIN)
READERS = (*WORKERS, Role.FINANCE, Role.EDITOR, Role.CUSTOMER_ADMIN, Role.HR)
Written = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=40)]


class NumbersIn(BaseModel):
    """A number, or a range with both ends, each with its country."""

    model_config = ConfigDict(extra="forbid")

    first: Written
    last: Written | None = None

    @model_validator(mode="after")
    def _exist(self) -> Self:
        self.range()
        return self

    def range(self) -> Numbers:
        return numbers(self.first, self.last)


class PortingIn(BaseModel):
    """Numbers to be ported. A porting in names its service, or the order of it; a porting out its service."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "direction": "in",
                    "order_id": "019bc0bd-7380-7852-a0b8-dbf4827d2fda",
                    "numbers": [{"first": "+31 20 794 0100", "last": "+31 20 794 0109"}],
                    "provider": "Kustlijn Telecom",
                    "wish_date": "2026-03-20",
                }
            ]
        },
    )

    direction: Direction
    contract_id: UUID | None = None
    order_id: UUID | None = None
    termination_id: UUID | None = None
    """The termination that it belongs to, of a porting out."""
    numbers: Annotated[list[NumbersIn], Field(min_length=1, max_length=100)]
    provider: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    """Who loses the numbers, or who gains them."""
    wish_date: Day
    """A working day where the numbers are at home."""


class PortingOut(BaseModel):
    """A porting, with the way it went."""

    porting_id: UUID
    version: int
    customer_id: UUID
    partner_id: UUID | None
    direction: str
    state: str
    contract_id: UUID | None
    order_id: UUID | None
    termination_id: UUID | None
    numbers: list[dict[str, str]]
    provider: str
    wish_date: date
    planned_on: date | None
    originally_planned_on: date | None
    delay_announced_on: date | None
    done_on: date | None
    reason: str | None
    mandate_hash: str | None
    steps: list[dict[str, Any]]

    @classmethod
    def of(cls, porting: Any) -> "PortingOut":
        names = cls.model_fields.keys() - {"porting_id", "numbers"}
        ranges = [{"first": as_written(part.first), "last": as_written(part.last)} for part in porting.ranges]
        return cls(porting_id=porting.id, numbers=ranges, **{name: getattr(porting, name) for name in names})


@router.post(
    "",
    status_code=201,
    dependencies=[needs(*WORKERS)],
    responses=problems(
        NoServiceNamed,
        ContractNotFound,
        OrderNotFound,
        ServiceEnds,
        NumbersNotUnderstood,
        WishDateNotPossible,
        NumberNotHere,
        NumberTaken,
    ),
)
async def post_porting(body: PortingIn, caller: Caller, db: Db, once: Once, response: Response) -> PortingOut:
    """Ask for numbers to be ported."""
    wish = NewPorting(
        direction=body.direction,
        contract_id=body.contract_id,
        order_id=body.order_id,
        termination_id=body.termination_id,
        numbers=[part.range() for part in body.numbers],
        provider=body.provider,
        wish_date=body.wish_date,
    )
    porting = await request_porting(db, wish, caller=caller, now=now())
    response.headers["ETag"] = etag(porting.version)
    response.headers["Location"] = f"/v1/portings/{porting.id}"
    return PortingOut.of(porting)


@router.get("", dependencies=[needs(*READERS)])
async def get_portings(
    caller: Caller,
    db: Db,
    at: Page,
    customer_id: UUID | None = None,
    contract_id: UUID | None = None,
    direction: Direction | None = None,
    state: State | None = None,
) -> Items[PortingOut]:
    """Portings, oldest first: staff see all, a partner its customers', a customer its own."""
    wishes = {"customer_id": customer_id, "contract_id": contract_id, "direction": direction, "state": state}
    query = seen_by(caller).filter_by(**{name: wish for name, wish in wishes.items() if wish is not None})
    return await page(db, query, [query.selected_columns.id], at, PortingOut.of)


@router.get("/{porting_id}", dependencies=[needs(*READERS)], responses=problems(PortingNotFound))
async def get_porting(porting_id: UUID, caller: Caller, db: Db, response: Response) -> PortingOut:
    """One porting, with the way it went."""
    porting = await find_porting(db, caller, porting_id)
    response.headers["ETag"] = etag(porting.version)
    return PortingOut.of(porting)


@router.put(
    "/{porting_id}/mandate",
    dependencies=[needs(*WORKERS)],
    responses=problems(PortingNotFound, MandateNotUnderstood, MandateFixed),
    max_body_size=MANDATE_BYTES_MAX + 1,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("application/pdf", "image/png", "image/jpeg")
            },
        }
    },
)
async def put_mandate(
    porting_id: UUID, request: Request, match: IfMatch, caller: Caller, db: Db, response: Response
) -> PortingOut:
    """Store the signed mandate: the file itself is the body. It is judged by its content."""
    content = await request.body()
    porting = await store_mandate(db, porting_id, content, check_version=match.check, caller=caller, now=now())
    response.headers["ETag"] = etag(porting.version)
    return PortingOut.of(porting)


@router.get(
    "/{porting_id}/mandate",
    dependencies=[needs(*WORKERS)],
    responses=problems(PortingNotFound, MandateMissing),
    response_class=Response,
)
async def get_mandate(porting_id: UUID, caller: Caller, db: Db) -> Response:
    """The signed mandate, as a file to be kept."""
    mandate = await mandate_of(db, caller, porting_id)
    ending = mandate.media_type.rpartition("/")[2]
    named = f'attachment; filename="mandate-{porting_id}.{ending}"'
    return Response(mandate.content, media_type=mandate.media_type, headers={"Content-Disposition": named})


@router.post(
    "/{porting_id}/steps",
    dependencies=[needs(*WORKERS)],
    responses=problems(
        PortingNotFound,
        MoveNotYours,
        MoveNotPossible,
        DayNotPossible,
        ReasonMissing,
        MandateMissing,
        ServiceNotRunning,
        NumberTaken,
        NumberNotHere,
    ),
)
async def post_porting_step(
    porting_id: UUID, body: MoveIn, match: IfMatch, caller: Caller, db: Db, once: Once, response: Response
) -> PortingOut:
    """Take a porting a step on. Done, its numbers ring on the service, or no longer do."""
    porting = await move_porting(db, porting_id, body.move(), check_version=match.check, caller=caller, now=now())
    response.headers["ETag"] = etag(porting.version)
    return PortingOut.of(porting)
