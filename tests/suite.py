"""The whole suite as a partner system and an operator see it: APIs, mails, topics, and when all is quiet."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from kit.kafka import Kafka
from kit.settings import KafkaSettings
from stack.client import ADMIN, Tandem
from stack.processes import SERVICES
from stack.processes import Suite as Processes

SETTLE_S = 60.0


class Suite(Tandem):
    """Running services, mostly all five, and what tests do with them."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.kafka = KafkaSettings.model_validate(processes.parts.kafka_login()).kafka
        """As an operator, who may look at everything."""
        self._listens: dict[str, list[str]] = {}
        self._databases: dict[str, asyncpg.Connection] = {}
        self._watch: Watch | None = None
        super().__init__(
            urls={name: service.url for name, service in processes.services.items()},
            issuer=processes.issuer.url,
            mailbox=processes.mail.url,
        )

    # -- looking behind the APIs ---------------------------------------------------------------------

    async def rows(self, service: str, sql: str, *values: Any) -> list[asyncpg.Record]:
        """What a service's database says, as its worker sees it."""
        return list(await (await self._database(service)).fetch(sql, *values))

    async def execute(self, service: str, sql: str, *values: Any) -> None:
        await (await self._database(service)).execute(sql, *values)

    async def _database(self, service: str) -> asyncpg.Connection:
        held = self._databases.get(service)
        if held is None or held.is_closed():
            held = await asyncpg.connect(self.processes.parts.database(service).worker)
            self._databases[service] = held
        return held

    async def settle(self, within_s: float = SETTLE_S) -> None:
        """Wait until nothing is on its way: outboxes and waiting rooms empty, no bulk work left, every group at the
        end of its topics, seen twice with no new record between."""
        async with asyncio.timeout(within_s):
            before: object = None
            while True:
                try:
                    now = await self._quiet()
                except (KafkaError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    now = None  # a test that killed Kafka or PostgreSQL waits for them here
                if now is not None and now == before:
                    return
                before = now
                await asyncio.sleep(0.1)

    async def _quiet(self) -> Mapping[TopicPartition, int] | None:
        """The ends of all topics if nothing is on its way, else None."""
        for name in self.processes.services:
            (row,) = await self.rows(
                name,
                "select (select count(*) from outbox) + (select count(*) from waiting)"
                " + (select count(*) from mail where state = 'queued' and attempts = 0)"
                " + (select count(*) from bulk_jobs where state in ('checking', 'running')) as n",
            )
            if row["n"]:
                return None
        if self._watch is None:
            self._watch = await Watch(self.kafka).start()
        return await self._watch.caught_up(await self.listening())

    async def aclose(self) -> None:
        for db in self._databases.values():
            await db.close()
        if self._watch:
            await self._watch.stop()
        await super().aclose()

    async def listening(self) -> Mapping[str, list[str]]:
        """The topics each service reads, as it says itself."""
        for name in self.processes.services:
            if name not in self._listens:
                self._listens[name] = (await self.http.get(f"{self.urls[name]}/readyz")).json()["listens"]
        return self._listens

    async def _rewind(self, group: str) -> None:
        """Set a group without members back to the start of its topics."""
        consumer = AIOKafkaConsumer(**self.kafka.client, group_id=group, enable_auto_commit=False)
        await consumer.start()
        try:
            metadata = await consumer._client.fetch_all_metadata()
            partitions = [
                TopicPartition(topic, number)
                for topic in (await self.listening())[group]
                for number in metadata.partitions_for_topic(topic) or ()
            ]
            consumer.assign(partitions)
            await consumer.commit(dict.fromkeys(partitions, 0))
        finally:
            await consumer.stop()

    async def replay(self, services: Iterable[str] = SERVICES) -> None:
        """Make services read every topic again from its start, with their memory of event ids emptied."""
        await self.listening()
        for name in services:
            self.processes.service(name).stop()
            await self.execute(name, "delete from inbox")
            await self._rewind(name)
        for name in services:
            self.processes.service(name).launch()
        for name in services:
            self.processes.service(name).await_ready()
        await self.settle()

    # -- a small world -------------------------------------------------------------------------------

    async def partner(self, *, wallet: bool = True, credits: int = 0, kind: str = "default") -> dict[str, Any]:
        """A partner with one admin, known to every service, and credits in its wallet."""
        name = f"Partner {uuid4().hex[:6]}"
        partner: dict[str, Any] = await self.post(
            "contracts", "/v1/partners", {"name": name, "kind": kind, "wallet": wallet, "language": "en"}
        )
        partner["admin"] = f"admin@{name.split()[1]}.example"
        await self.post(
            "contracts",
            f"/v1/partners/{partner['partner_id']}/admins",
            {"email": partner["admin"], "name": "Ada Admin"},
        )
        await self.settle()
        if credits:
            await self.top_up(partner["partner_id"], credits)
        return partner

    async def top_up(self, partner_id: str, credits: int, **more: Any) -> dict[str, Any]:
        body = {"credits": credits, "reason": "a test"}
        answer: dict[str, Any] = await self.post("billing", f"/v1/wallets/{partner_id}/top-ups", body, **more)
        return answer

    async def wallet(self, partner_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.get("billing", f"/v1/wallets/{partner_id}")
        return found

    async def course(self, *, credits: int | None = None, seats: int | None = None, **more: Any) -> dict[str, Any]:
        """A published course of the platform's own, offered to every partner for `credits`."""
        course: dict[str, Any] = await self.post("catalog", "/v1/courses", self.course_body(credits, seats) | more)
        await self.settle()
        return course

    def course_body(self, credits: int | None, seats: int | None = None) -> dict[str, Any]:
        starts_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=100)
        return {
            "supplier_id": None,
            "offered_by": "platform",
            "title": f"Course {uuid4().hex[:6]}",
            "kind": "elearning" if seats is None else "classroom",
            "language": "en",
            "list_price": {"amount": 50_000, "currency": "EUR"},
            "vat": "standard",
            "certificate": True,
            "duration_minutes": 60,
            "credits": {"scope": "none" if credits is None else "all", "general_value": credits, "values": {}},
            "sessions": []
            if seats is None
            else [
                {
                    "starts_at": starts_at.isoformat(),
                    "ends_at": (starts_at + timedelta(hours=7)).isoformat(),
                    "place": "Utrecht",
                    "capacity": seats,
                }
            ],
        }

    async def supplier_course(
        self, supplier: Mapping[str, Any], *, price: int = 100_000, seats: int = 10, **more: Any
    ) -> Any:
        """A classroom course of a supplier; `price` in cents, net of VAT."""
        return await self.course(
            credits=None,
            seats=seats,
            supplier_id=supplier["supplier_id"],
            offered_by="supplier",
            list_price={"amount": price, "currency": "EUR"},
            **more,
        )

    async def person(self, partner: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        body = {"name": "Pia Participant", "email": f"p{uuid4().hex[:10]}@people.example", "language": "en"}
        if partner:
            body["partner_id"] = partner["partner_id"]
        person: dict[str, Any] = await self.post("enrollment", "/v1/people", body | more)
        return person

    async def customer(self, *, partner: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """A customer whose invoicing details are complete, with one admin."""
        name = f"Customer {uuid4().hex[:6]}"
        body: dict[str, Any] = {
            "name": name,
            "size": "large",
            "language": "en",
            "status": "active",
            "invoicing": {
                "legal_name": f"{name} B.V.",
                "address": {"street": "Kade 1", "postal_code": "3011 AA", "city": "Rotterdam", "country": "NL"},
                "vat_id": "NL004495445B01",
                "registration_number": "24112345",
                "invoice_email": f"invoices@{name.split()[1]}.example",
            },
        }
        if partner:
            body["partner_id"] = partner["partner_id"]
        customer: dict[str, Any] = await self.post("contracts", "/v1/customers", body | more)
        customer["admin"] = f"admin@{name.split()[1]}.example"
        await self.post(
            "contracts",
            "/v1/grants",
            {
                "role": "customer_admin",
                "tenant_kind": "customer",
                "tenant_id": customer["customer_id"],
                "email": customer["admin"],
                "name": "Cato Customer",
            },
        )
        await self.settle()
        return customer

    async def agreement(self) -> dict[str, Any]:
        """The current version of the suppliers' agreement; the first one is published here."""
        current = await self.call("GET", "catalog", "/v1/agreements/current")
        if current.status_code == 404:
            current = await self.call(
                "POST", "catalog", "/v1/agreements", {"title": "Self-service agreement", "text": "We agree."}
            )
        found: dict[str, Any] = current.json()
        return found

    async def supplier(self, *, sites: Iterable[str] = ("public", "customer_portal/*")) -> dict[str, Any]:
        """A supplier that went through its onboarding up to its first course (CAT-2)."""
        name = f"Supplier {uuid4().hex[:6]}"
        user = f"user@{name.split()[1]}.example"
        supplier: dict[str, Any] = await self.post(
            "catalog",
            "/v1/suppliers",
            {
                "name": name,
                "size": "large",
                "language": "en",
                "users": [{"email": user, "name": "Sam Supplier"}],
                "invoicing": {
                    "legal_name": f"{name} B.V.",
                    "address": {"street": "Plein 2", "postal_code": "3511 AB", "city": "Utrecht", "country": "NL"},
                    "vat_id": "NL004495445B01",
                    "registration_number": "30112345",
                    "invoice_email": f"billing@{name.split()[1]}.example",
                },
            },
        )
        supplier["user"] = user
        at = f"/v1/suppliers/{supplier['supplier_id']}"
        await self.put("catalog", f"{at}/sites", {"sites": list(sites)})
        agreement = await self.agreement()
        await self.post(
            "catalog", f"{at}/agreement", {"version": agreement["version"], "accepted_by": "Sam Supplier"}, by=user
        )
        service = await self.get("catalog", "/v1/services/enrollments")
        conditions = [condition["id"] for condition in service["conditions"]]
        await self.put("catalog", f"{at}/services/enrollments", {"on": True, "conditions": conditions}, by=user)
        return supplier

    async def associate(
        self, person: Mapping[str, Any], course: Mapping[str, Any], *, wait: int = 20, **more: Any
    ) -> Any:
        """A partner admin puts a person on a course; the answer, with the outcome where it came in time."""
        return await self.enroll(person, course, "associated", wait=wait, **more)

    async def enroll(
        self, person: Mapping[str, Any], course: Mapping[str, Any], way: str, *, wait: int = 0, **more: Any
    ) -> Any:
        body = {"person_id": person["person_id"], "course_id": course["course_id"], "way": way}
        if course.get("sessions"):
            body["session_id"] = course["sessions"][0]["session_id"]
        return await self.call(
            "POST", "enrollment", "/v1/enrollments", body, headers={"Prefer": f"wait={wait}"} if wait else {}, **more
        )

    async def enrollment(self, enrollment_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.get("enrollment", f"/v1/enrollments/{enrollment_id}")
        return found


class Watch:
    """Whether groups have read their topics to the end. Holds its connections until `stop`."""

    def __init__(self, kafka: Kafka) -> None:
        self._admin = AIOKafkaAdminClient(**kafka.client)
        self._consumer = AIOKafkaConsumer(**kafka.client)

    async def start(self) -> "Watch":
        await self._admin.start()
        await self._consumer.start()
        return self

    async def stop(self) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def caught_up(self, listens: Mapping[str, Iterable[str]]) -> Mapping[TopicPartition, int] | None:
        """The ends of all topics that the groups read, or None where one of them lags."""
        metadata = await self._consumer._client.fetch_all_metadata()
        reads = {
            group: [
                TopicPartition(topic, number)
                for topic in topics
                for number in metadata.partitions_for_topic(topic) or ()
            ]
            for group, topics in listens.items()
        }
        everything = list({partition for partitions in reads.values() for partition in partitions})
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(everything)
        for group, partitions in reads.items():
            committed = await self._admin.list_consumer_group_offsets(group)
            for partition in partitions:
                # Where nothing was read yet, no offset is committed. These topics lose no records while tests run.
                at = committed[partition].offset if partition in committed else 0
                if at < ends[partition]:
                    return None
        return ends


__all__ = ["ADMIN", "Suite", "Watch"]
