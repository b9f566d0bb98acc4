"""A reader that holds a scope and keeps it current, as a recall does."""

from __future__ import annotations

from keepwell.models import Scope
from keepwell.recall.arrays import Delta, Mark
from keepwell.storage.base import LoadScope, Record

Known = tuple[tuple[int, int], int, float, str, float, str, str]
"""A message as a reader knows it: the halves of its thread's key, seq, time, terms, when it ended, actor, signals."""


class Mirror:
    """What a reader knows of a scope, by what it loaded.

    The vectors of a message come together: those that a delta brings take the place of those that were there.
    """

    def __init__(self, record: Record, scope: Scope, space: int | None = None) -> None:
        """Begin without knowledge."""
        self.record = record
        self.scope = scope
        self.space = space
        self.mark: Mark | None = None
        self.messages: dict[int, Known] = {}
        self.vectors: set[tuple[int, bytes]] = set()

    def load(self) -> Delta:
        """Load what is new, and apply it in the order that :class:`~keepwell.recall.arrays.Delta` names."""
        delta = self.record.read(LoadScope(self.scope, self.space, self.mark))
        if delta.full:
            self.messages, self.vectors = {}, set()
        fresh = known_messages(delta)
        brought = known_vectors(delta)
        gone = {int(key) for key in delta.removed} | fresh.keys()
        self.messages = {key: known for key, known in self.messages.items() if key not in gone} | fresh
        gone |= {key for key, _ in brought}
        self.vectors = {(key, vector) for key, vector in self.vectors if key not in gone} | brought
        self.mark = delta.mark
        return delta

    def check(self) -> None:
        """Load what is new, and compare with a reader that knew nothing."""
        self.load()
        whole = Mirror(self.record, self.scope, self.space)
        assert whole.load().full, "a load without a mark gives the whole"
        assert self.messages == whole.messages
        assert self.vectors == whole.vectors


def known_messages(delta: Delta) -> dict[int, Known]:
    """Give the messages of a delta by key."""
    rows = delta.messages
    return {
        int(key): ((int(high), int(low)), int(seq), round(float(created), 3), terms, round(float(retired), 3), *told)
        for key, (high, low), seq, created, terms, retired, *told in zip(
            rows.keys,
            rows.threads,
            rows.seqs,
            rows.created,
            rows.terms,
            rows.retired,
            rows.actors,
            rows.signals,
            strict=True,
        )
    }


def known_vectors(delta: Delta) -> set[tuple[int, bytes]]:
    """Give the vectors of a delta, each with the key of its message."""
    rows = zip(delta.vectors.keys, delta.vectors.matrix, strict=True)
    return {(int(key), vector.astype("float32").tobytes()) for key, vector in rows}
