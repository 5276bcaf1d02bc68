"""What operators look at speaks of metrics that are there, and every alert has a run book."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from stack import tools
from stack.places import ROOT
from stack.processes import SERVICES
from tests.suite import Suite

PROMETHEUS = ROOT / "ops" / "prometheus"
DASHBOARDS = sorted((ROOT / "ops" / "grafana" / "dashboards").glob("*.json"))
RULES: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
SCRAPED = {"job", "service", "instance"}
"""Labels that Prometheus adds."""
OF_PROMETHEUS = {"up": SCRAPED}


def expressions() -> Iterator[tuple[str, str]]:
    """Every query of the alerts and dashboards, and where it stands."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for file in DASHBOARDS:
        board = json.loads(file.read_text())
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield f"{file.name}: {panel['title']}", target["expr"]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
                assert asked, variable
                yield f"{file.name}: ${variable['name']}", f"sum by ({asked[2]}) ({asked[1]})"


def selected(query: str) -> dict[str, set[str]]:
    """The metrics a query asks for, with the labels it expects of them. Raises ValueError where it is no PromQL."""
    plain = query.replace("$__rate_interval", "5m").replace("$service", "billing")
    found: dict[str, set[str]] = {}
    _select(promql_parser.parse(plain), set(), found)
    return found


def _select(part: Any, labels: set[str], found: dict[str, set[str]]) -> None:
    match part:
        case promql_parser.VectorSelector():
            matched = {matcher.name for matcher in part.matchers.matchers}
            found.setdefault(part.name, set()).update(labels | matched)
        case promql_parser.MatrixSelector():
            _select(part.vector_selector, labels, found)
        case promql_parser.AggregateExpr():
            _select(part.expr, labels | set(part.modifier.labels if part.modifier else ()), found)
        case promql_parser.BinaryExpr():
            _select(part.lhs, labels, found)
            _select(part.rhs, labels, found)
        case promql_parser.Call():
            for argument in part.args:
                _select(argument, labels, found)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            _select(part.expr, labels, found)
        case promql_parser.NumberLiteral():
            pass
        case _:
            raise ValueError(f"this test knows no {type(part).__name__}")


async def exported(suite: Suite) -> dict[str, set[str]]:
    """Every series that the running services give, with its labels."""
    found = dict(OF_PROMETHEUS)
    for url in suite.urls.values():
        answer = await suite.http.get(f"{url}/metrics")
        assert answer.status_code == 200
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                found.setdefault(sample.name, set(SCRAPED)).update(sample.labels)
    return found


async def test_every_metric_of_an_alert_or_a_dashboard_is_exported_with_the_labels_asked_for(suite: Suite) -> None:
    await suite.partner()  # so that there are requests and records to measure
    there = await exported(suite)

    asked = [(where, metric, labels) for where, query in expressions() for metric, labels in selected(query).items()]

    assert len(asked) > 40
    assert [(where, metric) for where, metric, _ in asked if metric not in there] == []
    assert [(w, m, labels - there[m]) for w, m, labels in asked if not labels <= there[m]] == []


def test_a_query_that_is_no_promql_or_names_no_metric_is_seen() -> None:
    with pytest.raises(ValueError, match="parenthesis"):
        selected("sum by (service) (rate(up[5m])")
    assert selected('sum by (le) (rate(x{a="1"}[$__rate_interval])) / y > 1') == {"x": {"a", "le"}, "y": set()}


def test_every_alert_names_a_run_book_that_exists_and_is_shown_to_fire() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    anchors = {f"docs/operations.md#{re.sub(r'[^a-z0-9 -]', '', h.lower()).replace(' ', '-')}" for h in headings}
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    fired = {rule["alertname"] for test in tests for rule in test["alert_rule_test"] if rule["exp_alerts"]}
    quiet = {rule["alertname"] for test in tests for rule in test["alert_rule_test"] if not rule["exp_alerts"]}

    names = {rule["alert"] for rule in RULES}
    assert {rule["annotations"]["runbook"] for rule in RULES} <= anchors
    assert (fired, quiet) == (names, names)
    assert {rule["labels"]["severity"] for rule in RULES} == {"page", "ticket"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "asked",
    [
        ["check", "rules", "alerts.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["test", "rules", "alerts.test.yml"],
    ],
)
def test_the_alerts_fire_when_they_should_and_not_before(asked: list[str]) -> None:
    ended = subprocess.run([tools.promtool(), *asked], cwd=PROMETHEUS, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_what_the_compose_profile_mounts_and_scrapes_is_there() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    mounted = [v.split(":")[0] for name in ("prometheus", "grafana") for v in services[name]["volumes"]]

    assert [path for path in mounted if not (ROOT / path).is_dir()] == []
    scraped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"][0]["static_configs"]
    assert {s["labels"]["service"]: s["targets"] for s in scraped} == {n: [f"{n}:8000"] for n in SERVICES}
