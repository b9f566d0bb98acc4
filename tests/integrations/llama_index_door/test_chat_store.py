"""LlamaIndex's chat stores on a store of ours: what its memories may rely on."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer
from llama_index.core.memory import Memory as StockMemory
from llama_index.core.memory.memory import BaseMemoryBlock
from llama_index.core.storage.chat_store import BaseChatStore
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

from keepwell import Memory, Message, errors
from llama_index.memory.keepwell import KeepwellBufferChatStore, KeepwellChatStore

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED

takes_stores = pytest.mark.skipif(
    "chat_store" not in inspect.signature(StockMemory.from_defaults).parameters,
    reason="not available here: this LlamaIndex's Memory takes no chat_store (0.14.24 does)",
)


class Away:
    """A record that does not answer."""

    def read(self, query: Any) -> Any:
        """Fail."""
        raise errors.StoreUnavailable("no server answers")

    def write(self, change: Any, connection: Any = None) -> Any:
        """Fail."""
        raise errors.StoreUnavailable("no server answers")


def user(text: str) -> ChatMessage:
    """Give a person's message."""
    return ChatMessage(role="user", content=text)


def assistant(text: str) -> ChatMessage:
    """Give a model's message."""
    return ChatMessage(role="assistant", content=text)


def said(*texts: str) -> list[ChatMessage]:
    """Give messages of a person."""
    return [user(text) for text in texts]


def contents(messages: list[ChatMessage]) -> list[str | None]:
    """Give the words of each message."""
    return [message.content for message in messages]


@pytest.fixture
def store(memory: Memory) -> KeepwellChatStore:
    """Give the chat store of Ada."""
    return KeepwellChatStore(memory, user_id="ada")


@pytest.fixture
def buffer(memory: Memory) -> KeepwellBufferChatStore:
    """Give the older chat store of Ada."""
    return KeepwellBufferChatStore(memory, user_id="ada")


# The contract of the newer one


def test_they_are_chat_stores_of_llama_index(store: KeepwellChatStore, buffer: KeepwellBufferChatStore) -> None:
    """Each is what LlamaIndex's memories ask for, and never counts as absent: another would be put in its place."""
    assert isinstance(store, AsyncDBChatStore)
    assert isinstance(buffer, BaseChatStore)
    assert bool(store)
    assert bool(buffer)
    assert (store.class_name(), buffer.class_name()) == ("KeepwellChatStore", "KeepwellBufferChatStore")


async def test_messages_come_back_in_order(store: KeepwellChatStore) -> None:
    """What is added one by one and in batches is given in that order, and counted."""
    assert await store.get_messages("trip") == []
    assert await store.count_messages("trip") == 0
    await store.add_message("trip", user("a"))
    await store.add_messages("trip", said("b", "c"))
    assert contents(await store.get_messages("trip")) == ["a", "b", "c"]
    assert await store.count_messages("trip") == 3


async def test_pages(store: KeepwellChatStore) -> None:
    """``limit`` and ``offset`` count from the oldest."""
    await store.add_messages("trip", said("a", "b", "c", "d"))
    assert contents(await store.get_messages("trip", limit=2)) == ["a", "b"]
    assert contents(await store.get_messages("trip", offset=1)) == ["b", "c", "d"]
    assert contents(await store.get_messages("trip", limit=2, offset=1)) == ["b", "c"]
    assert await store.get_messages("trip", limit=0) == []
    assert await store.get_messages("trip", offset=9) == []


async def test_an_empty_batch_is_safe(store: KeepwellChatStore) -> None:
    """Nothing added is nothing done, and no error."""
    await store.add_messages("trip", [])
    assert await store.get_keys() == []
    await store.add_messages("trip", said("a"))
    await store.add_messages("trip", [], status=ARCHIVED)
    assert contents(await store.get_messages("trip", status=None)) == ["a"]


async def test_messages_come_back_exactly(store: KeepwellChatStore) -> None:
    """Blocks, bytes and what stands beside them are as they were put in."""
    messages = [
        ChatMessage(
            role="user", blocks=[TextBlock(text="look"), ImageBlock(image=b"\x00\xff", image_mimetype="image/png")]
        ),
        ChatMessage(
            role="assistant", content="", additional_kwargs={"thought_signatures": [b"\x01\xfe"], "n": float("inf")}
        ),
        ChatMessage(role="tool", content="odd \x00 \ud800", additional_kwargs={"tool_call_id": "c1", "pair": (1, 2)}),
    ]
    await store.add_messages("trip", messages)
    assert await store.get_messages("trip") == messages


async def test_copies_go_in_and_out(store: KeepwellChatStore) -> None:
    """Changing what was given, or what was put in, does not change what is stored."""
    message = user("a")
    await store.add_message("trip", message)
    message.blocks[0].text = "changed"  # type: ignore[union-attr]
    (given,) = await store.get_messages("trip")
    given.additional_kwargs["session_id"] = "x"
    given.blocks[0].text = "changed"  # type: ignore[union-attr]
    assert await store.get_messages("trip") == [user("a")]


async def test_what_is_archived_is_set_aside_and_kept(store: KeepwellChatStore) -> None:
    """The oldest are archived and given back; the others stay active; all are still there."""
    await store.add_messages("trip", said("a", "b", "c", "d"))
    assert contents(await store.archive_oldest_messages("trip", 2)) == ["a", "b"]
    assert contents(await store.get_messages("trip")) == ["c", "d"]
    assert contents(await store.get_messages("trip", status=ARCHIVED)) == ["a", "b"]
    assert contents(await store.get_messages("trip", status=None)) == ["a", "b", "c", "d"]
    counts = [await store.count_messages("trip", status) for status in (ACTIVE, ARCHIVED, None)]
    assert counts == [2, 2, 4]
    assert contents(await store.archive_oldest_messages("trip", 1)) == ["c"]
    assert contents(await store.archive_oldest_messages("trip", 9)) == ["d"]
    assert await store.archive_oldest_messages("trip", 1) == []
    await store.add_message("trip", user("e"))
    assert contents(await store.get_messages("trip")) == ["e"]


async def test_messages_can_be_archived_as_they_come(store: KeepwellChatStore) -> None:
    """A message may be added as archived, between active ones."""
    await store.add_messages("trip", said("a", "b"))
    await store.add_messages("trip", said("c", "d"), status=ARCHIVED)
    await store.add_message("trip", user("e"))
    assert contents(await store.get_messages("trip")) == ["a", "b", "e"]
    assert contents(await store.get_messages("trip", status=ARCHIVED)) == ["c", "d"]
    assert await store.count_messages("trip", ARCHIVED) == 2
    assert contents(await store.archive_oldest_messages("trip", 3)) == ["a", "b", "e"]
    assert contents(await store.get_messages("trip", status=ARCHIVED)) == ["a", "b", "c", "d", "e"]


async def test_archiving_what_is_not_there(store: KeepwellChatStore) -> None:
    """A conversation that was never written has nothing to archive or delete."""
    assert await store.archive_oldest_messages("trip", 3) == []
    assert await store.delete_oldest_messages("trip", 3) == []
    assert await store.delete_message("trip", 0) is None
    await store.delete_messages("trip")
    await store.delete_messages("trip", ARCHIVED)


async def test_a_history_is_replaced(store: KeepwellChatStore) -> None:
    """``set_messages`` replaces active and archived messages alike, and nothing of the old ones is left."""
    await store.add_messages("trip", said("a", "b", "c"))
    await store.archive_oldest_messages("trip", 1)
    await store.set_messages("trip", said("x", "y"))
    assert contents(await store.get_messages("trip", status=None)) == ["x", "y"]
    assert contents(await store.get_messages("trip")) == ["x", "y"]
    await store.set_messages("trip", said("z"), status=ARCHIVED)
    assert contents(await store.get_messages("trip", status=ARCHIVED)) == ["z"]
    await store.set_messages("trip", [])
    assert await store.get_messages("trip", status=None) == []
    assert await store.get_keys() == []


async def test_what_a_new_history_begins_with_stays(store: KeepwellChatStore, memory: Memory) -> None:
    """A history that goes on is not written anew: its messages keep their ids and their place."""
    await store.set_messages("trip", [user("a"), assistant("b")])
    before = memory.scope(user_id="ada").thread("trip").messages()
    await store.set_messages("trip", [user("a"), assistant("b"), user("c")])
    after = memory.scope(user_id="ada").thread("trip").messages()
    assert [(m.id, m.seq) for m in after[:2]] == [(m.id, m.seq) for m in before]
    assert contents(await store.get_messages("trip")) == ["a", "b", "c"]


async def test_setting_a_history_is_atomic(store: KeepwellChatStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replacement that fails half-way leaves the old history."""
    await store.add_messages("trip", said("a", "b"))
    with monkeypatch.context() as patch:
        patch.setattr(
            "keepwell.ScopedThread.append", lambda *_, **__: (_ for _ in ()).throw(errors.StoreFailed("full"))
        )
        with pytest.raises(errors.StoreFailed):
            await store.set_messages("trip", said("x"))
    assert contents(await store.get_messages("trip")) == ["a", "b"]


async def test_single_messages_are_deleted_by_place(store: KeepwellChatStore) -> None:
    """A place counts in what is given; the deleted message comes back, and one that is not there is None."""
    await store.add_messages("trip", said("a", "b", "c", "d"))
    await store.archive_oldest_messages("trip", 1)
    gone = await store.delete_message("trip", 1)
    assert gone == user("c")
    assert await store.delete_message("trip", 9) is None
    assert await store.delete_message("trip", -1) is None
    assert contents(await store.delete_oldest_messages("trip", 1)) == ["b"]
    assert contents(await store.get_messages("trip", status=None)) == ["a", "d"]


async def test_deleting_by_status(store: KeepwellChatStore) -> None:
    """Active or archived messages go by themselves; without a status the whole conversation goes."""
    await store.add_messages("trip", said("a", "b", "c"))
    await store.archive_oldest_messages("trip", 1)
    await store.delete_messages("trip", ARCHIVED)
    assert contents(await store.get_messages("trip", status=None)) == ["b", "c"]
    await store.archive_oldest_messages("trip", 1)
    await store.delete_messages("trip", ACTIVE)
    assert contents(await store.get_messages("trip", status=None)) == ["b"]
    await store.delete_messages("trip")
    assert await store.get_messages("trip", status=None) == []
    assert await store.get_keys() == []


async def test_keys_are_those_of_the_owner(memory: Memory, store: KeepwellChatStore) -> None:
    """Keys are one owner's: not another person's, nor those of one of their agents."""
    await store.add_message("trip", user("a"))
    await store.add_message("o'brien; drop table", user("b"))
    await KeepwellChatStore(memory, user_id="bob").add_message("secret", user("c"))
    await KeepwellChatStore(memory, user_id="ada", agent_id="cook").add_message("kitchen", user("d"))
    assert sorted(await store.get_keys()) == ["o'brien; drop table", "trip"]
    assert await KeepwellChatStore(memory, user_id="bob").get_messages("trip") == []


def test_a_store_that_is_nobodys_is_refused(memory: Memory) -> None:
    """A chat store has an owner."""
    with pytest.raises(errors.InvalidScope):
        KeepwellChatStore(memory)
    with pytest.raises(errors.InvalidScope):
        KeepwellBufferChatStore(memory, user_id="")


async def test_a_row_that_cannot_be_read_hides_no_other(
    store: KeepwellChatStore, memory: Memory, admin_dsn: str
) -> None:
    """A message whose stored form is broken is named in its place; the rest of the conversation is given."""
    await store.add_messages(
        "trip", [user("a"), ChatMessage(role="user", content="b", additional_kwargs={"x": 1}), user("c")]
    )
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(
            """update keepwell.message set native = '{"kind": "llama_index", "version": "?", "data": {"seen": 7, "blocks": [9]}}' where seq = 2"""
        )
    given = await store.get_messages("trip")
    assert len(given) == 3
    assert (given[0], given[2]) == (user("a"), user("c"))


async def test_it_travels(store: KeepwellChatStore, memory: Memory) -> None:
    """It is written out as plain JSON with the store's name and no DSN, and pickled, and finds the store again."""
    await store.add_message("trip", user("a"))
    written = json.dumps(store.model_dump())
    assert "postgres" not in written
    again = KeepwellChatStore(**json.loads(written))
    unpickled: KeepwellChatStore = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert contents(await again.get_messages("trip")) == contents(await unpickled.get_messages("trip")) == ["a"]
    buffer: KeepwellBufferChatStore = pickle.loads(pickle.dumps(KeepwellBufferChatStore(memory, user_id="ada")))  # noqa: S301
    assert contents(buffer.get_messages("trip")) == ["a"]
    assert contents(KeepwellBufferChatStore.from_dict(buffer.to_dict()).get_messages("trip")) == ["a"]


async def test_the_conversation_is_everyones(store: KeepwellChatStore, memory: Memory) -> None:
    """The same conversation is read through every other door, archived messages included."""
    await store.add_messages("trip", [user("I can't eat peanuts."), assistant("Noted.")])
    await store.archive_oldest_messages("trip", 2)
    from llama_index.memory.keepwell import KeepwellMemory

    chat = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id="trip")
    assert contents(await chat.aget_all()) == ["I can't eat peanuts.", "Noted."]
    found = memory.scope(user_id="ada").recall("who can't eat peanuts?")
    assert found[0].text == "I can't eat peanuts."


async def test_what_another_door_has_hidden_is_not_shown(store: KeepwellChatStore, memory: Memory) -> None:
    """A history that ``KeepwellMemory`` replaced stays hidden here too: it is not given, counted or archived."""
    from llama_index.memory.keepwell import KeepwellMemory

    chat = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id="trip")
    await chat.aput_messages([user("a"), assistant("b")])
    await chat.aset([user("c")])
    await store.add_messages("trip", [assistant("d"), user("e")])
    assert contents(await store.get_messages("trip")) == ["c", "d", "e"]
    assert [await store.count_messages("trip", status) for status in (ACTIVE, ARCHIVED, None)] == [3, 0, 3]
    assert contents(await store.archive_oldest_messages("trip", 2)) == ["c", "d"]
    assert contents(await store.get_messages("trip")) == ["e"]
    assert contents(await store.get_messages("trip", status=None)) == ["c", "d", "e"]
    await store.set_messages("trip", said("f"))
    assert contents(await chat.aget_all()) == ["f"]


# Many workers


async def test_workers_that_saw_the_same_archive_it_once(memories: tuple[Memory, Memory]) -> None:
    """Two workers that read the same messages and both want the oldest away archive them once."""
    one, other = (KeepwellChatStore(memory, user_id="ada") for memory in memories)
    await one.add_messages("trip", said(*"abcdef"))

    async def worker(store: KeepwellChatStore, both_saw: asyncio.Barrier) -> list[str | None]:
        assert len(await store.get_messages("trip")) == 6
        await both_saw.wait()
        first = await store.archive_oldest_messages("trip", 1)
        return contents(first + await store.archive_oldest_messages("trip", 2))

    barrier = asyncio.Barrier(2)
    archived = await asyncio.gather(worker(one, barrier), worker(other, barrier))
    assert sorted([*archived[0], *archived[1]]) == ["a", "b", "c"]  # type: ignore[type-var]
    assert contents(await one.get_messages("trip")) == ["d", "e", "f"]


async def test_many_workers_add_and_replace(memories: tuple[Memory, Memory]) -> None:
    """Batches of many workers stay whole, nothing is lost, and a replacement is seen whole or not at all."""
    stores = [KeepwellChatStore(memory, user_id="ada") for memory in memories]
    await asyncio.gather(*(stores[n % 2].add_messages("trip", said(f"{n} a", f"{n} b")) for n in range(24)))
    words = contents(await stores[0].get_messages("trip"))
    assert sorted(words) == sorted(f"{n} {half}" for n in range(24) for half in "ab")  # type: ignore[type-var]
    for n in range(24):
        place = words.index(f"{n} a")
        assert words[place + 1] == f"{n} b"
    await asyncio.gather(*(stores[n % 2].set_messages("trip", said(*[f"{n}"] * 3)) for n in range(8)))
    assert len(set(contents(await stores[1].get_messages("trip")))) == 1
    assert await stores[1].count_messages("trip") == 3


@takes_stores
async def test_stock_memories_on_one_session_archive_no_more_than_needed(memories: tuple[Memory, Memory]) -> None:
    """Several of LlamaIndex's memories on one session never archive the whole window: the newest turn stays."""

    def stock(number: int) -> StockMemory:
        store = KeepwellChatStore(memories[number % 2], user_id="ada")
        return StockMemory.from_defaults(session_id="trip", token_limit=200, token_flush_size=40, chat_store=store)

    chats = [stock(number) for number in range(4)]
    for turn in range(6):
        await asyncio.gather(*(chat.aput(user(f"{turn} {place} " + "word " * 12)) for place, chat in enumerate(chats)))
        window = await chats[0].aget()
        assert window
        tokens = sum(chats[0]._estimate_token_count(message) for message in window)
        assert tokens > 140 - 3 * 40 - 20  # under 70 % of the limit less one flush, and one message
    everything = await chats[0].aget_all(status=None)
    assert len(everything) == 24


# In LlamaIndex's memories


class Gathering(BaseMemoryBlock[str]):
    """A block that keeps what is flushed into it."""

    got: list[str] = []  # noqa: RUF012 - pydantic copies it

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        return "gathered: " + ", ".join(self.got)

    async def _aput(self, messages: list[ChatMessage]) -> None:
        self.got += [message.content or "" for message in messages]


@takes_stores
async def test_the_stock_memory_works_on_it(store: KeepwellChatStore) -> None:
    """LlamaIndex's own memory keeps its window, flushes into its blocks and archives, all in our store."""
    block = Gathering(name="gathering")
    chat = StockMemory.from_defaults(
        session_id="trip", token_limit=100, token_flush_size=20, chat_store=store, memory_blocks=[block]
    )
    for turn in range(12):
        await chat.aput_messages([user(f"{turn} " + "word " * 6), assistant("fine")])
    window = await chat.aget()
    assert window[0].role == "system"
    assert "gathered: 0 word" in (window[0].content or "")
    assert window[1].role == "user"
    archived = await store.get_messages("trip", status=ARCHIVED)
    active = await store.get_messages("trip")
    assert len(archived) + len(active) == 24
    assert [text.split()[0] for text in block.got[::2]] == [str(n) for n in range(len(block.got) // 2)]
    await chat.areset()
    assert await chat.aget_all(status=None) == []


@takes_stores
def test_sync_calls_work_anywhere(store: KeepwellChatStore) -> None:
    """The stock memory's synchronous calls work from other threads, in a running loop, and after ``asyncio.run``."""
    chat = StockMemory.from_defaults(session_id="trip", chat_store=store)
    chat.put(user("a"))
    thread = threading.Thread(target=lambda: chat.put(user("b")))
    thread.start()
    thread.join()

    async def inside() -> None:
        chat.put(user("c"))
        await chat.aput(user("d"))

    asyncio.run(inside())
    asyncio.run(chat.aput(user("e")))
    assert contents(chat.get()) == ["a", "b", "c", "d", "e"]


@takes_stores
def test_a_history_can_be_given_at_the_start(store: KeepwellChatStore) -> None:
    """``chat_history`` becomes the conversation; an empty one empties it, as LlamaIndex means it."""
    chat = StockMemory.from_defaults(session_id="trip", chat_store=store, chat_history=[user("a"), assistant("b")])
    assert contents(chat.get()) == ["a", "b"]


# The older contract


def test_the_older_buffers_work_on_it(buffer: KeepwellBufferChatStore) -> None:
    """``ChatMemoryBuffer`` keeps its conversation in our store, and a new one goes on with it."""
    chat = ChatMemoryBuffer.from_defaults(chat_store=buffer, chat_store_key="trip", token_limit=1000)
    chat.put(user("a"))
    chat.put_messages([assistant("b"), user("c")])
    again = ChatMemoryBuffer.from_defaults(chat_store=buffer, chat_store_key="trip", token_limit=1000)
    assert contents(again.get()) == contents(again.get_all()) == ["a", "b", "c"]
    again.set([user("x")])
    assert contents(chat.get_all()) == ["x"]
    again.reset()
    assert chat.get_all() == []


async def test_the_older_buffers_await_it(buffer: KeepwellBufferChatStore) -> None:
    """The buffers' asynchronous calls do the same."""
    chat = ChatMemoryBuffer.from_defaults(chat_store=buffer, chat_store_key="trip", token_limit=1000)
    await chat.aput(user("a"))
    await chat.aput_messages([assistant("b")])
    assert contents(await chat.aget()) == contents(await chat.aget_all()) == ["a", "b"]
    await chat.aset([user("x")])
    assert contents(chat.get_all()) == ["x"]
    await chat.areset()
    assert await chat.aget_all() == []


def test_the_summary_buffer_works_on_it(buffer: KeepwellBufferChatStore) -> None:
    """``ChatSummaryMemoryBuffer`` takes it too, and writes back what it makes of the history."""
    chat = ChatSummaryMemoryBuffer.from_defaults(chat_store=buffer, chat_store_key="trip", token_limit=1000)
    chat.put(user("a"))
    chat.put(assistant("b"))
    assert contents(chat.get()) == ["a", "b"]
    assert contents(buffer.get_messages("trip")) == ["a", "b"]


def test_the_older_contract(buffer: KeepwellBufferChatStore) -> None:
    """Messages are set, added, and deleted by place, from the end and as a whole, and given back when they go."""
    assert buffer.get_messages("trip") == []
    assert buffer.delete_messages("trip") is None
    assert buffer.delete_last_message("trip") is None
    assert buffer.delete_message("trip", 0) is None
    buffer.set_messages("trip", said("a", "b"))
    buffer.add_message("trip", user("c"))
    buffer.add_message("walk", user("z"))
    assert buffer.get_keys() == ["trip", "walk"]
    assert buffer.delete_message("trip", 1) == user("b")
    assert buffer.delete_message("trip", 2) is None
    assert buffer.delete_last_message("trip") == user("c")
    assert buffer.delete_messages("trip") == [user("a")]
    assert buffer.get_keys() == ["walk"]


async def test_both_contracts_share_a_conversation(store: KeepwellChatStore, buffer: KeepwellBufferChatStore) -> None:
    """What one of them writes, the other reads; the older one sees archived messages too."""
    await store.add_messages("trip", said("a", "b"))
    await store.archive_oldest_messages("trip", 1)
    buffer.add_message("trip", user("c"))
    assert contents(buffer.get_messages("trip")) == ["a", "b", "c"]
    assert contents(await store.get_messages("trip")) == ["b", "c"]


# When the store is away


@pytest.fixture
def cut(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Callable[[], None]]:
    """Give a function that cuts the memory off from its store, and gives what mends it."""

    def cutting() -> Callable[[], None]:
        patch = pytest.MonkeyPatch()
        patch.setattr(memory._engine, "record", Away())
        return patch.undo

    return cutting


async def test_a_conversation_goes_on_without_its_store(
    store: KeepwellChatStore, memory: Memory, cut: Callable[[], Callable[[], None]], caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be written is held and given, said in the log, and written before the next message."""
    await store.add_message("trip", user("a"))
    mend = cut()
    await store.add_message("trip", user("b"))
    assert contents(await store.get_messages("trip")) == ["b"]
    assert await store.count_messages("trip") == 1
    assert await store.get_keys() == []
    assert "cannot be read" in caplog.text
    mend()
    assert contents(await store.get_messages("trip")) == ["a", "b"]
    assert memory.holding.held == 1
    await store.add_message("trip", user("c"))
    assert memory.holding.held == 0
    assert contents(await store.get_messages("trip")) == ["a", "b", "c"]


async def test_what_changes_a_history_always_raises(
    store: KeepwellChatStore, buffer: KeepwellBufferChatStore, cut: Callable[[], Callable[[], None]]
) -> None:
    """Replacing, archiving and deleting are done or raise, strict or not."""
    await store.add_messages("trip", said("a", "b"))
    mend = cut()
    for attempt in (
        store.set_messages("trip", said("x")),
        store.archive_oldest_messages("trip", 1),
        store.delete_messages("trip"),
        store.delete_oldest_messages("trip", 1),
        store.delete_message("trip", 0),
    ):
        with pytest.raises(errors.StoreUnavailable):
            await attempt
    with pytest.raises(errors.StoreUnavailable):
        buffer.delete_messages("trip")
    mend()
    assert contents(await store.get_messages("trip")) == ["a", "b"]


async def test_a_strict_store_raises(memory: Memory, cut: Callable[[], Callable[[], None]]) -> None:
    """With ``strict=True`` nothing is survived."""
    store = KeepwellChatStore(memory, user_id="ada", strict=True)
    await store.add_message("trip", user("a"))
    mend = cut()
    for attempt in (
        store.add_message("trip", user("b")),
        store.get_messages("trip"),
        store.count_messages("trip"),
        store.get_keys(),
    ):
        with pytest.raises(errors.StoreUnavailable):
            await attempt
    mend()
    assert contents(await store.get_messages("trip")) == ["a"]


async def test_a_message_of_another_framework_is_given(store: KeepwellChatStore, memory: Memory) -> None:
    """What was not written by LlamaIndex is given in its words, and may be a part of a history that is set."""
    memory.scope(user_id="ada").thread("trip").append(Message.user("a"), Message.assistant("b"))
    given = await store.get_messages("trip")
    assert contents(given) == ["a", "b"]
    await store.set_messages("trip", [*given, user("c")])
    assert contents(await store.get_messages("trip")) == ["a", "b", "c"]
