"""Facts: how edits of them are settled and kept."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace
from typing import ClassVar
from uuid import uuid4

import pytest

from keepwell.errors import FactChanged, FactNotFound, IdempotencyConflict
from keepwell.formation.settle import Edit
from keepwell.models import Message, Owner, Trust
from keepwell.storage.base import Record, Store
from keepwell.storage.facts import ApplyEdits
from keepwell.testing.conformance.base import ADA, ADAS, BOB, BOBS, Capability, StoreConformance, append, at
from keepwell.testing.conformance.facts_base import (
    add,
    after,
    apply,
    draft,
    fact_of,
    facts_of,
    history,
    kinds,
    remember,
    restore,
    retract,
    statements,
    update,
)


class Interrupted(Exception):
    """What a caller's block ends with."""


def asked(*edits: Edit) -> ApplyEdits:
    """Give the operation that applies edits of Ada."""
    return ApplyEdits(ADA, edits, "tests", uuid4(), ADAS)


class FactsConformance(StoreConformance):
    """What a store promises about facts and their edits."""

    capability: ClassVar[Capability] = "facts"

    def test_add(self, record: Record, other: Record) -> None:
        """A fact that was added is read as it was given, in version 1, from any store."""
        before = dt.datetime.now(dt.UTC)
        told = draft(
            "Ada plays chess",
            subject="Ada",
            kind="habit",
            key="game",
            valid_from=at(0),
            valid_to=at(60),
            expires_at=at(90),
            confidence=0.75,
            trust="assistant",
            metadata={"n": 1e22, "deep": {"list": [1, None, "x\x00"]}},
        )
        (change,) = apply(record, Edit("ADD", draft=told, reason="she said so"), actor="who")
        fact = after(change)
        assert (change.kind, change.before, change.reason, change.actor, change.owner) == (
            "ADD",
            None,
            "she said so",
            "who",
            ADA,
        )
        assert facts_of(other) == [fact]
        assert (fact.id, fact.version, fact.owner, fact.retired_at, fact.reopened) == (change.fact, 1, ADA, None, False)
        assert (fact.text, fact.subject, fact.kind, fact.key) == ("Ada plays chess", "Ada", "habit", "game")
        assert (fact.valid_from, fact.valid_to, fact.expires_at) == (at(0), at(60), at(90))
        assert (fact.confidence, fact.trust) == (0.75, "assistant")
        assert fact.metadata == {"n": 1e22, "deep": {"list": [1, None, "x\x00"]}}
        assert before - dt.timedelta(minutes=1) < fact.recorded_at < before + dt.timedelta(minutes=1)

    def test_odd_words(self, record: Record) -> None:
        """A statement is kept to the letter, whatever its letters are."""
        told = {"tabs\tand\nlines", "a \x00 in it", "\ud800 alone", "नमस्ते", "😀", "x" * 20_000}
        apply(record, *(add(text, terms="") for text in sorted(told)))
        assert statements(record) == told

    def test_nobody_holds_what_the_store_holds(self, record: Record) -> None:
        """Changing what was given, or what was read, changes nothing in the store."""
        metadata = {"list": [1]}
        remember(record, "Ada plays chess", metadata=metadata)
        metadata["list"].append(2)
        (fact,) = facts_of(record)
        fact.metadata["list"].append(3)
        assert [one.metadata for one in facts_of(record)] == [{"list": [1]}]

    def test_update(self, record: Record) -> None:
        """An update makes the next version of the same fact; the old one is kept, and ended when the new one began."""
        old = remember(record, "Ada plays chess", kind="habit")
        (change,) = apply(record, update(old, "Ada plays go"))
        new = after(change)
        assert (change.kind, new.id, new.version, new.text, new.kind) == ("UPDATE", old.id, 2, "Ada plays go", "")
        assert change.before is not None
        assert (change.before.version, change.before.text) == (1, "Ada plays chess")
        assert facts_of(record) == [new]
        versions = facts_of(record, versions=True)
        assert [(one.version, one.retired_at) for one in versions] == [(2, None), (1, new.recorded_at)]

    def test_delete(self, record: Record) -> None:
        """A retracted fact stands no more; its versions are kept."""
        fact = remember(record, "Ada plays chess")
        (change,) = apply(record, retract(fact, reason="not any more"))
        assert (change.kind, change.after, change.reason) == ("DELETE", None, "not any more")
        assert facts_of(record) == []
        (version,) = facts_of(record, versions=True)
        assert (version.text, version.retired_at) == (fact.text, change.at)

    def test_restore(self, record: Record) -> None:
        """A retracted fact that is restored stands under its id, in a version of its own."""
        fact = remember(record, "Ada plays chess")
        apply(record, retract(fact))
        (change,) = apply(record, restore(fact))
        assert (change.kind, change.before, after(change).id, after(change).version) == ("RESTORE", None, fact.id, 2)
        assert facts_of(record) == [after(change)]

    def test_restore_an_older_version(self, record: Record) -> None:
        """A fact that stands may be given what it said before."""
        old = remember(record, "Ada plays chess")
        (second,) = apply(record, update(old, "Ada plays go"))
        (third,) = apply(record, restore(old))
        assert (third.kind, after(third).version, after(third).text) == ("RESTORE", 3, "Ada plays chess")
        assert third.before is not None
        assert third.before.version == after(second).version
        assert statements(record) == {"Ada plays chess"}

    def test_restore_what_stands(self, record: Record) -> None:
        """Restoring what stands as it was changes nothing."""
        fact = remember(record, "Ada plays chess", kind="habit")
        (change,) = apply(record, restore(fact))
        assert (change.kind, facts_of(record)) == ("NONE", [fact])

    def test_none(self, record: Record) -> None:
        """A decision to do nothing is kept in the history, with or without a fact, and changes no fact."""
        fact = remember(record, "Ada plays chess")
        first, second = apply(record, Edit("NONE", fact.id, reason="the same"), Edit("NONE", reason="no fact"))
        assert (first.kind, first.fact, first.reason) == ("NONE", fact.id, "the same")
        assert (second.kind, second.before, second.after) == ("NONE", None, None)
        assert facts_of(record) == [fact]
        assert [change.id for change in history(record)][1:] == [first.id, second.id]

    def test_several(self, record: Record) -> None:
        """Edits of one write are done in their order, each on what the one before left, and share their batch."""
        fact = remember(record, "Ada plays chess")
        batch = uuid4()
        changes = apply(
            record, update(fact, "Ada plays go"), add("Ada plays go"), retract(fact), add("Ada plays go"), batch=batch
        )
        assert kinds(changes) == ["UPDATE", "NONE", "DELETE", "ADD"]
        assert {change.batch for change in changes} == {batch}
        assert [change.id for change in history(record, batch=batch)] == [change.id for change in changes]
        assert statements(record) == {"Ada plays go"}

    def test_all_or_nothing(self, record: Record) -> None:
        """Where one edit cannot be done, none of its write is."""
        fact = remember(record, "Ada plays chess")
        before = facts_of(record), history(record)
        with pytest.raises(FactNotFound):
            apply(record, add("new"), update(fact, "changed"), Edit("DELETE", uuid4()))
        assert (facts_of(record), history(record)) == before

    # --- keys

    def test_key(self, record: Record) -> None:
        """A statement under a key that stands supersedes the fact of that key."""
        old = remember(record, "Ada drinks tea", key="drink")
        (change,) = apply(record, add("Ada drinks coffee", key="drink"))
        assert (change.kind, change.fact, after(change).version) == ("UPDATE", old.id, 2)
        assert [fact.text for fact in facts_of(record, key="drink")] == ["Ada drinks coffee"]

    def test_key_begins_anew(self, record: Record) -> None:
        """A key whose fact was retracted is free: the next statement under it is another fact."""
        old = remember(record, "Ada drinks tea", key="drink")
        apply(record, retract(old))
        new = remember(record, "Ada drinks coffee", key="drink")
        assert (new.id != old.id, new.version) == (True, 1)

    def test_a_key_for_what_stands(self, record: Record) -> None:
        """A statement that stands without a key gets the key under which it is said again."""
        old = remember(record, "Ada drinks tea")
        new = after(apply(record, add("Ada drinks tea", key="drink"))[0])
        assert (new.id, new.version, new.key) == (old.id, 2, "drink")

    def test_keyed_statement_said_without_its_key(self, record: Record) -> None:
        """A statement that stands under a key keeps it where the same is said without one."""
        old = remember(record, "Ada drinks tea", key="drink")
        (change,) = apply(record, add("Ada drinks tea"))
        assert (change.kind, facts_of(record)) == ("NONE", [old])

    def test_update_to_a_key_that_stands(self, record: Record) -> None:
        """A fact that is given another's key takes its place: there is one fact under a key."""
        tea = remember(record, "Ada drinks tea", key="drink")
        coffee = remember(record, "Ada likes coffee")
        changes = apply(record, update(coffee, "Ada drinks coffee", key="drink"))
        assert {(change.kind, change.fact) for change in changes} == {("DELETE", tea.id), ("UPDATE", coffee.id)}
        assert [fact.text for fact in facts_of(record)] == ["Ada drinks coffee"]

    def test_keys_are_the_owners(self, record: Record) -> None:
        """Two owners have facts under one key without knowing of each other."""
        mine = remember(record, "Ada drinks tea", key="drink")
        his = remember(record, "Bob drinks coffee", key="drink", owner=BOB)
        cooks = remember(record, "the cook drinks water", key="drink", owner=Owner("ada", "cook", ""))
        assert len({mine.id, his.id, cooks.id}) == 3
        assert (mine.version, his.version, cooks.version) == (1, 1, 1)

    # --- equal statements

    @pytest.mark.parametrize("again", ["Ada plays chess", "  ada PLAYS chess!  ", "Ada plays: chess"])
    def test_said_again(self, record: Record, again: str) -> None:
        """A statement that stands is not added twice, in whatever case and punctuation it is said."""
        fact = remember(record, "Ada plays chess")
        (change,) = apply(record, add(again))
        assert (change.kind, change.fact) == ("NONE", fact.id)
        assert facts_of(record) == [fact]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Ada writes C", "Ada writes C++"),
            ("it is 5 degrees", "it is -5 degrees"),
            ("की", "कि"),
            ("Ada 😀", "Ada 😢"),
        ],
    )
    def test_nearly_the_same(self, record: Record, one: str, other: str) -> None:
        """Statements that differ in a sign, a vowel or a number are two."""
        apply(record, add(one), add(other))
        assert statements(record) == {one, other}

    def test_same_statement_of_another(self, record: Record) -> None:
        """Owners hold equal statements each for themselves."""
        remember(record, "tea is good")
        remember(record, "tea is good", owner=BOB)
        assert (len(facts_of(record)), len(facts_of(record, BOBS))) == (1, 1)

    def test_update_to_what_stands(self, record: Record) -> None:
        """A fact that comes to say what another says is retracted: one of them is enough."""
        tea = remember(record, "Ada drinks tea")
        coffee = remember(record, "Ada drinks coffee")
        changes = apply(record, update(coffee, "Ada drinks tea"))
        assert kinds(changes) == ["DELETE", "NONE"]
        assert facts_of(record) == [tea]

    def test_update_to_what_it_says(self, record: Record) -> None:
        """An update that changes nothing makes no version."""
        fact = remember(record, "Ada drinks tea", kind="habit")
        (change,) = apply(record, update(fact, "Ada drinks tea"))
        assert (change.kind, facts_of(record)) == ("NONE", [fact])

    def test_correct_the_spelling(self, record: Record) -> None:
        """An update that changes only the spelling makes a version: it is what a person wants to read."""
        fact = remember(record, "ada's sister is priya")
        (change,) = apply(record, update(fact, "Ada's sister is Priya"))
        assert (change.kind, after(change).version) == ("UPDATE", 2)
        assert statements(record) == {"Ada's sister is Priya"}

    def test_said_again_after_it_was_retracted(self, record: Record) -> None:
        """A retracted statement may be learned again; it is another fact then."""
        old = remember(record, "Ada drinks tea")
        apply(record, retract(old))
        assert remember(record, "Ada drinks tea").id != old.id

    # --- trust

    @pytest.mark.parametrize(("held", "asked"), [("user", "assistant"), ("user", "tool"), ("assistant", "tool")])
    def test_less_trusted(self, record: Record, held: Trust, asked: Trust) -> None:
        """What is less trusted neither changes nor ends what is more trusted; the decision is kept."""
        fact = remember(record, "Ada drinks tea", trust=held, key="drink")
        end = replace(retract(fact), trust=asked)
        changes = apply(
            record,
            update(fact, "Ada drinks coffee", trust=asked),
            add("Ada drinks cola", key="drink", trust=asked),
            end,
        )
        assert kinds(changes) == ["NONE", "NONE", "NONE"]
        assert facts_of(record) == [fact]

    @pytest.mark.parametrize(("held", "asked"), [("tool", "assistant"), ("assistant", "user"), ("user", "user")])
    def test_trusted_enough(self, record: Record, held: str, asked: str) -> None:
        """What is as trusted as a fact, or more, may supersede it."""
        fact = remember(record, "Ada drinks tea", trust=held)
        new = after(apply(record, update(fact, "Ada drinks coffee", trust=asked))[0])
        assert (new.version, new.trust) == (2, asked)

    # --- versions

    def test_changed_meanwhile(self, record: Record, other: Record) -> None:
        """An edit for a version that does not stand any more is refused, and nothing is written."""
        fact = remember(record, "Ada drinks tea")
        new = after(apply(other, update(fact, "Ada drinks coffee"))[0])
        for edit in (update(fact, "Ada drinks cola", version=1), retract(fact, version=1), restore(fact, version=1)):
            with pytest.raises(FactChanged):
                apply(record, add("also"), edit)
        assert facts_of(record) == [new]

    def test_the_version_that_was_seen(self, record: Record) -> None:
        """An edit for the version that stands is done; a restoration names the newest, standing or not."""
        fact = remember(record, "Ada drinks tea")
        new = after(apply(record, update(fact, "Ada drinks coffee", version=1))[0])
        apply(record, retract(new, version=2))
        (change,) = apply(record, restore(fact, version=2))
        assert (after(change).version, statements(record)) == (3, {"Ada drinks tea"})

    def test_unknown_fact(self, record: Record) -> None:
        """A fact that is not there, is another owner's or was retracted cannot be edited."""
        gone = remember(record, "gone")
        apply(record, retract(gone))
        his = remember(record, "his", owner=BOB)
        nowhere = replace(his, id=uuid4())
        for edit in (update(gone, "x"), retract(gone), update(his, "x"), retract(his), restore(his), restore(nowhere)):
            with pytest.raises(FactNotFound):
                apply(record, edit)
        assert statements(record, BOBS) == {"his"}

    # --- one write

    def test_idempotency(self, record: Record, other: Record) -> None:
        """The same edits under one key are done once and answered alike, though made anew at the second try."""
        first = apply(record, add("one"), add("two"), idempotency_key="k")
        again = apply(other, add("one"), add("two"), idempotency_key="k")
        assert [change.id for change in again] == [change.id for change in first]
        assert [after(change) for change in again] == [after(change) for change in first]
        assert (len(facts_of(record)), len(history(record))) == (2, 2)

    def test_idempotency_later(self, record: Record) -> None:
        """Edits that are sent again under their key do not undo what came since."""
        fact = after(apply(record, add("Ada drinks tea", key="drink"), idempotency_key="k")[0])
        apply(record, update(fact, "Ada drinks coffee", key="drink"))
        apply(record, add("Ada drinks tea", key="drink"), idempotency_key="k")
        assert statements(record) == {"Ada drinks coffee"}

    def test_idempotency_conflict(self, record: Record) -> None:
        """Other edits under a used key are refused, and nothing of them is kept."""
        apply(record, add("one"), idempotency_key="k")
        for edits in ((add("two"),), (add("one"), add("two")), (add("one", kind="k"),), (Edit("NONE"),)):
            with pytest.raises(IdempotencyConflict):
                apply(record, *edits, idempotency_key="k")
        assert statements(record) == {"one"}

    def test_idempotency_of_owners_and_appends(self, record: Record) -> None:
        """A key of one owner's edits is free for another owner's, and for appends."""
        apply(record, add("one"), idempotency_key="k")
        apply(record, add("two"), idempotency_key="k", owner=BOB)
        append(record, Message.user("three"), key="k")
        assert (statements(record), statements(record, BOBS)) == ({"one"}, {"two"})

    def test_a_transaction(self, stores: tuple[Store, Store], record: Record, other: Record) -> None:
        """Edits that join a transaction are seen by those that join after them, and by others when it has ended."""
        with stores[0].transaction() as connection:
            fact = after(apply(record, add("one"), connection=connection)[0])
            apply(record, update(fact, "two"), connection=connection)
            assert facts_of(other) == []
        assert statements(other) == {"two"}
        assert kinds(history(other)) == ["ADD", "UPDATE"]

    def test_a_transaction_that_fails(self, stores: tuple[Store, Store], record: Record) -> None:
        """Edits that joined a transaction are undone with it, with their history."""
        fact = remember(record, "one")
        before = facts_of(record), history(record)
        with pytest.raises(Interrupted), stores[0].transaction() as connection:
            apply(record, update(fact, "two"), add("three"), connection=connection)
            raise Interrupted
        assert (facts_of(record), history(record)) == before

    def test_a_refusal_in_a_transaction(self, stores: tuple[Store, Store], record: Record) -> None:
        """Edits that are refused leave the transaction that they joined as it was, and usable."""
        fact = remember(record, "one")
        with stores[0].transaction() as connection:
            apply(record, add("two"), connection=connection)
            with pytest.raises(FactChanged):
                apply(record, add("lost"), update(fact, "x", version=7), connection=connection)
            apply(record, add("three"), connection=connection)
        assert statements(record) == {"one", "two", "three"}

    def test_an_asynchronous_transaction(self, stores: tuple[Store, Store], record: Record) -> None:
        """Edits may join the transaction of an asynchronous connection, be refused in it, and be undone with it."""
        self.needs("async_transactions")
        fact = remember(record, "one")

        async def write(*, fail: bool) -> None:
            async with await self.connect(stores[0]) as connection:
                await record.awrite(asked(update(fact, "two")), connection)
                with pytest.raises(FactChanged):
                    await record.awrite(asked(update(fact, "x", version=1)), connection)
                await record.awrite(asked(add("three")), connection)
                if fail:
                    raise Interrupted

        with pytest.raises(Interrupted):
            asyncio.run(write(fail=True))
        assert statements(record) == {"one"}
        asyncio.run(write(fail=False))
        assert statements(record) == {"two", "three"}

    def test_tenants(self, record: Record, stranger: Record) -> None:
        """Two tenants hold facts of the same owner, key and words, and neither reaches the other's."""
        mine = remember(record, "Ada drinks tea", key="drink")
        theirs = remember(stranger, "Ada drinks tea", key="drink")
        with pytest.raises(FactNotFound):
            apply(stranger, update(mine, "Ada drinks coffee"))
        assert (fact_of(record, mine.id), fact_of(stranger, theirs.id)) == (mine, theirs)
