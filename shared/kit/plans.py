"""Helpers for tests and benchmarks of tables that have grown: fill them, and see which statements read them whole.

Nothing of a running service needs this.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import asyncpg
from sqlalchemy.event import listen, remove

from kit.service import Service

_AGO = "now() - (n + 60) * interval '5 seconds'"
_RECORD = "'sample', 0, n, ('key' || n)::bytea, 'value', '{}', uuidv7()"
_OVER = "n % 100 <> 0"
KIT_TABLES = {
    "inbox": ("consumer, event_id, at", f"$2::text, uuidv7(), {_AGO}"),
    "outbox": ("topic, key, payload, headers", "'sample', 'key', 'value', '{}'"),
    "outbox_dead": ("id, topic, key, headers, created_at, reason", f"-n, 'sample', 'key', '{{}}', {_AGO}, 'too large'"),
    "parked": (
        'consumer, topic, partition, "offset", key, value, headers, event_id, state, reason, error, next_at',
        f"$2::text, {_RECORD}, case when {_OVER} then 'dead' else 'due' end, 'ValueError', 'bad',"
        " now() + interval '1 hour'",
    ),
    "waiting": (
        'consumer, topic, partition, "offset", key, value, headers, event_id, awaited, looked_at, until',
        f"$2::text, {_RECORD}, 'enrollment/' || n, now() + interval '1 hour', now() + interval '1 day'",
    ),
    "mail": (
        "id, recipient, subject, text, matter, event, state, created_at, next_at, sent_at",
        "uuidv7(), 'p' || lpad(n::text, 8, '0') || '@people.example', case when n < 300000 then 'News' else '' end,"
        " case when n < 300000 then 'A text.' else '' end, 'enrollment/' || n, 'enrollment.confirmed',"
        f" case when {_OVER} then 'sent' else 'queued' end, {_AGO}, {_AGO}, case when {_OVER} then {_AGO} end",
    ),
    "once": (
        "id, request, body_hash, status, resource, created_at",
        f"gen_random_uuid(), 'POST /v1/sample', 'hash', 201, n::text, {_AGO}",
    ),
    "links": (
        "id, purpose, matter_id, version, recipient, tenant, language, created_at, expires_at, used_at",
        "uuidv7(), 'approval', gen_random_uuid(), 1, 'p@people.example', 'platform', 'en',"
        f" {_AGO}, {_AGO} + interval '14 days', case when {_OVER} then {_AGO} end",
    ),
    "audit": ("at, actor, action, subject", f"{_AGO}, 'user:somebody', 'sample.done', 'sample/' || n"),
}
"""The kit's tables that grow: columns, and the values of row n of consumer $2; five seconds apart, back from now."""


async def grow(service: Service, rows: int, *tables: str) -> None:
    """Fill tables of the kit (all of `KIT_TABLES` unless named) as years do: nearly all is over, a hundredth is not."""
    async with _owner(service) as db:
        for table in tables or KIT_TABLES:
            columns, values = KIT_TABLES[table]
            async with _filled(db, table, rows):
                await db.execute(
                    f"insert into {table} ({columns}) select {values} from generate_series(1, $1::int) n"  # noqa: S608
                    " where $2::text <> ''",
                    rows,
                    service.group,
                )


async def multiply(service: Service, table: str, rows: int, where: str = "true", **changed: str) -> None:
    """Add so many copies of a row; `changed` says by column, in SQL over `n`, what differs. Triggers are off meanwhile.

    multiply(service, "people", 1000, id="uuidv7()", email="'p' || n || '@people.example'")
    """
    async with _owner(service) as db:
        columns = await db.fetch(
            "select attname from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped", table
        )
        names = [row["attname"] for row in columns]
        values = ", ".join(changed.get(name, f'first."{name}"') for name in names)
        async with _filled(db, table, rows):
            added = await db.execute(
                f"insert into {table} select {values}"  # noqa: S608 - names of ours
                f" from (select * from {table} where {where} limit 1) first, generate_series(1, {rows}) n"
            )
    if added != f"INSERT 0 {rows}":
        raise LookupError(f"{table} has no row to copy where {where}")


@contextlib.asynccontextmanager
async def _filled(db: Any, table: str, rows: int) -> Any:
    """Without triggers, and for very many rows without the indexes that can be made again: that is much faster."""
    await db.execute(f"alter table {table} disable trigger user")
    later = await db.fetch(
        "select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as made from pg_index"
        " where indrelid = $1::regclass and $2 and not exists (select from pg_constraint where conindid = indexrelid)",
        table,
        rows > 200_000,
    )
    for index in later:
        await db.execute(f"drop index {index['name']}")
    yield
    for index in later:
        await db.execute(index["made"])
    await db.execute(f"alter table {table} enable trigger user")
    await db.execute(f"vacuum analyze {table}")


@contextlib.asynccontextmanager
async def _owner(service: Service) -> Any:
    db = await asyncpg.connect(service.settings.owner_database_url, command_timeout=3600)
    try:
        await db.execute("set synchronous_commit = off")
        yield db
    finally:
        await db.close()


@contextlib.contextmanager
def whole_reads(service: Service, *large: str, rows_max: int = 10_000) -> Iterator[list[str]]:
    """Collects the statements of the block that read one of these tables from end to end; meant to stay empty.

    Each is explained as it is sent, with its parameters and as its role; and once more by the plan that the
    server keeps for any parameters. A query is run for that: it may look at `rows_max` rows and no more. A change
    is only planned: it may read no table whole.
    """
    found: list[str] = []

    def explain(connection: Any, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        kind = statement.split(None, 1)[0].lower()
        if kind not in ("select", "insert", "update", "delete", "with"):
            return
        options = "analyze, timing off, format json" if kind == "select" else "format json"
        asking = connection.connection.cursor()
        for mode in ("force_custom_plan", "force_generic_plan"):
            asking.execute(f"set local plan_cache_mode = {mode}")
            asking.execute(
                f"explain ({options}) {statement}", parameters[0] if isinstance(parameters, list) else parameters
            )
            ((plan,),) = asking.fetchall()
            found.extend(
                f"{reads} of {table}, {mode}: {' '.join(statement.split())}"
                for table, reads in _read(plan[0]["Plan"])
                if table in large and reads > rows_max
            )
        asking.execute("set local plan_cache_mode = auto")
        asking.close()

    engines = [engine.sync_engine for engine in (service.database.api_engine, service.database.worker_engine)]
    for engine in engines:
        listen(engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        for engine in engines:
            remove(engine, "before_cursor_execute", explain)


def _read(plan: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """How many rows of which table a plan looks at; where it was not run, infinity for a table read whole."""
    if table := plan.get("Relation Name"):
        if "Actual Loops" in plan:
            seen = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
            yield table, seen * plan["Actual Loops"]
        elif plan["Node Type"] == "Seq Scan":
            yield table, math.inf
    for below in plan.get("Plans", ()):
        yield from _read(below)
