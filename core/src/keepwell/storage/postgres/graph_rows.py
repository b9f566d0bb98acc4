"""The graph as rows: what is written, and the values that rows give back."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from keepwell.formation.graph_edits import fold, grams
from keepwell.models import Owner, Source
from keepwell.models.codec import dumps, loads
from keepwell.models.graph import Entity, GraphChange, Mention, Relation
from keepwell.storage.postgres.rows import storable

Names = tuple[tuple[str, bool, str], ...]
"""An entity's names: as shown, whether it was given, as compared."""


def names_of(row: Sequence[Any]) -> Names:
    """Give the names in a row of ``@entity`` columns."""
    return tuple((shown, given, folded) for shown, given, folded in json.loads(row[12] or "[]"))


def entity_of(row: Sequence[Any]) -> Entity:
    """Give the entity of a row of ``@entity`` columns, with its own names alone."""
    ident, version, name, user, agent, run, kind, metadata, merged, retired, first, last = row[:12]
    names = names_of(row)
    return Entity(
        id=_uuid(ident),
        name=name,
        owner=Owner(user, agent, run),
        type=kind,
        version=version,
        given=tuple(shown for shown, given, _ in names if given),
        aliases=tuple(shown for shown, _, folded in names if folded != fold(name)),
        first_seen=_utc(first),
        last_seen=_utc(last),
        merged_into=_uuid_or_none(merged),
        retired_at=_utc(retired),
        metadata=loads(metadata),
    )


def together(entities: Iterable[Entity]) -> dict[UUID, Entity]:
    """Give entities by id, each with the names and times of those that are taken to be it."""
    own = {one.id: one for one in entities}
    every = dict(own)
    for one in own.values():
        if (whole := every.get(one.now)) is not None and whole.id != one.id:
            every[whole.id] = _with(whole, one)
    return every


def _with(whole: Entity, part: Entity) -> Entity:
    names = dict.fromkeys((*whole.aliases, part.name, *part.aliases))
    known = fold(whole.name)
    firsts = [one.first_seen for one in (whole, part) if one.first_seen is not None]
    lasts = [one.last_seen for one in (whole, part) if one.last_seen is not None]
    return replace(
        whole,
        aliases=tuple(name for name in names if fold(name) != known),
        first_seen=min(firsts, default=None),
        last_seen=max(lasts, default=None),
    )


def entity_row(entity: Entity) -> dict[str, Any]:
    """Give the JSON object that ``write_entities`` reads."""
    return {
        "id": str(entity.id),
        "version": entity.version,
        "name": storable(entity.name),
        "folded": storable(fold(entity.name)),
        "type": entity.type,
        "metadata": dumps(dict(entity.metadata)),
        "merged_into": None if entity.merged_into is None else str(entity.merged_into),
        "retired_at": _written(entity.retired_at),
    }


def name_row(entity: UUID, name: str, *, given: bool) -> dict[str, Any]:
    """Give the JSON object that ``write_names`` reads."""
    folded = storable(fold(name))
    runs = sorted(grams(folded))
    return {
        "entity": str(entity),
        "folded": folded,
        "shown": storable(name),
        "given": given,
        "grams": "\n".join(runs),
        "size": len(runs),
    }


def relation_of(row: Sequence[Any]) -> Relation:
    """Give the relation of a row of ``@relation`` columns."""
    ident, version, subject, predicate, other, user, agent, run, recorded, since, until, retired, given, grounds = row
    return Relation(
        id=_uuid(ident),
        version=version,
        subject=_uuid(subject),
        predicate=predicate,
        object=_uuid(other),
        owner=Owner(user, agent, run),
        recorded_at=recorded.astimezone(dt.UTC),
        valid_from=_utc(since),
        valid_to=_utc(until),
        retired_at=_utc(retired),
        given=given,
        sources=sources_of(grounds),
    )


def relation_row(relation: Relation) -> dict[str, Any]:
    """Give the JSON object that ``write_relations`` reads."""
    return {
        "id": str(relation.id),
        "version": relation.version,
        "subject": str(relation.subject),
        "predicate": storable(relation.predicate),
        "object": str(relation.object),
        "valid_from": _written(relation.valid_from),
        "valid_to": _written(relation.valid_to),
        "recorded_at": _written(relation.recorded_at),
        "retired_at": _written(relation.retired_at),
        "given": relation.given,
    }


def sources_of(raw: str | None) -> tuple[Source, ...]:
    """Give the sources of a column of grounds."""
    return tuple(
        Source(message, start, end, _uuid_or_none(fact), version)
        for message, start, end, fact, version in json.loads(raw or "[]")
    )


def ground_rows(item: UUID, version: int, sources: Iterable[Source]) -> list[dict[str, Any]]:
    """Give the JSON objects that ``write_grounds`` reads."""
    return [
        {
            "item": str(item),
            "version": version,
            "message": source.message,
            "span_start": source.start,
            "span_end": source.end,
            "fact": None if source.fact is None else str(source.fact),
            "fact_version": source.version,
        }
        for source in dict.fromkeys(sources)
    ]


def mention_of(row: Sequence[Any]) -> Mention:
    """Give the mention of a row: number, entity, message, fact and its version, span, surface, time."""
    number, entity, message, fact, version, start, end, surface, at = row
    return Mention(_uuid(entity), surface, start, end, message, _uuid_or_none(fact), version, number, _utc(at))


def mention_row(mention: Mention, n: int, at: dt.datetime) -> dict[str, Any]:
    """Give the JSON object that ``write_mentions`` reads."""
    return {
        "n": n,
        "entity": str(mention.entity),
        "message": mention.message,
        "fact": None if mention.fact is None else str(mention.fact),
        "fact_version": mention.version,
        "span_start": mention.start,
        "span_end": mention.end,
        "surface": storable(mention.surface),
        "folded": storable(fold(mention.surface)),
        "at": at.isoformat(),
    }


def change_row(change: GraphChange, n: int, told: Iterable[str]) -> dict[str, Any]:
    """Give the JSON object that ``write_graph_changes`` reads; ``told`` are the folded names that it tells."""
    before, after = change.before, change.after
    thing = after or before
    ends = (thing.subject, thing.object) if isinstance(thing, Relation) else (change.entity, change.other)
    return {
        "n": n,
        "id": str(change.id),
        "kind": change.kind,
        "relation": None if change.relation is None else str(change.relation),
        "one": str(ends[0]),
        "two": None if ends[1] is None else str(ends[1]),
        "before": before.version if isinstance(before, Relation) else None,
        "after": after.version if isinstance(after, Relation) else None,
        "entity_before": _state(before),
        "entity_after": _state(after),
        "moved": json.dumps([[number, str(entity)] for number, entity in change.moved]),
        "told": storable("\n".join(sorted(set(told)))),
        "reason": dumps(change.reason),
        "actor": change.actor,
        "batch": str(change.batch),
        "cause": None if change.cause is None else str(change.cause),
        "at": change.at.isoformat(),
    }


def change_of(row: Sequence[Any], relations: Mapping[tuple[UUID, int], Relation]) -> GraphChange:
    """Give the change of a row of ``graph_history``; versions of relations are looked up."""
    _, ident, kind, user, agent, run, relation, one, two, before, after, was, became, moved, reason, actor = row[:16]
    batch, cause, at, grounds = row[16:]
    owner, about = Owner(user, agent, run), _uuid_or_none(relation)
    states: tuple[Entity | Relation | None, ...] = (_stated(was, owner), _stated(became, owner))
    if about is not None:
        states = (relations.get((about, before or 0)), relations.get((about, after or 0)))
    return GraphChange(
        id=_uuid(ident),
        kind=kind,
        owner=owner,
        entity=_uuid(one) if about is None else None,
        relation=about,
        before=states[0],
        after=states[1],
        reason=loads(reason),
        at=at.astimezone(dt.UTC),
        actor=actor,
        batch=_uuid(batch),
        cause=_uuid_or_none(cause),
        other=_uuid_or_none(two) if about is None else None,
        moved=tuple((number, UUID(entity)) for number, entity in json.loads(moved)),
        sources=sources_of(grounds),
    )


def _state(thing: Entity | Relation | None) -> str | None:
    if not isinstance(thing, Entity):
        return None
    said = {
        "id": thing.id,
        "name": thing.name,
        "type": thing.type,
        "version": thing.version,
        "given": list(thing.given),
        "merged_into": thing.merged_into,
        "retired_at": thing.retired_at,
        "metadata": dict(thing.metadata),
    }
    return dumps(said)


def _stated(raw: str | None, owner: Owner) -> Entity | None:
    if raw is None:
        return None
    said = loads(raw)
    return Entity(**{**said, "owner": owner, "given": tuple(said["given"])})


def _uuid(value: object) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))


def _uuid_or_none(value: object) -> UUID | None:
    return None if value is None else _uuid(value)


def _utc(at: dt.datetime | None) -> dt.datetime | None:
    return None if at is None else at.astimezone(dt.UTC)


def _written(at: dt.datetime | None) -> str | None:
    return None if at is None else at.isoformat()
