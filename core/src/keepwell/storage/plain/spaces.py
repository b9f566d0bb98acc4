"""Vectors: what is due, what is kept, and which space is in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from keepwell.errors import Conflict, EmbedderMismatch
from keepwell.storage.base import (
    ActiveSpace,
    DueBatch,
    DueText,
    FindDue,
    FindMissing,
    IndexVectors,
    OpenSpace,
    PutVectors,
    Space,
    SwitchSpace,
    VectorRow,
)
from keepwell.storage.plain.due import seconds_since
from keepwell.storage.plain.facts import Kept
from keepwell.storage.plain.tables import Conversation, Entry, Tables

K = TypeVar("K", Entry, Kept)
_NOTHING: Final = (1, 0)
"""A span without a number in it."""


def index_vectors(tables: Tables, change: IndexVectors) -> int:  # noqa: ARG001 - here each vector is looked at
    """Say that there is nothing to be indexed."""
    return 0


def put_vectors(tables: Tables, change: PutVectors) -> bool:
    """Keep vectors of the messages that are there, and note what was looked at in the space in use."""
    space = tables.spaces.get(change.space)
    if space is None:
        return False
    rows: dict[int, list[VectorRow]] = {}
    for row in change.rows:
        if row.vector.shape != (space.dimension,):
            raise EmbedderMismatch(f"a vector of shape {row.vector.shape} is not of {space.model}")
        rows.setdefault(row.message, []).append(row)
    for one in [one for one in tables.facts.values() if one.row.key in rows and one.fact.stands]:
        tables.keep_fact(replace(one, vectors={**one.vectors, **_vectors(space.key, rows[one.row.key])}))
    for talk in list(tables.threads.values()):
        first, last = change.done.get(talk.thread.key, _NOTHING) if space.key == tables.active else _NOTHING
        touched = [
            _with_vectors(entry, space.key, rows.get(entry.row.key, []), done=first <= entry.row.seq <= last)
            for entry in talk.in_order
            if entry.row.key in rows or first <= entry.row.seq <= last
        ]
        if touched:
            tables.keep(talk.noted(touched))
    return space.key == tables.active


def _with_vectors(entry: Entry, space: int, rows: list[VectorRow], *, done: bool) -> Entry:
    seen = entry.seen | {space} if done else entry.seen
    if not rows:
        return replace(entry, seen=seen)
    after = seconds_since(entry.row.recorded) if entry.found_after is None else entry.found_after
    return replace(entry, vectors={**entry.vectors, **_vectors(space, rows)}, seen=seen, found_after=after)


def _vectors(space: int, rows: list[VectorRow]) -> dict[tuple[int, int], NDArray[np.float32]]:
    return {(space, row.chunk): np.array(row.vector, np.float32) for row in rows}


def open_space(tables: Tables, change: OpenSpace) -> Space:
    """Give the space of that model and dimension; the first becomes the active one."""
    for space in tables.spaces.values():
        if (space.model, space.dimension) == (change.model, change.dimension):
            return space
    made = Space(next(tables.numbers), change.model, change.dimension)
    tables.spaces[made.key] = made
    tables.active = made.key if tables.active is None else tables.active
    return made


def switch_space(tables: Tables, change: SwitchSpace) -> None:
    """Make a complete space the only one."""
    space = tables.spaces.get(change.space)
    if space is None:
        raise Conflict("there is no such space")
    behind = any(entry.lacks(space.key) for talk in tables.threads.values() for entry in talk.in_order)
    if behind or any(one.lacks(space.key) for one in tables.facts.values()):
        raise Conflict("the new space lacks vectors")
    tables.spaces, tables.active = {space.key: space}, space.key
    for talk in list(tables.threads.values()):
        seen = (replace(entry, seen=frozenset({space.key})) for entry in talk.in_order)
        tables.keep(talk.noted(_only(entry, space.key) for entry in seen))
    for one in list(tables.facts.values()):
        tables.keep_fact(_only(one, space.key))


def _only(one: K, space: int) -> K:
    return replace(one, vectors={place: vector for place, vector in one.vectors.items() if place[0] == space})


def find_due(tables: Tables, query: FindDue) -> DueBatch:
    """Give texts without vectors, oldest threads first, and the spans that were looked through for them."""
    texts: list[DueText] = []
    spans: dict[UUID, tuple[int, int]] = {}
    for talk in sorted(tables.threads.values(), key=lambda talk: talk.thread.updated_at):
        for entry in _unseen(talk, query.space):
            if len(texts) >= query.limit:
                return DueBatch(tuple(texts), spans)
            first, _ = spans.get(talk.thread.key, (entry.row.seq, 0))
            spans[talk.thread.key] = (first, entry.row.seq)
            if entry.is_due(query.space):
                texts.append(_due_text(talk, entry))
    return DueBatch(tuple(texts), spans)


def find_missing(tables: Tables, query: FindMissing) -> tuple[DueText, ...]:
    """Give messages and then standing facts with terms and without vectors, by key."""
    found = [
        _due_text(talk, entry)
        for talk in tables.threads.values()
        for entry in talk.in_order
        if entry.lacks(query.space)
    ]
    facts = [one for one in tables.facts.values() if one.lacks(query.space)]
    found += [DueText(one.row.key, one.fact.id, 0, one.fact.text) for one in facts]
    found = [text for text in found if _order(text.message) > _order(query.after)]
    return tuple(sorted(found, key=lambda text: _order(text.message))[: query.limit])


def _order(key: int) -> tuple[bool, int]:
    return key < 0, abs(key)


def _due_text(talk: Conversation, entry: Entry) -> DueText:
    return DueText(entry.row.key, talk.thread.key, entry.row.seq, entry.row.message.text)


def _unseen(talk: Conversation, space: int) -> list[Entry]:
    return [entry for entry in talk.in_order if space not in entry.seen]


def active_space(tables: Tables, _: ActiveSpace) -> Space | None:
    """Give the space in use."""
    return None if tables.active is None else tables.spaces[tables.active]


SPACE_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {PutVectors: put_vectors, IndexVectors: index_vectors, OpenSpace: open_space, SwitchSpace: switch_space}
)
SPACE_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {FindDue: find_due, FindMissing: find_missing, ActiveSpace: active_space}
)
