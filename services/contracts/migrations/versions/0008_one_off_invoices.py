"""Invoices of contracts say what they are about: fees of a period, or costs that come once.

A column with a default, and two that may be empty: the version already running writes neither.
"""

import sqlalchemy as sa
from alembic import op

from kit.migrations import refuse_waiting_for_locks

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    op.add_column("contract_invoices", sa.Column("matter", sa.Text, nullable=False, server_default="fees"))
    op.alter_column("contract_invoices", "period_from", nullable=True)
    op.alter_column("contract_invoices", "period_to", nullable=True)


def downgrade() -> None:
    refuse_waiting_for_locks(op)
    op.execute("delete from contract_invoices where period_from is null")
    op.alter_column("contract_invoices", "period_from", nullable=False)
    op.alter_column("contract_invoices", "period_to", nullable=False)
    op.drop_column("contract_invoices", "matter")
