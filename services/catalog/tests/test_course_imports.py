"""Courses by file, on a real database."""

import csv
import io
from typing import Any

from sqlalchemy import event

from kit.testing import ADMIN, Running, problem
from schemas.course import CoursePublished
from schemas.supplier import SupplierChanged

USER = "sanne@leerhuis.example"
HEADER = "code,title,kind,language,price,sessions\n"


async def send(catalog: Running, content: str | bytes, *, email: str = USER, **query: Any) -> Any:
    headers = catalog.headers(email) | {"Content-Type": "text/csv"}
    query = {"start": "true"} | query
    answer = await catalog.http.post("/v1/course-imports", content=content, params=query, headers=headers)
    assert answer.status_code in (201, 202), answer.text
    while await catalog.run_job("bulk_work"):
        pass
    return (await catalog.get(f"/v1/course-imports/{answer.json()['id']}", email=email)).json()


async def rows(catalog: Running, job: dict[str, Any], email: str = USER) -> dict[int, Any]:
    found = (await catalog.get(f"/v1/course-imports/{job['id']}/rows", email=email)).json()["items"]
    return {row["row"]: row for row in found}


async def test_a_supplier_imports_its_courses_and_the_public_site_opens(catalog: Running, story: Any) -> None:
    supplier_id = await story.supplier()
    await story.accepts(supplier_id, await story.agreement())
    await story.switches(supplier_id)

    job = await send(
        catalog,
        HEADER
        + "A,Heftruck rijden,classroom,nl,395,2027-03-02 09:00-17:00 Utrecht (12)\n"
        + "B,BHV herhaling,online,nl,120,\n",
    )

    assert (job["state"], job["total"], job["bad"], job["done"]) == ("done", 2, 0, 2)
    found = [row["result"]["action"] for row in (await rows(catalog, job)).values()]
    assert found == ["created", "created"]
    events = await catalog.published(CoursePublished)
    assert [(e.title, str(e.supplier_id), len(e.sessions)) for e in events] == [
        ("Heftruck rijden", supplier_id, 1),
        ("BHV herhaling", supplier_id, 0),
    ]
    assert [s.open for s in (await catalog.published(SupplierChanged))[-1].sites] == [True]


async def test_the_same_file_again_changes_nothing(catalog: Running, story: Any) -> None:
    await story.supplier()
    file = HEADER + "A,Heftruck rijden,classroom,nl,395,2027-03-02 09:00-17:00 Utrecht (12)\n"

    first = await send(catalog, file)
    again = await send(catalog, file)
    other_bytes = await send(catalog, file + "\n")

    assert again["id"] == first["id"]
    assert [row["result"]["action"] for row in (await rows(catalog, other_bytes)).values()] == ["unchanged"]
    assert len(await catalog.published(CoursePublished)) == 1


async def test_a_corrected_file_changes_what_it_names_and_deletes_nothing(catalog: Running, story: Any) -> None:
    await story.supplier()
    await send(
        catalog,
        HEADER
        + "A,Heftruck rijden,classroom,nl,395,2027-03-02 09:00-17:00 Utrecht (12)\n"
        + "B,BHV herhaling,online,nl,120,\n",
    )

    job = await send(catalog, HEADER + "A,Heftruck rijden,classroom,nl,425,2027-03-02 09:00-17:00 Utrecht (10)\n")

    assert [row["result"]["action"] for row in (await rows(catalog, job)).values()] == ["changed"]
    changed = (await catalog.published(CoursePublished))[-1]
    assert [(s.place, s.capacity) for s in changed.sessions] == [("Utrecht", 10)]
    assert [p.price.amount for p in changed.prices] == [42_500]
    listed = (await catalog.get("/v1/courses", email=USER, status="published")).json()["items"]
    assert [c["code"] for c in listed] == ["B", "A"]


async def test_a_preview_shows_every_bad_row_and_why_and_its_neighbours_land(catalog: Running, story: Any) -> None:
    await story.supplier()
    file = (
        HEADER
        + "A,Heftruck rijden,classroom,nl,395,\n"
        + "B,,classroom,nl,395,\n"
        + "C,Zonder prijs,classroom,nl,,\n"
        + "D,Twee prijzen,classroom,nl,1.250,\n"
        + "E,Onbekend soort,webinar,nl,100,\n"
        + "F,Zonder dag,classroom,nl,100,ergens in mei\n"
        + "A,Nog eens,classroom,nl,395,\n"
        + "G,Te veel,classroom,nl,395,,,\n"
        + "H,Achterstevoren,classroom,nl,100,2027-03-02 17:00-09:00 Utrecht (12)\n"
        + "I,BHV herhaling,online,nl,120,\n"
    )

    job = await send(catalog, file, start="false")
    assert (job["state"], job["total"], job["bad"]) == ("previewed", 10, 8)
    assert await catalog.value("select count(*) from courses") == 0
    why = {n: row["errors"][0]["field"] for n, row in (await rows(catalog, job)).items() if row["errors"]}
    assert why == {3: "title", 4: "price", 5: "price", 6: "kind", 7: "sessions", 8: "", 9: "", 10: "sessions"}

    await catalog.post(f"/v1/course-imports/{job['id']}/start", email=USER)
    while await catalog.run_job("bulk_work"):
        pass
    assert await catalog.rows("select code from courses order by code") == [{"code": "A"}, {"code": "I"}]

    errors = await catalog.get(f"/v1/course-imports/{job['id']}/errors.csv", email=USER)
    lines = list(csv.DictReader(io.StringIO(errors.content.decode("utf-8-sig"))))
    assert [line["_row"] for line in lines] == ["3", "4", "5", "6", "7", "8", "9", "10"]
    corrected = await send(catalog, errors.content.replace(b"1.250", b"1250"))
    # Correct now: the price, the code that stands once in this file, and the row that had too many cells.
    assert [n for n, row in (await rows(catalog, corrected)).items() if row["state"] == "done"] == [4, 7, 8]


async def test_all_or_nothing_leaves_nothing(catalog: Running, story: Any) -> None:
    await story.supplier()

    job = await send(
        catalog,
        HEADER + "A,Heftruck rijden,classroom,nl,395,\nB,,classroom,nl,395,\n",
        mode="all_or_nothing",
    )

    assert (job["state"], job["problem"]["type"]) == ("failed", "/problems/some-rows-bad")
    assert await catalog.value("select count(*) from courses") == 0
    assert await catalog.published(CoursePublished) == []


async def test_a_file_with_a_byte_order_mark_and_semicolons_is_read(catalog: Running, story: Any) -> None:
    await story.supplier()

    job = await send(
        catalog,
        "\ufeffCode;Title;Kind;Language;Price\r\nA;Prévention;classroom;fr;1.250,00\r\n".encode(),
    )

    assert (job["state"], job["done"]) == ("done", 1)
    (event,) = await catalog.published(CoursePublished)
    assert (event.title, event.prices[0].price.amount) == ("Prévention", 125_000)


async def test_a_file_in_windows_1252_is_read_and_says_so(catalog: Running, story: Any) -> None:
    await story.supplier()

    job = await send(catalog, (HEADER + "A,Café en coëxistentie – één,classroom,nl,395,\n").encode("cp1252"))

    assert (job["done"], len(job["notes"])) == (1, 1)
    assert (await catalog.published(CoursePublished))[0].title == "Café en coëxistentie – één"


async def test_a_file_that_is_none_is_refused_at_once(catalog: Running, story: Any) -> None:
    await story.supplier()
    for content in (b"", b"title,kind\nx,online\n", HEADER.encode(), b"PK\x03\x04\x00\x00"):
        headers = catalog.headers(USER) | {"Content-Type": "text/csv"}
        answer = await catalog.http.post("/v1/course-imports", content=content, headers=headers)
        if answer.status_code < 400:
            while await catalog.run_job("bulk_work"):
                pass
            job = (await catalog.get(f"/v1/course-imports/{answer.json()['id']}", email=USER)).json()
            assert job["problem"]["type"] == "/problems/file-not-usable"
        else:
            assert problem(answer)["type"] == "/problems/file-not-usable"


async def test_staff_import_for_many_suppliers_and_for_the_platform(catalog: Running, story: Any) -> None:
    first, second = await story.supplier("Eerste"), await story.supplier("Tweede", "b@b.example")
    partner_id = await story.partner("Noorderlicht")
    job = await send(
        catalog,
        "code,title,kind,language,price,supplier,credits,credit_partners\n"
        f"A,Voor een,online,nl,100,eerste,,\n"
        f"A,Voor twee,online,nl,100,{second},,\n"
        "A,Van ons,elearning,nl,,,2,\n"
        "B,Voor gekozenen,elearning,nl,,,5,Noorderlicht=3\n"
        "C,Niet voor punten,online,nl,100,Eerste,2,\n"
        "D,Van niemand,online,nl,100,Derde,,\n"
        "E,Voor niemand,elearning,nl,,,5,Zuiderzon\n",
        email=ADMIN,
    )

    assert (job["done"], job["bad"]) == (4, 3)
    why = {n: row["errors"][0]["field"] for n, row in (await rows(catalog, job, ADMIN)).items() if row["errors"]}
    assert why == {6: "credits", 7: "supplier", 8: "credit_partners"}
    events = await catalog.published(CoursePublished)
    assert [str(e.supplier_id) if e.supplier_id else e.offered_by for e in events] == [
        first,
        second,
        "platform",
        "platform",
    ]
    assert (events[3].credits.scope, {str(k): v for k, v in events[3].credits.values.items()}) == (
        "chosen",
        {partner_id: 3},
    )


async def test_a_supplier_cannot_import_for_another_and_is_not_told_who_there_is(catalog: Running, story: Any) -> None:
    await story.supplier()
    other = await story.supplier("Ander", "ander@ander.example")

    job = await send(
        catalog,
        "code,title,kind,language,price,supplier\n"
        "A,Voor een ander,online,nl,100,Ander\nB,Voor niemand,online,nl,100,Niemand\nC,Eigen,online,nl,100,\n",
        supplier_id=other,
    )

    found = await rows(catalog, job)
    assert found[2]["errors"] == found[3]["errors"]
    assert (job["done"], job["bad"]) == (1, 2)
    assert await catalog.value("select count(*) from courses where supplier_id = :s", s=other) == 0


async def test_a_default_partners_file_fails_as_a_whole_by_name(catalog: Running, story: Any) -> None:
    await story.partner("Noorderlicht", "default", "admin@noorderlicht.example")

    job = await send(catalog, "code,title,kind,language\nA,Eigen,elearning,nl\n", email="admin@noorderlicht.example")

    assert (job["state"], job["problem"]["type"]) == ("failed", "/problems/not-whitelabel")


async def test_another_suppliers_file_does_not_exist(catalog: Running, story: Any) -> None:
    await story.supplier()
    await story.supplier("Ander", "ander@ander.example")
    job = await send(catalog, HEADER + "A,Heftruck rijden,classroom,nl,395,\n")

    answer = await catalog.get(f"/v1/course-imports/{job['id']}", email="ander@ander.example")

    assert problem(answer)["type"] == "/problems/job-not-found"


async def test_three_hundred_courses_come_in_a_handful_of_statements(catalog: Running, story: Any) -> None:
    await story.supplier()
    counted: list[str] = []
    engine = catalog.service.database.worker_engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *about: counted.append(about[2]))

    job = await send(
        catalog,
        HEADER + "".join(f"C{n},Cursus {n},classroom,nl,100,2027-03-02 09:00-17:00 Utrecht (12)\n" for n in range(300)),
    )

    assert job["done"] == 300
    assert len(counted) < 120, len(counted)
    assert len(await catalog.published(CoursePublished)) == 300
