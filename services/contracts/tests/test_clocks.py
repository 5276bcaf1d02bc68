"""A tenant's own time: who may move it, and that production has none."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import Integer, Uuid, column, literal, select, text, values
from sqlalchemy.dialects.postgresql import TIMESTAMP

from contracts.settings import Settings
from kit import testclock
from kit.testing import Migrated, Running, problem
from schemas.clock import ClockChanged

CLOCKS = "/v1/test-clocks"


async def a_partner(contracts: Running) -> str:
    answer = await contracts.post("/v1/partners", {"name": "Lumen", "wallet": False})
    return str(answer.json()["partner_id"])


async def a_customer(contracts: Running, partner_id: str | None = None) -> str:
    answer = await contracts.post("/v1/customers", {"name": "Zilverberg", "partner_id": partner_id})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["customer_id"])


async def a_clock(contracts: Running, tenant_id: str, time: str, kind: str = "partner") -> Any:
    return await contracts.post(CLOCKS, {"tenant_kind": kind, "tenant_id": tenant_id, "time": time})


async def test_a_partners_clock_stands_where_it_was_put_and_moves_forward_only(contracts: Running) -> None:
    partner = await a_partner(contracts)
    made = await a_clock(contracts, partner, "2025-01-01T08:00:00Z")
    assert (made.status_code, made.json()["time"]) == (201, "2025-01-01T08:00:00Z")

    ahead = await contracts.post(f"{CLOCKS}/{partner}/advance", {"time": "2027-01-01T08:00:00Z"})
    back = await contracts.post(f"{CLOCKS}/{partner}/advance", {"time": "2026-12-31T08:00:00Z"})
    again = await contracts.post(f"{CLOCKS}/{partner}/advance", {"time": "2027-01-01T08:00:00Z"})

    assert ahead.json() == {
        "tenant_kind": "partner",
        "tenant_id": partner,
        "version": 2,
        "time": "2027-01-01T08:00:00Z",
    }
    assert problem(back)["type"] == "/problems/time-only-moves-forward"
    assert again.json() == ahead.json() == (await contracts.get(f"{CLOCKS}/{partner}")).json()
    told = await contracts.published(ClockChanged)
    assert [(e.version, e.time.year) for e in told] == [(1, 2025), (2, 2027)]


async def test_a_clock_that_began_in_the_past_would_take_time_back(contracts: Running) -> None:
    partner = await a_partner(contracts)
    await a_customer(contracts, partner)
    alone = (await contracts.post("/v1/customers", {"name": "Alone", "status": "active"})).json()["customer_id"]

    for kind, tenant in (("partner", partner), ("customer", alone)):
        refused = await a_clock(contracts, tenant, "2020-01-01T00:00:00Z", kind)
        assert problem(refused)["type"] == "/problems/time-only-moves-forward"


@pytest.mark.parametrize(
    ("kind", "whose", "time", "refusal"),
    [
        ("customer", "customer", "2090-01-01T00:00:00Z", "follows-its-partner"),
        ("partner", "customer", "2090-01-01T00:00:00Z", "partner-not-found"),
        ("customer", "partner", "2090-01-01T00:00:00Z", "customer-not-found"),
        ("partner", "partner", "2101-01-01T00:00:00Z", "too-far-ahead"),
        ("partner", "partner", "2090-01-01T00:00:00", "not-understood"),
    ],
)
async def test_a_clock_that_cannot_be_is_refused_by_name(
    contracts: Running, kind: str, whose: str, time: str, refusal: str
) -> None:
    partner = await a_partner(contracts)
    tenants = {"partner": partner, "customer": await a_customer(contracts, partner)}

    answer = await a_clock(contracts, tenants[whose], time, kind)

    assert problem(answer)["type"] == f"/problems/{refusal}"


async def test_only_a_platform_admin_moves_time(contracts: Running) -> None:
    partner = await a_partner(contracts)
    await contracts.post(f"/v1/partners/{partner}/admins", {"email": "ada@lumen.example", "name": "Ada"})
    await contracts.deliver(*[e for e in await contracts.everything_published() if e.topic == "access.changed"])

    answer = await contracts.post(
        CLOCKS,
        {"tenant_kind": "partner", "tenant_id": partner, "time": "2090-01-01T00:00:00Z"},
        email="ada@lumen.example",
    )

    assert problem(answer)["type"] == "/problems/role-missing"


async def test_rows_fall_due_by_the_time_of_their_own_tenant(contracts: Running) -> None:
    fast, slow, wall = [await a_partner(contracts) for _ in range(3)]
    ours = await a_customer(contracts, fast)
    await a_clock(contracts, fast, "2090-01-01T00:00:00Z")
    await a_clock(contracts, slow, "2025-01-01T00:00:00Z")
    now = datetime(2026, 6, 1, tzinfo=UTC)
    v = values(column("partner_id", Uuid), column("customer_id", Uuid), column("n", Integer), name="v").data(
        [(UUID(fast), UUID(ours), 1), (UUID(slow), None, 2), (UUID(wall), None, 3)]
    )

    async with contracts.db() as db:

        async def due(at: datetime) -> list[int]:
            moment = literal(at, TIMESTAMP(timezone=True))
            is_due = testclock.due(db, moment, now, partner=v.c.partner_id, customer=v.c.customer_id)
            return list(await db.scalars(select(v.c.n).where(is_due).order_by(v.c.n)))

        assert await due(datetime(2024, 1, 1, tzinfo=UTC)) == [1, 2, 3]
        assert await due(datetime(2026, 1, 1, tzinfo=UTC)) == [1, 3]
        assert await due(datetime(2089, 1, 1, tzinfo=UTC)) == [1]
        assert await due(datetime(2091, 1, 1, tzinfo=UTC)) == []
        assert await testclock.time_of(db, now, partner_id=None, customer_id=None) == now


async def test_in_production_no_clock_can_be_made_and_none_that_stands_there_has_effect(migrated: Migrated) -> None:
    production = {"TANDEM_ENVIRONMENT": "production", "TEST_CLOCKS": "false"}
    async with migrated.running(**production) as contracts:
        partner = await a_partner(contracts)
        refused = await a_clock(contracts, partner, "2090-01-01T00:00:00Z")
        assert problem(refused)["type"] == "/problems/test-clocks-are-off"

        strayed = ClockChanged(
            version=1, tenant_kind="partner", tenant_id=partner, time=datetime(2090, 1, 1, tzinfo=UTC)
        )
        await contracts.deliver(strayed)
        assert await contracts.rows("select * from test_clocks") == []
        now = datetime.now(UTC)
        async with contracts.db() as db:
            await db.execute(
                text("insert into test_clocks values (:p, 'partner', 1, :t)"), {"p": partner, "t": strayed.time}
            )
            assert await testclock.time_of(db, now, partner_id=strayed.tenant_id) == now
            due = testclock.due(db, literal(now + timedelta(days=1)), now, partner=literal(strayed.tenant_id))
            assert await db.scalar(select(due)) is False


async def test_production_refuses_to_start_with_test_clocks(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in migrated.variables(migrated.parts.database("contracts", "never_migrated")).items():
        monkeypatch.setenv(name, value)
    assert Settings().test_clocks
    monkeypatch.delenv("TANDEM_ENVIRONMENT")
    with pytest.raises(ValidationError, match="TANDEM_ENVIRONMENT=sandbox"):
        Settings()
    monkeypatch.delenv("TEST_CLOCKS")
    assert not Settings().test_clocks
