"""Indexes for looking after parked records and old mails.

Only indexes: the version already running sees nothing of them.
"""

from alembic import op

from kit.migrations import add_kit_indexes

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    add_kit_indexes(op)


def downgrade() -> None:
    """They harm nobody, and a later table may have been made with them."""
