"""The embedder seam, and adapters to it.

An embedder turns texts into vectors. Anything that looks like one of LangChain's or LlamaIndex's embeddings is
taken as it is, without importing either framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from keepwell.errors import EmbedderFailed, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float32]


@runtime_checkable
class Embedder(Protocol):
    """A model that turns texts into vectors.

    ``model`` names it for the store: vectors of two names never meet. ``dimension`` is the length of its
    vectors; ``local`` says that it answers in this process, in well under a millisecond a text.
    """

    @property
    def model(self) -> str:
        """The name under which the store keeps its vectors."""

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""

    @property
    def local(self) -> bool:
        """Whether it answers at once, in this process."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Give a vector a text, (n, dimension)."""

    def embed_query(self, text: str) -> Vectors:
        """Give the vector of a question, (dimension,)."""

    async def aembed_query(self, text: str) -> Vectors:
        """Give the vector of a question without holding up the loop."""


def unit(vectors: object, dimension: int, count: int) -> Vectors:
    """Give what a model answered as unit vectors (count, dimension).

    Raises:
        EmbedderFailed: it answered another number of vectors, another length, or numbers that are none.
    """
    import numpy as np  # noqa: PLC0415 - not at the import of keepwell, which is to be quick

    try:
        matrix = np.asarray(vectors, np.float32)
    except (TypeError, ValueError) as error:
        raise EmbedderFailed(f"the embedder answered what are no vectors: {error}") from error
    if matrix.shape != (count, dimension):
        raise EmbedderFailed(f"the embedder answered {matrix.shape} for {count} texts of dimension {dimension}")
    if not np.isfinite(matrix).all():
        raise EmbedderFailed("the embedder answered numbers that are not finite")
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    units: Vectors = (matrix / np.where(norms > 0, norms, 1)).astype(np.float32, copy=False)
    return units


def unit_vector(vector: object, dimension: int) -> Vectors:
    """Give what a model answered for one text as a unit vector (dimension,)."""
    one: Vectors = unit([vector], dimension, 1)[0]
    return one


def embedder_of(given: Any, *, model: str | None = None) -> Embedder:  # noqa: ANN401 - that is its purpose
    """Give an embedder for one of ours, a LangChain or LlamaIndex embedding, or a function of a list of texts.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(given, Embedder):
        return given
    if callable(getattr(given, "embed_documents", None)) and callable(getattr(given, "embed_query", None)):
        names = ("aembed_documents", "aembed_query")
        return _Adapted(given, model or _name(given), given.embed_documents, given.embed_query, names)
    if callable(getattr(given, "get_text_embedding_batch", None)):
        many, one = given.get_text_embedding_batch, given.get_query_embedding
        names = ("aget_text_embedding_batch", "aget_query_embedding")
        return _Adapted(given, model or _name(given), many, one, names)
    if getattr(given, "__name__", "") == "<lambda>" and model is None:
        raise UsageError("embedder= is a lambda; give a function with a name, which its vectors are kept under")
    if callable(given):
        return _Adapted(given, model or _name(given), given, lambda text: given([text])[0], ())
    raise UsageError(
        f"embedder= takes an Embedder, a LangChain or LlamaIndex embedding or a function, not {type(given).__name__}"
    )


def _name(given: Any) -> str:  # noqa: ANN401 - see embedder_of
    for field in ("model_name", "model", "model_id", "repo_id"):
        if isinstance(value := getattr(given, field, None), str) and value:
            return value
    return getattr(given, "__name__", None) or type(given).__name__


class _Adapted:
    """A foreign embedding; its dimension is found out by asking once."""

    local = False

    def __init__(
        self,
        given: Any,  # noqa: ANN401 - see embedder_of
        model: str,
        many: Callable[[list[str]], Any],
        one: Callable[[str], Any],
        native: tuple[str, ...],
    ) -> None:
        self.model = model
        self._many, self._one = many, one
        self._native_many, self._native_one = (getattr(given, name, None) for name in native or ("", ""))
        self._dimension: int | None = None

    @property
    def dimension(self) -> int:
        if self._dimension is None:
            self._dimension = len(self._one("dimension"))
        return self._dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        return _array(self._many(list(texts)))

    def embed_query(self, text: str) -> Vectors:
        return _array(self._one(text))

    async def aembed_query(self, text: str) -> Vectors:
        if self._native_one is not None:
            return _array(await self._native_one(text))
        return await asyncio.to_thread(self.embed_query, text)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        if self._native_many is not None:
            return _array(await self._native_many(list(texts)))
        return await asyncio.to_thread(self.embed, texts)


def _array(answer: object) -> Vectors:
    import numpy as np  # noqa: PLC0415 - see unit

    return np.asarray(answer, np.float32)
