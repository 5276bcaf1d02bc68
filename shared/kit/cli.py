"""The command line that every service has."""

import asyncio
import gc
from typing import Annotated

import typer

from kit import telemetry, topics
from kit.service import ROLES, Service


def command_line(service: Service) -> typer.Typer:
    """`migrate`, `topics apply`, `run`: all that an operator needs to bring a service up."""
    cli = typer.Typer(no_args_is_help=True, help=f"The {service.name} service of Tandem.", add_completion=False)
    topics_cli = typer.Typer(no_args_is_help=True, help="The topics this service owns.")
    cli.add_typer(topics_cli, name="topics")

    @cli.command()
    def migrate(revision: str = "head") -> None:
        """Bring the database up to date, as its owner."""
        from kit import migrations  # Alembic is slow to load, and `run` never needs it

        migrations.upgrade(service.migrations, service.settings, revision)

    @cli.command()
    def prepare() -> None:
        """Both of the above: the database up to date, then the topics."""
        migrate()
        apply()

    @topics_cli.command()
    def apply() -> None:
        """Make the topics in Kafka be as this service declares them."""
        settings = service.settings
        done = asyncio.run(topics.apply(settings.kafka_bootstrap_servers, service.topics, settings.kafka_replication))
        for name, what in sorted(done.items()):
            typer.echo(f"{name:40} {what}")

    @topics_cli.command("list")
    def list_() -> None:
        """What this service declares, without asking Kafka."""
        for topic in service.topics:
            config = " ".join(f"{k}={v}" for k, v in topic.config.items())
            typer.echo(f"{topic.name:40} partitions={topic.partitions} {config}")

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

    return cli
