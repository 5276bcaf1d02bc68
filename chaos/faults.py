"""What befalls the suite: kills, freezes, cuts, full disks and rebalances, in an order that the seed decides."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from chaos.stage import Disk, Stage, Wire, freeze, thaw
from stack.daemon import Daemon, DidNotStart, PortTaken

SESSION_S = 10.0
"""The session time-out of the services' consumers; who is frozen longer is put out of its group."""
BACK_WITHIN_S = 180.0


@dataclass(frozen=True)
class Fault:
    """Something that can be done to a part of the suite, and undone."""

    group: str
    """Faults of one group are alike; a lane takes one of each in turn."""
    kind: str
    victim: str
    run: Callable[[random.Random], Awaitable[None]]


@dataclass
class Record:
    """What was done."""

    kinds: Counter[str] = field(default_factory=Counter)
    victims: Counter[str] = field(default_factory=Counter)
    longest_back_s: float = 0.0
    """The longest that a killed process took until it was ready again."""


class Faults:
    """Two lanes of faults beside each other, and rebalances all the time."""

    def __init__(self, stage: Stage, seed: int, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.record = Record()
        self._seed = seed
        self._say = say
        self._busy: set[str] = set()
        self._listens: dict[str, list[str]] = {}
        self._began = time.monotonic()

    async def run(self, stop: asyncio.Event, listens: dict[str, list[str]]) -> Record:
        """Inflict faults until `stop`, then put everything right. `listens`: the topics of each consumer group."""
        self._listens, self._began = listens, time.monotonic()
        lanes = [
            asyncio.create_task(self._lane("crashes", self._crashes(), stop)),
            asyncio.create_task(self._lane("troubles", self._troubles(), stop)),
            asyncio.create_task(self._rebalance(stop)),
        ]
        await asyncio.gather(*lanes)
        await self._heal()
        return self.record

    def _crashes(self) -> list[Fault]:
        def crash(daemon: Daemon) -> Fault:
            group = getattr(daemon, "role", daemon.name)  # the broker and the database each for themselves
            return Fault(group, "kill -9", daemon.name, lambda chance: self._crash(daemon, chance))

        return [crash(daemon) for daemon in self.stage.doomed.values()]

    def _troubles(self) -> list[Fault]:
        def trouble(kind: str, victim: str, act: Callable[[Any, random.Random], Awaitable[None]], on: Any) -> Fault:
            return Fault(kind, kind, victim, lambda chance: act(on, chance))

        wires, doomed, disks = self.stage.wires.values(), self.stage.doomed.values(), self.stage.disks
        return [
            *(trouble("frozen", daemon.name, self._freeze, daemon) for daemon in doomed),
            *(trouble("cut, noticed", wire.name, self._cut, wire) for wire in wires),
            *(trouble("cut, silent", wire.name, self._freeze, wire) for wire in wires),
            *(trouble(f"disk full, {disk.kind}", disk.database, self._fill, disk) for disk in disks),
        ]

    async def _lane(self, name: str, faults: list[Fault], stop: asyncio.Event) -> None:
        """Faults in random order: one of each group in turn, and each of a group before any of it comes again."""
        chance = random.Random(f"{name}/{self._seed}")
        groups = sorted({fault.group for fault in faults})
        decks: dict[str, list[Fault]] = {group: [] for group in groups}
        while not stop.is_set():
            for group in chance.sample(groups, len(groups)):
                if not decks[group]:
                    alike = [fault for fault in faults if fault.group == group]
                    decks[group] = chance.sample(alike, len(alike))
                fault = decks[group].pop()
                if stop.is_set():
                    return
                if fault.victim in self._busy:  # of the other lane
                    continue
                self._busy.add(fault.victim)
                try:
                    await self._inflict(fault, chance)
                finally:
                    self._busy.discard(fault.victim)
                await asyncio.sleep(chance.uniform(0.2, 1.5))

    async def _inflict(self, fault: Fault, chance: random.Random) -> None:
        began = time.monotonic()
        await fault.run(chance)
        self.record.kinds[fault.kind] += 1
        self.record.victims[fault.victim] += 1
        took = time.monotonic() - began
        self._say(f"{began - self._began:6.1f} s  {fault.kind:16} {fault.victim:26} {took:5.1f} s")

    # -- what can happen -----------------------------------------------------------------------------

    async def _crash(self, daemon: Daemon, chance: random.Random) -> None:
        await asyncio.to_thread(daemon.kill9)
        await asyncio.sleep(chance.uniform(0.0, 3.0))
        await self._back(daemon)

    async def _back(self, daemon: Daemon) -> None:
        """Have it run again, as a supervisor would: start it as often as it ends by itself."""
        began = time.monotonic()
        while time.monotonic() < began + BACK_WITHIN_S:
            if daemon.process is None:
                with suppress(DidNotStart, PortTaken):
                    await asyncio.to_thread(daemon.launch)
            if await asyncio.to_thread(daemon.ready):
                self.record.longest_back_s = max(self.record.longest_back_s, time.monotonic() - began)
                return
            await asyncio.sleep(0.2)
        raise DidNotStart(f"{daemon.name} is not back after {BACK_WITHIN_S:.0f} s\n{daemon.said()[-3000:]}")

    async def _freeze(self, daemon: Daemon, chance: random.Random) -> None:
        """Past the session time-out where it is a consumer, or a wire that consumers use."""
        freeze(daemon)
        try:
            long = daemon.name not in ("postgres", "kafka")
            await asyncio.sleep(SESSION_S + chance.uniform(1, 4) if long else chance.uniform(3, 8))
        finally:
            thaw(daemon)

    async def _cut(self, wire: Wire, chance: random.Random) -> None:
        await asyncio.to_thread(wire.kill9)
        await asyncio.sleep(chance.uniform(2.0, 12.0))
        await self._back(wire)

    async def _fill(self, disk: Disk, chance: random.Random) -> None:
        await self._insist(disk.fill)
        try:
            await asyncio.sleep(chance.uniform(3.0, 8.0))
        finally:
            await self._insist(disk.clear)

    async def _insist(self, change: Callable[[], Awaitable[None]]) -> None:
        """The server may be killed by the other lane."""
        async with asyncio.timeout(BACK_WITHIN_S):
            while True:
                try:
                    return await change()
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await asyncio.sleep(0.2)

    async def _rebalance(self, stop: asyncio.Event) -> None:
        """Strangers join the services' groups and leave them again: everybody's partitions move twice."""
        chance = random.Random(f"rebalances/{self._seed}")
        while not stop.is_set():
            group = chance.choice(sorted(self._listens))
            guest = AIOKafkaConsumer(
                *self._listens[group],
                bootstrap_servers=self.stage.parts.kafka,
                group_id=group,
                enable_auto_commit=False,
                session_timeout_ms=6_000,
            )
            try:
                async with asyncio.timeout(20):
                    await guest.start()
                    await asyncio.sleep(chance.uniform(0.1, 1.0))
                self.record.kinds["rebalance"] += 1
            except (KafkaError, OSError, TimeoutError):
                pass
            finally:
                # Not awaited itself: it raises CancelledError of its own where the broker is gone.
                await asyncio.wait([asyncio.create_task(guest.stop())], timeout=20)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), chance.uniform(1.0, 3.0))

    async def _heal(self) -> None:
        for disk in self.stage.disks:
            await self._insist(disk.clear)
        everything: Iterable[Daemon] = (*self.stage.wires.values(), *self.stage.doomed.values())
        for daemon in everything:
            thaw(daemon)
        for daemon in everything:
            await self._back(daemon)
