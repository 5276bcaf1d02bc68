"""What happens to deals by the clock."""

from datetime import datetime

from contracts.deals import usecases, winning
from kit.db import Session
from kit.jobs import every


@every(seconds=60)
async def give_notice_of_protection(db: Session, now: datetime) -> int:
    """Tell partners whose protection ends in 14 days, and in 3."""
    return await usecases.give_notice_of_protection(db, now)


@every(seconds=10)
async def complete_orders(db: Session, now: datetime) -> int:
    """Win the deals of kept orders that somebody has completed meanwhile, in whatever way."""
    return await winning.complete_orders(db, caller=winning.CLOCK, now=now)
