"""The queue of formation where something goes wrong, or has to be done again."""

from __future__ import annotations

import datetime as dt
import time
from typing import ClassVar

import pytest

from keepwell.errors import LeaseLost
from keepwell.models import Message
from keepwell.storage.base import Forget, Forming, Record, ReplaceMessage
from keepwell.storage.facts import (
    ClaimThread,
    FailForming,
    FindForming,
    Formed,
    ListParked,
    ModelCall,
    ReadFormation,
    ReadSpent,
    RetryParked,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    Capability,
    StoreConformance,
    append,
    at,
    found,
)
from keepwell.testing.conformance.facts_base import (
    LEASE,
    add,
    apply,
    claim,
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


class FormationFailuresConformance(StoreConformance):
    """What a store promises about what could not be formed, and what is to be formed again."""

    capability: ClassVar[Capability] = "formation_failures"

    # --- again

    @pytest.mark.parametrize("way", ["append", "replace"])
    def test_replaced(self, record: Record, way: str) -> None:
        """A message that is replaced after it was formed is formed again, alone."""
        tell(record, "one", "two")
        apply(record, formed=Formed(claim(record), 2))
        new = Message.user("ONE", id="one")
        if way == "append":
            append(record, new)
        else:
            record.write(ReplaceMessage(ADA, "t", new, "ONE"))
        taken = claim(record, early=True)
        got = unformed(record, taken)
        ((number, message),) = got.messages
        assert (message.text, set(got.again)) == ("ONE", {number})
        apply(record, formed=Formed(taken, 2, again=(number,)))
        assert record.write(ClaimThread(LEASE, early=True)) is None

    def test_replaced_before_it_was_formed(self, record: Record) -> None:
        """A message that is replaced before it was formed is formed once, in its new words."""
        tell(record, "one", "two")
        record.write(ReplaceMessage(ADA, "t", Message.user("ONE", id="one"), "ONE"))
        taken = claim(record, early=True)
        assert words(unformed(record, taken)) == ["ONE", "two"]
        apply(record, formed=Formed(taken, 2, again=tuple(unformed(record, taken).again)))
        assert record.write(ClaimThread(LEASE, early=True)) is None

    @pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
    def test_replaced_meanwhile(self, record: Record, *, again: bool) -> None:
        """A message that is replaced after it was read is formed again in its new words."""
        tell(record, "one", "two")
        if again:
            apply(record, formed=Formed(claim(record), 2))
            record.write(ReplaceMessage(ADA, "t", Message.user("two", id="one"), "two"))
        taken = claim(record, early=True)
        read = unformed(record, taken)
        record.write(ReplaceMessage(ADA, "t", Message.user("new", id="one"), "new"))
        apply(record, formed=Formed(taken, 2, tuple(read.again)))
        assert words(unformed(record, claim(record, early=True))) == ["new"]

    def test_not_again(self, record: Record) -> None:
        """What is to be formed again, and was not, stays so."""
        tell(record, "one", "two")
        apply(record, formed=Formed(claim(record), 2))
        for text in ("one", "two"):
            record.write(ReplaceMessage(ADA, "t", Message.user(text * 2, id=text), text))
        taken = claim(record, early=True)
        first, second = unformed(record, taken).messages
        apply(record, formed=Formed(taken, 2, again=(first[0],)))
        assert words(unformed(record, claim(record, early=True))) == [second[1].text]

    # --- failures

    def test_failed(self, record: Record, other: Record) -> None:
        """A claim that failed is given back; its thread is tried again in a time, early or not, and counts attempts."""
        tell(record, "one")
        record.write(FailForming(claim(record), "no answer", dt.timedelta(hours=1)))
        assert other.write(ClaimThread(LEASE)) is None
        assert other.write(ClaimThread(LEASE, early=True)) is None
        assert record.read(ReadFormation()).failing == 1
        tell(record, "one", thread="other")
        assert claim(record).thread_id == "other"

    def test_tried_again(self, record: Record) -> None:
        """When its time has come a thread that failed is due; what goes well begins the count anew."""
        tell(record, "one")
        for attempt in range(3):
            taken = claim(record)
            assert taken.attempts == attempt
            record.write(FailForming(taken, "no answer", SOON))
        apply(record, formed=Formed(claim(record), 1))
        assert record.read(ReadFormation()).failing == 0
        tell(record, "two")
        assert claim(record).attempts == 0

    def test_failed_too_late(self, record: Record) -> None:
        """A failure of a claim that was taken over, or given back, changes nothing; its calls count all the same."""
        tell(record, "one")
        old = claim(record, lease=SHORT)
        time.sleep(0.1)
        new = claim(record)
        record.write(FailForming(old, "late", dt.timedelta(hours=1), calls=(CALL,)))
        apply(record, formed=Formed(new, 1))
        record.write(FailForming(new, "late", dt.timedelta(hours=1), calls=(CALL,)))
        assert record.read(ReadFormation()).failing == 0
        (spent,) = record.read(ReadSpent(at(0)))
        assert spent.calls == 2

    def test_parked(self, record: Record, other: Record) -> None:
        """A parked message is left out from now on, with its error; the rest is formed."""
        tell(record, "one", "poison", "three")
        taken = claim(record)
        number = {message.id: key for key, message in unformed(record, taken).messages}["poison"]
        record.write(FailForming(taken, "cannot read this", SOON, park=(number,)))
        (parked,) = other.read(ListParked())
        assert (parked.thread, parked.thread_id, parked.message) == (taken.thread, "t", "poison")
        assert (parked.owner, parked.error) == (ADA, "cannot read this")
        assert abs(parked.at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
        again = claim(record)
        assert (again.attempts, words(unformed(record, again))) == (0, ["one", "three"])
        apply(record, formed=Formed(again, 3))
        assert record.write(ClaimThread(LEASE, early=True)) is None
        assert len(record.read(ListParked())) == record.read(ReadFormation()).parked == 1

    def test_all_parked(self, record: Record) -> None:
        """A thread all of whose messages are parked has nothing to form."""
        tell(record, "poison")
        taken = claim(record)
        ((number, _),) = unformed(record, taken).messages
        record.write(FailForming(taken, "no", SOON, park=(number,)))
        assert record.write(ClaimThread(LEASE, early=True)) is None

    def park(self, record: Record, **where: object) -> None:
        """Let somebody say something that is formed but for one message, which is parked."""
        key = tell(record, "one", "poison", **where)  # type: ignore[arg-type]
        taken = claim(record, key)
        number = unformed(record, taken).messages[1][0]
        record.write(FailForming(taken, "no", SOON, park=(number,)))
        again = claim(record, key)
        apply(record, formed=Formed(again, 2), owner=again.owner)

    def test_retry(self, record: Record) -> None:
        """Parked messages are formed again when somebody asks for it, at once; they are counted."""
        self.park(record)
        assert record.write(RetryParked()) == 1
        assert record.read(ListParked()) == ()
        taken = claim(record)
        got = unformed(record, taken)
        assert (words(got), len(got.again)) == (["poison"], 1)
        apply(record, formed=Formed(taken, 2, again=tuple(got.again)))
        assert record.write(ClaimThread(LEASE, early=True)) is None
        assert record.write(RetryParked()) == 0

    def test_retry_ends_the_back_off(self, record: Record) -> None:
        """Threads that wait after a failure are due at once when somebody asks for it."""
        tell(record, "one")
        record.write(FailForming(claim(record), "no answer", dt.timedelta(hours=1)))
        assert record.write(RetryParked()) == 0
        assert claim(record).thread_id == "t"

    def test_retry_of_a_scope(self, record: Record) -> None:
        """Parked messages are listed and retried by scope."""
        self.park(record)
        self.park(record, owner=BOB)
        assert [one.owner for one in record.read(ListParked(BOBS))] == [BOB]
        assert len(record.read(ListParked(limit=1))) == 1
        assert record.write(RetryParked(BOBS)) == 1
        assert [one.owner for one in record.read(ListParked())] == [ADA]

    def test_parked_and_replaced(self, record: Record) -> None:
        """A parked message that is replaced is formed in its new words."""
        self.park(record)
        record.write(ReplaceMessage(ADA, "t", Message.user("harmless", id="poison"), "harmless"))
        assert record.read(ListParked()) == ()
        assert words(unformed(record, claim(record, early=True))) == ["harmless"]

    def test_parked_and_forgotten(self, record: Record) -> None:
        """A parked message that is forgotten is parked no more."""
        self.park(record)
        record.write(Forget(ADAS, found(record).key, "poison"))
        assert (record.read(ListParked()), record.write(RetryParked())) == ((), 0)

    # --- walls

    def test_tenants(self, record: Record, stranger: Record) -> None:
        """No tenant sees, claims, reads, finishes, fails or retries what is another's."""
        key = tell(record, "one")
        taken = claim(record, lease=SHORT)
        self.park(record, owner=BOB)
        assert stranger.write(ClaimThread(LEASE, key, early=True)) is None
        assert stranger.read(FindForming(early=True)) == ()
        assert unformed(stranger, taken).messages == ()
        with pytest.raises(LeaseLost):
            apply(stranger, add("x"), formed=Formed(taken, 1))
        stranger.write(FailForming(taken, "no", SOON))
        assert stranger.read(ListParked()) == ()
        assert stranger.write(RetryParked()) == 0
        assert (len(record.read(ListParked())), record.read(ReadFormation()).failing) == (1, 0)
        apply(record, add("fact"), formed=Formed(taken, 1))
        assert statements(record) == {"fact"}
