"""A mail server that keeps everything and sends nothing on: SMTP in, a page and JSON out.

GET /api/messages?to=&subject=&after=&limit=   newest first; `after` is an id already seen
DELETE /api/messages                           forget them all
GET /api/message-ids                           how often each came, by the first part of its Message-ID
GET /                                          the list to look at
"""

import argparse
import asyncio
import html
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from itertools import count, islice
from typing import Any

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

MESSAGES_MAX = 100_000
BYTES_MAX = 256 * 2**20
MESSAGE_BYTES_MAX = 16 * 2**20
LIST_MAX = 1_000


@dataclass(frozen=True)
class Message:
    """One mail as it came in. It is taken apart when somebody looks, not while the sender waits."""

    id: int
    sender: str
    to: tuple[str, ...]
    at: datetime
    raw: bytes

    @cached_property
    def parsed(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)

    @cached_property
    def subject(self) -> str:
        return str(self.parsed["subject"] or "")

    def body(self, kind: str) -> str | None:
        """The text of kind `plain` or `html`, if the mail has one."""
        part = self.parsed.get_body(preferencelist=(kind,))
        return None if part is None else str(part.get_content()).replace("\r\n", "\n")

    def is_for(self, address: str) -> bool:
        return any(address.lower() == to.lower() for to in self.to)

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "from": self.sender,
            "to": list(self.to),
            "subject": self.subject,
            "text": self.body("plain"),
            "html": self.body("html"),
            "attachments": [part.get_filename() for part in self.parsed.iter_attachments()],
            "at": self.at.isoformat(),
        }


class MailSink:
    """The newest messages, as many as the bounds allow."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._ids = count(1)

    def keep(self, sender: str, to: Sequence[str], raw: bytes) -> None:
        self._messages.append(Message(next(self._ids), sender, tuple(to), datetime.now(UTC), raw))
        self._bytes += len(raw)
        while len(self._messages) > MESSAGES_MAX or self._bytes > BYTES_MAX:
            self._bytes -= len(self._messages.popleft().raw)

    def find(self, to: str = "", subject: str = "", after: int = 0) -> Iterator[Message]:
        """Newest first: for that address, with those words in the subject, with a higher id."""
        for message in reversed(self._messages):
            if message.id <= after:
                return
            if (not to or message.is_for(to)) and subject.lower() in message.subject.lower():
                yield message

    def clear(self) -> None:
        """Forget everything; ids go on counting, so an `after` stays true."""
        self._messages.clear()
        self._bytes = 0

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        raw = content.encode() if isinstance(content, str) else content or b""
        self.keep(envelope.mail_from or "", envelope.rcpt_tos, raw)
        return "250 OK"

    # HTTP

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self.page),
                Route("/healthz", self.healthz),
                Route("/messages/{id:int}", self.message_page),
                Route("/api/messages", self.get_messages, methods=["GET"]),
                Route("/api/message-ids", self.get_message_ids),
                Route("/api/messages", self.delete_messages, methods=["DELETE"]),
            ]
        )

    async def get_messages(self, request: Request) -> Response:
        asked = request.query_params
        try:
            after, limit = int(asked.get("after") or 0), int(asked.get("limit") or 100)
        except ValueError:
            return JSONResponse({"detail": "after and limit are numbers"}, status_code=400)
        found = self.find(asked.get("to", ""), asked.get("subject", ""), after)
        return JSONResponse([message.as_json() for message in islice(found, max(0, min(limit, LIST_MAX)))])

    async def get_message_ids(self, _: Request) -> Response:
        found = (re.search(rb"^message-id:\s*<([^@>]+)", m.raw, re.IGNORECASE | re.MULTILINE) for m in self._messages)
        return JSONResponse(Counter(id_[1].decode() for id_ in found if id_))

    async def delete_messages(self, _: Request) -> Response:
        self.clear()
        return Response(status_code=204)

    async def healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def page(self, _: Request) -> Response:
        rows = "".join(
            f"<tr><td>{message.at:%H:%M:%S}<td>{html.escape(', '.join(message.to))}"
            f"<td><a href='/messages/{message.id}'>{html.escape(message.subject or '(no subject)')}</a>"
            for message in islice(self.find(), 200)
        )
        return _page("Mail", f"<p>{len(self._messages)} kept<table><tr><th>At (UTC)<th>To<th>Subject{rows}</table>")

    async def message_page(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        message = next((found for found in self.find() if found.id == wanted), None)
        if message is None:
            return _page("No such mail", "<p>It is not kept any more.", status=404)
        text = html.escape(message.body("plain") or "")
        linked = re.sub(r"https?://[^\s<>&]+(?:&amp;[^\s<>&]+)*", r"<a href='\g<0>'>\g<0></a>", text)
        rich = message.body("html")
        # The sandbox keeps a mail's markup from running anything or reading this page.
        frame = f"<iframe sandbox='allow-popups' srcdoc='{html.escape(rich)}'></iframe>" if rich else ""
        head = f"<p>From {html.escape(message.sender)}<br>To {html.escape(', '.join(message.to))}"
        return _page(message.subject, f"{head}<pre>{linked}</pre>{frame}<p><a href='/'>All mail</a>")


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        "<style>body{font:1rem/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "td,th{padding:.2rem 1rem .2rem 0;text-align:left}pre{white-space:pre-wrap}"
        "iframe{width:100%;height:30rem;border:1px solid #ccc}</style>"
        f"<h1>{html.escape(title)}</h1>{body}</html>",
        status_code=status,
    )


async def serve(smtp_port: int, http_port: int, host: str = "127.0.0.1") -> None:
    """Take mail and show it until SIGTERM."""
    sink = MailSink()
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(
        lambda: SMTP(sink, hostname="mailsink", data_size_limit=MESSAGE_BYTES_MAX, enable_SMTPUTF8=True, loop=loop),
        host,
        smtp_port,
    )
    async with smtp:
        config = uvicorn.Config(sink.app(), host=host, port=http_port, log_level="warning", server_header=False)
        await uvicorn.Server(config).serve()


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m stack.mailsink", description=__doc__)
    options.add_argument("--smtp-port", type=int, required=True)
    options.add_argument("--http-port", type=int, required=True)
    options.add_argument("--host", default="127.0.0.1")
    given = options.parse_args()
    asyncio.run(serve(given.smtp_port, given.http_port, given.host))


if __name__ == "__main__":
    main()
