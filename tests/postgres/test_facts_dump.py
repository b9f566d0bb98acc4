"""What was forgotten is nowhere in the database: every table is written out as text and looked through."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from keepwell.formation.settle import Edit
from keepwell.models import Message, Owner, Scope
from keepwell.storage.base import (
    AppendMessages,
    DeleteMessages,
    Forget,
    MoveThread,
    OpenSpace,
    PostTerms,
    PutVectors,
    ReplaceMessage,
    VectorRow,
)
from keepwell.storage.facts import ApplyEdits, DueItem, FailForming, MessageKeys, ModelCall, PutDue, Remains, SetPolicy
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.testing.conformance.base import ADA, ADAS, DIMENSION, terms_of, unit
from keepwell.testing.conformance.facts_base import (
    add,
    after,
    apply,
    claim,
    draft,
    facts_of,
    formed_from,
    hashed,
    resting,
    statements,
    update,
)

from .catalogs import tables_of_tenants

DISTIL = Owner("ada", "distil", "")
SECRET = "marzipan"
PLAIN = "rhubarb"


@pytest.fixture
def admin(admin_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection that sees every row."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def told(record: PostgresRecord) -> dict[str, UUID]:
    """Give a tenant two conversations of ada's and facts of two owners that all speak of one word, or of another.

    The answer has the threads' keys and, under the words, a fact of each.
    """
    space = record.write(OpenSpace("model", DIMENSION))
    keys: dict[str, UUID] = {}
    for word in (SECRET, PLAIN):
        keys[f"{word} thread"] = _tell(record, word, space.key)
        keys[word] = _learn(record, word, keys[f"{word} thread"], space.key)
    record.write(PostTerms(limit=10))
    return keys


def _tell(record: PostgresRecord, word: str, space: int) -> UUID:
    messages = tuple(
        Message.user(f"I like {word} {n}", id=f"m{n}", name=f"Ada {word}", metadata={"of": word}) for n in range(3)
    )
    change = AppendMessages(ADA, word, messages, tuple(map(terms_of, messages)), word, (word,) * 3)
    done = record.write(change)
    anew = Message.user(f"I like {word} anew", id="m1")
    record.write(ReplaceMessage(ADA, word, anew, terms_of(anew), word))
    record.write(PutVectors(space, tuple(VectorRow(key, 0, unit(1)) for key in done.written)))
    return done.thread


def _learn(record: PostgresRecord, word: str, thread: UUID, space: int) -> UUID:
    """Write facts as a worker, a person and a later round would: in versions, with reasons, decisions and a rejection."""
    numbers = record.read(MessageKeys(ADAS, tuple((thread, f"m{n}") for n in range(3))))
    first, second, third = (numbers[thread, f"m{n}"] for n in range(3))
    given: dict[str, Any] = {"subject": f"Ada {word}", "metadata": {"of": word}, "sources": resting(first)}
    fact = after(
        apply(
            record,
            add(f"Ada likes {word}", reason=f"she said {word}", key=word, vectors=(unit(1),), **given),
            space=space,
        )[0]
    )
    apply(
        record,
        update(
            fact, f"Ada loves {word}", reason=f"{word} again", reject=hashed(f"Ada likes {word}"), key=word, **given
        ),
    )
    for kind, source in (("NONE", second), ("DELETE", third)):
        other = after(apply(record, add(f"{kind} {word}", sources=resting(first)))[0])
        told = draft("nothing", sources=resting(source))
        record.write(_decision(Edit(kind, other.id, told, reason=f"{kind} for {word}")))  # type: ignore[arg-type]  # one of them
    record.write(_decision(Edit("NONE", None, draft("nothing", sources=resting(second)), reason=f"nothing in {word}")))
    (now,) = facts_of(record, ids=(fact.id,))
    apply(record, add(f"Ada always liked {word}", sources=formed_from(now), reason=word), owner=DISTIL)
    record.write(PutDue((DueItem("reform", ADA, str(fact.id)),)))
    return fact.id


def _decision(edit: Edit) -> ApplyEdits:
    return ApplyEdits(ADA, (edit,), "formation", UUID(int=1), ADAS, calls=(ModelCall("model", "extract", 1, 1, 0.1),))


def dumped(admin: psycopg.Connection[Any], tenant: str) -> dict[str, str]:
    """Give all rows of a tenant as text, table by table, JSON with its escapes resolved."""
    return {
        table: "\n".join(
            row for (row,) in admin.execute(f"select r::text from keepwell.{table} r where tenant = %s", [tenant])
        )
        for table in tables_of_tenants(admin, "keepwell")
    }


def holding(admin: psycopg.Connection[Any], tenant: str, word: str) -> list[str]:
    """Give the tables in which a word is found."""
    return [table for table, text in dumped(admin, tenant).items() if word in text]


EVERYWHERE = ["change", "fact", "message", "posting", "request", "thread", "version"]
"""Where the words are that the tests look for, before."""


def test_the_dump_finds_what_is_there(
    record: PostgresRecord, admin: psycopg.Connection[Any], tenant: str, told: dict[str, UUID]
) -> None:
    """Before anything is forgotten the word is found in every table that holds words."""
    assert told
    assert holding(admin, tenant, SECRET) == EVERYWHERE
    assert holding(admin, tenant, PLAIN) == EVERYWHERE
    assert any(record.read(Remains(ADAS)).values())


def test_a_forgotten_scope_is_nowhere(
    record: PostgresRecord, admin: psycopg.Connection[Any], tenant: str, told: dict[str, UUID]
) -> None:
    """After forgetting a scope none of its words is in any table, nor is a row of its owners, but marks of removals."""
    record.write(SetPolicy(ADA, {"never": f"{SECRET} and {PLAIN}"}))
    record.write(SetPolicy(ADA, {"instructions": SECRET}, SECRET))
    taken = claim(record, told[f"{SECRET} thread"], early=True)
    record.write(FailForming(taken, f"could not read {SECRET}", dt.timedelta(1)))
    counts = record.write(Forget(ADAS)).counts
    other = {"versions", "idempotency", "checkpoints", "entities", "relations", "mentions", "graph_changes"}
    assert min(value for place, value in counts.items() if place not in other) >= 1, counts
    assert holding(admin, tenant, SECRET) == holding(admin, tenant, PLAIN) == []
    left = {table for table, text in dumped(admin, tenant).items() if text}
    assert left <= {"removal", "space", "secret", "lag"}
    assert set(record.read(Remains(ADAS)).values()) == {0}


@pytest.mark.parametrize("way", ["thread", "messages", "deleted", "facts"])
def test_a_forgotten_thread_is_nowhere(
    way: str, record: PostgresRecord, admin: psycopg.Connection[Any], tenant: str, told: dict[str, UUID]
) -> None:
    """By thread, message by message or by its facts everywhere: what was said and learned of it is gone, the rest stays."""
    thread = told[f"{SECRET} thread"]
    before = len(facts_of(record, versions=True))
    if way == "thread":
        record.write(Forget(ADAS, thread))
    elif way == "messages":
        for n in range(3):
            record.write(Forget(ADAS, thread, f"m{n}"))
        record.write(Forget(ADAS, thread))
    elif way == "deleted":
        assert record.write(DeleteMessages(ADA, SECRET, ("m0", "m1", "m2"))) == 3
        record.write(Forget(ADAS, thread))
    else:
        for fact in [fact for fact in facts_of(record, versions=True) if SECRET in fact.text]:
            if facts_of(record, ids=(fact.id,), versions=True):
                record.write(Forget(ADAS, fact=fact.id, everywhere=True))
        record.write(Forget(ADAS, thread))
    assert holding(admin, tenant, SECRET) == []
    assert holding(admin, tenant, PLAIN) == EVERYWHERE
    assert len(facts_of(record, versions=True)) == before // 2
    assert set(record.read(Remains(ADAS, thread)).values()) == {0}


def test_a_forgotten_message_takes_what_was_learned_of_it(
    record: PostgresRecord, admin: psycopg.Connection[Any], tenant: str, told: dict[str, UUID]
) -> None:
    """What rested on one message goes in every version, with its history; the messages beside it stay and are due."""
    thread = told[f"{SECRET} thread"]
    counts = record.write(Forget(ADAS, thread, "m0")).counts
    assert (counts["facts"], counts["fact_versions"]) == (4, 5)
    assert not [text for text in statements(record, versions=True) if SECRET in text]
    text = dumped(admin, tenant)
    assert SECRET not in text["fact"]
    assert text["change"].count(SECRET) == 1  # the decision that another message led to
    record.write(Forget(ADAS, thread, "m1"))
    assert SECRET not in dumped(admin, tenant)["change"]


def test_a_forgotten_fact_is_in_what_was_said_alone(
    record: PostgresRecord, admin: psycopg.Connection[Any], tenant: str, told: dict[str, UUID]
) -> None:
    """Forgetting a fact takes its versions, history, vectors and what was formed from it; the messages stay."""
    record.write(Forget(ADAS, fact=told[SECRET], reject=(b"never",)))
    for text in dumped(admin, tenant).values():
        assert f"Ada likes {SECRET}" not in text
        assert f"Ada loves {SECRET}" not in text
        assert f"always liked {SECRET}" not in text
        assert f"{SECRET} again" not in text
    assert holding(admin, tenant, "I like marzipan") == ["message", "version"]
    assert set(record.read(Remains(ADAS, fact=told[SECRET])).values()) == {0}


def test_a_moved_thread_is_forgotten_with_its_new_owner(
    record: PostgresRecord, admin: psycopg.Connection[Any], tenant: str, told: dict[str, UUID]
) -> None:
    """What was learned of a thread that went to another owner goes when that owner is forgotten."""
    bob = Owner("bob", "", "")
    record.write(MoveThread(ADA, SECRET, bob))
    assert any(SECRET in text for text in statements(record, Scope("bob")))
    record.write(Forget(Scope("bob")))
    assert not [text for text in statements(record, versions=True) if SECRET in text and "always" not in text]
    assert f"loves {SECRET}" not in str(dumped(admin, tenant))
    assert told
