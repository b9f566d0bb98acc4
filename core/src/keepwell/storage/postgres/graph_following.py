"""Plans that end relations whose facts have ended, and let those stand again whose facts do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from keepwell.formation.graph_edits import GraphEdit, RestoreRelation
from keepwell.formation.graph_following import CASCADE, Ground, Name, Resting, followed, touched, unlike
from keepwell.models import Change, Owner
from keepwell.models.graph import Relation
from keepwell.storage import graph as seam
from keepwell.storage.postgres import graph_writing
from keepwell.storage.postgres.graph_rows import relation_of
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls


def follow(walls: Walls, changes: Iterable[Change], held: Owner | None = None) -> Plan[None]:
    """Let relations follow the facts that they rest on; ``held`` is the owner whose row is held already."""
    causes = touched(changes)
    if not causes:
        return
    rows = yield walls.step("relations_on_facts", facts=list(causes))
    resting = [Resting(relation_of(row[:-1]), row[-1]) for row in rows]
    names = {(one.fact, one.version) for line in resting for one in line.relation.sources if one.fact is not None}
    if not names:
        return
    grounds = yield from _grounds(walls, names)
    edits = followed(resting, grounds, causes)
    batch = next(iter(causes.values())).batch
    for owner in sorted({relation.owner for relation, _ in edits}):
        mine = [one for one in edits if one[0].owner == owner]
        if owner != held:
            yield walls.step("hold_owner", owner)
        left = yield from _unlike(walls, owner, mine)
        said = graph_writing.Said(CASCADE, batch, {})
        yield from graph_writing.write(walls, owner, seam.GraphEdits(tuple(left)), said)


def _grounds(walls: Walls, names: Iterable[Name]) -> Plan[dict[Name, Ground]]:
    wanted = list(names)
    place: dict[str, Any] = {"facts": [fact for fact, _ in wanted], "versions": [version for _, version in wanted]}
    rows = yield walls.step("facts_grounding", **place)
    return {(UUID(str(fact)), version): Ground(now, frozenset(messages)) for fact, version, now, messages in rows}


def _unlike(walls: Walls, owner: Owner, edits: list[tuple[Relation, GraphEdit]]) -> Plan[list[GraphEdit]]:
    """Give the edits without those that would say once more what is said by another relation now."""
    again = [relation for relation, edit in edits if isinstance(edit, RestoreRelation)]
    if not again:
        return [edit for _, edit in edits]
    ends: dict[str, Any] = {"subjects": [one.subject for one in again], "objects": [one.object for one in again]}
    rows = yield walls.step("standing_relations", owner, ids=[], **ends)
    return unlike(edits, map(relation_of, rows))
