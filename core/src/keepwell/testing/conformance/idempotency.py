"""Idempotency keys: who is not sure whether an append arrived may send it again."""

from __future__ import annotations

from typing import ClassVar

import pytest

from keepwell.errors import IdempotencyConflict
from keepwell.models import Message
from keepwell.storage.base import DeleteMessages, FindThread, Record
from keepwell.testing.conformance.base import (
    ADA,
    BOB,
    Capability,
    StoreConformance,
    append,
    at,
    found,
    read,
    say,
    texts,
)


class IdempotencyConformance(StoreConformance):
    """What a store promises about appends with an idempotency key."""

    capability: ClassVar[Capability] = "idempotency"

    def test_again(self, record: Record, other: Record) -> None:
        """The same append under the same key is done once and answered twice alike."""
        messages = (Message.user("a"), Message.user("b"))
        first = append(record, *messages, key="k")
        again = append(other, *messages, key="k")
        assert (again.thread, again.messages) == (first.thread, first.messages)
        assert texts(read(record)) == ["a", "b"]

    def test_made_anew(self, record: Record) -> None:
        """Who makes the messages anew, with new ids and times, gets the answer of the first append."""
        first = append(record, Message.user("a", created_at=at(1)), Message.assistant("b"), key="k")
        again = append(record, Message.user("a", created_at=at(2)), Message.assistant("b"), key="k")
        assert again.messages == first.messages
        assert texts(read(record)) == ["a", "b"]

    def test_later(self, record: Record) -> None:
        """A key is remembered also after others have written."""
        message = Message.user("a")
        append(record, message, key="k")
        say(record, "b", "c")
        assert append(record, message, key="k").messages[0].seq == 1
        assert texts(read(record)) == ["a", "b", "c"]

    @pytest.mark.parametrize(
        "messages",
        [(Message.user("other"),), (Message.user("a"), Message.user("b")), (Message.assistant("a"),), ()],
        ids=["content", "more", "role", "none"],
    )
    def test_conflict(self, record: Record, messages: tuple[Message, ...]) -> None:
        """Another append under a used key is refused, and nothing of it is kept."""
        append(record, Message.user("a"), key="k")
        before = found(record)
        with pytest.raises(IdempotencyConflict):
            append(record, *messages, key="k")
        assert texts(read(record)) == ["a"]
        assert found(record) == before

    def test_conflict_over_threads(self, record: Record) -> None:
        """The same messages for another thread are another append; the thread is not made."""
        message = Message.user("a")
        append(record, message, key="k")
        with pytest.raises(IdempotencyConflict):
            append(record, message, key="k", thread="other")
        assert record.read(FindThread(ADA, "other")) is None

    def test_key_is_the_owners(self, record: Record) -> None:
        """Two owners may use the same key without knowing of each other."""
        append(record, Message.user("mine"), key="k", owner=ADA)
        append(record, Message.user("his"), key="k", owner=BOB)
        assert (texts(read(record, owner=ADA)), texts(read(record, owner=BOB))) == (["mine"], ["his"])

    def test_key_is_the_tenants(self, record: Record, stranger: Record) -> None:
        """Two tenants may use the same key without knowing of each other."""
        append(record, Message.user("mine"), key="k")
        append(stranger, Message.user("theirs"), key="k")
        assert (texts(read(record)), texts(read(stranger))) == (["mine"], ["theirs"])

    def test_other_keys(self, record: Record) -> None:
        """The same words under two keys, or under none, are said as often as they are sent."""
        append(record, Message.user("yes"), key="k1")
        append(record, Message.user("yes"), key="k2")
        append(record, Message.user("yes"))
        append(record, Message.user("yes"))
        assert texts(read(record)) == ["yes"] * 4

    def test_a_known_message_under_a_new_key(self, record: Record) -> None:
        """A key does not make a message new that the thread has already."""
        message = Message.user("a", id="m")
        append(record, message)
        assert append(record, message, key="k").messages[0].seq == 1
        assert texts(read(record)) == ["a"]

    def test_deleted_stays_deleted(self, record: Record) -> None:
        """An append that is sent again does not bring back what was deleted since."""
        message = Message.user("a", id="m")
        append(record, message, key="k")
        record.write(DeleteMessages(ADA, "t", ("m",)))
        append(record, message, key="k")
        assert read(record) == []
