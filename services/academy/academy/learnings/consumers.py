"""What learning listens to: courses, and what happens to enrollments."""

from collections.abc import Sequence

from academy.learnings.usecases import copy_courses, follow_enrollments
from kit.consumer import batches
from kit.db import Session
from schemas.course import CoursePublished
from schemas.enrollment import EnrollmentCancelled, EnrollmentCompleted, EnrollmentConfirmed, EnrollmentFact


@batches(CoursePublished)
async def on_courses_published(db: Session, events: Sequence[CoursePublished]) -> None:
    """Know what courses are called and how they are followed."""
    await copy_courses(db, events)


@batches(EnrollmentConfirmed, EnrollmentCompleted, EnrollmentCancelled)
async def on_enrollments_moved(db: Session, events: Sequence[EnrollmentFact]) -> None:
    """Open, complete and close what people learn."""
    await follow_enrollments(db, events)
