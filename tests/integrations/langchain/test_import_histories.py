"""Chat histories of LangChain's own classes, taken over: whole, once, in order, and again after any end."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
)
from psycopg.types.json import Jsonb

from keepwell import Memory, Message, errors
from langchain_keepwell import KeepwellChatMessageHistory
from langchain_keepwell.importing import import_neo4j_chat_history, import_postgres_chat_history

CALL: Any = {"name": "search", "args": {"q": "tea"}, "id": "c", "type": "tool_call"}
SAID: list[BaseMessage] = [
    SystemMessage("Be kind.", id="s"),
    HumanMessage("Hello", name="ada"),
    AIMessage(
        "", tool_calls=[CALL], id="a-1", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    ),
    ToolMessage("tea is hot", tool_call_id="c", artifact={"rows": [1]}),
    AIMessage([{"type": "text", "text": "Tea is hot."}], id="a-2", response_metadata={"model": "m"}),
]


@pytest.fixture
def old(admin_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a database with the table that langchain-postgres makes."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        connection.execute(
            "create table chat_history (id serial primary key, session_id uuid not null, message jsonb not null,"
            " created_at timestamptz not null default now())"
        )
        connection.execute("create index on chat_history (session_id)")
        yield connection


def keep(connection: psycopg.Connection[Any], session: str, messages: list[BaseMessage]) -> None:
    """Write messages as that class does."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into chat_history (session_id, message, created_at) values (%s, %s, '2024-05-01 12:00+00')",
            [(session, Jsonb(message_to_dict(message))) for message in messages],
        )


def history(memory: Memory, session: str) -> list[BaseMessage]:
    """Give what LangChain reads from our history."""
    return KeepwellChatMessageHistory(session, memory=memory, user_id="ada", strict=True).messages


def test_a_postgres_history_comes_whole(memory: Memory, old: psycopg.Connection[Any], admin_dsn: str) -> None:
    """Every message is read back as LangChain read it from its own table, at its place and with its time."""
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    keep(old, one, SAID[:3])
    keep(old, two, [HumanMessage("Another.")])
    keep(old, one, SAID[3:])
    done = import_postgres_chat_history(memory.scope("ada"), admin_dsn)
    assert (done.places, done.found, done.new, done.missing, done.whole) == (2, 6, 6, 0, True)
    assert history(memory, one) == SAID
    assert history(memory, two) == [HumanMessage("Another.")]
    assert {m.created_at for m in memory.scope("ada").thread(one).messages()} == {
        dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    }


def test_importing_again_adds_what_is_new_alone(memory: Memory, old: psycopg.Connection[Any], admin_dsn: str) -> None:
    """A second run adds nothing, and a later one what was said since."""
    session = str(uuid.uuid4())
    keep(old, session, SAID)
    ada = memory.scope("ada")
    import_postgres_chat_history(ada, admin_dsn)
    again = import_postgres_chat_history(ada, admin_dsn)
    assert (again.new, again.there, again.missing) == (0, 5, 0)
    keep(old, session, [HumanMessage("More?")])
    later = import_postgres_chat_history(ada, admin_dsn)
    assert (later.new, later.there) == (1, 5)
    assert history(memory, session) == [*SAID, HumanMessage("More?")]


def test_an_edit_here_outlives_the_next_import(memory: Memory, old: psycopg.Connection[Any], admin_dsn: str) -> None:
    """What was corrected in the store after it came is not set back."""
    session = str(uuid.uuid4())
    keep(old, session, [HumanMessage("Helo")])
    ada = memory.scope("ada")
    import_postgres_chat_history(ada, admin_dsn)
    (said,) = ada.thread(session).messages()
    ada.thread(session).replace(Message.user("Hello", id=said.id))
    import_postgres_chat_history(ada, admin_dsn)
    assert [message.text for message in ada.thread(session).messages()] == ["Hello"]


def test_a_dry_run_writes_nothing(memory: Memory, old: psycopg.Connection[Any], admin_dsn: str) -> None:
    """It counts what an import would do, and the store is as it was."""
    session = str(uuid.uuid4())
    keep(old, session, SAID)
    ada = memory.scope("ada")
    done = import_postgres_chat_history(ada, admin_dsn, dry_run=True)
    assert (done.dry_run, done.found, done.new, done.missing) == (True, 5, 5, 0)
    assert len(ada.threads()) == 0


def test_an_import_that_was_stopped_goes_on(
    memory: Memory, old: psycopg.Connection[Any], admin_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended after a batch, it begins again where it was, and each message is there once and in order."""
    from langchain_keepwell.importing import postgres_history, pouring

    monkeypatch.setattr(pouring, "BATCH", 3)
    monkeypatch.setattr(postgres_history, "PAGE", 2)
    session = str(uuid.uuid4())
    keep(old, session, [HumanMessage(f"{n}") for n in range(8)])
    real, written = type(memory.scope("ada").thread("t")).append, 0

    def append(self: Any, *messages: Any, **options: Any) -> Any:
        nonlocal written
        if written == 2:
            raise KeyboardInterrupt
        written += 1
        return real(self, *messages, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory.scope("ada").thread("t")), "append", append)
        with pytest.raises(KeyboardInterrupt):
            import_postgres_chat_history(memory.scope("ada"), admin_dsn)
    done = import_postgres_chat_history(memory.scope("ada"), admin_dsn)
    assert (done.new, done.there) == (2, 6)
    assert [m.text for m in history(memory, session)] == [f"{n}" for n in range(8)]


def test_what_the_table_has_twice_or_broken(memory: Memory, old: psycopg.Connection[Any], admin_dsn: str) -> None:
    """A retry's double is one message, two messages under one id are two, and what cannot be read is told."""
    session = str(uuid.uuid4())
    keep(old, session, [HumanMessage("yes", id="m"), HumanMessage("yes", id="m"), HumanMessage("no", id="m")])
    keep(old, session, [HumanMessage("yes"), HumanMessage("yes")])
    for broken in ('{"type": "odd", "data": {"content": "x"}}', '"text"', '{"type": "tool", "data": {"content": "x"}}'):
        old.execute("insert into chat_history (session_id, message) values (%s, %s::jsonb)", [session, broken])
    done = import_postgres_chat_history(memory.scope("ada"), admin_dsn)
    assert (done.found, done.new, done.repeated, done.broken, done.missing) == (8, 4, 1, 3, 0)
    assert len(done.reasons) == 3
    assert not done.whole
    assert [m.text for m in history(memory, session)] == ["yes", "no", "yes", "yes"]
    again = import_postgres_chat_history(memory.scope("ada"), admin_dsn)
    assert (again.new, again.there) == (0, 4)


def test_the_communitys_table_and_several_owners(memory: Memory, admin_dsn: str, old: psycopg.Connection[Any]) -> None:
    """The older table has ids of any text and no times; a function says whose each session is."""
    old.execute("create schema app")
    old.execute("create table app.message_store (id serial primary key, session_id text not null, message jsonb)")
    for session in ("ada:1", "bob:1"):
        old.execute(
            "insert into app.message_store (session_id, message) values (%s, %s)",
            [session, Jsonb(message_to_dict(HumanMessage(session)))],
        )
    done = import_postgres_chat_history(
        lambda session: memory.scope(session.split(":")[0]), admin_dsn, "app.message_store", thread_prefix="old-"
    )
    assert (done.places, done.new) == (2, 2)
    assert [m.text for m in memory.scope("bob").thread("old-bob:1").messages()] == ["bob:1"]
    only = import_postgres_chat_history(memory.scope("eve"), admin_dsn, "app.message_store", sessions=["ada:1"])
    assert only.places == 1


def test_a_source_that_is_none_is_told(memory: Memory, admin_dsn: str) -> None:
    """Another table, no table and no server are errors in words, and no secret is among them."""
    view = memory.scope("ada")
    with pytest.raises(errors.ImportFormatError, match="there is no table 'nothing'"):
        import_postgres_chat_history(view, admin_dsn, "nothing")
    with pytest.raises(errors.ImportFormatError, match="no chat history: it lacks message, session_id"):
        import_postgres_chat_history(view, admin_dsn, "keepwell.message")
    with pytest.raises(errors.ImportFormatError, match="cannot be opened") as failed:
        import_postgres_chat_history(view, "postgresql://u:secret@127.0.0.1:1/x")
    assert "secret" not in str(failed.value)


# Neo4j


@pytest.fixture
def graph(neo4j_uri: str) -> Iterator[Any]:
    """Give a driver of a Neo4j server, with nothing of an earlier test."""
    neo4j = pytest.importorskip("neo4j", reason="not available here: these versions are without a Neo4j driver")
    with neo4j.GraphDatabase.driver(neo4j_uri) as driver:
        driver.execute_query("MATCH (n) WHERE n:Session OR n:Message OR n:Chat DETACH DELETE n")
        yield driver
        driver.execute_query("MATCH (n) WHERE n:Session OR n:Message OR n:Chat DETACH DELETE n")


def chain(driver: Any, session: object, said: list[tuple[str, str]], label: str = "Session") -> None:
    """Write a session as LangChain's class does: each message before the last, and the session at the last."""
    driver.execute_query(f"MERGE (s:{label} {{id: $session}})", {"session": session})
    for role, content in said:
        driver.execute_query(
            f"MATCH (s:{label} {{id: $session}}) OPTIONAL MATCH (s)-[old:LAST_MESSAGE]->(last:Message)"
            " CREATE (s)-[:LAST_MESSAGE]->(new:Message {role: $role, content: $content, createdAt: datetime()})"
            " FOREACH (_ IN CASE WHEN last IS NULL THEN [] ELSE [1] END | CREATE (last)-[:NEXT]->(new))"
            " DELETE old",
            {"session": session, "role": role, "content": content},
        )


def test_a_neo4j_history_comes_whole(memory: Memory, graph: Any) -> None:
    """All messages of a session come, far beyond the seven that LangChain reads, a tool's result among them."""
    said = [(("human", "ai")[n % 2], f"word {n}") for n in range(40)] + [("tool", "42"), ("narrator", "curtain")]
    chain(graph, "holiday", said)
    chain(graph, 7, [("system", "Be kind.")])
    chain(graph, "empty", [])
    done = import_neo4j_chat_history(memory.scope("ada"), graph)
    assert (done.places, done.found, done.new, done.lacking, done.missing) == (3, 43, 43, 1, 0)
    read = history(memory, "holiday")
    assert [message.text for message in read] == [content for _, content in said]
    assert read[-2:] == [ToolMessage("42", tool_call_id=""), ChatMessage("curtain", role="narrator")]
    assert history(memory, "7") == [SystemMessage("Be kind.")]
    kept = memory.scope("ada").thread("holiday").messages()
    assert abs(kept[0].created_at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    assert [m.created_at for m in kept] == sorted(m.created_at for m in kept)


def test_a_neo4j_history_again(memory: Memory, graph: Any) -> None:
    """A second run adds nothing, and one after more was said adds that."""
    ada = memory.scope("ada")
    chain(graph, "t", [("human", "one"), ("ai", "one")], "Chat")
    dry = import_neo4j_chat_history(ada, graph, node_label="Chat", dry_run=True)
    assert (dry.new, len(ada.threads())) == (2, 0)
    assert import_neo4j_chat_history(ada, graph, node_label="Chat").new == 2
    chain(graph, "t", [("human", "two")], "Chat")
    done = import_neo4j_chat_history(ada, graph, node_label="Chat", sessions=["t"])
    assert (done.new, done.there) == (1, 2)
    assert [message.text for message in history(memory, "t")] == ["one", "one", "two"]


def test_a_label_cannot_carry_cypher(memory: Memory) -> None:
    """A label that would end its quotes is refused before anything is asked."""
    with pytest.raises(errors.UsageError, match="node_label"):
        import_neo4j_chat_history(memory.scope("ada"), None, node_label="x`) DETACH DELETE n //")  # type: ignore[arg-type]
