"""python -m bench [name …]: measure, show a table, write build/bench.json."""

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module

import structlog
import uvloop

from bench import world
from bench.results import Report, Result, console
from stack import parts
from stack.places import HOME, ROOT

ON_PARTS = (
    "relay_vs_raw_producer",
    "relay_commit_to_ack_ms",
    "consumer_vs_raw_loop",
    "consumer_batch_vs_single",
    "wallet_hot_vs_naive",
    "terminations_due_per_s",
)
"""Each begins with a PostgreSQL and a Kafka of its own, fresh."""

WHEN_ASKED = ("growth_tables", "growth_replicas")
"""Like those, but only where they are named: they take long and much disk."""

ON_SUITE = (
    "main_job_idle_ms",
    "main_job_http_per_s",
    "main_job_bulk_per_s",
    "usage_rows_per_s",
    "overview_p50_ms",
    "service_idle_mb",
    "service_start_s",
)
"""These share a running suite with its people."""


def main() -> int:
    usual = (*ON_PARTS, *ON_SUITE)
    every = (*usual, *WHEN_ASKED)
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"any of: {', '.join(every)} (default: all but {' and '.join(WHEN_ASKED)})",
    )
    names = options.parse_args().names or usual
    if unknown := set(names) - set(every):
        options.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    report = Report()
    for name in (*ON_PARTS, *WHEN_ASKED):
        if name in names:
            say(name)
            began = time.monotonic()
            with parts.running(HOME / "bench") as fresh:
                report.add(import_module(f"bench.{name}").run(fresh), time.monotonic() - began)
    if chosen := [name for name in ON_SUITE if name in names]:
        say("five services and their people")
        with world.running() as processes:
            uvloop.run(on_suite(world.World(processes), chosen, report))
    report.show()
    report.write(ROOT / "build" / "bench.json")
    return 0


async def on_suite(suite: world.World, names: Sequence[str], report: Report) -> None:
    """Run these one after the other on one suite."""
    try:
        await suite.populate()
        for name in names:
            say(name)
            began = time.monotonic()
            found: Sequence[Result] = await import_module(f"bench.{name}").run(suite)
            report.add(found, time.monotonic() - began)
    finally:
        await suite.aclose()


def say(name: str) -> None:
    console.print(f"{name} …  [dim]load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores[/dim]")


if __name__ == "__main__":
    sys.exit(main())
