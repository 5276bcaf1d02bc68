"""The smallest service that does what every consumer does: claim, move a row, announce what follows.

Its events are those of the main job under names of their own, about 550 bytes and nine headers each.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import asyncpg
import orjson
from sqlalchemy import text

from kit import clock, migrations, outbox, topics
from kit.consumer import batches
from kit.db import Database, Session, uuid7
from kit.kafka import Kafka
from kit.settings import ServiceSettings
from schemas.enrollment import EnrollmentApproved, EnrollmentConfirmed
from stack.parts import Parts

SUPPLIER, PARTNER, CUSTOMER, COURSE = (uuid7() for _ in range(4))


class Approved(EnrollmentApproved):
    """What the sample reads."""

    topic: ClassVar[str] = "bench.approved"


class Confirmed(EnrollmentConfirmed):
    """What it announces."""

    topic: ClassVar[str] = "bench.confirmed"


CONFIRM = text(
    "update places p set state = 'confirmed', version = p.version + 1 from unnest(cast(:ids as uuid[])) as n (id)"
    " where p.enrollment_id = n.id and p.state = 'approved' returning p.enrollment_id, p.version"
)


@batches(Approved)
async def on_approved(db: Session, events: Sequence[Approved]) -> None:
    """Confirm what is approved; a second time changes nothing."""
    by_id = {event.enrollment_id: event for event in events}
    moved = await db.execute(CONFIRM, {"ids": sorted(by_id)})
    outbox.add(db, *(confirmed(by_id[id_], version) for id_, version in moved))


def approved(number: int) -> list[Approved]:
    """That many different approvals."""
    now = clock.now()
    return [
        Approved(
            version=1,
            enrollment_id=uuid7(),
            person_id=uuid7(),
            course_id=COURSE,
            supplier_id=SUPPLIER,
            partner_id=PARTNER,
            customer_id=CUSTOMER,
            way="associated",
            payment="credits",
            credits=5,
            approved_by="Ada Admin <ada.admin@partner.example>",
            approved_at=now,
        )
        for _ in range(number)
    ]


def confirmed(event: Approved, version: int) -> Confirmed:
    """The same enrollment, one step on."""
    return Confirmed(
        version=version,
        enrollment_id=event.enrollment_id,
        person_id=event.person_id,
        course_id=event.course_id,
        supplier_id=event.supplier_id,
        partner_id=event.partner_id,
        customer_id=event.customer_id,
        way=event.way,
        payment=event.payment,
        credits=event.credits,
        confirmed_at=clock.now(),
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """Where the sample's database and broker are."""

    settings: ServiceSettings
    database: Database
    admin_url: str

    @property
    def kafka(self) -> Kafka:
        return self.settings.kafka

    async def clear(self, events: Sequence[Approved] = ()) -> None:
        """Forget all that was handled; these enrollments are approved. The disk starts even, too."""
        db = await asyncpg.connect(self.settings.worker_database_url)
        try:
            await db.execute("truncate places, inbox, outbox")
            rows = [(event.enrollment_id, "approved", 1) for event in events]
            await db.copy_records_to_table("places", records=rows)
            await db.execute("analyze places")
        finally:
            await db.close()
        admin = await asyncpg.connect(self.admin_url)
        try:
            await admin.execute("checkpoint")
        finally:
            await admin.close()


@asynccontextmanager
async def sample(parts: Parts) -> AsyncIterator[Sample]:
    """The sample's database, migrated, and its topics, on fresh parts."""
    urls = parts.database("bench")
    settings = ServiceSettings.model_validate(
        {
            "database_url": urls.api,
            "worker_database_url": urls.worker,
            "owner_database_url": urls.owner,
            "KAFKA_BOOTSTRAP_SERVERS": parts.kafka,
            "OIDC_ISSUER": "http://issuer.example",
            "LINK_SECRET": "of no use here, and 32 letters long",
        }
    )
    await asyncio.to_thread(migrations.upgrade, Path(__file__).parent / "migrations", settings)
    await topics.apply(Kafka(parts.kafka), topics.declared([Approved, Confirmed], "bench.dlq"), replication=1)
    database = Database(settings, "bench")
    try:
        yield Sample(settings, database, parts.postgres_admin_url)
    finally:
        await database.close()


def outbox_row(event: Approved) -> tuple[str, bytes, bytes, str]:
    """Topic, key, payload and headers as the outbox has them."""
    return event.topic, event.aggregate_id.encode(), event.value(), orjson.dumps(event.headers()).decode()
