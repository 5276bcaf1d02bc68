"""The public page that verifies a certificate: HTML without script, in three languages."""

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import date
from functools import partial

from jinja2 import Environment, PackageLoader

from academy.certificates.words import LANGUAGE_NAMES, LANGUAGES, PAGE, written_date


@dataclass(frozen=True, slots=True)
class Shown:
    """What anyone who has the number may know of a certificate."""

    number: str
    name: str | None
    course: str
    completed_on: date
    issued_on: date
    issuer: str
    revoked_on: date | None = None
    reason: str | None = None

    @property
    def status(self) -> str:
        """`valid` or `revoked`."""
        return "revoked" if self.revoked_on else "valid"


_templates = Environment(
    loader=PackageLoader("academy.certificates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
_style = _templates.get_template("verify.css").render()
_style_hash = base64.b64encode(hashlib.sha256(_style.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_style_hash}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Vary": "Accept, Accept-Language",
    "X-Robots-Tag": "noindex",
}


def language_for(asked: str | None, accepted: str | None, default: str = "en") -> str:
    """The page's language: the one asked for, else the best that the browser accepts, else `default`."""
    if asked in LANGUAGES:
        return asked
    weighed = []
    for place, part in enumerate((accepted or "").split(",")[:20]):
        named = re.fullmatch(r"\s*([A-Za-z]{2})(?:-[\w-]*)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*", part)
        if named and named[1].lower() in LANGUAGES and float(named[2] or 1) > 0:
            weighed.append((-float(named[2] or 1), place, named[1].lower()))
    return min(weighed)[2] if weighed else default


def verification_page(
    state: str, language: str, *, certificate: Shown | None = None, number: str | None = None, brand: str
) -> str:
    """The page in one `state`: `valid`, `revoked`, `unknown`, `mistyped` or `ask`."""
    template = _templates.get_template("verify.html")
    return template.render(
        state=state,
        language=language,
        languages=LANGUAGE_NAMES,
        words=PAGE[language],
        style=_style,
        certificate=certificate,
        number=certificate.number if certificate else number,
        brand=certificate.issuer if certificate else brand,
        written=partial(written_date, language=language),
    )
