"""Who shares the embedded server, and who stops it."""

import logging
import os
import subprocess
import threading
from pathlib import Path

import pytest

from keepwell.errors import StoreUnavailable
from keepwell.storage.postgres import embedded
from keepwell.storage.postgres.embedded import folder, patience, programs
from keepwell.storage.postgres.embedded.patience import Patience

from .ground import fetch, holder, said


def test_two_callers_in_a_process_share_it(made: Path) -> None:
    """The second caller joins; the server stops when the last releases it, and releasing twice does nothing."""
    first = embedded.start(made)
    second = embedded.start(made)
    assert (first.dsn, first.admin_dsn, first) == (second.dsn, second.admin_dsn, second)
    assert embedded.status(made).processes == (os.getpid(),)
    first.release()
    first.release()
    assert embedded.status(made).running
    second.release()
    assert embedded.status(made) == embedded.ServerStatus(made, running=False, pid=None, version="18", processes=())


def test_joining_runs_no_program(server: embedded.EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A join costs no process and does not even need the wheel."""
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(programs, "_wheel_folder", None)
    embedded.start(server.path).release()
    assert embedded.status(server.path).running


def test_processes_and_threads_open_an_empty_folder_at_once(ground: Path) -> None:
    """All of them get in, there is one server, and it stops when the last of them ends."""
    store = ground / "store"
    opened: list[embedded.EmbeddedServer] = []
    threads = [threading.Thread(target=lambda: opened.append(embedded.start(store))) for _ in range(2)]
    for thread in threads:
        thread.start()
    with holder(store) as one, holder(store) as two:
        for thread in threads:
            thread.join()
        now = embedded.status(store)
        assert now.processes == tuple(sorted({os.getpid(), one.pid, two.pid}))
        assert (store / "log").read_text().count("starting PostgreSQL") == 1
        for server in opened:
            server.release()
        assert fetch(opened[0].dsn, "SELECT 1") == [(1,)]
        one.communicate()
        assert embedded.status(store).processes == (two.pid,)
        two.communicate()
    assert not embedded.status(store).running


def test_a_forked_child_leaves_the_server_alone(made: Path) -> None:
    """A child that was forked after the start releases nothing and stops nothing, at its end either."""
    assert said("fork", made) == "running"
    assert not embedded.status(made).running


def test_stop_ends_it_for_everyone(made: Path) -> None:
    """`stop` says whether there was something to stop; whoever opens next starts it again."""
    first = embedded.start(made)
    assert embedded.stop(made)
    assert not embedded.stop(made)
    assert not embedded.status(made).running
    second = embedded.start(made)
    assert fetch(first.dsn, "SELECT 1") == [(1,)]
    first.release()
    assert embedded.status(made).running
    second.release()


def test_status_of_nothing_changes_nothing(ground: Path) -> None:
    """Asking after a folder that is not there makes none."""
    store = ground / "store"
    expected = embedded.ServerStatus(store, running=False, pid=None, version=None, processes=())
    assert embedded.status(store) == expected
    assert not embedded.stop(store)
    assert not store.exists()


def test_waiting_is_bounded_and_visible(
    made: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for another process says so in the log, and gives up when their time is up."""
    monkeypatch.setattr(patience, "_SILENT", 0.05)
    found = folder.find(made)
    assert found is not None
    with (
        found.locked(Patience(1, made)),
        caplog.at_level(logging.WARNING, "keepwell"),
        pytest.raises(StoreUnavailable, match="not ready after"),
    ):
        embedded.start(made, wait=0.2)
    assert [record.getMessage() for record in caplog.records] == [
        f"waiting for the embedded PostgreSQL in {made}: another process is starting or stopping it"
    ]
