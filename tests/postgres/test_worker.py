"""Workers of all three kinds do what is due: in a thread, in a fleet of processes, and through any other engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from keepwell.errors import MigrationRequired, MissingExtra, NotPermitted, StoreClosed, StoreUnavailable
from keepwell.memory.opening import language_model_for, worker_of
from keepwell.memory.places import Place
from keepwell.storage.base import Record
from keepwell.storage.facts import ReadFormation
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.testing import FailingModel, ReferenceStore, ScriptedExtractor
from keepwell.work import Worker
from keepwell.work.fleet import Fleet, run_fleet
from keepwell.work.fleet_tables import prepare_fleet

from .workshop import ADA, Talk, tools_of


def wait_for(what: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def working(record: Record, model: Any = None, **options: Any) -> Iterator[Worker]:
    """Run a worker in the background."""
    worker = Worker(lambda: tools_of(record, model), **{"pause": 0.02, **options})
    worker.start()
    try:
        yield worker
    finally:
        assert worker.stop(10.0)
        assert not worker.running


def test_a_worker_in_a_thread_forms_what_comes(kept: Record) -> None:
    """What is said while it runs becomes facts, without anybody asking."""
    talk = Talk(kept)
    with working(kept):
        talk.say("I live in Leeds.")
        wait_for(lambda: talk.facts() == ["Ada lives in Leeds"])
        talk.say("I drink tea.")
        wait_for(lambda: len(talk.facts()) == 2)


def test_a_worker_survives_errors_of_any_kind(kept: Record) -> None:
    """A failing model, a failing store and an error of the program cost time, not the worker."""
    talk = Talk(kept)
    talk.say("I live in Leeds.")
    model, trouble = FailingModel(), [ZeroDivisionError(), StoreUnavailable("away")]

    def tools() -> Any:
        if trouble:
            raise trouble.pop()
        return tools_of(kept, model)

    worker = Worker(tools, pause=0.01)
    worker.start()
    wait_for(lambda: not trouble and model.calls > 0)
    model.failing = False
    wait_for(lambda: talk.facts() == ["Ada lives in Leeds"])
    assert worker.stop(10.0)


def test_a_worker_that_is_woken_looks_at_once() -> None:
    """Waking ends the pause; stopping ends it too, and a worker can be started again."""
    record = ReferenceStore().record("t")
    talk = Talk(record)
    with working(record, pause=60.0) as worker:
        wait_for(lambda: worker.running)
        time.sleep(0.1)
        talk.say("I live in Leeds.")
        worker.wake()
        wait_for(lambda: talk.facts() != [])
        assert worker.stop(10.0)
        worker.start()
        worker.start()
        assert sum(thread.name == "keepwell-worker-default" for thread in threading.enumerate()) == 1


def test_a_worker_of_a_closed_store_ends(dsn: str, tenant: str) -> None:
    """Where the store is closed under it, it ends by itself, without a word in the log of errors."""
    store = PostgresStore(dsn, options=PoolOptions(2))
    worker = Worker(lambda: tools_of(store.record(tenant)), pause=0.01)
    worker.start()
    time.sleep(0.1)
    store.close()
    wait_for(lambda: not worker.running)
    with pytest.raises(StoreClosed):
        tools_of(store.record(tenant))


# --- a fleet


@pytest.fixture
def fleet_dsn(dsn: str, admin_dsn: str) -> str:
    """Give the DSN of a database that has procrastinate's tables."""
    pytest.importorskip("procrastinate")
    prepare_fleet(admin_dsn, "keepwell", grant="keepwell")
    return dsn


def test_the_tables_are_made_once_and_only_by_who_may(
    dsn: str, admin_dsn: str, fresh_database: str, server: Any
) -> None:
    """A role without rights is told so, the owner makes them, and a second time there is nothing to do."""
    pytest.importorskip("procrastinate")
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        made = admin.execute("select to_regclass('keepwell.procrastinate_jobs')").fetchone()
    if made == (None,):
        with pytest.raises(NotPermitted):
            prepare_fleet(dsn, "keepwell")
        assert prepare_fleet(admin_dsn, "keepwell", grant="keepwell")
    assert not prepare_fleet(dsn, "keepwell")
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        notifying = admin.execute(
            "select count(*) from pg_trigger where tgrelid = 'keepwell.procrastinate_jobs'::regclass"
            " and tgname like '%notify%' and tgenabled <> 'D'"
        ).fetchone()
        elsewhere = admin.execute("select to_regclass('public.procrastinate_jobs')").fetchone()
    assert (notifying, elsewhere) == ((0,), (None,))
    empty = psycopg.conninfo.make_conninfo(server.admin_dsn, dbname=fresh_database)
    with pytest.raises(MigrationRequired):
        prepare_fleet(empty, "keepwell")


def test_tables_of_an_older_version_are_brought_up_to_date(fleet_dsn: str, admin_dsn: str) -> None:
    """Tables that carry an older version get the steps since then, and carry the new one."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute("comment on table keepwell.procrastinate_jobs is '3.4.0'")
        assert prepare_fleet(admin_dsn, "keepwell")
        comment = admin.execute("select obj_description('keepwell.procrastinate_jobs'::regclass)").fetchone()
    import procrastinate

    assert comment == (procrastinate.__version__,)


def test_a_fleet_forms_what_is_due_and_nothing_else(fleet_dsn: str, tenant: str) -> None:
    """One run over two tenants forms every due thread once, and leaves no job behind."""
    with closing(PostgresStore(fleet_dsn, options=PoolOptions(6))) as store:
        tenants = (tenant, f"{tenant}-b")
        for name in tenants:
            for number in range(5):
                Talk(store.record(name), ADA._replace(user_id=f"u{number}")).say("I live in Leeds.")
            Talk(store.record(name), ADA._replace(user_id="later")).say("I live in Leeds.", pause=600.0)
        models = {name: ScriptedExtractor() for name in tenants}
        fleet = Fleet(lambda name: tools_of(store.record(name), models[name]), tenants, concurrency=3)
        run_fleet(fleet_dsn, "keepwell", fleet, wait=False, signals=False)
        assert [models[name].calls for name in tenants] == [5, 5]
        assert [store.record(name).read(ReadFormation()).facts for name in tenants] == [5, 5]
        run_fleet(fleet_dsn, "keepwell", fleet, wait=False, signals=False)
        assert [models[name].calls for name in tenants] == [5, 5]
    with psycopg.connect(fleet_dsn) as connection:
        assert connection.execute("select count(*) from keepwell.procrastinate_jobs").fetchone() == (0,)


def test_a_job_that_fails_does_not_stop_the_fleet(fleet_dsn: str, tenant: str) -> None:
    """An error in one tenant's work is that job's; the others go on."""
    with closing(PostgresStore(fleet_dsn, options=PoolOptions(4))) as store:
        for name in (tenant, f"{tenant}-b"):
            Talk(store.record(name)).say("I live in Leeds.")

        def tools(name: str) -> Any:
            given = tools_of(store.record(name))
            if name == tenant:
                return replace(given, remembered=lambda *_: 1 / 0)
            return given

        fleet = Fleet(tools, (tenant, f"{tenant}-b"))
        run_fleet(fleet_dsn, "keepwell", fleet, wait=False, signals=False)
        assert [store.record(name).read(ReadFormation()).facts for name in fleet.tenants] == [0, 1]


MEMBER = """
import sys
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.testing import ScriptedExtractor, SlowModel
from keepwell.work.fleet import Fleet, run_fleet
from tests.postgres.workshop import tools_of
import datetime as dt
if __name__ == "__main__":
    dsn, tenant, seconds, lease = sys.argv[1:]
    store = PostgresStore(dsn, options=PoolOptions(4))
    model = SlowModel(float(seconds))
    tools = lambda name: tools_of(store.record(name), model, lease=dt.timedelta(seconds=float(lease)))
    print("ready", flush=True)
    run_fleet(dsn, "keepwell", Fleet(tools, (tenant,), concurrency=2, every=1))
    print("ended", flush=True)
"""


def start_member(dsn: str, tenant: str, seconds: float, lease: float = 60.0) -> subprocess.Popen[str]:
    """Start one process of a fleet."""
    command = [sys.executable, "-c", textwrap.dedent(MEMBER), dsn, tenant, str(seconds), str(lease)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path()})


def path() -> str:
    """Give where this process finds its modules."""
    return os.pathsep.join([str(Path(__file__).parents[2]), *(entry for entry in sys.path if entry)])


def test_processes_share_the_work_and_take_over_from_the_dead(fleet_dsn: str, tenant: str, record: Record) -> None:
    """Of two processes one is killed at work: the other takes its threads over, and every fact is there once."""
    people = [ADA._replace(user_id=f"u{number}") for number in range(6)]
    first = start_member(fleet_dsn, tenant, seconds=3.0, lease=2.0)
    second = None
    try:
        assert first.stdout is not None
        first.stdout.readline()
        for owner in people:
            Talk(record, owner).say("I live in Leeds. I drink tea.")
        wait_for(lambda: _leased(fleet_dsn, record, tenant) > 0)
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert record.read(ReadFormation()).facts < 2 * len(people)
        second = start_member(fleet_dsn, tenant, seconds=0.0)
        wait_for(lambda: record.read(ReadFormation()).facts == 2 * len(people), 60.0)
        assert record.read(ReadFormation()).changes == 2 * len(people)
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
        assert second.stdout is not None
        assert second.stdout.read().endswith("ended\n")
    finally:
        for process in (first, second):
            if process is not None:
                process.kill()
                process.wait()
                assert process.stdout is not None
                process.stdout.close()


def _leased(dsn: str, record: Record, tenant: str) -> int:
    del record
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('keepwell.tenant', %s, false)", [tenant])
        row = connection.execute("select count(*) from keepwell.owner where leased_until > now()").fetchone()
    return 0 if row is None else int(row[0])


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    """Where procrastinate is not installed the error says what to install."""
    monkeypatch.setitem(sys.modules, "procrastinate", None)
    with pytest.raises(MissingExtra, match=r"keepwell\[worker\]"):
        prepare_fleet(dsn, "keepwell")


def test_a_worker_gives_way_to_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its process writes, a worker waits until that pauses; it does not wait for ever."""
    record = ReferenceStore().record("t")
    talk = Talk(record)
    talk.say("I live in Leeds.")
    ago = [0.0]
    with working(record, quiet=lambda: ago[0]):
        time.sleep(0.4)
        assert talk.facts() == []
        ago[0] = 60.0
        wait_for(lambda: talk.facts() == ["Ada lives in Leeds"])
    monkeypatch.setattr("keepwell.work.background._LONGEST_HOLD", 0.1)
    talk.say("I drink tea.")
    with working(record, quiet=lambda: 0.0):
        wait_for(lambda: len(talk.facts()) == 2)


def test_who_does_what_is_due() -> None:
    """The embedded store works by itself where there is a model or a graph; a server's has workers of its own."""
    model = language_model_for(ScriptedExtractor())
    here, server = (Place(dsn, None, None, None, 1, "keepwell", require_rls=False) for dsn in (None, "postgresql:///x"))
    assert worker_of(here, model) == worker_of(here, None, graph=True) == "thread"
    assert worker_of(here, None, graph=False) == "none"
    assert worker_of(server, model, graph=True) == "none"
