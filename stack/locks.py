"""The locked third-party dependencies of every deployable and of the development environment.

`python stack/locks.py` resolves them anew (keeping what is pinned where it still fits); `--check` only
tells, without a network, whether a lock was made from the requirements as they are now.
"""

import argparse
import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
KIT = [Path("shared/pyproject.toml"), Path("contracts-schemas/pyproject.toml")]
SERVICES = [Path(f"services/{name}") for name in ("academy", "billing", "catalog", "contracts", "enrollment")]
KIT_LOCK = Path("shared/requirements.lock")
LOCKS = {
    KIT_LOCK: KIT,
    **{service / "requirements.lock": [service / "pyproject.toml", *KIT] for service in SERVICES},
    Path("requirements-dev.lock"): [Path("requirements-dev.in"), *KIT, *(s / "pyproject.toml" for s in SERVICES)],
}


def digest(inputs: list[Path]) -> str:
    """Names the requirements a lock was made from."""
    wanted = "\n".join(line for path in inputs for line in third_party(path))
    return hashlib.sha256(wanted.encode()).hexdigest()[:32]


def is_current(lock: Path, inputs: list[Path]) -> bool:
    path = ROOT / lock
    return path.exists() and path.read_text().startswith(f"# made from {digest(inputs)}\n")


def third_party(path: Path) -> list[str]:
    """The requirements in a pyproject.toml or a plain list, less our own distributions."""
    text = (ROOT / path).read_text()
    found = text.splitlines() if path.suffix == ".in" else tomllib.loads(text)["project"]["dependencies"]
    return [line for line in found if line and not line.startswith(("#", "tandem-"))]


def compile_(lock: Path, inputs: list[Path]) -> None:
    """Resolve for every platform and Python from 3.11; our own packages are installed beside the lock."""
    command = [
        *(str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--universal"),
        *("--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"),
        *("--output-file", str(lock), "-"),
    ]
    if lock != KIT_LOCK:
        command += ["--constraints", str(KIT_LOCK)]  # an image installs the kit's lock first
    wanted = "\n".join(line for path in inputs for line in third_party(path))
    subprocess.run(command, cwd=ROOT, check=True, input=wanted, text=True)
    path = ROOT / lock
    path.write_text(f"# made from {digest(inputs)}\n{path.read_text()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell which locks are out of date")
    stale = [lock for lock, inputs in LOCKS.items() if not is_current(lock, inputs)]
    if parser.parse_args().check:
        if stale:
            sys.exit(f"out of date: {', '.join(map(str, stale))}; run `make lock`")
        return
    for lock in stale:
        print(lock)
        compile_(lock, LOCKS[lock])


if __name__ == "__main__":
    main()
