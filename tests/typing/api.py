"""The types of the public face, as a program that the type checker reads; nobody runs it.

`make check` fails where a verb gives another type than the one stated here.
"""

import datetime as dt
from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import psycopg
from psycopg_pool import ConnectionPool

from keepwell import (
    Context,
    Memory,
    Message,
    Messages,
    Receipt,
    Recollection,
    Recollections,
    ScopedMemory,
    ScopedThread,
    Status,
    Thread,
    Threads,
)


def opening(pool: ConnectionPool[psycopg.Connection[Any]]) -> None:
    """A memory opens by default, at a server, in a folder, or on a pool; and closes as a context does."""
    assert_type(Memory.open(), Memory)
    assert_type(Memory.open("postgresql://db/app", schema="agents", tenant="acme", require_rls=True), Memory)
    assert_type(Memory.open(path="memories", name="notes"), Memory)
    assert_type(Memory.open(pool=pool), Memory)
    with Memory.open() as memory:
        assert_type(memory, Memory)
        assert_type(memory.close(), None)


async def opening_on_a_loop() -> None:
    """The same, awaited."""
    assert_type(await Memory.aopen(), Memory)
    async with await Memory.aopen() as memory:
        assert_type(memory, Memory)
        assert_type(await memory.aclose(), None)


def narrowing(memory: Memory) -> None:
    """Each object is a view on the one before."""
    ada = memory.scope(user_id="ada", agent_id="cook", run_id="r1")
    assert_type(ada, ScopedMemory)
    assert_type(memory.scope(agent_id="cook", across_users=True), ScopedMemory)
    assert_type(ada.thread("holiday"), ScopedThread)
    assert_type(ada.thread("holiday").id, str)


def conversing(ada: ScopedMemory, chat: ScopedThread) -> None:
    """Writes give the messages as they were stored; reads give lists that show themselves."""
    said = Message.user("I can't eat peanuts.")
    assert_type(said, Message)
    assert_type(chat.append(said, Message.assistant("Noted."), idempotency_key="k"), Messages)
    assert_type(chat.messages(last=20), Messages)
    assert_type(chat.messages(since=dt.datetime.now(dt.UTC))[0], Message)
    assert_type(chat.window(tokens=500), Messages)
    assert_type(chat.around(said, before=1, after=1), Messages)
    assert_type(chat.iterate(batch=100), Iterator[Message])
    assert_type(chat.replace(said), Message)
    assert_type(chat.delete(said), int)
    assert_type(chat.info(), Thread | None)
    assert_type(ada.threads(where={"topic": "food"}, limit=5), Threads)
    assert_type(ada.threads()[0], Thread)
    assert_type(chat.clone("copy"), ScopedThread)
    assert_type(chat.move(to=ada), ScopedThread)


def recalling(ada: ScopedMemory, chat: ScopedThread) -> None:
    """A recall gives recollections, with why each came; a context is ready for a prompt."""
    found = ada.recall("what must I not cook?", limit=5, kinds=("message",), thread=chat, explain=True)
    assert_type(found, Recollections)
    for item in found:
        assert_type(item, Recollection)
        assert_type((item.score, item.text, item.why), tuple[float, str, str])
    assert_type(chat.recall("peanuts"), Recollections)
    prompt = chat.context("what should I cook?")
    assert_type(prompt, Context)
    assert_type((prompt.text, prompt.messages, prompt.tokens), tuple[str, tuple[Message, ...], int])


def forgetting(ada: ScopedMemory, chat: ScopedThread) -> None:
    """Forgetting gives a receipt."""
    assert_type(ada.forget(), Receipt)
    assert_type(ada.forget(chat), Receipt)
    assert_type(ada.forget(chat.messages(last=1)[0]), Receipt)


def tending(memory: Memory) -> None:
    """Operators' verbs."""
    assert_type(memory.status(), Status)
    assert_type(memory.reembed(), int)


def joining(memory: Memory, chat: ScopedThread, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """A write joins a transaction of the caller's, or one of the memory's."""
    chat.append(Message.user("hello"), connection=connection)
    with memory.transaction() as tx:
        chat.append(Message.user("hello"), connection=tx)


async def awaiting(ada: ScopedMemory, chat: ScopedThread) -> None:
    """Every verb has a twin that is awaited and gives the same."""
    assert_type(await chat.aappend(Message.user("hello")), Messages)
    assert_type(await chat.amessages(last=5), Messages)
    assert_type(await chat.awindow(tokens=500), Messages)
    assert_type(chat.aiterate(), AsyncIterator[Message])
    assert_type(await ada.athreads(), Threads)
    assert_type(await ada.arecall("peanuts"), Recollections)
    assert_type(await chat.acontext("what should I cook?"), Context)
    assert_type(await ada.aforget(), Receipt)
