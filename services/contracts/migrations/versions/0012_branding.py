"""Whitelabel partners have looks and a domain of their own.

A column with a default, and a new table: the version already running does not know them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from kit.migrations import open_table, refuse_waiting_for_locks

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    op.add_column("partners", sa.Column("branding", JSONB, nullable=False, server_default="{}"))
    op.execute(
        "create unique index uq_partners_proved_domain on partners ((branding ->> 'domain'))"
        " where branding ->> 'domain_proved_at' is not null"
    )
    op.create_table(
        "logos",
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("png", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    open_table(op, "logos", api="select, insert")


def downgrade() -> None:
    op.drop_table("logos")
    op.drop_index("uq_partners_proved_domain", "partners")
    op.drop_column("partners", "branding")
