"""What services do by the clock."""

from datetime import datetime

from contracts.services import usecases
from kit.db import Session
from kit.jobs import every


@every(seconds=60)
async def renew_terms(db: Session, now: datetime) -> int:
    """Begin the next term of contracts whose term is over."""
    return await usecases.renew_terms(db, now)
