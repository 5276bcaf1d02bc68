"""Service products and contracts; partners get invoicing details of their own.

New tables, and a column with a default that the version already running neither reads nor writes.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from kit.migrations import open_table, refuse_waiting_for_locks, secure

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    op.add_column("partners", sa.Column("invoicing", JSONB, nullable=False, server_default="{}"))

    op.create_table(
        "service_products",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("code", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("terms", JSONB, nullable=False),
        sa.Column("term_options", ARRAY(sa.Integer), nullable=False),
        sa.Column("conditions_version", sa.Text, nullable=False),
        sa.Column("conditions_url", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('subscription', 'service')", name="kind"),
        sa.CheckConstraint("status in ('offered', 'withdrawn')", name="status"),
    )
    open_table(op, "service_products", api="select, insert, update")

    op.create_table(
        "service_contracts",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("customer_id", sa.Uuid, sa.ForeignKey("customers.id"), nullable=False),
        sa.Column("partner_id", sa.Uuid, sa.ForeignKey("partners.id")),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("product_id", sa.Uuid, sa.ForeignKey("service_products.id"), nullable=False),
        sa.Column("product_code", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("terms", JSONB, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("monthly_fee", sa.BigInteger, nullable=False),
        sa.Column("one_off_open", sa.BigInteger, nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("anchor_day", sa.SmallInteger, nullable=False),
        sa.Column("term_ends_on", sa.Date),
        sa.Column("renews_at", sa.DateTime(timezone=True)),
        sa.Column("last_day", sa.Date),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("invoicer", sa.Text, nullable=False),
        sa.Column("deal_id", sa.Uuid),
        sa.Column("order_id", sa.Uuid),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('subscription', 'service')", name="kind"),
        sa.CheckConstraint("state in ('active', 'ended')", name="state"),
        sa.CheckConstraint("invoicer in ('platform', 'partner')", name="invoicer"),
        sa.CheckConstraint("monthly_fee >= 0 and one_off_open >= 0", name="money"),
        sa.CheckConstraint("anchor_day = extract(day from starts_on)", name="anchor_day"),
        sa.CheckConstraint("state = 'active' or last_day is not null", name="ended_has_last_day"),
        sa.CheckConstraint("(term_ends_on is null) = (renews_at is null)", name="renews_at"),
        sa.CheckConstraint("invoicer = 'platform' or partner_id is not null", name="invoicing_partner"),
    )
    op.create_index("ix_service_contracts_customer_id_id", "service_contracts", ["customer_id", "id"])
    op.create_index("ix_service_contracts_partner_id_id", "service_contracts", ["partner_id", "id"])
    op.create_index(
        "ix_service_contracts_renews_at",
        "service_contracts",
        ["renews_at"],
        postgresql_where=sa.text("state = 'active' and last_day is null"),
    )
    # What makes a contract makes it once, however often it is asked.
    op.create_index("uq_service_contracts_order_id", "service_contracts", ["order_id"], unique=True)
    op.create_index("uq_service_contracts_deal_id", "service_contracts", ["deal_id"], unique=True)
    op.create_index(
        "uq_service_contracts_subscription",
        "service_contracts",
        ["customer_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'subscription' and state = 'active'"),
    )
    secure(op, "service_contracts", api="select, insert, update", partner="partner_id", customer="customer_id")

    op.create_table(
        "contract_numbers",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("contract_id", sa.Uuid, sa.ForeignKey("service_contracts.id"), nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("since", sa.Date, nullable=False),
        sa.Column("until", sa.Date),
        sa.CheckConstraint("first > 0 and last between first and first + 9999", name="range"),
    )
    op.create_index("ix_contract_numbers_contract_id", "contract_numbers", ["contract_id"])
    # A number rings in one place.
    op.execute(
        "alter table contract_numbers add constraint ex_contract_numbers_once"
        " exclude using gist (int8range(first, last, '[]') with &&) where (until is null)"
    )
    secure(op, "contract_numbers", api="select, insert, update", partner="partner_id", customer="customer_id")


def downgrade() -> None:
    refuse_waiting_for_locks(op)
    for table in ("contract_numbers", "service_contracts", "service_products"):
        op.drop_table(table)
    op.drop_column("partners", "invoicing")
