"""Plans that remove."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

from keepwell.errors import FactNotFound, MessageNotFound, ThreadNotFound
from keepwell.models import Forgotten, Receipt, Scope
from keepwell.models.message import now
from keepwell.storage import base
from keepwell.storage import facts as seam
from keepwell.storage.postgres import checkpoints, graph_forgetting
from keepwell.storage.postgres.runner import Plan, Step
from keepwell.storage.postgres.walls import Walls

PLACES = (
    "threads", "messages", "versions", "postings", "vectors", "idempotency", "facts", "fact_versions", "changes",
    "sources", "rejections", "due", "model_calls", "checkpoints", "entities", "relations", "mentions", "graph_changes",
)  # fmt: skip
"""Where something can be, as receipts name it."""
Counts = dict[str, int]


def delete(walls: Walls, change: base.DeleteMessages) -> Plan[int]:
    """Remove messages of a thread by id, with what was formed from them."""
    yield walls.step("hold_known_owner", change.owner)
    held = yield walls.step("hold_thread", change.owner, thread=change.thread)
    if not held:
        raise ThreadNotFound(f"there is no thread {change.thread!r} here")
    counts = yield from remove(walls, [held[0][1]], ids=change.ids)
    return counts["messages"]


def forget(walls: Walls, change: base.Forget) -> Plan[Receipt]:
    """Remove a scope, a thread, a message or a fact, with all that hangs on it."""
    if change.fact is not None:
        counts = yield from _forget_fact(walls, change, change.fact)
    elif change.message is not None:
        counts = yield from _forget_message(walls, change, change.message)
    elif change.thread is not None:
        counts = yield from _forget_thread(walls, change, change.thread)
    else:
        counts = yield from _forget_scope(walls, change.scope)
    if change.reject:
        yield reject(walls, change.scope, dict.fromkeys(change.reject))
    scope = change.scope
    ids = (scope.user_id, scope.agent_id, scope.run_id, scope.across_users)
    return receipt(counts, what=Forgotten(*ids, change.thread, change.message, change.fact))


def _forget_scope(walls: Walls, scope: Scope) -> Plan[Counts]:
    yield walls.scoped("hold_owners", scope, thread=None, fact=None)
    held = yield walls.scoped("hold_scope", scope, key=None)
    ((roots,),) = yield walls.scoped("facts_of_scope", scope)
    graph = yield from graph_forgetting.forget(walls, scope)
    counts = yield from remove(walls, [key for (key,) in held], roots=roots)
    counts |= {place: counts[place] + count for place, count in graph.items()}
    ((counts["threads"],),) = yield walls.step("delete_threads", threads=[key for (key,) in held])
    ((counts["idempotency"],),) = yield walls.scoped("forget_requests", scope, key=None)
    ((changes, counts["rejections"], due, counts["model_calls"]),) = yield walls.scoped(
        "forget_owners", scope, across=scope.across_users
    )
    counts["changes"] += changes
    counts["due"] += due
    counts["checkpoints"] += yield from checkpoints.drop_scope(walls, scope)
    return counts


def _forget_message(walls: Walls, change: base.Forget, message: str) -> Plan[Counts]:
    """Remove one message: of a thread, or of every thread of the scope, because a clone holds the same message."""
    yield walls.scoped("hold_owners", change.scope, thread=change.thread, fact=None)
    held = yield walls.scoped("hold_scope", change.scope, key=change.thread)
    if change.thread is not None and not held:
        raise ThreadNotFound("there is no such thread here")
    counts = yield from remove(walls, [key for (key,) in held], ids=[message])
    if not counts["messages"]:
        raise MessageNotFound(f"there is no message {message!r} here")
    return counts


def _forget_thread(walls: Walls, change: base.Forget, thread: UUID) -> Plan[Counts]:
    """Remove a thread, with all its messages."""
    yield walls.scoped("hold_owners", change.scope, thread=thread, fact=None)
    held = yield walls.scoped("hold_scope", change.scope, key=thread)
    if not held:
        raise ThreadNotFound("there is no such thread here")
    counts = yield from remove(walls, [thread])
    ((counts["threads"],),) = yield walls.step("delete_threads", threads=[thread])
    ((counts["idempotency"],),) = yield walls.scoped("forget_requests", change.scope, key=thread)
    return counts


def _forget_fact(walls: Walls, change: base.Forget, fact: UUID) -> Plan[Counts]:
    """Remove a fact, and with ``everywhere`` the messages of the scope that it rests on."""
    yield walls.scoped("hold_owners", change.scope, thread=None, fact=fact)
    rows = yield walls.scoped("raw_sources", change.scope, facts=[fact])
    if not rows:
        raise FactNotFound(f"there is no fact {fact} here")
    keys = [row[2] for row in rows if row[2] is not None] if change.everywhere else []
    threads = []
    if keys:
        threads = [key for (key,) in (yield walls.scoped("hold_threads_of", change.scope, messages=keys))]
    return (yield from remove(walls, threads, keys=keys, roots=[fact], own=True))


def remove(
    walls: Walls,
    threads: Sequence[UUID],
    *,
    ids: Sequence[str] | None = None,
    keys: Sequence[int] | None = None,
    roots: Sequence[UUID] = (),
    own: bool = False,
) -> Plan[Counts]:
    """Remove messages of threads (all, or those of these ids or keys) and facts, with all that was formed from them.

    The threads must be held. Messages that stay, and that a fact which goes rests on, are to be formed again; with
    ``own`` not those of ``roots``.
    """
    counts = dict.fromkeys(PLACES, 0)
    gone: list[int] = []
    if threads:
        counts["checkpoints"] = yield from checkpoints.drop_threads(walls, threads, ids, keys)
        some: dict[str, Any] = {"ids": None if ids is None else list(ids), "keys": None if keys is None else list(keys)}
        ((*found, removed),) = yield walls.step("delete_messages", threads=list(threads), **some)
        counts.update(zip(("messages", "versions", "postings", "vectors"), found, strict=True))
        gone = removed or []
    if gone or roots:
        yield from _remove_facts(walls, roots, gone, counts, own=roots if own else ())
    if gone and (ids is not None or keys is not None):
        yield walls.step("settle_due", threads=list(threads))
    return counts


def _remove_facts(
    walls: Walls, roots: Sequence[UUID], messages: Sequence[int], counts: Counts, *, own: Sequence[UUID]
) -> Plan[None]:
    """Remove facts, and those that rest on them or on messages that went, and so on.

    The messages are gone already: who was about to rest a fact on one of them has done so, or cannot any more.
    """
    ((found,),) = yield walls.step("facts_resting", facts=list(roots), messages=list(messages))
    facts = found or []
    counts |= yield from graph_forgetting.remove(walls, messages, facts)
    ((changes,),) = yield walls.step("delete_changes", facts=facts, messages=list(messages))
    counts["changes"] += changes
    if not facts:
        return
    yield walls.step("form_again", facts=facts, own=list(own))
    ((count, versions, sources, postings, vectors, due),) = yield walls.step("delete_facts", facts=facts)
    counts["facts"], counts["fact_versions"], counts["sources"] = count, versions, sources
    counts["postings"] += postings
    counts["vectors"] += vectors
    counts["due"] += due


def reject(walls: Walls, view: Scope, marks: dict[bytes, UUID | None]) -> Step:
    """Give the statement that keeps rejections of a view, each with its change where there is one."""
    hashes, changes = list(marks), list(marks.values())
    return walls.step("reject", view.owner, across=view.across_users, hashes=hashes, changes=changes)


def remains(walls: Walls, query: seam.Remains) -> Plan[Counts]:
    """Count what is there of what a ``forget`` removes."""
    (row,) = yield walls.scoped(
        "remains",
        query.scope,
        thread=query.thread,
        message=query.message,
        fact=query.fact,
        across=query.scope.across_users,
    )
    whole = query.thread is None and query.message is None and query.fact is None
    left = yield from checkpoints.remain(walls, query.scope, query.thread, query.message, whole=whole)
    graph = yield from graph_forgetting.remain(walls, query.scope, query.thread, query.message, query.fact)
    return dict(zip(PLACES, (*row, left, *graph.values()), strict=True))


def prune(walls: Walls, change: base.Prune) -> Plan[int]:
    """Drop marks of removals that no snapshot in use can need."""
    ((count,),) = yield walls.step("prune", age=change.older_than)
    return int(count)


def receipt(counts: Counts, at: dt.datetime | None = None, what: Forgotten | None = None) -> Receipt:
    """Give a receipt with a hash over what it says."""
    at = at or now()
    said = json.dumps({"at": at.isoformat(), "counts": counts}, sort_keys=True, separators=(",", ":"))
    return Receipt(counts, at, sha256(said.encode()).hexdigest(), what=what or Forgotten())
