"""The development issuer: tokens anybody can verify with nothing but its address."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from stack.places import ROOT, free_port
from stack.processes import Process


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Process]:
    port = free_port()
    command = [sys.executable, "-m", "stack.issuer", "--url", f"http://127.0.0.1:{port}"]
    process = Process(
        "issuer", tmp_path, [*command, "--key", f"{tmp_path}/key.json"], port, env={"PYTHONPATH": str(ROOT)}
    )
    process.start()
    yield process
    process.stop()


def asked(issuer: Process, **form: str) -> dict[str, Any]:
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{issuer.url}/token", body, timeout=10) as answer:
        return dict(json.load(answer))


def verified(issuer: Process, token: str) -> dict[str, Any]:
    """The claims, after what any service does: discovery, keys, signature."""
    with urllib.request.urlopen(f"{issuer.url}/.well-known/openid-configuration", timeout=10) as answer:
        found = json.load(answer)
    assert found["issuer"] == issuer.url
    with urllib.request.urlopen(found["jwks_uri"], timeout=10) as answer:
        keys = json.load(answer)
    assert all("d" not in key for key in keys["keys"])  # The private part stays at home.
    return jwt.decode(token, KeySet.import_key_set(keys), algorithms=["ES256"]).claims


def test_a_personas_token_verifies_and_says_who_it_is(issuer: Process) -> None:
    before = int(time.time())
    answer = asked(issuer, grant_type="client_credentials", persona="admin")

    claims = verified(issuer, answer["access_token"])

    assert answer["token_type"] == "Bearer"
    assert claims["iss"] == issuer.url
    assert claims["aud"] == "tandem"
    assert claims["email"] == "admin@tandem.example"
    assert claims["email_verified"] is True
    assert claims["name"] == "Ada Beheer"
    assert before <= claims["iat"] <= time.time()
    assert claims["exp"] - claims["iat"] == answer["expires_in"]


def test_anybody_with_an_address_is_the_same_person_each_time(issuer: Process) -> None:
    first = verified(issuer, asked(issuer, email="anna@partner.example", name="Anna de Wit")["access_token"])
    again = verified(issuer, asked(issuer, email="Anna@Partner.example", expires_in="60")["access_token"])
    other = verified(issuer, asked(issuer, email="bram@partner.example")["access_token"])

    assert first["name"] == "Anna de Wit"
    assert first["sub"] == again["sub"] != other["sub"]
    assert again["exp"] - again["iat"] == 60


def test_an_address_may_come_unverified(issuer: Process) -> None:
    token = asked(issuer, email="anna@partner.example", email_verified="false")["access_token"]

    assert verified(issuer, token)["email_verified"] is False


def test_a_client_system_has_no_address(issuer: Process) -> None:
    claims = verified(issuer, asked(issuer, client_id="partner-hr")["access_token"])

    assert claims["sub"] == "client/partner-hr"
    assert "email" not in claims


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"persona": "nobody"}, "no persona 'nobody'; there are admin, support, finance, editor"),
        ({}, "give persona=<name>, email=<address> or client_id=<name>"),
        ({"email": "anna"}, "give persona=<name>, email=<address> or client_id=<name>"),
        ({"persona": "admin", "expires_in": "soon"}, "expires_in is a number of seconds"),
        ({"persona": "admin", "expires_in": "-1"}, "expires_in is between 1 and 2592000 seconds"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_the_reason(
    issuer: Process, form: dict[str, str], said: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        asked(issuer, **form)

    assert refused.value.code == 400
    assert json.load(refused.value) == {"error": "invalid_request", "error_description": said}


def test_tokens_outlive_a_restart(issuer: Process) -> None:
    token = asked(issuer, persona="finance")["access_token"]

    issuer.kill9()
    issuer.start()

    assert verified(issuer, token)["email"] == "finance@tandem.example"


def test_its_page_lists_the_personas(issuer: Process) -> None:
    with urllib.request.urlopen(issuer.url, timeout=10) as answer:
        page = answer.read().decode()

    for address in ("admin@tandem.example", "support@tandem.example", "editor@tandem.example"):
        assert address in page


def test_it_does_not_run_outside_a_checkout(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "stack", tmp_path / "stack", ignore=shutil.ignore_patterns("tests"))

    ended = subprocess.run(
        [sys.executable, "-m", "stack.issuer", "--url", "http://127.0.0.1:1", "--key", f"{tmp_path}/key.json"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert "from a checkout of the sources only" in ended.stderr
    assert not (tmp_path / "key.json").exists()
