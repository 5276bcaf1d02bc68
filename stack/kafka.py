"""One Kafka broker in KRaft mode: its own controller, on the loopback, tuned for a small machine."""

import shutil
from pathlib import Path

from stack import kafka_security, tools
from stack.artefacts import Artefacts, run
from stack.daemon import Daemon, running_in
from stack.kafka_security import Secured
from stack.places import free_port

JVM = ["-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError"]
STARTED = "Kafka Server started"
SECURE_SETTINGS = ".secure.properties"
LOGGING = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",  # Says when the broker has started.
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
]

TUNING = """\
# Topics are declared by the services; one that is missing must show.
auto.create.topics.enable=false
# Tests put records on a topic that no service would send, 2 MB and more.
message.max.bytes=4194304
replica.fetch.max.bytes=4194304

offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# Consumers of tests come and go, and are killed.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# After a kill the broker may come back as soon as the session of its former self has ended.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500

num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=8388608
log.index.size.max.bytes=1048576
"""
"""What does not depend on where the broker runs."""


def java(artefacts: Artefacts, *options: str) -> list[str]:
    """The start of a java command with Kafka's classes."""
    # The JVM takes the class archive only with the class path it was made with, so that is sorted.
    classes = ":".join(str(jar) for jar in sorted(artefacts.jars.glob("*.jar")))
    return [tools.java(), *JVM, *options, "-cp", classes]


def prepare(artefacts: Artefacts) -> None:
    """Format a data folder to copy from, and run a broker once to record the classes it loads."""
    home = artefacts.home / "first-broker"
    settings = home.with_suffix(".properties")
    settings.write_text(_settings(artefacts.formatted_kafka, 9092, 9093))
    tool = [*java(artefacts), "kafka.tools.StorageTool"]
    run(*tool, "format", "--cluster-id", "tandem-local-stack-000", "--config", str(settings))
    record = [f"-XX:ArchiveClassesAtExit={artefacts.kafka_classes}"]
    first = Broker(artefacts, home, free_port(), free_port(), options=record)
    first.fresh()
    first.start()
    first.stop()
    shutil.rmtree(home)


def runs_secured(directory: Path) -> bool | None:
    """Whether the broker that runs in a directory lets in only whom it knows; None where none runs."""
    process = running_in(directory).get("kafka")
    return process.cmdline()[-1].endswith(SECURE_SETTINGS) if process else None


class Broker(Daemon):
    """A broker whose data, settings and log are in one directory."""

    def __init__(
        self,
        artefacts: Artefacts,
        directory: Path,
        port: int,
        controller_port: int,
        options: list[str] | None = None,
        secured: Secured | None = None,
    ) -> None:
        self.data = directory / "data" / "kafka"
        self.secured = secured
        self._formatted = artefacts.formatted_kafka
        self.data.parent.mkdir(parents=True, exist_ok=True)
        settings = self.data.with_suffix(SECURE_SETTINGS if secured else ".properties")
        settings.touch(mode=0o600)
        settings.write_text(_settings(self.data, port, controller_port, secured))
        if options is None:
            options = [f"-XX:SharedArchiveFile={artefacts.kafka_classes}"]
        command = [*java(artefacts, *LOGGING, *options), "kafka.Kafka", str(settings)]
        super().__init__("kafka", directory, command, self._says_started, address=f"127.0.0.1:{port}", port=port)

    def fresh(self) -> None:
        """Begin with no topics."""
        if self.data.exists():
            shutil.rmtree(self.data)
        shutil.copytree(self._formatted, self.data)

    def launch(self) -> None:
        if self.secured:
            self.secured.make("localhost", "127.0.0.1")
        super().launch()

    def login(self, user: str | None = None) -> dict[str, str]:
        """What a client needs to come in: as the operator, or as a service's own user, made where missing."""
        if self.secured is None:
            return {"KAFKA_BOOTSTRAP_SERVERS": self.address}
        operator = self.secured.environment(self.address)
        if user is None:
            return operator
        kafka_security.set_password(operator, user, self.secured.password(user))
        return self.secured.environment(self.address, user)

    def _says_started(self) -> bool:
        """The broker's own word: by then its controller has let it in, and it takes requests."""
        return STARTED in self.said()


def _settings(data: Path, port: int, controller_port: int, secured: Secured | None = None) -> str:
    """server.properties of a broker of its own."""
    listener = "SECURE" if secured else "PLAINTEXT"
    protocols = (
        secured.settings() if secured else "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
    )
    return f"""\
process.roles=broker,controller
node.id=1
listeners={listener}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
{protocols}\
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={data}

{TUNING}"""
