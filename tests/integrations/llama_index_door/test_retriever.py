"""A retriever of LlamaIndex's that recalls from a store: what its nodes hold, and what a query engine makes of them."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import QueryEngineTool, RetrieverTool

from keepwell import Memory, Message, ScopedMemory, errors
from llama_index.memory.keepwell import KeepwellRetriever

PEANUTS = "I can't eat peanuts."
QUESTION = "who can't eat peanuts?"

has_facts = pytest.mark.skipif(
    not hasattr(ScopedMemory, "remember"), reason="not available here: this keepwell keeps no facts"
)


class Away:
    """A record that does not answer."""

    def read(self, query: Any) -> Any:
        """Fail."""
        raise errors.StoreUnavailable("no server answers")


def texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    """Give what the nodes say."""
    return [node.text for node in nodes]


@pytest.fixture
def told(memory: Memory) -> Memory:
    """Give a memory in which Ada spoke of peanuts, and Bob of other things."""
    memory.scope(user_id="ada").thread("kitchen").append(
        Message.user("What shall we cook?", metadata={"topic": "food"}),
        Message.user(PEANUTS, name="Ada", id="m1", metadata={"topic": "health"}),
        Message.assistant("Noted: no peanuts."),
    )
    memory.scope(user_id="bob").thread("kitchen").append(Message.user("Bob eats peanuts with secret sauce."))
    return memory


@pytest.fixture
def retriever(told: Memory) -> KeepwellRetriever:
    """Give Ada's retriever."""
    return KeepwellRetriever(told, user_id="ada")


async def test_nodes_hold_what_was_said(retriever: KeepwellRetriever) -> None:
    """The best fitting message comes first, as text alone, with a score; both ways give the same."""
    assert isinstance(retriever, BaseRetriever)
    found = retriever.retrieve(QUESTION)
    first = next(node for node in found if node.text == PEANUTS)
    assert isinstance(first.node, TextNode)
    assert all(node.score is not None for node in found)
    assert [node.score for node in found] == sorted((node.score or 0 for node in found), reverse=True)
    again = await retriever.aretrieve(QueryBundle(QUESTION))
    assert texts(again) == texts(found)
    assert [node.node_id for node in again] == [node.node_id for node in found]


def test_ids_are_stable_and_unique(told: Memory, retriever: KeepwellRetriever) -> None:
    """A node has the same id at each query, and no other message has it, not even one of the same id elsewhere."""
    told.scope(user_id="ada").thread("dinner").append(Message.user("Peanuts again.", id="m1"))
    first, second = retriever.retrieve(QUESTION), retriever.retrieve("peanuts again")
    by_text = {node.text: node.node_id for node in first}
    assert all(by_text.get(node.text, node.node_id) == node.node_id for node in second)
    ids = [node.node_id for node in second]
    assert len(set(ids)) == len(ids) >= 3


def test_metadata_stay_out_of_the_models_text(retriever: KeepwellRetriever) -> None:
    """Neither what a model is shown nor what is embedded has the ids, the tenant or the scores; they are plain JSON."""
    node = next(node.node for node in retriever.retrieve(QUESTION) if node.text == PEANUTS)
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert node.get_content(metadata_mode=mode) == PEANUTS
    assert node.metadata["thread"] == "kitchen"
    assert node.metadata["message_id"] == "m1"
    assert (node.metadata["kind"], node.metadata["who"], node.metadata["role"]) == ("message", "Ada", "user")
    assert dt.datetime.fromisoformat(node.metadata["at"]).tzinfo is not None
    assert node.metadata["user_id"] == "ada"
    assert "keyword" in node.metadata["why"]
    json.dumps(node.metadata)
    assert TextNode.from_dict(node.to_dict()) == node


def test_neighbours_come_along(told: Memory) -> None:
    """What was said before and after is in the metadata, as many as are asked for."""
    near = KeepwellRetriever(told, user_id="ada", similarity_top_k=1, neighbours=1)
    (found,) = near.retrieve("which peanuts can't I eat?")
    lines = [line["text"] for line in (*found.metadata["before"], *found.metadata["after"])]
    assert lines
    alone = KeepwellRetriever(told, user_id="ada", similarity_top_k=1, neighbours=0)
    (found,) = alone.retrieve("which peanuts can't I eat?")
    assert (found.metadata["before"], found.metadata["after"]) == ([], [])


def test_nobody_elses_words(told: Memory, retriever: KeepwellRetriever) -> None:
    """A retriever is one owner's; across users only where that is asked for."""
    assert not any("secret sauce" in text for text in texts(retriever.retrieve("Bob's secret sauce")))
    assert KeepwellRetriever(told, user_id="nobody").retrieve(QUESTION) == []
    told.scope(user_id="cy", agent_id="cook").thread("t").append(Message.user("cook's peanuts"))
    everyone = KeepwellRetriever(told, agent_id="cook", across_users=True)
    assert texts(everyone.retrieve("peanuts")) == ["cook's peanuts"]
    with pytest.raises(errors.InvalidScope):
        KeepwellRetriever(told)


def test_it_is_narrowed(told: Memory) -> None:
    """Number, thread, metadata, time, kind and score narrow what is given."""
    told.scope(user_id="ada").thread("dinner").append(Message.user("peanuts at dinner"))

    def asked(**options: Any) -> list[str]:
        return texts(KeepwellRetriever(told, user_id="ada", **options).retrieve("peanuts"))

    assert len(asked(similarity_top_k=1)) == 1
    assert asked(thread="dinner") == ["peanuts at dinner"]
    assert asked(thread="never written") == []
    assert asked(where={"topic": "health"}) == [PEANUTS]
    assert asked(since=dt.datetime(2100, 1, 1, tzinfo=dt.UTC)) == []
    assert asked(until=dt.datetime(2000, 1, 1, tzinfo=dt.UTC)) == []
    assert asked(kinds=("fact",)) == []
    assert asked(min_score=1e6) == []
    for wrong in ({"similarity_top_k": 0}, {"neighbours": -1}):
        with pytest.raises(errors.InvalidQuery):
            asked(**wrong)


@has_facts
def test_facts_are_nodes_too(told: Memory, retriever: KeepwellRetriever) -> None:
    """A fact comes beside messages, under its own id."""
    fact = told.scope(user_id="ada").remember("Ada is allergic to peanuts.", key="allergy")
    found = {node.node_id: node for node in retriever.retrieve("what is Ada allergic to?")}
    node = found[str(fact.id)]
    assert node.text == "Ada is allergic to peanuts."
    about = node.metadata
    assert (about["kind"], about["fact_id"], about["version"], about["key"]) == ("fact", str(fact.id), 1, "allergy")
    assert node.node.get_content(metadata_mode=MetadataMode.LLM) == node.text


# In LlamaIndex


async def test_a_query_engine_answers_from_it(retriever: KeepwellRetriever) -> None:
    """A query engine puts what was recalled before its model, and names the nodes as its sources."""
    template = PromptTemplate("{context_str} ? {query_str}")
    synthesizer = get_response_synthesizer(llm=MockLLM(), text_qa_template=template)
    engine = RetrieverQueryEngine(retriever, response_synthesizer=synthesizer)
    for answer in (engine.query(QUESTION), await engine.aquery(QUESTION)):
        assert PEANUTS in str(answer)
        assert "user_id" not in str(answer)
        assert PEANUTS in texts(answer.source_nodes)


def test_a_chat_engine_and_tools_take_it(retriever: KeepwellRetriever) -> None:
    """It works as a chat engine's retriever, and as an agent's tool."""
    buffer = ChatMemoryBuffer.from_defaults(token_limit=1000)
    engine = ContextChatEngine.from_defaults(retriever=retriever, llm=MockLLM(), memory=buffer)
    answer = engine.chat(QUESTION)
    assert PEANUTS in texts(answer.source_nodes)
    tool = RetrieverTool.from_defaults(retriever, name="memory", description="what was said")
    assert PEANUTS in str(tool.call(QUESTION))
    query_engine = RetrieverQueryEngine(retriever, response_synthesizer=get_response_synthesizer(llm=MockLLM()))
    assert PEANUTS in str(QueryEngineTool.from_defaults(query_engine, name="memory", description="d").call(QUESTION))


def test_it_is_bound_to_no_loop(retriever: KeepwellRetriever) -> None:
    """One retriever works in one event loop after the other."""
    assert texts(asyncio.run(retriever.aretrieve(QUESTION))) == texts(asyncio.run(retriever.aretrieve(QUESTION)))


# When something fails


async def test_a_recall_that_fails_gives_nothing(
    told: Memory, retriever: KeepwellRetriever, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its store it gives no nodes and one line in the log; a strict one raises."""
    monkeypatch.setattr(told._engine, "record", Away())
    assert retriever.retrieve(QUESTION) == await retriever.aretrieve(QUESTION) == []
    assert "nothing is recalled" in caplog.text
    strict = KeepwellRetriever(told, user_id="ada", strict=True)
    with pytest.raises(errors.StoreUnavailable):
        strict.retrieve(QUESTION)
    with pytest.raises(errors.StoreUnavailable):
        await strict.aretrieve(QUESTION)


async def test_a_blank_query(told: Memory, retriever: KeepwellRetriever) -> None:
    """Nothing asked is nothing found, said in the log; a strict one raises."""
    assert retriever.retrieve("  ") == await retriever.aretrieve("") == []
    with pytest.raises(errors.InvalidQuery):
        KeepwellRetriever(told, user_id="ada", strict=True).retrieve(" ")
