"""python -m bench [name …]: measure, show a table, write build/bench.json."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module

from bench.results import Report, Result, console
from stack import parts
from stack.places import HOME, ROOT

ON_PARTS = ("relay_vs_raw_producer", "relay_commit_to_ack_ms", "consumer_vs_raw_loop", "consumer_batch_vs_single")
"""Each of these begins with a fresh PostgreSQL and Kafka."""


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("names", nargs="*", metavar="name", help=f"any of: {', '.join(ON_PARTS)} (default: all)")
    names = options.parse_args().names or ON_PARTS
    unknown = set(names) - set(ON_PARTS)
    if unknown:
        options.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    report = Report()
    for name in ON_PARTS:
        if name in names:
            began = time.monotonic()
            console.print(f"{name} …  [dim]load {os.getloadavg()[0]:.1f}[/dim]")
            run: Callable[[parts.Parts], Sequence[Result]] = import_module(f"bench.{name}").run
            with parts.running(HOME / "bench") as fresh:
                report.add(run(fresh))
            console.print(f"  [dim]{time.monotonic() - began:.0f} s[/dim]")
    report.show()
    report.write(ROOT / "build" / "bench.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
