"""Promises of items that expire."""

from __future__ import annotations

import time

import pytest
from langgraph.store.base import BaseStore

from langchain_keepwell.testing.base import MakeStore, Promises, StoreOptions, keys

SHORT = 0.4
"""Seconds for which items live here."""


class LifePromises(Promises):
    """What a store promises of time to live, which is in minutes and counts from the last read or write."""

    @pytest.fixture
    def living(self, make_store: MakeStore) -> BaseStore:
        """Give a store whose items may expire, and are there for no read after that."""
        self.needs("ttl")
        return make_store(StoreOptions(ttl={"refresh_on_read": True, "omit_expired": True}))

    def test_over(self, living: BaseStore) -> None:
        """An item is there until its time is over."""
        living.put(("n",), "k", {"n": 1}, ttl=SHORT / 60)
        living.put(("n",), "l", {"n": 1})
        assert living.get(("n",), "k", refresh_ttl=False) is not None
        time.sleep(SHORT * 1.5)
        assert living.get(("n",), "k") is None
        assert keys(living.search(("n",))) == ["l"]

    def test_a_namespace_is_over_with_its_items(self, living: BaseStore) -> None:
        """A namespace in which all items are past their time is not listed."""
        living.put(("n",), "k", {"n": 1}, ttl=SHORT / 60)
        time.sleep(SHORT * 1.5)
        assert living.list_namespaces() == []

    @pytest.mark.parametrize("how", ["get", "search"])
    def test_reading_keeps_alive(self, living: BaseStore, how: str) -> None:
        """Each read begins the time anew, of less than a minute as well."""
        living.put(("n",), "k", {"n": 1}, ttl=SHORT / 60)
        for _ in range(4):
            time.sleep(SHORT / 2)
            found = living.get(("n",), "k") if how == "get" else living.search(("n",))
            assert found
        time.sleep(SHORT * 1.5)
        assert living.get(("n",), "k") is None

    def test_looking_does_not_keep_alive(self, living: BaseStore) -> None:
        """A read that says so leaves the time as it is."""
        living.put(("n",), "k", {"n": 1}, ttl=SHORT / 60)
        for _ in range(3):
            time.sleep(SHORT / 2)
            living.get(("n",), "k", refresh_ttl=False)
            living.search(("n",), refresh_ttl=False)
        assert living.get(("n",), "k", refresh_ttl=False) is None

    def test_a_read_does_not_kill(self, living: BaseStore) -> None:
        """An item that lives for less than a minute is there at the second read as at the first."""
        living.put(("n",), "k", {"n": 1}, ttl=0.4)
        assert [living.get(("n",), "k") is not None for _ in range(3)] == [True] * 3

    def test_a_put_begins_anew(self, living: BaseStore) -> None:
        """Each put says for how long: longer, or for good."""
        for key in "kl":
            living.put(("n",), key, {"n": 1}, ttl=SHORT / 60)
        living.put(("n",), "k", {"n": 1})
        living.put(("n",), "l", {"n": 2}, ttl=1)
        time.sleep(SHORT * 1.5)
        assert sorted(keys(living.search(("n",)))) == ["k", "l"]

    def test_the_time_of_the_store(self, make_store: MakeStore) -> None:
        """What a put leaves open the store's setting says; None is for good."""
        self.needs("ttl")
        store = make_store(
            StoreOptions(ttl={"default_ttl": SHORT / 60, "refresh_on_read": False, "omit_expired": True})
        )
        store.put(("n",), "k", {"n": 1})
        store.put(("n",), "l", {"n": 1}, ttl=None)
        time.sleep(SHORT / 2)
        assert store.get(("n",), "k") is not None
        time.sleep(SHORT)
        assert store.get(("n",), "k") is None
        assert store.get(("n",), "l") is not None
