"""The night in which many services end: set-based, with progress, exactly once over crashes, leaps and replicas."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from contracts.terminations import endings
from kit.jobs import Job
from kit.testing import Running
from schemas.contract import ContractTerminated
from schemas.deal import SubscriptionEnded
from services.contracts.tests.leaving import Leaving
from tests.scheduled import SCHEDULED

MANY = 2_300
LAST_DAY = date(2026, 6, 30)
MIDNIGHT = datetime(2026, 6, 30, 22, tzinfo=UTC)  # the end of that day in Amsterdam


@pytest.fixture
async def leaving(contracts: Running) -> Leaving:
    return await Leaving(contracts).begin("2026-06-30T12:00:00Z")


async def scheduled(leaving: Leaving, number: int, last_day: date = LAST_DAY) -> None:
    async with leaving.running.db() as db:
        for statement in SCHEDULED:
            wanted = {"n": number, "customer_id": UUID(leaving.customer_id), "last_day": last_day}
            named = {name: value for name, value in wanted.items() if f":{name}" in statement}
            await db.execute(text(statement), named)


async def states(leaving: Leaving) -> dict[str, int]:
    rows = await leaving.running.rows("select state, count(*) as n from terminations group by state")
    return {row["state"]: row["n"] for row in rows}


async def check_exactly_once(leaving: Leaving, number: int) -> None:
    """Every service ended, with one fact, one step and one line of audit each."""
    assert await states(leaving) == {"ended": number}
    told = await leaving.running.published(ContractTerminated)
    assert len({e.termination_id for e in told}) == len(told) == number
    one_each: dict[str, Any] = {
        "steps": "select count(*) from termination_steps where step = 'ended'",
        "audit": "select count(*) from audit where action = 'termination.ended'",
        "contracts": "select count(*) from service_contracts where state = 'ended' and last_day = '2026-06-30'",
    }
    assert {name: await leaving.running.value(sql) for name, sql in one_each.items()} == dict.fromkeys(one_each, number)


async def test_a_long_night_goes_in_batches_and_shows_how_far_it_is(leaving: Leaving) -> None:
    await scheduled(leaving, MANY)
    before = await leaving.running.run_job("end_services")
    await leaving.at("2026-06-30T22:00:00Z", run=False)

    moved, progress = [], []
    while True:
        moved.append(await leaving.running.run_job("end_services"))
        [night] = (await leaving.running.get("/v1/termination-nights")).json()["items"]
        progress.append((night["due"], night["ended"], night["finished_at"] is not None))
        if not moved[-1]:
            break

    assert before == 0
    assert moved == [1000, 1000, 300, 0]
    assert progress == [(MANY, 1000, False), (MANY, 2000, False), (MANY, MANY, False), (MANY, MANY, True)]
    await check_exactly_once(leaving, MANY)


async def test_a_crash_in_the_middle_of_a_batch_loses_batch_and_progress_together(
    leaving: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scheduled(leaving, MANY)
    await leaving.at("2026-06-30T22:00:00Z", run=False)
    await leaving.running.run_job("end_services")
    ending = endings.end_contracts

    async def dies(*args: Any, **more: Any) -> None:
        await ending(*args, **more)
        raise ConnectionError("the process is gone")

    monkeypatch.setattr(endings, "end_contracts", dies)
    with pytest.raises(ConnectionError):
        await leaving.running.run_job("end_services")
    monkeypatch.undo()
    assert await states(leaving) == {"ended": 1000, "scheduled": MANY - 1000}

    await leaving.work()

    await check_exactly_once(leaving, MANY)
    [night] = (await leaving.running.get("/v1/termination-nights")).json()["items"]
    assert (night["due"], night["ended"]) == (MANY, MANY)


async def test_replicas_without_the_jobs_lock_share_the_night_and_end_nothing_twice(leaving: Leaving) -> None:
    await scheduled(leaving, MANY)
    await leaving.at("2026-06-30T22:00:00Z", run=False)
    first = Job("first", 1, endings.end_due)
    second = Job("second", 1, endings.end_due)
    sessions = leaving.running.service.database.worker
    await first.once(sessions, MIDNIGHT)  # which begins the night

    async def work(job: Job) -> None:
        while await job.once(sessions, MIDNIGHT):
            pass

    await asyncio.gather(work(first), work(second))
    await leaving.work()

    await check_exactly_once(leaving, MANY)


async def test_a_leap_of_the_clock_ends_services_on_their_own_last_days(leaving: Leaving) -> None:
    for days in (0, 1, 40):
        await scheduled(leaving, 5, LAST_DAY + timedelta(days=days))

    await leaving.at("2027-01-01T00:00:00Z")

    told = await leaving.running.published(ContractTerminated)
    assert sorted({str(e.last_day) for e in told}) == ["2026-06-30", "2026-07-01", "2026-08-09"]
    assert len(told) == 15


async def test_a_subscription_that_ends_closes_its_customer(leaving: Leaving) -> None:
    contract = await leaving.service("2025-08-01")
    await leaving.running.value("update service_contracts set kind = 'subscription' returning 1")
    (termination,) = await leaving.requested(contract)
    await leaving.press((await leaving.links())[0], "approve")
    await leaving.at("2026-08-01T00:00:00Z")

    [told] = await leaving.running.published(SubscriptionEnded)
    assert (str(told.contract_id), str(told.last_day)) == (contract, "2026-07-31")
    assert (await leaving.shown(termination))["state"] == "ended"
