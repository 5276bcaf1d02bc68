"""The mail sink: what is sent by SMTP can be found again, and nothing leaves."""

import json
import smtplib
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import pytest

from stack import mailsink
from stack.mailsink import MailSink
from stack.places import ROOT, free_port
from stack.processes import Process


@dataclass
class Running:
    smtp_port: int
    url: str

    def send(self, subject: str, text: str, *to: str, html: str | None = None, pdf: bytes | None = None) -> None:
        mail = EmailMessage()
        mail["From"] = "Tandem <no-reply@tandem.example>"
        mail["To"] = ", ".join(to)
        mail["Subject"] = subject
        mail.set_content(text)
        if html:
            mail.add_alternative(html, subtype="html")
        if pdf:
            mail.add_attachment(pdf, maintype="application", subtype="pdf", filename="certificate.pdf")
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=10) as smtp:
            smtp.send_message(mail, "no-reply@tandem.example", list(to))

    def page(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return str(answer.read().decode())

    def messages(self, **query: str | int) -> list[dict[str, Any]]:
        return list(json.loads(self.page(f"/api/messages?{urllib.parse.urlencode(query)}")))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, int]]:
    smtp, http = free_port(), free_port()
    command = [sys.executable, "-m", "stack.mailsink", "--smtp-port", str(smtp), "--http-port", str(http)]
    process = Process("mail", tmp_path_factory.mktemp("mail"), command, http, env={"PYTHONPATH": str(ROOT)})
    process.start()
    yield process, smtp
    process.stop()


@pytest.fixture
def sink(process: tuple[Process, int]) -> Running:
    running = Running(process[1], process[0].url)
    forget = urllib.request.Request(f"{running.url}/api/messages", method="DELETE")
    assert urllib.request.urlopen(forget, timeout=10).status == 204
    return running


def test_a_mail_shows_with_its_texts_and_what_is_attached(sink: Running) -> None:
    sink.send(
        "Saldo op – à bientôt",
        "Beste Zoë,\nuw saldo is op.\n",
        "zoe@partner.example",
        html="<p>Beste Zoë</p>",
        pdf=b"%PDF-1.7",
    )

    [mail] = sink.messages()

    assert mail["from"] == "no-reply@tandem.example"
    assert mail["to"] == ["zoe@partner.example"]
    assert mail["subject"] == "Saldo op – à bientôt"
    assert mail["text"] == "Beste Zoë,\nuw saldo is op.\n"
    assert mail["html"] == "<p>Beste Zoë</p>\n"
    assert mail["attachments"] == ["certificate.pdf"]


def test_mails_are_found_by_address_and_subject_the_newest_first(sink: Running) -> None:
    sink.send("Approve Excel", "1", "manager@customer.example")
    sink.send("Credits depleted", "2", "admin@partner.example", "platform@tandem.example")
    sink.send("Approve Python", "3", "Manager@customer.example")

    assert [m["subject"] for m in sink.messages()] == ["Approve Python", "Credits depleted", "Approve Excel"]
    assert [m["subject"] for m in sink.messages(to="MANAGER@customer.example")] == ["Approve Python", "Approve Excel"]
    assert [m["subject"] for m in sink.messages(to="platform@tandem.example")] == ["Credits depleted"]
    assert [m["subject"] for m in sink.messages(subject="approve", limit=1)] == ["Approve Python"]
    assert sink.messages(to="customer.example") == []


def test_only_what_came_after_a_known_mail_is_listed(sink: Running) -> None:
    sink.send("first", "1", "a@b.example")
    [seen] = sink.messages()

    assert sink.messages(after=seen["id"]) == []

    sink.send("second", "2", "a@b.example")
    assert [m["subject"] for m in sink.messages(after=seen["id"])] == ["second"]


def test_a_limit_that_is_no_number_is_refused(sink: Running) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        sink.messages(limit="many")

    assert refused.value.code == 400


def test_a_person_can_read_a_mail_and_follow_its_link(sink: Running) -> None:
    sink.send("Approve <Excel>", "Open http://127.0.0.1:8102/links/abc?x=1&y=2 today", "manager@customer.example")
    [mail] = sink.messages()

    assert f"<a href='/messages/{mail['id']}'>Approve &lt;Excel&gt;</a>" in sink.page("/")
    shown = sink.page(f"/messages/{mail['id']}")
    assert "<a href='http://127.0.0.1:8102/links/abc?x=1&amp;y=2'>" in shown


def test_a_mails_markup_never_runs_on_the_sinks_page(sink: Running) -> None:
    script = "<script>alert('x')</script>"
    sink.send("html", script, "a@b.example", html=script)
    [mail] = sink.messages()

    assert "<script" not in sink.page(f"/messages/{mail['id']}")


def test_a_mail_that_is_gone_says_so(sink: Running) -> None:
    with pytest.raises(urllib.error.HTTPError) as gone:
        sink.page("/messages/999999")

    assert gone.value.code == 404


def test_only_the_newest_mails_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailsink, "MESSAGES_MAX", 3)
    monkeypatch.setattr(mailsink, "BYTES_MAX", 1_000)
    sink = MailSink()

    for number in range(1, 6):
        sink.keep("a@b.example", ["c@d.example"], b"Subject: %d\r\n\r\n" % number)
    assert [m.subject for m in sink.find()] == ["5", "4", "3"]

    sink.keep("a@b.example", ["c@d.example"], b"Subject: long\r\n\r\n" + b"x" * 970)
    assert [m.subject for m in sink.find()] == ["long"]


def test_what_is_no_mail_at_all_is_kept_too() -> None:
    sink = MailSink()

    sink.keep("", ["a@b.example"], b"\xff\xfe\x00 no headers")

    [message] = sink.find()
    assert message.as_json()["subject"] == ""
