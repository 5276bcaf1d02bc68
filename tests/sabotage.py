"""A service with one guarantee of the kit broken on purpose: `python tests/sabotage.py <how> <service> run …`.

The checker of `chaos` must see each. Nothing of the kit can be switched off in a real service.
"""

import asyncio
import random
import runpy
import sys
from collections.abc import Sequence
from typing import Any

from faststream.kafka import KafkaMessage
from sqlalchemy import text

from kit import consumer, inbox, outbox, relay


def no_inbox() -> None:
    """Every delivery of a record is handled, as if it had never been seen."""
    inbox._CLAIM = text(
        "with seen as (insert into inbox (consumer, event_id) select :c, * from unnest(cast(:ids as uuid[]))"
        " on conflict do nothing) select unnest(cast(:ids as uuid[]))"
    )


def offsets_first() -> None:
    """The offsets are committed before the records are handled."""
    honest = consumer.Consumer._take

    async def take(self: consumer.Consumer, message: KafkaMessage) -> None:
        await message.consumer.commit()
        await asyncio.sleep(5)  # the time in which a crash shows
        await honest(self, message)

    consumer.Consumer._take = take  # type: ignore[method-assign]


def cursor_relay() -> None:
    """The relay remembers the last id it has sent, and takes everything up to it as published."""

    class Cursor:
        id = 0

        async def rise(self, reader: object) -> None:
            """It rises with what is sent, and only then."""

    honest = relay.Relay._enqueue

    async def enqueue(self: relay.Relay, producer: Any, partitions: dict[str, int], rows: Sequence[Any]) -> list[Any]:
        Cursor.id = max([Cursor.id, *(row["id"] for row in rows)])
        return await honest(self, producer, partitions, rows)

    relay._Floor = Cursor  # type: ignore[assignment,misc]
    relay.Relay._enqueue = enqueue  # type: ignore[method-assign]
    relay._DELETE = "delete from outbox where id <= (select max(id) from unnest($1::bigint[]) as sent(id))"
    _slow_disk()


def _slow_disk() -> None:
    """Some commits take a while, so that ids become visible in another order than they were given in."""
    honest = outbox.write_collected

    def write(session: Any) -> None:
        honest(session)
        if random.random() < 0.2:
            session.execute(text("select pg_sleep(0.05)"))

    outbox.write_collected = write


if __name__ == "__main__":
    how, service = sys.argv[1:3]
    {f.__name__: f for f in (no_inbox, offsets_first, cursor_relay)}[how]()
    sys.argv[1:3] = []
    runpy.run_module(service, run_name="__main__")
