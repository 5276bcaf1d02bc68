"""Indexes for waiting records, parked ones and links, which were looked for in whole tables.

Made beside the running version, which only gets faster.
"""

from alembic import op

from kit.migrations import add_kit_indexes, index_concurrently

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    add_kit_indexes(op)
    index_concurrently(op, "create index ix_instructions_partner_id on instructions (partner_id, enrollment_id)")


def downgrade() -> None:
    """They do no harm to the version before."""
