"""Kafka and PostgreSQL as the stack runs them: real, durable, alone, and gone when they should be."""

import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from stack import daemon, places, tools
from stack.databases import Urls
from stack.parts import NotOurs, Parts, running
from stack.places import HOME, ROOT

HOLD_PARTS = """
import sys, time
from pathlib import Path
from stack.parts import running
with running(Path(sys.argv[1]), with_kafka=False) as parts:
    print(parts.postgres_admin_url, flush=True)
    sys.stdin.read()
"""

DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("listening", flush=True)
signal.pause()
"""


async def make_topic(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def send(bootstrap: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_request_size=4 * 2**20, request_timeout_ms=2_000
    )
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def first_record(bootstrap: str, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return bytes((await consumer.getone()).value)
    finally:
        await consumer.stop()


async def test_a_record_of_two_megabytes_can_be_put_on_a_topic(own_parts: Parts) -> None:
    await make_topic(own_parts.kafka, "big")

    await send(own_parts.kafka, "big", b"x" * 2_000_000)

    assert len(await first_record(own_parts.kafka, "big")) == 2_000_000


async def test_what_was_acknowledged_outlives_a_kill(own_parts: Parts) -> None:
    urls = own_parts.database("durable")
    await make_topic(own_parts.kafka, "durable")
    await send(own_parts.kafka, "durable", b"kept")
    db = await asyncpg.connect(urls.owner)
    await db.execute("create table kept (word text); insert into kept values ('kept')")

    own_parts.broker.kill9()
    own_parts.postgres.kill9()
    db.terminate()
    own_parts.postgres.start()
    own_parts.broker.start()

    assert await first_record(own_parts.kafka, "durable") == b"kept"
    db = await asyncpg.connect(urls.owner)
    assert await db.fetchval("select word from kept") == "kept"
    await db.close()


async def test_a_commit_reaches_the_disk_before_it_is_acknowledged(own_parts: Parts) -> None:
    db = await asyncpg.connect(own_parts.postgres_admin_url)

    assert await db.fetchval("show fsync") == "on"
    assert await db.fetchval("show synchronous_commit") == "on"
    await db.close()


async def test_a_topic_nobody_declared_is_not_made_by_sending_to_it(own_parts: Parts) -> None:
    with pytest.raises(UnknownTopicOrPartitionError):
        await send(own_parts.kafka, "undeclared", b"x")


async def test_a_database_is_open_to_its_own_service_only(own_parts: Parts) -> None:
    one, other = own_parts.database("one"), own_parts.database("other")

    for url in (one.api, one.worker, one.owner):
        await (await asyncpg.connect(url)).close()
    for url in (other.api, other.worker, other.owner):
        foreign = url.replace("/tandem_other", "/tandem_one")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(foreign)


async def test_the_running_roles_do_not_own_what_the_owner_makes(own_parts: Parts) -> None:
    urls = own_parts.database("owned")
    owner = await asyncpg.connect(urls.owner)
    await owner.execute("create table wallets (id int)")
    await owner.close()

    for url in (urls.api, urls.worker):
        db = await asyncpg.connect(url)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.fetch("select * from wallets")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute("create table mine (id int)")
        await db.close()


async def test_asking_for_a_database_twice_gives_the_same_one(own_parts: Parts) -> None:
    first = own_parts.database("twice", "twice_a")
    db = await asyncpg.connect(first.owner)
    await db.execute("create table here (id int)")
    await db.close()

    again, another = own_parts.database("twice", "twice_a"), own_parts.database("twice", "twice_b")

    assert again == first
    assert another.owner == first.owner.replace("twice_a", "twice_b")
    db = await asyncpg.connect(again.worker)
    assert await db.fetchval("select count(*) from pg_tables where tablename = 'here'") == 1
    await db.close()


async def test_a_wrong_password_is_refused(own_parts: Parts) -> None:
    url = own_parts.database("guarded").api.replace(":tandem@", ":guessed@")

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


def test_a_database_name_is_never_taken_for_sql(own_parts: Parts) -> None:
    with pytest.raises(ValueError, match="no name"):
        own_parts.database("billing", 'x"; drop database tandem_one')


def test_postgresql_never_runs_as_root() -> None:
    with running(HOME / "test-user", with_kafka=False):
        process = daemon.running_in(HOME / "test-user")["postgres"]

        assert process.uids().real == places.unprivileged().get("user", os.getuid())
        assert process.uids().real != 0


def test_data_go_elsewhere_when_the_database_cannot_enter_the_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    with running(closed / "stack", with_kafka=False) as parts:
        assert parts.database("billing").owner.endswith("/tandem_billing")

    if os.geteuid() == 0:
        elsewhere = Path((closed / "stack" / "data" / "elsewhere").read_text().strip())
        assert elsewhere.is_relative_to("/var/tmp")
        assert list(elsewhere.iterdir()) == []
        elsewhere.rmdir()


def test_two_sessions_of_one_folder_have_parts_of_their_own() -> None:
    with (
        running(HOME / "test-pair", with_kafka=False) as first,
        running(HOME / "test-pair", with_kafka=False) as second,
    ):
        assert first.postgres_admin_url != second.postgres_admin_url
        assert set(daemon.running_in(HOME / "test-pair-2")) == {"postgres"}

    assert daemon.running_in(HOME / "test-pair") == {}
    assert daemon.running_in(HOME / "test-pair-2") == {}


def test_what_a_killed_session_left_running_is_ended_by_the_next() -> None:
    home = HOME / "test-killed"
    command = [sys.executable, "-c", HOLD_PARTS, str(home)]
    session = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert session.stdout is not None
    assert session.stdin is not None
    assert session.stdout.readline().startswith("postgresql://")
    left = daemon.running_in(home)["postgres"]
    session.kill()
    session.communicate()
    assert daemon.alive(left)

    with running(home, with_kafka=False):
        assert not daemon.alive(left)
        assert daemon.running_in(home)["postgres"].pid != left.pid


def test_a_stranger_with_a_reused_process_number_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        started = psutil.Process(stranger.pid).create_time()
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "kafka.json").write_text(
            f'{{"pid": {stranger.pid}, "started": {started}, "command": ["java", "kafka.Kafka"]}}'
        )
        (tmp_path / "run" / "postgres.json").write_text(
            f'{{"pid": {stranger.pid}, "started": {started - 60}, "command": ["sleep", "60"]}}'
        )

        daemon.clear_leftovers(tmp_path)

        assert stranger.poll() is None
        assert list((tmp_path / "run").iterdir()) == []
    finally:
        stranger.kill()
        stranger.wait()


async def test_data_stay_when_asked_for() -> None:
    home = HOME / "test-stays"
    with running(home, fresh=False, with_kafka=False) as parts:
        db = await asyncpg.connect(parts.database("billing").owner)
        await db.execute("create table if not exists stays (id int); insert into stays values (1)")
        before = await db.fetchval("select count(*) from stays")
        await db.close()

    with running(home, fresh=False, with_kafka=False) as parts:
        db = await asyncpg.connect(parts.database("billing").owner)
        assert await db.fetchval("select count(*) from stays") == before
        await db.close()
    with running(home, with_kafka=False):
        pass  # Begins without data, and leaves none.


def test_nothing_is_started_where_the_environment_names_everything(
    own_parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", own_parts.kafka)
    monkeypatch.setenv("POSTGRES_ADMIN_URL", own_parts.postgres_admin_url)
    monkeypatch.setenv("PATH", str(tmp_path))  # Neither java nor mvn is needed.
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with running(tmp_path / "stack") as parts:
        assert daemon.running_in(tmp_path / "stack") == {}
        assert parts.kafka == own_parts.kafka
        assert parts.database("given") == own_parts.database("given")
        with pytest.raises(NotOurs):
            parts.broker.kill9()
        with pytest.raises(NotOurs):
            parts.postgres.stop()


def test_a_service_gets_the_database_the_environment_names(
    own_parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = Urls(*(f"postgresql://{role}@db.example/billing" for role in ("a", "w", "o")))
    for name, url in urls.environment("billing").items():
        monkeypatch.setenv(name, url)

    with running(tmp_path / "stack", with_kafka=False) as parts:
        assert parts.database("billing") == urls
        with pytest.raises(NotOurs, match="POSTGRES_ADMIN_URL"):
            parts.database("catalog")


@pytest.mark.parametrize(
    ("java_said", "complaint"),
    [
        (None, "java is missing in JAVA_HOME=.*: install Java 17"),
        ('JAVA_VERSION="11.0.2"', "is Java 11, too old: install Java 17"),
        ('JAVA_VERSION="1.8.0_402"', "is Java 8, too old: install Java 17"),
    ],
)
def test_a_missing_or_old_java_is_named_with_its_remedy(
    java_said: str | None, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    if java_said:
        (tmp_path / "release").write_text(java_said)
        (tmp_path / "bin" / "java").touch(mode=0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    with pytest.raises(tools.Missing, match=complaint) as missing:
        tools.java()

    assert len(str(missing.value).splitlines()) == 1


def test_the_doctor_names_all_that_is_missing_and_fails_with_status_2(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}

    ended = subprocess.run(
        [sys.executable, "-m", "stack", "doctor"],
        cwd=ROOT,
        env=environment | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    java, mvn = ended.stderr.splitlines()
    assert java.startswith("java is missing: install")
    assert mvn.startswith("mvn is missing: install")


def test_a_process_that_cannot_start_shows_its_last_words(tmp_path: Path) -> None:
    failing = daemon.Daemon(
        "failing",
        tmp_path,
        ["sh", "-c", "echo no luck today; exit 3"],
        lambda: False,
        address="nowhere",
        port=places.free_port(),
    )

    with pytest.raises(daemon.DidNotStart, match="failing ended while starting\nno luck today"):
        failing.start()


def test_a_process_deaf_to_its_signal_is_killed_in_the_end(tmp_path: Path) -> None:
    deaf = daemon.Daemon(
        "deaf",
        tmp_path,
        [sys.executable, "-c", DEAF],
        lambda: "listening" in deaf.said(),
        address="nowhere",
        port=places.free_port(),
        stop_within_s=0.2,
    )
    deaf.start()
    process = deaf.process
    assert process is not None

    deaf.stop()

    assert not daemon.alive(process)
