"""LangGraph's stores and ours, measured by the same promises; what the others are known to miss is listed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import psycopg
import pytest
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.store.postgres import PostgresStore
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from keepwell import Memory
from langchain_keepwell import KeepwellStore
from langchain_keepwell.testing import BaseStoreConformance, StoreOptions

AS_TEXT: tuple[dict[str, Any], ...] = (
    {"n": {"$gt": 9}}, {"n": {"$gte": 10}}, {"n": {"$lt": 9.75}}, {"n": {"$lte": 2}}, {"n": {"$gt": 2, "$lt": 10}},
)  # fmt: skip
NESTED: tuple[dict[str, Any], ...] = (
    {"home": {"city": "Rome", "zip": 7}}, {"home": {"city": "Oslo"}}, {"home": {"zip": {"$gt": 8}}},
)  # fmt: skip


class TestKeepwellStore(BaseStoreConformance):
    """Ours, whose items are those that a namespace names, or nobody's."""

    @pytest.fixture
    def make_store(self, open_memory: Callable[..., Memory]) -> Callable[[StoreOptions], BaseStore]:
        """Give a function that makes a store in a fresh database."""

        def make(options: StoreOptions) -> BaseStore:
            memory = open_memory(embedder=options.embeddings)
            ttl: Any = options.ttl
            return KeepwellStore(memory, owner=("n", "{user_id}"), fields=options.fields, ttl=ttl)

        return make


class TestKeepwellStoreOfOne(TestKeepwellStore):
    """Ours, whose items are one person's."""

    @pytest.fixture
    def make_store(self, open_memory: Callable[..., Memory]) -> Callable[[StoreOptions], BaseStore]:
        """Give a function that makes a store in a fresh database."""

        def make(options: StoreOptions) -> BaseStore:
            memory = open_memory(embedder=options.embeddings)
            ttl: Any = options.ttl
            return KeepwellStore(memory, user_id="ada", fields=options.fields, ttl=ttl)

        return make


class TestInMemoryStore(BaseStoreConformance):
    """LangGraph's store in the memory of a process."""

    missing: ClassVar = frozenset({"ttl", "newest_first", "operators", "dates"})
    known_failures: ClassVar[Mapping[str, str]] = {
        "test_a_put_takes_the_place": "each put makes the time of creation anew",
        "test_a_value_is_a_copy": "it keeps and gives the caller's own lists",
        "test_bad_labels_are_refused_in_a_batch": "operations of a batch are not validated",
        "test_all_namespaces": "a namespace is listed when all in it is deleted",
        "test_filters[{'home': {'zip': {'$gt': 8}}}]": "a comparison with what is not there raises TypeError",
        "test_filters[{'missing': {'$gt': 1}}]": "a comparison with what is not there raises TypeError",
        "test_less_to_find_leaves_no_stale_match": "vectors of texts that went are kept",
        "test_no_index_leaves_no_stale_match": "index=False keeps the old vector",
    }

    @pytest.fixture
    def make_store(self) -> Callable[[StoreOptions], BaseStore]:
        """Give a function that makes one."""

        def make(options: StoreOptions) -> BaseStore:
            index: Any = {"dims": 64, "embed": options.embeddings, "fields": list(options.fields)}
            return InMemoryStore(index=index) if options.embeddings is not None else InMemoryStore()

        return make


class TestPostgresStore(BaseStoreConformance):
    """LangGraph's store in PostgreSQL (langgraph-checkpoint-postgres), on a pool."""

    missing: ClassVar = frozenset({"async", "operators", "dates", "any_text"})
    known_failures: ClassVar[Mapping[str, str]] = {
        **{f"test_filters[{where}]": "numbers are compared as texts" for where in AS_TEXT},
        **{f"test_filters[{where}]": "a filter of nested fields is no operator to it" for where in NESTED},
        "test_filters[{'missing': {'$ne': 1}}]": "what is not there is not unequal",
        "test_a_query_and_a_filter": "it looks among few candidates, and filters those",
        "test_less_to_find_leaves_no_stale_match": "vectors of texts that went are kept",
        "test_no_index_leaves_no_stale_match": "index=False keeps the old vector",
        "test_pages_of_a_query": "candidates are counted without the offset, so most are out of reach",
        "test_questions_are_asked_as_questions": "queries are embedded as documents",
        "test_reading_keeps_alive": "minutes are kept as a whole number, so the first read ends a short life",
        "test_a_read_does_not_kill": "minutes are kept as a whole number, so the first read ends a short life",
        "test_a_slow_model_holds_up_nobody": "a lock is held around everything, the model's work too",
    }

    @pytest.fixture
    def make_store(self, admin_dsn: str) -> Iterator[Callable[[StoreOptions], BaseStore]]:
        """Give a function that makes one, in a schema of its own."""
        schema = f"s_{uuid.uuid4().hex}"
        with psycopg.connect(admin_dsn, autocommit=True) as admin:
            admin.execute(f"create schema {schema}")
        options = {"autocommit": True, "row_factory": dict_row, "options": f"-c search_path={schema},public"}
        with ConnectionPool(admin_dsn, min_size=1, max_size=8, kwargs=options, open=True) as pool:

            def make(options: StoreOptions) -> BaseStore:
                index: Any = {"dims": 64, "embed": options.embeddings, "fields": list(options.fields)}
                ttl: Any = options.ttl
                store = PostgresStore(pool, index=index if options.embeddings is not None else None, ttl=ttl)  # type: ignore[arg-type]  # a pool
                store.setup()
                return store

            yield make
