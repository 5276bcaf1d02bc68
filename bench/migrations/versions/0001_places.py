"""The kit's tables, and one whose rows move from approved to confirmed."""

from alembic import op

from kit.migrations import create_kit_tables, open_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_kit_tables(op)
    op.execute("create table places (enrollment_id uuid primary key, state text not null, version int not null)")
    open_table(op, "places")
    op.execute("grant truncate on places, inbox, outbox to bench_worker")


def downgrade() -> None:
    op.execute("drop table places")
