"""Clients of the suite: partners' admins, people and their managers, staff; each insists until it is answered, under
the same idempotency key, and writes down what it was promised.

Everything is also sent twice now and then: the same request under one key at two replicas at once, a double click
under two keys, and records of Kafka again as they are or under a new event id.
"""

import asyncio
import csv
import io
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from chaos.checker import COPY_OF, Promise
from stack.client import ADMIN, Unexpected, link_in
from stack.processes import Suite as Processes
from tests.suite import Suite

T = TypeVar("T")

PEOPLE_EACH = 400
PARTNERS = 4
CUSTOMERS = 2
CREDITS = 3_000
POOR_CREDITS = 40
"""Of one partner, so that some are refused."""
SEATS = 40
WORKERS = 64
ATTEMPT_S = 10.0
COPIES_PER_S = 5


@dataclass
class Journal:
    """What the clients did and were told."""

    answers: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By operation, how often each status."""
    attempts: int = 0
    promises: list[Promise] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    """Two answers to one key that name different things, and answers that nobody should get."""
    unanswered: int = 0
    copies: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        return sum(statuses.total() for statuses in self.answers.values())


@dataclass(frozen=True, slots=True)
class Group:
    """The people of one partner or customer, who decides for them, and the courses they may follow."""

    admin: str
    manager: str
    people: list[tuple[str, str, str]]
    """id, name, address"""
    courses: list[dict[str, Any]]
    partner_id: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """An enrollment as a client knows it."""

    id: str
    group: Group
    person: tuple[str, str, str]
    course: dict[str, Any]
    at: float


class World(Suite):
    """Partners with wallets, customers who pay by invoice, courses with and without seats."""

    def __init__(self, processes: Processes) -> None:
        super().__init__(processes)
        self.groups: list[Group] = []

    async def populate(self) -> None:
        """Make everything the load needs, as staff and admins would, and wait until all services know it."""
        elearnings = [await self._course(credits=price) for price in (1, 1, 1, 1, 2, 2, 2, 3, 3, 4)]
        classrooms = [await self._course(credits=2, seats=SEATS) for _ in range(4)]
        supplier = await self.supplier()
        invoiced = [
            await self.post(
                "catalog",
                "/v1/courses",
                self.course_body(None, seats)
                | {"supplier_id": supplier["supplier_id"], "offered_by": "supplier", "certificate": True},
            )
            for seats in (SEATS, 5_000)
        ]
        for number in range(PARTNERS):
            partner = await self.partner(credits=POOR_CREDITS if number == 0 else CREDITS)
            by = {"partner_id": partner["partner_id"]}
            self.groups.append(await self._group(f"P{number}", by, partner["admin"], elearnings + classrooms))
        for number in range(CUSTOMERS):
            customer = await self.customer()
            by = {"customer_id": customer["customer_id"]}
            self.groups.append(await self._group(f"C{number}", by, customer["admin"], invoiced))
        await self.settle(180)

    async def _course(self, **more: Any) -> Any:
        return await self.post("catalog", "/v1/courses", self.course_body(**more))

    async def _group(self, name: str, home: dict[str, str], admin: str, courses: list[dict[str, Any]]) -> Group:
        manager = f"boss-{name}-{uuid4().hex[:6]}@people.example".lower()
        file = io.StringIO()
        rows = csv.writer(file)
        rows.writerow(["name", "email", "language", "manager_email", "roles"])
        rows.writerow([f"Boss {name}", manager, "en", "", "manager"])
        rows.writerows(
            [f"Person {name}x{n}x", f"p{n}-{uuid4().hex[:6]}-{name.lower()}@people.example", "en", manager, ""]
            for n in range(PEOPLE_EACH)
        )
        job = await self.post(
            "enrollment",
            "/v1/people-imports",
            params={"start": "true", **home},
            headers={"Content-Type": "text/csv"},
            content=file.getvalue(),
        )
        async with asyncio.timeout(180):
            while job["state"] not in ("done", "failed"):
                await asyncio.sleep(0.3)
                job = await self.get("enrollment", f"/v1/people-imports/{job['id']}")
        if job["done"] != PEOPLE_EACH + 1:
            raise Unexpected(f"not everybody was imported: {job}")
        ((column, value),) = home.items()
        found = await self.rows("enrollment", f"select id, name, email from people where {column} = $1", UUID(value))
        people = [(str(row["id"]), row["name"], row["email"]) for row in found if row["email"] != manager]
        return Group(admin, manager, people, courses, home.get("partner_id"))


class Load:
    """Sends operations at a steady rate until stopped; then waits for the answers that are still to come."""

    def __init__(self, world: World, rate: float, seed: int) -> None:
        self.world = world
        self.journal = Journal()
        self._rate = rate
        self._chance = random.Random(f"load/{seed}")
        self._urls = {
            name: [p.url for p in service.processes if p.role in ("all", "api")]
            for name, service in world.processes.services.items()
        }
        self._http = httpx.AsyncClient(
            timeout=ATTEMPT_S, limits=httpx.Limits(max_connections=2 * WORKERS, max_keepalive_connections=WORKERS)
        )
        self._asked: deque[Place] = deque(maxlen=2_000)
        self._placed: deque[Place] = deque(maxlen=2_000)
        self._began = 0.0
        self._turns = 0
        self._stopping = False
        self._give_up_at = float("inf")
        self._what: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self.associate, 34),
            (self.ask, 22),
            (self.decide, 18),
            (self.press, 6),
            (self.withdraw, 2),
            (self.cancel, 8),
            (self.complete, 12),
            (self.top_up, 4),
            (self.add_person, 2),
        ]

    async def run(self, stop: asyncio.Event, grace_s: float = 90) -> Journal:
        """Work until `stop` is set; whoever still has no answer `grace_s` later gives up."""
        self._began = time.monotonic()
        workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
        copying = asyncio.create_task(self._copy_records())
        await stop.wait()
        self._stopping = True
        self._give_up_at = time.monotonic() + grace_s
        copying.cancel()
        await asyncio.gather(copying, return_exceptions=True)
        await asyncio.gather(*workers)
        await self._http.aclose()
        return self.journal

    async def _work(self) -> None:
        kinds, weights = zip(*self._what, strict=True)
        while not self._stopping:
            self._turns += 1
            # In time, or as soon as can be where an outage made us late.
            await asyncio.sleep(max(0.0, self._began + self._turns / self._rate - time.monotonic()))
            if not self._stopping:
                (kind,) = self._chance.choices(kinds, weights)
                await kind()

    # -- asking until there is an answer -------------------------------------------------------------

    async def send(
        self,
        what: str,
        method: str,
        service: str,
        path: str,
        body: Any = None,
        *,
        by: str,
        key: str = "",
        wait: int = 0,
    ) -> httpx.Response | None:
        """One operation, at whichever replica answers, again and again under one key. None: nobody did in time."""
        headers = {"Idempotency-Key": key or str(uuid4())} | ({"Prefer": f"wait={wait}"} if wait else {})
        headers["Authorization"] = f"Bearer {await _again(lambda: self.world.token(by))}"
        answer = await self._insist(
            lambda: self._http.request(method, self._anywhere(service) + path, json=body, headers=headers)
        )
        self._note(what, answer)
        return answer

    def _anywhere(self, service: str) -> str:
        return self._chance.choice(self._urls[service])

    async def _insist(self, attempt: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response | None:
        while time.monotonic() < self._give_up_at:
            self.journal.attempts += 1
            try:
                answer = await attempt()
                if answer.status_code < 500 and answer.status_code != 429 and not _still_running(answer):
                    return answer
            except httpx.TransportError:
                pass  # killed, frozen or starting: the next replica may answer
            await asyncio.sleep(self._chance.uniform(0.1, 0.5))
        return None

    def _note(self, what: str, answer: httpx.Response | None) -> None:
        if answer is None:
            self.journal.unanswered += 1
            return
        self.journal.answers[what][str(answer.status_code)] += 1
        if answer.status_code in (400, 401, 403, 415, 422):
            self.journal.contradictions.append(f"{what}: {answer.status_code} {answer.text[:300]}")

    def _promised(self, what: str, id_: str, detail: str = "") -> None:
        self.journal.promises.append(Promise(what, id_, detail))

    # -- what people do ------------------------------------------------------------------------------

    async def associate(self) -> None:
        """A partner's admin puts somebody on a course; now and then twice at once."""
        group = self._chance.choice([g for g in self.world.groups if g.partner_id])
        await self._enroll(group, "associated", group.admin)

    async def ask(self) -> None:
        """Somebody asks for a place."""
        await self._enroll(self._chance.choice(self.world.groups), "requested", None)

    async def _enroll(self, group: Group, way: str, by: str | None) -> None:
        person, course = self._chance.choice(group.people), self._chance.choice(group.courses)
        body = {"person_id": person[0], "course_id": course["course_id"], "way": way}
        if course["sessions"]:
            body["session_id"] = course["sessions"][0]["session_id"]
        key, wait = str(uuid4()), 5 if self._chance.random() < 0.1 else 0
        keys = [key]
        if (luck := self._chance.random()) < 0.08:
            keys = [key, key]  # the same request, sent again by something in between
        elif luck < 0.14:
            keys = [key, str(uuid4())]  # a double click
        answers = await asyncio.gather(
            *(
                self.send(way, "POST", "enrollment", "/v1/enrollments", body, by=by or person[2], key=k, wait=wait)
                for k in keys
            )
        )
        made = [(k, a.json()["enrollment_id"]) for k, a in zip(keys, answers, strict=True) if a and a.is_success]
        for _, id_ in made:
            self._promised("enrollment", id_, person[0])
            place = Place(id_, group, person, course, time.monotonic())
            (self._asked if way == "requested" else self._placed).append(place)
        if len({id_ for k, id_ in made if k == key}) > 1:
            self.journal.contradictions.append(f"one key made two enrollments: {made}")

    def _one_of(self, places: deque[Place], after_s: float) -> Place | None:
        """Some place that is old enough; the oldest are the likeliest."""
        if not places or places[0].at > time.monotonic() - after_s:
            return None
        number = self._chance.randrange(min(len(places), 40))
        place = places[number]
        del places[number]
        return place

    async def _move(self, place: Place, action: str, by: str, said: str, body: Any = None) -> bool:
        path = f"/v1/enrollments/{place.id}/{action}"
        answer = await self._twice_perhaps(action, "enrollment", path, body, by)
        if answer and answer.is_success:
            self._promised(said, place.id)
        return bool(answer and answer.is_success)

    async def _twice_perhaps(self, what: str, service: str, path: str, body: Any, by: str) -> httpx.Response | None:
        key = str(uuid4())
        asked = [self.send(what, "POST", service, path, body, by=by, key=key)]
        if self._chance.random() < 0.1:
            asked.append(self.send(what, "POST", service, path, body, by=by, key=key))
        answers = await asyncio.gather(*asked)
        told = {a.json().get("transaction_id") or a.json().get("state") for a in answers if a and a.is_success}
        if len(told) > 1:
            self.journal.contradictions.append(f"{path} was answered in two ways under one key: {told}")
        return answers[0]

    async def decide(self) -> None:
        """The manager approves, mostly; over the API."""
        place = self._one_of(self._asked, 1.0)
        if place is None:
            return await self.ask()
        approve = self._chance.random() < 0.8
        action, said = ("approve", "approved") if approve else ("decline", "declined")
        if await self._move(place, action, place.group.manager, said):
            self._placed.extend([place] if approve else [])
        elif self._chance.random() < 0.5:
            self._asked.append(place)  # not asked yet, perhaps
        return None

    async def press(self) -> None:
        """The manager opens the link in the mail and presses a button; now and then twice."""
        place = self._one_of(self._asked, 2.0)
        if place is None:
            return await self.ask()
        query = {"to": place.group.manager, "subject": f"{place.person[1]} asks", "limit": "20"}
        found = await _again(lambda: self.world.mails(**query))
        mails = [m for m in found if place.course["title"] in m["subject"]]
        if len(mails) != 1:  # none yet, or of an earlier request too
            self._asked.append(place)
            return await self.decide()
        path = urlsplit(link_in(mails[0])).path
        action, said = ("approve", "approved") if self._chance.random() < 0.8 else ("decline", "declined")
        presses = [self._press(path, action)]
        if self._chance.random() < 0.2:
            presses.append(self._press(path, action))
        if True in await asyncio.gather(*presses):
            self._promised(said, place.id, "by link")
            self._placed.extend([place] if action == "approve" else [])
        return None

    async def _press(self, path: str, action: str) -> bool:
        answer = await self._insist(
            lambda: self._http.post(self._anywhere("enrollment") + path, data={"action": action})
        )
        self._note("link", answer)
        return bool(answer and answer.status_code == 200)

    async def withdraw(self) -> None:
        place = self._one_of(self._asked, 0.5)
        if place:
            await self._move(place, "withdraw", place.person[2], "withdrawn")

    async def cancel(self) -> None:
        place = self._one_of(self._placed, 0.0)
        if place:
            by = self._chance.choice([place.group.admin, ADMIN])
            await self._move(place, "cancel", by, "cancelled", {"reason": "ill"})

    async def complete(self) -> None:
        """The learner finishes an e-learning; staff report the others."""
        place = self._one_of(self._placed, 2.0)
        if place is None:
            return await self.associate()
        if place.course["sessions"]:
            await self._move(place, "complete", ADMIN, "completed")
            return None
        path = f"/v1/learnings/{place.id}/complete"
        answer = await self._twice_perhaps("learn", "academy", path, None, place.person[2])
        if answer and answer.is_success:
            self._promised("learned", place.id)
        elif answer and answer.status_code == 404 and self._chance.random() < 0.8:
            self._placed.append(place)  # not open yet, or never
        return None

    async def top_up(self) -> None:
        group = self._chance.choice([g for g in self.world.groups if g.partner_id])
        credits = self._chance.randint(1, 3 if group is self.world.groups[0] else 60)  # the first one stays poor
        path = f"/v1/wallets/{group.partner_id}/top-ups"
        answer = await self._twice_perhaps("top-up", "billing", path, {"credits": credits, "reason": "chaos"}, ADMIN)
        if answer and answer.is_success:
            self._promised("top-up", answer.json()["transaction_id"], f"{group.partner_id} {credits}")

    async def add_person(self) -> None:
        group = self._chance.choice([g for g in self.world.groups if g.partner_id])
        body = {"name": "New Person", "email": f"n{uuid4().hex[:12]}@people.example", "partner_id": group.partner_id}
        answer = await self.send("person", "POST", "enrollment", "/v1/people", body, by=group.admin)
        if answer and answer.is_success:
            self._promised("person", answer.json()["person_id"])

    # -- records again -------------------------------------------------------------------------------

    async def _copy_records(self) -> None:
        """Put records of every topic on it again: half as they are, half under a new event id."""
        bootstrap = self.world.processes.parts.kafka
        while True:
            reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
            writer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
            try:
                await reader.start()
                await writer.start()
                while True:
                    await self._copy_some(reader, writer)
                    await asyncio.sleep(0.3)
            except (KafkaError, OSError):
                await asyncio.sleep(1)
            finally:
                await asyncio.gather(reader.stop(), writer.stop(), return_exceptions=True)

    async def _copy_some(self, reader: AIOKafkaConsumer, writer: AIOKafkaProducer) -> None:
        known = await reader._client.fetch_all_metadata()
        topics = sorted(t for t in known.topics() if not t.endswith(".dlq") and t[0] != "_")
        everywhere = [TopicPartition(t, n) for t in topics for n in known.partitions_for_topic(t) or ()]
        some = self._chance.sample(everywhere, min(20, len(everywhere)))
        ends = await reader.end_offsets(some)
        filled = [partition for partition in some if ends[partition]][:COPIES_PER_S]
        if not filled:
            return
        reader.assign(filled)
        for partition in filled:
            reader.seek(partition, self._chance.randrange(ends[partition]))
        for partition, records in (await reader.getmany(timeout_ms=3000, max_records=COPIES_PER_S)).items():
            for record in records[:2]:
                headers = list(record.headers)
                as_it_is = self._chance.random() < 0.5
                if not as_it_is:
                    old = dict(headers)["ce_id"]
                    headers = [(k, v) for k, v in headers if k not in ("ce_id", COPY_OF)]
                    headers += [("ce_id", str(uuid4()).encode()), (COPY_OF, old)]
                await writer.send_and_wait(
                    partition.topic, record.value, record.key, partition=partition.partition, headers=headers
                )
                self.journal.copies["as they were" if as_it_is else "under a new id"] += 1


async def _again(ask: Callable[[], Awaitable[T]]) -> T:
    """What issuer and mailbox answer. Nobody kills them, but they hang up on idle connections."""
    while True:
        try:
            return await ask()
        except httpx.TransportError:
            await asyncio.sleep(0.1)


def _still_running(answer: httpx.Response) -> bool:
    return answer.status_code == 409 and "same-request-running" in answer.text
