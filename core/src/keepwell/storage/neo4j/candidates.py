"""Candidates from a scope that is too large to be held: the nearest vectors, and each message looked through.

Vectors come as bytes, all of the scope's or what its index has of it, and are compared here, exactly.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from keepwell.models import codec
from keepwell.recall.arrays import CandidateColumns, Floats, Statistics
from keepwell.storage.base import FindCandidates, Weigh
from keepwell.storage.neo4j import nearest, nodes
from keepwell.storage.neo4j.loading import (
    Line,
    fact_line,
    message_columns,
    message_line,
    vector_columns,
    vectors_of,
    weigh,
)
from keepwell.storage.neo4j.work import Work
from keepwell.storage.plain.tables import contains

_KEY, _THREAD, _SEQ, _CREATED, _RECORDED, _TERMS = 0, 1, 2, 3, 4, 6
_AT_ONCE: Final = 200
"""So many of the nearest are looked up at a time, until enough of them are what was asked for."""


@dataclass(frozen=True, slots=True)
class _Thing:
    """A message or a standing fact: its row of the columns, its metadata, and whether a recall may take it."""

    line: Line
    labels: Any
    reopened: bool = False

    @property
    def key(self) -> int:
        return int(self.line[_KEY])


def find_candidates(work: Work, query: FindCandidates) -> CandidateColumns:
    """Give the best by vector and by keyword, the newest, and the neighbours of all of them."""
    speaking = _with_words(work, query)
    statistics = _statistics(work, query, speaking)
    asked = [thing for thing in speaking if _is_asked(thing, query)]
    chosen = [
        *_nearest(work, query, statistics.messages),
        *_best_by_words(asked, query, statistics),
        *_newest(work, query),
    ]
    found = {thing.key: thing for thing in chosen}
    found |= {thing.key: thing for thing in _neighbours(work, query, found.values())}
    vectors = vectors_of(work, query, found) if query.space is not None else []
    return CandidateColumns(message_columns([one.line for one in found.values()]), vector_columns(vectors), statistics)


def _with_words(work: Work, query: FindCandidates) -> list[_Thing]:
    """Give everything in the scope that has one of the words."""
    if not query.terms:
        return []
    terms = [f" {nodes.text_in(term)} " for term in dict.fromkeys(query.terms)]
    messages = work.lines("messages_with_words", query.scope, terms=terms)
    facts = work.lines("facts_with_words", query.scope, terms=terms)
    return [*map(_message, messages), *map(_fact, facts)]


def _message(line: Line) -> _Thing:
    return _Thing(message_line(line[:-1]), {} if line[-1] is None else json.loads(line[-1]))


def _fact(line: Line) -> _Thing:
    *said, metadata = line
    return _Thing(fact_line(said), codec.searchable(codec.loads(metadata)), bool(said[5]))


def _statistics(work: Work, query: FindCandidates, speaking: Iterable[_Thing]) -> Statistics:
    weight = weigh(work, Weigh(query.scope))
    said = [set(thing.line[_TERMS].split()) for thing in speaking]
    counts = {term: sum(term in words for words in said) for term in set(query.terms)}
    return Statistics(weight.messages, weight.length, {term: count for term, count in counts.items() if count})


def _is_asked(thing: _Thing, query: FindCandidates) -> bool:
    line = thing.line
    fitting = not thing.reopened and (query.thread is None or line[_THREAD] == str(query.thread))
    return (
        fitting
        and (query.since is None or line[_CREATED] >= query.since.timestamp())
        and (query.until is None or line[_CREATED] < query.until.timestamp())
        and (query.as_of is None or line[_RECORDED] <= query.as_of.timestamp())
        and contains(thing.labels, codec.searchable(query.where))
    )


def _best_by_words(asked: Sequence[_Thing], query: FindCandidates, statistics: Statistics) -> list[_Thing]:
    rarity = {term: math.log1p(statistics.messages / count) for term, count in statistics.frequencies.items() if count}

    def score(thing: _Thing) -> float:
        held = Counter(thing.line[_TERMS].split())
        return sum(held[term] / (held[term] + 1) * rare for term, rare in rarity.items() if held[term])

    matching = [(score(thing), thing) for thing in asked]
    matching = [pair for pair in matching if pair[0] > 0]
    matching.sort(key=lambda pair: pair[0], reverse=True)
    return [thing for _, thing in matching[: query.limit]]


def _nearest(work: Work, query: FindCandidates, held: int) -> list[_Thing]:
    """Give what is nearest by vector among what was asked for, in a scope that holds so many things."""
    found: list[_Thing] = []
    if query.vector is None or query.space is None:
        return found
    for lines in nearest.widening(work, query, held):
        found = _best_of(work, query, query.vector, lines)
        if len(found) >= query.limit:
            break
    return found


def _best_of(work: Work, query: FindCandidates, vector: Floats, lines: Sequence[Line]) -> list[_Thing]:
    columns = vector_columns(lines)
    if not columns.keys.size:
        return []
    order = np.argsort(-(columns.matrix @ vector), kind="stable")
    keys = list(dict.fromkeys(columns.keys[order].tolist()))
    found: list[_Thing] = []
    for start in range(0, len(keys), _AT_ONCE):
        found += [thing for thing in _by_key(work, query, keys[start : start + _AT_ONCE]) if _is_asked(thing, query)]
        if len(found) >= query.limit:
            break
    return found[: query.limit]


def _by_key(work: Work, query: FindCandidates, keys: Sequence[int]) -> Iterator[_Thing]:
    """Give things of the scope in the order of their numbers given."""
    messages = work.lines("messages_by_key", query.scope, keys=[key for key in keys if key > 0])
    facts = work.lines("standing_by_number", query.scope, numbers=[-key for key in keys if key < 0])
    found = {thing.key: thing for thing in (*map(_message, messages), *map(_fact, facts))}
    return (found[key] for key in keys if key in found)


def _newest(work: Work, query: FindCandidates) -> list[_Thing]:
    """Give the newest of what was asked for, more at a time where many are not."""
    size = query.limit
    while True:
        bounds = {
            "since": nodes.maybe(nodes.micros, query.since),
            "until": nodes.maybe(nodes.micros, query.until),
            "as_of": nodes.maybe(nodes.micros, query.as_of),
            "limit": size,
        }
        messages = work.lines("newest_messages", query.scope, **bounds, thread=nodes.maybe(str, query.thread))
        facts = work.lines("newest_facts", query.scope, **bounds)
        found = [thing for thing in (*map(_message, messages), *map(_fact, facts)) if _is_asked(thing, query)]
        if len(found) >= query.limit or max(len(messages), len(facts)) < size:
            found.sort(key=lambda thing: thing.line[_CREATED])
            return found[max(0, len(found) - query.limit) :]
        size *= 10


def _neighbours(work: Work, query: FindCandidates, chosen: Iterable[_Thing]) -> list[_Thing]:
    places = [[thing.line[_THREAD], thing.line[_SEQ]] for thing in chosen if thing.key > 0]
    return [_message(line) for line in work.lines("next_to", query.scope, places=places)] if places else []
