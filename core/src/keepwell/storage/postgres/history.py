"""Plans for history: reading changes, keeping those of an export, and what was rejected."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from keepwell.errors import InvalidQuery
from keepwell.formation.settle import mark
from keepwell.models import Change, Changes, Fact, Owner, Rejection, Scope
from keepwell.models.codec import dumps, loads
from keepwell.storage import facts as seam
from keepwell.storage.postgres import nearest
from keepwell.storage.postgres.facts import by_version, fact_of, row_of, source_of, source_rows
from keepwell.storage.postgres.runner import Plan, Rows, Step
from keepwell.storage.postgres.walls import Walls

_BEGINNING = dt.datetime(1, 1, 2, tzinfo=dt.UTC)
_END = dt.datetime(9999, 12, 30, tzinfo=dt.UTC)
BATCH = 1000
"""How many rows one statement carries where a whole history is written."""


def change_row(change: Change, n: int) -> dict[str, Any]:
    """Give the JSON object that ``write_changes`` reads."""
    sources = [[s.message, s.start, s.end, None if s.fact is None else str(s.fact), s.version] for s in change.sources]
    return {
        "n": n,
        **change.owner._asdict(),
        "id": str(change.id),
        "kind": change.kind,
        "fact": str(change.fact),
        "before": change.before and change.before.version,
        "after": change.after and change.after.version,
        "reason": dumps(change.reason),
        "actor": change.actor,
        "batch": str(change.batch),
        "cause": None if change.cause is None else str(change.cause),
        "sources": json.dumps(sources),
        "at": change.at.isoformat(),
    }


def mention_rows(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Give the source rows of decisions that made no version: what they name must find them when it is forgotten."""
    made = (change for change in changes if change.kind in ("NONE", "DELETE"))
    return [row for change in made for row in source_rows(change.id, 0, change.sources)]


def reading(walls: Walls, query: seam.ReadHistory) -> Plan[Changes]:
    """Give one page of changes, and the mark of the next."""
    after = _read_mark(query.after, oldest_first=query.oldest_first)
    at, number = after
    span = {"actor": query.actor, "since": query.since, "until": query.until}
    narrow = {
        "fact": query.fact,
        "batch": query.batch,
        "cause": query.cause,
        "ids": None if query.ids is None else list(query.ids),
    }
    if all(given is None for given in narrow.values()):
        name = "history_oldest" if query.oldest_first else "history_newest"
        rows = yield walls.scoped(name, query.scope, at=at, number=number, limit=query.limit + 1, **span)
    else:
        rows = yield walls.scoped("history_of", query.scope, **narrow, **span)
        rows = [row for row in rows if (_place(row) > after if query.oldest_first else _place(row) < after)]
        rows = (rows if query.oldest_first else rows[::-1])[: query.limit + 1]
    changes = yield from _changes(walls, query.scope, rows[: query.limit])
    return Changes(changes, _mark(rows[query.limit - 1]) if len(rows) > query.limit else None)


def _changes(walls: Walls, scope: Scope, rows: Rows) -> Plan[tuple[Change, ...]]:
    named = [(UUID(str(row[3])), version) for row in rows for version in row[7:9] if version is not None]
    found = yield from by_version(walls, scope, named)
    facts = {(fact.id, fact.version): fact for _, fact in found}
    return tuple(_change_of(row, facts) for row in rows)


def _change_of(row: Sequence[Any], facts: Mapping[tuple[UUID, int], Fact]) -> Change:
    _, ident, kind, fact, user, agent, run, before, after, reason, actor, batch, cause, sources, at = row
    about = UUID(str(fact))
    return Change(
        id=UUID(str(ident)),
        kind=kind,
        fact=about,
        owner=Owner(user, agent, run),
        before=facts.get((about, before)),
        after=facts.get((about, after)),
        reason=loads(reason),
        at=at.astimezone(dt.UTC),
        actor=actor,
        batch=UUID(str(batch)),
        cause=None if cause is None else UUID(str(cause)),
        sources=tuple(map(source_of, json.loads(sources))),
    )


def rejections(walls: Walls, query: seam.ListRejections) -> Plan[tuple[Rejection, ...]]:
    """Give what views of the scope have rejected."""
    rows = yield walls.scoped("list_rejections", query.scope, across=query.scope.across_users)
    return tuple(
        Rejection(
            ident, user or None, agent or None, run or None, at.astimezone(dt.UTC), why(said, forgotten=forgotten)
        )
        for ident, user, agent, run, at, forgotten, said in rows
    )


def why(said: str | None, *, forgotten: bool) -> str:
    """Give the reason of a rejection: that of its change, as long as that is known."""
    if forgotten:
        return "forgotten"
    return "" if said is None else str(loads(said))


def lift(walls: Walls, change: seam.LiftRejections) -> Plan[int]:
    """Lift rejections."""
    ids = None if change.ids is None else list(change.ids)
    ((count,),) = yield walls.scoped("lift_rejections", change.scope, across=change.scope.across_users, ids=ids)
    return int(count)


def put(walls: Walls, change: seam.PutHistory) -> Plan[dict[str, int]]:
    """Keep an exported history."""
    yield walls.step("hold_owner", change.owner)
    counts = dict.fromkeys(("facts", "fact_versions", "sources", "changes", "rejected", "held"), 0)
    rejected = yield from _rejected(walls, change)
    known = yield from _known(walls, change)
    held = yield from _held(walls, change, known)
    held |= {ident for ident, (owner, _) in known.items() if owner != change.owner}
    counts["rejected"], counts["held"] = len(rejected), len(held - rejected)
    out = rejected | held
    yield from _put_facts(walls, change, out, known, counts)
    yield from _put_changes(walls, change, out, counts)
    return counts


_Known = dict[UUID, tuple[Owner, dict[int, tuple[int, bool, dt.datetime]]]]
"""Of facts that are here: the owner, and by version its key, whether it stands and when it was recorded."""


def _rejected(walls: Walls, change: seam.PutHistory) -> Plan[set[UUID]]:
    wanted = sorted({mark for marks in change.hashes.values() for mark in marks})
    ((_, found),) = yield walls.step("rejected", change.owner, hashes=wanted)
    marks = set(map(bytes, found))
    return {ident for ident, given in change.hashes.items() if not marks.isdisjoint(given)}


def _known(walls: Walls, change: seam.PutHistory) -> Plan[_Known]:
    rows = yield walls.step("known_versions", ids=list({fact.id for fact in change.facts}))
    known: _Known = {}
    for ident, version, key, recorded, retired, *owner in rows:
        _, versions = known.setdefault(UUID(str(ident)), (Owner(*owner), {}))
        versions[version] = (key, retired is None, recorded)
    return known


def _held(walls: Walls, change: seam.PutHistory, known: _Known) -> Plan[set[UUID]]:
    """Give the facts whose key or statement another fact holds here, or one that comes before them in the import."""
    coming = [fact for fact in change.facts if fact.stands]
    rows = yield walls.step(
        "standing",
        change.owner,
        ids=[],
        keys=[fact.key for fact in coming if fact.key],
        fingerprints=[_said(fact) for fact in coming],
    )
    names: dict[object, UUID] = {}
    for row in rows:
        there = fact_of(row)
        names[there.key] = names[_said(there)] = there.id
    held: set[UUID] = set()
    for fact in coming:
        mine = [name for name in (fact.key, _said(fact)) if name is not None]
        if max(known.get(fact.id, (change.owner, {}))[1], default=0) > fact.version:
            continue
        if any(names.get(name, fact.id) != fact.id for name in mine):
            held.add(fact.id)
        else:
            names.update(dict.fromkeys(mine, fact.id))
    return held


def _said(fact: Fact) -> bytes:
    return mark(fact.text, fact.kind, fact.key)


def _put_facts(
    walls: Walls, change: seam.PutHistory, out: set[UUID], known: _Known, counts: dict[str, int]
) -> Plan[None]:
    rows: list[dict[str, Any]] = []
    sources: list[dict[str, Any]] = []
    ends: dict[int, dt.datetime] = {}
    for fact, terms, signals, rests in zip(change.facts, change.terms, change.signals, change.sources, strict=True):
        _, here = known.get(fact.id, (change.owner, {}))
        if fact.id in out or fact.version in here:
            continue
        later = [version for version in here if version > fact.version]
        if not later:
            ends.update({key: fact.recorded_at for key, stands, _ in here.values() if stands})
        elif fact.stands:
            fact = replace(fact, retired_at=here[min(later)][2])  # noqa: PLW2901 - the same, as it can be kept here
        rows.append(row_of(fact, len(rows), terms, signals))
        sources += source_rows(fact.id, fact.version, rests)
    counts["facts"] = len({row["id"] for row in rows} - {str(ident) for ident in known})
    if ends:
        yield walls.step("end_facts", keys=list(ends), ends=list(ends.values()))
    for start in range(0, len(rows), BATCH):
        ((written, _),) = yield write_facts(walls, change.owner, rows[start : start + BATCH], [])
        counts["fact_versions"] += written
    there = yield from _there(walls, sources)
    for start in range(0, len(there), BATCH):
        ((_, written),) = yield write_facts(walls, change.owner, [], there[start : start + BATCH])
        counts["sources"] += written


def write_facts(
    walls: Walls,
    owner: Owner,
    rows: Sequence[Mapping[str, Any]],
    sources: Sequence[Mapping[str, Any]],
    vectors: Mapping[str, Any] | None = None,
) -> Step:
    """Give the statement that keeps versions and sources."""
    none = {"vectors": [], "embedded": [], "chunks": [], "space": -1}
    given = {"facts": json.dumps(rows), "sources": json.dumps(sources), **(vectors or none), **nearest.noting()}
    return walls.step("write_facts", owner, **given)


def _there(walls: Walls, sources: list[dict[str, Any]]) -> Plan[list[dict[str, Any]]]:
    """Give the sources that are in this store, and keep them there."""
    messages = {row["message"] for row in sources if row["message"] is not None}
    versions = {(row["source_fact"], row["source_version"]) for row in sources if row["source_fact"] is not None}
    found: set[object] = set()
    if messages:
        found |= {key for (key,) in (yield walls.step("hold_messages", messages=list(messages)))}
    if versions:
        ids, numbers = [UUID(ident) for ident, _ in versions], [version for _, version in versions]
        rows = yield walls.step("hold_versions", facts=ids, versions=numbers)
        found |= {(str(ident), version) for ident, version in rows}
    return [row for row in sources if {row["message"], (row["source_fact"], row["source_version"])} & found]


def _put_changes(walls: Walls, change: seam.PutHistory, out: set[UUID], counts: dict[str, int]) -> Plan[None]:
    coming = [replace(given, owner=change.owner) for given in change.changes if given.fact not in out]
    known = yield walls.step("known_changes", ids=[given.id for given in coming])
    here = {UUID(str(ident)) for (ident,) in known}
    fresh = [given for given in coming if given.id not in here]
    for start in range(0, len(fresh), BATCH):
        batch = fresh[start : start + BATCH]
        rows = [change_row(given, n) for n, given in enumerate(batch)]
        ((written,),) = yield walls.step("write_changes", changes=json.dumps(rows))
        counts["changes"] += written
    mentions = yield from _there(walls, mention_rows(fresh))
    if mentions:
        yield write_facts(walls, change.owner, [], mentions)


def _place(row: Sequence[Any]) -> tuple[dt.datetime, int]:
    return row[14].astimezone(dt.UTC), row[0]


def _mark(row: Sequence[Any]) -> str:
    at, number = _place(row)
    return base64.urlsafe_b64encode(f"change {at.isoformat()} {number}".encode()).decode()


def _read_mark(mark: str | None, *, oldest_first: bool) -> tuple[dt.datetime, int]:
    if mark is None:
        return (_BEGINNING if oldest_first else _END), 0
    try:
        word, at, number = base64.urlsafe_b64decode(mark).decode().split(" ")
        if word == "change":
            return dt.datetime.fromisoformat(at), int(number)
    except ValueError:
        pass
    raise InvalidQuery("after= takes the `next` of the page before")
