"""A tenant's time: the wall clock's, or that of its test clock.

So that integrators run a contract of 24 months in a second. Contracts keeps the clocks, one for a partner,
whose customers follow it, or for a customer without a partner, and announces where each stands; a service
whose matters follow a tenant's time says so in its settings (`follows_tenants_time`), has the table
(`kit.migrations.create_test_clocks`), lists `on_clock_changed` among its handlers, and asks here. A clock
stands still until it is advanced, and never goes back.

It works only where the setting `TEST_CLOCKS` is on. Elsewhere nothing here looks at the table, so that
whatever may stand in it has no effect.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    MetaData,
    Table,
    Text,
    Uuid,
    and_,
    func,
    literal,
    select,
)
from sqlalchemy.ext.asyncio import async_sessionmaker

from kit.db import SETTINGS, Session, upsert_newer
from kit.inbox import batches
from kit.settings import ServiceSettings
from schemas.clock import ClockChanged

table = Table(
    "test_clocks",
    MetaData(),  # of its own: only the services that follow their tenants' time have it
    Column("tenant_id", Uuid, primary_key=True),
    Column("tenant_kind", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
)
"""Where each clock stands; made by `kit.migrations.create_test_clocks`."""

LOOK_S = 0.2


def on(db: Session) -> bool:
    """Whether tenants may have a time of their own here."""
    settings: ServiceSettings = db.info[SETTINGS]
    return settings.test_clocks and settings.follows_tenants_time


async def time_of(
    db: Session, now: datetime, *, partner_id: UUID | None = None, customer_id: UUID | None = None
) -> datetime:
    """The time of a tenant: of a partner, or of a customer, whose partner must be given where it has one."""
    if not on(db):
        return now
    standing: datetime | None = await db.scalar(
        select(table.c.time).where(table.c.tenant_id == (partner_id or customer_id))
    )
    return standing or now


async def time_of_tenant(
    db: Session,
    now: datetime,
    tenant: str,
    partner_of_customer: Callable[[Session, UUID], Awaitable[UUID | None]] | None,
) -> datetime:
    """The time of a tenant named as `partner/<id>` or `customer/<id>`; of any other, `now`."""
    kind, _, tenant_id = tenant.partition("/")
    if not on(db) or kind not in ("partner", "customer"):
        return now
    if kind == "partner":
        return await time_of(db, now, partner_id=UUID(tenant_id))
    partner_id = await partner_of_customer(db, UUID(tenant_id)) if partner_of_customer else None
    return await time_of(db, now, partner_id=partner_id, customer_id=UUID(tenant_id))


def time(db: Session, now: datetime, *, partner: Any = None, customer: Any = None) -> ColumnElement[datetime]:
    """The time of each row's tenant, for SQL; `partner` and `customer` are the row's columns."""
    wall = literal(now, DateTime(timezone=True))
    if not on(db):
        return wall
    tenant = func.coalesce(*(column for column in (partner, customer) if column is not None))
    standing = select(table.c.time).where(table.c.tenant_id == tenant).scalar_subquery()
    return func.coalesce(standing, wall)


def due(db: Session, column: Any, now: datetime, *, partner: Any = None, customer: Any = None) -> ColumnElement[bool]:
    """Whether a row's moment `column` has come by the time of the row's tenant.

    The first half lets an index on `column` be used; without test clocks it is all there is.
    """
    wall = literal(now, DateTime(timezone=True))
    if not on(db):
        return column <= wall  # type: ignore[no-any-return]
    latest = func.greatest(wall, select(func.max(table.c.time)).scalar_subquery())
    return and_(column <= latest, column <= time(db, now, partner=partner, customer=customer))


@batches(ClockChanged)
async def on_clock_changed(db: Session, events: Sequence[ClockChanged]) -> None:
    """Follow the test clocks; where they are off, none is taken over."""
    if on(db):
        rows = [{column.name: getattr(e, column.name) for column in table.c} for e in events]
        await upsert_newer(db, table, rows, key="tenant_id")


async def watch(sessions: async_sessionmaker[Session], rounds: Sequence[asyncio.Event]) -> None:
    """Begin the jobs' next rounds whenever a clock has moved, so that nobody waits for them."""
    seen: Any = None
    while True:
        async with sessions() as db:
            found = await db.scalar(select(func.coalesce(func.sum(table.c.version), 0)))
        if seen is not None and found != seen:
            for wanted in rounds:
                wanted.set()
        seen = found
        await asyncio.sleep(LOOK_S)
