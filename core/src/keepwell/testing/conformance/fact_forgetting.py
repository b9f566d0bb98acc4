"""Forgetting with facts: what goes, what goes with it, and what is learned anew from the rest."""

from __future__ import annotations

from typing import ClassVar
from uuid import uuid4

import pytest

from keepwell.errors import FactNotFound, MessageNotFound, ThreadNotFound
from keepwell.formation.settle import Edit
from keepwell.models import Fact, Forgotten, Owner, Receipt, Scope
from keepwell.storage.base import DeleteMessages, FindCandidates, Forget, LoadScope, PostTerms, Record
from keepwell.storage.facts import (
    ClaimThread,
    DueItem,
    FetchFacts,
    FindForming,
    Formed,
    ModelCall,
    PutDue,
    RawSources,
    ReadFormation,
    ReadHistory,
    ReadSources,
    ReadSpent,
    Remains,
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
    at,
    found,
    open_space,
    read,
    texts,
    unit,
)
from keepwell.testing.conformance.facts_base import (
    COOK,
    COOKS,
    LEASE,
    add,
    after,
    apply,
    claim,
    facts_of,
    formed_from,
    hashed,
    history,
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
from keepwell.testing.conformance.forgetting import PLACES, removed

NONE = dict.fromkeys(PLACES, 0)


def passed(record: Record) -> None:
    """Say of everything that is due to be formed that it was."""
    while taken := record.write(ClaimThread(LEASE, early=True)):
        apply(record, owner=taken.owner, formed=Formed(taken, taken.last_seq))


def again(record: Record, thread: str = "t", owner: Owner = ADA) -> list[str]:
    """Give the messages of a thread that are to be formed."""
    taken = claim(record, found(record, thread, owner).key, early=True)
    return words(unformed(record, taken))


class FactForgettingConformance(StoreConformance):
    """What a store promises about forgetting facts, and what facts rest on."""

    capability: ClassVar[Capability] = "fact_forgetting"

    def remains(self, record: Record, **named: object) -> dict[str, int]:
        """Give what is there, in every place."""
        got = record.read(Remains(ADAS, **named))  # type: ignore[arg-type]
        return {place: got.get(place, 0) for place in PLACES}

    def gone(self, record: Record, *facts: Fact) -> None:
        """Check that of facts nothing is found in any way."""
        ids = tuple(fact.id for fact in facts)
        assert facts_of(record, EVERYONE, ids=ids, versions=True) == []
        assert record.read(RawSources(EVERYONE, ids)) == {}
        for ident in ids:
            assert history(record, EVERYONE, fact=ident) == []
            with pytest.raises(FactNotFound):
                record.read(ReadSources(EVERYONE, ident))
        loaded = record.read(LoadScope(EVERYONE, None, None)).messages
        assert not {fact.text.lower() for fact in facts} & set(loaded.terms)
        for word in {word for fact in facts for word in fact.text.lower().split()}:
            assert not set(record.read(FindCandidates(EVERYONE, None, None, (word,), 9)).statistics.frequencies)

    # --- facts

    def test_fact(self, record: Record) -> None:
        """With a fact go its versions, vectors, sources and history; what it rested on stays, and is not read again."""
        space = open_space(record)
        first, second = said(record, "tea", "coffee")
        fact = remember(record, "xylo", sources=resting(first))
        apply(record, update(fact, "yodel", sources=resting(second), vectors=(unit(1),)), space=space.key)
        other = remember(record, "other")
        passed(record)
        before = self.remains(record, fact=fact.id)
        receipt = record.write(Forget(ADAS, fact=fact.id))
        counted = {place: count for place, count in removed(receipt).items() if place != "due"}
        assert counted == {place: count for place, count in NONE.items() if place != "due"} | {
            "facts": 1,
            "fact_versions": 2,
            "changes": 2,
            "sources": 2,
            "vectors": 1,
            "postings": 1,
        }
        assert before == removed(receipt)
        assert self.remains(record, fact=fact.id) == NONE
        self.gone(record, fact)
        assert facts_of(record) == [other]
        assert texts(read(record)) == ["tea", "coffee"]
        assert record.read(FindForming(early=True)) == ()

    def test_what_was_formed_from_it(self, record: Record) -> None:
        """With a fact goes what was formed from it, of any owner; what that also rests on is to be formed again."""
        own, others = said(record, "own word", "other word")
        fact = remember(record, "xylo", sources=resting(own))
        child = remember(record, "yodel", sources=(*formed_from(fact), *resting(own, others)), owner=COOK)
        deep = remember(record, "zither", sources=formed_from(child), owner=BOB)
        apply(record, retract(deep), owner=BOB)
        passed(record)
        receipt = record.write(Forget(ADAS, fact=fact.id))
        assert (receipt.counts["facts"], receipt.counts["fact_versions"]) == (3, 3)
        self.gone(record, fact, child, deep)
        assert again(record) == ["other word"]

    def test_everywhere(self, record: Record) -> None:
        """Forgotten everywhere, a fact takes the messages along that it rests on, and what rests on those."""
        secret, plain = said(record, "xylo secret", "plain")
        fact = remember(record, "yodel", sources=resting(secret))
        same = remember(record, "zither", sources=resting(secret, plain))
        keeps = remember(record, "keeps", sources=resting(plain))
        passed(record)
        receipt = record.write(Forget(ADAS, fact=fact.id, everywhere=True))
        assert (receipt.counts["messages"], receipt.counts["facts"]) == (1, 2)
        self.gone(record, fact, same)
        assert texts(read(record)) == ["plain"]
        assert facts_of(record) == [keeps]
        assert again(record) == ["plain"]

    def test_everywhere_within_the_scope(self, record: Record) -> None:
        """A view that forgets a fact everywhere removes no message of an owner that it does not cover."""
        (number,) = said(record, "Ada's word")
        fact = remember(record, "the cook knows", sources=resting(number), owner=COOK)
        record.write(Forget(COOKS, fact=fact.id, everywhere=True))
        assert texts(read(record)) == ["Ada's word"]
        assert facts_of(record, EVERYONE) == []

    def test_retracted_fact(self, record: Record) -> None:
        """A fact that stands no more can be forgotten, too."""
        fact = remember(record, "xylo")
        apply(record, retract(fact))
        assert record.write(Forget(ADAS, fact=fact.id)).counts["changes"] == 2
        self.gone(record, fact)

    def test_unknown_fact(self, record: Record) -> None:
        """A fact that is not the scope's cannot be forgotten; nothing goes."""
        his = remember(record, "his", owner=BOB)
        for ident in (uuid4(), his.id):
            with pytest.raises(FactNotFound):
                record.write(Forget(ADAS, fact=ident, everywhere=True, reject=hashed("his")))
        assert facts_of(record, BOBS) == [his]
        assert record.read(ReadFormation()).rejections == 0

    # --- messages

    @pytest.mark.parametrize("way", ["forget", "delete"])
    def test_message(self, record: Record, way: str) -> None:
        """With a message go the facts any version of which rests on it; other messages of theirs are formed again."""
        secret, plain, third = said(record, "secret", "plain", "third")
        was = remember(record, "xylo", sources=resting(secret))
        apply(record, update(was, "yodel", sources=resting(plain)))
        child = remember(record, "zither", sources=(*formed_from(was), *resting(third)), owner=COOK)
        keeps = remember(record, "keeps", sources=resting(plain))
        passed(record)
        before = self.remains(record, thread=found(record).key, message="secret")
        if way == "forget":
            receipt = record.write(Forget(ADAS, found(record).key, "secret"))
            assert before == removed(receipt)
            assert (receipt.counts["messages"], receipt.counts["facts"], receipt.counts["fact_versions"]) == (1, 2, 3)
        else:
            record.write(DeleteMessages(ADA, "t", ("secret",)))
        self.gone(record, was, child)
        assert facts_of(record) == [keeps]
        assert self.remains(record, thread=found(record).key, message="secret") == NONE
        assert again(record) == ["plain", "third"]

    def test_decisions_about_a_message(self, record: Record) -> None:
        """With a message go the decisions that name it, though no fact came of them."""
        (number,) = said(record, "secret")
        fact = remember(record, "keeps")
        apply(record, Edit("NONE", reject=hashed("xylo")))
        refused = add("xylo", sources=resting(number), reason="because of xylo", trust="tool")
        doubted = update(fact, "yodel", sources=resting(number), reason="because of yodel", trust="tool")
        apply(record, refused, doubted)
        record.write(Forget(ADAS, found(record).key, "secret"))
        assert [change.fact for change in history(record) if change.sources] == []
        assert facts_of(record) == [fact]

    def test_message_that_is_not_formed_yet(self, record: Record) -> None:
        """Forgetting the only message that was to be formed leaves nothing due."""
        tell(record, "secret")
        record.write(Forget(ADAS, found(record).key, "secret"))
        assert record.write(ClaimThread(LEASE, early=True)) is None

    def test_others_messages(self, record: Record) -> None:
        """Messages of other threads and owners are formed again, too, where a fact that goes rests on them."""
        (mine,) = said(record, "mine")
        (other,) = said(record, "other", thread="other")
        (his,) = said(record, "his", owner=BOB)
        remember(record, "xylo", sources=resting(mine, other, his))
        passed(record)
        record.write(Forget(ADAS, found(record).key, "mine"))
        assert again(record, "other") == ["other"]
        assert again(record, owner=BOB) == ["his"]

    def test_unknown_message(self, record: Record) -> None:
        """Where the message is not there, no fact goes."""
        (number,) = said(record, "one")
        fact = remember(record, "xylo", sources=resting(number))
        with pytest.raises(MessageNotFound):
            record.write(Forget(ADAS, found(record).key, "two"))
        assert facts_of(record) == [fact]

    # --- threads and scopes

    def test_thread(self, record: Record) -> None:
        """With a thread go the facts that rest on its messages; what else they rest on is formed again."""
        inside, _ = said(record, "inside", "also inside")
        (outside,) = said(record, "outside", thread="other")
        one = remember(record, "xylo", sources=resting(inside))
        both = remember(record, "yodel", sources=resting(inside, outside))
        keeps = remember(record, "keeps", sources=resting(outside))
        passed(record)
        key = found(record).key
        before = self.remains(record, thread=key)
        receipt = record.write(Forget(ADAS, key))
        assert before == removed(receipt)
        assert (receipt.counts["threads"], receipt.counts["messages"], receipt.counts["facts"]) == (1, 2, 2)
        self.gone(record, one, both)
        assert facts_of(record) == [keeps]
        assert self.remains(record, thread=key) == NONE
        assert again(record, "other") == ["outside"]

    def test_unknown_thread(self, record: Record) -> None:
        """Of a thread that is not there nothing remains, and it cannot be forgotten."""
        remember(record, "keeps")
        assert self.remains(record, thread=uuid4()) == NONE
        with pytest.raises(ThreadNotFound):
            record.write(Forget(ADAS, uuid4()))
        assert statements(record) == {"keeps"}

    def test_scope(self, record: Record) -> None:
        """With a scope goes everything that is kept of it, and what others formed from it."""
        space = open_space(record)
        tell(record, "one", "two")
        (number,) = said(record, "three", thread="other")
        fact = remember(record, "xylo", sources=resting(number))
        apply(record, update(fact, "yodel", sources=resting(number), vectors=(unit(1),)), space=space.key)
        his = remember(record, "zither", owner=BOB, sources=formed_from(after(history(record)[-1])))
        keeps = remember(record, "keeps", owner=BOB)
        apply(
            record,
            Edit("NONE", reason="no", reject=hashed("anything")),
            calls=(ModelCall("m", "extract", 3, 2, 0.5),),
            idempotency_key="k",
        )
        record.write(PutDue((DueItem("distil", ADA),)))
        record.write(SetPolicy(ADA, {"instructions": "speak of tea"}))
        record.write(PostTerms(limit=100))
        before = self.remains(record)
        receipt = record.write(Forget(ADAS))
        counts = removed(receipt)
        assert before == counts
        assert {place: counts[place] for place in PLACES if place != "due"} == {
            "threads": 2,
            "messages": 3,
            "versions": 0,
            "postings": 5,
            "vectors": 1,
            "idempotency": 1,
            "facts": 2,
            "fact_versions": 3,
            "changes": 4,
            "sources": 3,
            "rejections": 1,
            "model_calls": 1,
        }
        self.gone(record, fact, his)
        assert self.remains(record) == NONE
        assert (facts_of(record, EVERYONE), record.read(ReadSpent(at(0)))) == ([keeps], ())
        assert record.write(SetPolicy(ADA, {})) == {}
        status = record.read(ReadFormation())
        assert (status.facts, status.changes, status.due_threads, status.rejections) == (1, 1, 0, 0)
        assert "distil" not in status.due_items

    def test_scope_leaves_others(self, record: Record) -> None:
        """What is kept of others is not touched: facts, history, rejections, work, policies and calls."""
        remember(record, "mine")
        fact = remember(record, "his", owner=BOB)
        apply(
            record,
            Edit("NONE", reject=hashed("x")),
            owner=BOB,
            calls=(ModelCall("m", "extract", 1, 1, 0.1),),
            idempotency_key="k",
        )
        record.write(PutDue((DueItem("distil", BOB),)))
        record.write(SetPolicy(BOB, {"retention": 5}))
        before = history(record, BOBS)
        record.write(Forget(ADAS))
        assert (facts_of(record, BOBS), history(record, BOBS)) == ([fact], before)
        status = record.read(ReadFormation())
        assert (status.facts, status.rejections, status.due_items["distil"]) == (1, 1, 1)
        assert record.write(SetPolicy(BOB, {})) == {"retention": 5}
        assert len(record.read(ReadSpent(at(0)))) == 1

    def test_a_narrow_scope(self, record: Record) -> None:
        """Forgetting a person's agent leaves the person's own facts, but for those formed from the agent's."""
        keeps = remember(record, "keeps")
        cooks = remember(record, "xylo", owner=COOK)
        remember(record, "yodel", sources=formed_from(cooks))
        record.write(Forget(COOKS))
        assert facts_of(record) == [keeps]

    def test_receipt(self, record: Record) -> None:
        """The receipt names what was forgotten, by ids alone."""
        key = tell(record, "one", "two")
        fact = remember(record, "xylo")
        asked = (
            (Forget(ADAS, fact=fact.id), Forgotten("ada", fact=fact.id)),
            (Forget(ADAS, key, "one"), Forgotten("ada", thread=key, message="one")),
            (Forget(Scope("ada"), key), Forgotten("ada", thread=key)),
            (Forget(COOKS), Forgotten("ada", "cook")),
            (Forget(Scope(run_id="r", across_users=True)), Forgotten(run_id="r", across_users=True)),
        )
        for change, what in asked:
            receipt: Receipt = record.write(change)
            assert receipt.what == what

    def test_twice(self, record: Record) -> None:
        """A scope may be forgotten again: nothing is left to count."""
        remember(record, "xylo")
        record.write(Forget(ADAS))
        assert removed(record.write(Forget(ADAS))) == NONE

    def test_anew(self, record: Record) -> None:
        """What was forgotten and not rejected may be learned again, from version 1."""
        fact = remember(record, "xylo", key="k")
        record.write(Forget(ADAS))
        new = remember(record, "xylo", key="k")
        assert (new.id != fact.id, new.version) == (True, 1)

    def test_tenants(self, record: Record, stranger: Record) -> None:
        """Forgetting everything of one tenant touches no other; no tenant forgets or counts another's."""
        fact = remember(record, "mine")
        theirs = remember(stranger, "theirs")
        assert not any(stranger.read(Remains(EVERYONE, fact=fact.id)).values())
        with pytest.raises(FactNotFound):
            stranger.write(Forget(EVERYONE, fact=fact.id))
        record.write(Forget(EVERYONE))
        assert facts_of(stranger) == [theirs]
        assert len(stranger.read(ReadHistory(ADAS))) == 1
        assert record.read(FetchFacts(EVERYONE, (-1, -2, -3))) == {}
