"""Walking the projection: the answers are the record's, inside the scope and as of today."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from uuid import UUID

import pytest
from tests.neo4j.village import Village

from keepwell import Memory
from keepwell.formation.graph_edits import EndRelation
from keepwell.models import Scope
from keepwell.models.graph import Neighbourhood
from keepwell.storage.graph import ReadNeighbours, Support, SupportOf
from keepwell.storage.neo4j.driver import Bolt
from keepwell.storage.neo4j.projected import ProjectedGraph
from keepwell.work.projecting import Projector


@pytest.fixture
def walked(village: Village, bolt: Bolt, tenant: str) -> ProjectedGraph:
    """Give the projection of the village, to be walked."""
    return ProjectedGraph(bolt, tenant, village.record, seconds=20.0)


def _told(found: Support) -> tuple[object, ...]:
    """Give what an answer says, without the order of what is alike.

    What a relation rests on counts for that relation: which of its ends is the farther one, where both are as far, is
    nobody's promise.
    """
    rows = zip(found.keys.tolist(), found.hops.tolist(), found.entities, found.relations, strict=True)
    reasons = Counter((key, hops, entity if relation is None else relation) for key, hops, entity, relation in rows)
    named = {one for one, relation in zip(found.entities, found.relations, strict=True) if relation is None}
    near = not len(found.hops) or found.hops.max() < 2
    ways = {one: found.ways[one] for one in named if one in found.ways} if near else {}
    return reasons, {one: found.names[one] for one in named}, ways, dict(found.predicates), dict(found.asked)


def _around(found: Neighbourhood) -> tuple[object, ...]:
    return dict(found.entities), dict(found.hops), {one.id: one for one in found.relations}


def _agree(village: Village, walked: ProjectedGraph, hops: int) -> None:
    scope = village.scope.scope
    for one in village.random.sample(village.entities, 6):
        for at in (None, dt.datetime.now(dt.UTC)):
            ask = SupportOf(scope, entities=(one,), hops=hops, valid_at=at, limit=1000)
            assert _told(walked.support(ask)) == _told(village.record.read(ask))
            if hops:
                near = ReadNeighbours(scope, (one,), hops, at)
                assert _around(walked.neighbours(near)) == _around(village.record.read(near))


def test_answers_agree_with_the_record(village: Village, projector: Projector, walked: ProjectedGraph) -> None:
    """Whoever is asked about, at whatever distance, Neo4j leads to the same texts and neighbours as the record."""
    village.merging = False
    for _ in range(120):
        village.change()
    projector.sync()
    for hops in (0, 1, 2):
        _agree(village, walked, hops)


def test_answers_agree_where_entities_were_merged(
    village: Village, projector: Projector, walked: ProjectedGraph
) -> None:
    """What is said of an entity that was merged is found by asking for the one that it is taken to be."""
    for _ in range(150):
        village.change()
    projector.sync()
    for hops in (0, 1):
        _agree(village, walked, hops)


def test_names_lead_to_the_same(village: Village, projector: Projector, walked: ProjectedGraph) -> None:
    """A name finds whom it finds in the record, aliases too."""
    ada, priya = village.person("Ada"), village.person("Priya Shah")
    village.relate(priya, "sister of", ada, village.say(priya))
    projector.sync()
    ask = SupportOf(village.scope.scope, names=("priya shah", "nobody"))
    found = walked.support(ask)
    assert _told(found) == _told(village.record.read(ask))
    assert set(found.asked.values()) == {"Priya Shah"}
    assert len(found.keys) > 0


def test_what_was_not_true_then_is_not_followed(village: Village, projector: Projector, walked: ProjectedGraph) -> None:
    """A relation that has ended leads on only at an instant at which it was true."""
    ada, berta = village.person("Ada"), village.person("Berta")
    carer = village.relate(berta, "carer of", ada)
    ended = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    village.apply(EndRelation(carer, ended, given=True))
    projector.sync()

    def met(at: dt.datetime) -> set[UUID]:
        query = ReadNeighbours(village.scope.scope, (ada,), 1, at)
        assert _around(walked.neighbours(query)) == _around(village.record.read(query))
        return set(walked.neighbours(query).entities)

    assert met(dt.datetime(2024, 4, 1, tzinfo=dt.UTC)) == {ada, berta}
    assert met(dt.datetime(2024, 6, 1, tzinfo=dt.UTC)) == {ada}


def test_nothing_of_another_owner_or_tenant_is_reached(
    memory: Memory, village: Village, projector: Projector, walked: ProjectedGraph, bolt: Bolt
) -> None:
    """Asked by id for somebody else's entity, or by another tenant, nothing is found."""
    ada = village.person("Ada")
    village.relate(ada, "friend of", village.person("Bela"), village.say(ada))
    projector.sync()
    stranger = memory.scope(user_id="mallory").scope
    for scope in (stranger, Scope("ada", "an-agent"), Scope(None, "an-agent")):
        assert len(walked.support(SupportOf(scope, entities=(ada,))).keys) == 0
        assert len(walked.neighbours(ReadNeighbours(scope, (ada,)))) == 0
    tx = ProjectedGraph(bolt, "another-tenant", village.record)
    assert len(tx.support(SupportOf(village.scope.scope, entities=(ada,))).keys) == 0


def test_the_past_is_asked_of_the_record(village: Village, projector: Projector, walked: ProjectedGraph) -> None:
    """What was held at an earlier instant is not projected, and is answered all the same."""
    ada, berta = village.person("Ada"), village.person("Berta")
    village.relate(berta, "carer of", ada, village.say(berta))
    before = dt.datetime.now(dt.UTC)
    village.scope.forget(village.said[-1])
    ask = SupportOf(village.scope.scope, entities=(ada,), as_of=before)
    assert _told(walked.support(ask)) == _told(village.record.read(ask))
