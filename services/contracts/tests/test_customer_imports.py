"""A partner's customers from a file: made once, refused row by row, hostile text kept as text."""

from typing import Any

from kit.testing import Running, problem
from schemas.customer import CustomerChanged

ADA = "ada@lumen.example"


async def a_partner(contracts: Running) -> str:
    partner = str((await contracts.post("/v1/partners", {"name": "Lumen", "wallet": False})).json()["partner_id"])
    await contracts.post(f"/v1/partners/{partner}/admins", {"email": ADA, "name": "Ada"})
    await contracts.deliver(*[e for e in await contracts.everything_published() if e.topic == "access.changed"])
    return partner


async def imported(contracts: Running, content: str | bytes, *, by: str = ADA, **query: Any) -> Any:
    answer = await contracts.http.post(
        "/v1/customer-imports",
        content=content if isinstance(content, bytes) else content.encode(),
        params={"start": "true", **query},
        headers=contracts.headers(by) | {"Content-Type": "text/csv"},
    )
    if answer.status_code >= 400:
        return answer
    while await contracts.run_job("bulk_work"):
        pass
    return (await contracts.get(f"/v1/customer-imports/{answer.json()['id']}", email=by)).json()


async def test_a_file_makes_customers_once_however_often_it_comes(contracts: Running) -> None:
    partner = await a_partner(contracts)
    csv = (
        "name,status,trial_days,language,country,vat_id\n"
        "Zilverberg,trial,14,nl,NL,NL004495445B01\n"
        "Éclair,company,,it,,\n"
    )

    first = await imported(contracts, csv)
    again = await imported(contracts, csv + "Kade,,,,,\n")

    assert (first["state"], first["done"], first["failed"], first["bad"]) == ("done", 2, 0, 0)
    assert again["done"] == 3
    shown = (await contracts.get("/v1/overview", email=ADA)).json()
    assert [(c["name"], c["status"], c["days_left"]) for c in shown["items"]] == [
        ("Éclair", "company", None),
        ("Kade", "company", None),
        ("Zilverberg", "trial", 14),
    ]
    told = await contracts.published(CustomerChanged)
    assert sorted(e.name for e in told) == ["Kade", "Zilverberg", "Éclair"]
    assert {str(e.partner_id) for e in told} == {partner}


async def test_rows_that_are_wrong_are_named_and_the_others_made(contracts: Running) -> None:
    await a_partner(contracts)
    csv = (
        "name,status,trial_days,country,vat_id,invoice_email,time_zone\n"
        "Good,trial,7,NL,,,\n"
        ",trial,,,,,\n"
        "No status,active,,,,,\n"
        "No days,trial,0,,,,\n"
        "No VAT,,,NL,NL000,,\n"
        "No mail,,,,,not a mail,\n"
        "No zone,,,,,,Mars/Base\n"
        "good,,,,,,\n"
        "'=cmd|' /C calc'!A0,,,,,,\n"
        "A\0B,,,,,,\n"
    )

    job = await imported(contracts, csv)
    bad = await contracts.get(f"/v1/customer-imports/{job['id']}/rows", email=ADA, state="bad")

    assert (job["done"], job["bad"]) == (2, 8)
    fields = {row["row"]: row["errors"][0]["field"] for row in bad.json()["items"]}
    assert fields[3] == "name"
    assert (fields[4], fields[5], fields[6], fields[8]) == ("status", "trial_days", "vat_id", "time_zone")
    names = [c["name"] for c in (await contracts.get("/v1/overview", email=ADA)).json()["items"]]
    assert names == ["=cmd|' /C calc'!A0", "Good"]
    out = await contracts.get("/v1/overview.csv", email=ADA)
    assert "'=cmd|' /C calc'!A0" in out.text


async def test_staff_name_whose_customers_they_are_and_nobody_imports_for_another(contracts: Running) -> None:
    partner = await a_partner(contracts)
    other = str((await contracts.post("/v1/partners", {"name": "Other", "wallet": False})).json()["partner_id"])

    staff = await imported(contracts, "name\nKade\n", by="admin@tandem.example", partner_id=partner)
    nobody = await imported(contracts, "name\nWharf\n", by="admin@tandem.example")
    hers = await imported(contracts, "name\nQuay\n", partner_id=other)
    unusable = await imported(contracts, b"\x00\x01", by=ADA)

    assert (staff["done"], nobody["bad"], hers["done"]) == (1, 1, 1)
    assert problem(unusable)["type"] == "/problems/file-not-usable"
    rows = await contracts.rows("select name from customers where partner_id = :p order by name", p=partner)
    assert [row["name"] for row in rows] == ["Kade", "Quay"]  # hers went to her own partner
