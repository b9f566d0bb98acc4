"""The projection follows the record: what is written, changed, merged, taken away and forgotten, whatever fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import uuid4

import pytest
from tests.neo4j.village import Village

from keepwell import Memory, Message
from keepwell.errors import LeaseLost, StoreUnavailable
from keepwell.formation.graph_edits import ChangeEntity, MergeEntities, RemoveEntity
from keepwell.storage.graph import Outbox, ReadOutbox, ReadProjection, SetProjection
from keepwell.storage.neo4j.driver import Bolt, BoltOptions, open_bolt
from keepwell.storage.neo4j.projecting import Neo4jProjection
from keepwell.work.projecting import Projector


def _shown(bolt: Bolt, tenant: str, cypher: str) -> list[object]:
    return [row["x"] for row in bolt.rows(cypher, {"t": tenant})]


def test_what_is_written_is_projected(village: Village, projector: Projector, bolt: Bolt, tenant: str) -> None:
    """Entities, relations, mentions, facts and messages come to Neo4j, each with tenant and owner."""
    ada, priya = village.person("Ada"), village.person("Priya")
    village.relate(priya, "sister of", ada, village.say(ada, priya))
    village.scope.remember("Priya plays the cello", key="cello")
    done = projector.sync()
    assert done.skipped is None
    assert _shown(bolt, tenant, "MATCH (e:Entity {tenant: $t}) RETURN e.name AS x ORDER BY x") == ["Ada", "Priya"]
    way = "MATCH (:Entity {tenant: $t, name: 'Priya'})-[r:RELATED]->(e) RETURN r.predicate + ' ' + e.name AS x"
    assert _shown(bolt, tenant, way) == ["sister of Ada"]
    said = "MATCH (m:Message {tenant: $t})-[:MENTIONS]->(e) MATCH (m)-[:IN]->(t:Thread) RETURN e.name + t.thread_id AS x ORDER BY x"
    assert _shown(bolt, tenant, said) == ["Adatalk", "Priyatalk"]
    assert _shown(bolt, tenant, "MATCH (f:Fact {tenant: $t}) RETURN f.text AS x") == ["Priya plays the cello"]
    owned = "MATCH (n {tenant: $t}) WHERE n.generation IS NOT NULL AND NOT n:KeepwellProjection RETURN DISTINCT n.user_id + n.agent_id + n.run_id AS x"
    assert _shown(bolt, tenant, owned) == ["ada"]
    assert projector.verify().clean


def test_any_history_of_changes_ends_equal(village: Village, projector: Projector) -> None:
    """After a few hundred changes of every kind, projected in between, nothing differs."""
    for number in range(200):
        village.change()
        if number % 23 == 0:
            assert projector.sync().skipped is None
    found = projector.verify()
    assert found.clean, found.differences[:10]
    assert found.record == found.projection
    assert all(tally.count for tally in found.record.values())


def test_a_merge_moves_what_is_said_of_the_one_to_the_other(
    village: Village, projector: Projector, bolt: Bolt, tenant: str
) -> None:
    """Relations and mentions of a merged entity lead to the one it is taken to be."""
    ada, short, long = village.person("Ada"), village.person("Priya"), village.person("Priya Shah")
    village.relate(short, "sister of", ada, village.say(short))
    projector.sync()
    village.apply(MergeEntities(short, long))
    projector.sync()
    way = "MATCH (e:Entity {tenant: $t})-[:RELATED]->() RETURN e.name AS x"
    assert _shown(bolt, tenant, way) == ["Priya Shah"]
    assert _shown(bolt, tenant, "MATCH (:Message {tenant: $t})-[:MENTIONS]->(e) RETURN e.name AS x") == ["Priya Shah"]
    assert projector.verify().clean


def test_what_is_taken_away_leaves_nothing_behind(
    village: Village, projector: Projector, bolt: Bolt, tenant: str
) -> None:
    """After everything was forgotten, no node and no relation of the tenant is left but the projection's own."""
    for _ in range(40):
        village.change()
    projector.sync()
    village.scope.forget()
    projector.sync()
    assert _shown(bolt, tenant, "MATCH (n {tenant: $t}) RETURN labels(n)[0] AS x") == ["KeepwellProjection"]


def test_an_erased_person_is_in_no_property(village: Village, projector: Projector, bolt: Bolt, tenant: str) -> None:
    """A scan of all properties of all nodes and relations finds no word of somebody who was erased; others stay."""
    other = Village(village.memory, user="zoe-stays")
    secret = "Xanthippe"
    one = village.person(secret)
    village.relate(one, "mother of", village.person("Ada"), village.say(one))
    village.scope.remember(f"{secret} lives in Basel")
    stays = other.person("Zoe")
    other.say(stays)
    projector.sync()
    assert _mentions(bolt, secret)
    assert _mentions(bolt, "zoe-stays")
    village.scope.forget()
    projector.sync()
    assert not _mentions(bolt, secret)
    owned = "MATCH (n {tenant: $t}) WHERE n.user_id = 'ada' RETURN labels(n)[0] AS x"
    assert _shown(bolt, tenant, owned) == []
    assert _mentions(bolt, "zoe-stays")


def _mentions(bolt: Bolt, word: str) -> int:
    """Count nodes and relations any property of which contains a word."""
    said = "n[k] IS :: STRING AND n[k] CONTAINS $w OR n[k] IS :: LIST<STRING> AND any(v IN n[k] WHERE v CONTAINS $w)"
    return sum(
        row["x"]
        for every in ("(n)", "()-[n]->()")
        for row in bolt.rows(f"MATCH {every} WHERE any(k IN keys(n) WHERE {said}) RETURN count(*) AS x", {"w": word})
    )


def test_a_removed_entity_comes_back_with_what_is_its(village: Village, projector: Projector) -> None:
    """What was taken away and restored by a revert is shown as it was before."""
    ada, priya = village.person("Ada"), village.person("Priya")
    village.relate(priya, "sister of", ada, village.say(ada, priya))
    projector.sync()
    village.apply(RemoveEntity(priya))
    projector.sync()
    assert projector.verify().clean
    village.apply(ChangeEntity(ada, name="Ada Lovelace"))
    projector.sync()
    assert projector.verify().clean


def test_two_projectors_do_not_get_in_each_others_way(village: Village, target: Neo4jProjection, bolt: Bolt) -> None:
    """While many changes come, projectors of several processes leave nothing out and write nothing twice."""
    others = [
        Projector(village.record, Neo4jProjection(bolt, target.tenant, lease_seconds=0.05), batch=7) for _ in range(3)
    ]
    others[0].switch_on()
    ending = threading.Event()

    def work(projector: Projector) -> None:
        while not ending.is_set():
            projector.sync()

    threads = [threading.Thread(target=work, args=(one,)) for one in others]
    for thread in threads:
        thread.start()
    for _ in range(60):
        village.change()
    ending.set()
    for thread in threads:
        thread.join()
    found = others[0].verify()
    assert found.clean, found.differences[:10]


def test_a_batch_that_was_read_before_another_was_written_is_not_written(
    village: Village, projector: Projector, target: Neo4jProjection
) -> None:
    """A projector that slept over another's work is refused, and changes nothing."""
    village.person("Ada")
    projector.sync()
    village.person("Bela")
    held = target.claim()
    assert held is not None
    late = village.record.read(ReadOutbox(held.position))
    target.apply(held, late)
    with pytest.raises(LeaseLost):
        target.apply(held, late)
    assert projector.verify().clean


def test_an_older_state_does_not_overwrite_a_newer_one(
    village: Village, projector: Projector, target: Neo4jProjection, bolt: Bolt, tenant: str
) -> None:
    """Even at the right position, what was read earlier than what stands there does nothing."""
    one = village.person("Ada")
    projector.sync()
    old = village.record.read(ReadOutbox(None))
    village.apply(ChangeEntity(one, name="Ada Lovelace"))
    early = village.record.read(ReadOutbox(None))
    projector.sync()
    held = target.claim()
    assert held is not None
    target.apply(held, Outbox(early.rows, held.position, 1, early.identity))
    assert old.stamp <= early.stamp
    assert _shown(bolt, tenant, "MATCH (e:Entity {tenant: $t}) RETURN e.name AS x") == ["Ada Lovelace"]


def test_a_wiped_neo4j_is_filled_again_by_itself(
    village: Village, projector: Projector, target: Neo4jProjection
) -> None:
    """Where nothing is left of the projection, the next round builds it anew."""
    for _ in range(30):
        village.change()
    projector.sync()
    target.wipe()
    done = projector.sync()
    assert done.built
    assert projector.verify().clean


def test_another_record_means_a_rebuild(village: Village, projector: Projector) -> None:
    """Where the record's identity changes, what was projected before is replaced by what the record has."""
    village.person("Ada")
    projector.sync()
    village.record.write(SetProjection(None))
    village.person("Bela")  # nobody notes it
    projector.switch_on()
    assert projector.status().state == "to be built"
    assert projector.sync().built
    assert projector.verify().clean


def test_a_rebuild_misses_nothing_that_is_written_meanwhile(village: Village, projector: Projector) -> None:
    """What changes while a generation is built beside the live one, and is projected there, is in the new one too."""
    for _ in range(40):
        village.change()
    projector.sync()
    steps = 0

    def meanwhile(_kind: str, _count: int) -> None:
        nonlocal steps
        steps += 1
        village.change()
        projector.sync()

    assert projector.rebuild(meanwhile) > 0
    assert steps >= 5
    found = projector.verify()
    assert found.clean, found.differences[:10]


def test_a_rebuild_that_is_broken_off_leaves_the_live_one(village: Village, projector: Projector) -> None:
    """An error in the middle of a rebuild changes nothing of what is shown; the next rebuild goes through."""
    for _ in range(20):
        village.change()
    projector.sync()

    def fail(_kind: str, _count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        projector.rebuild(fail)
    assert projector.verify().clean
    assert projector.rebuild() > 0
    assert projector.verify().clean


@pytest.mark.parametrize(
    ("tampering", "what"),
    [
        ("MATCH (e:Entity {tenant: $t}) WITH e LIMIT 1 SET e.name = 'Mallory'", "altered"),
        ("MATCH (e:Entity {tenant: $t}) WITH e LIMIT 1 SET e.user_id = 'mallory'", "altered"),
        ("MATCH (:Entity {tenant: $t})-[r:RELATED]->() WITH r LIMIT 1 SET r.predicate = 'enemy of'", "altered"),
        ("MATCH (:Entity {tenant: $t})-[r:RELATED]->() WITH r LIMIT 1 DELETE r", "missing"),
        ("MATCH (:Message {tenant: $t})-[r:MENTIONS]->() WITH r LIMIT 1 DELETE r", "missing"),
        ("MATCH (:Message {tenant: $t})-[r:IN]->() WITH r LIMIT 1 DELETE r", "altered"),
        ("MATCH (f:Fact {tenant: $t}) WITH f LIMIT 1 DETACH DELETE f", "missing"),
        ("MATCH (e:Entity {tenant: $t}) WITH e LIMIT 1 SET e.mark = e.mark + 1", "older"),
        (
            "MATCH (p:KeepwellProjection {tenant: $t}) CREATE (:Entity {tenant: $t, generation: p.generation, id: 'x', mark: 0})",
            "left over",
        ),
    ],
)
def test_verify_finds_any_difference(  # noqa: PLR0917 - fixtures and cases
    village: Village, projector: Projector, bolt: Bolt, tenant: str, tampering: str, what: str
) -> None:
    """Whatever somebody changes, adds or takes away in Neo4j, verify names it, and a rebuild mends it."""
    ada, priya = village.person("Ada"), village.person("Priya")
    village.relate(priya, "sister of", ada, village.say(ada, priya))
    village.scope.remember("Priya plays the cello")
    projector.sync()
    bolt.alone(tampering, {"t": tenant})
    assert what in {one.what for one in projector.verify().differences}
    projector.rebuild()
    assert projector.verify().clean


def test_while_neo4j_is_away_it_is_said_and_nothing_is_lost(village: Village, tenant: str) -> None:
    """Writes go on, a round says that it was skipped and why, and after failures the server is left alone a while."""
    now = [0.0]
    options = BoltOptions(connect_seconds=0.5, acquire_seconds=0.5, retry_seconds=0.5)
    away = open_bolt("bolt://127.0.0.1:1", options=options)
    projector = Projector(village.record, Neo4jProjection(away, tenant), clock=lambda: now[0])
    projector.switch_on()
    village.person("Ada")
    said = projector.sync().skipped or ""
    assert "does not answer" in said
    assert "left alone" in (projector.sync(early=False).skipped or "")
    rests = []
    for _ in range(8):
        projector.sync()
        rests.append(projector.resting)
    assert rests == sorted(rests)
    assert rests[-1] == 60.0
    now[0] += 61
    assert "does not answer" in (projector.sync(early=False).skipped or "")
    status = projector.status()
    assert (status.state, status.waiting > 0) == ("away", True)
    with pytest.raises(StoreUnavailable):
        projector.verify()
    away.close()


def test_what_was_projected_is_taken_off_the_outbox(village: Village, projector: Projector) -> None:
    """The outbox holds only what was not projected yet."""
    for _ in range(20):
        village.change()
    projector.sync()
    noted = village.record.read(ReadProjection())
    assert noted is not None
    assert noted.waiting == 0
    assert projector.status().state == "current"


def test_writers_that_commit_out_of_order_are_all_projected(
    open_memory: Callable[..., Memory], tenant: str, target: Neo4jProjection, proof: bool
) -> None:
    """Transactions that began early and commit late are not missed, however they overlap with the projector."""
    memory = open_memory(tenant=tenant)
    village = Village(memory)
    people = [village.person() for _ in range(4)]
    projector = Projector(village.record, target)
    projector.switch_on()
    other = memory.scope(user_id="late")  # an owner is held by one writer at a time
    for number in range(300 if proof else 20):
        with memory.transaction() as late:
            other.remember(f"late {number}", key=f"late {number % 7}", connection=late)
            for step in range(9):
                village.apply(ChangeEntity(people[step % 4], name=f"name {number} {step}"))
            projector.sync()
            other.thread(f"t{number % 3}").append(Message.user("hello", id=f"m{uuid4()}"), connection=late)
    found = projector.verify()
    assert found.clean, found.differences[:10]
