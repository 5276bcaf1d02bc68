"""Courses over HTTP, on a real database."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from catalog.moment import moment
from kit.testing import Running, problem
from schemas.course import CoursePublished
from schemas.partner import PartnerChanged

USER = "sanne@leerhuis.example"
ADMIN_OF = "admin@noorderlicht.example"


async def last(catalog: Running, course_id: str) -> CoursePublished:
    return [e for e in await catalog.published(CoursePublished) if str(e.course_id) == course_id][-1]


async def test_a_suppliers_course_is_announced_with_all_that_others_need(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()

    course = await story.course(supplier_id, certificate=True, vat="exempt_education")

    event = await last(catalog, course["course_id"])
    assert (event.version, event.status, event.title) == (1, "published", "Veilig werken op hoogte")
    assert (event.offered_by, str(event.supplier_id), event.owner_partner_id) == ("supplier", supplier_id, None)
    assert (event.certificate, event.vat, event.credits.scope) == (True, "exempt_education", "none")
    assert [(p.valid_from, p.price.amount, p.price.currency) for p in event.prices] == [(moment().today, 39_500, "EUR")]
    assert [(str(s.session_id), s.place, s.capacity, s.status) for s in event.sessions] == [
        (course["sessions"][0]["session_id"], "Utrecht", 12, "open")
    ]
    assert (event.cancellation.free_until_days, event.cancellation.then_keep_bp) == (14, 10_000)


async def test_a_supplier_offers_its_own_courses_only(catalog: Running, story: Any, course_body: Any) -> None:
    mine = await story.supplier()
    other = await story.supplier("Ander", "ander@ander.example")

    own = await catalog.post("/v1/courses", course_body(), email=USER)
    assert (own.status_code, own.json()["supplier_id"]) == (201, mine)
    for body in (course_body(supplier_id=other), course_body(offered_by="platform")):
        assert problem(await catalog.post("/v1/courses", body, email=USER))["type"] == "/problems/not-yours"


async def test_only_the_platforms_own_courses_are_offered_for_credits(
    catalog: Running, story: Any, course_body: Any
) -> None:
    supplier_id = await story.supplier()
    credits = {"scope": "all", "general_value": 3}

    refused = await catalog.post("/v1/courses", course_body(supplier_id=supplier_id, credits=credits))
    offered = await story.course(credits=credits)

    assert problem(refused)["errors"] == [
        {
            "field": "credits.scope",
            "rule": "CAT-7",
            "remedy": "Only the platform's own courses are offered for credits.",
        }
    ]
    event = await last(catalog, offered["course_id"])
    assert (event.offered_by, event.credits.scope, event.credits.general_value) == ("platform", "all", 3)


async def test_chosen_partners_have_their_own_value_or_the_general_one(catalog: Running, story: Any) -> None:
    first, second = await story.partner("Een"), await story.partner("Twee")

    course = await story.course(credits={"scope": "chosen", "general_value": 5, "values": {first: 3, second: None}})

    event = await last(catalog, course["course_id"])
    assert event.credits.values == {UUID(first): 3, UUID(second): None}


async def test_an_unknown_or_closed_partner_is_refused_by_name(catalog: Running, story: Any, course_body: Any) -> None:
    unknown, closed = str(uuid4()), uuid4()
    await catalog.deliver(
        PartnerChanged(version=2, partner_id=closed, name="Weg", wallet=True, status="closed"),
        PartnerChanged(version=1, partner_id=closed, name="Weg", wallet=True),
    )
    for partner_id in (unknown, str(closed)):
        body = course_body(
            offered_by="platform", credits={"scope": "chosen", "general_value": 1, "values": {partner_id: None}}
        )
        answer = problem(await catalog.post("/v1/courses", body))
        assert (answer["type"], answer["partner_ids"]) == ("/problems/unknown-partner", [partner_id])
    assert await catalog.value("select count(*) from courses") == 0


async def test_a_whitelabel_partner_has_courses_of_its_own_and_a_default_one_has_not(
    catalog: Running, story: Any, course_body: Any
) -> None:
    partner_id = await story.partner("Noorderlicht", "whitelabel", ADMIN_OF)
    await story.partner("Zuiderzon", "default", "admin@zuiderzon.example")
    body = course_body(offered_by="partner", list_price=None)

    own = await catalog.post("/v1/courses", body, email=ADMIN_OF)
    refused = await catalog.post("/v1/courses", body, email="admin@zuiderzon.example")

    assert own.status_code == 201
    event = await last(catalog, own.json()["course_id"])
    assert (event.offered_by, str(event.owner_partner_id), event.credits.scope) == ("partner", partner_id, "none")
    assert problem(refused)["type"] == "/problems/not-whitelabel"
    other = await catalog.get(f"/v1/courses/{own.json()['course_id']}", email="admin@zuiderzon.example")
    assert problem(other)["type"] == "/problems/course-not-found"


async def test_an_edit_keeps_the_sessions_it_leaves_out(catalog: Running, story: Any, course_body: Any) -> None:
    course = await story.course(await story.supplier())
    kept = course["sessions"][0]["session_id"]
    body = course_body(title="Veilig werken op hoogte, vernieuwd")
    del body["offered_by"]
    body["sessions"][0] |= {"place": "Zwolle", "starts_at": "2027-04-02T08:00:00Z", "ends_at": "2027-04-02T16:00:00Z"}

    edited = await catalog.http.put(
        f"/v1/courses/{course['course_id']}", json=body, headers=catalog.headers(USER) | {"If-Match": '"1"'}
    )

    assert edited.status_code == 200, edited.text
    assert [(s["session_id"] == kept, s["place"]) for s in edited.json()["sessions"]] == [
        (True, "Utrecht"),
        (False, "Zwolle"),
    ]
    event = await last(catalog, course["course_id"])
    assert (event.version, event.title, len(event.sessions)) == (2, "Veilig werken op hoogte, vernieuwd", 2)


async def test_a_session_is_changed_and_cancelled_by_its_id(catalog: Running, story: Any, course_body: Any) -> None:
    course = await story.course(await story.supplier())
    session = course["sessions"][0] | {"capacity": 8, "status": "cancelled"}
    body = course_body(sessions=[session])
    del body["offered_by"]
    path, headers = f"/v1/courses/{course['course_id']}", catalog.headers(USER)

    await catalog.http.put(path, json=body, headers=headers | {"If-Match": '"1"'})
    event = await last(catalog, course["course_id"])
    assert [(s.capacity, s.status) for s in event.sessions] == [(8, "cancelled")]

    same = await catalog.http.put(path, json=body, headers=headers | {"If-Match": '"2"'})
    assert (same.status_code, same.headers["etag"]) == (200, '"2"')
    body["sessions"][0]["session_id"] = str(uuid4())
    unknown = await catalog.http.put(path, json=body, headers=headers | {"If-Match": '"2"'})
    assert problem(unknown)["type"] == "/problems/session-not-found"


async def test_two_edits_of_one_version_do_not_both_win(catalog: Running, story: Any, course_body: Any) -> None:
    course = await story.course(await story.supplier())
    path = f"/v1/courses/{course['course_id']}"

    async def edit(title: str) -> int:
        body = course_body(title=title, sessions=[])
        del body["offered_by"]
        answer = await catalog.http.put(path, json=body, headers=catalog.headers(USER) | {"If-Match": '"1"'})
        return answer.status_code

    assert sorted(await asyncio.gather(edit("een"), edit("twee"))) == [200, 412]
    assert (await last(catalog, course["course_id"])).version == 2


async def test_a_new_price_holds_from_its_day_and_never_from_yesterday(catalog: Running, story: Any) -> None:
    course = await story.course(await story.supplier())
    path = f"/v1/courses/{course['course_id']}/prices"
    today = moment().today
    price = {"amount": 42_000, "currency": "EUR"}

    past = await catalog.post(path, {"valid_from": str(today - timedelta(1)), "price": price}, email=USER)
    assert problem(past)["type"] == "/problems/price-in-the-past"
    later = await catalog.post(path, {"valid_from": str(today + timedelta(30)), "price": price}, email=USER)
    assert (later.status_code, later.json()["list_price"]["amount"]) == (201, 39_500)
    event = await last(catalog, course["course_id"])
    assert [(p.valid_from, p.price.amount) for p in event.prices] == [
        (today, 39_500),
        (today + timedelta(30), 42_000),
    ]


async def test_withdrawing_twice_announces_once(catalog: Running, story: Any) -> None:
    course = await story.course(await story.supplier())
    for _ in range(2):
        answer = await catalog.post(f"/v1/courses/{course['course_id']}/withdraw", email=USER)
        assert answer.json()["status"] == "withdrawn"

    versions = [e.version for e in await catalog.published(CoursePublished)]
    assert versions == [1, 2]


async def test_a_code_names_one_course_of_an_owner(catalog: Running, story: Any, course_body: Any) -> None:
    first = await story.supplier()
    second = await story.supplier("Ander", "ander@ander.example")
    await story.course(first, code="VCA-1")

    taken = await catalog.post("/v1/courses", course_body(supplier_id=first, code="VCA-1"))
    other = await catalog.post("/v1/courses", course_body(supplier_id=second, code="VCA-1"))

    assert problem(taken)["type"] == "/problems/code-taken"
    assert other.status_code == 201


async def test_a_partner_sees_what_is_offered_to_it_and_its_own_value_only(catalog: Running, story: Any) -> None:
    mine = await story.partner("Noorderlicht", email=ADMIN_OF)
    other = await story.partner("Zuiderzon")
    await story.open_supplier()
    all_ = await story.course(title="Voor allen", credits={"scope": "all", "general_value": 2})
    both = await story.course(
        title="Voor twee", credits={"scope": "chosen", "general_value": 9, "values": {mine: 4, other: None}}
    )
    hidden = await story.course(
        title="Voor een ander", credits={"scope": "chosen", "general_value": 9, "values": {other: None}}
    )

    seen = {c["title"]: c for c in (await catalog.get("/v1/courses", email=ADMIN_OF)).json()["items"]}

    assert set(seen) == {"Veilig werken op hoogte", "Voor allen", "Voor twee"}
    assert seen["Voor allen"]["credits"] == {"scope": "all", "general_value": 2, "values": {}}
    assert seen["Voor twee"]["credits"] == {"scope": "chosen", "general_value": None, "values": {mine: 4}}
    assert (await catalog.get(f"/v1/courses/{hidden['course_id']}", email=ADMIN_OF)).status_code == 404
    for course in (all_, both):
        assert (await catalog.get(f"/v1/courses/{course['course_id']}", email=ADMIN_OF)).status_code == 200
    edit = await catalog.post(f"/v1/courses/{all_['course_id']}/withdraw", email=ADMIN_OF)
    assert problem(edit)["type"] == "/problems/course-not-found"


async def test_a_customer_sees_the_public_site_and_its_own_portal(catalog: Running, story: Any) -> None:
    hr = "hr@brouwerij.example"
    portal = f"customer_portal/{await story.customer(email=hr)}"
    other = f"customer_portal/{await story.customer('Zagerij Zuid')}"
    supplier_id = await story.open_supplier()
    await story.course(supplier_id, title="Alleen elders", sites=[other])
    exclusive = await story.open_supplier("Exclusief", "x@x.example")
    await catalog.http.put(
        f"/v1/suppliers/{exclusive}/sites", json={"sites": [portal], "exclusive": True}, headers=catalog.headers()
    )
    elsewhere = await story.open_supplier("Elders", "y@y.example")
    await catalog.http.put(
        f"/v1/suppliers/{elsewhere}/sites", json={"sites": [other], "exclusive": True}, headers=catalog.headers()
    )

    seen = (await catalog.get("/v1/courses", email=hr)).json()["items"]

    assert [(c["title"], c["supplier_id"]) for c in seen] == [
        ("Veilig werken op hoogte", id_) for id_ in (supplier_id, exclusive)
    ]


async def test_lists_are_filtered_and_paged(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    for n in range(5):
        await story.course(supplier_id, title=f"Cursus {n}", kind="online" if n % 2 else "classroom", language="nl")
    await story.course(title="Corso di sicurezza 100%", kind="elearning", language="it")

    async def titles(**query: Any) -> list[str]:
        return [c["title"] for c in (await catalog.get("/v1/courses", **query)).json()["items"]]

    assert await titles(kind="online") == ["Cursus 1", "Cursus 3"]
    assert await titles(language="it") == ["Corso di sicurezza 100%"]
    assert await titles(q="SICUREZZA") == ["Corso di sicurezza 100%"]
    assert await titles(q="100%") == ["Corso di sicurezza 100%"]
    assert await titles(q="1_0") == []
    assert len(await titles(supplier_id=supplier_id)) == 5
    walked: list[str] = []
    path: str | None = "/v1/courses?limit=2"
    while path:
        answer = await catalog.http.get(path, headers=catalog.headers())
        walked += [c["title"] for c in answer.json()["items"]]
        path = answer.links.get("next", {}).get("url")
    assert walked == ["Corso di sicurezza 100%", *(f"Cursus {n}" for n in range(5))]


BAD_COURSES: list[dict[str, Any]] = [
    {"title": 7},
    {"kind": "webinar"},
    {"list_price": {"amount": 1.5, "currency": "EUR"}},
    {"list_price": {"amount": -1, "currency": "EUR"}},
    {"list_price": {"amount": 10**30, "currency": "EUR"}},
    {"list_price": {"amount": 1, "currency": "euro"}},
    {"list_price": None},
    {"credits": {"scope": "all", "general_value": 10**12}},
    {"credits": {"scope": "all", "general_value": -3}},
    {"sessions": [{"starts_at": "2027-03-02T08:00:00", "ends_at": "2027-03-02T16:00:00Z", "capacity": 1}]},
    {"sessions": [{"starts_at": "2027-03-02T08:00:00Z", "ends_at": "2027-03-02T07:00:00Z", "capacity": 1}]},
    {"sites": ["everywhere"]},
    {"supplier_id": "01890000-0000-7000-8000-00000000000z"},
    {"surprise": True},
    {"title": "x\x00y"},
]


async def test_bad_courses_are_refused_and_leave_nothing(catalog: Running, story: Any, course_body: Any) -> None:
    supplier_id = await story.supplier()

    for bad in BAD_COURSES:
        answer = await catalog.post("/v1/courses", course_body(supplier_id=supplier_id) | bad)
        assert problem(answer)["status"] == 422, bad
        assert answer.json()["errors"], bad
    assert await catalog.value("select count(*) from courses") == 0


async def test_an_unknown_supplier_is_refused_by_name(catalog: Running, course_body: Any) -> None:
    answer = await catalog.post("/v1/courses", course_body(supplier_id=str(uuid4())))

    assert problem(answer)["type"] == "/problems/supplier-not-found"


async def test_a_course_sent_twice_is_published_once(catalog: Running, story: Any, course_body: Any) -> None:
    body = course_body(supplier_id=await story.supplier())

    first, second = await asyncio.gather(
        catalog.post("/v1/courses", body, key="once"), catalog.post("/v1/courses", body, key="once")
    )
    later = await catalog.post("/v1/courses", body, key="once")

    assert {first.status_code, second.status_code} <= {201, 409}
    assert later.status_code == 201
    assert await catalog.value("select count(*) from courses") == 1
