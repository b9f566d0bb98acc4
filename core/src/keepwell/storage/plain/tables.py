"""What a tenant's record consists of: conversations with their messages, requests and spaces."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from keepwell.errors import ThreadNotFound
from keepwell.models import Message, Owner, Scope, Thread, codec
from keepwell.storage.base import Space
from keepwell.storage.facts import DueItem, ModelCall
from keepwell.storage.plain.facts import Event, Kept, Refusal
from keepwell.storage.plain.graph_tables import Graph

Vectors = Mapping[tuple[int, int], NDArray[np.float32]]
"""Unit vectors by (space, chunk)."""
_NOT_CONTENT = frozenset({"id", "seq", "created_at"})


def kept(value: Any) -> Any:  # noqa: ANN401 - any value a caller may keep
    """Give the value as it comes back from a database, so that nobody holds what the store holds."""
    return codec.loads(codec.dumps(value))


def fingerprint(value: object) -> str:
    """Give a hash that is the same for the same value, whatever the order of its keys."""
    text = json.dumps(codec.encode(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def content(message: Message) -> str:
    """Give the hash of what a message says: everything but its id, its place and its time."""
    return fingerprint({name: value for name, value in message.__dict__.items() if name not in _NOT_CONTENT})


def now() -> dt.datetime:
    """Give this instant, in UTC."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """A message as it is kept: as JSON text; ``actor`` is who speaks."""

    key: int
    seq: int
    id: str
    body: str
    content: str
    terms: str
    labels: Any
    created: dt.datetime
    recorded: dt.datetime
    actor: str = ""
    signals: str = ""
    versions: tuple[str, ...] = ()

    @property
    def message(self) -> Message:
        """The message, a new object each time."""
        message: Message = codec.loads(self.body)
        return message

    @property
    def words(self) -> list[str]:
        """Its analysed terms, in order and with repeats."""
        return self.terms.split()


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A message with its vectors, the spaces for which it was looked at, and what is to be formed of it.

    ``again``: it is to be formed again. ``parked``: why it could not be, and since when. ``found_after`` and
    ``formed_after``: so many seconds after its write it could be recalled by its vector, and was formed.
    """

    row: Row
    vectors: Vectors = field(default_factory=dict)
    seen: frozenset[int] = frozenset()
    again: bool = False
    parked: tuple[str, dt.datetime] | None = None
    found_after: float | None = None
    formed_after: float | None = None

    def of_space(self, space: int | None) -> dict[int, NDArray[np.float32]]:
        """Give its vectors of one space, by chunk."""
        return {chunk: vector for (of, chunk), vector in sorted(self.vectors.items()) if of == space}

    def lacks(self, space: int) -> bool:
        """Tell whether it has words and no vector of that space."""
        return bool(self.row.terms) and not self.of_space(space)

    def is_due(self, space: int) -> bool:
        """Tell whether it lacks a vector, and nobody looked yet."""
        return space not in self.seen and self.lacks(space)


@dataclass(frozen=True, slots=True, eq=False)
class Conversation:
    """A thread and its messages by id, in the order of their ``seq``; up to ``posted`` they have postings.

    ``formed`` is its watermark: up to that ``seq`` its messages were formed, or passed by.
    """

    thread: Thread
    entries: Mapping[str, Entry] = field(default_factory=dict)
    posted: int = 0
    due_at: dt.datetime | None = None
    formed: int = 0
    attempts: int = 0
    error: str | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def new(
        cls, owner: Owner, thread: str, title: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Conversation:
        """Give a thread without messages."""
        at = now()
        return cls(Thread(thread, uuid4(), owner, title, kept(dict(metadata or {})), at, at, 0, 0))

    @property
    def view(self) -> Thread:
        """The thread as a reader gets it."""
        return replace(self.thread, metadata=kept(self.thread.metadata))

    @property
    def in_order(self) -> list[Entry]:
        """Its messages, oldest first."""
        return list(self.entries.values())

    def changed(self, entries: Mapping[str, Entry] | None = None, **fields: Any) -> Conversation:  # noqa: ANN401 - fields of Thread
        """Give it with other messages and other fields, updated now."""
        entries = self.entries if entries is None else entries
        # A clock that goes backwards must not make a thread older than it was.
        at = max(now(), self.thread.updated_at)
        # Who holds only some of the messages counts the others all the same.
        count = self.thread.message_count + len(entries) - len(self.entries)
        thread = replace(self.thread, updated_at=at, message_count=count, **fields)
        return replace(self, thread=thread, entries=entries)

    @property
    def unformed(self) -> list[Entry]:
        """The messages that are to be formed, oldest first; those that are parked wait for somebody."""
        return [one for one in self.in_order if (one.row.seq > self.formed or one.again) and one.parked is None]

    @property
    def is_due(self) -> bool:
        """Tell whether there is anything to form, now or later."""
        return self.due_at is not None and bool(self.unformed)

    def due(self, at: dt.datetime) -> Conversation:
        """Give it as due at that instant, or as it was where it is due earlier."""
        return replace(self, due_at=at if self.due_at is None else min(self.due_at, at))

    def noted(self, entries: Iterable[Entry]) -> Conversation:
        """Give it with other notes or vectors on these messages; to its readers it is as it was."""
        return replace(self, entries={**self.entries, **{entry.row.id: entry for entry in entries}})


@dataclass(frozen=True, slots=True)
class Request:
    """What an idempotency key stands for: what was asked, and the ids of the messages of the answer.

    For edits: the ids of its changes, and no thread.
    """

    thread: UUID | None
    asked: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """An owner's row: the number of the last claim, since when and until when it holds (None: given back), policy."""

    number: int = 0
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_free(self) -> bool:
        """Tell whether somebody may claim."""
        return self.until is None or self.until < now()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Work that is not of a thread, as it is kept."""

    item: DueItem
    due_at: dt.datetime
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A model call, and for whom it was."""

    owner: Owner
    at: dt.datetime
    call: ModelCall


@dataclass(slots=True)
class Tables:
    """One tenant's record. A write works on a copy, which takes the place of the original when it is done.

    The values in the tables are never changed, only replaced, so a copy of the tables is a copy of the record.
    ``numbers`` is shared by all copies: a number is not given twice, even where the write that took it is undone.
    """

    numbers: Iterator[int]
    revision: int = 0
    threads: dict[tuple[Owner, str], Conversation] = field(default_factory=dict)
    requests: dict[tuple[Owner, str, str], Request] = field(default_factory=dict)
    spaces: dict[int, Space] = field(default_factory=dict)
    active: int | None = None
    language: str | None = None
    facts: dict[tuple[UUID, int], Kept] = field(default_factory=dict)
    changes: dict[UUID, Event] = field(default_factory=dict)
    refusals: dict[int, Refusal] = field(default_factory=dict)
    owners: dict[Owner, Lease] = field(default_factory=dict)
    waiting: dict[tuple[str, Owner, str], Waiting] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()
    written: dt.datetime | None = None
    graph: Graph = field(default_factory=Graph)

    def copy(self) -> Tables:
        """Give tables that can be changed without changing these."""
        return replace(
            self,
            threads=dict(self.threads),
            requests=dict(self.requests),
            spaces=dict(self.spaces),
            facts=dict(self.facts),
            changes=dict(self.changes),
            refusals=dict(self.refusals),
            owners=dict(self.owners),
            waiting=dict(self.waiting),
            graph=self.graph.copy(),
        )

    def instant(self) -> dt.datetime:
        """Give the time of a write of facts, later than that of any before, however fast the clock is asked."""
        at = now()
        self.written = at if self.written is None else max(at, self.written + dt.timedelta(microseconds=1))
        return self.written

    def keep(self, conversation: Conversation) -> None:
        """Put a conversation in its place."""
        self.threads[conversation.thread.owner, conversation.thread.id] = conversation

    def find(self, owner: Owner, thread: str) -> Conversation:
        """Give the exact owner's thread of that id.

        Raises:
            ThreadNotFound: there is none.
        """
        found = self.threads.get((owner, thread))
        if found is None:
            raise ThreadNotFound(f"there is no thread {thread!r} here")
        return found

    def covered(self, scope: Scope) -> list[Conversation]:
        """Give the scope's conversations."""
        return [one for one in self.threads.values() if scope.covers(one.thread.owner)]

    def entries(self, scope: Scope) -> dict[int, tuple[Conversation, Entry]]:
        """Give the scope's messages by key."""
        return {entry.row.key: (one, entry) for one in self.covered(scope) for entry in one.entries.values()}

    def by_key(self, thread: UUID) -> Conversation | None:
        """Give the tenant's thread of that key."""
        return next((one for one in self.threads.values() if one.thread.key == thread), None)

    def messages(self) -> dict[int, tuple[Conversation, Entry]]:
        """Give all messages of the tenant by key."""
        return {entry.row.key: (one, entry) for one in self.threads.values() for entry in one.entries.values()}

    def versions(self, scope: Scope) -> dict[int, Kept]:
        """Give every version of the scope's facts by (negative) key."""
        return {kept.row.key: kept for kept in self.facts.values() if scope.covers(kept.fact.owner)}

    def standing(self) -> dict[UUID, Kept]:
        """Give the standing version of each fact of the tenant that stands."""
        return {kept.fact.id: kept for kept in self.facts.values() if kept.fact.stands}

    def keep_fact(self, kept: Kept) -> None:
        """Put a version in its place."""
        self.facts[kept.fact.id, kept.fact.version] = kept

    def end_fact(self, kept: Kept, at: dt.datetime) -> None:
        """Let a version be past; work on it goes with it."""
        self.keep_fact(kept.ended(at))
        for kind in ("embed", "reform"):
            self.waiting.pop((kind, kept.fact.owner, str(kept.fact.id)), None)

    def put_off(self, item: DueItem, at: dt.datetime) -> None:
        """Note work; what is noted already keeps the earlier time."""
        name = (item.kind, item.owner, item.item)
        there = self.waiting.get(name)
        if there is None:
            self.waiting[name] = Waiting(replace(item, attempts=0), at)
        elif at < there.due_at:
            self.waiting[name] = replace(there, due_at=at)


def contains(whole: object, part: object) -> bool:
    """Tell whether one JSON value contains another, as PostgreSQL's ``@>`` does."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contains(have, want) for have in whole) for want in part)
    return isinstance(whole, bool) == isinstance(part, bool) and whole == part
