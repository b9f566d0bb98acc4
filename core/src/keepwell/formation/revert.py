"""Taking changes back: which edits give facts the state that they had before some changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
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


@dataclass(frozen=True, slots=True)
class Ground:
    """What is known of the facts at hand, and around them.

    ``sources``: those of every version of them. ``resting``: standing facts that rest on them, directly or not.
    ``standing``: the versions in which all else stands that these rest on. ``without``: sources that are taken back
    themselves, see :func:`joined`.
    """

    sources: SourcesOf
    resting: Sequence[Fact] = ()
    standing: Mapping[UUID, int] = field(default_factory=dict)
    without: Mapping[UUID, frozenset[Source]] = field(default_factory=dict)

    def under(self, fact: Fact) -> tuple[Source, ...]:
        """Give what a version rests on, without what is taken back."""
        kept = self.sources.get((fact.id, fact.version), ())
        return tuple(source for source in kept if source not in self.without.get(fact.id, ()))

    def named(self, fact: Fact) -> frozenset[UUID]:
        """Give the facts that a version rests on now."""
        kept = self.sources.get((fact.id, fact.version), ())
        return frozenset(source.fact for source in kept if source.fact is not None)

    @property
    def saying(self) -> Mapping[UUID, frozenset[int]]:
        """The versions that say what facts say now."""
        return {ident: frozenset({version}) for ident, version in self.standing.items()}

    def is_whole(self, fact: Fact, saying: Mapping[UUID, frozenset[int]]) -> bool:
        """Tell whether every fact that it rests on says what it said when this was formed from it."""
        return all(s.fact is None or s.version in saying.get(s.fact, ()) for s in self.under(fact))

    def stands_by_word(self, fact: Fact) -> bool:
        """Tell whether a fact stands without doubt although what it rests on is not as it was: a person said so."""
        return not fact.reopened and not self.is_whole(fact, self.saying)


def plan(wanted: Sequence[Undoing], ground: Ground) -> tuple[Step, ...]:
    """Give the edits, step by step: what goes, from the last formed to the first, then what comes, the other way.

    So nothing that is put back is re-opened by what is put back after it. A fact that is put back gets a new version;
    what rests on it gets one too, which names that, where all that it was formed from is as it was.
    """
    moving, again = _touched(wanted, ground)
    renewed = {one.fact: (one.saying, _version(one, moving)) for one in wanted if one.before is not None}
    renewed |= {fact.id: (frozenset({fact.version}), fact.version + 1) for fact in again}
    depth = _depths([*(one.before or one.now for one in wanted), *again], ground)

    def rests_on(fact: Fact) -> tuple[Source, ...]:
        # Facts that rest on each other cannot both name what comes later: the one put back first names what was.
        ahead = {ident: new for ident, new in renewed.items() if depth.get(ident, 0) < depth.get(fact.id, 0)}
        return tuple(_renewed(source, ahead) for source in ground.under(fact))

    going = [(depth.get(one.fact, 0), one.owner, _delete(one)) for one in wanted if one.differs and one.before is None]
    coming = [
        (depth.get(one.fact, 0), one.owner, _put_back(one, one.before, rests_on(one.before)))
        for one in wanted
        if one.fact in moving and one.before is not None
    ]
    coming += [(depth[fact.id], fact.owner, _stand_again(fact, rests_on(fact))) for fact in again]
    return (*_steps(going, deepest_first=True), *_steps(coming, deepest_first=False))


def _touched(wanted: Sequence[Undoing], ground: Ground) -> tuple[set[UUID], list[Fact]]:
    """Give the facts at hand that get another version or go, and the resting ones that have to stand again.

    These are the ones that differ, and whatever rests on one that gets another version.
    """
    moving = {one.fact for one in wanted if one.differs}
    at_hand = {one.fact for one in wanted if one.before is not None}
    # What stands without doubt goes on doing so: by what it rests on, or by the word of who restored it.
    then = {**ground.saying, **{one.fact: one.saying for one in wanted}}
    whole = {fact.id for fact in ground.resting if ground.stands_by_word(fact) or ground.is_whole(fact, then)}
    fallen = _fallen(wanted, ground)
    back = {one.fact for one in wanted if one.before is not None and (one.now is None or one.fact in fallen)}
    again: dict[UUID, Fact] = {}
    ended = moving & {one.fact for one in wanted if one.now is not None}

    def stands_again(fact: Fact) -> bool:
        if fact.id in whole and _falls(fact, ended | set(again), at_hand, ground):
            return True
        # What falls although some of its ground is there in the end stands on that, as it did.
        return fact.id in fallen and not (back | set(again)).isdisjoint(ground.named(fact))

    while True:
        new = ended | set(again)
        more = {
            one.fact
            for one in wanted
            if one.fact not in moving and one.now is not None and not new.isdisjoint(ground.named(one.now))
        }
        resting = [fact for fact in ground.resting if fact.id not in again and stands_again(fact)]
        if not (more or resting):
            return moving, list(again.values())
        moving |= more
        ended |= more
        again |= {fact.id: fact for fact in resting}


def _falls(fact: Fact, new: set[UUID], at_hand: set[UUID], ground: Ground) -> bool:
    """Tell whether a resting fact will be re-opened by the edits, or is so because of what they take back."""
    named = ground.named(fact)
    if not new.isdisjoint(named):
        return True
    return fact.reopened and (bool(ground.without.get(fact.id)) or not at_hand.isdisjoint(named))


def _fallen(wanted: Sequence[Undoing], ground: Ground) -> set[UUID]:
    """Give the facts that go, and those that go with them because nothing that they rest on stands meanwhile."""
    fallen = {one.fact for one in wanted if one.before is None}
    standing = {one.fact: one.now for one in wanted if one.now is not None} | {fact.id: fact for fact in ground.resting}
    on = {ident: ground.named(fact) & (ground.standing.keys() | standing.keys()) for ident, fact in standing.items()}
    while True:
        more = {ident for ident, below in on.items() if ident not in fallen and below and below <= fallen}
        if not more:
            return fallen
        fallen |= more


def _version(one: Undoing, moving: set[UUID]) -> int:
    """Give the version that will say what a fact said before."""
    return one.last + 1 if one.fact in moving or one.now is None else one.now.version


def _depths(facts: Sequence[Fact | None], ground: Ground) -> dict[UUID, int]:
    """Give how many of the facts at hand stand between each of them and what was said."""
    rests = {fact.id: ground.named(fact) for fact in facts if fact is not None}
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
