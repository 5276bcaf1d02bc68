"""The envelope is written by hand for speed; the CloudEvents SDK is the judge of whether it is right."""

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, to_binary_event
from cloudevents.core.v1.event import CloudEvent

from schemas.event import Event, all_events
from schemas.publish.files import Example, examples

EVERY = [
    pytest.param(event, example, id=f"{event.type()}/{example.name}")
    for event in all_events()
    for example in examples(event.type())
]


def record(event: type[Event], example: Example) -> tuple[Event, KafkaMessage]:
    """An event as this sender puts it on the wire."""
    fact = event.model_validate(example.value)
    headers = {name: text.encode() for name, text in fact.headers().items()}
    return fact, KafkaMessage(headers=headers, key=fact.aggregate_id.encode(), value=fact.value())


@pytest.mark.parametrize(("event", "example"), EVERY)
def test_any_cloudevents_reader_understands_the_record(event: type[Event], example: Example) -> None:
    fact, message = record(event, example)

    read = from_binary_event(message)

    assert read.get_specversion() == "1.0"
    assert read.get_id() == str(fact.event_id)
    assert read.get_type() == event.type()
    assert read.get_source() == f"/{event.source}"
    assert read.get_subject() == example.key
    assert read.get_time() == fact.at
    assert read.get_dataschema() == f"urn:tandem:{event.type()}"
    assert read.get_datacontenttype() == "application/json"
    assert read.get_extension("sequence") == str(fact.version)
    assert read.get_extension("tenant") == fact.tenant
    data = read.get_data()
    assert {name: data[name] for name in example.value} == example.value  # a record from before a growth has less


@pytest.mark.parametrize(("event", "example"), EVERY)
def test_the_sdk_writes_the_same_headers(event: type[Event], example: Example) -> None:
    fact, message = record(event, example)
    attributes = {
        "specversion": "1.0",
        "id": str(fact.event_id),
        "type": event.type(),
        "source": f"/{event.source}",
        "subject": example.key,
        "time": fact.at,
        "dataschema": f"urn:tandem:{event.type()}",
        "datacontenttype": "application/json",
        "sequence": str(fact.version),
        **({"tenant": fact.tenant} if fact.tenant else {}),
    }

    theirs = to_binary_event(CloudEvent(attributes, example.value), key_mapper=lambda _: example.key)

    assert {name.lower() for name in theirs.headers} == set(message.headers)
    assert from_binary_event(KafkaMessage(theirs.headers, None, theirs.value)).get_attributes() == (
        from_binary_event(KafkaMessage(message.headers, None, message.value)).get_attributes()
    )
    assert theirs.key == example.key == message.key.decode()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("shown", "tenant"),
    [
        ("enrollment.approved.v1/credits", "partner/019bb16e-fe80-7456-b524-190c306c2065"),
        ("customer.changed.v1/full", "partner/019bb16e-fe80-7456-b524-190c306c2065"),
        ("invoicing.changed.v1/direct", "customer/"),
        ("supplier.changed.v1/full", "supplier/"),
        ("access.changed.v1/full", "partner/019bb16e-fe80-7456-b524-190c306c2065"),
        ("access.changed.v1/minimal", None),
        ("course.completed.v1/full", None),
    ],
)
def test_a_record_names_the_tenant_it_is_about_first_of_all(shown: str, tenant: str | None) -> None:
    type_, name = shown.split("/")
    example = next(example for example in examples(type_) if example.name == name)

    said = example.headers.get("ce_tenant")

    assert said is None if tenant is None else said and said.startswith(tenant)


def test_the_same_fact_announced_again_has_another_id_and_the_same_time() -> None:
    example = examples("course.completed.v1")[0]
    event = next(event for event in all_events() if event.topic == "course.completed")

    once, again = event.model_validate(example.value), event.model_validate(example.value)

    assert once.event_id != again.event_id
    assert once.headers()["ce_time"] == again.headers()["ce_time"]
    assert once.event_id.version == 7
