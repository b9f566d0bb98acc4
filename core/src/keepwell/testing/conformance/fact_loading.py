"""Facts that a recall loads: rows beside messages, kept current, with their vectors."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from keepwell.errors import Conflict, FactNotFound
from keepwell.models import Fact, Message
from keepwell.recall.arrays import CandidateColumns, halves
from keepwell.storage.base import (
    AppendMessages,
    FindCandidates,
    FindMissing,
    Forget,
    LoadScope,
    MatchMetadata,
    PutVectors,
    ReadStatus,
    Record,
    ReplaceMessage,
    SwitchSpace,
    VectorRow,
    Weigh,
    Weight,
)
from keepwell.storage.facts import DueItem, FactsWithoutVectors, FinishDue, TakeDue
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    EVERYONE,
    Capability,
    StoreConformance,
    at,
    build,
    drain,
    fetch,
    found,
    open_space,
    put,
    say,
    unit,
)
from keepwell.testing.conformance.fact_history import any_edits
from keepwell.testing.conformance.facts_base import (
    COOK,
    add,
    after,
    apply,
    fact_of,
    facts_of,
    formed_from,
    remember,
    restore,
    retract,
    statements,
    update,
)
from keepwell.testing.conformance.mirror import Mirror, known_messages, known_vectors

Vector = tuple[int, bytes]


def key_of(record: Record, fact: Fact) -> int:
    """Give the key of the standing version of a fact, or of its newest."""
    rows = record.read(LoadScope(EVERYONE, None, None)).messages
    high, low = halves(fact.id).tolist()[0]
    keys = [int(key) for key, thread in zip(rows.keys, rows.threads.tolist(), strict=True) if thread == [high, low]]
    return min(keys)


def found_facts(record: Record, *terms: str, **asked: Any) -> CandidateColumns:  # noqa: ANN401 - fields of FindCandidates
    """Find candidates in Ada's scope."""
    given = {"scope": ADAS, "space": None, "vector": None, "terms": terms, "limit": 5, **asked}
    return record.read(FindCandidates(**given))


class FactLoadingConformance(StoreConformance):
    """What a store promises to a recall about facts."""

    capability: ClassVar[Capability] = "fact_loading"

    def test_rows(self, record: Record) -> None:
        """A version of a fact is a row with a key below 0, its id as thread, no number, and whom it is about."""
        fact = remember(record, "Ada drinks tea", subject="Ada", signals="1001", valid_from=at(5))
        plain = remember(record, "plain")
        delta = record.read(LoadScope(ADAS, None, None))
        ((high, low), other) = halves(fact.id, plain.id).tolist()
        rows = known_messages(delta)
        told, untold = rows[key_of(record, fact)], rows[key_of(record, plain)]
        assert told == ((high, low), 0, at(5).timestamp(), "ada drinks tea", math.inf, "Ada", "1001")
        assert untold[:2] == (tuple(other), 0)
        assert abs(untold[2] - plain.recorded_at.timestamp()) < 0.01
        assert all(key < 0 for key in rows)
        recorded = dict(zip(delta.messages.keys.tolist(), delta.messages.recorded.tolist(), strict=True))
        assert abs(recorded[key_of(record, fact)] - fact.recorded_at.timestamp()) < 0.01

    def test_who_speaks(self, record: Record) -> None:
        """A message's row says who speaks, by name or else by role, and what signals were given."""
        messages = (Message.user("one", id="a", name="Ada"), Message.assistant("two", id="b"))
        record.write(AppendMessages(ADA, "t", messages, ("one", "two"), signals=("1s", "2s")))
        rows = record.read(LoadScope(ADAS, None, None)).messages
        assert sorted(zip(rows.actors, rows.signals, strict=True)) == [("Ada", "1s"), ("assistant", "2s")]
        record.write(ReplaceMessage(ADA, "t", Message.user("ONE", id="a"), "one", "3s"))
        rows = record.read(LoadScope(ADAS, None, None)).messages
        assert sorted(zip(rows.actors, rows.signals, strict=True)) == [("assistant", "2s"), ("user", "3s")]

    def test_many_keys(self, record: Record) -> None:
        """No two rows have one key, and a key stays with its row."""
        say(record, *(f"m{number}" for number in range(5)))
        apply(record, *(add(f"fact {number}") for number in range(5)))
        first = known_messages(record.read(LoadScope(ADAS, None, None)))
        assert len(first) == 10
        remember(record, "another")
        second = known_messages(record.read(LoadScope(ADAS, None, None)))
        assert first.items() <= second.items()

    def test_ended(self, record: Record) -> None:
        """A version that ended comes with when it did, and without vectors."""
        space = open_space(record)
        fact = remember(record, "tea", space=space.key, vectors=(unit(1),))
        old = key_of(record, fact)
        mirror = Mirror(record, ADAS, space.key)
        assert len(mirror.load().vectors.keys) == 1
        (change,) = apply(record, update(fact, "coffee", vectors=(unit(2, 1),)), space=space.key)
        delta = mirror.load()
        assert not delta.full
        rows = known_messages(delta)
        assert set(rows) == {old, key_of(record, fact)}
        assert abs(rows[old][4] - change.at.timestamp()) < 0.01
        assert {key for key, _ in mirror.vectors} == {key_of(record, fact)}
        mirror.check()

    def test_reopened(self, record: Record) -> None:
        """A re-opened fact is never eligible: it comes as one that ended before everything."""
        tea = remember(record, "tea")
        habit = remember(record, "habit", sources=formed_from(tea))
        mirror = Mirror(record, ADAS)
        mirror.load()
        apply(record, update(tea, "coffee"))
        mirror.load()
        assert mirror.messages[key_of(record, habit)][4] == 0.0
        apply(record, restore(fact_of(record, habit.id)))
        mirror.load()
        assert mirror.messages[key_of(record, habit)][4] == math.inf
        mirror.check()

    @pytest.mark.parametrize(
        "what",
        [
            lambda record, _: remember(record, "new", subject="Ada"),
            lambda record, fact: apply(record, update(fact, "changed")),
            lambda record, fact: apply(record, retract(fact)),
            lambda record, fact: apply(record, retract(fact), restore(fact)),
            lambda record, fact: record.write(Forget(ADAS, fact=fact.id)),
            lambda record, _: record.write(Forget(ADAS)),
            lambda record, _: remember(record, "not seen", owner=BOB),
        ],
        ids=["add", "update", "retract", "retract and restore", "forget", "forget scope", "another's"],
    )
    def test_changes(self, record: Record, other: Record, what: Callable[[Record, Fact], object]) -> None:
        """Who holds a scope is brought up to date by what changed in its facts, whatever that was."""
        space = open_space(record)
        say(record, "one")
        fact = remember(record, "tea", space=space.key, vectors=(unit(1),))
        remember(record, "cooks", owner=COOK)
        mirrors = [Mirror(other, scope, space.key) for scope in (ADAS, BOBS, EVERYONE)]
        for mirror in mirrors:
            mirror.load()
        what(record, fact)
        for mirror in mirrors:
            assert not mirror.load().full
            mirror.check()

    @pytest.mark.parametrize("seed", range(4))
    def test_any_changes(self, record: Record, other: Record, seed: int) -> None:
        """After any edits, what was loaded bit by bit is what is loaded whole."""
        chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        mirror = Mirror(other, ADAS)
        for _ in range(10):
            try:
                apply(record, *any_edits(chance, record), explicit=True)
            except FactNotFound:
                continue
            if chance.random() < 0.5:
                mirror.load()
        mirror.check()
        standing = {key for key, known in mirror.messages.items() if known[4] == math.inf}
        assert len(standing) == sum(not fact.reopened for fact in facts_of(record))

    def test_as_of(self, record: Record) -> None:
        """By when rows were recorded and ended, a reader has what was held at any instant."""
        tea = remember(record, "tea")
        (second,) = apply(record, update(tea, "coffee"))
        (third,) = apply(record, retract(tea))
        rows = record.read(LoadScope(ADAS, None, None)).messages
        for instant in (tea.recorded_at, second.at, third.at):
            now = instant.timestamp()
            held = {
                terms
                for terms, recorded, retired in zip(rows.terms, rows.recorded, rows.retired, strict=True)
                if recorded <= now < retired
            }
            assert held == statements(record, as_of=instant)

    def test_scopes(self, record: Record) -> None:
        """A loading, a weighing and a filter bring the facts of the scope alone."""
        for owner in (ADA, COOK, BOB):
            remember(record, f"{owner.user_id} {owner.agent_id} xylo", owner=owner, metadata={"n": 1})
        for scope, count in ((ADAS, 2), (BOBS, 1), (EVERYONE, 3)):
            assert record.read(LoadScope(scope, None, None)).messages.keys.size == count
            assert record.read(Weigh(scope)).messages == count
            assert record.read(MatchMetadata(scope, {"n": 1})).size == count
            assert record.read(FindCandidates(scope, None, None, ("xylo",), 9)).messages.keys.size == count

    def test_weight(self, record: Record) -> None:
        """A fact that stands weighs as a message does; one that ended weighs nothing."""
        say(record, "one two")
        fact = remember(record, "three four five")
        assert record.read(Weigh(ADAS)) == Weight(2, 5)
        apply(record, update(fact, "six"))
        assert record.read(Weigh(ADAS)) == Weight(2, 3)
        apply(record, retract(fact))
        assert record.read(Weigh(ADAS)) == Weight(1, 2)

    def test_metadata(self, record: Record) -> None:
        """Facts are matched by their metadata, as messages are."""
        fact = remember(record, "tea", metadata={"place": "home", "tags": ["a", "b"]})
        remember(record, "coffee", metadata={"place": "work"})
        for where in ({"place": "home"}, {"tags": ["b"]}, {"place": "home", "tags": []}):
            assert record.read(MatchMetadata(ADAS, where)).tolist() == [key_of(record, fact)]

    def test_keys_of_messages_fetch_no_facts(self, record: Record) -> None:
        """Messages and facts are fetched apart, each by its own keys."""
        fact = remember(record, "tea")
        assert fetch(record, ADAS, key_of(record, fact), -key_of(record, fact)) == {}

    # --- candidates

    def test_candidates(self, record: Record) -> None:
        """A fact is found by its words and by its vector, with its vectors; statistics count it."""
        space = open_space(record)
        say(record, "tea is hot")
        fact = remember(record, "ada likes tea", space=space.key, vectors=(unit(1), unit(0, 1)))
        key = key_of(record, fact)
        for got in (
            found_facts(record, "likes", space=space.key),
            found_facts(record, space=space.key, vector=unit(0, 1)),
        ):
            assert key in got.messages.keys
            assert {vector for vector in got.vectors.keys.tolist() if vector < 0} == {key}
            assert got.vectors.keys.tolist().count(key) == 2
        statistics = found_facts(record, "tea", "likes").statistics
        assert (statistics.messages, statistics.length) == (2, 6)
        assert dict(statistics.frequencies) == {"tea": 2, "likes": 1}

    def test_no_candidates(self, record: Record) -> None:
        """A fact that ended, or stands re-opened, is no candidate; nor is any fact in one thread."""
        say(record, "xylo")
        tea = remember(record, "xylo tea")
        habit = remember(record, "xylo habit", sources=formed_from(tea))
        apply(record, update(tea, "coffee"))
        assert habit.text not in found_facts(record, "xylo").messages.terms
        assert set(found_facts(record, "xylo").messages.terms) == {"xylo", "coffee"}
        within = found_facts(record, "xylo", "coffee", thread=found(record).key)
        assert within.messages.terms == ("xylo",)

    def test_candidates_by_filter(self, record: Record) -> None:
        """Candidates that are facts keep to the metadata, the span of time and the instant that were asked for."""
        old = remember(record, "tea old", valid_from=at(0), metadata={"n": 1})
        new = remember(record, "tea new", valid_from=at(60), metadata={"n": 2})
        assert found_facts(record, "tea", where={"n": 1}).messages.terms == ("tea old",)
        assert found_facts(record, "tea", since=at(30)).messages.terms == ("tea new",)
        assert found_facts(record, "tea", until=at(30)).messages.terms == ("tea old",)
        assert found_facts(record, "tea", as_of=old.recorded_at).messages.terms == ("tea old",)
        assert set(found_facts(record, "tea", as_of=new.recorded_at).messages.terms) == {"tea old", "tea new"}

    def test_words_of_the_past(self, record: Record) -> None:
        """A word of a version that ended is in no statistics any more."""
        fact = remember(record, "xylo tea")
        apply(record, update(fact, "coffee"))
        statistics = found_facts(record, "xylo", "coffee").statistics
        assert (statistics.messages, dict(statistics.frequencies)) == (1, {"coffee": 1})

    # --- vectors

    def test_vectors_that_came_along(self, record: Record) -> None:
        """Vectors that come with a fact are kept with it, and nothing is due."""
        space = open_space(record)
        fact = remember(record, "tea", space=space.key, vectors=(unit(1), unit(0, 1)))
        delta = record.read(LoadScope(ADAS, space.key, None))
        key = key_of(record, fact)
        assert known_vectors(delta) == {(key, unit(1).tobytes()), (key, unit(0, 1).tobytes())}
        assert record.write(TakeDue(("embed",), dt.timedelta(0))) == ()
        assert record.read(ReadStatus()).vectors == 2

    @pytest.mark.parametrize("space", ["none", "unknown"])
    def test_vectors_are_due(self, record: Record, space: str) -> None:
        """A fact without vectors, or with those of a space that is not there, is to be embedded, and then is."""
        used = open_space(record)
        number = 10**9 if space == "unknown" else None
        fact = remember(record, "tea", space=number, vectors=(unit(1),) if number else ())
        items = record.write(TakeDue(("embed",), dt.timedelta(minutes=5)))
        assert [(item.kind, item.owner, item.item) for item in items] == [("embed", ADA, str(fact.id))]
        (due,) = record.read(FactsWithoutVectors(used.key, items))
        assert (due.key, due.text) == (key_of(record, fact), "tea")
        assert record.write(PutVectors(used.key, (VectorRow(due.key, 0, unit(1), due.version),)))
        record.write(FinishDue(items))
        assert known_vectors(record.read(LoadScope(ADAS, used.key, None))) == {(due.key, unit(1).tobytes())}
        assert record.read(FactsWithoutVectors(used.key, items)) == ()

    def test_vectors_of_a_version_that_ended(self, record: Record) -> None:
        """Vectors that arrive for a version which has ended meanwhile are not kept; the new one is due."""
        space = open_space(record)
        fact = remember(record, "tea")
        items = record.write(TakeDue(("embed",), dt.timedelta(0)))
        (due,) = record.read(FactsWithoutVectors(space.key, items))
        new = after(apply(record, update(fact, "coffee"))[0])
        put(record, space, {due.key: unit(1)})
        assert record.read(LoadScope(ADAS, space.key, None)).vectors.keys.size == 0
        items = record.write(TakeDue(("embed",), dt.timedelta(0)))
        assert [one.text for one in record.read(FactsWithoutVectors(space.key, items))] == [new.text]

    def test_due_facts_that_are_gone(self, record: Record, stranger: Record) -> None:
        """Items of facts that ended, are not there or are another tenant's give nothing to embed."""
        space, theirs = open_space(record), open_space(stranger)
        fact = remember(record, "tea")
        item = DueItem("embed", ADA, str(fact.id))
        assert stranger.read(FactsWithoutVectors(theirs.key, (item,))) == ()
        apply(record, retract(fact))
        assert record.read(FactsWithoutVectors(space.key, (item, DueItem("embed", ADA, str(uuid4()))))) == ()

    def test_a_new_space(self, record: Record) -> None:
        """A space is built with messages first and standing facts then, and is put into use when none lacks vectors."""
        old = open_space(record)
        say(record, "one", "two")
        drain(record, old)
        fact = remember(record, "tea", space=old.key, vectors=(unit(1),))
        apply(record, update(remember(record, "gone"), "coffee", vectors=(unit(1),)), space=old.key)
        new = open_space(record, "new")
        missing = record.read(FindMissing(new.key, 0, 10))
        assert [text.text for text in missing] == ["one", "two", "tea", "coffee"]
        assert [(text.message < 0, text.thread == fact.id) for text in missing[2:]] == [(True, True), (True, False)]
        put(record, new, {text.message: unit(1) for text in missing[:3]})
        with pytest.raises(Conflict):
            record.write(SwitchSpace(new.key))
        assert build(record, new, limit=1) == ["coffee"]
        record.write(SwitchSpace(new.key))
        assert record.read(LoadScope(ADAS, new.key, None)).vectors.keys.size == 4
        assert record.read(ReadStatus()).vectors == 4

    def test_pages_of_a_new_space(self, record: Record) -> None:
        """Page by page, everything that lacks a vector comes once."""
        space = open_space(record)
        say(record, "one", "two", "three")
        apply(record, *(add(f"fact {number}") for number in range(4)))
        assert sorted(build(record, space, limit=2)) == sorted(
            ["one", "two", "three", *(f"fact {number}" for number in range(4))]
        )
