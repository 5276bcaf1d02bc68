"""What every answer carries, how often somebody may ask, which browsers may, and what settings are refused."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import time_machine
from fastapi import Request, Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kit import telemetry
from kit.auth import Caller, Role
from kit.http import Router
from kit.rates import KEYS_MAX, Counters, Rate, TooManyRequests, network
from kit.settings import ServiceSettings
from shared.tests.sample import PARTNER, Sample, settings, urls  # noqa: F401
from stack.databases import Urls

router = Router()

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
}


@router.get("/v1/me")
async def get_me(caller: Caller) -> str:
    return caller.tenant


@router.get("/v1/page")
async def get_page(request: Request) -> Response:
    return Response("<p>", media_type="text/html", headers={"Content-Security-Policy": "default-src 'self'"})


@router.get("/v1/broken")
async def get_broken() -> None:
    raise RuntimeError("a mistake of ours")


@asynccontextmanager
async def serving(urls: Urls, **more: Any) -> AsyncIterator[Sample]:  # noqa: F811
    service = Sample(settings(urls).model_copy(update=more), [router])
    try:
        yield service
    finally:
        await service.auth.close()
        await service.database.close()


def from_(service: Sample, address: str, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(service.app, raise_app_exceptions=False, client=(address, 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://sample", headers=headers)


# -- headers ------------------------------------------------------------------------------------------------


async def test_every_answer_carries_the_strict_headers(urls: Urls) -> None:  # noqa: F811
    async with serving(urls, rate_per_address="8/minute") as service, service.client() as client:
        answers = [
            await client.get("/v1/me"),  # 401
            await client.get("/v1/page"),
            await client.get("/v1/nothing"),
            await client.delete("/v1/page"),
            await client.get("/v1/broken"),
            await client.post("/v1/page", content=b"x" * (2 << 20)),
            await client.options("/v1/page", headers={"Origin": "https://evil.example"}),
            await client.head("/v1/page"),
            await client.get("/v1/page"),  # 429
        ]

    assert [a.status_code for a in answers] == [401, 200, 404, 405, 500, 413, 405, 405, 429]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, answer.request.url
        assert answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"]
        assert "access-control-allow-origin" not in answer.headers
    assert answers[1].headers["content-security-policy"] == "default-src 'self'"


async def test_only_who_is_reached_by_https_asks_for_it(urls: Urls) -> None:  # noqa: F811
    async with serving(urls, base_url="http://localhost:8101") as service, service.client() as client:
        assert "strict-transport-security" not in (await client.get("/v1/page")).headers


# -- other web sites ----------------------------------------------------------------------------------------


async def test_browsers_may_call_from_the_sites_that_a_setting_names_and_no_other(urls: Urls) -> None:  # noqa: F811
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}
    async with serving(urls, cors_origins=["https://portal.example"]) as service, service.client() as client:
        asked = await client.options("/v1/page", headers={"Origin": "https://portal.example", **ask})
        evil = await client.options("/v1/page", headers={"Origin": "https://evil.example", **ask})
        read = await client.get("/v1/me", headers={"Origin": "https://portal.example"})
        stolen = await client.get("/v1/page", headers={"Origin": "https://evil.example"})

    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, "https://portal.example")
    assert evil.status_code == 400
    assert "access-control-allow-credentials" not in asked.headers
    assert (read.status_code, read.headers["access-control-allow-origin"]) == (401, "https://portal.example")
    assert "access-control-allow-origin" not in stolen.headers


# -- rates --------------------------------------------------------------------------------------------------


async def test_a_caller_has_a_rate_of_its_own_whatever_token_and_address_it_uses(urls: Urls) -> None:  # noqa: F811
    async with serving(urls, rate_per_caller="3/minute") as service:
        tokens = [await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), "eager@a.example") for _ in range(2)]
        tokens.append(service.issuer.token("eager@a.example", jti="another"))
        other = await service.grant(Role.PARTNER_ADMIN, ("partner", PARTNER), "calm@a.example")
        asked = []
        for n, token in enumerate([*tokens, tokens[0]]):
            async with from_(service, f"192.0.2.{n}", Authorization=f"Bearer {token}") as client:
                asked.append(await client.get("/v1/me"))
        async with from_(service, "192.0.2.1", Authorization=f"Bearer {other}") as client:
            unhindered = await client.get("/v1/me")

    refused = asked[-1]
    assert [a.status_code for a in asked] == [200, 200, 200, 429]
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "/problems/too-many-requests"
    assert 1 <= int(refused.headers["retry-after"]) == refused.json()["retry_after_s"] <= 60
    assert unhindered.status_code == 200


async def test_an_address_is_refused_before_anything_is_looked_at(urls: Urls) -> None:  # noqa: F811
    async with serving(urls, rate_per_address="5/minute") as service:
        async with from_(service, "2001:db8::1") as client:
            known = [(await client.get("/v1/me")).status_code for _ in range(5)]
        async with from_(service, "2001:db8::2", Authorization="Bearer of nothing") as client:
            refused = await client.get("/v1/me")
            alive = await client.get("/healthz")
        async with from_(service, "2001:db8:0:1::1") as client:
            neighbour = await client.get("/v1/me")

    assert known == [401] * 5
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-requests")
    assert refused.json()["instance"] == "/v1/me"
    assert alive.status_code == 404  # the sample has no health routes: it was let through to be told so
    assert neighbour.status_code == 401


def test_a_rate_starts_anew_with_the_next_window() -> None:
    rate = Rate("2/minute", "caller")
    with time_machine.travel(1_000_000, tick=False) as clock:
        rate.check("a")
        rate.check("a")
        with pytest.raises(TooManyRequests) as refused:
            rate.check("a")
        clock.shift(60)
        rate.check("a")

    assert refused.value.answer_headers == {"Retry-After": "60"}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), max_size=60))
def test_nobody_gets_more_in_a_window_than_the_rate(asked: list[tuple[str, int]]) -> None:
    rate, windows, at = Rate("3/minute", "caller"), dict[str, list[int]](), 1_000_000
    with time_machine.travel(at, tick=False) as clock:
        for who, pause in asked:
            clock.shift(pause)
            at += pause
            if at >= windows.get(who, [0])[0] + 60:
                windows[who] = []
            windows[who].append(at)  # a window begins with its first request
            if len(windows[who]) <= 3:
                rate.check(who)
            else:
                with pytest.raises(TooManyRequests) as refused:
                    rate.check(who)
                assert refused.value.answer_headers == {"Retry-After": str(windows[who][0] + 60 - at)}


def test_counting_many_addresses_takes_bounded_memory() -> None:
    counters = Counters()
    for n in range(3 * KEYS_MAX):
        counters.incr(str(n), 60)

    assert len(counters._held) <= KEYS_MAX


def test_without_a_rate_nothing_is_counted() -> None:
    rate = Rate("", "caller")
    for _ in range(100):
        rate.check("a")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("testclient:x", "testclient:y", False),
    ],
)
def test_an_address_counts_by_its_network(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same


# -- settings -----------------------------------------------------------------------------------------------

GIVEN = {
    "database_url": "postgresql://api:hunter2@db/x",
    "worker_database_url": "postgresql://worker:hunter2@db/x",
    "owner_database_url": "postgresql://owner:hunter2@db/x",
    "base_url": "https://billing.example",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "OIDC_ISSUER": "https://issuer.example",
    "LINK_SECRET": "hunter2" * 5,
}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"LINK_SECRET": "short"}, "fewer than 32"),
        ({"LINK_SECRET": "for-this-machine-only-change-me-elsewhere"}, "public one of the examples"),
        ({"SMTP_USERNAME": "tandem"}, "given together"),
        ({"SMTP_USERNAME": "tandem", "SMTP_PASSWORD": "hunter2"}, "not sent in the clear"),
        ({"SMTP_SECURITY": "none"}, "smtp_security|SMTP_SECURITY"),
        ({"RATE_PER_CALLER": "often"}, "RATE_PER_CALLER"),
        ({"database_url": "mysql://api:hunter2@db/x"}, "must start with postgresql"),
    ],
    ids=str,
)
def test_unsafe_settings_are_refused_without_showing_them(more: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        ServiceSettings(**(GIVEN | more))

    assert "hunter2" not in str(refused.value)


def test_the_example_secret_is_good_on_this_machine_only() -> None:
    secret = {"LINK_SECRET": "for-this-machine-only-change-me-elsewhere", "base_url": "http://localhost:8101"}

    assert ServiceSettings(**(GIVEN | secret)).base_url == "http://localhost:8101"


def test_settings_show_no_secret() -> None:
    made = ServiceSettings(**GIVEN, SMTP_USERNAME="tandem", SMTP_PASSWORD="hunter2", SMTP_SECURITY="tls")

    assert "hunter2" not in repr(made)
    assert "hunter2" not in str(made)


def test_origins_are_read_from_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://a.example, https://b.example,")

    assert ServiceSettings(**GIVEN).cors_origins == ["https://a.example", "https://b.example"]
    assert ServiceSettings(**GIVEN, CORS_ORIGINS="").cors_origins == []


# -- logs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("POST /links/WyJhIl0.c-1_d gone", "POST /links/<hidden> gone"),
        ("Authorization: Bearer abc.def-g", "Authorization: Bearer <hidden>"),
        ("token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "token eyJ<hidden>"),
        ("postgresql://api:p4ss@db:5432/x", "postgresql://api:<hidden>@db:5432/x"),
        ("Key (email)=(ann.o'neil+x@a.example) already exists", "Key (email)=(<hidden>) already exists"),
        ("mail to <ann@a.example>, bob@b.co.example", "mail to <<hidden>>, <hidden>"),
        ("0195-7f at 12:30, 3/minute", "0195-7f at 12:30, 3/minute"),
    ],
)
def test_no_line_of_log_holds_a_secret_or_an_address(line: str, left: str) -> None:
    assert telemetry.scrubbed(line) == left


def test_what_libraries_log_is_scrubbed_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    telemetry.configure_logs("sample", "info")
    logging.getLogger("some.library").error("no mail to ann@a.example")

    assert capsys.readouterr().out == '{"level":"ERROR","logger":"some.library","event":"no mail to <hidden>"}\n'
