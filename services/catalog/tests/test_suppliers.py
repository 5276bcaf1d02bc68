"""Suppliers over HTTP, on a real database."""

import asyncio
from typing import Any

from sqlalchemy import event, text

from catalog.services import CONDITIONS
from kit.auth import act_as
from kit.testing import Running, problem
from schemas.supplier import SupplierChanged

USER = "sanne@leerhuis.example"
JSON = {"Content-Type": "application/json"}


async def last(catalog: Running, supplier_id: str) -> SupplierChanged:
    return [e for e in await catalog.published(SupplierChanged) if str(e.supplier_id) == supplier_id][-1]


async def test_a_new_account_is_free_shown_on_the_public_site_and_announced(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()

    announced = await last(catalog, supplier_id)
    assert (announced.version, announced.name, announced.status, announced.size) == (
        1,
        "Leerhuis Amstel",
        "active",
        "small",
    )
    assert [(u.email, u.name) for u in announced.users] == [(USER, "Sanne Bakker")]
    assert [(s.site, s.open, s.reason) for s in announced.sites] == [("public", False, "agreement_not_published")]


async def test_five_steps_open_the_public_site_one_by_one(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    version = await story.agreement()
    assert await story.opening(supplier_id) == (False, "agreement_not_accepted")
    await story.accepts(supplier_id, version, email=USER)
    assert await story.opening(supplier_id) == (False, "service_off")
    await story.switches(supplier_id, email=USER)
    assert await story.opening(supplier_id) == (False, "no_course")
    await story.course(supplier_id)
    assert await story.opening(supplier_id) == (True, None)

    checklist = (await catalog.get(f"/v1/suppliers/{supplier_id}/checklist", email=USER)).json()
    assert [(s["step"], s["done"]) for s in checklist["steps"]] == [
        ("account_created", True),
        ("site_enabled", True),
        ("agreement_accepted", True),
        ("enrollments_on", True),
        ("course_published", True),
    ]
    announced = [
        e.sites[0].reason for e in await catalog.published(SupplierChanged) if str(e.supplier_id) == supplier_id
    ]
    assert announced == [
        "agreement_not_published",
        "agreement_not_accepted",
        "service_off",
        "no_course",
        None,
    ]
    assert [e.version for e in await catalog.published(SupplierChanged)] == [1, 2, 3, 4, 5]


async def test_a_second_course_announces_no_supplier_again(catalog: Running, story: Any) -> None:
    supplier_id = await story.open_supplier()
    before = (await last(catalog, supplier_id)).version

    await story.course(supplier_id, title="Heftruck rijden")

    assert (await last(catalog, supplier_id)).version == before


async def test_withdrawing_the_last_course_pauses_and_publishing_it_opens_again(catalog: Running, story: Any) -> None:
    supplier_id = await story.open_supplier()
    course_id = (await catalog.get("/v1/courses", supplier_id=supplier_id)).json()["items"][0]["course_id"]

    await catalog.post(f"/v1/courses/{course_id}/withdraw", email=USER)
    assert (await last(catalog, supplier_id)).sites[0].reason == "no_course"

    await catalog.post(f"/v1/courses/{course_id}/publish", email=USER)
    assert (await last(catalog, supplier_id)).sites[0].open


async def test_a_new_agreement_pauses_every_open_supplier_until_it_accepts(catalog: Running, story: Any) -> None:
    first = await story.open_supplier("Eerste", "a@eerste.example")
    second = await story.open_supplier("Tweede", "b@tweede.example")

    version = await story.agreement("You teach, we bring the people, and both are kind.")

    for supplier_id in (first, second):
        announced = await last(catalog, supplier_id)
        assert [(s.open, s.reason) for s in announced.sites] == [(False, "agreement_out_of_date")]
    await story.accepts(first, version)
    assert (await last(catalog, first)).sites[0].open
    assert not (await last(catalog, second)).sites[0].open


async def test_publishing_an_agreement_takes_as_many_statements_for_twelve_suppliers_as_for_two(
    catalog: Running, story: Any
) -> None:
    counted: list[str] = []
    engine = catalog.service.database.api_engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *about: counted.append(about[2]))
    suppliers: list[str] = []
    needed: list[int] = []
    version = await story.agreement("version 1")
    for count in (2, 12):
        while len(suppliers) < count:
            suppliers.append(await story.supplier(f"S{len(suppliers)}", f"s{len(suppliers)}@s.example"))
        for supplier_id in suppliers:
            await story.accepts(supplier_id, version)
        counted.clear()
        version = await story.agreement(f"made for {count}")
        needed.append(len(counted))
        reasons = [(await last(catalog, supplier_id)).sites[0].reason for supplier_id in suppliers]
        assert reasons == ["agreement_out_of_date"] * count

    assert needed[0] == needed[1]


async def test_the_proof_of_an_acceptance_is_kept_with_its_text(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    version = await story.agreement()
    text_sha256 = (await catalog.get("/v1/agreements/current")).json()["sha256"]

    await story.accepts(supplier_id, version, email=USER)
    await story.accepts(supplier_id, version)

    proofs = (await catalog.get(f"/v1/suppliers/{supplier_id}/agreement")).json()["items"]
    assert [(p["version"], p["accepted_by"], p["actor"], p["text_sha256"]) for p in proofs] == [
        (1, "Sanne Bakker", f"user:sub-{USER}", text_sha256)
    ]


async def test_an_old_version_cannot_be_accepted(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    await story.agreement("one")
    await story.agreement("two")

    answer = await catalog.post(
        f"/v1/suppliers/{supplier_id}/agreement", {"version": 1, "accepted_by": "Sanne Bakker"}, email=USER
    )

    assert problem(answer)["type"] == "/problems/agreement-out-of-date"
    assert answer.json()["current"] == 2


async def test_the_same_text_is_no_new_version(catalog: Running, story: Any) -> None:
    await story.agreement("one")

    answer = await catalog.post("/v1/agreements", {"text": "one"})

    assert problem(answer)["type"] == "/problems/agreement-unchanged"


async def test_the_service_is_not_switched_on_before_every_condition_is_ticked(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    path = f"/v1/suppliers/{supplier_id}/services/enrollments"
    shown = [c["id"] for c in (await catalog.get("/v1/services/enrollments", email=USER)).json()["conditions"]]
    assert shown == [c.id for c in CONDITIONS]

    half = await catalog.http.put(path, json={"on": True, "conditions": shown[:2]}, headers=catalog.headers(USER))
    assert (problem(half)["type"], half.json()["missing"]) == ("/problems/conditions-not-ticked", shown[2:])

    ticked = await catalog.http.put(path, json={"on": False, "conditions": shown[:2]}, headers=catalog.headers(USER))
    assert (ticked.json()["on"], ticked.json()["missing"]) == (False, shown[2:])

    unknown = await catalog.http.put(
        path, json={"on": False, "conditions": ["the_moon"]}, headers=catalog.headers(USER)
    )
    assert problem(unknown)["type"] == "/problems/unknown-condition"


async def test_switching_the_service_off_pauses_with_its_reason(catalog: Running, story: Any) -> None:
    supplier_id = await story.open_supplier()

    await story.switches(supplier_id, on=False, email=USER)

    assert (await last(catalog, supplier_id)).sites[0].reason == "service_off"


async def test_support_shows_a_supplier_on_customers_portals(catalog: Running, story: Any) -> None:
    supplier_id = await story.open_supplier()
    customer_id = await story.customer()
    wanted = ["public", "customer_portal/*", f"customer_portal/{customer_id}"]

    answer = await catalog.http.put(
        f"/v1/suppliers/{supplier_id}/sites", json={"sites": wanted}, headers=catalog.headers()
    )

    assert answer.status_code == 200
    assert {s.site: s.open for s in (await last(catalog, supplier_id)).sites} == dict.fromkeys(wanted, True)


async def test_an_exclusive_supplier_is_invisible_everywhere_else(catalog: Running, story: Any) -> None:
    supplier_id = await story.open_supplier()
    portal = f"customer_portal/{await story.customer()}"
    path = f"/v1/suppliers/{supplier_id}/sites"

    wide = await catalog.http.put(
        path, json={"sites": ["public", portal], "exclusive": True}, headers=catalog.headers()
    )
    assert problem(wide)["type"] == "/problems/exclusive-to-portals"
    answer = await catalog.http.put(path, json={"sites": [portal], "exclusive": True}, headers=catalog.headers())
    assert answer.json()["sites"] == [portal]
    assert [s.site for s in (await last(catalog, supplier_id)).sites] == [portal]


async def test_a_supplier_asks_for_a_portal_and_support_decides(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    portal = f"customer_portal/{await story.customer('Brouwerij De Eik')}"
    other = f"customer_portal/{await story.customer('Zagerij Zuid')}"
    base = f"/v1/suppliers/{supplier_id}"
    offered = (await catalog.get(f"{base}/portals", email=USER)).json()["items"]
    assert offered == [
        {"site": portal, "customer": "Brouwerij De Eik"},
        {"site": other, "customer": "Zagerij Zuid"},
    ]

    for site in (portal, other):
        asked = await catalog.post(f"{base}/site-requests", {"site": site}, email=USER)
        assert (asked.status_code, asked.json()["state"]) == (201, "asked")
    await catalog.post(f"{base}/site-requests/decline", {"site": other, "reason": "They train in house."})
    await catalog.http.put(f"{base}/sites", json={"sites": ["public", portal]}, headers=catalog.headers())

    states = {
        r["site"]: (r["state"], r["reason"])
        for r in (await catalog.get(f"{base}/site-requests", email=USER)).json()["items"]
    }
    assert states == {portal: ("granted", None), other: ("declined", "They train in house.")}
    shown = await catalog.post(f"{base}/site-requests", {"site": portal}, email=USER)
    assert problem(shown)["type"] == "/problems/already-shown"


async def test_a_supplier_chooses_its_routes(catalog: Running, story: Any) -> None:
    supplier_id = await story.open_supplier()
    tag = (await catalog.get(f"/v1/suppliers/{supplier_id}", email=USER)).headers["etag"]

    answer = await catalog.http.put(
        f"/v1/suppliers/{supplier_id}/routes",
        json={"routes": ["customer_portal"]},
        headers=catalog.headers(USER) | {"If-Match": tag},
    )

    assert answer.status_code == 200
    assert (await last(catalog, supplier_id)).sites[0].reason == "route_off"


async def test_edits_need_the_etag_that_was_read(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    path = f"/v1/suppliers/{supplier_id}/invoicing"
    details = {
        "legal_name": "Leerhuis Amstel B.V.",
        "address": {"street": "Amstel 1", "postal_code": "1017 AB", "city": "Amsterdam", "country": "NL"},
        "vat_id": "NL123456782B90",
        "invoice_email": "facturen@leerhuis.example",
    }
    tag = (await catalog.get(f"/v1/suppliers/{supplier_id}")).headers["etag"]

    assert (await catalog.http.put(path, json=details, headers=catalog.headers(USER))).status_code == 428
    done = await catalog.http.put(path, json=details, headers=catalog.headers(USER) | {"If-Match": tag})
    assert done.status_code == 200
    assert (await last(catalog, supplier_id)).invoicing.vat_id == "NL123456782B90"
    late = await catalog.http.put(path, json=details, headers=catalog.headers(USER) | {"If-Match": tag})
    assert problem(late)["type"] == "/problems/changed"


async def test_a_removed_user_has_no_access_and_is_announced_no_more(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    base = f"/v1/suppliers/{supplier_id}"
    new = await catalog.post(f"{base}/users", {"email": "Joris@Leerhuis.example", "name": "Joris"}, email=USER)
    assert new.json()["email"] == "joris@leerhuis.example"
    assert (await catalog.get(base, email="joris@leerhuis.example")).status_code == 200

    gone = await catalog.http.delete(f"{base}/users/{new.json()['user_id']}", headers=catalog.headers(USER))

    assert gone.status_code == 204
    assert [u.email for u in (await last(catalog, supplier_id)).users] == [USER]
    assert await catalog.value("select status from grants where email = 'joris@leerhuis.example'") == "revoked"
    only = (await catalog.get(f"{base}/users", email=USER)).json()["items"][0]["user_id"]
    kept = await catalog.http.delete(f"{base}/users/{only}", headers=catalog.headers(USER))
    assert problem(kept)["type"] == "/problems/last-user"


async def test_a_user_taken_away_and_added_again_has_access(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    base = f"/v1/suppliers/{supplier_id}/users"
    first = await catalog.post(base, {"email": "joris@leerhuis.example"})
    twice = await catalog.post(base, {"email": "joris@leerhuis.example"})
    assert problem(twice)["type"] == "/problems/user-exists"
    await catalog.http.delete(f"{base}/{first.json()['user_id']}", headers=catalog.headers())

    again = await catalog.post(base, {"email": "joris@leerhuis.example"})

    assert again.status_code == 201
    assert (await catalog.get(base, email="joris@leerhuis.example")).status_code == 200


async def test_another_suppliers_account_does_not_exist_for_a_supplier(catalog: Running, story: Any) -> None:
    mine = await story.supplier()
    other = await story.supplier("Ander", "ander@ander.example")

    for path in ("", "/checklist", "/users", "/sites", "/agreement", "/services/enrollments"):
        answer = await catalog.get(f"/v1/suppliers/{other}{path}", email=USER)
        assert problem(answer)["type"] == "/problems/supplier-not-found"
    listed = (await catalog.get("/v1/suppliers", email=USER)).json()["items"]
    assert [s["supplier_id"] for s in listed] == [mine]
    sites = await catalog.http.put(
        f"/v1/suppliers/{mine}/sites", json={"sites": ["public"]}, headers=catalog.headers(USER)
    )
    assert problem(sites)["type"] == "/problems/role-missing"


async def test_the_database_itself_hides_other_suppliers_rows(catalog: Running, story: Any) -> None:
    mine = await story.open_supplier("Eerste", "a@eerste.example")
    await story.open_supplier("Tweede", "b@tweede.example")
    owned = {
        "suppliers": "id",
        "supplier_users": "supplier_id",
        "supplier_sites": "supplier_id",
        "agreement_acceptances": "supplier_id",
        "supplier_services": "supplier_id",
        "service_ticks": "supplier_id",
    }
    async with catalog.service.database.api.begin() as db:
        await act_as(db, f"supplier/{mine}", "user:a@eerste.example")
        for table, column in owned.items():
            found = set(await db.scalars(text(f"select distinct {column}::text from {table}")))
            assert found == {mine}, table
        changed = await db.execute(text("update courses set title = 'mine now' returning supplier_id::text"))
        assert set(changed.scalars()) == {mine}
    async with catalog.service.database.api.begin() as db:
        for table in [*owned, "courses", "course_sessions", "course_prices", "partners", "customers"]:
            assert await db.scalar(text(f"select count(*) from {table}")) in (
                (2,) if table in ("courses", "course_sessions", "course_prices") else (0,)
            ), table


async def test_closing_an_account_pauses_everywhere_and_refuses_changes(catalog: Running, story: Any) -> None:
    supplier_id = await story.open_supplier()

    for _ in range(2):
        closed = await catalog.post(f"/v1/suppliers/{supplier_id}/close")
        assert closed.json()["status"] == "closed"

    announced = await last(catalog, supplier_id)
    assert (announced.status, announced.sites[0].reason) == ("closed", "supplier_closed")
    late = await catalog.post("/v1/courses", {"supplier_id": supplier_id, "title": "x", "kind": "online"})
    assert late.status_code == 422
    assert (await catalog.get("/v1/suppliers", status="active")).json()["items"] == []


async def test_closing_an_account_ends_the_access_of_its_users(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    base = f"/v1/suppliers/{supplier_id}"
    await catalog.post(f"{base}/users", {"email": "joris@leerhuis.example"})

    await catalog.post(f"{base}/close")

    assert (await last(catalog, supplier_id)).users == []
    assert [row["status"] for row in await catalog.rows("select status from grants")] == ["revoked", "revoked"]
    assert problem(await catalog.get(base, email=USER))["status"] == 403


async def test_wrong_requests_get_their_named_problems(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    broken = await catalog.http.post("/v1/suppliers", content=b'{"name": ', headers=catalog.headers() | JSON)
    assert problem(broken)["type"] == "/problems/not-json"
    for body in (
        {},
        {"name": ""},
        {"name": 7},
        {"name": "A", "users": [{"email": "no address"}]},
        {"name": "A", "x": 1},
    ):
        assert problem(await catalog.post("/v1/suppliers", body))["type"] == "/problems/not-understood"
    same = [{"email": "a@a.example"}, {"email": "A@a.example"}]
    assert problem(await catalog.post("/v1/suppliers", {"name": "A", "users": same}))["type"] == "/problems/user-exists"
    assert (await catalog.get("/v1/suppliers/not-an-id")).status_code == 422
    for part in ("", "/users", "/sites", "/portals", "/site-requests", "/checklist", "/agreement"):
        unknown = await catalog.get(f"/v1/suppliers/01890000-0000-7000-8000-000000000009{part}")
        assert problem(unknown)["type"] == "/problems/supplier-not-found", part
    path = f"/v1/suppliers/{supplier_id}/sites"
    for sites, kind in (
        (["everywhere"], "unknown-site"),
        (["customer_portal/01890000-0000-7000-8000-000000000009"], "unknown-customer"),
    ):
        answer = await catalog.http.put(path, json={"sites": sites}, headers=catalog.headers())
        assert problem(answer)["type"] == f"/problems/{kind}"


async def test_a_request_sent_twice_opens_one_account_and_another_body_is_refused(catalog: Running) -> None:
    first = await catalog.post("/v1/suppliers", {"name": "A"}, key="k1")
    again = await catalog.post("/v1/suppliers", {"name": "A"}, key="k1")
    other = await catalog.post("/v1/suppliers", {"name": "B"}, key="k1")

    assert first.json() == again.json()
    assert problem(other)["type"] == "/problems/key-used-for-other-body"
    assert await catalog.value("select count(*) from suppliers") == 1
    bare = {"Authorization": catalog.headers()["Authorization"]}
    keyless = await catalog.http.post("/v1/suppliers", json={"name": "A"}, headers=bare)
    assert problem(keyless)["type"] == "/problems/idempotency-key-missing"


async def test_accepting_while_a_version_is_published_never_leaves_an_old_one_open(
    catalog: Running, story: Any
) -> None:
    supplier_id = await story.open_supplier()
    versions = iter(range(2, 100))
    for n in range(5):
        await asyncio.gather(
            story.agreement(f"text {n}"),
            catalog.post(f"/v1/suppliers/{supplier_id}/agreement", {"version": next(versions), "accepted_by": "Sanne"}),
        )
        announced = (await last(catalog, supplier_id)).sites[0]
        assert (announced.open, announced.reason) == await story.opening(supplier_id)


async def test_every_change_is_on_record(catalog: Running, story: Any) -> None:
    supplier_id = await story.open_supplier()

    actions = [
        row["action"]
        for row in await catalog.rows(
            "select action from audit where subject = :s order by id", s=f"supplier/{supplier_id}"
        )
    ]
    assert actions == ["supplier.created", "agreement.accepted", "service.enrollments_on"]
