"""Opening, closing and completing what people learn here."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from academy.learners.usecases import is_own, may_see
from academy.learnings.rows import Course, Learning
from academy.learnings.rules import LEARNABLE, Happened, State
from kit import audit, outbox
from kit.auth import Caller
from kit.consumer import arrived
from kit.db import Session, upsert_newer
from kit.problems import Refused
from schemas.course import CoursePublished
from schemas.enrollment import EnrollmentCancelled, EnrollmentCompleted, EnrollmentConfirmed, EnrollmentFact
from schemas.learning import CourseCompleted


class LearningNotFound(Refused):
    """No such learning is open to you."""

    status = 404


class NotYourLearning(Refused):
    """Only the learner completes a course."""

    status = 403
    rule = "ACA-5"


class LearningClosed(Refused):
    """The enrollment was cancelled, so the course is closed."""

    rule = "ACA-5"


async def copy_courses(db: Session, events: Sequence[CoursePublished]) -> None:
    """Keep what courses are called and how they are followed."""
    names = ("version", "status", "title", "kind", "language", "duration_minutes")
    rows = [{"id": e.course_id} | {name: getattr(e, name) for name in names} for e in events]
    await upsert_newer(db, Course, rows)
    arrived(db, *(f"course/{e.course_id}" for e in events))


async def courses_by_id(db: Session, ids: Iterable[UUID]) -> dict[UUID, Course]:
    """The copies there are of these courses."""
    found = await db.scalars(select(Course).where(Course.id.in_(set(ids))))
    return {course.id: course for course in found}


async def follow_enrollments(db: Session, events: Sequence[EnrollmentFact]) -> None:
    """Note what happened to enrollments, in one statement; in whatever order, it ends alike.

    Enrollments on courses of every kind are noted, so that none has to wait for its course: what is
    not followed here is left out where learnings are read.
    """
    noted: dict[UUID, tuple[EnrollmentFact, Happened]] = {}
    for event in events:
        _, before = noted.get(event.enrollment_id, (event, Happened()))
        noted[event.enrollment_id] = (event, before.joined(_what(event)))
    if not noted:
        return
    rows = [
        {
            "enrollment_id": enrollment_id,
            "version": 1,
            **{name: getattr(event, name) for name in ("person_id", "course_id", "partner_id", "customer_id")},
            **{name: getattr(happened, name) for name in Happened.__slots__},
        }
        for enrollment_id, (event, happened) in sorted(noted.items())
    ]
    table = Learning.__table__.c
    new = insert(Learning)
    # least() passes over nulls: of each moment the earliest that anybody told stays.
    joined = {name: func.least(table[name], new.excluded[name]) for name in Happened.__slots__}
    note = new.on_conflict_do_update(
        index_elements=[table.enrollment_id],
        set_={**joined, "version": table.version + 1},
        where=or_(*(table[name].is_distinct_from(moment) for name, moment in joined.items())),
    )
    # With something to return, all rows travel in one statement.
    await db.execute(note.returning(table.enrollment_id), rows)


def _what(event: EnrollmentFact) -> Happened:
    match event:
        case EnrollmentConfirmed():
            return Happened(opened_at=event.confirmed_at)
        case EnrollmentCompleted():
            return Happened(completed_at=event.completed_at)
        case EnrollmentCancelled():
            return Happened(closed_at=event.at)
    return Happened()


def seen_by(caller: Caller) -> Select[Learning, Course]:
    """The learnings a caller may see, with their courses: opened once, of a kind that is followed here."""
    visible = may_see(
        caller,
        person_id=Learning.person_id,
        partner_id=Learning.partner_id,
        customer_id=Learning.customer_id,
    )
    return (
        select(Learning, Course)
        .join(Course, Course.id == Learning.course_id)
        .where(visible, Course.kind.in_(LEARNABLE), Learning.opened_at.is_not(None))
    )


async def complete(db: Session, enrollment_id: UUID, *, caller: Caller, now: datetime) -> tuple[Learning, Course]:
    """The learner has finished; announced once, asking again changes nothing.

    Raises `LearningNotFound`, `NotYourLearning`, `LearningClosed`.
    """
    query = seen_by(caller).where(Learning.enrollment_id == enrollment_id).with_for_update(of=Learning)
    found = (await db.execute(query)).one_or_none()
    if found is None:
        raise LearningNotFound(enrollment_id)
    learning, course = found
    if not await db.scalar(select(is_own(caller, Learning.person_id)).where(Learning.enrollment_id == enrollment_id)):
        raise NotYourLearning(enrollment_id)
    if learning.state is State.CLOSED:
        raise LearningClosed(enrollment_id)
    if learning.state is State.OPEN:
        learning.completed_at = now
        learning.version += 1
        outbox.add(
            db,
            CourseCompleted(
                enrollment_id=enrollment_id,
                version=learning.version,
                at=now,
                person_id=learning.person_id,
                course_id=learning.course_id,
                completed_at=now,
            ),
        )
        await audit.record(db, caller.actor, "learning.completed", subject=f"enrollment/{enrollment_id}")
    return learning, course
