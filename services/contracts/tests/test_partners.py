"""Partners, from outside: staff make, change and close them; each partner sees itself alone (CON-1)."""

import asyncio
from typing import Any

import pytest

from kit.testing import ADMIN, Running, problem
from schemas.access import AccessChanged
from schemas.event import uuid7
from schemas.partner import PartnerChanged

LUMEN = {"name": "Lumen Learning", "kind": "default", "wallet": True, "language": "nl"}


async def make_partner(contracts: Running, **fields: Any) -> dict[str, Any]:
    answer = await contracts.post("/v1/partners", {**LUMEN, **fields})
    assert answer.status_code == 201, answer.text
    partner: dict[str, Any] = answer.json()
    return partner


async def make_admin(contracts: Running, partner_id: str, email: str) -> str:
    """An admin of a partner, whose grant has come back from Kafka; the grant's id."""
    answer = await contracts.post(f"/v1/partners/{partner_id}/admins", {"email": email, "name": "Ada Visser"})
    assert answer.status_code == 201, answer.text
    await contracts.deliver(*await contracts.published(AccessChanged))
    return str(answer.json()["grant_id"])


async def patch(
    contracts: Running, partner: dict[str, Any], changes: dict[str, Any], version: int | None = None
) -> Any:
    return await contracts.http.patch(
        f"/v1/partners/{partner['partner_id']}",
        json=changes,
        headers=contracts.headers() | {"If-Match": f'"{version or partner["version"]}"'},
    )


async def test_a_partner_is_announced_with_its_wallet_and_its_responsible_person(contracts: Running) -> None:
    answer = await contracts.post("/v1/partners", LUMEN)

    partner = answer.json()
    [announced] = await contracts.published(PartnerChanged)
    [grant] = await contracts.published(AccessChanged)
    assert answer.status_code == 201
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Location"] == f"/v1/partners/{partner['partner_id']}"
    assert (announced.name, announced.kind, announced.wallet) == ("Lumen Learning", "default", True)
    assert (announced.status, announced.language, announced.version) == ("active", "nl", 1)
    # Whoever makes a partner is responsible for it; the first admin's grant is written down for that.
    assert announced.responsible_grant_id == grant.grant_id
    assert (grant.role, grant.tenant_kind, grant.email) == ("admin", "platform", ADMIN)
    assert partner["responsible"]["email"] == ADMIN


async def test_the_same_request_again_makes_no_second_partner(contracts: Running) -> None:
    first = await contracts.post("/v1/partners", LUMEN, key="once")
    again = await contracts.post("/v1/partners", LUMEN, key="once")
    other = await contracts.post("/v1/partners", {**LUMEN, "wallet": False}, key="once")

    assert again.json() == first.json()
    assert problem(other)["type"] == "/problems/key-used-for-other-body"
    assert len(await contracts.published(PartnerChanged)) == 1


async def test_a_request_without_a_key_or_a_caller_makes_nothing(contracts: Running) -> None:
    keyless = contracts.headers()
    del keyless["Idempotency-Key"]

    assert problem(await contracts.http.post("/v1/partners", json=LUMEN, headers=keyless))["status"] == 400
    assert problem(await contracts.http.post("/v1/partners", json=LUMEN))["status"] == 401
    assert await contracts.published(PartnerChanged) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "  "},
        {"name": "x" * 201},
        {"kind": "gold"},
        {"wallet": "perhaps"},
        {"language": "tlh"},
        {"discount": 15},
        {"responsible_grant_id": "nobody"},
        {"responsible_grant_id": str(uuid7())},
    ],
)
async def test_a_partner_that_is_wrong_is_refused_by_name(contracts: Running, wrong: dict[str, Any]) -> None:
    answer = await contracts.post("/v1/partners", {**LUMEN, **wrong})

    assert problem(answer)["status"] == 422
    assert await contracts.published(PartnerChanged) == []


async def test_an_edit_needs_the_version_it_was_made_on(contracts: Running) -> None:
    partner = await make_partner(contracts)

    changed = await patch(contracts, partner, {"name": "Lumen Academy", "wallet": False})
    stale = await patch(contracts, partner, {"name": "Lumen School"})
    blind = await contracts.http.patch(f"/v1/partners/{partner['partner_id']}", json={}, headers=contracts.headers())

    assert changed.json()["name"] == "Lumen Academy"
    assert changed.headers["ETag"] == '"2"'
    assert problem(stale)["type"] == "/problems/changed"
    assert problem(blind)["status"] == 428
    versions = [(e.version, e.name, e.wallet) for e in await contracts.published(PartnerChanged)]
    assert versions == [(1, "Lumen Learning", True), (2, "Lumen Academy", False)]


async def test_an_edit_that_changes_nothing_announces_nothing(contracts: Running) -> None:
    partner = await make_partner(contracts)

    same = await patch(contracts, partner, {"name": "Lumen Learning"})

    assert same.json() == partner
    assert len(await contracts.published(PartnerChanged)) == 1


async def test_of_two_edits_at_once_one_wins_and_the_other_is_told(contracts: Running) -> None:
    partner = await make_partner(contracts)

    answers = await asyncio.gather(
        *(patch(contracts, partner, {"name": name}) for name in ("North", "South", "East", "West"))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
    assert len(await contracts.published(PartnerChanged)) == 2


async def test_a_partners_admin_sees_its_own_partner_and_no_other(contracts: Running) -> None:
    mine = await make_partner(contracts, name="Mine")
    other = await make_partner(contracts, name="Other")
    await make_admin(contracts, mine["partner_id"], "ada@mine.example")

    listed = await contracts.get("/v1/partners", email="ada@mine.example")
    shown = await contracts.get(f"/v1/partners/{mine['partner_id']}", email="ada@mine.example")
    hidden = await contracts.get(f"/v1/partners/{other['partner_id']}", email="ada@mine.example")
    posing = await contracts.get("/v1/partners", email="ada@mine.example", tenant=f"partner/{other['partner_id']}")
    making = await contracts.post("/v1/partners", LUMEN, email="ada@mine.example")

    assert [p["name"] for p in listed.json()["items"]] == ["Mine"]
    assert shown.json()["responsible"]["email"] == ADMIN
    assert problem(hidden)["type"] == "/problems/partner-not-found"
    assert problem(posing)["status"] == 403
    assert problem(making)["type"] == "/problems/role-missing"


async def test_pages_lead_through_all_partners_once(contracts: Running) -> None:
    names = [f"Partner {n}" for n in range(5)]
    for name in names:
        await make_partner(contracts, name=name, kind="whitelabel" if name.endswith("3") else "default")

    found, path, pages = [], "/v1/partners?limit=2", 0
    while path:
        answer = await contracts.http.get(path, headers=contracts.headers())
        found += [p["name"] for p in answer.json()["items"]]
        pages += 1
        path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
    whitelabels = await contracts.get("/v1/partners", kind="whitelabel")

    assert (found, pages) == (names, 3)
    assert [p["name"] for p in whitelabels.json()["items"]] == ["Partner 3"]
    assert problem(await contracts.get("/v1/partners", after="nonsense"))["type"] == "/problems/bad-cursor"


async def test_closing_a_partner_ends_its_admins_access_and_new_things_for_it(contracts: Running) -> None:
    partner = await make_partner(contracts)
    grant_id = await make_admin(contracts, partner["partner_id"], "ada@lumen.example")

    closed = await patch(contracts, partner, {"status": "closed"})
    await contracts.deliver(*await contracts.published(AccessChanged))
    new_admin = await contracts.post(
        f"/v1/partners/{partner['partner_id']}/admins", {"email": "b@lumen.example", "name": "B"}
    )
    new_customer = await contracts.post("/v1/customers", {"name": "Late", "partner_id": partner["partner_id"]})
    renamed = await patch(contracts, partner, {"name": "New"}, version=2)
    opened = await patch(contracts, partner, {"status": "active"}, version=2)

    assert closed.json()["status"] == "closed"
    assert [e.status for e in await contracts.published(AccessChanged) if str(e.grant_id) == grant_id] == [
        "active",
        "revoked",
    ]
    assert problem(new_admin)["type"] == "/problems/partner-is-closed"
    assert problem(new_customer)["type"] == "/problems/partner-is-closed"
    assert problem(renamed)["type"] == "/problems/partner-is-closed"
    assert opened.json()["status"] == "active"


async def test_who_did_what_is_on_record(contracts: Running) -> None:
    partner = await make_partner(contracts)
    await patch(contracts, partner, {"wallet": False})

    record = await contracts.rows(
        "select actor, action from audit where subject = :s order by id", s=f"partner/{partner['partner_id']}"
    )

    assert record == [
        {"actor": f"user:sub-{ADMIN}", "action": "partner.made"},
        {"actor": f"user:sub-{ADMIN}", "action": "partner.changed"},
    ]
