"""Embeddings of entities: what is due, what is kept, and who is close to a text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import numpy as np

from keepwell.errors import EmbedderMismatch
from keepwell.formation.graph_edits import fold
from keepwell.models import Scope
from keepwell.models.graph import Entity
from keepwell.storage.embeddings import DueEntity, FindUnembedded, Near, PutEntityVectors
from keepwell.storage.graph import FoundEntity, NearEntities
from keepwell.storage.plain.graph_tables import Graph, Made
from keepwell.storage.plain.tables import Tables

if TYPE_CHECKING:
    from keepwell.recall.arrays import Floats


def find_unembedded(tables: Tables, query: FindUnembedded) -> tuple[DueEntity, ...]:
    """Give entities that lack an embedding."""
    if query.after is None and query.space != tables.active:
        return ()
    graph = tables.graph
    lacking = [one for one in graph.entities.values() if one.is_itself and (one.id, query.space) not in graph.vectors]
    order = sorted((one for one in lacking if query.after is None or one.id > query.after), key=lambda one: one.id)
    return tuple(_due(graph, one) for one in order[: query.limit])


def put_entity_vectors(tables: Tables, change: PutEntityVectors) -> int:
    """Keep embeddings of entities that still are what was embedded."""
    space, graph = tables.spaces.get(change.space), tables.graph
    kept = 0
    for row in change.rows if space is not None else ():
        if space is not None and row.vector.shape != (space.dimension,):
            raise EmbedderMismatch(f"a vector of shape {row.vector.shape} is not of {space.model}")
        one = graph.entities.get(row.entity)
        if one is not None and one.is_itself and row.version in ("", version := _due(graph, one).version):
            graph.vectors[one.id, change.space] = Made(version, np.array(row.vector, np.float32))
            kept += 1
    return kept


def drop_stale(graph: Graph, spaces: Mapping[int, object]) -> None:
    """Take away embeddings whose words are not those any more, and those of spaces that are gone."""
    graph.vectors = {
        (ident, space): made
        for (ident, space), made in graph.vectors.items()
        if space in spaces
        and (one := graph.entities.get(ident)) is not None
        and one.is_itself
        and _due(graph, one).version == made.version
    }


def near_entities(tables: Tables, query: NearEntities) -> tuple[FoundEntity, ...]:
    """Give who is close to a text."""
    found = close(tables, query.scope, query.near)
    return tuple(FoundEntity(one := tables.graph.view(ident), "", one.name, score) for ident, score in found.items())


def close(tables: Tables, scope: Scope, near: Near) -> dict[UUID, float]:
    """Give the entities that are close to a text, best first."""
    scores = {
        one.id: float(np.dot(made.vector, near.vector))
        for one in tables.graph.covered(scope)
        if (made := tables.graph.vectors.get((one.id, near.space))) is not None
    }
    best = sorted(scores, key=lambda ident: (-scores[ident], ident))[: near.most]
    least = max([near.least, *(scores[ident] - near.spread for ident in best[:1])])
    return {ident: scores[ident] for ident in best if scores[ident] >= least}


def embedding_of(tables: Tables, entity: UUID) -> Floats | None:
    """Give an entity's embedding in the space in use; None where there is none, or it means nothing."""
    made = None if tables.active is None else tables.graph.vectors.get((entity, tables.active))
    return None if made is None or not made.vector.any() else made.vector


def _due(graph: Graph, one: Entity) -> DueEntity:
    group = {part.id for part in graph.group(one.id)}
    names = {
        folded: shown
        for part in group
        for folded, shown in {fold(graph.entities[part].name): graph.entities[part].name, **graph.said(part)}.items()
    }
    others = sorted(shown for folded, shown in names.items() if folded != fold(one.name))
    roles = {
        line.predicate
        for line in graph.relations.values()
        if line.stands and line.valid_to is None and line.subject in group
    }
    due = DueEntity(one.id, one.type, (one.name, *others), tuple(sorted(roles)))
    told = json.dumps([*one.owner, due.type, due.names, due.roles])
    return replace(due, version=hashlib.sha256(told.encode("utf-8", "replace")).hexdigest())


EMBEDDING_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {PutEntityVectors: put_entity_vectors}
)
EMBEDDING_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {FindUnembedded: find_unembedded, NearEntities: near_entities}
)
