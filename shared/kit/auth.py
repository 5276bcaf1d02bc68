"""Who calls, and what that caller may do.

An OIDC issuer says who: a bearer JWT, verified here against the issuer's published keys. Grants say what:
a role for a tenant. Each service keeps its own copy of the grants and asks nobody while it answers.
"""

import asyncio
import base64
import hashlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Annotated, Any, ClassVar, Protocol
from uuid import UUID, uuid5

import httpx
import structlog
from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Table,
    Text,
    Uuid,
    and_,
    case,
    false,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import InstrumentedAttribute

from kit import clock
from kit.db import Database, Session, metadata, upsert_newer
from kit.inbox import batches
from kit.problems import Refused
from kit.rates import Rate
from kit.settings import ServiceSettings
from kit.tables import KIT
from schemas.access import AccessChanged

log = structlog.get_logger(__name__)

ALGORITHMS = ["RS256", "ES256", "PS256"]
LEEWAY_S = 30
TOKEN_KEPT_MAX_S = 300
"""A verified token is not verified again for this long, so a withdrawn key works on for as long at most."""
GRANTS_KEPT_S = 0.5
"""How long a process may answer by grants it read before; a revoked one ends within it."""
KEYS_ASKED_AGAIN_S = 10.0
KEYS_KEPT_S = 3600.0


class Role(StrEnum):
    """What somebody may be for a tenant: the first four for the platform, the others as their names say."""

    ADMIN = "admin"
    SUPPORT = "support"
    FINANCE = "finance"
    EDITOR = "editor"
    PARTNER_ADMIN = "partner_admin"
    CUSTOMER_ADMIN = "customer_admin"
    HR = "hr"
    MANAGER = "manager"
    SUPPLIER_USER = "supplier_user"
    LEARNER = "learner"


# -- refusals ---------------------------------------------------------------------------------------------


class NotSignedIn(Refused):
    """Sign in first: the request carries no bearer token."""

    status = 401
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="tandem"'}


class TokenRefused(Refused):
    """The bearer token is not valid here."""

    status = 401
    remedy = "Sign in again."
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="tandem", error="invalid_token"'}


class IssuerUnreachable(Refused):
    """Nobody can sign in now: the identity provider does not answer."""

    status = 503
    remedy = "Try again in a few seconds."
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "2"}


class NotGranted(Refused):
    """You hold no grant for this tenant."""

    status = 403


class RoleMissing(Refused):
    """Your role does not allow this."""

    status = 403


class TenantNotNamed(Refused):
    """You act for several tenants: name one."""

    status = 400
    remedy = "Send the header Tandem-Tenant with one of `tenants`."


class TenantNotUnderstood(Refused):
    """The header Tandem-Tenant is not `platform` or a kind and an id, such as `partner/<uuid>`."""

    status = 400


# -- who: the bearer token --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, as the issuer says. `email` is set only when the issuer has verified it, in lower case."""

    issuer: str
    subject: str
    email: str | None
    name: str | None


class Authenticator:
    """Verifies bearer tokens and knows, for a moment, the grants of those who call.

    The issuer's keys are fetched when first needed, again for an unknown key id (every 10 s at most) and
    every hour; while the issuer is down the keys held keep working.
    """

    def __init__(self, settings: ServiceSettings, http: httpx.AsyncClient | None = None) -> None:
        self._settings = settings
        self._http = http or httpx.AsyncClient(timeout=5)
        self._keys: KeySet | None = None
        self._keys_at = self._asked_at = -KEYS_KEPT_S
        self._asking = asyncio.Lock()
        self._verified: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()
        self._grants: dict[Identity, tuple[float, list[Held]]] = {}
        self._rate = Rate(settings.rate_per_caller, "caller")

    async def close(self) -> None:
        await self._http.aclose()

    async def identify(self, token: str) -> Identity:
        """The holder of `token`. Raises `TokenRefused`, `TooManyRequests`, or `IssuerUnreachable` while no key is
        known."""
        digest = hashlib.sha256(token.encode()).digest()
        now = clock.now().timestamp()
        until, identity = self._verified.get(digest, (0.0, None))
        if identity is None or until <= now:
            claims = await self._verify(token, int(now))
            identity = _identity(claims)
            self._verified[digest] = (min(claims["exp"] + LEEWAY_S, now + TOKEN_KEPT_MAX_S), identity)
            if len(self._verified) > 4096:
                self._verified.popitem(last=False)
        self._rate.check(f"{identity.issuer} {identity.subject}")
        return identity

    async def _verify(self, token: str, now: int) -> dict[str, Any]:
        try:
            head = token.split(".", 1)[0]
            kid = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))).get("kid")
        except (ValueError, AttributeError) as error:
            raise TokenRefused("It is not a JWT.") from error
        keys = await self._keys_for(kid)
        registry = jwt.JWTClaimsRegistry(
            now=now,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._settings.oidc_issuer},
            aud={"essential": True, "value": self._settings.oidc_audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
            registry.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise TokenRefused(getattr(error, "description", "") or type(error).__name__) from error
        return claims

    async def _keys_for(self, kid: str | None) -> KeySet:
        if self._keys is None or not self._know(kid):
            async with self._asking:  # one asks; the others find its answer
                pause = KEYS_ASKED_AGAIN_S if self._keys else 1.0
                if not self._know(kid) and monotonic() - self._asked_at >= pause:
                    await self._fetch_keys()
        if self._keys is None:
            raise IssuerUnreachable()
        return self._keys

    def _know(self, kid: str | None) -> bool:
        fresh = monotonic() - self._keys_at < KEYS_KEPT_S
        return self._keys is not None and fresh and (kid is None or any(k.kid == kid for k in self._keys))

    async def _fetch_keys(self) -> None:
        self._asked_at = monotonic()
        url = self._settings.oidc_issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            found = (await self._http.get(url)).raise_for_status().json()
            if found["issuer"] != self._settings.oidc_issuer:  # OpenID Connect Discovery 1.0, section 4.3
                raise ValueError("the document is another issuer's")
            keys = (await self._http.get(found["jwks_uri"])).raise_for_status().json()
            self._keys = KeySet.import_key_set(keys)
            self._keys_at = monotonic()
        except (httpx.HTTPError, httpx.InvalidURL, JoseError, ValueError, KeyError, TypeError) as error:
            log.warning("the issuer's keys cannot be fetched", url=url, error=repr(error))

    async def grants(self, sessions: async_sessionmaker[Session], identity: Identity) -> "list[Held]":
        """What `identity` holds, from this service's copy, at most half a second old."""
        at, held = self._grants.get(identity, (0.0, []))
        if monotonic() - at > GRANTS_KEPT_S:
            async with sessions.begin() as db:
                held = await grants_of(db, identity)
            if identity.email and identity.email == (self._settings.platform_admin_email or "").lower():
                held.append(Held(Role.ADMIN, "platform", None))
            if len(self._grants) > 4096:
                self._grants.clear()
            self._grants[identity] = (monotonic(), held)
        return held


def _identity(claims: dict[str, Any]) -> Identity:
    email = claims.get("email")
    verified = isinstance(email, str) and claims.get("email_verified") in (True, "true")
    name = claims.get("name") or claims.get("preferred_username")
    return Identity(
        issuer=claims["iss"],
        subject=claims["sub"],
        email=email.lower() if verified and email else None,
        name=name if isinstance(name, str) else None,
    )


# -- what: grants -----------------------------------------------------------------------------------------

_ACTIVE = text("status = 'active'")

grants = Table(
    "grants",
    metadata,
    Column("grant_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("role", Text, nullable=False),
    Column("tenant_kind", Text, nullable=False),
    Column("tenant_id", Uuid),
    Column("issuer", Text),
    Column("subject", Text),
    Column("email", Text),
    Column("name", Text),
    Column("status", Text, nullable=False),
    Column("source", Text, nullable=False),
    Index("ix_grants_subject", "subject", "issuer", postgresql_where=_ACTIVE),
    Index("ix_grants_email", "email", postgresql_where=_ACTIVE),
    Index("ix_grants_tenant", "tenant_id", "role", postgresql_where=_ACTIVE),
    info=KIT,
)


@dataclass(frozen=True, slots=True)
class Held:
    """A role that somebody holds for a tenant."""

    role: str
    tenant_kind: str
    tenant_id: UUID | None

    @property
    def tenant(self) -> str:
        return tenant_name(self.tenant_kind, self.tenant_id)


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant that a service derives from an aggregate of its own; `key` names it within that service."""

    key: str
    version: int
    role: Role
    tenant_kind: str
    tenant_id: UUID | None
    email: str | None
    name: str | None = None
    issuer: str | None = None
    subject: str | None = None
    status: str = "active"
    """`active`, `revoked` or `erased`; an erased one must carry no data of the person."""


_NAMESPACE = UUID("5f0ad6ad-6f7d-5c0e-9d3c-6b8f1f7e2a44")


async def keep_grants(db: Session, source: str, rows: Sequence[Grant]) -> None:
    """Keep grants derived from `source`'s own aggregates; the highest version of each key wins."""
    kept = [
        {
            "grant_id": uuid5(_NAMESPACE, f"{source}/{g.key}"),
            "source": source,
            **{name: getattr(g, name) for name in Grant.__slots__ if name != "key"},
            "email": g.email and g.email.lower(),
        }
        for g in rows
    ]
    await upsert_newer(db, grants, kept, key="grant_id", otherwise=_still_bound)


def _still_bound(new: Any) -> dict[str, Any]:
    """A newer version with the same address leaves a grant with whoever signed in by it."""
    same = and_(new.subject.is_(None), new.email == grants.c.email)
    return {name: case((same, grants.c[name]), else_=new[name]) for name in ("issuer", "subject")}


_END_OLDER = text(
    "update grants g set status = 'erased', email = null, name = null, version = n.version"
    " from unnest(cast(:tenant_ids as uuid[]), cast(:versions as bigint[])) as n (tenant_id, version)"
    " where g.source = :source and g.tenant_id = n.tenant_id and g.version < n.version"
)


async def end_older_grants(db: Session, source: str, versions: Mapping[UUID, int]) -> None:
    """End what an older version than this granted for a tenant: to those whom `source` names no more.

    For tenants that list who acts for them; after `keep_grants` of those listed, with the tenants' rows locked.
    """
    if versions:
        lists = {"tenant_ids": list(versions), "versions": list(versions.values())}
        await db.execute(_END_OLDER, {"source": source, **lists})


@batches(AccessChanged)
async def on_access_changed(db: Session, events: Sequence[AccessChanged]) -> None:
    """Copy the grants that contracts keeps."""
    fields = [c.name for c in grants.c if c.name not in ("source", "email")]
    rows = [
        {name: getattr(e, name) for name in fields} | {"email": e.email and e.email.lower(), "source": "access"}
        for e in events
    ]
    await upsert_newer(db, grants, rows, key="grant_id", otherwise=_still_bound)


async def grants_of(db: Session, identity: Identity) -> list[Held]:
    """What `identity` holds by issuer and subject.

    At the first sign-in what was granted to its verified e-mail address becomes its own: whoever has the address
    later, by a provider that gives it anew or lets people choose it, finds nothing.
    """
    by_subject = and_(grants.c.subject == identity.subject, grants.c.issuer == identity.issuer)
    by_email = and_(grants.c.email == identity.email, grants.c.subject.is_(None))
    mine = or_(by_subject, by_email) if identity.email else by_subject
    columns = (grants.c.role, grants.c.tenant_kind, grants.c.tenant_id)
    rows = (await db.execute(select(*columns, grants.c.grant_id, grants.c.subject).where(_ACTIVE, mine))).all()
    if new := [row.grant_id for row in rows if row.subject is None]:
        own = {"issuer": identity.issuer, "subject": identity.subject}
        locked = select(grants.c.grant_id).where(grants.c.grant_id.in_(new), grants.c.subject.is_(None))
        locked = locked.order_by(grants.c.grant_id).with_for_update()  # as whoever copies new versions does
        await db.execute(update(grants).where(grants.c.grant_id.in_(locked)).values(own))
        rows = (
            await db.execute(select(*columns, grants.c.grant_id, grants.c.subject).where(_ACTIVE, by_subject))
        ).all()
    return [Held(*row[:3]) for row in rows]


async def emails_of(db: Session, role: str, tenant_ids: Iterable[UUID]) -> dict[UUID, list[str]]:
    """The addresses of those who hold `role`, by tenant, for the tenants that have any."""
    holders = (
        select(grants.c.tenant_id, grants.c.email)
        .where(
            _ACTIVE,
            grants.c.role == role,
            grants.c.tenant_id.in_(set(tenant_ids)),
            grants.c.email.is_not(None),
        )
        .distinct()
        .order_by(grants.c.tenant_id, grants.c.email)
    )
    found: dict[UUID, list[str]] = {}
    for tenant_id, email in await db.execute(holders):
        found.setdefault(tenant_id, []).append(email)
    return found


# -- the caller of a request ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody acting for one tenant: what endpoints know as `caller: Caller`."""

    actor: str
    """For the record: `user:<the issuer's id of them>`, and for whom, where a partner acts for its customer. Never
    an address: what somebody did stays on record when who it was is forgotten (PRI-1)."""
    identity: Identity
    roles: frozenset[str]
    tenant_kind: str
    tenant_id: UUID | None
    through_partner: UUID | None = None
    """The partner whose admin acts for this customer."""

    @property
    def email(self) -> str | None:
        return self.identity.email

    @property
    def name(self) -> str | None:
        return self.identity.name

    @property
    def is_platform(self) -> bool:
        return self.tenant_kind == "platform"

    @property
    def tenant(self) -> str:
        return tenant_name(self.tenant_kind, self.tenant_id)

    def has(self, *roles: str) -> bool:
        return not self.roles.isdisjoint(roles)

    def own_rows(self, **columns: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        """The rows of its tenant, by kind of tenant: `own_rows(partner=t.c.partner_id, customer=t.c.customer_id)`.

        Row-level security guards the same, but only looks at rows that were read; this lets an index find them.
        """
        if self.is_platform:
            return true()
        column = columns.get(self.tenant_kind)
        return false() if column is None else column == self.tenant_id


class RunningService(Protocol):
    """What the edge uses of the service that `app.state.service` holds."""

    settings: ServiceSettings
    database: Database
    auth: Authenticator
    partner_of_customer: Callable[[Session, UUID], Awaitable[UUID | None]] | None


def tenant_name(kind: str, tenant_id: UUID | None) -> str:
    """A tenant as the header and the row-level policies write it: `platform`, `partner/<id>`."""
    return f"{kind}/{tenant_id}" if tenant_id else kind


def _tenant_asked(header: str) -> tuple[str, UUID | None]:
    kind, _, tenant_id = header.strip().partition("/")
    try:
        if kind == "platform" and not tenant_id:
            return kind, None
        if kind in ("partner", "customer", "supplier"):
            return kind, UUID(tenant_id)
    except ValueError:
        pass
    raise TenantNotUnderstood(field="Tandem-Tenant")


async def act_as(db: Session, tenant: str, actor: str, lock: int | None = None) -> bool:
    """Tell the transaction's row-level policies for whom it acts; the first statement of a request.

    With `lock`, takes that advisory lock to the transaction's end; False when another one holds it.
    """
    return bool(await db.scalar(_ACT_AS, {"tenant": tenant, "actor": actor, "lock": lock}))


_ACT_AS = text(
    "select coalesce(pg_try_advisory_xact_lock(cast(:lock as bigint)), true),"
    " set_config('tandem.tenant', :tenant, true), set_config('tandem.actor', :actor, true)"
)


# These two are asked for by several dependencies of one request, and remember their answer in its scope. They
# take the request only: FastAPI walks the whole tree below a dependency for each place that names it.


async def current_identity(request: Request) -> Identity:
    """Who calls, whatever the grants. For the few routes that serve people before their first grant."""
    known: Identity | None = request.scope.get("kit.identity")
    if known is None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotSignedIn()
        service: RunningService = request.app.state.service
        request.scope["kit.identity"] = known = await service.auth.identify(token.strip())
    return known


SignedIn = Annotated[Identity, Depends(current_identity)]


async def current_caller(request: Request) -> Principal:
    """Who calls, for the tenant named by `Tandem-Tenant`, or the only one that is granted."""
    known: Principal | None = request.scope.get("kit.caller")
    if known is None:
        service: RunningService = request.app.state.service
        identity = await current_identity(request)
        held = await service.auth.grants(service.database.api, identity)
        request.scope["kit.caller"] = known = await _principal(service, identity, held, request)
    return known


async def _principal(service: RunningService, identity: Identity, held: Sequence[Held], request: Request) -> Principal:
    actor = f"user:{identity.subject}"
    asked = request.headers.get("tandem-tenant")
    if asked is None:
        tenants = sorted({h.tenant for h in held})
        if len(tenants) > 1:
            raise TenantNotNamed(field="Tandem-Tenant", tenants=tenants)
        if not held:
            raise NotGranted("Nothing has been granted to you yet.")
        kind, tenant_id = held[0].tenant_kind, held[0].tenant_id
    else:
        kind, tenant_id = _tenant_asked(asked)
    roles = frozenset(h.role for h in held if (h.tenant_kind, h.tenant_id) == (kind, tenant_id))
    if roles:
        return Principal(actor, identity, roles, kind, tenant_id)
    mine = {h.tenant_id for h in held if h.role == Role.PARTNER_ADMIN}
    if mine and kind == "customer" and tenant_id:
        partner_id = await _partner_of(service, tenant_id)
        if partner_id in mine:
            actor += f" of partner/{partner_id}"
            return Principal(actor, identity, frozenset({Role.CUSTOMER_ADMIN}), kind, tenant_id, partner_id)
    raise NotGranted(tenant_name(kind, tenant_id))


async def _partner_of(service: RunningService, customer_id: UUID) -> UUID | None:
    async with service.database.api() as db:
        await act_as(db, "platform", "system:access")
        return await service.partner_of_customer(db, customer_id) if service.partner_of_customer else None


Caller = Annotated[Principal, Depends(current_caller)]


class Needs:
    """Lets through callers with any of `roles`; tests read the roles off a route's dependencies."""

    def __init__(self, roles: Iterable[str]) -> None:
        self.roles = frozenset(Role(role) for role in roles)

    async def __call__(self, request: Request) -> None:
        caller = await current_caller(request)
        if not caller.has(*self.roles):
            raise RoleMissing(roles=sorted(self.roles), tenant=caller.tenant)


def needs(*roles: str) -> Dependency:
    """`dependencies=[needs("admin", "finance")]`: the route is for these roles only."""
    return Depends(Needs(roles))  # type: ignore[no-any-return]
