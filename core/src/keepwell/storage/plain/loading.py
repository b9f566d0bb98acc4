"""What a recall loads: a scope whole, what changed in it, or candidates from it."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from keepwell.models import Scope, codec
from keepwell.recall.arrays import CandidateColumns, Delta, Mark, MessageColumns, Statistics, VectorColumns, halves
from keepwell.storage.base import FindCandidates, Weigh, Weight
from keepwell.storage.plain.facts import Kept
from keepwell.storage.plain.tables import Conversation, Entry, Tables, contains

Item = tuple[Conversation, Entry]
Thing = Item | Kept
"""A message, or a version of a fact."""


def whole(tables: Tables, scope: Scope, space: int | None, mark: Mark) -> Delta:
    """Give everything that a scope holds."""
    things = _things(tables, scope).values()
    vectors = _vector_columns(_vectors(things, space))
    return Delta(full=True, mark=mark, messages=message_columns(things), vectors=vectors, active=tables.active)


def _things(tables: Tables, scope: Scope) -> dict[int, Thing]:
    return {**tables.entries(scope), **tables.versions(scope)}


def _row(thing: Thing) -> object:
    return thing.row if isinstance(thing, Kept) else thing[1].row


def _held(thing: Thing) -> Mapping[tuple[int, int], NDArray[np.float32]]:
    return thing.vectors if isinstance(thing, Kept) else thing[1].vectors


def difference(old: Tables, tables: Tables, scope: Scope, space: int | None, mark: Mark) -> Delta:
    """Give what a scope holds now and did not hold then, and the keys of what it holds no more.

    Values are replaced and never changed, so a row that is another object is another version.
    """
    before, after = _things(old, scope), _things(tables, scope)
    removed = [key for key in before if key not in after]
    changed = {key: one for key, one in after.items() if key not in before or _row(before[key]) is not _row(one)}
    embedded = [one for key, one in after.items() if key in changed or _held(before[key]) is not _held(one)]
    return Delta(
        full=False,
        mark=mark,
        messages=message_columns(changed.values()),
        vectors=_vector_columns(_vectors(embedded, space)),
        removed=np.array(removed, np.int64),
        active=tables.active,
    )


def message_columns(things: Iterable[Thing]) -> MessageColumns:
    """Give messages and versions of facts as columns."""
    rows = [_fact_line(thing) if isinstance(thing, Kept) else _message_line(*thing) for thing in things]
    return MessageColumns(
        keys=np.array([row.key for row in rows], np.int64),
        threads=halves(*(row.thread for row in rows)),
        seqs=np.array([row.seq for row in rows], np.int64),
        created=np.array([row.created.timestamp() for row in rows], np.float64),
        recorded=np.array([row.recorded.timestamp() for row in rows], np.float64),
        retired=np.array([row.retired for row in rows], np.float64),
        terms=tuple(row.terms for row in rows),
        actors=tuple(row.actor for row in rows),
        signals=tuple(row.signals for row in rows),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of the columns."""

    key: int
    thread: UUID
    seq: int
    created: dt.datetime
    recorded: dt.datetime
    retired: float
    terms: str
    actor: str
    signals: str


def _message_line(talk: Conversation, entry: Entry) -> _Line:
    row = entry.row
    return _Line(
        row.key, talk.thread.key, row.seq, row.created, row.recorded, math.inf, row.terms, row.actor, row.signals
    )


def _fact_line(one: Kept) -> _Line:
    fact, row = one.fact, one.row
    return _Line(row.key, fact.id, 0, fact.at, fact.recorded_at, row.retired, row.terms, fact.subject, row.signals)


def _key(thing: Thing) -> int:
    return thing.row.key if isinstance(thing, Kept) else thing[1].row.key


def _of_space(thing: Thing, space: int | None) -> Iterable[NDArray[np.float32]]:
    return (thing if isinstance(thing, Kept) else thing[1]).of_space(space).values()


def _vectors(things: Iterable[Thing], space: int | None) -> list[tuple[int, NDArray[np.float32]]]:
    return [(_key(thing), vector) for thing in things for vector in _of_space(thing, space)]


def _vector_columns(vectors: Sequence[tuple[int, NDArray[np.float32]]]) -> VectorColumns:
    if not vectors:
        return VectorColumns.empty()
    return VectorColumns(np.array([key for key, _ in vectors], np.int64), np.stack([vector for _, vector in vectors]))


def weigh(tables: Tables, query: Weigh) -> Weight:
    """Count messages and standing facts, and their terms."""
    said = [_words(thing) for thing in _present(tables, query.scope)]
    return Weight(len(said), sum(map(len, said)))


def _present(tables: Tables, scope: Scope) -> list[Thing]:
    """Give what can be found by its words: messages, and facts that stand."""
    return [one for one in _things(tables, scope).values() if not isinstance(one, Kept) or one.fact.stands]


def _words(thing: Thing) -> list[str]:
    return (thing if isinstance(thing, Kept) else thing[1]).row.words


def find_candidates(tables: Tables, query: FindCandidates) -> CandidateColumns:
    """Give the best by vector and by keyword, the newest, and the neighbours of all of them."""
    everything = _present(tables, query.scope)
    asked = [thing for thing in everything if _asked(thing, query)]
    statistics = _statistics(everything, query.terms)
    chosen = [
        *_best(asked, query.limit, lambda thing: _similarity(thing, query)),
        *_best(asked, query.limit, lambda thing: _keywords(thing, query.terms, statistics)),
        *sorted(asked, key=_created)[-query.limit :],
    ]
    found = {_key(thing): thing for hit in chosen for thing in _near(hit)}
    return CandidateColumns(
        message_columns(found.values()), _vector_columns(_vectors(found.values(), query.space)), statistics
    )


def _created(thing: Thing) -> dt.datetime:
    return thing.fact.at if isinstance(thing, Kept) else thing[1].row.created


def _asked(thing: Thing, query: FindCandidates) -> bool:
    if isinstance(thing, Kept):
        fitting = query.thread is None and not thing.fact.reopened
        recorded, labels = thing.fact.recorded_at, thing.row.labels
    else:
        fitting = query.thread in (None, thing[0].thread.key)
        recorded, labels = thing[1].row.recorded, thing[1].row.labels
    return (
        fitting
        and (query.since is None or _created(thing) >= query.since)
        and (query.until is None or _created(thing) < query.until)
        and (query.as_of is None or recorded <= query.as_of)
        and contains(labels, codec.searchable(query.where))
    )


def _best(things: Iterable[Thing], limit: int, score: Callable[[Thing], float]) -> list[Thing]:
    """Give the things with the highest scores; what scores nothing is no match."""
    scored = [(score(thing), thing) for thing in things]
    matching = [pair for pair in scored if pair[0] > -math.inf]
    matching.sort(key=lambda pair: pair[0], reverse=True)
    return [thing for _, thing in matching[:limit]]


def _similarity(thing: Thing, query: FindCandidates) -> float:
    if query.vector is None:
        return -math.inf
    return max((float(vector @ query.vector) for vector in _of_space(thing, query.space)), default=-math.inf)


def _keywords(thing: Thing, terms: Sequence[str], statistics: Statistics) -> float:
    held = Counter(_words(thing))
    rarity = {term: math.log1p(statistics.messages / statistics.frequencies[term]) for term in terms if held[term]}
    return sum(held[term] / (held[term] + 1) * rare for term, rare in rarity.items()) or -math.inf


def _near(thing: Thing) -> list[Thing]:
    if isinstance(thing, Kept):
        return [thing]
    talk, entry = thing
    order = talk.in_order
    place = order.index(entry)
    return [(talk, near) for near in order[max(0, place - 1) : place + 2]]


def _statistics(things: Iterable[Thing], terms: Sequence[str]) -> Statistics:
    words = [_words(thing) for thing in things]
    frequencies = {term: sum(term in said for said in words) for term in set(terms)}
    return Statistics(len(words), sum(map(len, words)), {term: count for term, count in frequencies.items() if count})


LOADING_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {Weigh: weigh, FindCandidates: find_candidates}
)
