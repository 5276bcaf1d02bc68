"""What the HTTP edge promises its callers, on real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, Body, Response
from pydantic import BaseModel
from sqlalchemy import func, select, text, update
from sqlalchemy.event import listen
from sqlalchemy.exc import InternalError
from starlette.requests import Request

from kit.auth import Role
from kit.db import Database
from kit.http import (
    Caller,
    Db,
    IfMatch,
    Items,
    Once,
    Page,
    Prefer,
    Router,
    begin,
    claim,
    etag,
    needs,
    now,
    once_table,
    outcome,
    page,
    problems,
    purge_answers,
)
from kit.notify import notify
from kit.problems import Refused
from shared.tests.sample import CUSTOMER, OTHER, PARTNER, Note, Sample, sample, urls  # noqa: F401
from stack.databases import Urls

router = Router(prefix="/v1/notes")


class TooRude(Refused):
    """The note is rude."""

    status = 409
    rule = "NOT-1"
    remedy = "Be kind."


class NoteNotFound(Refused):
    """No such note."""

    status = 404


class NoteIn(BaseModel):
    body: str
    version: int = 1


class NoteOut(BaseModel):
    id: UUID
    body: str
    version: int


def shown(note: Note) -> NoteOut:
    return NoteOut(id=note.id, body=note.body, version=note.version)


UNREACHABLE = {
    "swallows": TimeoutError(),  # as asyncpg says where an address takes everything and answers nothing
    "good-bye": InternalError(None, None, asyncpg.InternalClientError("cannot switch to state 12")),
}


@router.post("", status_code=201, dependencies=[needs("partner_admin")], responses=problems(TooRude))
async def post_note(body: NoteIn, caller: Caller, db: Db, once: Once, response: Response) -> NoteOut:
    note = Note(partner_id=caller.tenant_id, body=body.body, version=body.version)
    db.add(note)
    await db.flush()
    if body.body == "rude":
        raise TooRude("words", field="body", words=3)
    if body.body == "crash":
        raise RuntimeError("secret internals")
    if body.body in UNREACHABLE:
        raise UNREACHABLE[body.body]
    if body.body == "slow":
        await db.execute(text("select pg_sleep(0.5)"))
    response.headers["Location"] = f"/v1/notes/{note.id}"
    return shown(note)


@router.get("", dependencies=[needs("partner_admin", "admin")])
async def get_notes(db: Db, at: Page, body: str = "") -> Items[NoteOut]:
    return await page(db, select(Note).where(Note.body.startswith(body)), [Note.body.desc(), Note.id.desc()], at, shown)


@router.get("/bodies", dependencies=[needs("admin")])
async def get_bodies(db: Db, at: Page) -> Items[str]:
    return await page(db, select(Note.body, Note.version), [Note.id], at, lambda row: f"{row.body} {row.version}")


@router.get("/{note_id}")
async def get_note(note_id: UUID, caller: Caller, db: Db, response: Response) -> NoteOut:
    note = await db.get(Note, note_id)
    if note is None:
        raise NoteNotFound(note_id)
    response.headers["ETag"] = etag(note.version)
    return shown(note)


@router.put("/{note_id}")
async def put_note(note_id: UUID, body: NoteIn, caller: Caller, db: Db, if_match: IfMatch) -> NoteOut:
    note = await db.get_one(Note, note_id, with_for_update=True)
    if_match.check(note.version)
    note.body, note.version = body.body, note.version + 1
    await db.flush()
    return shown(note)


@router.post("/asked", status_code=201)
async def post_asked(request: Request, caller: Caller, prefer: Prefer, response: Response) -> NoteOut:
    """Answers after the commit: asked, and answered by somebody else."""
    async with begin(request, caller) as db:
        once = await claim(request, caller, db)
        if once.resource is None:
            note = Note(partner_id=caller.tenant_id, body="asked", version=1)
            db.add(note)
            await db.flush()
            await once.keep(note.id)
    note_id = UUID(once.resource)

    async def read(db: Any) -> Note:
        return (await db.execute(select(Note).where(Note.id == note_id))).scalar_one()

    found = await outcome(request, caller, f"note/{note_id}", prefer.wait_s, read, lambda n: n.version > 1)
    if found.version == 1:
        response.status_code = 202
    return shown(found)


@router.post("/upload", max_body_size=3 << 20, dependencies=[needs("partner_admin")])
async def post_upload(body: Annotated[bytes, Body(media_type="text/plain")]) -> int:
    return len(body)


@pytest.fixture(scope="module")
async def service(urls: Urls) -> AsyncIterator[Sample]:  # noqa: F811
    async with sample(urls, router) as running:
        yield running


@pytest.fixture
async def anna(service: Sample) -> AsyncIterator[httpx.AsyncClient]:
    """An admin of a partner."""
    async with service.client(
        await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), "anna@a.example")
    ) as client:
        yield client


@pytest.fixture
async def bob(service: Sample) -> AsyncIterator[httpx.AsyncClient]:
    """An admin of another partner."""
    async with service.client(await service.grant(Role.PARTNER_ADMIN, ("partner", OTHER), "bob@b.example")) as client:
        yield client


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


async def notes(service: Sample, body: str) -> int:
    async with service.database.worker() as db:
        return (await db.execute(select(func.count()).where(Note.body == body))).scalar_one()


async def test_an_answer_is_sent_after_the_commit(service: Sample, anna: httpx.AsyncClient) -> None:
    answer = await anna.post("/v1/notes", json={"body": "hello"}, headers=key())

    assert answer.status_code == 201
    async with service.database.worker() as db:  # at once, by another connection
        assert await db.scalar(select(Note.body).where(Note.id == UUID(answer.json()["id"]))) == "hello"


async def test_a_retry_gets_the_stored_answer_and_does_nothing(service: Sample, anna: httpx.AsyncClient) -> None:
    headers = key()
    first = await anna.post("/v1/notes", json={"body": "once"}, headers=headers)
    second = await anna.post("/v1/notes", json={"body": "once"}, headers=headers)

    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert await notes(service, "once") == 1


async def test_the_same_key_with_another_body_is_refused(anna: httpx.AsyncClient) -> None:
    headers = key()
    await anna.post("/v1/notes", json={"body": "this"}, headers=headers)
    other = await anna.post("/v1/notes", json={"body": "that"}, headers=headers)

    assert other.status_code == 422
    assert other.json()["type"] == "/problems/key-used-for-other-body"


async def test_the_same_key_of_another_caller_is_another_request(
    service: Sample, anna: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    headers = key()
    mine = await anna.post("/v1/notes", json={"body": "ours"}, headers=headers)
    yours = await bob.post("/v1/notes", json={"body": "ours"}, headers=headers)

    assert (mine.status_code, yours.status_code) == (201, 201)
    assert await notes(service, "ours") == 2


async def test_the_same_key_for_another_tenant_is_another_request(service: Sample) -> None:
    for partner_id in (PARTNER, OTHER):
        token = await service.grant(Role.PARTNER_ADMIN, ("partner", partner_id), "both@a.example")
    headers = key()
    answers = []
    for partner_id in (PARTNER, OTHER):
        async with service.client(token, **{"Tandem-Tenant": f"partner/{partner_id}"}) as client:
            answers.append(await client.post("/v1/notes", json={"body": "two tenants"}, headers=headers))

    assert [a.status_code for a in answers] == [201, 201]
    assert await notes(service, "two tenants") == 2


async def test_the_same_request_twice_at_once_acts_once(service: Sample, anna: httpx.AsyncClient) -> None:
    headers = key()
    answers = await asyncio.gather(*(anna.post("/v1/notes", json={"body": "slow"}, headers=headers) for _ in range(4)))

    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]
    assert {a.json()["type"] for a in answers if a.status_code == 409} == {"/problems/same-request-running"}
    assert await notes(service, "slow") == 1


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 256}])
async def test_a_key_is_required(service: Sample, anna: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await anna.post("/v1/notes", json={"body": "keyless"}, headers=headers)

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/idempotency-key-missing")
    assert await notes(service, "keyless") == 0


async def test_a_refusal_undoes_everything_and_may_be_tried_again(service: Sample, anna: httpx.AsyncClient) -> None:
    headers = key()
    first = await anna.post("/v1/notes", json={"body": "rude"}, headers=headers)
    again = await anna.post("/v1/notes", json={"body": "kind"}, headers=headers)

    assert first.headers["content-type"] == "application/problem+json"
    assert first.json() == {
        "type": "/problems/too-rude",
        "title": "The note is rude.",
        "status": 409,
        "detail": "words",
        "field": "body",
        "rule": "NOT-1",
        "remedy": "Be kind.",
        "words": 3,
        "instance": "/v1/notes",
    }
    assert await notes(service, "rude") == 0
    assert again.status_code == 201


async def test_old_answers_are_forgotten(service: Sample, anna: httpx.AsyncClient) -> None:
    headers = key()
    await anna.post("/v1/notes", json={"body": "old"}, headers=headers)
    async with service.database.worker.begin() as db:
        made = select(func.max(once_table.c.created_at)).scalar_subquery()
        await db.execute(
            update(once_table)
            .where(once_table.c.created_at == made)
            .values(created_at=func.now() - text("interval '31 days'"))
        )
        assert await purge_answers(db, now()) == 1
        assert await purge_answers(db, now()) == 0

    await anna.post("/v1/notes", json={"body": "old"}, headers=headers)
    assert await notes(service, "old") == 2


async def test_a_failure_says_nothing_of_our_insides(anna: httpx.AsyncClient) -> None:
    answer = await anna.post("/v1/notes", json={"body": "crash"}, headers=key())

    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/failed")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]


async def test_partners_see_their_own_rows_only(anna: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    note = (await anna.post("/v1/notes", json={"body": "private"}, headers=key())).json()["id"]

    assert (await anna.get(f"/v1/notes/{note}")).status_code == 200
    assert (await bob.get(f"/v1/notes/{note}")).json()["type"] == "/problems/note-not-found"


async def test_pages_lead_through_a_list_without_gaps_or_doubles(anna: httpx.AsyncClient) -> None:
    for n in range(7):
        await anna.post("/v1/notes", json={"body": f"page {n % 4}"}, headers=key())
    url: str | None = "/v1/notes?limit=3&body=page"
    seen = []
    sizes = []
    while url:
        answer = await anna.get(url)
        items = answer.json()["items"]
        seen += [item["body"] for item in items]
        sizes.append(len(items))
        url = answer.links["next"]["url"] if "next" in answer.links else None

    assert sizes == [3, 3, 1]
    assert seen == ["page 3", "page 2", "page 2", "page 1", "page 1", "page 0", "page 0"]


async def test_pages_of_columns_work_too(service: Sample) -> None:
    async with service.client(service.issuer.token("root@tandem.example")) as root:
        first = await root.get("/v1/notes/bodies?limit=1")
        second = await root.get(first.links["next"]["url"])

    assert len(first.json()["items"]) == len(second.json()["items"]) == 1
    assert first.json() != second.json()


@pytest.mark.parametrize("cursor", ["nonsense", "W10", "WzEsMl0", "bnVsbA", "%F0%9F%98%80"])
async def test_a_forged_cursor_is_refused(anna: httpx.AsyncClient, cursor: str) -> None:
    answer = await anna.get(f"/v1/notes?after={cursor}")

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-cursor")


async def test_an_edit_needs_the_version_it_was_made_on(anna: httpx.AsyncClient) -> None:
    url = (await anna.post("/v1/notes", json={"body": "draft"}, headers=key())).headers["Location"]
    tag = (await anna.get(url)).headers["ETag"]

    assert (await anna.put(url, json={"body": "blind"})).status_code == 428
    assert (await anna.put(url, json={"body": "better"}, headers={"If-Match": tag})).json()["version"] == 2
    stale = await anna.put(url, json={"body": "stale"}, headers={"If-Match": tag})
    assert (stale.status_code, stale.json()["version"]) == (412, 2)


async def answer_asked(service: Sample, body: str = "answered") -> UUID:
    """Answer the open question, once there is one."""
    async with asyncio.timeout(5):
        while True:
            async with service.database.worker.begin() as db:
                changed = update(Note).where(Note.body == "asked").values(body=body, version=2).returning(Note.id)
                if note_id := await db.scalar(changed):
                    await notify(db, f"note/{note_id}")
                    return note_id
            await asyncio.sleep(0.01)


async def test_prefer_wait_answers_with_the_outcome(service: Sample, anna: httpx.AsyncClient) -> None:
    headers = key() | {"Prefer": "respond-async, wait=20"}
    answer, _ = await asyncio.gather(anna.post("/v1/notes/asked", headers=headers), answer_asked(service))

    assert (answer.status_code, answer.json()["version"]) == (201, 2)
    assert answer.headers["Preference-Applied"] == "wait=20"


async def test_without_a_wait_the_answer_comes_at_once_and_a_retry_shows_it_as_it_is_now(
    service: Sample, anna: httpx.AsyncClient
) -> None:
    headers = key()
    at_once = await anna.post("/v1/notes/asked", headers=headers)
    await answer_asked(service, "later")
    retry = await anna.post("/v1/notes/asked", headers=headers)

    assert (at_once.status_code, at_once.json()["version"]) == (202, 1)
    assert (retry.status_code, retry.json()["body"]) == (201, "later")
    assert await notes(service, "later") == 1


async def test_a_wait_ends_at_its_deadline(service: Sample, anna: httpx.AsyncClient) -> None:
    answer = await anna.post("/v1/notes/asked", headers=key() | {"Prefer": "wait=1"})

    assert answer.status_code == 202
    await answer_asked(service, "too late")


async def test_bodies_have_a_limit_by_route(anna: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * (1 << 20)

    declared = await anna.post("/v1/notes", json={"body": "x" * (2 << 20)}, headers=key())
    streamed = await anna.post("/v1/notes", content=chunks(), headers=key() | {"Content-Type": "application/json"})
    upload = await anna.post("/v1/notes/upload", content=b"x" * (2 << 20), headers={"Content-Type": "text/plain"})

    for refused in (declared, streamed):
        assert refused.status_code == 413
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "/problems/body-too-large"
    assert (upload.status_code, upload.json()) == (200, 2 << 20)


async def test_what_is_wrong_with_a_request_is_named(anna: httpx.AsyncClient) -> None:
    broken = await anna.post("/v1/notes", content=b'{"body": ', headers=key() | {"Content-Type": "application/json"})
    wrong = await anna.post("/v1/notes", json={"body": 7}, headers=key())
    unknown = await anna.get("/v1/nothing")
    method = await anna.delete("/v1/notes")
    bad_id = await anna.get("/v1/notes/7")

    assert (broken.status_code, broken.json()["type"]) == (400, "/problems/not-json")
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == [
        {"field": "body", "rule": "string_type", "remedy": "Input should be a valid string"}
    ]
    assert (unknown.status_code, unknown.json()["title"]) == (404, "Not Found")
    assert (method.status_code, method.json()["title"]) == (405, "Method Not Allowed")
    assert method.headers["Allow"]
    assert bad_id.json()["errors"][0]["field"] == "note_id"
    for answer in (broken, wrong, unknown, method, bad_id):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"body": ' * 100_000], ids=["not text", "nested too deep"])
async def test_a_body_that_is_no_text_is_not_json(anna: httpx.AsyncClient, content: bytes) -> None:
    answer = await anna.post("/v1/notes", content=content, headers=key() | {"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/not-json")


@pytest.mark.parametrize(
    ("body", "rule"),
    [({"body": "a\x00b"}, "nul_character"), ({"body": "a", "version": 2**40}, "out_of_range")],
)
async def test_what_no_column_can_hold_is_refused(anna: httpx.AsyncClient, body: dict[str, Any], rule: str) -> None:
    answer = await anna.post("/v1/notes", json=body, headers=key())

    assert (answer.status_code, answer.json()["errors"][0]["rule"]) == (422, rule)


async def test_without_a_database_the_answer_says_so(urls: Urls) -> None:  # noqa: F811
    nowhere = Urls(*3 * ["postgresql://x:y@127.0.0.1:1/x"])
    async with sample(nowhere, router) as broken, broken.client(broken.issuer.token("root@tandem.example")) as client:
        answer = await client.get("/v1/notes")

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_request_that_waits_too_long_for_a_row_is_told_to_come_again(urls: Urls) -> None:  # noqa: F811
    async with sample(urls, router) as service:
        service.settings = service.settings.model_copy(update={"lock_wait_max_s": 0.2})
        service.database = Database(service.settings, "sample")
        token = await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), "carl@a.example")
        async with service.client(token) as carl, service.database.worker.begin() as holder:
            note = Note(id=uuid4(), partner_id=PARTNER, body="held", version=1)
            async with service.database.worker.begin() as db:
                db.add(note)
            await holder.execute(select(Note.id).where(Note.id == note.id).with_for_update())

            answer = await asyncio.wait_for(
                carl.put(f"/v1/notes/{note.id}", json={"body": "x"}, headers={"If-Match": '"1"'}), 5
            )
            async with service.database.worker() as db:
                waits = await db.scalar(text("show lock_timeout"))

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert answer.headers["retry-after"] == "1"
    assert waits == "0"


async def test_a_server_that_only_reads_while_it_recovers_is_asked_again_later(urls: Urls) -> None:  # noqa: F811
    async with sample(urls, router) as service:
        token = await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), "rita@a.example")
        listen(
            service.database.api_engine.sync_engine,
            "begin",
            lambda connection: connection.exec_driver_sql("set transaction read only"),
        )
        async with service.client(token) as rita:
            answer = await rita.post("/v1/notes", json={"body": "x"}, headers={"Idempotency-Key": "only-reads"})

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")


@pytest.mark.parametrize("how", UNREACHABLE)
async def test_a_database_that_goes_away_without_a_word_is_told_as_unavailable(service: Sample, how: str) -> None:
    token = await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), "carl@a.example")
    async with service.client(token) as carl:
        answer = await carl.post("/v1/notes", json={"body": how}, headers={"Idempotency-Key": how})

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")


async def test_a_route_that_nobody_would_commit_is_a_loud_mistake(urls: Urls) -> None:  # noqa: F811
    foreign = APIRouter()
    foreign.get("/v1/foreign")(get_bodies)
    async with sample(urls, foreign) as service, service.client(service.issuer.token("root@tandem.example")) as client:
        assert (await client.get("/v1/foreign")).status_code == 500


async def test_the_openapi_document_names_every_problem(service: Sample) -> None:
    async with service.client() as client:
        document = (await client.get("/openapi.json")).json()

    post = document["paths"]["/v1/notes"]["post"]["responses"]
    examples = {
        name
        for r in post.values()
        for name in r.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    assert examples == {
        "NotSignedIn", "TokenRefused", "TenantNotNamed", "NotGranted", "RoleMissing", "IdempotencyKeyMissing",
        "SameRequestRunning", "KeyUsedForOtherBody", "NotJson", "NotUnderstood", "TooManyRequests",
        "BodyTooLarge", "TooRude",
    }  # fmt: skip
    assert document["components"]["schemas"]["Problem"]["required"] == ["type", "title", "status"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert document["paths"]["/v1/notes"]["post"]["security"] == [{"bearer": []}]
