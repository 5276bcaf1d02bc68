"""The README's table of reliability says what a run of chaos measured, by a checker that is independent."""

import ast
import json

from chaos import report
from stack.places import ROOT
from stack.processes import SERVICES


def test_the_readme_shows_the_figures_that_were_kept() -> None:
    figures = json.loads(report.KEPT.read_text())

    assert report.table(figures) in report.README.read_text()


def test_the_figures_that_were_kept_are_of_a_run_in_which_everything_held() -> None:
    figures = json.loads(report.KEPT.read_text())

    assert figures["holds"]
    assert all(claim["looked_at"] and not claim["broken"] for claim in figures["claims"])
    assert {"kill -9", "frozen", "cut, noticed", "cut, silent", "rebalance"} <= set(figures["faults"])


def test_the_checker_shares_no_code_with_what_it_checks() -> None:
    tree = ast.parse((ROOT / "chaos" / "checker.py").read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.split(".")[0] for name in imported}.isdisjoint({"kit", "schemas", "chaos", "tests", *SERVICES})
