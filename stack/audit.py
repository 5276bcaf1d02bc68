"""Known vulnerabilities in what is locked, by pip-audit: `python -m stack.audit`.

The advisories come from the package index, or else from OSV. Where neither answers, nothing can be said, and that
is said: it is no failure, and no clean bill either.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from stack.locks import LOCKS
from stack.places import ROOT

SOURCES = ("pypi", "osv")
WITHIN_S = 300


def audited(lock: Path) -> list[dict[str, Any]] | None:
    """What pip-audit says of each dependency of a lock, from the first source that answers; None: none did."""
    for source in SOURCES:
        ended = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("pip-audit")), "--requirement", str(lock), "--disable-pip"),
                *("--require-hashes", "--vulnerability-service", source, "--format", "json"),
                *("--progress-spinner", "off", "--timeout", "10"),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        try:
            found: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
        except ValueError:
            continue  # it could not ask, and said so on standard error
        if any("vulns" in dependency for dependency in found):
            return found
    return None


def main() -> None:
    wrong, unknown = [], []
    for lock in LOCKS:
        found = audited(lock)
        if found is None:
            print(f"NOT AUDITED: no source of advisories answers here ({', '.join(SOURCES)}); {lock} and what follows")
            break
        for one in found:
            vulnerable = one.get("vulns")
            if vulnerable is None:
                unknown.append(f"{lock}: {one['name']}: {one.get('skip_reason')}")
            wrong += [f"{lock}: {one['name']} {one['version']}: {v['id']}" for v in vulnerable or ()]
    else:
        print(f"{len(wrong)} known vulnerabilities, {len(unknown)} dependencies that nobody knows")
    print(*unknown, *wrong, sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
