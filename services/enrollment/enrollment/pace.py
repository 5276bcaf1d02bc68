"""This moment, with the service's settings for days and deadlines; for edges and jobs."""

from datetime import datetime

from enrollment.moment import Moment
from enrollment.settings import Settings
from kit import clock
from kit.db import SETTINGS, Session


def settings_of(db: Session) -> Settings:
    settings: Settings = db.info[SETTINGS]
    return settings


def moment(db: Session, now: datetime | None = None) -> Moment:
    """This moment, or the one a job was given."""
    settings = settings_of(db)
    return Moment(now or clock.now(), settings.time_zone, settings.step_timeout_s)
