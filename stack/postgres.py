"""One PostgreSQL server on the loopback: durable as in production, small as a test wants it."""

import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

from stack import places
from stack.artefacts import Artefacts, run
from stack.daemon import Daemon, kill_tree
from stack.places import Account

PASSWORD = "tandem"  # Of every role here; the server listens on the loopback only.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Strong hashing protects nothing here, and costs every new connection some milliseconds.
    "scram_iterations": "16",
    # fsync stays on: that a commit outlives kill -9 is what the crash tests prove.
}
ADDRESSES = {"listen_addresses", "unix_socket_directories"}  # Of these settings; they belong to where it runs.
# Sorts alike on every machine, and knows every letter.
LOCALE = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


def prepare(artefacts: Artefacts, account: Account) -> None:
    """Initialise a data folder to copy from."""
    data = artefacts.initialised_postgres
    data.mkdir(mode=0o700)
    places.own(data, account)
    password = artefacts.home / "password"
    password.write_text(PASSWORD)
    run(
        f"{artefacts.postgres_bin}/initdb",
        f"--pgdata={data}",
        "--username=postgres",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        f"--set=scram_iterations={SETTINGS['scram_iterations']}",
        *LOCALE,
        "--no-sync",
        account=account,
    )


class Postgres(Daemon):
    """A server whose log is in one directory; its data too, where its account can reach that."""

    def __init__(self, artefacts: Artefacts, directory: Path, port: int) -> None:
        account = places.unprivileged()
        self.admin_url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
        self.data = places.reachable(directory / "data", account) / "postgres"
        self._initialised = artefacts.initialised_postgres
        settings = [f"--{name}={value}" for name, value in (SETTINGS | {"port": str(port)}).items()]
        super().__init__(
            "postgres",
            directory,
            [f"{artefacts.postgres_bin}/postgres", "-D", str(self.data), *settings],
            self._says_ready,
            address=self.admin_url,
            port=port,
            env={"LC_ALL": "C"},
            account=account,
            stop_signal=signal.SIGINT,  # Ends its sessions; SIGTERM waits for clients to leave.
        )

    def fresh(self) -> None:
        """Begin with no databases."""
        if self.data.exists():
            shutil.rmtree(self.data)
        subprocess.run(["cp", "-Rp", self._initialised, self.data], check=True)

    def launch(self) -> None:
        if self.process is None:
            self._clear_lock()
        super().launch()

    def _clear_lock(self) -> None:
        """A killed server leaves its lock file, with a process number that anybody may have by now."""
        lines = self._lock_lines()
        with suppress(ValueError, IndexError, psutil.NoSuchProcess):
            holder = psutil.Process(int(lines[0]))
            if str(self.data) in holder.cmdline():
                kill_tree(holder)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _says_ready(self) -> bool:
        """The server's own word: the state in its lock file, as pg_ctl reads it."""
        lines = self._lock_lines()
        return len(lines) > 7 and lines[7].strip() == "ready"

    def _lock_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
