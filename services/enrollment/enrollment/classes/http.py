"""Classes over HTTP: a job with its progress and an outcome per person."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, Field

from enrollment.classes import usecases
from enrollment.classes.usecases import PEOPLE_MAX, Batch, BatchNotFound
from enrollment.enrollments.access import may_enrol
from kit.http import Caller, Db, Items, Once, Page, Router, needs, page, problems

router = Router(prefix="/v1/enrollment-batches", tags=["classes"])

# A customer's admin is let in only where a partner's admin acts for the customer; `may_enrol` sees to that.
ROLES = ("admin", "support", "partner_admin", "customer_admin")


class BatchIn(BaseModel):
    course_id: UUID
    session_id: UUID | None = None
    person_ids: list[UUID] = Field(min_length=1, max_length=PEOPLE_MAX)


class BatchOut(BaseModel):
    """A class: `total` people, `done` enrollments made, `failed` people without one, and why in the rows."""

    batch_id: UUID
    state: Literal["running", "done", "failed"]
    """`done`: everybody has an outcome of the call itself; charges are answered after that."""
    course_id: UUID
    session_id: UUID | None
    total: int
    done: int
    failed: int
    enrollments: dict[str, int]
    """The enrollments made, counted by the state they are in now."""
    undecided: int
    """People whose outcome is not known yet: neither confirmed nor refused."""
    created_at: datetime
    finished_at: datetime | None
    problem: dict[str, Any] | None


class MemberOut(BaseModel):
    row: int
    person_id: UUID
    enrollment_id: UUID | None
    state: str
    """The enrollment's state now; `waiting` before it is made, `failed` where none was."""
    problem: dict[str, Any] | None


def shown(b: Batch) -> BatchOut:
    undecided = b.total - b.done - b.failed + b.states.get("approved", 0)
    return BatchOut(
        batch_id=b.id,
        state=b.state,
        course_id=b.course_id,
        session_id=b.session_id,
        total=b.total,
        done=b.done,
        failed=b.failed,
        enrollments=dict(b.states),
        undecided=undecided,
        created_at=b.created_at,
        finished_at=b.finished_at,
        problem=b.problem,
    )


@router.post("", status_code=202, dependencies=[needs(*ROLES)], max_body_size=8 << 20)
async def post_batch(body: BatchIn, caller: Caller, db: Db, once: Once, response: Response) -> BatchOut:
    """Associate a class of people with a course, as with each of them alone; the work goes on in the background.

    Where seats or credits run short, the first named get them.
    """
    may_enrol(caller, "associated")
    batch_id = await usecases.submit(db, caller, body.course_id, body.session_id, body.person_ids)
    response.headers["Location"] = f"/v1/enrollment-batches/{batch_id}"
    response.headers["Retry-After"] = "1"
    return shown(await usecases.get(db, batch_id, caller))


@router.get("", dependencies=[needs(*ROLES)])
async def get_batches(caller: Caller, db: Db, window: Page) -> Items[BatchOut]:
    """The batches of the caller's tenant, newest first; their enrollments are counted on each one's own page."""
    query, order = usecases.listed(caller)
    return await page(db, query, order, window, lambda row: shown(usecases.from_row(row)))


@router.get("/{batch_id}", dependencies=[needs(*ROLES)], responses=problems(BatchNotFound))
async def get_batch(batch_id: UUID, caller: Caller, db: Db) -> BatchOut:
    """A class and how far it is."""
    return shown(await usecases.get(db, batch_id, caller))


@router.get("/{batch_id}/rows", dependencies=[needs(*ROLES)], responses=problems(BatchNotFound))
async def get_batch_rows(
    batch_id: UUID, caller: Caller, db: Db, window: Page, state: Literal["good", "done", "failed"] | None = None
) -> Items[MemberOut]:
    """What became of each person, in the order they were named; `state` is that of the row."""
    await usecases.get(db, batch_id, caller)
    query, order = usecases.people_of(batch_id, state)
    found = await page(db, query, order, window, lambda row: row)
    made = {row.row: UUID(row.result["enrollment_id"]) for row in found.items if row.state == "done"}
    now = await usecases.states_now(db, list(made.values()))
    items = []
    for row in found.items:
        enrollment_id = made.get(row.row)
        state_now, problem = now[enrollment_id] if enrollment_id else (_BEFORE[row.state], None)
        if row.state == "failed":
            problem = row.result["problem"]
        items.append(
            MemberOut(
                row=row.row,
                person_id=row.data["person_id"],
                enrollment_id=enrollment_id,
                state=state_now,
                problem=problem,
            )
        )
    return Items(items=items)


_BEFORE = {"good": "waiting", "failed": "failed"}
