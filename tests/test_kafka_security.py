"""The suite on a Kafka that knows its users: TLS, a user for each service, and no more rights than it declares."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from kafka.admin import KafkaAdminClient

from kit.kafka import Kafka
from kit.settings import KafkaSettings
from schemas.event import all_events
from stack import parts, processes
from stack.kafka_security import set_password
from stack.places import HOME
from stack.processes import SERVICES
from tests.suite import Suite

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def secured() -> Iterator[processes.Suite]:
    with (
        parts.running(HOME / "test-secure-parts", secure=True) as own,
        processes.suite(HOME / "test-secure", parts=own) as running,
    ):
        yield running


@pytest.fixture
async def suite(secured: processes.Suite) -> AsyncIterator[Suite]:
    suite = Suite(secured)
    yield suite
    await suite.aclose()


def reached(suite: Suite, service: str) -> Kafka:
    """Kafka as a service reaches it."""
    env = suite.processes.service(service).processes[0].env
    return KafkaSettings.model_validate({name: env[name] for name in env if name.startswith("KAFKA_")}).kafka


async def kafka_of(suite: Suite, service: str) -> list[str]:
    """What a service says of Kafka when asked whether it is ready."""
    said: list[str] = (await suite.http.get(f"{suite.urls[service]}/readyz")).json()["kafka"]
    return said


async def test_the_main_job_is_confirmed_end_to_end(suite: Suite) -> None:
    partner = await suite.partner(credits=10)
    course, person = await suite.course(credits=4), await suite.person(partner)

    answer = await suite.associate(person, course, by=partner["admin"])
    await suite.settle()

    assert answer.json()["state"] == "confirmed", answer.text
    assert (await suite.wallet(partner["partner_id"]))["available"] == 6
    learnings = await suite.rows("academy", "select 1 from learnings where course_id = $1", course["course_id"])
    assert len(learnings) == 1
    assert [await kafka_of(suite, name) for name in SERVICES] == [[]] * len(SERVICES)


async def test_the_broker_grants_each_service_its_own_topics_to_write_and_its_sources_to_read(suite: Suite) -> None:
    """By the broker's own word, against what the published language says of who owns which event."""
    listens = await suite.listening()
    for service in SERVICES:
        admin = KafkaAdminClient(**reached(suite, service).client)
        granted = {topic["name"]: set(topic["authorized_operations"]) for topic in admin.describe_topics()}
        rights = admin.describe_cluster()["authorized_operations"]
        admin.close()

        writable = {name for name, operations in granted.items() if "WRITE" in operations}
        readable = {name for name, operations in granted.items() if "READ" in operations}
        own = {event.topic for event in all_events() if event.source == service}
        assert f"{service}.dlq" in writable
        assert writable - {f"{service}.dlq"} <= own
        assert readable == {*listens[service], f"{service}.dlq"}
        assert set().union(*granted.values()) == {"DESCRIBE", "READ", "WRITE"}
        assert rights == []


@pytest.mark.parametrize("service", SERVICES)
async def test_no_service_can_say_in_the_name_of_another(suite: Suite, service: str) -> None:
    foreign = "credits.charged" if service != "billing" else "enrollment.approved"
    producer = AIOKafkaProducer(**reached(suite, service).client, enable_idempotence=True)
    await producer.start()

    with pytest.raises(TopicAuthorizationFailedError):
        await producer.send_and_wait(foreign, b"{}", key=b"k")

    with suppress(TopicAuthorizationFailedError):
        await producer.stop()


async def test_passwords_are_changed_under_load_and_nothing_is_lost(suite: Suite) -> None:
    partner, course = await suite.partner(credits=60), await suite.course(credits=1)
    people = await asyncio.gather(*(suite.person(partner) for _ in range(60)))
    load = asyncio.create_task(enroll(suite, partner, course, people))

    for name in ("billing", "enrollment"):
        password = f"new for {name}"
        await asyncio.to_thread(set_password, suite.processes.parts.kafka_login(), name, password)
        service = suite.processes.service(name)
        for process in service.processes:
            process.env["KAFKA_SASL_PASSWORD"] = password
        if name == "billing":  # Enrollment answers the load: its new password is taken in afterwards.
            await asyncio.to_thread(service.stop)
            await asyncio.to_thread(service.start)
    await load
    enrollment = suite.processes.service("enrollment")
    await asyncio.to_thread(enrollment.stop)
    await asyncio.to_thread(enrollment.start)
    await suite.settle(120)

    states = await suite.rows(
        "enrollment",
        "select state, count(*) as n from enrollments where course_id = $1 group by state",
        course["course_id"],
    )
    assert {row["state"]: row["n"] for row in states} == {"confirmed": 60}
    assert (await suite.wallet(partner["partner_id"]))["available"] == 0


async def enroll(suite: Suite, partner: Mapping[str, Any], course: Mapping[str, Any], people: list[Any]) -> None:
    for person in people:
        answer = await suite.associate(person, course, wait=0, by=partner["admin"])
        assert answer.status_code in (201, 202), answer.text


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"KAFKA_SASL_PASSWORD": "guessed"}, "refuses user academy: check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ({"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, "it may want TLS or a user, KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
    ],
)
async def test_a_service_that_kafka_does_not_let_in_answers_requests_and_says_why(
    suite: Suite, wrong: dict[str, str], words: str
) -> None:
    service = suite.processes.service("academy")
    (process,) = service.processes
    right = dict(process.env)
    await asyncio.to_thread(service.stop)
    process.env |= wrong
    await asyncio.to_thread(service.start)  # Ready: requests need no Kafka.

    async with asyncio.timeout(60):
        while len(said := await kafka_of(suite, "academy")) < 2:  # The relay and the consumer.
            await asyncio.sleep(0.2)
    assert all(words in each for each in said)
    assert words in process.said()

    await asyncio.to_thread(service.stop)
    process.env |= right
    await asyncio.to_thread(service.start)
    await suite.settle(120)
    assert await kafka_of(suite, "academy") == []
