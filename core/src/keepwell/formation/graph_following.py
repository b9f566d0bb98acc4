"""What becomes of relations when facts that they rest on end, or stand again: one pure function for every store.

A relation that a model found rests on words, and on the fact that was formed from them. Where that fact is no more held
to be true, the same words speak for the relation no more, either; other words, and other facts that stand, do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from keepwell.formation.graph_edits import GraphEdit, RestoreRelation, RetractRelation, fold
from keepwell.models.fact import Change, Source
from keepwell.models.graph import Relation

CASCADE = "cascade"
"""Who ends relations that nothing speaks for any more, and lets them stand again."""
NOTHING_STANDS = "nothing that it rests on stands any more"
STANDS_AGAIN = "what it rests on stands again"
Name = tuple[UUID, int]
"""A fact and the version of it that is named."""


@dataclass(frozen=True, slots=True)
class Resting:
    """The newest version of a relation, and who ended it, where it does not stand by a retraction."""

    relation: Relation
    ended_by: str | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """A version of a fact that a relation rests on.

    ``now`` is the version of that fact that stands and says the same, None where there is none; ``messages`` are those
    that the fact rests on, in any version.
    """

    now: int | None
    messages: frozenset[int] = frozenset()


def touched(changes: Iterable[Change]) -> dict[UUID, Change]:
    """Give the facts on which something may rest that has to follow, with the last of these changes to each."""
    return {one.fact: one for one in changes if one.kind != "NONE" and (one.kind != "ADD" or one.before is not None)}


def followed(
    resting: Iterable[Resting], grounds: Mapping[Name, Ground], causes: Mapping[UUID, Change]
) -> list[tuple[Relation, GraphEdit]]:
    """Give the edits that relations come to, by the facts that changed."""
    edits: list[tuple[Relation, GraphEdit]] = []
    for one in resting:
        relation = one.relation
        named = (source.fact for source in relation.sources if source.fact is not None)
        cause = next((causes[fact].id for fact in named if fact in causes), None)
        if cause is None or relation.given:
            continue
        stands = is_supported(relation.sources, grounds)
        if relation.stands and not stands:
            edits.append((relation, RetractRelation(relation.id, relation.version, NOTHING_STANDS, cause=cause)))
        elif not relation.stands and stands and one.ended_by == CASCADE:
            state = replace(relation, sources=_renewed(relation.sources, grounds))
            edits.append((relation, RestoreRelation(state, STANDS_AGAIN, cause=cause)))
    return edits


def is_supported(sources: Iterable[Source], grounds: Mapping[Name, Ground]) -> bool:
    """Tell whether anything speaks for what rests on these: a fact that stands, or words of no fact that ended."""
    named = list(sources)
    names = [(source.fact, source.version) for source in named if source.fact is not None]
    facts = [grounds[name] for name in names if name in grounds]
    if any(fact.now is not None for fact in facts):
        return True
    spent = frozenset[int]().union(*(fact.messages for fact in facts))
    return any(source.message is not None and source.message not in spent for source in named)


def unlike(edits: Iterable[tuple[Relation, GraphEdit]], standing: Iterable[Relation]) -> list[GraphEdit]:
    """Give the edits without those that would let stand again what another relation says by now."""
    said = {(one.subject, fold(one.predicate), one.object) for one in standing}
    return [
        edit
        for relation, edit in edits
        if not isinstance(edit, RestoreRelation)
        or (relation.subject, fold(relation.predicate), relation.object) not in said
    ]


def _renewed(sources: Iterable[Source], grounds: Mapping[Name, Ground]) -> tuple[Source, ...]:
    """Give sources with facts in the versions that stand now; those that ended are left out."""
    kept: dict[Source, None] = {}
    for source in sources:
        ground = None if source.fact is None else grounds.get((source.fact, source.version))
        if source.message is not None:
            kept[source] = None
        elif ground is not None and ground.now is not None:
            kept[replace(source, version=ground.now)] = None
    return tuple(kept)
