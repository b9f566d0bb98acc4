"""What carries a tenant from one store to another, as functions on tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from keepwell.errors import ThreadExists, ThreadNotFound
from keepwell.models import codec
from keepwell.recall.signals import actor
from keepwell.storage.copying import (
    KeepMessageCopies,
    KeepRejectionCopies,
    KeepThreadCopy,
    MessageCopy,
    ReadMessageCopies,
    ReadRejectionCopies,
    ReadThreadCopies,
    RejectionCopy,
    ThreadCopy,
)
from keepwell.storage.plain.facts import Refusal
from keepwell.storage.plain.tables import Conversation, Entry, Row, Tables, content, kept

_FIRST: Final = UUID(int=0)


def read_threads(tables: Tables, query: ReadThreadCopies) -> tuple[ThreadCopy, ...]:
    """Give threads in the order of their keys."""
    talks = sorted(tables.threads.values(), key=lambda talk: talk.thread.key)
    found = [talk for talk in talks if talk.thread.key > (query.after or _FIRST)]
    return tuple(
        ThreadCopy(talk.view, talk.formed, talk.due_at, dict(kept(dict(talk.policy))), _seen_to(tables, talk))
        for talk in found[: query.limit]
    )


def _seen_to(tables: Tables, talk: Conversation) -> int:
    """Give up to where names were looked for: what was replaced since was not looked through."""
    graph = tables.graph
    rows = (entry.row for entry in talk.in_order)
    anew = [row.seq - 1 for row in rows if row.versions and graph.read.get(row.key) != row.recorded.isoformat()]
    return min([graph.seen.get(talk.thread.key, 0), *anew])


def read_messages(tables: Tables, query: ReadMessageCopies) -> tuple[MessageCopy, ...]:
    """Give a thread's messages in their order."""
    talk = tables.by_key(query.thread)
    found = [entry for entry in (talk.in_order if talk else ()) if entry.row.seq > query.after]
    return tuple(map(copy_of, found[: query.limit]))


def copy_of(entry: Entry) -> MessageCopy:
    """Give a message with what is noted on it."""
    row = entry.row
    return MessageCopy(row.message, row.terms, row.signals, row.recorded, entry.again, entry.parked)


def read_rejections(tables: Tables, _: ReadRejectionCopies) -> tuple[RejectionCopy, ...]:
    """Give rejections, oldest first."""
    refusals = sorted(tables.refusals.values(), key=lambda one: one.id)
    return tuple(RejectionCopy(one.view, one.hash, one.at, one.reason) for one in refusals)


def keep_thread(tables: Tables, change: KeepThreadCopy) -> bool:
    """Keep a thread, or bring it up to date."""
    thread = change.copy.thread
    there, other = tables.by_key(thread.key), tables.threads.get((thread.owner, thread.id))
    if other is not there:
        raise ThreadExists(f"there is a thread {thread.id!r} or one of its key already")
    base = there or Conversation(replace(thread, message_count=0, last_seq=0))
    counted = {
        "message_count": base.thread.message_count,
        "last_seq": max(thread.last_seq, base.thread.last_seq),
        "metadata": kept(dict(thread.metadata)),
    }
    copy = change.copy
    told = replace(base, thread=replace(thread, **counted), formed=max(copy.formed_to, base.formed))
    tables.keep(replace(told, due_at=copy.due_at, policy=kept(dict(copy.policy))))
    return there is None


def keep_messages(tables: Tables, change: KeepMessageCopies) -> int:
    """Keep messages under their own numbers."""
    talk = tables.by_key(change.thread)
    if talk is None or talk.thread.owner != change.owner:
        raise ThreadNotFound(f"there is no thread {change.thread} here")
    fresh = [_entry(next(tables.numbers), row) for row in change.rows if row.message.id not in talk.entries]
    entries = sorted([*talk.in_order, *fresh], key=lambda one: one.row.seq)
    last = max([talk.thread.last_seq, *(one.row.seq for one in fresh)])
    thread = replace(talk.thread, message_count=talk.thread.message_count + len(fresh), last_seq=last)
    tables.keep(replace(talk, thread=thread, entries={one.row.id: one for one in entries}))
    return len(fresh)


def _entry(key: int, copy: MessageCopy) -> Entry:
    message = copy.message
    row = Row(
        key,
        message.seq or 0,
        message.id,
        codec.dumps(message),
        content(message),
        copy.terms,
        codec.searchable(message.metadata),
        message.created_at,
        copy.recorded_at,
        actor(message.role, message.name),
        copy.signals,
    )
    return Entry(row, again=copy.again, parked=copy.parked)


def keep_rejections(tables: Tables, change: KeepRejectionCopies) -> int:
    """Keep rejections that are not there."""
    known = {(one.view, one.hash) for one in tables.refusals.values()}
    new = {(one.view, one.hash): one for one in change.rows if (one.view, one.hash) not in known}
    for one in new.values():
        number = next(tables.numbers)
        tables.refusals[number] = Refusal(number, one.view, one.hash, one.at, one.reason)
    return len(new)


COPY_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {KeepThreadCopy: keep_thread, KeepMessageCopies: keep_messages, KeepRejectionCopies: keep_rejections}
)
COPY_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {ReadThreadCopies: read_threads, ReadMessageCopies: read_messages, ReadRejectionCopies: read_rejections}
)
