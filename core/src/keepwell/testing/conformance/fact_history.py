"""History: every change is kept, can be read in order, and gives the state at each moment."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest

from keepwell.errors import FactNotFound, InvalidQuery
from keepwell.formation.settle import Edit
from keepwell.models import Change, Fact
from keepwell.storage.base import Record
from keepwell.storage.facts import ReadHistory
from keepwell.testing.conformance.base import ADA, ADAS, BOB, BOBS, EVERYONE, Capability, StoreConformance
from keepwell.testing.conformance.facts_base import (
    COOK,
    COOKS,
    add,
    after,
    apply,
    draft,
    facts_of,
    formed_from,
    history,
    remember,
    restore,
    retract,
    update,
)

TEXTS = ("tea", "Tea!", "coffee", "water", "juice")
State = dict[UUID, tuple[int, str, str | None]]
"""Of each fact that stands: version, text and key."""


def state_of(facts: list[Fact]) -> State:
    """Give what facts come to."""
    return {fact.id: (fact.version, fact.text, fact.key) for fact in facts}


def replayed(changes: list[Change]) -> State:
    """Give the state that changes lead to, from nothing."""
    state: dict[UUID, Fact] = {}
    for change in changes:
        if change.kind == "NONE":
            continue
        there = state.pop(change.fact, None)
        before = None if change.before is None else change.before.version
        assert (None if there is None else there.version) == before, "a change begins where the one before it ended"
        if change.after is not None:
            state[change.fact] = change.after
    return state_of(list(state.values()))


def any_edits(chance: random.Random, record: Record) -> list[Edit]:
    """Give edits such as anybody might ask for, of facts as they are now or once were."""
    known = facts_of(record, ADAS, versions=True)
    edits: list[Edit] = []
    for _ in range(chance.randint(1, 3)):
        text, key = chance.choice(TEXTS), chance.choice((None, None, "one", "two"))
        trust = chance.choice(("user", "user", "assistant"))
        fact = chance.choice(known) if known else None
        ident = None if fact is None else fact.id
        others = chance.sample(known, min(len(known), chance.randint(0, 2)))
        told = draft(text, key=key, trust=trust, sources=formed_from(*others))
        match chance.choice(("ADD", "ADD", "UPDATE", "DELETE", "RESTORE", "NONE")) if fact else "ADD":
            case "ADD":
                edits.append(Edit("ADD", draft=told))
            case "UPDATE":
                edits.append(Edit("UPDATE", ident, told))
            case "DELETE":
                edits.append(Edit("DELETE", ident))
            case "RESTORE":
                edits.append(restore(fact) if fact else Edit("NONE"))
            case _:
                edits.append(Edit("NONE", ident))
    return edits


class HistoryConformance(StoreConformance):
    """What a store promises about the history of facts."""

    capability: ClassVar[Capability] = "fact_history"

    def test_everything(self, record: Record, other: Record) -> None:
        """Every change is read as it was answered, newest first, or oldest first where that is asked."""
        tea = remember(record, "tea", key="drink")
        changes = [
            *apply(record, update(tea, "coffee", reason="she changed her mind"), actor="one"),
            *apply(record, Edit("NONE", tea.id, reason="said again"), actor="two"),
            *apply(record, retract(tea), actor="three"),
            *apply(record, restore(tea), actor="four"),
        ]
        got = history(other)[1:]
        assert [self.told(change) for change in got] == [self.told(change) for change in changes]
        assert [one.id for one in other.read(ReadHistory(ADAS))][:-1] == [one.id for one in reversed(changes)]

    @staticmethod
    def told(change: Change) -> tuple[Any, ...]:
        """Give what a change says; a version in it may have ended since."""
        before, after = (fact and (fact.version, fact.text, fact.key) for fact in (change.before, change.after))
        fields = change.id, change.kind, change.fact, change.owner, change.reason, change.at, change.actor
        return (*fields, change.batch, change.cause, change.sources, before, after)

    def test_versions_as_they_are(self, record: Record) -> None:
        """The facts in a change are the versions as the record has them: with when they ended, if they did."""
        tea = remember(record, "tea", metadata={"n": 1})
        (change,) = apply(record, update(tea, "coffee"))
        first, second = history(record)
        assert first.after is not None
        assert second.before is not None
        assert (first.after, second.before.retired_at) == (second.before, change.at)
        assert (first.after.text, first.after.metadata, second.after) == ("tea", {"n": 1}, after(change))

    def test_filters(self, record: Record) -> None:
        """Changes are chosen by fact, id, batch, actor and cause, and all together."""
        batch = uuid4()
        one, two = (after(change) for change in apply(record, add("one"), add("two"), batch=batch, actor="a"))
        child = remember(record, "child", sources=formed_from(one))
        (third, caused) = apply(record, retract(one), actor="b")
        reasoned = apply(record, Edit("NONE", two.id, cause=third.id), actor="b")[0]
        ids = [change.id for change in history(record)]
        assert [change.fact for change in history(record, batch=batch)] == [one.id, two.id]
        assert [change.id for change in history(record, fact=one.id)] == [ids[0], third.id]
        assert [change.id for change in history(record, ids=(ids[1], third.id, uuid4()))] == [ids[1], third.id]
        assert [change.id for change in history(record, actor="b")] == [third.id, reasoned.id]
        assert [change.id for change in history(record, cause=third.id)] == [caused.id, reasoned.id]
        assert history(record, batch=batch, actor="b") == []
        assert history(record, fact=child.id)[-1].id == caused.id
        assert (history(record, fact=uuid4()), history(record, ids=())) == ([], [])

    def test_span(self, record: Record) -> None:
        """Changes are chosen by when they were made: from an instant on, and before another."""
        times = [remember(record, f"fact {number}").recorded_at for number in range(4)]
        assert [change.at for change in history(record, since=times[1], until=times[3])] == times[1:3]
        assert [change.at for change in history(record, since=times[2])] == times[2:]
        assert history(record, until=times[0]) == []

    def test_scopes(self, record: Record) -> None:
        """A scope reads the history of the owners that it covers."""
        for owner in (ADA, COOK, BOB):
            remember(record, "tea", owner=owner)
        for scope in (ADAS, COOKS, BOBS, EVERYONE):
            owners = [owner for owner in (ADA, COOK, BOB) if scope.covers(owner)]
            assert [change.owner for change in history(record, scope)] == owners

    @pytest.mark.parametrize("oldest_first", [True, False])
    def test_pages(self, record: Record, *, oldest_first: bool) -> None:
        """Pages follow each other without a gap or a repeat, in either order, and the last has none after it."""
        apply(record, *(add(f"together {number}") for number in range(3)))
        for number in range(3):
            remember(record, f"alone {number}")
        whole = [change.id for change in history(record)]
        whole = whole if oldest_first else whole[::-1]
        for size in (1, 2, 4, 6):
            got: list[UUID] = []
            mark = None
            for _ in range(7):
                page = record.read(ReadHistory(ADAS, limit=size, after=mark, oldest_first=oldest_first))
                got += [change.id for change in page]
                mark = page.next
                if mark is None:
                    break
            assert (got, mark) == (whole, None)

    @pytest.mark.parametrize("mark", ["", "x", "[]", "[1, 2]", "null", '["yesterday", 1]'])
    def test_no_mark(self, record: Record, mark: str) -> None:
        """What is not the mark of a page is refused."""
        remember(record, "one")
        with pytest.raises(InvalidQuery):
            record.read(ReadHistory(ADAS, after=mark))

    def test_tenants(self, record: Record, stranger: Record) -> None:
        """Nobody reads another tenant's history."""
        batch = uuid4()
        apply(record, add("mine"), batch=batch)
        (change,) = history(record)
        assert history(stranger, EVERYONE) == []
        assert history(stranger, EVERYONE, ids=(change.id,), batch=batch, fact=change.fact) == []

    # --- random histories

    @pytest.mark.parametrize("seed", range(8))
    def test_replayed(self, record: Record, seed: int) -> None:
        """After any edits, the facts are those that the changes lead to, now and at each instant between."""
        chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        instants: list[tuple[dt.datetime, State]] = []
        for _ in range(15):
            try:
                changes = apply(record, *any_edits(chance, record), explicit=chance.random() < 0.5)
            except FactNotFound:
                continue
            facts = facts_of(record)
            instants.append((changes[0].at, state_of(facts)))
            keys = [fact.key for fact in facts if fact.key]
            assert len(keys) == len(set(keys)), "one fact a key"
        assert replayed(history(record)) == state_of(facts_of(record))
        for instant, state in instants:
            assert state_of(facts_of(record, as_of=instant)) == state
            until = history(record, until=instant + dt.timedelta(microseconds=1))
            assert replayed(until) == state

    @pytest.mark.parametrize("seed", range(4))
    def test_taken_back(self, record: Record, seed: int) -> None:
        """Edits that undo a write, last change first, give the facts that were there before it."""
        chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        for _ in range(12):
            before = facts_of(record)
            try:
                changes = apply(record, *any_edits(chance, record), explicit=True)
            except FactNotFound:
                continue
            for edit in self.undoing(list(changes)):
                apply(record, edit, explicit=True)
            assert self.words(facts_of(record)) == self.words(before)
            apply(record, *any_adds(chance), explicit=True)

    @staticmethod
    def undoing(changes: list[Change]) -> list[Edit]:
        """Give the edits that give each fact what it was before the first of its changes; what came goes first."""
        first: dict[UUID, Change] = {}
        for change in changes:
            if change.kind != "NONE":
                first.setdefault(change.fact, change)
        ended = {change.fact for change in changes if change.kind != "NONE" and change.after is None}
        last = {change.fact: change for change in changes if change.kind != "NONE"}
        gone = [Edit("DELETE", fact) for fact, change in first.items() if change.before is None and last[fact].after]
        back = [
            Edit("RESTORE", fact, draft(change.before.text, key=change.before.key, trust=change.before.trust))
            for fact, change in first.items()
            if change.before is not None
        ]
        assert ended <= first.keys()
        return [*gone, *back]

    @staticmethod
    def words(facts: list[Fact]) -> set[tuple[UUID, str, str | None]]:
        """Give what facts say, whatever their versions."""
        return {(fact.id, fact.text, fact.key) for fact in facts}


def any_adds(chance: random.Random) -> list[Edit]:
    """Give statements to go on from."""
    return [add(f"{chance.choice(TEXTS)} {chance.randint(0, 3)}", key=chance.choice((None, "one", "two")))]
