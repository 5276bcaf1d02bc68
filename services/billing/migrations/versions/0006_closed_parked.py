"""What could not be handled or sent is shown to the platform only, by the database too.

The version already running reads it as the platform, or as the worker.
"""

from alembic import op

from kit.migrations import close_parked, refuse_waiting_for_locks

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    close_parked(op)


def downgrade() -> None:
    refuse_waiting_for_locks(op)
    for table in ("parked", "waiting", "outbox_dead"):
        op.execute(f"drop policy platform on {table}")
        op.execute(f"drop policy everything on {table}")
        op.execute(f"alter table {table} disable row level security")
