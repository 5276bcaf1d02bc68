"""Parked records and replays, on real PostgreSQL and Kafka: mended once, in order, on record, while a service runs."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_settings import SettingsConfigDict
from sqlalchemy import BigInteger, Column, Table, Text, Uuid, text
from typer.testing import CliRunner

from kit import Service, clock, mail, outbox, topics
from kit.auth import Grant, Role, act_as, keep_grants
from kit.cli import command_line
from kit.consumer import Consumer, Handler, batches, wait_for
from kit.db import Session, metadata, upsert_newer
from kit.inbox import arrived
from kit.relay import Relay
from kit.replay import Stretch, measure, rebuild, replay
from kit.settings import ServiceSettings
from kit.testing import Migrated, Running, eventually, problem
from schemas.event import Event, uuid7

MIGRATION = """
from alembic import op
from kit import migrations
revision = "0001"
down_revision = None
def upgrade():
    migrations.create_kit_tables(op)
    migrations.close_parked(op)
    op.execute("create table known (name text primary key)")
    op.execute("create table done (id uuid primary key, thing_id uuid not null, number int not null)")
    op.execute("create table names (id uuid primary key, version bigint not null, name text not null)")
    for table in ("known", "done", "names"):
        migrations.open_table(op, table)
"""

names = Table(
    "names",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
)


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_", frozen=True)


class Sample(Service):
    folder: ClassVar[Path]
    version = "1"

    @property
    def migrations(self) -> Path:
        return self.folder


class World:
    """Events on topics of their own, and a service that follows them: a test's records are its alone."""

    def __init__(self) -> None:
        mine = uuid7().hex[-10:]

        class Stepped(Event):
            """A thing took a step; handling it needs a name to be known."""

            topic: ClassVar[str] = f"step-{mine}"
            key: ClassVar[str] = "thing_id"
            source: ClassVar[str] = "sample"
            partitions: ClassVar[int] = 2

            id: UUID
            thing_id: UUID
            number: int
            needs: str = ""
            padding: str = ""

        class Answered(Event):
            """A step was handled."""

            topic: ClassVar[str] = f"answer-{mine}"
            key: ClassVar[str] = "thing_id"
            source: ClassVar[str] = "sample"

            thing_id: UUID
            number: int

        class Named(Event):
            """A thing, as it is now called."""

            topic: ClassVar[str] = f"name-{mine}"
            key: ClassVar[str] = "thing_id"
            source: ClassVar[str] = "sample"
            state: ClassVar[bool] = True

            thing_id: UUID
            name: str

        @batches(Stepped)
        async def on_steps(db: Session, events: Sequence[Any]) -> list[wait_for]:
            """Each step once, answered; one whose name is missing fails, one that needs `later` waits."""
            waits = []
            for event in events:
                if event.needs == "later":
                    if not await db.scalar(text("select true from known where name = 'later'")):
                        waits.append(wait_for(event, "name/later"))
                        continue
                elif event.needs and not await db.scalar(
                    text("select true from known where name = :n"), {"n": event.needs}
                ):
                    raise LookupError(f"{event.needs} is not known")
                new = await db.scalar(
                    text("insert into done values (:i, :t, :n) on conflict do nothing returning true"),
                    {"i": event.id, "t": event.thing_id, "n": event.number},
                )
                if new:
                    outbox.add(db, Answered(version=1, thing_id=event.thing_id, number=event.number))
            return waits

        @batches(Named)
        async def on_names(db: Session, events: Sequence[Any]) -> None:
            """Copies names, and tells everybody of each change, as no copy should: a rebuild must not repeat it."""
            rows = [{"id": e.thing_id, "version": e.version, "name": e.name} for e in events]
            for id_ in await upsert_newer(db, names, rows):
                outbox.add(db, Answered(version=1, thing_id=id_, number=0))
                letter = {"to": "somebody@tandem.example", "subject": "News", "text": "A name."}
                await mail.send(db, **letter, matter=f"thing/{id_}", event=str(uuid7()))
            arrived(db, "name/later")

        self.Stepped, self.Answered, self.Named = Stepped, Answered, Named
        self.handlers: list[Handler] = [on_steps, on_names]

    def service(self) -> Sample:
        publishes = [self.Stepped, self.Answered, self.Named]
        return Sample(name="sample", package="kit", settings=Settings, publishes=publishes, consumers=self.handlers)

    def step(self, thing: UUID, number: int, needs: str = "", **more: Any) -> Any:
        return self.Stepped(version=number, id=uuid7(), thing_id=thing, number=number, needs=needs, **more)

    def named(self, thing: UUID, version: int, name: str) -> Any:
        return self.Named(version=version, thing_id=thing, name=name)


@pytest.fixture(scope="module")
def migrated(parts: Any, tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    Sample.folder = tmp_path_factory.mktemp("migrations")
    (Sample.folder / "versions").mkdir()
    (Sample.folder / "env.py").write_text("from kit.migrations import run_env\n\nrun_env()\n")
    (Sample.folder / "versions" / "0001_sample.py").write_text(MIGRATION)
    return Migrated(parts, World().service())


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def sample(migrated: Migrated, world: World) -> AsyncIterator[Running]:
    migrated.service = world.service()
    async with migrated.running() as running:
        yield running


@asynccontextmanager
async def serving(sample: Running) -> AsyncIterator[Consumer]:
    """The service's relay and consumer, at work; nothing is tried again by itself."""
    ours = sample.service.settings
    await topics.apply(ours.kafka, sample.service.topics, 1)
    relay = Relay(ours.worker_database_url, ours.kafka, name="sample")
    consumer = Consumer(sample.service.inbox, ours.kafka, group=sample.service.group, topic_check_s=0.2)
    tasks = [asyncio.create_task(relay.run()), asyncio.create_task(consumer.run())]
    try:
        yield consumer
    finally:
        relay.stop()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def announce(sample: Running, *events: Any) -> None:
    async with sample.db() as db:
        outbox.add(db, *events)


async def send(sample: Running, event: Any) -> None:
    """Past the outbox, and as large as an operator let the topic's records be."""
    bootstrap = sample.service.settings.kafka_bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    larger = {"max.message.bytes": "8000000"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, event.topic, configs=larger)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=8_000_000)
    await producer.start()
    headers = [(k, v.encode()) for k, v in event.headers().items()]

    async def sent() -> bool:
        try:
            await producer.send_and_wait(event.topic, event.value(), key=event.aggregate_id.encode(), headers=headers)
        except MessageSizeTooLargeError:
            return False  # not yet
        return True

    await eventually(sent)
    await producer.stop()


async def know(sample: Running, *names: str) -> None:
    async with sample.db() as db:
        for name in names:
            await db.execute(text("insert into known values (:n) on conflict do nothing"), {"n": name})


async def done(sample: Running) -> list[tuple[UUID, int]]:
    return [(r["thing_id"], r["number"]) for r in await sample.rows("select * from done order by thing_id, number")]


async def count(sample: Running, table: str) -> int:
    return int(await sample.value(f"select count(*) from {table}"))


async def until(sample: Running, sql: str) -> None:
    await eventually(lambda: sample.value(sql), within_s=60)


async def answers(sample: Running, topic: str) -> dict[str, list[int]]:
    """The numbers on a topic, by key, in order."""
    reader = AIOKafkaConsumer(
        topic, bootstrap_servers=sample.service.settings.kafka_bootstrap_servers, auto_offset_reset="earliest"
    )
    await reader.start()
    found: dict[str, list[int]] = {}
    try:
        ends = await reader.end_offsets(reader.assignment())
        while any([await reader.position(p) < end for p, end in ends.items()]):
            for records in (await reader.getmany(timeout_ms=200)).values():
                for record in records:
                    found.setdefault(record.key.decode(), []).append(json.loads(record.value)["number"])
    finally:
        await reader.stop()
    return found


# -- parked records ----------------------------------------------------------------------------------------


async def test_a_parked_record_is_found_mended_and_replayed_once(sample: Running, world: World) -> None:
    thing = uuid7()
    bad, good = world.step(thing, 1, needs="Pia"), world.step(thing, 2)
    async with serving(sample):
        await announce(sample, bad, good)
        await until(sample, "select count(*) = 1 from parked")
        await until(sample, "select count(*) = 1 from done")

        (listed,) = (await sample.get("/v1/parked", handler="on_steps", reason="LookupError")).json()["items"]
        shown = (await sample.get(f"/v1/parked/{listed['id']}")).json()
        early = (await sample.post(f"/v1/parked/{listed['id']}/replay")).json()
        await know(sample, "Pia")
        replayed = await sample.post(f"/v1/parked/{listed['id']}/replay", key="once")
        again = await sample.post(f"/v1/parked/{listed['id']}/replay", key="once")
        await until(sample, "select count(*) = 0 from outbox")

    assert (listed["error"], listed["state"], listed["copied"]) == ("Pia is not known", "due", True)
    assert "value" not in listed
    assert json.loads(shown["value"])["needs"] == "Pia"
    assert (early["failed"], early["records"][0]["error"]) == (1, "LookupError: Pia is not known")
    assert (replayed.json()["handled"], replayed.json()) == (1, again.json())
    assert problem(await sample.post(f"/v1/parked/{listed['id']}/replay"))["type"] == "/problems/parked-not-found"
    assert await done(sample) == [(thing, 1), (thing, 2)]
    assert await answers(sample, world.Answered.topic) == {str(thing): [2, 1]}
    record = await sample.rows("select actor, action, detail ->> 'outcome' as outcome from audit order by id")
    assert [(r["action"], r["outcome"]) for r in record] == [
        ("parked.shown", None),
        ("parked.replayed", "failed"),
        ("parked.replayed", "handled"),
    ]
    assert {r["actor"] for r in record} == {"user:sub-admin@tandem.example"}


async def test_a_failed_replay_costs_no_attempt_and_raises_no_dead_record(sample: Running, world: World) -> None:
    await sample.deliver(world.step(uuid7(), 1, needs="Pia"))
    (row,) = await sample.parked()

    for _ in range(10):
        await sample.service.inbox.replay([row["id"]], "operator:tests")

    (after,) = await sample.parked()
    assert (after["state"], after["attempt"], after["next_at"]) == ("due", 1, row["next_at"])
    assert await sample.rows("select * from outbox") == []


async def test_a_dropped_record_is_gone_with_its_reason_and_does_not_come_back(sample: Running, world: World) -> None:
    record = sample.record(world.step(uuid7(), 1, needs="Pia"))
    await sample.deliver_records([record])
    (row,) = await sample.parked()

    assert problem(await sample.post(f"/v1/parked/{row['id']}/drop", {}))["status"] == 422
    dropped = await sample.post(f"/v1/parked/{row['id']}/drop", {"reason": "sent by a test system"})
    await sample.deliver_records([record])

    assert dropped.json()["dropped"] == [row["id"]]
    assert await sample.parked() == []
    (kept,) = await sample.rows("select action, detail from audit")
    assert (kept["action"], kept["detail"]["reason"]) == ("parked.dropped", "sent by a test system")
    assert kept["detail"]["event_id"] == str(record.event_id)


async def test_only_admins_of_the_platform_see_or_touch_parked_records(sample: Running, world: World) -> None:
    await sample.deliver(world.step(uuid7(), 1, needs="Pia"))
    (row,) = await sample.parked()
    others = {Role.SUPPORT: ("platform", None), Role.PARTNER_ADMIN: ("partner", uuid7())}
    async with sample.db() as db:
        grants = [Grant(role, 1, role, *tenant, email=f"{role}@x.example") for role, tenant in others.items()]
        await keep_grants(db, "tests", grants)

    for role in others:
        who = {"email": f"{role}@x.example"}
        assert (await sample.get("/v1/parked", **who)).status_code == 403
        assert (await sample.get(f"/v1/parked/{row['id']}", **who)).status_code == 403
        for path in (f"/v1/parked/{row['id']}/replay", f"/v1/parked/{row['id']}/drop", "/v1/parked/replay"):
            assert (await sample.post(path, {"reason": "no reason", "which": {"all": True}}, **who)).status_code == 403


async def test_the_database_shows_parked_records_to_the_platform_only(sample: Running, world: World) -> None:
    await sample.deliver(world.step(uuid7(), 1, needs="Pia"), world.step(uuid7(), 1, needs="later"))

    async def seen(tenant: str) -> tuple[int, int]:
        async with sample.service.database.api.begin() as db:
            await act_as(db, tenant, "user:somebody")
            both = [await db.scalar(text(f"select count(*) from {table}")) for table in ("parked", "waiting")]
        return both[0] or 0, both[1] or 0

    assert [await seen(tenant) for tenant in ("platform", f"partner/{uuid7()}", "public", "")] == [
        (1, 1),
        (0, 0),
        (0, 0),
        (0, 0),
    ]


async def test_many_are_replayed_by_what_they_have_in_common_a_part_at_a_time(sample: Running, world: World) -> None:
    await sample.deliver(*(world.step(uuid7(), 1, needs="Pia") for _ in range(7)), world.step(uuid7(), 9, needs="Tom"))
    await know(sample, "Pia")

    unnamed = await sample.post("/v1/parked/replay", {"which": {}})
    nobody = await sample.post("/v1/parked/replay", {"which": {"handler": "on_nothing"}})
    first = (await sample.post("/v1/parked/replay", {"which": {"reason": "LookupError"}, "limit": 5})).json()
    last = {"which": {"reason": "LookupError"}, "after": first["last_id"]}
    rest = (await sample.post("/v1/parked/replay", last)).json()

    assert (unnamed.status_code, problem(nobody)["handlers"]) == (422, ["on_names", "on_steps"])
    assert (first["handled"], first["left"]) == (5, 3)
    assert (rest["handled"], rest["failed"], rest["left"]) == (2, 1, 0)
    assert [r["error"] for r in await sample.parked()] == ["Tom is not known"]
    dropped = (await sample.post("/v1/parked/drop", {"which": {"all": True}, "reason": "a test"})).json()
    assert len(dropped["dropped"]) == 1
    assert await sample.parked() == []


async def test_replaying_what_must_wait_says_so(sample: Running, world: World) -> None:
    early = world.step(uuid7(), 1, needs="Pia")
    await sample.deliver(early)
    (row,) = await sample.parked()
    async with sample.db() as db:  # an operator mended the record
        mended = early.model_copy(update={"needs": "later"}).value()
        await db.execute(text("update parked set value = :v"), {"v": mended})

    (replayed,) = await sample.service.inbox.replay([row["id"]], "operator:tests")

    assert (replayed.outcome, replayed.error) == ("waiting", "name/later")
    assert (await sample.parked(), await count(sample, "waiting")) == ([], 1)


async def test_a_record_too_large_to_copy_is_read_again_from_kafka(sample: Running, world: World) -> None:
    thing = uuid7()
    async with serving(sample):
        await send(sample, world.step(thing, 1, needs="Pia", padding="x" * 6_000_000))
        await until(sample, "select count(*) = 1 from parked")
        (row,) = await sample.parked()
        assert row["value"] is None

        listed = (await sample.get(f"/v1/parked/{row['id']}")).json()
        read = (await sample.get(f"/v1/parked/{row['id']}", from_kafka=True)).json()
        await know(sample, "Pia")
        await sample.service.inbox.retry_due(clock.now() + timedelta(minutes=1))

    assert (listed["copied"], listed["value"], listed["topic"]) == (False, None, world.Stepped.topic)
    assert len(read["value"]) > 6_000_000
    assert await done(sample) == [(thing, 1)]
    assert await sample.parked() == []


async def test_a_record_that_kafka_no_longer_has_is_said_to_be_gone(sample: Running, world: World) -> None:
    async with serving(sample):
        pass
    headers = world.step(uuid7(), 1).headers()
    await sample.deliver_records([sample.raw(world.Stepped.topic, b"x" * 5_000_000, headers)])
    (row,) = await sample.parked()

    gone = await sample.get(f"/v1/parked/{row['id']}", from_kafka=True)
    (replayed,) = await sample.service.inbox.replay([row["id"]], "operator:tests")

    assert (gone.status_code, problem(gone)["type"]) == (410, "/problems/value-gone")
    assert (replayed.outcome, replayed.error.split(":")[0]) == ("failed", "RecordGone")


# -- the order of a key ------------------------------------------------------------------------------------

steps = st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from(["", "Pia", "Tom"])), min_size=2, max_size=9)


@settings(max_examples=25, deadline=None)
@given(steps, st.lists(st.sets(st.integers(0, 8), min_size=1), max_size=4), st.data())
async def test_parked_records_of_a_key_are_handled_in_the_order_of_the_log(
    migrated: Migrated, told: list[tuple[str, str]], chosen: list[set[int]], data: st.DataObject
) -> None:
    """However they are picked, and whichever of them fail again: what was parked is never overtaken by what
    was parked behind it, and each is handled once."""
    world = World()
    migrated.service = world.service()
    things = {"x": uuid7(), "y": uuid7()}
    async with migrated.running() as sample:
        await sample.deliver(*(world.step(things[key], number, needs) for number, (key, needs) in enumerate(told)))
        parked = {row["id"]: row["offset"] for row in await sample.parked()}
        by_place = dict(enumerate(parked))
        assert len(parked) == sum(bool(needs) for _, needs in told)

        await know(sample, "Pia")
        for places in chosen:
            ids = [by_place[place] for place in places if place in by_place]
            if data.draw(st.booleans()):
                await sample.service.inbox.retry_due(clock.now() + timedelta(days=1))
            else:
                await sample.service.inbox.replay(ids, "operator:tests")
        await know(sample, "Tom")
        await sample.service.inbox.replay(list(parked), "operator:tests")

        assert await sample.parked() == []
        answered = [(e.thing_id, e.number) for e in await sample.published(world.Answered)]
        for key, thing in things.items():
            was_parked = [number for number, (whose, needs) in enumerate(told) if whose == key and needs]
            assert [n for whose, n in answered if whose == thing and n in was_parked] == was_parked
        assert sorted(answered) == sorted((things[key], number) for number, (key, _) in enumerate(told))


async def test_the_order_of_each_key_reaches_kafka_when_all_is_replayed(sample: Running, world: World) -> None:
    things = [uuid7() for _ in range(6)]
    async with serving(sample):
        for number in range(10):
            await announce(sample, *(world.step(thing, number, "Pia" if number % 3 else "Tom") for thing in things))
        await until(sample, "select count(*) = 60 from parked")
        await know(sample, "Pia")
        first = (await sample.post("/v1/parked/replay", {"which": {"all": True}, "limit": 500})).json()
        await know(sample, "Tom")
        rest = (await sample.post("/v1/parked/replay", {"which": {"all": True}, "limit": 500})).json()
        await until(sample, "select count(*) = 0 from outbox")

    assert (first["handled"], first["failed"], first["behind"]) == (0, 6, 54)
    assert (rest["handled"], rest["failed"]) == (60, 0)
    assert await answers(sample, world.Answered.topic) == {str(thing): list(range(10)) for thing in things}


async def test_by_itself_a_later_record_of_a_key_is_tried_after_the_earlier_one_or_its_end(
    sample: Running, world: World
) -> None:
    thing, later = uuid7(), clock.now() + timedelta(days=1)
    await sample.deliver(world.step(thing, 1, needs="Tom"), world.step(thing, 2, needs="Pia"))
    await know(sample, "Pia")

    for _ in range(sample.service.settings.park_attempts_max - 1):
        assert await sample.service.inbox.retry_due(later) == 1
        assert await done(sample) == []
    await sample.service.inbox.retry_due(later)

    assert [(r["error"], r["state"]) for r in await sample.parked()] == [("Tom is not known", "dead")]
    assert await done(sample) == [(thing, 2)]


# -- a topic once more -------------------------------------------------------------------------------------


async def test_a_topic_replayed_from_a_time_twice_changes_nothing(sample: Running, world: World) -> None:
    things = [uuid7() for _ in range(5)]
    async with serving(sample):
        await announce(sample, *(world.step(thing, 1) for thing in things))
        await until(sample, "select count(*) = 5 from done")
        noon = datetime.now(UTC)
        await announce(sample, *(world.step(thing, 2) for thing in things))
        await until(sample, "select count(*) = 10 from done")
        await until(sample, "select count(*) = 0 from outbox")
        before = await done(sample), await answers(sample, world.Answered.topic)

        everything = await measure(sample.service, Stretch([world.Stepped.topic], 0))
        since_noon = await measure(sample.service, Stretch([world.Stepped.topic], noon))
        reports = [await replay(sample.service, since_noon, "operator:tests") for _ in range(2)]
        await until(sample, "select count(*) = 0 from outbox")
        after = await done(sample), await answers(sample, world.Answered.topic)

        async with sample.db() as db:  # lost by an accident
            await db.execute(text("delete from done where number = 2"))
        restored = await replay(sample.service, everything, "operator:tests")
        await until(sample, "select count(*) = 0 from outbox")

    assert [(r.read, r.handled, r.parked) for r in reports] == [(5, 5, 0)] * 2
    assert after == before
    assert (restored.handled, await done(sample)) == (10, before[0])
    assert await answers(sample, world.Answered.topic) == {str(thing): [1, 2, 2] for thing in things}
    actions = [r["action"] for r in await sample.rows("select action from audit order by id")]
    assert actions == ["replay.started", "replay.ended"] * 3


async def test_a_replay_takes_offsets_of_one_partition_and_stops_where_it_is_told(
    sample: Running, world: World
) -> None:
    thing = uuid7()
    async with serving(sample):
        await announce(sample, *(world.step(thing, number) for number in range(10)))
        await until(sample, "select count(*) = 10 from done")
        ranges = await measure(sample.service, Stretch([world.Stepped.topic], 2, 5))
        (partition,) = [p.partition for p, (first, end) in ranges.items() if first < end]
        other = await measure(sample.service, Stretch([world.Stepped.topic], 2, 5, 1 - partition))
        async with sample.db() as db:
            await db.execute(text("delete from done"))
        await replay(sample.service, other, "operator:tests")
        nothing = await done(sample)
        await replay(sample.service, ranges, "operator:tests")

    assert nothing == []
    assert await done(sample) == [(thing, 2), (thing, 3), (thing, 4)]


async def test_what_fails_in_a_replay_is_parked_and_can_be_mended_though_it_was_handled_before(
    sample: Running, world: World
) -> None:
    thing = uuid7()
    await know(sample, "Pia")
    async with serving(sample):
        await announce(sample, world.step(thing, 1, needs="Pia"))
        await until(sample, "select count(*) = 1 from done")
        async with sample.db() as db:
            await db.execute(text("delete from done"))
            await db.execute(text("delete from known"))
        everything = await measure(sample.service, Stretch([world.Stepped.topic], 0))
        report = await replay(sample.service, everything, "operator:tests")
        await know(sample, "Pia")
        await sample.service.inbox.retry_due(clock.now() + timedelta(minutes=1))

    assert (report.handled, report.parked) == (0, 1)
    assert await done(sample) == [(thing, 1)]
    assert await sample.parked() == []


async def test_dead_letters_are_replayed_as_what_they_are_copies_of(sample: Running, world: World) -> None:
    things = [uuid7(), uuid7()]
    started = clock.now()
    async with serving(sample):
        await announce(sample, world.step(things[0], 1, needs="Pia"))
        await send(sample, world.step(things[1], 1, needs="Pia", padding="x" * 300_000))
        await until(sample, "select count(*) = 2 from parked")
        for _ in range(sample.service.settings.park_attempts_max):
            await sample.service.inbox.retry_due(clock.now() + timedelta(days=1))
        await until(sample, "select count(*) = 0 from outbox")
        assert {r["state"] for r in await sample.parked()} == {"dead"}

        await know(sample, "Pia")
        letters = await measure(sample.service, Stretch([sample.service.dead_letters], started))
        report = await replay(sample.service, letters, "operator:tests")

    assert (report.read, report.topics) == (2, {world.Stepped.topic: 2})
    assert sorted(await done(sample)) == sorted((thing, 1) for thing in things)
    assert await sample.parked() == []


# -- copies from zero --------------------------------------------------------------------------------------


async def test_copies_are_rebuilt_from_zero_while_the_service_serves_and_nothing_goes_out(
    sample: Running, world: World
) -> None:
    things = [uuid7() for _ in range(20)]
    async with serving(sample):
        for version in (1, 2, 3):
            await announce(sample, *(world.named(thing, version, f"name {version}") for thing in things))
        await until(sample, "select count(*) = 20 from names where version = 3")
        await until(sample, "select count(*) = 0 from outbox")
        before = await sample.rows("select * from names order by id")
        told = await answers(sample, world.Answered.topic)
        mails = await count(sample, "mail")

        async with sample.db() as db:
            await db.execute(text("delete from names where id <> all(:kept)"), {"kept": things[:3]})
            await db.execute(text("update names set name = 'spoilt'"))
            ahead = {"id": things[0]}
            await db.execute(text("update names set version = 9, name = 'newer' where id = :id"), ahead)
        report = await rebuild(sample.service, [world.Named.topic], "operator:tests")
        asked = await sample.get("/v1/parked")
        await until(sample, "select count(*) = 0 from outbox")

    after = await sample.rows("select * from names where id <> :id order by id", id=things[0])
    assert after == [row for row in before if row["id"] != things[0]]
    assert await sample.value("select name from names where id = :id", id=things[0]) == "newer"
    assert (report.read, report.handled, asked.status_code) == (60, 20, 200)
    assert await answers(sample, world.Answered.topic) == told
    assert await count(sample, "mail") == mails


async def test_a_rebuild_takes_nothing_that_was_not_handled_before(sample: Running, world: World) -> None:
    """What is parked, waits or is still to be read must be announced by the service itself."""
    known, unread, waits = uuid7(), uuid7(), world.step(uuid7(), 1, needs="later")
    async with serving(sample):
        await announce(sample, world.named(known, 1, "known"), waits)
        await until(sample, "select (select count(*) from names) = 1 and (select count(*) from waiting) = 1")
        await until(sample, "select count(*) = 0 from outbox")
    ours = sample.service.settings
    relay = Relay(ours.worker_database_url, ours.kafka, name="sample")
    task = asyncio.create_task(relay.run())
    await announce(sample, world.named(unread, 1, "unread"))
    await until(sample, "select count(*) = 0 from outbox")
    relay.stop()
    await task
    await know(sample, "later")
    async with sample.db() as db:
        await db.execute(text("delete from names"))

    await rebuild(sample.service, [world.Named.topic], "operator:tests")

    assert [r["id"] for r in await sample.rows("select id from names")] == [known]
    assert await done(sample) == []  # nor does it wake who waits: the answer would be lost
    await sample.service.inbox.look_again(clock.now() + timedelta(minutes=1))
    assert [e.number for e in await sample.published(world.Answered)] == [1]


# -- the command line --------------------------------------------------------------------------------------


async def command(sample: Running, world: World, *words: str) -> tuple[int, str]:
    """What `sample …` says on standard output, run by a process of its own (a loop of its own, here)."""
    beside = world.service()
    beside.settings = sample.service.settings
    cli: typer.Typer = command_line(beside)
    result = await asyncio.to_thread(CliRunner().invoke, cli, list(words))
    return result.exit_code, result.stdout if result.exit_code in (0, 1) else result.output


async def test_operators_do_the_same_on_the_command_line(
    sample: Running, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "olga")
    thing = uuid7()
    async with serving(sample):
        await announce(sample, world.step(thing, 1, needs="Pia"), world.named(thing, 1, "a"))
        await announce(sample, world.step(thing, 2, needs="Tom"))
        await until(sample, "select count(*) = 2 from parked")
        await until(sample, "select count(*) = 1 from names")
        first, second = [row["id"] for row in await sample.parked()]

        _, listed = await command(sample, world, "parked", "list", "--reason", "LookupError", "--json")
        _, table = await command(sample, world, "parked", "list")
        _, shown = await command(sample, world, "parked", "show", str(first))
        failed, _ = await command(sample, world, "parked", "replay", "--all")
        await know(sample, "Pia")
        replayed, outcome = await command(sample, world, "parked", "replay", str(first), "--json")
        missing, said = await command(sample, world, "parked", "replay", str(first))
        vague, _ = await command(sample, world, "parked", "replay")
        dropped, _ = await command(sample, world, "parked", "drop", str(second), "--because", "a test", "--by", "kim")
        again, report = await command(
            sample, world, "replay", world.Stepped.topic, "--from-time", "2020-01-01", "--yes", "--json"
        )
        unknown, _ = await command(sample, world, "replay", "nobody.knows", "--from-offset", "0", "--yes")
        rebuilt, copies = await command(sample, world, "rebuild", "--yes", "--json")

    assert [row["error"] for row in json.loads(listed)] == ["Pia is not known", "Tom is not known"]
    assert {str(first), str(second), "due"} <= set(table.replace("│", " ").split())
    assert json.loads(json.loads(shown)["value"])["needs"] == "Pia"
    assert (failed, replayed, json.loads(outcome)) == (1, 0, [{"id": first, "outcome": "handled", "error": ""}])
    assert (missing, vague, unknown) == (2, 2, 2)
    assert "No such record" in said or str(first) in said
    assert dropped == 0
    assert (again, json.loads(report)["read"], json.loads(report)["parked"]) == (1, 2, 1)
    assert (rebuilt, json.loads(copies)["handled"]) == (0, 1)
    actors = await sample.rows("select actor, action from audit order by id")
    assert [(r["actor"], r["action"]) for r in actors] == [
        ("operator:olga", "parked.shown"),
        ("operator:olga", "parked.replayed"),  # failed, and left the one behind it alone
        ("operator:olga", "parked.replayed"),
        ("operator:kim", "parked.dropped"),
        ("operator:olga", "replay.started"),
        ("operator:olga", "replay.ended"),
        ("operator:olga", "rebuild.started"),
        ("operator:olga", "rebuild.ended"),
    ]
