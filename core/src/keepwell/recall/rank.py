"""Ranking: one pure function from a scope's arrays and a question to the best of them.

Cosine and BM25 are on absolute scales and are added, not ranked against each other: rank fusion gives noise full
weight. BM25 is taken relative to a full match of the question (Robertson and Zaragoza, "The Probabilistic
Relevance Framework: BM25 and Beyond", 2009, for the formula).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.arrays import Flags, Floats, Ints, Statistics
from keepwell.recall.snapshot import Snapshot

K1, B = 1.5, 0.75
FULL_MATCH = 0.7
"""A message that answers has about this share of what BM25 could give for the question's terms."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each source counts, and how fast the past fades (days until its share is halved)."""

    vector: float = 1.0
    keyword: float = 0.5
    recency: float = 0.05
    near_vector: float = 0.15
    near_keyword: float = 0.08
    half_life: float = 30.0


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: its unit vector (where there is an embedder), its terms, and now in seconds since 1970."""

    vector: Floats | None
    terms: tuple[str, ...]
    now: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A ranked message: its key, its score, and per source its share of the score and its rank there."""

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
    weights: Weights | None = None,
    explain: bool = False,
) -> list[Hit]:
    """Give the best ``limit`` messages, best first.

    Only messages that a vector or a keyword speaks for are given; where neither could be asked, the newest.
    """
    weights = weights or Weights()
    shares = _shares(snapshot, question, statistics, weights)
    eligible = snapshot.alive[: snapshot.size].copy()
    if allowed is not None:
        eligible &= allowed
    spoken = [share > 0 for name, share in shares.items() if name != "recency"]
    if spoken:
        eligible &= np.logical_or.reduce(spoken)
    total = sum(shares.values(), start=np.zeros(snapshot.size, np.float32))
    best = _best(total, eligible, limit)
    ranks = {name: _ranks(share, eligible, best) for name, share in shares.items()} if explain else {}
    return [
        Hit(
            int(snapshot.keys[row]),
            float(total[row]),
            {name: float(share[row]) for name, share in shares.items()},
            {name: places[at] for name, places in ranks.items()},
        )
        for at, row in enumerate(best.tolist())
    ]


def _shares(
    snapshot: Snapshot, question: Question, statistics: Statistics | None, weights: Weights
) -> dict[str, NDArray[np.float32]]:
    shares: dict[str, NDArray[np.float32]] = {}
    before, after = snapshot.links()
    if question.vector is not None:
        cosine = snapshot.similarities(question.vector)
        shares["vector"] = np.float32(weights.vector) * cosine + np.float32(weights.near_vector) * _near(
            cosine, before, after
        )
    if question.terms:
        match = relative_bm25(snapshot, question.terms, statistics)
        shares["keyword"] = np.float32(weights.keyword) * match + np.float32(weights.near_keyword) * _near(
            match, before, after
        )
    halvings = ((snapshot.created[: snapshot.size] - question.now) / (86_400 * weights.half_life)).astype(np.float32)
    shares["recency"] = np.float32(weights.recency) * np.exp2(np.minimum(halvings, 0))
    return shares


def relative_bm25(snapshot: Snapshot, terms: tuple[str, ...], statistics: Statistics | None) -> NDArray[np.float32]:
    """Give each message's BM25 as a share of a full match of the terms (size,)."""
    known = statistics or snapshot.statistics(terms)
    score = np.zeros(snapshot.size, np.float32)
    average = max(1.0, known.length / max(1, known.messages))
    norm = (K1 * (1 - B + B * snapshot.lengths[: snapshot.size] / average)).astype(np.float32)
    full = 0.0
    for term in terms:
        frequency = known.frequencies.get(term, 0)
        idf = math.log(1 + max(0.0, known.messages - frequency + 0.5) / (frequency + 0.5))
        full += idf
        rows, counts = snapshot.postings(term)
        score[rows] += np.float32(idf * (K1 + 1)) * counts / (counts + norm[rows])
    return score / np.float32(FULL_MATCH * full) if full else score


def _near(values: NDArray[np.float32], before: Ints, after: Ints) -> NDArray[np.float32]:
    """Give the sum of both neighbours' values; row -1 reads a zero at the end."""
    padded = np.append(values, np.float32(0))
    return padded[before] + padded[after]


def _best(total: NDArray[np.float32], eligible: Flags, limit: int) -> Ints:
    rows = np.flatnonzero(eligible)
    if len(rows) > limit:
        rows = rows[np.argpartition(-total[rows], limit - 1)[:limit]]
    return rows[np.lexsort((-rows, -total[rows]))]


def _ranks(share: NDArray[np.float32], eligible: Flags, best: Ints) -> list[int]:
    among = share[eligible]
    return [1 + int((among > share[row]).sum()) for row in best.tolist()]
