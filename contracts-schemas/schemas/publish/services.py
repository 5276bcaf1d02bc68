"""What each service of this checkout says that it publishes and consumes.

The applications are found by their place and asked in a process each, so that this package depends on
none of them, and none of them on another.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from schemas.event import Event, all_events
from schemas.publish.files import CHECKOUT

_ASK = """
import importlib, json, os, sys
import kit.auth, kit.cli, kit.http  # what every service needs is loaded once, for all
for name in sys.argv[1:]:
    if os.fork() == 0:
        service = importlib.import_module(name + ".app").service
        print(json.dumps({
            "name": name,
            "sends": [event.type() for event in service.publishes],
            "receives": [event.type() for handler in service.handlers for event in handler.events],
            "handlers": [handler.name for handler in service.handlers],
        }), flush=True)
        sys.exit()
    if os.waitstatus_to_exitcode(os.wait()[1]) != 0:
        sys.exit(name + ".app cannot be loaded")
"""
"""The program that asks: a process for each service, since two services may not live in one."""


class Silent(RuntimeError):
    """A service's application cannot be loaded, and so not be asked."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The events one service sends and receives, and the names of the handlers that receive them."""

    sends: frozenset[type[Event]]
    receives: frozenset[type[Event]]
    handlers: tuple[str, ...] = ()


@cache
def traffic(services: Path = CHECKOUT / "services") -> Mapping[str, Traffic]:
    """Every service's traffic, by its name. Raises `Silent`."""
    apps = sorted(app for app in services.glob("*/*/app.py") if app.parent.name == app.parents[1].name)
    # A checkout's services are read where they stand, installed or not.
    path = [*(str(app.parents[1]) for app in apps), *filter(None, sys.path)]
    asked = subprocess.run(
        [sys.executable, "-c", _ASK, *(app.parent.name for app in apps)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        raise Silent(asked.stderr.strip())
    events = {event.type(): event for event in all_events()}
    answers = [json.loads(line) for line in asked.stdout.splitlines()]
    return {
        answer["name"]: Traffic(
            sends=frozenset(events[type_] for type_ in answer["sends"]),
            receives=frozenset(events[type_] for type_ in answer["receives"]),
            handlers=tuple(answer["handlers"]),
        )
        for answer in answers
    }
