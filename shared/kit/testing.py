"""Helpers for tests: real databases in milliseconds, events pushed in as Kafka would, answers over HTTP.

`pytest_plugins = ["kit.testing"]` brings the fixture `parts`: a real PostgreSQL (and a real Kafka where
a test asks for one). Nothing here stands in for a part of ours.
"""

import asyncio
import contextlib
import importlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import asyncpg
import httpx
import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from kit import clock, migrations
from kit.inbox import Record
from kit.service import Service
from schemas.event import Event, all_events, uuid7

ISSUER = "https://issuer.test"
KEY = ECKey.generate_key("P-256", {"kid": "test", "use": "sig", "alg": "ES256"}, private=True)
ADMIN = "admin@tandem.example"
"""The platform admin of every test service."""

E = TypeVar("E", bound=Event)
T = TypeVar("T")


def token(email: str = ADMIN, *, subject: str | None = None, expires_s: int = 3600, **claims: Any) -> str:
    """A bearer token as the issuer of the tests signs it."""
    now = int(clock.now().timestamp())
    body = {
        "iss": ISSUER,
        "aud": "tandem",
        "sub": subject or f"sub-{email}",
        "email": email,
        "email_verified": True,
        "iat": now,
        "exp": now + expires_s,
    }
    return jwt.encode({"alg": "ES256", "kid": "test"}, body | claims, KEY)


def issuer() -> httpx.AsyncClient:
    """An HTTP client that finds the issuer's discovery document and keys, without a network."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/.well-known/openid-configuration"):
            return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"})
        return httpx.Response(200, json={"keys": [KEY.as_dict(private=False)]})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


@pytest.fixture(scope="session")
def parts(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A real PostgreSQL and a real Kafka, from the local stack or, on demand, from containers."""
    where = os.environ.get("TANDEM_TEST_STACK", "local")
    provider = importlib.import_module("stack.containers" if where == "containers" else "stack.parts")
    with provider.running(request.config.rootpath / ".stack" / "test") as running:
        yield running


class Migrated:
    """Fresh databases of one service: migrated once, then copied by the server."""

    def __init__(self, parts: Any, service: Service) -> None:
        self.parts = parts
        self.service = service
        self.template = f"template_{service.name}_{os.getpid()}_{uuid7().hex[-6:]}"
        with _environment(self.variables(parts.database(service.name, self.template))):
            settings = service.settings_class()
        # In a thread of its own, since the caller may be inside an event loop.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(migrations.upgrade, service.migrations, settings).result()

    def variables(self, urls: Any) -> dict[str, str]:
        """The environment of a service that uses this database."""
        prefix = self.service.name.upper()
        return {
            f"{prefix}_DATABASE_URL": urls.api,
            f"{prefix}_WORKER_DATABASE_URL": urls.worker,
            f"{prefix}_OWNER_DATABASE_URL": urls.owner,
            f"{prefix}_BASE_URL": f"http://{self.service.name}.test",
            **self.parts.kafka_login(self.service.name),
            "OIDC_ISSUER": ISSUER,
            "LINK_SECRET": "a secret for tests only, 32 bytes long",
            "RATE_PER_CALLER": "",  # a test may ask as often as it likes
            "RATE_PER_ADDRESS": "",
            "SMTP_HOST": "localhost",
            "SMTP_PORT": "1",
            "PLATFORM_ADMIN_EMAIL": ADMIN,
            "TANDEM_ENVIRONMENT": "sandbox",
            "TEST_CLOCKS": "true",
        }

    async def fresh(self) -> dict[str, str]:
        """The environment of a new, empty database."""
        name = f"t_{uuid7().hex[-20:]}"
        admin = await asyncpg.connect(self.parts.postgres_admin_url)
        try:
            await admin.execute(f"create database {name} template {self.template} owner {self.service.name}_owner")
            await admin.execute(
                f"grant connect on database {name} to {self.service.name}_api, {self.service.name}_worker"
            )
        finally:
            await admin.close()
        return self.variables(self.parts.database(self.service.name, name))

    @contextlib.asynccontextmanager
    async def running(self, **settings: str) -> AsyncIterator["Running"]:
        """A new service object on a new database; nothing of it runs in the background."""
        variables = await self.fresh() | settings
        with _environment(variables):
            service = _copy(self.service)
            service.settings  # noqa: B018 - read while the environment holds
        from kit.auth import Authenticator

        service.auth = Authenticator(service.settings, issuer())
        running = Running(service)
        try:
            yield running
        finally:
            await running.http.aclose()
            await service.auth.close()
            await service.database.close()
            admin = await asyncpg.connect(self.parts.postgres_admin_url)
            await admin.execute(f"drop database {service.settings.database_url.rsplit('/', 1)[1]} with (force)")
            await admin.close()


def _copy(service: Service) -> Service:
    return type(service)(
        name=service.name,
        package=service.package,
        settings=service.settings_class,
        publishes=service.publishes,
        consumers=service.handlers,
        routers=service.routers,
        jobs=service.jobs,
        gauges=service.gauges,
        partner_of_customer=service.partner_of_customer,
    )


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Running:
    """A service under test."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.app = service.app("api")
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url=f"http://{service.name}.test",
        )
        self._offsets: dict[str, int] = {}

    def headers(
        self, email: str = ADMIN, *, tenant: str | None = None, key: str | None = None, **more: str
    ) -> dict[str, str]:
        """A caller's headers, with a new idempotency key unless one is given."""
        found = {"Authorization": f"Bearer {token(email)}", "Idempotency-Key": key or str(uuid7())}
        return found | ({"Tandem-Tenant": tenant} if tenant else {}) | more

    async def post(self, path: str, json: Any = None, *, email: str = ADMIN, **headers: Any) -> httpx.Response:
        return await self.http.post(path, json=json, headers=self.headers(email, **headers))

    async def get(self, path: str, *, email: str = ADMIN, tenant: str | None = None, **query: Any) -> httpx.Response:
        return await self.http.get(path, params=query, headers=self.headers(email, tenant=tenant))

    async def deliver(self, *events: Event) -> None:
        """Hand events to the service in one batch, through the inbox, as its consumer does."""
        await self.deliver_records([self.record(event) for event in events])

    async def deliver_records(self, records: Sequence[Record]) -> None:
        await self.service.inbox.take(records)

    def record(self, event: Event) -> Record:
        """The event as a record of its topic."""
        return self.raw(event.topic, event.value(), event.headers(), key=event.aggregate_id.encode())

    def raw(self, topic: str, value: bytes | None, headers: dict[str, str], key: bytes = b"k") -> Record:
        """Any record at the next offset of its topic."""
        offset = self._offsets[topic] = self._offsets.get(topic, -1) + 1
        return Record(topic, 0, offset, key, value, headers)

    @contextlib.asynccontextmanager
    async def db(self) -> AsyncIterator[AsyncSession]:
        """A transaction as the worker role, which sees every tenant's rows."""
        async with self.service.database.worker.begin() as db:
            yield db

    async def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        async with self.db() as db:
            return [dict(row) for row in (await db.execute(text(sql), parameters)).mappings()]

    async def value(self, sql: str, **parameters: Any) -> Any:
        async with self.db() as db:
            return await db.scalar(text(sql), parameters)

    async def published(self, event: type[E]) -> list[E]:
        """What the service announced and the relay has not taken, in order."""
        rows = await self.rows("select payload, headers from outbox where topic = :t order by id", t=event.topic)
        return [event.read(row["payload"], row["headers"]) for row in rows]

    async def everything_published(self) -> list[Event]:
        classes = {e.topic: e for e in all_events()}
        rows = await self.rows("select topic, payload, headers from outbox order by id")
        return [classes[row["topic"]].read(row["payload"], row["headers"]) for row in rows if row["topic"] in classes]

    async def mails(self) -> list[dict[str, Any]]:
        return await self.rows("select * from mail order by id")

    async def parked(self) -> list[dict[str, Any]]:
        return await self.rows("select * from parked order by id")

    async def empty_inbox(self) -> None:
        """Forget what was handled: replays must still change nothing."""
        async with self.db() as db:
            await db.execute(text("delete from inbox"))

    async def run_job(self, name: str, now: Any = None) -> int:
        """One round of a job, at a given time."""
        job = next(job for job in self.service.jobs if job.name == name)
        return await job.once(self.service.database.worker, now or clock.now())


async def eventually(look: Callable[[], Awaitable[T]], *, within_s: float = 20.0, every_s: float = 0.05) -> T:
    """What `look` answers once it is truthy. Fails with its last answer when the time is over."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        answer = await look()
        if answer:
            return answer
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {within_s} s; last answer: {answer!r}")
        await asyncio.sleep(every_s)


def problem(response: httpx.Response) -> dict[str, Any]:
    """The body of a problem, checked to be one."""
    assert response.headers["content-type"].startswith("application/problem+json"), response.text
    body: dict[str, Any] = orjson.loads(response.content)
    assert body["status"] == response.status_code
    return body
