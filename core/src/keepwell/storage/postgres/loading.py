"""Plans that load a scope, or candidates of it, as arrays.

The server packs each column into one binary value (``array_send``, ``vector_send``), which numpy reads in
place: a scope of 50,000 messages is one row, not 50,000.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keepwell.models import Scope
from keepwell.models.codec import searchable
from keepwell.recall.arrays import (
    CandidateColumns,
    Delta,
    Halves,
    Ints,
    Mark,
    MessageColumns,
    Statistics,
    Times,
    VectorColumns,
)
from keepwell.storage import base
from keepwell.storage.postgres.nearest import nearest
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls

_WHOLE = 4
"""A scope of up to so many times as many messages as are wanted is read whole: to find the best costs more (measured:
of 1,000 messages 14 ms against 4, of 2,000 messages 21 against 11, and what follows is to be had of more of them)."""
_NEWEST = 5
"""From how many threads, those changed last, the newest messages are candidates."""
_MICROS = 1_000_000
_SINCE_2000 = 946_684_800 * _MICROS
_ARRAY_HEAD = 20
"""Bytes before the first cell of a binary array: dimensions, null flag, element type, size, lower bound."""


def weigh(walls: Walls, query: base.Weigh) -> Plan[base.Weight]:
    """Count messages, standing facts and terms of a scope."""
    ((messages, length),) = yield walls.scoped("weigh", query.scope)
    return base.Weight(messages, length)


def load(walls: Walls, query: base.LoadScope) -> Plan[Delta]:
    """Give what changed since the mark, or the whole where the mark is of another server or of its future.

    ``docs/explanation/recall.md`` argues why nothing is missed.
    """
    space = -1 if query.space is None else query.space
    if query.since is not None:
        newer, running = _horizon(query.since)
        (row,) = yield walls.scoped("load_since", query.scope, space=space, newer=newer, running=running)
        mark = Mark(row[0], row[1], row[2])
        if mark.server == query.since.server and _xmax(mark) >= _xmax(query.since):
            changed, removed = yield from _with_facts(walls, query.scope, _messages(row[3:11]), _ints(row[13]))
            vectors = _vectors(row[11:13])
            return Delta(full=False, mark=mark, messages=changed, vectors=vectors, removed=removed, active=row[14])
    (row,) = yield walls.scoped("load_whole", query.scope, space=space)
    mark = Mark(row[0], row[1], row[2])
    messages, vectors = _rows(row[3:19]), _vectors(row[19:21])
    return Delta(full=True, mark=mark, messages=messages, vectors=vectors, active=row[22])


def _with_facts(
    walls: Walls, scope: Scope, messages: MessageColumns, marked: Ints
) -> Plan[tuple[MessageColumns, Ints]]:
    """Add the versions of facts that are marked as written, and give the keys of what went.

    They are read a moment later than the rest. What was written meanwhile is read again next time.
    """
    keys = np.unique(marked[marked < 0])
    if not len(keys):
        return messages, marked
    (row,) = yield walls.scoped("load_facts", scope, keys=(-keys).tolist())
    if row[0] is None:
        return messages, marked
    facts = _facts(row)
    return _joined(messages, facts), marked[~np.isin(marked, facts.keys)]


def _horizon(mark: Mark) -> tuple[str, list[str]]:
    """Give the transaction from which on all is new, and those below it that had not ended.

    A standby does not list the transactions that run on its primary; there all from the oldest on is read again.
    """
    xmin, xmax, running = mark.snapshot.split(":")
    if mark.server.endswith("/true"):
        return xmin, []
    return xmax, running.split(",") if running else []


def _xmax(mark: Mark) -> int:
    return int(mark.snapshot.split(":")[1])


def candidates(walls: Walls, query: base.FindCandidates) -> Plan[CandidateColumns]:
    """Give the best by keyword and vector with the statistics of the whole scope."""
    scope, terms = query.scope, list(query.terms)
    within = yield from _within(walls, query)
    ((messages, length),) = yield walls.scoped("weigh", scope)
    rows = yield walls.scoped("term_frequencies", scope, terms=terms)
    statistics = Statistics(messages, length, dict(rows))
    space = -1 if query.space is None else query.space
    if within is None and messages <= _WHOLE * query.limit:
        (row,) = yield walls.scoped("candidates_all", scope, space=space)
        vectors = _vectors(row[16:18])
        centre = (vectors.matrix.mean(axis=0), len(vectors.keys)) if len(vectors.keys) else None
        return CandidateColumns(_rows(row[0:16]), vectors, statistics, centre)
    near = yield from nearest(walls, query, within)
    counts = [statistics.frequencies.get(term, 0) for term in terms]
    (row,) = yield walls.scoped(
        "candidates",
        scope,
        terms=terms,
        weights=[math.log(1 + (messages - n + 0.5) / (n + 0.5)) if n <= messages else 0.0 for n in counts],
        within=within,
        nearest=near.keys,
        space=space,
        limit=query.limit,
        newest=_NEWEST,
    )
    return CandidateColumns(_rows(row[0:16]), _vectors(row[16:18]), statistics, near.centre)


def _within(walls: Walls, query: base.FindCandidates) -> Plan[list[int] | None]:
    filters = (query.thread, query.since, query.until, query.as_of)
    if not query.where and all(given is None for given in filters):
        return None
    thread, since, until, as_of = filters
    where = json.dumps(searchable(query.where)) if query.where else None
    ((keys,),) = yield walls.scoped(
        "within", query.scope, thread=thread, since=since, until=until, as_of=as_of, where=where
    )
    return keys or []


def match(walls: Walls, query: base.MatchMetadata) -> Plan[Ints]:
    """Give the keys of messages and facts whose metadata contains the filter."""
    ((keys,),) = yield walls.scoped("match_metadata", query.scope, where=json.dumps(searchable(query.where)))
    return _ints(keys)


def _rows(row: Sequence[Any]) -> MessageColumns:
    """Give messages and facts as one table."""
    messages, facts = _messages(row[:8]), row[8:]
    return messages if facts[0] is None else _joined(messages, _facts(facts))


def _joined(messages: MessageColumns, facts: MessageColumns) -> MessageColumns:
    return MessageColumns(
        np.concatenate([messages.keys, facts.keys]),
        np.concatenate([messages.threads, facts.threads]),
        np.concatenate([messages.seqs, facts.seqs]),
        np.concatenate([messages.created, facts.created]),
        np.concatenate([messages.recorded, facts.recorded]),
        np.concatenate([messages.retired, facts.retired]),
        messages.terms + facts.terms,
        messages.actors + facts.actors,
        messages.signals + facts.signals,
    )


def _messages(row: Sequence[Any]) -> MessageColumns:
    keys, threads, seqs, created, recorded, terms, actors, signals = row
    if keys is None:
        return MessageColumns.empty()
    numbers = _ints(keys)
    return MessageColumns(
        numbers,
        _halves(threads),
        _ints(seqs),
        _times(created),
        _times(recorded),
        np.full(len(numbers), np.inf),
        tuple(terms.split("\n")),
        tuple(actors.split("\n")),
        tuple(signals.split("\n")),
    )


def _facts(row: Sequence[Any]) -> MessageColumns:
    keys, ids, created, recorded, retired, terms, actors, signals = row
    numbers = _ints(keys)
    return MessageColumns(
        numbers,
        _halves(ids),
        np.zeros(len(numbers), np.int64),
        _times(created),
        _times(recorded),
        _times(retired),
        tuple(terms.split("\n")),
        tuple(actors.split("\n")),
        tuple(signals.split("\n")),
    )


def _vectors(row: Sequence[Any]) -> VectorColumns:
    keys, packed = row
    if keys is None:
        return VectorColumns.empty()
    dimension = int.from_bytes(packed[:2], "big")
    cells = np.frombuffer(packed, dtype=[("head", ">u4"), ("vector", ">f4", (dimension,))])
    return VectorColumns(_ints(keys), cells["vector"].astype(np.float32))


def _ints(packed: bytes | None) -> Ints:
    return np.empty(0, np.int64) if packed is None else _cells(packed, ">i8").astype(np.int64)


def _times(packed: bytes) -> Times:
    """Give instants in seconds since 1970, from microseconds since 2000, as the server keeps them.

    To let it make seconds of them costs three times as much as to send them.
    """
    micros = _cells(packed, ">i8").astype(np.int64)
    never = micros == np.iinfo(np.int64).max
    times: Times = np.where(never, 0, micros + _SINCE_2000).astype(np.float64) / _MICROS
    times[never] = np.inf
    return times


def _halves(packed: bytes) -> Halves:
    raw = np.frombuffer(packed, np.uint8, offset=_ARRAY_HEAD).reshape(-1, 4 + 16)
    return np.ascontiguousarray(raw[:, 4:]).view(">u8").astype(np.uint64)


def _cells(packed: bytes, kind: str) -> Any:  # noqa: ANN401 - an array of that kind
    cells = np.frombuffer(packed, dtype=[("length", ">i4"), ("value", kind)], offset=_ARRAY_HEAD)
    return cells["value"]
