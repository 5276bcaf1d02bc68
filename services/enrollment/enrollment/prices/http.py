"""Offers over HTTP: what a course would cost a person, before anything is asked."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from enrollment.pace import moment
from enrollment.prices.usecases import CourseNotFound, PersonNotFound, offer_for
from kit.http import Caller, Db, Router, needs, problems

router = Router(prefix="/v1/offers", tags=["offers"])


class BreakdownOut(BaseModel):
    """Minor units, net of VAT. The customer pays price - discount + fee."""

    currency: str
    price: int
    discount: int
    fee: int
    customer_pays: int
    supplier_keeps: int


class CancellationOut(BaseModel):
    free_until_days: int
    then_keep_bp: int


class OfferOut(BaseModel):
    person_id: UUID
    course_id: UUID
    session_id: UUID | None
    open: bool
    reason: str | None
    """Why it is not open."""
    problem: dict[str, Any] | None
    """The refusal that a request would get."""
    payment: str | None
    credits: int | None
    price: BreakdownOut | None
    cancellation: CancellationOut
    offer_version: str
    """Send it with the request: where the offer has changed meanwhile, the request is refused."""


@router.get(
    "",
    dependencies=[needs("admin", "support", "partner_admin", "customer_admin", "hr", "manager", "learner")],
    responses=problems(PersonNotFound, CourseNotFound),
)
async def get_offer(
    person_id: UUID, course_id: UUID, caller: Caller, db: Db, session_id: UUID | None = None
) -> OfferOut:
    """What the course costs this person today, how it would be paid, and whether it can be had (CAT-6, ENR-4)."""
    made, refusal = await offer_for(db, caller, person_id, course_id, session_id, moment(db))
    price = made.price
    return OfferOut(
        person_id=person_id,
        course_id=course_id,
        session_id=session_id,
        open=refusal is None,
        reason=refusal and (refusal.detail or refusal.title),
        problem=refusal and refusal.as_problem(),
        payment=made.payment,
        credits=made.credits,
        price=price
        and BreakdownOut(**asdict(price), customer_pays=price.customer_pays, supplier_keeps=price.supplier_keeps),
        cancellation=CancellationOut(**asdict(made.cancellation)),
        offer_version=made.version,
    )
