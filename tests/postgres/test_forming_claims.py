"""Claims: who may form an owner's threads, and that nobody waits for anybody."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TypeVar

import psycopg
import pytest

from keepwell import Message
from keepwell.errors import LeaseLost
from keepwell.models import Owner, Scope
from keepwell.storage.base import AppendMessages, DeleteMessages, Forget, Forming, MoveThread
from keepwell.storage.facts import ClaimThread, FailForming, FindForming, SetPolicy
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.storage.postgres.record import PostgresRecord

from .forming_work import (
    ADA,
    AT_ONCE,
    BOB,
    MINUTE,
    NO_TIME,
    append,
    change,
    claim,
    finish,
    form,
    row,
    texts,
    unclaimed,
)

T = TypeVar("T")
SOON = 20.0
"""Seconds: nothing here takes so long, unless it waits for somebody."""
WORKER = """
import datetime as dt, sys, time
from keepwell.storage.facts import ClaimThread
from keepwell.storage.postgres import PostgresStore
dsn, tenant, lease = sys.argv[1:]
record = PostgresStore(dsn).record(tenant)
print(record.write(ClaimThread(dt.timedelta(seconds=float(lease)))).lease, flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(dsn: str, tenant: str) -> Iterator[PostgresRecord]:
    """Give the same tenant's record as another process would have it."""
    store = PostgresStore(dsn, options=PoolOptions(2))
    with closing(store):
        yield store.record(tenant)


def at_once(work: Callable[[], T]) -> T:
    """Give what the work gives, which must not wait for a lock that somebody holds."""
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(work()), daemon=True)
    thread.start()
    thread.join(SOON)
    assert done, "it waits"
    return done[0]


def test_two_workers_never_hold_one_owner(record: PostgresRecord, other: PostgresRecord) -> None:
    """However many claim at once, an owner has one worker at a time, and each thread is formed once."""
    owners = [Owner(f"u{n}", "", "") for n in range(3)]
    for number in range(18):
        append(record, "a", "b", owner=owners[number % 3], thread=f"t{number}")
    holding: set[Owner] = set()
    formed: list[str] = []
    failures: list[BaseException] = []
    guard = threading.Lock()

    def work(mine: PostgresRecord) -> None:
        try:
            while len(formed) < 18:
                claimed = mine.write(ClaimThread(MINUTE))
                if claimed is None:
                    continue
                with guard:
                    assert claimed.owner not in holding
                    holding.add(claimed.owner)
                assert texts(mine, claimed) == ["a", "b"]
                with guard:
                    holding.remove(claimed.owner)
                    formed.append(claimed.thread_id)
                finish(mine, claimed)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)
            formed.extend(["failed"] * 18)

    workers = [threading.Thread(target=work, args=(mine,)) for mine in (record, other) * 3]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert sorted(formed) == sorted(f"t{number}" for number in range(18))


def test_owners_are_formed_side_by_side(record: PostgresRecord, other: PostgresRecord) -> None:
    """While one owner is held another can be taken, and a second thread of the first one not."""
    append(record, "a", thread="first")
    append(record, "b", thread="second")
    append(record, "c", owner=BOB)
    assert claim(record).owner == ADA
    assert claim(other).owner == BOB
    assert unclaimed(other)


def test_the_longest_waiting_thread_comes_first(record: PostgresRecord) -> None:
    """Threads are taken in the order in which something was first to be formed, though more came later."""
    for user in ("ada", "bob", "cleo"):
        append(record, "a", owner=Owner(user, "", ""))
    append(record, "more")
    assert [claim(record).owner.user_id for _ in range(3)] == ["ada", "bob", "cleo"]


def test_a_lease_that_is_over_is_taken_over(record: PostgresRecord, other: PostgresRecord, admin_dsn: str) -> None:
    """After its time another worker takes the thread, and what the first one applies is refused whole."""
    append(record, "a")
    first = claim(record, NO_TIME)
    second = claim(other)
    assert (second.lease, second.thread) == (first.lease + 1, first.thread)
    with pytest.raises(LeaseLost):
        finish(record, first)
    assert row(admin_dsn, record)["formed_to"] == 0
    finish(other, second)
    assert row(admin_dsn, record)["formed_to"] == 1


def test_a_lease_that_is_over_still_holds(record: PostgresRecord, admin_dsn: str) -> None:
    """A worker that took too long applies what it has, as long as nobody has taken over."""
    append(record, "a")
    finish(record, claim(record, NO_TIME))
    assert row(admin_dsn, record)["formed_to"] == 1


def test_what_was_given_back_is_not_applied(record: PostgresRecord) -> None:
    """After a formation is finished, or has failed, its claim is good for nothing."""
    append(record, "a")
    claimed = claim(record)
    record.write(FailForming(claimed, "why", NO_TIME))
    with pytest.raises(LeaseLost):
        finish(record, claimed)
    claimed = form(record)
    append(record, "b")
    record.write(FailForming(claimed, "why", MINUTE))
    assert claim(record).attempts == 0


def test_a_part_renews_the_lease(record: PostgresRecord, other: PostgresRecord, admin_dsn: str) -> None:
    """A worker that applies part by part keeps the owner, though the whole takes longer than its lease."""
    append(record, "a", "b")
    claimed = claim(record)
    change(admin_dsn, "update keepwell.owner set leased_until = now() where tenant = %s", record._walls.tenant)
    finish(record, claimed, 1, finish=False)
    assert unclaimed(other)
    assert texts(record, replace(claimed, formed_to=1)) == ["b"]
    with pytest.raises(LeaseLost):
        finish(record, claimed, 1)


def test_an_owner_that_somebody_holds_is_passed_by(record: PostgresRecord, admin_dsn: str) -> None:
    """While somebody else's transaction holds an owner's row, others are claimed and nobody waits."""
    append(record, "a")
    form(record)
    for number in range(40):
        append(record, "b", thread=f"t{number}")
    append(record, "c", owner=BOB)
    with psycopg.connect(admin_dsn) as admin:
        admin.execute("select 1 from keepwell.owner where tenant = %s for update", [record._walls.tenant])
        assert at_once(lambda: claim(record)).owner == BOB
        assert at_once(lambda: unclaimed(record))
    assert claim(record).owner == ADA


def test_an_owner_that_somebody_makes_is_passed_by(record: PostgresRecord, dsn: str) -> None:
    """While a caller's transaction is about to make an owner's row, others are claimed and nobody waits."""
    append(record, "a")
    append(record, "b", owner=BOB)
    with psycopg.connect(dsn) as connection:
        record.write(SetPolicy(ADA, {"never": ["names"]}), connection)
        assert at_once(lambda: claim(record)).owner == BOB
        assert at_once(lambda: unclaimed(record))
    claimed = claim(record)
    assert (claimed.owner, claimed.policy) == (ADA, {"never": ["names"]})


def test_a_thread_that_somebody_writes_to_is_claimed(record: PostgresRecord, dsn: str, admin_dsn: str) -> None:
    """An append that is not committed yet holds nobody up; when it is, its message is due."""
    append(record, "a")
    with psycopg.connect(dsn) as connection:
        later = AppendMessages(ADA, "t", (Message.user("b", id="b"),), ("b",), forming=AT_ONCE)
        record.write(later, connection)
        claimed = at_once(lambda: claim(record))
        assert texts(record, claimed) == ["a"]
        applying = threading.Thread(target=finish, args=(record, claimed))
        applying.start()
        time.sleep(0.2)
    applying.join(SOON)
    assert (row(admin_dsn, record)["formed_to"], texts(record, claim(record))) == (1, ["b"])


def test_a_thread_with_nothing_left_is_taken_off(record: PostgresRecord, dsn: str, admin_dsn: str) -> None:
    """A thread that is due, and whose messages are gone, is not claimed; while somebody writes to it, it stays due."""
    append(record, "a")
    tenant = record._walls.tenant
    change(admin_dsn, "delete from keepwell.message where tenant = %s", tenant)
    with psycopg.connect(dsn) as connection:
        record.write(AppendMessages(ADA, "t", (Message.user("b", id="b"),), ("b",), forming=AT_ONCE), connection)
        assert at_once(lambda: unclaimed(record))
    assert texts(record, claim(record, NO_TIME)) == ["b"]
    change(admin_dsn, "delete from keepwell.message where tenant = %s", tenant)
    assert record.read(FindForming()) == ()
    assert unclaimed(record)
    found = row(admin_dsn, record)
    assert (found["due_at"], found["due_from"], found["formed_to"]) == (None, None, 2)


def test_a_thread_that_went_is_not_applied(record: PostgresRecord) -> None:
    """What was read of a thread that was moved or forgotten meanwhile is not written."""
    append(record, "a")
    claimed = claim(record)
    record.write(MoveThread(ADA, "t", BOB))
    assert texts(record, claimed) == []
    with pytest.raises(LeaseLost):
        finish(record, claimed)
    claimed = claim(record)
    assert claimed.owner == BOB
    record.write(Forget(Scope("bob"), claimed.thread))
    with pytest.raises(LeaseLost):
        finish(record, claimed)


def test_a_thread_by_name(record: PostgresRecord) -> None:
    """A thread that is asked for is claimed where it is due, or early, and no other in its place."""
    key = append(record, "a", forming=Forming()).thread
    append(record, "b", thread="other")
    assert unclaimed(record, thread=key)
    claimed = claim(record, thread=key, early=True)
    assert claimed.thread == key
    assert unclaimed(record, thread=key, early=True)
    finish(record, claimed)
    assert unclaimed(record, thread=key, early=True)


def test_what_is_due_is_found(record: PostgresRecord) -> None:
    """Engines get the threads that can be claimed, longest waiting first; with early those in their pause, too."""
    first, second = (append(record, "a", owner=Owner(user, "", "")).thread for user in ("ada", "bob"))
    third = append(record, "c", owner=Owner("cleo", "", ""), forming=Forming()).thread
    assert record.read(FindForming()) == (first, second)
    assert record.read(FindForming(limit=1)) == (first,)
    assert record.read(FindForming(early=True)) == (first, second, third)
    claim(record)
    assert record.read(FindForming()) == (second,)


def test_a_killed_worker_leaves_its_work(record: PostgresRecord, dsn: str, tenant: str) -> None:
    """Where a process dies between claim and apply, the thread can be claimed when the lease is over, not before."""
    append(record, "a")
    arguments = [sys.executable, "-c", WORKER, dsn, tenant, "3"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "1\n"
        until = time.monotonic() + 3
        worker.kill()
    assert unclaimed(record)
    time.sleep(max(0.0, until - time.monotonic()) + 0.1)
    claimed = claim(record)
    assert (claimed.lease, texts(record, claimed)) == (2, ["a"])
    finish(record, claimed)
    assert unclaimed(record)


def test_deleting_while_forming(record: PostgresRecord) -> None:
    """A thread whose last messages were deleted while the others were formed is not due any more."""
    append(record, "a", "b")
    claimed = claim(record)
    record.write(DeleteMessages(ADA, "t", ("b",)))
    finish(record, claimed, 1)
    assert unclaimed(record)
