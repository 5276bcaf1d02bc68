"""Migrations on real PostgreSQL."""

import asyncio
from pathlib import Path

import asyncpg

from kit import migrations
from shared.tests.sample import settings
from stack.parts import Parts

MIGRATION = """
from alembic import op
revision, down_revision = "{revision}", {before}
def upgrade():
    op.execute("create table held_{revision} as select count(*) as n from pg_locks"
               " where locktype = 'advisory' and pid = pg_backend_pid()")
"""


async def test_who_migrates_holds_off_others_until_the_last_migration(parts: Parts, tmp_path: Path) -> None:
    urls = parts.database("sample", "tandem_migrations")
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text("from kit.migrations import run_env\nrun_env()\n")
    for revision, before in (("0001", None), ("0002", "0001")):
        code = MIGRATION.format(revision=revision, before=repr(before))
        (tmp_path / "versions" / f"{revision}.py").write_text(code)

    await asyncio.to_thread(migrations.upgrade, tmp_path, settings(urls))

    owner = await asyncpg.connect(urls.owner)
    try:
        assert [await owner.fetchval(f"select n from held_{revision}") for revision in ("0001", "0002")] == [1, 1]
        assert await owner.fetchval("select count(*) from pg_locks where locktype = 'advisory'") == 0
    finally:
        await owner.close()


KIT = """
from alembic import op
from kit import migrations
revision, down_revision = "{revision}", {before}
def upgrade():
    {code}
"""


async def test_an_older_database_gets_the_indexes_that_the_kit_has_meanwhile(parts: Parts, tmp_path: Path) -> None:
    urls = parts.database("sample", "tandem_kit_indexes")
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text("from kit.migrations import run_env\nrun_env()\n")
    older = 'migrations.create_kit_tables(op); op.execute("drop index ix_mail_to_blank, ix_parked_key")'
    for revision, before, code in (("0001", None, older), ("0002", "0001", "migrations.add_kit_indexes(op)")):
        written = KIT.format(revision=revision, before=repr(before), code=code)
        (tmp_path / "versions" / f"{revision}.py").write_text(written)

    await asyncio.to_thread(migrations.upgrade, tmp_path, settings(urls))

    owner = await asyncpg.connect(urls.owner)
    try:
        made = "select count(*) from pg_index where indisvalid and indexrelid::regclass::text = any($1)"
        assert await owner.fetchval(made, ["ix_mail_to_blank", "ix_parked_key"]) == 2
        assert await owner.fetchval("select version_num from alembic_version") == "0002"
    finally:
        await owner.close()
