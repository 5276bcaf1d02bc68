"""Who may call what: every endpoint of every service, by role, as docs/access.md.

`python -m stack.access` writes the page from what the services say of themselves. tests/test_access.py tells
whether it is as they are now, and tries every cell of it over HTTP.
"""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from stack.places import ROOT
from stack.processes import SERVICES, python_module

PAGE = ROOT / "docs" / "access.md"
ROLES = (
    "admin", "support", "finance", "editor", "partner_admin", "customer_admin", "hr", "manager", "supplier_user",
    "learner",
)  # fmt: skip
INTRO = """# Who may call what

Made by `make access` from the services' own declarations; `tests/test_access.py` fails while it is out of date, and
tries every cell with a real token. The first four roles are the platform's.

- **yes**: the role may call it, for its own tenant. What belongs to another tenant answers 404 (or 403 where the
  tenant itself is named), also with the id known: the endpoint looks no further than its caller's tenant, and row-level
  security would show it nothing more.
- **–**: 403 `role-missing`. Without a token every line but the public ones answers 401, without a grant 403.
- *public*: no sign-in. *signed in*: any verified identity, before its first grant.
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint and who may call it: the roles, or `public`, `signed in`."""

    service: str
    method: str
    path: str
    access: frozenset[str]
    operation: dict[str, Any]

    @property
    def cells(self) -> list[str]:
        if open_ := self.access & {"public", "signed in"}:
            return [f"*{next(iter(open_))}*"] * len(ROLES)
        return ["yes" if role in self.access else "–" for role in ROLES]


def endpoints(service: str, document: dict[str, Any]) -> Iterator[Endpoint]:
    """What a service's OpenAPI document declares. Raises `KeyError` for an operation that does not say for whom."""
    for path, operations in document["paths"].items():
        for method, operation in sorted(operations.items()):
            yield Endpoint(service, method.upper(), path, frozenset(operation["x-access"]), operation)


def documents() -> dict[str, dict[str, Any]]:
    """Every service's OpenAPI document, by asking its command."""

    def asked(service: str) -> dict[str, Any]:
        said = subprocess.run([*python_module(service), "openapi"], capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    with ThreadPoolExecutor() as pool:
        return dict(zip(SERVICES, pool.map(asked, SERVICES), strict=True))


def page(documents: dict[str, dict[str, Any]]) -> str:
    parts = [INTRO]
    for service, document in documents.items():
        head = f"| {service} | " + " | ".join(role.replace("_", " ") for role in ROLES) + " |"
        lines = [f"| `{e.method} {e.path}` | " + " | ".join(e.cells) + " |" for e in endpoints(service, document)]
        parts.append("\n".join([f"## {service}", "", head, "|---" * (len(ROLES) + 1) + "|", *lines]) + "\n")
    return "\n".join(parts)


def main() -> None:
    PAGE.write_text(page(documents()))


if __name__ == "__main__":
    main()
