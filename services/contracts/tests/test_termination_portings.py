"""Numbers that move while a service ends: in, they stand in its way; out, it waits for them (CON-7)."""

from typing import Any
from uuid import UUID

import pytest

from kit.testing import Running, problem
from schemas.contract import ContractTerminated
from services.contracts.tests.leaving import PARTNER, Leaving

HERE, ELSEWHERE = 31207940100, 31207940200
OUT = {"state": "cancelled", "reason": "other"}


@pytest.fixture
async def leaving(contracts: Running) -> Leaving:
    """2 March 2026, a Monday."""
    return await Leaving(contracts).begin()


async def porting(leaving: Leaving, contract: str, direction: str, **more: Any) -> dict[str, Any]:
    """An open porting of one number of a service."""
    if direction == "out":
        async with leaving.running.db() as db:
            connection = await db.connection()
            await connection.exec_driver_sql(
                "insert into contract_numbers (id, contract_id, customer_id, partner_id, first, last, since)"
                f" values (uuidv7(), '{UUID(contract)}', '{UUID(leaving.customer_id)}', '{UUID(leaving.partner_id)}',"
                f" {HERE}, {HERE}, '2026-01-01')"
            )
    number = f"+{HERE if direction == 'out' else ELSEWHERE}"
    wanted = {
        "direction": direction,
        "contract_id": contract,
        "numbers": [{"first": number}],
        "provider": "Kustlijn Telecom",
        "wish_date": "2026-12-28",
    }
    made = await leaving.running.post("/v1/portings", wanted | more, email=PARTNER)
    assert made.status_code == 201, made.text
    return dict(made.json())


async def cancel(leaving: Leaving, asked: dict[str, Any]) -> None:
    path = f"/v1/portings/{asked['porting_id']}"
    version = (await leaving.running.get(path, email=PARTNER)).json()["version"]
    done = await leaving.running.post(f"{path}/steps", OUT, email=PARTNER, **{"If-Match": f'"{version}"'})
    assert done.status_code == 200, done.text


async def test_while_numbers_are_ported_in_a_request_is_refused_and_names_the_porting(leaving: Leaving) -> None:
    contract = await leaving.service()
    asked = await porting(leaving, contract, "in")

    refused = problem(await leaving.request(contract))
    await cancel(leaving, asked)
    made = await leaving.request(contract)

    assert (refused["type"], refused["porting_id"], refused["field"]) == (
        "/problems/porting-open",
        asked["porting_id"],
        "services.0.contract_id",
    )
    assert made.status_code == 201


async def test_a_service_waits_for_its_porting_out_and_ends_on_the_day_that_is_over(leaving: Leaving) -> None:
    contract = await leaving.service()
    asked = await porting(leaving, contract, "out")
    (termination,) = await leaving.requested(contract)
    linked = (await leaving.running.get(f"/v1/portings/{asked['porting_id']}", email=PARTNER)).json()
    await leaving.press((await leaving.links())[0], "approve")

    await leaving.at("2027-01-02T09:00:00Z")
    waiting = await leaving.shown(termination)
    none_yet = await leaving.running.published(ContractTerminated)
    service = (await leaving.running.get(f"/v1/service-contracts/{contract}", email=PARTNER)).json()
    late = await leaving.act(termination, "withdraw", {"reason": "they stay"}, by=PARTNER)
    await leaving.at("2027-01-11T12:00:00Z")
    await cancel(leaving, asked)
    await leaving.work()

    ended = await leaving.shown(termination)
    [told] = await leaving.running.published(ContractTerminated)
    assert linked["termination_id"] == termination
    assert (waiting["state"], waiting["waits"]["on"], waiting["waits"]["until"]) == (
        "waits_for_porting",
        "porting",
        None,
    )
    assert (none_yet, service["state"]) == ([], "active")
    assert problem(late)["type"] == "/problems/not-waiting"
    assert (ended["state"], ended["last_day"], str(told.last_day)) == ("ended", "2027-01-11", "2027-01-11")


async def test_a_porting_out_that_is_over_in_time_changes_nothing(leaving: Leaving) -> None:
    contract = await leaving.service()
    (termination,) = await leaving.requested(contract)
    await leaving.press((await leaving.links())[0], "approve")
    await cancel(leaving, await porting(leaving, contract, "out", termination_id=termination))

    await leaving.at("2027-01-01T00:00:00Z")

    assert (await leaving.shown(termination))["last_day"] == "2026-12-31"
    [told] = await leaving.running.published(ContractTerminated)
    assert str(told.last_day) == "2026-12-31"
