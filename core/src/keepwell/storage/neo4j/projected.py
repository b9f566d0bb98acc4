"""Reading the projection: what recall's graph source asks, walked in Neo4j, with the record's answers.

Names are looked up in the record, and what is given to people is read from it, under its walls. Neo4j walks the
relations. What was held at an earlier instant is not projected, so such a question is the record's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, LiteralString, TypeAlias
from uuid import UUID

from keepwell.models import Scope
from keepwell.models.graph import Entity, Neighbourhood, Relation
from keepwell.storage.base import Record
from keepwell.storage.graph import (
    FindEntities,
    FoundEntity,
    ListRelations,
    NearEntities,
    ReadEntities,
    ReadNeighbours,
    Support,
    SupportOf,
)
from keepwell.storage.neo4j.blocks import walled
from keepwell.storage.neo4j.driver import Bolt, Row, Transaction

FAN = 64
"""How many relations of one entity are followed, the latest first."""
_WIDE = 1000
_FAR, _FAR_MENTIONS = 2, 2
_NEVER = 2**62
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "edges": ("id", "predicate", "far", "name", "grounds", "subject", "object", "recorded"),
    "texts": ("id", "key", "at"),
    "held": ("id", "version", "number"),
}
"""Rows come as one list: each record of its own is a message of its own, for which the driver takes 70 microseconds."""
_Ends: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Edge:
    id: str
    predicate: str
    far: str
    grounds: tuple[str, ...]
    recorded: int


@dataclass(slots=True)
class _Walk:
    """What a walk of two hops came by: entities by how far they are, relations by how far they lead, names."""

    asked: dict[str, str]
    hops: dict[str, int]
    names: dict[str, str] = field(default_factory=dict)
    edges: list[tuple[int, _Edge]] = field(default_factory=list)


class ProjectedGraph:
    """One tenant's projection, to be walked; gives what the record gives, as far as it was projected."""

    def __init__(self, bolt: Bolt, tenant: str, record: Record, *, seconds: float = 1.0) -> None:
        """Bind them; ``seconds`` is how long a walk may take."""
        self.bolt, self.tenant, self.record = bolt, tenant, record
        self._seconds = seconds

    def support(self, query: SupportOf) -> Support:
        """Give the texts behind entities, as :class:`~keepwell.storage.graph.SupportOf` says.

        Raises:
            StoreUnavailable: Neo4j does not answer, or not in time.
        """
        if query.as_of is not None:
            return self.record.read(query)
        asked, names, near = self._asked(query)
        found = self.bolt.read(lambda tx: self._support(tx, query, asked, names), seconds=self._seconds)
        return replace(found, near=near) if near else found

    def neighbours(self, query: ReadNeighbours) -> Neighbourhood:
        """Give what lies around entities, as :class:`~keepwell.storage.graph.ReadNeighbours` says.

        Raises:
            StoreUnavailable: Neo4j does not answer, or not in time.
        """
        if query.as_of is not None:
            return self.record.read(query)
        known = self.record.read(ReadEntities(query.scope, query.entities))
        start = {str(one.id): 0 for one in known.values() if one.is_itself}
        hops, met = self.bolt.read(lambda tx: self._around(tx, query, start), seconds=self._seconds)
        return self._neighbourhood(query.scope, hops, met)

    def _asked(self, query: SupportOf) -> tuple[dict[str, str], dict[str, str], dict[UUID, float]]:
        """Give the entities that a question names, each with the name it was found by, and with its own name.

        Third, those that were found by their embeddings where no name was, with how close they are.
        """
        asked: dict[str, str] = {}
        names: dict[str, str] = {}
        near: tuple[FoundEntity, ...] = ()
        called = False
        if query.entities:
            found = self.record.read(ReadEntities(query.scope, query.entities))
            asked |= {str(one.id): "" for one in found.values() if one.is_itself}
            names |= {str(one.id): one.name for one in found.values()}
        if query.names:
            for one in self.record.read(FindEntities(query.scope, query.names, limit=FAN)):
                if one.entity.is_itself:
                    called = True
                    asked[str(one.entity.id)] = max(asked.get(str(one.entity.id), ""), one.name)
                    names[str(one.entity.id)] = one.entity.name
        if query.near is not None and (query.near.beside or not called):
            near = self.record.read(NearEntities(query.scope, query.near))
            asked |= {str(one.entity.id): asked.get(str(one.entity.id), "") for one in near}
            names |= {str(one.entity.id): one.entity.name for one in near}
        return asked, names, {one.entity.id: one.score for one in near}

    def _support(
        self, tx: Transaction, query: SupportOf, asked: Mapping[str, str], names: Mapping[str, str]
    ) -> Support:
        walk = _Walk(dict(asked), dict.fromkeys(asked, 0), dict(names))
        if query.hops > 0:
            self._step(tx, query, walk, 1, FAN)
        if query.hops > 1:
            self._step(tx, query, walk, 2, FAN // 4)
        texts = [*self._mentioned(tx, query, walk), *self._grounded(tx, query, walk)]
        return _answer(query, walk, texts)

    def _step(self, tx: Transaction, query: SupportOf, walk: _Walk, hop: int, fan: int) -> None:
        """Follow the relations of what was reached last."""
        frontier = [ident for ident, hops in walk.hops.items() if hops == hop - 1]
        if not frontier:
            return
        known = {edge.id for _, edge in walk.edges}
        fresh: dict[str, _Edge] = {}
        for row in self._rows(tx, "edges", query.scope, ids=frontier, at=query.valid_at, fan=fan):
            walk.names.setdefault(row["far"], row["name"])
            if row["id"] not in known:
                edge = _Edge(row["id"], row["predicate"], row["far"], tuple(row["grounds"] or ()), row["recorded"])
                # Between two that are both on the way a relation is met from either end; one of them counts.
                there = fresh.get(row["id"])
                if there is None or there.far in walk.hops:
                    fresh[row["id"]] = edge
        walk.edges += [(hop, edge) for edge in fresh.values()]
        reached: dict[str, int] = {}
        for edge in fresh.values():
            if edge.far not in walk.hops:
                reached[edge.far] = max(reached.get(edge.far, 0), edge.recorded)
        nearest = sorted(reached, key=lambda ident: reached[ident], reverse=True)[:FAN]
        walk.hops |= dict.fromkeys(nearest, hop)

    def _mentioned(self, tx: Transaction, query: SupportOf, walk: _Walk) -> Iterable[_Text]:
        near = [ident for ident, hops in walk.hops.items() if hops < _FAR]
        far = [ident for ident, hops in walk.hops.items() if hops >= _FAR]
        for ids, each in ((near, query.each), (far, _FAR_MENTIONS)):
            for row in self._rows(tx, "texts", query.scope, ids=ids, each=each) if ids else ():
                yield _Text(walk.hops[row["id"]], row["id"], None, row["key"], row["at"])

    def _grounded(self, tx: Transaction, query: SupportOf, walk: _Walk) -> Iterable[_Text]:
        """Give what the relations rest on."""
        grounds = [(hop, edge, ground.split(":")) for hop, edge in walk.edges for ground in edge.grounds[: query.each]]
        facts = list({ground[1] for _, _, ground in grounds if ground[0] == "f"})
        held = {}
        if facts:
            for row in self._rows(tx, "held", query.scope, ids=facts):
                held[row["id"], str(row["version"])] = -row["number"]
        for hop, edge, ground in grounds:
            key = int(ground[1]) if ground[0] == "m" else held.get((ground[1], ground[2]))
            if key is not None:
                yield _Text(hop, edge.far, edge.id, key, _NEVER)

    def _around(
        self, tx: Transaction, query: ReadNeighbours, start: Mapping[str, int]
    ) -> tuple[dict[str, int], dict[str, _Ends]]:
        hops, met = dict(start), dict[str, _Ends]()
        frontier = list(start)
        for hop in range(1, query.hops + 1):
            if not frontier or len(hops) >= query.limit:
                break
            found = self._rows(tx, "edges", query.scope, ids=frontier, at=query.valid_at, fan=_WIDE)
            met |= {row["id"]: (row["subject"], row["object"]) for row in found}
            reached = dict.fromkeys(row["far"] for row in found if row["far"] not in hops)
            frontier = list(reached)[: query.limit - len(hops)]
            hops |= dict.fromkeys(frontier, hop)
        return hops, {ident: ends for ident, ends in met.items() if ends[0] in hops and ends[1] in hops}

    def _neighbourhood(self, scope: Scope, hops: Mapping[str, int], met: Mapping[str, _Ends]) -> Neighbourhood:
        ids = tuple(UUID(ident) for ident in hops)
        found: dict[UUID, Entity] = self.record.read(ReadEntities(scope, ids)) if ids else {}
        lines = tuple(UUID(ident) for ident in met)
        read = self.record.read(ListRelations(scope, ids=lines, limit=len(lines))) if lines else ()
        return Neighbourhood(
            {ident: found[ident] for ident in ids if ident in found},
            {UUID(ident): hop for ident, hop in hops.items() if UUID(ident) in found},
            tuple(_between(one, *met[str(one.id)]) for one in read),
        )

    def _rows(self, tx: Transaction, name: str, scope: Scope, **parameters: Any) -> list[Row]:  # noqa: ANN401 - Cypher's
        statement, walls = _walled(name, scope)
        found = tx.run(statement, {"tenant": self.tenant, **walls, **parameters}).single(strict=True)["rows"]
        return [dict(zip(_COLUMNS[name], row, strict=True)) for row in found]


def _between(relation: Relation, subject: str, object_: str) -> Relation:
    """Give a relation with its ends as the entities that they are taken to be."""
    return replace(relation, subject=UUID(subject), object=UUID(object_))


@dataclass(frozen=True, slots=True)
class _Text:
    hops: int
    entity: str
    relation: str | None
    key: int
    at: int

    @property
    def order(self) -> tuple[int, bool, int, int]:
        return self.hops, self.relation is None, -self.at, -self.key


def _answer(query: SupportOf, walk: _Walk, texts: Iterable[_Text]) -> Support:
    import numpy as np  # noqa: PLC0415 - not at import, which is to be quick

    chosen = sorted(texts, key=lambda text: text.order)[: query.limit]
    ids = _Ids()
    led = {text.relation for text in chosen}
    reached = {text.entity for text in chosen}
    ways: dict[str, set[str]] = {}
    for _, edge in walk.edges:
        if edge.far in reached:
            ways.setdefault(edge.far, set()).add(edge.predicate)
    return Support(
        np.array([text.key for text in chosen], np.int64),
        np.array([text.hops for text in chosen], np.int64),
        tuple(ids[text.entity] for text in chosen),
        tuple(None if text.relation is None else ids[text.relation] for text in chosen),
        {ids[ident]: walk.names[ident] for ident in reached | set(walk.asked) if ident in walk.names},
        {ids[edge.id]: edge.predicate for _, edge in walk.edges if edge.id in led},
        {ids[ident]: name for ident, name in walk.asked.items()},
        {ids[ident]: frozenset(predicates) for ident, predicates in ways.items()},
    )


class _Ids(dict[str, UUID]):
    """Ids by their words, each made once: a walk names the same few in hundreds of texts."""

    def __missing__(self, ident: str) -> UUID:
        self[ident] = made = UUID(ident)
        return made


def _walled(name: str, scope: Scope) -> tuple[LiteralString, dict[str, str]]:
    """Give a statement with the walls of the scope written into it, and their values."""
    given = {"user_id": None if scope.across_users else scope.user_id or ""}
    given |= {"agent_id": scope.agent_id, "run_id": scope.run_id}
    walls = {ident: value for ident, value in given.items() if value is not None}
    return walled(name, tuple(walls)), walls
