"""Claiming seats and giving them back. Enrollments are locked first and seats after them, in the order of
their ids, so that no two transactions wait for each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text

from enrollment.seats.rows import sessions
from kit import mail
from kit.db import Session
from kit.problems import Refused


class SessionFull(Refused):
    """The session has no seat left."""

    rule = "ENR-6"
    remedy = "Choose another session."


_CLAIM = text(
    "update sessions set taken = taken + least(:wanted, capacity - taken)"
    " where id = :id and taken < capacity returning new.taken - old.taken"
)
_GIVE_BACK = text(
    "with given as (select * from unnest(cast(:ids as uuid[]), cast(:counts as int[])) as g(id, n)),"
    " locked as (select s.id, g.n from sessions s join given g using (id) order by s.id for update of s)"
    " update sessions s set taken = s.taken - l.n, ceiling = greatest(s.capacity, s.taken - l.n)"
    " from locked l where s.id = l.id"
)


async def claim(db: Session, session_id: UUID, wanted: int = 1) -> int:
    """Take up to so many seats; returns how many there were. The counter is guarded by its own row."""
    return (await db.scalar(_CLAIM, {"id": session_id, "wanted": wanted})) or 0


async def give_back(db: Session, seats: Mapping[UUID, int]) -> None:
    """Give seats back, in one statement for all sessions."""
    if seats:
        ids = sorted(seats)
        await db.execute(_GIVE_BACK, {"ids": ids, "counts": [seats[i] for i in ids]})


async def exchange(db: Session, old: UUID | None, new: UUID) -> None:
    """Give one seat back and take one elsewhere. Raises `SessionFull`."""
    for session_id in sorted(s for s in (old, new) if s):
        if session_id == old:
            await give_back(db, {session_id: 1})
        elif not await claim(db, session_id):
            raise SessionFull(session_id, field="session_id")


async def session_of(db: Session, session_id: UUID | None) -> "Announced | None":
    """A session as it is now; None without one."""
    if session_id is None:
        return None
    row = (await db.execute(_ONE.where(sessions.c.id == session_id))).one_or_none()
    return Announced(*row) if row else None


@dataclass(frozen=True, slots=True)
class Announced:
    """A session as a version of its course announced it."""

    id: UUID
    course_id: UUID
    version: int
    starts_at: datetime
    ends_at: datetime
    place: str | None
    capacity: int
    status: str


_ONE = select(*(sessions.c[name] for name in Announced.__slots__))
# Before both of the next two, since a session that is dropped may come before one that is kept.
_LOCK = text(
    "select from sessions where course_id = any(cast(:courses as uuid[])) or id = any(cast(:ids as uuid[]))"
    " order by id for update"
)
_KEEP = text(
    "insert into sessions (id, course_id, version, starts_at, ends_at, place, capacity, status, ceiling)"
    " select id, course_id, version, starts_at, ends_at, place, capacity, status, capacity from unnest("
    " cast(:ids as uuid[]), cast(:courses as uuid[]), cast(:versions as bigint[]),"
    " cast(:starts as timestamptz[]), cast(:ends as timestamptz[]), cast(:places as text[]),"
    " cast(:capacities as int[]), cast(:states as text[]))"
    " as n(id, course_id, version, starts_at, ends_at, place, capacity, status) order by id"
    " on conflict (id) do update set course_id = excluded.course_id, version = excluded.version,"
    " starts_at = excluded.starts_at, ends_at = excluded.ends_at, place = excluded.place,"
    " capacity = excluded.capacity, status = excluded.status,"
    " ceiling = greatest(excluded.capacity, sessions.taken)"
    " where sessions.version < excluded.version"
    " returning id, capacity, taken"
)
_DROP = text(
    "update sessions s set status = 'cancelled' from unnest(cast(:courses as uuid[]), cast(:versions as bigint[]))"
    " as c(id, version) where s.course_id = c.id and s.version < c.version and s.status <> 'cancelled'"
)


async def keep_sessions(db: Session, announced: Sequence[Announced], courses: Mapping[UUID, int], support: str) -> None:
    """Follow newer versions of courses (id → version). A session that is no longer among its course's
    counts as cancelled. A capacity below what is taken removes nobody; support is told (ENR-6)."""
    if not courses:
        return
    rows = sorted(announced, key=lambda s: s.id)
    await db.execute(_LOCK, {"courses": list(courses), "ids": [s.id for s in rows]})
    kept = await db.execute(
        _KEEP,
        {
            "ids": [s.id for s in rows],
            "courses": [s.course_id for s in rows],
            "versions": [s.version for s in rows],
            "starts": [s.starts_at for s in rows],
            "ends": [s.ends_at for s in rows],
            "places": [s.place for s in rows],
            "capacities": [s.capacity for s in rows],
            "states": [s.status for s in rows],
        },
    )
    over = [row for row in kept if row.taken > row.capacity]
    await db.execute(_DROP, {"courses": list(courses), "versions": list(courses.values())})
    for row in over:
        await mail.send(
            db,
            to=support,
            subject=f"A session has {row.taken} participants and only {row.capacity} seats",
            text=(
                f"The capacity of session {row.id} was lowered to {row.capacity}, but {row.taken} seats are "
                "taken. Nobody was removed and no new seat is given. Please settle it with the supplier."
            ),
            matter=f"session/{row.id}",
            event=f"capacity/{row.capacity}/{row.taken}",
        )
