"""Copying: what a store tells of a tenant, it takes back as it was."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import ClassVar
from uuid import UUID, uuid4

import pytest

from keepwell.errors import ThreadExists, ThreadNotFound
from keepwell.formation.settle import Edit
from keepwell.models import Message, Scope
from keepwell.storage.base import (
    AppendMessages,
    CloneThread,
    DeleteMessages,
    FindDue,
    Forget,
    Forming,
    LoadScope,
    Record,
    UpdateThread,
    Weigh,
)
from keepwell.storage.copying import (
    KeepMessageCopies,
    KeepRejectionCopies,
    KeepSecret,
    KeepThreadCopy,
    MessageCopy,
    ReadMessageCopies,
    ReadRejectionCopies,
    ReadThreadCopies,
    ThreadCopy,
)
from keepwell.storage.facts import (
    ClaimThread,
    FailForming,
    ListRejections,
    ReadFormation,
    ReadSecret,
    SetPolicy,
)
from keepwell.testing.conformance.base import (
    ADA,
    BOB,
    EVERYONE,
    Capability,
    StoreConformance,
    append,
    at,
    found,
    open_space,
    read,
    say,
    seqs,
    texts,
    threads_of,
)
from keepwell.testing.conformance.facts_base import apply, hashed, view_of

LEASE = dt.timedelta(seconds=60)


def threads(record: Record) -> dict[str, ThreadCopy]:
    """Give copies of all threads by id, read one at a time."""
    after: UUID | None = None
    told: dict[str, ThreadCopy] = {}
    while page := record.read(ReadThreadCopies(after, 1)):
        (one,) = page
        told[one.thread.id] = one
        after = one.thread.key
    return told


def messages(record: Record, thread: UUID) -> list[MessageCopy]:
    """Give copies of a thread's messages, read two at a time."""
    told: list[MessageCopy] = []
    after = 0
    while page := record.read(ReadMessageCopies(thread, after, 2)):
        told += page
        after = page[-1].message.seq or 0
    return told


def carried(record: Record) -> tuple[dict[str, ThreadCopy], dict[str, list[MessageCopy]]]:
    """Forget everything, put the copies back, and give them."""
    there = threads(record)
    said = {ident: messages(record, one.thread.key) for ident, one in there.items()}
    record.write(Forget(EVERYONE))
    for ident, one in there.items():
        assert record.write(KeepThreadCopy(one))
        assert record.write(KeepMessageCopies(one.thread.owner, one.thread.key, tuple(said[ident]))) == len(said[ident])
    return there, said


class CopyingConformance(StoreConformance):
    """What a store promises to who carries a tenant to it, or from it."""

    capability: ClassVar[Capability] = "copying"

    def test_threads(self, record: Record, other: Record) -> None:
        """A thread comes back with its key, owner, title, metadata, times, policy, watermark and lineage."""
        say(record, "one", "two")
        record.write(UpdateThread(ADA, "t", "title", {"a": [1, None, 1e22]}))
        record.write(SetPolicy(ADA, {"retention": 7, "never": ["peanuts"]}, "t"))
        record.write(CloneThread(ADA, "t", BOB, "copy", until=1))
        before = threads(record)
        carried(record)
        assert threads(other) == before
        assert (before["t"].policy["retention"], before["copy"].thread.source) == (7, before["copy"].thread.source)
        assert {one.owner for one in threads_of(other, EVERYONE)} == {ADA, BOB}

    def test_messages(self, record: Record, other: Record) -> None:
        """Messages come back whole and under their own numbers, over gaps, with when they were written."""
        odd = Message.assistant("NUL \x00 and \ud800", id="odd", metadata={"k": (1, float("inf"))}, created_at=at(3))
        append(record, Message.user("a", id="a"), odd, Message.user("c", id="c"), Message.user("d", id="d"))
        record.write(DeleteMessages(ADA, "t", ("a", "d")))
        before = read(record)
        _, said = carried(record)
        assert read(other) == before
        assert seqs(before) == [2, 3]
        assert (found(other).last_seq, found(other).message_count) == (4, 2)
        assert messages(other, found(other).key) == said["t"]
        append(other, Message.user("e"))
        assert seqs(read(record)) == [2, 3, 5]

    def test_found_as_before(self, record: Record) -> None:
        """What was carried weighs what it weighed, and is loaded with terms and signals; its vectors are due."""
        space = open_space(record)
        change = AppendMessages(ADA, "t", (Message.user("a b"),), ("a b",), None, ("x",))
        record.write(change)
        weight, rows = record.read(Weigh(EVERYONE)), record.read(LoadScope(EVERYONE, None, None)).messages
        carried(record)
        again = record.read(LoadScope(EVERYONE, None, None)).messages
        assert record.read(Weigh(EVERYONE)) == weight
        assert (again.terms, again.signals, again.actors) == (rows.terms, rows.signals, rows.actors)
        assert again.recorded.tolist() == rows.recorded.tolist()
        assert [due.text for due in record.read(FindDue(space.key, 10)).texts] == ["a b"]

    def test_work_that_is_due(self, record: Record) -> None:
        """What was to be formed is to be formed, what could not be is parked, and what was formed is not any more."""
        texts_ = tuple(Message.user(text, id=text) for text in ("one", "two"))
        record.write(AppendMessages(ADA, "t", texts_, ("one", "two"), forming=Forming(pause=0.0)))
        claim = record.write(ClaimThread(LEASE))
        assert claim is not None
        (number,) = record.read(LoadScope(EVERYONE, None, None)).messages.keys[:1].tolist()
        record.write(FailForming(claim, "why", dt.timedelta(0), (number,)))
        say(record, "formed", thread="quiet")
        quiet = threads(record)["quiet"]
        record.write(KeepThreadCopy(replace(quiet, formed_to=1, due_at=None)))
        carried(record)
        status = record.read(ReadFormation())
        assert (status.due_threads, status.parked) == (1, 1)
        assert record.write(ClaimThread(LEASE, threads(record)["quiet"].thread.key, early=True)) is None

    def test_again(self, record: Record) -> None:
        """What is kept once more changes nothing, and what has come since is added."""
        say(record, "one", "two")
        there, said = carried(record)
        key = there["t"].thread.key
        assert not record.write(KeepThreadCopy(there["t"]))
        assert record.write(KeepMessageCopies(ADA, key, tuple(said["t"]))) == 0
        new = replace(said["t"][0], message=Message.user("three", id="three").model_copy(update={"seq": 3}))
        assert record.write(KeepMessageCopies(ADA, key, (*said["t"], new))) == 1
        assert texts(read(record)) == ["one", "two", "three"]
        assert found(record).last_seq == 3

    def test_taken(self, record: Record) -> None:
        """A thread whose id or key somebody has already is refused, and what is there stays."""
        say(record, "one")
        mine = threads(record)["t"]
        other_key = replace(mine, thread=replace(mine.thread, key=uuid4()))
        other_owner = replace(mine, thread=replace(mine.thread, owner=BOB))
        for one in (other_key, other_owner):
            with pytest.raises(ThreadExists):
                record.write(KeepThreadCopy(one))
        with pytest.raises(ThreadNotFound):
            record.write(KeepMessageCopies(BOB, mine.thread.key, ()))
        assert threads(record) == {"t": mine}

    def test_rejections(self, record: Record, stranger: Record) -> None:
        """Rejections bind under the secret that they were made with; another one is not taken over them."""
        apply(record, Edit("NONE", reject=hashed("tea")), view=view_of(ADA))
        told = record.read(ReadRejectionCopies())
        secret = record.read(ReadSecret())
        assert stranger.write(KeepSecret(secret))
        assert stranger.read(ReadSecret()) == secret
        assert [stranger.write(KeepRejectionCopies(told)) for _ in range(2)] == [1, 0]
        assert [(one.view, one.hash) for one in stranger.read(ReadRejectionCopies())] == [
            (Scope("ada"), *hashed("tea"))
        ]
        assert len(stranger.read(ListRejections(Scope("ada")))) == 1
        assert not stranger.write(KeepSecret(b"another" * 5))
        assert stranger.write(KeepSecret(secret))

    def test_tenants(self, record: Record, stranger: Record) -> None:
        """What is told is the tenant's."""
        say(record, "one")
        apply(record, Edit("NONE", reject=hashed("tea")))
        assert threads(stranger) == {}
        assert stranger.read(ReadMessageCopies(found(record).key)) == ()
        assert stranger.read(ReadRejectionCopies()) == ()
