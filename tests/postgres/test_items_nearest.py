"""Searches of large stretches of items ask an index, and answer what comparing all of them answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
import pytest

from keepwell import Item, Items, Memory, PutItem
from keepwell.storage.postgres import items as plans
from keepwell.storage.postgres import nearest
from keepwell.testing import HashEmbedder

COUNT = 700
SPACE = ("docs",)
WORDS = ("nut", "oil", "tea", "milk", "salt", "rice", "corn", "bean", "plum", "leek")


@dataclass
class Library:
    """Ada's documents, and how often the index was asked for them."""

    memory: Memory
    items: Items
    asked: list[int] = field(default_factory=list)

    def both(self, query: str, limit: int = 10) -> tuple[list[Item], list[Item]]:
        """Give what a search finds, and what it finds when all are compared."""
        found = self.items.search(SPACE, query=query, limit=limit)
        return found, self.items.search(SPACE, query=query, limit=limit, where={"n": {"$gte": 0}})


def text_of(number: int) -> str:
    """Say something that some others say in part."""
    return f"{WORDS[number % 10]} {WORDS[number % 7]} w{number % 50} only{number}"


def put(items: Items, numbers: range) -> None:
    """Put documents of those numbers."""
    items.perform([PutItem(SPACE, f"k{n}", {"text": text_of(n), "n": n}) for n in numbers])


@pytest.fixture
def library(open_memory: Callable[..., Memory], tenant: str, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Give documents that are many enough for an index, all of them in it."""
    monkeypatch.setattr(nearest, "LARGE", 500)
    monkeypatch.setattr(plans, "_DEARER", 0)  # whatever else is in the index
    monkeypatch.setattr(nearest, "NOTED_EVERY", 1)
    memory = open_memory(tenant=tenant, embedder=HashEmbedder(64))
    library = Library(memory, memory.items(user_id="ada", fields=("text",)))
    put(library.items, range(COUNT))
    memory.drain()
    ask = plans._nearest

    def noted(*args: object) -> object:
        library.asked.append(1)
        return ask(*args)  # type: ignore[arg-type]  # what it is given

    monkeypatch.setattr(plans, "_nearest", noted)
    return library


def told(found: list[Item]) -> list[tuple[str, float]]:
    """Give keys and scores."""
    return [(one.key, round(one.score or 0, 9)) for one in found]


@pytest.mark.parametrize("query", ["nut oil only77", "w12 tea", "only3", "milk w7 plum only650", "nothing known"])
def test_the_index_answers_what_comparing_all_answers(library: Library, query: str) -> None:
    """Keys, order and scores are those of an exact search; where the index cannot be sure of it, it is one."""
    found, exact = library.both(query)
    assert told(found) == told(exact)
    assert len(library.asked) == 1


def test_most_answers_need_no_comparison(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index is sure, nothing else is looked at."""
    begun: list[int] = []
    ask = plans._many
    monkeypatch.setattr(plans, "_many", lambda query: begun.append(1) or ask(query))
    for number in range(20):
        library.items.search(SPACE, query=text_of(number * 30))
    assert len(library.asked) == 20
    assert len(begun) <= 25  # one for each search, and one for each that is done again


def test_what_comes_and_goes_is_seen_at_once(library: Library) -> None:
    """A new item is found before it is in the index; a changed and a deleted one are not found as they were."""
    library.items.put(SPACE, "new", {"text": "quince only9000", "n": 1})
    library.items.put(SPACE, "k5", {"text": "quince jam", "n": 5})
    library.items.delete(SPACE, "k6")
    found, exact = library.both("quince")
    assert {one.key for one in found[:2]} == {"new", "k5"}
    assert told(found) == told(exact)
    for gone in (5, 6):
        assert f"k{gone}" not in {one.key for one in library.items.search(SPACE, query=text_of(gone), limit=3)}
    assert len(library.asked) == 3


def test_another_owner_and_another_namespace_are_not_seen(library: Library) -> None:
    """The index is everybody's; a search is not."""
    other = library.memory.items(user_id="bob", fields=("text",))
    other.put(SPACE, "secret", {"text": "quince secret", "n": 0})
    library.items.put(("else",), "k", {"text": "quince else", "n": 0})
    keys = {one.key for one in library.items.search(SPACE, query="quince secret else", limit=20)}
    assert keys.isdisjoint({"secret", "k"})
    assert [one.key for one in other.search(SPACE, query="quince")] == ["secret"]
    assert len(library.asked) == 1


def test_the_index_is_asked_for_first_pages_only(library: Library) -> None:
    """Later pages, filters and small namespaces are answered by comparing; pages reach everything, each item once."""
    pages = [library.items.search(SPACE, query="nut w12", limit=50, offset=n) for n in range(0, COUNT, 50)]
    keys = [one.key for page in pages for one in page]
    assert len(library.asked) == 1
    assert sorted(keys) == sorted(f"k{n}" for n in range(COUNT))
    library.items.put(("small",), "k", {"text": "nut"})
    library.items.search(("small",), query="nut")
    library.items.search(SPACE, query="nut", where={"n": 3})
    assert len(library.asked) == 1


def test_facts_of_one_who_has_many_are_indexed(
    open_memory: Callable[..., Memory], tenant: str, admin_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not messages alone make a user large."""
    monkeypatch.setattr(nearest, "LARGE", 30)
    monkeypatch.setattr(nearest, "NOTED_EVERY", 1)
    memory = open_memory(tenant=tenant, embedder=HashEmbedder(64))
    for user, count in (("ada", 31), ("bob", 5)):
        for number in range(count):
            memory.scope(user).remember(f"{user} likes w{number}")
    memory.drain()
    with psycopg.connect(admin_dsn) as admin:
        rows = admin.execute(
            "select user_id, count(*) from keepwell.nearest where tenant = %s group by user_id", [tenant]
        ).fetchall()
    assert rows == [("ada", 31)]
    assert [one.fact.text for one in memory.scope("ada").recall("w7") if one.fact][0] == "ada likes w7"
