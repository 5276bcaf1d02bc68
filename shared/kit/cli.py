"""The command line that every service has."""

import asyncio
import gc
import json
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError

from kit import telemetry, topics
from kit.operate import add_commands
from kit.service import ROLES, Service


class _Failed(typer.TyperException):
    """What could not be done, and what to look at."""


def command_line(service: Service) -> typer.Typer:
    """`migrate`, `topics apply`, `acls apply`, `run`, and what is mended with: `parked`, `replay`, `rebuild`."""
    cli = typer.Typer(no_args_is_help=True, help=f"The {service.name} service of Tandem.", add_completion=False)
    topics_cli = typer.Typer(no_args_is_help=True, help="The topics this service owns.")
    cli.add_typer(topics_cli, name="topics")
    acls_cli = typer.Typer(no_args_is_help=True, help="What this service may do in Kafka.")
    cli.add_typer(acls_cli, name="acls")

    @cli.command()
    def migrate(revision: str = "head") -> None:
        """Bring the database up to date, as its owner."""
        from kit import migrations  # Alembic is slow to load, and `run` never needs it

        migrations.upgrade(service.migrations, service.settings, revision)

    @cli.command()
    def prepare() -> None:
        """All that `run` needs: the database up to date, the topics, and the rights where Kafka knows its users."""
        migrate()
        apply_topics()
        if service.settings.kafka.by_user:
            apply_acls()

    @topics_cli.command("apply")
    def apply_topics() -> None:
        """Make the topics in Kafka be as this service declares them."""
        kafka, replication = service.settings.kafka, service.settings.kafka_replication

        async def applied() -> dict[str, str]:
            try:
                return await topics.apply(kafka, service.topics, replication)
            except KafkaError as error:
                raise _Failed(await kafka.why(error)) from error

        for name, what in sorted(asyncio.run(applied()).items()):
            typer.echo(f"{name:40} {what}")

    @topics_cli.command("list")
    def list_() -> None:
        """What this service declares, without asking Kafka."""
        for topic in service.topics:
            config = " ".join(f"{k}={v}" for k, v in topic.config.items())
            typer.echo(f"{topic.name:40} partitions={topic.partitions} {config}")

    @acls_cli.command("apply")
    def apply_acls(
        prune: Annotated[bool, typer.Option(help="also take away rights that it no longer declares")] = False,
    ) -> None:
        """Give this service's user, as an operator, the rights that its declarations need."""
        import kafka.errors

        from kit import acls  # with a client of its own, which `run` never needs

        try:
            done = acls.apply(service.settings.kafka, service.principal, rights(), prune)
        except kafka.errors.KafkaError as error:
            raise _Failed(acls.explain(error, service.settings.kafka)) from error
        for right, what in done:
            typer.echo(f"{service.principal:20} {right!s:56} {what}")

    @acls_cli.command()
    def show(
        principal: Annotated[str, typer.Option(help="the name by which Kafka knows it")] = f"User:{service.name}",
    ) -> None:
        """What it may do, a line each, without asking Kafka; for those who give rights by other means."""
        for right in rights():
            typer.echo(f"{principal:20} {right}")

    def rights() -> list[Any]:
        from kit import acls

        reads = [*service.listens, service.dead_letters]  # its dead letters, to replay them
        return acls.declared([t.name for t in service.topics], reads, service.name)

    @cli.command()
    def openapi() -> None:
        """The HTTP interface, as /openapi.json shows it."""
        typer.echo(json.dumps(service.app().openapi(), indent=1))

    @cli.command()
    def run(
        role: Annotated[str, typer.Option(help="all, api (requests only) or worker (everything else)")] = "all",
        host: str = "127.0.0.1",
        port: int = 8000,
    ) -> None:
        """Run until SIGTERM, which lets requests and the batch at hand finish."""
        if role not in ROLES:
            raise typer.BadParameter(f"one of {', '.join(ROLES)}", param_hint="--role")
        import uvicorn

        telemetry.configure_logs(service.name, service.settings.log_level)
        app = service.app(role)
        # What is loaded stays, and batches make many short-lived objects: looking at all of them again and
        # again costs up to half of the processor time of a busy consumer.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        uvicorn.run(
            app,
            host=host,
            port=port,
            loop="uvloop",
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(service.settings.stop_grace_s),
        )

    add_commands(cli, service)
    return cli
