"""Signing in at a real provider: Keycloak's tokens, its keys when they change, and what is no token of ours."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from kit.auth import KEYS_ASKED_AGAIN_S
from kit.testing import eventually
from stack import keycloak, processes
from stack.keycloak import Keycloak, claims, kid
from tests.suite import Suite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def provider(request: pytest.FixtureRequest) -> Iterator[Keycloak]:
    """The one test that may be skipped, and only where its provider is not to be had."""
    try:
        keycloak.fetched()
    except keycloak.NotFetched as why:
        pytest.skip(str(why))
    with keycloak.running(request.config.rootpath / ".stack" / "keycloak") as running:
        yield running


@pytest.fixture(scope="module")
async def contracts(request: pytest.FixtureRequest, parts: Any, provider: Keycloak) -> AsyncIterator[Suite]:
    at = request.config.rootpath / ".stack" / "provider"
    with processes.suite(at, ["contracts"], parts=parts, env={"OIDC_ISSUER": provider.issuer}) as running:
        suite = Suite(running)
        yield suite
        await suite.aclose()


async def asked(suite: Suite, token: str, path: str = "/v1/partners", **headers: str) -> httpx.Response:
    return await suite.http.get(
        f"{suite.urls['contracts']}{path}", headers={"Authorization": f"Bearer {token}", **headers}
    )


async def told(suite: Suite, token: str, path: str, body: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(time.time_ns())}
    answer = await suite.http.post(f"{suite.urls['contracts']}{path}", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


def signed_in(provider: Keycloak, name: str, client: str = "portal") -> str:
    return provider.token(client, username=name, password=f"{name}-password")


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


async def test_users_and_systems_of_a_real_provider_sign_in_and_hold_what_they_were_granted(
    contracts: Suite, provider: Keycloak
) -> None:
    root = signed_in(provider, "root")
    partner = await told(contracts, root, "/v1/partners", {"name": "Keyed", "wallet": False, "language": "en"})
    at = f"/v1/partners/{partner['partner_id']}"
    await told(contracts, root, f"{at}/admins", {"email": "ada@partner.example", "name": "Ada"})
    await told(contracts, root, f"{at}/admins", {"email": "victim@partner.example", "name": "Vic"})
    system = provider.token("partner-system", "partner-secret")
    grant = {"role": "partner_admin", "tenant_kind": "partner", "tenant_id": partner["partner_id"],
             "issuer": provider.issuer, "subject": claims(system)["sub"], "name": "Their system"}  # fmt: skip
    await told(contracts, root, "/v1/grants", grant)
    ada = signed_in(provider, "ada")

    async def let_in() -> bool:
        return {(await asked(contracts, token, at)).status_code for token in (ada, system)} == {200}

    await eventually(let_in, within_s=60)
    mallory = signed_in(provider, "mallory")  # has given an address that is not verified
    assert claims(mallory)["email"] == "victim@partner.example"
    assert refusal(await asked(contracts, mallory)) == (403, "not-granted")

    # Ada leaves; the provider gives her address to somebody else. The address was hers only until she signed in.
    (user,) = provider.admin("GET", "/users?username=ada&exact=true")
    provider.admin("DELETE", f"/users/{user['id']}")
    (user,) = provider.admin("GET", "/users?username=mallory&exact=true")
    provider.admin("PUT", f"/users/{user['id']}", user | {"email": "ada@partner.example", "emailVerified": True})
    heir = signed_in(provider, "mallory")
    assert claims(heir)["email"] == "ada@partner.example"
    assert refusal(await asked(contracts, heir)) == (403, "not-granted")


async def test_no_other_token_is_taken(contracts: Suite, provider: Keycloak) -> None:
    good = signed_in(provider, "root")
    head, body, signature = good.split(".")
    other = signed_in(provider, "root", client="elsewhere")  # for another audience
    foreign = provider.token("admin-cli", realm="master", **keycloak.ADMIN)  # another realm's: another issuer
    mixed = ".".join([head, signed_in(provider, "mallory").split(".")[1], signature])
    flipped = ".".join([head, body, signature[:20] + ("A" if signature[20] != "A" else "B") + signature[21:]])

    assert (await asked(contracts, good)).status_code == 200
    for token in (other, foreign, mixed, flipped, f"{head}.{body}.", "x.y.z"):
        assert refusal(await asked(contracts, token)) == (401, "token-refused"), (
            claims(token)
            if token
            in (
                other,
                foreign,
            )
            else token
        )


async def test_a_token_ends_when_the_provider_says(contracts: Suite, provider: Keycloak) -> None:
    brief = signed_in(provider, "root", client="portal-brief")
    assert (await asked(contracts, brief)).status_code == 200  # and it is known from here on

    async def ended() -> bool:
        return (await asked(contracts, brief)).status_code == 401

    await eventually(ended, within_s=90, every_s=0.5)
    assert time.time() >= claims(brief)["exp"]


async def test_keys_change_and_a_withdrawn_one_opens_nothing(contracts: Suite, provider: Keycloak) -> None:
    before, unseen = signed_in(provider, "root"), signed_in(provider, "root")
    assert (await asked(contracts, before)).status_code == 200

    provider.rotate(200)
    after = signed_in(provider, "root")
    assert kid(after) != kid(before)

    async def accepted() -> bool:
        return (await asked(contracts, after)).status_code == 200

    # The issuer is asked for an unknown key at once, unless it was asked in the last ten seconds.
    await eventually(accepted, within_s=KEYS_ASKED_AGAIN_S + 60, every_s=0.5)
    assert (await asked(contracts, before)).status_code == 200  # the former key is published still

    provider.withdraw(kid(before))
    provider.rotate(300)
    newest = signed_in(provider, "root")

    async def newest_accepted() -> bool:
        return (await asked(contracts, newest)).status_code == 200

    await eventually(newest_accepted, within_s=KEYS_ASKED_AGAIN_S + 60, every_s=0.5)
    assert refusal(await asked(contracts, unseen)) == (401, "token-refused")
    assert (await asked(contracts, after)).status_code == 200
