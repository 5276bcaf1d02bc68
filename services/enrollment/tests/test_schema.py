"""The migrations make what the rows say."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from kit.db import metadata
from kit.testing import Running


async def test_a_migrated_database_has_exactly_the_tables_of_the_rows(running: Running) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with running.service.database.worker_engine.connect() as connection:
        found = await connection.run_sync(differences)

    assert found == []
