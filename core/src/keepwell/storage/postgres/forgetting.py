"""Plans that remove."""

from __future__ import annotations

import datetime as dt
import json
from hashlib import sha256

from keepwell.errors import MessageNotFound, ThreadNotFound
from keepwell.models import Receipt
from keepwell.models.message import now
from keepwell.storage import base
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls


def delete(walls: Walls, change: base.DeleteMessages) -> Plan[int]:
    """Remove messages of a thread by id."""
    held = yield walls.step("hold_thread", change.owner, thread=change.thread)
    if not held:
        raise ThreadNotFound(f"there is no thread {change.thread!r} here")
    ((messages, *_),) = yield walls.step("delete_messages", threads=[held[0][1]], ids=list(change.ids))
    return int(messages)


def forget(walls: Walls, change: base.Forget) -> Plan[Receipt]:
    """Remove a scope, a thread or a message, with all that hangs on it."""
    held = yield walls.scoped("hold_scope", change.scope, key=change.thread)
    threads = [key for (key,) in held]
    if change.thread is not None and not threads:
        raise ThreadNotFound("there is no such thread here")
    ids = None if change.message is None else [change.message]
    ((messages, versions, postings, vectors),) = yield walls.step("delete_messages", threads=threads, ids=ids)
    if ids is not None and not messages:
        raise MessageNotFound(f"the thread has no message {change.message!r}")
    counts = {"messages": messages, "versions": versions, "postings": postings, "vectors": vectors}
    if ids is None:
        ((counts["threads"],),) = yield walls.step("delete_threads", threads=threads)
        ((counts["idempotency"],),) = yield walls.scoped("forget_requests", change.scope, key=change.thread)
    return receipt(counts)


def prune(walls: Walls, change: base.Prune) -> Plan[int]:
    """Drop marks of removals that no snapshot in use can need."""
    ((count,),) = yield walls.step("prune", age=change.older_than)
    return int(count)


def receipt(counts: dict[str, int], at: dt.datetime | None = None) -> Receipt:
    """Give a receipt with a hash over what it says."""
    at = at or now()
    said = json.dumps({"at": at.isoformat(), "counts": counts}, sort_keys=True, separators=(",", ":"))
    return Receipt(counts, at, sha256(said.encode()).hexdigest())
