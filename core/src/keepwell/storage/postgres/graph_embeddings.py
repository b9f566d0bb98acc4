"""Plans for embeddings of entities: what is due, what is kept, and who is close to a text."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np

from keepwell.storage import embeddings as seam
from keepwell.storage.graph import FoundEntity, NearEntities
from keepwell.storage.postgres.graph_reading import by_id, closeness
from keepwell.storage.postgres.runner import FloatArray, Plan
from keepwell.storage.postgres.walls import Walls


def find(walls: Walls, query: seam.FindUnembedded) -> Plan[tuple[seam.DueEntity, ...]]:
    """Give entities that lack an embedding."""
    given: dict[str, Any] = {"space": query.space, "limit": query.limit}
    if query.after is None:
        rows = yield walls.step("due_entities", **given)
    else:
        rows = yield walls.step("missing_entities", after=query.after, **given)
    return tuple(
        seam.DueEntity(UUID(str(ident)), kind, (name, *others), tuple(roles), version)
        for ident, version, kind, name, others, roles in rows
    )


def put(walls: Walls, change: seam.PutEntityVectors) -> Plan[int]:
    """Keep embeddings.

    Owners are held first: who moves, merges or forgets entities meanwhile would leave these behind.
    """
    if not change.rows:
        return 0
    entities = [row.entity for row in change.rows]
    yield walls.step("hold_owners_of_entities", entities=entities)
    yield walls.step("share_space", space=change.space)
    ((count,),) = yield walls.step(
        "put_entity_vectors",
        space=change.space,
        entities=entities,
        versions=[row.version for row in change.rows],
        means=[bool(row.vector.any()) for row in change.rows],
        vectors=FloatArray(np.concatenate([row.vector for row in change.rows])),
    )
    return int(count)


def near(walls: Walls, query: NearEntities) -> Plan[tuple[FoundEntity, ...]]:
    """Give who is close to a text."""
    rows = yield walls.scoped("entities_near", query.scope, **closeness(query.near))
    entities = yield from by_id(walls, query.scope, [ident for ident, _ in rows])
    found = ((entities.get(UUID(str(ident))), score) for ident, score in rows)
    return tuple(FoundEntity(one, "", one.name, score) for one, score in found if one is not None)
