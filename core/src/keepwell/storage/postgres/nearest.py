"""Plans for the nearest vectors of a scope: compared one by one, or by an index where that costs less.

An HNSW index is walked over all tenants' vectors and keeps what belongs to the scope, so its cost grows with the
scope's share in it: to find k of a scope of n in an index of N it looks at about k N / n vectors, each some twenty
times dearer than a vector of a plain comparison (measured: 30 us against 1.5 us at 256 numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from psycopg import sql

from keepwell.recall.arrays import Floats
from keepwell.storage import base
from keepwell.storage.postgres.queries import Names
from keepwell.storage.postgres.runner import FloatArray, Plan, Step
from keepwell.storage.postgres.walls import Walls

LARGE = 10_000
"""From how many messages and facts on a user's vectors are copied into the index."""
NOTED_EVERY = 256
"""Whether a user is large enough for the index is looked at once for so many vectors, about."""
_DEARER = 20
_WALKED = 100
"""How many the index gives at most: it is asked for the best, and the ranking looks at their neighbours as well. A walk
to 100 takes twice as long as one to 10 with the usual settings; to 200, three to four times."""
_BREADTH = 100
MOST = 60_000
_HALF_FROM = 2001
"""From this dimension on an index holds numbers of half precision."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """Keys of the items whose vectors are nearest, and where known the mean of the scope's vectors and their count."""

    keys: list[int]
    centre: tuple[Floats, int] | None = None


def nearest(walls: Walls, query: base.FindCandidates, within: list[int] | None) -> Plan[Nearest]:
    """Give what is nearest to the query's vector, in the scope or within some keys of it."""
    if query.vector is None or query.space is None:
        return Nearest([])
    if within is None and not query.scope.across_users:
        ((count, total, indexed),) = yield walls.scoped(
            "centres", query.scope, space=query.space, dimension=len(query.vector)
        )
        limit = min(query.limit, _WALKED)
        if indexed is not None and worth_walking(count, max(indexed, count), limit):
            ((keys,),) = yield _indexed(walls, query, limit)
            return Nearest(keys or [], _mean(total, count))
    ((keys, count, total),) = yield walls.scoped(
        "nearest_exact",
        query.scope,
        space=query.space,
        within=within,
        vector=FloatArray(query.vector),
        limit=query.limit,
    )
    return Nearest(keys or [], _mean(total, count))


def worth_walking(count: int, indexed: int, limit: int) -> bool:
    """Tell whether an index of ``indexed`` vectors finds ``limit`` of a scope of ``count`` for less than comparing."""
    return count > 0 and _DEARER * limit * indexed < count * count and limit * indexed < MOST * count


def note_large(walls: Walls, threads: Sequence[UUID], facts: Sequence[int] = ()) -> Plan[None]:
    """Note that the vectors of the users of these threads and facts are to be indexed, where they are many enough."""
    if threads or facts:
        yield walls.step("note_large", threads=list(threads), facts=list(facts), large=LARGE)


def noting() -> dict[str, int]:
    """Give from when on, and how often, statements that write vectors themselves note the same."""
    return {"large": LARGE, "noted_every": NOTED_EVERY}


def index(walls: Walls, change: base.IndexVectors) -> Plan[int]:
    """Copy some of a user's vectors into the index; after the last of them their sum is kept anew."""
    ((count,),) = yield walls.step("index_vectors", user_id=change.user_id, space=change.space, limit=change.limit)
    if count < change.limit:
        yield walls.step("sum_vectors", user_id=change.user_id, space=change.space)
    return int(count)


def for_dimension(text: bytes, names: Names, dimension: int) -> bytes:
    """Give the statement ``nearest_indexed``, which is written for 256 numbers, for another dimension."""
    written = sql.Identifier(names.extensions, "vector").as_string(None).encode()
    wanted = (
        sql.Identifier(names.extensions, "halfvec" if dimension >= _HALF_FROM else "vector").as_string(None).encode()
    )
    text = text.replace(written + b"(256)", wanted + b"(%d)" % dimension)
    return text.replace(b"dimension = 256", b"dimension = %d" % dimension)


def _indexed(walls: Walls, query: base.FindCandidates, limit: int) -> Step:
    """Give the statement for the query's dimension, which an index's expression has to name."""
    vector = query.vector
    assert vector is not None  # noqa: S101 - asked before
    text, values = walls.scoped(
        "nearest_indexed",
        query.scope,
        space=query.space,
        vector=FloatArray(vector),
        limit=limit,
        breadth=_BREADTH,
        most=MOST,
    )
    return for_dimension(text, walls.names, len(vector)), values


def _mean(packed: bytes | None, count: int) -> tuple[Floats, int] | None:
    total = floats(packed)
    return None if total is None else (total / np.float32(count), count)


def floats(packed: bytes | None) -> Floats | None:
    """Give the numbers of a vector as ``vector_send`` packs it."""
    return None if packed is None else np.frombuffer(packed, ">f4", offset=4).astype(np.float32)
