"""A service: what it publishes, listens to, answers and does by the clock; and how it runs."""

import asyncio
import contextlib
import functools
import importlib.metadata
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from prometheus_client import generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from kit import telemetry
from kit.consumer import Consumer
from kit.db import Database
from kit.inbox import Handler, Inbox
from kit.jobs import Job
from kit.notify import Outcomes
from kit.relay import Relay
from kit.settings import ServiceSettings
from kit.topics import Topic, declared
from schemas.event import Event

log = structlog.get_logger()

ROLES = ("all", "api", "worker")
DAY_S = 86_400


class Service:
    """One deployable. `app.py` makes it, and that is all the wiring there is.

    `gauges` adds metrics: name → (help, SQL that yields one number). `partner_of_customer` lets a
    partner's admin act for a customer: it names the partner that serves it, or None.
    """

    def __init__(
        self,
        *,
        name: str,
        package: str,
        settings: type[ServiceSettings],
        publishes: Sequence[type[Event]] = (),
        consumers: Sequence[Handler] = (),
        routers: Sequence[APIRouter] = (),
        jobs: Sequence[Job] = (),
        gauges: dict[str, tuple[str, str]] | None = None,
        partner_of_customer: Callable[..., Awaitable[Any]] | None = None,
    ) -> None:
        self.name = name
        self.package = package
        self.settings_class = settings
        self.publishes = tuple(publishes)
        self.handlers = tuple(consumers)
        self.routers = tuple(routers)
        self.jobs = tuple(jobs)
        self.gauges = gauges or {}
        self.partner_of_customer = partner_of_customer
        self.consumer: Consumer | None = None
        self.relay: Relay | None = None
        self.role = "all"
        self._tasks: list[asyncio.Task[None]] = []
        self._relaying: asyncio.Task[None] | None = None

    # -- parts, made when first needed -------------------------------------------------------------

    @cached_property
    def settings(self) -> ServiceSettings:
        return self.settings_class()

    @cached_property
    def database(self) -> Database:
        return Database(self.settings, self.name)

    @cached_property
    def outcomes(self) -> Outcomes:
        return Outcomes(self.settings.database_url)

    @cached_property
    def auth(self) -> Any:
        from kit.auth import Authenticator

        return Authenticator(self.settings)

    @cached_property
    def inbox(self) -> Inbox:
        return self.inbox_for(self.database.worker)

    def inbox_for(self, sessions: async_sessionmaker[AsyncSession], *, again: bool = False) -> Inbox:
        """The inbox; `again` and other sessions make one for replays."""
        from kit.replay import read_again

        return Inbox(
            sessions,
            self.group,
            self.handlers,
            dead_letters=self.dead_letters,
            attempts_max=self.settings.park_attempts_max,
            again=again,
            read_again=functools.partial(read_again, self.settings.kafka),
        )

    @property
    def version(self) -> str:
        return importlib.metadata.version(f"tandem-{self.name}")

    @property
    def group(self) -> str:
        """The consumer group, and whose ids the inbox keeps."""
        return self.name

    @property
    def principal(self) -> str:
        """Its user in Kafka."""
        return self.settings.kafka_principal or f"User:{self.name}"

    @property
    def dead_letters(self) -> str:
        return f"{self.name}.dlq"

    @property
    def listens(self) -> list[str]:
        """The topics it reads."""
        return sorted({event.topic for handler in self.handlers for event in handler.events})

    @property
    def topics(self) -> list[Topic]:
        """The topics it owns."""
        return declared(self.publishes, self.dead_letters)

    @property
    def migrations(self) -> Path:
        """Beside the package in the tree, inside it in a wheel."""
        module = importlib.import_module(self.package)
        package = Path(str(module.__file__)).parent
        inside = package / "migrations"
        return inside if inside.exists() else package.parent / "migrations"

    # -- running -------------------------------------------------------------------------------------

    def app(self, role: str = "all") -> FastAPI:
        """The ASGI application; its lifespan starts and stops everything else."""
        from kit.http import create_app

        self.role = role
        return create_app(self, self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        traces = telemetry.configure_traces(self.name, self.version, self.settings.otel_endpoint)
        self.start()
        try:
            yield
        finally:
            await self.stop()
            if traces:
                traces.shutdown()

    def start(self) -> None:
        """Start what the role does in the background. Nothing here needs another service, or Kafka, to be up."""
        if self.role in ("all", "api"):
            self._keep(self.outcomes.run)
        if self.role in ("all", "worker"):
            from kit import links, testclock
            from kit.http import purge_answers
            from kit.mail import Sender, blank_old

            settings = self.settings
            self.relay = Relay(
                settings.worker_database_url,
                settings.kafka,
                name=self.name,
                batch_max=settings.relay_batch_max,
                poll_s=settings.relay_poll_s,
            )
            self.consumer = Consumer(
                self.inbox,
                settings.kafka,
                group=self.group,
                batch_max=settings.batch_records_max,
                topic_check_s=settings.topic_check_s,
                stop_grace_s=settings.stop_grace_s,
            )
            self._relaying = self._keep(self.relay.run)
            self._keep(self.consumer.run)
            self._keep(self.consumer.tend)
            self._keep(Sender(self.database.worker, settings).run)
            forgetting = (
                Job("forget_answers", 600, purge_answers),
                _forget_old_ids,
                Job("blank_old_mails", DAY_S, blank_old),
                Job("remove_old_links", DAY_S, links.remove_old),
            )
            rounds = [asyncio.Event() for _ in self.jobs]
            for job, woken in zip(self.jobs, rounds, strict=True):
                self._keep(functools.partial(job.loop, self.database.worker, woken))
            for job in forgetting:
                self._keep(functools.partial(job.loop, self.database.worker))
            if settings.test_clocks and settings.follows_tenants_time:
                self._keep(functools.partial(testclock.watch, self.database.worker, rounds))

    def _keep(self, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run until the end of the service; an unforeseen error is logged and it starts again."""

        async def kept() -> None:
            while True:
                try:
                    await run()
                    return
                except asyncio.CancelledError:
                    # Of ours only when somebody cancelled this task: aiokafka lets the cancellation of its own
                    # tasks out of stop() when the broker is gone, and that must not end ours for good.
                    if task.cancelling():
                        raise
                    log.exception("background_failed", what=repr(run))
                except Exception:
                    log.exception("background_failed", what=repr(run))
                await asyncio.sleep(1)

        task = asyncio.create_task(kept())
        self._tasks.append(task)
        return task

    async def stop(self) -> None:
        """Finish the batch at hand, send what was announced, let go of everything."""
        if self.relay:
            self.relay.stop()
        for task in self._tasks:
            if task is not self._relaying:  # The relay ends by itself, once it has sent what it holds.
                task.cancel()
        await asyncio.wait_for(asyncio.gather(*self._tasks, return_exceptions=True), self.settings.stop_grace_s + 5)
        self._tasks.clear()
        await self.auth.close()
        await self.database.close()

    # -- health --------------------------------------------------------------------------------------

    @property
    def health_routes(self) -> list[Route]:
        return [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
        ]

    async def _healthz(self, _: Request) -> Response:
        """Alive: answers, and its consumer is not stuck (a healthy connection proves nothing)."""
        stuck = self.consumer is not None and self.consumer.stuck(self.settings.progress_max_s)
        return JSONResponse({"status": "stuck" if stuck else "ok"}, status_code=503 if stuck else 200)

    async def _readyz(self, _: Request) -> Response:
        """Ready for requests: the database answers. Kafka may be down; what is missing of it is said."""
        try:
            async with asyncio.timeout(2), self.database.api() as db:
                await db.execute(text("select 1"))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            return JSONResponse({"status": "no database", "error": type(error).__name__}, status_code=503)
        consumer = self.consumer
        return JSONResponse(
            {
                "status": "ready",
                "role": self.role,
                "relay_leads": bool(self.relay and self.relay.leads),
                "partitions_assigned": len(consumer.assignment()) if consumer else 0,
                "listens": self.listens,  # whichever of its processes does
                "topics_missing": consumer.missing if consumer else [],
                "kafka": [part.trouble for part in (self.relay, consumer) if part and part.trouble],
            }
        )

    async def _metrics(self, _: Request) -> Response:
        registry = await telemetry.measured(self)
        return PlainTextResponse(generate_latest() + generate_latest(registry))


async def purge_inbox(db: Any, now: Any) -> int:
    from datetime import timedelta

    gone = await db.execute(
        text(
            "delete from inbox where (consumer, event_id) in "
            "(select consumer, event_id from inbox where at < :before limit 5000)"
        ),
        {"before": now - timedelta(days=7)},
    )
    return int(gone.rowcount)


_forget_old_ids = Job("forget_old_ids", 600, purge_inbox)
