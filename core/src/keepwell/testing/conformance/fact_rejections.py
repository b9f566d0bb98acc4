"""Rejections: what a person does not want to be known is not learned again."""

from __future__ import annotations

from typing import ClassVar

import pytest

from keepwell.formation.settle import Edit
from keepwell.models import Owner, Scope
from keepwell.storage.base import Forget, Record
from keepwell.storage.facts import LiftRejections, ListRejections
from keepwell.testing.conformance.base import ADA, ADAS, BOB, BOBS, Capability, StoreConformance
from keepwell.testing.conformance.facts_base import (
    COOK,
    COOKS,
    add,
    after,
    apply,
    draft,
    hashed,
    history,
    kinds,
    remember,
    restore,
    retract,
    statements,
    update,
)

TEA = "Ada drinks tea"
COFFEE = "Ada drinks coffee"


class RejectionsConformance(StoreConformance):
    """What a store promises about rejections."""

    capability: ClassVar[Capability] = "fact_rejections"

    @pytest.fixture
    def rejected(self, record: Record) -> None:
        """Let Ada know that she drinks tea, and reject it."""
        apply(record, retract(remember(record, TEA), reject=hashed(TEA), reason="never"))

    @pytest.mark.usefixtures("rejected")
    @pytest.mark.parametrize("again", [TEA, "ADA drinks tea!"])
    def test_not_learned_again(self, record: Record, again: str) -> None:
        """What was rejected is not added again, however it is spelled; the decision is kept, not the words."""
        (change,) = apply(record, add(again))
        assert (change.kind, change.before, change.after) == ("NONE", None, None)
        assert statements(record) == set()
        assert again not in repr(history(record)[-1])

    @pytest.mark.usefixtures("rejected")
    def test_not_by_update(self, record: Record) -> None:
        """No other fact comes to say what was rejected."""
        fact = remember(record, COFFEE)
        (change,) = apply(record, update(fact, TEA))
        assert (change.kind, statements(record)) == ("NONE", {COFFEE})

    @pytest.mark.usefixtures("rejected")
    def test_not_under_a_key(self, record: Record) -> None:
        """What was rejected without a key is not learned under one either."""
        apply(record, add(TEA, key="drink"))
        assert statements(record) == set()

    def test_only_under_its_key(self, record: Record) -> None:
        """What was rejected under a key may be learned under another, or without one."""
        old = remember(record, TEA, key="drink")
        apply(record, retract(old, reject=hashed(TEA, "drink")))
        assert kinds(apply(record, add(TEA, key="drink"))) == ["NONE"]
        assert kinds(apply(record, add(TEA, key="habit"))) == ["ADD"]

    @pytest.mark.usefixtures("rejected")
    def test_explicit(self, record: Record) -> None:
        """What a person says explicitly is learned all the same, lifts the rejection, and the change says so."""
        (change,) = apply(record, add(TEA), explicit=True)
        assert (change.kind, statements(record)) == ("ADD", {TEA})
        assert "lifted" in history(record)[-1].reason
        assert record.read(ListRejections(ADAS)) == ()
        apply(record, retract(after(change)))
        assert kinds(apply(record, add(TEA))) == ["ADD"]

    @pytest.mark.usefixtures("rejected")
    def test_explicit_restore(self, record: Record) -> None:
        """A person who restores a rejected fact lifts the rejection; nobody else restores it."""
        (old,) = (change.before for change in history(record) if change.kind == "DELETE")
        assert old is not None
        assert kinds(apply(record, restore(old))) == ["NONE"]
        assert kinds(apply(record, restore(old), explicit=True)) == ["RESTORE"]
        assert record.read(ListRejections(ADAS)) == ()

    def test_corrected(self, record: Record) -> None:
        """A correction that rejects the old statement keeps it from coming back, and the new one stands."""
        fact = remember(record, TEA)
        apply(record, update(fact, COFFEE, reject=hashed(TEA)), explicit=True)
        assert kinds(apply(record, add(TEA))) == ["NONE"]
        assert statements(record) == {COFFEE}

    def test_corrected_in_its_spelling(self, record: Record) -> None:
        """A correction of the spelling does not reject what then stands."""
        fact = remember(record, "ada drinks TEA")
        new = after(apply(record, update(fact, TEA, reject=hashed("ada drinks TEA")), explicit=True)[0])
        assert record.read(ListRejections(ADAS)) == ()
        apply(record, retract(new))
        assert kinds(apply(record, add(TEA))) == ["ADD"]

    def test_without_a_fact(self, record: Record) -> None:
        """A person may reject what was never known."""
        apply(record, Edit("NONE", reason="none of your business", reject=hashed(TEA)), explicit=True)
        assert kinds(apply(record, add(TEA))) == ["NONE"]

    def test_the_less_trusted_reject_nothing(self, record: Record) -> None:
        """Who may not change a fact may not reject it either."""
        fact = remember(record, TEA)
        apply(record, Edit("DELETE", fact.id, reject=hashed(TEA), trust="tool"))
        assert (statements(record), record.read(ListRejections(ADAS))) == ({TEA}, ())

    def test_a_retraction_rejects_nothing(self, record: Record) -> None:
        """Without being asked to, a retraction rejects nothing: people do take up tea again."""
        apply(record, retract(remember(record, TEA)))
        assert record.read(ListRejections(ADAS)) == ()
        assert kinds(apply(record, add(TEA))) == ["ADD"]

    # --- views

    @pytest.mark.parametrize(
        ("view", "bound", "free"),
        [
            (ADAS, (ADA, COOK, Owner("ada", "cook", "r")), (BOB, Owner("", "cook", ""))),
            (COOKS, (COOK, Owner("ada", "cook", "r")), (ADA, Owner("ada", "baker", ""), Owner("", "cook", ""))),
            (Scope(agent_id="cook"), (Owner("", "cook", ""),), (COOK, ADA)),
            (Scope(agent_id="cook", across_users=True), (COOK, Owner("", "cook", "")), (ADA,)),
            (Scope(across_users=True), (ADA, BOB, COOK, Owner("", "cook", "")), ()),
        ],
        ids=["person", "person's agent", "agent", "agent across users", "everyone"],
    )
    def test_views(self, record: Record, view: Scope, bound: tuple[Owner, ...], free: tuple[Owner, ...]) -> None:
        """A rejection binds every owner that the rejecting view covers, and no other."""
        apply(record, Edit("NONE", reject=hashed(TEA)), view=view, owner=bound[0])
        for owner in bound:
            assert kinds(apply(record, add(TEA), owner=owner)) == ["NONE"], owner
        for owner in free:
            assert kinds(apply(record, add(TEA), owner=owner)) == ["ADD"], owner

    def test_list(self, record: Record) -> None:
        """A scope lists what it and narrower views have rejected, newest first, without a word of it."""
        apply(record, Edit("NONE", reject=hashed(TEA), reason="first"), view=ADAS)
        apply(record, Edit("NONE", reject=hashed(COFFEE), reason="second"), view=COOKS, owner=COOK)
        apply(record, Edit("NONE", reject=hashed("his"), reason="third"), view=BOBS, owner=BOB)
        newest, oldest = record.read(ListRejections(ADAS))
        assert (newest.user_id, newest.agent_id, newest.run_id, newest.reason) == ("ada", "cook", None, "second")
        assert (oldest.user_id, oldest.agent_id, oldest.run_id, oldest.reason) == ("ada", None, None, "first")
        assert newest.at > oldest.at
        assert [one.reason for one in record.read(ListRejections(COOKS))] == ["second"]
        assert [one.reason for one in record.read(ListRejections(BOBS))] == ["third"]

    def test_rejected_twice(self, record: Record) -> None:
        """A view that rejects the same again has rejected it once."""
        for _ in range(2):
            apply(record, Edit("NONE", reject=hashed(TEA)))
        assert len(record.read(ListRejections(ADAS))) == 1

    def test_lift(self, record: Record) -> None:
        """A lifted rejection binds nobody any more; the others stay."""
        apply(record, Edit("NONE", reject=hashed(TEA), reason="tea"), Edit("NONE", reject=hashed(COFFEE), reason="no"))
        (tea,) = (one.id for one in record.read(ListRejections(ADAS)) if one.reason == "tea")
        assert record.write(LiftRejections(ADAS, (tea,))) == 1
        assert kinds(apply(record, add(TEA), add(COFFEE))) == ["ADD", "NONE"]
        assert record.write(LiftRejections(ADAS, (tea,))) == 0

    def test_lift_all(self, record: Record) -> None:
        """All rejections of a scope may be lifted at once; those of others stay."""
        apply(record, Edit("NONE", reject=(*hashed(TEA), *hashed(COFFEE))))
        apply(record, Edit("NONE", reject=hashed(TEA)), owner=BOB)
        assert record.write(LiftRejections(ADAS)) == 2
        assert record.read(ListRejections(ADAS)) == ()
        assert len(record.read(ListRejections(BOBS))) == 1

    def test_a_narrow_scope_lifts_nothing_of_a_wide_one(self, record: Record) -> None:
        """A view neither lists nor lifts by number what a wider view has rejected."""
        apply(record, Edit("NONE", reject=hashed(TEA)), view=ADAS)
        (wide,) = record.read(ListRejections(ADAS))
        assert record.read(ListRejections(COOKS)) == ()
        for scope in (COOKS, BOBS):
            assert record.write(LiftRejections(scope, (wide.id,))) == 0
            assert record.write(LiftRejections(scope)) == 0
        assert len(record.read(ListRejections(ADAS))) == 1

    def test_tenants(self, record: Record, stranger: Record) -> None:
        """A rejection of one tenant binds no other, and no other lifts it."""
        apply(record, Edit("NONE", reject=hashed(TEA)))
        assert kinds(apply(stranger, add(TEA))) == ["ADD"]
        assert stranger.write(LiftRejections(ADAS)) == 0
        assert stranger.read(ListRejections(ADAS)) == ()
        assert len(record.read(ListRejections(ADAS))) == 1

    # --- forgetting

    @pytest.mark.usefixtures("rejected")
    def test_forgotten_with_their_scope(self, record: Record) -> None:
        """A scope's rejections are forgotten with it, except those that the forgetting itself makes."""
        record.write(Forget(ADAS, reject=hashed(COFFEE)))
        assert len(record.read(ListRejections(ADAS))) == 1
        assert kinds(apply(record, add(TEA), add(COFFEE))) == ["ADD", "NONE"]

    def test_forgotten_scope_leaves_wider_ones(self, record: Record) -> None:
        """What a wider view has rejected stays rejected where a narrower one is forgotten."""
        apply(record, Edit("NONE", reject=hashed(TEA)), view=ADAS)
        apply(record, Edit("NONE", reject=hashed(COFFEE)), view=COOKS, owner=COOK)
        receipt = record.write(Forget(COOKS))
        assert receipt.counts["rejections"] == 1
        assert kinds(apply(record, add(TEA), add(COFFEE), owner=COOK)) == ["NONE", "ADD"]

    def test_forget_and_never_again(self, record: Record) -> None:
        """A fact that is forgotten and rejected is not learned again by anybody whom the scope covers."""
        fact = remember(record, TEA)
        record.write(Forget(ADAS, fact=fact.id, reject=hashed(TEA)))
        for owner in (ADA, COOK):
            assert kinds(apply(record, Edit("ADD", draft=draft(TEA)), owner=owner)) == ["NONE"]
