"""A relation holds no longer than what it rests on: facts that end take it along, and bring it back."""

from __future__ import annotations

from typing import ClassVar, Final
from uuid import UUID, uuid4

import pytest

from keepwell.formation.graph_edits import AddEntity, Relate, RetractRelation
from keepwell.models import Fact, Source
from keepwell.models.graph import GraphChange, Relation
from keepwell.storage.base import Forget, Record
from keepwell.storage.graph import GraphEdits, SetProjection
from keepwell.testing.conformance.base import ADA, ADAS, Capability, StoreConformance
from keepwell.testing.conformance.facts_base import (
    COOK,
    COOKS,
    add,
    apply,
    formed_from,
    hashed,
    remember,
    resting,
    restore,
    retract,
    said,
    update,
)
from keepwell.testing.conformance.graph_base import edit, lines, past, predicates
from keepwell.testing.conformance.projection import noted

WORDS: Final = "Priya is my sister"
FACT: Final = "Priya is Ada's sister"
CASCADE: Final = "cascade"


class Sisters:
    """A message, the fact that was formed from it, and the relation that rests on both."""

    def __init__(self, record: Record) -> None:
        """Write it all."""
        self.record = record
        (self.message,) = said(record, WORDS)
        self.fact = remember(record, FACT, sources=resting(self.message))
        self.one, self.two, self.relation = uuid4(), uuid4(), uuid4()
        edit(
            record,
            AddEntity(self.one, "Priya", given=("Priya",)),
            AddEntity(self.two, "Ada", given=("Ada",)),
            self.said(self.relation, "sister of", Source(self.message, 0, 18), *formed_from(self.fact)),
        )

    def said(self, ident: UUID, predicate: str, *sources: Source, given: bool = False) -> Relate:
        """Give the edit that says how the one stands to the other."""
        return Relate(ident, self.one, predicate, self.two, sources=sources, given=given)

    def last(self) -> GraphChange:
        """Give the newest change of the relation."""
        return past(self.record, relation=self.relation)[-1]

    def now(self) -> list[Relation]:
        """Give the relation as it stands: one, or none."""
        return lines(self.record, ids=(self.relation,))


class GraphFollowingConformance(StoreConformance):
    """What becomes of relations when facts change."""

    capability: ClassVar[Capability | None] = "graph"

    @pytest.fixture
    def sisters(self, record: Record) -> Sisters:
        """Give a relation with what it rests on."""
        return Sisters(record)

    def test_a_retracted_fact(self, record: Record, sisters: Sisters) -> None:
        """With the fact ends the relation: dated, with its reason and its cause, and what was held then is told."""
        before = sisters.now()[0]
        (change,) = apply(record, retract(sisters.fact))
        assert sisters.now() == []
        told = sisters.last()
        assert (told.kind, told.actor, told.cause, told.batch) == ("DELETE", CASCADE, change.id, change.batch)
        assert told.reason == "nothing that it rests on stands any more"
        (ended,) = lines(record, ids=(sisters.relation,), versions=True)
        assert ended.retired_at == told.at >= change.at
        assert lines(record, as_of=before.recorded_at) == [ended]

    @pytest.mark.parametrize("how", ["corrected", "rejected"])
    def test_a_fact_that_says_something_else(self, record: Record, sisters: Sisters, how: str) -> None:
        """A correction and a rejection end the relation as a retraction does."""
        if how == "corrected":
            apply(record, update(sisters.fact, "Priya is Ada's cousin"))
        else:
            apply(record, retract(sisters.fact, reject=hashed(FACT)), explicit=True)
        assert sisters.now() == []
        assert sisters.last().actor == CASCADE

    def test_a_fact_that_is_restored(self, record: Record, sisters: Sisters) -> None:
        """The relation stands again with its fact, as a next version that rests on the fact as it stands now."""
        apply(record, retract(sisters.fact))
        (change,) = apply(record, restore(sisters.fact, sources=resting(sisters.message)), explicit=True)
        (again,) = sisters.now()
        assert (again.version, again.predicate) == (2, "sister of")
        assert set(again.sources) == {Source(sisters.message, 0, 18), *formed_from(_after(change.after))}
        assert (sisters.last().kind, sisters.last().actor, sisters.last().cause) == ("RESTORE", CASCADE, change.id)

    def test_again_and_again(self, record: Record, sisters: Sisters) -> None:
        """However often the fact ends and stands again, the relation does so too."""
        for _ in range(3):
            fact = sisters.fact
            apply(record, retract(fact))
            assert sisters.now() == []
            (change,) = apply(record, restore(fact, sources=resting(sisters.message)), explicit=True)
            sisters.fact = _after(change.after)
            assert len(sisters.now()) == 1

    def test_the_same_in_other_letters(self, record: Record, sisters: Sisters) -> None:
        """A fact that is put in other letters still says the same: the relation stays as it is."""
        apply(record, update(sisters.fact, "Priya is Ada's SISTER."))
        assert [one.version for one in sisters.now()] == [1]
        apply(record, retract(sisters.fact))
        assert sisters.now() == []

    def test_another_message(self, record: Record, sisters: Sisters) -> None:
        """Words that the fact does not rest on go on speaking for the relation."""
        (other,) = said(record, "My sister Priya came", thread="u")
        edit(record, sisters.said(uuid4(), "sister of", Source(other)))
        apply(record, retract(sisters.fact))
        assert len(sisters.now()) == 1
        assert sisters.last().actor == "tests"

    def test_another_fact(self, record: Record, sisters: Sisters) -> None:
        """A second fact that stands holds the relation; where it ends too, so does the relation."""
        second = remember(record, "Ada has a sister Priya", sources=resting(sisters.message))
        edit(record, sisters.said(uuid4(), "sister of", *formed_from(second)))
        apply(record, retract(sisters.fact))
        assert len(sisters.now()) == 1
        apply(record, retract(second))
        assert sisters.now() == []

    def test_given(self, record: Record, sisters: Sisters) -> None:
        """What a person said outright stands, whatever becomes of facts."""
        edit(record, sisters.said(uuid4(), "sister of", given=True))
        apply(record, retract(sisters.fact))
        assert len(sisters.now()) == 1

    def test_through_facts(self, record: Record, sisters: Sisters) -> None:
        """A fact that falls with the one it was formed from takes its relation along, whichever agent has it."""
        formed = remember(record, "Ada is Priya's sister", sources=formed_from(sisters.fact), owner=COOK)
        one, two = uuid4(), uuid4()
        edit(
            record,
            AddEntity(one, "Ada", given=("Ada",)),
            AddEntity(two, "Priya", given=("Priya",)),
            Relate(uuid4(), one, "related to", two, sources=formed_from(formed)),
            owner=COOK,
        )
        assert predicates(record, COOKS) == ["related to"]
        apply(record, retract(sisters.fact))
        assert predicates(record, COOKS) == []

    def test_said_anew_in_the_same_write(self, record: Record, sisters: Sisters) -> None:
        """Where the write that corrects a fact says the relation once more, it stays, and rests on the new fact."""
        edits = update(sisters.fact, "Priya is Ada's elder sister")
        graph = GraphEdits((sisters.said(uuid4(), "sister of", Source(fact=sisters.fact.id, version=0)),))
        apply(record, edits, graph=graph)
        (line,) = sisters.now()
        assert (line.version, Source(fact=sisters.fact.id, version=2) in line.sources) == (1, True)

    def test_said_by_another_relation_now(self, record: Record, sisters: Sisters) -> None:
        """What another relation says by now does not come back beside it."""
        apply(record, retract(sisters.fact))
        edit(record, sisters.said(uuid4(), "sister of", given=True))
        apply(record, restore(sisters.fact, sources=resting(sisters.message)), explicit=True)
        assert predicates(record) == ["sister of"]
        assert sisters.now() == []

    def test_ended_by_a_person(self, record: Record, sisters: Sisters) -> None:
        """A relation that was retracted for another reason does not come back with a fact."""
        edit(record, RetractRelation(sisters.relation))
        apply(record, retract(sisters.fact))
        apply(record, restore(sisters.fact), explicit=True)
        assert sisters.now() == []

    def test_a_forgotten_fact(self, record: Record, sisters: Sisters) -> None:
        """With a fact that is forgotten goes the relation, though the words stay that both were found in."""
        counts = record.write(Forget(ADAS, fact=sisters.fact.id)).counts
        assert (counts["relations"], counts["messages"]) == (1, 0)
        assert lines(record, versions=True) == []
        assert past(record, relation=sisters.relation) == ()

    def test_a_forgotten_fact_beside_other_words(self, record: Record, sisters: Sisters) -> None:
        """Words that a forgotten fact does not rest on hold the relation."""
        (other,) = said(record, "My sister Priya came", thread="u")
        edit(record, sisters.said(uuid4(), "sister of", Source(other)))
        record.write(Forget(ADAS, fact=sisters.fact.id))
        assert len(sisters.now()) == 1

    def test_projected(self, record: Record, sisters: Sisters) -> None:
        """That a relation ends with its fact, and stands again, is noted for a projection as any change is."""
        self.needs("projection")
        record.write(SetProjection("tests"))
        position: str | None = None

        def told() -> list[bool]:
            nonlocal position
            about = str(sisters.relation)
            read = noted(record, lambda page: any(row.id == about for row in page.rows), after=position)
            position = read.position
            return [row.properties is not None for row in read.rows if row.id == about]

        apply(record, retract(sisters.fact))
        assert told() == [False]
        apply(record, restore(sisters.fact, sources=resting(sisters.message)), explicit=True)
        assert told() == [True]

    @pytest.mark.usefixtures("sisters")
    def test_nothing_is_written_for_others(self, record: Record) -> None:
        """Facts that no relation rests on change nothing of the graph."""
        before = past(record)
        fact = remember(record, "Ada likes tea")
        apply(record, retract(fact))
        apply(record, add("Ada likes milk"), owner=ADA)
        assert past(record) == before


def _after(fact: Fact | None) -> Fact:
    assert fact is not None
    return fact
