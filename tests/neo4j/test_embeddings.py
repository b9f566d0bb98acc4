"""Embeddings of entities in the projection: as the record has them, in an index, compared, and gone when they are."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.neo4j.village import Village

from keepwell.formation.graph_edits import ChangeEntity, MergeEntities
from keepwell.storage.base import ActiveSpace, Forget, OpenSpace, Space
from keepwell.storage.embeddings import Near
from keepwell.storage.graph import SupportOf
from keepwell.storage.neo4j.driver import Bolt
from keepwell.storage.neo4j.projected import ProjectedGraph
from keepwell.testing import HashEmbedder
from keepwell.work.embedding import embed_entities
from keepwell.work.projecting import Projector

EMBEDDER = HashEmbedder(16)


@pytest.fixture
def space(village: Village) -> Space:
    """Give the space in use, of as many numbers as the embedder gives."""
    village.record.write(OpenSpace(EMBEDDER.model, EMBEDDER.dimension))
    found = village.record.read(ActiveSpace())
    assert found is not None
    return found


def _people(village: Village, space: Space) -> dict[str, UUID]:
    """Let three be known by what they are, one of them named by a message, and embed them."""
    people = {name: village.person(name) for name in ("Ada", "Adaeze", "Otto")}
    village.relate(people["Adaeze"], "dentist of", people["Ada"])
    village.relate(people["Otto"], "plumber of", people["Ada"])
    village.say(people["Adaeze"])
    assert embed_entities(village.record, space, EMBEDDER) == 3
    return people


def _towards(text: str, space: Space, **bounds: object) -> Near:
    vector = EMBEDDER.embed_query(text)
    return Near(space.key, vector / (vector @ vector) ** 0.5, 0.9, **bounds)  # type: ignore[arg-type]  # fields of Near


def _embeddings(bolt: Bolt, tenant: str) -> dict[str, list[float] | None]:
    found = bolt.rows("MATCH (e:Entity {tenant: $t}) RETURN e.name AS name, e.embedding AS said", {"t": tenant})
    return {row["name"]: row["said"] for row in found}


def test_an_embedding_is_projected(
    village: Village, space: Space, projector: Projector, bolt: Bolt, tenant: str
) -> None:
    """Each number comes as the record has it, nothing where nothing means anything, and it counts in the comparison."""
    _people(village, space)
    projector.sync()
    shown = _embeddings(bolt, tenant)
    assert shown["Ada"] is None
    assert shown["Otto"] == pytest.approx(_towards("plumber of", space).vector.tolist(), abs=1e-6)
    assert projector.verify().clean


def test_it_goes_with_its_words(village: Village, space: Space, projector: Projector, bolt: Bolt, tenant: str) -> None:
    """A rename, a merge and a new relation take it away with the next round; the one that is made anew comes."""
    people = _people(village, space)
    projector.sync()
    village.apply(ChangeEntity(people["Otto"], name="Otto B"))
    village.relate(people["Adaeze"], "friend of", people["Ada"])
    projector.sync()
    assert _embeddings(bolt, tenant) == {"Ada": None, "Adaeze": None, "Otto B": None}
    assert projector.verify().clean
    embed_entities(village.record, space, EMBEDDER)
    projector.sync()
    assert sum(said is not None for said in _embeddings(bolt, tenant).values()) == 2
    village.apply(MergeEntities(people["Otto"], people["Adaeze"]))
    projector.sync()
    assert not any(_embeddings(bolt, tenant).values())
    assert projector.verify().clean


def test_what_is_forgotten_has_none(
    village: Village, space: Space, projector: Projector, bolt: Bolt, tenant: str
) -> None:
    """After a person was forgotten no embedding of theirs is in Neo4j."""
    _people(village, space)
    projector.sync()
    village.record.write(Forget(village.scope.scope))
    projector.sync()
    assert bolt.rows("MATCH (n {tenant: $t}) WHERE n.embedding IS NOT NULL RETURN n", {"t": tenant}) == []


def test_the_index_finds_who_is_near(
    village: Village, space: Space, projector: Projector, bolt: Bolt, tenant: str
) -> None:
    """Neo4j's own vector index, made by a migration before any model is known, leads to who is described."""
    _people(village, space)
    projector.sync()
    bolt.alone("CALL db.awaitIndexes(60)")
    found = bolt.rows(
        "CALL db.index.vector.queryNodes('keepwell_meanings', 50, $q) YIELD node, score"
        " WHERE node.tenant = $t RETURN node.name AS name, score ORDER BY score DESC",
        {"t": tenant, "q": _towards("dentist of", space).vector.tolist()},
    )
    assert found[0]["name"] == "Adaeze"
    assert found[0]["score"] > 0.9  # the index keeps a byte for each number


@pytest.mark.parametrize(
    "tampering",
    [
        "SET e.embedding = [0.5] + e.embedding[1..]",
        "SET e.embedding = 'none'",
        "SET e.embedding = ['a', 'b']",
        "REMOVE e.embedding",
    ],
)
def test_verify_finds_a_changed_embedding(  # noqa: PLR0917 - fixtures and cases
    village: Village, space: Space, projector: Projector, bolt: Bolt, tenant: str, tampering: str
) -> None:
    """Whatever somebody makes of an embedding in Neo4j, verify names the entity."""
    people = _people(village, space)
    projector.sync()
    bolt.alone("MATCH (e:Entity {tenant: $t, name: 'Otto'}) " + tampering, {"t": tenant})
    assert [(one.id, one.what) for one in projector.verify().differences] == [(str(people["Otto"]), "altered")]


def test_answers_agree_where_somebody_is_near(
    village: Village, space: Space, projector: Projector, bolt: Bolt, tenant: str
) -> None:
    """Whom a vector is close to leads to the same texts in Neo4j as in the record, beside names and without them."""
    people = _people(village, space)
    projector.sync()
    walked = ProjectedGraph(bolt, tenant, village.record, seconds=20.0)
    for names, beside in ((("nobody",), False), (("Otto",), False), (("Otto",), True)):
        ask = SupportOf(village.scope.scope, names, near=_towards("dentist of", space, beside=beside))
        there, here = walked.support(ask), village.record.read(ask)
        assert sorted(there.keys.tolist()) == sorted(here.keys.tolist())
        assert dict(there.asked) == dict(here.asked)
        assert {one: round(score, 4) for one, score in there.near.items()} == {
            one: round(score, 4) for one, score in here.near.items()
        }
        assert (people["Adaeze"] in here.near) == (beside or names == ("nobody",))
