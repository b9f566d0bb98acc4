"""Neo4j as the one place of a memory: the face, the doors, the walls, and what is refused there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from keepwell import Memory, Message
from keepwell.errors import StoreClosed, StoreUnavailable, UsageError
from keepwell.storage.facts import ReadFormation
from keepwell.storage.neo4j.cyphers import blocks, statement
from keepwell.storage.neo4j.driver import Bolt
from keepwell.storage.neo4j.store import Neo4jStore, store_options
from keepwell.testing import ScriptedExtractor
from langchain_keepwell import KeepwellChatMessageHistory, KeepwellRetriever
from llama_index.memory.keepwell import KeepwellMemory


@pytest.fixture
def opened(neo4j_uri: str, tenant: str) -> Iterator[Memory]:
    """Give a memory in Neo4j, without vectors."""
    with Memory.open(neo4j_uri, tenant=tenant, embedder=None) as memory:
        yield memory


def test_face(neo4j_uri: str, tenant: str) -> None:
    """The ten lines of the README do on a Neo4j address what they do on PostgreSQL."""
    with Memory.open(neo4j_uri, tenant=tenant) as memory:
        ada = memory.scope(user_id="ada")
        chat = ada.thread("holiday")
        chat.append(Message.user("I can't eat peanuts."), Message.assistant("Noted."))
        ada.remember("Priya is Ada's sister", key="sister")
        assert ada.recall("what must I not cook?", limit=1)[0].text == "I can't eat peanuts."
        assert "Priya" in chat.context("who is Ada's sister?").text
        receipt = ada.forget()
        assert receipt.counts["messages"] == 2
        assert not any(ada.verify(receipt).values())


def test_facts_are_formed(neo4j_uri: str, tenant: str) -> None:
    """With a language model, what is said becomes facts that can be corrected and looked at as of an instant."""
    with Memory.open(neo4j_uri, tenant=tenant, embedder=None, language_model=ScriptedExtractor()) as memory:
        ada = memory.scope(user_id="ada")
        ada.thread("t").append(Message.user("My name is Ada. I live in Rome."))
        memory.drain()
        formed = [fact.text for fact in ada.facts()]
        assert any("Rome" in text for text in formed), formed
        assert ada.sources(ada.facts()[0]).quotes


def test_langchain(opened: Memory) -> None:
    """LangChain's history and retriever work on it unchanged."""
    history = KeepwellChatMessageHistory("holiday", memory=opened, user_id="ada")
    history.add_user_message("My sister Priya is allergic to cats.")
    history.add_ai_message("I will keep that in mind.")
    assert [message.content for message in history.messages] == [
        "My sister Priya is allergic to cats.",
        "I will keep that in mind.",
    ]
    retriever = KeepwellRetriever(memory=opened, user_id="ada")
    assert "Priya" in retriever.invoke("who is allergic to cats?")[0].page_content


def test_llama_index(opened: Memory) -> None:
    """LlamaIndex's memory works on it unchanged, and goes on with what LangChain began."""
    KeepwellChatMessageHistory("holiday", memory=opened, user_id="ada").add_user_message("Hello.")
    chat = KeepwellMemory.from_defaults(memory=opened, user_id="ada", session_id="holiday")
    chat.put(ChatMessage(role="user", content="Priya visits us on Sunday."))
    assert [message.content for message in chat.get_all()] == ["Hello.", "Priya visits us on Sunday."]


def test_awaited(opened: Memory) -> None:
    """Verbs that are awaited work, several at once."""

    async def say() -> int:
        chat = opened.scope(user_id="ada").thread("t")
        await asyncio.gather(*(chat.aappend(Message.user(str(number))) for number in range(8)))
        return len(await chat.amessages())

    assert asyncio.run(say()) == 8


def test_transaction(opened: Memory) -> None:
    """Writes that join a transaction of the memory are seen together, or not at all."""
    chat = opened.scope(user_id="ada").thread("t")
    with pytest.raises(ZeroDivisionError), opened.transaction() as tx:
        chat.append(Message.user("one"), connection=tx)
        raise ZeroDivisionError
    with opened.transaction() as tx:
        chat.append(Message.user("two"), connection=tx)
    assert [message.text for message in chat.messages()] == ["two"]


@pytest.mark.parametrize("options", [{"read_dsn": "postgresql://h/d"}, {"require_rls": True}, {"graph": "record"}])
def test_what_it_cannot_do(neo4j_uri: str, options: dict[str, Any]) -> None:
    """What Neo4j cannot do is refused when it is asked for, in words that name it."""
    with pytest.raises(UsageError, match="Neo4j"):
        Memory.open(neo4j_uri, **options)


def test_connections_of_others(opened: Memory) -> None:
    """A connection that the memory did not give is refused, and nothing is written."""
    chat = opened.scope(user_id="ada").thread("t")
    with pytest.raises(UsageError, match="memory.transaction"):
        chat.append(Message.user("one"), connection=object())
    assert list(chat.messages()) == []


def test_nobody_answers() -> None:
    """Where no server answers, opening says so without the password."""
    with pytest.raises(StoreUnavailable) as told:
        Memory.open("bolt://ada:secret@127.0.0.1:1")
    assert "secret" not in str(told.value)


def test_closed(neo4j_uri: str, tenant: str) -> None:
    """A store that was closed says so."""
    store = Neo4jStore(neo4j_uri, options=store_options(1, 5))
    store.close()
    with pytest.raises(StoreClosed):
        store.record(tenant).read(ReadFormation())


def test_one_connection_is_enough(neo4j_uri: str, tenant: str) -> None:
    """A memory with one operation at a time does not wait for itself."""
    with Memory.open(neo4j_uri, tenant=tenant, pool_size=1, embedder=None) as memory:
        chat = memory.scope(user_id="ada").thread("t")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: chat.append(Message.user(str(number))), range(12)))
        assert [message.seq for message in chat.messages()] == list(range(1, 13))


def test_every_statement_is_walled() -> None:
    """Every statement of the store names the tenant for each node that it matches."""
    loose = {"server", "vector_index"}
    for name, text in blocks().items():
        written = statement(name)
        if name in loose:
            continue
        assert "$tenant" in written or re.search(r"row\.tenant|CREATE .* SET \w = row", written), name
        for labelled in re.findall(r"\((\w+):Keepwell\w+\)", written):
            walled = rf"\b{labelled}\.tenant = \$tenant"
            # A node that is made, or given all its properties by a row, has the tenant among them.
            made = (
                rf"CREATE \({labelled}:|SET {labelled} = row|\[r:FORMED_FROM\]->\(g|\[r:RESTS_ON\]->\(m|VECTOR_OF\]-\(v"
            )
            assert re.search(walled, written) or re.search(made, text) or re.search(made, written), (name, labelled)


def test_plans(bolt: Bolt, opened: Memory) -> None:
    """No statement of the store looks through all nodes of a kind: each begins with an index."""
    opened.status()
    lists = {"rows", "keys", "items", "ids", "names", "numbers", "threads", "stripes", "places", "terms", "facts"}
    counts = {"limit", "before", "after", "neighbours"}
    for name, text in blocks().items():
        for across in (False, True) if "@scope" in text else (False,):
            written = statement(name, across)
            asked: dict[str, Any] = {
                word: [] if word in lists else 10 if word in counts else None for word in _named(written)
            }
            plan = _plan(bolt, written, asked)
            assert not {step for step in plan if step in {"NodeByLabelScan", "AllNodesScan"}}, name


def _named(written: str) -> set[str]:
    return set(re.findall(r"\$(\w+)", written))


def _plan(bolt: Bolt, written: str, asked: dict[str, Any]) -> list[str]:
    def explain(tx: Any) -> Any:
        return tx.run(f"EXPLAIN {written}", {**asked, "tenant": "nobody"}).consume().plan

    def steps(plan: dict[str, Any]) -> Iterator[str]:
        yield plan["operatorType"].split("@")[0]
        for child in plan.get("children", ()):
            yield from steps(child)

    return list(steps(bolt.write(explain)))


@pytest.mark.parametrize("length", [10, 1000])
@pytest.mark.parametrize(
    "name", ["thread_and_hits", "newest", "oldest", "around", "fetch", "unformed_new", "said_before", "next_to"]
)
def test_what_is_read_does_not_grow_with_the_thread(
    opened: Memory, bolt: Bolt, tenant: str, name: str, length: int
) -> None:
    """An append looks at no other message, and a window, neighbours or a batch at no more than are asked for."""
    chat = opened.scope(user_id="ada").thread("t")
    chat.append(*(Message.user(f"message {number}", id=f"m{number}") for number in range(length)))
    found = bolt.rows(
        "MATCH (m:KeepwellMessage {tenant: $t, id: 'm4'}) RETURN m.key AS key, m.thread AS t", {"t": tenant}
    )
    key, thread = found[0]["key"], found[0]["t"]
    whose = {f"{what}_{part}": "" for what in ("owner", "scope") for part in ("user_id", "agent_id", "run_id")}
    whose |= {"owner_user_id": "ada", "scope_user_id": "ada"}
    bounds = {"since": -(2**60), "until": 2**60, "limit": 3, "neighbours": 2, "thread": thread, "seq": 5}
    bounds |= {"after": 2, "before": 2} if name == "around" else {"after": 0, "before": 2**40}
    asked = {"tenant": tenant, **whose, **bounds, "id": "t", "keys": [key], "places": [[thread, 5]]}
    asked["ids"] = ["new"] if name == "thread_and_hits" else ["m4"]

    def profile(tx: Any) -> Any:
        return tx.run(f"PROFILE {statement(name)}", asked).consume().profile

    def hits(plan: dict[str, Any]) -> int:
        return int(plan.get("dbHits", 0)) + sum(map(hits, plan.get("children", ())))

    assert hits(bolt.write(profile)) < 100
