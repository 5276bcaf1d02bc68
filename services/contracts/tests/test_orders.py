"""Orders and portings, from outside: their ways, what stands open, and what nobody may do."""

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.orders.rules import MOVES, OVER, State, delay_announced, may_move
from contracts.portings.rules import Numbers, media_type, numbers
from contracts.portings.usecases import open_porting_in, portings_out
from contracts.workdays import working_day_from
from kit import clock
from kit.testing import Running, problem
from schemas.contract import OrderPlaced, PortingChanged, ServiceActivated
from services.contracts.tests.selling import ADA, BEN, World

FIBRE: dict[str, Any] = {
    "code": "fibre-500",
    "label": "Fibre 500/500",
    "terms": {"monthly_fee": 8900, "term_months": 36, "one_off": [{"label": "Installation", "amount": 25000}]},
    "conditions_version": "2026-01",
}
PDF = b"%PDF-1.7 a signed mandate"
SUPPORT = "admin@tandem.example"


def today() -> date:
    return clock.now().date()


def working_day(after: int = 10) -> str:
    return str(working_day_from(today() + timedelta(days=after)))


class Orders(World):
    """The world of the deals, with a line that can be ordered."""

    async def build(self) -> "Orders":
        await super().build()
        self.fibre_id = str((await self.contracts.post("/v1/service-products", FIBRE)).json()["product_id"])
        return self

    async def place(self, email: str = ADA, **more: Any) -> Any:
        body = {"customer_id": self.customer_id, "product_id": self.fibre_id, "conditions_version": "2026-01"}
        return await self.contracts.post("/v1/orders", body | more, email=email)

    async def step(self, what: dict[str, Any], state: str, email: str = SUPPORT, **more: Any) -> Any:
        """The next step of an order or a porting, on the version that was read."""
        kind = "portings" if "porting_id" in what else "orders"
        path = f"/v1/{kind}/{what[kind[:-1] + '_id']}/steps"
        headers = self.contracts.headers(email) | {"If-Match": f'"{what["version"]}"'}
        return await self.contracts.http.post(path, json={"state": state, **more}, headers=headers)

    async def go(self, what: dict[str, Any], *states: str, **more: Any) -> dict[str, Any]:
        for state in states:
            day = {"planned_on": str(today() + timedelta(days=3))} if state == "planned" else {}
            answer = await self.step(what, state, **day, **(more if state == states[-1] else {}))
            assert answer.status_code == 200, answer.text
            what = answer.json()
        return what

    async def run(self) -> dict[str, Any]:
        """A service that runs."""
        return await self.go((await self.place()).json(), "accepted", "planned", "done")

    async def port(self, email: str = ADA, **more: Any) -> Any:
        body = {
            "direction": "in",
            "numbers": [{"first": "+31 20 794 0100", "last": "+31 20 794 0109"}],
            "provider": "Kustlijn Telecom",
            "wish_date": working_day(),
        }
        return await self.contracts.post("/v1/portings", body | more, email=email)

    async def mandate(self, porting: dict[str, Any], content: bytes = PDF, email: str = ADA) -> Any:
        headers = self.contracts.headers(email) | {"If-Match": f'"{porting["version"]}"'}
        path = f"/v1/portings/{porting['porting_id']}/mandate"
        return await self.contracts.http.put(path, content=content, headers=headers)

    async def ported(self, contract_id: str, **more: Any) -> dict[str, Any]:
        """Numbers that came in."""
        porting = (await self.port(contract_id=contract_id, **more)).json()
        porting = (await self.mandate(porting)).json()
        return await self.go(porting, "accepted", "planned", "done")

    async def ringing(self, contract_id: str) -> list[str]:
        found = (await self.contracts.get(f"/v1/service-contracts/{contract_id}/numbers", email=ADA)).json()
        return [f"{part['first']}-{part['last']}" for part in found]


@pytest.fixture
async def world(contracts: Running) -> Orders:
    return await Orders(contracts).build()


async def test_a_done_order_starts_its_contract_on_that_day(contracts: Running, world: Orders) -> None:
    placed = (await world.place(wish_date=str(today() + timedelta(days=5)))).json()
    done = await world.go(placed, "accepted", "planned", "done")

    [announced] = await contracts.published(OrderPlaced)
    [activated] = await contracts.published(ServiceActivated)
    contract = (await contracts.get(f"/v1/service-contracts/{done['contract_id']}", email=ADA)).json()
    assert (announced.kind, announced.ordered_by) == ("service", "partner")
    assert (done["state"], [step["state"] for step in done["steps"]]) == (
        "done",
        ["requested", "accepted", "planned", "done"],
    )
    assert str(activated.order_id) == done["order_id"]
    assert str(activated.contract.starts_on) == contract["starts_on"] == done["done_on"]
    assert (activated.contract.monthly_fee.amount, activated.contract.one_off[0].cost.amount) == (8900, 25000)
    assert (contract["kind"], contract["order_id"], contract["terms"]["term_months"]) == (
        "service",
        done["order_id"],
        36,
    )


async def test_a_delay_that_is_announced_before_the_day_is_told(contracts: Running, world: Orders) -> None:
    planned = await world.go((await world.place()).json(), "accepted", "planned")
    later = (await world.step(planned, "planned", planned_on=str(today() + timedelta(days=9)))).json()

    assert later["originally_planned_on"] == planned["planned_on"]
    assert later["delay_announced_on"] is not None
    assert later["planned_on"] == str(today() + timedelta(days=9))


async def test_a_rejected_order_is_asked_again_or_cancelled_by_its_partner(contracts: Running, world: Orders) -> None:
    placed = (await world.place()).json()
    bare = await world.step(placed, "rejected")
    rejected = (await world.step(placed, "rejected", reason="address_not_served")).json()
    listed = (await contracts.get("/v1/attention", email=ADA, kind="order_rejected")).json()["items"]
    own = await world.step(rejected, "accepted", email=ADA)
    again = (await world.step(rejected, "requested", email=ADA)).json()
    after = (await contracts.get("/v1/attention", email=ADA, kind="order_rejected")).json()["items"]
    cancelled = (await world.step(again, "cancelled", email=ADA, reason="changed_mind")).json()
    revived = await world.step(cancelled, "requested", email=ADA)

    assert problem(bare)["type"] == "/problems/reason-missing"
    assert [item["detail"] for item in listed] == [{"reason": "address_not_served"}]
    assert problem(own)["type"] == "/problems/move-not-yours"
    assert (again["state"], after, cancelled["state"]) == ("requested", [], "cancelled")
    assert problem(revived)["type"] == "/problems/move-not-possible"


async def test_two_who_complete_an_order_at_once_start_one_contract(contracts: Running, world: Orders) -> None:
    planned = await world.go((await world.place()).json(), "accepted", "planned")

    answers = await asyncio.gather(*(world.step(planned, "done") for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    assert len(await contracts.published(ServiceActivated)) == 1


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"conditions_version": "2025"}, "conditions-not-agreed"),
        ({"wish_date": "2001-01-01"}, "day-not-possible"),
        ({"wish_date": "2101-01-01"}, "not-understood"),
        ({"wish_date": "2027-02-29"}, "not-understood"),
        ({"term_months": 12}, "term-not-offered"),
        ({"customer_id": "019bc0bd-7380-7852-a0b8-dbf4827d2fda"}, "customer-not-found"),
    ],
)
async def test_an_order_that_is_wrong_is_refused_by_name(
    contracts: Running, world: Orders, wrong: dict[str, Any], refusal: str
) -> None:
    assert problem(await world.place(**wrong))["type"] == f"/problems/{refusal}"
    assert await contracts.published(OrderPlaced) == []


async def test_other_partners_find_neither_orders_nor_portings(contracts: Running, world: Orders) -> None:
    order = await world.run()
    porting = (await world.port(contract_id=order["contract_id"])).json()
    await world.partner("Ponte", BEN)

    foreign = await contracts.get(f"/v1/orders/{order['order_id']}", email=BEN)
    unseen = await contracts.get(f"/v1/portings/{porting['porting_id']}", email=BEN)
    moved = await world.step(porting, "cancelled", email=BEN, reason="mistake")
    placed = await world.place(BEN)
    asked = await world.port(BEN, contract_id=order["contract_id"])
    stored = await world.mandate(porting, email=BEN)

    types = [problem(answer)["type"].removeprefix("/problems/") for answer in (foreign, unseen, moved, placed, asked)]
    assert types == ["order-not-found"] + ["porting-not-found"] * 2 + ["customer-not-found", "contract-not-found"]
    assert problem(stored)["type"] == "/problems/porting-not-found"


# -- portings ---------------------------------------------------------------------------------------------


async def test_numbers_come_in_with_their_order_and_ring_on_its_service(contracts: Running, world: Orders) -> None:
    order = (await world.place()).json()
    porting = (await world.port(order_id=order["order_id"])).json()
    unsigned = await world.step(porting, "accepted")
    porting = (await world.mandate(porting)).json()
    planned = await world.go(porting, "accepted", "planned")
    early = await world.step(planned, "done")
    running = await world.go(order, "accepted", "planned", "done")
    joined = (await contracts.get(f"/v1/portings/{porting['porting_id']}", email=ADA)).json()
    async with contracts.db() as db:
        held_up = await open_porting_in(db, running["contract_id"])
    await world.go(joined, "done")
    async with contracts.db() as db:
        free = await open_porting_in(db, running["contract_id"])

    facts = await contracts.published(PortingChanged)
    assert problem(unsigned)["type"] == "/problems/mandate-missing"
    assert problem(early)["type"] == "/problems/service-not-running"
    assert joined["contract_id"] == running["contract_id"]
    assert (str(held_up), free) == (porting["porting_id"], None)
    assert await world.ringing(running["contract_id"]) == ["+31207940100-+31207940109"]
    assert [fact.version for fact in facts] == list(range(1, len(facts) + 1))
    assert (facts[-1].status, facts[-1].numbers, str(facts[-1].contract_id)) == ("done", 10, running["contract_id"])


async def test_numbers_that_go_out_leave_the_rest_of_their_range(contracts: Running, world: Orders) -> None:
    contract_id = (await world.run())["contract_id"]
    await world.ported(contract_id)
    foreign = await world.port(direction="out", contract_id=contract_id, numbers=[{"first": "+31207940200"}])
    out = (
        await world.port(
            direction="out",
            contract_id=contract_id,
            numbers=[{"first": "+31207940103", "last": "+31207940105"}],
        )
    ).json()
    async with contracts.db() as db:
        before = await portings_out(db, [contract_id])
    done = await world.go(out, "accepted", "planned", "done")
    async with contracts.db() as db:
        after = await portings_out(db, [contract_id])

    [(_, waiting)], [(_, over)] = before.items(), after.items()
    assert problem(foreign)["type"] == "/problems/number-not-here"
    assert (waiting.open, waiting.over_on) == (True, None)
    assert (over.open, str(over.over_on)) == (False, done["done_on"])
    assert await world.ringing(contract_id) == ["+31207940100-+31207940102", "+31207940106-+31207940109"]


async def test_a_number_is_in_one_porting_and_rings_in_one_place(contracts: Running, world: Orders) -> None:
    contract_id = (await world.run())["contract_id"]
    answers = await asyncio.gather(
        *(
            world.port(contract_id=contract_id, numbers=[{"first": f"+3120794010{n}", "last": "+31207940109"}])
            for n in range(3)
        )
    )
    [first] = [answer.json() for answer in answers if answer.status_code == 201]
    await world.go((await world.mandate(first)).json(), "accepted", "planned", "done")
    again = await world.port(contract_id=contract_id, numbers=[{"first": "+31207940109"}])

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert {problem(answer)["type"] for answer in answers if answer.status_code == 409} == {"/problems/number-taken"}
    assert problem(again)["type"] == "/problems/number-taken"


async def test_a_rejected_porting_still_waits_for_its_partner(contracts: Running, world: Orders) -> None:
    contract_id = (await world.run())["contract_id"]
    porting = (await world.port(contract_id=contract_id)).json()
    rejected = (await world.step(porting, "rejected", reason="details_do_not_match")).json()
    listed = (await contracts.get("/v1/attention", email=ADA, kind="porting_rejected")).json()["items"]
    async with contracts.db() as db:
        waits = await open_porting_in(db, contract_id)
    cancelled = await world.step(rejected, "cancelled", email=ADA, reason="changed_mind")
    async with contracts.db() as db:
        over = await open_porting_in(db, contract_id)
    freed = await world.port(contract_id=contract_id)

    assert len(listed) == 1
    assert (str(waits), over) == (porting["porting_id"], None)
    assert (cancelled.status_code, freed.status_code) == (200, 201)


async def test_a_cancelled_order_takes_its_portings_with_it(contracts: Running, world: Orders) -> None:
    order = (await world.place()).json()
    porting = (await world.port(order_id=order["order_id"])).json()

    await world.step(order, "cancelled", email=ADA, reason="mistake")

    after = (await contracts.get(f"/v1/portings/{porting['porting_id']}", email=ADA)).json()
    assert (after["state"], after["reason"]) == ("cancelled", "mistake")


@pytest.mark.parametrize(
    ("content", "refusal"),
    [(b"MZ a program", "mandate-not-understood"), (b"", "mandate-not-understood"), (b"<html>%PDF-", None)],
)
async def test_a_mandate_is_judged_by_what_it_is(
    contracts: Running, world: Orders, content: bytes, refusal: str | None
) -> None:
    porting = (await world.port(contract_id=(await world.run())["contract_id"])).json()

    refused = await world.mandate(porting, content)
    stored = (await world.mandate(porting)).json()
    stale = await world.mandate(porting)
    path = f"/v1/portings/{porting['porting_id']}/mandate"
    file = await contracts.get(path, email=ADA)

    assert problem(refused)["type"] == "/problems/" + (refusal or "mandate-not-understood")
    assert problem(stale)["type"] == "/problems/changed"
    assert (file.content, file.headers["content-type"]) == (PDF, "application/pdf")
    assert file.headers["content-disposition"].startswith("attachment")
    assert stored["mandate_hash"] is not None


async def test_a_mandate_that_is_too_large_is_refused(contracts: Running, world: Orders) -> None:
    porting = (await world.port(contract_id=(await world.run())["contract_id"])).json()

    answer = await world.mandate(porting, PDF + b"x" * (5 << 20))

    assert answer.status_code in (413, 422)
    assert await contracts.value("select count(*) from porting_mandates") == 0


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"numbers": [{"first": "020 794 0100"}]}, "not-understood"),  # of no country
        ({"numbers": [{"first": "+31 20 794"}]}, "not-understood"),
        ({"numbers": [{"first": "+31207940109", "last": "+31207940100"}]}, "not-understood"),
        ({"numbers": [{"first": "+31207940100", "last": "+31207999999"}]}, "not-understood"),  # 59,900 numbers
        ({"numbers": []}, "not-understood"),
        ({"numbers": [{"first": "+31207940100"}, {"first": "+31207940100"}]}, "numbers-not-understood"),
        ({"wish_date": "2001-01-01"}, "wish-date-not-possible"),
        ({"wish_date": "2028-12-25"}, "wish-date-not-possible"),  # Christmas, a Monday
        ({"wish_date": "2028-12-23"}, "wish-date-not-possible"),  # a Saturday
        ({"contract_id": None}, "no-service-named"),
        ({"direction": "out", "contract_id": None}, "no-service-named"),
        ({"provider": " "}, "not-understood"),
    ],
)
async def test_a_porting_that_is_wrong_is_refused_by_name(
    contracts: Running, world: Orders, wrong: dict[str, Any], refusal: str
) -> None:
    contract_id = (await world.run())["contract_id"]

    answer = await world.port(**{"contract_id": contract_id, **wrong})

    assert problem(answer)["type"] == f"/problems/{refusal}"
    assert await contracts.published(PortingChanged) == []


# -- rules ------------------------------------------------------------------------------------------------


def test_nothing_follows_what_is_over_and_everything_can_be_cancelled_before() -> None:
    assert all(not MOVES[state] for state in OVER)
    assert all(may_move(state, State.CANCELLED) for state in State if state not in OVER)
    assert {state for state in State if may_move(state, State.DONE)} == {State.PLANNED}


@pytest.mark.parametrize(
    ("original", "planned", "on", "announced"),
    [
        (date(2026, 3, 20), date(2026, 3, 24), date(2026, 3, 19), True),
        (date(2026, 3, 20), date(2026, 3, 24), date(2026, 3, 20), False),  # on the day it is too late
        (date(2026, 3, 20), date(2026, 3, 19), date(2026, 3, 1), False),  # earlier is no delay
        (None, date(2026, 3, 19), date(2026, 3, 1), False),
    ],
)
def test_a_delay_is_announced_before_the_day_that_was_planned_first(
    original: date | None, planned: date, on: date, announced: bool
) -> None:
    assert delay_announced(original, planned, on) is announced


RANGES = st.tuples(st.integers(1, 200), st.integers(0, 60)).map(lambda p: Numbers(p[0], p[0] + p[1]))


@given(RANGES, RANGES)
def test_what_is_left_and_what_goes_are_all_there_was(held: Numbers, gone: Numbers) -> None:
    left = {n for part in held.without(gone) for n in range(part.first, part.last + 1)}

    every = set(range(held.first, held.last + 1))
    assert left == every - set(range(gone.first, gone.last + 1))


@given(st.text(max_size=30))
def test_a_number_is_understood_or_refused(written: str) -> None:
    try:
        found = numbers(written)
    except ValueError:
        return
    assert numbers(f"+{found.first}") == found


@given(st.binary(max_size=40))
def test_a_file_is_what_its_first_bytes_say(content: bytes) -> None:
    assert media_type(content) in (None, "application/pdf", "image/png", "image/jpeg")
