"""Which folders the embedded server takes, and what it leaves as it is."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from keepwell.errors import DataFolderError, MissingExtra
from keepwell.storage.postgres import embedded
from keepwell.storage.postgres.embedded import folder, os_user, programs

from .ground import NOBODY, fetch, moved, only_root, said


def test_a_new_folder_is_made_and_no_folder_above_is_changed(ground: Path) -> None:
    """Missing folders are made; the mode of every folder that was there stays as it was."""
    store = ground / "a" / "b" / "store"
    above = [place for place in store.parents if place.exists()]
    before = [place.stat().st_mode for place in above]
    server = embedded.start(store)
    server.release()
    assert [place.stat().st_mode for place in above] == before
    assert store.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_a_folder_that_others_may_enter_is_refused(ground: Path, mode: int) -> None:
    """A folder that lets others in is an error that says how to close it, and is left as it is."""
    store = ground / "store"
    store.mkdir()
    store.chmod(mode)
    with pytest.raises(DataFolderError, match="chmod 700"):
        embedded.start(store)
    assert store.stat().st_mode & 0o777 == mode
    assert not list(store.iterdir())


def test_a_store_that_was_opened_to_others_is_refused(made: Path) -> None:
    """The check is made at every start, not only at the first."""
    made.chmod(0o711)
    try:
        with pytest.raises(DataFolderError, match="chmod 700"):
            embedded.start(made)
    finally:
        made.chmod(0o700)


def test_a_folder_with_something_else_is_refused(ground: Path) -> None:
    """A folder that holds other things is left alone."""
    store = ground / "store"
    store.mkdir(mode=0o700)
    (store / "letter").write_text("dear")
    with pytest.raises(DataFolderError, match="something else"):
        embedded.start(store)
    assert [place.name for place in store.iterdir()] == ["letter"]


def test_a_file_is_refused(ground: Path) -> None:
    """A file where the folder should be is a clear error."""
    (ground / "store").write_text("")
    with pytest.raises(DataFolderError, match="not a folder"):
        embedded.start(ground / "store")


@only_root
def test_root_opens_no_private_home(ground: Path) -> None:
    """As root, a folder below a private one is refused before anything is made or changed."""
    home = ground / "home"
    home.mkdir()
    home.chmod(0o700)
    with pytest.raises(DataFolderError, match=f"below {home}"):
        embedded.start(home / "deep" / "store")
    assert home.stat().st_mode & 0o777 == 0o700
    assert not list(home.iterdir())


@only_root
def test_a_folder_that_cannot_be_made_is_an_error(ground: Path) -> None:
    """An ordinary user who may not write there is told so."""
    assert said("begin", ground / "store", NOBODY).startswith("DataFolderError: cannot make the data folder")


@only_root
def test_a_folder_that_cannot_be_written_is_an_error(ground: Path) -> None:
    """An ordinary user whose own folder is read-only is told so."""
    store = ground / "store"
    store.mkdir()
    store.chmod(0o500)
    os.chown(store, NOBODY, NOBODY)
    assert said("begin", store, NOBODY).startswith("DataFolderError: cannot write")


@only_root
def test_root_serves_the_folder_of_an_ordinary_user_as_that_user(ground: Path) -> None:
    """What root makes in somebody's folder still belongs to them, who can open it afterwards."""
    tools = programs.find()
    if not os_user.OsUser(NOBODY, NOBODY).may_reach(tools.path("postgres")):
        pytest.skip("not available here: the environment is below a private folder")
    store = ground / "store"
    store.mkdir(mode=0o700)
    os.chown(store, NOBODY, NOBODY)
    assert said("begin", store, NOBODY) == "opened"
    embedded.start(store).release()
    assert {place.stat().st_uid for place in store.rglob("*")} == {NOBODY}
    assert said("begin", store, NOBODY) == "opened"


def link(source: str, target: str) -> None:
    """A copy that costs nothing where that can be had."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@only_root
def test_programs_below_a_private_home_are_copied(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, an environment below a private home is not opened; the server runs from a copy."""
    real, home = programs._wheel_folder(), ground / "home"
    home.mkdir(mode=0o700)
    for part in (f"{real.name}/pginstall18", f"{real.name}.libs"):
        shutil.copytree(real.parent / part, home / part, copy_function=link)
    monkeypatch.setattr(programs, "_wheel_folder", lambda: home / real.name)
    store = ground / "store"
    for _ in range(2):
        server = embedded.start(store)
        assert fetch(server.dsn, "SELECT 1") == [(1,)]
        server.release()
    assert home.stat().st_mode & 0o777 == 0o700
    assert len(list(store.glob("programs-*"))) == 1


@pytest.mark.parametrize(
    "name", ["with space", "quo'te\"s", "dol$lar`x`", "com,ma", "ünïcode", "long/" + "x" * 60 + "/" + "y" * 60]
)
def test_any_name_will_do(made: Path, name: str) -> None:
    """A folder of any name works, its socket too; one that is too long for a socket gets a short private folder."""
    with moved(made, made.parent / name) as store:
        server = embedded.start(store)
        socket_folder = Path(str(conninfo_to_dict(server.dsn)["host"]))
        try:
            assert fetch(server.dsn, "SELECT 1") == [(1,)]
            assert socket_folder.stat().st_mode & 0o777 == 0o700
            assert socket_folder.stat().st_uid == store.stat().st_uid
        finally:
            server.release()
        assert not embedded.status(store).running
        assert store in socket_folder.parents or not socket_folder.exists()


def test_a_socket_folder_that_somebody_else_made_is_refused(made: Path) -> None:
    """Where another user took the short name among the temporary files first, the server does not listen there."""
    with moved(made, made.with_name("x" * 100)) as store:
        found = folder.find(store)
        assert found is not None
        taken = found.socket_folder()
        try:
            taken.chmod(0o777)
            with pytest.raises(DataFolderError, match="socket"):
                embedded.start(store)
        finally:
            taken.rmdir()


def test_the_default_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, ground: Path) -> None:
    """An ordinary user's data lie in their data folder; root's in a system one, below no home."""
    monkeypatch.setenv("XDG_DATA_HOME", str(ground))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "keepwell" in embedded.default_path().parts
    if sys.platform == "linux":
        assert embedded.default_path() == ground / "keepwell" / "postgres"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert embedded.default_path() == Path("/var/lib/keepwell/postgres")


def test_without_the_wheel_the_extra_is_named(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the programs are not installed, the error names what to install."""
    monkeypatch.setattr(programs, "_PACKAGE", "no_such_package")
    with pytest.raises(MissingExtra, match=r"keepwell\[embedded\]"):
        embedded.start(ground / "store")


def test_lost_passwords_are_not_replaced(made: Path) -> None:
    """Data whose passwords are gone are an error, not a store that nobody can enter."""
    with moved(made / "server.json", made / "away"), pytest.raises(DataFolderError, match="passwords"):
        embedded.start(made)


def test_lost_data_are_not_replaced(made: Path) -> None:
    """Data that are gone are an error, not an empty store."""
    with moved(made / "data", made / "away"), pytest.raises(DataFolderError, match="gone"):
        embedded.start(made)
