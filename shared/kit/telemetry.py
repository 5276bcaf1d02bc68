"""What a service says of itself: structured logs, traces over every border, metrics."""

import asyncio
import logging
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from kit.service import Service


_PLAIN = '{"level":"%(levelname)s","logger":"%(name)s","event":"%(message)s"}'


def configure_logs(service: str, level: str, stream: TextIO | None = None) -> None:
    """One JSON object a line on `stream`, standard output by default, with the service's name and the trace's id."""
    stream = stream or sys.stdout
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _with_trace,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            _without_secrets,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Plain(_PLAIN))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # its warnings repeat what the kit logs once


_SECRETS = re.compile(
    r"(?P<link>/links/)[\w.~-]+"
    r"|(?P<bearer>\bBearer\s+)[\w.~+/=-]+"
    r"|(?P<token>\beyJ)[\w-]+\.[\w-]+\.[\w-]+"
    r"|(?P<password>://[^\s:/@]+:)[^\s@/]+(?=@)"
    r"|[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+",
    re.IGNORECASE,
)


def scrubbed(line: str) -> str:
    """A line of log without tokens, passwords and addresses of people.

    Nothing of ours logs them; a database's or a mail server's own words may.
    """
    return _SECRETS.sub(lambda found: f"{found.group(found.lastgroup) if found.lastgroup else ''}<hidden>", line)


def _without_secrets(_logger: object, _method: str, line: Any) -> str:
    return scrubbed(line)


class _Plain(logging.Formatter):
    """What libraries log, scrubbed as well."""

    def format(self, record: logging.LogRecord) -> str:
        return scrubbed(super().format(record))


def _with_trace(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event


def hide_address(path: str) -> None:
    """Keep the token of a link, and what was searched for, out of the request's span."""
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes({"url.path": scrubbed(path), "url.query": ""})


def configure_traces(service: str, version: str, endpoint: str | None) -> TracerProvider | None:
    """Spans go to an OTLP/HTTP collector where one is named; without one, nothing is recorded."""
    if not endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(provider)
    return provider


COUNTED_TO = 100_000
"""Where counting stops: a metric that says "at least so many" costs the same however long a table is."""

LATENCY = Histogram(
    "tandem_http_request_seconds",
    "Time to a whole answer; those who asked to wait for an outcome (Prefer: wait) are told apart",
    ["method", "route", "status", "waited"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

_COUNTS = {
    "tandem_outbox_rows": ("Announcements that Kafka has not confirmed", "from outbox"),
    "tandem_outbox_dead": ("Announcements that Kafka will never take", "from outbox_dead"),
    "tandem_parked_due": ("Parked records that will be tried again", "from parked where state = 'due'"),
    "tandem_parked_dead": ("Parked records after their last attempt", "from parked where state = 'dead'"),
    "tandem_waiting": ("Records waiting for something that has not arrived", "from waiting"),
    "tandem_mail_queued": ("Mails not sent yet", "from mail where state = 'queued'"),
    "tandem_mail_failed": ("Mails given up", "from mail where state = 'failed'"),
}
_AGE = "select coalesce((select extract(epoch from now() - created_at) from outbox order by id limit 1), 0)"
"""Rows leave the outbox in the order of their ids, so the first is the oldest; there is no other index."""
_QUERIES = {
    name: (
        f"{help_} (counted up to {COUNTED_TO})",
        f"(select count(*) from (select {rows} limit {COUNTED_TO}) as _)",  # noqa: S608 - the lines above
    )
    for name, (help_, rows) in _COUNTS.items()
} | {"tandem_outbox_oldest_age_seconds": ("Age of the oldest announcement that Kafka has not confirmed", f"({_AGE})")}
_ALL = text(f"select {', '.join(query for _, query in _QUERIES.values())}")


async def measured(service: "Service") -> CollectorRegistry:
    """What only the database and the consumer know, read when the metrics are asked for.

    A database that does not answer is itself a measurement: the rest is given all the same.
    """
    families = _of_the_process(service)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            families += await _of_the_database(service)
        up = 1
    except (SQLAlchemyError, OSError, TimeoutError):
        up = 0
    families.append(GaugeMetricFamily("tandem_database_up", "1 while the database answers", up))

    class Snapshot:
        def collect(self) -> list[Metric]:
            return families

    registry = CollectorRegistry()
    registry.register(Snapshot())
    return registry


ANSWER_WITHIN_S = 5.0
"""Prometheus gives up after ten."""


async def _of_the_database(service: "Service") -> list[Metric]:
    async with service.database.worker() as db:
        row = (await db.execute(_ALL)).one()
        found: list[Metric] = [
            GaugeMetricFamily(name, help_, float(value))
            for (name, (help_, _)), value in zip(_QUERIES.items(), row, strict=True)
        ]
        for name, (help_, query) in service.gauges.items():
            found.append(GaugeMetricFamily(name, help_, float(await db.scalar(text(query)) or 0)))
    return found


def _of_the_process(service: "Service") -> list[Metric]:
    in_use = GaugeMetricFamily("tandem_database_connections", "Connections in use", labels=["pool"])
    for pool, engine in {"api": service.database.api_engine, "worker": service.database.worker_engine}.items():
        in_use.add_metric([pool], engine.pool.checkedout())  # type: ignore[attr-defined]
    found: list[Metric] = [in_use]
    if consumer := service.consumer:
        lag = GaugeMetricFamily("tandem_consumer_lag", "Records not handled yet", labels=["topic", "partition"])
        for partition, behind in consumer.lag().items():
            lag.add_metric([partition.topic, str(partition.partition)], behind)
        stuck = consumer.stuck(service.settings.progress_max_s)
        found += [
            lag,
            CounterMetricFamily("tandem_consumer_handled", "Records handled", consumer.inbox.handled),
            CounterMetricFamily("tandem_consumer_parked", "Records set aside at first sight", consumer.inbox.parked),
            GaugeMetricFamily("tandem_consumer_stuck", "1 while work waits and nothing gets finished", int(stuck)),
            GaugeMetricFamily("tandem_consumer_partitions", "Partitions read", len(consumer.assignment())),
            GaugeMetricFamily("tandem_topics_missing", "Topics to read that do not exist", len(consumer.missing)),
        ]
    return found
