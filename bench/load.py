"""A load client that costs little: requests made beforehand, written to sockets that are kept open.

Each connection has one request under way and sends its next as soon as the answer is complete.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools
import orjson

from kit.db import uuid7


@dataclass
class Load:
    """What became of the requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    times_ms: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def check(self, *wanted: int) -> None:
        """Raise RuntimeError unless every answer was as wanted: 201 or 202, if nothing is said."""
        if set(self.statuses) - set(wanted or (201, 202)):
            raise RuntimeError(f"{dict(self.statuses)}; the last said {self.bodies[-1]!r}")


def post(url: str, path: str, token: str, body: object, **headers: str) -> bytes:
    """A POST as bytes, with an idempotency key of its own."""
    return post_body(url, path, token, orjson.dumps(body), "application/json", **headers)


def get(url: str, path: str, token: str) -> bytes:
    """A GET as bytes."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", f"Authorization: Bearer {token}"]
    return "\r\n".join([*lines, "", ""]).encode()


def post_body(url: str, path: str, token: str, content: bytes, media_type: str, **headers: str) -> bytes:
    """A POST of any content as bytes, with an idempotency key of its own."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        f"Authorization: Bearer {token}",
        f"Idempotency-Key: {uuid7()}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def send(url: str, requests: Sequence[bytes], connections: int, within_s: float = 120) -> Load:
    """Send all, over so many connections, and wait for every answer."""
    load, waiting, loop = Load(), iter(requests), asyncio.get_running_loop()
    host, _, port = urlsplit(url).netloc.partition(":")
    opened = [
        await loop.create_connection(lambda: _Connection(waiting, load, loop.create_future()), host, int(port))
        for _ in range(connections)
    ]
    async with asyncio.timeout(within_s):
        await asyncio.gather(*(connection.ended for _, connection in opened))
    return load


class _Connection(asyncio.Protocol):
    def __init__(self, waiting: Iterator[bytes], load: Load, ended: "asyncio.Future[None]") -> None:
        self._waiting = waiting
        self._load = load
        self._under_way = False
        self.ended = ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        request = next(self._waiting, None)
        if request is None:
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._under_way = True
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._under_way = False
        self._load.times_ms.append((time.perf_counter() - self._sent) * 1000)
        self._load.statuses[self._parser.get_status_code()] += 1
        self._load.bodies.append(self._body)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and not self._under_way:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(exc or ConnectionError("closed without an answer"))
