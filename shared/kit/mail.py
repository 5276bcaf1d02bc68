"""Mail: a row in the transaction of what it speaks of, sent later through SMTP, once per recipient and event.

`matter` says what the mail is about (`wallet/<id>`), `event` what happened to it (`credits.depleted/3`): the
same mail asked for again is the same row.
"""

import asyncio
import base64
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any, TypedDict

import aiosmtplib
import structlog
from pydantic_core import to_json
from sqlalchemy import (
    Column,
    DateTime,
    Index,
    Integer,
    Row,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    bindparam,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import async_sessionmaker

from kit import clock
from kit.db import Session, is_rebuilding, metadata, uuid7
from kit.notify import CHANNEL, Outcomes
from kit.settings import ServiceSettings
from kit.tables import KIT

log = structlog.get_logger(__name__)

BATCH_MAX = 20
"""Mails sent in one transaction: as many, at most, are sent twice by a crash."""
ATTEMPTS_MAX = 10
BODIES_KEPT_DAYS = 30
"""For how long what a mail said stays, once it was sent or has failed for good."""
SMTP_TIMEOUT_S = 5
POLL_S = 2.0
DUE = "mail"
"""What the sender waits for."""

_TO_BLANK = "state in ('sent', 'failed') and (subject <> '' or text <> '' or html is not null or attachments <> '[]')"

table = Table(
    "mail",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("html", Text),
    Column("attachments", JSONB, nullable=False, server_default="[]"),
    Column("matter", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="queued"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("next_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("sent_at", DateTime(timezone=True)),
    Column("error", Text),
    UniqueConstraint("recipient", "matter", "event"),
    Index("ix_mail_due", "next_at", postgresql_where=text("state = 'queued'")),
    Index("ix_mail_failed", "next_at", postgresql_where=text("state = 'failed'")),
    Index("ix_mail_to_blank", text("coalesce(sent_at, next_at)"), postgresql_where=text(_TO_BLANK)),
    info=KIT,
)
"""Every mail: `queued`, `sent`, or `failed` for good, with the reason."""


class Attachment(TypedDict):
    """A file that goes with a mail."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one address; `html` is an alternative to `text`, never instead of it."""

    to: str
    subject: str
    text: str
    matter: str
    event: str
    html: str | None = None
    attachments: Sequence[Attachment] = ()


_INSERT = text(
    "with made as ("
    " insert into mail (id, recipient, subject, text, html, attachments, matter, event)"
    " select * from unnest(cast(:id as uuid[]), cast(:recipient as text[]), cast(:subject as text[]),"
    " cast(:text as text[]), cast(:html as text[]), cast(:attachments as jsonb[]), cast(:matter as text[]),"
    " cast(:event as text[]))"
    " on conflict (recipient, matter, event) do nothing returning id)"
    " select count(*), case when count(*) > 0 then pg_notify(:channel, :due) end from made"
)


async def send(
    db: Session,
    *,
    to: str,
    subject: str,
    text: str,
    matter: str,
    event: str,
    html: str | None = None,
    attachments: Sequence[Attachment] = (),
) -> None:
    """Have a mail sent once this transaction commits. Asking again for the same one changes nothing."""
    await send_many(db, [Mail(to, subject, text, matter, event, html, attachments)])


async def send_many(db: Session, mails: Sequence[Mail]) -> int:
    """`send` for many, in one statement. Returns how many were new."""
    if not mails or is_rebuilding(db):
        return 0
    columns = {
        "id": [uuid7() for _ in mails],
        "recipient": [m.to.strip() for m in mails],
        "subject": [" ".join(m.subject.split()) for m in mails],
        "text": [m.text for m in mails],
        "html": [m.html for m in mails],
        "attachments": [_stored(m.attachments) for m in mails],
        "matter": [m.matter for m in mails],
        "event": [m.event for m in mails],
    }
    made = await db.scalar(_INSERT, {**columns, "channel": CHANNEL, "due": DUE})
    return int(made or 0)


def _stored(attachments: Sequence[Attachment]) -> str:
    return to_json([{**a, "content": base64.b64encode(a["content"]).decode()} for a in attachments]).decode()


_BLANK = text(
    # By their places, as nobody else changes such rows: joined by id, the planner would read the table for 5,000.
    "update mail set subject = '', text = '', html = null, attachments = '[]' where ctid = any(array("  # noqa: S608
    f"select ctid from mail where {_TO_BLANK} and coalesce(sent_at, next_at) < :before limit 5000)) returning id"
)


async def blank_old(db: Session, now: datetime) -> int:
    """Forget what mails said that were sent, or failed, `BODIES_KEPT_DAYS` ago; at most 5,000 a time; a job's body.

    Their rows stay, for the key that keeps a mail from being sent again.
    """
    blanked = await db.execute(_BLANK, {"before": now - timedelta(days=BODIES_KEPT_DAYS)})
    return len(blanked.all())


class Sender:
    """Sends what is due, oldest first, over one connection; woken by the transaction that queued it.

    Several senders share the work. A crash between the server's acceptance and our commit sends at most
    one batch again; the Message-ID comes from the row, so receivers recognise the second copy. A refusal of
    the recipient or the content for good (5xx) fails the mail at once, another fault after ten attempts within
    hours; failed mails stay in the table with the reason. A server that cannot be reached costs no attempt.
    """

    def __init__(self, sessions: async_sessionmaker[Session], settings: ServiceSettings) -> None:
        self._sessions = sessions
        self._settings = settings
        self._smtp: aiosmtplib.SMTP | None = None

    async def run(self) -> None:
        """Send until cancelled."""
        outcomes = Outcomes(self._settings.worker_database_url)
        listening = asyncio.create_task(outcomes.run())
        try:
            with outcomes.expect(DUE) as due:
                while True:
                    due.clear()
                    try:
                        while await self.send_due(clock.now()):
                            pass
                        await self._hang_up()
                    except (OSError, aiosmtplib.SMTPException, SQLAlchemyError) as error:
                        log.warning("mail_unsent", error=repr(error)[:300])
                        await asyncio.sleep(POLL_S)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(due.wait(), POLL_S)
        finally:
            listening.cancel()
            await self._hang_up()

    async def send_due(self, now: datetime) -> int:
        """Send one batch of what is due; how many were tried. Raises when the server cannot be reached."""
        due = (
            select(table)
            .where(table.c.state == "queued", table.c.next_at <= now)
            .order_by(table.c.next_at)
            .limit(BATCH_MAX)
            .with_for_update(skip_locked=True)
        )
        tried: list[dict[str, Any]] = []
        stopped: asyncio.CancelledError | None = None
        async with self._sessions.begin() as db:
            rows = (await db.execute(due)).all()
            if not rows:
                return 0
            smtp = await self._connected()
            try:
                for row in rows:
                    tried.append({"mail": row.id, **await self._try(smtp, row, now)})
                    if not smtp.is_connected:
                        break  # by this mail, perhaps; the others have not been tried
            except asyncio.CancelledError as stop:  # what was sent is sent, and must be recorded
                stopped = stop
                smtp.close()  # in the middle of a mail: there is nothing left to say
            if tried:
                await db.execute(_RECORD, tried)
        if stopped:
            raise stopped
        return len(tried)

    async def _try(self, smtp: aiosmtplib.SMTP, row: Row[Any], now: datetime) -> dict[str, Any]:
        """Send one mail; what its row becomes."""
        after = {"attempts": row.attempts + 1, "sent_at": None, "next_at": row.next_at}
        try:
            message = as_message(row, self._settings.mail_from, now)
            await smtp.send_message(message)
        except (OSError, ValueError, aiosmtplib.SMTPException) as error:
            code = getattr(error, "code", 0)
            if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
                code = error.recipients[0].code
            # A refused sender is the setting's fault, which may be mended, and not this mail's.
            of_this_mail = code >= 500 and not isinstance(error, aiosmtplib.SMTPSenderRefused)
            # A ValueError is ours: the address or a header can never be sent.
            final = of_this_mail or isinstance(error, ValueError) or after["attempts"] >= ATTEMPTS_MAX
            wait = timedelta(seconds=15 * 2 ** after["attempts"])
            log.warning("mail_refused", mail=str(row.id), final=final, error=repr(error)[:300])
            return {
                **after,
                "state": "failed" if final else "queued",
                "error": repr(error)[:500],
                "next_at": now + wait,
            }
        return {**after, "state": "sent", "sent_at": now, "error": None}

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._smtp is None or not self._smtp.is_connected:
            self._smtp = _client(self._settings)
            await self._smtp.connect()
        return self._smtp

    async def _hang_up(self) -> None:
        """Keep no idle connection: the server would end it, and the next mail would pay for that."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None and smtp.is_connected:
            with contextlib.suppress(OSError, aiosmtplib.SMTPException):
                await smtp.quit()


def _client(settings: ServiceSettings) -> aiosmtplib.SMTP:
    """A connection to be made, as safe as the settings want it; a wrong certificate or password ends it."""
    password = settings.smtp_password
    return aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_username,
        password=password.get_secret_value() if password else None,
        use_tls=settings.smtp_security == "tls",
        start_tls={"starttls": True, "tls": False}.get(settings.smtp_security),
        cert_bundle=str(settings.smtp_ca_file) if settings.smtp_ca_file else None,
        timeout=SMTP_TIMEOUT_S,
    )


_RECORD = update(table).where(table.c.id == bindparam("mail"))  # the other parameters name what is set


def as_message(row: Row[Any], sender: str, now: datetime) -> EmailMessage:
    """The row as a mail. Raises `ValueError` where its address or headers cannot be sent."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = row.recipient
    message["Subject"] = row.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{row.id}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    if len(message["To"].addresses) != 1 or not message["To"].addresses[0].domain:
        raise ValueError("not one address")
    message.set_content(row.text)
    if row.html:
        message.add_alternative(row.html, subtype="html")
    for file in row.attachments:
        kind, _, subtype = file["media_type"].partition("/")
        content = base64.b64decode(file["content"])
        message.add_attachment(content, maintype=kind, subtype=subtype, filename=file["name"])
    return message
