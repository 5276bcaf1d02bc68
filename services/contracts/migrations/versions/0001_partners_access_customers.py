"""Partners, who has access, and customers.

The first migration: nothing runs beside it yet.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from kit.migrations import create_kit_tables, open_table, secure

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_kit_tables(op)

    op.create_table(
        "partners",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("wallet", sa.Boolean, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("responsible_grant_id", sa.Uuid),
        sa.Column("responsible_name", sa.Text),
        sa.Column("responsible_email", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('default', 'whitelabel')", name="kind"),
        sa.CheckConstraint("status in ('active', 'closed')", name="status"),
    )
    op.create_index("ix_partners_responsible_grant_id", "partners", ["responsible_grant_id"])
    secure(op, "partners", api="select, insert, update", partner="id")

    op.create_table(
        "customers",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("partner_id", sa.Uuid, sa.ForeignKey("partners.id")),
        sa.Column("parent_id", sa.Uuid, sa.ForeignKey("customers.id")),
        sa.Column("size", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("invoicing", JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in ('company', 'trial', 'active', 'closed')", name="status"),
        sa.CheckConstraint("size in ('large', 'small')", name="size"),
        sa.CheckConstraint("status <> 'company' or partner_id is not null", name="company_of_partner"),
        sa.CheckConstraint("parent_id <> id", name="not_its_own_parent"),
    )
    op.create_index("ix_customers_partner_id_id", "customers", ["partner_id", "id"])
    op.create_index("ix_customers_parent_id", "customers", ["parent_id"])
    secure(op, "customers", api="select, insert, update", partner="partner_id", customer="id")

    op.create_table(
        "access_grants",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("tenant_kind", sa.Text, nullable=False),
        sa.Column("partner_id", sa.Uuid, sa.ForeignKey("partners.id")),
        sa.Column("customer_id", sa.Uuid, sa.ForeignKey("customers.id")),
        sa.Column("supplier_id", sa.Uuid),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("issuer", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("given_by", sa.Text, nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in ('active', 'revoked', 'erased')", name="status"),
        sa.CheckConstraint("tenant_kind in ('platform', 'partner', 'customer', 'supplier')", name="tenant_kind"),
        sa.CheckConstraint("(tenant_kind = 'customer') = (customer_id is not null)", name="customer"),
        sa.CheckConstraint("(tenant_kind = 'supplier') = (supplier_id is not null)", name="supplier"),
        sa.CheckConstraint("tenant_kind <> 'partner' or partner_id is not null", name="partner"),
        sa.CheckConstraint("(issuer is null) = (subject is null)", name="issuer_with_subject"),
    )
    op.execute(
        "create unique index uq_access_grants_active on access_grants"
        " (holder, role, tenant_kind, partner_id, customer_id, supplier_id) nulls not distinct"
        " where status = 'active'"
    )
    op.create_index("ix_access_grants_partner_id_id", "access_grants", ["partner_id", "id"])
    op.create_index("ix_access_grants_customer_id", "access_grants", ["customer_id"])
    secure(
        op,
        "access_grants",
        api="select, insert, update",
        partner="partner_id",
        customer="customer_id",
        supplier="supplier_id",
    )

    op.create_table(
        "known_suppliers",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
    )
    open_table(op, "known_suppliers", api="select")


def downgrade() -> None:
    for table in ("known_suppliers", "access_grants", "customers", "partners"):
        op.drop_table(table)
