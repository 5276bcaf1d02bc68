"""A run's figures, for the terminal and for the README."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from chaos.run import Outcome
from stack.places import ROOT

KEPT = ROOT / "docs" / "reliability.json"
README = ROOT / "README.md"
BEGINS, ENDS = "<!-- from docs/reliability.json: begin -->\n", "<!-- end -->\n"
SHOWN_MAX = 20
"""Faults of one claim that are shown."""


def show(outcome: Outcome) -> None:
    """Print what was done, what was found, and where something does not hold."""
    console = Console(width=140)
    figures = outcome.figures()
    done = Table("what", "how much", title="Chaos", title_justify="left")
    for name, value in figures.items():
        if name not in ("claims", "holds"):
            said = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
            done.add_row(name.replace("_", " "), said)
    console.print(done)
    found = Table("claim", "looked at", "broken", title="Checked", title_justify="left")
    for claim in outcome.claims:
        broken = len(claim.faults)
        found.add_row(claim.words, f"{claim.looked_at:,}", f"[red]{broken}[/red]" if broken else "0")
    console.print(found)
    for claim in outcome.claims:
        for fault in claim.faults[:SHOWN_MAX]:
            console.print(f"[red]{claim.words}[/red]: {fault}", markup=True, highlight=False)
    for said in outcome.journal.contradictions[:SHOWN_MAX]:
        console.print(f"[red]contradiction[/red]: {said}", highlight=False)


def publish(figures: Mapping[str, Any]) -> None:
    """Keep a run's figures in docs/ and put their table into the README."""
    KEPT.write_text(json.dumps(figures, indent=2) + "\n")
    text = README.read_text()
    before, _, rest = text.partition(BEGINS)
    _, _, after = rest.partition(ENDS)
    README.write_text(before + BEGINS + table(figures) + ENDS + after)


def table(figures: Mapping[str, Any]) -> str:
    """The README's table of a run."""
    faults, claims = figures["faults"], figures["claims"]
    cuts = sum(n for kind, n in faults.items() if kind.startswith("cut"))
    full = sum(n for kind, n in faults.items() if kind.startswith("disk"))
    copied = sum(figures["records_copied"].values())
    befell = {
        "kill -9": faults.get("kill -9", 0),
        "frozen past time-outs": faults.get("frozen", 0),
        "cut from Kafka or PostgreSQL": cuts,
        "a full disk": full,
        "a forced rebalance": faults.get("rebalance", 0),
    }
    checks, broken = sum(claim["looked_at"] for claim in claims), sum(claim["broken"] for claim in claims)
    rows = {
        f"seed {figures['seed']}": f"{figures['minutes']:g} minutes, {figures['replicas']} replicas of every role",
        "load": f"{figures['requests']:,} requests ({figures['requests_per_s']:g}/s), repeated"
        f" {figures['requests_repeated']:,} times; {copied} records sent again",
        "faults": ", ".join(f"{n} × {what}" for what, n in befell.items()),
        "result": f"{sum(figures['enrollments'].values()):,} enrollments, {figures['records']:,} records,"
        f" {figures['mails']:,} mails",
        "checked": "; ".join(claim["claim"] for claim in claims),
        "broken": f"**{broken}** of {checks:,} checks",
    }
    head, *body = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join([head, "|---|---|", *body]) + "\n"
