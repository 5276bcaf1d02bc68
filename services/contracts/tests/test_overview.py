"""The overview of a partner's customers: filters, counts, search, every sort, pages, files, and how it is planned."""

import csv
import io
import zipfile
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree

import pytest
from sqlalchemy import text

from contracts.overview.rules import sort_name
from contracts.overview.usecases import SORTS, Wish, count, listed
from kit.auth import act_as
from kit.testing import Running, problem

START = datetime(2027, 6, 30, 12, tzinfo=UTC)
NAMES = ["Zilverberg", "ångström", "Éclair", "Azienda", "=SUM(A1:A9)", "100%_sure", "zwart"]


@pytest.fixture
async def partner(contracts: Running) -> str:
    """A partner with customers in every status, whose time stands still."""
    partner = str((await contracts.post("/v1/partners", {"name": "Lumen", "wallet": False})).json()["partner_id"])
    clock = {"tenant_kind": "partner", "tenant_id": partner, "time": START.isoformat()}
    await contracts.post("/v1/test-clocks", clock)
    for n, name in enumerate(NAMES):
        status = ("trial", "company", "active")[n % 3]
        body = {"name": name, "partner_id": partner, "status": status, "trial_days": 10 + n}
        made = await contracts.post("/v1/customers", body)
        customer = made.json()["customer_id"]
        report = {
            "activities": n * 7 % 5,
            "users": n,
            "frameworks": [{"name": f"F{n % 2}", "progress_percent": n}],
            "attention": [{"key": "a", "subject": "s", "next_action": "x"}] if n == 1 else [],
        }
        usage = f"/v1/customers/{customer}/usage/desk/2027-06-30"
        assert (await contracts.http.put(usage, json=report, headers=contracts.headers())).status_code == 200
        if n == 6:
            await contracts.post(f"/v1/customers/{customer}/close")
    return partner


async def overview(contracts: Running, partner: str, **query: Any) -> dict[str, Any]:
    answer = await contracts.get("/v1/overview", partner_id=partner, **query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def names(contracts: Running, partner: str, **query: Any) -> list[str]:
    return [line["name"] for line in (await overview(contracts, partner, **query))["items"]]


def test_names_are_sorted_without_case_and_accents() -> None:
    assert sort_name("  Éclair \t ÅNGSTRÖM ") == "eclair angstrom"


async def test_the_overview_shows_each_customer_and_what_every_filter_would_show(
    contracts: Running, partner: str
) -> None:
    shown = await overview(contracts, partner)

    assert [line["name"] for line in shown["items"]] == [
        "100%_sure", "=SUM(A1:A9)", "ångström", "Azienda", "Éclair", "Zilverberg", "zwart",
    ]  # fmt: skip
    assert shown["counts"] == {
        "all": 7,
        "trial": 2,
        "active": 2,
        "closed": 1,
        "company": 2,
        "needs_attention": 1,
    }
    by_name = {line["name"]: line for line in shown["items"]}
    assert by_name["Azienda"] | {"customer_id": ""} == {
        "customer_id": "",
        "name": "Azienda",
        "framework": "F1",
        "progress_percent": 3.0,
        "users": 3,
        "activities": 1,
        "attention": 0,
        "status": "trial",
        "closed_reason": None,
        "days_left": 13,
        "trial_ends_on": "2027-07-12",
        "subscribed_on": None,
        "renews_on": None,
        "closed_on": None,
    }
    assert by_name["zwart"]["closed_reason"] == "withdrawn"


FOUND: list[tuple[dict[str, Any], list[str]]] = [
    ({"status": "trial"}, ["Azienda", "Zilverberg"]),
    ({"status": "closed"}, ["zwart"]),
    ({"needs_attention": True}, ["ångström"]),
    ({"needs_attention": True, "status": "trial"}, []),
    ({"search": "ZIL"}, ["Zilverberg"]),
    ({"search": "clair"}, ["Éclair"]),
    ({"search": "z"}, ["Zilverberg", "zwart"]),  # one letter: the beginning
    ({"search": "i"}, []),
    ({"search": "%"}, []),
    ({"search": "0%_s"}, ["100%_sure"]),
    ({"search": "'; drop table overview; --"}, []),
    ({"search": "ÅNG"}, ["ångström"]),
]


async def test_filters_and_search_narrow_the_list(contracts: Running, partner: str) -> None:
    for query, expected in FOUND:
        assert await names(contracts, partner, **query) == expected, query


@pytest.mark.parametrize("descending", [False, True])
async def test_every_column_sorts_and_pages_leave_nobody_out(
    contracts: Running, partner: str, descending: bool
) -> None:
    for sort in SORTS:
        lines: list[dict[str, Any]] = []
        path = f"/v1/overview?partner_id={partner}&limit=3&sort={sort}&descending={descending}"
        while path:
            answer = await contracts.http.get(path, headers=contracts.headers())
            assert answer.status_code == 200, answer.text
            assert (answer.json()["counts"] is None) == bool(lines)
            lines += answer.json()["items"]
            path = answer.links.get("next", {}).get("url", "")

        assert sorted(line["name"] for line in lines) == sorted(NAMES), sort
        shown = {"progress": "progress_percent"}.get(sort, sort)
        values = [sort_name(line["name"]) if sort == "name" else line.get(shown) for line in lines]
        if None not in values:
            assert all((a >= b) if descending else (a <= b) for a, b in pairwise(values)), sort


async def test_a_partner_sees_its_own_and_staff_name_whose(contracts: Running, partner: str) -> None:
    await contracts.post(f"/v1/partners/{partner}/admins", {"email": "ada@lumen.example", "name": "Ada"})
    await contracts.post("/v1/customers", {"name": "Alone", "status": "active"})
    await contracts.deliver(*[e for e in await contracts.everything_published() if e.topic == "access.changed"])

    mine = await contracts.get("/v1/overview", email="ada@lumen.example", partner_id=str(uuid4()))
    unnamed = await contracts.get("/v1/overview")

    assert len(mine.json()["items"]) == 7  # her own, whatever she asks
    assert problem(unnamed)["type"] == "/problems/partner-not-named"
    alone = (await contracts.get("/v1/overview", without_partner=True)).json()
    assert [line["name"] for line in alone["items"]] == ["Alone"]


async def test_what_cannot_be_filtered_is_refused(contracts: Running, partner: str) -> None:
    wrong: list[dict[str, Any]] = [
        {"sort": "password"},
        {"status": "gone"},
        {"search": "x" * 201},
        {"limit": 0},
        {"after": "nonsense"},
    ]
    for query in wrong:
        assert problem(await contracts.get("/v1/overview", partner_id=partner, **query))["status"] in (400, 422), query


def cells_of(workbook: bytes) -> list[list[str]]:
    """The cells of a workbook's first sheet as text; a formula would be an element of its own."""
    main = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    sheet = ElementTree.fromstring(zipfile.ZipFile(io.BytesIO(workbook)).read("xl/worksheets/sheet1.xml"))
    assert sheet.find(f".//{main}f") is None
    return [["".join(cell.itertext()) for cell in row] for row in sheet.iter(f"{main}row")]


async def test_files_hold_what_is_filtered_and_no_formula(contracts: Running, partner: str) -> None:
    query = {"partner_id": partner, "status": "company", "sort": "users", "descending": True}
    as_csv = await contracts.get("/v1/overview.csv", **query)
    as_xlsx = await contracts.get("/v1/overview.xlsx", **query)

    assert as_csv.headers["content-disposition"] == f'attachment; filename="customers-{datetime.now(UTC):%Y-%m-%d}.csv"'
    rows = list(csv.DictReader(io.StringIO(as_csv.content.decode("utf-8-sig"))))
    assert [(row["name"], row["users"], row["attention"]) for row in rows] == [
        ("'=SUM(A1:A9)", "4", "0"),
        ("ångström", "1", "1"),
    ]
    sheet = cells_of(as_xlsx.content)
    assert sheet[0][:2] == ["customer_id", "name"]
    assert [(row[1], row[4]) for row in sheet[1:]] == [("=SUM(A1:A9)", "4"), ("ångström", "1")]
    empty = await contracts.get("/v1/overview.csv", partner_id=partner, search="nobody")
    assert empty.text.strip("\ufeff\r\n").split(",")[:2] == ["customer_id", "name"]


# -- at scale -----------------------------------------------------------------------------------------------

SEED = text(
    "with made as (insert into customers (id, version, name, status, partner_id, size, language, invoicing, created_at,"
    " time_zone, trial_held, closed_reason, trial_started_on, trial_ends_on, trial_over_at, subscribed_on, renews_on,"
    " renews_at) select uuidv7(), 1, initcap(md5(n::text)), s, :partner, 'large', 'en', '{}', now(),"
    " 'Europe/Amsterdam', false, case when s = 'closed' then 'ended' end, '2027-06-01', date '2027-06-02' + n % 60,"
    " '2099-01-01', '2026-01-01', date '2028-01-01' + n % 365, '2028-01-01'"
    " from (select n, (array['trial', 'active', 'active', 'active', 'closed'])[1 + n % 5] as s"
    "   from generate_series(1, :n) n) x returning *)"
    " insert into overview (customer_id, partner_id, name, sort_name, time_zone, status, closed_reason,"
    " trial_started_on, trial_ends_on, subscribed_on, renews_on, framework, progress, users, activities, counted_on,"
    " attention) select id, partner_id, name, lower(name), time_zone, status, closed_reason, trial_started_on,"
    " trial_ends_on, subscribed_on, renews_on, 'ISO ' || hashtext(name) % 40, abs(hashtext(name)) % 10001,"
    " abs(hashtext(name)) % 900, abs(hashtext(name)) % 5000, '2027-06-30', (abs(hashtext(name)) % 50 = 0)::int"
    " from made"
)


async def test_no_filter_and_no_sort_reads_the_whole_table(contracts: Running) -> None:
    crowded = (await contracts.post("/v1/partners", {"name": "Crowded", "wallet": False})).json()["partner_id"]
    await contracts.post("/v1/customers", {"name": "Kade", "partner_id": crowded})
    async with contracts.db() as db:
        await db.execute(SEED, {"partner": crowded, "n": 20_000})
    async with contracts.service.database.worker_engine.connect() as connection:
        raw = await connection.get_raw_connection()
        await raw.driver_connection.execute("commit; analyze overview")
    wishes = [
        Wish(UUID(crowded), status, attention, search, sort, descending)
        for sort in SORTS
        for descending in (False, True)
        for status, attention, search in (
            (None, False, ""),
            ("trial", False, ""),
            ("closed", True, ""),
            (None, True, ""),
            (None, False, "abc"),
        )
    ]
    async with contracts.service.database.api.begin() as db:
        await act_as(db, f"partner/{crowded}", "user:ada")
        for wish in wishes:
            query, order = listed(db, wish, START)
            statement = (
                query.order_by(*order)
                .limit(51)
                .compile(dialect=contracts.service.database.api_engine.dialect, compile_kwargs={"literal_binds": True})
            )
            plan = "\n".join((await db.scalars(text("explain " + str(statement).replace(":", "\\:")))).all())
            assert "Index" in plan, f"{wish}\n{plan}"
            assert "Seq Scan" not in plan, f"{wish}\n{plan}"
        assert (await count(db, Wish(UUID(crowded)))).all == 20_001
