"""Scopes in the process: the least recently used go when the budget is full."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keepwell.recall.snapshot import Snapshot


@dataclass(slots=True)
class Slot:
    """One scope's place: its lock, and its snapshot once it was loaded."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    snapshot: Snapshot | None = None


class SnapshotCache:
    """Snapshots by scope, bounded in bytes; safe for threads."""

    def __init__(self, budget: int) -> None:
        """Hold at most ``budget`` bytes."""
        self.budget = budget
        self._slots: OrderedDict[Hashable, Slot] = OrderedDict()
        self._lock = threading.Lock()

    def slot(self, key: Hashable) -> Slot:
        """Give the slot of a scope, now the most recently used."""
        with self._lock:
            slot = self._slots.setdefault(key, Slot())
            self._slots.move_to_end(key)
            return slot

    def trim(self) -> None:
        """Let go of the least recently used until the rest fits; the slot in use last is the last to go."""
        with self._lock:
            while self._slots and self.nbytes > self.budget:
                self._slots.popitem(last=False)

    def drop(self, key: Hashable) -> None:
        """Let go of one scope."""
        with self._lock:
            self._slots.pop(key, None)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._slots.clear()

    @property
    def nbytes(self) -> int:
        """About how much memory all snapshots take."""
        return sum(slot.snapshot.nbytes for slot in self._slots.values() if slot.snapshot is not None)

    def __len__(self) -> int:
        """Count the scopes that are held."""
        return len(self._slots)
