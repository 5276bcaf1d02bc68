"""People, what others announced, seats, and enrollments.

The first migration: nothing runs beside it yet.
"""

from alembic import op

from kit.migrations import create_kit_tables, open_table, roles, secure

revision = "0001"
down_revision = None

TABLES = """
create table partners (
    id uuid constraint pk_partners primary key,
    version bigint not null,
    name text not null,
    kind text not null,
    status text not null,
    wallet boolean not null,
    language text not null
);

create table customers (
    id uuid constraint pk_customers primary key,
    version bigint not null,
    name text not null,
    status text not null,
    partner_id uuid,
    language text not null
);
create index ix_customers_partner_id on customers (partner_id);

create table suppliers (
    id uuid constraint pk_suppliers primary key,
    version bigint not null,
    name text not null,
    status text not null,
    language text not null,
    sites jsonb not null
);

create table supplier_users (
    id uuid constraint pk_supplier_users primary key,
    version bigint not null,
    users jsonb not null
);

create table courses (
    id uuid constraint pk_courses primary key,
    version bigint not null,
    title text not null,
    status text not null,
    kind text not null,
    language text not null,
    offered_by text not null,
    supplier_id uuid,
    owner_partner_id uuid,
    certificate boolean not null,
    prices jsonb not null,
    credits jsonb not null,
    sites text[],
    cancellation jsonb not null
);

create table terms (
    id uuid constraint pk_terms primary key,
    version bigint not null,
    kind text not null,
    supplier_id uuid,
    customer_id uuid,
    status text not null,
    valid_from date not null,
    discount_bp integer not null,
    platform_share_bp integer not null,
    minimum_fee bigint,
    currency text
);
create index ix_terms_customer_id on terms (customer_id);

create table sessions (
    id uuid constraint pk_sessions primary key,
    course_id uuid not null,
    version bigint not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    place text,
    capacity integer not null,
    status text not null,
    taken integer not null default 0,
    ceiling integer not null,
    constraint ck_sessions_never_oversold check (taken >= 0 and taken <= ceiling)
);
create index ix_sessions_course_id on sessions (course_id);

create table people (
    id uuid constraint pk_people primary key,
    version bigint not null,
    status text not null,
    name text,
    email text,
    language text not null,
    customer_id uuid,
    partner_id uuid,
    manager_id uuid,
    roles text[] not null,
    created_at timestamptz not null default now(),
    constraint ck_people_status check (status in ('active', 'left', 'erased')),
    constraint ck_people_belongs check (customer_id is not null or partner_id is not null),
    constraint ck_people_name check ((status = 'erased') = (name is null)),
    constraint ck_people_email check ((status = 'erased') = (email is null))
);
create unique index uq_people_email on people (coalesce(customer_id, partner_id), email) where status = 'active';
create index ix_people_customer_id on people (customer_id, id);
create index ix_people_partner_id on people (partner_id, id);
create index ix_people_manager_id on people (manager_id) where manager_id is not null;
create index ix_people_email on people (email);

create table enrollments (
    id uuid constraint pk_enrollments primary key,
    version bigint not null,
    state text not null,
    way text not null,
    payment text not null,
    person_id uuid not null,
    course_id uuid not null,
    session_id uuid,
    supplier_id uuid,
    partner_id uuid,
    customer_id uuid,
    credits integer,
    price jsonb,
    cancellation jsonb not null,
    certificate boolean not null,
    created_at timestamptz not null,
    step_since timestamptz not null,
    waits_for text,
    step_until timestamptz,
    attempts integer not null,
    held boolean not null,
    remind_at timestamptz,
    expires_at timestamptz,
    approved_by text,
    approved_at timestamptz,
    confirmed_at timestamptz,
    completed_at timestamptz,
    ended_at timestamptz,
    problem jsonb,
    settlement jsonb,
    revision integer not null,
    instruction jsonb,
    history jsonb not null,
    batch_id uuid,
    constraint ck_enrollments_state check (state in ('requested', 'approved', 'confirmed', 'completed',
        'refused', 'declined', 'withdrawn', 'expired', 'cancelled')),
    constraint ck_enrollments_credits check ((payment = 'credits') = (credits is not null)),
    constraint ck_enrollments_price check ((payment = 'invoice') = (price is not null))
);
create unique index uq_enrollments_open on enrollments
    (person_id, course_id, coalesce(session_id, '00000000-0000-0000-0000-000000000000'::uuid))
    where state in ('requested', 'approved', 'confirmed');
create index ix_enrollments_partner_id on enrollments (partner_id, id) where partner_id is not null;
create index ix_enrollments_customer_id on enrollments (customer_id, id) where customer_id is not null;
create index ix_enrollments_supplier_id on enrollments (supplier_id, id) where supplier_id is not null;
create index ix_enrollments_person_id on enrollments (person_id, id);
create index ix_enrollments_step on enrollments (step_until) where step_until is not null;
create index ix_enrollments_remind_at on enrollments (remind_at) where remind_at is not null;
create index ix_enrollments_batch_id on enrollments (batch_id, state) where batch_id is not null;
"""


def upgrade() -> None:
    create_kit_tables(op)
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    # A row of everybody's concern: a request reads of suppliers and sessions what its offer is made from.
    open_table(op, "suppliers", api="select")
    open_table(op, "sessions", api="select, update")
    secure(op, "supplier_users", api="select", supplier="id")
    secure(op, "customers", api="select", partner="partner_id", customer="id")
    secure(op, "people", api="select, insert, update", partner="partner_id", customer="customer_id")
    secure(
        op,
        "enrollments",
        api="select, insert, update",
        partner="partner_id",
        customer="customer_id",
        supplier="supplier_id",
    )
    # A customer's people see the partner that serves it too. Looked up by key, once a statement.
    acts_for = "nullif(split_part(current_setting('tandem.tenant', true), '/', 2), '')::uuid"
    serving = f"(select c.partner_id from customers c where c.id = {acts_for})"  # noqa: S608 - the two lines above
    _follow(op, "partners", f"{_is('partner', 'id')} or id = {serving}")
    own = f"{_is('partner', 'owner_partner_id')} or owner_partner_id = {serving}"
    _follow(op, "courses", f"owner_partner_id is null or {own}")
    _follow(
        op,
        "terms",
        f"(supplier_id is null and customer_id is null) or {_is('supplier', 'supplier_id')}"
        " or exists (select from customers c where c.id = customer_id)",
    )


def _is(kind: str, column: str) -> str:
    return f"current_setting('tandem.tenant', true) = '{kind}/' || {column}::text"


def _follow(op, table: str, condition: str) -> None:
    op.execute(f"alter table {table} enable row level security")
    op.execute(
        f"create policy tenant on {table} for select to {roles(op)['api']}"
        f" using (current_setting('tandem.tenant', true) = 'platform' or {condition})"
    )
    op.execute(f"create policy everything on {table} to {roles(op)['worker']} using (true)")
    open_table(op, table, api="select")
