"""LangChain's retriever over a store."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import uuid
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from keepwell import Memory, Message, errors
from langchain_keepwell import KeepwellChatMessageHistory, KeepwellRetriever

SAID = (
    "I can't eat peanuts, they make me ill.",
    "Noted, no peanuts.",
    "My sister Priya loves peanuts in curry.",
    "Then the curry is for Priya alone.",
    "Peanuts grow under the ground.",
    "Let us plan the holiday in Rome.",
)


@pytest.fixture
def said(memory: Memory) -> Memory:
    """Give a memory in which Ada talked of peanuts, and Bob of his own."""
    messages = [
        Message(
            id=f"m{number}",
            role="assistant" if number % 2 else "user",
            name=None if number % 2 else "Ada",
            parts=({"type": "text", "text": text},),
            created_at=dt.datetime(2024, 5, 1 + number, tzinfo=dt.UTC),
            metadata={"topic": "food" if number < 5 else "travel"},
        )
        for number, text in enumerate(SAID)
    ]
    memory.scope(user_id="ada").thread("kitchen").append(*messages)
    memory.scope(user_id="bob").thread("kitchen").append(Message.user("I hate peanuts, says Bob.", id="b0"))
    return memory


def texts(documents: list[Document]) -> list[str]:
    """Give what the documents say."""
    return [document.page_content for document in documents]


class TestStandard(RetrieversIntegrationTests):
    """LangChain's own suite for retrievers, whole."""

    memory: Memory

    @pytest.fixture(autouse=True)
    def _of_this_test(self, said: Memory) -> None:
        self.memory = said

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        """The class under test."""
        return KeepwellRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        """Ada's memory."""
        return {"memory": self.memory, "user_id": "ada"}

    @property
    def retriever_query_example(self) -> str:
        """A query with more than three answers."""
        return "what do peanuts and curry mean to Priya?"


async def test_a_document_says_what_whose_when_and_why(said: Memory) -> None:
    """A document has the words said, and in its metadata who said them, when, where and why they came."""
    retriever = KeepwellRetriever(memory=said, user_id="ada", k=1)
    found = retriever.invoke("who cannot eat peanuts because they make ill?")[0]
    assert found.page_content == SAID[0]
    assert uuid.UUID(found.id)
    meta = found.metadata
    assert (meta["kind"], meta["thread"], meta["message_id"]) == ("message", "kitchen", "m0")
    assert (meta["role"], meta["name"], meta["user_id"]) == ("user", "Ada", "ada")
    assert meta["created_at"] == "2024-05-01T00:00:00+00:00"
    assert meta["score"] > 0
    assert set(meta["evidence"]) >= {"keyword"}
    assert "keyword" in meta["why"]
    assert meta["after"][0] == {"role": "assistant", "name": None, "text": SAID[1]}
    json.dumps(meta)
    assert (await retriever.ainvoke("who cannot eat peanuts because they make ill?"))[0].id == found.id


def test_ids_tell_messages_apart_and_last(said: Memory) -> None:
    """Messages of one id in two threads are two documents, and a document has the same id in each recall."""
    said.scope(user_id="ada").thread("kitchen").clone("copy")
    retriever = KeepwellRetriever(memory=said, user_id="ada", k=50)
    ids = [document.id for document in retriever.invoke("peanuts")]
    assert len(ids) == len(set(ids))
    assert {d.metadata["thread"] for d in retriever.invoke("peanuts")} == {"kitchen", "copy"}
    assert sorted(map(str, ids)) == sorted(str(document.id) for document in retriever.invoke("peanuts"))


async def test_nobody_elses_words_are_found(said: Memory) -> None:
    """A retriever finds what its owner said and nothing of others, either way."""
    ada = KeepwellRetriever(memory=said, user_id="ada", k=50)
    bob = KeepwellRetriever(memory=said, user_id="bob", k=50)
    assert "I hate peanuts, says Bob." not in texts(ada.invoke("peanuts Bob hate"))
    assert texts(await bob.ainvoke("peanuts")) == ["I hate peanuts, says Bob."]


def test_a_changed_owner_counts_at_once(said: Memory) -> None:
    """A copy for another user, or a changed one, looks there and no longer at the first."""
    ada = KeepwellRetriever(memory=said, user_id="ada", k=50)
    bob = ada.model_copy(update={"user_id": "bob"})
    assert texts(bob.invoke("peanuts")) == ["I hate peanuts, says Bob."]


def test_a_configured_retriever_looks_where_it_is_told(said: Memory) -> None:
    """LangChain's configurable fields reach the retriever: whose memory, and how much of it."""
    configurable = KeepwellRetriever(memory=said, user_id="ada", k=50).configurable_fields(
        user_id=ConfigurableField(id="user"), k=ConfigurableField(id="k")
    )
    assert texts(configurable.invoke("peanuts", {"configurable": {"user": "bob"}})) == ["I hate peanuts, says Bob."]
    assert len(configurable.invoke("peanuts", {"configurable": {"k": 2}})) == 2


def test_filters_bound_what_is_found(said: Memory) -> None:
    """Thread, metadata and time bound a recall."""
    ada = said.scope(user_id="ada")
    ada.thread("work").append(Message.user("Peanuts at work."))
    common: dict[str, Any] = {"memory": said, "user_id": "ada", "k": 50}
    query = "peanuts holiday"
    assert texts(KeepwellRetriever(**common, thread="work").invoke(query)) == ["Peanuts at work."]
    assert texts(KeepwellRetriever(**common, where={"topic": "travel"}).invoke(query)) == [SAID[5]]
    late = KeepwellRetriever(**common, since=dt.datetime(2024, 5, 4, 12, tzinfo=dt.UTC), thread="kitchen")
    assert set(texts(late.invoke(query))) <= {SAID[4], SAID[5]}
    assert SAID[4] in texts(late.invoke(query))


def test_what_a_history_keeps_is_found(memory: Memory) -> None:
    """A message is found right after a chat history has added it."""
    history = KeepwellChatMessageHistory("holiday", memory=memory, user_id="ada")
    history.add_messages([HumanMessage("The key is under the blue flowerpot.")])
    assert KeepwellRetriever(memory=memory, user_id="ada").invoke("flowerpot")[0].metadata["thread"] == "holiday"


async def test_a_blank_query_finds_nothing(said: Memory, caplog: pytest.LogCaptureFixture) -> None:
    """A blank query gives nothing and one line in the log; a strict retriever raises."""
    with caplog.at_level(logging.WARNING, "langchain_keepwell"):
        assert KeepwellRetriever(memory=said, user_id="ada").invoke("  \n") == []
    assert len(caplog.records) == 1
    assert await KeepwellRetriever(memory=said, user_id="ada").ainvoke("") == []
    with pytest.raises(errors.InvalidQuery):
        KeepwellRetriever(memory=said, user_id="ada", strict=True).invoke(" ")
    with pytest.raises(errors.InvalidQuery):
        await KeepwellRetriever(memory=said, user_id="ada", strict=True).ainvoke(" ")


@pytest.mark.parametrize("error", [errors.StoreUnavailable("no server answers"), errors.EmbedderFailed("nonsense")])
async def test_a_recall_that_fails_gives_nothing(
    said: Memory, outage: Any, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """A failing store or embedder gives no documents and one line in the log for each recall, either way."""
    outage.begin(error)
    retriever = KeepwellRetriever(memory=said, user_id="ada")
    with caplog.at_level(logging.WARNING, "langchain_keepwell"):
        assert retriever.invoke("peanuts") == []
        assert await retriever.ainvoke("peanuts") == []
    assert [str(error) in record.getMessage() for record in caplog.records] == [True, True]


async def test_strict_raises(said: Memory, outage: Any) -> None:
    """A strict retriever raises what the store raises, and LangChain's callbacks hear of it."""
    heard: list[str] = []

    class Ear(BaseCallbackHandler):
        def on_retriever_error(self, error: BaseException, **_: Any) -> None:
            heard.append(str(error))

    outage.begin()
    retriever = KeepwellRetriever(memory=said, user_id="ada", strict=True)
    with pytest.raises(errors.StoreUnavailable):
        retriever.invoke("peanuts", {"callbacks": [Ear()]})
    with pytest.raises(errors.StoreUnavailable):
        await retriever.ainvoke("peanuts")
    assert heard == ["no server answers"]


def test_wrong_calls_raise(said: Memory, outage: Any) -> None:
    """A wrong call is an error, strict or not: an owner of nobody, no documents at all, an unknown field."""
    with pytest.raises(errors.InvalidScope):
        KeepwellRetriever(memory=said)
    with pytest.raises(ValidationError):
        KeepwellRetriever(memory=said, user_id="ada", k=0)
    outage.begin(errors.InvalidQuery("a filter that means nothing"))
    with pytest.raises(errors.InvalidQuery):
        KeepwellRetriever(memory=said, user_id="ada").invoke("peanuts")


def test_nothing_is_bound_to_an_event_loop(said: Memory) -> None:
    """One retriever serves one loop after another, and many calls at once."""
    retriever = KeepwellRetriever(memory=said, user_id="ada", k=1)

    async def many() -> list[list[Document]]:
        return await asyncio.gather(*(retriever.ainvoke("sister Priya") for _ in range(8)))

    for _ in range(2):
        assert [texts(found) for found in asyncio.run(many())] == [[SAID[2]]] * 8


def test_it_shows_no_store(said: Memory) -> None:
    """Neither the text of a retriever nor its dump gives away the store that it reads."""
    retriever = KeepwellRetriever(memory=said, user_id="ada")
    assert "memory" not in repr(retriever)
    assert "memory" not in retriever.model_dump()
    assert not retriever.is_lc_serializable()


def test_facts_come_as_documents_of_their_own(memory: Memory) -> None:
    """A fact is a document with its id, version and dates; an update keeps the document's id; either kind can be left out."""
    ada = memory.scope(user_id="ada")
    ada.thread("t").append(Message.user("I drink tea."))
    ada.remember("Ada drinks tea", key="drink", subject="Ada")
    retriever = KeepwellRetriever(memory=memory, user_id="ada")
    kinds = {found.metadata["kind"]: found for found in retriever.invoke("what does Ada drink? tea")}
    fact = kinds["fact"]
    assert (fact.page_content, fact.metadata["key"], fact.metadata["version"]) == ("Ada drinks tea", "drink", 1)
    assert kinds["message"].metadata["thread"] == "t"
    newer = ada.remember("Ada drinks green tea", key="drink")
    only = KeepwellRetriever(memory=memory, user_id="ada", kinds=("fact",)).invoke("tea")
    assert [(found.id, found.metadata["fact_id"]) for found in only] == [(fact.id, str(newer.id))]
    assert "fact" not in {
        found.metadata["kind"]
        for found in KeepwellRetriever(memory=memory, user_id="ada", kinds=("message",)).invoke("tea")
    }
