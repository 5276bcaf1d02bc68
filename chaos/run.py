"""One run: load and faults beside each other, rest, and the checker's word on it."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chaos.checker import Checker, Claim
from chaos.faults import Faults, Record
from chaos.load import Journal, Load, World
from chaos.stage import Stage


@dataclass
class Outcome:
    """What a run did and what the checker found."""

    seed: int
    seconds: float
    rest_s: float
    journal: Journal
    record: Record
    claims: list[Claim]
    states: Counter[str] = field(default_factory=Counter)
    read: dict[str, int] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        """Everything that does not hold."""
        broken = [f"{claim.words}: {fault}" for claim in self.claims for fault in claim.faults]
        return broken + [f"contradiction: {said}" for said in self.journal.contradictions]

    def figures(self) -> dict[str, Any]:
        """As JSON."""
        journal, record = self.journal, self.record
        return {
            "seed": self.seed,
            "minutes": round(self.seconds / 60, 1),
            "requests": journal.answered,
            "requests_per_s": round(journal.answered / self.seconds, 1),
            "requests_repeated": journal.attempts - journal.answered,
            "requests_unanswered": journal.unanswered,
            "answers": {what: dict(sorted(statuses.items())) for what, statuses in sorted(journal.answers.items())},
            "records_copied": dict(journal.copies),
            "enrollments": dict(self.states),
            **self.read,
            "promises": dict(Counter(promise.what for promise in journal.promises)),
            "faults": dict(sorted(record.kinds.items())),
            "victims": dict(sorted(record.victims.items())),
            "back_at_most_s": round(record.longest_back_s, 1),
            "at_rest_after_s": round(self.rest_s, 1),
            "claims": [{"claim": c.words, "looked_at": c.looked_at, "broken": len(c.faults)} for c in self.claims],
            "contradictions": len(journal.contradictions),
            "holds": not self.faults,
        }


async def perform(
    stage: Stage, *, seed: int, minutes: float, rate: float, rest_s: float, say: Callable[[str], None]
) -> Outcome:
    """Populate, break things for so many minutes, put them right, wait for rest, and check."""
    world = World(stage.suite)
    try:
        say("making partners, courses and people")
        await world.populate()
        listens = {name: list(topics) for name, topics in (await world.listening()).items()}
        load, faults, stop = Load(world, rate, seed), Faults(stage, seed, say), asyncio.Event()
        say(f"seed {seed}: {minutes:g} minutes at {rate:g} operations/s")
        began = time.monotonic()
        loading = asyncio.create_task(load.run(stop))
        breaking = asyncio.create_task(faults.run(stop, listens))
        await asyncio.wait([loading, breaking], timeout=minutes * 60, return_when=asyncio.FIRST_EXCEPTION)
        stop.set()
        seconds = time.monotonic() - began
        record = await breaking
        journal = await loading
        say("everything is put right; waiting for rest")
        began = time.monotonic()
        checker = Checker(stage.parts.postgres_admin_url, stage.parts.kafka, stage.suite.mail.url, listens)
        pending = await checker.rest(rest_s)
        rested = time.monotonic() - began
        claims = await checker.check(journal.promises, pending, journal.unanswered)
        states = {row["state"]: row["n"] for row in await world.rows("enrollment", _STATES)}
        return Outcome(seed, seconds, rested, journal, record, claims, Counter(states), checker.read_again)
    finally:
        await world.aclose()


_STATES = "select state, count(*) as n from enrollments group by state order by state"
