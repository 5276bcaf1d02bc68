"""The rows of bulk work: kept, checked, handed to their kind, with an outcome each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json, to_jsonable_python
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    and_,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from kit import csvfile
from kit.auth import act_as
from kit.db import Session, metadata, uuid7
from kit.inbox import is_infrastructure
from kit.jobs import Job as TimedJob
from kit.notify import notify
from kit.problems import Failed, Refused
from kit.tables import KIT

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=BaseModel)
AnyRow = Any
"""A row of the database, as SQLAlchemy gives it."""

Wrong = Mapping[int, list[dict[str, str]]]
"""Row number → errors (field, rule, remedy)."""

FILE_BYTES_MAX = 64 << 20
CHUNK_ROWS = 500
KEPT_DAYS = 30
CHECKED_AT_ONCE_ROWS = 5_000

_TENANT = "tenant = current_setting('tandem.tenant', true) or current_setting('tandem.tenant', true) = 'platform'"
WORKED_ON = ("checking", "running")

jobs = Table(
    "bulk_jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("start", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("file_name", Text),
    Column("file_hash", LargeBinary),
    Column("file", LargeBinary),
    Column("columns", JSONB, nullable=False, server_default="[]"),
    Column("notes", JSONB, nullable=False, server_default="[]"),
    Column("options", JSONB, nullable=False, server_default="{}"),
    Column("total", Integer, nullable=False, server_default="0"),
    Column("bad", Integer, nullable=False, server_default="0"),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("problem", JSONB),
    Column("tenant", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    Column("worked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("uq_bulk_jobs_file", "tenant", "kind", "file_hash", unique=True, postgresql_where=text("state <> 'failed'")),
    Index("ix_bulk_jobs_work", "worked_at", postgresql_where=text("state in ('checking', 'running')")),
    info={**KIT, "visible": _TENANT},
)

rows = Table(
    "bulk_rows",
    metadata,
    Column("job_id", Uuid, ForeignKey("bulk_jobs.id", ondelete="cascade"), primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("key", Text, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("errors", JSONB),
    Column("result", JSONB),
    Index("ix_bulk_rows_todo", "job_id", "row", postgresql_where=text("state = 'good'")),
    info={**KIT, "visible": "exists (select 1 from bulk_jobs j where j.id = job_id)"},
)
"""`bad` rows hold what the file said; the others what the kind's model made of it: `good`, `done`, `failed`."""


class JobNotFound(Refused):
    """There is no such job."""

    status = 404


class JobNotStartable(Refused):
    """This job has failed as a whole and cannot be started."""

    remedy = "Correct the file by what the job says, and send it as a new one."


class SomeRowsBad(Refused):
    """Some rows are wrong, and all or nothing was asked for; nothing was changed."""

    remedy = "Correct the rows of the error file and send the whole file again, or choose mode good_rows."


class TooManyRows(Refused):
    """The file has more rows than one job may have."""

    status = 422
    remedy = "Split it into several files."


class NoOptions(BaseModel):
    """A kind whose uploads take no options of their own."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class BulkJob:
    """The job at hand, as `check` and `apply` see it."""

    id: UUID
    tenant: str
    actor: str
    options: Mapping[str, Any]
    now: datetime


@dataclass(frozen=True, slots=True)
class BulkRow(Generic[M]):
    """A good row; `row` is its number in the file, where the header is 1."""

    row: int
    key: str
    data: M


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row: a `result` to show, or the refusal."""

    result: Mapping[str, Any] = field(default_factory=dict)
    refused: Refused | None = None

    @property
    def errors(self) -> list[dict[str, str]] | None:
        if self.refused is None:
            return None
        said = (self.refused.title, self.refused.detail, self.refused.remedy)
        remedy = " ".join(part for part in said if part)
        return [_error(self.refused.field or "", self.refused.rule or self.refused.type, remedy)]


def _error(field: str, rule: str, remedy: str) -> dict[str, str]:
    return {"field": field, "rule": rule, "remedy": remedy}


@dataclass(frozen=True)
class Kind(Generic[M]):
    """A kind of bulk work.

    `apply` gets at most 500 rows in the transaction that also keeps their outcomes, and answers in their
    order. A row it raises for is found by halving and fails alone. Rows may come again after a crash only
    with the transaction undone; still, what `apply` writes wants a natural key, since files come again.
    """

    name: str
    row: type[M]
    key: Callable[[M], str]
    """Names a row within its file; a second row of the same key is bad."""
    apply: Callable[[Session, BulkJob, Sequence[BulkRow[M]]], Awaitable[Sequence[Outcome]]]
    check: Callable[[Session, BulkJob, Sequence[BulkRow[M]]], Awaitable[Mapping[int, list[dict[str, str]]]]] | None = (
        None
    )
    """Finds what is wrong with rows by what the database knows."""
    options: type[BaseModel] = NoOptions
    """Query parameters of an upload that hold for all its rows."""
    rows_max: int = 200_000


# -- making jobs ------------------------------------------------------------------------------------------

_KEEP = text(
    "insert into bulk_rows (job_id, row, key, data, state, errors) select cast(:job as uuid), * from"
    " unnest(cast(:row as int[]), cast(:key as text[]), cast(:data as jsonb[]), cast(:state as text[]),"
    " cast(:errors as jsonb[]))"
)


@dataclass(slots=True)
class _Kept:
    row: int
    key: str
    data: str
    state: str = "good"
    errors: list[dict[str, str]] | None = None


async def _keep(db: Session, job_id: UUID, kept: Sequence[_Kept]) -> None:
    columns = {name: [getattr(k, name) for k in kept] for name in ("row", "key", "data", "state")}
    errors = [to_json(k.errors).decode() if k.errors else None for k in kept]
    await db.execute(_KEEP, {"job": job_id, **columns, "errors": errors})


async def submit(
    db: Session, kind: Kind[M], items: Sequence[M], *, tenant: str, actor: str, options: Mapping[str, Any] | None = None
) -> UUID:
    """A job of rows that a use case has, running as soon as this transaction commits."""
    job_id = uuid7()
    values = {
        "id": job_id,
        "kind": kind.name,
        "mode": "good_rows",
        "start": True,
        "state": "running",
        "options": to_jsonable_python(options or {}),
        "total": len(items),
        "tenant": tenant,
        "actor": actor,
        "started_at": func.now(),
    }
    await db.execute(insert(jobs).values(values))
    for start in range(0, len(items), CHECKED_AT_ONCE_ROWS):
        part = items[start : start + CHECKED_AT_ONCE_ROWS]
        await _keep(db, job_id, [_Kept(n, kind.key(i), _dumped(i)) for n, i in enumerate(part, start + 1)])
    return job_id


def _dumped(data: BaseModel) -> str:
    return data.model_dump_json(by_alias=True)


# -- the worker -------------------------------------------------------------------------------------------


def workers(*kinds: Kind[Any]) -> list[TimedJob]:
    """The timed jobs that check, apply and, after 30 days, forget: `jobs=[*bulk.workers(courses)]`."""
    by_name = {kind.name: kind for kind in kinds}

    async def work(db: Session, now: datetime) -> int:
        light = [c for c in jobs.c if c is not jobs.c.file]
        mine = (
            select(*light)
            .where(jobs.c.state.in_(WORKED_ON), jobs.c.kind.in_(by_name))
            .order_by(jobs.c.worked_at)
            .limit(1)
        )
        row = (await db.execute(mine.with_for_update(skip_locked=True))).one_or_none()
        if row is None:
            return 0
        await act_as(db, row.tenant, row.actor)
        job = BulkJob(row.id, row.tenant, row.actor, row.options, now)
        become: dict[str, Any] = {}
        try:
            async with db.begin_nested():
                become = await (_check if row.state == "checking" else _apply)(db, by_name[row.kind], job, row)
        except Exception as error:
            if not is_infrastructure(error):
                raise
            # It goes behind the others, who would else wait for as long as it meets the same fault.
            log.warning("bulk_job_postponed", job=str(row.id), error=str(error)[:300])
        await db.execute(update(jobs).where(jobs.c.id == row.id).values(worked_at=func.clock_timestamp(), **become))
        await notify(db, f"bulk/{row.id}")
        return 1 if become else 0

    async def forget(db: Session, now: datetime) -> int:
        old = and_(
            jobs.c.created_at < now - timedelta(days=KEPT_DAYS),
            jobs.c.state.not_in(WORKED_ON),
            jobs.c.kind.in_(by_name),
        )
        some = select(jobs.c.id).where(old).limit(10)
        gone = await db.execute(jobs.delete().where(jobs.c.id.in_(some)).returning(jobs.c.id))
        return len(gone.all())

    return [TimedJob("bulk_work", 0.5, work), TimedJob("bulk_forget", 3600, forget)]


async def _check(db: Session, kind: Kind[Any], job: BulkJob, row: AnyRow) -> dict[str, Any]:
    """Read the whole file in one transaction: every bad row and why. Returns what the job becomes."""
    content = await db.scalar(select(jobs.c.file).where(jobs.c.id == job.id))
    total = bad = 0
    try:
        async with db.begin_nested():
            parsed = (await asyncio.to_thread(csvfile.read, content or b"", kind.row)).rows()
            first_of: dict[str, int] = {}
            while part := await asyncio.to_thread(_read_part, kind, parsed, first_of):
                total += len(part)
                if total > kind.rows_max:
                    raise TooManyRows(f"at most {kind.rows_max}", rows_max=kind.rows_max)
                good = [g for _, g in part if g]
                wrong = await kind.check(db, job, good) if kind.check and good else {}
                for kept, _ in part:
                    if kept.row in wrong:
                        kept.state, kept.errors = "bad", wrong[kept.row]
                bad += sum(kept.state == "bad" for kept, _ in part)
                await _keep(db, job.id, [kept for kept, _ in part])
            if not total:
                raise csvfile.FileNotUsable("It has a header and no rows.")
    except Exception as error:
        return {"file": None, **_failed(error, job)}
    checked = {"file": None, "total": total, "bad": bad}
    if bad and row.mode == "all_or_nothing":
        return {**checked, **_failed(SomeRowsBad(bad=bad, total=total), job)}
    return {**checked, **({"state": "running", "started_at": job.now} if row.start else {"state": "previewed"})}


def _read_part(
    kind: Kind[Any], parsed: Iterator[csvfile.Parsed[Any]], first_of: dict[str, int]
) -> list[tuple[_Kept, BulkRow[Any] | None]]:
    """The next rows, as they are kept, and the good ones as `check` sees them. Runs in a thread."""
    part: list[tuple[_Kept, BulkRow[Any] | None]] = []
    for p in islice(parsed, CHECKED_AT_ONCE_ROWS):
        errors = p.errors
        if p.data is not None:
            key = kind.key(p.data)
            first = first_of.setdefault(key, p.row)
            if first == p.row:
                part.append((_Kept(p.row, key, _dumped(p.data)), BulkRow(p.row, key, p.data)))
                continue
            errors = [_error("", "duplicate", f"Row {first} says the same ({key}); keep one of them.")]
        said = {k: v.replace("\0", "") for k, v in p.raw.items() if not k.startswith("_")}
        part.append((_Kept(p.row, "", to_json(said).decode(), "bad", errors), None))
    return part


async def _apply(db: Session, kind: Kind[Any], job: BulkJob, row: AnyRow) -> dict[str, Any]:
    """Hand the next rows to the kind; all of them where all or nothing is asked for."""
    done = failed = 0
    try:
        async with db.begin_nested():
            while True:
                part, outcomes = await _apply_part(db, kind, job)
                refused = [(n, o) for n, o in zip(part, outcomes, strict=True) if o.refused]
                if refused and row.mode == "all_or_nothing":
                    raise _NotAll(refused)
                done += len(part) - len(refused)
                failed += len(refused)
                if len(part) < CHUNK_ROWS or row.mode == "good_rows":
                    break
    except _NotAll as stopped:
        await _record(db, job.id, stopped.refused)
        return _failed(SomeRowsBad(bad=len(stopped.refused), total=row.total), job)
    finished = {"state": "done", "finished_at": job.now} if len(part) < CHUNK_ROWS else {}
    return {"done": jobs.c.done + done, "failed": jobs.c.failed + failed, **finished}


class _NotAll(Exception):
    """Some rows failed where all or nothing was asked for; carries them over the savepoint's end."""

    def __init__(self, refused: list[tuple[int, Outcome]]) -> None:
        self.refused = refused


async def _apply_part(db: Session, kind: Kind[Any], job: BulkJob) -> tuple[list[int], list[Outcome]]:
    todo = (
        select(rows.c.row, rows.c.key, rows.c.data)
        .where(rows.c.job_id == job.id, rows.c.state == "good")
        .order_by(rows.c.row)
        .limit(CHUNK_ROWS)
    )
    found = (await db.execute(todo)).all()
    outcomes = await _outcomes(db, kind, job, found) if found else []
    numbers = [r.row for r in found]
    await _record(db, job.id, list(zip(numbers, outcomes, strict=True)))
    return numbers, outcomes


async def _outcomes(db: Session, kind: Kind[Any], job: BulkJob, found: Sequence[AnyRow]) -> list[Outcome]:
    """What `apply` says of the rows, in a savepoint; a row that it raises for is found by halving."""
    try:
        async with db.begin_nested():
            good = [BulkRow(r.row, r.key, kind.row.model_validate(r.data)) for r in found]
            outcomes = list(await kind.apply(db, job, good))
            if len(outcomes) != len(good):
                raise ValueError(f"{kind.name} answered {len(outcomes)} of {len(good)} rows")
            return outcomes
    except Exception as error:
        if is_infrastructure(error):
            raise
        if len(found) == 1:
            if not isinstance(error, Refused):
                log.error("bulk_row_failed", kind=kind.name, job=str(job.id), row=found[0].row, exc_info=error)
            return [Outcome(refused=error if isinstance(error, Refused) else Failed())]
        middle = len(found) // 2
        return [*await _outcomes(db, kind, job, found[:middle]), *await _outcomes(db, kind, job, found[middle:])]


_RECORD = text(
    "update bulk_rows b set state = n.state, errors = n.errors, result = n.result from"
    " unnest(cast(:row as int[]), cast(:state as text[]), cast(:errors as jsonb[]), cast(:result as jsonb[]))"
    " as n (row, state, errors, result) where b.job_id = :job and b.row = n.row"
)


async def _record(db: Session, job_id: UUID, outcomes: Sequence[tuple[int, Outcome]]) -> None:
    if not outcomes:
        return
    results = [{"problem": o.refused.as_problem()} if o.refused else o.result for _, o in outcomes]
    columns = {
        "row": [n for n, _ in outcomes],
        "state": ["failed" if o.refused else "done" for _, o in outcomes],
        "errors": [to_json(o.errors).decode() if o.errors else None for _, o in outcomes],
        "result": [to_json(result).decode() for result in results],
    }
    await db.execute(_RECORD, {"job": job_id, **columns})


def _failed(error: Exception, job: BulkJob) -> dict[str, Any]:
    """What a job becomes that failed as a whole. Raises faults of the infrastructure: they pass."""
    if is_infrastructure(error):
        raise error
    if not isinstance(error, Refused):
        log.error("bulk_job_failed", job=str(job.id), exc_info=error)
    problem = error if isinstance(error, Refused) else Failed()
    return {"state": "failed", "problem": problem.as_problem(), "finished_at": job.now}
