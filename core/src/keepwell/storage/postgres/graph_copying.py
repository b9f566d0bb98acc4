"""Plans that carry a tenant's graph from one store to another."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from keepwell.formation.graph_edits import fold
from keepwell.models import Owner, Source
from keepwell.models.graph import Entity, Mention, Relation
from keepwell.storage import graph_copying as seam
from keepwell.storage.postgres.graph_rows import (
    change_of,
    change_row,
    entity_of,
    entity_row,
    ground_rows,
    mention_of,
    mention_row,
    name_row,
    relation_of,
    relation_row,
)
from keepwell.storage.postgres.rows import storable
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls

_FIRST = UUID(int=0)
_Place = tuple[UUID, int | None, UUID | None, int, int]
"""What tells one mention from another: the entity, the message or version of a fact, and where it starts."""


def size(walls: Walls, query: seam.SizeGraph) -> Plan[seam.GraphSize]:
    """Count the rows of a graph."""
    (row,) = yield walls.scoped("size_graph", query.scope)
    return seam.GraphSize(*row)


def read_entities(walls: Walls, query: seam.ReadEntityCopies) -> Plan[tuple[Entity, ...]]:
    """Give entities in the order of their ids."""
    rows = yield walls.scoped("copy_entities", query.scope, after=query.after or _FIRST, limit=query.limit)
    return tuple(map(entity_of, rows))


def read_relations(walls: Walls, query: seam.ReadRelationCopies) -> Plan[tuple[Relation, ...]]:
    """Give versions of relations in the order of ids and versions."""
    after, version = query.after or (_FIRST, 0)
    rows = yield walls.scoped("copy_relations", query.scope, after=after, version=version, limit=query.limit)
    return tuple(map(relation_of, rows))


def read_mentions(walls: Walls, query: seam.ReadMentionCopies) -> Plan[tuple[seam.MentionCopy, ...]]:
    """Give mentions in the order of their numbers."""
    rows = yield walls.scoped("copy_mentions", query.scope, after=query.after, limit=query.limit)
    return tuple(seam.MentionCopy(Owner(*row[:3]), mention_of(row[3:])) for row in rows)


def read_changes(walls: Walls, query: seam.ReadGraphChangeCopies) -> Plan[tuple[seam.GraphChangeCopy, ...]]:
    """Give changes in their order."""
    rows = yield walls.scoped("copy_graph_changes", query.scope, after=query.after, limit=query.limit)
    named = [(row[6], version) for row in rows if row[6] is not None for version in row[9:11] if version is not None]
    place = {"ids": [ident for ident, _ in named], "versions": [version for _, version in named]}
    found = (yield walls.scoped("relations_by_version", query.scope, **place)) if named else []
    lines = {(one.id, one.version): one for one in map(relation_of, found)}
    return tuple(
        seam.GraphChangeCopy(row[0], change_of(row[:20], lines), tuple(row[20].split("\n")) if row[20] else ())
        for row in rows
    )


def seen(walls: Walls, query: seam.ReadSeen) -> Plan[frozenset[UUID]]:
    """Give the facts that were looked through."""
    rows = yield walls.step("seen_facts", query.owner)
    return frozenset(UUID(str(ident)) for (ident,) in rows)


# --- what is kept


def keep_entities(walls: Walls, change: seam.KeepEntityCopies) -> Plan[int]:
    """Keep entities with their given names; their other names come with their mentions."""
    yield walls.step("hold_owner", change.owner)
    rows = {one.id: one for one in change.rows}
    given = json.dumps([entity_row(one) for one in rows.values()])
    wrote = yield walls.step("keep_entities", change.owner, entities=given)
    fresh = {UUID(str(ident)): new for ident, new in wrote}
    if fresh:
        yield from _keep_names(walls, change.owner, [rows[ident] for ident in fresh])
    if renewed := [ident for ident, new in fresh.items() if not new]:
        yield walls.step("drop_names", change.owner, entities=renewed)
    return sum(fresh.values())


def _keep_names(walls: Walls, owner: Owner, entities: Sequence[Entity]) -> Plan[None]:
    given = {(one.id, fold(name)): name_row(one.id, name, given=True) for one in entities for name in one.given}
    own = {(one.id, fold(one.name)): name_row(one.id, one.name, given=False) for one in entities}
    keep = {"owners": [entity for entity, _ in given], "folds": [storable(folded) for _, folded in given]}
    yield walls.step("ungive_names", owner, entities=[one.id for one in entities], **keep)
    yield walls.step("write_names", owner, names=json.dumps(list((own | given).values())))


def keep_relations(walls: Walls, change: seam.KeepRelationCopies) -> Plan[int]:
    """Keep versions of relations whose ends are here, with what they rest on here."""
    owner = change.owner
    yield walls.step("hold_owner", owner)
    there = yield from _hold(walls, owner, (source for one in change.rows for source in one.sources))
    mine = yield from _own(walls, owner, {end for one in change.rows for end in (one.subject, one.object)})
    known = yield from _known(walls, {one.id for one in change.rows})
    rows: list[Relation] = []
    for one in change.rows:
        here = known.get(one.id)
        if {one.subject, one.object} <= mine and (here is None or here.owner == owner):
            rows += there.kept(one, here)
    if not rows:
        return 0
    coming = {(one.id, one.version) for one in rows}
    for one in rows:
        older = [number for number in known[one.id].standing if number < one.version] if one.id in known else []
        if ended := [number for number in older if (one.id, number) not in coming]:
            yield walls.step("end_relations", owner, ids=[one.id] * len(ended), versions=ended, at=one.recorded_at)
    wrote = yield walls.step("keep_relations", owner, relations=json.dumps([relation_row(one) for one in rows]))
    if grounds := [row for one in rows for row in ground_rows(one.id, one.version, one.sources)]:
        yield walls.step("write_grounds", owner, grounds=json.dumps(grounds))
    return sum(new for _, _, new in wrote)


def keep_mentions(walls: Walls, change: seam.KeepMentionCopies) -> Plan[seam.KeptMentions]:
    """Keep mentions whose entities and texts are here."""
    owner = change.owner
    yield walls.step("hold_owner", owner)
    there = yield from _hold(walls, owner, (one.mention for one in change.rows))
    mine = yield from _own(walls, owner, {one.mention.entity for one in change.rows})
    wanted = [one for one in change.rows if one.mention.entity in mine and there.has(one.mention)]
    numbers = yield from _mentions_at(walls, owner, wanted)
    moved: dict[int, UUID] = {}
    fresh: list[Mention] = []
    for one in wanted:
        place = _place(one.mention)
        earlier = [numbers[name] for entity in one.earlier if (name := (entity, *place[1:])) in numbers]
        if place not in numbers and earlier:
            moved[earlier[0]] = one.mention.entity
            numbers[place] = earlier[0]
        elif place not in numbers:
            fresh.append(one.mention)
    if moved:
        yield from _move(walls, owner, moved, [entity for one in wanted for entity in one.earlier])
    numbers |= yield from _add(walls, owner, fresh)
    places = [_place(one.mention) for one in change.rows]
    return seam.KeptMentions(tuple(numbers.get(place) for place in places), len(fresh))


def _mentions_at(walls: Walls, owner: Owner, wanted: Iterable[seam.MentionCopy]) -> Plan[dict[_Place, int]]:
    messages = {one.mention.message for one in wanted} - {None}
    facts = {one.mention.fact for one in wanted} - {None}
    if not messages and not facts:
        return {}
    rows = yield walls.step("mentions_at", owner, messages=list(messages), facts=list(facts))
    return {_read_place(row): row[0] for row in rows}


def _move(walls: Walls, owner: Owner, moved: Mapping[int, UUID], earlier: Iterable[UUID]) -> Plan[None]:
    """Make mentions those of other entities, as they are where they come from."""
    yield walls.step("move_mentions", owner, numbers=list(moved), entities=list(moved.values()))
    touched = list({*moved.values(), *earlier})
    yield walls.step("drop_names", owner, entities=touched)
    yield walls.step("see_again", entities=touched)


def _add(walls: Walls, owner: Owner, mentions: Sequence[Mention]) -> Plan[dict[_Place, int]]:
    if not mentions:
        return {}
    names = {(one.entity, fold(one.surface)): name_row(one.entity, one.surface, given=False) for one in mentions}
    yield walls.step("write_names", owner, names=json.dumps([row for row in names.values() if row["folded"]]))
    rows = [mention_row(one, n, one.at) for n, one in enumerate(mentions) if one.at is not None]
    added = yield walls.step("keep_mentions", owner, mentions=json.dumps(rows))
    return {_read_place(row): row[0] for row in added}


def keep_changes(walls: Walls, change: seam.KeepGraphChangeCopies) -> Plan[int]:
    """Keep changes of what is here."""
    owner = change.owner
    yield walls.step("hold_owner", owner)
    rows = yield walls.step("known_graph_changes", ids=[one.change.id for one in change.rows])
    told = {UUID(str(ident)) for (ident,) in rows}
    fresh = [one for one in change.rows if one.change.id not in told]
    mine = yield from _own(walls, owner, {end for one in fresh for end in _about(one)})
    known = yield from _known(walls, {one.change.relation for one in fresh if one.change.relation is not None})
    versions = {(ident, number) for ident, here in known.items() if here.owner == owner for number in here.versions}
    fresh = [one for one in fresh if _about(one) <= mine and _versions_of(one) <= versions]
    if not fresh:
        return 0
    made = [change_row(one.change, n, one.told) for n, one in enumerate(fresh)]
    yield walls.step("write_graph_changes", owner, changes=json.dumps(made))
    there = yield from _hold(walls, owner, (source for one in fresh for source in one.change.sources))
    grounds = [row for one in fresh for row in ground_rows(one.change.id, 0, filter(there.has, one.change.sources))]
    if grounds:
        yield walls.step("write_grounds", owner, grounds=json.dumps(grounds))
    return len(fresh)


def keep_seen(walls: Walls, change: seam.KeepSeen) -> Plan[None]:
    """Raise watermarks."""
    yield walls.step("hold_owner", change.owner)
    for thread, ids in change.messages.items():
        yield walls.step("keep_seen_thread", change.owner, key=thread, ids=list(ids))
    if change.facts is not None:
        yield walls.step("keep_seen_facts", change.owner, facts=list(change.facts))


# --- what is here


@dataclass(frozen=True, slots=True)
class _Here:
    """Whose a relation is here, and when its versions were recorded; ``standing`` are those that stand."""

    owner: Owner
    versions: dict[int, dt.datetime] = field(default_factory=dict)
    standing: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _There:
    """The messages and versions of facts that are the owner's here."""

    messages: frozenset[int]
    facts: frozenset[tuple[UUID, int]]

    def has(self, one: Source | Mention) -> bool:
        """Tell whether it is here."""
        if one.message is not None:
            return one.message in self.messages
        return one.fact is not None and (one.fact, one.version) in self.facts

    def kept(self, one: Relation, here: _Here | None) -> list[Relation]:
        """Give a version as it can be kept here; nothing where nothing is left that speaks for it."""
        sources = tuple(filter(self.has, one.sources))
        if one.sources and not sources and not one.given:
            return []
        later = [number for number in here.versions if number > one.version] if here else []
        if here and later and one.stands:
            one = replace(one, retired_at=here.versions[min(later)])
        return [replace(one, sources=sources)]


def _hold(walls: Walls, owner: Owner, named: Iterable[Source | Mention]) -> Plan[_There]:
    """Keep what is named from being forgotten meanwhile, and give what is here."""
    told = list(named)
    messages = {one.message for one in told if one.message is not None}
    versions = {(one.fact, one.version) for one in told if one.fact is not None}
    rows = (yield walls.step("graph_messages", owner, messages=list(messages))) if messages else []
    facts = []
    if versions:
        ids, numbers = [fact for fact, _ in versions], [number for _, number in versions]
        facts = yield walls.step("graph_facts", owner, facts=ids, versions=numbers)
    return _There(
        frozenset(key for key, _, _ in rows), frozenset((UUID(str(ident)), number) for ident, number, _ in facts)
    )


def _own(walls: Walls, owner: Owner, entities: Iterable[UUID]) -> Plan[frozenset[UUID]]:
    rows = yield walls.step("own_entities", owner, entities=list(entities))
    return frozenset(UUID(str(ident)) for (ident,) in rows)


def _known(walls: Walls, relations: Iterable[UUID]) -> Plan[dict[UUID, _Here]]:
    rows = yield walls.step("known_relations", items=list(relations))
    known: dict[UUID, _Here] = {}
    for ident, number, recorded, stands, *owner in rows:
        here = known.setdefault(UUID(str(ident)), _Here(Owner(*owner)))
        here.versions[number] = recorded.astimezone(dt.UTC)
        if stands:
            here.standing.add(number)
    return known


def _about(one: seam.GraphChangeCopy) -> set[UUID]:
    """Give the entities that a change is about."""
    change = one.change
    thing = change.after or change.before
    ends = (thing.subject, thing.object) if isinstance(thing, Relation) else (change.entity, change.other)
    return {end for end in ends if end is not None}


def _versions_of(one: seam.GraphChangeCopy) -> set[tuple[UUID, int]]:
    """Give the versions of a relation that a change tells."""
    states = (one.change.before, one.change.after)
    return {(state.id, state.version) for state in states if isinstance(state, Relation)}


def _place(one: Mention) -> _Place:
    return one.entity, one.message, one.fact, one.version if one.fact else 0, one.start


def _read_place(row: Sequence[Any]) -> _Place:
    _, entity, message, fact, version, start = row
    known = None if fact is None else UUID(str(fact))
    return UUID(str(entity)), message, known, version if known else 0, start
