"""Promises that every store must keep, as tests to be subclassed; they need pytest.

A backend is proved by one class a suite, each with the one fixture that the suites ask for::

    from keepwell.testing.conformance import MessagesConformance, ThreadsConformance


    class TestThreads(ThreadsConformance):
        @pytest.fixture
        def stores(self):
            first, second = MyStore(...), MyStore(...)  # two independent ones on the same data
            yield first, second
            first.close()
            second.close()

What a backend cannot do is named in ``missing``, and its tests are skipped, visibly.
"""

import pytest

# Before the suites are imported: without it a failing assert in them would not show its values.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{suite}"
        for suite in (
            "base",
            "mirror",
            "facts_base",
            "threads",
            "cloning",
            "copying",
            "messages",
            "appends",
            "idempotency",
            "scopes",
            "recall_loading",
            "candidates",
            "embedding",
            "forgetting",
            "transactions",
            "races",
            "facts",
            "fact_rejections",
            "fact_sources",
            "fact_lists",
            "fact_history",
            "fact_imports",
            "fact_forgetting",
            "fact_moving",
            "fact_loading",
            "fact_races",
            "formation",
            "due_work",
            "retention",
            "likeness",
            "graph_base",
            "graph",
            "graph_following",
            "graph_forgetting",
            "graph_embedding",
            "projection",
            "items_base",
            "items",
            "item_searches",
            "formation_failures",
        )
    )
)

from keepwell.testing.conformance.appends import AppendsConformance  # noqa: E402 - see above
from keepwell.testing.conformance.base import Capability, StoreConformance  # noqa: E402
from keepwell.testing.conformance.candidates import CandidatesConformance  # noqa: E402
from keepwell.testing.conformance.cloning import CloningConformance  # noqa: E402
from keepwell.testing.conformance.copying import CopyingConformance  # noqa: E402
from keepwell.testing.conformance.due_work import DueWorkConformance  # noqa: E402
from keepwell.testing.conformance.embedding import EmbeddingConformance  # noqa: E402
from keepwell.testing.conformance.fact_forgetting import FactForgettingConformance  # noqa: E402
from keepwell.testing.conformance.fact_history import HistoryConformance  # noqa: E402
from keepwell.testing.conformance.fact_imports import FactImportsConformance  # noqa: E402
from keepwell.testing.conformance.fact_lists import FactListsConformance  # noqa: E402
from keepwell.testing.conformance.fact_loading import FactLoadingConformance  # noqa: E402
from keepwell.testing.conformance.fact_moving import FactMovingConformance  # noqa: E402
from keepwell.testing.conformance.fact_races import FactRacesConformance  # noqa: E402
from keepwell.testing.conformance.fact_rejections import RejectionsConformance  # noqa: E402
from keepwell.testing.conformance.fact_sources import SourcesConformance  # noqa: E402
from keepwell.testing.conformance.facts import FactsConformance  # noqa: E402
from keepwell.testing.conformance.forgetting import ForgettingConformance  # noqa: E402
from keepwell.testing.conformance.formation import FormationConformance  # noqa: E402
from keepwell.testing.conformance.formation_failures import FormationFailuresConformance  # noqa: E402
from keepwell.testing.conformance.graph import GraphConformance  # noqa: E402
from keepwell.testing.conformance.graph_embedding import GraphEmbeddingConformance  # noqa: E402
from keepwell.testing.conformance.graph_following import GraphFollowingConformance  # noqa: E402
from keepwell.testing.conformance.graph_forgetting import GraphForgettingConformance  # noqa: E402
from keepwell.testing.conformance.idempotency import IdempotencyConformance  # noqa: E402
from keepwell.testing.conformance.item_searches import ItemSearchesConformance  # noqa: E402
from keepwell.testing.conformance.items import ItemsConformance  # noqa: E402
from keepwell.testing.conformance.likeness import LikenessConformance  # noqa: E402
from keepwell.testing.conformance.messages import MessagesConformance  # noqa: E402
from keepwell.testing.conformance.projection import ProjectionConformance  # noqa: E402
from keepwell.testing.conformance.races import RacesConformance  # noqa: E402
from keepwell.testing.conformance.recall_loading import RecallLoadingConformance  # noqa: E402
from keepwell.testing.conformance.retention import RetentionConformance  # noqa: E402
from keepwell.testing.conformance.scopes import ScopesConformance  # noqa: E402
from keepwell.testing.conformance.threads import ThreadsConformance  # noqa: E402
from keepwell.testing.conformance.transactions import TransactionsConformance  # noqa: E402

__all__ = [
    "AppendsConformance",
    "CandidatesConformance",
    "Capability",
    "CloningConformance",
    "CopyingConformance",
    "DueWorkConformance",
    "EmbeddingConformance",
    "FactForgettingConformance",
    "FactImportsConformance",
    "FactListsConformance",
    "FactLoadingConformance",
    "FactMovingConformance",
    "FactRacesConformance",
    "FactsConformance",
    "ForgettingConformance",
    "FormationConformance",
    "FormationFailuresConformance",
    "GraphConformance",
    "GraphEmbeddingConformance",
    "GraphFollowingConformance",
    "GraphForgettingConformance",
    "HistoryConformance",
    "IdempotencyConformance",
    "ItemSearchesConformance",
    "ItemsConformance",
    "LikenessConformance",
    "MessagesConformance",
    "ProjectionConformance",
    "RacesConformance",
    "RecallLoadingConformance",
    "RejectionsConformance",
    "RetentionConformance",
    "ScopesConformance",
    "SourcesConformance",
    "StoreConformance",
    "ThreadsConformance",
    "TransactionsConformance",
]
