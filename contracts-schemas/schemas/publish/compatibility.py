"""What may change about a released event: it may gain fields that have defaults. Nothing else.

Topics are kept for years, so a new class must read every old record, and readers move when they like, so
an old class must read every new record. A change that fails either is a break.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

_WORDS = {"$schema", "$defs", "title", "description", "deprecated", "x-grown"}
"""They explain and do not bind; `$defs` is followed from where it is used."""
_OPAQUE = {"default", "const", "enum"}
_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Change:
    """A difference that binds sender or readers. `breaks` says what is wrong with it; empty: nothing."""

    where: str
    breaks: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.breaks}"


def changes(old: Schema, new: Schema) -> list[Change]:
    """All that differs between a released schema and one that would take its place."""
    return list(dict.fromkeys(_node(old, new, "", old, new, frozenset())))


def _node(
    old: Schema, new: Schema, at: str, old_root: Schema, new_root: Schema, open_: frozenset[tuple[str, str]]
) -> Iterator[Change]:
    pair = (old.get("$ref", ""), new.get("$ref", ""))
    if all(pair) and pair in open_:
        return  # A value that contains itself: it is being compared further up.
    old, new, open_ = _resolved(old, old_root), _resolved(new, new_root), open_ | {pair}
    yield from _fields(old, new, at)
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in [name for name in before if name in after]:
        yield from _node(before[name], after[name], _under(at, name), old_root, new_root, open_)
    for keyword in sorted((old.keys() | new.keys()) - _WORDS - {"properties", "required"}):
        was, now = old.get(keyword, _MISSING), new.get(keyword, _MISSING)
        if keyword not in _OPAQUE and isinstance(was, dict) and isinstance(now, dict):
            yield from _node(was, now, _under(at, keyword), old_root, new_root, open_)
        elif keyword not in _OPAQUE and _alternatives(was) and _alternatives(now) and len(was) == len(now):
            for one, other in zip(was, now, strict=True):
                yield from _node(one, other, at, old_root, new_root, open_)
        elif was != now:
            yield Change(at or "the event", f"{keyword} {_told('was', was)} and {_told('is', now)}")


def _fields(old: Schema, new: Schema, at: str) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    was_sure, is_sure = set(old.get("required", ())), set(new.get("required", ()))
    for name in before:
        if name not in after:
            yield Change(_under(at, name), "is gone; readers still want it (a new name is also a loss)")
        elif name in is_sure - was_sure:
            yield Change(_under(at, name), "lost its default; older records may be without it")
        elif name in was_sure - is_sure:
            yield Change(_under(at, name), "got a default; readers rely on it being there")
    for name in after:
        if name not in before:
            without_default = "is new and has no default; older records are without it"
            yield Change(_under(at, name), without_default if name in is_sure else "")


def _resolved(schema: Schema, root: Schema) -> Schema:
    """With `$ref` replaced by what it points to; a default or description beside it stays."""
    if "$ref" not in schema:
        return schema
    beside = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
    return {**root["$defs"][schema["$ref"].removeprefix("#/$defs/")], **beside}


def _alternatives(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _under(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _told(verb: str, value: Any) -> str:
    return f"{verb} not there" if value is _MISSING else f"{verb} {json.dumps(value)}"
