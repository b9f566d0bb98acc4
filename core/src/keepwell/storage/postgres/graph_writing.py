"""Plans that change the graph: what edits come to is settled under the owner's lock, and written with all of it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from keepwell.errors import FactNotFound, MessageNotFound
from keepwell.formation.entities_settle import GraphSettled, GraphStanding, Wanted, grounded, settle_graph, told, wanted
from keepwell.formation.graph_edits import (
    ChangeEntity,
    GraphEdit,
    RestoreEntity,
    RestoreRelation,
    fold,
)
from keepwell.models import Owner, Source
from keepwell.models.graph import Entity, GraphChanges, Mention, Relation
from keepwell.storage import graph as seam
from keepwell.storage.postgres import graph_forgetting
from keepwell.storage.postgres.graph_rows import (
    change_row,
    entity_of,
    entity_row,
    ground_rows,
    mention_row,
    name_row,
    relation_of,
    relation_row,
)
from keepwell.storage.postgres.rows import storable
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls

_TICK = dt.timedelta(microseconds=1)
Landed = Mapping[UUID, tuple[UUID, int] | None]
"""Where statements came to stand: by the id that an edit named, the fact's id and version; None: nowhere."""


def apply(walls: Walls, change: seam.ApplyGraph) -> Plan[GraphChanges]:
    """Carry out edits of one owner's graph."""
    yield walls.step("hold_owner", change.owner)
    return (yield from write(walls, change.owner, change.graph, Said(change.actor, change.batch)))


@dataclass(frozen=True, slots=True)
class Said:
    """Who says it, in which batch; with ``landed``, as part of a batch of facts that must not fail by it."""

    actor: str
    batch: UUID
    landed: Landed | None = None


def write(walls: Walls, owner: Owner, graph: seam.GraphEdits, said: Said) -> Plan[GraphChanges]:
    """Settle and write edits, mentions and watermarks; the owner's row must be held.

    Raises:
        MessageNotFound: a message that is named is gone.
        FactNotFound: a version of a fact that is named is gone.
    """
    lenient = said.landed is not None
    graph = graph if said.landed is None else graph.placed(said.landed)
    if graph.made:
        taken = yield walls.step("ids_of_others", owner, ids=list(graph.made))
        graph = graph.beside(owner, {UUID(str(ident)) for (ident,) in taken})
    there = yield from _hold(walls, owner, graph)
    if not lenient:
        _check(graph, there)
    mentions = [one for one in graph.mentions if there.fresh(one, graph.read)]
    edits = grounded([_resting(edit, there) for edit in graph.edits], mentions)
    standing = yield from _standing(walls, owner, wanted(edits), mentions)
    settled = GraphSettled()
    if edits:
        at = yield from _instant(walls, owner)
        given: dict[str, Any] = {"owner": owner, "actor": said.actor, "batch": said.batch, "at": at}
        settled = settle_graph(edits, standing, lenient=lenient, **given)
        yield from _write(walls, owner, settled, edits, standing)
    mentions = [one for one in mentions if one.entity in standing.entities or one.entity in settled.entities]
    yield from _write_mentions(walls, owner, graph, mentions, there)
    yield from _note(walls, owner, graph)
    return GraphChanges(tuple(settled.changes))


@dataclass(frozen=True, slots=True)
class _There:
    """The messages and versions of facts that are there: when they were said, and who wrote the messages."""

    messages: Mapping[int, dt.datetime] = field(default_factory=dict)
    writers: Mapping[int, str] = field(default_factory=dict)
    facts: Mapping[tuple[UUID, int], dt.datetime] = field(default_factory=dict)

    def at(self, one: Source | Mention) -> dt.datetime | None:
        """Give when it was said, None where it is not there."""
        if one.message is not None:
            return self.messages.get(one.message)
        return None if one.fact is None else self.facts.get((one.fact, one.version))

    def has(self, one: Source | Mention) -> bool:
        """Tell whether it is there."""
        return self.at(one) is not None

    def fresh(self, one: Mention, read: Mapping[int, str]) -> bool:
        """Tell whether it is there, and is what was read, where that is known."""
        key = one.message or 0
        return self.has(one) and read.get(key, self.writers.get(key)) == self.writers.get(key)


def _hold(walls: Walls, owner: Owner, graph: seam.GraphEdits) -> Plan[_There]:
    """Keep what is named from being forgotten meanwhile."""
    named: list[Source | Mention] = [*graph.mentions]
    named += [source for edit in graph.edits for source in (*edit.sources, *_restored(edit))]
    messages = {one.message for one in named if one.message is not None} | set(graph.read)
    versions = {(one.fact, one.version) for one in named if one.fact is not None}
    rows = (yield walls.step("graph_messages", owner, messages=list(messages))) if messages else []
    facts = []
    if versions:
        ids, numbers = [fact for fact, _ in versions], [version for _, version in versions]
        facts = yield walls.step("graph_facts", owner, facts=ids, versions=numbers)
    return _There(
        {key: at for key, _, at in rows},
        {key: writer for key, writer, _ in rows},
        {(UUID(str(ident)), version): at for ident, version, at in facts},
    )


def _restored(edit: GraphEdit) -> tuple[Source, ...]:
    return edit.state.sources if isinstance(edit, RestoreRelation) else ()


def _check(graph: seam.GraphEdits, there: _There) -> None:
    """Raise where something is gone that is named by who saw it; what a state of old rested on may be gone."""
    named: list[Source | Mention] = [*graph.mentions]
    named += [source for edit in graph.edits for source in edit.sources]
    for one in named:
        if not there.has(one):
            if one.message is not None:
                raise MessageNotFound("a message that this names is not there any more")
            raise FactNotFound("a fact that this names is not there any more")


def _resting(edit: GraphEdit, there: _There) -> GraphEdit:
    """Give an edit with those of its sources that are there."""
    if isinstance(edit, RestoreRelation):
        left = tuple(one for one in edit.state.sources if there.has(one))
        edit = replace(edit, state=replace(edit.state, sources=left))
    return replace(edit, sources=tuple(one for one in edit.sources if there.has(one)))


def _instant(walls: Walls, owner: Owner) -> Plan[dt.datetime]:
    ((now, last),) = yield walls.step("graph_instant", owner)
    at: dt.datetime = now if last is None else max(now, last + _TICK)
    return at.astimezone(dt.UTC)


def _standing(walls: Walls, owner: Owner, need: Wanted, mentions: Iterable[Mention]) -> Plan[GraphStanding]:
    """Give what the record says of everything that the edits and mentions can touch."""
    if not (named := need.entities | {one.entity for one in mentions}) and not need.relations:
        return GraphStanding()
    rows = yield walls.step("standing_entities", owner, ids=list(named))
    entities = {one.id: one for one in map(entity_of, rows)}
    relations = yield from _relations(walls, owner, need, entities)
    if missing := {end for one in relations.values() for end in (one.subject, one.object)} - entities.keys():
        rows = yield walls.step("standing_entities", owner, ids=list(missing))
        entities |= {one.id: one for one in map(entity_of, rows)}
    moved: dict[int, UUID] = {}
    if need.mentions:
        found = yield walls.step("mentions_by_number", owner, numbers=list(need.mentions))
        moved = {number: UUID(str(entity)) for number, entity in found}
    return GraphStanding(entities, relations, moved)


def _relations(walls: Walls, owner: Owner, need: Wanted, entities: Mapping[UUID, Entity]) -> Plan[dict[UUID, Relation]]:
    if not (need.relations or need.pairs):
        return {}
    groups: dict[UUID, list[UUID]] = {}
    for one in entities.values():
        groups.setdefault(one.now, []).append(one.id)
    ends = {
        (subject, other)
        for first, second in need.pairs
        if first in entities and second in entities
        for subject in groups[entities[first].now]
        for other in groups[entities[second].now]
    }
    pairs = {"subjects": [subject for subject, _ in ends], "objects": [other for _, other in ends]}
    rows = yield walls.step("standing_relations", owner, ids=list(need.relations), **pairs)
    return {one.id: one for one in map(relation_of, rows)}


def _write(
    walls: Walls, owner: Owner, settled: GraphSettled, edits: Iterable[GraphEdit], standing: GraphStanding
) -> Plan[None]:
    """Write what the edits came to."""
    if settled.entities:
        yield from _write_entities(walls, owner, settled, edits)
    if settled.ended:
        ended = {"ids": [ident for ident, _ in settled.ended], "versions": [version for _, version in settled.ended]}
        yield walls.step("end_relations", owner, at=settled.changes[0].at, **ended)
    if settled.made:
        rows = [relation_row(one) for one in settled.made.values()]
        yield walls.step("write_relations", owner, relations=json.dumps(rows))
    if settled.moved:
        moved = {"numbers": list(settled.moved), "entities": list(settled.moved.values())}
        yield walls.step("move_mentions", owner, **moved)
        touched = list({*settled.moved.values(), *standing.moved.values()})
        yield walls.step("drop_names", owner, entities=touched)
        yield walls.step("see_again", entities=touched)
    if settled.changes:
        names = {**standing.entities, **settled.entities}
        rows = [change_row(one, n, told(one, names)) for n, one in enumerate(settled.changes)]
        yield walls.step("write_graph_changes", owner, changes=json.dumps(rows))
    grounds = [row for one in settled.made.values() for row in ground_rows(one.id, one.version, one.sources)]
    grounds += [row for (ident, version), more in settled.joined.items() for row in ground_rows(ident, version, more)]
    grounds += [row for one in settled.changes for row in ground_rows(one.id, 0, one.sources)]
    if grounds:
        each = [dict(row) for row in dict.fromkeys(tuple(row.items()) for row in grounds)]
        yield walls.step("write_grounds", owner, grounds=json.dumps(each))


def _write_entities(walls: Walls, owner: Owner, settled: GraphSettled, edits: Iterable[GraphEdit]) -> Plan[None]:
    made = list(settled.entities.values())
    yield walls.step("write_entities", owner, entities=json.dumps([entity_row(one) for one in made]))
    given = {(one.id, fold(name)): name_row(one.id, name, given=True) for one in made for name in one.given}
    own = {(one.id, fold(one.name)): name_row(one.id, one.name, given=False) for one in made}
    yield walls.step("write_names", owner, names=json.dumps(list((own | given).values())))
    renamed = {edit.id for edit in edits if isinstance(edit, ChangeEntity) and edit.name is not None}
    if restored := {edit.state.id for edit in edits if isinstance(edit, RestoreEntity)}:
        keep = {"owners": [entity for entity, _ in given], "folds": [storable(folded) for _, folded in given]}
        yield walls.step("ungive_names", owner, entities=list(restored), **keep)
    if renamed | restored:
        yield walls.step("drop_names", owner, entities=list(renamed | restored))


def _write_mentions(
    walls: Walls, owner: Owner, graph: seam.GraphEdits, mentions: Iterable[Mention], there: _There
) -> Plan[None]:
    """Write mentions with the names that they say; what was read anew keeps no other ones."""
    kept = list(mentions)
    if graph.read:
        yield from _replace(walls, owner, graph, kept, there)
    if not kept:
        return
    names = {(one.entity, fold(one.surface)): name_row(one.entity, one.surface, given=False) for one in kept}
    yield walls.step("write_names", owner, names=json.dumps([row for row in names.values() if row["folded"]]))
    rows = [mention_row(one, n, at) for n, one in enumerate(kept) if (at := there.at(one)) is not None]
    yield walls.step("write_mentions", owner, mentions=json.dumps(rows))


def _replace(walls: Walls, owner: Owner, graph: seam.GraphEdits, mentions: list[Mention], there: _There) -> Plan[None]:
    """Take away what messages that were read anew do not say any more, with what rested on it alone."""
    fresh = [key for key, version in graph.read.items() if there.writers.get(key) == version]
    rows = yield walls.step("mentions_in", owner, messages=fresh)
    said = {(one.entity, one.message, one.start, one.end, storable(fold(one.surface))) for one in mentions}
    gone = [(number, UUID(str(entity))) for number, entity, *place in rows if (UUID(str(entity)), *place) not in said]
    if gone:
        # What is named now keeps its entity, though it may have been named by these alone.
        kept = frozenset(one.entity for one in mentions)
        yield from graph_forgetting.drop_mentions(walls, gone, kept)


def _note(walls: Walls, owner: Owner, graph: seam.GraphEdits) -> Plan[None]:
    """Note what was looked through."""
    if graph.done:
        yield walls.step("note_seen_threads", owner, threads=list(graph.done), uptos=list(graph.done.values()))
    if graph.read:
        read = {"messages": list(graph.read), "versions": list(graph.read.values())}
        yield walls.step("note_seen_messages", owner, **read)
    if graph.facts is not None:
        yield walls.step("note_seen_facts", owner, upto=graph.facts)
