"""Promises of searching: by fields, by a query, page by page."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from langgraph.store.base import BaseStore, SearchOp

from langchain_keepwell.testing.base import MakeStore, Promises, StoreOptions, WordEmbeddings, keys

NOON = dt.datetime(2024, 5, 17, 12, tzinfo=dt.UTC)
PEOPLE: dict[str, dict[str, Any]] = {
    "a": {"n": 2, "name": "Ada", "on": True, "home": {"city": "Rome", "zip": 7}, "tags": ["x", "y"]},
    "b": {"n": 10, "name": "bob", "on": False, "home": {"city": "Oslo", "zip": 70}, "tags": []},
    "c": {"n": 9.5, "name": "cyd", "home": {}},
}
DOCUMENTED: list[tuple[dict[str, Any], str]] = [
    ({}, "abc"),
    ({"name": "bob"}, "b"),
    ({"n": 10}, "b"),
    ({"on": True}, "a"),
    ({"on": {"$eq": False}}, "b"),
    ({"n": {"$ne": 10}}, "ac"),
    ({"n": {"$gt": 9}}, "bc"),
    ({"n": {"$gte": 10}}, "b"),
    ({"n": {"$lt": 9.75}}, "ac"),
    ({"n": {"$lte": 2}}, "a"),
    ({"n": {"$gt": 2, "$lt": 10}}, "c"),
    ({"name": "Ada", "n": 10}, ""),
    ({"home": {"city": "Rome", "zip": 7}}, "a"),
    ({"home": {"city": "Oslo"}}, "b"),
    ({"home": {"zip": {"$gt": 8}}}, "b"),
    ({"tags": ["x", "y"]}, "a"),
    ({"missing": 1}, ""),
    ({"missing": {"$gt": 1}}, ""),
    ({"missing": {"$ne": 1}}, "abc"),
]
MORE: list[tuple[dict[str, Any], str]] = [
    ({"n": {"$in": [2, 10]}}, "ab"),
    ({"n": {"$nin": [2, 10]}}, "c"),
    ({"on": {"$exists": True}}, "ab"),
    ({"on": {"$exists": False}}, "c"),
    ({"$or": [{"n": 2}, {"name": "cyd"}]}, "ac"),
    ({"$and": [{"n": {"$gt": 2}}, {"name": {"$lt": "c"}}]}, "b"),
    ({"$not": {"n": 2}}, "bc"),
    ({"n": {"$not": {"$gt": 9}}}, "a"),
    ({"home.city": "Rome"}, "a"),
]
TEXTS = {"tea": "green tea in the morning", "car": "the old car is broken", "cat": "her cat sleeps on the sofa"}


class SearchPromises(Promises):
    """What a store promises of searches."""

    # --- below a namespace

    def test_below_a_namespace(self, store: BaseStore) -> None:
        """A search finds what is in a namespace and below it, by whole labels; the empty one is above all."""
        for namespace in (("u",), ("u", "x"), ("u", "x", "y"), ("u2",), ("v", "u")):
            store.put(namespace, "/".join(namespace), {"n": 1})
        assert sorted(keys(store.search(("u",)))) == ["u", "u/x", "u/x/y"]
        assert sorted(keys(store.search(("u", "x")))) == ["u/x", "u/x/y"]
        assert len(store.search(())) == 5
        assert store.search(("x",)) == []

    def test_ten_by_default(self, store: BaseStore) -> None:
        """A search gives ten, or as many as it was asked for; each has its place, times, and no score."""
        for n in range(12):
            store.put(("n",), f"k{n}", {"n": n})
        assert len(store.search(("n",))) == 10
        (one,) = store.search(("n",), filter={"n": 3}, limit=20)
        assert (one.namespace, one.key, one.value, one.score) == (("n",), "k3", {"n": 3}, None)
        assert one.created_at <= one.updated_at

    def test_pages(self, store: BaseStore) -> None:
        """Pages reach each item once."""
        for n in range(23):
            store.put(("n",), f"k{n}", {"n": n})
        pages = [store.search(("n",), limit=5, offset=start) for start in range(0, 30, 5)]
        assert sorted(key for page in pages for key in keys(page)) == sorted(f"k{n}" for n in range(23))

    def test_the_newest_first(self, store: BaseStore) -> None:
        """Without a query what was put last comes first."""
        self.needs("newest_first")
        for key in "abc":
            store.put(("n",), key, {"n": 1})
        store.put(("n",), "a", {"n": 2})
        assert keys(store.search(("n",))) == ["a", "c", "b"]

    # --- by fields

    @pytest.fixture
    def people(self, store: BaseStore) -> BaseStore:
        """Give a store with some people."""
        for key, value in PEOPLE.items():
            store.put(("p",), key, value)
        return store

    @pytest.mark.parametrize(("where", "expected"), DOCUMENTED, ids=[str(where) for where, _ in DOCUMENTED])
    def test_filters(self, people: BaseStore, where: dict[str, Any], expected: str) -> None:
        """Fields are equal or compared, numbers as numbers; what is not there fits nothing, and is not equal."""
        assert sorted(keys(people.search(("p",), filter=where))) == list(expected)

    @pytest.mark.parametrize(("where", "expected"), MORE, ids=[str(where) for where, _ in MORE])
    def test_more_filters(self, people: BaseStore, where: dict[str, Any], expected: str) -> None:
        """Filters are put together."""
        self.needs("operators")
        assert sorted(keys(people.search(("p",), filter=where))) == list(expected)

    def test_dates(self, store: BaseStore) -> None:
        """Dates are compared as instants, however they are written."""
        self.needs("dates")
        hour = dt.timedelta(hours=1)
        store.put(("d",), "before", {"at": (NOON - hour).astimezone(dt.timezone(5 * hour)).isoformat()})
        store.put(("d",), "after", {"at": "2024-05-17T13:00:00Z"})
        assert keys(store.search(("d",), filter={"at": {"$gt": NOON}})) == ["after"]
        assert keys(store.search(("d",), filter={"at": {"$lte": NOON}})) == ["before"]

    @pytest.mark.parametrize("hostile", ["' or 1=1 --", '" || true || "', "a.$", "%", "a\\"])
    def test_a_filter_says_no_more(self, people: BaseStore, hostile: str) -> None:
        """Neither the names nor the operands of a filter mean anything but themselves."""
        assert people.search(("p",), filter={hostile: "x"}) == []
        assert people.search(("p",), filter={"name": hostile}) == []
        assert len(people.search(("p",))) == 3

    def test_an_unknown_operator(self, people: BaseStore) -> None:
        """An operator that is not known is an error, not an empty answer."""
        with pytest.raises(ValueError, match="like"):
            people.search(("p",), filter={"n": {"$like": 1}})

    # --- by a query

    @pytest.fixture
    def texts(self, searched: BaseStore) -> BaseStore:
        """Give a store with some texts."""
        for key, text in TEXTS.items():
            searched.put(("t",), key, {"text": text, "n": len(key)})
        return searched

    def test_the_best_first(self, texts: BaseStore) -> None:
        """A query gives what fits best first; a higher score is better."""
        found = texts.search(("t",), query="the broken car")
        assert found[0].key == "car"
        scores = [one.score for one in found]
        assert None not in scores
        assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]  # none of them is None
        assert texts.search(("t",))[0].score is None

    def test_a_query_stays_below_the_namespace(self, texts: BaseStore) -> None:
        """A query finds nothing elsewhere, however well it fits."""
        texts.put(("other",), "k", {"text": TEXTS["tea"]})
        assert keys(texts.search(("other",), query="cat")) == ["k"]
        assert "k" not in keys(texts.search(("t",), query=TEXTS["tea"]))

    def test_a_query_and_a_filter(self, texts: BaseStore) -> None:
        """A filter holds for what a query finds, before the page is cut."""
        for n in range(20):
            texts.put(("t",), f"k{n}", {"text": "green tea", "n": n})
        assert keys(texts.search(("t",), query="green tea", filter={"n": {"$gte": 19}}, limit=1)) == ["k19"]

    def test_an_update_leaves_no_stale_match(self, texts: BaseStore) -> None:
        """What an item does not say any more finds it no better than anything else."""
        texts.put(("t",), "tea", {"text": "zebra"})
        found = {one.key: one.score for one in texts.search(("t",), query=TEXTS["tea"])}
        assert (found["tea"] or 0) < 0.3

    def test_less_to_find_leaves_no_stale_match(self, searched: BaseStore) -> None:
        """Where a field has fewer texts than before, those that went find nothing."""
        searched.put(("t",), "k", {"list": ["horse", "zebra"]}, index=["list[*]"])
        searched.put(("t",), "k", {"list": ["horse"]}, index=["list[*]"])
        (found,) = searched.search(("t",), query="zebra")
        assert (found.score or 0) < 0.3

    def test_no_index_leaves_no_stale_match(self, texts: BaseStore) -> None:
        """What is put again without an index is not found by what it said before."""
        texts.put(("t",), "tea", {"text": TEXTS["tea"]}, index=False)
        found = {one.key: one.score for one in texts.search(("t",), query=TEXTS["tea"])}
        assert not found.get("tea")
        assert texts.get(("t",), "tea") is not None
        assert "tea" in keys(texts.search(("t",)))

    def test_the_deleted_are_not_found(self, texts: BaseStore) -> None:
        """What was deleted is found by no query."""
        texts.delete(("t",), "tea")
        assert sorted(keys(texts.search(("t",), query=TEXTS["tea"]))) == ["car", "cat"]

    def test_fields_of_a_put(self, searched: BaseStore) -> None:
        """A put says by which fields an item is found: nested ones, places of lists, each of a list."""
        value = {"text": "plain", "by": {"name": "zebra"}, "list": [{"say": "apple"}, {"say": "pear"}]}
        searched.put(("f",), "named", value, index=["by.name"])
        searched.put(("f",), "each", value, index=["list[*].say"])
        searched.put(("f",), "last", value, index=["list[-1].say"])
        searched.put(("f",), "plain", value)
        best = {word: searched.search(("f",), query=word)[0] for word in ("zebra", "apple", "plain")}
        assert {word: one.key for word, one in best.items()} == {"zebra": "named", "apple": "each", "plain": "plain"}
        assert sorted(keys(searched.search(("f",), query="pear", limit=2))) == ["each", "last"]

    def test_several_fields_count_by_the_best(self, make_store: MakeStore, embeddings: WordEmbeddings) -> None:
        """An item with several fields is found by the one that fits best, and once."""
        self.needs("search")
        store = make_store(StoreOptions(embeddings, ("title", "body")))
        store.put(("t",), "both", {"title": "zebra", "body": "long story about everything else there is"})
        store.put(("t",), "near", {"title": "horse", "body": "zebra or not"})
        found = store.search(("t",), query="zebra")
        assert keys(found) == ["both", "near"]

    def test_the_whole_value(self, make_store: MakeStore, embeddings: WordEmbeddings) -> None:
        """By default an item is found by all that is in it."""
        self.needs("search")
        store = make_store(StoreOptions(embeddings, ("$",)))
        store.put(("t",), "a", {"x": {"y": "zebra"}})
        store.put(("t",), "b", {"x": "horse"})
        assert store.search(("t",), query="zebra")[0].key == "a"

    def test_pages_of_a_query(self, make_store: MakeStore, embeddings: WordEmbeddings) -> None:
        """Pages of what a query gives reach each item once, however many fields it has."""
        self.needs("search")
        store = make_store(StoreOptions(embeddings, ("title", "body")))
        for n in range(40):
            store.put(("t",), f"k{n}", {"title": f"title {n}", "body": f"body {n % 3}"})
        pages = [store.search(("t",), query="title", limit=2, offset=start) for start in range(0, 42, 2)]
        found = [key for page in pages for key in keys(page)]
        assert sorted(found) == sorted(f"k{n}" for n in range(40))

    def test_questions_are_asked_as_questions(self, texts: BaseStore, embeddings: WordEmbeddings) -> None:
        """A query is embedded as a query, which many models tell from a document."""
        before = (embeddings.documents, embeddings.queries)
        texts.search(("t",), query="tea")
        assert (embeddings.documents - before[0], embeddings.queries - before[1]) == (0, 1)

    def test_queries_of_a_batch(self, texts: BaseStore) -> None:
        """Each query of a batch is answered for itself."""
        found = texts.batch([SearchOp(("t",), query=TEXTS[key], limit=1) for key in TEXTS])
        assert [keys(one) for one in found] == [[key] for key in TEXTS]  # type: ignore[arg-type]  # searches give lists

    def test_a_query_without_an_index(self, store: BaseStore) -> None:
        """Where nothing is embedded a query is no error, and what was put can be found."""
        store.put(("t",), "k", {"text": "tea"})
        assert keys(store.search(("t",), query="tea")) == ["k"]
