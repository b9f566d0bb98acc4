"""Embeddings of entities: made as due work, whatever happens meanwhile, and what they add to recall."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from benchmarks.relations import DESCRIBED, ask, told

from keepwell import Memory, Message
from keepwell.errors import EmbedderFailed
from keepwell.formation.graph_edits import AddEntity, ChangeEntity
from keepwell.models import Owner
from keepwell.storage.embeddings import FindUnembedded, Near
from keepwell.storage.graph import ApplyGraph, GraphEdits, NearEntities, ReadMentions, SupportOf
from keepwell.testing import HashEmbedder

NOTHING = "The kettle was replaced."


class Guided:
    """An embedder that knows two meanings, those of teeth and of pipes, and does something before it answers."""

    model, dimension, local = "guided", 4, True

    def __init__(self) -> None:
        """Do nothing yet."""
        self.asked: list[str] = []
        self.before: Callable[[], None] = lambda: None

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Give a corner to each meaning, and one to everything else."""
        self.asked += texts
        self.before()
        return [self._towards(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Give the same for a question."""
        return self.embed([text])[0]

    async def aembed_query(self, text: str) -> list[float]:
        """Give the same."""
        return self.embed_query(text)

    def _towards(self, text: str) -> list[float]:
        if "dentist" in text or "molar" in text:
            return [1.0, 0.0, 0.0, 0.0]
        return [0.0, 1.0, 0.0, 0.0] if "plumber" in text or "leak" in text else [0.0, 0.0, 1.0, 0.0]


@pytest.fixture
def guided() -> Guided:
    """Give the embedder."""
    return Guided()


@pytest.fixture
def memory(dsn: str, guided: Guided) -> Iterator[Memory]:
    """Give a memory that keeps a graph, and in which Ada has a dentist and a plumber."""
    with Memory.open(dsn, embedder=guided, tenant=f"near-{uuid4()}", graph="record") as opened:
        ada = opened.scope(user_id="ada")
        ada.graph.link("Adaeze", "dentist of", "Ada")
        ada.graph.link("Otto", "plumber of", "Ada")
        ada.thread("t").append(
            Message.user("Otto went for a run."), Message.user("Adaeze went for a run."), Message.user(NOTHING)
        )
        opened.drain()
        yield opened


def lacking(memory: Memory) -> list[str]:
    """Give the names of those for whom an embedding is due."""
    space = memory._engine.space()
    assert space is not None
    return sorted(one.names[0] for one in memory._engine.record.read(FindUnembedded(space.key)))


def first(memory: Memory, question: str) -> str:
    """Give the text that is recalled first for Ada."""
    return memory.scope(user_id="ada").recall(question, limit=1, neighbours=0)[0].text


def test_drain_embeds_entities(memory: Memory, guided: Guided) -> None:
    """After a drain nothing is due, and the model has read what each is, and no person's name."""
    assert lacking(memory) == []
    assert {"dentist of", "plumber of"} <= set(guided.asked)
    assert not {"Ada", "Adaeze", "Otto"} & set(guided.asked)


def test_whoever_is_described_is_found_by_what_they_are(memory: Memory) -> None:
    """A description leads to somebody by a relation that has no word of it."""
    assert first(memory, "When did the one who pulled a molar run?") == "Adaeze went for a run."
    assert first(memory, "When did the man who stops leaks run?") == "Otto went for a run."
    assert first(memory, "When did the man who stops my leaks run?") == "Otto went for a run."


def test_evidence_names_the_graph(memory: Memory) -> None:
    """What was found so says that the graph led there."""
    (best,) = memory.scope(user_id="ada").recall("When did the man who stops leaks run?", limit=1, explain=True)
    assert best.evidence["graph"].rank == 1


def test_nothing_changes_where_nobody_is_near(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that names and describes nobody who is known has the answer that it has without embeddings."""
    questions = ("What was replaced?", "When did the one who sells hats run?", "What happened today?")
    ada = memory.scope(user_id="ada")

    def answers() -> list[list[tuple[str, float]]]:
        return [[(one.text, round(one.score, 9)) for one in ada.recall(question)] for question in questions]

    found = answers()
    monkeypatch.setattr("keepwell.memory.recalling.closeness", lambda *_: None)
    assert [[text for text, _ in answer] for answer in answers()] == [[text for text, _ in answer] for answer in found]
    for with_, without in zip(found, answers(), strict=True):
        assert [score for _, score in with_] == pytest.approx([score for _, score in without], abs=1e-4)


@pytest.mark.parametrize(
    ("question", "most"),
    [("When did Otto run?", 1), ("What was replaced?", 1), ("When did the man who stops leaks run?", 2)],
)
def test_the_graph_is_asked_no_more_often_than_before(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, question: str, most: int
) -> None:
    """What is near travels with the question for the graph: one round trip, and one for whom a text describes."""
    asked: list[Any] = []
    read = memory._engine.record.read

    def noted(query: Any) -> Any:
        asked.append(query)
        return read(query)

    monkeypatch.setattr(memory._engine.record, "read", noted, raising=False)
    memory.scope(user_id="ada").recall(question)
    assert sum(isinstance(one, SupportOf | ReadMentions | NearEntities) for one in asked) <= most
    assert sum(isinstance(one, SupportOf) for one in asked) == 1


def test_another_persons_dentist_is_not_near(memory: Memory) -> None:
    """Bob, whose memory knows of no dentist, is not led to Ada's."""
    space = memory._engine.space()
    assert space is not None
    import numpy as np

    near = Near(space.key, np.array([1, 0, 0, 0], np.float32), 0.5)
    record = memory._engine.record
    assert record.read(NearEntities(memory.scope(user_id="bob").scope, near)) == ()
    assert len(record.read(NearEntities(memory.scope(user_id="ada").scope, near))) == 1


def test_what_changes_while_the_model_runs_stays_due(memory: Memory, guided: Guided) -> None:
    """An embedding of words that are not those any more is not kept, and no lock is held while the model runs."""
    record, ident = memory._engine.record, uuid4()
    owner = Owner("ada", "", "")

    def write(*edits: Any) -> None:
        record.write(ApplyGraph(owner, GraphEdits(edits), "tests", uuid4()))

    write(AddEntity(ident, "Riga", "place", given=("Riga",)))

    def rename() -> None:
        guided.before = lambda: None
        other = threading.Thread(target=write, args=(ChangeEntity(ident, name="Rīga"),))
        other.start()
        other.join(20)
        assert not other.is_alive(), "a lock is held while the model runs"

    guided.before = rename
    memory.drain()
    assert lacking(memory) == ["Rīga"]
    memory.drain()
    assert lacking(memory) == []


def test_a_failing_model_leaves_them_due(memory: Memory, guided: Guided, caplog: pytest.LogCaptureFixture) -> None:
    """Where the model fails the drain goes on and says so, and the next one makes up for it."""
    memory.scope(user_id="ada").graph.link("Wanda", "lawyer of", "Ada")

    def fail() -> None:
        raise EmbedderFailed("it is out")

    guided.before = fail
    memory.drain()
    assert lacking(memory) == ["Wanda"]
    assert "entities wait for their embeddings" in caplog.text
    guided.before = lambda: None
    memory.drain()
    assert lacking(memory) == []


def test_a_description_that_cannot_be_embedded_is_left_out(memory: Memory, guided: Guided) -> None:
    """Recall answers by the rest where the model fails at what describes somebody."""
    calls = iter(range(10))

    def fail_later() -> None:
        if next(calls):
            raise EmbedderFailed("it is out")

    guided.before = fail_later
    assert len(memory.scope(user_id="ada").recall("When did the man who stops leaks run?")) == 3


def test_another_model_embeds_them_anew(memory: Memory, dsn: str) -> None:
    """After a switch to another model nothing is due, and nothing of the earlier model is left."""
    memory.reembed(HashEmbedder(32))
    assert lacking(memory) == []
    space = memory._engine.space()
    assert space is not None
    assert space.dimension == 32


def test_without_the_layer_nothing_is_embedded(dsn: str, guided: Guided) -> None:
    """With graph="none" neither a drain nor a recall asks a model for entities."""
    with Memory.open(dsn, embedder=guided, tenant=f"bare-{uuid4()}", graph="none") as memory:
        ada = memory.scope(user_id="ada")
        ada.thread("t").append(Message.user("Otto ran."))
        memory.drain()
        ada.recall("When did the man who stops leaks run?")
        assert len(guided.asked) == 2


def test_described_people_are_found(dsn: str) -> None:
    """Of people who are described in words that nobody used, more come first with their embeddings than without."""
    found = {}
    for graph in ("none", "record"):
        with Memory.open(dsn, tenant=f"described-{graph}", graph=graph) as memory:
            told(memory, graph=graph == "record", besides=True)
            found[graph] = ask(memory, DESCRIBED)
    assert found["record"].first >= 2 * found["none"].first > 0
    assert found["record"].among >= found["none"].among
