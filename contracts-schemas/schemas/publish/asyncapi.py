"""The AsyncAPI 3.0 document of the whole suite: every topic, its message, who sends and who receives it."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from schemas.event import Event
from schemas.publish.files import examples, schema_path
from schemas.publish.services import Traffic

Node = dict[str, Any]

_TEXT: Node = {"type": "string"}
_ENVELOPE: Node = {
    "description": "CloudEvents 1.0, binary mode: the envelope travels in the record's headers.",
    "type": "object",
    "required": [
        "ce_specversion",
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_time",
        "ce_subject",
        "ce_dataschema",
        "ce_sequence",
        "content-type",
    ],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid", "description": "Of this announcement; UUIDv7."},
        "ce_source": {**_TEXT, "description": "The service that announces, after a slash."},
        "ce_type": {**_TEXT, "description": "The event's name and schema version."},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it became true."},
        "ce_subject": {**_TEXT, "description": "The aggregate's id; also the record's key."},
        "ce_dataschema": {"type": "string", "format": "uri", "description": "`$id` of the value's schema."},
        "ce_sequence": {**_TEXT, "pattern": "^[0-9]+$", "description": "The aggregate's version."},
        "ce_tenant": {
            **_TEXT,
            "description": "`partner/<id>`, else `customer/<id>`, else `supplier/<id>`.",
        },
        "content-type": {"const": "application/json"},
        "traceparent": {**_TEXT, "description": "W3C Trace Context of what caused the announcement."},
    },
}
_WEEK_MS = 7 * 24 * 3600 * 1000


def document(events: Iterable[type[Event]], services: Mapping[str, Traffic]) -> Node:
    """The document. Who receives is known for the services of this checkout only."""
    events = list(events)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:tandem:events",
        "info": {
            "title": "Tandem's events",
            "version": "1.0.0",
            "description": (
                "Every fact that the services of Tandem announce in Kafka. A topic carries one event in one "
                "version. Generated from the event classes and the services' declarations; do not edit."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "kafka.example:9092",
                "protocol": "kafka",
                "description": "The brokers in KAFKA_BOOTSTRAP_SERVERS.",
            }
        },
        "channels": {_id(event): _channel(event) for event in events},
        "operations": dict(_operations(events, services)),
        "components": {
            "messages": {_id(event): _message(event) for event in events},
            "schemas": {"Envelope": _ENVELOPE},
        },
    }


def as_yaml(document: Node) -> str:
    class Dumper(yaml.SafeDumper):
        """Never with anchors: they only confuse readers."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)


def _id(event: type[Event]) -> str:
    """Identifiers must do without dots: `credits.charged.v1` is `credits-charged-v1`."""
    return event.type().replace(".", "-")


def _channel(event: type[Event]) -> Node:
    # The same settings as `topics apply` makes: a state fact's topic is compacted and never expires.
    kept: Node = (
        {"cleanup.policy": ["compact"], "max.compaction.lag.ms": _WEEK_MS}
        if event.state
        else {"cleanup.policy": ["delete"], "retention.ms": -1}
    )
    kind = "State" if event.state else "Step"
    return {
        "address": event.topic,
        "title": event.topic,
        "description": f"{kind} fact of {event.source}, keyed by `{event.key}`.",
        "messages": {_id(event): {"$ref": f"#/components/messages/{_id(event)}"}},
        "bindings": {
            "kafka": {
                "topic": event.topic,
                "partitions": event.partitions,
                "topicConfiguration": kept,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(event: type[Event]) -> Node:
    said = (event.__doc__ or "").strip()
    field = event.model_json_schema(mode="serialization")["properties"][event.key]
    form = {"format": field["format"]} if "format" in field else {}
    own: Node = {
        "ce_type": {"const": event.type()},
        "ce_source": {"const": f"/{event.source}"},
        "ce_dataschema": {"const": f"urn:tandem:{event.type()}"},
    }
    return {
        "name": event.type(),
        "title": event.__name__,
        "summary": said.splitlines()[0],
        "headers": {"allOf": [{"$ref": "#/components/schemas/Envelope"}, {"type": "object", "properties": own}]},
        "payload": {"$ref": f"./{schema_path(event.type()).name}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", **form, "description": f"`{event.key}`"},
                "bindingVersion": "0.5.0",
            }
        },
        "examples": [
            {
                "name": example.name,
                "summary": example.about,
                "headers": example.headers,
                "payload": example.value,
            }
            for example in examples(event.type())
        ],
    }


def _operations(events: list[type[Event]], services: Mapping[str, Traffic]) -> Iterable[tuple[str, Node]]:
    for event in events:
        yield f"{event.source}-sends-{_id(event)}", _operation(event, event.source, "send")
        for name, declared in services.items():
            if event in declared.receives:
                yield f"{name}-receives-{_id(event)}", _operation(event, name, "receive")


def _operation(event: type[Event], service: str, action: str) -> Node:
    binding = {"kafka": {"groupId": {"const": service}, "bindingVersion": "0.5.0"}}
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{_id(event)}"},
        "title": f"{service} {action}s {event.topic}",
        "tags": [{"name": service}],
        "messages": [{"$ref": f"#/channels/{_id(event)}/messages/{_id(event)}"}],
        **({"bindings": binding} if action == "receive" else {}),
    }
