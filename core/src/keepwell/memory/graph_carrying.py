"""The graph from one store to another: under the same ids, with its history, so that all of it can be taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar
from uuid import UUID

from keepwell.errors import UsageError
from keepwell.models import Owner, Scope, Source
from keepwell.models.graph import Entity, Mention, Relation
from keepwell.storage.base import Record
from keepwell.storage.graph_copying import (
    EVERYONE,
    GraphChangeCopy,
    GraphSize,
    KeepEntityCopies,
    KeepGraphChangeCopies,
    KeepMentionCopies,
    KeepRelationCopies,
    KeepSeen,
    MentionCopy,
    ReadEntityCopies,
    ReadGraphChangeCopies,
    ReadMentionCopies,
    ReadRelationCopies,
    ReadSeen,
    SizeGraph,
)

PAGE = 500


class _Owned(Protocol):
    @property
    def owner(self) -> Owner: ...


OwnedT = TypeVar("OwnedT", bound=_Owned)


@dataclass(frozen=True, slots=True)
class GraphCarried:
    """How much of a graph was new in the target: entities, versions of relations, mentions and changes."""

    entities: int = 0
    relations: int = 0
    mentions: int = 0
    changes: int = 0

    def __add__(self, other: GraphCarried) -> GraphCarried:
        """Give both together."""
        names = ("entities", "relations", "mentions", "changes")
        return GraphCarried(*(getattr(self, name) + getattr(other, name) for name in names))


def graph_size(record: Record, scope: Scope = EVERYONE) -> GraphSize | None:
    """Give how much graph a scope has; None where the store keeps none."""
    try:
        return record.read(SizeGraph(scope))
    except UsageError:
        return None  # what a store cannot do it refuses with this, in its own words


# --- reading


def entities_of(record: Record, scope: Scope = EVERYONE) -> Iterator[Sequence[Entity]]:
    """Give a scope's entities, a page at a time."""
    after: UUID | None = None
    while page := record.read(ReadEntityCopies(scope, after, PAGE)):
        yield page
        after = page[-1].id


def relations_of(record: Record, scope: Scope = EVERYONE) -> Iterator[Sequence[Relation]]:
    """Give all versions of a scope's relations, a page at a time."""
    after: tuple[UUID, int] | None = None
    while page := record.read(ReadRelationCopies(scope, after, PAGE)):
        yield page
        after = page[-1].id, page[-1].version


def mentions_of(record: Record, scope: Scope = EVERYONE) -> Iterator[Sequence[MentionCopy]]:
    """Give a scope's mentions, a page at a time."""
    after = 0
    while page := record.read(ReadMentionCopies(scope, after, PAGE)):
        yield page
        after = page[-1].mention.number


def graph_changes_of(record: Record, scope: Scope = EVERYONE) -> Iterator[Sequence[GraphChangeCopy]]:
    """Give a scope's changes of the graph in their order, a page at a time."""
    after = 0
    while page := record.read(ReadGraphChangeCopies(scope, after, PAGE)):
        yield page
        after = page[-1].number


def earlier_of(pages: Iterable[Sequence[GraphChangeCopy]]) -> dict[int, tuple[UUID, ...]]:
    """Give, by mention, the entities that it was of before it was moved."""
    found: dict[int, dict[UUID, None]] = {}
    for page in pages:
        for one in page:
            for number, entity in one.change.moved:
                found.setdefault(number, {})[entity] = None
    return {number: tuple(entities) for number, entities in found.items()}


# --- writing


@dataclass(slots=True)
class GraphKeeping:
    """Keeps a graph in a record, kind by kind; ``numbers`` are what its mentions have there, by what they had."""

    record: Record
    numbers: dict[int, int] = field(default_factory=dict)

    def entities(self, rows: Iterable[Entity]) -> GraphCarried:
        """Keep entities."""
        kept = (self.record.write(KeepEntityCopies(owner, mine)) for owner, mine in _by_owner(rows))
        return GraphCarried(entities=sum(kept))

    def relations(self, rows: Iterable[Relation]) -> GraphCarried:
        """Keep versions of relations; what they rest on has the numbers of this record."""
        kept = (self.record.write(KeepRelationCopies(owner, mine)) for owner, mine in _by_owner(rows))
        return GraphCarried(relations=sum(kept))

    def mentions(self, rows: Iterable[tuple[int, MentionCopy]]) -> GraphCarried:
        """Keep mentions, each given with the number that it had; its text has the number of this record."""
        new = 0
        told = list(rows)
        had = {id(one): number for number, one in told}
        for owner, mine in _by_owner(one for _, one in told):
            kept = self.record.write(KeepMentionCopies(owner, mine))
            new += kept.new
            placed = zip((had[id(one)] for one in mine), kept.numbers, strict=True)
            self.numbers.update((old, number) for old, number in placed if number is not None)
        return GraphCarried(mentions=new)

    def changes(self, rows: Iterable[GraphChangeCopy]) -> GraphCarried:
        """Keep changes; the mentions that they moved get the numbers of this record."""
        new = 0
        for owner, mine in _by_owner(_Change(one, one.change.owner) for one in rows):
            told = tuple(replace(one.copy, change=replace(one.copy.change, moved=self.moved(one))) for one in mine)
            new += self.record.write(KeepGraphChangeCopies(owner, told))
        return GraphCarried(changes=new)

    def moved(self, one: _Change) -> tuple[tuple[int, UUID], ...]:
        """Give the mentions that a change moved as they are called here; one that is not here is left out."""
        said = one.copy.change.moved
        return tuple((self.numbers[number], entity) for number, entity in said if number in self.numbers)


@dataclass(frozen=True, slots=True)
class _Change:
    copy: GraphChangeCopy
    owner: Owner


def _by_owner(rows: Iterable[OwnedT]) -> Iterator[tuple[Owner, tuple[OwnedT, ...]]]:
    """Give rows owner by owner, each's in their order."""
    found: dict[Owner, list[OwnedT]] = {}
    for one in rows:
        found.setdefault(one.owner, []).append(one)
    for owner in sorted(found):
        yield owner, tuple(found[owner])


def rested(sources: Iterable[Source], numbers: Mapping[int, int]) -> tuple[Source, ...]:
    """Give what is rested on by the target's numbers; a message that it does not have is none."""
    return tuple(
        source if source.message is None else replace(source, message=numbers[source.message])
        for source in sources
        if source.message is None or source.message in numbers
    )


# --- from store to store


def carry_graph(
    source: Record,
    target: Record,
    owners: Iterable[Owner],
    numbers: Callable[[Iterable[Source]], Mapping[int, int]],
    told: Callable[[int], None],
) -> GraphCarried:
    """Carry the whole graph of a tenant, whose texts are there; count what was new.

    ``numbers`` gives what the target calls messages; ``told`` is called with how many rows are done.
    """
    keeping = GraphKeeping(target)
    done = GraphCarried()
    for entities in entities_of(source):
        done += keeping.entities(entities)
        told(len(entities))
    for relations in relations_of(source):
        there = numbers(named for one in relations for named in one.sources)
        done += keeping.relations(replace(one, sources=_left(one, there)) for one in relations)
        told(len(relations))
    earlier = earlier_of(graph_changes_of(source))
    for mentions in mentions_of(source):
        there = numbers(Source(one.mention.message) for one in mentions if one.mention.message is not None)
        done += keeping.mentions(_placed(mentions, there, earlier))
        told(len(mentions))
    for changes in graph_changes_of(source):
        there = numbers(named for one in changes for named in one.change.sources)
        done += keeping.changes(
            replace(one, change=replace(one.change, sources=rested(one.change.sources, there))) for one in changes
        )
        told(len(changes))
    for owner in owners:
        if facts := source.read(ReadSeen(owner)):
            target.write(KeepSeen(owner, {}, tuple(facts)))
    return done


_GONE = Source(0)
"""A message that nothing has: what rested on something that is gone must not look as if it had rested on nothing."""


def _left(one: Relation, numbers: Mapping[int, int]) -> tuple[Source, ...]:
    left = rested(one.sources, numbers)
    return left or ((_GONE,) if one.sources else ())


def _placed(
    page: Iterable[MentionCopy], numbers: Mapping[int, int], earlier: Mapping[int, tuple[UUID, ...]]
) -> Iterator[tuple[int, MentionCopy]]:
    """Give mentions as the target names their texts, with the numbers that they had; of a text that it lacks none."""
    for one in page:
        mention = one.mention
        if mention.message is not None and mention.message not in numbers:
            continue
        there: Mention = mention if mention.message is None else replace(mention, message=numbers[mention.message])
        yield mention.number, MentionCopy(one.owner, there, earlier.get(mention.number, ()))
