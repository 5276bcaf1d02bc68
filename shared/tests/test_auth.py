"""Who is let in, for which tenant, with which roles; and what happens while the issuer is away."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import time_machine
from fastapi import Request
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from sqlalchemy import select, text

from kit.auth import (
    Authenticator,
    Caller,
    Grant,
    Needs,
    Role,
    SignedIn,
    TokenRefused,
    emails_of,
    grants,
    keep_grants,
    needs,
    on_access_changed,
)
from kit.db import Session
from kit.http import Db, Router, begin, outcome
from kit.tables import audit
from kit.testing import eventually
from schemas.access import AccessChanged
from shared.tests.sample import CUSTOMER, ISSUER, OTHER, PARTNER, Issuer, Sample, sample, settings, urls  # noqa: F401
from stack.databases import Urls

router = Router()


@router.get("/v1/me")
async def get_me(caller: Caller) -> dict[str, Any]:
    return {"actor": caller.actor, "roles": sorted(caller.roles), "tenant": caller.tenant, "name": caller.name}


@router.get("/v1/who")
async def get_who(who: SignedIn) -> str:
    return who.subject


@router.post("/v1/money", dependencies=[needs("finance", "admin")])
async def post_money(caller: Caller, db: Db) -> bool:
    return caller.is_platform


@router.post("/v1/customers-own", dependencies=[needs("customer_admin")])
async def post_customers_own(caller: Caller, db: Db) -> str:
    return caller.tenant


@router.post("/v1/customers-outcome", dependencies=[needs("customer_admin")])
async def post_customers_outcome(request: Request, caller: Caller) -> str:
    """Answers after the commit, having looked for the outcome in a transaction of its own."""
    async with begin(request, caller):
        pass

    async def read(db: Session) -> str:
        return str(await db.scalar(text("select current_setting('tandem.tenant')")))

    return await outcome(request, caller, "none", 0, read, bool)


@pytest.fixture(scope="module")
async def service(urls: Urls) -> AsyncIterator[Sample]:  # noqa: F811
    async with sample(urls, router) as running:
        yield running


async def me(service: Sample, token: str | None, **headers: str) -> httpx.Response:
    async with service.client(token, **headers) as client:
        return await client.get("/v1/me")


def someone() -> str:
    return f"{uuid4().hex}@a.example"


# -- tokens ---------------------------------------------------------------------------------------------


async def test_no_token_is_no_entry(service: Sample) -> None:
    answer = await me(service, None)

    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/not-signed-in")
    assert answer.headers["www-authenticate"] == 'Bearer realm="tandem"'
    assert (await me(service, None, Authorization="Basic eDp5")).status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"exp": None},
        {"exp": 1},
        {"exp": "soon"},
        {"nbf": 4_000_000_000},
        {"iss": ["https://issuer.example"]},
    ],
    ids=str,
)
async def test_a_token_with_wrong_claims_is_refused(service: Sample, wrong: dict[str, Any]) -> None:
    answer = await me(service, service.issuer.token("root@tandem.example", **wrong))

    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/token-refused")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_token_for_several_audiences_is_accepted(service: Sample) -> None:
    token = service.issuer.token("root@tandem.example", aud=["another", "tandem"])

    assert (await me(service, token)).status_code == 200


def claims(**more: Any) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": "tandem",
        "sub": "x",
        "exp": int(time.time()) + 60,
        "email": "root@tandem.example",
        "email_verified": True,
        **more,
    }


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(alg: str) -> str:
    return f"{b64(json.dumps({'alg': alg, 'kid': 'one'}).encode())}.{b64(json.dumps(claims()).encode())}"


async def test_only_the_issuers_signature_counts(service: Sample) -> None:
    foreign = RSAKey.generate_key(2048, private=True)
    own = service.issuer.key
    signed = service.issuer.token("root@tandem.example").split(".")
    # Signed with the public key as if it were a shared secret.
    confused = hmac.digest(own.as_pem(private=False), unsigned("HS256").encode(), "sha256")
    forged = [
        jwt.encode({"alg": "RS256", "kid": "one"}, claims(), foreign),
        jwt.encode({"alg": "RS512", "kid": "one"}, claims(), own, algorithms=["RS512"]),
        f"{unsigned('HS256')}.{b64(confused)}",
        f"{unsigned('none')}.",
        f"{unsigned('RS256')}.{signed[2]}",
        f"{signed[0]}.{signed[1]}.{signed[2][:-4]}AAAA",
        ".".join([*signed, "x"]),
        "x",
    ]

    assert [(await me(service, token)).status_code for token in forged] == [401] * len(forged)


async def test_elliptic_keys_and_pss_are_accepted(service: Sample) -> None:
    curve = ECKey.generate_key("P-256", parameters={"kid": "ec"}, private=True)
    service.issuer.published.append(curve)
    fresh = Authenticator(service.settings, service.issuer.client())
    for key, head in ((curve, {"alg": "ES256", "kid": "ec"}), (service.issuer.key, {"alg": "PS256", "kid": "one"})):
        token = jwt.encode(head, claims(), key, algorithms=["ES256", "PS256"])
        assert (await fresh.identify(token)).subject == "x"
    await fresh.close()


async def test_an_expired_token_is_refused_though_it_was_accepted_before(service: Sample) -> None:
    token = service.issuer.token("root@tandem.example", exp=int(time.time()) + 100)
    assert (await me(service, token)).status_code == 200
    with time_machine.travel(time.time() + 125, tick=True):
        assert (await me(service, token)).status_code == 200  # clocks may differ by 30 s
    with time_machine.travel(time.time() + 131, tick=True):
        assert (await me(service, token)).status_code == 401


_never_asked = Authenticator(
    settings(Urls("postgresql://x/x", "postgresql://x/x", "postgresql://x/x")), Issuer().client()
)


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[\w-]{0,20}\.[\w-]{0,20}\.[\w-]{0,20}", fullmatch=True)))
async def test_no_text_breaks_the_reader_of_tokens(text: str) -> None:
    with pytest.raises(TokenRefused):
        await _never_asked.identify(text)


# -- the issuer away --------------------------------------------------------------------------------------


@pytest.fixture
async def apart(service: Sample) -> AsyncIterator[tuple[Issuer, Authenticator]]:
    """An issuer and an authenticator that has not asked it yet."""
    issuer = Issuer()
    made = Authenticator(service.settings, issuer.client())
    yield issuer, made
    await made.close()


async def test_keys_once_known_work_while_the_issuer_is_down(apart: tuple[Issuer, Authenticator]) -> None:
    issuer, authenticator = apart
    await authenticator.identify(issuer.token("a@a.example"))
    issuer.down = True

    assert (await authenticator.identify(issuer.token("b@a.example"))).email == "b@a.example"


async def test_without_keys_nobody_can_be_told_from_a_stranger(service: Sample) -> None:
    service.issuer.down = True
    kept, service.auth = service.auth, Authenticator(service.settings, service.issuer.client())
    answer = await me(service, service.issuer.token("root@tandem.example"))
    await service.auth.close()
    service.issuer.down, service.auth = False, kept

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/issuer-unreachable")
    assert answer.headers["retry-after"] == "2"


async def test_a_new_key_is_fetched_and_made_up_ones_do_not_hammer_the_issuer(
    apart: tuple[Issuer, Authenticator], monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, authenticator = apart
    await authenticator.identify(issuer.token("a@a.example"))
    issuer.key = RSAKey.generate_key(2048, parameters={"kid": "two"}, private=True)
    issuer.published.append(issuer.key)
    with pytest.raises(TokenRefused):  # asked a moment ago
        await authenticator.identify(issuer.token("a@a.example"))
    monkeypatch.setattr("kit.auth.KEYS_ASKED_AGAIN_S", 0.0)
    await authenticator.identify(issuer.token("a@a.example"))
    monkeypatch.setattr("kit.auth.KEYS_ASKED_AGAIN_S", 10.0)
    asked = issuer.asked
    for n in range(20):
        with pytest.raises(TokenRefused):
            await authenticator.identify(jwt.encode({"alg": "RS256", "kid": f"made up {n}"}, claims(), issuer.key))

    assert asked == 4
    assert issuer.asked == asked


async def test_many_at_once_ask_the_issuer_once(apart: tuple[Issuer, Authenticator]) -> None:
    issuer, authenticator = apart
    await asyncio.gather(*(authenticator.identify(issuer.token(f"p{n}@a.example")) for n in range(20)))

    assert issuer.asked == 2  # where the keys are, and the keys


# -- grants -----------------------------------------------------------------------------------------------


async def test_a_grant_by_verified_address_counts_until_it_is_bound_to_a_subject(service: Sample) -> None:
    email = someone()
    token = await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), email.upper())
    unverified = service.issuer.token(email, email_verified=False)

    assert (await me(service, unverified)).status_code == 403
    assert (await me(service, token)).json() == {
        "actor": f"user:sub-{email.upper()}",
        "roles": ["partner_admin"],
        "tenant": f"partner/{PARTNER}",
        "name": None,
    }


async def test_a_grant_by_address_belongs_to_whoever_signed_in_first(service: Sample) -> None:
    email, moved = someone(), someone()
    token = await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), email)
    heir = service.issuer.token(email, sub="who got the address later")

    assert (await me(service, token)).status_code == 200
    assert (await me(service, heir)).status_code == 403

    await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), email)  # a newer version, with the same address
    service.auth._grants.clear()
    assert (await me(service, heir)).status_code == 403
    assert (await me(service, token)).status_code == 200

    row = Grant(f"{email} {Role.PARTNER_ADMIN} {('partner', PARTNER)}", time.time_ns(), Role.PARTNER_ADMIN,
                "partner", PARTNER, moved)  # fmt: skip
    async with service.database.worker.begin() as db:
        await keep_grants(db, "tests", [row])  # the person has another address now
    service.auth._grants.clear()
    assert (await me(service, service.issuer.token(moved, sub="sub-anything"))).status_code == 200
    assert (await me(service, token)).status_code == 403


async def test_two_with_one_address_never_both_get_in(service: Sample) -> None:
    email = someone()
    await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), email)
    tokens = [service.issuer.token(email, sub=f"{n} of {email}") for n in range(6)]

    answers = await asyncio.gather(*(me(service, token) for token in tokens))

    assert sorted(a.status_code for a in answers) == [200, *[403] * 5]


async def test_a_bound_grant_counts_for_its_issuer_and_subject_only(service: Sample) -> None:
    email = someone()
    await service.grant(Role.HR, ("customer", CUSTOMER), email, issuer=ISSUER, subject="s-1")
    other_issuer = someone()
    await service.grant(Role.HR, ("customer", CUSTOMER), other_issuer, issuer="https://elsewhere", subject="s-9")

    assert (await me(service, service.issuer.token(sub="s-1"))).json()["roles"] == ["hr"]
    assert (await me(service, service.issuer.token(email, sub="s-2"))).status_code == 403
    assert (await me(service, service.issuer.token(other_issuer, sub="s-9"))).status_code == 403


async def test_a_program_without_address_acts_by_its_subject(service: Sample) -> None:
    await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), None, issuer=ISSUER, subject="robot-7")  # type: ignore[arg-type]
    answer = await me(service, service.issuer.token(sub="robot-7"))

    assert answer.json()["actor"] == "user:robot-7"


async def test_the_first_platform_admin_comes_from_the_settings(service: Sample) -> None:
    root = service.issuer.token("ROOT@tandem.example")
    pretender = service.issuer.token("root@tandem.example", email_verified=False)

    assert (await me(service, root)).json()["roles"] == ["admin"]
    assert (await me(service, pretender)).status_code == 403


async def test_nobody_may_do_anything_without_a_grant_but_say_who_they_are(service: Sample) -> None:
    token = service.issuer.token(someone(), sub="newcomer")
    async with service.client(token) as client:
        who = await client.get("/v1/who")

    assert (await me(service, token)).json()["type"] == "/problems/not-granted"
    assert (who.status_code, who.json()) == (200, "newcomer")


async def test_of_several_tenants_one_is_named(service: Sample) -> None:
    email = someone()
    await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), email)
    await service.grant(Role.MANAGER, ("customer", OTHER), email)
    token = await service.grant(Role.HR, ("customer", OTHER), email)
    unnamed = await me(service, token)
    named = await me(service, token, **{"Tandem-Tenant": f"customer/{OTHER}"})
    foreign = await me(service, token, **{"Tandem-Tenant": f"supplier/{OTHER}"})

    assert (unnamed.status_code, unnamed.json()["type"]) == (400, "/problems/tenant-not-named")
    assert unnamed.json()["tenants"] == [f"customer/{OTHER}", f"partner/{PARTNER}"]
    assert named.json()["roles"] == ["hr", "manager"]
    assert (foreign.status_code, foreign.json()["type"]) == (403, "/problems/not-granted")


@pytest.mark.parametrize("header", ["customer", "customer/7", "planet/" + str(PARTNER), "platform/" + str(PARTNER), ""])
async def test_a_tenant_that_is_none_is_refused(service: Sample, header: str) -> None:
    answer = await me(service, service.issuer.token("root@tandem.example"), **{"Tandem-Tenant": header})

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/tenant-not-understood")


async def test_a_route_is_for_its_roles_only(service: Sample) -> None:
    hr = await service.grant(Role.HR, ("customer", CUSTOMER), someone())
    async with service.client(hr) as client:
        refused = await client.post("/v1/money")
    async with service.client(service.issuer.token("root@tandem.example")) as client:
        allowed = await client.post("/v1/money")

    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/role-missing")
    assert refused.json()["roles"] == ["admin", "finance"]
    assert (allowed.status_code, allowed.json()) == (200, True)


def test_the_roles_of_a_route_can_be_read_off_it() -> None:
    matrix = {
        route.path: set().union(*(d.dependency.roles for d in route.dependencies if isinstance(d.dependency, Needs)))
        for route in router.routes
        if isinstance(route, APIRoute)
    }

    assert matrix == {
        "/v1/me": set(),
        "/v1/who": set(),
        "/v1/money": {"admin", "finance"},
        "/v1/customers-own": {"customer_admin"},
        "/v1/customers-outcome": {"customer_admin"},
    }
    with pytest.raises(ValueError, match="emperor"):
        needs("emperor")


@pytest.mark.parametrize("path", ["/v1/customers-own", "/v1/customers-outcome"])
async def test_a_partners_admin_acts_for_its_customers_on_record_once(service: Sample, path: str) -> None:
    email, stranger = someone(), someone()
    mine = await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), email)
    theirs = await service.grant(Role.PARTNER_ADMIN, ("partner", OTHER), stranger)
    header = {"Tandem-Tenant": f"customer/{CUSTOMER}"}
    async with service.client(mine, **header) as client:
        acted = await client.post(path)
    async with service.client(theirs, **header) as client:
        refused = await client.post(path)
    async with service.database.worker() as db:
        acts = select(audit).where(audit.c.subject == f"customer/{CUSTOMER}", audit.c.actor.contains(email))
        record = (await db.execute(acts)).all()

    assert (acted.status_code, acted.json()) == (200, f"customer/{CUSTOMER}")
    assert refused.status_code == 403
    assert [(r.actor, r.action) for r in record] == [(f"user:sub-{email} of partner/{PARTNER}", "customer.acted_for")]


def access(email: str, version: int, **more: Any) -> AccessChanged:
    said = {"role": "hr", "tenant_kind": "customer", "tenant_id": CUSTOMER, "email": email, "name": "Ann"}
    return AccessChanged(**{"grant_id": UUID(int=77), "version": version, **said, **more})


async def test_grants_are_copied_within_a_second_and_the_newest_version_wins(service: Sample) -> None:
    email = someone()
    token = service.issuer.token(email)

    async def roles() -> list[str]:
        answer = await me(service, token)
        return list(answer.json()["roles"]) if answer.status_code == 200 else []

    async def granted() -> bool:
        return await roles() == ["hr"]

    async def revoked() -> bool:
        return await roles() == []

    assert await revoked()
    async with service.database.worker.begin() as db:
        await on_access_changed.run(db, [access(email.upper(), 2), access(email, 1, role="manager")])
    await eventually(granted, within_s=1)
    async with service.database.worker.begin() as db:
        await on_access_changed.run(db, [access(email, 4, status="revoked"), access(email, 3)])
    await eventually(revoked, within_s=1)


async def test_an_erased_grant_keeps_nothing_of_the_person(service: Sample) -> None:
    erased = AccessChanged(
        grant_id=UUID(int=77), version=9, role="hr", tenant_kind="customer", tenant_id=CUSTOMER, status="erased"
    )
    async with service.database.worker.begin() as db:
        await on_access_changed.run(db, [access("ann@a.example", 8), erased])
        row = (await db.execute(select(grants).where(grants.c.grant_id == UUID(int=77)))).one()

    assert (row.status, row.email, row.name, row.subject) == ("erased", None, None, None)


async def test_the_addresses_of_a_tenants_admins_are_known(service: Sample) -> None:
    one, two = uuid4(), uuid4()
    rows = [
        Grant(f"{n}", 1, role, "partner", partner, email, status=status)
        for n, (role, partner, email, status) in enumerate(
            [
                (Role.PARTNER_ADMIN, one, "B@x.example", "active"),
                (Role.PARTNER_ADMIN, one, "a@x.example", "active"),
                (Role.PARTNER_ADMIN, one, "gone@x.example", "revoked"),
                (Role.MANAGER, one, "m@x.example", "active"),
                (Role.PARTNER_ADMIN, two, None, "active"),
            ]
        )
    ]
    async with service.database.worker.begin() as db:
        await keep_grants(db, "addresses", rows)
        assert await emails_of(db, Role.PARTNER_ADMIN, [one, two]) == {one: ["a@x.example", "b@x.example"]}
        assert await emails_of(db, Role.MANAGER, [one, two]) == {one: ["m@x.example"]}
