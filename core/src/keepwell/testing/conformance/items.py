"""Items of key-value stores: put, read, changed and gone, each with its history."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import time
from typing import Any, ClassVar

import pytest

from keepwell.models import Scope
from keepwell.models.items import NOBODY
from keepwell.storage.base import Forget, Record, Weigh
from keepwell.storage.facts import Expire, PutHistory, RawSources, Remains
from keepwell.storage.items import KeepItems, ReadItems
from keepwell.testing.conformance.base import ADA, ADAS, BOB, BOBS, EVERYONE, Capability, StoreConformance, open_space
from keepwell.testing.conformance.base import unit as direction
from keepwell.testing.conformance.fact_history import replayed, state_of
from keepwell.testing.conformance.facts_base import (
    COOK,
    add,
    apply,
    fact_of,
    facts_of,
    formed_from,
    history,
    kinds,
    remember,
    statements,
)
from keepwell.testing.conformance.items_base import find, get, got, item, put, spaces
from keepwell.testing.conformance.mirror import Mirror
from keepwell.testing.conformance.races import SENDERS, answers, by_each

VALUES: dict[str, dict[str, Any]] = {
    "empty": {},
    "nested": {"a": {"b": [1, {"c": None}]}, "list": [], "text": "x"},
    "numbers": {"int": 2**70, "float": 1e22, "zero": -0.0, "tiny": 5e-324},
    "not finite": {"inf": math.inf, "minus": -math.inf},
    "texts": {"nul": "a\x00b", "surrogate": "\ud800", "emoji": "🥜", "$keepwell": "no tag", "": "no name"},
    "bytes": {"raw": b"\x00\xff"},
    "times": {"at": dt.datetime(2024, 5, 17, 14, tzinfo=dt.UTC), "on": dt.date(2024, 5, 17)},
}
_MOMENT = 0.05


class ItemsConformance(StoreConformance):
    """What a store promises of items."""

    capability: ClassVar[Capability] = "items"

    def whole(self, record: Record, scope: Scope = ADAS) -> None:
        """Check that the items are those that the history leads to, and that loading misses nothing."""
        assert replayed(history(record, scope)) == state_of(facts_of(record, scope))
        Mirror(record, scope).check()

    # --- put and read

    @pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))
    def test_values_come_back(self, record: Record, value: dict[str, Any]) -> None:
        """A value is read as it was put, whatever is in it."""
        put(record, item("k", value))
        found = got(record, "k")
        assert repr(dict(found.value)) == repr(value)

    @pytest.mark.parametrize("key", ["k", "", "a/b", "/:", ":", "%41", "a\x00b", "\ud800", "ü 🥜", "a\nb", "x" * 500])
    def test_keys_come_back(self, record: Record, key: str) -> None:
        """A key is any text."""
        put(record, item(key, "one"), item(f"{key}.", "another"))
        assert (got(record, key).key, got(record, key).value["text"]) == (key, "one")

    @pytest.mark.parametrize("label", ["a", "a/b", ":a", "%2F", "a b", "ü🥜", "*", "0", "~"])
    def test_namespaces_come_back(self, record: Record, label: str) -> None:
        """A label of a namespace is any text, and no two namespaces are the same place."""
        put(record, item("k", "here", namespace=("n", label)), item("k", "there", namespace=("n", f"{label}x")))
        found = got(record, "k", namespace=("n", label))
        assert (found.namespace, found.value["text"]) == (("n", label), "here")
        assert find(record, ("n", label)) == ["k"]
        assert get(record, "k", namespace=("n",)) is None

    def test_what_was_put(self, record: Record) -> None:
        """An item has its place, its owner, and the time of its put."""
        before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=5)
        assert put(record, item("k", "tea")) == ("ADD",)
        found = got(record, "k")
        assert (found.namespace, found.key, found.owner, found.ttl, found.expires_at) == (
            ("notes", "ada"), "k", ADA, None, None,
        )  # fmt: skip
        assert found.created_at == found.updated_at >= before
        assert found.score is None
        self.whole(record)

    def test_many_at_once(self, record: Record) -> None:
        """Items of several owners are put by one write, and read by one read, in order."""
        kinds_ = put(record, *(item(f"k{n}", str(n), owner=owner) for n in range(5) for owner in (ADA, BOB)))
        assert kinds_ == ("ADD",) * 10
        places = tuple(
            (owner, item(key, "").path) for owner, key in ((BOB, "k3"), (ADA, "k9"), (ADA, "k1"), (BOB, "k3"))
        )
        found = record.read(ReadItems(places))
        assert [one and (one.owner, one.value["text"]) for one in found] == [(BOB, "3"), None, (ADA, "1"), (BOB, "3")]

    def test_nothing_at_all(self, record: Record) -> None:
        """Where nothing was put, nothing is read, found, listed or kept alive."""
        assert get(record, "k") is None
        assert find(record) == []
        assert spaces(record) == []
        assert record.write(KeepItems((1, 2**40))) == 0
        assert put(record) == ()
        assert record.read(ReadItems(())) == ()

    # --- other values

    def test_another_value(self, record: Record) -> None:
        """Another value takes the place of the first, whose time of creation stays; the old one is a version."""
        put(record, item("k", "tea"))
        first = got(record, "k")
        assert put(record, item("k", "coffee")) == ("UPDATE",)
        second = got(record, "k")
        assert second.value == {"text": "coffee"}
        assert second.created_at == first.created_at < second.updated_at
        (fact,) = facts_of(record)
        assert (fact.version, fact.kind, fact.key, fact.metadata) == (2, "item", item("k", "").path, {"text": "coffee"})
        assert kinds(history(record)) == ["ADD", "UPDATE"]
        assert statements(record, as_of=history(record)[0].at) == {"tea"}
        self.whole(record)

    def test_the_same_value(self, record: Record) -> None:
        """The same value again makes no version, only a later time of its put."""
        put(record, item("k", "tea"), item("other", "x"))
        first = got(record, "k")
        assert put(record, item("k", "tea")) == ("NONE",)
        again = got(record, "k")
        assert again.created_at == first.created_at
        assert again.updated_at > first.updated_at
        assert find(record) == ["k", "other"]
        assert kinds(history(record)) == ["ADD", "ADD"]
        self.whole(record)

    def test_equal_words(self, record: Record) -> None:
        """Items may say the same, and what a fact says."""
        remember(record, "tea")
        put(record, item("a", "tea"), item("b", "tea"))
        remember(record, "coffee")
        put(record, item("c", "coffee"))
        assert [get(record, key) is not None for key in "abc"] == [True] * 3
        assert kinds(apply(record, add("coffee"))) == ["NONE"]
        assert len(facts_of(record)) == 5
        self.whole(record)

    def test_gone(self, record: Record) -> None:
        """A deleted item is gone, its history stays, and nothing is rejected by it."""
        put(record, item("k", "tea"))
        assert put(record, item("k", None), item("never", None)) == ("DELETE", "NONE")
        assert get(record, "k") is None
        assert find(record) == []
        assert spaces(record) == []
        assert kinds(history(record)) == ["ADD", "DELETE"]
        assert kinds(apply(record, add("tea"))) == ["ADD"]
        self.whole(record)

    def test_back_again(self, record: Record) -> None:
        """What is put after it was deleted is a new item."""
        put(record, item("k", "tea"))
        first = got(record, "k")
        put(record, item("k", None))
        assert put(record, item("k", "tea")) == ("ADD",)
        assert got(record, "k").created_at > first.created_at
        assert len({change.fact for change in history(record)}) == 2
        self.whole(record)

    def test_times_of_an_import(self, record: Record) -> None:
        """Times that come with an item are its own; its history tells when it came here."""
        began, last = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
        put(record, item("old", "tea", created_at=began, updated_at=last), item("new", "x"))
        found = got(record, "old")
        assert (found.created_at, found.updated_at) == (began, last)
        assert find(record) == ["new", "old"]
        assert history(record)[0].at > last
        put(record, item("old", "coffee"))
        assert got(record, "old").created_at == began
        self.whole(record)

    # --- whose

    def test_owners_apart(self, record: Record, stranger: Record) -> None:
        """The same place of another owner, or of another tenant, is another item."""
        put(record, item("k", "ada"), item("k", "bob", owner=BOB), item("k", "cook", owner=COOK))
        put(stranger, item("k", "stranger"))
        found = [
            got(one, "k", owner=owner).value["text"] for one, owner in ((record, ADA), (record, BOB), (record, COOK))
        ]
        assert found == ["ada", "bob", "cook"]
        assert got(stranger, "k").value["text"] == "stranger"
        put(record, item("k", None, owner=BOB))
        assert get(record, "k", owner=BOB) is None
        assert [got(one, "k").value["text"] for one in (record, stranger)] == ["ada", "stranger"]
        self.whole(record)

    def test_nobodys(self, record: Record) -> None:
        """Items of nobody are no part of any person's memory, and stay where a person is forgotten."""
        put(record, item("k", "tea", owner=NOBODY), item("k", "tea"))
        assert [fact.owner for fact in facts_of(record)] == [ADA]
        record.write(Forget(ADAS))
        assert get(record, "k") is None
        assert got(record, "k", owner=NOBODY).value == {"text": "tea"}

    def test_forgotten(self, record: Record) -> None:
        """With its owner an item is forgotten in all versions, and the receipt counts it."""
        space = open_space(record)
        put(record, item("k", "tea", vectors=(direction(1),)), space=space.key)
        put(record, item("k", "hot coffee"), item("l", "x"), item("k", "x", owner=BOB))
        counts = record.write(Forget(ADAS)).counts
        assert (counts["facts"], counts["fact_versions"], counts["changes"]) == (2, 3, 3)
        assert (counts["postings"], counts["vectors"], counts["due"]) == (3, 0, 2)
        assert not any(record.read(Remains(ADAS)).values())
        assert get(record, "k") is None
        assert got(record, "k", owner=BOB).value == {"text": "x"}
        assert record.read(Weigh(ADAS)).messages == 0
        self.whole(record, BOBS)

    def test_one_forgotten(self, record: Record) -> None:
        """An item is forgotten as any fact is."""
        put(record, item("k", "tea"), item("l", "tea"))
        (fact,) = facts_of(record, key=item("k", "").path)
        assert record.write(Forget(ADAS, fact=fact.id)).counts["facts"] == 1
        assert [get(record, key) is None for key in "kl"] == [True, False]
        self.whole(record)

    def test_weight(self, record: Record) -> None:
        """A scope's weight is that of what stands."""
        put(record, item("a", "one two three"), item("b", "four"), item("c", {"n": 1}))
        put(record, item("a", "one"), item("b", None), item("c", {"n": 2}))
        weight = record.read(Weigh(ADAS))
        assert (weight.messages, weight.length) == (2, 1)

    def test_what_rests_on_it(self, record: Record) -> None:
        """A fact that was formed from an item goes where the item is another, and nothing else supports it."""
        put(record, item("k", "tea"))
        (fact,) = facts_of(record)
        derived = remember(record, "Ada is thirsty", sources=formed_from(fact))
        other = remember(record, "Ada likes it hot", sources=formed_from(fact))
        put(record, item("k", "coffee"))
        assert fact_of(record, derived.id).reopened
        put(record, item("k", None))
        assert statements(record) == set()
        assert {change.fact for change in history(record, actor="cascade")} == {derived.id, other.id}
        self.whole(record)

    def test_taken_along(self, record: Record, stranger: Record) -> None:
        """Items are exported and imported with the history."""
        put(record, item("a", "tea"), item("b", "tea"))
        put(record, item("a", "coffee"))
        facts = tuple(facts_of(record, versions=True))
        ids = tuple({fact.id for fact in facts})
        raw = record.read(RawSources(ADAS, ids))
        changes = tuple(history(record))
        blank = ("",) * len(facts)
        counts = stranger.write(
            PutHistory(
                ADA,
                facts,
                tuple(fact.text for fact in facts),
                blank,
                tuple(raw[f.id, f.version] for f in facts),
                changes,
            )
        )
        assert (counts["facts"], counts["fact_versions"], counts["held"]) == (2, 3, 0)
        assert (got(stranger, "a").value["text"], got(stranger, "b").value["text"]) == ("coffee", "tea")
        self.whole(stranger)

    # --- how long

    def test_over(self, record: Record) -> None:
        """After its time an item is there for no read."""
        put(record, item("short", "tea", ttl=_MOMENT / 60), item("long", "tea", ttl=5))
        assert got(record, "long").ttl == 5
        time.sleep(2 * _MOMENT)
        assert get(record, "short") is None
        assert find(record) == find(record, terms=("tea",)) == ["long"]
        assert record.write(Expire()).counts["facts"] == 1
        assert [change.after and change.after.key for change in history(record)] == [item("long", "").path]
        self.whole(record)

    def test_less_than_a_minute(self, record: Record) -> None:
        """A time to live of less than a minute is kept as it was given."""
        put(record, item("k", "tea", ttl=0.4))
        found = got(record, "k")
        assert found.ttl == 0.4
        assert found.expires_at is not None
        assert abs((found.expires_at - found.updated_at).total_seconds() - 24) < 1

    def test_kept_alive(self, record: Record) -> None:
        """Who reads an item may let it live on for as long as it lives from then; others are left alone."""
        put(record, item("k", "tea", ttl=0.5 / 60), item("l", "tea"))
        for _ in range(4):
            time.sleep(0.2)
            assert record.write(KeepItems((got(record, "k").number, got(record, "l").number))) == 1
        assert got(record, "l").expires_at is None
        time.sleep(0.6)
        assert get(record, "k") is None

    def test_too_late(self, record: Record) -> None:
        """What is over cannot be kept alive."""
        put(record, item("k", "tea", ttl=_MOMENT / 60))
        number = got(record, "k").number
        time.sleep(2 * _MOMENT)
        assert record.write(KeepItems((number,))) == 0
        assert get(record, "k") is None

    def test_another_life(self, record: Record) -> None:
        """Each put says for how long: another time, or for good; what is over begins anew."""
        put(record, item("a", "tea", ttl=_MOMENT / 60), item("b", "tea", ttl=_MOMENT / 60))
        first = got(record, "a")
        put(record, item("a", "tea"))
        assert got(record, "a").created_at == first.created_at
        time.sleep(2 * _MOMENT)
        assert put(record, item("b", "tea")) == ("UPDATE",)
        assert got(record, "b").created_at > first.created_at
        assert [got(record, key).expires_at for key in "ab"] == [None, None]
        assert record.write(Expire()).counts["facts"] == 0
        assert [get(record, key) is not None for key in "ab"] == [True, True]
        self.whole(record)

    # --- at once

    @pytest.fixture
    def senders(self, record: Record, other: Record) -> list[Record]:
        """Give the record once for each sender, from the two stores in turn."""
        return list(itertools.islice(itertools.cycle((record, other)), SENDERS))

    def test_one_place_from_all(self, record: Record, senders: list[Record]) -> None:
        """Of values that come at once one stands, in a chain of versions without a gap; none is lost."""

        def send(number: int, sender: Record) -> None:
            for count in range(4):
                put(sender, item("k", f"{number}.{count}"))

        answers(by_each(senders, send))
        (fact,) = facts_of(record)
        assert fact.version == 4 * SENDERS == len(history(record))
        assert record.read(Weigh(ADAS)).messages == 1
        self.whole(record)

    def test_put_and_deleted_at_once(self, record: Record, senders: list[Record]) -> None:
        """Puts and deletions of one place leave what the last one says, and a true count."""

        def send(number: int, sender: Record) -> None:
            for count in range(4):
                put(sender, item("k", None if (number + count) % 2 else f"{number}.{count}"))

        answers(by_each(senders, send))
        assert record.read(Weigh(ADAS)).messages == len(facts_of(record)) == (get(record, "k") is not None)
        self.whole(record)

    def test_many_places_from_all(self, record: Record, senders: list[Record]) -> None:
        """Batches over the same places, in any order, stand in nobody's way for good."""

        def send(number: int, sender: Record) -> None:
            keys = [f"k{n}" for n in range(4)]
            for count in range(3):
                ordered = keys if (number + count) % 2 else keys[::-1]
                put(sender, *(item(key, f"{number}.{count}", owner=owner) for key in ordered for owner in (ADA, BOB)))

        answers(by_each(senders, send))
        for owner, scope in ((ADA, ADAS), (BOB, BOBS)):
            assert len({got(record, f"k{n}", owner=owner).value["text"] for n in range(4)}) == 1
            self.whole(record, scope)

    def test_forgotten_meanwhile(self, record: Record, senders: list[Record]) -> None:
        """Who is forgotten while others put leaves nothing of what was there before."""
        put(record, *(item(f"k{n}", "before") for n in range(4)))

        def send(number: int, sender: Record) -> None:
            if number == 0:
                sender.write(Forget(ADAS))
            else:
                put(sender, item(f"k{number % 4}", f"from {number}"))

        answers(by_each(senders, send))
        assert "before" not in {fact.text for fact in facts_of(record, versions=True)}
        assert record.read(Weigh(EVERYONE)).messages == len(facts_of(record))
        Mirror(record, ADAS).check()
