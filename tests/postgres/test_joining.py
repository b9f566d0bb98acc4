"""Writes that join a caller's transaction: its own in every respect, and left as it was found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, Connection, IsolationLevel
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row, namedtuple_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, ConnectionPool, NullConnectionPool

from keepwell import Memory, Message, ScopedThread
from keepwell.errors import (
    IdempotencyConflict,
    MessageNotFound,
    StoreClosed,
    StoreFailed,
    StoreUnavailable,
    ThreadExists,
    UsageError,
)
from keepwell.storage.postgres import PostgresStore
from keepwell.testing import HashEmbedder

Connect = Callable[..., Connection[Any]]


@pytest.fixture
def chat(memory: Memory) -> ScopedThread:
    """Give a conversation with one message."""
    chat = memory.scope("ada").thread("t")
    chat.append(Message.user("first", id="first"))
    return chat


def texts(chat: ScopedThread) -> list[str]:
    """Give what was said, as another connection sees it."""
    return [message.text for message in chat.messages()]


def everything(chat: ScopedThread, connection: object) -> None:
    """Do every write on a connection, with answers that are read from it."""
    added = chat.append(Message.user("one", id="1"), Message.user("two", id="2"), connection=connection)
    assert [message.seq for message in added] == [2, 3]
    assert chat.append(Message.user("one", id="1"), connection=connection)[0].seq == 2
    again = [chat.append(Message.user("k", id="k"), idempotency_key="k", connection=connection) for _ in range(2)]
    assert again[0] == again[1]
    assert chat.replace(Message.user("anew", id="1"), connection=connection).seq == 2
    assert chat.delete("2", connection=connection) == 1
    assert chat.update("title", {"a": 1}, connection=connection).title == "title"
    copy = chat.clone("copy", connection=connection)
    moved = copy.move(chat.scope.memory.scope("bob"), connection=connection)
    made = chat.scope.thread("made")
    assert made.create("made", connection=connection).title == "made"
    assert chat.scope.memory.scope("bob").forget(connection=connection).counts["messages"] == 3
    assert moved.id == "copy"


AFTER = ["first", "anew", "k"]


def test_every_write_is_undone_by_a_rollback(chat: ScopedThread, connect: Connect) -> None:
    """Nothing of what joined is there before the commit, or after a rollback."""
    connection = connect()
    everything(chat, connection)
    assert texts(chat) == ["first"]
    connection.rollback()
    assert texts(chat) == ["first"]
    assert len(chat.scope.threads()) == 1
    everything(chat, connection)
    connection.commit()
    assert texts(chat) == AFTER


def autocommit(connection: Connection[Any]) -> None:
    """Commit each statement by itself."""
    connection.autocommit = True


def odd_rows(connection: Connection[Any]) -> None:
    """Give rows as dictionaries, and cursors of another kind."""
    connection.row_factory = dict_row
    connection.cursor_factory = psycopg.ClientCursor


def odd_loaders(connection: Connection[Any]) -> None:
    """Read JSON, text and numbers in ways of its own."""
    set_json_loads(lambda text: {"mine": json.loads(text)}, connection)
    for kind in ("text", "int8", "uuid", "timestamptz", "json"):
        connection.adapters.register_loader(kind, psycopg.types.string.TextBinaryLoader)
        connection.adapters.register_loader(kind, psycopg.types.string.ByteaLoader)


def odd_dumpers(connection: Connection[Any]) -> None:
    """Send text, numbers and lists in ways of its own."""
    connection.adapters.register_dumper(str, psycopg.types.string.StrDumperVarchar)
    connection.adapters.register_dumper(int, psycopg.types.numeric.Int2Dumper)


def odd_settings(connection: Connection[Any]) -> None:
    """Look for names elsewhere, and show times and intervals in other ways."""
    connection.execute("create temporary table message (mine integer)")
    for setting in (
        "search_path = pg_temp, information_schema",
        "datestyle = 'SQL, DMY'",
        "timezone = 'Pacific/Chatham'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -3",
        "bytea_output = 'escape'",
        "quote_all_identifiers = on",
        "default_transaction_isolation = 'serializable'",
        "plan_cache_mode = force_generic_plan",
        "enable_seqscan = off",
        "statement_timeout = '60s'",
    ):
        connection.execute(f"set {setting}")
    connection.commit()


def empty_path(connection: Connection[Any]) -> None:
    """Look for names nowhere."""
    connection.execute("set search_path = ''")
    connection.commit()


def an_open_transaction(connection: Connection[Any]) -> None:
    """Be in the middle of something."""
    connection.execute("select 1")


def repeatable(connection: Connection[Any]) -> None:
    """See one moment only."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ


def serializable(connection: Connection[Any]) -> None:
    """See one moment, and nobody's overlapping work."""
    connection.isolation_level = IsolationLevel.SERIALIZABLE


def never_prepares(connection: Connection[Any]) -> None:
    """Be one that cannot keep prepared statements."""
    connection.prepare_threshold = None


def prepares_at_once(connection: Connection[Any]) -> None:
    """Prepare each statement at its first use."""
    connection.prepare_threshold = 0


def latin(connection: Connection[Any]) -> None:
    """Speak another encoding than the server."""
    connection.execute("set client_encoding = 'latin1'")
    connection.commit()


@pytest.mark.parametrize(
    "prepare",
    [
        autocommit, odd_rows, odd_loaders, odd_dumpers, odd_settings, empty_path, an_open_transaction, repeatable,
        serializable, never_prepares, prepares_at_once, latin,
    ],
)  # fmt: skip
def test_nothing_is_assumed_of_a_connection(
    prepare: Callable[[Connection[Any]], None], chat: ScopedThread, connect: Connect
) -> None:
    """Whatever a caller told its connection, every write works on it, and what was told still holds."""
    connection = connect()
    prepare(connection)
    before = connection.row_factory, connection.cursor_factory, connection.autocommit, connection.isolation_level
    settings = _settings(connection)
    with connection.transaction():
        everything(chat, connection)
    assert (
        connection.row_factory,
        connection.cursor_factory,
        connection.autocommit,
        connection.isolation_level,
    ) == before
    assert _settings(connection) == settings
    connection.commit() if not connection.autocommit else None
    assert texts(chat) == AFTER


def _settings(connection: Connection[Any]) -> list[Any]:
    # Those of pgvector and PL/pgSQL are there as soon as a library is loaded, which a vector or a trigger does.
    asked = "select name::text, setting::text from pg_settings where name !~ '^(hnsw|ivfflat|plpgsql)[.]' order by 1"
    found = psycopg.Cursor(connection).execute(asked).fetchall()
    connection.rollback() if connection.info.transaction_status == TransactionStatus.INTRANS else None
    return [tuple(row.values()) if isinstance(row, dict) else tuple(row) for row in found]


def test_pipeline_mode(chat: ScopedThread, connect: Connect) -> None:
    """A connection in pipeline mode takes every write, between statements of its own."""
    connection = connect()
    with connection.pipeline():
        mine = connection.execute("select 7")
        everything(chat, connection)
        after = connection.execute("select 8")
        assert (mine.fetchone(), after.fetchone()) == ((7,), (8,))
    connection.commit()
    assert texts(chat) == AFTER


def test_autocommit_outside_a_transaction_commits_each_write(chat: ScopedThread, connect: Connect) -> None:
    """On an autocommit connection without a transaction each write is one of its own, all or nothing."""
    connection = connect(autocommit=True)
    chat.append(Message.user("second"), Message.user("third"), connection=connection)
    assert texts(chat) == ["first", "second", "third"]
    with pytest.raises(IdempotencyConflict):
        for text in ("fourth", "fifth"):
            chat.append(Message.user(text), idempotency_key="once", connection=connection)
    assert texts(chat)[3:] == ["fourth"]
    assert connection.info.transaction_status == TransactionStatus.IDLE


def test_without_a_transaction_one_is_begun_for_the_caller(chat: ScopedThread, connect: Connect) -> None:
    """A usual connection is left in the transaction that its first statement began; the caller ends it."""
    connection = connect()
    chat.append(Message.user("second"), connection=connection)
    assert connection.info.transaction_status == TransactionStatus.INTRANS
    assert texts(chat) == ["first"]
    connection.commit()
    assert texts(chat) == ["first", "second"]


@pytest.mark.parametrize("carried", [None, "", "another tenant", "it's"])
@pytest.mark.parametrize("local", [True, False])
def test_the_tenant_that_a_connection_carried_is_put_back(
    carried: str | None, local: bool, chat: ScopedThread, connect: Connect
) -> None:
    """After a joined write the connection carries the tenant that it carried, for the transaction or the session."""
    connection = connect()
    if carried is not None:
        connection.execute("select set_config('keepwell.tenant', %s, %s)", [carried, local])
        connection.commit() if not local else None
    for _ in range(2):
        chat.append(Message.user("more"), connection=connection)
        found = connection.execute("select current_setting('keepwell.tenant', true)").fetchone()
        assert found == (carried or "",)
        assert connection.execute("select count(*) from keepwell.message").fetchone() == (0,)
    with pytest.raises(MessageNotFound):
        chat.replace(Message.user("never", id="nothing"), connection=connection)
    assert connection.execute("select current_setting('keepwell.tenant', true)").fetchone() == (carried or "",)
    connection.commit()
    found = connection.execute("select current_setting('keepwell.tenant', true)").fetchone()
    assert found == ((carried or "") if not local else "",)


def test_a_failing_write_leaves_the_transaction_usable(chat: ScopedThread, connect: Connect) -> None:
    """What was done before a write that fails stays, what comes after works, and of the write itself nothing does."""
    connection = connect()
    connection.execute("create temporary table mine (n integer)")
    connection.execute("insert into mine values (1)")
    chat.append(Message.user("second", id="second"), idempotency_key="key", connection=connection)
    for wrong, kind in (
        (lambda: chat.append(Message.user("x"), idempotency_key="key", connection=connection), IdempotencyConflict),
        (lambda: chat.replace(Message.user("x", id="x"), connection=connection), MessageNotFound),
        (lambda: chat.create(connection=connection), ThreadExists),
        (lambda: chat.clone("t", connection=connection), ThreadExists),
    ):
        with pytest.raises(kind):
            wrong()
        assert connection.info.transaction_status == TransactionStatus.INTRANS
    chat.append(Message.user("third"), connection=connection)
    assert connection.execute("select n from mine").fetchall() == [(1,)]
    connection.commit()
    assert texts(chat) == ["first", "second", "third"]


def test_a_duplicate_that_another_commits_meanwhile(chat: ScopedThread, connect: Connect) -> None:
    """Where another transaction wrote the same message first, a joined append finds it and does not double it."""
    connection = connect()
    connection.execute("select 1")
    chat.append(Message.user("second", id="second"))
    chat.append(Message.user("second", id="second"), Message.user("third", id="third"), connection=connection)
    connection.commit()
    assert texts(chat) == ["first", "second", "third"]


def test_a_transaction_that_has_failed_says_so(chat: ScopedThread, connect: Connect) -> None:
    """A transaction that somebody broke before takes no write, with an error of ours."""
    connection = connect()
    with pytest.raises(psycopg.Error):
        connection.execute("select 1/0")
    with pytest.raises(StoreFailed, match="current transaction is aborted"):
        chat.append(Message.user("second"), connection=connection)
    connection.rollback()
    assert texts(chat) == ["first"]


def test_a_closed_connection_says_so(chat: ScopedThread, connect: Connect) -> None:
    """A connection that is closed takes no write, with an error of ours."""
    connection = connect()
    connection.close()
    with pytest.raises(StoreUnavailable, match="the connection is closed"):
        chat.append(Message.user("second"), connection=connection)


def test_a_conflict_of_serializable_transactions_says_so(chat: ScopedThread, connect: Connect) -> None:
    """Under an isolation level that forbids it, a thread that changed meanwhile is refused, and nothing is written."""
    connection = connect()
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.execute("select 1")
    chat.append(Message.user("second"))
    with pytest.raises(StoreFailed, match="could not serialize"):
        chat.append(Message.user("third"), connection=connection)
    connection.rollback()
    assert texts(chat) == ["first", "second"]


@pytest.mark.parametrize("wrong", ["postgresql://", 7, object(), [], dict], ids=lambda wrong: type(wrong).__name__)
async def test_other_things_are_no_connections(wrong: object, chat: ScopedThread) -> None:
    """What is no psycopg connection is refused by name, by the verb and by its twin, before anything is written."""
    with pytest.raises(UsageError, match=r"connection= takes a psycopg Connection, not builtins\.\w+"):
        chat.append(Message.user("second"), connection=wrong)
    with pytest.raises(UsageError, match=r"connection= takes a psycopg \w*Connection"):
        await chat.aappend(Message.user("second"), connection=wrong)
    assert texts(chat) == ["first"]


async def test_a_cursor_or_an_async_connection_where_a_connection_is_due(chat: ScopedThread, dsn: str) -> None:
    """The verbs take connections that are synchronous, and the error names what was given."""
    async with await AsyncConnection.connect(dsn) as connection:
        with pytest.raises(UsageError, match="not psycopg.*AsyncConnection"):
            chat.append(Message.user("second"), connection=connection)
        with pytest.raises(UsageError, match="not psycopg.*AsyncCursor"):
            await chat.aappend(Message.user("second"), connection=connection.cursor())
        with pytest.raises(UsageError, match="not psycopg.*AsyncCursor"):
            chat.append(Message.user("second"), connection=connection.cursor())
    assert texts(chat) == ["first"]


# --- asynchronous connections


async def aeverything(chat: ScopedThread, connection: object) -> None:
    """Do every write by its twin."""
    added = await chat.aappend(Message.user("one", id="1"), Message.user("two", id="2"), connection=connection)
    assert [message.seq for message in added] == [2, 3]
    for _ in range(2):
        await chat.aappend(Message.user("k", id="k"), idempotency_key="k", connection=connection)
    await chat.areplace(Message.user("anew", id="1"), connection=connection)
    assert await chat.adelete("2", connection=connection) == 1
    await chat.aupdate("title", {"a": 1}, connection=connection)
    copy = await chat.aclone("copy", connection=connection)
    await copy.amove(chat.scope.memory.scope("bob"), connection=connection)
    await chat.scope.thread("made").acreate("made", connection=connection)
    receipt = await chat.scope.memory.scope("bob").aforget(connection=connection)
    assert receipt.counts["messages"] == 3


@pytest.mark.parametrize("how", ["plain", "autocommit", "dict rows", "pipeline"])
async def test_asynchronous_connections(how: str, chat: ScopedThread, dsn: str) -> None:
    """An asynchronous connection takes every write, undone by its rollback and kept by its commit."""
    async with await AsyncConnection.connect(dsn, autocommit=how == "autocommit") as connection:
        if how == "dict rows":
            connection.row_factory = dict_row  # type: ignore[assignment]  # rows of another kind
        for undo in (True, False):
            async with connection.transaction(force_rollback=undo):
                if how == "pipeline":
                    async with connection.pipeline():
                        await aeverything(chat, connection)
                else:
                    await aeverything(chat, connection)
            if undo:
                assert texts(chat) == ["first"]
    assert texts(chat) == AFTER


async def test_a_synchronous_connection_with_a_twin(chat: ScopedThread, connect: Connect) -> None:
    """The twins take a synchronous connection as well, without holding up the loop."""
    connection = connect()
    await aeverything(chat, connection)
    assert texts(chat) == ["first"]
    connection.commit()
    assert texts(chat) == AFTER


async def test_a_failing_asynchronous_write_leaves_the_transaction_usable(chat: ScopedThread, dsn: str) -> None:
    """What fails on an asynchronous connection is undone alone, and its tenant is put back."""
    async with await AsyncConnection.connect(dsn) as connection:
        await connection.execute("select set_config('keepwell.tenant', 'mine', true)")
        with pytest.raises(MessageNotFound):
            await chat.areplace(Message.user("x", id="x"), connection=connection)
        await chat.aappend(Message.user("second"), connection=connection)
        found = await (await connection.execute("select current_setting('keepwell.tenant')")).fetchone()
        assert found == ("mine",)
    assert texts(chat) == ["first", "second"]


# --- transactions and pools


def test_a_memory_s_own_transaction(chat: ScopedThread) -> None:
    """``memory.transaction()`` commits all writes of its block, or none where the block raises."""
    memory = chat.scope.memory
    with memory.transaction() as tx:
        chat.append(Message.user("second"), connection=tx)
        chat.scope.thread("other").append(Message.user("elsewhere"), connection=tx)
    assert texts(chat) == ["first", "second"]

    def fail() -> None:
        with memory.transaction() as tx:
            chat.append(Message.user("third"), connection=tx)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="^no$"):
        fail()
    assert texts(chat) == ["first", "second"]


@pytest.fixture(
    params=[
        {"kwargs": {"autocommit": False, "row_factory": dict_row}},
        {"kwargs": {"autocommit": True, "row_factory": namedtuple_row, "prepare_threshold": None}},
        {"kwargs": {"cursor_factory": psycopg.ClientCursor, "options": "-c search_path= -c datestyle=SQL,DMY"}},
        {"kwargs": {"options": "-c default_transaction_isolation=serializable"}, "kind": NullConnectionPool},
    ],
    ids=["dict rows", "autocommit", "client cursors", "null pool"],
)
def pool(request: pytest.FixtureRequest, dsn: str) -> Iterator[ConnectionPool[Any]]:
    """Give a pool with settings of its own."""
    given = dict(request.param)
    kind = given.pop("kind", ConnectionPool)
    size = {"min_size": 0} if kind is NullConnectionPool else {"min_size": 1, "max_size": 3}
    with kind(dsn, open=True, **size, **given) as opened:
        yield opened


async def test_a_given_pool(pool: ConnectionPool[Any], tenant: str) -> None:
    """A memory works over a pool with other settings, by its verbs and their twins, and leaves it open at the end."""
    with Memory.open(pool=pool, tenant=tenant, embedder=HashEmbedder()) as memory:
        chat = memory.scope("ada").thread("t")
        chat.append(Message.user("first", id="first"))
        with memory.transaction() as tx:
            everything(chat, tx)
        assert texts(chat) == AFTER
        assert len(await memory.scope("ada").arecall("anew")) > 0
        memory.drain()
        await chat.aappend(Message.user("last"))
        assert (await memory.astatus()).record.messages == 4
    with pool.connection() as connection:
        connection.execute("select 1")


def test_a_closed_pool_says_so(dsn: str, tenant: str) -> None:
    """A pool that its owner closed cannot be opened a store over, and one that is closed later says so."""
    closed = ConnectionPool(dsn, min_size=1, open=True)
    memory = Memory.open(pool=closed, tenant=tenant, embedder=None)
    closed.close()
    with closing(memory), pytest.raises(StoreClosed):
        memory.scope("ada").thread("t").messages()
    with pytest.raises(StoreClosed, match="was closed"):
        Memory.open(pool=closed, tenant=tenant, embedder=None)


async def test_other_things_are_no_pools(dsn: str, connect: Connect) -> None:
    """What is no synchronous pool is refused by name."""
    async with AsyncConnectionPool(dsn, min_size=1, open=False) as pool:
        with pytest.raises(UsageError, match="takes a psycopg_pool ConnectionPool, not AsyncConnectionPool"):
            Memory.open(pool=pool, embedder=None)  # type: ignore[arg-type]  # that is what is tested
    for wrong in ("pool", 7, connect()):
        with pytest.raises(UsageError, match="takes a psycopg_pool ConnectionPool, not "):
            Memory.open(pool=wrong, embedder=None)  # type: ignore[arg-type]  # as above
    with pytest.raises(UsageError, match="give one of"):
        Memory.open(dsn, pool=connect(), embedder=None)  # type: ignore[arg-type]  # as above


def test_writes_of_two_tenants_in_one_transaction(
    memory: Memory, open_memory: Callable[..., Memory], tenant: str, connect: Connect
) -> None:
    """Writes of two tenants join one transaction side by side, and each lands with its own."""
    other = open_memory(tenant=f"{tenant}-2")
    connection = connect()
    for number in range(2):
        for one in (memory, other):
            one.scope("ada").thread("t").append(Message.user(f"{one.tenant} {number}"), connection=connection)
    connection.commit()
    for one in (memory, other):
        assert texts(one.scope("ada").thread("t")) == [f"{one.tenant} 0", f"{one.tenant} 1"]


def test_a_store_says_how_many_it_can_do_at_once(pool: ConnectionPool[Any]) -> None:
    """The number of threads for asynchronous verbs follows the pool, and is never nothing."""
    with closing(PostgresStore(pool=pool)) as store:
        assert store.size >= 1
