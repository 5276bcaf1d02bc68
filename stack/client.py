"""A partner system's view of a running suite: tokens from the issuer, calls to the services' APIs, mails sent."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

ADMIN = "admin@tandem.example"


class Unexpected(Exception):
    """A call was answered otherwise than the story needs."""


@dataclass
class Tandem:
    """The addresses of a running suite and a connection pool to it. Close it with `await aclose()`."""

    urls: Mapping[str, str]
    issuer: str
    mailbox: str
    timeout_s: float = 60.0
    _tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        self.http = httpx.AsyncClient(timeout=self.timeout_s, limits=limits)

    async def aclose(self) -> None:
        await self.http.aclose()

    async def token(self, email: str) -> str:
        """A bearer token for whoever has this address; kept for the life of the client."""
        if email not in self._tokens:
            answer = await self.http.post(f"{self.issuer}/token", data={"email": email, "name": email.split("@")[0]})
            answer.raise_for_status()
            self._tokens[email] = answer.json()["access_token"]
        return self._tokens[email]

    async def call(
        self,
        method: str,
        service: str,
        path: str,
        json: Any = None,
        *,
        by: str = ADMIN,
        key: str | None = None,
        tenant: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """One request, signed in as `by`, with a new idempotency key unless one is given."""
        sent = {"Authorization": f"Bearer {await self.token(by)}", **(headers or {})}
        if method not in ("GET", "HEAD"):
            sent["Idempotency-Key"] = key or str(uuid4())
        if tenant:
            sent["Tandem-Tenant"] = tenant
        return await self.http.request(method, self.urls[service] + path, json=json, headers=sent, **more)

    async def get(self, service: str, path: str, *, by: str = ADMIN, tenant: str | None = None, **query: Any) -> Any:
        """What a GET answers; anything but success raises `Unexpected`."""
        return ok(await self.call("GET", service, path, by=by, tenant=tenant, params=query or None)).json()

    async def post(self, service: str, path: str, json: Any = None, **more: Any) -> Any:
        answer = ok(await self.call("POST", service, path, json, **more))
        return answer.json() if answer.content else None

    async def put(self, service: str, path: str, json: Any = None, **more: Any) -> Any:
        answer = ok(await self.call("PUT", service, path, json, **more))
        return answer.json() if answer.content else None

    # -- mails and their links -----------------------------------------------------------------------

    async def mails(self, **query: str) -> list[dict[str, Any]]:
        """What the sink received: `to=`, `subject=`."""
        answer = await self.http.get(f"{self.mailbox}/api/messages", params=query)
        found: list[dict[str, Any]] = ok(answer).json()
        return found

    async def mail(self, *, within_s: float = 20.0, **query: str) -> dict[str, Any]:
        """The newest mail that fits, waited for."""
        async with asyncio.timeout(within_s):
            while not (found := await self.mails(**query)):
                await asyncio.sleep(0.05)
        return max(found, key=lambda m: str(m["at"]))

    async def press(self, url: str, action: str, **fields: str) -> httpx.Response:
        """Press a button on a link's page, as a person would after opening it."""
        shown = await self.http.get(url)
        if shown.status_code != 200:
            return shown
        return await self.http.post(url, data={"action": action, **fields})


class WithMailpit(Tandem):
    """A suite whose mailbox is Mailpit, as in docker-compose.yml."""

    async def mails(self, **query: str) -> list[dict[str, Any]]:
        wanted = " ".join(f'{name}:"{value}"' for name, value in query.items() if name in ("to", "subject"))
        at = f"{self.mailbox}/api/v1"
        search = {"query": wanted or "before:2999-01-01", "limit": query.get("limit", "100")}
        found = ok(await self.http.get(f"{at}/search", params=search)).json()["messages"]
        bodies = [ok(await self.http.get(f"{at}/message/{message['ID']}")).json() for message in found]
        return [
            {
                "id": body["ID"],
                "from": body["From"]["Address"],
                "to": [to["Address"] for to in body["To"]],
                "subject": body["Subject"],
                "text": body["Text"].replace("\r\n", "\n"),
                "html": body["HTML"] or None,
                "at": message["Created"],
            }
            for message, body in zip(found, bodies, strict=True)
        ]


def ok(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        request = answer.request
        raise Unexpected(f"{request.method} {request.url} answered {answer.status_code}: {answer.text[:1500]}")
    return answer


def link_in(mail: Mapping[str, Any]) -> str:
    """The first signed link in a mail's text."""
    found = re.search(r"https?://\S+/links/[\w.\-]+", str(mail["text"]))
    if not found:
        raise Unexpected(f"no link in the mail {mail['subject']!r}: {mail['text'][:500]}")
    return found[0]
