"""What the services log says nothing of people, and holds no key to anything."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from stack import processes
from stack.client import link_in, ok
from stack.processes import SERVICES
from tests.suite import Suite


@pytest.fixture
async def suite(running: processes.Suite) -> AsyncIterator[Suite]:
    suite = Suite(running)
    yield suite
    await suite.aclose()


async def test_no_address_name_token_or_link_is_in_any_log(suite: Suite) -> None:
    mark = uuid4().hex[:12]
    partner = await suite.partner(credits=10)
    customer = await suite.customer(partner=partner)
    course = await suite.course(credits=4)
    at = {"customer_id": customer["customer_id"]}
    lead = await suite.person(**at, name=f"Lea {mark}", email=f"lea.{mark}@people.example", roles=["manager"])
    person = await suite.person(
        **at, name=f"Pia {mark}", email=f"pia.{mark}@people.example", manager_id=lead["person_id"]
    )
    await suite.settle()
    made = ok(await suite.enroll(person, course, "requested", by=person["email"])).json()
    await suite.settle()
    link = link_in(await suite.mail(to=lead["email"]))
    token = link.rpartition("/")[2]
    assert (await suite.press(link, "approve")).status_code == 200
    assert (await suite.press(link, "approve")).status_code in (200, 409)
    await suite.settle()

    # And what goes wrong: refused, twice the same, unreadable, too much, unknown; with everything private in it.
    taken = await suite.call(
        "POST", "enrollment", "/v1/people", {"name": person["name"], "email": person["email"], **at, "language": "en"}
    )
    assert taken.status_code == 409
    for path in (f"/v1/people?email={person['email']}", f"/links/{token}x", f"/links/{token}/{person['email']}"):
        await suite.call("GET", "enrollment", path)
    for content in (f'{{"email": "{person["email"]}"', f'{{"name": "\\u0000 {mark}"}}', mark * (1 << 17)):
        await suite.call(
            "POST", "enrollment", "/v1/people", headers={"Content-Type": "application/json"}, content=content
        )
    forged = await suite.token(person["email"])
    await suite.http.get(f"{suite.urls['billing']}/v1/wallets", headers={"Authorization": f"Bearer {forged[:-4]}AAAA"})
    await suite.post("enrollment", f"/v1/people/{person['person_id']}/erase")
    await suite.settle()
    assert made["enrollment_id"]

    secret = suite.processes.service("enrollment").env["LINK_SECRET"]
    private = [mark, token, forged, secret, "postgresql://", partner["admin"], customer["admin"]]
    for name in SERVICES:
        for process in suite.processes.service(name).processes:
            said = process.log.read_text()
            assert said
            assert [text for text in private if text in said] == [], name
