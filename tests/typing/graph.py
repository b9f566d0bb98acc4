"""The types of the graph's face, as a program that the type checker reads; nobody runs it."""

import datetime as dt
from typing import assert_type

from keepwell import ScopedMemory
from keepwell.models.graph import (
    Entities,
    Entity,
    GraphChange,
    GraphChanges,
    Mention,
    Neighbourhood,
    Path,
    Relation,
)


def asking(ada: ScopedMemory, priya: Entity) -> None:
    """An entity is named by its value, its id or its name; what is found are values."""
    graph = ada.graph
    assert_type(graph.find("Priya", type="person", limit=5), Entities)
    assert_type(graph.find("Priya")[0], Entity)
    assert_type(graph.entity("Priya"), Entity)
    assert_type(graph.neighbours(priya, hops=2, valid_at=dt.datetime.now(dt.UTC)), Neighbourhood)
    assert_type(graph.paths(priya.id, "Ada", max_hops=3), tuple[Path, ...])
    assert_type(graph.relations(priya), tuple[Relation, ...])
    assert_type(graph.mentions("Priya"), tuple[Mention, ...])
    assert_type(graph.history(priya)[0], GraphChange)
    assert_type(graph.draw("Priya").svg, str)


def changing(ada: ScopedMemory, priya: Entity, wrong: Relation) -> None:
    """What makes an entity gives it, everything else gives the changes."""
    graph = ada.graph
    assert_type(graph.add("Priya", type="person", aliases=["Pri"]), Entity)
    assert_type(graph.merge("Pri", priya, reason="a nickname"), GraphChanges)
    assert_type(graph.split(priya, "Priya Patel", relations=[wrong]), Entity)
    assert_type(graph.rename(priya, "Priya Shah"), GraphChanges)
    assert_type(graph.link("Priya", "sister of", "Ada"), GraphChanges)
    assert_type(graph.unlink("Priya", "sister of", "Ada", valid_to=dt.datetime.now(dt.UTC)), GraphChanges)
    assert_type(graph.unlink(wrong), GraphChanges)
    assert_type(graph.revert(graph.history()), GraphChanges)


async def awaiting(ada: ScopedMemory) -> None:
    """The twins give the same."""
    assert_type(await ada.graph.afind("Priya"), Entities)
    assert_type(await ada.graph.alink("Priya", "sister of", "Ada"), GraphChanges)
    assert_type(await ada.graph.aneighbours("Priya"), Neighbourhood)
