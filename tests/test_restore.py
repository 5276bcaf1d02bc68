"""Restoring one service's database while the others go on, and a whole server without losing anything.

What docs/operations.md says under Restore, done for real: by PostgreSQL's own programs, at the suite as it runs.
"""

import asyncio
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from kit.testing import eventually
from stack import databases, places, tools
from stack.daemon import environment
from stack.postgres import Postgres
from tests.suite import Suite
from tests.test_crashes import CREDITS, EXPECTED, PEOPLE, PRICE, enroll_everybody, half_way, outcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def suite(apart: Suite) -> Suite:
    return apart


# -- one service, from a dump -------------------------------------------------------------------------------


async def test_a_service_restored_from_a_dump_catches_up_while_the_others_go_on(suite: Suite, tmp_path: Path) -> None:
    partner = await suite.partner(credits=8)
    course = await suite.course(credits=PRICE)
    before = [await enrolled(suite, partner, course) for _ in range(3)]
    dump, taken_at = tmp_path / "billing.dump", datetime.now(UTC)
    client("pg_dump", "--format=custom", f"--file={dump}", owner(suite))
    await suite.top_up(partner["partner_id"], 20, key="order-2")
    since = [await enrolled(suite, partner, course) for _ in range(5)]
    await suite.settle()
    assert (await suite.wallet(partner["partner_id"]))["available"] == 28 - 8 * PRICE

    billing = suite.processes.service("billing")
    await asyncio.to_thread(billing.kill9)
    await lose_database(suite)
    meanwhile = [await suite.associate(await suite.person(partner), course, wait=0) for _ in range(2)]
    assert [answer.json()["step"]["waiting_for"] for answer in meanwhile] == ["credits.charged"] * 2
    await suite.post("academy", f"/v1/learnings/{before[0]['enrollment_id']}/complete", by=before[0]["email"])

    databases.create(suite.processes.parts.postgres_admin_url, "billing")
    client("pg_restore", "--exit-on-error", f"--dbname={owner(suite)}", str(dump))
    await asyncio.to_thread(billing.process("api").start)
    assert (await suite.wallet(partner["partner_id"]))["available"] == 8 - 3 * PRICE  # as it was then
    lost = await announced(suite, "credits.topped_up", since=taken_at)
    for top_up in lost:
        body = {"credits": top_up["credits"], "reason": "Lost with the database, entered again"}
        await suite.post("billing", f"/v1/wallets/{top_up['partner_id']}/top-ups", body)
    replay(suite, taken_at - timedelta(minutes=1))
    await asyncio.to_thread(billing.process("worker").start)
    await suite.settle()

    assert [top_up["credits"] for top_up in lost] == [20]
    for enrollment in (*before, *since, *(answer.json() for answer in meanwhile)):
        assert (await suite.enrollment(enrollment["enrollment_id"]))["state"] in ("confirmed", "completed")
    wallet = await suite.wallet(partner["partner_id"])
    assert (wallet["available"], wallet["held"]) == (28 - 10 * PRICE, 0)
    assert (await suite.get("billing", "/v1/ledger/check"))["ok"]
    charged = await suite.rows("billing", "select enrollment_id from charges where state = 'charged'")
    assert len({row["enrollment_id"] for row in charged}) == 10
    learnings = await suite.rows("academy", "select from learnings where course_id = $1", UUID(course["course_id"]))
    assert len(learnings) == 10
    assert await suite.rows("billing", "select reason, error from parked") == []


async def enrolled(suite: Suite, partner: dict[str, Any], course: dict[str, Any]) -> dict[str, Any]:
    person = await suite.person(partner)
    answer = await suite.associate(person, course, by=partner["admin"])
    assert (answer.status_code, answer.json()["state"]) == (201, "confirmed"), answer.text
    return {"enrollment_id": answer.json()["enrollment_id"], "email": person["email"]}


def owner(suite: Suite) -> str:
    return suite.processes.parts.database("billing").owner


def client(program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL's to its end."""
    command = [tools.postgres_client(program), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


async def lose_database(suite: Suite) -> None:
    admin = await asyncpg.connect(suite.processes.parts.postgres_admin_url)
    await admin.execute("drop database tandem_billing with (force)")
    await admin.close()


def replay(suite: Suite, since: datetime) -> None:
    """`billing replay all --from-time …`, as an operator types it."""
    command = [sys.executable, "-m", "billing", "replay", "all", "--from-time", since.strftime("%Y-%m-%dT%H:%M:%S")]
    env = environment() | suite.processes.service("billing").env
    ended = subprocess.run(
        [*command, "--yes", "--by", "an operator"], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


async def announced(suite: Suite, topic: str, since: datetime) -> list[dict[str, Any]]:
    """What a topic holds since a moment: what its owner said then, whatever it remembers now."""
    reader = AIOKafkaConsumer(bootstrap_servers=suite.processes.parts.kafka)
    await reader.start()
    try:
        known = await reader._client.fetch_all_metadata()
        partitions = [TopicPartition(topic, n) for n in known.partitions_for_topic(topic)]
        reader.assign(partitions)
        ends = await reader.end_offsets(partitions)
        found = await reader.offsets_for_times(dict.fromkeys(partitions, int(since.timestamp() * 1000)))
        said = []
        for partition in partitions:
            if found[partition] is None:
                continue
            reader.seek(partition, found[partition].offset)
            while await reader.position(partition) < ends[partition]:
                said += (await reader.getmany(partition, timeout_ms=1000)).get(partition, [])
        return [orjson.loads(record.value) for record in said]
    finally:
        await reader.stop()


# -- everything, from a base backup and the log -------------------------------------------------------------


async def test_a_server_whose_disk_is_lost_comes_back_with_every_commit(suite: Suite) -> None:
    server = suite.processes.parts.postgres
    assert isinstance(server, Postgres)
    safe = server.data.parent / "safe"
    safe.mkdir()
    replication = server.admin_url.rsplit("/", 1)[0] + "/"
    log = keep_log(replication, safe / "log")
    try:
        await wait_for_log(server)
        client("pg_basebackup", f"--dbname={replication}", f"--pgdata={safe / 'base'}", "--checkpoint=fast")
        partner = await suite.partner(credits=CREDITS)
        course = await suite.course(credits=PRICE)
        people = await asyncio.gather(*(suite.person(partner) for _ in range(PEOPLE)))
        load = asyncio.create_task(enroll_everybody(suite, partner, course, list(people)))
        await half_way(suite, course)

        await asyncio.to_thread(server.kill9)
        shutil.rmtree(server.data)
    finally:
        log.terminate()
        log.wait(30)
    restore(server, safe)
    await asyncio.to_thread(server.start)

    await load
    await suite.settle(120)
    assert await outcome(suite, partner, course) == EXPECTED


def keep_log(replication: str, folder: Path) -> "subprocess.Popen[bytes]":
    """Stream the server's log to another place, where every commit is written before it counts."""
    folder.mkdir()
    slot = [f"--dbname={replication}", f"--directory={folder}", "--slot=safe"]
    client("pg_receivewal", *slot, "--create-slot")
    return subprocess.Popen([tools.postgres_client("pg_receivewal"), *slot, "--synchronous"])


async def wait_for_log(server: Postgres) -> None:
    """From here on no commit returns before its log is in that place."""
    admin = await asyncpg.connect(server.admin_url)
    try:
        await admin.execute("alter system set synchronous_standby_names = 'pg_receivewal'")
        await admin.execute("select pg_reload_conf()")
        there = "select exists (select from pg_stat_replication where sync_state = 'sync')"
        await eventually(lambda: admin.fetchval(there), within_s=60)
    finally:
        await admin.close()


def restore(server: Postgres, safe: Path) -> None:
    """The base backup in the data's place, and the log to be read from where it was kept."""
    shutil.move(safe / "base", server.data)
    for unfinished in (safe / "log").glob("*.partial"):
        unfinished.rename(unfinished.with_suffix(""))
    (server.data / "recovery.signal").touch()
    with (server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"restore_command = 'cp \"{safe}/log/%f\" \"%p\"'\nsynchronous_standby_names = ''\n")
    account = places.unprivileged()
    for path in (server.data, safe, *server.data.rglob("*"), *safe.rglob("*")):
        places.own(path, account)
    server.data.chmod(0o700)
