"""Promises of putting, getting, batches and namespaces."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchOp,
)

from langchain_keepwell.testing.base import Promises, keys

VALUES: dict[str, dict[str, Any]] = {
    "empty": {},
    "plain": {"text": "tea", "n": 1, "on": True, "nothing": None},
    "nested": {"a": {"b": [1, {"c": [None, False]}]}, "list": []},
    "large": {"text": "x" * 100_000},
    "numbers": {"big": 2**53, "small": -1, "float": 0.1},
    "unicode": {"é": "ü 🥜 \u2029 \u202e"},
}
ODD: dict[str, dict[str, Any]] = {"nul": {"a\x00": "b\x00c"}, "surrogate": {"a": "\ud800"}, "infinite": {"a": math.inf}}
SPACES = [("a",), ("a", "b"), ("a", "b", "c"), ("a", "c"), ("a2",), ("b", "c"), ("b", "x", "c")]


class ItemPromises(Promises):
    """What a store promises of items and namespaces."""

    # --- put and get

    @pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))
    def test_a_value_comes_back(self, store: BaseStore, value: dict[str, Any]) -> None:
        """A value is given as it was put."""
        store.put(("n",), "k", value)
        found = store.get(("n",), "k")
        assert found is not None
        assert found.value == value

    @pytest.mark.parametrize("value", ODD.values(), ids=list(ODD))
    def test_an_odd_value_comes_back(self, store: BaseStore, value: dict[str, Any]) -> None:
        """What Python has and a database refuses is given as it was put."""
        self.needs("any_text")
        store.put(("n",), "k", value)
        found = store.get(("n",), "k")
        assert found is not None
        assert found.value == value

    @pytest.mark.parametrize("key", ["k", "a.b", "a/b", "a:b", "%", "ü 🥜", "x" * 300, " "])
    def test_a_key_is_any_text(self, store: BaseStore, key: str) -> None:
        """Keys are text, and two of them are two items."""
        store.put(("n",), key, {"n": 1})
        store.put(("n",), f"{key}.", {"n": 2})
        found = store.get(("n",), key)
        assert found is not None
        assert (found.key, found.namespace, found.value) == (key, ("n",), {"n": 1})

    def test_nothing_is_none(self, store: BaseStore) -> None:
        """What was never put is None; to delete it changes nothing."""
        store.put(("n",), "k", {"n": 1})
        store.delete(("n",), "other")
        store.delete(("m",), "k")
        assert store.get(("n",), "other") is None
        assert store.get(("m",), "k") is None
        assert store.get(("n", "k"), "k") is None

    def test_a_put_takes_the_place(self, store: BaseStore) -> None:
        """Another value takes the place of the whole old one; the time of creation stays."""
        store.put(("n",), "k", {"old": 1, "n": 1})
        first = store.get(("n",), "k")
        store.put(("n",), "k", {"n": 2})
        second = store.get(("n",), "k")
        assert first is not None
        assert second is not None
        assert second.value == {"n": 2}
        assert second.created_at == first.created_at
        assert second.updated_at > first.updated_at >= first.created_at
        assert second.created_at.tzinfo is not None

    def test_the_same_put_again(self, store: BaseStore) -> None:
        """The same value again counts as an update."""
        store.put(("n",), "k", {"n": 1})
        first = store.get(("n",), "k")
        store.put(("n",), "k", {"n": 1})
        second = store.get(("n",), "k")
        assert first is not None
        assert second is not None
        assert second.updated_at > first.updated_at
        assert len(store.search(("n",))) == 1

    def test_deleted(self, store: BaseStore) -> None:
        """What is deleted is gone, alone, and may come again."""
        store.put(("n",), "k", {"n": 1})
        store.put(("n",), "l", {"n": 1})
        store.delete(("n",), "k")
        assert store.get(("n",), "k") is None
        assert keys(store.search(("n",))) == ["l"]
        store.put(("n",), "k", {"n": 3})
        assert sorted(keys(store.search(("n",)))) == ["k", "l"]

    def test_a_value_is_a_copy(self, store: BaseStore) -> None:
        """Who changes what was given to the store, or by it, does not change what is kept."""
        value = {"list": [1]}
        store.put(("n",), "k", value)
        value["list"].append(2)
        found = store.get(("n",), "k")
        assert found is not None
        assert found.value == {"list": [1]}
        found.value["list"].append(3)
        again = store.get(("n",), "k")
        assert again is not None
        assert again.value == {"list": [1]}

    # --- batches

    def test_answers_in_order(self, store: BaseStore) -> None:
        """A batch gives an answer for each operation, in their order; a put's is None."""
        store.put(("n",), "k", {"n": 1})
        found = store.batch([
            GetOp(("n",), "none"),
            PutOp(("n",), "l", {"n": 2}),
            GetOp(("n",), "k"),
            SearchOp(("n",)),
            ListNamespacesOp(),
            GetOp(("n",), "k"),
        ])  # fmt: skip
        assert [found[0], found[1]] == [None, None]
        assert [getattr(found[place], "key", None) for place in (2, 5)] == ["k", "k"]
        assert keys(found[3]) == ["k"]  # type: ignore[arg-type]  # a search gives a list
        assert found[4] == [("n",)]

    def test_reads_come_before_puts(self, store: BaseStore) -> None:
        """What a batch reads is as it was before what it puts."""
        (put, got) = store.batch([PutOp(("n",), "k", {"n": 1}), GetOp(("n",), "k")])
        assert (put, got) == (None, None)
        assert store.get(("n",), "k") is not None

    def test_the_last_put_counts(self, store: BaseStore) -> None:
        """Of several puts of one key in a batch the last one counts."""
        store.batch([PutOp(("n",), "k", {"n": 1}), PutOp(("n",), "k", None), PutOp(("n",), "k", {"n": 3})])
        store.batch([PutOp(("n",), "gone", {"n": 1}), PutOp(("n",), "gone", None)])
        assert [one.value for one in store.search(("n",))] == [{"n": 3}]

    def test_many_in_a_batch(self, store: BaseStore) -> None:
        """A batch may be large, and over many namespaces."""
        store.batch([PutOp(("n", str(n % 7)), f"k{n}", {"n": n}) for n in range(1200)])
        found = store.batch([GetOp(("n", str(n % 7)), f"k{n}") for n in range(1200)])
        assert [one.value["n"] for one in found] == list(range(1200))  # type: ignore[union-attr]  # items
        assert len(store.search(("n",), limit=2000)) == 1200
        assert store.batch([]) == []

    # --- labels

    @pytest.mark.parametrize("namespace", [(), ("",), ("a.b",), ("a", ""), ("langgraph", "x"), (1,)], ids=repr)
    def test_bad_namespaces_are_refused(self, store: BaseStore, namespace: tuple[Any, ...]) -> None:
        """A namespace has labels, which are text that is not empty and has no dot; one root is LangGraph's own."""
        with pytest.raises(InvalidNamespaceError):
            store.put(namespace, "k", {"n": 1})

    @pytest.mark.parametrize("label", ["", "a.b"])
    def test_bad_labels_are_refused_in_a_batch(self, store: BaseStore, label: str) -> None:
        """What goes round the methods is refused all the same, whatever operation names it."""
        condition = MatchCondition("prefix", (label,))
        ops: list[Op] = [PutOp((label,), "k", {}), GetOp((label,), "k"), SearchOp((label,))]
        ops.append(ListNamespacesOp((condition,)))
        for op in ops:
            with pytest.raises(InvalidNamespaceError):
                store.batch([op])

    @pytest.mark.parametrize("label", ["a b", "ü🥜", "a/b", "a:b", ":", "%2E", "a_b", "a%b", "*x", "\\", "'"])
    def test_labels_are_told_apart(self, store: BaseStore, label: str) -> None:
        """A label is any other text; what means something to a database means nothing in it."""
        store.put((label, "x"), "k", {"n": 1})
        store.put((f"{label}y", "x"), "k", {"n": 2})
        store.put(("aXb", "x"), "k", {"n": 3})
        assert [(one.namespace, one.value["n"]) for one in store.search((label,))] == [((label, "x"), 1)]
        assert store.list_namespaces(prefix=(label,)) == [(label, "x")]

    # --- namespaces

    @pytest.fixture
    def furnished(self, store: BaseStore) -> BaseStore:
        """Give a store with items in several namespaces."""
        for namespace in SPACES:
            store.put(namespace, "k", {"n": 1})
            store.put(namespace, "l", {"n": 2})
        return store

    def test_all_namespaces(self, furnished: BaseStore) -> None:
        """Namespaces are listed once each."""
        assert sorted(furnished.list_namespaces()) == sorted(SPACES)
        furnished.delete(("a2",), "k")
        furnished.delete(("a2",), "l")
        assert ("a2",) not in furnished.list_namespaces()

    def test_prefixes(self, furnished: BaseStore) -> None:
        """A prefix is compared label by label."""
        assert sorted(furnished.list_namespaces(prefix=("a",))) == [("a",), ("a", "b"), ("a", "b", "c"), ("a", "c")]
        assert sorted(furnished.list_namespaces(prefix=("a", "b"))) == [("a", "b"), ("a", "b", "c")]

    def test_suffixes(self, furnished: BaseStore) -> None:
        """A suffix is compared label by label."""
        found = [("a", "b", "c"), ("a", "c"), ("b", "c"), ("b", "x", "c")]
        assert sorted(furnished.list_namespaces(suffix=("c",))) == found
        assert sorted(furnished.list_namespaces(prefix=("b",), suffix=("x", "c"))) == [("b", "x", "c")]

    def test_any_label(self, furnished: BaseStore) -> None:
        """A star stands for one label, whichever."""
        assert sorted(furnished.list_namespaces(prefix=("*", "c"))) == [("a", "c"), ("b", "c")]
        assert sorted(furnished.list_namespaces(prefix=("a", "*"))) == [("a", "b"), ("a", "b", "c"), ("a", "c")]
        assert sorted(furnished.list_namespaces(suffix=("x", "*"))) == [("b", "x", "c")]

    def test_cut_to_a_depth(self, furnished: BaseStore) -> None:
        """With a depth, namespaces are cut to it, and still listed once each."""
        assert sorted(furnished.list_namespaces(max_depth=1)) == [("a",), ("a2",), ("b",)]
        assert sorted(furnished.list_namespaces(prefix=("a",), max_depth=2)) == [("a",), ("a", "b"), ("a", "c")]

    def test_pages_of_namespaces(self, furnished: BaseStore) -> None:
        """Pages reach each namespace once."""
        pages = [furnished.list_namespaces(limit=2, offset=start) for start in range(0, 8, 2)]
        assert sorted(space for page in pages for space in page) == sorted(SPACES)

    # --- against a model

    @pytest.mark.parametrize("seed", range(3))
    def test_like_a_dictionary(self, store: BaseStore, seed: int) -> None:
        """After any puts and deletions a store holds what a dictionary would."""
        chance = random.Random(seed)  # noqa: S311 - a test
        model: dict[tuple[tuple[str, ...], str], dict[str, int]] = {}
        for _ in range(60):
            ops = [_any_put(chance) for _ in range(chance.choice([1, 1, 3]))]
            store.batch(ops)
            for op in ops:
                model.pop((op.namespace, op.key), None)
                if op.value is not None:
                    model[op.namespace, op.key] = dict(op.value)
            prefix = chance.choice(SPACES)
            found = {(one.namespace, one.key): one.value for one in store.search(prefix, limit=100)}
            assert found == {place: value for place, value in model.items() if place[0][: len(prefix)] == prefix}
        assert sorted(store.list_namespaces()) == sorted({place[0] for place in model})


def _any_put(chance: random.Random) -> PutOp:
    value = None if chance.random() < 0.3 else {"n": chance.randrange(3)}
    return PutOp(chance.choice(SPACES), f"k{chance.randrange(4)}", value)
