"""Every read of conversations, as a function on tables."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import numpy as np

from keepwell.errors import InvalidQuery
from keepwell.models import Message, Thread, Threads, codec
from keepwell.recall.arrays import Ints
from keepwell.storage.base import (
    FetchMessages,
    FindThread,
    FindThreadByKey,
    Found,
    ListThreads,
    MatchMetadata,
    ReadAround,
    ReadMessages,
    ReadStatus,
    TenantStatus,
)
from keepwell.storage.plain.copying import COPY_READS
from keepwell.storage.plain.due import DUE_READS
from keepwell.storage.plain.fact_reads import FACT_READS
from keepwell.storage.plain.forgetting import FORGET_READS
from keepwell.storage.plain.forming import FORMING_READS
from keepwell.storage.plain.graph_copying import GRAPH_COPY_READS
from keepwell.storage.plain.graph_embeddings import EMBEDDING_READS
from keepwell.storage.plain.graph_reads import GRAPH_READS
from keepwell.storage.plain.items import ITEM_READS
from keepwell.storage.plain.languages import LANGUAGE_READS
from keepwell.storage.plain.loading import LOADING_READS
from keepwell.storage.plain.outbox import OUTBOX_READS
from keepwell.storage.plain.spaces import SPACE_READS
from keepwell.storage.plain.tables import Conversation, Entry, Tables, contains

Place = tuple[dt.datetime, int]


def find_thread(tables: Tables, query: FindThread) -> Thread | None:
    """Give the exact owner's thread of that id."""
    talk = tables.threads.get((query.owner, query.thread))
    return talk.view if talk else None


def find_thread_by_key(tables: Tables, query: FindThreadByKey) -> Thread | None:
    """Give the scope's thread of that key."""
    return next((talk.view for talk in tables.covered(query.scope) if talk.thread.key == query.key), None)


def list_threads(tables: Tables, query: ListThreads) -> Threads:
    """Give the page that comes after the mark."""

    def place(thread: Thread) -> Place:
        return (thread.updated_at if query.order == "updated" else thread.created_at), thread.key.int

    where, start = codec.searchable(query.where), _place(query.after)
    found = [
        talk
        for talk in tables.covered(query.scope)
        if contains(codec.searchable(talk.thread.metadata), where)
        and (start is None or (place(talk.thread) < start if query.newest_first else place(talk.thread) > start))
    ]
    found.sort(key=lambda talk: place(talk.thread), reverse=query.newest_first)
    page = [talk.view for talk in found[: query.limit]]
    return Threads(page, _mark(place(page[-1])) if len(found) > query.limit else None)


def _mark(place: Place) -> str:
    at, key = place
    return json.dumps([at.isoformat(), str(UUID(int=key))])


def _place(mark: str | None) -> Place | None:
    if mark is None:
        return None
    try:
        at, key = json.loads(mark)
        return dt.datetime.fromisoformat(at), UUID(key).int
    except (ValueError, TypeError, AttributeError):
        raise InvalidQuery("after is not the mark of a page of threads") from None


def read_messages(tables: Tables, query: ReadMessages) -> list[Message]:
    """Give the thread's messages that lie between the bounds; a thread that is not there has none."""
    talk = tables.threads.get((query.owner, query.thread))
    found = [entry for entry in (talk.in_order if talk else ()) if _within(entry, query)]
    if query.first is not None:
        found = found[: query.first]
    if query.last is not None:
        found = found[max(0, len(found) - query.last) :]
    return _messages(found)


def _within(entry: Entry, query: ReadMessages) -> bool:
    row = entry.row
    return (
        (query.after is None or row.seq > query.after)
        and (query.before is None or row.seq < query.before)
        and (query.since is None or row.created >= query.since)
        and (query.until is None or row.created < query.until)
    )


def _messages(entries: list[Entry]) -> list[Message]:
    return [entry.row.message for entry in entries]


def read_around(tables: Tables, query: ReadAround) -> list[Message]:
    """Give messages by id, each with its neighbours, oldest first."""
    talk = tables.threads.get((query.owner, query.thread))
    order = talk.in_order if talk else []
    hits = [place for place, entry in enumerate(order) if entry.row.id in query.ids]
    near = {place for hit in hits for place in range(max(0, hit - query.before), hit + query.after + 1)}
    return _messages([entry for place, entry in enumerate(order) if place in near])


def match_metadata(tables: Tables, query: MatchMetadata) -> Ints:
    """Give the keys of the messages and versions of facts whose metadata contains the filter."""
    where = codec.searchable(query.where)
    labels = {key: entry.row.labels for key, (_, entry) in tables.entries(query.scope).items()}
    labels |= {key: one.row.labels for key, one in tables.versions(query.scope).items()}
    return np.array([key for key, told in labels.items() if contains(told, where)], np.int64)


def fetch_messages(tables: Tables, query: FetchMessages) -> dict[int, Found]:
    """Give messages by key, each with its neighbours."""
    entries = tables.entries(query.scope)
    return {key: _found(*entries[key], query.neighbours) for key in query.keys if key in entries}


def _found(talk: Conversation, entry: Entry, neighbours: int) -> Found:
    order = talk.in_order
    place = order.index(entry)
    before, after = order[max(0, place - neighbours) : place], order[place + 1 : place + 1 + neighbours]
    return Found(
        entry.row.message, talk.thread.id, talk.thread.owner, tuple(_messages(before)), tuple(_messages(after))
    )


def read_status(tables: Tables, _: ReadStatus) -> TenantStatus:
    """Count what the tenant holds and what is due."""
    talks, active = list(tables.threads.values()), tables.active
    entries = [entry for talk in talks for entry in talk.in_order]
    due = [entry.row.recorded for entry in entries if active is not None and entry.is_due(active)]
    return TenantStatus(
        server="reference",
        schema_version=0,
        row_security="enforced",
        role="reference",
        owners=len({talk.thread.owner for talk in talks}),
        threads=len(talks),
        messages=len(entries),
        vectors=sum(len(one.vectors) for one in entries) + sum(len(one.vectors) for one in tables.facts.values()),
        due=len(due),
        oldest_due=min(due, default=None),
        space=None if active is None else tables.spaces[active],
    )


READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {
        FindThread: find_thread,
        FindThreadByKey: find_thread_by_key,
        ListThreads: list_threads,
        ReadMessages: read_messages,
        ReadAround: read_around,
        MatchMetadata: match_metadata,
        FetchMessages: fetch_messages,
        ReadStatus: read_status,
        **LOADING_READS,
        **FACT_READS,
        **FORMING_READS,
        **DUE_READS,
        **FORGET_READS,
        **SPACE_READS,
        **COPY_READS,
        **GRAPH_COPY_READS,
        **LANGUAGE_READS,
        **ITEM_READS,
        **GRAPH_READS,
        **EMBEDDING_READS,
        **OUTBOX_READS,
    }
)
