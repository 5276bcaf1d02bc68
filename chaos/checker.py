"""Whether everything is as it was promised: read from the databases, the topics and the mailbox, by SQL and rules of
its own. It imports nothing of the services or the kit, so a mistake of theirs is not repeated here."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import httpx
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

COPY_OF = "chaos-copy-of"
"""Header of a record that the load has put there: another one under a new event id; the id it had."""
ASKS = tuple(
    f"enrollment.{s}" for s in ("requested", "approved", "declined", "withdrawn", "expired", "refused", "cancelled")
)
ANSWERS = tuple(f"credits.{s}" for s in ("held", "released", "charged", "refused", "refunded"))
ONCE = (
    *(
        f"enrollment.{s}"
        for s in ("declined", "withdrawn", "expired", "refused", "confirmed", "cancelled", "completed")
    ),
    "certificate.issued",
)
"""Facts that nobody announces again."""
MACHINE_STEPS = ("credits.held", "credits.charged", "invoice.instructed")
COPIES = (
    ("partner.changed", "partner_id", "enrollment", "partners"),
    ("partner.changed", "partner_id", "billing", "partners"),
    ("partner.changed", "partner_id", "academy", "known_partners"),
    ("customer.changed", "customer_id", "enrollment", "customers"),
    ("customer.changed", "customer_id", "billing", "customers"),
    ("supplier.changed", "supplier_id", "enrollment", "suppliers"),
    ("supplier.changed", "supplier_id", "billing", "suppliers"),
    ("course.published", "course_id", "enrollment", "courses"),
    ("course.published", "course_id", "academy", "courses"),
    ("person.changed", "person_id", "academy", "people"),
)
"""State facts, and the tables that others keep of them."""
NO_SESSION = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Promise:
    """What an answer of 2xx said: `what` is there, or has happened to it."""

    what: str
    id: str
    detail: str = ""


class Fact(NamedTuple):
    """A record of a topic, as far as it is looked at."""

    topic: str
    at: str
    """Topic, partition and offset."""
    id: str
    copy: bool
    """Put there by the load, under a new id."""
    value: Mapping[str, Any]


@dataclass
class Claim:
    """Something that must hold, how many things it was looked for in, and where it does not."""

    words: str
    looked_at: int = 0
    faults: list[str] = field(default_factory=list)

    def check(self, holds: bool, fault: object) -> None:
        self.looked_at += 1
        if not holds:
            self.faults.append(str(fault))


@dataclass
class Seen:
    """Everything that was read."""

    enrollments: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    sessions: list[Mapping[str, Any]] = field(default_factory=list)
    entries: list[Mapping[str, Any]] = field(default_factory=list)
    wallets: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    instructions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    learnings: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    certificates: list[Mapping[str, Any]] = field(default_factory=list)
    people: set[str] = field(default_factory=set)
    mails: list[Mapping[str, Any]] = field(default_factory=list)
    inboxes: dict[str, set[str]] = field(default_factory=dict)
    parked: dict[str, list[str]] = field(default_factory=dict)
    copies: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    deliveries: Counter[str] = field(default_factory=Counter)


class Checker:
    """Reads a suite that has come to rest."""

    def __init__(self, admin_url: str, bootstrap: str, mailbox: str, groups: Mapping[str, Sequence[str]]) -> None:
        """`admin_url`: of a superuser of PostgreSQL. `groups`: each service's consumer group and its topics."""
        self._admin_url = admin_url
        self._bootstrap = bootstrap
        self._mailbox = mailbox
        self._groups = groups
        self.read_again: dict[str, int] = {}
        """How much was read, and how much of it came more than once under one id; after `check`."""

    async def _rows(self, service: str, sql: str, *values: Any) -> list[Mapping[str, Any]]:
        """Ids as text, JSON as values."""
        db = await asyncpg.connect(self._admin_url.rpartition("/")[0] + f"/tandem_{service}")
        try:
            for name in ("json", "jsonb"):
                await db.set_type_codec(name, encoder=str, decoder=orjson.loads, schema="pg_catalog")
            await db.set_type_codec("uuid", encoder=str, decoder=str, schema="pg_catalog")
            return [dict(row) for row in await db.fetch(sql, *values)]
        finally:
            await db.close()

    # -- coming to rest ------------------------------------------------------------------------------

    async def pending(self) -> Counter[str]:
        """What is still on its way, and where; empty when nothing is."""
        found: Counter[str] = Counter()
        for service in self._groups:
            (row,) = await self._rows(
                service,
                "select (select count(*) from outbox) as outbox, (select count(*) from waiting) as waiting,"
                " (select count(*) from parked where state = 'due') as parked,"
                " (select count(*) from mail where state = 'queued') as mail",
            )
            found.update({f"{service}: {what}": n for what, n in row.items() if n})
        (row,) = await self._rows(
            "enrollment", "select count(*) as n from enrollments where waits_for = any($1)", list(MACHINE_STEPS)
        )
        found.update({"enrollment: machine steps": row["n"]} if row["n"] else {})
        lags = await self._lags()
        found.update({f"{group}: lag": lag for group, lag in lags.items() if lag})
        return found

    async def _lags(self) -> dict[str, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap)
        try:
            await admin.start()
            await consumer.start()
            known = await consumer._client.fetch_all_metadata()
            lags = {}
            for group, topics in self._groups.items():
                partitions = [TopicPartition(t, n) for t in topics for n in known.partitions_for_topic(t) or ()]
                ends = await consumer.end_offsets(partitions)
                committed = await admin.list_consumer_group_offsets(group)
                at = {p: committed[p].offset if p in committed else 0 for p in partitions}
                lags[group] = sum(max(0, ends[p] - max(0, at[p])) for p in partitions)
            return lags
        finally:
            await asyncio.gather(admin.close(), consumer.stop(), return_exceptions=True)

    async def rest(self, within_s: float) -> Counter[str]:
        """Wait until nothing is on its way, seen twice; what still is when the time is over."""
        deadline = asyncio.get_running_loop().time() + within_s
        quiet = 0
        while True:
            try:
                pending = await self.pending()
            except (KafkaError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                pending = Counter({f"unreachable: {error}": 1})
            quiet = 0 if pending else quiet + 1
            if quiet == 2 or asyncio.get_running_loop().time() > deadline:
                return pending
            await asyncio.sleep(1)

    # -- reading -------------------------------------------------------------------------------------

    async def read(self) -> Seen:
        """Everything there is."""
        seen = Seen()
        seen.enrollments = {e["id"]: e for e in await self._rows("enrollment", "select * from enrollments")}
        seen.sessions = await self._rows("enrollment", "select id, capacity, taken from sessions")
        seen.people = {row["id"] for row in await self._rows("enrollment", "select id from people")}
        seen.entries = await self._rows("billing", "select * from entries order by partner_id, number")
        seen.wallets = {row["partner_id"]: row for row in await self._rows("billing", "select * from wallets")}
        found = await self._rows("billing", "select enrollment_id, state, revision from instructions")
        seen.instructions = {row["enrollment_id"]: row for row in found}
        seen.learnings = {row["enrollment_id"]: row for row in await self._rows("academy", "select * from learnings")}
        seen.certificates = await self._rows("academy", "select enrollment_id, number from certificates")
        for service in self._groups:
            mails = await self._rows(service, "select id, recipient, matter, event, state from mail")
            seen.mails += mails
            ids = await self._rows(service, "select event_id from inbox where consumer = $1", service)
            seen.inboxes[service] = {row["event_id"] for row in ids}
            parked = await self._rows(service, "select event_id, topic, state, reason, error from parked")
            seen.parked[service] = [
                f"{p['topic']} {p['event_id']} {p['state']}: {p['reason']} {p['error']}" for p in parked
            ]
        for _, _, service, table in COPIES:
            rows = await self._rows(service, f"select id, version from {table}")
            seen.copies[service, table] = {row["id"]: row["version"] for row in rows}
        seen.facts = await self._facts()
        async with httpx.AsyncClient(timeout=60) as http:
            seen.deliveries.update((await http.get(f"{self._mailbox}/api/message-ids")).json())
        return seen

    async def _facts(self) -> list[Fact]:
        """Every record of every topic, from its start to its end."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, max_partition_fetch_bytes=8 * 2**20
        )
        await consumer.start()
        try:
            known = await consumer._client.fetch_all_metadata()
            topics = [t for t in known.topics() if not t.endswith(".dlq") and not t.startswith("_")]
            partitions = [TopicPartition(t, n) for t in topics for n in known.partitions_for_topic(t) or ()]
            ends = {p: end for p, end in (await consumer.end_offsets(partitions)).items() if end}
            consumer.assign(list(ends))
            await consumer.seek_to_beginning()
            facts: list[Fact] = []
            while left := [p for p, end in ends.items() if await consumer.position(p) < end]:
                consumer.pause(*(p for p in ends if p not in left))
                for p, records in (await consumer.getmany(timeout_ms=1000, max_records=20_000)).items():
                    facts += (_fact(f"{p.topic}/{p.partition}/{r.offset}", r) for r in records)
            return facts
        finally:
            await consumer.stop()

    # -- judging -------------------------------------------------------------------------------------

    async def check(
        self, promises: Iterable[Promise] = (), pending: Mapping[str, int] | None = None, unanswered: int = 0
    ) -> list[Claim]:
        """Every claim, and where it does not hold. `unanswered`: requests of which nobody knows what became."""
        seen = await self.read()
        self.read_again = {
            "records": len(seen.facts),
            "records_with_a_known_id": len(seen.facts) - len({fact.id for fact in seen.facts}),
            "mails": len(seen.deliveries),
            "mails_delivered_again": seen.deliveries.total() - len(seen.deliveries),
        }
        at_rest = Claim("everything published, consumed and sent", sum(len(b) for b in seen.inboxes.values()))
        at_rest.faults = [f"{what}: {n}" for what, n in (pending or {}).items()]
        claims = [
            at_rest,
            *_delivered(seen, self._groups),
            *_enrollments(seen),
            *_credits(seen),
            *_seats(seen),
            *_effects(seen),
            _kept(seen, list(promises), unanswered),
        ]
        return claims


def _fact(at: str, record: Any) -> Fact:
    headers = {name: value.decode() for name, value in record.headers}
    value = orjson.loads(record.value) if record.value else {}
    return Fact(record.topic, at, headers.get("ce_id", ""), COPY_OF in headers, value)


def _delivered(seen: Seen, groups: Mapping[str, Sequence[str]]) -> list[Claim]:
    handled = Claim("every record handled by every group that reads its topic")
    by_topic = defaultdict(list)
    for fact in seen.facts:
        by_topic[fact.topic].append(fact)
    for group, topics in groups.items():
        for topic in topics:
            for fact in by_topic[topic]:
                handled.check(fact.id in seen.inboxes[group], f"{group} never handled {fact.at} {fact.id}")
    parked = Claim("no record left aside")
    for service, rows in seen.parked.items():
        parked.looked_at += len(seen.inboxes[service])
        parked.faults += [f"{service}: {row}" for row in rows]

    twice = Claim("no fact handled or announced twice in effect")
    asked: dict[str, set[str]] = defaultdict(set)
    answered: dict[str, set[str]] = defaultdict(set)
    for fact in seen.facts:
        if fact.topic in ASKS:
            asked[fact.value["enrollment_id"]].add(fact.id)
        elif fact.topic in ANSWERS and not fact.copy:
            answered[fact.value["enrollment_id"]].add(fact.id)
    for id_, answers in answered.items():
        said = f"enrollment {id_}: {len(answers)} answers to {len(asked[id_])} steps"
        twice.check(len(answers) <= len(asked[id_]), said)
    for topic in ONCE:
        ids = defaultdict(set)
        for fact in by_topic[topic]:
            if not fact.copy:
                ids[fact.value["enrollment_id"]].add(fact.id)
        for id_, announced in ids.items():
            twice.check(len(announced) == 1, f"{topic} of {id_}: announced as {len(announced)} facts")

    copies = Claim("every copy the newest version")
    for topic, key, service, table in COPIES:
        newest: dict[str, int] = {}
        for fact in by_topic[topic]:
            newest[fact.value[key]] = max(fact.value["version"], newest.get(fact.value[key], 0))
        held = seen.copies[service, table]
        for id_, version in newest.items():
            copies.check(held.get(id_) == version, f"{service}.{table} {id_}: {held.get(id_)}, announced {version}")
    return [handled, parked, twice, copies]


def _enrollments(seen: Seen) -> list[Claim]:
    lost = Claim("no enrollment lost: every one and every move of it announced")
    stuck = Claim("no enrollment stuck")
    announced = {
        (fact.topic, fact.value["enrollment_id"]) for fact in seen.facts if fact.topic.startswith("enrollment.")
    }
    for id_, e in seen.enrollments.items():
        for entry in e["history"]:
            lost.check(
                (f"enrollment.{entry['state']}", id_) in announced, f"{id_}: {entry['state']} was never announced"
            )
        stuck.check(e["waits_for"] not in MACHINE_STEPS, f"{id_} is {e['state']} and waits for {e['waits_for']}")
        learning = seen.learnings.get(id_)
        if e["confirmed_at"]:
            opened = learning is not None and learning["opened_at"] is not None
            stuck.check(opened, f"{id_} is confirmed, and the academy has not opened it")
        if learning and learning["completed_at"] and e["state"] == "confirmed":
            stuck.check(False, f"{id_} was completed in the academy and is still confirmed")
        if learning and e["state"] == "completed":
            stuck.check(learning["completed_at"] is not None, f"{id_} is completed, and the academy does not know")
        if learning and e["state"] == "cancelled":
            stuck.check(learning["closed_at"] is not None, f"{id_} is cancelled, and open in the academy")
    for _, id_ in announced:
        lost.check(id_ in seen.enrollments, f"{id_} was announced and does not exist")
    open_ones = Counter(
        (e["person_id"], e["course_id"], e["session_id"] or NO_SESSION)
        for e in seen.enrollments.values()
        if e["state"] in ("requested", "approved", "confirmed")
    )
    double = Claim("nobody twice on one course", len(open_ones))
    double.faults = [f"{n} open enrollments: {who}" for who, n in open_ones.items() if n > 1]
    return [lost, stuck, double]


def _credits(seen: Seen) -> list[Claim]:
    once = Claim("each charged exactly once, or refused")
    by_cause: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in seen.entries:
        by_cause[entry["cause_id"]].append(entry)
    for id_, e in seen.enrollments.items():
        entries = by_cause.get(id_, [])
        net = Counter[str]()
        for entry in entries:
            net[entry["account"]] += entry["credits"]
        captures = sum(entry["kind"] == "capture" and entry["account"] == "spent" for entry in entries)
        held, spent = _due(e, captures)
        fits = (net["held"], net["spent"]) == (held, spent) and captures <= 1 and net["available"] == -held - spent
        once.check(fits, f"{id_} ({e['state']}, {e['credits']} credits): {dict(net)} by {captures} captures")
        if e["payment"] == "invoice":
            state = (seen.instructions.get(id_) or {}).get("state")
            once.check(state in _INSTRUCTED[e["state"]], f"{id_} is {e['state']}, its instruction {state}")
    for entry in seen.entries:
        if entry["kind"] in ("hold", "capture", "release", "refund"):
            once.check(entry["cause_id"] in seen.enrollments, f"{entry['kind']} for {entry['cause_id']}, which is none")

    total = sum(entry["credits"] for entry in seen.entries)
    zero = Claim("ledger sums to zero", len(seen.entries), [f"it sums to {total}"] if total else [])
    transactions: Counter[tuple[str, str]] = Counter()
    for entry in seen.entries:
        transactions[entry["cause_id"], entry["kind"]] += entry["credits"]
    zero.faults += [f"{kind} of {cause} sums to {n}" for (cause, kind), n in transactions.items() if n]

    sums = Claim("balances are the sums of their entries")
    positive = Claim("available and held never below zero")
    running: dict[str, Counter[str]] = defaultdict(Counter)
    numbers: Counter[str] = Counter()
    for entry in seen.entries:
        partner, account = entry["partner_id"], entry["account"]
        numbers[partner] += 1
        running[partner][account] += entry["credits"]
        right = running[partner][account] == entry["balance_after"] and numbers[partner] == entry["number"]
        sums.check(right, f"entry {entry['number']} of {partner}: {entry['balance_after']} after {account}")
        positive.check(account == "issuing" or entry["balance_after"] >= 0, f"{partner}: {account} below zero")
    for partner, wallet in seen.wallets.items():
        for account in ("available", "held", "spent", "issuing"):
            sums.check(wallet[account] == running[partner][account], f"{partner}: {account} is {wallet[account]}")
        positive.check(wallet["available"] >= 0 and wallet["held"] >= 0, f"{partner} is below zero")
    return [once, zero, sums, positive]


_INSTRUCTED: Mapping[str, Sequence[str | None]] = {
    "requested": (None, "new"),
    "approved": (),
    "confirmed": ("instructed",),
    "completed": ("instructed",),
    "refused": ("refused", "closed"),
    "declined": (None, "closed"),
    "withdrawn": (None, "closed"),
    "expired": (None, "closed"),
    "cancelled": ("withdrawn", "reduced", "closed"),
}
"""How the instruction of an enrollment in each state may stand."""


def _due(e: Mapping[str, Any], captures: int) -> tuple[int, int]:
    """What an enrollment holds and what it has spent, of its partner's wallet."""
    if e["payment"] != "credits":
        return 0, 0
    if e["state"] in ("confirmed", "completed"):
        return 0, e["credits"]
    if e["state"] == "requested":
        return (e["credits"] if e["held"] else 0), 0
    if e["state"] == "cancelled" and captures:
        return 0, e["settlement"]["credits_kept"]
    return 0, 0


def _seats(seen: Seen) -> list[Claim]:
    sold = Claim("no seat oversold, none forgotten")
    on = Counter(
        e["session_id"]
        for e in seen.enrollments.values()
        if e["state"] in ("requested", "approved", "confirmed", "completed")
    )
    for session in seen.sessions:
        taken = on[session["id"]]
        sold.check(taken <= session["capacity"], f"{taken} on {session['capacity']} seats of {session['id']}")
        sold.check(taken == session["taken"], f"{taken} on session {session['id']}, which counts {session['taken']}")
    return [sold]


def _effects(seen: Seen) -> list[Claim]:
    certificates = Claim("a certificate for each completion, once")
    held = Counter(row["enrollment_id"] for row in seen.certificates)
    for id_, e in seen.enrollments.items():
        wanted = int(e["state"] == "completed" and e["certificate"])
        certificates.check(held[id_] == wanted, f"{id_} is {e['state']} and has {held[id_]} certificates")

    mails = Claim("a mail for each matter, once")
    keys = Counter((m["recipient"], m["matter"], m["event"]) for m in seen.mails)
    for key, n in keys.items():
        mails.check(n == 1, f"{n} mails {key}")
    for mail in seen.mails:
        mails.check(mail["state"] == "sent", f"{mail['matter']} {mail['event']} is {mail['state']}")
    told = {(m["matter"], m["event"]) for m in seen.mails}
    for id_, e in seen.enrollments.items():
        if e["way"] == "requested":
            if e["payment"] != "credits" or e["held"]:
                mails.check((f"enrollment/{id_}", "asked") in told, f"nobody was asked about {id_}")
            for state in ("confirmed", "refused", "declined", "expired"):
                if any(entry["state"] == state for entry in e["history"]):
                    mails.check((f"enrollment/{id_}", state) in told, f"nobody was told that {id_} is {state}")
    for mail in seen.mails:
        mails.check(seen.deliveries[mail["id"]] > 0, f"{mail['matter']} {mail['event']} never reached the mailbox")
    unknown = set(seen.deliveries) - {m["id"] for m in seen.mails}
    mails.faults += [f"mail {id_} is in the mailbox, and nobody wrote it" for id_ in unknown]
    return [certificates, mails]


def _kept(seen: Seen, promises: Sequence[Promise], unanswered: int) -> Claim:
    """What clients were told is so."""
    kept = Claim("everything answered 2xx is there")
    top_ups = {e["cause_id"]: e for e in seen.entries if e["kind"] == "top_up" and e["account"] == "available"}
    for promise in promises:
        e = seen.enrollments.get(promise.id)
        states = {entry["state"] for entry in e["history"]} if e else set()
        match promise.what:
            case "enrollment":
                holds = e is not None and e["person_id"] == promise.detail
            case "top-up":
                found = top_ups.get(promise.id)
                holds = found is not None and f"{found['partner_id']} {found['credits']}" == promise.detail
            case "person":
                holds = promise.id in seen.people
            case "learned":
                learning = seen.learnings.get(promise.id)
                holds = bool(learning and learning["completed_at"]) and bool(states & {"completed", "cancelled"})
            case move:
                holds = move in states
        kept.check(holds, f"{promise.what} {promise.id} {promise.detail}")
    promised = {p.id for p in promises if p.what == "top-up"}
    made = {id_ for id_, e in top_ups.items() if e["reason"] == "chaos"}
    if promised:
        more = len(made - promised)
        kept.check(more <= unanswered, f"{more} top-ups more than were answered")
    return kept
