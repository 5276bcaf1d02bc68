"""Taking reports of use, many in one statement each; the overview's figures change in the same transaction.

A customer's overview line is locked first: reports, corrections and the nightly roll of the window take turns,
so what is added up is always what stands in the days.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import groupby
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import select, text

from contracts.attention.usecases import BY_HAND, Item, Resolution, open_items, resolve_items
from contracts.overview.usecases import Figures, Stale, add_figures, lock_lines, lock_stale
from contracts.usage.rows import UsageDay
from contracts.usage.rules import FIRST_DAY, Report, main_framework, newest, window
from kit import audit
from kit.auth import Caller
from kit.db import Session
from kit.problems import Refused

BULK_ROWS_MAX = 10_000


class UsageOfNobody(Refused):
    """No such customer of yours."""

    status = 404


class DayNotBegun(Refused):
    """This day has not begun where the customer is, or lies before the year 2000."""

    status = 422
    rule = "CON-4"


class Taken(StrEnum):
    """What became of a report."""

    NEW = "new"
    CORRECTED = "corrected"
    UNCHANGED = "unchanged"
    OUTDATED = "outdated"
    """A higher revision of that day stands."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a report is about; there is one figure a key."""

    customer_id: UUID
    day: date
    source: str

    @property
    def sort(self) -> tuple[UUID, date, str]:
        return self.customer_id, self.day, self.source


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one report of many: how it was taken, or why not."""

    taken: Taken | None = None
    refused: Refused | None = None


async def take_report(db: Session, key: Key, report: Report, *, caller: Caller, now: datetime) -> Taken:
    """Take one report. Raises `UsageOfNobody`, `DayNotBegun`."""
    (outcome,) = await take_reports(db, [(key, report)], caller=caller, now=now)
    if outcome.refused:
        raise outcome.refused
    return outcome.taken or Taken.UNCHANGED


_DAYS = text(
    "insert into usage_days as u (customer_id, day, source, revision, activities)"
    " select * from unnest(cast(:customers as uuid[]), cast(:days as date[]), cast(:sources as text[]),"
    " cast(:revisions as int[]), cast(:activities as int[]))"
    " on conflict (customer_id, day, source) do update set revision = excluded.revision,"
    " activities = excluded.activities where (u.revision, u.activities) is distinct from"
    " (excluded.revision, excluded.activities) and u.revision <= excluded.revision"
    " returning u.customer_id, u.day, u.source, old.activities as was, new.activities as is"
)
_STANDING = text(
    "select u.customer_id, u.day, u.source, u.revision from usage_days u"
    " join unnest(cast(:customers as uuid[]), cast(:days as date[]), cast(:sources as text[]))"
    " as w (customer_id, day, source) using (customer_id, day, source)"
)
_SOURCES = text(
    "insert into usage_sources as s (customer_id, source, day, revision, users, frameworks, framework, progress)"
    " select customer_id, source, day, revision, users, frameworks, framework, progress from jsonb_to_recordset("
    "cast(:rows as jsonb)) as r (customer_id uuid, source text, day date, revision int, users int, frameworks jsonb,"
    " framework text, progress int)"
    " on conflict (customer_id, source) do update set day = excluded.day, revision = excluded.revision,"
    " users = coalesce(excluded.users, s.users), frameworks = coalesce(excluded.frameworks, s.frameworks),"
    " framework = coalesce(excluded.framework, s.framework), progress = coalesce(excluded.progress, s.progress)"
    " where (excluded.day, excluded.revision) >= (s.day, s.revision)"
    " returning s.customer_id"
)
_LATEST = text(
    # Applications share people: the highest number overstates nothing. The framework is the one heard of last.
    "select s.customer_id, coalesce(max(s.users), 0) as users,"
    " (array_agg(s.framework order by s.day desc, s.source) filter (where s.framework is not null))[1] as framework,"
    " (array_agg(s.progress order by s.day desc, s.source) filter (where s.framework is not null))[1] as progress"
    " from usage_sources s where s.customer_id = any(cast(:customers as uuid[])) group by s.customer_id"
)


async def take_reports(
    db: Session, reports: Sequence[tuple[Key, Report]], *, caller: Caller, now: datetime
) -> list[Outcome]:
    """Take many reports, each for itself; the outcomes come in their order."""
    lines = await lock_lines(db, {key.customer_id for key, _ in reports}, now)
    refused: dict[int, Refused] = {}
    good: list[tuple[Key, Report]] = []
    for n, (key, report) in enumerate(reports):
        line = lines.get(key.customer_id)
        if line is None:
            refused[n] = UsageOfNobody(key.customer_id, field="customer_id")
        elif not FIRST_DAY <= key.day <= line.today:
            refused[n] = DayNotBegun(key.day, field="day", today=line.today)
        else:
            good.append((key, report))
    kept = newest(good)
    changed, figures = await _keep_days(db, kept, {c: line.counted_on for c, line in lines.items()})
    figures |= await _keep_sources(db, kept, figures)
    await add_figures(db, figures.values())
    await _keep_attention(db, kept, {c: line.partner_id for c, line in lines.items()}, caller.actor, now)
    detail = {"reports": len(reports), "changed": len(changed), "refused": len(refused)}
    await audit.record(db, caller.actor, "usage.taken", subject=caller.tenant, detail=detail)
    untouched = [key for key in kept if key not in changed]
    standing = await _revisions(db, untouched)

    def taken(key: Key, report: Report) -> Taken:
        if report is kept[key] and key in changed:
            return changed[key]
        higher = standing.get(key, kept[key].revision) > report.revision
        return Taken.OUTDATED if higher else Taken.UNCHANGED

    return [
        Outcome(refused=refused[n]) if n in refused else Outcome(taken(key, report))
        for n, (key, report) in enumerate(reports)
    ]


async def _keep_days(
    db: Session, kept: Mapping[Key, Report], counted_on: Mapping[UUID, date]
) -> tuple[dict[Key, Taken], dict[UUID, Figures]]:
    """Enter the days; what changed, and by how much the counted activities did."""
    ordered = sorted(kept, key=lambda key: key.sort)
    rows = await db.execute(
        _DAYS,
        {
            "customers": [key.customer_id for key in ordered],
            "days": [key.day for key in ordered],
            "sources": [key.source for key in ordered],
            "revisions": [kept[key].revision for key in ordered],
            "activities": [kept[key].activities for key in ordered],
        },
    )
    changed: dict[Key, Taken] = {}
    steps: dict[UUID, int] = {}
    for customer_id, day, source, was, is_ in rows:
        changed[Key(customer_id, day, source)] = Taken.NEW if was is None else Taken.CORRECTED
        first, last = window(counted_on[customer_id])
        if first <= day <= last:
            steps[customer_id] = steps.get(customer_id, 0) + is_ - (was or 0)
    return changed, {c: Figures(c, step) for c, step in steps.items() if step}


async def _keep_sources(
    db: Session, kept: Mapping[Key, Report], figures: Mapping[UUID, Figures]
) -> dict[UUID, Figures]:
    """Enter users and frameworks of each source's newest day, and say what the overview shows from now on."""
    told = [key for key, report in kept.items() if report.users is not None or report.frameworks is not None]
    told.sort(key=lambda key: (key.customer_id, key.source, key.day))
    rows = [_as_source(newest_day, kept) for _, (*_, newest_day) in groupby(told, lambda k: (k.customer_id, k.source))]
    if not rows:
        return {}
    touched = set((await db.execute(_SOURCES, {"rows": to_json(rows).decode()})).scalars())
    latest = await db.execute(_LATEST, {"customers": sorted(touched)})
    return {
        row.customer_id: Figures(
            row.customer_id,
            figures[row.customer_id].activities if row.customer_id in figures else 0,
            users=row.users,
            framework=row.framework or "",
            progress=-1 if row.progress is None else row.progress,
        )
        for row in latest
    }


def _as_source(key: Key, kept: Mapping[Key, Report]) -> dict[str, Any]:
    report = kept[key]
    framework, progress = None, None
    if report.frameworks is not None:
        framework, progress = main_framework(report.frameworks)
    return {
        "customer_id": key.customer_id,
        "source": key.source,
        "day": key.day,
        "revision": report.revision,
        "users": report.users,
        "frameworks": report.frameworks,
        "framework": framework,
        "progress": progress,
    }


async def _keep_attention(
    db: Session, kept: Mapping[Key, Report], partners: Mapping[UUID, UUID | None], actor: str, now: datetime
) -> None:
    said = [(key, item) for key, report in kept.items() for item in report.attention]
    if not said:
        return
    audiences = {c: "partner" if partner else "platform" for c, partner in partners.items()}

    def name(key: Key, item: Any) -> str:
        return f"reported/{key.customer_id}/{key.source}/{item.key}"

    await open_items(
        db,
        [
            Item(
                kind=BY_HAND,
                key=name(key, item),
                subject=item.subject,
                next_action=item.next_action,
                due_at=item.due_at,
                partner_id=partners[key.customer_id],
                customer_id=key.customer_id,
                audience=audiences[key.customer_id],
                detail={"source": key.source},
            )
            for key, item in said
        ],
        now=now,
    )
    over = [Resolution(name(key, item), audiences[key.customer_id]) for key, item in said if item.resolved]
    await resolve_items(db, over, by=actor, now=now)


async def _revisions(db: Session, keys: Sequence[Key]) -> dict[Key, int]:
    if not keys:
        return {}
    lists = {
        "customers": [key.customer_id for key in keys],
        "days": [key.day for key in keys],
        "sources": [key.source for key in keys],
    }
    return {Key(c, day, source): revision for c, day, source, revision in await db.execute(_STANDING, lists)}


_MOVED = text(
    "select w.customer_id,"
    " coalesce((select sum(u.activities) from usage_days u where u.customer_id = w.customer_id"
    "   and u.day > w.counted_on and u.day <= w.today and u.day > w.today - 90), 0)"
    " - coalesce((select sum(u.activities) from usage_days u where u.customer_id = w.customer_id"
    "   and u.day > w.counted_on - 90 and u.day <= least(w.counted_on, w.today - 90)), 0) as step"
    " from unnest(cast(:customers as uuid[]), cast(:counted as date[]), cast(:todays as date[]))"
    " as w (customer_id, counted_on, today)"
)


async def steps_to_today(db: Session, stale: Iterable[Stale]) -> dict[UUID, int]:
    """By how much the counted activities change when the window moves on to the customer's today."""
    lines = list(stale)
    if not lines:
        return {}
    lists = {
        "customers": [line.customer_id for line in lines],
        "counted": [line.counted_on for line in lines],
        "todays": [line.today for line in lines],
    }
    return {customer_id: int(step) for customer_id, step in await db.execute(_MOVED, lists)}


async def roll_windows(db: Session, now: datetime) -> int:
    """Move the counted window on where a new local day has begun; a job's body."""
    stale = await lock_stale(db, now)
    # The lines are locked by a statement of their own, so this one sees every report that came before.
    steps = await steps_to_today(db, stale)
    await add_figures(db, [Figures(line.customer_id, steps[line.customer_id], counted_on=line.today) for line in stale])
    return len(stale)


async def days_of(db: Session, customer_id: UUID, first: date, last: date) -> Sequence[UsageDay]:
    """What was reported of a customer, day by day and source by source."""
    query = select(UsageDay).where(UsageDay.customer_id == customer_id, UsageDay.day.between(first, last))
    return (await db.scalars(query.order_by(UsageDay.day, UsageDay.source))).all()
