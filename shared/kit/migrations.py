"""Migrations: run by `<service> migrate` as the owner, who grants the two running roles what they need.

Statements wait at most three seconds for a lock: better to fail and try again than to queue a whole
service behind a migration.
"""

import asyncio
import importlib
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config
from alembic.operations import Operations
from sqlalchemy import Connection, Table, pool, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateIndex

from kit.db import asyncpg_url, metadata
from kit.settings import ServiceSettings

_MIGRATE_LOCK = 748_211


def upgrade(folder: Path, settings: ServiceSettings, revision: str = "head") -> None:
    """Bring the database up to a revision. Several at once wait for each other."""
    if not settings.owner_database_url:
        raise SystemExit("migrate needs the owner's database: set <SERVICE>_OWNER_DATABASE_URL")
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.attributes["url"] = settings.owner_database_url
    config.attributes["roles"] = _roles(settings)
    command.upgrade(config, revision)


def _roles(settings: ServiceSettings) -> dict[str, str]:
    return {
        "api": urlsplit(settings.database_url).username or "",
        "worker": urlsplit(settings.worker_database_url).username or "",
    }


def run_env() -> None:
    """The whole of a service's `migrations/env.py`."""
    config: Any = context.config
    asyncio.run(_online(config.attributes["url"]))


async def _online(url: str) -> None:
    engine = create_async_engine(asyncpg_url(url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_upgrade)
        await connection.commit()
    await engine.dispose()


def _upgrade(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        # Held by the session, which ends with `migrate`: each migration is a transaction of its own. Asked for
        # again and again: a session that waits in the server is itself waited for by an index made concurrently.
        while not connection.scalar(text("select pg_try_advisory_lock(:l)"), {"l": _MIGRATE_LOCK}):
            time.sleep(0.2)
        context.run_migrations()


# -- what migrations call --------------------------------------------------------------------------


def roles(op: Operations | Any) -> dict[str, str]:
    """The database roles to grant to: `api` and `worker`."""
    config: Any = op.get_context().config
    found: dict[str, str] = config.attributes["roles"]
    return found


def create_kit_tables(op: Operations | Any) -> None:
    """Make the kit's tables, with their grants. The first statement of a service's first migration."""
    ours = _kit_tables()
    metadata.create_all(op.get_bind(), tables=ours)
    api, worker = roles(op)["api"], roles(op)["worker"]
    for table in ours:
        # Requests may add to the record of what was done, and never change or remove it.
        rights = "select, insert" if table.name in ("audit", "outbox") else "select, insert, update, delete"
        op.execute(f'grant {rights} on "{table.name}" to {api}')
        op.execute(f'grant select, insert, update, delete on "{table.name}" to {worker}')
        if visible := table.info.get("visible"):  # to the tenant of a request
            op.execute(f"alter table {table.name} enable row level security")
            op.execute(f"create policy tenant on {table.name} to {api} using ({visible})")
            op.execute(f"create policy everything on {table.name} to {worker} using (true)")
    op.execute(f"revoke update, delete on audit from {worker}")
    op.execute(f"revoke all on outbox_dead, parked, waiting, inbox from {api}")
    op.execute(f"grant select on outbox_dead, parked, waiting to {api}")
    op.execute(f"grant usage, select on all sequences in schema public to {api}, {worker}")
    op.execute(
        "alter table outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,"
        " autovacuum_vacuum_cost_delay = 0)"
    )
    # Before the rows take their ids: the transaction has its own id by then, which the relay's floor
    # relies on. One empty notification a transaction wakes the relay.
    op.execute(
        """
        create function outbox_written() returns trigger language plpgsql as $$
        begin
            perform pg_current_xact_id();
            perform pg_notify('outbox', '');
            return null;
        end $$
        """
    )
    op.execute(
        "create trigger outbox_written before insert on outbox for each statement execute function outbox_written()"
    )


def add_kit_indexes(op: Operations | Any) -> None:
    """Make the indexes that the kit's tables have meanwhile and this database lacks, while others write there."""
    indexes = sorted((i for table in _kit_tables() for i in table.indexes), key=lambda index: str(index.name))
    index_concurrently(op, *(str(CreateIndex(index).compile(op.get_bind())) for index in indexes))


def _kit_tables() -> list[Table]:
    for module in ("auth", "bulk", "http", "links", "mail", "tables"):
        importlib.import_module(f"kit.{module}")  # importing declares the tables
    return [table for table in metadata.sorted_tables if table.info.get("kit")]


def close_audit(op: Operations | Any) -> None:
    """Requests add to the record of who did what; with their role nobody reads what others did."""
    api = roles(op)["api"]
    op.execute(f"revoke select on audit from {api}")  # noqa: S608 - a name of our own settings
    op.execute(f"grant select (id) on audit to {api}")  # of the row just added


def close_parked(op: Operations | Any) -> None:
    """Requests see what could not be handled or sent, bodies of events and all, for the platform only."""
    for table in ("parked", "waiting", "outbox_dead"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy platform on {table} to {roles(op)['api']} "
            "using (current_setting('tandem.tenant', true) = 'platform')"
        )
        op.execute(f"create policy everything on {table} to {roles(op)['worker']} using (true)")


def secure(op: Operations | Any, table: str, *, api: str = "select, insert, update, delete", **tenants: str) -> None:
    """Row-level security for a table of tenants' rows, and its grants.

    `tenants` names the columns: `secure(op, "wallets", partner="partner_id")`. Requests see a row
    when they act for the platform, or when one of the columns is their tenant's id. Consumers and
    jobs see all rows. The owner, who only migrates, is not held by the policies.
    """
    own = " or ".join(
        f"current_setting('tandem.tenant', true) = '{kind}/' || {column}::text" for kind, column in tenants.items()
    )
    op.execute(f"alter table {table} enable row level security")
    op.execute(
        f"create policy tenant on {table} to {roles(op)['api']} "
        f"using (current_setting('tandem.tenant', true) = 'platform' or {own or 'false'})"
    )
    op.execute(f"create policy everything on {table} to {roles(op)['worker']} using (true)")
    open_table(op, table, api=api)


def open_table(op: Operations | Any, table: str, *, api: str = "select, insert, update, delete") -> None:
    """Grants for a table; by itself only for tables whose rows belong to no tenant."""
    op.execute(f"grant {api} on {table} to {roles(op)['api']}")
    op.execute(f"grant select, insert, update, delete on {table} to {roles(op)['worker']}")
    op.execute(f"grant usage, select on all sequences in schema public to {', '.join(roles(op).values())}")


def create_test_clocks(op: Operations | Any) -> None:
    """Make the table of `kit.testclock`, for a service whose matters follow a tenant's time."""
    op.create_table(
        "test_clocks",
        sa.Column("tenant_id", sa.Uuid, primary_key=True),
        sa.Column("tenant_kind", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    )
    open_table(op, "test_clocks", api="select, insert, update")


def index_concurrently(op: Operations | Any, *statements: str) -> None:
    """Make indexes that are missing while everybody works on, each in a transaction of its own.

    index_concurrently(op, "create index ix_people_email on people (email)")

    An attempt that was broken off leaves an invalid one behind, which is made anew.
    """
    with op.get_context().autocommit_block():
        for statement in statements:
            create, index, rest = re.split(r"(\bindex )", statement, maxsplit=1, flags=re.IGNORECASE)
            name = rest.split()[0]
            look = text("select indisvalid from pg_index where indexrelid = to_regclass(:n)")
            valid = op.get_bind().scalar(look, {"n": name})
            if valid is False:
                op.execute(f"drop index concurrently {name}")
            if not valid:
                op.execute(f"{create}{index}concurrently {rest}")


def refuse_waiting_for_locks(op: Operations | Any) -> None:
    """Fail after three seconds instead of queueing everybody behind this migration."""
    op.execute("set local lock_timeout = '3s'")
