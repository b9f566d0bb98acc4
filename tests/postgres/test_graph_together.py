"""Several writers of one graph at once: they take turns, and nothing comes back that was forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from keepwell.errors import EntityNotFound, MessageNotFound
from keepwell.formation.graph_edits import AddEntity, ChangeEntity, MergeEntities, Relate
from keepwell.models import Source
from keepwell.models.graph import Mention
from keepwell.storage.base import Forget
from keepwell.storage.graph import ApplyGraph, FindUnmentioned, GraphEdits, ReadEntities
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.testing.conformance.base import ADA, ADAS, say
from keepwell.testing.conformance.graph_base import World, edit, entity, lines, look, names, past

from .test_facts_together import waits


@contextmanager
def beside() -> Iterator[Callable[..., Future[Any]]]:
    """Give a function that runs something in a thread of its own, and wait for it at the end."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def test_merges_against_each_other(
    record: PostgresRecord, connect: Callable[..., psycopg.Connection], admin_dsn: str
) -> None:
    """Of two who merge the same two the other way round, the second sees what the first did: there is no circle."""
    world = World(record)
    first = connect()
    forth = GraphEdits((MergeEntities(world["Max"], world["Zoe"]),))
    record.write(ApplyGraph(ADA, forth, "tests", uuid4()), first)
    with beside() as submit:
        second = submit(edit, record, MergeEntities(world["Zoe"], world["Max"]))
        waits(admin_dsn)
        first.commit()
        assert len(second.result(10)) == 0
    kept = record.read(ReadEntities(ADAS, (world["Max"], world["Zoe"]), resolve=False))
    assert (kept[world["Max"]].merged_into, kept[world["Zoe"]].merged_into) == (world["Zoe"], None)


def test_the_same_relation_twice_at_once(
    record: PostgresRecord, connect: Callable[..., psycopg.Connection], admin_dsn: str
) -> None:
    """Two who say the same of two entities at once make one relation."""
    world = World(record)
    one = Relate(uuid4(), world["Zoe"], "likes", world["Rome"], given=True)
    two = Relate(uuid4(), world["Zoe"], "likes", world["Rome"], given=True)
    first = connect()
    record.write(ApplyGraph(ADA, GraphEdits((one,)), "tests", uuid4()), first)
    with beside() as submit:
        second = submit(edit, record, two)
        waits(admin_dsn)
        first.commit()
        assert len(second.result(10)) == 0
    assert [line.id for line in lines(record) if line.predicate == "likes"] == [one.id]


def test_what_is_forgotten_meanwhile_is_not_named(
    record: PostgresRecord, connect: Callable[..., psycopg.Connection], admin_dsn: str
) -> None:
    """Who looked through a message that is being forgotten waits, and then writes nothing of it."""
    say(record, "Priya met Max")
    (part,) = record.read(FindUnmentioned())
    priya = uuid4()
    mention = Mention(priya, "Priya", 0, 5, part.texts[0].key)
    first = connect()
    record.write(Forget(ADAS, message="Priya met Max"), first)
    with beside() as submit:
        second = submit(look, record, part, AddEntity(priya, "Priya"), mentions=[mention])
        waits(admin_dsn)
        first.commit()
        with pytest.raises(MessageNotFound):
            second.result(10)
    assert names(record) == []
    assert past(record) == ()


def test_what_is_named_meanwhile_is_forgotten(
    record: PostgresRecord, connect: Callable[..., psycopg.Connection], admin_dsn: str
) -> None:
    """Who forgets a message that somebody is resting something on waits for that, and takes it along."""
    say(record, "Priya met Max")
    (part,) = record.read(FindUnmentioned())
    priya, key = uuid4(), part.texts[0].key
    graph = GraphEdits((AddEntity(priya, "Priya", sources=(Source(key),)),), (Mention(priya, "Priya", 0, 5, key),))
    first = connect()
    record.write(ApplyGraph(ADA, graph, "tests", uuid4()), first)
    with beside() as submit:
        second = submit(record.write, Forget(ADAS, message="Priya met Max"))
        waits(admin_dsn)
        first.commit()
        assert second.result(10).counts["mentions"] == 1
    assert names(record) == []
    assert past(record) == ()


def test_a_name_that_no_column_can_hold(record: PostgresRecord) -> None:
    """Names with NUL, lone surrogates and signs of any script are kept, as far as a database can, and found."""
    odd = ("a\x00b", "x\ud800y", "李小龙", "😀", "Ωmega", "'; drop table keepwell.entity; --", "%(tenant)s {schema}")
    for name in odd:
        edit(record, AddEntity(uuid4(), name, given=(name,)))
    assert len(names(record)) == len(odd)
    assert entity(record, "ωMEGA").name == "Ωmega"
    assert entity(record, "李小龙").name == "李小龙"
    with pytest.raises(EntityNotFound):
        edit(record, ChangeEntity(uuid4(), "'"))
