"""python -m demo: start everything, load the data set, do the main job, show what came of it; exit status 0 if all held."""

import argparse
import asyncio
import statistics
import sys
import time
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from demo import data, load
from demo.load import World
from demo.story import Broken, Story, holds
from stack import tools
from stack.client import Tandem, WithMailpit

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "demo"
PORTS = {"catalog": 8101, "enrollment": 8102, "billing": 8103, "contracts": 8104, "academy": 8105}
CLASS_SIZE = 1_000
Where = tuple[dict[str, str], str, str, type[Tandem]]
console = Console(width=None if sys.stdout.isatty() else 140)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    options.add_argument("--connect", metavar="URL", help="use the suite that runs there, such as http://localhost")
    asked = options.parse_args()
    began = time.monotonic()
    if not asked.connect and (complaints := tools.complaints()):
        print(*complaints, sep="\n", file=sys.stderr)
        return 2
    with ExitStack() as at_end:
        if asked.connect:
            urls = {name: f"{asked.connect}:{port}" for name, port in PORTS.items()}
            where: Where = (urls, f"{asked.connect}:8190", f"{asked.connect}:8126", WithMailpit)
        else:
            from stack.processes import suite

            console.rule("[bold]Tandem: starting PostgreSQL, Kafka and five services")
            running = at_end.enter_context(suite(ROOT / ".stack" / "demo"))
            urls = {name: service.url for name, service in running.services.items()}
            where = (urls, running.issuer.url, running.mail.url, Tandem)
            console.print(f"up in {time.monotonic() - began:.1f} s: real processes, real PostgreSQL and Kafka")
        try:
            asyncio.run(told(*where))
        except Broken as broken:
            console.print(f"[red bold]Did not hold:[/] {broken}")
            return 1
        console.print(f"\nAll of it held, in {time.monotonic() - began:.0f} s.")
        if not asked.connect:
            console.print("Everything is stopped again. `make up` keeps it running and says where to look.")
    return 0


async def told(urls: dict[str, str], issuer: str, mailbox: str, client: type[Tandem]) -> None:
    tandem = client(urls=urls, issuer=issuer, mailbox=mailbox)
    try:
        await tell(Story(tandem, console, BUILD))
    finally:
        await tandem.aclose()


async def tell(story: Story) -> None:
    console.rule("[bold]The data set")
    world = await load.everything(story.tandem, folder())
    console.print(
        f"{len(world.suppliers)} suppliers, {world.imported['courses']} courses, {len(world.partners)} partners,"
        f" {len(world.customers)} customers, {world.imported['people']:,} people"
    )
    console.rule("[bold]The main job")
    partner, small = world.partners["Noorderlicht Opleidingen"], world.partners["Kestrel People Development"]
    customer = world.customers["Zilverberg Techniek"]
    team, few = await people_of(story, "partner_id", partner), await people_of(story, "partner_id", small)
    staff = await people_of(story, "customer_id", customer)
    manager, led = manager_and_one(team)
    chief, employee = manager_and_one(staff)
    await offered(story, world, led)

    enrolled = await story.association(partner, team[-3], await course(story, world, "T-20nl"))
    await story.request(partner, led, manager, await course(story, world, "T-19nl"))
    bought = next(c for c in world.courses.values() if c["supplier_id"] and c["language"] == "nl" and c["sessions"])
    sold_by = next(s for s in world.suppliers.values() if s["supplier_id"] == bought["supplier_id"])
    await story.invoice(employee, chief, bought, sold_by["user_email"])
    await story.refusal(small, few[-3:], await course(story, world, "T-19en"))
    await story.cancellation(partner, enrolled)
    await story.completion(partner, team[-2], await course(story, world, "T-01nl"))
    learners = [p["person_id"] for p in team[-CLASS_SIZE - 10 : -10]]
    done = await story.class_of(partner, await course(story, world, "T-14nl"), learners)
    ledger = await story.tandem.get("billing", "/v1/ledger/check")
    show(done, ledger, story.tandem)
    holds(ledger["ok"] and ledger["total"] == 0, "the ledger adds up to zero")


def folder() -> Path:
    """The committed files, or the same made anew when their sessions are too near or past."""
    if date.today() + timedelta(days=30) < data.FIRST_DAY:
        return data.FOLDER
    data.make(BUILD / "data", date.today() + timedelta(days=90))
    return BUILD / "data"


async def people_of(story: Story, kind: str, home: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    answer = await story.tandem.call("GET", "enrollment", "/v1/people", params={kind: home[kind], "limit": "200"})
    while True:
        found += answer.json()["items"]
        if "next" not in answer.links:
            return [person for person in found if person["status"] == "active" and person.get(kind) == home[kind]]
        at = answer.links["next"]["url"].removeprefix(story.tandem.urls["enrollment"])
        answer = await story.tandem.call("GET", "enrollment", at)


def manager_and_one(people: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manager of somebody who leads nobody, and that person."""
    by_id = {person["person_id"]: person for person in people}
    led = next(p for p in reversed(people) if p["manager_id"] in by_id and not p["roles"])
    return by_id[led["manager_id"]], led


async def course(story: Story, world: World, code: str) -> dict[str, Any]:
    found: dict[str, Any] = await story.tandem.get("catalog", f"/v1/courses/{world.courses[code]['course_id']}")
    return found


async def offered(story: Story, world: World, person: dict[str, Any]) -> None:
    """Until enrollment has heard of every course: the last one imported can be offered."""
    last = max((c for c in world.courses.values() if not c["supplier_id"]), key=lambda c: str(c["course_id"]))
    query = {"person_id": person["person_id"], "course_id": last["course_id"]}

    async def known() -> bool:
        return (await story.tandem.call("GET", "enrollment", "/v1/offers", params=query)).is_success

    await story.until(known, "courses known to enrollment")


def show(done: dict[str, Any], ledger: dict[str, Any], tandem: Tandem) -> None:
    table = Table(title="\nA class of a thousand", show_header=False)
    waits = done["waits"]
    for name, value in {
        "confirmed": f"{done['confirmed']:,}",
        "refused": f"{done['refused']:,}",
        "credits before": f"{done['before']['available']:,}",
        "credits after": f"{done['after']['available']:,}",
        "sum over the ledger": str(ledger["total"]),
        "median time from request to outcome": f"{statistics.median(waits):.2f} s",
        "slowest": f"{waits[-1]:.2f} s",
        "mails": tandem.mailbox,
        "certificate": str((BUILD / "certificate.pdf").relative_to(ROOT)),
        **{f"{name} API": f"{url}/openapi.json" for name, url in tandem.urls.items()},
    }.items():
        table.add_row(name, value)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
