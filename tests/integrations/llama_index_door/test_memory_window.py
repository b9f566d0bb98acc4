"""What a model is shown of a long conversation, of one that others change, and of one with spoilt rows."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from itertools import takewhile
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, CitableBlock, MessageRole, TextBlock

from keepwell import Memory, Message, Owner, ScopedThread, Thread, ToolCall, ToolCallPart
from llama_index.memory.keepwell import KeepwellMemory
from llama_index.memory.keepwell.epochs import PINNED
from llama_index.memory.keepwell.turns import repaired
from llama_index.memory.keepwell.window import Entry, Window

Make = Callable[..., KeepwellMemory]


def user(text: str) -> ChatMessage:
    """Give a person's message."""
    return ChatMessage(role="user", content=text)


def assistant(text: str) -> ChatMessage:
    """Give a model's message."""
    return ChatMessage(role="assistant", content=text)


def system(text: str) -> ChatMessage:
    """Give an instruction."""
    return ChatMessage(role="system", content=text)


def contents(messages: list[ChatMessage]) -> list[str | None]:
    """Give the words of each message."""
    return [message.content for message in messages]


def words(text: str) -> int:
    """Count tokens so that a person can check them."""
    return len(text.split())


@pytest.fixture
def make(open_memory: Callable[..., Memory]) -> Make:
    """Give a function that makes memories of one session whose tokens are words, and which recall nothing."""
    memory = open_memory(token_counter=words)
    return lambda **options: KeepwellMemory.from_defaults(
        **{"memory": memory, "user_id": "ada", "session_id": "s", "recall_limit": 0, **options}
    )


@pytest.fixture
def chat(make: Make) -> KeepwellMemory:
    """Give the memory of a session."""
    return make()


@pytest.fixture
def thread(chat: KeepwellMemory) -> ScopedThread:
    """Give the thread of the session, as another program would have it."""
    return chat._open().scope(user_id="ada").thread("s")


# Others change the conversation


async def test_what_others_do_is_seen_at_once(chat: KeepwellMemory, make: Make, thread: ScopedThread) -> None:
    """A message that another object or program puts, edits, deletes or forgets is so at the very next look."""
    chat.put_messages([user("a"), assistant("b")])
    assert contents(chat.get()) == ["a", "b"]
    make().put(user("c"))
    assert contents(chat.get()) == ["a", "b", "c"]
    first, second, _ = thread.messages()
    thread.replace(Message.user("A", id=first.id))
    assert contents(await chat.aget()) == ["A", "b", "c"]
    thread.delete(second)
    assert contents(chat.get()) == ["A", "c"]
    chat.put(assistant("d"))
    make().put(user("e"))
    chat.put(assistant("f"))
    assert contents(chat.get()) == ["A", "c", "d", "e", "f"] == contents(make().get())
    make().set([user("x")])
    chat.put(assistant("y"))
    assert contents(chat.get()) == ["x", "y"]
    thread.scope.forget(thread)
    assert chat.get() == []
    chat.put(user("new"))
    assert contents(chat.get()) == ["new"]


def test_one_object_serves_session_after_session(chat: KeepwellMemory) -> None:
    """A session id that is assigned is another conversation from then on."""
    chat.put(user("a"))
    assert contents(chat.get()) == ["a"]
    chat.session_id = "t"
    assert chat.get() == []
    chat.put(user("b"))
    chat.session_id = "s"
    assert contents(chat.get()) == ["a"]


async def test_a_step_that_two_repeat_at_once_is_stored_once(memories: tuple[Memory, Memory]) -> None:
    """Two servers that resume one workflow at the same moment do not double what it puts."""
    for number in range(10):
        both = [
            KeepwellMemory.from_defaults(memory=one, user_id="ada", session_id=f"s{number}", recall_limit=0)
            for one in memories
        ]
        await asyncio.gather(*(one.aput(user("question")) for one in both))
        turn = [assistant("thinking"), assistant("answer")]
        await asyncio.gather(*(one.aput_messages(turn) for one in both))
        assert contents(both[0].get_all()) == ["question", "thinking", "answer"]


# Long conversations


def test_a_long_history_is_read_as_far_as_it_is_needed(make: Make) -> None:
    """Windows of every size are the same, whether an object read them or its own messages came one by one."""
    grown = make(token_limit=600)
    grown.put(system("be brief"))
    for turn in range(150):
        grown.put_messages([user(f"question {turn}"), assistant(f"answer {turn}")])
        if turn % 30 == 0:
            assert contents(grown.get()) == contents(make(token_limit=600).get())
    for limit in (1, 30, 300, 600):
        read = make(token_limit=limit).get()
        assert contents(read) == contents(make(token_limit=5_000).get(initial_token_count=5_000 - limit))
        assert (read[0].content, read[-1].content) == ("be brief", "answer 149")
    assert len(grown.get_all()) == 301


def test_a_turn_that_does_not_fit_is_cut_between_steps(make: Make) -> None:
    """Of a newest turn over the limit the question stays, and the newest steps, each whole."""
    chat = make(token_limit=60)
    chat.put(user("the question"))
    steps = [Message.assistant(f"step {n} " + "word " * 6) for n in range(20)]
    chat.put_messages([assistant(message.text) for message in steps])
    window = chat.get()
    assert window[0].content == "the question"
    assert contents(window[1:]) == [message.text for message in steps[-len(window) + 1 :]]
    assert 40 <= sum(4 + words(message.content or "") for message in window) <= 60


def test_what_is_cited_counts(make: Make) -> None:
    """A document that was given for citing takes room as its words do."""
    chat = make(token_limit=100)
    book = CitableBlock(title="t", source="s", content=[TextBlock(text="word " * 500)])
    chat.put_messages([ChatMessage(blocks=[book]), assistant("read"), user("new")])
    assert contents(chat.get()) == ["new"]


def test_only_so_many_instructions_are_pinned(chat: KeepwellMemory, thread: ScopedThread) -> None:
    """The note of instructions stays small; the newest are in it."""
    chat.put(user("a"))
    for number in range(40):
        chat.put(system(f"rule {number}"))
    known = thread.info()
    assert known is not None
    idents = {message.id: message.text for message in thread.messages()}
    assert [idents[one] for one in known.metadata[PINNED]] == [f"rule {number}" for number in range(8, 40)]


# Rows that cannot be read


@pytest.mark.parametrize("place", [1, 2, 90, 199, 200])
def test_a_spoilt_row_costs_its_own_words_only(
    make: Make, admin_dsn: str, caplog: pytest.LogCaptureFixture, place: int
) -> None:
    """A row that a later version wrote, or a broken program, is words in brackets; the log says so, once."""
    chat = make()
    chat.put_messages([one for n in range(100) for one in (user(f"q{n}"), assistant(f"a{n}"))])
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(
            'update keepwell.message set body = \'{"parts": [{"type": "hologram"}]}\' where seq = %s', [place]
        )
    words_of = [text for n in range(100) for text in (f"q{n}", f"a{n}")]
    words_of[place - 1] = f"[message {place} of this conversation cannot be read]"
    with caplog.at_level(logging.WARNING):
        for one in (chat, make()):
            assert contents(one.get()) == contents(one.get_all()) == words_of
        chat.put(user("and now?"))
        chat.put(user("and now?"))
        assert contents(make().get()) == [*words_of, "and now?"]
        chat.set(chat.get_all())
        chat.set([*chat.get_all()[-3:], assistant("so")])
    assert contents(chat.get_all()) == [*words_of[-2:], "and now?", "so"]
    assert len([line for line in caplog.messages if "cannot be read" in line]) <= 1


def test_a_spoilt_row_does_not_cost_a_recall(make: Make, admin_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where what was recalled cannot be read, the conversation goes on without it; a strict memory raises."""
    make(session_id="t").put(user("I can't eat peanuts."))
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute('update keepwell.message set body = \'{"parts": [{"type": "hologram"}]}\'')
    chat = make(recall_limit=5)
    chat.put(user("which peanuts may I eat?"))
    with caplog.at_level(logging.WARNING):
        assert contents(chat.get()) == ["which peanuts may I eat?"]
    assert "nothing is recalled" in caplog.text
    with pytest.raises(KeyError):
        make(recall_limit=5, strict=True).get()


# Any conversation

ROLES = st.sampled_from(["user", "assistant", "tool", "system", "developer", "calling"])
ROWS = st.lists(st.tuples(ROLES, st.integers(1, 40), st.integers(0, 3)), max_size=30)


def _thread() -> Thread:
    moment = dt.datetime.now(dt.UTC)
    return Thread("s", uuid4(), Owner("ada", "", ""), None, {}, moment, moment, 99, 99)


def _entry(role: str, tokens: int, call: int, place: int) -> Entry:
    fields: dict[str, Any] = {"id": f"m{place}"}
    if role == "calling":
        call_of = ToolCall(id=f"c{call}", name="f")
        return Entry(Message(role="assistant", parts=(ToolCallPart(index=0),), tool_calls=(call_of,), **fields), tokens)
    if role == "tool":
        fields["tool_call_id"] = f"c{call}"
    return Entry(Message(role=role, **fields), tokens)


@given(rows=ROWS, room=st.integers(1, 300), whole=st.booleans())
def test_any_window(rows: list[tuple[str, int, int]], room: int, whole: bool) -> None:
    """Whatever was said: in order, within the limit if more than the least is given, a person first, calls paired."""
    entries = [_entry(role, tokens, call, place) for place, (role, tokens, call) in enumerate(rows)]
    window = Window(_thread(), tuple(entries), whole=whole)
    shown = window.newest(room)
    cost = {entry.message.id: entry.tokens for entry in entries}
    talk = [message for message in shown if message.role not in (MessageRole.SYSTEM, MessageRole.DEVELOPER)]
    places = [int(message.id[1:]) for message in talk]
    assert places == sorted(places)
    said = [entry.message for entry in entries if entry.message.role not in ("system", "developer")]
    if said and entries[-1].message in said:
        assert talk[-1] is said[-1]
    if any(message.role == "user" for message in said) and not (whole and sum(cost.values()) <= room):
        assert talk[0].role == "user"
    ready = repaired(shown)
    for place, message in enumerate(ready[:-1]):
        answers = [one.tool_call_id for one in takewhile(lambda one: one.role == "tool", ready[place + 1 :])]
        calls = [call.id for call in message.tool_calls]
        is_last = place + 1 + len(answers) == len(ready)
        assert message.role == "tool" or (set(answers) <= set(calls) if is_last else answers == calls)
    if sum(cost[message.id] for message in shown) > room:
        steps = [message for message in talk if message.role not in ("tool", "user")]
        assert len(steps) <= 1 or _is_least(talk)


def _is_least(talk: list[Message]) -> bool:
    """Tell whether this is a turn's beginning and one step: nothing could be left out."""
    rest = talk[1:] if talk[0].role == "user" else talk
    return all(message.role == "tool" for message in rest[1:])
