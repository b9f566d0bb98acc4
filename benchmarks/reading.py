"""Reading: the end of a thread, and recalls."""

from __future__ import annotations

import json
import time

import numpy as np
import psycopg

from benchmarks.ground import Ground, medians, quantile, sentence, show
from keepwell import Memory, Message, ScopedMemory
from keepwell.recall.analysis import analyse
from keepwell.recall.rank import Question, rank
from keepwell.recall.snapshot import Snapshot
from keepwell.storage.base import LoadScope

SIZES = {600: ("1.5", "15"), 6_000: ("2", "60"), 50_000: ("8", "400")}
"""Messages in the scope, and the bounds in milliseconds: p50 in the process, first recall."""
BATCH = 10_000


def last_twenty(ground: Ground) -> None:
    """Measure the last twenty messages of a long and a short thread, against raw SQL."""
    with Memory.open(ground.dsn, embedder=None, tenant="reading") as memory:
        ada = memory.scope(user_id="ada")
        short, long = ada.thread("short"), ada.thread("long")
        _fill(ada, "short", 100)
        _fill(ada, "long", 100_000)
        with psycopg.connect(ground.dsn, autocommit=True) as connection:
            connection.cursor().executemany(
                "insert into raw_list values (1, %s, %s)",
                [(n, json.dumps({"role": "user", "text": sentence(n)})) for n in range(1000)],
            )
            raw = "select seq, body from raw_list where thread = %s order by seq desc limit 20"
            timings = medians(
                lambda: connection.execute(raw, [1]).fetchall(),
                lambda: short.messages(last=20),
                lambda: long.messages(last=20),
            )
    base, brief, far = timings
    rows = [
        ("raw SQL, JSON decoded", f"{base * 1e6:.0f} µs", ""),
        ("of 100 messages", f"{brief * 1e6:.0f} µs, {brief / base:.2f} x raw", "≤ 2"),
        ("of 100,000 messages", f"{far * 1e6:.0f} µs, {far / base:.2f} x raw, {far / brief:.2f} x short", "≤ 2, ≤ 1.3"),
    ]
    show("the last 20 of a thread (medians, in turns)", rows)


def recalls(ground: Ground) -> None:
    """Measure recalls of scopes that are in the process, and the first one."""
    rows = []
    for size, (bound, first_bound) in SIZES.items():
        tenant = f"recall {size}"
        with Memory.open(ground.dsn, tenant=tenant) as memory:
            _fill(memory.scope(user_id="ada"), "thread", size, parts=max(1, size // 200))
            memory.drain()
        first = _first(ground, tenant)
        with Memory.open(ground.dsn, tenant=tenant) as memory:
            ada = memory.scope(user_id="ada")
            ada.recall("warm up")
            times, exact = _ask(ada, 300), _is_exact(ada)
        p50, p95 = quantile(times, 0.5), quantile(times, 0.95)
        rows += [
            (f"{size:,} messages, p50", f"{p50 * 1e3:.2f} ms", f"≤ {bound} ms"),
            ("  p95", f"{p95 * 1e3:.2f} ms, {p95 / p50:.1f} x p50", "< 3 x"),
            ("  first recall after open", f"{first * 1e3:.1f} ms", f"≤ {first_bound} ms"),
            ("  exact", str(exact), "True"),
        ]
    show("recall, bundled embedder included, scope in the process", rows)


def _ask(ada: ScopedMemory, count: int) -> list[float]:
    times = []
    for number in range(count):
        question = f"what about the {sentence(number * 37, 5)}?"
        start = time.perf_counter()
        ada.recall(question)
        times.append(time.perf_counter() - start)
    return times


def _first(ground: Ground, tenant: str) -> float:
    """Give the median of five first recalls, once store and embedder are ready."""
    times = []
    for number in range(5):
        with Memory.open(ground.dsn, tenant=tenant) as memory:
            memory.scope(user_id="nobody").recall("load the embedder")
            start = time.perf_counter()
            memory.scope(user_id="ada").recall(sentence(number, 5))
            times.append(time.perf_counter() - start)
    return quantile(times, 0.5)


def _is_exact(ada: ScopedMemory) -> bool:
    """Compare the cosine order that a recall ranks with numpy's over all vectors."""
    engine = ada._engine  # noqa: SLF001 - a measurement looks inside
    space = engine.space()
    assert space is not None
    delta = engine.record.read(LoadScope(ada.scope, space.key, None))
    vector = engine.question_vector("baceba dibafo guloha")
    cosines = delta.vectors.matrix @ vector
    best = set(delta.vectors.keys[np.argsort(-cosines)[:10]].tolist())
    snapshot = Snapshot(delta)
    shares = snapshot.similarities(vector)
    mine = set(snapshot.keys[np.argsort(-shares)[:10]].tolist())
    asked = Question(vector, tuple(analyse("baceba dibafo").split()), time.time())
    return best == mine and len(rank(snapshot, asked, 10)) == 10


def _fill(ada: ScopedMemory, thread: str, count: int, parts: int = 1) -> None:
    """Write messages into one thread, or into several."""
    size = -(-count // parts)
    for part in range(parts):
        name = thread if parts == 1 else f"{thread} {part}"
        numbers = range(part * size, min(count, (part + 1) * size))
        for start in range(0, len(numbers), BATCH):
            batch = numbers[start : start + BATCH]
            ada.thread(name).append(*(Message.user(sentence(number)) for number in batch))
