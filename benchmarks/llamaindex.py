"""A turn of an agent that calls a tool, in LlamaIndex: our memory against the stock one on the same PostgreSQL.

Such a turn is what ``FunctionAgent`` does with one round of tools: the person's message is put, the memory is
read, read again with the person's words, the model's wish, the tool's answer and the model's words are put as one
batch, and the memory is read once more.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict

from benchmarks.ground import Ground, show
from keepwell import Memory

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.memory import BaseMemory
    from sqlalchemy.ext.asyncio import AsyncEngine

SIZES = (1_000, 5_000, 20_000)
COMPARED = 5_000
UNBOUNDED = 10**9
ROUNDS, ROUNDS_ALONE = 15, 40
BATCH = 1_000
WORDS = (
    "the of and to in a is that it was for on are with as his they be at one have this from or had by hot but "
    "some what there we can out other were all your when up use word how said an each she which do their time if "
    "will way about many then them would write like so these her long make thing see him two has look more day "
    "could go come did my sound no most number who over know water than call first people may down side been now "
    "find any new work part take get place made live where after back little only round man year came show every "
    "good me give our under name very through just form much great think say help low line before turn cause same "
    "mean differ move right boy old too does tell sentence set three want air well also play small end put home "
    "read hand port large spell add even land here must big high such follow act why ask men change went light "
    "kind off need house picture try us again animal point mother world near build self earth father head stand "
    "own page should country found answer school"
).split()
"""Plain words, which every tokenizer counts alike; the stock memory and ours must hold as much in their windows."""
LENGTH = 36
Turn = Callable[[], Awaitable[None]]


def tool_turn(ground: Ground) -> None:
    """Measure a turn with a tool by the length of the session's history."""
    missing = [name for name in ("llama_index.core", "asyncpg", "sqlalchemy") if not _is_there(name)]
    if missing:
        show("a turn with a tool in LlamaIndex", [(f"not measured: {', '.join(missing)} is not installed", "", "")])
        return
    asyncio.run(_measure(ground))


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


async def _measure(ground: Ground) -> None:
    rows: list[tuple[str, str, str]] = []
    engine = _engine(ground)
    try:
        async with await Memory.aopen(ground.dsn, name="llamaindex", tenant="llamaindex") as memory:
            with_recall, without = _ours(memory), _ours(memory, recall_limit=0)
            rows += await _growth(with_recall, without)
            rows += await _against_stock(engine, with_recall, without)
    finally:
        await engine.dispose()
    show("a turn with a tool in LlamaIndex (medians, in turns)", rows)


async def _growth(*kinds: Callable[[int], BaseMemory]) -> list[tuple[str, str, str]]:
    """Measure ours by itself, by the messages in the session."""
    rows = []
    for kind, words in zip(kinds, ("with recall", "without recall"), strict=True):
        chats = [await _filled(kind(size), size) for size in SIZES]
        times = await _in_turns([_turn(chat) for chat in chats], ROUNDS_ALONE)
        for size, took in zip(SIZES, times, strict=True):
            bound = "" if size == SIZES[0] else "≤ 1.25 x"
            ratio = f"{took / times[0]:.2f} x of {SIZES[0]:,}"
            rows.append((f"ours, {words}, {size:,} messages", f"{took * 1e3:.1f} ms, {ratio}", bound))
    return rows


async def _against_stock(
    engine: AsyncEngine, with_recall: Callable[[int], BaseMemory], without: Callable[[int], BaseMemory]
) -> list[tuple[str, str, str]]:
    """Measure the stock memory and ours with as many messages in the session."""
    ours = await _filled(with_recall(COMPARED + 1), COMPARED)
    plain = await _filled(without(COMPARED + 1), COMPARED)
    unbounded = await _filled(_stock(engine, "unbounded", token_limit=UNBOUNDED), COMPARED)
    default = await _filled(_stock(engine, "default"), COMPARED)
    mine, bare, wide, usual = await _in_turns([_turn(chat) for chat in (ours, plain, unbounded, default)], ROUNDS)
    return [
        (f"stock, unbounded, {COMPARED:,} messages", f"{wide * 1e3:.0f} ms", ""),
        (f"stock, its default of 30,000 tokens, {COMPARED:,} messages", f"{usual * 1e3:.1f} ms", ""),
        ("ours, against stock unbounded", f"{mine * 1e3:.1f} ms, 1/{wide / mine:.0f}", "≤ 1/20"),
        ("ours, against stock's default", f"{mine * 1e3:.1f} ms, {mine / usual:.2f} x", "≤ 1/2"),
        ("ours without recall, against stock's default", f"{bare * 1e3:.1f} ms, {bare / usual:.2f} x", "(beside)"),
    ]


def _ours(memory: Memory, **options: Any) -> Callable[[int], BaseMemory]:  # noqa: ANN401 - fields of the class
    from llama_index.memory.keepwell import KeepwellMemory  # noqa: PLC0415 - LlamaIndex may not be here

    def make(size: int) -> BaseMemory:
        user = f"ada {size} {options}"  # each its own: what is recalled is of one history
        return KeepwellMemory.from_defaults(memory=memory, user_id=user, session_id="talk", strict=True, **options)

    return make


def _engine(ground: Ground) -> AsyncEngine:
    """Connect as SQLAlchemy does, with the commits that ours has: the stock memory makes its table by itself."""
    from sqlalchemy import URL  # noqa: PLC0415 - as above
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - as above

    known = {name: str(value) for name, value in conninfo_to_dict(ground.admin_dsn).items() if value is not None}
    query: dict[str, str] = {name: known[name] for name in ("host", "port") if name in known}
    url = URL.create(
        "postgresql+asyncpg", known.get("user"), known.get("password"), database=known["dbname"], query=query
    )
    return create_async_engine(url, connect_args={"server_settings": {"synchronous_commit": "off"}})


def _stock(engine: AsyncEngine, session: str, **options: Any) -> BaseMemory:  # noqa: ANN401 - those of Memory
    from llama_index.core.memory import Memory as StockMemory  # noqa: PLC0415 - as above

    return StockMemory.from_defaults(session_id=session, async_engine=engine, table_name="stock", **options)


async def _filled(chat: BaseMemory, size: int) -> BaseMemory:
    """Put a history of questions and answers into a memory."""
    messages = [_said("user" if number % 2 == 0 else "assistant", number) for number in range(size)]
    for start in range(0, size, BATCH):
        await chat.aput_messages(messages[start : start + BATCH])
    return chat


def _sentence(number: int, length: int = LENGTH) -> str:
    return " ".join(random.Random(number).choices(WORDS, k=length))


def _said(role: str, number: int) -> ChatMessage:
    from llama_index.core.base.llms.types import ChatMessage  # noqa: PLC0415 - as above

    return ChatMessage(role=role, content=_sentence(number))


def _turn(chat: BaseMemory) -> Turn:
    from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock  # noqa: PLC0415 - as above

    numbers = itertools.count(10**6)

    async def turn() -> None:
        number = next(numbers)
        asked, call = _sentence(number), f"call-{number}"
        wish = ToolCallBlock(tool_call_id=call, tool_name="look_up", tool_kwargs={"what": _sentence(number, 4)})
        await chat.aput(ChatMessage(role="user", content=asked))
        await chat.aget()
        await chat.aget(input=asked)
        await chat.aput_messages(
            [
                ChatMessage(role="assistant", blocks=[wish]),
                ChatMessage(role="tool", content=_sentence(number + 1), additional_kwargs={"tool_call_id": call}),
                _said("assistant", number + 2),
            ]
        )
        await chat.aget()

    return turn


async def _in_turns(turns: Sequence[Turn], rounds: int) -> list[float]:
    """Give each one's median in seconds; they take turns, so that a slow spell slows all of them."""
    taken: list[list[float]] = [[] for _ in turns]
    for round_ in range(rounds + 3):
        for turn, times in zip(turns, taken, strict=True):
            start = time.perf_counter()
            await turn()
            if round_ >= 3:
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]
