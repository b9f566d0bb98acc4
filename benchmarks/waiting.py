"""The ``a*`` verbs against psycopg's own asynchronous connections doing the same."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable

from psycopg_pool import AsyncConnectionPool

from benchmarks.ground import Ground, sentence, show
from keepwell import Memory, Message
from keepwell.models import Owner
from keepwell.storage import base
from keepwell.storage.postgres.appending import append_plainly
from keepwell.storage.postgres.reading import messages as read_plan
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.storage.postgres.runner import arun

POOL = 8
BOUNDS = {1: ("≤ 1.25", "≤ 1.5"), 16: ("≤ 1", "≤ 2"), 64: ("≤ 1", "≤ 2")}
Act = Callable[[int], Awaitable[object]]


def asynchronous(ground: Ground) -> None:
    """Measure writes and short reads, 1, 16 and 64 at once, and how long the loop is held up."""
    asyncio.run(_measure(ground))


async def _measure(ground: Ground) -> None:
    rows = []
    async with (
        await Memory.aopen(ground.dsn, embedder=None, tenant="async", pool_size=POOL) as memory,
        AsyncConnectionPool(ground.dsn, kwargs={"autocommit": True}, min_size=POOL, max_size=POOL, open=False) as pool,
    ):
        record = memory.scope(user_id="ada")._engine.record  # noqa: SLF001 - a measurement looks inside
        assert isinstance(record, PostgresRecord)
        ours, native = _ours(memory), _native(record, pool)
        for act in (*ours, *native):
            await asyncio.gather(*(act(lane) for lane in range(64)))
        for many, bounds in BOUNDS.items():
            for kind, mine, theirs, bound in zip(("write", "read"), ours, native, bounds, strict=True):
                a, b = await _in_turns(mine, theirs, many)
                rows.append((f"{kind}, {many} at once", f"{a * 1e6:.0f} µs each, {a / b:.2f} x native", bound))
        base_line = await _hold_up(native[0])
        rows.append(("hold-up of the loop by native async", f"{base_line * 1e3:.2f} ms", "(beside)"))
        rows.append(("hold-up of the loop", f"{await _hold_up(ours[0]) * 1e3:.2f} ms", "≤ 1 ms"))
    show("a* verbs against psycopg's native async (medians)", rows)


def _ours(memory: Memory) -> tuple[Act, Act]:
    threads = [memory.scope(user_id="ada").thread(f"lane {lane}") for lane in range(64)]
    number = itertools.count()

    def write(lane: int) -> Awaitable[object]:
        return threads[lane].aappend(Message.user(sentence(next(number))))

    return write, lambda lane: threads[lane].amessages(last=5)


def _native(record: PostgresRecord, pool: AsyncConnectionPool) -> tuple[Act, Act]:
    """Run the same statements on asynchronous connections."""
    owner, walls, number = Owner("ada", "", ""), record._walls, itertools.count()  # noqa: SLF001 - as above

    async def write(lane: int) -> None:
        message = Message.user(sentence(next(number)))
        change = base.AppendMessages(owner, f"lane {lane}", (message,), (message.text,))
        async with pool.connection() as connection:
            await arun(connection, append_plainly(walls, change))

    async def read(lane: int) -> None:
        async with pool.connection() as connection:
            await arun(connection, read_plan(walls, base.ReadMessages(owner, f"lane {lane}", last=5)))

    return write, read


async def _in_turns(mine: Act, theirs: Act, many: int, rounds: int = 60) -> tuple[float, float]:
    """Give the medians of both, per operation; they take turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(max(rounds, 600 // many)):
        for act, times in zip((mine, theirs), taken, strict=True):
            start = time.perf_counter()
            await asyncio.gather(*(act(lane) for lane in range(many)))
            times.append((time.perf_counter() - start) / many)
    return statistics.median(taken[0]), statistics.median(taken[1])


async def _hold_up(act: Act) -> float:
    """Give the longest time that a ticking coroutine had to wait beyond its sleep, 99 of 100 times."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - start - 0.001)

    ticking = asyncio.create_task(tick())
    for _ in range(200):
        await asyncio.gather(*(act(lane) for lane in range(8)))
    ticking.cancel()
    return sorted(late)[int(len(late) * 0.99)]
