"""What every event has in common: its envelope, its topic, its version and its key.

On the wire an event is one Kafka record in CloudEvents 1.0 binary mode: the record's value is the
JSON of the model, the envelope travels in headers, and the record's key is the aggregate's id.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any, ClassVar, Self
from uuid import UUID

import uuid_utils
from pydantic import BaseModel, ConfigDict, Field


def uuid7() -> UUID:
    """A new time-ordered id (RFC 9562, version 7)."""
    return UUID(int=uuid_utils.uuid7().int)


def _now() -> datetime:
    return datetime.now(UTC)


class Value(BaseModel):
    """A value inside an event. Readers ignore fields they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class UnknownVersion(ValueError):
    """The record carries another event, or a version of it that this reader does not know."""


class Event(BaseModel):
    """A fact that became true in one service and that others may act on.

    A *state fact* (`state = True`) carries the whole aggregate: the highest `version` wins and its
    topic is compacted. A *step fact* moves a process forward and is never ignored for its version.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    topic: ClassVar[str]
    """Kafka topic, and the event's name. Version 2 and later have topics of their own (`name.v2`)."""
    schema_version: ClassVar[int] = 1
    key: ClassVar[str]
    """The field whose value keys the record; records of one key stay in order."""
    source: ClassVar[str]
    """The service that announces it."""
    state: ClassVar[bool] = False
    partitions: ClassVar[int] = 4

    version: int = Field(ge=0, description="The aggregate's version, counted up by its owner.")
    at: datetime = Field(default_factory=_now, description="When it became true, UTC.")

    @cached_property
    def event_id(self) -> UUID:
        """Identifies this announcement; the same fact announced again has another one."""
        return uuid7()

    @classmethod
    def type(cls) -> str:
        """The CloudEvents type: name and schema version."""
        return f"{cls.topic.removesuffix(f'.v{cls.schema_version}')}.v{cls.schema_version}"

    @property
    def aggregate_id(self) -> str:
        """The aggregate's id as text; the record's key."""
        return str(getattr(self, self.key))

    @property
    def tenant(self) -> str | None:
        """Whose fact it is first of all, such as `partner/<id>`; None where it is nobody's in particular."""
        for kind in ("partner", "customer", "supplier"):
            if tenant_id := getattr(self, f"{kind}_id", None):
                return f"{kind}/{tenant_id}"
        return None

    def headers(self) -> dict[str, str]:
        """The CloudEvents envelope, without the trace (the kit adds `traceparent`)."""
        headers = _same_for_all(type(self)) | {
            "ce_id": str(self.event_id),
            "ce_time": self.at.isoformat(),
            "ce_subject": self.aggregate_id,
            "ce_sequence": str(self.version),
        }
        if tenant := self.tenant:
            headers["ce_tenant"] = tenant
        return headers

    def value(self) -> bytes:
        """The record's value: UTF-8 JSON."""
        return self.__pydantic_serializer__.to_json(self)

    @classmethod
    def read(cls, value: bytes | None, headers: Mapping[str, str]) -> Self:
        """The event in a record. Raises `ValueError` (also pydantic's) naming what is wrong."""
        if "ce_id" not in headers or "ce_type" not in headers:
            raise ValueError("the record has no CloudEvents headers ce_id and ce_type")
        if headers["ce_type"] != cls.type():
            raise UnknownVersion(f"{headers['ce_type']} came on {cls.topic}, which carries {cls.type()}")
        if value is None:
            raise ValueError("the record has no value")
        event = cls.model_validate_json(value)
        event.__dict__["event_id"] = UUID(headers["ce_id"])
        return event


@cache
def _same_for_all(event: type[Event]) -> dict[str, str]:
    """The part of the envelope that all events of a class share; not to be changed by who gets it."""
    return {
        "ce_specversion": "1.0",
        "ce_source": f"/{event.source}",
        "ce_type": event.type(),
        "ce_dataschema": f"urn:tandem:{event.type()}",
        "content-type": "application/json",
    }


def all_events() -> Iterable[type[Event]]:
    """Every published event class, sorted by topic."""
    from importlib import import_module
    from pkgutil import iter_modules

    import schemas

    for module in iter_modules(schemas.__path__):
        import_module(f"schemas.{module.name}")

    def below(cls: type[Event]) -> Iterable[type[Event]]:
        for child in cls.__subclasses__():
            yield from below(child)
            if "topic" in vars(child) and child.__module__.startswith("schemas."):
                yield child

    return sorted(below(Event), key=lambda e: e.topic)


def as_json(event: Event) -> dict[str, Any]:
    """The event's value as plain JSON types, for people and tests."""
    return event.model_dump(mode="json")
