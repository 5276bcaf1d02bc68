"""One process of the stack: started with a pid file and a log, awaited with a bound, ended for certain."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import psutil

from stack.places import Account, port_is_free

SAME_START_S = 5.0  # How far two readings of a process's start time may differ when the clock is set.


class DidNotStart(Exception):
    """A process ended, or was not ready in time; the message holds the end of its log."""


class PortTaken(Exception):
    """Another program listens where a process of the stack should."""


def environment() -> dict[str, str]:
    """Ours, for children; they may keep compiled modules, since compiling is most of a service's start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Daemon:
    """A process that may outlive the one that started it: whoever has the directory can find and end it.

    `directory/run/<name>.json` says which process it is, `directory/logs/<name>.log` what it said.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        command: Sequence[str],
        ready: Callable[[], bool],
        *,
        address: str,
        port: int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        start_within_s: float = 30,
        stop_within_s: float = 15,
    ) -> None:
        self.name = name
        self.log = directory / "logs" / f"{name}.log"
        self.note = directory / "run" / f"{name}.json"
        self.address = address
        self.port = port
        self.command = list(command)
        self.env = dict(env or {})
        self.ready = ready
        self._cwd = cwd
        self._account: Account = account or {}
        self._stop_signal = stop_signal
        self._start_within_s = start_within_s
        self._stop_within_s = stop_within_s
        self._process: psutil.Process | None = None

    @property
    def process(self) -> psutil.Process | None:
        """The running process, started by us or found by its note."""
        if self._process is None:
            self._process = find(self.note)
        elif not alive(self._process):
            self._process = None
        return self._process

    @property
    def up_to_date(self) -> bool:
        """Whether it runs, by this very command."""
        return self.process is not None and self.process.cmdline() == self.command

    def start(self) -> None:
        """Launch and wait until ready. Raises DidNotStart."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the process and return at once; does nothing while it runs by the same command.

        Raises PortTaken: what a stranger answers there must not be taken for ours.
        """
        if self.up_to_date:
            return
        self.stop()
        if not port_is_free(self.port):
            raise PortTaken(f"{self.name} needs port {self.port}, and another program listens there")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.note.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log_begins = log.tell()
            # A session of its own, so that Ctrl-C ends whoever started it first, and that one cleans up.
            self._process = psutil.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment() | self.env,
                cwd=self._cwd,
                start_new_session=True,
                **self._account,
            )
        noted = {
            "pid": self._process.pid,
            "started": self._process.create_time(),
            "command": self.command,
            "address": self.address,
            "log_begins": log_begins,
            "stop_signal": self._stop_signal,
            "stop_within_s": self._stop_within_s,
        }
        self.note.write_text(json.dumps(noted))

    def await_ready(self) -> None:
        """Wait until ready. Raises DidNotStart when the process ends first, or the bound has passed."""
        deadline = time.monotonic() + self._start_within_s
        while not self.ready():
            if self.process is None:
                raise DidNotStart(f"{self.name} ended while starting\n{self._last_words()}")
            if time.monotonic() > deadline:
                bound = f"{self._start_within_s:.0f} s"
                raise DidNotStart(f"{self.name} was not ready within {bound}\n{self._last_words()}")
            time.sleep(0.02)

    def ask_to_stop(self) -> None:
        """Send the signal for a clean end and return at once."""
        if self.process is not None:
            self.process.send_signal(self._stop_signal)

    def stop(self) -> None:
        """A clean end; a killing one where the bound has passed. Does nothing when it is not running."""
        self.ask_to_stop()
        if self.process is not None:
            try:
                self.process.wait(self._stop_within_s)
            except psutil.TimeoutExpired:
                self.kill9()
        self._forget()

    def kill9(self) -> None:
        """The end a crash brings: SIGKILL to the process and all it has started."""
        if self.process is not None:
            kill_tree(self.process)
        self._forget()

    def said(self) -> str:
        """The log since the start."""
        try:
            begins = json.loads(self.note.read_text())["log_begins"]
            return self.log.read_bytes()[begins:].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _last_words(self) -> str:
        return "\n".join(self.said().splitlines()[-30:])

    def _forget(self) -> None:
        self._process = None
        self.note.unlink(missing_ok=True)


def find(note: Path) -> psutil.Process | None:
    """The process a note speaks of, if it still runs and is not a stranger with a reused number."""
    try:
        noted = json.loads(note.read_text())
        process = psutil.Process(noted["pid"])
        same = abs(process.create_time() - noted["started"]) < SAME_START_S
        if same and process.cmdline() == noted["command"] and alive(process):
            return process
    except (FileNotFoundError, ValueError, KeyError, psutil.NoSuchProcess):
        pass  # No file, a half-written one, or no such process: nothing of ours runs.
    return None


def running_in(directory: Path) -> dict[str, psutil.Process]:
    """What runs in a directory, by name, the oldest first."""
    notes = (directory / "run").glob("*.json")
    found = {note.stem: process for note in notes if (process := find(note))}
    return dict(sorted(found.items(), key=lambda named: named[1].create_time()))


def memory_of(process: psutil.Process) -> int:
    """Bytes of memory, what is shared with others counted by its share where the system tells."""
    used = process.memory_full_info()
    return int(getattr(used, "pss", used.rss))


def address_of(directory: Path, name: str) -> str:
    """Where a running process answers."""
    return str(json.loads((directory / "run" / f"{name}.json").read_text())["address"])


def clear_leftovers(directory: Path) -> None:
    """End what a killed run left running in a directory."""
    for process in running_in(directory).values():
        kill_tree(process)
    for note in (directory / "run").glob("*.json"):
        note.unlink()


def stop_all(directory: Path, names: Collection[str]) -> None:
    """End the named processes of a directory cleanly and at once; those that take too long are killed."""
    asked = []
    for name, process in running_in(directory).items():
        if name in names:
            noted = json.loads((directory / "run" / f"{name}.json").read_text())
            process.send_signal(noted["stop_signal"])
            asked.append((process, time.monotonic() + noted["stop_within_s"], name))
    for process, deadline, name in asked:
        while alive(process) and time.monotonic() < deadline:
            time.sleep(0.02)
        kill_tree(process)
        (directory / "run" / f"{name}.json").unlink(missing_ok=True)


def kill_tree(process: psutil.Process) -> None:
    """SIGKILL a process and its descendants, and wait until all are gone."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + 10
    while any(alive(member) for member in family) and time.monotonic() < deadline:
        time.sleep(0.005)


def alive(process: psutil.Process) -> bool:
    """A zombie counts as gone; one that is our child is reaped here."""
    if isinstance(process, psutil.Popen):
        return process.poll() is None
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
