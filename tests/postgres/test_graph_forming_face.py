"""The face of the graph: what can be asked of it and changed in it through a view, and nothing outside."""

from __future__ import annotations

import datetime as dt
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keepwell import Memory, Message, ScopedMemory
from keepwell.errors import ChangeNotFound, EntityNotFound, InvalidQuery, InvalidScope, RelationNotFound, UsageError
from keepwell.models.graph import Neighbourhood
from keepwell.testing import ScriptedExtractor

DAY = dt.datetime(2024, 5, 7, tzinfo=dt.UTC)


@pytest.fixture
def ada(memory: Memory) -> ScopedMemory:
    """Give Ada's view."""
    return memory.scope(user_id="ada")


@pytest.fixture
def family(ada: ScopedMemory) -> ScopedMemory:
    """Give Ada's view with a few people in it."""
    ada.graph.link("Priya", "sister of", "Ada")
    ada.graph.link("Tom", "carer of", "Priya", valid_from=DAY, valid_to=DAY.replace(year=2025))
    ada.graph.link("Zoe", "carer of", "Priya", valid_from=DAY.replace(year=2025))
    ada.graph.link("Ada", "works at", "Acme")
    return ada


def said(around: Neighbourhood) -> set[tuple[str, str, str]]:
    """Give the relations of a neighbourhood in words."""
    names = {ident: one.name for ident, one in around.entities.items()}
    return {(names[one.subject], one.predicate, names[one.object]) for one in around.relations}


def test_what_is_said_can_be_asked_for(memory: Memory, ada: ScopedMemory) -> None:
    """After a drain the people of a conversation are found by name, by alias, nearly, and within a question."""
    ada.thread("chat").append(Message.user("I met Katherine Jones in Leeds with my sister Priya."))
    assert memory.drain().seen == 1
    assert [one.name for one in ada.graph.find("katherine jones")] == ["Katherine Jones"]
    assert ada.graph.find("Katharine Jones")[0].name == "Katherine Jones"
    assert {one.name for one in ada.graph.find("When did I meet Priya in Leeds?")} >= {"Priya", "Leeds"}
    assert [one.name for one in ada.graph.find(type="place")] == ["Leeds"]
    assert len(ada.graph.find("Nobody Else")) == 0


def test_neighbours_are_those_of_the_time_asked(family: ScopedMemory) -> None:
    """Current and past carers are told apart; two hops reach further than one."""
    graph = family.graph
    assert ("Tom", "carer of", "Priya") in said(graph.neighbours("Priya", valid_at=DAY))
    assert ("Zoe", "carer of", "Priya") not in said(graph.neighbours("Priya", valid_at=DAY))
    now = said(graph.neighbours("Priya", valid_at=DAY.replace(year=2026)))
    assert now == {("Zoe", "carer of", "Priya"), ("Priya", "sister of", "Ada")}
    assert "Acme" not in {one.name for one in graph.neighbours("Priya").entities.values()}
    assert "Acme" in {one.name for one in graph.neighbours("Priya", hops=2).entities.values()}


def test_as_of_gives_what_was_held_then(family: ScopedMemory) -> None:
    """A relation that was taken away later is still there as of before."""
    before = dt.datetime.now(dt.UTC)
    family.graph.unlink("Ada", "works at", "Acme")
    assert said(family.graph.neighbours("Acme")) == set()
    assert said(family.graph.neighbours("Acme", as_of=before)) == {("Ada", "works at", "Acme")}


def test_paths_go_along_relations_either_way(family: ScopedMemory) -> None:
    """The shortest ways are given, or none."""
    (path,) = family.graph.paths("Zoe", "Acme")
    assert [one.name for one in path.entities] == ["Zoe", "Priya", "Ada", "Acme"]
    assert [one.predicate for one in path.relations] == ["carer of", "sister of", "works at"]
    assert family.graph.paths("Zoe", "Acme", max_hops=2) == ()


def test_a_merge_is_recorded_and_taken_back_exactly(family: ScopedMemory) -> None:
    """Whoever was merged is found as the other; reverting gives both back as they were."""
    graph = family.graph
    before = {one.id: one.name for one in graph.entities()}, said(graph.overview())
    changes = graph.merge("Zoe", "Tom", reason="it was her nickname")
    assert changes[0].kind == "MERGE"
    assert graph.entity("Zoe").name == "Tom"
    assert "Zoe" in graph.entity("Tom").aliases
    assert [(one.kind, one.reason, one.actor) for one in graph.history("Tom")][0] == (
        "MERGE",
        "it was her nickname",
        "user",
    )
    graph.revert(changes)
    assert ({one.id: one.name for one in graph.entities()}, said(graph.overview())) == before


def test_a_split_takes_mentions_and_relations_along(memory: Memory, ada: ScopedMemory) -> None:
    """Part of an entity becomes one of its own; the rest stays, and the split can be taken back."""
    ada.thread("a").append(Message.user("I met Priya in Leeds."))
    ada.thread("b").append(Message.user("I phoned Priya about work."))
    memory.drain()
    graph = ada.graph
    graph.link("Priya", "works at", "Acme")
    (first, second) = graph.mentions("Priya")
    (works,) = graph.relations("Priya")
    new = graph.split("Priya", "Priya Patel", mentions=[first], relations=[works], reason="two of them")
    assert [one.number for one in graph.mentions(new)] == [first.number]
    assert [one.number for one in graph.mentions("Priya")] == [second.number]
    assert [one.predicate for one in graph.relations(new)] == ["works at"]
    (change,) = (one for one in graph.history(new) if one.kind == "SPLIT")
    graph.revert(batch=change.batch)
    assert len(graph.mentions("Priya")) == 2
    with pytest.raises(EntityNotFound):
        graph.entity("Priya Patel")


def test_renaming_keeps_the_old_name_as_an_alias(family: ScopedMemory) -> None:
    """Both names find it."""
    family.graph.rename("Priya", "Priya Shah", type="person", aliases=["Pri"])
    found = family.graph.entity("pri")
    assert (found.name, found.type) == ("Priya Shah", "person")
    assert family.graph.entity("Priya").id == found.id


def test_an_end_is_no_retraction(family: ScopedMemory) -> None:
    """``valid_to`` ends a relation, which still held before; without it the relation was never true."""
    graph = family.graph
    (change,) = graph.unlink("Ada", "works at", "Acme", valid_to=DAY)
    assert change.kind == "UPDATE"
    assert said(graph.neighbours("Acme", valid_at=DAY - dt.timedelta(days=1))) == {("Ada", "works at", "Acme")}
    assert said(graph.neighbours("Acme", valid_at=DAY + dt.timedelta(days=1))) == set()
    graph.unlink(graph.relations("Acme")[0])
    assert graph.relations("Acme") == ()
    with pytest.raises(RelationNotFound):
        graph.unlink("Ada", "works at", "Acme")


def test_what_was_removed_does_not_come_back_by_its_name(memory: Memory, ada: ScopedMemory) -> None:
    """A word that is no name is taken away once, whatever is said later."""
    ada.thread("a").append(Message.user("I met Rice in Leeds."))
    memory.drain()
    ada.graph.remove("Rice", reason="that is no name")
    ada.thread("a").append(Message.user("I met Rice again."))
    memory.drain()
    assert [one.name for one in ada.graph.entities(type="person")] == []
    assert "Rice" not in {one.name for one in ada.graph.entities()}


def test_nobody_sees_another_scope(memory: Memory, family: ScopedMemory) -> None:
    """Names, ids, relations, history and changes of somebody else's graph are not there."""
    bob = memory.scope(user_id="bob")
    priya = family.graph.entity("Priya")
    relation, change = family.graph.relations(priya)[0], family.graph.history(priya)[0]
    assert len(bob.graph.find("Priya")) == len(bob.graph.entities()) == len(bob.graph.history()) == 0
    assert bob.graph.relations() == ()
    assert len(bob.graph.overview()) == 0
    for verb in (bob.graph.entity, bob.graph.neighbours, bob.graph.mentions, bob.graph.remove):
        with pytest.raises(EntityNotFound):
            verb(priya.id)
        with pytest.raises(EntityNotFound):
            verb("Priya")
    with pytest.raises(RelationNotFound):
        bob.graph.unlink(relation.id)
    with pytest.raises(ChangeNotFound):
        bob.graph.revert(change)


def test_a_value_of_another_scope_opens_nothing(memory: Memory, family: ScopedMemory) -> None:
    """An entity as a value is looked up in the scope like any id."""
    bob = memory.scope(user_id="bob")
    priya = family.graph.entity("Priya")
    with pytest.raises(EntityNotFound):
        bob.graph.merge(priya, priya)
    assert len(bob.graph.neighbours(priya)) == 0
    assert bob.graph.mentions(priya) == ()


def test_two_owners_do_not_mix(memory: Memory) -> None:
    """Within one user's view, entities of two agents are neither merged nor related."""
    memory.scope(user_id="ada", agent_id="one").graph.add("Tom")
    memory.scope(user_id="ada", agent_id="two").graph.add("Tim")
    both = memory.scope(user_id="ada").graph
    assert {one.name for one in both.entities()} == {"Tom", "Tim"}
    with pytest.raises(UsageError, match="two owners"):
        both.merge("Tom", "Tim")
    with pytest.raises(UsageError, match="two owners"):
        both.link("Tom", "knows", "Tim")


def test_a_name_that_two_have_is_asked_about(ada: ScopedMemory) -> None:
    """Where a name means two, ids are told."""
    one, two = ada.graph.add("Priya"), ada.graph.add("Priya")
    with pytest.raises(UsageError, match="2 entities here are called 'Priya'") as told:
        ada.graph.neighbours("Priya")
    assert str(one.id) in str(told.value)
    assert ada.graph.entity(two.id).id == ada.graph.entity(str(two.id)).id == two.id


@pytest.mark.parametrize(
    "wrong",
    [
        lambda graph: graph.find(" "),
        lambda graph: graph.find("x", limit=0),
        lambda graph: graph.find(type="animal"),
        lambda graph: graph.neighbours("Priya", hops=0),
        lambda graph: graph.paths("Priya", "Ada", max_hops=99),
        lambda graph: graph.add(" "),
        lambda graph: graph.add("x" * 300),
        lambda graph: graph.add("x", type="animal"),
        lambda graph: graph.link("Priya", " ", "Ada"),
        lambda graph: graph.link("Priya", "is", "Ada", valid_from=DAY, valid_to=DAY - dt.timedelta(1)),
        lambda graph: graph.split("Priya"),
        lambda graph: graph.unlink("Priya"),
        lambda graph: graph.revert(),
        lambda graph: graph.entity(None),
    ],
)
def test_what_means_nothing_is_refused(family: ScopedMemory, wrong: Callable[..., object]) -> None:
    """Blank names, unknown types and sizes out of range are errors of use, and change nothing."""
    before = family.graph.history()
    with pytest.raises((UsageError, InvalidQuery)):
        wrong(family.graph)
    assert family.graph.history() == before


def test_a_view_of_all_users_writes_nothing(memory: Memory) -> None:
    """Who sees everybody's graph has nobody to write as."""
    view = memory.scope(across_users=True)
    with pytest.raises(InvalidScope):
        view.graph.add("Tom")
    with pytest.raises(InvalidScope):
        view.graph.link("Tom", "knows", "Tim")


def test_a_write_may_join_a_transaction(memory: Memory, ada: ScopedMemory) -> None:
    """Nothing is there where the transaction is undone, all of it where it is committed."""
    with pytest.raises(ZeroDivisionError), memory.transaction() as tx:
        assert ada.graph.add("Tom", connection=tx).name == "Tom"
        raise ZeroDivisionError
    assert len(ada.graph.entities()) == 0
    with memory.transaction() as tx:
        made = ada.graph.add("Tom", connection=tx)
    assert ada.graph.entity("Tom").id == made.id


async def test_every_verb_has_a_twin(ada: ScopedMemory) -> None:
    """Awaited, the verbs do the same."""
    graph = ada.graph
    await graph.alink("Priya", "sister of", "Ada")
    tom = await graph.aadd("Tom")
    assert {one.name for one in await graph.aentities()} == {"Priya", "Ada", "Tom"}
    assert (await graph.afind("Priya"))[0].name == "Priya"
    assert len(await graph.aneighbours("Priya")) == 2
    assert len(await graph.apaths("Priya", "Ada")) == 1
    changes = await graph.amerge(tom, "Ada")
    await graph.arevert(changes)
    await graph.arename("Tom", "Thomas")
    await graph.aunlink("Priya", "sister of", "Ada")
    await graph.aremove("Thomas")
    assert len(await graph.ahistory()) >= 7
    assert (await graph.aentity("Priya")).name == "Priya"
    assert await graph.arelations() == ()
    assert await graph.amentions("Priya") == ()
    assert (await graph.adraw()).svg.startswith("<svg")


def test_switched_off_there_is_no_graph(open_memory: Callable[..., Memory], tenant: str) -> None:
    """With ``graph="none"`` nothing is noted, and asking says why."""
    memory = open_memory(tenant=tenant, graph="none", language_model=ScriptedExtractor())
    ada = memory.scope(user_id="ada")
    ada.thread("chat").append(Message.user("My sister Priya lives in Leeds."))
    assert memory.drain().seen == 0
    with pytest.raises(UsageError, match="none"):
        _ = ada.graph
    again = open_memory(tenant=tenant).scope(user_id="ada")
    assert len(again.graph.entities()) == len(again.graph.history()) == 0


def test_a_graph_is_networkx_where_it_is_installed(family: ScopedMemory) -> None:
    """Nodes have names and types, edges what they say."""
    pytest.importorskip("networkx")
    graph = family.graph.to_networkx()
    assert {data["name"] for _, data in graph.nodes(data=True)} == {"Priya", "Ada", "Tom", "Zoe", "Acme"}
    assert {data["predicate"] for *_, data in graph.edges(data=True)} == {"sister of", "carer of", "works at"}
    near = family.graph.to_networkx("Acme")
    assert near.number_of_nodes() == 2


def test_a_drawing_is_sound_svg_with_every_name(family: ScopedMemory, tmp_path: Path) -> None:
    """It parses, boxes do not lie on each other, names that look like markup are text."""
    family.graph.link("<script>", 'is "odd" & new', "Ada")
    drawing = family.graph.draw()
    root = ET.fromstring(drawing.svg)  # noqa: S314 - our own
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Priya", "Tom", "<script>", "sister of"} <= set(words)
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    width, height = drawing.size
    for place, one in enumerate(drawing.nodes):
        assert 0 < one.x < width
        assert 0 < one.y < height
        for other in drawing.nodes[place + 1 :]:
            assert abs(one.x - other.x) > (one.width + other.width) / 2 or abs(one.y - other.y) > 26
    assert drawing.save(tmp_path / "graph.svg").read_text(encoding="utf-8") == drawing.svg
    assert family.graph.draw().svg == drawing.svg
    with pytest.raises(UsageError, match="svg or .png"):
        drawing.save(tmp_path / "graph.gif")


def test_an_empty_graph_is_drawn_too(ada: ScopedMemory) -> None:
    """There is nothing to see, and no error."""
    assert ada.graph.draw().svg.endswith("</svg>")


def test_many_workers_at_once_make_each_entity_once(memories: tuple[Memory, Memory]) -> None:
    """Whoever drains beside whom: every name is one entity, every mention is there once."""
    names = ["Marcus", "Nadia", "Felix", "Henrik", "Samir"]
    ada = memories[0].scope(user_id="ada")
    for number in range(6):
        said = [Message.user(f"I met {name} in Leeds, place {number}.") for name in names]
        ada.thread(f"chat-{number}").append(*said)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: memories[number % 2].drain(), range(8)))
    found = ada.graph.entities(limit=100)
    assert sorted(one.name for one in found) == sorted([*names, "Leeds"])
    assert [len(ada.graph.mentions(name)) for name in names] == [6] * 5
    assert len(ada.graph.mentions("Leeds")) == 30


def test_the_worker_of_a_process_looks_for_names(open_memory: Callable[..., Memory], tenant: str) -> None:
    """Nobody has to call drain where a worker runs."""
    ada = open_memory(tenant=tenant, worker="thread").scope(user_id="ada")
    ada.thread("chat").append(Message.user("I met Tom in Leeds."))
    until = time.monotonic() + 30
    while not ada.graph.find("Tom") and time.monotonic() < until:
        time.sleep(0.1)
    assert ada.graph.entity("Tom").name == "Tom"


def test_the_status_tells_how_much_graph_there_is(memory: Memory, ada: ScopedMemory) -> None:
    """Entities, relations, mentions, and what was not looked through yet."""
    ada.thread("chat").append(Message.user("I met Tom in Leeds."))
    before = memory.status().graph
    assert before is not None
    assert before.waiting == 1
    memory.drain()
    ada.graph.link("Tom", "lives in", "Leeds")
    after = memory.status().graph
    assert after is not None
    assert (after.entities, after.relations, after.mentions, after.waiting) == (2, 1, 2, 0)
