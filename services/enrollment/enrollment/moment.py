"""When something happens, and the figures that turn a moment into days and deadlines."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, given to use cases and rules by the edges and jobs that read the clock."""

    now: datetime
    zone: str = "Europe/Amsterdam"
    step_s: float = 60.0

    @property
    def today(self) -> date:
        return self.day(self.now)

    def day(self, moment: datetime) -> date:
        """The local calendar day of another moment."""
        return moment.astimezone(ZoneInfo(self.zone)).date()
