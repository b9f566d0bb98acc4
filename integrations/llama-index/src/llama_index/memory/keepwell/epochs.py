"""Which messages of a thread are hidden: those of a conversation that was replaced by another one.

They stay in the record, with all that was learned from them, and other conversations may recall them; this one
neither shows nor recalls them. They are noted in the thread's metadata, so that all workers see one conversation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from keepwell import Message, Thread

HIDDEN: Final = "keepwell.hidden"
"""The key in a thread's metadata: ``{"epoch": 2, "spans": [[1, 4]]}``, spans of ``seq`` with both ends included."""
PINNED: Final = "keepwell.pinned"
"""The key of the ids of instructions that were given after the beginning, the newest last."""
MAX_PINNED: Final = 32


@dataclass(frozen=True, slots=True)
class Hidden:
    """Spans of ``seq``, in order and apart, and how often the conversation was begun anew."""

    spans: tuple[tuple[int, int], ...] = ()
    epoch: int = 0

    @classmethod
    def of(cls, thread: Thread | None) -> Self:
        """Read it from a thread's metadata; nothing is hidden where somebody else wrote something there."""
        noted = None if thread is None else thread.metadata.get(HIDDEN)
        try:
            spans = tuple((int(first), int(last)) for first, last in noted["spans"]) if noted else ()
            return cls(spans, int(noted["epoch"]) if noted else 0)
        except (KeyError, TypeError, ValueError):
            return cls()

    @property
    def floor(self) -> int:
        """The last ``seq`` of what is hidden at the beginning; 0 where the beginning is shown."""
        return self.spans[0][1] if self.spans and self.spans[0][0] <= 1 else 0

    def shown(self, messages: Iterable[Message]) -> list[Message]:
        """Give those messages that are not hidden."""
        if not self.spans:
            return list(messages)
        return [message for message in messages if not self.has(message)]

    def has(self, message: Message) -> bool:
        """Tell whether a message is hidden; one that waits to be written is not."""
        return any(first <= (message.seq or 0) <= last for first, last in self.spans)

    def hiding(self, gone: Iterable[Message], among: Iterable[Message]) -> Self:
        """Hide messages too, and begin a new epoch; ``among`` are all that are shown now, in order.

        Numbers between two messages that go one after the other go with them: nobody has those.
        """
        leaving = {message.seq for message in gone if message.seq is not None}
        spans, run = list(self.spans), False
        before = self.floor
        for message in among:
            place = message.seq or 0
            if place in leaving:
                spans.append((before + 1 if run or before == self.floor else place, place))
            run, before = place in leaving, place
        return type(self)(_merged(spans), self.epoch + 1)

    def all_to(self, last: int) -> Self:
        """Hide everything up to a place."""
        return type(self)(((1, last),) if last else (), self.epoch + 1)

    def note(self) -> dict[str, Any]:
        """Give it as metadata."""
        return {HIDDEN: {"epoch": self.epoch, "spans": [list(span) for span in self.spans]}}


def pinned(thread: Thread | None) -> tuple[str, ...]:
    """Give the ids of instructions that stay in sight wherever they stand."""
    noted = None if thread is None else thread.metadata.get(PINNED)
    return tuple(one for one in noted if isinstance(one, str)) if isinstance(noted, list | tuple) else ()


def with_pinned(thread: Thread, idents: Iterable[str]) -> dict[str, Any]:
    """Give the metadata that notes these instructions too, the newest ``MAX_PINNED`` of all."""
    return {PINNED: list(dict.fromkeys([*pinned(thread), *idents]))[-MAX_PINNED:]}


def _merged(spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)
