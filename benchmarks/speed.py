"""One large scope and many small ones in a store of 100,000 vectors: how fast, and how much of the truth."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence

import numpy as np
import psycopg
from numpy.typing import NDArray

from benchmarks.ground import Ground, quantile, sentence, show
from keepwell import Memory, Message, ScopedMemory
from keepwell.storage.base import FindCandidates, Space
from keepwell.storage.postgres import PostgresStore

DIMENSION = 256
TOPICS = 2000
LARGE, SMALL, SMALL_SCOPES = 50_000, 1_000, 50
QUESTIONS = 200
Vectors = NDArray[np.float32]


class Topics:
    """An embedder whose vectors lie around as many points as there are topics; a text begins with its topic."""

    model = "topics"
    dimension = DIMENSION
    local = True

    def __init__(self) -> None:
        """Choose the points."""
        self._points = np.random.default_rng(0).normal(size=(TOPICS, DIMENSION))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Give unit vectors (n, 256), the same for the same text."""
        matrix = np.stack([self._near(text) for text in texts])
        unit: Vectors = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def embed_query(self, text: str) -> Vectors:
        """Give the unit vector of a question (256,)."""
        vector: Vectors = self.embed([text])[0]
        return vector

    async def aembed_query(self, text: str) -> Vectors:
        """Do the same."""
        return self.embed_query(text)

    def _near(self, text: str) -> NDArray[np.float64]:
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        topic = int(text.split(" ", 1)[0].removeprefix("topic"))
        return np.asarray(self._points[topic] + 0.8 * np.random.default_rng(seed).normal(size=DIMENSION))


def text(number: int) -> str:
    """Give a text of a topic."""
    return f"topic{number * 7919 % TOPICS} {sentence(number)}"


def large_scope(place: Ground) -> None:
    """Fill a store, and ask the large scope and small ones by the candidates' way."""
    embedder = Topics()
    with Memory.open(place.dsn, embedder=embedder, tenant="speed") as memory:
        rows = [("ingest, embedding included", f"{_fill(memory):,.0f} messages/s", "")]
        start = time.perf_counter()
        memory.drain()
        rows.append(("until the index holds what needs it", f"{time.perf_counter() - start:.1f} s", ""))
    _baseline(place)
    store = PostgresStore(place.dsn)
    with Memory.over(store, tenant="speed", embedder=embedder, snapshot_bytes=0) as memory:
        for user, size in (("large", LARGE), ("small7", SMALL)):
            rows += _asked(place, store, memory.scope(user), size, embedder)
    show("100,000 vectors, no snapshot", rows)


def _baseline(place: Ground) -> None:
    """Put the same vectors into a plain table with an HNSW index and a btree on the scope."""
    with psycopg.connect(place.admin_dsn, autocommit=True) as admin:
        admin.execute("create table raw_vector (id bigint primary key, scope text, embedding vector(256))")
        admin.execute(
            "insert into raw_vector select message, user_id, embedding from keepwell.vector where tenant = 'speed'"
        )
        admin.execute("set maintenance_work_mem = '512MB'")
        admin.execute("create index on raw_vector (scope)")
        admin.execute("create index on raw_vector using hnsw (embedding vector_ip_ops)")
        admin.execute("grant select on raw_vector to keepwell")
        admin.execute("vacuum analyze")


def _fill(memory: Memory) -> float:
    start = time.perf_counter()
    for user, numbers in _scopes():
        for first in range(0, len(numbers), 5_000):
            messages = [Message.user(text(number)) for number in numbers[first : first + 5_000]]
            memory.scope(user).thread(f"t{first}").append(*messages)
    return (LARGE + SMALL * SMALL_SCOPES) / (time.perf_counter() - start)


def _scopes() -> Iterator[tuple[str, range]]:
    yield "large", range(LARGE)
    for number in range(SMALL_SCOPES):
        first = LARGE + number * SMALL
        yield f"small{number}", range(first, first + SMALL)


def _asked(
    place: Ground, store: PostgresStore, scope: ScopedMemory, size: int, embedder: Topics
) -> list[tuple[str, str, str]]:
    user = scope.scope.user_id or ""
    record = store.record("speed")
    space = _space(place)
    asked = [text(number * 31) for number in range(QUESTIONS)]
    vectors = [embedder.embed_query(question) for question in asked]
    truth = [_truth(place, user, space, vector) for vector in vectors]
    before, found = _raw(place, user, vectors)
    raw_recall = np.mean([len(set(f) & t) / len(t) for f, t in zip(found, truth, strict=True)])
    ways: list[float] = []
    hits: list[float] = []
    for vector, true in zip(vectors, truth, strict=True):
        start = time.perf_counter()
        brought = record.read(FindCandidates(scope.scope, space.key, vector, (), 400))
        ways.append(time.perf_counter() - start)
        hits.append(len(true & set(brought.vectors.keys.tolist())) / len(true))
    whole: list[float] = []
    for question in asked:
        start = time.perf_counter()
        scope.recall(question)
        whole.append(time.perf_counter() - start)
    after, _ = _raw(place, user, vectors)
    raw = min(quantile(before, 0.5), quantile(after, 0.5))
    return [
        (f"{size:,}: raw statement on an index, p50 before / after", _pair(before, after), ""),
        (f"{size:,}: its recall@10", f"{100 * raw_recall:.1f} %", ""),
        (f"{size:,}: candidates by vector, p50 / p95", _ms(ways), f"{quantile(ways, 0.5) / raw:.1f} x raw"),
        (f"{size:,}: their recall@10", f"{100 * np.mean(hits):.1f} %", ">= 99 %"),
        (f"{size:,}: whole recall, p50 / p95", _ms(whole), "p95 <= 40 ms" if size == LARGE else "<= 3 ms"),
    ]


def _space(place: Ground) -> Space:
    with psycopg.connect(place.admin_dsn) as admin:
        row = admin.execute("select key, model, dimension from keepwell.space where tenant = 'speed'").fetchone()
    assert row is not None
    return Space(*row)


def _truth(place: Ground, user: str, space: Space, vector: Vectors) -> set[int]:
    with psycopg.connect(place.admin_dsn) as admin:
        rows = admin.execute(
            "with v as materialized (select message, embedding from keepwell.vector where tenant = 'speed'"
            " and user_id = %s and space = %s)"
            " select message from v order by embedding <#> %s::real[]::public.vector limit 10",
            [user, space.key, vector.tolist()],
        )  # fmt: skip
        return {message for (message,) in rows}


def _raw(place: Ground, user: str, vectors: list[Vectors]) -> tuple[list[float], list[list[int]]]:
    """Ask an HNSW index as its documentation says, with all settings as they come."""
    times: list[float] = []
    found: list[list[int]] = []
    with psycopg.connect(place.dsn, autocommit=True, prepare_threshold=0) as connection:
        connection.execute("select set_config('keepwell.tenant', 'speed', false)")
        for vector in vectors:
            literal = f"[{','.join(map(str, vector.tolist()))}]"
            start = time.perf_counter()
            rows = connection.execute(
                "select id from raw_vector where scope = %s order by embedding <#> %s::public.vector limit 10",
                [user, literal],
            ).fetchall()
            times.append(time.perf_counter() - start)
            found.append([key for (key,) in rows])
    return times, found


def _pair(before: list[float], after: list[float]) -> str:
    return f"{1000 * quantile(before, 0.5):.2f} / {1000 * quantile(after, 0.5):.2f} ms"


def _ms(times: list[float]) -> str:
    return f"{1000 * quantile(times, 0.5):.2f} / {1000 * quantile(times, 0.95):.2f} ms"
