"""Every read of the graph, as a function on tables."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import numpy as np

from keepwell.errors import InvalidQuery
from keepwell.formation.graph_edits import fold, grams, likeness
from keepwell.models import Scope
from keepwell.models.graph import Entities, Entity, GraphChanges, Mention, Neighbourhood, Path, Relation
from keepwell.storage.graph import (
    EntityContext,
    FindEntities,
    FindUnmentioned,
    FoundEntity,
    GraphCounts,
    GraphHistory,
    ListEntities,
    ListRelations,
    ReadContexts,
    ReadEntities,
    ReadGraph,
    ReadMentions,
    ReadNeighbours,
    ReadPaths,
    Support,
    SupportOf,
)
from keepwell.storage.plain.graph import find_unmentioned
from keepwell.storage.plain.graph_embeddings import close
from keepwell.storage.plain.tables import Tables

_NEVER = dt.datetime(1, 1, 2, tzinfo=dt.UTC)
_Seen = ReadNeighbours | ReadPaths | SupportOf


def find(tables: Tables, query: FindEntities) -> tuple[FoundEntity, ...]:
    """Give entities by name, exactly or nearly."""
    found: list[FoundEntity] = []
    for asked in query.names:
        best: dict[UUID, FoundEntity] = {}
        for one in tables.graph.covered(query.scope):
            whole = tables.graph.view(one.now)
            name, score = _fit(tables, one, fold(asked), query.fuzzy)
            fits = query.type in (None, whole.type) and (query.retired or whole.retired_at is None)
            if score and fits and (whole.id not in best or best[whole.id].score < score):
                best[whole.id] = FoundEntity(whole, asked, name, score)
        order = sorted(best.values(), key=lambda f: (f.score, f.entity.last_seen or _NEVER, f.entity.id), reverse=True)
        found += order[: query.limit]
    return tuple(found)


def _fit(tables: Tables, entity: Entity, asked: str, fuzzy: float | None) -> tuple[str, float]:
    """Give the name of an entity that fits best, and how well; 0 where none does."""
    names = {fold(entity.name): entity.name, **tables.graph.said(entity.id)}
    if asked in names:
        return names[asked], 1.0
    scores = {shown: likeness(grams(asked), grams(folded)) for folded, shown in names.items()}
    best = max(scores, key=lambda shown: scores[shown])
    return best, scores[best] if fuzzy is not None and scores[best] >= fuzzy else 0.0


def list_entities(tables: Tables, query: ListEntities) -> Entities:
    """Give a page of entities, seen last first."""
    own = [one for one in tables.graph.covered(query.scope) if one.is_itself and query.type in (None, one.type)]
    places = {one.id: (_last_seen(tables, one), one.id.int) for one in own}
    start = _place(query.after, lambda last: UUID(last).int)
    order = sorted((place, ident) for ident, place in places.items() if start is None or place < start)[::-1]
    page = order[: query.limit]
    views = tuple(tables.graph.view(ident) for _, ident in page)
    return Entities(views, _mark(page[-1][0][0], str(page[-1][1])) if len(order) > query.limit else None)


def _last_seen(tables: Tables, entity: Entity) -> dt.datetime:
    return max((one.at for one in tables.graph.of(entity.id) if one.at is not None), default=_NEVER)


def read_entities(tables: Tables, query: ReadEntities) -> dict[UUID, Entity]:
    """Give entities by id."""
    there = {one.id: one for one in tables.graph.covered(query.scope)}
    return {
        ident: tables.graph.view(there[ident].now if query.resolve else ident) for ident in query.ids if ident in there
    }


def list_relations(tables: Tables, query: ListRelations) -> tuple[Relation, ...]:
    """Give relations, recorded last first."""
    group = None if query.entity is None else {one.id for one in tables.graph.group(query.entity)}
    found = [
        one
        for one in tables.graph.relations.values()
        if query.scope.covers(one.owner)
        and (query.versions or _is_held(one, query.as_of))
        and (query.valid_at is None or one.valid_at(query.valid_at))
        and (query.ids is None or one.id in query.ids)
        and (group is None or {one.subject, one.object} & group)
    ]
    found.sort(key=lambda one: (-one.recorded_at.timestamp(), one.id, -one.version))
    return tuple(found[: query.limit])


def _is_held(one: Relation, as_of: dt.datetime | None) -> bool:
    if as_of is None:
        return one.stands
    return one.recorded_at <= as_of and (one.retired_at is None or as_of < one.retired_at)


def read_mentions(tables: Tables, query: ReadMentions) -> tuple[Mention, ...]:
    """Give mentions, newest first."""
    group = None if query.entity is None else {one.id for one in tables.graph.group(query.entity)}
    facts = {(one.fact.id, one.fact.version): one.row.key for one in tables.facts.values()}
    found = [
        one
        for owner, one in tables.graph.mentions.values()
        if query.scope.covers(owner)
        and (group is None or one.entity in group)
        and (query.keys is None or (one.message or facts.get(_fact(one))) in query.keys)
        and (query.before is None or one.number < query.before)
    ]
    found.sort(key=lambda one: one.number, reverse=True)
    return tuple(found[: query.limit])


def _fact(one: Mention) -> tuple[UUID, int]:
    return one.fact or UUID(int=0), one.version


def _lines(tables: Tables, query: _Seen) -> list[Relation]:
    """Give the relations that are to be followed, with the ends that theirs are taken to be."""
    graph = tables.graph
    alive = {one.id for one in graph.covered(query.scope) if one.is_itself}
    found = [
        replace(one, subject=graph.now(one.subject), object=graph.now(one.object))
        for one in graph.relations.values()
        if query.scope.covers(one.owner)
        and _is_held(one, query.as_of)
        and (query.valid_at is None or one.valid_at(query.valid_at))
    ]
    return [one for one in found if {one.subject, one.object} <= alive]


def _hops(lines: Iterable[Relation], start: Iterable[UUID], most: int) -> dict[UUID, int]:
    lines = list(lines)
    hops = dict.fromkeys(start, 0)
    for hop in range(1, most + 1):
        ends = {end for one in lines for end in (one.subject, one.object) if {one.subject, one.object} & hops.keys()}
        hops |= dict.fromkeys(sorted(ends - hops.keys()), hop)
    return hops


def _asked(tables: Tables, scope: Scope, ids: Iterable[UUID]) -> list[UUID]:
    mine = {one.id: one for one in tables.graph.covered(scope)}
    roots = dict.fromkeys(mine[ident].now for ident in ids if ident in mine)
    return [root for root in roots if root in mine and mine[root].is_itself]


def neighbours(tables: Tables, query: ReadNeighbours) -> Neighbourhood:
    """Give what lies around entities."""
    lines = _lines(tables, query)
    hops = _hops(lines, _asked(tables, query.scope, query.entities), query.hops)
    hops = dict(list(hops.items())[: query.limit])
    inner = {ident for ident, hop in hops.items() if hop < query.hops}
    inside = [one for one in lines if one.subject in hops and one.object in hops and {one.subject, one.object} & inner]
    return Neighbourhood({ident: tables.graph.view(ident) for ident in hops}, hops, tuple(inside))


def paths(tables: Tables, query: ReadPaths) -> tuple[Path, ...]:
    """Give the shortest ways."""
    ends = _asked(tables, query.scope, (query.start, query.end))
    if len(ends) < 2:  # noqa: PLR2004 - a start and an end
        return ()
    lines = sorted(_lines(tables, query), key=lambda one: one.id)
    ways: list[tuple[tuple[UUID, ...], tuple[Relation, ...]]] = [((ends[0],), ())]
    seen = {ends[0]}
    for _ in range(query.max_hops):
        ways = [
            ((*passed, other), (*along, line))
            for passed, along in ways
            for line in lines
            for one, other in ((line.subject, line.object), (line.object, line.subject))
            if one == passed[-1] and other not in seen
        ]
        if found := [way for way in ways if way[0][-1] == ends[1]][: query.limit]:
            return tuple(Path(tuple(map(tables.graph.view, passed)), along) for passed, along in found)
        seen |= {way[0][-1] for way in ways}
    return ()


def support(tables: Tables, query: SupportOf) -> Support:
    """Give the texts behind entities, nearest first and then newest; of each the relation's before mentions."""
    named = find(tables, FindEntities(query.scope, query.names, limit=1000)) if query.names else ()
    asked = dict.fromkeys(_asked(tables, query.scope, query.entities), "")
    called = {one.entity.id: one.name for one in named if one.entity.retired_at is None}
    wanted = query.near if query.near is not None and (query.near.beside or not called) else None
    alike = {} if wanted is None else close(tables, query.scope, wanted)
    asked |= {**dict.fromkeys(alike, ""), **called}
    lines = _lines(tables, query)
    hops = _hops(lines, asked, query.hops)
    rows: list[tuple[int, bool, float, int, UUID, UUID | None]] = []
    ways: dict[UUID, set[str]] = {}
    for line in lines:
        near, far = sorted((line.subject, line.object), key=lambda end: hops.get(end, query.hops + 1))
        if hops.get(near, query.hops) < query.hops:
            ways.setdefault(far, set()).add(line.predicate)
            keys = _keys(tables, query, line.sources)
            rows += [(hops[near] + 1, False, 0.0, -key, far, line.id) for key in keys]
    for ident, hop in hops.items():
        for part in tables.graph.group(ident):
            newest = tables.graph.of(part.id)[::-1][: query.each if hop <= 1 else 2]
            for one in newest:
                at = -one.at.timestamp() if one.at else 0.0
                rows += [(hop, True, at, -key, ident, None) for key in _keys(tables, query, (one,))]
    rows = sorted(rows, key=lambda row: row[:4])[: query.limit]
    reached = {row[4] for row in rows} | asked.keys()
    return Support(
        np.array([-row[3] for row in rows], np.int64),
        np.array([row[0] for row in rows], np.int64),
        tuple(row[4] for row in rows),
        tuple(row[5] for row in rows),
        {ident: tables.graph.entities[ident].name for ident in reached},
        {line.id: line.predicate for line in lines if line.id in {row[5] for row in rows}},
        asked,
        {row[4]: frozenset(ways[row[4]]) for row in rows if row[4] in ways},
        alike,
    )


def _keys(tables: Tables, query: SupportOf, named: Iterable[Any]) -> list[int]:
    """Give the keys of messages, and of versions of facts that are held, that are named."""
    keys = []
    for one in named:
        if one.message is not None:
            keys.append(one.message)
        elif (found := tables.facts.get((one.fact, one.version))) is not None:
            held = found.fact.stands and not found.fact.reopened
            if held if query.as_of is None else found.row.held(query.as_of):
                keys.append(found.row.key)
    return keys


def contexts(tables: Tables, query: ReadContexts) -> dict[UUID, EntityContext]:
    """Give the company of entities."""
    graph = tables.graph
    there = {one.id for one in graph.covered(query.scope)}
    return {ident: _context(tables, query, ident) for ident in query.entities if ident in there}


def _context(tables: Tables, query: ReadContexts, ident: UUID) -> EntityContext:
    graph, root = tables.graph, tables.graph.now(ident)
    mine = [one for part in graph.group(ident) for one in graph.of(part.id)]
    mine.sort(key=lambda one: one.at or _NEVER, reverse=True)
    named = SupportOf(query.scope)
    keys = list(dict.fromkeys(key for one in mine for key in _keys(tables, named, (one,))))[: query.mentions]
    together: Counter[UUID] = Counter()
    for key in keys:
        inside = read_mentions(tables, ReadMentions(query.scope, keys=(key,), limit=10_000))
        together.update({graph.now(one.entity) for one in inside} - {root})
    rows = {key: entry.row for key, (_, entry) in tables.messages().items()}
    texts = {**{key: row.terms for key, row in rows.items()}, **{o.row.key: o.row.terms for o in tables.facts.values()}}
    terms = Counter(term for key in keys for term in set(texts[key].split()))
    lines = _lines(tables, named)
    said = {(one.predicate, one.object) for one in lines if one.subject == root}
    said |= {(one.predicate, one.subject) for one in lines if one.object == root}
    return EntityContext(dict(together), frozenset(said), dict(terms), tuple(keys))


def history(tables: Tables, query: GraphHistory) -> GraphChanges:
    """Give a page of the graph's history."""
    every = enumerate(told.change for told in tables.graph.changes.values())
    start = _place(query.after, int)
    found = [((change.at, n), change) for n, change in every if query.scope.covers(change.owner)]
    found = [
        (place, change)
        for place, change in found
        if (start is None or (place > start if query.oldest_first else place < start))
        and (query.relation in (None, change.relation))
        and (query.ids is None or change.id in query.ids)
        and query.batch in (None, change.batch)
        and query.actor in (None, change.actor)
        and (query.since is None or change.at >= query.since)
        and (query.until is None or change.at < query.until)
        and (query.entity is None or query.entity in _parties(change.before, change.after, change.entity, change.other))
    ]
    found.sort(key=lambda pair: pair[0], reverse=not query.oldest_first)
    page = found[: query.limit]
    more = _mark(page[-1][0][0], str(page[-1][0][1])) if len(found) > query.limit else None
    return GraphChanges(tuple(_seen(tables, change) for _, change in page), more)


def _parties(*things: Entity | Relation | UUID | None) -> set[UUID]:
    found: set[UUID] = set()
    for one in things:
        if isinstance(one, Relation):
            found |= {one.subject, one.object}
        elif isinstance(one, UUID):
            found.add(one)
    return found


def _seen(tables: Tables, change: Any) -> Any:  # noqa: ANN401 - a change, with its versions as they are now
    def now(one: Entity | Relation | None) -> Entity | Relation | None:
        if isinstance(one, Relation):
            return tables.graph.relations.get((one.id, one.version))
        return None if one is None else replace(one, aliases=(), first_seen=None, last_seen=None)

    return replace(change, before=now(change.before), after=now(change.after))


def counts(tables: Tables, _: ReadGraph) -> GraphCounts:
    """Count the tenant's graph."""
    graph = tables.graph
    unseen = find_unmentioned(tables, FindUnmentioned(limit=10**9))
    owners = sum(one.facts is not None for one in unseen)
    return GraphCounts(
        sum(one.is_itself for one in graph.entities.values()),
        sum(one.stands for one in graph.relations.values()),
        len(graph.mentions),
        len(graph.changes),
        sum(text.key > 0 for one in unseen for text in one.texts) + owners,
    )


def _mark(at: dt.datetime, last: str) -> str:
    return json.dumps([at.isoformat(), last])


def _place(mark: str | None, kind: Callable[[str], int]) -> tuple[dt.datetime, int] | None:
    if mark is None:
        return None
    try:
        at, last = json.loads(mark)
        return dt.datetime.fromisoformat(at), kind(last)
    except (ValueError, TypeError, AttributeError):
        raise InvalidQuery("after= takes the `next` of a page, as it was given") from None


GRAPH_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {
        FindEntities: find,
        ListEntities: list_entities,
        ReadEntities: read_entities,
        ReadContexts: contexts,
        ListRelations: list_relations,
        ReadMentions: read_mentions,
        ReadNeighbours: neighbours,
        ReadPaths: paths,
        SupportOf: support,
        GraphHistory: history,
        ReadGraph: counts,
        FindUnmentioned: find_unmentioned,
    }
)
