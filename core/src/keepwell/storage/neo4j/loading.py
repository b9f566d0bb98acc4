"""What a recall loads: a scope whole, what changed in it since a revision, or candidates from it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np

from keepwell.recall.arrays import Delta, Mark, MessageColumns, VectorColumns, halves
from keepwell.storage.base import FindCandidates, LoadScope, Prune, Weigh, Weight
from keepwell.storage.neo4j import nodes
from keepwell.storage.neo4j.work import BATCH, STRIPES, Work, column, stripe_of
from keepwell.storage.plain.tables import now

Line = list[Any]
NOBODY: Final = "nobody"
"""The mark of a tenant that was never written to."""


def load_scope(work: Work, query: LoadScope) -> Delta:
    """Give what a scope holds, or what changed in it since the mark.

    The revision is read first: what is committed while the rest is read comes once more with the next load.
    """
    tenant = _tenant(work)
    rev, server = tenant.get("rev", 0), tenant.get("identity", NOBODY)
    mark = Mark(str(rev), server, time.time())
    since = _since(query.since, server, tenant.get("pruned", 0))
    things = _things(work, query, -1 if since is None else since)
    vectors = _vectors(work, query, since, [line[0] for line in things])
    removed: list[int] = []
    if since is not None:
        here = {line[0] for line in things}
        stripes = range(STRIPES) if query.scope.across_users else [stripe_of(query.scope.user_id or "")]
        gone = column(work.rows("load_gone", stripes=list(stripes), since=since), "key")
        removed = [key for key in gone if key not in here]
    return Delta(
        full=since is None,
        mark=mark,
        messages=message_columns(things),
        vectors=vectors,
        removed=np.array(removed, np.int64),
        active=tenant.get("active"),
    )


def _tenant(work: Work) -> dict[str, Any]:
    found = work.rows("tenant")
    return found[0]["tenant"] if found else {}


def _since(mark: Mark | None, server: str, pruned: int) -> int | None:
    if mark is None or mark.server != server or not mark.snapshot.isdecimal():
        return None
    since = int(mark.snapshot)
    return None if since < pruned else since


def _things(work: Work, query: LoadScope, since: int) -> list[Line]:
    """Give lines of messages and versions of facts, each thing once: who moves while all is read is met twice."""
    messages = work.lines("load_messages", query.scope, since=since)
    facts = work.lines("load_facts", query.scope, since=since)
    found = {line[0]: message_line(line) for line in messages}
    found |= {-line[0]: fact_line(line) for line in facts}
    return list(found.values())


_SECONDS: Final = 1e6


def message_line(line: Line) -> Line:
    """Give a message's row of the columns."""
    key, thread, seq, created, recorded, terms, actor, signals = line
    return [
        key, thread, seq, created / _SECONDS, recorded / _SECONDS, math.inf,
        nodes.text_out(terms), nodes.text_out(actor), nodes.text_out(signals),
    ]  # fmt: skip


def fact_line(line: Line) -> Line:
    """Give the row of a version of a fact."""
    number, ident, valid_from, recorded, retired, reopened, terms, subject, signals = line
    ended = retired / _SECONDS if retired is not None else 0.0 if reopened else math.inf
    at = recorded if valid_from is None else valid_from
    return [
        -number, ident, 0, at / _SECONDS, recorded / _SECONDS, ended,
        nodes.text_out(terms), nodes.text_out(subject), nodes.text_out(signals),
    ]  # fmt: skip


def message_columns(lines: Sequence[Line]) -> MessageColumns:
    """Give rows as columns."""
    if not lines:
        return MessageColumns.empty()
    keys, threads, seqs, created, recorded, retired, terms, actors, signals = zip(*lines, strict=True)
    return MessageColumns(
        keys=np.array(keys, np.int64),
        threads=halves(*map(UUID, threads)),
        seqs=np.array(seqs, np.int64),
        created=np.array(created, np.float64),
        recorded=np.array(recorded, np.float64),
        retired=np.array(retired, np.float64),
        terms=terms,
        actors=actors,
        signals=signals,
    )


def _vectors(work: Work, query: LoadScope, since: int | None, keys: Sequence[int]) -> VectorColumns:
    """Give all vectors of what has a new one, and of what was written anew: a reader replaces them together."""
    if query.space is None:
        return VectorColumns.empty()
    found = work.lines("load_vectors", query.scope, since=-1 if since is None else since, space=query.space)
    if since is not None:
        found = vectors_of(work, query, {*keys, *(item for item, _ in found)})
    return vector_columns(found)


def vectors_of(work: Work, query: LoadScope | FindCandidates, items: Any) -> list[Line]:  # noqa: ANN401 - numbers
    """Give the vectors of messages and facts."""
    wanted = list(items)
    return [
        line
        for start in range(0, len(wanted), BATCH)
        for line in work.lines("load_vectors_of", query.scope, items=wanted[start : start + BATCH], space=query.space)
    ]


def vector_columns(lines: Sequence[Line]) -> VectorColumns:
    """Give vectors as columns."""
    if not lines:
        return VectorColumns.empty()
    matrix = np.frombuffer(b"".join(data for _, data in lines), "<f4").reshape(len(lines), -1)
    return VectorColumns(np.array([item for item, _ in lines], np.int64), matrix.astype(np.float32, copy=False))


def weigh(work: Work, query: Weigh) -> Weight:
    """Count messages and standing facts, and their terms."""
    (row,) = work.of_scope("weigh", query.scope)
    return Weight(row["messages"], row["length"])


def prune(work: Work, change: Prune) -> int:
    """Drop marks of removals that no reader needs any more; who comes with an older mark gets the whole."""
    before = nodes.micros(now() - change.older_than)
    (row,) = work.rows("prune_gone", before=before)
    if row["count"]:
        work.rows("pruned", rev=row["rev"])
    return int(row["count"])
