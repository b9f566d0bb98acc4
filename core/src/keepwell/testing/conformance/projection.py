"""What a projection of the graph is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from keepwell.errors import InvalidQuery
from keepwell.formation.graph_edits import ChangeEntity, MergeEntities, RemoveEntity, RetractRelation
from keepwell.models import Message
from keepwell.storage.base import Forget, MoveThread, Record, ReplaceMessage
from keepwell.storage.graph import (
    PROJECTED_KINDS,
    CountProjected,
    Outbox,
    Projected,
    PruneOutbox,
    ReadOutbox,
    ReadProjection,
    ScanProjected,
    SetProjection,
)
from keepwell.testing.conformance.base import ADA, ADAS, BOB, Capability, StoreConformance, say, terms_of
from keepwell.testing.conformance.facts_base import add, apply, resting, update
from keepwell.testing.conformance.graph_base import World, edit

Copy = dict[tuple[str, str], Projected]
PATIENCE = 20.0
"""Seconds; whoever writes in the same cluster, in another database too, holds up what was noted after it began."""


def follow(record: Record, copy: Copy, position: str | None, limit: int = 1000) -> str | None:
    """Bring a copy up to date with what was noted, and give where to go on."""
    while True:
        page: Outbox = record.read(ReadOutbox(position, limit))
        for row in page.rows:
            copy.pop((row.kind, row.id), None)
            if row.properties is not None:
                copy[row.kind, row.id] = row
        if page.position is None:
            return position
        position = page.position


def follow_up(record: Record, copy: Copy, position: str | None, limit: int = 1000) -> str | None:
    """Follow until the copy is what a scan gives: others that write at the same time hold it up."""
    until = time.monotonic() + PATIENCE
    position = follow(record, copy, position, limit)
    while copy != scanned(record) and time.monotonic() < until:
        time.sleep(0.02)
        position = follow(record, copy, position, limit)
    return position


def noted(record: Record, enough: Callable[[Outbox], bool], limit: int = 1000, after: str | None = None) -> Outbox:
    """Read what was noted after a position, when it may be read: others that write at the same time hold it up."""
    until = time.monotonic() + PATIENCE
    while not enough(page := record.read(ReadOutbox(after, limit))) and time.monotonic() < until:
        time.sleep(0.02)
    return page


def scanned(record: Record, limit: int = 1000) -> Copy:
    """Give all that there is to project, page by page."""
    copy: Copy = {}
    for kind in PROJECTED_KINDS:
        after: str | None = None
        while (page := record.read(ScanProjected(kind, after, limit=limit))).rows:
            copy |= {(row.kind, row.id): row for row in page.rows}
            after = page.position
    return copy


def said(copy: Copy, kind: str) -> list[Mapping[str, Any]]:
    """Give the properties of all of a kind."""
    return [row.properties for (of, _), row in copy.items() if of == kind and row.properties is not None]


class ProjectionConformance(StoreConformance):
    """What changes is noted, and read as it is now."""

    capability: ClassVar[Capability | None] = "projection"

    def test_nothing_is_noted_where_nobody_asks(self, record: Record) -> None:
        """Without a projection the outbox stays empty, and is empty when one begins."""
        World(record)
        assert record.read(ReadProjection()) is None
        assert record.read(ReadOutbox()).rows == ()
        record.write(SetProjection("there"))
        assert record.read(ReadOutbox()).rows == ()
        state = record.read(ReadProjection())
        assert state is not None
        assert (state.target, state.waiting, state.oldest) == ("there", 0, None)

    def test_a_copy_that_follows_is_the_record(self, record: Record, other: Record) -> None:
        """After any change, what was noted makes of the copy what a scan of everything gives."""
        record.write(SetProjection("there"))
        copy: Copy = {}
        position: str | None = None
        world = World(record)
        fact = apply(record, add("Zoe is a painter", sources=resting(world.third)))[0].after
        assert fact is not None
        new = Message.user("Zoe sings", id=world.texts[2])
        steps = (
            lambda: apply(record, update(fact, "Zoe is a singer")),
            lambda: edit(record, ChangeEntity(world["Zoe"], "Zoë")),
            lambda: edit(record, MergeEntities(world["Zoe"], world["Priya"])),
            lambda: edit(record, RetractRelation(world.relations["met"])),
            lambda: record.write(ReplaceMessage(ADA, "t", new, terms_of(new))),
            lambda: edit(record, RemoveEntity(world["Rome"])),
            lambda: apply(record, add("Zoe is a singer", sources=resting(world.second))),
            lambda: record.write(Forget(ADAS, message=world.texts[1])),
            lambda: record.write(MoveThread(ADA, "t", BOB)),
            lambda: record.write(Forget(ADAS)),
        )
        for step in (lambda: None, *steps):
            step()
            position = follow_up(other, copy, position, limit=3)
            assert copy == scanned(record, limit=2)
        assert {one["user_id"] for one in said(copy, "entity")} <= {"bob"}

    def test_what_is_said(self, record: Record) -> None:
        """Each kind says whose it is and what the seam promises, with ends as they are taken to be."""
        world = World(record)
        apply(record, add("Zoe is a painter", key="job", subject="Zoe", sources=resting(world.third)))
        edit(record, MergeEntities(world["Zoe"], world["Priya"]))
        copy = scanned(record)
        assert {kind: len(said(copy, kind)) for kind in PROJECTED_KINDS} == {
            "entity": 4, "relation": 3, "mention": 6, "fact": 1, "message": 3,
        }  # fmt: skip
        assert all(
            one["user_id"] == "ada" and one["run_id"] == "" for kind in PROJECTED_KINDS for one in said(copy, kind)
        )
        knows = next(one for one in said(copy, "relation") if one["predicate"] == "knows")
        assert (knows["subject"], knows["object"]) == (str(world["Max"]), str(world["Priya"]))
        priya = next(one for one in said(copy, "entity") if one["name"] == "Priya")
        assert (priya["type"], priya["aliases"], priya["merged_into"]) == ("person", ["Zoe"], None)
        (fact,) = said(copy, "fact")
        assert (fact["text"], fact["subject"], fact["key"], fact["messages"]) == (
            "Zoe is a painter", "Zoe", "job", [world.third],
        )  # fmt: skip
        message = next(one for one in said(copy, "message") if one["message_id"] == "Zoe paints")
        assert (message["thread_id"], message["seq"], message["role"]) == ("t", 3, "user")
        assert "Zoe paints" not in [value for name, value in message.items() if name != "message_id"]

    def test_counts_and_checksums(self, record: Record) -> None:
        """Counts and sums of marks are those of a scan; a mark changes with what is said."""
        world = World(record)
        copy = scanned(record)
        for kind, tally in record.read(CountProjected()).items():
            marks = [row.mark for (of, _), row in copy.items() if of == kind]
            assert (tally.count, tally.checksum) == (len(marks), sum(marks))
        edit(record, ChangeEntity(world["Zoe"], type="thing"))
        after = scanned(record)["entity", str(world["Zoe"])]
        assert after.mark != copy["entity", str(world["Zoe"])].mark
        assert 0 <= after.mark < 2**32

    def test_named_ones(self, record: Record) -> None:
        """Things that are asked for by id come in their present state, those that are gone too."""
        world = World(record)
        gone = str(uuid4())
        page = record.read(ScanProjected("entity", ids=(str(world["Max"]), gone)))
        assert [(row.id, row.properties is None, row.mark == 0) for row in page.rows] == [
            (str(world["Max"]), False, False), (gone, True, True),
        ]  # fmt: skip

    def test_pruned(self, record: Record) -> None:
        """What was read can be dropped, and only that."""
        record.write(SetProjection("there"))
        World(record)
        first = noted(record, lambda page: page.more, limit=2)
        assert first.more
        assert first.position is not None
        before = record.read(ReadProjection())
        assert record.write(PruneOutbox(first.position)) == 2
        after = record.read(ReadProjection())
        assert before is not None
        assert after is not None
        assert after.waiting == before.waiting - 2
        left = record.read(ReadOutbox())
        assert record.read(ReadOutbox(first.position)).rows == left.rows
        with pytest.raises(InvalidQuery):
            record.read(ReadOutbox("nonsense"))

    def test_identity(self, record: Record) -> None:
        """It is the same as long as the projection is; another target, or off and on, is another one."""
        record.write(SetProjection("there"))
        before = record.read(ReadOutbox()).identity
        record.write(SetProjection("there"))
        say(record, "something")
        assert record.read(ReadOutbox()).identity == before
        record.write(SetProjection(None))
        World(record)
        assert record.read(ReadProjection()) is None
        record.write(SetProjection("there"))
        state = record.read(ReadProjection())
        assert state is not None
        assert state.identity != before
        assert state.waiting == 0

    def test_the_stamp_rises(self, record: Record) -> None:
        """What is read after a write has a greater stamp."""
        record.write(SetProjection("there"))
        before = record.read(ReadOutbox()).stamp
        World(record)
        after = noted(record, lambda page: bool(page.rows))
        assert after.stamp > before
        assert after.rows

    def test_walls(self, record: Record, stranger: Record) -> None:
        """Another tenant's projection is told nothing of this one."""
        stranger.write(SetProjection("elsewhere"))
        World(record)
        assert stranger.read(ReadOutbox()).rows == ()
        assert scanned(stranger) == {}
        assert record.read(ReadProjection()) is None
