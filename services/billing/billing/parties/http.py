"""The invoicing route of a customer over HTTP."""

from typing import Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from billing.parties.rules import Route
from billing.parties.usecases import CustomerNotFound, RouteNow, choose_route, find_route
from kit import clock
from kit.auth import Caller, Role, needs
from kit.http import Db, Router, etag, problems

router = Router(prefix="/v1/customers", tags=["invoicing"])


class RouteIn(BaseModel):
    """The route to take from now on."""

    model_config = ConfigDict(extra="forbid")

    route: Literal["supplier_to_customer", "supplier_to_platform"]


class RouteOut(BaseModel):
    """A customer's route as it is now."""

    customer_id: UUID
    route: str
    chosen: bool = Field(description="False: the default, because none was chosen.")


def _out(route: RouteNow, response: Response) -> RouteOut:
    response.headers["ETag"] = etag(route.version)
    return RouteOut(customer_id=route.customer_id, route=route.route, chosen=route.version > 0)


@router.get(
    "/{customer_id}/invoicing-route",
    dependencies=[needs(Role.ADMIN, Role.FINANCE, Role.CUSTOMER_ADMIN, Role.HR)],
    responses=problems(CustomerNotFound),
)
async def get_route(customer_id: UUID, db: Db, response: Response) -> RouteOut:
    """How the customer's next enrollment is invoiced."""
    return _out(await find_route(db, customer_id), response)


@router.put(
    "/{customer_id}/invoicing-route",
    dependencies=[needs(Role.ADMIN, Role.FINANCE)],
    responses=problems(CustomerNotFound),
)
async def put_route(customer_id: UUID, body: RouteIn, caller: Caller, db: Db, response: Response) -> RouteOut:
    """Choose who bills whom for this customer's enrollments (BIL-5); running ones keep their route."""
    return _out(await choose_route(db, customer_id, Route(body.route), caller.actor, clock.now()), response)
