"""A night in which ten thousand services end, by the contracts service as it runs: from the moment its clock passes
midnight until the last of them has ended and its fact is on Kafka. Progress is read from its API meanwhile."""

import asyncio
import time
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import uvloop

from bench.results import Result
from kit import topics
from kit.kafka import Kafka
from schemas.event import all_events
from stack.client import Tandem
from stack.parts import Parts
from stack.places import HOME
from stack.processes import Suite, suite
from tests.scheduled import SCHEDULED

DUE = 10_000
LAST_DAY = date(2026, 6, 30)
WITHIN_S = 300
KINDS = {"n": "int", "customer_id": "uuid", "last_day": "date"}


class NotExact(Exception):
    """Not every service ended exactly once."""


def run(parts: Parts) -> list[Result]:
    with suite(HOME / "bench-suite", services=(), parts=parts) as tandem:
        return uvloop.run(_run(tandem))


async def _run(tandem: Suite) -> list[Result]:
    elsewhere = [event for event in all_events() if event.source != "contracts"]
    await topics.apply(Kafka(tandem.parts.kafka), topics.declared(elsewhere, "bench.dlq"), replication=1)
    await asyncio.to_thread(tandem.add, "contracts")
    client = Tandem({"contracts": tandem.service("contracts").url}, tandem.issuer.url, tandem.mail.url)
    db = await asyncpg.connect(tandem.service("contracts").env["CONTRACTS_WORKER_DATABASE_URL"])
    try:
        partner = await _prepare(client, db)
        took, seen = await _night(client, db, partner)
        await _check(db)
    finally:
        await db.close()
        await client.aclose()
    note = f"{DUE} due in one night, all ended and announced in {took:.1f} s; progress was seen {len(seen)} times"
    return [Result("terminations_due_per_s", DUE / took, "services/s", target=DUE / 60, note=note)]


async def _prepare(client: Tandem, db: asyncpg.Connection) -> str:
    """A partner whose clock stands before midnight, its customer, and the agreed ends."""
    partner = await client.post("contracts", "/v1/partners", {"name": "Learning Lab", "wallet": False})
    partner_id = str(partner["partner_id"])
    clock = {"tenant_kind": "partner", "tenant_id": partner_id, "time": "2026-06-30T12:00:00Z"}
    await client.post("contracts", "/v1/test-clocks", clock)
    body = {"name": "Zilverberg", "partner_id": partner_id}
    customer = await client.post("contracts", "/v1/customers", body)
    wanted = {"n": DUE, "customer_id": UUID(customer["customer_id"]), "last_day": LAST_DAY}
    for statement in SCHEDULED:
        named = [(name, value) for name, value in wanted.items() if f":{name}" in statement]
        for place, (name, _) in enumerate(named, 1):
            statement = statement.replace(f":{name}", f"${place}::{KINDS[name]}")
        await db.execute(statement, *(value for _, value in named))
    await db.execute("analyze terminations, service_contracts")
    return partner_id


async def _night(client: Tandem, db: asyncpg.Connection, partner: str) -> tuple[float, list[int]]:
    """How long it took, and the different states of progress that its API showed."""
    seen: list[int] = []
    began = time.perf_counter()
    await client.post("contracts", f"/v1/test-clocks/{partner}/advance", {"time": "2026-06-30T22:00:00Z"})
    async with asyncio.timeout(WITHIN_S):
        while True:
            nights: Any = (await client.get("contracts", "/v1/termination-nights"))["items"]
            if nights and nights[0]["ended"] not in seen:
                seen.append(nights[0]["ended"])
            if seen and seen[-1] == DUE and not await db.fetchval("select count(*) from outbox"):
                return time.perf_counter() - began, seen
            await asyncio.sleep(0.1)


async def _check(db: asyncpg.Connection) -> None:
    """Raises `NotExact` unless every service ended once, with one step each."""
    ended = await db.fetchval("select count(*) from terminations where state = 'ended'")
    services = await db.fetchval("select count(*) from service_contracts where state = 'ended'")
    steps = await db.fetchval("select count(distinct termination_id) from termination_steps where step = 'ended'")
    if not ended == services == steps == DUE:
        raise NotExact(f"{ended} terminations, {services} services, {steps} steps")
