"""Use as applications report it, and a search through the overview.

New tables, a function, and generated columns that nobody reads yet: the version already running does not know them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from kit.migrations import open_table, refuse_waiting_for_locks, roles

revision = "0009"
down_revision = "0008"

SEES = "exists (select 1 from overview o where o.customer_id = {table}.customer_id)"
"""Whoever sees a customer's line sees its use: the line's own policy decides."""


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    op.create_table(
        "usage_days",
        sa.Column("customer_id", sa.Uuid, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("activities", sa.Integer, nullable=False),
        sa.CheckConstraint("activities >= 0", name="activities"),
    )
    op.create_table(
        "usage_sources",
        sa.Column("customer_id", sa.Uuid, primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("users", sa.Integer),
        sa.Column("frameworks", JSONB),
        sa.Column("framework", sa.Text),
        sa.Column("progress", sa.Integer),
    )
    for table in ("usage_days", "usage_sources"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"create policy tenant on {table} to {roles(op)['api']} using ({SEES.format(table=table)})")
        op.execute(f"create policy everything on {table} to {roles(op)['worker']} using (true)")
        open_table(op, table, api="select, insert, update")

    for column, trial, active in (
        ("starts_on", "trial_started_on", "subscribed_on"),
        ("due_on", "trial_ends_on", "renews_on"),
    ):
        # The last day there is becomes "infinity" on its way through the driver, and a page would end there.
        op.execute(
            f"alter table overview alter {column} set expression as (coalesce(case status when 'trial' then {trial}"
            f" when 'active' then {active} end, '9000-01-01'::date))"
        )

        # Of the closed ones none has such a day: a list of one status must not walk through all the others.
        op.create_index(f"ix_overview_status_{column}", "overview", ["partner_id", "status", column, "customer_id"])

    op.execute("create extension if not exists pg_trgm")
    op.execute("create extension if not exists btree_gin")
    op.execute("create index ix_overview_search on overview using gin (partner_id, sort_name gin_trgm_ops)")
    op.execute(
        # Row-level security keeps an index on text from being used, since a comparison might tell of hidden rows.
        # So this runs as the tables' owner, and asks by itself for whom: only rows of the named partner, and only
        # for that partner and the platform. Three letters or more are looked for anywhere, fewer at the start.
        """
        create function overview_search(looked_for text, partner uuid) returns setof uuid
        language plpgsql stable security definer set search_path from current as $$
        declare
            tenant text := current_setting('tandem.tenant', true);
            wanted text := replace(replace(replace(looked_for, '\\', '\\\\'), '%', '\\%'), '_', '\\_') || '%';
        begin
            if tenant = 'platform' or tenant = 'partner/' || partner then
                if length(looked_for) > 2 then
                    wanted := '%' || wanted;
                end if;
                if partner is null then
                    return query select customer_id from overview where partner_id is null and sort_name like wanted;
                else
                    return query select customer_id from overview where partner_id = partner and sort_name like wanted;
                end if;
            end if;
        end $$
        """
    )
    op.execute("revoke all on function overview_search(text, uuid) from public")
    op.execute(f"grant execute on function overview_search(text, uuid) to {', '.join(roles(op).values())}")


def downgrade() -> None:
    op.execute("drop function overview_search(text, uuid)")
    op.execute("drop index ix_overview_search")
    for column in ("starts_on", "due_on"):
        op.drop_index(f"ix_overview_status_{column}", "overview")
    op.drop_table("usage_sources")
    op.drop_table("usage_days")
