"""Commands that look after a store: its state, its tables, its vectors, and the embedded server."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.text import Text

from keepwell import Status
from keepwell.cli.desk import Desk, at_desk
from keepwell.cli.plain import counted, plain
from keepwell.cli.tables import pairs
from keepwell.cli.working import drained
from keepwell.errors import EmbedderMismatch, UsageError
from keepwell.settings import read_settings


@at_desk
def status(desk: Desk) -> None:
    """Say what the store holds, what is due, and how it is."""
    try:
        with desk.memory("auto") as memory:
            found, trouble = memory.status(), None
    except EmbedderMismatch as error:  # to be told, not to keep the rest from being told
        with desk.memory() as memory:
            found, trouble = memory.status(), str(error)
    _tell_status(desk, found, trouble)


@at_desk
def schema(desk: Desk) -> None:
    """Print the tables as SQL, for reading and for other tools; no server is asked."""
    from keepwell.storage.postgres.schema import check_schema_name, ddl, latest  # noqa: PLC0415 - psycopg

    name = check_schema_name(desk.schema or read_settings().db_schema)
    text = ddl(name)
    if desk.as_json:
        desk.tell({"schema": name, "version": latest(), "ddl": text})
    else:
        typer.echo(text.rstrip("\n"))


@at_desk
def migrate(
    desk: Desk,
    *,
    admin_dsn: Annotated[
        str, typer.Option("--admin-dsn", help="The server, for a role that may make tables.", show_default=False)
    ],
    grant: Annotated[
        str | None, typer.Option(help="The role that is to use the tables afterwards.", show_default=False)
    ] = None,
) -> None:
    """Make the tables, or bring them up to date, with a privileged role, so that an ordinary one can use them."""
    import psycopg  # noqa: PLC0415 - when it is needed

    from keepwell.storage.postgres.failures import plain as without_secrets  # noqa: PLC0415 - psycopg
    from keepwell.storage.postgres.failures import translated  # noqa: PLC0415 - psycopg
    from keepwell.storage.postgres.schema import check, check_schema_name, latest  # noqa: PLC0415 - psycopg
    from keepwell.storage.postgres.schema import migrate as bring_up_to_date  # noqa: PLC0415 - psycopg

    settings = read_settings()
    name = check_schema_name(desk.schema or settings.db_schema)
    with translated("the server"):
        try:
            connection = psycopg.connect(admin_dsn, autocommit=True, connect_timeout=max(1, int(settings.pool_seconds)))
        except psycopg.ProgrammingError as error:
            raise UsageError(f"this is not a PostgreSQL DSN: {without_secrets(str(error))}") from error
        with connection:
            check(connection, name)
            steps = bring_up_to_date(connection, name, grant)
    done = ", ".join(steps) if steps else "nothing was to be done"
    granted = "" if grant is None else f"; role {grant} may use them"
    told = f"schema {name}, version {latest()}: {done}{granted}"
    desk.tell({"schema": name, "version": latest(), "steps": steps, "granted": grant}, Text(plain(told)))


@at_desk
def reembed(desk: Desk) -> None:
    """Make all vectors anew with the bundled embedder, beside the old ones, and switch to them."""
    columns = (TextColumn("vectors"), BarColumn(), MofNCompleteColumn())
    with desk.memory() as memory, desk.progress(*columns) as bar:
        task = bar.add_task("", total=memory.status().record.messages)
        count = memory.reembed("bundled", progress=lambda done: bar.update(task, completed=done))
        space = memory.status().record.space
    model = None if space is None else space.model
    desk.tell(
        {"messages": count, "model": model}, f"{counted(count, 'message')} got new vectors; those in use are of {model}"
    )


@at_desk
def reanalyse(
    desk: Desk, language: Annotated[str, typer.Argument(help="Whose rules stem words: german, or simple for none.")]
) -> None:
    """Keep the words of all messages and facts by the rules of another language; broken off, it goes on."""
    columns = (TextColumn("words"), BarColumn(), MofNCompleteColumn())
    with desk.memory(language="") as memory, desk.progress(*columns) as bar:
        task = bar.add_task("", total=memory.status().record.messages)
        count = memory.reanalyse(language, progress=lambda done: bar.update(task, completed=done))
    told = f"{count:,} messages and facts are kept by the rules of {language} now"
    desk.tell({"changed": count, "language": language}, told if count else f"all is kept by the rules of {language}")


@at_desk
def drain(desk: Desk) -> None:
    """Do now what is due: vectors, facts (with a language model), what is past its time."""
    with desk.memory("auto") as memory, desk.err.status("working"):
        done = memory.drain()
    desk.tell(dataclasses.asdict(done), drained(done))


@at_desk
def stop(desk: Desk) -> None:
    """Stop the embedded server, whoever uses it; the next one to open the store starts it again."""
    from keepwell.storage.postgres import embedded  # noqa: PLC0415 - an extra

    folder = desk.data_folder()
    ran = embedded.stop(folder)
    place = str(folder or embedded.default_path())
    desk.tell({"path": place, "stopped": ran}, "stopped" if ran else "it was not running")


@at_desk
def upgrade(desk: Desk) -> None:
    """Bring the embedded server's data to the PostgreSQL that is installed; the old data are kept."""
    from keepwell.storage.postgres import embedded  # noqa: PLC0415 - an extra

    folder = desk.data_folder()
    with desk.err.status("upgrading"):
        kept = embedded.upgrade(folder)
    place = str(folder or embedded.default_path())
    desk.tell({"path": place, "old": str(kept)}, Text(plain(f"upgraded; the old data are in {kept}")))


def _tell_status(desk: Desk, found: Status, trouble: str | None) -> None:
    rows = {name: str(value) for name, value in found.rows()}
    if trouble is not None:
        rows["embedder"] = trouble
    desk.tell({**dataclasses.asdict(found), "trouble": trouble}, pairs(rows))
