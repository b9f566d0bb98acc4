"""Recall: load the arrays by one of two ways, rank them, and read the text of the best from the record."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keepwell.errors import EmbedderMismatch, StoreUnavailable
from keepwell.memory.engine import Engine
from keepwell.memory.request import Request
from keepwell.models import Evidence, Message, Recollection, Recollections, Scope
from keepwell.recall.analysis import analyse
from keepwell.recall.arrays import Delta, Flags, Mark, Statistics, halves
from keepwell.recall.rank import Hit, Question, rank
from keepwell.recall.snapshot import BYTES_PER_MESSAGE, BYTES_PER_TERM, Snapshot
from keepwell.recall.tokens import count_message
from keepwell.storage.base import (
    ActiveSpace,
    FetchMessages,
    FindCandidates,
    Found,
    LoadScope,
    MatchMetadata,
    Space,
    Weigh,
)

if TYPE_CHECKING:
    from keepwell.providers.embedding import Vectors

CANDIDATES = 400
"""How many of each source are brought where a scope is not held whole."""
STALE_SECONDS = 12 * 3600
"""A snapshot that was not asked for so long is loaded anew: marks of removals are kept for twice that."""
_log = logging.getLogger("keepwell.recall")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request in its place, and the sources that have no part in the answer so far."""

    engine: Engine
    scope: Scope
    request: Request
    skipped: dict[str, str]


def recall(
    engine: Engine, scope: Scope, request: Request, vector: Vectors | None, skipped: dict[str, str]
) -> Recollections:
    """Find what fits a request; ``skipped`` names the sources that have no part in it."""
    if "message" not in request.kinds:
        return Recollections((), skipped)
    skipped = dict(skipped)
    space = _space(engine, skipped)
    if vector is not None and space is None:
        skipped.setdefault("vector", "nothing has its vector yet")
        vector = None
    terms = tuple(dict.fromkeys(analyse(request.query).split()))
    question = Question(vector, terms, request_now(request))
    key = None if space is None else space.key
    asked = _Asked(engine, scope, request, skipped)
    hits, way = _by_snapshot(asked, question, key)
    if hits is None:
        hits, way = _by_candidates(asked, question, key)
    for source, why in skipped.items():
        _log.info("recall without %s: %s", source, why)
    found, skipped = _read(engine, scope, request, hits, skipped)
    return Recollections(found, skipped, way)


def _space(engine: Engine, skipped: dict[str, str]) -> Space | None:
    """Give the space that the embedder's vectors are kept in, where the store still uses it."""
    try:
        return engine.known_space()
    except EmbedderMismatch as error:
        skipped["vector"] = str(error)
        return None


def _comparable(asked: _Asked, question: Question, space: int | None, active: int | None) -> Question:
    """Give the question without its vector where the store was switched to another model meanwhile."""
    if question.vector is None or active in (None, space):
        return question
    asked.engine.forget_space()
    asked.skipped["vector"] = "the store's vectors were switched to another model; open it anew with that model"
    return replace(question, vector=None)


def request_now(request: Request) -> float:
    """Give the instant that the question is asked at: ``as_of``, or now."""
    return request.as_of.timestamp() if request.as_of else time.time()


def _by_snapshot(asked: _Asked, question: Question, space: int | None) -> tuple[list[Hit] | None, str]:
    """Rank the whole scope; None where it is too large to be held, or spans users."""
    engine, scope, request = asked.engine, asked.scope, asked.request
    if scope.across_users:
        return None, ""
    slot = engine.cache.slot((scope, space))
    with slot.lock:
        if slot.snapshot is None or time.time() - slot.snapshot.mark.taken > STALE_SECONDS:
            if not _fits(engine, scope):
                engine.cache.drop((scope, space))
                return None, ""
            slot.snapshot = Snapshot(engine.record.read(LoadScope(scope, space, None)))
        else:
            slot.snapshot.update(engine.record.read(LoadScope(scope, space, slot.snapshot.mark)))
        snapshot = slot.snapshot
        allowed = _allowed(engine, scope, request, snapshot)
        question = _comparable(asked, question, space, snapshot.active)
        hits = rank(snapshot, question, _wanted(request), allowed=allowed, explain=request.explain)
    engine.cache.trim()
    return hits, "snapshot"


def _fits(engine: Engine, scope: Scope) -> bool:
    weight = engine.record.read(Weigh(scope))
    embedder = engine.models.embedder
    per_message = BYTES_PER_MESSAGE + (0 if embedder is None else 4 * embedder.dimension)
    return weight.messages * per_message + weight.length * BYTES_PER_TERM <= engine.cache.budget


def _by_candidates(asked: _Asked, question: Question, space: int | None) -> tuple[list[Hit], str]:
    """Rank the best of each source."""
    engine, scope, request = asked.engine, asked.scope, asked.request
    active = None if question.vector is None else engine.record.read(ActiveSpace())
    question = _comparable(asked, question, space, None if active is None else active.key)
    found = engine.record.read(
        FindCandidates(
            scope,
            space,
            question.vector,
            question.terms,
            max(CANDIDATES, 2 * request.limit),
            request.thread,
            request.since,
            request.until,
            request.as_of,
            request.where,
        )
    )
    snapshot = Snapshot(Delta(full=True, mark=Mark("", "", 0), messages=found.messages, vectors=found.vectors))
    allowed = _allowed(engine, scope, request, snapshot)
    statistics: Statistics = found.statistics
    hits = rank(snapshot, question, _wanted(request), allowed=allowed, statistics=statistics, explain=request.explain)
    return hits, "candidates"


def _wanted(request: Request) -> int:
    """Rank a few more than asked: some may be excluded, or gone by the time they are read."""
    return request.limit + len(request.exclude)


def _allowed(engine: Engine, scope: Scope, request: Request, snapshot: Snapshot) -> Flags | None:
    size = snapshot.size
    limits: list[Flags] = []
    if request.thread is not None:
        limits.append((snapshot.threads[:size] == halves(request.thread)).all(axis=1))
    if request.since is not None:
        limits.append(snapshot.created[:size] >= request.since.timestamp())
    if request.until is not None:
        limits.append(snapshot.created[:size] < request.until.timestamp())
    if request.as_of is not None:
        limits.append(snapshot.recorded[:size] <= request.as_of.timestamp())
    if request.where:
        flags = np.zeros(size, np.bool_)
        flags[snapshot.rows(engine.record.read(MatchMetadata(scope, request.where)).tolist())] = True
        limits.append(flags)
    return np.logical_and.reduce(limits) if limits else None


def _read(
    engine: Engine, scope: Scope, request: Request, hits: list[Hit], skipped: dict[str, str]
) -> tuple[tuple[Recollection, ...], dict[str, str]]:
    """Give the hits as the record has them now; what was deleted a moment ago is not there any more.

    Where the primary is away a standby is asked, and that is said: it may lag behind.
    """
    hits = [hit for hit in hits if request.min_score is None or hit.score >= request.min_score]
    if not hits:
        return (), skipped
    fetch = FetchMessages(scope, tuple(hit.key for hit in hits), request.neighbours)
    try:
        found = engine.record.read(fetch)
    except StoreUnavailable as error:
        found = engine.record.read(replace(fetch, standby=True))
        skipped = {**skipped, "primary": f"the texts are a standby's, which may lag behind: {error}"}
        _log.warning("recall from a standby: %s", error)
    return _within_bounds(engine, request, hits, found), skipped


def _within_bounds(
    engine: Engine, request: Request, hits: list[Hit], found: dict[int, Found]
) -> tuple[Recollection, ...]:
    kept: list[Recollection] = []
    shown = {(there.thread, there.owner, there.message.id) for there in found.values()}
    room = request.max_tokens
    for hit in hits:
        there = found.get(hit.key)
        if there is None or there.message.id in request.exclude or len(kept) == request.limit:
            continue
        if room is not None and (room := room - count_message(there.message, engine.models.counter)) < 0:
            break
        kept.append(_recollection(hit, there, shown))
    return tuple(kept)


def _recollection(hit: Hit, there: Found, shown: set[tuple[str, Any, str]]) -> Recollection:
    """Give one recollection; a neighbour that is shown already is not shown again."""

    def fresh(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        new = tuple(m for m in messages if (there.thread, there.owner, m.id) not in shown)
        shown.update((there.thread, there.owner, m.id) for m in new)
        return new

    evidence = {name: Evidence(hit.ranks.get(name, 0), share) for name, share in hit.shares.items()}
    return Recollection(
        "message",
        hit.score,
        there.message,
        there.thread,
        there.owner,
        evidence,
        fresh(there.before),
        fresh(there.after),
    )
