"""The overview over HTTP: as a list with counts, and as a file of what is filtered."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from contracts.customers.rules import Status, days_left
from contracts.overview.usecases import (
    SORTS,
    Counts,
    PartnerNotNamed,
    Stale,
    Wish,
    count,
    listed,
    whose,
)
from contracts.terminations.rules import local_day
from contracts.usage.usecases import steps_to_today
from kit import csvfile
from kit.auth import Role
from kit.db import Session
from kit.http import Caller, Db, Items, Page, Router, begin, needs, now, page, problems

router = Router(prefix="/v1", tags=["overview"])

READERS = (Role.ADMIN, Role.SUPPORT, Role.FINANCE, Role.EDITOR, Role.PARTNER_ADMIN)
Sort = StrEnum("Sort", {name: name for name in SORTS})  # type: ignore[misc]


class Filters(BaseModel):
    """Which customers, in which order."""

    partner_id: UUID | None = None
    """For staff: whose customers; a partner sees its own."""
    without_partner: bool = False
    """For staff: the platform's own customers."""
    status: Status | None = None
    needs_attention: bool = False
    search: Annotated[str, Field(max_length=200)] = ""
    """Looked for in names, without case and accents; one or two letters at the beginning only."""
    sort: Sort = Sort("name")
    descending: bool = False

    def wish(self, caller: Any) -> Wish:
        return Wish(
            whose(caller, self.partner_id, without_partner=self.without_partner),
            status=self.status,
            attention=self.needs_attention,
            search=self.search,
            sort=self.sort,
            descending=self.descending,
        )


class LineOut(BaseModel):
    """A customer at a glance."""

    customer_id: UUID
    name: str
    framework: str | None
    """The main one."""
    progress_percent: float | None
    users: int
    activities: int
    """In the last 90 local days, today included."""
    attention: int
    """Open items that were not put aside."""
    status: str
    closed_reason: str | None
    days_left: int | None
    """Of a trial, today counted."""
    trial_ends_on: date | None
    subscribed_on: date | None
    renews_on: date | None
    closed_on: date | None

    @classmethod
    def of(cls, row: Any) -> "LineOut":
        line, at = row[0], row[1]
        trial, active = line.status == Status.TRIAL, line.status == Status.ACTIVE
        return cls(
            customer_id=line.customer_id,
            name=line.name,
            framework=line.framework or None,
            progress_percent=None if line.progress < 0 else line.progress / 100,
            users=line.users,
            activities=line.activities,
            attention=line.attention,
            status=line.status,
            closed_reason=line.closed_reason,
            days_left=days_left(local_day(at, line.time_zone), line.trial_ends_on) if trial else None,
            trial_ends_on=line.trial_ends_on if trial else None,
            subscribed_on=line.subscribed_on if active else None,
            renews_on=line.renews_on if active else None,
            closed_on=line.closed_on,
        )


class OverviewOut(Items[LineOut]):
    """A page of customers. `counts` says how many each filter would show."""

    counts: Counts | None


@router.get("/overview", dependencies=[needs(*READERS)], responses=problems(PartnerNotNamed))
async def get_overview(
    caller: Caller, db: Db, at: Page, filters: Annotated[Filters, Query()], counts: bool = True
) -> OverviewOut:
    """All customers of a partner; the first page brings the counts too, `counts=false` leaves them out."""
    wish = filters.wish(caller)
    query, order = listed(db, wish, now())
    rows: list[Any] = []
    await page(db, query, order, at, rows.append)
    await _count_to_today(db, rows)
    return OverviewOut(
        items=[LineOut.of(row) for row in rows],
        counts=await count(db, wish) if counts and at.after is None else None,
    )


async def _count_to_today(db: Session, rows: Sequence[Any]) -> None:
    """Show activities as they are today, also in the minute before the job has moved the window on."""
    stale = [
        Stale(line.customer_id, line.counted_on, today)
        for line, at, *_ in rows
        if (today := local_day(at, line.time_zone)) != line.counted_on
    ]
    steps = await steps_to_today(db, stale)
    for line, *_ in rows:
        if step := steps.get(line.customer_id):
            db.expunge(line)
            line.activities += step


COLUMNS = list(LineOut.model_fields)
CHUNK_ROWS = 1000


async def _lines(request: Request, caller: Any, wish: Wish, at: datetime) -> AsyncIterator[list[list[Any]]]:
    """All lines wished for, a thousand at a time, from one transaction."""
    async with begin(request, caller) as db:
        query, order = listed(db, wish, at)
        found = await db.stream(query.order_by(*order).execution_options(yield_per=CHUNK_ROWS))
        async for rows in found.partitions():
            await _count_to_today(db, rows)
            yield [list(LineOut.of(row).model_dump(mode="json").values()) for row in rows]


@router.get(
    "/overview.csv",
    dependencies=[needs(*READERS)],
    responses={200: {"content": {"text/csv": {}}}, **problems(PartnerNotNamed)},
    response_class=StreamingResponse,
)
async def get_overview_csv(request: Request, caller: Caller, filters: Annotated[Filters, Query()]) -> StreamingResponse:
    """What the filters show as CSV, for spreadsheets; text that looks like a formula stays text."""
    wish, at = filters.wish(caller), now()

    chunks = _lines(request, caller, wish, at)
    nothing: list[list[Any]] = []
    first = await anext(chunks, nothing)  # what the database refuses is refused before the answer begins

    async def content() -> AsyncIterator[bytes]:
        for piece in csvfile.write(COLUMNS, first):
            yield piece
        async for lines in chunks:
            for piece in csvfile.more(lines):
                yield piece

    return StreamingResponse(
        content(), media_type="text/csv; charset=utf-8", headers={"Content-Disposition": _named("csv", at)}
    )


XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@router.get(
    "/overview.xlsx",
    dependencies=[needs(*READERS)],
    responses={200: {"content": {XLSX: {}}}, **problems(PartnerNotNamed)},
    response_class=FileResponse,
)
async def get_overview_xlsx(request: Request, caller: Caller, filters: Annotated[Filters, Query()]) -> FileResponse:
    """What the filters show as a workbook; every text is text, none a formula or a link."""
    from xlsxwriter import Workbook  # Loaded when the first workbook is asked for.

    wish, at = filters.wish(caller), now()
    with NamedTemporaryFile(suffix=".xlsx", delete=False) as file:
        path = Path(file.name)
    try:
        book = Workbook(path, {"constant_memory": True})
        sheet = book.add_worksheet("customers")
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, COLUMNS, book.add_format({"bold": True}))
        top = 1
        async for lines in _lines(request, caller, wish, at):
            await asyncio.to_thread(_write, sheet, top, lines)
            top += len(lines)
        await asyncio.to_thread(book.close)
    except BaseException:
        await asyncio.to_thread(path.unlink)
        raise
    return FileResponse(
        path,
        media_type=XLSX,
        headers={"Content-Disposition": _named("xlsx", at)},
        background=BackgroundTask(path.unlink),
    )


def _write(sheet: Any, top: int, lines: Sequence[Sequence[Any]]) -> None:
    for n, line in enumerate(lines, top):
        for column, value in enumerate(line):
            if isinstance(value, str):
                sheet.write_string(n, column, value)
            elif value is not None:
                sheet.write_number(n, column, value)


def _named(suffix: str, at: datetime) -> str:
    return f'attachment; filename="customers-{at:%Y-%m-%d}.{suffix}"'
