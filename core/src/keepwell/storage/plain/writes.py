"""Every write to a conversation, as a function on tables; where it raises, the tables are thrown away."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from keepwell.errors import IdempotencyConflict, MessageNotFound
from keepwell.models import Message, Thread, codec
from keepwell.recall.signals import actor
from keepwell.storage.base import (
    Appended,
    AppendMessages,
    CreateThread,
    Forming,
    PostTerms,
    ReplaceMessage,
    UpdateThread,
)
from keepwell.storage.facts import ApplyEdits
from keepwell.storage.plain.copying import COPY_WRITES
from keepwell.storage.plain.due import DUE_WRITES
from keepwell.storage.plain.forgetting import FORGET_WRITES
from keepwell.storage.plain.forming import FORMING_WRITES
from keepwell.storage.plain.graph import GRAPH_WRITES
from keepwell.storage.plain.graph_copying import GRAPH_COPY_WRITES
from keepwell.storage.plain.graph_embeddings import EMBEDDING_WRITES
from keepwell.storage.plain.history import HISTORY_WRITES
from keepwell.storage.plain.items import ITEM_WRITES
from keepwell.storage.plain.languages import LANGUAGE_WRITES
from keepwell.storage.plain.moving import MOVE_WRITES, merged, refuse_known
from keepwell.storage.plain.outbox import OUTBOX_WRITES
from keepwell.storage.plain.settling import apply_edits
from keepwell.storage.plain.spaces import SPACE_WRITES
from keepwell.storage.plain.tables import Conversation, Entry, Request, Row, Tables, content, fingerprint, now


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
    return Appended(
        talk.thread.key, tuple(talk.entries[id_].row.message for id_ in known.ids if id_ in talk.entries), {}
    )


def _append(tables: Tables, change: AppendMessages) -> Appended:
    signals = change.signals or ("",) * len(change.messages)
    analysed = zip(change.messages, change.terms, signals, strict=True)
    batch = {message.id: (message, terms, told) for message, terms, told in analysed}
    talk = tables.threads.get((change.owner, change.thread)) or Conversation.new(change.owner, change.thread)
    entries, last = dict(talk.entries), talk.thread.last_seq
    written: dict[int, Message] = {}
    for message, terms, told in batch.values():
        there = entries.get(message.id)
        if there is not None and there.row.content == content(message):
            continue
        last += there is None
        fresh = _entry(next(tables.numbers), last, message, terms, told)
        entry = fresh if there is None else _version(there, fresh, formed=talk.formed)
        entries[message.id] = entry
        written[entry.row.key] = entry.row.message
    if written:
        talk = _due(talk.changed(entries, last_seq=last), talk, change.forming)
    tables.keep(talk)
    return Appended(talk.thread.key, tuple(entries[message.id].row.message for message in change.messages), written)


def _due(talk: Conversation, before: Conversation, forming: Forming) -> Conversation:
    """Give a thread that was written to with the time at which it is due to be formed."""
    if forming.pause is None:
        nothing_waits = before.formed >= before.thread.last_seq
        return replace(talk, formed=talk.thread.last_seq) if nothing_waits else talk
    many = talk.thread.last_seq - talk.formed >= forming.every
    return replace(talk, due_at=now() + dt.timedelta(seconds=0 if many else forming.pause))


def _entry(key: int, seq: int, message: Message, terms: str, signals: str) -> Entry:
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
            actor=actor(message.role, message.name),
            signals=signals,
        )
    )


def _version(there: Entry, new: Entry, *, formed: int) -> Entry:
    """Give the message in the place of its old version, which is kept; its vectors are not, nor is its parking.

    What was formed, or was to be formed again, is to be formed again.
    """
    old = there.row
    message = new.row.message.model_copy(update={"seq": old.seq})
    row = replace(new.row, key=old.key, seq=old.seq, body=codec.dumps(message), versions=(*old.versions, old.body))
    return Entry(row, again=there.again or old.seq <= formed)


def replace_message(tables: Tables, change: ReplaceMessage) -> Appended:
    """Replace one message in its place; where it was formed its thread is due at once."""
    talk = tables.find(change.owner, change.thread)
    if change.message.id not in talk.entries:
        raise MessageNotFound(f"there is no message {change.message.id!r} in this thread")
    said = (change.message,), (change.terms,), None, (change.signals,)
    done = append(tables, AppendMessages(change.owner, change.thread, *said, Forming(pause=None)))
    talk = tables.find(change.owner, change.thread)
    if talk.entries[change.message.id].again:
        tables.keep(talk.due(now()))
    return done


def create(tables: Tables, change: CreateThread) -> Thread:
    """Make a thread without messages."""
    refuse_known(tables, change.owner, change.thread)
    made = Conversation.new(change.owner, change.thread, change.title, change.metadata)
    tables.keep(made)
    return made.view


def update(tables: Tables, change: UpdateThread) -> Thread:
    """Change the title and merge the metadata."""
    talk = tables.find(change.owner, change.thread)
    title = talk.thread.title if change.title is None else change.title
    talk = talk.changed(title=title, metadata=merged(talk.thread.metadata, change.metadata))
    tables.keep(talk)
    return talk.view


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


WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {
        AppendMessages: append,
        ReplaceMessage: replace_message,
        CreateThread: create,
        UpdateThread: update,
        PostTerms: post_terms,
        ApplyEdits: apply_edits,
        **HISTORY_WRITES,
        **GRAPH_WRITES,
        **EMBEDDING_WRITES,
        **OUTBOX_WRITES,
        **FORMING_WRITES,
        **DUE_WRITES,
        **FORGET_WRITES,
        **MOVE_WRITES,
        **SPACE_WRITES,
        **COPY_WRITES,
        **GRAPH_COPY_WRITES,
        **LANGUAGE_WRITES,
        **ITEM_WRITES,
    }
)
