"""Words to write promises about the graph with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID, uuid4

from keepwell.formation.graph_edits import AddEntity, GraphEdit, Relate
from keepwell.models import Owner, Scope, Source
from keepwell.models.graph import Entity, GraphChange, GraphChanges, Mention, Relation
from keepwell.storage.base import Record
from keepwell.storage.graph import (
    ApplyGraph,
    FindEntities,
    FindUnmentioned,
    GraphEdits,
    GraphHistory,
    ListEntities,
    ListRelations,
    ReadNeighbours,
    ReadPaths,
    TextToSee,
    Unmentioned,
)
from keepwell.testing.conformance.base import ADA, ADAS, keys_by_text, say

ALL: Final = 1000


def edit(
    record: Record,
    *edits: GraphEdit,
    mentions: Iterable[Mention] = (),
    owner: Owner = ADA,
    **seen: Any,  # noqa: ANN401 - what was looked through
) -> GraphChanges:
    """Write edits and mentions, and what was looked through."""
    return record.write(ApplyGraph(owner, GraphEdits(edits, tuple(mentions), **seen), "tests", uuid4()))


def naming(entity: UUID, text: str, name: str, message: int) -> Mention:
    """Give the mention of an entity by a name that a message's text has."""
    start = text.index(name)
    return Mention(entity, name, start, start + len(name), message)


class World:
    """A few messages of one owner, and who is named in them.

    "Priya met Max in Rome", "Max knows Zoe", "Zoe paints": Priya met Max, and is in Rome; Max knows Zoe.
    """

    texts: Final = ("Priya met Max in Rome", "Max knows Zoe", "Zoe paints")

    def __init__(self, record: Record, owner: Owner = ADA, thread: str = "t") -> None:
        """Write it all."""
        self.record = record
        self.owner = owner
        self.keys: Mapping[str, int] = keys_by_text(say(record, *self.texts, thread=thread, owner=owner))
        self.first, self.second, self.third = (self.keys[text] for text in self.texts)
        self.ids = {name: uuid4() for name in ("Priya", "Max", "Rome", "Zoe")}
        self.relations = {name: uuid4() for name in ("met", "is in", "knows")}
        self.made = self.write()

    def write(self) -> GraphChanges:
        """Write entities, relations and mentions."""
        first, second, third = self.texts
        priya, max_, rome, zoe = self.ids.values()
        named = [naming(self.ids[name], first, name, self.keys[first]) for name in ("Priya", "Max", "Rome")]
        named += [naming(self.ids[name], second, name, self.keys[second]) for name in ("Max", "Zoe")]
        named.append(naming(zoe, third, "Zoe", self.keys[third]))
        return edit(
            self.record,
            AddEntity(priya, "Priya", "person"),
            AddEntity(max_, "Max", "person"),
            AddEntity(rome, "Rome", "place"),
            AddEntity(zoe, "Zoe", "person"),
            Relate(self.relations["met"], priya, "met", max_, sources=(Source(self.keys[first]),)),
            Relate(self.relations["is in"], priya, "is in", rome, sources=(Source(self.keys[first]),)),
            Relate(self.relations["knows"], max_, "knows", zoe, sources=(Source(self.keys[second]),)),
            mentions=named,
            owner=self.owner,
        )

    def __getitem__(self, name: str) -> UUID:
        """Give the id of an entity by its name."""
        return self.ids[name]


def names(record: Record, scope: Scope = ADAS) -> list[str]:
    """Give the names of all entities that are themselves, in their order."""
    return sorted(one.name for one in record.read(ListEntities(scope, limit=ALL)))


def entity(record: Record, name: str, scope: Scope = ADAS) -> Entity:
    """Give the one entity that has a name."""
    (found,) = record.read(FindEntities(scope, (name,)))
    return found.entity


def lines(record: Record, scope: Scope = ADAS, **narrow: Any) -> list[Relation]:  # noqa: ANN401 - fields of ListRelations
    """Give relations in the order of their predicates and versions."""
    found = record.read(ListRelations(scope, **{"limit": ALL, **narrow}))
    return sorted(found, key=lambda one: (one.predicate, one.version))


def predicates(record: Record, scope: Scope = ADAS, **narrow: Any) -> list[str]:  # noqa: ANN401 - see lines
    """Give what relations say, in order."""
    return [one.predicate for one in lines(record, scope, **narrow)]


def around(record: Record, start: UUID, hops: int = 1, **span: Any) -> dict[str, int]:  # noqa: ANN401 - fields of ReadNeighbours
    """Give the names of what lies around an entity, with how far each is."""
    found = record.read(ReadNeighbours(ADAS, (start,), hops, **span))
    return {found.entities[ident].name: hop for ident, hop in found.hops.items()}


def ways(record: Record, start: UUID, end: UUID, **span: Any) -> list[str]:  # noqa: ANN401 - fields of ReadPaths
    """Give the ways between two entities in words."""
    found = record.read(ReadPaths(ADAS, start, end, **span))
    return sorted(
        " ".join([one.name for one in way.entities] + [one.predicate for one in way.relations]) for way in found
    )


def past(record: Record, scope: Scope = ADAS, **narrow: Any) -> tuple[GraphChange, ...]:  # noqa: ANN401 - fields of GraphHistory
    """Give the graph's history, oldest first."""
    page: GraphChanges = record.read(GraphHistory(scope, limit=ALL, oldest_first=True, **narrow))
    return tuple(page)


def unseen(record: Record, limit: int = 100) -> dict[str, TextToSee]:
    """Give what nobody has looked through, by text."""
    return {text.text: text for one in record.read(FindUnmentioned(limit)) for text in one.texts}


def look(record: Record, one: Unmentioned, *edits: GraphEdit, mentions: Iterable[Mention] = ()) -> GraphChanges:
    """Say that texts were looked through, and what was found."""
    read = {text.key: text.version for text in one.texts if text.key > 0}
    return edit(record, *edits, mentions=mentions, owner=one.owner, done=one.done, read=read, facts=one.facts)


def day(number: int) -> dt.datetime:
    """Give a day of a year."""
    return dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=number)
