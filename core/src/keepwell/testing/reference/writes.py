"""Every write to a conversation, as a function on tables; where it raises, the tables are thrown away."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from keepwell.errors import IdempotencyConflict, MessageNotFound, ThreadExists, ThreadNotFound
from keepwell.models import Lineage, Message, Owner, Receipt, Thread, codec
from keepwell.storage.base import (
    Appended,
    AppendMessages,
    CloneThread,
    CreateThread,
    DeleteMessages,
    Forget,
    MoveThread,
    PostTerms,
    ReplaceMessage,
    UpdateThread,
)
from keepwell.testing.reference.spaces import SPACE_WRITES
from keepwell.testing.reference.tables import Conversation, Entry, Request, Row, Tables, content, fingerprint, kept, now


def append(tables: Tables, change: AppendMessages) -> Appended:
    """Put messages at the end, or give the answer that the idempotency key stands for."""
    if change.idempotency_key is None:
        return _append(tables, change)
    # Ids and times are left out: who tries again after a lost answer may well have made the messages anew.
    asked = fingerprint([change.thread, *map(content, change.messages)])
    name = (change.owner, "append", change.idempotency_key)
    known = tables.requests.get(name)
    if known is None:
        done = _append(tables, change)
        tables.requests[name] = Request(done.thread, asked, tuple(message.id for message in done.messages))
        return done
    if known.asked != asked:
        raise IdempotencyConflict(f"the idempotency key {change.idempotency_key!r} was used for another append")
    (talk,) = (talk for talk in tables.threads.values() if talk.thread.key == known.thread)
    return Appended(known.thread, tuple(talk.entries[id_].row.message for id_ in known.ids if id_ in talk.entries), {})


def _append(tables: Tables, change: AppendMessages) -> Appended:
    batch = {message.id: (message, terms) for message, terms in zip(change.messages, change.terms, strict=True)}
    talk = tables.threads.get((change.owner, change.thread)) or Conversation.new(change.owner, change.thread)
    entries, last = dict(talk.entries), talk.thread.last_seq
    written: dict[int, Message] = {}
    for message, terms in batch.values():
        there = entries.get(message.id)
        if there is not None and there.row.content == content(message):
            continue
        last += there is None
        entry = _version(there, message, terms) if there else _entry(next(tables.numbers), last, message, terms)
        entries[message.id] = entry
        written[entry.row.key] = entry.row.message
    tables.keep(talk.changed(entries, last_seq=last) if written else talk)
    return Appended(talk.thread.key, tuple(entries[message.id].row.message for message in change.messages), written)


def _entry(key: int, seq: int, message: Message, terms: str) -> Entry:
    return Entry(
        Row(
            key=key,
            seq=seq,
            id=message.id,
            body=codec.dumps(message.model_copy(update={"seq": seq})),
            content=content(message),
            terms=terms,
            labels=codec.searchable(message.metadata),
            created=message.created_at,
            recorded=now(),
        )
    )


def _version(there: Entry, message: Message, terms: str) -> Entry:
    """Give the message in the place of its old version, which is kept; its vectors are not."""
    new = _entry(there.row.key, there.row.seq, message, terms)
    return replace(new, row=replace(new.row, versions=(*there.row.versions, there.row.body)))


def replace_message(tables: Tables, change: ReplaceMessage) -> Appended:
    """Replace one message in its place."""
    talk = tables.find(change.owner, change.thread)
    if change.message.id not in talk.entries:
        raise MessageNotFound(f"there is no message {change.message.id!r} in this thread")
    return append(tables, AppendMessages(change.owner, change.thread, (change.message,), (change.terms,)))


def delete(tables: Tables, change: DeleteMessages) -> int:
    """Take messages out; their numbers are not given again."""
    talk = tables.find(change.owner, change.thread)
    gone = set(change.ids) & set(talk.entries)
    if gone:
        tables.keep(talk.changed({id_: entry for id_, entry in talk.entries.items() if id_ not in gone}))
    return len(gone)


def create(tables: Tables, change: CreateThread) -> Thread:
    """Make a thread without messages."""
    _refuse_known(tables, change.owner, change.thread)
    made = Conversation.new(change.owner, change.thread, change.title, change.metadata)
    tables.keep(made)
    return made.view


def update(tables: Tables, change: UpdateThread) -> Thread:
    """Change the title and merge the metadata."""
    talk = tables.find(change.owner, change.thread)
    title = talk.thread.title if change.title is None else change.title
    talk = talk.changed(title=title, metadata=_merged(talk.thread.metadata, change.metadata))
    tables.keep(talk)
    return talk.view


def clone(tables: Tables, change: CloneThread) -> Thread:
    """Copy a thread with its messages, which keep ids, numbers, times and vectors, and get new keys."""
    source = tables.find(change.owner, change.thread)
    _refuse_known(tables, change.to, change.new_id)
    title = source.thread.title if change.title is None else change.title
    metadata = _merged(source.thread.metadata, change.metadata)
    entries = {
        entry.row.id: replace(entry, row=replace(entry.row, key=next(tables.numbers), recorded=now(), versions=()))
        for entry in source.in_order
        if change.until is None or entry.row.seq <= change.until
    }
    made = Conversation.new(change.to, change.new_id, title, metadata)
    taken = max((entry.row.seq for entry in entries.values()), default=0)
    made = made.changed(entries, last_seq=source.thread.last_seq, source=Lineage(source.thread.key, taken))
    tables.keep(made)
    return made.view


def move(tables: Tables, change: MoveThread) -> Thread:
    """Give a thread to another owner, with the keys of everything that hangs on it."""
    talk = tables.find(change.owner, change.thread)
    if change.to == change.owner:
        return talk.view
    _refuse_known(tables, change.to, change.thread)
    del tables.threads[change.owner, change.thread]
    moved = talk.changed(owner=change.to)
    tables.keep(moved)
    return moved.view


def _refuse_known(tables: Tables, owner: Owner, thread: str) -> None:
    if (owner, thread) in tables.threads:
        raise ThreadExists(f"there is a thread {thread!r} already")


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = {**old, **new}
    merged = {key: value for key, value in merged.items() if not (key in new and value is None)}
    return dict(kept(merged))


def forget(tables: Tables, change: Forget) -> Receipt:
    """Remove everything of a scope, of one of its threads, or of one message."""
    talks = tables.covered(change.scope)
    if change.thread is not None:
        talks = [talk for talk in talks if talk.thread.key == change.thread]
        if not talks:
            raise ThreadNotFound("there is no such thread here")
    if change.message is not None:
        return _forget_message(tables, talks, change.message)
    for talk in talks:
        del tables.threads[talk.thread.owner, talk.thread.id]
    requests = _drop_requests(tables, change, {talk.thread.key for talk in talks})
    return _receipt(len(talks), [(talk, entry) for talk in talks for entry in talk.in_order], requests)


def _forget_message(tables: Tables, talks: list[Conversation], message: str) -> Receipt:
    gone = [(talk, talk.entries[message]) for talk in talks if message in talk.entries]
    if not gone:
        raise MessageNotFound(f"there is no message {message!r} in this thread")
    for talk, _ in gone:
        tables.keep(talk.changed({id_: entry for id_, entry in talk.entries.items() if id_ != message}))
    return _receipt(0, gone, 0)


def _drop_requests(tables: Tables, change: Forget, threads: set[UUID]) -> int:
    whole = change.thread is None
    gone = [
        name
        for name, request in tables.requests.items()
        if request.thread in threads or (whole and change.scope.covers(name[0]))
    ]
    for name in gone:
        del tables.requests[name]
    return len(gone)


def post_terms(tables: Tables, change: PostTerms) -> int:
    """Note how far postings reach; here they only count in receipts."""
    waiting = [talk for talk in tables.threads.values() if talk.posted < talk.thread.last_seq]
    waiting.sort(key=lambda talk: talk.thread.updated_at)
    if change.thread is not None:
        chosen = [talk for talk in tables.threads.values() if talk.thread.key == change.thread]
    else:
        chosen = waiting[: change.limit]
    for talk in chosen:
        tables.keep(replace(talk, posted=talk.thread.last_seq))
    return len(chosen)


def _receipt(threads: int, gone: list[tuple[Conversation, Entry]], requests: int) -> Receipt:
    entries = [entry for _, entry in gone]
    posted = [entry.row for talk, entry in gone if entry.row.seq <= talk.posted]
    counts = {
        "threads": threads,
        "messages": len(entries),
        "versions": sum(len(entry.row.versions) for entry in entries),
        "postings": sum(len(set(row.words)) for row in posted),
        "vectors": sum(len(entry.vectors) for entry in entries),
        "idempotency": requests,
    }
    at = now()
    text = json.dumps({"at": at.isoformat(), "counts": counts}, sort_keys=True, separators=(",", ":"))
    return Receipt(counts, at, hashlib.sha256(text.encode()).hexdigest())


WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {
        AppendMessages: append,
        ReplaceMessage: replace_message,
        DeleteMessages: delete,
        CreateThread: create,
        UpdateThread: update,
        CloneThread: clone,
        MoveThread: move,
        Forget: forget,
        PostTerms: post_terms,
        **SPACE_WRITES,
    }
)
