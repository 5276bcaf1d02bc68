"""Price changes that wait for consent.

A new table: the version already running knows nothing of it, so the two may run side by side.
"""

from alembic import op

from kit.migrations import refuse_waiting_for_locks, secure

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    op.execute(
        """
        create table price_changes (
            id uuid constraint pk_price_changes primary key,
            enrollment_id uuid not null,
            partner_id uuid,
            customer_id uuid,
            supplier_id uuid,
            price jsonb not null,
            reason text not null,
            proposed_by text not null,
            proposed_at timestamptz not null,
            expires_at timestamptz not null,
            awaits text[] not null,
            state text not null,
            consents jsonb not null,
            constraint ck_price_changes_state check (state in ('open', 'agreed', 'declined', 'replaced'))
        )
        """
    )
    op.execute("create unique index uq_price_changes_open on price_changes (enrollment_id) where state = 'open'")
    op.execute("create index ix_price_changes_enrollment_id on price_changes (enrollment_id, id)")
    secure(
        op,
        "price_changes",
        api="select, insert, update",
        partner="partner_id",
        customer="customer_id",
        supplier="supplier_id",
    )


def downgrade() -> None:
    refuse_waiting_for_locks(op)
    op.drop_table("price_changes")
