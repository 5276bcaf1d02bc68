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
import importlib, json, sys
service = importlib.import_module(sys.argv[1] + ".app").service
print(json.dumps({
    "sends": [event.type() for event in service.publishes],
    "receives": [event.type() for handler in service.handlers for event in handler.events],
    "handlers": [handler.name for handler in service.handlers],
}))
"""


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
    asked = {app.parent.name: _asked(app) for app in apps}
    return {name: _answer(name, process) for name, process in asked.items()}


def _asked(app: Path) -> subprocess.Popen[str]:
    # A checkout's services are read where they stand, installed or not.
    path = [str(app.parents[1]), *filter(None, sys.path)]
    return subprocess.Popen(
        [sys.executable, "-c", _ASK, app.parent.name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _answer(name: str, process: subprocess.Popen[str]) -> Traffic:
    out, trouble = process.communicate()
    if process.returncode:
        raise Silent(f"{name}.app cannot be loaded:\n{trouble}")
    answer, events = json.loads(out), {event.type(): event for event in all_events()}
    return Traffic(
        sends=frozenset(events[type_] for type_ in answer["sends"]),
        receives=frozenset(events[type_] for type_ in answer["receives"]),
        handlers=tuple(answer["handlers"]),
    )
