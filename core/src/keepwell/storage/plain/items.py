"""Items of key-value stores: facts that lie at a path, with times of their own."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import numpy as np

from keepwell.models import Change, ChangeKind, Fact, Owner
from keepwell.models.items import ITEM, Item, is_item, place_of
from keepwell.storage.facts import DueItem
from keepwell.storage.items import FindItems, ItemDraft, KeepItems, ListNamespaces, PutItems, ReadItems
from keepwell.storage.plain.facts import Event, Kept, Times, Version
from keepwell.storage.plain.filters import fits
from keepwell.storage.plain.graph_following import follow
from keepwell.storage.plain.settling import cascade
from keepwell.storage.plain.tables import Tables, kept, now

_NEARNESS = 0.75
"""What a vector counts beside words, where there is one."""


def put_items(tables: Tables, change: PutItems) -> tuple[ChangeKind, ...]:
    """Put items, and look at the facts that rest on a version which ends."""
    at = tables.instant()
    made = [_put(tables, change, item, at) for item in change.items]
    ended = [one for one in made if one is not None and one.before is not None]
    follow(tables, [*ended, *cascade(tables, [(one.fact, one) for one in ended])])
    return tuple("NONE" if one is None else one.kind for one in made)


def _put(tables: Tables, change: PutItems, item: ItemDraft, at: dt.datetime) -> Change | None:
    there = _standing(tables, item.owner, item.path)
    if there is None and item.value is None:
        return None
    over = there is not None and _is_over(there.fact, at)
    if there is not None and item.value is not None and not over and _says(there.fact, item):
        tables.keep_fact(_again(there, item, at))
        return None
    if there is not None:
        tables.end_fact(there, at)
    before = None if there is None else there.fact
    began = at if there is None or over else _times(there).began
    after = None if item.value is None else _begin(tables, change, item, Times(began, at, item.ttl), before)
    kind: ChangeKind = "ADD" if before is None else "DELETE" if after is None else "UPDATE"
    ident = before.id if before is not None else after.id if after is not None else uuid4()
    done = Change(uuid4(), kind, ident, item.owner, before, after, "", at, change.actor, change.batch)
    tables.changes[done.id] = Event.of(done, next(tables.numbers))
    return done


def _begin(tables: Tables, change: PutItems, item: ItemDraft, times: Times, before: Fact | None) -> Fact:
    at = times.touched
    ident, version = (uuid4(), 1) if before is None else (before.id, before.version + 1)
    fact = Fact(
        ident, version, item.text, item.owner, at, kind=ITEM, key=item.path, expires_at=_end(item, at),
        metadata=kept(dict(item.value or {})),
    )  # fmt: skip
    times = Times(item.created_at or times.began, item.updated_at or at, item.ttl)
    row = Version(next(tables.numbers), fact, item.terms, item.signals, times)
    embedded = change.space is not None and change.space == tables.active
    vectors = {(change.space or 0, n): np.array(one, np.float32) for n, one in enumerate(item.vectors) if embedded}
    tables.keep_fact(Kept(row, (), vectors))
    if item.terms and not vectors:
        tables.put_off(DueItem("embed", item.owner, str(ident)), at)
    return fact


def _again(there: Kept, item: ItemDraft, at: dt.datetime) -> Kept:
    times = replace(_times(there), touched=item.updated_at or at, ttl=item.ttl)
    said = there.saying(expires_at=_end(item, at))
    return replace(said, row=replace(said.row, times=times))


def _end(item: ItemDraft, at: dt.datetime) -> dt.datetime | None:
    if item.expires_at is not None or item.ttl is None:
        return item.expires_at
    return at + dt.timedelta(minutes=item.ttl)


def _says(fact: Fact, item: ItemDraft) -> bool:
    return (fact.text, list(fact.metadata.items())) == (item.text, list(kept(dict(item.value or {})).items()))


def _times(one: Kept) -> Times:
    at = one.fact.recorded_at
    return one.row.times or Times(at, at, None)


def _is_over(fact: Fact, at: dt.datetime) -> bool:
    return fact.expires_at is not None and fact.expires_at <= at


def _standing(tables: Tables, owner: Owner, path: str) -> Kept | None:
    return next((one for one in _all(tables) if one.fact.owner == owner and one.fact.key == path), None)


def _all(tables: Tables) -> Iterator[Kept]:
    return (one for one in tables.facts.values() if one.fact.stands and is_item(one.fact.kind, one.fact.key))


def keep_items(tables: Tables, change: KeepItems) -> int:
    """Let items live on."""
    at = now()
    found = [one for one in _all(tables) if one.row.number in change.numbers and not _is_over(one.fact, at)]
    living = [(one, ttl) for one in found if (ttl := _times(one).ttl) is not None]
    for one, ttl in living:
        tables.keep_fact(one.saying(expires_at=at + dt.timedelta(minutes=ttl)))
    return len(living)


def read_items(tables: Tables, query: ReadItems) -> tuple[Item | None, ...]:
    """Give items by their places."""
    at = now()
    found = (_standing(tables, owner, path) for owner, path in query.places)
    return tuple(None if one is None or _is_over(one.fact, at) else _view(one) for one in found)


def find_items(tables: Tables, query: FindItems) -> tuple[Item, ...]:
    """Give a page of items, the newest or the best first."""
    found = _below(tables, query.owner, query.prefix)
    found = [one for one in found if query.where is None or fits(query.where, one.row.labels)]
    found.sort(key=lambda one: (_times(one).touched, one.row.number), reverse=True)
    if query.terms is None and query.vector is None:
        return tuple(_view(one) for one in found[query.offset : query.offset + query.limit])
    worded = [one for one in found if one.row.terms]
    scored = list(zip(_scores(worded, query), worded, strict=True))
    scored.sort(key=lambda pair: -pair[0])
    return tuple(_view(one, score) for score, one in scored[query.offset : query.offset + query.limit])


def _scores(found: Sequence[Kept], query: FindItems) -> list[float]:
    terms = tuple(dict.fromkeys(query.terms or ()))
    share = 0.0 if query.vector is None else _NEARNESS if terms else 1.0
    weights = {term: _weight(sum(term in one.row.words for one in found), len(found)) for term in terms}
    total = sum(weights.values())
    return [
        share * _nearness(one, query)
        + (1 - share) * (sum(weights[term] for term in terms if term in one.row.words) / total if total else 0.0)
        for one in found
    ]


def _weight(having: int, of: int) -> float:
    return math.log(1 + (of - having + 0.5) / (having + 0.5))


def _nearness(one: Kept, query: FindItems) -> float:
    if query.vector is None:
        return 0.0
    near = [float(vector @ query.vector) for vector in one.of_space(query.space).values()]
    return max([0.0, *near])


def list_namespaces(tables: Tables, query: ListNamespaces) -> tuple[tuple[str, ...], ...]:
    """Give the namespaces of a stretch."""
    paths = sorted(one.fact.key or "" for one in _below(tables, query.owner, query.prefix))
    return tuple(dict.fromkeys(place_of(path)[0] for path in paths))


def _below(tables: Tables, owner: Owner | None, prefix: str) -> list[Kept]:
    at = now()
    return [
        one
        for one in _all(tables)
        if (one.fact.key or "").startswith(prefix) and owner in (None, one.fact.owner) and not _is_over(one.fact, at)
    ]


def _view(one: Kept, score: float | None = None) -> Item:
    namespace, name = place_of(one.fact.key or "")
    times, fact = _times(one), one.row.view
    return Item(
        namespace, name, fact.metadata, fact.owner, times.began, times.touched, fact.expires_at, times.ttl,
        one.row.number, score,
    )  # fmt: skip


ITEM_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {PutItems: put_items, KeepItems: keep_items}
)
ITEM_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {ReadItems: read_items, FindItems: find_items, ListNamespaces: list_namespaces}
)
