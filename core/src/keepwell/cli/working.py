"""Commands that do what is due: ``worker``, ``retry``; and ``export``, which takes all of it along."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from keepwell.cli.desk import Agent, Desk, Run, User, Whose, at_desk, view_of
from keepwell.cli.plain import counted, plain
from keepwell.errors import UsageError
from keepwell.memory.places import is_neo4j
from keepwell.settings import read_settings


@at_desk
def worker(
    desk: Desk,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            help="The language model: provider:model, or openai:URL#model. Else KEEPWELL_LANGUAGE_MODEL.",
            show_default=False,
        ),
    ] = None,
    tenants: Annotated[
        str | None, typer.Option(help="Several tenants, with commas between. Else the one.", show_default=False)
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="How many threads are formed at once.")] = 4,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is due any more.")] = False,
    admin_dsn: Annotated[
        str | None,
        typer.Option(
            "--admin-dsn", help="The server, for a role that may make the fleet's tables.", show_default=False
        ),
    ] = None,
) -> None:
    """Form facts and do all else that is due, until it is told to end.

    On a server it is one of a fleet: start as many as you like, on as many machines. On the embedded store it works
    alone.
    """
    from keepwell.memory.working import work_in_fleet  # noqa: PLC0415 - for this command alone

    settings = read_settings()
    dsn = desk.dsn or (None if desk.path is not None else settings.dsn)
    options: dict[str, Any] = {"language_model": model}
    if dsn is None or is_neo4j(dsn):
        _check_alone(tenants, admin_dsn)
        _once_or_on(desk, options, once=once)
        return
    chosen = [name.strip() for name in tenants.split(",")] if tenants else [desk.tenant or settings.tenant]
    if not once:
        desk.note(f"working for {', '.join(chosen)}; Ctrl-C ends it", "dim")
    work_in_fleet(
        dsn,
        desk.schema or settings.db_schema,
        options,
        chosen,
        concurrency=concurrency,
        wait=not once,
        admin_dsn=admin_dsn,
    )


def _once_or_on(desk: Desk, options: dict[str, Any], *, once: bool) -> None:
    from keepwell.memory.working import check_model, work_alone  # noqa: PLC0415 - for this command alone

    place = {"dsn": desk.dsn, "path": desk.path, "schema": desk.schema, "tenant": desk.tenant}
    if not once:
        desk.note("working; Ctrl-C ends it", "dim")
        work_alone({**place, **options})
        return
    with desk.memory("auto", **options) as memory:
        check_model(memory)
        done = memory.drain(early=False)
    desk.tell(dataclasses.asdict(done), drained(done))


def _check_alone(tenants: str | None, admin_dsn: str | None) -> None:
    if tenants is not None or admin_dsn is not None:
        raise UsageError("--tenants and --admin-dsn are for a fleet on a PostgreSQL server; give --tenant here")


@at_desk
def retry(desk: Desk, *, user: User = None, agent: Agent = None, run: Run = None) -> None:
    """Have messages that could not be formed tried again: all of them, or somebody's."""
    whose = Whose(user, agent, run)
    with desk.memory() as memory:
        scope = None if whose == Whose(None, None, None) else view_of(memory, whose)
        count = memory.retry(scope)
    desk.tell({"retried": count}, f"{counted(count, 'message')} will be tried again")


@at_desk
def export(
    desk: Desk,
    *,
    file: Annotated[Path, typer.Argument(help="Where to write it; - is stdout.", show_default=False)],
    user: User = None,
    agent: Agent = None,
    run: Run = None,
) -> None:
    """Write all that is kept about somebody as JSON lines, which import takes in again."""
    to_stdout = str(file) == "-"
    if to_stdout and desk.as_json:
        raise UsageError("the export itself goes to stdout with -; give a file, or leave --json out")
    with desk.memory() as memory:
        done = view_of(memory, Whose(user, agent, run)).export(sys.stdout if to_stdout else file)
    told = carried(dataclasses.asdict(done))
    if to_stdout:
        desk.note(told)
        return
    desk.tell({"file": str(file), **dataclasses.asdict(done)}, plain(f"{file}: {told}"))


def carried(counts: dict[str, int]) -> str:
    """Give in words what an export or import carried."""
    told = [counted(counts[f"{thing}s"], thing) for thing in ("thread", "message", "fact", "change")]
    rejected = f"; {counts['rejected']} were rejected here" if counts["rejected"] else ""
    return ", ".join(told) + rejected


def drained(done: Any) -> str:  # noqa: ANN401 - a Drained
    """Give in words what a drain did."""
    words = {
        "embedded": "got vectors",
        "posted": "got postings",
        "formed": "messages formed",
        "added": "facts added",
        "updated": "updated",
        "retracted": "retracted",
        "reformed": "looked at again",
        "distilled": "patterns found",
        "parked": "could not be formed",
        "failed": "threads to be tried again",
        "expired": "past their time",
        "seen": "looked through for names",
        "projected": "brought to the projection",
    }
    told = [f"{count:,} {words[name]}" for name, count in dataclasses.asdict(done).items() if count and name in words]
    return ", ".join([*told, *(f"skipped: {reason}" for reason in done.skipped)]) or "nothing was due"
