"""Appends: in order, numbered without gaps, each message once."""

from __future__ import annotations

from typing import ClassVar

import pytest

from keepwell.errors import MessageNotFound, NotFound
from keepwell.models import Message, Native, TextPart, ToolCall
from keepwell.storage.base import FindThread, LoadScope, Record, ReplaceMessage
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    Capability,
    StoreConformance,
    append,
    at,
    found,
    read,
    say,
    seqs,
    texts,
)


class AppendsConformance(StoreConformance):
    """What a store promises about putting messages into a thread."""

    capability: ClassVar[Capability] = "appends"

    def test_first_append_makes_the_thread(self, record: Record) -> None:
        """The first message makes its thread, which is there for other stores at once."""
        answer = say(record, "hello")
        thread = found(record)
        assert thread.key == answer.thread
        assert (thread.title, thread.metadata, thread.message_count) == (None, {}, 1)

    def test_numbers_are_dense(self, record: Record, other: Record) -> None:
        """Numbers begin at 1 and have no gaps, whichever store appends."""
        for number in range(6):
            append((record, other)[number % 2], Message.user(str(number)))
        assert seqs(read(record)) == [1, 2, 3, 4, 5, 6]

    def test_answer(self, record: Record) -> None:
        """An append answers with its messages as they are kept, each with its number, in order."""
        say(record, "zero")
        answer = say(record, "one", "two")
        assert list(answer.messages) == read(record, after=1)
        assert seqs(answer.messages) == [2, 3]

    def test_answer_names_what_was_written(self, record: Record) -> None:
        """An append gives the key of each message it wrote, by which a recall knows it."""
        answer = say(record, "one", "two")
        loaded = record.read(LoadScope(ADAS, None, None)).messages
        by_key = dict(zip(loaded.keys.tolist(), loaded.terms, strict=True))
        assert {key: message.text for key, message in answer.written.items()} == by_key

    def test_number_given_is_ignored(self, record: Record) -> None:
        """The record gives the numbers; one that a message carries means nothing."""
        append(record, Message.user("a", seq=17), Message.user("b", seq=1))
        assert seqs(read(record)) == [1, 2]

    def test_many(self, record: Record) -> None:
        """A thousand messages in one call are kept in their order."""
        append(record, *(Message.user(f"m{number}") for number in range(1000)))
        assert texts(read(record)) == [f"m{number}" for number in range(1000)]
        assert seqs(read(record)) == list(range(1, 1001))

    def test_same_again(self, record: Record) -> None:
        """The same message again changes nothing and is answered as it is kept."""
        message = Message.user("hello", metadata={"a": 1, "b": [2]})
        first = append(record, message)
        again = append(record, message)
        assert again.messages == first.messages
        assert dict(again.written) == {}
        assert (found(record).message_count, found(record).last_seq) == (1, 1)

    def test_same_content_at_another_time(self, record: Record) -> None:
        """A message that differs from the kept one in nothing but its time is the same; the first time stays."""
        append(record, Message.user("hello", id="m", created_at=at(1)))
        again = append(record, Message.user("hello", id="m", created_at=at(2)))
        assert dict(again.written) == {}
        assert read(record)[0].created_at == at(1)

    @pytest.mark.parametrize(
        "other",
        [
            Message.user("changed", id="m"),
            Message.assistant("hello", id="m"),
            Message.user("hello", id="m", name="Ada"),
            Message.user("hello", id="m", metadata={"a": 1}),
            Message.user("hello", id="m", tool_calls=(ToolCall(name="search"),)),
            Message.user("hello", id="m", tool_call_id="c1"),
            Message.user("hello", id="m", native=Native(kind="k", version="1", data=None)),
            Message.user((TextPart(text="hello", extras={"a": 1}),), id="m"),
        ],
        ids=["text", "role", "name", "metadata", "tool_calls", "tool_call_id", "native", "extras"],
    )
    def test_same_id_with_other_content(self, record: Record, other: Message) -> None:
        """A message of a known id that differs in anything but its time takes the place of the old version."""
        append(record, Message.user("zero"), Message.user("hello", id="m"), Message.user("two"))
        answer = append(record, other)
        assert read(record)[1] == other.model_copy(update={"seq": 2})
        assert seqs(read(record)) == [1, 2, 3]
        assert [message.id for message in answer.written.values()] == ["m"]
        assert (found(record).message_count, found(record).last_seq) == (3, 3)

    def test_replaced_time(self, record: Record) -> None:
        """A new version has its own time and the old number."""
        append(record, Message.user("old", id="m", created_at=at(1)), Message.user("next"))
        append(record, Message.user("new", id="m", created_at=at(9)))
        assert (read(record)[0].created_at, read(record)[0].seq) == (at(9), 1)

    def test_back_to_an_old_version(self, record: Record) -> None:
        """A message may be changed and changed back; the last word counts."""
        for text in ("old", "new", "old"):
            append(record, Message.user(text, id="m"))
        assert texts(read(record)) == ["old"]

    def test_mixed_batch(self, record: Record) -> None:
        """One call may hold known, changed and new messages; only the new ones get new numbers."""
        say(record, "a", "b")
        batch = [
            Message.user("c", id="c"),
            Message.user("a", id="a"),
            Message.user("B", id="b"),
            Message.user("d", id="d"),
        ]
        answer = append(record, *batch)
        assert texts(read(record)) == ["a", "B", "c", "d"]
        assert seqs(read(record)) == [1, 2, 3, 4]
        assert seqs(answer.messages) == [3, 1, 2, 4]
        assert {message.id for message in answer.written.values()} == {"b", "c", "d"}

    def test_one_id_twice_in_a_batch(self, record: Record) -> None:
        """Of two messages with one id in one call the last one wins, in the place of the first, without a gap."""
        append(record, Message.user("first", id="m"), Message.user("other", id="o"), Message.user("last", id="m"))
        assert [(message.id, message.text) for message in read(record)] == [("m", "last"), ("o", "other")]
        assert (seqs(read(record)), found(record).last_seq) == ([1, 2], 2)

    def test_ids_are_of_a_thread(self, record: Record) -> None:
        """The same id in two threads names two messages."""
        append(record, Message.user("one", id="m"), thread="a")
        append(record, Message.user("two", id="m"), thread="b")
        assert (texts(read(record, "a")), texts(read(record, "b"))) == (["one"], ["two"])

    def test_replace(self, record: Record) -> None:
        """A message that is replaced keeps its place and its number."""
        say(record, "a", "b", "c")
        answer = record.write(ReplaceMessage(ADA, "t", Message.user("B", id="b"), "B"))
        assert texts(read(record)) == ["a", "B", "c"]
        assert (seqs(answer.messages), texts(answer.messages)) == ([2], ["B"])
        assert (found(record).message_count, found(record).last_seq) == (3, 3)

    def test_replace_keeps_the_key(self, record: Record) -> None:
        """A new version is known to a recall by the key of the old one, with its own terms."""
        first = say(record, "old")
        second = record.write(ReplaceMessage(ADA, "t", Message.user("new words", id="old"), "new words"))
        assert list(first.written) == list(second.written)
        assert record.read(LoadScope(ADAS, None, None)).messages.terms == ("new words",)

    def test_replace_by_the_same(self, record: Record) -> None:
        """A message that is replaced by itself stays as it is."""
        say(record, "a")
        before = read(record)
        answer = record.write(ReplaceMessage(ADA, "t", before[0], "a"))
        assert (dict(answer.written), read(record)) == ({}, before)

    def test_replace_unknown(self, record: Record) -> None:
        """A message that is not there cannot be replaced, and is not made by it."""
        say(record, "a")
        with pytest.raises(MessageNotFound):
            record.write(ReplaceMessage(ADA, "t", Message.user("x", id="x"), "x"))
        with pytest.raises(NotFound):
            record.write(ReplaceMessage(ADA, "nowhere", Message.user("a", id="a"), "a"))
        assert texts(read(record)) == ["a"]
        assert record.read(FindThread(ADA, "nowhere")) is None
