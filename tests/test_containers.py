"""The proof in containers: tests again on the official images, then the whole suite by docker compose."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import cast

import pytest

from demo.__main__ import told
from stack import processes
from stack.client import WithMailpit
from stack.composed import Composed, composed
from stack.containers import docker_host
from stack.places import ROOT
from stack.processes import SERVICES
from tests.suite import Suite
from tests.test_crashes import CREDITS, EXPECTED, PEOPLE, PRICE, enroll_everybody, half_way, outcome

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PROJECT = f"tandem-prove-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]}"
OWN_MB_MAX = 300  # Of an image, on top of python's.


class InCompose(WithMailpit, Suite):
    """What tests do with a suite, done with the one of docker-compose.yml."""


@pytest.fixture(scope="module")
def tandem() -> Iterator[Composed]:
    with composed(PROJECT) as tandem:
        yield tandem


@pytest.fixture
async def suite(tandem: Composed) -> AsyncIterator[InCompose]:
    suite = InCompose(cast(processes.Suite, tandem))
    yield suite
    await suite.aclose()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print what a reader of the proof wants to know, whatever pytest captures."""

    def say(what: str) -> None:
        with capsys.disabled():
            print(f"\n{what}", flush=True)  # noqa: T201

    return say


@pytest.mark.parametrize(
    "tests",
    [
        "shared/tests/test_delivery.py",
        "services/billing/tests",
        "services/enrollment/tests",
        "services/catalog/tests",
        "services/contracts/tests",
        "services/academy/tests",
        "tests/test_association.py tests/test_crashes.py",
    ],
)
def test_integration_tests_hold_on_the_official_images(tests: str, say: Callable[[str], None]) -> None:
    docker_host()
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "not slow", *tests.split()],
        cwd=ROOT,
        # Without a java no local Kafka can start by mistake.
        env=os.environ | {"TANDEM_TEST_STACK": "containers", "JAVA_HOME": "/none"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    say(f"on containers, {tests}: {ended.stdout.splitlines()[-1]}")
    status = ended.returncode
    assert status == 0, ended.stdout[-6000:]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_small_as_nobody_on_a_file_system_it_cannot_write(
    tandem: Composed, name: str, say: Callable[[str], None]
) -> None:
    service = tandem.service(name)

    assert service.state()["Health"]["Status"] == "healthy"
    assert service.container.attrs["HostConfig"]["ReadonlyRootfs"]
    assert service.run("id", "-u") == (0, "10001")
    for place in ("/opt/tandem/x", "/home/x", "/x"):
        status, said = service.run("touch", place)
        assert status != 0, place
        assert "Read-only file system" in said
    image, base = (tandem.project.engine.images.get(i).attrs["Size"] for i in (f"tandem-{name}", "python:3.11-slim"))
    say(f"image tandem-{name}: {image / 1e6:.0f} MB, {(image - base) / 1e6:.0f} MB of it on top of python's")
    assert image - base < OWN_MB_MAX * 1e6


async def test_the_database_sorts_as_the_local_one_does(suite: InCompose) -> None:
    (row,) = await suite.rows(
        "catalog", "select datlocprovider, datlocale from pg_database where datname = current_database()"
    )

    assert (row["datlocprovider"], row["datlocale"]) == (b"b", "C.UTF-8")


async def test_a_person_is_enrolled_charged_and_told(suite: InCompose) -> None:
    partner = await suite.partner(credits=4)
    course = await suite.course(credits=4)
    first, second = await suite.person(partner), await suite.person(partner)

    confirmed = await suite.associate(first, course, by=partner["admin"])
    refused = await suite.associate(second, course, by=partner["admin"])

    assert (confirmed.status_code, confirmed.json()["state"]) == (201, "confirmed")
    assert (refused.status_code, refused.json()["state"]) == (201, "refused")
    assert refused.json()["problem"]["reason"] == "not_enough_credits"
    assert (await suite.wallet(partner["partner_id"]))["available"] == 0
    await suite.settle()
    learnings = await suite.rows(
        "academy", "select person_id::text from learnings where course_id = $1", course["course_id"]
    )
    assert [row["person_id"] for row in learnings] == [first["person_id"]]
    told = [m for m in await suite.mails(to=partner["admin"]) if "is empty" in m["subject"]]
    assert len(told) == 1
    assert partner["name"] in told[0]["subject"] + told[0]["text"]


async def test_the_demo_holds(suite: InCompose) -> None:
    await told(dict(suite.urls), suite.issuer, suite.mailbox, WithMailpit)


@pytest.mark.parametrize("victim", ["billing", "kafka", "postgres"])
async def test_a_container_killed_in_the_middle_comes_back_and_loses_nothing(suite: InCompose, victim: str) -> None:
    parts = {"kafka": suite.processes.parts.broker, "postgres": suite.processes.parts.postgres}
    doomed = parts.get(victim) or suite.processes.service(victim)
    partner = await suite.partner(credits=CREDITS)
    course = await suite.course(credits=PRICE)
    people = await asyncio.gather(*(suite.person(partner) for _ in range(PEOPLE)))
    load = asyncio.create_task(enroll_everybody(suite, partner, course, list(people)))
    await half_way(suite, course)

    await asyncio.to_thread(doomed.kill9)
    await asyncio.to_thread(doomed.start)

    await load
    await suite.settle(180)
    assert await outcome(suite, partner, course) == EXPECTED


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_told_to_stop_ends_by_itself(tandem: Composed, name: str) -> None:
    service = tandem.service(name)

    service.stop()  # A SIGKILL, for taking too long, would make the status 137.

    state = service.state()
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False), service.said()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_and_is_ready_while_all_others_and_kafka_are_down(tandem: Composed, name: str) -> None:
    for other in (*tandem.services.values(), tandem.issuer, tandem.mail, tandem.parts.broker):
        other.stop()
    service = tandem.service(name)

    service.start()

    assert service.asked("/readyz")["status"] == "ready"
    service.stop()
    assert service.state()["ExitCode"] == 0, service.said()


async def test_the_main_job_runs_on_a_kafka_with_tls_users_and_rights() -> None:
    with composed(f"{PROJECT}-secure", secure=True) as secured:
        suite = InCompose(cast(processes.Suite, secured))
        partner = await suite.partner(credits=5)
        course, person = await suite.course(credits=4), await suite.person(partner)

        answer = await suite.associate(person, course, by=partner["admin"])
        await suite.settle(120)

        assert answer.json()["state"] == "confirmed", answer.text
        assert suite.kafka.protocol == "SASL_SSL"
        for service in SERVICES:
            ready = secured.service(service).asked("/readyz")
            assert (ready["relay_leads"], ready["kafka"], ready["topics_missing"]) == (True, [], [])
        await suite.aclose()
