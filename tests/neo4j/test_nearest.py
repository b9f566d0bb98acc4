"""Vectors of large users are found by Neo4j's index, and nothing that is true is lost by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from keepwell import Memory, Message
from keepwell.models import Owner, Scope
from keepwell.storage.base import (
    AppendMessages,
    DeleteMessages,
    FindCandidates,
    FindThread,
    Forget,
    IndexVectors,
    MoveThread,
    OpenSpace,
    PutVectors,
    Record,
    Space,
    SwitchSpace,
    VectorRow,
)
from keepwell.storage.neo4j import nearest as nearest_module
from keepwell.storage.neo4j.driver import Bolt
from keepwell.storage.neo4j.nearest import index_name
from keepwell.storage.neo4j.record import Neo4jRecord
from keepwell.storage.neo4j.store import Neo4jStore
from keepwell.storage.neo4j.work import Work
from keepwell.testing import HashEmbedder

DIMENSION = 64
Vectors = NDArray[np.float32]


@pytest.fixture
def record(neo4j_uri: str, tenant: str, bolt: Bolt) -> Iterator[Neo4jRecord]:
    """Give an empty record in Neo4j; what came to be in it is gone afterwards, for it can be much."""
    store = Neo4jStore(neo4j_uri)
    yield store.record(tenant)
    store.close()
    bolt.alone("MATCH (n {tenant: $t}) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 1000 ROWS", {"t": tenant})


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Give what sets from how many messages on a user has many."""
    return lambda count: monkeypatch.setattr(nearest_module, "LARGE", count)


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give a list that gets how many the index was asked for, each time it was asked."""
    asked: list[int] = []
    ask = nearest_module._nearest

    def noted(work: Work, query: FindCandidates, width: int) -> list[list[Any]]:
        asked.append(width)
        return ask(work, query, width)

    monkeypatch.setattr(nearest_module, "_nearest", noted)
    return asked


def directions(count: int, seed: int) -> Vectors:
    """Give unit vectors that lie around some hundred points, as texts do around subjects."""
    chance = np.random.default_rng(seed)
    points = np.random.default_rng(0).normal(size=(300, DIMENSION))
    matrix = points[chance.integers(0, len(points), count)] + 0.8 * chance.normal(size=(count, DIMENSION))
    units: Vectors = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    return units


def say(
    record: Record, user: str, vectors: Vectors, space: Space, *, thread: str = "t", agent: str = ""
) -> NDArray[np.int64]:
    """Append a message for each vector, keep the vectors, and give the messages' keys."""
    keys: list[int] = []
    owner = Owner(user, agent, "")
    for first in range(0, len(vectors), 2_000):
        batch = vectors[first : first + 2_000]
        messages = tuple(Message.user("said", id=f"{thread}-{first + n}") for n in range(len(batch)))
        written = record.write(AppendMessages(owner, thread, messages, ("said",) * len(batch))).written
        record.write(PutVectors(space.key, tuple(VectorRow(k, 0, v) for k, v in zip(written, batch, strict=True))))
        keys += written
    return np.array(keys)


def index(record: Record, user: str, space: Space) -> int:
    """Bring all of a user's vectors into the index, and count them."""
    return sum(iter(lambda: record.write(IndexVectors(user, space.key)), 0))


def nearest(record: Record, scope: Scope, space: Space, vector: Vectors, limit: int) -> list[int]:
    """Give the keys of the candidates that have vectors, nearest first."""
    found = record.read(FindCandidates(scope, space.key, vector, (), limit)).vectors
    if not len(found.keys):
        return []
    order = np.argsort(-(found.matrix @ vector), kind="stable")
    return [int(key) for key in found.keys[order]]


@pytest.mark.timeout(1800)
def test_recall_of_the_index_beside_that_of_comparing_each(record: Record, walks: list[int], proof: bool) -> None:
    """The ten nearest of scopes of every size are found to 99 of 100 and more, by whichever way is taken."""
    space = record.write(OpenSpace("directions", DIMENSION))
    sizes = (10, 100, 1_000, 10_000, 50_000) if proof else (10, 100, 1_000, 10_000)
    others = (100_000 - sum(sizes)) // 1_000 if proof else 1
    said: dict[int, tuple[NDArray[np.int64], Vectors]] = {}
    for number, size in enumerate((*sizes, *[1_000] * others)):
        vectors = directions(size, number)
        said[number] = say(record, f"u{number}", vectors, space), vectors
    for number, size in enumerate(sizes):
        if size >= nearest_module.LARGE:
            began = time.perf_counter()
            assert index(record, f"u{number}", space) == size
            print(f"{size:6,} brought into the index in {time.perf_counter() - began:.1f} s")  # noqa: T201 - a figure
    for number, size in enumerate(sizes):
        walks.clear()
        began = time.perf_counter()
        share = _recall(record, f"u{number}", space, *said[number])
        each = (time.perf_counter() - began) * 1000 / 20
        print(f"{size:6,}: {share:.3f} of the ten nearest, {each:.0f} ms, asked the index {len(walks)} times of 20")  # noqa: T201 - as above
        assert share >= 0.99
        assert bool(walks) is (size >= nearest_module.LARGE)


def _recall(record: Record, user: str, space: Space, keys: NDArray[np.int64], vectors: Vectors) -> float:
    shares = []
    for asked in directions(20, 999):
        wanted = set(keys[np.argsort(-(vectors @ asked))[:10]].tolist())
        found = set(nearest(record, Scope(user), space, asked, 400)[:10])
        shares.append(len(wanted & found) / len(wanted))
    return float(np.mean(shares))


def test_the_index_is_asked_for_more_until_a_scope_has_its_rows(
    record: Record, walks: list[int], large: Callable[[int], None]
) -> None:
    """Of a user's small part too many in the index are somebody else's: it is asked again, and no row is missing."""
    large(50)
    space = record.write(OpenSpace("directions", DIMENSION))
    for agent in "bcdefg":
        say(record, "ada", directions(100, ord(agent)), space, thread=agent, agent=agent)
    vectors = directions(100, 5)
    keys = say(record, "ada", vectors, space, thread="a", agent="a")
    assert index(record, "ada", space) == 700
    asked = directions(1, 999)[0]
    found = nearest(record, Scope("ada", "a"), space, asked, 8)
    wanted = keys[np.argsort(-(vectors @ asked))].tolist()
    assert set(wanted[:8]) <= set(found) <= set(wanted)
    assert walks == sorted(walks)
    assert len(walks) > 1


@pytest.fixture
def few(
    record: Record, walks: list[int], large: Callable[[int], None]
) -> Iterator[tuple[Space, Vectors, NDArray[np.int64]]]:
    """Give a user who is in the index with all of forty vectors, and has enough for it to be asked."""
    large(20)
    space = record.write(OpenSpace("directions", DIMENSION))
    vectors = directions(40, 7)
    keys = say(record, "ada", vectors, space)
    assert index(record, "ada", space) == 40
    yield space, vectors, keys
    assert walks


def test_what_is_not_in_the_index_yet_is_found(record: Record, few: tuple[Space, Vectors, NDArray[np.int64]]) -> None:
    """A vector that came after the last was brought in is compared beside what the index gives."""
    space, _, _ = few
    new = directions(1, 77)
    (key,) = say(record, "ada", new, space, thread="later")
    assert nearest(record, Scope("ada"), space, new[0], 1)[0] == key


def test_a_vector_that_is_made_anew_is_found_as_it_is_now(
    record: Record, few: tuple[Space, Vectors, NDArray[np.int64]]
) -> None:
    """After a message's vector was replaced, the old one speaks for it no longer."""
    space, vectors, keys = few
    new = directions(1, 78)
    record.write(PutVectors(space.key, (VectorRow(int(keys[3]), 0, new[0]),)))
    assert nearest(record, Scope("ada"), space, new[0], 1)[0] == keys[3]
    assert nearest(record, Scope("ada"), space, vectors[3], 1)[0] != keys[3]
    assert index(record, "ada", space) == 1
    assert nearest(record, Scope("ada"), space, new[0], 1)[0] == keys[3]


@pytest.mark.parametrize("what", ["message", "thread", "scope"])
def test_what_is_removed_leaves_the_index(
    record: Record, few: tuple[Space, Vectors, NDArray[np.int64]], bolt: Bolt, what: str
) -> None:
    """Deleted messages, forgotten threads and forgotten people have no vector in the index any more."""
    space, vectors, keys = few
    assert nearest(record, Scope("ada"), space, vectors[3], 1)[0] == keys[3]
    if what == "message":
        record.write(DeleteMessages(Owner("ada", "", ""), "t", ("t-3",)))
        assert nearest(record, Scope("ada"), space, vectors[3], 1)[0] != keys[3]
    else:
        record.write(Forget(Scope("ada"), _key(record, "t") if what == "thread" else None))
    assert in_index(bolt, space, vectors[3]) == {"message": 39, "thread": 0, "scope": 0}[what]


def in_index(bolt: Bolt, space: Space, vector: Vectors) -> int:
    """Count what the index gives for a vector, with no walls."""
    told = "CALL db.index.vector.queryNodes($index, 1000, $vector) YIELD node RETURN count(*) AS count"
    (row,) = bolt.rows(told, {"index": index_name(space.key), "vector": vector.tolist()})
    return int(row["count"])


def test_a_moved_thread_is_its_new_owners(
    record: Record, few: tuple[Space, Vectors, NDArray[np.int64]], walks: list[int]
) -> None:
    """After a thread went to another user, only that one finds it, whose vectors are in the index already."""
    space, vectors, keys = few
    record.write(MoveThread(Owner("ada", "", ""), "t", Owner("bob", "", "")))
    assert nearest(record, Scope("ada"), space, vectors[5], 1) == []
    assert not walks
    assert nearest(record, Scope("bob"), space, vectors[5], 1)[0] == keys[5]


def test_an_index_that_is_away_is_not_asked(
    record: Record, few: tuple[Space, Vectors, NDArray[np.int64]], bolt: Bolt
) -> None:
    """Somebody drops the index by hand: everything is compared meanwhile, and the next drain makes it again."""
    space, vectors, keys = few
    bolt.alone(f"DROP INDEX {index_name(space.key)}")
    assert nearest(record, Scope("ada"), space, vectors[3], 1)[0] == keys[3]
    assert index(record, "ada", space) == 0
    assert in_index(bolt, space, vectors[3]) == 40
    assert nearest(record, Scope("ada"), space, vectors[3], 1)[0] == keys[3]


def test_a_space_takes_its_index_along(
    record: Record, few: tuple[Space, Vectors, NDArray[np.int64]], bolt: Bolt
) -> None:
    """With a switch to another model the old one's index goes, and the new one's is made for those who have many."""
    old, vectors, keys = few
    assert nearest(record, Scope("ada"), old, vectors[3], 1)[0] == keys[3]
    new = record.write(OpenSpace("others", DIMENSION))
    rows = zip(keys.tolist(), directions(40, 8), strict=True)
    record.write(PutVectors(new.key, tuple(VectorRow(key, 0, vector) for key, vector in rows)))
    record.write(SwitchSpace(new.key))
    named = bolt.rows("SHOW VECTOR INDEXES YIELD name")
    assert index_name(old.key) not in {row["name"] for row in named}
    assert index(record, "ada", new) == 40
    assert in_index(bolt, new, vectors[3]) == 40


def test_a_drain_indexes_who_has_many(neo4j_uri: str, tenant: str, bolt: Bolt, large: Callable[[int], None]) -> None:
    """Who passes the number from which an index pays is brought into it by the next drain, and nobody else."""
    large(30)
    with Memory.open(neo4j_uri, tenant=tenant, embedder=HashEmbedder(DIMENSION)) as memory:
        for user, count in (("ada", 31), ("bob", 5)):
            for number in range(count):
                memory.scope(user).thread(f"t{number}").append(Message.user(f"word{number} said"))
        memory.drain()
    inside = (
        "MATCH (v:KeepwellVector {tenant: $t}) WHERE v.near IS NOT NULL RETURN v.user_id AS user, count(*) AS count"
    )
    assert bolt.rows(inside, {"t": tenant}) == [{"user": "ada", "count": 31}]


def _key(record: Record, thread: str) -> UUID:
    found = record.read(FindThread(Owner("ada", "", ""), thread))
    assert found is not None
    return found.key
