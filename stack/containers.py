"""The parts as containers, by testcontainers: the images that compose and operators run.

It does as `stack.parts` does; test sessions take it where TANDEM_TEST_STACK=containers.

with running(Path(".stack/test")) as parts:
    parts.kafka                        # bootstrap servers
    parts.broker.kill9()               # the container stays, with its port and its data
    parts.broker.start()
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker.errors
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from stack import databases, kafka, postgres, tools
from stack.daemon import DidNotStart
from stack.databases import Urls
from stack.parts import Parts, claimed
from stack.places import free_port

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.3.1"
HOME_LABEL = "tandem.home"  # The directory of the session a container belongs to.
START_WITHIN_S = 180.0
STOP_WITHIN_S = 20


class Contained:
    """A part in a container, made by the first `start` and there until `remove`."""

    def __init__(self, name: str, container: DockerContainer, ready: Callable[["Contained"], bool]) -> None:
        self.name = name
        self._container = container
        self._ready = ready
        self._made = False
        self._starts = 0

    def start(self) -> None:
        """Start and wait until it takes requests. Raises daemon.DidNotStart."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        self._starts += 1
        if self._made:
            self._container.get_wrapped_container().start()
        else:
            self._made = True
            self._container.start()

    def await_ready(self) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while not self._ready(self):
            if not self.runs():
                raise DidNotStart(f"the container of {self.name} ended while starting\n{self.said()[-3000:]}")
            if time.monotonic() > deadline:
                raise DidNotStart(f"{self.name} was not ready within {START_WITHIN_S:.0f} s\n{self.said()[-3000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it cleanly."""
        self._container.get_wrapped_container().stop(timeout=STOP_WITHIN_S)

    def kill9(self) -> None:
        """End it as a crash would."""
        self._container.get_wrapped_container().kill()
        self._container.get_wrapped_container().wait()

    def remove(self) -> None:
        """End it, and forget its data."""
        if self._made:
            self._container.stop(force=True, delete_volume=True)

    def runs(self) -> bool:
        made = self._container.get_wrapped_container()
        made.reload()
        return bool(made.status == "running")

    def said(self) -> str:
        """Its log, of all its starts."""
        return bytes(self._container.get_wrapped_container().logs()).decode(errors="replace")

    def says_each_start(self, words: str) -> bool:
        """Whether it said this as often as it was started."""
        return self.said().count(words) == self._starts

    def answers(self, *command: str) -> bool:
        """Whether a command inside ends well."""
        try:
            return bool(self._container.get_wrapped_container().exec_run(list(command)).exit_code == 0)
        except docker.errors.APIError:  # It is no longer, or not yet, running.
            return False


@dataclass(frozen=True, slots=True)
class ContainedParts:
    """A PostgreSQL and a broker of this session's own."""

    kafka: str
    postgres_admin_url: str
    broker: Contained
    postgres: Contained

    def kafka_login(self, user: str | None = None) -> dict[str, str]:
        return {"KAFKA_BOOTSTRAP_SERVERS": self.kafka}

    def database(self, service: str, name: str | None = None) -> Urls:
        return databases.create(self.postgres_admin_url, service, name)


@contextmanager
def running(directory: Path) -> Iterator[Parts]:
    """Kafka and PostgreSQL in containers on free ports, ready; removed with their data at the end of the block.

    What a killed session of the same directory left is removed first. Raises tools.Missing without docker.
    """
    host = docker_host()
    with claimed(directory) as home, ExitStack() as at_end:
        clear_leftovers(home)
        postgres_port, kafka_port = free_port(), free_port()
        parts = ContainedParts(
            kafka=f"{host}:{kafka_port}",
            postgres_admin_url=f"postgresql://postgres:{postgres.PASSWORD}@{host}:{postgres_port}/postgres",
            broker=broker(home, host, kafka_port),
            postgres=server(home, postgres_port),
        )
        for part in (parts.postgres, parts.broker):
            at_end.callback(part.remove)
            part.launch()
        parts.postgres.await_ready()
        parts.broker.await_ready()
        yield parts


def docker_host() -> str:
    """Where the ports of containers answer. Raises tools.Missing where no docker engine does."""
    try:
        host = DockerClient().host()
    except docker.errors.DockerException as error:
        raise tools.Missing(
            f"no docker engine answers ({error}): install one (https://docs.docker.com/engine/install/; Debian: "
            "apt install docker.io) and start it. Without one, everything but `make prove` runs on the local stack."
        ) from error
    return "127.0.0.1" if host == "localhost" else host


def clear_leftovers(home: Path) -> None:
    """Remove the containers of a killed session."""
    for left in DockerClient().client.containers.list(all=True, filters={"label": f"{HOME_LABEL}={home}"}):
        left.remove(force=True, v=True)


def server(home: Path, port: int) -> Contained:
    """A PostgreSQL with the settings and the locale of the local one."""
    settings = {name: value for name, value in postgres.SETTINGS.items() if name not in postgres.ADDRESSES}
    container = _container(home, POSTGRES_IMAGE)
    container.with_envs(POSTGRES_PASSWORD=postgres.PASSWORD, POSTGRES_INITDB_ARGS=" ".join(postgres.LOCALE))
    container.with_bind_ports(5432, port)
    container.with_command(["postgres", *(f"--{name}={value}" for name, value in settings.items())])
    # By TCP: while its data are being made, the server listens on its socket only.
    ready = ("pg_isready", "--host=127.0.0.1", "--username=postgres")
    return Contained("postgres", container, lambda part: part.answers(*ready))


def broker(home: Path, host: str, port: int) -> Contained:
    """A broker with the settings of the local one, known inside and outside by the same port."""
    tuned = [line.split("=", 1) for line in kafka.TUNING.splitlines() if line and not line.startswith("#")]
    container = _container(home, KAFKA_IMAGE)
    container.with_envs(
        **{f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in tuned},
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_LISTENERS=f"PLAINTEXT://:{port},CONTROLLER://:9093",
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{host}:{port}",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_LOG_DIRS="/var/lib/kafka/data",
        KAFKA_HEAP_OPTS=" ".join(kafka.JVM[:2]),
    )
    container.with_bind_ports(port, port)
    return Contained("kafka", container, lambda part: part.says_each_start(kafka.STARTED))


def _container(home: Path, image: str) -> DockerContainer:
    return DockerContainer(image).with_kwargs(labels={HOME_LABEL: str(home)})
