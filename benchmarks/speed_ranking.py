"""The ranking alone, of scopes in the process: how long it takes, without embedding and without the store."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import numpy as np

from benchmarks.ground import Ground, quantile, sentence, show
from keepwell.providers.words import bundled_words
from keepwell.recall.analysis import analyse
from keepwell.recall.arrays import Delta, Floats, Mark, MessageColumns, VectorColumns, halves
from keepwell.recall.asking import Question, ask
from keepwell.recall.rank import Ranker, rank
from keepwell.recall.signals import signals
from keepwell.recall.snapshot import Snapshot

SIZES = {600: 0.6, 6_000: 1.5, 50_000: 6.0}
"""Messages in the scope, and the bound of the median in milliseconds."""
DIMENSION, PER_THREAD, QUESTIONS = 384, 20, 200


def ranking(_: Ground) -> None:
    """Measure rankings with all features, in turns with what numpy needs for the cosines alone."""
    ranker = Ranker("learned", "vectors", bundled_words())
    rows = []
    for size, bound in SIZES.items():
        whole = _whole(size)
        start = time.perf_counter()
        snapshot = Snapshot(whole)
        filled = time.perf_counter() - start
        asked = [_question(snapshot, number) for number in range(QUESTIONS)]
        for question in asked[:20]:
            rank(snapshot, question, 10, ranker=ranker)
        times, plain = _timed(snapshot, asked, ranker)
        p50, p95, base = quantile(times, 0.5), quantile(times, 0.95), quantile(plain, 0.5)
        rows += [
            (f"{size:,} messages, p50", f"{p50 * 1e3:.2f} ms, {p50 / base:.0f} x the cosines alone", f"≤ {bound} ms"),
            ("  p95", f"{p95 * 1e3:.2f} ms", ""),
            ("  the arrays filled", f"{filled * 1e3:.0f} ms", ""),
        ]
    show("ranking alone, two people, 384 numbers a vector", rows)


def _timed(snapshot: Snapshot, asked: list[Question], ranker: Ranker) -> tuple[list[float], list[float]]:
    times: list[float] = []
    plain: list[float] = []
    for question in asked:
        assert question.vector is not None
        start = time.perf_counter()
        rank(snapshot, question, 10, ranker=ranker)
        middle = time.perf_counter()
        np.argpartition(-snapshot.similarities(question.vector), 10)
        plain.append(time.perf_counter() - middle)
        times.append(middle - start)
    return times, plain


def _whole(size: int) -> Delta:
    texts = [sentence(number, 12) + (" yesterday?" if number % 5 == 0 else "") for number in range(size)]
    threads = [uuid.uuid5(uuid.NAMESPACE_OID, str(number)) for number in range(-(-size // PER_THREAD))]
    keys = np.arange(1, size + 1)
    created = np.arange(size, dtype=np.float64) * 600 + 1.7e9
    columns = MessageColumns(
        keys,
        halves(*(threads[number // PER_THREAD] for number in range(size))),
        np.arange(size) % PER_THREAD + 1,
        created,
        created,
        np.full(size, np.inf),
        tuple(map(analyse, texts)),
        tuple("Ada" if number % 2 else "Bob" for number in range(size)),
        tuple(map(signals, texts)),
    )
    return Delta(full=True, mark=Mark("", "", 0), messages=columns, vectors=VectorColumns(keys, _vectors(size, 0)))


def _question(snapshot: Snapshot, number: int) -> Question:
    asked = ask(f"When did Ada mention {sentence(number * 37, 4)}?", snapshot.speakers(), 1.8e9)
    return replace(asked, vector=_vectors(1, number + 1)[0])


def _vectors(count: int, seed: int) -> Floats:
    matrix = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    units: Floats = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return units
