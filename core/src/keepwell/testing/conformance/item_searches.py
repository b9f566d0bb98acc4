"""Finding items: below a namespace, by their fields, by their words and by their vectors."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import pytest

from keepwell.models.items import SHARED, prefix_of
from keepwell.storage.base import Record
from keepwell.storage.facts import FactsWithoutVectors, TakeDue
from keepwell.storage.items import FindItems
from keepwell.testing.conformance.base import ADA, BOB, Capability, StoreConformance, open_space, unit
from keepwell.testing.conformance.facts_base import LEASE
from keepwell.testing.conformance.items_base import SPACE, find, item, put, spaces

MAY = dt.datetime(2024, 5, 17, 14, tzinfo=dt.UTC)
PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"n": 2, "name": "Ada", "on": True, "tags": ["a", "b"], "home": {"city": "Rome", "zip": 7}, "at": MAY},
    "bob": {"n": 10, "name": "bob", "on": False, "tags": [], "home": {"city": "Oslo"}, "at": "2024-05-17T15:00:00Z"},
    "cyd": {"n": 9.5, "name": None, "home": {}, "at": "2024-05-17T15:30:00.25+02:00", "a.b": 1},
    "dot": {"n": "10", "on": 1, "a": {"b": 2}, "at": "2024-05-17", "home": "Rome"},
}
FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "ada bob cyd dot"),
    ({"n": 10}, "bob"),
    ({"n": "10"}, "dot"),
    ({"n": {"$gte": 10}}, "bob"),
    ({"n": {"$gt": 2, "$lt": 10}}, "cyd"),
    ({"n": {"$lte": 9.5}}, "ada cyd"),
    ({"n": {"$gt": "1"}}, "dot"),
    ({"n": {"$ne": 10}}, "ada cyd dot"),
    ({"name": {"$gt": "A"}}, "ada bob"),
    ({"name": {"$lt": "a"}}, "ada"),
    ({"name": None}, "cyd dot"),
    ({"name": {"$ne": None}}, "ada bob"),
    ({"name": {"$exists": True}}, "ada bob cyd"),
    ({"name": {"$exists": False}}, "dot"),
    ({"on": True}, "ada"),
    ({"on": 1}, "dot"),
    ({"on": {"$gte": False}}, "ada bob"),
    ({"on": {"$ne": True}}, "bob cyd dot"),
    ({"n": {"$in": [2, "10"]}}, "ada dot"),
    ({"n": {"$in": []}}, ""),
    ({"n": {"$nin": [2, "10"]}}, "bob cyd"),
    ({"missing": {"$nin": [1]}}, "ada bob cyd dot"),
    ({"missing": {"$gt": 1}}, ""),
    ({"missing": {"$not": {"$gt": 1}}}, "ada bob cyd dot"),
    ({"n": {"$not": {"$gte": 5}}}, "ada dot"),
    ({"home": {"city": "Rome"}}, "ada"),
    ({"home.city": "Rome"}, "ada"),
    ({"home": {"city": {"$in": ["Rome", "Oslo"]}, "zip": {"$exists": False}}}, "bob"),
    ({"home": {}}, "ada bob cyd"),
    ({"home": "Rome"}, "dot"),
    ({"a.b": 1}, "cyd"),
    ({"a.b": 2}, "dot"),
    ({"a.b": {"$gte": 1}}, "cyd dot"),
    ({"a.b": {"$ne": 1}}, "ada bob dot"),
    ({"tags": ["a", "b"]}, "ada"),
    ({"tags": ["a"]}, ""),
    ({"tags": []}, "bob"),
    ({"tags": "a"}, ""),
    ({"$or": [{"n": 2}, {"home": {"city": "Oslo"}}]}, "ada bob"),
    ({"$and": [{"n": {"$gt": 1}}, {"on": {"$exists": True}}], "name": "bob"}, "bob"),
    ({"$not": {"n": 2}}, "bob cyd dot"),
    ({"$not": {"$or": [{"n": 2}, {"missing": 1}]}}, "bob cyd dot"),
    ({"$not": {"$and": [{"n": {"$gt": 5}}, {"on": False}]}}, "ada cyd dot"),
    ({"$or": []}, ""),
    ({"$and": []}, "ada bob cyd dot"),
    ({"at": MAY}, "ada"),
    ({"at": {"$gt": MAY}}, "bob"),
    ({"at": {"$gte": MAY.astimezone(dt.timezone(dt.timedelta(hours=-5)))}}, "ada bob"),
    ({"at": {"$lt": MAY}}, "cyd"),
    ({"at": {"$not": {"$lt": MAY}}}, "ada bob dot"),
    ({"at": dt.date(2024, 5, 17)}, "dot"),
    ({"at": {"$lt": dt.datetime(2024, 5, 17, 1)}}, "dot"),  # noqa: DTZ001 - one without a zone is meant
    ({"'; drop table x; --": {"$exists": False}}, "ada bob cyd dot"),
    ({'n" == 1 || "': {"$exists": True}}, ""),
    ({"name": '" || 1 == 1 || "'}, ""),
    ({"a\x00b": {"$exists": True}}, ""),
]


class ItemSearchesConformance(StoreConformance):
    """What a store promises of finding items."""

    capability: ClassVar[Capability] = "item_searches"

    # --- where

    def test_below_a_namespace(self, record: Record) -> None:
        """A search finds what lies in a namespace and below it, by whole labels, and nothing beside it."""
        for namespace in (("u",), ("u", "x"), ("u", "x", "y"), ("u2",), ("u", "x2"), ("a", "u")):
            put(record, item("/".join(namespace), "t", namespace=namespace))
        assert set(find(record, ())) == {"u", "u/x", "u/x/y", "u2", "u/x2", "a/u"}
        assert set(find(record, ("u",))) == {"u", "u/x", "u/x/y", "u/x2"}
        assert set(find(record, ("u", "x"))) == {"u/x", "u/x/y"}
        assert find(record, ("x",)) == []

    def test_of_all_owners(self, record: Record, stranger: Record) -> None:
        """Without an owner it finds those of all owners, and none of another tenant."""
        put(record, item("a", "t"), item("b", "t", owner=BOB))
        put(stranger, item("c", "t"))
        for words in (None, ("t",)):
            assert set(find(record, owner=None, terms=words)) == {"a", "b"}
            assert find(record, owner=BOB, terms=words) == ["b"]
        assert spaces(record, owner=None) == [SPACE]

    def test_namespaces(self, record: Record) -> None:
        """Namespaces are listed once each, in order, those of an owner or of all."""
        names = [("a",), ("a", "0"), ("a", "b"), ("a", "b", "c"), ("a", "b0"), ("z", "~")]
        for namespace in reversed(names):
            put(record, *(item(f"{n}", "t", namespace=namespace) for n in range(3)))
        put(record, item("k", "t", namespace=("m",), owner=BOB))
        assert set(spaces(record)) == set(names)
        assert len(spaces(record)) == len(names)
        assert set(spaces(record, ("a",))) == set(names[:-1])
        assert set(spaces(record, ("a", "b"))) == {("a", "b"), ("a", "b", "c")}
        assert set(spaces(record, owner=None)) == {*names, ("m",)}
        assert spaces(record, owner=BOB) == [("m",)]
        put(record, *(item(f"{n}", None, namespace=("a", "b")) for n in range(3)))
        assert ("a", "b") not in spaces(record)

    # --- in order

    def test_the_last_first(self, record: Record) -> None:
        """Without a query what was put last comes first."""
        for key in "abcd":
            put(record, item(key, "t"))
        put(record, item("b", "anew"))
        put(record, item("a", "t"))
        assert find(record) == ["a", "b", "d", "c"]

    @pytest.mark.parametrize("asked", [{}, {"terms": ("t1", "w3")}], ids=["without a query", "with one"])
    def test_pages_reach_everything(self, record: Record, asked: dict[str, Any]) -> None:
        """Pages of any size, one after the other, have each item once."""
        put(record, *(item(f"k{n}", f"t{n % 3} w{n}") for n in range(40)))
        whole = find(record, **asked)
        assert sorted(whole) == sorted(f"k{n}" for n in range(40))
        for size in (1, 7, 39):
            pages = [find(record, limit=size, offset=start, **asked) for start in range(0, 41, size)]
            assert [key for page in pages for key in page] == whole

    # --- by fields

    @pytest.mark.parametrize(("where", "expected"), FILTERS, ids=[str(where) for where, _ in FILTERS])
    def test_filters(self, record: Record, where: dict[str, Any], expected: str) -> None:
        """Fields are compared by type; what is not there fits nothing but None and what excludes it."""
        put(record, *(item(key, value) for key, value in PEOPLE.items()))
        assert sorted(find(record, where=where)) == expected.split()

    def test_a_filter_and_a_query(self, record: Record) -> None:
        """A filter holds for what a query finds, and before the page is cut."""
        put(record, *(item(f"k{n}", {"text": f"tea {n}", "n": n}) for n in range(10)))
        assert set(find(record, where={"n": {"$gte": 8}}, terms=("tea",), limit=2)) == {"k8", "k9"}
        assert find(record, where={"n": {"$gte": 8}}, limit=1, offset=1) == ["k8"]

    # --- by words and vectors

    def test_words(self, record: Record) -> None:
        """What has the words comes first, the rare ones counting more; what has no text is not found."""
        put(record, item("a", "green tea"), item("b", "black tea"), item("c", "milk"), item("none", {"n": 1}))
        assert find(record, terms=("green", "tea")) == ["a", "b", "c"]
        scores = [one.score for one in record.read(_query(terms=("green", "tea")))]
        assert scores[0] == pytest.approx(1)
        assert 1 > (scores[1] or 0) > (scores[2] or 0) == 0

    def test_vectors(self, record: Record) -> None:
        """The nearest comes first, by the nearest of its chunks, with how near it is."""
        space = open_space(record).key
        drafts = {"a": (unit(1, 0),), "b": (unit(0, 1), unit(1, 1)), "c": (unit(0, 0, 1),)}
        put(record, *(item(key, key, vectors=vectors) for key, vectors in drafts.items()), space=space)
        found = record.read(_query(space=space, vector=unit(1, 0)))
        assert [one.key for one in found] == ["a", "b", "c"]
        assert [one.score for one in found] == pytest.approx([1, 0.7071, 0], abs=1e-3)

    def test_words_and_vectors(self, record: Record) -> None:
        """Words tell apart what vectors do not, and the other way round."""
        space = open_space(record).key
        drafts = {"a": ("tea", unit(1)), "b": ("milk", unit(1)), "c": ("milk", unit(0, 1))}
        put(record, *(item(key, text, vectors=(vector,)) for key, (text, vector) in drafts.items()), space=space)
        assert find(record, space=space, vector=unit(1), terms=("tea",)) == ["a", "b", "c"]
        assert find(record, space=space, vector=unit(0, 1), terms=("milk",))[0] == "c"

    def test_no_stale_match(self, record: Record) -> None:
        """What an item said before finds it no more, by word or by vector."""
        space = open_space(record).key
        put(record, item("k", "tea", vectors=(unit(1),)), item("l", "other", vectors=(unit(0, 1),)), space=space)
        put(record, item("k", "milk", vectors=(unit(0, 0, 1),)), space=space)
        best = record.read(_query(space=space, vector=unit(1), terms=("tea",)))
        assert [one.score for one in best] == pytest.approx([0, 0])
        put(record, item("k", {"text": "tea"}, text="", terms=""), space=space)
        assert find(record, space=space, vector=unit(1), terms=("tea",)) == ["l"]
        assert find(record) == ["k", "l"]

    def test_vectors_that_come_later(self, record: Record) -> None:
        """What was put without its vectors is due to be embedded, in its last version, and found by words meanwhile."""
        space = open_space(record).key
        put(record, item("k", "tea"), item("gone", "x"), item("mute", {"n": 1}))
        put(record, item("k", "milk"), item("gone", None))
        assert find(record, terms=("milk",)) == ["k"]
        due = record.write(TakeDue(("embed",), LEASE))
        assert [one.text for one in record.read(FactsWithoutVectors(space, due))] == ["milk"]
        put(record, item("k", "coffee", vectors=(unit(1),)), space=space)
        assert record.read(FactsWithoutVectors(space, due)) == ()

    def test_vectors_of_another_space(self, record: Record) -> None:
        """Vectors of a space that is not in use are not kept; embedding is due."""
        used, other = open_space(record).key, open_space(record, "other").key
        put(record, item("k", "tea", vectors=(unit(1),)), space=other)
        assert [one.score for one in record.read(_query(space=used, vector=unit(1)))] == [0]
        assert len(record.write(TakeDue(("embed",), LEASE))) == 1


def _query(**asked: Any) -> FindItems:  # noqa: ANN401 - fields of FindItems
    return FindItems(prefix_of(SHARED, SPACE), ADA, None, **asked)
