"""The suite where everything can be taken from it: replicas in every role, each service on wires of its own to Kafka
and to PostgreSQL, and the databases that decide on disks that can be full."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from stack import databases, places
from stack.artefacts import Artefacts
from stack.daemon import Daemon
from stack.kafka import Broker
from stack.parts import LocalParts, claimed, prepared
from stack.places import ROOT, free_port
from stack.postgres import Postgres
from stack.processes import SERVICES, Service, Suite

ON_SMALL_DISKS = ("enrollment", "billing")
"""The services that decide; each database has a disk of its own."""
DISK_MB = 2048


class ManyDoors(Broker):
    """A broker with a listener for each service, which tells its clients to come by the service's wire."""

    def __init__(self, artefacts: Artefacts, directory: Path, port: int, doors: Mapping[str, tuple[int, int]]) -> None:
        super().__init__(artefacts, directory, port, free_port())
        file = self.data.with_suffix(".properties")
        settings = dict(line.split("=", 1) for line in file.read_text().splitlines() if line and line[0] != "#")
        own = f"PLAINTEXT://127.0.0.1:{port}"
        settings["advertised.listeners"] = ",".join(
            [own, *(f"{name.upper()}://127.0.0.1:{wire}" for name, (_, wire) in doors.items())]
        )
        for name, (door, _) in doors.items():
            settings["listeners"] += f",{name.upper()}://127.0.0.1:{door}"
            settings["listener.security.protocol.map"] += f",{name.upper()}:PLAINTEXT"
        settings["inter.broker.listener.name"] = "PLAINTEXT"
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


class Wire(Daemon):
    """A service's connections to one part."""

    def __init__(self, name: str, directory: Path, port: int, to: int) -> None:
        command = [sys.executable, "-m", "chaos.wire", "--port", str(port), "--to", f"127.0.0.1:{to}"]
        super().__init__(
            name,
            directory,
            command,
            lambda: not places.port_is_free(port),
            address=f"127.0.0.1:{port}",
            port=port,
            env={"PYTHONPATH": str(ROOT)},
        )


@dataclass
class Disk:
    """Where one database is. A small file system in memory where we may mount one; else the server's own disk,
    and all that can be done is to make the database refuse writes."""

    database: str
    path: Path
    admin_url: str
    mounted: bool = False

    @property
    def kind(self) -> str:
        """How it refuses."""
        return "ENOSPC" if self.mounted else "read-only"

    def mount(self) -> None:
        account = places.unprivileged()
        self.path.mkdir(exist_ok=True)
        self.unmount()
        if account:
            options = f"size={DISK_MB}m,mode=0700,uid={account['user']},gid={account['group']}"
            made = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tandem-chaos", self.path], capture_output=True, check=False
            )
            self.mounted = made.returncode == 0

    def unmount(self) -> None:
        if self.path.is_mount():
            subprocess.run(["umount", "--lazy", self.path], check=False)

    async def take_in(self) -> None:
        """Put the service's database on this disk."""
        if self.mounted:
            db = await asyncpg.connect(self.admin_url)
            await db.execute(f"create tablespace {self.database}_disk location '{self.path}'")
            await db.execute(f"alter database {self.database} set tablespace {self.database}_disk")
            await db.close()

    async def fill(self) -> None:
        """From now on no file on it grows."""
        if self.mounted:
            self._resize(0)
        else:
            await self._read_only(True)

    async def clear(self) -> None:
        if self.mounted:
            self._resize(DISK_MB * 2**20)
        else:
            await self._read_only(False)

    def _resize(self, size: int) -> None:
        # The file system cannot be made smaller than what is on it, which may have grown since we looked.
        for _ in range(50):
            now = os.statvfs(self.path)
            wanted = max(size, (now.f_blocks - now.f_bfree) * now.f_frsize)
            resize = ["mount", "-o", f"remount,size={wanted}", str(self.path)]
            if subprocess.run(resize, capture_output=True, check=False).returncode == 0:
                return
        raise RuntimeError(f"{self.path} cannot be resized")

    async def _read_only(self, refuse: bool) -> None:
        db = await asyncpg.connect(self.admin_url)
        await db.execute(f"alter database {self.database} set default_transaction_read_only = {refuse}")
        # A session keeps the setting it began with.
        await db.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", self.database)
        await db.close()


class Wired(Suite):
    """The suite with every service on its own wires."""

    def __init__(self, directory: Path, parts: LocalParts, postgres_port: int, wires: Mapping[str, Wire]) -> None:
        super().__init__(directory, parts)
        self._postgres = f"127.0.0.1:{postgres_port}/"
        self._wires = wires

    def _made(self, name: str, roles: Sequence[str]) -> Service:
        service = super()._made(name, roles)
        for env in (service.env, *(process.env for process in service.processes)):
            env["KAFKA_BOOTSTRAP_SERVERS"] = self._wires[f"{name}-kafka-wire"].address
            for variable, value in env.items():
                if value.startswith("postgres"):
                    env[variable] = value.replace(self._postgres, self._wires[f"{name}-database-wire"].address + "/")
        return service


@dataclass
class Stage:
    """A running suite and everything that can be done to it."""

    suite: Suite
    parts: LocalParts
    broker: Broker
    postgres: Postgres
    wires: dict[str, Wire]
    disks: list[Disk] = field(default_factory=list)

    @property
    def doomed(self) -> dict[str, Daemon]:
        """Every process that may be killed: services by role, broker, database; by name."""
        services = [process for service in self.suite.services.values() for process in service.processes]
        return {process.name: process for process in (*services, self.broker, self.postgres)}


def roles(replicas: int) -> list[str]:
    """So many APIs and so many workers: one of each alone, the others both in one process."""
    return ["all"] * (replicas - 1) + ["api", "worker"] if replicas > 1 else ["all"]


@contextmanager
def staged(directory: Path, replicas: int, services: Sequence[str] = SERVICES) -> Iterator[Stage]:
    """The suite with parts of its own on free ports, everything up; ended and wiped with the block."""
    with claimed(directory) as home, ExitStack() as at_end:
        doors = {name: (free_port(), free_port()) for name in services}
        postgres_port = free_port()
        server = Postgres(prepared(), home, postgres_port)
        broker = ManyDoors(prepared(), home, free_port(), doors)
        parts = LocalParts(broker.address, server.admin_url, broker, server, [server, broker])
        wires: dict[str, Wire] = {}
        for name, (door, wire) in doors.items():
            wires[f"{name}-kafka-wire"] = Wire(f"{name}-kafka-wire", home, wire, door)
            wires[f"{name}-database-wire"] = Wire(f"{name}-database-wire", home, free_port(), postgres_port)
        disks = [
            Disk(f"tandem_{name}", server.data.with_name(f"disk-{name}"), server.admin_url) for name in ON_SMALL_DISKS
        ]
        suite = Wired(home, parts, postgres_port, wires)
        for disk in disks:
            server.data.parent.mkdir(parents=True, exist_ok=True)
            disk.mount()
            at_end.callback(disk.unmount)
        for part in parts.ours:
            part.fresh()
        at_end.callback(parts.wipe)
        for daemon in (*parts.ours, *wires.values()):
            at_end.callback(daemon.stop)
            daemon.launch()
        for daemon in (*parts.ours, *wires.values()):
            daemon.await_ready()
        for name, disk in zip(ON_SMALL_DISKS, disks, strict=True):
            databases.create(server.admin_url, name)
            # In a thread of its own, since the caller may be inside an event loop.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, disk.take_in()).result()
        at_end.callback(suite.stop)
        stage = Stage(suite, parts, broker, server, wires, disks)
        at_end.callback(_wake, stage)
        suite.start(services, {name: roles(replicas) for name in services})
        yield stage


def _wake(stage: Stage) -> None:
    """A frozen process cannot end by itself."""
    for daemon in (*stage.doomed.values(), *stage.wires.values()):
        thaw(daemon)


def freeze(daemon: Daemon) -> None:
    """SIGSTOP to the process and all it has started."""
    for process in _family(daemon):
        with suppress(psutil.NoSuchProcess):
            process.suspend()


def thaw(daemon: Daemon) -> None:
    """SIGCONT; nothing where it has ended meanwhile."""
    for process in _family(daemon):
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _family(daemon: Daemon) -> list[psutil.Process]:
    if daemon.process is None:
        return []
    try:
        return [daemon.process, *daemon.process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
