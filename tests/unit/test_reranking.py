"""Rerankers of every kind are asked in their own words, and nonsense is refused."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from keepwell import Memory, Message
from keepwell.errors import RerankerFailed, UsageError
from keepwell.providers.reranking import Reranked, checked, reranker_of
from keepwell.testing import ReferenceStore

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


def remembering(**options: Any) -> Memory:
    """Give a memory in which Ada said five things about tea, each longer than the one before."""
    memory = Memory.over(ReferenceStore(), **options)
    memory.scope("ada").thread("t").append(*(Message.user("tea" + " and tea" * n, id=f"m{n}") for n in range(5)))
    return memory


def test_a_recall_comes_in_the_rerankers_order() -> None:
    """What was found comes as the reranker puts it, as much as was asked for, and each says what it thought."""
    with remembering(reranker=by_length) as memory:
        found = memory.scope("ada").recall("tea", limit=2)
    assert [one.message.id for one in found] == ["m4", "m3"]
    assert [(e.rank, e.score) for one in found for e in [one.evidence["reranker"]]] == [(1, 35.0), (2, 27.0)]


@pytest.mark.parametrize("how", ["raises", "is slow"])
def test_a_reranker_that_fails_is_left_out_and_named(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recall whose reranker raises, or takes too long, comes in our own order and says so."""
    monkeypatch.setenv("KEEPWELL_EMBED_SECONDS", "0.2")

    def poor(_query: str, texts: list[str]) -> list[float]:
        if how == "raises":
            raise RuntimeError("out of order")
        time.sleep(1)
        return [0.0] * len(texts)

    with remembering(reranker=poor) as memory, remembering() as plain:
        found, ours = (one.scope("ada").recall("tea", limit=3) for one in (memory, plain))
    assert [one.message.id for one in found] == [one.message.id for one in ours]
    assert {"raises": "out of order", "is slow": "in time"}[how] in found.skipped["reranker"]


def test_a_budget_holds_for_what_was_reranked() -> None:
    """The budget of tokens is filled in the reranker's order."""
    with remembering(reranker=by_length, token_counter=len) as memory:
        found = memory.scope("ada").recall("tea", limit=5, max_tokens=45)
    assert [one.message.id for one in found] == ["m4"]
