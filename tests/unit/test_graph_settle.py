"""What edits of the graph come to: any batch is taken back exactly, and merges never make a chain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.errors import EntityNotFound, RelationNotFound
from keepwell.formation.entities_settle import GraphSettled, GraphStanding, grounded, inverse, settle_graph
from keepwell.formation.graph_edits import (
    AddEntity,
    ChangeEntity,
    EndRelation,
    GraphEdit,
    MergeEntities,
    Relate,
    RemoveEntity,
    RetractRelation,
    SplitEntity,
    fold,
    grams,
    likeness,
)
from keepwell.models import Owner, Source
from keepwell.models.graph import Entity, Mention, Relation

ADA = Owner("ada", "", "")
START = dt.datetime(2024, 5, 17, tzinfo=dt.UTC)
IDS = tuple(UUID(int=n) for n in range(1, 6))
LINES = tuple(UUID(int=n) for n in range(11, 16))


class Record:
    """An owner's graph that edits are settled against."""

    def __init__(self) -> None:
        """Begin with five entities that have a mention each."""
        self.entities: dict[UUID, Entity] = {}
        self.relations: dict[UUID, Relation] = {}
        self.moved: dict[int, UUID] = dict(enumerate(IDS))
        self.minute = 0
        self.write([AddEntity(ident, f"Name {ident.int}", given=(f"Name {ident.int}",)) for ident in IDS])

    def write(self, edits: Sequence[GraphEdit]) -> GraphSettled:
        """Settle edits, leaving out what cannot be, and keep what they come to."""
        self.minute += 1
        standing = GraphStanding(self.entities, self.relations, self.moved)
        at = START + dt.timedelta(minutes=self.minute)
        given = {"owner": ADA, "actor": "tests", "batch": uuid4(), "at": at}
        settled = settle_graph(edits, standing, lenient=True, **given)  # type: ignore[arg-type]  # as they are named
        self.entities = {**self.entities, **settled.entities}
        self.moved = {**self.moved, **settled.moved}
        for ident, version in settled.ended:
            if self.relations[ident].version == version:
                self.relations[ident] = replace(self.relations[ident], retired_at=at)
        for one in sorted(settled.made.values(), key=lambda one: one.version):
            self.relations[one.id] = one
        return settled

    @property
    def state(self) -> object:
        """What there is, without what only counts: versions and times of recording."""
        entities = {one.id: replace(one, version=0) for one in self.entities.values() if one.retired_at is None}
        lines = {one.id: replace(one, version=0, recorded_at=START) for one in self.relations.values() if one.stands}
        mentions = {number: entity for number, entity in self.moved.items() if entity in entities}
        return entities, lines, mentions


ids, lines, days = (
    st.sampled_from(IDS),
    st.sampled_from(LINES),
    st.integers(1, 9).map(lambda n: START + dt.timedelta(n)),
)
edits = st.one_of(
    st.builds(ChangeEntity, ids, name=st.sampled_from(("A", "B", "Name 1"))),
    st.builds(ChangeEntity, ids, given=st.tuples(st.sampled_from(("G", "H")))),
    st.builds(MergeEntities, ids, ids),
    st.builds(RemoveEntity, ids),
    st.builds(Relate, lines, ids, st.sampled_from(("knows", "likes")), ids, valid_from=st.none() | days, given=st.just(value=True)),
    st.builds(EndRelation, lines, days),
    st.builds(RetractRelation, lines),
    st.builds(SplitEntity, ids, st.uuids(), st.just("Part"), given=st.just(("Part",)),
              mentions=st.lists(st.integers(0, 4), max_size=2).map(tuple)),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(edits, min_size=1, max_size=3), min_size=1, max_size=6))
def test_any_batch_is_taken_back_exactly(batches: list[list[GraphEdit]]) -> None:
    """Whatever was done before, the inverse of a batch leaves what was there before it; and again, and again."""
    record = Record()
    states = []
    done = []
    for batch in batches:
        states.append(record.state)
        done.append(record.write(batch).changes)
        assert all(record.entities[one.now].merged_into is None for one in record.entities.values())
    for before, changes in zip(states[::-1], done[::-1], strict=True):
        record.write(inverse(changes))
        assert record.state == before


def test_what_is_not_there_is_refused() -> None:
    """An edit of an entity or a relation that is not there, or was taken away, raises."""
    gone = replace(Entity(IDS[0], "A", ADA), retired_at=START)
    given = {"owner": ADA, "actor": "tests", "batch": uuid4(), "at": START}
    for edit in (ChangeEntity(IDS[0], "B"), MergeEntities(IDS[0], IDS[1]), RemoveEntity(IDS[1])):
        with pytest.raises(EntityNotFound):
            settle_graph([edit], GraphStanding({gone.id: gone}), **given)  # type: ignore[arg-type]  # as they are named
    with pytest.raises(RelationNotFound):
        settle_graph([RetractRelation(LINES[0])], GraphStanding(), **given)  # type: ignore[arg-type]  # see above


def test_what_nothing_speaks_for_is_left_out() -> None:
    """A relation needs a source or a person, a new entity a mention, a relation or a person."""
    one, two, three = IDS[:3]
    edits: list[GraphEdit] = [
        AddEntity(one, "One"),
        AddEntity(two, "Two"),
        AddEntity(three, "Three"),
        ChangeEntity(three, "Drei"),
        Relate(LINES[0], one, "knows", two, sources=(Source(1),)),
        Relate(LINES[1], one, "knows", three),
    ]
    assert grounded(edits, ()) == [edits[0], edits[1], edits[4]]
    assert grounded(edits, (Mention(three, "Three"),)) == edits[:5]


@given(st.text(max_size=40), st.text(max_size=40))
def test_names_are_compared(one: str, two: str) -> None:
    """Folding is done once and for all; likeness is between 0 and 1, the same from both sides, and 1 for the same."""
    assert fold(fold(one)) == fold(one)
    ours, theirs = grams(fold(one)), grams(fold(two))
    assert 0 <= likeness(ours, theirs) == likeness(theirs, ours) <= 1
    if ours:
        assert likeness(ours, ours) == 1
