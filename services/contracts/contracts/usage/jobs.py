"""What happens to the counted activities by the clock."""

from datetime import datetime

from contracts.usage.usecases import roll_windows
from kit.db import Session
from kit.jobs import every


@every(seconds=60)
async def count_activities_of_the_new_day(db: Session, now: datetime) -> int:
    """Let the activities of the 90th day before go, wherever midnight has passed."""
    return await roll_windows(db, now)
