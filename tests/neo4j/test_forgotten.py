"""Of a person who was forgotten nothing is in Neo4j, as store or as projection: every property of everything is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.neo4j.conftest import drained

from keepwell import Memory, Message
from keepwell.storage.neo4j.driver import Bolt
from keepwell.storage.neo4j.work import stripe_of
from keepwell.testing import HashEmbedder, ScriptedExtractor

USER, AGENT = "ada-lovelace-4711", "babbage-4711"
HERS = ("lovelace", "babbage", "peanut", "walnut", "allerg", "xanthippe", "secret-")


def _said(bolt: Bolt, tenant: str) -> list[tuple[list[str], dict[str, Any]]]:
    """Give labels and properties of every node of a tenant, and of every relation that it has or that hangs on one."""
    nodes = "MATCH (n) WHERE n.tenant = $t RETURN labels(n) AS what, properties(n) AS said"
    edges = (
        "MATCH (n)-[r]->(m) WHERE n.tenant = $t OR m.tenant = $t OR r.tenant = $t"
        " RETURN [type(r)] AS what, properties(r) AS said"
    )
    return [(row["what"], row["said"]) for text in (nodes, edges) for row in bolt.rows(text, {"t": tenant})]


def _hers(bolt: Bolt, tenant: str) -> list[tuple[str, list[str]]]:
    """Give the words of hers that are somewhere, with where they are; bytes are looked through as text, too."""
    found = []
    for what, said in _said(bolt, tenant):
        text = json.dumps(said, default=lambda one: bytes(one).decode("latin1") if _is_bytes(one) else str(one)).lower()
        found += [(word, what) for word in HERS if word in text]
    return found


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes | bytearray)


def _speak(memory: Memory) -> None:
    """Let her leave a trace in everything that there is."""
    ada, cook = memory.scope(user_id=USER), memory.scope(user_id=USER, agent_id=AGENT)
    chat = ada.thread("secret-thread")
    said = chat.append(
        Message.user("I can't eat peanuts."), Message.user("I am Xanthippe."), idempotency_key="secret-1"
    )
    chat.replace(Message.user("I can't eat walnuts.", id=said[0].id))
    cook.thread("secret-cooking").append(Message.user("Ask Xanthippe about peanuts."))
    chat.clone("secret-copy")
    fact = ada.remember("Xanthippe is allergic to walnuts", key="allergy", metadata={"why": "peanuts"})
    ada.correct(fact, "Xanthippe is allergic to peanuts")
    ada.forget(ada.remember("Xanthippe hates walnuts"))
    ada.configure(retention=30)
    memory.drain()
    chat.delete(said[1])


@pytest.fixture
def stored(neo4j_uri: str, tenant: str) -> Iterator[Memory]:
    """Give a memory in Neo4j with everything on."""
    embedder, model = HashEmbedder(16), ScriptedExtractor()
    with Memory.open(neo4j_uri, tenant=tenant, embedder=embedder, language_model=model) as memory:
        yield memory


@pytest.mark.parametrize("indexed", [False, True])
def test_nothing_is_in_the_store(
    stored: Memory, bolt: Bolt, tenant: str, indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No node and no relation names her or says what she said, in the vector index or not; somebody else's stay."""
    monkeypatch.setattr("keepwell.storage.neo4j.nearest.LARGE", 1 if indexed else 1000)
    _speak(stored)
    stored.scope(user_id="zoe-stays").thread("t").append(Message.user("Hello."))
    before = _hers(bolt, tenant)
    assert {word for word, _ in before} == set(HERS)
    assert indexed is any("near" in said for _, said in _said(bolt, tenant))
    receipt = stored.scope(user_id=USER).forget()
    assert receipt.counts["messages"] > 0
    assert _hers(bolt, tenant) == []
    stored.drain()
    assert _hers(bolt, tenant) == []
    assert any("zoe-stays" in said.values() for _, said in _said(bolt, tenant))


def test_marks_name_nobody(stored: Memory, bolt: Bolt, tenant: str) -> None:
    """What stays, so that readers let go of what they hold, are numbers; one of them is shared by many users."""
    _speak(stored)
    stored.scope(user_id=USER).forget()
    marks = [said for what, said in _said(bolt, tenant) if what == ["KeepwellGone"]]
    assert marks
    assert {frozenset(said) for said in marks} == {frozenset({"tenant", "stripe", "key", "rev", "at"})}
    assert {type(said[name]) for said in marks for name in said if name != "tenant"} == {int}
    assert {said["stripe"] for said in marks} <= set(range(256))


def test_readers_let_go_of_what_went(stored: Memory) -> None:
    """Who holds what was forgotten loses it with the next recall; who has the same number in marks loses nothing."""
    twin = next(name for name in map(str, range(10_000)) if stripe_of(name) == stripe_of(USER))
    _speak(stored)
    other = stored.scope(user_id=twin)
    other.thread("t").append(Message.user("I can't eat walnuts either."))
    hers = stored.scope(user_id=USER)
    assert list(hers.recall("walnuts"))
    assert len(list(other.recall("walnuts"))) == 1
    hers.forget()
    assert list(hers.recall("walnuts")) == []
    assert len(list(other.recall("walnuts"))) == 1


def test_nothing_is_in_the_projection(
    open_memory: Callable[..., Memory], neo4j_uri: str, tenant: str, bolt: Bolt
) -> None:
    """After the drain that follows a forgetting, no node and no relation of the projection has a word of hers."""
    memory = open_memory(tenant=tenant, graph=neo4j_uri, language_model=ScriptedExtractor())
    try:
        _speak(memory)
        memory.scope(user_id="zoe-stays").thread("t").append(Message.user("Hello, Yvonne."))
        drained(memory)
        assert {word for word, _ in _hers(bolt, tenant)} >= {"lovelace", "xanthippe"}
        memory.scope(user_id=USER).forget()
        drained(memory)
        assert _hers(bolt, tenant) == []
        assert any("zoe-stays" in said.values() for _, said in _said(bolt, tenant))
    finally:
        memory.graph.remove()
