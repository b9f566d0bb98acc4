"""Taking from the graph what nothing speaks for any more, and giving it to another owner with a thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from keepwell.formation.graph_edits import fold
from keepwell.models import Owner, Scope, Source
from keepwell.models.graph import Mention, Relation
from keepwell.storage.plain.graph_tables import Graph, Named, Told
from keepwell.storage.plain.tables import Tables

GRAPH_PLACES = ("entities", "relations", "mentions", "graph_changes")


@dataclass(slots=True)
class _Going:
    """What goes: mentions, versions of relations, entities, changes and names of entities that stay."""

    mentions: set[int] = field(default_factory=set)
    versions: set[tuple[UUID, int]] = field(default_factory=set)
    entities: set[UUID] = field(default_factory=set)
    changes: set[UUID] = field(default_factory=set)
    names: set[tuple[UUID, str]] = field(default_factory=set)
    renamed: dict[UUID, str] = field(default_factory=dict)


def forget_graph(tables: Tables, scope: Scope) -> dict[str, int]:
    """Remove the whole graph of a scope."""
    graph = tables.graph
    going = _Going(
        {number for number, one in graph.mentions.items() if scope.covers(one.owner)},
        {name for name, one in graph.relations.items() if scope.covers(one.owner)},
        {one.id for one in graph.covered(scope)},
        {ident for ident, one in graph.changes.items() if scope.covers(one.change.owner)},
    )
    _remove(graph, going)
    return _counts(going)


def remove_graph(tables: Tables, messages: Iterable[int], facts: Iterable[UUID]) -> dict[str, int]:
    """Remove what rests on messages and facts that go, with all that is left without a ground."""
    graph, gone = tables.graph, (set(messages), set(facts))
    going = _Going({number for number, (_, one) in graph.mentions.items() if _rests(one, gone)})
    for name, one in graph.relations.items():
        spent = gone[0] | _words_of(tables, {source.fact for source in one.sources} & gone[1])
        if one.sources and not one.given and all(_rests(source, (spent, gone[1])) for source in one.sources):
            going.versions.add(name)
    going.changes = {
        ident for ident, one in graph.changes.items() if any(_rests(source, gone) for source in one.change.sources)
    }
    _drop(graph, going, frozenset())
    for name, one in graph.relations.items():
        graph.relations[name] = replace(one, sources=tuple(s for s in one.sources if not _rests(s, gone)))
    return _counts(going)


def drop_mentions(tables: Tables, numbers: Iterable[int], kept: frozenset[UUID]) -> None:
    """Remove mentions, with all that is left without a ground but these entities."""
    _drop(tables.graph, _Going(set(numbers)), kept)


def _rests(one: Source | Mention, gone: tuple[set[int], set[UUID]]) -> bool:
    return one.message in gone[0] or one.fact in gone[1]


def _words_of(tables: Tables, facts: set[UUID | None]) -> set[int]:
    """Give the messages that facts rest on: they speak for what rests on those facts no more than these do."""
    versions = [one for (ident, _), one in tables.facts.items() if ident in facts] if facts else []
    return {source.message for one in versions for source in one.sources if source.message is not None}


def _counts(going: _Going) -> dict[str, int]:
    found = (len(going.entities), len(going.versions), len(going.mentions), len(going.changes))
    return dict(zip(GRAPH_PLACES, found, strict=True))


def _drop(graph: Graph, going: _Going, kept: frozenset[UUID]) -> None:
    """Add what is left without a ground, and remove it; what stood before stands again."""
    ended = [graph.relations[name] for name in going.versions if graph.relations[name].stands]
    _follow(graph, going, kept)
    changes = [graph.changes[ident].change for ident in going.changes]
    retracted = [(one.relation, one.at) for one in changes if one.kind == "DELETE" and one.relation is not None]
    for told in list(graph.changes.values()):
        if _is_told(told, going):
            going.changes.add(told.change.id)
    _remove(graph, going)
    for ident, at in [*((one.id, None) for one in ended), *retracted]:
        versions = [one for (of, _), one in graph.relations.items() if of == ident]
        last = max(versions, key=lambda one: one.version, default=None)
        if last is not None and (at is None or last.retired_at == at):
            graph.relations[ident, last.version] = replace(last, retired_at=None)


def _follow(graph: Graph, going: _Going, kept: frozenset[UUID]) -> None:
    """Add the entities that are left without a ground, and the names that nothing says any more.

    An entity whose name was said by what goes alone, and that has no other, goes with its relations.
    """
    said = [graph.mentions[number].mention for number in going.mentions]
    lost = {(one.entity, fold(one.surface)) for one in said}
    touched = {entity for entity, _ in lost}
    while True:
        before = len(going.entities), len(going.versions)
        touched |= {end for name in going.versions for end in _ends(graph.relations[name])}
        touched |= {graph.now(entity) for entity in touched}
        left = {entity: _left(graph, going, entity) for entity in touched if entity in graph.entities}
        going.entities |= _groundless(graph, going, left, kept)
        for entity in left.keys() - going.entities - kept:
            _judge(graph, going, entity, left[entity], {name for of, name in lost if of == entity})
        for name in graph.relations_of(going.entities):
            going.versions.add(name)
        if before == (len(going.entities), len(going.versions)):
            return


def _ends(relation: Relation) -> tuple[UUID, UUID]:
    return relation.subject, relation.object


def _left(graph: Graph, going: _Going, entity: UUID) -> dict[str, str]:
    """Give the names that are given, or said by mentions that stay: folded, as shown."""
    said = [*graph.entities[entity].given]
    said += [one.surface for one in graph.of(entity) if one.number not in going.mentions]
    return {fold(name): name for name in reversed(said)}


def _groundless(
    graph: Graph, going: _Going, left: Mapping[UUID, Mapping[str, str]], kept: frozenset[UUID]
) -> set[UUID]:
    gone = set(going.entities)
    while True:
        more = {
            entity
            for entity, names in left.items()
            if entity not in gone | kept
            and not names
            and not (graph.relations_of([entity]).keys() - going.versions)
            and not {one.id for one in graph.entities.values() if one.merged_into == entity} - gone
        }
        if not more:
            return gone
        gone |= more


def _judge(graph: Graph, going: _Going, entity: UUID, left: Mapping[str, str], lost: set[str]) -> None:
    gone = lost - left.keys()
    going.names |= {(entity, name) for name in gone}
    own = fold(graph.entities[entity].name)
    if own not in gone:
        return
    parts = [one for one in graph.entities.values() if one.merged_into == entity and one.id not in going.entities]
    others = {**{fold(one.name): one.name for one in parts}, **left}
    if others:
        going.renamed[entity] = others[min(others)]
    else:
        going.entities.add(entity)


def _is_told(told: Told, going: _Going) -> bool:
    """Tell whether a change goes with what goes, or tells a name that goes of one that stays."""
    change = told.change
    thing = change.after or change.before
    named = set(_ends(thing)) if isinstance(thing, Relation) else {change.entity, change.other}
    versions = {(one.id, one.version) for one in (change.before, change.after) if isinstance(one, Relation)}
    lost = {name for entity, name in going.names if entity in named}
    return bool(named & going.entities or versions & going.versions or lost & told.names)


def _remove(graph: Graph, going: _Going) -> None:
    graph.mentions = {number: one for number, one in graph.mentions.items() if number not in going.mentions}
    graph.relations = {name: one for name, one in graph.relations.items() if name not in going.versions}
    graph.entities = {ident: one for ident, one in graph.entities.items() if ident not in going.entities}
    graph.changes = {ident: one for ident, one in graph.changes.items() if ident not in going.changes}
    for ident, name in going.renamed.items():
        if ident in graph.entities:
            there = graph.entities[ident]
            graph.entities[ident] = replace(there, name=name, version=there.version + 1)


# --- a thread that is moved


def move_graph(tables: Tables, to: Owner, thread: UUID, messages: set[int], facts: set[UUID]) -> None:
    """Move entities that rest on these alone, with their relations; take the rest away, to be found anew."""
    graph, gone = tables.graph, (messages, facts)
    going = _whole(graph, gone)
    relations = {name for name, one in graph.relations.items() if {one.subject, one.object} <= going}
    named = {ident for ident, _ in relations}
    entities = {ident: graph.entities.pop(ident) for ident in going}
    lines = {name: graph.relations.pop(name) for name in relations}
    said = {
        number: graph.mentions.pop(number) for number, one in list(graph.mentions.items()) if one[1].entity in going
    }
    changes = {
        ident: graph.changes.pop(ident)
        for ident, one in list(graph.changes.items())
        if one.change.entity in going or one.change.relation in named
    }
    remove_graph(tables, messages, facts)
    graph.entities |= {ident: replace(one, owner=to) for ident, one in entities.items()}
    graph.relations |= {name: replace(one, owner=to) for name, one in lines.items()}
    graph.mentions |= {number: Named(to, one.mention) for number, one in said.items()}
    graph.changes |= {ident: Told(replace(one.change, owner=to), one.names) for ident, one in changes.items()}
    graph.seen.pop(thread, None)
    first = min((one.row.number for one in tables.facts.values() if one.fact.id in facts), default=None)
    if first is not None:
        graph.facts_seen[to] = min(first - 1, graph.facts_seen.get(to, 0))


def _whole(graph: Graph, gone: tuple[set[int], set[UUID]]) -> set[UUID]:
    """Give the entities that go: with all that they are one with, and held by no relation that rests elsewhere."""
    going = {
        entity
        for entity in {one.entity for _, one in graph.mentions.values() if _rests(one, gone)}
        if all(_rests(one, gone) for one in graph.of(entity)) and entity in graph.entities
    }
    while True:
        parted = {entity for entity in going if not {one.id for one in graph.group(entity)} <= going}
        tied = {
            end
            for one in graph.relations_of(going).values()
            if not {one.subject, one.object} <= going and _is_held(one, gone)
            for end in (one.subject, one.object)
        }
        if not (stay := going & (parted | tied)):
            return going
        going -= stay


def _is_held(one: Relation, gone: tuple[set[int], set[UUID]]) -> bool:
    return one.given or not one.sources or not all(_rests(source, gone) for source in one.sources)
