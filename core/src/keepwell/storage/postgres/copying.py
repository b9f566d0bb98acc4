"""Plans that carry a tenant from one store to another."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from keepwell.errors import ThreadExists, ThreadNotFound
from keepwell.models import Scope
from keepwell.models.codec import dumps, loads, searchable
from keepwell.storage import base
from keepwell.storage.copying import (
    KeepMessageCopies,
    KeepRejectionCopies,
    KeepSecret,
    KeepThreadCopy,
    MessageCopy,
    ReadMessageCopies,
    ReadRejectionCopies,
    ReadThreadCopies,
    RejectionCopy,
    ThreadCopy,
)
from keepwell.storage.postgres import threads
from keepwell.storage.postgres.history import why
from keepwell.storage.postgres.rows import draft, message_of, thread_of
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls

_FIRST = UUID(int=0)


def read_threads(walls: Walls, query: ReadThreadCopies) -> Plan[tuple[ThreadCopy, ...]]:
    """Give threads in the order of their keys."""
    rows = yield walls.step("copy_threads", key=query.after or _FIRST, limit=query.limit)
    return tuple(
        ThreadCopy(thread_of(tuple(row)), formed, due, loads(policy), seen) for *row, formed, due, policy, seen in rows
    )


def read_messages(walls: Walls, query: ReadMessageCopies) -> Plan[tuple[MessageCopy, ...]]:
    """Give a thread's messages in their order."""
    rows = yield walls.step("copy_messages", key=query.thread, after=query.after, limit=query.limit)
    return tuple(
        MessageCopy(message_of(tuple(said)), terms, signals, recorded, again, None if error is None else (error, at))
        for *said, terms, signals, recorded, again, error, at in rows
    )


def read_rejections(walls: Walls, query: ReadRejectionCopies) -> Plan[tuple[RejectionCopy, ...]]:  # noqa: ARG001 - it has no fields
    """Give rejections, oldest first."""
    rows = yield walls.step("copy_rejections")
    return tuple(
        RejectionCopy(
            Scope(user or None, agent or None, run or None, across), bytes(digest), at, why(said, forgotten=forgotten)
        )
        for user, agent, run, across, digest, at, forgotten, said in rows
    )


def keep_thread(walls: Walls, change: KeepThreadCopy) -> Plan[bool]:
    """Keep a thread, or bring it up to date."""
    thread, policy = change.copy.thread, change.copy.policy
    there = yield from threads.find(walls, base.FindThread(thread.owner, thread.id))
    if there is not None and there.key != thread.key:
        raise ThreadExists(f"there is a thread {thread.id!r} under another key already")
    retention = policy.get("retention")
    rows = yield walls.step(
        "keep_thread",
        thread.owner,
        key=thread.key,
        thread=thread.id,
        title=thread.title,
        metadata=dumps(dict(thread.metadata)),
        labels=json.dumps(searchable(thread.metadata)),
        created_at=thread.created_at,
        updated_at=thread.updated_at,
        last_seq=thread.last_seq,
        source=None if thread.source is None else thread.source.thread,
        source_seq=None if thread.source is None else thread.source.seq,
        formed_to=change.copy.formed_to,
        due_at=change.copy.due_at,
        policy=dumps(dict(policy)),
        retention=None if retention is None else float(retention),
    )
    if not rows:
        raise ThreadExists(f"somebody else has a thread of the key {thread.key} already")
    return bool(rows[0][0])


def keep_messages(walls: Walls, change: KeepMessageCopies) -> Plan[int]:
    """Keep messages under their own numbers."""
    batch = json.dumps([_row(copy) for copy in change.rows])
    rows = yield walls.step("keep_messages", change.owner, key=change.thread, batch=batch)
    if not rows:
        raise ThreadNotFound(f"there is no thread {change.thread} here")
    return int(rows[0][0])


def _row(copy: MessageCopy) -> dict[str, Any]:
    message = copy.message
    row: dict[str, Any] = json.loads(draft(message, copy.terms, copy.signals).row(message.seq or 0))
    error, at = copy.parked or (None, None)
    noted = {"again": copy.again, "parked": error, "parked_at": None if at is None else at.isoformat()}
    return {**row, **noted, "recorded_at": copy.recorded_at.isoformat()}


def keep_secret(walls: Walls, change: KeepSecret) -> Plan[bool]:
    """Take over a secret, where nothing was rejected under another one."""
    yield walls.step("make_secret", value=change.secret)
    ((known,),) = yield walls.step("read_secret")
    if bytes(known) == change.secret:
        return True
    if (yield walls.step("has_rejections"))[0][0]:
        return False
    yield walls.step("set_secret", value=change.secret)
    return True


def keep_rejections(walls: Walls, change: KeepRejectionCopies) -> Plan[int]:
    """Keep rejections that are not there."""
    owners = [one.view.owner for one in change.rows]
    ((count,),) = yield walls.step(
        "keep_rejections",
        users=[owner.user_id for owner in owners],
        agents=[owner.agent_id for owner in owners],
        runs=[owner.run_id for owner in owners],
        across_users=[one.view.across_users for one in change.rows],
        hashes=[one.hash for one in change.rows],
        ats=[one.at for one in change.rows],
        reasons=[dumps(one.reason) for one in change.rows],
    )
    return int(count)
