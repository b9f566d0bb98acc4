"""Where the tests of the embedded server keep their stores, and what they do with other processes."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from keepwell.errors import DataFolderError
from keepwell.storage.postgres import embedded

PROCESS = Path(__file__).with_name("process.py")
NOBODY = 65534
ROOT = os.geteuid() == 0

only_root = pytest.mark.skipif(not ROOT, reason="not available here: only root can become another OS user")


@contextlib.contextmanager
def open_ground() -> Iterator[Path]:
    """A folder for stores that the server's user may enter, also where root runs the tests."""
    base = Path(tempfile.mkdtemp(prefix="kw-", dir="/tmp"))
    base.chmod(0o711)
    try:
        yield base
    finally:
        for store in base.iterdir():
            with contextlib.suppress(DataFolderError):
                embedded.stop(store)
        shutil.rmtree(base)


@contextlib.contextmanager
def moved(place: Path, away: Path) -> Iterator[Path]:
    """A file or folder in another place for a while."""
    away.parent.mkdir(parents=True, exist_ok=True)
    place.rename(away)
    try:
        yield away
    finally:
        away.rename(place)


@contextlib.contextmanager
def changed(file: Path, text: str) -> Iterator[None]:
    """Another text in a file for a while."""
    before = file.read_text()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)


@contextlib.contextmanager
def process(action: str, place: Path | str, *uid: int) -> Iterator[subprocess.Popen[str]]:
    """Another process at work; it is killed at the end if it has not ended."""
    command = [sys.executable, "-W", "error", PROCESS, action, str(place), *map(str, uid)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as running:  # type: ignore[call-overload]
        try:
            yield running
        finally:
            running.kill()


def said(action: str, place: Path | str, *uid: int) -> str:
    """What another process says of what it did."""
    with process(action, place, *uid) as running:
        out, error = running.communicate(timeout=60)
    assert error == "", error
    return str(out.strip())


@contextlib.contextmanager
def holder(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the store open."""
    with process("hold", place) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        yield running


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def fetch(dsn: str, query: str) -> list[tuple[object, ...]]:
    """The rows of one query."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def other(dsn: str, **words: str | None) -> str:
    """The same address with other words in it; None takes one out."""
    kept = {name: str(value) for name, value in (conninfo_to_dict(dsn) | words).items() if value is not None}
    return make_conninfo(**kept)
