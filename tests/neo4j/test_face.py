"""``graph="neo4j://..."``: the memory keeps the projection up by itself, and is never held up by it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

import pytest
from tests.neo4j.conftest import drained
from tests.neo4j.village import Village

from keepwell import Memory, Message
from keepwell.cli.program import program
from keepwell.errors import StoreFailed, StoreUnavailable, UsageError
from keepwell.memory.projection import neighbours, support
from keepwell.storage.graph import ReadNeighbours, SupportOf

_AWAY = "neo4j://ada:hush-hush@127.0.0.1:1"


@pytest.fixture
def projected(open_memory: Callable[..., Memory], neo4j_uri: str, tenant: str) -> Memory:
    """Give a memory whose graph is projected."""
    memory = open_memory(tenant=tenant, graph=neo4j_uri)
    yield memory
    memory.graph.remove()


def test_drain_brings_the_graph_over(projected: Memory) -> None:
    """After a drain the projection is current, says so, and is as the record has it."""
    ada = projected.scope(user_id="ada")
    ada.thread("t").append(Message.user("My sister Priya plays the cello with Anton."))
    done = projected.drain()
    assert done.skipped == ()
    drained(projected)
    status = projected.graph.status()
    assert (status.state, status.waiting) == ("current", 0)
    assert status.counts["entity"].count > 0
    assert projected.graph.verify().clean
    ada.graph.link("Priya", "sister of", "Ada")
    assert projected.graph.status().state == "behind"
    assert drained(projected) > 0
    assert projected.graph.verify().clean


def test_the_worker_does_it_in_the_background(open_memory: Callable[..., Memory], neo4j_uri: str, tenant: str) -> None:
    """With ``worker="thread"`` nobody has to drain."""
    memory = open_memory(tenant=tenant, graph=neo4j_uri, worker="thread")
    memory.scope(user_id="ada").graph.link("Priya", "sister of", "Ada")
    until = time.monotonic() + 30
    while memory.graph.status().state != "current" and time.monotonic() < until:
        time.sleep(0.2)
    assert memory.graph.status().counts["relation"].count == 1
    memory.graph.remove()


def test_neo4j_away_holds_nothing_up(
    open_memory: Callable[..., Memory], tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where Neo4j does not answer, writes and recalls work, and a drain says what it skipped, without the password."""
    caplog.set_level(logging.DEBUG)
    memory = open_memory(tenant=tenant, graph=_AWAY)
    ada = memory.scope(user_id="ada")
    ada.thread("t").append(Message.user("I can't eat peanuts."))
    assert len(ada.recall("peanuts")) == 1
    (skipped,) = memory.drain().skipped
    assert "does not answer" in skipped
    assert memory.graph.status().state == "away"
    assert "hush-hush" not in caplog.text + skipped + repr(memory.graph.status()) + repr(memory._engine.habits)


def test_the_source_of_recall_may_be_neo4j(
    open_memory: Callable[..., Memory], neo4j_uri: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting the same questions are answered from Neo4j; where it is away that is an error in time."""
    monkeypatch.setenv("KEEPWELL_GRAPH_SOURCE", "neo4j")
    monkeypatch.setenv("KEEPWELL_GRAPH_SECONDS", "20")
    memory = open_memory(tenant=tenant, graph=neo4j_uri)
    village = Village(memory)
    ada, priya = village.person("Ada"), village.person("Priya")
    village.relate(priya, "sister of", ada, village.say(ada))
    memory.drain()
    engine, scope = memory._engine, village.scope.scope
    asked = SupportOf(scope, names=("Ada",))
    assert support(engine, asked).keys.tolist() == engine.record.read(asked).keys.tolist()
    assert set(neighbours(engine, ReadNeighbours(scope, (ada,))).entities) == {ada, priya}
    memory.graph.remove()
    monkeypatch.setenv("KEEPWELL_GRAPH_SECONDS", "0.3")
    away = open_memory(tenant=tenant, graph=_AWAY)
    for _ in range(7):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            support(away._engine, asked)
        assert time.monotonic() - began < 2
    with pytest.raises(StoreUnavailable, match="rests"):
        support(away._engine, asked)


def test_free_cypher_must_be_asked_for_and_cannot_write(projected: Memory) -> None:
    """Without ``across_scopes=True`` it is refused; with it a query reads, and a write is refused by the server."""
    projected.scope(user_id="ada").graph.link("Priya", "sister of", "Ada")
    projected.drain()
    query = "MATCH (a {tenant: $tenant})-[r:RELATED]->(b) RETURN a.name AS a, r.predicate AS how, b.name AS b"
    with pytest.raises(UsageError, match="across_scopes"):
        projected.graph.cypher(query)
    rows = projected.graph.cypher(query, {"tenant": projected.tenant}, across_scopes=True)
    assert rows == [{"a": "Priya", "how": "sister of", "b": "Ada"}]
    with pytest.raises(StoreFailed, match=r"(?i)writ"):
        projected.graph.cypher("MATCH (n) DETACH DELETE n", across_scopes=True)
    assert len(projected.graph.cypher("UNWIND range(1, 50) AS x RETURN x", across_scopes=True, limit=7)) == 7


def test_a_memory_without_projection_says_how_to_get_one(open_memory: Callable[..., Memory]) -> None:
    """The operators' tools name what is missing."""
    with pytest.raises(UsageError, match="neo4j://"):
        open_memory().graph.status()


@pytest.mark.parametrize("graph", ["neo4j://", "http://ada:hush-hush@host", "nowhere"])
def test_what_is_no_place_for_a_graph_is_refused(open_memory: Callable[..., Memory], graph: str) -> None:
    """A wrong ``graph=`` is an error when the memory is opened, and its words show no password."""
    with pytest.raises(UsageError) as caught:
        open_memory(graph=graph)
    assert "hush-hush" not in str(caught.value)


def test_the_command_line_has_it_all(dsn: str, neo4j_uri: str, tenant: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``keepwell graph sync | status | verify | rebuild | remove`` do what the verbs do, with ``--json`` as documents."""

    def run(*words: str) -> tuple[int, object]:
        with pytest.raises(SystemExit) as ended:
            program()(["--dsn", dsn, "--tenant", tenant, "--json", *words])
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    with Memory.open(dsn, tenant=tenant, embedder=None, name="cli") as memory:
        memory.scope(user_id="ada").graph.link("Priya", "sister of", "Ada")
    to = ("--to", neo4j_uri)
    assert run("graph", "sync", *to)[0] == 0
    assert run("graph", "status", *to)[1]["state"] == "current"  # type: ignore[index]  # a document
    code, told = run("graph", "verify", *to)
    assert (code, told["clean"]) == (0, True)  # type: ignore[index]  # as above
    assert run("graph", "rebuild", *to)[1]["things"] >= 3  # type: ignore[index]  # as above
    assert run("graph", "remove", *to)[0] == 0
