"""A history that is replaced or ended: what is hidden, what is forgotten, and who still finds it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

from keepwell import Memory, ScopedThread, errors
from llama_index.memory.keepwell import KeepwellMemory
from llama_index.memory.keepwell.epochs import HIDDEN, PINNED, Hidden

Make = Callable[..., KeepwellMemory]
PEANUTS = "I can't eat peanuts."
QUESTION = "which peanuts may I eat?"


def user(text: str) -> ChatMessage:
    """Give a person's message."""
    return ChatMessage(role="user", content=text)


def assistant(text: str) -> ChatMessage:
    """Give a model's message."""
    return ChatMessage(role="assistant", content=text)


def talk(letters: str) -> list[ChatMessage]:
    """Give a conversation of single letters, a person's and a model's by turns."""
    return [user(one) if place % 2 == 0 else assistant(one) for place, one in enumerate(letters)]


def contents(messages: list[ChatMessage]) -> str:
    """Give the words of messages, one after the other."""
    return "".join(str(message.content) for message in messages)


@pytest.fixture
def make(memory: Memory) -> Make:
    """Give a function that makes memories of one session, or another, in one store."""
    return lambda **options: KeepwellMemory.from_defaults(
        **{"memory": memory, "user_id": "ada", "session_id": "s", **options}
    )


@pytest.fixture
def chat(make: Make) -> KeepwellMemory:
    """Give the memory of a new session that recalls nothing."""
    return make(recall_limit=0)


@pytest.fixture
def thread(memory: Memory) -> ScopedThread:
    """Give the thread of the session as the record has it."""
    return memory.scope(user_id="ada").thread("s")


def record(thread: ScopedThread) -> str:
    """Give all words of a thread, hidden or not."""
    return "".join(message.text for message in thread.messages())


# Replaced


@pytest.mark.parametrize("awaited", [False, True])
async def test_what_is_replaced_is_kept_in_the_record(
    chat: KeepwellMemory, make: Make, thread: ScopedThread, *, awaited: bool
) -> None:
    """The old messages are there, nobody sees them in the conversation, and every worker sees the same one."""
    chat.put_messages(talk("abcd"))
    await chat.aset(talk("xy")) if awaited else chat.set(talk("xy"))
    assert record(thread) == "abcdxy"
    for one in (chat, make(recall_limit=0)):
        assert contents(one.get_all()) == contents(one.get()) == contents(await one.aget()) == "xy"
    chat.put_messages([user("z")])
    assert contents(make(recall_limit=0).get()) == "xyz"


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ("abcd", "abcdef", "abcdef"),
        ("abcd", "cdef", "abcdef"),
        ("abcd", "ab", "abcd"),
        ("abcd", "abxy", "abcdxy"),
        ("abcd", "abcd", "abcd"),
        ("abcd", "bcd", "abcd"),
        ("abcd", "", "abcd"),
        ("", "ab", "ab"),
    ],
    ids=["gone on", "the newest and more", "taken back", "another end", "the same", "the newest", "nothing", "first"],
)
def test_only_what_is_new_is_written(
    chat: KeepwellMemory, thread: ScopedThread, before: str, after: str, kept: str
) -> None:
    """What both histories have stays as it is, with its identity; nothing is doubled in the record."""
    whole = talk("abcdefxy")
    said = {str(message.content): message for message in whole}
    chat.set([said[one] for one in before])
    idents = {message.text: message.id for message in thread.messages()}
    chat.set([said[one] for one in after])
    assert contents(chat.get_all()) == contents(chat.get()) == after
    assert record(thread) == kept
    assert {message.text: message.id for message in thread.messages()}.items() >= idents.items()


def test_instructions_and_the_newest_messages(chat: KeepwellMemory, thread: ScopedThread) -> None:
    """An application that passes its instruction and the newest messages has neither stored again."""
    brief = ChatMessage(role="system", content="!")
    chat.set([brief, *talk("abcd")])
    chat.set([brief, *talk("abcd")[2:], user("e")])
    assert contents(chat.get_all()) == contents(chat.get()) == "!cde"
    assert record(thread) == "!abcde"


def test_history_after_history(chat: KeepwellMemory, thread: ScopedThread) -> None:
    """Each replacement begins a new epoch, and the noted spans stay few."""
    for turn in range(12):
        chat.set([*chat.get_all()[-4:], user(f"q{turn}"), assistant(f"a{turn}")])
    assert contents(chat.get_all()) == "q9a9q10a10q11a11"
    known = thread.info()
    assert known is not None
    assert Hidden.of(known).spans == ((1, 18),)
    assert Hidden.of(known).epoch == 9


def test_words_that_were_hidden_can_be_said_again(chat: KeepwellMemory, thread: ScopedThread) -> None:
    """What is hidden is no part of the conversation, so that saying it again is no repetition."""
    chat.put(user("a"))
    chat.set([])
    chat.put(user("a"))
    assert (contents(chat.get_all()), record(thread)) == ("a", "aa")


def test_an_instruction_that_was_replaced_is_gone(chat: KeepwellMemory) -> None:
    """Instructions of an earlier epoch are not given any more, wherever they stood."""
    chat.put_messages([ChatMessage(role="system", content="1"), user("a")])
    chat.put_messages([ChatMessage(role="system", content="2"), user("b")])
    chat.set([user("c")])
    assert contents(chat.get()) == "c"


def test_other_conversations_recall_what_was_replaced(make: Make) -> None:
    """What was hidden in a conversation is not recalled in it, and can be recalled in others."""
    here, there = make(), make(session_id="t")
    here.put_messages([one for n in range(8) for one in (user(f"{PEANUTS} ({n})"), assistant(f"Noted: {n}."))])
    here.set([user(QUESTION)])
    assert here.get() == here.get_all() == [user(QUESTION)]
    there.put(user("May I eat peanuts?"))
    assert PEANUTS in str(there.get())
    elsewhere = make(session_id="kitchen")
    elsewhere.put_messages([user("Ada keeps peanuts in the kitchen."), assistant("Good.")])
    again = make()
    assert "Ada keeps peanuts" in str(again.get())
    assert PEANUTS not in str(again.get())


def test_histories_that_are_set_at_once(make: Make, memories: tuple[Memory, Memory]) -> None:
    """Of two histories that are set at once one is the conversation, whole, and nothing of the other is in it."""
    for number in range(5):
        both = [make(memory=one, session_id=f"s{number}", recall_limit=0) for one in memories]
        both[0].put_messages(talk("ab"))
        workers = [
            threading.Thread(target=one.set, args=(talk(letters),))
            for one, letters in zip(both, ("cdef", "uvwx"), strict=True)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert contents(both[0].get_all()) == contents(both[1].get()) in ("cdef", "uvwx")


def test_what_waits_to_be_written_is_part_of_the_history(
    chat: KeepwellMemory, memory: Memory, thread: ScopedThread
) -> None:
    """A message that is held and stays in the new history is written with it, in order."""
    a, b, c, d = talk("abcd")
    chat.put(a)
    chat.put(b)
    waiting = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id="s", recall_limit=0)
    record_of = memory._engine.record
    memory._engine.record = _Away()  # type: ignore[assignment]  # a record that fails
    waiting.put(c)
    memory._engine.record = record_of
    assert memory.holding.held == 1
    chat.set([c, d])
    assert (contents(chat.get_all()), memory.holding.held) == ("cd", 0)
    assert record(thread) == "abcd"


def test_what_waits_to_be_written_is_hidden_and_not_lost(make: Make, memory: Memory, thread: ScopedThread) -> None:
    """A message that is held when its history is replaced or ended is in the record afterwards."""
    chat = make(recall_limit=0, on_reset="hide")
    for end in (lambda: chat.set(talk("x")), chat.reset):
        chat.put(user("a"))
        record_of = memory._engine.record
        memory._engine.record = _Away()  # type: ignore[assignment]  # a record that fails
        chat.put(user("held"))
        memory._engine.record = record_of
        end()
        assert memory.holding.held == 0
        assert record(thread).endswith("heldx" if chat.get_all() else "held")
    assert chat.get_all() == []


class _Away:
    """A record that does not answer."""

    def __getattr__(self, name: str) -> Any:
        raise errors.StoreUnavailable("no server answers")


# Ended


@pytest.mark.parametrize("awaited", [False, True])
async def test_reset_can_hide(make: Make, thread: ScopedThread, *, awaited: bool) -> None:
    """With ``on_reset="hide"`` the session begins anew, its messages stay, and others can recall them."""
    chat = make(on_reset="hide")
    chat.put_messages([user(PEANUTS), assistant("Noted.")])
    await chat.areset() if awaited else chat.reset()
    assert chat.get_all() == chat.get() == []
    assert len(thread.messages()) == 2
    chat.put(user(QUESTION))
    assert chat.get() == [user(QUESTION)]
    other = make(session_id="t")
    other.put(user(QUESTION))
    assert PEANUTS in str(other.get())
    await chat.areset() if awaited else chat.reset()
    assert chat.get_all() == []


@pytest.mark.parametrize("awaited", [False, True])
async def test_reset_can_purge(make: Make, thread: ScopedThread, *, awaited: bool) -> None:
    """With ``on_reset="purge"`` all is forgotten, what was hidden before as well; nobody can recall it."""
    chat = make(on_reset="purge")
    chat.put_messages([user(PEANUTS), assistant("Noted.")])
    chat.set([user("something else")])
    await chat.areset() if awaited else chat.reset()
    assert (chat.get_all(), thread.info()) == ([], None)
    other = make(session_id="t")
    other.put(user(QUESTION))
    assert other.get() == [user(QUESTION)]


def test_how_to_reset_travels(make: Make) -> None:
    """What reset does is one of the fields that are written out."""
    assert KeepwellMemory.from_dict(make(on_reset="hide").to_dict()).on_reset == "hide"


async def test_resetting_what_is_not_there(make: Make) -> None:
    """A session that was never written is left at that, on either way."""
    for chat in (make(on_reset="hide"), make(on_reset="purge")):
        chat.reset()
        await asyncio.gather(chat.areset(), chat.areset())
        assert chat.get_all() == []


# What is noted


def test_a_foreign_note_hides_nothing(chat: KeepwellMemory, thread: ScopedThread) -> None:
    """Metadata of somebody else under our key does not cost the conversation."""
    chat.put_messages(talk("ab"))
    for noted in ("x", 3, {"spans": 3, "epoch": 1}, {"spans": [[1]], "epoch": 1}, {"epoch": "x"}, [1]):
        thread.update(metadata={HIDDEN: noted, PINNED: noted})
        assert contents(chat.get()) == contents(chat.get_all()) == "ab"
