"""Nothing is kept in a session: every call works where each transaction meets another connection."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool

from keepwell import Memory, Message
from keepwell.storage.base import FindCandidates
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.testing import HashEmbedder


def work(memory: Memory, user: str = "ada") -> None:
    """Do everything that a memory can."""
    view = memory.scope(user)
    chat = view.thread("t")
    for number in range(8):  # more often than psycopg waits before it prepares a statement
        chat.append(Message.user(f"walnut {number}", id=f"{number}", metadata={"k": number % 2}))
    chat.append(*(Message.user(f"plum {number}") for number in range(5)), idempotency_key="plums")
    chat.append(Message.user("walnut again", id="0"))
    chat.replace(Message.user("fig", id="1"))
    assert chat.delete("2") == 1
    assert chat.update("title", {"a": 1}).title == "title"
    copy = chat.clone("copy").move(memory.scope(f"{user}'s friend"))
    assert len(copy.messages()) == 12
    with memory.transaction() as tx:
        view.thread("joined").append(Message.user("in a transaction"), connection=tx)
    for _ in range(7):
        assert len(chat.messages(last=5)) == 5
        assert len(view.recall("walnut", limit=3, where={"k": 1}, explain=True)) > 0
    assert len(list(chat.iterate(batch=3))) == 12
    assert len(chat.around("4", before=2, after=2)) == 5
    assert chat.context("plum").tokens > 0
    assert {thread.id for thread in view.threads()} == {"t", "joined"}
    memory.drain()
    question = FindCandidates(view.scope, memory._engine.space().key, HashEmbedder().embed_query("plum"), ("plum",), 5)
    assert len(memory._engine.record.read(question).messages.keys) > 5
    assert copy.scope.forget().counts["messages"] == 12
    assert view.forget().counts["threads"] == 2


def discard(connection: psycopg.Connection[Any]) -> None:
    """Take from a connection everything that a session could hold."""
    connection.autocommit = True
    connection.execute("discard all")


@pytest.mark.parametrize("autocommit", [True, False])
def test_connections_that_forget(autocommit: bool, dsn: str, tenant: str) -> None:
    """Every call works on a pool whose connections forget everything after each transaction."""

    def reset(connection: psycopg.Connection[Any]) -> None:
        discard(connection)
        connection.autocommit = autocommit

    options = {"autocommit": autocommit, "prepare_threshold": None}
    with (
        ConnectionPool(dsn, min_size=2, max_size=2, kwargs=options, reset=reset, open=True) as pool,
        Memory.open(pool=pool, tenant=tenant, embedder=HashEmbedder()) as memory,
    ):
        work(memory)
        with pool.connection() as connection:
            assert connection.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)


def test_nothing_is_left_on_a_connection(dsn: str, tenant: str) -> None:
    """After every call a connection has no setting, no lock and no temporary table of ours."""
    with ConnectionPool(dsn, min_size=1, max_size=1, kwargs={"autocommit": True}, open=True) as pool:
        with Memory.open(pool=pool, tenant=tenant, embedder=HashEmbedder()) as memory:
            work(memory)
        with pool.connection() as connection:
            left = connection.execute(
                "select coalesce(current_setting('keepwell.tenant', true), ''), (select count(*) from pg_locks"
                " where pid = pg_backend_pid() and locktype <> 'virtualxid' and mode <> 'AccessShareLock'),"
                " (select count(*) from pg_class where relpersistence = 't'),"
                " (select count(*) from pg_listening_channels()), current_user = session_user"
            ).fetchone()
        assert left == ("", 0, 0, 0, True)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


CONFIGURATION = """
[databases]
{database} = host={host} port={port} user={user} password={password} pool_size=2

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
server_reset_query_always = 1
server_reset_query = discard all
"""


@pytest.fixture
def bouncer(server: EmbeddedServer, dsn: str) -> Iterator[str]:
    """Give the DSN of a PgBouncer in transaction mode, with two connections to the server."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("not available here: pgbouncer")
    with tempfile.TemporaryDirectory(prefix="keepwell-bouncer-") as folder:
        port = _free_port()
        settings = Path(folder) / "pgbouncer.ini"
        given = conninfo_to_dict(dsn)
        words = {name: given[name] for name in ("host", "port", "user", "password")}
        settings.write_text(CONFIGURATION.format(database=given["dbname"], listen=port, **words))
        owner = server.path.stat().st_uid  # it will not run as root, and must reach the server's socket
        os.chown(folder, owner, -1)
        os.chown(settings, owner, -1)
        user = owner if os.geteuid() == 0 else None
        with subprocess.Popen([program, "-q", str(settings)], user=user) as process:
            try:
                yield _reachable(make_conninfo(host="127.0.0.1", port=port, dbname=given["dbname"], user="keepwell"))
            finally:
                process.terminate()


def _reachable(dsn: str) -> str:
    for _ in range(100):
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return dsn
    raise AssertionError("the pooler did not start")


def test_pgbouncer_in_transaction_mode(bouncer: str, tenant: str) -> None:
    """Six threads work through a PgBouncer that has two connections, each transaction on whichever is free."""
    options = PoolOptions(6, prepare_threshold=None)
    failures: list[BaseException] = []

    def come(user: str) -> None:
        try:
            work(memory, user)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    with closing(PostgresStore(bouncer, options=options)) as store:
        memory = Memory.over(store, tenant=tenant, embedder=HashEmbedder())
        threads = [threading.Thread(target=come, args=(f"user {n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert memory.status().record.messages == 0
        memory.close()
