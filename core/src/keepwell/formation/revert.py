"""Taking changes back: which edits give facts the state that they had before some changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from uuid import UUID

from keepwell.formation.settle import Draft, Edit, draft_of
from keepwell.models.fact import Change, Fact, Source
from keepwell.models.scope import Owner

SourcesOf = Mapping[tuple[UUID, int], tuple[Source, ...]]
"""The sources of versions of facts, by id and version."""


@dataclass(frozen=True, slots=True)
class Undoing:
    """One fact that is to be as it was: ``before`` (None: not there), from ``now`` (None: it does not stand).

    ``last`` is its newest version number. ``undone`` are the changes that were asked for or caused by those,
    ``later`` those that came to the same fact afterwards and go with them.
    """

    fact: UUID
    owner: Owner
    before: Fact | None
    now: Fact | None
    last: int
    undone: tuple[Change, ...]
    later: tuple[Change, ...]

    @property
    def differs(self) -> bool:
        """Tell whether there is anything to do."""
        if self.before is None or self.now is None:
            return self.before is not self.now
        return self.now.reopened or not same(self.before, self.now)

    @property
    def saying(self) -> frozenset[int]:
        """The versions that say what it said before: that one, and the present one where it says the same."""
        if self.before is None:
            return frozenset()
        alike = self.now is not None and same(self.before, self.now)
        return frozenset({self.before.version, self.now.version} if alike and self.now else {self.before.version})

    @property
    def reason(self) -> str:
        """What is undone, by kind and number; it holds no words of the fact."""
        told = f"taken back: {_named(self.undone)}"
        return f"{told}; with it, because it came later: {_named(self.later)}" if self.later else told


@dataclass(frozen=True, slots=True)
class Step:
    """Edits of one owner, to be applied together; steps are applied in their order."""

    owner: Owner
    edits: tuple[Edit, ...]


def same(one: Fact, other: Fact) -> bool:
    """Tell whether two versions of a fact say the same, to the letter."""
    return draft_of(one, ()) == draft_of(other, ())


def with_caused(chosen: Iterable[UUID], changes: Sequence[Change]) -> frozenset[UUID]:
    """Give the chosen changes and those that they made necessary; ``changes`` are oldest first."""
    taken = set(chosen)
    for change in changes:
        if change.cause in taken:
            taken.add(change.id)
    return frozenset(taken)


def joined(history: Sequence[Change], taken: frozenset[UUID]) -> frozenset[Source]:
    """Give the sources that a fact has only because of decisions that are taken back: it was said again."""
    own = {source for change in history if change.id not in taken for source in change.sources}
    said = {source for change in history if change.id in taken and change.kind == "NONE" for source in change.sources}
    return frozenset(said - own)


def undoings(taken: frozenset[UUID], changes: Sequence[Change]) -> tuple[Undoing, ...]:
    """Give, for each fact that changes taken back touched, what it was before the earliest of them, and is now.

    ``changes`` are all of the view, oldest first, at least since the earliest one that is taken back.
    """
    by_fact: dict[UUID, list[Change]] = {}
    for change in changes:
        if change.kind != "NONE":
            by_fact.setdefault(change.fact, []).append(change)
    found = (_undoing(history, taken) for history in by_fact.values())
    return tuple(one for one in found if one is not None)


def _undoing(history: Sequence[Change], taken: frozenset[UUID]) -> Undoing | None:
    first = next((place for place, change in enumerate(history) if change.id in taken), None)
    if first is None:
        return None
    versions = [fact.version for change in history for fact in (change.before, change.after) if fact is not None]
    gone = history[first:]
    return Undoing(
        fact=history[first].fact,
        owner=history[-1].owner,
        before=history[first].before,
        now=history[-1].after,
        last=max(versions),
        undone=tuple(change for change in gone if change.id in taken),
        later=tuple(change for change in gone if change.id not in taken),
    )


def plan(
    wanted: Sequence[Undoing],
    sources: SourcesOf,
    dependants: Sequence[Fact] = (),
    without: Mapping[UUID, frozenset[Source]] = MappingProxyType({}),
) -> tuple[Step, ...]:
    """Give the edits, step by step: what goes, from the last formed to the first, then what comes, the other way.

    So nothing that is put back is re-opened again by what is put back after it. ``sources`` has those of every
    version at hand, and of ``dependants``: standing facts that are to be looked at no more, because what they rest on
    is as it was. A source fact that is put back is named in its new version. ``without`` are sources that are taken
    back themselves, see :func:`joined`.
    """
    moving = _moving(wanted, sources)
    renewed = {one.fact: (one.saying, _version(one, moving)) for one in wanted if one.before is not None}
    depth = _depths(wanted, sources, dependants)

    def rests_on(fact: Fact) -> tuple[Source, ...]:
        kept = (source for source in sources.get((fact.id, fact.version), ()) if source not in without.get(fact.id, ()))
        return tuple(_renewed(source, renewed) for source in kept)

    going = [(depth.get(one.fact, 0), one.owner, _delete(one)) for one in wanted if one.differs and one.before is None]
    coming = [
        (depth.get(one.fact, 0), one.owner, _put_back(one, one.before, rests_on(one.before)))
        for one in wanted
        if one.fact in moving and one.before is not None
    ]
    coming += [(depth.get(fact.id, 0), fact.owner, _stand_again(fact, rests_on(fact))) for fact in dependants]
    return (*_steps(going, deepest_first=True), *_steps(coming, deepest_first=False))


def _version(one: Undoing, moving: set[UUID]) -> int:
    """Give the version that will say what a fact said before."""
    return one.last + 1 if one.fact in moving or one.now is None else one.now.version


def _moving(wanted: Sequence[Undoing], sources: SourcesOf) -> set[UUID]:
    """Give the facts that get another version or go: those that differ, and those that rest on one that does."""
    moving = {one.fact for one in wanted if one.differs}
    rests = {
        one.fact: {source.fact for source in sources.get((one.fact, one.now.version), ())}
        for one in wanted
        if one.now is not None
    }
    while more := {fact for fact, below in rests.items() if fact not in moving and not moving.isdisjoint(below)}:
        moving |= more
    return moving


def _depths(wanted: Sequence[Undoing], sources: SourcesOf, dependants: Sequence[Fact]) -> dict[UUID, int]:
    """Give how many of the facts at hand stand between each of them and what was said."""
    versions = [one.before or one.now for one in wanted]
    rests = {
        fact.id: {source.fact for source in sources.get((fact.id, fact.version), ()) if source.fact is not None}
        for fact in (*versions, *dependants)
        if fact is not None
    }
    depth = dict.fromkeys(rests, 0)
    for _ in rests:  # a chain is no longer than there are facts; a circle ends here, too
        deeper = {
            ident: max((depth[on] + 1 for on in below if on in depth and on != ident), default=0)
            for ident, below in rests.items()
        }
        if deeper == depth:
            break
        depth = deeper
    return depth


def _renewed(source: Source, renewed: Mapping[UUID, tuple[frozenset[int], int]]) -> Source:
    """Give a source with its fact in the version that it will have."""
    if source.fact is None or source.fact not in renewed:
        return source
    old, new = renewed[source.fact]
    return replace(source, version=new) if source.version in old else source


def _delete(one: Undoing) -> Edit:
    version = None if one.now is None else one.now.version
    return Edit("DELETE", one.fact, version=version, reason=one.reason)


def _put_back(one: Undoing, before: Fact, rests_on: tuple[Source, ...]) -> Edit:
    return Edit("RESTORE", one.fact, draft_of(before, rests_on), version=one.last, reason=one.reason)


def _stand_again(fact: Fact, rests_on: tuple[Source, ...]) -> Edit:
    draft: Draft = draft_of(fact, rests_on)
    return Edit("RESTORE", fact.id, draft, reason="what it rests on is as it was")


def _steps(edits: Sequence[tuple[int, Owner, Edit]], *, deepest_first: bool) -> list[Step]:
    ordered = sorted(edits, key=lambda row: (-row[0] if deepest_first else row[0], row[1]))
    return [Step(owner, tuple(row[2] for row in rows)) for (_, owner), rows in groupby(ordered, lambda row: row[:2])]


def _named(changes: Sequence[Change]) -> str:
    return ", ".join(f"{change.kind} {change.id}" for change in changes)
