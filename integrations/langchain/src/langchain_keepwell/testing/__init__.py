"""What a LangGraph store promises, as tests to be subclassed; they need pytest.

::

    from langchain_keepwell.testing import BaseStoreConformance, StoreOptions


    class TestMyStore(BaseStoreConformance):
        @pytest.fixture
        def make_store(self):
            def make(options: StoreOptions):
                return MyStore(...)

            return make

What a store does not claim to do is named in ``missing`` (its tests are skipped, visibly); what it is known to do wrong
in ``known_failures``: those tests must fail, with the reason given, so that a mended store is noticed.
"""

import pytest

# Before the suites are imported: without it a failing assert in them would not show its values.
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in ("base", "items", "searches", "lives", "together")))

from langchain_keepwell.testing.base import Capability, StoreOptions, WordEmbeddings  # noqa: E402 - see above
from langchain_keepwell.testing.items import ItemPromises  # noqa: E402
from langchain_keepwell.testing.lives import LifePromises  # noqa: E402
from langchain_keepwell.testing.searches import SearchPromises  # noqa: E402
from langchain_keepwell.testing.together import TogetherPromises  # noqa: E402


class BaseStoreConformance(ItemPromises, SearchPromises, LifePromises, TogetherPromises):
    """All that LangGraph's ``BaseStore`` promises, by its source and its documentation."""


__all__ = ["BaseStoreConformance", "Capability", "StoreOptions", "WordEmbeddings"]
