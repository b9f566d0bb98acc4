"""The command ``copy``: a tenant from one store to another, whatever the two are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from keepwell import Memory
from keepwell.cli.desk import Desk, at_desk
from keepwell.cli.plain import counted
from keepwell.errors import StoreFailed

EMBEDDED = "embedded"
_PLACE = "A PostgreSQL or Neo4j address, 'embedded', or an embedded server's data folder."


@at_desk
def copy(
    desk: Desk,
    source: Annotated[str, typer.Argument(help=f"From where. {_PLACE}")],
    target: Annotated[str, typer.Argument(help="To where; as the source.")],
    *,
    to_tenant: Annotated[
        str | None, typer.Option("--to-tenant", help="The tenant there. Else the same.", show_default=False)
    ] = None,
) -> None:
    """Carry everything of a tenant to another store, and compare the two; broken off, it goes on where it was."""
    columns = (TextColumn("copying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        _open(desk, source, desk.tenant, "source") as there,
        _open(desk, target, to_tenant or desk.tenant, "to") as here,
        desk.progress(*columns) as bar,
    ):
        task = bar.add_task("", total=None)
        copied = there.copy_to(here, progress=lambda done, total: bar.update(task, completed=done, total=total))
    fields = {name: value for name, value in dataclasses.asdict(copied).items() if name != "source"}
    words = (("threads", "thread"), ("messages", "message"), ("facts", "fact"), ("changes", "change"))
    new = ", ".join(counted(getattr(copied, name), word) for name, word in words)
    if copied.entities or copied.relations or copied.mentions:
        graph = (f"{getattr(copied, name):,} {name}" for name in ("entities", "relations", "mentions"))
        new = f"{new}, {', '.join(graph)}"
    left_out = (f"left out: {said}" for said in copied.left_out)
    desk.tell({**fields, "same": copied.same}, f"new there: {new}", *left_out, *copied.differences)
    if not copied.same:
        raise StoreFailed("the target does not hold the same; what was written meanwhile comes with the next copying")


def _open(desk: Desk, place: str, tenant: str | None, name: str) -> Memory:
    where: dict[str, Any] = {"dsn": place}
    if place == EMBEDDED:
        from keepwell.storage.postgres import embedded  # noqa: PLC0415 - an extra

        where = {"path": embedded.default_path()}
    elif "://" not in place and "=" not in place:
        where = {"path": Path(place)}
    return Memory.open(
        **where, schema=desk.schema, tenant=tenant, name=name, embedder=None, worker="none", graph="none"
    )
