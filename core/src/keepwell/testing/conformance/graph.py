"""Entities, relations and mentions: written, found, merged, split, and taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final
from uuid import UUID, uuid4

import numpy as np
import pytest

from keepwell.errors import EntityNotFound, FactChanged, InvalidQuery, MessageNotFound, RelationNotFound
from keepwell.formation.entities_settle import inverse
from keepwell.formation.graph_edits import (
    AddEntity,
    ChangeEntity,
    EndRelation,
    MergeEntities,
    Relate,
    RemoveEntity,
    RetractRelation,
    SplitEntity,
)
from keepwell.models import Message, Source
from keepwell.models.graph import Mention
from keepwell.storage.base import MoveThread, Record, ReplaceMessage
from keepwell.storage.graph import (
    ApplyGraph,
    FindEntities,
    FindUnmentioned,
    GraphEdits,
    GraphHistory,
    ListEntities,
    ReadContexts,
    ReadEntities,
    ReadGraph,
    ReadMentions,
    SupportOf,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    EVERYONE,
    Capability,
    StoreConformance,
    keys_by_text,
    say,
    terms_of,
)
from keepwell.testing.conformance.facts_base import add, apply, resting
from keepwell.testing.conformance.graph_base import (
    World,
    around,
    day,
    edit,
    entity,
    lines,
    look,
    names,
    naming,
    past,
    predicates,
    unseen,
    ways,
)

FUZZY: Final = 0.2


class GraphConformance(StoreConformance):
    """Who and what is spoken of is kept, found and changed."""

    capability: ClassVar[Capability | None] = "graph"

    def test_what_was_written_is_there(self, record: Record, other: Record) -> None:
        """Entities, relations with what they rest on, and mentions with their places are read as they were written."""
        world = World(record)
        assert names(other) == ["Max", "Priya", "Rome", "Zoe"]
        assert predicates(other) == ["is in", "knows", "met"]
        met = lines(other, ids=(world.relations["met"],))[0]
        assert (met.subject, met.object, met.version) == (world["Priya"], world["Max"], 1)
        assert [one.message for one in met.sources] == [world.first]
        mentions = other.read(ReadMentions(ADAS, world["Max"]))
        assert [(one.surface, one.start, one.end) for one in mentions] == [("Max", 0, 3), ("Max", 10, 13)]
        assert len(past(other)) == 7
        assert other.read(ReadGraph()).mentions == 6

    def test_the_same_again_changes_nothing(self, record: Record) -> None:
        """Entities that are there, relations that stand and mentions that are kept are not made a second time."""
        world = World(record)
        before = record.read(ReadGraph())
        assert len(world.write()) == 0
        again = edit(record, Relate(uuid4(), world["Priya"], "Met", world["Max"], sources=(Source(world.second),)))
        assert len(again) == 0
        after = record.read(ReadGraph())
        assert (after.relations, after.changes) == (before.relations, before.changes)
        assert after.mentions == before.mentions
        met = lines(record, ids=(world.relations["met"],))[0]
        assert {one.message for one in met.sources} == {world.first, world.second}

    def test_nothing_is_kept_that_nothing_speaks_for(self, record: Record) -> None:
        """A relation without a source that nobody gave, and an entity that nothing names, are not written."""
        one, two = uuid4(), uuid4()
        assert len(edit(record, AddEntity(one, "Nobody"), Relate(uuid4(), one, "is", two))) == 0
        assert names(record) == []
        given = edit(record, AddEntity(one, "Ada", given=("Ada",)), AddEntity(two, "Bo", given=("Bo",)),
                     Relate(uuid4(), one, "knows", two, given=True))  # fmt: skip
        assert len(given) == 3
        assert names(record) == ["Ada", "Bo"]

    def test_what_is_named_must_be_there(self, record: Record) -> None:
        """Who names a message, an entity or a relation that is not there writes nothing."""
        world = World(record)
        before = record.read(ReadGraph())
        with pytest.raises(MessageNotFound):
            edit(record, mentions=[Mention(world["Max"], "Max", 0, 3, 10**9)])
        with pytest.raises(EntityNotFound):
            edit(record, MergeEntities(uuid4(), world["Max"]))
        with pytest.raises(RelationNotFound):
            edit(record, RetractRelation(uuid4()))
        with pytest.raises(FactChanged):
            edit(record, ChangeEntity(world["Max"], "Maxim", version=7))
        assert record.read(ReadGraph()) == before

    def test_a_message_of_another_owner_is_not_named(self, record: Record) -> None:
        """A mention lies in a message of its own owner."""
        world = World(record)
        theirs = keys_by_text(say(record, "Max again", owner=BOB))["Max again"]
        with pytest.raises(MessageNotFound):
            edit(record, mentions=[Mention(world["Max"], "Max", 0, 3, theirs)])

    def test_walls(self, record: Record, stranger: Record) -> None:
        """Another owner and another tenant see and change nothing of it; a scope sees what it covers."""
        world = World(record)
        World(record, BOB)
        assert names(stranger) == []
        assert names(record, EVERYONE) == sorted(2 * ["Max", "Priya", "Rome", "Zoe"])
        assert record.read(ReadEntities(BOBS, (world["Max"],))) == {}
        assert record.read(ReadMentions(BOBS, world["Max"])) == ()
        assert len(record.read(SupportOf(BOBS, entities=(world["Max"],))).keys) == 0
        assert not predicates(record, BOBS, entity=world["Max"])
        with pytest.raises(EntityNotFound):
            edit(record, ChangeEntity(world["Max"], "Mine"), owner=BOB)
        with pytest.raises(EntityNotFound):
            edit(stranger, ChangeEntity(world["Max"], "Mine"))

    def test_an_id_that_somebody_else_has(self, record: Record) -> None:
        """Who makes something under an id of another owner's makes one of their own, the same each time."""
        world = World(record)
        key = keys_by_text(say(record, "Max is mine", owner=BOB))["Max is mine"]
        edits = (AddEntity(world["Max"], "Mine"), Relate(world.relations["met"], world["Max"], "is", world["Max"],
                                                         sources=(Source(key),)))  # fmt: skip
        for _ in range(2):
            edit(record, *edits, mentions=[Mention(world["Max"], "Mine", 7, 11, key)], owner=BOB)
        assert names(record) == ["Max", "Priya", "Rome", "Zoe"]
        assert names(record, BOBS) == ["Mine"]
        assert predicates(record, BOBS) == ["is"]
        assert entity(record, "Mine", BOBS).id != world["Max"]
        assert entity(record, "Max").name == "Max"

    # --- names

    def test_found_by_any_name(self, record: Record) -> None:
        """An entity is found by its name, however written, by a given name and by the words of its mentions."""
        world = World(record)
        key = keys_by_text(say(record, "Maxi is here"))["Maxi is here"]
        edit(record, ChangeEntity(world["Max"], given=("Maximilian Ray",)),
             mentions=[Mention(world["Max"], "Maxi", 0, 4, key)])  # fmt: skip
        for asked in ("max", " MAX ", "maxi", "maximilian  ray"):
            (found,) = record.read(FindEntities(ADAS, (asked,)))
            assert found.entity.id == world["Max"]
            assert found.score == 1
        assert set(entity(record, "Max").aliases) == {"Maxi", "Maximilian Ray"}
        assert entity(record, "Max").given == ("Maximilian Ray",)

    def test_found_by_a_name_that_is_nearly_right(self, record: Record) -> None:
        """With ``fuzzy`` a misspelt name finds those that are alike, best first; without it nothing."""
        world = World(record)
        edit(record, AddEntity(uuid4(), "Prya", given=("Prya",)))
        assert record.read(FindEntities(ADAS, ("Prija",))) == ()
        found = record.read(FindEntities(ADAS, ("Prija", "Zoee"), fuzzy=FUZZY))
        assert [(one.asked, one.name) for one in found] == [("Prija", "Priya"), ("Prija", "Prya"), ("Zoee", "Zoe")]
        assert found[0].entity.id == world["Priya"]
        assert FUZZY <= found[0].score < 1

    def test_found_of_a_type(self, record: Record) -> None:
        """Where a type is asked for, others of that name are not given."""
        World(record)
        assert len(record.read(FindEntities(ADAS, ("Rome",), type="place"))) == 1
        assert record.read(FindEntities(ADAS, ("Rome",), type="person")) == ()
        assert [one.name for one in record.read(ListEntities(ADAS, "place"))] == ["Rome"]

    def test_the_old_name_stays(self, record: Record) -> None:
        """Who is renamed is found by both names; a name that no mention has goes with the renaming back."""
        world = World(record)
        (change,) = edit(record, ChangeEntity(world["Zoe"], "Zoë Kahn", given=("Zoë Kahn",), reason="she said so"))
        assert entity(record, "zoë kahn").name == "Zoë Kahn"
        assert entity(record, "Zoe").name == "Zoë Kahn"
        assert (change.kind, change.reason) == ("UPDATE", "she said so")
        edit(record, *inverse([change]))
        assert entity(record, "Zoe").name == "Zoe"
        assert record.read(FindEntities(ADAS, ("Zoë Kahn",))) == ()

    def test_pages(self, record: Record) -> None:
        """Pages of entities and of history give each once, in order; a mark that is none is refused."""
        World(record)
        seen: list[str] = []
        after: str | None = None
        for _ in range(4):
            page = record.read(ListEntities(ADAS, after=after, limit=1))
            seen += [one.name for one in page]
            after = page.next
        assert sorted(seen) == ["Max", "Priya", "Rome", "Zoe"]
        assert seen[0] == "Zoe"
        assert after is None
        first = record.read(GraphHistory(ADAS, limit=4))
        second = record.read(GraphHistory(ADAS, limit=4, after=first.next))
        assert [one.id for one in (*first, *second)] == [one.id for one in past(record)[::-1]]
        with pytest.raises(InvalidQuery):
            record.read(ListEntities(ADAS, after="?"))
        with pytest.raises(InvalidQuery):
            record.read(GraphHistory(ADAS, after="?"))

    def test_when_it_was_seen(self, record: Record) -> None:
        """First and last seen are the times of what names it."""
        World(record)
        zoe, rome = entity(record, "Zoe"), entity(record, "Rome")
        assert zoe.first_seen is not None
        assert zoe.last_seen is not None
        assert (zoe.last_seen - zoe.first_seen).total_seconds() == 60
        assert rome.first_seen == rome.last_seen

    # --- merging and splitting

    def test_merged(self, record: Record) -> None:
        """What was merged is found and followed as the other, and whatever was merged into it, too."""
        world = World(record)
        edit(record, MergeEntities(world["Priya"], world["Max"], reason="the same"))
        assert names(record) == ["Max", "Rome", "Zoe"]
        assert entity(record, "Priya").id == world["Max"]
        assert entity(record, "Max").aliases == ("Priya",)
        edit(record, MergeEntities(world["Max"], world["Zoe"]))
        assert entity(record, "Priya").id == world["Zoe"]
        kept = record.read(ReadEntities(ADAS, (world["Priya"], world["Max"]), resolve=False))
        assert {one.merged_into for one in kept.values()} == {world["Zoe"]}
        assert around(record, world["Priya"]) == {"Zoe": 0, "Rome": 1}
        assert len(record.read(ReadMentions(ADAS, world["Max"]))) == 5
        assert record.read(ReadEntities(ADAS, (world["Priya"],)))[world["Priya"]].id == world["Zoe"]
        assert len(edit(record, MergeEntities(world["Priya"], world["Zoe"]))) == 0

    def test_a_merge_is_taken_back_exactly(self, record: Record) -> None:
        """After a merge and its inverse everything is as it was, but for the history."""
        world = World(record)
        first = edit(record, MergeEntities(world["Priya"], world["Max"]))
        before = self._state(record, world)
        second = edit(record, MergeEntities(world["Max"], world["Zoe"]))
        assert [one.kind for one in second] == ["MERGE", "MERGE"]
        edit(record, *inverse(second))
        assert self._state(record, world) == before
        edit(record, *inverse(first))
        assert names(record) == ["Max", "Priya", "Rome", "Zoe"]
        assert around(record, world["Priya"]) == {"Priya": 0, "Max": 1, "Rome": 1}

    def _state(self, record: Record, world: World) -> dict[UUID, tuple[object, ...]]:
        found = record.read(ReadEntities(ADAS, tuple(world.ids.values()), resolve=False))
        return {one.id: (one.name, one.merged_into, one.aliases, one.type) for one in found.values()}

    def test_split(self, record: Record) -> None:
        """A part of an entity becomes another, with the mentions and relations named; taken back, it is whole again."""
        world = World(record)
        newest = record.read(ReadMentions(ADAS, world["Zoe"]))[0]
        new = uuid4()
        made = edit(record, SplitEntity(world["Zoe"], new, "Zoe the painter", given=("Zoe the painter",),
                                        mentions=(newest.number,), relations=(world.relations["knows"],)))  # fmt: skip
        assert [one.kind for one in made] == ["SPLIT", "UPDATE"]
        assert {one.entity.id for one in record.read(FindEntities(ADAS, ("zoe",)))} == {world["Zoe"], new}
        assert [one.message for one in record.read(ReadMentions(ADAS, new))] == [world.third]
        assert around(record, new) == {"Zoe the painter": 0, "Max": 1}
        edit(record, *inverse(made))
        assert [one.entity.id for one in record.read(FindEntities(ADAS, ("zoe",)))] == [world["Zoe"]]
        assert len(record.read(ReadMentions(ADAS, world["Zoe"]))) == 2
        assert around(record, world["Zoe"]) == {"Zoe": 0, "Max": 1}

    def test_taken_away_and_restored(self, record: Record) -> None:
        """What was taken away is not found or followed, and comes back as it was."""
        world = World(record)
        gone = edit(record, RemoveEntity(world["Max"]))
        assert names(record) == ["Priya", "Rome", "Zoe"]
        assert record.read(FindEntities(ADAS, ("Max",))) == ()
        assert len(record.read(FindEntities(ADAS, ("Max",), retired=True))) == 1
        assert around(record, world["Priya"], 2) == {"Priya": 0, "Rome": 1}
        edit(record, *inverse(gone))
        assert around(record, world["Priya"], 2) == {"Priya": 0, "Max": 1, "Rome": 1, "Zoe": 2}

    # --- relations

    def test_dates(self, record: Record) -> None:
        """A relation that ended is not true after, and is read as it was held before; one that is not dated is true."""
        world = World(record)
        relation = uuid4()
        edit(record, Relate(relation, world["Priya"], "carer of", world["Zoe"], valid_from=day(10),
                            sources=(Source(world.first),)))  # fmt: skip
        held = past(record)[-1].at
        (ended,) = edit(record, EndRelation(relation, day(20), sources=(Source(world.second),)))
        assert predicates(record, ids=(relation,), valid_at=day(5)) == []
        assert predicates(record, ids=(relation,), valid_at=day(15)) == ["carer of"]
        assert predicates(record, ids=(relation,), valid_at=day(25)) == []
        assert around(record, world["Zoe"], valid_at=day(25)) == {"Zoe": 0, "Max": 1}
        assert around(record, world["Zoe"], valid_at=day(25), as_of=held) == {"Zoe": 0, "Max": 1, "Priya": 1}
        (now,) = lines(record, ids=(relation,))
        assert (now.version, now.valid_to, [one.message for one in now.sources]) == (2, day(20), [world.second])
        assert [one.version for one in lines(record, ids=(relation,), versions=True)] == [1, 2]
        edit(record, *inverse([ended]))
        assert lines(record, ids=(relation,))[0].valid_to is None

    def test_again_after_it_ended(self, record: Record) -> None:
        """What is said anew of a relation that has ended is another relation; a date that was lacking is filled in."""
        world = World(record)
        one, two = uuid4(), uuid4()
        rests = (Source(world.first),)
        edit(record, Relate(one, world["Priya"], "boss of", world["Zoe"], sources=rests))
        edit(record, Relate(uuid4(), world["Priya"], "boss of", world["Zoe"], valid_from=day(1), sources=rests))
        boss = lines(record, entity=world["Zoe"])[0]
        assert (boss.id, boss.version, boss.valid_from) == (one, 2, day(1))
        edit(record, EndRelation(one, day(9), sources=rests))
        edit(record, Relate(two, world["Priya"], "boss of", world["Zoe"], valid_from=day(30), sources=rests))
        assert {x.id for x in lines(record, entity=world["Zoe"]) if x.predicate == "boss of"} == {one, two}

    def test_retracted(self, record: Record) -> None:
        """A retracted relation is not followed any more, and its history says so; taken back, it stands again."""
        world = World(record)
        gone = edit(record, RetractRelation(world.relations["met"], reason="a mistake"))
        assert predicates(record) == ["is in", "knows"]
        assert [one.kind for one in past(record, relation=world.relations["met"])] == ["ADD", "DELETE"]
        with pytest.raises(RelationNotFound):
            edit(record, RetractRelation(world.relations["met"]))
        edit(record, *inverse(gone))
        assert predicates(record) == ["is in", "knows", "met"]
        assert [one.message for one in lines(record, ids=(world.relations["met"],))[0].sources] == [world.first]

    def test_neighbours_and_paths(self, record: Record) -> None:
        """One and two relations away, against their direction too, and the shortest way between two."""
        world = World(record)
        assert around(record, world["Max"]) == {"Max": 0, "Priya": 1, "Zoe": 1}
        assert around(record, world["Zoe"], 2) == {"Zoe": 0, "Max": 1, "Priya": 2}
        assert around(record, world["Zoe"], 3) == {"Zoe": 0, "Max": 1, "Priya": 2, "Rome": 3}
        assert ways(record, world["Zoe"], world["Rome"]) == ["Zoe Max Priya Rome knows met is in"]
        assert ways(record, world["Zoe"], world["Rome"], max_hops=2) == []
        edit(record, Relate(uuid4(), world["Zoe"], "lives in", world["Rome"], given=True))
        assert ways(record, world["Zoe"], world["Rome"]) == ["Zoe Rome lives in"]
        assert ways(record, world["Zoe"], world["Zoe"]) == []

    # --- what recall reads

    def test_support(self, record: Record) -> None:
        """The texts behind an entity come with how far off they are and by which relation, nearest first."""
        world = World(record)
        found = record.read(SupportOf(ADAS, names=("zoe", "nobody"), hops=2))
        assert found.asked == {world["Zoe"]: "Zoe"}
        rows = list(zip(found.keys.tolist(), found.hops.tolist(), found.entities, found.relations, strict=True))
        assert [row[:2] for row in rows[:2]] == [(world.third, 0), (world.second, 0)]
        assert (world.second, 1, world["Max"], world.relations["knows"]) in rows
        assert (world.first, 1, world["Max"], None) in rows
        assert (world.first, 2, world["Priya"], world.relations["met"]) in rows
        assert found.names[world["Priya"]] == "Priya"
        assert found.predicates[world.relations["met"]] == "met"
        assert np.all(np.diff(found.hops) >= 0)
        near = record.read(SupportOf(ADAS, entities=(world["Zoe"],), hops=1))
        assert set(near.hops.tolist()) == {0, 1}
        assert len(record.read(SupportOf(ADAS, names=("nobody",))).keys) == 0

    def test_support_by_facts(self, record: Record) -> None:
        """A fact that stands supports what it mentions, under its negative key; one that ended does not."""
        world = World(record)
        fact = apply(record, add("Zoe is a painter", key="job", sources=resting(world.third)))[0].after
        assert fact is not None
        edit(record, mentions=[Mention(world["Zoe"], "Zoe", 0, 3, fact=fact.id, version=1)])
        assert sum(key < 0 for key in record.read(SupportOf(ADAS, names=("Zoe",), hops=0)).keys) == 1
        apply(record, add("Zoe is a singer", key="job"))
        assert sum(key < 0 for key in record.read(SupportOf(ADAS, names=("Zoe",), hops=0)).keys) == 0

    def test_contexts(self, record: Record) -> None:
        """The company of an entity: who is named with it, its relations, and the words around it."""
        world = World(record)
        company = record.read(ReadContexts(ADAS, (world["Max"], uuid4())))
        assert set(company) == {world["Max"]}
        one = company[world["Max"]]
        assert one.together == {world["Priya"]: 1, world["Rome"]: 1, world["Zoe"]: 1}
        assert one.relations == {("met", world["Priya"]), ("knows", world["Zoe"])}
        assert one.terms["max"] == 2
        assert one.keys == (world.second, world.first)

    # --- what nobody has looked through

    def test_unseen_texts(self, record: Record) -> None:
        """Messages and facts are to be looked through once, each owner's by themselves, and then not any more."""
        keys = keys_by_text(say(record, "Priya met Max", "Hello"), say(record, "Hi", owner=BOB))
        apply(record, add("Max is tall", sources=resting(keys["Hello"])))
        assert set(unseen(record)) == {"Priya met Max", "Hello", "Hi", "Max is tall"}
        fact = unseen(record)["Max is tall"]
        assert (fact.key < 0, fact.fact_version, fact.role) == (True, 1, "fact")
        for one in record.read(FindUnmentioned()):
            look(record, one)
        assert unseen(record) == {}
        assert record.read(ReadGraph()).waiting == 0
        say(record, "And then", thread="t")
        assert set(unseen(record)) == {"And then"}

    def test_unseen_texts_come_in_parts(self, record: Record) -> None:
        """A small limit gives the oldest first, and the rest when those were looked through."""
        say(record, "one", "two", "three")
        seen: list[str] = []
        for _ in range(3):
            (part,) = record.read(FindUnmentioned(limit=1))
            seen += [text.text for text in part.texts]
            look(record, part)
        assert seen == ["one", "two", "three"]
        assert record.read(FindUnmentioned()) == ()

    def test_a_replaced_message_is_looked_through_again(self, record: Record) -> None:
        """What it named before goes when it was looked through, with who was named by nothing else."""
        (key,) = keys_by_text(say(record, "Priya met Max")).values()
        (part,) = record.read(FindUnmentioned())
        priya, max_ = uuid4(), uuid4()
        look(record, part, AddEntity(priya, "Priya"), AddEntity(max_, "Max"),
             mentions=[Mention(priya, "Priya", 0, 5, key), Mention(max_, "Max", 10, 13, key)])  # fmt: skip
        new = Message.user("Max is alone", id="Priya met Max")
        record.write(ReplaceMessage(ADA, "t", new, terms_of(new)))
        (part,) = record.read(FindUnmentioned())
        assert [(text.text, len(text.known)) for text in part.texts] == [("Max is alone", 2)]
        look(record, part, mentions=[Mention(max_, "Max", 0, 3, key)])
        assert names(record) == ["Max"]
        assert unseen(record) == {}

    def test_a_message_that_was_replaced_meanwhile(self, record: Record) -> None:
        """What was found in a text that is not there any more is not kept; the new text is looked through."""
        (key,) = keys_by_text(say(record, "Priya met Max")).values()
        (part,) = record.read(FindUnmentioned())
        new = Message.user("nobody", id="Priya met Max")
        record.write(ReplaceMessage(ADA, "t", new, terms_of(new)))
        look(record, part, AddEntity(priya := uuid4(), "Priya"), mentions=[Mention(priya, "Priya", 0, 5, key)])
        assert names(record) == []
        assert set(unseen(record)) == {"nobody"}

    def test_a_batch_of_facts_brings_its_graph(self, record: Record) -> None:
        """What is said of the graph beside facts names those by the edit's id, wherever the statement came to stand."""
        key = keys_by_text(say(record, "Priya is my sister"))["Priya is my sister"]
        there = apply(record, add("Priya is Ada's sister", sources=resting(key)))[0].after
        assert there is not None
        priya, ada, again, fresh = uuid4(), uuid4(), uuid4(), uuid4()
        edits = (add("Priya is Ada's sister"), add("Priya sings", sources=resting(key)))
        graph = GraphEdits(
            (
                AddEntity(priya, "Priya"),
                AddEntity(ada, "Ada"),
                Relate(uuid4(), priya, "sister of", ada, sources=(Source(fact=again),)),
                Relate(uuid4(), priya, "unknown to", ada, sources=(Source(fact=uuid4()),)),
            ),
            (Mention(priya, "Priya", 0, 5, fact=again), Mention(priya, "Priya", 0, 5, fact=fresh)),
        )
        apply(record, replace(edits[0], fact=again), replace(edits[1], fact=fresh), graph=graph)
        (line,) = lines(record)
        assert (line.predicate, line.sources[0].fact, line.sources[0].version) == ("sister of", there.id, 1)
        assert {one.fact for one in record.read(ReadMentions(ADAS, priya))} == {there.id, fresh}

    def test_a_moved_thread_takes_along_what_rests_on_it_alone(self, record: Record) -> None:
        """What else it named stays with the old owner without it, and is to be found anew by the new one."""
        world = World(record)
        rome = keys_by_text(say(record, "Rome again", thread="u"))["Rome again"]
        edit(record, mentions=[naming(world["Rome"], "Rome again", "Rome", rome)])
        for one in record.read(FindUnmentioned()):
            look(record, one, mentions=[known for text in one.texts for known in text.known])
        record.write(MoveThread(ADA, "t", BOB))
        assert names(record) == ["Rome"]
        assert predicates(record) == []
        assert names(record, BOBS) == ["Max", "Priya", "Zoe"]
        assert predicates(record, BOBS) == ["knows", "met"]
        assert {one.entity or one.relation for one in past(record)} == {world["Rome"]}
        assert len(past(record, BOBS)) == 5
        assert record.read(FindEntities(BOBS, ("zoe",)))[0].entity.id == world["Zoe"]
        assert set(unseen(record)) == set(World.texts)

    def test_in_a_transaction_of_the_caller(self, record: Record, stores: tuple[object, ...]) -> None:
        """What is written through a connection is seen when its transaction has ended."""
        self.needs("transactions")
        write = ApplyGraph(ADA, GraphEdits((AddEntity(uuid4(), "Ada", given=("Ada",)),)), "tests", uuid4())
        with stores[0].transaction() as connection:  # type: ignore[attr-defined]  # a Store
            record.write(write, connection)
            assert names(record) == []
        assert names(record) == ["Ada"]
