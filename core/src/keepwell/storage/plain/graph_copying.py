"""What carries a graph from one store to another, as functions on tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from keepwell.formation.graph_edits import fold
from keepwell.models import Owner, Source
from keepwell.models.graph import Entity, Mention, Relation
from keepwell.storage.graph_copying import (
    GraphChangeCopy,
    GraphSize,
    KeepEntityCopies,
    KeepGraphChangeCopies,
    KeepMentionCopies,
    KeepRelationCopies,
    KeepSeen,
    KeptMentions,
    MentionCopy,
    ReadEntityCopies,
    ReadGraphChangeCopies,
    ReadMentionCopies,
    ReadRelationCopies,
    ReadSeen,
    SizeGraph,
)
from keepwell.storage.plain.graph import said_at
from keepwell.storage.plain.graph_tables import Named, Told
from keepwell.storage.plain.tables import Tables

_FIRST: Final = UUID(int=0)


def size(tables: Tables, query: SizeGraph) -> GraphSize:
    """Count the rows of a graph."""
    graph, covers = tables.graph, query.scope.covers
    return GraphSize(
        len(graph.covered(query.scope)),
        sum(covers(one.owner) for one in graph.relations.values()),
        sum(covers(one.owner) for one in graph.mentions.values()),
        sum(covers(one.change.owner) for one in graph.changes.values()),
    )


def read_entities(tables: Tables, query: ReadEntityCopies) -> tuple[Entity, ...]:
    """Give entities in the order of their ids."""
    found = sorted(tables.graph.covered(query.scope), key=lambda one: one.id)
    return tuple(_named(tables, one) for one in found if one.id > (query.after or _FIRST))[: query.limit]


def _named(tables: Tables, one: Entity) -> Entity:
    """Give an entity with its own names and times, whatever is taken to be it."""
    said = tables.graph.said(one.id)
    times = [mention.at for mention in tables.graph.of(one.id) if mention.at is not None]
    aliases = tuple(shown for folded, shown in said.items() if folded != fold(one.name))
    return replace(one, aliases=aliases, first_seen=min(times, default=None), last_seen=max(times, default=None))


def read_relations(tables: Tables, query: ReadRelationCopies) -> tuple[Relation, ...]:
    """Give versions of relations in the order of ids and versions."""
    found = sorted(tables.graph.relations.items())
    return tuple(one for name, one in found if query.scope.covers(one.owner) and name > (query.after or (_FIRST, 0)))[
        : query.limit
    ]


def read_mentions(tables: Tables, query: ReadMentionCopies) -> tuple[MentionCopy, ...]:
    """Give mentions in the order of their numbers."""
    found = sorted(tables.graph.mentions.items())
    return tuple(
        MentionCopy(one.owner, one.mention)
        for number, one in found
        if number > query.after and query.scope.covers(one.owner)
    )[: query.limit]


def read_changes(tables: Tables, query: ReadGraphChangeCopies) -> tuple[GraphChangeCopy, ...]:
    """Give changes in their order."""
    found = [
        GraphChangeCopy(number, one.change, tuple(sorted(one.names)))
        for number, one in enumerate(tables.graph.changes.values(), 1)
    ]
    mine = (one for one in found if one.number > query.after and query.scope.covers(one.change.owner))
    return tuple(mine)[: query.limit]


def seen(tables: Tables, query: ReadSeen) -> frozenset[UUID]:
    """Give the facts that were looked through."""
    upto = tables.graph.facts_seen.get(query.owner, 0)
    mine = (one for one in tables.standing().values() if one.fact.owner == query.owner)
    return frozenset(one.fact.id for one in mine if one.row.number <= upto)


def keep_entities(tables: Tables, change: KeepEntityCopies) -> int:
    """Keep entities; one that is there in a lower version becomes what is given."""
    graph, new = tables.graph, 0
    for one in change.rows:
        there = graph.entities.get(one.id)
        new += there is None
        if there is None or (there.owner == change.owner and there.version < one.version):
            graph.entities[one.id] = replace(one, owner=change.owner, aliases=(), first_seen=None, last_seen=None)
    return new


def keep_relations(tables: Tables, change: KeepRelationCopies) -> int:
    """Keep versions of relations whose ends are here, with what they rest on here."""
    graph, new = tables.graph, 0
    for one in change.rows:
        sources = tuple(source for source in one.sources if said_at(tables, change.owner, source) is not None)
        known = {number: there for (ident, number), there in graph.relations.items() if ident == one.id}
        whose = {there.owner for there in known.values()} | _owners(tables, one)
        if whose != {change.owner} or (one.sources and not sources and not one.given):
            continue
        for number, there in known.items():
            coming = any((row.id, row.version) == (one.id, number) for row in change.rows)
            if number < one.version and there.stands and not coming:
                graph.relations[one.id, number] = replace(there, retired_at=one.recorded_at)
        new += one.version not in known
        graph.relations[one.id, one.version] = _here(replace(one, sources=sources, owner=change.owner), known)
    return new


def _owners(tables: Tables, one: Relation) -> set[Owner | None]:
    """Give whose the ends are; None among them where one is not here."""
    ends = (tables.graph.entities.get(end) for end in (one.subject, one.object))
    return {None if end is None else end.owner for end in ends}


def _here(one: Relation, known: Mapping[int, Relation]) -> Relation:
    """Give a version as it is kept: what is here stays, but that it may end, and rest on more."""
    there = known.get(one.version)
    if there is not None:
        sources = tuple(dict.fromkeys((*there.sources, *one.sources)))
        return replace(there, retired_at=there.retired_at or one.retired_at, sources=sources)
    later = [number for number in known if number > one.version]
    return replace(one, retired_at=known[min(later)].recorded_at) if later and one.stands else one


def keep_mentions(tables: Tables, change: KeepMentionCopies) -> KeptMentions:
    """Keep mentions whose entities and texts are here."""
    graph = tables.graph
    places = {_place(one.mention, one.mention.entity): number for number, one in graph.mentions.items()}
    numbers: list[int | None] = []
    new = 0
    for one in change.rows:
        mention = one.mention
        entity, place = graph.entities.get(mention.entity), _place(mention, mention.entity)
        if entity is None or entity.owner != change.owner or said_at(tables, change.owner, mention) is None:
            numbers.append(None)
            continue
        earlier = [places[name] for was in one.earlier if (name := _place(mention, was)) in places]
        if place not in places:
            new += not earlier
            places[place] = earlier[0] if earlier else next(tables.numbers)
            at = graph.mentions[earlier[0]].mention.at if earlier else mention.at
            graph.mentions[places[place]] = Named(change.owner, replace(mention, number=places[place], at=at))
        numbers.append(places[place])
    return KeptMentions(tuple(numbers), new)


def _place(one: Mention, entity: UUID) -> tuple[object, ...]:
    return entity, one.message, one.fact, one.version if one.fact else 0, one.start


def keep_changes(tables: Tables, change: KeepGraphChangeCopies) -> int:
    """Keep changes of what is here."""
    graph, new = tables.graph, 0
    for one in change.rows:
        said = one.change
        if said.id in graph.changes or not _is_here(tables, change.owner, one):
            continue
        sources = _known(tables, change.owner, said.sources)
        graph.changes[said.id] = Told(replace(said, owner=change.owner, sources=sources), frozenset(one.told))
        new += 1
    return new


def _known(tables: Tables, owner: Owner, sources: Iterable[Source]) -> tuple[Source, ...]:
    return tuple(source for source in sources if said_at(tables, owner, source) is not None)


def _is_here(tables: Tables, owner: Owner, one: GraphChangeCopy) -> bool:
    """Tell whether the entities and versions that a change is about are the owner's."""
    change, graph = one.change, tables.graph
    thing = change.after or change.before
    ends = (thing.subject, thing.object) if isinstance(thing, Relation) else (change.entity, change.other)
    states = [(state.id, state.version) for state in (change.before, change.after) if isinstance(state, Relation)]
    found = [graph.entities.get(end) for end in ends if end is not None] + [
        graph.relations.get(name) for name in states
    ]
    return all(there is not None and there.owner == owner for there in found)


def keep_seen(tables: Tables, change: KeepSeen) -> None:
    """Raise watermarks up to the first text that is not named."""
    for key, ids in change.messages.items():
        talk = tables.by_key(key)
        if talk is not None and talk.thread.owner == change.owner:
            upto = tables.graph.seen.get(key, 0)
            rest = [one.row.seq - 1 for one in talk.in_order if one.row.seq > upto and one.row.id not in ids]
            tables.graph.seen[key] = max(upto, min(rest, default=talk.thread.last_seq))
    if change.facts is not None:
        upto = tables.graph.facts_seen.get(change.owner, 0)
        mine = [one for one in tables.facts.values() if one.fact.owner == change.owner and one.row.number > upto]
        rest = [one.row.number - 1 for one in mine if one.fact.stands and one.fact.id not in change.facts]
        last = max((one.row.number for one in mine), default=upto)
        tables.graph.facts_seen[change.owner] = max(upto, min(rest, default=last))


GRAPH_COPY_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {
        KeepEntityCopies: keep_entities,
        KeepRelationCopies: keep_relations,
        KeepMentionCopies: keep_mentions,
        KeepGraphChangeCopies: keep_changes,
        KeepSeen: keep_seen,
    }
)
GRAPH_COPY_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {
        SizeGraph: size,
        ReadEntityCopies: read_entities,
        ReadRelationCopies: read_relations,
        ReadMentionCopies: read_mentions,
        ReadGraphChangeCopies: read_changes,
        ReadSeen: seen,
    }
)
