"""Releasing event schemas: a new one is written, a grown one replaced, a broken one refused."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.event import Event
from schemas.publish.compatibility import changes
from schemas.publish.files import printed, schema_of, schema_path


@dataclass
class Release:
    """What a release would do: files to write with their text, and why it must not happen."""

    files: dict[Path, str] = field(default_factory=dict)
    news: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def prepared(events: Iterable[type[Event]], directory: Path) -> Release:
    """Compare the classes with the schemas released in `directory`. Nothing is written."""
    release = Release()
    types = set()
    for event in events:
        types.add(event.type())
        if not event.__doc__:
            release.refusals.append(f"{event.type()}: its class has no docstring that says what became true")
            continue
        path = schema_path(event.type(), directory)
        schema = schema_of(event)
        if not path.exists():
            release.news.append(f"{event.type()}: new")
        else:
            _grow(schema, json.loads(path.read_text()), event.type(), release)
        release.files[path] = printed(schema)
    for path in sorted(directory.glob("*.schema.json")):
        if (type_ := path.name.removesuffix(".schema.json")) not in types:
            release.refusals.append(f"{type_}: it is released and no class announces it any more")
    return release


def _grow(schema: dict[str, Any], released: dict[str, Any], type_: str, release: Release) -> None:
    """Carry the record of growth on in `schema`, and say what is new or wrong about it.

    `x-grown` lists, release by release, the fields that were added since the first.
    """
    found = changes(released, schema)
    release.refusals += [f"{type_}: {change}" for change in found if change.breaks]
    added = [change.where for change in found if not change.breaks]
    if added:
        release.news.append(f"{type_}: grew by {', '.join(added)}")
    if grown := [*released.get("x-grown", []), *([added] if added else [])]:
        schema["x-grown"] = grown
