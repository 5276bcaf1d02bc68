"""Invoices, schedules of contracts, and commissions.

New tables, and one new column with a default: the version already running neither reads nor writes them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from kit.migrations import create_test_clocks, refuse_waiting_for_locks, roles, secure

revision = "0005"
down_revision = "0004"

ZERO = {"nullable": False, "server_default": "0"}


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    create_test_clocks(op)
    op.add_column("partners", sa.Column("invoicing", JSONB, nullable=False, server_default="{}"))
    invoices()
    schedules()
    commissions()


def invoices() -> None:
    op.create_table(
        "invoice_numbers",
        sa.Column("issuer", sa.Text, primary_key=True),
        sa.Column("year", sa.Integer, primary_key=True),
        sa.Column("last", sa.Integer, nullable=False),
    )
    secure(op, "invoice_numbers", api="select, insert, update")
    op.create_table(
        "invoices",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False, unique=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("matter", sa.Text, nullable=False),
        sa.Column("payer", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("buyer_customer_id", sa.Uuid),
        sa.Column("contract_id", sa.Uuid),
        sa.Column("deal_id", sa.Uuid),
        sa.Column("termination_id", sa.Uuid),
        sa.Column("credits_id", sa.Uuid, sa.ForeignKey("invoices.id")),
        sa.Column("period_from", sa.Date),
        sa.Column("period_to", sa.Date),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("fee", sa.BigInteger, nullable=False),
        sa.Column("net", sa.BigInteger, nullable=False),
        sa.Column("vat", sa.BigInteger, nullable=False),
        sa.Column("off_bp", sa.Integer, nullable=False),
        sa.Column("commission_bp", sa.Integer, nullable=False),
        sa.Column("vat_treatment", sa.Text, nullable=False),
        sa.Column("vat_rate_bp", sa.Integer, nullable=False),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("seller", JSONB, nullable=False),
        sa.Column("buyer", JSONB, nullable=False),
        sa.Column("reference", sa.Text, nullable=False, unique=True),
        sa.Column("reason", sa.Text),
        sa.Column("issued_on", sa.Date, nullable=False),
        sa.Column("due_on", sa.Date),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("paid", sa.BigInteger, **ZERO),
        sa.Column("credited_fee", sa.BigInteger, **ZERO),
        sa.Column("credited_net", sa.BigInteger, **ZERO),
        sa.Column("credited_vat", sa.BigInteger, **ZERO),
        sa.Column("settled_on", sa.Date),
        sa.UniqueConstraint("issuer", "year", "sequence"),
        sa.CheckConstraint("kind in ('invoice', 'credit_note')", name="kind"),
        sa.CheckConstraint("payer in ('customer', 'partner')", name="payer"),
        sa.CheckConstraint("net >= 0 and vat >= 0 and fee >= net", name="sums"),
        sa.CheckConstraint("credited_net between 0 and net and credited_vat between 0 and vat", name="credited"),
        sa.CheckConstraint("credited_fee between 0 and fee", name="credited_fee"),
        sa.CheckConstraint("paid between 0 and net + vat", name="paid"),
        sa.CheckConstraint("period_from <= period_to", name="period"),
    )
    for column in ("contract_id", "buyer_customer_id", "partner_id"):
        op.create_index(f"ix_invoices_{column}", "invoices", [column, "id"])
    secure(op, "invoices", api="select, insert, update", customer="buyer_customer_id", partner="partner_id")
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("invoice_id", sa.Uuid, sa.ForeignKey("invoices.id"), nullable=False, index=True),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("buyer_customer_id", sa.Uuid),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("paid_on", sa.Date, nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    secure(op, "payments", api="select, insert", customer="buyer_customer_id", partner="partner_id")
    # What was issued stays as it is: both roles may change only what comes after it.
    after = "version, paid, credited_fee, credited_net, credited_vat, settled_on"
    for role in roles(op).values():
        op.execute(f"revoke update, delete on invoices, payments from {role}")
        op.execute(f"grant update ({after}) on invoices to {role}")


def schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("contract_id", sa.Uuid, primary_key=True),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, **ZERO),
        sa.Column("deal_id", sa.Uuid),
        sa.Column("invoicer", sa.Text, nullable=False, server_default="platform"),
        sa.Column("terms", JSONB),
        sa.Column("commission", JSONB),
        sa.Column("parties", JSONB, nullable=False, server_default="{}"),
        sa.Column("last_day", sa.Date),
        sa.Column("documents", sa.Integer, **ZERO),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("missing", JSONB, nullable=False, server_default="[]"),
        sa.Column("retry_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state in ('new', 'running', 'ended')", name="state"),
        sa.CheckConstraint("(state = 'new') = (terms is null)", name="terms"),
    )
    for column in ("due_at", "retry_at"):
        some = sa.text(f"{column} is not null")
        op.create_index(f"ix_schedules_{column}", "schedules", [column], postgresql_where=some)
    for column in ("customer_id", "partner_id"):
        op.create_index(f"ix_schedules_{column}", "schedules", [column, "contract_id"])
    secure(op, "schedules", api="select", customer="customer_id", partner="partner_id")
    op.create_table(
        "contract_ends",
        sa.Column("termination_id", sa.Uuid, primary_key=True),
        sa.Column("contract_id", sa.Uuid, nullable=False, index=True),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("last_day", sa.Date),
        sa.Column("buyout", JSONB),
        sa.CheckConstraint("state in ('open', 'scheduled', 'closed', 'terminated')", name="state"),
    )
    secure(op, "contract_ends", api="select", customer="customer_id", partner="partner_id")


def commissions() -> None:
    op.create_table(
        "commissions",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("partner_id", sa.Uuid, nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("deal_id", sa.Uuid, nullable=False),
        sa.Column("contract_id", sa.Uuid, nullable=False),
        sa.Column("invoice_id", sa.Uuid, sa.ForeignKey("invoices.id"), nullable=False),
        sa.Column("invoice_number", sa.Text, nullable=False),
        sa.Column("cause_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("rate_bp", sa.Integer, nullable=False),
        sa.Column("booked_on", sa.Date, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        # One payment, and one credit note, changes the commission of an invoice once.
        sa.UniqueConstraint("invoice_id", "cause_id"),
        sa.CheckConstraint("kind in ('payment', 'credit')", name="kind"),
        sa.CheckConstraint("amount <> 0", name="amount"),
    )
    op.create_index("ix_commissions_partner_id", "commissions", ["partner_id", "booked_on", "id"])
    secure(op, "commissions", api="select, insert", partner="partner_id")
    op.execute(f"revoke update, delete on commissions from {', '.join(roles(op).values())}")


def downgrade() -> None:
    refuse_waiting_for_locks(op)
    for table in ("commissions", "contract_ends", "schedules", "payments", "invoices", "invoice_numbers"):
        op.drop_table(table)
    op.drop_column("partners", "invoicing")
    op.drop_table("test_clocks")
