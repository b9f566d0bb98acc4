"""Entities have embeddings of what they are now, and none of what they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Final
from uuid import UUID, uuid4

import pytest

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
)
from keepwell.models import Scope, Source
from keepwell.models.graph import Mention
from keepwell.storage.base import DeleteMessages, Forget, MoveThread, Record, Space, SwitchSpace
from keepwell.storage.embeddings import DueEntity, EntityVector, FindUnembedded, Near, PutEntityVectors
from keepwell.storage.graph import (
    CountProjected,
    FindEntities,
    ListRelations,
    NearEntities,
    ReadMentions,
    ScanProjected,
    SupportOf,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    Capability,
    StoreConformance,
    build,
    fetch,
    open_space,
    say,
    unit,
)
from keepwell.testing.conformance.graph_base import World, day, edit, entity

FIRST: Final = UUID(int=0)
TOWARDS: Final = {"Priya": unit(1), "Max": unit(0, 1), "Rome": unit(0, 0, 1), "Zoe": unit(0, 0, 0, 1)}


def due(record: Record, space: Space, after: UUID | None = None) -> dict[str, DueEntity]:
    """Give the entities that lack an embedding by name."""
    return {one.names[0]: one for one in record.read(FindUnembedded(space.key, after))}


def embedded(record: Record, space: Space) -> int:
    """Embed all that is due, each towards its own corner, and count it."""
    rows = (
        EntityVector(one.id, TOWARDS.get(one.names[0], unit(1, 1, 1, 1)), one.version)
        for one in due(record, space, FIRST).values()
    )
    return record.write(PutEntityVectors(space.key, tuple(rows)))


def close(record: Record, space: Space, name: str, scope: Scope = ADAS, **bounds: Any) -> list[str]:  # noqa: ANN401 - of Near
    """Give the names of whom is close to where an entity was put."""
    near = Near(space.key, TOWARDS[name], **{"least": 0.5, **bounds})
    return [one.entity.name for one in record.read(NearEntities(scope, near))]


def switch(record: Record, space: Space) -> None:
    """Bring a space into use."""
    build(record, space)
    record.write(SwitchSpace(space.key))


def _renamed(world: World) -> GraphEdit:
    return ChangeEntity(world["Max"], name="Maximilian")


def _called(world: World) -> GraphEdit:
    return ChangeEntity(world["Max"], given=("Maxi",))


def _merged(world: World) -> GraphEdit:
    return MergeEntities(world["Zoe"], world["Max"])


def _related(world: World) -> GraphEdit:
    return Relate(uuid4(), world["Max"], "paints", world["Rome"], sources=(Source(world.first),))


def _ended(world: World) -> GraphEdit:
    return EndRelation(world.relations["knows"], day(3), sources=(Source(world.third),))


def _retracted(world: World) -> GraphEdit:
    return RetractRelation(world.relations["knows"], sources=(Source(world.third),))


class GraphEmbeddingConformance(StoreConformance):
    """An embedding is made once, kept where it still fits, and gone with its words."""

    capability: ClassVar[Capability | None] = "graph_embedding"

    def test_what_is_due(self, record: Record) -> None:
        """Each entity is due, with its names and with what its relations say it is, and not once it was embedded.

        What a person is called means nothing, and what a place is called does.
        """
        World(record)
        space = open_space(record)
        found = due(record, space)
        assert {name: (one.roles, one.text) for name, one in found.items()} == {
            "Priya": (("is in", "met"), "is in, met"),
            "Max": (("knows",), "knows"),
            "Rome": ((), "Rome"),
            "Zoe": ((), ""),
        }
        assert embedded(record, space) == 4
        assert due(record, space) == due(record, space, FIRST) == {}

    def test_other_names_are_embedded_too(self, record: Record) -> None:
        """Names that were given, that mentions say, and of what was merged into it, stand after its own."""
        world = World(record)
        edit(
            record,
            ChangeEntity(world["Zoe"], given=("Zoë K",)),
            MergeEntities(world["Rome"], world["Zoe"]),
            mentions=[Mention(world["Zoe"], "paints", 4, 10, world.third)],
        )
        found = due(record, open_space(record))
        assert set(found) == {"Priya", "Max", "Zoe"}
        assert set(found["Zoe"].names[1:]) == {"Zoë K", "Rome", "paints"}

    def test_a_page_at_a_time(self, record: Record) -> None:
        """What is due comes in pages, and after an id all that a space lacks."""
        World(record)
        space = open_space(record)
        assert len(record.read(FindUnembedded(space.key, limit=3))) == 3
        first = record.read(FindUnembedded(space.key, FIRST, 3))
        rest = record.read(FindUnembedded(space.key, first[-1].id, 3))
        assert len({one.id for one in (*first, *rest)}) == 4

    def test_who_is_close(self, record: Record) -> None:
        """Entities are found by how close they are: the best, those about as good, and none below the least."""
        World(record)
        space = open_space(record)
        embedded(record, space)
        assert close(record, space, "Max") == ["Max"]
        near = Near(space.key, unit(1, 0.9), 0.5)
        found = record.read(NearEntities(ADAS, near))
        assert [(one.entity.name, round(one.score, 2)) for one in found] == [("Priya", 0.74), ("Max", 0.67)]
        assert [one.entity.name for one in record.read(NearEntities(ADAS, Near(space.key, unit(1, 0.5), 0.4)))] == [
            "Priya"
        ]
        assert record.read(NearEntities(ADAS, Near(space.key, unit(1, 1, 1, 1), 0.6))) == ()
        assert len(record.read(NearEntities(ADAS, Near(space.key, unit(1, 1, 1, 1), 0.4, most=2)))) == 2

    def test_nobody_elses(self, record: Record, stranger: Record) -> None:
        """Neither another person's view nor another tenant sees an embedding, or what is due."""
        World(record)
        space = open_space(record)
        embedded(record, space)
        assert close(record, space, "Max", BOBS) == []
        assert close(stranger, space, "Max") == []
        theirs = open_space(stranger)
        assert due(stranger, theirs, FIRST) == {}
        one = entity(record, "Max")
        assert stranger.write(PutEntityVectors(theirs.key, (EntityVector(one.id, unit(1)),))) == 0

    def test_what_is_near_leads_to_its_texts(self, record: Record) -> None:
        """The hot read starts from whom a vector is close to where no name is found, and says how close."""
        world = World(record)
        space = open_space(record)
        embedded(record, space)
        near = Near(space.key, unit(0, 0, 0, 1), 0.5)
        found = record.read(SupportOf(ADAS, ("nobody",), hops=0, near=near))
        assert set(found.keys.tolist()) == {world.second, world.third}
        assert found.asked == {world["Zoe"]: ""}
        assert {ident: round(score, 4) for ident, score in found.near.items()} == {world["Zoe"]: 1.0}
        named = record.read(SupportOf(ADAS, ("Rome",), hops=0, near=near))
        assert (set(named.asked), named.near) == ({world["Rome"]}, {})
        beside = record.read(SupportOf(ADAS, ("Rome",), hops=0, near=replace(near, beside=True)))
        assert (set(beside.asked), set(beside.near)) == ({world["Rome"], world["Zoe"]}, {world["Zoe"]})
        both = record.read(SupportOf(ADAS, entities=(world["Rome"],), hops=0, near=near))
        assert (set(both.asked), set(both.near)) == ({world["Rome"], world["Zoe"]}, {world["Zoe"]})
        assert record.read(SupportOf(ADAS, ("nobody",), near=Near(space.key, unit(1, 1, 1, 1), 0.9))).asked == {}

    @pytest.mark.parametrize("change", [_renamed, _called, _merged, _related, _ended, _retracted])
    def test_a_change_makes_it_due_again(self, record: Record, change: Callable[[World], GraphEdit]) -> None:
        """What changes the words of an embedding takes it away at once; one made of the earlier words is refused."""
        world = World(record)
        space = open_space(record)
        earlier = due(record, space)["Max"]
        embedded(record, space)
        edit(record, change(world))
        assert world["Max"] in {one.id for one in due(record, space).values()}
        assert close(record, space, "Max") == []
        assert record.write(PutEntityVectors(space.key, (EntityVector(world["Max"], unit(1), earlier.version),))) == 0
        assert embedded(record, space) == 1

    def test_what_changes_nothing_keeps_it(self, record: Record) -> None:
        """One more mention by a name that is known leaves an embedding as it is."""
        world = World(record)
        space = open_space(record)
        embedded(record, space)
        edit(record, mentions=[Mention(world["Max"], "Max", 0, 3, world.third)])
        assert due(record, space, FIRST) == {}
        assert close(record, space, "Max") == ["Max"]

    def test_what_is_parted_is_due(self, record: Record) -> None:
        """A split leaves two that are due: the new one, and the one that it was part of."""
        world = World(record)
        space = open_space(record)
        embedded(record, space)
        mentions = record.read(ReadMentions(ADAS, entity=world["Max"]))
        (line,) = record.read(ListRelations(ADAS, ids=(world.relations["knows"],)))
        edit(record, SplitEntity(world["Max"], uuid4(), "Other", mentions=(mentions[0].number,), relations=(line.id,)))
        assert set(due(record, space)) == {"Max", "Other"}

    def test_what_is_taken_away_has_none(self, record: Record) -> None:
        """An entity that was removed, or merged into another, is neither close to anything nor due."""
        world = World(record)
        space = open_space(record)
        embedded(record, space)
        edit(record, RemoveEntity(world["Rome"]), MergeEntities(world["Zoe"], world["Priya"]))
        assert close(record, space, "Rome") == close(record, space, "Zoe") == []
        assert set(due(record, space, FIRST)) == {"Priya"}
        assert record.write(PutEntityVectors(space.key, (EntityVector(world["Zoe"], unit(1)),))) == 0

    def test_forgetting_takes_it(self, record: Record) -> None:
        """With a message goes the embedding of whom it alone named, and of names that it alone said."""
        world = World(record)
        edit(record, mentions=[Mention(world["Zoe"], "paints", 4, 10, world.third)])
        space = open_space(record)
        embedded(record, space)
        record.write(DeleteMessages(ADA, "t", (fetch(record, ADAS, world.third)[world.third].message.id,)))
        assert due(record, space)["Zoe"].names == ("Zoe",)
        embedded(record, space)
        record.write(Forget(ADAS))
        assert close(record, space, "Zoe") == close(record, space, "Max") == []
        assert due(record, space, FIRST) == {}

    def test_a_moved_one_is_embedded_anew(self, record: Record) -> None:
        """With a thread its entities go, and are embedded for the new owner; nothing is left with the old."""
        World(record)
        space = open_space(record)
        embedded(record, space)
        say(record, "hello", thread="other", owner=BOB)
        record.write(MoveThread(ADA, "t", BOB))
        assert close(record, space, "Max") == []
        assert set(due(record, space)) == {"Priya", "Max", "Rome", "Zoe"}
        embedded(record, space)
        assert close(record, space, "Max", BOBS) == ["Max"]

    def test_another_model(self, record: Record) -> None:
        """A space beside the one in use gets its own embeddings; with the switch the earlier ones go."""
        World(record)
        old, new = open_space(record), open_space(record, "newer")
        embedded(record, old)
        assert due(record, new) == {}
        assert len(due(record, new, FIRST)) == 4
        assert embedded(record, new) == 4
        assert close(record, old, "Max") == close(record, new, "Max") == ["Max"]
        switch(record, new)
        assert due(record, new) == {}
        assert (close(record, old, "Max"), close(record, new, "Max")) == ([], ["Max"])

    def test_what_the_new_model_lacks_is_due_after_the_switch(self, record: Record) -> None:
        """An entity that came while the new space was built is due once that is in use."""
        World(record)
        old, new = open_space(record), open_space(record, "newer")
        embedded(record, old)
        embedded(record, new)
        edit(record, AddEntity(uuid4(), "Late", given=("Late",)))
        embedded(record, old)
        switch(record, new)
        assert set(due(record, new)) == {"Late"}

    def test_a_projection_is_told(self, record: Record) -> None:
        """What is projected of an entity has its embedding, and counts another sum with it than without."""
        World(record)
        space = open_space(record)
        before = record.read(CountProjected())["entity"]
        embedded(record, space)
        page = record.read(ScanProjected("entity"))
        said = {one.properties["name"]: one.properties["embedding"] for one in page.rows if one.properties}
        assert said["Max"] == [0.0, 1.0, 0.0, 0.0]
        after = record.read(CountProjected())["entity"]
        assert after.count == before.count
        assert after.checksum != before.checksum
        assert after.checksum == sum(one.mark for one in page.rows)
        (found,) = record.read(FindEntities(ADAS, ("Max",)))
        edit(record, ChangeEntity(found.entity.id, name="Maximilian"))
        page = record.read(ScanProjected("entity", ids=(str(found.entity.id),)))
        assert [one.properties["embedding"] for one in page.rows if one.properties] == [None]
