"""Embedding: what is due, and spaces that do not mix."""

from __future__ import annotations

from typing import ClassVar

import pytest

from keepwell.errors import Conflict, KeepwellError
from keepwell.models import MediaPart, Message
from keepwell.storage.base import (
    ActiveSpace,
    CloneThread,
    DeleteMessages,
    FindDue,
    FindMissing,
    LoadScope,
    MoveThread,
    OpenSpace,
    PutVectors,
    ReadStatus,
    Record,
    Space,
    SwitchSpace,
    VectorRow,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    DIMENSION,
    EVERYONE,
    Capability,
    StoreConformance,
    append,
    build,
    drain,
    embed,
    found,
    keys_by_text,
    open_space,
    put,
    say,
    unit,
)


def due(record: Record, space: Space, limit: int = 100) -> list[str]:
    """Give the texts that are due."""
    return [text.text for text in record.read(FindDue(space.key, limit)).texts]


def missing(record: Record, space: Space) -> list[str]:
    """Give the texts that lack a vector."""
    return [text.text for text in record.read(FindMissing(space.key, 0, 100))]


def embedded(record: Record, space: Space) -> set[int]:
    """Give the keys of the messages that have a vector."""
    return set(record.read(LoadScope(EVERYONE, space.key, None)).vectors.keys.tolist())


class EmbeddingConformance(StoreConformance):
    """What a store promises about vectors and the work that makes them."""

    capability: ClassVar[Capability] = "embedding"

    def test_no_space(self, record: Record) -> None:
        """Before the first space is opened there is none."""
        assert record.read(ActiveSpace()) is None

    def test_first_space(self, record: Record, other: Record) -> None:
        """The first space becomes the active one, for every store."""
        space = open_space(record)
        assert (space.model, space.dimension) == ("model", DIMENSION)
        assert other.read(ActiveSpace()) == space
        assert other.read(ReadStatus()).space == space

    def test_open_again(self, record: Record, other: Record) -> None:
        """A space that is there is given again; another model or another dimension is another space."""
        space = open_space(record)
        assert open_space(other) == space
        others = {open_space(other, "other model").key, other.write(OpenSpace("model", DIMENSION + 1)).key}
        assert len(others | {space.key}) == 3
        assert record.read(ActiveSpace()) == space

    def test_due(self, record: Record) -> None:
        """A message without a vector is due, with its key, thread, number and text."""
        space = open_space(record)
        answer = say(record, "one", "two")
        batch = record.read(FindDue(space.key, 10))
        assert [(one.message, one.thread, one.seq, one.text) for one in batch.texts] == [
            (key, answer.thread, message.seq, message.text) for key, message in answer.written.items()
        ]
        assert dict(batch.spans) == {answer.thread: (1, 2)}

    def test_due_before_the_space(self, record: Record) -> None:
        """Messages from before the first space are due in it."""
        say(record, "one")
        assert due(record, open_space(record)) == ["one"]

    def test_done(self, record: Record) -> None:
        """What was embedded is not due again, and what comes later is."""
        space = open_space(record)
        say(record, "one")
        assert drain(record, space) == ["one"]
        assert due(record, space) == []
        say(record, "two")
        assert due(record, space) == ["two"]

    def test_done_without_a_span(self, record: Record) -> None:
        """A message that has a vector is not due, even where nobody said that its span is done."""
        space = open_space(record)
        keys = keys_by_text(say(record, "one", "two"))
        put(record, space, {keys["one"]: unit(1)})
        assert due(record, space) == ["two"]

    def test_limit(self, record: Record) -> None:
        """Due work comes in pieces of the size asked for, oldest threads first and in order, each text once."""
        space = open_space(record)
        say(record, "a1", "a2", "a3", thread="a")
        say(record, "b1", thread="b")
        say(record, "c1", "c2", thread="c")
        assert due(record, space, limit=2) == ["a1", "a2"]
        assert drain(record, space, limit=2) == ["a1", "a2", "a3", "b1", "c1", "c2"]

    def test_a_gap_stays_due(self, record: Record) -> None:
        """A span that is done says nothing about the messages before it."""
        space = open_space(record)
        first = say(record, "one", "two")
        later = say(record, "three")
        rows = tuple(VectorRow(key, 0, unit(1)) for key in later.written)
        record.write(PutVectors(space.key, rows, {first.thread: (3, 3)}))
        assert due(record, space) == ["one", "two"]
        assert drain(record, space) == ["one", "two"]

    def test_nothing_to_embed(self, record: Record) -> None:
        """Messages without words are looked at once and hold nothing up."""
        space = open_space(record)
        append(record, Message.assistant(), Message.user((MediaPart(type="image", url="u"),)), Message.user(" \n"))
        say(record, "words")
        assert drain(record, space, limit=1) == ["words"]
        assert record.read(FindDue(space.key, 10)).texts == ()
        assert record.read(ReadStatus()).due == 0

    def test_replaced_is_due_again(self, record: Record) -> None:
        """A new version needs a new vector, and the old one is gone."""
        space = open_space(record)
        say(record, "one", "two", "three")
        drain(record, space)
        (key,) = append(record, Message.user("TWO", id="two")).written
        assert key not in embedded(record, space)
        assert due(record, space) == ["TWO"]
        assert drain(record, space) == ["TWO"]
        assert len(embedded(record, space)) == 3

    def test_the_same_again_is_not_due(self, record: Record) -> None:
        """A message that is sent again keeps its vector."""
        space = open_space(record)
        say(record, "one")
        drain(record, space)
        say(record, "one")
        assert due(record, space) == []
        assert len(embedded(record, space)) == 1

    def test_deleted_is_not_due(self, record: Record) -> None:
        """What is deleted has no vector and is not due."""
        space = open_space(record)
        keys = keys_by_text(say(record, "one", "two"))
        drain(record, space)
        say(record, "three", "four")
        record.write(DeleteMessages(ADA, "t", ("one", "three")))
        assert due(record, space) == ["four"]
        assert embedded(record, space) == {keys["two"]}

    def test_vectors_of_what_is_gone(self, record: Record) -> None:
        """Vectors that arrive after their message was deleted are dropped, the others are kept."""
        space = open_space(record)
        keys = keys_by_text(say(record, "one", "two"))
        batch = record.read(FindDue(space.key, 10))
        record.write(DeleteMessages(ADA, "t", ("one",)))
        assert embed(record, space, batch)
        assert embedded(record, space) == {keys["two"]}
        assert record.read(ReadStatus()).vectors == 1

    def test_vectors_again(self, record: Record) -> None:
        """Vectors that are put twice are kept once, the later ones."""
        space = open_space(record)
        (key,) = say(record, "one").written
        put(record, space, {key: unit(1)})
        put(record, space, {key: unit(0, 1)})
        vectors = record.read(LoadScope(ADAS, space.key, None)).vectors
        assert vectors.keys.tolist() == [key]
        assert vectors.matrix[0].tolist() == unit(0, 1).tolist()

    def test_vectors_are_exact(self, record: Record) -> None:
        """A vector comes back as the same 32-bit numbers."""
        space = open_space(record)
        (key,) = say(record, "one").written
        vector = unit(0.1, -1e-7, 0.3, 7)
        put(record, space, {key: vector})
        assert record.read(LoadScope(ADAS, space.key, None)).vectors.matrix[0].tobytes() == vector.tobytes()

    def test_status(self, record: Record) -> None:
        """The status counts vectors and what is due, and since when."""
        space = open_space(record)
        say(record, "one", "two", "three")
        before = record.read(ReadStatus())
        assert (before.vectors, before.due) == (0, 3)
        assert before.oldest_due is not None
        drain(record, space)
        after = record.read(ReadStatus())
        assert (after.vectors, after.due, after.oldest_due) == (3, 0, None)

    def test_unknown_space(self, record: Record) -> None:
        """Vectors of a space that is not there are refused, and nothing is kept."""
        space = open_space(record)
        (key,) = say(record, "one").written
        assert not record.write(PutVectors(space.key + 1_000_000, (VectorRow(key, 0, unit(1)),)))
        assert record.read(ReadStatus()).vectors == 0

    def test_spaces_do_not_mix(self, record: Record) -> None:
        """A space that is being built beside the active one has vectors and due texts of its own."""
        old = open_space(record)
        (key,) = say(record, "one").written
        drain(record, old)
        new = open_space(record, "new model")
        assert (due(record, old), missing(record, old), missing(record, new)) == ([], [], ["one"])
        assert embedded(record, new) == set()
        assert build(record, new) == ["one"]
        assert (missing(record, new), record.read(ActiveSpace())) == ([], old)
        assert embedded(record, old) == embedded(record, new) == {key}

    def test_missing(self, record: Record) -> None:
        """Messages that lack a vector in a space are walked by key, each once, and those without terms left out."""
        space = open_space(record)
        say(record, "b1", thread="b")
        say(record, "a1", "a2", thread="a")
        append(record, Message.assistant(), thread="a")
        say(record, "b2", thread="b")
        assert missing(record, space) == ["b1", "a1", "a2", "b2"]
        first = record.read(FindMissing(space.key, 0, 3))
        rest = record.read(FindMissing(space.key, first[-1].message, 3))
        assert [text.text for text in (*first, *rest)] == ["b1", "a1", "a2", "b2"]
        assert (first[0].seq, first[2].seq, rest[0].thread) == (1, 2, first[0].thread)

    def test_switch_too_early(self, record: Record) -> None:
        """A space that lacks vectors does not become the active one."""
        old = open_space(record)
        say(record, "one", "two")
        drain(record, old)
        new = open_space(record, "new model")
        put(record, new, {record.read(FindMissing(new.key, 0, 1))[0].message: unit(1)})
        with pytest.raises(Conflict):
            record.write(SwitchSpace(new.key))
        assert record.read(ActiveSpace()) == old
        assert len(embedded(record, old)) == 2

    def test_switch(self, record: Record, other: Record) -> None:
        """A complete space becomes the active one, and the vectors of the old one go."""
        old = open_space(record)
        say(record, "one", "two")
        drain(record, old)
        new = open_space(record, "new model")
        build(record, new)
        record.write(SwitchSpace(new.key))
        assert other.read(ActiveSpace()) == new
        assert embedded(record, old) == set()
        assert len(embedded(record, new)) == record.read(ReadStatus()).vectors == 2
        assert due(record, new) == []

    def test_late_vectors_of_the_old_space(self, record: Record) -> None:
        """A writer that still uses the old model after a switch is told so, and leaves nothing behind."""
        old = open_space(record)
        (key,) = say(record, "one").written
        new = open_space(record, "new model")
        build(record, new)
        record.write(SwitchSpace(new.key))
        assert not put(record, old, {key: unit(1)})
        assert record.read(ReadStatus()).vectors == 1

    def test_back_to_the_old_model(self, record: Record) -> None:
        """After a switch, the old model begins anew: everything lacks a vector in it."""
        old = open_space(record)
        say(record, "one")
        drain(record, old)
        new = open_space(record, "new model")
        build(record, new)
        record.write(SwitchSpace(new.key))
        again = open_space(record)
        assert record.read(ActiveSpace()) == new
        assert build(record, again) == ["one"]
        record.write(SwitchSpace(again.key))
        assert record.read(ActiveSpace()) == again

    def test_switch_to_the_active_one(self, record: Record) -> None:
        """A switch to the active space, when nothing is due, changes nothing."""
        space = open_space(record)
        say(record, "one")
        drain(record, space)
        record.write(SwitchSpace(space.key))
        assert record.read(ActiveSpace()) == space
        assert len(embedded(record, space)) == 1

    def test_switch_to_nothing(self, record: Record) -> None:
        """A switch to a space that is not there is refused; the active space and its vectors stay."""
        space = open_space(record)
        for _ in range(2):
            with pytest.raises(KeepwellError):
                record.write(SwitchSpace(space.key + 1_000_000))
            assert record.read(ActiveSpace()) == space
            say(record, "one")
            drain(record, space)
            assert len(embedded(record, space)) == 1

    def test_after_a_switch(self, record: Record) -> None:
        """After a switch new messages are due in the new space, and old ones are not."""
        drain(record, open_space(record))
        say(record, "one")
        new = open_space(record, "new model")
        build(record, new)
        record.write(SwitchSpace(new.key))
        say(record, "two")
        assert due(record, new) == ["two"]
        assert drain(record, new) == ["two"]
        assert record.read(ReadStatus()).due == 0

    @pytest.mark.parametrize("gone", [("three",), ("one",), ("one", "two", "three")], ids=len)
    def test_gaps_do_not_hold_up_a_switch(self, record: Record, gone: tuple[str, ...]) -> None:
        """Deleted messages, at the end or everywhere, and empty threads do not keep a space incomplete."""
        open_space(record)
        say(record, "one", "two", "three")
        record.write(DeleteMessages(ADA, "t", gone))
        new = open_space(record, "new model")
        build(record, new)
        record.write(SwitchSpace(new.key))
        assert record.read(ActiveSpace()) == new
        assert drain(record, new) == []

    def test_clone_is_embedded_or_due(self, record: Record) -> None:
        """Every message of a clone has a vector or is due."""
        space = open_space(record)
        say(record, "one", "two")
        drain(record, space)
        say(record, "three")
        record.write(CloneThread(ADA, "t", BOB, "copy"))
        everything = set(record.read(LoadScope(EVERYONE, space.key, None)).messages.keys.tolist())
        waiting = {one.message for one in record.read(FindDue(space.key, 100)).texts}
        assert embedded(record, space) | waiting == everything
        assert embedded(record, space) & waiting == set()
        drain(record, space)
        assert embedded(record, space) == everything

    def test_move_keeps_vectors(self, record: Record) -> None:
        """A moved thread takes its vectors and its due texts along."""
        space = open_space(record)
        say(record, "one")
        drain(record, space)
        say(record, "two")
        before = embedded(record, space)
        record.write(MoveThread(ADA, "t", BOB))
        assert embedded(record, space) == before
        assert due(record, space) == ["two"]
        assert found(record, owner=BOB).message_count == 2
