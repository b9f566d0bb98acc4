"""Changing facts: edits are settled, written, and what was formed from what ended follows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID, uuid4

import numpy as np

from keepwell.errors import FactNotFound, IdempotencyConflict, LeaseLost, MessageNotFound, NotFound
from keepwell.formation.entities_settle import landed
from keepwell.formation.settle import Draft, Edit, Settled, Standing, settle
from keepwell.formation.settle import mark as said_mark
from keepwell.models import Change, Changes, Fact, Owner, Scope, Source
from keepwell.storage.facts import ApplyEdits, DueItem
from keepwell.storage.plain import graph
from keepwell.storage.plain.due import record_calls
from keepwell.storage.plain.facts import Event, Kept, Refusal, Version, in_order
from keepwell.storage.plain.forming import check, finish
from keepwell.storage.plain.graph_following import follow
from keepwell.storage.plain.tables import Request, Tables, fingerprint, kept

CASCADE: Final = "cascade"
"""Who retracts what has lost all that it rested on."""
NOTHING_STANDS: Final = "nothing that it rests on stands any more"


def apply_edits(tables: Tables, change: ApplyEdits) -> Changes:
    """Do the edits, or give the answer that the idempotency key stands for."""
    if change.idempotency_key is None:
        return _apply(tables, change)
    name, asked = (change.owner, "edits", change.idempotency_key), fingerprint([_asked(one) for one in change.edits])
    known = tables.requests.get(name)
    if known is None:
        done = _apply(tables, change)
        tables.requests[name] = Request(None, asked, tuple(str(one.id) for one in done))
        return done
    if known.asked != asked:
        raise IdempotencyConflict(f"the idempotency key {change.idempotency_key!r} was used for other edits")
    events = (tables.changes.get(UUID(one)) for one in known.ids)
    return Changes(tuple(event.view(tables.facts) for event in events if event is not None))


def _asked(edit: Edit) -> list[object]:
    """Give what an edit asks for; ids of facts that are to be made and vectors may be others at each try."""
    fact = None if edit.kind == "ADD" else edit.fact
    return [edit.kind, str(fact), edit.version, edit.reason, edit.trust, edit.draft and _said(edit.draft)]


def _said(draft: Draft) -> list[object]:
    sources = [[one.message, one.start, one.end, str(one.fact), one.version] for one in draft.sources]
    times = [draft.valid_from, draft.valid_to, draft.expires_at]
    names = [draft.text, draft.subject, draft.kind, draft.key, draft.trust]
    return [*names, *times, draft.confidence, dict(draft.metadata), sources]


def _apply(tables: Tables, change: ApplyEdits) -> Changes:
    if change.formed is not None:
        check(tables, change.formed)
    there = standing(tables, change.owner, change.edits)
    settled = settle(
        change.edits,
        there,
        owner=change.owner,
        actor=change.actor,
        batch=change.batch,
        explicit=change.explicit,
        at=tables.instant(),
    )
    _check_sources(tables, change, settled)
    for item in change.done:
        tables.waiting.pop((item.kind, item.owner, item.item), None)
    for one in settled:
        _write(tables, change, one)
    caused = cascade(tables, _triggers(change, settled))
    record_calls(tables, change.owner, change.calls)
    if change.formed is not None:
        finish(tables, change.formed)
    if change.graph is not None:
        places = landed(change.edits, settled, there)
        graph.write(tables, change.owner, change.graph, change.actor, change.batch, landed=places)
    follow(tables, [*(one.change for one in settled), *caused])
    events = [tables.changes[one.id] for one in (*(one.change for one in settled), *caused)]
    return Changes(tuple(event.view(tables.facts) for event in events))


def standing(tables: Tables, owner: Owner, edits: Iterable[Edit]) -> Standing:
    """Give what the owner's record says of everything that the edits can touch."""
    edits = list(edits)
    drafts = [edit.draft for edit in edits if edit.draft is not None]
    ids = {edit.fact for edit in edits}
    keys = {draft.key for draft in drafts} - {None}
    marks = {said_mark(draft.text, draft.kind, draft.key) for draft in drafts}
    mine = [one for one in tables.facts.values() if one.fact.owner == owner]
    last: dict[UUID, int] = {}
    for one in mine:
        last[one.fact.id] = max(one.fact.version, last.get(one.fact.id, 0))
    named = [one for one in mine if one.fact.id in ids or one.fact.key in keys or one.row.mark in marks]
    return Standing({one.fact.id: one.fact for one in named if one.fact.stands}, last, rejected(tables, owner))


def rejected(tables: Tables, owner: Owner) -> frozenset[bytes]:
    """Give the hashes of all rejections that bind an owner."""
    return frozenset(one.hash for one in tables.refusals.values() if one.view.covers(owner))


def _check_sources(tables: Tables, change: ApplyEdits, settled: Iterable[Settled]) -> None:
    """Refuse drafts that rest on what is not there any more: what was forgotten must not come back."""
    made = {(one.change.fact, one.change.after.version) for one in settled if one.change.after is not None}
    sources = [source for edit in change.edits if edit.draft is not None for source in edit.draft.sources]
    sources = [source for source in sources if (source.fact, source.version) not in made]
    if (gone := missing(tables, sources)) is None:
        return
    if change.formed is not None:
        raise LeaseLost("what was read to form this is not there any more")
    raise gone


def missing(tables: Tables, sources: Iterable[Source]) -> NotFound | None:
    """Give the error for the first source that is not there, None where all are."""
    messages = tables.messages()
    for source in sources:
        if source.message is not None and source.message not in messages:
            return MessageNotFound(f"there is no message {source.message} that this could rest on")
        if source.fact is not None and (source.fact, source.version) not in tables.facts:
            return FactNotFound(f"there is no fact {source.fact} in version {source.version} that this could rest on")
    return None


def _write(tables: Tables, asked: ApplyEdits, settled: Settled) -> None:
    change = settled.change
    if change.kind != "NONE" and change.before is not None:
        tables.end_fact(tables.facts[change.fact, change.before.version], change.at)
    if settled.draft is not None and change.after is not None:
        _begin(tables, asked, settled.draft, change.after)
    elif settled.also and change.after is not None:
        _join(tables, tables.facts[change.fact, change.after.version], settled.also)
    for number, refusal in list(tables.refusals.items()):
        if refusal.hash in settled.lift and refusal.view.covers(change.owner):
            del tables.refusals[number]
    reject(tables, asked.view, settled.reject, change.reason, change.at)
    tables.changes[change.id] = Event.of(change, next(tables.numbers))


def _begin(tables: Tables, asked: ApplyEdits, draft: Draft, fact: Fact) -> None:
    row = Version(next(tables.numbers), fact, draft.terms, draft.signals)
    made = Kept(row, in_order(draft.sources)).saying(metadata=kept(dict(fact.metadata)))
    if asked.space in tables.spaces:
        vectors = {(asked.space, chunk): np.array(one, np.float32) for chunk, one in enumerate(draft.vectors)}
        made = Kept(made.row, made.sources, vectors)
    tables.keep_fact(made)
    if not made.vectors and draft.terms:
        tables.put_off(DueItem("embed", fact.owner, str(fact.id)), fact.recorded_at)


def _join(tables: Tables, there: Kept, sources: tuple[Source, ...]) -> None:
    tables.keep_fact(Kept(there.row, in_order((*there.sources, *sources)), there.vectors))


def reject(tables: Tables, view: Scope, hashes: Iterable[bytes], reason: str, at: dt.datetime) -> int:
    """Keep rejections; one that the view has made already stays as it is."""
    known = {(one.view, one.hash) for one in tables.refusals.values()}
    new = [one for one in dict.fromkeys(hashes) if (view, one) not in known]
    for one in new:
        number = next(tables.numbers)
        tables.refusals[number] = Refusal(number, view, one, at, reason)
    return len(new)


# --- what follows


def _triggers(asked: ApplyEdits, settled: Iterable[Settled]) -> list[tuple[UUID, Change]]:
    """Give facts whose dependants are to be looked at, each with the change that is the cause.

    These are the facts of which a version ended; where due work is done by this, also those that it names, which may
    have ended while it was formed.
    """
    changes = [one.change for one in settled if one.change.kind != "NONE"]
    ended = [(one.fact, one) for one in changes if one.before is not None]
    named = [(source.fact, one) for one in changes if one.after is not None for source in one.sources]
    return [*ended, *((fact, one) for fact, one in named if fact is not None and asked.done)]


def cascade(tables: Tables, triggers: Iterable[tuple[UUID, Change]]) -> list[Change]:
    """Re-open facts that name a version which does not stand any more, or retract them where nothing stands."""
    waiting = list(triggers)
    caused: list[Change] = []
    while waiting:
        fact, cause = waiting.pop(0)
        for one in _dependants(tables, fact):
            if _is_supported(tables, one):
                reopen(tables, one, cause.at)
            else:
                gone = _retract(tables, one, cause)
                caused.append(gone)
                waiting.append((gone.fact, gone))
    return caused


def _dependants(tables: Tables, fact: UUID) -> list[Kept]:
    now = tables.standing()

    def is_past(source: Source) -> bool:
        return source.fact == fact and (fact not in now or now[fact].fact.version != source.version)

    return [one for one in now.values() if one.fact.id != fact and any(map(is_past, one.sources))]


def _is_supported(tables: Tables, one: Kept) -> bool:
    """Tell whether any of what it rests on is there: a message, or a fact that stands, in whatever version."""
    messages: Mapping[int, object] = tables.messages()
    now = tables.standing()
    return any(source.message in messages or source.fact in now for source in one.sources)


def reopen(tables: Tables, one: Kept, at: dt.datetime) -> None:
    """Mark a standing version as one that is to be looked at again, and note that as work."""
    if not one.fact.reopened:
        tables.keep_fact(one.saying(reopened=True))
    tables.put_off(DueItem("reform", one.fact.owner, str(one.fact.id)), at)


def _retract(tables: Tables, one: Kept, cause: Change) -> Change:
    fact = one.fact
    change = Change(
        uuid4(), "DELETE", fact.id, fact.owner, fact, None, NOTHING_STANDS, cause.at, CASCADE, cause.batch, cause.id
    )
    tables.end_fact(one, cause.at)
    tables.changes[change.id] = Event.of(change, next(tables.numbers))
    return change
