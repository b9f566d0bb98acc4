"""Ranking: one pure function from a scope's arrays and a question to the best of them.

In two stages, see :mod:`keepwell.recall.features`: a cheap score of every row, then all features of the best by it,
weighed by learned or hand-set weights. Scores are on one scale, from 0 to 1, whatever the question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.arrays import Flags, Ints, Statistics
from keepwell.recall.asking import Question
from keepwell.recall.features import Cheap, Column, cheap, features
from keepwell.recall.linked import Linked
from keepwell.recall.snapshot import Snapshot
from keepwell.recall.weights import Chat, Ranking, Space, Weights, weights
from keepwell.recall.words import Words

__all__ = ["Hit", "Question", "Ranker", "chat_of", "rank"]

POOL = 400
"""How many rows, the best by the cheap score, are ranked by everything."""
RECENCY, HALF_LIFE_DAYS = 0.02, 30.0
"""What the newest has before the oldest, in log-odds: enough to decide between equals."""
SOURCES: Mapping[str, tuple[str, ...]] = {
    "vector": ("cosine",),
    "keyword": ("match", "covered"),
    "words": ("soft",),
    "speaker": ("speaker",),
    "time": ("when", "dated", "told", "timed"),
    "thread": ("session", "opening", "answer"),
    "form": ("asking", "names", "first_person", "rare"),
}
"""Which features a source has, by how their names begin."""
_PEOPLE = 2 / 3


@dataclass(frozen=True, slots=True)
class Ranker:
    """How to rank: which weights, what vectors the texts have, and the vectors of words where there are any."""

    ranking: Ranking = "learned"
    space: Space = "vectors"
    words: Words | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked row: its key, its score, and per source its share of the log-odds and its rank there."""

    key: int
    score: float
    shares: Mapping[str, float]
    ranks: Mapping[str, int]


def rank(
    snapshot: Snapshot,
    question: Question,
    limit: int,
    *,
    allowed: Flags | None = None,
    statistics: Statistics | None = None,
    linked: Linked | None = None,
    ranker: Ranker | None = None,
    explain: bool = False,
) -> list[Hit]:
    """Give the best ``limit`` rows, best first.

    Only rows that a vector, a word, a time or the graph speaks for are given, or their neighbours; where none of these
    could be asked, the newest. ``linked`` is what the graph adds.
    """
    ranker = ranker or Ranker()
    eligible = snapshot.alive[: snapshot.size]
    if allowed is not None:
        eligible = eligible & allowed
    asked = snapshot.compares(question.vector)
    if not (asked or question.terms):
        return _newest(snapshot, eligible, limit)
    first = cheap(snapshot, question, statistics, None if allowed is None else eligible)
    rows = _pool(first, eligible, max(POOL, 4 * limit), snapshot, everything=bool(snapshot.dead) or allowed is not None)
    graph = _graph(snapshot, question, linked, eligible)
    if graph is not None:
        rows = np.union1d(rows, np.flatnonzero(graph))
    if not len(rows):
        return []
    known = weights(ranker.ranking, chat_of(snapshot), ranker.space if asked else "none")
    columns = features(snapshot, question, first, rows, names=known.names, words=ranker.words if asked else None)
    table = np.array([columns[name] for name in known.names], np.float32)
    sums = known.sum(table)
    odds = known.odds(sums) + _recency(snapshot, question, rows)
    keep = _spoken(snapshot, question, first, rows)
    if graph is not None:
        odds, keep = odds + graph[rows], keep | (graph[rows] > 0)
    best = _best(odds, keep, limit, rows)
    if not len(best):
        return []
    always = [source for source, was in (("vector", asked), ("keyword", bool(question.terms))) if was]
    places = np.arange(len(rows)) if explain else best
    shares = _shares(known, table, sums, places, always)
    if graph is not None:
        shares["graph"] = graph[rows[places]]
    ranks: dict[str, list[int]] = {}
    if explain:
        ranks = _ranks(shares, best, eligible, first, rows)
        shares = {source: share[best] for source, share in shares.items()}
    return _hits(snapshot.keys[rows[best]], odds[best], shares, ranks)


def _graph(snapshot: Snapshot, question: Question, linked: Linked | None, eligible: Flags) -> Column | None:
    """Give what the graph adds to each row that may be given; None where it says nothing."""
    if linked is None:
        return None
    added = np.zeros(snapshot.size, np.float32)
    counts = ~linked.named if question.who else np.ones(len(linked.keys), np.bool_)
    for key, odds in zip(linked.keys[counts].tolist(), linked.odds[counts].tolist(), strict=True):
        added[snapshot.rows([key])] = odds
    added[~eligible] = 0
    return added if added.any() else None


def _newest(snapshot: Snapshot, eligible: Flags, limit: int) -> list[Hit]:
    """Give what was said last, newest first; nothing speaks for it, so its score is 0."""
    rows = np.flatnonzero(eligible)
    order = np.lexsort((rows, snapshot.created[rows]))[::-1][:limit]
    return [Hit(int(key), 0.0, {}, {}) for key in snapshot.keys[rows[order]]]


def chat_of(snapshot: Snapshot) -> Chat:
    """Tell whether people talk with each other here, or one with an assistant: by whether who speaks has a name."""
    said = snapshot.said()
    return "people" if said.by_people > _PEOPLE * said.messages else "assistant"


def _pool(first: Cheap, eligible: Flags, size: int, snapshot: Snapshot, *, everything: bool) -> Ints:
    """Give the best rows by the cheap score; all of them where they are few."""
    rows = np.flatnonzero(eligible) if everything else np.arange(snapshot.size)
    if len(rows) > size:
        score = first.score[rows] if everything else first.score
        rows = rows[np.argpartition(-score, size - 1)[:size]]
        rows.sort()
    return rows


def _recency(snapshot: Snapshot, question: Question, rows: Ints) -> Column:
    halvings = (snapshot.created[rows] - question.now) / (86_400 * HALF_LIFE_DAYS)
    return (np.float32(RECENCY) * np.exp2(np.minimum(halvings, 0))).astype(np.float32)


def _spoken(snapshot: Snapshot, question: Question, first: Cheap, rows: Ints) -> Flags:
    """Tell for which rows, or neighbours of theirs, anything speaks."""
    before, after = snapshot.links()
    speaks = np.append((first.cosine > 0) | (first.match > 0), False)
    spoken: Flags = speaks[rows] | speaks[before[rows]] | speaks[after[rows]]
    return spoken | np.bool_(bool(question.times))


def _best(odds: Column, keep: Flags, limit: int, rows: Ints) -> Ints:
    places = np.flatnonzero(keep)
    if len(places) > limit:
        places = places[np.argpartition(-odds[places], limit - 1)[:limit]]
    best: Ints = places[np.lexsort((-rows[places], -odds[places]))]
    return best


def _shares(
    known: Weights, table: NDArray[np.float32], sums: Column, places: Ints, always: Sequence[str]
) -> dict[str, Column]:
    """Give what the log-odds of some places would lose without each source, all of ``always`` among them."""
    sources, belongs = _sources(known.names)
    given = table.take(places, axis=1)
    spoken = np.flatnonzero((belongs @ (given != 0)).any(axis=1))
    without = given[:, None] * ~belongs.T[:, spoken, None]
    lost = sums.take(places) - known.sum(without.reshape(len(table), -1)).reshape(len(spoken), len(places))
    lost *= np.float32(known.steepness)
    shares = {source: np.zeros(len(places), np.float32) for source in always}
    return shares | dict(zip([sources[at] for at in spoken.tolist()], lost, strict=True))


@lru_cache(maxsize=64)
def _sources(names: tuple[str, ...]) -> tuple[tuple[str, ...], Flags]:
    """Give the sources, and which of these features belong to each (sources, names)."""
    belongs = np.array([[name.startswith(prefixes) for name in names] for prefixes in SOURCES.values()], np.bool_)
    return tuple(SOURCES), belongs


def _ranks(shares: Mapping[str, Column], best: Ints, eligible: Flags, first: Cheap, rows: Ints) -> dict[str, list[int]]:
    """Give the places of the best by each source: cosine and match among everything, the rest among the ranked."""
    ranks: dict[str, list[int]] = {}
    whole = {"vector": first.cosine, "keyword": first.match}
    for source, share in shares.items():
        if source in whole:
            among, mine = whole[source][eligible], whole[source][rows[best]]
        else:
            among, mine = share, share[best]
        ranks[source] = [1 + int((among > value).sum()) for value in mine.tolist()]
    return ranks


def _hits(keys: Ints, odds: Column, shares: Mapping[str, Column], ranks: Mapping[str, list[int]]) -> list[Hit]:
    scores = 1 / (1 + np.exp(-odds.astype(np.float64)))
    given = zip(*[share.tolist() for share in shares.values()], strict=True) if shares else repeat(())
    placed = zip(*ranks.values(), strict=True) if ranks else repeat(())
    return [
        Hit(key, score, dict(zip(shares, share, strict=True)), dict(zip(ranks, places, strict=True)))
        for key, score, share, places in zip(keys.tolist(), scores.tolist(), given, placed, strict=False)
    ]
