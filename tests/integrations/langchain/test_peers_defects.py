"""What the official classes and peers get wrong, each as a test that our doors pass. Names follow theirs."""

from __future__ import annotations

import logging
import threading
import uuid
import warnings
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from psycopg_pool import ConnectionPool

from keepwell import Memory, Message, errors, label
from keepwell.testing import HashEmbedder
from langchain_keepwell import (
    KeepwellChatMessageHistory,
    KeepwellRetriever,
    KeepwellStore,
    memory_tools,
)

from .conftest import Outage


def history(memory: Memory, session: str = "t", **options: Any) -> KeepwellChatMessageHistory:
    """Give ada's history."""
    return KeepwellChatMessageHistory(session, memory=memory, user_id="ada", strict=True, **options)


# PostgresChatMessageHistory


def test_a_pool_is_taken(dsn: str) -> None:
    """1. A connection pool serves it, where theirs takes a single connection alone."""
    with (
        ConnectionPool(dsn, min_size=1, max_size=2, open=True) as pool,
        Memory.open(pool=pool, embedder=None, name="pool") as memory,
    ):
        history(memory).add_user_message("hello")
        assert [message.text for message in history(memory).messages] == ["hello"]


@pytest.mark.parametrize("session", ["user-42", "bob@mail.com", "ümläut/1", "x" * 500])
def test_any_session_id(memory: Memory, session: str) -> None:
    """2. A session's id is any text, not a UUID alone."""
    history(memory, session).add_user_message("hello")
    assert len(history(memory, session).messages) == 1


async def test_one_instance_serves_both_ways(memory: Memory) -> None:
    """3. What was made for one way of calling works in the other."""
    one = history(memory)
    one.add_user_message("sync")
    await one.aadd_messages([HumanMessage("async")])
    assert [message.text for message in one.messages] == [message.text for message in await one.aget_messages()]


def test_a_read_leaves_no_transaction(dsn: str) -> None:
    """4. After a read the connection is idle, not idle in a transaction."""
    with (
        ConnectionPool(dsn, min_size=1, max_size=1, open=True) as pool,
        Memory.open(pool=pool, embedder=None, name="idle") as memory,
    ):
        history(memory).add_user_message("hello")
        assert len(history(memory).messages) == 1
        with pool.connection() as connection:
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_bad_message_poisons_nothing(memory: Memory) -> None:
    """5. NUL is kept; what cannot be kept at all is refused, and the next read works."""
    one = history(memory)
    one.add_user_message("a\x00b")
    with pytest.raises(errors.InvalidMessage):
        one.add_messages([BaseMessage("x", type="odd")])
    assert [message.text for message in one.messages] == ["a\x00b"]


def test_a_callers_transaction_is_the_callers(memory: Memory) -> None:
    """6. Written as part of an application's transaction, it is undone with it and not committed under it."""
    with pytest.raises(RuntimeError), memory.transaction() as tx:
        history(memory).thread.append(Message.user("hello"), connection=tx)
        raise RuntimeError
    assert history(memory).messages == []


def test_a_retry_does_not_double(memory: Memory) -> None:
    """7. The same message, by its id, is there once."""
    message = AIMessage("hello", id="run-1")
    for _ in range(2):
        history(memory).add_messages([message])
    assert history(memory).messages == [message]


def test_order_is_that_of_commits(memory: Memory) -> None:
    """8. With a writer under way no message appears before one that was read already."""
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with memory.transaction() as tx:
            history(memory).thread.append(Message.user("slow"), connection=tx)
            begun.set()
            go_on.wait(10)

    def late() -> None:
        history(memory).add_user_message("late")

    history(memory).add_user_message("first")
    writers = [threading.Thread(target=slow), threading.Thread(target=late)]
    writers[0].start()
    begun.wait(10)
    writers[1].start()
    seen = [message.text for message in history(memory).messages]
    go_on.set()
    for writer in writers:
        writer.join()
    assert [message.text for message in history(memory).messages][: len(seen)] == seen == ["first"]


def test_nothing_is_set_in_two_commits(memory: Memory) -> None:
    """9. There is no setter that clears and adds one after the other."""
    with pytest.raises(AttributeError):
        history(memory).messages = []  # type: ignore[misc]


# RunnableWithMessageHistory


def test_a_write_error_is_in_log_and_status(memory: Memory, outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    """What LangChain swallows is told by us: in the log and in the status, and is written later."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        chain = RunnableWithMessageHistory(
            RunnableLambda(lambda _messages: AIMessage("noted")),
            lambda session: KeepwellChatMessageHistory(session, memory=memory, user_id="ada"),
        )
    outage.begin()
    with caplog.at_level(logging.WARNING):
        chain.invoke([HumanMessage("hello")], {"configurable": {"session_id": "t"}})
    outage.end()
    assert memory.holding.held == 2
    assert any(record.name.startswith(("keepwell", "langchain_keepwell")) for record in caplog.records)
    history(memory).add_user_message("more")
    memory.holding.retry()
    assert {message.text for message in history(memory).messages} == {"hello", "noted", "more"}


# PGVectorStore, where ours has a like


def test_one_query_does_not_stick(memory: Memory) -> None:
    """1. The words of an earlier question have no part in a later one."""
    memory.scope("ada").thread("t").append(Message.user("apples in the cellar"), Message.user("carrots in the garden"))
    retriever = KeepwellRetriever(memory=memory, user_id="ada", k=1)
    assert [one.page_content for one in retriever.invoke("apples")] == ["apples in the cellar"]
    assert [one.page_content for one in retriever.invoke("carrots")] == ["carrots in the garden"]


def test_a_generator_is_written(memory: Memory) -> None:
    """3. Values from a generator are written, not lost."""
    history(memory).add_messages([*(HumanMessage(f"{number}") for number in range(3))])
    assert len(history(memory).messages) == 3


def test_a_batch_is_all_or_nothing(memory: Memory) -> None:
    """4. A bad message among good ones leaves none of them."""
    with pytest.raises(errors.InvalidMessage):
        history(memory).add_messages([HumanMessage("good"), BaseMessage("bad", type="odd")])
    assert history(memory).messages == []


def test_k_is_as_many_as_are_asked(memory: Memory) -> None:
    """5. More than four can be found with words and vectors together."""
    memory.scope("ada").thread("t").append(*(Message.user(f"apple number {number}") for number in range(20)))
    assert len(KeepwellRetriever(memory=memory, user_id="ada", k=12).invoke("apple")) == 12


def test_filters_know_absence_and_lists(memory: Memory) -> None:
    """7. Two operators on a field, None, a missing field and lists are understood in a store's filters."""
    store = KeepwellStore(memory, user_id="ada")
    store.put(("n",), "a", {"n": 5, "tags": ["x"]})
    store.put(("n",), "b", {"n": 50, "gone": None})
    assert [one.key for one in store.search(("n",), filter={"n": {"$gt": 1, "$lt": 10}})] == ["a"]
    assert [one.key for one in store.search(("n",), filter={"gone": {"$exists": True}})] == ["b"]
    assert {one.key for one in store.search(("n",), filter={"gone": None})} == {"a", "b"}
    assert {one.key for one in store.search(("n",), filter={"gone": {"$ne": 1}})} == {"a", "b"}
    assert [one.key for one in store.search(("n",), filter={"n": {"$in": [5, 6]}})] == ["a"]


# langmem


def test_errors_are_exceptions(memory: Memory) -> None:
    """A wrong configuration raises what ``except Exception`` catches."""
    try:
        memory_tools(memory, user_id="")
    except Exception as error:  # noqa: BLE001 - that this catches it is what is promised
        assert isinstance(error, errors.InvalidScope)
    else:
        pytest.fail("an empty id was taken")


@pytest.mark.parametrize("user", ["bob@mail.com", "a.b.c", "x:y/z"])
def test_dotted_ids_are_ids(memory: Memory, user: str) -> None:
    """An e-mail address is a user's id like any other, and a label of a namespace by ``label``."""
    tools = {tool.name: tool for tool in memory_tools(memory, user_id=user)}
    tools["manage_memory"].invoke({"content": "likes tea"})
    assert "likes tea" in tools["search_memory"].invoke({"query": "tea"})
    store = KeepwellStore(memory, owner=("memories", "{user_id}"))
    store.put(("memories", label(user)), "k", {"content": "drinks coffee"})
    assert "drinks coffee" in str([found.text for found in memory.scope(user).recall("coffee")])
    assert len(memory.scope("other").recall("tea coffee")) == 0


# neo4j-agent-memory


def test_a_session_reads_itself_alone(memory: Memory) -> None:
    """A history and a retriever of one person show nobody else's messages, whatever the session is called."""
    other = KeepwellChatMessageHistory("t", memory=memory, user_id="bob", strict=True)
    other.add_user_message("Bob's secret walnut")
    history(memory).add_user_message("Ada's walnut")
    assert [message.text for message in history(memory).messages] == ["Ada's walnut"]
    found = KeepwellRetriever(memory=memory, user_id="ada").invoke("walnut secret")
    assert {one.page_content for one in found} == {"Ada's walnut"}


def test_tool_calls_are_not_dropped(memory: Memory) -> None:
    """A turn with tool calls and their results is read as it was written."""
    turn = [
        HumanMessage("weather?"),
        AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Rome"}, "id": "c", "type": "tool_call"}]),
        ToolMessage("sunny", tool_call_id="c"),
        AIMessage("It is sunny."),
    ]
    history(memory).add_messages(turn)
    assert history(memory).messages == turn


def test_search_without_an_embedder(open_memory: Callable[..., Memory]) -> None:
    """Without any model what was said is found by its words."""
    memory = open_memory(embedder=None)
    memory.scope("ada").thread("t").append(Message.user("The walnut is in the cellar."))
    assert len(KeepwellRetriever(memory=memory, user_id="ada").invoke("walnut")) == 1


def test_two_loops_and_a_thread(memory: Memory) -> None:
    """Synchronous calls inside a running loop work, where a bridge from an async core raises."""
    import asyncio

    async def inside() -> int:
        one = history(memory, uuid.uuid4().hex)
        one.add_user_message("hello")
        return len(one.messages)

    assert [asyncio.run(inside()), asyncio.run(inside())] == [1, 1]


def test_the_embedder_answers_for_questions(open_memory: Callable[..., Memory]) -> None:
    """A question is embedded as a question, not as a document."""

    class Asked(HashEmbedder):
        questions = 0

        def embed_query(self, text: str) -> Any:
            type(self).questions += 1
            return super().embed_query(text)

    memory = open_memory(embedder=Asked())
    memory.scope("ada").thread("t").append(Message.user("walnut"))
    KeepwellRetriever(memory=memory, user_id="ada").invoke("walnut")
    assert Asked.questions == 1
