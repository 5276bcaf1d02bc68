"""The HTTP edge: one transaction a request, committed before the answer; each POST once; pages, ETags, waits.

Use `Router`, not FastAPI's own: its routes commit, roll back, and keep answers.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from time import monotonic
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    Index,
    LargeBinary,
    Select,
    SmallInteger,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import desc_op
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit import audit
from kit.auth import (
    Caller,
    Identity,
    Needs,
    NotGranted,
    NotSignedIn,
    Principal,
    Role,
    RoleMissing,
    TenantNotNamed,
    TokenRefused,
    act_as,
    current_caller,
    current_identity,
    needs,
)
from kit.clock import now
from kit.db import Session, metadata, uuid7
from kit.problems import (
    MEDIA_TYPE,
    PROBLEM_SCHEMA,
    BodyTooLarge,
    NotJson,
    NotUnderstood,
    Refused,
    answer,
    install,
    merged,
    place,
    problems,
)
from kit.rates import Rate, TooManyRequests, network
from kit.settings import ServiceSettings
from kit.tables import KIT
from kit.telemetry import LATENCY, hide_address

__all__ = [
    "Caller", "Db", "IfMatch", "Items", "Once", "Page", "Prefer", "PublicDb", "Refused", "Router", "begin",
    "claim", "create_app", "etag", "needs", "now", "outcome", "page", "problems",
]  # fmt: skip

T = TypeVar("T")
log = structlog.get_logger(__name__)

BODY_BYTES_MAX = 1 << 20
"""For a route that takes more: `@router.post(..., max_body_size=...)`."""
ANSWERS_KEPT_DAYS = 30
WAIT_S_MAX = 30
READS = ("GET", "HEAD", "OPTIONS")


# -- the transaction of a request -------------------------------------------------------------------------

PUBLIC = Principal("visitor", Identity("", "", None, None), frozenset(), "public", None)
"""Somebody who has not signed in, on a route that needs no caller."""


@asynccontextmanager
async def begin(request: Request, caller: Principal) -> AsyncIterator[Session]:
    """A transaction for `caller`'s tenant, committed at the end of the block, rolled back on any error.

    For endpoints that answer after the commit; `Db` is the same for a whole request.
    """
    async with request.app.state.service.database.api.begin() as db:
        await _enter(db, request, caller)
        yield db


async def _enter(db: Session, request: Request, caller: Principal) -> None:
    once_id = _once_id(request, caller)
    lock = int.from_bytes(once_id.bytes[:8], signed=True) if once_id else None
    # The lock is taken one statement before the stored answer is looked up, so the look-up sees whatever the
    # holder before us committed.
    db.info[_LOCKED] = await act_as(db, caller.tenant, caller.actor, lock)
    if caller.through_partner and request.method not in READS:
        path = {"path": request.url.path}
        await audit.record(db, caller.actor, "customer.acted_for", subject=caller.tenant, detail=path)


_LOCKED = "kit.once.locked"
_DB = "kit.db"


async def _db(request: Request) -> Session:
    return await _of_request(request, await current_caller(request))


async def _public_db(request: Request) -> Session:
    return await _of_request(request, PUBLIC)


async def _of_request(request: Request, caller: Principal) -> Session:
    """The request's session. Its `Route` commits it, or rolls it back."""
    if not isinstance(request.scope.get("route"), Route):
        raise TypeError("a route that uses Db belongs on a kit.http.Router, which commits it")
    db: Session | None = request.scope.get(_DB)
    if db is None:
        request.scope[_DB] = db = request.app.state.service.database.api()
        await _enter(db, request, caller)
    return db


Db = Annotated[Session, Depends(_db)]
PublicDb = Annotated[Session, Depends(_public_db)]


# -- once: Idempotency-Key --------------------------------------------------------------------------------

once_table = Table(
    "once",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("request", Text, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("status", SmallInteger),
    Column("headers", JSONB),
    Column("body", LargeBinary),
    Column("resource", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_once_created_at", "created_at", postgresql_using="brin"),
    info=KIT,
)
"""What was answered to a request: the answer itself, or the resource that a retry shows as it is now."""


_ANSWERED = select(once_table).where(once_table.c.id == bindparam("key"))
_KEEP = insert(once_table)


class IdempotencyKeyMissing(Refused):
    """This request needs a header Idempotency-Key of 1 to 255 characters."""

    status = 400
    remedy = "Send a new random key with each new request, and the same one with a retry."


class SameRequestRunning(Refused):
    """A request with this Idempotency-Key is still running."""

    status = 409
    remedy = "Wait for it, or repeat the request with the same key in a moment."
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


class KeyUsedForOtherBody(Refused):
    """This Idempotency-Key was used before with another body."""

    status = 422
    remedy = "Use a new key for a new request."


def _once_id(request: Request, caller: Principal) -> UUID | None:
    """Names caller × method × path × key; None without a key."""
    key = request.headers.get("idempotency-key", "")
    if request.method in READS or not 0 < len(key) <= 255:
        return None
    who = caller.identity
    scope = (who.issuer, who.subject, caller.tenant, request.method, request.url.path, key)
    return UUID(bytes=blake2b("\0".join(scope).encode(), digest_size=16).digest())


@dataclass(slots=True)
class Claim:
    """This request, claimed for this transaction by its Idempotency-Key."""

    db: Session
    id: UUID
    request: str
    body_hash: bytes
    resource: str | None = None
    """What the first request of this key kept; None: this is the first."""
    kept: bool = False

    async def keep(self, resource: object) -> None:
        """Remember what this request made: a retry gets `resource` and shows it as it is then."""
        if self.resource is None:
            self.resource = str(resource)
            await self._insert(resource=self.resource)

    async def keep_answer(self, response: Response) -> None:
        headers = {k: v for k, v in response.headers.items() if k != "content-length"}
        await self._insert(status=response.status_code, headers=headers, body=bytes(response.body))

    async def _insert(self, **values: Any) -> None:
        self.kept = True
        row = {"id": self.id, "request": self.request, "body_hash": self.body_hash, **values}
        await self.db.execute(_KEEP, row)


class Replay(Exception):
    """The request was answered before; carries that answer out of the dependencies."""

    def __init__(self, response: Response) -> None:
        self.response = response


async def claim(request: Request, caller: Principal, db: Session, body: bytes | None = None) -> Claim:
    """Claim the request in a transaction opened by `begin`. `body` is what a retry must repeat.

    Raises `IdempotencyKeyMissing`, `SameRequestRunning` or `KeyUsedForOtherBody`. When the returned claim
    has a `resource`, the work was done before: show that. Else do it, and `keep` the resource.
    """
    once_id = _once_id(request, caller)
    if once_id is None:
        raise IdempotencyKeyMissing(field="Idempotency-Key")
    if not db.info.get(_LOCKED):
        raise SameRequestRunning()
    body = (await request.body() if body is None else body) + b"?" + request.scope["query_string"]
    claimed = Claim(
        db,
        once_id,
        f"{request.method} {request.url.path} by {caller.actor}",
        blake2b(body, digest_size=16).digest(),
    )
    held = (await db.execute(_ANSWERED, {"key": once_id})).one_or_none()
    if held is None:
        return claimed
    if held.body_hash != claimed.body_hash:
        raise KeyUsedForOtherBody()
    if held.resource is None:
        raise Replay(Response(held.body, held.status, headers={**held.headers, "Idempotency-Replayed": "true"}))
    claimed.resource = held.resource
    claimed.kept = True
    return claimed


async def _once(request: Request) -> Claim:
    claimed = await claim(request, await current_caller(request), await _db(request))
    request.scope[_CLAIM] = claimed
    return claimed


_CLAIM = "kit.once.claim"

Once = Annotated[Claim, Depends(_once)]


async def purge_answers(db: Session, at: datetime) -> int:
    """Forget answers older than 30 days, at most 5,000 a time; a job's body."""
    old = once_table.c.created_at < at - timedelta(days=ANSWERS_KEPT_DAYS)
    some = select(once_table.c.id).where(old).limit(5000)
    gone = await db.execute(delete(once_table).where(once_table.c.id.in_(some)).returning(once_table.c.id))
    return len(gone.all())


class Route(APIRoute):
    """A route that owns its request's transaction, and documents the refusals that the edge adds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        below = _all_below(self.dependant)
        calls = {d.call for d in below}
        once, roles = _once in calls, any(hasattr(call, "roles") for call in calls)
        caller = once or roles or not calls.isdisjoint((current_caller, _db))
        self.openapi_extra = {"x-access": _access(below), **(self.openapi_extra or {})}
        edge: list[type[Refused]] = [TooManyRequests]
        if caller or current_identity in calls:
            edge += [NotSignedIn, TokenRefused]
            self.openapi_extra = {"security": [{"bearer": []}], **(self.openapi_extra or {})}
        if caller:
            edge += [TenantNotNamed, NotGranted]
        if roles:
            edge.append(RoleMissing)
        if once:
            edge += [IdempotencyKeyMissing, SameRequestRunning, KeyUsedForOtherBody]
        if self.body_field:
            edge += [NotJson, BodyTooLarge]
        if self.body_field or any(d.path_params or d.query_params or d.header_params for d in below):
            edge.append(NotUnderstood)
        self.responses = merged(self.responses, problems(*edge))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def in_transaction(request: Request) -> Response:
            """The answer is made, kept for a retry and committed, all before it is sent."""
            try:
                response = await handle(request)
                claimed: Claim | None = request.scope.get(_CLAIM)
                if claimed and not claimed.kept:
                    await claimed.keep_answer(response)
                if _DB in request.scope:
                    await request.scope[_DB].commit()
                return response
            except Replay as replay:
                return replay.response
            finally:
                if _DB in request.scope:
                    await request.scope[_DB].close()  # which rolls back what is not committed

        return in_transaction


def _access(below: Sequence[Dependant]) -> list[str]:
    """Who may call a route, as its document says it: roles, or `signed in`, or `public`."""
    calls = {d.call for d in below}
    asked = [frozenset(call.roles) for call in calls if isinstance(call, Needs)]
    if asked:
        return sorted(frozenset.intersection(*asked))
    if not calls.isdisjoint((current_caller, _db, _once)):
        return sorted(Role)
    return ["signed in" if current_identity in calls else "public"]


def _all_below(dependant: Dependant) -> list[Dependant]:
    return [dependant, *(d for child in dependant.dependencies for d in _all_below(child))]


class Router(APIRouter):
    """FastAPI's router with the kit's `Route`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"route_class": Route, **kwargs})


# -- waiting for an outcome: Prefer: wait=n ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preference:
    """How long the caller will wait for an outcome; 0 without `Prefer: wait`, at most 30 s."""

    wait_s: int


async def _prefer(
    response: Response, prefer: Annotated[list[str] | None, Header(examples=["wait=5"])] = None
) -> Preference:
    asked = re.search(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})", ",".join(prefer or []))
    if asked is None:
        return Preference(0)
    wait_s = min(int(asked[1]), WAIT_S_MAX)
    response.headers["Preference-Applied"] = f"wait={wait_s}"
    return Preference(wait_s)


Prefer = Annotated[Preference, Depends(_prefer)]


async def outcome(
    request: Request,
    caller: Principal,
    key: str,
    wait_s: float,
    read: Callable[[Session], Awaitable[T]],
    decided: Callable[[T], bool],
) -> T:
    """What `read` finds, as soon as it is `decided` or `wait_s` is over; holds no connection meanwhile.

    `key` is what the deciding transaction gives to `kit.notify.notify`.
    """
    until = monotonic() + wait_s
    with request.app.state.service.outcomes.expect(key) as announced:
        while True:
            announced.clear()
            async with request.app.state.service.database.api.begin() as db:
                await act_as(db, caller.tenant, caller.actor)
                found = await read(db)
            left = until - monotonic()
            if decided(found) or left <= 0:
                return found
            try:
                await asyncio.wait_for(announced.wait(), left)
            except TimeoutError:
                until = monotonic()  # read once more: an announcement may have been lost


# -- pages ------------------------------------------------------------------------------------------------


class BadCursor(Refused):
    """`after` is not a cursor of this list."""

    status = 400
    remedy = "Follow the `next` link of the page before, or start without `after`."


class Items(BaseModel, Generic[T]):
    """A page of a list. The header `Link` with `rel="next"` leads on; without it this is the last page."""

    items: list[T]


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for."""

    limit: int
    after: str | None
    request: Request = field(repr=False)
    response: Response = field(repr=False)


async def _window(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(max_length=2000, description="The cursor in a page's `next` link.")] = None,
) -> Window:
    return Window(limit, after, request, response)


Page = Annotated[Window, Depends(_window)]


async def page(db: Session, query: Select[Any], order: Sequence[Any], at: Window, item: Callable[[Any], T]) -> Items[T]:
    """One page of `query`, sorted by `order`, and the link to the next one.

    `order` are columns that are never null, all ascending or all `.desc()`, the last one unique. `item`
    makes an item of a row (of the entity itself where the query selects just one). Raises `BadCursor`.
    """
    columns: list[ColumnElement[Any]] = [c.element if isinstance(c, UnaryExpression) else c for c in order]
    descending = {isinstance(c, UnaryExpression) and c.modifier is desc_op for c in order}
    if len(descending) != 1:
        raise ValueError("a page is sorted in one direction")
    if at.after is not None:
        seen = tuple_(*_cursor_values(at.after, columns))
        here = tuple_(*columns)
        query = query.where(here < seen if descending == {True} else here > seen)
    width = len(query.selected_columns) if len(query.column_descriptions) > 1 else 0
    rows = (await db.execute(query.add_columns(*columns).order_by(*order).limit(at.limit + 1))).all()
    if len(rows) > at.limit:
        cursor = to_json(list(rows[at.limit - 1][-len(columns) :]))
        following = at.request.url.include_query_params(after=base64.urlsafe_b64encode(cursor).decode().rstrip("="))
        at.response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return Items(items=[item(row if width else row[0]) for row in rows[: at.limit]])


def _cursor_values(after: str, columns: Sequence[ColumnElement[Any]]) -> list[Any]:
    try:
        values = from_json(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
        if not isinstance(values, list) or len(values) != len(columns):
            raise ValueError("other columns")
        return [TypeAdapter(c.type.python_type).validate_json(to_json(v)) for c, v in zip(columns, values, strict=True)]
    except (ValueError, ValidationError) as error:
        raise BadCursor(field="after") from error


# -- ETags ------------------------------------------------------------------------------------------------


class IfMatchMissing(Refused):
    """This edit needs a header If-Match with the ETag that you last read."""

    status = 428


class Changed(Refused):
    """Somebody changed it after you read it."""

    status = 412
    remedy = "Read it again, and repeat your edit on what it is now."


def etag(version: int) -> str:
    """The entity tag of a row's version."""
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class Match:
    """The versions an edit was made on."""

    tags: frozenset[str]

    def check(self, version: int) -> None:
        """Raises `Changed` where the row is at another version."""
        if not self.tags & {etag(version), "*"}:
            raise Changed(version=version)


async def _if_match(if_match: Annotated[str | None, Header(examples=['"3"'])] = None) -> Match:
    if not if_match:
        raise IfMatchMissing(field="If-Match")
    return Match(frozenset(tag.strip().removeprefix("W/") for tag in if_match.split(",")))


IfMatch = Annotated[Match, Depends(_if_match)]


# -- the app ----------------------------------------------------------------------------------------------


class Unavailable(Refused):
    """The service cannot reach its database, or is too busy to answer."""

    status = 503
    remedy = "Repeat the request in a moment, with the same Idempotency-Key."
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


async def _unavailable(request: Request, error: Any) -> Response:
    log.warning("database unavailable", path=place(request), error=repr(error)[:500])
    return answer(request, Unavailable().as_problem(), Unavailable.headers)


TENANT_HEADER = "Tandem-Tenant"
PASSING = ("08", "53", "57", "58", "25006", "40001", "40P01", "55P03")
"""SQLSTATEs, or classes of them, that pass by themselves or when somebody mends the server: connection, resources,
shutdown, its disk; read-only while it recovers; serialization, a dead-lock, a row that others hold for too long."""


async def _unstorable(request: Request, error: Any) -> Response:
    """What no column can hold: text with a NUL, a number out of range; or a server that cannot do it now.
    Else a driver's word is a failure of ours."""
    state = getattr(error.orig, "sqlstate", None)
    if state and state.startswith(PASSING):
        return await _unavailable(request, error)
    if state in ("22021", "22P05"):
        wrong = {"field": "", "rule": "nul_character", "remedy": "Remove the NUL character."}
    elif state == "22003" or (state == "22000" and "value out of int" in str(error.orig)):
        wrong = {"field": "", "rule": "out_of_range", "remedy": "Send a smaller number."}
    else:
        raise error
    return answer(request, NotUnderstood(errors=[wrong]).as_problem())


class Edge:
    """The outermost layer: a request id, a limit by address, strict headers, and problems even where the framework
    has none."""

    HEADERS = (
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
        (b"cache-control", b"no-store"),
    )
    HTTPS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
    PROBLEM = (b"content-type", MEDIA_TYPE.encode())
    TOO_LARGE = to_json(BodyTooLarge().as_problem())

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app = app
        self._rate = Rate(settings.rate_per_address, "address")
        # Only who is reached by HTTPS may say so; a proxy in front of us is who speaks it.
        self._headers = (*self.HEADERS, self.HTTPS) if settings.base_url.startswith("https:") else self.HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = next((v for k, v in scope["headers"] if k == b"x-request-id"), b"")
        request_id = given if re.fullmatch(rb"[\w.-]{1,64}", given) else uuid7().hex.encode()
        status = 0
        plain_413 = False

        async def stricter(message: Message) -> None:
            nonlocal status, plain_413
            if message["type"] == "http.response.start":
                status, headers = message["status"], message["headers"]
                plain_413 = status == 413 and self.PROBLEM not in headers
                if plain_413:  # by the framework's limit of the body
                    headers = [self.PROBLEM, (b"content-length", str(len(self.TOO_LARGE)).encode())]
                present = {name for name, _ in headers}
                message["headers"] = [
                    *headers,
                    (b"x-request-id", request_id),
                    *(h for h in self._headers if h[0] not in present),
                ]
            elif plain_413:
                message["body"] = self.TOO_LARGE
            await send(message)

        tokens = structlog.contextvars.bind_contextvars(request_id=request_id.decode())
        began = monotonic()
        hide_address(scope["path"])
        try:
            if scope["client"] and scope["path"] not in HEALTH:
                self._rate.check(network(scope["client"][0]))
            await self.app(scope, receive, stricter)
        except TooManyRequests as refused:
            said = answer(Request(scope), refused.as_problem(), refused.answer_headers)
            await said(scope, receive, stricter)
        except Exception:
            if status != 500:  # else it is logged and answered already
                raise
        finally:
            structlog.contextvars.reset_contextvars(**tokens)
            _measure(scope, status, monotonic() - began)


def _measure(scope: Scope, status: int, took_s: float) -> None:
    """Count an answer under its route's template: paths hold ids, and every label is kept in memory."""
    if scope["path"] not in HEALTH:
        route = getattr(scope.get("route"), "path", None)
        method = scope["method"] if route else "*"  # anybody may invent methods for paths that are none
        waited = "yes" if any(name == b"prefer" for name, _ in scope["headers"]) else "no"
        LATENCY.labels(method, route or "none", str(status), waited).observe(took_s)


HEALTH = ("/healthz", "/readyz", "/metrics")
"""What operators' probes ask: neither measured nor limited."""


class App(FastAPI):
    """FastAPI within the kit's edge."""

    def build_middleware_stack(self) -> ASGIApp:
        settings: ServiceSettings = self.state.service.settings
        app = super().build_middleware_stack()
        if settings.cors_origins:
            # No cookies: whoever calls from a browser brings a bearer token.
            app = CORSMiddleware(
                app,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Prefer", TENANT_HEADER],
                expose_headers=["ETag", "Link", "Location", "Retry-After", "X-Request-Id", "Idempotency-Replayed"],
            )
        return Edge(app, settings)

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            schema = super().openapi()
            parts = schema.setdefault("components", {})
            parts.setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
            parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
        return self.openapi_schema or {}


def create_app(service: Any, lifespan: Any = None) -> FastAPI:
    """The HTTP application of a `kit.Service`; the worker's role has its health routes only."""
    app = App(
        title=f"Tandem {service.name}",
        version=service.version,
        lifespan=lifespan,
        # Spans come from FastAPI itself: one a request, while a collector is named. Metrics and logs are ours.
        telemetry={
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "exclude": lambda scope: scope.get("path") in HEALTH,
        },
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        max_body_size=BODY_BYTES_MAX,
    )
    app.state.service = service
    install(app)
    # InternalError: of asyncpg, where the server said good-bye while nothing was asked.
    for unreachable in (InterfaceError, InternalError, OperationalError, PoolTimeout, ConnectionError, TimeoutError):
        app.add_exception_handler(unreachable, _unavailable)
    app.add_exception_handler(DBAPIError, _unstorable)
    if service.role != "worker":
        from kit.parked import router as parked  # which needs this module

        for router in (*service.routers, parked):
            app.include_router(router)
    app.router.routes.extend(service.health_routes)
    return app
