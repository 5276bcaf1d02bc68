"""Whatever the order, however often, and with an emptied memory: it ends alike, with the same mail."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from kit import clock
from kit.inbox import is_infrastructure
from kit.testing import Migrated, Running
from schemas.event import Event, uuid7
from services.academy.tests.world import (
    CLASSROOM,
    CLASSROOM_ID,
    COURSE,
    PARTNER,
    cancelled,
    completed,
    confirmed,
    erased,
    person,
)

OPEN, CANCELLED, DONE, TAUGHT, NO_PAPER, GONE = (uuid7() for _ in range(6))
"""Enrollments, by what becomes of them; `GONE` is of somebody who is erased."""
ERASED_ID = uuid7()

STORY: list[Event] = [
    PARTNER,
    COURSE,
    CLASSROOM,
    person(),
    person(ERASED_ID),
    erased(ERASED_ID),
    confirmed(OPEN),
    confirmed(CANCELLED),
    cancelled(CANCELLED),
    confirmed(DONE),
    completed(DONE),
    confirmed(TAUGHT, course_id=CLASSROOM_ID),
    completed(TAUGHT, course_id=CLASSROOM_ID),
    confirmed(NO_PAPER),
    completed(NO_PAPER, certificate=False),
    completed(GONE, person_id=ERASED_ID),
]

LEARNINGS = "select enrollment_id, opened_at, completed_at, closed_at from learnings order by 1"
CERTIFICATES = """
    select enrollment_id, person_id, course_id, partner_id, customer_id, name, course_title, completed_on, issuer,
    language, revoked_at from certificates order by 1
"""
COPIES = """
    select p.*, g.role, g.status as granted from people p join grants g on g.tenant_id = p.customer_id
    order by p.id, g.role
"""
MAILS = "select recipient, subject, matter, event from mail where matter <> :gone order by matter"


async def end_state(academy: Running) -> list[Any]:
    """Everything but numbers, new ids, and a mail to somebody who was erased only afterwards."""
    return [
        await academy.rows(LEARNINGS),
        await academy.rows(CERTIFICATES),
        await academy.rows(COPIES),
        await academy.rows(MAILS, gone=f"enrollment/{GONE}"),
        await academy.parked(),
        await academy.rows("select * from waiting"),
    ]


async def told(migrated: Migrated, batches: list[list[Event]]) -> list[Any]:
    async with migrated.running() as academy:
        for batch in batches:
            await academy.deliver(*batch)
        return await end_state(academy)


@pytest.fixture(scope="session")
async def as_it_happened(migrated: Migrated) -> list[Any]:
    return await told(migrated, [[event] for event in STORY])


async def test_the_story_ends_as_expected(as_it_happened: list[Any]) -> None:
    learnings, certificates, _, mails, parked, waiting = as_it_happened

    states = {
        row["enrollment_id"]: [n for n in ("opened_at", "completed_at", "closed_at") if row[n]] for row in learnings
    }
    assert states == {
        OPEN: ["opened_at"],
        CANCELLED: ["opened_at", "closed_at"],
        DONE: ["opened_at", "completed_at"],
        TAUGHT: ["opened_at", "completed_at"],
        NO_PAPER: ["opened_at", "completed_at"],
        GONE: ["completed_at"],
    }
    names = {row["enrollment_id"]: row["name"] for row in certificates}
    assert names == {DONE: "Pia Participant", TAUGHT: "Pia Participant", GONE: None}
    assert [row["matter"] for row in mails] == [f"enrollment/{DONE}", f"enrollment/{TAUGHT}"]
    assert (parked, waiting) == ([], [])


orders = st.lists(st.sampled_from(STORY), max_size=10).flatmap(lambda again: st.permutations([*STORY, *again]))


@settings(max_examples=15, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(orders, st.integers(1, 6))
async def test_every_order_with_repetitions_ends_alike(
    migrated: Migrated, as_it_happened: list[Any], order: list[Event], size: int
) -> None:
    batches = [order[at : at + size] for at in range(0, len(order), size)]

    assert await told(migrated, batches) == as_it_happened


async def as_a_consumer_does(academy: Running, batch: list[Event]) -> None:
    """A batch that meets a dead-lock comes again."""
    for _ in range(len(STORY)):
        try:
            return await academy.deliver(*batch)
        except DBAPIError as error:
            if not is_infrastructure(error):
                raise
    raise AssertionError("for ever in each other's way")


@settings(max_examples=8, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(orders, st.integers(2, 5))
async def test_told_by_several_consumers_at_once_it_ends_alike(
    migrated: Migrated, as_it_happened: list[Any], order: list[Event], size: int
) -> None:
    """Each batch in a transaction of its own, all at the same time, as after a rebalance behind running handlers."""
    batches = [order[at : at + size] for at in range(0, len(order), size)]
    async with migrated.running() as academy:
        await asyncio.gather(*(as_a_consumer_does(academy, batch) for batch in batches))
        later = clock.now() + timedelta(minutes=1)
        await academy.service.inbox.look_again(later)  # what came in one transaction while another missed it

        assert await end_state(academy) == as_it_happened


async def test_everything_again_to_an_emptied_inbox_changes_nothing_and_sends_no_mail(migrated: Migrated) -> None:
    async with migrated.running() as academy:
        await academy.deliver(*STORY)
        tables = ("learnings", "certificates", "people", "courses", "known_partners", "grants", "mail", "outbox")

        async def everything() -> list[Any]:
            return [await academy.rows(f"select * from {table} order by 1") for table in tables]

        before = await everything()
        await academy.empty_inbox()
        await academy.deliver(*STORY)
        await academy.empty_inbox()
        await academy.deliver(*reversed(STORY))

        assert await everything() == before


async def test_two_workers_at_once_issue_one_certificate(migrated: Migrated) -> None:
    async with migrated.running() as academy:
        await academy.deliver(PARTNER, COURSE, person())
        first, second = completed(DONE), completed(DONE)  # one fact, announced twice

        await asyncio.gather(academy.deliver(first), academy.deliver(second))

        assert await academy.value("select count(*) from certificates") == 1
        assert await academy.value("select count(*) from outbox where topic = 'certificate.issued'") == 1
        assert await academy.value("select count(*) from mail") == 1
        assert await academy.parked() == []
