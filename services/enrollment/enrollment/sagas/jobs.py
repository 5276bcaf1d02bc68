"""The watchdog over steps that wait for a machine."""

from datetime import datetime

from enrollment.enrollments.usecases import announce_again
from enrollment.pace import moment
from kit.db import Session
from kit.jobs import every


@every(seconds=5)
async def watchdog(db: Session, now: datetime) -> int:
    """One automatic retry at a step's deadline; what stays unanswered is listed for staff."""
    return await announce_again(db, moment(db, now))
