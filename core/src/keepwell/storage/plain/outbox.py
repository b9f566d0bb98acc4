"""What a projection of the graph is told: what changed, in its present state, and all that there is."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

from keepwell.errors import InvalidQuery
from keepwell.formation.graph_edits import fold
from keepwell.models import Owner
from keepwell.models.codec import encode
from keepwell.models.graph import Entity, Mention, Relation
from keepwell.storage.graph import (
    PROJECTED_KINDS,
    CountProjected,
    Outbox,
    Projected,
    ProjectedKind,
    Projection,
    PruneOutbox,
    ReadOutbox,
    ReadProjection,
    ScanProjected,
    SetProjection,
    Tally,
)
from keepwell.storage.plain.graph_embeddings import embedding_of
from keepwell.storage.plain.graph_tables import Noted, Target
from keepwell.storage.plain.tables import Conversation, Entry, Tables, now

_States = Mapping[tuple[ProjectedKind, str], Projected]


def note(before: Tables, after: Tables) -> None:
    """Note what differs, where there is a projection; who publishes tables calls this."""
    if after.graph.target is None or before.graph.target != after.graph.target:
        return
    old, new = states(before), states(after)
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    rows = tuple(Noted(next(after.numbers), kind, ident, now()) for kind, ident in changed)
    after.graph.noted = (*after.graph.noted, *rows)


def set_projection(tables: Tables, change: SetProjection) -> None:
    """Begin or end to note what changes."""
    graph = tables.graph
    if change.target != (None if graph.target is None else graph.target.name):
        graph.noted = ()
        graph.target = None if change.target is None else Target(change.target, str(uuid4()), now())


def read_projection(tables: Tables, _: ReadProjection) -> Projection | None:
    """Give the tenant's projection."""
    target, noted = tables.graph.target, tables.graph.noted
    if target is None:
        return None
    oldest = min((one.at for one in noted), default=None)
    return Projection(*target, tables.revision, len(noted), oldest)


def read_outbox(tables: Tables, query: ReadOutbox) -> Outbox:
    """Give the next of what changed."""
    after = _place(query.after)
    rows = [one for one in tables.graph.noted if one.number > after][: query.limit]
    there = states(tables)
    names: dict[Any, None] = dict.fromkeys((one.kind, one.id) for one in rows)
    found = tuple(there.get(name, Projected(*name)) for name in names)
    position = str(rows[-1].number) if rows else None
    return Outbox(found, position, tables.revision, _identity(tables), more=len(rows) == query.limit)


def prune_outbox(tables: Tables, change: PruneOutbox) -> int:
    """Drop what was noted up to a position."""
    upto = _place(change.upto)
    left = tuple(one for one in tables.graph.noted if one.number > upto)
    count = len(tables.graph.noted) - len(left)
    tables.graph.noted = left
    return count


def scan(tables: Tables, query: ScanProjected) -> Outbox:
    """Give a page of all that there is of a kind, or those of these ids."""
    there = {ident: one for (kind, ident), one in states(tables).items() if kind == query.kind}
    if query.ids is not None:
        found = tuple(there.get(ident, Projected(query.kind, ident)) for ident in dict.fromkeys(query.ids))
        return Outbox(found, None, tables.revision, _identity(tables))

    def place(ident: str) -> tuple[int, str]:
        return (int(ident), "") if ident.isdigit() else (0, ident)

    order = sorted((ident for ident in there if query.after is None or place(ident) > place(query.after)), key=place)
    page = tuple(there[ident] for ident in order[: query.limit])
    last = page[-1].id if page else None
    return Outbox(page, last, tables.revision, _identity(tables), more=len(page) == query.limit)


def tally(tables: Tables, _: CountProjected) -> dict[ProjectedKind, Tally]:
    """Count all that there is, kind by kind."""
    there = states(tables).values()
    return {
        kind: Tally(sum(one.kind == kind for one in there), sum(one.mark for one in there if one.kind == kind))
        for kind in PROJECTED_KINDS
    }


def _place(position: str | None) -> int:
    if position is None:
        return 0
    if not position.isdigit():
        raise InvalidQuery("a position of the outbox is what an earlier reading gave")
    return int(position)


def _identity(tables: Tables) -> str:
    return "" if tables.graph.target is None else tables.graph.target.identity


def states(tables: Tables) -> _States:
    """Give the state of everything that is projected."""
    return {(one.kind, one.id): one for one in _all(tables)}


def _all(tables: Tables) -> Iterable[Projected]:
    graph = tables.graph
    alive = {one.id for one in graph.entities.values() if one.is_itself}
    for one in graph.entities.values():
        if one.retired_at is None:
            yield _projected("entity", str(one.id), one.owner, _entity(tables, one))
    for line in graph.relations.values():
        if line.stands and {graph.now(line.subject), graph.now(line.object)} <= alive:
            yield _projected("relation", str(line.id), line.owner, _relation(tables, line))
    for number, (owner, said) in graph.mentions.items():
        if graph.now(said.entity) in alive:
            yield _projected("mention", str(number), owner, _mention(tables, said))
    for fact in tables.standing().values():
        yield _projected("fact", str(fact.fact.id), fact.fact.owner, _fact(fact))
    spoken = {said.message for _, said in graph.mentions.values()}
    spoken |= {source.message for kept in tables.facts.values() for source in kept.sources}
    for key, (talk, entry) in tables.messages().items():
        if key in spoken:
            yield _projected("message", str(key), talk.thread.owner, _message(talk, entry))


def _projected(kind: ProjectedKind, ident: str, owner: Owner, said: Mapping[str, Any]) -> Projected:
    properties = {**owner._asdict(), **said}
    text = json.dumps(encode(properties), sort_keys=True)
    return Projected(kind, ident, int(hashlib.sha256(text.encode()).hexdigest()[:8], 16), properties)


def _entity(tables: Tables, one: Entity) -> dict[str, Any]:
    aliases = sorted(tables.graph.view(one.id).aliases, key=lambda name: (fold(name), name))
    times = [said.at for said in tables.graph.of(one.id) if said.at is not None]
    return {
        "name": one.name, "type": one.type, "version": one.version, "aliases": aliases,
        "merged_into": None if one.merged_into is None else str(one.merged_into),
        "first_seen": _micros(min(times, default=None)), "last_seen": _micros(max(times, default=None)),
        "embedding": None if (made := embedding_of(tables, one.id)) is None else made.tolist(),
    }  # fmt: skip


def _relation(tables: Tables, one: Relation) -> dict[str, Any]:
    return {
        "subject": str(tables.graph.now(one.subject)), "predicate": one.predicate,
        "object": str(tables.graph.now(one.object)), "version": one.version, "valid_from": _micros(one.valid_from),
        "valid_to": _micros(one.valid_to), "recorded_at": _micros(one.recorded_at),
    }  # fmt: skip


def _mention(tables: Tables, one: Mention) -> dict[str, Any]:
    fact = None if one.fact is None else str(one.fact)
    return {
        "entity": str(tables.graph.now(one.entity)), "message": one.message, "fact": fact, "start": one.start,
        "end": one.end, "surface": one.surface,
    }  # fmt: skip


def _fact(kept: Any) -> dict[str, Any]:  # noqa: ANN401 - a kept version
    fact = kept.fact
    return {
        "text": fact.text, "subject": fact.subject, "kind": fact.kind, "key": fact.key, "version": fact.version,
        "valid_from": _micros(fact.valid_from), "valid_to": _micros(fact.valid_to),
        "recorded_at": _micros(fact.recorded_at),
        "messages": sorted({one.message for one in kept.sources if one.message is not None}),
        "facts": sorted({str(one.fact) for one in kept.sources if one.fact is not None}),
    }  # fmt: skip


def _message(talk: Conversation, entry: Entry) -> dict[str, Any]:
    row = entry.row
    return {
        "thread": str(talk.thread.key), "thread_id": talk.thread.id, "seq": row.seq, "message_id": row.id,
        "role": row.message.role, "speaker": row.actor, "created_at": _micros(row.created),
    }  # fmt: skip


def _micros(at: dt.datetime | None) -> int | None:
    return None if at is None else (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


OUTBOX_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {SetProjection: set_projection, PruneOutbox: prune_outbox}
)
OUTBOX_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {ReadProjection: read_projection, ReadOutbox: read_outbox, ScanProjected: scan, CountProjected: tally}
)
