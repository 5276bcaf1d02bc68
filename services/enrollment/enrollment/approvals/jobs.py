"""Reminders and expiry of requests that nobody decides (ENR-9)."""

from datetime import datetime

from enrollment.approvals.usecases import ask
from enrollment.enrollments.usecases import expire, to_remind
from enrollment.pace import moment, settings_of
from kit.db import Session
from kit.jobs import every


@every(seconds=60)
async def remind(db: Session, now: datetime) -> int:
    """Ask once more after three working days."""
    at = moment(db, now)
    waiting = await to_remind(db, at)
    await ask(db, waiting, at, support=settings_of(db).platform_email, again=True)
    return len(waiting)


@every(seconds=60)
async def expire_requests(db: Session, now: datetime) -> int:
    """End requests that waited fourteen days."""
    return await expire(db, moment(db, now))
