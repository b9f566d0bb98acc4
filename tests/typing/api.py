"""The types of the public face, as a program that the type checker reads; nobody runs it.

`make check` fails where a verb gives another type than the one stated here.
"""

import datetime as dt
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, assert_type
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool

from keepwell import (
    Change,
    Changes,
    Context,
    Diff,
    Drained,
    Fact,
    Facts,
    Memory,
    Message,
    Messages,
    Quote,
    Receipt,
    Recollection,
    Recollections,
    Rejection,
    ScopedMemory,
    ScopedThread,
    Status,
    Thread,
    Threads,
    Transfer,
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


def remembering(ada: ScopedMemory, chat: ScopedThread) -> None:
    """A fact is a value; what is done to it gives the fact, or the change that was made."""
    said = chat.messages(last=1)
    fact = ada.remember("Priya is Ada's sister", key="sister", sources=said, valid_from=dt.datetime.now(dt.UTC))
    assert_type(fact, Fact)
    assert_type((fact.id, fact.version, fact.text, fact.key), tuple[UUID, int, str, str | None])
    assert_type(ada.correct(fact, "Priya is Ada's cousin", why="she said so"), Fact)
    assert_type(ada.retract(fact.id, why="wrong", reject=True), Change)
    assert_type(ada.restore(fact, 1), Fact)
    assert_type(ada.facts(as_of=dt.datetime.now(dt.UTC), kind="plan", limit=5), Facts)
    assert_type(ada.facts()[0], Fact)
    assert_type(ada.fact(str(fact.id)), Fact)
    assert_type(ada.history(fact), Changes)
    assert_type(ada.history()[0].before, Fact | None)
    assert_type(ada.diff(fact.recorded_at), Diff)
    assert_type(ada.revert(ada.history(fact)[0]), Changes)
    assert_type(ada.revert(agent_id="cook", since=fact.recorded_at), Changes)
    assert_type(ada.sources(fact).quotes[0], Quote)
    assert_type(ada.rejections(), tuple[Rejection, ...])
    assert_type(ada.lift(*ada.rejections()), int)
    ada.configure(never="health", retention=dt.timedelta(days=30), calls_per_day=None)
    chat.configure(retention=7)


def carrying(ada: ScopedMemory, file: Path) -> None:
    """An export and an import count what they carried."""
    assert_type(ada.export(file), Transfer)
    assert_type(ada.import_(file, form=True), Transfer)


def forgetting(ada: ScopedMemory, chat: ScopedThread) -> None:
    """Forgetting gives a receipt, which can be verified."""
    assert_type(ada.forget(), Receipt)
    assert_type(ada.forget(ada.facts()[0], everywhere=True), Receipt)
    assert_type(ada.verify(ada.forget(chat, never_again=True)), dict[str, int])
    assert_type(ada.forget(chat), Receipt)
    assert_type(ada.forget(chat.messages(last=1)[0]), Receipt)


def tending(memory: Memory) -> None:
    """Operators' verbs."""
    assert_type(memory.status(), Status)
    assert_type(memory.drain(early=False).formed, int)
    assert_type(memory.retry(memory.scope(user_id="ada")), int)
    formed = memory.form(memory.scope(user_id="ada").thread("holiday"))
    assert_type(None if formed is None else formed.error, str | None)
    assert_type(memory.reembed(), int)


def joining(memory: Memory, chat: ScopedThread, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """A write joins a transaction of the caller's, or one of the memory's."""
    chat.append(Message.user("hello"), connection=connection)
    chat.scope.remember("Ada says hello", connection=connection)
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
    assert_type(await ada.aremember("Priya is Ada's sister"), Fact)
    assert_type(await ada.afacts(), Facts)
    assert_type(await ada.arevert(since=dt.datetime.now(dt.UTC)), Changes)
    assert_type(await ada.memory.adrain(), Drained)
