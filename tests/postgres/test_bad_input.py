"""What bad input gets: a clear error of our tree, or the right answer; nothing lost, nothing half-written."""

from __future__ import annotations

import datetime as dt
import logging
import math
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from keepwell import Memory, Message, ScopedMemory, ScopedThread, TextPart
from keepwell.errors import (
    EmbedderFailed,
    EmbedderMismatch,
    InvalidMessage,
    InvalidQuery,
    InvalidScope,
    KeepwellError,
    MessageNotFound,
    MissingExtension,
    StoreClosed,
    StoreUnavailable,
    ThreadNotFound,
    UsageError,
)
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.testing import FailingEmbedder, HashEmbedder

SECRET = "hush-hush"


@pytest.fixture
def ada(memory: Memory) -> ScopedMemory:
    """Give ada's memory."""
    return memory.scope(user_id="ada")


@pytest.fixture
def chat(ada: ScopedMemory) -> ScopedThread:
    """Give a conversation with one message."""
    chat = ada.thread("t")
    chat.append(Message.user("first", id="first"))
    return chat


def texts(chat: ScopedThread) -> list[str]:
    """Give what was said."""
    return [message.text for message in chat.messages()]


# --- where the store is


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("nonsense", "not a PostgreSQL DSN"),
        (f"mysql://ada:{SECRET}@host/db", "not a PostgreSQL DSN"),
        (f"postgresql://ada:{SECRET}@host/db?colour=blue", "not a PostgreSQL DSN"),
        (f"host=x password={SECRET} colour=blue", "not a PostgreSQL DSN"),
        ("", "dsn is empty"),
        ("  ", "dsn is empty"),
        (7, "dsn= takes text"),
        (b"postgresql://host", "dsn= takes text"),
        (f"neo4j://ada:{SECRET}@", "names no host"),
    ],
)
def test_a_wrong_dsn(dsn: Any, words: str) -> None:
    """What is no DSN is refused at once, and a password in it is shown nowhere, not in the error's cause either."""
    with pytest.raises(UsageError, match=words) as caught:
        Memory.open(dsn, embedder=None)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": "127.0.0.1", "port": 1}, "does not answer.*refused"),
        ({"password": SECRET}, "password authentication failed"),
        ({"user": "nobody_of_that_name", "password": SECRET}, "nobody_of_that_name"),
        ({"dbname": "no_such_database"}, "no_such_database"),
        ({"host": "/no/such/folder"}, "does not answer"),
    ],
    ids=["nobody listens", "wrong password", "unknown user", "unknown database", "no socket"],
)
def test_a_server_that_is_away_or_lets_nobody_in(change: dict[str, Any], words: str, dsn: str) -> None:
    """Where no server lets us in, the error names the place and the server's reason, and not the password."""
    with pytest.raises(StoreUnavailable, match=f"(?s)PostgreSQL at .*{words}") as caught:
        Memory.open(make_conninfo(dsn, **change), embedder=None)
    assert SECRET not in str(caught.value)
    assert isinstance(caught.value.__cause__, psycopg.Error)


def test_connections_that_break_in_the_pool(
    open_memory: Callable[..., Memory], tenant: str, admin_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After all its connections were cut, every kind of call still works at its first try."""
    memory = open_memory(tenant=tenant, name="cut")
    chat = memory.scope("ada").thread("t")
    calls: list[Callable[[], object]] = [
        lambda: chat.append(Message.user("second")),
        lambda: chat.messages(),
        lambda: chat.update("title"),
        lambda: chat.scope.recall("second"),
        lambda: chat.delete("nothing"),
        lambda: chat.append(Message.user("third"), idempotency_key="key"),
        lambda: memory.status(),
        lambda: chat.clone("copy"),
        lambda: memory.drain(),
    ]
    pool = memory._opened.store._pool  # type: ignore[attr-defined]
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        for call in calls:
            pids = [connection.info.backend_pid for connection in pool._pool]
            admin.execute("select pg_terminate_backend(p, 5000) from unnest(%s::int[]) p", [pids])
            call()
    assert texts(chat) == ["second", "third"]


def test_no_connection_is_free(dsn: str, tenant: str) -> None:
    """Where all connections are in use, a call waits as long as it was told, and then says so."""
    with Memory.over(PostgresStore(dsn, options=PoolOptions(1, timeout=0.3)), tenant=tenant) as memory:
        with memory.transaction(), pytest.raises(StoreUnavailable, match="gave no connection in time"):
            memory.scope("ada").thread("t").messages()
        assert memory.scope("ada").thread("t").messages() == []


def test_a_server_without_pgvector(server: EmbeddedServer, fresh_database: str) -> None:
    """Where the server has no pgvector at all, the error says to install it there, and nothing is made."""
    admin_dsn = make_conninfo(server.admin_dsn, dbname=fresh_database)
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(f"alter database {fresh_database} set extension_control_path = '/nowhere'")
    with pytest.raises(MissingExtension, match="install"):
        Memory.open(admin_dsn, embedder=None)
    with psycopg.connect(admin_dsn) as admin:
        assert admin.execute("select to_regnamespace('keepwell')::text").fetchone() == (None,)


def test_a_role_that_may_not_add_pgvector(server: EmbeddedServer, fresh_database: str) -> None:
    """Where a role may make the tables but not the extension, the error says what somebody else is to run."""
    with psycopg.connect(make_conninfo(server.admin_dsn, dbname=fresh_database), autocommit=True) as admin:
        admin.execute("create schema keepwell authorization keepwell")
        dsn = make_conninfo(server.dsn, dbname=fresh_database)
        with pytest.raises(MissingExtension, match="create extension vector"):
            Memory.open(dsn, embedder=None)
        admin.execute("create extension vector")
    with Memory.open(dsn, embedder=None) as memory:
        memory.scope("ada").thread("t").append(Message.user("hello"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pool_size": 0}, "pool_size is 0"),
        ({"pool_size": -3}, "pool_size is -3"),
        ({"tenant": " "}, "tenant is empty"),
        ({"tenant": ""}, "tenant is empty"),
        ({"schema": ""}, "lower-case"),
        ({"tenant": "x" * 64}, "at most 63"),
        ({"tenant": "a\0b"}, "NUL"),
        ({"embedder": "gpt-7"}, "'gpt-7' is not known"),
        ({"embedder": 7}, "embedder= takes"),
        ({"schema": "Bad"}, "lower-case"),
        ({"path": "somewhere/else"}, "give one of"),
    ],
    ids=str,
)
def test_options_that_mean_nothing(options: dict[str, Any], words: str, dsn: str) -> None:
    """Options of ``open`` that cannot be are refused by name, and leave no store open."""
    with pytest.raises(UsageError, match=words):
        Memory.open(dsn, **{"embedder": None, **options})


def test_a_closed_memory(ada: ScopedMemory, chat: ScopedThread) -> None:
    """After ``close`` every call says that the memory was closed; closing again does nothing."""
    ada.memory.close()
    ada.memory.close()
    for call in (chat.messages, ada.threads, ada.memory.status, lambda: ada.recall("x"), lambda: chat.delete("x")):
        with pytest.raises(StoreClosed, match="open it again"):
            call()


# --- embedders


class Nonsense(HashEmbedder):
    """An embedder that answers something else."""

    def __init__(self, answer: Callable[[int], Any]) -> None:
        super().__init__()
        self.answer = answer

    def embed(self, texts: Any) -> Any:
        return self.answer(len(texts))


@pytest.mark.parametrize(
    "embedder",
    [
        Nonsense(lambda n: np.ones((n, 7), np.float32)),
        Nonsense(lambda n: np.ones((n + 1, 64), np.float32)),
        Nonsense(lambda n: np.full((n, 64), np.nan, np.float32)),
        Nonsense(lambda n: np.full((n, 64), np.inf, np.float32)),
        Nonsense(lambda n: [["words"] * 64] * n),
        Nonsense(lambda n: None),
        FailingEmbedder(error=RuntimeError("out of order")),
        FailingEmbedder(error=KeyError("key")),
    ],
    ids=["dimension", "count", "nan", "infinite", "words", "nothing", "raises", "raises a KeyError"],
)
def test_an_embedder_that_answers_nonsense(
    embedder: HashEmbedder, open_memory: Callable[..., Memory], tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No word is lost to a broken embedder: the append holds, keywords are found, and draining says what is wrong.

    Once the embedder is right again what was due is done.
    """
    memory = open_memory(tenant=tenant, embedder=embedder)
    chat = memory.scope("ada").thread("t")
    with caplog.at_level(logging.WARNING):
        assert chat.append(Message.user("a walnut"))[0].seq == 1
    assert "wait for their vectors" in caplog.text
    found = memory.scope("ada").recall("walnut")
    assert [item.text for item in found] == ["a walnut"]
    assert "vector" in found.skipped or "vector" not in found[0].evidence  # it may answer one question well
    with pytest.raises(EmbedderFailed):
        memory.drain()
    assert (memory.status().record.due, memory.status().record.vectors) == (1, 0)
    right = open_memory(tenant=tenant, embedder=HashEmbedder())
    assert right.drain().embedded == 1
    assert not right.scope("ada").recall("walnut").skipped


def test_an_embedder_of_another_dimension_or_name(memory: Memory, dsn: str, tenant: str) -> None:
    """Opening with another model than the stored one names both and the command; without an embedder it opens."""
    memory.scope("ada").thread("t").append(Message.user("a walnut"))
    for other in (HashEmbedder(32), HashEmbedder(64, model="another"), HashEmbedder(32, model="hash-64")):
        with pytest.raises(EmbedderMismatch, match="'hash-64'.*keepwell reembed"):
            Memory.open(dsn, tenant=tenant, embedder=other)
    with Memory.open(dsn, tenant=tenant, embedder=None) as without:
        assert [item.text for item in without.scope("ada").recall("walnut")] == ["a walnut"]
    with Memory.open(dsn, tenant=f"{tenant}-2", embedder=HashEmbedder(32)) as elsewhere:
        elsewhere.scope("ada").thread("t").append(Message.user("a walnut"))
        assert elsewhere.status().record.vectors == 1


# --- questions


@pytest.mark.parametrize("query", ["", " ", "\n\t", "\u3000", None, 7, b"walnut", ["walnut"]], ids=repr)
async def test_a_blank_question(query: Any, chat: ScopedThread) -> None:
    """A question without words, or that is no text, is refused by each verb that asks."""
    for call in (lambda: chat.scope.recall(query), lambda: chat.recall(query)):
        with pytest.raises(InvalidQuery, match="the query is blank"):
            call()
    with pytest.raises(InvalidQuery, match="the query is blank"):
        await chat.scope.arecall(query)
    if query is not None:
        with pytest.raises(InvalidQuery, match="the query is blank"):
            chat.context(query)


@pytest.mark.parametrize(
    "query", ["?", "...", "the", "\0", "\ud800", "a\0b", "walnut \udfff", "%", "' or 1=1 --", "🙂", "x" * 100_000, "\\"]
)
def test_an_odd_question(query: str, chat: ScopedThread) -> None:
    """A question of any characters is answered."""
    for memory in (chat.scope, chat):
        assert {item.text for item in memory.recall(query)} <= {"first"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"limit": -1}, "limit is -1"),
        ({"limit": 10**30}, "limit is 1000"),
        ({"neighbours": -1}, "neighbours is -1"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"kinds": ("dream",)}, "dream"),
    ],
    ids=str,
)
def test_a_recall_out_of_range(options: dict[str, Any], words: str, chat: ScopedThread) -> None:
    """A recall with a limit that means nothing says which and what is allowed."""
    with pytest.raises(InvalidQuery, match=words):
        chat.scope.recall("first", **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda chat: chat.messages(last=0), "last is 0"),
        (lambda chat: chat.messages(limit=-1), "limit is -1"),
        (lambda chat: chat.messages(last=1, limit=1), "not both"),
        (lambda chat: chat.window(last=0), "last is 0"),
        (lambda chat: chat.window(tokens=0), "tokens is 0"),
        (lambda chat: chat.around("first", before=-1), "0 or more"),
        (lambda chat: list(chat.iterate(batch=0)), "batch is 0"),
        (lambda chat: chat.scope.threads(limit=0), "limit is 0"),
        (lambda chat: chat.scope.threads(limit=10**9), "limit is 1000000000"),
        (lambda chat: chat.scope.threads(order="size"), "order is 'size'"),
        (lambda chat: chat.scope.threads(after="nonsense"), "after="),
        (lambda chat: chat.scope.threads(after="\ud800"), "after="),
        (lambda chat: chat.context("first", last=0), "last is 0"),
        (lambda chat: chat.context("first", limit=0), "limit is 0"),
        (lambda chat: chat.context("first", tokens=0), "tokens is 0"),
    ],
)
def test_reads_out_of_range(call: Callable[[ScopedThread], object], words: str, chat: ScopedThread) -> None:
    """Each read refuses a limit of nothing or less, and says which."""
    with pytest.raises(InvalidQuery, match=words):
        call(chat)


@pytest.mark.parametrize("number", [2**31, 2**62, 2**63 - 1, 2**63, 10**30])
def test_numbers_beyond_any_column(number: int, chat: ScopedThread) -> None:
    """A number that is larger than any the database holds works as what it means: more than there is."""
    assert texts(chat) == ["first"]
    assert len(chat.messages(last=number)) == len(chat.messages(limit=number)) == 1
    assert len(chat.messages(before=number)) == 1
    assert chat.messages(after=number) == []
    assert len(chat.messages(after=-number)) == 1
    assert len(chat.window(tokens=number)) == 1
    assert len(chat.around("first", before=number, after=number)) == 1
    assert len(list(chat.iterate(batch=number))) == 1
    assert len(chat.clone(f"copy {number}", until=number).messages()) == 1
    assert chat.context("first", last=number).tokens > 0
    assert len(chat.recall("first", neighbours=number, max_tokens=number)) == 1


def test_times_without_a_zone_are_utc(chat: ScopedThread) -> None:
    """A time without a zone means UTC, in messages and in questions."""
    noon = dt.datetime(2024, 5, 17, 12)  # noqa: DTZ001 - that is what is tested
    chat.append(Message.user("at noon", id="noon", created_at=noon))
    assert chat.messages()[-1].created_at == noon.replace(tzinfo=dt.UTC)
    minute = dt.timedelta(minutes=1)
    for since, until, found in (
        (noon, noon + minute, ["at noon"]),
        (noon - minute, noon, []),
        (None, noon + minute, ["at noon"]),
    ):
        assert [m.text for m in chat.messages(since=since, until=until)] == found
        assert [item.text for item in chat.scope.recall("noon", since=since, until=until)] == found
    assert [item.text for item in chat.scope.recall("noon", as_of=noon)] == []


@pytest.mark.parametrize("zone", [dt.UTC, dt.timezone(dt.timedelta(hours=14)), dt.timezone(dt.timedelta(hours=-12))])
@pytest.mark.parametrize("year", [1, 2, 1969, 9999])
def test_times_at_the_ends_of_the_calendar(year: int, zone: dt.timezone, chat: ScopedThread) -> None:
    """Any time that Python has is kept exactly, or refused as a message where UTC has none for it."""
    for when in (dt.datetime(year, 1, 1, tzinfo=zone), dt.datetime(year, 12, 31, 23, 59, 59, 999999, tzinfo=zone)):
        try:
            message = Message.user("x", created_at=when)
        except InvalidMessage:
            assert year in (1, 9999)
            continue
        chat.append(message)
        assert chat.messages()[-1].created_at == when
        assert chat.messages(since=when, until=None)[-1].created_at == when
        assert len(chat.scope.recall("first x", since=when)) >= 1


@pytest.mark.parametrize(
    "where", [{"k": math.nan}, {"k": "a\0b"}, {"k": "\ud800"}, {"\0": 1}, {"k": b"x"}, {"k": object}, {"k": 10**400}]
)
def test_odd_filters(where: dict[str, Any], chat: ScopedThread) -> None:
    """A filter of any value is looked for as what metadata keeps of that value, and matches nothing else."""
    chat.append(Message.user("labelled", metadata=where))
    assert [item.text for item in chat.scope.recall("labelled first", where=where)] == ["labelled"]
    chat.update(metadata=where)
    chat.scope.thread("other").create()
    assert [thread.id for thread in chat.scope.threads(where=where)] == ["t"]


# --- messages


ODD = [
    "a\0b", "\0", "\ud800", "lone \udfff surrogate", "", " ", "\\u0000", "$keepwell", "\u2028", "\ufffe",
    '{"$keepwell": ["float", "nan"]}', "'; drop table keepwell.message; --", "\x1b[31m", "a" * 70_000,
]  # fmt: skip


@pytest.mark.parametrize("text", ODD, ids=[ascii(text)[:20] for text in ODD])
def test_text_of_any_characters(text: str, chat: ScopedThread) -> None:
    """A message's text comes back exactly, and so does everything else in it, whatever its characters."""
    given = Message(
        role="user", parts=(TextPart(text=text, extras={"x": text}),), name=text, metadata={text: text, "n": [text]}
    )
    chat.append(given)
    chat.append(given)
    found = chat.messages()[-1]
    assert found == given.model_copy(update={"seq": 2})
    chat.replace(given.model_copy(update={"metadata": {}}))
    assert chat.messages()[-1].metadata == {}
    chat.delete(given)
    assert texts(chat) == ["first"]


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        1e22,
        1e-300,
        b"\x00\xff",
        10**100,
        dt.date(1, 1, 1),
        {1, 2},
        (1,),
        uuid.UUID(int=0),
    ],
    ids=repr,
)
def test_values_that_json_does_not_have(value: object, chat: ScopedThread) -> None:
    """NaN, infinities, bytes and the like in metadata, arguments and data come back as they were."""
    from keepwell import DataPart, Native, ToolCall

    given = Message(
        role="assistant",
        parts=(DataPart(kind="x", value=value),),
        metadata={"k": value},
        tool_calls=(ToolCall(name="f", args={"a": value}),),
        native=Native(kind="x", version="1", data=[value]),
    )
    chat.append(given)
    found = chat.messages()[-1]
    for back in (found.metadata["k"], found.parts[0].value, found.tool_calls[0].args["a"], found.native.data[0]):
        assert repr(back) == repr(value)


def test_a_message_of_five_megabytes(open_memory: Callable[..., Memory], tenant: str) -> None:
    """A message of 5 MB is kept whole, found by its words, replaced and deleted like any other."""
    chat = open_memory(tenant=tenant).scope("ada").thread("t")
    text = "".join(f"word{n % 50_000} " for n in range(560_000))[:5_000_000]
    chat.append(Message.user(text, id="large"), Message.user("small"))
    assert chat.messages()[0].text == text
    found = chat.scope.recall("word49999")
    assert found[0].message.id == "large"
    assert len(chat.context("word49999", tokens=500).text) < 5_000
    chat.scope.memory.drain()
    chat.replace(Message.user("no longer large", id="large"))
    assert [item.message.id for item in chat.scope.recall("word49999 longer")][:1] == ["large"]
    assert chat.delete("large") == 1
    assert texts(chat) == ["small"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Message.user(b"bytes"), "cannot be made"),
        (lambda: Message.user(7), "cannot be made|content"),
        (lambda: Message.user("x", id=""), "message id is empty"),
        (lambda: Message.user("x", id="a\0b"), "NUL"),
        (lambda: Message.user("x", id="\ud800"), "surrogate"),
        (lambda: Message.user("x", id="x" * 513), "513 bytes"),
        (lambda: Message.user("x", id=7), "id"),
        (lambda: Message.user("x", colour="blue"), "colour"),
        (lambda: Message(role="", parts=()), "role"),
        (lambda: Message(role="x" * 65, parts=()), "role"),
        (lambda: Message.user("x", created_at="yesterday"), "created_at"),
        (lambda: Message.user("x", metadata="k"), "metadata"),
    ],
)
def test_messages_that_cannot_be(make: Callable[[], Message], words: str) -> None:
    """What cannot be a message is refused when it is made, and the error names the field."""
    with pytest.raises(InvalidMessage, match=words):
        make()


def test_what_is_no_message(chat: ScopedThread) -> None:
    """Verbs that take messages refuse other things, and nothing of the call is written."""
    for wrong in ("text", {"role": "user"}, None, b"x"):
        with pytest.raises(InvalidMessage, match="append takes Message values"):
            chat.append(Message.user("fine"), wrong)  # type: ignore[arg-type]  # that is what is tested
        with pytest.raises(InvalidMessage):
            chat.replace(wrong)  # type: ignore[arg-type]  # as above
    assert texts(chat) == ["first"]


def test_metadata_that_nests_without_end(chat: ScopedThread) -> None:
    """Metadata nested too deeply is refused as a whole; one that is only deep is kept."""
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    chat.append(Message.user("deep", metadata={"k": deep}))
    assert chat.messages()[-1].metadata == {"k": deep}
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidMessage, match="nested too deeply"):
        chat.append(Message.user("too deep", metadata={"k": deep}))
    assert texts(chat) == ["first", "deep"]
    _unwind(deep)


def _unwind(deep: list[Any]) -> None:
    """Take the nest apart from the outside: to free it whole would overflow the interpreter's stack."""
    while deep:
        deep = deep.pop()


def test_a_clock_that_goes_backwards(chat: ScopedThread) -> None:
    """Order is the order of the appends, whatever the times say."""
    start = dt.datetime(2024, 5, 17, tzinfo=dt.UTC)
    for number in range(5):
        chat.append(Message.user(f"{number}", created_at=start - dt.timedelta(days=number)))
    assert texts(chat) == ["first", "0", "1", "2", "3", "4"]
    assert [message.seq for message in chat.messages()] == [1, 2, 3, 4, 5, 6]
    assert [m.text for m in chat.messages(last=2)] == ["3", "4"]
    future = Message.user("from the future", created_at=start + dt.timedelta(days=36500))
    chat.append(future)
    assert all(math.isfinite(item.score) for item in chat.scope.recall("future 3"))


# --- ids and threads


@pytest.mark.parametrize("given", ["", " ", "\0", "a\0", "\ud800", "x" * 513, "é" * 257, 7, b"x", ("a",)], ids=repr)
def test_ids_that_cannot_be(given: Any, memory: Memory) -> None:
    """An id that is blank, too long, no text or not storable is refused by name, wherever it is given."""
    for name in ("user_id", "agent_id", "run_id"):
        with pytest.raises(InvalidScope, match=name):
            memory.scope(**{name: given})
    ada = memory.scope("ada")
    with pytest.raises(InvalidScope, match="thread id"):
        ada.thread(given)
    chat = ada.thread("t")
    with pytest.raises(InvalidScope, match="message id"):
        chat.delete(given)
    with pytest.raises(InvalidScope, match="message id"):
        chat.around(given)
    if given:
        with pytest.raises(InvalidScope, match="thread id"):
            chat.append(Message.user("x")) and chat.clone(given)
        with pytest.raises(InvalidScope, match="idempotency_key"):
            chat.append(Message.user("x"), idempotency_key=given)
    assert len(chat.messages()) <= 1


def test_the_longest_ids_fit(open_memory: Callable[..., Memory]) -> None:
    """Ids of the greatest length, all at once and in any script, are stored, found and forgotten."""
    long = "é" * 256
    memory = open_memory(tenant="ü" * 31)
    chat = memory.scope(long, long, long).thread(long)
    chat.append(Message.user("a walnut", id=long), idempotency_key=long)
    assert chat.append(Message.user("a walnut", id=long), idempotency_key=long)[0].seq == 1
    memory.drain()
    assert chat.around(long)[0].text == chat.scope.recall("walnut")[0].text
    assert chat.scope.forget().counts["messages"] == 1


def test_a_scope_without_an_id(memory: Memory) -> None:
    """A view that names nobody is refused, and one across users does not take a user, nor a thread to write to."""
    with pytest.raises(InvalidScope, match="give at least one"):
        memory.scope()
    with pytest.raises(InvalidScope, match="do not give a user_id"):
        memory.scope("ada", across_users=True)
    with pytest.raises(InvalidScope, match="no id to write as"):
        memory.scope(across_users=True).thread("t")


def test_a_scope_without_a_user_sees_no_user_s_rows(memory: Memory) -> None:
    """Who leaves the user out sees what has no user, and not everybody's; across users is asked for by name."""
    for user in ("ada", "bob", None):
        memory.scope(user, "bot").thread("t").append(Message.user(f"of {user}"))
    bot = memory.scope(agent_id="bot")
    assert [item.text for item in bot.recall("of ada bob none")] == ["of None"]
    assert [thread.owner.user_id for thread in bot.threads()] == [""]
    assert len(memory.scope(agent_id="bot", across_users=True).recall("of ada bob none")) == 3
    assert bot.forget().counts["messages"] == 1
    assert len(memory.scope(across_users=True).threads()) == 2


def test_an_unknown_thread(ada: ScopedMemory) -> None:
    """A thread that was never written reads as empty, and refuses to be changed, moved, cloned or forgotten."""
    ghost = ada.thread("ghost")
    assert ghost.messages() == ghost.window() == ghost.around("x") == list(ghost.iterate()) == []
    assert ghost.info() is None
    assert ghost.key is None
    assert len(ghost.recall("anything")) == 0
    assert ghost.context("anything").messages == ()
    for call, kind in (
        (lambda: ghost.update("x"), ThreadNotFound),
        (lambda: ghost.clone("copy"), ThreadNotFound),
        (lambda: ghost.move(ada.memory.scope("bob")), ThreadNotFound),
        (lambda: ghost.delete("x"), ThreadNotFound),
        (lambda: ghost.replace(Message.user("x")), MessageNotFound),
        (lambda: ada.forget(ghost), ThreadNotFound),
    ):
        with pytest.raises(kind, match="ghost|no message|never written"):
            call()
    assert ada.find(uuid.uuid4()) is None
    assert ada.threads() == ()


def test_what_cannot_be_forgotten(chat: ScopedThread) -> None:
    """``forget`` of something else than a thread or a message, or of two, forgets nothing."""
    wrong: list[tuple[Any, ...]] = [
        ("t",),
        (None,),
        (chat, chat),
        (chat.scope,),
        (7,),
        (chat.memory if False else "t",),
    ]
    for given in wrong:
        with pytest.raises(UsageError, match="forget"):
            chat.scope.forget(*given)
    with pytest.raises(MessageNotFound):
        chat.scope.forget(Message.user("never written"))
    with pytest.raises(UsageError, match="not in this scope"):
        chat.scope.memory.scope("bob").forget(chat)
    with pytest.raises(UsageError, match="delete"):
        chat.delete()
    assert texts(chat) == ["first"]


def test_a_thread_that_was_made_again(memories: tuple[Memory, Memory]) -> None:
    """A handle to a thread that somebody forgot and made again is a handle to the new one."""
    chat, other = (memory.scope("ada").thread("t") for memory in memories)
    chat.append(Message.user("old walnut"))
    assert len(other.recall("walnut")) == 1
    chat.scope.forget(chat)
    assert len(other.recall("walnut")) == 0
    chat.append(Message.user("new walnut"))
    assert [item.text for item in other.recall("walnut")] == ["new walnut"]
    assert other.scope.forget(other).counts["messages"] == 1


def test_an_id_of_another_tenant(
    memories: tuple[Memory, Memory], open_memory: Callable[..., Memory], tenant: str
) -> None:
    """Keys and ids of one tenant mean nothing in another, though all names are the same."""
    chat = memories[0].scope("ada").thread("t")
    chat.append(Message.user("a walnut", id="m"), idempotency_key="key")
    stranger = open_memory(tenant=f"{tenant}2").scope("ada")
    assert chat.key is not None
    assert stranger.find(chat.key) is None
    assert stranger.thread("t").messages() == []
    assert len(stranger.recall("walnut")) == 0
    assert stranger.thread("t").append(Message.user("mine", id="m"), idempotency_key="key")[0].text == "mine"
    assert stranger.forget().counts["messages"] == 1
    assert texts(chat) == ["a walnut"]
    with pytest.raises(UsageError, match="stays in its store and tenant"):
        chat.move(stranger)
    with pytest.raises(UsageError, match="stays in its store and tenant"):
        chat.clone(to=stranger)
    with pytest.raises(InvalidQuery, match="not in this scope|another"):
        stranger.recall("walnut", thread=chat)


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\0", "x" * 100_000, "", "' --"], ids=ascii)
def test_titles_and_metadata_of_threads(text: str, chat: ScopedThread) -> None:
    """A thread's metadata comes back exactly whatever its characters; its title too, or it is refused as it is."""
    made = chat.scope.thread(uuid.uuid4().hex)
    try:
        made.create(text, {text: text, "n": math.nan})
    except UsageError as error:
        assert "title" in str(error)
        made.create("plain", {text: text, "n": math.nan})
    known = made.info()
    assert known is not None
    assert known.title in (text, "plain")
    assert known.metadata[text] == text
    assert math.isnan(known.metadata["n"])
    try:
        chat.update(text, {"k": text})
    except UsageError as error:
        assert "title" in str(error)
        assert chat.info().metadata == {}
    else:
        assert chat.info().metadata == {"k": text}
    try:
        chat.clone("copy", title=text, metadata={"k": text})
    except UsageError as error:
        assert "title" in str(error)
        assert chat.scope.thread("copy").info() is None


def test_an_idempotency_key_after_the_thread_moved_on(chat: ScopedThread) -> None:
    """An answer under an idempotency key never shows what another owner made of the thread since."""
    said = Message.user("mine", id="m")
    chat.append(said, idempotency_key="key")
    bob = chat.scope.memory.scope("bob")
    theirs = chat.move(bob)
    theirs.replace(Message.user("bob's secret", id="m"))
    assert "bob's secret" not in [message.text for message in chat.append(said, idempotency_key="key")]
    assert texts(theirs) == ["first", "bob's secret"]


# --- processes


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program with warnings as errors, and give how it ended."""
    program = textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", program, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_an_unclosed_store_at_exit(dsn: str, tenant: str) -> None:
    """A program that ends without closing ends at once, with exit code 0, and says nothing."""
    ended = python(
        """
        import asyncio, sys
        from keepwell import Memory, Message
        from keepwell.testing import HashEmbedder
        memory = Memory.open(sys.argv[1], tenant=sys.argv[2], embedder=HashEmbedder())
        chat = memory.scope("ada").thread("t")
        chat.append(Message.user("kept"))
        asyncio.run(chat.aappend(Message.user("kept too")))
        asyncio.run(chat.scope.arecall("kept"))
        """,
        dsn,
        tenant,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    with Memory.open(dsn, tenant=tenant, embedder=None) as memory:
        assert texts(memory.scope("ada").thread("t")) == ["kept", "kept too"]


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)"])
def test_a_fork_after_open(end: str, dsn: str, tenant: str) -> None:
    """A child that is forked from a process with an open store works with it, and its parent goes on unharmed."""
    ended = python(
        f"""
        import asyncio, os, sys, warnings
        warnings.filterwarnings("ignore", "This process.*is multi-threaded", DeprecationWarning)
        from keepwell import Memory, Message
        from keepwell.testing import HashEmbedder
        memory = Memory.open(sys.argv[1], tenant=sys.argv[2], embedder=HashEmbedder(), read_dsn=sys.argv[1])
        chat = memory.scope("ada").thread("t")
        chat.append(Message.user("before"))
        asyncio.run(chat.scope.arecall("before"))
        child = os.fork()
        if child == 0:
            assert len(chat.scope.recall("before")) >= 1
            chat.append(Message.user("by the child"))
            asyncio.run(chat.aappend(Message.user("by the child's loop")))
            with memory.transaction() as tx:
                chat.append(Message.user("in the child's transaction"), connection=tx)
            assert len(chat.scope.recall("child")) >= 3
            {end}
        for number in range(5):
            chat.append(Message.user(f"by the parent {{number}}"))
        _, code = os.waitpid(child, 0)
        assert code == 0, code
        asyncio.run(chat.aappend(Message.user("by the parent's loop")))
        assert len(chat.messages()) == 10, chat.messages()
        assert len(chat.scope.recall("child")) >= 3
        memory.close()
        """,
        dsn,
        tenant,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_every_error_is_of_our_tree() -> None:
    """All errors that are raised on purpose are one family, so that one ``except`` catches them."""
    from keepwell import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, KeepwellError) and kind.__doc__ for kind in kinds)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which a log line shows a secret."""
    yield
    assert SECRET not in caplog.text
