"""The database: one engine a role, sessions that announce, and set-based helpers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import MetaData, Table, event
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, SessionTransaction
from sqlalchemy.orm import Session as SyncSession

from kit.settings import ServiceSettings
from schemas.event import uuid7

__all__ = ["Base", "Database", "Session", "metadata", "upsert_newer", "uuid7"]

Session = AsyncSession

SETTINGS = "kit.settings"
"""Where a session's `info` holds the service's settings, for what needs the service's own address."""

REBUILDING = "kit.rebuilding"
"""Marks, in its `info`, a session that only rebuilds copies; see `is_rebuilding`."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Base(DeclarativeBase):
    """The base of every mapped class; its metadata also holds the kit's own tables."""

    metadata = metadata


class AnnouncingSession(SyncSession):
    """A session that writes its outbox rows as the last statements before the commit.

    Events take their place in the outbox only after the rows they speak of are written and locked,
    so that for one aggregate the order of the outbox is the order of the commits.
    """


@event.listens_for(AnnouncingSession, "before_commit")
def _announce(session: SyncSession) -> None:
    from kit.outbox import write_collected

    write_collected(session)


@event.listens_for(AnnouncingSession, "after_transaction_create")
def _mark(session: SyncSession, transaction: SessionTransaction) -> None:
    from kit.outbox import mark

    if transaction.nested:
        mark(session, transaction)


@event.listens_for(AnnouncingSession, "after_soft_rollback")
def _unannounce(session: SyncSession, transaction: SessionTransaction) -> None:
    from kit.outbox import forget_collected

    forget_collected(session, transaction)


def asyncpg_url(url: str) -> str:
    """The URL with the driver named, as SQLAlchemy wants it."""
    return "postgresql+asyncpg://" + url.split("://", 1)[1]


def _engine(url: str, name: str, pool: int, **server: str) -> AsyncEngine:
    engine = create_async_engine(
        asyncpg_url(url),
        pool_size=pool,
        max_overflow=0,
        pool_timeout=10,
        pool_recycle=1800,
        hide_parameters=True,  # what people sent does not belong into a log
        connect_args={"server_settings": {"application_name": name, "jit": "off", **server}, "timeout": 10},
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """A connection that the server has closed meanwhile is replaced; asyncpg knows without asking."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("closed by the server")


def _sessions(engine: AsyncEngine, settings: ServiceSettings, **more: Any) -> async_sessionmaker[AsyncSession]:
    info = {SETTINGS: settings, **more}
    return async_sessionmaker(engine, expire_on_commit=False, sync_session_class=AnnouncingSession, info=info)


def is_rebuilding(db: AsyncSession) -> bool:
    """Whether the session rebuilds copies from facts that were all handled before: it announces nothing, mails
    nothing and wakes nobody, and a copy of the same version is written once more."""
    return bool(db.sync_session.info.get(REBUILDING))


class Database:
    """The two roles a running service uses: `api` for requests, `worker` for everything else."""

    def __init__(self, settings: ServiceSettings, name: str) -> None:
        # Requests that wait for one row hold a connection each: without an end, a few would hold them all.
        lock_wait = f"{settings.lock_wait_max_s * 1000:.0f}ms"
        self.api_engine = _engine(
            settings.database_url, f"{name}-api", settings.database_pool_max, lock_timeout=lock_wait
        )
        self.worker_engine = _engine(settings.worker_database_url, f"{name}-worker", 8)
        self.api = _sessions(self.api_engine, settings)
        self.worker = _sessions(self.worker_engine, settings)
        self.rebuilding = _sessions(self.worker_engine, settings, **{REBUILDING: True})

    async def close(self) -> None:
        await self.api_engine.dispose()
        await self.worker_engine.dispose()


async def upsert_newer(
    db: AsyncSession,
    table: type[Base] | Table,
    rows: Sequence[Mapping[str, Any]],
    key: str = "id",
    otherwise: Callable[[Any], Mapping[str, Any]] | None = None,
) -> list[UUID]:
    """Keep local copies of state facts: insert, or replace where the version is higher.

    One statement however many rows; of several versions of one key the highest is taken. Every row
    needs the key and `version`. Of the new row's columns `otherwise` makes what a replaced row gets in their
    place. Returns the keys that changed.
    """
    newest: dict[Any, Mapping[str, Any]] = {}
    for row in rows:
        held = newest.get(row[key])
        if held is None or row["version"] > held["version"]:
            newest[row[key]] = row
    if not newest:
        return []
    target: Table = table if isinstance(table, Table) else table.__table__  # type: ignore[assignment]
    # In key order, so that two transactions over the same rows wait for each other instead of dead-locking.
    ordered = [dict(newest[k]) for k in sorted(newest, key=str)]
    new = insert(target)
    before, after = target.c.version, new.excluded.version
    statement = new.on_conflict_do_update(
        index_elements=[target.c[key]],
        set_={name: new.excluded[name] for name in ordered[0] if name != key}
        | dict(otherwise(new.excluded) if otherwise else {}),
        where=before <= after if is_rebuilding(db) else before < after,
    ).returning(target.c[key])
    return list((await db.execute(statement, ordered)).scalars())
