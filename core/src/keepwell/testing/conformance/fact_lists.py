"""Lists of facts: which are given, in what order, and as of when."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from keepwell.errors import InvalidQuery
from keepwell.models import Fact, Owner, Scope
from keepwell.storage.base import LoadScope, Record
from keepwell.storage.facts import (
    FactsWithoutVectors,
    FetchFacts,
    FinishDue,
    LiftRejections,
    ListFacts,
    MessageKeys,
    ModelCall,
    PutDue,
    RawSources,
    ReadHistory,
    TakeDue,
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
    say,
)
from keepwell.testing.conformance.facts_base import (
    COOK,
    COOKS,
    add,
    after,
    apply,
    facts_of,
    remember,
    restore,
    retract,
    statements,
    update,
)

INSTANT = dt.timedelta(microseconds=1)


class FactListsConformance(StoreConformance):
    """What a store promises about lists of facts."""

    capability: ClassVar[Capability] = "fact_lists"

    def test_nothing(self, record: Record) -> None:
        """A scope without facts lists none, and has no page after it."""
        page = record.read(ListFacts(ADAS))
        assert (list(page), page.next) == ([], None)

    def test_newest_first(self, record: Record) -> None:
        """Facts come newest first, by when their version was recorded."""
        facts = [remember(record, text) for text in ("one", "two", "three")]
        apply(record, update(facts[0], "one again"))
        assert [fact.text for fact in facts_of(record)] == ["one again", "three", "two"]

    def test_scopes(self, record: Record) -> None:
        """A scope lists the facts of the owners that it covers, and no others."""
        owners = (ADA, COOK, Owner("ada", "cook", "r"), BOB, Owner("", "cook", ""))
        for owner in owners:
            remember(record, str(owner), owner=owner)
        for scope in (ADAS, COOKS, BOBS, Scope(agent_id="cook"), Scope(agent_id="cook", across_users=True), EVERYONE):
            assert statements(record, scope) == {str(owner) for owner in owners if scope.covers(owner)}

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({"key": "drink"}, {"tea"}),
            ({"key": "Drink"}, set()),
            ({"kind": "habit"}, {"tea", "chess"}),
            ({"subject": "Ada"}, {"tea"}),
            ({"kind": "habit", "subject": "Bob"}, {"chess"}),
            ({"where": {"place": "home"}}, {"tea"}),
            ({"where": {"tags": ["b"]}}, {"chess"}),
            ({"where": {"place": "%"}}, set()),
            ({"ids": ()}, set()),
        ],
    )
    def test_filters(self, record: Record, asked: dict[str, Any], expected: set[str]) -> None:
        """Facts are chosen by key, kind, subject and metadata, each to the letter, and all together."""
        remember(record, "tea", key="drink", kind="habit", subject="Ada", metadata={"place": "home", "n": 1})
        remember(record, "chess", kind="habit", subject="Bob", metadata={"place": "club", "tags": ["a", "b"]})
        remember(record, "plain")
        assert statements(record, **asked) == expected

    def test_ids(self, record: Record) -> None:
        """Facts are chosen by id; unknown ids and those of others give nothing."""
        one, _, his = remember(record, "one"), remember(record, "two"), remember(record, "his", owner=BOB)
        assert statements(record, ids=(one.id, his.id, uuid4())) == {"one"}

    def test_pages(self, record: Record) -> None:
        """Pages follow each other without a gap or a repeat, and the last one has none after it."""
        apply(record, *(add(f"together {number}") for number in range(4)))
        for number in range(3):
            remember(record, f"alone {number}")
        whole = facts_of(record)
        for size in (1, 2, 3, 7):
            got: list[Fact] = []
            mark = None
            for _ in range(8):
                page = record.read(ListFacts(ADAS, limit=size, after=mark))
                assert len(page) <= size
                got += page
                mark = page.next
                if mark is None:
                    break
            assert (got, mark) == (whole, None)

    def test_pages_while_facts_come(self, record: Record) -> None:
        """What comes while pages are turned moves nothing: the next page is what came before the mark."""
        facts = [remember(record, f"fact {number}") for number in range(4)]
        page = record.read(ListFacts(ADAS, limit=2))
        remember(record, "new")
        rest = record.read(ListFacts(ADAS, limit=10, after=page.next))
        assert [fact.text for fact in rest] == [facts[1].text, facts[0].text]

    @pytest.mark.parametrize("mark", ["", "x", "[]", '["2024-01-01T00:00:00+00:00"]', "[1, 2]", "null", "' or 1=1"])
    def test_no_mark(self, record: Record, mark: str) -> None:
        """What is not the mark of a page is refused."""
        remember(record, "one")
        with pytest.raises(InvalidQuery):
            record.read(ListFacts(ADAS, after=mark))

    def test_versions(self, record: Record) -> None:
        """Asked for, every version is given, standing or not, newest first."""
        tea = remember(record, "tea")
        coffee = after(apply(record, update(tea, "coffee"))[0])
        gone = remember(record, "gone")
        apply(record, retract(gone))
        assert [(one.text, one.version, one.stands) for one in facts_of(record, versions=True)] == [
            ("gone", 1, False),
            ("coffee", 2, True),
            ("tea", 1, False),
        ]
        assert facts_of(record, versions=True, ids=(tea.id,))[0] == coffee

    # --- time

    def test_as_of(self, record: Record) -> None:
        """What was held at an instant is given as it was then; the instant of a change is after it."""
        tea = remember(record, "tea")
        (second,) = apply(record, update(tea, "coffee"))
        (third,) = apply(record, retract(tea))
        (fourth,) = apply(record, restore(tea))
        assert statements(record, as_of=tea.recorded_at - INSTANT) == set()
        assert statements(record, as_of=tea.recorded_at) == {"tea"}
        assert statements(record, as_of=second.at - INSTANT) == {"tea"}
        assert statements(record, as_of=second.at) == {"coffee"}
        assert statements(record, as_of=third.at) == set()
        assert statements(record, as_of=fourth.at) == {"tea"}
        assert facts_of(record, as_of=second.at)[0].version == 2

    def test_instants_of_writes(self, record: Record) -> None:
        """Each write has an instant of its own, later than those before."""
        times = [remember(record, f"fact {number}").recorded_at for number in range(20)]
        assert times == sorted(set(times))

    def test_as_of_pages(self, record: Record) -> None:
        """The past has pages, too, and filters."""
        facts = [remember(record, f"fact {number}", kind="k") for number in range(3)]
        then = facts[-1].recorded_at
        for fact in facts:
            apply(record, retract(fact))
        first = record.read(ListFacts(ADAS, as_of=then, kind="k", limit=2))
        rest = record.read(ListFacts(ADAS, as_of=then, kind="k", limit=2, after=first.next))
        assert [fact.text for fact in (*first, *rest)] == ["fact 2", "fact 1", "fact 0"]
        assert rest.next is None

    def test_valid_at(self, record: Record) -> None:
        """What was true at an instant is given, as far as dates are known; the end is not of the time."""
        remember(record, "always")
        remember(record, "from", valid_from=at(10))
        remember(record, "to", valid_to=at(20))
        remember(record, "between", valid_from=at(10), valid_to=at(20))
        assert statements(record, valid_at=at(9)) == {"always", "to"}
        assert statements(record, valid_at=at(10)) == {"always", "from", "to", "between"}
        assert statements(record, valid_at=at(20)) == {"always", "from"}

    def test_true_then_and_known_then(self, record: Record) -> None:
        """When something was true and when it was known are two questions, asked together or apart."""
        old = remember(record, "Ada lives in Rome", valid_from=at(0))
        (move,) = apply(record, update(old, "Ada lives in Oslo", valid_from=at(30)))
        assert statements(record, valid_at=at(10)) == set()
        assert statements(record, valid_at=at(10), as_of=old.recorded_at) == {"Ada lives in Rome"}
        assert statements(record, valid_at=at(40), as_of=move.at) == {"Ada lives in Oslo"}

    # --- by key

    def test_asked_for_nothing(self, record: Record) -> None:
        """Who asks for no facts, no messages and no work is given none, and does nothing."""
        fact = remember(record, "one")
        assert record.read(FetchFacts(ADAS, ())) == {}
        assert record.read(MessageKeys(ADAS, ())) == {}
        assert record.read(RawSources(ADAS, ())) == {}
        assert record.read(FactsWithoutVectors(1, ())) == ()
        assert record.read(ReadHistory(ADAS, ids=())).changes == ()
        assert record.write(LiftRejections(ADAS, ())) == 0
        assert record.write(TakeDue((), dt.timedelta(0))) == ()
        record.write(PutDue(()))
        record.write(FinishDue((), calls=(ModelCall("m", "extract", 1, 1, 0.1),)))
        assert apply(record).changes == ()
        assert facts_of(record) == [fact]

    def test_fetch(self, record: Record) -> None:
        """Versions are fetched by their keys, which a loading names; what is not the scope's has no entry."""
        mine = remember(record, "mine", metadata={"n": 1})
        remember(record, "his", owner=BOB)
        keys = [int(key) for key in self.keys(record, EVERYONE)]
        got = record.read(FetchFacts(ADAS, (*keys, -(10**12), 1)))
        assert list(got.values()) == [mine]
        assert set(got) < set(keys)

    def test_fetch_versions(self, record: Record) -> None:
        """Each version has a key of its own, below 0, under which it stays when it has ended."""
        old = remember(record, "old")
        (first,) = self.keys(record, ADAS)
        new = after(apply(record, update(old, "new"))[0])
        (second,) = (key for key in self.keys(record, ADAS) if key != first)
        got = record.read(FetchFacts(ADAS, (int(first), int(second))))
        assert max(first, second) < 0
        assert (got[int(first)].text, got[int(first)].retired_at, got[int(second)]) == ("old", new.recorded_at, new)

    def test_numbers_of_messages(self, record: Record) -> None:
        """Messages are named by thread and id; what is not the scope's has no entry."""
        mine = say(record, "one", "two")
        his = say(record, "one", owner=BOB)
        asked = ((mine.thread, "one"), (mine.thread, "three"), (his.thread, "one"), (uuid4(), "one"))
        got = record.read(MessageKeys(ADAS, asked))
        (number,) = (key for key, message in mine.written.items() if message.id == "one")
        assert got == {(found(record).key, "one"): number}

    def test_tenants(self, record: Record, stranger: Record) -> None:
        """No read of facts shows another tenant's, however it is asked."""
        mine = remember(record, "mine", key="k")
        said = say(record, "one")
        keys = tuple(int(key) for key in self.keys(record, ADAS))
        remember(stranger, "theirs", key="k")
        assert statements(stranger, EVERYONE, versions=True) == {"theirs"}
        assert statements(stranger, ids=(mine.id,)) == set()
        assert stranger.read(FetchFacts(EVERYONE, keys)) == {}
        assert stranger.read(MessageKeys(EVERYONE, ((said.thread, "one"),))) == {}

    @staticmethod
    def keys(record: Record, scope: Scope) -> list[int]:
        """Give the keys of all versions of a scope."""
        return [int(key) for key in record.read(LoadScope(scope, None, None)).messages.keys if key < 0]
