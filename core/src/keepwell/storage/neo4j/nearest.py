"""The nearest vectors of a scope: compared one by one, or found by the vector index of their space.

Neo4j's index is filtered after it answered, so of a small scope among many it finds next to nothing. Therefore each
space has an index of its own, in which only users are who have many messages; what came since is compared beside it;
and it is asked for more until the scope has its rows, or until comparing everything is cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, LiteralString, Protocol
from uuid import UUID

import numpy as np

from keepwell.storage.base import FindCandidates, IndexVectors, SwitchSpace
from keepwell.storage.neo4j import nodes
from keepwell.storage.neo4j.cyphers import for_space, statement
from keepwell.storage.neo4j.work import Work
from keepwell.storage.plain.tables import now

Line = list[Any]
LARGE: Final = 5_000
"""From how many messages on a user's vectors are brought into the index, and looked for there. Measured with 256
numbers on two busy cores: 1,000 vectors are compared in 51 ms and 10,000 in 641 ms, most of it for their way here; the
index gives the nearest 400 in 71 ms, whatever there is. It takes in some 900 to 1,700 vectors a second."""
_WIDER: Final = 1.25
"""More than the share that the last answer had would need: the shares of two answers differ."""
_FIRST_GUESS: Final = 8
_AT_ONCE: Final = 250
"""So many vectors are brought in by one transaction: the tenant's other writers wait for it."""
_MOST_NUMBERS: Final = 4096
"""Neo4j's index takes no vectors with more."""


class Indexes(Protocol):
    """What making and dropping an index needs of a store: statements about a schema share no transaction."""

    def arrange(self, text: LiteralString, parameters: Mapping[str, Any]) -> None:
        """Run a statement about a schema."""


# --- looking


def widening(work: Work, query: FindCandidates, held: int) -> Iterator[list[Line]]:
    """Give vectors among which the nearest are: from the index, more each time, and at last all of the scope.

    ``held`` is how many messages and facts the scope has.
    """
    if _may_walk(query, held) and _answers(work, query.space):
        yield from _walked(work, query, held)
    yield work.lines("load_vectors", query.scope, since=-1, space=query.space)


def _may_walk(query: FindCandidates, held: int) -> bool:
    """Tell whether the index can answer: it knows no bounds, and many of several users are not in it."""
    bounds = (query.thread, query.since, query.until, query.as_of)
    bounded = bool(query.where) or any(bound is not None for bound in bounds)
    return held >= LARGE and not bounded and not query.scope.across_users and bool(np.any(query.vector))


def _answers(work: Work, space: int | None) -> bool:
    return space is not None and bool(work.rows("vector_index", index=index_name(space)))


def _walked(work: Work, query: FindCandidates, held: int) -> Iterator[list[Line]]:
    """Give what the index has of the scope with all that is not in it, while that is cheaper than comparing all."""
    loose: list[Line] | None = None
    width = round(query.limit * _WIDER)
    while width <= held // 2:
        found = _nearest(work, query, width)
        items = len({item for item, _ in found})
        if items >= query.limit:
            if loose is None:
                loose = work.lines("loose_vectors", query.scope, space=query.space)
            yield [*found, *loose]
        wider = width * query.limit / items * _WIDER if items else width * _FIRST_GUESS
        width = max(2 * width, round(wider))


def _nearest(work: Work, query: FindCandidates, width: int) -> list[Line]:
    assert query.vector is not None  # noqa: S101 - asked before
    assert query.space is not None  # noqa: S101 - as above
    asked = {"index": index_name(query.space), "width": width, "vector": query.vector.tolist()}
    return work.lines("nearest", query.scope, **asked, space=query.space)


# --- keeping


def index_vectors(work: Work, change: IndexVectors) -> int:
    """Bring some of a user's vectors into the index of their space, and count them."""
    if not _answers(work, change.space):
        return 0
    # Vectors are replaced, moved and removed under the tenant's revision: until this ends nobody does.
    work.take_rev()
    limit = min(change.limit, _AT_ONCE)
    rows = work.rows("loose_of_user", user=change.user_id, space=change.space, limit=limit)
    made = [{**row, "near": np.frombuffer(row["data"], "<f4").tolist()} for row in rows]
    for row in made:
        del row["data"]
    work.run(for_space(statement("put_near"), change.space), {"rows": made, "space": change.space})
    return len(made)


def note_large(work: Work, threads: Sequence[UUID | str]) -> None:
    """Note that vectors of these threads' users are to be brought into the index, where they are many enough."""
    if threads:
        at = nodes.micros(now())
        work.each("note_large", "threads", map(str, threads), large=LARGE, at=at)


def note_all_large(work: Work) -> None:
    """Note the same of all users of the tenant, for a space that came into use."""
    work.rows("note_all_large", large=LARGE, at=nodes.micros(now()))


# --- the index itself


def index_name(space: int) -> str:
    """Give the name of a space's index."""
    return f"keepwell_near_{space}"


def lacking(work: Work, change: IndexVectors) -> int | None:
    """Give the dimension of the index that this needs; None where it is there, or cannot be."""
    (dimension,) = [row["dimension"] for row in work.rows("spaces") if row["key"] == change.space] or [None]
    if dimension is None or dimension > _MOST_NUMBERS or _answers(work, change.space):
        return None
    return int(dimension)


def make(indexes: Indexes, space: int, dimension: int) -> None:
    """Make the index of a space, and wait until it answers."""
    indexes.arrange(for_space(_MAKE, space), {"index": index_name(space), "dimension": dimension})
    indexes.arrange("CALL db.awaitIndex($index, 300)", {"index": index_name(space)})


def drop(indexes: Indexes, spaces: Sequence[int]) -> None:
    """Drop the indexes of spaces that are no more."""
    for space in spaces:
        indexes.arrange("DROP INDEX $index IF EXISTS", {"index": index_name(space)})


def others(work: Work, change: SwitchSpace) -> list[int]:
    """Give the spaces that a switch drops."""
    return [row["key"] for row in work.rows("spaces") if row["key"] != change.space]


_MAKE: Final = (
    "CREATE VECTOR INDEX $index IF NOT EXISTS FOR (v:KeepwellNear0) ON (v.near) OPTIONS {indexConfig:"
    " {`vector.dimensions`: toInteger($dimension), `vector.similarity_function`: 'cosine'}}"
)
