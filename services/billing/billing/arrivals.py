"""Between looking for what has not come yet and waiting for it, nothing may come.

A consumer that misses a wallet or a customer says so and waits; another one may be writing it down at that
very moment, and would wake nobody. So who misses something takes the lock alone and looks again, and
who brings something shares it.
"""

from sqlalchemy import text

from kit.db import Session

WALLETS = 748_301
ORGANISATIONS = 748_302


async def bring(db: Session, what: int) -> None:
    """Held by who brings, to the end of the transaction; many may bring at once."""
    await db.execute(text("select pg_advisory_xact_lock_shared(:what)"), {"what": what})


async def nothing_comes(db: Session, what: int) -> None:
    """Held by who misses something, to the end of the transaction: look again after this."""
    await db.execute(text("select pg_advisory_xact_lock(:what)"), {"what": what})
