"""Facts as readers hold them in their process, who logs in to read them, and what the counters say."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import psycopg
import pytest

from keepwell.errors import FactChanged, FactNotFound, StoreFailed, ThreadExists
from keepwell.formation.settle import Edit
from keepwell.models import Owner, Scope
from keepwell.storage.base import Forget, LoadScope, MoveThread, OpenSpace, PutVectors, VectorRow, Weigh
from keepwell.storage.facts import FactsWithoutVectors, FetchFacts, ListFacts, ReadHistory, ReadSources, TakeDue
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.testing.conformance.base import ADA, ADAS, BOB, DIMENSION, EVERYONE, found, unit
from keepwell.testing.conformance.facts_base import (
    LEASE,
    add,
    after,
    apply,
    facts_of,
    formed_from,
    remember,
    resting,
    retract,
    said,
    update,
)
from keepwell.testing.conformance.mirror import Mirror

COOK = Owner("ada", "cook", "")


@pytest.fixture
def admin(admin_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection that sees every row."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        yield connection


def counted(admin: psycopg.Connection[Any], tenant: str) -> list[tuple[Any, ...]]:
    """Give what is wrong with the counters of a tenant's owners: those that do not fit its standing facts."""
    return admin.execute(
        "select o.user_id, o.agent_id, o.facts, o.length, f.facts, f.length from keepwell.owner o"
        " left join (select user_id, agent_id, run_id, count(*) as facts,"
        "     sum(cardinality(string_to_array(terms, ' '))) as length"
        "     from keepwell.fact where tenant = %(tenant)s and retired_at is null group by 1, 2, 3) f"
        " using (user_id, agent_id, run_id)"
        " where o.tenant = %(tenant)s"
        " and (o.facts, o.length) is distinct from (coalesce(f.facts, 0), coalesce(f.length, 0))",
        {"tenant": tenant},
    ).fetchall()


def hanging(admin: psycopg.Connection[Any], tenant: str) -> list[tuple[Any, ...]]:
    """Give postings, vectors and due work of facts that do not stand, and standing facts that lack their postings."""
    return admin.execute(
        "with f as (select * from keepwell.fact where tenant = %(tenant)s and retired_at is null)"
        " select 'posting', message::text from keepwell.posting p where tenant = %(tenant)s and message < 0"
        "   and not exists (select 1 from f where f.key = -p.message and f.user_id = p.user_id)"
        " union all select 'vector', message::text from keepwell.vector v where tenant = %(tenant)s and message < 0"
        "   and not exists (select 1 from f where f.key = -v.message and f.agent_id = v.agent_id)"
        " union all select 'due', item from keepwell.due d where tenant = %(tenant)s"
        "   and not exists (select 1 from f where f.id::text = d.item and f.user_id = d.user_id and f.agent_id = d.agent_id)"
        " union all select 'unposted', f.id::text from f where not exists ("
        "   select 1 from keepwell.posting p where p.tenant = %(tenant)s and p.message = -f.key)"
        " union all select 'source', s.fact::text from keepwell.source s where tenant = %(tenant)s and version > 0"
        "   and not exists (select 1 from keepwell.fact f where f.id = s.fact and f.version = s.version)",
        {"tenant": tenant},
    ).fetchall()


@pytest.mark.parametrize("seed", range(4))
def test_readers_and_counters_follow_whatever_is_done(
    seed: int, record: PostgresRecord, admin: psycopg.Connection[Any], tenant: str
) -> None:
    """Through random edits, cascades, moves and forgetting, deltas give what a whole load gives, and nothing hangs on.

    Counters of owners are those of their standing facts.
    """
    chance = random.Random(seed)
    space = record.write(OpenSpace("model", DIMENSION))
    readers = [Mirror(record, scope, space.key) for scope in (ADAS, Scope("ada", "cook"), Scope("bob"), EVERYONE)]
    owners = (ADA, COOK, BOB)
    for turn in range(30):
        _step(record, chance, turn, owners, space.key)
        for reader in readers:
            reader.check()
        assert counted(admin, tenant) == []
        assert hanging(admin, tenant) == []


def _step(record: PostgresRecord, chance: random.Random, turn: int, owners: tuple[Owner, ...], space: int) -> None:
    """Do one random thing."""
    owner = chance.choice(owners)
    standing = facts_of(record, EVERYONE)
    mine = [fact for fact in standing if fact.owner == owner]
    keys = said(record, f"m{turn}", thread=f"t{turn % 3}", owner=owner)
    sources = chance.choice([resting(*keys), formed_from(*chance.sample(standing, min(1, len(standing)))), ()])
    vectors = chance.choice([(), (unit(1, turn),)])
    draft: dict[str, Any] = {"sources": sources, "vectors": vectors, "key": chance.choice([None, f"k{turn % 4}"])}
    match chance.choice(["add", "add", "update", "delete", "embed", "forget", "move"]):
        case "update" if mine:
            apply(record, update(chance.choice(mine), f"words {turn % 7} anew", **draft), owner=owner, space=space)
        case "delete" if mine:
            apply(record, retract(chance.choice(mine)), owner=owner)
        case "embed":
            _embed(record, space)
        case "forget" if mine:
            record.write(Forget(EVERYONE, fact=chance.choice(mine).id, everywhere=chance.choice([True, False])))
        case "move":
            _move(record, f"t{turn % 3}", owner, chance.choice(owners))
        case _:
            apply(record, add(f"words {turn % 7}", **draft), owner=owner, space=space)


def _embed(record: PostgresRecord, space: int) -> None:
    items = record.write(TakeDue(("embed",), LEASE, 100))
    due = record.read(FactsWithoutVectors(space, items))
    record.write(PutVectors(space, tuple(VectorRow(one.key, 0, unit(2), one.version) for one in due)))


def _move(record: PostgresRecord, thread: str, owner: Owner, to: Owner) -> None:
    try:
        record.write(MoveThread(owner, thread, to))
    except ThreadExists:
        record.write(Forget(EVERYONE, found(record, thread, owner).key))


def test_a_vector_that_comes_late_is_not_kept(record: PostgresRecord) -> None:
    """The vector of a version that ended meanwhile is not kept, nor one that was made of another version."""
    space = record.write(OpenSpace("model", DIMENSION))
    fact = remember(record, "first words")
    items = record.write(TakeDue(("embed",), LEASE))
    (due,) = record.read(FactsWithoutVectors(space.key, items))
    apply(record, update(fact, "other words"))
    record.write(PutVectors(space.key, (VectorRow(due.key, 0, unit(1), due.version),)))
    assert len(record.read(LoadScope(ADAS, space.key, None)).vectors.keys) == 0
    (now,) = record.read(FactsWithoutVectors(space.key, items))
    record.write(PutVectors(space.key, (VectorRow(now.key, 0, unit(1), due.version),)))
    assert len(record.read(LoadScope(ADAS, space.key, None)).vectors.keys) == 0
    record.write(PutVectors(space.key, (VectorRow(now.key, 0, unit(1), now.version),)))
    assert record.read(LoadScope(ADAS, space.key, None)).vectors.keys.tolist() == [now.key]


def test_a_failed_batch_leaves_nothing(record: PostgresRecord, admin: psycopg.Connection[Any], tenant: str) -> None:
    """Edits are made together or not at all, and a caller's transaction goes on after those that were refused."""
    fact = remember(record, "kept")
    with pytest.raises(FactChanged):
        apply(record, add("not kept"), update(fact, "neither", version=7))
    assert [one.text for one in facts_of(record)] == ["kept"]
    assert len(record.read(ReadHistory(ADAS))) == 1
    assert counted(admin, tenant) == []


def test_a_callers_transaction_decides(record: PostgresRecord, store: PostgresStore) -> None:
    """What is written on a caller's connection is there for others when the caller commits, and not where it does not."""
    with store.transaction() as connection:
        apply(record, add("joined"), connection=connection)
        assert facts_of(record) == []
        with pytest.raises(FactNotFound):
            apply(record, Edit("DELETE", UUID(int=1)), connection=connection)
        assert connection.execute("select 1").fetchone() == (1,)
    assert [one.text for one in facts_of(record)] == ["joined"]
    with pytest.raises(KeyError), store.transaction() as connection:
        apply(record, add("undone"), connection=connection)
        raise KeyError
    assert [one.text for one in facts_of(record)] == ["joined"]


def test_a_login_that_skips_policies_sees_one_tenant(admin_dsn: str, record: PostgresRecord, tenant: str) -> None:
    """For a superuser, whom no policy binds, the first wall alone keeps facts of tenants apart, in reads and writes."""
    fact = remember(record, "mine")
    with closing(PostgresStore(admin_dsn, options=PoolOptions(1))) as unbound:
        stranger, same = unbound.record(f"{tenant}%"), unbound.record(tenant)
        assert facts_of(stranger, EVERYONE) == []
        assert stranger.read(FetchFacts(EVERYONE, tuple(range(-200, 0)))) == {}
        with pytest.raises(FactNotFound):
            stranger.read(ReadSources(EVERYONE, fact.id))
        with pytest.raises(FactNotFound):
            apply(stranger, retract(fact))
        with pytest.raises(FactNotFound):
            stranger.write(Forget(EVERYONE, fact=fact.id))
        assert after(apply(same, update(fact, "mine still"))[0]).version == 2
        assert stranger.read(Weigh(EVERYONE)).messages == 0


def test_a_fact_of_one_id_may_be_in_two_tenants(store: PostgresStore, record: PostgresRecord, tenant: str) -> None:
    """An import into another tenant keeps ids; each tenant has its own, and forgets its own."""
    other = store.record(f"{tenant}-copy")
    fact = remember(record, "the same")
    apply(other, Edit("ADD", fact.id, add("the same").draft))
    other.write(Forget(ADAS, fact=fact.id))
    assert [one.id for one in facts_of(record)] == [fact.id]
    assert facts_of(other) == []


@pytest.mark.parametrize(
    "words",
    [
        "nul \0 in it",
        "lone \ud800 surrogate",
        "line\nbreak\ttab",
        "back\\slash \\u0000",
        "\"quoted\" 'twice'",
        "é" * 3000,
    ],
)
def test_words_come_back_as_they_were_given(record: PostgresRecord, words: str) -> None:
    """Statements, subjects, kinds, metadata and reasons survive whatever is in them, and can be asked for."""
    given: dict[str, Any] = {"subject": words, "kind": words, "metadata": {"k": words}}
    change = apply(record, add(words, terms="words", reason=words, **given))[0]
    (fact,) = record.read(ListFacts(ADAS, subject=words, kind=words, where={"k": words}))
    assert (fact.text, fact.subject, fact.kind, fact.metadata) == (words, words, words, {"k": words})
    (told,) = record.read(ReadHistory(ADAS))
    assert told == change
    assert told.reason == words


def test_a_key_that_no_index_can_hold_is_refused(record: PostgresRecord) -> None:
    """A key with NUL, or longer than an index entry, is refused by the database in words, and nothing is written."""
    for key in ("nul \0", random.Random(1).randbytes(9000).hex()):
        with pytest.raises((StoreFailed, ValueError)):
            remember(record, "fact", key=key)
    assert facts_of(record) == []
