"""Scopes in the process: the least recently used go when the budget is full."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keepwell.recall.snapshot import Snapshot


MAX_NAMED = 10_000
"""Of so many scopes it is remembered who speaks in them."""


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
        self._names: OrderedDict[Hashable, tuple[str, ...]] = OrderedDict()
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

    def names(self, scope: Hashable) -> tuple[str, ...] | None:
        """Give who speaks in a scope, as of its last recall; None where that is not known."""
        return self._names.get(scope)

    def note_names(self, scope: Hashable, names: tuple[str, ...]) -> None:
        """Remember who speaks in a scope, until many others were asked."""
        if self._names.get(scope) == names:
            return
        with self._lock:
            self._names[scope] = names
            while len(self._names) > MAX_NAMED:
                self._names.popitem(last=False)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._slots.clear()
            self._names.clear()

    @property
    def nbytes(self) -> int:
        """About how much memory all snapshots take."""
        return sum(slot.snapshot.nbytes for slot in self._slots.values() if slot.snapshot is not None)

    def __len__(self) -> int:
        """Count the scopes that are held."""
        return len(self._slots)
