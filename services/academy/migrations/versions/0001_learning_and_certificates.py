"""People, courses, learnings and certificates.

The first migration: nothing runs beside it yet.
"""

import sqlalchemy as sa
from alembic import op

from kit.migrations import create_kit_tables, open_table, roles, secure

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_kit_tables(op)

    op.create_table(
        "people",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("email", sa.Text),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Uuid),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("manager_id", sa.Uuid),
    )
    op.create_index("ix_people_email", "people", ["email"])
    op.create_index("ix_people_manager_id", "people", ["manager_id"])
    secure(op, "people", api="select", partner="partner_id", customer="customer_id")

    op.create_table(
        "courses",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("duration_minutes", sa.Integer),
    )
    open_table(op, "courses", api="select")

    op.create_table(
        "known_partners",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
    )
    secure(op, "known_partners", api="select", partner="id")

    op.create_table(
        "learnings",
        sa.Column("enrollment_id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("course_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("customer_id", sa.Uuid),
        sa.Column("opened_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
    )
    for column in ("person_id", "course_id", "partner_id", "customer_id"):
        op.create_index(f"ix_learnings_{column}", "learnings", [column, "enrollment_id"])
    secure(op, "learnings", api="select, update", partner="partner_id", customer="customer_id")

    op.create_table(
        "certificates",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Text, nullable=False, unique=True),
        sa.Column("enrollment_id", sa.Uuid, nullable=False, unique=True),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("course_id", sa.Uuid, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("customer_id", sa.Uuid),
        sa.Column("name", sa.Text),
        sa.Column("course_title", sa.Text, nullable=False),
        sa.Column("completed_on", sa.Date, nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_by", sa.Text),
        sa.Column("revoked_reason", sa.Text),
        sa.CheckConstraint(
            "(revoked_at is null) = (revoked_reason is null) and (revoked_at is null) = (revoked_by is null)",
            name="revoked_with_reason",
        ),
    )
    for column in ("person_id", "course_id", "partner_id", "customer_id"):
        op.create_index(f"ix_certificates_{column}", "certificates", [column, "id"])
    secure(op, "certificates", api="select, update", partner="partner_id", customer="customer_id")

    # Whoever has a number may verify that one certificate, whatever tenant it is of: the function sees past
    # the policy, and gives no way to look around.
    op.execute(
        """
        create function certificate_to_verify(wanted text) returns setof certificates
        language sql stable security definer set search_path = public, pg_temp
        as $$ select * from certificates where number = wanted $$
        """
    )
    op.execute("revoke execute on function certificate_to_verify from public")
    op.execute(f"grant execute on function certificate_to_verify to {', '.join(roles(op).values())}")


def downgrade() -> None:
    op.execute("drop function certificate_to_verify")
    for table in ("certificates", "learnings", "known_partners", "courses", "people"):
        op.drop_table(table)
