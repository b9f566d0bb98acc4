"""What is forgotten is not in the graph either."""

from __future__ import annotations

from typing import Any, ClassVar, Final
from uuid import uuid4

from keepwell.formation.graph_edits import AddEntity, ChangeEntity, EndRelation, MergeEntities, Relate, RetractRelation
from keepwell.models import Source
from keepwell.models.graph import Mention
from keepwell.storage.base import DeleteMessages, Forget, Record
from keepwell.storage.facts import Remains
from keepwell.storage.graph import FindEntities, ReadGraph, ReadMentions
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    Capability,
    StoreConformance,
    found,
    keys_by_text,
    say,
)
from keepwell.testing.conformance.facts_base import add, apply, resting
from keepwell.testing.conformance.graph_base import (
    World,
    around,
    day,
    edit,
    entity,
    lines,
    names,
    past,
    predicates,
)

PLACES: Final = ("entities", "relations", "mentions", "graph_changes")


def forget(record: Record, **what: Any) -> dict[str, int]:  # noqa: ANN401 - fields of Forget
    """Forget something of ada's; what was there before is what the receipt counts, and nothing is there after."""
    before = record.read(Remains(ADAS, **what))
    counts = record.write(Forget(ADAS, **what)).counts
    assert {place: before[place] for place in PLACES} == {place: counts[place] for place in PLACES}
    after = record.read(Remains(ADAS, **what))
    assert not any(after[place] for place in PLACES)
    return {place: counts[place] for place in PLACES if counts[place]}


class GraphForgettingConformance(StoreConformance):
    """Forgetting takes what nothing else speaks for."""

    capability: ClassVar[Capability | None] = "graph_forgetting"

    def test_a_scope(self, record: Record) -> None:
        """Everything of the scope goes, and nothing of anybody else."""
        World(record)
        World(record, BOB)
        assert forget(record) == {"entities": 4, "relations": 3, "mentions": 6, "graph_changes": 7}
        assert names(record) == []
        assert names(record, BOBS) == ["Max", "Priya", "Rome", "Zoe"]
        assert record.read(FindEntities(ADAS, ("max", "Maax"), fuzzy=0.1)) == ()

    def test_a_message(self, record: Record) -> None:
        """Its mentions go, relations that rest on it alone, and who is named by nothing else, with their history."""
        world = World(record)
        gone = forget(record, message=world.texts[0])
        assert gone == {"entities": 2, "relations": 2, "mentions": 3, "graph_changes": 4}
        assert names(record) == ["Max", "Zoe"]
        assert predicates(record) == ["knows"]
        assert {one.entity for one in past(record)} - {None} == {world["Max"], world["Zoe"]}
        assert record.read(FindEntities(ADAS, ("Priya", "Rome"), fuzzy=0.3)) == ()

    def test_a_deleted_message(self, record: Record) -> None:
        """Deleting messages takes the same from the graph."""
        world = World(record)
        record.write(DeleteMessages(ADA, "t", (world.texts[1], world.texts[2])))
        assert names(record) == ["Max", "Priya", "Rome"]
        assert predicates(record) == ["is in", "met"]

    def test_a_thread(self, record: Record) -> None:
        """With a thread goes what only it said."""
        world = World(record)
        key = keys_by_text(say(record, "Rome again", thread="u"))["Rome again"]
        edit(record, mentions=[Mention(world["Rome"], "Rome", 0, 4, key)])
        forget(record, thread=found(record).key)
        assert names(record) == ["Rome"]
        assert record.read(ReadGraph()).mentions == 1

    def test_a_fact(self, record: Record) -> None:
        """Who is named by a fact alone goes with it."""
        fact = apply(record, add("Zoe paints"))[0].after
        assert fact is not None
        zoe = uuid4()
        edit(record, AddEntity(zoe, "Zoe"), mentions=[Mention(zoe, "Zoe", 0, 3, fact=fact.id, version=1)])
        assert forget(record, fact=fact.id) == {"entities": 1, "mentions": 1, "graph_changes": 1}
        assert names(record) == []

    def test_a_fact_of_a_message(self, record: Record) -> None:
        """Forgetting a message takes what its facts said of the graph."""
        key = keys_by_text(say(record, "I paint"))["I paint"]
        fact = apply(record, add("Zoe paints", sources=resting(key)))[0].after
        assert fact is not None
        zoe = uuid4()
        edit(record, AddEntity(zoe, "Zoe"), mentions=[Mention(zoe, "Zoe", 0, 3, fact=fact.id, version=1)])
        assert forget(record, message="I paint") == {"entities": 1, "mentions": 1, "graph_changes": 1}

    def test_what_was_given_stays(self, record: Record) -> None:
        """Who was named by a person, and what a person said of it, does not go with a message."""
        world = World(record)
        relation = uuid4()
        edit(record, ChangeEntity(world["Priya"], given=("Priya",)),
             Relate(relation, world["Priya"], "sister of", world["Zoe"], given=True,
                    sources=(Source(world.first),)))  # fmt: skip
        forget(record, message=world.texts[0])
        assert names(record) == ["Max", "Priya", "Zoe"]
        assert predicates(record) == ["knows", "sister of"]
        assert lines(record, ids=(relation,))[0].sources == ()

    def test_another_ground_holds_it(self, record: Record) -> None:
        """A relation that rests on two messages stands when one of them goes."""
        world = World(record)
        edit(record, Relate(uuid4(), world["Max"], "knows", world["Zoe"], sources=(Source(world.third),)))
        forget(record, message=world.texts[1])
        assert predicates(record) == ["is in", "knows", "met"]
        assert [one.message for one in lines(record, ids=(world.relations["knows"],))[0].sources] == [world.third]

    def test_the_version_before_stands_again(self, record: Record) -> None:
        """Where who ended a relation, or retracted it, is forgotten it stands as it did, as if that was never said."""
        world = World(record)
        edit(record, EndRelation(world.relations["met"], day(3), sources=(Source(world.third),)))
        edit(record, RetractRelation(world.relations["knows"], sources=(Source(world.third),)))
        assert predicates(record) == ["is in", "met"]
        assert forget(record, message=world.texts[2])["relations"] == 1
        assert predicates(record) == ["is in", "knows", "met"]
        (met,) = lines(record, ids=(world.relations["met"],))
        assert (met.version, met.valid_to) == (1, None)
        assert [one.kind for one in past(record, relation=met.id)] == ["ADD"]

    def test_a_name_goes_with_what_said_it(self, record: Record) -> None:
        """A name that only the forgotten message said is no alias any more, and in no change that stays."""
        world = World(record)
        key = keys_by_text(say(record, "Maxi Secret called"))["Maxi Secret called"]
        edit(record, mentions=[Mention(world["Max"], "Maxi Secret", 0, 11, key)])
        edit(record, ChangeEntity(world["Max"], "Maxi Secret", reason="Maxi Secret is how they sign"))
        assert entity(record, "maxi secret").name == "Maxi Secret"
        forget(record, message="Maxi Secret called")
        assert record.read(FindEntities(ADAS, ("Maxi Secret", "Secret"))) == ()
        assert entity(record, "Max").name == "Max"
        assert entity(record, "Max").aliases == ()
        assert "Secret" not in repr(past(record))

    def test_who_has_no_name_left(self, record: Record) -> None:
        """An entity whose only name was said by what is forgotten goes, though relations rest on other texts."""
        keys = keys_by_text(say(record, "Priya is here", "she met Max"))
        priya, max_ = uuid4(), uuid4()
        edit(record, AddEntity(priya, "Priya"), AddEntity(max_, "Max"),
             Relate(uuid4(), priya, "met", max_, sources=(Source(keys["she met Max"]),)),
             mentions=[Mention(priya, "Priya", 0, 5, keys["Priya is here"]),
                       Mention(max_, "Max", 8, 11, keys["she met Max"])])  # fmt: skip
        forget(record, message="Priya is here")
        assert names(record) == ["Max"]
        assert predicates(record) == []

    def test_of_those_that_were_merged(self, record: Record) -> None:
        """Of two that are one, the one that is still named stays, under the name that is still said."""
        world = World(record)
        edit(record, MergeEntities(world["Zoe"], world["Priya"]))
        forget(record, message=world.texts[0])
        assert entity(record, "Zoe").name == "Zoe"
        assert record.read(FindEntities(ADAS, ("Priya",))) == ()
        assert around(record, world["Max"]) == {"Max": 0, "Zoe": 1}
        assert len(record.read(ReadMentions(ADAS, world["Zoe"]))) == 2
        assert "Priya" not in repr(past(record))

    def test_times(self, record: Record) -> None:
        """When an entity was first seen is told by what is left."""
        world = World(record)
        before = entity(record, "Zoe").first_seen
        forget(record, message=world.texts[1])
        zoe = entity(record, "Zoe")
        assert before is not None
        assert zoe.first_seen == zoe.last_seen
        assert zoe.first_seen is not None
        assert zoe.first_seen > before
