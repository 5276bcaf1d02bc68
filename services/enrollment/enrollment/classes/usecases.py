"""A class of people on one course in one call: rows of a bulk job, an outcome per person (ENR-11)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Select, Text, Uuid, select, text
from sqlalchemy.dialects.postgresql import JSONB

from enrollment.enrollments.access import signature
from enrollment.enrollments.usecases import Wish, enrol_class
from enrollment.pace import moment
from enrollment.prices.usecases import Person
from kit import bulk
from kit.auth import Principal
from kit.bulk import BulkJob, BulkRow, Kind, Outcome
from kit.db import Session
from kit.problems import Refused

PEOPLE_MAX = 100_000


class BatchNotFound(Refused):
    """No such batch."""

    status = 404


class ClassRow(BaseModel):
    """One of the class."""

    person_id: UUID


class ClassOptions(BaseModel):
    """What the whole class is put on."""

    course_id: UUID
    session_id: UUID | None = None
    signature: str
    """Who put it there, as events may say it."""


async def _apply(db: Session, job: BulkJob, rows: Sequence[BulkRow[ClassRow]]) -> list[Outcome]:
    options = ClassOptions.model_validate(job.options)
    wish = Wish(
        options.course_id,
        options.session_id,
        "associated",
        by=job.actor,
        signature=options.signature,
        may=belongs_to(job.tenant),
        batch_id=job.id,
    )
    ids = [row.data.person_id for row in rows]
    made = await enrol_class(db, ids, wish, moment(db, job.now))
    outcomes: dict[UUID, Outcome] = {
        e.person_id: Outcome({"person_id": e.person_id, "enrollment_id": e.id, "state": e.state.value})
        for e in made.enrollments
    }
    outcomes |= {person_id: Outcome(refused=refusal) for person_id, refusal in made.refused.items()}
    return [outcomes[person_id] for person_id in ids]


def belongs_to(tenant: str) -> Callable[[Person], bool]:
    """Whether a person is one of that tenant's. A job runs where row-level security lets everything through."""

    def belongs(person: Person) -> bool:
        homes = (f"customer/{person.payer.customer_id}", f"partner/{person.payer.partner_id}")
        return tenant == "platform" or tenant in homes

    return belongs


CLASSES: Kind[ClassRow] = Kind(
    "classes", ClassRow, key=lambda row: str(row.person_id), apply=_apply, options=ClassOptions, rows_max=PEOPLE_MAX
)


async def submit(
    db: Session, caller: Principal, course_id: UUID, session_id: UUID | None, person_ids: Sequence[UUID]
) -> UUID:
    """Start a class; its people are put on the course in the background. A person named twice counts once."""
    people = [ClassRow(person_id=person_id) for person_id in dict.fromkeys(person_ids)]
    options = ClassOptions(course_id=course_id, session_id=session_id, signature=signature(caller))
    return await bulk.submit(
        db, CLASSES, people, tenant=caller.tenant, actor=caller.actor, options=options.model_dump()
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """A class and how far it is."""

    id: UUID
    state: str
    course_id: UUID
    session_id: UUID | None
    total: int
    done: int
    """Enrollments made."""
    failed: int
    """People for whom none could be made."""
    created_at: datetime
    finished_at: datetime | None
    problem: dict[str, Any] | None
    states: Mapping[str, int] = field(default_factory=dict)
    """The enrollments made, counted by the state they are in now."""


_STATES = text("select state, count(*) as n from enrollments where batch_id = any(cast(:ids as uuid[])) group by state")


def listed(caller: Principal) -> tuple[Select[Any], list[Any]]:
    """The query for the batches of the caller's tenant, newest first, and its order."""
    j = bulk.jobs.c
    columns = (j.id, j.state, j.options, j.total, j.done, j.failed, j.created_at, j.finished_at, j.problem)
    query = select(*columns).where(j.kind == CLASSES.name)
    return (query if caller.is_platform else query.where(j.tenant == caller.tenant)), [j.id.desc()]


def from_row(row: Any, states: Mapping[str, int] | None = None) -> Batch:
    """The value of a row of `listed`."""
    options = ClassOptions.model_validate(row.options)
    return Batch(
        row.id,
        row.state,
        options.course_id,
        options.session_id,
        row.total,
        row.done,
        row.failed,
        row.created_at,
        row.finished_at,
        row.problem,
        states or {},
    )


async def get(db: Session, batch_id: UUID, caller: Principal) -> Batch:
    """One batch with its enrollments counted. Raises `BatchNotFound`."""
    query, _ = listed(caller)
    row = (await db.execute(query.where(bulk.jobs.c.id == batch_id))).one_or_none()
    if row is None:
        raise BatchNotFound(batch_id)
    counted = await db.execute(_STATES, {"ids": [batch_id]})
    return from_row(row, Counter({r.state: r.n for r in counted}))


_NOW = text("select id, state, problem from enrollments where id = any(cast(:ids as uuid[]))")


def people_of(batch_id: UUID, state: str | None) -> tuple[Select[Any], list[Any]]:
    """The query for a batch's people, in the order they were named, and its order."""
    r = bulk.rows.c
    query = select(r.row, r.state, r.data, r.result).where(r.job_id == batch_id)
    return (query.where(r.state == state) if state else query), [r.row]


async def states_now(db: Session, enrollment_ids: Sequence[UUID]) -> dict[UUID, tuple[str, dict[str, Any] | None]]:
    """The state each of these enrollments is in now, and why it was refused, if it was."""
    query = _NOW.columns(id=Uuid, state=Text, problem=JSONB)
    return {row.id: (row.state, row.problem) for row in await db.execute(query, {"ids": list(enrollment_ids)})}
