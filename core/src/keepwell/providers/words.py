"""Vectors of single words from the bundled embedder, for words that mean about the same."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from keepwell.providers.bundled import is_installed, load
from keepwell.recall.analysis import analyse
from keepwell.recall.words import Words

if TYPE_CHECKING:
    from keepwell.providers.embedding import Vectors

DIMENSION = 128
"""Of 256: the model was trained so that the first numbers say most, and words are told apart as well by half."""
_START = "\u2581"
"""What the tokenizer puts before the first piece of a word."""


class BundledWords:
    """Gives a vector for each analysed term; loaded at the first use (three tenths of a second)."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._loading = threading.Lock()
        self._model: Any = None
        self._stems: dict[str, Vectors] = {}
        self._mean: Vectors = np.zeros(DIMENSION, np.float32)

    def __call__(self, terms: Sequence[str]) -> Vectors:
        """Give vectors (n, 128), less the mean of all words."""
        with self._loading:
            if self._model is None:
                self._load()
        vectors = np.zeros((len(terms), DIMENSION), np.float32)
        pieces = [at for at, term in enumerate(terms) if term not in self._stems]
        for at, encoded in zip(pieces, self._model.tokenizer.encode_batch([terms[at] for at in pieces]), strict=True):
            if ids := encoded.ids[1:]:
                vectors[at] = self._table()[ids].mean(axis=0) - self._mean
        for at, term in enumerate(terms):
            if term in self._stems:
                vectors[at] = self._stems[term] - self._mean
        return vectors

    def _table(self) -> Vectors:
        table: Vectors = self._model.embedding[:, :DIMENSION]
        return table

    def _load(self) -> None:
        """Find which pieces of the tokenizer are whole words of a stem: a stem alone is often no word."""
        model = load()
        pieces: dict[str, list[int]] = {}
        for piece, number in model.tokenizer.get_vocab().items():
            word = piece.removeprefix(_START)
            if piece.startswith(_START) and len(word) > 1 and word.isascii() and word.isalpha():
                pieces.setdefault(analyse(word), []).append(number)
        self._model = model
        self._stems = {stem: self._table()[ids].mean(axis=0) for stem, ids in pieces.items()}
        self._mean = np.mean(list(self._stems.values()), axis=0)


@cache
def bundled_words() -> Words | None:
    """Give the words' vectors, loaded once for the process; None where the extra ``local`` is not installed."""
    if not is_installed():
        return None
    source = BundledWords()
    source(["ready"])
    return Words(source)
