"""What a recall loads: a scope whole, what changed in it, or candidates from it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keepwell.models import Scope, codec
from keepwell.recall.arrays import CandidateColumns, Delta, Mark, MessageColumns, Statistics, VectorColumns, halves
from keepwell.storage.base import FindCandidates, Weigh, Weight
from keepwell.testing.reference.tables import Conversation, Entry, Tables, contains

Item = tuple[Conversation, Entry]


def whole(tables: Tables, scope: Scope, space: int | None, mark: Mark) -> Delta:
    """Give everything that a scope holds."""
    items = tables.entries(scope).values()
    return Delta(full=True, mark=mark, messages=message_columns(items), vectors=_vector_columns(_vectors(items, space)))


def difference(old: Tables, tables: Tables, scope: Scope, space: int | None, mark: Mark) -> Delta:
    """Give what a scope holds now and did not hold then, and the keys of what it holds no more.

    Values are replaced and never changed, so a row that is another object is another version.
    """
    before, after = old.entries(scope), tables.entries(scope)
    removed = [key for key in before if key not in after]
    changed = [item for key, item in after.items() if key not in before or before[key][1].row is not item[1].row]
    fresh = {entry.row.key for _, entry in changed}
    embedded = [item for key, item in after.items() if key in fresh or before[key][1].vectors is not item[1].vectors]
    vectors = _vectors(embedded, space)
    return Delta(
        full=False,
        mark=mark,
        messages=message_columns(changed),
        vectors=_vector_columns(vectors),
        removed=np.array(removed, np.int64),
    )


def message_columns(items: Iterable[Item]) -> MessageColumns:
    """Give the messages as columns."""
    items = list(items)
    rows = [entry.row for _, entry in items]
    return MessageColumns(
        keys=np.array([row.key for row in rows], np.int64),
        threads=halves(*(talk.thread.key for talk, _ in items)),
        seqs=np.array([row.seq for row in rows], np.int64),
        created=np.array([row.created.timestamp() for row in rows], np.float64),
        recorded=np.array([row.recorded.timestamp() for row in rows], np.float64),
        retired=np.full(len(rows), np.inf),
        terms=tuple(row.terms for row in rows),
        actors=("",) * len(rows),
        signals=("",) * len(rows),
    )


def _vectors(items: Iterable[Item], space: int | None) -> list[tuple[int, NDArray[np.float32]]]:
    return [(entry.row.key, vector) for _, entry in items for vector in entry.of_space(space).values()]


def _vector_columns(vectors: Sequence[tuple[int, NDArray[np.float32]]]) -> VectorColumns:
    if not vectors:
        return VectorColumns.empty()
    return VectorColumns(np.array([key for key, _ in vectors], np.int64), np.stack([vector for _, vector in vectors]))


def weigh(tables: Tables, query: Weigh) -> Weight:
    """Count messages and terms."""
    rows = [entry.row for _, entry in tables.entries(query.scope).values()]
    return Weight(len(rows), sum(len(row.words) for row in rows))


def find_candidates(tables: Tables, query: FindCandidates) -> CandidateColumns:
    """Give the best by vector and by keyword, the newest, and the neighbours of all of them."""
    everything = list(tables.entries(query.scope).values())
    asked = [item for item in everything if _asked(item, query)]
    statistics = _statistics(everything, query.terms)
    chosen = [
        *_best(asked, query.limit, lambda item: _similarity(item[1], query)),
        *_best(asked, query.limit, lambda item: _keywords(item[1], query.terms, statistics)),
        *sorted(asked, key=lambda item: item[1].row.created)[-query.limit :],
    ]
    found = {entry.row.key: (talk, entry) for hit in chosen for talk, entry in _near(hit)}
    return CandidateColumns(
        message_columns(found.values()), _vector_columns(_vectors(found.values(), query.space)), statistics
    )


def _asked(item: Item, query: FindCandidates) -> bool:
    talk, entry = item
    return (
        query.thread in (None, talk.thread.key)
        and (query.since is None or entry.row.created >= query.since)
        and (query.until is None or entry.row.created < query.until)
        and (query.as_of is None or entry.row.recorded <= query.as_of)
        and contains(entry.row.labels, codec.searchable(query.where))
    )


def _best(items: Iterable[Item], limit: int, score: Callable[[Item], float]) -> list[Item]:
    """Give the items with the highest scores; what scores nothing is no match."""
    scored = [(score(item), item) for item in items]
    matching = [pair for pair in scored if pair[0] > -math.inf]
    matching.sort(key=lambda pair: pair[0], reverse=True)
    return [item for _, item in matching[:limit]]


def _similarity(entry: Entry, query: FindCandidates) -> float:
    if query.vector is None:
        return -math.inf
    return max((float(vector @ query.vector) for vector in entry.of_space(query.space).values()), default=-math.inf)


def _keywords(entry: Entry, terms: Sequence[str], statistics: Statistics) -> float:
    held = Counter(entry.row.words)
    rarity = {term: math.log1p(statistics.messages / statistics.frequencies[term]) for term in terms if held[term]}
    return sum(held[term] / (held[term] + 1) * rare for term, rare in rarity.items()) or -math.inf


def _near(item: Item) -> list[Item]:
    talk, entry = item
    order = talk.in_order
    place = order.index(entry)
    return [(talk, near) for near in order[max(0, place - 1) : place + 2]]


def _statistics(items: Iterable[Item], terms: Sequence[str]) -> Statistics:
    words = [entry.row.words for _, entry in items]
    frequencies = {term: sum(term in said for said in words) for term in set(terms)}
    return Statistics(len(words), sum(map(len, words)), {term: count for term, count in frequencies.items() if count})


LOADING_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {Weigh: weigh, FindCandidates: find_candidates}
)
