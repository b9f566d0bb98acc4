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


class TestFacts(OnPostgres, suite.FactsConformance):
    """Facts in PostgreSQL."""


class TestRejections(OnPostgres, suite.RejectionsConformance):
    """Rejections in PostgreSQL."""


class TestSources(OnPostgres, suite.SourcesConformance):
    """What facts rest on in PostgreSQL."""


class TestFactLists(OnPostgres, suite.FactListsConformance):
    """Lists of facts in PostgreSQL."""


class TestHistory(OnPostgres, suite.HistoryConformance):
    """History in PostgreSQL."""


class TestFactImports(OnPostgres, suite.FactImportsConformance):
    """History that comes from elsewhere in PostgreSQL."""


class TestFactForgetting(OnPostgres, suite.FactForgettingConformance):
    """Forgetting facts in PostgreSQL."""


class TestFactMoving(OnPostgres, suite.FactMovingConformance):
    """Facts of moved threads in PostgreSQL."""


class TestFactLoading(OnPostgres, suite.FactLoadingConformance):
    """Facts that a recall loads in PostgreSQL."""


class TestFactRaces(OnPostgres, suite.FactRacesConformance):
    """Races for facts in PostgreSQL."""


class TestFormation(OnPostgres, suite.FormationConformance):
    """The queue of formation in PostgreSQL."""


class TestDueWork(OnPostgres, suite.DueWorkConformance):
    """Due work in PostgreSQL."""


class TestRetention(OnPostgres, suite.RetentionConformance):
    """Retention in PostgreSQL."""


class TestLikeness(OnPostgres, suite.LikenessConformance):
    """Any history in PostgreSQL."""


class TestFormationFailures(OnPostgres, suite.FormationFailuresConformance):
    """Failures of formation in PostgreSQL."""


class TestItems(OnPostgres, suite.ItemsConformance):
    """Items in PostgreSQL."""


class TestItemSearches(OnPostgres, suite.ItemSearchesConformance):
    """Items that are found in PostgreSQL."""


class TestGraph(OnPostgres, suite.GraphConformance):
    """The graph in PostgreSQL."""


class TestGraphEmbedding(OnPostgres, suite.GraphEmbeddingConformance):
    """Embeddings of entities in PostgreSQL."""


class TestGraphFollowing(OnPostgres, suite.GraphFollowingConformance):
    """Relations that follow their facts in PostgreSQL."""


class TestGraphForgetting(OnPostgres, suite.GraphForgettingConformance):
    """What is forgotten of the graph in PostgreSQL."""


class TestProjection(OnPostgres, suite.ProjectionConformance):
    """What PostgreSQL tells a projection."""


class TestCopying(OnPostgres, suite.CopyingConformance):
    """Tenants that are carried to PostgreSQL and from it."""
