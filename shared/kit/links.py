"""Links in mails: a page that shows a matter, and a button that decides it once.

Opening a link changes nothing, since mail scanners open links; only the form's POST acts. The token holds
the link's id and purpose; everything else is in the row, which is locked while it is used.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from itsdangerous import BadData, URLSafeSerializer
from jinja2 import Environment, PackageLoader
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Table,
    Text,
    Uuid,
    delete,
    func,
    or_,
    select,
    text,
    update,
)

from kit import clock, testclock
from kit.auth import RunningService, act_as
from kit.db import SETTINGS, Session, metadata, uuid7
from kit.http import Router
from kit.problems import Refused, on_pages, problems
from kit.settings import ServiceSettings
from kit.tables import KIT

_OPEN = text("used_at is null and ended_at is null")

table = Table(
    "links",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("matter_id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("used_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("outcome", Text),
    Index("ix_links_matter", "matter_id", "purpose", postgresql_where=_OPEN),
    Index("ix_links_unused", "created_at", postgresql_where=text("used_at is null")),
    info=KIT,
)
"""Every link that was sent; open until it is used, ended by a newer one, or expired."""


class LinkUnknown(Refused):
    """This link is not one of ours, it is damaged, or it is too old."""

    status = 404
    remedy = "Open it again from the mail, without changing it."


class LinkExpired(Refused):
    """This link has expired."""

    status = 410


class LinkReplaced(Refused):
    """A newer mail has taken this link's place, or the matter has changed."""

    status = 410
    remedy = "Use the link in the newest mail."


class AlreadyDecided(Refused):
    """This was decided before."""

    status = 409


class ActionUnknown(Refused):
    """Choose one of the buttons."""

    status = 400


@dataclass(frozen=True, slots=True)
class Wanted:
    """A link to be made. `version` is the matter's; a matter at another version ends the link."""

    purpose: str
    matter_id: UUID
    recipient: str
    expires_at: datetime
    version: int = 0
    tenant: str = "platform"
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Link:
    """A link in use."""

    id: UUID
    purpose: str
    matter_id: UUID
    version: int
    recipient: str
    tenant: str
    language: str

    @property
    def actor(self) -> str:
        """Who acts by this link, for the record; whom it was sent to is in the link's row alone."""
        return f"link:{self.id}"


@dataclass(frozen=True, slots=True)
class Matter:
    """What the page shows, in the recipient's language."""

    title: str
    lines: Sequence[tuple[str, str]]
    """Label and value."""
    actions: Sequence[tuple[str, str]]
    """The form's buttons: the action's name and its label."""
    outcome: str | None = None
    """How it was decided, once it was, by whatever way."""
    version: int = 0
    note_label: str | None = None
    """Asks for a free text with this label."""
    brand: str = "Tandem"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a kind of link shows and does. `act` returns the outcome as the page says it; it may refuse."""

    show: Callable[[Session, UUID, Link], Awaitable[Matter]]
    act: Callable[[Session, Link, str, str, datetime], Awaitable[str]]
    """Given the link, the action, the note and the time."""


# -- making links -----------------------------------------------------------------------------------------

_CREATE = text(
    "with wanted as (select * from unnest(cast(:id as uuid[]), cast(:purpose as text[]),"
    " cast(:matter_id as uuid[]), cast(:version as bigint[]), cast(:recipient as text[]), cast(:tenant as text[]),"
    " cast(:language as text[]), cast(:expires_at as timestamptz[]))"
    " as w (id, purpose, matter_id, version, recipient, tenant, language, expires_at)),"
    " ended as (update links l set ended_at = now() from wanted w where l.matter_id = w.matter_id"
    " and l.purpose = w.purpose and l.recipient = w.recipient and l.used_at is null and l.ended_at is null)"
    " insert into links (id, purpose, matter_id, version, recipient, tenant, language, expires_at)"
    " select * from wanted"
)


async def create(db: Session, **wanted: Any) -> str:
    """The address of a new link, for a mail; arguments as `Wanted`. An older one on the same ends."""
    (url,) = await create_many(db, [Wanted(**wanted)])
    return url


async def create_many(db: Session, wanted: Sequence[Wanted]) -> list[str]:
    """`create` for many, in one statement; the addresses come in the order asked for."""
    settings: ServiceSettings = db.info[SETTINGS]
    ids = [uuid7() for _ in wanted]
    if wanted:
        columns = {name: [getattr(w, name) for w in wanted] for name in Wanted.__slots__}
        await db.execute(_CREATE, {"id": ids, **columns})
    signer = _signer(settings)
    base = f"{settings.base_url.rstrip('/')}/links/"
    return [base + signer.dumps([link_id.hex, w.purpose]) for link_id, w in zip(ids, wanted, strict=True)]


async def end(db: Session, matter_id: UUID) -> None:
    """End every open link on a matter: it was decided in another way, or is no more."""
    await db.execute(update(table).where(table.c.matter_id == matter_id, _OPEN).values(ended_at=func.now()))


KEPT_DAYS = 30
"""For how long a link that nobody used still says why it can no longer be used."""


async def remove_old(db: Session, now: datetime) -> int:
    """Remove links that ended or expired, unused, `KEPT_DAYS` ago; at most 5,000 a time; a job's body.

    A link that was used stays, since its page shows its own outcome ever after. Of one that was not, the matter
    tells its outcome elsewhere.
    """
    before = now - timedelta(days=KEPT_DAYS)
    over = or_(table.c.ended_at < before, table.c.expires_at < before)
    # The expiry of a tenant with a test clock may lie before the link was made.
    old = table.c.created_at < before
    some = select(table.c.id).where(table.c.used_at.is_(None), old, over).limit(5000)
    gone = await db.execute(delete(table).where(table.c.id.in_(some)).returning(table.c.id))
    return len(gone.all())


def _signer(settings: ServiceSettings) -> URLSafeSerializer:
    return URLSafeSerializer(
        settings.link_secret.get_secret_value(),
        salt="kit.links",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


# -- the page ---------------------------------------------------------------------------------------------

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "sent": "Sent to",
        "outcome": "Outcome",
        "link-unknown": "This link is not one of ours, it is damaged, or it is too old. Open it again from the mail.",
        "link-expired": "This link has expired.",
        "link-replaced": "A newer mail has taken this link's place, or the matter has changed.",
        "already-decided": "This was decided before; nothing has changed.",
        "action-unknown": "Please choose one of the buttons.",
        "refused": "That is not possible now",
    },
    "nl": {
        "sent": "Verzonden aan",
        "outcome": "Uitkomst",
        "link-unknown": "Deze link is niet van ons, is beschadigd of is te oud. Open hem opnieuw vanuit de mail.",
        "link-expired": "Deze link is verlopen.",
        "link-replaced": "Een nieuwere mail heeft deze link vervangen, of de zaak is gewijzigd.",
        "already-decided": "Hierover was al besloten; er is niets veranderd.",
        "action-unknown": "Kies een van de knoppen.",
        "refused": "Dat kan nu niet",
    },
    "it": {
        "sent": "Inviato a",
        "outcome": "Esito",
        "link-unknown": "Questo link non è nostro, è danneggiato o è troppo vecchio. Aprilo di nuovo dalla mail.",
        "link-expired": "Questo link è scaduto.",
        "link-replaced": "Una mail più recente ha sostituito questo link, oppure la pratica è cambiata.",
        "already-decided": "La decisione era già stata presa; nulla è cambiato.",
        "action-unknown": "Scegli uno dei pulsanti.",
        "refused": "Ora non è possibile",
    },
}

_templates = Environment(loader=PackageLoader("kit"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
_page = _templates.get_template("link.html")
_style = _templates.get_template("link.css").render()
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
        f" style-src 'sha256-{base64.b64encode(hashlib.sha256(_style.encode()).digest()).decode()}'"
    ),
    "Vary": "Accept",
    "X-Robots-Tag": "noindex",
}


def router(purposes: Mapping[str, Purpose]) -> Router:
    """`GET /links/{token}` shows the matter or its outcome; `POST` with the field `action` decides it."""
    pages = Router(tags=["links"])
    refusals = on_pages(problems(LinkUnknown, LinkExpired, LinkReplaced, AlreadyDecided, ActionUnknown))
    refusals[200] = {"content": {"text/html": {}, "application/json": {}}}

    @pages.api_route("/links/{token}", methods=["GET", "HEAD"], responses=refusals, response_class=HTMLResponse)
    async def get_link(token: str, request: Request) -> Response:
        """The page of a link that was sent by mail. Opening it changes nothing."""
        return await _answer(request, purposes, token)

    @pages.post("/links/{token}", responses=refusals, response_class=HTMLResponse)
    async def post_link(token: str, request: Request) -> Response:
        """Decide the matter, once, by the form's fields `action` and `note`."""
        async with request.form(max_files=0, max_fields=10) as form:
            return await _answer(request, purposes, token, str(form.get("action", "")), str(form.get("note", "")))

    return pages


async def _answer(
    request: Request, purposes: Mapping[str, Purpose], token: str, action: str | None = None, note: str = ""
) -> Response:
    service: RunningService = request.app.state.service
    seen = _Seen()
    status, message = 200, None
    try:
        async with service.database.worker.begin() as db:
            await _use(db, service, purposes, token, action, note.strip()[:2000], seen)
    except Refused as refused:
        if _wants_json(request):
            raise
        status = refused.status
        words = WORDS[_language(request, seen.link)]
        message = words.get(refused.type.rpartition("/")[2]) or f"{words['refused']}: {refused.title}"
    matter = seen.matter
    if matter and _wants_json(request):
        return JSONResponse(
            {
                "title": matter.title,
                "lines": [{"label": label, "value": value} for label, value in matter.lines],
                "actions": [name for name, _ in matter.actions],
                "outcome": matter.outcome,
            },
            headers=HEADERS,
        )
    language = _language(request, seen.link)
    html = _page.render(
        language=language,
        words=WORDS[language],
        style=_style,
        brand=matter.brand if matter else "Tandem",
        title=matter.title if matter else message,
        message=message if matter else None,
        lines=matter.lines if matter and status != 410 else (),
        actions=matter.actions if matter and status in (200, 400) else (),
        outcome=matter.outcome if matter else None,
        note_label=matter.note_label if matter else None,
        recipient=seen.link.recipient if seen.link else None,
    )
    return HTMLResponse(html, status, HEADERS)


@dataclass(slots=True)
class _Seen:
    """What is known for the page, also where a refusal ends the transaction."""

    link: Link | None = None
    matter: Matter | None = None


async def _use(
    db: Session,
    service: RunningService,
    purposes: Mapping[str, Purpose],
    token: str,
    action: str | None,
    note: str,
    seen: _Seen,
) -> None:
    """Show the link's matter, or with an `action` decide it."""
    try:
        link_id, purpose = _signer(service.settings).loads(token)
        query = select(table).where(table.c.id == UUID(link_id), table.c.purpose == purpose)
    except (BadData, ValueError, TypeError, AttributeError) as error:
        raise LinkUnknown() from error
    row = (await db.execute(query.with_for_update() if action is not None else query)).one_or_none()
    if row is None or purpose not in purposes:
        raise LinkUnknown()
    link = Link(**{name: getattr(row, name) for name in Link.__slots__})
    await act_as(db, link.tenant, link.actor)
    now = await testclock.time_of_tenant(db, clock.now(), link.tenant, service.partner_of_customer)
    matter = await purposes[purpose].show(db, link.matter_id, link)
    decided = row.outcome or matter.outcome
    seen.link, seen.matter = link, replace(matter, outcome=decided, actions=() if decided else matter.actions)
    if decided:
        if action is not None:
            raise AlreadyDecided(outcome=decided)
        return
    if row.ended_at or matter.version != link.version:
        raise LinkReplaced()
    if row.expires_at <= now:
        raise LinkExpired()
    if action is None:
        return
    if action not in dict(matter.actions):
        raise ActionUnknown(field="action", actions=[name for name, _ in matter.actions])
    outcome = await purposes[purpose].act(db, link, action, note, now)
    await db.execute(update(table).where(table.c.id == link.id).values(used_at=now, outcome=outcome))
    seen.matter = replace(matter, outcome=outcome, actions=())


def _wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "json" in accept and "text/html" not in accept


def _language(request: Request, link: Link | None) -> str:
    asked = link.language if link else request.headers.get("accept-language", "")[:2]
    return asked if asked in WORDS else "en"
