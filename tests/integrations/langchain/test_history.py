"""LangChain's chat history in a store."""

from __future__ import annotations

import asyncio
import logging
import pickle
import subprocess
import sys
import warnings
from typing import Any

import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableFieldSpec
from langchain_core.runnables.history import RunnableWithMessageHistory

import langchain_keepwell
from keepwell import Memory, Message, TextPart, errors
from langchain_keepwell import KeepwellChatMessageHistory

TURN: list[BaseMessage] = [
    SystemMessage("Be kind.", id="s"),
    HumanMessage("Where is my train?", id="h", name="ada"),
    AIMessage("", id="a", tool_calls=[{"name": "trains", "args": {"to": "Rome", "at": float("inf")}, "id": "c1"}]),
    ToolMessage("14:05", id="t", tool_call_id="c1", artifact={"raw": b"\x00\xff"}, name="trains"),
    AIMessage([{"type": "text", "text": "At 14:05\x00."}], id="b", response_metadata={"model_provider": "x"}),
]


def history_of(memory: Memory, session: str = "holiday", **options: Any) -> KeepwellChatMessageHistory:
    """Open Ada's history, as another process would: nothing is kept between two of them but the store."""
    return KeepwellChatMessageHistory(session, memory=memory, user_id="ada", **options)


def words(messages: list[BaseMessage]) -> list[str]:
    """Give what was said, in order."""
    return [str(message.text) for message in messages]


def test_what_was_added_is_there_for_the_next_one(memory: Memory) -> None:
    """A whole turn with tools comes back exactly, in order, through another history of the same session."""
    history_of(memory).add_messages(TURN)
    assert history_of(memory).messages == TURN


async def test_the_asynchronous_way_is_the_same(memory: Memory) -> None:
    """What is added asynchronously is read either way, and cleared."""
    await history_of(memory).aadd_messages(TURN[:2])
    await history_of(memory).aadd_messages(TURN[2:])
    assert await history_of(memory).aget_messages() == TURN
    assert history_of(memory).messages == TURN
    await history_of(memory).aclear()
    assert await history_of(memory).aget_messages() == []


def test_nothing_is_bound_to_an_event_loop(memory: Memory) -> None:
    """One history works in one loop after another, and without any."""
    history = history_of(memory)
    asyncio.run(history.aadd_messages([HumanMessage("one")]))
    asyncio.run(history.aadd_messages([HumanMessage("two")]))
    assert words(history.messages) == ["one", "two"]


def test_short_words_for_adding(memory: Memory) -> None:
    """Plain text and single messages may be added, as on every chat history."""
    history = history_of(memory)
    history.add_user_message("hi")
    history.add_ai_message("hello")
    history.add_message(AIMessage("again"))
    history.add_messages([])
    assert [(type(m), m.content, m.id) for m in history.messages] == [
        (HumanMessage, "hi", None),
        (AIMessage, "hello", None),
        (AIMessage, "again", None),
    ]
    assert str(history) == "Human: hi\nAI: hello\nAI: again"


def test_chunks_are_kept_as_messages(memory: Memory) -> None:
    """What a stream left behind is read as a message."""
    history_of(memory).add_messages([AIMessageChunk("hello", id="run-1")])
    assert history_of(memory).messages == [AIMessage("hello", id="run-1")]


def test_the_same_message_is_not_doubled(memory: Memory) -> None:
    """Adding what is there already changes nothing; other content under a known id replaces the old in its place."""
    history = history_of(memory)
    history.add_messages(TURN)
    history.add_messages(TURN)
    history.add_messages(history.messages)
    assert history.messages == TURN
    history.add_messages([HumanMessage("Where is my bus?", id="h")])
    assert words(history.messages)[:2] == ["Be kind.", "Where is my bus?"]
    assert len(history.messages) == len(TURN)


def test_saying_the_same_twice_is_two_messages(memory: Memory) -> None:
    """Messages without ids are each kept, even when they are one object."""
    yes = HumanMessage("yes")
    history_of(memory).add_messages([yes, yes])
    assert words(history_of(memory).messages) == ["yes", "yes"]


def test_a_removal_leaves_what_it_names(memory: Memory) -> None:
    """A RemoveMessage is kept as one, beside the message that it names."""
    history = history_of(memory)
    history.add_messages([HumanMessage("hi", id="h"), RemoveMessage(id="h")])
    assert history.messages == [HumanMessage("hi", id="h"), RemoveMessage(id="h")]


def test_a_bad_batch_leaves_nothing(memory: Memory) -> None:
    """Where one message cannot be kept, none of its batch is, and the error says why."""
    history = history_of(memory)
    with pytest.raises(errors.InvalidMessage):
        history.add_messages([HumanMessage("x"), BaseMessage("y", type="odd")])
    assert history.messages == []


def test_sessions_and_owners_are_apart(memory: Memory) -> None:
    """A history shows its own session of its own owner and nothing else, and clears nothing else."""
    history_of(memory).add_user_message("mine")
    history_of(memory, "work").add_user_message("other session")
    bob = KeepwellChatMessageHistory("holiday", memory=memory, user_id="bob")
    agent = KeepwellChatMessageHistory("holiday", memory=memory, user_id="ada", agent_id="cook")
    assert bob.messages == agent.messages == []
    bob.add_user_message("bob's")
    history_of(memory).clear()
    assert history_of(memory).messages == []
    assert words(history_of(memory, "work").messages) == ["other session"]
    assert words(bob.messages) == ["bob's"]


async def test_a_window_is_of_whole_turns(memory: Memory) -> None:
    """A history of the last messages begins with what a person said, never with a result that lacks its call."""
    history_of(memory).add_messages([*TURN, HumanMessage("And back?", id="h2"), AIMessage("At nine.", id="c")])
    assert [one.id for one in history_of(memory, last=2).messages] == ["h2", "c"]
    assert [one.id for one in history_of(memory, last=4).messages] == ["h2", "c"]
    assert [one.id for one in await history_of(memory, last=6).aget_messages()] == ["h", "a", "t", "b", "h2", "c"]
    assert [one.id for one in history_of(memory, tokens=30).messages][-2:] == ["h2", "c"]
    with pytest.raises(errors.InvalidQuery, match="1 or more"):
        _ = history_of(memory, tokens=0, strict=True).messages


def test_clear_of_nothing_is_nothing(memory: Memory) -> None:
    """Clearing a session that was never written to does nothing, and it can be written to afterwards."""
    history = history_of(memory)
    history.clear()
    history.add_user_message("hi")
    history.clear()
    history.clear()
    history.add_user_message("again")
    assert words(history.messages) == ["again"]


def test_what_another_framework_wrote_is_read(memory: Memory) -> None:
    """Messages that came in by the core, and edits of them, are there for LangChain."""
    thread = memory.scope(user_id="ada").thread("holiday")
    thread.append(Message.user("hi", id="1"), Message.assistant("hello", id="2"))
    assert history_of(memory).messages == [HumanMessage("hi", id="1"), AIMessage("hello", id="2")]
    history_of(memory).add_messages([AIMessage("old", id="3", additional_kwargs={"k": 1})])
    thread.replace(thread.messages()[-1].model_copy(update={"parts": (TextPart(text="new"),)}))
    assert words(history_of(memory).messages)[-1] == "new"


def test_the_thread_is_at_hand(memory: Memory) -> None:
    """The history gives its thread, for windows and contexts that LangChain has no word for."""
    history = history_of(memory)
    history.add_messages(TURN)
    assert history.thread.messages(last=1)[0].id == "b"


def test_it_travels_without_its_store(memory: Memory) -> None:
    """A pickled history names its store and finds it again."""
    history_of(memory).add_user_message("hi")
    assert words(pickle.loads(pickle.dumps(history_of(memory))).messages) == ["hi"]  # noqa: S301 - our own bytes


def test_ids_that_name_nobody_are_refused() -> None:
    """A history without an owner is refused at once, before any store is opened."""
    with pytest.raises(errors.InvalidScope):
        KeepwellChatMessageHistory("holiday")


def test_making_one_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store is looked up before the first use, because a factory makes a history for each turn."""

    def fail() -> Memory:
        raise AssertionError

    monkeypatch.setattr("langchain_keepwell.failopen.default_memory", fail)
    history = KeepwellChatMessageHistory("holiday", user_id="ada")
    with pytest.raises(AssertionError):
        _ = history.messages


async def test_the_default_store_serves_where_none_is_given(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a memory, the process's default store is used, either way."""
    monkeypatch.setattr("langchain_keepwell.failopen.default_memory", lambda: memory)
    KeepwellChatMessageHistory("holiday", user_id="ada").add_user_message("hi")
    assert words(await KeepwellChatMessageHistory("holiday", user_id="ada").aget_messages()) == ["hi"]
    assert words(history_of(memory).messages) == ["hi"]


def test_no_warning_and_no_weight() -> None:
    """Importing the package loads nothing of LangChain, and importing its history warns of nothing."""
    program = (
        "import sys, langchain_keepwell; assert not any(m.startswith('langchain_core') for m in sys.modules);"
        "langchain_keepwell.KeepwellChatMessageHistory('x', user_id='ada')"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


def test_the_face_is_what_it_says() -> None:
    """Every promised name is there, and an unknown one is an AttributeError."""
    assert set(langchain_keepwell.__all__) <= set(dir(langchain_keepwell))
    for name in langchain_keepwell.__all__:
        assert getattr(langchain_keepwell, name).__name__ == name
    with pytest.raises(AttributeError, match="KeepwellOracle"):
        _ = langchain_keepwell.KeepwellOracle


# Where the store fails


def test_what_cannot_be_written_is_held_and_written_later(
    memory: Memory, outage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Messages of an outage are read as if they were stored, say so once in the log, and are written with the next."""
    history_of(memory).add_user_message("one")
    outage.begin()
    with caplog.at_level(logging.WARNING):
        history_of(memory).add_user_message("two")
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1
    history_of(memory).add_messages([AIMessage("three")])
    assert words(history_of(memory).messages) == ["two", "three"]
    assert memory.holding.held == 2
    outage.end()
    assert words(history_of(memory).messages) == ["one", "two", "three"]
    assert memory.status().held == 2
    history_of(memory).add_user_message("four")
    assert memory.status().held == 0
    assert words(history_of(memory).messages) == ["one", "two", "three", "four"]
    assert [message.text for message in history_of(memory).thread.messages()] == ["one", "two", "three", "four"]


async def test_held_messages_asynchronously(memory: Memory, outage: Any) -> None:
    """The asynchronous way holds, shows and writes later just the same."""
    outage.begin()
    await history_of(memory).aadd_messages([HumanMessage("one")])
    assert words(await history_of(memory).aget_messages()) == ["one"]
    outage.end()
    await history_of(memory).aadd_messages([AIMessage("two")])
    assert words(await history_of(memory).aget_messages()) == ["one", "two"]
    assert memory.holding.held == 0


def test_what_is_held_belongs_to_its_session(memory: Memory, outage: Any) -> None:
    """Held messages of one session show in no other, and a write to another leaves them waiting."""
    outage.begin()
    history_of(memory).add_user_message("mine")
    assert history_of(memory, "work").messages == []
    assert KeepwellChatMessageHistory("holiday", memory=memory, user_id="bob").messages == []
    outage.end()
    history_of(memory, "work").add_user_message("work")
    assert memory.holding.held == 1


def test_an_unreadable_history_says_so_once(memory: Memory, outage: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A read that fails gives what is held and one line in the log."""
    history_of(memory).add_user_message("one")
    outage.begin()
    with caplog.at_level(logging.WARNING, "langchain_keepwell"):
        assert history_of(memory).messages == []
    assert ["cannot be read" in record.getMessage() for record in caplog.records] == [True]


def test_clear_drops_what_is_held_and_never_pretends(memory: Memory, outage: Any) -> None:
    """A clear that the store refuses raises, strict or not; one that succeeds takes the held messages along."""
    history_of(memory).add_user_message("one")
    outage.begin()
    history_of(memory).add_user_message("two")
    with pytest.raises(errors.StoreUnavailable):
        history_of(memory).clear()
    assert memory.holding.held == 1
    outage.end()
    history_of(memory).clear()
    assert memory.holding.held == 0
    assert history_of(memory).messages == []


async def test_strict_raises(memory: Memory, outage: Any) -> None:
    """A strict history raises each failure and holds nothing."""
    history = history_of(memory, strict=True)
    outage.begin()
    with pytest.raises(errors.StoreUnavailable):
        history.add_user_message("x")
    with pytest.raises(errors.StoreUnavailable):
        await history.aadd_messages([HumanMessage("x")])
    with pytest.raises(errors.StoreUnavailable):
        _ = history.messages
    with pytest.raises(errors.StoreUnavailable):
        await history.aget_messages()
    assert memory.holding.held == 0
    outage.end()
    await history.aadd_messages([HumanMessage("y")])
    history.add_user_message("z")
    assert words(history.messages) == ["y", "z"]


def test_a_wrong_call_is_raised_and_not_held(memory: Memory, outage: Any) -> None:
    """What would fail each time is an error at once, strict or not."""
    outage.begin(errors.InvalidMessage("never"))
    with pytest.raises(errors.InvalidMessage):
        history_of(memory).add_user_message("x")
    assert memory.holding.held == 0


# With LangChain's own runnable


def with_history(runnable: Any, memory: Memory, **options: Any) -> RunnableWithMessageHistory:
    """Wrap a runnable as LangChain's documentation does, past its own deprecation."""

    def of_session(session_id: str) -> BaseChatMessageHistory:
        return history_of(memory, session_id)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return RunnableWithMessageHistory(runnable, of_session, **options)


def says(*answers: str) -> GenericFakeChatModel:
    """Give a model that says these, one after the other."""
    return GenericFakeChatModel(messages=iter(AIMessage(answer) for answer in answers))


def prompted(*answers: str) -> Any:
    """Give a chain with a place for the history in its prompt."""
    prompt = ChatPromptTemplate([("system", "Be kind."), MessagesPlaceholder("past"), ("human", "{question}")])
    return prompt | says(*answers)


CONFIG: Any = {"configurable": {"session_id": "holiday"}}


async def test_a_model_with_history(memory: Memory) -> None:
    """A bare model keeps its turns, invoked, streamed or asynchronous."""
    chain = with_history(says("one", "two words", "three"), memory)
    chain.invoke([HumanMessage("1")], CONFIG)
    assert "".join(chunk.content for chunk in chain.stream([HumanMessage("2")], CONFIG)) == "two words"
    await chain.ainvoke([HumanMessage("3")], CONFIG)
    messages = history_of(memory).messages
    assert words(messages) == ["1", "one", "2", "two words", "3", "three"]
    assert {type(message) for message in messages} == {HumanMessage, AIMessage}


async def test_a_chain_with_history(memory: Memory) -> None:
    """A chain with a prompt sees the past in its place and keeps its turns."""
    keys: Any = {"input_messages_key": "question", "history_messages_key": "past"}
    chain = with_history(prompted("hello", "Ada"), memory, **keys)
    chain.invoke({"question": "I am Ada."}, CONFIG)
    await chain.ainvoke({"question": "Who am I?"}, CONFIG)
    assert words(history_of(memory).messages) == ["I am Ada.", "hello", "Who am I?", "Ada"]


def test_a_factory_with_two_ids(memory: Memory) -> None:
    """User and session may both come from the configuration."""

    def of_both(user_id: str, session_id: str) -> BaseChatMessageHistory:
        return KeepwellChatMessageHistory(session_id, memory=memory, user_id=user_id)

    fields = [ConfigurableFieldSpec(id=name, annotation=str) for name in ("user_id", "session_id")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        chain = RunnableWithMessageHistory(says("hi", "hi"), of_both, history_factory_config=fields)
    for user in ("ada", "bob"):
        chain.invoke([HumanMessage(user)], {"configurable": {"user_id": user, "session_id": "holiday"}})
    assert words(history_of(memory).messages) == ["ada", "hi"]


def test_a_chain_goes_on_through_an_outage(memory: Memory, outage: Any) -> None:
    """While the store is away the conversation goes on with what is held, and nothing of it is missing afterwards."""
    keys: Any = {"input_messages_key": "question", "history_messages_key": "past"}
    chain = with_history(prompted("a", "b", "c", "d"), memory, **keys)
    chain.invoke({"question": "1"}, CONFIG)
    outage.begin()
    chain.invoke({"question": "2"}, CONFIG)
    chain.invoke({"question": "3"}, CONFIG)
    outage.end()
    chain.invoke({"question": "4"}, CONFIG)
    assert words(history_of(memory).messages) == ["1", "a", "2", "b", "3", "c", "4", "d"]
    assert memory.holding.held == 0
