"""Watermarks: when a thread is due, what of it is to be formed, and what became of what could not be."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import psycopg
import pytest

from keepwell import Message
from keepwell.errors import ThreadNotFound
from keepwell.models import Scope
from keepwell.storage.base import AppendMessages, DeleteMessages, Forming, ReplaceMessage
from keepwell.storage.facts import (
    ClaimThread,
    FailForming,
    ListParked,
    ModelCall,
    ReadFormation,
    ReadSpent,
    ReadUnformed,
    RetryParked,
    SetPolicy,
)
from keepwell.storage.postgres.record import PostgresRecord

from .forming_work import (
    ADA,
    AT_ONCE,
    BOB,
    MINUTE,
    NEVER,
    NO_TIME,
    append,
    change,
    claim,
    finish,
    form,
    row,
    texts,
    unclaimed,
)

LATER = Forming(pause=30.0, every=4)


def anew(record: PostgresRecord, ident: str, text: str) -> None:
    """Replace a message."""
    record.write(ReplaceMessage(ADA, "t", Message.user(text, id=ident), text))


def test_a_thread_is_due_after_a_pause(record: PostgresRecord, admin_dsn: str) -> None:
    """Each message puts the thread off until nobody has said anything for the pause."""
    append(record, "a", forming=LATER)
    first = row(admin_dsn, record)
    assert 29 < first["due_in"] <= 30
    assert unclaimed(record)
    append(record, "b", forming=LATER)
    second = row(admin_dsn, record)
    assert second["due_at"] > first["due_at"]
    assert second["due_from"] == first["due_from"]


def test_many_messages_end_the_pause(record: PostgresRecord, admin_dsn: str) -> None:
    """When so many messages wait, the thread is due at once, and stays so."""
    append(record, "a", "b", "c", forming=LATER)
    assert unclaimed(record)
    append(record, "d", forming=LATER)
    due = row(admin_dsn, record)["due_at"]
    append(record, "e", forming=LATER)
    assert row(admin_dsn, record)["due_at"] == due
    assert texts(record, claim(record)) == ["a", "b", "c", "d", "e"]
    append(record, "a", "b", "c", "d", owner=BOB, forming=LATER)
    assert claim(record).owner == BOB


def test_what_is_never_formed(record: PostgresRecord, admin_dsn: str) -> None:
    """Messages that are not to be formed are passed by, also when they are replaced; not those that waited before."""
    append(record, "a", forming=NEVER)
    assert row(admin_dsn, record)["formed_to"] == 1
    append(record, "b", forming=NEVER)
    again = Message.user("b anew", id="b")
    record.write(AppendMessages(ADA, "t", (again,), ("b",), forming=NEVER))
    found = row(admin_dsn, record)
    assert (found["formed_to"], found["due_at"], found["due_from"]) == (2, None, None)
    append(record, "c", forming=AT_ONCE)
    append(record, "d", forming=NEVER)
    assert texts(record, claim(record)) == ["c", "d"]


def test_appends_to_a_thread_that_is_due_touch_no_index(record: PostgresRecord, dsn: str) -> None:
    """Only the first message of a pause writes to the indexes of threads; the ones after it are heap-only updates."""
    append(record, "a", forming=LATER)
    form_early(record)
    with psycopg.connect(dsn) as connection:
        for number in range(3):
            message = Message.user("x", id=f"x{number}")
            record.write(AppendMessages(ADA, "t", (message,), ("x",), forming=LATER), connection)
        updates = connection.execute(
            "select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables where relid = 'keepwell.thread'::regclass"
        ).fetchone()
    assert updates == (3, 2)


def form_early(record: PostgresRecord) -> None:
    """Form what is in its pause."""
    finish(record, claim(record, early=True))


def test_who_said_it_is_kept(record: PostgresRecord, admin_dsn: str) -> None:
    """A message's row has who speaks, by name or role, and its signals, however it was written."""
    said = (
        Message.user("a", id="a"),
        Message.user("b", id="b", name="Zoë\nK\x00 \ud800"),
        Message.assistant("c", id="c"),
    )
    record.write(AppendMessages(ADA, "t", said[:1], ("a",), signals=("day:1",)))
    record.write(AppendMessages(ADA, "t", said[1:], ("b", "c"), signals=("", "day:2")))

    def kept() -> list[tuple[str, str]]:
        with psycopg.connect(admin_dsn) as admin:
            return admin.execute(
                "select actor, signals from keepwell.message where tenant = %s order by seq", [record._walls.tenant]
            ).fetchall()

    assert kept() == [("user", "day:1"), ("Zoë K\ufffd ?", ""), ("assistant", "day:2")]
    record.write(ReplaceMessage(ADA, "t", Message.user("d", id="a", name="Ada"), "d", "day:3"))
    assert kept()[0] == ("Ada", "day:3")


def test_a_formed_message_that_is_replaced_is_formed_again(record: PostgresRecord) -> None:
    """What the watermark has passed is due again when it says something else; the rest of the thread is not."""
    append(record, "a", "b", "c")
    form(record)
    anew(record, "b", "b anew")
    claimed = claim(record)
    read = record.read(ReadUnformed(claimed, 20))
    assert [message.text for _, message in read.messages] == ["b anew"]
    assert read.again == {number for number, _ in read.messages}
    assert [message.text for message in read.before] == ["a"]
    finish(record, claimed, again=tuple(read.again))
    assert unclaimed(record)


def test_a_waiting_message_that_is_replaced_is_formed_once(record: PostgresRecord) -> None:
    """What is to be formed anyway is not marked; as it is now it is formed."""
    append(record, "a", "b")
    anew(record, "a", "a anew")
    claimed = claim(record)
    assert texts(record, claimed) == ["a anew", "b"]
    assert record.read(ReadUnformed(claimed, 20)).again == frozenset()
    finish(record, claimed)
    assert unclaimed(record)


@pytest.mark.parametrize("formed", [False, True])
def test_what_is_replaced_while_it_is_formed_is_formed_again(record: PostgresRecord, formed: bool) -> None:
    """A message that changes between read and apply is formed as it is now, though the apply names it."""
    append(record, "a", "b")
    if formed:
        form(record)
        anew(record, "a", "a second")
    claimed = claim(record)
    read = record.read(ReadUnformed(claimed, 20))
    anew(record, "a", "a last")
    finish(record, claimed, again=tuple(read.again))
    claimed = claim(record)
    assert texts(record, claimed) == ["a last"]
    finish(record, claimed, again=tuple(record.read(ReadUnformed(claimed, 20)).again))
    assert unclaimed(record)


def test_a_thread_is_formed_part_by_part(record: PostgresRecord) -> None:
    """Each part begins where the one before ended, with what was said right before it; gaps make no difference."""
    append(record, *[f"m{number:03}" for number in range(300)])
    record.write(DeleteMessages(ADA, "t", tuple(f"m{number:03}" for number in range(10, 280))))
    claimed = claim(record)
    seen: list[str] = []
    while (read := record.read(ReadUnformed(claimed, 4, before=2))).messages:
        assert [message.text for message in read.before] == seen[-2:] or read.messages[0][1].seq == 281
        seen += [message.text for _, message in read.messages]
        upto = read.messages[-1][1].seq
        assert upto is not None
        finish(record, claimed, upto, finish=False)
        claimed = replace(claimed, formed_to=upto)
    assert seen == [f"m{number:03}" for number in (*range(10), *range(280, 300))]
    finish(record, claimed)
    assert unclaimed(record)


def test_a_part_leaves_the_rest_due(record: PostgresRecord) -> None:
    """Who finishes before the end of a thread leaves what is left to be claimed at once."""
    append(record, "a", "b")
    finish(record, claim(record), 1)
    assert texts(record, claim(record)) == ["b"]


def test_a_failure_is_waited_for(record: PostgresRecord, admin_dsn: str) -> None:
    """After a failure the thread keeps the error and waits, early or not, and though messages come."""
    append(record, "a")
    record.write(FailForming(claim(record), "no\x00 answer", MINUTE, calls=(ModelCall("m", "extract", 7, 3, 0.5),)))
    append(record, "b")
    found = row(admin_dsn, record)
    assert (found["form_attempts"], found["form_error"]) == (1, "no\ufffd answer")
    assert 50 < found["due_in"] <= 60
    assert unclaimed(record, early=True)
    change(admin_dsn, "update keepwell.thread set due_at = now(), due_from = now() where id = 't' and tenant = %s",
           record._walls.tenant)  # fmt: skip
    claimed = claim(record)
    assert claimed.attempts == 1
    assert record.read(ReadFormation()).failing == 1
    finish(record, claimed)
    found = row(admin_dsn, record)
    assert (found["form_attempts"], found["form_error"], found["due_at"]) == (0, None, None)
    (spent,) = record.read(ReadSpent(dt.datetime.now(dt.UTC) - MINUTE))
    assert (spent.owner, spent.calls, spent.input_tokens, spent.output_tokens) == (ADA, 1, 7, 3)


def test_a_failure_of_a_lost_claim_changes_nothing(record: PostgresRecord, admin_dsn: str) -> None:
    """Where another worker has taken over, a failure is only counted as what it cost."""
    append(record, "a")
    first = claim(record, NO_TIME)
    claim(record)
    record.write(FailForming(first, "why", MINUTE, park=(1,), calls=(ModelCall("m", "extract", 7, 3, 0.5),)))
    assert row(admin_dsn, record)["form_attempts"] == 0
    assert unclaimed(record)
    assert len(record.read(ReadSpent(dt.datetime.now(dt.UTC) - MINUTE))) == 1


def test_parked_messages_are_left_out(record: PostgresRecord, admin_dsn: str) -> None:
    """A message at fault is put aside with its error, is no context of others, and the rest goes on."""
    append(record, "a", "bad", "c")
    claimed = claim(record)
    numbers = {message.text: number for number, message in record.read(ReadUnformed(claimed, 20)).messages}
    record.write(FailForming(claimed, "not of the schema", NO_TIME, park=(numbers["bad"],)))
    claimed = claim(record)
    assert (claimed.attempts, texts(record, claimed)) == (0, ["a", "c"])
    finish(record, claimed)
    append(record, "d")
    claimed = claim(record)
    assert [message.text for message in record.read(ReadUnformed(claimed, 20)).before] == ["a", "c"]
    finish(record, claimed)
    (parked,) = record.read(ListParked())
    assert (parked.thread, parked.thread_id, parked.message) == (claimed.thread, "t", "bad")
    assert (parked.owner, parked.error) == (ADA, "not of the schema")
    assert record.read(ListParked(Scope("ada"))) == (parked,)
    assert record.read(ListParked(Scope("bob"))) == ()
    assert record.read(ReadFormation()).parked == 1
    assert row(admin_dsn, record)["due_at"] is None


def test_parked_messages_are_tried_again(record: PostgresRecord) -> None:
    """A retry brings parked messages back, of a scope or of all, and ends every wait after a failure."""
    for owner in (ADA, BOB):
        append(record, "bad", owner=owner)
        claimed = claim(record)
        ((number, _),) = record.read(ReadUnformed(claimed, 20)).messages
        record.write(FailForming(claimed, "why", MINUTE, park=(number,)))
        assert unclaimed(record)
    append(record, "slow", thread="waiting")
    record.write(FailForming(claim(record), "no answer", MINUTE))
    assert record.write(RetryParked(Scope("bob"))) == 1
    claimed = claim(record)
    assert (claimed.owner, texts(record, claimed)) == (BOB, ["bad"])
    finish(record, claimed, again=tuple(record.read(ReadUnformed(claimed, 20)).again))
    assert unclaimed(record)
    assert record.write(RetryParked()) == 1
    assert {form(record).thread_id for _ in range(2)} == {"t", "waiting"}
    assert record.read(ReadFormation()).parked == 0
    assert unclaimed(record, early=True)


def test_a_parked_message_that_is_replaced_is_formed(record: PostgresRecord) -> None:
    """What could not be formed is tried again when it says something else."""
    append(record, "bad")
    claimed = claim(record)
    ((number, _),) = record.read(ReadUnformed(claimed, 20)).messages
    record.write(FailForming(claimed, "why", MINUTE, park=(number,)))
    assert unclaimed(record)
    anew(record, "bad", "good")
    assert texts(record, claim(record)) == ["good"]


def test_policies(record: PostgresRecord) -> None:
    """A policy is merged key by key, for an owner or one of its threads, and a claim has both, the thread's on top."""
    append(record, "a")
    assert record.write(SetPolicy(ADA, {"retention": 30, "never": ["a\x00b"]})) == {
        "retention": 30,
        "never": ["a\x00b"],
    }
    assert record.write(SetPolicy(ADA, {"retention": None, "calls_per_day": 5})) == {
        "never": ["a\x00b"],
        "calls_per_day": 5,
    }
    assert record.write(SetPolicy(ADA, {"calls_per_day": 1}, "t")) == {"calls_per_day": 1}
    with pytest.raises(ThreadNotFound):
        record.write(SetPolicy(ADA, {}, "none"))
    assert claim(record).policy == {"never": ["a\x00b"], "calls_per_day": 1}


def test_joining_a_transaction(record: PostgresRecord, dsn: str) -> None:
    """A claim that a caller's transaction makes is gone when that is undone."""
    append(record, "a")
    with psycopg.connect(dsn) as connection:
        assert record.write(ClaimThread(MINUTE), connection) is not None
        connection.rollback()
    assert claim(record).lease == 1
