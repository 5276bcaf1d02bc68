"""Deals with their protection, what partners agreed on, orders and portings.

New tables, which the version already running does not know.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from kit.migrations import refuse_waiting_for_locks, secure

revision = "0011"
down_revision = "0010"

STATES = "('waiting', 'requested', 'accepted', 'rejected', 'planned', 'done', 'cancelled')"


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    op.execute("create extension if not exists pg_trgm")

    op.create_table(
        "partner_agreements",
        sa.Column("partner_id", sa.Uuid, sa.ForeignKey("partners.id"), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("invoicer", sa.Text, nullable=False),
        sa.Column("commission_bp", sa.Integer, nullable=False),
        sa.Column("commission_months", sa.Integer),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("invoicer in ('platform', 'partner')", name="invoicer"),
        sa.CheckConstraint("commission_bp between 0 and 10000", name="commission_bp"),
    )
    secure(op, "partner_agreements", api="select, insert, update", partner="partner_id")

    op.create_table(
        "deals",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("partner_id", sa.Uuid, sa.ForeignKey("partners.id")),
        sa.Column("customer_id", sa.Uuid, sa.ForeignKey("customers.id")),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("company", sa.Text, nullable=False),
        sa.Column("company_key", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("registration_number", sa.Text),
        sa.Column("domain", sa.Text),
        sa.Column("contact", JSONB, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("monthly_value", sa.BigInteger),
        sa.Column("product_id", sa.Uuid, sa.ForeignKey("service_products.id")),
        sa.Column("term_months", sa.Integer),
        sa.Column("expected_on", sa.Date),
        sa.Column("invoicer", sa.Text, nullable=False),
        sa.Column("commission_bp", sa.Integer, nullable=False),
        sa.Column("commission_months", sa.Integer),
        sa.Column("protected_until", sa.Date),
        sa.Column("notice_at", sa.DateTime(timezone=True)),
        sa.Column("confirm_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True)),
        sa.Column("reason", sa.Text),
        sa.Column("contract_id", sa.Uuid, sa.ForeignKey("service_contracts.id")),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("steps", JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state in ('registered', 'confirmed', 'won', 'lost')", name="state"),
        sa.CheckConstraint("invoicer in ('platform', 'partner')", name="invoicer"),
        sa.CheckConstraint("commission_bp between 0 and 10000", name="commission_bp"),
        sa.CheckConstraint("(state = 'won') = (contract_id is not null)", name="won_with_contract"),
        sa.CheckConstraint("(state in ('won', 'lost')) = (closed_at is not null)", name="closed_at"),
        sa.CheckConstraint("(state = 'lost') = (reason is not null)", name="lost_with_reason"),
    )
    op.create_index("ix_deals_partner_id_id", "deals", ["partner_id", "id"])
    still_open = sa.text("state in ('registered', 'confirmed')")
    for name in ("customer_id", "registration_number", "domain"):
        op.create_index(f"ix_deals_{name}", "deals", [name], postgresql_where=still_open)
    op.create_index("ix_deals_notice_at", "deals", ["notice_at"], postgresql_where=still_open)
    op.create_index("ix_deals_confirm_by", "deals", ["confirm_by"], postgresql_where=sa.text("state = 'registered'"))
    op.execute(
        "create index ix_deals_company_key on deals using gin (company_key gin_trgm_ops)"
        " where state in ('registered', 'confirmed')"
    )
    secure(op, "deals", api="select, insert, update", partner="partner_id")

    op.create_table(
        "deal_notes",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("deal_id", sa.Uuid, sa.ForeignKey("deals.id"), nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_deal_notes_deal_id_id", "deal_notes", ["deal_id", "id"])
    secure(op, "deal_notes", api="select, insert", partner="partner_id")

    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("customer_id", sa.Uuid, sa.ForeignKey("customers.id"), nullable=False),
        sa.Column("partner_id", sa.Uuid, sa.ForeignKey("partners.id")),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("product_id", sa.Uuid, sa.ForeignKey("service_products.id"), nullable=False),
        sa.Column("terms", JSONB, nullable=False),
        sa.Column("conditions_version", sa.Text, nullable=False),
        sa.Column("ordered_by", sa.Text, nullable=False),
        sa.Column("wish_date", sa.Date),
        sa.Column("planned_on", sa.Date),
        sa.Column("originally_planned_on", sa.Date),
        sa.Column("delay_announced_on", sa.Date),
        sa.Column("done_on", sa.Date),
        sa.Column("reason", sa.Text),
        sa.Column("remarks", sa.Text, nullable=False),
        sa.Column("contract_id", sa.Uuid, sa.ForeignKey("service_contracts.id")),
        sa.Column("deal_id", sa.Uuid, sa.ForeignKey("deals.id")),
        sa.Column("missing", JSONB, nullable=False, server_default="[]"),
        sa.Column("steps", JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('subscription', 'service')", name="kind"),
        sa.CheckConstraint(f"state in {STATES}", name="state"),
        sa.CheckConstraint("(state = 'done') = (contract_id is not null)", name="done_with_contract"),
    )
    op.create_index("ix_orders_partner_id_id", "orders", ["partner_id", "id"])
    op.create_index("ix_orders_customer_id_id", "orders", ["customer_id", "id"])
    # One order of a subscription at a time, however many people press the button.
    op.create_index(
        "uq_orders_waiting", "orders", ["customer_id"], unique=True, postgresql_where=sa.text("state = 'waiting'")
    )
    secure(op, "orders", api="select, insert, update", partner="partner_id", customer="customer_id")

    op.create_table(
        "portings",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("customer_id", sa.Uuid, sa.ForeignKey("customers.id"), nullable=False),
        sa.Column("partner_id", sa.Uuid, sa.ForeignKey("partners.id")),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("contract_id", sa.Uuid, sa.ForeignKey("service_contracts.id")),
        sa.Column("order_id", sa.Uuid, sa.ForeignKey("orders.id")),
        sa.Column("termination_id", sa.Uuid),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("wish_date", sa.Date, nullable=False),
        sa.Column("planned_on", sa.Date),
        sa.Column("originally_planned_on", sa.Date),
        sa.Column("delay_announced_on", sa.Date),
        sa.Column("done_on", sa.Date),
        sa.Column("over_on", sa.Date),
        sa.Column("reason", sa.Text),
        sa.Column("mandate_hash", sa.Text),
        sa.Column("steps", JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("direction in ('in', 'out')", name="direction"),
        sa.CheckConstraint(f"state in {STATES}", name="state"),
        sa.CheckConstraint("(state in ('done', 'cancelled')) = (over_on is not null)", name="over_on"),
        sa.CheckConstraint("direction = 'in' or contract_id is not null", name="out_of_a_service"),
        sa.CheckConstraint("contract_id is not null or order_id is not null", name="somewhere"),
    )
    op.create_index("ix_portings_partner_id_id", "portings", ["partner_id", "id"])
    op.create_index("ix_portings_customer_id_id", "portings", ["customer_id", "id"])
    op.create_index("ix_portings_contract_id", "portings", ["contract_id"])
    op.create_index("ix_portings_order_id", "portings", ["order_id"])
    secure(op, "portings", api="select, insert, update", partner="partner_id", customer="customer_id")

    op.create_table(
        "porting_numbers",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("porting_id", sa.Uuid, sa.ForeignKey("portings.id"), nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("incoming", sa.Boolean, nullable=False),
        sa.Column("claimed", sa.Boolean, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.CheckConstraint("first > 0 and last between first and first + 9999", name="range"),
    )
    op.create_index("ix_porting_numbers_porting_id", "porting_numbers", ["porting_id"])
    for name, which in (("in", "incoming"), ("out", "not incoming")):
        op.execute(
            f"alter table porting_numbers add constraint ex_porting_numbers_{name}"
            f" exclude using gist (int8range(first, last, '[]') with &&) where (claimed and {which})"
        )
    secure(op, "porting_numbers", api="select, insert, update", partner="partner_id", customer="customer_id")

    op.create_table(
        "porting_mandates",
        sa.Column("porting_id", sa.Uuid, sa.ForeignKey("portings.id"), primary_key=True),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
    )
    secure(op, "porting_mandates", api="select, insert, update", partner="partner_id", customer="customer_id")


def downgrade() -> None:
    refuse_waiting_for_locks(op)
    tables = ("porting_mandates", "porting_numbers", "portings", "orders", "deal_notes", "deals", "partner_agreements")
    for table in tables:
        op.drop_table(table)
