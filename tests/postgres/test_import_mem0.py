"""Memories of Mem0, taken over as facts: whose they are, since when, where from, and never twice."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from keepwell import Memory, errors
from keepwell.memory.importers import import_mem0

CREATED = "2025-03-02T19:04:00-08:00"


@pytest.fixture
def mem0(admin_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a database with the table that Mem0 makes."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        connection.execute("drop table if exists mem0")
        connection.execute("create table mem0 (id uuid primary key, vector public.vector(3), payload jsonb)")
        yield connection
        connection.execute("drop table mem0")


def keep(
    connection: psycopg.Connection[Any], text: object, ident: uuid.UUID | None = None, **payload: Any
) -> uuid.UUID:
    """Write a memory as Mem0 does."""
    ident = ident or uuid.uuid4()
    given = {"data": text, "hash": "h", "created_at": CREATED, **payload}
    connection.execute(
        "insert into mem0 values (%s, '[1,2,3]', %s) on conflict (id) do update set payload = excluded.payload",
        [ident, Jsonb(given)],
    )
    return ident


def test_memories_become_facts(memory: Memory, mem0: psycopg.Connection[Any], admin_dsn: str) -> None:
    """Text, owner, times and all that was given with it are there, with a history that says where it came from."""
    ident = keep(mem0, "Ada is allergic to peanuts", user_id="ada", agent_id="cook", role="user", category="health")
    keep(mem0, "Bob likes tea", user_id="bob", updated_at="2025-04-01T00:00:00+00:00", role="assistant")
    done = import_mem0(memory.scope(across_users=True), admin_dsn)
    assert (done.found, done.new, done.missing, done.whole) == (2, 2, 0, True)
    fact = memory.scope("ada").fact(ident)
    assert (fact.text, tuple(fact.owner), fact.trust) == ("Ada is allergic to peanuts", ("ada", "cook", ""), "user")
    assert fact.at == fact.recorded_at == dt.datetime.fromisoformat(CREATED)
    assert fact.metadata == {"hash": "h", "role": "user", "category": "health", "imported_from": "mem0"}
    (change,) = memory.scope("ada").history(fact)
    assert (change.kind, change.reason, change.actor) == ("ADD", "imported from Mem0", "mem0")
    (other,) = memory.scope("bob").facts()
    assert (other.trust, other.recorded_at.month) == ("assistant", 4)


def test_memories_are_found_by_meaning_after_a_drain(
    memory: Memory, mem0: psycopg.Connection[Any], admin_dsn: str
) -> None:
    """By their words at once, and with vectors of this store's model when what is due was done."""
    keep(mem0, "Ada is allergic to peanuts", user_id="ada")
    import_mem0(memory.scope("ada"), admin_dsn)
    assert [found.text for found in memory.scope("ada").recall("peanuts")] == ["Ada is allergic to peanuts"]
    assert memory.drain().embedded == 1


def test_importing_again_changes_nothing(memory: Memory, mem0: psycopg.Connection[Any], admin_dsn: str) -> None:
    """What is there stays, corrected or retracted as it was here; what was forgotten is not learned again."""
    ids = [keep(mem0, f"Ada has been to {place}", user_id="ada") for place in ("Rome", "Oslo", "Bonn", "Graz")]
    ada = memory.scope("ada")
    import_mem0(ada, admin_dsn)
    ada.correct(ada.fact(ids[0]), "Ada lives in Rome")
    ada.retract(ada.fact(ids[1]))
    ada.forget(ada.fact(ids[2]))
    keep(mem0, "Ada was born in Graz", ids[3], user_id="ada")
    done = import_mem0(ada, admin_dsn)
    assert (done.found, done.new, done.there, done.refused, done.missing) == (4, 0, 3, 1, 0)
    assert done.changed == 2
    assert sorted(fact.text for fact in ada.facts()) == ["Ada has been to Graz", "Ada lives in Rome"]


def test_a_dry_run_counts(memory: Memory, mem0: psycopg.Connection[Any], admin_dsn: str) -> None:
    """Nothing is written, and the counts are those of the import that follows."""
    for number in range(3):
        keep(mem0, f"fact {number}", user_id="ada")
    ada = memory.scope("ada")
    assert import_mem0(ada, admin_dsn, dry_run=True).new == 3
    assert len(ada.facts()) == 0
    assert import_mem0(ada, admin_dsn).new == 3


def test_whose_it_is_decides(memory: Memory, mem0: psycopg.Connection[Any], admin_dsn: str) -> None:
    """A view takes what it covers; what belongs to nobody, or has no text, is told and left out."""
    keep(mem0, "Ada one", user_id="ada", run_id="r")
    keep(mem0, "Bob one", user_id="bob")
    keep(mem0, "Nobody's")
    keep(mem0, " ", user_id="ada")
    keep(mem0, "When?", user_id="ada", created_at="soon")
    mem0.execute("insert into mem0 values (%s, null, '[1]')", [uuid.uuid4()])
    done = import_mem0(memory.scope("ada"), admin_dsn)
    assert (done.found, done.new, done.elsewhere, done.broken) == (6, 1, 1, 4)
    assert len(done.reasons) == 4
    assert not done.whole
    assert len(memory.scope(across_users=True).facts()) == 1


def test_more_than_a_page_and_twice_the_same(
    memory: Memory, mem0: psycopg.Connection[Any], admin_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages end nowhere in between, and one statement under two ids is one fact here."""
    from keepwell.memory import importers

    monkeypatch.setattr(importers, "_PAGE", 3)
    for number in range(8):
        keep(mem0, f"fact {number % 7}", user_id="ada")
    done = import_mem0(memory.scope("ada"), admin_dsn)
    assert (done.found, done.new, done.refused, done.missing) == (8, 7, 1, 0)


def test_an_import_that_was_stopped_goes_on(
    memory: Memory, mem0: psycopg.Connection[Any], admin_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended between two pages, it adds the rest when it is run again."""
    from keepwell.memory import importers

    monkeypatch.setattr(importers, "_PAGE", 2)
    for number in range(5):
        keep(mem0, f"fact {number}", user_id="ada")
    ada, taken = memory.scope("ada"), 0
    real = importers._take

    def take(*given: Any) -> None:
        nonlocal taken
        taken += 1
        if taken == 2:
            raise KeyboardInterrupt
        real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(importers, "_take", take)
        with pytest.raises(KeyboardInterrupt):
            import_mem0(ada, admin_dsn)
    assert len(ada.facts()) == 2
    done = import_mem0(ada, admin_dsn)
    assert (done.new, done.there, len(ada.facts())) == (3, 2, 5)


def test_a_source_that_is_none_is_told(memory: Memory, mem0: psycopg.Connection[Any], admin_dsn: str) -> None:
    """Another table, no table and no server are errors in words, without a secret."""
    ada = memory.scope("ada")
    with pytest.raises(errors.ImportFormatError, match="there is no table 'nothing'"):
        import_mem0(ada, admin_dsn, "nothing")
    with pytest.raises(errors.ImportFormatError, match="not Mem0's: it lacks id, payload"):
        import_mem0(ada, admin_dsn, "keepwell.migration")
    with pytest.raises(errors.ImportFormatError, match="cannot be opened") as failed:
        import_mem0(ada, "postgresql://u:secret@127.0.0.1:1/x")
    assert "secret" not in str(failed.value)
