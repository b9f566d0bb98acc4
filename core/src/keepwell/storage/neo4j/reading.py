"""Reads of conversations and of what is due, each a statement or two."""

from __future__ import annotations

import json
from typing import Final
from uuid import UUID

import numpy as np

from keepwell.errors import InvalidQuery
from keepwell.models import Message, Owner, Scope, Thread, Threads, codec
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
from keepwell.storage.facts import (
    FindForming,
    FindOwners,
    FormationStatus,
    ListParked,
    MessageKeys,
    Parked,
    ReadFormation,
    ReadSecret,
    ReadSpent,
    ReadUnformed,
    Spent,
    Unformed,
)
from keepwell.storage.neo4j import nodes, work_nodes
from keepwell.storage.neo4j.embedding import active, spaces
from keepwell.storage.neo4j.work import Row, Work, beginnings, column
from keepwell.storage.plain.due import lag, read_spent
from keepwell.storage.plain.tables import Tables, contains, now

EVER: Final = 2**62
"""A number above every time, number and count."""
MORE: Final = 200
"""So many rows are read at a time where a filter is looked at here, and not by the server."""


def find_thread(work: Work, query: FindThread) -> Thread | None:
    """Give the exact owner's thread of that id."""
    return _one(work.of_owner("thread", query.owner, id=query.thread))


def find_thread_by_key(work: Work, query: FindThreadByKey) -> Thread | None:
    """Give the scope's thread of that key."""
    return _one(work.of_scope("thread_in_scope", query.scope, key=str(query.key)))


def _one(rows: list[Row]) -> Thread | None:
    return nodes.thread_out(rows[0]["thread"]) if rows else None


def list_threads(work: Work, query: ListThreads) -> Threads:
    """Give the page that comes after the mark."""
    where = codec.searchable(query.where)
    name = f"page_{query.order}_{'newest' if query.newest_first else 'oldest'}"
    at, key = _place(query.after)

    def ask(at: int | None, key: str | None, limit: int) -> list[Thread]:
        rows = work.of_scope(name, query.scope, at=at, key=key, limit=limit)
        return [nodes.thread_out(row["thread"]) for row in rows]

    found: list[Thread] = []
    size = query.limit + 1 if not query.where else MORE
    while len(found) <= query.limit:
        rows = ask(at, key, size)
        found += [thread for thread in rows if contains(codec.searchable(thread.metadata), where)]
        if len(rows) < size:
            break
        at, key = _mark_of(rows[-1], query)
    page = found[: query.limit]
    return Threads(page, json.dumps(_mark_of(page[-1], query)) if len(found) > query.limit else None)


def _mark_of(thread: Thread, query: ListThreads) -> tuple[int, str]:
    return nodes.micros(thread.updated_at if query.order == "updated" else thread.created_at), str(thread.key)


def _place(mark: str | None) -> tuple[int | None, str | None]:
    if mark is None:
        return None, None
    try:
        at, key = json.loads(mark)
        return int(at), str(UUID(key))
    except (ValueError, TypeError, AttributeError):
        raise InvalidQuery("after is not the mark of a page of threads") from None


def read_messages(work: Work, query: ReadMessages) -> list[Message]:
    """Give the thread's messages that lie between the bounds; a thread that is not there has none."""
    bounds = {
        "id": query.thread,
        "after": -1 if query.after is None else query.after,
        "before": EVER if query.before is None else query.before,
        "since": -EVER if query.since is None else nodes.micros(query.since),
        "until": EVER if query.until is None else nodes.micros(query.until),
    }
    if query.last is not None and query.first is None:
        rows = work.of_owner("newest", query.owner, limit=query.last, **bounds)[::-1]
    else:
        limit = EVER if query.first is None else query.first
        rows = work.of_owner("oldest", query.owner, limit=limit, **bounds)
    found = [nodes.message_out(row["body"]) for row in rows]
    return found if query.last is None else found[max(0, len(found) - query.last) :]


def read_around(work: Work, query: ReadAround) -> list[Message]:
    """Give messages by id, each with its neighbours, oldest first."""
    asked = {"id": query.thread, "ids": list(query.ids), "before": query.before, "after": query.after}
    return [nodes.message_out(row["body"]) for row in work.of_owner("around", query.owner, **asked)]


def match_metadata(work: Work, query: MatchMetadata) -> Ints:
    """Give the keys of the messages and versions of facts whose metadata contains the filter."""
    where = codec.searchable(query.where)
    if not where:
        return np.array(column(work.of_scope("keys_of_scope", query.scope), "key"), np.int64)
    told = [(key, json.loads(text)) for key, text in work.lines("labels_of_messages", query.scope)]
    told += [(key, codec.searchable(codec.loads(text))) for key, text in work.lines("labels_of_facts", query.scope)]
    return np.array([key for key, labels in told if contains(labels, where)], np.int64)


def fetch_messages(work: Work, query: FetchMessages) -> dict[int, Found]:
    """Give messages by key, each with its neighbours."""
    rows = work.of_scope("fetch", query.scope, keys=list(dict.fromkeys(query.keys)), neighbours=query.neighbours)
    found = {row["key"]: row for row in rows}
    return {key: _found(found[key]) for key in query.keys if key in found}


def _found(row: Row) -> Found:
    before, after = ([nodes.message_out(body) for body in row[name]] for name in ("before", "after"))
    return Found(nodes.message_out(row["body"]), row["thread"], nodes.owner_of(row), tuple(before[::-1]), tuple(after))


def message_keys(work: Work, query: MessageKeys) -> dict[tuple[UUID | None, str], int]:
    """Give the numbers of messages of the scope."""
    named = [[str(thread), ident] for thread, ident in query.messages if thread is not None]
    loose = [ident for thread, ident in query.messages if thread is None]
    rows = work.of_scope("message_keys_in", query.scope, names=named) if named else []
    rows += work.of_scope("message_keys", query.scope, ids=loose) if loose else []
    return {(UUID(row["thread"]), row["id"]): row["key"] for row in rows}


# --- what is due


def find_forming(work: Work, query: FindForming) -> tuple[UUID, ...]:
    """Give threads that are due, the longest waiting first."""
    rows = work.rows("threads_due", at=nodes.micros(now()), early=query.early, limit=query.limit)
    return tuple(UUID(row["thread"]["key"]) for row in rows)


def read_unformed(work: Work, query: ReadUnformed) -> Unformed:
    """Give what is to be formed, and what was said right before it."""
    claim, thread = query.claim, str(query.claim.thread)
    talks = work.rows("threads_by_key", keys=[thread])
    if not talks or nodes.owner_of(talks[0]["thread"]) != claim.owner:
        return Unformed(())
    rows = work.rows("unformed_again", thread=thread, upto=claim.formed_to)
    rows += work.rows("unformed_new", thread=thread, after=claim.formed_to, limit=query.limit)
    chosen = [row["message"] for row in rows]
    first = chosen[0]["seq"] if chosen else 0
    before = work.rows("said_before", thread=thread, seq=first, limit=query.before) if query.before else []
    return Unformed(
        tuple((node["key"], nodes.message_out(node["body"])) for node in chosen),
        tuple(nodes.message_out(row["body"]) for row in before[::-1]),
        frozenset(node["key"] for node in chosen if node.get("again")),
    )


def list_parked(work: Work, query: ListParked) -> tuple[Parked, ...]:
    """Give the messages that could not be formed, newest first."""
    scope = query.scope or Scope(across_users=True)
    found = [row["message"] for row in work.of_scope("parked", scope, limit=query.limit)]
    threads = {
        row["thread"]["key"]: row["thread"]
        for row in work.rows("threads_by_key", keys=list({node["thread"] for node in found}))
    }
    return tuple(_parked(node, threads[node["thread"]]) for node in found if node["thread"] in threads)


def _parked(node: Row, thread: Row) -> Parked:
    why, at = nodes.text_out(node["parked_error"]), nodes.instant(node["parked_at"])
    return Parked(UUID(thread["key"]), thread["id"], node["id"], nodes.owner_of(thread), why, at)


def find_owners(work: Work, query: FindOwners) -> tuple[Owner, ...]:
    """Give owners with threads, in order."""
    after = None if query.after is None else list(query.after)
    rows = work.rows("owners_with_threads", after=after, limit=query.limit)
    return tuple(nodes.owner_of(row) for row in rows)


def spent(work: Work, query: ReadSpent) -> tuple[Spent, ...]:
    """Add up model calls by owner, the dearest first."""
    rows = work.rows("calls_since", since=nodes.micros(query.since))
    return read_spent(Tables(work.numbers, calls=tuple(work_nodes.call_out(row["call"]) for row in rows)), query)


def read_formation(work: Work, _: ReadFormation) -> FormationStatus:
    """Count what is due to be formed, and give how long it took."""
    (counts,) = work.rows("formation_counts")
    (erring,) = work.rows("threads_erring")
    times = [*column(work.rows("threads_waiting"), "due_at")]
    kinds = [kind for kind, _, _ in counts["due"]]
    waiting = [*times, *(at for _, at, _ in counts["due"])]
    lags = work.rows("newest_lags")
    return FormationStatus(
        facts=counts["facts"],
        changes=counts["changes"],
        due_threads=len(times),
        oldest_due=nodes.maybe(nodes.instant, min(waiting, default=None)),
        due_items={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        failing=erring["count"] + sum(failed for _, _, failed in counts["due"]),
        parked=counts["parked"],
        rejections=counts["rejections"],
        recall_lag=lag(column(lags, "found")),
        formed_lag=lag(column(lags, "formed")),
    )


# --- the tenant


def read_secret(work: Work, _: ReadSecret) -> bytes:
    """Give the secret under which rejections are hashed, made at the first use."""
    (row,) = work.rows("make_tenant", **beginnings())
    return bytes(row["tenant"]["secret"])


def read_status(work: Work, _: ReadStatus) -> TenantStatus:
    """Count what the tenant holds and what is due."""
    (counts,) = work.rows("status_counts")
    (server,) = work.rows("server")
    space = active(work)
    waiting: Row = {"count": 0, "oldest": None}
    if space is not None:
        (waiting,) = work.rows("status_waiting", space=space)
    return TenantStatus(
        server=server["server"],
        schema_version=SCHEMA_VERSION,
        row_security="bypassed",
        role="neo4j",
        owners=counts["owners"],
        threads=counts["threads"],
        messages=counts["messages"],
        vectors=counts["vectors"],
        due=waiting["count"],
        oldest_due=nodes.maybe(nodes.instant, waiting["oldest"]),
        space=None if space is None else spaces(work)[space],
    )


SCHEMA_VERSION: Final = 1
