"""Facts of threads that are copied, or given to another owner."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from keepwell.models import Owner
from keepwell.storage.base import CloneThread, Forget, MoveThread, Record
from keepwell.storage.facts import ClaimThread, Formed, RawSources, TakeDue
from keepwell.testing.conformance.base import ADA, ADAS, BOB, BOBS, Capability, StoreConformance, found, say
from keepwell.testing.conformance.facts_base import (
    LEASE,
    apply,
    claim,
    fact_of,
    facts_of,
    formed_from,
    history,
    kinds,
    remember,
    resting,
    retract,
    said,
    statements,
    tell,
    unformed,
    update,
    words,
)
from keepwell.testing.conformance.mirror import Mirror

DISTIL = Owner("ada", "keepwell:distil", "")


class FactMovingConformance(StoreConformance):
    """What a store promises about facts of threads that are copied or moved."""

    capability: ClassVar[Capability] = "fact_moving"

    def test_go_along(self, record: Record) -> None:
        """Facts all of whose sources are in a thread go with it to its new owner, with their history."""
        first, second = said(record, "one", "two")
        fact = remember(record, "tea", key="drink", sources=resting(first))
        apply(record, update(fact, "coffee", key="drink", sources=resting(second)))
        gone = remember(record, "gone", sources=resting(first))
        apply(record, retract(gone))
        child = remember(record, "child", sources=formed_from(fact))
        before = facts_of(record, versions=True), history(record)
        record.write(MoveThread(ADA, "t", BOB))
        assert (facts_of(record, versions=True), history(record)) == ([], [])
        assert {one.owner for one in facts_of(record, BOBS, versions=True)} == {BOB}
        assert [(one.id, one.version, one.text) for one in facts_of(record, BOBS, versions=True)] == [
            (one.id, one.version, one.text) for one in before[0]
        ]
        assert [one.id for one in history(record, BOBS)] == [one.id for one in before[1]]
        assert record.read(RawSources(BOBS, (child.id,)))[child.id, 1] == formed_from(fact)
        assert record.read(RawSources(BOBS, (fact.id,)))[fact.id, 2] == resting(second)

    def test_goes_on_there(self, record: Record) -> None:
        """A fact that has moved is its new owner's: its key and statement bind there, and no more here."""
        (number,) = said(record, "one")
        fact = remember(record, "tea", key="drink", sources=resting(number))
        record.write(MoveThread(ADA, "t", BOB))
        new = remember(record, "coffee", key="drink", owner=BOB)
        mine = remember(record, "tea", key="drink")
        assert (new.id, new.version, mine.id != fact.id) == (fact.id, 2, True)

    def test_some_stay(self, record: Record) -> None:
        """Facts that rest on other messages as well stay, without what they lost, and are re-opened."""
        (inside,) = said(record, "inside")
        (outside,) = said(record, "outside", thread="other")
        both = remember(record, "both", sources=resting(inside, outside))
        other = remember(record, "other", sources=resting(outside))
        plain = remember(record, "plain")
        record.write(MoveThread(ADA, "t", BOB))
        assert facts_of(record, BOBS) == []
        assert {fact.id: fact.reopened for fact in facts_of(record)} == {
            both.id: True,
            other.id: False,
            plain.id: False,
        }
        assert record.read(RawSources(ADAS, (both.id,)))[both.id, 1] == resting(outside)
        items = record.write(TakeDue(("reform",), dt.timedelta(0)))
        assert [(item.owner, item.item) for item in items] == [(ADA, str(both.id))]

    def test_facts_of_other_owners(self, record: Record) -> None:
        """What other owners formed from a thread that moves away is re-opened, and rests on it no more."""
        (number,) = said(record, "one")
        fact = remember(record, "tea", sources=resting(number))
        pattern = remember(record, "habits", owner=DISTIL, sources=formed_from(fact))
        record.write(MoveThread(ADA, "t", BOB))
        assert fact_of(record, pattern.id).reopened
        assert record.read(RawSources(ADAS, (pattern.id,))).get((pattern.id, 1), ()) == ()

    def test_held_there(self, record: Record) -> None:
        """A fact whose key or statement the other owner holds is removed: what stands there stays."""
        (number,) = said(record, "one")
        remember(record, "tea", key="drink", sources=resting(number))
        remember(record, "chess", sources=resting(number))
        moved = remember(record, "go", sources=resting(number))
        coffee = remember(record, "coffee", key="drink", owner=BOB)
        chess = remember(record, "Chess!", owner=BOB)
        record.write(MoveThread(ADA, "t", BOB))
        assert {fact.id for fact in facts_of(record, BOBS)} == {coffee.id, chess.id, moved.id}
        assert facts_of(record, versions=True) == []
        assert len(history(record, BOBS)) == 3

    def test_readers(self, record: Record) -> None:
        """Who holds either scope learns where the facts have gone."""
        (number,) = said(record, "one")
        remember(record, "tea", sources=resting(number))
        mine, his = Mirror(record, ADAS), Mirror(record, BOBS)
        for mirror in (mine, his):
            mirror.load()
        record.write(MoveThread(ADA, "t", BOB))
        for mirror in (mine, his):
            mirror.check()
        assert (len(mine.messages), len(his.messages)) == (0, 2)

    def test_forgotten_with_the_new_owner(self, record: Record) -> None:
        """What has moved is forgotten with its new owner, and not with the old one."""
        (number,) = said(record, "one")
        remember(record, "tea", sources=resting(number))
        record.write(MoveThread(ADA, "t", BOB))
        assert record.write(Forget(ADAS)).counts["facts"] == 0
        assert record.write(Forget(BOBS)).counts["facts"] == 1

    def test_what_is_due_moves(self, record: Record) -> None:
        """What is to be formed of a thread goes with it."""
        key = tell(record, "one", "two")
        taken = claim(record)
        apply(record, formed=Formed(taken, 1))
        record.write(MoveThread(ADA, "t", BOB))
        moved = claim(record, key)
        assert (moved.owner, moved.formed_to, words(unformed(record, moved))) == (BOB, 1, ["two"])

    # --- clones

    def test_clone(self, record: Record) -> None:
        """Facts stay with the thread that they were formed of; a clone does not double them."""
        (number,) = said(record, "one")
        fact = remember(record, "tea", sources=resting(number))
        record.write(CloneThread(ADA, "t", BOB, "copy"))
        assert (facts_of(record), facts_of(record, BOBS)) == ([fact], [])
        record.write(Forget(ADAS, found(record).key))
        assert facts_of(record) == []

    def test_clone_takes_the_watermark(self, record: Record) -> None:
        """What was formed of a thread is not formed again of its clone; what was not, is."""
        tell(record, "one", "two")
        taken = claim(record)
        apply(record, formed=Formed(taken, 1))
        made = record.write(CloneThread(ADA, "t", BOB, "copy"))
        copied = claim(record, made.key)
        assert (copied.owner, copied.formed_to, words(unformed(record, copied))) == (BOB, 1, ["two"])

    def test_clone_of_what_is_formed(self, record: Record) -> None:
        """A clone of a thread that was formed whole is not due."""
        tell(record, "one", "two")
        apply(record, formed=Formed(claim(record), 2))
        record.write(CloneThread(ADA, "t", ADA, "copy", until=1))
        assert record.write(ClaimThread(LEASE, early=True)) is None
        tell(record, "three", thread="copy")
        assert words(unformed(record, claim(record))) == ["three"]

    def test_clones_facts_are_its_own(self, record: Record) -> None:
        """What is formed of a clone rests on the clone's messages, and is forgotten with it alone."""
        (number,) = said(record, "one")
        made = record.write(CloneThread(ADA, "t", ADA, "copy"))
        say(record, "two", thread="copy")
        mine = remember(record, "tea", sources=resting(number))
        record.write(Forget(ADAS, made.key))
        assert facts_of(record) == [mine]
        assert (statements(record), kinds(history(record))) == ({"tea"}, ["ADD"])
