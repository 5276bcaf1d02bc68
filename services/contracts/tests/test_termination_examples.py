"""The worked examples of docs/termination-rules.md, computed."""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from contracts.buyouts.rules import Paid, Quote, Rule, Service, quote
from contracts.terminations.rules import (
    OpenEnd,
    Term,
    answer_until,
    local_day,
    proposal_until,
    propose_until,
    regular_end,
)
from kit.db import uuid7

PAGE = (Path(__file__).parents[3] / "docs" / "termination-rules.md").read_text()
EXAMPLES = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]
ENDS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if re.match(r"\| \d{4}-", line)
]


def examples(kind: str) -> list[Any]:
    return [pytest.param(e, id=f"{kind} {n}") for n, e in enumerate(EXAMPLES) if e["example"] == kind]


def test_the_page_has_every_kind_of_example() -> None:
    assert {e["example"] for e in EXAMPLES} == {"day", "sum", "rule", "deadlines"}
    assert len(ENDS) == 18


@pytest.mark.parametrize("example", examples("day"))
def test_the_day_of_a_moment(example: dict[str, Any]) -> None:
    zones = {zone: day for zone, day in example.items() if "/" in zone}

    assert {zone: local_day(example["moment"], zone) for zone in zones} == zones


@pytest.mark.parametrize("row", ENDS, ids=[row[-1] for row in ENDS])
def test_the_regular_end(row: list[str]) -> None:
    start, first, renewal, notice, open_end, given, end, _ = row
    length, unit = notice.split()
    term = Term(
        date.fromisoformat(start),
        int(first),
        None if renewal == "none" else int(renewal),
        open_end=OpenEnd(open_end or "month"),
        **{f"notice_{unit}": int(length)},
    )

    assert regular_end(term, date.fromisoformat(given)) == date.fromisoformat(end)


@pytest.mark.parametrize("example", examples("sum"))
def test_the_sum_and_its_lines(example: dict[str, Any]) -> None:
    term = Term(example["start"], example["term"], example.get("renewal"))
    service = Service(term, example["fee"], "EUR", Rule.of(example.get("rule", {})), example.get("one_off", 0))
    paid = [Paid(uuid7(), p["first"], p["last"], p["net"]) for p in example.get("paid", ())]

    quoted = quote(service, example["last_day"], example["regular_end"], paid)

    assert term.end(0) == example["regular_end"]
    assert [[line.kind, line.amount, *filter(None, (line.first, line.last))] for line in quoted.lines] == example[
        "lines"
    ]
    assert quoted.total == example["sum"]


@pytest.mark.parametrize("example", examples("rule"))
def test_the_sum_by_another_rule(example: dict[str, Any]) -> None:
    quoted = quoted_by(example["rule"])

    assert [[line.kind, line.amount] for line in quoted.lines] == example["lines"]
    assert quoted.total == example["sum"]


def quoted_by(rule: dict[str, Any]) -> Quote:
    service = Service(Term(date(2026, 1, 1), 24, None), 12_000, "EUR", Rule.of(rule))
    return quote(service, date(2027, 9, 20), date(2027, 12, 31))


@pytest.mark.parametrize("example", examples("deadlines"))
def test_the_deadlines(example: dict[str, Any]) -> None:
    on, last_day = example["on"], example["last_day"]

    assert answer_until(on, last_day) == example["answer_until"]
    assert proposal_until(on, last_day) == example["proposal_until"]
    assert propose_until(on) == example["propose_until"]
