"""Plans for forming threads: who may, what is to be formed, and that it was.

Who needs both locks an owner's row before a thread's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from keepwell.errors import LeaseLost, ThreadNotFound
from keepwell.models import Owner, Scope
from keepwell.models.codec import dumps, loads
from keepwell.storage import facts
from keepwell.storage.postgres import due
from keepwell.storage.postgres.expiring import days
from keepwell.storage.postgres.rows import message_of, storable
from keepwell.storage.postgres.runner import Plan, Rows
from keepwell.storage.postgres.walls import Walls

_CANDIDATES = 32
"""So many threads are looked at in one step, in case others take the first ones at this moment."""
_SLACK = 64
"""How many numbers a stretch has beyond twice what is asked, see reading.py."""
_WHOLE = 2**61
_TENANT = Scope(across_users=True)


class _Candidate(NamedTuple):
    """A thread that may be claimed; ``ownerless`` tells that its owner has no row yet."""

    due_from: dt.datetime
    key: UUID
    user_id: str
    agent_id: str
    run_id: str
    ownerless: bool

    @property
    def owner(self) -> Owner:
        return Owner(self.user_id, self.agent_id, self.run_id)


def claim(walls: Walls, change: facts.ClaimThread) -> Plan[facts.Claim | None]:
    """Take the lease of the owner of a thread that is due, waiting for nobody."""
    if change.thread is not None:
        rows = yield walls.step("claimable_thread", key=change.thread, early=change.early)
        return (yield from _first(walls, change, rows))
    at: dt.datetime | None = None
    key: UUID | None = None
    while True:
        rows = yield walls.step("claimable", at=at, key=key, early=change.early, limit=_CANDIDATES)
        claimed = yield from _first(walls, change, rows)
        if claimed is not None or len(rows) < _CANDIDATES:
            return claimed
        at, key, *_ = rows[-1]


def _first(walls: Walls, change: facts.ClaimThread, rows: Rows) -> Plan[facts.Claim | None]:
    held: dict[Owner, bool] = {}
    for row in rows:
        found = _Candidate(*row)
        if found.owner not in held:
            lock = yield walls.step("make_owner" if found.ownerless else "try_owner", found.owner)
            held[found.owner] = bool(lock)
        if held[found.owner]:
            given = {"key": found.key, "early": change.early, "lease": change.lease}
            claimed = yield walls.step("claim", found.owner, **given)
            if claimed:
                return _claim(found.owner, claimed[0])
            yield from _clear(walls, found)
    return None


def _claim(owner: Owner, row: tuple[Any, ...]) -> facts.Claim:
    lease, until, key, ident, formed_to, last_seq, attempts, policy, over = row
    merged = {**loads(policy), **loads(over)}
    return facts.Claim(owner, lease, until, key, ident, formed_to, last_seq, attempts, merged)


def _clear(walls: Walls, found: _Candidate) -> Plan[None]:
    """Take a thread off whose messages are all gone, formed or parked; one that somebody holds is left for later."""
    if (yield walls.step("try_thread", found.owner, key=found.key)):
        yield walls.step("clear_due", key=found.key)


def find(walls: Walls, query: facts.FindForming) -> Plan[tuple[UUID, ...]]:
    """Give the keys of threads that are due."""
    rows = yield walls.step("find_forming", early=query.early, limit=query.limit)
    return tuple(key for (key,) in rows)


def read(walls: Walls, query: facts.ReadUnformed) -> Plan[facts.Unformed]:
    """Give what a claim's thread has to be formed."""
    claim, limit = query.claim, query.limit
    place = {"key": claim.thread, "formed_to": claim.formed_to}
    again = yield walls.step("read_again", claim.owner, **place)
    rows: Rows = []
    for width in (2 * limit + _SLACK, _WHOLE):
        rows = yield walls.step("read_fresh", claim.owner, width=width, limit=limit, **place)
        if len(rows) == limit or claim.last_seq <= claim.formed_to + width:
            break
    rows = again + rows
    if not rows:
        return facts.Unformed(())
    leading = yield walls.step("read_leading", claim.owner, key=claim.thread, before=rows[0][2], limit=query.before)
    return facts.Unformed(
        tuple((row[0], message_of(row[2:])) for row in rows),
        tuple(map(message_of, reversed(leading))),
        frozenset(row[0] for row in rows if row[1]),
    )


def finish(walls: Walls, formed: facts.Formed) -> Plan[None]:
    """Move the watermark of a claim, where lease and watermark are still the claim's.

    Raises:
        LeaseLost: they are not; nothing was written.
    """
    claim = formed.claim
    held = yield from _hold(walls, claim, claim.formed_to)
    if held is None:
        raise LeaseLost(f"thread {claim.thread_id!r} was taken over by another worker, moved or removed")
    span: dict[str, Any] = {"key": claim.thread, "upto": formed.upto}
    read: dict[str, Any] = {"formed_to": claim.formed_to, "since": held, "again": list(formed.again)}
    yield walls.step("note_formed", claim.owner, **read, **span)
    yield walls.step("pass_watermark", **span)
    yield walls.step("keep_lease", claim.owner, lease=claim.lease, finish=formed.finish)


def fail(walls: Walls, change: facts.FailForming) -> Plan[None]:
    """Give a claim back, with the error and the next time; or with the messages at fault left out."""
    claim = change.claim
    yield from due.record_calls(walls, claim.owner, change.calls)
    given: dict[str, Any] = {"key": claim.thread, "error": storable(change.error), "retry": change.retry_in}
    if (yield from _hold(walls, claim, None)) is None:
        pass
    elif change.park:
        yield walls.step("park", claim.owner, messages=list(change.park), **given)
        yield walls.step("clear_due", key=claim.thread)
    else:
        yield walls.step("fail_forming", claim.owner, **given)
    yield walls.step("keep_lease", claim.owner, lease=claim.lease, finish=True)


def _hold(walls: Walls, claim: facts.Claim, formed_to: int | None) -> Plan[dt.datetime | None]:
    place = {"key": claim.thread, "lease": claim.lease}
    held = yield walls.step("hold_claim", claim.owner, formed_to=formed_to, **place)
    return held[0][0] if held else None


def parked(walls: Walls, query: facts.ListParked) -> Plan[tuple[facts.Parked, ...]]:
    """Give messages that could not be formed."""
    rows = yield walls.scoped("list_parked", query.scope or _TENANT, limit=query.limit)
    return tuple(
        facts.Parked(key, ident, message, Owner(*ids), error, at) for key, ident, message, *ids, error, at in rows
    )


def retry(walls: Walls, change: facts.RetryParked) -> Plan[int]:
    """Make everything that failed due again, under the locks of its threads."""
    scope = change.scope or _TENANT
    threads = [key for (key,) in (yield walls.scoped("hold_failing", scope))]
    ((count,),) = yield walls.scoped("retry", scope, threads=threads)
    return int(count)


def owners(walls: Walls, query: facts.FindOwners) -> Plan[tuple[Owner, ...]]:
    """Give a page of owners."""
    rows = yield walls.step("find_owners", query.after or Owner("", "", ""), limit=query.limit)
    return tuple(Owner(*row) for row in rows)


def set_policy(walls: Walls, change: facts.SetPolicy) -> Plan[Mapping[str, Any]]:
    """Merge an owner's or a thread's policy under its lock."""
    place: dict[str, UUID] = {}
    what = "owner"
    if change.thread is None:
        yield walls.step("hold_owner", change.owner)
    else:
        held = yield walls.step("hold_thread", change.owner, thread=change.thread)
        if not held:
            raise ThreadNotFound(f"there is no thread {change.thread!r} here")
        what, place = "thread", {"key": held[0][1]}
    ((kept,),) = yield walls.step(f"{what}_policy", change.owner, **place)
    merged = {name: value for name, value in {**loads(kept), **change.policy}.items() if value is not None}
    given = {"policy": dumps(merged), "retention": days(merged.get("retention"))}
    yield walls.step(f"set_{what}_policy", change.owner, **given, **place)
    return merged
