"""Customers have trials, subscriptions and a time zone; an overview line each; attention items.

New tables, and new columns with defaults: the version already running does not know them. It makes customers
without a line in the overview, so it is replaced before anybody reads that; those there are get theirs here.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from kit.migrations import open_table, refuse_waiting_for_locks, roles, secure

revision = "0005"
down_revision = "0004"

ZONE = sa.text("'Europe/Amsterdam'")


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    op.add_column("partners", sa.Column("time_zone", sa.Text, nullable=False, server_default=ZONE))
    for column in (
        sa.Column("time_zone", sa.Text, nullable=False, server_default=ZONE),
        sa.Column("closed_reason", sa.Text),
        sa.Column("closed_on", sa.Date),
        sa.Column("trial_started_on", sa.Date),
        sa.Column("trial_ends_on", sa.Date),
        sa.Column("trial_over_at", sa.DateTime(timezone=True)),
        sa.Column("trial_warn_at", sa.DateTime(timezone=True)),
        sa.Column("trial_held", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("contract_id", sa.Uuid),
        sa.Column("subscribed_on", sa.Date),
        sa.Column("renews_on", sa.Date),
        sa.Column("renews_at", sa.DateTime(timezone=True)),
        sa.Column("renewal_months", sa.Integer),
        sa.Column("ends_on", sa.Date),
    ):
        op.add_column("customers", column)
    # Nobody was in a trial or closed before: neither could be made.
    op.create_check_constraint(
        op.f("ck_customers_closed"), "customers", "(status = 'closed') = (closed_reason is not null)"
    )
    op.create_check_constraint(
        op.f("ck_customers_trial"), "customers", "status <> 'trial' or trial_over_at is not null"
    )
    op.create_check_constraint(op.f("ck_customers_renewal"), "customers", "(renews_on is null) = (renews_at is null)")
    for name, column, condition in (
        ("trial_over", "trial_over_at", "status = 'trial' and not trial_held"),
        ("trial_warn", "trial_warn_at", "status = 'trial' and trial_warn_at is not null"),
        ("renews", "renews_at", "status = 'active' and ends_on is null"),
    ):
        op.create_index(f"ix_customers_{name}", "customers", [column], postgresql_where=sa.text(condition))
    op.create_index("ix_customers_contract_id", "customers", ["contract_id"])

    op.create_table(
        "overview",
        sa.Column("customer_id", sa.Uuid, sa.ForeignKey("customers.id"), primary_key=True),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sort_name", sa.Text(collation="C"), nullable=False),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("closed_reason", sa.Text),
        sa.Column("trial_started_on", sa.Date),
        sa.Column("trial_ends_on", sa.Date),
        sa.Column("subscribed_on", sa.Date),
        sa.Column("renews_on", sa.Date),
        sa.Column("closed_on", sa.Date),
        sa.Column(
            "starts_on",
            sa.Date,
            sa.Computed(
                "case status when 'trial' then coalesce(trial_started_on, '9999-12-31'::date)"
                " when 'active' then coalesce(subscribed_on, '9999-12-31'::date) else '9999-12-31'::date end",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column(
            "due_on",
            sa.Date,
            sa.Computed(
                "case status when 'trial' then coalesce(trial_ends_on, '9999-12-31'::date)"
                " when 'active' then coalesce(renews_on, '9999-12-31'::date) else '9999-12-31'::date end",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column("framework", sa.Text, nullable=False),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("users", sa.Integer, nullable=False),
        sa.Column("activities", sa.BigInteger, nullable=False),
        sa.Column("counted_on", sa.Date, nullable=False),
        sa.Column("attention", sa.Integer, nullable=False),
    )
    for column in (
        "sort_name", "status", "starts_on", "due_on", "framework", "progress", "users", "activities", "attention",
    ):  # fmt: skip
        op.create_index(f"ix_overview_{column}", "overview", ["partner_id", column, "customer_id"])
    op.create_index("ix_overview_counted", "overview", ["time_zone", "counted_on"])
    op.execute(
        # As `secure` does; asked once a statement instead of once a row, since a list may have 100,000.
        f"create policy tenant on overview to {roles(op)['api']} using ("
        " (select current_setting('tandem.tenant', true)) = 'platform'"
        " or partner_id = (select case when current_setting('tandem.tenant', true) like 'partner/%'"
        "   then substr(current_setting('tandem.tenant', true), 9)::uuid end)"
        " or customer_id = (select case when current_setting('tandem.tenant', true) like 'customer/%'"
        "   then substr(current_setting('tandem.tenant', true), 10)::uuid end))"
    )
    op.execute(f"create policy everything on overview to {roles(op)['worker']} using (true)")
    op.execute("alter table overview enable row level security")
    open_table(op, "overview", api="select, insert, update")
    op.execute(
        "insert into overview (customer_id, partner_id, name, sort_name, time_zone, status, framework, progress,"
        " users, activities, counted_on, attention)"
        " select id, partner_id, name, lower(name), time_zone, status, '', -1, 0, 0, current_date, 0 from customers"
    )

    op.create_table(
        "attention_items",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("customer_id", sa.Uuid),
        sa.Column("about_customer_id", sa.Uuid),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("next_action", sa.Text, nullable=False),
        sa.Column("detail", JSONB, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("snoozed_until", sa.DateTime(timezone=True)),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("resolved_by", sa.Text),
        sa.Column("version", sa.Integer, nullable=False),
        sa.CheckConstraint("audience in ('platform', 'partner', 'customer')", name="audience"),
        sa.CheckConstraint("resolved_at is null or snoozed_until is null", name="resolved_is_not_snoozed"),
        sa.UniqueConstraint("audience", "key"),
    )
    open_ = sa.text("resolved_at is null")
    urgency = sa.text("coalesce(due_at, '9999-01-01 00:00:00+00'::timestamptz)")
    op.create_index(
        "ix_attention_items_partner",
        "attention_items",
        ["partner_id", "audience", urgency, "id"],
        postgresql_where=open_,
    )
    op.create_index("ix_attention_items_about", "attention_items", ["about_customer_id"], postgresql_where=open_)
    op.create_index(
        "ix_attention_items_snoozed",
        "attention_items",
        ["snoozed_until"],
        postgresql_where=sa.text("snoozed_until is not null"),
    )
    secure(op, "attention_items", api="select, update", partner="partner_id", customer="customer_id")
    op.execute(
        """
        create function open_attention(items jsonb, at timestamptz)
        returns table (audience text, about_customer_id uuid) language sql security definer
        set search_path from current begin atomic
            insert into attention_items (id, audience, partner_id, customer_id, about_customer_id, kind, key, subject,
                next_action, detail, due_at, opened_at, version)
            select uuidv7(), i.audience, i.partner_id, i.customer_id, i.about_customer_id, i.kind, i.key, i.subject,
                i.next_action, i.detail, i.due_at, at, 1
            from jsonb_to_recordset(items) as i (audience text, partner_id uuid, customer_id uuid,
                about_customer_id uuid, kind text, key text, subject text, next_action text, detail jsonb,
                due_at timestamptz)
            order by i.audience, i.key
            on conflict on constraint uq_attention_items_audience_key do nothing
            returning attention_items.audience, attention_items.about_customer_id;
        end
        """
    )
    op.execute(
        # An item that was never opened is entered as resolved, so that what opens it later finds it so.
        """
        create function resolve_attention(audiences text[], keys text[], who text, at timestamptz)
        returns table (audience text, about_customer_id uuid, counted boolean) language sql security definer
        set search_path from current begin atomic
            insert into attention_items as i (id, audience, kind, key, subject, next_action, detail, opened_at, version,
                resolved_at, resolved_by)
            select uuidv7(), w.audience, 'unopened', w.key, '', '', '{}', at, 1, at, who
            from unnest(audiences, keys) as w (audience, key) order by w.audience, w.key
            on conflict on constraint uq_attention_items_audience_key do update
                set resolved_at = at, resolved_by = who, version = i.version + 1, snoozed_until = null
                where i.resolved_at is null
            returning i.audience, i.about_customer_id, old.id is not null and old.snoozed_until is null;
        end
        """
    )
    for function in ("open_attention(jsonb, timestamptz)", "resolve_attention(text[], text[], text, timestamptz)"):
        op.execute(f"revoke all on function {function} from public")
        op.execute(f"grant execute on function {function} to {', '.join(roles(op).values())}")


def downgrade() -> None:
    op.execute("drop function resolve_attention(text[], text[], text, timestamptz)")
    op.execute("drop function open_attention(jsonb, timestamptz)")
    op.drop_table("attention_items")
    op.drop_table("overview")
    for name in ("closed", "trial", "renewal"):
        op.drop_constraint(op.f(f"ck_customers_{name}"), "customers")
    for column in (
        "time_zone", "closed_reason", "closed_on", "trial_started_on", "trial_ends_on", "trial_over_at",
        "trial_warn_at", "trial_held", "contract_id", "subscribed_on", "renews_on", "renews_at",
        "renewal_months", "ends_on",
    ):  # fmt: skip
        op.drop_column("customers", column)
    op.drop_column("partners", "time_zone")
