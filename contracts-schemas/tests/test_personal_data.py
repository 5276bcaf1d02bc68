"""Names and addresses of people travel on three compacted topics only, where erasing can reach them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.event import all_events
from schemas.publish.files import examples, schema_of

ABOUT_PEOPLE = {"person.changed", "access.changed", "supplier.changed"}
TELLING = re.compile(r"name|mail|phone|street|address|birth|first|last(?!_day$)|initial|photo")

OF_ORGANISATIONS = {
    "partner.changed name",
    "partner.changed branding.name",
    "partner.changed branding.sender_mailbox",
    "customer.changed name",
    *(
        f"{details}.{field}"
        for details in (
            "partner.changed invoicing",
            "customer.changed invoicing",
            "deal.won customer",
            "deal.won partner",
        )
        for field in ("legal_name", "address", "address.street", "invoice_email")
    ),
    *(
        f"invoice.instructed invoices.{side}.{field}"
        for side in ("seller", "buyer")
        for field in ("name", "address", "address.street", "invoice_email")
    ),
}
"""Fields that look like a person's and are an organisation's. Look twice before one is added."""


def fields(schema: dict[str, Any], root: dict[str, Any], at: str = "") -> Iterator[str]:
    """Dotted names of all fields, in nested values too."""
    if "$ref" in schema:
        yield from fields(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, at)
    for name, field in schema.get("properties", {}).items():
        yield f"{at}{name}"
        yield from fields(field, root, f"{at}{name}.")
    for inner in [*schema.get("anyOf", []), schema.get("items"), schema.get("additionalProperties")]:
        if isinstance(inner, dict):
            yield from fields(inner, root, at)


def test_no_other_event_has_a_field_for_a_persons_name_or_address() -> None:
    telling = {
        f"{event.topic} {field}"
        for event in all_events()
        if event.topic not in ABOUT_PEOPLE
        for field in fields(schema_of(event), schema_of(event))
        if TELLING.search(field.rsplit(".", 1)[-1])
    }

    assert telling == OF_ORGANISATIONS


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)


def test_no_example_of_another_event_names_a_person() -> None:
    people: set[str] = set()
    elsewhere: list[str] = []
    for event in all_events():
        for example in examples(event.type()):
            if event.topic not in ABOUT_PEOPLE:
                elsewhere += texts(example.value)
                continue
            about = example.value.get("users", [example.value])
            people |= {one[field] for one in about for field in ("name", "email") if one[field]}

    assert len(people) >= 6
    assert [text for text in elsewhere if any(person in text for person in people)] == []


@pytest.mark.parametrize("topic", sorted(ABOUT_PEOPLE))
def test_an_erased_one_carries_nothing_but_its_id(topic: str) -> None:
    event = next(event for event in all_events() if event.topic == topic)
    assert event.state, "only a compacted topic forgets"
    value = next(e for e in examples(event.type()) if e.name == "erased").value

    assert value["status"] == "erased"
    assert not any(value.get(field) for field in ("name", "email", "subject", "issuer", "users"))
    assert "@" not in json.dumps(value)
