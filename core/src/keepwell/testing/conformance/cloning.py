"""Threads copied and moved."""

from __future__ import annotations

from typing import ClassVar

import pytest

from keepwell.errors import ThreadExists, ThreadNotFound
from keepwell.models import Lineage, Message, Owner
from keepwell.storage.base import (
    CloneThread,
    CreateThread,
    DeleteMessages,
    FindThread,
    FindThreadByKey,
    LoadScope,
    MoveThread,
    Record,
    ReplaceMessage,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    Capability,
    StoreConformance,
    append,
    found,
    read,
    say,
    seqs,
    texts,
    threads_of,
)


class CloningConformance(StoreConformance):
    """What a store promises about copies of threads and about threads that change hands."""

    capability: ClassVar[Capability] = "cloning"

    def test_clone_has_the_messages(self, record: Record) -> None:
        """A clone has the messages of its source, with their ids, numbers and times."""
        say(record, "one", "two", "three")
        record.write(CloneThread(ADA, "t", ADA, "copy"))
        assert read(record, "copy") == read(record)

    def test_clone_is_a_thread_of_its_own(self, record: Record) -> None:
        """A clone has its own key and names where it comes from and how far it goes."""
        say(record, "one", "two")
        source = found(record)
        made = record.write(CloneThread(ADA, "t", ADA, "copy"))
        assert made.key != source.key
        assert made.source == Lineage(source.key, 2)
        assert (made.message_count, made.last_seq) == (2, 2)
        assert found(record, "copy") == made

    def test_clone_until(self, record: Record) -> None:
        """A clone up to a message has no later one, and gives no number again."""
        say(record, "one", "two", "three")
        made = record.write(CloneThread(ADA, "t", ADA, "copy", until=2))
        assert texts(read(record, "copy")) == ["one", "two"]
        assert made.source == Lineage(found(record).key, 2)
        assert (append(record, Message.user("other"), thread="copy").messages[0].seq or 0) > 2
        assert texts(read(record, "copy")) == ["one", "two", "other"]

    def test_clone_lives_by_itself(self, record: Record) -> None:
        """What happens to a clone does not happen to its source, nor the other way round."""
        say(record, "one", "two")
        record.write(CloneThread(ADA, "t", ADA, "copy"))
        record.write(ReplaceMessage(ADA, "copy", Message.user("changed", id="one"), "changed"))
        record.write(DeleteMessages(ADA, "copy", ("two",)))
        say(record, "three")
        assert texts(read(record)) == ["one", "two", "three"]
        assert texts(read(record, "copy")) == ["changed"]

    def test_clone_keeps_gaps(self, record: Record) -> None:
        """A clone has the gaps of its source, and does not fill them either."""
        say(record, "one", "two", "three")
        record.write(DeleteMessages(ADA, "t", ("two", "three")))
        record.write(CloneThread(ADA, "t", ADA, "copy"))
        append(record, Message.user("four"), thread="copy")
        assert seqs(read(record, "copy")) == [1, 4]

    def test_clone_to_a_known_id(self, record: Record) -> None:
        """A clone does not take the place of a thread that is there."""
        say(record, "one")
        record.write(CreateThread(ADA, "copy", "mine"))
        with pytest.raises(ThreadExists):
            record.write(CloneThread(ADA, "t", ADA, "copy"))
        assert (found(record, "copy").title, read(record, "copy")) == ("mine", [])

    def test_clone_of_nothing(self, record: Record) -> None:
        """A thread that is not there cannot be cloned, and nothing is made."""
        with pytest.raises(ThreadNotFound):
            record.write(CloneThread(ADA, "t", ADA, "copy"))
        assert record.read(FindThread(ADA, "copy")) is None

    def test_clone_takes_over_title_and_metadata(self, record: Record) -> None:
        """A clone has the title and the metadata of its source, except for what it is given anew."""
        record.write(CreateThread(ADA, "t", "title", {"a": 1, "b": 2}))
        plain = record.write(CloneThread(ADA, "t", ADA, "plain"))
        named = record.write(CloneThread(ADA, "t", ADA, "named", title="other", metadata={"b": 3}))
        assert (plain.title, plain.metadata) == ("title", {"a": 1, "b": 2})
        assert (named.title, named.metadata) == ("other", {"a": 1, "b": 3})

    def test_clone_for_another_owner(self, record: Record) -> None:
        """A clone may belong to another owner, who sees it and not its source."""
        say(record, "one")
        record.write(CloneThread(ADA, "t", BOB, "t"))
        assert texts(read(record, owner=BOB)) == ["one"]
        assert [thread.id for thread in threads_of(record, BOBS)] == ["t"]
        assert found(record, owner=BOB).key != found(record, owner=ADA).key

    def test_clone_can_be_recalled(self, record: Record) -> None:
        """The messages of a clone are loaded with keys of their own and the terms of their source."""
        say(record, "one two", "three")
        record.write(CloneThread(ADA, "t", BOB, "copy"))
        mine = record.read(LoadScope(ADAS, None, None)).messages
        his = record.read(LoadScope(BOBS, None, None)).messages
        assert set(his.terms) == set(mine.terms) == {"one two", "three"}
        assert not set(his.keys.tolist()) & set(mine.keys.tolist())

    def test_clone_of_a_clone(self, record: Record) -> None:
        """A clone names the thread it was copied from, not that one's source."""
        say(record, "one")
        middle = record.write(CloneThread(ADA, "t", ADA, "middle"))
        last = record.write(CloneThread(ADA, "middle", ADA, "last"))
        assert last.source == Lineage(middle.key, 1)

    def test_move(self, record: Record) -> None:
        """A moved thread is the new owner's, with its key and its messages, and the old owner's no more."""
        say(record, "one", "two")
        before, messages = found(record), read(record)
        moved = record.write(MoveThread(ADA, "t", BOB))
        assert (moved.key, moved.owner, moved.id) == (before.key, BOB, "t")
        assert read(record, owner=BOB) == messages
        assert record.read(FindThread(ADA, "t")) is None
        assert read(record) == []

    def test_move_changes_what_scopes_see(self, record: Record) -> None:
        """A moved thread is found, listed and loaded in the new owner's scope only."""
        say(record, "one")
        key = found(record).key
        record.write(MoveThread(ADA, "t", BOB))
        assert record.read(FindThreadByKey(ADAS, key)) is None
        assert record.read(FindThreadByKey(BOBS, key)) is not None
        assert threads_of(record, ADAS) == ()
        assert record.read(LoadScope(ADAS, None, None)).messages.keys.size == 0
        assert record.read(LoadScope(BOBS, None, None)).messages.keys.size == 1

    def test_move_refuses_a_known_id(self, record: Record) -> None:
        """A thread is not moved onto one of the same id; both stay as they are."""
        say(record, "mine")
        say(record, "his", owner=BOB)
        with pytest.raises(ThreadExists):
            record.write(MoveThread(ADA, "t", BOB))
        assert texts(read(record)) == ["mine"]
        assert texts(read(record, owner=BOB)) == ["his"]

    def test_move_of_nothing(self, record: Record) -> None:
        """A thread that is not there cannot be moved."""
        with pytest.raises(ThreadNotFound):
            record.write(MoveThread(ADA, "t", BOB))

    def test_moved_thread_goes_on(self, record: Record) -> None:
        """A moved thread goes on counting, and still knows which messages it has."""
        say(record, "one", "two")
        record.write(MoveThread(ADA, "t", BOB))
        append(record, Message.user("one", id="one"), Message.user("three"), owner=BOB)
        assert seqs(read(record, owner=BOB)) == [1, 2, 3]

    def test_moved_away_makes_room(self, record: Record) -> None:
        """After a move, the old owner may begin a new thread of that id."""
        say(record, "one", "two")
        record.write(MoveThread(ADA, "t", BOB))
        say(record, "new")
        assert [(message.text, message.seq) for message in read(record)] == [("new", 1)]
        assert found(record).key != found(record, owner=BOB).key

    def test_move_between_owners_of_one_user(self, record: Record) -> None:
        """A thread can move from a person to one of that person's agents, and the person still sees it."""
        cook = Owner("ada", "cook", "")
        say(record, "one")
        record.write(MoveThread(ADA, "t", cook))
        assert texts(read(record, owner=cook)) == ["one"]
        assert [thread.owner for thread in threads_of(record, ADAS)] == [cook]
