"""Commands about the graph: who and what is spoken of, and how they stand to each other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from keepwell import ScopedMemory
from keepwell.cli.desk import Agent, Desk, Run, User, Whose, at_desk, view_of
from keepwell.cli.plain import counted, owner_fields, plain
from keepwell.cli.projection import add_commands
from keepwell.models.graph import Entity, EntityType, Neighbourhood, Relation
from keepwell.models.graph import Path as Way

Day = Annotated[dt.datetime | None, typer.Option(help="A date, or a time in UTC.", show_default=False)]
Hops = Annotated[int, typer.Option(help="How many relations away, 1 to 6.")]
Limit = Annotated[int, typer.Option(help="How many at most, 1 to 1000.")]


def commands() -> typer.Typer:
    """Give the group of commands: ``keepwell graph ...``."""
    group = typer.Typer(help="Who and what is spoken of, and how they stand to each other.", no_args_is_help=True)
    group.command("show")(show)
    group.command("find")(find)
    group.command("paths")(paths)
    add_commands(group)
    return group


@at_desk
def show(
    desk: Desk,
    *,
    entity: Annotated[
        str | None, typer.Argument(metavar="[ENTITY]", help="A name or an id; else all.", show_default=False)
    ] = None,
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    hops: Hops = 1,
    valid_at: Day = None,
    limit: Limit = 60,
    out: Annotated[Path | None, typer.Option(help="Draw it into this file, .svg or .png.", show_default=False)] = None,
) -> None:
    """Show what lies around an entity, or those seen last with their relations; --out draws it."""
    with _view(desk, user, agent, run) as view:
        if entity is None:
            around = view.graph.overview(limit=limit)
        else:
            around = view.graph.neighbours(entity, hops=hops, valid_at=valid_at, limit=limit)
    if out is not None:
        from keepwell.memory.drawing import drawn  # noqa: PLC0415 - numpy, only where something is drawn

        desk.note(f"drawn into {drawn(around).save(out)}", "dim")
    desk.tell(_around_fields(around), _around_table(around) if len(around) else "nobody is spoken of yet")


@at_desk
def find(
    desk: Desk,
    *,
    text: Annotated[str, typer.Argument(help="A name, or a question with names in it.", show_default=False)],
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    type: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option(help="person, place, organisation, work, handle or thing.", show_default=False)
    ] = None,
    limit: Limit = 10,
) -> None:
    """Find entities by a name, an alias, or something like it."""
    kind: EntityType | None = type  # type: ignore[assignment]  # the verb checks it, and says what there is
    with _view(desk, user, agent, run) as view:
        found = view.graph.find(text, type=kind, limit=limit)
    answer = {"entities": [entity_fields(one) for one in found]}
    desk.tell(answer, entity_table(found) if found else "nothing here is called so")


@at_desk
def paths(
    desk: Desk,
    *,
    start: Annotated[str, typer.Argument(help="A name or an id.", show_default=False)],
    end: Annotated[str, typer.Argument(help="Another.", show_default=False)],
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    max_hops: Hops = 3,
    valid_at: Day = None,
) -> None:
    """Show the shortest ways from one entity to another."""
    with _view(desk, user, agent, run) as view:
        ways = view.graph.paths(start, end, max_hops=max_hops, valid_at=valid_at)
    answer = {"paths": [_way_fields(way) for way in ways]}
    desk.tell(answer, *([_way_line(way) for way in ways] or [Text("there is no way between them")]))
    desk.note(counted(len(ways), "path"), "dim")


@contextmanager
def _view(desk: Desk, user: str | None, agent: str | None, run: str | None) -> Iterator[ScopedMemory]:
    with desk.memory() as memory:
        yield view_of(memory, Whose(user, agent, run))


def entity_fields(entity: Entity) -> dict[str, object]:
    """Give an entity for a document."""
    return {
        "id": entity.id,
        "name": entity.name,
        "type": entity.type,
        "aliases": list(entity.aliases),
        **owner_fields(entity.owner),
        "first_seen": entity.first_seen,
        "last_seen": entity.last_seen,
        "version": entity.version,
    }


def relation_fields(relation: Relation) -> dict[str, object]:
    """Give a relation for a document."""
    return {
        "id": relation.id,
        "subject": relation.subject,
        "predicate": relation.predicate,
        "object": relation.object,
        "valid_from": relation.valid_from,
        "valid_to": relation.valid_to,
        "recorded_at": relation.recorded_at,
        "version": relation.version,
    }


def entity_table(entities: Iterable[Entity]) -> Table:
    """Give entities, one a line; ids are whole, so that they can be copied."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("name", "type", "also", "last seen", "id"):
        table.add_column(name, overflow="fold")
    for one in entities:
        seen = f"{one.last_seen:%Y-%m-%d}" if one.last_seen else ""
        table.add_row(Text(plain(one.name)), one.type, Text(plain(", ".join(one.aliases))), seen, str(one.id))
    return table


def _around_table(around: Neighbourhood) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("who", "stands as", "to", "from", "until"):
        table.add_column(name, overflow="fold")
    related = set()
    for one in around.relations:
        related |= {one.subject, one.object}
        ends = [Text(plain(_name(around, end))) for end in (one.subject, one.object)]
        times = [f"{at:%Y-%m-%d}" if at else "" for at in (one.valid_from, one.valid_to)]
        table.add_row(ends[0], Text(plain(one.predicate)), ends[1], *times)
    for ident, entity in around.entities.items():
        if ident not in related:
            table.add_row(Text(plain(entity.name)), "", "", "", "")
    return table


def _name(around: Neighbourhood, ident: object) -> str:
    return next((one.name for key, one in around.entities.items() if key == ident), "somebody")


def _around_fields(around: Neighbourhood) -> dict[str, object]:
    return {
        "entities": [{**entity_fields(one), "hops": around.hops.get(key)} for key, one in around.entities.items()],
        "relations": [relation_fields(one) for one in around.relations],
    }


def _way_fields(way: Way) -> dict[str, object]:
    return {
        "entities": [entity_fields(one) for one in way.entities],
        "relations": [relation_fields(one) for one in way.relations],
    }


def _way_line(way: Way) -> Text:
    """Give a path as a line, arrows the way that the relations go."""
    line = Text(plain(way.entities[0].name))
    for here, said, there in zip(way.entities, way.relations, way.entities[1:], strict=False):
        forward = said.subject == here.id
        arrow = f" -[{plain(said.predicate)}]-> " if forward else f" <-[{plain(said.predicate)}]- "
        line.append(arrow, "cyan")
        line.append(plain(there.name))
    return line
