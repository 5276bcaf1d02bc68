"""Loads the data set through the public APIs, as an operator would on the first day."""

import asyncio
import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stack.client import Tandem, ok

AGREEMENT = {
    "title": "Self-service agreement",
    "text": "The account is free. The first cost comes with the first enrollment, as the ticked conditions say.",
}
PORTALS = ["public", "customer_portal/*"]


@dataclass
class World:
    """What the data set became, by name; each with the ids that the services gave."""

    suppliers: dict[str, dict[str, Any]] = field(default_factory=dict)
    partners: dict[str, dict[str, Any]] = field(default_factory=dict)
    customers: dict[str, dict[str, Any]] = field(default_factory=dict)
    courses: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Courses by their code."""
    imported: dict[str, int] = field(default_factory=dict)
    """Rows that were imported, per kind of file."""


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def organisation(row: dict[str, str]) -> dict[str, Any]:
    """An organisation's invoicing details, as the APIs take them."""
    address = {name: row[name] for name in ("street", "postal_code", "city", "country")}
    details = {name: row[name] for name in ("legal_name", "vat_id", "registration_number", "invoice_email")}
    return details | {"address": address}


async def everything(tandem: Tandem, folder: Path) -> World:
    """Partners with wallets and admins, customers, suppliers through their onboarding, courses, people."""
    world = World()
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        await partners(tandem, world, rows(folder / "partners.csv"), progress)
        await customers(tandem, world, rows(folder / "customers.csv"), progress)
        await suppliers(tandem, world, rows(folder / "suppliers.csv"), progress)
        await wallets(tandem, world, progress)
        await courses(tandem, world, folder / "courses.csv", progress)
        await people(tandem, world, folder, progress)
    return world


async def partners(tandem: Tandem, world: World, found: list[dict[str, str]], progress: Progress) -> None:
    for row in progress.track(found, description="partners and admins"):
        body = {name: row[name] for name in ("name", "kind", "language")} | {"wallet": row["wallet"] == "yes"}
        partner = await tandem.post("contracts", "/v1/partners", body)
        admin = {"email": row["admin_email"], "name": row["admin_name"]}
        await tandem.post("contracts", f"/v1/partners/{partner['partner_id']}/admins", admin)
        world.partners[row["name"]] = row | partner


async def customers(tandem: Tandem, world: World, found: list[dict[str, str]], progress: Progress) -> None:
    for row in progress.track(found, description="customers"):
        body: dict[str, Any] = {name: row[name] for name in ("name", "size", "language")}
        body |= {"invoicing": organisation(row), "status": "active"}
        if row["partner"]:
            body["partner_id"] = world.partners[row["partner"]]["partner_id"]
        world.customers[row["name"]] = row | await tandem.post("contracts", "/v1/customers", body)


async def suppliers(tandem: Tandem, world: World, found: list[dict[str, str]], progress: Progress) -> None:
    """Each goes through the five steps of its onboarding; its first course is the fifth."""
    agreement = await tandem.post("catalog", "/v1/agreements", AGREEMENT)
    service = await tandem.get("catalog", "/v1/services/enrollments")
    ticked = [condition["id"] for condition in service["conditions"]]
    for row in progress.track(found, description="suppliers"):
        body: dict[str, Any] = {name: row[name] for name in ("name", "size", "language")}
        body |= {"invoicing": organisation(row), "users": [{"email": row["user_email"], "name": row["user_name"]}]}
        supplier = await tandem.post("catalog", "/v1/suppliers", body)
        at = f"/v1/suppliers/{supplier['supplier_id']}"
        await tandem.put("catalog", f"{at}/sites", {"sites": PORTALS})
        accepted = {"version": agreement["version"], "accepted_by": row["user_name"]}
        await tandem.post("catalog", f"{at}/agreement", accepted, by=row["user_email"])
        switch = {"on": True, "conditions": ticked}
        await tandem.put("catalog", f"{at}/services/enrollments", switch, by=row["user_email"])
        world.suppliers[row["name"]] = row | supplier


async def wallets(tandem: Tandem, world: World, progress: Progress) -> None:
    """The first top-ups; a wallet is open as soon as billing has heard of its partner."""
    paying = [p for p in world.partners.values() if p["wallet"]]
    for partner in progress.track(paying, description="wallets topped up"):
        path = f"/v1/wallets/{partner['partner_id']}"
        while (await tandem.call("GET", "billing", path)).status_code == 404:
            await asyncio.sleep(0.05)
        body = {"credits": int(partner["credits"]), "reason": "first order"}
        await tandem.post("billing", f"{path}/top-ups", body)


async def upload(
    tandem: Tandem, service: str, path: str, file: Path, progress: Progress, description: str, **options: str
) -> int:
    """Send a file, follow its job, and say how many rows were done. A bad row ends the demo."""
    answer = await tandem.call(
        "POST",
        service,
        path,
        params={"start": "true", "mode": "all_or_nothing", **options},
        files={"file": (file.name, file.read_bytes(), "text/csv")},
    )
    job = ok(answer).json()
    task = progress.add_task(description, total=None)
    while job["state"] not in ("done", "failed"):
        job = await tandem.get(service, f"{path}/{job['id']}")
        progress.update(task, total=job["total"] or None, completed=job["done"])
        if job["state"] == "previewed":
            break
        await asyncio.sleep(0.1)
    if job["state"] != "done" or job["failed"] or job["bad"]:
        bad = await tandem.get(service, f"{path}/{job['id']}/rows", state="bad", limit="3")
        raise RuntimeError(f"{file.name}: {job['state']}, {job['bad']} bad rows, such as {bad['items']}")
    return int(job["done"])


async def courses(tandem: Tandem, world: World, file: Path, progress: Progress) -> None:
    world.imported["courses"] = await upload(tandem, "catalog", "/v1/course-imports", file, progress, "courses")
    at: str = "/v1/courses?limit=200"
    while True:
        answer = ok(await tandem.call("GET", "catalog", at))
        for course in answer.json()["items"]:
            world.courses[course["code"]] = course
        if "next" not in answer.links:
            return
        at = answer.links["next"]["url"].removeprefix(tandem.urls["catalog"])


async def people(tandem: Tandem, world: World, folder: Path, progress: Progress) -> None:
    """One file per partner or customer, as each keeps its own list."""
    homes = [("partner_id", p) for p in world.partners.values()] + [
        ("customer_id", c) for c in world.customers.values()
    ]

    async def of(kind: str, home: dict[str, Any]) -> int:
        file = folder / home["people"]
        await by_hand(tandem, {kind: home[kind]}, file)
        return await upload(
            tandem, "enrollment", "/v1/people-imports", file, progress, home["name"], **{kind: str(home[kind])}
        )

    done = await asyncio.gather(*(of(kind, home) for kind, home in homes))
    world.imported["people"] = sum(done)


async def by_hand(tandem: Tandem, home: dict[str, str], file: Path) -> None:
    """Add the first person of a file by hand, as soon as enrollment has heard of the partner or customer."""
    text = file.read_text(encoding="utf-8-sig")
    first = next(csv.DictReader(text.splitlines(), delimiter=";" if ";" in text.splitlines()[0] else ","))
    body = {name: first[name] for name in ("name", "email", "language")} | {"roles": first["roles"].split()} | home
    async with asyncio.timeout(30):
        while not (answer := await tandem.call("POST", "enrollment", "/v1/people", body)).is_success:
            if answer.json()["type"] not in ("/problems/customer-not-found", "/problems/partner-not-found"):
                ok(answer)
            await asyncio.sleep(0.05)
