"""What edits of the graph come to, given what stands: one pure function that every store applies in its transaction.

Merging marks: what was merged keeps its own mentions and relations, and says whom it is taken to be. So a merge can be
taken back exactly, and a split is the same from the other side.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never
from uuid import UUID, uuid4

from keepwell.errors import EntityNotFound, FactChanged, RelationNotFound, UsageError
from keepwell.formation.graph_edits import (
    AddEntity,
    ChangeEntity,
    EndRelation,
    GraphEdit,
    MergeEntities,
    Relate,
    RemoveEntity,
    RestoreEntity,
    RestoreRelation,
    RetractRelation,
    SplitEntity,
    fold,
)  # fmt: skip
from keepwell.formation.settle import Edit, Settled, Standing, fingerprint
from keepwell.models.fact import Source
from keepwell.models.graph import Entity, GraphChange, GraphChangeKind, Mention, Relation
from keepwell.models.scope import Owner


@dataclass(frozen=True, slots=True)
class GraphStanding:
    """What the owner's record says of everything that the edits can touch.

    ``entities``: those that an edit names, whom they are taken to be, and what is taken to be those. ``relations``: the
    newest version of each that an edit names, standing or not, and the standing ones that have the ends of a new one.
    ``moved``: of which entity the mentions are that an edit moves.
    """

    entities: Mapping[UUID, Entity] = field(default_factory=dict)
    relations: Mapping[UUID, Relation] = field(default_factory=dict)
    moved: Mapping[int, UUID] = field(default_factory=dict)


@dataclass(slots=True)
class GraphSettled:
    """What is to be written: the changes, in order, and how everything is after them.

    ``entities`` are new or changed; ``made`` are new versions of relations, which may have ended in the same write;
    ``ended`` are versions of the record that end; ``joined`` are sources that join a version; ``moved`` mentions
    (numbers) become those of another entity.
    """

    changes: list[GraphChange] = field(default_factory=list)
    entities: dict[UUID, Entity] = field(default_factory=dict)
    made: dict[tuple[UUID, int], Relation] = field(default_factory=dict)
    ended: set[tuple[UUID, int]] = field(default_factory=set)
    joined: dict[tuple[UUID, int], tuple[Source, ...]] = field(default_factory=dict)
    moved: dict[int, UUID] = field(default_factory=dict)


def grounded(edits: Sequence[GraphEdit], mentions: Iterable[Mention]) -> list[GraphEdit]:
    """Give the edits without those that nothing speaks for.

    That is relations which rest on nothing and were not given, and new entities without a given name that no mention
    and no relation names, with what is said of them.
    """
    left = [edit for edit in edits if not (isinstance(edit, Relate) and not (edit.given or edit.sources))]
    named = {mention.entity for mention in mentions}
    named |= {end for edit in left if isinstance(edit, Relate) for end in (edit.subject, edit.object)}
    bare = {edit.id for edit in left if isinstance(edit, AddEntity) and not edit.given and edit.id not in named}
    return [edit for edit in left if bare.isdisjoint(_named(edit))]


def _named(edit: GraphEdit) -> tuple[UUID, ...]:  # noqa: PLR0911 - one a kind of edit
    """Give the entities that an edit names."""
    match edit:
        case MergeEntities():
            return (edit.id, edit.into)
        case SplitEntity():
            return (edit.id, edit.new)
        case Relate():
            return (edit.subject, edit.object)
        case RestoreEntity():
            merged = () if edit.state.merged_into is None else (edit.state.merged_into,)
            return (edit.state.id, *merged, *(entity for _, entity in edit.moved))
        case RestoreRelation():
            return (edit.state.subject, edit.state.object)
        case AddEntity() | ChangeEntity() | RemoveEntity():
            return (edit.id,)
        case EndRelation() | RetractRelation():
            return ()
    assert_never(edit)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What has to be looked up before edits are settled; ``pairs`` are ends of new relations."""

    entities: frozenset[UUID]
    relations: frozenset[UUID]
    pairs: frozenset[tuple[UUID, UUID]]
    mentions: frozenset[int]


def wanted(edits: Iterable[GraphEdit]) -> Wanted:
    """Give what :class:`GraphStanding` has to say for these edits."""
    entities: set[UUID] = set()
    relations: set[UUID] = set()
    pairs: set[tuple[UUID, UUID]] = set()
    mentions: set[int] = set()
    for edit in edits:
        entities.update(_named(edit))
        match edit:
            case Relate():
                pairs.add((edit.subject, edit.object))
                relations.add(edit.id)
            case EndRelation() | RetractRelation():
                relations.add(edit.id)
            case RestoreRelation():
                relations.add(edit.state.id)
            case SplitEntity():
                relations.update(edit.relations)
                mentions.update(edit.mentions)
            case RestoreEntity():
                mentions.update(number for number, _ in edit.moved)
            case AddEntity() | ChangeEntity() | MergeEntities() | RemoveEntity():
                pass
            case _:
                assert_never(edit)
    return Wanted(frozenset(entities), frozenset(relations), frozenset(pairs), frozenset(mentions))


def settle_graph(
    edits: Sequence[GraphEdit],
    standing: GraphStanding,
    *,
    owner: Owner,
    actor: str,
    batch: UUID,
    at: dt.datetime,
    lenient: bool = False,
) -> GraphSettled:
    """Give what the edits come to, in order; each sees what the ones before it did.

    ``lenient``: an edit that names what is not there (any more), or is in another version now, is left out.

    Raises:
        EntityNotFound: an edit names an entity that is not there, or was taken away.
        RelationNotFound: an edit names a relation that is not there, or does not stand.
        FactChanged: it was made for another version.
    """
    maker = _Maker(owner, actor, batch, at, dict(standing.entities), dict(standing.relations), dict(standing.moved))
    for edit in edits:
        try:
            maker.do(edit)
        except (EntityNotFound, RelationNotFound, FactChanged):
            if not lenient:
                raise
    return maker.settled


@dataclass(slots=True)
class _Maker:
    """Makes changes, and keeps entities and relations as they leave them."""

    owner: Owner
    actor: str
    batch: UUID
    at: dt.datetime
    entities: dict[UUID, Entity]
    relations: dict[UUID, Relation]
    moved: dict[int, UUID]
    settled: GraphSettled = field(default_factory=GraphSettled)

    def do(self, edit: GraphEdit) -> None:  # noqa: C901 - one a kind of edit
        match edit:
            case AddEntity():
                self._add(edit)
            case ChangeEntity():
                self._change(edit)
            case MergeEntities():
                self._merge(edit)
            case SplitEntity():
                self._split(edit)
            case RemoveEntity():
                self._remove(edit)
            case RestoreEntity():
                self._restore(edit)
            case Relate():
                self._relate(edit)
            case EndRelation():
                self._end(edit)
            case RetractRelation():
                relation = self._standing(edit.id, edit.version)
                self._close(relation)
                self._noted_relation("DELETE", edit, relation, None)
            case RestoreRelation():
                self._restore_relation(edit)
            case _:
                assert_never(edit)

    def _entity(self, ident: UUID, version: int | None = None) -> Entity:
        """Give an entity that was not taken away."""
        found = self.entities.get(ident)
        if found is None or found.retired_at is not None:
            raise EntityNotFound(f"there is no entity {ident} here")
        if version not in (None, found.version):
            raise FactChanged(f"entity {ident} is in version {found.version} now, not {version}; look at it again")
        return found

    def _now(self, ident: UUID) -> UUID:
        """Give whom an entity is taken to be, though it was taken away."""
        if ident not in self.entities:
            raise EntityNotFound(f"there is no entity {ident} here")
        return self.entities[ident].now

    def _survivor(self, ident: UUID) -> Entity:
        return self._entity(self._entity(ident).now)

    def _standing(self, ident: UUID, version: int | None = None) -> Relation:
        found = self.relations.get(ident)
        if found is None or not found.stands:
            raise RelationNotFound(f"there is no relation {ident} that stands here")
        if version not in (None, found.version):
            raise FactChanged(f"relation {ident} is in version {found.version} now, not {version}; look at it again")
        return found

    def _add(self, edit: AddEntity) -> None:
        if edit.id in self.entities:
            return
        made = Entity(edit.id, edit.name, self.owner, edit.type, given=edit.given, metadata=edit.metadata)
        self._put("ADD", edit, None, made)

    def _change(self, edit: ChangeEntity) -> None:
        there = self._entity(edit.id, edit.version)
        name = there.name if edit.name is None else edit.name
        # A name that a person gave is not taken away by another one.
        kept = (there.name,) if there.name in there.given else ()
        given = tuple(dict.fromkeys((*there.given, *kept, *edit.given)))
        metadata = {key: value for key, value in {**there.metadata, **edit.metadata}.items() if value is not None}
        after = replace(there, name=name, type=edit.type or there.type, given=given, metadata=metadata)
        if after != there:
            self._put("UPDATE", edit, there, after)

    def _merge(self, edit: MergeEntities) -> None:
        gone, into = self._survivor(edit.id), self._survivor(edit.into)
        if gone.id == into.id:
            return
        followers = [one for one in self.entities.values() if one.merged_into == gone.id]
        first = self._put("MERGE", edit, gone, replace(gone, merged_into=into.id), other=into.id)
        for one in followers:
            after = replace(one, merged_into=into.id)
            self._put("MERGE", edit, one, after, other=into.id, cause=first.id)

    def _split(self, edit: SplitEntity) -> None:
        whole = self._survivor(edit.id)
        group = {one.id for one in self.entities.values() if one.now == whole.id}
        taken = tuple((number, self.moved[number]) for number in edit.mentions if self.moved.get(number) in group)
        if edit.new in self.entities:
            raise UsageError(f"there is an entity {edit.new} already; give the new one an id of its own")
        made = Entity(edit.new, edit.name, self.owner, edit.type or whole.type, given=edit.given)
        first = self._put("SPLIT", edit, None, made, other=whole.id, moved=taken)
        for ident in edit.relations:
            before = self._standing(ident)
            ends = [edit.new if end in group else end for end in (before.subject, before.object)]
            after = replace(before, subject=ends[0], object=ends[1])
            if after != before:
                self._next("UPDATE", edit, before, after, cause=first.id)

    def _remove(self, edit: RemoveEntity) -> None:
        there = self._entity(edit.id)
        self._put("DELETE", edit, there, replace(there, retired_at=self.at))

    def _restore(self, edit: RestoreEntity) -> None:
        state = edit.state
        there = self.entities.get(state.id)
        if there is None:
            raise EntityNotFound(f"there is no entity {state.id} here")
        merged = None if state.merged_into is None else self._now(state.merged_into)
        names = ("name", "type", "given", "retired_at", "metadata")
        fields: dict[str, Any] = {name: getattr(state, name) for name in names}
        after = replace(there, merged_into=None if merged == there.id else merged, **fields)
        moved = tuple((number, self.moved[number]) for number, _ in edit.moved if number in self.moved)
        if after == there and not moved:
            return
        kind: GraphChangeKind = "DELETE" if after.retired_at and not there.retired_at else "RESTORE"
        first = self._put(kind, edit, there, after, moved=moved, back=dict(edit.moved))
        if after.merged_into is not None:
            for one in [one for one in self.entities.values() if one.merged_into == after.id]:
                follows = replace(one, merged_into=after.merged_into)
                self._put("MERGE", edit, one, follows, other=after.merged_into, cause=first.id)

    def _relate(self, edit: Relate) -> None:
        ends = self._survivor(edit.subject).id, self._survivor(edit.object).id
        if edit.id in self.relations:
            return
        said = fold(edit.predicate)
        for there in list(self.relations.values()):
            same = there.stands and fold(there.predicate) == said and self._ends(there) == ends
            if same and _fits(there, edit):
                self._again(edit, there)
                return
        made = Relation(
            edit.id, 1, edit.subject, edit.predicate, edit.object, self.owner, self.at, edit.valid_from, edit.valid_to,
            None, edit.given, edit.sources,
        )  # fmt: skip
        self._next("ADD", edit, None, made)

    def _again(self, edit: Relate, there: Relation) -> None:
        """Let what stands rest on what is said now, too; with dates that it lacks as a new version."""
        since, until = there.valid_from or edit.valid_from, there.valid_to or edit.valid_to
        given = there.given or edit.given
        sources = tuple(dict.fromkeys((*there.sources, *edit.sources)))
        after = replace(there, valid_from=since, valid_to=until, given=given, sources=sources)
        if (since, until, given) != (there.valid_from, there.valid_to, there.given):
            self._next("UPDATE", edit, there, after)
        elif sources != there.sources:
            self.relations[there.id] = after
            name = there.id, there.version
            if name in self.settled.made:
                self.settled.made[name] = after
            else:
                self.settled.joined[name] = (*self.settled.joined.get(name, ()), *edit.sources)

    def _ends(self, relation: Relation) -> tuple[UUID, UUID]:
        subject, other = (self.entities.get(end) for end in (relation.subject, relation.object))
        return subject.now if subject else relation.subject, other.now if other else relation.object

    def _end(self, edit: EndRelation) -> None:
        there = self._standing(edit.id, edit.version)
        if there.valid_to == edit.valid_to:
            return
        after = replace(there, valid_to=edit.valid_to)
        if edit.sources or edit.given:
            after = replace(after, given=edit.given, sources=edit.sources)
        self._next("UPDATE", edit, there, after)

    def _restore_relation(self, edit: RestoreRelation) -> None:
        there = self.relations.get(edit.state.id)
        if there is None:
            raise RelationNotFound(f"there is no relation {edit.state.id} here")
        for end in (edit.state.subject, edit.state.object):
            if end not in self.entities:
                raise EntityNotFound(f"there is no entity {end} here")
        after = replace(edit.state, version=there.version, recorded_at=there.recorded_at, retired_at=None)
        if there.stands and after == there:
            return
        self._next("RESTORE", edit, there if there.stands else None, after, last=there.version)

    def _next(
        self,
        kind: GraphChangeKind,
        edit: GraphEdit,
        before: Relation | None,
        after: Relation,
        *,
        cause: UUID | None = None,
        last: int = 0,
    ) -> None:
        """Let a version begin, and the one before end."""
        if before is not None:
            self._close(before)
            last = before.version
        made = replace(after, version=last + 1, recorded_at=self.at, retired_at=None)
        self.relations[made.id] = self.settled.made[made.id, made.version] = made
        self._noted_relation(kind, edit, before, made, cause)

    def _close(self, relation: Relation) -> None:
        name, ended = (relation.id, relation.version), replace(relation, retired_at=self.at)
        self.relations[relation.id] = ended
        if name in self.settled.made:
            self.settled.made[name] = ended
        else:
            self.settled.ended.add(name)

    def _noted_relation(
        self,
        kind: GraphChangeKind,
        edit: GraphEdit,
        before: Relation | None,
        after: Relation | None,
        cause: UUID | None = None,
    ) -> None:
        thing = before or after
        about = None if thing is None else thing.id
        self.settled.changes.append(
            GraphChange(
                uuid4(), kind, self.owner, None, about, before, after, edit.reason, self.at, self.actor, self.batch,
                cause or edit.cause, None, (), edit.sources,
            )
        )  # fmt: skip

    def _put(
        self,
        kind: GraphChangeKind,
        edit: GraphEdit,
        before: Entity | None,
        after: Entity,
        *,
        other: UUID | None = None,
        cause: UUID | None = None,
        moved: tuple[tuple[int, UUID], ...] = (),
        back: Mapping[int, UUID] | None = None,
    ) -> GraphChange:
        """Keep a new state of an entity; ``moved`` mentions become its own, or those of the entities in ``back``."""
        made = after if before is None else replace(after, version=before.version + 1)
        self.entities[made.id] = self.settled.entities[made.id] = made
        for number, _ in moved:
            self.moved[number] = self.settled.moved[number] = (back or {}).get(number, made.id)
        change = GraphChange(
            uuid4(), kind, self.owner, made.id, None, before, made, edit.reason, self.at, self.actor, self.batch,
            cause or edit.cause, other, moved, edit.sources,
        )  # fmt: skip
        self.settled.changes.append(change)
        return change


def _fits(there: Relation, edit: Relate) -> bool:
    """Tell whether a relation that stands and one that is said can be the same one: their dates do not disagree."""
    pairs = ((there.valid_from, edit.valid_from), (there.valid_to, edit.valid_to))
    if any(ours is not None and theirs is not None and ours != theirs for ours, theirs in pairs):
        return False
    ended_before = there.valid_to is not None and edit.valid_from is not None and edit.valid_from >= there.valid_to
    return not ended_before and not (there.valid_to is not None and edit.valid_to is None and edit.valid_from is None)


def landed(
    edits: Sequence[Edit], settled: Iterable[Settled], standing: Standing
) -> dict[UUID, tuple[UUID, int] | None]:
    """Give where the statements of edits came to stand, by the id that each edit names; None where they did not.

    A statement that stands already, or that took the key of another fact, stands under that fact's id.
    """
    facts = dict(standing.facts)
    for one in settled:
        if one.change.kind != "NONE":
            facts.pop(one.change.fact, None)
            if one.change.after is not None:
                facts[one.change.fact] = one.change.after
    said = {fingerprint(fact.text): (fact.id, fact.version) for fact in facts.values()}
    return {
        edit.fact: None if edit.draft is None else said.get(fingerprint(edit.draft.text))
        for edit in edits
        if edit.fact is not None
    }


def told(change: GraphChange, entities: Mapping[UUID, Entity]) -> set[str]:
    """Give the folded names that a change tells, in its states or in its reason: those of everybody in it."""
    thing = change.after or change.before
    ends = (thing.subject, thing.object) if isinstance(thing, Relation) else (change.entity, change.other)
    named = [entities[end] for end in ends if end is not None and end in entities]
    named += [one for one in (change.before, change.after) if isinstance(one, Entity)]
    return {fold(name) for one in named for name in (one.name, *one.given, *one.aliases)}


def inverse(changes: Sequence[GraphChange], reason: str = "") -> list[GraphEdit]:
    """Give the edits that take changes back, given oldest first: the last one is undone first.

    What followed somebody into a merge is undone after that one, or it would follow once more.

    Example:
        >>> inverse([])
        []
    """
    merges = {change.id for change in changes if change.kind == "MERGE"}
    followers: dict[UUID, list[GraphChange]] = {}
    for change in changes:
        if change.kind == "MERGE" and change.cause in merges and change.cause is not None:
            followers.setdefault(change.cause, []).append(change)
    after = {change.id for group in followers.values() for change in group}
    order = (one for one in reversed(changes) if one.id not in after)
    return [_undone(one, reason) for change in order for one in (change, *followers.get(change.id, ()))]


def _undone(change: GraphChange, reason: str) -> GraphEdit:
    before, after = change.before, change.after
    if change.relation is not None:
        if isinstance(before, Relation):
            return RestoreRelation(before, reason, cause=change.id)
        return RetractRelation(change.relation, reason=reason, cause=change.id)
    if isinstance(before, Entity):
        return RestoreEntity(before, change.moved, reason, cause=change.id)
    if isinstance(after, Entity):
        gone = replace(after, retired_at=change.at)
        return RestoreEntity(gone, change.moved, reason, cause=change.id)
    raise UsageError(f"change {change.id} has neither a before nor an after; it cannot be taken back")
