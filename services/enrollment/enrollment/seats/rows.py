"""Sessions as the catalog announced them, with the count that enrollment alone keeps."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Integer, Table, Text, Uuid

from kit.db import metadata

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("course_id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("place", Text),
    Column("capacity", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("taken", Integer, nullable=False, server_default="0"),
    # What `taken` may not exceed: the capacity, or what was taken when the capacity fell below it.
    Column("ceiling", Integer, nullable=False),
    CheckConstraint("taken >= 0 and taken <= ceiling", name="never_oversold"),
    Index("ix_sessions_course_id", "course_id"),
)
