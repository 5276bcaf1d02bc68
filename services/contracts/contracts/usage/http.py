"""Use over HTTP: one report, or ten thousand in one call; a report again changes nothing."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.customers.usecases import CustomerNotFound, find_customer, time_of_customer
from contracts.terminations.rules import local_day
from contracts.usage.rules import WINDOW_DAYS, Report, Source
from contracts.usage.usecases import (
    BULK_ROWS_MAX,
    DayNotBegun,
    Key,
    Outcome,
    Taken,
    UsageOfNobody,
    days_of,
    take_report,
    take_reports,
)
from kit.auth import Role
from kit.http import Caller, Db, Once, Router, needs, now, problems
from kit.problems import Refused, field_errors

router = Router(prefix="/v1", tags=["usage"])

REPORTERS = (Role.ADMIN, Role.SUPPORT, Role.PARTNER_ADMIN, Role.CUSTOMER_ADMIN)
BODY_BYTES_MAX = 32 << 20
EXAMPLE: dict[str, Any] = {
    "activities": 42,
    "users": 17,
    "frameworks": [{"name": "ISO 27001", "progress_percent": 62.5, "main": True}],
    "attention": [{"key": "a-118", "subject": "Risk without an owner", "next_action": "assign_owner"}],
    "revision": 1,
}


class TooManyReports(Refused):
    """One call takes at most 10,000 reports."""

    status = 413
    remedy = "Send them in several calls."


class NotALine(Refused):
    """This line is not a report."""

    status = 422


class ReportIn(Report):
    """One day of one customer, as one application reports it."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})


class ReportLine(Report):
    """A report as a line of many: it also says of whom, of when and from where."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"customer_id": "0195f000-0000-7000-8000-000000000003", "day": "2027-01-31", "source": "desk"} | EXAMPLE
            ]
        }
    )

    customer_id: UUID
    day: date
    source: Source


class ReportOut(BaseModel):
    """What became of a report: `new`, `corrected`, `unchanged`, or `outdated` by a higher revision."""

    taken: Taken


class LineOut(BaseModel):
    """A line that was not taken, and why. Lines are counted from 1."""

    line: int
    problem: dict[str, Any]


class BulkOut(BaseModel):
    """What became of many reports. Those that are right are taken, whatever the others are."""

    new: int
    corrected: int
    unchanged: int
    outdated: int
    refused: int
    problems: list[LineOut]


class DayOut(BaseModel):
    """Activities of one day from one source."""

    day: date
    source: str
    activities: int
    revision: int


class UsageOut(BaseModel):
    """A customer's activities, day by day."""

    customer_id: UUID
    days: list[DayOut]


@router.put(
    "/customers/{customer_id}/usage/{source}/{day}",
    dependencies=[needs(*REPORTERS)],
    responses=problems(UsageOfNobody, DayNotBegun),
)
async def put_usage(customer_id: UUID, source: Source, day: date, body: ReportIn, caller: Caller, db: Db) -> ReportOut:
    """Report a day of a customer's use: late, again, or corrected, it replaces what was said of that day."""
    return ReportOut(taken=await take_report(db, Key(customer_id, day, source), body, caller=caller, now=now()))


@router.post(
    "/usage",
    dependencies=[needs(*REPORTERS)],
    responses=problems(TooManyReports),
    max_body_size=BODY_BYTES_MAX,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-ndjson": {
                    "schema": {"type": "string", "description": "One report a line, as JSON."},
                    "example": '{"customer_id": "0195f000-0000-7000-8000-000000000003", "day": "2027-01-31",'
                    ' "source": "desk", "activities": 42, "users": 17}\n',
                }
            },
        }
    },
)
async def post_usage(request: Request, caller: Caller, db: Db, once: Once) -> BulkOut:
    """Report up to 10,000 days in one call, a JSON object a line (NDJSON). Each line stands for itself."""
    lines = (await request.body()).split(b"\n")
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
    if len(numbered) > BULK_ROWS_MAX:
        raise TooManyReports(reports=len(numbered))
    read, wrong = await asyncio.to_thread(_read, numbered)
    reports = [(Key(r.customer_id, r.day, r.source), r) for _, r in read]
    outcomes = await take_reports(db, reports, caller=caller, now=now())
    return _answer(outcomes, [n for n, _ in read], wrong)


def _read(numbered: Sequence[tuple[int, bytes]]) -> tuple[list[tuple[int, ReportLine]], dict[int, Refused]]:
    read: list[tuple[int, ReportLine]] = []
    wrong: dict[int, Refused] = {}
    for n, line in numbered:
        try:
            read.append((n, ReportLine.model_validate_json(line)))
        except ValidationError as error:
            wrong[n] = NotALine(errors=field_errors(error.errors(include_url=False, include_context=False)))
    return read, wrong


def _answer(outcomes: Sequence[Outcome], numbers: Sequence[int], wrong: dict[int, Refused]) -> BulkOut:
    counts = dict.fromkeys((taken.value for taken in Taken), 0)
    for n, outcome in zip(numbers, outcomes, strict=True):
        if outcome.refused:
            wrong[n] = outcome.refused
        elif outcome.taken:
            counts[outcome.taken] += 1
    named = [LineOut(line=n, problem=wrong[n].as_problem()) for n in sorted(wrong)]
    return BulkOut(refused=len(named), problems=named, **counts)


@router.get(
    "/customers/{customer_id}/usage",
    dependencies=[needs(*REPORTERS)],
    responses=problems(CustomerNotFound),
)
async def get_usage(
    customer_id: UUID, caller: Caller, db: Db, days: Annotated[int, Query(ge=1, le=366)] = WINDOW_DAYS
) -> UsageOut:
    """A customer's activities in its last local days, today included."""
    customer = await find_customer(db, caller, customer_id)
    today = local_day(await time_of_customer(db, customer_id, now()), customer.time_zone)
    found = await days_of(db, customer_id, today - timedelta(days=days - 1), today)
    shown = [DayOut(day=d.day, source=d.source, activities=d.activities, revision=d.revision) for d in found]
    return UsageOut(customer_id=customer_id, days=shown)
