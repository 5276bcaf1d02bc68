"""Steps that wait for a machine, for staff: which are overdue, retry, compensate."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from enrollment.enrollments import usecases
from enrollment.enrollments.access import STAFF
from enrollment.enrollments.rules import Enrollment
from enrollment.enrollments.usecases import EnrollmentNotFound, NotOverdue
from enrollment.moment import Moment
from enrollment.pace import moment
from kit import audit
from kit.http import Caller, Db, Items, Once, Page, Router, needs, page, problems

router = Router(prefix="/v1/sagas", tags=["sagas"], dependencies=[needs(*STAFF)])


class SagaOut(BaseModel):
    """An enrollment, the step it is at, and how often that step was announced again."""

    enrollment_id: UUID
    state: str
    payment: str
    person_id: UUID
    course_id: UUID
    partner_id: UUID | None
    customer_id: UUID | None
    waiting_for: str | None
    since: datetime
    until: datetime | None
    attempts: int
    overdue: bool
    """It was announced again and is past its deadline: retry or compensate."""


def shown(e: Enrollment, at: Moment) -> SagaOut:
    return SagaOut(
        enrollment_id=e.id,
        state=e.state.value,
        payment=e.payment.value,
        person_id=e.person_id,
        course_id=e.course_id,
        partner_id=e.partner_id,
        customer_id=e.customer_id,
        waiting_for=e.waits_for and e.waits_for.value,
        since=e.step_since,
        until=e.step_until,
        attempts=e.attempts,
        overdue=e.attempts > 0 and e.step_until is not None and e.step_until <= at.now,
    )


@router.get("")
async def get_sagas(db: Db, window: Page, overdue: bool = False) -> Items[SagaOut]:
    """Enrollments that wait for a machine, oldest first; `overdue=true`: those that wait for staff by now."""
    at = moment(db)
    query, order = usecases.waiting_steps(overdue=overdue, now=at.now)
    return await page(db, query, order, window, lambda row: shown(usecases.from_row(row), at))


@router.post("/{enrollment_id}/retry", responses=problems(EnrollmentNotFound, NotOverdue))
async def post_retry(enrollment_id: UUID, caller: Caller, db: Db, once: Once) -> SagaOut:
    """Announce the step once more. A service that has decided already says so again."""
    at = moment(db)
    e = await usecases.get(db, enrollment_id, caller, lock=True)
    await audit.record(db, caller.actor, "saga.retried", subject=f"enrollment/{e.id}", detail={"step": e.waits_for})
    return shown(await usecases.retry(db, e, at), at)


@router.post("/{enrollment_id}/compensate", responses=problems(EnrollmentNotFound, NotOverdue))
async def post_compensate(enrollment_id: UUID, caller: Caller, db: Db, once: Once) -> SagaOut:
    """Give the enrollment up, with the reason `stuck`; a hold or charge goes back, whenever it comes."""
    at = moment(db)
    e = await usecases.get(db, enrollment_id, caller, lock=True)
    return shown(await usecases.compensate(db, e, at, by=caller.actor), at)
