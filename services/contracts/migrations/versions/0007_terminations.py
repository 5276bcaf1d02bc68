"""Terminations, their steps and proposals, customers' wishes, and what is paid of contracts' invoices.

New tables only, which the version already running does not know.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from kit.migrations import open_table, refuse_waiting_for_locks, roles, secure

revision = "0007"
down_revision = "0006"

TENANTS = {"partner": "partner_id", "customer": "customer_id"}


def moment(name: str, **more: bool) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **more)


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    op.create_table(
        "termination_wishes",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("customer_id", sa.Uuid, sa.ForeignKey("customers.id"), nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("contract_ids", ARRAY(sa.Uuid), nullable=False),
        sa.Column("wish_date", sa.Date),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        moment("asked_at", nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("request_id", sa.Uuid),
    )
    op.create_index("ix_termination_wishes_customer_id_id", "termination_wishes", ["customer_id", "id"])
    op.create_index("ix_termination_wishes_partner_id_id", "termination_wishes", ["partner_id", "id"])
    secure(op, "termination_wishes", api="select, insert, update", **TENANTS)

    op.create_table(
        "terminations",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("request_id", sa.Uuid, nullable=False),
        sa.Column("contract_id", sa.Uuid, sa.ForeignKey("service_contracts.id"), nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        moment("waiting_since", nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        moment("requested_at", nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("requested_on", sa.Date, nullable=False),
        sa.Column("wish_date", sa.Date),
        sa.Column("regular_end", sa.Date, nullable=False),
        sa.Column("last_day", sa.Date, nullable=False),
        sa.Column("early", sa.Boolean, nullable=False),
        sa.Column("quote", JSONB, nullable=False),
        sa.Column("proposal_id", sa.Uuid),
        moment("agreed_at"),
        sa.Column("agreed_by", sa.Text),
        sa.Column("agreed_hash", sa.Text),
        sa.Column("handled_by", sa.Text),
        sa.Column("ask_id", sa.Uuid),
        sa.Column("ask_kind", sa.Text),
        sa.Column("ask_group", sa.Uuid),
        sa.Column("asked_on", sa.Date),
        sa.Column("reminders", sa.SmallInteger, nullable=False),
        moment("ask_expires_at"),
        moment("remind_at"),
        moment("finance_due_at"),
        sa.Column("finance_alerted", sa.SmallInteger, nullable=False),
        moment("ends_at"),
        sa.Column("closed_reason", sa.Text),
        moment("over_at"),
        sa.Column("ask_again_on", sa.Date),
        sa.Column("consent", JSONB),
        sa.CheckConstraint(
            "state in ('requested', 'proposal_due', 'proposed', 'by_hand', 'scheduled', 'waits_for_porting', 'ended',"
            " 'closed')",
            name="state",
        ),
        sa.CheckConstraint("(state = 'scheduled') = (ends_at is not null)", name="ends_at"),
        sa.CheckConstraint("(state = 'closed') = (closed_reason is not null)", name="closed_reason"),
        sa.CheckConstraint("(state in ('ended', 'closed')) = (over_at is not null)", name="over_at"),
        sa.CheckConstraint(
            "state not in ('scheduled', 'waits_for_porting', 'ended') or agreed_hash is not null", name="agreed"
        ),
        sa.CheckConstraint("ask_again_on is null or consent is not null", name="consent"),
    )
    # One at a time for a service (CON-13).
    op.create_index(
        "uq_terminations_open",
        "terminations",
        ["contract_id"],
        unique=True,
        postgresql_where=sa.text("state not in ('ended', 'closed')"),
    )
    op.create_index("ix_terminations_contract_id", "terminations", ["contract_id"])
    op.create_index("ix_terminations_partner_id_id", "terminations", ["partner_id", "id"])
    op.create_index("ix_terminations_customer_id_id", "terminations", ["customer_id", "id"])
    op.create_index("ix_terminations_request_id", "terminations", ["request_id"])
    op.create_index("ix_terminations_ask_group", "terminations", ["ask_group"])
    op.create_index("ix_terminations_ask_id", "terminations", ["ask_id"])
    op.create_index("ix_terminations_state_id", "terminations", ["state", "id"])
    for due in ("ends_at", "ask_expires_at", "remind_at", "finance_due_at"):
        op.create_index(f"ix_terminations_{due}", "terminations", [due], postgresql_where=sa.text(f"{due} is not null"))
    secure(op, "terminations", api="select, insert, update", **TENANTS)

    op.create_table(
        "termination_steps",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("termination_id", sa.Uuid, sa.ForeignKey("terminations.id"), nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("step", sa.Text, nullable=False),
        moment("at", nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("detail", JSONB, nullable=False),
    )
    op.create_index("ix_termination_steps_termination_id_id", "termination_steps", ["termination_id", "id"])
    secure(op, "termination_steps", api="select, insert", **TENANTS)

    op.create_table(
        "buyout_proposals",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("termination_id", sa.Uuid, sa.ForeignKey("terminations.id"), nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("last_day", sa.Date, nullable=False),
        sa.Column("regular_end", sa.Date, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("calculated", sa.BigInteger, nullable=False),
        sa.Column("quote", JSONB, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("valid_until", sa.Date, nullable=False),
        moment("proposed_at", nullable=False),
        sa.Column("proposed_by", sa.Text, nullable=False),
        moment("decided_at"),
        sa.Column("decided_by", sa.Text),
        sa.CheckConstraint(
            "state in ('open', 'accepted', 'declined', 'expired', 'replaced', 'withdrawn')", name="state"
        ),
        sa.CheckConstraint("(state = 'open') = (decided_at is null)", name="decided"),
        sa.CheckConstraint("total = cast(quote ->> 'total' as bigint)", name="total"),
    )
    op.create_index("ix_buyout_proposals_termination_id_id", "buyout_proposals", ["termination_id", "id"])
    # Of the proposals of a termination one can be answered, and one was accepted, at most.
    for state in ("open", "accepted"):
        op.create_index(
            f"uq_buyout_proposals_{state}",
            "buyout_proposals",
            ["termination_id"],
            unique=True,
            postgresql_where=sa.text(f"state = '{state}'"),
        )
    secure(op, "buyout_proposals", api="select, insert, update", **TENANTS)
    # What was proposed is frozen: its sum, its days, its lines and its hash never change.
    op.execute(
        """
        create function proposal_is_frozen() returns trigger language plpgsql as $$
        begin
            if (new.termination_id, new.last_day, new.regular_end, new.currency, new.total, new.quote, new.hash,
                new.valid_until) is distinct from (old.termination_id, old.last_day, old.regular_end, old.currency,
                old.total, old.quote, old.hash, old.valid_until)
            then
                raise exception 'a proposal never changes';
            end if;
            return new;
        end $$
        """
    )
    op.execute(
        "create trigger frozen before update on buyout_proposals for each row execute function proposal_is_frozen()"
    )

    op.create_table(
        "termination_nights",
        sa.Column("id", sa.Uuid, primary_key=True),
        moment("began_at", nullable=False),
        sa.Column("due", sa.Integer, nullable=False),
        sa.Column("ended", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Integer, nullable=False),
        moment("moved_at", nullable=False),
        moment("finished_at"),
    )
    op.create_index(
        "uq_termination_nights_open",
        "termination_nights",
        [sa.text("(true)")],
        unique=True,
        postgresql_where=sa.text("finished_at is null"),
    )
    secure(op, "termination_nights", api="select")  # the platform's alone

    op.create_table(
        "contract_invoices",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("contract_id", sa.Uuid, nullable=False),
        sa.Column("period_from", sa.Date, nullable=False),
        sa.Column("period_to", sa.Date, nullable=False),
        sa.Column("net", sa.BigInteger, nullable=False),
        sa.Column("paid", sa.Boolean, nullable=False),
        sa.Column("credits", sa.Uuid),
        sa.CheckConstraint("period_to >= period_from", name="period"),
    )
    op.create_index("ix_contract_invoices_contract_id", "contract_invoices", ["contract_id"])
    op.create_index(
        "ix_contract_invoices_credits",
        "contract_invoices",
        ["credits"],
        postgresql_where=sa.text("credits is not null"),
    )
    # Seen by who sees the contract: the policy of its table decides.
    op.execute("alter table contract_invoices enable row level security")
    api, worker = roles(op)["api"], roles(op)["worker"]
    seen = "exists (select 1 from service_contracts c where c.id = contract_id)"
    op.execute(f"create policy tenant on contract_invoices for select to {api} using ({seen})")
    op.execute(f"create policy everything on contract_invoices to {worker} using (true)")
    open_table(op, "contract_invoices", api="select")


def downgrade() -> None:
    refuse_waiting_for_locks(op)
    tables = ("contract_invoices", "termination_nights", "buyout_proposals", "termination_steps", "terminations")
    for table in (*tables, "termination_wishes"):
        op.drop_table(table)
    op.execute("drop function proposal_is_frozen")
