"""The main job, told step by step: each step does one thing through the public APIs, checks it, and says how long it took."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from stack.client import Tandem, link_in, ok


class Broken(AssertionError):
    """Something did not hold; the demo's exit status says so."""


def holds(condition: object, what: str) -> None:
    if not condition:
        raise Broken(what)


class Story:
    """Tells what happens on the console, and keeps what the closing table needs."""

    def __init__(self, tandem: Tandem, console: Console, build: Path) -> None:
        self.tandem = tandem
        self.console = console
        self.build = build

    @asynccontextmanager
    async def step(self, title: str) -> AsyncIterator[Callable[[str], None]]:
        """A numbered step with its time; the body says what came of it."""
        said: list[str] = []
        began = time.perf_counter()
        yield said.append
        took_ms = (time.perf_counter() - began) * 1000
        self.console.print(f"[green]✓[/] [bold]{title}[/] [dim]{took_ms:,.0f} ms[/]")
        for line in said:
            self.console.print(f"    {line}")

    # -- what the steps share ------------------------------------------------------------------------

    async def until(self, look: Callable[[], Awaitable[Any]], what: str, within_s: float = 60) -> Any:
        """What `look` answers once it is truthy."""
        try:
            async with asyncio.timeout(within_s):
                while not (found := await look()):
                    await asyncio.sleep(0.05)
                return found
        except TimeoutError as late:
            raise Broken(f"{what}: not within {within_s:.0f} s") from late

    async def in_state(self, enrollment_id: str, state: str) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            found: dict[str, Any] = await self.tandem.get("enrollment", f"/v1/enrollments/{enrollment_id}")
            return found if found["state"] == state else None

        found: dict[str, Any] = await self.until(look, f"enrollment {enrollment_id} {state}")
        return found

    async def wallet(self, partner_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.tandem.get("billing", f"/v1/wallets/{partner_id}")
        return found

    async def enroll(self, by: str, person: dict[str, Any], course: dict[str, Any], way: str) -> dict[str, Any]:
        body = {"person_id": person["person_id"], "course_id": course["course_id"], "way": way}
        if course["sessions"]:
            body["session_id"] = course["sessions"][0]["session_id"]
        answer = ok(
            await self.tandem.call(
                "POST",
                "enrollment",
                "/v1/enrollments",
                body,
                by=by,
                headers={"Prefer": "wait=5"} if way == "associated" else {},
            )
        )
        found: dict[str, Any] = answer.json()
        return found

    # -- the steps -----------------------------------------------------------------------------------

    async def association(
        self, partner: dict[str, Any], person: dict[str, Any], course: dict[str, Any]
    ) -> dict[str, Any]:
        before = await self.wallet(partner["partner_id"])
        async with self.step("A partner's admin puts a person on a course") as say:
            enrolled = await self.enroll(partner["admin_email"], person, course, "associated")
            holds(enrolled["state"] == "confirmed", f"association ended {enrolled['state']}")
            after = await self.wallet(partner["partner_id"])
            say(
                f"{person['name']} · {course['title']} · {enrolled['credits']} credits · [green]confirmed[/] in the same request"
            )
            say(f"wallet of {partner['name']}: {before['available']} → {after['available']} credits")
            holds(before["available"] - after["available"] == enrolled["credits"], "the wallet paid the price")
        return enrolled

    async def request(
        self, partner: dict[str, Any], person: dict[str, Any], manager: dict[str, Any], course: dict[str, Any]
    ) -> None:
        async with self.step("A person asks; credits are held; the manager approves by the link in a mail") as say:
            asked = await self.enroll(person["email"], person, course, "requested")
            mail = await self.tandem.mail(to=manager["email"], subject="")
            held = (await self.wallet(partner["partner_id"]))["held"]
            holds(held >= asked["credits"], "the credits are held while the manager thinks")
            say(
                f"{person['name']} asked for {course['title']}; {held} credits held; mail to {manager['name']}: “{mail['subject']}”"
            )
            ok(await self.tandem.press(link_in(mail), "approve"))
            confirmed = await self.in_state(asked["enrollment_id"], "confirmed")
            say(f"approved by the button, captured, [green]{confirmed['state']}[/]")

    async def invoice(
        self, person: dict[str, Any], manager: dict[str, Any], course: dict[str, Any], supplier_mail: str
    ) -> None:
        async with self.step("An employee's course is paid by invoice") as say:
            asked = await self.enroll(person["email"], person, course, "requested")
            ok(await self.tandem.press(link_in(await self.tandem.mail(to=manager["email"])), "approve"))
            confirmed = await self.in_state(asked["enrollment_id"], "confirmed")
            instruction = await self.tandem.get("billing", f"/v1/instructions/{asked['enrollment_id']}")
            say(
                f"{person['name']} · {course['title']} · [green]{confirmed['state']}[/] · route {instruction['route']} · reference {instruction['reference']}"
            )
            for invoice in instruction["invoices"]:
                net = f"{invoice['net']['currency']} {invoice['net']['amount'] / 100:,.2f}"
                say(
                    f"{invoice['document']:16} {invoice['seller']['name']} → {invoice['buyer']['name']}: {net} net, due {invoice['term_days']} days after the invoice"
                )
            mail = await self.tandem.mail(to=supplier_mail)
            ok(await self.tandem.http.get(link_in(mail)))
            say(f"the supplier's mail “{mail['subject']}” links to the enrollment page")

    async def refusal(self, partner: dict[str, Any], people: list[dict[str, Any]], course: dict[str, Any]) -> None:
        async with self.step(
            "Credits run out: refused with reason, balance and price; filled up, the next one goes through"
        ) as say:
            refused = None
            for person in people:
                answer = await self.enroll(partner["admin_email"], person, course, "associated")
                if answer["state"] == "refused":
                    refused = answer
                    break
            if refused is None:
                raise Broken("nobody was refused")
            problem = refused["problem"]
            say(
                f"{person['name']} [red]refused[/]: {problem['reason']}, balance {problem['balance']}, price {problem['price']}"
            )
            told = await self.tandem.mail(to=partner["admin_email"], subject=partner["name"])
            say(f"credits.depleted, once; mail to the platform and to {partner['admin_email']}: “{told['subject']}”")
            await self.tandem.post(
                "billing",
                f"/v1/wallets/{partner['partner_id']}/top-ups",
                {"credits": 500, "reason": "more for this quarter"},
            )
            again = await self.enroll(partner["admin_email"], person, course, "associated")
            holds(again["state"] == "confirmed", "after the top-up the same person is enrolled")
            say("500 credits topped up, credits.replenished; the same person: [green]confirmed[/]")

    async def cancellation(self, partner: dict[str, Any], enrolled: dict[str, Any]) -> None:
        async with self.step("A place is cancelled in good time; its credits come back") as say:
            before = (await self.wallet(partner["partner_id"]))["available"]
            path = f"/v1/enrollments/{enrolled['enrollment_id']}/cancel"
            await self.tandem.post("enrollment", path, {"reason": "moved to another job"}, by=partner["admin_email"])

            async def returned() -> bool:
                now = await self.wallet(partner["partner_id"])
                return bool(now["available"] == before + enrolled["credits"])

            await self.until(returned, "the refund")
            say(f"{enrolled['credits']} credits returned to the lots that had paid them")

    async def completion(self, partner: dict[str, Any], person: dict[str, Any], course: dict[str, Any]) -> None:
        async with self.step("An e-learning is completed and proved by a certificate") as say:
            enrolled = await self.enroll(partner["admin_email"], person, course, "associated")
            holds(enrolled["state"] == "confirmed", "the e-learning is confirmed")
            path = f"/v1/learnings/{enrolled['enrollment_id']}/complete"

            async def complete() -> bool:
                answer = await self.tandem.call("POST", "academy", path, by=person["email"])
                return bool(answer.is_success)

            await self.until(complete, "the academy opened the course")

            async def certificate() -> Any:
                found = await self.tandem.get("academy", "/v1/certificates", person_id=person["person_id"])
                return next((c for c in found["items"] if c["course_id"] == course["course_id"]), None)

            issued = await self.until(certificate, "the certificate")
            pdf = ok(await self.tandem.call("GET", "academy", f"/v1/certificates/{issued['number']}.pdf"))
            self.build.mkdir(parents=True, exist_ok=True)
            file = self.build / "certificate.pdf"
            file.write_bytes(pdf.content)
            page = f"{self.tandem.urls['academy']}/certificates/{issued['number']}"
            ok(await self.tandem.http.get(page))
            await self.in_state(enrolled["enrollment_id"], "completed")
            say(
                f"certificate {issued['number']}: {file.name} ({len(pdf.content) // 1024} kB), verified by anyone at {page}"
            )

    # -- many at once --------------------------------------------------------------------------------

    async def class_of(self, partner: dict[str, Any], course: dict[str, Any], people: list[str]) -> dict[str, Any]:
        """A class in one call: until everybody is confirmed or refused. Returns the batch and its enrollments."""
        async with self.step(f"A class of {len(people):,} people on one course, in one call") as say:
            before = await self.wallet(partner["partner_id"])
            asked_at = datetime.now(UTC)
            body = {"course_id": course["course_id"], "person_ids": people}
            batch = await self.tandem.post("enrollment", "/v1/enrollment-batches", body, by=partner["admin_email"])
            path = f"/v1/enrollment-batches/{batch['batch_id']}"

            async def decided() -> dict[str, Any] | None:
                now: dict[str, Any] = await self.tandem.get("enrollment", path, by=partner["admin_email"])
                return now if now["state"] == "done" and not now["undecided"] else None

            batch = await self.until(decided, "the class", within_s=120)
            took = (datetime.now(UTC) - asked_at).total_seconds()
            after = await self.wallet(partner["partner_id"])
            waits = await self.waits(batch["batch_id"], course["course_id"], asked_at)
            confirmed, refused = batch["enrollments"].get("confirmed", 0), batch["enrollments"].get("refused", 0)
            say(
                f"{course['title']} · {confirmed:,} confirmed · {refused:,} refused · {batch['failed']} without a place"
            )
            say(f"{took:.1f} s from the call to the last outcome, {len(people) / took:,.0f} people a second")
            holds(confirmed + refused + batch["failed"] == len(people), "everybody has an outcome")
            price = course["credits"]["general_value"]
            holds(before["available"] - after["available"] == confirmed * price, "each confirmed place was paid once")
        return {"confirmed": confirmed, "refused": refused, "before": before, "after": after, "waits": waits}

    async def waits(self, batch_id: str, course_id: str, asked_at: datetime) -> list[float]:
        """Seconds from the call to each outcome, in order."""
        found: list[float] = []
        answer = ok(
            await self.tandem.call(
                "GET", "enrollment", "/v1/enrollments", params={"course_id": course_id, "limit": "200"}
            )
        )
        while True:
            for enrollment in answer.json()["items"]:
                at = enrollment["confirmed_at"] or enrollment["ended_at"]
                if enrollment["batch_id"] == batch_id and at:
                    found.append((datetime.fromisoformat(at) - asked_at).total_seconds())
            if "next" not in answer.links:
                return sorted(found)
            at = answer.links["next"]["url"].removeprefix(self.tandem.urls["enrollment"])
            answer = ok(await self.tandem.call("GET", "enrollment", at))
