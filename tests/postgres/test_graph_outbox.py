"""The outbox of a projection: nothing is missed, whoever commits first, and nothing is written for nobody."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from keepwell.formation.graph_edits import AddEntity, ChangeEntity
from keepwell.storage.graph import ApplyGraph, GraphEdits, ReadOutbox, SetProjection
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.testing.conformance.base import ADA, BOB, say
from keepwell.testing.conformance.facts_base import add, apply
from keepwell.testing.conformance.graph_base import World, edit
from keepwell.testing.conformance.projection import Copy, follow, follow_up, noted, scanned


def naming(owner: Any, name: str) -> ApplyGraph:
    """Give the write that makes an entity of that name."""
    return ApplyGraph(owner, GraphEdits((AddEntity(uuid4(), name, given=(name,)),)), "tests", uuid4())


def test_who_commits_late_is_not_missed(record: PostgresRecord, connect: Callable[..., psycopg.Connection]) -> None:
    """While an earlier writer is at work, what a later one has committed waits: then both come, the earlier one first."""
    record.write(SetProjection("tests"))
    early = connect()
    record.write(naming(ADA, "Early"), early)
    record.write(naming(BOB, "Late"))
    assert record.read(ReadOutbox()).rows == ()
    early.commit()
    rows = noted(record, lambda page: len(page.rows) > 1).rows
    assert [row.properties["name"] for row in rows if row.properties] == ["Early", "Late"]


def test_what_was_undone_is_not_told(record: PostgresRecord, connect: Callable[..., psycopg.Connection]) -> None:
    """A transaction that was rolled back leaves nothing to be projected."""
    record.write(SetProjection("tests"))
    undone = connect()
    record.write(naming(ADA, "Undone"), undone)
    undone.rollback()
    assert record.read(ReadOutbox()).rows == ()


def test_writers_that_commit_in_any_order(
    record: PostgresRecord, connect: Callable[..., psycopg.Connection], *, proof: bool
) -> None:
    """Whatever order many writers begin and commit in, a copy that follows ends equal to the record."""
    record.write(SetProjection("tests"))
    choose = random.Random(20240517)
    connections = [connect() for _ in range(4)]
    busy: dict[int, bool] = dict.fromkeys(range(4), False)
    copy: Copy = {}
    position: str | None = None
    with ExitStack() as stack:
        for connection in connections:
            stack.callback(connection.rollback)
        for step in range(2000 if proof else 120):
            which = choose.randrange(4)
            if busy[which]:
                (connections[which].commit if choose.random() < 0.8 else connections[which].rollback)()
            else:
                owner = ADA._replace(user_id=f"user {which}")
                record.write(naming(owner, f"Name {step}"), connections[which])
            busy[which] = not busy[which]
            if choose.random() < 0.3:
                position = follow(record, copy, position, limit=5)
    follow_up(record, copy, position)
    assert copy == scanned(record)
    assert len(copy) > 10


def test_nothing_is_written_for_nobody(record: PostgresRecord, admin_dsn: str, tenant: str) -> None:
    """A tenant without a projection leaves no row in the outbox, whatever it changes."""
    world = World(record)
    apply(record, add("Zoe paints"))
    edit(record, ChangeEntity(world["Zoe"], "Zoë"))
    with psycopg.connect(admin_dsn) as admin:
        assert admin.execute("select count(*) from keepwell.outbox where tenant = %s", [tenant]).fetchone() == (0,)


def test_the_outbox_holds_no_words(record: PostgresRecord, admin_dsn: str, tenant: str) -> None:
    """An outbox row names what changed and says nothing of it, nor whose it is."""
    record.write(SetProjection("tests"))
    World(record)
    say(record, "Priya has a secret")
    with psycopg.connect(admin_dsn) as admin:
        rows = admin.execute(
            "select row_to_json(o)::text from keepwell.outbox o where tenant = %s", [tenant]
        ).fetchall()
    assert rows
    assert not [row for (row,) in rows if "Priya" in row or '"ada"' in row]


@pytest.mark.parametrize("table", ["message", "thread"])
def test_an_append_fires_no_trigger(admin_dsn: str, table: str) -> None:
    """What an append writes is not looked at for a projection, so that it costs nothing more."""
    question = "select count(*) from pg_trigger where tgrelid = %s::regclass and not tgisinternal and tgtype & 4 = 4"
    with psycopg.connect(admin_dsn) as admin:
        assert admin.execute(question, [f"keepwell.{table}"]).fetchone() == (0,)
