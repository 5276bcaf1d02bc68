"""Commercial terms over HTTP, on a real database."""

import asyncio
from typing import Any
from uuid import uuid4

from catalog.moment import moment
from kit.testing import Running, problem
from schemas.course import TermsChanged

USER = "sanne@leerhuis.example"


async def put(catalog: Running, **body: Any) -> Any:
    return await catalog.http.put("/v1/terms", json=body, headers=catalog.headers())


async def test_the_default_terms_are_announced_once_by_the_migration(catalog: Running) -> None:
    announced = await catalog.published(TermsChanged)

    assert [(t.kind, t.version, t.discount_bp, t.platform_share_bp) for t in announced] == [
        ("business", 1, 1500, 5000),
        ("public", 1, 0, 0),
    ]
    listed = (await catalog.get("/v1/terms")).json()["items"]
    assert [t["terms_id"] for t in listed] == [str(t.terms_id) for t in announced]


async def test_terms_for_a_supplier_and_a_customer_hold_from_their_day(catalog: Running, story: Any) -> None:
    supplier_id, customer_id = await story.supplier(), await story.customer()
    both = {"supplier_id": supplier_id, "customer_id": customer_id}

    first = await put(catalog, **both, valid_from="2027-01-01", discount_bp=2000, platform_share_bp=4000)
    later = await put(
        catalog, **both, valid_from="2027-07-01", discount_bp=2500, minimum_fee={"amount": 500, "currency": "EUR"}
    )

    assert first.json()["terms_id"] != later.json()["terms_id"]
    announced = (await catalog.published(TermsChanged))[2:]
    assert [(str(t.valid_from), t.discount_bp, t.platform_share_bp, t.version) for t in announced] == [
        ("2027-01-01", 2000, 4000, 1),
        ("2027-07-01", 2500, 5000, 1),
    ]
    assert announced[1].minimum_fee is not None
    assert (str(announced[1].supplier_id), announced[1].minimum_fee.amount) == (supplier_id, 500)


async def test_the_same_terms_again_change_nothing_and_other_figures_are_a_new_version(catalog: Running) -> None:
    await put(catalog, valid_from="2027-01-01", discount_bp=1000)
    again = await put(catalog, valid_from="2027-01-01", discount_bp=1000)
    other = await put(catalog, valid_from="2027-01-01", discount_bp=1200)

    assert (again.headers["etag"], other.headers["etag"]) == ('"1"', '"2"')
    assert [t.version for t in (await catalog.published(TermsChanged))[2:]] == [1, 2]


async def test_terms_set_twice_at_once_are_one(catalog: Running) -> None:
    answers = await asyncio.gather(*(put(catalog, valid_from="2027-01-01", discount_bp=1000) for _ in range(5)))

    assert {a.status_code for a in answers} == {200}
    assert [t.version for t in (await catalog.published(TermsChanged))[2:]] == [1]


async def test_terms_without_a_day_hold_from_today(catalog: Running) -> None:
    assert (await put(catalog, discount_bp=1000)).json()["valid_from"] == str(moment().today)


async def test_ended_terms_are_announced_and_the_first_default_stays(catalog: Running) -> None:
    default = (await catalog.get("/v1/terms", kind="business")).json()["items"][0]["terms_id"]
    new = (await put(catalog, valid_from="2027-01-01", discount_bp=1000)).json()["terms_id"]

    stays = await catalog.post(f"/v1/terms/{default}/end")
    ended = await catalog.post(f"/v1/terms/{new}/end")

    assert problem(stays)["type"] == "/problems/default-terms-stay"
    assert ended.json()["status"] == "ended"
    assert (await catalog.published(TermsChanged))[-1].status == "ended"


async def test_wrong_terms_get_their_named_problems(catalog: Running, story: Any) -> None:
    supplier_id, customer_id = await story.supplier(), await story.customer()
    for body, kind in (
        ({"supplier_id": supplier_id, "discount_bp": 1}, "terms-scope-unclear"),
        ({"customer_id": customer_id, "discount_bp": 1}, "terms-scope-unclear"),
        ({"supplier_id": supplier_id, "customer_id": str(uuid4())}, "unknown-customer"),
        ({"supplier_id": str(uuid4()), "customer_id": customer_id}, "supplier-not-found"),
        ({"kind": "public", "discount_bp": 1500}, "no-discount-in-public"),
        ({"discount_bp": 10_001}, "not-understood"),
        ({"discount_bp": "15 %"}, "not-understood"),
    ):
        assert problem(await put(catalog, **body))["type"] == f"/problems/{kind}"
    assert len(await catalog.published(TermsChanged)) == 2


async def test_a_supplier_reads_the_default_and_its_own_terms_and_sets_none(catalog: Running, story: Any) -> None:
    mine, other = await story.supplier(), await story.supplier("Ander", "ander@ander.example")
    customer_id = await story.customer()
    for supplier_id in (mine, other):
        await put(catalog, supplier_id=supplier_id, customer_id=customer_id, discount_bp=2000)

    seen = (await catalog.get("/v1/terms", email=USER)).json()["items"]
    assert [t["supplier_id"] for t in seen] == [None, None, mine]
    refused = await catalog.http.put("/v1/terms", json={"discount_bp": 0}, headers=catalog.headers(USER))
    assert problem(refused)["type"] == "/problems/role-missing"
