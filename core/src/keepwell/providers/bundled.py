"""The embedder that comes in a wheel: WordLlama's static vectors, 256 numbers a text, no download."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keepwell.errors import MissingExtra

if TYPE_CHECKING:
    from keepwell.providers.embedding import Vectors

MODEL, DIMENSION = "wordllama-l2-supercat-256", 256


def is_installed() -> bool:
    """Tell whether the extra ``local`` is there, without importing it."""
    return find_spec("wordllama") is not None


class BundledEmbedder:
    """WordLlama's vectors, loaded at first use (a tenth of a second)."""

    model = MODEL
    dimension = DIMENSION
    local = True

    def __init__(self) -> None:
        """Load nothing yet."""
        self._loading = threading.Lock()
        self._loaded: Any = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Give a vector a text, (n, 256)."""
        vectors: Vectors = np.asarray(self._model().embed(list(texts), norm=False), np.float32)
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """Give the vector of a question, (256,)."""
        vector: Vectors = self.embed([text])[0]
        return vector

    async def aembed_query(self, text: str) -> Vectors:
        """Give the vector of a question; it takes less time than to hand it to a thread."""
        return self.embed_query(text)

    def _model(self) -> Any:  # noqa: ANN401 - wordllama has no types
        if self._loaded is None:
            with self._loading:
                if self._loaded is None:
                    self._loaded = load()
        return self._loaded


@cache
def load() -> Any:  # noqa: ANN401 - see above
    """Give the model, one for the process."""
    try:
        import wordllama  # noqa: PLC0415 - an optional part, imported at first use
    except ImportError as error:
        raise MissingExtra("local", "wordllama") from error
    # Release 0.4.0.post1 looks for its tokenizer beside the package's parent; the package folder has it.
    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(config="l2_supercat", dim=DIMENSION, cache_dir=folder, disable_download=True)
