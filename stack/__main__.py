"""python -m stack: everything on this machine, without containers."""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from stack import tools

PARTS = ("postgres", "kafka")
BASE_PORT = 8100


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m stack", description="The whole suite on this machine.")
    options.add_argument("--home", type=Path, help="where data and logs go (default: .stack in the checkout)")
    does = options.add_subparsers(dest="command", required=True)
    up_options = does.add_parser("up", help="start everything that does not run yet")
    up_options.add_argument("--fresh", action="store_true", help="stop what runs and begin without data")
    up_options.add_argument(
        "--secure", action="store_true", help="Kafka with TLS, a user for each service, and rights (ACLs)"
    )
    up_options.add_argument(
        "--base-port", type=int, default=BASE_PORT, help="services listen from the next port on (default: %(default)s)"
    )
    up_options.add_argument("services", nargs="*", help="only these services (default: all)")
    does.add_parser("down", help="stop everything")
    does.add_parser("status", help="what runs, and where")
    does.add_parser("doctor", help="whether this machine has what the stack needs")
    asked = options.parse_args()
    if asked.command == "doctor" or sys.version_info[:2] < tools.PYTHON_MIN:
        return doctor()
    return _act(asked)


def doctor() -> int:
    """Say what this machine lacks; exit status 2 if anything."""
    complaints = tools.complaints()
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if not complaints:
        print("python, java and mvn are there")
    return 2 if complaints else 0


def _act(asked: argparse.Namespace) -> int:
    # Imported late: the doctor must also work where no library is installed yet.
    from stack import places
    from stack.daemon import DidNotStart, PortTaken

    home = (asked.home or places.HOME).resolve()
    if asked.command == "status":
        return status(home)
    with places.locked(home / "up.lock", wait=False) as ours:
        if not ours:
            print("another `up` or `down` is at work", file=sys.stderr)
            return 1
        try:
            return down(home) if asked.command == "down" else up(home, asked)
        except tools.Missing:
            return doctor()
        except (DidNotStart, PortTaken) as failed:
            print(failed, file=sys.stderr)
            return 1


def up(home: Path, asked: argparse.Namespace) -> int:
    """Start what does not run yet; what this call started ends again if something fails."""
    from stack import daemon, kafka, parts
    from stack.processes import OFFSETS, SERVICES, Suite

    began = time.monotonic()
    if asked.fresh:
        down(home)
        for folder in ("data", "logs"):
            shutil.rmtree(home / folder, ignore_errors=True)
    before = set(daemon.running_in(home))
    if kafka.runs_secured(home) not in (None, asked.secure):
        print("Kafka runs the other way, with --secure or without: `down` first; data are kept", file=sys.stderr)
        return 1
    base = asked.base_port
    try:
        ports = (base + OFFSETS["postgres"], base + OFFSETS["kafka"], base + OFFSETS["controller"])
        suite = Suite(home, parts.start(home, fresh=asked.fresh, ports=ports, secure=asked.secure), base_port=base)
        suite.start(asked.services or SERVICES)
    except BaseException:
        started = set(daemon.running_in(home)) - before
        daemon.stop_all(home, started - set(PARTS))
        daemon.stop_all(home, started)
        raise
    status(home)
    print(f"up in {time.monotonic() - began:.1f} s; logs in {os.path.relpath(home / 'logs')}; `down` stops it")
    return 0


def down(home: Path) -> int:
    """Stop everything: the services first, as they have work to finish in the parts."""
    from stack import daemon

    names = set(daemon.running_in(home))
    daemon.stop_all(home, names - set(PARTS))
    daemon.stop_all(home, names)
    print(f"stopped {', '.join(sorted(names))}" if names else "nothing runs")
    return 0


def status(home: Path) -> int:
    """A line per process; exit status 3 when nothing runs."""
    from stack import daemon

    running = daemon.running_in(home)
    for name, process in running.items():
        megabytes = sum(map(daemon.memory_of, [process, *process.children()])) // 2**20
        print(f"{name:12} {daemon.address_of(home, name):58} {megabytes:5} MB  pid {process.pid}")
    if not running:
        print("nothing runs")
    return 0 if running else 3


if __name__ == "__main__":
    sys.exit(main())
