"""The one place that looks at the wall clock. Rules and use cases are given the time."""

from datetime import UTC, datetime


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)
