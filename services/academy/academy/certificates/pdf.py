"""A certificate as a PDF: one designed page, its fonts within, tagged for screen readers."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from io import BytesIO

import segno
import typst

from academy.certificates.words import PRINTED, spoken, written_date


@dataclass(frozen=True, slots=True)
class Printed:
    """What stands on a certificate."""

    number: str
    name: str | None
    """None once it was erased."""
    course: str
    completed_on: date
    issued_at: datetime
    issuer: str
    language: str
    url: str
    """The public page that verifies it."""
    revoked_on: date | None = None


@cache
def _compiler(*, system_fonts: bool) -> typst.Compiler:
    # Made once: it reads its fonts at the start. Those that come with it cover Latin, Greek and Cyrillic, and
    # make every machine print alike; only a name in another script asks what the machine has.
    template = str(files("academy.certificates").joinpath("templates/certificate.typ"))
    return typst.Compiler(template, ignore_system_fonts=not system_fonts)


def qr_code(url: str) -> str:
    """The QR code of an address, as SVG."""
    svg = BytesIO()
    segno.make(url, error="m", micro=False).save(svg, kind="svg", border=0, dark="#14283c", xmldecl=False)
    return svg.getvalue().decode()


def render(printed: Printed) -> bytes:
    """The certificate's one page. The same content gives the same bytes."""
    try:
        pdf = _compiler(system_fonts=False).compile(
            sys_inputs=_inputs(printed), timestamp=_printed_at(printed), pdf_standards=["ua-1"]
        )
    except typst.TypstError:
        # The standard forbids letters that no font has; a certificate with boxes in it is better than none.
        pdf = _compiler(system_fonts=True).compile(sys_inputs=_inputs(printed), timestamp=_printed_at(printed))
    if not isinstance(pdf, bytes):
        raise TypeError("a certificate has one page")
    return pdf


def _printed_at(printed: Printed) -> int:
    return int(printed.issued_at.astimezone(UTC).timestamp())


def _inputs(printed: Printed) -> dict[str, str]:
    words = PRINTED[spoken(printed.language)]
    return {
        **words,
        "language": spoken(printed.language),
        "state": "revoked" if printed.revoked_on else "valid",
        "title": f"{words['heading']} {printed.number}",
        "issuer": printed.issuer,
        "name": printed.name or "",
        "course": printed.course,
        "completed-on": written_date(printed.completed_on, printed.language),
        "revoked-on": written_date(printed.revoked_on, printed.language) if printed.revoked_on else "",
        "number": printed.number,
        "url": printed.url,
        "qr": qr_code(printed.url),
    }
