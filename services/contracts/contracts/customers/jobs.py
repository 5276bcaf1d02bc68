"""What becomes of customers by the clock, each by its own tenant's time."""

from datetime import datetime

from contracts.customers.usecases import end_trials, renew_subscriptions, warn_of_trials
from kit.db import Session
from kit.jobs import every


@every(seconds=30)
async def end_trials_that_are_over(db: Session, now: datetime) -> int:
    """Close the customers whose trial is over without a subscription."""
    return await end_trials(db, now)


@every(seconds=60)
async def warn_of_trials_that_end(db: Session, now: datetime) -> int:
    """Ask for attention where a trial ends within seven days."""
    return await warn_of_trials(db, now)


@every(seconds=60)
async def renew_subscriptions_that_run_on(db: Session, now: datetime) -> int:
    """Show the next renewal where one has passed."""
    return await renew_subscriptions(db, now)
