"""Waking those who wait for an outcome: NOTIFY in the deciding transaction, one LISTEN a process."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

CHANNEL = "outcome"
log = structlog.get_logger()


async def notify(db: AsyncSession, *keys: str) -> None:
    """Wake whoever waits for these keys, when this transaction commits."""
    if keys:
        await db.execute(
            text("select pg_notify(:c, k) from unnest(cast(:keys as text[])) as k"),
            {"c": CHANNEL, "keys": list(keys)},
        )


class Outcomes:
    """The waiters of one process. A missed wake-up costs a waiter its patience, never the truth:
    it reads the row again when its time is over."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._waiters: dict[str, set[asyncio.Event]] = defaultdict(set)

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is made anew."""
        while True:
            lost = asyncio.Event()
            try:
                connection = await asyncpg.connect(self._url, timeout=10)
            except (OSError, asyncpg.PostgresError, TimeoutError) as error:
                log.warning("outcomes_unreachable", error=str(error))
                await asyncio.sleep(1)
                continue
            try:
                connection.add_termination_listener(lambda *_, lost=lost: lost.set())
                await connection.add_listener(CHANNEL, lambda _c, _pid, _ch, key: self._wake(key))
                await lost.wait()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                log.warning("outcomes_lost", error=str(error))
            finally:
                connection.terminate()

    def _wake(self, key: object) -> None:
        for waiter in self._waiters.get(str(key), ()):
            waiter.set()

    @contextlib.contextmanager
    def expect(self, key: str) -> Iterator[asyncio.Event]:
        """Start listening for a key; enter before the commit that may cause it, so nothing is missed."""
        waiter = asyncio.Event()
        self._waiters[key].add(waiter)
        try:
            yield waiter
        finally:
            self._waiters[key].discard(waiter)
            if not self._waiters[key]:
                del self._waiters[key]

    async def wait(self, key: str, timeout_s: float) -> bool:
        """Whether the key was announced within the time."""
        with self.expect(key) as waiter:
            try:
                await asyncio.wait_for(waiter.wait(), timeout_s)
            except TimeoutError:
                return False
            return True
