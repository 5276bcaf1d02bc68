"""What begins by the clock: a month's invoice, on its first day."""

from datetime import datetime

from billing.subscriptions.usecases import settle_due
from kit.db import Session
from kit.jobs import every

CONTRACTS_A_ROUND = 200


@every(seconds=60)
async def invoice_months(db: Session, now: datetime) -> int:
    """Invoice the months that begin."""
    return await settle_due(db, now, CONTRACTS_A_ROUND)
