"""A tiny service on real PostgreSQL: notes of partners, behind the kit's whole edge."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
from fastapi import APIRouter
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from sqlalchemy.orm import Mapped, mapped_column
from structlog.processors import KeyValueRenderer, format_exc_info

from kit import migrations
from kit.auth import Authenticator, Grant, Role, keep_grants
from kit.db import Base, Database, Session, uuid7
from kit.http import create_app
from kit.notify import Outcomes
from kit.settings import ServiceSettings
from stack.databases import Urls
from stack.parts import Parts

ISSUER = "https://issuer.example"
PARTNER = UUID("0195f000-0000-7000-8000-000000000001")
OTHER = UUID("0195f000-0000-7000-8000-000000000002")
CUSTOMER = UUID("0195f000-0000-7000-8000-000000000003")


class Note(Base):
    """Something a partner wrote."""

    __tablename__ = "notes"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    partner_id: Mapped[UUID]
    body: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)


class Issuer:
    """An OIDC issuer as the network shows it; it can be down, and it can change its keys."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, parameters={"kid": "one"}, private=True)
        self.published: list[RSAKey | ECKey] = [self.key]
        self.down = False
        self.asked = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.down:
            raise httpx.ConnectError("down")
        if request.url.path == "/.well-known/openid-configuration":
            return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"})
        return httpx.Response(200, json={"keys": [k.as_dict(private=False) for k in self.published]})

    def token(self, email: str | None = None, **claims: Any) -> str:
        now = int(time.time())
        said = {"iss": ISSUER, "aud": "tandem", "sub": f"sub-{email}", "iat": now, "exp": now + 600, **claims}
        if email:
            said |= {"email": email, "email_verified": True} | claims
        said = {k: v for k, v in said.items() if v is not None}
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, said, self.key)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self.answer))


@dataclass
class Sample:
    """What `app.state.service` holds."""

    settings: ServiceSettings
    routers: list[APIRouter]
    issuer: Issuer = field(default_factory=Issuer)
    name: str = "sample"
    role: str = "api"
    version: str = "1"
    health_routes: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        self.database = Database(self.settings, self.name)
        self.auth = Authenticator(self.settings, self.issuer.client())
        self.outcomes = Outcomes(self.settings.worker_database_url)
        self.app = create_app(self)

    async def partner_of_customer(self, db: Session, customer_id: UUID) -> UUID | None:
        return PARTNER if customer_id == CUSTOMER else None

    async def grant(self, role: Role, tenant: tuple[str, UUID | None], email: str, **more: Any) -> str:
        """Give the role to the address, and a bearer token to its holder."""
        row = Grant(f"{email} {role} {tenant}", time.time_ns(), role, *tenant, email, **more)
        async with self.database.worker.begin() as db:
            await keep_grants(db, "tests", [row])
        return self.issuer.token(email)

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://sample", headers=headers)


MIGRATION = """
from alembic import op
from kit import migrations
revision, down_revision = "0001", None
def upgrade():
    migrations.create_kit_tables(op)
    op.execute("create table notes (id uuid primary key, partner_id uuid, body text not null, version int not null)")
    migrations.secure(op, "notes", partner="partner_id")
"""


@pytest.fixture(scope="module")
def urls(parts: Parts, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Urls:
    """A fresh, migrated database for each test module."""
    made = parts.database("sample", f"tandem_{request.module.__name__.rsplit('.')[-1]}")
    folder = tmp_path_factory.mktemp("migrations")
    (folder / "versions").mkdir()
    (folder / "env.py").write_text("from kit.migrations import run_env\nrun_env()\n")
    (folder / "versions" / "0001_first.py").write_text(MIGRATION)
    migrations.upgrade(folder, settings(made))
    return made


def settings(urls: Urls) -> ServiceSettings:
    return ServiceSettings(
        database_url=urls.api,
        worker_database_url=urls.worker,
        owner_database_url=urls.owner,
        base_url="https://sample.example",
        KAFKA_BOOTSTRAP_SERVERS="unused",
        OIDC_ISSUER=ISSUER,
        LINK_SECRET="a secret of the tests, long enough",
        PLATFORM_ADMIN_EMAIL="Root@Tandem.example",
    )


@asynccontextmanager
async def sample(urls: Urls, *routers: APIRouter) -> AsyncIterator[Sample]:
    """The service, running; its logs are kept short."""
    structlog.configure(
        processors=[format_exc_info, KeyValueRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    service = Sample(settings(urls), list(routers))
    listening = asyncio.create_task(service.outcomes.run())
    try:
        yield service
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await service.auth.close()
        await service.database.close()
