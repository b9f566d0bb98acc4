"""Words that mean about the same: vectors of single words, for the soft word match.

The vectors are those of the bundled static embedder, whatever model makes the vectors of texts. Without them only the
same word matches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.arrays import Floats

WordVectors: TypeAlias = Callable[[Sequence[str]], Floats]
"""Gives a vector (n, d) for each analysed term, with what all words have in common taken out; zeros for none."""
MAX_WORDS = 200_000
"""How many words are remembered in a process; later ones are asked for again."""


class Words:
    """Unit vectors of words, remembered for all scopes of a process; safe for threads."""

    def __init__(self, source: WordVectors) -> None:
        """Remember what the source gives."""
        self._source = source
        self._lock = threading.Lock()
        self._known: dict[str, Floats] = {}

    def vectors(self, terms: Sequence[str]) -> Floats:
        """Give the terms' unit vectors (n, d); zeros where there is none."""
        with self._lock:
            new = [term for term in dict.fromkeys(terms) if term not in self._known]
            if new:
                if len(self._known) + len(new) > MAX_WORDS:
                    self._known.clear()
                    new = list(dict.fromkeys(terms))
                self._known.update(zip(new, _units(self._source(new)), strict=True))
            return np.stack([self._known[term] for term in terms])


def _units(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Floats = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
    return units


class Vocabulary:
    """The vectors of a scope's words, in the order of their numbers."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        """Follow these numbers of terms."""
        self._numbers = numbers
        self._count = 0
        self._words: Words | None = None
        self._matrix: Floats = np.zeros((0, 0), np.float32)

    def matrix(self, words: Words) -> Floats:
        """Give the unit vectors of all words (words, d)."""
        if self._words is not words:
            self._words, self._count = words, 0
        if self._count < len(self._numbers):
            new = words.vectors(list(self._numbers)[self._count :])
            stop = self._count + len(new)
            if stop > len(self._matrix) or self._matrix.shape[1] != new.shape[1]:
                wider: NDArray[np.float32] = np.zeros((int(stop * 1.2) + 64, new.shape[1]), np.float32)
                if self._count:
                    wider[: self._count] = self._matrix[: self._count]
                self._matrix = wider
            self._matrix[self._count : stop] = new
            self._count = stop
        return self._matrix[: self._count]

    @property
    def nbytes(self) -> int:
        """How much memory the vectors take."""
        return self._matrix.nbytes
