"""Whatever is sent: it gets its named problem or is parked, its neighbours go through, nothing is half done."""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from schemas.course import TermsChanged
from schemas.credits import CreditsCharged
from schemas.enrollment import EnrollmentApproved
from schemas.event import Event, all_events
from schemas.partner import PartnerChanged
from schemas.publish.files import examples
from stack import processes
from stack.client import ADMIN, link_in, ok
from stack.processes import SERVICES
from tests.suite import Suite

NOBODY = "01890000-0000-7000-8000-00000000dead"
"""An id that nothing has."""


def problem(answer: httpx.Response) -> str:
    """The name of the refusal; an answer that is none, or a failure of ours, fails the test."""
    asked = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}"
    assert 400 <= answer.status_code < 500, asked
    assert answer.headers["content-type"] == "application/problem+json", asked
    name = str(answer.json()["type"])
    assert name.startswith("/problems/"), asked
    return name.removeprefix("/problems/")


async def assert_sound(suite: Suite) -> None:
    """Every service is alive, and no credit came from nowhere."""
    for service in SERVICES:
        assert (await suite.http.get(f"{suite.urls[service]}/healthz")).status_code == 200, service
    ledger = await suite.get("billing", "/v1/ledger/check")
    assert (ledger["ok"], ledger["total"]) == (True, 0), ledger


# -- two of each, who must not know of each other ------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """What belongs to one partner, one customer and one supplier; and others of their kind."""

    partner: Any
    customer: Any
    supplier: Any
    person: Any
    employee: Any
    course: Any
    enrollment_id: str
    invoiced_id: str
    certificate: str
    people_job: str
    batch_id: str
    other_partner: Any
    other_customer: Any
    other_supplier: Any


@pytest.fixture(scope="module")
async def suite(running: processes.Suite) -> AsyncIterator[Suite]:
    """One view of the suite for all stories here: it keeps its connections."""
    suite = Suite(running)
    yield suite
    await suite.aclose()


@pytest.fixture(scope="module")
async def world(suite: Suite) -> World:
    partner, other_partner = await suite.partner(credits=20), await suite.partner(credits=20)
    customer, other_customer = await suite.customer(partner=partner), await suite.customer(partner=other_partner)
    supplier, other_supplier = await suite.supplier(), await suite.supplier()
    course = await suite.course(credits=4)
    sold = await suite.supplier_course(supplier)
    person = await suite.person(partner)
    employee = await suite.person(customer_id=customer["customer_id"])
    enrolled = ok(await suite.associate(person, course, by=partner["admin"])).json()
    invoiced = ok(await suite.associate(employee, sold, by=partner["admin"])).json()
    assert (enrolled["state"], invoiced["state"]) == ("confirmed", "confirmed")
    await suite.settle()
    await suite.post("academy", f"/v1/learnings/{enrolled['enrollment_id']}/complete", by=person["email"])
    people = await upload(suite, "enrollment", "/v1/people-imports", b"name,email\nIda,no address\n", partner["admin"])
    batch = {"course_id": course["course_id"], "person_ids": [NOBODY]}
    made = await suite.post("enrollment", "/v1/enrollment-batches", batch, by=partner["admin"])
    await suite.settle()
    (certificate,) = (await suite.get("academy", "/v1/certificates", by=person["email"]))["items"]
    return World(
        partner=partner,
        customer=customer,
        supplier=supplier,
        person=person,
        employee=employee,
        course=sold,
        enrollment_id=enrolled["enrollment_id"],
        invoiced_id=invoiced["enrollment_id"],
        certificate=certificate["number"],
        people_job=people["id"],
        batch_id=made["batch_id"],
        other_partner=other_partner,
        other_customer=other_customer,
        other_supplier=other_supplier,
    )


# -- requests ----------------------------------------------------------------------------------------------

NOT_JSON = [b'{"half', b"\xff\xfe\x00", b"name=form", b'{"a": ' * 5000]


async def routes(suite: Suite, service: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of every route, as the service itself publishes them; ids filled in."""
    document = (await suite.http.get(f"{suite.urls[service]}/openapi.json")).json()
    parts = document["components"]["schemas"]
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            for option in (body or {}).get("anyOf", [body]):
                if option and "$ref" in option:
                    operation["fields"] = parts[option["$ref"].rpartition("/")[2]]["properties"]
            found.append((method.upper(), path, operation))
    return found


def filled(path: str, value: str) -> str:
    return re.sub(r"{\w+}", lambda _: value, path)


def nobodys(operation: dict[str, Any]) -> str:
    """An id of the form that a route takes, which nothing has."""
    forms = [parameter["schema"] for parameter in operation["parameters"] if parameter["in"] == "path"]
    if any(form.get("type") == "integer" for form in forms):
        return "987654321"
    return NOBODY if all(re.fullmatch(form.get("pattern", ".*"), NOBODY) for form in forms) else "0" * 32


@pytest.mark.parametrize("service", SERVICES)
async def test_every_route_names_what_is_wrong_with_its_body(suite: Suite, service: str) -> None:
    bodied = [(method, path, op) for method, path, op in await routes(suite, service) if "fields" in op]
    assert bodied
    customer = await suite.customer()
    await suite.settle()  # every service knows its admin

    for method, path, operation in bodied:
        fields = operation["fields"]
        by = ADMIN if {"admin", "public", "signed in"} & set(operation["x-access"]) else customer["admin"]
        at, headers = filled(path, NOBODY), {"If-Match": "*", "Content-Type": "application/json"}
        for content in NOT_JSON:
            broken = await suite.call(method, service, at, headers=headers, content=content, by=by)
            assert (broken.status_code, problem(broken)) == (400, "not-json"), (path, content[:20])
        wrongs: list[Any] = [[], "text", 7, {name: {"wrong": [None]} for name in fields}]
        for wrong in wrongs:
            refused = await suite.call(method, service, at, wrong, headers={"If-Match": "*"}, by=by)
            assert problem(refused) == "not-understood", (path, wrong)
            assert refused.json()["errors"], path


HOSTILE = ("a\x00b", "\ud800", "x" * 3000, 10**30, -(10**30), 1e300)
"""What no name, address, number or date may be."""


def spoilt(body: Any, value: Any) -> Iterator[Any]:
    """The body, once for each of its values with another in its place."""
    if isinstance(body, dict):
        for name, part in body.items():
            yield from (body | {name: other} for other in spoilt(part, value))
    elif isinstance(body, list):
        for n, part in enumerate(body):
            yield from ([*body[:n], other, *body[n + 1 :]] for other in spoilt(part, value))
    else:
        yield value


async def test_no_value_in_a_good_body_makes_a_service_fail(suite: Suite, world: World) -> None:
    address = {"street": "Kade 1", "postal_code": "3011 AA", "city": "Rotterdam", "country": "NL"}
    invoicing = {"legal_name": "X B.V.", "address": address, "invoice_email": "i@x.example"}
    partner, customer = world.other_partner["partner_id"], world.other_customer["customer_id"]
    session = {
        "starts_at": "2027-03-01T09:00:00Z",
        "ends_at": "2027-03-01T17:00:00Z",
        "place": "Utrecht",
        "capacity": 5,
    }
    wish = {"person_id": world.person["person_id"], "course_id": NOBODY, "way": "associated", "offer_version": "x"}
    top_up = {"credits": 1, "reason": "x", "price_paid": {"amount": 1, "currency": "EUR"}}
    good: list[tuple[str, str, str, Any]] = [
        ("contracts", "POST", "/v1/partners", {"name": "X", "wallet": True, "language": "en"}),
        ("contracts", "PATCH", f"/v1/partners/{partner}", {"name": "X", "language": "en"}),
        ("contracts", "POST", f"/v1/partners/{partner}/admins", {"email": "x@x.example", "name": "X"}),
        ("contracts", "POST", "/v1/customers", {"name": "X", "size": "small", "invoicing": invoicing}),
        ("contracts", "PUT", f"/v1/customers/{customer}/invoicing", invoicing),
        ("catalog", "POST", "/v1/suppliers", {"name": "X", "users": [{"email": "x@x.example", "name": "X"}]}),
        ("catalog", "POST", "/v1/courses", course_for(4) | {"sessions": [session], "duration_minutes": 60}),
        ("enrollment", "POST", "/v1/people", {"name": "X", "email": "x@x.example", "partner_id": partner}),
        ("enrollment", "POST", "/v1/enrollments", wish),
        ("enrollment", "POST", f"/v1/enrollments/{world.enrollment_id}/cancel", {"reason": "x"}),
        ("enrollment", "POST", f"/v1/enrollments/{world.invoiced_id}/price-change", {"amount": 1, "reason": "x"}),
        ("billing", "PUT", f"/v1/wallets/{partner}/warning", {"threshold": 1}),
        ("billing", "POST", f"/v1/wallets/{partner}/top-ups", top_up),
        ("academy", "POST", f"/v1/certificates/{NOBODY}/revoke", {"reason": "x"}),
    ]  # fmt: skip

    for service, method, path, body in good:
        for value in HOSTILE:
            for wrong in spoilt(body, value):
                headers = {"If-Match": "*", "Content-Type": "application/json"}
                answer = await suite.call(method, service, path, headers=headers, content=json.dumps(wrong))
                assert answer.status_code < 500, (path, json.dumps(wrong)[:300])
                if not answer.is_success:
                    assert problem(answer)


@pytest.mark.parametrize("service", SERVICES)
async def test_no_query_makes_a_list_fail(suite: Suite, service: str) -> None:
    asked = [
        (filled(path, NOBODY), parameter["name"])
        for method, path, operation in await routes(suite, service)
        for parameter in operation.get("parameters", ())
        if method == "GET" and parameter["in"] == "query"
    ]
    assert asked

    for path, name in asked:
        for value in ("a\x00b", "9" * 30, "-1", "'%_\\", "x" * 3000):
            answer = await suite.call(
                "GET", service, path, params={name: value}, headers={"Accept": "application/json"}
            )
            assert answer.status_code < 500, (path, name, value[:20], answer.text[:300])


@pytest.mark.parametrize("service", SERVICES)
async def test_every_route_says_that_an_unknown_id_is_unknown(suite: Suite, service: str) -> None:
    with_ids = [(m, p, op) for m, p, op in await routes(suite, service) if "{" in p and m != "HEAD"]
    with_ids = [(method, path, op) for method, path, op in with_ids if "fields" not in op]
    assert with_ids

    for method, path, operation in with_ids:
        nobody = nobodys(operation)
        for typed in (nobody, "not-an-id", "%00", "..%2F..%2Fetc", "x" * 2000):
            headers = {"Accept": "application/json", "If-Match": "*"}
            answer = await suite.call(method, service, filled(path, typed), headers=headers)
            bare = operation.get("requestBody", {}).get("required")  # which says first that its body is missing
            expected = (403, 404) if typed == nobody and not bare else (403, 404, 405, 422)
            assert answer.status_code in expected, (method, path, typed[:20], answer.status_code, answer.text[:300])
            if typed == nobody:
                assert problem(answer)


UNKNOWN: list[tuple[str, str, str, Any, str]] = [
    ("catalog", "POST", "/v1/courses/{id}/prices",
     {"valid_from": "2099-01-01", "price": {"amount": 1, "currency": "EUR"}}, "course-not-found"),
    ("catalog", "PUT", "/v1/suppliers/{id}/sites", {"sites": ["public"]}, "supplier-not-found"),
    ("contracts", "PATCH", "/v1/partners/{id}", {"name": "X"}, "partner-not-found"),
    ("contracts", "POST", "/v1/partners/{id}/admins", {"email": "a@a.example", "name": "A"}, "partner-not-found"),
    ("contracts", "PATCH", "/v1/customers/{id}", {"name": "X"}, "customer-not-found"),
    ("billing", "POST", "/v1/wallets/{id}/top-ups", {"credits": 1, "reason": "x"}, "wallet-not-found"),
    ("billing", "POST", "/v1/wallets/{id}/deductions", {"credits": 1, "reason": "x"}, "wallet-not-found"),
    ("enrollment", "PATCH", "/v1/people/{id}", {"name": "X"}, "person-not-found"),
    ("enrollment", "POST", "/v1/enrollments/{id}/move", {"session_id": NOBODY}, "enrollment-not-found"),
    ("academy", "POST", "/v1/certificates/{id}/revoke", {"reason": "x"}, "certificate-not-found"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "method", "path", "body", "named"), UNKNOWN)
async def test_nothing_is_done_to_what_does_not_exist(
    suite: Suite, service: str, method: str, path: str, body: Any, named: str
) -> None:
    answer = await suite.call(method, service, path.format(id=NOBODY), body, headers={"If-Match": "*"})

    assert (answer.status_code, problem(answer)) == (404, named)


async def test_an_enrollment_of_unknown_people_or_courses_is_refused_by_name(suite: Suite, world: World) -> None:
    known = {"person_id": world.employee["person_id"], "course_id": world.course["course_id"], "way": "associated"}

    async def asked(**change: Any) -> str:
        return problem(await suite.call("POST", "enrollment", "/v1/enrollments", known | change))

    assert await asked(person_id=NOBODY) == "person-not-found"
    assert await asked(course_id=NOBODY) == "course-not-found"
    assert await asked(session_id=NOBODY) == "session-not-found"
    assert await asked(way="stolen") == "not-understood"


# -- another tenant's --------------------------------------------------------------------------------------

FOREIGN: list[tuple[str, str, str, Any, str]] = [
    ("contracts", "GET", "/v1/partners/{id}", None, "partner"),
    ("contracts", "PATCH", "/v1/partners/{id}", {"name": "Ours"}, "partner"),
    ("contracts", "POST", "/v1/partners/{id}/admins", {"email": "spy@x.example", "name": "Spy"}, "partner"),
    ("contracts", "GET", "/v1/customers/{id}", None, "customer"),
    ("contracts", "PATCH", "/v1/customers/{id}", {"name": "Ours"}, "customer"),
    ("contracts", "PUT", "/v1/customers/{id}/invoicing", {"legal_name": "Ours"}, "customer"),
    ("billing", "GET", "/v1/wallets/{id}", None, "partner"),
    ("billing", "GET", "/v1/wallets/{id}/entries", None, "partner"),
    ("billing", "GET", "/v1/wallets/{id}/lots", None, "partner"),
    ("billing", "POST", "/v1/wallets/{id}/top-ups", {"credits": 5, "reason": "gift"}, "partner"),
    ("billing", "POST", "/v1/wallets/{id}/deductions", {"credits": 5, "reason": "theft"}, "partner"),
    ("billing", "POST", "/v1/wallets/{id}/corrections", {"credits": -5, "reason": "theft"}, "partner"),
    ("billing", "PUT", "/v1/wallets/{id}/warning", {"threshold": 5}, "partner"),
    ("billing", "GET", "/v1/instructions/{id}", None, "invoiced"),
    ("billing", "GET", "/v1/customers/{id}/invoicing-route", None, "customer"),
    ("billing", "PUT", "/v1/customers/{id}/invoicing-route", {"route": "direct"}, "customer"),
    ("enrollment", "GET", "/v1/people/{id}", None, "person"),
    ("enrollment", "PATCH", "/v1/people/{id}", {"name": "Ours"}, "person"),
    ("enrollment", "PATCH", "/v1/people/{id}", {"status": "left"}, "employee"),
    ("enrollment", "POST", "/v1/people/{id}/erase", None, "person"),
    ("enrollment", "GET", "/v1/enrollments/{id}", None, "enrollment"),
    ("enrollment", "POST", "/v1/enrollments/{id}/approve", {}, "enrollment"),
    ("enrollment", "POST", "/v1/enrollments/{id}/decline", {}, "enrollment"),
    ("enrollment", "POST", "/v1/enrollments/{id}/withdraw", None, "enrollment"),
    ("enrollment", "POST", "/v1/enrollments/{id}/cancel", {"reason": "spite"}, "invoiced"),
    ("enrollment", "POST", "/v1/enrollments/{id}/move", {"session_id": NOBODY}, "invoiced"),
    ("enrollment", "POST", "/v1/enrollments/{id}/complete", None, "invoiced"),
    ("enrollment", "GET", "/v1/enrollments/{id}/price-change", None, "invoiced"),
    ("enrollment", "POST", "/v1/enrollments/{id}/price-change", {"amount": 1, "reason": "x"}, "invoiced"),
    ("enrollment", "GET", "/v1/people-imports/{id}", None, "people_job"),
    ("enrollment", "GET", "/v1/people-imports/{id}/rows", None, "people_job"),
    ("enrollment", "GET", "/v1/people-imports/{id}/errors.csv", None, "people_job"),
    ("enrollment", "POST", "/v1/people-imports/{id}/start", None, "people_job"),
    ("enrollment", "GET", "/v1/enrollment-batches/{id}", None, "batch"),
    ("enrollment", "GET", "/v1/enrollment-batches/{id}/rows", None, "batch"),
    ("enrollment", "POST", "/v1/sagas/{id}/compensate", None, "invoiced"),
    ("catalog", "GET", "/v1/suppliers/{id}", None, "supplier"),
    ("catalog", "GET", "/v1/suppliers/{id}/users", None, "supplier"),
    ("catalog", "GET", "/v1/suppliers/{id}/checklist", None, "supplier"),
    ("catalog", "PATCH", "/v1/suppliers/{id}", {"name": "Ours"}, "supplier"),
    ("catalog", "PUT", "/v1/suppliers/{id}/invoicing", {"legal_name": "Ours"}, "supplier"),
    ("catalog", "PUT", "/v1/suppliers/{id}/services/enrollments", {"on": False, "conditions": []}, "supplier"),
    ("catalog", "POST", "/v1/suppliers/{id}/users", {"email": "spy@x.example"}, "supplier"),
    ("catalog", "POST", "/v1/suppliers/{id}/close", None, "supplier"),
    ("catalog", "POST", "/v1/courses/{id}/withdraw", None, "course"),
    ("catalog", "POST", "/v1/courses/{id}/prices",
     {"valid_from": "2099-01-01", "price": {"amount": 1, "currency": "EUR"}}, "course"),
    ("academy", "POST", "/v1/learnings/{id}/complete", None, "enrollment"),
    ("academy", "GET", "/v1/certificates/{id}", None, "certificate"),
    ("academy", "GET", "/v1/certificates/{id}.pdf", None, "certificate"),
    ("academy", "POST", "/v1/certificates/{id}/revoke", {"reason": "spite"}, "certificate"),
]  # fmt: skip


@pytest.mark.parametrize("stranger", ["other_partner", "other_customer", "other_supplier", "nobody"])
async def test_what_is_anothers_is_like_what_does_not_exist(suite: Suite, world: World, stranger: str) -> None:
    ids = {
        "partner": world.partner["partner_id"],
        "customer": world.customer["customer_id"],
        "supplier": world.supplier["supplier_id"],
        "person": world.person["person_id"],
        "employee": world.employee["person_id"],
        "course": world.course["course_id"],
        "enrollment": world.enrollment_id,
        "invoiced": world.invoiced_id,
        "certificate": world.certificate,
        "people_job": world.people_job,
        "batch": world.batch_id,
    }
    by = "passer@by.example"
    if stranger != "nobody":
        somebody = getattr(world, stranger)
        by = somebody.get("admin") or somebody["user"]
    before = await facts(suite, world)

    for service, method, path, body, whose in FOREIGN:
        asked = await asyncio.gather(
            *(
                suite.call(method, service, path.format(id=id_), body, by=by, headers={"If-Match": "*"})
                for id_ in (ids[whose], NOBODY)
            )
        )
        told = [(answer.status_code, problem(answer)) for answer in asked]
        assert told[0] == told[1], (service, method, path)
        assert told[0][0] in (403, 404), (service, method, path, told)

    await suite.settle()
    assert await facts(suite, world) == before


async def facts(suite: Suite, world: World) -> list[Any]:
    """What strangers must not have changed."""
    return [
        await suite.get("contracts", f"/v1/partners/{world.partner['partner_id']}"),
        await suite.get("contracts", f"/v1/customers/{world.customer['customer_id']}"),
        await suite.get("catalog", f"/v1/suppliers/{world.supplier['supplier_id']}/checklist"),
        await suite.get("catalog", f"/v1/courses/{world.course['course_id']}"),
        await suite.get("enrollment", f"/v1/people/{world.person['person_id']}"),
        await suite.enrollment(world.enrollment_id),
        await suite.enrollment(world.invoiced_id),
        await suite.wallet(world.partner["partner_id"]),
        await suite.get("academy", f"/v1/certificates/{world.certificate}"),
    ]


async def test_lists_hold_ones_own_alone(suite: Suite, world: World) -> None:
    by = world.other_partner["admin"]
    for service, path in [
        ("contracts", "/v1/partners"),
        ("contracts", "/v1/customers"),
        ("billing", "/v1/wallets"),
        ("billing", "/v1/instructions"),
        ("enrollment", "/v1/people"),
        ("enrollment", "/v1/enrollments"),
        ("enrollment", "/v1/people-imports"),
        ("enrollment", "/v1/enrollment-batches"),
        ("academy", "/v1/learnings"),
        ("academy", "/v1/certificates"),
    ]:
        seen = json.dumps(await suite.get(service, path, by=by))
        assert world.partner["partner_id"] not in seen, path
        assert world.customer["customer_id"] not in seen, path
        assert world.enrollment_id not in seen, path


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_acts_for_a_tenant_by_naming_it(suite: Suite, world: World, service: str) -> None:
    path = {
        "catalog": "/v1/courses",
        "enrollment": "/v1/people",
        "billing": "/v1/wallets",
        "contracts": "/v1/customers",
        "academy": "/v1/learnings",
    }[service]
    for tenant in (f"partner/{world.partner['partner_id']}", f"customer/{world.customer['customer_id']}", "platform"):
        answer = await suite.call("GET", service, path, by=world.other_partner["admin"], tenant=tenant)
        assert (answer.status_code, problem(answer)) == (403, "not-granted"), tenant


async def test_nobody_puts_anothers_people_on_a_course_or_things_into_anothers_account(
    suite: Suite, world: World
) -> None:
    by, own = world.other_partner["admin"], await suite.person(world.other_partner)
    course = world.course["course_id"]

    enrolled = await suite.associate(world.person, world.course, by=by)
    person = {"name": "Spy", "email": f"{uuid4().hex}@x.example", "partner_id": world.partner["partner_id"]}
    added = await suite.call("POST", "enrollment", "/v1/people", person, by=by)
    company = {"name": "Front", "partner_id": world.partner["partner_id"], "size": "small", "language": "en"}
    made = await suite.call("POST", "contracts", "/v1/customers", company, by=by)
    grant = {
        "role": "customer_admin",
        "tenant_kind": "customer",
        "tenant_id": world.customer["customer_id"],
        "email": "spy@x.example",
        "name": "Spy",
    }
    granted = await suite.call("POST", "contracts", "/v1/grants", grant, by=by)
    both = {"course_id": course, "person_ids": [world.person["person_id"], own["person_id"]]}
    batch = await suite.post("enrollment", "/v1/enrollment-batches", both, by=by)
    at = f"/v1/enrollment-batches/{batch['batch_id']}"
    async with asyncio.timeout(20):
        while (await suite.get("enrollment", at, by=by))["state"] == "running":
            await asyncio.sleep(0.05)
    await suite.settle()

    for answer in (enrolled, added, made, granted):
        assert answer.status_code in (403, 404, 422), answer.text
        assert problem(answer)
    rows = (await suite.get("enrollment", f"{at}/rows", by=by))["items"]
    (theirs,) = [row for row in rows if row["person_id"] == world.person["person_id"]]
    assert (theirs["state"], theirs["problem"]["type"]) == ("failed", "/problems/person-not-found")
    found = await suite.get("enrollment", "/v1/enrollments", person_id=world.person["person_id"])
    assert [e["enrollment_id"] for e in found["items"]] == [world.enrollment_id]


# -- links -------------------------------------------------------------------------------------------------


async def test_links_that_are_forged_expired_or_used_decide_nothing(suite: Suite) -> None:
    partner, course = await suite.partner(credits=10), await suite.course(credits=1)
    manager = await suite.person(partner, name="Mo Manager")
    asked = []
    for _ in range(2):
        person = await suite.person(partner, manager_id=manager["person_id"])
        asked.append(ok(await suite.enroll(person, course, "requested", by=person["email"])).json()["enrollment_id"])
        await suite.settle()
    async with asyncio.timeout(20):
        while len(mails := await suite.mails(to=manager["email"])) < 2:
            await asyncio.sleep(0.05)
    links = sorted({link_in(mail) for mail in mails})
    (late,) = await suite.rows(
        "enrollment", "update links set expires_at = now() where matter_id = $1 returning id", asked[0]
    )
    by_matter = {}
    for link in links:
        answer = await suite.http.get(link)
        by_matter[asked[0] if answer.status_code == 410 else asked[1]] = link
    expired, good = by_matter[asked[0]], by_matter[asked[1]]
    token = good.rpartition("/")[2]
    body, _, signature = token.rpartition(".")
    forged = [
        good + "x",
        good[:-1],
        good.replace(token, f"{body}.{signature[::-1]}"),
        good.replace(token, f"{body[:-2]}AA.{signature}"),
        good.replace(token, body),
        good.replace(token, late["id"].hex),
    ]

    async def press(url: str, action: str) -> tuple[int, str]:
        """Straight to the button, as a program would, without looking first."""
        answer = await suite.http.post(url, data={"action": action}, headers={"Accept": "application/json"})
        return answer.status_code, "" if answer.is_success else problem(answer)

    for url in forged:
        assert await press(url, "approve") == (404, "link-unknown"), url
    assert await press(expired, "approve") == (410, "link-expired")
    assert await press(good, "bribe") == (400, "action-unknown")
    assert [(await suite.enrollment(id_))["state"] for id_ in asked] == ["requested", "requested"]

    at_once = await asyncio.gather(*(press(good, action) for action in ("approve", "decline", "approve", "decline")))

    assert sorted(at_once) == [(200, ""), *3 * [(409, "already-decided")]]
    await suite.settle()
    outcome = (await suite.enrollment(asked[1]))["state"]
    assert outcome in ("confirmed", "declined")
    assert await press(good, "approve") == await press(good, "decline") == (409, "already-decided")
    await suite.settle()
    assert [(await suite.enrollment(id_))["state"] for id_ in asked] == ["requested", outcome]
    wallet = await suite.wallet(partner["partner_id"])
    assert (wallet["balance"], wallet["held"]) == (9 if outcome == "confirmed" else 10, 1)
    await assert_sound(suite)


# -- twice, at once, with another body -----------------------------------------------------------------------


async def test_a_key_stands_for_one_request_at_every_service(suite: Suite, world: World) -> None:
    partner_id = world.other_partner["partner_id"]
    before = await suite.wallet(partner_id)
    word = uuid4().hex[:8]
    requests: list[tuple[str, str, Any, Any]] = [
        ("billing", f"/v1/wallets/{partner_id}/top-ups", {"credits": 3, "reason": "Order"}, {"credits": 300}),
        ("enrollment", "/v1/people", {"name": "Twin", "email": f"{word}@x.example", "partner_id": partner_id},
         {"email": f"other-{word}@x.example"}),
        ("contracts", "/v1/partners", {"name": f"Twice {word}", "wallet": True}, {"name": f"Thrice {word}"}),
        ("catalog", "/v1/suppliers", {"name": f"Twice {word}"}, {"name": f"Thrice {word}"}),
        ("academy", f"/v1/certificates/{world.certificate}/revoke", {"reason": "Twice"}, {"reason": "Thrice"}),
    ]  # fmt: skip

    for service, path, body, change in requests:
        at_once = await asyncio.gather(*(suite.call("POST", service, path, body, key=word) for _ in range(6)))
        again = await suite.call("POST", service, path, body, key=word)
        other = await suite.call("POST", service, path, body | change, key=word)

        assert {problem(a) for a in at_once if not a.is_success} <= {"same-request-running"}, service
        assert {a.text for a in at_once if a.is_success} == {ok(again).text}, service
        assert (other.status_code, problem(other)) == (422, "key-used-for-other-body"), service

    assert (await suite.wallet(partner_id))["available"] == before["available"] + 3
    people = await suite.get("enrollment", "/v1/people", email=f"{word}@x.example")
    assert len(people["items"]) == 1
    named = json.dumps(await suite.get("catalog", "/v1/suppliers", q=word))
    assert (named.count("Twice"), named.count("Thrice")) == (1, 0)
    await assert_sound(suite)


async def test_a_double_click_with_two_keys_enrolls_and_charges_once(suite: Suite) -> None:
    partner, course = await suite.partner(credits=10), await suite.course(credits=4)
    person = await suite.person(partner)

    answers = await asyncio.gather(*(suite.associate(person, course, by=partner["admin"]) for _ in range(4)))

    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]
    assert {problem(a) for a in answers if a.status_code == 409} == {"already-enrolled"}
    assert (await suite.wallet(partner["partner_id"]))["balance"] == 6


# -- credits ---------------------------------------------------------------------------------------------------


async def test_credits_out_of_any_range_are_refused_and_the_largest_are_counted_exactly(suite: Suite) -> None:
    partner = await suite.partner(credits=5)
    at = f"/v1/wallets/{partner['partner_id']}"

    for way in ("top-ups", "deductions"):
        for credits in (0, -1, -(10**9), 10**9 + 1, 2**63, 10**30, 1.5, 1e400, "5", True, None, [5]):
            body = json.dumps({"credits": credits, "reason": "x"}).encode()
            headers = {"Content-Type": "application/json"}
            answer = await suite.call("POST", "billing", f"{at}/{way}", content=body, headers=headers)
            assert problem(answer) in ("not-understood", "not-json"), (way, credits)
    too_much = await suite.call("POST", "billing", f"{at}/deductions", {"credits": 6, "reason": "x"})
    assert problem(too_much) == "deduction-too-large"
    assert (await suite.wallet(partner["partner_id"]))["balance"] == 5

    for _ in range(5):
        await suite.top_up(partner["partner_id"], 10**9)
    course, person = await suite.course(credits=1_000_000), await suite.person(partner)
    charged = await suite.associate(person, course, by=partner["admin"])

    assert charged.json()["state"] == "confirmed"
    assert (await suite.wallet(partner["partner_id"]))["balance"] == 5 * 10**9 + 5 - 1_000_000
    await assert_sound(suite)


async def test_a_course_is_not_offered_for_impossible_credits(suite: Suite) -> None:
    for value in (-1, 10**6 + 1, 10**30, 1.5, "four"):
        answer = await suite.call("POST", "catalog", "/v1/courses", course_for(value))
        assert (answer.status_code, problem(answer)) == (422, "not-understood"), value


def course_for(credits: Any) -> dict[str, Any]:
    return {
        "supplier_id": None,
        "offered_by": "platform",
        "title": "Impossible",
        "kind": "elearning",
        "language": "en",
        "list_price": {"amount": 100, "currency": "EUR"},
        "vat": "standard",
        "credits": {"scope": "all", "general_value": credits, "values": {}},
    }


# -- files -----------------------------------------------------------------------------------------------------


async def upload(suite: Suite, service: str, path: str, content: bytes, by: str, **query: str) -> dict[str, Any]:
    """A file sent and done as far as it can be; the job."""
    headers = {"Content-Type": "text/csv", "Prefer": "wait=20"}
    params = {"start": "true", **query}
    job: dict[str, Any] = ok(
        await suite.call("POST", service, path, headers=headers, content=content, params=params, by=by)
    ).json()
    assert job["state"] == "done", job
    return job


async def errors(suite: Suite, service: str, path: str, job: Mapping[str, Any], by: str) -> dict[int, str]:
    """Of each row that was not done: its number in the file, and why."""
    answer = ok(await suite.call("GET", service, f"{path}/{job['id']}/errors.csv", by=by))
    rows = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    return {int(row["_row"]): row["_error"] for row in rows}


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace(",", ";").replace("\n", "\r\n").encode("cp1252"),
        lambda text: text.encode("utf-16"),
    ],
    ids=["with a byte-order mark", "Windows-1252 with semicolons", "UTF-16"],
)
async def test_of_a_file_of_people_the_good_rows_land_and_the_bad_ones_are_named(
    suite: Suite, world: World, encoded: Any
) -> None:
    by, word, at = world.partner["admin"], uuid4().hex[:8], "/v1/people-imports"
    text = (
        "name,email,language,manager_email\n"
        f"Zoë Müller,zoe.{word}@x.example,nl,\n"
        "No Address,nowhere,,\n"
        f",nameless.{word}@x.example,,\n"
        f"Klingon,k.{word}@x.example,tlh,\n"
        f"Too Many,t.{word}@x.example,nl,,surplus,cells\n"
        f"Lost,l.{word}@x.example,nl,nobody.{word}@x.example\n"
        f"Again,zoe.{word}@x.example,nl,\n"
        f"Renée Last,renee.{word}@x.example,nl,zoe.{word}@x.example\n"
    )

    job = await upload(suite, "enrollment", at, encoded(text), by)

    assert (job["total"], job["done"], job["bad"] + job["failed"]) == (8, 2, 6)
    assert sorted(await errors(suite, "enrollment", at, job, by)) == [3, 4, 5, 6, 7, 8]
    landed = [
        person
        for name in ("zoe", "renee")
        for person in (await suite.get("enrollment", "/v1/people", by=by, email=f"{name}.{word}@x.example"))["items"]
    ]
    assert [person["name"] for person in landed] == ["Zoë Müller", "Renée Last"]
    assert landed[1]["manager_id"] == landed[0]["person_id"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
async def test_of_a_file_of_courses_the_good_rows_land_and_the_bad_ones_are_named(
    suite: Suite, world: World, encoding: str
) -> None:
    by, word, at = world.supplier["user"], uuid4().hex[:8], "/v1/course-imports"
    text = (
        "code;title;kind;language;price;sessions\n"
        f"{word}-1;Café één;classroom;nl;395;2027-03-02 09:00-17:00 Utrecht (12)\n"
        f"{word}-2;;classroom;nl;395;\n"
        f"{word}-3;Negative;online;nl;-5;\n"
        f"{word}-4;Huge;online;nl;99999999999999999999;\n"
        f"{word}-5;Webinar;webinar;nl;1;\n"
        f"{word}-6;Backwards;classroom;nl;1;2027-03-02 17:00-09:00 Utrecht (12)\n"
        f"{word}-7;Last;online;nl;120;\n"
    )

    job = await upload(suite, "catalog", at, text.encode(encoding), by)

    assert (job["total"], job["done"], job["bad"] + job["failed"]) == (7, 2, 5)
    assert sorted(await errors(suite, "catalog", at, job, by)) == [3, 4, 5, 6, 7]
    found = (await suite.get("catalog", "/v1/courses", by=by, q=""))["items"]
    assert {c["title"] for c in found if (c["code"] or "").startswith(word)} == {"Café één", "Last"}


@pytest.mark.parametrize(("service", "path"), [("enrollment", "/v1/people-imports"), ("catalog", "/v1/course-imports")])
@pytest.mark.parametrize(
    "content",
    [b"", b"\xef\xbb\xbf", b"PK\x03\x04\x00", b"\x00" * 100, b"name\n", b'"never closed\n' * 3],
    ids=["empty", "a mark alone", "a spreadsheet", "zeros", "half a header", "an open quote"],
)
async def test_a_file_that_is_none_makes_no_rows(suite: Suite, service: str, path: str, content: bytes) -> None:
    headers = {"Content-Type": "text/csv", "Prefer": "wait=20"}

    answer = await suite.call("POST", service, path, headers=headers, content=content, params={"start": "true"})

    if answer.is_success:
        job = answer.json()
        assert (job["state"], job["done"]) == ("failed", 0), job
        assert job["problem"]["type"] == "/problems/file-not-usable"
    else:
        assert problem(answer) in ("file-not-usable", "not-understood")


# -- events ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def producer(running: processes.Suite) -> AsyncIterator[AIOKafkaProducer]:
    """Somebody who may write to Kafka and knows nothing of our envelope."""
    made = AIOKafkaProducer(bootstrap_servers=running.parts.kafka, max_request_size=4 * 1024 * 1024)
    await made.start()
    yield made
    await made.stop()


@dataclass(frozen=True)
class Bad:
    """A record that no reader can handle, and the reason it is parked with."""

    value: bytes | None
    headers: Mapping[str, str]
    reason: str
    error: str

    def pairs(self) -> list[tuple[str, bytes]]:
        return [(name, text.encode()) for name, text in self.headers.items()]


def unreadable(like: Event) -> dict[str, Bad]:
    """All the ways in which a record on this event's topic is none of ours."""
    good, head = json.loads(like.value()), like.headers()

    def headers(**change: str) -> dict[str, str]:
        return head | {"ce_id": str(uuid4())} | change

    def value(**change: Any) -> bytes:
        return json.dumps(good | change).encode()

    wrong = {name: {"wrong": [None]} for name in good}
    return {
        "not JSON": Bad(b"{half", headers(), "ValidationError", "Invalid JSON"),
        "not text": Bad(b"\xff\xfe\x00\x01", headers(), "ValidationError", "Invalid JSON"),
        "not an object": Bad(b"[]", headers(), "ValidationError", "object"),
        "wrong types": Bad(json.dumps(wrong).encode(), headers(), "ValidationError", "valid"),
        "nothing in it": Bad(b"{}", headers(), "ValidationError", "required"),
        "no value": Bad(None, headers(), "ValueError", "no value"),
        "unknown version": Bad(value(), headers(ce_type=f"{like.topic}.v9"), "UnknownVersion", f"{like.topic}.v9"),
        "another event": Bad(value(), headers(ce_type="news.told.v1"), "UnknownVersion", "news.told.v1"),
        "without headers": Bad(value(), {}, "ValueError", "no CloudEvents headers"),
        "an id that is none": Bad(value(), headers(ce_id="7"), "ValueError", "UUID"),
        "300 kB": Bad(b'{"x": "' + b"x" * 300_000, headers(), "ValidationError", "Invalid JSON"),
        "300 kB without headers": Bad(b"x" * 300_000, {}, "ValueError", "no CloudEvents headers"),
        "2 MB": Bad(b"y" * 2_000_000, headers(), "ValidationError", "Invalid JSON"),
        "a version no column holds": Bad(value(version=10**30), headers(), "", ""),
    }


@asynccontextmanager
async def pile(suite: Suite, service: str) -> AsyncIterator[None]:
    """Records pile up before a service's consumer, so that bad and good ones come to it in one batch."""
    db = await asyncpg.connect(suite.processes.parts.database(service).worker)
    try:
        async with db.transaction():
            await db.execute("lock table inbox in exclusive mode")
            yield
    finally:
        await db.close()


async def parked(suite: Suite, service: str, sent: RecordMetadata) -> asyncpg.Record | None:
    rows = await suite.rows(
        service,
        'select reason, error, value, headers from parked where topic = $1 and partition = $2 and "offset" = $3',
        sent.topic,
        sent.partition,
        sent.offset,
    )
    return rows[0] if rows else None


async def assert_parked(suite: Suite, service: str, sent: Mapping[str, tuple[RecordMetadata, Bad]]) -> None:
    """Each with its reason, and with its value for those who look into it."""
    for name, (at, bad) in sent.items():
        row = await parked(suite, service, at)
        assert row, f"{name} is not parked at {service}"
        assert bad.reason in row["reason"], (name, row["reason"], row["error"])
        assert bad.error in row["error"], (name, row["error"])
        assert row["value"] == bad.value, name


async def test_approvals_that_make_no_sense_are_parked_and_their_neighbours_are_charged(
    suite: Suite, producer: AIOKafkaProducer
) -> None:
    partner, course = await suite.partner(credits=10), await suite.course(credits=2)
    people = [await suite.person(partner) for _ in range(3)]
    like = EnrollmentApproved(
        version=1,
        enrollment_id=uuid4(),
        person_id=uuid4(),
        course_id=uuid4(),
        partner_id=UUID(partner["partner_id"]),
        way="associated",
        payment="credits",
        credits=2,
        approved_by="test",
        approved_at=datetime.now(UTC),
    )
    cases = unreadable(like)
    for credits in (-5, 0, 10**9 + 1, 10**30, None):
        odd = json.dumps(json.loads(like.value()) | {"credits": credits, "enrollment_id": str(uuid4())}).encode()
        cases[f"{credits} credits"] = Bad(odd, like.headers() | {"ce_id": str(uuid4())}, "Error", "")
    del cases["a version no column holds"]  # a step fact is not ignored for its version
    sent: dict[str, tuple[RecordMetadata, Bad]] = {}
    enrolled: list[str] = []

    async with pile(suite, "billing"):
        for person in people:
            answer = await suite.associate(person, course, wait=0, by=partner["admin"])
            assert answer.status_code == 202, answer.text
            enrolled.append(answer.json()["enrollment_id"])
            await announced(suite, "enrollment")
            for name, bad in cases.items():  # on the key of the good one, so right behind it
                at = await producer.send_and_wait(like.topic, bad.value, key=enrolled[-1].encode(), headers=bad.pairs())
                sent[f"{name}, {len(enrolled)}"] = (at, bad)
    await suite.settle()

    assert [(await suite.enrollment(id_))["state"] for id_ in enrolled] == 3 * ["confirmed"]
    wallet = await suite.wallet(partner["partner_id"])
    assert (wallet["available"], wallet["held"]) == (4, 0)
    await assert_parked(suite, "billing", sent)
    await assert_sound(suite)


async def announced(suite: Suite, service: str) -> None:
    """Until everything this service announced is in Kafka."""
    async with asyncio.timeout(20):
        while await suite.rows(service, "select 1 from outbox limit 1"):
            await asyncio.sleep(0.02)


READERS_OF_PARTNERS = ("catalog", "enrollment", "billing", "academy")


async def test_poison_between_two_facts_about_one_partner_hides_neither_from_anybody(
    suite: Suite, producer: AIOKafkaProducer
) -> None:
    partner = await suite.partner()
    id_, key = partner["partner_id"], partner["partner_id"].encode()
    like = PartnerChanged(version=7, partner_id=UUID(id_), name="Poisoned", wallet=True)
    cases = unreadable(like)
    cases["a NUL in a text"] = Bad(like.model_copy(update={"name": "a\x00b"}).value(), like.headers(), "Error", "")
    sent: dict[str, tuple[RecordMetadata, Bad]] = {}

    async with pile(suite, "billing"):
        for name in ("Before", "After"):
            answer = await suite.call(
                "PATCH", "contracts", f"/v1/partners/{id_}", {"name": name}, headers={"If-Match": "*"}
            )
            assert answer.status_code == 200, answer.text
            await announced(suite, "contracts")
            if name == "Before":
                for case, bad in cases.items():
                    at = await producer.send_and_wait(like.topic, bad.value, key=key, headers=bad.pairs())
                    sent[case] = (at, bad)
    await suite.settle()

    assert (await suite.wallet(id_))["partner_name"] == "After"
    for service in READERS_OF_PARTNERS:
        await assert_parked(suite, service, sent)
    (partners,) = [await suite.rows("enrollment", "select name from partners where id = $1", id_)]
    assert [row["name"] for row in partners] == ["After"]
    await assert_sound(suite)


async def test_poison_on_every_partition_that_anybody_reads_stops_nobody(
    suite: Suite, producer: AIOKafkaProducer
) -> None:
    listens = {
        service: (await suite.http.get(f"{suite.urls[service]}/readyz")).json()["listens"] for service in SERVICES
    }
    sent: dict[str, dict[str, tuple[RecordMetadata, Bad]]] = {service: {} for service in SERVICES}
    for event in all_events():
        readers = [service for service in SERVICES if event.topic in listens[service]]
        head = {"ce_type": event.type(), "content-type": "application/json"}
        for partition in range(event.partitions if readers else 0):
            for bad in (
                Bad(b'{"half', head | {"ce_id": str(uuid4())}, "ValidationError", "Invalid JSON"),
                Bad(b"{}", head | {"ce_id": str(uuid4()), "ce_type": "x.v0"}, "UnknownVersion", "x.v0"),
                Bad(b"\x00" * 2_000, {}, "ValueError", "no CloudEvents headers"),
            ):
                at = await producer.send_and_wait(
                    event.topic, bad.value, key=b"poison", partition=partition, headers=bad.pairs()
                )
                for service in readers:
                    sent[service][str(at)] = (at, bad)
    assert all(sent.values())

    partner, course = await suite.partner(credits=10), await suite.course(credits=4)
    customer = await suite.customer(partner=partner)
    manager = await suite.person(customer_id=customer["customer_id"], roles=["customer_admin"])
    person = await suite.person(customer_id=customer["customer_id"], manager_id=manager["person_id"])
    enrolled = ok(await suite.associate(person, course, by=partner["admin"])).json()
    await suite.settle()
    await suite.post("academy", f"/v1/learnings/{enrolled['enrollment_id']}/complete", by=person["email"])
    await suite.settle()

    assert (await suite.enrollment(enrolled["enrollment_id"]))["state"] == "completed"
    assert len((await suite.get("academy", "/v1/certificates", by=person["email"]))["items"]) == 1
    assert (await suite.wallet(partner["partner_id"]))["balance"] == 6
    mine = await suite.get("contracts", "/v1/customers", by=manager["email"])
    assert [c["customer_id"] for c in mine["items"]] == [customer["customer_id"]]
    portal = {"sites": [f"customer_portal/{customer['customer_id']}"]}
    supplier = await suite.post("catalog", "/v1/suppliers", {"name": f"After {uuid4().hex[:6]}"})
    await suite.put("catalog", f"/v1/suppliers/{supplier['supplier_id']}/sites", portal)
    for service in SERVICES:
        await assert_parked(suite, service, sent[service])
    await assert_sound(suite)


async def test_answers_about_unknown_enrollments_change_nothing(suite: Suite, producer: AIOKafkaProducer) -> None:
    partner = await suite.partner(credits=10)
    event = CreditsCharged(
        version=1, enrollment_id=uuid4(), partner_id=UUID(partner["partner_id"]), credits=4, available=6
    )

    at = await producer.send_and_wait(
        event.topic,
        event.value(),
        key=event.aggregate_id.encode(),
        headers=[(name, text.encode()) for name, text in event.headers().items()],
    )
    await suite.settle()

    row = await parked(suite, "enrollment", at)
    assert row
    assert str(event.enrollment_id) in row["error"]
    unknown = await suite.call("GET", "enrollment", f"/v1/enrollments/{event.enrollment_id}")
    assert problem(unknown) == "enrollment-not-found"
    assert (await suite.wallet(partner["partner_id"]))["balance"] == 10
    await assert_sound(suite)


async def test_facts_that_no_column_can_hold_are_parked_and_block_nobody(
    suite: Suite, producer: AIOKafkaProducer
) -> None:
    sent: list[tuple[str, RecordMetadata]] = []
    # Terms are left out: those that could be read would hold for every story.
    facts = [event for event in all_events() if event.state and event is not TermsChanged]
    for event in facts:
        fullest = max(examples(event.type()), key=lambda example: len(json.dumps(example.value)))
        for spoil in ("a\x00b", 10**30, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
            for value in spoilt(fullest.value, spoil):
                text, headers = unrelated(json.dumps(value)), fullest.headers | {"ce_id": str(uuid4())}
                at = await producer.send_and_wait(
                    event.topic, text.encode(), key=b"spoilt", headers=[(k, v.encode()) for k, v in headers.items()]
                )
                sent.append((text, at))
    assert len(sent) > 100

    partner = await suite.partner(credits=1)
    await suite.settle()

    for service in READERS_OF_PARTNERS:
        rows = await suite.rows(service, "select * from parked where topic = 'partner.changed'")
        held = {(row["partition"], row["offset"]) for row in rows}
        for text, at in sent:
            if at.topic == "partner.changed" and json.loads(text).get("name") == "a\x00b":
                assert (at.partition, at.offset) in held, (service, text)
    assert (await suite.wallet(partner["partner_id"]))["balance"] == 1
    await assert_sound(suite)


def unrelated(text: str) -> str:
    """A fact about others than the example's: nobody in these stories."""
    word = uuid4().hex[:8]
    ids: dict[str, str] = {}
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda m: ids.setdefault(m[0], str(uuid4())), text)
    return text.replace("@", f"-{word}@")
