"""This moment, and which day it is: read from the clock by the edges, handed to everything below them."""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from zoneinfo import ZoneInfo

from pydantic_settings import BaseSettings, SettingsConfigDict

from kit import clock


class Days(BaseSettings):
    """Where the days are counted."""

    model_config = SettingsConfigDict(env_prefix="CATALOG_", frozen=True)

    time_zone: str = "Europe/Amsterdam"
    """The days of prices and terms, and times without a zone in files, are those of this zone."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment in UTC, and the zone whose days count."""

    now: datetime
    zone: ZoneInfo

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()


@cache
def zone() -> ZoneInfo:
    """The zone whose days count."""
    return ZoneInfo(Days().time_zone)


def moment() -> Moment:
    """This moment."""
    return Moment(clock.now(), zone())
