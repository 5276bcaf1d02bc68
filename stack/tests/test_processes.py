"""The suite as processes: started, split, killed, stopped; and `up`, `down`, `status` around it."""

import os
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from stack import daemon
from stack.daemon import DidNotStart, PortTaken
from stack.parts import Parts
from stack.places import ROOT, free_port
from stack.processes import Suite, suite


def shop(_: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("shop.py"))]


def page(url: str) -> str:
    with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
        return str(answer.read().decode())


@pytest.fixture
def deeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file where the shop's processes write what they did."""
    monkeypatch.setenv("SHOP_DEEDS", str(tmp_path / "deeds"))
    return tmp_path / "deeds"


def test_a_service_is_prepared_run_and_drained(own_parts: Parts, tmp_path: Path, deeds: Path) -> None:
    with suite(tmp_path / "suite", ["shop"], parts=own_parts, command=shop) as tandem:
        assert page(tandem.service("shop").url) == "all "

    prepared, ran, drained = deeds.read_text().splitlines()
    assert prepared == "prepare on tandem_shop"
    assert (ran, drained) == ("all ran", "all drained")
    assert daemon.running_in(tmp_path / "suite") == {}


def test_roles_are_processes_of_their_own(own_parts: Parts, tmp_path: Path, deeds: Path) -> None:
    roles = {"shop": ["api", "worker", "worker"]}
    with suite(tmp_path / "suite", ["shop"], roles, parts=own_parts, command=shop) as tandem:
        service = tandem.service("shop")
        names = [process.name for process in service.processes]
        assert names == ["shop-api", "shop-worker", "shop-worker-2"]
        assert page(service.url) == "api "

        service.process("worker", 2).kill9()

        assert service.process("worker", 2).process is None
        assert page(service.process("worker").url) == "worker "
        service.start()
        assert page(service.process("worker", 2).url) == "worker "

    done = Counter(deeds.read_text().splitlines())
    assert (done["api ran"], done["worker ran"]) == (1, 3)
    assert (done["api drained"], done["worker drained"]) == (1, 2)


def test_a_killed_service_comes_back_at_its_address_with_another_setting(
    own_parts: Parts, tmp_path: Path, deeds: Path
) -> None:
    with suite(tmp_path / "suite", ["shop"], parts=own_parts, command=shop) as tandem:
        service = tandem.service("shop")
        url = service.url

        service.kill9()
        with pytest.raises(OSError, match="refused"):
            page(url)
        service.process().env["SHOP_WORD"] = "again"
        service.start()

        assert page(url) == "all again"
    assert deeds.read_text().count("drained") == 1


def test_a_suite_gives_tokens_and_takes_mail(own_parts: Parts, tmp_path: Path) -> None:
    with suite(tmp_path / "suite", [], parts=own_parts) as tandem:
        assert len(tandem.token(persona="admin").split(".")) == 3
        with socket.create_connection(("127.0.0.1", tandem.smtp_port), timeout=10) as smtp:
            assert smtp.recv(3) == b"220"


def test_a_service_may_join_later(own_parts: Parts, tmp_path: Path, deeds: Path) -> None:
    with suite(tmp_path / "suite", [], parts=own_parts, command=shop) as tandem:
        assert not deeds.exists()

        tandem.add("shop")

        assert page(tandem.service("shop").url) == "all "


def test_a_command_that_fails_is_named_with_its_words_and_nothing_stays(
    own_parts: Parts, tmp_path: Path, deeds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_FAILS", "prepare")

    with (
        pytest.raises(DidNotStart, match=r"(?s)shop cannot be prepared.*shop prepare went wrong"),
        suite(tmp_path / "suite", ["shop"], parts=own_parts, command=shop),
    ):
        pytest.fail("the suite started")

    assert daemon.running_in(tmp_path / "suite") == {}


def test_a_port_somebody_else_holds_is_named(own_parts: Parts, tmp_path: Path, deeds: Path) -> None:
    tandem = Suite(tmp_path / "suite", own_parts, base_port=free_port(), command=shop)
    with socket.create_server(("127.0.0.1", tandem.mail.port)):
        with pytest.raises(PortTaken, match=f"mail needs port {tandem.mail.port}"):
            tandem.start([])
        tandem.stop()


@pytest.mark.timeout(400)  # Two whole starts of a real service; seconds when the machine is free.
def test_everything_comes_up_again_after_a_crash_of_the_machine(tmp_path: Path) -> None:
    home, base = tmp_path / "home", str(free_port())
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def stack(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stack", "--home", str(home), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    try:
        first = stack("up", "--base-port", base, "contracts")
        assert first.returncode == 0, first.stderr
        before = daemon.running_in(home)
        assert set(before) == {"postgres", "kafka", "issuer", "mail", "contracts"}
        assert f"http://127.0.0.1:{int(base) + 4}" in first.stdout

        for process in before.values():  # All at once and without a word.
            daemon.kill_tree(process)
        assert stack("status").returncode == 3
        again = stack("up", "--base-port", base, "contracts")

        assert again.returncode == 0, again.stderr
        after = daemon.running_in(home)
        assert set(after) == set(before)
        third = stack("up", "--base-port", base, "contracts")  # Nothing to do.
        assert third.returncode == 0, third.stderr
        assert {name: p.pid for name, p in daemon.running_in(home).items()} == {n: p.pid for n, p in after.items()}
    finally:
        down = stack("down")
    assert "Traceback" not in (home / "logs" / "contracts.log").read_text()
    assert down.stdout == "stopped contracts, issuer, kafka, mail, postgres\n"
    assert daemon.running_in(home) == {}
