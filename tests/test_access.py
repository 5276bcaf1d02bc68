"""Every endpoint by every role, with a real token; every id of one tenant in the hands of another.

The endpoints come from the services' own documents, so a new one is tried too; docs/access.md must have it.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from stack import processes
from stack.access import PAGE, ROLES, Endpoint, endpoints, page
from stack.client import ADMIN, ok
from stack.processes import SERVICES
from tests.suite import Suite

NOBODY = "01890000-0000-7000-8000-00000000dead"
"""An id that nothing has."""
TENANT_OF = dict.fromkeys(("admin", "support", "finance", "editor"), "platform") | {
    "partner_admin": "partner",
    "supplier_user": "supplier",
}
"""Of the other roles it is a customer."""


@pytest.fixture(scope="module")
async def suite(running: processes.Suite) -> AsyncIterator[Suite]:
    """One view of the suite for all stories here: it keeps its connections."""
    suite = Suite(running)
    yield suite
    await suite.aclose()


@pytest.fixture(scope="module")
async def documents(suite: Suite) -> dict[str, dict[str, Any]]:
    return {s: (await suite.http.get(f"{suite.urls[s]}/openapi.json")).json() for s in SERVICES}


@dataclass(frozen=True)
class Tenants:
    """A partner, its customer, a supplier, what they have, and somebody in every role for them."""

    partner: dict[str, Any]
    customer: dict[str, Any]
    supplier: dict[str, Any]
    who: dict[str, str]
    """Role → address."""
    things: dict[str, str]
    """Names of what they have → ids."""
    marks: frozenset[str]
    """Texts that only they may read."""


async def tenants(suite: Suite) -> Tenants:
    partner = await suite.partner(credits=50)
    customer = await suite.customer(partner=partner)
    supplier = await suite.supplier()
    course = await suite.course(credits=4)
    sold = await suite.supplier_course(supplier)
    person = await suite.person(partner)
    employee = await suite.person(customer_id=customer["customer_id"])
    enrolled = ok(await suite.associate(person, course, by=partner["admin"])).json()
    invoiced = ok(await suite.associate(employee, sold, by=partner["admin"])).json()
    await suite.settle()
    await suite.post("academy", f"/v1/learnings/{enrolled['enrollment_id']}/complete", by=person["email"])
    batch = {"course_id": course["course_id"], "person_ids": [NOBODY]}
    made = await suite.post("enrollment", "/v1/enrollment-batches", batch, by=partner["admin"])
    jobs = {}
    for service, path, by, file in (
        ("enrollment", "/v1/people-imports", partner["admin"], "name,email\nIda,none\n"),
        ("catalog", "/v1/course-imports", supplier["user"], "code,kind,language,title\nx,none,en,X\n"),
        ("contracts", "/v1/customer-imports", partner["admin"], "name\nX\n"),
    ):
        headers = {"Content-Type": "text/csv", "Prefer": "wait=10"}
        answer = await suite.call("POST", service, path, by=by, headers=headers, content=file.encode())
        jobs[service] = ok(answer).json()["id"]
    terms = {"supplier_id": supplier["supplier_id"], "customer_id": customer["customer_id"],
             "valid_from": "2099-01-01", "discount_bp": 1000, "platform_share_bp": 400}  # fmt: skip
    agreed = await suite.put("catalog", "/v1/terms", terms)
    who, where = {}, {"partner": partner["partner_id"], "customer": customer["customer_id"], "platform": None}
    where["supplier"] = supplier["supplier_id"]
    grants = {}
    for role in ROLES[1:]:
        kind = TENANT_OF.get(role, "customer")
        who[role] = f"{role}-{uuid4().hex[:6]}@access.example"
        grant = {"role": role, "tenant_kind": kind, "tenant_id": where[kind], "email": who[role], "name": "Mark"}
        grants[role] = (await suite.post("contracts", "/v1/grants", grant))["grant_id"]
    who["admin"] = ADMIN
    await suite.settle()
    (certificate,) = (await suite.get("academy", "/v1/certificates", by=person["email"]))["items"]
    user = (await suite.get("catalog", f"/v1/suppliers/{supplier['supplier_id']}/users"))["items"][0]
    things = {
        "partner_id": partner["partner_id"],
        "customer_id": customer["customer_id"],
        "supplier_id": supplier["supplier_id"],
        "user_id": user["user_id"],
        "course_id": sold["course_id"],
        "terms_id": agreed["terms_id"],
        "person_id": employee["person_id"],
        "enrollment_id": invoiced["enrollment_id"],
        "learning": enrolled["enrollment_id"],
        "batch_id": made["batch_id"],
        "enrollment job": jobs["enrollment"],
        "catalog job": jobs["catalog"],
        "contracts job": jobs["contracts"],
        "grant_id": grants["hr"],
        "grant of the partner": grants["partner_admin"],
        "number": certificate["number"],
        "tenant_id": customer["customer_id"],
    }
    marks = {partner["name"], customer["name"], employee["email"], person["email"], *who.values()} - {ADMIN}
    private = {"partner_id", "customer_id", "person_id", "enrollment_id", "batch_id", "grant_id", "number"}
    return Tenants(partner, customer, supplier, who, things, frozenset(marks | {things[name] for name in private}))


@pytest.fixture(scope="module")
async def ours(suite: Suite) -> Tenants:
    return await tenants(suite)


@pytest.fixture(scope="module")
async def theirs(suite: Suite) -> Tenants:
    return await tenants(suite)


def test_the_page_has_every_endpoint_as_it_is(documents: dict[str, dict[str, Any]]) -> None:
    assert PAGE.read_text() == page(documents), "docs/access.md is out of date: run `make access`, and look at it"


# -- role × endpoint ---------------------------------------------------------------------------------------


def cells() -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """The committed page: service, method, path, and what it says of each role."""
    service = ""
    for line in PAGE.read_text().splitlines():
        service = line.removeprefix("## ") if line.startswith("## ") else service
        if found := re.match(r"\| `(\w+) (\S+)` \| (.*) \|$", line):
            method, path, said = found.groups()
            yield service, method, path, dict(zip(ROLES, said.split(" | "), strict=True))


def filled(path: str, values: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: values.get(found[1], NOBODY), path)


async def asked(suite: Suite, method: str, service: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
    headers = {"If-Match": "*", "Accept": "application/json"}
    json_ = (body if body is not None else {}) if method not in ("GET", "HEAD", "DELETE") else None
    return await suite.call(method, service, path, json_, headers=headers, **more)


def refusal(answer: httpx.Response) -> str:
    json_ = "json" in answer.headers.get("content-type", "") and answer.request.method != "HEAD"
    found = answer.json() if json_ else {}
    return str(found.get("type", "")).removeprefix("/problems/") if isinstance(found, dict) else ""


@pytest.mark.parametrize("service", SERVICES)
async def test_every_cell_of_the_page_holds(suite: Suite, ours: Tenants, service: str) -> None:
    wrong = []

    async def tried(method: str, path: str, role: str, said: str) -> None:
        # No route takes a list, so whoever may call it changes nothing.
        answer = await asked(suite, method, service, filled(path, {}), [], by=ours.who[role])
        name = refusal(answer)
        denied = answer.status_code == 403 and name in ("role-missing", "not-granted")
        if answer.status_code in (401, 500) or denied is not (said == "–") or (denied and name != "role-missing"):
            wrong.append((method, path, role, said, answer.status_code, name or answer.text[:200]))

    lines = [(method, path, said) for at, method, path, said in cells() if at == service]
    assert lines
    for method, path, said in lines:
        await asyncio.gather(*(tried(method, path, role, said[role]) for role in ROLES))
    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
async def test_without_a_token_or_a_grant_only_what_is_public_answers(suite: Suite, service: str) -> None:
    stranger = f"{uuid4().hex}@access.example"
    for _, method, path, said in [line for line in cells() if line[0] == service]:
        at, public = filled(path, {}), said["admin"] == "*public*"
        nobody = await suite.http.request(method, suite.urls[service] + at, headers={"Idempotency-Key": "x"})
        unknown = await asked(suite, method, service, at, by=stranger)
        assert (nobody.status_code == 401) is not public, (method, path, nobody.status_code)
        if not public and said["admin"] != "*signed in*":
            assert (unknown.status_code, refusal(unknown)) == (403, "not-granted"), (method, path)


# -- the ids of others -------------------------------------------------------------------------------------


def sample(schema: Mapping[str, Any], parts: Mapping[str, Any], depth: int = 0) -> Any:
    """A value that fits a schema: its example, or the least that is allowed."""
    if "$ref" in schema:
        return sample(parts[str(schema["$ref"]).rpartition("/")[2]], parts, depth + 1)
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema or "enum" in schema or "default" in schema:
        return schema.get("const", schema.get("default", (schema.get("enum") or [None])[0]))
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return sample(schema[several][0], parts, depth + 1)
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {name: sample(fields[name], parts, depth + 1) for name in schema.get("required", ())}
        case "array":
            return [sample(schema["items"], parts, depth + 1)] if schema.get("minItems") else []
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
    formats = {"uuid": NOBODY, "date": "2030-01-01", "date-time": "2030-01-01T09:00:00Z", "email": "spy@x.example"}
    return formats.get(schema.get("format", ""), "x" * max(1, schema.get("minLength", 1)))


def body_of(endpoint: Endpoint, document: Mapping[str, Any]) -> Any:
    content = endpoint.operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return sample(schema, document["components"]["schemas"]) if schema else {}


def aimed(endpoint: Endpoint, things: Mapping[str, str]) -> Iterator[str]:
    """The endpoint's path with every id that may be meant by its parameters; with all of them where none fits."""
    names = re.findall(r"{(\w+)}", endpoint.path)
    fitting = (
        {f"{endpoint.service} job"} if "job_id" in names else {"learning"} if "learnings" in endpoint.path else set()
    )
    for thing in [things[name] for name in fitting] or ([None] if names[-1] in things else list(things.values())):
        last = {names[-1]: thing} if thing else {}
        yield filled(endpoint.path, {**things, **last})


@pytest.mark.parametrize("service", SERVICES)
async def test_no_endpoint_gives_anything_for_the_id_of_another_tenant(
    suite: Suite, ours: Tenants, theirs: Tenants, documents: dict[str, dict[str, Any]], service: str
) -> None:
    """Each role of theirs asks for what is ours; 404 or 403, and nothing of ours in the answer."""
    document = documents[service]
    with_ids = [e for e in endpoints(service, document) if "{" in e.path and e.access != {"public"}]
    assert with_ids
    state, wrong, reached = await seen_by_staff(suite, ours, with_ids), [], set()

    async def tried(endpoint: Endpoint, path: str, role: str) -> None:
        answer = await asked(suite, endpoint.method, service, path, body_of(endpoint, document), by=theirs.who[role])
        if answer.status_code in (403, 404):
            reached.add((endpoint.method, endpoint.path))
        shown = [mark for mark in ours.marks if mark in answer.text and mark not in path]
        if shown or answer.status_code not in (403, 404, 400, 409, 422):
            wrong.append((endpoint.method, path, role, answer.status_code, shown, answer.text[:300]))

    for endpoint in with_ids:
        if re.search(r"courses/{|terms/{", endpoint.path) and endpoint.method == "GET":
            continue  # of a course on the public site and of terms for everybody the ids are no secret
        roles = [role for role in ROLES if role not in TENANT_OF or TENANT_OF[role] != "platform"]
        allowed = [role for role in roles if role in endpoint.access]
        await asyncio.gather(
            *(tried(endpoint, path, role) for path in aimed(endpoint, ours.things) for role in allowed)
        )

    assert wrong == []
    unreached = {(e.method, e.path) for e in with_ids if e.access - {"admin", "support", "finance", "editor"}} - reached
    assert {
        path for method, path in unreached if method == "GET" and not re.search(r"courses/{|terms/{", path)
    } == set()
    assert await seen_by_staff(suite, ours, with_ids) == state  # and nothing was done to it


async def seen_by_staff(suite: Suite, tenants: Tenants, with_ids: Iterable[Endpoint]) -> dict[str, Any]:
    """What the platform's admin reads at every id of a tenant."""
    found = {}
    for endpoint in with_ids:
        if endpoint.method == "GET" and "admin" in endpoint.access:
            for path in aimed(endpoint, tenants.things):
                answer = await suite.call("GET", endpoint.service, path, headers={"Accept": "application/json"})
                found[path] = (answer.status_code, answer.text)
    return found


@pytest.mark.parametrize("service", SERVICES)
async def test_no_list_shows_a_row_of_another_tenant(
    suite: Suite, ours: Tenants, theirs: Tenants, documents: dict[str, dict[str, Any]], service: str
) -> None:
    lists = [e for e in endpoints(service, documents[service]) if "{" not in e.path and e.method == "GET"]

    for endpoint in lists:
        for role in endpoint.access & (set(ROLES) - {r for r, kind in TENANT_OF.items() if kind == "platform"}):
            answer = await asked(suite, "GET", service, endpoint.path, by=theirs.who[role], params={"limit": "200"})
            assert [mark for mark in ours.marks if mark in answer.text] == [], (endpoint.path, role)


@pytest.mark.parametrize("service", SERVICES)
async def test_naming_another_tenant_opens_no_door(suite: Suite, ours: Tenants, theirs: Tenants, service: str) -> None:
    for kind, tenant_id in (
        ("partner", ours.partner["partner_id"]),
        ("customer", ours.customer["customer_id"]),
        ("supplier", ours.supplier["supplier_id"]),
    ):
        for role in ("partner_admin", "customer_admin", "supplier_user", "learner"):
            for _, method, path, _ in [line for line in cells() if line[0] == service and line[1] == "GET"]:
                if path.startswith("/v1/"):
                    named = f"{kind}/{tenant_id}"
                    answer = await asked(suite, method, service, filled(path, {}), by=theirs.who[role], tenant=named)
                    assert (answer.status_code, refusal(answer)) == (403, "not-granted"), (path, role, named)
                    break  # the same door before every endpoint


# -- row-level security, with none of the code before it -----------------------------------------------------

SHARED: dict[str, str] = {
    "grants": "looked up by who calls, before there is a tenant",
    "once": "found by a digest of caller and key, which nobody else can know",
    "outbox": "what this request announces; it is written, and read by the relay",
    "mail": "written by requests, and sent by the worker",
    "links": "made by requests, and looked up by the signed token",
}
"""Tables of the kit whose rows a request's role may select whatever its tenant; no endpoint does."""


MAY_SEE = {("catalog", "customers", "supplier")}
"""A supplier sees which customers' portals it could join (CAT-3)."""


@pytest.mark.parametrize("service", SERVICES)
async def test_the_database_itself_shows_a_tenant_nothing_of_another(
    suite: Suite, ours: Tenants, theirs: Tenants, service: str
) -> None:
    """As the role of the API, by plain SQL: no endpoint, no use case, no filter is between."""
    db = await asyncpg.connect(suite.processes.parts.database(service).api)
    shown = []
    try:
        tables = [
            row["name"]
            for row in await db.fetch(
                "select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                " where n.nspname = 'public' and c.relkind = 'r' and has_table_privilege(c.oid, 'select')"
            )
            if row["name"] not in SHARED
        ]
        assert tables
        for tenant in (
            f"partner/{theirs.partner['partner_id']}",
            f"customer/{theirs.customer['customer_id']}",
            f"supplier/{theirs.supplier['supplier_id']}",
            "partner/" + NOBODY,
            "public",
            "",
        ):
            async with db.transaction():
                await db.execute("select set_config('tandem.tenant', $1, true)", tenant)
                for table in tables:
                    for row in await db.fetch(f'select to_jsonb(t)::text as row from "{table}" t'):
                        shown += [(table, tenant, mark) for mark in ours.marks if mark in row["row"]]
    finally:
        await db.close()
    assert sorted(row for row in shown if (service, row[0], row[1].partition("/")[0]) not in MAY_SEE) == []


@pytest.mark.parametrize("service", SERVICES)
async def test_the_database_lets_a_tenant_change_nothing_of_another(
    suite: Suite, ours: Tenants, theirs: Tenants, service: str
) -> None:
    db = await asyncpg.connect(suite.processes.parts.database(service).api)
    tenant = f"partner/{theirs.partner['partner_id']}"
    marks = [UUID(mark) for mark in ours.marks if re.fullmatch(r"[0-9a-f-]{36}", mark)]
    try:
        columns = await db.fetch(
            "select c.relname, a.attname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " join pg_attribute a on a.attrelid = c.oid and a.atttypid = 'uuid'::regtype"
            " where n.nspname = 'public' and c.relkind = 'r' and has_table_privilege(c.oid, 'delete')"
            " and a.attname in ('partner_id', 'customer_id', 'person_id', 'enrollment_id', 'id')"
        )
        changed = []
        for table, column in columns:
            if table in SHARED:
                continue
            transaction = db.transaction()
            await transaction.start()
            try:
                await db.execute("select set_config('tandem.tenant', $1, true)", tenant)
                done = await db.execute(f'delete from "{table}" where "{column}" = any($1)', marks)
                changed += [] if done == "DELETE 0" else [(table, column, done)]
            finally:
                await transaction.rollback()
    finally:
        await db.close()
    assert changed == []


async def test_who_reads_by_another_tenants_ids_reads_json_problems(
    suite: Suite, ours: Tenants, theirs: Tenants
) -> None:
    answer = await suite.call(
        "GET", "billing", f"/v1/wallets/{ours.partner['partner_id']}", by=theirs.who["partner_admin"]
    )

    assert answer.status_code == 404
    assert json.loads(answer.text)["type"] == "/problems/wallet-not-found"
