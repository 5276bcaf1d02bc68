"""Bulk work over HTTP: upload, preview, start, progress, rows, error file."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json
from sqlalchemy import (
    Select,
    case,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from starlette.datastructures import UploadFile

from kit import clock, csvfile
from kit.auth import Caller, Principal, needs
from kit.bulk.work import FILE_BYTES_MAX, AnyRow, JobNotFound, JobNotStartable, Kind, jobs, rows
from kit.db import Session, uuid7
from kit.http import Db, Items, Once, Page, Prefer, Router, begin, claim, outcome, page, problems
from kit.problems import NotUnderstood, field_errors


class Mode(StrEnum):
    """`good_rows`: the good ones are done, whatever the others are. `all_or_nothing`: one bad row, no change."""

    ALL_OR_NOTHING = "all_or_nothing"
    GOOD_ROWS = "good_rows"


class JobOut(BaseModel):
    """Bulk work and how far it is: `total` = `bad` + `done` + `failed` + what is still to do."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: str
    mode: Mode
    state: Literal["checking", "previewed", "running", "done", "failed"]
    file_name: str | None
    notes: list[str]
    options: dict[str, Any]
    total: int
    bad: int
    done: int
    failed: int
    problem: dict[str, Any] | None
    """Why the job failed as a whole."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RowOut(BaseModel):
    """A row and what became of it: `bad` (cannot be done), `good` (to be done), `done` or `failed`."""

    model_config = ConfigDict(from_attributes=True)

    row: int
    key: str
    state: Literal["bad", "good", "done", "failed"]
    data: dict[str, Any]
    errors: list[dict[str, str]] | None
    result: dict[str, Any] | None


def router(prefix: str, kind: Kind[Any], roles: Sequence[str], *, uploads: bool = True) -> Router:
    """The jobs of a kind at `prefix`: upload, list, progress, rows, error file, start."""
    r = Router(prefix=prefix, dependencies=[needs(*roles)], tags=[kind.name])
    light = [c for c in jobs.c if c is not jobs.c.file]

    def mine(caller: Principal) -> Select[Any]:
        query = select(*light).where(jobs.c.kind == kind.name)
        return query if caller.is_platform else query.where(jobs.c.tenant == caller.tenant)

    async def one(db: Session, caller: Principal, job_id: UUID) -> AnyRow:
        found = (await db.execute(mine(caller).where(jobs.c.id == job_id))).one_or_none()
        if found is None:
            raise JobNotFound(job_id)
        return found

    async def upload(
        request: Request,
        response: Response,
        caller: Caller,
        prefer: Prefer,
        options: Annotated[dict[str, Any], Depends(_options(kind))],
        mode: Mode = Mode.GOOD_ROWS,
        start: bool = False,
        file_name: Annotated[str | None, Query(max_length=255)] = None,
    ) -> JobOut:
        """Send a CSV file as the body, or as the field `file` of a form; the same file again is the same job.

        The rows are checked first. `start=true` goes on with the good ones at once, else the job waits as a
        preview to be started. Answers 202 while the work is not at rest yet; `Prefer: wait=n` waits for that.
        """
        content, name = await _file(request)
        file = await asyncio.to_thread(csvfile.read, content, kind.row)
        values = {
            "id": uuid7(),
            "kind": kind.name,
            "mode": mode,
            "start": start,
            "state": "checking",
            "file_name": file_name or name,
            "file_hash": blake2b(content + to_json(options), digest_size=32).digest(),
            "file": content,
            "columns": [c for c in file.columns if not c.startswith("_")],
            "notes": file.notes,
            "options": options,
            "tenant": caller.tenant,
            "actor": caller.actor,
        }
        async with begin(request, caller) as db:
            once = await claim(request, caller, db, body=content)
            if once.resource is None:
                await once.keep(await _insert(db, values))
        job_id = UUID(once.resource)
        found = await outcome(
            request, caller, f"bulk/{job_id}", prefer.wait_s, lambda db: one(db, caller, job_id), _at_rest
        )
        response.headers["Location"] = f"{request.url.path}/{job_id}"
        if not _at_rest(found):
            response.status_code = 202
        return JobOut.model_validate(found)

    if uploads:
        r.post(
            "",
            status_code=201,
            max_body_size=FILE_BYTES_MAX,
            responses={202: {"model": JobOut}, **problems(csvfile.FileNotUsable)},
            openapi_extra=_upload_schema(kind),
        )(upload)

    @r.get("")
    async def get_jobs(caller: Caller, db: Db, at: Page) -> Items[JobOut]:
        """The jobs, newest first."""
        return await page(db, mine(caller), [jobs.c.id.desc()], at, JobOut.model_validate)

    @r.get("/{job_id}", responses=problems(JobNotFound))
    async def get_job(job_id: UUID, caller: Caller, db: Db) -> JobOut:
        """A job and its progress."""
        return JobOut.model_validate(await one(db, caller, job_id))

    @r.get("/{job_id}/rows", responses=problems(JobNotFound))
    async def get_rows(
        job_id: UUID, caller: Caller, db: Db, at: Page, state: Literal["bad", "good", "done", "failed"] | None = None
    ) -> Items[RowOut]:
        """The rows of a job, with every error and result."""
        await one(db, caller, job_id)
        query = select(rows).where(rows.c.job_id == job_id)
        return await page(
            db, query.where(rows.c.state == state) if state else query, [rows.c.row], at, RowOut.model_validate
        )

    @r.get("/{job_id}/errors.csv", responses=problems(JobNotFound), response_class=Response)
    async def get_errors(job_id: UUID, request: Request, caller: Caller, db: Db) -> Response:
        """The bad and failed rows with their errors as CSV: correct it and send it as a new file."""
        job = await one(db, caller, job_id)
        wrong = (
            select(rows.c.row, rows.c.data, rows.c.errors)
            .where(rows.c.job_id == job_id, rows.c.state.in_(("bad", "failed")))
            .order_by(rows.c.row)
        )
        columns = job.columns or _names(kind)
        found = await db.execute(wrong)
        lines = ([*map(r.data.get, columns), r.row, "; ".join(map(_said, r.errors))] for r in found)
        content = b"".join(csvfile.write([*columns, "_row", "_error"], lines))
        name = f'attachment; filename="{kind.name}-errors-{job_id}.csv"'
        return Response(content, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})

    @r.post("/{job_id}/start", status_code=202, responses=problems(JobNotFound, JobNotStartable))
    async def post_start(job_id: UUID, caller: Caller, db: Db, once: Once) -> JobOut:
        """Do the good rows of a preview, or the failed ones of a job that is done once more."""
        job = (await db.execute(mine(caller).where(jobs.c.id == job_id).with_for_update())).one_or_none()
        if job is None:
            raise JobNotFound(job_id)
        if job.state == "failed":
            raise JobNotStartable(job_id)
        if job.state == "done":
            again = update(rows).where(rows.c.job_id == job_id, rows.c.state == "failed")
            await db.execute(again.values(state="good", errors=None, result=None))
        values: dict[str, Any] = {"start": True}
        if job.state in ("previewed", "done"):
            values |= {"state": "running", "failed": 0, "started_at": clock.now(), "finished_at": None}
        await db.execute(update(jobs).where(jobs.c.id == job_id).values(values))
        return JobOut.model_validate(await one(db, caller, job_id))

    return r


def _said(error: Mapping[str, str]) -> str:
    return f"{error['field']}: {error['remedy']}" if error["field"] else error["remedy"]


def _at_rest(job: AnyRow) -> bool:
    return job.state in ("previewed", "done", "failed")


async def _insert(db: Session, values: dict[str, Any]) -> UUID:
    """A new job, or the one that this tenant's same file made before."""
    made = insert(jobs).values(values).on_conflict_do_nothing().returning(jobs.c.id)
    job_id: UUID | None = await db.scalar(made)
    if job_id is not None:
        return job_id
    same = [jobs.c[name] == values[name] for name in ("tenant", "kind", "file_hash")]
    found = update(jobs).where(*same, jobs.c.state != "failed").returning(jobs.c.id)
    started = {"start": True, "state": case((jobs.c.state == "previewed", "running"), else_=jobs.c.state)}
    same_id: UUID = (
        await db.execute(found.values(started if values["start"] else {"start": jobs.c.start}))
    ).scalar_one()
    return same_id


async def _file(request: Request) -> tuple[bytes, str | None]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body(), None
    async with request.form(max_files=1, max_fields=20) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise csvfile.FileNotUsable("The form has no field `file`.", field="file")
        return await file.read(), file.filename


def _options(kind: Kind[Any]) -> Callable[[Request], Awaitable[dict[str, Any]]]:
    async def options(request: Request) -> dict[str, Any]:
        try:
            found = kind.options.model_validate(dict(request.query_params))
        except ValidationError as error:
            raise NotUnderstood(errors=field_errors(error.errors())) from error
        return found.model_dump(mode="json")

    return options


def _names(kind: Kind[Any]) -> list[str]:
    return [f.alias or name for name, f in kind.row.model_fields.items()]


def _upload_schema(kind: Kind[Any]) -> dict[str, Any]:
    """For OpenAPI: the file, in either way, and the kind's own query parameters."""
    binary = {"type": "string", "format": "binary"}
    columns = ", ".join(_names(kind))
    schema = kind.options.model_json_schema()
    return {
        "requestBody": {
            "required": True,
            "description": f"Columns: {columns}.",
            "content": {
                "text/csv": {"schema": binary},
                "multipart/form-data": {"schema": {"type": "object", "properties": {"file": binary}}},
            },
        },
        "parameters": [
            {"in": "query", "name": name, "required": name in schema.get("required", []), "schema": of}
            for name, of in schema.get("properties", {}).items()
        ],
    }
