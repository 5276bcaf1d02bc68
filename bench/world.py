"""The whole suite on this machine, with a partner whose wallet is full and twenty thousand people."""

import asyncio
import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psutil

from stack.daemon import Daemon
from stack.parts import LocalParts
from stack.places import HOME
from stack.processes import Suite as Processes
from stack.processes import suite
from tests.suite import Suite

PEOPLE = 20_000
CREDITS = 1_000_000
PRICE = 3


class World(Suite):
    """A running suite, its people, and what its processes use."""

    partner_id: UUID
    admin: str
    people: list[str]

    async def populate(self) -> None:
        """Make the partner and import its people, as its admin would."""
        partner = await self.partner(credits=CREDITS)
        self.partner_id, self.admin = UUID(partner["partner_id"]), partner["admin"]
        file = io.StringIO()
        rows = csv.writer(file)
        rows.writerow(["name", "email", "language"])
        rows.writerows((f"Pia Participant {n}", f"p{n}-{uuid4().hex[:6]}@people.example", "en") for n in range(PEOPLE))
        job = await self.post(
            "enrollment",
            "/v1/people-imports?start=true",
            by=self.admin,
            headers={"Content-Type": "text/csv"},
            content=file.getvalue(),
        )
        async with asyncio.timeout(300):
            while job["state"] not in ("done", "failed"):
                await asyncio.sleep(0.5)
                job = await self.get("enrollment", f"/v1/people-imports/{job['id']}", by=self.admin)
        if job["done"] != PEOPLE:
            raise RuntimeError(f"not everybody was imported: {job}")
        await self.settle(within_s=300)
        found = await self.rows("enrollment", "select id from people where partner_id = $1", self.partner_id)
        self.people = [str(row["id"]) for row in found]

    async def new_course(self) -> str:
        """A course nobody is on yet, for a few credits."""
        course: dict[str, Any] = await self.course(credits=PRICE)
        return str(course["course_id"])

    async def until_confirmed(self, course_id: str, number: int, within_s: float = 300) -> None:
        """Wait until so many are confirmed on a course. Raises RuntimeError where one is refused."""
        query = "select state, count(*) as n from enrollments where course_id = $1 group by state"
        async with asyncio.timeout(within_s):
            while True:
                found = {row["state"]: row["n"] for row in await self.rows("enrollment", query, UUID(course_id))}
                if found.get("confirmed", 0) >= number:
                    return
                if found.keys() - {"approved", "confirmed"}:
                    raise RuntimeError(f"not all are confirmed: {found}")
                await asyncio.sleep(0.1)

    def cpu_s(self) -> Counter[str]:
        """CPU seconds used so far by each service, the broker and the database, ended backends included."""
        return Counter({daemon.name: _cpu_s(daemon) for daemon in self._daemons()})

    def _daemons(self) -> list[Daemon]:
        parts = self.processes.parts
        assert isinstance(parts, LocalParts)
        services = [process for service in self.processes.services.values() for process in service.processes]
        return [*services, self.processes.issuer, self.processes.mail, *parts.ours]


def _cpu_s(daemon: Daemon) -> float:
    if daemon.process is None:
        return 0.0
    total = 0.0
    for process in [daemon.process, *daemon.process.children(recursive=True)]:
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        # A child that has ended is in its parent's figures only.
        total += used.user + used.system + used.children_user + used.children_system
    return total


def per_enrollment(cpu_s: Counter[str], enrollments: int) -> str:
    """Who used how much, the largest first."""
    shares = [f"{name} {seconds * 1000 / enrollments:.2f}" for name, seconds in cpu_s.most_common(8)]
    return f"CPU ms each: {', '.join(shares)}"


@contextmanager
def running() -> Iterator[Processes]:
    """Five services on fresh parts of their own."""
    with suite(HOME / "bench-suite") as processes:
        yield processes
