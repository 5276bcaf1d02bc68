"""What a service says of itself: structured logs, traces over every border, metrics."""

import logging
import sys
from typing import TYPE_CHECKING

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import text

if TYPE_CHECKING:
    from kit.service import Service


_PLAIN = '{"level":"%(levelname)s","logger":"%(name)s","event":"%(message)s"}'


def configure_logs(service: str, level: str) -> None:
    """One JSON object a line on standard output, with the service's name and the trace's id."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _with_trace,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(
        level=logging.WARNING,
        stream=sys.stdout,
        format=_PLAIN,
    )
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # its warnings repeat what the kit logs once


def _with_trace(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event


def configure_traces(service: str, version: str, endpoint: str | None) -> TracerProvider | None:
    """Spans go to an OTLP/HTTP collector where one is named; without one, nothing is recorded."""
    if not endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(provider)
    return provider


_COUNTS = text(
    """
    select (select count(*) from outbox), (select coalesce(extract(epoch from now() - min(created_at)), 0) from outbox),
           (select count(*) from outbox_dead), (select count(*) from parked where state = 'due'),
           (select count(*) from parked where state = 'dead'), (select count(*) from waiting),
           (select count(*) from mail where state = 'queued')
    """
)


async def measured(service: "Service") -> CollectorRegistry:
    """What only the database and the consumer know, read when the metrics are asked for."""
    registry = CollectorRegistry()
    gauges: dict[str, tuple[str, float]] = {}
    async with service.database.worker() as db:
        row = (await db.execute(_COUNTS)).one()
        for name, help_, value in zip(_NAMES, _HELP, row, strict=True):
            gauges[name] = (help_, float(value))
        for name, (help_, query) in service.gauges.items():
            gauges[name] = (help_, float(await db.scalar(text(query)) or 0))
    lag = GaugeMetricFamily("tandem_consumer_lag", "Records not handled yet", labels=["topic", "partition"])
    if service.consumer:
        for partition, behind in service.consumer.lag().items():
            lag.add_metric([partition.topic, str(partition.partition)], behind)

    class Snapshot:
        def collect(self) -> list[GaugeMetricFamily]:
            return [lag, *(GaugeMetricFamily(name, help_, value) for name, (help_, value) in gauges.items())]

    registry.register(Snapshot())
    return registry


_NAMES = (
    "tandem_outbox_rows",
    "tandem_outbox_oldest_age_seconds",
    "tandem_outbox_dead",
    "tandem_parked_due",
    "tandem_parked_dead",
    "tandem_waiting",
    "tandem_mail_queued",
)
_HELP = (
    "Announcements that Kafka has not confirmed",
    "Age of the oldest of them",
    "Announcements that Kafka will never take",
    "Parked records that will be tried again",
    "Parked records after their last attempt",
    "Records waiting for something that has not arrived",
    "Mails not sent yet",
)
