"""One process of the stack: started with a pid file and a log, awaited with a bound, ended for certain."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from stack.places import Account

SAME_START_S = 5.0  # How far two readings of a process's start time may differ when the clock is set.


class DidNotStart(Exception):
    """A process ended, or was not ready in time; the message holds the end of its log."""


class Daemon:
    """A process that may outlive the one that started it: whoever has the directory can find and end it."""

    def __init__(
        self,
        name: str,
        directory: Path,
        command: Sequence[str],
        ready: Callable[[], bool],
        *,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        start_within_s: float = 30,
        stop_within_s: float = 15,
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.pid_file = directory / f"{name}.pid"
        self.command = list(command)
        self.env = dict(env or {})
        self.ready = ready
        self._account: Account = account or {}
        self._stop_signal = stop_signal
        self._start_within_s = start_within_s
        self._stop_within_s = stop_within_s
        self._process: psutil.Process | None = None

    @property
    def process(self) -> psutil.Process | None:
        """The running process, started by us or found by its pid file."""
        if self._process is None:
            self._process = find(self.pid_file)
        if self._process is not None and not _alive(self._process):
            self._process = None
        return self._process

    def start(self) -> None:
        """Launch and wait until ready. Raises DidNotStart."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the process and return at once; does nothing while it runs."""
        if self.process is not None:
            return
        with self.log.open("ab") as log:
            # A session of its own, so that Ctrl-C ends whoever started it first, and that one cleans up.
            self._process = psutil.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | self.env,
                start_new_session=True,
                **self._account,
            )
        started = self._process.create_time()
        noted = {"pid": self._process.pid, "started": started, "command": self.command}
        self.pid_file.write_text(json.dumps(noted))

    def await_ready(self) -> None:
        """Wait until ready. Raises DidNotStart when the process ends first, or the bound has passed."""
        deadline = time.monotonic() + self._start_within_s
        while not self.ready():
            if self.process is None:
                raise DidNotStart(f"{self.name} ended while starting\n{self.tail()}")
            if time.monotonic() > deadline:
                bound = f"{self._start_within_s:.0f} s"
                raise DidNotStart(f"{self.name} was not ready within {bound}\n{self.tail()}")
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

    def tail(self, lines: int = 30) -> str:
        """The end of the log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _forget(self) -> None:
        self._process = None
        self.pid_file.unlink(missing_ok=True)


def find(pid_file: Path) -> psutil.Process | None:
    """The process a pid file speaks of, if it still runs and is not a stranger with a reused number."""
    try:
        noted = json.loads(pid_file.read_text())
        process = psutil.Process(noted["pid"])
        same = abs(process.create_time() - noted["started"]) < SAME_START_S
        if same and process.cmdline() == noted["command"] and _alive(process):
            return process
    except (FileNotFoundError, ValueError, KeyError, psutil.NoSuchProcess):
        pass  # No file, a half-written one, or no such process: nothing of ours runs.
    return None


def clear_leftovers(directory: Path) -> list[str]:
    """End what a killed run left running in a directory; says the names."""
    cleared = []
    for pid_file in sorted(directory.glob("*.pid")):
        process = find(pid_file)
        if process is not None:
            kill_tree(process)
            cleared.append(pid_file.stem)
        pid_file.unlink(missing_ok=True)
    return cleared


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
    while any(_alive(member) for member in family) and time.monotonic() < deadline:
        time.sleep(0.005)


def _alive(process: psutil.Process) -> bool:
    """A zombie counts as gone; one that is our child is reaped here."""
    if isinstance(process, psutil.Popen):
        return process.poll() is None
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
