"""Where the stack keeps its files, and under which user its processes run."""

import fcntl
import hashlib
import os
import pwd
import random
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".stack"  # Ignored by git; safe to delete while nothing runs.


class Account(TypedDict, total=False):
    """Arguments of subprocess that change the user; empty for the user we are."""

    user: int
    group: int
    extra_groups: list[int]


def unprivileged() -> Account:
    """The account PostgreSQL runs under: it refuses root, so root lends it another."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL refuses root, and this machine has neither a user postgres nor nobody")


def own(path: Path, account: Account) -> None:
    """Hand one file or folder to the account."""
    if account:
        os.chown(path, account["user"], account["group"])


def reachable(directory: Path, account: Account) -> Path:
    """The directory, made if need be; or, where the account cannot enter it, one in /var/tmp that it can.

    A checkout below /root (mode 0700) is closed to every other user. The file `elsewhere` in the
    directory then says where the data went.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not account:
        return directory
    directory.chmod(0o755)
    if subprocess.run(["test", "-x", directory], check=False, **account).returncode == 0:
        return directory
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    elsewhere = Path("/var/tmp") / f"tandem-stack-{digest}"
    elsewhere.mkdir(mode=0o755, exist_ok=True)
    if elsewhere.is_symlink() or elsewhere.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{elsewhere} belongs to somebody else; remove it or move the checkout")
    elsewhere.chmod(0o755)
    (directory / "elsewhere").write_text(f"{elsewhere}\n")
    return elsewhere


@contextmanager
def locked(file: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a file's lock; it ends with the process, however that ends.

    Yields whether the lock was had: always, where it may wait for it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def free_port() -> int:
    """A port on the loopback nobody listens on.

    It is drawn below the range that outgoing connections use, so that it is still free when its process
    starts, and again when that is restarted after a kill.
    """
    while True:
        port = random.randint(12_000, 31_999)
        if port_is_free(port):
            return port


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
