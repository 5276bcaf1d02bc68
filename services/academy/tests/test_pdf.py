"""The printed page: one page whatever stands on it, with its fonts, and a code that leads to the proof."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from academy.certificates.pdf import Printed, qr_code, render

PRINTED = Printed(
    number="7K3M-9QXP-4TVB-2HRD",
    name="Giulia van der Meer-Rossi",
    course="Safe at work",
    completed_on=date(2026, 3, 6),
    issued_at=datetime(2026, 3, 6, 8, 30, tzinfo=UTC),
    issuer="Tandem",
    language="nl",
    url="https://academy.example/certificates/7K3M-9QXP-4TVB-2HRD",
)


def pages(pdf: bytes) -> int:
    return max(int(count) for count in re.findall(rb"/Type ?/Pages.*?/Count (\d+)", pdf, re.DOTALL))


def test_the_same_certificate_gives_the_same_bytes() -> None:
    assert render(PRINTED) == render(PRINTED)
    assert render(PRINTED) != render(replace(PRINTED, revoked_on=date(2026, 4, 1)))


def test_the_page_is_tagged_and_brings_its_fonts() -> None:
    pdf = render(PRINTED)

    assert b"/MarkInfo" in pdf
    assert b"/Lang(nl)" in pdf
    assert b"/FontFile3" in pdf or b"/FontFile2" in pdf


@pytest.mark.parametrize("language", ["en", "nl", "it"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": None},
        {"revoked_on": date(2026, 4, 1)},
        {"name": "Maria Antonietta Francesca della Rovere-Montefeltro " * 4},
        {"name": "x" * 200, "course": "y" * 300},
        {"course": "Leadership, communication and change management for project managers: " * 4},
        {"name": "Zoë Łukasz Ğ", "course": "Ελληνικά · Русский"},
        {"name": '#panic("no") $x$ *b* \\ "q" //', "course": "@ref <label> ```"},
        {"name": "王小明"},  # in no font that comes with the page
        {"url": "https://academy.example/" + "a" * 180, "issuer": "Very long name of an academy " * 3},
    ],
)
def test_whatever_stands_on_it_a_certificate_is_one_page(fields: dict[str, object], language: str) -> None:
    assert pages(render(replace(PRINTED, language=language, **fields))) == 1  # type: ignore[arg-type]


def test_the_code_differs_by_address() -> None:
    assert qr_code("https://a.example/1") != qr_code("https://a.example/2")
    assert qr_code("https://a.example/1").startswith("<svg")
