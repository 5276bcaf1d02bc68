"""What operators do by hand, on the command line: parked records, replays, rebuilt copies.

It works in the database and on Kafka itself, beside the service, so it helps while no API answers. What is done
is on record under the operator's name.
"""

import asyncio
import getpass
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from pydantic_core import to_json

from kit import telemetry
from kit.parked import AT_ONCE_MAX, Filter, ParkedNotFound, ParkedOut, Some, found, show, some
from kit.problems import Refused
from kit.replay import Replayed, Stretch, copied_topics, measure, rebuild, replay
from kit.service import Service
from kit.tables import parked

T = TypeVar("T")

Topic = Annotated[str | None, typer.Option(help="Only those of this topic.")]
OfHandler = Annotated[str | None, typer.Option("--handler", help="Only those that this handler takes.")]
Reason = Annotated[str | None, typer.Option(help="Only those of this kind of error, such as ValidationError.")]
State = Annotated[str | None, typer.Option(help="due (tried again by itself) or dead (after the last attempt).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
All = Annotated[bool, typer.Option("--all", help="All that the filters mean; all there are, without one.")]
By = Annotated[str | None, typer.Option(envvar="TANDEM_OPERATOR", help="Your name, for the record.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def add_commands(cli: typer.Typer, service: Service) -> None:
    """Add `parked …`, `replay` and `rebuild` to a service's command line."""
    parked_cli = typer.Typer(no_args_is_help=True, help="Records that could not be handled.")
    cli.add_typer(parked_cli, name="parked")

    @parked_cli.command("list")
    def list_(
        topic: Topic = None,
        handler: OfHandler = None,
        reason: Reason = None,
        state: State = None,
        limit: int = 100,
        json: Json = False,
    ) -> None:
        """What is parked, oldest first, without bodies."""
        rows = _run(service, _listed(service, Filter(topic, handler, reason, state), limit))
        if json:
            _say_json([row.model_dump(mode="json") for row in rows])
        else:
            _say_rows(rows)

    @parked_cli.command("show")
    def show_(
        id_: Annotated[int, typer.Argument(metavar="ID")],
        from_kafka: Annotated[bool, typer.Option("--from-kafka", help="Read a body too large to copy.")] = False,
        by: By = None,
    ) -> None:
        """One record with body, headers and trace, as JSON: it may hold personal data, and who looks is on record."""

        async def shown() -> Any:
            async with service.database.worker.begin() as db:
                return await show(db, service, id_, _operator(by), from_kafka=from_kafka)

        _say_json(_run(service, shown()).model_dump(mode="json"))

    @parked_cli.command("replay")
    def replay_(
        ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]…")] = None,
        topic: Topic = None,
        handler: OfHandler = None,
        reason: Reason = None,
        state: State = None,
        all_: All = False,
        by: By = None,
        json: Json = False,
    ) -> None:
        """Hand records to their handlers again, now, after those of the same key that came before them."""
        wanted = _wanted(ids, Filter(topic, handler, reason, state), all_)

        async def replayed(chosen: Some) -> list[dict[str, Any]]:
            return [asdict(one) for one in await service.inbox.replay(chosen.ids, _operator(by))]

        done = {one["id"]: one for one in _run(service, _in_parts(service, ids, wanted, replayed))}
        _say_outcomes(list(done.values()), json)

    @parked_cli.command("drop")
    def drop(
        why: Annotated[str, typer.Option("--because", help="Why, for the record.")],
        ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]…")] = None,
        topic: Topic = None,
        handler: OfHandler = None,
        reason: Reason = None,
        state: State = None,
        all_: All = False,
        by: By = None,
        json: Json = False,
    ) -> None:
        """Give records up for good."""
        wanted = _wanted(ids, Filter(topic, handler, reason, state), all_)

        async def dropped(chosen: Some) -> list[dict[str, Any]]:
            gone = await service.inbox.drop(chosen.ids, _operator(by), why)
            return [{"id": id_, "outcome": "dropped", "error": ""} for id_ in gone]

        _say_outcomes(_run(service, _in_parts(service, ids, wanted, dropped)), json)

    @cli.command("replay")
    def replay_topic(
        topic: Annotated[str, typer.Argument(help="A topic this service reads, `all` of them, or its dead letters.")],
        from_time: Annotated[datetime | None, typer.Option(help="From this moment, UTC.")] = None,
        from_offset: Annotated[int | None, typer.Option(help="From this offset of each partition.")] = None,
        to: Annotated[str | None, typer.Option(help="Before this moment, or offset; else to the end.")] = None,
        partition: Annotated[int | None, typer.Option(help="Only this partition.")] = None,
        yes: Yes = False,
        by: By = None,
        json: Json = False,
    ) -> None:
        """Hand records of a topic to this service once more, while it runs.

        Past the inbox: effects have keys of their own, so what happened before happens no second time. What a
        handler answers is announced again, and a mail is sent only where it never was.
        """
        if (from_time is None) == (from_offset is None):
            raise typer.BadParameter("one of them", param_hint="--from-time, --from-offset")
        readable = [*service.listens, service.dead_letters]
        if topic not in (*readable, "all"):
            raise typer.BadParameter(f"all, or one of {', '.join(readable)}", param_hint="topic")
        since: int | datetime = _utc(from_time) if from_time else from_offset or 0
        until = None if to is None else _utc(datetime.fromisoformat(to)) if from_time else int(to)
        topics = service.listens if topic == "all" else [topic]
        ranges = _run(service, measure(service, Stretch(topics, since, until, partition)))
        count = sum(end - first for first, end in ranges.values())
        _confirm(
            f"{service.name} will handle up to {count} records of {len(topics)} topic(s) once more, past its inbox. "
            "Effects are kept single by their own keys; answers are announced again.",
            yes,
        )
        with _progress("replaying", count) as told:
            done = _run(service, replay(service, ranges, _operator(by), told))
        _say_done(done, json)

    @cli.command("rebuild")
    def rebuild_(
        topic: Annotated[list[str] | None, typer.Option(help="Only copies of this topic's facts.")] = None,
        yes: Yes = False,
        by: By = None,
        json: Json = False,
    ) -> None:
        """Write this service's copies of others' state facts anew from the start of their topics, while it runs.

        Announces nothing and sends no mail.
        """
        there = copied_topics(service)
        if unknown := set(topic or ()) - set(there):
            raise typer.BadParameter(f"{', '.join(sorted(unknown))}: not one of {', '.join(there)}")
        chosen = topic or there
        _confirm(f"{service.name} will write its copies of {', '.join(chosen)} anew. Nothing is announced.", yes)
        with _progress("rebuilding", None) as told:
            done = _run(service, rebuild(service, chosen, _operator(by), told))
        _say_done(done, json)


def _run(service: Service, work: Coroutine[Any, Any, T]) -> T:
    """Do it, with the log on standard error; a refusal ends the command by its words."""
    telemetry.configure_logs(service.name, "warning", sys.stderr)

    async def done() -> T:
        try:
            return await work
        finally:
            await service.database.close()

    try:
        return asyncio.run(done())
    except Refused as refused:
        raise typer.BadParameter(str(refused)) from refused
    except ConnectionError as error:
        typer.echo(f"cannot be done now: {error}", err=True)
        raise typer.Exit(1) from error


def _operator(by: str | None) -> str:
    """Who does it, for the record: as they say, or the operating system's user."""
    try:
        return f"operator:{by or getpass.getuser()}"
    except (KeyError, OSError) as error:
        raise typer.BadParameter("the system does not know your name: give it", param_hint="--by") from error


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _confirm(what: str, yes: bool) -> None:
    if not yes:
        typer.confirm(f"{what} Go on?", abort=True, err=True)


async def _listed(service: Service, wanted: Filter, limit: int) -> list[ParkedOut]:
    async with service.database.worker() as db:
        rows = await db.execute(found(service, wanted).order_by(parked.c.id).limit(limit))
        return [ParkedOut.of(row, service) for row in rows]


def _wanted(ids: list[int] | None, wanted: Filter, all_: bool) -> Filter:
    if bool(ids) == (all_ or wanted != Filter()):
        raise typer.BadParameter("name ids, or filters, or --all")
    return wanted


async def _in_parts(
    service: Service,
    ids: list[int] | None,
    wanted: Filter,
    act: Callable[[Some], Coroutine[Any, Any, list[dict[str, Any]]]],
) -> list[dict[str, Any]]:
    """Act on these ids, or on all that the filter means, a part at a time."""
    if ids:
        done = await act(Some(ids, 0))
        if missing := set(ids) - {one["id"] for one in done}:
            raise ParkedNotFound(", ".join(map(str, sorted(missing))))
        return done
    after, done = 0, []
    while True:
        async with service.database.worker() as db:
            chosen = await some(db, service, wanted, after, AT_ONCE_MAX)
        if not chosen.ids:
            return done
        done += await act(chosen)
        after = chosen.ids[-1]


def _say_json(what: Any) -> None:
    typer.echo(to_json(what, indent=2).decode())


def _say_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console  # which a running service never needs
    from rich.table import Table

    table = Table(*columns)
    for cells in rows:
        table.add_row(*cells)
    Console().print(table)


def _say_rows(rows: list[ParkedOut]) -> None:
    _say_table(
        ("id", "state", "where", "key", "reason", "error", "tried", "next"),
        [
            (
                str(row.id),
                row.state,
                f"{row.topic}/{row.partition}/{row.offset}" + ("" if row.copied else " (not copied)"),
                row.key or "",
                row.reason,
                row.error[:200],
                str(row.attempt),
                row.next_at.isoformat(timespec="seconds") if row.next_at else "never",
            )
            for row in rows
        ],
    )


def _say_outcomes(done: list[dict[str, Any]], json: bool) -> None:
    if json:
        _say_json(done)
    else:
        _say_table(("id", "outcome", "why"), [(str(one["id"]), one["outcome"], one["error"]) for one in done])
    if any(one["outcome"] in ("failed", "behind") for one in done):
        raise typer.Exit(1)


def _say_done(done: Replayed, json: bool) -> None:
    if json:
        _say_json(asdict(done))
    else:
        for topic, count in sorted(done.topics.items()):
            typer.echo(f"{topic:40} {count} handed over")
        typer.echo(f"{done.handled} handled, {done.parked} parked")
    if done.parked:
        raise typer.Exit(1)


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; without a total, a count."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
