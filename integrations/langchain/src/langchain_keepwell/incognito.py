"""Checkpoints of conversations that nothing durable may know of: in this process, and gone with it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol

MOST_THREADS = 100
"""So many conversations are remembered; beyond, the one longest unused goes."""


class Incognito:
    """Savers in memory, one a conversation, so that a run that asks for approval can be resumed."""

    def __init__(self, serde: SerializerProtocol, limit: int = MOST_THREADS) -> None:
        """Remember none to begin with."""
        self._serde, self._limit = serde, limit
        self._savers: OrderedDict[tuple[Hashable, str], InMemorySaver] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, owner: Hashable, thread: str) -> InMemorySaver:
        """Give the saver of one owner's thread."""
        key = owner, thread
        with self._lock:
            saver = self._savers.pop(key, None) or InMemorySaver(serde=self._serde)
            self._savers[key] = saver
            while len(self._savers) > self._limit:
                self._savers.popitem(last=False)
            return saver

    def drop(self, owner: Hashable, thread: str) -> None:
        """Forget the thread, of that owner or, without one, of whoever has it."""
        with self._lock:
            for key in [key for key in self._savers if key[1] == thread and owner in (None, key[0])]:
                del self._savers[key]


def is_incognito(context: object) -> bool:
    """Tell whether a run's context says that nothing is to be kept."""
    if isinstance(context, Mapping):
        return bool(context.get("incognito"))
    return bool(getattr(context, "incognito", False))
