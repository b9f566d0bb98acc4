"""How the words of messages meet those of a question, and how seldom they are: the soft word match, and rarity.

Of each row its own words are looked at, and those of the message before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.analysis import analyse
from keepwell.recall.arrays import Floats, Ints
from keepwell.recall.snapshot import Snapshot
from keepwell.recall.words import Words

ALIKE = 0.2
"""Words whose vectors are less alike than this say nothing of each other."""
NEAR = 0.8
"""What a word in the message before counts beside one in the message itself."""
Column = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Texts:
    """The words of some rows and of those before them, each text once.

    ``ids`` are the numbers of their words, text after text, and ``heads`` where each text begins. ``own`` and
    ``before`` (rows,) say which text is whose; ``len(heads)`` where there is none, or none with a word in it.
    """

    ids: NDArray[np.int32]
    heads: Ints
    own: Ints
    before: Ints


def texts_of(snapshot: Snapshot, rows: Ints, before: Ints) -> Texts:
    """Give the words of rows, and of those before them (-1 for none)."""
    chosen = np.zeros(snapshot.size + 1, np.bool_)
    chosen[rows] = chosen[before] = True
    some = np.flatnonzero(chosen[:-1])
    ids, heads = snapshot.words.of_rows(some)
    if not (filled := np.diff(heads, append=len(ids)) > 0).all():
        some, heads = some[filled], heads[filled]
    places = np.full(snapshot.size + 1, len(some), np.int64)
    places[some] = np.arange(len(some))
    return Texts(ids, heads, places.take(rows), places.take(before))


def soft(
    snapshot: Snapshot, terms: Sequence[str], idfs: Sequence[float], texts: Texts, words: Words | None
) -> Mapping[str, Column]:
    """Give how well the question's words are met by words that mean about the same: in a row, and with the one before.

    The same word counts 1, another what its vector is alike beyond ``ALIKE``.
    """
    if not sum(idfs) or not len(texts.ids):
        none = np.zeros(len(texts.own), np.float32)
        return {"soft": none, "soft_near": none}
    best = np.zeros((len(terms), len(texts.heads) + 1), np.float32)
    met = _alike(snapshot, terms, words).take(texts.ids, axis=1)
    np.maximum.reduceat(met, texts.heads, axis=1, out=best[:, :-1])
    shares = np.array([idf * (0.5 if term in _hollow() else 1) for term, idf in zip(terms, idfs, strict=True)])
    shares = (shares / shares.sum()).astype(np.float32)
    own, near = best.take(texts.own, axis=1), best.take(texts.before, axis=1)
    near *= np.float32(NEAR)
    return {"soft": shares @ own, "soft_near": shares @ np.maximum(own, near, out=near)}


def rare(texts: Texts) -> Column:
    """Give how seldom the rarest word of a row is, among these texts: near 1 where no other has it, 0 where all do.

    It is counted among what is ranked and not in the whole scope, so that it is the same where the scope is not held.
    """
    if not len(texts.ids):
        return np.zeros(len(texts.own), np.float32)
    count = len(texts.heads)
    often = np.bincount(texts.ids).take(texts.ids)
    least = np.append(np.minimum.reduceat(often, texts.heads), count)
    told = np.log1p((count - least + 0.5) / (least + 0.5)) / np.log1p((count + 0.5) / 0.5)
    told[-1] = 0
    found: Column = told.astype(np.float32).take(texts.own)
    return found


def _alike(snapshot: Snapshot, asked: Sequence[str], words: Words | None) -> Floats:
    """Give how much each word of the scope means the same as each of the question's (terms, words)."""
    if words is None:
        alike = np.zeros((len(asked), len(snapshot.words.numbers)), np.float32)
    else:
        alike = words.vectors(asked) @ snapshot.vocabulary.matrix(words).T
        alike -= np.float32(ALIKE)
        alike *= np.float32(1 / (1 - ALIKE))
        np.maximum(alike, 0, out=alike)
    for at, word in enumerate(asked):
        if (number := snapshot.words.numbers.get(word)) is not None:
            alike[at, number] = 1
    return alike


@cache
def _hollow() -> frozenset[str]:
    """Give the stems of words that ask for something without saying what."""
    words = (
        "kind thing way time type sort say said think thought get got go recent recently make made take took use like"
        " want know new different mention tell talk describe mani"
    )
    return frozenset(analyse(words).split())
