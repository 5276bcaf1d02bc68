"""Twenty thousand charges against one wallet by the billing service as it runs, relay and all, against
sixteen workers that each lock the wallet's row for every charge, decide and write the same.

The charges wait in Kafka while billing is down. The clock starts when its first batch is decided and
stops when the last charge is committed; then the ledger is checked to the credit.
"""

import asyncio
import time
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson
import uvloop

from bench.pairs import paired
from bench.results import Result
from bench.wire import send
from kit import clock, topics
from kit.db import uuid7
from kit.kafka import Kafka
from schemas.credits import CreditsCharged
from schemas.enrollment import EnrollmentApproved
from schemas.event import all_events
from schemas.partner import PartnerChanged
from stack.client import Tandem
from stack.parts import Parts
from stack.places import HOME
from stack.processes import Suite, suite

CHARGES = 20_000
NAIVE_CHARGES = 2_000
NAIVE_WORKERS = 16
PRICE = 3
CREDITS = 1_000_000
RUNS = 3


class NotExact(Exception):
    """The ledger does not hold what was charged."""


def run(parts: Parts) -> list[Result]:
    with suite(HOME / "bench-suite", services=(), parts=parts) as tandem:
        return uvloop.run(_run(tandem))


async def _run(tandem: Suite) -> list[Result]:
    elsewhere = [event for event in all_events() if event.source != "billing"]
    await topics.apply(Kafka(tandem.parts.kafka), topics.declared(elsewhere, "bench.dlq"), replication=1)
    await asyncio.to_thread(tandem.add, "billing")
    urls = {"billing": tandem.service("billing").url}
    client = Tandem(urls, tandem.issuer.url, tandem.mail.url)
    try:
        bench = Billing(tandem, client)
        hot, naive = await bench.wallet(), await bench.wallet()

        async def by_billing() -> float:
            return await bench.charge_through_kafka(hot)

        async def by_locking() -> float:
            return await bench.charge_by_locking(naive)

        pairs = await paired(by_billing, by_locking, runs=RUNS)
    finally:
        await client.aclose()
    note = f"exact to the credit each time; {pairs.note}"
    return [Result("wallet_hot_vs_naive", pairs.ours, "charges/s", pairs.ratio, 8, note=note)]


class Billing:
    """A running billing service, its database and its API."""

    def __init__(self, tandem: Suite, client: Tandem) -> None:
        self.tandem = tandem
        self.service = tandem.service("billing")
        self.database_url = self.service.env["BILLING_WORKER_DATABASE_URL"]
        self.client = client

    async def wallet(self) -> UUID:
        """A partner's new wallet, filled by staff."""
        partner = PartnerChanged(version=1, partner_id=uuid7(), name="Learning Lab", wallet=True)
        await send(Kafka(self.tandem.parts.kafka), [partner])
        path = f"/v1/wallets/{partner.partner_id}"
        async with asyncio.timeout(30):
            while (await self.client.call("GET", "billing", path)).status_code != 200:
                await asyncio.sleep(0.1)
        await self.client.post("billing", f"{path}/top-ups", {"credits": CREDITS, "reason": "a benchmark"})
        return partner.partner_id

    async def charge_through_kafka(self, partner_id: UUID) -> float:
        """Charges a second, from records that wait in Kafka."""
        await asyncio.to_thread(self.service.stop)
        now = clock.now()
        await send(Kafka(self.tandem.parts.kafka), _approved(CHARGES, partner_id))
        db = await asyncpg.connect(self.database_url)
        try:
            last = "select last_number from wallets where partner_id = $1"
            until = await db.fetchval(last, partner_id) + 2 * CHARGES
            await asyncio.to_thread(self.service.start)
            async with asyncio.timeout(120):
                while await db.fetchval(last, partner_id) < until:
                    await asyncio.sleep(0.01)
            ended = clock.now()
            began: datetime = await db.fetchval("select min(decided_at) from charges where decided_at > $1", now)
            await self.check(db, partner_id)
        finally:
            await db.close()
        return CHARGES / (ended - began).total_seconds()

    async def check(self, db: asyncpg.Connection, partner_id: UUID) -> None:
        """Every charge once, the wallet less exactly that, and the ledger in balance. Raises `NotExact`."""
        charged = await db.fetchval(
            "select count(*) from charges where partner_id = $1 and state = 'charged' and captured = $2",
            partner_id,
            PRICE,
        )
        wallet = await self.client.get("billing", f"/v1/wallets/{partner_id}")
        check = await self.client.get("billing", "/v1/ledger/check")
        faulty = str(partner_id) in str(check["faults"])
        if charged % CHARGES or wallet["available"] != CREDITS - PRICE * charged or check["total"] or faulty:
            raise NotExact(f"{charged} charges, wallet {wallet}, ledger {check}")

    async def charge_by_locking(self, partner_id: UUID) -> float:
        """Charges a second, one transaction each, on the same database."""
        pool = await asyncpg.create_pool(self.database_url, min_size=NAIVE_WORKERS, max_size=NAIVE_WORKERS)
        left = iter(_approved(NAIVE_CHARGES, partner_id))

        async def work() -> None:
            async with pool.acquire() as db:
                for event in left:
                    await _charge(db, event)

        async with pool:
            began = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(NAIVE_WORKERS)))
            return NAIVE_CHARGES / (time.perf_counter() - began)


def _approved(number: int, partner_id: UUID) -> list[EnrollmentApproved]:
    now = clock.now()
    return [
        EnrollmentApproved(
            version=1,
            enrollment_id=uuid7(),
            person_id=uuid7(),
            course_id=uuid7(),
            partner_id=partner_id,
            way="associated",
            payment="credits",
            credits=PRICE,
            approved_by="admin",
            approved_at=now,
        )
        for _ in range(number)
    ]


async def _charge(db: asyncpg.pool.PoolConnectionProxy, event: EnrollmentApproved) -> None:
    """What one would write first, and as right: claim the event, lock, look, write, announce, commit. Its lots
    alone it does not keep."""
    async with db.transaction():
        await db.execute("insert into inbox (consumer, event_id) values ('naive', $1)", event.event_id)
        wallet = await db.fetchrow(
            "select available, spent, last_number from wallets where partner_id = $1 for update", event.partner_id
        )
        if await db.fetchval("select true from charges where enrollment_id = $1", event.enrollment_id):
            return
        if wallet is None or wallet["available"] < event.credits:
            raise NotExact("the naive wallet is empty")
        number, available = wallet["last_number"], wallet["available"] - event.credits
        await db.execute(
            "insert into entries (partner_id, number, cause_id, kind, account, credits, balance_after, actor, reason,"
            " at) values ($1, $2, $3, 'capture', 'available', $4, $5, 'admin', 'enrollment.approved', now()),"
            " ($1, $6, $3, 'capture', 'spent', $7, $8, 'admin', 'enrollment.approved', now())",
            event.partner_id,
            number + 1,
            event.enrollment_id,
            -PRICE,
            available,
            number + 2,
            event.credits,
            wallet["spent"] + event.credits,
        )
        await db.execute(
            "insert into charges (enrollment_id, partner_id, state, version, credits, captured, refunded, available,"
            " decided_at) values ($1, $2, 'charged', 1, $3, $3, 0, $4, now())",
            event.enrollment_id,
            event.partner_id,
            event.credits,
            available,
        )
        await db.execute(
            "update wallets set available = $3, spent = spent + $2, last_number = last_number + 2,"
            " version = version + 1 where partner_id = $1",
            event.partner_id,
            event.credits,
            available,
        )
        charged = CreditsCharged(
            version=1,
            enrollment_id=event.enrollment_id,
            partner_id=event.partner_id,
            credits=event.credits,
            available=available,
        )
        await db.execute(
            "insert into outbox (topic, key, payload, headers) values ($1, $2, $3, $4)",
            charged.topic,
            charged.aggregate_id.encode(),
            charged.value(),
            orjson.dumps(charged.headers()).decode(),
        )
