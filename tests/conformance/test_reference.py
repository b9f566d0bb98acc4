"""The reference store keeps every promise that it is the measure of."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from keepwell.storage.base import Store
from keepwell.testing import ReferenceStore
from keepwell.testing import conformance as suite


class OnReference:
    """Two reference stores on the same data."""

    @pytest.fixture
    def stores(self) -> tuple[Store, Store]:
        """Give two stores that share what they keep."""
        first = ReferenceStore()
        return first, ReferenceStore(first)

    async def connect(self, store: Store) -> AbstractAsyncContextManager[Any]:
        """Give a connection for asynchronous writes."""
        assert isinstance(store, ReferenceStore)
        return store.atransaction()


class TestThreads(OnReference, suite.ThreadsConformance):
    """Threads of the reference store."""


class TestCloning(OnReference, suite.CloningConformance):
    """Copies and moves in the reference store."""


class TestMessages(OnReference, suite.MessagesConformance):
    """Messages of the reference store."""


class TestAppends(OnReference, suite.AppendsConformance):
    """Appends to the reference store."""


class TestIdempotency(OnReference, suite.IdempotencyConformance):
    """Idempotency keys of the reference store."""


class TestScopes(OnReference, suite.ScopesConformance):
    """Walls of the reference store."""


class TestRecallLoading(OnReference, suite.RecallLoadingConformance):
    """What a recall loads from the reference store."""


class TestCandidates(OnReference, suite.CandidatesConformance):
    """Candidates of the reference store."""


class TestEmbedding(OnReference, suite.EmbeddingConformance):
    """Vectors of the reference store."""


class TestForgetting(OnReference, suite.ForgettingConformance):
    """Forgetting by the reference store."""


class TestTransactions(OnReference, suite.TransactionsConformance):
    """Transactions of the reference store."""


class TestRaces(OnReference, suite.RacesConformance):
    """Races on the reference store."""


class TestFacts(OnReference, suite.FactsConformance):
    """Facts in the reference store."""


class TestRejections(OnReference, suite.RejectionsConformance):
    """Rejections in the reference store."""


class TestSources(OnReference, suite.SourcesConformance):
    """What facts rest on in the reference store."""


class TestFactLists(OnReference, suite.FactListsConformance):
    """Lists of facts in the reference store."""


class TestHistory(OnReference, suite.HistoryConformance):
    """History in the reference store."""


class TestFactImports(OnReference, suite.FactImportsConformance):
    """History that comes from elsewhere in the reference store."""


class TestFactForgetting(OnReference, suite.FactForgettingConformance):
    """Forgetting facts in the reference store."""


class TestFactMoving(OnReference, suite.FactMovingConformance):
    """Facts of moved threads in the reference store."""


class TestFactLoading(OnReference, suite.FactLoadingConformance):
    """Facts that a recall loads in the reference store."""


class TestFactRaces(OnReference, suite.FactRacesConformance):
    """Races for facts in the reference store."""


class TestFormation(OnReference, suite.FormationConformance):
    """The queue of formation in the reference store."""


class TestDueWork(OnReference, suite.DueWorkConformance):
    """Due work in the reference store."""


class TestRetention(OnReference, suite.RetentionConformance):
    """Retention in the reference store."""


class TestLikeness(OnReference, suite.LikenessConformance):
    """Any history in the reference store."""


class TestFormationFailures(OnReference, suite.FormationFailuresConformance):
    """Failures of formation in the reference store."""


class TestItems(OnReference, suite.ItemsConformance):
    """Items in the reference store."""


class TestItemSearches(OnReference, suite.ItemSearchesConformance):
    """Items that are found in the reference store."""


class TestGraph(OnReference, suite.GraphConformance):
    """The graph in the reference store."""


class TestGraphEmbedding(OnReference, suite.GraphEmbeddingConformance):
    """Embeddings of entities in the reference store."""


class TestGraphFollowing(OnReference, suite.GraphFollowingConformance):
    """Relations that follow their facts in the reference store."""


class TestGraphForgetting(OnReference, suite.GraphForgettingConformance):
    """What is forgotten of the graph in the reference store."""


class TestProjection(OnReference, suite.ProjectionConformance):
    """What the reference store tells a projection."""


class TestCopying(OnReference, suite.CopyingConformance):
    """Tenants that are carried to the reference store and from it."""
