"""Where the published language lies in a checkout, and how an event is printed."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from schemas.event import Event

CHECKOUT = Path(__file__).parents[3]
PUBLISHED = CHECKOUT / "contracts-schemas/published"
EXAMPLES = CHECKOUT / "contracts-schemas/examples"


@dataclass(frozen=True)
class Example:
    """One whole record as it stands in Kafka, with a sentence on what it shows."""

    path: Path

    @cached_property
    def _record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.path.read_text())
        return record

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def about(self) -> str:
        return str(self._record["about"])

    @property
    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = self._record["headers"]
        return headers

    @property
    def key(self) -> str:
        return str(self._record["key"])

    @property
    def value(self) -> dict[str, Any]:
        value: dict[str, Any] = self._record["value"]
        return value


def examples(type_: str) -> list[Example]:
    """The examples of one event version, such as `credits.charged.v1`."""
    return [Example(path) for path in sorted((EXAMPLES / type_).glob("*.json"))]


def schema_path(type_: str, directory: Path = PUBLISHED) -> Path:
    return directory / f"{type_}.schema.json"


class _Plain(GenerateJsonSchema):
    """Without the titles that only repeat a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def get_title_from_name(self, name: str) -> str:
        return name


def schema_of(event: type[Event]) -> dict[str, Any]:
    """The event's JSON Schema as it is now.

    `required` names the fields without default: they stand in every record that was ever sent, and the
    others may be missing in records from before they were added. `x-event` holds what binds beside the
    value: topic, key, sender, kind and partitions.
    """
    body = event.model_json_schema(mode="serialization", schema_generator=_Plain)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tandem:{event.type()}",
        "title": body["title"],
        "description": body["description"],
        "x-event": {
            "topic": event.topic,
            "key": event.key,
            "source": event.source,
            "state": event.state,
            "partitions": event.partitions,
        },
        "type": "object",
        # The envelope's own moment is always sent; its default only helps the sender.
        "required": sorted({*body["required"], "at"}, key=list(body["properties"]).index),
        "properties": body["properties"],
        **({"$defs": body["$defs"]} if "$defs" in body else {}),
    }


def printed(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
