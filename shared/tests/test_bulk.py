"""Bulk work: every row has its outcome, whatever the others do and wherever it is interrupted."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import BaseModel, Field
from sqlalchemy import delete, func, insert, select, text

from kit import bulk
from kit.auth import Role, act_as
from kit.bulk import BulkJob, BulkRow, Kind, Outcome
from kit.clock import now
from kit.db import Session, uuid7
from kit.problems import Refused
from shared.tests.sample import OTHER, PARTNER, Note, Sample, sample, urls  # noqa: F401
from stack.databases import Urls


class NoteTaken(Refused):
    """There is such a note already."""

    rule = "NOT-2"
    remedy = "Choose another text."


class NoteRow(BaseModel):
    body: str = Field(max_length=100)
    version: int = Field(1, ge=1, alias="No")


class Options(BaseModel):
    prefix: str = ""


async def write_notes(db: Session, job: BulkJob, rows: Sequence[BulkRow[NoteRow]]) -> list[Outcome]:
    taken = set((await db.execute(select(Note.body))).scalars())
    partner_id = UUID(job.tenant.removeprefix("partner/"))
    made = {row.row: uuid7() for row in rows if job.options["prefix"] + row.data.body not in taken}
    for row in rows:
        if row.data.body == "crash":
            raise RuntimeError("secret")
        if row.data.body == "locked":  # SQLSTATE 55P03, as from a row that somebody holds for ever
            await db.execute(text("do $$ begin raise lock_not_available; end $$"))
    if made:
        await db.execute(
            insert(Note),
            [
                {
                    "id": made[row.row],
                    "partner_id": partner_id,
                    "body": job.options["prefix"] + row.data.body,
                    "version": row.data.version,
                }
                for row in rows
                if row.row in made
            ],
        )
    return [
        Outcome({"note_id": made[row.row]}) if row.row in made else Outcome(refused=NoteTaken(field="body"))
        for row in rows
    ]


async def no_wine(db: Session, job: BulkJob, rows: Sequence[BulkRow[NoteRow]]) -> dict[int, list[dict[str, str]]]:
    return {
        row.row: [{"field": "body", "rule": "no_wine", "remedy": "Write of water."}]
        for row in rows
        if "wine" in row.data.body
    }


NOTES = Kind("notes", NoteRow, key=lambda row: row.body, apply=write_notes, check=no_wine, options=Options)
work, forget = bulk.workers(NOTES)


@pytest.fixture(scope="module")
async def service(urls: Urls) -> AsyncIterator[Sample]:  # noqa: F811
    async with sample(urls, bulk.router("/v1/note-imports", NOTES, roles=["partner_admin", "admin"])) as running:
        yield running


@pytest.fixture
async def anna(service: Sample) -> AsyncIterator[httpx.AsyncClient]:
    async with service.database.worker.begin() as db:
        await db.execute(delete(Note))
        await db.execute(delete(bulk.jobs))
    async with service.client(
        await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), "anna@a.example")
    ) as client:
        yield client


async def rest(service: Sample) -> int:
    """Let the worker do all there is; how many transactions that took."""
    rounds = 0
    while await work.once(service.database.worker, now()):
        rounds += 1
    return rounds


async def upload(client: httpx.AsyncClient, content: str | bytes, **query: Any) -> httpx.Response:
    headers = {"Idempotency-Key": uuid4().hex, "Content-Type": "text/csv"}
    return await client.post("/v1/note-imports", content=content, params=query, headers=headers)


async def job_of(client: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(answer.headers["Location"])).json()
    return found


async def bodies(service: Sample) -> list[str]:
    async with service.database.worker() as db:
        return list((await db.execute(select(Note.body).order_by(Note.body))).scalars())


def figures(job: dict[str, Any]) -> tuple[str, int, int, int, int]:
    return job["state"], job["total"], job["bad"], job["done"], job["failed"]


async def test_a_job_that_always_meets_a_fault_of_the_infrastructure_lets_the_others_go_on(
    service: Sample, anna: httpx.AsyncClient
) -> None:
    stuck = await upload(anna, "body\nlocked\n", start=True)
    other = await upload(anna, "body\na\nb\n", start=True)

    for _ in range(6):  # checking both, then one applied and one tried, in turns
        await work.once(service.database.worker, now())

    assert figures(await job_of(anna, other)) == ("done", 2, 0, 2, 0)
    assert figures(await job_of(anna, stuck)) == ("running", 1, 0, 0, 0)


async def test_a_file_is_previewed_with_every_bad_row_and_why(service: Sample, anna: httpx.AsyncClient) -> None:
    answer = await upload(anna, "body,No\na,1\n,2\nred wine,3\na,4\nb,none\nc\n", file_name="notes.csv")
    await rest(service)
    job = await job_of(anna, answer)
    bad = (await anna.get(f"{answer.headers['Location']}/rows?state=bad")).json()["items"]

    assert answer.status_code == 202
    assert (figures(job), job["file_name"]) == (("previewed", 6, 5, 0, 0), "notes.csv")
    assert [(r["row"], r["errors"][0]["field"], r["errors"][0]["rule"]) for r in bad] == [
        (3, "body", "missing"),
        (4, "body", "no_wine"),
        (5, "", "duplicate"),
        (6, "No", "int_parsing"),
        (7, "", "ragged_row"),
    ]
    assert all(r["errors"][0]["remedy"] for r in bad)
    assert await bodies(service) == []


async def test_a_started_preview_does_the_good_rows(service: Sample, anna: httpx.AsyncClient) -> None:
    answer = await upload(anna, "body\na\nwine\nb\n")
    await rest(service)
    started = await anna.post(f"{answer.headers['Location']}/start", headers={"Idempotency-Key": "s1"})
    await rest(service)

    assert (started.status_code, started.json()["state"]) == (202, "running")
    assert figures(await job_of(anna, answer)) == ("done", 3, 1, 2, 0)
    assert await bodies(service) == ["a", "b"]


async def test_rows_have_their_outcome_and_the_error_file_can_be_corrected_and_sent(
    service: Sample, anna: httpx.AsyncClient
) -> None:
    await upload(anna, "body\ntaken\n", start=True)
    await rest(service)
    answer = await upload(anna, 'body,No\ntaken,1\nfresh,2\n"=wine, bad",3\n', start=True)
    await rest(service)
    url = answer.headers["Location"]
    rows = {r["row"]: r for r in (await anna.get(f"{url}/rows")).json()["items"]}
    errors = await anna.get(f"{url}/errors.csv")
    lines = list(csv.reader(io.StringIO(errors.content.decode("utf-8-sig"))))

    assert figures(await job_of(anna, answer)) == ("done", 3, 1, 1, 1)
    assert rows[2]["result"]["problem"]["type"] == "/problems/note-taken"
    assert rows[3]["state"] == "done"
    assert UUID(rows[3]["result"]["note_id"])
    assert lines == [
        ["body", "No", "_row", "_error"],
        ["taken", "1", "2", "body: There is such a note already. Choose another text."],
        ["'=wine, bad", "3", "4", "body: Write of water."],
    ]
    assert errors.headers["content-type"] == "text/csv; charset=utf-8"
    corrected = await upload(anna, errors.content.replace(b"taken", b"new").replace(b"wine", b"water"), start=True)
    await rest(service)
    assert figures(await job_of(anna, corrected)) == ("done", 2, 0, 2, 0)
    assert await bodies(service) == ["=water, bad", "fresh", "new", "taken"]


async def test_the_same_file_again_is_the_same_job(service: Sample, anna: httpx.AsyncClient) -> None:
    first = await upload(anna, "body\na\n")
    await rest(service)
    second = await upload(anna, "body\na\n", start=True)
    await rest(service)
    third = await upload(anna, "body\na\n", start=True)
    other = await upload(anna, "body\na\n", start=True, prefix="other ")
    await rest(service)

    assert first.headers["Location"] == second.headers["Location"] == third.headers["Location"]
    assert (third.status_code, third.json()["state"]) == (201, "done")
    assert other.headers["Location"] != first.headers["Location"]
    assert await bodies(service) == ["a", "other a"]


async def test_the_same_file_of_another_tenant_is_another_job(service: Sample, anna: httpx.AsyncClient) -> None:
    bob = service.client(await service.grant(Role.PARTNER_ADMIN, ("partner", OTHER), "bob@b.example"))
    mine, yours = await upload(anna, "body\na\n"), await upload(bob, "body\na\n")

    assert mine.headers["Location"] != yours.headers["Location"]
    for path in ("", "/rows", "/errors.csv"):
        assert (await bob.get(mine.headers["Location"] + path)).json()["type"] == "/problems/job-not-found"
    start = await bob.post(mine.headers["Location"] + "/start", headers={"Idempotency-Key": "x"})
    assert start.status_code == 404
    assert [j["id"] for j in (await bob.get("/v1/note-imports")).json()["items"]] == [yours.json()["id"]]
    await bob.aclose()


async def test_the_database_itself_hides_jobs_and_rows_of_other_tenants(
    service: Sample, anna: httpx.AsyncClient
) -> None:
    await upload(anna, "body\na\n")
    await rest(service)
    seen = []
    for tenant in (f"partner/{PARTNER}", f"partner/{OTHER}", "platform"):
        async with service.database.api() as db:
            await act_as(db, tenant, "user:x")
            seen.append([await db.scalar(select(func.count()).select_from(t)) for t in (bulk.jobs, bulk.rows)])

    assert seen == [[1, 1], [0, 0], [1, 1]]


async def test_all_or_nothing_refuses_a_file_with_a_bad_row(service: Sample, anna: httpx.AsyncClient) -> None:
    answer = await upload(anna, "body\na\nwine\n", mode="all_or_nothing", start=True)
    await rest(service)
    job = await job_of(anna, answer)
    start = await anna.post(f"{answer.headers['Location']}/start", headers={"Idempotency-Key": "s2"})

    assert figures(job) == ("failed", 2, 1, 0, 0)
    assert job["problem"]["type"] == "/problems/some-rows-bad"
    assert start.json()["type"] == "/problems/job-not-startable"
    assert await bodies(service) == []


async def test_all_or_nothing_undoes_everything_when_a_row_is_refused_late(
    service: Sample, anna: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk.work, "CHUNK_ROWS", 2)
    await upload(anna, "body\ntaken\n", start=True)
    await rest(service)
    answer = await upload(anna, "body\na\nb\nc\ntaken\nd\n", mode="all_or_nothing", start=True)
    await rest(service)
    failed = (await anna.get(f"{answer.headers['Location']}/rows?state=failed")).json()["items"]

    assert figures(await job_of(anna, answer)) == ("failed", 5, 0, 0, 0)
    assert [r["row"] for r in failed] == [5]
    assert await bodies(service) == ["taken"]


async def test_all_or_nothing_does_all(
    service: Sample, anna: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk.work, "CHUNK_ROWS", 2)
    answer = await upload(anna, "body\na\nb\nc\nd\ne\n", mode="all_or_nothing", start=True)

    assert await rest(service) == 2  # one to check, one to do it all
    assert figures(await job_of(anna, answer)) == ("done", 5, 0, 5, 0)


async def test_a_row_that_crashes_the_work_fails_alone(service: Sample, anna: httpx.AsyncClient) -> None:
    content = "body\n" + "".join(f"n{n}\n" for n in range(20)) + "crash\nlast\n"
    answer = await upload(anna, content, start=True)
    await rest(service)
    (failed,) = (await anna.get(f"{answer.headers['Location']}/rows?state=failed")).json()["items"]

    assert figures(await job_of(anna, answer)) == ("done", 22, 0, 21, 1)
    assert (failed["row"], failed["result"]["problem"]["type"]) == (22, "/problems/failed")
    assert "secret" not in str(failed)
    assert len(await bodies(service)) == 21


async def test_an_interrupted_job_goes_on_where_it_was(
    service: Sample, anna: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk.work, "CHUNK_ROWS", 10)
    answer = await upload(anna, "body\n" + "".join(f"n{n:02}\n" for n in range(35)), start=True)
    for _ in range(3):  # checked, and two chunks
        await work.once(service.database.worker, now())
    async with service.database.worker() as db:  # a crash after the third chunk's work, before its commit
        assert await work.run(db, now()) == 1
        await db.rollback()
    half_way = await job_of(anna, answer)
    await rest(service)

    assert figures(half_way) == ("running", 35, 0, 20, 0)
    assert figures(await job_of(anna, answer)) == ("done", 35, 0, 35, 0)
    assert await bodies(service) == [f"n{n:02}" for n in range(35)]


async def test_failed_rows_can_be_done_once_more(service: Sample, anna: httpx.AsyncClient) -> None:
    await upload(anna, "body\ntaken\n", start=True)
    await rest(service)
    answer = await upload(anna, "body\ntaken\nfree\n", start=True)
    await rest(service)
    async with service.database.worker.begin() as db:
        await db.execute(delete(Note).where(Note.body == "taken"))
    await anna.post(f"{answer.headers['Location']}/start", headers={"Idempotency-Key": "s3"})
    await rest(service)

    assert figures(await job_of(anna, answer)) == ("done", 2, 0, 2, 0)
    assert await bodies(service) == ["free", "taken"]


async def test_jobs_take_turns(service: Sample, anna: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk.work, "CHUNK_ROWS", 1)
    big = await upload(anna, "body\n" + "".join(f"big {n}\n" for n in range(30)), start=True)
    small = await upload(anna, "body\nsmall\n", start=True)
    for _ in range(8):
        await work.once(service.database.worker, now())

    assert (await job_of(anna, small))["state"] == "done"
    assert (await job_of(anna, big))["state"] == "running"


async def test_a_wait_answers_when_the_work_is_done(service: Sample, anna: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": uuid4().hex, "Prefer": "wait=20"}
    form = {"file": ("notes.csv", b"body\na\n", "text/csv")}
    running = asyncio.create_task(work.loop(service.database.worker))
    answer = await anna.post("/v1/note-imports?start=true", files=form, headers=headers)
    retry = await anna.post("/v1/note-imports?start=true", files=form, headers=headers)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert (answer.status_code, figures(answer.json())) == (201, ("done", 1, 0, 1, 0))
    assert answer.json()["file_name"] == "notes.csv"
    assert (retry.status_code, retry.json()["id"]) == (201, answer.json()["id"])


@pytest.mark.parametrize(
    ("content", "query", "kind"),
    [
        (b"colour\nred\n", {}, "file-not-usable"),
        (b"", {}, "file-not-usable"),
        (b"\xff\xfe\x00", {}, "file-not-usable"),
        (b"body\na\n", {"mode": "some"}, "not-understood"),
    ],
)
async def test_a_file_that_cannot_be_used_makes_no_job(
    service: Sample, anna: httpx.AsyncClient, content: bytes, query: dict[str, str], kind: str
) -> None:
    answer = await upload(anna, content, **query)

    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{kind}")
    assert (await anna.get("/v1/note-imports")).json()["items"] == []


async def test_a_file_without_rows_or_with_too_many_fails_as_a_whole(
    service: Sample, anna: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = await upload(anna, "body\n\n")
    object.__setattr__(NOTES, "rows_max", 3)
    many = await upload(anna, "body\na\nb\nc\nd\n", start=True)
    await rest(service)
    object.__setattr__(NOTES, "rows_max", 200_000)

    assert (await job_of(anna, empty))["problem"]["type"] == "/problems/file-not-usable"
    assert (await job_of(anna, many))["problem"]["type"] == "/problems/too-many-rows"
    assert (await anna.get(f"{many.headers['Location']}/rows")).json()["items"] == []


async def test_a_use_case_submits_rows_of_its_own(service: Sample, anna: httpx.AsyncClient) -> None:
    async with service.database.api.begin() as db:
        await act_as(db, f"partner/{PARTNER}", "user:anna")
        items = [NoteRow(body=f"mine {n}") for n in range(3)]
        job_id = await bulk.submit(
            db, NOTES, items, tenant=f"partner/{PARTNER}", actor="user:anna", options={"prefix": ""}
        )
    await rest(service)

    job = (await anna.get(f"/v1/note-imports/{job_id}")).json()
    assert figures(job) == ("done", 3, 0, 3, 0)


async def test_old_jobs_are_forgotten_with_their_rows(service: Sample, anna: httpx.AsyncClient) -> None:
    await upload(anna, "body\na\n", start=True)
    await rest(service)
    assert await forget.once(service.database.worker, now()) == 0
    async with service.database.worker.begin() as db:
        await db.execute(text("update bulk_jobs set created_at = created_at - interval '31 days'"))
    assert await forget.once(service.database.worker, now()) == 1
    async with service.database.worker() as db:
        assert (await db.execute(select(func.count()).select_from(bulk.rows))).scalar_one() == 0


async def test_a_hundred_thousand_rows_are_normal(service: Sample, anna: httpx.AsyncClient) -> None:
    content = "body,No\n" + "".join(f"note number {n},{n % 7}\n" for n in range(100_000))
    answer = await upload(anna, content)
    await rest(service)

    # Every seventh says version 0, which is too low.
    assert figures(await job_of(anna, answer)) == ("previewed", 100_000, 14_286, 0, 0)
