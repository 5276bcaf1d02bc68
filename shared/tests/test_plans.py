"""With a hundred thousand rows in every table of the kit, nothing that happens all the time reads one of them whole."""

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import aiosmtplib
import asyncpg
import orjson
import pytest
from pydantic_settings import SettingsConfigDict

from kit import Service, clock, links, mail, outbox, relay
from kit.consumer import batches
from kit.db import Session
from kit.http import purge_answers
from kit.inbox import wait_for
from kit.plans import KIT_TABLES, grow, whole_reads
from kit.service import purge_inbox
from kit.settings import ServiceSettings
from kit.testing import Migrated, Running
from schemas.event import Event, uuid7

ROWS = 100_000
MIGRATION = """
from alembic import op
from kit import migrations
revision, down_revision = "0001", None
def upgrade():
    migrations.create_kit_tables(op)
"""


class Poured(Event):
    """A tap was opened."""

    topic: ClassVar[str] = "tap.poured"
    key: ClassVar[str] = "tap_id"
    source: ClassVar[str] = "tap"

    tap_id: UUID
    waits: bool = False
    bad: bool = False


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="TAP_", frozen=True)


@batches(Poured)
async def fill(db: Session, events: Sequence[Poured]) -> list[wait_for]:
    """Fills glasses; some wait, some are bad."""
    if any(event.bad for event in events):
        raise ValueError("bad")
    return [wait_for(event, f"glass/{event.tap_id}") for event in events if event.waits]


class Tap(Service):
    folder: ClassVar[Path]
    version = "1"

    @property
    def migrations(self) -> Path:
        return self.folder


@pytest.fixture(scope="module")
async def tap(parts: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    Tap.folder = tmp_path_factory.mktemp("tap")
    (Tap.folder / "versions").mkdir()
    (Tap.folder / "env.py").write_text("from kit.migrations import run_env\n\nrun_env()\n")
    (Tap.folder / "versions" / "0001_tap.py").write_text(MIGRATION)
    service = Tap(name="tap", package="kit", settings=Settings, publishes=[Poured], consumers=[fill])
    async with Migrated(parts, service).running() as running:
        await grow(running.service, ROWS)
        yield running


@pytest.fixture
def scans(tap: Running) -> Iterator[list[str]]:
    with whole_reads(tap.service, *KIT_TABLES) as found:
        yield found


async def test_records_are_handled_kept_waiting_parked_and_tried_again(tap: Running, scans: list[str]) -> None:
    inbox, now = tap.service.inbox, clock.now()
    await tap.deliver(*(Poured(version=1, tap_id=uuid7()) for _ in range(50)))
    await tap.deliver(Poured(version=1, tap_id=uuid7(), waits=True))
    await tap.deliver(Poured(version=1, tap_id=uuid7(), bad=True))

    await inbox.retry_due(now)
    await inbox.look_again(now)
    await inbox.park_overdue(now)

    assert scans == []


@pytest.mark.parametrize(
    "job",
    [purge_inbox, purge_answers, mail.blank_old, links.remove_old],
    ids=["forget_old_ids", "forget_answers", "blank_old_mails", "remove_old_links"],
)
async def test_the_daily_cleaning_finds_that_it_has_nothing_to_do(tap: Running, scans: list[str], job: Any) -> None:
    async with tap.db() as db:
        assert await job(db, clock.now()) == 0

    assert scans == []


async def test_mail_is_queued_and_what_is_due_is_found(tap: Running, scans: list[str]) -> None:
    async with tap.db() as db:
        await mail.send(db, to="p@people.example", subject="News", text="A text.", matter="m", event="e")

    with pytest.raises(aiosmtplib.SMTPConnectError):  # nobody listens there: it has found what to send
        await mail.Sender(tap.service.database.worker, tap.service.settings).send_due(clock.now())

    assert scans == []


async def test_metrics_count_only_what_is_to_be_counted(tap: Running) -> None:
    with whole_reads(tap.service, "mail") as scans:
        text = (await tap.http.get("/metrics")).text

    assert f"tandem_outbox_rows {ROWS:.1f}" in text
    assert "tandem_mail_failed 0.0" in text
    assert scans == []


async def test_the_relay_reads_the_outbox_from_where_it_stands(tap: Running) -> None:
    async with tap.db() as db:
        outbox.add(db, Poured(version=1, tap_id=uuid7()))
    reader = await asyncpg.connect(tap.service.settings.worker_database_url)
    try:
        last = await reader.fetchval("select max(id) from outbox")
        for floor, skip in ((0, []), (last - 1, []), (0, list(range(1, 1001)))):
            explained = await reader.fetchval(
                f"explain (analyze, timing off, format json) {relay._FETCH}", floor, skip, ["a.missing.topic"], 1000
            )
            (scan,) = orjson.loads(explained)[0]["Plan"]["Plans"]
            assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", "pk_outbox"), scan
            assert scan["Actual Rows"] + scan["Rows Removed by Filter"] <= 2000, scan
    finally:
        await reader.close()
