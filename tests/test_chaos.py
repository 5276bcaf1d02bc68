"""The short form of `make chaos`, and the proof that its checker sees what it is there to see."""

import asyncio
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from chaos.checker import Checker, Claim
from chaos.load import World
from chaos.run import perform
from chaos.stage import Stage, staged
from kit.testing import eventually
from stack.places import HOME, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MINUTES = 1.5
RATE = 25


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def say(what: str) -> None:
        with capsys.disabled():
            print(what, flush=True)  # noqa: T201

    return say


async def test_under_chaos_nothing_is_lost_doubled_or_stuck(say: Callable[[str], None]) -> None:
    seed = random.randrange(10**6)
    with staged(HOME / "chaos-short", replicas=2) as stage:
        outcome = await perform(stage, seed=seed, minutes=MINUTES, rate=RATE, rest_s=240, say=say)

    say(f"seed {seed}: {sum(outcome.record.kinds.values())} faults, {outcome.journal.answered} requests")
    assert outcome.faults == [], f"seed {seed}"
    assert outcome.journal.unanswered == 0
    assert sum(outcome.states.values()) > 100


# -- the checker sees what is broken on purpose ------------------------------------------------------------


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with staged(HOME / "sabotage", replicas=1) as stage:
        yield stage


class Sabotaged:
    """A world in which one service is exchanged for a sabotaged one; what is new of what the checker finds."""

    def __init__(self, stage: Stage, world: World) -> None:
        self.stage = stage
        self.world = world
        self.partner: dict[str, Any] = {}
        self._known: set[str] = set()

    async def checker(self) -> Checker:
        listens = {name: list(topics) for name, topics in (await self.world.listening()).items()}
        return Checker(self.stage.parts.postgres_admin_url, self.stage.parts.kafka, self.stage.suite.mail.url, listens)

    def exchange(self, service: str, how: str | None) -> None:
        """Run a service sabotaged, or (None) as it should be."""
        process = self.stage.suite.service(service).processes[0]
        run = process.command[-5:]
        call = ["-m", service] if how is None else [str(ROOT / "tests" / "sabotage.py"), how, service]
        process.command = [sys.executable, *call, *run]
        process.start()

    async def enroll(self, number: int) -> None:
        """So many people at once, each on a course of a credit."""
        course = await self.world.course(credits=1)
        people = await asyncio.gather(*(self.world.person(self.partner) for _ in range(number)))
        answers = await asyncio.gather(
            *(self.world.associate(person, course, by=self.partner["admin"], wait=0) for person in people)
        )
        assert {a.status_code for a in answers} <= {201, 202}, [a.text for a in answers]

    async def read(self, group: str) -> None:
        """Wait until a group's offsets say that it has read everything there is about enrollments."""
        checker = await self.checker()

        async def done() -> bool:
            return not {"enrollment: outbox", f"{group}: lag"} & set(await checker.pending())

        await eventually(done, within_s=60)

    async def found(self, *, rest_s: float = 60) -> dict[str, list[str]]:
        """The claims that do not hold, with the faults that were not there when it was last asked."""
        checker = await self.checker()
        claims: list[Claim] = await checker.check(pending=await checker.rest(rest_s))
        new = {c.words: [fault for fault in c.faults if fault not in self._known] for c in claims}
        self._known |= {fault for c in claims for fault in c.faults}
        return {words: faults for words, faults in new.items() if faults}


async def send_again(bootstrap: str, topic: str) -> None:
    """Every record of a topic once more, as it is."""
    reader = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with reader, AIOKafkaProducer(bootstrap_servers=bootstrap) as writer:
        ends = await reader.end_offsets(reader.assignment())
        for partition, end in ends.items():
            for _ in range(end):
                r = await reader.getone(partition)
                await writer.send_and_wait(
                    topic, r.value, r.key, partition=partition.partition, headers=list(r.headers)
                )


@pytest.fixture
async def sabotaged(stage: Stage) -> Any:
    world = World(stage.suite)
    sabotaged = Sabotaged(stage, world)
    sabotaged.partner = await world.partner(credits=1_000)
    yield sabotaged
    await world.aclose()


async def test_the_checker_sees_each_guarantee_that_is_broken_on_purpose(sabotaged: Sabotaged) -> None:
    await sabotaged.enroll(20)
    assert await sabotaged.found() == {}

    # No inbox: what Kafka delivers twice is handled twice, and answered twice.
    sabotaged.exchange("billing", "no_inbox")
    await sabotaged.enroll(5)
    await sabotaged.world.settle()
    await send_again(sabotaged.stage.parts.kafka, "enrollment.approved")
    assert "no fact handled or announced twice in effect" in await sabotaged.found()
    sabotaged.exchange("billing", None)

    # Offsets before the work: what was read and not handled is lost in a crash.
    sabotaged.exchange("billing", "offsets_first")
    await sabotaged.enroll(30)
    await sabotaged.read("billing")  # as the offsets say
    sabotaged.stage.suite.service("billing").kill9()
    sabotaged.exchange("billing", None)
    found = await sabotaged.found(rest_s=5)
    assert "every record handled by every group that reads its topic" in found

    # A cursor instead of deletes: what commits late is never sent.
    sabotaged.exchange("enrollment", "cursor_relay")
    await sabotaged.enroll(120)
    found = await sabotaged.found(rest_s=5)
    assert "no enrollment lost: every one and every move of it announced" in found
    assert "no enrollment stuck" in found
