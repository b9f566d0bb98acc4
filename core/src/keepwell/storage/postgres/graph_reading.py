"""Plans that read the graph."""

from __future__ import annotations

import base64
import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np

from keepwell.errors import InvalidQuery
from keepwell.formation.graph_edits import fold, grams
from keepwell.models import Scope
from keepwell.models.graph import Entities, Entity, GraphChanges, Mention, Neighbourhood, Path, Relation
from keepwell.storage import graph as seam
from keepwell.storage.embeddings import Near
from keepwell.storage.postgres.graph_rows import change_of, entity_of, mention_of, relation_of, together
from keepwell.storage.postgres.rows import storable
from keepwell.storage.postgres.runner import FloatArray, Plan, Rows
from keepwell.storage.postgres.walls import Walls

FAN = 32
"""So many relations of one entity are followed, those recorded last; of one that is farther off a quarter of it."""
_WIDE = 1000
"""So many relations of one entity are followed where a neighbourhood or a path is asked for."""
_END = dt.datetime(9999, 12, 30, tzinfo=dt.UTC)
_BEGINNING = dt.datetime(1, 1, 2, tzinfo=dt.UTC)


def find(walls: Walls, query: seam.FindEntities) -> Plan[tuple[seam.FoundEntity, ...]]:
    """Give entities by name."""
    folds = [storable(fold(name)) for name in query.names]
    rows = yield walls.scoped("names_exactly", query.scope, folds=folds)
    if query.fuzzy is not None:
        runs = ["\n".join(sorted(grams(folded))) for folded in folds]
        most = 4 * query.limit * max(1, len(folds))
        rows += yield walls.scoped("names_alike", query.scope, grams=runs, least=query.fuzzy, most=most)
    entities = yield from by_id(walls, query.scope, [row[3] for row in rows])
    return tuple(_found(query, rows, entities))


def _found(query: seam.FindEntities, rows: Rows, entities: Mapping[UUID, Entity]) -> Iterable[seam.FoundEntity]:
    best: dict[tuple[int, UUID], seam.FoundEntity] = {}
    for n, shown, score, ident in rows:
        one = entities.get(UUID(str(ident)))
        if one is None or query.type not in (None, one.type) or (one.retired_at is not None and not query.retired):
            continue
        found = seam.FoundEntity(one, query.names[n - 1], shown, score)
        if (n, one.id) not in best or best[n, one.id].score < score:
            best[n, one.id] = found
    for n in range(1, len(query.names) + 1):
        mine = [found for (of, _), found in best.items() if of == n]
        mine.sort(key=lambda found: (found.score, found.entity.last_seen or _BEGINNING, found.entity.id), reverse=True)
        yield from mine[: query.limit]


def by_id(walls: Walls, scope: Scope, ids: Iterable[object]) -> Plan[dict[UUID, Entity]]:
    """Give entities and their groups, the ones that they are taken to be with all names."""
    wanted = list({UUID(str(ident)) for ident in ids})
    if not wanted:
        return {}
    rows = yield walls.scoped("entities_by_id", scope, ids=wanted)
    return together(map(entity_of, rows))


def entities(walls: Walls, query: seam.ReadEntities) -> Plan[dict[UUID, Entity]]:
    """Give entities by id."""
    found = yield from by_id(walls, query.scope, query.ids)
    there = {ident: found[ident] for ident in query.ids if ident in found}
    if not query.resolve:
        return there
    return {ident: found.get(one.now, one) for ident, one in there.items()}


def listing(walls: Walls, query: seam.ListEntities) -> Plan[Entities]:
    """Give a page of entities."""
    at, ident = _read_mark(query.after, UUID)
    # Who was never seen comes after all others.
    place = {"at": None if at == _BEGINNING else at, "id": ident, "type": query.type, "limit": query.limit + 1}
    rows = yield walls.scoped("list_entities", query.scope, **place)
    page = rows[: query.limit]
    found = yield from by_id(walls, query.scope, [ident for ident, _ in page])
    more = _mark(page[-1][1] or _BEGINNING, page[-1][0]) if len(rows) > query.limit else None
    return Entities(tuple(found[UUID(str(ident))] for ident, _ in page), more)


def relations(walls: Walls, query: seam.ListRelations) -> Plan[tuple[Relation, ...]]:
    """Give relations."""
    given: dict[str, Any] = {"as_of": query.as_of, "valid_at": query.valid_at, "versions": query.versions}
    if query.ids is None and query.entity is None:
        rows = yield walls.scoped("list_relations", query.scope, limit=query.limit, **given)
        return tuple(map(relation_of, rows))
    group = yield from _group(walls, query.scope, query.entity)
    narrow = {"ids": [] if query.ids is None else list(query.ids), "entities": group}
    rows = yield walls.scoped("list_relations_of", query.scope, limit=query.limit, **narrow, **given)
    found = map(relation_of, rows)
    if query.ids is None or query.entity is None:
        return tuple(found)
    return tuple(one for one in found if one.id in query.ids and {one.subject, one.object} & set(group))


def _group(walls: Walls, scope: Scope, entity: UUID | None) -> Plan[list[UUID]]:
    """Give the ids of all that is taken to be the same as an entity."""
    if entity is None:
        return []
    return list((yield from by_id(walls, scope, [entity])))


def mentions(walls: Walls, query: seam.ReadMentions) -> Plan[tuple[Mention, ...]]:
    """Give mentions."""
    place = {"before": query.before, "limit": query.limit}
    if query.keys is not None:
        messages, facts = [key for key in query.keys if key > 0], [-key for key in query.keys if key < 0]
        given = {"messages": messages, "facts": facts}
        rows = yield walls.scoped("read_mentions_in", query.scope, **given, **place)
        if query.entity is None:
            return tuple(map(mention_of, rows))
        group = yield from _group(walls, query.scope, query.entity)
        return tuple(one for one in map(mention_of, rows) if one.entity in group)
    group = yield from _group(walls, query.scope, query.entity)
    rows = yield walls.scoped("read_mentions", query.scope, entities=group, **place)
    return tuple(map(mention_of, rows))


_Edge = tuple[UUID, int, UUID, UUID]
"""A relation's id and version, and its ends as they are taken to be."""


def _edges(walls: Walls, query: seam.ReadNeighbours | seam.ReadPaths, from_: Iterable[UUID]) -> Plan[list[_Edge]]:
    span = {"valid_at": query.valid_at, "as_of": query.as_of, "fan": _WIDE}
    rows = yield walls.scoped("edges", query.scope, entities=list(from_), **span)
    return [(UUID(str(ident)), version, UUID(str(one)), UUID(str(two))) for ident, version, one, two in rows]


def neighbours(walls: Walls, query: seam.ReadNeighbours) -> Plan[Neighbourhood]:
    """Give what lies around entities, hop by hop."""
    known = yield from by_id(walls, query.scope, query.entities)
    hops = {known[ident].now: 0 for ident in query.entities if ident in known}
    hops = {ident: 0 for ident in hops if ident in known and known[ident].is_itself}
    frontier, met = list(hops), dict[UUID, _Edge]()
    for hop in range(1, query.hops + 1):
        if not frontier or len(hops) >= query.limit:
            break
        edges = yield from _edges(walls, query, frontier)
        met |= {edge[0]: edge for edge in edges}
        reached = dict.fromkeys(end for edge in edges for end in edge[2:] if end not in hops)
        frontier = list(reached)[: query.limit - len(hops)]
        hops |= dict.fromkeys(frontier, hop)
    found = yield from by_id(walls, query.scope, hops)
    inside = [edge for edge in met.values() if edge[2] in hops and edge[3] in hops]
    lines = yield from _resolved(walls, query.scope, inside)
    return Neighbourhood({ident: found[ident] for ident in hops}, hops, tuple(lines.values()))


def _resolved(walls: Walls, scope: Scope, edges: Sequence[_Edge]) -> Plan[dict[UUID, Relation]]:
    """Give relations with the ends that theirs are taken to be."""
    if not edges:
        return {}
    versions = {"ids": [edge[0] for edge in edges], "versions": [edge[1] for edge in edges]}
    rows = yield walls.scoped("relations_by_version", scope, **versions)
    ends = {edge[0]: edge[2:] for edge in edges}
    found = map(relation_of, rows)
    return {one.id: replace(one, subject=ends[one.id][0], object=ends[one.id][1]) for one in found}


def paths(walls: Walls, query: seam.ReadPaths) -> Plan[tuple[Path, ...]]:
    """Give the shortest ways, looking from the start outwards and from the end against it."""
    known = yield from by_id(walls, query.scope, [query.start, query.end])
    if query.start not in known or query.end not in known:
        return ()
    start, end = known[query.start].now, known[query.end].now
    if start == end or not (known[start].is_itself and known[end].is_itself):
        return ()
    edges = yield from _explore(walls, query, start, end)
    ways = _ways(edges, start, end, query.max_hops, query.limit)
    found = yield from by_id(walls, query.scope, {one for way in ways for one in way[0]})
    lines = yield from _resolved(walls, query.scope, list({edge[0]: edge for way in ways for edge in way[1]}.values()))
    return tuple(Path(tuple(found[one] for one in way[0]), tuple(lines[edge[0]] for edge in way[1])) for way in ways)


def _explore(walls: Walls, query: seam.ReadPaths, start: UUID, end: UUID) -> Plan[list[_Edge]]:
    """Give the relations that are met until both sides have met, or the hops are used up."""
    met: dict[UUID, _Edge] = {}
    sides = ({start}, {end})
    fronts = [{start}, {end}]
    for _ in range(query.max_hops):
        if sides[0] & sides[1] or not all(fronts):
            break
        turn = 0 if len(fronts[0]) <= len(fronts[1]) else 1
        edges = yield from _edges(walls, query, fronts[turn])
        met |= {edge[0]: edge for edge in edges}
        fronts[turn] = {one for edge in edges for one in edge[2:]} - sides[turn]
        sides[turn].update(fronts[turn])
    return list(met.values())


_Way = tuple[tuple[UUID, ...], tuple[_Edge, ...]]


def _ways(edges: Iterable[_Edge], start: UUID, end: UUID, most: int, limit: int) -> list[_Way]:
    """Give the shortest ways along relations, in a fixed order."""
    around: dict[UUID, list[tuple[UUID, _Edge]]] = {}
    for edge in sorted(edges):
        around.setdefault(edge[2], []).append((edge[3], edge))
        around.setdefault(edge[3], []).append((edge[2], edge))
    ways: list[_Way] = [((start,), ())]
    seen = {start}
    for _ in range(most):
        ways = [
            ((*passed, other), (*along, edge))
            for passed, along in ways
            for other, edge in around.get(passed[-1], ())
            if other not in seen
        ]
        if arrived := [way for way in ways if way[0][-1] == end]:
            return arrived[:limit]
        seen |= {way[0][-1] for way in ways}
    return []


def support(walls: Walls, query: seam.SupportOf) -> Plan[seam.Support]:
    """Give the texts behind entities."""
    rows = yield walls.scoped(
        "support",
        query.scope,
        folds=list({storable(fold(name)) for name in query.names}),
        entities=list(query.entities),
        hops=query.hops,
        valid_at=query.valid_at,
        as_of=query.as_of,
        each=query.each,
        limit=query.limit,
        fan=FAN,
        **closeness(query.near),
    )
    return _support(rows)


def _support(rows: Rows) -> seam.Support:
    ids = _Ids()
    texts = [row for row in rows if row[0] == "text"]
    said: dict[str, dict[UUID, str]] = {"asked": {}, "name": {}, "predicate": {}}
    ways: dict[UUID, set[str]] = {}
    near: dict[UUID, float] = {}
    for what, _, entity, relation, _, word in rows:
        if what == "way":
            ways.setdefault(ids[entity], set()).add(word)
        elif what == "near":
            near[ids[entity]] = float(word)
        elif what != "text":
            said[what][ids[entity or relation]] = word
    return seam.Support(
        np.array([row[4] for row in texts], np.int64),
        np.array([row[1] for row in texts], np.int64),
        tuple(ids[row[2]] for row in texts),
        tuple(None if row[3] is None else ids[row[3]] for row in texts),
        said["name"],
        said["predicate"],
        said["asked"],
        {ident: frozenset(predicates) for ident, predicates in ways.items()},
        near,
    )


class _Ids(dict[UUID, UUID]):
    """The driver's ids as plain ones, each made once: a walk names the same few in hundreds of rows."""

    def __missing__(self, ident: UUID) -> UUID:
        self[ident] = plain = UUID(int=ident.int)
        return plain


def closeness(near: Near | None) -> dict[str, Any]:
    """Give the values for ``close_entities``; without a vector nothing is close."""
    if near is None:
        return {"space": None, "vector": None, "least": 1.0, "most": 0, "spread": 0.0, "beside": False}
    return {
        "space": near.space,
        "vector": FloatArray(near.vector),
        "least": near.least,
        "most": near.most,
        "spread": near.spread,
        "beside": near.beside,
    }


def contexts(walls: Walls, query: seam.ReadContexts) -> Plan[dict[UUID, seam.EntityContext]]:
    """Give the company of entities."""
    known = yield from by_id(walls, query.scope, query.entities)
    asked = [ident for ident in query.entities if ident in known]
    members = [(ident, one.id) for ident in asked for one in known.values() if one.now == known[ident].now]
    place = {"entities": [ident for ident, _ in members], "members": [member for _, member in members]}
    rows = yield walls.scoped("texts_of", query.scope, each=query.mentions, as_of=None, **place)
    keys: dict[UUID, dict[int, None]] = {ident: {} for ident in asked}
    for ident, _, key, _ in sorted(rows, key=lambda row: row[3], reverse=True):
        keys[UUID(str(ident))][key] = None
    chosen = {ident: tuple(found)[: query.mentions] for ident, found in keys.items()}
    near = yield from _company(walls, query.scope, sorted({key for found in chosen.values() for key in found}))
    neighbours_of = yield from _edges(walls, seam.ReadNeighbours(query.scope, ()), {known[one].now for one in asked})
    lines = yield from _resolved(walls, query.scope, neighbours_of)
    return {ident: _context(known[ident].now, chosen[ident], near, lines.values()) for ident in asked}


_Company = tuple[Mapping[int, list[UUID]], Mapping[int, str]]


def _company(walls: Walls, scope: Scope, keys: Sequence[int]) -> Plan[_Company]:
    """Give by text who is named in it, and its terms."""
    messages, facts = [key for key in keys if key > 0], [-key for key in keys if key < 0]
    named: dict[int, list[UUID]] = {}
    for name, place, sign in (("together", {"messages": messages}, 1), ("together_in_facts", {"facts": facts}, -1)):
        (numbers,) = place.values()
        for n, entity in (yield walls.scoped(name, scope, **place)) if numbers else ():
            named.setdefault(sign * numbers[n - 1], []).append(UUID(str(entity)))
    rows = yield walls.scoped("terms_of", scope, messages=messages, facts=facts)
    return named, dict(rows)


def _context(entity: UUID, keys: Sequence[int], near: _Company, lines: Iterable[Relation]) -> seam.EntityContext:
    named, terms = near
    together_with = Counter(one for key in keys for one in named.get(key, ()) if one != entity)
    words = Counter(term for key in keys for term in set(terms.get(key, "").split()))
    said = {(line.predicate, line.object) for line in lines if line.subject == entity}
    said |= {(line.predicate, line.subject) for line in lines if line.object == entity}
    return seam.EntityContext(dict(together_with), frozenset(said), dict(words), tuple(keys))


def history(walls: Walls, query: seam.GraphHistory) -> Plan[GraphChanges]:
    """Give a page of the graph's history."""
    at, number = _read_mark(query.after, int)
    beginning = _BEGINNING if query.oldest_first else _END
    named = (query.entity, query.relation, query.batch, query.ids)
    rows = yield walls.scoped(
        "graph_history",
        query.scope,
        oldest=query.oldest_first,
        at=at or beginning,
        number=number or 0,
        actor=query.actor,
        since=query.since,
        until=query.until,
        narrow=any(one is not None for one in named),
        entities=None if query.entity is None else [query.entity],
        relation=query.relation,
        batch=query.batch,
        ids=None if query.ids is None else list(query.ids),
        limit=query.limit + 1,
    )
    page = rows[: query.limit]
    versions = [(row[6], version) for row in page if row[6] is not None for version in row[9:11] if version is not None]
    place = {"ids": [ident for ident, _ in versions], "versions": [version for _, version in versions]}
    found = (yield walls.scoped("relations_by_version", query.scope, **place)) if versions else []
    lines = {(one.id, one.version): one for one in map(relation_of, found)}
    changes = tuple(change_of(row, lines) for row in page)
    return GraphChanges(changes, _mark(changes[-1].at, page[-1][0]) if len(rows) > query.limit else None)


def counts(walls: Walls, query: seam.ReadGraph) -> Plan[seam.GraphCounts]:  # noqa: ARG001 - it has no fields
    """Count the tenant's graph."""
    (row,) = yield walls.step("count_graph")
    return seam.GraphCounts(*row)


def _mark(at: dt.datetime, last: object) -> str:
    return base64.urlsafe_b64encode(f"{at.isoformat()} {last}".encode()).decode()


def _read_mark(mark: str | None, kind: Any) -> tuple[dt.datetime | None, Any]:  # noqa: ANN401 - a type and its value
    if mark is None:
        return None, None
    try:
        at, last = base64.urlsafe_b64decode(mark).decode().split(" ")
        return dt.datetime.fromisoformat(at), kind(last)
    except ValueError as error:
        raise InvalidQuery("after= takes the `next` of a page, as it was given") from error
