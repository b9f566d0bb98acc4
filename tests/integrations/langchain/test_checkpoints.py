"""Checkpoints in a store: whose they are, where they go, and what becomes of them."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from keepwell import Memory, Message, Scope, errors
from keepwell.models import Owner
from keepwell.storage.postgres.checkpoints import Entry, Lodger, doomed, lodger, lodging
from keepwell.storage.postgres.embedded import EmbeddedServer
from langchain_keepwell import KeepwellMiddleware
from langchain_keepwell.checkpoints import KeepwellSaver, keepwell_checkpointer

from .agents import following

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_thread")


@pytest.fixture
def admin(admin_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection that sees everything."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        yield connection


def run_of(user: str, thread: str = "t", **more: Any) -> Any:
    """Give the config of a run of somebody's."""
    return {"configurable": {"thread_id": thread, "user_id": user, **more}}


def echo(memory: Memory, **ids: str) -> Any:
    """Give a graph that answers what it is told, with a checkpointer."""

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"you said {state['messages'][-1].text}")]}

    graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").add_edge("answer", END)
    return graph.compile(keepwell_checkpointer(memory, **ids))


def say(graph: Any, text: str, config: Any) -> list[str]:
    """Say something and give all that the state has."""
    return [message.text for message in graph.invoke({"messages": [("user", text)]}, config)["messages"]]


def rows(admin: psycopg.Connection[Any]) -> dict[str, int]:
    """Count what LangGraph's tables hold, and ours beside them."""
    found = {}
    for table in TABLES:
        found[table] = (admin.execute(f"select count(*) from keepwell.{table}").fetchone() or (0,))[0]
    return found


NOTHING = dict.fromkeys(TABLES, 0)


# The tables


def test_the_tables_are_those_that_langgraph_makes(admin: psycopg.Connection[Any], admin_dsn: str) -> None:
    """Columns, types, defaults, keys, indexes and noted versions are what its own setup makes, of this very version."""
    admin.execute("create schema theirs")
    with psycopg.connect(admin_dsn, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("set search_path to theirs")
        PostgresSaver(connection).setup()

    def described(schema: str) -> list[list[tuple[Any, ...]]]:
        columns = (
            "select table_name, column_name, data_type, is_nullable, column_default, collation_name"
            " from information_schema.columns where table_schema = %s and table_name like 'checkpoint%%'"
            " and table_name <> 'checkpoint_thread' order by 1, 2"
        )
        indexes = (
            "select tablename, indexname, replace(indexdef, %s || '.', '') from pg_indexes where schemaname = %s"
            " and tablename like 'checkpoint%%' and tablename <> 'checkpoint_thread' order by 1, 2"
        )
        return [
            admin.execute(columns, [schema]).fetchall(),
            admin.execute(indexes, [schema, schema]).fetchall(),
            admin.execute(f"select v from {schema}.checkpoint_migrations order by 1").fetchall(),
        ]

    ours, theirs = described("keepwell"), described("theirs")
    assert len(theirs[0]) == 23
    assert ours == theirs


def test_a_langgraph_with_more_migrations_is_refused(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that are older than the installed package needs are told at once, with what to do."""
    monkeypatch.setattr(KeepwellSaver, "MIGRATIONS", [*PostgresSaver.MIGRATIONS, "alter table checkpoints ..."])
    with pytest.raises(errors.UsageError, match="has 11 migrations, and the tables here are at 10; upgrade keepwell"):
        keepwell_checkpointer(memory)


def test_nothing_lands_in_another_schema(memory: Memory, admin: psycopg.Connection[Any]) -> None:
    """Setting up and working make no table elsewhere, and none of LangGraph's names is needed in the search path."""
    keepwell_checkpointer(memory).setup()
    say(echo(memory), "hello", run_of("ada"))
    found = admin.execute(
        "select distinct n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relname like 'checkpoint%'"
    ).fetchall()
    assert [name for (name,) in found if not name.startswith("pg_")] == ["keepwell"]


@pytest.mark.parametrize(
    "whose",
    [
        Lodger("default", Owner("ada", "", ""), "t"),
        Lodger("a/b", Owner("ada@mail.com", "x/y", "%2F"), "t/%25/ü"),
        Lodger("t", Owner("", "agent", ""), "///"),
    ],
)
def test_a_lodging_says_whose_it_is(whose: Lodger) -> None:
    """Tenant, owner and thread are read back from the encoded id, whatever is in them."""
    assert lodger(lodging(whose)) == whose


def test_lodgings_of_different_threads_differ() -> None:
    """What could be read in two ways is encoded in two."""
    ids = ["a", "b", "a/b", "a%2Fb", "", "/", "%"]
    every = [Lodger(t, Owner(u, "", ""), i) for t in ids for u in ids for i in ids]
    assert len({lodging(one) for one in every}) == len(every)


# Whose they are


def test_two_peoples_threads_of_one_name_are_two(memory: Memory) -> None:
    """The same thread id of ada's and bob's are different conversations, with one graph and one checkpointer."""
    graph = echo(memory)
    say(graph, "I am Ada", run_of("ada"))
    assert say(graph, "I am Bob", run_of("bob")) == ["I am Bob", "you said I am Bob"]
    assert len(say(graph, "again", run_of("ada"))) == 4
    assert say(graph, "for the cook", run_of("ada", agent_id="cook")) == ["for the cook", "you said for the cook"]


def test_two_tenants_do_not_meet(open_memory: Callable[..., Memory]) -> None:
    """The same user and thread of another tenant has nothing of this one's, and a search of all finds its own alone."""
    left, right = open_memory(tenant="left"), open_memory(tenant="right")
    say(echo(left), "left", run_of("ada"))
    assert say(echo(right), "right", run_of("ada")) == ["right", "you said right"]
    assert {one.config["configurable"]["thread_id"] for one in keepwell_checkpointer(right).list(None)} == {"t"}
    assert "left" not in repr(list(keepwell_checkpointer(right).list(None)))


def test_the_owner_comes_from_the_runs_context_as_the_middlewares_does(memory: Memory) -> None:
    """Ids in the run's context name the owner; the thread and its checkpoints have the same, and go together."""

    @dataclass
    class Person:
        user_id: str
        agent_id: str
        run_id: str

    agent = create_agent(
        following(AIMessage("Noted.")),
        middleware=[KeepwellMiddleware(memory)],
        checkpointer=keepwell_checkpointer(memory),
        context_schema=Person,
    )
    agent.invoke(
        {"messages": [("user", "No peanuts.")]},
        {"configurable": {"thread_id": "t"}},
        context=Person("ada", "cook", "monday"),
    )
    kept = memory.checkpoints().of_scope(Scope("ada"))
    assert [memory.checkpoints().lodger(one) for one in kept] == [(Owner("ada", "cook", "monday"), "t")]
    view = memory.scope("ada", "cook", "monday")
    assert view.forget(view.thread("t")).counts["checkpoints"] > 0


def test_a_run_that_names_nobody_is_refused(memory: Memory) -> None:
    """There is no default person: without an id the run is told what is missing."""
    with pytest.raises(errors.InvalidScope, match="whose checkpoints are these"):
        say(echo(memory), "hello", {"configurable": {"thread_id": "t"}})


def test_a_checkpointer_of_one_person_refuses_another(memory: Memory, admin: psycopg.Connection[Any]) -> None:
    """A run of bob's through ada's checkpointer is an error, and nothing is written."""
    with pytest.raises(errors.InvalidScope, match="of user_id 'ada', and the run names 'bob'"):
        say(echo(memory, user_id="ada"), "hello", run_of("bob"))
    assert rows(admin) == NOTHING


def test_a_config_that_was_given_back_needs_no_ids(memory: Memory) -> None:
    """What get_state gives leads to the same checkpoint again, also through a parent, and to nobody else's."""
    graph = echo(memory)
    say(graph, "one", run_of("ada"))
    say(graph, "two", run_of("ada"))
    state = graph.get_state(run_of("ada"))
    assert state.config["configurable"]["thread_id"] == "t"
    assert graph.get_state(state.config).values == state.values
    assert graph.get_state(state.parent_config).values != state.values
    assert len(list(graph.get_state_history(state.config))) > 0
    graph.update_state(state.config, {"messages": [("user", "three")]})
    assert graph.get_state(run_of("ada")).values["messages"][-1].text == "three"
    taken = {"configurable": {**state.config["configurable"], "user_id": "bob"}}
    with pytest.raises(errors.InvalidScope, match="names 'bob'"):
        graph.get_state(taken)


def test_a_thread_named_by_its_id_alone_must_be_one(memory: Memory) -> None:
    """Deleting by id works where one owner has it; where several do, it says so and deletes none."""
    graph, saver = echo(memory), keepwell_checkpointer(memory)
    say(graph, "one", run_of("ada"))
    say(graph, "one", run_of("ada", "mine"))
    say(graph, "one", run_of("bob"))
    with pytest.raises(errors.InvalidScope, match="several owners have a thread 't'"):
        saver.delete_thread("t")
    saver.delete_thread("mine")
    saver.delete_thread("nobody's")
    assert graph.get_state(run_of("ada", "mine")).values == {}
    keepwell_checkpointer(memory, user_id="bob").delete_thread("t")
    assert len(graph.get_state(run_of("ada")).values["messages"]) == 2
    assert graph.get_state(run_of("bob")).values == {}


# What becomes of them


def furnished(memory: Memory) -> None:
    """Give ada two threads with messages and checkpoints, one with checkpoints alone, and bob one."""
    graph = echo(memory)
    for thread in ("t", "u"):
        memory.scope("ada").thread(thread).append(Message.user("kept", id=f"m-{thread}"), Message.user("too"))
    for config in (run_of("ada"), run_of("ada", "u"), run_of("ada", "alone"), run_of("ada", "cooks", agent_id="cook")):
        say(graph, "walnut", config)
    say(graph, "walnut", run_of("bob"))


def threads_of(memory: Memory, user: str) -> set[str]:
    """Give the threads of somebody's that have checkpoints."""
    return {memory.checkpoints().lodger(one)[1] for one in memory.checkpoints().of_scope(Scope(user))}


def test_forgetting_a_scope_leaves_no_checkpoint(memory: Memory, admin: psycopg.Connection[Any]) -> None:
    """With somebody go all their checkpoints, blobs and writes; the receipt counts them, and nobody else loses any."""
    furnished(memory)
    before = rows(admin)
    ada = memory.scope("ada")
    receipt = ada.forget()
    (left,) = admin.execute("select count(*) from keepwell.checkpoints").fetchone() or (None,)
    assert receipt.counts["checkpoints"] == before["checkpoints"] - left == 12
    assert ada.verify(receipt)["checkpoints"] == 0
    assert threads_of(memory, "bob") == {"t"}
    for table in TABLES[:3]:
        found = admin.execute(f"select distinct thread_id from keepwell.{table}").fetchall()
        assert found == [("default/bob///t",)]
    memory.scope("bob").forget()
    assert rows(admin) == NOTHING


def test_what_remains_is_counted(memory: Memory) -> None:
    """A receipt of a scope shows checkpoints that came later."""
    furnished(memory)
    receipt = memory.scope("ada").forget()
    say(echo(memory), "back", run_of("ada", "new"))
    assert memory.scope("ada").verify(receipt)["checkpoints"] == 3


def test_forgetting_a_thread_takes_its_checkpoints(memory: Memory) -> None:
    """They go with the thread, in the same transaction, and the other threads keep theirs."""
    furnished(memory)
    ada = memory.scope("ada")
    with pytest.raises(RuntimeError, match="undone"), memory.transaction() as tx:
        ada.forget(ada.thread("t"), connection=tx)
        raise RuntimeError("undone")
    assert "t" in threads_of(memory, "ada")
    assert ada.forget(ada.thread("t")).counts["checkpoints"] == 3
    assert threads_of(memory, "ada") == {"u", "alone", "cooks"}
    assert threads_of(memory, "bob") == {"t"}


@pytest.mark.parametrize("how", ["forget", "delete"])
def test_a_message_takes_the_checkpoints_of_its_thread(memory: Memory, how: str) -> None:
    """A checkpoint may hold the message where nobody can take it out, so it goes as well."""
    furnished(memory)
    ada = memory.scope("ada")
    said = ada.thread("t").messages()[0]
    if how == "forget":
        assert ada.forget(said).counts["checkpoints"] == 3
    else:
        ada.thread("t").delete(said)
    assert threads_of(memory, "ada") == {"u", "alone", "cooks"}


async def test_an_asynchronous_transaction_takes_them_too(memory: Memory, dsn: str) -> None:
    """Forgetting on a caller's asynchronous connection reaches checkpoints, when it is committed."""
    furnished(memory)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        receipt = await memory.scope("ada").aforget(connection=connection)
        assert threads_of(memory, "ada") != set()
    assert receipt.counts["checkpoints"] == 12
    assert threads_of(memory, "ada") == set()


def test_a_moved_thread_goes_on(memory: Memory) -> None:
    """A guest's conversation that is given to ada goes on as hers, state and all, and says that it is hers."""
    graph = echo(memory)
    memory.scope("guest").thread("t").append(Message.user("hello"))
    say(graph, "hello", run_of("guest"))
    memory.scope("guest").thread("t").move(memory.scope("ada"))
    assert len(say(graph, "again", run_of("ada"))) == 4
    assert graph.get_state(run_of("guest")).values == {}
    assert {one.metadata.get("user_id") for one in keepwell_checkpointer(memory).list(run_of("ada"))} == {"ada"}
    assert memory.scope("guest").forget().counts["checkpoints"] == 0


def test_a_moved_thread_does_not_overwrite(memory: Memory) -> None:
    """Where the new owner has checkpoints under that id, those stay."""
    graph = echo(memory)
    memory.scope("guest").thread("t").append(Message.user("hello"))
    say(graph, "guest", run_of("guest"))
    say(graph, "ada", run_of("ada"))
    memory.scope("guest").thread("t").move(memory.scope("ada"))
    assert [message.text for message in graph.get_state(run_of("ada")).values["messages"]] == ["ada", "you said ada"]
    assert threads_of(memory, "guest") == set()


def test_a_clone_begins_without(memory: Memory) -> None:
    """A cloned thread has no checkpoints; copying them is said by itself."""
    graph = echo(memory)
    ada = memory.scope("ada")
    ada.thread("t").append(Message.user("hello"))
    say(graph, "hello", run_of("ada"))
    ada.thread("t").clone("copy")
    assert graph.get_state(run_of("ada", "copy")).values == {}
    saver = keepwell_checkpointer(memory, user_id="ada")
    saver.copy_thread("t", "copy")
    assert len(say(graph, "more", run_of("ada", "copy"))) == 4
    assert len(say(graph, "more", run_of("ada"))) == 4
    with pytest.raises(errors.Conflict, match="has checkpoints already"):
        saver.copy_thread("t", "copy")


def test_a_write_that_waited_for_a_removal_is_whole(memory: Memory, admin: psycopg.Connection[Any]) -> None:
    """A checkpoint that is being written while its owner is forgotten is there whole afterwards, or not at all."""
    graph = echo(memory)
    stop = threading.Event()
    failures: list[BaseException] = []

    def talk() -> None:
        try:
            while not stop.is_set():
                say(graph, "hello", run_of("ada", uuid.uuid4().hex[:2]))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    talking = [threading.Thread(target=talk) for _ in range(2)]
    for one in talking:
        one.start()
    for _ in range(20):
        memory.scope("ada").forget()
    stop.set()
    for one in talking:
        one.join()
    assert failures == []
    for table in TABLES[:3]:
        loose = admin.execute(
            f"select count(*) from keepwell.{table} k where not exists"
            " (select 1 from keepwell.checkpoint_thread c where c.lodging = k.thread_id)"
        ).fetchone()
        assert loose == (0,), table
    memory.scope("ada").forget()
    assert rows(admin) == NOTHING


# Pruning


def test_tidy_keeps_the_newest(memory: Memory, admin: psycopg.Connection[Any]) -> None:
    """Of each thread so many checkpoints stay, the conversation goes on, and no blob or write is left over."""
    graph, saver = echo(memory), keepwell_checkpointer(memory)
    for text in ("one", "two", "three"):
        say(graph, text, run_of("ada"))
        say(graph, text, run_of("bob"))
    assert saver.tidy(keep=2) == 14
    assert [len(list(saver.list(run_of(user)))) for user in ("ada", "bob")] == [2, 2]
    assert keepwell_checkpointer(memory, user_id="ada").tidy(keep=1) == 1
    assert [len(list(saver.list(run_of(user)))) for user in ("ada", "bob")] == [1, 2]
    unused = admin.execute(
        "select count(*) from keepwell.checkpoint_blobs b where not exists (select 1 from keepwell.checkpoints c"
        " where c.thread_id = b.thread_id and c.checkpoint -> 'channel_versions' ->> b.channel = b.version)"
    ).fetchone()
    assert unused == (0,)
    assert len(say(graph, "four", run_of("ada"))) == 8


def test_tidy_removes_what_is_idle(memory: Memory, admin: psycopg.Connection[Any]) -> None:
    """Threads that were not written for so long lose all their checkpoints; the others none."""
    graph, saver = echo(memory), keepwell_checkpointer(memory)
    say(graph, "old", run_of("ada", "old"))
    say(graph, "new", run_of("ada", "new"))
    admin.execute("update keepwell.checkpoint_thread set written_at = now() - interval '8 days' where thread = 'old'")
    assert saver.tidy(idle=dt.timedelta(days=7)) == 3
    assert threads_of(memory, "ada") == {"new"}
    say(graph, "again", run_of("ada", "old"))
    assert saver.tidy(idle=dt.timedelta(days=7)) == 0
    with pytest.raises(errors.UsageError, match="keep is 0"):
        saver.tidy(keep=0)


def test_what_goes_with_a_root() -> None:
    """A subgraph's call goes with the root's checkpoint it was made in; one that has not been saved yet stays."""
    entries = [
        Entry("", "1", None, None, None),
        Entry("", "2", None, None, None),
        Entry("sub:a", "3", None, "1", None),
        Entry("sub:b", "4", None, "2", None),
        Entry("sub:b", "5", None, "2", None),
        Entry("sub:c", "6", None, "9", None),
        Entry("kept", "7", None, "1", None),
        Entry("kept", "8", "7", "2", None),
    ]
    assert {entry.id for entry in doomed(entries, 1)} == {"1", "3", "4"}
    assert doomed(entries, 9) == []


# Incognito


@tool
def book(place: str) -> str:
    """Book a trip."""
    return f"booked {place}" if interrupt("sure?") else "not booked"


def test_incognito_leaves_no_checkpoint_and_can_be_resumed(memory: Memory, admin: psycopg.Connection[Any]) -> None:
    """An incognito run that asks for approval goes on where it was, and nothing of it is ever in the database."""
    call = AIMessage("", tool_calls=[{"name": "book", "args": {"place": "Rome"}, "id": "c"}])
    agent = create_agent(
        following(call, AIMessage("Done."), AIMessage("Hello, whoever you are.")),
        [book],
        middleware=[KeepwellMiddleware(memory)],
        checkpointer=keepwell_checkpointer(memory),
        context_schema=dict,
    )
    secret = {"user_id": "ada", "incognito": True}
    config = {"configurable": {"thread_id": "t"}}
    asked = agent.invoke({"messages": [("user", "Take me to Rome.")]}, config, context=secret)
    assert [one.value for one in asked["__interrupt__"]] == ["sure?"]
    done = agent.invoke(Command(resume=True), config, context=secret)
    assert [message.text for message in done["messages"]] == ["Take me to Rome.", "", "booked Rome", "Done."]
    assert rows(admin) == NOTHING
    assert len(memory.scope("ada").threads()) == 0
    public = agent.invoke({"messages": [("user", "Hello!")]}, config, context={"user_id": "ada"})
    assert [message.text for message in public["messages"]] == ["Hello!", "Hello, whoever you are."]
    assert rows(admin)["checkpoints"] > 0


async def test_incognito_awaited(memory: Memory, admin: psycopg.Connection[Any]) -> None:
    """The same holds for awaited runs and their streams, of somebody who is not named at all."""
    agent = create_agent(
        following(AIMessage("One."), AIMessage("Two.")), checkpointer=keepwell_checkpointer(memory), context_schema=dict
    )
    config = {"configurable": {"thread_id": "t"}}
    for _ in range(2):
        async for _ in agent.astream({"messages": [("user", "hi")]}, config, context={"incognito": True}):
            pass
    state = await agent.aget_state({"configurable": {"thread_id": "t", "__keepwell_incognito": True}})
    assert len(state.values["messages"]) == 4
    assert rows(admin) == NOTHING


def test_incognito_threads_are_bounded(memory: Memory) -> None:
    """The process remembers a limited number of them; the one longest unused is forgotten first."""
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    from langchain_keepwell.incognito import Incognito

    kept = Incognito(JsonPlusSerializer(), limit=2)
    first = kept.of(None, "a")
    kept.of(None, "b")
    assert kept.of(None, "a") is first
    kept.of(None, "c")
    assert kept.of(None, "a") is first
    kept.drop(None, "a")
    assert kept.of(None, "a") is not first


# How it runs


def test_calls_run_side_by_side(memory: Memory) -> None:
    """No lock is held around a call: two calls are in the database at once, which LangGraph's own saver forbids."""
    saver = keepwell_checkpointer(memory, user_id="ada")
    both = threading.Barrier(2)

    def inside() -> None:
        with saver._cursor() as cursor:
            cursor.execute("select 1")
            both.wait(5)

    other = threading.Thread(target=inside)
    other.start()
    inside()
    other.join()


def test_works_from_any_event_loop(memory: Memory) -> None:
    """One saver serves one event loop after the other, and calls without any."""
    graph = echo(memory)

    async def turn(text: str) -> int:
        done = await graph.ainvoke({"messages": [("user", text)]}, run_of("ada"))
        return len(done["messages"])

    assert [asyncio.run(turn("one")), asyncio.run(turn("two")), len(say(graph, "three", run_of("ada")))] == [2, 4, 6]


async def test_many_conversations_at_once(memory: Memory) -> None:
    """Awaited runs of many people side by side keep each to their own."""
    graph = echo(memory)

    async def talk(user: str) -> list[str]:
        for number in range(3):
            done = await graph.ainvoke({"messages": [("user", f"{user} {number}")]}, run_of(user))
        return [message.text for message in done["messages"]]

    for user, said in zip("abcdefgh", await asyncio.gather(*map(talk, "abcdefgh")), strict=True):
        assert len(said) == 6
        assert all(user in text.split() for text in said)


def test_connections_that_forget(dsn: str) -> None:
    """It works where each transaction meets a connection that lost its settings, as behind a pooler."""

    def reset(connection: psycopg.Connection[Any]) -> None:
        connection.autocommit = True
        connection.execute("discard all")

    options = {"autocommit": True, "prepare_threshold": None}
    with (
        ConnectionPool(dsn, min_size=2, max_size=2, kwargs=options, reset=reset, open=True) as pool,
        Memory.open(pool=pool, embedder=None, name="forgetful") as memory,
    ):
        graph = echo(memory)
        for number in range(7):
            assert len(say(graph, "hello", run_of("ada"))) == 2 * number + 2
        with pool.connection() as connection:
            assert connection.execute("show search_path").fetchone() == ('"$user", public',)


def test_a_broken_line_is_mended(memory: Memory, server: EmbeddedServer, admin: psycopg.Connection[Any]) -> None:
    """After a restart of the server the first call works, because doing it again changes nothing."""
    graph = echo(memory)
    say(graph, "one", run_of("ada"))
    admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and"
        " pid <> pg_backend_pid()"
    )
    assert len(say(graph, "two", run_of("ada"))) == 4


def test_errors_of_the_database_are_ours(memory: Memory, admin: psycopg.Connection[Any], dsn: str) -> None:
    """A checkpoint that cannot be written is an error, said in our words: a lost one would break a resume."""
    graph = echo(memory)
    admin.execute("revoke insert on keepwell.checkpoints from keepwell")
    with pytest.raises(errors.NotPermitted, match="permission denied for table checkpoints"):
        say(graph, "hello", run_of("ada"))
    admin.execute("grant insert on keepwell.checkpoints to keepwell")
    assert len(say(graph, "hello", run_of("ada"))) >= 2


class Trap:
    """Something that must not be made from bytes of a database."""

    def __init__(self, word: str) -> None:
        self.word = word


@dataclass
class Known:
    """A class of an application's own."""

    word: str


def test_a_checkpoint_does_not_run_code(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    """Classes that were not allowed are not made when a checkpoint is read; allowed ones are."""
    strict, open_ = keepwell_checkpointer(memory), keepwell_checkpointer(memory, allowed=[Known])
    kind, data = strict.serde.dumps_typed(Known("walnut"))
    assert not isinstance(strict.serde.loads_typed((kind, data)), Known)
    assert open_.serde.loads_typed((kind, data)) == Known("walnut")
    assert any("Blocked deserialization" in message for message in caplog.messages)


def test_messages_come_back_from_a_checkpoint_exactly(memory: Memory) -> None:
    """Messages with tool calls, usage and metadata are the same after a round trip through strict reading."""
    saver = keepwell_checkpointer(memory, user_id="ada")
    message = AIMessage(
        [{"type": "text", "text": "hi"}],
        id="m",
        name="cook",
        tool_calls=[{"name": "f", "args": {"x": 1}, "id": "c"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model": "x"},
        additional_kwargs={"k": {"deep": [1]}},
    )
    from langgraph.checkpoint.base import empty_checkpoint

    checkpoint = {
        **empty_checkpoint(), "channel_values": {"messages": [message]}, "channel_versions": {"messages": "1"},
    }  # fmt: skip
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    saver.put(config, checkpoint, {}, {"messages": "1"})  # type: ignore[arg-type,typeddict-item]
    found = saver.get_tuple(config)  # type: ignore[arg-type]
    assert found is not None
    assert found.checkpoint["channel_values"]["messages"] == [message]


def test_a_store_of_another_kind_is_refused() -> None:
    """Checkpoints need PostgreSQL, and a memory on anything else says so when the checkpointer is made."""
    from keepwell.testing import ReferenceStore

    with Memory.over(ReferenceStore()) as memory, pytest.raises(errors.UsageError, match="kept in PostgreSQL"):
        keepwell_checkpointer(memory)


def test_a_dsn_is_refused_where_langgraph_takes_one(dsn: str) -> None:
    """The class method that takes a bare address says what to do instead."""
    with pytest.raises(errors.UsageError, match="open a Memory on that address"):
        KeepwellSaver.from_conn_string(make_conninfo(dsn))


def test_ids_that_cannot_be_stored_are_refused(memory: Memory) -> None:
    """A thread id that no index holds is an error in words, not one of the database's."""
    with pytest.raises(errors.InvalidScope, match="thread_id has 600 bytes"):
        say(echo(memory), "hello", run_of("ada", "x" * 600))
