"""The graph of a scope as lines of an export.

``entity`` is as it is kept, merged and taken away ones too; ``relation`` is a line a version; ``mention`` names its
text as sources are named, and has a ``number`` by which ``graph_change`` lines tell what was moved; ``seen`` names the
facts of an owner that were looked through for names.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from keepwell.memory.graph_carrying import (
    earlier_of,
    entities_of,
    graph_changes_of,
    graph_size,
    mentions_of,
    relations_of,
)
from keepwell.memory.transfer import Transfer
from keepwell.models import Owner, Scope, Source
from keepwell.models.graph import Entity, Relation
from keepwell.storage.base import Record
from keepwell.storage.graph_copying import GraphChangeCopy, MentionCopy, ReadSeen

Line = dict[str, Any]
Naming = Callable[[Sequence[Iterable[Source]]], list[list[Line]]]
"""Gives sources by what names them in every store."""
_ENTITY = ("id", "version", "name", "type", "merged_into", "retired_at")
_RELATION = (
    "id", "version", "subject", "predicate", "object", "valid_from", "valid_to", "recorded_at", "retired_at",
)  # fmt: skip
_CHANGE = ("id", "kind", "entity", "relation", "other", "reason", "at", "actor", "batch", "cause")


def graph_lines(
    record: Record, scope: Scope, named: Naming, owners: Iterable[Owner]
) -> Iterator[tuple[Line, Transfer]]:
    """Give the lines of a scope's graph, none where the store keeps none."""
    if graph_size(record, scope) is None:
        return
    for entities in entities_of(record, scope):
        for entity in entities:
            yield {"is": "entity", **_owned(entity.owner), **_entity(entity)}, Transfer(entities=1)
    for relations in relations_of(record, scope):
        for one, sources in zip(relations, named([one.sources for one in relations]), strict=True):
            yield {**_relation(one), "sources": sources}, Transfer(relations=1)
    yield from _mention_lines(record, scope, named)
    yield from _change_lines(record, scope, named)
    for owner in owners:
        if facts := record.read(ReadSeen(owner)):
            yield {"is": "seen", **_owned(owner), "facts": sorted(map(str, facts))}, Transfer()


def _mention_lines(record: Record, scope: Scope, named: Naming) -> Iterator[tuple[Line, Transfer]]:
    earlier = earlier_of(graph_changes_of(record, scope))
    for mentions in mentions_of(record, scope):
        texts = named([(_text(copy),) for copy in mentions])
        for copy, sources in zip(mentions, texts, strict=True):
            if sources:
                yield _mention(copy, sources[0], earlier), Transfer(mentions=1)


def _change_lines(record: Record, scope: Scope, named: Naming) -> Iterator[tuple[Line, Transfer]]:
    for changes in graph_changes_of(record, scope):
        for told, sources in zip(changes, named([one.change.sources for one in changes]), strict=True):
            yield {**_change(told), "sources": sources}, Transfer(graph_changes=1)


def _text(copy: MentionCopy) -> Source:
    mention = copy.mention
    return Source(mention.message, 0, 0, mention.fact, mention.version)


def _owned(owner: Owner) -> Line:
    return {"owner": list(owner)}


def _entity(entity: Entity) -> Line:
    return {**_fields(entity, _ENTITY), "given": list(entity.given), "metadata": dict(entity.metadata)}


def _relation(relation: Relation) -> Line:
    fields = {"is": "relation", **_owned(relation.owner), **_fields(relation, _RELATION)}
    return {**fields, "given": True} if relation.given else fields


def _mention(copy: MentionCopy, text: Line, earlier: Mapping[int, tuple[UUID, ...]]) -> Line:
    one = copy.mention
    fields = _fields(one, ("number", "entity", "surface", "start", "end", "at"))
    was = {"earlier": [str(entity) for entity in earlier[one.number]]} if one.number in earlier else {}
    return {"is": "mention", **_owned(copy.owner), **fields, **was, "text": text}


def _change(copy: GraphChangeCopy) -> Line:
    change = copy.change
    moved = [[number, str(entity)] for number, entity in change.moved]
    states = {"before": _state(change.before), "after": _state(change.after)}
    fields = {**_fields(change, _CHANGE), **states, "moved": moved, "told": list(copy.told)}
    return {"is": "graph_change", **_owned(change.owner), "number": copy.number, **fields}


def _state(state: Entity | Relation | None) -> Line | int | None:
    """Give what an entity was; of a relation its version, which has a line of its own."""
    return state.version if isinstance(state, Relation) else None if state is None else _entity(state)


def _fields(thing: object, names: Iterable[str]) -> Line:
    told = {name: getattr(thing, name) for name in names}
    return {name: _plain(value) for name, value in told.items() if value is not None}


def _plain(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
