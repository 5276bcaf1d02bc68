"""The tables behind delivery: what waits to be sent, what was received, what could not be handled."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from kit.db import metadata

KIT = {"kit": True}
"""Marks a table as the kit's, so that a service's first migration makes it."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=True),
    Column("headers", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    info=KIT,
)
"""Announcements that Kafka has not confirmed yet, in the order of their commits per key."""

outbox_dead = Table(
    "outbox_dead",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=True),
    Column("headers", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("reason", Text, nullable=False),
    Column("set_aside_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    info=KIT,
)
"""Announcements that Kafka will never take as they are, with the reason."""

inbox = Table(
    "inbox",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    info=KIT,
)
"""Ids of events already handled. It saves work; correctness rests on the effects' own keys."""

_record = (
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", JSONB, nullable=False),
)

parked = Table(
    "parked",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("consumer", Text, nullable=False),
    *(column._copy() for column in _record),
    Column("event_id", Uuid, nullable=False),
    Column("state", Text, nullable=False, server_default="due"),
    Column("reason", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("trace", Text, nullable=False, server_default=""),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("parked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("next_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("consumer", "topic", "partition", "offset"),
    Index("ix_parked_due", "next_at", postgresql_where="state = 'due'"),
    # By its hash, since a record that is parked may have a key of any length.
    Index("ix_parked_key", "topic", "partition", text("md5(key)"), "offset"),
    Index("ix_parked_event_id", "event_id"),
    Index("ix_parked_dead", "id", postgresql_where=text("state = 'dead'")),
    info=KIT,
)
"""Records that could not be read or handled: `due` for another attempt, or `dead` after the last."""

waiting = Table(
    "waiting",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("consumer", Text, nullable=False),
    *(column._copy() for column in _record),
    Column("event_id", Uuid, nullable=False),
    Column("awaited", Text, nullable=False, index=True),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("looked_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    Column("until", DateTime(timezone=True), nullable=False, index=True),
    UniqueConstraint("consumer", "event_id"),
    info=KIT,
)
"""Records that came before what they need; handed over when it arrives, parked at the deadline."""

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    info=KIT,
)
"""Who did what to what, when. Rows are only ever added."""
