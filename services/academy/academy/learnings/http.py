"""Learnings over HTTP: what is open to whom, and completing it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from academy.learnings.rules import State
from academy.learnings.usecases import (
    LearningClosed,
    LearningNotFound,
    NotYourLearning,
    complete,
    seen_by,
)
from kit.auth import Role
from kit.http import Caller, Db, Items, Once, Page, Router, needs, now, page, problems

router = Router(prefix="/v1/learnings", tags=["learnings"])

READERS = (
    Role.ADMIN,
    Role.SUPPORT,
    Role.PARTNER_ADMIN,
    Role.CUSTOMER_ADMIN,
    Role.HR,
    Role.MANAGER,
    Role.LEARNER,
)


class LearningOut(BaseModel):
    """A course that an enrollment opened to a person."""

    enrollment_id: UUID
    person_id: UUID
    course_id: UUID
    title: str
    kind: str
    language: str
    duration_minutes: int | None
    state: State
    opened_at: datetime | None
    completed_at: datetime | None
    closed_at: datetime | None

    @classmethod
    def of(cls, row: Any) -> "LearningOut":
        learning, course = row[0], row[1]
        return cls(
            enrollment_id=learning.enrollment_id,
            person_id=learning.person_id,
            course_id=course.id,
            title=course.title,
            kind=course.kind,
            language=course.language,
            duration_minutes=course.duration_minutes,
            state=learning.state,
            opened_at=learning.opened_at,
            completed_at=learning.completed_at,
            closed_at=learning.closed_at,
        )


@router.get("", dependencies=[needs(*READERS)])
async def get_learnings(
    caller: Caller, db: Db, at: Page, person_id: UUID | None = None, course_id: UUID | None = None
) -> Items[LearningOut]:
    """Learnings, oldest enrollment first: one's own, one's people's, or one's organisation's."""
    wishes = {"person_id": person_id, "course_id": course_id}
    query: Any = seen_by(caller)
    columns = query.selected_columns
    query = query.where(*(columns[name] == wish for name, wish in wishes.items() if wish is not None))
    return await page(db, query, [columns.enrollment_id], at, LearningOut.of)


@router.post(
    "/{enrollment_id}/complete",
    dependencies=[needs(Role.LEARNER)],
    responses=problems(LearningNotFound, NotYourLearning, LearningClosed),
)
async def post_complete(enrollment_id: UUID, caller: Caller, db: Db, once: Once) -> LearningOut:
    """Say that one has finished a course; saying it again changes nothing."""
    return LearningOut.of(await complete(db, enrollment_id, caller=caller, now=now()))
