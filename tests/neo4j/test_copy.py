"""A tenant goes from PostgreSQL to Neo4j and back, and is the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from keepwell import Memory, Message
from keepwell.errors import KeepwellError, UsageError
from keepwell.storage.base import FindDue, ReadStatus, Write
from keepwell.storage.copying import KeepMessageCopies
from keepwell.testing import HashEmbedder, ReferenceStore, ScriptedExtractor


@pytest.fixture
def neo4j(neo4j_uri: str, tenant: str) -> Iterator[Memory]:
    """Give an empty memory in Neo4j."""
    with Memory.open(neo4j_uri, tenant=tenant, embedder=None, name="neo4j") as memory:
        yield memory


@pytest.fixture
def postgres(open_memory: Callable[..., Memory], tenant: str) -> Memory:
    """Give a memory in PostgreSQL that holds something of everything."""
    memory = open_memory(tenant=tenant, language_model=ScriptedExtractor(), graph="none")
    furnish(memory)
    return memory


def furnish(memory: Memory) -> None:
    """Let two people say and know something, change their minds, and forget."""
    ada, bob = memory.scope(user_id="ada"), memory.scope(user_id="bob", agent_id="cook")
    chat = ada.thread("holiday")
    chat.append(Message.user("My name is Ada. I live in Rome.", id="rome"), Message.assistant("Noted.", id="noted"))
    chat.append(*(Message.user(f"message {number}", id=f"m{number}", metadata={"n": number}) for number in range(30)))
    chat.delete("m3", "m29")
    chat.update(title="Holiday", metadata={"x": float("inf"), "odd": "\ud800"})
    chat.clone("copy")
    bob.thread("kitchen").append(Message.user("NUL \x00", id="nul"), Message.tool("ok", tool_call_id="1", id="tool"))
    memory.drain()
    home = ada.remember("Ada lives in Rome for now", key="home", sources=chat.messages()[0])
    ada.correct(home, "Ada lives in Lisbon", why="she said so")
    wrong = ada.remember("Ada likes tea")
    ada.retract(wrong, why="never")
    ada.forget(ada.remember("Ada is tall"))
    bob.remember("Bob cooks", metadata={"since": 1999})
    ada.configure(retention=3650)
    chat.append(Message.user("I live in Porto now.", id="late"))


def both(memory: Memory) -> tuple[list[str], list[str], list[str]]:
    """Give what a reader sees of it: messages, facts, changes."""
    everyone = memory.scope(across_users=True)
    threads = sorted(everyone.threads(), key=lambda thread: (thread.owner, thread.id))
    views = [memory.scope(*(part or None for part in thread.owner)).thread(thread.id) for thread in threads]
    said = [f"{view.id} {message.seq} {message.id} {message.text!r}" for view in views for message in view.messages()]
    facts = sorted(f"{fact.id} {fact.version} {fact.text}" for fact in everyone.facts())
    changes = [f"{change.kind} {change.fact} {change.reason}" for change in everyone.history(limit=500)]
    return said, facts, changes


def test_there_and_back(postgres: Memory, neo4j: Memory, open_memory: Callable[..., Memory]) -> None:
    """What went to Neo4j and from there to another PostgreSQL is what it was, by count, by checksum and to a reader."""
    there = postgres.copy_to(neo4j)
    assert there.differences == ()
    assert (there.threads, there.source["messages"][0]) == (3, there.messages)
    assert there.facts > 3
    assert there.changes > there.facts
    assert there.rejections > 0
    assert both(neo4j) == both(postgres)
    with Memory.over(ReferenceStore(), name="third") as third:
        assert neo4j.copy_to(third).differences == ()
        assert both(third) == both(postgres)


def test_again(postgres: Memory, neo4j: Memory) -> None:
    """A second copying finds nothing to do, and a later one only what is new."""
    first = postgres.copy_to(neo4j)
    second = postgres.copy_to(neo4j)
    assert second.same
    assert (second.threads, second.messages, second.facts, second.changes, second.rejections) == (0, 0, 0, 0, 0)
    postgres.scope(user_id="ada").thread("holiday").append(Message.user("one more"))
    third = postgres.copy_to(neo4j)
    assert (third.messages, third.same, first.same) == (1, True, True)


def test_vectors(postgres: Memory, neo4j: Memory) -> None:
    """Vectors of the same model go along, and nothing is due that had its vector."""
    postgres.drain()
    held = postgres.status().record.vectors
    copied = postgres.copy_to(neo4j)
    status = neo4j._engine.record.read(ReadStatus())
    assert status.space is not None
    assert (status.vectors, status.due) == (copied.vectors, 0)
    assert held >= copied.vectors > 30
    assert neo4j._engine.record.read(FindDue(status.space.key, 10)).texts == ()


def test_recalled(postgres: Memory, neo4j_uri: str, tenant: str) -> None:
    """A question finds in the copy what it finds in the original, with the same scores."""
    postgres.drain()
    with Memory.open(neo4j_uri, tenant=tenant, embedder=HashEmbedder(), name="copy") as copy:
        assert postgres.copy_to(copy).same
        questions = ("where does Ada live?", "message 7", "who cooks?")
        for question in questions:
            one, other = (
                [(found.text, round(found.score, 5)) for found in memory.scope(user_id="ada").recall(question, limit=5)]
                for memory in (postgres, copy)
            )
            assert one == other, question


def test_interrupted(postgres: Memory, neo4j: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copying that was stopped in the middle of a thread goes on where it was."""
    record = neo4j._engine.record
    write = type(record).write
    calls = 0

    def failing(self: object, change: Write[object], connection: object = None) -> object:
        nonlocal calls
        calls += isinstance(change, KeepMessageCopies)
        if calls == 2:
            calls += 1
            raise KeepwellError("the line broke")
        return write(self, change, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(type(record), "write", failing)
    with pytest.raises(KeepwellError):
        postgres.copy_to(neo4j)
    assert postgres.copy_to(neo4j).same


def test_differences_are_found(postgres: Memory, neo4j: Memory) -> None:
    """What the target has and the source has not is told."""
    postgres.copy_to(neo4j)
    neo4j.scope(user_id="ada").thread("holiday").append(Message.user("only here"))
    neo4j.scope(user_id="ada").remember("Ada sings")
    told = postgres.copy_to(neo4j).differences
    assert any(line.startswith("messages: ") for line in told)
    assert any(line.startswith("facts: ") for line in told)


def test_not_into_itself(postgres: Memory, neo4j: Memory) -> None:
    """A memory is not copied into itself."""
    for memory in (postgres, neo4j):
        with pytest.raises(UsageError):
            memory.copy_to(memory)


def test_progress(postgres: Memory, neo4j: Memory) -> None:
    """Who asks is told how far it is, up to the end."""
    told: list[tuple[int, int]] = []
    postgres.copy_to(neo4j, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 30


def test_another_thread_of_that_name(postgres: Memory, neo4j: Memory) -> None:
    """A thread that the target has under the same name is not mixed with the source's."""
    neo4j.scope(user_id="ada").thread("holiday").append(Message.user("mine", id=uuid.uuid4().hex))
    with pytest.raises(KeepwellError):
        postgres.copy_to(neo4j)


def test_a_graph_that_has_no_place_there(open_memory: Callable[..., Memory], tenant: str, neo4j: Memory) -> None:
    """The record's graph does not go to a store that keeps none, and that is said; the rest is the same."""
    postgres = open_memory(tenant=tenant)
    postgres.scope(user_id="ada").thread("t").append(Message.user("hello"))
    postgres.scope(user_id="ada").graph.link("Tom", "carer of", "Priya")
    copied = postgres.copy_to(neo4j)
    assert copied.same
    assert copied.left_out == ("the graph (2 entities, 1 relations, 0 mentions): the target keeps none",)
    with Memory.over(ReferenceStore(), name="back") as back:
        again = neo4j.copy_to(back)
        assert (again.same, again.left_out, again.entities) == (True, (), 0)
