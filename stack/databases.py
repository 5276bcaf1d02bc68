"""A service's database and its three login roles, made on any PostgreSQL an administrator's URL leads to."""

import asyncio
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

PASSWORD = "tandem"
ROLES = ("api", "worker", "owner")
LOCK = 748_209  # Roles belong to the whole server: two sessions making the same ones wait for each other.


@dataclass(frozen=True, slots=True)
class Urls:
    """Where a service's database is, for each of its roles: postgresql://role:password@host:port/name."""

    api: str
    worker: str
    owner: str

    def environment(self, service: str) -> dict[str, str]:
        """As the variables the service reads."""
        names = _variables(service)
        return {names["api"]: self.api, names["worker"]: self.worker, names["owner"]: self.owner}


def given(service: str, environment: Mapping[str, str] = os.environ) -> Urls | None:
    """The URLs the environment gives for a service, if it gives all three."""
    urls = {role: environment.get(name) for role, name in _variables(service).items()}
    api, worker, owner = urls["api"], urls["worker"], urls["owner"]
    return Urls(api, worker, owner) if api and worker and owner else None


def any_given(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment brings a PostgreSQL: an administrator's URL, or some service's."""
    return any(name == "POSTGRES_ADMIN_URL" or name.endswith("_OWNER_DATABASE_URL") for name in environment)


def create(admin_url: str, service: str, name: str | None = None) -> Urls:
    """Make the database (`tandem_<service>` unless named) and the roles where they are missing.

    The owner role owns the database and migrates it; api and worker may connect; nobody else may.
    """
    name = name or f"tandem_{service}"
    for word in (service, name):
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", word):
            raise ValueError(f"{word!r} is no name for a database or role")
    # In a thread of its own, since the caller may be inside an event loop.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, _create(admin_url, service, name)).result()
    at = urlsplit(admin_url)
    host = f"{at.hostname}:{at.port or 5432}"
    query = f"?{at.query}" if at.query else ""
    api, worker, owner = (f"postgresql://{service}_{role}:{PASSWORD}@{host}/{name}{query}" for role in ROLES)
    return Urls(api, worker, owner)


async def _create(admin_url: str, service: str, name: str) -> None:
    db = await asyncpg.connect(admin_url)
    try:
        await db.execute("select pg_advisory_lock($1)", LOCK)
        known = {row["rolname"] for row in await db.fetch("select rolname from pg_roles")}
        for role in (f"{service}_{role}" for role in ROLES):
            if role not in known:
                await db.execute(f"create role {role} login password '{PASSWORD}'")
        if not await db.fetchval("select true from pg_database where datname = $1", name):
            # An administrator who is no superuser may give a database only to roles it is a member of.
            await db.execute(f"grant {service}_owner to current_user")
            await db.execute(f"create database {name} owner {service}_owner")
        await db.execute(f"revoke connect, temporary on database {name} from public")
        await db.execute(f"grant connect, temporary on database {name} to {service}_api, {service}_worker")
    finally:
        await db.close()


def _variables(service: str) -> dict[str, str]:
    prefix = service.upper()
    return {
        "api": f"{prefix}_DATABASE_URL",
        "worker": f"{prefix}_WORKER_DATABASE_URL",
        "owner": f"{prefix}_OWNER_DATABASE_URL",
    }
