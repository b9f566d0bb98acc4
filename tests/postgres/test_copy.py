"""A tenant goes from one PostgreSQL to another with everything, its graph too, and goes on there as it was."""

from __future__ import annotations

import datetime as dt
import io
import json
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from keepwell import Memory, Message, Transfer
from keepwell.errors import KeepwellError
from keepwell.memory.copying import Copied
from keepwell.storage.base import Record, Write
from keepwell.storage.graph import FindUnmentioned
from keepwell.storage.graph_copying import KeepEntityCopies, KeepMentionCopies, KeepRelationCopies, ReadSeen
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.testing import ReferenceStore

YEAR = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def source(open_memory: Callable[..., Memory], tenant: str) -> Memory:
    """Give a memory with two people's graphs: found, said, merged, split, renamed, ended and taken away."""
    memory = open_memory(tenant=tenant)
    furnish(memory)
    return memory


@pytest.fixture(scope="module")
def elsewhere(server: EmbeddedServer, template: str) -> Iterator[str]:
    """Give the DSN of a second database: keys of threads are one of a kind in each."""
    name = f"copies_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
        yield make_conninfo(server.dsn, dbname=name)
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture(params=["postgres", "reference"])
def target(request: pytest.FixtureRequest, elsewhere: str, tenant: str) -> Iterator[Memory]:
    """Give an empty memory elsewhere."""
    name = f"there-{uuid.uuid4().hex}"
    if request.param == "postgres":
        with Memory.open(elsewhere, tenant=tenant, embedder=None, name=name) as memory:
            yield memory
    else:
        with Memory.over(ReferenceStore(), name=name) as memory:
            yield memory


def furnish(memory: Memory) -> None:
    """Let names be found, and put right what a person would put right."""
    ada, bob = memory.scope(user_id="ada"), memory.scope(user_id="bob", agent_id="cook")
    chat = ada.thread("family")
    chat.append(
        Message.user("I met Katherine Jones in Leeds with my sister Priya.", id="one"),
        Message.user("Priya from work sent the report to katherine@example.org.", id="two"),
        Message.user("Then Katherine Jones met Max Weber in Leeds.", id="three"),
        Message.user("Later Katherine Jones phoned Max Weber.", id="four"),
    )
    bob.thread("kitchen").append(Message.user("I cook for Zoe Maier in Rome."))
    ada.remember("Max Weber lives in Bremen", subject="Max Weber")
    memory.drain()
    kate = ada.graph.add("Kate", type="person", aliases=("Kitty",), reason="from the phone")
    ada.graph.merge(kate, "Katherine Jones", reason="that is what we call her")
    others = [one for one in ada.graph.mentions("Max Weber") if one.message is not None][:1]
    ada.graph.split("Max Weber", "Max Weber junior", mentions=others, reason="the son")
    ada.graph.rename("Leeds", "Leeds in Yorkshire", reason="there is another")
    ada.graph.link("Tom", "carer of", "Kate", valid_from=YEAR)
    ada.graph.unlink("Tom", "carer of", "Kate", valid_to=YEAR + dt.timedelta(days=100))
    ada.graph.link("Tom", "uncle of", "Kitty")
    ada.graph.unlink("Tom", "uncle of", "Kate", reason="never was")
    ada.graph.remove("katherine@example.org", reason="no name")


def everything(memory: Memory, *users: str) -> list[object]:
    """Give what readers see of the graph, without the numbers that are a store's own."""
    told: list[object] = []
    for view in (memory.scope(user_id=user) for user in users or ("ada", "bob")):
        entities = sorted(view.graph.entities(limit=500), key=lambda one: one.id)
        told += [(one.id, one.name, one.type, sorted(one.aliases), one.first_seen, one.last_seen) for one in entities]
        for one in entities:
            told.append(sorted((said.surface, said.start, said.at) for said in view.graph.mentions(one)))
        told += sorted((one.id, one.version, one.predicate, one.valid_to) for one in view.graph.relations(limit=500))
        told += [(one.id, one.kind, one.reason, one.at, len(one.moved)) for one in view.graph.history(limit=500)]
    return told


def failing_at(monkeypatch: pytest.MonkeyPatch, record: Record, kind: type[Write[object]]) -> None:
    """Let the line break at the first write of that kind."""
    kind_of = type(record)
    write = kind_of.write

    def broken(self: object, change: Write[object], connection: object = None) -> object:
        if isinstance(change, kind):
            raise KeepwellError("the line broke")
        return write(self, change, connection)  # type: ignore[arg-type]  # the record's own

    monkeypatch.setattr(kind_of, "write", broken)


def test_the_graph_goes_along(source: Memory, target: Memory) -> None:
    """Entities, names, mentions, relations and history are there as they were, by count, checksum and to a reader."""
    told: list[tuple[int, int]] = []
    copied = source.copy_to(target, progress=lambda done, total: told.append((done, total)))
    assert copied.differences == ()
    assert copied.left_out == ()
    assert everything(target) == everything(source)
    assert min(copied.entities, copied.relations, copied.mentions, copied.graph_changes) > 2
    assert copied.source["mentions"][0] == copied.mentions
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


def test_a_second_copy_finds_nothing_to_do(source: Memory, target: Memory) -> None:
    """What is there stays; a later copy brings only what is new, a moved mention and an end among it."""
    source.copy_to(target)
    again = source.copy_to(target)
    assert again == Copied(source=again.source)
    ada = source.scope(user_id="ada")
    said = ada.graph.mentions("Katherine Jones")
    ada.graph.split("Katherine Jones", "Another Katherine", mentions=said[:1])
    ada.graph.link("Tom", "friend of", "Max Weber junior")
    ada.thread("family").append(Message.user("Then Ingrid Berg came to Leeds.", id="five"))
    source.drain()
    later = source.copy_to(target)
    assert later.differences == ()
    assert everything(target) == everything(source)
    assert 0 < later.entities < 4


def test_what_was_done_can_be_taken_back_there(source: Memory, target: Memory) -> None:
    """A merge, a split, a rename and a retraction that were made before are reverted in the copy, to the same effect."""
    source.copy_to(target)
    reasons = ("that is what we call her", "the son", "there is another", "never was", "no name")
    for memory in (source, target):
        graph = memory.scope(user_id="ada").graph
        for reason in reasons:
            (change,) = [one for one in graph.history(limit=500) if one.reason == reason]
            graph.revert(change)
    here, there = (
        {
            (one.name, len(memory.scope(user_id="ada").graph.mentions(one)))
            for one in memory.scope(user_id="ada").graph.entities()
        }
        for memory in (source, target)
    )
    assert here == there
    assert {name for name, _ in there} >= {"Kate", "Katherine Jones", "Leeds", "katherine@example.org"}
    assert "Max Weber junior" not in {name for name, _ in there}
    assert "uncle of" in {one.predicate for one in target.scope(user_id="ada").graph.relations()}


def test_what_was_looked_through_is_not_looked_through_again(source: Memory, target: Memory) -> None:
    """A drain of the copy finds nothing to do, and changes nothing of what a person has put right; new texts are due."""
    source.scope(user_id="ada").thread("family").append(Message.user("Only now Ingrid Berg comes.", id="late"))
    source.copy_to(target)
    due = [text.text for one in target._engine.record.read(FindUnmentioned()) for text in one.texts]
    assert due == ["Only now Ingrid Berg comes."]
    assert target._engine.record.read(ReadSeen(source.scope(user_id="ada").scope.owner))
    before = {one.name for one in target.scope(user_id="ada").graph.entities()}
    target.drain()
    assert {one.name for one in target.scope(user_id="ada").graph.entities()} - before == {"Ingrid Berg"}


@pytest.mark.parametrize("kind", [KeepEntityCopies, KeepRelationCopies, KeepMentionCopies])
def test_it_goes_on_where_it_was(
    source: Memory, target: Memory, kind: type[Write[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copying that broke off at any of the graph's kinds ends, the second time, with the same on both sides."""
    with monkeypatch.context() as patch:
        failing_at(patch, target._engine.record, kind)
        with pytest.raises(KeepwellError, match="the line broke"):
            source.copy_to(target)
    assert source.copy_to(target).same
    assert everything(target) == everything(source)


def test_differences_of_the_graph_are_found(source: Memory, target: Memory) -> None:
    """What only one of the two has of the graph is told."""
    source.copy_to(target)
    target.scope(user_id="ada").graph.rename("Tom", "Thomas")
    told = source.copy_to(target).differences
    assert [line.split(":")[0] for line in told] == ["entities", "graph_changes"]


@pytest.fixture
def exported(source: Memory) -> str:
    """Give what Ada takes along."""
    file = io.StringIO()
    told = source.scope(user_id="ada").export(file)
    assert min(told.entities, told.relations, told.mentions, told.graph_changes) > 2
    return file.getvalue()


def adas(memory: Memory) -> list[object]:
    """Give what Ada's readers see of the graph."""
    return everything(memory, "ada")


def test_an_export_takes_the_graph_along(source: Memory, target: Memory, exported: str) -> None:
    """What a person takes to another store has who is who in it, and how that came to be; nothing is due there."""
    there = target.scope(user_id="ada")
    done = there.import_(io.StringIO(exported))
    end = json.loads(exported.splitlines()[-1])
    assert (done.entities, done.relations, done.mentions, done.graph_changes) == tuple(
        end[name] for name in ("entities", "relations", "mentions", "graph_changes")
    )
    assert adas(target) == adas(source)
    assert "Zoe" not in exported
    assert target._engine.record.read(FindUnmentioned()) == ()
    (split,) = [one for one in there.graph.history(limit=500) if one.reason == "the son"]
    there.graph.revert(split)
    assert len(there.graph.mentions("Max Weber")) == 3


def test_an_import_again_changes_nothing_of_the_graph(source: Memory, target: Memory, exported: str) -> None:
    """A second import, or one into the store that it came from, takes in nothing; what was done since stays."""
    there = target.scope(user_id="ada")
    there.import_(io.StringIO(exported))
    there.graph.rename("Tom", "Thomas")
    before = adas(target)
    assert there.import_(io.StringIO(exported)) == Transfer()
    assert adas(target) == before
    before = adas(source)
    assert source.scope(user_id="ada").import_(io.StringIO(exported)) == Transfer()
    assert adas(source) == before


def test_an_export_without_a_graph_is_read(source: Memory, target: Memory, exported: str) -> None:
    """A file of an earlier keepwell, whose lines know no graph, is taken in, and its texts are looked through here."""
    kinds = {"entity", "relation", "mention", "graph_change", "seen"}
    lines = [line for line in map(json.loads, exported.splitlines()) if line["is"] not in kinds]
    for line in lines:
        line.pop("seen_to", None)
    done = target.scope(user_id="ada").import_(io.StringIO("".join(f"{json.dumps(line)}\n" for line in lines)))
    assert (done.messages, done.entities) == (4, 0)
    target.drain()
    assert "Katherine Jones" in {one.name for one in target.scope(user_id="ada").graph.entities()}
    assert source.tenant


def test_what_was_rejected_brings_nobody_along(source: Memory, target: Memory) -> None:
    """Where a fact is not taken in because it was rejected, who is named by it alone is not, either."""
    ada = source.scope(user_id="ada")
    ada.remember("Wanda Wolff lives in Bremerhaven")
    source.drain()
    file = io.StringIO()
    ada.export(file)
    file.seek(0)
    there = target.scope(user_id="ada")
    there.retract(there.remember("Wanda Wolff lives in Bremerhaven"), reject=True)
    there.import_(file)
    names = {one.name for one in there.graph.entities()}
    assert "Wanda Wolff" not in names
    assert "Katherine Jones" in names


def test_forgetting_in_the_copy_reaches_what_it_reached(source: Memory, target: Memory) -> None:
    """What rests on a message goes with it in the copy as in the original, entity by entity and change by change."""
    source.copy_to(target)
    counts = []
    for memory in (source, target):
        chat = memory.scope(user_id="ada").thread("family")
        receipt = memory.scope(user_id="ada").forget(next(one for one in chat.messages() if one.id == "one"))
        counts.append(
            {place: receipt.counts[place] for place in ("entities", "relations", "mentions", "graph_changes")}
        )
    assert counts[0] == counts[1]
    assert everything(target) == everything(source)
