"""A quote, a proposal or a confirmation as a PDF: its lines, its sum, and what it is called by."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from contracts.buyouts.rules import Quote
from contracts.terminations.words import described, readable, spoken, words_in


@dataclass(frozen=True, slots=True)
class Document:
    """What stands on the page."""

    kind: str
    """`quote`, `proposal` or `confirmation`."""
    issuer: str
    language: str
    reference: str
    facts: Sequence[tuple[str, str]]
    """Label and value."""
    quote: Quote
    made_at: datetime
    fingerprint: str = ""


@cache
def _compiler() -> Any:
    import typst  # heavy, and needed by few processes

    template = str(files("contracts.terminations").joinpath("templates/document.typ"))
    return typst.Compiler(template, ignore_system_fonts=True)


async def rendered(document: Document) -> bytes:
    """The PDF. The same content gives the same bytes."""
    return await asyncio.to_thread(_render, document)


def _render(document: Document) -> bytes:
    language = spoken(document.language)
    words = words_in(language)
    lines = [
        [*described(line, language), readable(line.amount, document.quote.currency)] for line in document.quote.lines
    ]
    content = {
        "title": words[f"doc_{document.kind}"],
        "issuer": document.issuer,
        "language": language,
        "reference": document.reference,
        "keywords": [document.reference, document.quote.last_day.isoformat(), str(document.quote.total)],
        "facts": document.facts,
        "columns": [words["line"], words["period"], words["amount"]],
        "lines": lines,
        "sum-label": words["sum"],
        "sum": readable(document.quote.total, document.quote.currency),
        "note": words[f"{document.kind}_note"],
        "fingerprint-label": words["hash"],
        "fingerprint": document.fingerprint,
    }
    printed_at = int(document.made_at.astimezone(UTC).timestamp())
    pdf = _compiler().compile(sys_inputs={"content": json.dumps(content)}, timestamp=printed_at)
    if not isinstance(pdf, bytes):
        raise TypeError("a document is one file")
    return pdf
