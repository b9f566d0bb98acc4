"""Writes that wait until the store takes them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from keepwell import errors
from keepwell.memory.holding import REFUSALS, Holding
from keepwell.models import Message, Messages, Owner


class Disk:
    """A store that fails on demand: as a whole, or on messages that say so."""

    def __init__(self) -> None:
        self.failure: errors.KeepwellError | None = None
        self.threads: dict[tuple[Owner, str], list[str]] = {}

    def thread(self, name: str = "holiday", user: str = "ada") -> Any:
        """Give a fresh handle of a thread; two of the same thread are equal in nothing but owner and id."""
        return DiskThread(self, Owner(user, "", ""), name)


class DiskThread:
    """The part of a thread that holding needs."""

    def __init__(self, disk: Disk, owner: Owner, name: str) -> None:
        self.disk, self.owner, self.id = disk, owner, name

    def append(self, *messages: Message) -> Messages:
        """Write all of them, or none."""
        if self.disk.failure:
            raise self.disk.failure
        for message in messages:
            if message.text == "refused":
                raise errors.StoreFailed("refused")
            if message.text == "impossible":
                raise errors.InvalidMessage("impossible")
        self.disk.threads.setdefault((self.owner, self.id), []).extend(message.text for message in messages)
        return Messages(message.model_copy(update={"seq": 1}) for message in messages)

    async def aappend(self, *messages: Message) -> Messages:
        """Write all of them, or none."""
        return self.append(*messages)

    @property
    def written(self) -> list[str]:
        """What the disk has."""
        return self.disk.threads.get((self.owner, self.id), [])


def said(*texts: str) -> list[Message]:
    """Give messages."""
    return [Message.user(text) for text in texts]


@pytest.fixture
def disk() -> Disk:
    """Give a store that works."""
    return Disk()


def test_a_write_that_succeeds_is_not_held(disk: Disk) -> None:
    """In the usual case the messages come back with their place, and nothing waits."""
    holding = Holding()
    assert [message.seq for message in holding.append(disk.thread(), said("one"))] == [1]
    assert (holding.held, holding.lost, holding.messages(disk.thread())) == (0, 0, ())


def test_failed_writes_wait_in_order(disk: Disk) -> None:
    """What failed is written before what follows, in order, and until then it can be read."""
    holding = Holding()
    disk.failure = errors.StoreUnavailable("away")
    assert [message.seq for message in holding.append(disk.thread(), said("one", "two"))] == [None, None]
    holding.append(disk.thread(), said("three"))
    assert [message.text for message in holding.messages(disk.thread())] == ["one", "two", "three"]
    assert holding.held == 3
    disk.failure = None
    holding.append(disk.thread(), said("four"))
    assert disk.thread().written == ["one", "two", "three", "four"]
    assert holding.held == 0


async def test_the_asynchronous_way_is_the_same(disk: Disk) -> None:
    """Held in one way, written in the other."""
    holding = Holding()
    disk.failure = errors.StoreUnavailable("away")
    await holding.aappend(disk.thread(), said("one"))
    holding.append(disk.thread(), said("two"))
    assert await holding.aretry() == 2
    disk.failure = None
    await holding.aappend(disk.thread(), said("three"))
    assert disk.thread().written == ["one", "two", "three"]


def test_threads_wait_apart(disk: Disk) -> None:
    """Threads of one name but two owners are two, and a write to one leaves the other waiting."""
    holding = Holding()
    disk.failure = errors.StoreUnavailable("away")
    holding.append(disk.thread(user="ada"), said("ada's"))
    holding.append(disk.thread(user="bob"), said("bob's"))
    disk.failure = None
    holding.append(disk.thread(user="bob"), said("more"))
    assert disk.thread(user="bob").written == ["bob's", "more"]
    assert [message.text for message in holding.messages(disk.thread(user="ada"))] == ["ada's"]
    assert holding.retry() == 0
    assert disk.thread(user="ada").written == ["ada's"]


def test_too_much_gives_up_the_oldest_and_says_so(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the limit the oldest writes are given up, counted, and named in the log as an error."""
    holding = Holding(limit=3)
    disk.failure = errors.StoreUnavailable("away")
    with caplog.at_level(logging.ERROR, "keepwell.holding"):
        holding.append(disk.thread(), said("one", "two"))
        holding.append(disk.thread(), said("three"))
        assert not caplog.records
        holding.append(disk.thread(), said("four"))
    assert (holding.held, holding.lost, len(caplog.records)) == (2, 2, 1)
    assert [message.text for message in holding.messages(disk.thread())] == ["three", "four"]


def test_one_large_write_is_held_whole(disk: Disk) -> None:
    """A single write above the limit is held all the same: it is one and cannot be halved."""
    holding = Holding(limit=1)
    disk.failure = errors.StoreUnavailable("away")
    holding.append(disk.thread(), said("one", "two"))
    assert (holding.held, holding.lost) == (2, 0)


def test_a_refused_write_does_not_hold_up_the_thread_for_ever(disk: Disk) -> None:
    """A write that the database itself refuses again and again stays held, but what follows goes ahead."""
    holding = Holding()
    holding.append(disk.thread(), said("refused"))
    for number in range(REFUSALS):
        holding.append(disk.thread(), said(f"after {number}"))
    assert disk.thread().written == [f"after {number}" for number in range(REFUSALS)]
    assert [message.text for message in holding.messages(disk.thread())] == ["refused"]


def test_an_outage_is_no_refusal(disk: Disk) -> None:
    """However often a server was away, order is kept."""
    holding = Holding()
    disk.failure = errors.StoreUnavailable("away")
    for number in range(2 * REFUSALS):
        holding.append(disk.thread(), said(str(number)))
    disk.failure = None
    holding.retry()
    assert disk.thread().written == [str(number) for number in range(2 * REFUSALS)]


def test_wrong_calls_raise_and_are_not_held(disk: Disk) -> None:
    """Only failures of the store are survived; an error of the call is the caller's."""
    holding = Holding()
    with pytest.raises(errors.InvalidMessage):
        holding.append(disk.thread(), said("impossible"))
    assert holding.held == 0


def test_what_can_never_be_written_is_given_up(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    """A held write that turns out to be wrong in itself is given up with an error in the log, not raised at others."""
    holding = Holding()
    disk.failure = errors.StoreUnavailable("away")
    holding.append(disk.thread(), said("impossible"))
    disk.failure = None
    caplog.clear()
    holding.append(disk.thread(), said("next"))
    assert disk.thread().written == ["next"]
    assert (holding.held, holding.lost, [r.levelname for r in caplog.records]) == (0, 1, ["ERROR"])


def test_what_was_forgotten_is_not_written_later(disk: Disk) -> None:
    """Discarding a thread lets go of what it holds and of nothing else."""
    holding = Holding()
    disk.failure = errors.StoreUnavailable("away")
    holding.append(disk.thread("one"), said("a", "b"))
    holding.append(disk.thread("two"), said("c"))
    assert holding.discard(disk.thread("one")) == 2
    disk.failure = None
    holding.retry()
    assert (disk.thread("one").written, disk.thread("two").written) == ([], ["c"])


def test_each_failure_is_one_line(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    """A failing write leaves one line in the log, whether others wait before it or not."""
    holding = Holding()
    disk.failure = errors.StoreUnavailable("away")
    with caplog.at_level(logging.WARNING, "keepwell.holding"):
        holding.append(disk.thread(), said("one"))
        assert len(caplog.records) == 1
        holding.append(disk.thread(), said("two"))
        assert len(caplog.records) == 2
    assert "away" in caplog.text
    assert "one" not in caplog.text
