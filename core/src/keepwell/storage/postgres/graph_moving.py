"""Plans that give the graph of a moved thread to its new owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from keepwell.models import Owner
from keepwell.storage.postgres import graph_forgetting
from keepwell.storage.postgres.graph_forgetting import Going
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls


def move(walls: Walls, to: Owner, thread: UUID, messages: Sequence[int], facts: Sequence[UUID]) -> Plan[None]:
    """Move entities that rest on these alone, with their relations; take the rest away, to be found anew.

    Messages and facts must be the new owner's already.
    """
    new: dict[str, Any] = {f"to_{name}": value for name, value in to._asdict().items()}
    resting = yield from graph_forgetting.resting(walls, messages, facts)
    if resting is not None:
        entities, relations = yield from _going(walls, resting)
        left = _without(resting, entities, relations)
        yield from graph_forgetting.drop(walls, left)
        yield walls.step(
            "lose_grounds_of", items=[*left.changes, *left.grounded], messages=list(messages), facts=list(facts)
        )
        if entities:
            yield walls.step("move_graph", entities=list(entities), relations=list(relations), **new)
    yield walls.step("see_anew", key=thread, facts=list(facts), **new)


def _going(walls: Walls, resting: Going) -> Plan[tuple[set[UUID], set[UUID]]]:
    """Give the entities that go with the thread, and their relations.

    An entity goes with all that it is one with, and where no relation holds it that rests on something else.
    """
    left = yield from graph_forgetting.left(walls, resting)
    around: dict[UUID, set[UUID]] = {one.id: {*one.merged, one.into or one.id} for one in left}
    going = {one.id for one in left if not one.mentioned and one.id in resting.mentions.values()}
    rows = yield walls.step("relations_with_grounds", entities=list(going))
    ends = {UUID(str(row[0])): {UUID(str(row[2])), UUID(str(row[3]))} for row in rows}
    held = {UUID(str(row[0])) for row in rows if row[5] != resting.grounds.get((UUID(str(row[0])), row[1]), 0)}
    # One that a person gave does not end with what it rests on: it goes with both of its ends, or stays with one.
    held |= {UUID(str(row[0])) for row in rows if row[4]}
    while stay := _staying(going, around, ends, held):
        going -= stay
    return going, {relation for relation, both in ends.items() if both <= going}


def _staying(
    going: set[UUID], around: Mapping[UUID, set[UUID]], ends: Mapping[UUID, set[UUID]], held: set[UUID]
) -> set[UUID]:
    parted = {entity for entity in going if not around[entity] <= going}
    tied = {end for relation in held if not ends[relation] <= going for end in ends[relation] & going}
    return parted | tied


def _without(resting: Going, entities: set[UUID], relations: set[UUID]) -> Going:
    """Give what rests on the thread without what goes with it."""
    return Going(
        mentions={number: entity for number, entity in resting.mentions.items() if entity not in entities},
        said={said for said in resting.said if said[0] not in entities},
        versions={name: stood for name, stood in resting.versions.items() if name[0] not in relations},
        changes=[change for change in resting.changes if resting.about.get(change) not in entities | relations],
        retracted=[one for one in resting.retracted if one[0] not in relations],
        grounds={name: count for name, count in resting.grounds.items() if name[0] not in relations},
        touched=resting.touched - entities,
    )
