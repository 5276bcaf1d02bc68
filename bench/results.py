"""What a benchmark found, whether that is enough, and how it is shown and kept."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

console = Console()


@dataclass(frozen=True, slots=True)
class Result:
    """A figure. The target is meant for the ratio where there is one, else for the value."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    target: float | None = None
    better: Literal["more", "less"] = "more"
    note: str = ""
    """For people: the baseline, the spread, what the figure includes."""

    @property
    def met(self) -> bool | None:
        """None where nothing was promised."""
        if self.target is None:
            return None
        judged = self.value if self.ratio is None else self.ratio
        return judged >= self.target if self.better == "more" else judged <= self.target


@dataclass
class Report:
    """The results so far."""

    results: list[Result] = field(default_factory=list)

    def add(self, results: Sequence[Result], took_s: float) -> None:
        """Keep results, and say them at once: the next benchmark takes a while."""
        for result in results:
            self.results.append(result)
            console.print(f"  {result.name}: {_figure(result.value)} {result.unit}; {result.note}")
        console.print(f"  [dim]took {took_s:.0f} s[/dim]")

    def show(self) -> None:
        table = Table("benchmark", title="Tandem, measured", title_justify="left")
        for column in ("value", "ratio", "target", "met"):
            table.add_column(column, justify="right")
        table.add_column("note", overflow="fold")
        for r in self.results:
            sign = "≥" if r.better == "more" else "≤"
            table.add_row(
                r.name,
                f"{_figure(r.value)} {r.unit}",
                "" if r.ratio is None else f"{r.ratio:.2f} ×",
                "" if r.target is None else f"{sign} {r.target:g}{'' if r.ratio is None else ' ×'}",
                {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}[r.met],
                r.note,
            )
        console.print(table)

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = ("name", "value", "unit", "ratio", "target")
        rows = [{name: asdict(r)[name] for name in kept} | {"met": r.met} for r in self.results]
        file.write_text(json.dumps(rows, indent=2) + "\n")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
