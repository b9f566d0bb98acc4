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
            "threads",
            "cloning",
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
        )
    )
)

from keepwell.testing.conformance.appends import AppendsConformance  # noqa: E402 - see above
from keepwell.testing.conformance.base import Capability, StoreConformance  # noqa: E402
from keepwell.testing.conformance.candidates import CandidatesConformance  # noqa: E402
from keepwell.testing.conformance.cloning import CloningConformance  # noqa: E402
from keepwell.testing.conformance.embedding import EmbeddingConformance  # noqa: E402
from keepwell.testing.conformance.forgetting import ForgettingConformance  # noqa: E402
from keepwell.testing.conformance.idempotency import IdempotencyConformance  # noqa: E402
from keepwell.testing.conformance.messages import MessagesConformance  # noqa: E402
from keepwell.testing.conformance.races import RacesConformance  # noqa: E402
from keepwell.testing.conformance.recall_loading import RecallLoadingConformance  # noqa: E402
from keepwell.testing.conformance.scopes import ScopesConformance  # noqa: E402
from keepwell.testing.conformance.threads import ThreadsConformance  # noqa: E402
from keepwell.testing.conformance.transactions import TransactionsConformance  # noqa: E402

__all__ = [
    "AppendsConformance",
    "CandidatesConformance",
    "Capability",
    "CloningConformance",
    "EmbeddingConformance",
    "ForgettingConformance",
    "IdempotencyConformance",
    "MessagesConformance",
    "RacesConformance",
    "RecallLoadingConformance",
    "ScopesConformance",
    "StoreConformance",
    "ThreadsConformance",
    "TransactionsConformance",
]
