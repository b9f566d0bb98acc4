"""Relations that end with the facts that they rest on, and stand again with them, as functions on tables."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from keepwell.formation.graph_following import CASCADE, Ground, Name, Resting, followed, touched, unlike
from keepwell.models import Change
from keepwell.models.graph import Relation
from keepwell.storage.graph import GraphEdits
from keepwell.storage.plain import graph
from keepwell.storage.plain.tables import Tables


def follow(tables: Tables, changes: Iterable[Change]) -> None:
    """Let relations follow the facts that they rest on."""
    causes = touched(changes)
    resting = _resting(tables, set(causes))
    names = {(one.fact, one.version) for line in resting for one in line.relation.sources if one.fact is not None}
    if not names:
        return
    edits = followed(resting, _grounds(tables, names), causes)
    batch = next(iter(causes.values())).batch
    for owner in sorted({relation.owner for relation, _ in edits}):
        mine = [one for one in edits if one[0].owner == owner]
        standing = [one for one in tables.graph.relations.values() if one.owner == owner and one.stands]
        graph.write(tables, owner, GraphEdits(tuple(unlike(mine, standing))), CASCADE, batch, landed={})


def _resting(tables: Tables, facts: set[UUID]) -> list[Resting]:
    newest: dict[UUID, Relation] = {}
    named: set[UUID] = set()
    for (ident, version), one in tables.graph.relations.items():
        if ident not in newest or newest[ident].version < version:
            newest[ident] = one
        if any(source.fact in facts for source in one.sources):
            named.add(ident)
    ended: dict[UUID, str | None] = {}
    for told in tables.graph.changes.values():
        if told.change.relation is not None:
            ended[told.change.relation] = told.change.actor if told.change.kind == "DELETE" else None
    return [Resting(newest[ident], ended.get(ident)) for ident in sorted(named)]


def _grounds(tables: Tables, names: Iterable[Name]) -> dict[Name, Ground]:
    """Give which version of a fact stands and says the same, and the messages that it rests on."""
    standing = tables.standing()
    grounds: dict[Name, Ground] = {}
    for fact, version in names:
        there = tables.facts.get((fact, version))
        if there is None:
            continue
        now = standing.get(fact)
        same = now is not None and now.row.mark == there.row.mark
        versions = (one for (ident, _), one in tables.facts.items() if ident == fact)
        messages = {source.message for one in versions for source in one.sources if source.message is not None}
        grounds[fact, version] = Ground(now.fact.version if now is not None and same else None, frozenset(messages))
    return grounds
