"""Forgetting: what is forgotten is gone everywhere, and a receipt says what that was."""

from __future__ import annotations

import datetime as dt
import re
from typing import ClassVar
from uuid import uuid4

import pytest

from keepwell.errors import MessageNotFound, ThreadNotFound
from keepwell.models import Message, Owner, Receipt, Scope
from keepwell.storage.base import (
    CloneThread,
    FindCandidates,
    FindDue,
    FindThread,
    FindThreadByKey,
    Forget,
    LoadScope,
    MatchMetadata,
    MoveThread,
    PostTerms,
    ReadStatus,
    Record,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    Capability,
    StoreConformance,
    append,
    around,
    drain,
    fetch,
    found,
    open_space,
    read,
    say,
    seqs,
    texts,
    threads_of,
)

PLACES = (
    "threads", "messages", "versions", "postings", "vectors", "idempotency", "facts", "fact_versions", "changes",
    "sources", "rejections", "due", "model_calls",
)  # fmt: skip


def removed(receipt: Receipt) -> dict[str, int]:
    """Give what a receipt counts, in every place."""
    return {place: receipt.counts.get(place, 0) for place in PLACES}


class ForgettingConformance(StoreConformance):
    """What a store promises about forgetting."""

    capability: ClassVar[Capability] = "forgetting"

    def test_scope_is_gone(self, record: Record, other: Record) -> None:
        """After a scope is forgotten nothing of it is found in any way."""
        space = open_space(record)
        answer = say(record, "one", "two")
        drain(record, space)
        say(record, "three")
        record.write(Forget(ADAS))
        assert other.read(FindThread(ADA, "t")) is None
        assert other.read(FindThreadByKey(ADAS, answer.thread)) is None
        assert threads_of(other, ADAS) == ()
        assert read(other) == []
        assert around(other, "one") == []
        loaded = other.read(LoadScope(ADAS, space.key, None))
        assert (loaded.messages.keys.size, loaded.vectors.keys.size) == (0, 0)
        candidates = other.read(FindCandidates(ADAS, space.key, None, ("one",), 10))
        assert (candidates.messages.keys.size, candidates.statistics.messages) == (0, 0)
        assert other.read(MatchMetadata(ADAS, {})).size == 0
        assert fetch(other, ADAS, *answer.written) == {}
        assert other.read(FindDue(space.key, 10)).texts == ()

    def test_scope_in_the_status(self, record: Record) -> None:
        """After everything is forgotten the status counts nothing."""
        space = open_space(record)
        say(record, "one")
        drain(record, space)
        say(record, "two")
        record.write(Forget(ADAS))
        status = record.read(ReadStatus())
        assert (status.owners, status.threads, status.messages, status.vectors, status.due) == (0, 0, 0, 0, 0)

    def test_receipt(self, record: Record) -> None:
        """The receipt counts what was removed in each place, and says when."""
        space = open_space(record)
        append(record, Message.user("a b a", id="m"), key="k")
        append(record, Message.user("b c", id="n"))
        append(record, Message.user("c", id="m"))
        say(record, "d", thread="other")
        drain(record, space)
        record.write(PostTerms(limit=100))
        before = dt.datetime.now(dt.UTC)
        receipt = record.write(Forget(ADAS))
        assert removed(receipt) == dict.fromkeys(PLACES, 0) | {
            "threads": 2,
            "messages": 3,
            "versions": 1,
            "postings": 4,
            "vectors": 3,
            "idempotency": 1,
        }
        assert abs(receipt.at - before) < dt.timedelta(minutes=1)

    def test_digest(self, record: Record) -> None:
        """Each receipt has a hash of its own."""
        say(record, "one")
        receipts = [record.write(Forget(ADAS)), record.write(Forget(ADAS))]
        assert all(re.fullmatch("[0-9a-f]{64}", receipt.digest) for receipt in receipts)
        assert receipts[0].digest != receipts[1].digest

    def test_nothing_to_forget(self, record: Record) -> None:
        """Forgetting where nothing is left gives a receipt of zeros, so it may be repeated."""
        assert removed(record.write(Forget(Scope("nobody")))) == dict.fromkeys(PLACES, 0)

    def test_others_stay(self, record: Record) -> None:
        """Forgetting a scope leaves everybody else's memory as it was."""
        space = open_space(record)
        say(record, "mine")
        say(record, "his", owner=BOB)
        drain(record, space)
        before = found(record, owner=BOB), read(record, owner=BOB)
        record.write(Forget(ADAS))
        assert (found(record, owner=BOB), read(record, owner=BOB)) == before
        status = record.read(ReadStatus())
        assert (status.messages, status.vectors) == (1, 1)

    def test_a_narrow_scope(self, record: Record) -> None:
        """Forgetting a person's agent leaves what the person said elsewhere."""
        say(record, "mine")
        say(record, "cooks", owner=Owner("ada", "cook", ""))
        record.write(Forget(Scope("ada", "cook")))
        assert texts(read(record)) == ["mine"]
        assert read(record, owner=Owner("ada", "cook", "")) == []

    def test_thread(self, record: Record) -> None:
        """Forgetting a thread removes it with its messages and leaves the others."""
        space = open_space(record)
        say(record, "one", "two")
        say(record, "stays", thread="other")
        drain(record, space)
        record.write(PostTerms(limit=100))
        receipt = record.write(Forget(ADAS, found(record).key))
        assert removed(receipt) == dict.fromkeys(PLACES, 0) | {
            "threads": 1,
            "messages": 2,
            "postings": 2,
            "vectors": 2,
        }
        assert [thread.id for thread in threads_of(record, ADAS)] == ["other"]
        assert record.read(LoadScope(ADAS, space.key, None)).messages.terms == ("stays",)

    def test_thread_with_its_keys(self, record: Record) -> None:
        """With a thread go the idempotency keys of its appends; the same append then says it anew."""
        message = Message.user("one")
        append(record, message, key="k")
        append(record, Message.user("stays"), key="other", thread="other")
        receipt = record.write(Forget(ADAS, found(record).key))
        assert receipt.counts["idempotency"] == 1
        append(record, message, key="k")
        assert texts(read(record)) == ["one"]

    def test_thread_begins_anew(self, record: Record) -> None:
        """A forgotten thread that is written to again is a new thread."""
        old = say(record, "one", "two").thread
        record.write(Forget(ADAS, old))
        new = say(record, "three")
        assert new.thread != old
        assert seqs(read(record)) == [1]

    def test_unknown_thread(self, record: Record) -> None:
        """A thread that is not there cannot be forgotten; nothing else goes."""
        say(record, "one")
        with pytest.raises(ThreadNotFound):
            record.write(Forget(ADAS, uuid4()))
        assert texts(read(record)) == ["one"]

    def test_message(self, record: Record) -> None:
        """Forgetting a message removes it with all its versions and its vector; the thread stays."""
        space = open_space(record)
        say(record, "one", "two", "three")
        append(record, Message.user("TWO 2", id="two"))
        drain(record, space)
        record.write(PostTerms(limit=100))
        receipt = record.write(Forget(ADAS, found(record).key, "two"))
        assert removed(receipt) == dict.fromkeys(PLACES, 0) | {
            "messages": 1,
            "versions": 1,
            "postings": 2,
            "vectors": 1,
        }
        assert [(message.text, message.seq) for message in read(record)] == [("one", 1), ("three", 3)]
        assert (found(record).message_count, found(record).last_seq) == (2, 3)

    def test_message_is_gone_from_recall(self, record: Record) -> None:
        """A forgotten message is found by no word of any of its versions."""
        answer = say(record, "secret", "other")
        record.write(PostTerms(limit=100))
        append(record, Message.user("public", id="secret"))
        record.write(Forget(ADAS, answer.thread, "secret"))
        candidates = record.read(FindCandidates(ADAS, None, None, ("secret", "public"), 10))
        assert candidates.messages.terms == ("other",)
        assert (candidates.statistics.length, dict(candidates.statistics.frequencies)) == (1, {})

    @pytest.mark.parametrize("message", ["never", "elsewhere"])
    def test_unknown_message(self, record: Record, message: str) -> None:
        """A message that this thread does not have cannot be forgotten; nothing else goes."""
        key = say(record, "one").thread
        say(record, "elsewhere", thread="other")
        with pytest.raises(MessageNotFound):
            record.write(Forget(ADAS, key, message))
        assert (texts(read(record)), texts(read(record, "other"))) == (["one"], ["elsewhere"])

    def test_clones_stay(self, record: Record) -> None:
        """A clone is a memory of its own: it stays where its source is forgotten."""
        key = say(record, "one").thread
        record.write(CloneThread(ADA, "t", ADA, "copy"))
        record.write(Forget(ADAS, key))
        assert texts(read(record, "copy")) == ["one"]

    def test_moved_goes_with_its_owner(self, record: Record) -> None:
        """A moved thread is forgotten with its new owner, with its versions, and not with the old one."""
        say(record, "one")
        append(record, Message.user("ONE", id="one"))
        record.write(MoveThread(ADA, "t", BOB))
        assert removed(record.write(Forget(ADAS)))["versions"] == 0
        assert texts(read(record, owner=BOB)) == ["ONE"]
        counts = removed(record.write(Forget(Scope("bob"))))
        assert (counts["threads"], counts["messages"], counts["versions"]) == (1, 1, 1)
