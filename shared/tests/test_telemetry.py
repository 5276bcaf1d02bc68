"""A request's trace reaches the consumer at the other end of Kafka; metrics and health say what is so."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_settings import SettingsConfigDict

from kit import Service, outbox
from kit.consumer import batches
from kit.db import Database, Session
from kit.settings import ServiceSettings
from kit.telemetry import LATENCY
from kit.testing import Migrated, Running
from schemas.event import Event, uuid7

MIGRATION = """
from alembic import op
from kit import migrations
revision = "0001"
down_revision = None
def upgrade():
    migrations.create_kit_tables(op)
"""


class Rung(Event):
    """A bell was rung."""

    topic: ClassVar[str] = "bell.rung"
    key: ClassVar[str] = "bell_id"
    source: ClassVar[str] = "bell"

    bell_id: UUID


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="BELL_", frozen=True)


@batches(Rung)
async def hear(db: Session, events: Sequence[Rung]) -> None:
    """Hears bells."""


class Bell(Service):
    folder: ClassVar[Path]
    version = "1"

    @property
    def migrations(self) -> Path:
        return self.folder


@pytest.fixture
async def bell(parts: Any, tmp_path: Path) -> AsyncIterator[Running]:
    Bell.folder = tmp_path
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text("from kit.migrations import run_env\n\nrun_env()\n")
    (tmp_path / "versions" / "0001_bell.py").write_text(MIGRATION)
    service = Bell(
        name="bell",
        package="kit",
        settings=Settings,
        publishes=[Rung],
        consumers=[hear],
        gauges={"bell_size": ("How big the bell is", "select 7")},
    )
    async with Migrated(parts, service).running() as running:
        yield running


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


async def test_every_record_of_a_batch_links_to_the_trace_it_was_announced_in(
    bell: Running, spans: InMemorySpanExporter
) -> None:
    tracer = trace.get_tracer("test")
    traces = []
    for _ in range(2):
        with tracer.start_as_current_span("request") as span:
            traces.append(span.get_span_context().trace_id)
            async with bell.service.database.api.begin() as db:
                outbox.add(db, Rung(version=1, bell_id=uuid7()))
    rows = await bell.rows("select * from outbox order by id")

    await bell.deliver_records([bell.raw(r["topic"], r["payload"], r["headers"]) for r in rows])

    (handled,) = [s for s in spans.get_finished_spans() if s.name == "handle hear"]
    assert [link.context.trace_id for link in handled.links] == traces


async def test_a_trace_holds_no_token_of_a_link_and_nothing_searched_for(
    parts: Any, bell: Running, spans: InMemorySpanExporter
) -> None:
    async with Migrated(parts, bell.service).running(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1") as traced:
        await traced.http.post("/links/WyJhIl0.signed-token", params={"q": "ann@a.example"})

    said = [span.to_json() for span in spans.get_finished_spans() if "/links/" in span.to_json()]
    assert said
    assert [json for json in said if "signed-token" in json or "ann@a" in json] == []


async def test_metrics_say_what_waits_to_be_sent_and_what_the_service_adds(bell: Running) -> None:
    async with bell.service.database.api.begin() as db:
        outbox.add(db, Rung(version=1, bell_id=uuid7()))

    text = (await bell.http.get("/metrics")).text

    assert "tandem_outbox_rows 1.0" in text
    assert "bell_size 7.0" in text
    assert "tandem_parked_due 0.0" in text


async def test_metrics_tell_how_long_answers_took_by_route_and_never_by_path(bell: Running) -> None:
    LATENCY.clear()  # of what other tests have asked
    for _ in range(3):
        await bell.http.get(f"/v1/nothing/{uuid7()}")
        await bell.http.request("BREW", f"/v1/nothing/{uuid7()}")

    text = (await bell.http.get("/metrics")).text

    unknown = 'tandem_http_request_seconds_count{method="*",route="none",status="404",waited="no"} 6.0'
    assert [line for line in text.splitlines() if line.startswith("tandem_http_request_seconds_count")] == [unknown]


async def test_metrics_are_there_without_a_database_and_say_so(bell: Running) -> None:
    assert "tandem_database_up 1.0" in (await bell.http.get("/metrics")).text
    database = bell.service.settings.worker_database_url.rsplit("/", 1)[1]
    elsewhere = bell.service.settings.worker_database_url.replace(database, "no_such_database")
    lost = Database(bell.service.settings.model_copy(update={"worker_database_url": elsewhere}), "bell")
    await bell.service.database.close()
    bell.service.database = lost

    answer = await bell.http.get("/metrics")

    assert answer.status_code == 200
    assert "tandem_database_up 0.0" in answer.text
    assert "tandem_outbox_rows" not in answer.text


async def test_ready_says_whether_the_database_answers_and_alive_does_not_need_it(bell: Running) -> None:
    ready, alive = await bell.http.get("/readyz"), await bell.http.get("/healthz")

    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert alive.json() == {"status": "ok"}
