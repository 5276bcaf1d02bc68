"""What happens to terminations by the clock."""

from datetime import datetime

from contracts.terminations import answers, endings, finance
from kit.db import Session
from kit.jobs import every


@every(seconds=60)
async def remind_of_terminations(db: Session, now: datetime) -> int:
    """Ask once more who has not answered."""
    return await answers.remind(db, now)


@every(seconds=60)
async def expire_asked_terminations(db: Session, now: datetime) -> int:
    """Take silence for an answer when its time is over."""
    return await answers.expire(db, now)


@every(seconds=60)
async def alert_finance(db: Session, now: datetime) -> int:
    """Tell finance what is overdue."""
    return await finance.alert(db, now)


@every(seconds=30)
async def end_services(db: Session, now: datetime) -> int:
    """End the services whose last day is over."""
    return await endings.end_due(db, now)


@every(seconds=60)
async def end_ported_services(db: Session, now: datetime) -> int:
    """End the services that waited for a porting out."""
    return await endings.end_ported(db, now)
