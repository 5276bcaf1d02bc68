"""The way of an order, or of a porting, from the request to the day it is done (CON-7)."""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum


class State(StrEnum):
    """Where an order or a porting stands. `waiting` is a subscription's order that is not complete yet (CON-6)."""

    WAITING = "waiting"
    REQUESTED = "requested"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PLANNED = "planned"
    DONE = "done"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why one was rejected or cancelled."""

    DETAILS_DO_NOT_MATCH = "details_do_not_match"
    MANDATE_INVALID = "mandate_invalid"
    NUMBER_NOT_WITH_PROVIDER = "number_not_with_provider"
    ADDRESS_NOT_SERVED = "address_not_served"
    DATE_NOT_POSSIBLE = "date_not_possible"
    CREDIT_CHECK = "credit_check"
    CHANGED_MIND = "changed_mind"
    MISTAKE = "mistake"
    OTHER = "other"


OVER = frozenset({State.DONE, State.CANCELLED})
"""Nothing follows. A rejected one is not over: it is asked again, or cancelled."""

MOVES: Mapping[State, frozenset[State]] = {
    State.WAITING: frozenset({State.CANCELLED}),
    State.REQUESTED: frozenset({State.ACCEPTED, State.REJECTED, State.CANCELLED}),
    State.ACCEPTED: frozenset({State.PLANNED, State.CANCELLED}),
    State.REJECTED: frozenset({State.REQUESTED, State.CANCELLED}),
    State.PLANNED: frozenset({State.PLANNED, State.DONE, State.CANCELLED}),
    State.DONE: frozenset(),
    State.CANCELLED: frozenset(),
}
PARTNERS_MOVES = frozenset({State.REQUESTED, State.CANCELLED})
"""What a partner, or the customer itself, may do with its own; all else is the platform's."""


def may_move(now: State, to: State) -> bool:
    """Whether `to` may follow; a planned one may be planned anew."""
    return to in MOVES[now]


def delay_announced(original: date | None, planned: date, today: date) -> bool:
    """Whether a new plan tells of a delay before the day that was planned first (ACA-8)."""
    return original is not None and planned > original and today < original
