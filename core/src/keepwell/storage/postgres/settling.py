"""Plans that change facts: what edits come to is settled under the owner's lock, and written with all that follows."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from keepwell.errors import FactNotFound, IdempotencyConflict, LeaseLost, MessageNotFound
from keepwell.formation.entities_settle import landed
from keepwell.formation.settle import Draft, Edit, Settled, Standing, mark, settle
from keepwell.models import Change, Changes, Fact, Owner, Scope
from keepwell.models.codec import dumps
from keepwell.storage import facts as seam
from keepwell.storage.postgres import due, forgetting, forming, graph_following, graph_writing, history
from keepwell.storage.postgres.facts import FACT_WIDTH, fact_of, row_of, source_rows
from keepwell.storage.postgres.runner import FloatArray, Plan
from keepwell.storage.postgres.walls import Walls

_TICK = dt.timedelta(microseconds=1)
_VERB = "facts"


def apply(walls: Walls, change: seam.ApplyEdits) -> Plan[Changes]:
    """Carry out edits, once for an idempotency key."""
    if change.idempotency_key is None:
        return (yield from _apply(walls, change))
    digest = _digest(change)
    request = {"verb": _VERB, "request": change.idempotency_key}
    if (yield walls.step("claim_request", change.owner, digest=digest, **request)):
        done = yield from _apply(walls, change)
        answer = json.dumps({"changes": [str(made.id) for made in done]})
        yield walls.step("answer_request", change.owner, answer=answer, **request)
        return done
    ((earlier, answered),) = yield walls.step("read_request", change.owner, **request)
    if bytes(earlier) != digest:
        raise IdempotencyConflict(
            f"the idempotency key {change.idempotency_key!r} was used for other edits; use a new key"
        )
    ids = tuple(UUID(ident) for ident in json.loads(answered)["changes"])
    query = seam.ReadHistory(Scope(across_users=True), ids=ids, limit=len(ids) + 1, oldest_first=True)
    return (yield from history.reading(walls, query))


def _apply(walls: Walls, change: seam.ApplyEdits) -> Plan[Changes]:
    space = yield from _hold_space(walls, change)
    yield walls.step("hold_owner", change.owner)
    if change.formed is not None:
        yield from forming.finish(walls, change.formed)
    yield from due.finish_items(walls, change.done)
    yield from due.record_calls(walls, change.owner, change.calls)
    if not change.edits:
        yield from _write_graph(walls, change, {})
        return Changes()
    standing, keys, at = yield from _standing(walls, change)
    settled = settle(
        change.edits,
        standing,
        owner=change.owner,
        actor=change.actor,
        batch=change.batch,
        explicit=change.explicit,
        at=at,
    )
    yield from _hold_sources(walls, change, settled)
    work = _Work(at, keys)
    for one in settled:
        work.take(one)
    yield from _write(walls, change, work, space)
    if change.done:
        work.named = {fact: made for made in work.changes for fact in _facts_of(made) if made.after is not None}
    yield from _cascade(walls, work)
    yield from _write_graph(walls, change, landed(change.edits, settled, standing))
    yield from graph_following.follow(walls, work.changes, change.owner)
    return Changes(tuple(work.now(made) for made in work.changes))


def _write_graph(walls: Walls, change: seam.ApplyEdits, places: graph_writing.Landed) -> Plan[None]:
    """Write what the batch says of the graph, with facts as they came to stand."""
    if change.graph is not None:
        said = graph_writing.Said(change.actor, change.batch, places)
        yield from graph_writing.write(walls, change.owner, change.graph, said)


def _facts_of(change: Change) -> list[UUID]:
    return [source.fact for source in change.sources if source.fact is not None]


def _hold_space(walls: Walls, change: seam.ApplyEdits) -> Plan[int | None]:
    """Give the space where vectors that came along count; before any other lock, as who switches spaces does."""
    if change.space is None or not any(edit.draft and len(edit.draft.vectors) for edit in change.edits):
        return None
    rows = yield walls.step("hold_space", space=change.space)
    return change.space if rows and rows[0][0] else None


def _standing(walls: Walls, change: seam.ApplyEdits) -> Plan[tuple[Standing, dict[tuple[UUID, int], int], dt.datetime]]:
    """Give what stands in the way of the edits, the keys of those versions, and the instant of this write."""
    drafts = [edit.draft for edit in change.edits if edit.draft is not None]
    wanted = sorted({mark for draft in drafts for mark in draft.hashes})
    ((at, rejected),) = yield walls.step("rejected", change.owner, hashes=wanted)
    rows = yield walls.step(
        "standing",
        change.owner,
        ids=list({edit.fact for edit in change.edits if edit.fact is not None}),
        keys=list({draft.key for draft in drafts if draft.key is not None}),
        fingerprints=list({mark(draft.text, draft.kind, draft.key) for draft in drafts}),
    )
    found = [(row[0], fact_of(row)) for row in rows]
    # A clock that was put back must not make what ends here end before it began.
    instants = [fact.retired_at or fact.recorded_at for _, fact in found]
    instant: dt.datetime = max([at.astimezone(dt.UTC), *(earlier + _TICK for earlier in instants)])
    standing = Standing(
        facts={fact.id: fact for _, fact in found if fact.stands},
        last={fact.id: fact.version for _, fact in found},
        rejected=frozenset(map(bytes, rejected)),
    )
    return standing, {(fact.id, fact.version): key for key, fact in found}, instant


def _hold_sources(walls: Walls, change: seam.ApplyEdits, settled: Sequence[Settled]) -> Plan[None]:
    """Keep what the drafts rest on from being forgotten meanwhile.

    Raises:
        LeaseLost: something of it is gone, in a formation.
        MessageNotFound: a message of it is gone.
        FactNotFound: a fact of it is gone.
    """
    named = [source for edit in change.edits if edit.draft is not None for source in edit.draft.sources]
    made = {(one.change.fact, one.change.after.version) for one in settled if one.change.after is not None}
    messages = {source.message for source in named if source.message is not None}
    versions = {(source.fact, source.version) for source in named if source.fact is not None} - made
    if messages:
        there = {key for (key,) in (yield walls.step("hold_messages", messages=list(messages)))}
        if messages - there:
            raise _gone(change, MessageNotFound, "a message that this rests on is not there any more")
    if versions:
        ids, numbers = [ident for ident, _ in versions], [version for _, version in versions]
        rows = yield walls.step("hold_versions", facts=ids, versions=numbers)
        held = {(UUID(str(ident)), version) for ident, version in rows}
        if versions - held:
            raise _gone(change, FactNotFound, "a fact that this rests on is not there any more")


def _gone(change: seam.ApplyEdits, kind: type[Exception], words: str) -> Exception:
    return kind(words) if change.formed is None else LeaseLost(f"{words}; the thread is to be read again")


@dataclass(slots=True)
class _Work:
    """What is to be written, collected from settled edits, and how the facts are after it."""

    at: dt.datetime
    keys: dict[tuple[UUID, int], int]
    """Of versions that are in the record: their keys."""
    changes: list[Change] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    made: dict[tuple[UUID, int], tuple[Fact, Draft]] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    reject: list[tuple[bytes, UUID]] = field(default_factory=list)
    lift: set[bytes] = field(default_factory=set)
    ended: dict[UUID, Change] = field(default_factory=dict)
    named: dict[UUID, Change] = field(default_factory=dict)
    reopened: set[tuple[UUID, int]] = field(default_factory=set)
    retired: set[tuple[UUID, int]] = field(default_factory=set)

    def take(self, one: Settled) -> None:
        """Take in what one edit came to."""
        change = one.change
        self.changes.append(change)
        self.reject += [(mark, change.id) for mark in one.reject]
        self.lift.update(one.lift)
        if change.kind == "NONE":
            if change.after is not None:
                self.sources += source_rows(change.fact, change.after.version, one.also)
            return
        if change.before is not None:
            self.end(change, change.before)
        if change.after is not None and one.draft is not None:
            self.made[change.fact, change.after.version] = (change.after, one.draft)
            self.sources += source_rows(change.fact, change.after.version, one.draft.sources)

    def end(self, change: Change, fact: Fact) -> None:
        """Note that a version ends by a change."""
        name = (fact.id, fact.version)
        self.ended[fact.id] = change
        self.retired.add(name)
        if name in self.keys:
            self.ends.append(self.keys[name])

    def now(self, change: Change) -> Change:
        """Give a change with its versions as they are now."""
        return replace(change, before=self.fact_now(change.before), after=self.fact_now(change.after))

    def fact_now(self, fact: Fact | None) -> Fact | None:
        """Give a version as it is now."""
        if fact is None:
            return None
        name = (fact.id, fact.version)
        if name in self.retired:
            return replace(fact, retired_at=self.at)
        return replace(fact, reopened=True) if name in self.reopened else fact

    def rows(self) -> list[dict[str, Any]]:
        """Give the versions that begin, as rows; one that ends in the same write never stood."""
        return [
            row_of(replace(fact, retired_at=self.at if name in self.retired else None), n, draft.terms, draft.signals)
            for n, (name, (fact, draft)) in enumerate(self.made.items())
        ]


def _write(walls: Walls, change: seam.ApplyEdits, work: _Work, space: int | None) -> Plan[None]:
    """Write what the edits came to."""
    yield from _end(walls, work)
    named = (tuple(row.items()) for row in (*work.sources, *history.mention_rows(work.changes)))
    sources = [dict(row) for row in dict.fromkeys(named)]  # one statement does not see what it is writing
    if work.made or sources:
        yield history.write_facts(walls, change.owner, work.rows(), sources, _vectors(work, space))
    yield from _write_changes(walls, work.changes)
    if work.lift:
        yield walls.step("lift_in_the_way", change.owner, hashes=sorted(work.lift))
    if work.reject:
        yield forgetting.reject(walls, change.view, dict(work.reject))


def _vectors(work: _Work, space: int | None) -> dict[str, Any] | None:
    drafts = enumerate(draft for _, draft in work.made.values())
    chunks = [(n, chunk, vector) for n, draft in drafts for chunk, vector in enumerate(draft.vectors)]
    if space is None or not chunks:
        return None
    return {
        "embedded": [n for n, _, _ in chunks],
        "chunks": [chunk for _, chunk, _ in chunks],
        "vectors": FloatArray(np.concatenate([vector for _, _, vector in chunks])),
        "space": space,
    }


def _end(walls: Walls, work: _Work) -> Plan[None]:
    if work.ends:
        yield walls.step("end_facts", keys=work.ends, ends=[work.at] * len(work.ends))
        work.ends = []


def _write_changes(walls: Walls, changes: Iterable[Change]) -> Plan[None]:
    rows = [history.change_row(made, n) for n, made in enumerate(changes)]
    if rows:
        yield walls.step("write_changes", changes=json.dumps(rows))


def follow(walls: Walls, ended: dict[UUID, Change]) -> Plan[None]:
    """Look at what was formed from facts of which a version ended by these changes, as :func:`apply` does."""
    ((at, _),) = yield walls.step("rejected", Owner("", "", ""), hashes=[])
    work = _Work(at.astimezone(dt.UTC), {}, ended=ended)
    yield from _cascade(walls, work)
    yield from graph_following.follow(walls, (*ended.values(), *work.changes))


def _cascade(walls: Walls, work: _Work) -> Plan[None]:
    """Re-open what was formed from what ended, or retract it where nothing that it rests on stands; and so on.

    What due work has just formed is looked at, too: what it was formed from may have ended meanwhile.
    """
    frontier = work.ended | work.named
    while frontier:
        rows = yield walls.step("dependents", facts=list(frontier))
        work.ended = {}
        made: list[Change] = []
        opened: list[int] = []
        for row in rows:
            fact, origin, stands = fact_of(row), UUID(str(row[FACT_WIDTH])), row[FACT_WIDTH + 1]
            if stands:
                opened.append(row[0])
                work.reopened.add((fact.id, fact.version))
                continue
            work.keys[fact.id, fact.version] = row[0]
            gone = _retracted(fact, frontier[origin], work.at)
            work.end(gone, fact)
            made.append(gone)
        if opened:
            yield walls.step("reopen", keys=opened)
        yield from _end(walls, work)
        yield from _write_changes(walls, made)
        work.changes += made
        frontier = work.ended


def _retracted(fact: Fact, cause: Change, at: dt.datetime) -> Change:
    why = "nothing that it rests on stands any more"
    return Change(uuid4(), "DELETE", fact.id, fact.owner, fact, None, why, at, "cascade", cause.batch, cause.id)


def _digest(change: seam.ApplyEdits) -> bytes:
    """Give the digest of what is asked: what the edits say, not when or by which batch."""
    digest = blake2b(digest_size=16)
    for edit in change.edits:
        digest.update(dumps(_said(edit)).encode())
    return digest.digest()


def _said(edit: Edit) -> list[object]:
    draft = edit.draft
    fact = None if edit.kind == "ADD" else edit.fact  # a new one has another id at each try
    # What a correction rejects is what stood before it, which is another statement at the second try.
    reject = () if edit.kind == "UPDATE" else edit.reject
    said: list[object] = [edit.kind, fact, edit.version, edit.reason, reject, edit.trust]
    if draft is None:
        return said
    sources = [[s.message, s.start, s.end, s.fact, s.version] for s in draft.sources]
    times = [draft.valid_from, draft.valid_to, draft.expires_at]
    words = [draft.text, draft.subject, draft.kind, draft.key, draft.confidence, draft.trust, dict(draft.metadata)]
    return [*said, *words, *times, sources]
