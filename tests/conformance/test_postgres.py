"""PostgreSQL keeps every promise of a store."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import psycopg
import pytest

from keepwell.storage.base import Store
from keepwell.storage.postgres import PostgresStore
from keepwell.testing import conformance as suite


class OnPostgres:
    """Two stores on one fresh database, each with its own pool."""

    @pytest.fixture(autouse=True)
    def _address(self, dsn: str) -> None:
        self.dsn = dsn

    @pytest.fixture
    def stores(self, postgres_stores: tuple[PostgresStore, PostgresStore]) -> tuple[Store, Store]:
        """Give two stores that share a database."""
        return postgres_stores

    async def connect(self, store: Store) -> AbstractAsyncContextManager[Any]:
        """Give a connection for asynchronous writes, in a transaction."""
        return _transaction(self.dsn)


@asynccontextmanager
async def _transaction(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        yield connection


class TestThreads(OnPostgres, suite.ThreadsConformance):
    """Threads in PostgreSQL."""


class TestCloning(OnPostgres, suite.CloningConformance):
    """Copies and moves in PostgreSQL."""


class TestMessages(OnPostgres, suite.MessagesConformance):
    """Messages in PostgreSQL."""


class TestAppends(OnPostgres, suite.AppendsConformance):
    """Appends to PostgreSQL."""


class TestIdempotency(OnPostgres, suite.IdempotencyConformance):
    """Idempotency keys in PostgreSQL."""


class TestScopes(OnPostgres, suite.ScopesConformance):
    """Walls in PostgreSQL."""


class TestRecallLoading(OnPostgres, suite.RecallLoadingConformance):
    """What a recall loads from PostgreSQL."""


class TestCandidates(OnPostgres, suite.CandidatesConformance):
    """Candidates of PostgreSQL."""


class TestEmbedding(OnPostgres, suite.EmbeddingConformance):
    """Vectors in PostgreSQL."""


class TestForgetting(OnPostgres, suite.ForgettingConformance):
    """Forgetting by PostgreSQL."""


class TestTransactions(OnPostgres, suite.TransactionsConformance):
    """Transactions of PostgreSQL."""


class TestRaces(OnPostgres, suite.RacesConformance):
    """Races on PostgreSQL."""
