"""Plans for threads."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from keepwell.errors import InvalidQuery, ThreadExists, ThreadNotFound
from keepwell.models import Owner, Thread, Threads
from keepwell.models.codec import dumps, searchable
from keepwell.storage import base
from keepwell.storage.postgres import checkpoints, graph_forgetting, graph_moving
from keepwell.storage.postgres.rows import thread_of
from keepwell.storage.postgres.runner import Plan, Rows
from keepwell.storage.postgres.walls import Walls


def find(walls: Walls, query: base.FindThread) -> Plan[Thread | None]:
    """Give the exact owner's thread."""
    rows = yield walls.step("find_thread", query.owner, thread=query.thread)
    return thread_of(rows[0]) if rows else None


def find_by_key(walls: Walls, query: base.FindThreadByKey) -> Plan[Thread | None]:
    """Give the scope's thread of that key."""
    rows = yield walls.scoped("find_thread_by_key", query.scope, key=query.key)
    return thread_of(rows[0]) if rows else None


def listing(walls: Walls, query: base.ListThreads) -> Plan[Threads]:
    """Give one page of threads, and the mark of the next."""
    at, key = _read_mark(query.after, query.order)
    direction = "descending" if query.newest_first else "ascending"
    where = json.dumps(searchable(query.where))
    rows = yield walls.scoped(
        f"list_by_{query.order}_{direction}", query.scope, where=where, at=at, key=key, limit=query.limit + 1
    )
    page = [thread_of(row) for row in rows[: query.limit]]
    return Threads(page, _mark(page[-1], query.order) if len(rows) > query.limit else None)


def create(walls: Walls, change: base.CreateThread) -> Plan[Thread]:
    """Make a thread."""
    rows = yield walls.step(
        "create_thread", change.owner, thread=change.thread, title=change.title, **_metadata(change.metadata)
    )
    if not rows:
        raise ThreadExists(f"there is a thread {change.thread!r} already; change it with update()")
    return thread_of(rows[0])


def update(walls: Walls, change: base.UpdateThread) -> Plan[Thread]:
    """Merge title and metadata under the thread's lock."""
    held = yield from _hold(walls, change.owner, change.thread)
    removed = {name for name, value in change.metadata.items() if value is None}
    merged = {**held.metadata, **change.metadata}
    kept = {name: value for name, value in merged.items() if name not in removed}
    rows = yield walls.step("update_thread", None, key=held.key, title=change.title, **_metadata(kept))
    return thread_of(rows[0])


def clone(walls: Walls, change: base.CloneThread) -> Plan[Thread]:
    """Copy a thread, under the source's lock so that the copy is of one moment."""
    source = yield from _hold(walls, change.owner, change.thread)
    title = source.title if change.title is None else change.title
    metadata = {**source.metadata, **change.metadata}
    made = yield from create(walls, base.CreateThread(change.to, change.new_id, title, metadata))
    until = source.last_seq if change.until is None else change.until
    rows = yield walls.step("clone_thread", change.to, source=source.key, key=made.key, until=until)
    return thread_of(rows[0])


def move(walls: Walls, change: base.MoveThread) -> Plan[Thread]:
    """Give a thread to another owner, with the facts that rest on it alone."""
    if change.to == change.owner:
        return (yield from _hold(walls, change.owner, change.thread))
    for owner in sorted({change.owner, change.to}):
        yield walls.step("hold_owner", owner)
    held = yield from _hold(walls, change.owner, change.thread)
    if (yield from find(walls, base.FindThread(change.to, change.thread))) is not None:
        raise ThreadExists(f"the new owner has a thread {change.thread!r} already; clone under a new id instead")
    to: dict[str, Any] = {f"to_{name}": value for name, value in change.to._asdict().items()}
    rows = yield walls.step("move_thread", change.owner, key=held.key, **to)
    ((messages,),) = yield walls.step("keys_of_thread", key=held.key)
    yield from checkpoints.move(walls, change.owner, change.to, change.thread)
    facts = yield from _move_facts(walls, change, messages, to)
    yield from graph_moving.move(walls, change.to, held.key, messages, facts)
    return thread_of(rows[0])


def _move_facts(walls: Walls, change: base.MoveThread, messages: list[int], to: dict[str, Any]) -> Plan[list[UUID]]:
    """Move the facts that rest on these messages alone, and give them; others stay, without those messages.

    One whose key or statement the new owner has already is removed.
    """
    ((found,),) = yield walls.step("facts_resting", facts=[], messages=messages)
    if not found:
        return []
    rows = yield walls.step("sources_of", change.owner, facts=found)
    going = _going(rows, set(messages))
    lost = yield walls.step("lose_sources", facts=list(going), messages=messages)
    held = [UUID(str(fact)) for (fact,) in (yield walls.step("held_elsewhere", facts=list(going), **to))]
    if held:
        yield from graph_forgetting.remove(walls, [], held)
        yield walls.step("delete_changes", facts=held, messages=[])
        yield walls.step("delete_facts", facts=held)
    moving = [fact for fact in going if fact not in held]
    if moving:
        yield walls.step("move_facts", change.owner, facts=moving, **to)
    if lost:
        yield walls.step("reopen", keys=[key for (key,) in lost])
    return moving


def _going(rows: Rows, messages: set[int]) -> set[UUID]:
    """Give the owner's facts that rest, in every version, on these messages or on facts that go too."""
    rests: dict[UUID, list[tuple[int | None, UUID | None]]] = {}
    for fact, message, source, mine in rows:
        if mine:
            on = None if source is None else UUID(str(source))
            rests.setdefault(UUID(str(fact)), []).append((message, on))
    going: set[UUID] = set()
    while True:
        more = {
            fact
            for fact, named in rests.items()
            if fact not in going and all(message in messages or on in {*going, fact} for message, on in named)
        }
        if not more:
            return going
        going |= more


def _hold(walls: Walls, owner: Owner, thread: str) -> Plan[Thread]:
    rows = yield walls.step("hold_thread", owner, thread=thread)
    if not rows:
        raise ThreadNotFound(f"there is no thread {thread!r} here")
    return thread_of(rows[0])


def _metadata(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {"metadata": dumps(dict(metadata)), "labels": json.dumps(searchable(metadata))}


def _mark(thread: Thread, order: str) -> str:
    at = thread.updated_at if order == "updated" else thread.created_at
    return base64.urlsafe_b64encode(f"{order} {at.isoformat()} {thread.key}".encode()).decode()


def _read_mark(mark: str | None, order: str) -> tuple[dt.datetime | None, UUID | None]:
    if mark is None:
        return None, None
    try:
        of, at, key = base64.urlsafe_b64decode(mark).decode().split(" ")
        when, which = dt.datetime.fromisoformat(at), UUID(key)
    except ValueError:
        raise InvalidQuery("after= takes the `next` of the page before") from None
    if of != order:
        raise InvalidQuery(f"after= is of a list ordered by {of}; this one is ordered by {order}")
    return when, which
