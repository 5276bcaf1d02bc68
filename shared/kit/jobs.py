"""Timed work: each job runs in one transaction, on one replica at a time, at once again while it finds work."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from prometheus_client import Counter
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from kit import clock

log = structlog.get_logger()

RUNS = Counter("tandem_job_runs", "Rounds of timed work that ended well, empty ones too", ["name"])
FAILURES = Counter("tandem_job_failures", "Rounds of timed work that failed", ["name"])


@dataclass(frozen=True)
class Job:
    """Work that falls due by the clock. `run` returns how much it did; more than nothing means: again."""

    name: str
    every_s: float
    run: Callable[[AsyncSession, datetime], Awaitable[int]]

    async def once(self, sessions: async_sessionmaker[AsyncSession], now: datetime) -> int:
        """One round. Does nothing where another replica is at it."""
        async with sessions.begin() as db:
            free = await db.scalar(
                text("select pg_try_advisory_xact_lock(hashtextextended(:n, 0))"), {"n": f"job:{self.name}"}
            )
            return await self.run(db, now) if free else 0

    async def loop(self, sessions: async_sessionmaker[AsyncSession], woken: asyncio.Event | None = None) -> None:
        """Run until cancelled, at once when `woken`. A failure is logged, counted and tried again at the next round."""
        FAILURES.labels(self.name)  # so that it is there at zero, and its first increase is one
        woken = woken or asyncio.Event()
        while True:
            woken.clear()
            try:
                found = await self.once(sessions, clock.now())
                RUNS.labels(self.name).inc()
                if found:
                    continue
            except (SQLAlchemyError, OSError) as error:
                FAILURES.labels(self.name).inc()
                log.warning("job_failed", job=self.name, error=str(error)[:500])
            except Exception:
                FAILURES.labels(self.name).inc()
                log.exception("job_failed", job=self.name)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), self.every_s)


def every(*, seconds: float) -> Callable[[Callable[[AsyncSession, datetime], Awaitable[int]]], Job]:
    """Declare a job: `async def expire(db, now) -> int`."""

    def declare(run: Callable[[AsyncSession, datetime], Awaitable[int]]) -> Job:
        return Job(run.__name__, seconds, run)

    return declare
