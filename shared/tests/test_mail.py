"""Mail is sent once per recipient, matter and event, whatever the mail server does."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from sqlalchemy import delete, func, select, text, update

from kit import mail
from kit.clock import now
from kit.mail import Mail, Sender, blank_old, send, send_many
from kit.testing import eventually
from shared.tests.sample import Sample, sample, urls  # noqa: F401
from stack.databases import Urls


class Sink:
    """A mail server that keeps what it accepts and answers as it is told."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answers: list[str] = []
        self.senders: list[str] = []
        self.asked = 0
        self.holds_after = 1_000
        self.held = asyncio.Event()

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]) -> str:
        if self.senders:
            return self.senders.pop(0)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, _: list[str]) -> str:
        if self.answers and (answer := self.answers.pop(0)) != "250":
            if answer == "drop":
                server.transport.abort()
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.asked += 1
        if self.asked > self.holds_after:
            await self.held.wait()
        self.mails.append(message_from_bytes(envelope.content or b"", policy=policy.default))
        return "250 Accepted"


@pytest.fixture(scope="module")
async def service(urls: Urls) -> AsyncIterator[Sample]:  # noqa: F811
    async with sample(urls) as running:
        yield running


@pytest.fixture
async def sink() -> AsyncIterator[tuple[Sink, int]]:
    handler = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, loop=loop, enable_SMTPUTF8=True), "127.0.0.1", 0)
    yield handler, server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def sender(service: Sample, sink: tuple[Sink, int]) -> AsyncIterator[Sender]:
    async with service.database.worker.begin() as db:
        await db.execute(delete(mail.table))
    settings = service.settings.model_copy(update={"smtp_host": "127.0.0.1", "smtp_port": sink[1]})
    made = Sender(service.database.worker, settings)
    yield made
    await made._hang_up()


async def queue(service: Sample, to: str = "ann@a.example", event: str = "said", **more: Any) -> None:
    async with service.database.worker.begin() as db:
        await send(db, to=to, subject="Hello", text="Dear Ann", matter="note/1", event=event, **more)


async def states(service: Sample) -> list[tuple[str, str, int]]:
    async with service.database.worker() as db:
        rows = await db.execute(
            select(mail.table.c.recipient, mail.table.c.state, mail.table.c.attempts).order_by(mail.table.c.id)
        )
        return [tuple(row) for row in rows]


async def test_the_same_mail_is_sent_once(service: Sample, sender: Sender, sink: tuple[Sink, int]) -> None:
    for _ in range(3):
        await queue(service)
    await queue(service, event="said again")
    while await sender.send_due(now()):
        pass

    assert [m["To"] for m in sink[0].mails] == ["ann@a.example", "ann@a.example"]
    assert [state for _, state, _ in await states(service)] == ["sent", "sent"]


async def test_a_mail_of_a_transaction_that_fails_is_never_sent(
    service: Sample, sender: Sender, sink: tuple[Sink, int]
) -> None:
    async with service.database.worker() as db:
        await send(db, to="ann@a.example", subject="No", text="No", matter="note/1", event="never")
        await db.rollback()
    await sender.send_due(now())

    assert sink[0].mails == []


async def test_a_mail_carries_its_parts_and_an_id_of_its_row(
    service: Sample, sender: Sender, sink: tuple[Sink, int]
) -> None:
    pdf = mail.Attachment(name="naïve.pdf", media_type="application/pdf", content=b"%PDF")
    async with service.database.worker.begin() as db:
        await send(
            db,
            to="ann@a.example",
            subject="Più\r\nBcc: eve@e.example",
            text="Dear Ann €",
            html="<p>Dear Ann</p>",
            attachments=[pdf],
            matter="note/1",
            event="said",
        )
    await sender.send_due(now())

    (got,) = sink[0].mails
    assert got["Subject"] == "Più Bcc: eve@e.example"
    assert got["Bcc"] is None
    assert got["Auto-Submitted"] == "auto-generated"
    assert got.get_body(("plain",)).get_content().strip() == "Dear Ann €"
    assert got.get_body(("html",)).get_content().strip() == "<p>Dear Ann</p>"
    (file,) = got.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("naïve.pdf", b"%PDF")
    async with service.database.worker() as db:
        (row_id,) = (await db.execute(select(mail.table.c.id))).one()
    assert re.fullmatch(rf"<{row_id}@tandem\.example>", got["Message-ID"])


async def test_a_refusal_for_good_fails_one_mail_and_no_other(
    service: Sample, sender: Sender, sink: tuple[Sink, int]
) -> None:
    sink[0].answers = ["550 no such box", "250"]
    await queue(service, to="gone@a.example")
    await queue(service, to="here@a.example")
    await queue(service, to="not an address")
    await sender.send_due(now())

    assert await states(service) == [
        ("gone@a.example", "failed", 1),
        ("here@a.example", "sent", 1),
        ("not an address", "failed", 1),
    ]


async def test_a_passing_fault_is_tried_again_later(service: Sample, sender: Sender, sink: tuple[Sink, int]) -> None:
    sink[0].answers = ["451 busy"]
    await queue(service)

    assert await sender.send_due(now()) == 1
    assert await sender.send_due(now()) == 0  # not yet
    assert await sender.send_due(now() + timedelta(seconds=31)) == 1
    assert await states(service) == [("ann@a.example", "sent", 2)]


async def test_a_sender_that_the_server_refuses_fails_no_mail_for_good(
    service: Sample, sender: Sender, sink: tuple[Sink, int]
) -> None:
    sink[0].senders = ["550 not your domain"]
    await queue(service)

    await sender.send_due(now())
    assert await states(service) == [("ann@a.example", "queued", 1)]
    await sender.send_due(now() + timedelta(seconds=31))
    assert await states(service) == [("ann@a.example", "sent", 2)]


async def test_a_mail_is_given_up_after_ten_attempts_and_stays_visible(
    service: Sample, sender: Sender, sink: tuple[Sink, int]
) -> None:
    sink[0].answers = ["451 busy"] * 10
    await queue(service)
    for attempt in range(12):
        await sender.send_due(now() + timedelta(days=attempt))

    assert await states(service) == [("ann@a.example", "failed", 10)]


async def test_a_lost_connection_costs_only_the_mail_at_hand_an_attempt(
    service: Sample, sender: Sender, sink: tuple[Sink, int]
) -> None:
    sink[0].answers = ["250", "drop"]
    for name in ("one", "two", "three"):
        await queue(service, to=f"{name}@a.example")
    await sender.send_due(now())
    first = await states(service)
    await sender.send_due(now())

    assert first == [("one@a.example", "sent", 1), ("two@a.example", "queued", 1), ("three@a.example", "queued", 0)]
    assert [str(m["To"]) for m in sink[0].mails] == ["one@a.example", "three@a.example"]


async def test_an_unreachable_server_costs_no_attempt(service: Sample, sender: Sender) -> None:
    away = Sender(
        service.database.worker, service.settings.model_copy(update={"smtp_host": "127.0.0.1", "smtp_port": 1})
    )
    await queue(service)
    with pytest.raises(OSError, match=r"refused|failed"):
        await away.send_due(now())

    assert await states(service) == [("ann@a.example", "queued", 0)]


async def test_two_senders_share_the_work(service: Sample, sender: Sender, sink: tuple[Sink, int]) -> None:
    async with service.database.worker.begin() as db:
        mails = [Mail(f"p{n}@a.example", "Hello", "Dear all", "note/2", "said") for n in range(60)]
        assert await send_many(db, mails) == 60
        assert await send_many(db, mails) == 0
    other = Sender(service.database.worker, sender._settings)

    async def drain(one: Sender) -> None:
        while await one.send_due(now()):
            pass

    await asyncio.gather(drain(sender), drain(other))
    await other._hang_up()
    assert sorted(str(m["To"]) for m in sink[0].mails) == sorted(f"p{n}@a.example" for n in range(60))


async def test_a_sender_that_is_stopped_records_what_it_sent(
    service: Sample, sender: Sender, sink: tuple[Sink, int]
) -> None:
    for name in ("one", "two", "three"):
        await queue(service, to=f"{name}@a.example")
    sink[0].holds_after = 1
    sending = asyncio.create_task(sender.send_due(now()))

    async def the_second_is_under_way() -> bool:
        return sink[0].asked == 2

    await eventually(the_second_is_under_way)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)

    assert sending.cancelled()
    assert await states(service) == [
        ("one@a.example", "sent", 1),
        ("two@a.example", "queued", 0),
        ("three@a.example", "queued", 0),
    ]
    sink[0].held.set()


async def test_a_running_sender_wakes_at_the_commit(service: Sample, sender: Sender, sink: tuple[Sink, int]) -> None:
    running = asyncio.create_task(sender.run())

    async def sent() -> bool:
        return len(sink[0].mails) == 1

    await queue(service)
    await eventually(sent)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_old_mails_said_is_blanked_and_they_are_still_sent_once(
    service: Sample, sender: Sender, sink: tuple[Sink, int]
) -> None:
    pdf = mail.Attachment(name="a.pdf", media_type="application/pdf", content=b"%PDF")
    sink[0].answers = ["250", "550 No such mailbox"]
    for event in ("sent", "refused"):
        await queue(service, event=event, html="<p>Dear Ann</p>", attachments=[pdf])
    while await sender.send_due(now()):
        pass
    await queue(service, event="waiting")
    assert [state for _, state, _ in await states(service)] == ["sent", "failed", "queued"]

    async with service.database.worker.begin() as db:
        assert await blank_old(db, now() + timedelta(days=29)) == 0
        month = timedelta(days=mail.BODIES_KEPT_DAYS, hours=1)
        await db.execute(update(mail.table).where(mail.table.c.event == "waiting").values(next_at=now() - month))
        assert await blank_old(db, now() + month) == 2
        assert await blank_old(db, now() + month) == 0
        c = mail.table.c
        rows = await db.execute(select(c.event, c.subject, c.text, c.html, c.attachments).order_by(c.id))
        kept = [(e, s, t, h, len(a)) for e, s, t, h, a in rows]
    for event in ("sent", "refused"):
        await queue(service, event=event)

    assert kept == [("sent", "", "", None, 0), ("refused", "", "", None, 0), ("waiting", "Hello", "Dear Ann", None, 0)]
    async with service.database.worker() as db:
        assert await db.scalar(select(func.count()).select_from(mail.table)) == 3


# -- a server that asks who sends -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody else has signed, with its key behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    file.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return file


@asynccontextmanager
async def guarded(certificate: Path, *, from_start: bool) -> AsyncIterator[tuple[Sink, int]]:
    """A mail server that takes mail from `tandem` by its password only, and passwords only over TLS."""
    handler, loop = Sink(), asyncio.get_running_loop()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)

    def knows(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"tandem", b"s3cret"), handled=False)

    asks = {"authenticator": knows, "auth_required": True, "auth_require_tls": not from_start}
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, tls_context=None if from_start else tls, **asks),
        "127.0.0.1",
        0,
        ssl=tls if from_start else None,
    )
    yield handler, server.sockets[0].getsockname()[1]
    server.close()


async def send_guarded(service: Sample, port: int, **more: Any) -> None:
    async with service.database.worker.begin() as db:
        await db.execute(delete(mail.table))
    await queue(service)
    to = {"smtp_host": "localhost", "smtp_port": port, "smtp_username": "tandem", "smtp_password": SecretStr("s3cret")}
    sender = Sender(service.database.worker, service.settings.model_copy(update=to | more))
    try:
        await sender.send_due(now())
    finally:
        await sender._hang_up()


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # TLS was there from the start
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_server_that_asks_for_a_password_gets_it_over_tls(
    service: Sample, certificate: Path, security: str
) -> None:
    async with guarded(certificate, from_start=security == "tls") as (handler, port):
        await send_guarded(service, port, smtp_security=security, smtp_ca_file=certificate)

    assert [m["To"] for m in handler.mails] == ["ann@a.example"]
    assert [state for _, state, _ in await states(service)] == ["sent"]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"smtp_ca_file": None}, OSError),  # a certificate that nobody vouches for
        ({"smtp_password": SecretStr("wrong")}, aiosmtplib.SMTPAuthenticationError),
        ({"smtp_username": None, "smtp_password": None}, None),
    ],
    ids=["unknown certificate", "wrong password", "no password"],
)
async def test_no_mail_and_no_password_goes_to_a_server_that_is_not_trusted_or_does_not_trust(
    service: Sample, certificate: Path, more: dict[str, Any], error: type[Exception] | None
) -> None:
    async with guarded(certificate, from_start=False) as (handler, port):
        settings = {"smtp_security": "starttls", "smtp_ca_file": certificate} | more
        if error:
            with pytest.raises(error):
                await send_guarded(service, port, **settings)
        else:
            await send_guarded(service, port, **settings)

    assert handler.mails == []
    assert [(state, attempts > 0) for _, state, attempts in await states(service)] == [("queued", error is None)]


async def test_a_server_without_tls_gets_no_mail_where_tls_is_asked_for(
    service: Sample, sink: tuple[Sink, int]
) -> None:
    with pytest.raises(aiosmtplib.SMTPException):
        await send_guarded(service, sink[1], smtp_security="starttls")

    assert sink[0].mails == []


async def test_the_mails_to_blank_are_found_by_their_index(service: Sample) -> None:
    async with service.database.worker() as db:
        await db.execute(text("set local enable_seqscan = off"))
        plan = "\n".join((await db.execute(text(f"explain {mail._BLANK.text}"), {"before": now()})).scalars())

    assert "ix_mail_to_blank" in plan
