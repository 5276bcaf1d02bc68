"""A released schema may grow by fields with defaults. Everything else is refused, and by name."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import jsoncompat
import pytest
from pydantic import Field

from schemas.event import Event, Value, all_events
from schemas.publish import __main__ as program
from schemas.publish.compatibility import changes
from schemas.publish.files import schema_of, schema_path
from schemas.publish.release import prepared

Schema = dict[str, Any]
EVENTS = list(all_events())
INSTRUCTED = next(event for event in EVENTS if event.topic == "invoice.instructed")
DEFS = "$defs"


class Tag(Value):
    """A word somebody put on a parcel."""

    word: str
    inside: "Tag | None" = None


class ParcelSent(Event):
    """A parcel left. It stands for any event, and has one of everything."""

    topic: ClassVar[str] = "parcel.sent"
    key: ClassVar[str] = "parcel"
    source: ClassVar[str] = "post"

    parcel: str
    weight: int = Field(ge=1)
    kind: str = Field("letter", json_schema_extra={"enum": ["letter", "box"]})
    tags: list[Tag] = Field(default_factory=list)
    sender: Tag | None = None
    prices: dict[str, int] = Field(default_factory=dict)


def changed(edit: Callable[[Schema], Any]) -> tuple[Schema, Schema]:
    """The schema as it is released, and a copy that was edited."""
    released = schema_of(ParcelSent)
    new = deepcopy(released)
    edit(new)
    return released, new


def independently_compatible(released: Schema, new: Schema) -> bool:
    """What jsoncompat says; it cannot follow references in a schema that has an `$id`."""
    old, new = ({k: v for k, v in schema.items() if k != "$id"} for schema in (released, new))
    return bool(jsoncompat.check_compat(json.dumps(old), json.dumps(new), "serializer"))


def properties(schema: Schema) -> Schema:
    found: Schema = schema["properties"]
    return found


BREAKS: dict[str, tuple[Callable[[Schema], Any], str]] = {
    "a field is removed": (lambda s: properties(s).pop("sender"), "sender: is gone"),
    "a field is renamed": (
        lambda s: properties(s).update(mass=properties(s).pop("weight")),
        "weight: is gone",
    ),
    "a type changes": (
        lambda s: properties(s)["weight"].update(type="number"),
        'weight: type was "integer" and is "number"',
    ),
    "a field may now be null": (
        lambda s: properties(s).update(parcel={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        "parcel: anyOf was not there",
    ),
    "an alternative is added": (
        lambda s: properties(s)["sender"]["anyOf"].append({"type": "string"}),
        "sender: anyOf was",
    ),
    "a new field has no default": (
        lambda s: (properties(s).update(route={"type": "string"}), s["required"].append("route")),
        "route: is new and has no default",
    ),
    "a field loses its default": (lambda s: s["required"].append("kind"), "kind: lost its default"),
    "a field gains a default": (lambda s: s["required"].remove("weight"), "weight: got a default"),
    "a default changes": (
        lambda s: properties(s)["kind"].update(default="box"),
        'kind: default was "letter" and is "box"',
    ),
    "an enum narrows": (lambda s: properties(s)["kind"].update(enum=["letter"]), "kind: enum was"),
    "an enum widens": (
        lambda s: properties(s)["kind"].update(enum=["letter", "box", "crate"]),
        "kind: enum was",
    ),
    "a format changes": (
        lambda s: properties(s)["at"].update(format="date"),
        'at: format was "date-time" and is "date"',
    ),
    "a bound is tightened": (
        lambda s: properties(s)["weight"].update(minimum=2),
        "weight: minimum was 1 and is 2",
    ),
    "a bound is loosened": (
        lambda s: properties(s)["weight"].pop("minimum"),
        "weight: minimum was 1 and is not there",
    ),
    "a pattern appears": (
        lambda s: properties(s)["parcel"].update(pattern="^P"),
        "parcel: pattern was not there",
    ),
    "the values of a map change": (
        lambda s: properties(s)["prices"].update(additionalProperties={"type": "string"}),
        'prices.additionalProperties: type was "integer"',
    ),
    "a field of a nested value is removed": (
        lambda s: s[DEFS]["Tag"]["properties"].pop("word"),
        "tags.items.word: is gone",
    ),
    "a field of a nested value changes its type": (
        lambda s: s[DEFS]["Tag"]["properties"]["word"].update(type="integer"),
        'sender.word: type was "string"',
    ),
    "unknown fields are forbidden": (
        lambda s: s.update(additionalProperties=False),
        "additionalProperties was not there",
    ),
    "the key changes": (lambda s: s["x-event"].update(key="tags"), 'key was "parcel" and is "tags"'),
    "the topic changes": (lambda s: s["x-event"].update(topic="parcel.gone"), "topic was"),
    "the sender changes": (lambda s: s["x-event"].update(source="courier"), "source was"),
    "a step fact becomes a state fact": (
        lambda s: s["x-event"].update(state=True),
        "state was false and is true",
    ),
    "the partitions change": (lambda s: s["x-event"].update(partitions=12), "partitions was"),
    "the identity changes": (
        lambda s: s.update({"$id": "urn:tandem:parcel.sent.v2"}),
        '$id was "urn:tandem:parcel.sent.v1"',
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_breaking_change_is_found_and_named(what: str) -> None:
    edit, said = BREAKS[what]
    released, new = changed(edit)

    found = [str(change) for change in changes(released, new) if change.breaks]

    assert any(said in problem for problem in found), found


@pytest.mark.parametrize("what", BREAKS)
def test_an_independent_checker_finds_no_break_that_we_miss(what: str) -> None:
    released, new = changed(BREAKS[what][0])

    theirs = independently_compatible(released, new)
    ours = not any(change.breaks for change in changes(released, new))

    assert theirs or not ours


@pytest.mark.parametrize(
    "what",
    ["a field is removed", "a type changes", "a field may now be null", "a bound is loosened", "an enum widens"],
)
def test_the_independent_checker_is_awake(what: str) -> None:
    released, new = changed(BREAKS[what][0])

    assert not independently_compatible(released, new)


GROWTH: dict[str, tuple[Callable[[Schema], Any], list[str]]] = {
    "a field with a default": (
        lambda s: properties(s).update(route={"type": "string", "default": "ground"}),
        ["route"],
    ),
    "a field of a nested value": (
        lambda s: s[DEFS]["Tag"]["properties"].update(colour={"type": "string", "default": "red"}),
        ["tags.items.colour", "sender.colour"],
    ),
    "better words": (lambda s: s.update(description="It left.", title="Sent"), []),
}


@pytest.mark.parametrize("what", GROWTH)
def test_growth_by_fields_with_defaults_is_allowed(what: str) -> None:
    edit, added = GROWTH[what]
    released, new = changed(edit)

    found = changes(released, new)

    assert [change.where for change in found] == added
    assert not any(change.breaks for change in found)
    assert independently_compatible(released, new)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type())
def test_what_is_announced_today_keeps_what_was_released(event: type[Event]) -> None:
    released = json.loads(schema_path(event.type()).read_text())
    current = schema_of(event)

    assert [str(change) for change in changes(released, current) if change.breaks] == []
    assert independently_compatible(released, current)


def release(directory: Path, *events: type[Event]) -> list[str]:
    """Release into a directory as the program does; the refusals, or nothing."""
    made = prepared(events, directory)
    if not made.refusals:
        for path, text in made.files.items():
            path.write_text(text)
    return made.refusals


def class_of_parcel(**fields: Any) -> type[Event]:
    """The event once more, as a later checkout would have it."""
    body = {"__module__": __name__, "__annotations__": {name: kind for name, (kind, _) in fields.items()}}
    values = {name: default for name, (_, default) in fields.items() if default is not ...}
    own = {"topic": "parcel.sent", "key": "parcel", "source": "post", "__doc__": ParcelSent.__doc__}
    return type("ParcelSent", (Event,), {**body, **own, **values})


def test_a_grown_event_is_released_again_and_the_growth_stays_on_record(tmp_path: Path) -> None:
    file = tmp_path / "parcel.sent.v1.schema.json"
    release(tmp_path, class_of_parcel(parcel=(str, ...)))
    assert "x-grown" not in json.loads(file.read_text())

    assert release(tmp_path, class_of_parcel(parcel=(str, ...), route=(str, "ground"))) == []
    assert release(tmp_path, class_of_parcel(parcel=(str, ...), route=(str, "ground"), fragile=(bool, False))) == []

    schema = json.loads(file.read_text())
    assert schema["x-grown"] == [["route"], ["fragile"]]
    assert schema["required"] == ["version", "at", "parcel"]


def test_a_breaking_release_is_refused_and_the_file_stays(tmp_path: Path) -> None:
    release(tmp_path, class_of_parcel(parcel=(str, ...), weight=(int, ...)))
    before = (tmp_path / "parcel.sent.v1.schema.json").read_text()

    refusals = release(tmp_path, class_of_parcel(parcel=(str, ...), mass=(int, ...)))

    assert refusals == [
        "parcel.sent.v1: weight: is gone; readers still want it (a new name is also a loss)",
        "parcel.sent.v1: mass: is new and has no default; older records are without it",
    ]
    assert (tmp_path / "parcel.sent.v1.schema.json").read_text() == before


def test_a_released_event_cannot_lose_its_class(tmp_path: Path) -> None:
    release(tmp_path, class_of_parcel(parcel=(str, ...)))

    assert release(tmp_path) == ["parcel.sent.v1: it is released and no class announces it any more"]


def test_an_event_must_say_what_became_true(tmp_path: Path) -> None:
    silent = class_of_parcel(parcel=(str, ...))
    silent.__doc__ = None

    assert release(tmp_path, silent) == ["parcel.sent.v1: its class has no docstring that says what became true"]


def test_releasing_twice_changes_nothing(tmp_path: Path) -> None:
    release(tmp_path, *EVENTS)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}

    assert release(tmp_path, *EVENTS) == []

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that the program takes for the published one; it knows one event, and no service."""
    events = [class_of_parcel(parcel=(str, ...))]
    monkeypatch.setattr(program, "all_events", lambda: events)
    monkeypatch.setattr(program, "traffic", dict)
    monkeypatch.setattr(program.everything, "__defaults__", (tmp_path,))
    return tmp_path


def test_the_program_writes_what_is_new_and_then_has_nothing_to_do(
    shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["--check"]) == 1
    assert list(shelf.iterdir()) == []

    assert program.main([]) == 0

    assert "parcel.sent.v1: new" in capsys.readouterr().err
    assert {path.name for path in shelf.iterdir()} == {"README.md", "asyncapi.yaml", "parcel.sent.v1.schema.json"}
    assert program.main(["--check"]) == 0


def test_the_program_refuses_a_break_and_says_what_to_do(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program.main([])
    before = {path.name: path.read_text() for path in shelf.iterdir()}
    monkeypatch.setattr(program, "all_events", lambda: [class_of_parcel(parcel=(int, ...))])

    assert program.main([]) == 1

    said = capsys.readouterr().err
    assert 'parcel.sent.v1: parcel: type was "string" and is "integer"' in said
    assert "<name>.v2" in said
    assert {path.name: path.read_text() for path in shelf.iterdir()} == before


def test_everything_published_is_up_to_date() -> None:
    """If this fails, `make schemas` prints what is new or says why it must not."""
    due = program.everything()

    assert due.refusals == []
    assert [path.name for path in program.outdated(due)] == []
