"""The graph as a source of recall: what names and relations lead to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from benchmarks.relations import QUESTIONS, ask, told

from keepwell import Memory, Message, errors
from keepwell.storage.graph import SupportOf
from keepwell.testing import HashEmbedder


@pytest.fixture
def memory(dsn: str) -> Iterator[Memory]:
    """Give a memory that keeps a graph."""
    with Memory.open(dsn, embedder=HashEmbedder(), tenant=f"graph-{uuid4()}", graph="record") as opened:
        yield opened


def first(memory: Memory, question: str) -> str:
    """Give the text that is recalled first for Ada."""
    return memory.scope(user_id="ada").recall(question, limit=1, neighbours=0)[0].text


def test_the_graph_finds_what_words_alone_do_not(dsn: str) -> None:
    """Of questions that name somebody by a relation, far more have their answer first with the graph than without."""
    found = {}
    for graph in ("none", "record"):
        with Memory.open(dsn, tenant=f"set-{graph}", graph=graph) as memory:
            told(memory, graph=graph == "record")
            found[graph] = ask(memory)
    assert found["record"].first >= 0.75 * len(QUESTIONS) >= 1.5 * found["none"].first
    assert found["record"].among >= found["none"].among


def test_relations_are_followed_as_they_hold_at_the_time_asked(memory: Memory) -> None:
    """Today's carer answers for today, the one before for what was, and each as of an earlier day."""
    ada, april = memory.scope(user_id="ada"), dt.datetime(2025, 4, 1, tzinfo=dt.UTC)
    ada.graph.link("Nils", "carer of", "Ada", valid_to=april)
    ada.graph.link("Mira", "carer of", "Ada", valid_from=april)
    said = ["Today Nils came by tram.", "Today Mira came by bicycle.", "Today Sven came by car."]
    ada.thread("t").append(*(Message.user(text, created_at=april) for text in said))
    memory.drain()
    assert first(memory, "How does my carer come?") == said[1]
    assert first(memory, "How did my previous carer come?") == said[0]


def test_explain_names_the_graph(memory: Memory) -> None:
    """What a relation brought says so, with its share and its rank."""
    ada = memory.scope(user_id="ada")
    ada.graph.link("Priya", "sister of", "Ada")
    ada.thread("t").append(Message.user("Yesterday Priya sang."), Message.user("Yesterday Tom sang."))
    memory.drain()
    (best,) = ada.recall("What did my sister do?", limit=1, explain=True)
    assert best.text == "Yesterday Priya sang."
    assert best.evidence["graph"].score > 1
    assert best.evidence["graph"].rank == 1


def test_another_persons_relations_lead_nowhere(memory: Memory) -> None:
    """Bob's sister is not Ada's, though the two have the same name for her."""
    bob, ada = memory.scope(user_id="bob"), memory.scope(user_id="ada")
    bob.graph.link("Priya", "sister of", "Ada")
    ada.thread("t").append(Message.user("Yesterday Priya sang."))
    memory.drain()
    (best,) = ada.recall("What did Ada's sister do yesterday?", limit=1, explain=True)
    assert best.evidence.get("graph") is None or best.evidence["graph"].score < 1


def test_a_graph_that_cannot_be_asked_is_left_out(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recall goes on without it and says so."""
    ada = memory.scope(user_id="ada")
    ada.thread("t").append(Message.user("Yesterday Priya sang."))
    read = memory._engine.record.read

    def failing(query: object) -> object:
        if isinstance(query, SupportOf):
            raise errors.StoreUnavailable("no server answers")
        return read(query)  # type: ignore[arg-type]  # any other query

    monkeypatch.setattr(memory._engine.record, "read", failing, raising=False)
    found = ada.recall("Priya")
    assert found[0].text == "Yesterday Priya sang."
    assert found.skipped == {"graph": "no server answers"}


def test_without_the_layer_nothing_is_asked(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With graph="none" a recall reads nothing of a graph."""
    with Memory.open(dsn, embedder=None, tenant="bare", graph="none") as memory:
        memory.scope(user_id="ada").thread("t").append(Message.user("Yesterday Priya sang."))
        asked: list[object] = []
        read = memory._engine.record.read

        def noted(query: Any) -> Any:
            asked.append(query)
            return read(query)

        monkeypatch.setattr(memory._engine.record, "read", noted, raising=False)
        assert memory.scope(user_id="ada").recall("Priya")
        assert asked
        assert not [query for query in asked if isinstance(query, SupportOf)]
