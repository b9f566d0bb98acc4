"""Messages: kept whole, and read by window, range, date and id."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, ClassVar

import pytest

from keepwell.errors import ThreadNotFound
from keepwell.models import (
    CitationPart,
    DataPart,
    MediaPart,
    Message,
    Native,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from keepwell.storage.base import AppendMessages, DeleteMessages, ReadAround, Record
from keepwell.testing.conformance.base import (
    ADA,
    Capability,
    StoreConformance,
    append,
    around,
    at,
    found,
    read,
    say,
    seqs,
    texts,
)

FULL = Message.assistant(
    (
        TextPart(text="Look:", extras={"lang": "en"}),
        MediaPart(type="image", data=b"\x89PNG\x00\xff", mime_type="image/png", name="peanut.png"),
        MediaPart(type="file", url="https://example.org/a.pdf", file_id="f1"),
        ReasoningPart(text="I think", extras={"signature": "abc=="}),
        CitationPart(text="said", source="book", title="A Book"),
        ToolCallPart(index=0),
        DataPart(kind="chart", value={"points": [1, 2.5, None], "when": dt.date(2024, 2, 29)}),
    ),
    id="full",
    name="cook",
    tool_calls=(ToolCall(id="c1", name="search", args={"q": "nuts", "n": 3}), ToolCall(name="odd", args="{not json")),
    metadata={"large": 1e22, "minus": -0.0, "pair": (1, 2), "set": {"a"}, "bytes": b"\x00", "nested": {"$keepwell": 1}},
    created_at=dt.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
    native=Native(kind="framework:AIMessage", version="1.2", data={"n": 1e22, "z": -0.0, "list": [[], {}]}),
)


class MessagesConformance(StoreConformance):
    """What a store promises about reading messages."""

    capability: ClassVar[Capability] = "messages"

    def test_order(self, record: Record, other: Record) -> None:
        """Messages are read in the order in which they were appended, oldest first."""
        say(record, "one", "two")
        say(other, "three")
        assert texts(read(record)) == texts(read(other)) == ["one", "two", "three"]

    def test_order_is_not_time(self, record: Record) -> None:
        """Times that are equal or run backwards do not change the order."""
        minutes = (5, 1, 1, 9, 0)
        append(record, *(Message.user(str(place), created_at=at(minute)) for place, minute in enumerate(minutes)))
        assert texts(read(record)) == ["0", "1", "2", "3", "4"]

    def test_lossless(self, record: Record) -> None:
        """A message with every kind of part comes back equal to what was given."""
        append(record, FULL)
        (back,) = read(record)
        assert back == FULL.model_copy(update={"seq": 1})
        assert math.copysign(1, back.metadata["minus"]) == -1

    @pytest.mark.parametrize(
        "text", ["", " ", "a\x00b", "\ud83e alone", "\U0001f95c", "\r\n\t", "e\u0301", "{}", "\\u0000"]
    )
    def test_odd_text(self, record: Record, text: str) -> None:
        """Any text comes back as it was given: empty, with NUL, with half a surrogate pair."""
        append(record, Message.user(text))
        assert texts(read(record)) == [text]

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_odd_numbers(self, record: Record, value: float) -> None:
        """Numbers that JSON lacks come back."""
        append(record, Message.user("x", metadata={"score": value}))
        (back,) = read(record)
        assert repr(back.metadata["score"]) == repr(value)

    def test_long_text(self, record: Record) -> None:
        """A message of a megabyte comes back whole."""
        text = "nuts and bolts " * 70_000
        record.write(AppendMessages(ADA, "t", (Message.user(text),), ("nuts bolts",)))
        assert texts(read(record)) == [text]

    def test_any_role(self, record: Record) -> None:
        """A role is a word of the caller's own."""
        append(record, Message(role="narrator", parts=(TextPart(text="Once"),)), Message.tool("42", tool_call_id="c1"))
        assert [(message.role, message.tool_call_id) for message in read(record)] == [
            ("narrator", None),
            ("tool", "c1"),
        ]

    def test_time_is_kept(self, record: Record) -> None:
        """The time of a message is kept to the microsecond, whatever zone it was given in."""
        when = dt.datetime(1999, 12, 31, 23, 59, 59, 123457, tzinfo=dt.timezone(dt.timedelta(hours=-8)))
        append(record, Message.user("x", created_at=when))
        assert read(record)[0].created_at == when

    def test_read_is_a_copy(self, record: Record) -> None:
        """What a caller does to a message it gave or read does not change the record."""
        metadata: dict[str, Any] = {"tags": ["a"]}
        append(record, Message.user("x", metadata=metadata))
        metadata["tags"].append("b")
        read(record)[0].metadata["tags"].append("c")
        assert read(record)[0].metadata == {"tags": ["a"]}

    def test_unknown_thread(self, record: Record) -> None:
        """A thread that nobody wrote to reads as empty."""
        assert read(record, "nowhere") == []
        assert record.read(ReadAround(ADA, "nowhere", ("x",), 1, 1)) == []

    @pytest.mark.parametrize(("last", "expected"), [(0, []), (1, ["e"]), (3, ["c", "d", "e"]), (99, list("abcde"))])
    def test_last(self, record: Record, last: int, expected: list[str]) -> None:
        """The last N messages are the newest ones, still oldest first."""
        say(record, *"abcde")
        assert texts(read(record, last=last)) == expected

    @pytest.mark.parametrize(("first", "expected"), [(0, []), (2, ["a", "b"]), (99, list("abcde"))])
    def test_first(self, record: Record, first: int, expected: list[str]) -> None:
        """The first N messages are the oldest ones."""
        say(record, *"abcde")
        assert texts(read(record, first=first)) == expected

    def test_between(self, record: Record) -> None:
        """A range gives what lies between its bounds, without them."""
        say(record, *"abcde")
        assert texts(read(record, after=1, before=4)) == ["b", "c"]
        assert texts(read(record, after=3)) == ["d", "e"]
        assert texts(read(record, before=3)) == ["a", "b"]
        assert read(record, after=5) == []

    def test_backwards_in_pages(self, record: Record) -> None:
        """The messages before a known one are read newest first by page and oldest first within it."""
        say(record, *"abcde")
        assert texts(read(record, last=2, before=4)) == ["b", "c"]
        assert texts(read(record, last=2, before=2)) == ["a"]

    def test_forwards_in_pages(self, record: Record) -> None:
        """A long thread can be walked in steps from its beginning, over gaps."""
        say(record, *"abcdefg")
        record.write(DeleteMessages(ADA, "t", ("c", "d")))
        walked: list[str] = []
        last = 0
        while page := read(record, first=2, after=last):
            walked += texts(page)
            last = page[-1].seq or 0
        assert walked == ["a", "b", "e", "f", "g"]

    def test_span_of_time(self, record: Record) -> None:
        """A span of time gives what was said in it."""
        say(record, *"abcde")
        assert texts(read(record, since=at(1.5))) == ["c", "d", "e"]
        assert texts(read(record, until=at(1.5))) == ["a", "b"]
        assert texts(read(record, since=at(0.5), until=at(3.5))) == ["b", "c", "d"]
        assert read(record, since=at(10)) == []

    def test_ends_of_a_span(self, record: Record) -> None:
        """What was said at the first instant of a span is in it; what was said at its end is not."""
        say(record, *"abc")
        assert texts(read(record, since=at(1))) == ["b", "c"]
        assert texts(read(record, until=at(1))) == ["a"]
        assert read(record, since=at(1), until=at(1)) == []

    def test_window_in_a_span(self, record: Record) -> None:
        """A window counts among what the bounds leave over."""
        say(record, *"abcde")
        assert texts(read(record, last=2, until=at(2.5))) == ["b", "c"]
        assert texts(read(record, first=1, since=at(2.5))) == ["d"]

    @pytest.mark.parametrize(
        ("before", "after", "expected"), [(0, 0, "c"), (1, 0, "bc"), (0, 1, "cd"), (1, 1, "bcd"), (9, 9, "abcde")]
    )
    def test_around(self, record: Record, before: int, after: int, expected: str) -> None:
        """A message is read with so many before and after it as are there."""
        say(record, *"abcde")
        assert texts(around(record, "c", before=before, after=after)) == list(expected)

    def test_around_several(self, record: Record) -> None:
        """Neighbours that several messages share come once, in the order of the thread."""
        say(record, *"abcdefg")
        assert texts(around(record, "d", "b", "b", before=1, after=1)) == list("abcde")

    def test_around_unknown(self, record: Record) -> None:
        """An id that the thread does not have adds nothing."""
        say(record, *"abc")
        say(record, "elsewhere", thread="other")
        assert texts(around(record, "elsewhere", "x", before=1, after=1)) == []
        assert texts(around(record, "x", "b")) == ["b"]
        assert texts(around(record, before=5, after=5)) == []

    def test_around_over_a_gap(self, record: Record) -> None:
        """The neighbour of a message is the next one that is there, not the next number."""
        say(record, *"abcde")
        record.write(DeleteMessages(ADA, "t", ("b", "d")))
        assert texts(around(record, "c", before=1, after=1)) == ["a", "c", "e"]

    def test_delete(self, record: Record) -> None:
        """Deleted messages are gone and counted; the others keep their numbers."""
        say(record, *"abcd")
        assert record.write(DeleteMessages(ADA, "t", ("b", "c", "b", "never"))) == 2
        assert [(message.text, message.seq) for message in read(record)] == [("a", 1), ("d", 4)]
        assert (found(record).message_count, found(record).last_seq) == (2, 4)

    def test_delete_unknown(self, record: Record) -> None:
        """Deleting what is not there, or not in this thread, removes nothing; an unknown thread is an error."""
        say(record, "a")
        say(record, "b", thread="other")
        assert record.write(DeleteMessages(ADA, "t", ("x", "b"))) == 0
        assert texts(read(record, "other")) == ["b"]
        with pytest.raises(ThreadNotFound):
            record.write(DeleteMessages(ADA, "nowhere", ("a",)))

    def test_numbers_are_never_reused(self, record: Record) -> None:
        """After the last message is deleted the next one gets a new number."""
        say(record, "a", "b")
        record.write(DeleteMessages(ADA, "t", ("a", "b")))
        say(record, "c")
        assert seqs(read(record)) == [3]

    def test_deleted_id_may_come_again(self, record: Record) -> None:
        """A message whose id was deleted is a new message at the end."""
        say(record, "a", "b")
        record.write(DeleteMessages(ADA, "t", ("a",)))
        say(record, "a")
        assert [(message.text, message.seq) for message in read(record)] == [("b", 2), ("a", 3)]
