"""Enrollments over HTTP."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from enrollment.approvals.usecases import NobodyToAsk, ask, check_somebody, may_decide
from enrollment.enrollments import usecases
from enrollment.enrollments.access import EVERYBODY, STAFF, may_enrol, signature
from enrollment.enrollments.rules import MACHINE_STEPS, By, Enrollment, State, WaitsFor
from enrollment.enrollments.usecases import (
    CREATION_REFUSALS,
    AlreadyEnrolled,
    EnrollmentNotFound,
    NotOpen,
    NotRequested,
    NotYetAsked,
    ReasonMissing,
    Wish,
)
from enrollment.pace import moment, settings_of
from enrollment.prices.usecases import SessionClosed, SessionNotFound
from enrollment.seats.usecases import SessionFull
from kit.auth import Principal, RoleMissing
from kit.db import Session
from kit.http import (
    Caller,
    Db,
    Items,
    Once,
    Page,
    Prefer,
    Refused,
    Router,
    begin,
    claim,
    needs,
    outcome,
    page,
    problems,
)

router = Router(prefix="/v1/enrollments", tags=["enrollments"])


class EnrollmentIn(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "person_id": "0198c0de-0000-7000-8000-000000000001",
                    "course_id": "0198c0de-0000-7000-8000-000000000002",
                    "way": "associated",
                }
            ]
        }
    )

    person_id: UUID
    course_id: UUID
    session_id: UUID | None = None
    way: Literal["associated", "requested"]
    offer_version: str | None = Field(None, max_length=200)
    """The offer that was shown; where it is no longer the offer, the request is refused with both prices."""


class StepOut(BaseModel):
    """What an open enrollment waits for, since when, and until when it may."""

    waiting_for: str
    since: datetime
    until: datetime | None


class PriceOut(BaseModel):
    """Minor units, net of VAT. `customer_pays` = price - discount + fee."""

    currency: str
    price: int
    discount: int
    fee: int
    customer_pays: int
    supplier_keeps: int


class SettlementOut(BaseModel):
    """What a cancellation kept, and what went back."""

    credits_kept: int
    credits_returned: int
    price_kept: PriceOut | None


class EnrollmentOut(BaseModel):
    enrollment_id: UUID
    version: int
    state: str
    way: str
    payment: str
    person_id: UUID
    course_id: UUID
    session_id: UUID | None
    supplier_id: UUID | None
    partner_id: UUID | None
    customer_id: UUID | None
    credits: int | None
    price: PriceOut | None
    created_at: datetime
    approved_at: datetime | None
    confirmed_at: datetime | None
    completed_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    step: StepOut | None
    problem: dict[str, Any] | None
    """Why it was refused: an RFC 9457 problem."""
    settlement: SettlementOut | None
    instruction: dict[str, Any] | None
    """How it is invoiced, as billing last instructed: the invoices that the caller's side has a part in."""
    history: list[dict[str, Any]]
    batch_id: UUID | None


_SAME = (
    "version", "way", "person_id", "course_id", "session_id", "supplier_id", "partner_id", "customer_id",
    "credits", "created_at", "approved_at", "confirmed_at", "completed_at", "ended_at", "expires_at", "problem",
    "batch_id",
)  # fmt: skip


def price_out(price: Any) -> PriceOut | None:
    if price is None:
        return None
    return PriceOut(**asdict(price), customer_pays=price.customer_pays, supplier_keeps=price.supplier_keeps)


def shown(e: Enrollment, caller: Principal) -> EnrollmentOut:
    """As the caller may see it: a supplier learns when it moved, and not who asked and decided."""
    settled = e.settlement
    history = e.history
    if caller.tenant_kind == "supplier":
        history = tuple({k: v for k, v in entry.items() if k in ("state", "at", "as")} for entry in history)
    return EnrollmentOut(
        enrollment_id=e.id,
        state=e.state.value,
        payment=e.payment.value,
        price=price_out(e.price),
        step=StepOut(waiting_for=e.waits_for.value, since=e.step_since, until=e.step_until) if e.waits_for else None,
        settlement=settled
        and SettlementOut(
            credits_kept=settled.credits_kept,
            credits_returned=settled.credits_returned,
            price_kept=price_out(settled.price_kept),
        ),
        history=list(history),
        instruction=_instruction(e, caller),
        **{name: getattr(e, name) for name in _SAME},
    )


def _instruction(e: Enrollment, caller: Principal) -> dict[str, Any] | None:
    """With the invoices the caller's side has a part in: what others bill each other is their business.

    A partner sees what its customer sees; a learner only what it is billed itself.
    """
    if e.instruction is None or caller.is_platform:
        return e.instruction
    if caller.tenant_kind == "supplier":
        party = e.supplier_id
    elif caller.has("partner_admin", "customer_admin", "hr", "manager"):
        party = e.customer_id
    else:
        party = e.person_id
    invoices = [i for i in e.instruction["invoices"] if str(party) in (i["seller"]["id"], i["buyer"]["id"])]
    return {**e.instruction, "invoices": invoices}


def decided(e: Enrollment) -> bool:
    """There is an outcome: nobody has to act, and no machine, before the person knows."""
    return e.state not in (State.REQUESTED, State.APPROVED)


@router.post(
    "",
    status_code=201,
    response_model=EnrollmentOut,
    dependencies=[needs(*EVERYBODY)],
    responses={**problems(*CREATION_REFUSALS, NobodyToAsk, RoleMissing), 202: {"model": EnrollmentOut}},
)
async def post_enrollment(
    body: EnrollmentIn, request: Request, response: Response, caller: Caller, prefer: Prefer
) -> EnrollmentOut:
    """Associate a person with a course, or ask for a place (ENR-2).

    With `Prefer: wait=n` the answer is the outcome where it comes in time: 201, with `state` confirmed or
    refused (and then `problem`). Else 202: poll the enrollment at `Location`.
    """
    wish = Wish(
        body.course_id,
        body.session_id,
        body.way,
        by=caller.actor,
        signature=signature(caller),
        may=may_enrol(caller, body.way),
        offer_version=body.offer_version,
    )
    made: Enrollment | None = None
    async with begin(request, caller) as db:
        claimed = await claim(request, caller, db)
        if claimed.resource is None:
            at = moment(db)
            made = await usecases.enrol(db, body.person_id, wish, at)
            if made.state is State.REQUESTED:
                await check_somebody(db, made)
            if made.waits_for is WaitsFor.DECISION:
                await ask(db, [made], at, support=settings_of(db).platform_email)
            await claimed.keep(made.id)
        enrollment_id = made.id if made else UUID(claimed.resource)
    if made is None or (prefer.wait_s and made.waits_for in MACHINE_STEPS):
        made = await outcome(
            request,
            caller,
            f"enrollment/{enrollment_id}",
            prefer.wait_s,
            lambda db: usecases.get(db, enrollment_id, caller),
            lambda e: decided(e) or e.waits_for not in MACHINE_STEPS,
        )
    response.headers["Location"] = f"/v1/enrollments/{enrollment_id}"
    if not decided(made):
        response.status_code = 202
        response.headers["Retry-After"] = "1" if made.waits_for in MACHINE_STEPS else "3600"
    return shown(made, caller)


@router.get("", dependencies=[needs(*EVERYBODY, "supplier_user")])
async def get_enrollments(
    caller: Caller,
    db: Db,
    window: Page,
    state: State | None = None,
    course_id: UUID | None = None,
    session_id: UUID | None = None,
    person_id: UUID | None = None,
    customer_id: UUID | None = None,
    partner_id: UUID | None = None,
    supplier_id: UUID | None = None,
    batch_id: UUID | None = None,
) -> Items[EnrollmentOut]:
    """The enrollments the caller may see, newest first."""
    asked = {
        "state": state and state.value,
        "course_id": course_id,
        "session_id": session_id,
        "person_id": person_id,
        "customer_id": customer_id,
        "partner_id": partner_id,
        "supplier_id": supplier_id,
        "batch_id": batch_id,
    }
    query, order = usecases.listed(caller, {k: v for k, v in asked.items() if v is not None})
    return await page(db, query, order, window, lambda row: shown(usecases.from_row(row), caller))


@router.get(
    "/{enrollment_id}",
    dependencies=[needs(*EVERYBODY, "supplier_user")],
    responses=problems(EnrollmentNotFound),
)
async def get_enrollment(enrollment_id: UUID, caller: Caller, db: Db) -> EnrollmentOut:
    """One enrollment: its state, the step it is at, and everything that happened to it."""
    return shown(await usecases.get(db, enrollment_id, caller), caller)


class ReasonIn(BaseModel):
    reason: str | None = Field(None, max_length=2000)
    """Why; kept on the enrollment's history and announced, so without personal data."""


class NotTheirs(Refused):
    """Somebody else decides about this enrollment."""

    status = 403
    rule = "ENR-2"


@router.post(
    "/{enrollment_id}/approve",
    dependencies=[needs(*EVERYBODY)],
    responses=problems(EnrollmentNotFound, NotTheirs, NotRequested, NotYetAsked),
)
async def post_approve(
    enrollment_id: UUID, caller: Caller, db: Db, once: Once, body: ReasonIn | None = None
) -> EnrollmentOut:
    """Approve a request, as one of those who were asked. The first answer counts."""
    return await _decide(enrollment_id, caller, db, body, approve=True)


@router.post(
    "/{enrollment_id}/decline",
    dependencies=[needs(*EVERYBODY)],
    responses=problems(EnrollmentNotFound, NotTheirs, NotRequested, NotYetAsked),
)
async def post_decline(
    enrollment_id: UUID, caller: Caller, db: Db, once: Once, body: ReasonIn | None = None
) -> EnrollmentOut:
    """Decline a request, as one of those who were asked. The first answer counts."""
    return await _decide(enrollment_id, caller, db, body, approve=False)


async def _decide(
    enrollment_id: UUID, caller: Principal, db: Session, body: ReasonIn | None, *, approve: bool
) -> EnrollmentOut:
    e, _ = await usecases.for_change(db, enrollment_id, caller)
    if not await may_decide(db, caller, e):
        raise NotTheirs("Its manager decides; without one, the customer's or the partner's admins.")
    why = body.reason if body else None
    return shown(
        await usecases.decide(
            db, e, moment(db), approve=approve, by=caller.actor, signature=signature(caller), why=why
        ),
        caller,
    )


@router.post(
    "/{enrollment_id}/withdraw",
    dependencies=[needs(*EVERYBODY)],
    responses=problems(EnrollmentNotFound, NotTheirs, NotRequested),
)
async def post_withdraw(enrollment_id: UUID, caller: Caller, db: Db, once: Once) -> EnrollmentOut:
    """Take a request back before it is decided: the person itself, or an admin for it."""
    e, by = await usecases.for_change(db, enrollment_id, caller)
    if by is not By.PERSON and not caller.has(*STAFF, "partner_admin", "customer_admin", "hr"):
        raise NotTheirs("The person itself withdraws; a manager declines.")
    return shown(await usecases.withdraw(db, e, moment(db), by=caller.actor), caller)


@router.post(
    "/{enrollment_id}/cancel",
    dependencies=[needs(*EVERYBODY, "supplier_user")],
    responses=problems(EnrollmentNotFound, NotOpen, ReasonMissing),
)
async def post_cancel(
    enrollment_id: UUID, caller: Caller, db: Db, once: Once, body: ReasonIn | None = None
) -> EnrollmentOut:
    """Give up a place after approval. `settlement` says what the course's terms keep; before confirmation, and
    where the supplier cancels, all goes back (ENR-8)."""
    e, as_ = await usecases.for_change(db, enrollment_id, caller)
    why = body.reason if body else None
    return shown(await usecases.cancel(db, e, moment(db), by=caller.actor, as_=as_, why=why), caller)


class MoveIn(BaseModel):
    session_id: UUID
    reason: str | None = Field(None, max_length=2000)


@router.post(
    "/{enrollment_id}/move",
    dependencies=[needs(*EVERYBODY, "supplier_user")],
    responses=problems(EnrollmentNotFound, NotOpen, SessionNotFound, SessionClosed, SessionFull, AlreadyEnrolled),
)
async def post_move(enrollment_id: UUID, body: MoveIn, caller: Caller, db: Db, once: Once) -> EnrollmentOut:
    """Move a confirmed place to another session of the same course; the seats are exchanged."""
    e, _ = await usecases.for_change(db, enrollment_id, caller)
    moved = await usecases.move(db, e, body.session_id, moment(db), by=caller.actor, why=body.reason)
    return shown(moved, caller)


@router.post(
    "/{enrollment_id}/complete",
    dependencies=[needs(*STAFF, "supplier_user")],
    responses=problems(EnrollmentNotFound, NotOpen),
)
async def post_complete(enrollment_id: UUID, caller: Caller, db: Db, once: Once) -> EnrollmentOut:
    """Report that the participant completed the course: its supplier, or platform staff (ACA-5)."""
    e, _ = await usecases.for_change(db, enrollment_id, caller)
    return shown(await usecases.complete(db, e, moment(db), by=caller.actor), caller)
