"""The suite of docker-compose.yml, seen as `stack.processes.Suite` is: each container started, stopped, killed alone.

with composed("tandem-prove") as tandem:
    tandem.service("billing").url                     # where it answers
    tandem.service("billing").kill9()                 # a crash
    tandem.service("billing").start()
    tandem.parts.kafka                                # reachable from here, as is PostgreSQL
"""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container as DockerContainer

from stack import places, tools
from stack.containers import docker_host
from stack.daemon import DidNotStart
from stack.databases import PASSWORD, Urls
from stack.kafka_security import OPERATOR
from stack.places import ROOT, free_port
from stack.processes import SERVICES

FILE = ROOT / "docker-compose.yml"
SECURE = ROOT / "docker-compose.secure.yml"
PUBLISHED = (*SERVICES, "postgres", "kafka", "mail", "issuer")
UP_WITHIN_S = 900.0  # Images are built meanwhile, the first time from nothing.
READY_WITHIN_S = 240.0
STOP_WITHIN_S = 30


class Contained:
    """One container of the project; it keeps its data when it ends."""

    def __init__(self, project: "Project", name: str) -> None:
        self.project = project
        self.name = name

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.project.ports[self.name]}"

    @property
    def container(self) -> DockerContainer:
        """What docker knows of it, now."""
        return self.project.engine.containers.get(f"{self.project.name}-{self.name}-1")

    def start(self) -> None:
        """Start it alone, and wait until it says that it is healthy. Raises DidNotStart."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        self.container.start()

    def await_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while self.state()["Health"]["Status"] != "healthy":
            if time.monotonic() > deadline:
                raise DidNotStart(f"{self.name} was not healthy within {READY_WITHIN_S:.0f} s\n{self.said()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """A clean end; docker kills what takes too long, and then `state()` says so."""
        self.container.stop(timeout=STOP_WITHIN_S)

    def kill9(self) -> None:
        """The end a crash brings."""
        container = self.container
        container.kill()
        container.wait()

    def state(self) -> dict[str, Any]:
        """As `docker inspect` says: Status, ExitCode, OOMKilled, Health …"""
        state: dict[str, Any] = self.container.attrs["State"]
        return state

    def said(self) -> str:
        """The end of its log."""
        return tail(self.container)

    def asked(self, path: str) -> dict[str, Any]:
        """What a GET of it answers, as JSON."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return dict(json.load(answer))

    def run(self, *command: str) -> tuple[int, str]:
        """A command inside: its exit status and what it said."""
        ended = self.container.exec_run(list(command))
        return ended.exit_code, ended.output.decode(errors="replace").strip()


@dataclass(frozen=True)
class Project:
    """A compose project of its own beside any other, on ports of its own."""

    name: str
    ports: Mapping[str, int]
    engine: docker.DockerClient
    files: tuple[Path, ...] = (FILE,)

    def compose(self, *arguments: str, within_s: float = UP_WITHIN_S) -> str:
        """What a compose command says. Raises DidNotStart with its last words if it fails."""
        files = [word for file in self.files for word in ("--file", str(file))]
        ended = subprocess.run(
            ["docker", "compose", "--project-name", self.name, *files, *arguments],
            env=os.environ | {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within_s,
            check=False,
        )
        if ended.returncode != 0:
            said = "\n".join(ended.stdout.splitlines()[-40:])
            raise DidNotStart(f"docker compose {' '.join(arguments)}: status {ended.returncode}\n{said}")
        return ended.stdout

    def up(self) -> None:
        """Build what changed, start what does not run, wait until all is healthy. Raises DidNotStart."""
        try:
            self.compose("up", "--wait", "--quiet-pull")
        except DidNotStart as failed:
            failed.add_note(self.complaints())
            raise

    def complaints(self) -> str:
        """The last words of containers that failed or are not healthy."""
        found = []
        ours = {"label": f"com.docker.compose.project={self.name}"}
        for container in self.engine.containers.list(all=True, filters=ours):
            state = container.attrs["State"]
            if state["ExitCode"] or state.get("Health", {}).get("Status", "healthy") != "healthy":
                found.append(
                    f"== {container.name}: {state['Status']}, exit code {state['ExitCode']}\n{tail(container)}"
                )
        return "\n".join(found)


class ComposedParts:
    """Kafka and PostgreSQL of the project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.kafka = f"127.0.0.1:{project.ports['kafka']}"
        self._postgres_at = f"127.0.0.1:{project.ports['postgres']}"
        self.postgres_admin_url = f"postgresql://postgres:{PASSWORD}@{self._postgres_at}/postgres"
        self.broker = Contained(project, "kafka")
        self.postgres = Contained(project, "postgres")

    def kafka_login(self, user: str | None = None) -> dict[str, str]:
        """As compose's operator; `user` is not needed here, since services run inside."""
        if SECURE not in self._project.files:
            return {"KAFKA_BOOTSTRAP_SERVERS": self.kafka}
        authority = places.HOME / f"{self._project.name}-ca.pem"
        authority.write_text(self._project.compose("exec", "kafka", "cat", "/kafka-secrets/ca.pem"))
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": OPERATOR,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CA_FILE": str(authority),
        }

    def database(self, service: str) -> Urls:
        """A service's database, as databases.sql made it."""
        api, worker, owner = (
            f"postgresql://{service}_{role}:{PASSWORD}@{self._postgres_at}/tandem_{service}"
            for role in ("api", "worker", "owner")
        )
        return Urls(api, worker, owner)


class Composed:
    """Everything the compose file names."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.parts = ComposedParts(project)
        self.services = {name: Contained(project, name) for name in SERVICES}
        self.issuer = Contained(project, "issuer")
        self.mail = Contained(project, "mail")

    def service(self, name: str) -> Contained:
        return self.services[name]


def tail(container: DockerContainer) -> str:
    """The end of a container's log."""
    return bytes(container.logs(tail=30)).decode(errors="replace")


@contextmanager
def composed(name: str, secure: bool = False) -> Iterator[Composed]:
    """The suite, built and up, under a project name of its own; removed with its data at the end of the block.
    `secure`: with docker-compose.secure.yml.

    Raises tools.Missing without docker or its compose plugin, DidNotStart when something does not come up.
    """
    docker_host()
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0:
        raise tools.Missing("docker has no compose plugin: install it (https://docs.docker.com/compose/install/linux/)")
    files = (FILE, SECURE) if secure else (FILE,)
    with places.locked(places.HOME / f"{name}.lock"), closing(docker.from_env()) as engine:
        project = Project(name, {part: free_port() for part in PUBLISHED}, engine, files)
        project.compose("down", "--volumes")  # What a killed run left.
        try:
            project.up()
            yield Composed(project)
        finally:
            project.compose("down", "--volumes")
