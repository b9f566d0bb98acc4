"""Transactions: writes that join a caller's own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

import pytest

from keepwell.errors import KeepwellError, MessageNotFound, ThreadExists, ThreadNotFound
from keepwell.models import Message
from keepwell.storage.base import (
    AppendMessages,
    CloneThread,
    CreateThread,
    DeleteMessages,
    FindThread,
    Forget,
    MoveThread,
    Record,
    ReplaceMessage,
    Store,
    UpdateThread,
    Write,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    Capability,
    StoreConformance,
    append,
    found,
    read,
    say,
    seqs,
    texts,
)
from keepwell.testing.conformance.mirror import Mirror

PATIENCE = 0.3
"""Seconds given to a writer that may run beside a transaction, or may wait for it."""


class Interrupted(Exception):
    """What a caller's block ends with."""


class TransactionsConformance(StoreConformance):
    """What a store promises about writes that join a transaction."""

    capability: ClassVar[Capability] = "transactions"

    @pytest.fixture
    def store(self, stores: tuple[Store, Store]) -> Store:
        """Give the store whose transactions are used."""
        return stores[0]

    def test_commit(self, store: Store, record: Record, other: Record) -> None:
        """What was joined to a transaction is there once it has ended well."""
        with store.transaction() as connection:
            append(record, Message.user("one"), connection=connection)
            append(record, Message.user("two"), connection=connection)
        assert texts(read(other)) == ["one", "two"]
        assert seqs(read(record)) == [1, 2]

    def test_rollback(self, store: Store, record: Record) -> None:
        """What was joined to a transaction is undone where its block raises, and the error comes through."""
        say(record, "before")
        with pytest.raises(Interrupted), store.transaction() as connection:
            append(record, Message.user("one"), connection=connection)
            append(record, Message.user("two"), thread="new", connection=connection)
            raise Interrupted
        assert texts(read(record)) == ["before"]
        assert record.read(FindThread(ADA, "new")) is None

    def test_rollback_of_every_write(self, store: Store, record: Record) -> None:
        """Every kind of write is undone with its transaction."""
        say(record, "one", "two", "three")
        record.write(CreateThread(ADA, "gone"))
        before = found(record), read(record)
        with pytest.raises(Interrupted), store.transaction() as connection:
            record.write(UpdateThread(ADA, "t", title="new"), connection)
            record.write(ReplaceMessage(ADA, "t", Message.user("ONE", id="one"), "ONE"), connection)
            record.write(DeleteMessages(ADA, "t", ("two",)), connection)
            record.write(CloneThread(ADA, "t", ADA, "copy"), connection)
            record.write(MoveThread(ADA, "t", BOB), connection)
            record.write(Forget(ADAS), connection)
            raise Interrupted
        assert (found(record), read(record)) == before
        assert record.read(FindThread(ADA, "gone")) is not None
        assert record.read(FindThread(ADA, "copy")) is None
        assert record.read(FindThread(BOB, "t")) is None

    def test_unseen_before_commit(self, store: Store, record: Record, other: Record) -> None:
        """Nobody reads what a transaction has written before it has ended."""
        with store.transaction() as connection:
            append(record, Message.user("one"), connection=connection)
            assert read(other) == []
            assert other.read(FindThread(ADA, "t")) is None
        assert texts(read(other)) == ["one"]

    def test_writes_build_on_each_other(self, store: Store, record: Record) -> None:
        """A joined write sees what was joined before it."""
        with store.transaction() as connection:
            record.write(CreateThread(ADA, "t", "title"), connection)
            append(record, Message.user("one", id="m"), connection=connection)
            record.write(ReplaceMessage(ADA, "t", Message.user("ONE", id="m"), "ONE"), connection)
            moved = record.write(MoveThread(ADA, "t", BOB), connection)
        assert (moved.title, texts(read(record, owner=BOB))) == ("title", ["ONE"])

    def test_answers_hold_after_commit(self, store: Store, record: Record) -> None:
        """What a joined append answers is what is read afterwards."""
        with store.transaction() as connection:
            answer = append(record, Message.user("one"), Message.user("two"), connection=connection)
        assert list(answer.messages) == read(record)
        assert answer.thread == found(record).key

    def test_refusals_do_no_harm(self, store: Store, record: Record) -> None:
        """A write that is refused leaves its transaction as it was, and usable."""
        say(record, "one")
        with store.transaction() as connection:
            append(record, Message.user("two"), connection=connection)
            refused: tuple[tuple[Write[Any], type[KeepwellError]], ...] = (
                (CreateThread(ADA, "t"), ThreadExists),
                (UpdateThread(ADA, "nowhere"), ThreadNotFound),
                (ReplaceMessage(ADA, "t", Message.user("x", id="x"), "x"), MessageNotFound),
                (CloneThread(ADA, "t", ADA, "t"), ThreadExists),
            )
            for change, error in refused:
                with pytest.raises(error):
                    record.write(change, connection)
            append(record, Message.user("three"), connection=connection)
        assert texts(read(record)) == ["one", "two", "three"]

    def test_known_messages(self, store: Store, record: Record) -> None:
        """A joined append of messages that are there already, the same or changed, does not break its transaction."""
        append(record, Message.user("one", id="m"), Message.user("two", id="n"))
        with store.transaction() as connection:
            append(record, Message.user("one", id="m"), connection=connection)
            append(record, Message.user("TWO", id="n"), Message.user("three"), connection=connection)
        assert texts(read(record)) == ["one", "TWO", "three"]
        assert seqs(read(record)) == [1, 2, 3]

    def test_keys_are_undone_too(self, store: Store, record: Record) -> None:
        """An idempotency key that was used in a transaction which failed is free again."""
        with pytest.raises(Interrupted), store.transaction() as connection:
            append(record, Message.user("one"), key="k", connection=connection)
            raise Interrupted
        append(record, Message.user("two"), key="k")
        assert texts(read(record)) == ["two"]

    def test_two_records(self, store: Store, record: Record, stranger: Record) -> None:
        """One transaction may hold writes of two tenants, each behind its own wall."""
        with store.transaction() as connection:
            append(record, Message.user("mine"), connection=connection)
            append(stranger, Message.user("theirs"), connection=connection)
            append(record, Message.user("mine again"), connection=connection)
        assert (texts(read(record)), texts(read(stranger))) == (["mine", "mine again"], ["theirs"])

    @pytest.mark.parametrize("connection", ["text", 1, object()], ids=["text", "number", "object"])
    def test_no_connection(self, record: Record, connection: object) -> None:
        """What is no connection is refused by an error of ours, and nothing is written."""
        with pytest.raises(KeepwellError):
            append(record, Message.user("one"), connection=connection)
        assert read(record) == []

    def test_others_take_their_turn(self, store: Store, record: Record, other: Record) -> None:
        """Who appends to the thread of an open transaction comes after it, without a gap."""
        writer = threading.Thread(target=append, args=(other, Message.user("theirs")))
        with store.transaction() as connection:
            append(record, Message.user("one"), connection=connection)
            writer.start()
            writer.join(PATIENCE)
            append(record, Message.user("two"), connection=connection)
        writer.join()
        assert texts(read(record)) == ["one", "two", "theirs"]
        assert seqs(read(record)) == [1, 2, 3]

    def test_late_commit_is_not_missed(self, store: Store, record: Record, other: Record) -> None:
        """A reader who loads while a transaction is open gets its writes with the next load, whatever came between."""
        mirror = Mirror(other, ADAS)
        writer = threading.Thread(target=say, args=(other, "beside"), kwargs={"thread": "other"})
        mirror.load()
        with store.transaction() as connection:
            append(record, Message.user("late"), connection=connection)
            writer.start()
            writer.join(PATIENCE)
            mirror.load()
            assert "late" not in {known[3] for known in mirror.messages.values()}
        writer.join()
        mirror.load()
        assert {known[3] for known in mirror.messages.values()} == {"late", "beside"}
        mirror.check()

    def test_late_removal_is_not_missed(self, store: Store, record: Record, other: Record) -> None:
        """The same holds for what a transaction removed, replaced and moved."""
        say(record, "one", "two")
        say(record, "three", thread="moves")
        mirror = Mirror(other, ADAS)
        mirror.load()
        writer = threading.Thread(target=say, args=(other, "beside"), kwargs={"thread": "other"})
        with store.transaction() as connection:
            record.write(DeleteMessages(ADA, "t", ("one",)), connection)
            append(record, Message.user("TWO", id="two"), connection=connection)
            record.write(MoveThread(ADA, "moves", BOB), connection)
            writer.start()
            writer.join(PATIENCE)
            mirror.load()
        writer.join()
        mirror.load()
        assert {known[3] for known in mirror.messages.values()} == {"two", "beside"}
        mirror.check()

    def test_asynchronous_commit(self, store: Store, record: Record) -> None:
        """A write may join the transaction of an asynchronous connection."""
        self.needs("async_transactions")

        async def write() -> None:
            async with await self.connect(store) as connection:
                await record.awrite(_append("one"), connection)
                answer = await record.awrite(_append("two"), connection)
                assert seqs(answer.messages) == [2]

        asyncio.run(write())
        assert texts(read(record)) == ["one", "two"]

    def test_asynchronous_rollback(self, store: Store, record: Record) -> None:
        """What joined an asynchronous transaction is undone with it."""
        self.needs("async_transactions")

        async def write() -> None:
            async with await self.connect(store) as connection:
                await record.awrite(_append("one"), connection)
                raise Interrupted

        with pytest.raises(Interrupted):
            asyncio.run(write())
        assert read(record) == []

    def test_asynchronous_refusal(self, store: Store, record: Record) -> None:
        """A refused write leaves an asynchronous transaction usable as well."""
        self.needs("async_transactions")
        say(record, "one")

        async def write() -> None:
            async with await self.connect(store) as connection:
                with pytest.raises(ThreadExists):
                    await record.awrite(CreateThread(ADA, "t"), connection)
                await record.awrite(_append("two"), connection)

        asyncio.run(write())
        assert texts(read(record)) == ["one", "two"]


def _append(text: str) -> AppendMessages:
    return AppendMessages(ADA, "t", (Message.user(text),), (text,))
