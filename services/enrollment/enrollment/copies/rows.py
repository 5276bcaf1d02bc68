"""What others announced, as far as enrollment needs it. The highest version wins."""

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, Index, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from kit.db import metadata

partners = Table(
    "partners",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("wallet", Boolean, nullable=False),
    Column("language", Text, nullable=False),
)

customers = Table(
    "customers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("partner_id", Uuid),
    Column("language", Text, nullable=False),
    Index("ix_customers_partner_id", "partner_id"),
)

suppliers = Table(
    "suppliers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("sites", JSONB, nullable=False),
)

supplier_users = Table(
    "supplier_users",
    metadata,
    Column("id", Uuid, primary_key=True),  # the supplier's
    Column("version", BigInteger, nullable=False),
    Column("users", JSONB, nullable=False),  # user id → address
)
"""Apart from the supplier itself, whose row everybody's requests may read."""

courses = Table(
    "courses",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("title", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("offered_by", Text, nullable=False),
    Column("supplier_id", Uuid),
    Column("owner_partner_id", Uuid),
    Column("certificate", Boolean, nullable=False),
    Column("prices", JSONB, nullable=False),
    Column("credits", JSONB, nullable=False),
    Column("sites", ARRAY(Text)),
    Column("cancellation", JSONB, nullable=False),
)

terms = Table(
    "terms",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("supplier_id", Uuid),
    Column("customer_id", Uuid),
    Column("status", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("discount_bp", Integer, nullable=False),
    Column("platform_share_bp", Integer, nullable=False),
    Column("minimum_fee", BigInteger),
    Column("currency", Text),
    Index("ix_terms_customer_id", "customer_id"),
)
