"""Items of LangGraph's PostgresStore, taken over: with namespaces, times and time to live, and never backwards."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import psycopg
import pytest
from langgraph.store.postgres import PostgresStore

from keepwell import Memory, errors
from langchain_keepwell import KeepwellStore
from langchain_keepwell.importing import import_postgres_store


@pytest.fixture
def theirs(admin_dsn: str) -> Iterator[PostgresStore]:
    """Give LangGraph's own store in the database."""
    with PostgresStore.from_conn_string(admin_dsn) as store:
        store.setup()
        yield store


@pytest.fixture
def ours(memory: Memory) -> KeepwellStore:
    """Give our store, whose namespaces say whose they are."""
    return KeepwellStore(memory, owner=("memories", "{user_id}"))


def test_items_come_whole(memory: Memory, theirs: PostgresStore, ours: KeepwellStore, admin_dsn: str) -> None:
    """Namespace, key, value and times are the same, and the items are the memory of whom the namespace names."""
    theirs.put(("memories", "ada"), "drink", {"content": "Ada drinks tea", "n": 1.5, "deep": {"list": [None, True]}})
    theirs.put(("memories", "bob", "notes"), "1", {"content": "Bob's note"})
    theirs.put(("settings",), "theme", {"dark": True})
    done = import_postgres_store(ours, admin_dsn)
    assert (done.places, done.found, done.new, done.missing, done.whole) == (3, 3, 3, 0, True)
    for namespace, key in (
        (("memories", "ada"), "drink"),
        (("memories", "bob", "notes"), "1"),
        (("settings",), "theme"),
    ):
        one, other = theirs.get(namespace, key), ours.get(namespace, key)
        assert one is not None
        assert other is not None
        assert (other.value, other.created_at, other.updated_at) == (one.value, one.created_at, one.updated_at)
    assert [found.text for found in memory.scope("ada").recall("tea")] != []
    assert len(memory.scope("bob").recall("tea")) == 0


def test_a_later_value_wins(theirs: PostgresStore, ours: KeepwellStore, admin_dsn: str) -> None:
    """Run again, what is here stays; what was put at the source since comes; what was put here later is not set back."""
    for key in ("same", "theirs", "ours"):
        theirs.put(("memories", "ada"), key, {"v": 1})
    import_postgres_store(ours, admin_dsn)
    ours.put(("memories", "ada"), "ours", {"v": "new"})
    theirs.put(("memories", "ada"), "theirs", {"v": 2})
    done = import_postgres_store(ours, admin_dsn)
    assert (done.new, done.there, done.missing) == (1, 2, 0)
    values = {item.key: item.value["v"] for item in ours.search(("memories", "ada"))}
    assert values == {"same": 1, "theirs": 2, "ours": "new"}


def test_a_dry_run_and_a_view(memory: Memory, theirs: PostgresStore, admin_dsn: str) -> None:
    """It counts and writes nothing; into a view all items become that person's."""
    theirs.put(("a", "b"), "k", {"text": "walnut"})
    ada = memory.scope("ada")
    assert import_postgres_store(ada, admin_dsn, dry_run=True).new == 1
    assert KeepwellStore(memory, user_id="ada").get(("a", "b"), "k") is None
    assert import_postgres_store(ada, admin_dsn).new == 1
    found = KeepwellStore(memory, user_id="ada").get(("a", "b"), "k")
    assert found is not None
    assert found.value == {"text": "walnut"}


def test_time_to_live_comes_along(theirs: PostgresStore, ours: KeepwellStore, admin_dsn: str) -> None:
    """An item keeps the time that it has left, and what is past its time stays behind."""
    theirs.put(("memories", "ada"), "soon", {"v": 1}, ttl=60)
    theirs.put(("memories", "ada"), "late", {"v": 1}, ttl=1)
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute("update store set expires_at = now() - interval '1 minute' where key = 'late'")
        row = admin.execute("select expires_at from store where key = 'soon'").fetchone()
    assert import_postgres_store(ours, admin_dsn).found == 1
    kept = ours.items.get(("memories", "ada"), "soon", keep=False)
    assert kept is not None
    assert kept.ttl == 60
    assert row is not None
    assert kept.expires_at is not None
    assert abs(kept.expires_at - row[0]) < dt.timedelta(seconds=1)
    assert ours.get(("memories", "ada"), "late") is None


def test_pages_and_what_cannot_be_kept(
    theirs: PostgresStore, ours: KeepwellStore, admin_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages end nowhere in between, and one item that cannot be kept is told and keeps back no other."""
    from langchain_keepwell.importing import postgres_store

    monkeypatch.setattr(postgres_store, "PAGE", 3)
    for number in range(7):
        theirs.put(("memories", f"user{number % 3}"), str(number), {"v": number})
    theirs.put(("memories", "ada"), "k" * 2000, {"v": 1})
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute("insert into store (prefix, key, value) values ('memories.ada', 'x', '[1]')")
    done = import_postgres_store(ours, admin_dsn)
    assert (done.found, done.new, done.broken, done.missing) == (9, 7, 2, 0)
    assert len(ours.search(("memories",), limit=20)) == 7


def test_another_table_is_told(ours: KeepwellStore, admin_dsn: str) -> None:
    """A table that is no store of LangGraph's is refused in words."""
    with pytest.raises(errors.ImportFormatError, match="no store of LangGraph's: it lacks"):
        import_postgres_store(ours, admin_dsn, "keepwell.migration")
