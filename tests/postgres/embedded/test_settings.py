"""How the embedded server is set, and what it tells."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from keepwell.storage.postgres import embedded
from keepwell.storage.postgres.embedded import cluster

from .ground import fetch


def test_settings_keep_promises_and_stay_small(server: embedded.EmbeddedServer) -> None:
    """A commit is durable, no network is listened to, and the sizes fit a laptop."""
    expected = {
        "synchronous_commit": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "jit": "off",
        "shared_buffers": "128MB",
        "max_wal_size": "512MB",
        "max_connections": "100",
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "server_encoding": "UTF8",
        "TimeZone": "UTC",
    }
    for name, value in expected.items():
        assert fetch(server.dsn, f"SHOW {name}") == [(value,)], name


@pytest.mark.skipif(sys.platform != "linux", reason="not available here: a folder of shared memory")
def test_little_shared_memory_is_spared(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine has little shared memory, as in a container, parallel work uses files instead."""
    for size, expected in ((0, "posix"), (10**18, "mmap")):
        monkeypatch.setattr(cluster, "_SHARED_MEMORY", size)
        server = embedded.start(made)
        assert fetch(server.dsn, "SHOW dynamic_shared_memory_type") == [(expected,)]
        server.release()


def test_a_failing_statement_leaves_no_words_in_the_log(server: embedded.EmbeddedServer) -> None:
    """What a person said is not in the log when the database refuses it."""
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TEMPORARY TABLE said (words text PRIMARY KEY)")
        connection.execute("INSERT INTO said VALUES ('my secret')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO said VALUES ('my secret')")
    assert "my secret" not in (server.path / "log").read_text()


def test_starting_makes_no_noise(made: Path) -> None:
    """With warnings as errors and every logger open, a start and a stop write nothing to the terminal or a log."""
    code = (
        "import logging, sys, pathlib; logging.basicConfig(level=logging.INFO);"
        "from keepwell.storage.postgres import embedded; embedded.start(pathlib.Path(sys.argv[1]))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-W", "error", "-c", code, str(made)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    noise = (done.stdout + done.stderr).splitlines()
    assert [line for line in noise if "waiting for the embedded" not in line] == []  # a busy machine may wait
    assert not embedded.status(made).running
