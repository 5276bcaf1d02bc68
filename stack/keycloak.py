"""Keycloak as somebody else's identity provider: the real program, fetched by Maven and run in its development mode.

with running(Path(".stack/keycloak")) as keycloak:
    keycloak.issuer                                  # what goes into OIDC_ISSUER
    keycloak.token("portal", username=…, password=…) # an access token
    keycloak.rotate()                                # signs with a new key from now on

The realm `tandem` is imported from keycloak-realm.json.
"""

import base64
import json
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from stack import places, tools
from stack.artefacts import run
from stack.daemon import Daemon
from stack.parts import claimed
from stack.places import HOME, free_port
from stack.processes import answers

VERSION = "26.4.5"
REALM = Path(__file__).with_name("keycloak-realm.json")
ADMIN = {"username": "admin", "password": "of-this-test-only"}
START_WITHIN_S = 480.0  # half a minute on a quiet machine


class NotFetched(Exception):
    """Maven could not fetch Keycloak; the message says why."""


@dataclass(frozen=True, slots=True)
class Keycloak:
    """A running Keycloak with the realm `tandem`."""

    url: str

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/tandem"

    def token(self, client: str, secret: str | None = None, realm: str = "tandem", **user: str) -> str:
        """An access token: of the client itself, or of a user who gives it a name and password."""
        form = {"client_id": client, "grant_type": "password" if user else "client_credentials", **user}
        if secret:
            form["client_secret"] = secret
        answer = httpx.post(f"{self.url}/realms/{realm}/protocol/openid-connect/token", data=form, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def admin(self, method: str, path: str, json: Any = None) -> Any:
        """A call to the realm's admin API."""
        headers = {"Authorization": f"Bearer {self.token('admin-cli', realm='master', **ADMIN)}"}
        at = f"{self.url}/admin/realms/tandem{path}"
        answer = httpx.request(method, at, json=json, headers=headers, timeout=60).raise_for_status()
        return answer.json() if answer.content else None

    def rotate(self, priority: int) -> None:
        """Sign with a new key from now on; the ones before are still published."""
        config = {"priority": [str(priority)], "enabled": ["true"], "active": ["true"], "keySize": ["2048"]}
        key = {
            "name": f"key-{priority}",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
        }
        self.admin("POST", "/components", {**key, "config": {**config, "algorithm": ["RS256"]}})

    def withdraw(self, kid: str) -> None:
        """Publish a key no more."""
        (provider,) = {key["providerId"] for key in self.admin("GET", "/keys")["keys"] if key.get("kid") == kid}
        self.admin("DELETE", f"/components/{provider}")


def claims(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    return _part(token, 1)


def kid(token: str) -> str:
    return str(_part(token, 0)["kid"])


def _part(token: str, number: int) -> dict[str, Any]:
    part = token.split(".")[number]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


@contextmanager
def running(directory: Path) -> Iterator[Keycloak]:
    """Keycloak on a free port for the length of a block. Raises NotFetched, tools.Missing, DidNotStart."""
    packed = fetched()
    with claimed(directory) as home:
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(home)
        program = home / f"keycloak-{VERSION}"
        (program / "data/import").mkdir(parents=True)
        shutil.copy(REALM, program / "data/import/tandem-realm.json")
        port, management = free_port(), free_port()
        daemon = Daemon(
            "keycloak",
            home,
            ["bash", str(program / "bin/kc.sh"), "start-dev", "--import-realm", "--db=dev-mem", "--http-host=127.0.0.1",
             f"--http-port={port}", f"--http-management-port={management}"],
            lambda: answers(f"http://127.0.0.1:{port}/realms/tandem/.well-known/openid-configuration"),
            address=f"http://127.0.0.1:{port}",
            port=port,
            env={
                "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN["username"],
                "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN["password"],
                "JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx512m",
            },
            start_within_s=START_WITHIN_S,
        )  # fmt: skip
        try:
            daemon.start()
            yield Keycloak(f"http://127.0.0.1:{port}")
        finally:
            daemon.kill9()  # it keeps nothing, and its start script does not hand a signal on
            shutil.rmtree(program, ignore_errors=True)


def fetched() -> Path:
    """Keycloak's distribution as its makers pack it, from Maven's own cache or the network."""
    tools.java()
    shelf = HOME / "artefacts"
    packed = shelf / f"keycloak-quarkus-dist-{VERSION}.zip"
    with places.locked(shelf / "keycloak.lock"):
        if not packed.exists():
            print(f"stack: fetching Keycloak {VERSION} by Maven, once", file=sys.stderr)
            artefact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
            copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
            try:
                run(tools.maven(), "-q", "-B", copy, f"-Dartifact={artefact}", f"-DoutputDirectory={shelf}")
            except RuntimeError as error:
                raise NotFetched(f"{artefact} cannot be fetched: {error}") from error
    return packed
