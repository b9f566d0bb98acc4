"""Data of an older or a newer PostgreSQL."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from keepwell.errors import StoreError, StoreUnavailable, UpgradeRequired
from keepwell.storage.postgres import embedded
from keepwell.storage.postgres.embedded import cluster, folder, postmaster, programs
from keepwell.storage.postgres.embedded.patience import Patience

from .ground import changed, fetch, other, until


def test_data_of_an_older_version_need_an_upgrade(made: Path) -> None:
    """Data of an older major version are refused with the command that brings them up."""
    with changed(made / "data" / "PG_VERSION", "16\n"), pytest.raises(UpgradeRequired, match="keepwell upgrade"):
        embedded.start(made)


def test_data_of_a_newer_version_are_refused(made: Path) -> None:
    """Data of a newer major version need a newer wheel."""
    with changed(made / "data" / "PG_VERSION", "99\n"), pytest.raises(StoreUnavailable, match="PostgreSQL 99"):
        embedded.start(made)


def test_nothing_to_upgrade_is_said(made: Path) -> None:
    """An upgrade of what is current, or not there, is refused clearly and changes nothing."""
    with pytest.raises(StoreError, match=r"nothing to upgrade: .* 18"):
        embedded.upgrade(made)
    with pytest.raises(StoreError, match="nothing to upgrade: there is no"):
        embedded.upgrade(made.with_name("none"))
    assert not made.with_name("none").exists()


def make_old(store: Path) -> None:
    """A store as PostgreSQL 16 would have made it, with one row, whose server was killed."""
    place = folder.prepare(store)
    time_left = Patience(30, store)
    tools = programs.reachable(programs.find(16), place)
    with place.locked(time_left):
        cluster.initialise(place, place.state(), tools, time_left).rename(place.data)
        server = cluster.bring_up(place, tools, time_left)
        cluster._set_up(server, place.state())
        with psycopg.connect(cluster.conninfo(server, "postgres", place.state().admin_password)) as connection:
            connection.execute("CREATE TABLE kept AS SELECT '[7]'::vector AS v")
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not server.listens())


def test_an_upgrade_keeps_the_data_and_the_old_ones(ground: Path) -> None:
    """After an upgrade the rows, the passwords and the walls are as before, and the old data lie beside."""
    store = ground / "store"
    try:
        programs.find(16)
    except StoreUnavailable:
        pytest.skip("not available here: a wheel that carries PostgreSQL 16")
    make_old(store)
    with pytest.raises(UpgradeRequired):
        embedded.start(store)
    kept = embedded.upgrade(store)
    assert (kept / "PG_VERSION").read_text().strip() == "16"
    assert sorted(place.name for place in store.iterdir() if place.suffix == ".sh" or "new" in place.name) == []
    server = embedded.start(store)
    assert fetch(server.admin_dsn, "SELECT v::text, current_setting('server_version_num')::int / 10000 FROM kept") == [
        ("[7]", 18)
    ]
    assert fetch(server.dsn, "SHOW unix_socket_permissions") == [("0700",)]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(other(server.admin_dsn, password=None))
    server.release()


def test_an_upgrade_that_was_cut_off_is_completed(made: Path) -> None:
    """Where the new data were whole but not yet in their place, the next start puts them there."""
    (made / "data").rename(made / cluster.UPGRADED)
    server = embedded.start(made)
    assert fetch(server.dsn, "SELECT 1") == [(1,)]
    server.release()


def test_a_half_written_process_file_is_a_server_that_is_not_ready(ground: Path) -> None:
    """The server writes its file line by line; whoever reads it early sees a server that is not ready."""
    (ground / "postmaster.pid").write_text("12\n")
    assert postmaster.read(ground) == postmaster.Postmaster(pid=12, port=0, host="", ready=False)
    (ground / "postmaster.pid").write_text("")
    assert postmaster.read(ground) == postmaster.Postmaster(pid=0, port=0, host="", ready=False)
    (ground / "postmaster.pid").unlink()
