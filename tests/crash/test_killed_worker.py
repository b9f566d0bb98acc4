"""A worker that is killed at any step loses no fact, doubles none, and leaves a whole history."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from keepwell.formation.options import FormationSettings
from keepwell.models import Message, Owner, Scope
from keepwell.storage.base import AppendMessages, Forming, Record
from keepwell.storage.facts import ListFacts, ReadFormation, ReadHistory, ReadSecret, ReadSources
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.testing import ScriptedExtractor
from keepwell.work import Tools, drain, remembered_by_words

ADA = Owner("ada", "", "")
SAID = ["I live in Leeds. I drink tea.", "My sister Priya lives in York.", "I live in Bath.", "I like plums."]
FACTS = ["Ada drinks tea", "Ada likes plums", "Ada lives in Bath", "Priya, Ada's sister, lives in York"]
STEPS = ("claimed", "asked once", "asked twice", "before the commit", "applied once", "applied twice", "finished")

WORKER = """
import datetime as dt, os, signal, sys, time
from keepwell.formation.options import FormationSettings
from keepwell.storage.facts import ApplyEdits, ClaimThread, ReadSecret
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.testing import ScriptedExtractor
from keepwell.work import Tools, drain, remembered_by_words

dsn, step, lease = sys.argv[1:]

def die_at(name):
    if name == step:
        os.kill(os.getpid(), signal.SIGKILL)

class Deadly:
    def __init__(self, record, store):
        self.record, self.store, self.applied = record, store, 0

    def read(self, query):
        return self.record.read(query)

    def write(self, change, connection=None):
        if isinstance(change, ApplyEdits) and step == "before the commit":
            with self.store.transaction() as transaction:
                self.record.write(change, transaction)
                die_at(step)
        done = self.record.write(change, connection)
        if isinstance(change, ClaimThread) and done is not None:
            die_at("claimed")
        if isinstance(change, ApplyEdits):
            self.applied += 1
            die_at("applied once" if self.applied == 1 else "applied twice")
        return done

class Model(ScriptedExtractor):
    def ask(self, messages, schema):
        answer = super().ask(messages, schema)
        time.sleep(0.01)
        die_at("asked once" if self.calls == 1 else "asked twice")
        return answer

store = PostgresStore(dsn, options=PoolOptions(2))
record = store.record("crash")
settings = FormationSettings(batch=2, distil_hour=None, retry_seconds=0.0, lease=dt.timedelta(seconds=float(lease)))
tools = Tools(Deadly(record, store), Model(), None, None, record.read(ReadSecret()), settings, remembered_by_words(record))
print("ready", flush=True)
drain(tools)
print("drained", flush=True)
die_at("finished")
"""


@pytest.fixture
def record(dsn: str) -> Iterator[Record]:
    """Give the record that the workers share."""
    with closing(PostgresStore(dsn, options=PoolOptions(3))) as store:
        yield store.record("crash")


def say(record: Record, *texts: str, thread: str = "chat") -> None:
    """Say something that is due at once."""
    messages = tuple(Message.user(text, name="Ada") for text in texts)
    empty = ("",) * len(messages)
    record.write(AppendMessages(ADA, thread, messages, empty, signals=empty, forming=Forming(pause=0.0)))


def start(dsn: str, step: str, lease: float = 0.0) -> subprocess.Popen[str]:
    """Start a worker that dies at a step."""
    command = [sys.executable, "-c", WORKER, dsn, step, str(lease)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run(dsn: str, step: str = "", lease: float = 0.0) -> int:
    """Run a worker that dies at a step, to its end."""
    with start(dsn, step, lease) as worker:
        worker.communicate(timeout=60)
        return worker.returncode


def finish(record: Record) -> None:
    """Be the next worker, in this process."""
    settings = FormationSettings(batch=2, distil_hour=None)
    secret = record.read(ReadSecret())
    drain(Tools(record, ScriptedExtractor(), None, None, secret, settings, remembered_by_words(record)))


def check_whole(record: Record) -> None:
    """See that every fact is there once, with its words, and that the history leads to it."""
    facts = record.read(ListFacts(Scope("ada"), limit=1000))
    assert sorted(fact.text for fact in facts) == FACTS
    changes = record.read(ReadHistory(Scope("ada"), oldest_first=True, limit=1000))
    stands: dict[uuid.UUID, tuple[str, int]] = {}
    for change in changes:
        before = None if change.before is None else (change.before.text, change.before.version)
        if change.kind != "NONE":
            assert stands.pop(change.fact, None) == before
            if change.after is not None:
                stands[change.fact] = (change.after.text, change.after.version)
    assert stands == {fact.id: (fact.text, fact.version) for fact in facts}
    assert len([change for change in changes if change.kind == "ADD"]) == len(FACTS)
    assert all(len(record.read(ReadSources(Scope("ada"), fact.id)).quotes) == 1 for fact in facts)
    formation = record.read(ReadFormation())
    assert (formation.due_threads, formation.parked, formation.failing) == (0, 0, 0)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_the_next_worker_brings_it_to_the_same_end(dsn: str, record: Record, step: str) -> None:
    """After the claim, after each call of the model, before the commit and after it: what follows is the same."""
    say(record, *SAID)
    assert run(dsn, step) == -signal.SIGKILL
    for _ in range(2):
        finish(record)
        check_whole(record)


def test_a_dead_workers_lease_is_waited_for(dsn: str, record: Record) -> None:
    """While the lease lasts nobody takes the thread, because its holder may only be slow; then somebody does."""
    say(record, *SAID)
    assert run(dsn, "asked once", lease=2.0) == -signal.SIGKILL
    finish(record)
    assert record.read(ReadFormation()).facts == 0
    time.sleep(2.0)
    finish(record)
    check_whole(record)


@pytest.mark.parametrize(("table", "ends"), [("fact", True), ("change", True), ("change", False)])
def test_killed_in_the_middle_of_the_transaction(
    dsn: str, admin_dsn: str, record: Record, table: str, ends: bool
) -> None:
    """Killed while its statements wait for a lock, with its server process or leaving that behind: all or nothing."""
    say(record, *SAID)
    with psycopg.connect(admin_dsn) as admin, start(dsn, "", lease=0.0) as worker:
        admin.execute(f"lock table keepwell.{table} in share row exclusive mode")
        waiting = wait_for_lock(admin_dsn)
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
        if ends:
            with psycopg.connect(admin_dsn, autocommit=True) as other:
                other.execute("select pg_terminate_backend(%s)", [waiting])
        admin.rollback()
    wait_until_gone(admin_dsn, waiting)
    finish(record)
    check_whole(record)


def wait_for_lock(admin_dsn: str) -> int:
    """Wait until a server process of ours waits for a lock, and give its number."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        for _ in range(500):
            row = admin.execute(
                "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
                " and pid <> pg_backend_pid()"
            ).fetchone()
            if row is not None:
                return int(row[0])
            time.sleep(0.02)
    raise AssertionError("nobody waits for the lock")


def wait_until_gone(admin_dsn: str, pid: int) -> None:
    """Wait until a server process has ended, or has nothing open any more."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        for _ in range(500):
            row = admin.execute("select state from pg_stat_activity where pid = %s", [pid]).fetchone()
            if row is None or row[0] == "idle":
                return
            time.sleep(0.02)


def test_killed_at_random_moments(dsn: str, record: Record, proof: bool) -> None:
    """Workers that are killed again and again, at moments nobody chose, come to the same facts in the end."""
    chance = random.Random(11)
    say(record, *SAID)
    for _ in range(100 if proof else 4):
        with start(dsn, "") as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.15))
            os.kill(worker.pid, signal.SIGKILL)
            worker.communicate()
    finish(record)
    check_whole(record)
