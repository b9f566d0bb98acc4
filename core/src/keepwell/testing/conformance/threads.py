"""Threads: made, found, listed and changed."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from keepwell.errors import ThreadExists, ThreadNotFound
from keepwell.models import Message
from keepwell.storage.base import (
    CreateThread,
    FindThread,
    FindThreadByKey,
    ListThreads,
    ReadStatus,
    Record,
    UpdateThread,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    Capability,
    StoreConformance,
    append,
    found,
    say,
    threads_of,
)

ODD_METADATA: Mapping[str, Any] = {
    "nested": {"list": [1, 2.5, None, True, {"deep": "yes"}], "empty": {}},
    "when": dt.datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=dt.UTC),
    "pair": ("a", 1),
    "bytes": b"\x00\xff",
    "nul": "a\x00b",
    "surrogate": "\ud800",
    "large": 1e22,
    "text": "“ünï” 中文 🥜",
}


def pages(record: Record, query: ListThreads) -> Iterator[list[str]]:
    """Give the ids of each page in turn."""
    for _ in range(50):
        page = record.read(query)
        yield [thread.id for thread in page]
        if page.next is None:
            return
        query = ListThreads(query.scope, query.where, query.order, query.newest_first, page.next, query.limit)
    raise AssertionError("the pages do not come to an end")


def listed(record: Record, **asked: Any) -> list[str]:  # noqa: ANN401 - fields of ListThreads
    """Give the ids of Ada's threads."""
    return [thread.id for thread in record.read(ListThreads(ADAS, **asked))]


class ThreadsConformance(StoreConformance):
    """What a store promises about threads."""

    capability: ClassVar[Capability] = "threads"

    def test_create(self, record: Record) -> None:
        """A thread that is made has the id, owner, title and metadata it was made with, and no messages."""
        made = record.write(CreateThread(ADA, "holiday", "Holiday", {"place": "Porto"}))
        assert (made.id, made.owner, made.title, made.metadata) == ("holiday", ADA, "Holiday", {"place": "Porto"})
        assert (made.last_seq, made.message_count, made.source) == (0, 0, None)
        assert made.created_at.utcoffset() == dt.timedelta(0)

    def test_create_is_found(self, record: Record, other: Record) -> None:
        """A thread that one store made is found by another, as it was made."""
        made = record.write(CreateThread(ADA, "holiday", "Holiday", {"place": "Porto"}))
        assert other.read(FindThread(ADA, "holiday")) == made

    def test_create_twice(self, record: Record) -> None:
        """A thread is made once; the second attempt is refused and changes nothing."""
        made = record.write(CreateThread(ADA, "t", "first"))
        with pytest.raises(ThreadExists):
            record.write(CreateThread(ADA, "t", "second"))
        assert found(record) == made

    def test_unknown(self, record: Record) -> None:
        """A thread that nobody made is not found, by id or by key."""
        assert record.read(FindThread(ADA, "nowhere")) is None
        assert record.read(FindThreadByKey(ADAS, uuid4())) is None

    def test_same_id_of_two_owners(self, record: Record) -> None:
        """Two owners may each have a thread of the same id; the two have nothing in common."""
        say(record, "mine", owner=ADA)
        say(record, "his", owner=BOB)
        assert found(record, owner=ADA).key != found(record, owner=BOB).key
        assert (found(record, owner=ADA).owner, found(record, owner=BOB).owner) == (ADA, BOB)

    def test_find_by_key(self, record: Record) -> None:
        """A thread is found by its key in a scope that covers its owner, and in no other."""
        made = record.write(CreateThread(ADA, "t"))
        assert record.read(FindThreadByKey(ADAS, made.key)) == made
        assert record.read(FindThreadByKey(BOBS, made.key)) is None

    @pytest.mark.parametrize("id_", ["a/b?c#d", "%", "_", "'; drop table thread; --", "Ω≈ç", "🥜", "T", "t "])
    def test_odd_ids(self, record: Record, id_: str) -> None:
        """Any text can be the id of a thread, and is the id of that thread only."""
        record.write(CreateThread(ADA, "t"))
        made = record.write(CreateThread(ADA, id_))
        assert record.read(FindThread(ADA, id_)) == made
        assert made.id == id_

    def test_title(self, record: Record) -> None:
        """A title keeps quotes, lines and letters of every language."""
        title = "“Ada's”\n\t{title} %s 中文 🥜 \\ --"
        record.write(CreateThread(ADA, "t", title))
        assert found(record).title == title

    def test_metadata_is_lossless(self, record: Record) -> None:
        """Metadata comes back as it was given, also where JSON and PostgreSQL have no word for it."""
        record.write(CreateThread(ADA, "t", metadata=ODD_METADATA))
        assert found(record).metadata == ODD_METADATA

    def test_metadata_is_kept_apart(self, record: Record) -> None:
        """What a caller does to metadata it gave or got does not change the record."""
        given: dict[str, Any] = {"list": [1]}
        record.write(CreateThread(ADA, "t", metadata=given))
        given["list"].append(2)
        got: Any = found(record).metadata
        got["list"].append(3)
        assert found(record).metadata == {"list": [1]}

    def test_update_title(self, record: Record) -> None:
        """A new title leaves the metadata as it is."""
        record.write(CreateThread(ADA, "t", "old", {"a": 1}))
        updated = record.write(UpdateThread(ADA, "t", title="new"))
        assert (updated.title, updated.metadata) == ("new", {"a": 1})
        assert found(record) == updated

    def test_update_merges_metadata(self, record: Record) -> None:
        """New metadata is merged key by key and leaves the title and the other keys as they are."""
        record.write(CreateThread(ADA, "t", "title", {"a": {"x": 1}, "b": 2}))
        updated = record.write(UpdateThread(ADA, "t", metadata={"a": {"y": 1}, "c": 3}))
        assert (updated.title, updated.metadata) == ("title", {"a": {"y": 1}, "b": 2, "c": 3})

    def test_update_removes_a_key(self, record: Record) -> None:
        """A key that is updated to None is removed."""
        record.write(CreateThread(ADA, "t", metadata={"a": 1, "b": 2}))
        record.write(UpdateThread(ADA, "t", metadata={"a": None, "never": None}))
        assert found(record).metadata == {"b": 2}

    def test_update_leaves_other_keys(self, record: Record) -> None:
        """A key that an update does not name stays, also where its value is None or empty."""
        record.write(CreateThread(ADA, "t", metadata={"none": None, "empty": {}, "zero": 0}))
        record.write(UpdateThread(ADA, "t", title="new"))
        record.write(UpdateThread(ADA, "t", metadata={"more": 1}))
        assert found(record).metadata == {"none": None, "empty": {}, "zero": 0, "more": 1}

    def test_update_keeps_odd_values(self, record: Record) -> None:
        """A merge is as lossless as the first writing."""
        record.write(CreateThread(ADA, "t", metadata=ODD_METADATA))
        record.write(UpdateThread(ADA, "t", metadata={"more": ODD_METADATA}))
        assert found(record).metadata == {**ODD_METADATA, "more": ODD_METADATA}

    def test_update_unknown(self, record: Record) -> None:
        """A thread that is not there cannot be updated, and is not made by it."""
        with pytest.raises(ThreadNotFound):
            record.write(UpdateThread(ADA, "t", title="new"))
        assert record.read(FindThread(ADA, "t")) is None

    @pytest.mark.parametrize("how", ["append", "update"])
    def test_updated_at(self, record: Record, how: str) -> None:
        """An update and a new message each move ``updated_at`` forward and leave ``created_at``."""
        made = record.write(CreateThread(ADA, "t"))
        time.sleep(0.002)
        if how == "append":
            say(record, "hello")
        else:
            record.write(UpdateThread(ADA, "t", title="new"))
        after = found(record)
        assert after.updated_at > made.updated_at
        assert after.created_at == made.created_at

    def test_counts(self, record: Record) -> None:
        """A thread knows how many messages it has and the last number it gave."""
        say(record, "one", "two", "three")
        assert (found(record).message_count, found(record).last_seq) == (3, 3)

    def test_list_by_creation(self, record: Record) -> None:
        """Threads are listed in the order in which they were made, from either end."""
        for id_ in ("a", "b", "c"):
            record.write(CreateThread(ADA, id_))
        assert listed(record, order="created", newest_first=False) == ["a", "b", "c"]
        assert listed(record, order="created", newest_first=True) == ["c", "b", "a"]

    def test_list_by_update(self, record: Record) -> None:
        """By default the thread in which something happened last comes first."""
        for id_ in ("a", "b", "c"):
            say(record, "hello", thread=id_)
        append(record, Message.user("again"), thread="a")
        assert listed(record) == ["a", "c", "b"]
        assert listed(record, newest_first=False) == ["b", "c", "a"]

    def test_list_of_nothing(self, record: Record) -> None:
        """A scope without threads has one empty page."""
        page = record.read(ListThreads(ADAS))
        assert (list(page), page.next) == ([], None)

    @pytest.mark.parametrize("newest_first", [True, False])
    @pytest.mark.parametrize("order", ["created", "updated"])
    def test_pages(self, record: Record, order: Any, newest_first: bool) -> None:  # noqa: ANN401 - a literal
        """Pages bring each thread once, in order, and the last one says that it is the last."""
        ids = [f"t{number}" for number in range(7)]
        for id_ in ids:
            record.write(CreateThread(ADA, id_))
        got = list(pages(record, ListThreads(ADAS, order=order, newest_first=newest_first, limit=3)))
        assert [id_ for page in got for id_ in page] == (ids[::-1] if newest_first else ids)
        assert [len(page) for page in got] == [3, 3, 1]

    def test_full_last_page(self, record: Record) -> None:
        """A last page that is full does not announce another one with nothing in it."""
        for id_ in ("a", "b"):
            record.write(CreateThread(ADA, id_))
        assert record.read(ListThreads(ADAS, limit=2)).next is None

    def test_pages_while_threads_come(self, record: Record) -> None:
        """Threads made while one turns pages neither repeat nor hide those that were there."""
        for id_ in ("a", "b", "c", "d"):
            record.write(CreateThread(ADA, id_))
        first = record.read(ListThreads(ADAS, order="created", limit=2))
        record.write(CreateThread(ADA, "e"))
        second = record.read(ListThreads(ADAS, order="created", limit=2, after=first.next))
        assert [thread.id for thread in (*first, *second)] == ["d", "c", "b", "a"]

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ({}, {"a", "b", "c"}),
            ({"kind": "work"}, {"a", "b"}),
            ({"kind": "work", "year": 2024}, {"a"}),
            ({"tags": ["x"]}, {"a", "b"}),
            ({"place": {"city": "Porto"}}, {"b"}),
            ({"open": None}, {"b"}),
            ({"year": "2024"}, set()),
            ({"kind": "home", "year": 2024}, set()),
            ({"missing": 1}, set()),
            ({"kind": "%"}, set()),
            ({"flag": 1}, set()),
            ({"flag": True}, {"c"}),
        ],
    )
    def test_where(self, record: Record, where: Mapping[str, Any], expected: set[str]) -> None:
        """A filter finds the threads whose metadata contains it, with all its keys and the same kinds of value."""
        metadata: Mapping[str, Mapping[str, Any]] = {
            "a": {"kind": "work", "year": 2024, "tags": ["x", "y"]},
            "b": {"kind": "work", "year": 2025, "tags": ["x"], "place": {"city": "Porto", "zip": 1}, "open": None},
            "c": {"kind": "home", "year": 2025, "flag": True},
        }
        for id_, labels in metadata.items():
            record.write(CreateThread(ADA, id_, metadata=labels))
        assert set(listed(record, where=where)) == expected

    def test_where_follows_updates(self, record: Record) -> None:
        """A filter sees the metadata as it is after an update."""
        record.write(CreateThread(ADA, "t", metadata={"state": "open"}))
        record.write(UpdateThread(ADA, "t", metadata={"state": "closed"}))
        assert listed(record, where={"state": "open"}) == []
        assert listed(record, where={"state": "closed"}) == ["t"]

    def test_where_with_pages(self, record: Record) -> None:
        """A filter counts before the page is cut, so pages of what it finds are full."""
        for number in range(8):
            record.write(CreateThread(ADA, f"t{number}", metadata={"even": number % 2 == 0}))
        query = ListThreads(ADAS, {"even": True}, order="created", newest_first=False, limit=2)
        assert list(pages(record, query)) == [["t0", "t2"], ["t4", "t6"]]

    def test_status(self, record: Record) -> None:
        """The status counts owners, threads and messages of the tenant."""
        empty = record.read(ReadStatus())
        assert (empty.owners, empty.threads, empty.messages, empty.vectors, empty.due) == (0, 0, 0, 0, 0)
        assert (empty.space, empty.oldest_due) == (None, None)
        say(record, "one", "two", thread="a")
        say(record, "one", thread="b")
        say(record, "one", owner=BOB)
        status = record.read(ReadStatus())
        assert (status.owners, status.threads, status.messages) == (2, 3, 4)

    def test_list_gives_threads(self, record: Record) -> None:
        """A listed thread is the same value as the thread that is found."""
        say(record, "hello")
        assert threads_of(record, ADAS) == (found(record),)
