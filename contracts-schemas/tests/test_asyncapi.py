"""The AsyncAPI document says what the classes say, and any AsyncAPI tool can read it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from schemas.event import Event, all_events
from schemas.publish import asyncapi
from schemas.publish.files import PUBLISHED, examples
from schemas.publish.services import Traffic

EVENTS = {event.topic: event for event in all_events()}
CHARGED, CONFIRMED = EVENTS["credits.charged"], EVENTS["enrollment.confirmed"]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    services = {
        "billing": Traffic(sends=frozenset({CHARGED}), receives=frozenset()),
        "enrollment": Traffic(sends=frozenset({CONFIRMED}), receives=frozenset({CHARGED})),
        "academy": Traffic(sends=frozenset(), receives=frozenset({CONFIRMED})),
    }
    made: dict[str, Any] = yaml.safe_load(asyncapi.as_yaml(asyncapi.document(EVENTS.values(), services)))
    return made


def test_the_document_is_valid_asyncapi_3(document: dict[str, Any]) -> None:
    definition = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text())

    Draft7Validator(definition).validate(document)


def test_the_definition_notices_a_wrong_document(document: dict[str, Any]) -> None:
    definition = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text())
    operations = {**document["operations"], "x-sends-y": {"action": "publish"}}

    assert not Draft7Validator(definition).is_valid({**document, "operations": operations})


def references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for inner in node:
            yield from references(inner)
    elif isinstance(node, dict):
        for name, inner in node.items():
            if name == "$ref":
                yield inner
            elif name != "examples":
                yield from references(inner)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(references(document)):
        if reference.startswith("./"):
            assert (PUBLISHED / reference).is_file(), reference
            continue
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


@pytest.mark.parametrize("topic", EVENTS)
def test_a_channel_says_how_its_topic_is_made(document: dict[str, Any], topic: str) -> None:
    event = EVENTS[topic]
    channel = document["channels"][event.type().replace(".", "-")]

    kafka = channel["bindings"]["kafka"]
    assert channel["address"] == kafka["topic"] == topic
    assert kafka["partitions"] == event.partitions
    kept = kafka["topicConfiguration"]
    assert kept["cleanup.policy"] == (["compact"] if event.state else ["delete"])
    assert kept.get("retention.ms", -1) == -1


@pytest.mark.parametrize("topic", EVENTS)
def test_a_message_shows_whole_records_that_are_valid(document: dict[str, Any], topic: str) -> None:
    event: type[Event] = EVENTS[topic]
    message = document["components"]["messages"][event.type().replace(".", "-")]
    envelope = {**message["headers"], "components": document["components"]}
    payload = json.loads((PUBLISHED / message["payload"]["$ref"]).read_text())

    assert message["name"] == event.type()
    assert [shown["name"] for shown in message["examples"]] == [e.name for e in examples(event.type())]
    for shown in message["examples"]:
        Draft202012Validator(envelope).validate(shown["headers"])
        Draft202012Validator(payload).validate(shown["payload"])
        assert not Draft202012Validator(envelope).is_valid({**shown["headers"], "ce_type": "other.v1"})


def test_operations_say_who_sends_and_who_receives(document: dict[str, Any]) -> None:
    about = {
        name: (operation["action"], operation["tags"][0]["name"])
        for name, operation in document["operations"].items()
        if operation["channel"]["$ref"] in ("#/channels/credits-charged-v1", "#/channels/enrollment-confirmed-v1")
    }

    assert about == {
        "billing-sends-credits-charged-v1": ("send", "billing"),
        "enrollment-receives-credits-charged-v1": ("receive", "enrollment"),
        "enrollment-sends-enrollment-confirmed-v1": ("send", "enrollment"),
        "academy-receives-enrollment-confirmed-v1": ("receive", "academy"),
    }
    assert document["operations"]["enrollment-receives-credits-charged-v1"]["bindings"]["kafka"]["groupId"] == {
        "const": "enrollment"
    }
