"""What each service of this checkout says that it publishes and consumes.

The applications are found by their place and loaded by name, so that this package depends on none of them.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from schemas.event import Event
from schemas.publish.files import CHECKOUT


@dataclass(frozen=True, slots=True)
class Traffic:
    """The events one service sends and receives."""

    sends: frozenset[type[Event]]
    receives: frozenset[type[Event]]


def traffic(services: Path = CHECKOUT / "services") -> Mapping[str, Traffic]:
    """Every service's traffic, by its name."""
    apps = sorted(app for app in services.glob("*/*/app.py") if app.parent.name == app.parents[1].name)
    return {app.parent.name: _declared(app) for app in apps}


def _declared(app: Path) -> Traffic:
    if (root := str(app.parents[1])) not in sys.path:
        sys.path.append(root)  # A checkout's services are read where they stand, installed or not.
    service = import_module(f"{app.parent.name}.app").service
    return Traffic(
        sends=frozenset(service.publishes),
        receives=frozenset(event for handler in service.handlers for event in handler.events),
    )
