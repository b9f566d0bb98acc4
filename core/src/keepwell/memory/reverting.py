"""Reading what a revert needs to know, so that it can be planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from keepwell.formation.revert import Ground, Step, Undoing, joined, plan, undoings, with_caused
from keepwell.formation.settle import Edit
from keepwell.memory.drafts import filled
from keepwell.memory.engine import Engine
from keepwell.memory.paging import MAX_PAGE, pages
from keepwell.models import Change, Fact, Scope, Source
from keepwell.storage.base import Record
from keepwell.storage.facts import ListFacts, RawSources, ReadHistory

SourcesOf = Mapping[tuple[UUID, int], tuple[Source, ...]]


def steps_back(engine: Engine, scope: Scope, chosen: Sequence[Change]) -> list[Step]:
    """Give the edits that take changes back (oldest first), ready to be applied; none where nothing differs."""
    record = engine.record
    history = list(pages(record, ReadHistory(scope, since=chosen[0].at, oldest_first=True, limit=MAX_PAGE)))
    taken = with_caused((change.id for change in chosen), history)
    wanted = undoings(taken, history)
    again = [change for change in history if change.id in taken and change.kind == "NONE" and change.sources]
    extra = {ident: joined(_of(record, scope, ident), taken) for ident in {change.fact for change in again}}
    resting = _resting(record, scope, wanted, extra)
    if not (resting or any(one.differs for one in wanted)):
        return []
    sources = record.read(RawSources(scope, (*{one.fact for one in wanted}, *resting)))
    now = (one.now for one in wanted if one.now is not None)
    standing = _standing(record, scope, sources, (*resting.values(), *now))
    return _filled(engine, plan(wanted, Ground(sources, tuple(resting.values()), standing, extra)))


def _of(record: Record, scope: Scope, fact: UUID) -> list[Change]:
    return list(pages(record, ReadHistory(scope, fact, oldest_first=True, limit=MAX_PAGE)))


def _resting(
    record: Record, scope: Scope, wanted: Sequence[Undoing], extra: Mapping[UUID, frozenset[Source]]
) -> dict[UUID, Fact]:
    """Give standing facts that rest on those at hand, directly or not, and those that were only said again.

    Of those that rest on a fact that goes, they are the ones that stood before it came: they do without it.
    """
    at_hand = {one.fact for one in wanted}
    found: dict[UUID, Fact] = {}
    for one in wanted:
        if one.before is None:
            resting = pages(record, ListFacts(scope, rests_on=Source(fact=one.fact), limit=MAX_PAGE))
            stood = (fact for fact in resting if fact.recorded_at < one.undone[0].at)
            found |= {fact.id: fact for fact in stood if fact.id not in at_hand}
    said_again = tuple(ident for ident, named in extra.items() if named and ident not in at_hand)
    if said_again:
        found |= {fact.id: fact for fact in pages(record, ListFacts(scope, ids=said_again, limit=MAX_PAGE))}
    below = [*(one.fact for one in wanted if one.before is not None), *found]
    while below:
        resting = pages(record, ListFacts(scope, rests_on=Source(fact=below.pop()), limit=MAX_PAGE))
        fresh = [fact for fact in resting if fact.id not in at_hand and fact.id not in found]
        found |= {fact.id: fact for fact in fresh}
        below += [fact.id for fact in fresh]
    return found


def _standing(record: Record, scope: Scope, sources: SourcesOf, facts: Iterable[Fact]) -> dict[UUID, int]:
    """Give the versions in which the facts stand that these rest on."""
    named = {source.fact for fact in facts for source in sources.get((fact.id, fact.version), ())} - {None}
    ids = tuple(ident for ident in named if ident is not None)
    if not ids:
        return {}
    return {fact.id: fact.version for fact in pages(record, ListFacts(scope, ids=ids, limit=MAX_PAGE))}


def _filled(engine: Engine, steps: Sequence[Step]) -> list[Step]:
    drafts = [edit.draft for step in steps for edit in step.edits if edit.draft is not None]
    ready = iter(filled(engine, drafts))

    def fill(edit: Edit) -> Edit:
        return edit if edit.draft is None else replace(edit, draft=next(ready))

    return [replace(step, edits=tuple(fill(edit) for edit in step.edits)) for step in steps]
