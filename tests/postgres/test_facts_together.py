"""Several writers of facts at once: what one does, the other sees, and nothing comes back that was forgotten."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from keepwell.errors import FactChanged, FactNotFound, LeaseLost, MessageNotFound
from keepwell.formation.settle import Edit
from keepwell.models import Owner
from keepwell.storage.base import Forget, OpenSpace, SwitchSpace, Weigh
from keepwell.storage.facts import ApplyEdits, Formed, ListFacts, MessageKeys, ReadHistory
from keepwell.storage.postgres import PostgresStore
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.storage.postgres.runner import _Cursor
from keepwell.testing.conformance.base import ADA, ADAS, found, unit
from keepwell.testing.conformance.facts_base import (
    add,
    apply,
    claim,
    facts_of,
    formed_from,
    remember,
    resting,
    retract,
    said,
    statements,
    tell,
    update,
)

DISTIL = Owner("ada", "distil", "")


@contextmanager
def beside() -> Iterator[Callable[..., Future[Any]]]:
    """Give a function that runs something in a thread of its own, and wait for it at the end."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def waits(admin_dsn: str) -> None:
    """Come back when a statement waits for a lock."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        for _ in range(500):
            waiting = admin.execute(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            ).fetchone()
            if waiting is not None and waiting[0]:
                return
            time.sleep(0.01)
    raise AssertionError("nothing waits")


def test_two_writers_of_one_owner_double_nothing(record: PostgresRecord) -> None:
    """The same statements, told by four writers at once in batches, stand once each, and the owner's counts are right."""
    start = threading.Barrier(4)

    def write(writer: int) -> None:
        start.wait()
        for turn in range(6):
            edits = [add(f"thing {(turn * 3 + n) % 10}", key=f"key {n}" if writer % 2 else None) for n in range(3)]
            apply(record, *edits)

    with beside() as run:
        for done in [run(write, writer) for writer in range(4)]:
            done.result()
    facts = facts_of(record)
    assert len({fact.text for fact in facts}) == len(facts)
    keys = [fact.key for fact in facts if fact.key is not None]
    assert len(set(keys)) == len(keys)
    assert record.read(Weigh(ADAS)).messages == len(facts)
    assert record.read(Weigh(ADAS)).length == sum(len(fact.text.split()) for fact in facts)


def test_of_two_edits_of_one_version_one_is_refused(record: PostgresRecord) -> None:
    """Two that looked at the same version cannot both change it: the later is told, and changes nothing."""
    for turn in range(5):
        fact = remember(record, f"thing {turn}")
        start = threading.Barrier(2)

        def change(words: str, start: threading.Barrier = start, fact: Any = fact) -> str:
            start.wait()
            try:
                apply(record, update(fact, words, version=1))
            except FactChanged:
                return "refused"
            return words

        with beside() as run:
            done = {run(change, f"{words} {turn}") for words in ("left", "right")}
            answers = {one.result() for one in done}
        assert "refused" in answers
        assert statements(record, ids=(fact.id,)) == answers - {"refused"}


def test_changes_of_one_owner_have_instants_in_their_order(record: PostgresRecord) -> None:
    """However fast two write, an owner's changes are numbered as their instants are, and none shares its own."""

    def write(writer: int) -> None:
        for turn in range(10):
            apply(record, add(f"thing {writer} {turn}"))

    with beside() as run:
        for done in [run(write, writer) for writer in range(2)]:
            done.result()
    told = [change.at for change in record.read(ReadHistory(ADAS, oldest_first=True))]
    assert len(set(told)) == 20
    for at in told:
        assert len(record.read(ListFacts(ADAS, as_of=at))) == told.index(at) + 1


def test_a_fact_cannot_rest_on_what_is_being_forgotten(
    record: PostgresRecord, store: PostgresStore, admin_dsn: str
) -> None:
    """Who rests a fact on a message that somebody is forgetting waits, and is then told that it is gone."""
    (message,) = said(record, "secret")
    with beside() as run:
        with store.transaction() as connection:
            record.write(Forget(ADAS, found(record).key, "secret"), connection)
            late = run(remember, record, "told in secret", owner=DISTIL, sources=resting(message))
            waits(admin_dsn)
        with pytest.raises(MessageNotFound):
            late.result()
    assert facts_of(record) == []


def test_what_was_rested_on_a_message_before_it_is_forgotten_goes(
    record: PostgresRecord, store: PostgresStore, admin_dsn: str
) -> None:
    """Who forgets a message waits for whoever is resting a fact on it, of another owner too, and takes that fact along."""
    (message,) = said(record, "secret")
    with beside() as run:
        with store.transaction() as connection:
            apply(record, add("told in secret", sources=resting(message)), owner=DISTIL, connection=connection)
            late = run(record.write, Forget(ADAS, found(record).key, "secret"))
            waits(admin_dsn)
        assert late.result().counts["facts"] == 1
    assert facts_of(record) == []


def test_a_formation_of_what_was_forgotten_meanwhile_loses_its_lease(record: PostgresRecord) -> None:
    """A worker that read a message which is forgotten before it applies writes nothing of it; the rest is still due."""
    thread = tell(record, "secret", "other")
    taken = claim(record, lease=dt.timedelta())
    keys = said_keys(record, thread)
    record.write(Forget(ADAS, thread, "secret"))
    edits = (add("told in secret", sources=resting(keys["secret"])),)
    with pytest.raises(LeaseLost):
        record.write(ApplyEdits(ADA, edits, "formation", uuid4(), ADAS, formed=Formed(taken, taken.last_seq)))
    assert facts_of(record) == []
    assert claim(record, early=True).formed_to == 0


def test_a_fact_cannot_rest_on_a_fact_that_is_gone(record: PostgresRecord) -> None:
    """What was formed from a fact that somebody has forgotten meanwhile is not written."""
    fact = remember(record, "secret")
    record.write(Forget(ADAS, fact=fact.id))
    with pytest.raises(FactNotFound):
        remember(record, "from a secret", owner=DISTIL, sources=formed_from(fact))


def test_owners_that_cascade_into_each_other_do_not_stop_for_good(record: PostgresRecord) -> None:
    """Two owners whose facts rest on each other's are changed at once: both writes end, one perhaps at its second try."""
    first, second = remember(record, "a"), remember(record, "b", owner=DISTIL)
    remember(record, "from a", owner=DISTIL, sources=formed_from(first))
    remember(record, "from b", sources=formed_from(second))
    start = threading.Barrier(2)

    def end(owner: Owner, fact: UUID) -> list[str]:
        start.wait()
        return [change.kind for change in apply(record, Edit("DELETE", fact), owner=owner)]

    with beside() as run:
        done = [run(end, ADA, first.id), run(end, DISTIL, second.id)]
        assert [one.result() for one in done] == [["DELETE", "DELETE"]] * 2
    assert facts_of(record) == []


def test_vectors_of_a_space_that_is_being_left_are_due_in_the_next(
    record: PostgresRecord, store: PostgresStore, admin_dsn: str
) -> None:
    """Who brings vectors while the space is switched waits, and its facts are embedded anew for the new one."""
    old = record.write(OpenSpace("old", 4))
    new = record.write(OpenSpace("new", 4))
    with beside() as run:
        with store.transaction() as connection:
            record.write(SwitchSpace(new.key), connection)
            late = run(remember, record, "came late", space=old.key, vectors=(unit(1),))
            waits(admin_dsn)
        fact = late.result()
    with store.transaction() as connection:
        connection.execute("select set_config('keepwell.tenant', %s, true)", [record._walls.tenant])
        assert connection.execute("select count(*) from keepwell.vector").fetchone() == (0,)
        assert connection.execute("select kind, item from keepwell.due").fetchall() == [("embed", str(fact.id))]


def test_a_batch_takes_few_statements(record: PostgresRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many edits a batch has, it is settled and written by a dozen statements at most."""
    keys = said(record, "one", "two")
    facts = [remember(record, f"thing {n}", sources=resting(keys[0])) for n in range(4)]
    sent: list[bytes] = []
    execute = _Cursor.execute

    def count(cursor: Any, query: Any, *given: Any, **options: Any) -> Any:
        sent.append(query)
        return execute(cursor, query, *given, **options)

    monkeypatch.setattr(_Cursor, "execute", count)
    changes = [update(fact, f"{fact.text} anew", sources=resting(keys[1])) for fact in facts[:2]]
    apply(record, *changes, retract(facts[2]), *(add(f"new {n}", sources=resting(*keys)) for n in range(20)))
    assert len(sent) <= 12


def test_a_clock_that_was_put_back_does_not_turn_time_round(record: PostgresRecord, admin_dsn: str) -> None:
    """A version never ends before it began, though it was recorded by a clock that was ahead."""
    fact = remember(record, "ahead")
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute("update keepwell.fact set recorded_at = now() + '1 hour' where id = %s", [fact.id])
    apply(record, update(fact, "behind"))
    ahead, behind = sorted(facts_of(record, versions=True), key=lambda fact: fact.version)
    assert ahead.retired_at is not None
    assert ahead.recorded_at < ahead.retired_at == behind.recorded_at


def said_keys(record: PostgresRecord, thread: UUID) -> dict[str, int]:
    """Give the numbers of messages of a thread by id."""
    asked = tuple((thread, name) for name in ("secret", "other"))
    return {name: key for (_, name), key in record.read(MessageKeys(ADAS, asked)).items()}
