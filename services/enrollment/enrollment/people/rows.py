"""People, as rows. `partner_id` is the partner a person belongs to, directly or through its customer."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Table,
    Text,
    Uuid,
    func,
    text,
)

from kit.db import metadata

people = Table(
    "people",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("name", Text),
    Column("email", Text),  # in lower case
    Column("language", Text, nullable=False),
    Column("customer_id", Uuid),
    Column("partner_id", Uuid),
    Column("manager_id", Uuid),
    Column("roles", ARRAY(Text), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("customer_id is not null or partner_id is not null", name="belongs"),
    CheckConstraint("(status = 'erased') = (name is null)", name="name"),
    CheckConstraint("(status = 'erased') = (email is null)", name="email"),
    Index(
        "uq_people_email",
        text("coalesce(customer_id, partner_id)"),
        "email",
        unique=True,
        postgresql_where=text("status = 'active'"),
    ),
    Index("ix_people_customer_id", "customer_id", "id"),
    Index("ix_people_partner_id", "partner_id", "id"),
    Index("ix_people_manager_id", "manager_id", postgresql_where=text("manager_id is not null")),
    Index("ix_people_email", "email"),
)
