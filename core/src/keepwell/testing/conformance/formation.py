"""The queue of formation: what is due, who has claimed it, and what becomes of it."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from typing import ClassVar
from uuid import uuid4

import pytest

from keepwell.errors import FactChanged, LeaseLost
from keepwell.formation.settle import Edit
from keepwell.models import Message
from keepwell.storage.base import DeleteMessages, Forget, Forming, MoveThread, Record, Store
from keepwell.storage.facts import (
    ClaimThread,
    FindForming,
    Formed,
    ModelCall,
    ReadFormation,
    ReadSpent,
    SetPolicy,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    EVERYONE,
    Capability,
    StoreConformance,
    append,
    at,
    say,
)
from keepwell.testing.conformance.facts_base import (
    COOK,
    LEASE,
    add,
    apply,
    claim,
    facts_of,
    hashed,
    resting,
    retract,
    statements,
    tell,
    unformed,
    words,
)

NEVER = Forming(pause=None)
LATER = Forming(pause=3600.0)
SHORT = dt.timedelta(milliseconds=60)
SOON = dt.timedelta(0)
CALL = ModelCall("model", "extract", 10, 5, 0.5)


class Interrupted(Exception):
    """What a caller's block ends with."""


class FormationConformance(StoreConformance):
    """What a store promises about the queue of formation."""

    capability: ClassVar[Capability] = "formation"

    # --- what is due

    def test_nothing(self, record: Record) -> None:
        """Where nothing was said, nothing is due."""
        assert record.write(ClaimThread(LEASE, early=True)) is None
        assert record.read(FindForming(early=True)) == ()

    def test_pause(self, record: Record) -> None:
        """What was said is due after a pause; early, it may be taken before."""
        key = tell(record, "one", forming=LATER)
        assert record.write(ClaimThread(LEASE)) is None
        assert record.read(FindForming()) == ()
        assert record.read(FindForming(early=True)) == (key,)
        assert claim(record, early=True).thread == key

    def test_pause_is_over(self, record: Record) -> None:
        """When the pause is over the thread is due."""
        key = tell(record, "one", forming=Forming(pause=0.05))
        time.sleep(0.1)
        assert record.read(FindForming()) == (key,)
        assert claim(record).thread == key

    def test_pause_begins_anew(self, record: Record) -> None:
        """Whoever goes on speaking is not interrupted: each message begins the pause anew."""
        tell(record, "one")
        tell(record, "two", forming=LATER)
        assert record.write(ClaimThread(LEASE)) is None

    def test_every(self, record: Record) -> None:
        """So many messages that are not formed end the pause."""
        often = Forming(pause=3600.0, every=3)
        tell(record, "one", "two", forming=often)
        assert record.write(ClaimThread(LEASE)) is None
        tell(record, "three", forming=often)
        taken = claim(record)
        apply(record, formed=Formed(taken, 3))
        tell(record, "four", "five", forming=often)
        assert record.write(ClaimThread(LEASE)) is None

    def test_never(self, record: Record) -> None:
        """What is never to be formed is passed by; what comes after it is formed alone."""
        tell(record, "secret", forming=NEVER)
        assert record.write(ClaimThread(LEASE, early=True)) is None
        tell(record, "one")
        assert words(unformed(record, claim(record))) == ["one"]

    def test_never_behind_what_waits(self, record: Record) -> None:
        """What is never to be formed passes nothing by that waits before it."""
        tell(record, "one")
        tell(record, "secret", forming=NEVER)
        assert "one" in words(unformed(record, claim(record)))

    def test_said_twice(self, record: Record) -> None:
        """A message that is there already makes nothing due."""
        tell(record, "one")
        apply(record, formed=Formed(claim(record), 1))
        tell(record, "one")
        assert record.write(ClaimThread(LEASE, early=True)) is None

    def test_longest_waiting_first(self, record: Record) -> None:
        """The thread that has waited longest comes first."""
        keys = [
            tell(record, "one", thread=thread, owner=owner) for thread, owner in (("a", ADA), ("b", BOB), ("c", COOK))
        ]
        assert record.read(FindForming()) == tuple(keys)
        assert record.read(FindForming(limit=2)) == tuple(keys[:2])
        assert [claim(record).thread for _ in keys] == keys

    def test_one_thread(self, record: Record) -> None:
        """A thread may be asked for by its key; one that is not due, or not there, gives nothing."""
        tell(record, "one", thread="a")
        key = tell(record, "one", thread="b", owner=BOB)
        quiet = say(record, "quiet", thread="c").thread
        assert record.write(ClaimThread(LEASE, uuid4())) is None
        assert record.write(ClaimThread(LEASE, quiet)) is None
        assert claim(record, key).thread == key

    def test_deleted(self, record: Record) -> None:
        """A thread whose messages were deleted before they were formed has nothing to form."""
        tell(record, "one")
        record.write(DeleteMessages(ADA, "t", ("one",)))
        assert record.write(ClaimThread(LEASE)) is None

    # --- claims

    def test_claim(self, record: Record, other: Record) -> None:
        """A claim names thread, owner, watermark and last number; the lease has a number and an end."""
        key = tell(record, "one", "two")
        before = dt.datetime.now(dt.UTC)
        taken = claim(other)
        assert (taken.thread, taken.thread_id, taken.owner) == (key, "t", ADA)
        assert (taken.formed_to, taken.last_seq, taken.attempts, dict(taken.policy)) == (0, 2, 0, {})
        assert abs(taken.until - before - LEASE) < dt.timedelta(minutes=1)
        assert taken.lease >= 1

    def test_an_owner_is_claimed_once(self, record: Record, other: Record) -> None:
        """While an owner is claimed, nobody else takes any of its threads; other owners' are free."""
        tell(record, "one", thread="a")
        second = tell(record, "one", thread="b")
        his = tell(record, "one", owner=BOB)
        claim(record)
        assert other.write(ClaimThread(LEASE, second)) is None
        assert claim(other).thread == his
        assert other.write(ClaimThread(LEASE)) is None

    def test_given_back(self, record: Record, other: Record) -> None:
        """An owner whose claim was finished may be claimed again; each claim raises the number."""
        tell(record, "one", thread="a")
        second = tell(record, "one", thread="b")
        first = claim(record)
        apply(record, formed=Formed(first, 1))
        taken = claim(other)
        assert (taken.thread, taken.lease) == (second, first.lease + 1)

    def test_taken_over(self, record: Record, other: Record) -> None:
        """A claim whose time is over may be taken over; the old one then writes nothing."""
        tell(record, "one")
        old = claim(record, lease=SHORT)
        time.sleep(0.1)
        new = claim(other)
        assert (new.thread, new.lease) == (old.thread, old.lease + 1)
        with pytest.raises(LeaseLost):
            apply(record, add("late"), formed=Formed(old, 1), calls=(CALL,))
        assert facts_of(record) == []
        apply(other, add("in time"), formed=Formed(new, 1))
        assert statements(record) == {"in time"}

    def test_late_and_alone(self, record: Record) -> None:
        """A claim whose time is over, and that nobody took over, may still be finished."""
        tell(record, "one")
        taken = claim(record, lease=SHORT)
        time.sleep(0.1)
        apply(record, add("late"), formed=Formed(taken, 1))
        assert statements(record) == {"late"}

    def test_policy(self, record: Record) -> None:
        """A claim brings its owner's policy with the thread's over it."""
        tell(record, "one")
        record.write(SetPolicy(ADA, {"instructions": "a", "never": "b"}))
        record.write(SetPolicy(ADA, {"never": "c"}, "t"))
        assert claim(record).policy == {"instructions": "a", "never": "c"}

    # --- reading

    def test_unformed(self, record: Record) -> None:
        """What is to be formed comes oldest first, with its numbers, and with some of what was said before."""
        written = append(record, *(Message.user(text, id=text, created_at=at(0)) for text in "abcd")).written
        apply(record, formed=Formed(claim(record, early=True), 2))
        tell(record, "e")
        got = unformed(record, claim(record), before=1)
        assert words(got) == ["c", "d", "e"]
        numbers = {message.text: key for key, message in written.items()}
        assert [key for key, _ in got.messages][:2] == [numbers["c"], numbers["d"]]
        assert [message.text for message in got.before] == ["b"]
        assert [message.seq for _, message in got.messages] == [3, 4, 5]
        assert got.again == frozenset()

    def test_limit(self, record: Record) -> None:
        """So many messages come at once; the rest comes when the watermark has moved."""
        tell(record, *"abcde")
        taken = claim(record)
        assert words(unformed(record, taken, limit=2)) == ["a", "b"]
        apply(record, formed=Formed(taken, 2, finish=False))
        moved = replace(taken, formed_to=2)
        got = unformed(record, moved, limit=2, before=6)
        assert (words(got), [message.text for message in got.before]) == (["c", "d"], ["a", "b"])

    def test_no_context(self, record: Record) -> None:
        """Nothing of what was said before comes where none is asked for."""
        tell(record, *"ab")
        apply(record, formed=Formed(claim(record), 1))
        assert unformed(record, claim(record), before=0).before == ()

    def test_thread_that_is_gone(self, record: Record) -> None:
        """Of a thread that was forgotten, or moved, nothing is to be formed under the old claim."""
        tell(record, "one")
        taken = claim(record)
        record.write(MoveThread(ADA, "t", BOB))
        assert unformed(record, taken).messages == ()
        record.write(Forget(BOBS))
        assert unformed(record, taken).messages == ()

    # --- finishing

    def test_formed(self, record: Record) -> None:
        """What was formed is not due any more; the facts are there."""
        tell(record, "one", "two")
        taken = claim(record)
        (number, _), _ = unformed(record, taken).messages
        apply(record, add("fact", sources=resting(number)), formed=Formed(taken, 2))
        assert statements(record) == {"fact"}
        assert record.write(ClaimThread(LEASE, early=True)) is None
        assert record.read(ReadFormation()).due_threads == 0

    def test_nothing_was_in_it(self, record: Record) -> None:
        """A formation that found nothing moves the watermark all the same."""
        tell(record, "one")
        assert len(apply(record, formed=Formed(claim(record), 1))) == 0
        assert record.write(ClaimThread(LEASE, early=True)) is None

    def test_in_parts(self, record: Record, other: Record) -> None:
        """A long conversation is formed part by part under one claim, and stays claimed until the last."""
        tell(record, *"abc")
        taken = claim(record)
        apply(record, add("one"), formed=Formed(taken, 1, finish=False))
        assert other.write(ClaimThread(LEASE, early=True)) is None
        apply(record, add("two"), formed=Formed(replace(taken, formed_to=1), 3))
        assert (statements(record), other.write(ClaimThread(LEASE, early=True))) == ({"one", "two"}, None)

    def test_given_back_half_way(self, record: Record) -> None:
        """What a claim left over when it was given back is due at once."""
        tell(record, *"abc")
        apply(record, formed=Formed(claim(record), 2))
        assert words(unformed(record, claim(record))) == ["c"]

    def test_came_meanwhile(self, record: Record) -> None:
        """A message that comes while its thread is formed keeps it due."""
        key = tell(record, "one")
        taken = claim(record)
        tell(record, "two")
        apply(record, formed=Formed(taken, 1))
        assert record.read(FindForming()) == (key,)
        assert words(unformed(record, claim(record))) == ["two"]

    def test_delivered_twice(self, record: Record) -> None:
        """The same formation delivered again writes nothing: the watermark has moved."""
        tell(record, "one")
        formed = Formed(claim(record), 1)
        apply(record, add("fact", key="k"), formed=formed)
        before = facts_of(record)
        for _ in range(2):
            with pytest.raises(LeaseLost):
                apply(record, add("other", key="k"), formed=formed)
        assert facts_of(record) == before

    def test_watermark_moved(self, record: Record) -> None:
        """Under one claim, what was applied to an older watermark writes nothing."""
        tell(record, *"ab")
        taken = claim(record)
        apply(record, add("one"), formed=Formed(taken, 1, finish=False))
        with pytest.raises(LeaseLost):
            apply(record, add("two"), formed=Formed(taken, 2))
        assert statements(record) == {"one"}

    def test_another_owners_claim(self, record: Record) -> None:
        """A claim holds for its own owner and thread alone."""
        tell(record, "one")
        tell(record, "one", owner=BOB)
        taken = claim(record)
        for wrong in (replace(taken, owner=BOB), replace(taken, thread=uuid4()), replace(taken, lease=taken.lease + 1)):
            with pytest.raises(LeaseLost):
                apply(record, add("x"), formed=Formed(wrong, 1), owner=wrong.owner)
        assert facts_of(record, EVERYONE) == []

    @pytest.mark.parametrize("gone", ["thread", "scope", "moved"])
    def test_gone_meanwhile(self, record: Record, gone: str) -> None:
        """Where the thread was forgotten, or moved, while it was formed, nothing is written."""
        key = tell(record, "one")
        taken = claim(record)
        if gone == "moved":
            record.write(MoveThread(ADA, "t", BOB))
        else:
            record.write(Forget(ADAS, key if gone == "thread" else None))
        with pytest.raises(LeaseLost):
            apply(record, add("fact"), formed=Formed(taken, 1))
        assert facts_of(record, EVERYONE) == []

    def test_message_that_was_forgotten_meanwhile(self, record: Record) -> None:
        """No fact comes of a message that was forgotten while it was read."""
        key = tell(record, "secret", "plain")
        taken = claim(record)
        (secret, _), (plain, _) = unformed(record, taken).messages
        record.write(Forget(ADAS, key, "secret"))
        with pytest.raises(LeaseLost):
            apply(
                record,
                add("plain", sources=resting(plain)),
                add("secret", sources=resting(secret)),
                formed=Formed(taken, 2),
            )
        assert facts_of(record) == []
        apply(record, add("plain", sources=resting(plain)), formed=Formed(taken, 2))
        assert statements(record) == {"plain"}

    def test_refused_edits(self, record: Record) -> None:
        """Where the edits cannot be done, watermark, work and costs stay as they were, too."""
        tell(record, "one")
        (fact,) = [change.after for change in apply(record, add("tea"))]
        assert fact is not None
        taken = claim(record)
        with pytest.raises(FactChanged):
            apply(record, retract(fact, version=9), formed=Formed(taken, 1), calls=(CALL,))
        assert record.read(ReadSpent(at(0))) == ()
        assert words(unformed(record, taken)) == ["one"]
        apply(record, formed=Formed(taken, 1))

    def test_a_transaction_that_fails(self, stores: tuple[Store, Store], record: Record) -> None:
        """A formation that joined a transaction is undone with it, watermark and all."""
        tell(record, "one")
        taken = claim(record)
        with pytest.raises(Interrupted), stores[0].transaction() as connection:
            apply(record, add("fact"), formed=Formed(taken, 1), connection=connection)
            raise Interrupted
        assert facts_of(record) == []
        apply(record, add("fact"), formed=Formed(taken, 1))
        assert statements(record) == {"fact"}

    def test_rejected(self, record: Record) -> None:
        """What was rejected is not formed, and the thread is done all the same."""
        tell(record, "one")
        apply(record, Edit("NONE", reject=hashed("fact")), explicit=True)
        apply(record, add("fact"), formed=Formed(claim(record), 1))
        assert (facts_of(record), record.write(ClaimThread(LEASE, early=True))) == ([], None)
