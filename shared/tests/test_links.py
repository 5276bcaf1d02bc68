"""A link in a mail shows on opening, acts once on its button, and is clear about everything else."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from kit import links
from kit.clock import now
from kit.db import Session, uuid7
from kit.links import Link, Matter, Purpose, Wanted, create, create_many, remove_old
from kit.problems import Refused
from shared.tests.sample import PARTNER, Note, Sample, sample, urls  # noqa: F401
from stack.databases import Urls


class TooLateInTheDay(Refused):
    """Notes are not approved after five."""

    status = 409


async def show(db: Session, matter_id: UUID, link: Link) -> Matter:
    note = await db.get_one(Note, matter_id)
    return Matter(
        title="Approve a note",
        lines=[("Text", note.body)],
        actions=[("approve", "Approve"), ("decline", "Decline")],
        outcome="Withdrawn" if note.body == "withdrawn" else None,
        version=note.version,
        note_label="Why?",
    )


async def act(db: Session, link: Link, action: str, note: str, now: datetime) -> str:
    row = await db.get_one(Note, link.matter_id, with_for_update=True)
    await asyncio.sleep(0.05)  # so that two clicks overlap
    row.body += f"; {action} ({note}) by {link.actor}"
    if note == "late":
        await db.flush()
        raise TooLateInTheDay()
    return f"{action}d"


@pytest.fixture(scope="module")
async def service(urls: Urls) -> AsyncIterator[Sample]:  # noqa: F811
    async with sample(urls, links.router({"approve": Purpose(show, act)})) as running:
        yield running


@pytest.fixture
async def browser(service: Sample) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client(Accept="text/html,*/*") as client:
        yield client


async def sent(service: Sample, body: str = "<b>hello</b>", **more: Any) -> tuple[UUID, str]:
    """A note, and the link to approve it."""
    wanted = {
        "purpose": "approve",
        "recipient": "boss@a.example",
        "expires_at": now() + timedelta(days=14),
        "version": 1,
    }
    async with service.database.api.begin() as db:
        note_id = uuid7()
        async with service.database.worker.begin() as other:
            other.add(Note(id=note_id, partner_id=PARTNER, body=body))
        url = await create(db, **{**wanted, "matter_id": note_id, **more})
    assert url.startswith("https://sample.example/links/")
    return note_id, url.removeprefix("https://sample.example")


async def body_of(service: Sample, note_id: UUID) -> str:
    async with service.database.worker() as db:
        return (await db.execute(select(Note.body).where(Note.id == note_id))).scalar_one()


async def test_opening_shows_the_matter_and_changes_nothing(service: Sample, browser: httpx.AsyncClient) -> None:
    note_id, url = await sent(service)
    pages = [await browser.get(url), await browser.head(url), await browser.get(url)]

    page = pages[0].text
    assert [p.status_code for p in pages] == [200, 200, 200]
    assert '<html lang="en">' in page
    assert "&lt;b&gt;hello&lt;/b&gt;" in page
    assert '<button type="submit" name="action" value="approve"' in page
    assert "boss@a.example" in page
    assert "<script" not in page
    assert pages[0].headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in pages[0].headers["content-security-policy"]
    assert await body_of(service, note_id) == "<b>hello</b>"


async def test_the_button_acts_once_and_the_link_shows_the_outcome_ever_after(
    service: Sample, browser: httpx.AsyncClient
) -> None:
    note_id, url = await sent(service, body="hello")
    first = await browser.post(url, data={"action": "approve", "note": " fine "})
    second = await browser.post(url, data={"action": "decline"})
    opened = await browser.get(url)

    link_id = await id_of(service, note_id)
    assert [first.status_code, second.status_code, opened.status_code] == [200, 409, 200]
    for page in (first, second, opened):
        assert "approved" in page.text
        assert "<form" not in page.text
    assert await body_of(service, note_id) == f"hello; approve (fine) by link:{link_id}"


async def id_of(service: Sample, note_id: UUID) -> UUID:
    async with service.database.worker() as db:
        found = await db.execute(select(links.table.c.id).where(links.table.c.matter_id == note_id))
        return found.scalar_one()


async def test_two_clicks_at_once_act_once(service: Sample, browser: httpx.AsyncClient) -> None:
    note_id, url = await sent(service, body="hello")
    pages = await asyncio.gather(*(browser.post(url, data={"action": "approve"}) for _ in range(3)))

    assert sorted(p.status_code for p in pages) == [200, 409, 409]
    assert (await body_of(service, note_id)).count("approve") == 1


async def test_an_expired_link_shows_nothing_and_does_nothing(service: Sample, browser: httpx.AsyncClient) -> None:
    note_id, url = await sent(service, body="secret", expires_at=now() - timedelta(seconds=1))
    pages = [await browser.get(url), await browser.post(url, data={"action": "approve"})]

    for page in pages:
        assert page.status_code == 410
        assert "expired" in page.text
        assert "secret" not in page.text
    assert await body_of(service, note_id) == "secret"


async def test_a_newer_mail_ends_the_older_link_and_no_other(service: Sample, browser: httpx.AsyncClient) -> None:
    note_id, old = await sent(service, body="hello")
    to_boss = Wanted("approve", note_id, "boss@a.example", now() + timedelta(days=1), version=1)
    to_deputy = replace(to_boss, recipient="deputy@a.example")
    async with service.database.worker.begin() as db:
        (deputy,) = await create_many(db, [to_deputy])
    async with service.database.worker.begin() as db:
        (newer,) = await create_many(db, [to_boss])
    old, deputy, newer = (u.removeprefix("https://sample.example") for u in (old, deputy, newer))

    assert (await browser.get(deputy)).status_code == 200
    assert (await browser.post(old, data={"action": "approve"})).status_code == 410
    assert (await browser.post(newer, data={"action": "approve"})).status_code == 200


async def test_a_changed_matter_ends_its_links(service: Sample, browser: httpx.AsyncClient) -> None:
    note_id, url = await sent(service, body="hello")
    async with service.database.worker.begin() as db:
        (await db.get_one(Note, note_id)).version = 2

    assert (await browser.post(url, data={"action": "approve"})).status_code == 410
    assert await body_of(service, note_id) == "hello"


async def test_links_of_a_matter_can_be_ended(service: Sample, browser: httpx.AsyncClient) -> None:
    note_id, url = await sent(service)
    async with service.database.worker.begin() as db:
        await links.end(db, note_id)

    assert (await browser.get(url)).status_code == 410


async def test_what_was_decided_elsewhere_is_shown_and_not_decided_again(
    service: Sample, browser: httpx.AsyncClient
) -> None:
    _, url = await sent(service, body="withdrawn")
    opened, pressed = await browser.get(url), await browser.post(url, data={"action": "approve"})

    assert (opened.status_code, pressed.status_code) == (200, 409)
    assert "Withdrawn" in opened.text


@pytest.mark.parametrize(
    "forge",
    [
        lambda t: t[:-2] + ("A" if t[-2] != "A" else "B") + t[-1],  # the last letter holds bits that say nothing
        lambda t: "x",
        lambda t: "a.b.c",
        lambda t: "W10." + t,
    ],
)
async def test_a_forged_link_is_unknown(service: Sample, browser: httpx.AsyncClient, forge: Any) -> None:
    note_id, url = await sent(service, body="hello")
    forged = "/links/" + forge(url.removeprefix("/links/"))
    pages = [await browser.get(forged), await browser.post(forged, data={"action": "approve"})]

    assert [p.status_code for p in pages] == [404, 404]
    assert "damaged" in pages[0].text
    assert await body_of(service, note_id) == "hello"


async def test_an_action_that_is_not_offered_is_refused(service: Sample, browser: httpx.AsyncClient) -> None:
    note_id, url = await sent(service, body="hello")
    pages = [await browser.post(url, data={"action": "delete"}), await browser.post(url)]

    assert [p.status_code for p in pages] == [400, 400]
    assert "<form" in pages[0].text
    assert await body_of(service, note_id) == "hello"


async def test_a_refusal_of_the_rules_undoes_everything_and_leaves_the_link_open(
    service: Sample, browser: httpx.AsyncClient
) -> None:
    note_id, url = await sent(service, body="hello")
    late = await browser.post(url, data={"action": "approve", "note": "late"})

    assert late.status_code == 409
    assert "Notes are not approved after five." in late.text
    assert await body_of(service, note_id) == "hello"
    assert (await browser.post(url, data={"action": "approve"})).status_code == 200


async def test_programs_get_json_and_problems(service: Sample) -> None:
    _, url = await sent(service, body="hello")
    async with service.client(Accept="application/json") as client:
        shown = await client.get(url)
        used = await client.post(url, data={"action": "decline"})
        again = await client.post(url, data={"action": "decline"})

    assert shown.json() == {
        "title": "Approve a note",
        "lines": [{"label": "Text", "value": "hello"}],
        "actions": ["approve", "decline"],
        "outcome": None,
    }
    assert used.json()["outcome"] == "declined"
    assert (again.status_code, again.json()["type"]) == (409, "/problems/already-decided")
    assert again.json()["outcome"] == "declined"


@pytest.mark.parametrize(("language", "word"), [("nl", "Verzonden aan"), ("it", "Inviato a"), ("xx", "Sent to")])
async def test_the_page_speaks_the_recipients_language(
    service: Sample, browser: httpx.AsyncClient, language: str, word: str
) -> None:
    _, url = await sent(service, language=language)
    page = (await browser.get(url)).text

    assert word in page
    assert re.search(r'<html lang="(\w+)">', page)[1] == (language if language != "xx" else "en")  # type: ignore[index]


async def test_a_token_holds_nothing_but_the_links_id_and_purpose(service: Sample) -> None:
    _, url = await sent(service)
    signer = links._signer(service.settings)
    link_id, purpose = signer.loads(url.removeprefix("/links/"))

    assert (len(link_id), purpose) == (32, "approve")


def test_every_language_has_every_word() -> None:
    assert links.WORDS["en"].keys() == links.WORDS["nl"].keys() == links.WORDS["it"].keys()


async def test_old_links_that_nobody_used_are_removed_and_used_ones_show_their_outcome(
    service: Sample, browser: httpx.AsyncClient
) -> None:
    _, used = await sent(service, body="hello")
    await browser.post(used, data={"action": "approve"})
    _, expired = await sent(service, expires_at=now() + timedelta(days=1))
    ended_of, ended = await sent(service, expires_at=now() + timedelta(days=90))
    _, running = await sent(service, expires_at=now() + timedelta(days=90))
    async with service.database.worker.begin() as db:
        await links.end(db, ended_of)

    async with service.database.worker.begin() as db:
        assert await remove_old(db, now() + timedelta(days=29)) == 0
        while await remove_old(db, now() + timedelta(days=32)):
            pass

    assert [(await browser.get(url)).status_code for url in (used, expired, ended, running)] == [200, 404, 404, 200]
    assert "approved" in (await browser.get(used)).text
