"""Tenants may have a time of their own, in a sandbox.

A new table: the version already running does not know it.
"""

from alembic import op

from kit.migrations import create_test_clocks, refuse_waiting_for_locks

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    create_test_clocks(op)


def downgrade() -> None:
    op.drop_table("test_clocks")
