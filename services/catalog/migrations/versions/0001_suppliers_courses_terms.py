"""Suppliers, courses and terms; the default terms are made and announced here.

The first migration: nothing runs beside it yet. Migrating and announcing are one transaction that
happens once a database, so the default terms are announced exactly once, however many replicas start.
"""

from uuid import UUID

import orjson
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from kit.migrations import create_kit_tables, open_table, roles, secure
from schemas.course import TermsChanged

revision = "0001"
down_revision = None

TENANT = "current_setting('tandem.tenant', true)"


def upgrade() -> None:
    create_kit_tables(op)
    make_copies()
    make_suppliers()
    make_agreements_and_services()
    make_courses()
    make_terms()


def make_copies() -> None:
    op.create_table(
        "partners",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
    )
    op.create_index("ix_partners_name", "partners", [sa.text("lower(name)")])
    secure(op, "partners", api="select", partner="id")

    op.create_table(
        "customers",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("partner_id", sa.Uuid),
    )
    op.create_index("ix_customers_name", "customers", [sa.text("lower(name)"), "id"])
    secure(op, "customers", api="select", customer="id", partner="partner_id")
    # A supplier may know whose portals there are: it asks to be shown there.
    readable("customers", "portals", f"{TENANT} like 'supplier/%' and status in ('trial', 'active')")


def make_suppliers() -> None:
    op.create_table(
        "suppliers",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("size", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("invoicing", JSONB, nullable=False),
        sa.Column("routes", ARRAY(sa.Text), nullable=False),
        sa.Column("exclusive", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in ('active', 'closed')", name="status"),
        sa.CheckConstraint("size in ('large', 'small')", name="size"),
    )
    op.create_index("ix_suppliers_name", "suppliers", [sa.text("lower(name)"), "id"])
    secure(op, "suppliers", api="select, insert, update", supplier="id")

    op.create_table(
        "supplier_users",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("supplier_id", sa.Uuid, sa.ForeignKey("suppliers.id"), nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index(
        "uq_supplier_users_email",
        "supplier_users",
        ["supplier_id", "email"],
        unique=True,
        postgresql_where=sa.text("removed_at is null"),
    )
    secure(op, "supplier_users", api="select, insert, update", supplier="supplier_id")

    op.create_table(
        "supplier_sites",
        sa.Column("supplier_id", sa.Uuid, sa.ForeignKey("suppliers.id"), primary_key=True),
        sa.Column("site", sa.Text, primary_key=True),
    )
    secure(op, "supplier_sites", api="select, insert, delete", supplier="supplier_id")

    op.create_table(
        "site_requests",
        sa.Column("supplier_id", sa.Uuid, sa.ForeignKey("suppliers.id"), primary_key=True),
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text),
        sa.CheckConstraint("state in ('asked', 'granted', 'declined')", name="state"),
    )
    secure(op, "site_requests", api="select, insert, update", supplier="supplier_id")


def make_agreements_and_services() -> None:
    op.create_table(
        "agreements",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("published_by", sa.Text, nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
    )
    open_table(op, "agreements", api="select, insert")

    op.create_table(
        "agreement_acceptances",
        sa.Column("supplier_id", sa.Uuid, sa.ForeignKey("suppliers.id"), primary_key=True),
        sa.Column("version", sa.Integer, sa.ForeignKey("agreements.version"), primary_key=True),
        sa.Column("accepted_by", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("text_sha256", sa.Text, nullable=False),
    )
    secure(op, "agreement_acceptances", api="select, insert", supplier="supplier_id")

    op.create_table(
        "supplier_services",
        sa.Column("supplier_id", sa.Uuid, sa.ForeignKey("suppliers.id"), primary_key=True),
        sa.Column("service", sa.Text, primary_key=True),
        sa.Column("is_on", sa.Boolean, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )
    secure(op, "supplier_services", api="select, insert, update", supplier="supplier_id")

    op.create_table(
        "service_ticks",
        sa.Column("supplier_id", sa.Uuid, sa.ForeignKey("suppliers.id"), primary_key=True),
        sa.Column("service", sa.Text, primary_key=True),
        sa.Column("condition", sa.Text, primary_key=True),
        sa.Column("ticked_by", sa.Text, nullable=False),
        sa.Column("ticked_at", sa.DateTime(timezone=True), nullable=False),
    )
    secure(op, "service_ticks", api="select, insert, delete", supplier="supplier_id")


def make_courses() -> None:
    op.create_table(
        "courses",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("offered_by", sa.Text, nullable=False),
        sa.Column("supplier_id", sa.Uuid, sa.ForeignKey("suppliers.id")),
        sa.Column("owner_partner_id", sa.Uuid),
        sa.Column("code", sa.Text),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("topics", ARRAY(sa.Text), nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("trainers", ARRAY(sa.Text), nullable=False),
        sa.Column("duration_minutes", sa.Integer),
        sa.Column("certificate", sa.Boolean, nullable=False),
        sa.Column("vat", sa.Text, nullable=False),
        sa.Column("free_until_days", sa.Integer, nullable=False),
        sa.Column("then_keep_bp", sa.Integer, nullable=False),
        sa.Column("credit_scope", sa.Text, nullable=False),
        sa.Column("credit_general_value", sa.Integer),
        sa.Column("sites", ARRAY(sa.Text)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status in ('published', 'withdrawn')", name="status"),
        sa.CheckConstraint("kind in ('classroom', 'online', 'elearning', 'group')", name="kind"),
        sa.CheckConstraint(
            "(offered_by = 'supplier') = (supplier_id is not null)"
            " and (offered_by = 'partner') = (owner_partner_id is not null)",
            name="owner",
        ),
        sa.CheckConstraint("credit_scope = 'none' or offered_by = 'platform'", name="credits_platform_only"),
    )
    op.create_index(
        "uq_courses_code",
        "courses",
        ["supplier_id", "owner_partner_id", "code"],
        unique=True,
        postgresql_where=sa.text("code is not null"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_index("ix_courses_title", "courses", [sa.text("lower(title)"), "id"])
    op.create_index("ix_courses_supplier", "courses", ["supplier_id"], postgresql_where=sa.text("status = 'published'"))

    op.create_table(
        "course_sessions",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("course_id", sa.Uuid, sa.ForeignKey("courses.id"), nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("place", sa.Text),
        sa.Column("capacity", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.CheckConstraint("ends_at > starts_at and capacity >= 0", name="sense"),
        sa.CheckConstraint("status in ('open', 'cancelled')", name="status"),
    )
    op.create_index("ix_course_sessions_course_id", "course_sessions", ["course_id"])
    op.create_index(
        "uq_course_sessions_key",
        "course_sessions",
        ["course_id", "key"],
        unique=True,
        postgresql_where=sa.text("key is not null"),
    )

    op.create_table(
        "course_prices",
        sa.Column("course_id", sa.Uuid, sa.ForeignKey("courses.id"), primary_key=True),
        sa.Column("valid_from", sa.Date, primary_key=True),
        sa.Column("amount", sa.Integer, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.CheckConstraint("amount >= 0", name="amount"),
    )

    op.create_table(
        "course_credit_values",
        sa.Column("course_id", sa.Uuid, sa.ForeignKey("courses.id"), primary_key=True),
        sa.Column("partner_id", sa.Uuid, primary_key=True),
        sa.Column("value", sa.Integer),
        sa.CheckConstraint("value >= 0", name="value"),
    )
    op.create_index("ix_course_credit_values_partner_id", "course_credit_values", ["partner_id"])

    secure(op, "courses", api="select, insert, update", supplier="supplier_id", partner="owner_partner_id")
    secure(op, "course_credit_values", partner="partner_id")
    # Anyone signed in may read what is published and not a partner's own; what only chosen partners
    # may see is read by those alone. The queries narrow it further, by site.
    readable(
        "courses",
        "offered",
        "status = 'published' and owner_partner_id is null and (credit_scope <> 'chosen' or exists ("
        f"select from course_credit_values v where v.course_id = courses.id"
        f" and {TENANT} = 'partner/' || v.partner_id))",
    )
    # The parts of a course are read with the course, and written by whoever may write it.
    mine = (
        f"exists (select from courses c where c.id = course_id and ({TENANT} = 'platform'"
        f" or {TENANT} = 'supplier/' || c.supplier_id or {TENANT} = 'partner/' || c.owner_partner_id))"
    )
    for table in ("course_sessions", "course_prices"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"create policy tenant on {table} to {roles(op)['api']} using ({mine})")
        op.execute(f"create policy everything on {table} to {roles(op)['worker']} using (true)")
        readable(table, "with_course", "exists (select from courses c where c.id = course_id)")
        open_table(op, table)

    api, worker = roles(op)["api"], roles(op)["worker"]
    # Read with the caller's own rights: a supplier finds its own courses only.
    op.execute(
        "create view published_narrowings with (security_invoker = true) as"
        " select distinct supplier_id, sites from courses where status = 'published' and supplier_id is not null"
    )
    # Read with the owner's rights: where a supplier is shown is known to everyone who looks there.
    op.execute(
        "create view supplier_shown as select s.supplier_id, s.site from supplier_sites s"
        " join suppliers on suppliers.id = s.supplier_id where suppliers.status = 'active'"
    )
    op.execute(f"grant select on published_narrowings, supplier_shown to {api}, {worker}")


def make_terms() -> None:
    op.create_table(
        "terms",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("supplier_id", sa.Uuid, sa.ForeignKey("suppliers.id")),
        sa.Column("customer_id", sa.Uuid),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("discount_bp", sa.Integer, nullable=False),
        sa.Column("platform_share_bp", sa.Integer, nullable=False),
        sa.Column("minimum_fee_amount", sa.Integer),
        sa.Column("minimum_fee_currency", sa.Text),
        sa.UniqueConstraint("kind", "supplier_id", "customer_id", "valid_from", postgresql_nulls_not_distinct=True),
        sa.CheckConstraint("status in ('active', 'ended')", name="status"),
        sa.CheckConstraint(
            "discount_bp between 0 and 10000 and platform_share_bp between 0 and 10000"
            " and (kind <> 'public' or discount_bp = 0)",
            name="figures",
        ),
        sa.CheckConstraint(
            "(minimum_fee_amount is null) = (minimum_fee_currency is null) and minimum_fee_amount >= 0",
            name="minimum_fee",
        ),
    )
    secure(op, "terms", api="select, insert, update", supplier="supplier_id", customer="customer_id")
    readable("terms", "for_everybody", "supplier_id is null and customer_id is null")

    # 15 % of the price, half of it the platform's (CAT-6); public enrollments are free until somebody
    # says otherwise (CAT-13). The ids are the same in every installation.
    announce_terms(
        TermsChanged(
            version=1,
            terms_id=UUID("019a0000-0000-7000-8000-000000000001"),
            kind="business",
            valid_from="2000-01-01",
            discount_bp=1_500,
            platform_share_bp=5_000,
        )
    )
    announce_terms(
        TermsChanged(
            version=1,
            terms_id=UUID("019a0000-0000-7000-8000-000000000002"),
            kind="public",
            valid_from="2000-01-01",
        )
    )


def announce_terms(terms: TermsChanged) -> None:
    """Write terms and their announcement, as a use case would."""
    op.get_bind().execute(
        sa.text(
            "insert into terms (id, version, kind, status, valid_from, discount_bp, platform_share_bp)"
            " values (:terms_id, :version, :kind, :status, :valid_from, :discount_bp, :platform_share_bp)"
        ),
        terms.model_dump(include={
            "terms_id", "version", "kind", "status", "valid_from", "discount_bp", "platform_share_bp",
        }),
    )  # fmt: skip
    op.get_bind().execute(
        sa.text(
            "insert into outbox (topic, key, payload, headers) values (:topic, :key, :payload, cast(:headers as jsonb))"
        ),
        {
            "topic": terms.topic,
            "key": terms.aggregate_id.encode(),
            "payload": terms.value(),
            "headers": orjson.dumps(terms.headers()).decode(),
        },
    )


def readable(table: str, policy: str, condition: str) -> None:
    """Let requests read more rows than their tenant's own."""
    op.execute(f"create policy {policy} on {table} for select to {roles(op)['api']} using ({condition})")
