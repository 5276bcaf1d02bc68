"""Requests, terminations, their steps and the proposals made for them, as stored."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from contracts.buyouts.rules import Quote, from_stored
from contracts.terminations.rules import Reason, State
from kit.db import Base, uuid7


class TerminationWish(Base):
    """A customer's own wish to end services; its partner submits it (CON-14)."""

    __tablename__ = "termination_wishes"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    customer_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    contract_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    wish_date: Mapped[date | None]
    reason: Mapped[str]
    note: Mapped[str | None]
    asked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """The notice counts from here."""
    asked_by: Mapped[str]
    request_id: Mapped[UUID | None]
    """The request it was submitted with; None while it waits."""


class Termination(Base):
    """One service on its way to its end (CON-8). Open ones are unique by contract (CON-13)."""

    __tablename__ = "terminations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    version: Mapped[int] = mapped_column(default=1)
    request_id: Mapped[UUID]
    """What was asked for together has one."""
    contract_id: Mapped[UUID]
    customer_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    label: Mapped[str]
    """The service's name."""
    time_zone: Mapped[str]
    currency: Mapped[str]
    state: Mapped[str]
    waiting_since: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    reason: Mapped[str]
    note: Mapped[str | None]
    requested_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """The customer's own wish, where there was one; the notice counts from its local day."""
    requested_by: Mapped[str]
    requested_on: Mapped[date]
    wish_date: Mapped[date | None]
    regular_end: Mapped[date]
    last_day: Mapped[date]
    """What is asked for, proposed or agreed, as far as it has come."""
    early: Mapped[bool]
    quote_stored: Mapped[dict[str, Any]] = mapped_column("quote", JSONB)
    """The calculated sum, or the one last proposed; frozen once it is agreed."""
    proposal_id: Mapped[UUID | None]
    """The newest proposal."""
    agreed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    agreed_by: Mapped[str | None]
    agreed_hash: Mapped[str | None]
    """The fingerprint of what was agreed; stands on every confirmation."""
    handled_by: Mapped[str | None]
    """Who took it over by hand, of finance."""

    ask_id: Mapped[UUID | None]
    """The newest mail that asks the customer, and its reminders."""
    ask_kind: Mapped[str | None]
    """`approval`, `proposal` or `withdrawal`; kept when it is answered."""
    ask_group: Mapped[UUID | None]
    """Shared by all services of one mail."""
    asked_on: Mapped[date | None]
    reminders: Mapped[int] = mapped_column(default=0)
    ask_expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """None where no answer is waited for."""
    remind_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finance_due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """By when finance has to act; None where it has not to."""
    finance_alerted: Mapped[int] = mapped_column(default=0)
    """How often finance was told."""
    ends_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The midnight that closes the agreed last day."""

    closed_reason: Mapped[str | None]
    over_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When it was closed, or the service ended."""
    ask_again_on: Mapped[date | None]
    """When the former customer may be asked again; kept with its consent only (CON-14)."""
    consent: Mapped[dict[str, Any] | None] = mapped_column(JSONB)

    @property
    def at(self) -> State:
        return State(self.state)

    @property
    def why(self) -> Reason:
        return Reason(self.reason)

    @property
    def quote(self) -> Quote:
        return from_stored(self.quote_stored)


class Proposal(Base):
    """A sum and a last day that finance proposed: frozen with its lines and a hash (CON-11, CON-12)."""

    __tablename__ = "buyout_proposals"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    termination_id: Mapped[UUID]
    customer_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    state: Mapped[str]
    """`open`, `accepted`, `declined`, `expired`, `replaced` or `withdrawn`."""
    last_day: Mapped[date]
    regular_end: Mapped[date]
    currency: Mapped[str]
    total: Mapped[int] = mapped_column(BigInteger)
    calculated: Mapped[int] = mapped_column(BigInteger)
    """What CON-11's formula, or the product's rule, gave."""
    quote_stored: Mapped[dict[str, Any]] = mapped_column("quote", JSONB)
    hash: Mapped[str]
    reason: Mapped[str | None]
    """Why the sum is another than calculated, or the day another than wished."""
    valid_until: Mapped[date]
    """The last day on which it may be accepted."""
    proposed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    proposed_by: Mapped[str]
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decided_by: Mapped[str | None]

    @property
    def quote(self) -> Quote:
        return from_stored(self.quote_stored)


class Step(Base):
    """Something that was done on the way: what, when, by whom. Rows are only ever added."""

    __tablename__ = "termination_steps"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    termination_id: Mapped[UUID]
    customer_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    step: Mapped[str]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    actor: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Night(Base):
    """A run of ends that fell due together, with its progress."""

    __tablename__ = "termination_nights"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    began_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    due: Mapped[int]
    """How many were due when it began."""
    ended: Mapped[int]
    waiting: Mapped[int]
    """How many of them wait for a porting."""
    moved_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
