"""The suite as processes: issuer, mail sink and services on top of the parts, each started, stopped, killed alone.

with suite(Path(".stack/flows"), services=["enrollment", "billing"]) as tandem:
    tandem.service("billing").url                     # where it answers
    tandem.service("billing").kill9()                 # a crash of all its processes
    tandem.service("billing").process("worker").log   # what one of them said
    tandem.token(email="anna@partner.example")        # a bearer token
"""

import http.client
import json
import os
import secrets
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stack.daemon import Daemon, DidNotStart, environment
from stack.parts import Parts, claimed, start
from stack.places import ROOT, free_port

SERVICES = ("catalog", "enrollment", "billing", "contracts", "academy")
ADMIN_EMAIL = "admin@tandem.example"
START_WITHIN_S = 90.0
STOP_WITHIN_S = 25.0  # A service drains for 15 s at most, and takes 5 s more to give up.
PREPARE_WITHIN_S = 120.0
PREPARED_AT_ONCE = os.cpu_count() or 2  # Each keeps a processor busy with imports.

# Where `up` listens, counted from its base port; tests take any free ports.
OFFSETS = {name: number for number, name in enumerate(SERVICES, 1)} | {
    "smtp": 25,
    "mail": 26,
    "postgres": 54,
    "issuer": 90,
    "kafka": 92,
    "controller": 93,
}


class Process(Daemon):
    """A process that answers HTTP, and says there when it is ready."""

    def __init__(
        self,
        name: str,
        directory: Path,
        command: Sequence[str],
        port: int,
        *,
        env: Mapping[str, str],
        role: str = "",
        ready_path: str = "/healthz",
    ) -> None:
        self.role = role
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            name,
            directory,
            command,
            lambda: answers(self.url + ready_path),
            address=self.url,
            port=port,
            env=env,
            start_within_s=START_WITHIN_S,
            stop_within_s=STOP_WITHIN_S,
        )


class Service:
    """One service of the suite: its commands, and its processes by role."""

    def __init__(
        self,
        name: str,
        directory: Path,
        command: Sequence[str],
        roles: Sequence[str],
        port: int,
        env: Mapping[str, str],
        operator: Mapping[str, str],
    ) -> None:
        self.name = name
        self._operator = operator
        self.env = {f"{name.upper()}_BASE_URL": f"http://127.0.0.1:{port}", **env}
        self.processes: list[Process] = []
        self._command = list(command)
        for role in roles:
            number = sum(process.role == role for process in self.processes) + 1
            label = "-".join([name, *([role] if role != "all" else []), *([str(number)] if number > 1 else [])])
            port = port if not self.processes else free_port()
            run = [*command, "run", "--role", role, "--port", str(port)]
            process = Process(label, directory, run, port, env=self.env, role=role, ready_path="/readyz")
            self.processes.append(process)

    @property
    def url(self) -> str:
        """Where its API answers; name a role that has one first."""
        return self.processes[0].url

    @property
    def log(self) -> Path:
        """What its first process said."""
        return self.processes[0].log

    def process(self, role: str = "all", number: int = 1) -> Process:
        """One of its processes: the first, second … of a role. Its `env` may be changed before a start."""
        return [process for process in self.processes if process.role == role][number - 1]

    def prepare(self) -> None:
        """Migrate its database and, as an operator, apply its topics and rights. Raises DidNotStart with its words."""
        ended = subprocess.run(
            [*self._command, "prepare"],
            env=environment() | self.env | dict(self._operator),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PREPARE_WITHIN_S,
            check=False,
        )
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            log.write(ended.stdout)
        if ended.returncode != 0:
            said = "\n".join(ended.stdout.splitlines()[-30:])
            raise DidNotStart(f"{self.name} cannot be prepared: status {ended.returncode}\n{said}")

    def start(self) -> None:
        """Start all its processes and wait until they are ready."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        for process in self.processes:
            process.launch()

    def await_ready(self) -> None:
        for process in self.processes:
            process.await_ready()

    def stop(self) -> None:
        """A clean end of all its processes."""
        for process in self.processes:
            process.ask_to_stop()
        for process in self.processes:
            process.stop()

    def kill9(self) -> None:
        """The end a crash brings, to all its processes."""
        for process in self.processes:
            process.kill9()


def python_module(service: str) -> list[str]:
    """How a service is called: `python -m <service>`."""
    return [sys.executable, "-m", service]


class Suite:
    """Everything that runs on top of the parts. Nothing is started by making one."""

    def __init__(
        self,
        directory: Path,
        parts: Parts,
        base_port: int | None = None,
        env: Mapping[str, str] | None = None,
        command: Callable[[str], Sequence[str]] = python_module,
    ) -> None:
        self.directory = directory
        self.parts = parts
        self.services: dict[str, Service] = {}
        self._base_port = base_port
        self._env = dict(env or {})
        self._command = command
        self.smtp_port = self._port("smtp")
        issuer_port, mail_port = self._port("issuer"), self._port("mail")
        here = {"PYTHONPATH": str(ROOT)}
        url, key = f"http://127.0.0.1:{issuer_port}", directory / "data" / "issuer-key.json"
        issue = [*python_module("stack.issuer"), "--url", url, "--key", str(key)]
        self.issuer = Process("issuer", directory, issue, issuer_port, env=here)
        sink = [*python_module("stack.mailsink"), "--smtp-port", str(self.smtp_port), "--http-port", str(mail_port)]
        self.mail = Process("mail", directory, sink, mail_port, env=here)

    def service(self, name: str) -> Service:
        return self.services[name]

    def start(self, services: Sequence[str] = SERVICES, roles: Mapping[str, Sequence[str]] | None = None) -> None:
        """Start issuer, mail sink and services, and wait until all are ready."""
        self.issuer.launch()
        self.mail.launch()
        self.add(*services, roles=roles)
        self.issuer.await_ready()
        self.mail.await_ready()

    def add(self, *names: str, roles: Mapping[str, Sequence[str]] | None = None) -> None:
        """Start services beside those that run, each as one process of role `all` unless `roles` says more."""
        added = [self._made(name, (roles or {}).get(name, ["all"])) for name in names]
        stale = [service for service in added if not all(process.up_to_date for process in service.processes)]
        with ThreadPoolExecutor(PREPARED_AT_ONCE) as pool:
            list(pool.map(Service.prepare, stale))
        # All topics are there now: a consumer that misses one looks again only after a while.
        for service in added:
            service.launch()
        for service in added:
            service.await_ready()

    def stop(self) -> None:
        """A clean end of all that was started here; the parts run on."""
        processes = [process for service in self.services.values() for process in service.processes]
        for process in [*processes, self.issuer, self.mail]:
            process.ask_to_stop()
        for process in [*processes, self.issuer, self.mail]:
            process.stop()

    def token(self, **form: str) -> str:
        """A bearer token: `persona="admin"`, or `email=` with or without `name=`, or `client_id=`."""
        body = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"{self.issuer.url}/token", body, timeout=10) as answer:
            return str(json.load(answer)["access_token"])

    def _made(self, name: str, roles: Sequence[str]) -> Service:
        env = {
            **self.parts.database(name).environment(name),
            **self.parts.kafka_login(name),
            "OIDC_ISSUER": self.issuer.url,
            "LINK_SECRET": _kept_secret(self.directory / "data" / "link-secret"),
            # Counted as elsewhere, and never reached: here one caller loads a whole data set.
            "RATE_PER_CALLER": "1000000/minute",
            "RATE_PER_ADDRESS": "1000000/minute",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self.smtp_port),
            "PLATFORM_ADMIN_EMAIL": ADMIN_EMAIL,
            "TANDEM_ENVIRONMENT": "sandbox",
            "TEST_CLOCKS": "true",
            "PYTHONPATH": _python_path(name),
            **self._env,
        }
        operator = self.parts.kafka_login() | self._env
        service = Service(name, self.directory, self._command(name), roles, self._port(name), env, operator)
        self.services[name] = service
        return service

    def _port(self, name: str) -> int:
        return free_port() if self._base_port is None else self._base_port + OFFSETS[name]


@contextmanager
def suite(
    directory: Path,
    services: Sequence[str] = SERVICES,
    roles: Mapping[str, Sequence[str]] | None = None,
    env: Mapping[str, str] | None = None,
    parts: Parts | None = None,
    command: Callable[[str], Sequence[str]] = python_module,
) -> Iterator[Suite]:
    """A fresh suite on free ports for the length of a block, on parts of its own unless some are given.

    `roles` splits services: `{"billing": ["api", "worker", "worker"]}` runs three processes, the API first.
    """
    with claimed(directory) as home, ExitStack() as at_end:
        if parts is None:
            parts = own = start(home)
            at_end.callback(own.wipe)
            at_end.callback(own.stop)
        tandem = Suite(home, parts, env=env, command=command)
        at_end.callback(tandem.stop)
        tandem.start(services, roles)
        yield tandem


def answers(url: str) -> bool:
    """Whether there is a page with status 200 now."""
    at = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=5)
    try:
        connection.request("GET", at.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _python_path(service: str) -> str:
    """What a service may import of the tree: itself, the kit and the schemas; no other service."""
    folders = [ROOT / "services" / service, ROOT / "shared", ROOT / "contracts-schemas"]
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join([*map(str, folders), *([given] if given else [])])


def _kept_secret(file: Path) -> str:
    """Links in mails stay valid over a restart."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return file.read_text()
