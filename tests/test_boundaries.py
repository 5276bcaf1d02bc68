"""Who may import whom, and what every service must have. Read from the tree, so that it holds for
services and features to come.

`.importlinter` says the same of whole packages and follows chains of imports; here each file is judged
by its role, which is its name.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from schemas.event import Event, all_events
from schemas.publish.services import traffic

CHECKOUT = Path(__file__).parents[1]

EDGES = {"http", "consumers", "jobs"}
"""Files that meet the world: requests, records, the clock."""
WORLD = {"fastapi", "starlette", "uvicorn", "faststream", "aiokafka", "httpx", "aiosmtplib"}
"""Libraries that only edges and the kit may know."""
STORAGE = {"sqlalchemy", "asyncpg", "alembic"}


@dataclass(frozen=True)
class Module:
    """One file of a service's package."""

    name: str
    path: Path
    tree: "Tree"

    @property
    def service(self) -> str:
        return self.name.split(".")[0]

    @property
    def feature(self) -> str:
        """`suppliers` of `catalog.suppliers.rules`; a single file is its own feature."""
        return self.name.partition(".")[2].partition(".")[0]

    @property
    def role(self) -> str:
        """rules, rows, usecases, an edge, app, settings, or single: a file that is a feature by itself.

        A file in a feature that has another name helps its use cases, and is bound like them.
        """
        inner = self.name.split(".")[1:]
        if len(inner) <= 1:
            return {"app": "app", "__main__": "app", "settings": "settings"}.get("".join(inner), "single")
        return inner[-1] if inner[-1] in EDGES | {"rules", "rows"} else "usecases"

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        return list(imports(self.path, self.name, self.tree.modules))

    @cached_property
    def impurities(self) -> list[tuple[int, str]]:
        """Imports that a rule must not have: anything but the standard library, values, and other pure files."""
        return [(line, name) for line, name in self.imports if not self._is_pure(name)]

    def _is_pure(self, name: str) -> bool:
        top = name.split(".")[0]
        if top == self.service:
            inside = self.tree.modules.get(name)
            return inside is None or inside is self or (inside.role in ("rules", "single") and not inside.impurities)
        if top == "schemas":
            return name in ("schemas.values", "schemas.event")
        return top != "kit" and top not in WORLD | STORAGE and top not in self.tree.services


class Tree:
    """A checkout: its services and their modules by dotted name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.services = sorted(p.name for p in (root / "services").iterdir() if (p / p.name).is_dir())
        self.modules: dict[str, Module] = {}
        for service in self.services:
            base = root / "services" / service
            for path in (base / service).rglob("*.py"):
                name = dotted(path, base)
                self.modules[name] = Module(name, path, self)

    def violations(self) -> list[str]:
        """Everything in the tree that imports what it must not, as `file:line: why`."""
        return sorted(f"{path.relative_to(self.root)}:{line}: {why}" for path, line, why in self._found())

    def _found(self) -> Iterator[tuple[Path, int, str]]:
        for module in self.modules.values():
            for line, name in module.imports:
                if why := refused(module, name):
                    yield module.path, line, why
        for path in (self.root / "services").rglob("*.py"):
            service = path.relative_to(self.root / "services").parts[0]
            for line, name in imports(path, dotted(path, self.root), self.modules):
                top = name.split(".")[0]
                if top in self.services and top != service:
                    yield path, line, f"{service} imports the service {top}"
                elif top == service and path.parent.name == "versions":
                    yield path, line, "a migration imports its service, which will change"
        for path in (self.root / "shared/kit").rglob("*.py"):
            for line, name in imports(path, dotted(path, self.root / "shared"), {}):
                top = name.split(".")[0]
                if top in self.services:
                    yield path, line, f"the kit imports the service {top}"
                elif top == "schemas" and not name.startswith(("schemas.event", "schemas.access", "schemas.clock")):
                    yield path, line, f"the kit imports {name}: it may know the envelope, grants and clocks only"
                elif top == "stack" and path.stem != "testing":
                    yield path, line, "the kit imports the local stack"
        for path in (self.root / "contracts-schemas/schemas").rglob("*.py"):
            for line, name in imports(path, dotted(path, self.root / "contracts-schemas"), {}):
                if name.split(".")[0] in {"kit", "stack", "tests", *self.services}:
                    yield path, line, f"the schemas import {name}"
                elif name.startswith("schemas.publish") and "publish" not in path.parts:
                    yield path, line, "an event's module imports the publishing of events"
        for path in (self.root / "stack").rglob("*.py"):
            for line, name in imports(path, dotted(path, self.root), {}):
                if name.split(".")[0] in self.services:
                    yield path, line, f"the stack imports {name}: it starts services by their command"


def refused(module: Module, name: str) -> str:
    """Why this module must not import that name; empty: it may."""
    top, role = name.split(".")[0], module.role
    if role == "rules" and (name in {impure for _, impure in module.impurities}):
        return f"a rule imports {name}: it takes the standard library and value types"
    if role == "rows" and top == "kit" and name != "kit.db":
        return f"rows import {name}: of the kit they take kit.db"
    if role in ("rows", "usecases") and top in WORLD:
        return f"{role} import {top}: only edges meet the world"
    target = module.tree.modules.get(name)
    if target is None or target.service != module.service or role == "app" or target is module:
        return ""
    if target.role == "app":
        return f"{role} import the wiring"
    if target.role in EDGES:
        return f"{role} import {name}: edges are for the wiring alone"
    if target.role == "rows" and target.feature != module.feature:
        return f"{role} import another feature's rows, {name}"
    if target.role == "rows" and role in EDGES:
        return f"{role} import rows, {name}: they call use cases"
    if role == "rows" and target.role not in ("rules", "rows") and target.impurities:
        return f"rows import {name}: they take rules and value types"
    if role == "settings" and target.role != "single":
        return f"settings import {name}"
    return ""


def dotted(path: Path, base: Path) -> str:
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, name: str, known: dict[str, Module]) -> Iterator[tuple[int, str]]:
    """The modules a file imports, wherever in it, with their lines. A name in a package that is a module
    counts as that module."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                modules = (*known, "kit.db", "schemas.event", "schemas.values", "schemas.access")
                # `from kit import outbox` names a module too; the kit has no other names worth telling apart.
                yield node.lineno, full if full in modules or base in ("kit", "schemas") else base


def fixed_sleeps(path: Path) -> list[int]:
    """Lines in tests that sleep a number of seconds and do not look whether that was needed.

    A pause in a loop looks; one in a function inside, or beside, makes work slow on purpose.
    """
    looking = (ast.While, ast.For, ast.AsyncFor, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

    def below(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, looking):
                yield child
                yield from below(child)

    return [
        call.lineno
        for test in ast.walk(ast.parse(path.read_text(), str(path)))
        if isinstance(test, (ast.FunctionDef, ast.AsyncFunctionDef)) and test.name.startswith("test_")
        for call in below(test)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in ("asyncio.sleep", "time.sleep", "sleep")
        and any(isinstance(argument, ast.Constant) and argument.value for argument in call.args)
    ]


HERE = Tree(CHECKOUT)


def test_every_file_imports_only_what_its_role_may() -> None:
    assert HERE.violations() == []


def test_no_chain_of_imports_leads_where_it_must_not() -> None:
    parts = [CHECKOUT / "contracts-schemas", CHECKOUT / "shared", *(CHECKOUT / "services").iterdir()]
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, parts))},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


BAD = {
    "services/shop/shop/orders/rules.py": [
        ("from sqlalchemy import select", "a rule imports sqlalchemy"),
        ("from shop.orders.rows import Order", "a rule imports shop.orders.rows"),
        ("from kit import clock", "a rule imports kit.clock"),
        ("from schemas.course import CoursePublished", "a rule imports schemas.course"),
        ("from shop.clocks import Clock", "a rule imports shop.clocks"),
    ],
    "services/shop/shop/orders/rows.py": [
        ("from kit.http import Page", "rows import kit.http"),
        ("from shop.orders.usecases import place", "rows import shop.orders.usecases"),
        ("from shop.parcels.rows import Parcel", "rows import another feature's rows"),
    ],
    "services/shop/shop/orders/usecases.py": [
        ("from shop.orders.http import router", "usecases import shop.orders.http"),
        ("from shop.orders import consumers", "usecases import shop.orders.consumers"),
        ("from shop.parcels.rows import Parcel", "usecases import another feature's rows"),
        ("from shop.parcels import rows", "usecases import another feature's rows"),
        ("from fastapi import Request", "usecases import fastapi"),
        ("from shop.app import service", "usecases import the wiring"),
    ],
    "services/shop/shop/orders/helpers.py": [
        ("from ..parcels.rows import Parcel", "usecases import another feature's rows"),
    ],
    "services/shop/shop/orders/http.py": [
        ("from shop.orders.rows import Order", "http import rows"),
        ("from shop.orders.consumers import on_paid", "http import shop.orders.consumers"),
        ("def f():\n    from shop.orders.rows import Order", "http import rows"),
    ],
    "services/shop/shop/orders/consumers.py": [
        ("import shop.orders.rows", "consumers import rows"),
        ("import mint.coins", "shop imports the service mint"),
    ],
    "services/shop/shop/dunning.py": [
        ("from shop.parcels.rows import Parcel", "single import another feature's rows"),
    ],
    "services/shop/shop/settings.py": [("from shop.orders.rules import price", "settings import shop.orders")],
    "services/shop/tests/test_orders.py": [("from mint.coins import Coin", "shop imports the service mint")],
    "services/shop/migrations/versions/0001_orders.py": [
        ("from shop.orders.rows import Order", "a migration imports its service"),
    ],
    "shared/kit/outbox.py": [
        ("from shop.orders.usecases import place", "the kit imports the service shop"),
        ("from schemas.course import CoursePublished", "the kit imports schemas.course"),
        ("from schemas import credits", "the kit imports schemas.credits"),
        ("import stack.parts", "the kit imports the local stack"),
    ],
    "contracts-schemas/schemas/parcel.py": [
        ("from kit.db import uuid7", "the schemas import kit.db"),
        ("from schemas.publish import release", "an event's module imports the publishing"),
    ],
    "stack/suite.py": [("from shop.app import service", "the stack imports shop.app")],
}

GOOD = {
    "services/shop/shop/orders/rules.py": (
        "from dataclasses import dataclass\nfrom schemas.values import Money\nimport stdnum\n"
        "from shop.parcels.rules import Weight\nfrom shop.moments import Moment"
    ),
    "services/shop/shop/orders/rows.py": "from kit.db import Base\nfrom sqlalchemy import Table\nimport shop.moments",
    "services/shop/shop/orders/usecases.py": (
        "from kit import outbox\nfrom shop.orders import rows\nfrom shop.orders.helpers import find\n"
        "from shop.parcels.usecases import send\nfrom schemas.credits import CreditsCharged\nfrom shop import dunning"
    ),
    "services/shop/shop/orders/http.py": "from fastapi import Response\nfrom shop.orders.usecases import place",
    "services/shop/shop/app.py": "from shop.orders.http import router\nfrom shop.orders.consumers import on_paid",
    "services/shop/shop/settings.py": "from kit.settings import ServiceSettings",
    "services/shop/tests/test_orders.py": "from shop.orders.rows import Order\nfrom kit.testing import client",
    "shared/kit/testing.py": "from schemas.access import AccessChanged\nfrom stack.parts import running",
    "shared/kit/outbox.py": "from schemas.event import Event",
}


PARCELS = ["parcels/rules", "parcels/rows", "parcels/usecases"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tree of two services in which everybody behaves."""
    for file in ["app", "moments", "dunning", "orders/consumers", "orders/helpers", *PARCELS]:
        write(tmp_path / f"services/shop/shop/{file}.py", "")
    for file in ["services/mint/mint/coins", "shared/kit/db", "contracts-schemas/schemas/values", "stack/suite"]:
        write(tmp_path / f"{file}.py", "")
    write(tmp_path / "services/shop/shop/clocks.py", "from kit import clock")
    for name, text in GOOD.items():
        write(tmp_path / name, text)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_tree_in_which_everybody_behaves_passes(small: Path) -> None:
    assert Tree(small).violations() == []


@pytest.mark.parametrize(
    ("file", "line", "said"), [(file, line, said) for file, cases in BAD.items() for line, said in cases]
)
def test_a_forbidden_import_is_found_and_named(small: Path, file: str, line: str, said: str) -> None:
    write(small / file, line)

    violations = Tree(small).violations()

    assert any(found.startswith(f"{file}:") and said in found for found in violations), violations


def test_a_sleep_that_does_not_look_is_found(tmp_path: Path) -> None:
    write(
        tmp_path / "test_a.py",
        "async def test_a():\n"
        "    await asyncio.sleep(0)\n"
        "    with started():\n"
        "        time.sleep(2)\n"
        "    while not done():\n"
        "        await asyncio.sleep(0.1)\n"
        "    async def slow_handler():\n"
        "        await asyncio.sleep(0.5)\n",
    )

    assert fixed_sleeps(tmp_path / "test_a.py") == [4]


def test_no_test_sleeps_without_looking() -> None:
    tests = [path for part in ("services", "shared", "tests", "stack") for path in (CHECKOUT / part).rglob("*.py")]

    assert [
        f"{path.relative_to(CHECKOUT)}:{line}"
        for path in tests
        if "tests" in path.relative_to(CHECKOUT).parts
        for line in fixed_sleeps(path)
    ] == []


@pytest.mark.parametrize("service", HERE.services)
def test_a_service_is_deployable_alone(service: str) -> None:
    home = CHECKOUT / "services" / service
    parts = ["README.md", "pyproject.toml", "Dockerfile", "alembic.ini", "migrations/env.py", "tests"]
    parts += [f"{service}/{file}" for file in ("__main__.py", "app.py", "settings.py")]

    assert [part for part in parts if not (home / part).exists()] == []
    assert list((home / "migrations/versions").glob("*.py"))


def test_each_event_is_announced_by_its_source_and_by_nobody_else() -> None:
    said = {(name, event) for name, declared in traffic().items() for event in declared.sends}

    assert said == {(event.source, event) for event in all_events()}


def test_every_event_that_is_consumed_is_announced_by_somebody() -> None:
    services = traffic()
    announced: set[type[Event]] = {event for declared in services.values() for event in declared.sends}

    assert {event for declared in services.values() for event in declared.receives} - announced == set()


@pytest.mark.parametrize("service", HERE.services)
def test_every_handler_of_a_service_is_wired(service: str) -> None:
    declared = {
        node.name
        for module in HERE.modules.values()
        if module.service == service
        for node in ast.walk(ast.parse(module.path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef)
        and any(ast.unparse(decorator).startswith("batches(") for decorator in node.decorator_list)
    }

    assert declared - set(traffic()[service].handlers) == set()
