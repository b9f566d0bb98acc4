"""Retention: what is kept for a time only goes when that is over, as if it was forgotten."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from keepwell.models import Message, Owner
from keepwell.storage.base import Record
from keepwell.storage.facts import Expire, ReadFormation, SetPolicy
from keepwell.testing.conformance.base import ADA, ADAS, BOB, BOBS, Capability, StoreConformance, append, read, texts
from keepwell.testing.conformance.fact_forgetting import again, passed
from keepwell.testing.conformance.facts_base import facts_of, formed_from, history, remember, resting, statements

LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
MOMENT = 1e-9
"""Days that are over at once."""
AGES = 100_000
"""Days that are not over."""


def said_long_ago(record: Record, *ids: str, thread: str = "t", owner: Owner = ADA) -> tuple[int, ...]:
    """Append messages of long ago; give their numbers."""
    messages = [Message.user(text, id=text, created_at=LONG_AGO) for text in ids]
    return tuple(append(record, *messages, thread=thread, owner=owner).written)


class RetentionConformance(StoreConformance):
    """What a store promises about what is kept for a time only."""

    capability: ClassVar[Capability] = "retention"

    def test_nothing_expires(self, record: Record) -> None:
        """Where nobody said for how long, everything is kept."""
        said_long_ago(record, "one")
        remember(record, "tea")
        receipt = record.write(Expire())
        assert (any(receipt.counts.values()), texts(read(record)), statements(record)) == (False, ["one"], {"tea"})

    def test_facts(self, record: Record) -> None:
        """A fact whose time is over is gone with its history and what was formed from it; no rejection stays."""
        over = remember(record, "over", expires_at=LONG_AGO)
        remember(record, "formed from it", sources=formed_from(over))
        kept = remember(record, "kept", expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
        receipt = record.write(Expire())
        assert receipt.counts["facts"] == 2
        assert facts_of(record, versions=True) == [kept]
        assert len(history(record)) == 1
        assert record.read(ReadFormation()).rejections == 0

    def test_messages(self, record: Record) -> None:
        """Messages older than the store's days are gone, with the facts that rest on them."""
        (old,) = said_long_ago(record, "old")
        new = append(record, Message.user("new", id="new"))
        remember(record, "of the old", sources=resting(old))
        both = remember(record, "of both", sources=resting(old, *new.written))
        passed(record)
        receipt = record.write(Expire(days=1000))
        assert (receipt.counts["messages"], receipt.counts["facts"], receipt.counts["fact_versions"]) == (1, 2, 2)
        assert texts(read(record)) == ["new"]
        assert both not in facts_of(record)
        assert again(record) == ["new"]

    def test_policies(self, record: Record) -> None:
        """The thread's days go before the owner's, the owner's before the store's."""
        for thread, owner in (("a", ADA), ("b", ADA), ("c", BOB), ("d", BOB)):
            said_long_ago(record, thread, thread=thread, owner=owner)
        record.write(SetPolicy(ADA, {"retention": AGES}))
        record.write(SetPolicy(ADA, {"retention": MOMENT}, "b"))
        record.write(SetPolicy(BOB, {"retention": AGES}, "d"))
        receipt = record.write(Expire(days=MOMENT))
        assert receipt.counts["messages"] == 2
        assert [texts(read(record, thread)) for thread in "ab"] == [["a"], []]
        assert [texts(read(record, thread, BOB)) for thread in "cd"] == [[], ["d"]]

    def test_an_owners_days(self, record: Record) -> None:
        """An owner's days hold where the store keeps everything."""
        said_long_ago(record, "mine")
        said_long_ago(record, "his", owner=BOB)
        record.write(SetPolicy(BOB, {"retention": 1}))
        assert record.write(Expire()).counts["messages"] == 1
        assert (texts(read(record)), texts(read(record, owner=BOB))) == (["mine"], [])

    def test_some_at_once(self, record: Record) -> None:
        """So much goes at once; repeated until nothing goes, all of it does."""
        said_long_ago(record, *(f"m{number}" for number in range(5)))
        for number in range(5):
            remember(record, f"fact {number}", expires_at=LONG_AGO)
        rounds = 0
        while any(record.write(Expire(days=1, limit=4)).counts.values()):
            rounds += 1
        assert (read(record), facts_of(record)) == ([], [])
        assert rounds >= 2

    def test_receipt(self, record: Record) -> None:
        """Its receipt counts as that of a forgetting does, and names nobody."""
        said_long_ago(record, "old")
        receipt = record.write(Expire(days=1))
        assert (receipt.what.user_id, receipt.what.thread, len(receipt.digest)) == (None, None, 64)

    def test_tenants(self, record: Record, stranger: Record) -> None:
        """Only the tenant's own goes."""
        for one in (record, stranger):
            said_long_ago(one, "old")
            remember(one, "over", expires_at=LONG_AGO, owner=BOB)
        record.write(Expire(days=1))
        assert (texts(read(stranger)), statements(stranger, BOBS)) == (["old"], {"over"})
        assert (texts(read(record)), statements(record, ADAS)) == ([], set())
