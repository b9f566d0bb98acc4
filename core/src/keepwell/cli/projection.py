"""Commands about the graph's projection in Neo4j: how far it is, whether it is right, and building it anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from keepwell import Memory
from keepwell.cli.desk import Desk, at_desk
from keepwell.cli.plain import counted, plain
from keepwell.cli.tables import pairs
from keepwell.work.projecting import ProjectionStatus
from keepwell.work.verifying import Verified

To = Annotated[
    str | None,
    typer.Option("--to", help="The Neo4j: neo4j://user:password@host. Else KEEPWELL_GRAPH.", show_default=False),
]
_SHOWN = 20


def add_commands(group: typer.Typer) -> None:
    """Put the commands into the group ``keepwell graph``."""
    panel = "The projection in Neo4j"
    group.command("status", rich_help_panel=panel)(status)
    group.command("sync", rich_help_panel=panel)(sync)
    group.command("verify", rich_help_panel=panel)(verify)
    group.command("rebuild", rich_help_panel=panel)(rebuild)
    group.command("remove", rich_help_panel=panel)(remove)


@at_desk
def status(desk: Desk, *, to: To = None) -> None:
    """Say how far the projection is behind the record, and whether Neo4j answers."""
    with _memory(desk, to) as memory:
        found = memory.graph.status()
    desk.tell(dataclasses.asdict(found), pairs(dict(_rows(found))))


@at_desk
def sync(desk: Desk, *, to: To = None) -> None:
    """Bring the projection up to the record now; drain and the worker do it by themselves."""
    with _memory(desk, to) as memory, desk.err.status("working"):
        done = memory.graph.sync()
    told = "built anew, " if done.built else ""
    told += f"{counted(done.changes, 'change')} brought over" if done.skipped is None else f"skipped: {done.skipped}"
    desk.tell(dataclasses.asdict(done), plain(told))
    if done.skipped is not None:
        raise typer.Exit(1)


@at_desk
def verify(desk: Desk, *, to: To = None) -> None:
    """Compare all that Neo4j shows with the record; the exit code is 1 where anything differs."""
    with _memory(desk, to) as memory, desk.err.status("comparing"):
        found = memory.graph.verify()
    desk.tell({**dataclasses.asdict(found), "clean": found.clean}, *_verified(found))
    if not found.clean:
        raise typer.Exit(1)


@at_desk
def rebuild(desk: Desk, *, to: To = None) -> None:
    """Build the projection anew beside the live one, and switch to it."""
    columns = (TextColumn("things"), BarColumn(), MofNCompleteColumn())
    with _memory(desk, to) as memory, desk.progress(*columns) as bar:
        task = bar.add_task("", total=None)
        count = memory.graph.rebuild(lambda _, some: bar.update(task, advance=some))
    desk.tell({"things": count}, f"{counted(count, 'thing')} projected anew")


@at_desk
def remove(
    desk: Desk,
    *,
    to: To = None,
    record_only: Annotated[
        bool, typer.Option("--record-only", help="Leave Neo4j as it is: the server is gone for good.")
    ] = False,
) -> None:
    """Remove the tenant's projection from Neo4j, and note nothing for it any more."""
    with _memory(desk, to) as memory:
        memory.graph.remove(record_only=record_only)
    desk.tell({"removed": True}, "the projection is removed; the graph in the record stays")


@contextmanager
def _memory(desk: Desk, to: str | None) -> Iterator[Memory]:
    with desk.memory(graph=to) as memory:
        yield memory


def _rows(found: ProjectionStatus) -> list[tuple[str, object]]:
    return [
        ("projected to", found.target),
        ("state", found.state),
        ("changes that wait", found.waiting),
        ("the first of them", f"{found.lag:.1f} s ago" if found.waiting else "-"),
        ("changes brought over", found.applied),
        ("last brought over", found.applied_at or "-"),
        ("built anew", found.built_at or "-"),
        *((kind, tally.count) for kind, tally in found.counts.items()),
        *((("away", found.away),) if found.away is not None else ()),
    ]


def _verified(found: Verified) -> list[str]:
    told = [
        f"{kind}: {tally.count:,} in the record, {found.projection[kind].count:,} in Neo4j"
        for kind, tally in found.record.items()
    ]
    told += [plain(f"{one.what}: {one.kind} {one.id}") for one in found.differences[:_SHOWN]]
    if len(found.differences) > _SHOWN:
        told.append(f"and {len(found.differences) - _SHOWN:,} more; keepwell graph rebuild mends them")
    return [*told, "nothing differs" if found.clean else "what Neo4j shows is not what the record has"]
