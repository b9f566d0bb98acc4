"""A second look at what was found: a reranker of yours, LangChain's or LlamaIndex's."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from keepwell.errors import RerankerFailed, UsageError

_PLACE = "keepwell_place"


@dataclass(frozen=True, slots=True)
class Reranked:
    """One text that a reranker kept: its place among those it was given (from 0), and its score where it has one."""

    place: int
    score: float | None = None


@runtime_checkable
class Reranker(Protocol):
    """Puts texts into the order in which they answer a question."""

    def rerank(self, query: str, texts: Sequence[str]) -> Sequence[Reranked]:
        """Give the texts that are worth keeping, best first; those left out are dropped."""


def reranker_of(given: Any) -> Reranker:  # noqa: ANN401 - that is its purpose
    """Give a reranker for one of ours, a LangChain document compressor, a LlamaIndex node postprocessor or a function.

    A function takes the question and a list of texts, and gives a score for each; a higher one is better.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(given, Reranker):
        return given
    if callable(getattr(given, "compress_documents", None)):
        return _Compressor(given)
    if callable(getattr(given, "postprocess_nodes", None)):
        return _Postprocessor(given)
    if callable(given):
        return _Function(given)
    raise UsageError(
        "reranker= takes a Reranker, a LangChain document compressor, a LlamaIndex node postprocessor or a function,"
        f" not {type(given).__name__}"
    )


def checked(answer: Iterable[Reranked], count: int) -> list[Reranked]:
    """Give what a reranker answered for ``count`` texts.

    Raises:
        RerankerFailed: it names a text twice, or one that it was not given.
    """
    kept = list(answer)
    places = [one.place for one in kept]
    if len(set(places)) < len(places) or any(not 0 <= place < count for place in places):
        raise RerankerFailed(f"the reranker answered places {places[:10]} for {count} texts")
    return kept


@dataclass(frozen=True, slots=True)
class _Function:
    """Scores of a function."""

    score: Callable[[str, list[str]], Any]

    def rerank(self, query: str, texts: Sequence[str]) -> Sequence[Reranked]:
        scores = [float(score) for score in self.score(query, list(texts))]
        if len(scores) != len(texts) or any(math.isnan(score) for score in scores):
            raise RerankerFailed(f"the reranker answered {len(scores)} scores for {len(texts)} texts, or no numbers")
        order = sorted(range(len(texts)), key=lambda place: -scores[place])
        return [Reranked(place, scores[place]) for place in order]


@dataclass(frozen=True, slots=True)
class _Compressor:
    """A LangChain document compressor."""

    compressor: Any

    def rerank(self, query: str, texts: Sequence[str]) -> Sequence[Reranked]:
        # Who has a compressor has its package; it is not imported by name, because the core needs no framework.
        document = importlib.import_module("langchain_core.documents").Document
        given = [document(page_content=text, metadata={_PLACE: place}) for place, text in enumerate(texts)]
        kept = self.compressor.compress_documents(given, query)
        return [_reranked(one.metadata, one.metadata.get("relevance_score")) for one in kept]


@dataclass(frozen=True, slots=True)
class _Postprocessor:
    """A LlamaIndex node postprocessor."""

    postprocessor: Any

    def rerank(self, query: str, texts: Sequence[str]) -> Sequence[Reranked]:
        schema = importlib.import_module("llama_index.core.schema")  # as above
        given = [
            schema.NodeWithScore(node=schema.TextNode(text=text, metadata={_PLACE: place}), score=1 / (place + 1))
            for place, text in enumerate(texts)
        ]
        for one in given:
            # The place is for us; a model that reads a node's metadata is not to see it.
            one.node.excluded_llm_metadata_keys = one.node.excluded_embed_metadata_keys = [_PLACE]
        kept = self.postprocessor.postprocess_nodes(given, query_str=query)
        return [_reranked(one.node.metadata, one.score) for one in kept]


def _reranked(metadata: dict[str, Any], score: object) -> Reranked:
    if _PLACE not in metadata:
        raise RerankerFailed("the reranker gave back a text without the metadata that it was given with")
    number = float(score) if isinstance(score, int | float) else None
    return Reranked(metadata[_PLACE], number)
