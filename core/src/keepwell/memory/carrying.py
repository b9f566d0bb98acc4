"""Vectors from one store to another that uses the same model: what has them there has them here, the rest is due."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from keepwell.models import Owner, Scope
from keepwell.storage.base import ActiveSpace, LoadScope, PutVectors, Record, VectorRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keepwell.recall.arrays import Delta

Name = tuple[int, int, int]
"""What a text is called in both stores: the halves of its thread's key and its number, or of its fact's id and 0."""
_BATCH = 500


@dataclass(frozen=True, slots=True)
class _Held:
    """What a scope holds: numbers and terms by name, and vectors by number."""

    numbers: Mapping[Name, int]
    silent: frozenset[Name]
    vectors: Mapping[int, tuple[NDArray[np.float32], ...]]


def carry_vectors(source: Record, target: Record, owners: Iterable[Owner]) -> int:
    """Give the texts of the target the vectors that they have in the source, where both use one model; count them."""
    mine, theirs = source.read(ActiveSpace()), target.read(ActiveSpace())
    if mine is None or theirs is None or (mine.model, mine.dimension) != (theirs.model, theirs.dimension):
        return 0
    count = 0
    for scope in _scopes(owners):
        there = _held(source.read(LoadScope(scope, mine.key, None)))
        here = _held(target.read(LoadScope(scope, theirs.key, None)))
        rows = [row for group in _lacking(there, here) for row in group]
        for start in range(0, len(rows), _BATCH):
            target.write(PutVectors(theirs.key, tuple(row for row in rows[start : start + _BATCH])))
        target.write(PutVectors(theirs.key, (), _spans(there, here)))
        count += len(rows)
    return count


def _scopes(owners: Iterable[Owner]) -> list[Scope]:
    """Give views that see all of these owners: one a person, and one for each who speaks for nobody."""
    users = dict.fromkeys(Scope(owner.user_id) for owner in owners if owner.user_id)
    nobody = (Scope(None, owner.agent_id or None, owner.run_id or None) for owner in owners if not owner.user_id)
    return [*users, *dict.fromkeys(nobody)]


def _held(delta: Delta) -> _Held:
    rows = delta.messages
    standing = [math.isinf(retired) or retired == 0 for retired in rows.retired.tolist()]
    names = [(high, low, seq) for (high, low), seq in zip(rows.threads.tolist(), rows.seqs.tolist(), strict=True)]
    told = list(zip(names, rows.keys.tolist(), rows.terms, standing, strict=True))
    vectors: dict[int, tuple[NDArray[np.float32], ...]] = {}
    for key, vector in zip(delta.vectors.keys.tolist(), delta.vectors.matrix, strict=True):
        vectors[key] = (*vectors.get(key, ()), vector)
    numbers = {name: key for name, key, _, stands in told if stands}
    return _Held(numbers, frozenset(name for name, _, terms, _ in told if not terms), vectors)


def _lacking(there: _Held, here: _Held) -> Iterator[list[VectorRow]]:
    """Give the vectors of each text that has none here."""
    for name, number in here.numbers.items():
        known = there.vectors.get(there.numbers.get(name, 0), ())
        if known and number not in here.vectors:
            yield [VectorRow(number, chunk, vector) for chunk, vector in enumerate(known)]


def _spans(there: _Held, here: _Held) -> dict[UUID, tuple[int, int]]:
    """Give, by thread, the span whose messages all have vectors now, or no words."""
    spans: dict[UUID, tuple[int, int]] = {}
    open_: set[UUID] = set()
    for name in sorted(here.numbers):
        high, low, seq = name
        thread = UUID(int=(high << 64) | low)
        has = name in here.silent or here.numbers[name] in here.vectors or there.numbers.get(name, 0) in there.vectors
        if seq == 0 or thread in open_:
            continue
        if not has:
            open_.add(thread)
            continue
        spans[thread] = (1, seq)
    return spans
