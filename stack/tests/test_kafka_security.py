"""The secured broker and the kit's rights on it: who may do what, and what is said to whom it is refused."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from kafka.errors import ClusterAuthorizationFailedError, SecurityDisabledError
from pydantic import SecretStr

from kit import acls, topics
from kit.acls import Right
from kit.kafka import Kafka
from kit.settings import KafkaSettings
from kit.topics import Topic
from stack.kafka import Broker
from stack.kafka_security import Secured, set_password
from stack.parts import Parts, claimed, prepared
from stack.places import HOME, free_port

OURS = acls.declared(writes=["orders.placed", "orders.dlq"], reads=["goods.changed"], group="orders")
TOPICS = [Topic(name, 1) for name in ("orders.placed", "orders.dlq", "goods.changed", "goods.counted")]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with claimed(HOME / "test-secured") as home:
        broker = Broker(prepared(), home, free_port(), free_port(), secured=Secured(home / "secrets"))
        broker.fresh()
        broker.start()
        try:
            operator = reached(broker)
            asyncio.run(topics.apply(operator, TOPICS, 1))
            acls.apply(operator, "User:orders", OURS)
            yield broker
        finally:
            broker.stop()


def reached(broker: Broker, user: str | None = None) -> Kafka:
    return KafkaSettings.model_validate(broker.login(user)).kafka


async def send(kafka: Kafka, topic: str) -> None:
    """As the relay does: idempotent, confirmed by all replicas."""
    producer = AIOKafkaProducer(**kafka.client, enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"x", key=b"k")
    finally:
        await producer.stop()


async def read(kafka: Kafka, topic: str, group: str | None) -> bytes:
    """The first record, as a member of the group, or of none."""
    consumer = AIOKafkaConsumer(**kafka.client, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        if group:
            consumer.subscribe([topic])
        else:
            consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(30):
            return bytes((await consumer.getone()).value)
    finally:
        await consumer.stop()


async def test_a_service_writes_its_own_topics_and_its_dead_letters(broker: Broker) -> None:
    for topic in ("orders.placed", "orders.dlq"):
        await send(reached(broker, "orders"), topic)

        assert await read(reached(broker), topic, group=None) == b"x"


@pytest.mark.parametrize("topic", ["goods.changed", "goods.counted"])
async def test_a_service_cannot_write_a_topic_of_another_whether_it_reads_it_or_not(broker: Broker, topic: str) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        await send(reached(broker, "orders"), topic)


async def test_a_service_reads_what_it_declares_in_any_generation_of_its_group(broker: Broker) -> None:
    await send(reached(broker), "goods.changed")

    for group in ("orders", "orders.g2"):
        assert await read(reached(broker, "orders"), "goods.changed", group) == b"x"


async def test_a_service_cannot_read_what_it_does_not_declare(broker: Broker) -> None:
    await send(reached(broker), "goods.counted")
    ours = reached(broker, "orders")

    # Request by request: aiokafka's consumer takes the topic for one that does not exist yet, and waits.
    admin = AIOKafkaAdminClient(**ours.client)
    await admin.start()
    assert "goods.counted" not in await admin.list_topics()
    fetched = await admin._send_request(FetchRequest(100, 1, 2**20, 0, [("goods.counted", [(0, 0, 2**20)])]))
    await admin.close()

    ((_, [(_, code, *_)]),) = fetched.topics
    assert for_code(code) is TopicAuthorizationFailedError


@pytest.mark.parametrize("group", ["goods", "orders2"])
async def test_a_service_cannot_join_the_group_of_another(broker: Broker, group: str) -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        await read(reached(broker, "orders"), "goods.changed", group)


async def test_a_service_makes_no_topics_and_gives_no_rights(broker: Broker) -> None:
    ours = reached(broker, "orders")

    with pytest.raises(TopicAuthorizationFailedError) as refused:
        await topics.apply(ours, [Topic("orders.more", 1)], 1)
    assert "user orders lacks a right" in await ours.why(refused.value)
    with pytest.raises(ClusterAuthorizationFailedError) as not_given:
        acls.apply(ours, "User:orders", OURS)
    assert "may not give rights" in acls.explain(not_given.value, ours)


async def test_rights_are_given_once_and_taken_away_only_when_asked(broker: Broker) -> None:
    operator, fewer = reached(broker), [Right("TOPIC", "orders.placed", "READ")]

    assert [what for _, what in acls.apply(operator, "User:brief", OURS)] == ["given"] * len(OURS)
    assert [what for _, what in acls.apply(operator, "User:brief", OURS)] == ["as declared"] * len(OURS)
    kept = acls.apply(operator, "User:brief", fewer)
    pruned = acls.apply(operator, "User:brief", fewer, prune=True)

    assert sum(what.startswith("not declared: kept") for _, what in kept) == len(OURS)
    assert sum(what == "taken away" for _, what in pruned) == len(OURS)
    assert [tuple(applied) for applied in acls.apply(operator, "User:brief", fewer)] == [(fewer[0], "as declared")]
    assert all(what == "as declared" for _, what in acls.apply(operator, "User:orders", OURS))


async def test_an_operator_needs_no_more_than_the_documented_rights(broker: Broker) -> None:
    documented = [
        *(Right("CLUSTER", "kafka-cluster", operation) for operation in ("ALTER", "CREATE", "DESCRIBE")),
        *(Right("TOPIC", "*", operation) for operation in ("DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS")),
    ]
    acls.apply(reached(broker), "User:platform", documented)
    platform = reached(broker, "platform")

    assert await topics.apply(platform, [Topic("made.byplatform", 1), TOPICS[0]], 1) == {
        "made.byplatform": "made",
        "orders.placed": "as declared",
    }
    assert [what for _, what in acls.apply(platform, "User:made", [Right("TOPIC", "made.byplatform", "WRITE")])] == [
        "given"
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"password": SecretStr("guessed")}, "refuses user orders: check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ({"protocol": "PLAINTEXT"}, "it may want TLS or a user, KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        ({"protocol": "SASL_PLAINTEXT"}, "it may want TLS or a user, KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT"),
        ({"protocol": "SSL"}, "it may want TLS or a user, KAFKA_SECURITY_PROTOCOL is SSL"),
        ({"ca_file": None}, "shows a certificate we do not trust"),
        ({"mechanism": "SCRAM-SHA-256"}, "does not take SCRAM-SHA-256: check KAFKA_SASL_MECHANISM"),
        ({"servers": "localhost:1"}, "localhost:1 does not answer: nothing listens there"),
    ],
)
async def test_who_is_not_let_in_is_told_what_to_look_at(broker: Broker, changed: dict[str, Any], words: str) -> None:
    wrong = replace(reached(broker, "orders"), **changed)

    with pytest.raises(KafkaConnectionError) as refused:
        await send(wrong, "orders.placed")

    assert words in await wrong.why(refused.value)
    assert "guessed" not in repr(wrong)


async def test_a_user_of_a_broker_without_tls_is_told_so(broker: Broker, own_parts: Parts) -> None:
    ours = replace(reached(broker, "orders"), servers=own_parts.kafka)

    with pytest.raises(KafkaConnectionError) as refused:
        await send(ours, "orders.placed")

    assert "does not speak TLS as we do, KAFKA_SECURITY_PROTOCOL is SASL_SSL" in await ours.why(refused.value)


def test_a_broker_that_guards_nothing_is_named(own_parts: Parts) -> None:
    open_ = Kafka(own_parts.kafka)

    with pytest.raises(SecurityDisabledError) as refused:
        acls.apply(open_, "User:orders", OURS)

    assert "no authorizer" in acls.explain(refused.value, open_)


async def test_a_new_password_holds_at_once_and_the_old_one_no_more(broker: Broker) -> None:
    before = reached(broker, "orders")
    admin = AIOKafkaAdminClient(**before.client)
    await admin.start()
    assert "orders.placed" in await admin.list_topics()

    set_password(broker.login(), "orders", "another")

    with pytest.raises(KafkaError):
        await send(before, "orders.placed")
    await send(replace(before, password=SecretStr("another")), "orders.placed")
    assert "orders.placed" in await admin.list_topics()  # Who was in stays in.
    await admin.close()
    reached(broker, "orders")  # As it was, for the tests that follow.
