"""A scope as langchain-postgres's vector store: what is in it, whose it is, and that nothing can be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from keepwell import Memory, Message, errors
from keepwell.storage.postgres import guests
from keepwell.testing import HashEmbedder

try:
    import langchain_postgres  # noqa: F401
except ImportError:
    INSTALLED = False
else:
    INSTALLED = True

needed = pytest.mark.skipif(not INSTALLED, reason="not available here: langchain-postgres, which needs pgvector<0.4")


@pytest.fixture
def filled(memory: Memory) -> Memory:
    """Give a memory of ada's and bob's, with vectors of all of it."""
    ada = memory.scope("ada")
    ada.thread("t").append(
        Message.user("I can't eat peanuts.", id="m1", metadata={"k": 7}), Message.assistant("The weather is fine.")
    )
    ada.thread("odd").append(Message.user("nul \x00 and \ud800 half, \U0001f600 whole"))
    home = ada.remember("Ada lives in Rome")
    ada.correct(home, "Ada lives in Lisbon")
    memory.scope("ada", "cook").thread("t").append(Message.user("Cook with peanuts?"))
    memory.scope("bob").thread("t").append(Message.user("I love peanuts."))
    memory.drain()
    return memory


@pytest.fixture
def made() -> Iterator[Callable[..., Any]]:
    """Give the function under test, whose engines are closed at the end."""
    from langchain_keepwell.pgvectorstore import as_pgvectorstore

    stores: list[Any] = []

    def make(memory: Memory, **options: Any) -> Any:
        stores.append(as_pgvectorstore(memory, **options))
        return stores[-1]

    yield make
    for store in stores:
        asyncio.run(store._engine.close())


def texts(documents: list[Any]) -> set[str]:
    """Give what documents say."""
    return {document.page_content for document in documents}


@needed
def test_what_is_kept_is_found_by_meaning(filled: Memory, made: Callable[..., Any]) -> None:
    """Messages and standing facts of the scope are there with what is known of them, and nobody else's."""
    store = made(filled, user_id="ada", k=10)
    found = store.similarity_search("peanuts to eat")
    assert texts(found) == {
        "I can't eat peanuts.",
        "The weather is fine.",
        "nul \ufffd and \ufffd half, \U0001f600 whole",
        "Ada lives in Lisbon",
        "Cook with peanuts?",
    }
    best = found[0]
    assert best.page_content in {"I can't eat peanuts.", "Cook with peanuts?"}
    said = next(one for one in found if one.page_content == "I can't eat peanuts.")
    assert (said.metadata["kind"], said.metadata["source_id"], said.metadata["thread"]) == ("message", "m1", "t")
    assert said.metadata["k"] == 7
    assert texts(store.similarity_search("home", filter={"kind": "fact"})) == {"Ada lives in Lisbon"}
    scored = store.similarity_search_with_score("I can't eat peanuts.", k=1)
    assert scored[0][0].page_content == "I can't eat peanuts."


@needed
async def test_it_works_awaited_and_as_a_retriever(filled: Memory, made: Callable[..., Any]) -> None:
    """From another event loop, through LangChain's retriever, and by id."""
    store = await asyncio.to_thread(made, filled, user_id="ada", agent_id="cook")
    assert texts(await store.asimilarity_search("peanuts")) == {"Cook with peanuts?"}
    (one,) = await store.as_retriever(search_kwargs={"k": 3}).ainvoke("peanuts")
    assert [again.page_content for again in await store.aget_by_ids([one.id])] == ["Cook with peanuts?"]


@needed
def test_nothing_can_be_written(filled: Memory, made: Callable[..., Any], admin_dsn: str) -> None:
    """Adding and deleting fail, and a transaction of its engine cannot write elsewhere either."""
    from sqlalchemy.exc import DBAPIError

    store = made(filled, user_id="ada")
    with pytest.raises(errors.UsageError, match="read only"):
        store.add_texts(["new"])
    with pytest.raises(DBAPIError, match="cannot delete from view|read-only"):
        store.delete(["1:0"])
    window = filled.window(filled.scope("ada"))

    async def write() -> None:
        async with await window.connect() as connection:
            await connection.execute(window.begin, window.parameters)
            await connection.execute("delete from keepwell.removal")

    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        asyncio.run(write())


@needed
def test_on_a_pool_that_was_given(dsn: str, filled: Memory, made: Callable[..., Any]) -> None:
    """The vector store makes connections of its own to where the pool's go."""
    with (
        ConnectionPool(dsn, min_size=1, max_size=2, kwargs={"autocommit": True}, open=True) as pool,
        Memory.open(pool=pool, embedder=HashEmbedder(), name="given") as memory,
    ):
        assert texts(made(memory, user_id="bob").similarity_search("peanuts")) == {"I love peanuts."}


def test_the_view_has_walls(filled: Memory, open_memory: Callable[..., Memory]) -> None:
    """In a transaction that names a scope it shows that scope; another tenant's, or none, shows nothing."""

    async def seen(view: Any) -> set[str]:
        window = view.memory.window(view)
        async with await window.connect() as connection:
            await connection.execute(window.begin, window.parameters)
            rows = await connection.execute("select content from keepwell.document")
            return {content for (content,) in await rows.fetchall()}

    async def unnamed() -> int:
        async with await filled.window(filled.scope("ada")).connect() as connection:
            ((count,),) = await (await connection.execute("select count(*) from keepwell.document")).fetchall()
            return int(count)

    assert asyncio.run(seen(filled.scope("bob"))) == {"I love peanuts."}
    assert asyncio.run(seen(filled.scope("ada", "cook"))) == {"Cook with peanuts?"}
    assert asyncio.run(seen(filled.scope(agent_id="cook"))) == set()
    assert asyncio.run(seen(filled.scope(agent_id="cook", across_users=True))) == {"Cook with peanuts?"}
    assert len(asyncio.run(seen(filled.scope(across_users=True)))) == 6
    assert asyncio.run(seen(open_memory(tenant="other").scope("bob"))) == set()
    assert asyncio.run(unnamed()) == 0


def test_an_older_server_is_refused(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without views that see as their reader does is refused, with the reason."""
    monkeypatch.setattr(guests, "SECURITY_INVOKER", 990000)
    with pytest.raises(errors.UsageError, match="need 15 or newer, and any other view would be a hole in the walls"):
        memory.window(memory.scope("ada"))


@pytest.mark.skipif(INSTALLED, reason="not available here: an environment without langchain-postgres")
def test_without_the_package_the_extra_is_named() -> None:
    """Where langchain-postgres is missing, the error says what to install."""
    with pytest.raises(errors.UsageError, match=r"pip install 'langchain-keepwell\[pgvectorstore\]'"):
        import langchain_keepwell.pgvectorstore  # noqa: F401
