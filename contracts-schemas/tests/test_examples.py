"""The examples are whole records; every reader must be able to read them for ever."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from schemas.event import Event, UnknownVersion, all_events
from schemas.publish.files import EXAMPLES, Example, examples, schema_path

EVENTS = {event.type(): event for event in all_events()}
EVERY = [
    pytest.param(event, example, id=f"{type_}/{example.name}")
    for type_, event in EVENTS.items()
    for example in examples(type_)
]
APPROVED = EVENTS["enrollment.approved.v1"]


def read(event: type[Event], example: Example, **changed: Any) -> Event:
    return event.read(json.dumps({**example.value, **changed}).encode(), example.headers)


@pytest.mark.parametrize("type_", EVENTS)
def test_every_published_event_has_at_least_two_examples(type_: str) -> None:
    assert len(examples(type_)) >= 2


def test_no_example_speaks_of_an_event_that_nobody_publishes() -> None:
    assert {directory.name for directory in EXAMPLES.iterdir()} <= set(EVENTS)


@pytest.mark.parametrize(("event", "example"), EVERY)
def test_every_example_of_every_published_version_can_be_read(event: type[Event], example: Example) -> None:
    fact = read(event, example)

    assert str(fact.event_id) == example.headers["ce_id"]
    # What the sender says of the same fact is what stands in the file, so the examples show real records.
    assert fact.headers() == {k: v for k, v in example.headers.items() if k != "traceparent"}
    assert fact.aggregate_id == example.key
    written = json.loads(fact.value())
    assert {name: written[name] for name in example.value} == example.value


@pytest.mark.parametrize(("event", "example"), EVERY)
def test_every_example_is_valid_by_its_published_schema(event: type[Event], example: Example) -> None:
    schema = json.loads(schema_path(event.type()).read_text())

    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(example.value)


@pytest.mark.parametrize("type_", EVENTS)
def test_the_examples_of_an_event_show_each_of_its_fields(type_: str) -> None:
    shown = {name for example in examples(type_) for name in example.value}

    assert shown == set(EVENTS[type_].model_fields)


@pytest.mark.parametrize(("event", "example"), EVERY)
def test_a_record_without_the_fields_that_have_defaults_is_still_read(event: type[Event], example: Example) -> None:
    required = json.loads(schema_path(event.type()).read_text())["required"]

    only_required = {name: example.value[name] for name in required}

    assert event.read(json.dumps(only_required).encode(), example.headers).aggregate_id == example.key


@pytest.mark.parametrize(("event", "example"), EVERY)
def test_fields_that_a_reader_does_not_know_are_ignored_on_every_level(event: type[Event], example: Example) -> None:
    newer = grown(example.value, event.model_json_schema(mode="serialization"))

    assert event.read(json.dumps(newer).encode(), example.headers) == read(event, example)


def grown(value: Any, schema: dict[str, Any]) -> Any:
    """The value with one more field in each object that the schema describes by properties."""
    defs = schema.get("$defs", {})

    def more(value: Any, node: dict[str, Any]) -> Any:
        if isinstance(value, list):
            return [more(item, one) for item in value for one in [node.get("items", {})]]
        for one in node.get("anyOf", [node]):
            one = {**defs.get(one.get("$ref", "").removeprefix("#/$defs/"), {}), **one}
            if isinstance(value, dict) and "properties" in one:
                known = {name: more(value[name], one["properties"][name]) for name in value}
                return {**known, "added_later": {"by": "a newer sender"}}
        return value

    return more(value, schema)


def test_a_version_that_the_reader_does_not_know_is_refused_by_name() -> None:
    example = examples("enrollment.approved.v1")[0]
    headers = {**example.headers, "ce_type": "enrollment.approved.v2"}

    with pytest.raises(UnknownVersion, match=r"enrollment\.approved\.v2"):
        APPROVED.read(json.dumps(example.value).encode(), headers)


def broken_records() -> Iterator[Any]:
    example = examples("enrollment.approved.v1")[0]
    value, headers = json.dumps(example.value).encode(), example.headers
    yield pytest.param(b"{not json", headers, id="not JSON")
    yield pytest.param(b"[]", headers, id="not an object")
    yield pytest.param(value.replace(b'"way"', b'"wy"'), headers, id="a field is missing")
    yield pytest.param(value.replace(b'"version": 1', b'"version": "one"'), headers, id="a wrong type")
    yield pytest.param(value, {**headers, "ce_id": "7"}, id="an id that is none")
    yield pytest.param(value, {}, id="no headers")
    yield pytest.param(None, headers, id="no value")


@pytest.mark.parametrize(("value", "headers"), list(broken_records()))
def test_a_broken_record_is_refused_and_says_why(value: bytes | None, headers: dict[str, str]) -> None:
    with pytest.raises((ValueError, ValidationError)) as refusal:
        APPROVED.read(value, headers)

    assert str(refusal.value)
