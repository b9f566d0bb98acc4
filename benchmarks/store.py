"""Our LangGraph store against LangGraph's own on the same PostgreSQL: 100,000 items in namespaces of 100.

Both embed with the same model, which costs next to nothing, in vectors of 256 numbers; where it is slow it waits 20 ms
for each call. Theirs has its default index (HNSW) and a pool of the same size.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from benchmarks.ground import Ground, medians, sentence, show
from keepwell import Memory, PutItem

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

ITEMS, SIZE, DIMENSION = 100_000, 100, 256
BATCH = 1_000
THREADS, EACH = 16, 25
ROUNDS, WARM = 200, 30
SLOW = 0.02
Stores = tuple["BaseStore", "BaseStore"]


class Model:
    """Embeds a text where its hash says; slow where it is told to."""

    model_name = "hashed"
    seconds = 0.0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Give a vector for each text."""
        time.sleep(self.seconds)
        return [self._vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Give the vector of a question."""
        return self.embed_documents([text])[0]

    def _vector(self, text: str) -> list[float]:
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        vector = np.random.default_rng(seed).normal(size=DIMENSION)
        found: list[float] = (vector / np.linalg.norm(vector)).astype(np.float32).tolist()
        return found


def langgraph_store(ground: Ground) -> None:
    """Measure puts, gets and searches, alone and from sixteen threads."""
    title = f"a LangGraph store of {ITEMS:,} items in namespaces of {SIZE}, ours against LangGraph's own"
    if find_spec("langgraph") is None or find_spec("langchain_keepwell") is None:
        show(title, [("not measured: langgraph and langchain-keepwell are not installed", "", "")])
        return
    model = Model()
    with _ours(ground, model) as ours, _theirs(ground, model) as theirs:
        with psycopg.connect(ground.admin_dsn, autocommit=True) as admin:
            admin.execute("vacuum analyze")
        rows = [_row(name, medians(*pair, rounds=ROUNDS, warm=WARM), aim) for name, pair, aim in _alone(ours, theirs)]
        rows += [_row(name, _together(work, ours, theirs), aim) for name, work, aim in _shared()]
        model.seconds = SLOW
        put = _together(_put, ours, theirs)
        rows.append(_row(f"put from {THREADS} threads, a model of {SLOW * 1000:g} ms", put, 2.0))
    show(title, rows)


def _row(name: str, seconds: list[float], aim: float) -> tuple[str, str, str]:
    ours, theirs = seconds
    measured = f"{ours * 1000:.2f} ms against {theirs * 1000:.2f}: {theirs / ours:.1f} times as fast"
    return name, measured, f">= {aim:g}"


def _space(number: int) -> tuple[str, str]:
    return "memories", f"u{number % (ITEMS // SIZE)}"


def _value(number: int) -> dict[str, Any]:
    return {"content": sentence(number), "n": number}


@contextmanager
def _ours(ground: Ground, model: Model) -> Iterator[BaseStore]:
    from langchain_keepwell import KeepwellStore  # noqa: PLC0415 - it may not be installed

    with Memory.open(ground.dsn, name="store", tenant="store", embedder=model, pool_size=THREADS) as memory:
        store = KeepwellStore(memory, owner=("memories", "{user_id}"), fields=("content",))
        for start in range(0, ITEMS, BATCH):
            puts = [PutItem(_space(n // SIZE), f"k{n % SIZE}", _value(n)) for n in range(start, start + BATCH)]
            store.items.perform(puts)
        yield store


@contextmanager
def _theirs(ground: Ground, model: Model) -> Iterator[BaseStore]:
    from langgraph.store.postgres import PostgresStore  # noqa: PLC0415 - it may not be installed

    with psycopg.connect(ground.admin_dsn, autocommit=True) as admin:
        admin.execute("create schema langgraph; grant all on schema langgraph to keepwell")
        admin.execute("create extension if not exists vector")
    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    options["options"] = "-c search_path=langgraph,public"
    with ConnectionPool(ground.dsn, min_size=2, max_size=THREADS, kwargs=options, open=True) as pool:
        index: Any = {"dims": DIMENSION, "embed": model.embed_documents, "fields": ["content"]}
        store = PostgresStore(cast("Any", pool), index=index)
        store.setup()
        with pool.connection() as connection:
            _fill(connection, model)
        yield store


def _fill(connection: psycopg.Connection[Any], model: Model) -> None:
    """Fill its tables without its index, and make the index anew: as it is, only sooner."""
    row: Any = connection.execute(
        "select indexdef from pg_indexes where indexname = 'store_vectors_embedding_idx'"
    ).fetchone()
    connection.execute("drop index store_vectors_embedding_idx")
    with connection.cursor() as cursor:
        with cursor.copy("copy store (prefix, key, value) from stdin") as copy:
            for n in range(ITEMS):
                value = psycopg.types.json.Jsonb(_value(n))
                copy.write_row((".".join(_space(n // SIZE)), f"k{n % SIZE}", value))
        with cursor.copy("copy store_vectors (prefix, key, field_name, embedding) from stdin") as copy:
            for n in range(ITEMS):
                vector = str(model.embed_query(sentence(n)))
                copy.write_row((".".join(_space(n // SIZE)), f"k{n % SIZE}", "content", vector))
    connection.execute("set maintenance_work_mem = '1GB'")
    connection.execute(row["indexdef"])


def _alone(
    ours: BaseStore, theirs: BaseStore
) -> list[tuple[str, tuple[Callable[[], object], Callable[[], object]], float]]:
    works = (("put a new item", _put, 1.0), ("put another value", _again, 1.0), ("get", _get, 1.0),
             ("list ten of a namespace", _list, 1.0), ("search a namespace by a query", _search, 2.0))  # fmt: skip
    return [(name, (_counted(work, ours), _counted(work, theirs)), aim) for name, work, aim in works]


def _shared() -> list[tuple[str, Callable[[BaseStore, int], object], float]]:
    at_once = f"from {THREADS} threads"
    return [
        (f"put {at_once}", _put, 1.0),
        (f"get {at_once}", _get, 1.0),
        (f"search a namespace {at_once}", _search, 2.0),
    ]


_numbers = itertools.count(1)


def _counted(work: Callable[[BaseStore, int], object], store: BaseStore) -> Callable[[], object]:
    return lambda: work(store, next(_numbers))


def _put(store: BaseStore, number: int) -> None:
    store.put(_space(number), f"new-{number}", _value(number))


def _again(store: BaseStore, number: int) -> None:
    store.put(_space(number), "k7", _value(number))


def _get(store: BaseStore, number: int) -> None:
    if store.get(_space(number), "k3") is None:
        raise RuntimeError("an item is missing")


def _list(store: BaseStore, number: int) -> None:
    store.search(_space(number), limit=10)


def _search(store: BaseStore, number: int) -> None:
    # Beside the namespaces that are put into, so that each search is of a hundred.
    if len(store.search(_space(number + ITEMS // SIZE // 2), query=sentence(number, 5), limit=10)) != 10:
        raise RuntimeError("items are missing")


def _together(work: Callable[[BaseStore, int], object], *stores: BaseStore) -> list[float]:
    """Give the time for one operation, with so many threads at it, of each store: the better of two."""
    taken = [[_at_once(work, store) for store in stores] for _ in range(2)]
    return [min(times) for times in zip(*taken, strict=True)]


def _at_once(work: Callable[[BaseStore, int], object], store: BaseStore) -> float:
    numbers = [next(_numbers) for _ in range(THREADS * EACH)]
    with ThreadPoolExecutor(THREADS) as pool:
        start = time.perf_counter()
        list(pool.map(lambda number: work(store, number), numbers))
        return (time.perf_counter() - start) / len(numbers)
