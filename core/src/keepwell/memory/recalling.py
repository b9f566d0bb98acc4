"""Recall: load the arrays by one of two ways, rank them, and read the text of the best from the record."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keepwell.errors import EmbedderMismatch, StoreUnavailable
from keepwell.memory.engine import Engine
from keepwell.memory.linking import SAID_OF, closeness, described, links_from, links_of, survived
from keepwell.memory.request import Request
from keepwell.memory.reranking import reranked, widened
from keepwell.models import Evidence, Fact, Message, Recollection, Recollections, Scope
from keepwell.providers.bundled import MODEL
from keepwell.providers.words import bundled_words
from keepwell.recall.analysis import ENGLISH
from keepwell.recall.arrays import CandidateColumns, Delta, Flags, Mark, halves
from keepwell.recall.asking import Question, ask
from keepwell.recall.linked import Linked
from keepwell.recall.rank import Hit, Ranker, rank
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
from keepwell.storage.facts import FetchFacts

if TYPE_CHECKING:
    from keepwell.providers.embedding import Vectors

CANDIDATES = 400
"""How many of each source are brought where a scope is not held whole."""
_SPARE = 10
"""How many more are read at first: some may be excluded, or gone by the time they are read."""
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
    linked: Linked | None = None


def recall(
    engine: Engine, scope: Scope, request: Request, vector: Vectors | None, skipped: dict[str, str]
) -> Recollections:
    """Find what fits a request; ``skipped`` names the sources that have no part in it."""
    if not request.kinds:
        return Recollections((), skipped)
    engine.notice_language()
    given, request = request, widened(engine, request)
    skipped = dict(skipped)
    space = _space(engine, skipped)
    if vector is not None and space is None:
        skipped.setdefault("vector", "nothing has its vector yet")
        vector = None
    key = None if space is None else space.key
    asked = _Asked(engine, scope, request, skipped)
    asked = replace(asked, linked=survived(lambda: _linked(asked, vector, key), skipped))
    hits, way = _ranked(asked, vector, key)
    for source, why in skipped.items():
        _log.info("recall without %s: %s", source, why)
    found, skipped = _read(engine, scope, request, hits, skipped)
    return Recollections(*reranked(engine, given, found, skipped), way)


def _linked(asked: _Asked, vector: Vectors | None, space: int | None) -> Linked | None:
    """Give what the graph says, from whom the question names, or from whom it describes."""
    engine, scope, request = asked.engine, asked.scope, asked.request
    if not engine.habits.formation.graph:
        return None
    meant = described(request)
    near = closeness(engine, meant, vector, space)
    if meant:
        best, _ = _ranked(replace(asked, request=meant), None, space)
        said = [hit.key for hit in best if hit.shares.get("keyword", 0.0) >= SAID_OF]
        if said and (found := links_from(engine, scope, request, said, near)):
            return found
    return links_of(engine, scope, request, near, meant=meant is not None)


def _ranked(asked: _Asked, vector: Vectors | None, space: int | None) -> tuple[list[Hit], str]:
    """Rank the scope whole where it can be held, else the best of each source."""
    hits, way = _by_snapshot(asked, vector, space)
    return (hits, way) if hits is not None else _by_candidates(asked, vector, space)


def readable(engine: Engine, scope: Scope, request: Request) -> str:
    """Give what the embedder is to read: the question without the names of those who speak in the scope.

    Who speaks is known from the last recall, or the scope is loaded to see.
    """
    names = engine.cache.names(scope)
    names = _speakers(engine, scope, request) if names is None else names
    return ask(request.readable, names, 0, engine.language).readable


def is_readable_at_once(engine: Engine, scope: Scope) -> bool:
    """Tell whether :func:`readable` needs nothing from the store."""
    return engine.cache.names(scope) is not None


def _speakers(engine: Engine, scope: Scope, request: Request) -> tuple[str, ...]:
    space = _space(engine, {})
    key = None if space is None else space.key
    with _held(engine, scope, key) as snapshot:
        names = None if snapshot is None else snapshot.speakers()
    if names is None:
        terms = ask(request.readable, (), 0, engine.language).terms
        found = engine.record.read(FindCandidates(scope, None, None, terms, CANDIDATES))
        names = _snapshot_of(found).speakers()
    engine.cache.note_names(scope, names)
    return names


def _question(asked: _Asked, vector: Vectors | None, names: tuple[str, ...]) -> Question:
    """Give what is asked, where these speak."""
    asked.engine.cache.note_names(asked.scope, names)
    question = ask(asked.request.readable, names, request_now(asked.request), asked.engine.language)
    return replace(question, vector=vector)


def _ranker(engine: Engine) -> Ranker:
    """Give how to rank with the embedder there is."""
    embedder = engine.models.embedder
    if embedder is None:
        return Ranker(engine.habits.ranking, "none")
    words = bundled_words() if engine.language == ENGLISH else None  # those are of English words
    return Ranker(engine.habits.ranking, "static" if embedder.model == MODEL else "vectors", words)


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


def _by_snapshot(asked: _Asked, vector: Vectors | None, space: int | None) -> tuple[list[Hit] | None, str]:
    """Rank the whole scope; None where it is too large to be held, or spans users."""
    engine, request = asked.engine, asked.request
    with _held(engine, asked.scope, space) as snapshot:
        if snapshot is None:
            return None, ""
        allowed = _allowed(engine, asked.scope, request, snapshot)
        question = _comparable(asked, _question(asked, vector, snapshot.speakers()), space, snapshot.active)
        ranker = _ranker(engine)
        hits = rank(
            snapshot,
            question,
            _wanted(request),
            allowed=allowed,
            linked=asked.linked,
            ranker=ranker,
            explain=request.explain,
        )
    engine.cache.trim()
    return hits, "snapshot"


@contextmanager
def _held(engine: Engine, scope: Scope, space: int | None) -> Iterator[Snapshot | None]:
    """Give the scope's snapshot, brought up to date, for as long as its lock is held; None where it is not kept."""
    if scope.across_users:
        yield None
        return
    slot = engine.cache.slot((scope, space))
    with slot.lock:
        if slot.snapshot is None or time.time() - slot.snapshot.mark.taken > STALE_SECONDS:
            if not _fits(engine, scope):
                engine.cache.drop((scope, space))
                yield None
                return
            slot.snapshot = Snapshot(engine.record.read(LoadScope(scope, space, None)))
        else:
            slot.snapshot.update(engine.record.read(LoadScope(scope, space, slot.snapshot.mark)))
        yield slot.snapshot


def _fits(engine: Engine, scope: Scope) -> bool:
    weight = engine.record.read(Weigh(scope))
    embedder = engine.models.embedder
    per_message = BYTES_PER_MESSAGE + (0 if embedder is None else 4 * embedder.dimension)
    return weight.messages * per_message + weight.length * BYTES_PER_TERM <= engine.cache.budget


def _by_candidates(asked: _Asked, vector: Vectors | None, space: int | None) -> tuple[list[Hit], str]:
    """Rank the best of each source."""
    engine, scope, request = asked.engine, asked.scope, asked.request
    active = None if vector is None else engine.record.read(ActiveSpace())
    question = _question(asked, vector, engine.cache.names(scope) or ())
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
    snapshot = _snapshot_of(found)
    allowed = _allowed(engine, scope, request, snapshot)
    question = _question(asked, question.vector, snapshot.speakers())
    hits = rank(
        snapshot,
        question,
        _wanted(request),
        allowed=allowed,
        statistics=replace(found.statistics, centre=found.centre),
        linked=asked.linked,
        ranker=_ranker(engine),
        explain=request.explain,
    )
    return hits, "candidates"


def _snapshot_of(found: CandidateColumns) -> Snapshot:
    return Snapshot(Delta(full=True, mark=Mark("", "", 0), messages=found.messages, vectors=found.vectors))


def _wanted(request: Request) -> int:
    """Rank a few more than asked: some may be excluded, or gone by the time they are read."""
    return request.limit + len(request.exclude)


def _allowed(engine: Engine, scope: Scope, request: Request, snapshot: Snapshot) -> Flags | None:
    size = snapshot.size
    facts = snapshot.keys[:size] < 0
    limits: list[Flags] = []
    if set(request.kinds) != {"fact", "message"}:
        limits.append(facts if "fact" in request.kinds else ~facts)
    if facts.any():
        limits.append(snapshot.retired[:size] > request_now(request))
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
    try:
        found = _enough(engine, scope, request, hits)
    except StoreUnavailable as error:
        found = _enough(engine, scope, request, hits, standby=True)
        skipped = {**skipped, "primary": f"the texts are a standby's, which may lag behind: {error}"}
        _log.warning("recall from a standby: %s", error)
    return _within_bounds(engine, request, hits, found), skipped


def _enough(
    engine: Engine, scope: Scope, request: Request, hits: list[Hit], *, standby: bool = False
) -> dict[int, Found | Fact]:
    """Read hits from the best on until there are as many as were asked for that may be shown."""
    found: dict[int, Found | Fact] = {}
    start, size = 0, request.limit + _SPARE
    while start < len(hits):
        found |= _fetched(engine, scope, request, hits[start : start + size], standby=standby)
        if sum(not _left_out(there, request) for there in found.values()) >= request.limit:
            break
        start, size = start + size, 2 * size
    return found


def _fetched(
    engine: Engine, scope: Scope, request: Request, hits: list[Hit], *, standby: bool = False
) -> dict[int, Found | Fact]:
    """Read messages and facts by their keys, each kind only where one was hit."""
    messages = tuple(hit.key for hit in hits if hit.key > 0)
    facts = tuple(hit.key for hit in hits if hit.key < 0)
    said = engine.record.read(FetchMessages(scope, messages, request.neighbours, standby)) if messages else {}
    held = engine.record.read(FetchFacts(scope, facts, standby)) if facts else {}
    return {**said, **held}


def _within_bounds(
    engine: Engine, request: Request, hits: list[Hit], found: dict[int, Found | Fact]
) -> tuple[Recollection, ...]:
    kept: list[Recollection] = []
    shown = {(there.thread, there.owner, there.message.id) for there in found.values() if isinstance(there, Found)}
    room, counter = request.max_tokens, engine.models.counter
    for hit in hits:
        there = found.get(hit.key)
        if there is None or _left_out(there, request) or len(kept) == request.limit:
            continue
        size = counter(there.text) if isinstance(there, Fact) else count_message(there.message, counter)
        if room is not None and (room := room - size) < 0:
            break
        kept.append(_recollection(hit, there, shown))
    return tuple(kept)


def _left_out(there: Found | Fact, request: Request) -> bool:
    """Tell whether what was read is not to be shown: excluded, wordless, ended a moment ago, or due to be forgotten."""
    if isinstance(there, Found):
        return there.message.id in request.exclude or not there.message.text.strip()
    at = dt.datetime.fromtimestamp(request_now(request), dt.UTC)
    over = there.expires_at is not None and there.expires_at <= at
    ended = there.retired_at is not None and there.retired_at <= at
    return over or ended or (there.reopened and request.as_of is None) or not there.text.strip()


def _recollection(hit: Hit, there: Found | Fact, shown: set[tuple[str, Any, str]]) -> Recollection:
    """Give one recollection; a neighbour that is shown already is not shown again."""
    evidence = {name: Evidence(hit.ranks.get(name, 0), share) for name, share in hit.shares.items()}
    if isinstance(there, Fact):
        return Recollection("fact", hit.score, there, "", there.owner, evidence)

    def fresh(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        new = tuple(m for m in messages if (there.thread, there.owner, m.id) not in shown)
        shown.update((there.thread, there.owner, m.id) for m in new)
        return new

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
