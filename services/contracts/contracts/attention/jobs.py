"""What happens to attention items by the clock."""

from datetime import datetime

from contracts.attention.usecases import end_snoozes
from kit.db import Session
from kit.jobs import every


@every(seconds=30)
async def wake_snoozed_items(db: Session, now: datetime) -> int:
    """Show again what was snoozed until now."""
    return await end_snoozes(db, now)
