"""The record of who did what is closed to the role of requests, which only adds to it.

The version already running reads nothing of it.
"""

from alembic import op

from kit.migrations import close_audit, roles

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    close_audit(op)


def downgrade() -> None:
    op.execute(f"grant select on audit to {roles(op)['api']}")
