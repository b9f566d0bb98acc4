"""Taking in the graph of an export: under its own ids, beside what is there already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar
from uuid import UUID

from keepwell.importing.kept import KeptPart, KeptSource
from keepwell.importing.kept_graph import KeptEntity, KeptGraphChange, KeptMention, KeptRelation, KeptSeen
from keepwell.memory.graph_carrying import PAGE, GraphCarried, GraphKeeping, graph_size
from keepwell.memory.paging import MAX_PAGE, pages
from keepwell.memory.transfer import Transfer
from keepwell.models import Owner, Scope, Source
from keepwell.models.graph import Entity, GraphChange, Mention, Relation
from keepwell.storage.base import Record
from keepwell.storage.facts import ListFacts
from keepwell.storage.graph_copying import GraphChangeCopy, KeepSeen, MentionCopy

_log = logging.getLogger("keepwell.importing")
T = TypeVar("T")
K = TypeVar("K")
Numbers = Mapping[KeptSource, int]
"""What this store calls messages."""
_GONE = Source(0)
"""A message that nothing has: what rested on what is not here must not look as if it had rested on nothing."""


@dataclass(slots=True)
class GraphParts:
    """The lines of a graph, until all texts are in."""

    parts: list[KeptPart] = field(default_factory=list)

    def take(self, part: KeptPart) -> Owner:
        """Take a line, and give whose it is."""
        self.parts.append(part)
        match part.said:
            case KeptEntity():
                return part.said.entity.owner
            case KeptRelation():
                return part.said.relation.owner
            case _:
                return part.said.owner

    @property
    def sources(self) -> Iterator[KeptSource]:
        """All that the lines name."""
        return (source for part in self.parts for source in part.sources)

    def of(self, kind: type[K]) -> list[tuple[K, tuple[KeptSource, ...]]]:
        """Give the lines of a kind with what they rest on."""
        return [(part.said, part.sources) for part in self.parts if isinstance(part.said, kind)]

    def put(self, record: Record, scope: Scope, numbers: Numbers) -> Transfer:
        """Keep what is not here, and count it; its texts must be here."""
        if not self.parts:
            return Transfer()
        if graph_size(record, scope) is None:
            _log.warning("the graph of this export is left out: this store keeps none")
            return Transfer()
        return _Putting(self, record, numbers, _facts_here(record, scope, self.sources)).put()


def _facts_here(record: Record, scope: Scope, sources: Iterable[KeptSource]) -> frozenset[tuple[UUID, int]]:
    """Give the versions of facts that are here, of those that are named."""
    found: set[tuple[UUID, int]] = set()
    for ids in _batches({source.fact for source in sources if source.fact is not None}):
        facts = pages(record, ListFacts(scope, ids=tuple(ids), versions=True, limit=MAX_PAGE))
        found |= {(fact.id, fact.version) for fact in facts}
    return frozenset(found)


@dataclass(slots=True)
class _Putting:
    parts: GraphParts
    record: Record
    numbers: Numbers
    facts: frozenset[tuple[UUID, int]]

    def put(self) -> Transfer:
        keeping = GraphKeeping(self.record)
        entities = _sum(keeping.entities, self.entities())
        relations = _sum(keeping.relations, self.relations())
        mentions = _sum(keeping.mentions, self.mentions())
        changes = _sum(keeping.changes, self.changes())
        for seen, _ in self.parts.of(KeptSeen):
            self.record.write(KeepSeen(seen.owner, {}, seen.facts))
        done = (entities.entities, relations.relations, mentions.mentions, changes.changes)
        return Transfer(0, 0, 0, 0, 0, *done)

    def entities(self) -> Iterator[Entity]:
        """Give the entities that something speaks for here: a given name, a text, a relation, or another one."""
        held = {one.entity for one, sources in self.parts.of(KeptMention) if self.named(sources)}
        for line, sources in self.parts.of(KeptRelation):
            if line.relation.given or not sources or self.named(sources):
                held |= {line.relation.subject, line.relation.object}
        rows = [one.entity for one, _ in self.parts.of(KeptEntity)]
        held |= {one.id for one in rows if one.given}
        held |= {one.merged_into for one in rows if one.id in held and one.merged_into is not None}
        return (one for one in rows if one.id in held or one.merged_into in held)

    def relations(self) -> Iterator[Relation]:
        for one, sources in self.parts.of(KeptRelation):
            yield replace(one.relation, sources=self.named(sources) or ((_GONE,) if sources else ()))

    def mentions(self) -> Iterator[tuple[int, MentionCopy]]:
        for one, sources in self.parts.of(KeptMention):
            for text in self.named(sources):
                place = (text.message, text.fact, text.version)
                mention = Mention(one.entity, one.surface, one.start, one.end, *place, 0, one.at)
                yield one.number, MentionCopy(one.owner, mention, one.earlier)

    def changes(self) -> Iterator[GraphChangeCopy]:
        lines = {(line.relation.id, line.relation.version): line.relation for line, _ in self.parts.of(KeptRelation)}
        for one, sources in self.parts.of(KeptGraphChange):
            before, after = (_state(one, state, lines) for state in (one.before, one.after))
            change = GraphChange(
                one.id, one.kind, one.owner, one.entity, one.relation, before, after, one.reason, one.at, one.actor,
                one.batch, one.cause, one.other, one.moved, self.named(sources),
            )  # fmt: skip
            if (before or after) is not None:
                yield GraphChangeCopy(one.number, change, one.told)

    def named(self, sources: Iterable[KeptSource]) -> tuple[Source, ...]:
        """Give sources as this store has them; what is not here is left out."""
        found: list[Source] = []
        for one in sources:
            if one.fact is not None and (one.fact, one.version) in self.facts:
                found.append(Source(fact=one.fact, version=one.version))
            elif one in self.numbers:
                found.append(Source(self.numbers[one], one.start, one.end))
        return tuple(found)


def _state(
    change: KeptGraphChange, state: Entity | int | None, lines: Mapping[tuple[UUID, int], Relation]
) -> Entity | Relation | None:
    if not isinstance(state, int):
        return state
    return None if change.relation is None else lines.get((change.relation, state))


def _sum(keep: Callable[[list[T]], GraphCarried], rows: Iterable[T]) -> GraphCarried:
    """Keep rows batch by batch, and give what all of it came to."""
    return sum(map(keep, _batches(rows)), GraphCarried())


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(rows)
    while batch := list(islice(rest, PAGE)):
        yield batch
