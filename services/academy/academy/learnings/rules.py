"""How far somebody is with a course that was opened to them.

What happened to an enrollment arrives in any order and more than once. Each happening has a moment of its
own, the earliest heard of; the state follows from which moments there are, never from their order.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

LEARNABLE = ("elearning", "online")
"""Kinds of course that are followed here (ACA-5)."""


class State(StrEnum):
    """Where a learning stands."""

    OPEN = "open"
    COMPLETED = "completed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Happened:
    """When an enrollment was confirmed, completed and cancelled, as far as is known."""

    opened_at: datetime | None = None
    completed_at: datetime | None = None
    closed_at: datetime | None = None

    def state(self) -> State:
        """Cancelled stays closed, whatever else is heard; completed is not opened again."""
        if self.closed_at is not None:
            return State.CLOSED
        return State.COMPLETED if self.completed_at is not None else State.OPEN

    def joined(self, other: "Happened") -> "Happened":
        """What is known when both are."""
        return Happened(
            _earliest(self.opened_at, other.opened_at),
            _earliest(self.completed_at, other.completed_at),
            _earliest(self.closed_at, other.closed_at),
        )


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return min(one, other)
