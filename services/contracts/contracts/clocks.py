"""Test clocks: a partner's or a customer's time, moved by hand, so that a contract's months pass in a second.

Only in a sandbox (`kit.testclock`); the jobs look again as soon as a clock has moved.
"""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy import insert, select, update

from contracts.customers.usecases import CustomerNotFound, customer_of, has_customers
from contracts.partners.usecases import PartnerIsClosed, PartnerNotFound, active_partner
from kit import audit, outbox, testclock
from kit.auth import Role
from kit.db import Session
from kit.http import Caller, Db, Items, Once, Page, Router, needs, now, page, problems
from kit.problems import Refused
from schemas.clock import ClockChanged

END = datetime(2101, 1, 1, tzinfo=UTC)
"""No clock goes further."""

router = Router(prefix="/v1/test-clocks", tags=["test clocks"])


class TestClocksAreOff(Refused):
    """Test clocks work in a sandbox only."""

    status = 403
    remedy = "Use an installation that runs with TANDEM_ENVIRONMENT=sandbox and TEST_CLOCKS=true."


class ClockNotFound(Refused):
    """This tenant has no test clock."""

    status = 404


class ClockExists(Refused):
    """This tenant has a test clock already."""

    remedy = "Advance it."


class FollowsItsPartner(Refused):
    """A partner's customers follow the partner's clock."""

    status = 422
    remedy = "Make a clock for the partner."


class TimeOnlyMovesForward(Refused):
    """A tenant's time never goes back."""

    status = 422


class TooFarAhead(Refused):
    """A clock goes no further than the year 2100."""

    status = 422


async def make_clock(db: Session, kind: str, tenant_id: UUID, time: datetime, *, actor: str, now: datetime) -> Any:
    """Give a tenant a time of its own. It may begin in the past for a partner that has no customers yet.

    Raises `TestClocksAreOff`, `ClockExists`, `FollowsItsPartner`, `TimeOnlyMovesForward`, `TooFarAhead`, and what
    the tenant refuses.
    """
    _check_on(db)
    if kind == "partner":
        await active_partner(db, tenant_id, field="tenant_id")
        untouched = not await has_customers(db, tenant_id)
    else:
        customer = await customer_of(db, tenant_id, field="tenant_id")
        if customer.partner_id is not None:
            raise FollowsItsPartner(partner_id=customer.partner_id, field="tenant_id")
        untouched = False
    if await db.scalar(select(testclock.table.c.time).where(testclock.table.c.tenant_id == tenant_id)):
        raise ClockExists(tenant_id)
    if time < now and not untouched:
        raise TimeOnlyMovesForward(field="time", time=now)
    _check_end(time)
    values = {"tenant_id": tenant_id, "tenant_kind": kind, "version": 1, "time": time}
    row = (await db.execute(insert(testclock.table).values(values).returning(testclock.table))).one()
    await _announce(db, row, "clock.made", actor)
    return row


async def advance_clock(db: Session, tenant_id: UUID, time: datetime, *, actor: str) -> Any:
    """Move a clock forward; to where it stands changes nothing.

    Raises `TestClocksAreOff`, `ClockNotFound`, `TimeOnlyMovesForward`, `TooFarAhead`.
    """
    clock = await find_clock(db, tenant_id, lock=True)
    if time < clock.time:
        raise TimeOnlyMovesForward(field="time", time=clock.time)
    if time == clock.time:
        return clock
    _check_end(time)
    mine = testclock.table.c.tenant_id == tenant_id
    moved = update(testclock.table).where(mine).values(time=time, version=clock.version + 1)
    row = (await db.execute(moved.returning(testclock.table))).one()
    await _announce(db, row, "clock.advanced", actor)
    return row


async def find_clock(db: Session, tenant_id: UUID, *, lock: bool = False) -> Any:
    """A tenant's clock. Raises `TestClocksAreOff`, `ClockNotFound`."""
    _check_on(db)
    query = select(testclock.table).where(testclock.table.c.tenant_id == tenant_id)
    row = (await db.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise ClockNotFound(tenant_id)
    return row


def _check_on(db: Session) -> None:
    if not testclock.on(db):
        raise TestClocksAreOff()


def _check_end(time: datetime) -> None:
    if time >= END:
        raise TooFarAhead(field="time")


async def _announce(db: Session, row: Any, action: str, actor: str) -> None:
    values = {"tenant_kind": row.tenant_kind, "tenant_id": row.tenant_id, "time": row.time}
    outbox.add(db, ClockChanged(version=row.version, **values))
    subject = f"{row.tenant_kind}/{row.tenant_id}"
    await audit.record(db, actor, action, subject=subject, detail={"time": row.time.isoformat()})


class ClockIn(BaseModel):
    """A new test clock."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "tenant_kind": "partner",
                    "tenant_id": "0195f000-0000-7000-8000-000000000001",
                    "time": "2027-01-01T08:00:00Z",
                }
            ]
        },
    )

    tenant_kind: Literal["partner", "customer"]
    tenant_id: UUID
    time: AwareDatetime


class Advance(BaseModel):
    """Where a clock shall stand."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"time": "2029-01-01T08:00:00Z"}]})

    time: AwareDatetime


class ClockOut(BaseModel):
    """A test clock."""

    tenant_kind: str
    tenant_id: UUID
    version: int
    time: datetime

    @classmethod
    def of(cls, row: Any) -> "ClockOut":
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


@router.post(
    "",
    status_code=201,
    dependencies=[needs(Role.ADMIN)],
    responses=problems(
        TestClocksAreOff,
        PartnerNotFound,
        PartnerIsClosed,
        CustomerNotFound,
        FollowsItsPartner,
        ClockExists,
        TimeOnlyMovesForward,
        TooFarAhead,
    ),
)
async def post_clock(body: ClockIn, caller: Caller, db: Db, once: Once, response: Response) -> ClockOut:
    """Give a partner and its customers, or a customer without a partner, a time of their own. There is no way back."""
    row = await make_clock(db, body.tenant_kind, body.tenant_id, body.time, actor=caller.actor, now=now())
    response.headers["Location"] = f"/v1/test-clocks/{row.tenant_id}"
    return ClockOut.of(row)


@router.get("", dependencies=[needs(Role.ADMIN)])
async def get_clocks(db: Db, at: Page) -> Items[ClockOut]:
    """All test clocks."""
    return await page(db, select(testclock.table), [testclock.table.c.tenant_id], at, ClockOut.of)


@router.get("/{tenant_id}", dependencies=[needs(Role.ADMIN)], responses=problems(TestClocksAreOff, ClockNotFound))
async def get_clock(tenant_id: UUID, db: Db) -> ClockOut:
    """Where a tenant's clock stands."""
    return ClockOut.of(await find_clock(db, tenant_id))


@router.post(
    "/{tenant_id}/advance",
    dependencies=[needs(Role.ADMIN)],
    responses=problems(TestClocksAreOff, ClockNotFound, TimeOnlyMovesForward, TooFarAhead),
)
async def post_advance(tenant_id: UUID, body: Advance, caller: Caller, db: Db, once: Once) -> ClockOut:
    """Move a clock forward. What has fallen due by then happens at once, in its order."""
    return ClockOut.of(await advance_clock(db, tenant_id, body.time, actor=caller.actor))
