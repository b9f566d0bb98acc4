"""Vectors of large owners are found by an approximate index, and nothing that is true is lost by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

import numpy as np
import psycopg
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
    VectorRow,
)
from keepwell.storage.postgres.nearest import LARGE, for_dimension, worth_walking
from keepwell.storage.postgres.queries import statement
from keepwell.storage.postgres.runner import FloatArray
from keepwell.testing import HashEmbedder

from .statements import NAMES, explain, parameters, scans, unknown

DIMENSION = 64
SIZES = (10, 100, 1_000, 10_000, 50_000)
ALL = 100_000
Vectors = NDArray[np.float32]


@contextmanager
def later(work: Callable[[], object]) -> Iterator[Callable[[], BaseException | None]]:
    """Begin work on a thread of its own, and give what waits for its end and tells what it raised."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        time.sleep(0.3)
        yield lambda: future.exception(60)


def directions(count: int, seed: int) -> Vectors:
    """Give unit vectors that lie around some hundred points, as texts do around subjects."""
    chance = np.random.default_rng(seed)
    points = np.random.default_rng(0).normal(size=(300, DIMENSION))
    matrix = points[chance.integers(0, len(points), count)] + 0.8 * chance.normal(size=(count, DIMENSION))
    units: Vectors = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    return units


def say(record: Record, user: str, vectors: Vectors, space: Space, thread: str = "t") -> list[int]:
    """Append a message for each vector, keep the vectors, and give the messages' keys."""
    keys: list[int] = []
    for first in range(0, len(vectors), 5_000):
        batch = vectors[first : first + 5_000]
        messages = tuple(Message.user("said", id=f"{thread}-{first + n}") for n in range(len(batch)))
        written = record.write(AppendMessages(Owner(user, "", ""), thread, messages, ("said",) * len(batch))).written
        record.write(PutVectors(space.key, tuple(VectorRow(k, 0, v) for k, v in zip(written, batch, strict=True))))
        keys += written
    return keys


def index(record: Record, user: str, space: Space) -> int:
    """Bring all of a user's vectors into the index, and count them."""
    return sum(iter(lambda: record.write(IndexVectors(user, space.key)), 0))


def nearest(record: Record, user: str, space: Space, vector: Vectors, limit: int) -> list[int]:
    """Give the keys of the candidates that have vectors, nearest first."""
    found = record.read(FindCandidates(Scope(user), space.key, vector, (), limit)).vectors
    if not len(found.keys):
        return []
    order = np.argsort(-(found.matrix @ vector), kind="stable")
    return [int(key) for key in found.keys[order]]


@pytest.mark.timeout(900)
def test_recall_of_the_index_beside_that_of_comparing_each(record: Record) -> None:
    """In 100,000 vectors the ten nearest of scopes of 10 to 50,000 are found to 99 of 100, by whichever way is taken."""
    space = record.write(OpenSpace("directions", DIMENSION))
    rest = [1_000] * ((ALL - sum(SIZES)) // 1_000)
    said: dict[str, tuple[list[int], Vectors]] = {}
    for number, size in enumerate((*SIZES, *rest)):
        vectors = directions(size, number)
        said[f"u{number}"] = say(record, f"u{number}", vectors, space), vectors
    for number, size in enumerate(SIZES):
        if size >= LARGE:
            assert index(record, f"u{number}", space) == size
    for number, size in enumerate(SIZES):
        keys, vectors = said[f"u{number}"]
        assert _recall(record, f"u{number}", space, np.array(keys), vectors) >= 0.99, size


def _recall(record: Record, user: str, space: Space, keys: NDArray[np.int64], vectors: Vectors) -> float:
    shares = []
    for asked in directions(40, 999):
        wanted = set(keys[np.argsort(-(vectors @ asked))[:10]].tolist())
        found = set(nearest(record, user, space, asked, 400)[:10])
        shares.append(len(wanted & found) / len(wanted))
    return float(np.mean(shares))


def test_the_way_is_chosen_by_what_it_costs() -> None:
    """A large scope is looked up in the index; a small one, and a small part of a huge index, is compared."""
    assert worth_walking(50_000, 100_000, 200)
    assert not worth_walking(1_000, 100_000, 200)
    assert not worth_walking(10_000, 100_000, 200)
    assert not worth_walking(50_000, 10_000_000, 200)
    assert not worth_walking(0, 0, 1)


@pytest.fixture
def few(record: Record) -> tuple[Space, Vectors, list[int]]:
    """Give a user who is in the index with all of forty vectors; one nearest of them is found by walking it."""
    space = record.write(OpenSpace("directions", DIMENSION))
    vectors = directions(40, 7)
    keys = say(record, "ada", vectors, space)
    assert index(record, "ada", space) == 40
    assert worth_walking(40, 40, 1)
    return space, vectors, keys


def test_what_is_not_in_the_index_yet_is_found(record: Record, few: tuple[Space, Vectors, list[int]]) -> None:
    """A vector that came after the last copy is compared beside what the index gives."""
    space, _, _ = few
    new = directions(1, 77)
    (key,) = say(record, "ada", new, space, "later")
    assert nearest(record, "ada", space, new[0], 1)[0] == key


def test_a_vector_that_is_made_anew_is_found_as_it_is_now(
    record: Record, few: tuple[Space, Vectors, list[int]]
) -> None:
    """After a message's vector was replaced, the old one speaks for it no longer."""
    space, vectors, keys = few
    new = directions(1, 78)
    record.write(PutVectors(space.key, (VectorRow(keys[3], 0, new[0]),)))
    assert nearest(record, "ada", space, new[0], 1)[0] == keys[3]
    assert nearest(record, "ada", space, vectors[3], 1)[0] != keys[3]


def copies(admin_dsn: str, tenant: str) -> int:
    """Count the vectors in the index of a tenant."""
    with psycopg.connect(admin_dsn) as admin:
        row = admin.execute("select count(*) from keepwell.nearest where tenant = %s", [tenant]).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("what", ["message", "thread", "scope"])
def test_what_is_removed_leaves_the_index(
    record: Record, few: tuple[Space, Vectors, list[int]], admin_dsn: str, tenant: str, what: str
) -> None:
    """Deleted messages, forgotten threads and forgotten people have no vector in the index any more."""
    space, vectors, keys = few
    if what == "message":
        record.write(DeleteMessages(Owner("ada", "", ""), "t", ("t-3",)))
        assert nearest(record, "ada", space, vectors[3], 1)[0] != keys[3]
    else:
        record.write(Forget(Scope("ada"), _key(record, "t") if what == "thread" else None))
    assert copies(admin_dsn, tenant) == {"message": 39, "thread": 0, "scope": 0}[what]


def test_a_copy_that_is_being_made_does_not_outlive_its_vector(
    record: Record, few: tuple[Space, Vectors, list[int]], admin_dsn: str, tenant: str
) -> None:
    """Forgetting a person while their vectors are copied leaves none, whichever comes first."""
    space, _, _ = few
    say(record, "ada", directions(50, 8), space, "more")
    with psycopg.connect(admin_dsn) as job:
        job.execute(
            "with v as (update keepwell.vector set indexed = true where tenant = %s and not indexed returning *)"
            " insert into keepwell.nearest (tenant, user_id, agent_id, run_id, space, message, chunk, dimension, embedding)"
            " select tenant, user_id, agent_id, run_id, space, message, chunk, 64, embedding from v",
            [tenant],
        )
        with later(lambda: record.write(Forget(Scope("ada")))) as forgetting:
            job.commit()
        assert forgetting() is None
    assert copies(admin_dsn, tenant) == 0


def test_a_moved_thread_is_its_new_owners(record: Record, few: tuple[Space, Vectors, list[int]]) -> None:
    """After a thread went to another user, only that one finds it, copied or not."""
    space, vectors, keys = few
    record.write(MoveThread(Owner("ada", "", ""), "t", Owner("bob", "", "")))
    assert nearest(record, "ada", space, vectors[5], 1) == []
    assert nearest(record, "bob", space, vectors[5], 1)[0] == keys[5]
    assert index(record, "bob", space) == 40
    assert nearest(record, "bob", space, vectors[5], 1)[0] == keys[5]


def test_a_scope_sees_its_own_part_of_the_index(record: Record) -> None:
    """Of one user's vectors in the index an agent's view finds those of that agent alone."""
    space = record.write(OpenSpace("directions", DIMENSION))
    vectors = directions(80, 9)
    names = [f"m{n}" for n in range(80)]
    keys: dict[str, list[int]] = {}
    for agent, half in (("a", slice(0, 40)), ("b", slice(40, 80))):
        messages = tuple(Message.user("said", id=name) for name in names[half])
        appended = record.write(AppendMessages(Owner("ada", agent, ""), "t", messages, ("said",) * 40))
        rows = tuple(VectorRow(k, 0, v) for k, v in zip(appended.written, vectors[half], strict=True))
        record.write(PutVectors(space.key, rows))
        keys[agent] = list(appended.written)
    assert index(record, "ada", space) == 80
    for agent in "ab":
        found = record.read(FindCandidates(Scope("ada", agent), space.key, vectors[60], (), 1))
        assert set(found.vectors.keys.tolist()) <= set(keys[agent])
        assert len(found.vectors.keys)


def test_the_centre_is_the_mean_of_what_is_there(record: Record, few: tuple[Space, Vectors, list[int]]) -> None:
    """The mean of a scope's vectors comes with its candidates, by either way."""
    space, vectors, _ = few
    for limit in (1, 40):
        found = record.read(FindCandidates(Scope("ada"), space.key, vectors[0], (), limit))
        assert found.centre is not None
        mean, count = found.centre
        assert count == len(vectors)
        assert np.allclose(mean, vectors.mean(axis=0), atol=1e-5)


def test_the_centre_of_long_texts_is_that_of_their_vectors(record: Record) -> None:
    """Where messages have several vectors each, their mean is over the vectors, before and after they are indexed."""
    space = record.write(OpenSpace("directions", DIMENSION))
    vectors = directions(90, 11)
    messages = tuple(Message.user("said", id=f"m{n}") for n in range(30))
    appended = record.write(AppendMessages(Owner("ada", "", ""), "t", messages, ("said",) * 30))
    keys = list(appended.written)
    rows = tuple(VectorRow(keys[n // 3], n % 3, vector) for n, vector in enumerate(vectors))
    record.write(PutVectors(space.key, rows))
    for limit in (40, 1):
        found = record.read(FindCandidates(Scope("ada"), space.key, vectors[0], (), limit))
        assert found.centre is not None
        mean, count = found.centre
        assert count == 90
        assert np.allclose(mean, vectors.mean(axis=0), atol=1e-5)
        index(record, "ada", space)


def test_a_drain_indexes_who_has_many(
    open_memory: Callable[..., Memory], admin_dsn: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who passes the number from which an index pays is brought into it by the next drain, and nobody else."""
    monkeypatch.setattr("keepwell.storage.postgres.nearest.LARGE", 30)
    memory = open_memory(tenant=tenant, embedder=HashEmbedder(DIMENSION))
    for user, count in (("ada", 31), ("bob", 5)):
        for number in range(count):
            memory.scope(user).thread(f"t{number}").append(Message.user(f"word{number} said"))
    memory.drain()
    assert copies(admin_dsn, tenant) == 31


@pytest.mark.parametrize(("dimension", "kind"), [(256, "vector"), (384, "vector"), (3072, "halfvec")])
def test_the_statement_names_the_dimension(dimension: int, kind: str) -> None:
    """An index's expression names type and size, so the statement is written for each."""
    text = for_dimension(statement("nearest_indexed", NAMES, Scope("*")), NAMES, dimension).decode()
    assert f'"public"."{kind}"({dimension})' in text
    assert f"n.dimension = {dimension}" in text


@pytest.mark.parametrize(("name", "walked"), [("nearest_indexed", True), ("nearest_exact", False)])
def test_the_plan_walks_the_index_or_does_not(dsn: str, tenant: str, name: str, walked: bool) -> None:
    """The indexed way reads the HNSW index of its dimension and no other; the exact way never does."""
    values = parameters(name, tenant, unknown()) | {"vector": FloatArray(np.eye(1, 256, dtype=np.float32)[0])}
    with psycopg.connect(dsn) as connection:
        plan = explain(connection, name, values)
        read = {node.get("Index Name") for node, _ in scans(plan)}
        connection.rollback()
    assert ("nearest_256" in read) is walked
    assert not any(str(index).startswith("nearest_") for index in read - {"nearest_256"})


def _key(record: Record, thread: str) -> UUID:
    found = record.read(FindThread(Owner("ada", "", ""), thread))
    assert found is not None
    return found.key
