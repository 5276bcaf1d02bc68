"""Wallets with their ledger, and invoicing instructions.

The first migration: nothing runs beside it yet.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from kit.migrations import create_kit_tables, refuse_waiting_for_locks, roles, secure

revision = "0001"
down_revision = None


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    create_kit_tables(op)
    wallets()
    ledger()
    organisations()
    instructions()


def wallets() -> None:
    op.create_table(
        "partners",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("wallet", sa.Boolean, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
    )
    secure(op, "partners", api="select", partner="id")

    zero = {"nullable": False, "server_default": "0"}
    op.create_table(
        "wallets",
        sa.Column("partner_id", sa.Uuid, primary_key=True),
        sa.Column("open", sa.Boolean, nullable=False, server_default="true"),
        sa.Column("version", sa.BigInteger, **zero),
        sa.Column("available", sa.BigInteger, **zero),
        sa.Column("held", sa.BigInteger, **zero),
        sa.Column("spent", sa.BigInteger, **zero),
        sa.Column("issuing", sa.BigInteger, **zero),
        sa.Column("last_number", sa.BigInteger, **zero),
        sa.Column("episode", sa.Integer, **zero),
        sa.Column("depleted", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("refused_price", sa.BigInteger),
        sa.Column("warning_threshold", sa.BigInteger),
        sa.Column("warnings", sa.Integer, **zero),
        sa.Column("warned", sa.Boolean, nullable=False, server_default="false"),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("available >= 0", name="available"),
        sa.CheckConstraint("held >= 0", name="held"),
        sa.CheckConstraint("spent >= 0", name="spent"),
        sa.CheckConstraint("available + held + spent + issuing = 0", name="balanced"),
        sa.CheckConstraint("warning_threshold > 0", name="warning_threshold"),
    )
    secure(op, "wallets", api="select, update", partner="partner_id")


def ledger() -> None:
    op.create_table(
        "entries",
        sa.Column("partner_id", sa.Uuid, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("cause_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("balance_after", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        # One cause moves credits once for each kind: the second top-up, charge or refund of it is refused here.
        sa.UniqueConstraint("cause_id", "kind", "account"),
        sa.CheckConstraint("account in ('available', 'held', 'spent', 'issuing')", name="account"),
        sa.CheckConstraint(
            "kind in ('top_up', 'deduction', 'hold', 'capture', 'release', 'refund', 'expiry', 'correction')",
            name="kind",
        ),
        sa.CheckConstraint("credits <> 0", name="credits"),
        sa.CheckConstraint("balance_after >= 0 or account = 'issuing'", name="balance_after"),
    )
    secure(op, "entries", api="select, insert", partner="partner_id")
    op.execute(f"revoke update, delete on entries from {roles(op)['worker']}")
    op.execute(
        """
        create function entries_never_change() returns trigger language plpgsql as $$
        begin
            raise exception 'entries of the ledger are never changed or removed' using errcode = 'restrict_violation';
        end $$
        """
    )
    op.execute(
        "create trigger never_change before update or delete or truncate on entries"
        " for each statement execute function entries_never_change()"
    )
    # At the end of each statement, not of the transaction: whoever writes must write a cause's entries
    # together. Once a statement, because a deferred check runs once a row and took longer than all other
    # work of a batch.
    op.execute(
        """
        create function entries_sum_to_zero() returns trigger language plpgsql as $$
        begin
            if exists (
                select from written group by partner_id, cause_id, kind having sum(credits) <> 0
            ) then
                raise exception 'the entries of a cause do not sum to zero' using errcode = 'check_violation';
            end if;
            return null;
        end $$
        """
    )
    op.execute(
        "create trigger sum_to_zero after insert on entries referencing new table as written"
        " for each statement execute function entries_sum_to_zero()"
    )

    op.create_table(
        "lots",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("partner_id", sa.Uuid, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("remaining", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("price_amount", sa.BigInteger),
        sa.Column("price_currency", sa.Text),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("credits > 0", name="credits"),
        sa.CheckConstraint("remaining between 0 and credits", name="remaining"),
        sa.CheckConstraint("(price_amount is null) = (price_currency is null)", name="price"),
    )
    op.create_index("ix_lots_to_spend", "lots", ["partner_id"], postgresql_where=sa.text("remaining > 0"))
    secure(op, "lots", api="select, insert, update", partner="partner_id")

    op.create_table(
        "lot_uses",
        sa.Column("cause_id", sa.Uuid, primary_key=True),
        sa.Column("lot_id", sa.Uuid, primary_key=True),
        sa.Column("partner_id", sa.Uuid, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("returned", sa.BigInteger, nullable=False),
        sa.CheckConstraint("credits > 0", name="credits"),
        sa.CheckConstraint("returned between 0 and credits", name="returned"),
    )
    secure(op, "lot_uses", api="select, insert, update", partner="partner_id")

    op.create_table(
        "charges",
        sa.Column("enrollment_id", sa.Uuid, primary_key=True),
        sa.Column("partner_id", sa.Uuid, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("captured", sa.BigInteger, nullable=False),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.Column("available", sa.BigInteger, nullable=False),
        sa.Column("refusal", sa.Text),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state in ('held', 'charged', 'refused', 'released', 'cancelled', 'closed')", name="state"),
        sa.CheckConstraint("captured in (0, credits)", name="captured"),
        sa.CheckConstraint("refunded between 0 and captured", name="refunded"),
        sa.CheckConstraint("(state = 'refused') = (refusal is not null)", name="refusal"),
    )
    secure(op, "charges", api="select", partner="partner_id")


def organisations() -> None:
    for table in ("customers", "suppliers"):
        op.create_table(
            table,
            sa.Column("id", sa.Uuid, primary_key=True),
            sa.Column("version", sa.BigInteger, nullable=False),
            sa.Column("name", sa.Text, nullable=False),
            sa.Column("status", sa.Text, nullable=False),
            sa.Column("size", sa.Text, nullable=False),
            sa.Column("invoicing", JSONB, nullable=False),
            *([sa.Column("partner_id", sa.Uuid)] if table == "customers" else []),
        )
    secure(op, "customers", api="select", customer="id", partner="partner_id")
    secure(op, "suppliers", api="select", supplier="id")

    op.create_table(
        "routes",
        sa.Column("customer_id", sa.Uuid, primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("route in ('supplier_to_customer', 'supplier_to_platform')", name="route"),
    )
    secure(op, "routes", api="select, insert, update", customer="customer_id")


def instructions() -> None:
    op.execute("create sequence reference_numbers")
    op.create_table(
        "instructions",
        sa.Column("enrollment_id", sa.Uuid, primary_key=True),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("customer_id", sa.Uuid),
        sa.Column("supplier_id", sa.Uuid),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
        sa.Column("route", sa.Text),
        sa.Column("reference", sa.Text, unique=True),
        sa.Column("price", JSONB),
        sa.Column("price_version", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("invoices", JSONB, nullable=False, server_default="[]"),
        sa.Column("reason", sa.Text),
        sa.Column("missing", JSONB, nullable=False, server_default="[]"),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state in ('new', 'instructed', 'refused', 'withdrawn', 'reduced', 'closed')", name="state"),
        sa.CheckConstraint("(revision > 0) = (reference is not null)", name="reference"),
    )
    op.create_index("ix_instructions_customer_id", "instructions", ["customer_id", "enrollment_id"])
    op.create_index("ix_instructions_supplier_id", "instructions", ["supplier_id", "enrollment_id"])
    secure(
        op,
        "instructions",
        api="select",
        partner="partner_id",
        customer="customer_id",
        supplier="supplier_id",
    )


def downgrade() -> None:
    refuse_waiting_for_locks(op)
    for table in ("instructions", "routes", "suppliers", "customers", "charges", "lot_uses", "lots", "entries"):
        op.drop_table(table)
    op.execute("drop sequence reference_numbers")
    op.execute("drop function entries_never_change, entries_sum_to_zero")
    for table in ("wallets", "partners"):
        op.drop_table(table)
