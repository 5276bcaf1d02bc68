"""Delivery, on real PostgreSQL and Kafka: what is announced arrives, once in effect, whatever is in between."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pydantic_settings import SettingsConfigDict
from sqlalchemy import text

from kit import Service, clock, outbox, topics
from kit.consumer import Consumer, arrived, batches, wait_for
from kit.db import Session
from kit.inbox import Inbox
from kit.kafka import Kafka
from kit.relay import Relay, partition_for
from kit.settings import ServiceSettings
from kit.testing import Migrated, Running, eventually
from schemas.event import Event, uuid7

MIGRATION = """
from alembic import op
from kit import migrations
revision = "0001"
down_revision = None
def upgrade():
    migrations.create_kit_tables(op)
    op.execute("create table tally (id uuid primary key, seen int not null, total int not null)")
    migrations.open_table(op, "tally")
"""


class Counted(Event):
    """Something was counted."""

    topic: ClassVar[str] = "sample.counted"
    key: ClassVar[str] = "thing_id"
    source: ClassVar[str] = "sample"

    thing_id: UUID
    amount: int
    padding: str = ""


class Opened(Event):
    """A thing may be counted from now on."""

    topic: ClassVar[str] = "sample.opened"
    key: ClassVar[str] = "thing_id"
    source: ClassVar[str] = "sample"

    thing_id: UUID


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_", frozen=True)


TALLY = text(
    "insert into tally values (:id, 1, :amount) "
    "on conflict (id) do update set seen = tally.seen + 1, total = tally.total + excluded.total"
)


@batches(Counted)
async def count(db: Session, events: Sequence[Counted]) -> list[wait_for]:
    """Adds up; refuses 13, and waits for a thing to be opened where the amount is zero."""
    waits = []
    for event in events:
        if event.amount == 13:
            raise ValueError("thirteen brings bad luck")
        opened = await db.scalar(text("select true from tally where id = :id"), {"id": event.thing_id})
        if event.amount == 0 and not opened:
            waits.append(wait_for(event, f"thing/{event.thing_id}", within_s=60))
        else:
            await db.execute(TALLY, {"id": event.thing_id, "amount": event.amount})
    return waits


@batches(Opened)
async def open_(db: Session, events: Sequence[Opened]) -> None:
    for event in events:
        await db.execute(TALLY, {"id": event.thing_id, "amount": 0})
        arrived(db, f"thing/{event.thing_id}")


class Sample(Service):
    folder: ClassVar[Path]

    version = "1"

    @property
    def migrations(self) -> Path:
        return self.folder


@pytest.fixture(scope="module")
def migrated(parts: Any, tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    Sample.folder = tmp_path_factory.mktemp("migrations")
    (Sample.folder / "versions").mkdir()
    (Sample.folder / "env.py").write_text("from kit.migrations import run_env\n\nrun_env()\n")
    (Sample.folder / "versions" / "0001_sample.py").write_text(MIGRATION)
    service = Sample(
        name="sample", package="kit", settings=Settings, publishes=[Counted, Opened], consumers=[count, open_]
    )
    return Migrated(parts, service)


@pytest.fixture
async def sample(migrated: Migrated) -> AsyncIterator[Running]:
    async with migrated.running() as running:
        yield running


def counted(amount: int, thing: UUID | None = None) -> Counted:
    return Counted(version=1, thing_id=thing or uuid7(), amount=amount)


async def totals(sample: Running) -> dict[UUID, tuple[int, int]]:
    return {r["id"]: (r["seen"], r["total"]) for r in await sample.rows("select * from tally")}


async def test_an_event_is_announced_only_if_its_transaction_commits(sample: Running) -> None:
    async with sample.service.database.api.begin() as db:
        outbox.add(db, counted(1))
    async with sample.service.database.api() as db:
        await db.execute(text("select 1"))
        outbox.add(db, counted(2))
        await db.rollback()
        await db.commit()

    assert [event.amount for event in await sample.published(Counted)] == [1]


async def test_an_event_announced_since_a_savepoint_goes_with_it(sample: Running) -> None:
    async with sample.service.database.api.begin() as db:
        outbox.add(db, counted(1))
        savepoint = await db.begin_nested()
        outbox.add(db, counted(2))
        await savepoint.rollback()
        async with db.begin_nested():
            outbox.add(db, counted(3))

    assert [event.amount for event in await sample.published(Counted)] == [1, 3]


async def test_an_event_too_large_is_refused_where_it_is_made(sample: Running) -> None:
    huge = Counted(version=1, thing_id=uuid7(), amount=1, padding="x" * 200_000)
    async with sample.service.database.api.begin() as db:
        with pytest.raises(outbox.EventTooLarge, match=r"sample.counted .*: 200\d+ bytes, at most 200000"):
            outbox.add(db, huge)


async def test_the_same_event_twice_counts_once(sample: Running) -> None:
    event = counted(5)

    await sample.deliver(event, event)
    await sample.deliver(event)

    assert await totals(sample) == {event.thing_id: (1, 5)}


async def test_a_record_that_fails_is_parked_and_its_neighbours_land(sample: Running) -> None:
    good = [counted(n) for n in range(1, 10)]

    await sample.deliver(*good[:4], counted(13), *good[4:])

    assert len(await totals(sample)) == 9
    (row,) = await sample.parked()
    assert (row["reason"], row["error"], row["state"]) == ("ValueError", "thirteen brings bad luck", "due")
    assert row["topic"] == "sample.counted"
    assert row["attempt"] == 1


BAD = {
    "not json": (b"{half", {}),
    "not an object": (b"[]", {}),
    "wrong type": (b'{"version": "x", "thing_id": 4, "amount": "many"}', {}),
    "no value": (None, {}),
    "unknown version": (b"{}", {"ce_type": "sample.counted.v9"}),
    "without headers": (b"{}", None),
    "id is no uuid": (b"{}", {"ce_id": "7"}),
    "a NUL in a header": (b"{}", {"ce_id": "a\x00b"}),
    "300 kB": (b'{"amount": 13, "p": "' + b"x" * 300_000 + b'"}', {}),
    "2 MB": (b"x" * 2_000_000, {}),
    "6 MB": (b"x" * 6_000_000, {}),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_record_that_cannot_be_read_is_parked_with_its_reason(sample: Running, case: str) -> None:
    value, more = BAD[case]
    neighbour = counted(3)
    headers = {} if more is None else counted(1).headers() | more

    await sample.deliver_records([sample.raw("sample.counted", value, headers), sample.record(neighbour)])

    assert await totals(sample) == {neighbour.thing_id: (1, 3)}
    (row,) = await sample.parked()
    assert row["error"]
    assert row["value"] == (None if case == "6 MB" else value)


async def test_parking_the_same_record_twice_parks_it_once(sample: Running) -> None:
    record = sample.record(counted(13))

    await sample.deliver_records([record])
    await sample.deliver_records([record])

    assert len(await sample.parked()) == 1


async def test_after_the_last_attempt_a_copy_goes_to_the_dead_letters(sample: Running) -> None:
    event = counted(13)
    await sample.deliver(event)

    for _ in range(sample.service.settings.park_attempts_max):
        await sample.service.inbox.retry_due(clock.now() + timedelta(days=30))

    (row,) = await sample.parked()
    assert (row["state"], row["attempt"]) == ("dead", 8)
    (letter,) = await sample.rows("select * from outbox where topic = 'sample.dlq'")
    assert letter["payload"] == event.value()
    assert letter["headers"]["x-origin-topic"] == "sample.counted"
    assert letter["headers"]["x-error"] == "thirteen brings bad luck"
    assert letter["headers"]["ce_id"] == str(event.event_id)


async def test_a_parked_record_is_handled_when_its_cause_is_gone(sample: Running) -> None:
    event = counted(13)
    await sample.deliver(event)
    async with sample.db() as db:  # an operator mended the record's cause
        await db.execute(text("update parked set value = :v"), {"v": event.model_copy(update={"amount": 12}).value()})

    await sample.service.inbox.retry_due(clock.now() + timedelta(minutes=1))

    assert await sample.parked() == []
    assert await totals(sample) == {event.thing_id: (1, 12)}


async def test_what_comes_too_early_waits_and_is_handled_when_its_key_arrives(sample: Running) -> None:
    early = counted(0)
    await sample.deliver(early)
    assert await totals(sample) == {}

    await sample.deliver(Opened(version=1, thing_id=early.thing_id))

    assert await totals(sample) == {early.thing_id: (2, 0)}
    assert await sample.rows("select * from waiting") == []


async def test_a_waiting_record_that_fails_is_parked_and_not_the_one_that_let_it_in(sample: Running) -> None:
    thing, waits = uuid7(), counted(0)
    bad, good = counted(0, thing), counted(0, thing)
    await sample.deliver(bad, good, waits)
    async with sample.db() as db:
        mended = {"v": counted(13, thing).value(), "e": bad.event_id}
        await db.execute(text("update waiting set value = :v where event_id = :e"), mended)

    await sample.deliver(Opened(version=1, thing_id=thing))

    assert await totals(sample) == {thing: (2, 0)}
    (row,) = await sample.parked()
    assert (row["event_id"], row["reason"]) == (bad.event_id, "ValueError")
    assert [r["event_id"] for r in await sample.rows("select * from waiting")] == [waits.event_id]


async def test_a_key_that_arrived_unseen_is_found_by_looking_again(sample: Running) -> None:
    early, still = counted(0), counted(0)
    await sample.deliver(early, still)
    before = await sample.rows("select event_id, until from waiting order by id")
    async with sample.db() as db:  # as if brought by a transaction that could not see who waits
        await db.execute(TALLY, {"id": early.thing_id, "amount": 0})

    assert await sample.service.inbox.look_again(clock.now()) == 0
    assert await sample.service.inbox.look_again(clock.now() + timedelta(seconds=11)) == 2

    assert await totals(sample) == {early.thing_id: (2, 0)}
    assert await sample.rows("select event_id, until from waiting") == before[1:]


async def test_what_waits_past_its_deadline_is_parked_and_can_still_be_handled(sample: Running) -> None:
    early = counted(0)
    await sample.deliver(early)

    assert await sample.service.inbox.park_overdue(clock.now()) == 0
    assert await sample.service.inbox.park_overdue(clock.now() + timedelta(seconds=61)) == 1

    assert (await sample.parked())[0]["reason"] == "WaitedTooLong"
    await sample.deliver(Opened(version=1, thing_id=early.thing_id))
    await sample.service.inbox.retry_due(clock.now() + timedelta(minutes=5))
    assert await totals(sample) == {early.thing_id: (2, 0)}
    assert await sample.parked() == []


async def test_what_waits_in_vain_ends_with_the_dead_letters(sample: Running) -> None:
    early = counted(0)
    await sample.deliver(early)
    await sample.service.inbox.park_overdue(clock.now() + timedelta(seconds=61))

    for _ in range(sample.service.settings.park_attempts_max):
        await sample.service.inbox.retry_due(clock.now() + timedelta(days=30))

    (row,) = await sample.parked()
    assert (row["state"], row["attempt"]) == ("dead", 8)
    assert row["error"] == f"still waits for thing/{early.thing_id}"
    assert await sample.rows("select * from waiting") == []
    assert await sample.value("select count(*) from outbox where topic = 'sample.dlq'") == 1


async def test_two_consumers_with_the_same_batch_count_once(sample: Running) -> None:
    """A consumer that lost its partition may still be at work when its heir reads the same records."""
    events = [counted(1) for _ in range(50)]

    await asyncio.gather(sample.deliver(*events), sample.deliver(*reversed(events)))

    assert set((await totals(sample)).values()) == {(1, 1)}


# -- through Kafka -----------------------------------------------------------------------------------------


async def apply_topics(sample: Running) -> None:
    await topics.apply(sample.service.settings.kafka, sample.service.topics, 1)


async def test_applying_topics_again_sets_what_is_declared_and_keeps_an_operators_other_settings(
    sample: Running,
) -> None:
    await apply_topics(sample)
    admin = AIOKafkaAdminClient(**sample.service.settings.kafka.client)
    await admin.start()

    async def settings() -> dict[str, str]:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "sample.opened")])
        return {entry[0]: entry[1] for entry in answer.resources[0][4] if entry[3] == 1}

    async def are(wanted: dict[str, str]) -> bool:
        return await settings() == wanted

    try:
        changed = {"retention.ms": "1000", "segment.ms": "3600000"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "sample.opened", configs=changed)])
        await eventually(lambda: are(changed))

        await apply_topics(sample)

        declared = {"cleanup.policy": "delete", "retention.ms": "-1", "compression.type": "producer"}
        await eventually(lambda: are({**declared, "segment.ms": "3600000"}))
    finally:
        await admin.close()


def relay_of(sample: Running) -> Relay:
    settings = sample.service.settings
    return Relay(settings.worker_database_url, settings.kafka, name="sample")


async def read_topic(kafka: Kafka, topic: str, keys: set[str], count: int) -> list[Any]:
    """Records of the topic with one of these keys, until there are `count`."""
    consumer = AIOKafkaConsumer(topic, **kafka.client, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found: list[Any] = []
        async with asyncio.timeout(30):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [r for r in records if r.key.decode() in keys]
        return found
    finally:
        await consumer.stop()


async def test_the_relay_keeps_the_order_of_each_key_and_empties_the_outbox(sample: Running) -> None:
    await apply_topics(sample)
    things = [uuid7() for _ in range(20)]
    for amount in range(30):
        async with sample.service.database.api.begin() as db:
            outbox.add(db, *(counted(amount, thing) for thing in things))
    relay = relay_of(sample)
    task = asyncio.create_task(relay.run())
    await eventually(lambda: sample.value("select count(*) = 0 from outbox"))

    records = await read_topic(sample.service.settings.kafka, "sample.counted", {str(t) for t in things}, 600)
    relay.stop()
    await task

    for thing in things:
        mine = [r for r in records if r.key.decode() == str(thing)]
        assert [json.loads(r.value)["amount"] for r in mine] == list(range(30))
        assert {r.partition for r in mine} == {partition_for(str(thing).encode(), 4)}
        assert dict(mine[0].headers)["ce_type"] == b"sample.counted.v1"


async def test_a_row_kafka_cannot_take_is_set_aside_and_blocks_nobody(sample: Running) -> None:
    await apply_topics(sample)
    thing = uuid7()
    async with sample.db() as db:
        outbox.add_raw(db, "sample.counted", b"k", os.urandom(8_000_000), {})
        outbox.add_raw(db, "sample.never_made", b"k", b"{}", {})
        outbox.add(db, counted(1, thing))
    relay = relay_of(sample)
    task = asyncio.create_task(relay.run())

    await eventually(lambda: sample.value("select count(*) = 1 from outbox"))

    relay.stop()
    await task
    (dead,) = await sample.rows("select topic, reason from outbox_dead")
    assert dead == {"topic": "sample.counted", "reason": "larger than the topic's max.message.bytes"}
    # The topic may only be late: its row waits in the outbox.
    assert [r["topic"] for r in await sample.rows("select topic from outbox")] == ["sample.never_made"]
    found = await read_topic(sample.service.settings.kafka, "sample.counted", {str(thing)}, 1)
    assert json.loads(found[0].value)["amount"] == 1


async def test_a_second_relay_stands_by_and_takes_over(sample: Running) -> None:
    await apply_topics(sample)
    first, second = relay_of(sample), relay_of(sample)
    tasks = [asyncio.create_task(first.run())]
    await eventually(lambda: _true(first.leads))
    tasks.append(asyncio.create_task(second.run()))
    async with sample.db() as db:
        outbox.add(db, counted(1))
    await eventually(lambda: sample.value("select count(*) = 0 from outbox"))
    assert not second.leads

    first.stop()

    await eventually(lambda: _true(second.leads))
    second.stop()
    await asyncio.gather(*tasks)


async def _true(value: bool) -> bool:
    return value


async def test_the_floor_never_rises_over_a_row_that_is_still_to_be_committed(sample: Running) -> None:
    await apply_topics(sample)
    relay = relay_of(sample)
    slow, quick = uuid7(), uuid7()
    task = asyncio.create_task(relay.run())
    async with sample.service.database.worker() as db:
        outbox.write_collected(db.sync_session)
        await db.execute(
            text("insert into outbox (topic, key, payload, headers) values ('sample.counted', :k, :v, :h)"),
            {"k": str(slow).encode(), "v": counted(1, slow).value(), "h": "{}"},
        )
        async with sample.db() as other:
            outbox.add(other, counted(2, quick))
        await eventually(lambda: sample.value("select count(*) = 0 from outbox"))
        await db.commit()

    await eventually(lambda: sample.value("select count(*) = 0 from outbox"))
    relay.stop()
    await task
    found = await read_topic(sample.service.settings.kafka, "sample.counted", {str(slow), str(quick)}, 2)
    assert {json.loads(r.value)["amount"] for r in found} == {1, 2}


async def test_a_reader_deployed_before_its_sender_takes_the_topic_in_when_it_appears(
    sample: Running,
) -> None:
    kafka = sample.service.settings.kafka
    late = f"sample.late-{uuid7().hex[-8:]}"

    class Late(Counted):
        """Something counted on a topic that is made late."""

        topic: ClassVar[str] = late

    @batches(Late, Counted)
    async def take(db: Session, events: Sequence[Counted]) -> None:
        for event in events:
            if isinstance(event, Late):
                await db.execute(TALLY, {"id": event.thing_id, "amount": event.amount})

    await apply_topics(sample)
    inbox = Inbox(sample.service.database.worker, f"late-{uuid7()}", [take], dead_letters="sample.dlq")
    consumer = Consumer(inbox, kafka, group=inbox.consumer, topic_check_s=0.2)
    task = asyncio.create_task(consumer.run())
    await eventually(lambda: _true(bool(consumer.assignment())))
    assert consumer.missing == [late]

    await topics.apply(kafka, topics.declared([Late], "sample.dlq"), 1)
    event = Late(version=1, thing_id=uuid7(), amount=7)
    producer = AIOKafkaProducer(**kafka.client)
    await producer.start()
    headers = [(k, v.encode()) for k, v in event.headers().items()]
    await producer.send_and_wait(late, event.value(), key=b"k", headers=headers)
    await producer.stop()

    await eventually(lambda: sample.value("select count(*) = 1 from tally"))
    assert consumer.missing == []
    assert not consumer.stuck(60)
    consumer.progress_at -= 120  # idle for as long: nothing waits, and what comes then finds it well
    await eventually(lambda: _true(time.monotonic() - consumer.progress_at < 60))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_poison_record_in_kafka_is_parked_and_its_neighbours_are_delivered(sample: Running) -> None:
    kafka = sample.service.settings.kafka
    await apply_topics(sample)
    inbox = Inbox(sample.service.database.worker, f"poison-{uuid7()}", [count], dead_letters="sample.dlq")
    consumer = Consumer(inbox, kafka, group=inbox.consumer)
    before, after = counted(1), counted(2)
    producer = AIOKafkaProducer(**kafka.client, max_request_size=4 * 1024 * 1024)
    await producer.start()

    async def send(value: bytes, event: Counted | None) -> None:
        headers = [(k, v.encode()) for k, v in event.headers().items()] if event else []
        await producer.send_and_wait("sample.counted", value, key=b"same", headers=headers)

    await send(before.value(), before)
    await send(b"x" * 300_000, None)
    await send(b"y" * 2_000_000, counted(1))
    await send(after.value(), after)
    await producer.stop()
    task = asyncio.create_task(consumer.run())

    async def landed() -> bool:
        return {before.thing_id, after.thing_id} <= set(await totals(sample))

    await eventually(landed)
    sizes = {len(row["value"]) for row in await sample.parked() if row["value"]}
    assert {300_000, 2_000_000} <= sizes
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_connection_that_the_server_closed_costs_no_request(sample: Running) -> None:
    closed = asyncio.Event()
    async with sample.db() as db:
        held: Any = (await (await db.connection()).get_raw_connection()).driver_connection
        held.add_termination_listener(lambda _: closed.set())
    mine = held.get_server_pid()

    other = await asyncpg.connect(sample.service.settings.worker_database_url)
    await other.execute(f"select pg_terminate_backend({mine})")
    await other.close()
    # Between the server's last word and its hanging up the edge answers 503, which has a test of its own.
    await asyncio.wait_for(closed.wait(), 20)

    assert await sample.value("select pg_backend_pid()") != mine


async def test_a_handler_that_hangs_on_its_last_record_makes_the_service_not_alive(migrated: Migrated) -> None:
    async with migrated.running(SAMPLE_PROGRESS_MAX_S="0.5") as sample:
        await apply_topics(sample)
        service = sample.service
        inbox = Inbox(service.database.worker, f"hangs-{uuid7()}", [count], dead_letters="sample.dlq")
        service.consumer = Consumer(inbox, service.settings.kafka, group=inbox.consumer)
        relay = relay_of(sample)
        tasks = [asyncio.create_task(relay.run()), asyncio.create_task(service.consumer.run())]
        mine = counted(1)

        async def status() -> int:
            return (await sample.http.get("/healthz")).status_code

        async with sample.db() as db:
            await db.execute(text("lock table tally in access exclusive mode"))
            async with sample.service.database.api.begin() as other:
                outbox.add(other, mine)
            await eventually(lambda: _is(status, 503))

        async def handled() -> bool:
            return mine.thing_id in await totals(sample)

        await eventually(handled)
        await eventually(lambda: _is(status, 200))
        relay.stop()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _is(look: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await look() == wanted


async def test_a_background_task_outlives_a_cancellation_that_is_not_its_own() -> None:
    """aiokafka's stop() lets the cancellation of its fetch tasks out when the broker is gone."""
    service = Service(name="sample", package="sample", settings=ServiceSettings)
    runs: list[int] = []

    async def run() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    task = service._keep(run)
    await eventually(lambda: asyncio.sleep(0, len(runs) == 2))
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
