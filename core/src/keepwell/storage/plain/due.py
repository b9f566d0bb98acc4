"""Work that is not of a thread, what model calls cost, and the policies of owners and threads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import numpy as np

from keepwell.models import Owner
from keepwell.storage.facts import (
    DueFact,
    DueItem,
    FactsWithoutVectors,
    FindOwners,
    FinishDue,
    FormationStatus,
    ModelCall,
    PutDue,
    ReadFormation,
    ReadSpent,
    SetPolicy,
    Spent,
    TakeDue,
)
from keepwell.storage.plain.tables import Call, Entry, Lease, Tables, Waiting, kept, now


def put_due(tables: Tables, change: PutDue) -> None:
    """Note work."""
    for item in change.items:
        tables.put_off(item, change.at or now())


def take_due(tables: Tables, change: TakeDue) -> tuple[DueItem, ...]:
    """Take items that are due, the longest waiting first, and hide them for a time."""
    at = now()
    found = [one for one in tables.waiting.values() if one.item.kind in change.kinds and one.due_at <= at]
    found.sort(key=lambda one: one.due_at)
    taken = [replace(one.item, attempts=one.item.attempts + 1) for one in found[: change.limit]]
    for item in taken:
        name = (item.kind, item.owner, item.item)
        tables.waiting[name] = replace(tables.waiting[name], item=item, due_at=at + change.lease)
    return tuple(taken)


def finish_due(tables: Tables, change: FinishDue) -> None:
    """Take items off, let them come round again, or note why they failed."""
    for item in change.items:
        name = (item.kind, item.owner, item.item)
        there = tables.waiting.get(name)
        if there is None:
            continue
        if change.error is None and change.again is None:
            del tables.waiting[name]
            continue
        due_at = there.due_at if change.again is None else now() + change.again
        kept_item = there.item if change.error is not None else replace(there.item, attempts=0)
        tables.waiting[name] = Waiting(kept_item, due_at, change.error)
    if change.items:
        record_calls(tables, change.items[0].owner, change.calls)


def record_calls(tables: Tables, owner: Owner, calls: Iterable[ModelCall]) -> None:
    """Keep what model calls cost."""
    at = now()
    tables.calls = (*tables.calls, *(Call(owner, at, call) for call in calls))


def set_policy(tables: Tables, change: SetPolicy) -> Mapping[str, Any]:
    """Merge a policy of an owner or a thread, and give the whole."""
    if change.thread is not None:
        talk = tables.find(change.owner, change.thread)
        merged = _merged(talk.policy, change.policy)
        tables.keep(replace(talk, policy=merged))
    else:
        lease = tables.owners.get(change.owner, Lease())
        merged = _merged(lease.policy, change.policy)
        tables.owners[change.owner] = replace(lease, policy=merged)
    return dict(kept(merged))


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in kept({**old, **new}).items() if value is not None}


def facts_without_vectors(tables: Tables, query: FactsWithoutVectors) -> tuple[DueFact, ...]:
    """Give the standing facts of these items that have no vectors of the space."""
    standing = tables.standing()
    named = (standing.get(UUID(item.item)) for item in query.items if item.kind == "embed")
    return tuple(DueFact(one.row.key, one.fact.text, "") for one in named if one is not None and one.lacks(query.space))


def find_owners(tables: Tables, query: FindOwners) -> tuple[Owner, ...]:
    """Give owners with threads, in order."""
    owners = sorted({owner for owner, _ in tables.threads})
    return tuple(one for one in owners if query.after is None or one > query.after)[: query.limit]


def read_spent(tables: Tables, query: ReadSpent) -> tuple[Spent, ...]:
    """Add up model calls by owner, the dearest first."""
    calls: dict[Owner, list[ModelCall]] = {}
    for one in tables.calls:
        if one.at >= query.since and query.owner in (None, one.owner):
            calls.setdefault(one.owner, []).append(one.call)
    spent = [_spent(owner, made) for owner, made in calls.items()]
    spent.sort(key=lambda one: one.input_tokens + one.output_tokens, reverse=True)
    return tuple(spent[: query.limit])


def _spent(owner: Owner, calls: list[ModelCall]) -> Spent:
    tokens = sum(one.input_tokens for one in calls), sum(one.output_tokens for one in calls)
    return Spent(owner, len(calls), *tokens, sum(one.seconds for one in calls))


def read_formation(tables: Tables, _: ReadFormation) -> FormationStatus:
    """Count what is due to be formed, and give how long it took."""
    talks = [one for one in tables.threads.values() if one.is_due]
    waiting = list(tables.waiting.values())
    kinds = [one.item.kind for one in waiting]
    times = [*(one.due_at for one in talks if one.due_at is not None), *(one.due_at for one in waiting)]
    return FormationStatus(
        facts=len(tables.standing()),
        changes=len(tables.changes),
        due_threads=len(talks),
        oldest_due=min(times, default=None),
        due_items={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        failing=sum(error is not None for error in (*(one.error for one in talks), *(one.error for one in waiting))),
        parked=sum(one.parked is not None for talk in tables.threads.values() for one in talk.in_order),
        rejections=len(tables.refusals),
        recall_lag=lag(one.found_after for one in _newest(tables)),
        formed_lag=lag(one.formed_after for one in _newest(tables)),
    )


def _newest(tables: Tables) -> list[Entry]:
    entries = [entry for talk in tables.threads.values() for entry in talk.in_order]
    return sorted(entries, key=lambda one: one.row.key)[-1000:]


def lag(given: Iterable[float | None]) -> tuple[float, float] | None:
    """Give the median and the 95th percentile of the seconds that are known."""
    seconds = [one for one in given if one is not None]
    return (float(np.median(seconds)), float(np.percentile(seconds, 95))) if seconds else None


def seconds_since(at: dt.datetime) -> float:
    """Give how long ago an instant was."""
    return max(0.0, (now() - at).total_seconds())


DUE_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {PutDue: put_due, TakeDue: take_due, FinishDue: finish_due, SetPolicy: set_policy}
)
DUE_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {
        FactsWithoutVectors: facts_without_vectors,
        FindOwners: find_owners,
        ReadSpent: read_spent,
        ReadFormation: read_formation,
    }
)
