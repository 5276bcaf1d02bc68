"""A wire between a service and what it depends on: a TCP proxy that is a process of its own.

Killed, it is a cut that both ends notice; stopped (SIGSTOP), one that nobody notices: what is sent just
never arrives, until the wire goes on and delivers it late.

`python -m chaos.wire --port 4000 --to 127.0.0.1:5432`
"""

import argparse
import asyncio
from typing import cast

import uvloop


class End(asyncio.Protocol):
    """One side of a connection; what it reads, the other side writes."""

    def __init__(self, other: "End | None" = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.other:
            self.other.joined(self)

    def joined(self, other: "End") -> None:
        """The other side is there: give it what came before."""
        self.other = other
        if self.transport is None or self.transport.is_closing():
            other.close()
        elif other.transport:
            other.transport.write(self._early)

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)
        else:
            self._early += data

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other:
            self.other.close()

    def close(self) -> None:
        if self.transport:
            self.transport.close()


class Entrance(End):
    """The side of whoever calls: it waits until the callee has answered, or is hung up on."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._to = host, port
        self._calling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._calling = asyncio.get_running_loop().create_task(self._call())

    async def _call(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: End(self), *self._to)
        except OSError:
            self.close()


async def serve(port: int, to: str) -> None:
    """Pass everything on until killed."""
    host, _, far = to.rpartition(":")
    server = await asyncio.get_running_loop().create_server(lambda: Entrance(host, int(far)), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="python -m chaos.wire", description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--to", required=True, help="host:port")
    given = options.parse_args()
    uvloop.run(serve(given.port, given.to))
