"""A thread: one conversation of one owner."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, overload
from uuid import UUID

from keepwell.models.html import table
from keepwell.models.message import Message, message_row
from keepwell.models.scope import Owner


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a clone comes from: the source's key and the last ``seq`` taken over."""

    thread: UUID
    seq: int


@dataclass(frozen=True, slots=True)
class Thread:
    """What is known about a conversation. ``id`` is the caller's, ``key`` is unique in the store."""

    id: str
    key: UUID
    owner: Owner
    title: str | None
    metadata: Mapping[str, Any]
    created_at: dt.datetime
    updated_at: dt.datetime
    last_seq: int
    message_count: int
    source: Lineage | None = None

    def _repr_html_(self) -> str:
        return table(THREAD_HEAD, [thread_row(self)])


THREAD_HEAD = ("id", "title", "messages", "updated")


def thread_row(thread: Thread) -> tuple[object, ...]:
    """Give the cells that a table of threads shows."""
    return thread.id, thread.title, thread.message_count, f"{thread.updated_at:%Y-%m-%d %H:%M}"


class Threads(tuple[Thread, ...]):  # noqa: SLOT001 - a tuple with a field cannot have slots
    """One page of threads; ``next`` continues after it, and is None on the last page."""

    next: str | None

    def __new__(cls, threads: Sequence[Thread] = (), following: str | None = None) -> Self:
        """Keep the page and the mark of what follows."""
        self = super().__new__(cls, threads)
        self.next = following
        return self

    def _repr_html_(self) -> str:
        return table(THREAD_HEAD, map(thread_row, self))


class Messages(list[Message]):
    """Messages, oldest first; a list that shows itself as a table in a notebook."""

    @overload  # type: ignore[override]  # a slice stays a Messages
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Messages: ...
    def __getitem__(self, index: int | slice) -> Message | Messages:
        """Give one message, or the messages of a slice."""
        return Messages(super().__getitem__(index)) if isinstance(index, slice) else super().__getitem__(index)

    def _repr_html_(self) -> str:
        return table(("seq", "when", "who", "text"), map(message_row, self))
