"""Neo4j keeps every promise of a store, but those that it names as missing."""

from collections.abc import Iterator
from types import ModuleType
from typing import ClassVar, Final

import pytest

from keepwell.errors import UsageError
from keepwell.storage import base, facts, graph, items, languages
from keepwell.storage.base import Store, Write
from keepwell.testing import conformance as suite

NOT_HERE: Final[frozenset[suite.Capability]] = frozenset(
    {"async_transactions", "items", "item_searches", "graph", "graph_embedding", "graph_forgetting", "projection"}
)
"""What needs PostgreSQL: transactions of asynchronous callers, LangGraph's store, and the graph of the record."""


@pytest.fixture(scope="module")
def two_stores(neo4j_uri: str) -> Iterator[tuple[Store, Store]]:
    """Give two stores on one server; each test has a tenant of its own there."""
    from keepwell.storage.neo4j.store import Neo4jStore

    first, second = Neo4jStore(neo4j_uri), Neo4jStore(neo4j_uri)
    yield first, second
    first.close()
    second.close()


class OnNeo4j:
    """Two stores on one server, each with its own connections."""

    missing: ClassVar[frozenset[suite.Capability]] = NOT_HERE

    @pytest.fixture
    def stores(self, two_stores: tuple[Store, Store]) -> tuple[Store, Store]:
        """Give two stores that share a database."""
        return two_stores


class TestThreads(OnNeo4j, suite.ThreadsConformance):
    """Threads in Neo4j."""


class TestCloning(OnNeo4j, suite.CloningConformance):
    """Copies and moves in Neo4j."""


class TestMessages(OnNeo4j, suite.MessagesConformance):
    """Messages in Neo4j."""


class TestAppends(OnNeo4j, suite.AppendsConformance):
    """Appends to Neo4j."""


class TestIdempotency(OnNeo4j, suite.IdempotencyConformance):
    """Idempotency keys in Neo4j."""


class TestScopes(OnNeo4j, suite.ScopesConformance):
    """Walls in Neo4j."""


class TestRecallLoading(OnNeo4j, suite.RecallLoadingConformance):
    """What a recall loads from Neo4j."""


class TestCandidates(OnNeo4j, suite.CandidatesConformance):
    """Candidates of Neo4j."""


class TestEmbedding(OnNeo4j, suite.EmbeddingConformance):
    """Vectors in Neo4j."""


class TestForgetting(OnNeo4j, suite.ForgettingConformance):
    """Forgetting by Neo4j."""


class TestTransactions(OnNeo4j, suite.TransactionsConformance):
    """Transactions of Neo4j."""


class TestRaces(OnNeo4j, suite.RacesConformance):
    """Races on Neo4j."""


class TestFacts(OnNeo4j, suite.FactsConformance):
    """Facts in Neo4j."""


class TestRejections(OnNeo4j, suite.RejectionsConformance):
    """Rejections in Neo4j."""


class TestSources(OnNeo4j, suite.SourcesConformance):
    """What facts rest on in Neo4j."""


class TestFactLists(OnNeo4j, suite.FactListsConformance):
    """Lists of facts in Neo4j."""


class TestHistory(OnNeo4j, suite.HistoryConformance):
    """History in Neo4j."""


class TestFactImports(OnNeo4j, suite.FactImportsConformance):
    """History that comes from elsewhere in Neo4j."""


class TestFactForgetting(OnNeo4j, suite.FactForgettingConformance):
    """Forgetting facts in Neo4j."""


class TestFactMoving(OnNeo4j, suite.FactMovingConformance):
    """Facts of moved threads in Neo4j."""


class TestFactLoading(OnNeo4j, suite.FactLoadingConformance):
    """Facts that a recall loads in Neo4j."""


class TestFactRaces(OnNeo4j, suite.FactRacesConformance):
    """Races for facts in Neo4j."""


class TestFormation(OnNeo4j, suite.FormationConformance):
    """The queue of formation in Neo4j."""


class TestDueWork(OnNeo4j, suite.DueWorkConformance):
    """Due work in Neo4j."""


class TestRetention(OnNeo4j, suite.RetentionConformance):
    """Retention in Neo4j."""


class TestLikeness(OnNeo4j, suite.LikenessConformance):
    """Any history in Neo4j."""


class TestFormationFailures(OnNeo4j, suite.FormationFailuresConformance):
    """Failures of formation in Neo4j."""


class TestItems(OnNeo4j, suite.ItemsConformance):
    """Items in Neo4j."""


class TestItemSearches(OnNeo4j, suite.ItemSearchesConformance):
    """Items that are found in Neo4j."""


class TestCopying(OnNeo4j, suite.CopyingConformance):
    """Tenants that are carried to Neo4j and from it."""


class TestGraph(OnNeo4j, suite.GraphConformance):
    """The graph of the record, which a Neo4j store does not keep."""


class TestGraphEmbedding(OnNeo4j, suite.GraphEmbeddingConformance):
    """Embeddings of entities, which a Neo4j store does not keep."""


class TestGraphFollowing(OnNeo4j, suite.GraphFollowingConformance):
    """Relations that follow their facts, which a Neo4j store does not keep."""


class TestGraphForgetting(OnNeo4j, suite.GraphForgettingConformance):
    """Forgetting in the graph, which a Neo4j store does not keep."""


class TestProjection(OnNeo4j, suite.ProjectionConformance):
    """The outbox of the projection, which a Neo4j store does not keep."""


def test_every_suite_is_run() -> None:
    """There is one class for each suite, and nothing is left out but what is named."""
    classes = [one for name, one in globals().items() if name.startswith("Test")]
    for name in suite.__all__:
        kind = getattr(suite, name)
        if isinstance(kind, type) and kind is not suite.StoreConformance:
            assert sum(issubclass(one, kind) for one in classes) == 1, name


@pytest.mark.parametrize("module", [base, facts, languages], ids=lambda one: one.__name__.rpartition(".")[2])
def test_every_operation_is_known(module: ModuleType) -> None:
    """Everything that the seam names of conversations, facts and languages can be done on Neo4j."""
    from keepwell.storage.neo4j.record import READS, WRITES

    named = {
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, base.Write | base.Read) and one.__module__ == module.__name__
    }
    assert named - {base.Write, base.Read} <= {*WRITES, *READS}


@pytest.mark.parametrize("change", [graph.PruneOutbox("1"), items.KeepItems((1,))], ids=lambda one: type(one).__name__)
def test_what_it_cannot_do(two_stores: tuple[Store, Store], change: Write[int]) -> None:
    """What is not there is refused in words that say where it is."""
    with pytest.raises(UsageError, match="use a PostgreSQL store"):
        two_stores[0].record("t").write(change)
