"""Appending: one message, and ten thousand, against raw statements that write the same JSON."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable

import psycopg
from psycopg_pool import ConnectionPool

from benchmarks.ground import Ground, medians, sentence, show, timed
from keepwell import Memory, Message
from keepwell.models import Owner
from keepwell.providers.bundled import BundledEmbedder, is_installed
from keepwell.storage.base import AppendMessages
from keepwell.storage.postgres import PostgresStore
from keepwell.storage.postgres.rows import draft

MANY = 10_000


def one_message(ground: Ground) -> None:
    """Measure the append of one message, commit and all."""
    rows = []
    for commit, bound in (("off", "≤ 1.8"), ("on", "(beside)")):
        ground.role(f"synchronous_commit = {commit}")
        with (
            Memory.open(ground.dsn, embedder=None, name="plain") as plain,
            Memory.open(ground.dsn, name="embedding", tenant="embedding") as embedding,
            ConnectionPool(ground.dsn, kwargs={"autocommit": True}, min_size=2, open=True) as pool,
        ):
            raw, record, whole = medians(
                _raw(pool), _append(plain), _append(embedding), rounds=2000 if commit == "off" else 500
            )
            rows += [
                (f"raw INSERT, synchronous_commit={commit}", f"{raw * 1e6:.0f} µs", ""),
                ("append, found by keyword at once", f"{record * 1e6:.0f} µs, {record / raw:.2f} x raw", bound),
                (
                    "the same with a local embedder's vector",
                    f"{whole * 1e6:.0f} µs, {whole / raw:.2f} x raw",
                    "(beside)",
                ),
            ]
    ground.role("synchronous_commit = off")
    show("append one message (medians, in turns)", rows)


def _raw(pool: ConnectionPool) -> Callable[[], object]:
    number = itertools.count()

    def insert() -> None:
        message = Message.user(sentence(next(number)))
        with pool.connection() as connection:
            connection.execute("insert into raw values (%s, %s)", [uuid.uuid4().hex, draft(message, "").body])

    return insert


def _append(memory: Memory) -> Callable[[], object]:
    thread = memory.scope(user_id="ada").thread("one by one")
    number = itertools.count()
    return lambda: thread.append(Message.user(sentence(next(number))))


def many_messages(ground: Ground) -> None:
    """Measure ten thousand messages in one call."""
    messages = tuple(Message.user(sentence(number)) for number in range(MANY))
    bodies = [(message.id, draft(message, "").body) for message in messages]
    with psycopg.connect(ground.dsn, autocommit=True) as connection:
        copies = [timed(lambda: _copy(connection, bodies)) for _ in range(5)]
    copy = sorted(copies)[2]
    store = PostgresStore(ground.dsn)
    bare = sorted(timed(lambda n=n: _bare(store, messages, n)) for n in range(5))[2]
    store.close()
    with Memory.open(ground.dsn, embedder=None, tenant="bulk") as memory:
        threads = iter([memory.scope(user_id="ada").thread(f"bulk {n}") for n in range(5)])
        posted = sorted(timed(lambda: next(threads).append(*messages)) for _ in range(5))[2]
    rows = [
        ("COPY of the same JSON", f"{copy * 1e3:.0f} ms", ""),
        ("the record alone", f"{bare * 1e3:.0f} ms, {bare / copy:.1f} x COPY", "≤ 3"),
        ("append() with terms and postings", f"{posted * 1e3:.0f} ms, {MANY / posted:,.0f} messages/s", "≥ 8,000/s"),
    ]
    if is_installed():
        rows.append(_with_vectors(ground, messages))
    show(f"append {MANY:,} messages in one call (medians of five)", rows)


def _with_vectors(ground: Ground, messages: tuple[Message, ...]) -> tuple[str, str, str]:
    """Measure with vectors, and take off what the embedder itself takes."""
    embedder = BundledEmbedder()
    embedder.embed_query("load")
    alone = sorted(timed(lambda: embedder.embed([m.text for m in messages])) for _ in range(3))[1]
    with Memory.open(ground.dsn, embedder=embedder, tenant="bulk vectors") as memory:
        threads = iter([memory.scope(user_id="ada").thread(f"bulk {n}") for n in range(3)])
        whole = sorted(timed(lambda: next(threads).append(*messages)) for _ in range(3))[1]
    rest = whole - alone
    return (
        "the same with vectors, embedding excluded",
        f"{rest * 1e3:.0f} ms, {len(messages) / rest:,.0f} messages/s (embedding {alone * 1e3:.0f} ms)",
        "≥ 8,000/s",
    )


def _copy(connection: psycopg.Connection, bodies: list[tuple[str, str]]) -> None:
    with connection.cursor() as cursor, cursor.copy("copy raw (id, body) from stdin") as copy:
        for _, body in bodies:
            copy.write_row((uuid.uuid4().hex, body))


def _bare(store: PostgresStore, messages: tuple[Message, ...], number: int) -> None:
    change = AppendMessages(Owner("ada", "", ""), f"bare {number}", messages, ("",) * len(messages))
    store.record("bare").write(change)
