"""What a crash leaves, of a process or of the server, and who completes it."""

import dataclasses
import os
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from keepwell.errors import StoreUnavailable
from keepwell.storage.postgres import embedded
from keepwell.storage.postgres.embedded import folder

from .ground import ROOT, changed, fetch, holder, only_root, process, until


def test_a_killed_user_leaves_a_server_to_join(made: Path) -> None:
    """After the only user was killed the server stays, the next one joins it, and stops it at the end."""
    with holder(made) as user:
        pid = embedded.status(made).pid
        user.kill()
        user.wait()
    assert embedded.status(made) == embedded.ServerStatus(made, running=True, pid=pid, version="18", processes=())
    server = embedded.start(made)
    assert embedded.status(made).pid == pid
    server.release()
    assert not embedded.status(made).running
    assert not list((made / "users").iterdir())


def test_a_killed_server_is_started_again_with_what_was_committed(made: Path) -> None:
    """After the server was killed, the next start recovers every commit and the old addresses work again."""
    first = embedded.start(made)
    with psycopg.connect(first.admin_dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    pid = embedded.status(made).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: not embedded.status(made).running)
    assert (made / "data" / "postmaster.pid").exists()
    second = embedded.start(made)
    assert fetch(first.admin_dsn, "SELECT n FROM kept") == [(7,)]
    assert embedded.status(made).pid != pid
    first.release()
    second.release()


def test_a_stale_process_number_of_somebody_else_is_no_obstacle(made: Path) -> None:
    """After a reboot another process may have the dead server's number: the server starts all the same."""
    started = embedded.start(made)
    text = (made / "data" / "postmaster.pid").read_text()
    started.release()
    owner = made.stat()
    user = owner.st_uid if ROOT else None
    with subprocess.Popen(["sleep", "60"], user=user) as other:  # noqa: S607 - any process of that user
        stale = made / "data" / "postmaster.pid"
        stale.write_text(text.replace(text.partition("\n")[0], str(other.pid), 1))
        os.chown(stale, owner.st_uid, owner.st_gid)
        server = embedded.start(made)
        assert fetch(server.dsn, "SELECT 1") == [(1,)]
        server.release()
        other.kill()


@pytest.mark.parametrize("moment", ["server.json", "data", "data/postmaster.pid"])
def test_a_killed_set_up_is_completed(ground: Path, moment: str) -> None:
    """A process that is killed during the very first start leaves a folder that the next one completes."""
    store = ground / "store"
    with process("hold", store) as first:
        until(lambda: any(store.glob(moment)))
        first.kill()
        first.wait()
    server = embedded.start(store)
    assert fetch(server.dsn, "SELECT '[1]'::vector::text") == [("[1]",)]
    server.release()
    again = embedded.start(store)
    again.release()
    assert not list(store.glob("new-*"))


@pytest.mark.parametrize("by", [None, "another release"])
def test_a_set_up_can_be_done_again(made: Path, by: str | None) -> None:
    """Where the set-up was cut off at its last step, or the wheel was updated, it is done again, data untouched."""
    found = folder.find(made)
    assert found is not None
    before = found.state()
    found.remember(dataclasses.replace(before, set_up_by=by))
    server = embedded.start(made)
    assert fetch(server.dsn, "SELECT 1") == [(1,)]
    assert found.state() == before
    server.release()


def test_a_start_that_takes_too_long_goes_on(made: Path) -> None:
    """Where the server needs longer than the caller will wait, the caller is told and the next one finds it."""
    with pytest.raises(StoreUnavailable, match="not ready after 0 s"):
        embedded.start(made, wait=0)
    server = embedded.start(made)
    assert fetch(server.dsn, "SELECT 1") == [(1,)]
    server.release()


def test_a_server_that_cannot_start_says_why(made: Path) -> None:
    """What is wrong with the server's own settings is in the error, and no share in it is left."""
    settings = made / "data" / "postgresql.conf"
    wrong = settings.read_text() + "shared_buffers = 'nonsense'\n"
    with changed(settings, wrong), pytest.raises(StoreUnavailable, match="nonsense"):
        embedded.start(made)
    assert embedded.status(made).processes == ()


@only_root
@pytest.mark.parametrize("place", ["socket", "users", "keepwell.lock", "."])
def test_what_root_had_not_handed_over_yet_is_handed_over(made: Path, place: str) -> None:
    """Root that was killed between making something and giving it to the server's user leaves no obstacle."""
    owner = made.stat()
    os.chown(made / place, 0, 0)
    server = embedded.start(made)
    assert fetch(server.dsn, "SELECT 1") == [(1,)]
    assert (made / place).stat().st_uid == owner.st_uid
    server.release()
