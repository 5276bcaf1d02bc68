"""Indexes for waiting records, parked ones and links, which were looked for in whole tables.

Made beside the running version, which only gets faster.
"""

from alembic import op

from kit.migrations import add_kit_indexes

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    add_kit_indexes(op)


def downgrade() -> None:
    """They do no harm to the version before."""
