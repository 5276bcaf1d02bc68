"""How whitelabel partners look: colours that can be told apart, logos that are pictures, domains that are proved."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contracts.partners.rules import Colours, contrast, domain_of, too_pale, within
from kit.testing import Migrated, Running, problem
from schemas.partner import PartnerChanged

colours = st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06x}")


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", "21.00"),
        ("#ffffff", "#ffffff", "1.00"),
        ("#767676", "#ffffff", "4.54"),
        ("#ff0000", "#ffffff", "4.00"),
    ],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: str) -> None:
    assert f"{contrast(one, other):.2f}" == f"{contrast(other, one):.2f}" == ratio


@given(colours, colours)
def test_contrast_is_the_same_both_ways_and_between_one_and_twenty_one(one: str, other: str) -> None:
    assert 1 <= contrast(one, other) == contrast(other, one) <= 21


def test_pale_pairs_are_named_with_what_they_have_and_need() -> None:
    assert too_pale(Colours(primary="#0b5c4a")) == []
    (found,) = too_pale(Colours(primary="#8a8a8a"))  # 3.45 on white: enough for a shape, not for words
    assert (found.fields, found.contrast, found.needed) == (("on_primary", "primary"), "3.45", "4.5")


def test_domains_are_written_plainly_and_hosts_stand_within_them() -> None:
    assert domain_of(" Academy.Münch.Example. ") == "academy.xn--mnch-0ra.example"
    for wrong in ("localhost", "10.0.0.1", "a..b", "-a.example", "http://a.example", "a.example/x", "*.a.example", ""):
        with pytest.raises(ValueError, match="domain name"):
            domain_of(wrong)
    assert within("mail.lumen.example", "lumen.example")
    assert not within("evillumen.example", "lumen.example")


class NameServer(asyncio.DatagramProtocol):
    """A DNS server that knows TXT records; it speaks the real protocol."""

    def __init__(self) -> None:
        self.records: dict[str, str] = {}

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        name = question.question[0].name.to_text().rstrip(".")
        if name in self.records:
            answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "TXT", f'"{self.records[name]}"'))
        self.transport.sendto(answer.to_wire(), addr)


@pytest.fixture
async def names() -> AsyncIterator[NameServer]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    server.address = "{}:{}".format(*transport.get_extra_info("sockname"))  # type: ignore[attr-defined]
    yield server
    transport.close()


@pytest.fixture
async def contracts(migrated: Migrated, names: Any) -> AsyncIterator[Running]:
    async with migrated.running(CONTRACTS_DNS_SERVER=names.address) as running:
        yield running


async def a_partner(contracts: Running, kind: str = "whitelabel") -> str:
    made = await contracts.post("/v1/partners", {"name": "Lumen", "kind": kind, "wallet": False})
    return f"/v1/partners/{made.json()['partner_id']}"


async def put(contracts: Running, path: str, body: Any, email: str = "") -> Any:
    headers = contracts.headers(email, **{"If-Match": "*"}) if email else contracts.headers(**{"If-Match": "*"})
    if isinstance(body, bytes):
        return await contracts.http.put(path, content=body, headers=headers)
    return await contracts.http.put(path, json=body, headers=headers)


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 32)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, "#0b5c4a").save(out, kind)
    return out.getvalue()


async def test_looks_are_announced_and_pale_ones_refused(contracts: Running) -> None:
    path = await a_partner(contracts)
    good = await put(contracts, f"{path}/branding", {"name": "Lumen Academy", "colours": {"primary": "#0B5C4A"}})
    pale = await put(contracts, f"{path}/branding", {"colours": {"primary": "#ffff00"}})
    wrong = await put(contracts, f"{path}/branding", {"colours": {"primary": "red"}})
    stale = await contracts.http.put(
        f"{path}/branding", json={"name": "X"}, headers=contracts.headers(**{"If-Match": '"1"'})
    )

    assert (good.status_code, good.json()["name"]) == (200, "Lumen Academy")
    assert problem(pale)["type"] == "/problems/too-pale-to-read"
    assert [pair["fields"] for pair in problem(pale)["pairs"]] == [["on_primary", "primary"], ["primary", "background"]]
    assert problem(wrong)["type"] == "/problems/not-understood"
    assert problem(stale)["type"] == "/problems/changed"
    told = (await contracts.published(PartnerChanged))[-1]
    assert told.branding is not None
    assert (told.branding.name, told.branding.primary) == ("Lumen Academy", "#0b5c4a")


async def test_a_default_partner_has_no_looks_of_its_own(contracts: Running) -> None:
    path = await a_partner(contracts, "default")
    answer = await put(contracts, f"{path}/branding", {"name": "Mine"})

    assert problem(answer)["type"] == "/problems/not-whitelabel"
    assert (await contracts.get(f"{path}/branding")).json()["name"] == "Tandem"
    assert (await contracts.published(PartnerChanged))[-1].branding is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_a_logo_is_kept_as_a_clean_picture_that_everybody_sees(contracts: Running, kind: str) -> None:
    path = await a_partner(contracts)
    hidden = b"<script>alert(1)</script>"

    answer = await put(contracts, f"{path}/logo", picture(kind) + hidden)

    assert answer.status_code == 200, answer.text
    url = answer.json()["logo_url"]
    shown = await contracts.http.get(url)  # without signing in
    assert shown.headers["content-type"] == "image/png"
    assert hidden not in shown.content
    with Image.open(BytesIO(shown.content)) as kept:
        assert (kept.format, kept.size) == ("PNG", (64, 32))


async def test_what_is_no_logo_is_refused(contracts: Running) -> None:
    path = await a_partner(contracts)
    cut = picture()[:60]
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    for wrong in (b"", b"GIF89a", svg, cut, picture(size=(8, 8)), picture(size=(2001, 20)), b"\x89PNG" * 200_000):
        answer = await put(contracts, f"{path}/logo", wrong)
        assert problem(answer)["type"] == "/problems/not-a-logo"
    assert problem(await contracts.http.get(f"/v1/logos/{'0' * 32}.png"))["type"] == "/problems/logo-not-found"


async def test_a_domain_counts_once_its_record_proves_it_and_belongs_to_one_partner(
    contracts: Running, names: NameServer
) -> None:
    first, second = await a_partner(contracts), await a_partner(contracts)
    none = await contracts.post(f"{first}/domain/verify")
    proofs = []
    for path in (first, second):
        answer = await put(contracts, f"{path}/domain", {"domain": "Academy.Lumen.example"})
        assert answer.json()["domain_proved_at"] is None
        proofs.append(answer.json()["proof"])
    unproved = await contracts.post(f"{first}/domain/verify")
    names.records[proofs[0]["record"]] = proofs[0]["text"]
    proved = await contracts.post(f"{first}/domain/verify")
    others = await contracts.post(f"{second}/domain/verify")  # it holds the first one's token
    names.records[proofs[1]["record"]] = proofs[1]["text"]
    taken = await contracts.post(f"{second}/domain/verify")

    assert proofs[0]["record"] == "_tandem.academy.lumen.example"
    assert proofs[0]["text"] != proofs[1]["text"]
    assert problem(none)["type"] == "/problems/domain-not-named"
    assert problem(unproved)["type"] == "/problems/domain-not-proved"
    assert problem(others)["found"] == [proofs[0]["text"]]
    assert problem(taken)["type"] == "/problems/domain-taken"
    assert proved.json()["proof"] is None
    told = {str(e.partner_id): e.branding for e in await contracts.published(PartnerChanged)}
    domains = [brand and brand.domain for brand in (told[first[-36:]], told[second[-36:]])]
    assert domains == ["academy.lumen.example", None]


async def test_mails_come_from_the_proved_domain_alone(contracts: Running, names: NameServer) -> None:
    path = await a_partner(contracts)
    sender = {"sender": {"name": "Lumen", "email": "hello@mail.lumen.example"}}
    early = await put(contracts, f"{path}/branding", sender)
    proof = (await put(contracts, f"{path}/domain", {"domain": "lumen.example"})).json()["proof"]
    names.records[proof["record"]] = proof["text"]
    await contracts.post(f"{path}/domain/verify")
    right = await put(contracts, f"{path}/branding", sender)
    elsewhere = await put(contracts, f"{path}/branding", {"sender": {"name": "L", "email": "hello@evillumen.example"}})
    header = await put(contracts, f"{path}/branding", {"sender": {"name": "L\r\nBcc: x", "email": "a@lumen.example"}})
    moved = await put(contracts, f"{path}/domain", {"domain": "other.example"})

    assert problem(early)["type"] == "/problems/sender-elsewhere"
    assert right.json()["sender"] == sender["sender"]
    assert problem(elsewhere)["type"] == "/problems/sender-elsewhere"
    assert problem(header)["type"] == "/problems/not-understood"
    assert moved.json()["sender"] is None


async def test_a_partners_admin_brands_its_own_partner_alone(contracts: Running) -> None:
    mine, other = await a_partner(contracts), await a_partner(contracts)
    await contracts.post(f"{mine}/admins", {"email": "ada@lumen.example", "name": "Ada"})
    await contracts.deliver(*[e for e in await contracts.everything_published() if e.topic == "access.changed"])

    assert (await put(contracts, f"{mine}/branding", {"name": "Mine"}, "ada@lumen.example")).status_code == 200
    refused = await put(contracts, f"{other}/branding", {"name": "Hers"}, "ada@lumen.example")
    assert problem(refused)["type"] == "/problems/partner-not-found"
