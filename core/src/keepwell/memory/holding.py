"""Writes that a door could not make, kept until the store takes them.

Core verbs raise when the store fails. A door that is not strict lets the conversation go on instead, and gives
its messages to :class:`Holding`: in this process, bounded, in order for each thread, tried again before the
thread's next write. What is held is lost with the process; that is why each failure is a line in the log and
the count stands in the status.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from keepwell.errors import KeepwellError, StoreError, StoreFailed
from keepwell.models import Message, Messages, Owner

if TYPE_CHECKING:
    from keepwell.memory.thread import ScopedThread

MAX_HELD = 1_000
REFUSALS = 3
"""A write that the database refused so often stays held, but what follows it goes ahead."""

_log = logging.getLogger("keepwell.holding")

Place: TypeAlias = tuple[Owner, str]


@dataclass(slots=True, eq=False)
class _Batch:
    """The messages of one append, which are written together or not at all."""

    thread: ScopedThread
    messages: tuple[Message, ...]
    refused: int = 0


class Holding:
    """The held writes of one tenant of one store; safe to share between threads and event loops.

    Messages keep their ids while they are held, so one whose write was done after all is not doubled. Only
    errors of the store are survived: a wrong call would fail each time, and raises.
    """

    def __init__(self, limit: int = MAX_HELD) -> None:
        """Hold at most that many messages; beyond it the oldest are given up, and the log says so."""
        self._limit = limit
        self._lock = threading.Lock()
        self._batches: list[_Batch] = []
        self._lost = 0

    @property
    def held(self) -> int:
        """How many messages wait to be written."""
        with self._lock:
            return sum(len(batch.messages) for batch in self._batches)

    @property
    def lost(self) -> int:
        """How many messages were given up, because too many waited or because they can never be written."""
        return self._lost

    def messages(self, thread: ScopedThread) -> tuple[Message, ...]:
        """Give what waits to be written to a thread, oldest first."""
        return tuple(message for batch in self._waiting(thread) for message in batch.messages)

    def append(self, thread: ScopedThread, messages: Sequence[Message]) -> Messages:
        """Append what is held for the thread, then these; where the store fails, hold them.

        Gives the messages with their ``seq``, or without one where they are held.
        """
        if not self._retry(thread):
            return self._hold(thread, messages, None)
        try:
            return thread.append(*messages)
        except StoreError as error:
            return self._hold(thread, messages, error)

    async def aappend(self, thread: ScopedThread, messages: Sequence[Message]) -> Messages:
        """Append what is held for the thread, then these; see :meth:`append`."""
        if not await self._aretry(thread):
            return self._hold(thread, messages, None)
        try:
            return await thread.aappend(*messages)
        except StoreError as error:
            return self._hold(thread, messages, error)

    def retry(self) -> int:
        """Try to write everything that is held; give how many messages still wait."""
        for thread in self._threads():
            self._retry(thread)
        return self.held

    async def aretry(self) -> int:
        """Try to write everything that is held; see :meth:`retry`."""
        for thread in self._threads():
            await self._aretry(thread)
        return self.held

    def discard(self, thread: ScopedThread) -> int:
        """Let go of what is held for a thread, which was forgotten; give how many messages that were."""
        gone = self._waiting(thread)
        for batch in gone:
            self._settle(batch)
        return sum(len(batch.messages) for batch in gone)

    def _retry(self, thread: ScopedThread) -> bool:
        """Write what waits for the thread, in order; tell whether the next write may go ahead."""
        for batch in self._waiting(thread):
            try:
                thread.append(*batch.messages)
            except KeepwellError as error:
                if not self._passable(batch, error):
                    return False
            else:
                self._settle(batch)
        return True

    async def _aretry(self, thread: ScopedThread) -> bool:
        for batch in self._waiting(thread):
            try:
                await thread.aappend(*batch.messages)
            except KeepwellError as error:
                if not self._passable(batch, error):
                    return False
            else:
                self._settle(batch)
        return True

    def _passable(self, batch: _Batch, error: KeepwellError) -> bool:
        """Log the failure; tell whether what follows may go ahead, because it is this batch that is refused."""
        if not isinstance(error, StoreError):
            self._give_up(batch, error)
            return True
        batch.refused += isinstance(error, StoreFailed)
        _log.warning("%d messages still wait to be written: %s", self.held, error)
        return batch.refused >= REFUSALS

    def _give_up(self, batch: _Batch, error: KeepwellError) -> None:
        """Let go of a batch that no store will ever take."""
        self._settle(batch)
        self._lost += len(batch.messages)
        _log.error("%d messages are lost: they waited to be written and cannot be: %s", len(batch.messages), error)

    def _hold(self, thread: ScopedThread, messages: Sequence[Message], error: StoreError | None) -> Messages:
        with self._lock:
            self._batches.append(_Batch(thread, tuple(messages)))
            lost = self._make_room()
        if error:
            _log.warning("a write failed; %d messages wait to be written: %s", self.held, error)
        if lost:
            _log.error("%d messages are lost: more than %d waited to be written", lost, self._limit)
        return Messages(messages)

    def _make_room(self) -> int:
        """Give up the oldest batches beyond the limit, but never the newest one."""
        excess = sum(len(batch.messages) for batch in self._batches) - self._limit
        lost = 0
        while excess > lost and len(self._batches) > 1:
            lost += len(self._batches.pop(0).messages)
        self._lost += lost
        return lost

    def _waiting(self, thread: ScopedThread) -> list[_Batch]:
        if not self._batches:  # the usual case, and every write passes here
            return []
        with self._lock:
            return [batch for batch in self._batches if _place(batch.thread) == _place(thread)]

    def _threads(self) -> list[ScopedThread]:
        with self._lock:
            return list({_place(batch.thread): batch.thread for batch in self._batches}.values())

    def _settle(self, batch: _Batch) -> None:
        with self._lock:
            if batch in self._batches:  # another thread may have written it as well
                self._batches.remove(batch)


def _place(thread: ScopedThread) -> Place:
    return thread.owner, thread.id
