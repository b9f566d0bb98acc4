"""History that comes from elsewhere, and rejections that are lifted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from keepwell.models import Source
from keepwell.storage.facts import DueItem, LiftRejections, PutHistory
from keepwell.storage.plain.facts import Event, Kept, Version, in_order
from keepwell.storage.plain.settling import missing, rejected
from keepwell.storage.plain.tables import Tables, now


def put_history(tables: Tables, change: PutHistory) -> dict[str, int]:
    """Keep what is new of an export, and count it."""
    counts = Counter(dict.fromkeys(("facts", "fact_versions", "sources", "changes", "rejected", "held"), 0))
    known = {ident for ident, _ in tables.facts}
    by_fact: dict[UUID, list[Kept]] = {}
    for one in _versions(tables, change):
        by_fact.setdefault(one.fact.id, []).append(one)
    left_out: set[UUID] = set()
    for ident, versions in by_fact.items():
        if why := _why_not(tables, change, versions):
            counts[why] += 1
            left_out.add(ident)
            continue
        new = [one for one in versions if (ident, one.fact.version) not in tables.facts]
        counts["facts"] += ident not in known
        counts["fact_versions"] += len(new)
        counts["sources"] += sum(len(one.sources) for one in new)
        _keep(tables, ident, new)
    counts["changes"] = _keep_changes(tables, change, left_out)
    return dict(counts)


def _versions(tables: Tables, change: PutHistory) -> list[Kept]:
    """Give the versions as they would be kept: the owner's own, resting on what is here or comes with them."""
    coming = {(fact.id, fact.version) for fact in change.facts}

    def is_here(source: Source) -> bool:
        return (source.fact, source.version) in coming or missing(tables, (source,)) is None

    rows = zip(change.facts, change.terms, change.signals, change.sources, strict=True)
    return [
        Kept(
            Version(next(tables.numbers), replace(fact, owner=change.owner), terms, signals),
            in_order(filter(is_here, sources)),
        )
        for fact, terms, signals, sources in sorted(rows, key=lambda row: (row[0].id, row[0].version))
    ]


def _why_not(tables: Tables, change: PutHistory, versions: list[Kept]) -> str | None:
    """Tell why a fact is not kept: a rejection, or another fact that holds its key or statement."""
    ident = versions[0].fact.id
    if not rejected(tables, change.owner).isdisjoint(change.hashes.get(ident, ())):
        return "rejected"
    if any(ident == other and kept.fact.owner != change.owner for (other, _), kept in tables.facts.items()):
        return "held"
    last = versions[-1]
    others = [one for one in tables.standing().values() if one.fact.owner == change.owner and one.fact.id != ident]
    clash = any(_same_key(one, last) or one.row.mark == last.row.mark for one in others)
    return "held" if clash and last.fact.stands else None


def _same_key(one: Kept, other: Kept) -> bool:
    return one.fact.key is not None and one.fact.key == other.fact.key


def _keep(tables: Tables, ident: UUID, new: list[Kept]) -> None:
    for one in new:
        tables.keep_fact(one)
    versions = sorted((kept for (of, _), kept in tables.facts.items() if of == ident), key=lambda one: one.fact.version)
    for older, later in pairwise(versions):
        if older.fact.stands:
            tables.end_fact(older, later.fact.recorded_at)
    last = versions[-1]
    if last.fact.stands and any(one is last for one in new):
        tables.put_off(DueItem("embed", last.fact.owner, str(ident)), now())
        if last.fact.reopened:
            tables.put_off(DueItem("reform", last.fact.owner, str(ident)), now())


def _keep_changes(tables: Tables, change: PutHistory, left_out: set[UUID]) -> int:
    new = [one for one in change.changes if one.id not in tables.changes and one.fact not in left_out]
    for one in new:
        tables.changes[one.id] = Event.of(replace(one, owner=change.owner), next(tables.numbers))
    return len(new)


def lift_rejections(tables: Tables, change: LiftRejections) -> int:
    """Drop rejections of the scope."""
    gone = [
        number
        for number, one in tables.refusals.items()
        if one.within(change.scope) and (change.ids is None or number in change.ids)
    ]
    for number in gone:
        del tables.refusals[number]
    return len(gone)


HISTORY_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {PutHistory: put_history, LiftRejections: lift_rejections}
)
