"""The consumer that the integration guide shows is run as it stands there, on a real Kafka."""

import asyncio
import contextlib
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.publish.files import CHECKOUT, Example, examples
from stack import parts

GUIDE = CHECKOUT / "docs/events.md"
TOPIC = "enrollment.confirmed"
CREDITS, INVOICE = examples("enrollment.confirmed.v1")


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    with parts.running(CHECKOUT / ".stack/test") as running:
        yield running.kafka


@pytest.fixture
async def producer(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        yield producer


async def send(producer: AIOKafkaProducer, example: Example, **changed: str) -> None:
    headers = [(name, text.encode()) for name, text in {**example.headers, **changed}.items()]
    await producer.send_and_wait(TOPIC, json.dumps(example.value).encode(), example.key.encode(), headers=headers)


async def run_until(follow: Callable[..., Any], kafka: str, db: sqlite3.Connection, query: str, wanted: int) -> None:
    """Run the consumer of the guide until its tables show what is wanted, or fail after 30 s."""
    running = asyncio.create_task(follow(kafka, db))
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(sqlite3.OperationalError):  # Before its tables are made.
                    if db.execute(query).fetchone() == (wanted,):
                        return
                assert not running.done(), running.exception()
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_consumer_of_the_guide_does_what_the_guide_says(
    kafka: str, producer: AIOKafkaProducer, tmp_path: Path
) -> None:
    code = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert code
    guide: dict[str, Any] = {"__name__": "guide"}
    exec(compile(code[1], str(GUIDE), "exec"), guide)
    db = sqlite3.connect(tmp_path / "places.db")

    await send(producer, CREDITS)
    await send(producer, CREDITS)  # the same record twice
    await send(producer, CREDITS, ce_id="019d7667-b000-748a-9fdf-000000000001")  # the same fact again
    await send(producer, INVOICE, ce_type="enrollment.confirmed.v2")
    await send(producer, INVOICE)
    await run_until(guide["follow"], kafka, db, "select count(*) from places where enrollment_id is not null", 2)
    await send(producer, INVOICE)
    await send(producer, INVOICE, ce_type="something.else.v1")
    await run_until(guide["follow"], kafka, db, "select count(*) from set_aside where why like 'not a%'", 2)

    assert db.execute("select enrollment_id, person_id from places order by 1").fetchall() == [
        (CREDITS.value["enrollment_id"], CREDITS.value["person_id"]),
        (INVOICE.value["enrollment_id"], INVOICE.value["person_id"]),
    ]
    assert db.execute("select count(*) from seen").fetchone() == (3,)
    assert db.execute("select topic, partition, position from set_aside order by 3").fetchall() == [
        (TOPIC, 0, 3),
        (TOPIC, 0, 6),
    ]
