"""Embedders for tests: deterministic, without a model, and failing or slow where a test wants that."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")


class HashEmbedder:
    """Unit vectors of shape (dimension,) from hashed words: texts that share words are near each other.

    The same text gives the same vector in every process; ``calls`` counts how often the model was asked.

    Example:
        >>> fruit = HashEmbedder()
        >>> pear, plum = fruit.embed(["a ripe pear", "a ripe plum"])
        >>> 0.5 < float(pear @ plum) < 0.8
        True
    """

    def __init__(self, dimension: int = 64, *, local: bool = True, model: str | None = None) -> None:
        """Make an embedder of that dimension; ``local`` says that it may run right after a commit."""
        self.dimension = dimension
        self.local = local
        self.model = model or f"hash-{dimension}"
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give a unit vector for each text, of shape (n, dimension)."""
        self.calls += 1
        vectors = [_hashed(text, self.dimension) for text in texts]
        return np.array(vectors, np.float32).reshape(len(texts), self.dimension)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Give the unit vector of one text, of shape (dimension,)."""
        vector: NDArray[np.float32] = self.embed([text])[0]
        return vector

    async def aembed_query(self, text: str) -> NDArray[np.float32]:
        """Give the same without blocking."""
        return self.embed_query(text)


class FailingEmbedder(HashEmbedder):
    """A :class:`HashEmbedder` that raises ``error`` while ``failing`` is True, and works once it is False."""

    def __init__(
        self,
        dimension: int = 64,
        *,
        local: bool = True,
        model: str | None = None,
        error: Exception | None = None,
        failing: bool = True,
    ) -> None:
        """Make an embedder that fails with that error."""
        super().__init__(dimension, local=local, model=model)
        self.error = error or ConnectionError("the model does not answer")
        self.failing = failing

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raise, or give a unit vector for each text."""
        if self.failing:
            self.calls += 1
            raise self.error
        return super().embed(texts)


class SlowEmbedder(HashEmbedder):
    """A :class:`HashEmbedder` that takes ``seconds`` for each call."""

    def __init__(self, seconds: float, dimension: int = 64, *, local: bool = True, model: str | None = None) -> None:
        """Make an embedder that takes so long."""
        super().__init__(dimension, local=local, model=model)
        self.seconds = seconds

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Wait, then give a unit vector for each text."""
        time.sleep(self.seconds)
        return super().embed(texts)

    async def aembed_query(self, text: str) -> NDArray[np.float32]:
        """Give the vector of one text; the wait does not hold up the loop."""
        await asyncio.sleep(self.seconds)
        return super().embed([text])[0]  # type: ignore[no-any-return]  # a row of an array is typed as anything


def _hashed(text: str, dimension: int) -> NDArray[np.float64]:
    vector = np.zeros(dimension)
    for word in _WORD.findall(text.lower()):
        digest = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest())
        vector[(digest >> 1) % dimension] += 1.0 if digest & 1 else -1.0
    length = float(np.linalg.norm(vector))
    if length == 0.0:
        # A text without words, or whose words cancel out, still needs a direction.
        vector[0] = length = 1.0
    return vector / length
