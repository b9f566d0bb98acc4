"""Rerankers of every kind are asked in their own words, and nonsense is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from keepwell.errors import RerankerFailed, UsageError
from keepwell.providers.reranking import Reranked, checked, reranker_of

TEXTS = ["tea is fine", "no peanuts for me", "the sky"]


def by_length(_query: str, texts: list[str]) -> list[float]:
    """Score texts by how long they are."""
    return [float(len(text)) for text in texts]


def test_a_function_scores_texts() -> None:
    """Texts come in the order of a function's scores, the highest first, each with its score."""
    assert reranker_of(by_length).rerank("q", TEXTS) == [Reranked(1, 17.0), Reranked(0, 11.0), Reranked(2, 7.0)]


def test_a_langchain_compressor_is_asked_with_documents() -> None:
    """A document compressor gets documents and the question, and what it leaves out is dropped."""
    documents = pytest.importorskip("langchain_core.documents")

    class Picky(documents.BaseDocumentCompressor):  # type: ignore[misc,name-defined]  # imported at run time
        def compress_documents(self, documents: Sequence[Any], query: str, callbacks: Any = None) -> Sequence[Any]:
            kept = [one for one in documents if query in one.page_content]
            for one in kept:
                one.metadata["relevance_score"] = 0.9
            return kept

    assert reranker_of(Picky()).rerank("peanuts", TEXTS) == [Reranked(1, 0.9)]


def test_a_llamaindex_postprocessor_is_asked_with_nodes() -> None:
    """A node postprocessor gets nodes in order and the question, and its order and scores are taken over."""
    types = pytest.importorskip("llama_index.core.postprocessor.types")

    class Backwards(types.BaseNodePostprocessor):  # type: ignore[misc,name-defined]  # imported at run time
        def _postprocess_nodes(self, nodes: list[Any], query_bundle: Any = None) -> list[Any]:
            assert query_bundle.query_str == "q"
            assert [one.node.get_content(metadata_mode="llm") for one in nodes] == TEXTS
            return nodes[::-1]

    found = reranker_of(Backwards()).rerank("q", TEXTS)
    assert [one.place for one in found] == [2, 1, 0]


def test_what_is_no_reranker_is_refused() -> None:
    """What cannot rerank is refused by an error that says what can."""
    with pytest.raises(UsageError, match="document compressor"):
        reranker_of(7)


@pytest.mark.parametrize("scores", [[1.0], [1.0, 2.0, float("nan")]], ids=["too few", "no number"])
def test_scores_that_fit_no_text_are_refused(scores: list[float]) -> None:
    """A function that gives no number for a text has failed."""
    with pytest.raises(RerankerFailed):
        reranker_of(lambda _query, _texts: scores).rerank("q", TEXTS)


@pytest.mark.parametrize("places", [[0, 0], [3], [-1]], ids=["twice", "beyond", "before"])
def test_places_that_name_no_text_are_refused(places: list[int]) -> None:
    """An answer that names a text twice, or one that was not there, has failed."""
    with pytest.raises(RerankerFailed):
        checked(map(Reranked, places), 3)
