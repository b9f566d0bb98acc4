"""What a tenant keeps of the graph, as values that are never changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from keepwell.formation.graph_edits import fold
from keepwell.models import Owner, Scope
from keepwell.models.graph import Entity, GraphChange, Mention, Relation

if TYPE_CHECKING:
    from keepwell.recall.arrays import Floats


class Made(NamedTuple):
    """An embedding, and of which words."""

    version: str
    vector: Floats


class Named(NamedTuple):
    """A mention and whose it is."""

    owner: Owner
    mention: Mention


class Told(NamedTuple):
    """A change and the folded names that it tells."""

    change: GraphChange
    names: frozenset[str]


class Noted(NamedTuple):
    """That something changed, for a projection."""

    number: int
    kind: str
    id: str
    at: dt.datetime


class Target(NamedTuple):
    """A projection."""

    name: str
    identity: str
    since: dt.datetime


@dataclass(slots=True)
class Graph:
    """The graph of a tenant: ``seen`` by thread and ``facts_seen`` by owner are watermarks, ``read`` is by message.

    ``vectors`` are embeddings by entity and space.
    """

    entities: dict[UUID, Entity] = field(default_factory=dict)
    mentions: dict[int, Named] = field(default_factory=dict)
    relations: dict[tuple[UUID, int], Relation] = field(default_factory=dict)
    changes: dict[UUID, Told] = field(default_factory=dict)
    seen: dict[UUID, int] = field(default_factory=dict)
    read: dict[int, str] = field(default_factory=dict)
    facts_seen: dict[Owner, int] = field(default_factory=dict)
    vectors: dict[tuple[UUID, int], Made] = field(default_factory=dict)
    target: Target | None = None
    noted: tuple[Noted, ...] = ()

    def copy(self) -> Graph:
        """Give a graph that can be changed without changing this."""
        return replace(
            self,
            entities=dict(self.entities),
            mentions=dict(self.mentions),
            relations=dict(self.relations),
            changes=dict(self.changes),
            seen=dict(self.seen),
            read=dict(self.read),
            facts_seen=dict(self.facts_seen),
            vectors=dict(self.vectors),
        )

    def of(self, entity: UUID) -> list[Mention]:
        """Give the mentions of one entity, oldest first."""
        return [mention for _, mention in self.mentions.values() if mention.entity == entity]

    def now(self, entity: UUID) -> UUID:
        """Give whom an entity is taken to be."""
        there = self.entities.get(entity)
        return entity if there is None else there.now

    def group(self, entity: UUID) -> list[Entity]:
        """Give all that is taken to be the same as an entity, that one first which it is taken to be."""
        root = self.now(entity)
        found = [one for one in self.entities.values() if one.now == root]
        return sorted(found, key=lambda one: one.id != root)

    def said(self, entity: UUID) -> dict[str, str]:
        """Give the names of one entity that were given or that mentions say: folded, as shown first."""
        names = [*self.entities[entity].given, *(mention.surface for mention in self.of(entity))]
        shown: dict[str, str] = {}
        for name in names:
            shown.setdefault(fold(name), name)
        return shown

    def view(self, entity: UUID) -> Entity:
        """Give an entity as readers get it, with the names of those that are taken to be it."""
        one = self.entities[entity]
        group = self.group(entity) if one.merged_into is None else [one]
        names: dict[str, str] = {fold(one.name): one.name}
        for part in group:
            for folded, shown in {fold(part.name): part.name, **self.said(part.id)}.items():
                names.setdefault(folded, shown)
        times = [mention.at for part in group for mention in self.of(part.id) if mention.at is not None]
        aliases = tuple(shown for folded, shown in names.items() if folded != fold(one.name))
        return replace(one, aliases=aliases, first_seen=min(times, default=None), last_seen=max(times, default=None))

    def covered(self, scope: Scope) -> list[Entity]:
        """Give the scope's entities."""
        return [one for one in self.entities.values() if scope.covers(one.owner)]

    def relations_of(self, entities: Iterable[UUID]) -> dict[tuple[UUID, int], Relation]:
        """Give all versions of the relations that have one of these ends."""
        ends = set(entities)
        return {name: one for name, one in self.relations.items() if {one.subject, one.object} & ends}
