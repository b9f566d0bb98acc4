"""The asynchronous twins: they hold nobody up, belong to no loop, and a call that is given up breaks nothing."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from keepwell import Memory, Message, ScopedThread
from keepwell.providers.bundled import BundledEmbedder
from keepwell.testing import HashEmbedder, SlowEmbedder

MANY = 3_000
WORDS = "The quick brown fox found a walnut under the old garden wall and kept it for winter. " * 6


@dataclass
class Ticker:
    """How long the loop was held up, a tick a millisecond: by its own thread's work, and by the clock."""

    work: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            worked, was = time.thread_time(), time.perf_counter()
            await asyncio.sleep(0.001)
            self.work.append(time.thread_time() - worked)
            self.clock.append(time.perf_counter() - was)


@asynccontextmanager
async def ticking() -> AsyncIterator[Ticker]:
    """Let a coroutine tick beside what is done in the block."""
    ticker = Ticker()
    task = asyncio.create_task(ticker.run())
    await asyncio.sleep(0.005)
    yield ticker
    await asyncio.sleep(0.005)
    task.cancel()


def many(count: int = MANY) -> list[Message]:
    """Give messages of half a kilobyte."""
    return [Message.user(f"{WORDS}{number}") for number in range(count)]


async def iterate(chat: ScopedThread) -> None:
    """Go through a thread."""
    async for message in chat.aiterate():
        assert message.seq


async def reembed(chat: ScopedThread) -> None:
    """Make all vectors with another model."""
    await chat.scope.memory.areembed(HashEmbedder(32))


async def append_joined(chat: ScopedThread) -> None:
    """Append much on an asynchronous connection."""
    async with await AsyncConnection.connect(chat.scope.memory._opened.store._dsn) as connection:  # type: ignore[attr-defined]
        await chat.aappend(*many(), connection=connection)


async def open_and_close(chat: ScopedThread) -> None:
    """Open the store again and close it."""
    dsn = chat.scope.memory._opened.store._dsn  # type: ignore[attr-defined]
    other = await Memory.aopen(dsn, tenant="t-open", embedder=BundledEmbedder(), pool_size=3)
    await other.scope("ada").arecall("walnut")
    await other.aclose()


HEAVY: dict[str, Callable[[ScopedThread], Coroutine[Any, Any, object]]] = {
    "append": lambda chat: chat.aappend(*many()),
    "append, joined": append_joined,
    "append under a key": lambda chat: chat.aappend(*many(1000), idempotency_key="key"),
    "messages": lambda chat: chat.amessages(),
    "window": lambda chat: chat.awindow(tokens=100_000),
    "iterate": iterate,
    "recall": lambda chat: chat.scope.arecall("a walnut in winter", limit=50),
    "recall, long question": lambda chat: chat.scope.arecall(WORDS * 200),
    "recall in a thread": lambda chat: chat.arecall("garden wall", where={"k": 1}),
    "context": lambda chat: chat.acontext("walnut", last=1000, tokens=50_000),
    "clone": lambda chat: chat.aclone("copy"),
    "forget": lambda chat: chat.scope.aforget(),
    "drain": lambda chat: chat.scope.memory.adrain(),
    "reembed": reembed,
    "threads": lambda chat: chat.scope.athreads(),
    "status": lambda chat: chat.scope.memory.astatus(),
    "open and close": open_and_close,
}


@pytest.mark.parametrize("name", HEAVY)
async def test_heavy_calls_do_their_work_elsewhere(name: str, open_memory: Callable[..., Memory], tenant: str) -> None:
    """While a heavy call runs, the loop's own thread never works for long at a stretch; nearly all is done by others.

    The thread's own time is looked at, because a busy machine may leave it waiting by the clock.
    """
    memory = open_memory(tenant=tenant, embedder=None if name == "drain" else BundledEmbedder())
    chat = memory.scope("ada").thread("t")
    if name not in ("append", "append, joined"):
        chat.append(*many())
    if name == "drain":
        memory = open_memory(tenant=tenant, embedder=HashEmbedder())
        chat = memory.scope("ada").thread("t")
    async with ticking() as ticker:
        await HEAVY[name](chat)
    assert max(ticker.work) < 0.5  # no timed test: a busy machine pauses everybody


async def test_a_call_that_waits_for_the_database_holds_nobody_up(
    memory: Memory, connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    """While a call waits for a lock in the database, the loop goes on ticking, and so do other calls."""
    chat = memory.scope("ada").thread("t")
    await chat.aappend(Message.user("first"))
    holder = connect()
    chat.append(Message.user("held"), connection=holder)
    async with ticking() as ticker:
        waiting = asyncio.create_task(chat.aappend(Message.user("second")))
        await asyncio.sleep(0.3)
        assert len(await chat.amessages()) == 1
        assert len(await chat.scope.arecall("first")) == 1
        assert not waiting.done()
        holder.rollback()
        await waiting
    assert len(ticker.clock) > 30
    assert max(ticker.clock) < 1.0


async def test_a_remote_model_is_awaited_on_the_loop(open_memory: Callable[..., Memory], tenant: str) -> None:
    """Ten questions to a slow remote embedder are asked side by side, and hold nobody up."""
    memory = open_memory(tenant=tenant, embedder=SlowEmbedder(0.2, local=False))
    memory.scope("ada").thread("t").append(Message.user("walnut"))
    memory.drain()
    started = time.perf_counter()
    async with ticking() as ticker:
        found = await asyncio.gather(*(memory.scope("ada").arecall("walnut") for _ in range(10)))
    assert all(len(one) == 1 and not one.skipped for one in found)
    assert time.perf_counter() - started < 1.5
    assert max(ticker.work) < 0.5  # no timed test: a busy machine pauses everybody


def test_two_loops_one_after_the_other(memory: Memory) -> None:
    """One memory serves ``asyncio.run`` twice, and synchronous calls between them."""
    chat = memory.scope("ada").thread("t")

    async def say(text: str) -> list[str]:
        await chat.aappend(Message.user(text))
        await chat.scope.arecall(text)
        return [message.text for message in await chat.amessages()]

    assert asyncio.run(say("one")) == ["one"]
    chat.append(Message.user("two"))
    assert asyncio.run(say("three")) == ["one", "two", "three"]


@pytest.mark.parametrize("local", [True, False])
def test_many_loops_at_once(local: bool, open_memory: Callable[..., Memory], tenant: str) -> None:
    """Eight threads with loops of their own share one memory, each with several calls under way."""
    memory = open_memory(tenant=tenant, embedder=HashEmbedder(local=local), pool_size=3)
    failures: list[BaseException] = []

    async def talk(user: str) -> None:
        chat = memory.scope(user).thread("t")
        await asyncio.gather(*(chat.aappend(Message.user(f"{user} {number}")) for number in range(6)))
        found = await asyncio.gather(*(chat.scope.arecall(user, limit=20) for _ in range(4)))
        assert [len(one) for one in found] == [6] * 4
        assert [message.seq for message in await chat.amessages()] == [1, 2, 3, 4, 5, 6]

    def run(user: str) -> None:
        try:
            for _ in range(2):
                asyncio.run(talk(user))
                memory.scope(user).forget()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=run, args=(f"user{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


async def test_context_variables_go_along(open_memory: Callable[..., Memory], tenant: str) -> None:
    """What a caller set in its context is seen where its work is done, by models and counters, and not by others."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
    seen: set[str] = set()

    class Seeing(HashEmbedder):
        def embed(self, texts: Any) -> Any:
            seen.add(variable.get())
            return super().embed(texts)

    memory = open_memory(tenant=tenant, embedder=Seeing(), token_counter=lambda text: seen.add(variable.get()) or 1)

    async def call(value: str) -> None:
        variable.set(value)
        chat = memory.scope(value).thread("t")
        await chat.aappend(Message.user("walnut"))
        await chat.acontext("walnut", tokens=100)

    await asyncio.gather(call("left"), call("right"))
    assert seen == {"left", "right"}
    assert variable.get() == "nothing"


async def test_a_call_that_is_given_up_breaks_nothing(
    open_memory: Callable[..., Memory], tenant: str, connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    """Calls that are cancelled while they wait give their connections back; what they began is whole or not there."""
    memory = open_memory(tenant=tenant, pool_size=2)
    chat = memory.scope("ada").thread("t")
    await chat.aappend(Message.user("first"))
    holder = connect()
    chat.append(Message.user("held"), connection=holder)
    waiting = [asyncio.create_task(chat.aappend(Message.user(f"a{n}"), Message.user(f"b{n}"))) for n in range(6)]
    await asyncio.sleep(0.1)
    for task in waiting:
        task.cancel()
    assert all(
        isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*waiting, return_exceptions=True)
    )
    holder.rollback()
    for _ in range(6):
        await asyncio.wait_for(chat.aappend(Message.user("after")), 5)
    texts = [message.text for message in await chat.amessages()]
    assert texts.count("after") == 6
    for number in range(6):
        assert (f"a{number}" in texts) == (f"b{number}" in texts)
    assert (
        memory._opened.store._pool.get_stats()["pool_available"] == memory._opened.store._pool.get_stats()["pool_size"]
    )  # type: ignore[attr-defined]


async def test_a_joined_call_that_is_given_up(memory: Memory, dsn: str, connect: Callable[..., Any]) -> None:
    """A cancelled write on an asynchronous connection is undone, and its connection can be rolled back and used."""
    chat = memory.scope("ada").thread("t")
    await chat.aappend(Message.user("first"))
    holder = connect()
    chat.append(Message.user("held"), connection=holder)
    async with await AsyncConnection.connect(dsn) as connection:
        waiting = asyncio.create_task(chat.aappend(Message.user("second"), connection=connection))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        holder.rollback()
        await connection.rollback()
        await chat.aappend(Message.user("third"), connection=connection)
    assert [message.text for message in await chat.amessages()] == ["first", "third"]


def test_every_verb_has_its_twin() -> None:
    """Each public verb that reaches the record has an asynchronous twin with the same parameters."""
    import inspect

    from keepwell import ScopedMemory

    without = {"scope", "thread", "transaction", "over", "open", "recall_request", "count_tokens"}
    without |= {"checkpoints", "items", "run", "window", "question_vector"}  # what doors are built on
    for kind in (Memory, ScopedMemory, ScopedThread):
        verbs = {name: verb for name, verb in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
        for name, verb in verbs.items():
            if name in without or (name[0] == "a" and name[1:] in verbs):
                continue
            twin = verbs[f"a{name}"]
            assert list(inspect.signature(twin).parameters) == list(inspect.signature(verb).parameters), name
            assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin), name
