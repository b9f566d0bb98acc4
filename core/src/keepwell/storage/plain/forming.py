"""The queue of formation: threads that are due, who has claimed them, and what could not be formed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from keepwell.errors import LeaseLost
from keepwell.models import Scope
from keepwell.storage.facts import (
    Claim,
    ClaimThread,
    FailForming,
    FindForming,
    Formed,
    ListParked,
    Parked,
    ReadUnformed,
    RetryParked,
    Unformed,
)
from keepwell.storage.plain.due import record_calls, seconds_since
from keepwell.storage.plain.tables import Conversation, Entry, Lease, Tables, now


def claim_thread(tables: Tables, change: ClaimThread) -> Claim | None:
    """Take the thread that has waited longest, of an owner that nobody holds."""
    for talk in _due(tables, early=change.early):
        owner = talk.thread.owner
        lease = tables.owners.get(owner, Lease())
        if lease.is_free and change.thread in (None, talk.thread.key):
            at = now()
            until = at + change.lease
            tables.owners[owner] = replace(lease, number=lease.number + 1, since=at, until=until)
            return _claim(talk, tables.owners[owner], until)
    return None


def _claim(talk: Conversation, lease: Lease, until: dt.datetime) -> Claim:
    thread = talk.thread
    return Claim(
        owner=thread.owner,
        lease=lease.number,
        until=until,
        thread=thread.key,
        thread_id=thread.id,
        formed_to=talk.formed,
        last_seq=thread.last_seq,
        attempts=talk.attempts,
        policy={**lease.policy, **talk.policy},
    )


def _due(tables: Tables, *, early: bool) -> list[Conversation]:
    """Give threads that are due, the longest waiting first; a back-off is waited for in any case."""
    at = now()
    found = [
        (talk.due_at, talk)
        for talk in tables.threads.values()
        if talk.is_due and talk.due_at is not None and (talk.due_at <= at or (early and not talk.attempts))
    ]
    return [talk for _, talk in sorted(found, key=lambda pair: pair[0])]


def find_forming(tables: Tables, query: FindForming) -> tuple[UUID, ...]:
    """Give threads that are due, the longest waiting first."""
    return tuple(talk.thread.key for talk in _due(tables, early=query.early))[: query.limit]


def read_unformed(tables: Tables, query: ReadUnformed) -> Unformed:
    """Give what is to be formed, and what was said right before it."""
    talk = tables.by_key(query.claim.thread)
    if talk is None or talk.thread.owner != query.claim.owner:
        return Unformed(())
    waiting = [one for one in talk.in_order if one.parked is None]
    again = [one for one in waiting if one.again and one.row.seq <= query.claim.formed_to]
    new = [one for one in waiting if one.row.seq > query.claim.formed_to][: query.limit]
    chosen = [*again, *new]
    first = chosen[0].row.seq if chosen else 0
    before = [one.row.message for one in talk.in_order if one.row.seq < first][-query.before :] if query.before else []
    return Unformed(
        tuple((one.row.key, one.row.message) for one in chosen),
        tuple(before),
        frozenset(one.row.key for one in chosen if one.again),
    )


def check(tables: Tables, formed: Formed) -> Conversation:
    """Give the claim's thread.

    Raises:
        LeaseLost: the lease or the watermark is not the claim's any more, or the thread is not the owner's.
    """
    claim = formed.claim
    talk, lease = tables.by_key(claim.thread), tables.owners.get(claim.owner)
    if talk is None or talk.thread.owner != claim.owner or lease is None or not _holds(lease, claim):
        raise LeaseLost(f"another worker has taken over thread {claim.thread_id!r}")
    if talk.formed != claim.formed_to:
        raise LeaseLost(f"thread {claim.thread_id!r} has been formed meanwhile")
    return talk


def _holds(lease: Lease, claim: Claim) -> bool:
    """Tell whether a claim is the last one, and was not given back; that its time is over does no harm by itself."""
    return lease.number == claim.lease and lease.until is not None


def finish(tables: Tables, formed: Formed) -> None:
    """Move the watermark, and take the thread off the queue where nothing is left to form."""
    talk, lease = check(tables, formed), tables.owners[formed.claim.owner]
    read = [one for one in talk.in_order if talk.formed < one.row.seq <= formed.upto or one.row.key in formed.again]
    # What was replaced since the claim may be newer than what was read: it is looked at once more.
    notes = [replace(one, again=_replaced(one, lease), formed_after=seconds_since(one.row.recorded)) for one in read]
    talk = replace(talk.noted(one for one in notes if one.parked is None), formed=formed.upto, attempts=0, error=None)
    if formed.finish:
        tables.owners[formed.claim.owner] = replace(lease, until=None)
    tables.keep(talk if talk.unformed else replace(talk, due_at=None))


def _replaced(entry: Entry, lease: Lease) -> bool:
    return bool(entry.row.versions) and lease.since is not None and entry.row.recorded >= lease.since


def fail_forming(tables: Tables, change: FailForming) -> None:
    """Give a claim back, and note why it failed."""
    claim = change.claim
    record_calls(tables, claim.owner, change.calls)
    talk, lease = tables.by_key(claim.thread), tables.owners.get(claim.owner)
    if lease is None or not _holds(lease, claim):
        return
    tables.owners[claim.owner] = replace(lease, until=None)
    if talk is None or talk.thread.owner != claim.owner:
        return
    at = now()
    parked = [one for one in talk.in_order if one.row.key in change.park]
    talk = talk.noted(replace(one, again=False, parked=(change.error, at)) for one in parked)
    attempts = 0 if change.park else talk.attempts + 1
    talk = replace(talk, attempts=attempts, error=change.error if attempts else None, due_at=at + change.retry_in)
    tables.keep(talk if talk.unformed else replace(talk, due_at=None))


def list_parked(tables: Tables, query: ListParked) -> tuple[Parked, ...]:
    """Give the messages that could not be formed, newest first."""
    found = [
        Parked(talk.thread.key, talk.thread.id, one.row.id, talk.thread.owner, *one.parked)
        for talk in _seen(tables, query.scope)
        for one in talk.in_order
        if one.parked is not None
    ]
    return tuple(sorted(found, key=lambda one: one.at, reverse=True)[: query.limit])


def _seen(tables: Tables, scope: Scope | None) -> list[Conversation]:
    return [one for one in tables.threads.values() if scope is None or scope.covers(one.thread.owner)]


def retry_parked(tables: Tables, change: RetryParked) -> int:
    """Let parked messages be formed again, and end every back-off."""
    count = 0
    at = now()
    for talk in _seen(tables, change.scope):
        parked = [one for one in talk.in_order if one.parked is not None]
        count += len(parked)
        if parked or talk.attempts:
            freed = talk.noted(replace(one, again=True, parked=None) for one in parked)
            tables.keep(replace(freed, attempts=0, error=None, due_at=at))
    for name, one in list(tables.waiting.items()):
        if one.error is not None and (change.scope is None or change.scope.covers(one.item.owner)):
            tables.waiting[name] = replace(one, due_at=at)
    return count


def form_again(tables: Tables, keys: Iterable[int]) -> None:
    """Mark messages to be formed again, where they were formed, and their threads as due."""
    wanted = set(keys)
    for talk in list(tables.threads.values()):
        named = [one for one in talk.in_order if one.row.key in wanted]
        if named:
            again = talk.noted(replace(one, again=True) for one in named if one.row.seq <= talk.formed)
            tables.keep(again.due(now()))


FORMING_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {ClaimThread: claim_thread, FailForming: fail_forming, RetryParked: retry_parked}
)
FORMING_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {FindForming: find_forming, ReadUnformed: read_unformed, ListParked: list_parked}
)
