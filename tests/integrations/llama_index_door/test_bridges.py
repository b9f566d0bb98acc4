"""LlamaIndex's embeddings and LLMs as a store's own: no class of ours stands between."""

from __future__ import annotations

import inspect
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.llms.custom import CustomLLM
from pydantic import PrivateAttr

from keepwell import Memory, Message, errors
from keepwell.testing import HashEmbedder
from llama_index.memory.keepwell import KeepwellMemoryBlock, KeepwellRetriever

takes_models = pytest.mark.skipif(
    "language_model" not in inspect.signature(Memory.open).parameters,
    reason="not available here: this keepwell takes no language model",
)


class Hashed(BaseEmbedding):
    """An embedding of LlamaIndex, which says how it was asked."""

    model_name: str = "hashed"
    _inner: HashEmbedder = PrivateAttr(default_factory=HashEmbedder)
    _asked: list[str] = PrivateAttr(default_factory=list)
    _broken: bool = PrivateAttr(default=False)

    def _vector(self, text: str, way: str) -> list[float]:
        self._asked.append(way)
        if self._broken:
            raise ConnectionError("no route to the model")
        vector: list[float] = self._inner.embed_query(text).tolist()
        return vector

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._vector(text, "text")

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._vector(query, "query")

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._vector(query, "awaited query")


class Told(CustomLLM):
    """An LLM of LlamaIndex that answers with what it was told, and keeps what it was asked."""

    answer: str
    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        """Name it."""
        return LLMMetadata(model_name="told")

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer."""
        self._asked.append(prompt)
        return CompletionResponse(text=self.answer)

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Nobody asks for it."""
        raise NotImplementedError


async def test_an_embedding_is_the_stores_embedder(open_memory: Callable[..., Memory]) -> None:
    """Any embedding of LlamaIndex makes a store's vectors: messages are embedded as texts, questions as queries."""
    embedding = Hashed()
    memory = open_memory(embedder=embedding)
    ada = memory.scope(user_id="ada")
    ada.thread("kitchen").append(Message.user("I can't eat peanuts."))
    assert memory.drain().embedded == 1
    assert memory.status().embedder == "hashed"
    for found in (ada.recall("peanuts?", explain=True), await ada.arecall("peanuts?", explain=True)):
        assert "vector" in found[0].evidence
        assert not found.skipped
    assert {"text", "query", "awaited query"} <= set(embedding._asked)


def test_vectors_of_two_embeddings_never_meet(open_memory: Callable[..., Memory]) -> None:
    """A store whose vectors are of one embedding is not opened with another one."""
    memory = open_memory(embedder=Hashed())
    memory.scope(user_id="ada").thread("kitchen").append(Message.user("I can't eat peanuts."))
    memory.drain()
    with pytest.raises(errors.EmbedderMismatch):
        open_memory(embedder=MockEmbedding(embed_dim=64))


async def test_an_embedding_that_fails_is_left_out(
    open_memory: Callable[..., Memory], caplog: pytest.LogCaptureFixture
) -> None:
    """Where the embedding is away recall goes by words, through every door, and the log says so."""
    embedding = Hashed()
    memory = open_memory(embedder=embedding, name="default")
    memory.scope(user_id="ada").thread("kitchen").append(Message.user("I can't eat peanuts."))
    memory.drain()
    embedding._broken = True
    with caplog.at_level(logging.INFO, "keepwell"):
        (node,) = await KeepwellRetriever(memory, user_id="ada").aretrieve("peanuts?")
    assert node.text == "I can't eat peanuts."
    assert "vector" in caplog.text
    from llama_index.core.base.llms.types import ChatMessage

    block = KeepwellMemoryBlock(memory, user_id="ada")
    assert "I can't eat peanuts." in await block.aget([ChatMessage(role="user", content="peanuts?")])


@takes_models
def test_an_llm_is_the_stores_language_model(open_memory: Callable[..., Memory]) -> None:
    """Any LLM of LlamaIndex forms a store's facts, and the retriever gives them."""
    fact = {"message": 1, "quote": "I can't eat peanuts", "statement": "Ada cannot eat peanuts.", "subject": "Ada"}
    model = Told(answer=json.dumps({"facts": [fact]}))
    memory = open_memory(language_model=model)
    ada = memory.scope(user_id="ada")
    ada.thread("kitchen").append(Message.user("I can't eat peanuts.", name="Ada"))
    memory.drain()
    assert any("I can't eat peanuts." in prompt for prompt in model._asked)
    assert [one.text for one in ada.facts()] == ["Ada cannot eat peanuts."]
    facts = KeepwellRetriever(memory, user_id="ada", kinds=("fact",))
    assert [node.text for node in facts.retrieve("what can Ada not eat?")] == ["Ada cannot eat peanuts."]


@takes_models
def test_an_llm_that_talks_nonsense_changes_nothing(open_memory: Callable[..., Memory]) -> None:
    """What the LLM says must be of the schema and quote what was said; else nothing is learned, and nothing is lost."""
    memory = open_memory(language_model=Told(answer="I am afraid I can't do that."))
    ada = memory.scope(user_id="ada")
    ada.thread("kitchen").append(Message.user("I can't eat peanuts."))
    memory.drain()
    assert not ada.facts()
    assert ada.recall("peanuts?")[0].text == "I can't eat peanuts."


def test_the_package_is_light() -> None:
    """Importing it imports nothing of LlamaIndex; each name is there when it is asked for, and no other is."""
    code = "import sys, llama_index.memory.keepwell as doors; sys.exit('llama_index.core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    import llama_index.memory.keepwell as doors

    assert sorted(doors.__all__) == [name for name in dir(doors) if name in doors.__all__]
    assert all(getattr(doors, name) is not None for name in doors.__all__)
    with pytest.raises(AttributeError, match="surprise"):
        _ = doors.surprise
