"""Sources: what facts rest on, and what becomes of them when that ends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import ClassVar
from uuid import uuid4

import pytest

from keepwell.errors import FactNotFound, MessageNotFound
from keepwell.formation.settle import Edit
from keepwell.models import Fact, Message, Owner, Source
from keepwell.storage.base import Record
from keepwell.storage.facts import DueItem, FinishDue, PutDue, RawSources, ReadSources, TakeDue
from keepwell.testing.conformance.base import ADA, ADAS, BOB, BOBS, Capability, StoreConformance, append
from keepwell.testing.conformance.facts_base import (
    COOK,
    COOKS,
    add,
    after,
    apply,
    fact_of,
    facts_of,
    formed_from,
    history,
    kinds,
    remember,
    resting,
    restore,
    retract,
    said,
    statements,
    update,
)

DISTIL = Owner("ada", "keepwell:distil", "")


def reforming(record: Record) -> set[str]:
    """Give the facts that are to be looked at again, and let them be due."""
    items = record.write(TakeDue(("reform",), dt.timedelta(0), 100))
    return {item.item for item in items}


class SourcesConformance(StoreConformance):
    """What a store promises about what facts rest on."""

    capability: ClassVar[Capability] = "fact_sources"

    def test_quotes(self, record: Record, other: Record) -> None:
        """A fact gives the words that it rests on, with their message, its thread and its owner."""
        first, second = said(record, "I play chess, always", "and go")
        fact = remember(record, "Ada plays chess", sources=(Source(first, 2, 12), Source(second)))
        one, two = other.read(ReadSources(ADAS, fact.id)).quotes
        assert (one.text, one.start, one.end, one.message.text) == ("play chess", 2, 12, "I play chess, always")
        assert (one.thread, one.owner, one.message.seq) == ("t", ADA, 1)
        assert (two.text, two.start, two.end) == ("and go", 0, 0)

    def test_facts(self, record: Record) -> None:
        """A fact gives the facts that it was formed from, in the version that it was formed from."""
        tea = remember(record, "Ada drinks tea")
        habit = remember(record, "Ada has habits", sources=formed_from(tea))
        apply(record, update(tea, "Ada drinks coffee"))
        (source,) = record.read(ReadSources(ADAS, habit.id)).facts
        assert (source.id, source.version, source.text) == (tea.id, 1, "Ada drinks tea")

    def test_versions(self, record: Record) -> None:
        """Each version has its own sources; asked without one, the newest is told, standing or not."""
        first, second = said(record, "tea", "coffee")
        fact = remember(record, "Ada drinks tea", sources=resting(first))
        new = after(apply(record, update(fact, "Ada drinks coffee", sources=resting(second)))[0])
        apply(record, retract(new))
        told = [record.read(ReadSources(ADAS, fact.id, version)).quotes for version in (1, 2, None)]
        assert [[quote.text for quote in quotes] for quotes in told] == [["tea"], ["coffee"], ["coffee"]]

    def test_raw(self, record: Record) -> None:
        """The sources of all versions are given as they were named: messages in their order, then facts."""
        first, second = said(record, "tea", "coffee")
        plain = remember(record, "nothing said")
        sources = (Source(second, 0, 3), Source(first), *formed_from(plain))
        fact = remember(record, "Ada drinks", sources=sources)
        apply(record, update(fact, "Ada drinks coffee", sources=resting(second)))
        got = record.read(RawSources(ADAS, (fact.id, plain.id, uuid4())))
        assert {name: named for name, named in got.items() if named} == {
            (fact.id, 1): (Source(first), Source(second, 0, 3), *formed_from(plain)),
            (fact.id, 2): resting(second),
        }

    def test_none(self, record: Record) -> None:
        """A fact that rests on nothing has no sources."""
        fact = remember(record, "Ada drinks tea")
        sources = record.read(ReadSources(ADAS, fact.id))
        assert (sources.quotes, sources.facts) == ((), ())

    def test_unknown(self, record: Record) -> None:
        """Sources of a fact, or of a version, that is not there cannot be read."""
        his = remember(record, "his", owner=BOB)
        mine = remember(record, "mine")
        for ident, version in ((uuid4(), None), (his.id, None), (mine.id, 2)):
            with pytest.raises(FactNotFound):
                record.read(ReadSources(ADAS, ident, version))

    def test_said_again(self, record: Record) -> None:
        """The sources of a statement that is said again join those of the fact that stands, each once."""
        first, second = said(record, "tea", "tea again")
        fact = remember(record, "Ada drinks tea", sources=resting(first))
        apply(record, add("Ada drinks tea", sources=resting(first, second)))
        assert record.read(RawSources(ADAS, (fact.id,)))[fact.id, 1] == resting(first, second)
        assert facts_of(record) == [fact]

    def test_named_twice(self, record: Record) -> None:
        """A source that is named twice is kept once, in one edit and over several of one write."""
        (number,) = said(record, "tea")
        fact = remember(record, "Ada drinks tea", sources=resting(number, number))
        assert record.read(RawSources(ADAS, (fact.id,)))[fact.id, 1] == resting(number)
        again = (Source(number, 0, 3),)
        apply(record, add("Ada drinks tea", sources=again), add("Ada drinks tea", sources=(*again, *again)))
        assert record.read(RawSources(ADAS, (fact.id,)))[fact.id, 1] == (*resting(number), *again)

    def test_in_the_history(self, record: Record) -> None:
        """A change keeps the sources that it was made for."""
        (number,) = said(record, "tea")
        fact = remember(record, "Ada drinks tea", sources=(Source(number, 0, 3),))
        (change,) = history(record, fact=fact.id)
        assert change.sources == (Source(number, 0, 3),)

    def test_rests_on(self, record: Record) -> None:
        """Facts are listed by what they rest on: a message, a fact, or a fact in one version."""
        first, second = said(record, "tea", "coffee")
        tea = remember(record, "Ada drinks tea", sources=resting(first))
        remember(record, "Ada drinks coffee", sources=resting(second))
        remember(record, "Ada has habits", sources=(*resting(second), *formed_from(tea)))
        assert statements(record, rests_on=Source(first)) == {"Ada drinks tea"}
        assert statements(record, rests_on=Source(second)) == {"Ada drinks coffee", "Ada has habits"}
        assert statements(record, rests_on=Source(fact=tea.id)) == {"Ada has habits"}
        assert statements(record, rests_on=Source(fact=tea.id, version=1)) == {"Ada has habits"}
        assert statements(record, rests_on=Source(fact=tea.id, version=2)) == set()

    def test_only_what_the_scope_sees(self, record: Record) -> None:
        """A view is not shown words of owners that it does not cover, though a fact of its own rests on them."""
        (mine,) = said(record, "a word of Ada's")
        secret = remember(record, "a fact of Ada's")
        fact = remember(record, "the cook knows", owner=COOK, sources=(*resting(mine), *formed_from(secret)))
        narrow, wide = record.read(ReadSources(COOKS, fact.id)), record.read(ReadSources(ADAS, fact.id))
        assert (narrow.quotes, narrow.facts) == ((), ())
        assert ([quote.text for quote in wide.quotes], list(wide.facts)) == (["a word of Ada's"], [secret])

    def test_not_there(self, record: Record) -> None:
        """A fact cannot be made to rest on what is not there; nothing is written."""
        fact = remember(record, "Ada drinks tea")
        with pytest.raises(MessageNotFound):
            apply(record, add("one"), add("two", sources=resting(10**12)))
        for source in (Source(fact=uuid4(), version=1), Source(fact=fact.id, version=2)):
            with pytest.raises(FactNotFound):
                apply(record, add("one"), add("two", sources=(source,)))
        assert statements(record) == {"Ada drinks tea"}

    def test_another_tenants_message(self, record: Record, stranger: Record) -> None:
        """A fact cannot be made to rest on a message of another tenant."""
        (number,) = said(stranger, "theirs")
        with pytest.raises(MessageNotFound):
            remember(record, "mine", sources=resting(number))

    # --- what follows

    def test_reopened(self, record: Record) -> None:
        """A fact that was formed from a version which is superseded is re-opened, and noted as work."""
        tea = remember(record, "Ada drinks tea")
        habit = remember(record, "Ada has habits", sources=formed_from(tea))
        apply(record, update(tea, "Ada drinks coffee"))
        now = fact_of(record, habit.id)
        assert (now.reopened, now.version, now.stands) == (True, 1, True)
        assert reforming(record) == {str(habit.id)}
        assert kinds(history(record, fact=habit.id)) == ["ADD"]

    def test_reopened_where_it_was_restored_otherwise(self, record: Record) -> None:
        """To restore an older version of a fact that stands is to supersede the newer one."""
        tea = remember(record, "Ada drinks tea")
        coffee = after(apply(record, update(tea, "Ada drinks coffee"))[0])
        habit = remember(record, "Ada has habits", sources=formed_from(coffee))
        apply(record, restore(tea))
        assert fact_of(record, habit.id).reopened

    def test_retracted(self, record: Record) -> None:
        """A fact is retracted where all that it was formed from was, and so on; each change names its cause."""
        tea = remember(record, "Ada drinks tea")
        habit = remember(record, "Ada has habits", sources=formed_from(tea))
        deep = remember(record, "Ada is a person of habits", sources=formed_from(habit), owner=DISTIL)
        first, second, third = apply(record, retract(tea))
        assert [one.fact for one in (first, second, third)] == [tea.id, habit.id, deep.id]
        assert [one.kind for one in (first, second, third)] == ["DELETE"] * 3
        assert [one.actor for one in (first, second, third)] == ["tests", "cascade", "cascade"]
        assert [one.cause for one in (first, second, third)] == [None, first.id, second.id]
        assert (third.owner, third.batch) == (DISTIL, first.batch)
        assert facts_of(record) == []
        assert [change.id for change in history(record, cause=first.id)] == [second.id]

    def test_something_stands(self, record: Record) -> None:
        """A fact that rests on something else too is re-opened where one of its facts is retracted."""
        (number,) = said(record, "tea")
        tea, coffee = remember(record, "Ada drinks tea"), remember(record, "Ada drinks coffee")
        by_message = remember(record, "one", sources=(*formed_from(tea), *resting(number)))
        by_fact = remember(record, "two", sources=formed_from(tea, coffee))
        untouched = remember(record, "three", sources=formed_from(coffee))
        apply(record, retract(tea))
        assert {fact.id for fact in facts_of(record) if fact.reopened} == {by_message.id, by_fact.id}
        assert fact_of(record, untouched.id) == untouched
        assert reforming(record) == {str(by_message.id), str(by_fact.id)}

    def test_nothing_stands_any_more(self, record: Record) -> None:
        """A re-opened fact is retracted when the last of what it rests on is."""
        tea, coffee = remember(record, "Ada drinks tea"), remember(record, "Ada drinks coffee")
        habit = remember(record, "Ada has habits", sources=formed_from(tea, coffee))
        apply(record, retract(tea))
        assert fact_of(record, habit.id).reopened
        changes = apply(record, retract(coffee))
        assert [(one.fact, one.actor) for one in changes] == [(coffee.id, "tests"), (habit.id, "cascade")]
        assert statements(record) == set()

    def test_superseded_by_its_key(self, record: Record) -> None:
        """What supersedes a fact by its key re-opens what was formed from it, too."""
        tea = remember(record, "Ada drinks tea", key="drink")
        habit = remember(record, "Ada has habits", sources=formed_from(tea))
        remember(record, "Ada drinks coffee", key="drink")
        assert fact_of(record, habit.id).reopened

    def test_formed_anew_in_the_same_write(self, record: Record) -> None:
        """What is formed anew from the new version, in the write that makes it, is not re-opened."""
        tea = remember(record, "Ada drinks tea")
        habit = remember(record, "Ada drinks something hot", sources=formed_from(tea))
        new = (Source(fact=tea.id, version=2),)
        apply(record, update(tea, "Ada drinks cola"), update(habit, "Ada drinks something cold", sources=new))
        now = fact_of(record, habit.id)
        assert (now.text, now.reopened) == ("Ada drinks something cold", False)

    def test_looked_at_again(self, record: Record) -> None:
        """A re-opened fact that is said again stands as another version, and is open no more."""
        tea = remember(record, "Ada drinks tea")
        (number,) = said(record, "I have habits")
        ways: tuple[Callable[[Fact], Edit], ...] = (
            lambda one: update(one, "Ada has habits", sources=resting(number)),
            lambda _: add("Ada has habits", sources=resting(number)),
            lambda one: restore(one, sources=resting(number)),
        )
        for edit in ways:
            habit = remember(record, "Ada has habits", kind="trait", sources=formed_from(tea))
            tea = after(apply(record, update(tea, f"{tea.text} too"))[0])
            (change,) = apply(record, edit(fact_of(record, habit.id)))
            now = fact_of(record, habit.id)
            assert (now.version, now.reopened, now.kind) == (2, False, "trait")
            assert record.read(RawSources(ADAS, (habit.id,)))[habit.id, 2] == resting(number)
            assert after(change) == now
            apply(record, retract(now))

    def test_work_on_a_version_goes_with_it(self, record: Record) -> None:
        """When a re-opened version ends, by whatever change, it is not to be looked at any more."""
        tea = remember(record, "Ada drinks tea")
        one, two = (remember(record, text, sources=formed_from(tea)) for text in ("one", "two"))
        apply(record, update(tea, "Ada drinks coffee"))
        apply(record, update(one, "one again"), retract(two))
        assert reforming(record) == set()

    def test_reform_is_finished(self, record: Record) -> None:
        """Work on a re-opened fact is taken off with the edits that do it."""
        tea = remember(record, "Ada drinks tea")
        habit = remember(record, "Ada has habits", sources=formed_from(tea))
        apply(record, update(tea, "Ada drinks coffee"))
        (item,) = record.write(TakeDue(("reform",), dt.timedelta(minutes=5)))
        apply(record, update(habit, "Ada has other habits"), done=(item,))
        record.write(FinishDue((DueItem("reform", ADA, "unknown"),)))
        assert record.write(TakeDue(("reform",), dt.timedelta(0))) == ()

    def test_ended_while_it_was_formed_anew(self, record: Record) -> None:
        """What due work forms from a version that is superseded meanwhile is to be looked at once more."""
        tea = remember(record, "Ada drinks tea")
        habit = remember(record, "Ada has habits", sources=formed_from(tea))
        coffee = after(apply(record, update(tea, "Ada drinks coffee"))[0])
        items = record.write(TakeDue(("reform",), dt.timedelta(minutes=5)))
        apply(record, update(coffee, "Ada drinks water"))
        apply(record, update(habit, "Ada has a habit", sources=formed_from(coffee)), done=items)
        assert fact_of(record, habit.id).reopened
        assert reforming(record) == {str(habit.id)}

    def test_retracted_while_it_was_formed(self, record: Record) -> None:
        """What due work forms from facts that are retracted meanwhile is retracted at once."""
        tea = remember(record, "Ada drinks tea")
        record.write(PutDue((DueItem("distil", ADA),)))
        items = record.write(TakeDue(("distil",), dt.timedelta(minutes=5)))
        apply(record, retract(tea))
        made, gone = apply(record, add("Ada has habits", sources=formed_from(tea)), owner=DISTIL, done=items)
        assert (made.kind, gone.kind, gone.actor, gone.cause) == ("ADD", "DELETE", "cascade", made.id)
        assert facts_of(record) == []

    def test_a_circle(self, record: Record) -> None:
        """Facts that rest on each other come to an end, too."""
        one = remember(record, "one")
        two = remember(record, "two", sources=formed_from(one))
        apply(record, update(one, "one and more", sources=formed_from(two)))
        assert fact_of(record, two.id).reopened
        apply(record, retract(one))
        assert facts_of(record) == []

    def test_messages_do_not_reopen(self, record: Record) -> None:
        """A message that is replaced re-opens nothing by itself: it is formed again."""
        (number,) = said(record, "tea")
        fact = remember(record, "Ada drinks tea", sources=resting(number))
        append(record, Message.user("coffee", id="tea"))
        assert facts_of(record) == [fact]

    def test_tenants(self, record: Record, stranger: Record) -> None:
        """Another tenant sees no sources."""
        (number,) = said(record, "tea")
        fact = remember(record, "Ada drinks tea", sources=resting(number))
        with pytest.raises(FactNotFound):
            stranger.read(ReadSources(ADAS, fact.id))
        assert stranger.read(RawSources(ADAS, (fact.id,))) == {}
        assert record.read(RawSources(BOBS, (fact.id,))) == {}
