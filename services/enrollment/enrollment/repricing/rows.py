"""Price changes, as rows: what was proposed, whose consent it waits for, and who gave it."""

from sqlalchemy import ARRAY, CheckConstraint, Column, DateTime, Index, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from kit.db import metadata

price_changes = Table(
    "price_changes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("enrollment_id", Uuid, nullable=False),
    Column("partner_id", Uuid),
    Column("customer_id", Uuid),
    Column("supplier_id", Uuid),
    Column("price", JSONB, nullable=False),
    Column("reason", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("awaits", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("consents", JSONB, nullable=False),
    CheckConstraint("state in ('open', 'agreed', 'declined', 'replaced')", name="state"),
    Index("uq_price_changes_open", "enrollment_id", unique=True, postgresql_where=text("state = 'open'")),
    Index("ix_price_changes_enrollment_id", "enrollment_id", "id"),
)
